/* store_mem.c - the store in memory, for tests and simulation. Each kind is an array of rows sorted by key. A row is
 * never changed in place: a transaction notes which row it put in whose place, and rollback puts the old ones back. */
#include "base/must.h"
#include "store/store_rows.h"

#include <stdlib.h>
#include <string.h>

struct table {
    void **rows; /* owned, sorted by key */
    size_t count, room;
};

struct change {
    enum store_kind kind;
    void *old;   /* owned; NULL: there was none */
    void *fresh; /* borrowed from its table; NULL: deleted */
};

struct mem {
    struct table tables[STORE_KIND_COUNT];
    struct change *changes; /* of the transaction, in order */
    size_t change_count, change_room;
    bool open, failed; /* failed: a step of the transaction was refused */
    unsigned fail_in;  /* commits until the one that fails, 0: none */
    bool fail_after;
};

static void *grow(void *array, size_t *room, size_t element)
{
    *room = *room == 0 ? 16 : 2 * *room;
    void *bigger = realloc(array, *room * element);
    must(bigger != NULL);
    return bigger;
}

/* The first place whose key is not below `key`. */
static size_t place_of(const struct mem *mem, enum store_kind kind, const char *key, bool *found)
{
    const struct table *table = &mem->tables[kind];
    size_t low = 0, high = table->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(store_row_key(kind, table->rows[middle]), key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *found = low < table->count && strcmp(store_row_key(kind, table->rows[low]), key) == 0;
    return low;
}

static const void *row_find(const struct mem *mem, enum store_kind kind, const char *key)
{
    bool found;
    size_t place = place_of(mem, kind, key, &found);
    return found ? mem->tables[kind].rows[place] : NULL;
}

/* Puts `fresh` (owned from now on; NULL: nothing) in the place of the row with `key`; returns the row that was there.
 */
static void *row_swap(struct mem *mem, enum store_kind kind, const char *key, void *fresh)
{
    struct table *table = &mem->tables[kind];
    bool found;
    size_t place = place_of(mem, kind, key, &found);
    void *old = found ? table->rows[place] : NULL;
    if (found && fresh != NULL) {
        table->rows[place] = fresh;
    } else if (found) {
        table->count--;
        memmove(&table->rows[place], &table->rows[place + 1], (table->count - place) * sizeof(void *));
    } else if (fresh != NULL) {
        if (table->count == table->room)
            table->rows = grow(table->rows, &table->room, sizeof(void *));
        memmove(&table->rows[place + 1], &table->rows[place], (table->count - place) * sizeof(void *));
        table->rows[place] = fresh;
        table->count++;
    }
    return old;
}

static void row_change(struct mem *mem, enum store_kind kind, const char *key, void *fresh)
{
    if (mem->change_count == mem->change_room)
        mem->changes = grow(mem->changes, &mem->change_room, sizeof(struct change));
    void *old = row_swap(mem, kind, key, fresh);
    mem->changes[mem->change_count++] = (struct change){.kind = kind, .old = old, .fresh = fresh};
}

/* ---- rules that need other rows ------------------------------------------------------------------------------ */

static const char *erasure_clash(const struct row_erasure *a, const struct row_erasure *b)
{
    return a->seq == b->seq && name_eq(&a->host, &b->host) ? "its host has another one of this seq" : NULL;
}

static const char *vm_clash(const struct row_vm *a, const struct row_vm *b)
{
    if (a->claim.v[0] != '\0' && claim_id_eq(&a->claim, &b->claim))
        return "another VM has its claim";
    if (a->spec.uuid.v[0] != '\0' && strcmp(a->spec.uuid.v, b->spec.uuid.v) == 0)
        return "another VM has its UUID";
    return NULL;
}

static bool unique_check(const struct mem *mem, enum store_kind kind, const void *row, struct err *err)
{
    if (kind != ROW_ERASURE && kind != ROW_VM)
        return true;
    const struct table *table = &mem->tables[kind];
    for (size_t i = 0; i < table->count; i++) {
        const void *other = table->rows[i];
        const char *clash = kind == ROW_VM ? vm_clash(row, other) : erasure_clash(row, other);
        if (clash != NULL && strcmp(store_row_key(kind, row), store_row_key(kind, other)) != 0)
            return err_set(err, ERR_CONFLICT, "cannot store %s '%s': %s", store_kind_info(kind)->word,
                           store_row_key(kind, row), clash);
    }
    return true;
}

static bool claim_is_there(const struct mem *mem, const struct row_slice *slice, struct err *err)
{
    if (slice->claim.v[0] == '\0' || row_find(mem, ROW_CLAIM, slice->claim.v) != NULL)
        return true;
    return err_set(err, ERR_CONFLICT, "cannot commit: slice '%s' has a claim that is not there", slice->slice.id.v);
}

/* Like a deferred foreign key: the order of the steps in a transaction does not matter. */
static bool claims_check(const struct mem *mem, struct err *err)
{
    bool deleted = false;
    for (size_t i = 0; i < mem->change_count; i++) {
        const struct change *change = &mem->changes[i];
        if (change->kind == ROW_CLAIM && change->fresh == NULL)
            deleted = true;
        /* A row that was put and replaced in one transaction is looked up by its key, for it may be gone. */
        const void *row = change->kind == ROW_SLICE && change->fresh != NULL ? change->fresh : NULL;
        if (row != NULL && row_find(mem, ROW_SLICE, store_row_key(ROW_SLICE, row)) == row &&
            !claim_is_there(mem, row, err))
            return false;
    }
    const struct table *slices = &mem->tables[ROW_SLICE];
    for (size_t i = 0; deleted && i < slices->count; i++)
        if (!claim_is_there(mem, slices->rows[i], err))
            return false;
    return true;
}

/* ---- the port ------------------------------------------------------------------------------------------------ */

static bool mem_begin(void *self, struct err *err)
{
    struct mem *mem = self;
    (void)err;
    must(!mem->open);
    mem->open = true;
    mem->failed = false;
    return true;
}

static void mem_rollback(void *self)
{
    struct mem *mem = self;
    while (mem->change_count > 0) {
        const struct change *change = &mem->changes[--mem->change_count];
        const void *named = change->fresh != NULL ? change->fresh : change->old;
        free(row_swap(mem, change->kind, store_row_key(change->kind, named), change->old));
    }
    mem->open = false;
}

static void keep_changes(struct mem *mem)
{
    for (size_t i = 0; i < mem->change_count; i++)
        free(mem->changes[i].old);
    mem->change_count = 0;
    mem->open = false;
}

static bool must_fail_now(struct mem *mem)
{
    return mem->fail_in > 0 && --mem->fail_in == 0;
}

static bool mem_commit(void *self, struct err *err)
{
    struct mem *mem = self;
    must(mem->open);
    const bool fails = must_fail_now(mem);
    if (mem->failed || (fails && !mem->fail_after) || !claims_check(mem, err)) {
        mem_rollback(mem);
        if (err->kind == ERR_NONE && mem->failed)
            return err_set(err, ERR_FAILED, "cannot commit: an earlier step of this transaction failed");
        return err->kind == ERR_NONE ? err_set(err, ERR_FULL, "cannot commit: it was made to fail before") : false;
    }
    keep_changes(mem);
    return fails ? err_set(err, ERR_BUSY, "cannot commit: it was made to fail after") : true;
}

static bool mem_get(void *self, enum store_kind kind, const char *key, void *row, bool *found, struct err *err)
{
    const struct mem *mem = self;
    (void)err;
    must(mem->open);
    const void *stored = row_find(mem, kind, key);
    *found = stored != NULL;
    if (stored != NULL)
        memcpy(row, stored, store_row_size(kind));
    return true;
}

static bool put_check(const struct mem *mem, enum store_kind kind, const void *row, struct err *err)
{
    if (!store_row_check(kind, row, err) || !unique_check(mem, kind, row, err))
        return false;
    const void *old = row_find(mem, kind, store_row_key(kind, row));
    return old == NULL || store_row_change_check(kind, old, row, err);
}

static bool mem_put(void *self, enum store_kind kind, const void *row, struct err *err)
{
    struct mem *mem = self;
    must(mem->open);
    if (!put_check(mem, kind, row, err)) {
        mem->failed = true;
        return false;
    }
    void *fresh = malloc(store_row_size(kind));
    must(fresh != NULL);
    memcpy(fresh, row, store_row_size(kind));
    store_row_tidy(kind, fresh);
    row_change(mem, kind, store_row_key(kind, fresh), fresh);
    return true;
}

static bool mem_del(void *self, enum store_kind kind, const char *key, struct err *err)
{
    struct mem *mem = self;
    must(mem->open);
    const void *old = row_find(mem, kind, key);
    if (old == NULL)
        return true;
    if (!store_row_del_check(kind, old, err)) {
        mem->failed = true;
        return false;
    }
    row_change(mem, kind, key, NULL);
    return true;
}

static bool mem_each(void *self, enum store_kind kind, const struct store_filter *filter, store_each_fn fn, void *ctx,
                     struct err *err)
{
    const struct mem *mem = self;
    (void)err;
    must(mem->open);
    store_filter_must_fit(kind, filter);
    const struct table *table = &mem->tables[kind];
    const size_t count = table->count;
    for (size_t i = 0; i < count; i++) {
        if (store_row_matches(kind, table->rows[i], filter) && !fn(ctx, table->rows[i]))
            break;
        must(table->count == count); /* fn must not call the store */
    }
    return true;
}

static void mem_close(void *self)
{
    struct mem *mem = self;
    mem_rollback(mem);
    for (size_t k = 0; k < STORE_KIND_COUNT; k++) {
        for (size_t i = 0; i < mem->tables[k].count; i++)
            free(mem->tables[k].rows[i]);
        free(mem->tables[k].rows);
    }
    free(mem->changes);
    free(mem);
}

bool store_mem_open(struct store *out, struct err *err)
{
    (void)err;
    struct mem *mem = calloc(1, sizeof(*mem));
    must(mem != NULL);
    *out = (struct store){
        .self = mem,
        .begin = mem_begin,
        .commit = mem_commit,
        .rollback = mem_rollback,
        .get = mem_get,
        .put = mem_put,
        .del = mem_del,
        .each = mem_each,
        .close = mem_close,
    };
    return true;
}

void store_mem_fail(struct store *store, unsigned nth, bool after)
{
    must(store->close == mem_close);
    struct mem *mem = store->self;
    mem->fail_in = nth;
    mem->fail_after = after;
}
