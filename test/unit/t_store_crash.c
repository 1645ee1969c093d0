/* t_store_crash.c - nothing acknowledged is lost to a kill or a full disk; a failed sync ends the process. */
#include "base/must.h"
#include "file_fixture.h"
#include "sqlite_shim.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- processes that end -------------------------------------------------------------------------------------- */

static _Noreturn void child_puts(const char *path, int pipe_fd)
{
    struct store store;
    struct err err = {0};
    if (!store_sqlite_open(path, &store, &err))
        _exit(1);
    unsigned i = 0;
    while (row_is_there(&store, i))
        i++;
    for (;; i++)
        if (!row_put(&store, i, &err) || write(pipe_fd, &i, sizeof(i)) != sizeof(i))
            _exit(1);
}

static void killed(void **state)
{
    const struct folder *folder = *state;
    unsigned acked = 0;
    for (unsigned round = 0; round < 12; round++) {
        int fds[2];
        must(pipe(fds) == 0);
        pid_t pid = fork();
        must(pid >= 0);
        if (pid == 0)
            child_puts(folder->db, fds[1]);
        close(fds[1]);
        unsigned heard = 0;
        while (heard < 20 + 7 * round && read(fds[0], &acked, sizeof(acked)) == sizeof(acked))
            heard++;
        kill(pid, SIGKILL);
        while (read(fds[0], &acked, sizeof(acked)) == sizeof(acked)) {
        }
        close(fds[0]);
        int status;
        must(waitpid(pid, &status, 0) == pid);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        struct store store;
        store_open(folder->db, &store);
        for (unsigned i = 0; i <= acked; i++)
            if (!row_is_there(&store, i))
                fail_msg("round %u: row %u of %u acknowledged is lost", round, i, acked);
        if (row_is_there(&store, acked + 2))
            fail_msg("round %u: row %u was never tried", round, acked + 2);
        store.close(store.self);
    }
    assert_true(acked > 500);
}

/* Runs fn in a child; returns its wait status. */
static int in_child(void (*fn)(const char *path), const char *path)
{
    (void)fflush(NULL);
    pid_t pid = fork();
    must(pid >= 0);
    if (pid == 0) {
        fn(path);
        _exit(0);
    }
    int status;
    must(waitpid(pid, &status, 0) == pid);
    return status;
}

#define child_check(cond)                                                          \
    do {                                                                           \
        if (!(cond)) {                                                             \
            fprintf(stderr, "%s:%d: '%s' is not so\n", __FILE__, __LINE__, #cond); \
            _exit(1);                                                              \
        }                                                                          \
    } while (0)

/* Rows until the disk is full, then room again. */
static void fill(const char *path, void (*full)(bool full))
{
    struct store store;
    struct err err = {0};
    unsigned i = 0;
    child_check(store_sqlite_open(path, &store, &err));
    while (i < 10)
        child_check(row_put(&store, i++, &err));
    full(true);
    while (row_put(&store, i, &err))
        child_check(++i < 10000);
    child_check(err.kind == ERR_FULL && strstr(err.hint, "free space") != NULL);
    err_clear(&err);
    child_check(!row_put(&store, i, &err) && err.kind == ERR_FULL);
    for (unsigned k = 0; k < i; k++)
        child_check(row_is_there(&store, k));
    child_check(!row_is_there(&store, i));
    full(false);
    err_clear(&err);
    for (unsigned k = 0; k < 10; k++)
        child_check(row_put(&store, i++, &err));
    for (unsigned k = 0; k < i; k++)
        child_check(row_is_there(&store, k));
    store.close(store.self);
    child_check(store_sqlite_open(path, &store, &err));
    for (unsigned k = 0; k < i; k++)
        child_check(row_is_there(&store, k));
    store.close(store.self);
}

static void limit_size(bool full)
{
    struct rlimit limit;
    must(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
    must(getrlimit(RLIMIT_FSIZE, &limit) == 0);
    limit.rlim_cur = full ? 300000 : limit.rlim_max;
    must(setrlimit(RLIMIT_FSIZE, &limit) == 0);
}

static void fill_limited(const char *path)
{
    fill(path, limit_size);
}

static void fill_shim(const char *path)
{
    shim_install();
    fill(path, shim_disk_full);
}

static void full_disk(void **state)
{
    const struct folder *folder = *state;
    assert_int_equal(in_child(fill_shim, folder->db), 0);
}

static void full_limit(void **state)
{
    const struct folder *folder = *state;
    assert_int_equal(in_child(fill_limited, folder->db), 0);
}

static void quiet(void)
{
    int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    must(dup2(fd, STDERR_FILENO) >= 0); /* must_fail() speaks up, as it should */
}

static void sync_of_commit(const char *path)
{
    struct store store;
    struct err err = {0};
    quiet();
    shim_install();
    child_check(store_sqlite_open(path, &store, &err));
    child_check(row_put(&store, 0, &err));
    shim_fail_in(1, SHIM_SYNC, 0);
    row_put(&store, 1, &err);
}

/* SQLite itself would ignore this one: its automatic checkpoint drops the error. */
static void sync_of_checkpoint(const char *path)
{
    struct store store;
    struct err err = {0};
    quiet();
    shim_install();
    child_check(store_sqlite_open(path, &store, &err));
    shim_fail_in(1, SHIM_SYNC_DB, 0);
    for (unsigned i = 0; i < 2000; i++)
        child_check(row_put(&store, i, &err));
}

static void failed_sync(void **state)
{
    const struct folder *folder = *state;
    struct store store;
    int status = in_child(sync_of_commit, folder->db);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    store_open(folder->db, &store);
    assert_true(row_is_there(&store, 0));
    store.close(store.self);
}

static void failed_checkpoint(void **state)
{
    const struct folder *folder = *state;
    struct store store;
    int status = in_child(sync_of_checkpoint, folder->db);
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGABRT)
        fail_msg("got wait status %d, want SIGABRT", status);
    store_open(folder->db, &store);
    assert_true(row_is_there(&store, 0));
    store.close(store.self);
}

int main(void)
{
#define T(rule, fn)                                   \
    {                                                 \
        rule, fn, folder_setup, folder_teardown, NULL \
    }
    const struct CMUnitTest tests[] = {
        T("nothing acknowledged is lost to SIGKILL", killed),
        T("a full disk loses nothing, and works again (all writes fail)", full_disk),
        T("a full disk loses nothing, and works again (size limit)", full_limit),
        T("a failed sync of a commit ends the process", failed_sync),
        T("a failed sync of a checkpoint ends the process", failed_checkpoint),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
