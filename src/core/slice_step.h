/* slice_step.h - the one place where a slice changes its state. Pure.
 *   - The edges are those of model/slice.h; anything else is SLICE_NO_EDGE and changes nothing.
 *   - Nothing leads to free but SLICE_VERIFIED out of verifying (and the birth of none).
 *   - Nothing leads out of quarantined but SLICE_RETRY (to dirty) and SLICE_RETIRED (to absent).
 *   - Each change of owner raises the generation to the one that the order carries; an order with a generation that
 *     is not higher changes nothing (SLICE_STALE).
 *   - attached is entered with attached_seq above erased_seq, free with erased_seq above attached_seq. */
#ifndef NSMITH_SLICE_STEP_H
#define NSMITH_SLICE_STEP_H

#include "model/slice.h"

#define SLICE_EVENTS(X)                                                                                                \
    X(SLICE_MADE, "made")             /* namespace created: absent -> blank */                                         \
    X(SLICE_ERASE, "erase")           /* blank, dirty, or again after a crash -> erasing */                            \
    X(SLICE_ERASED, "erased")         /* the drive said done: erasing -> verifying */                                  \
    X(SLICE_VERIFIED, "verified")     /* verifying -> free; needs seq */                                               \
    X(SLICE_UNPROVEN, "unproven")     /* any erase that is not proof: -> quarantined; needs why */                     \
    X(SLICE_CLAIM, "claim")           /* free -> claimed; needs owner and generation */                                \
    X(SLICE_HANDED_OUT, "handed out") /* claimed -> attached; needs seq */                                             \
    X(SLICE_RELEASE, "release")       /* claimed, attached -> dirty; free, quarantined stay so; needs generation */    \
    X(SLICE_LOST, "lost")             /* the drive does not show it as ours any more: -> quarantined; needs why */     \
    X(SLICE_RETRY, "retry")           /* quarantined -> dirty; needs generation where it still has an owner */         \
    X(SLICE_RETIRED, "retired")       /* quarantined, and its namespace deleted: -> absent */

enum slice_event_kind {
#define X(kind, word) kind,
    SLICE_EVENTS(X)
#undef X
        SLICE_EVENT_COUNT
};

const char *slice_event_word(enum slice_event_kind kind);

struct slice_event {
    enum slice_event_kind kind;
    uint64_t generation;
    uint64_t seq;
    const struct claim_id *owner;     /* borrowed */
    const struct erasure_id *erasure; /* borrowed */
    const char *why;                  /* borrowed */
};

enum slice_result { SLICE_CHANGED, SLICE_NO_EDGE, SLICE_STALE };

enum slice_result slice_step(struct slice *slice, const struct slice_event *event);

/* What must be true of a slice at any time; the name of the first broken rule, or NULL. */
const char *slice_broken(const struct slice *slice);

#endif
