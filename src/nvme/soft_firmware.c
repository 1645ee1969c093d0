/* soft_firmware.c - Firmware Image Download (11h), Firmware Commit (10h), the firmware slots and their log (03h).
 * Base 2.0, "Firmware Image Download command", "Firmware Commit command", "Firmware Slot Information".
 *
 * What runs is a copy: a commit may replace the image in the active slot, and what ran before runs on until the next
 * activation. A drive that comes up after a loss of power runs what is in its active slot then.
 *
 * What was downloaded is not durable: a reset of the controller, a loss of power and the commit that uses it discard
 * it. A download that begins again at offset 0 discards what came before; anything else that overlaps is refused. */
#include "nvme/soft_drive.h"

#include "base/must.h"
#include "base/text.h"

#include <stdlib.h>
#include <string.h>

enum { DWORD = 4 };

struct soft_download {
    uint8_t bytes[SOFT_FWIMAGE_BYTES];
    bool have[SOFT_FWIMAGE_BYTES / DWORD];
    size_t end; /* of the piece that reaches farthest */
};

void soft_firmware_factory(struct soft_state *state, const struct soft_profile *profile)
{
    if (state->firmware_count != 0)
        return;
    struct soft_firmware *slot = &state->firmware[state->firmware_count++];
    slot->slot = state->firmware_active = 1;
    text_cut(slot->image.revision, sizeof(slot->image.revision), profile->firmware);
    state->running = slot->image;
}

bool soft_has_ns_management(const struct soft_drive *drive)
{
    return drive->profile.ns_management || drive->state.running.flags & SOFT_FWIMAGE_NS_MANAGEMENT;
}

static struct soft_firmware *find_slot(struct soft_state *state, unsigned number)
{
    for (size_t i = 0; i < state->firmware_count; i++)
        if (state->firmware[i].slot == number)
            return &state->firmware[i];
    return NULL;
}

/* --- Download ---------------------------------------------------------------------------------------------------- */

static void discard(struct soft_drive *drive)
{
    free(drive->download);
    drive->download = NULL;
}

static bool overlaps(const struct soft_download *download, size_t offset, size_t len)
{
    for (size_t at = offset; download != NULL && at < offset + len; at += DWORD)
        if (download->have[at / DWORD])
            return true;
    return false;
}

uint16_t soft_fw_download(struct soft_drive *drive, struct soft_call *call)
{
    const struct nvme_cmd *cmd = call->cmd;
    const uint64_t len = ((uint64_t)cmd->cdw10 + 1) * DWORD, offset = (uint64_t)cmd->cdw11 * DWORD;
    const uint32_t granule = drive->profile.firmware_granularity == 0 ? DWORD : drive->profile.firmware_granularity;
    if (drive->profile.firmware_slots == 0)
        return NVME_ST_INVALID_OPCODE;
    if (drive->state.op.kind == SOFT_OP_SANITIZE)
        return NVME_ST_SANITIZE_RUNNING;
    if (cmd->nsid != 0 || cmd->cdw12 || cmd->cdw13 || cmd->cdw14 || cmd->cdw15 || cmd->data_len != len ||
        len % granule != 0 || offset % granule != 0 || offset > SOFT_FWIMAGE_BYTES || len > SOFT_FWIMAGE_BYTES - offset)
        return NVME_ST_INVALID_FIELD;
    if (overlaps(drive->download, (size_t)offset, (size_t)len)) {
        if (offset != 0)
            return NVME_ST_FW_OVERLAP;
        discard(drive);
    }
    if (drive->download == NULL)
        drive->download = calloc(1, sizeof(*drive->download));
    must(drive->download != NULL);
    memcpy(drive->download->bytes + offset, cmd->data, (size_t)len);
    memset(drive->download->have + offset / DWORD, true, (size_t)len / DWORD);
    if (offset + len > drive->download->end)
        drive->download->end = (size_t)(offset + len);
    return NVME_ST_OK;
}

/* The image that was downloaded, if it is whole and one. */
static bool take_download(struct soft_drive *drive, struct soft_fwimage *out)
{
    const struct soft_download *download = drive->download;
    bool whole = download != NULL;
    for (size_t at = 0; whole && at < download->end; at += DWORD)
        whole = download->have[at / DWORD];
    const bool ok = whole && soft_fwimage_parse(download->bytes, download->end, out);
    discard(drive);
    return ok;
}

/* --- Commit ------------------------------------------------------------------------------------------------------ */

/* FS 0: "the controller shall choose": an empty slot, else one that is not active, else the active one. 0: there is
 * none that could be written. */
static unsigned choose_slot(const struct soft_drive *drive, struct soft_state *state)
{
    const unsigned first = drive->profile.firmware_slot1_read_only ? 2 : 1;
    for (unsigned slot = first; slot <= drive->profile.firmware_slots; slot++)
        if (find_slot(state, slot) == NULL)
            return slot;
    for (unsigned slot = first; slot <= drive->profile.firmware_slots; slot++)
        if (slot != state->firmware_active)
            return slot;
    return first <= drive->profile.firmware_slots ? first : 0;
}

static uint16_t store_image(struct soft_drive *drive, struct soft_state *next, unsigned *number)
{
    struct soft_fwimage image;
    if (*number == 0)
        *number = choose_slot(drive, next);
    if (*number == 0 || *number > drive->profile.firmware_slots ||
        (*number == 1 && drive->profile.firmware_slot1_read_only))
        return NVME_ST_FW_SLOT;
    if (!take_download(drive, &image))
        return NVME_ST_FW_IMAGE;
    struct soft_firmware *slot = find_slot(next, *number);
    if (slot == NULL) {
        must(next->firmware_count < SOFT_FIRMWARE_MAX);
        slot = &next->firmware[next->firmware_count++];
    }
    *slot = (struct soft_firmware){.slot = (uint8_t)*number, .image = image};
    return NVME_ST_OK;
}

static void activate(struct soft_state *state, const struct soft_firmware *slot)
{
    state->running = slot->image;
    state->firmware_active = slot->slot;
    state->firmware_next = 0;
}

/* What the commit says where the image is to run but does not run yet. */
static uint16_t needs_reset(enum soft_activation activation, bool at_once)
{
    switch (activation) {
    case SOFT_ACTIVATION_AT_ONCE:
    case SOFT_ACTIVATION_CONTROLLER_RESET:
        return at_once ? NVME_ST_FW_NEEDS_CTRL_RESET : NVME_ST_OK;
    case SOFT_ACTIVATION_SUBSYSTEM_RESET:
        return NVME_ST_FW_NEEDS_SUBSYSTEM_RESET;
    case SOFT_ACTIVATION_POWER_CYCLE:
        return NVME_ST_FW_NEEDS_CONVENTIONAL_RESET;
    }
    must_fail("an activation", __FILE__, __LINE__);
}

/* The image in the slot is to run, at once or after a reset. It is stored whatever becomes of that, but where it must
 * never run. */
static uint16_t arrange(struct soft_drive *drive, struct soft_state *next, unsigned number, bool at_once)
{
    const enum soft_activation activation = drive->profile.firmware_activation;
    const struct soft_firmware *slot = find_slot(next, number);
    if (slot == NULL)
        return NVME_ST_FW_IMAGE;
    if (slot->image.flags & SOFT_FWIMAGE_PROHIBITED)
        return NVME_ST_FW_PROHIBITED;
    const bool can = activation == SOFT_ACTIVATION_AT_ONCE && !(slot->image.flags & SOFT_FWIMAGE_NEEDS_RESET);
    const bool late = at_once && can && slot->image.flags & SOFT_FWIMAGE_SLOW;
    if (at_once && can && !late)
        activate(next, slot);
    else if (!late)
        next->firmware_next = (uint8_t)number;
    const uint16_t saved = soft_commit(drive, next);
    if (saved != NVME_ST_OK)
        return saved;
    return late ? NVME_ST_FW_MAX_TIME : at_once && can ? NVME_ST_OK : needs_reset(activation, at_once);
}

uint16_t soft_fw_commit(struct soft_drive *drive, struct soft_call *call)
{
    const struct nvme_cmd *cmd = call->cmd;
    const unsigned action = nvme_fw_action(cmd->cdw10);
    unsigned slot = nvme_fw_slot(cmd->cdw10);
    if (drive->profile.firmware_slots == 0)
        return NVME_ST_INVALID_OPCODE;
    if (drive->state.op.kind == SOFT_OP_SANITIZE)
        return NVME_ST_SANITIZE_RUNNING;
    if (cmd->nsid != 0 || cmd->data_len != 0 || !soft_cdws_zero(cmd) || action > NVME_FW_ACTIVATE_NOW ||
        cmd->cdw10 != nvme_fw_commit_cdw10(slot, (enum nvme_fw_action)action))
        return NVME_ST_INVALID_FIELD;
    struct soft_state next = drive->state;
    if (action != NVME_FW_ACTIVATE && !(action == NVME_FW_ACTIVATE_NOW && drive->download == NULL)) {
        const uint16_t stored = store_image(drive, &next, &slot);
        if (stored != NVME_ST_OK)
            return stored;
    } else if (slot == 0 || slot > drive->profile.firmware_slots) {
        return NVME_ST_FW_SLOT;
    }
    if (action == NVME_FW_REPLACE)
        return soft_commit(drive, &next);
    return arrange(drive, &next, slot, action == NVME_FW_ACTIVATE_NOW);
}

/* --- Resets and the log ------------------------------------------------------------------------------------------ */

void soft_firmware_reset(struct soft_drive *drive, enum soft_reset reset)
{
    struct soft_state next = drive->state;
    const enum soft_activation activation = drive->profile.firmware_activation;
    const bool suffices = activation == SOFT_ACTIVATION_POWER_CYCLE       ? reset == SOFT_RESET_POWER
                          : activation == SOFT_ACTIVATION_SUBSYSTEM_RESET ? reset != SOFT_RESET_CONTROLLER
                                                                          : true;
    discard(drive);
    const bool waits = next.firmware_next != 0 && suffices;
    const struct soft_firmware *slot = find_slot(&next, waits ? next.firmware_next : next.firmware_active);
    must(slot != NULL);
    const bool same =
        strcmp(slot->image.revision, next.running.revision) == 0 && slot->image.flags == next.running.flags;
    if (!waits && (same || reset != SOFT_RESET_POWER))
        return;
    activate(&next, slot);
    soft_commit(drive, &next); /* what cannot be saved is tried again at the next reset */
}

static void put_revision(char to[SOFT_REVISION_MAX], const struct soft_fwimage *image)
{
    memset(to, ' ', SOFT_REVISION_MAX);
    memcpy(to, image->revision, strlen(image->revision));
}

size_t soft_firmware_log(const struct soft_drive *drive, struct nvme_wire_firmware *page)
{
    const struct soft_state *state = &drive->state;
    page->afi = (uint8_t)(state->firmware_active | state->firmware_next << NVME_AFI_NEXT_SHIFT);
    for (size_t i = 0; i < state->firmware_count; i++)
        put_revision(page->revision[state->firmware[i].slot - 1], &state->firmware[i].image);
    return sizeof(*page);
}

void soft_firmware_identify(const struct soft_drive *drive, struct nvme_wire_ctrl *page)
{
    const struct soft_profile *profile = &drive->profile;
    put_revision(page->fr, &drive->state.running);
    if (profile->firmware_slots == 0)
        return;
    const bool at_once = profile->firmware_activation == SOFT_ACTIVATION_AT_ONCE;
    page->oacs = le16_of((uint16_t)(le16_get(page->oacs) | NVME_OACS_FIRMWARE));
    page->frmw = (uint8_t)((profile->firmware_slot1_read_only ? NVME_FRMW_SLOT1_READ_ONLY : 0) |
                           profile->firmware_slots << NVME_FRMW_SLOTS_SHIFT | (at_once ? NVME_FRMW_NO_RESET : 0));
    page->fwug = profile->firmware_granularity == 0 ? NVME_FWUG_ANY : (uint8_t)(profile->firmware_granularity / 4096);
    page->mtfa = le16_of(at_once ? (uint16_t)(profile->firmware_max_ms / 100) : 0);
}
