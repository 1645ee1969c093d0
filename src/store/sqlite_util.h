/* sqlite_util.h - what store_sqlite.c and ledger_sqlite.c share: one SQLite file that keeps what it acknowledged.
 *   - Opening refuses, and does not change: a file of another kind (application_id), of a newer schema (user_version),
 *     a damaged one (integrity_check, foreign_key_check, and a checksum over each row), one that is open elsewhere
 *     (flock on PATH.lock, held until close; the lock file holds the pid).
 *   - WAL, synchronous=FULL. SQLite's own checkpoints ignore a failed fsync, and an fsync that failed once may succeed
 *     the next time although the pages are lost. So they are off; they are made here, and looked at.
 *   - A failed fsync (or truncate) ends the process. On the next start the WAL is written and synced once more. */
#ifndef NSMITH_SQLITE_UTIL_H
#define NSMITH_SQLITE_UTIL_H

#include "base/err.h"
#include "store/schema.h"

#include <sqlite3.h>
#include <stddef.h>

enum { SQLITE_PATH_MAX = 512, SQLITE_VALUES_MAX = 12, SQLITE_SQL_MAX = 1024 };

struct sqlite_format {
    const char *what; /* "server database", for messages */
    int application_id;
    const struct schema_file *schema;
};

struct sqlite_file {
    sqlite3 *db;
    int lock_fd; /* -1: none */
    const struct sqlite_format *format;
    char path[SQLITE_PATH_MAX];
    sqlite3_stmt *begin, *commit, *rollback;
    bool open;   /* in a transaction */
    bool failed; /* a step of it failed */
    int wal_frames;
};

/* *file must stay where it is until close. */
bool sqlite_file_open(struct sqlite_file *file, const char *path, const struct sqlite_format *format, struct err *err);
/* Statements must be finalized before. Takes a file whose open failed, too. */
void sqlite_file_close(struct sqlite_file *file);

bool sqlite_begin(struct sqlite_file *file, struct err *err);
bool sqlite_commit(struct sqlite_file *file, struct err *err); /* false: rolled back */
void sqlite_rollback(struct sqlite_file *file);                /* no transaction: nothing */

bool sqlite_prepare(struct sqlite_file *file, const char *sql, sqlite3_stmt **out, struct err *err);

/* An SQLite result becomes an error here and nowhere else; "<text>: " and SQLite's reason. Marks the transaction as
 * failed. Does not return when the failure means that acknowledged data may be lost. */
bool sqlite_fail(struct sqlite_file *file, int rc, struct err *err, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* The same, "cannot open the <what> '<path>'". */
bool sqlite_cannot_open(struct sqlite_file *file, int rc, struct err *err);
/* What was read cannot be right. */
bool sqlite_damaged(struct sqlite_file *file, struct err *err, const char *why);

struct sqlite_value {
    const char *text; /* borrowed; NULL: the number, or NULL when is_null */
    int64_t number;
    bool is_null;
};

#define VALUE_TEXT(t) ((struct sqlite_value){.text = (t)})
#define VALUE_TEXT_OR_NULL(t) (*(t) != '\0' ? VALUE_TEXT(t) : (struct sqlite_value){.is_null = true})
#define VALUE_NUMBER(n) ((struct sqlite_value){.number = (int64_t)(n)})

/* Binds the values, then their checksum as the last parameter when `sum`; runs a statement that returns no rows. On
 * failure the caller calls sqlite_fail() with *rc: the statement is reset already. */
bool sqlite_run(sqlite3_stmt *stmt, const struct sqlite_value *values, size_t count, bool sum, int *rc);

/* FNV-1a (Fowler, Noll, Vo), 64 bits, over a row's values one after the other: against flipped bits, not people. */
#define SQLITE_SUM_START UINT64_C(0xcbf29ce484222325)
uint64_t sqlite_sum(uint64_t sum, const struct sqlite_value *value);

/* For a statement that is read row by row: reset at the end of the scope. */
static inline void sqlite_reset_p(sqlite3_stmt **stmt)
{
    if (*stmt != NULL) {
        sqlite3_reset(*stmt);
        sqlite3_clear_bindings(*stmt);
    }
}
#define auto_reset __attribute__((cleanup(sqlite_reset_p)))

static inline void sqlite_finalize_p(sqlite3_stmt **stmt)
{
    sqlite3_finalize(*stmt);
}
#define auto_finalize __attribute__((cleanup(sqlite_finalize_p)))

#endif
