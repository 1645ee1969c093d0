/* t_ledger_rules.c - what save refuses of numbers and slices, by both ledgers; what only one of them promises. */
#include "ledger_fixture.h"

#include "base/must.h"
#include "store/sqlite_util.h"

#include <sys/stat.h>
#include <unistd.h>

/* ---- what save refuses of numbers and slices ----------------------------------------------------------------- */

#define SLICE(s, gen, who, attached, erased)                                                           \
    {                                                                                                  \
        .id = {"s1"}, .state = SLICE_##s, .generation = gen, .owner = {who}, .attached_seq = attached, \
        .erased_seq = erased                                                                           \
    }

static const struct {
    const char *rule;
    struct slice first, then;
    enum err_kind expect;
} slices[] = {
    {"blank to erasing", SLICE(BLANK, 0, "", 0, 0), SLICE(ERASING, 0, "", 0, 0), ERR_NONE},
    {"erased and verified in one save", SLICE(ERASING, 0, "", 0, 0), SLICE(FREE, 0, "", 0, 1), ERR_NONE},
    {"verified, claimed and handed out in one save", SLICE(VERIFYING, 1, "", 2, 1), SLICE(ATTACHED, 2, "c", 4, 3),
     ERR_NONE},
    {"free to claimed", SLICE(FREE, 1, "", 0, 1), SLICE(CLAIMED, 2, "c", 0, 1), ERR_NONE},
    {"attached to dirty", SLICE(ATTACHED, 1, "c", 2, 1), SLICE(DIRTY, 2, "", 2, 1), ERR_NONE},
    {"attached to quarantined, still owned", SLICE(ATTACHED, 1, "c", 2, 1), SLICE(QUARANTINED, 1, "c", 2, 1), ERR_NONE},
    {"quarantined to dirty", SLICE(QUARANTINED, 1, "", 2, 1), SLICE(DIRTY, 1, "", 2, 1), ERR_NONE},
    {"dirty to free", SLICE(DIRTY, 1, "", 2, 1), SLICE(FREE, 1, "", 2, 3), ERR_CONFLICT},
    {"blank to free", SLICE(BLANK, 1, "", 0, 0), SLICE(FREE, 1, "", 0, 1), ERR_CONFLICT},
    {"quarantined to free", SLICE(QUARANTINED, 1, "", 0, 1), SLICE(FREE, 1, "", 0, 2), ERR_CONFLICT},
    {"quarantined to claimed", SLICE(QUARANTINED, 1, "", 0, 1), SLICE(CLAIMED, 2, "c", 0, 2), ERR_CONFLICT},
    {"dirty to attached", SLICE(DIRTY, 1, "", 2, 1), SLICE(ATTACHED, 2, "c", 4, 3), ERR_CONFLICT},
    {"verifying to free without a newer erase", SLICE(VERIFYING, 1, "", 0, 1), SLICE(FREE, 1, "", 0, 1), ERR_CONFLICT},
    {"a generation that goes down", SLICE(DIRTY, 2, "", 0, 0), SLICE(DIRTY, 1, "", 0, 0), ERR_CONFLICT},
    {"a hand-out that goes down", SLICE(DIRTY, 2, "", 2, 0), SLICE(DIRTY, 2, "", 1, 0), ERR_CONFLICT},
    {"an erase that goes down", SLICE(DIRTY, 2, "", 0, 2), SLICE(DIRTY, 2, "", 0, 1), ERR_CONFLICT},
    {"free, but handed out after its erase", SLICE(ERASING, 1, "", 3, 1), SLICE(FREE, 1, "", 3, 2), ERR_INPUT},
    {"claimed, but handed out after its erase", SLICE(FREE, 1, "", 0, 1), SLICE(CLAIMED, 2, "c", 1, 1), ERR_INPUT},
    {"attached, but never handed out", SLICE(FREE, 1, "", 0, 1), SLICE(ATTACHED, 2, "c", 0, 1), ERR_INPUT},
    {"claimed by nobody", SLICE(FREE, 1, "", 0, 1), SLICE(CLAIMED, 2, "", 0, 1), ERR_INPUT},
    {"attached to nobody", SLICE(FREE, 1, "", 0, 1), SLICE(ATTACHED, 2, "", 2, 1), ERR_INPUT},
    {"free, but somebody's", SLICE(FREE, 1, "", 0, 1), SLICE(FREE, 2, "c", 0, 1), ERR_INPUT},
    {"dirty, but somebody's", SLICE(FREE, 1, "", 0, 1), SLICE(DIRTY, 2, "c", 0, 1), ERR_INPUT},
    {"a state that is not known", SLICE(FREE, 1, "", 0, 1), SLICE(STATE_COUNT, 2, "", 0, 1), ERR_INPUT},
};

static void slice_rules(void **state)
{
    struct fixture *f = *state;
    for (size_t i = 0; i < COUNT(slices); i++) {
        struct slice *s = &f->host->slices[0].slice;
        struct err err = {0};
        f->host->slice_count = 1;
        *s = slices[i].first;
        s->changed = true;
        snprintf(s->id.v, sizeof(s->id.v), "s%zu", i);
        save(f, NULL);
        *s = slices[i].then;
        s->changed = true;
        snprintf(s->id.v, sizeof(s->id.v), "s%zu", i);
        f->ledger.save(f->ledger.self, f->host, NULL, &err);
        if (err.kind != slices[i].expect)
            fail_msg("%s: got %s '%s', want %s", slices[i].rule, err_kind_name(err.kind), err.msg,
                     err_kind_name(slices[i].expect));
    }
}

static const struct {
    const char *rule;
    uint64_t incarnation, revision, seq;
    enum err_kind expect;
} numbers[] = {
    {"all up", 6, 6, 6, ERR_NONE},
    {"the same", 6, 6, 6, ERR_NONE},
    {"seq goes down", 6, 6, 5, ERR_CONFLICT},
    {"incarnation goes down", 5, 7, 7, ERR_CONFLICT},
    {"revision goes down", 6, 5, 6, ERR_CONFLICT},
    {"revision goes down with a new incarnation", 7, 1, 6, ERR_NONE},
};

static void number_rules(void **state)
{
    struct fixture *f = *state;
    for (size_t i = 0; i < COUNT(numbers); i++) {
        struct err err = {0};
        f->host->incarnation = numbers[i].incarnation;
        f->host->wants_revision = numbers[i].revision;
        f->host->seq = numbers[i].seq;
        f->host->changed = true;
        f->ledger.save(f->ledger.self, f->host, NULL, &err);
        if (err.kind != numbers[i].expect)
            fail_msg("%s: got %s '%s', want %s", numbers[i].rule, err_kind_name(err.kind), err.msg,
                     err_kind_name(numbers[i].expect));
    }
}

/* ---- only memory, only files --------------------------------------------------------------------------------- */

static void mem_fails(void **state)
{
    struct fixture *f = *state;
    start_full(f);
    struct host *want = host_full();
    ledger_mem_fail(&f->ledger, 2, false);
    save(f, NULL);
    f->host->seq = 31;
    f->host->changed = true;
    save_refused(f, NULL, ERR_FULL);
    struct host *got = load(f);
    assert_int_equal(got->seq, want->seq);
    free(got);
    ledger_mem_fail(&f->ledger, 1, true);
    save_refused(f, NULL, ERR_BUSY);
    got = load(f);
    assert_int_equal(got->seq, 31);
    free(got);
    free(want);
    save(f, NULL);
}

/* What the program would never do, the file refuses all the same. */
static const char *const forbidden[] = {
    "UPDATE records SET text = 'x' WHERE seq = 1",
    "DELETE FROM records WHERE seq = 2",
    "INSERT INTO records VALUES (9, (SELECT hash FROM records WHERE seq = 2), hex(randomblob(32)), 'x', 0)",
    "INSERT INTO records VALUES (3, hex(zeroblob(32)), hex(randomblob(32)), 'x', 0)",
    "UPDATE numbers SET host = 'h2'",
    "UPDATE numbers SET seq = seq - 1",
    "UPDATE numbers SET erasure_seq = 1",
    "UPDATE numbers SET incarnation = 0",
    "DELETE FROM numbers",
    "INSERT INTO numbers VALUES (2, 'h2', 0, 0, 0, 2, '', 0)",
    "UPDATE slices SET generation = 1",
    "UPDATE slices SET state = 'nonsense'",
    "UPDATE slices SET owner = NULL",
    "UPDATE slices SET erased_seq = 100",
    "DELETE FROM slices",
    "DELETE FROM retired",
    "UPDATE retired SET key = 's8'",
    "INSERT INTO slices VALUES ('s7', 'blank', 0, NULL, 0, 0, '{}', 0)",
    "UPDATE drives SET adopt = 'available'",
    "INSERT INTO records VALUES (3, (SELECT hash FROM records WHERE seq = 2), 'short', 'x', 0)",
    "UPDATE numbers SET id = 2",
    "UPDATE numbers SET incarnation = incarnation + 1, wants_revision = -1",
    "INSERT INTO drives VALUES ('', 'adopted', '{}', 0)",
    "INSERT INTO vms VALUES ('', '{}', 0)",
    "INSERT INTO slices VALUES ('', 'blank', 0, NULL, 0, 0, '{}', 0)",
    "INSERT INTO slices VALUES ('s9', 'absent', 0, NULL, 0, 0, '{}', 0)",
    "INSERT INTO slices VALUES ('s9', 'blank', -1, NULL, 0, 0, '{}', 0)",
    "INSERT INTO slices VALUES ('s9', 'blank', 0, NULL, -1, 0, '{}', 0)",
    "INSERT INTO slices VALUES ('s9', 'blank', 0, NULL, 0, -1, '{}', 0)",
    "INSERT INTO slices VALUES ('s9', 'quarantined', 0, '', 0, 0, '{}', 0)",
    "INSERT INTO slices VALUES ('s9', 'dirty', 0, 'c1', 0, 0, '{}', 0)",
    "INSERT INTO slices VALUES ('s9', 'free', 0, NULL, 2, 2, '{}', 0)",
    "INSERT INTO slices VALUES ('s9', 'claimed', 0, 'c1', 2, 2, '{}', 0)",
};

static void file_refuses(void **state)
{
    struct fixture *f = *state;
    start_full(f);
    f->host->slice_count = 2;
    f->host->slices[1].slice = (struct slice){.id = {"s7"}, .state = SLICE_BLANK, .changed = true};
    save(f, NULL);
    f->host->slices[1].slice.state = SLICE_ABSENT;
    save(f, NULL);
    record_add(f);
    record_add(f);
    f->ledger.close(f->ledger.self);
    sqlite3 *db;
    must(sqlite3_open(f->path, &db) == SQLITE_OK);
    for (size_t i = 0; i < COUNT(forbidden); i++)
        if ((sqlite3_exec(db, forbidden[i], NULL, NULL, NULL) & 0xff) != SQLITE_CONSTRAINT)
            fail_msg("%s: got '%s', want a constraint", forbidden[i], sqlite3_errmsg(db));
    sqlite3_close(db);
    f_open(f);
    records_are(f, 1, 10, 0, "1 2");
}

static void mode_is_private(void **state)
{
    const struct fixture *f = *state;
    struct stat st;
    must(stat(f->path, &st) == 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

static sqlite3_stmt *prepared(sqlite3 *db, const char *text)
{
    sqlite3_stmt *stmt = NULL;
    if (sqlite3_prepare_v2(db, text, -1, &stmt, NULL) != SQLITE_OK)
        fail_msg("%s: %s", text, sqlite3_errmsg(db));
    return stmt;
}

/* Changes the text of record 2 as somebody would who knows the file: with its checksum, and the trigger put back. */
static void record_forge(sqlite3 *db)
{
    sqlite3_stmt *find = prepared(db, "SELECT sql FROM sqlite_schema WHERE name = 'records_stay'");
    sqlite3_stmt *old = prepared(db, "SELECT prev, hash, replace(text, '\"n\"', '\"m\"') FROM records WHERE seq = 2");
    must(sqlite3_step(find) == SQLITE_ROW && sqlite3_step(old) == SQLITE_ROW);
    char *trigger = strdup((const char *)sqlite3_column_text(find, 0));
    char *text = strdup((const char *)sqlite3_column_text(old, 2));
    uint64_t sum = sqlite_sum(SQLITE_SUM_START, &VALUE_NUMBER(2));
    for (int i = 0; i < 3; i++)
        sum = sqlite_sum(sum, &VALUE_TEXT((const char *)sqlite3_column_text(old, i)));
    sqlite3_finalize(find);
    sqlite3_finalize(old);
    must(sqlite3_exec(db, "DROP TRIGGER records_stay", NULL, NULL, NULL) == SQLITE_OK);
    sqlite3_stmt *update = prepared(db, "UPDATE records SET text = ?, sum = ? WHERE seq = 2");
    sqlite3_bind_text(update, 1, text, -1, SQLITE_STATIC);
    sqlite3_bind_int64(update, 2, (int64_t)sum);
    must(sqlite3_step(update) == SQLITE_DONE && sqlite3_changes(db) == 1);
    sqlite3_finalize(update);
    must(sqlite3_exec(db, trigger, NULL, NULL, NULL) == SQLITE_OK);
    free(trigger);
    free(text);
}

static void broken_chain(void **state)
{
    struct fixture *f = *state;
    struct err err = {0};
    record_add(f);
    record_add(f);
    record_add(f);
    f->ledger.close(f->ledger.self);
    sqlite3 *db;
    must(sqlite3_open(f->path, &db) == SQLITE_OK);
    record_forge(db);
    sqlite3_close(db);
    assert_false(ledger_sqlite_open(f->path, &f->ledger, &err));
    assert_int_equal(err.kind, ERR_FAILED);
    assert_non_null(strstr(err.hint, "backup"));
    if (strstr(err.msg, "chain") == NULL)
        fail_msg("got '%s', want the chain", err.msg);
    must(unlink(f->path) == 0);
    f_open(f);
}

int main(void)
{
#define T(rule, fn, end)                                \
    {                                                   \
#end ": " rule, fn, setup_##end, teardown, NULL \
    }
    const struct CMUnitTest tests[] = {
        T("what a slice may become", slice_rules, mem),
        T("what a slice may become", slice_rules, file),
        T("numbers that fence only grow", number_rules, mem),
        T("numbers that fence only grow", number_rules, file),
        T("the n-th save fails before or after", mem_fails, mem),
        T("no shell can do what the program would not", file_refuses, file),
        T("it is for its owner only", mode_is_private, file),
        T("a record that was changed is found at open", broken_chain, file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
