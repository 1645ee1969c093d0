#include "softnvme/vfu_nvme.h"

#include "base/must.h"
#include "softnvme/vfu_pci.h"

#include <stdlib.h>
#include <string.h>

_Static_assert((int)VFU_VECTORS == (int)VFU_QUEUES, "a vector for each queue");

enum { REG_AQA = 0x24, REG_ASQ = 0x28, REG_ACQ = 0x30 };

void vfu_nvme_init(struct vfu_nvme *out, struct soft_drive *drive, uint16_t cntlid, const struct vfu_dma *dma)
{
    *out = (struct vfu_nvme){.dma = dma, .vectors = soft_drive_profile(drive)->msi ? VFU_MSI_VECTORS : VFU_VECTORS};
    out->data = malloc(FRONT_TRANSFER_MAX);
    must(out->data != NULL);
    front_init(&out->front, drive, cntlid);
}

void vfu_nvme_release(struct vfu_nvme *nvme)
{
    free(nvme->data);
    *nvme = (struct vfu_nvme){0};
}

/* Controller Level Reset: all but the registers of the admin queue. */
static void reset_queues(struct vfu_nvme *nvme)
{
    memset(nvme->sqs, 0, sizeof(nvme->sqs));
    memset(nvme->cqs, 0, sizeof(nvme->cqs));
    nvme->held_count = 0;
    nvme->raised = 0;
    nvme->why = NULL;
    nvme->front.queues = 0;
    front_reset(&nvme->front);
}

void vfu_nvme_reset(struct vfu_nvme *nvme)
{
    reset_queues(nvme);
    front_init(&nvme->front, nvme->front.drive, nvme->front.cntlid);
    nvme->aqa = 0;
    nvme->asq = nvme->acq = 0;
}

/* --- Registers --------------------------------------------------------------------------------------------------- */

void vfu_nvme_read(const struct vfu_nvme *nvme, uint64_t offset, uint8_t *to, size_t len)
{
    uint8_t registers[VFU_REGISTERS_LEN] = {0};
    le64_write(registers + FRONT_CAP, front_capabilities(VFU_ENTRIES_MAX));
    le32_write(registers + FRONT_VS, NVME_VERSION_2_0);
    le32_write(registers + FRONT_CC, nvme->front.cc);
    le32_write(registers + FRONT_CSTS, nvme->front.csts);
    le32_write(registers + REG_AQA, nvme->aqa);
    le64_write(registers + REG_ASQ, nvme->asq);
    le64_write(registers + REG_ACQ, nvme->acq);
    for (size_t i = 0; i < len; i++) /* behind them there are reserved ones, and doorbells, which read as zeros */
        to[i] = offset + i < sizeof(registers) ? registers[offset + i] : 0;
}

static void enable(struct vfu_nvme *nvme)
{
    const uint32_t sq_last = nvme->aqa & 0xfff, cq_last = nvme->aqa >> 16 & 0xfff;
    if (nvme->front.csts & FRONT_CSTS_FAILED)
        vfu_fail(nvme, "CC asks for a command set, a page size or an arbitration that it does not have");
    else if (sq_last == 0 || cq_last == 0)
        vfu_fail(nvme, "AQA gives an admin queue one entry");
    else if (nvme->asq % NVME_PAGE != 0 || nvme->acq % NVME_PAGE != 0)
        vfu_fail(nvme, "an admin queue does not begin on a page");
    if (nvme->why != NULL)
        return;
    nvme->sqs[0] = (struct vfu_sq){.is_on = true, .base = nvme->asq, .entries = sq_last + 1};
    nvme->cqs[0] =
        (struct vfu_cq){.is_on = true, .interrupts = true, .phase = true, .base = nvme->acq, .entries = cq_last + 1};
    nvme->front.queues = 1;
}

static void write_register(struct vfu_nvme *nvme, uint64_t offset, uint32_t value)
{
    const bool is_off = !(nvme->front.cc & FRONT_CC_ENABLE);
    if (offset == FRONT_CC) {
        switch (front_write_cc(&nvme->front, value)) {
        case FRONT_CC_ENABLED:
            enable(nvme);
            break;
        case FRONT_CC_RESET:
            reset_queues(nvme);
            break;
        case FRONT_CC_SAME:
            break;
        }
    } else if (offset == REG_AQA && is_off) {
        nvme->aqa = value;
    } else if ((offset == REG_ASQ || offset == REG_ACQ) && is_off) {
        uint64_t *base = offset == REG_ASQ ? &nvme->asq : &nvme->acq;
        *base = (*base & ~(uint64_t)UINT32_MAX) | value;
    } else if ((offset == REG_ASQ + 4 || offset == REG_ACQ + 4) && is_off) {
        uint64_t *base = offset == REG_ASQ + 4 ? &nvme->asq : &nvme->acq;
        *base = (*base & UINT32_MAX) | (uint64_t)value << 32;
    }
}

static void run_all(struct vfu_nvme *nvme, uint16_t cq)
{
    for (uint16_t i = 0; i < VFU_QUEUES; i++)
        if (nvme->sqs[i].is_on && nvme->sqs[i].cq == cq)
            vfu_queue_run(nvme, i);
}

static void ring_sq(struct vfu_nvme *nvme, uint16_t id, uint32_t tail)
{
    if (tail >= nvme->sqs[id].entries) {
        vfu_fail(nvme, "a doorbell moved the tail of a submission queue past its end");
        return;
    }
    nvme->sqs[id].tail = tail;
    vfu_queue_run(nvme, id);
}

static void ring_cq(struct vfu_nvme *nvme, uint16_t id, uint32_t head)
{
    struct vfu_cq *cq = &nvme->cqs[id];
    if (head >= cq->entries ||
        (head + cq->entries - cq->head) % cq->entries > (cq->tail + cq->entries - cq->head) % cq->entries) {
        vfu_fail(nvme, "a doorbell moved the head of a completion queue past its tail");
        return;
    }
    cq->head = head;
    vfu_queue_flush(nvme, id);
    run_all(nvme, id);
}

/* Doorbells of queues that are not there change nothing: hosts ring them after they have deleted a queue. */
static void ring(struct vfu_nvme *nvme, uint64_t offset, uint32_t value)
{
    const uint64_t doorbell = (offset - VFU_DOORBELLS_AT) / 4, id = doorbell / 2;
    const bool is_cq = doorbell & 1;
    if (id >= VFU_QUEUES || nvme->front.csts & FRONT_CSTS_FAILED)
        return;
    if (is_cq && nvme->cqs[id].is_on)
        ring_cq(nvme, (uint16_t)id, value);
    else if (!is_cq && nvme->sqs[id].is_on)
        ring_sq(nvme, (uint16_t)id, value);
}

void vfu_nvme_write(struct vfu_nvme *nvme, uint64_t offset, const uint8_t *from, size_t len)
{
    if ((len != 4 && len != 8) || offset % len != 0)
        return;
    for (size_t i = 0; i < len; i += 4)
        if (offset + i >= VFU_DOORBELLS_AT)
            ring(nvme, offset + i, le32_read(from + i));
        else
            write_register(nvme, offset + i, le32_read(from + i));
}

/* --- Time -------------------------------------------------------------------------------------------------------- */

void vfu_nvme_set_master(struct vfu_nvme *nvme, bool is_master)
{
    const bool was = nvme->is_master;
    nvme->is_master = is_master;
    for (uint16_t i = 0; i < VFU_QUEUES && is_master && !was; i++) {
        vfu_queue_flush(nvme, i);
        run_all(nvme, i);
    }
}

void vfu_nvme_ticked(struct vfu_nvme *nvme)
{
    struct soft_outcome outcome;
    size_t kept = 0;
    for (size_t i = 0; i < nvme->held_count; i++) {
        struct vfu_held held = nvme->held[i];
        const enum soft_result how =
            held.is_done ? SOFT_DONE : soft_drive_poll(nvme->front.drive, held.ticket, &outcome);
        if (how == SOFT_LOST) /* no completion will ever come */
            continue;
        if (how == SOFT_DONE && !held.is_done) {
            held.is_done = true;
            held.status = front_status(outcome.status);
        }
        nvme->held[kept++] = held;
    }
    const bool freed = kept < nvme->held_count;
    nvme->held_count = kept;
    for (uint16_t i = 0; i < VFU_QUEUES && (kept > 0 || freed); i++) {
        vfu_queue_flush(nvme, i);
        run_all(nvme, i);
    }
}

void vfu_nvme_events(struct vfu_nvme *nvme)
{
    uint16_t cid;
    uint32_t result;
    while (vfu_queue_has_room(nvme, 0) && front_event(&nvme->front, &cid, &result))
        vfu_queue_finish(nvme, &(struct vfu_held){.cid = cid, .result = result});
}
