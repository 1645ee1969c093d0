/* service.h - what the server decides and writes, over a store, without HTTP, clock or threads.
 *   - Every function here works inside the caller's transaction (store->begin ... commit) and leaves it open: the
 *     caller writes the answer of an Idempotency-Key into the same transaction, so that acting and remembering are
 *     one. After false the caller rolls back: nothing is half done.
 *   - `now_ms` is Unix time. Ids come from service->rng, seeded by the caller.
 *   - A drive that a host's rule proposes is adopted with the report that says so, unless it is wanted already or this
 *     database knows slices of it; why it cannot be is kept with the drive, and is no error.
 *   - What is wanted of a host changes only together with its wants_revision. */
#ifndef NSMITH_SERVICE_H
#define NSMITH_SERVICE_H

#include "base/rng.h"
#include "core/health.h"
#include "core/plan.h"
#include "core/sched.h"
#include "server/fleet.h"
#include "store/store_port.h"

enum {
    SERVICE_SILENT_MS = 30000,      /* a host that has not asked for its wants for so long is down */
    SERVICE_VCPU_OVERCOMMIT = 16,   /* vCPUs given out per CPU of a host; memory is never given out twice */
};

struct service {
    struct store *store; /* borrowed */
    struct rng rng;
    struct health_limits limits; /* health_defaults; the caller may set others after service_open() */
    struct fleet *fleet; /* owned: the scheduler's index, and when each host gave its last sign of life */
};

/* Reads or makes the database's own numbers and the default classes and flavors. Own transaction, committed. */
bool service_open(struct service *service, struct store *store, uint64_t seed, struct err *err);
void service_close(struct service *service); /* also one whose open failed */

/* Of the database, inside the caller's transaction: what is not committed is not so. */
bool service_incarnation(struct service *service, uint64_t *out, struct err *err);

/* ---- the agents ---- */

/* A new life of the host's agent: gives it the next registration. */
bool service_register(struct service *service, const struct name *host, uint64_t now_ms, uint64_t *registration_out,
                      struct err *err);
/* Takes a report; passes over one that is older than the last. ERR_CONFLICT: an agent with a newer registration
 * exists. */
bool service_report(struct service *service, const struct report *report, uint64_t now_ms, struct err *err);
/* One record of the agent's chain, as signed text; must be the next (seq, prev hash). Doubled: true, unchanged. */
bool service_record(struct service *service, const struct name *host, const struct row_erasure *row, const char *prev_hash,
                    const char *hash, struct err *err);
bool service_wants(struct service *service, const struct name *host, uint64_t registration, struct wants *out,
                   struct err *err);
void service_alive(struct service *service, const struct name *host, uint64_t now_ms); /* no transaction needed */
uint64_t service_host_seen_ms(const struct service *service, const struct name *host); /* 0: not since this start */
bool service_host_up(const struct service *service, const struct name *host, uint64_t now_ms);

/* ---- drives ---- */

struct adopt_request {
    char serial[21];
    struct name host;  /* empty: the only host that has such a drive */
    struct name class; /* empty: 500G */
    struct name rule;  /* of the host that asks for it; empty: a person does */
    enum provider provider; /* PROVIDER_NONE: namespace where the drive can, else an error that names `whole` */
};

/* The plan: what adoption would do. ERR_MISSING unknown serial; ERR_UNSAFE foreign data; ERR_CONFLICT adopted already. */
bool service_plan(struct service *service, const struct adopt_request *request, struct row_drive *drive_out,
                  struct layout *out, struct err *err);
/* Plans anew and writes the wish down. `expect_layout` (may be NULL): the plan that a person saw; ERR_CONFLICT when
 * it is another one now. */
bool service_adopt(struct service *service, const struct adopt_request *request, const struct layout *expect_layout,
                   struct uuid *adoption_out, struct err *err);
/* Adopts what the rules of a host (NULL: of all) propose, where it can be planned: with each report, and when the
 * classes have changed. Changes the host's row. */
bool service_rules(struct service *service, const struct name *host, struct err *err);
bool service_drive_find(struct service *service, const char *serial, const struct name *host, struct row_drive *out,
                        struct err *err);

/* Why free slices of a drive are not given out. Both empty: they are. */
struct drive_drain {
    bool person;              /* a person said so: row->drain_why, row->drained_ms */
    uint32_t health;          /* reasons that nobody has accepted */
    struct health_state state; /* by the limits of this server */
};

struct drive_drain service_drive_drain(const struct service *service, const struct row_drive *row);
static inline bool drain_is_on(const struct drive_drain *drain)
{
    return drain->person || drain->health != 0;
}
/* By whom and why, as one phrase; empty: not drained. */
void service_drain_explain(const struct row_drive *row, const struct drive_drain *drain, char *to, size_t size);

/* A person's word. Draining twice is fine: the newer reason holds. ERR_CONFLICT: the drive is not adopted. */
bool service_drain(struct service *service, const char *serial, const struct name *host, const char *why, uint64_t now_ms,
                   struct row_drive *out, struct err *err);
/* ERR_CONFLICT: nobody drained it. ERR_UNSAFE: its health drains it, and `despite_health` was not said; with it, the
 * reasons of this moment are accepted, and no others. */
bool service_resume(struct service *service, const char *serial, const struct name *host, bool despite_health,
                    struct row_drive *out, struct err *err);

/* A drive at fault is looked at once more. ERR_CONFLICT: it is not at fault. */
bool service_drive_retry(struct service *service, const char *serial, const struct name *host, struct row_drive *out,
                         struct err *err);

struct task_request {
    char serial[21];
    struct name host; /* empty: the only host that has such a drive */
    enum task_kind kind;
    struct firmware_job firmware; /* of TASK_FIRMWARE */
    bool action_given;            /* else: now where the drive can, else after a reset */
    bool no_image;                /* a look ahead: the image need not be here yet */
};

/* Asks the drive for it; the id is in drive_out->task. One at a time: ERR_CONFLICT. A destructive probe: ERR_UNSAFE
 * unless the drive is adopted, cut, and all its slices are free, which nobody gets from then on. Firmware: ERR_UNSAFE
 * where the drive holds what is not ours, or has slices in use and cannot activate without a reset. */
bool service_task(struct service *service, const struct task_request *request, struct row_drive *drive_out,
                  struct err *err);

struct firmware_piece {
    char digest[FIRMWARE_DIGEST_HEX];
    uint32_t number;
    char hex[2 * FIRMWARE_PIECE + 1]; /* its bytes, lower-case */
};

/* A firmware image comes and goes in pieces, all of FIRMWARE_PIECE bytes but the last. */
bool service_firmware_put(struct service *service, const struct firmware_piece *piece, uint64_t now_ms, struct err *err);
/* piece->digest and number say which; ERR_MISSING. */
bool service_firmware_get(struct service *service, struct firmware_piece *piece, struct err *err);

/* ---- slices, claims, VMs ---- */

bool service_slice_retry(struct service *service, const struct slice_id *id, struct err *err);
/* ERR_CONFLICT: it is neither quarantined nor gone, or a claim holds it. */
bool service_slice_retire(struct service *service, const struct slice_id *id, struct err *err);

struct claim_request {
    struct claim_id id;  /* empty: made here */
    struct name class;   /* empty: 500G */
    uint32_t slices;
    enum spread spread;
    struct name host;    /* empty: anywhere */
};

/* ERR_FULL: does not fit; msg is the scheduler's explanation. */
bool service_claim(struct service *service, const struct claim_request *request, uint64_t now_ms, struct row_claim *out,
                   struct err *err);
/* ERR_CONFLICT: it belongs to a VM. Releasing twice is fine. */
bool service_claim_release(struct service *service, const struct claim_id *id, struct err *err);

struct vm_request {
    struct vm_spec spec; /* uuid empty: made here; vcpus, memory_bytes 0: the flavor's; datapath: the flavor's */
    struct name flavor;
    struct name host;
};

bool service_vm_create(struct service *service, const struct vm_request *request, uint64_t now_ms, struct row_vm *out,
                       struct err *err);
bool service_vm_delete(struct service *service, const struct name *name, struct err *err);

enum vm_action { VM_START, VM_STOP, VM_KILL, VM_REBOOT };

bool service_vm_act(struct service *service, const struct name *name, enum vm_action action, struct err *err);

/* Free, verified, ours to give: what the scheduler may use. */
bool service_slice_is_free(const struct row_slice *row);

#endif
