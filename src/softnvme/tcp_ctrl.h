/* tcp_ctrl.h - NVMe over Fabrics: subsystems, controllers, and the queues that are connected to them.
 *   - There is a discovery subsystem, which lists the drives, and one subsystem a drive.
 *   - A controller is there from the Connect of its admin queue to the end of that connection (Base 2.0, "Dynamic
 *     Controller Model"). Its CNTLID is that of its host: soft_drive_ctrl() gives the same one again, so namespaces
 *     that are attached to a host's controller stay that host's.
 *   - With its admin queue its I/O queues end too; so they do when the host was not heard of for the keep alive time,
 *     and when the drive is pulled out. What a drive has begun goes on.
 *   - No socket and no clock: see tcp_serve.h for them. */
#ifndef NSMITH_TCP_CTRL_H
#define NSMITH_TCP_CTRL_H

#include "nvme/soft_serve.h"
#include "softnvme/front.h"
#include "softnvme/tcp_queue.h"

#define TCP_DISCOVERY_NQN "nqn.2014-08.org.nvmexpress.discovery"

enum {
    TCP_CTRLS_MAX = 64,
    TCP_KAS_MS = 1000, /* granularity of the keep alive timer */
    TCP_NQN_SIZE = 224,
    TCP_ADDRESS_SIZE = 64,
};

struct tcp_link;

struct tcp_ctrl {
    struct front front; /* its requests for events have slots of the admin queue */
    uint64_t resets;    /* of the NVM subsystem that it has seen */
    char host[TCP_NQN_SIZE];
    uint64_t heard_ms;
    size_t links;           /* that point here */
    struct tcp_link *admin; /* borrowed; NULL: gone */
    const char *ended;      /* why; NULL: it has not */
};

/* One connection. The address is the one that the host reached us by. */
struct tcp_link {
    struct tcp_queue queue;
    struct tcp_ctrl *ctrl; /* borrowed; NULL: not connected */
    uint16_t qid;
    bool is_ipv6;
    char address[TCP_ADDRESS_SIZE], port[8];
};

struct tcp_target {
    struct soft_shelf *shelf;              /* borrowed */
    struct tcp_ctrl *ctrls[TCP_CTRLS_MAX]; /* owned; NULL: free */
    uint16_t discoveries;                  /* CNTLIDs of discovery controllers so far */
};

void tcp_target_init(struct tcp_target *out, struct soft_shelf *shelf);
void tcp_target_release(struct tcp_target *target); /* after all links */

void tcp_link_init(struct tcp_link *out);
void tcp_link_release(struct tcp_target *target, struct tcp_link *link);

/* Carries out what has come on the connection. */
void tcp_link_serve(struct tcp_target *target, struct tcp_link *link, uint64_t now_ms);
/* After each tick of the drives, before anything else is carried out: answers what drives have finished. */
void tcp_link_poll(struct tcp_link *link);
/* Ends the connection when its controller has ended. */
void tcp_link_check(struct tcp_link *link);

/* After what has come was carried out: keep alive, drives that are gone, events. */
void tcp_target_poll(struct tcp_target *target, uint64_t now_ms);
uint64_t tcp_target_due_ms(const struct tcp_target *target); /* of the next keep alive timer; UINT64_MAX: none */

/* For tcp_ctrl.c and tcp_admin.c. */
void tcp_finish(struct tcp_link *link, uint16_t slot, uint16_t status, uint64_t result); /* with DNR where it is apt */
/* Finished, held until its ticket is due, or held for ever. */
void tcp_settle(struct tcp_link *link, uint16_t slot, const struct front_answer *answer);
void tcp_admin_run(struct tcp_target *target, struct tcp_link *link, const struct tcp_command *command);
void tcp_ctrl_reset(struct tcp_ctrl *ctrl); /* forgets requests for events too */

#endif
