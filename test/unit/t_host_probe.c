/* The agent's mind as conversations: the destructive probe. Each test is a sentence of core/host_probe.c. */
#include "host_fixture.h"

enum { WAIT_MS = 30000 }; /* the longest that a drive which failed is left alone */

static uint32_t next_id = 50;

static void make_ns(uint32_t nsid, uint8_t id)
{
    ns_add(nsid, BLOCKS);
    ns_at(nsid)->attached = false;
    ns_at(nsid)->nguid[0] = id;
}

static void change(const struct order *order)
{
    const uint32_t nsid = order->ns.nsid.v;
    uint32_t unused = 1;
    if (order->kind == ORDER_DETACH || order->kind == ORDER_ATTACH) {
        ns_at(nsid)->attached = order->kind == ORDER_ATTACH;
    } else if (order->kind == ORDER_DELETE) {
        ns_remove(nsid);
    } else if (order->kind == ORDER_CREATE) {
        while (ns_at(unused) != NULL)
            unused++;
        make_ns(unused, (uint8_t)next_id++);
    } else {
        fail_msg("unexpected order '%s'", order_word(order->kind));
    }
}

/* A drive that obeys, as the conversation goes on, until an order of `kind` is given. */
static void obey_until(enum order_kind kind)
{
    for (unsigned i = 0; i < 200 && said()[0] != '\0'; i++) {
        const struct order order = last_order();
        if (order.kind == kind)
            return;
        if (order.kind == ORDER_SCAN) {
            seen();
            continue;
        }
        if (order.kind == ORDER_ERASE) {
            erased(ERASE_VERIFIED);
            continue;
        }
        if (order.kind == ORDER_NODE) {
            node_told();
            continue;
        }
        change(&order);
        done();
    }
}

static void want_destructive(void)
{
    ready();
    want_task("d1", TASK_PROBE_DESTRUCTIVE);
    SAYS("probe");
    probed(VERDICT_QUALIFIED);
}

static const struct task_line *line_of(const char *check)
{
    for (size_t i = 0; i < task()->result.line_count; i++)
        if (strcmp(task()->result.lines[i].check, check) == 0)
            return &task()->result.lines[i];
    fail_msg("no line '%s'", check);
    return NULL;
}

static size_t reported_slices(void)
{
    struct report *report = calloc(1, sizeof(*report));
    assert_non_null(report);
    host_report(host, report);
    const size_t count = report->slice_count;
    free(report);
    return count;
}

static void slices_are_free(void)
{
    assert_int_equal(host->drives[0].adopt, ADOPT_DONE);
    assert_int_equal(host->slice_count, SLICES);
    for (unsigned i = 0; i < SLICES; i++)
        assert_int_equal(slice(i)->state, SLICE_FREE);
}

static void erased_beside(enum neighbour_fate neighbour)
{
    const struct order order = last_order();
    const struct erasure erasure = {.id = order.erasure, .slice = order.slice, .verdict = ERASE_VERIFIED};
    assert_int_equal(order.kind, ORDER_ERASE);
    assert_int_equal(order.neighbour.nsid.v, 2);
    tell((struct host_event){
        .kind = HOST_DONE, .ok = true, .order = &order, .erasure = &erasure, .neighbour = neighbour});
}

static void test_all_is_made_anew(void **state)
{
    (void)state;
    ready();
    const struct slice_id old = slice(0)->id;
    want_task("d1", TASK_PROBE_DESTRUCTIVE);
    SAYS("probe");
    assert_int_equal(reported_slices(), SLICES);
    probed(VERDICT_QUALIFIED);
    SAYS("detach 2"); /* out of order */
    TASK_IS(TASK_RUNNING, "");
    assert_int_equal(host->drives[0].adopt, ADOPT_CUTTING);
    assert_int_equal(reported_slices(), 0);
    obey_until(ORDER_ERASE);
    assert_int_equal(reported_slices(), 0); /* nobody's business */
    erased_beside(NEIGHBOUR_SPARED);
    obey_until(ORDER_VM_START);
    TASK_IS(TASK_DONE, "");
    assert_int_equal(task()->result.verdict, VERDICT_QUALIFIED);
    line_of("delete");
    line_of("create");
    line_of("create-again");
    line_of("rescan");
    assert_null(host_slice_find(host, &old));
    slices_are_free();
    assert_int_equal(reported_slices(), SLICES);
}

static void test_a_neighbour_that_was_hit(void **state)
{
    (void)state;
    want_destructive();
    obey_until(ORDER_ERASE);
    erased_beside(NEIGHBOUR_HIT);
    obey_until(ORDER_VM_START);
    TASK_IS(TASK_DONE, "");
    assert_int_equal(line_of("neighbour")->verdict, VERDICT_REJECTED);
    assert_int_equal(task()->result.verdict, VERDICT_REJECTED);
}

static void test_an_erase_that_is_a_lie(void **state)
{
    (void)state;
    want_destructive();
    obey_until(ORDER_ERASE);
    erased(ERASE_LIED);
    obey_until(ORDER_VM_START);
    TASK_IS(TASK_DONE, "");
    assert_int_equal(line_of("erase-one")->verdict, VERDICT_REJECTED);
    assert_int_equal(slice(0)->state, SLICE_QUARANTINED);
}

static void test_space_that_does_not_come_back(void **state)
{
    (void)state;
    want_destructive();
    for (unsigned creates = 0; creates < SLICES; creates++) {
        obey_until(ORDER_CREATE);
        make_ns(creates + 1, (uint8_t)next_id++);
        done();
    }
    obey_until(ORDER_CREATE);
    failed(ERR_FULL);
    tick(WAIT_MS);
    obey_until(ORDER_ERASE);
    erased(ERASE_VERIFIED);
    obey_until(ORDER_VM_START);
    TASK_IS(TASK_DONE, "");
    assert_int_equal(line_of("create-again")->verdict, VERDICT_LIMITED);
    slices_are_free(); /* all of them: an empty drive gives its space back */
}

static void test_ids_that_come_back(void **state)
{
    (void)state;
    want_destructive();
    for (unsigned creates = 0; creates < SLICES + 1; creates++) {
        obey_until(ORDER_CREATE);
        const uint32_t nsid = creates < SLICES ? creates + 1 : 2;
        make_ns(nsid, (uint8_t)nsid);
        done();
    }
    obey_until(ORDER_VM_START);
    TASK_IS(TASK_DONE, "");
    assert_int_equal(line_of("new-ids")->verdict, VERDICT_LIMITED);
}

static void test_namespaces_that_change_between_two_looks(void **state)
{
    (void)state;
    want_destructive();
    obey_until(ORDER_ATTACH);
    ns_at(2)->nguid[0] = 99;
    obey_until(ORDER_ERASE);
    TASK_IS(TASK_DONE, "");
    assert_int_equal(line_of("work")->verdict, VERDICT_REJECTED);
    assert_non_null(strstr(line_of("work")->text, "another NGUID"));
}

/* The process ends at each step in turn: what is left is cut as ever. */
static void test_a_probe_that_is_cut_short(void **state)
{
    static const enum order_kind ends[] = {ORDER_DETACH, ORDER_DELETE, ORDER_CREATE, ORDER_ATTACH, ORDER_ERASE};
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        want_destructive();
        obey_until(ends[i]);
        const struct host_task kept = host->drives[0].task;
        restart("boot-1");
        host->drives[0].task = kept;
        host_start(host, &(struct uuid){"boot-1"}, 3, REGISTRATION + 1);
        TASK_IS(TASK_FAILED, "interrupted");
        tick(1);
        listed(&drive.ident, 1);
        obey_until(ORDER_VM_START);
        TASK_IS(TASK_FAILED, "interrupted");
        slices_are_free();
        teardown(state);
        setup(state);
    }
}

static void test_what_a_destructive_probe_refuses(void **state)
{
    static const struct {
        const char *rule;
        enum slice_state slice;
        const char *owner;
        enum adopt adopt;
        enum provider provider;
        enum task_state is;
        const char *why;
    } rows[] = {
        {"not adopted", SLICE_FREE, "", ADOPT_REFUSED, PROVIDER_NAMESPACE, TASK_REFUSED, "not adopted"},
        {"at fault", SLICE_FREE, "", ADOPT_FAULT, PROVIDER_NAMESPACE, TASK_REFUSED, "not adopted"},
        {"used as a whole", SLICE_FREE, "", ADOPT_DONE, PROVIDER_WHOLE, TASK_REFUSED, "cut into namespaces"},
        {"claimed", SLICE_CLAIMED, "a", ADOPT_DONE, PROVIDER_NAMESPACE, TASK_REFUSED, "claimed"},
        {"attached", SLICE_ATTACHED, "a", ADOPT_DONE, PROVIDER_NAMESPACE, TASK_REFUSED, "claimed"},
        {"lost while somebody had it", SLICE_QUARANTINED, "a", ADOPT_DONE, PROVIDER_NAMESPACE, TASK_REFUSED, "claimed"},
        {"in quarantine", SLICE_QUARANTINED, "", ADOPT_DONE, PROVIDER_NAMESPACE, TASK_REFUSED, "quarantine"},
        {"dirty", SLICE_DIRTY, "", ADOPT_DONE, PROVIDER_NAMESPACE, TASK_WAITING, "waits"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        ready();
        struct host_drive *it = &host->drives[0];
        struct slice *one = &host->slices[1].slice;
        it->adopt = rows[i].adopt;
        it->layout.provider = rows[i].provider;
        one->state = rows[i].slice;
        text_cut(one->owner.v, sizeof(one->owner.v), rows[i].owner);
        one->generation = rows[i].owner[0] != '\0';
        text_cut(one->why, sizeof(one->why), one->state == SLICE_QUARANTINED ? "a reason" : "");
        if (one->state == SLICE_ATTACHED || one->state == SLICE_DIRTY)
            one->attached_seq = ++host->seq;
        want_task("d1", TASK_PROBE_DESTRUCTIVE);
        if (task()->state != rows[i].is || strstr(task()->why, rows[i].why) == NULL)
            fail_msg("%s: got %s '%s'", rows[i].rule, task_state_words[task()->state], task()->why);
        teardown(state);
        setup(state);
    }
}

static void test_a_claim_on_its_way_refuses(void **state)
{
    (void)state;
    ready();
    listed(NULL, 0); /* away, so that nothing is begun yet */
    want_task("d1", TASK_PROBE_DESTRUCTIVE);
    want_slices("a", 1);
    assert_int_equal(slice(0)->state, SLICE_CLAIMED);
    listed(&drive.ident, 1);
    seen();
    TASK_IS(TASK_REFUSED, "claimed");
}

static void test_a_drive_that_goes_away(void **state)
{
    (void)state;
    want_destructive();
    obey_until(ORDER_SCAN);
    const struct order order = last_order();
    const struct err err = {.kind = ERR_MISSING, .msg = "gone"};
    tell((struct host_event){.kind = HOST_SEEN, .order = &order, .err = &err});
    listed(NULL, 0);
    TASK_IS(TASK_FAILED, "went away");
    tick(WAIT_MS);
    listed(&drive.ident, 1);
    obey_until(ORDER_VM_START);
    slices_are_free();
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_all_is_made_anew),           TEST(test_a_neighbour_that_was_hit),
        TEST(test_an_erase_that_is_a_lie),     TEST(test_space_that_does_not_come_back),
        TEST(test_ids_that_come_back),         TEST(test_namespaces_that_change_between_two_looks),
        TEST(test_a_probe_that_is_cut_short),  TEST(test_what_a_destructive_probe_refuses),
        TEST(test_a_claim_on_its_way_refuses), TEST(test_a_drive_that_goes_away),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
