/* mail.h - how the agent's threads talk to its loop: messages in a queue, an eventfd that wakes the loop. A message
 * owns everything in it. Any thread posts; only the loop takes. */
#ifndef NSMITH_AGENT_MAIL_H
#define NSMITH_AGENT_MAIL_H

#include "agent/order.h"
#include "virt/virt_port.h"

#include <pthread.h>

enum mail_kind {
    MAIL_EVENT,      /* for host_step(): event kind and what it needs */
    MAIL_REGISTERED, /* the server gave a registration: number */
    MAIL_RECORDS,    /* the server holds the chain up to number */
    MAIL_FATAL,      /* the agent must end: err */
};

struct mail {
    struct mail *next;
    enum mail_kind kind;
    enum host_event_kind event;
    struct order order;
    struct order_done done;       /* HOST_DONE, HOST_SEEN (done.seen), errors of all */
    struct order_list list;       /* HOST_LISTED */
    struct wants *wants;          /* HOST_WANTS; owned */
    struct virt_list *vms;        /* HOST_VIRT; owned */
    unsigned percent;             /* HOST_PROGRESS */
    uint64_t number;
};

struct mailbox {
    pthread_mutex_t lock;
    struct mail *first, **last;
    int wake_fd; /* eventfd */
};

bool mailbox_open(struct mailbox *box, struct err *err);
struct mail *mail_new(enum mail_kind kind); /* zeroed */
void mail_post(struct mailbox *box, struct mail *mail);      /* takes the mail */
struct mail *mail_take(struct mailbox *box);                 /* NULL: none */
void mail_free(struct mail *mail);

#endif
