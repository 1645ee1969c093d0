/* store_sqlite.c - the store in one SQLite file: schema/NNN_*.sql says what it promises, sqlite_util.h how the file is
 * opened and synced, store_rows.h how rows become JSON and columns. The SQL of the ten kinds differs only in the names
 * of table and columns, so it is written once, from those tables of constants. */
#include "base/must.h"
#include "store/sqlite_util.h"
#include "store/store_rows.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One statement for each way to find rows by an index; the rest of a filter is compared row by row. */
enum each_by { EACH_ALL, EACH_HOST, EACH_CLAIM, EACH_SLICE, EACH_COUNT };

static const char *const each_columns[EACH_COUNT] = {NULL, "host", "claim", "slice"};

struct statements {
    sqlite3_stmt *get, *put, *del;
    sqlite3_stmt *each[EACH_COUNT]; /* NULL: no such column */
};

struct sqlite_store {
    struct sqlite_file file;
    struct statements of[STORE_KIND_COUNT];
    bool walking; /* each() is under way */
};

static const struct sqlite_format format = {
    .what = "server database",
    .application_id = 0x6e736d64, /* "nsmd" */
    .schema = schema_server,
};

/* ---- statements ---------------------------------------------------------------------------------------------- */

__attribute__((format(printf, 3, 4))) static size_t add(char *sql, size_t used, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int len = vsnprintf(sql + used, SQLITE_SQL_MAX - used, fmt, ap);
    va_end(ap);
    must(len >= 0 && used + (size_t)len < SQLITE_SQL_MAX);
    return used + (size_t)len;
}

/* Not INSERT OR REPLACE: that deletes the old row, so that no trigger could compare the two. */
static bool prepare_put(struct sqlite_store *store, enum store_kind kind, struct err *err)
{
    const struct store_kind_info *info = store_kind_info(kind);
    char sql[SQLITE_SQL_MAX];
    size_t len = add(sql, 0, "INSERT INTO %s (key", info->table);
    for (size_t i = 0; i < info->column_count; i++)
        len = add(sql, len, ", %s", info->columns[i].name);
    len = add(sql, len, ", doc, sum) VALUES (?");
    for (size_t i = 0; i < info->column_count + 2; i++)
        len = add(sql, len, ", ?");
    len = add(sql, len, ") ON CONFLICT (key) DO UPDATE SET ");
    for (size_t i = 0; i < info->column_count; i++)
        len = add(sql, len, "%s = excluded.%s, ", info->columns[i].name, info->columns[i].name);
    add(sql, len, "doc = excluded.doc, sum = excluded.sum");
    return sqlite_prepare(&store->file, sql, &store->of[kind].put, err);
}

static bool prepare_each(struct sqlite_store *store, enum store_kind kind, enum each_by by, struct err *err)
{
    char sql[SQLITE_SQL_MAX];
    if (by == EACH_ALL)
        add(sql, 0, "SELECT doc FROM %s ORDER BY key", store_kind_info(kind)->table);
    else if (store_column_find(kind, each_columns[by]) != NULL)
        add(sql, 0, "SELECT doc FROM %s WHERE %s = ? ORDER BY key", store_kind_info(kind)->table, each_columns[by]);
    else
        return true;
    return sqlite_prepare(&store->file, sql, &store->of[kind].each[by], err);
}

static bool prepare_kind(struct sqlite_store *store, enum store_kind kind, struct err *err)
{
    const char *table = store_kind_info(kind)->table;
    char sql[SQLITE_SQL_MAX];
    add(sql, 0, "SELECT doc FROM %s WHERE key = ?", table);
    if (!sqlite_prepare(&store->file, sql, &store->of[kind].get, err))
        return false;
    add(sql, 0, "DELETE FROM %s WHERE key = ?", table);
    if (!sqlite_prepare(&store->file, sql, &store->of[kind].del, err) || !prepare_put(store, kind, err))
        return false;
    for (unsigned by = 0; by < EACH_COUNT; by++)
        if (!prepare_each(store, kind, (enum each_by)by, err))
            return false;
    return true;
}

static bool prepare_all(struct sqlite_store *store, struct err *err)
{
    for (unsigned kind = 0; kind < STORE_KIND_COUNT; kind++)
        if (!prepare_kind(store, (enum store_kind)kind, err))
            return false;
    return true;
}

/* ---- rows ---------------------------------------------------------------------------------------------------- */

/* The words of the row's own JSON reader blame the input; here the input is our own file. */
static bool row_read(struct sqlite_store *store, enum store_kind kind, sqlite3_stmt *stmt, void *row, struct err *err)
{
    const struct store_kind_info *info = store_kind_info(kind);
    struct err reason = {0};
    const char *doc = (const char *)sqlite3_column_text(stmt, 0);
    const size_t len = (size_t)sqlite3_column_bytes(stmt, 0);
    /* Lenient: fields that a newer program of the same schema version added are passed over. */
    if (jmap_parse(info->jmap, doc, len, JMAP_LENIENT, row, &reason))
        return true;
    char why[ERR_MSG_MAX + 32];
    snprintf(why, sizeof(why), "a %s cannot be read: %s", info->word, reason.msg);
    return sqlite_damaged(&store->file, err, why);
}

static struct sqlite_value column_value(const struct store_column *column, const void *row)
{
    const char *at = (const char *)row + column->offset;
    uint64_t u64;
    uint32_t u32;
    switch (column->kind) {
    case COLUMN_TEXT:
        return VALUE_TEXT(at);
    case COLUMN_TEXT_OR_NULL:
        return VALUE_TEXT_OR_NULL(at);
    case COLUMN_U64:
        memcpy(&u64, at, sizeof(u64));
        return VALUE_NUMBER(u64);
    case COLUMN_U32:
        memcpy(&u32, at, sizeof(u32));
        return VALUE_NUMBER(u32);
    case COLUMN_WORD:
        memcpy(&u32, at, sizeof(u32));
        must(u32 < column->word_count);
        return VALUE_TEXT(column->words[u32]);
    }
    must(false);
    return (struct sqlite_value){0};
}

static bool put_row(struct sqlite_store *store, enum store_kind kind, const void *row, struct err *err)
{
    const struct store_kind_info *info = store_kind_info(kind);
    struct sqlite_value values[SQLITE_VALUES_MAX];
    size_t count = 0;
    must(info->column_count + 2 <= SQLITE_VALUES_MAX);
    values[count++] = VALUE_TEXT(store_row_key(kind, row));
    for (size_t i = 0; i < info->column_count; i++)
        values[count++] = column_value(&info->columns[i], row);
    char *doc = jmap_text(info->jmap, row);
    values[count++] = VALUE_TEXT(doc);
    int rc;
    bool ok = sqlite_run(store->of[kind].put, values, count, true, &rc);
    free(doc);
    return ok || sqlite_fail(&store->file, rc, err, "cannot store %s '%s'", info->word, store_row_key(kind, row));
}

/* ---- the port ------------------------------------------------------------------------------------------------ */

static bool s_begin(void *self, struct err *err)
{
    struct sqlite_store *store = self;
    return sqlite_begin(&store->file, err);
}

static bool s_commit(void *self, struct err *err)
{
    struct sqlite_store *store = self;
    must(!store->walking);
    return sqlite_commit(&store->file, err);
}

static void s_rollback(void *self)
{
    struct sqlite_store *store = self;
    must(!store->walking);
    sqlite_rollback(&store->file);
}

static bool s_get(void *self, enum store_kind kind, const char *key, void *row, bool *found, struct err *err)
{
    struct sqlite_store *store = self;
    must(store->file.open && !store->walking);
    auto_reset sqlite3_stmt *stmt = store->of[kind].get;
    must(sqlite3_bind_text(stmt, 1, key, -1, SQLITE_STATIC) == SQLITE_OK);
    int rc = sqlite3_step(stmt);
    if (rc != SQLITE_ROW && rc != SQLITE_DONE)
        return sqlite_fail(&store->file, rc, err, "cannot read %s '%s'", store_kind_info(kind)->word, key);
    if (rc == SQLITE_ROW && !row_read(store, kind, stmt, row, err))
        return false;
    *found = rc == SQLITE_ROW;
    return true;
}

static bool s_put(void *self, enum store_kind kind, const void *row, struct err *err)
{
    struct sqlite_store *store = self;
    must(store->file.open && !store->walking);
    if (store_row_check(kind, row, err))
        return put_row(store, kind, row, err);
    store->file.failed = true;
    return false;
}

static bool s_del(void *self, enum store_kind kind, const char *key, struct err *err)
{
    struct sqlite_store *store = self;
    must(store->file.open && !store->walking);
    int rc;
    return sqlite_run(store->of[kind].del, &VALUE_TEXT(key), 1, false, &rc) ||
           sqlite_fail(&store->file, rc, err, "cannot delete %s '%s'", store_kind_info(kind)->word, key);
}

/* The statement that finds the fewest rows, bound. */
static sqlite3_stmt *each_choose(struct sqlite_store *store, enum store_kind kind, const struct store_filter *filter)
{
    const char *value;
    const char *column = store_filter_column(filter, &value);
    unsigned by = EACH_ALL;
    while (column != NULL && (each_columns[by] == NULL || strcmp(each_columns[by], column) != 0))
        must(++by < EACH_COUNT);
    sqlite3_stmt *stmt = store->of[kind].each[by];
    if (column != NULL)
        must(sqlite3_bind_text(stmt, 1, value, -1, SQLITE_STATIC) == SQLITE_OK);
    return stmt;
}

static bool walk(struct sqlite_store *store, enum store_kind kind, const struct store_filter *filter, store_each_fn fn,
                 void *ctx, void *row, struct err *err)
{
    auto_reset sqlite3_stmt *stmt = each_choose(store, kind, filter);
    int rc;
    while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        if (!row_read(store, kind, stmt, row, err))
            return false;
        if (store_row_matches(kind, row, filter) && !fn(ctx, row))
            return true;
    }
    return rc == SQLITE_DONE ||
           sqlite_fail(&store->file, rc, err, "cannot read the %s rows", store_kind_info(kind)->word);
}

static bool s_each(void *self, enum store_kind kind, const struct store_filter *filter, store_each_fn fn, void *ctx,
                   struct err *err)
{
    struct sqlite_store *store = self;
    must(store->file.open && !store->walking);
    store_filter_must_fit(kind, filter);
    void *row = malloc(store_row_size(kind));
    must(row != NULL);
    store->walking = true;
    bool ok = walk(store, kind, filter, fn, ctx, row, err);
    store->walking = false;
    free(row);
    return ok;
}

static void s_close(void *self)
{
    struct sqlite_store *store = self;
    for (size_t k = 0; k < STORE_KIND_COUNT; k++) {
        sqlite3_finalize(store->of[k].get);
        sqlite3_finalize(store->of[k].put);
        sqlite3_finalize(store->of[k].del);
        for (size_t by = 0; by < EACH_COUNT; by++)
            sqlite3_finalize(store->of[k].each[by]);
    }
    sqlite_file_close(&store->file);
    free(store);
}

bool store_sqlite_open(const char *path, struct store *out, struct err *err)
{
    struct sqlite_store *store = calloc(1, sizeof(*store));
    must(store != NULL);
    if (!sqlite_file_open(&store->file, path, &format, err) || !prepare_all(store, err)) {
        s_close(store);
        return false;
    }
    *out = (struct store){
        .self = store,
        .begin = s_begin,
        .commit = s_commit,
        .rollback = s_rollback,
        .get = s_get,
        .put = s_put,
        .del = s_del,
        .each = s_each,
        .close = s_close,
    };
    return true;
}
