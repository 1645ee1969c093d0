/* slice.h - the unit that is scheduled. Its life:
 *
 *   absent -> blank -> erasing -> verifying -> free -> claimed -> attached -> dirty -> erasing ...
 *                                 \-> quarantined (a person decides: retry or retire)
 *
 * There is no edge from dirty to free, and none out of quarantined but an operator's retry or retire.
 * The table of edges is core/slice_step.h. */
#ifndef NSMITH_SLICE_H
#define NSMITH_SLICE_H

#include "base/jmap.h"
#include "model/drive.h"
#include "model/ids.h"

#define SLICE_STATES(X)                                                                                                \
    X(SLICE_ABSENT, "absent")           /* no such thing, or deleted */                                               \
    X(SLICE_BLANK, "blank")             /* made by us, never erased */                                                 \
    X(SLICE_ERASING, "erasing")         /* an erase is intended or under way */                                        \
    X(SLICE_VERIFYING, "verifying")     /* the drive said done; reads must prove it */                                 \
    X(SLICE_FREE, "free")               /* proven clean; nobody's */                                                   \
    X(SLICE_CLAIMED, "claimed")         /* somebody's; not handed out yet */                                           \
    X(SLICE_ATTACHED, "attached")       /* its path was handed out: it may hold data */                                \
    X(SLICE_DIRTY, "dirty")             /* was somebody's */                                                           \
    X(SLICE_QUARANTINED, "quarantined") /* not proven clean; a person decides */

enum slice_state {
#define X(state, word) state,
    SLICE_STATES(X)
#undef X
        SLICE_STATE_COUNT
};

const char *slice_state_word(enum slice_state state);

/* As the agent keeps it in its ledger and reports it. Every number that fences only ever grows. */
struct slice {
    struct slice_id id;
    struct uuid adoption; /* of the drive: a drive adopted anew has other slices */
    char drive[21];       /* serial */
    struct name class;
    struct nsid nsid;
    uint8_t nguid[16], eui64[8]; /* evidence, may be zero */
    uint64_t size_bytes;
    uint32_t block_bytes;
    enum slice_state state;
    uint64_t generation;   /* grows with each change of owner */
    struct claim_id owner; /* empty: nobody's */
    uint64_t attached_seq; /* ledger number of the last hand-out, 0: never */
    uint64_t erased_seq;   /* ledger number of the last verified erase, 0: never */
    struct erasure_id erasure; /* the last verified one */
    struct wear wear_out;      /* when it was handed out last */
    struct wear wear_back;     /* and when that owner had let it go, before it was erased */
    uint32_t retries;      /* the highest `retry` of an operator that was carried out */
    uint8_t progress_percent; /* of the erase under way; not durable */
    char why[WHY_MAX];     /* quarantined, or waiting: what for */
    char path[PATH_TEXT_MAX]; /* of the block device or file while the drive shows it; not durable */
    bool changed;          /* must be written to the ledger; never leaves the agent */
};

extern const struct jmap slice_jmap;

/* A slice class: a nominal size, and how much smaller a slice may be so that a round number fits on a drive. */
struct slice_class {
    struct name name;
    uint64_t nominal_bytes;
    uint32_t tolerance_ppm; /* 10,000 is 1 % */
};

extern const struct jmap slice_class_jmap;

#endif
