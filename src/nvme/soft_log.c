/* soft_log.c - Get Log Page (02h). */
#include "nvme/soft_drive.h"

#include <string.h>

/* 04h: attached, detached or formatted since the list was last read. Reading clears it unless RAE is set. */
static size_t log_changed(struct soft_ctrl *ctrl, bool retain, struct nvme_wire_ns_list *page)
{
    size_t count = 0;
    for (uint32_t nsid = 1; nsid <= SOFT_NS_MAX; nsid++)
        if (ctrl->changed[nsid])
            page->nsid[count++] = le32_of(nsid);
    if (!retain) {
        memset(ctrl->changed, 0, sizeof(ctrl->changed));
        ctrl->event_due = ctrl->event_masked = false;
    }
    return sizeof(*page);
}

static size_t log_effects(const struct soft_drive *drive, struct nvme_wire_effects *page)
{
    const struct soft_profile *profile = &drive->profile;
    const struct le32 plain = le32_of(NVME_EFFECT_SUPPORTED);
    const struct le32 writes = le32_of(NVME_EFFECT_SUPPORTED | NVME_EFFECT_CONTENT);
    const struct le32 erases = le32_of(NVME_EFFECT_SUPPORTED | NVME_EFFECT_CONTENT | 1u << NVME_EFFECT_CSE_SHIFT);
    const struct le32 inventory = le32_of(NVME_EFFECT_SUPPORTED | NVME_EFFECT_INVENTORY);
    page->admin[NVME_OP_GET_LOG] = page->admin[NVME_OP_IDENTIFY] = plain;
    page->admin[NVME_OP_SET_FEATURES] = page->admin[NVME_OP_GET_FEATURES] = plain;
    /* What the controller in front of the drive answers itself. */
    page->admin[NVME_OP_ABORT] = page->admin[NVME_OP_EVENT_REQUEST] = page->admin[NVME_OP_KEEP_ALIVE] = plain;
    if (soft_has_ns_management(drive))
        page->admin[NVME_OP_NS_MANAGEMENT] = page->admin[NVME_OP_NS_ATTACHMENT] = inventory;
    if (profile->format)
        page->admin[NVME_OP_FORMAT] =
            le32_of(NVME_EFFECT_SUPPORTED | NVME_EFFECT_CONTENT | NVME_EFFECT_CAPABILITY | 1u << NVME_EFFECT_CSE_SHIFT);
    if (profile->sanitize_block || profile->sanitize_crypto || profile->sanitize_overwrite)
        page->admin[NVME_OP_SANITIZE] =
            le32_of(NVME_EFFECT_SUPPORTED | NVME_EFFECT_CONTENT | 2u << NVME_EFFECT_CSE_SHIFT);
    if (profile->sanitize_ns)
        page->admin[NVME_OP_SANITIZE_NS] = erases;
    if (profile->firmware_slots > 0) {
        const bool at_once = profile->firmware_activation == SOFT_ACTIVATION_AT_ONCE;
        page->admin[NVME_OP_FW_DOWNLOAD] = plain;
        page->admin[NVME_OP_FW_COMMIT] =
            le32_of((uint32_t)NVME_EFFECT_SUPPORTED | (at_once ? NVME_EFFECT_CTRL_CAP : 0u));
    }
    page->io[NVME_IO_FLUSH] = page->io[NVME_IO_READ] = plain;
    page->io[NVME_IO_WRITE] = writes;
    if (profile->write_zeroes)
        page->io[NVME_IO_WRITE_ZEROES] = writes;
    if (profile->deallocate)
        page->io[NVME_IO_DSM] = writes;
    return sizeof(*page);
}

/* How often an overwrite went over the drive: OWPASS, 0 for 16. */
static unsigned passes(const struct soft_state *state, bool running, uint32_t fraction)
{
    const unsigned wanted = state->sanitize_cdw10 >> 4 & 0xf, all = wanted == 0 ? 16 : wanted;
    if ((state->sanitize_cdw10 & 7) != NVME_SANACT_OVERWRITE)
        return 0;
    return running ? all * fraction / 65536 : state->sanitized == NVME_SSTAT_DONE ? all : 0;
}

/* 81h: of the drive, or (Base 2.3, drives with Sanitize Namespace) of one namespace. 0: no such log. */
static size_t log_sanitize(struct soft_drive *drive, uint32_t nsid, struct nvme_wire_sanitize *page)
{
    const struct soft_profile *profile = &drive->profile;
    const bool of_drive = nsid == 0 || nsid == NVME_NSID_ALL;
    const struct soft_op *op = &drive->state.op;
    uint8_t status = drive->state.sanitized;
    bool running = op->kind == SOFT_OP_SANITIZE;
    if (of_drive && !profile->sanitize_block && !profile->sanitize_crypto && !profile->sanitize_overwrite)
        return 0;
    page->scdw10 = le32_of(drive->state.sanitize_cdw10);
    if (!of_drive) {
        const struct soft_ns *ns = soft_state_ns(&drive->state, nsid);
        if (!profile->sanitize_ns || ns == NULL)
            return 0;
        status = ns->sanitized;
        running = op->kind == SOFT_OP_SANITIZE_NS && op->nsid == nsid;
        page->scdw10 = le32_of(status == NVME_SSTAT_NEVER && !running ? 0 : NVME_SANACT_CRYPTO);
    }
    page->mnsoip = le32_of(profile->sanitize_ns ? 1 : 0);
    page->stnsid = le32_of(of_drive ? 0 : nsid);
    const uint32_t done = soft_op_fraction(drive);
    uint32_t sstat = running ? NVME_SSTAT_RUNNING : status;
    if (of_drive)
        sstat |= passes(&drive->state, running, done) << NVME_SSTAT_PASSES_SHIFT |
                 (drive->state.written ? 0u : NVME_SSTAT_GLOBAL_ERASED);
    page->sstat = le16_of((uint16_t)sstat);
    page->sprog = le16_of(running && done < 0xffff ? (uint16_t)done : 0xffff);
    page->eto = page->etbe = page->etce = le32_of(profile->sanitize_ms / 1000 + 1);
    page->etond = page->etbend = page->etcend = le32_of(0xffffffff); /* no estimate */
    return sizeof(*page);
}

/* Fills the page and returns its size; 0: there is no such log. */
static size_t make_page(struct soft_drive *drive, const struct soft_call *call, uint8_t page[NVME_PAGE])
{
    const struct nvme_cmd *cmd = call->cmd;
    union {
        uint8_t *bytes;
        struct nvme_wire_smart *smart;
        struct nvme_wire_firmware *firmware;
        struct nvme_wire_ns_list *list;
        struct nvme_wire_effects *effects;
        struct nvme_wire_sanitize *sanitize;
    } at = {page};
    switch (cmd->cdw10 & 0xff) {
    case NVME_LID_ERROR:
        return NVME_PAGE; /* no errors to tell of: entries with count 0 */
    case NVME_LID_SMART:
        return soft_smart_log(drive, cmd->nsid, at.smart);
    case NVME_LID_FIRMWARE:
        return soft_firmware_log(drive, at.firmware);
    case NVME_LID_CHANGED_NS:
        return log_changed(&drive->ctrls[call->cntlid - 1], cmd->cdw10 & 1u << 15, at.list);
    case NVME_LID_EFFECTS:
        return log_effects(drive, at.effects);
    case NVME_LID_SANITIZE:
        return log_sanitize(drive, cmd->nsid, at.sanitize);
    default:
        return 0;
    }
}

uint16_t soft_get_log(struct soft_drive *drive, struct soft_call *call)
{
    const struct nvme_cmd *cmd = call->cmd;
    const uint64_t want = ((uint64_t)(cmd->cdw10 >> 16) + ((uint64_t)(cmd->cdw11 & 0xffff) << 16) + 1) * 4;
    const uint64_t offset = cmd->cdw12 | (uint64_t)cmd->cdw13 << 32;
    const uint32_t lid = cmd->cdw10 & 0xff;
    uint8_t page[NVME_PAGE] = {0};
    if (cmd->cdw10 & 0x7f00 || cmd->cdw11 >> 16 || cmd->cdw14 || cmd->cdw15 || cmd->data_len != want || offset % 4)
        return NVME_ST_INVALID_FIELD;
    const bool of_drive = cmd->nsid == 0 || cmd->nsid == NVME_NSID_ALL;
    if (!of_drive && lid != NVME_LID_SANITIZE && !(lid == NVME_LID_SMART && drive->profile.smart_per_namespace))
        return NVME_ST_INVALID_FIELD;
    const struct soft_ns *ns = soft_state_ns(&drive->state, cmd->nsid);
    if (!of_drive && lid == NVME_LID_SMART && (ns == NULL || ns->cntlid != call->cntlid))
        return NVME_ST_INVALID_NS;
    const size_t size = make_page(drive, call, page);
    if (size == 0)
        return NVME_ST_INVALID_LOG_PAGE;
    if (offset > size || want > size - offset)
        return NVME_ST_INVALID_FIELD;
    memcpy(cmd->data, page + offset, (size_t)want);
    return NVME_ST_OK;
}
