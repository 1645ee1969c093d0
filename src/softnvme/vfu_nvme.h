/* vfu_nvme.h - an NVMe controller on PCI Express: registers, doorbells, queues in the host's memory, PRPs. "PCIe" is
 * the NVMe over PCIe Transport Specification 1.0.
 *   - No command is fetched while its completion queue has no room for the answer, and no entry is ever overwritten:
 *     what finishes later than it was fetched waits.
 *   - What a host does wrong with one command is that command's status. What leaves nothing to answer with - queues
 *     that are not in memory, doorbells of queues that are not there or past their end, an admin queue that makes no
 *     sense - fails the controller: CSTS.CFS, `why`, and nothing more until it is reset.
 *   - Memory is reached through vfu_dma.h only, and not at all while the device is no bus master.
 *   - Interrupts are bits of `raised`, for the caller to deliver. No clock. */
#ifndef NSMITH_VFU_NVME_H
#define NSMITH_VFU_NVME_H

#include "softnvme/front.h"
#include "softnvme/vfu_dma.h"

enum {
    VFU_QUEUES = FRONT_IO_QUEUES_MAX + 1,
    VFU_ENTRIES_MAX = 1024,
    VFU_HELD_MAX = 64,
    VFU_REGISTERS_LEN = 0x40,
    VFU_DOORBELLS_AT = 0x1000,
};

struct vfu_cq {
    bool is_on, interrupts, phase;
    uint64_t base;
    uint32_t entries, head, tail;
    uint16_t vector;
};

struct vfu_sq {
    bool is_on;
    uint64_t base;
    uint32_t entries, head, tail;
    uint16_t cq;
};

/* A command that was fetched and is not completed: the drive works at it, or its queue was full. */
struct vfu_held {
    bool is_done;
    uint16_t sq, cid, status;
    uint32_t result;
    uint64_t ticket;
};

struct vfu_nvme {
    struct front front;
    const struct vfu_dma *dma; /* borrowed */
    uint16_t vectors;          /* so many interrupts there are */
    bool is_master;
    bool is_shared; /* the drive has a second controller */
    uint32_t aqa;
    uint64_t asq, acq;
    struct vfu_sq sqs[VFU_QUEUES];
    struct vfu_cq cqs[VFU_QUEUES];
    struct vfu_held held[VFU_HELD_MAX];
    size_t held_count;
    uint32_t raised;        /* bit n: vector n */
    uint8_t *data;          /* owned, FRONT_TRANSFER_MAX bytes: of the command that is carried out */
    const char *why;        /* it failed, a text that stays; NULL: it did not */
    size_t transfer_errors; /* so many commands named memory that is not there */
};

void vfu_nvme_init(struct vfu_nvme *out, struct soft_drive *drive, uint16_t cntlid, const struct vfu_dma *dma);
void vfu_nvme_release(struct vfu_nvme *nvme);
/* As after power on. */
void vfu_nvme_reset(struct vfu_nvme *nvme);

/* Accesses to BAR 0 below VFU_TABLE_AT. Registers are written in 4 or 8 aligned bytes, all else changes nothing. */
void vfu_nvme_read(const struct vfu_nvme *nvme, uint64_t offset, uint8_t *to, size_t len);
void vfu_nvme_write(struct vfu_nvme *nvme, uint64_t offset, const uint8_t *from, size_t len);

/* A device that becomes bus master does what was asked of it meanwhile. */
void vfu_nvme_set_master(struct vfu_nvme *nvme, bool is_master);

/* After each tick of the drives, before anything else is carried out: completes what drives have finished. */
void vfu_nvme_ticked(struct vfu_nvme *nvme);
/* After all else of a turn: events. */
void vfu_nvme_events(struct vfu_nvme *nvme);

/* --- for vfu_nvme.c and vfu_queue.c ------------------------------------------------------------------------------ */

/* Fetches and carries out what the queue holds. */
void vfu_queue_run(struct vfu_nvme *nvme, uint16_t sq);
/* Completes what waits for room in this completion queue. */
void vfu_queue_flush(struct vfu_nvme *nvme, uint16_t cq);
bool vfu_queue_has_room(const struct vfu_nvme *nvme, uint16_t cq);
/* The command ends, now or when there is room. */
void vfu_queue_finish(struct vfu_nvme *nvme, const struct vfu_held *done);
void vfu_fail(struct vfu_nvme *nvme, const char *why);
/* Create and Delete I/O Queue: false: the command is another one. */
bool vfu_manage_queue(struct vfu_nvme *nvme, const struct nvme_cmd *cmd, const uint8_t *sqe, uint16_t *status);

/* How much data a command has, by what it says of itself, and where it goes. PCIe has no field for it. */
enum vfu_way { VFU_NO_DATA, VFU_FROM_HOST, VFU_TO_HOST };
struct vfu_transfer {
    enum vfu_way way;
    uint64_t len;
};
struct vfu_transfer vfu_transfer(const struct nvme_cmd *cmd, bool io, uint32_t block_bytes);
/* Copies between `data` and what the PRPs of the entry name; an NVMe status. */
uint16_t vfu_prp_copy(const struct vfu_dma *dma, const uint8_t *sqe, uint8_t *data, size_t len, bool to_host);

#endif
