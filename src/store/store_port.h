/* store_port.h - the server's database: one port, back ends store_sqlite.c, store_pg.c and store_mem.c,
 * one shared test suite (test/unit/t_store.c).
 *   - Work is done in a transaction: begin, get/put/del/each, commit. One at a time in a process.
 *   - commit() returning true means: on the disk. A failed fsync ends the process (invariant 6).
 *   - What was read has not changed when commit() is true: SQLite takes the writer's place at begin (BEGIN IMMEDIATE);
 *     PostgreSQL, where many servers write at once, finds out (SERIALIZABLE): any call may then fail with ERR_BUSY and
 *     err->sys = EAGAIN: roll back, and run the whole transaction again.
 *   - commit() failing with ERR_BUSY and err->sys = EINPROGRESS: the database was lost meanwhile, and nobody can tell
 *     whether it was done. An Idempotency-Key, written in the same transaction, tells later.
 *   - A row is a plain struct of this header, found by its key; put() inserts or replaces the whole row.
 *   - rollback() after a failed commit leaves everything as before begin().
 *   - After a get, put, del or each that failed, those that follow may fail and commit() does: half of a transaction is
 *     never kept.
 *   - Refused, the same by all back ends: ERR_INPUT a row that breaks its own rules (no key, unknown word, wanted
 *     generation below the agent's); ERR_CONFLICT a registration, revision or generation that goes down, an erasure
 *     changed, deleted or with a seq that the host has already, a request with another body, a UUID or claim of another
 *     VM, a slice deleted while claimed; at commit: a slice whose claim is not there.
 *   - SQLite: WAL, synchronous=FULL, foreign_keys, STRICT tables, numbered migrations; a newer schema is refused;
 *     a second server on the same file is refused (ERR_CONFLICT, lock file beside it). */
#ifndef NSMITH_STORE_PORT_H
#define NSMITH_STORE_PORT_H

#include "base/err.h"
#include "model/erasure.h"
#include "model/sync.h"

struct row_host {
    struct name name;        /* key */
    uint64_t registration;   /* the newest that was given out */
    uint64_t report_number;  /* of the last report that was taken, of this registration */
    uint64_t wants_revision; /* grows with each change of what is wanted of the host */
    uint64_t last_seen_ms;
    uint64_t erasures_have;
    uint32_t vcpus;
    uint64_t memory_bytes;
    char public_key[65];
    char software[32];
    char anchor[65]; /* hash of the newest record of the agent's chain that is held here */
    struct troubles troubles; /* as the agent reported last */
};

enum { DRAIN_WHY_MAX = 200 };

struct row_drive {
    char key[96]; /* key: HOST/SERIAL */
    struct name host;
    struct drive_report report; /* the newest of the agent */
    uint64_t seen_ms;
    bool wanted; /* adoption was asked for */
    struct drive_task task; /* wanted, until the agent has reported its end; id empty: none */
    struct uuid adoption;
    struct layout layout;
    struct health_state health;   /* by the report before: what flaps needs a memory */
    uint32_t health_accepted;     /* reasons to drain that a person has accepted */
    uint32_t retries;             /* wanted */
    bool drained;                 /* by a person */
    char drain_why[DRAIN_WHY_MAX];
    uint64_t drained_ms;
    struct name rule;       /* of the host that asked for it; empty: a person did */
    char rule_why[WHY_MAX]; /* a rule asked for it, and it cannot be: why */
};

struct row_slice {
    struct slice slice; /* key: slice.id. As the agent reported it last */
    struct name host;
    uint64_t generation;   /* wanted; >= slice.generation */
    struct claim_id claim; /* wanted owner, empty: nobody. At most one, by construction */
    uint32_t retries;
    bool retire;
    bool gone; /* the agent does not report it any more */
};

#define CLAIM_STATES(X)                                                                                  \
    X(CLAIM_GRANTED, "granted") /* the slices are this claim's; the host does not have them ready yet */ \
    X(CLAIM_READY, "ready")     /* paths can be used */                                                  \
    X(CLAIM_RELEASING, "releasing")

enum claim_state {
#define X(state, word) state,
    CLAIM_STATES(X)
#undef X
        CLAIM_STATE_COUNT
};

extern const char *const claim_state_words[CLAIM_STATE_COUNT];

struct row_claim {
    struct claim_id id; /* key */
    struct name host;
    struct name class;
    struct name vm; /* empty: a bare claim */
    enum claim_state state;
    uint64_t created_ms;
    struct slice_id slices[CLAIM_SLICES_MAX]; /* in the order of the guest */
    size_t slice_count;
};

struct row_vm {
    struct vm_spec spec; /* key: spec.name */
    struct name flavor;
    struct claim_id claim;
    struct name host;
    enum vm_power power; /* wanted; VM_GONE: being deleted */
    uint32_t starts, reboots;
    bool force;
    uint64_t created_ms;
    struct vm_report seen; /* the newest of the agent; name empty: none yet */
};

struct row_erasure {
    struct erasure_id id; /* key */
    struct name host;
    uint64_t seq;
    struct slice_id slice;
    struct erasure erasure;
    char text[4096]; /* the signed record as the agent wrote it: the certificate when verified */
};

struct row_request {
    char key[96]; /* key: Idempotency-Key */
    char body_hash[65];
    uint32_t status;
    char answer[8192];
    uint64_t made_ms;
};

/* One piece of a firmware image; a drive's task says how many there are. */
struct row_firmware {
    char key[80]; /* key: DIGEST/NUMBER, five digits, from 00000 */
    uint64_t made_ms;
    char hex[2 * FIRMWARE_PIECE + 1]; /* FIRMWARE_PIECE bytes, but of the last */
};

struct row_meta {
    char key[32]; /* key */
    char value[256];
};

#define STORE_KINDS(X)                            \
    X(ROW_META, "meta", struct row_meta)          \
    X(ROW_HOST, "host", struct row_host)          \
    X(ROW_DRIVE, "drive", struct row_drive)       \
    X(ROW_SLICE, "slice", struct row_slice)       \
    X(ROW_CLASS, "class", struct slice_class)     \
    X(ROW_FLAVOR, "flavor", struct flavor)        \
    X(ROW_CLAIM, "claim", struct row_claim)       \
    X(ROW_VM, "vm", struct row_vm)                \
    X(ROW_ERASURE, "erasure", struct row_erasure) \
    X(ROW_REQUEST, "request", struct row_request) \
    X(ROW_FIRMWARE, "firmware", struct row_firmware)

enum store_kind {
#define X(kind, word, type) kind,
    STORE_KINDS(X)
#undef X
        STORE_KIND_COUNT
};

size_t store_row_size(enum store_kind kind);
const char *store_row_key(enum store_kind kind, const void *row); /* pointer into the row */

/* Which rows: empty text matches all. Rows come in the order of their keys. */
struct store_filter {
    const char *host;  /* rows with a host */
    const char *claim; /* ROW_SLICE */
    const char *slice; /* ROW_ERASURE */
};

/* Called once a row; row is borrowed for the call; must not call the store. false stops the walk. */
typedef bool (*store_each_fn)(void *ctx, const void *row);

struct store {
    void *self;
    bool (*begin)(void *self, struct err *err);
    bool (*commit)(void *self, struct err *err);
    void (*rollback)(void *self); /* no transaction: nothing */
    bool (*get)(void *self, enum store_kind kind, const char *key, void *row, bool *found, struct err *err);
    bool (*put)(void *self, enum store_kind kind, const void *row, struct err *err);
    bool (*del)(void *self, enum store_kind kind, const char *key, struct err *err); /* not there: true */
    bool (*each)(void *self, enum store_kind kind, const struct store_filter *filter, store_each_fn fn, void *ctx,
                 struct err *err);
    void (*close)(void *self);
};

bool store_sqlite_open(const char *path, struct store *out, struct err *err);
/* conninfo: libpq's, "postgresql://user@host/database"; see pg_util.h. */
bool store_pg_open(const char *conninfo, struct store *out, struct err *err);
bool store_mem_open(struct store *out, struct err *err);
/* Memory only: the n-th commit from now fails (1: the next), before (false) or after (true) it took effect; 0: none. */
void store_mem_fail(struct store *store, unsigned nth, bool after);

#endif
