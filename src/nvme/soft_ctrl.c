/* soft_ctrl.c - the controllers of a drive: whose they are, and their asynchronous events. Base 2.0, sections "Dynamic
 * Controller Model" and "Asynchronous Event Request command". */
#include "nvme/soft_drive.h"

#include "base/must.h"
#include "base/text.h"

#include <stdio.h>
#include <string.h>

enum {
    EVENT_NS_CHANGED = 1 << 8,         /* of feature 0Bh and of OAES */
    EVENT_NS_CHANGED_DWORD = 0x040002, /* type 2 (notice), information 0 (Namespace Attribute Changed), log 04h */
};

void soft_drive_nqn(const struct soft_drive *drive, char to[SOFT_SUBNQN_SIZE])
{
    memset(to, 0, SOFT_SUBNQN_SIZE);
    snprintf(to, SOFT_SUBNQN_SIZE, "nqn.2026-01.org.nsmith:soft:%s", drive->serial);
}

bool soft_drive_ctrl(struct soft_drive *drive, const char *host_nqn, uint32_t busy, uint16_t *cntlid_out,
                     struct err *err)
{
    struct soft_state next = drive->state;
    for (size_t i = 0; i < next.host_count; i++)
        if (!(busy >> i & 1) && strcmp(next.hosts[i].nqn, host_nqn) == 0) {
            *cntlid_out = (uint16_t)(i + 1);
            return true;
        }
    if (next.host_count == SOFT_CTRLS_MAX)
        return err_set(err, ERR_FULL, "cannot give host '%s' a controller of drive '%s': its %d belong to others",
                       host_nqn, drive->serial, SOFT_CTRLS_MAX);
    if (!text_copy(next.hosts[next.host_count].nqn, SOFT_NQN_SIZE, host_nqn))
        return err_set(err, ERR_INPUT, "cannot give a host a controller: its name is longer than %d characters",
                       SOFT_NQN_SIZE - 1);
    next.host_count++;
    if (soft_commit(drive, &next) != NVME_ST_OK)
        return err_set(err, ERR_FAILED, "cannot give host '%s' a controller: the state cannot be saved", host_nqn);
    *cntlid_out = (uint16_t)next.host_count;
    return true;
}

void soft_drive_ctrl_reset(struct soft_drive *drive, uint16_t cntlid)
{
    must(soft_state_has_ctrl(&drive->state, cntlid));
    drive->ctrls[cntlid - 1] = (struct soft_ctrl){0};
    soft_firmware_reset(drive, SOFT_RESET_CONTROLLER);
}

void soft_drive_subsystem_reset(struct soft_drive *drive)
{
    memset(drive->ctrls, 0, sizeof(drive->ctrls));
    drive->resets++;
    soft_firmware_reset(drive, SOFT_RESET_SUBSYSTEM);
}

uint64_t soft_drive_resets(const struct soft_drive *drive)
{
    return drive->resets;
}

void soft_changed(struct soft_drive *drive, uint16_t cntlid, uint32_t nsid)
{
    if (cntlid == 0)
        return;
    drive->ctrls[cntlid - 1].changed[nsid] = true;
    drive->ctrls[cntlid - 1].event_due = drive->profile.events;
}

bool soft_drive_event(struct soft_drive *drive, uint16_t cntlid, uint32_t *out)
{
    must(soft_state_has_ctrl(&drive->state, cntlid));
    struct soft_ctrl *ctrl = &drive->ctrls[cntlid - 1];
    if (!ctrl->event_due || ctrl->event_masked || !(soft_feature_value(ctrl, NVME_FID_EVENTS) & EVENT_NS_CHANGED))
        return false;
    ctrl->event_due = false;
    ctrl->event_masked = true;
    *out = EVENT_NS_CHANGED_DWORD;
    return true;
}
