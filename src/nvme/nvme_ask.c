#include "nvme/nvme_ask.h"

#include "base/must.h"

#include <string.h>

bool nvme_identify(struct nvme_dev *dev, enum nvme_cns cns, uint32_t nsid, union nvme_page *page, struct err *err)
{
    struct nvme_cmd cmd = {.opcode = NVME_OP_IDENTIFY,
                           .nsid = nsid,
                           .cdw10 = cns,
                           .data = page,
                           .data_len = NVME_PAGE,
                           .timeout_ms = NVME_ASK_MS};
    memset(page, 0, sizeof(*page));
    return dev->ops->admin(dev, &cmd, err);
}

bool nvme_get_log(struct nvme_dev *dev, enum nvme_lid lid, uint32_t nsid, uint32_t bytes, union nvme_page *page,
                  struct err *err)
{
    must(bytes <= NVME_PAGE);
    struct nvme_cmd cmd = {.opcode = NVME_OP_GET_LOG,
                           .nsid = nsid,
                           .cdw10 = nvme_log_cdw10(lid, bytes),
                           .cdw11 = nvme_log_cdw11(bytes),
                           .data = page,
                           .data_len = bytes,
                           .timeout_ms = NVME_ASK_MS};
    memset(page, 0, sizeof(*page));
    return dev->ops->admin(dev, &cmd, err);
}

bool nvme_not_offered(const struct err *err)
{
    return err->nvme == NVME_ST_INVALID_FIELD || err->nvme == NVME_ST_INVALID_OPCODE ||
           err->nvme == NVME_ST_INVALID_NS || err->nvme == NVME_ST_INVALID_LOG_PAGE;
}

bool nvme_ask_ctrl(struct nvme_dev *dev, struct nvme_ctrl_page *out, struct err *err)
{
    union nvme_page page;
    return nvme_identify(dev, NVME_CNS_CTRL, 0, &page, err) && nvme_parse_ctrl(&page, sizeof(page), out, err);
}

static bool ask_list(struct nvme_dev *dev, enum nvme_cns cns, struct nvme_nsids *out, struct err *err)
{
    union nvme_page page;
    return nvme_identify(dev, cns, 0, &page, err) && nvme_parse_nsids(&page, sizeof(page), out, err);
}

bool nvme_ask_all(struct nvme_dev *dev, const struct drive_caps *caps, struct nvme_nsids *out, bool *complete,
                  struct err *err)
{
    *complete = caps->nn == 1;
    if (caps->ns_management) {
        struct err why = {0};
        if (ask_list(dev, NVME_CNS_ALLOCATED_NS_LIST, out, &why)) {
            *complete = true;
            return true;
        }
        if (!nvme_not_offered(&why)) {
            *err = why;
            return false;
        }
    }
    return nvme_ask_active(dev, out, err);
}

bool nvme_ask_active(struct nvme_dev *dev, struct nvme_nsids *out, struct err *err)
{
    return ask_list(dev, NVME_CNS_ACTIVE_NS_LIST, out, err);
}

bool nvme_id_is_none(const uint8_t *id, size_t len)
{
    static const uint8_t none[16];
    must(len <= sizeof(none));
    return memcmp(id, none, len) == 0;
}

/* Drives may leave NGUID and EUI64 out of Identify Namespace and give them as descriptors only. */
static bool ask_ids(struct nvme_dev *dev, struct ns_seen *ns, struct err *err)
{
    if (!nvme_id_is_none(ns->nguid, sizeof(ns->nguid)) || !nvme_id_is_none(ns->eui64, sizeof(ns->eui64)))
        return true;
    union nvme_page page;
    struct nvme_ns_ids ids;
    struct err why = {0};
    if (!nvme_identify(dev, NVME_CNS_NS_DESCRIPTORS, ns->nsid.v, &page, &why)) {
        if (nvme_not_offered(&why)) /* before NVMe 1.3, or not attached */
            return true;
        *err = why;
        return false;
    }
    if (!nvme_parse_descriptors(&page, sizeof(page), &ids, err))
        return false;
    memcpy(ns->nguid, ids.nguid, sizeof(ns->nguid));
    memcpy(ns->eui64, ids.eui64, sizeof(ns->eui64));
    return true;
}

/* The page that describes a namespace. *attached_only: CNS 00h was asked, which knows only what is attached. */
static bool describe(struct nvme_dev *dev, const struct drive_caps *caps, struct nsid nsid, union nvme_page *page,
                     bool *attached_only, struct err *err)
{
    struct err why = {0};
    *attached_only = false;
    if (caps->ns_management) {
        if (nvme_identify(dev, NVME_CNS_ALLOCATED_NS, nsid.v, page, &why))
            return true;
        if (!nvme_not_offered(&why)) {
            *err = why;
            return false;
        }
    }
    *attached_only = true;
    return nvme_identify(dev, NVME_CNS_NS, nsid.v, page, err);
}

bool nvme_ask_ns(struct nvme_dev *dev, const struct drive_caps *caps, struct nsid nsid, struct nvme_ns_page *out,
                 struct err *err)
{
    union nvme_page page;
    struct nvme_ns_page seen;
    bool attached_only;
    const bool answered = describe(dev, caps, nsid, &page, &attached_only, err);
    if (!answered || !nvme_parse_ns(&page, sizeof(page), &seen, err)) {
        if (err->nvme == NVME_ST_INVALID_NS)
            err->kind = ERR_MISSING;
        else if (err->kind == ERR_MISSING && answered && attached_only)
            err->nvme = NVME_ST_INVALID_NS; /* a page of zeros says the same */
        return err_wrap(err, "namespace %u", nsid.v);
    }
    seen.ns.nsid = nsid;
    if (!ask_ids(dev, &seen.ns, err))
        return false;
    *out = seen;
    return true;
}

bool nvme_ask_supported(struct nvme_dev *dev, const struct nvme_ctrl_page *ctrl, enum nvme_admin_op op, bool *out,
                        struct err *err)
{
    union nvme_page page;
    struct err why = {0};
    *out = false;
    if (!ctrl->effects_log)
        return true;
    if (!nvme_get_log(dev, NVME_LID_EFFECTS, NVME_NSID_ALL, NVME_PAGE, &page, &why)) {
        if (nvme_not_offered(&why))
            return true;
        *err = why;
        return false;
    }
    return nvme_parse_effects(&page, sizeof(page), op, out, err);
}
