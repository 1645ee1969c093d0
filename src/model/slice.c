#include "model/slice.h"

#include "base/must.h"

static const char *const state_words[] = {
#define X(state, word) word,
    SLICE_STATES(X)
#undef X
};

const char *slice_state_word(enum slice_state state)
{
    must(state < SLICE_STATE_COUNT);
    return state_words[state];
}

static const struct jfield slice_fields[] = {
    {JID(struct slice, id)},
    {JID(struct slice, adoption)},
    {JSTR(struct slice, drive)},
    {JID(struct slice, class)},
    {JNSID(struct slice, nsid)},
    {JHEX(struct slice, nguid), .optional = true},
    {JHEX(struct slice, eui64), .optional = true},
    {JU64(struct slice, size_bytes)},
    {JU32(struct slice, block_bytes)},
    {JENUM(struct slice, state, state_words)},
    {JU64(struct slice, generation)},
    {JID(struct slice, owner), .optional = true},
    {JU64(struct slice, attached_seq)},
    {JU64(struct slice, erased_seq)},
    {JID(struct slice, erasure), .optional = true},
    {JOBJ(struct slice, wear_out, wear_jmap), .optional = true},
    {JOBJ(struct slice, wear_back, wear_jmap), .optional = true},
    {JU32(struct slice, retries), .optional = true},
    {JU8(struct slice, progress_percent), .optional = true},
    {JSTR(struct slice, why), .optional = true},
    {JSTR(struct slice, path), .optional = true},
};
const struct jmap slice_jmap = JMAP(struct slice, slice_fields);

static const struct jfield class_fields[] = {
    {JID(struct slice_class, name)},
    {JU64(struct slice_class, nominal_bytes)},
    {JU32(struct slice_class, tolerance_ppm)},
};
const struct jmap slice_class_jmap = JMAP(struct slice_class, class_fields);
