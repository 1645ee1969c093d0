#include "softnvme/front.h"

void front_init(struct front *out, struct soft_drive *drive, uint16_t cntlid)
{
    *out = (struct front){.drive = drive, .removals = drive == NULL ? 0 : soft_drive_removals(drive), .cntlid = cntlid};
    front_reset(out);
}

void front_reset(struct front *front)
{
    front->event_count = 0;
    front->io_queues = FRONT_IO_QUEUES_MAX;
    if (front->drive != NULL)
        soft_drive_ctrl_reset(front->drive, front->cntlid);
}

bool front_is_pulled(const struct front *front)
{
    return front->drive != NULL && soft_drive_removals(front->drive) != front->removals;
}

/* --- Registers --------------------------------------------------------------------------------------------------- */

/* Bit 16 = CQR (contiguous queues), 24 = TO in half seconds, 37 = the NVM command set. */
uint64_t front_capabilities(uint32_t entries_max)
{
    return (entries_max - 1) | 1ull << 16 | 40ull << 24 | 1ull << 37;
}

enum front_cc front_write_cc(struct front *front, uint32_t cc)
{
    enum { CSS_MPS_AMS = 0x3ff << 4 }; /* the NVM command set, pages of 4 KiB, round robin: all are 0 */
    enum front_cc change = FRONT_CC_SAME;
    const uint32_t was = front->cc;
    front->cc = cc;
    if (!(was & FRONT_CC_ENABLE) && cc & FRONT_CC_ENABLE) {
        front->csts = cc & CSS_MPS_AMS ? FRONT_CSTS_FAILED : FRONT_CSTS_READY;
        change = FRONT_CC_ENABLED;
    }
    if (was & FRONT_CC_ENABLE && !(cc & FRONT_CC_ENABLE)) {
        front->csts = 0;
        change = FRONT_CC_RESET;
    }
    if (cc & FRONT_CC_SHUTDOWN)
        front->csts |= FRONT_CSTS_SHUTDOWN_DONE;
    return change;
}

/* --- Commands ---------------------------------------------------------------------------------------------------- */

struct nvme_cmd front_cmd(const uint8_t sqe[FRONT_SQE_LEN], void *data, uint32_t len)
{
    return (struct nvme_cmd){.opcode = sqe[0],
                             .nsid = le32_read(sqe + 4),
                             .cdw10 = le32_read(sqe + 40),
                             .cdw11 = le32_read(sqe + 44),
                             .cdw12 = le32_read(sqe + 48),
                             .cdw13 = le32_read(sqe + 52),
                             .cdw14 = le32_read(sqe + 56),
                             .cdw15 = le32_read(sqe + 60),
                             .data = data,
                             .data_len = len};
}

/* Do Not Retry, but where the drive says that it will be able to later. */
uint16_t front_status(uint16_t status)
{
    const bool passes = status == NVME_ST_OK || status == NVME_ST_FORMAT_RUNNING ||
                        status == NVME_ST_SANITIZE_RUNNING || status == NVME_ST_SANITIZE_NS_RUNNING ||
                        status == NVME_ST_NS_NOT_READY || status == NVME_ST_CONNECT_BUSY;
    return passes ? status : status | NVME_STATUS_DNR;
}

void front_identify(const struct front *front, struct nvme_wire_ctrl *page)
{
    enum { MDTS = 6 }; /* in pages of 4 KiB, as a power of two */
    _Static_assert(NVME_PAGE << MDTS == FRONT_TRANSFER_MAX, "MDTS");
    page->mdts = MDTS;
    page->cntlid = le16_of(front->cntlid);
    page->ver = le32_of(NVME_VERSION_2_0);
    page->aerl = FRONT_EVENTS_MAX - 1;
}

enum { FID_QUEUES = 0x07, FID_KEEP_ALIVE = 0x0f };

static bool is_own_feature(const struct front *front, const struct nvme_cmd *cmd)
{
    const uint32_t fid = cmd->cdw10 & 0xff;
    return (cmd->opcode == NVME_OP_SET_FEATURES || cmd->opcode == NVME_OP_GET_FEATURES) &&
           (fid == FID_QUEUES || (fid == FID_KEEP_ALIVE && front->has_keep_alive));
}

static uint16_t feature(struct front *front, const struct nvme_cmd *cmd, uint32_t *result)
{
    const bool set = cmd->opcode == NVME_OP_SET_FEATURES;
    if (cmd->cdw10 >> 8 || (!set && cmd->cdw11) || cmd->cdw12 || cmd->cdw13 || cmd->cdw14 || cmd->cdw15 ||
        cmd->data_len != 0 || (cmd->nsid != 0 && cmd->nsid != NVME_NSID_ALL))
        return NVME_ST_INVALID_FIELD;
    if (cmd->cdw10 == FID_KEEP_ALIVE) {
        if (set)
            front->kato_ms = cmd->cdw11;
        *result = front->kato_ms;
        return NVME_ST_OK;
    }
    const uint32_t sqs = cmd->cdw11 & 0xffff, cqs = cmd->cdw11 >> 16, wanted = sqs > cqs ? sqs : cqs; /* less one */
    if (set && (sqs == 0xffff || cqs == 0xffff))
        return NVME_ST_INVALID_FIELD;
    if (set && front->queues != 1) /* I/O queues are there already */
        return NVME_ST_SEQUENCE;
    if (set)
        front->io_queues = (uint16_t)(wanted < FRONT_IO_QUEUES_MAX ? wanted + 1 : FRONT_IO_QUEUES_MAX);
    *result = (front->io_queues - 1u) | (front->io_queues - 1u) << 16;
    return NVME_ST_OK;
}

static void request_event(struct front *front, uint16_t cid, struct front_answer *out)
{
    if (front->event_count == FRONT_EVENTS_MAX) {
        out->status = NVME_ST_EVENT_LIMIT;
        return;
    }
    front->events[front->event_count++] = cid;
    out->how = SOFT_LOST;
}

/* Best effort, as Base has it: what waits for an event can be aborted; what a drive works at cannot. Bit 0 of the
 * result: it was not aborted. */
static void abort_command(struct front *front, uint32_t cdw10, struct front_answer *out)
{
    const uint16_t cid = (uint16_t)(cdw10 >> 16);
    out->result = 1;
    for (size_t i = 0; i < front->event_count && (cdw10 & 0xffff) == 0 && !out->aborts; i++)
        if (front->events[i] == cid) {
            front->events[i] = front->events[--front->event_count];
            out->result = 0;
            out->aborts = true;
            out->aborted = cid;
        }
}

bool front_own(struct front *front, const struct nvme_cmd *cmd, uint16_t cid, struct front_answer *out)
{
    *out = (struct front_answer){.how = SOFT_DONE};
    if (cmd->opcode == NVME_OP_EVENT_REQUEST)
        request_event(front, cid, out);
    else if (cmd->opcode == NVME_OP_ABORT)
        abort_command(front, cmd->cdw10, out);
    else if (is_own_feature(front, cmd))
        out->status = feature(front, cmd, &out->result);
    else
        return cmd->opcode == NVME_OP_KEEP_ALIVE && front->has_keep_alive;
    return true;
}

void front_drive(struct front *front, bool io, struct nvme_cmd *cmd, struct front_answer *out)
{
    struct soft_outcome outcome = {0};
    const enum soft_result how = io ? soft_io_on(front->drive, front->cntlid, cmd, &outcome)
                                    : soft_admin_on(front->drive, front->cntlid, cmd, &outcome);
    *out = (struct front_answer){.how = how, .status = outcome.status, .result = cmd->result, .ticket = outcome.ticket};
}

bool front_event(struct front *front, uint16_t *cid, uint32_t *result)
{
    if (front->event_count == 0 || front->drive == NULL || !soft_drive_event(front->drive, front->cntlid, result))
        return false;
    *cid = front->events[--front->event_count];
    return true;
}
