/* nvme_firmware.c - the firmware commands of nvme_drive.h. Base 2.0, "Firmware Image Download command", "Firmware Commit
 * command". */
#include "nvme/nvme_drive.h"

#include "base/must.h"
#include "nvme/nvme_ask.h"

bool nvme_fw_download(struct nvme_dev *dev, const struct drive_ident *who, uint32_t offset, const void *bytes,
                      uint32_t len, struct err *err)
{
    must(len > 0 && len % 4 == 0 && offset % 4 == 0);
    if (offset == 0 && !nvme_expect(dev, who, err)) /* once: the rest goes to the same descriptor */
        return false;
    struct nvme_cmd cmd = {.opcode = NVME_OP_FW_DOWNLOAD,
                           .cdw10 = len / 4 - 1,
                           .cdw11 = offset / 4,
                           .data = (void *)(uintptr_t)bytes, /* only read: the opcode says the direction */
                           .data_len = len,
                           .timeout_ms = NVME_CHANGE_MS};
    return dev->ops->admin(dev, &cmd, err);
}

static enum nvme_fw_action action_of(enum firmware_action action)
{
    switch (action) {
    case FIRMWARE_NOW:
        return NVME_FW_ACTIVATE_NOW;
    case FIRMWARE_RESET:
        return NVME_FW_REPLACE_ACTIVATE;
    case FIRMWARE_NONE:
    case FIRMWARE_ACTION_COUNT:
        break;
    }
    return NVME_FW_REPLACE;
}

/* "Firmware activation requires...": the image was taken, and runs after that reset. */
static bool wants_reset(uint16_t status)
{
    return status == NVME_ST_FW_NEEDS_CONVENTIONAL_RESET || status == NVME_ST_FW_NEEDS_SUBSYSTEM_RESET ||
           status == NVME_ST_FW_NEEDS_CTRL_RESET;
}

static bool commit(struct nvme_dev *dev, unsigned slot, enum nvme_fw_action action, struct err *err)
{
    struct nvme_cmd cmd = {.opcode = NVME_OP_FW_COMMIT,
                           .cdw10 = nvme_fw_commit_cdw10(slot, action),
                           .timeout_ms = NVME_CHANGE_MS};
    return dev->ops->admin(dev, &cmd, err);
}

bool nvme_fw_commit(struct nvme_dev *dev, const struct drive_ident *who, const struct firmware_job *job, bool *reset_out,
                    struct err *err)
{
    const enum nvme_fw_action action = action_of(job->action);
    struct err why = {0};
    if (!nvme_expect(dev, who, err))
        return false;
    const bool done = commit(dev, job->slot, action, &why);
    if (!done && !wants_reset(why.nvme)) {
        *err = why;
        return false;
    }
    *reset_out = !done || job->action == FIRMWARE_RESET;
    return true;
}
