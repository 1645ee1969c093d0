#include "store/sqlite_check.h"

#include <stdio.h>
#include <string.h>

static bool pages_check(struct sqlite_file *file, struct err *err)
{
    auto_finalize sqlite3_stmt *stmt = NULL;
    /* Not quick_check: that does not look into indexes, and a row that its index does not find is a lost row. */
    if (!sqlite_prepare(file, "PRAGMA integrity_check(1)", &stmt, err))
        return false;
    int rc = sqlite3_step(stmt);
    if (rc != SQLITE_ROW)
        return sqlite_cannot_open(file, rc, err);
    const char *text = (const char *)sqlite3_column_text(stmt, 0);
    return strcmp(text, "ok") == 0 || sqlite_damaged(file, err, text);
}

static bool references_check(struct sqlite_file *file, struct err *err)
{
    auto_finalize sqlite3_stmt *stmt = NULL;
    if (!sqlite_prepare(file, "PRAGMA foreign_key_check", &stmt, err))
        return false;
    int rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW)
        return sqlite_damaged(file, err, "a row refers to one that is not there");
    return rc == SQLITE_DONE || sqlite_cannot_open(file, rc, err);
}

/* ---- checksums ----------------------------------------------------------------------------------------------- */

static bool row_sum_holds(sqlite3_stmt *stmt)
{
    uint64_t sum = SQLITE_SUM_START, stored = 0;
    for (int i = 0; i < sqlite3_column_count(stmt); i++) {
        if (strcmp(sqlite3_column_name(stmt, i), "sum") == 0) {
            stored = (uint64_t)sqlite3_column_int64(stmt, i);
            continue;
        }
        struct sqlite_value value = {.is_null = sqlite3_column_type(stmt, i) == SQLITE_NULL,
                                     .number = sqlite3_column_int64(stmt, i)};
        if (sqlite3_column_type(stmt, i) == SQLITE_TEXT)
            value.text = (const char *)sqlite3_column_text(stmt, i);
        sum = sqlite_sum(sum, &value);
    }
    return sum == stored;
}

static bool table_sums_check(struct sqlite_file *file, const char *table, struct err *err)
{
    char sql[128], why[128];
    auto_finalize sqlite3_stmt *stmt = NULL;
    snprintf(sql, sizeof(sql), "SELECT * FROM \"%s\"", table);
    if (!sqlite_prepare(file, sql, &stmt, err))
        return false;
    int rc;
    while ((rc = sqlite3_step(stmt)) == SQLITE_ROW)
        if (!row_sum_holds(stmt)) {
            snprintf(why, sizeof(why), "wrong checksum of a row of '%s'", table);
            return sqlite_damaged(file, err, why);
        }
    return rc == SQLITE_DONE || sqlite_cannot_open(file, rc, err);
}

static bool sums_check(struct sqlite_file *file, struct err *err)
{
    auto_finalize sqlite3_stmt *stmt = NULL;
    if (!sqlite_prepare(file,
                        "SELECT s.name FROM sqlite_schema AS s, pragma_table_info(s.name) AS c"
                        " WHERE s.type = 'table' AND c.name = 'sum'",
                        &stmt, err))
        return false;
    int rc;
    while ((rc = sqlite3_step(stmt)) == SQLITE_ROW)
        if (!table_sums_check(file, (const char *)sqlite3_column_text(stmt, 0), err))
            return false;
    return rc == SQLITE_DONE || sqlite_cannot_open(file, rc, err);
}

bool sqlite_pages_check(struct sqlite_file *file, struct err *err)
{
    return pages_check(file, err) && references_check(file, err) && sums_check(file, err);
}

/* ---- the schema ---------------------------------------------------------------------------------------------- */

/* What the schema files make of an empty database. */
static bool model_make(struct sqlite_file *model, struct err *err)
{
    int rc = sqlite3_open_v2(":memory:", &model->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_EXRESCODE, NULL);
    for (const struct schema_file *schema = model->format->schema; rc == SQLITE_OK && schema->name != NULL; schema++)
        rc = sqlite3_exec(model->db, schema->sql, NULL, NULL, NULL);
    return rc == SQLITE_OK || sqlite_cannot_open(model, rc, err);
}

static bool has_object(sqlite3_stmt *find, sqlite3_stmt *wanted)
{
    for (int i = 0; i < 3; i++)
        sqlite3_bind_value(find, i + 1, sqlite3_column_value(wanted, i));
    bool found = sqlite3_step(find) == SQLITE_ROW;
    sqlite3_reset(find);
    return found;
}

static bool schema_compare(struct sqlite_file *file, struct sqlite_file *model, struct err *err)
{
    auto_finalize sqlite3_stmt *find = NULL, *all = NULL;
    if (!sqlite_prepare(file, "SELECT 1 FROM sqlite_schema WHERE type = ? AND name = ? AND sql IS ?", &find, err) ||
        !sqlite_prepare(model, "SELECT type, name, sql FROM sqlite_schema", &all, err))
        return false;
    int rc;
    while ((rc = sqlite3_step(all)) == SQLITE_ROW)
        if (!has_object(find, all)) {
            char why[128];
            snprintf(why, sizeof(why), "its %s '%s' is not what it should be",
                     (const char *)sqlite3_column_text(all, 0), (const char *)sqlite3_column_text(all, 1));
            return sqlite_damaged(file, err, why);
        }
    return rc == SQLITE_DONE || sqlite_cannot_open(model, rc, err);
}

bool sqlite_schema_check(struct sqlite_file *file, struct err *err)
{
    struct sqlite_file model = *file; /* for its names in messages */
    model.db = NULL;
    bool ok = model_make(&model, err) && schema_compare(file, &model, err);
    sqlite3_close(model.db);
    return ok;
}
