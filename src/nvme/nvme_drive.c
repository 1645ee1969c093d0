/* nvme_drive.c - see nvme_drive.h. Two rules make it safe:
 *   - what is decided on is asked for here, on the descriptor that the change is then sent on, just before it;
 *   - a drive that answers less than it should (a refused list, an unreadable format) can only make us refuse more. */
#include "nvme/nvme_drive.h"

#include "nvme/nvme_ask.h"

#include <string.h>

/* --- Who and what ------------------------------------------------------------------------------------------------ */

static bool expect_ctrl(struct nvme_dev *dev, const struct drive_ident *who, struct nvme_ctrl_page *out,
                        struct err *err)
{
    if (!nvme_ask_ctrl(dev, out, err))
        return false;
    if (drive_ident_eq(&out->ident, who))
        return true;
    err_set(err, ERR_CONFLICT, "cannot use drive: expected '%s' (%s), found '%s' (%s)", who->serial, who->model,
            out->ident.serial, out->ident.model);
    return err_hint(err, "look at the drives again");
}

static bool same_id(const uint8_t *want, const uint8_t *got, size_t len)
{
    return nvme_id_is_none(want, len) || memcmp(want, got, len) == 0;
}

static bool expect_both(struct nvme_dev *dev, const struct drive_ident *who, const struct nvme_ns_ident *ns,
                        struct nvme_ctrl_page *ctrl, struct nvme_ns_page *page, struct err *err)
{
    if (ns->nsid.v == 0 || ns->nsid.v == NVME_NSID_ALL)
        return err_set(err, ERR_UNSAFE, "cannot use namespace %xh: it names no single namespace", ns->nsid.v);
    if (!expect_ctrl(dev, who, ctrl, err) || !nvme_ask_ns(dev, &ctrl->caps, ns->nsid, page, err))
        return false;
    const uint64_t bytes = page->ns.size_blocks * page->ns.block_bytes;
    const char *differs = bytes != ns->size_bytes                                       ? "size"
                          : !same_id(ns->nguid, page->ns.nguid, sizeof(page->ns.nguid)) ? "NGUID"
                          : !same_id(ns->eui64, page->ns.eui64, sizeof(page->ns.eui64)) ? "EUI64"
                                                                                        : NULL;
    if (differs == NULL)
        return true;
    err_set(err, ERR_CONFLICT,
            "cannot use namespace %u of drive '%s': its %s is another than expected (%ju bytes, expected %ju)",
            ns->nsid.v, who->serial, differs, (uintmax_t)bytes, (uintmax_t)ns->size_bytes);
    return err_hint(err, "look at the drive again: the namespace was replaced");
}

bool nvme_ident(struct nvme_dev *dev, struct drive_ident *out, uint16_t *cntlid, struct err *err)
{
    struct nvme_ctrl_page ctrl;
    if (!nvme_ask_ctrl(dev, &ctrl, err))
        return false;
    *out = ctrl.ident;
    *cntlid = ctrl.caps.cntlid;
    return true;
}

bool nvme_has_namespaces(struct nvme_dev *dev, bool *out, struct err *err)
{
    struct nvme_nsids active;
    if (!nvme_ask_active(dev, &active, err))
        return false;
    *out = active.count > 0;
    return true;
}

bool nvme_expect(struct nvme_dev *dev, const struct drive_ident *who, struct err *err)
{
    struct nvme_ctrl_page ctrl;
    return expect_ctrl(dev, who, &ctrl, err);
}

bool nvme_expect_ns(struct nvme_dev *dev, const struct drive_ident *who, const struct nvme_ns_ident *ns,
                    struct err *err)
{
    struct nvme_ctrl_page ctrl;
    struct nvme_ns_page page;
    return expect_both(dev, who, ns, &ctrl, &page, err);
}

/* --- Changes ----------------------------------------------------------------------------------------------------- */

/* The drive did what it could: is the new namespace what was ordered? */
static bool expect_created(struct nvme_dev *dev, const struct nvme_ctrl_page *ctrl, const struct nvme_ns_spec *spec,
                           struct nsid made, struct err *err)
{
    struct nvme_ns_page page;
    if (made.v == 0 || made.v == NVME_NSID_ALL || made.v > ctrl->caps.nn)
        return err_set(err, ERR_DEVICE, "cannot use the new namespace: drive '%s' calls it %xh", ctrl->ident.serial,
                       made.v);
    if (!nvme_ask_ns(dev, &ctrl->caps, made, &page, err))
        return err_wrap(err, "the new namespace");
    if (page.ns.size_blocks == spec->size_blocks && page.ns.lbaf == spec->lbaf && page.ns.block_bytes != 0)
        return true;
    err_set(err, ERR_DEVICE,
            "cannot use the new namespace %u of drive '%s': ordered %ju blocks in LBA format %u, got %ju in %u", made.v,
            ctrl->ident.serial, (uintmax_t)spec->size_blocks, spec->lbaf, (uintmax_t)page.ns.size_blocks, page.ns.lbaf);
    return err_hint(err, "delete it by hand; order a multiple of the drive's granularity");
}

/* Some drives have the bit in OACS and not the command; QEMU's, for one. No later try can end otherwise. */
static bool manage(struct nvme_dev *dev, const struct drive_ident *who, struct nvme_cmd *cmd, struct err *err)
{
    if (dev->ops->admin(dev, cmd, err))
        return true;
    if (err->nvme != NVME_ST_INVALID_OPCODE)
        return false;
    err_clear(err);
    err_set(err, ERR_INPUT, "cannot cut drive '%s': it claims namespace management (OACS bit 3), but refuses it", who->serial);
    return err_hint(err, "adopt it with --as whole");
}

bool nvme_create(struct nvme_dev *dev, const struct drive_ident *who, const struct nvme_ns_spec *spec, struct nsid *out,
                 struct err *err)
{
    struct nvme_ctrl_page ctrl;
    if (spec->size_blocks == 0 || spec->lbaf >= NVME_WIRE_LBAF_MAX)
        return err_set(err, ERR_INPUT, "cannot create namespace: %ju blocks in LBA format %u",
                       (uintmax_t)spec->size_blocks, spec->lbaf);
    if (!expect_ctrl(dev, who, &ctrl, err))
        return false;
    if (!ctrl.caps.ns_management)
        return err_set(err, ERR_INPUT, "cannot create namespace: drive '%s' has no namespace management", who->serial);
    union nvme_page page;
    nvme_build_create(spec->size_blocks, spec->lbaf, &page.create);
    struct nvme_cmd cmd = {.opcode = NVME_OP_NS_MANAGEMENT,
                           .cdw10 = NVME_NS_CREATE,
                           .data = &page,
                           .data_len = NVME_PAGE,
                           .timeout_ms = NVME_CHANGE_MS};
    if (!manage(dev, who, &cmd, err))
        return false;
    const struct nsid made = {cmd.result};
    if (!expect_created(dev, &ctrl, spec, made, err))
        return false;
    *out = made;
    return true;
}

/* Base allows to delete an attached namespace; then every controller and whatever uses it there loses it. Not here. */
static bool expect_detached(struct nvme_dev *dev, struct nsid nsid, struct err *err)
{
    union nvme_page page;
    uint16_t cntlid[NVME_WIRE_CTRLS_MAX];
    size_t count;
    if (!nvme_identify(dev, NVME_CNS_NS_CTRL_LIST, nsid.v, &page, err) ||
        !nvme_parse_ctrl_list(&page, sizeof(page), cntlid, NVME_WIRE_CTRLS_MAX, &count, err))
        return err_wrap(err, "who uses namespace %u", nsid.v);
    if (count == 0)
        return true;
    err_set(err, ERR_CONFLICT, "cannot delete namespace %u: it is attached to controller %u", nsid.v, cntlid[0]);
    return err_hint(err, "detach it first");
}

bool nvme_delete(struct nvme_dev *dev, const struct drive_ident *who, const struct nvme_ns_ident *ns, struct err *err)
{
    struct nvme_ctrl_page ctrl;
    struct nvme_ns_page page;
    if (!expect_both(dev, who, ns, &ctrl, &page, err) || !expect_detached(dev, ns->nsid, err))
        return false;
    struct nvme_cmd cmd = {
        .opcode = NVME_OP_NS_MANAGEMENT, .nsid = ns->nsid.v, .cdw10 = NVME_NS_DELETE, .timeout_ms = NVME_CHANGE_MS};
    return manage(dev, who, &cmd, err);
}

/* `already`: the status that says that there is nothing to do. */
static bool attachment(struct nvme_dev *dev, struct nsid nsid, uint16_t cntlid, enum nvme_ns_attach_sel sel,
                       struct err *err)
{
    const uint16_t already = sel == NVME_NS_ATTACH ? NVME_ST_NS_ATTACHED : NVME_ST_NS_NOT_ATTACHED;
    union nvme_page page;
    nvme_build_ctrl_list(cntlid, &page.ctrls);
    struct nvme_cmd cmd = {.opcode = NVME_OP_NS_ATTACHMENT,
                           .nsid = nsid.v,
                           .cdw10 = sel,
                           .data = &page,
                           .data_len = NVME_PAGE,
                           .timeout_ms = NVME_CHANGE_MS};
    struct err why = {0};
    if (dev->ops->admin(dev, &cmd, &why) || why.nvme == already)
        return true;
    *err = why;
    if (why.nvme == NVME_ST_NS_PRIVATE)
        err_hint(err, "it is attached to another controller of the drive, of this host or of another; detach it there");
    return false;
}

bool nvme_attach(struct nvme_dev *dev, const struct drive_ident *who, struct nsid nsid, struct err *err)
{
    struct nvme_ctrl_page ctrl;
    struct nvme_ns_page page;
    if (nsid.v == 0 || nsid.v == NVME_NSID_ALL)
        return err_set(err, ERR_UNSAFE, "cannot attach namespace %xh: it names no single namespace", nsid.v);
    return expect_ctrl(dev, who, &ctrl, err) && nvme_ask_ns(dev, &ctrl.caps, nsid, &page, err) &&
           attachment(dev, nsid, ctrl.caps.cntlid, NVME_NS_ATTACH, err);
}

bool nvme_detach(struct nvme_dev *dev, const struct drive_ident *who, const struct nvme_ns_ident *ns,
                 const struct nvme_ctrls *from, struct err *err)
{
    struct nvme_ctrl_page ctrl;
    struct nvme_ns_page page;
    if (!expect_both(dev, who, ns, &ctrl, &page, err))
        return false;
    if (from == NULL)
        return attachment(dev, ns->nsid, ctrl.caps.cntlid, NVME_NS_DETACH, err);
    for (size_t i = 0; i < from->count; i++)
        if (!attachment(dev, ns->nsid, from->at[i], NVME_NS_DETACH, err))
            return false;
    return true;
}

/* --- Erasing ----------------------------------------------------------------------------------------------------- */

/* FNA bit 0 (a format acts on all namespaces) and bit 1 (a secure erase does) leave only a drive without neighbours. */
static bool expect_alone(struct nvme_dev *dev, const struct drive_caps *caps, struct nsid nsid, struct err *err)
{
    struct nvme_nsids all;
    bool complete;
    if ((caps->fna & (NVME_FNA_FORMAT_ALL | NVME_FNA_ERASE_ALL)) == 0)
        return true;
    if (!nvme_ask_all(dev, caps, &all, &complete, err))
        return false;
    if (complete && (all.count == 0 || (all.count == 1 && nsid_eq(all.at[0], nsid))))
        return true;
    err_set(err, ERR_UNSAFE,
            "cannot format namespace %u: this drive formats all of its namespaces at once (FNA %02xh)%s", nsid.v,
            caps->fna, complete ? "" : " and does not list them all");
    return err_hint(err, "erase it by overwriting");
}

static bool expect_format(const struct nvme_ctrl_page *ctrl, unsigned ses, struct err *err)
{
    if (ses != NVME_SES_USER_DATA && ses != NVME_SES_CRYPTO)
        return err_set(err, ERR_INPUT, "cannot format namespace: secure erase setting %u erases nothing", ses);
    if (!ctrl->caps.format)
        return err_set(err, ERR_INPUT, "cannot format namespace: drive '%s' has no Format NVM", ctrl->ident.serial);
    if (ses == NVME_SES_CRYPTO && (ctrl->caps.fna & NVME_FNA_CRYPTO) == 0)
        return err_set(err, ERR_INPUT, "cannot format namespace: drive '%s' has no cryptographic erase",
                       ctrl->ident.serial);
    return true;
}

bool nvme_format(struct nvme_dev *dev, const struct drive_ident *who, const struct nvme_ns_ident *ns, unsigned ses,
                 uint32_t timeout_ms, struct err *err)
{
    struct nvme_ctrl_page ctrl;
    struct nvme_ns_page page;
    if (!expect_both(dev, who, ns, &ctrl, &page, err) || !expect_format(&ctrl, ses, err) ||
        !expect_alone(dev, &ctrl.caps, ns->nsid, err))
        return false;
    /* MSET, PI and PIL as they are now: DPS bits 2:0 are the type, bit 3 the place of protection information. */
    const uint32_t same = (page.extended ? NVME_FORMAT_MSET : 0u) | (page.protection & 7u) << NVME_FORMAT_PI_SHIFT |
                          ((page.protection & 8u) != 0 ? NVME_FORMAT_PIL : 0u);
    struct nvme_cmd cmd = {.opcode = NVME_OP_FORMAT,
                           .nsid = ns->nsid.v,
                           .cdw10 = nvme_format_cdw10(page.ns.lbaf, (enum nvme_ses)ses) | same,
                           .timeout_ms = timeout_ms};
    return dev->ops->admin(dev, &cmd, err);
}

/* Without AUSE: a sanitize that fails leaves the namespace unreadable until one succeeds. */
bool nvme_sanitize_ns(struct nvme_dev *dev, const struct drive_ident *who, const struct nvme_ns_ident *ns,
                      uint32_t timeout_ms, struct err *err)
{
    struct nvme_ctrl_page ctrl;
    struct nvme_ns_page page;
    bool supported;
    if (!expect_both(dev, who, ns, &ctrl, &page, err) ||
        !nvme_ask_supported(dev, &ctrl, NVME_OP_SANITIZE_NS, &supported, err))
        return false;
    if (!supported)
        return err_set(err, ERR_INPUT, "cannot sanitize namespace %u: drive '%s' has no Sanitize Namespace", ns->nsid.v,
                       who->serial);
    struct nvme_cmd cmd = {
        .opcode = NVME_OP_SANITIZE_NS, .nsid = ns->nsid.v, .cdw10 = NVME_SANACT_CRYPTO, .timeout_ms = timeout_ms};
    return dev->ops->admin(dev, &cmd, err);
}

/* What the sanitize log says of this namespace; a page that tells of something else says nothing. */
static bool sanitize_progress(struct nvme_dev *dev, struct nsid nsid, struct nvme_progress *out, struct err *err)
{
    union nvme_page page;
    struct nvme_sanitize_page log;
    if (!nvme_get_log(dev, NVME_LID_SANITIZE, nsid.v, sizeof(struct nvme_wire_sanitize), &page, err) ||
        !nvme_parse_sanitize(&page, sizeof(page), &log, err))
        return err_wrap(err, "progress of namespace %u", nsid.v);
    if (!nsid_eq(log.target, nsid))
        return true;
    out->failed = log.status == NVME_SSTAT_FAILED;
    if (log.status == NVME_SSTAT_RUNNING)
        *out = (struct nvme_progress){.running = true, .known = true, .percent = log.percent};
    return true;
}

static bool is_running(const struct err *err)
{
    return err->nvme == NVME_ST_FORMAT_RUNNING || err->nvme == NVME_ST_SANITIZE_RUNNING ||
           err->nvme == NVME_ST_SANITIZE_NS_RUNNING;
}

bool nvme_progress(struct nvme_dev *dev, struct nsid nsid, struct nvme_progress *out, struct err *err)
{
    struct nvme_ctrl_page ctrl;
    struct nvme_ns_page page;
    struct nvme_progress seen = {.running = false};
    struct err why = {0};
    bool sanitizes;
    if (!nvme_ask_ctrl(dev, &ctrl, err))
        return false;
    if (nvme_ask_ns(dev, &ctrl.caps, nsid, &page, &why)) {
        const unsigned left = page.remaining_percent;
        seen = (struct nvme_progress){
            .running = left > 0, .known = page.progress_known, .percent = page.progress_known ? 100 - left : 0};
    } else if (is_running(&why)) {
        seen.running = true;
    } else {
        *err = why;
        return false;
    }
    if (!nvme_ask_supported(dev, &ctrl, NVME_OP_SANITIZE_NS, &sanitizes, err) ||
        (sanitizes && !sanitize_progress(dev, nsid, &seen, err)))
        return false;
    *out = seen;
    return true;
}

/* --- Waiting ----------------------------------------------------------------------------------------------------- */

/* Drives in memory have no paths: what can be opened is there. */
static bool is_there(struct nvme_dev *dev, struct nsid nsid, char path[PATH_TEXT_MAX], bool *out, struct err *err)
{
    struct err ignored = {0};
    auto_nvme_ns struct nvme_ns *ns = NULL;
    if (!dev->ops->ns_path(dev, nsid, path, err))
        return false;
    *out = path[0] != '\0' || dev->ops->ns_open(dev, nsid, false, &ns, &ignored);
    return path[0] != '\0' || !*out || dev->ops->ns_path(dev, nsid, path, err);
}

/* At least 1 ms, so that a host which says much does not make it endless. */
static uint32_t wait_some(struct nvme_dev *dev, const struct nvme_patience *patience, uint32_t ms)
{
    uint32_t took_ms = 0;
    if (dev->ops->wait == NULL || !dev->ops->wait(dev, ms, &took_ms)) {
        patience->sleep_ms(patience->ctx, ms);
        return ms;
    }
    return took_ms > 0 ? took_ms : 1;
}

/* The kernel looks by itself when the drive sends an event; where that does not come, a rescan after a third of the
 * time finds what is there. */
bool nvme_wait_node(struct nvme_dev *dev, struct nsid nsid, const struct nvme_patience *patience,
                    char path[PATH_TEXT_MAX], struct err *err)
{
    enum { FIRST_MS = 5, LONGEST_MS = 200 };
    const uint32_t limit_ms = patience->limit_ms;
    char found[PATH_TEXT_MAX] = "";
    bool rescanned = false, there = false;
    uint32_t waited = 0, step = FIRST_MS, ignored;
    if (dev->ops->wait != NULL)
        dev->ops->wait(dev, 0, &ignored); /* listens before the first look */
    for (;;) {
        if (!is_there(dev, nsid, found, &there, err))
            return false;
        if (there)
            break;
        if (!rescanned && waited >= limit_ms / 3) {
            if (!dev->ops->rescan(dev, err))
                return false;
            rescanned = true;
            continue; /* it may be there at once */
        }
        if (waited >= limit_ms) {
            err_set(err, ERR_BUSY,
                    "cannot see namespace %u: the host does not show it %u ms after the drive did, nor after a rescan",
                    nsid.v, limit_ms);
            return err_hint(err,
                            "read the kernel's log; resetting the controller helps, once no slice of it is in use");
        }
        const uint32_t left = (rescanned ? limit_ms : limit_ms / 3) - waited;
        waited += wait_some(dev, patience, step < left ? step : left);
        step = step * 2 < LONGEST_MS ? step * 2 : LONGEST_MS;
    }
    memcpy(path, found, sizeof(found));
    return true;
}
