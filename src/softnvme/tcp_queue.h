/* tcp_queue.h - one NVMe/TCP connection, which is one queue: bytes in, commands out; completions in, bytes out.
 *   - No socket and no clock: whoever has them gives received bytes and takes those to be sent.
 *   - A command is handed out when all its data is there. It has a slot until it is finished, now or later.
 *   - A host that breaks the rules gets C2HTermReq where TCP foresees one, and the connection is over: a command that
 *     is under way in a drive goes on.
 *   - Memory is bounded whatever the host does: data of at most TCP_GRANTS commands is asked for at a time, no command
 *     is handed out while more than TCP_OUT_HIGH bytes wait to be sent. */
#ifndef NSMITH_TCP_QUEUE_H
#define NSMITH_TCP_QUEUE_H

#include "softnvme/tcp_pdu.h"

enum { TCP_DEPTH_MAX = 128, TCP_GRANTS = 4, TCP_OUT_HIGH = 1 << 20 };

enum tcp_slot_state {
    TCP_SLOT_FREE,
    TCP_SLOT_WAITING,  /* for its turn to ask for data */
    TCP_SLOT_GRANTED,  /* data was asked for */
    TCP_SLOT_RUNNING,  /* handed out */
    TCP_SLOT_HELD,     /* handed out; whoever has it knows when it will be done */
    TCP_SLOT_TICKETED, /* handed out; a drive's ticket tells */
};

struct tcp_slot {
    enum tcp_slot_state state;
    uint64_t order; /* in which it came */
    uint64_t ticket;
    uint8_t sqe[TCP_SQE_LEN];
    uint8_t *data; /* owned; NULL: none */
    uint32_t len, got;
};

struct tcp_queue {
    uint8_t *in;          /* owned, TCP_PDU_MAX bytes */
    size_t in_len, in_at; /* in_at: so much of it was taken */
    uint8_t *out;         /* owned */
    size_t out_len, out_at, out_size;
    bool is_ready; /* ICReq was answered */
    bool is_over;  /* nothing more is taken; what is in `out` may still be sent */
    const char *why;
    uint8_t alignment;
    uint16_t depth; /* entries; 1 before Connect */
    uint16_t sq_head;
    bool no_sq_head; /* the host renounced flow control */
    uint64_t order;
    size_t granted, tickets;
    struct tcp_slot slots[TCP_DEPTH_MAX];
};

void tcp_queue_init(struct tcp_queue *out);
void tcp_queue_release(struct tcp_queue *queue);

/* Received bytes go to *at, up to the size that is returned; then tcp_queue_received() says how many came. 0: there is
 * no room before commands were taken. */
size_t tcp_queue_room(struct tcp_queue *queue, uint8_t **at);
void tcp_queue_received(struct tcp_queue *queue, size_t len);

struct tcp_command {
    uint16_t slot;
    const uint8_t *sqe; /* borrowed until it is finished or held */
    void *data;         /* likewise; NULL: none. To be filled when it goes to the host */
    uint32_t len;
};

/* The next command; false: none for now, or the connection is over. */
bool tcp_queue_take(struct tcp_queue *queue, struct tcp_command *out);
/* Whether bytes have come that tcp_queue_take() has not looked at for want of room to answer. */
bool tcp_queue_is_stuffed(const struct tcp_queue *queue);

/* Sends data (where there is some and the status is 0) and the completion. */
void tcp_queue_finish(struct tcp_queue *queue, uint16_t slot, uint16_t status, uint64_t result);
/* No answer now; the data is given up. ticket not 0: of the drive. */
void tcp_queue_hold(struct tcp_queue *queue, uint16_t slot, uint64_t ticket);
/* No answer ever, and the slot is free: for a controller that begins anew. */
void tcp_queue_forget(struct tcp_queue *queue, uint16_t slot);
/* The slot that a command has; false: there is none of that CID. */
bool tcp_queue_find(const struct tcp_queue *queue, uint16_t cid, uint16_t *slot_out);

/* Connect was accepted. */
void tcp_queue_connected(struct tcp_queue *queue, uint16_t depth, bool no_sq_head);
/* No more commands; what is to be sent is sent. `why`: a text that stays. */
void tcp_queue_end(struct tcp_queue *queue, const char *why);

/* Bytes to be sent; 0: none. */
size_t tcp_queue_out(const struct tcp_queue *queue, const uint8_t **at);
void tcp_queue_sent(struct tcp_queue *queue, size_t len);

#endif
