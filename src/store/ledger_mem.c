/* ledger_mem.c - the ledger in memory, for tests and simulation. A save is checked whole, then applied whole. */
#include "base/must.h"
#include "base/text.h"
#include "store/ledger.h"
#include "store/ledger_rows.h"

#include <stdlib.h>
#include <string.h>

struct entry {
    char key[LEDGER_KEY_MAX];
    void *row; /* owned; NULL: a retired slice */
};

struct table {
    struct entry *entries; /* sorted by key */
    size_t count, room;
};

struct ledger_memory {
    struct table tables[LEDGER_KIND_COUNT];
    struct ledger_numbers numbers;
    struct ledger_record *records; /* .text owned here */
    size_t record_count, record_room;
    unsigned fail_in; /* saves until the one that fails, 0: none */
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
static size_t place_of(const struct table *table, const char *key, bool *found)
{
    size_t low = 0, high = table->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(table->entries[middle].key, key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *found = low < table->count && strcmp(table->entries[low].key, key) == 0;
    return low;
}

static struct ledger_record last_record(const struct ledger_memory *mem)
{
    return mem->record_count > 0 ? mem->records[mem->record_count - 1] : (struct ledger_record){0};
}

/* ---- save ---------------------------------------------------------------------------------------------------- */

static bool row_check(void *ctx, const struct ledger_change *change, struct err *err)
{
    const struct ledger_memory *mem = ctx;
    const struct table *table = &mem->tables[change->kind];
    bool found;
    size_t place = place_of(table, change->key, &found);
    if (!found || change->del)
        return true;
    if (table->entries[place].row == NULL)
        return err_set(err, ERR_CONFLICT, "cannot write slice '%s' to the ledger: a slice of this id was retired",
                       change->key);
    return ledger_change_check(change, table->entries[place].row, err);
}

static void row_put(struct table *table, size_t place, bool found, const struct ledger_change *change)
{
    if (!found) {
        if (table->count == table->room)
            table->entries = grow(table->entries, &table->room, sizeof(struct entry));
        memmove(&table->entries[place + 1], &table->entries[place], (table->count - place) * sizeof(struct entry));
        table->count++;
        table->entries[place].row = malloc(ledger_jmap(change->kind)->size);
        must(table->entries[place].row != NULL);
        text_cut(table->entries[place].key, LEDGER_KEY_MAX, change->key);
    }
    ledger_durable(change->kind, change->row, table->entries[place].row);
}

static void row_del(struct table *table, size_t place, enum ledger_kind kind)
{
    free(table->entries[place].row);
    table->entries[place].row = NULL;
    if (kind == LEDGER_SLICE)
        return; /* its id is kept: it is never used again */
    table->count--;
    memmove(&table->entries[place], &table->entries[place + 1], (table->count - place) * sizeof(struct entry));
}

static bool row_apply(void *ctx, const struct ledger_change *change, struct err *err)
{
    struct ledger_memory *mem = ctx;
    struct table *table = &mem->tables[change->kind];
    (void)err;
    bool found;
    size_t place = place_of(table, change->key, &found);
    if (!change->del)
        row_put(table, place, found, change);
    else if (found)
        row_del(table, place, change->kind);
    return true;
}

/* What the numbers must agree with: the record that would be the newest. */
static bool record_check(const struct ledger_memory *mem, const char *text, const struct host *host,
                         struct ledger_record *newest, bool *is_new, struct err *err)
{
    const struct ledger_record last = last_record(mem);
    *newest = last;
    *is_new = false;
    if (text == NULL)
        return true;
    if (!ledger_record_read(text, host->erasure_seq, newest, err))
        return false;
    *is_new = !ledger_record_same(&last, newest); /* the same once more: the answer to the first save was lost */
    return !*is_new || ledger_record_check(&last, newest, err);
}

static void record_apply(struct ledger_memory *mem, const struct ledger_record *record)
{
    if (mem->record_count == mem->record_room)
        mem->records = grow(mem->records, &mem->record_room, sizeof(struct ledger_record));
    struct ledger_record *to = &mem->records[mem->record_count++];
    *to = *record;
    to->text = strdup(record->text);
    must(to->text != NULL);
}

static bool save_whole(struct ledger_memory *mem, const struct host *host, const char *text, struct err *err)
{
    struct ledger_record newest;
    struct ledger_numbers numbers;
    bool is_new;
    ledger_numbers_from(host, &numbers);
    const bool numbers_change = host->changed || text != NULL || mem->numbers.host.v[0] == '\0';
    if (!ledger_host_check("(memory)", &mem->numbers.host, &host->name, err) ||
        !record_check(mem, text, host, &newest, &is_new, err) ||
        (numbers_change && !ledger_numbers_check(&mem->numbers, &numbers, &newest, err)) ||
        !ledger_changes(host, row_check, mem, err))
        return false;
    if (is_new)
        record_apply(mem, &newest);
    if (numbers_change)
        mem->numbers = numbers;
    return ledger_changes(host, row_apply, mem, err);
}

static bool m_save(void *self, const struct host *host, const char *record, struct err *err)
{
    struct ledger_memory *mem = self;
    const bool fails = mem->fail_in > 0 && --mem->fail_in == 0;
    if (fails && !mem->fail_after)
        return err_set(err, ERR_FULL, "cannot write to the ledger: it was made to fail before");
    if (!save_whole(mem, host, record, err))
        return false;
    return fails ? err_set(err, ERR_BUSY, "cannot write to the ledger: it was made to fail after") : true;
}

/* ---- the rest of the port ------------------------------------------------------------------------------------ */

static bool m_load(void *self, struct host *host, struct err *err)
{
    struct ledger_memory *mem = self;
    if (!ledger_host_check("(memory)", &mem->numbers.host, &host->name, err))
        return false;
    if (mem->numbers.host.v[0] == '\0')
        mem->numbers.host = host->name;
    ledger_numbers_to(&mem->numbers, host);
    for (unsigned kind = 0; kind < LEDGER_KIND_COUNT; kind++) {
        const struct table *table = &mem->tables[kind];
        for (size_t i = 0; i < table->count; i++)
            if (table->entries[i].row != NULL &&
                !ledger_host_add(host, (enum ledger_kind)kind, table->entries[i].row, err))
                return false;
    }
    return true;
}

static bool m_records(void *self, uint64_t from, size_t max, bool (*fn)(void *ctx, uint64_t seq, const char *text),
                      void *ctx, struct err *err)
{
    const struct ledger_memory *mem = self;
    (void)err;
    for (size_t i = from > 0 ? from - 1 : 0; i < mem->record_count && max > 0; i++, max--)
        if (!fn(ctx, mem->records[i].seq, mem->records[i].text))
            break;
    return true;
}

static void m_close(void *self)
{
    struct ledger_memory *mem = self;
    for (size_t kind = 0; kind < LEDGER_KIND_COUNT; kind++) {
        for (size_t i = 0; i < mem->tables[kind].count; i++)
            free(mem->tables[kind].entries[i].row);
        free(mem->tables[kind].entries);
    }
    for (size_t i = 0; i < mem->record_count; i++)
        free((void *)(uintptr_t)mem->records[i].text); /* owned, const for its readers */
    free(mem->records);
    free(mem);
}

bool ledger_mem_open(struct ledger *out, struct err *err)
{
    (void)err;
    struct ledger_memory *mem = calloc(1, sizeof(*mem));
    must(mem != NULL);
    *out = (struct ledger){.self = mem, .load = m_load, .save = m_save, .records = m_records, .close = m_close};
    return true;
}

void ledger_mem_fail(struct ledger *ledger, unsigned nth, bool after)
{
    must(ledger->close == m_close);
    struct ledger_memory *mem = ledger->self;
    mem->fail_in = nth;
    mem->fail_after = after;
}
