#include "store/ledger_rows.h"

#include "base/must.h"
#include "base/text.h"

#include <jansson.h>
#include <sodium.h>
#include <stdio.h>

static const char zero_hash[] = "0000000000000000000000000000000000000000000000000000000000000000";

const char *const ledger_adopt_words[ADOPT_COUNT] = {
#define X(adopt, word) word,
    ADOPTS(X)
#undef X
};

/* ---- JSON ---------------------------------------------------------------------------------------------------- */

static const struct jfield ns_fields[] = {
    {JNSID(struct ns_ident, nsid)},
    {JU64(struct ns_ident, size_bytes)},
    {JHEX(struct ns_ident, nguid), .optional = true},
    {JHEX(struct ns_ident, eui64), .optional = true},
};
static const struct jmap ns_jmap = JMAP(struct ns_ident, ns_fields);

static const struct jfield nsid_fields[] = {
    {.name = "nsid", .kind = J_U32, .offset = 0, .size = sizeof(struct nsid)},
};
static const struct jmap nsid_jmap = JMAP(struct nsid, nsid_fields);

static const struct jfield drive_fields[] = {
    {JOBJ(struct host_drive, ident, drive_ident_jmap)},
    {JID(struct host_drive, adoption), .optional = true},
    {JENUM(struct host_drive, adopt, ledger_adopt_words)},
    {JOBJ(struct host_drive, layout, layout_jmap), .optional = true},
    {JID(struct host_drive, rule), .optional = true},
    {JSTR(struct host_drive, why), .optional = true},
    {JLIST(struct host_drive, factory, factory_count, ns_jmap), .optional = true},
    {JID(struct host_drive, creating), .optional = true},
    {JNSID(struct host_drive, creating_nsid), .optional = true},
    {JLIST(struct host_drive, creating_known, creating_known_count, nsid_jmap), .optional = true},
    {JU32(struct host_drive, erasures), .optional = true},
    {JSTR(struct host_drive, trial_firmware), .optional = true},
    {JBOOL(struct host_drive, trial_passed), .optional = true},
    {JBOOL(struct host_drive, trial_hit), .optional = true},
    {JU32(struct host_drive, retries), .optional = true},
};
static const struct jmap drive_jmap = JMAP(struct host_drive, drive_fields);

static const struct jfield vm_fields[] = {
    {JOBJ(struct host_vm, want, want_vm_jmap)},
    {JU32(struct host_vm, starts_done)},
    {JU32(struct host_vm, reboots_done)},
    {JID(struct host_vm, boot), .optional = true},
};
static const struct jmap vm_jmap = JMAP(struct host_vm, vm_fields);

static const struct jfield task_fields[] = {
    {JOBJ(struct host_task, task, drive_task_jmap)},
    {JOBJ(struct host_task, report, task_report_jmap)},
};
static const struct jmap task_jmap = JMAP(struct host_task, task_fields);

static const struct {
    const char *word;
    const struct jmap *jmap;
} kinds[LEDGER_KIND_COUNT] = {
    [LEDGER_DRIVE] = {"drive", &drive_jmap},
    [LEDGER_SLICE] = {"slice", &slice_jmap},
    [LEDGER_VM] = {"VM", &vm_jmap},
    [LEDGER_TASK] = {"task", &task_jmap},
};

const struct jmap *ledger_jmap(enum ledger_kind kind)
{
    must(kind < LEDGER_KIND_COUNT);
    return kinds[kind].jmap;
}

const char *ledger_kind_word(enum ledger_kind kind)
{
    must(kind < LEDGER_KIND_COUNT);
    return kinds[kind].word;
}

void ledger_durable(enum ledger_kind kind, const void *from, void *to)
{
    const struct jmap *map = ledger_jmap(kind);
    memset(to, 0, map->size);
    for (size_t i = 0; i < map->field_count; i++) {
        const struct jfield *field = &map->fields[i];
        memcpy((char *)to + field->offset, (const char *)from + field->offset, field->size);
        if (field->kind == J_LIST)
            memcpy((char *)to + field->count_offset, (const char *)from + field->count_offset, sizeof(size_t));
    }
    if (kind == LEDGER_SLICE) { /* slice_jmap is for reports, too */
        struct slice *slice = to;
        slice->progress_percent = 0;
        memset(slice->path, 0, sizeof(slice->path));
    }
}

/* ---- changes ------------------------------------------------------------------------------------------------- */

static bool refuse(const struct ledger_change *change, enum err_kind kind, const char *why, struct err *err)
{
    return err_set(err, kind, "cannot write %s '%s' to the ledger: %s", ledger_kind_word(change->kind), change->key,
                   why);
}

static bool is_clean(enum slice_state state)
{
    return state == SLICE_FREE || state == SLICE_CLAIMED || state == SLICE_ATTACHED;
}

static const char *slice_refused(const struct slice *slice)
{
    const bool owned = slice->owner.v[0] != '\0';
    const bool held = slice->state == SLICE_CLAIMED || slice->state == SLICE_ATTACHED;
    if (slice->state >= SLICE_STATE_COUNT)
        return "its state is not known";
    if ((slice->state == SLICE_FREE || slice->state == SLICE_CLAIMED) && slice->erased_seq <= slice->attached_seq)
        return "it is free, but was not erased since it was handed out";
    if (slice->state == SLICE_ATTACHED && (slice->erased_seq == 0 || slice->attached_seq <= slice->erased_seq))
        return "it is attached, but was not erased and handed out";
    if (held && !owned)
        return "it is somebody's, but has no owner";
    if (owned && !held && slice->state != SLICE_QUARANTINED)
        return "it is nobody's, but has an owner";
    return NULL;
}

static const char *row_refused(const struct ledger_change *change)
{
    if (change->key[0] == '\0')
        return "it has no name";
    switch (change->kind) {
    case LEDGER_DRIVE:
        return ((const struct host_drive *)change->row)->adopt < ADOPT_COUNT ? NULL : "its state is not known";
    case LEDGER_SLICE:
        return change->del ? NULL : slice_refused(change->row);
    case LEDGER_TASK:
        return ((const struct host_task *)change->row)->report.state < TASK_STATE_COUNT ? NULL : "its state is not known";
    case LEDGER_VM:
    case LEDGER_KIND_COUNT:
        break;
    }
    return NULL;
}

typedef bool (*change_fn)(void *ctx, const struct ledger_change *change, struct err *err);

static bool change_one(struct ledger_change *change, change_fn fn, void *ctx, struct err *err)
{
    const char *why = row_refused(change);
    return why != NULL ? refuse(change, ERR_INPUT, why, err) : fn(ctx, change, err);
}

/* Tabs do not occur in an ident: bytes that are not printable are replaced when it is read from the drive. */
static void ident_key(const struct drive_ident *ident, char key[LEDGER_KEY_MAX])
{
    snprintf(key, LEDGER_KEY_MAX, "%04x\t%s\t%s\t%s", ident->vendor_id, ident->serial, ident->model, ident->nqn);
}

static bool drive_change(const struct host_drive *drive, change_fn fn, void *ctx, struct err *err)
{
    struct ledger_change change = {.kind = LEDGER_DRIVE, .row = drive, .del = drive->adopt == ADOPT_NONE};
    ident_key(&drive->ident, change.key);
    return change_one(&change, fn, ctx, err);
}

static bool task_change(const struct host_task *task, change_fn fn, void *ctx, struct err *err)
{
    struct ledger_change change = {.kind = LEDGER_TASK, .row = task};
    ident_key(&task->task.ident, change.key);
    return change_one(&change, fn, ctx, err);
}

static bool slice_change(const struct slice *slice, change_fn fn, void *ctx, struct err *err)
{
    struct ledger_change change = {.kind = LEDGER_SLICE, .row = slice, .del = slice->state == SLICE_ABSENT};
    text_cut(change.key, sizeof(change.key), slice->id.v);
    return change_one(&change, fn, ctx, err);
}

static bool vm_change(const struct host_vm *vm, change_fn fn, void *ctx, struct err *err)
{
    struct ledger_change change = {.kind = LEDGER_VM, .row = vm, .del = vm->removed};
    text_cut(change.key, sizeof(change.key), vm->want.spec.uuid.v);
    return change_one(&change, fn, ctx, err);
}

static bool changes_of(const struct host *host, bool del, change_fn fn, void *ctx, struct err *err)
{
    for (size_t i = 0; i < host->drive_count; i++) {
        const struct host_drive *drive = &host->drives[i];
        if (drive->changed && (drive->adopt == ADOPT_NONE) == del && !drive_change(drive, fn, ctx, err))
            return false;
        if (!del && drive->task.changed && !task_change(&drive->task, fn, ctx, err))
            return false;
    }
    for (size_t i = 0; i < host->slice_count; i++) {
        const struct slice *slice = &host->slices[i].slice;
        if (slice->changed && (slice->state == SLICE_ABSENT) == del && !slice_change(slice, fn, ctx, err))
            return false;
    }
    for (size_t i = 0; i < host->vm_count; i++) {
        const struct host_vm *vm = &host->vms[i];
        if ((vm->changed || vm->removed) && vm->removed == del && !vm_change(vm, fn, ctx, err))
            return false;
    }
    return true;
}

bool ledger_changes(const struct host *host, change_fn fn, void *ctx, struct err *err)
{
    must(host->drive_count <= HOST_DRIVES_MAX);
    must(host->slice_count <= HOST_SLICES_MAX);
    must(host->vm_count <= HOST_VMS_MAX);
    return changes_of(host, true, fn, ctx, err) && changes_of(host, false, fn, ctx, err);
}

bool ledger_change_check(const struct ledger_change *change, const void *old, struct err *err)
{
    const struct host_task *task = old, *fresh = change->row;
    if (change->kind == LEDGER_TASK && strcmp(task->task.id.v, fresh->task.id.v) == 0 &&
        task_is_over(task->report.state) && fresh->report.state != task->report.state)
        return refuse(change, ERR_CONFLICT, "a task acts once", err);
    if (change->kind != LEDGER_SLICE || change->del)
        return true;
    const struct slice *was = old, *is = change->row;
    if (is->generation < was->generation || is->attached_seq < was->attached_seq || is->erased_seq < was->erased_seq)
        return refuse(change, ERR_CONFLICT, "a fencing number would go down", err);
    /* One save may hold several steps of a slice, so states between may be missing; the proof may not. */
    const bool erasing = was->state == SLICE_ERASING || was->state == SLICE_VERIFYING;
    if (is_clean(is->state) && !is_clean(was->state) && (!erasing || is->erased_seq <= was->erased_seq))
        return refuse(change, ERR_CONFLICT, "it was not erased", err);
    return true;
}

static bool task_add(struct host *host, const struct host_task *task)
{
    for (size_t i = 0; i < host->drive_count; i++)
        if (drive_ident_eq(&host->drives[i].ident, &task->task.ident)) {
            host->drives[i].task = *task;
            return true;
        }
    if (host->drive_count < HOST_DRIVES_MAX)
        host->drives[host->drive_count++] = (struct host_drive){.ident = task->task.ident, .task = *task};
    return true;
}

bool ledger_host_add(struct host *host, enum ledger_kind kind, const void *row, struct err *err)
{
    static const size_t most[LEDGER_KIND_COUNT] = {HOST_DRIVES_MAX, HOST_SLICES_MAX, HOST_VMS_MAX};
    if (kind == LEDGER_TASK)
        return task_add(host, row);
    size_t *const count = kind == LEDGER_DRIVE ? &host->drive_count
                          : kind == LEDGER_VM  ? &host->vm_count
                                               : &host->slice_count;
    if (*count >= most[kind]) {
        err_set(err, ERR_FAILED, "cannot load the ledger: it holds more than %zu %ss", most[kind],
                ledger_kind_word(kind));
        return err_hint(err, "install the nsmith-agent that wrote it");
    }
    const size_t place = (*count)++;
    if (kind == LEDGER_DRIVE)
        host->drives[place] = *(const struct host_drive *)row;
    else if (kind == LEDGER_VM)
        host->vms[place] = *(const struct host_vm *)row;
    else
        host->slices[place].slice = *(const struct slice *)row; /* the rest was zeroed by the caller */
    return true;
}

/* ---- numbers ------------------------------------------------------------------------------------------------- */

void ledger_numbers_from(const struct host *host, struct ledger_numbers *out)
{
    *out = (struct ledger_numbers){
        .host = host->name,
        .incarnation = host->incarnation,
        .wants_revision = host->wants_revision,
        .seq = host->seq,
        .erasure_seq = host->erasure_seq,
    };
    text_cut(out->erasure_hash, sizeof(out->erasure_hash), host->erasure_hash);
}

void ledger_numbers_to(const struct ledger_numbers *numbers, struct host *host)
{
    host->name = numbers->host;
    host->incarnation = numbers->incarnation;
    host->wants_revision = numbers->wants_revision;
    host->seq = numbers->seq;
    host->erasure_seq = numbers->erasure_seq;
    text_cut(host->erasure_hash, sizeof(host->erasure_hash), numbers->erasure_hash);
}

bool ledger_host_check(const char *path, const struct name *stored, const struct name *given, struct err *err)
{
    if (stored->v[0] == '\0' || given->v[0] == '\0' || name_eq(stored, given))
        return true;
    err_set(err, ERR_UNSAFE, "cannot use the ledger '%s': it is of host '%s', not of '%s'", path, stored->v, given->v);
    return err_hint(err, "each host has its own ledger: give the right path, or the host its old name back");
}

/* ---- records ------------------------------------------------------------------------------------------------- */

void ledger_record_hash(const char *text, char out[LEDGER_HASH_HEX])
{
    unsigned char hash[crypto_hash_sha256_BYTES];
    crypto_hash_sha256(hash, (const unsigned char *)text, strlen(text));
    text_hex(out, hash, sizeof(hash));
}

bool ledger_record_read(const char *text, uint64_t seq, struct ledger_record *out, struct err *err)
{
    struct ledger_record record = {.seq = seq, .text = text};
    json_t *json = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    const char *prev = json_string_value(json_object_get(json, "prev"));
    const json_t *number = json_object_get(json_object_get(json, "erasure"), "seq");
    const bool ok = prev != NULL && strlen(prev) == strlen(zero_hash) &&
                    text_copy(record.prev, sizeof(record.prev), prev) && json_is_integer(number) &&
                    (uint64_t)json_integer_value(number) == seq;
    json_decref(json);
    if (!ok)
        return err_set(err, ERR_INPUT,
                       "cannot write record %ju to the ledger: its text is not that of a record of this number",
                       (uintmax_t)seq);
    ledger_record_hash(text, record.hash);
    *out = record;
    return true;
}

bool ledger_record_check(const struct ledger_record *last, const struct ledger_record *fresh, struct err *err)
{
    if (fresh->seq != last->seq + 1)
        return err_set(err, ERR_CONFLICT, "cannot write record %ju to the ledger: records are numbered without gaps",
                       (uintmax_t)fresh->seq);
    if (strcmp(fresh->prev, last->seq > 0 ? last->hash : zero_hash) != 0)
        return err_set(err, ERR_CONFLICT,
                       "cannot write record %ju to the ledger: a record names the hash of the one before",
                       (uintmax_t)fresh->seq);
    return true;
}

bool ledger_record_same(const struct ledger_record *a, const struct ledger_record *b)
{
    return a->seq == b->seq && strcmp(a->hash, b->hash) == 0;
}

bool ledger_numbers_check(const struct ledger_numbers *old, const struct ledger_numbers *fresh,
                          const struct ledger_record *last, struct err *err)
{
    if (fresh->host.v[0] == '\0')
        return err_set(err, ERR_INPUT, "cannot write to the ledger: the host has no name");
    if (fresh->incarnation < old->incarnation || fresh->seq < old->seq ||
        (fresh->incarnation == old->incarnation && fresh->wants_revision < old->wants_revision))
        return err_set(err, ERR_CONFLICT, "cannot write to the ledger: a fencing number would go down");
    if (fresh->erasure_seq != last->seq || strcmp(fresh->erasure_hash, last->hash) != 0)
        return err_set(err, ERR_CONFLICT, "cannot write to the ledger: the newest erasure is not the newest record");
    return true;
}
