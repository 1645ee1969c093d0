#include "store/store_rows.h"

#include "base/must.h"

#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

const char *const claim_state_words[CLAIM_STATE_COUNT] = {
#define X(state, word) word,
    CLAIM_STATES(X)
#undef X
};

static const char *const power_words[] = {
#define X(power, word) word,
    VM_POWERS(X)
#undef X
};

static const char *const slice_words[] = {
#define X(state, word) word,
    SLICE_STATES(X)
#undef X
};

static const char *const verdict_words[] = {
#define X(verdict, word) word,
    ERASE_VERDICTS(X)
#undef X
};

/* ---- JSON ---------------------------------------------------------------------------------------------------- */

static const struct jfield meta_fields[] = {
    {JSTR(struct row_meta, key)},
    {JSTR(struct row_meta, value)},
};
static const struct jmap meta_jmap = JMAP(struct row_meta, meta_fields);

static const struct jfield host_fields[] = {
    {JID(struct row_host, name)},
    {JU64(struct row_host, registration)},
    {JU64(struct row_host, report_number), .optional = true},
    {JU64(struct row_host, wants_revision)},
    {JU64(struct row_host, last_seen_ms)},
    {JU64(struct row_host, erasures_have)},
    {JU32(struct row_host, vcpus)},
    {JU64(struct row_host, memory_bytes)},
    {JSTR(struct row_host, public_key)},
    {JSTR(struct row_host, software)},
    {JSTR(struct row_host, anchor), .optional = true},
    {JOBJ(struct row_host, troubles, troubles_jmap), .optional = true},
};
static const struct jmap host_jmap = JMAP(struct row_host, host_fields);

static const struct jfield drive_fields[] = {
    {JSTR(struct row_drive, key)},
    {JID(struct row_drive, host)},
    {JOBJ(struct row_drive, report, drive_report_jmap), .optional = true},
    {JU64(struct row_drive, seen_ms)},
    {JBOOL(struct row_drive, wanted)},
    {JID(struct row_drive, adoption), .optional = true},
    {JOBJ(struct row_drive, layout, layout_jmap), .optional = true},
    {JOBJ(struct row_drive, health, health_state_jmap), .optional = true},
    {JU32(struct row_drive, health_accepted), .optional = true},
    {JU32(struct row_drive, retries), .optional = true},
    {JBOOL(struct row_drive, drained), .optional = true},
    {JSTR(struct row_drive, drain_why), .optional = true},
    {JU64(struct row_drive, drained_ms), .optional = true},
    {JOBJ(struct row_drive, task, drive_task_jmap), .optional = true},
    {JID(struct row_drive, rule), .optional = true},
    {JSTR(struct row_drive, rule_why), .optional = true},
};
static const struct jmap drive_jmap = JMAP(struct row_drive, drive_fields);

static const struct jfield row_slice_fields[] = {
    {JOBJ(struct row_slice, slice, slice_jmap)},
    {JID(struct row_slice, host)},
    {JU64(struct row_slice, generation)},
    {JID(struct row_slice, claim), .optional = true},
    {JU32(struct row_slice, retries), .optional = true},
    {JBOOL(struct row_slice, retire), .optional = true},
    {JBOOL(struct row_slice, gone), .optional = true},
};
static const struct jmap row_slice_jmap = JMAP(struct row_slice, row_slice_fields);

static const struct jfield claim_fields[] = {
    {JID(struct row_claim, id)},
    {JID(struct row_claim, host)},
    {JID(struct row_claim, class)},
    {JID(struct row_claim, vm), .optional = true},
    {JENUM(struct row_claim, state, claim_state_words)},
    {JU64(struct row_claim, created_ms)},
    {JLIST(struct row_claim, slices, slice_count, slice_id_jmap)},
};
static const struct jmap claim_jmap = JMAP(struct row_claim, claim_fields);

static const struct jfield vm_fields[] = {
    {JOBJ(struct row_vm, spec, vm_spec_jmap)},
    {JID(struct row_vm, flavor)},
    {JID(struct row_vm, claim), .optional = true},
    {JID(struct row_vm, host), .optional = true},
    {JENUM(struct row_vm, power, power_words)},
    {JU32(struct row_vm, starts)},
    {JU32(struct row_vm, reboots)},
    {JBOOL(struct row_vm, force), .optional = true},
    {JU64(struct row_vm, created_ms)},
    {JOBJ(struct row_vm, seen, vm_report_jmap), .optional = true},
};
static const struct jmap vm_jmap = JMAP(struct row_vm, vm_fields);

static const struct jfield row_erasure_fields[] = {
    {JID(struct row_erasure, id)},
    {JID(struct row_erasure, host)},
    {JU64(struct row_erasure, seq)},
    {JID(struct row_erasure, slice)},
    {JOBJ(struct row_erasure, erasure, erasure_jmap)},
    {JSTR(struct row_erasure, text)},
};
static const struct jmap row_erasure_jmap = JMAP(struct row_erasure, row_erasure_fields);

static const struct jfield request_fields[] = {
    {JSTR(struct row_request, key)},    {JSTR(struct row_request, body_hash)}, {JU32(struct row_request, status)},
    {JSTR(struct row_request, answer)}, {JU64(struct row_request, made_ms)},
};
static const struct jmap request_jmap = JMAP(struct row_request, request_fields);

static const struct jfield firmware_fields[] = {
    {JSTR(struct row_firmware, key)},
    {JU64(struct row_firmware, made_ms)},
    {JSTR(struct row_firmware, hex)},
};
static const struct jmap firmware_jmap = JMAP(struct row_firmware, firmware_fields);

/* ---- columns ------------------------------------------------------------------------------------------------- */

#define COLUMN(type, member, col_name, col_kind)                             \
    {                                                                        \
        .name = col_name, .kind = col_kind, .offset = offsetof(type, member) \
    }
#define WORD(type, member, col_name, list)                                                      \
    {                                                                                           \
        .name = col_name, .kind = COLUMN_WORD, .offset = offsetof(type, member), .words = list, \
        .word_count = COUNT(list)                                                               \
    }

static const struct store_column host_columns[] = {
    COLUMN(struct row_host, registration, "registration", COLUMN_U64),
    COLUMN(struct row_host, wants_revision, "wants_revision", COLUMN_U64),
};
static const struct store_column drive_columns[] = {
    COLUMN(struct row_drive, host, "host", COLUMN_TEXT),
};
static const struct store_column slice_columns[] = {
    COLUMN(struct row_slice, host, "host", COLUMN_TEXT),
    COLUMN(struct row_slice, generation, "generation", COLUMN_U64),
    COLUMN(struct row_slice, slice.generation, "seen_generation", COLUMN_U64),
    COLUMN(struct row_slice, claim, "claim", COLUMN_TEXT_OR_NULL),
    WORD(struct row_slice, slice.state, "state", slice_words),
};
static const struct store_column class_columns[] = {
    COLUMN(struct slice_class, nominal_bytes, "nominal_bytes", COLUMN_U64),
};
static const struct store_column flavor_columns[] = {
    COLUMN(struct flavor, class, "class", COLUMN_TEXT),
};
static const struct store_column claim_columns[] = {
    COLUMN(struct row_claim, host, "host", COLUMN_TEXT),
    COLUMN(struct row_claim, vm, "vm", COLUMN_TEXT_OR_NULL),
    WORD(struct row_claim, state, "state", claim_state_words),
};
static const struct store_column vm_columns[] = {
    COLUMN(struct row_vm, host, "host", COLUMN_TEXT_OR_NULL),
    COLUMN(struct row_vm, spec.uuid, "uuid", COLUMN_TEXT_OR_NULL),
    COLUMN(struct row_vm, claim, "claim", COLUMN_TEXT_OR_NULL),
    WORD(struct row_vm, power, "power", power_words),
};
static const struct store_column erasure_columns[] = {
    COLUMN(struct row_erasure, host, "host", COLUMN_TEXT),
    COLUMN(struct row_erasure, seq, "seq", COLUMN_U64),
    COLUMN(struct row_erasure, slice, "slice", COLUMN_TEXT),
    WORD(struct row_erasure, erasure.verdict, "verdict", verdict_words),
};
static const struct store_column request_columns[] = {
    COLUMN(struct row_request, body_hash, "body_hash", COLUMN_TEXT),
    COLUMN(struct row_request, status, "status", COLUMN_U32),
};

#define INFO(type, member, kind_table, map, cols)                                    \
    .table = kind_table, .size = sizeof(type), .key_offset = offsetof(type, member), \
    .key_size = sizeof(((type *)0)->member), .jmap = &(map), .columns = cols, .column_count = COUNT(cols)

static const struct store_kind_info infos[STORE_KIND_COUNT] = {
    [ROW_META] = {.word = "meta",
                  .table = "meta",
                  .size = sizeof(struct row_meta),
                  .key_offset = offsetof(struct row_meta, key),
                  .key_size = sizeof(((struct row_meta *)0)->key),
                  .jmap = &meta_jmap}, /* no columns */
    [ROW_FIRMWARE] = {.word = "firmware",
                      .table = "firmware",
                      .size = sizeof(struct row_firmware),
                      .key_offset = offsetof(struct row_firmware, key),
                      .key_size = sizeof(((struct row_firmware *)0)->key),
                      .jmap = &firmware_jmap}, /* no columns */
    [ROW_HOST] = {.word = "host", INFO(struct row_host, name, "hosts", host_jmap, host_columns)},
    [ROW_DRIVE] = {.word = "drive", INFO(struct row_drive, key, "drives", drive_jmap, drive_columns)},
    [ROW_SLICE] = {.word = "slice", INFO(struct row_slice, slice.id, "slices", row_slice_jmap, slice_columns)},
    [ROW_CLASS] = {.word = "class", INFO(struct slice_class, name, "classes", slice_class_jmap, class_columns)},
    [ROW_FLAVOR] = {.word = "flavor", INFO(struct flavor, name, "flavors", flavor_jmap, flavor_columns)},
    [ROW_CLAIM] = {.word = "claim", INFO(struct row_claim, id, "claims", claim_jmap, claim_columns)},
    [ROW_VM] = {.word = "vm", INFO(struct row_vm, spec.name, "vms", vm_jmap, vm_columns)},
    [ROW_ERASURE] = {.word = "erasure", INFO(struct row_erasure, id, "erasures", row_erasure_jmap, erasure_columns)},
    [ROW_REQUEST] = {.word = "request", INFO(struct row_request, key, "requests", request_jmap, request_columns)},
};

const struct store_kind_info *store_kind_info(enum store_kind kind)
{
    must(kind < STORE_KIND_COUNT);
    return &infos[kind];
}

size_t store_row_size(enum store_kind kind)
{
    return store_kind_info(kind)->size;
}

const char *store_row_key(enum store_kind kind, const void *row)
{
    return (const char *)row + store_kind_info(kind)->key_offset;
}

const struct store_column *store_column_find(enum store_kind kind, const char *name)
{
    const struct store_kind_info *info = store_kind_info(kind);
    for (size_t i = 0; i < info->column_count; i++)
        if (strcmp(info->columns[i].name, name) == 0)
            return &info->columns[i];
    return NULL;
}

/* ---- rules --------------------------------------------------------------------------------------------------- */

static bool refuse(enum store_kind kind, const void *row, enum err_kind error, const char *why, struct err *err)
{
    return err_set(err, error, "cannot store %s '%s': %s", infos[kind].word, store_row_key(kind, row), why);
}

static bool column_check(enum store_kind kind, const struct store_column *column, const void *row, struct err *err)
{
    const char *at = (const char *)row + column->offset;
    uint64_t number = 0;
    switch (column->kind) {
    case COLUMN_TEXT:
        if (*at == '\0')
            return err_set(err, ERR_INPUT, "cannot store %s '%s': its %s is empty", infos[kind].word,
                           store_row_key(kind, row), column->name);
        return true;
    case COLUMN_TEXT_OR_NULL:
    case COLUMN_U32:
        return true;
    case COLUMN_U64: /* SQL integers have a sign */
        memcpy(&number, at, sizeof(uint64_t));
        if (number > INT64_MAX)
            return err_set(err, ERR_INPUT, "cannot store %s '%s': its %s is too large", infos[kind].word,
                           store_row_key(kind, row), column->name);
        return true;
    case COLUMN_WORD:
        memcpy(&number, at, sizeof(int));
        if (number >= column->word_count)
            return err_set(err, ERR_INPUT, "cannot store %s '%s': its %s is not known", infos[kind].word,
                           store_row_key(kind, row), column->name);
        return true;
    }
    must(false);
    return false;
}

static bool drive_check(const struct row_drive *drive)
{
    size_t len = strlen(drive->host.v);
    return strncmp(drive->key, drive->host.v, len) == 0 && drive->key[len] == '/';
}

bool store_row_check(enum store_kind kind, const void *row, struct err *err)
{
    const struct store_kind_info *info = store_kind_info(kind);
    const char *key = store_row_key(kind, row);
    must(memchr(key, '\0', info->key_size) != NULL);
    if (*key == '\0')
        return err_set(err, ERR_INPUT, "cannot store a %s without a key", info->word);
    for (size_t i = 0; i < info->column_count; i++)
        if (!column_check(kind, &info->columns[i], row, err))
            return false;
    if (kind == ROW_DRIVE && !drive_check(row))
        return refuse(kind, row, ERR_INPUT, "its key does not begin with its host", err);
    const struct row_slice *slice = row;
    if (kind == ROW_SLICE && slice->generation < slice->slice.generation)
        return refuse(kind, row, ERR_INPUT, "its wanted generation is below the one that the agent has", err);
    if (kind == ROW_CLASS && ((const struct slice_class *)row)->nominal_bytes == 0)
        return refuse(kind, row, ERR_INPUT, "its size is zero", err);
    if (kind == ROW_CLAIM && ((const struct row_claim *)row)->slice_count > CLAIM_SLICES_MAX)
        return refuse(kind, row, ERR_INPUT, "it has too many slices", err);
    const struct row_firmware *piece = row;
    if (kind == ROW_FIRMWARE && piece->hex[0] == '\0')
        return refuse(kind, row, ERR_INPUT, "it is empty", err);
    if (kind == ROW_ERASURE && ((const struct row_erasure *)row)->seq == 0)
        return refuse(kind, row, ERR_INPUT, "its seq is zero", err);
    return true;
}

/* As JSON, for padding bytes are not part of a row. */
static bool same_row(enum store_kind kind, const void *a, const void *b)
{
    char *text_a = jmap_text(infos[kind].jmap, a), *text_b = jmap_text(infos[kind].jmap, b);
    bool same = strcmp(text_a, text_b) == 0;
    free(text_a);
    free(text_b);
    return same;
}

bool store_row_change_check(enum store_kind kind, const void *old, const void *fresh, struct err *err)
{
    const struct row_host *host = old, *fresh_host = fresh;
    if (kind == ROW_HOST && fresh_host->registration < host->registration)
        return refuse(kind, fresh, ERR_CONFLICT, "its registration would go down", err);
    if (kind == ROW_HOST && fresh_host->wants_revision < host->wants_revision)
        return refuse(kind, fresh, ERR_CONFLICT, "its revision would go down", err);
    const struct row_slice *slice = old, *fresh_slice = fresh;
    if (kind == ROW_SLICE && fresh_slice->generation < slice->generation)
        return refuse(kind, fresh, ERR_CONFLICT, "its generation would go down", err);
    const struct row_request *request = old, *fresh_request = fresh;
    if (kind == ROW_REQUEST && strcmp(request->body_hash, fresh_request->body_hash) != 0)
        return refuse(kind, fresh, ERR_CONFLICT, "its body would change", err);
    if (kind == ROW_ERASURE && !same_row(kind, old, fresh))
        return refuse(kind, fresh, ERR_CONFLICT, "an erasure is never changed", err);
    return true;
}

bool store_row_del_check(enum store_kind kind, const void *old, struct err *err)
{
    if (kind == ROW_ERASURE)
        return err_set(err, ERR_CONFLICT, "cannot delete erasure '%s': an erasure is never deleted",
                       store_row_key(kind, old));
    if (kind == ROW_SLICE && ((const struct row_slice *)old)->claim.v[0] != '\0')
        return err_set(err, ERR_CONFLICT, "cannot delete slice '%s': a claim holds it", store_row_key(kind, old));
    return true;
}

/* ---- filters ------------------------------------------------------------------------------------------------- */

static bool is_given(const char *text)
{
    return text != NULL && *text != '\0';
}

const char *store_filter_column(const struct store_filter *filter, const char **value_out)
{
    const struct store_filter none = {0}, *f = filter != NULL ? filter : &none;
    const char *const columns[] = {"slice", "claim", "host"}, *const values[] = {f->slice, f->claim, f->host};
    for (size_t i = 0; i < COUNT(columns); i++)
        if (is_given(values[i])) {
            *value_out = values[i];
            return columns[i];
        }
    return NULL;
}

void store_filter_must_fit(enum store_kind kind, const struct store_filter *filter)
{
    if (filter == NULL)
        return;
    must_if(is_given(filter->host), store_column_find(kind, "host") != NULL);
    must_if(is_given(filter->claim), kind == ROW_SLICE);
    must_if(is_given(filter->slice), kind == ROW_ERASURE);
}

static bool column_is(enum store_kind kind, const void *row, const char *name, const char *wanted)
{
    if (!is_given(wanted))
        return true;
    return strcmp((const char *)row + store_column_find(kind, name)->offset, wanted) == 0;
}

bool store_row_matches(enum store_kind kind, const void *row, const struct store_filter *filter)
{
    return filter == NULL ||
           (column_is(kind, row, "host", filter->host) && column_is(kind, row, "claim", filter->claim) &&
            column_is(kind, row, "slice", filter->slice));
}

void store_row_tidy(enum store_kind kind, void *row)
{
    if (kind == ROW_SLICE)
        ((struct row_slice *)row)->slice.changed = false;
}
