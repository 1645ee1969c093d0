/* nvme_scan.c - nvme_scan() of nvme_drive.h: all that a drive says, in the order in which later questions need earlier
 * answers. */
#include "nvme/nvme_drive.h"

#include "nvme/nvme_ask.h"

#include <string.h>

static bool any_format(const struct lba_format *lbaf, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (lbaf[i].block_bytes != 0)
            return true;
    return false;
}

/* LBA formats that every namespace can have: NSID FFFFFFFFh where the drive manages namespaces (Base, CNS 00h). Some
 * drives refuse that; then those of a namespace that is there must do. */
static bool scan_formats(struct nvme_dev *dev, const struct nvme_ns_page *any, struct drive_caps *caps, struct err *err)
{
    union nvme_page page;
    struct err why = {0};
    if (caps->ns_management && nvme_identify(dev, NVME_CNS_NS, NVME_NSID_ALL, &page, &why)) {
        if (!nvme_parse_lbafs(&page, sizeof(page), caps->lbaf, &caps->lbaf_count, err))
            return false;
        if (any_format(caps->lbaf, caps->lbaf_count))
            return true;
    } else if (why.kind != ERR_NONE && why.nvme == 0) {
        *err = why;
        return false;
    }
    memcpy(caps->lbaf, any->lbaf, sizeof(caps->lbaf));
    caps->lbaf_count = any->lbaf_count;
    return true;
}

static bool scan_granularity(struct nvme_dev *dev, struct drive_caps *caps, struct err *err)
{
    union nvme_page page;
    struct err why = {0};
    if (!caps->granularity_list)
        return true;
    if (nvme_identify(dev, NVME_CNS_NS_GRANULARITY, 0, &page, &why))
        return nvme_parse_granularity(&page, sizeof(page), &caps->nsg_bytes, &caps->ncg_bytes, err);
    caps->granularity_list = false; /* promised by CTRATT, but refused */
    if (nvme_not_offered(&why))
        return true;
    *err = why;
    return false;
}

static bool add_nsid(struct nvme_nsids *list, struct nsid nsid, struct err *err)
{
    size_t at = list->count;
    while (at > 0 && list->at[at - 1].v >= nsid.v)
        at--;
    if (at < list->count && nsid_eq(list->at[at], nsid))
        return true;
    if (list->count == DRIVE_NS_MAX)
        return err_set(err, ERR_FULL, "cannot look at drive: it holds more than %d namespaces", DRIVE_NS_MAX);
    memmove(&list->at[at + 1], &list->at[at], (list->count - at) * sizeof(list->at[0]));
    list->at[at] = nsid;
    list->count++;
    return true;
}

static bool has_nsid(const struct nvme_nsids *list, struct nsid nsid)
{
    for (size_t i = 0; i < list->count; i++)
        if (nsid_eq(list->at[i], nsid))
            return true;
    return false;
}

static bool scan_one(struct nvme_dev *dev, const struct drive_caps *caps, struct nsid nsid, bool attached,
                     struct nvme_ns_page *page, struct err *err)
{
    struct err why = {0};
    *page = (struct nvme_ns_page){.ns = {.nsid = nsid, .attached = attached}};
    if (!nvme_ask_ns(dev, caps, nsid, page, &why)) {
        if (!attached && nvme_not_offered(&why))
            return true; /* there is one, but the drive describes only what is attached */
        *err = why;
        if (why.kind == ERR_MISSING)
            err->kind = ERR_BUSY; /* it was listed a moment ago: somebody else is at work, look again */
        return false;
    }
    page->ns.attached = attached;
    return !attached || dev->ops->ns_path(dev, nsid, page->ns.path, err);
}

static bool scan_namespaces(struct nvme_dev *dev, struct drive_seen *out, struct nvme_ns_page *any, struct err *err)
{
    struct nvme_nsids all, active;
    bool complete;
    if (!nvme_ask_all(dev, &out->caps, &all, &complete, err) || !nvme_ask_active(dev, &active, err))
        return false;
    for (size_t i = 0; i < active.count; i++)
        if (!add_nsid(&all, active.at[i], err))
            return false;
    for (size_t i = 0; i < all.count; i++) {
        struct nvme_ns_page page;
        if (!scan_one(dev, &out->caps, all.at[i], has_nsid(&active, all.at[i]), &page, err))
            return false;
        out->ns[out->ns_count++] = page.ns;
        if (any->lbaf_count == 0)
            *any = page;
    }
    return true;
}

/* Health is best effort: a drive that does not say is none the less usable. */
static bool ask_health(struct nvme_dev *dev, uint32_t nsid, struct drive_health *out)
{
    union nvme_page page;
    struct err ignored = {0};
    return nvme_get_log(dev, NVME_LID_SMART, nsid, sizeof(struct nvme_wire_smart), &page, &ignored) &&
           nvme_parse_smart(&page, sizeof(page), out, &ignored);
}

/* Where the drive counts by namespace (LPA bit 0), that is asked too: then the wear of a claim is its own. */
static void scan_health(struct nvme_dev *dev, struct drive_seen *out)
{
    ask_health(dev, NVME_NSID_ALL, &out->health);
    for (size_t i = 0; out->caps.smart_per_namespace && i < out->ns_count; i++) {
        struct drive_health health;
        struct ns_seen *ns = &out->ns[i];
        ns->counts_units = ns->attached && ask_health(dev, ns->nsid.v, &health);
        if (ns->counts_units)
            ns->units_written = health.units_written;
    }
}

static void scan_firmware(struct nvme_dev *dev, struct drive_firmware *out)
{
    union nvme_page page;
    struct err ignored = {0};
    if (nvme_get_log(dev, NVME_LID_FIRMWARE, NVME_NSID_ALL, sizeof(struct nvme_wire_firmware), &page, &ignored))
        nvme_parse_firmware(&page, sizeof(page), out, &ignored);
}

/* Some controllers claim namespace management (OACS bit 3) and refuse the command; QEMU's does. Their list of supported
 * commands (Commands Supported and Effects log) is honest. A list without Identify, which is mandatory, says nothing. */
static bool scan_management(struct nvme_dev *dev, const struct nvme_ctrl_page *ctrl, struct drive_caps *caps, struct err *err)
{
    bool is_a_list, listed;
    caps->ns_claimed = caps->ns_management;
    if (!caps->ns_management)
        return true;
    if (!nvme_ask_supported(dev, ctrl, NVME_OP_IDENTIFY, &is_a_list, err) ||
        !nvme_ask_supported(dev, ctrl, NVME_OP_NS_MANAGEMENT, &listed, err))
        return false;
    caps->ns_management = listed || !is_a_list;
    return true;
}

bool nvme_scan(struct nvme_dev *dev, struct drive_seen *out, struct err *err)
{
    struct nvme_ctrl_page ctrl;
    struct nvme_ns_page any = {0};
    if (!nvme_ask_ctrl(dev, &ctrl, err))
        return false;
    struct drive_seen seen = {.ident = ctrl.ident, .caps = ctrl.caps, .fw = ctrl.fw};
    memcpy(seen.firmware, ctrl.firmware, sizeof(seen.firmware));
    if (!scan_namespaces(dev, &seen, &any, err) || !scan_formats(dev, &any, &seen.caps, err) ||
        !scan_granularity(dev, &seen.caps, err) ||
        !nvme_ask_supported(dev, &ctrl, NVME_OP_SANITIZE_NS, &seen.caps.sanitize_ns, err) ||
        !scan_management(dev, &ctrl, &seen.caps, err)) /* last: the lists above depend on what it claims */
        return err_wrap(err, "drive '%s'", ctrl.ident.serial);
    scan_health(dev, &seen);
    scan_firmware(dev, &seen.fw);
    *out = seen;
    return true;
}
