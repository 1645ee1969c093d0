#include "core/slice_step.h"

#include "base/must.h"
#include "base/text.h"

const char *slice_event_word(enum slice_event_kind kind)
{
    static const char *const words[] = {
#define X(kind, word) [kind] = word,
        SLICE_EVENTS(X)
#undef X
    };
    must(kind < SLICE_EVENT_COUNT);
    return words[kind];
}

/* The edges, state by state. What is not here is no edge. TO() is never 0, so that an empty cell means "none". */
#define TO(state) ((unsigned char)((state) + 1))

static const unsigned char edges[SLICE_STATE_COUNT][SLICE_EVENT_COUNT] = {
    [SLICE_ABSENT] = {[SLICE_MADE] = TO(SLICE_BLANK)},
    [SLICE_BLANK] = {[SLICE_ERASE] = TO(SLICE_ERASING),
                     [SLICE_UNPROVEN] = TO(SLICE_QUARANTINED), /* an erase that could not begin in its time */
                     [SLICE_LOST] = TO(SLICE_QUARANTINED)},
    [SLICE_ERASING] = {[SLICE_ERASE] = TO(SLICE_ERASING), /* again, after a crash */
                       [SLICE_ERASED] = TO(SLICE_VERIFYING),
                       [SLICE_UNPROVEN] = TO(SLICE_QUARANTINED),
                       [SLICE_LOST] = TO(SLICE_QUARANTINED)},
    [SLICE_VERIFYING] = {[SLICE_ERASE] = TO(SLICE_ERASING), /* the markers that were planted died with the process */
                         [SLICE_VERIFIED] = TO(SLICE_FREE),
                         [SLICE_UNPROVEN] = TO(SLICE_QUARANTINED),
                         [SLICE_LOST] = TO(SLICE_QUARANTINED)},
    [SLICE_FREE] = {[SLICE_CLAIM] = TO(SLICE_CLAIMED),
                    [SLICE_RELEASE] = TO(SLICE_FREE), /* of a claim that never came here: only the generation moves */
                    [SLICE_LOST] = TO(SLICE_QUARANTINED)},
    [SLICE_CLAIMED] = {[SLICE_HANDED_OUT] = TO(SLICE_ATTACHED),
                       [SLICE_RELEASE] = TO(SLICE_DIRTY),
                       [SLICE_LOST] = TO(SLICE_QUARANTINED)},
    [SLICE_ATTACHED] = {[SLICE_RELEASE] = TO(SLICE_DIRTY), [SLICE_LOST] = TO(SLICE_QUARANTINED)},
    [SLICE_DIRTY] = {[SLICE_ERASE] = TO(SLICE_ERASING),
                     [SLICE_UNPROVEN] = TO(SLICE_QUARANTINED), /* an erase that could not begin in its time */
                     [SLICE_LOST] = TO(SLICE_QUARANTINED)},
    [SLICE_QUARANTINED] = {[SLICE_RELEASE] =
                               TO(SLICE_QUARANTINED), /* its owner went: a VM can be deleted all the same */
                           [SLICE_LOST] = TO(SLICE_QUARANTINED),
                           [SLICE_RETRY] = TO(SLICE_DIRTY),
                           [SLICE_RETIRED] = TO(SLICE_ABSENT)},
};

static bool owned(const struct slice *slice)
{
    return slice->owner.v[0] != '\0';
}

/* Whether the event changes the owner on somebody's order, and thus has to carry a newer generation. RETIRED is no
 * order but a fact: the namespace is gone, whoever owned it. */
static bool needs_generation(const struct slice *slice, enum slice_event_kind kind)
{
    return kind == SLICE_CLAIM || kind == SLICE_RELEASE || (kind == SLICE_RETRY && owned(slice));
}

static void check_event(const struct slice *slice, const struct slice_event *event)
{
    if (event->kind == SLICE_CLAIM) {
        must(event->owner != NULL);
        must(event->owner->v[0] != '\0');
    }
    if (event->kind == SLICE_UNPROVEN || event->kind == SLICE_LOST) {
        must(event->why != NULL);
        must(event->why[0] != '\0');
    }
    if (event->kind == SLICE_VERIFIED || event->kind == SLICE_HANDED_OUT) {
        must(event->seq > slice->attached_seq);
        must(event->seq > slice->erased_seq);
    }
}

static void owner_clear(struct slice *slice)
{
    slice->owner = (struct claim_id){0};
}

static void apply(struct slice *slice, const struct slice_event *event)
{
    if (needs_generation(slice, event->kind))
        slice->generation = event->generation;
    switch (event->kind) {
    case SLICE_MADE: /* another namespace than the one that may have been here: nothing is known of it */
        slice->attached_seq = slice->erased_seq = 0;
        slice->erasure = (struct erasure_id){0};
        break;
    case SLICE_VERIFIED:
        slice->erased_seq = event->seq;
        slice->erasure = event->erasure != NULL ? *event->erasure : (struct erasure_id){0};
        break;
    case SLICE_UNPROVEN:
    case SLICE_LOST:
        text_cut(slice->why, sizeof(slice->why), event->why);
        break;
    case SLICE_CLAIM:
        slice->owner = *event->owner;
        break;
    case SLICE_HANDED_OUT:
        slice->attached_seq = event->seq;
        break;
    case SLICE_RELEASE:
    case SLICE_RETRY:
    case SLICE_RETIRED:
        owner_clear(slice);
        break;
    case SLICE_ERASE:
    case SLICE_ERASED:
    case SLICE_EVENT_COUNT:
        break;
    }
}

enum slice_result slice_step(struct slice *slice, const struct slice_event *event)
{
    must(slice->state < SLICE_STATE_COUNT);
    must(event->kind < SLICE_EVENT_COUNT);
    const unsigned char edge = edges[slice->state][event->kind];
    if (edge == 0)
        return SLICE_NO_EDGE;
    if (needs_generation(slice, event->kind) && event->generation <= slice->generation)
        return SLICE_STALE;
    check_event(slice, event);
    apply(slice, event);
    slice->state = (enum slice_state)(edge - 1);
    if (slice->state != SLICE_QUARANTINED)
        slice->why[0] = '\0';
    slice->progress_percent = 0;
    slice->changed = true;
    must(slice_broken(slice) == NULL);
    return SLICE_CHANGED;
}

/* A slice is somebody's in claimed and attached, and may still be when it came to quarantine from there. */
static const char *owner_broken(const struct slice *slice)
{
    const bool must_have = slice->state == SLICE_CLAIMED || slice->state == SLICE_ATTACHED;
    if (must_have && !owned(slice))
        return "a claimed or attached slice has an owner";
    if (!must_have && slice->state != SLICE_QUARANTINED && owned(slice))
        return "only a claimed, attached or quarantined slice has an owner";
    if (owned(slice) && slice->generation == 0)
        return "an owned slice has a generation";
    return NULL;
}

static const char *seq_broken(const struct slice *slice)
{
    switch (slice->state) {
    case SLICE_BLANK:
        return slice->attached_seq == 0 && slice->erased_seq == 0 ? NULL
                                                                  : "a blank slice was never erased nor handed out";
    case SLICE_FREE:
    case SLICE_CLAIMED:
        return slice->erased_seq > slice->attached_seq
                   ? NULL
                   : "a free or claimed slice was erased after it was last handed out";
    case SLICE_ATTACHED:
        return slice->erased_seq > 0 && slice->attached_seq > slice->erased_seq
                   ? NULL
                   : "an attached slice was handed out after it was last erased";
    case SLICE_ABSENT:
    case SLICE_ERASING:
    case SLICE_VERIFYING:
    case SLICE_DIRTY:
    case SLICE_QUARANTINED:
    case SLICE_STATE_COUNT:
        break;
    }
    return NULL;
}

const char *slice_broken(const struct slice *slice)
{
    if (slice->state >= SLICE_STATE_COUNT)
        return "a slice is in a state that exists";
    if (slice->state == SLICE_QUARANTINED && slice->why[0] == '\0')
        return "a quarantined slice says why";
    const char *rule = owner_broken(slice);
    return rule != NULL ? rule : seq_broken(slice);
}
