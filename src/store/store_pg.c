/* store_pg.c - the store in PostgreSQL, for any number of servers at once: schema/pg/NNN_*.sql says what it promises,
 * pg_util.h how a transaction fails, store_rows.h how rows become JSON and columns. The SQL of the kinds differs only
 * in the names of table and columns, so it is written once, from those tables of constants; a statement's name is its
 * verb and its table. */
#include "base/must.h"
#include "base/text.h"
#include "store/pg_util.h"
#include "store/store_rows.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* get, put, del and each of all kinds, and each by host, claim and slice where there is such a column. */
enum { STATEMENTS_MAX = STORE_KIND_COUNT * 7 };

static const char *const each_columns[] = {"host", "claim", "slice"}; /* those of store_filter_column() */

struct pg_store {
    struct pg pg;
    struct pg_statement statements[STATEMENTS_MAX];
    bool walking; /* each() is under way */
};

/* ---- statements ---------------------------------------------------------------------------------------------- */

struct text {
    char *at;
    size_t used;
};

__attribute__((format(printf, 2, 3))) static void add(struct text *text, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    const int len = vsnprintf(text->at + text->used, PG_SQL_MAX - text->used, fmt, ap);
    va_end(ap);
    must(len >= 0 && text->used + (size_t)len < PG_SQL_MAX);
    text->used += (size_t)len;
}

static void name_of(char out[PG_NAME_MAX], const char *verb, const char *table)
{
    const int len = snprintf(out, PG_NAME_MAX, "%s_%s", verb, table);
    must(len > 0 && len < PG_NAME_MAX);
}

static struct text statement_new(struct pg_store *store, const char *verb, const char *table)
{
    must(store->pg.statement_count < STATEMENTS_MAX);
    struct pg_statement *statement = &store->statements[store->pg.statement_count++];
    name_of(statement->name, verb, table);
    return (struct text){.at = statement->sql};
}

static void write_put(struct pg_store *store, const struct store_kind_info *info)
{
    struct text sql = statement_new(store, "put", info->table);
    add(&sql, "INSERT INTO %s (key", info->table);
    for (size_t i = 0; i < info->column_count; i++)
        add(&sql, ", %s", info->columns[i].name);
    add(&sql, ", doc) VALUES ($1");
    for (size_t i = 0; i <= info->column_count; i++)
        add(&sql, ", $%zu", i + 2);
    add(&sql, ") ON CONFLICT (key) DO UPDATE SET ");
    for (size_t i = 0; i < info->column_count; i++)
        add(&sql, "%s = excluded.%s, ", info->columns[i].name, info->columns[i].name);
    add(&sql, "doc = excluded.doc RETURNING pg_current_xact_id() AS xid");
}

static void write_kind(struct pg_store *store, enum store_kind kind)
{
    const struct store_kind_info *info = store_kind_info(kind);
    struct text get = statement_new(store, "get", info->table);
    add(&get, "SELECT doc FROM %s WHERE key = $1", info->table);
    struct text del = statement_new(store, "del", info->table);
    add(&del, "DELETE FROM %s WHERE key = $1 RETURNING pg_current_xact_id() AS xid", info->table);
    struct text each = statement_new(store, "each", info->table);
    add(&each, "SELECT doc FROM %s ORDER BY key", info->table);
    write_put(store, info);
    for (size_t i = 0; i < sizeof(each_columns) / sizeof(each_columns[0]); i++)
        if (store_column_find(kind, each_columns[i]) != NULL) {
            struct text by = statement_new(store, each_columns[i], info->table);
            add(&by, "SELECT doc FROM %s WHERE %s = $1 ORDER BY key", info->table, each_columns[i]);
        }
}

/* ---- rows ---------------------------------------------------------------------------------------------------- */

static bool row_read(struct pg_store *store, enum store_kind kind, const PGresult *result, void *row, struct err *err)
{
    const struct store_kind_info *info = store_kind_info(kind);
    struct err reason = {0};
    /* Lenient: fields that a newer program of the same schema version added are passed over. */
    if (jmap_parse(info->jmap, PQgetvalue(result, 0, 0), (size_t)PQgetlength(result, 0, 0), JMAP_LENIENT, row, &reason))
        return true;
    store->pg.failed = true;
    err_set(err, ERR_FAILED, "cannot use the database: a %s cannot be read: %s", info->word, reason.msg);
    return err_hint(err, "it was changed by something else than nsmith: restore a backup");
}

enum { NUMBER_MAX = 24 };

/* What a column holds, as text; NULL: SQL's. */
static const char *column_text(const struct store_column *column, const void *row, char number[NUMBER_MAX])
{
    const char *at = (const char *)row + column->offset;
    uint64_t u64;
    uint32_t u32;
    switch (column->kind) {
    case COLUMN_TEXT:
        return at;
    case COLUMN_TEXT_OR_NULL:
        return at[0] != '\0' ? at : NULL;
    case COLUMN_U64:
        memcpy(&u64, at, sizeof(u64));
        snprintf(number, NUMBER_MAX, "%" PRIu64, u64);
        return number;
    case COLUMN_U32:
        memcpy(&u32, at, sizeof(u32));
        snprintf(number, NUMBER_MAX, "%" PRIu32, u32);
        return number;
    case COLUMN_WORD:
        memcpy(&u32, at, sizeof(u32));
        must(u32 < column->word_count);
        return column->words[u32];
    }
    must(false);
    return NULL;
}

static bool put_row(struct pg_store *store, enum store_kind kind, const void *row, struct err *err)
{
    const struct store_kind_info *info = store_kind_info(kind);
    char name[PG_NAME_MAX], numbers[STORE_COLUMNS_MAX][NUMBER_MAX];
    const char *params[STORE_COLUMNS_MAX + 2];
    int count = 0;
    must(info->column_count <= STORE_COLUMNS_MAX);
    params[count++] = store_row_key(kind, row);
    for (size_t i = 0; i < info->column_count; i++)
        params[count++] = column_text(&info->columns[i], row, numbers[i]);
    char *doc = jmap_text(info->jmap, row);
    params[count++] = doc;
    name_of(name, "put", info->table);
    const bool ok = pg_run(&store->pg, name, params, count, NULL, err, "cannot store %s '%s'", info->word,
                           store_row_key(kind, row));
    free(doc);
    return ok;
}

/* ---- the port ------------------------------------------------------------------------------------------------ */

static bool p_begin(void *self, struct err *err)
{
    struct pg_store *store = self;
    return pg_begin(&store->pg, err);
}

static bool p_commit(void *self, struct err *err)
{
    struct pg_store *store = self;
    must(!store->walking);
    return pg_commit(&store->pg, err);
}

static void p_rollback(void *self)
{
    struct pg_store *store = self;
    must(!store->walking);
    pg_rollback(&store->pg);
}

static bool p_get(void *self, enum store_kind kind, const char *key, void *row, bool *found, struct err *err)
{
    struct pg_store *store = self;
    char name[PG_NAME_MAX];
    auto_pg PGresult *result = NULL;
    must(store->pg.open && !store->walking);
    name_of(name, "get", store_kind_info(kind)->table);
    if (!pg_run(&store->pg, name, &key, 1, &result, err, "cannot read %s '%s'", store_kind_info(kind)->word, key))
        return false;
    const bool there = PQntuples(result) == 1;
    if (there && !row_read(store, kind, result, row, err))
        return false;
    *found = there;
    return true;
}

static bool p_put(void *self, enum store_kind kind, const void *row, struct err *err)
{
    struct pg_store *store = self;
    must(store->pg.open && !store->walking);
    if (store_row_check(kind, row, err))
        return put_row(store, kind, row, err);
    store->pg.failed = true;
    return false;
}

static bool p_del(void *self, enum store_kind kind, const char *key, struct err *err)
{
    struct pg_store *store = self;
    char name[PG_NAME_MAX];
    must(store->pg.open && !store->walking);
    name_of(name, "del", store_kind_info(kind)->table);
    return pg_run(&store->pg, name, &key, 1, NULL, err, "cannot delete %s '%s'", store_kind_info(kind)->word, key);
}

/* All results are taken, whatever happens: the connection is of no use before. */
static bool walk(struct pg_store *store, enum store_kind kind, const struct store_filter *filter, store_each_fn fn,
                 void *ctx, void *row, struct err *err)
{
    bool ok = true, more = true;
    for (PGresult *result = PQgetResult(store->pg.conn); result != NULL; result = PQgetResult(store->pg.conn)) {
        const ExecStatusType status = PQresultStatus(result);
        if (status == PGRES_SINGLE_TUPLE && ok && more) {
            ok = row_read(store, kind, result, row, err);
            more = ok && (!store_row_matches(kind, row, filter) || fn(ctx, row));
        } else if (status != PGRES_SINGLE_TUPLE && status != PGRES_TUPLES_OK && ok) {
            char text[64];
            snprintf(text, sizeof(text), "cannot read the %s rows", store_kind_info(kind)->word);
            ok = pg_fail(&store->pg, result, err, text);
        }
        PQclear(result);
    }
    return ok;
}

static bool p_each(void *self, enum store_kind kind, const struct store_filter *filter, store_each_fn fn, void *ctx,
                   struct err *err)
{
    struct pg_store *store = self;
    char name[PG_NAME_MAX];
    const char *param = NULL;
    must(store->pg.open && !store->walking);
    store_filter_must_fit(kind, filter);
    const char *column = store_filter_column(filter, &param);
    name_of(name, column != NULL ? column : "each", store_kind_info(kind)->table);
    if (!pg_send(&store->pg, name, &param, column != NULL, err))
        return false;
    void *row = malloc(store_row_size(kind));
    must(row != NULL);
    store->walking = true;
    const bool ok = walk(store, kind, filter, fn, ctx, row, err);
    store->walking = false;
    free(row);
    return ok;
}

static void p_close(void *self)
{
    struct pg_store *store = self;
    pg_rollback(&store->pg);
    pg_close(&store->pg);
    free(store);
}

bool store_pg_open(const char *conninfo, struct store *out, struct err *err)
{
    struct pg_store *store = calloc(1, sizeof(*store));
    must(store != NULL);
    store->pg = (struct pg){.conninfo = strdup(conninfo), .schema = schema_server_pg, .statements = store->statements};
    must(store->pg.conninfo != NULL);
    for (unsigned kind = 0; kind < STORE_KIND_COUNT; kind++)
        write_kind(store, (enum store_kind)kind);
    if (!pg_open(&store->pg, err)) {
        p_close(store);
        return false;
    }
    *out = (struct store){
        .self = store,
        .begin = p_begin,
        .commit = p_commit,
        .rollback = p_rollback,
        .get = p_get,
        .put = p_put,
        .del = p_del,
        .each = p_each,
        .close = p_close,
    };
    return true;
}
