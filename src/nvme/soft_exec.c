/* soft_exec.c - one command through a software drive: faults, the handler, the log of what changed something. */
#include "nvme/soft_drive.h"

#include "base/must.h"

#include <stdlib.h>
#include <string.h>

static bool matches(const struct soft_fault *fault, bool io, const struct nvme_cmd *cmd)
{
    return fault->io == io && fault->opcode == cmd->opcode && (!fault->by_sel || fault->sel == (cmd->cdw10 & 15));
}

/* Counts the command for all faults; the first that is due is taken. */
static const struct soft_fault *take_fault(struct soft_drive *drive, bool io, const struct nvme_cmd *cmd)
{
    const struct soft_fault *due = NULL;
    for (size_t i = 0; i < drive->fault_count; i++) {
        struct soft_fault *fault = &drive->faults[i];
        if (!matches(fault, io, cmd) || fault->seen == UINT32_MAX)
            continue;
        fault->seen++;
        const bool over = fault->count != 0 && fault->seen - fault->nth >= fault->count;
        if (due == NULL && fault->seen >= fault->nth && !over)
            due = fault;
    }
    return due;
}

static bool is_erase(const struct nvme_cmd *cmd)
{
    return cmd->opcode == NVME_OP_FORMAT || cmd->opcode == NVME_OP_SANITIZE || cmd->opcode == NVME_OP_SANITIZE_NS;
}

static bool is_mutating(uint8_t opcode)
{
    return opcode != NVME_OP_IDENTIFY && opcode != NVME_OP_GET_LOG && opcode != NVME_OP_GET_FEATURES;
}

static void note(struct soft_drive *drive, const struct nvme_cmd *cmd, enum soft_result how, uint16_t status)
{
    if (drive->log == NULL)
        drive->log = calloc(SOFT_LOG_MAX, sizeof(*drive->log));
    must(drive->log != NULL);
    struct soft_log_entry *entry = &drive->log[drive->log_seq % SOFT_LOG_MAX];
    *entry = (struct soft_log_entry){.seq = ++drive->log_seq,
                                     .now_ms = drive->now_ms,
                                     .opcode = cmd->opcode,
                                     .nsid = cmd->nsid,
                                     .cdw10 = cmd->cdw10,
                                     .cdw11 = cmd->cdw11,
                                     .result = cmd->result,
                                     .how = how,
                                     .status = status};
}

static uint16_t admin_command(struct soft_drive *drive, struct soft_call *call)
{
    switch (call->cmd->opcode) {
    case NVME_OP_IDENTIFY:
        return soft_identify(drive, call);
    case NVME_OP_GET_LOG:
        return soft_get_log(drive, call);
    case NVME_OP_GET_FEATURES:
    case NVME_OP_SET_FEATURES:
        return soft_features(drive, call);
    case NVME_OP_NS_MANAGEMENT:
        return soft_ns_management(drive, call);
    case NVME_OP_NS_ATTACHMENT:
        return soft_ns_attachment(drive, call);
    case NVME_OP_FORMAT:
        return soft_format(drive, call);
    case NVME_OP_SANITIZE:
        return soft_sanitize(drive, call);
    case NVME_OP_SANITIZE_NS:
        return soft_sanitize_ns(drive, call);
    case NVME_OP_FW_COMMIT:
        return soft_fw_commit(drive, call);
    case NVME_OP_FW_DOWNLOAD:
        return soft_fw_download(drive, call);
    default:
        return NVME_ST_INVALID_OPCODE;
    }
}

/* What a drive that lies says: success, an NSID that might be, pages of zeros. */
static uint16_t lie(struct soft_drive *drive, bool io, struct nvme_cmd *cmd)
{
    if (!io && cmd->opcode == NVME_OP_NS_MANAGEMENT && cmd->cdw10 == NVME_NS_CREATE)
        cmd->result = soft_free_nsid(drive);
    if ((cmd->opcode & 3) == 2 && cmd->data_len > 0)
        memset(cmd->data, 0, cmd->data_len);
    return NVME_ST_OK;
}

/* What the fault makes of the command: true when it is not to be carried out at all. */
static bool apply_fault(struct soft_drive *drive, bool io, const struct soft_fault *fault, struct soft_call *call,
                        uint16_t *status)
{
    const bool erase = !io && is_erase(call->cmd);
    const bool divisible = erase || (io && (call->cmd->opcode & 3) == 1);
    switch (fault->kind) {
    case SOFT_FAULT_STATUS:
        *status = fault->status;
        return true;
    case SOFT_FAULT_TIMEOUT_DONE:
        call->silent = true;
        return false;
    case SOFT_FAULT_TIMEOUT_NOT_DONE:
        call->silent = true;
        return true;
    case SOFT_FAULT_TIMEOUT_HALF_DONE:
        call->silent = true;
        call->effect = SOFT_EFFECT_HALF;
        return !divisible && (rng_next(&drive->rng) & 1);
    case SOFT_FAULT_LIE:
        call->effect = SOFT_EFFECT_NONE;
        if (!erase)
            *status = lie(drive, io, call->cmd);
        return !erase;
    case SOFT_FAULT_HITS_ALL:
        call->all = true;
        return false;
    case SOFT_FAULT_KIND_COUNT:
        break;
    }
    must_fail("a kind of fault", __FILE__, __LINE__);
}

static enum soft_result run(struct soft_drive *drive, uint16_t cntlid, bool io, struct nvme_cmd *cmd,
                            struct soft_outcome *out)
{
    struct soft_call call = {.cmd = cmd, .cntlid = cntlid, .effect = SOFT_EFFECT_FULL};
    uint16_t status = NVME_ST_OK;
    must(soft_state_has_ctrl(&drive->state, cntlid));
    must((cmd->data == NULL) == (cmd->data_len == 0));
    cmd->result = 0;
    if (!drive->present)
        return SOFT_LOST;
    const struct soft_fault *fault = take_fault(drive, io, cmd);
    if (fault == NULL || !apply_fault(drive, io, fault, &call, &status))
        status = io ? soft_io_command(drive, &call) : admin_command(drive, &call);
    const enum soft_result how = call.silent ? SOFT_LOST : call.ticket != 0 ? SOFT_PENDING : SOFT_DONE;
    if (!io && is_mutating(cmd->opcode))
        note(drive, cmd, how, status);
    *out = (struct soft_outcome){.status = status, .ticket = call.ticket};
    return how;
}

enum soft_result soft_admin(struct soft_drive *drive, struct nvme_cmd *cmd, struct soft_outcome *out)
{
    return run(drive, SOFT_CNTLID, false, cmd, out);
}

enum soft_result soft_io(struct soft_drive *drive, struct nvme_cmd *cmd, struct soft_outcome *out)
{
    return run(drive, SOFT_CNTLID, true, cmd, out);
}

enum soft_result soft_admin_on(struct soft_drive *drive, uint16_t cntlid, struct nvme_cmd *cmd,
                               struct soft_outcome *out)
{
    return run(drive, cntlid, false, cmd, out);
}

enum soft_result soft_io_on(struct soft_drive *drive, uint16_t cntlid, struct nvme_cmd *cmd, struct soft_outcome *out)
{
    return run(drive, cntlid, true, cmd, out);
}

enum soft_result soft_drive_poll(struct soft_drive *drive, uint64_t ticket, struct soft_outcome *out)
{
    must(ticket != 0);
    if (drive->op_ticket == ticket)
        return SOFT_PENDING;
    if (drive->done_ticket != ticket)
        return SOFT_LOST;
    *out = (struct soft_outcome){.status = drive->done_status, .ticket = ticket};
    return SOFT_DONE;
}
