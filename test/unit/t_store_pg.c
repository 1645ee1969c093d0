/* t_store_pg.c - what only PostgreSQL can get wrong: other servers at the same time, connections that are lost, commits
 * whose end is not known, settings that lose data. Run by with-postgres. */
#include "store_fixture.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static struct store other_open(void)
{
    struct store other;
    struct err err = {0};
    ok(store_pg_open(pg_conninfo(), &other, &err), &err);
    return other;
}

static void database(const char *what)
{
    const char *ctl = getenv("NSMITH_TEST_PG_CTL");
    const pid_t pid = fork();
    if (pid == 0) {
        execl(ctl, ctl, what, (char *)NULL);
        _exit(127);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void store_put_meta(struct store *store, const char *key, const char *value)
{
    struct row_meta row = {0};
    struct err err = {0};
    snprintf(row.key, sizeof(row.key), "%s", key);
    snprintf(row.value, sizeof(row.value), "%s", value);
    ok(store->put(store->self, ROW_META, &row, &err), &err);
}

static void again(bool done, const struct err *err)
{
    refused(done, err, ERR_BUSY);
    if (err->sys != EAGAIN)
        fail_msg("'%s': not to be run again", err->msg);
}

/* ---- other servers ------------------------------------------------------------------------------------------- */

/* Both read that the other's row is free, and take their own: each alone is right, both together are not. */
static void write_skew(void **state)
{
    struct fixture *f = *state;
    struct store other = other_open();
    struct err err = {0};
    begin(f);
    put_meta(f, "a", "free");
    put_meta(f, "b", "free");
    commit(f);
    begin(f);
    ok(other.begin(other.self, &err), &err);
    meta_is(f, "b", "free");
    struct row_meta row;
    bool found;
    ok(other.get(other.self, ROW_META, "a", &row, &found, &err), &err);
    assert_string_equal(row.value, "free");
    put_meta(f, "a", "taken");
    store_put_meta(&other, "b", "taken");
    commit(f);
    again(other.commit(other.self, &err), &err);
    other.rollback(other.self);
    begin(f);
    meta_is(f, "a", "taken");
    meta_is(f, "b", "free");
    other.close(other.self);
}

/* A row that appears where somebody has looked and found none. */
static void phantom(void **state)
{
    struct fixture *f = *state;
    struct store other = other_open();
    struct err err = {0};
    begin(f);
    each_is(f, ROW_CLAIM, NULL, "");
    ok(other.begin(other.self, &err), &err);
    struct keys keys = {.kind = ROW_CLAIM};
    ok(other.each(other.self, ROW_CLAIM, NULL, keys_add, &keys, &err), &err);
    assert_string_equal(keys.text, "");
    ok(other.put(other.self, ROW_CLAIM, &full_claim, &err), &err);
    ok(other.commit(other.self, &err), &err);
    struct row_claim mine = full_claim;
    snprintf(mine.id.v, sizeof(mine.id.v), "c9");
    const bool put_done = f->store.put(f->store.self, ROW_CLAIM, &mine, &err);
    again(put_done && f->store.commit(f->store.self, &err), &err);
    rollback(f);
    begin(f);
    each_is(f, ROW_CLAIM, NULL, "c1");
    other.close(other.self);
}

static void increments(const struct store *store, unsigned count)
{
    for (unsigned done = 0; done < count;) {
        struct row_host row;
        struct err err = {0};
        bool found;
        if (store->begin(store->self, &err) && store->get(store->self, ROW_HOST, "h1", &row, &found, &err) && found) {
            row.registration++;
            if (store->put(store->self, ROW_HOST, &row, &err) && store->commit(store->self, &err)) {
                done++;
                continue;
            }
        }
        if (err.kind != ERR_BUSY || err.sys != EAGAIN) {
            fprintf(stderr, "%s\n", err.msg);
            _exit(1);
        }
        store->rollback(store->self);
    }
}

/* Four servers count together: none of their increments is lost. */
static void many_count(void **state)
{
    enum { SERVERS = 4, EACH = 50 };
    struct fixture *f = *state;
    pid_t pids[SERVERS];
    begin(f);
    put(f, ROW_HOST, &full_host);
    commit(f);
    for (unsigned i = 0; i < SERVERS; i++)
        if ((pids[i] = fork()) == 0) {
            struct store mine = other_open();
            increments(&mine, EACH);
            mine.close(mine.self);
            _exit(0);
        }
    for (unsigned i = 0; i < SERVERS; i++) {
        int status = 1;
        waitpid(pids[i], &status, 0);
        assert_int_equal(status, 0);
    }
    struct row_host row;
    begin(f);
    assert_true(get(f, ROW_HOST, "h1", &row));
    assert_int_equal(row.registration, full_host.registration + SERVERS * EACH);
}

static void start_together(void **state)
{
    enum { SERVERS = 4 };
    struct fixture *f = *state;
    pid_t pids[SERVERS];
    f->store.close(f->store.self);
    pg_exec("SET client_min_messages = error; DROP SCHEMA public CASCADE; CREATE SCHEMA public");
    for (unsigned i = 0; i < SERVERS; i++)
        if ((pids[i] = fork()) == 0) {
            struct store mine = other_open();
            mine.close(mine.self);
            _exit(0);
        }
    for (unsigned i = 0; i < SERVERS; i++) {
        int status = 1;
        waitpid(pids[i], &status, 0);
        assert_int_equal(status, 0);
    }
    f_open(f);
}

/* ---- lost connections ---------------------------------------------------------------------------------------- */

static const char cut_others[] = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'client "
                                 "backend' AND pid <> pg_backend_pid()";

static void lost_while_idle(void **state)
{
    struct fixture *f = *state;
    begin(f);
    put_meta(f, "a", "1");
    commit(f);
    pg_exec(cut_others);
    begin(f);
    meta_is(f, "a", "1");
    put_meta(f, "a", "2");
    commit(f);
}

static void lost_in_transaction(void **state)
{
    struct fixture *f = *state;
    struct row_meta row = full_meta;
    struct err err = {0};
    begin(f);
    put_meta(f, "a", "1");
    pg_exec(cut_others);
    refused(f->store.put(f->store.self, ROW_META, &row, &err), &err, ERR_BUSY);
    rollback(f);
    begin(f);
    meta_is(f, "a", "(none)");
}

/* The commit finds no connection: the new one tells that nothing came of it. */
static void lost_before_commit(void **state)
{
    struct fixture *f = *state;
    struct err err = {0};
    begin(f);
    put_meta(f, "a", "1");
    pg_exec(cut_others);
    again(f->store.commit(f->store.self, &err), &err);
    begin(f);
    meta_is(f, "a", "(none)");
}

/* A relay between store and database that carries the COMMIT there, and drops the line instead of carrying the answer
 * back. One connection; the next one it refuses by not being there, unless the name leads to the database again. */
static void relay_run(int listener, const char *to)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    static char bytes[65536];
    snprintf(address.sun_path, sizeof(address.sun_path), "%s/.s.PGSQL.5432", to);
    const int client = accept(listener, NULL, NULL), server = socket(AF_UNIX, SOCK_STREAM, 0);
    if (client < 0 || connect(server, (struct sockaddr *)&address, sizeof(address)) != 0)
        _exit(1);
    for (bool last = false;;) {
        struct pollfd fds[] = {{.fd = client, .events = POLLIN}, {.fd = server, .events = POLLIN}};
        if (poll(fds, 2, -1) < 0)
            _exit(1);
        for (int i = 0; i < 2; i++) {
            const ssize_t len = fds[i].revents != 0 ? read(fds[i].fd, bytes, sizeof(bytes)) : -1;
            if (len == 0 || (len > 0 && i == 1 && last))
                _exit(0); /* the answer to the COMMIT is here, and stays here */
            if (len > 0 && i == 0)
                last = memmem(bytes, (size_t)len, "COMMIT", 6) != NULL;
            if (len > 0 && write(fds[1 - i].fd, bytes, (size_t)len) != len)
                _exit(1);
        }
    }
}

/* The database commits, and the answer is lost. */
static void lost_after_commit(void **state)
{
    struct fixture *f = *state;
    char folder[] = "/tmp/t_store_pg.XXXXXX", conninfo[128];
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct store store;
    struct err err = {0};
    assert_non_null(mkdtemp(folder));
    snprintf(address.sun_path, sizeof(address.sun_path), "%s/.s.PGSQL.5432", folder);
    const int listener = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(listener, 1), 0);
    const pid_t pid = fork();
    if (pid == 0)
        relay_run(listener, getenv("NSMITH_TEST_PG_DIR"));
    close(listener);
    /* After the relay is gone its name is no socket, and the second host of the list is the database. */
    snprintf(conninfo, sizeof(conninfo), "host=%s,%s user=nsmith dbname=postgres", folder,
             getenv("NSMITH_TEST_PG_DIR"));
    ok(store_pg_open(conninfo, &store, &err), &err);
    ok(store.begin(store.self, &err), &err);
    store_put_meta(&store, "a", "1");
    const bool done = store.commit(store.self, &err);
    int status = 1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    ok(done, &err);
    store.close(store.self);
    unlink(address.sun_path);
    rmdir(folder);
    begin(f);
    meta_is(f, "a", "1");
}

static void database_down(void **state)
{
    struct fixture *f = *state;
    struct err err = {0};
    begin(f);
    put_meta(f, "a", "1");
    commit(f);
    database("kill");
    refused(f->store.begin(f->store.self, &err), &err, ERR_BUSY);
    if (err.hint[0] == '\0')
        fail_msg("'%s': no hint", err.msg);
    database("start");
    begin(f);
    meta_is(f, "a", "1");
}

static void newer_refused(void **state)
{
    struct fixture *f = *state;
    struct store other;
    struct err err = {0};
    (void)f;
    pg_exec("INSERT INTO nsmith_schema VALUES (999)");
    refused(store_pg_open(pg_conninfo(), &other, &err), &err, ERR_FAILED);
    pg_exec("DELETE FROM nsmith_schema WHERE version = 999");
}

static void async_is_raised(void **state)
{
    struct fixture *f = *state;
    pg_exec("ALTER ROLE nsmith SET synchronous_commit = off");
    struct store other = other_open();
    other.close(other.self);
    pg_exec("ALTER ROLE nsmith RESET synchronous_commit");
    (void)f;
}

static void fsync_off_refused(void **state)
{
    struct fixture *f = *state;
    struct store other;
    struct err err = {0};
    (void)f;
    pg_exec("ALTER SYSTEM SET fsync = off");
    pg_exec("SELECT pg_reload_conf(), pg_sleep(0.5)");
    const bool done = store_pg_open(pg_conninfo(), &other, &err);
    pg_exec("ALTER SYSTEM RESET fsync");
    pg_exec("SELECT pg_reload_conf(), pg_sleep(0.5)");
    refused(done, &err, ERR_UNSAFE);
}

int main(void)
{
#define TEST(rule, fn)                     \
    {                                      \
        rule, fn, setup_pg, teardown, NULL \
    }
    const struct CMUnitTest tests[] = {
        TEST("two that are right alone and wrong together: one has to run again", write_skew),
        TEST("a row that appears where another looked: one has to run again", phantom),
        TEST("many servers lose nothing of one another", many_count),
        TEST("servers that start together make one schema", start_together),
        TEST("a connection lost while idle is made anew", lost_while_idle),
        TEST("a connection lost in a transaction loses the transaction", lost_in_transaction),
        TEST("a connection lost before the commit: it is known that nothing came of it", lost_before_commit),
        TEST("a connection lost after the commit: it is known that it was done", lost_after_commit),
        TEST("a database that is down is said to be, and used when it is back", database_down),
        TEST("a newer schema is refused", newer_refused),
        TEST("acknowledged is durable, whatever the role's settings", async_is_raised),
        TEST("fsync = off is refused", fsync_off_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
