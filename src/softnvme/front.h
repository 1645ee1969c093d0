/* front.h - a controller of a software drive as its host sees it, whatever carries the commands: what NVMe/TCP and PCIe
 * have in common. Registers, and the admin commands that the controller itself answers.
 *   - Requests for events (Base 2.0, "Asynchronous Event Request command") wait here and can be aborted; all other
 *     commands are the drive's, or its carrier's.
 *   - A drive that was pulled out is gone for its controllers for good, also when it is back: front_is_pulled().
 *   - No queues, no memory of hosts, no clock. */
#ifndef NSMITH_FRONT_H
#define NSMITH_FRONT_H

#include "nvme/nvme_soft.h"
#include "nvme/nvme_wire.h"

/* Base 2.0, "Controller Properties". */
enum { FRONT_CAP = 0x00, FRONT_VS = 0x08, FRONT_CC = 0x14, FRONT_CSTS = 0x1c };
enum {
    FRONT_CC_ENABLE = 1 << 0,
    FRONT_CC_SHUTDOWN = 3 << 14,
    FRONT_CSTS_READY = 1 << 0,
    FRONT_CSTS_FAILED = 1 << 1,
    FRONT_CSTS_SHUTDOWN_DONE = 2 << 2,
};

enum {
    FRONT_SQE_LEN = 64,
    FRONT_EVENTS_MAX = 4,           /* Asynchronous Event Requests at a time: AERL + 1 */
    FRONT_IO_QUEUES_MAX = 8,        /* pairs */
    FRONT_TRANSFER_MAX = 256 << 10, /* of one command; MDTS says so too */
};

struct front {
    struct soft_drive *drive; /* borrowed; NULL: a controller without one (discovery) */
    uint64_t removals;        /* of the drive at the start */
    uint16_t cntlid;
    uint32_t cc, csts;
    bool has_keep_alive;
    uint32_t kato_ms;                  /* 0: no timer */
    uint16_t io_queues;                /* so many the host was given */
    uint32_t queues;                   /* bit n: queue n is there */
    uint16_t events[FRONT_EVENTS_MAX]; /* CIDs of the requests */
    size_t event_count;
};

void front_init(struct front *out, struct soft_drive *drive, uint16_t cntlid);
/* Base 2.0, "Controller Level Reset": requests for events are forgotten. CC and CSTS stay. */
void front_reset(struct front *front);
bool front_is_pulled(const struct front *front);

/* CAP, for queues of at most so many entries. */
uint64_t front_capabilities(uint32_t entries_max);

/* FRONT_CC_RESET: the caller resets its queues, and front_reset(). */
enum front_cc { FRONT_CC_SAME, FRONT_CC_ENABLED, FRONT_CC_RESET };
enum front_cc front_write_cc(struct front *front, uint32_t cc);

struct nvme_cmd front_cmd(const uint8_t sqe[FRONT_SQE_LEN], void *data, uint32_t len);

struct front_answer {
    enum soft_result how; /* SOFT_PENDING: the drive's ticket tells. SOFT_LOST: not now, perhaps never */
    uint16_t status;
    uint32_t result;
    uint64_t ticket;
    bool aborts; /* the request for an event with this CID ends with NVME_ST_ABORTED, before the command itself */
    uint16_t aborted;
};

/* true: the command was the controller's own. */
bool front_own(struct front *front, const struct nvme_cmd *cmd, uint16_t cid, struct front_answer *out);
/* What the drive says to it. */
void front_drive(struct front *front, bool io, struct nvme_cmd *cmd, struct front_answer *out);
/* With Do Not Retry where it is apt. */
uint16_t front_status(uint16_t status);
/* The fields of Identify Controller that are the same for all carriers. */
void front_identify(const struct front *front, struct nvme_wire_ctrl *page);

/* An event is due and one waits for it: that command is finished with dword 0. */
bool front_event(struct front *front, uint16_t *cid, uint32_t *result);

#endif
