/* t_store_torture.c - the n-th write or sync goes wrong, for all n until none does, while a store or a ledger is made,
 * written and closed. After it: what was acknowledged is there, what was refused is not, and nothing is half there. */
#include "sqlite_shim.h"
#include "store/ledger.h"
#include "store/store_port.h"

#include "base/must.h"
#include "cert/cert.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { STEPS = 6 };

enum { CHILD_DONE = 0, CHILD_BROKEN = 1, CHILD_REFUSED = 2 };

/* A child's own words, for cmocka is the parent's. */
static _Noreturn void child_broken(const char *what, const struct err *err)
{
    fprintf(stderr, "%s: %s (%s)\n", what, err->msg, err->hint);
    _exit(CHILD_BROKEN);
}

/* ---- the store: step n puts a claim and its slice, and lets the slice of the step before go ------------------ */

static bool slice_put(struct store *store, unsigned step, bool held, struct err *err)
{
    struct row_slice row = {.host = {"h1"}, .generation = held ? step : step + 1};
    snprintf(row.slice.id.v, sizeof(row.slice.id.v), "s%u", step);
    if (held)
        snprintf(row.claim.v, sizeof(row.claim.v), "c%u", step);
    return store->put(store->self, ROW_SLICE, &row, err);
}

/* With a name of some length, so that a step fills more than one page. */
static bool meta_put(struct store *store, unsigned step, struct err *err)
{
    struct row_meta row = {.key = "steps"};
    snprintf(row.value, sizeof(row.value), "%u", step);
    if (!store->put(store->self, ROW_META, &row, err))
        return false;
    memset(row.value, 'x', sizeof(row.value) - 1);
    for (unsigned i = 0; i < 20; i++) {
        snprintf(row.key, sizeof(row.key), "filler %u", i);
        row.value[0] = (char)('a' + step);
        if (!store->put(store->self, ROW_META, &row, err))
            return false;
    }
    return true;
}

static bool store_rows_put(struct store *store, unsigned step, struct err *err)
{
    struct row_claim claim = {.host = {"h1"}, .class = {"500G"}};
    char old[40];
    snprintf(claim.id.v, sizeof(claim.id.v), "c%u", step);
    snprintf(old, sizeof(old), "c%u", step - 1);
    return slice_put(store, step, true, err) && store->put(store->self, ROW_CLAIM, &claim, err) &&
           meta_put(store, step, err) &&
           (step == 1 || (slice_put(store, step - 1, false, err) && store->del(store->self, ROW_CLAIM, old, err)));
}

static bool store_step(void *self, unsigned step, struct err *err)
{
    struct store *store = self;
    if (!store->begin(store->self, err))
        return false;
    if (store_rows_put(store, step, err))
        return store->commit(store->self, err);
    store->rollback(store->self);
    return false;
}

static unsigned store_steps(struct store *store)
{
    struct row_meta row = {0};
    struct err err = {0};
    bool found = false;
    must(store->get(store->self, ROW_META, "steps", &row, &found, &err));
    return (unsigned)(row.value[0] != '\0' ? row.value[0] - '0' : 0);
}

struct counted {
    unsigned claims, slices, held;
};

static bool count_claim(void *ctx, const void *row)
{
    (void)row;
    ((struct counted *)ctx)->claims++;
    return true;
}

static bool count_slice(void *ctx, const void *row)
{
    const struct row_slice *slice = row;
    ((struct counted *)ctx)->slices++;
    ((struct counted *)ctx)->held += slice->claim.v[0] != '\0';
    return true;
}

/* NULL: the rows are those after so many steps. */
static const char *store_broken(void *self, unsigned *steps_out)
{
    struct store *store = self;
    struct counted counted = {0};
    struct row_meta filler = {0};
    struct err err = {0};
    bool found = false;
    must(store->begin(store->self, &err));
    const unsigned steps = *steps_out = store_steps(store);
    must(store->each(store->self, ROW_CLAIM, NULL, count_claim, &counted, &err));
    must(store->each(store->self, ROW_SLICE, NULL, count_slice, &counted, &err));
    must(store->get(store->self, ROW_META, "filler 19", &filler, &found, &err));
    store->rollback(store->self);
    if (counted.claims != (steps > 0) || counted.held != (steps > 0) || counted.slices != steps)
        return "claims and slices are not those of one commit";
    if (found != (steps > 0) || (found && filler.value[0] != (char)('a' + steps)))
        return "the filler is not that of the same commit";
    return NULL;
}

static bool store_open(const char *path, void *out, struct err *err)
{
    return store_sqlite_open(path, out, err);
}

static void store_close(void *self)
{
    struct store *store = self;
    store->close(store->self);
}

/* ---- the ledger: step n writes record n, a slice, the numbers; the drive in all ------------------------------ */

struct agent {
    struct ledger ledger;
    struct host *host;
    struct cert_key key;
};

/* On a copy: after a refused save the agent's memory must still be that of before. */
static bool ledger_step(void *self, unsigned step, struct err *err)
{
    struct agent *agent = self;
    static const char zeros[] = "0000000000000000000000000000000000000000000000000000000000000000";
    static struct host host; /* too large for a stack */
    char text[CERT_TEXT_MAX];
    host = *agent->host;
    const struct erasure erasure = {.id = {"e"}, .seq = step, .host = host.name, .note = "n"};
    if (!cert_sign(&agent->key, step > 1 ? host.erasure_hash : zeros, &erasure, text, err))
        return false;
    cert_hash(text, host.erasure_hash);
    host.erasure_seq = host.seq = step;
    host.changed = true;
    host.drive_count = 1;
    host.drives[0] = (struct host_drive){.adopt = ADOPT_DONE, .erasures = step, .changed = true};
    host.slice_count = step;
    struct slice *slice = &host.slices[step - 1].slice;
    *slice = (struct slice){.state = SLICE_BLANK, .generation = step, .changed = true};
    snprintf(slice->id.v, sizeof(slice->id.v), "s%u", step);
    if (!agent->ledger.save(agent->ledger.self, &host, text, err))
        return false;
    *agent->host = host;
    agent->host->slices[step - 1].slice.changed = false;
    return true;
}

static bool seqs_count(void *ctx, uint64_t seq, const char *text)
{
    unsigned *count = ctx;
    must(seq == ++*count);
    return text[0] == '{';
}

static const char *ledger_broken(void *self, unsigned *steps_out)
{
    struct agent *agent = self;
    struct err err = {0};
    unsigned records = 0;
    const struct host *host = agent->host;
    const unsigned steps = *steps_out = (unsigned)host->seq;
    must(agent->ledger.records(agent->ledger.self, 1, 1000, seqs_count, &records, &err));
    if (records != steps || host->erasure_seq != steps)
        return "records and numbers are not those of one save";
    if (host->slice_count != steps || host->drive_count != (steps > 0))
        return "slices and drives are not those of one save";
    if (steps > 0 && (host->drives[0].erasures != steps || host->slices[steps - 1].slice.generation == 0))
        return "a row is not that of the same save";
    return NULL;
}

static bool agent_open(const char *path, void *out, struct err *err)
{
    struct agent *agent = out;
    if (!ledger_sqlite_open(path, &agent->ledger, err))
        return false;
    agent->host = calloc(1, sizeof(*agent->host));
    must(agent->host != NULL);
    agent->host->name = (struct name){"h1"};
    cert_key_make(&agent->key, (const uint8_t[32]){1});
    if (agent->ledger.load(agent->ledger.self, agent->host, err))
        return true;
    free(agent->host);
    agent->ledger.close(agent->ledger.self);
    return false;
}

static void agent_close(void *self)
{
    struct agent *agent = self;
    agent->ledger.close(agent->ledger.self);
    free(agent->host);
}

/* ---- both ---------------------------------------------------------------------------------------------------- */

static const struct subject {
    const char *name;
    bool (*open)(const char *path, void *out, struct err *err);
    bool (*step)(void *self, unsigned step, struct err *err);
    const char *(*broken)(void *self, unsigned *steps_out);
    void (*close)(void *self);
} subjects[] = {
    {"store", store_open, store_step, store_broken, store_close},
    {"ledger", agent_open, ledger_step, ledger_broken, agent_close},
};

union opened {
    struct store store;
    struct agent agent;
};

/* One fault only: whatever it stopped works when it is tried again. */
static void open_twice(const struct subject *subject, const char *path, union opened *out)
{
    struct err err = {0};
    if (subject->open(path, out, &err))
        return;
    if (!shim_fired())
        child_broken("open failed without a fault", &err);
    err_clear(&err);
    if (!subject->open(path, out, &err))
        child_broken("the second open failed", &err);
}

static void step_twice(const struct subject *subject, union opened *it, unsigned step)
{
    struct err err = {0};
    if (subject->step(it, step, &err))
        return;
    if (!shim_fired() || err.kind != ERR_FULL || err.hint[0] == '\0')
        child_broken("a step failed without a fault, or not as a full disk", &err);
    unsigned steps;
    if (subject == &subjects[0] && (subject->broken(it, &steps) != NULL || steps != step - 1))
        child_broken("a refused step left something", &err);
    err_clear(&err);
    if (!subject->step(it, step, &err))
        child_broken("the second try failed", &err);
}

/* Exits 0 when the fault is past the end: there are no more to try. */
static _Noreturn void child(const struct subject *subject, const char *path, enum shim_fault fault, unsigned nth,
                            int ack_fd)
{
    union opened it;
    if (fault == SHIM_SYNC)
        must(dup2(open("/dev/null", O_WRONLY | O_CLOEXEC), STDERR_FILENO) >= 0); /* must_fail() speaks up */
    shim_install();
    shim_fail_in(nth, fault, nth);
    open_twice(subject, path, &it);
    for (unsigned step = 1; step <= STEPS; step++) {
        step_twice(subject, &it, step);
        must(write(ack_fd, &step, sizeof(step)) == sizeof(step));
    }
    subject->close(&it);
    if (fault == SHIM_SYNC && shim_fired())
        _exit(CHILD_BROKEN); /* nobody survives that */
    _exit(shim_fired() ? CHILD_REFUSED : CHILD_DONE);
}

static unsigned acked_by(int fd)
{
    unsigned step, acked = 0;
    while (read(fd, &step, sizeof(step)) == sizeof(step))
        acked = step;
    close(fd);
    return acked;
}

static void ended_well(const struct subject *subject, enum shim_fault fault, unsigned nth, int status, bool *past_end)
{
    const bool exited = WIFEXITED(status);
    *past_end = exited && WEXITSTATUS(status) == CHILD_DONE;
    if (*past_end)
        return;
    const bool well = fault == SHIM_SYNC   ? WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT
                      : fault >= SHIM_KILL ? exited && WEXITSTATUS(status) == SHIM_EXIT
                                           : exited && WEXITSTATUS(status) == CHILD_REFUSED;
    if (!well)
        fail_msg("%s, fault %d at %u: got wait status %04x", subject->name, (int)fault, nth, (unsigned)status);
}

static void survived(const struct subject *subject, const char *path, enum shim_fault fault, unsigned nth,
                     unsigned acked)
{
    union opened it;
    struct err err = {0};
    unsigned steps = 0;
    if (!subject->open(path, &it, &err))
        fail_msg("%s, fault %d at %u: cannot be opened: %s", subject->name, (int)fault, nth, err.msg);
    const char *broken = subject->broken(&it, &steps);
    if (broken != NULL)
        fail_msg("%s, fault %d at %u: %s", subject->name, (int)fault, nth, broken);
    /* A step that was under way when the process ended may be there or not; one that was acknowledged is. */
    if (steps < acked || steps > acked + (fault >= SHIM_SYNC))
        fail_msg("%s, fault %d at %u: got %u steps, %u were acknowledged", subject->name, (int)fault, nth, steps,
                 acked);
    for (unsigned step = steps + 1; step <= STEPS; step++)
        if (!subject->step(&it, step, &err))
            fail_msg("%s, fault %d at %u: does not go on: %s", subject->name, (int)fault, nth, err.msg);
    subject->close(&it);
}

static void remove_all(const char *db)
{
    static const char *const ends[] = {"", "-wal", "-shm", "-journal", ".lock"};
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        char path[128];
        snprintf(path, sizeof(path), "%s%s", db, ends[i]);
        unlink(path);
    }
}

static bool one_fault(const struct subject *subject, const char *db, enum shim_fault fault, unsigned nth)
{
    int fds[2];
    bool past_end;
    must(pipe(fds) == 0);
    (void)fflush(NULL);
    pid_t pid = fork();
    must(pid >= 0);
    if (pid == 0)
        child(subject, db, fault, nth, fds[1]);
    close(fds[1]);
    const unsigned acked = acked_by(fds[0]);
    int status;
    must(waitpid(pid, &status, 0) == pid);
    ended_well(subject, fault, nth, status, &past_end);
    if (fault == SHIM_CUT || fault == SHIM_CUT_SOME) { /* shared memory does not outlive the power */
        char shm[128];
        snprintf(shm, sizeof(shm), "%s-shm", db);
        unlink(shm);
    }
    survived(subject, db, fault, nth, acked);
    remove_all(db);
    return past_end;
}

static void every_fault(void **state)
{
    const int *which = *state;
    const struct subject *subject = &subjects[which[0]];
    const enum shim_fault fault = (enum shim_fault)which[1];
    char folder[64] = "/tmp/t_store_torture.XXXXXX", db[96];
    must(mkdtemp(folder) != NULL);
    snprintf(db, sizeof(db), "%s/some.db", folder);
    unsigned nth = 1;
    while (!one_fault(subject, db, fault, nth))
        must(++nth < 10000);
    print_message("%u places\n", nth - 1);
    assert_true(nth > STEPS);
    must(rmdir(folder) == 0);
}

int main(void)
{
    static const char *const texts[] = {
#define X(fault, text) text,
        SHIM_FAULTS(X)
#undef X
    };
    static const enum shim_fault faults[] = {SHIM_FULL, SHIM_TORN, SHIM_SYNC, SHIM_KILL, SHIM_CUT, SHIM_CUT_SOME};
    enum { FAULTS = sizeof(faults) / sizeof(faults[0]), TESTS = 2 * FAULTS };
    static struct CMUnitTest tests[TESTS];
    static char names[TESTS][128];
    static int which[TESTS][2];
    for (int i = 0; i < TESTS; i++) {
        which[i][0] = i / FAULTS;
        which[i][1] = (int)faults[i % FAULTS];
        snprintf(names[i], sizeof(names[i]), "%s: %s, anywhere", subjects[i / FAULTS].name, texts[faults[i % FAULTS]]);
        tests[i] = (struct CMUnitTest){names[i], every_fault, NULL, NULL, which[i]};
    }
    return _cmocka_run_group_tests("torture", tests, TESTS, NULL, NULL);
}
