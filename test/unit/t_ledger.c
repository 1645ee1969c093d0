/* t_ledger.c - one table of promises, kept by ledger_mem and by ledger_sqlite alike. What save refuses of numbers and
 * slices, and what only memory or only a file promises, is in t_ledger_rules.c. */
#include "ledger_fixture.h"

#include "base/text.h"

/* ---- the promises -------------------------------------------------------------------------------------------- */

static void empty_loads_empty(struct fixture *f)
{
    struct host *want = host_new(), *got = load(f);
    same(got, want, sizeof(*got), "host");
    free(got);
    free(want);
}

static void durable_comes_back(struct fixture *f)
{
    start_full(f);
    mark_all(f->host);
    not_durable(f->host);
    save(f, NULL);
    reopen(f);
    struct host *want = host_full(), *got = load(f);
    same(&got->drives[0], &want->drives[0], sizeof(got->drives[0]), "drive");
    same(&got->slices[0], &want->slices[0], sizeof(got->slices[0]), "slice");
    same(&got->vms[0], &want->vms[0], sizeof(got->vms[0]), "vm");
    same(got, want, sizeof(*got), "host");
    free(got);
    free(want);
}

static void only_marked_rows(struct fixture *f)
{
    start_full(f);
    f->host->seq++;
    f->host->drives[0].erasures++;
    f->host->slices[0].slice.generation++;
    f->host->vms[0].starts_done++;
    save(f, NULL);
    struct host *want = host_full(), *got = load(f);
    same(got, want, sizeof(*got), "unmarked");
    free(got);
    f->host->slices[0].slice.changed = true;
    save(f, NULL);
    want->slices[0].slice.generation++;
    got = load(f);
    same(got, want, sizeof(*got), "one marked");
    free(got);
    free(want);
}

static void another_host(struct fixture *f)
{
    struct err err = {0};
    free(load(f)); /* takes the name */
    reopen(f);
    struct host *other = host_new();
    other->name = (struct name){"h2"};
    assert_false(f->ledger.load(f->ledger.self, other, &err));
    assert_int_equal(err.kind, ERR_UNSAFE);
    assert_non_null(strstr(err.msg, "'h1'"));
    assert_non_null(strstr(err.msg, "'h2'"));
    other->changed = true;
    err_clear(&err);
    assert_false(f->ledger.save(f->ledger.self, other, NULL, &err));
    assert_int_equal(err.kind, ERR_UNSAFE);
    other->name = (struct name){""}; /* not given: as the ledger has it */
    err_clear(&err);
    ok(f->ledger.load(f->ledger.self, other, &err), &err);
    assert_string_equal(other->name.v, "h1");
    free(other);
}

static void rows_go(struct fixture *f)
{
    start_full(f);
    f->host->drives[0].adopt = ADOPT_NONE;
    f->host->slices[0].slice.state = SLICE_ABSENT;
    f->host->vms[0].removed = true;
    f->host->drives[0].changed = f->host->slices[0].slice.changed = true;
    save(f, NULL);
    save(f, NULL); /* once more: the first answer was lost */
    reopen(f);
    struct host *got = load(f);
    assert_int_equal(got->drive_count + got->slice_count + got->vm_count, 0);
    assert_int_equal(got->seq, 30);
    free(got);
}

static void made_anew(struct fixture *f)
{
    start_full(f);
    f->host->vm_count = 2;
    f->host->vms[1] = full_vm;
    f->host->vms[1].changed = f->host->vms[0].removed = true;
    save(f, NULL);
    struct host *got = load(f);
    assert_int_equal(got->vm_count, 1);
    free(got);
}

static void retired_ids(struct fixture *f)
{
    start_full(f);
    f->host->slices[0].slice.changed = true;
    f->host->slices[0].slice.state = SLICE_ABSENT;
    save(f, NULL);
    reopen(f);
    f->host->slices[0].slice = (struct slice){.id = {"s1"}, .state = SLICE_BLANK, .changed = true};
    save_refused(f, NULL, ERR_CONFLICT);
    f->host->slices[0].slice.id = (struct slice_id){"s2"};
    save(f, NULL);
    f->host->slices[0].slice = (struct slice){.id = {"s3"}, .state = SLICE_ABSENT, .changed = true};
    save(f, NULL); /* never was in the ledger */
    f->host->slices[0].slice.state = SLICE_BLANK;
    save(f, NULL);
}

static void drives_are_their_idents(struct fixture *f)
{
    struct host *host = f->host;
    host->drive_count = 4;
    for (size_t i = 0; i < 4; i++) {
        host->drives[i] = full_drive;
        host->drives[i].changed = true;
    }
    host->drives[1].ident.vendor_id++;
    host->drives[2].ident.nqn[0] = '\0';
    snprintf(host->drives[3].ident.model, sizeof(host->drives[3].ident.model), "N");
    save(f, NULL);
    struct host *got = load(f);
    assert_int_equal(got->drive_count, 4);
    free(got);
    host->drives[1].adopt = ADOPT_NONE;
    save(f, NULL);
    got = load(f);
    assert_int_equal(got->drive_count, 3);
    free(got);
}

static void too_many(struct fixture *f)
{
    struct host *host = f->host;
    host->drive_count = HOST_DRIVES_MAX;
    for (size_t round = 0; round < 2; round++) {
        for (size_t i = 0; i < HOST_DRIVES_MAX; i++) {
            host->drives[i] = full_drive;
            host->drives[i].changed = true;
            snprintf(host->drives[i].ident.serial, sizeof(full_drive.ident.serial), "SN %zu", round * 100 + i);
        }
        save(f, NULL);
    }
    struct err err = {0};
    struct host *got = host_new();
    assert_false(f->ledger.load(f->ledger.self, got, &err));
    assert_int_equal(err.kind, ERR_FAILED);
    free(got);
}

static void records_grow(struct fixture *f)
{
    records_are(f, 1, 10, 0, "");
    for (unsigned i = 0; i < 5; i++)
        record_add(f);
    reopen(f);
    record_add(f);
    records_are(f, 1, 10, 0, "1 2 3 4 5 6");
    records_are(f, 0, 10, 0, "1 2 3 4 5 6");
    records_are(f, 3, 2, 0, "3 4");
    records_are(f, 3, 10, 1, "3");
    records_are(f, 3, 0, 0, "");
    records_are(f, 7, 10, 0, "");
    records_are(f, UINT64_MAX, 10, 0, "");
    struct host *got = load(f);
    assert_int_equal(got->erasure_seq, 6);
    assert_string_equal(got->erasure_hash, f->host->erasure_hash);
    struct seqs seqs = {0};
    struct err err = {0};
    ok(f->ledger.records(f->ledger.self, 6, 1, seqs_add, &seqs, &err), &err);
    assert_string_equal(seqs.hash, got->erasure_hash);
    free(got);
}

static void records_chain(struct fixture *f)
{
    char first[CERT_TEXT_MAX], text[CERT_TEXT_MAX];
    record_make(f, first);
    save(f, first);
    const struct host kept_numbers = {.erasure_seq = f->host->erasure_seq};
    char kept_hash[CERT_HASH_HEX];
    memcpy(kept_hash, f->host->erasure_hash, sizeof(kept_hash));

    save(f, first); /* once more: the first answer was lost */
    f->host->erasure_seq++;
    save_refused(f, first, ERR_INPUT); /* the first is not the second */
    f->host->erasure_seq = kept_numbers.erasure_seq;
    f->host->erasure_seq = 5;
    record_make(f, text);
    save_refused(f, text, ERR_CONFLICT); /* a gap */
    f->host->erasure_seq = kept_numbers.erasure_seq;
    memset(f->host->erasure_hash, 'a', CERT_HASH_HEX - 1);
    record_make(f, text);
    save_refused(f, text, ERR_CONFLICT); /* another prev */
    f->host->erasure_seq = 0;
    f->host->erasure_hash[0] = '\0';
    cert_key_make(&f->key, (const uint8_t[32]){2});
    record_make(f, text);
    save_refused(f, text, ERR_CONFLICT); /* another first one */
    f->host->erasure_seq = kept_numbers.erasure_seq;
    memcpy(f->host->erasure_hash, kept_hash, sizeof(kept_hash));
    save_refused(f, "{\"prev\":\"00\"}", ERR_INPUT);
    save_refused(f, "no JSON", ERR_INPUT);
    records_are(f, 1, 10, 0, "1");
    record_add(f);
    records_are(f, 1, 10, 0, "1 2");
}

static void newest_is_newest(struct fixture *f)
{
    char text[CERT_TEXT_MAX];
    f->host->erasure_seq = 1; /* without a record */
    f->host->changed = true;
    save_refused(f, NULL, ERR_CONFLICT);
    f->host->erasure_seq = 0;
    record_make(f, text);
    f->host->erasure_hash[0] ^= 1; /* not the record's hash */
    save_refused(f, text, ERR_CONFLICT);
    f->host->erasure_hash[0] ^= 1;
    save(f, text);
}

/* All or nothing: the last row is refused, so the record, the numbers and the other rows are not kept. */
static void all_or_nothing(struct fixture *f)
{
    char text[CERT_TEXT_MAX];
    start_full(f);
    struct host *want = host_full();
    record_make(f, text);
    f->host->seq++;
    f->host->drives[0].erasures++;
    f->host->slices[0].slice.generation++;
    f->host->slice_count = 2;
    f->host->slices[1].slice = full_slice;
    f->host->slices[1].slice.id = (struct slice_id){"s2"};
    f->host->slices[1].slice.attached_seq = 1; /* attached, and erased later */
    f->host->drives[0].changed = f->host->slices[0].slice.changed = f->host->slices[1].slice.changed = true;
    save_refused(f, text, ERR_INPUT);
    records_are(f, 1, 10, 0, "");
    struct host *got = load(f);
    same(got, want, sizeof(*got), "host");
    free(got);
    free(want);
    f->host->slices[1].slice.attached_seq = 40;
    save(f, text);
    records_are(f, 1, 10, 0, "1");
}

static void no_names(struct fixture *f)
{
    f->host->vm_count = 1;
    f->host->vms[0].changed = true;
    save_refused(f, NULL, ERR_INPUT);
    f->host->vm_count = 0;
    f->host->slice_count = 1;
    f->host->slices[0].slice.changed = true;
    save_refused(f, NULL, ERR_INPUT);
    f->host->slice_count = 0;
    f->host->changed = true;
    f->host->name.v[0] = '\0';
    save_refused(f, NULL, ERR_INPUT);
}

static struct host_task *task_of(struct host *host, const char *id, enum task_state state)
{
    struct host_drive *drive = &host->drives[0];
    host->drive_count = 1;
    text_cut(drive->ident.serial, sizeof(drive->ident.serial), "SER1");
    drive->task = (struct host_task){
        .task = {.kind = TASK_PROBE, .ident = drive->ident}, .report = {.kind = TASK_PROBE, .state = state}, .changed = true};
    text_cut(drive->task.task.id.v, sizeof(drive->task.task.id.v), id);
    drive->task.report.id = drive->task.task.id;
    return &drive->task;
}

static void tasks_come_back(struct fixture *f)
{
    struct host_task *task = task_of(f->host, "t1", TASK_DONE);
    task_line_add(&task->report.result, "erase", VERDICT_LIMITED, 12, "only by overwriting");
    save(f, NULL); /* of a drive that is not ours */
    task->changed = false;
    reopen(f);
    struct host *got = load(f);
    assert_int_equal(got->drive_count, 1);
    assert_int_equal(got->drives[0].adopt, ADOPT_NONE);
    same(&got->drives[0].task, task, sizeof(*task), "task");
    free(got);
    f->host->drives[0].adopt = ADOPT_DONE; /* and of one that is */
    f->host->drives[0].changed = true;
    save(f, NULL);
    got = load(f);
    assert_int_equal(got->drive_count, 1);
    assert_int_equal(got->drives[0].adopt, ADOPT_DONE);
    same(&got->drives[0].task, task, sizeof(*task), "task of an adopted drive");
    free(got);
}

static void tasks_act_once(struct fixture *f)
{
    task_of(f->host, "t1", TASK_RUNNING);
    save(f, NULL);
    task_of(f->host, "t1", TASK_FAILED);
    save(f, NULL);
    save(f, NULL);
    task_of(f->host, "t1", TASK_RUNNING);
    save_refused(f, NULL, ERR_CONFLICT);
    task_of(f->host, "t2", TASK_WAITING);
    save(f, NULL);
}

static const struct {
    const char *rule;
    void (*check)(struct fixture *f);
} promises[] = {
    {"the last task of each drive comes back", tasks_come_back},
    {"a task that is over does not begin again", tasks_act_once},
    {"an empty ledger loads an empty host", empty_loads_empty},
    {"all that is durable comes back, and nothing else", durable_comes_back},
    {"only marked rows are written", only_marked_rows},
    {"a ledger of another host is refused", another_host},
    {"drives given up, slices deleted and VMs removed go", rows_go},
    {"a VM that was removed and made anew is there", made_anew},
    {"the id of a deleted slice is never used again", retired_ids},
    {"a drive is all of its ident", drives_are_their_idents},
    {"more rows than the host can hold are refused", too_many},
    {"records are there in order, from any number, as many as asked", records_grow},
    {"records are a chain without gaps", records_chain},
    {"the newest erasure is the newest record", newest_is_newest},
    {"a save is all or nothing", all_or_nothing},
    {"rows and hosts without a name are refused", no_names},
};

static void kept(void **state)
{
    struct fixture *f = *state;
    (*f->check)(f);
}

int main(void)
{
    enum { TESTS = 2 * COUNT(promises) };
    static struct CMUnitTest tests[TESTS];
    static char names[TESTS][128];
    static void (*checks[TESTS])(struct fixture * f);
    for (size_t n = 0; n < TESTS; n++) {
        const bool is_file = n >= COUNT(promises);
        checks[n] = promises[n % COUNT(promises)].check;
        snprintf(names[n], sizeof(names[n]), "%s: %s", is_file ? "sqlite" : "mem", promises[n % COUNT(promises)].rule);
        tests[n] = (struct CMUnitTest){names[n], kept, is_file ? setup_file : setup_mem, teardown, &checks[n]};
    }
    return _cmocka_run_group_tests("ledger", tests, TESTS, NULL, NULL);
}
