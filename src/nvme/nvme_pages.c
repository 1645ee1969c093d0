/* nvme_pages.c - nvme_compare_pages() of nvme_drive.h: drives were seen whose pages contradict one another. A page that
 * the drive does not offer is no contradiction. */
#include "nvme/nvme_drive.h"

#include "base/text.h"
#include "nvme/nvme_ask.h"

#include <string.h>

static bool has(const struct nvme_nsids *list, struct nsid nsid)
{
    for (size_t i = 0; i < list->count; i++)
        if (nsid_eq(list->at[i], nsid))
            return true;
    return false;
}

/* false and no err: the drive does not describe it on that page. */
static bool describe(struct nvme_dev *dev, enum nvme_cns cns, struct nsid nsid, struct ns_seen *out, struct err *err)
{
    union nvme_page page;
    struct nvme_ns_page seen;
    struct err why = {0};
    if (nvme_identify(dev, cns, nsid.v, &page, &why) && nvme_parse_ns(&page, sizeof(page), &seen, &why)) {
        *out = seen.ns;
        return true;
    }
    if (!nvme_not_offered(&why) && why.kind != ERR_MISSING)
        *err = why;
    return false;
}

static bool ids_contradict(const uint8_t *a, const uint8_t *b, size_t len)
{
    return !nvme_id_is_none(a, len) && !nvme_id_is_none(b, len) && memcmp(a, b, len) != 0;
}

static const char *ns_differs(const struct ns_seen *a, const struct ns_seen *b)
{
    if (a->size_blocks != b->size_blocks || a->block_bytes != b->block_bytes)
        return "size";
    if (ids_contradict(a->nguid, b->nguid, sizeof(a->nguid)))
        return "NGUID";
    return ids_contradict(a->eui64, b->eui64, sizeof(a->eui64)) ? "EUI64" : NULL;
}

static const char *ids_differ(const struct ns_seen *ns, const struct nvme_ns_ids *ids)
{
    if (ids_contradict(ns->nguid, ids->nguid, sizeof(ns->nguid)))
        return "NGUID";
    return ids_contradict(ns->eui64, ids->eui64, sizeof(ns->eui64)) ? "EUI64" : NULL;
}

static bool compare(struct nvme_dev *dev, struct nsid nsid, struct drive_pages *out, struct err *err)
{
    struct ns_seen active, allocated;
    union nvme_page page;
    struct nvme_ns_ids ids;
    struct err why = {0};
    const char *differs = NULL;
    bool compared = false;
    if (!describe(dev, NVME_CNS_NS, nsid, &active, err))
        return err->kind == ERR_NONE;
    if (describe(dev, NVME_CNS_ALLOCATED_NS, nsid, &allocated, err)) {
        compared = true;
        differs = ns_differs(&active, &allocated);
    }
    if (err->kind != ERR_NONE)
        return false;
    if (nvme_identify(dev, NVME_CNS_NS_DESCRIPTORS, nsid.v, &page, &why) &&
        nvme_parse_descriptors(&page, sizeof(page), &ids, &why)) {
        compared = true;
        differs = differs != NULL ? differs : ids_differ(&active, &ids);
    }
    out->compared += compared;
    if (differs != NULL && out->differs.v == 0) {
        out->differs = nsid;
        text_cut(out->differs_in, sizeof(out->differs_in), differs);
    }
    return true;
}

bool nvme_compare_pages(struct nvme_dev *dev, struct drive_pages *out, struct err *err)
{
    struct nvme_ctrl_page ctrl;
    struct nvme_nsids all, active;
    struct drive_pages seen = {0};
    bool complete;
    if (!nvme_ask_ctrl(dev, &ctrl, err) || !nvme_ask_all(dev, &ctrl.caps, &all, &complete, err) ||
        !nvme_ask_active(dev, &active, err))
        return false;
    for (size_t i = 0; i < active.count; i++) {
        seen.unlisted += complete && ctrl.caps.ns_management && !has(&all, active.at[i]);
        if (!compare(dev, active.at[i], &seen, err))
            return err_wrap(err, "namespace %u", active.at[i].v);
    }
    *out = seen;
    return true;
}
