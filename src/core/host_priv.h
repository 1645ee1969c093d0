/* host_priv.h - what the files of the agent's mind share among themselves: host.c (events, wants, report),
 * host_drive.c (adoption, what a scan shows), host_next.c (the next order), host_done.c (how one ended), host_trial.c (does
 * an erase hit neighbours), host_wear.c (wear per claim), host_vm.c (domains). Nobody else includes it. */
#ifndef NSMITH_HOST_PRIV_H
#define NSMITH_HOST_PRIV_H

#include "core/host.h"
#include "core/slice_step.h"

enum {
    RESCAN_MS = 60000,          /* a drive is looked at anew after that, whatever happens */
    LIST_MS = 30000,            /* which drives are there: the floor, for a host that says nothing */
    VIRT_LIST_MS = 2000,        /* while there are VMs */
    VIRT_HURRY_MS = 100,        /* something changed: look again before the next order */
    VIRT_IDLE_MS = 10000,       /* while there are none: does the hypervisor answer? */
    BACKOFF_MS = 500,           /* doubles with each failure in a row */
    BACKOFF_MS_MAX = 30000,
    DRIVE_FAILURES_MAX = 6,     /* in a row: then the drive is at fault and a person decides */
    OPEN_LOOKS = 4,             /* at a drive that somebody has open, before it counts as used */
    ERASE_BUSY_MS_MAX = 600000, /* a slice that is in use for so long after its release is quarantined */
    LATE_SAY_MS = 60000,        /* between two words about an erase that takes long */
    VM_GRACE_MS = 20000,        /* a guest that was asked to power off */
    VM_START_TRIES = 3,
};

void wake_at(struct host_orders *out, uint64_t when_ms);
uint64_t backoff_ms(uint32_t failures);
struct order *order_add(struct host_orders *out, enum order_kind kind);
void slice_id_make(struct host *host, struct slice_id *out);
void erasure_id_make(struct host *host, struct erasure_id *out);

/* Takes an edge that must be there by construction, and marks the row. */
void slice_do(struct host_slice *slice, const struct slice_event *event);
bool slice_on(const struct host_slice *slice, const struct host_drive *drive);
/* Its namespace is gone, or is another one than it was, by the last scan. */
bool slice_is_lost(const struct host_slice *slice, const struct host_drive *drive);

bool drive_is_ours(const struct host_drive *drive);
uint32_t drive_slices(const struct host *host, const struct host_drive *drive); /* those that were made */
void drive_fault(struct host_drive *drive, const char *why);

void drives_news(struct host *host, const struct drive_news *news);
void drive_listed(struct host *host, const struct host_event *event);
void drive_saw(struct host *host, const struct host_event *event);
void drive_done(struct host *host, const struct host_event *event, struct host_result *result);
void drive_said(struct host *host, const struct host_event *event);
void drives_decide(struct host *host, uint64_t now_ms, struct host_orders *out);
void drive_want(struct host *host, const struct want_drive *want);
void drive_retry(struct host *host, const struct want_retry *want);

struct ns_ident slice_ns(const struct slice *slice);
bool slice_wants_erase(const struct slice *slice);
/* Fills method and neighbour of the erase of this slice. */
void trial_choose(const struct host *host, const struct host_drive *drive, const struct host_slice *slice,
                  struct order *order);
void trial_ended(struct host_drive *drive, const struct host_event *event);
void trial_look(const struct host *host, struct host_drive *drive, const struct drive_seen *now); /* before it is taken */

/* Takes the reading with which a slice is handed out; false: the next scan is waited for. */
bool wear_give(struct host *host, struct host_slice *slice);
void wear_let_go(struct host *host, const struct host_slice *slice); /* its owner has; a new reading is due */
void wear_look(struct host *host, const struct host_drive *drive);   /* after a scan */
/* Also one that no listing has shown yet: a wish may come before the first. NULL: the host has too many. */
struct host_drive *drive_known(struct host *host, const struct drive_ident *ident);

void vm_want(struct host *host, const struct want_vm *want);
void vms_listed(struct host *host, const struct host_event *event);
void vm_done(struct host *host, const struct host_event *event);
void vms_decide(struct host *host, uint64_t now_ms, struct host_orders *out);
/* A VM that holds this claim is not known to be gone. */
bool vm_holds(const struct host *host, const struct claim_id *claim);

struct order *drive_order(struct host_orders *out, struct host_drive *drive, enum order_kind kind);

/* Steps that cutting and probing share; true: an order was given. */
bool give_up_factory(struct host_drive *drive, size_t i, struct host_orders *out);
bool create_one(struct host *host, struct host_drive *drive, struct host_orders *out);
bool attach_one(struct host *host, struct host_drive *drive, struct host_orders *out);
struct order *erase_order(struct host *host, struct host_drive *drive, struct host_slice *slice, struct host_orders *out);
struct ns_ident slice_ns(const struct slice *slice);

/* A destructive probe is at work: the slices of the drive are nobody's business. */
bool probe_holds(const struct host_drive *drive);
/* NULL: nothing speaks against one. *wait: not yet. */
const char *probe_refused(const struct host *host, const struct host_drive *drive, bool *wait);
bool probe_decide(struct host *host, struct host_drive *drive, uint64_t now_ms, struct host_orders *out);
void probe_order_done(struct host_drive *drive, const struct host_event *event);

bool id_is(const struct uuid *a, const struct uuid *b);
void task_state(struct host_drive *drive, enum task_state state, const char *why);
struct order *task_order(struct host_drive *drive, enum order_kind kind, struct host_orders *out);
void task_want(struct host *host, const struct drive_task *want);
/* What a drive that may be worked on is to do for its task. true: nothing else is its turn now. */
bool task_decide(struct host *host, struct host_drive *drive, uint64_t now_ms, struct host_orders *out);
void task_done(struct host_drive *drive, const struct host_event *event);
void task_progress(struct host *host, const struct host_event *event);
void task_drive_gone(struct host_drive *drive);
void task_interrupted(struct host_drive *drive); /* the process ended while it was under way */
/* ---- host_rule.c ---- */

/* Fills out->proposal or out->rule_why of a drive that nobody has adopted. */
void rule_propose(const struct host *host, const struct host_drive *drive, struct drive_report *out);
/* The rule that made the wish for the drive matches what a fresh look has shown, and still says the same. */
bool rule_still_allows(const struct host *host, const struct host_drive *drive, char why[WHY_MAX]);

#endif
