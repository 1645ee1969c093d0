/* ledger_sqlite.c - the ledger in one SQLite file: schema/NNN_ledger.sql says what it promises, sqlite_util.h how the
 * file is opened and synced, ledger_rows.h what of the host is in it. */
#include "base/must.h"
#include "base/text.h"
#include "store/ledger.h"
#include "store/ledger_rows.h"
#include "store/sqlite_util.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum statement {
    GET_NUMBERS,
    PUT_NUMBERS,
    GET_DRIVES, /* the four in the order of enum ledger_kind */
    GET_SLICES,
    GET_VMS,
    GET_TASKS,
    PUT_DRIVE,
    PUT_SLICE,
    PUT_VM,
    PUT_TASK,
    DEL_DRIVE,
    DEL_SLICE,
    DEL_VM,
    DEL_TASK,
    RETIRE,
    LAST_RECORD,
    GET_RECORDS,
    PUT_RECORD,
    STATEMENT_COUNT
};

static const char *const sql[STATEMENT_COUNT] = {
    [GET_NUMBERS] = "SELECT host, incarnation, wants_revision, seq, erasure_seq, erasure_hash FROM numbers",
    [PUT_NUMBERS] = "INSERT INTO numbers (id, host, incarnation, wants_revision, seq, erasure_seq, erasure_hash, sum)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
                    " ON CONFLICT (id) DO UPDATE SET host = excluded.host, incarnation = excluded.incarnation,"
                    " wants_revision = excluded.wants_revision, seq = excluded.seq,"
                    " erasure_seq = excluded.erasure_seq, erasure_hash = excluded.erasure_hash, sum = excluded.sum",
    [GET_DRIVES] = "SELECT doc FROM drives ORDER BY key",
    [GET_SLICES] = "SELECT doc FROM slices ORDER BY key",
    [GET_VMS] = "SELECT doc FROM vms ORDER BY key",
    [GET_TASKS] = "SELECT doc FROM tasks ORDER BY key",
    [PUT_DRIVE] = "INSERT INTO drives (key, adopt, doc, sum) VALUES (?, ?, ?, ?)"
                  " ON CONFLICT (key) DO UPDATE SET adopt = excluded.adopt, doc = excluded.doc, sum = excluded.sum",
    [PUT_SLICE] = "INSERT INTO slices (key, state, generation, owner, attached_seq, erased_seq, doc, sum)"
                  " VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
                  " ON CONFLICT (key) DO UPDATE SET state = excluded.state, generation = excluded.generation,"
                  " owner = excluded.owner, attached_seq = excluded.attached_seq, erased_seq = excluded.erased_seq,"
                  " doc = excluded.doc, sum = excluded.sum",
    [PUT_VM] = "INSERT INTO vms (key, doc, sum) VALUES (?, ?, ?)"
               " ON CONFLICT (key) DO UPDATE SET doc = excluded.doc, sum = excluded.sum",
    [PUT_TASK] = "INSERT INTO tasks (key, task, state, doc, sum) VALUES (?, ?, ?, ?, ?)"
                 " ON CONFLICT (key) DO UPDATE SET task = excluded.task, state = excluded.state, doc = excluded.doc,"
                 " sum = excluded.sum",
    [DEL_DRIVE] = "DELETE FROM drives WHERE key = ?",
    [DEL_SLICE] = "DELETE FROM slices WHERE key = ?",
    [DEL_VM] = "DELETE FROM vms WHERE key = ?",
    [DEL_TASK] = "DELETE FROM tasks WHERE key = ?",
    /* Only what the ledger ever had. The first values: key, doc, sum. */
    [RETIRE] =
        "INSERT INTO retired (key, doc, sum) SELECT ?1, ?2, ?3 WHERE EXISTS (SELECT 1 FROM slices WHERE key = ?1)",
    [LAST_RECORD] = "SELECT seq, hash FROM records ORDER BY seq DESC LIMIT 1",
    [GET_RECORDS] = "SELECT seq, prev, hash, text FROM records WHERE seq >= ? ORDER BY seq",
    [PUT_RECORD] = "INSERT INTO records (seq, prev, hash, text, sum) VALUES (?, ?, ?, ?, ?)",
};

struct sqlite_ledger {
    struct sqlite_file file;
    sqlite3_stmt *statements[STATEMENT_COUNT];
};

static const struct sqlite_format format = {
    .what = "ledger",
    .application_id = 0x6e736c67, /* "nslg" */
    .schema = schema_ledger,
};

static const char *column_text(sqlite3_stmt *stmt, int column)
{
    const char *text = (const char *)sqlite3_column_text(stmt, column);
    return text != NULL ? text : "";
}

static bool cannot_read(struct sqlite_ledger *ledger, int rc, struct err *err)
{
    return sqlite_fail(&ledger->file, rc, err, "cannot read the ledger '%s'", ledger->file.path);
}

/* ---- load ---------------------------------------------------------------------------------------------------- */

/* *out stays zero when the ledger is of no host yet. */
static bool numbers_read(struct sqlite_ledger *ledger, struct ledger_numbers *out, struct err *err)
{
    auto_reset sqlite3_stmt *stmt = ledger->statements[GET_NUMBERS];
    int rc = sqlite3_step(stmt);
    if (rc == SQLITE_DONE)
        return true;
    if (rc != SQLITE_ROW)
        return cannot_read(ledger, rc, err);
    struct ledger_numbers numbers = {
        .incarnation = (uint64_t)sqlite3_column_int64(stmt, 1),
        .wants_revision = (uint64_t)sqlite3_column_int64(stmt, 2),
        .seq = (uint64_t)sqlite3_column_int64(stmt, 3),
        .erasure_seq = (uint64_t)sqlite3_column_int64(stmt, 4),
    };
    if (!text_copy(numbers.host.v, sizeof(numbers.host.v), column_text(stmt, 0)) ||
        !text_copy(numbers.erasure_hash, sizeof(numbers.erasure_hash), column_text(stmt, 5)))
        return sqlite_damaged(&ledger->file, err, "its numbers cannot be read");
    *out = numbers;
    return true;
}

static bool row_read(struct sqlite_ledger *ledger, enum ledger_kind kind, sqlite3_stmt *stmt, void *row,
                     struct err *err)
{
    struct err reason = {0};
    const char *doc = column_text(stmt, 0);
    if (jmap_parse(ledger_jmap(kind), doc, strlen(doc), JMAP_LENIENT, row, &reason))
        return true;
    char why[ERR_MSG_MAX + 32];
    snprintf(why, sizeof(why), "a %s cannot be read: %s", ledger_kind_word(kind), reason.msg);
    return sqlite_damaged(&ledger->file, err, why);
}

static bool rows_read(struct sqlite_ledger *ledger, enum ledger_kind kind, struct host *host, void *row,
                      struct err *err)
{
    auto_reset sqlite3_stmt *stmt = ledger->statements[GET_DRIVES + kind];
    int rc;
    while ((rc = sqlite3_step(stmt)) == SQLITE_ROW)
        if (!row_read(ledger, kind, stmt, row, err) || !ledger_host_add(host, kind, row, err))
            return false;
    return rc == SQLITE_DONE || cannot_read(ledger, rc, err);
}

static bool kind_load(struct sqlite_ledger *ledger, enum ledger_kind kind, struct host *host, struct err *err)
{
    void *row = malloc(ledger_jmap(kind)->size);
    must(row != NULL);
    bool ok = rows_read(ledger, kind, host, row, err);
    free(row);
    return ok;
}

static bool numbers_write(struct sqlite_ledger *ledger, const struct ledger_numbers *numbers, struct err *err)
{
    const struct sqlite_value values[] = {
        VALUE_NUMBER(1),
        VALUE_TEXT(numbers->host.v),
        VALUE_NUMBER(numbers->incarnation),
        VALUE_NUMBER(numbers->wants_revision),
        VALUE_NUMBER(numbers->seq),
        VALUE_NUMBER(numbers->erasure_seq),
        VALUE_TEXT(numbers->erasure_hash),
    };
    int rc;
    return sqlite_run(ledger->statements[PUT_NUMBERS], values, sizeof(values) / sizeof(values[0]), true, &rc) ||
           sqlite_fail(&ledger->file, rc, err, "cannot write to the ledger");
}

/* An empty file takes the name of the first host that loads it. */
static bool name_take(struct sqlite_ledger *ledger, const struct name *name, struct ledger_numbers *numbers,
                      struct err *err)
{
    if (numbers->host.v[0] != '\0' || name->v[0] == '\0')
        return true;
    numbers->host = *name;
    if (!sqlite_begin(&ledger->file, err))
        return false;
    if (numbers_write(ledger, numbers, err))
        return sqlite_commit(&ledger->file, err);
    sqlite_rollback(&ledger->file);
    return false;
}

static bool l_load(void *self, struct host *host, struct err *err)
{
    struct sqlite_ledger *ledger = self;
    struct ledger_numbers numbers = {0};
    if (!numbers_read(ledger, &numbers, err) ||
        !ledger_host_check(ledger->file.path, &numbers.host, &host->name, err) ||
        !name_take(ledger, &host->name, &numbers, err))
        return false;
    ledger_numbers_to(&numbers, host);
    for (unsigned kind = 0; kind < LEDGER_KIND_COUNT; kind++)
        if (!kind_load(ledger, (enum ledger_kind)kind, host, err))
            return false;
    return true;
}

/* ---- save ---------------------------------------------------------------------------------------------------- */

static bool run(struct sqlite_ledger *ledger, enum statement statement, const struct ledger_change *change,
                const struct sqlite_value *values, size_t count, struct err *err)
{
    int rc;
    const bool sum = statement != DEL_DRIVE && statement != DEL_SLICE && statement != DEL_VM &&
                     statement != DEL_TASK;
    return sqlite_run(ledger->statements[statement], values, count, sum, &rc) ||
           sqlite_fail(&ledger->file, rc, err, "cannot write %s '%s' to the ledger", ledger_kind_word(change->kind),
                       change->key);
}

static bool doc_put(struct sqlite_ledger *ledger, const struct ledger_change *change, const void *row, const char *doc,
                    struct err *err)
{
    const struct host_drive *drive = row;
    const struct slice *slice = row;
    const struct host_task *task = row;
    struct sqlite_value values[SQLITE_VALUES_MAX];
    size_t count = 0;
    values[count++] = VALUE_TEXT(change->key);
    if (change->kind == LEDGER_DRIVE)
        values[count++] = VALUE_TEXT(ledger_adopt_words[drive->adopt]);
    if (change->kind == LEDGER_SLICE) {
        values[count++] = VALUE_TEXT(slice_state_word(slice->state));
        values[count++] = VALUE_NUMBER(slice->generation);
        values[count++] = VALUE_TEXT_OR_NULL(slice->owner.v);
        values[count++] = VALUE_NUMBER(slice->attached_seq);
        values[count++] = VALUE_NUMBER(slice->erased_seq);
    }
    if (change->kind == LEDGER_TASK) {
        values[count++] = VALUE_TEXT(task->task.id.v);
        values[count++] = VALUE_TEXT(task_state_words[task->report.state]);
    }
    values[count++] = VALUE_TEXT(doc);
    return run(ledger, (enum statement)(PUT_DRIVE + change->kind), change, values, count, err);
}

static bool row_del(struct sqlite_ledger *ledger, const struct ledger_change *change, const char *doc, struct err *err)
{
    const struct sqlite_value values[] = {VALUE_TEXT(change->key), VALUE_TEXT(doc)};
    if (change->kind == LEDGER_SLICE && !run(ledger, RETIRE, change, values, 2, err))
        return false;
    return run(ledger, (enum statement)(DEL_DRIVE + change->kind), change, values, 1, err);
}

static bool row_write(void *ctx, const struct ledger_change *change, struct err *err)
{
    struct sqlite_ledger *ledger = ctx;
    const struct jmap *map = ledger_jmap(change->kind);
    void *row = malloc(map->size);
    must(row != NULL);
    ledger_durable(change->kind, change->row, row);
    char *doc = jmap_text(map, row);
    bool ok = change->del ? row_del(ledger, change, doc, err) : doc_put(ledger, change, row, doc, err);
    free(doc);
    free(row);
    return ok;
}

static bool last_read(struct sqlite_ledger *ledger, struct ledger_record *out, struct err *err)
{
    auto_reset sqlite3_stmt *stmt = ledger->statements[LAST_RECORD];
    int rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW) {
        out->seq = (uint64_t)sqlite3_column_int64(stmt, 0);
        text_cut(out->hash, sizeof(out->hash), column_text(stmt, 1));
    }
    return rc == SQLITE_ROW || rc == SQLITE_DONE || cannot_read(ledger, rc, err);
}

static bool record_write(struct sqlite_ledger *ledger, const struct host *host, const char *text, struct err *err)
{
    struct ledger_record last = {0}, record;
    if (!ledger_record_read(text, host->erasure_seq, &record, err) || !last_read(ledger, &last, err))
        return false;
    if (ledger_record_same(&last, &record))
        return true; /* once more: the answer to the first save was lost */
    const struct sqlite_value values[] = {VALUE_NUMBER(record.seq), VALUE_TEXT(record.prev), VALUE_TEXT(record.hash),
                                          VALUE_TEXT(text)};
    int rc;
    return sqlite_run(ledger->statements[PUT_RECORD], values, 4, true, &rc) ||
           sqlite_fail(&ledger->file, rc, err, "cannot write record %ju to the ledger", (uintmax_t)record.seq);
}

static bool save_all(struct sqlite_ledger *ledger, const struct host *host, const char *record, struct err *err)
{
    struct ledger_numbers stored = {0}, fresh;
    ledger_numbers_from(host, &fresh);
    if (!numbers_read(ledger, &stored, err) || !ledger_host_check(ledger->file.path, &stored.host, &host->name, err) ||
        (record != NULL && !record_write(ledger, host, record, err)))
        return false;
    /* After the record: the numbers name it. */
    if ((host->changed || record != NULL || stored.host.v[0] == '\0') && !numbers_write(ledger, &fresh, err))
        return false;
    return ledger_changes(host, row_write, ledger, err);
}

static bool l_save(void *self, const struct host *host, const char *record, struct err *err)
{
    struct sqlite_ledger *ledger = self;
    if (!sqlite_begin(&ledger->file, err))
        return false;
    if (save_all(ledger, host, record, err))
        return sqlite_commit(&ledger->file, err);
    sqlite_rollback(&ledger->file);
    return false;
}

/* ---- records ------------------------------------------------------------------------------------------------- */

static bool record_is_whole(sqlite3_stmt *stmt)
{
    char hash[LEDGER_HASH_HEX];
    ledger_record_hash(column_text(stmt, 3), hash);
    return strcmp(hash, column_text(stmt, 2)) == 0;
}

static bool l_records(void *self, uint64_t from, size_t max, bool (*fn)(void *ctx, uint64_t seq, const char *text),
                      void *ctx, struct err *err)
{
    struct sqlite_ledger *ledger = self;
    auto_reset sqlite3_stmt *stmt = ledger->statements[GET_RECORDS];
    must(sqlite3_bind_int64(stmt, 1, (int64_t)(from & INT64_MAX)) == SQLITE_OK);
    int rc = SQLITE_DONE;
    for (; max > 0 && (rc = sqlite3_step(stmt)) == SQLITE_ROW; max--) {
        if (!record_is_whole(stmt))
            return sqlite_damaged(&ledger->file, err, "a record does not have its hash");
        if (!fn(ctx, (uint64_t)sqlite3_column_int64(stmt, 0), column_text(stmt, 3)))
            return true;
    }
    return rc == SQLITE_ROW || rc == SQLITE_DONE || cannot_read(ledger, rc, err);
}

/* The whole chain, once at open: it is the evidence. */
static bool chain_check(struct sqlite_ledger *ledger, struct err *err)
{
    auto_reset sqlite3_stmt *stmt = ledger->statements[GET_RECORDS];
    must(sqlite3_bind_int64(stmt, 1, 0) == SQLITE_OK);
    struct ledger_record last = {0};
    int rc;
    while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        struct ledger_record record = {.seq = (uint64_t)sqlite3_column_int64(stmt, 0)};
        struct err reason = {0};
        text_cut(record.prev, sizeof(record.prev), column_text(stmt, 1));
        text_cut(record.hash, sizeof(record.hash), column_text(stmt, 2));
        if (!record_is_whole(stmt) || !ledger_record_check(&last, &record, &reason))
            return sqlite_damaged(&ledger->file, err, "its chain of records is broken");
        last = record;
    }
    return rc == SQLITE_DONE || cannot_read(ledger, rc, err);
}

/* ---- open and close ------------------------------------------------------------------------------------------ */

static void l_close(void *self)
{
    struct sqlite_ledger *ledger = self;
    for (size_t i = 0; i < STATEMENT_COUNT; i++)
        sqlite3_finalize(ledger->statements[i]);
    sqlite_file_close(&ledger->file);
    free(ledger);
}

static bool prepare_all(struct sqlite_ledger *ledger, struct err *err)
{
    for (size_t i = 0; i < STATEMENT_COUNT; i++)
        if (!sqlite_prepare(&ledger->file, sql[i], &ledger->statements[i], err))
            return false;
    return true;
}

bool ledger_sqlite_open(const char *path, struct ledger *out, struct err *err)
{
    struct sqlite_ledger *ledger = calloc(1, sizeof(*ledger));
    must(ledger != NULL);
    if (!sqlite_file_open(&ledger->file, path, &format, err) || !prepare_all(ledger, err) ||
        !chain_check(ledger, err)) {
        l_close(ledger);
        return false;
    }
    *out = (struct ledger){.self = ledger, .load = l_load, .save = l_save, .records = l_records, .close = l_close};
    return true;
}
