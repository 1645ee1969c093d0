/* host.h - the agent's mind: what a host holds, what is wanted of it, and the next step. Pure.
 *
 *   event -> host_step() -> changed rows (the caller writes them to the ledger, durably) -> orders (the caller
 *   carries them out) -> events.
 *
 *   - Level, not edge: decides from the last scan and the last wants, never from what it thinks it did.
 *   - At most one order per drive and one for the hypervisor is under way at any time.
 *   - Every order that changes a device or a domain is preceded by a changed row that names it (intent).
 *   - Fencing: wants of a lower incarnation, another registration or a lower revision change nothing.
 *   - Shrinks before it grows: detach, delete, create, attach, erase.
 *   - A task (model/task.h) acts once: it is durable before its order is given; one that was under way when the process
 *     ended has failed, unless it only asks.
 *   - A wish that a rule made is judged by the rules once more, after the fresh look.
 *   - Never names a namespace that is neither a slice of the ledger nor, while the drive is being cut for the first
 *     time, one of the factory namespaces that the fresh look before adoption found blank. */
#ifndef NSMITH_HOST_H
#define NSMITH_HOST_H

#include "base/err.h"
#include "base/rng.h"
#include "core/adopt_rule.h"
#include "model/drive.h"
#include "model/erasure.h"
#include "model/slice.h"
#include "model/sync.h"

/* A namespace as it is known by more than its number. */
struct ns_ident {
    struct nsid nsid;
    uint64_t size_bytes;
    uint8_t nguid[16], eui64[8];
};

/* The last task of a drive: one at a time, durable from the moment that it was taken on. */
struct host_task {
    struct drive_task task; /* id empty: it never had one */
    struct task_report report;
    bool changed; /* must be written to the ledger */
};

/* A destructive probe under way (core/host_probe.c). Not durable: one that is cut short has failed, and what it left is
 * cut as ever, for every step of it is one that cutting has too. */
enum probe_phase {
    PROBE_LOOK,
    PROBE_CLEAR,  /* all slices are given up, out of order */
    PROBE_FILL,   /* and made anew */
    PROBE_HOLES,  /* every second is given up */
    PROBE_REFILL, /* and made anew */
    PROBE_ATTACH,
    PROBE_AGAIN,  /* looked at once more */
    PROBE_ERASE,  /* one, beside a neighbour that must not change */
    PROBE_END,
};

struct host_probe {
    enum probe_phase phase;
    bool entered; /* the phase has begun */
    uint64_t phase_ms, order_ms, slowest_ms;
    uint32_t orders, wanted, filled; /* of the phase; slices before it; slices that fitted the empty drive */
    struct ns_ident old[DRIVE_NS_MAX]; /* what was deleted */
    size_t old_count;
};

struct host_drive {
    /* durable when adopt is not ADOPT_NONE */
    struct drive_ident ident;
    struct uuid adoption;
    enum adopt adopt;
    struct layout layout;
    struct name rule; /* that allowed it; empty: a person did */
    char why[WHY_MAX];
    struct ns_ident factory[DRIVE_NS_MAX]; /* namespaces that adoption gives up */
    size_t factory_count;
    struct slice_id creating; /* not empty: a create is intended for this slice, with what was there before: */
    struct nsid creating_known[DRIVE_NS_MAX];
    size_t creating_known_count;
    struct nsid creating_nsid; /* the drive's answer, once it has come; 0: it was lost, then the newcomer must tell */
    uint32_t erasures; /* how often slices of it were erased; for people */
    char trial_firmware[9]; /* with which it was tried whether an erase hits neighbours (host_trial.c) */
    bool trial_passed, trial_hit; /* neither: never tried. It spared them; it did not */
    uint32_t retries;       /* the highest `drive retry` of an operator that was carried out */
    struct host_task task; /* durable by itself, for drives that are not ours too */
    /* not durable */
    struct nsid erased_by_drive; /* since the last scan; 0: nothing */
    bool changed;
    bool present;          /* the last listing showed it */
    bool scanned;          /* seen is newer than the last order */
    uint64_t scanned_ms;
    struct drive_seen seen;
    bool busy;             /* an order is under way */
    uint32_t failures;     /* in a row */
    uint64_t not_before_ms; /* the next order */
    uint32_t looks;         /* in a row that found it only open in another program, which may be udev at its work */
    uint32_t orphans;      /* namespaces that are neither slices nor factory namespaces; they block new creates */
    bool gives_back;       /* it cannot be cut after all, and nothing was: what was detached is attached again */
    bool touched;          /* something happened to it since the order under way was given: what that sees may be old */
    bool ambiguous;        /* two drives of the host carry this serial number: neither is touched */
    struct want_drive want; /* adoption.v empty: none */
    struct drive_task task_want; /* id empty: none */
    struct host_probe probe;
};

struct host_slice {
    struct slice slice; /* slice.changed: to be written */
    /* not durable */
    bool node_known;
    bool block_device;
    uint64_t dev, ino, rdev;
    uint32_t failures;
    uint64_t not_before_ms; /* the next erase or look at its node */
    uint64_t erase_since_ms; /* the erase under way was ordered, 0: none is */
    enum erase_method erase_by;
    uint64_t busy_since_ms; /* first time that an erase found it in use, 0: not */
    bool want_known;
    struct want_slice want; /* the server's last word */
};

struct host_vm {
    struct want_vm want;   /* durable: spec, claim, slices, power, counters */
    uint32_t starts_done, reboots_done;
    struct uuid boot;      /* host boot in which it was started last */
    bool changed, removed; /* removed: the row goes */
    /* not durable */
    bool seen_known;
    struct vm_report seen;
    char why[WHY_MAX];
    uint32_t failures;
    uint64_t not_before_ms;
    uint64_t stop_since_ms;
};

struct host {
    /* durable */
    struct name name;
    uint64_t incarnation, wants_revision;
    uint64_t seq;             /* ledger number, grows with each hand-out and each verified erase */
    uint64_t erasure_seq;     /* of the newest record */
    char erasure_hash[65];    /* its hash */
    struct host_drive drives[HOST_DRIVES_MAX];
    size_t drive_count;
    struct host_slice slices[HOST_SLICES_MAX];
    size_t slice_count;
    struct host_vm vms[HOST_VMS_MAX];
    size_t vm_count;
    bool changed; /* the durable numbers above */
    /* not durable */
    uint64_t registration; /* given by the server at this start */
    struct uuid boot;      /* of this host */
    struct rng rng;        /* for ids and seeds; seeded by the caller */
    bool wants_known;
    bool virt_known;
    bool virt_busy;
    uint64_t virt_listed_ms, listed_ms;
    bool list_busy;
    bool list_due;  /* something says that drives came or went */
    bool drives_listed; /* once at least in this life */
    struct troubles troubles; /* of the last list of drives and the last one of VMs */
    struct adopt_rules rules; /* set by the caller, before the first step */
};

#define ORDER_KINDS(X)                                                                                                 \
    X(ORDER_LIST, "list")         /* which controllers are there, and scan those that are new */                      \
    X(ORDER_SCAN, "scan")         /* one drive, with all checks for foreign data when `fresh` */                       \
    X(ORDER_CREATE, "create")                                                                                          \
    X(ORDER_ATTACH, "attach")                                                                                          \
    X(ORDER_DETACH, "detach")                                                                                          \
    X(ORDER_DELETE, "delete")                                                                                          \
    X(ORDER_ERASE, "erase")                                                                                            \
    X(ORDER_NODE, "node")         /* open, identify, tell path and inode */                                           \
    X(ORDER_PROBE, "probe")       /* ask it everything twice, and judge */                                            \
    X(ORDER_FIRMWARE, "firmware") /* download, commit, look again */                                                  \
    X(ORDER_VIRT_LIST, "vm list")                                                                                      \
    X(ORDER_VM_START, "vm start")                                                                                      \
    X(ORDER_VM_SHUTDOWN, "vm shutdown")                                                                                \
    X(ORDER_VM_REBOOT, "vm reboot")                                                                                    \
    X(ORDER_VM_DESTROY, "vm destroy")                                                                                  \
    X(ORDER_VM_UNDEFINE, "vm undefine")

enum order_kind {
#define X(kind, word) kind,
    ORDER_KINDS(X)
#undef X
        ORDER_KIND_COUNT
};

const char *order_word(enum order_kind kind);

struct order {
    enum order_kind kind;
    /* drive orders */
    struct drive_ident ident;
    struct uuid task; /* that it is for, empty: none */
    bool fresh; /* scan: look for foreign data too */
    struct ns_ident ns;
    struct ns_ident neighbour; /* erase: is not to be hit, as markers that are planted there must show; nsid 0: none */
    struct slice_id slice;
    uint64_t size_blocks; /* create */
    uint8_t lbaf;
    uint32_t block_bytes;
    enum erase_method method;
    uint64_t generation;
    uint8_t seed[16];
    struct wear wear_out, wear_back; /* for the record */
    struct erasure_id erasure;
    char firmware[9]; /* for the record */
    struct firmware_job job;
    /* VM orders */
    struct uuid vm;
};

enum { HOST_ORDERS_MAX = HOST_DRIVES_MAX + 4 };

struct host_orders {
    struct order at[HOST_ORDERS_MAX];
    size_t count;
    uint64_t wake_ms; /* step again then at the latest, with HOST_TICK */
};

/* What became of the markers in order.neighbour. */
enum neighbour_fate {
    NEIGHBOUR_NONE, /* not tried */
    NEIGHBOUR_SPARED,
    NEIGHBOUR_HIT,
    NEIGHBOUR_UNREAD, /* it cannot be read any more: nothing is known */
};

enum host_event_kind {
    HOST_TICK,
    HOST_WANTS,      /* wants */
    HOST_NEWS,       /* the host says that devices came, went or changed: news */
    HOST_LISTED,     /* the drives that are there: idents[] */
    HOST_SEEN,       /* a scan of one drive ended: seen, fresh (or ok = false: it could not be read) */
    HOST_DONE,       /* a drive order ended: order, ok, err, nsid, node, erasure */
    HOST_DRIVE_SAID, /* the drive said that the erase of `order` is done: verification begins */
    HOST_PROGRESS,   /* of order.slice: percent */
    HOST_VIRT,       /* the hypervisor's list */
    HOST_VM_DONE,    /* a VM order ended: order, ok, err */
};

struct host_event {
    enum host_event_kind kind;
    uint64_t now_ms; /* the only clock the core knows; monotonic */
    const struct wants *wants;
    const struct drive_news *news;
    const struct drive_ident *idents;
    size_t ident_count;
    const struct drive_seen *seen;
    bool fresh;
    const struct order *order; /* the order that ended */
    bool ok;
    const struct err *err; /* !ok */
    struct nsid nsid;      /* HOST_DONE of a create */
    bool block_device;     /* HOST_DONE of a node */
    uint64_t dev, ino, rdev;
    const char *path;
    const struct erasure *erasure; /* HOST_DONE of an erase */
    enum neighbour_fate neighbour;
    const struct task_result *result; /* HOST_DONE of a task's order */
    unsigned percent;
    const struct vm_report *vms;
    size_t vm_count;
};

/* record_wanted: the event ended an erase: the caller fills the record's seq from host->erasure_seq, signs it and
 * saves it together with the changed rows. */
struct host_result {
    bool took_wants;
    bool record_wanted;
};

void host_step(struct host *host, const struct host_event *event, struct host_orders *out, struct host_result *result);
/* Orders that were under way when the process ended are not: call once after loading the ledger. */
void host_start(struct host *host, const struct uuid *boot, uint64_t rng_seed, uint64_t registration);
void host_clear_changed(struct host *host);
/* What the server is told. */
void host_report(const struct host *host, struct report *out);
/* The name of the first broken invariant, or NULL. */
const char *host_broken(const struct host *host);

struct host_drive *host_drive_find(struct host *host, const struct drive_ident *ident);
struct host_slice *host_slice_find(struct host *host, const struct slice_id *id);
struct host_vm *host_vm_find(struct host *host, const struct uuid *uuid);

#endif
