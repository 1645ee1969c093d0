/* vfu_queue.c - the queues of a controller on PCI Express: commands in, completions out. Base 2.0, "Queueing". */
#include "softnvme/vfu_nvme.h"

#include "base/must.h"
#include "softnvme/vfu_pci.h"

#include <stdatomic.h>
#include <string.h>

enum { CQE_LEN = 16, AT_RESULT = 0, AT_SQ_HEAD = 8, AT_SQ = 10, AT_CID = 12, AT_STATUS = 14 };

void vfu_fail(struct vfu_nvme *nvme, const char *why)
{
    nvme->front.csts |= FRONT_CSTS_FAILED;
    if (nvme->why == NULL)
        nvme->why = why;
}

static bool works(const struct vfu_nvme *nvme)
{
    return nvme->is_master && (nvme->front.csts & (FRONT_CSTS_READY | FRONT_CSTS_FAILED)) == FRONT_CSTS_READY;
}

/* --- Completions ------------------------------------------------------------------------------------------------- */

static uint32_t room(const struct vfu_cq *cq)
{
    return (cq->head + cq->entries - cq->tail - 1) % cq->entries;
}

bool vfu_queue_has_room(const struct vfu_nvme *nvme, uint16_t cq)
{
    return works(nvme) && nvme->cqs[cq].is_on && room(&nvme->cqs[cq]) > 0;
}

static void post(struct vfu_nvme *nvme, const struct vfu_held *done)
{
    struct vfu_sq *sq = &nvme->sqs[done->sq];
    struct vfu_cq *cq = &nvme->cqs[sq->cq];
    uint8_t entry[CQE_LEN] = {0};
    const uint64_t at = cq->base + (uint64_t)cq->tail * CQE_LEN;
    le32_write(entry + AT_RESULT, done->result);
    le16_write(entry + AT_SQ_HEAD, (uint16_t)sq->head);
    le16_write(entry + AT_SQ, done->sq);
    le16_write(entry + AT_CID, done->cid);
    le16_write(entry + AT_STATUS, (uint16_t)(done->status << 1 | cq->phase));
    bool ok = vfu_dma_write(nvme->dma, at, entry, AT_STATUS);
    atomic_thread_fence(memory_order_release); /* the host looks at the phase, and then at the rest */
    ok = ok && vfu_dma_write(nvme->dma, at + AT_STATUS, entry + AT_STATUS, CQE_LEN - AT_STATUS);
    if (!ok) {
        vfu_fail(nvme, "a completion queue is not in memory");
        return;
    }
    cq->tail = (cq->tail + 1) % cq->entries;
    if (cq->tail == 0)
        cq->phase = !cq->phase;
    if (cq->interrupts)
        nvme->raised |= 1u << cq->vector;
}

static void hold(struct vfu_nvme *nvme, const struct vfu_held *what)
{
    must(nvme->held_count < VFU_HELD_MAX);
    nvme->held[nvme->held_count++] = *what;
}

void vfu_queue_finish(struct vfu_nvme *nvme, const struct vfu_held *done)
{
    struct vfu_held held = *done;
    held.is_done = true;
    if (!nvme->sqs[done->sq].is_on)
        return;
    if (vfu_queue_has_room(nvme, nvme->sqs[done->sq].cq))
        post(nvme, &held);
    else
        hold(nvme, &held);
}

void vfu_queue_flush(struct vfu_nvme *nvme, uint16_t cq)
{
    size_t kept = 0;
    for (size_t i = 0; i < nvme->held_count; i++) {
        const struct vfu_held held = nvme->held[i];
        const struct vfu_sq *sq = &nvme->sqs[held.sq];
        if (held.is_done && sq->cq == cq && vfu_queue_has_room(nvme, cq))
            post(nvme, &held);
        else
            nvme->held[kept++] = held;
    }
    nvme->held_count = kept;
}

/* --- Commands ---------------------------------------------------------------------------------------------------- */

static void patch_identify(const struct vfu_nvme *nvme, struct nvme_wire_ctrl *page)
{
    front_identify(&nvme->front, page);
    page->cmic = nvme->is_shared ? NVME_CMIC_MULTI_CTRL | NVME_CMIC_MULTI_PORT : 0;
}

/* The command itself, with its data where it is wanted. */
static void carry_out(struct vfu_nvme *nvme, bool io, struct nvme_cmd *cmd, uint16_t cid, struct front_answer *answer)
{
    if (!io && front_own(&nvme->front, cmd, cid, answer))
        return;
    front_drive(&nvme->front, io, cmd, answer);
    if (!io && answer->how == SOFT_DONE && answer->status == NVME_ST_OK && cmd->opcode == NVME_OP_IDENTIFY &&
        (cmd->cdw10 & 0xff) == NVME_CNS_CTRL)
        patch_identify(nvme, cmd->data);
}

/* As carry_out(), with the data from the host or to it. */
static uint16_t transfer(struct vfu_nvme *nvme, const uint8_t *sqe, bool io, struct front_answer *answer)
{
    struct nvme_cmd cmd = front_cmd(sqe, NULL, 0);
    const uint32_t block = io ? soft_drive_block_bytes(nvme->front.drive, cmd.nsid) : 0;
    const struct vfu_transfer data = vfu_transfer(&cmd, io, block);
    uint16_t status = NVME_ST_OK;
    if (sqe[1] != 0 || data.len > FRONT_TRANSFER_MAX) /* no SGLs, no fused commands; MDTS */
        return NVME_ST_INVALID_FIELD;
    if (data.len > 0) {
        cmd.data = nvme->data;
        cmd.data_len = (uint32_t)data.len;
    }
    if (data.len > 0 && data.way == VFU_FROM_HOST)
        status = vfu_prp_copy(nvme->dma, sqe, nvme->data, data.len, false);
    if (data.len > 0 && data.way == VFU_TO_HOST)
        memset(nvme->data, 0, data.len);
    if (status != NVME_ST_OK)
        return status;
    carry_out(nvme, io, &cmd, le16_read(sqe + 2), answer);
    if (data.len > 0 && data.way == VFU_TO_HOST && answer->how == SOFT_DONE && answer->status == NVME_ST_OK)
        return vfu_prp_copy(nvme->dma, sqe, nvme->data, data.len, true);
    return NVME_ST_OK;
}

static void run(struct vfu_nvme *nvme, uint16_t sq, const uint8_t *sqe)
{
    struct vfu_held held = {.sq = sq, .cid = le16_read(sqe + 2)};
    struct front_answer answer = {.how = SOFT_DONE};
    const struct nvme_cmd cmd = front_cmd(sqe, NULL, 0);
    uint16_t status = NVME_ST_OK;
    if (sq != 0 || !vfu_manage_queue(nvme, &cmd, sqe, &status))
        status = transfer(nvme, sqe, sq != 0, &answer);
    if (status != NVME_ST_OK) {
        nvme->transfer_errors += status == NVME_ST_TRANSFER_ERROR;
        answer = (struct front_answer){.how = SOFT_DONE, .status = status};
    }
    if (answer.aborts)
        vfu_queue_finish(nvme, &(struct vfu_held){.cid = answer.aborted, .status = front_status(NVME_ST_ABORTED)});
    held.status = front_status(answer.status);
    held.result = answer.result;
    held.ticket = answer.ticket;
    if (answer.how == SOFT_DONE)
        vfu_queue_finish(nvme, &held);
    else if (answer.how == SOFT_PENDING)
        hold(nvme, &held);
}

void vfu_queue_run(struct vfu_nvme *nvme, uint16_t sq_id)
{
    enum { AT_ONCE = 2 }; /* Abort has an answer, and so has what it aborts */
    struct vfu_sq *sq = &nvme->sqs[sq_id];
    while (sq->is_on && sq->head != sq->tail && vfu_queue_has_room(nvme, sq->cq) &&
           nvme->held_count + AT_ONCE <= VFU_HELD_MAX) {
        uint8_t sqe[FRONT_SQE_LEN];
        if (!vfu_dma_read(nvme->dma, sq->base + (uint64_t)sq->head * FRONT_SQE_LEN, sqe, sizeof(sqe))) {
            vfu_fail(nvme, "a submission queue is not in memory");
            return;
        }
        sq->head = (sq->head + 1) % sq->entries;
        run(nvme, sq_id, sqe);
    }
}

/* --- Create and Delete ------------------------------------------------------------------------------------------- */

enum { CONTIGUOUS = 1 << 0, INTERRUPTS = 1 << 1, ENTRY_SIZES = 0x46 };

static uint16_t check_create(const struct vfu_nvme *nvme, const struct nvme_cmd *cmd, uint64_t base)
{
    const uint32_t id = cmd->cdw10 & 0xffff, last = cmd->cdw10 >> 16;
    const bool sq = cmd->opcode == NVME_OP_CREATE_SQ;
    if (id == 0 || id > nvme->front.io_queues || (sq ? nvme->sqs[id].is_on : nvme->cqs[id].is_on))
        return NVME_ST_QUEUE_ID;
    if (last == 0 || last >= VFU_ENTRIES_MAX)
        return NVME_ST_QUEUE_SIZE;
    if (!(cmd->cdw11 & CONTIGUOUS) || (nvme->front.cc >> 16 & 0xff) != ENTRY_SIZES)
        return NVME_ST_INVALID_FIELD;
    return base % NVME_PAGE != 0 ? NVME_ST_PRP_OFFSET : NVME_ST_OK;
}

static uint16_t create_cq(struct vfu_nvme *nvme, const struct nvme_cmd *cmd, uint64_t base)
{
    const uint32_t vector = cmd->cdw11 >> 16;
    if (vector >= nvme->vectors)
        return NVME_ST_VECTOR;
    nvme->cqs[cmd->cdw10 & 0xffff] = (struct vfu_cq){.is_on = true,
                                                     .interrupts = cmd->cdw11 & INTERRUPTS,
                                                     .phase = true,
                                                     .base = base,
                                                     .entries = (cmd->cdw10 >> 16) + 1,
                                                     .vector = (uint16_t)vector};
    return NVME_ST_OK;
}

static uint16_t create_sq(struct vfu_nvme *nvme, const struct nvme_cmd *cmd, uint64_t base)
{
    const uint32_t cq = cmd->cdw11 >> 16;
    if (cq == 0 || cq > nvme->front.io_queues)
        return NVME_ST_QUEUE_ID;
    if (!nvme->cqs[cq].is_on)
        return NVME_ST_CQ_INVALID;
    nvme->sqs[cmd->cdw10 & 0xffff] =
        (struct vfu_sq){.is_on = true, .base = base, .entries = (cmd->cdw10 >> 16) + 1, .cq = (uint16_t)cq};
    return NVME_ST_OK;
}

/* What waits in it has no answer any more. */
static uint16_t delete_sq(struct vfu_nvme *nvme, uint32_t id)
{
    size_t kept = 0;
    if (id == 0 || id >= VFU_QUEUES || !nvme->sqs[id].is_on)
        return NVME_ST_QUEUE_ID;
    nvme->sqs[id] = (struct vfu_sq){0};
    for (size_t i = 0; i < nvme->held_count; i++)
        if (nvme->held[i].sq != id)
            nvme->held[kept++] = nvme->held[i];
    nvme->held_count = kept;
    return NVME_ST_OK;
}

static uint16_t delete_cq(struct vfu_nvme *nvme, uint32_t id)
{
    if (id == 0 || id >= VFU_QUEUES || !nvme->cqs[id].is_on)
        return NVME_ST_QUEUE_ID;
    for (size_t i = 1; i < VFU_QUEUES; i++)
        if (nvme->sqs[i].is_on && nvme->sqs[i].cq == id)
            return NVME_ST_QUEUE_DELETION;
    nvme->cqs[id] = (struct vfu_cq){0};
    return NVME_ST_OK;
}

bool vfu_manage_queue(struct vfu_nvme *nvme, const struct nvme_cmd *cmd, const uint8_t *sqe, uint16_t *status)
{
    enum { AT_PRP1 = 24 };
    const uint64_t base = le64_read(sqe + AT_PRP1);
    const bool creates = cmd->opcode == NVME_OP_CREATE_CQ || cmd->opcode == NVME_OP_CREATE_SQ;
    if (!creates && cmd->opcode != NVME_OP_DELETE_CQ && cmd->opcode != NVME_OP_DELETE_SQ)
        return false;
    *status = creates ? check_create(nvme, cmd, base) : NVME_ST_OK;
    if (*status != NVME_ST_OK)
        return true;
    if (cmd->opcode == NVME_OP_CREATE_CQ)
        *status = create_cq(nvme, cmd, base);
    else if (cmd->opcode == NVME_OP_CREATE_SQ)
        *status = create_sq(nvme, cmd, base);
    else if (cmd->opcode == NVME_OP_DELETE_CQ)
        *status = delete_cq(nvme, cmd->cdw10 & 0xffff);
    else
        *status = delete_sq(nvme, cmd->cdw10 & 0xffff);
    nvme->front.queues = 0;
    for (size_t i = 0; i < VFU_QUEUES; i++)
        if (nvme->sqs[i].is_on || nvme->cqs[i].is_on)
            nvme->front.queues |= 1u << i;
    return true;
}
