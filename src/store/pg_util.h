/* pg_util.h - one connection to PostgreSQL that keeps what was acknowledged and says when it cannot know.
 *   - Each transaction is SERIALIZABLE: what it read has not changed when it commits, whatever other servers do. Else
 * it fails with ERR_BUSY and sys = EAGAIN: run it again from its begin.
 *   - A lost connection is made anew at the next begin. Was it lost in a commit, the new one is asked what became of
 * the transaction (pg_xact_status); where nobody can tell, ERR_BUSY with sys = EINPROGRESS says so, and an
 *     Idempotency-Key finds out.
 *   - Opening refuses, and changes nothing: a newer schema, a cluster with fsync = off, a standby. synchronous_commit
 * is raised to `on` where it is lower: acknowledged is durable (invariant 6).
 *   - Migrations run under an advisory lock, each in a transaction of its own, so that servers may start together. */
#ifndef NSMITH_PG_UTIL_H
#define NSMITH_PG_UTIL_H

#include "base/err.h"
#include "store/schema.h"

#include <libpq-fe.h>
#include <stddef.h>

enum { PG_PARAMS_MAX = 12, PG_NAME_MAX = 32, PG_SQL_MAX = 1024 };

struct pg_statement {
    char name[PG_NAME_MAX];
    char sql[PG_SQL_MAX];
};

struct pg {
    PGconn *conn;
    char *conninfo;                        /* owned */
    const struct schema_file *schema;      /* borrowed */
    const struct pg_statement *statements; /* borrowed; prepared on each connection */
    size_t statement_count;
    char xid[24]; /* of the transaction, empty: it has not written */
    bool open;    /* in a transaction */
    bool failed;  /* a step of it failed */
};

/* *pg is filled but for `conn`; pg_close() takes one whose open failed, too. */
bool pg_open(struct pg *pg, struct err *err);
void pg_close(struct pg *pg);

bool pg_begin(struct pg *pg, struct err *err);
bool pg_commit(struct pg *pg, struct err *err); /* false: rolled back, or not known, as the error says */
void pg_rollback(struct pg *pg);                /* no transaction: nothing */

/* Runs a prepared statement; *out (may be NULL) is owned by the caller. "<text>: " and PostgreSQL's reason on failure,
 * which also marks the transaction as failed. A statement that returns its transaction's id in a column named `xid` has
 * written. */
bool pg_run(struct pg *pg, const char *statement, const char *const *params, int count, PGresult **out, struct err *err,
            const char *fmt, ...) __attribute__((format(printf, 7, 8)));
/* Sends it only; rows are then taken one by one with PQgetResult() until NULL, and judged with pg_fail(). */
bool pg_send(struct pg *pg, const char *statement, const char *const *params, int count, struct err *err);
/* A result becomes an error here and nowhere else. */
bool pg_fail(struct pg *pg, const PGresult *result, struct err *err, const char *text);

static inline void pg_clear_p(PGresult **result)
{
    PQclear(*result);
}
#define auto_pg __attribute__((cleanup(pg_clear_p)))

#endif
