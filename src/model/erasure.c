#include "model/erasure.h"

#include "base/must.h"

static const char *const method_words[] = {
#define X(method, word, text) word,
    ERASE_METHODS(X)
#undef X
};

static const char *const method_texts[] = {
#define X(method, word, text) text,
    ERASE_METHODS(X)
#undef X
};

static const char *const verdict_words[] = {
#define X(verdict, word) word,
    ERASE_VERDICTS(X)
#undef X
};

const char *erase_method_word(enum erase_method method)
{
    must(method < ERASE_METHOD_COUNT);
    return method_words[method];
}

const char *erase_method_text(enum erase_method method)
{
    must(method < ERASE_METHOD_COUNT);
    return method_texts[method];
}

const char *erase_verdict_word(enum erase_verdict verdict)
{
    must(verdict < ERASE_VERDICT_COUNT);
    return verdict_words[verdict];
}

static const struct jfield erasure_fields[] = {
    {JID(struct erasure, id)},
    {JU64(struct erasure, seq)},
    {JID(struct erasure, host)},
    {JOBJ(struct erasure, drive, drive_ident_jmap)},
    {JSTR(struct erasure, firmware)},
    {JID(struct erasure, slice)},
    {JU64(struct erasure, generation)},
    {JNSID(struct erasure, nsid)},
    {JHEX(struct erasure, nguid)},
    {JHEX(struct erasure, eui64)},
    {JU64(struct erasure, size_bytes)},
    {JU32(struct erasure, block_bytes)},
    {JENUM(struct erasure, method, method_words)},
    {JENUM(struct erasure, verdict, verdict_words)},
    {JU16(struct erasure, nvme_status)},
    {JU64(struct erasure, started_ms)},
    {JU64(struct erasure, drive_done_ms)},
    {JU64(struct erasure, ended_ms)},
    {JU64(struct erasure, markers)},
    {JU64(struct erasure, old_sampled)},
    {JU64(struct erasure, checked)},
    {JU64(struct erasure, found_old)},
    {JU64(struct erasure, found_zero)},
    {JHEX(struct erasure, sample_seed)},
    {JSTR(struct erasure, software)},
    {JSTR(struct erasure, note)},
    {JOBJ(struct erasure, wear_out, wear_jmap), .optional = true},
    {JOBJ(struct erasure, wear_back, wear_jmap), .optional = true},
};
const struct jmap erasure_jmap = JMAP(struct erasure, erasure_fields);
