/* order.h - carries out one drive order of the agent's mind (core/host.h) through the NVMe port, and blocks until it
 * has ended. No threads, no clock and no sleep of its own: those come in with the environment, so that the same code
 * runs in the agent's workers and in the simulation.
 *   - The drive is found by its identity: names are only places to look; Identify decides.
 *   - Two controllers that report one identity, with an NQN, and different CNTLIDs are two ways to one drive (Base 2.0,
 *     "NVM subsystem"); anything else that two report is two drives that cannot be told apart.
 *   - Of several controllers one is used for everything: that which has namespaces already, and the lowest CNTLID
 *     among such. Our namespaces are private, so a second way would carry nothing; scratch data needs none.
 *   - Every change goes to the descriptor that was identified (nvme_drive.h). */
#ifndef NSMITH_AGENT_ORDER_H
#define NSMITH_AGENT_ORDER_H

#include "core/host.h"
#include "nvme/nvme_drive.h"

struct order_env {
    const struct nvme_port *nvme; /* borrowed */
    const char *host;             /* name, for records; borrowed */
    void *ctx;                    /* of the functions below */
    /* Looks for foreign data on a namespace; adds to the list. `node` is what was opened and identified (its path is
     * empty for drives in memory), and is closed again before the call. */
    void (*foreign)(void *ctx, const struct drive_ident *drive, struct nsid nsid, const struct nvme_node *node,
                    struct foreign_list *list);
    /* ERR_BUSY: something on this host uses the node: a process has it open, it is mounted, held... An exclusive open
     * alone does not tell: on a block device O_EXCL keeps out only those who ask for it too. NULL: nobody can. */
    bool (*unused)(void *ctx, struct nsid nsid, const struct nvme_node *node, struct err *err);
    uint64_t (*unix_ms)(void *ctx);
    void (*sleep_ms)(void *ctx, uint32_t ms);
    /* The drive said that the erase is done; verification begins. */
    void (*said)(void *ctx, const struct order *order);
    void (*progress)(void *ctx, const struct order *order, unsigned percent);
    /* Piece `number` of a firmware image, of exactly `len` bytes. NULL: there is no way to get any. */
    bool (*firmware)(void *ctx, const char *digest, uint32_t number, uint8_t *to, uint32_t len, struct err *err);
};

struct order_list {
    struct drive_ident idents[HOST_DRIVES_MAX * 2]; /* one for each drive; the same twice: two cannot be told apart */
    size_t count;
};

struct order_done {
    bool ok;
    struct err err; /* !ok */
    struct nsid nsid;         /* create */
    struct nvme_node node;    /* node */
    int hold;                 /* node: see nvme_ns_ops.hold; owned by the caller, 0: none */
    bool have_erasure;
    struct erasure erasure;   /* erase: what was done and seen; seq is filled later */
    enum neighbour_fate neighbour; /* erase */
    struct drive_seen *seen;  /* scan: from malloc, owned by the caller */
    bool have_result;
    struct task_result result; /* probe */
};

/* Every drive of which a controller answers Identify. One that does not is left out. */
bool order_list(const struct order_env *env, struct order_list *out, struct err *err);
void order_run(const struct order_env *env, const struct order *order, struct order_done *out);

/* The event that an order's end is for the mind; it borrows all of them. Clock, lists and wants are the caller's. */
struct host_event order_event(enum host_event_kind kind, const struct order *order, const struct order_done *done);

struct order_found {
    char names[NVME_PATHS_MAX][NVME_NAME_LEN]; /* of all controllers of the drive that this host sees; of the one that */
    struct nvme_ctrls ctrls;                   /* was opened first */
};

/* Opens the drive that has this identity, under whatever name it has now; `found` may be NULL. */
bool order_open(const struct order_env *env, const struct drive_ident *ident, struct nvme_dev **out,
                struct order_found *found, struct err *err);

/* For a namespace that was attached a moment ago. */
struct nvme_patience order_patience(const struct order_env *env);

/* Nobody on this host uses the namespace, as env->unused tells. ERR_BUSY: somebody does. */
bool order_unused(const struct order_env *env, struct nvme_dev *dev, struct nsid nsid, struct err *err);

/* A look at the drive, with all checks for foreign data when the order is `fresh`; out->seen is replaced. */
bool order_scan(const struct order_env *env, struct nvme_dev *dev, const struct order_found *found, const struct order *order,
                struct order_done *out, struct err *err);

/* In order_task.c. */
bool order_firmware(const struct order_env *env, struct nvme_dev *dev, const struct order_found *found, const struct order *order,
                    struct order_done *out, struct err *err);
bool order_probe(const struct order_env *env, struct nvme_dev *dev, const struct order *order, struct order_done *out,
                 struct err *err);

/* In order_erase.c: fills *out as above. */
void order_erase(const struct order_env *env, struct nvme_dev *dev, const struct order *order, struct order_done *out);

/* In order_neighbour.c: plants markers in order->neighbour and sees them there, and holds it (*out, NULL: there is none
 * to be tried on). Whatever fails is ERR_BUSY: no erase has begun, another neighbour may do. */
bool neighbour_plant(const struct order_env *env, struct nvme_dev *dev, const struct order *order, struct nvme_ns **out,
                     struct err *err);
enum neighbour_fate neighbour_look(const struct order *order, struct nvme_ns *ns);

enum {
    ORDER_FORMAT_TIMEOUT_MS = 6 * 3600 * 1000, /* what the kernel gets: its own time-out would reset the controller */
    ORDER_NODE_WAIT_MS = 5000,
};

#endif
