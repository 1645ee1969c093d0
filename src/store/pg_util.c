#include "store/pg_util.h"

#include "base/must.h"
#include "base/text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    RESOLVE_TRIES = 40,    /* what became of a commit: asked so often, */
    RESOLVE_WAIT_MS = 250, /* with so much between, about the time of a failover */
};

/* "nsmd", as the application_id of the SQLite file. */
static const char lock_sql[] = "SELECT pg_advisory_lock(1853058404)";
static const char unlock_sql[] = "SELECT pg_advisory_unlock(1853058404)";

/* A transaction whose server was stopped must not hold others up for ever. */
static const char session_sql[] = "SET default_transaction_isolation = 'serializable';"
                                  "SET idle_in_transaction_session_timeout = '60s';"
                                  "SET lock_timeout = '20s';"
                                  "SET client_min_messages = warning";

/* ---- errors -------------------------------------------------------------------------------------------------- */

static bool state_is(const char *state, const char *class)
{
    return strncmp(state, class, strlen(class)) == 0;
}

/* PostgreSQL, Appendix A "PostgreSQL Error Codes". */
static enum err_kind kind_of(const char *state, bool *again)
{
    *again = state_is(state, "40"); /* serialization failure, deadlock */
    if (*again || state[0] == '\0' || state_is(state, "08") || state_is(state, "57") || state_is(state, "55") ||
        strcmp(state, "53300") == 0) /* connection lost, being shut down, locked, too many connections */
        return ERR_BUSY;
    if (strcmp(state, "NS001") == 0 || strcmp(state, "23505") == 0 || strcmp(state, "23503") == 0)
        return ERR_CONFLICT; /* our rule; two of what there may be one of; names what is not there */
    if (state_is(state, "22") || state_is(state, "23"))
        return ERR_INPUT;
    if (state_is(state, "53") || state_is(state, "54"))
        return ERR_FULL;
    if (state_is(state, "28") || strcmp(state, "42501") == 0)
        return ERR_DENIED;
    return ERR_FAILED;
}

static void reason_of(const struct pg *pg, const PGresult *result, char *out, size_t room)
{
    const char *text = result != NULL ? PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY) : NULL;
    if (text == NULL)
        text = PQerrorMessage(pg->conn);
    text_cut(out, room, text[0] != '\0' ? text : "no answer");
    size_t len = strlen(out);
    while (len > 0 && (out[len - 1] == '\n' || out[len - 1] == '.'))
        out[--len] = '\0';
    for (char *c = out; *c != '\0'; c++)
        if (*c == '\n' || *c == '\t')
            *c = ' ';
}

static bool hint_for(const struct pg *pg, enum err_kind kind, bool again, struct err *err)
{
    if (again)
        err->sys = EAGAIN;
    else if (kind == ERR_BUSY)
        err_hint(err, "see that PostgreSQL runs at '%s', then try again",
                 PQhost(pg->conn) != NULL ? PQhost(pg->conn) : "");
    else if (kind == ERR_FULL)
        err_hint(err, "free space for PostgreSQL, then try again; nothing was changed");
    else if (kind == ERR_DENIED)
        err_hint(err, "give PostgreSQL's role the rights on the database, or use another role");
    return false;
}

bool pg_fail(struct pg *pg, const PGresult *result, struct err *err, const char *text)
{
    char reason[ERR_MSG_MAX / 2];
    bool again;
    const char *state = result != NULL ? PQresultErrorField(result, PG_DIAG_SQLSTATE) : NULL;
    const enum err_kind kind = kind_of(state != NULL ? state : "", &again);
    reason_of(pg, result, reason, sizeof(reason));
    pg->failed = true;
    err_set(err, kind, "%s: %s", text, reason);
    return hint_for(pg, kind, again, err);
}

/* ---- connection ---------------------------------------------------------------------------------------------- */

static bool exec(struct pg *pg, const char *sql, PGresult **out, struct err *err)
{
    PGresult *result = PQexec(pg->conn, sql);
    const ExecStatusType status = PQresultStatus(result);
    const bool ok = status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK;
    if (!ok)
        pg_fail(pg, result, err, "cannot use the database");
    if (ok && out != NULL)
        *out = result;
    else
        PQclear(result);
    return ok;
}

static bool setting_is(struct pg *pg, const char *sql, const char *value, bool *out, struct err *err)
{
    auto_pg PGresult *result = NULL;
    if (!exec(pg, sql, &result, err))
        return false;
    *out = PQntuples(result) == 1 && strcmp(PQgetvalue(result, 0, 0), value) == 0;
    return true;
}

static bool is_durable(struct pg *pg, struct err *err)
{
    bool no_fsync = false, standby = false, async = false, local = false;
    if (!setting_is(pg, "SHOW fsync", "off", &no_fsync, err) ||
        !setting_is(pg, "SELECT pg_is_in_recovery()", "t", &standby, err) ||
        !setting_is(pg, "SHOW synchronous_commit", "off", &async, err) ||
        !setting_is(pg, "SHOW synchronous_commit", "local", &local, err))
        return false;
    if (standby) {
        err_set(err, ERR_BUSY, "cannot use the database: this PostgreSQL is a standby");
        return err_hint(err, "give all hosts of the cluster and target_session_attrs=read-write");
    }
    if (no_fsync) {
        err_set(err, ERR_UNSAFE,
                "cannot use the database: PostgreSQL runs with fsync = off, so it may lose what it "
                "acknowledged");
        return err_hint(err, "set fsync = on in postgresql.conf");
    }
    return (!async && !local) || exec(pg, "SET synchronous_commit = on", NULL, err);
}

static bool prepare_all(struct pg *pg, struct err *err)
{
    for (size_t i = 0; i < pg->statement_count; i++) {
        auto_pg PGresult *result = PQprepare(pg->conn, pg->statements[i].name, pg->statements[i].sql, 0, NULL);
        if (PQresultStatus(result) != PGRES_COMMAND_OK)
            return pg_fail(pg, result, err, "cannot use the database");
    }
    return true;
}

static bool connection_use(struct pg *pg, struct err *err)
{
    if (PQstatus(pg->conn) != CONNECTION_OK)
        return pg_fail(pg, NULL, err, "cannot reach the database");
    return exec(pg, session_sql, NULL, err) && is_durable(pg, err);
}

static void notice_drop(void *ctx, const char *message)
{
    (void)ctx;
    (void)message;
}

static bool connect_first(struct pg *pg, struct err *err)
{
    pg->conn = PQconnectdb(pg->conninfo);
    must(pg->conn != NULL);
    PQsetNoticeProcessor(pg->conn, notice_drop, NULL);
    return connection_use(pg, err);
}

static bool connect_again(struct pg *pg, struct err *err)
{
    PQreset(pg->conn);
    return connection_use(pg, err) && prepare_all(pg, err);
}

/* ---- schema -------------------------------------------------------------------------------------------------- */

static int newest_version(const struct pg *pg)
{
    int count = 0;
    while (pg->schema[count].name != NULL)
        count++;
    return count;
}

static bool version_read(struct pg *pg, int *out, struct err *err)
{
    auto_pg PGresult *result = NULL;
    uint64_t version = 0;
    if (!exec(pg, "CREATE TABLE IF NOT EXISTS nsmith_schema (version integer NOT NULL)", NULL, err) ||
        !exec(pg, "SELECT coalesce(max(version), 0) FROM nsmith_schema", &result, err))
        return false;
    must(text_u64(PQgetvalue(result, 0, 0), &version) && version <= INT32_MAX);
    *out = (int)version;
    return true;
}

static bool migrate_one(struct pg *pg, int version, struct err *err)
{
    char stamp[80];
    snprintf(stamp, sizeof(stamp), "INSERT INTO nsmith_schema VALUES (%d)", version);
    if (exec(pg, "BEGIN", NULL, err) && exec(pg, pg->schema[version - 1].sql, NULL, err) &&
        exec(pg, stamp, NULL, err) && exec(pg, "COMMIT", NULL, err))
        return true;
    return err_wrap(err, "schema '%s'", pg->schema[version - 1].name);
}

static bool migrate(struct pg *pg, struct err *err)
{
    int version;
    if (!version_read(pg, &version, err))
        return false;
    if (version > newest_version(pg)) {
        err_set(err, ERR_FAILED, "cannot use the database: its schema is version %d, this program knows %d", version,
                newest_version(pg));
        return err_hint(err, "install the newer nsmith again, or restore a backup made before the upgrade");
    }
    while (version < newest_version(pg))
        if (!migrate_one(pg, ++version, err))
            return false;
    return true;
}

bool pg_open(struct pg *pg, struct err *err)
{
    if (!connect_first(pg, err) || !exec(pg, lock_sql, NULL, err) || !migrate(pg, err) ||
        !exec(pg, unlock_sql, NULL, err))
        return false;
    return prepare_all(pg, err);
}

void pg_close(struct pg *pg)
{
    PQfinish(pg->conn); /* NULL is fine */
    free(pg->conninfo);
}

/* ---- statements ---------------------------------------------------------------------------------------------- */

static void keep_xid(struct pg *pg, const PGresult *result)
{
    const int column = PQfnumber(result, "xid");
    if (column >= 0 && PQntuples(result) > 0)
        text_cut(pg->xid, sizeof(pg->xid), PQgetvalue(result, 0, column));
}

bool pg_run(struct pg *pg, const char *statement, const char *const *params, int count, PGresult **out, struct err *err,
            const char *fmt, ...)
{
    auto_pg PGresult *result = PQexecPrepared(pg->conn, statement, count, params, NULL, NULL, 0);
    const ExecStatusType status = PQresultStatus(result);
    if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK) {
        keep_xid(pg, result);
        if (out != NULL) {
            *out = result;
            result = NULL;
        }
        return true;
    }
    char text[ERR_MSG_MAX / 2];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    return pg_fail(pg, result, err, text);
}

bool pg_send(struct pg *pg, const char *statement, const char *const *params, int count, struct err *err)
{
    if (PQsendQueryPrepared(pg->conn, statement, count, params, NULL, NULL, 0) == 0)
        return pg_fail(pg, NULL, err, "cannot read from the database");
    must(PQsetSingleRowMode(pg->conn) == 1);
    return true;
}

/* ---- transactions -------------------------------------------------------------------------------------------- */

bool pg_begin(struct pg *pg, struct err *err)
{
    must(!pg->open);
    pg->failed = false;
    pg->xid[0] = '\0';
    if (PQstatus(pg->conn) != CONNECTION_OK && !connect_again(pg, err))
        return false;
    auto_pg PGresult *result = PQexec(pg->conn, "BEGIN");
    if (PQresultStatus(result) != PGRES_COMMAND_OK && PQstatus(pg->conn) != CONNECTION_OK) {
        /* The connection had died while nothing was asked of it. */
        if (!connect_again(pg, err) || !exec(pg, "BEGIN", NULL, err))
            return false;
    } else if (PQresultStatus(result) != PGRES_COMMAND_OK) {
        return pg_fail(pg, result, err, "cannot begin a transaction");
    }
    pg->open = true;
    return true;
}

void pg_rollback(struct pg *pg)
{
    if (!pg->open)
        return;
    PQclear(PQexec(pg->conn, "ROLLBACK")); /* where the connection is gone, so is the transaction */
    pg->open = false;
}

enum fate { FATE_COMMITTED, FATE_ABORTED, FATE_UNKNOWN };

/* "in the future": a standby took over that never heard of it. Without synchronous standbys PostgreSQL may lose what it
 * acknowledged, and say so like this. */
static enum fate fate_ask(struct pg *pg, bool *again)
{
    const char *params[] = {pg->xid};
    auto_pg PGresult *result =
        PQexecParams(pg->conn, "SELECT pg_xact_status($1::xid8)", 1, NULL, params, NULL, NULL, 0);
    *again = false;
    if (PQresultStatus(result) != PGRES_TUPLES_OK) {
        const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
        if (state != NULL && strcmp(state, "22023") == 0)
            return FATE_ABORTED;
        *again = true;
        return FATE_UNKNOWN;
    }
    const char *word = PQgetvalue(result, 0, 0);
    *again = strcmp(word, "in progress") == 0;
    return strcmp(word, "committed") == 0 ? FATE_COMMITTED : strcmp(word, "aborted") == 0 ? FATE_ABORTED : FATE_UNKNOWN;
}

static enum fate fate_find(struct pg *pg)
{
    const struct timespec wait = {.tv_nsec = RESOLVE_WAIT_MS * 1000000};
    for (unsigned i = 0; i < RESOLVE_TRIES; i++) {
        struct err ignored = {0};
        bool again = true;
        enum fate fate = FATE_UNKNOWN;
        if (PQstatus(pg->conn) == CONNECTION_OK || connect_again(pg, &ignored))
            fate = fate_ask(pg, &again);
        if (!again)
            return fate;
        nanosleep(&wait, NULL);
    }
    return FATE_UNKNOWN;
}

static bool commit_lost(struct pg *pg, struct err *err)
{
    switch (pg->xid[0] == '\0' ? FATE_COMMITTED : fate_find(pg)) { /* what has not written has nothing to lose */
    case FATE_COMMITTED:
        return true;
    case FATE_ABORTED:
        err_set(err, ERR_BUSY, "cannot commit: the connection to the database was lost");
        err->sys = EAGAIN;
        return false;
    case FATE_UNKNOWN:
        break;
    }
    err_set(err, ERR_BUSY, "cannot tell whether it was done: the connection to the database was lost in its commit");
    err->sys = EINPROGRESS;
    return err_hint(err, "look at it, or send the same request with the same Idempotency-Key again");
}

bool pg_commit(struct pg *pg, struct err *err)
{
    must(pg->open);
    if (pg->failed) {
        pg_rollback(pg);
        return err_set(err, ERR_FAILED, "cannot commit: an earlier step of this transaction failed");
    }
    pg->open = false;
    auto_pg PGresult *result = PQexec(pg->conn, "COMMIT");
    if (PQresultStatus(result) == PGRES_COMMAND_OK) {
        must(strcmp(PQcmdStatus(result), "COMMIT") == 0); /* a transaction that failed would say ROLLBACK */
        return true;
    }
    if (PQstatus(pg->conn) != CONNECTION_OK)
        return commit_lost(pg, err);
    return pg_fail(pg, result, err, "cannot commit");
}
