/* t_store.c - one table of promises, kept by all back ends alike. What put refuses is in
 * t_store_rules.c, what only a file can promise in t_store_file.c, what holds when writes fail in t_store_torture.c. */
#include "store_fixture.h"

/* ---- the promises -------------------------------------------------------------------------------------------- */

static void all_come_back(struct fixture *f)
{
    begin(f);
    for (unsigned k = 0; k < STORE_KIND_COUNT; k++) {
        put(f, (enum store_kind)k, full_rows[k]);
        check_same(f, (enum store_kind)k);
    }
    commit(f);
    begin(f);
    for (unsigned k = 0; k < STORE_KIND_COUNT; k++)
        check_same(f, (enum store_kind)k);
}

static void rollback_takes_back(struct fixture *f)
{
    begin(f);
    put_meta(f, "kept", "1");
    put_meta(f, "gone", "1");
    commit(f);
    begin(f);
    put_meta(f, "kept", "2");
    put_meta(f, "kept", "3");
    put_meta(f, "fresh", "1");
    del(f, ROW_META, "fresh");
    put_meta(f, "fresh", "2");
    del(f, ROW_META, "gone");
    meta_is(f, "kept", "3");
    meta_is(f, "fresh", "2");
    meta_is(f, "gone", "(none)");
    rollback(f);
    begin(f);
    meta_is(f, "kept", "1");
    meta_is(f, "fresh", "(none)");
    meta_is(f, "gone", "1");
    each_is(f, ROW_META, NULL, "gone kept");
}

static void rollback_without_begin(struct fixture *f)
{
    rollback(f);
    begin(f);
    rollback(f);
    rollback(f);
    begin(f);
    commit(f);
    rollback(f);
}

static void delete_of_nothing(struct fixture *f)
{
    begin(f);
    del(f, ROW_VM, "nobody");
    commit(f);
}

static void delete_deletes(struct fixture *f)
{
    begin(f);
    put_meta(f, "a", "1");
    put_meta(f, "b", "1");
    commit(f);
    begin(f);
    del(f, ROW_META, "a");
    commit(f);
    begin(f);
    each_is(f, ROW_META, NULL, "b");
}

static void get_of_nothing(struct fixture *f)
{
    struct row_meta row = {.value = "untouched"};
    begin(f);
    assert_false(get(f, ROW_META, "nobody", &row));
    assert_string_equal(row.value, "untouched");
}

static void keys_are_ordered(struct fixture *f)
{
    static const char *const keys[] = {"b", "a/2", "B", "a-1", "a", "\xc3\xa4", "a/10", "zz"};
    begin(f);
    for (size_t i = 0; i < COUNT(keys); i++)
        put_meta(f, keys[i], "x");
    each_is(f, ROW_META, NULL, "B a a-1 a/10 a/2 b zz \xc3\xa4");
    each_is(f, ROW_META, &(struct store_filter){.host = ""}, "B a a-1 a/10 a/2 b zz \xc3\xa4");
}

static void each_stops(struct fixture *f)
{
    begin(f);
    put_meta(f, "a", "1");
    put_meta(f, "b", "1");
    put_meta(f, "c", "1");
    struct keys keys = {.kind = ROW_META, .most = 2};
    struct err err = {0};
    ok(f->store.each(f->store.self, ROW_META, NULL, keys_add, &keys, &err), &err);
    assert_string_equal(keys.text, "a b");
    each_is(f, ROW_META, NULL, "a b c");
}

static void put_slice(struct fixture *f, const char *id, const char *on, const char *of)
{
    struct row_slice row = full_slice;
    snprintf(row.slice.id.v, sizeof(row.slice.id.v), "%s", id);
    snprintf(row.host.v, sizeof(row.host.v), "%s", on);
    snprintf(row.claim.v, sizeof(row.claim.v), "%s", of);
    put(f, ROW_SLICE, &row);
}

static void filters(struct fixture *f)
{
    begin(f);
    put(f, ROW_CLAIM, &full_claim);
    put_slice(f, "s4", "h1", "c1");
    put_slice(f, "s3", "h2", "c1");
    put_slice(f, "s2", "h1", "");
    put_slice(f, "s1", "h1", "c1");
    each_is(f, ROW_SLICE, &(struct store_filter){.host = "h1"}, "s1 s2 s4");
    each_is(f, ROW_SLICE, &(struct store_filter){.host = "h2"}, "s3");
    each_is(f, ROW_SLICE, &(struct store_filter){.host = "h"}, "");
    each_is(f, ROW_SLICE, &(struct store_filter){.claim = "c1"}, "s1 s3 s4");
    each_is(f, ROW_SLICE, &(struct store_filter){.claim = "c1", .host = "h1"}, "s1 s4");
    each_is(f, ROW_SLICE, &(struct store_filter){.claim = "c2"}, "");
    each_is(f, ROW_SLICE, &(struct store_filter){.claim = "", .host = ""}, "s1 s2 s3 s4");
    each_is(f, ROW_SLICE, &(struct store_filter){0}, "s1 s2 s3 s4");
}

static void filters_of_others(struct fixture *f)
{
    struct row_erasure second = full_erasure, third = full_erasure;
    second.id = (struct erasure_id){"e0"};
    second.seq = 34;
    third.id = (struct erasure_id){"e2"};
    third.slice = (struct slice_id){"s2"};
    third.host = (struct name){"h2"};
    begin(f);
    put(f, ROW_ERASURE, &full_erasure);
    put(f, ROW_ERASURE, &second);
    put(f, ROW_ERASURE, &third);
    each_is(f, ROW_ERASURE, &(struct store_filter){.slice = "s1"}, "e0 e1");
    each_is(f, ROW_ERASURE, &(struct store_filter){.slice = "s2", .host = "h1"}, "");
    each_is(f, ROW_ERASURE, &(struct store_filter){.host = "h2"}, "e2");
    put(f, ROW_VM, &full_vm);
    put(f, ROW_CLAIM, &full_claim);
    put(f, ROW_DRIVE, &full_drive);
    each_is(f, ROW_VM, &(struct store_filter){.host = "h1"}, "web");
    each_is(f, ROW_CLAIM, &(struct store_filter){.host = "h2"}, "");
    each_is(f, ROW_DRIVE, &(struct store_filter){.host = "h1"}, "h1/SN 1");
}

static void half_is_never_kept(struct fixture *f)
{
    struct row_slice older = full_slice;
    older.generation = 22;
    begin(f);
    put(f, ROW_SLICE, &full_slice);
    commit(f);
    begin(f);
    put_meta(f, "half", "1");
    put_refused(f, ROW_SLICE, &older, ERR_CONFLICT);
    struct row_meta other_half = {.key = "other half"};
    struct err err = {0}, ignored = {0};
    (void)f->store.put(f->store.self, ROW_META, &other_half, &ignored); /* may be done or refused */
    refused(f->store.commit(f->store.self, &err), &err, ERR_FAILED);
    begin(f);
    each_is(f, ROW_META, NULL, "");
    commit(f);
}

static void nor_after_bad_input(struct fixture *f)
{
    struct err err = {0};
    begin(f);
    put_meta(f, "half", "1");
    put_refused(f, ROW_META, &(struct row_meta){.value = "no key"}, ERR_INPUT);
    refused(f->store.commit(f->store.self, &err), &err, ERR_FAILED);
    begin(f);
    each_is(f, ROW_META, NULL, "");
}

static void a_refusal_is_over_with_rollback(struct fixture *f)
{
    begin(f);
    put_refused(f, ROW_META, &(struct row_meta){.value = "no key"}, ERR_INPUT);
    rollback(f);
    begin(f);
    put_meta(f, "a", "1");
    commit(f);
}

static void claims_and_slices_in_any_order(struct fixture *f)
{
    begin(f); /* the slice first, its claim later */
    put_slice(f, "s1", "h1", "c1");
    put(f, ROW_CLAIM, &full_claim);
    commit(f);
    begin(f); /* the claim goes first, the slice lets go later */
    del(f, ROW_CLAIM, "c1");
    put_slice(f, "s1", "h1", "");
    commit(f);
    begin(f);
    put_slice(f, "s1", "h1", "c1");
    put_slice(f, "s1", "h1", ""); /* what counts is the end */
    commit(f);
    begin(f);
    put(f, ROW_CLAIM, &full_claim);
    put_slice(f, "s1", "h1", "c1");
    del(f, ROW_CLAIM, "c1");
    put(f, ROW_CLAIM, &full_claim);
    commit(f);
    begin(f);
    each_is(f, ROW_SLICE, &(struct store_filter){.claim = "c1"}, "s1");
}

static void slice_needs_its_claim(struct fixture *f)
{
    struct err err = {0};
    begin(f);
    put_slice(f, "s1", "h1", "nobody");
    refused(f->store.commit(f->store.self, &err), &err, ERR_CONFLICT);
    rollback(f);
    begin(f);
    each_is(f, ROW_SLICE, NULL, "");
    commit(f);
}

static void claim_stays_while_slices_have_it(struct fixture *f)
{
    struct err err = {0};
    begin(f);
    put(f, ROW_CLAIM, &full_claim);
    put_slice(f, "s1", "h1", "c1");
    commit(f);
    begin(f);
    del(f, ROW_CLAIM, "c1");
    refused(f->store.commit(f->store.self, &err), &err, ERR_CONFLICT);
    begin(f);
    each_is(f, ROW_CLAIM, NULL, "c1");
}

static void refused_delete(struct fixture *f, enum store_kind kind, const char *key)
{
    struct err err = {0};
    refused(f->store.del(f->store.self, kind, key, &err), &err, ERR_CONFLICT);
    rollback(f);
    begin(f);
    each_is(f, kind, NULL, key);
}

static void held_slice_stays(struct fixture *f)
{
    begin(f);
    put(f, ROW_CLAIM, &full_claim);
    put_slice(f, "s1", "h1", "c1");
    commit(f);
    begin(f);
    refused_delete(f, ROW_SLICE, "s1");
    put_slice(f, "s1", "h1", "");
    del(f, ROW_SLICE, "s1");
    commit(f);
}

static void erasure_stays(struct fixture *f)
{
    begin(f);
    put(f, ROW_ERASURE, &full_erasure);
    commit(f);
    begin(f);
    refused_delete(f, ROW_ERASURE, "e1");
    put(f, ROW_ERASURE, &full_erasure); /* the same once more is no change */
    commit(f);
}

static void replaced_vm(struct fixture *f)
{
    struct row_vm other = full_vm;
    other.spec.name = (struct name){"db"};
    begin(f);
    put(f, ROW_VM, &full_vm);
    put(f, ROW_VM, &full_vm); /* its own UUID and claim are no clash */
    del(f, ROW_VM, "web");
    put(f, ROW_VM, &other);
    commit(f);
    struct row_vm bare = {.spec = {.name = {"x"}}}, bare_too = {.spec = {.name = {"y"}}};
    begin(f); /* none is not the same as another's none */
    put(f, ROW_VM, &bare);
    put(f, ROW_VM, &bare_too);
    commit(f);
}

static const struct {
    const char *rule;
    void (*check)(struct fixture *f);
} promises[] = {
    {"rows of every kind come back whole, before and after commit", all_come_back},
    {"rollback leaves everything as before begin", rollback_takes_back},
    {"rollback without a transaction does nothing", rollback_without_begin},
    {"delete of what is not there is true", delete_of_nothing},
    {"delete deletes that row only", delete_deletes},
    {"get of what is not there leaves the row alone", get_of_nothing},
    {"rows come in the order of the bytes of their keys", keys_are_ordered},
    {"each stops when it is told to", each_stops},
    {"filters narrow slices by host and claim", filters},
    {"filters narrow the other kinds", filters_of_others},
    {"after a refusal commit fails and keeps nothing", half_is_never_kept},
    {"nor after bad input", nor_after_bad_input},
    {"a refusal is over with rollback", a_refusal_is_over_with_rollback},
    {"claims and slices come and go in any order", claims_and_slices_in_any_order},
    {"a slice with a claim that is not there is refused at commit", slice_needs_its_claim},
    {"a claim stays while slices have it", claim_stays_while_slices_have_it},
    {"a slice stays while a claim holds it", held_slice_stays},
    {"an erasure is never deleted, and may be put twice", erasure_stays},
    {"a VM may take the place of another", replaced_vm},
};

/* ---- only memory, only files --------------------------------------------------------------------------------- */

static void mem_fails(void **state)
{
    struct fixture f = {.back = BACK_MEM};
    struct err err = {0};
    (void)state;
    f_open(&f);
    store_mem_fail(&f.store, 2, false);
    begin(&f);
    put_meta(&f, "a", "1");
    commit(&f);
    begin(&f);
    put_meta(&f, "a", "2");
    refused(f.store.commit(f.store.self, &err), &err, ERR_FULL);
    rollback(&f);
    store_mem_fail(&f.store, 1, true);
    begin(&f);
    meta_is(&f, "a", "1");
    put_meta(&f, "a", "3");
    err_clear(&err);
    refused(f.store.commit(f.store.self, &err), &err, ERR_BUSY);
    rollback(&f);
    begin(&f);
    meta_is(&f, "a", "3");
    put_meta(&f, "a", "4");
    commit(&f);
    f.store.close(f.store.self);
}

static void reopen(struct fixture *f)
{
    f->store.close(f->store.self);
    f_open(f);
}

static void file_keeps(void **state)
{
    struct fixture *f = *state;
    begin(f);
    for (unsigned k = 0; k < STORE_KIND_COUNT; k++)
        put(f, (enum store_kind)k, full_rows[k]);
    commit(f);
    begin(f);
    put_meta(f, "uncommitted", "1");
    reopen(f); /* close without commit */
    begin(f);
    for (unsigned k = 0; k < STORE_KIND_COUNT; k++)
        check_same(f, (enum store_kind)k);
    each_is(f, ROW_META, NULL, "incarnation");
    rollback(f);
    reopen(f); /* and once more, without changes */
}

/* ---- running it ---------------------------------------------------------------------------------------------- */

static void promise_kept(void **state)
{
    struct fixture *f = *state;
    (*f->check)(f);
}

int main(void)
{
    enum { TESTS = 2 * COUNT(promises) + 2 };
    static struct CMUnitTest tests[TESTS];
    static char names[TESTS][128];
    static void (*checks[TESTS])(struct fixture * f);
    size_t n = 0;
    for (const struct back_end *back = back_ends(); back->name != NULL; back++)
        for (size_t i = 0; i < COUNT(promises); i++, n++) {
            checks[n] = promises[i].check;
            snprintf(names[n], sizeof(names[n]), "%s: %s", back->name, promises[i].rule);
            tests[n] = (struct CMUnitTest){names[n], promise_kept, back->setup, teardown, &checks[n]};
        }
    if (pg_conninfo() == NULL) {
        tests[n++] = (struct CMUnitTest){"mem: the n-th commit fails before or after", mem_fails, NULL, NULL, NULL};
        tests[n++] = (struct CMUnitTest){"sqlite: what was committed is there after reopening, nothing else", file_keeps,
                                         setup_file, teardown, NULL};
    } else {
        tests[n++] = (struct CMUnitTest){"pg: what was committed is there after reopening, nothing else", file_keeps,
                                         setup_pg, teardown, NULL};
    }
    return _cmocka_run_group_tests("store", tests, n, NULL, NULL);
}
