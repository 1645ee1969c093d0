/* The agent's mind as conversations: what a drive is asked to do, once. Each test is a sentence of model/task.h and
 * core/host.h. */
#include "host_fixture.h"

static void want_task(const char *id, enum task_kind kind)
{
    wants->tasks[0] = (struct drive_task){.kind = kind, .ident = drive.ident};
    text_cut(wants->tasks[0].id.v, sizeof(wants->tasks[0].id.v), id);
    wants->task_count = id[0] != '\0';
    send_wants();
}

static const struct task_report *task(void)
{
    return &host->drives[0].task.report;
}

#define TASK_IS(want_state, text)                                                               \
    do {                                                                                        \
        if (task()->state != (want_state) || strstr(task()->why, text) == NULL)                 \
            fail_msg("got %s '%s', want %s '%s'", task_state_words[task()->state], task()->why, \
                     task_state_words[want_state], text);                                       \
    } while (0)

static void probed(enum verdict verdict)
{
    const struct order order = last_order();
    struct task_result found = {0};
    assert_int_equal(order.kind, ORDER_PROBE);
    task_line_add(&found, "a check", verdict, 1, "a text");
    now_ms++;
    tell((struct host_event){.kind = HOST_DONE, .ok = true, .order = &order, .result = &found});
}

/* As restart() of the fixture, with the tasks of the ledger. */
static void restart_with_tasks(void)
{
    static struct host_task kept;
    kept = host->drives[0].task;
    struct host *old = host;
    host = calloc(1, sizeof(*host));
    assert_non_null(host);
    host->name = old->name;
    host->wants_revision = old->wants_revision;
    host->incarnation = old->incarnation;
    host->drives[host->drive_count++] = (struct host_drive){.ident = drive.ident, .task = kept};
    free(old);
    host_start(host, &(struct uuid){"boot-1"}, 2, REGISTRATION);
}

/* ---- any task -----------------------------------------------------------------------------------------------------
 */

static void test_probe_of_a_drive_that_is_not_ours(void **state)
{
    (void)state;
    found();
    want_task("t1", TASK_PROBE);
    SAYS("probe");
    TASK_IS(TASK_RUNNING, "");
    assert_string_equal(last_order().task.v, "t1");
    probed(VERDICT_LIMITED);
    TASK_IS(TASK_DONE, "");
    assert_int_equal(task()->result.verdict, VERDICT_LIMITED);
    assert_int_equal(task()->result.line_count, 1);
}

static void test_a_task_acts_once(void **state)
{
    (void)state;
    found();
    want_task("t1", TASK_PROBE);
    want_task("t1", TASK_PROBE); /* while it is under way */
    SAYS("");
    host->drives[0].busy = true;
    const struct order order = {.kind = ORDER_PROBE, .ident = drive.ident, .task = {"t1"}};
    tell((struct host_event){.kind = HOST_DONE, .ok = true, .order = &order});
    TASK_IS(TASK_DONE, "");
    want_task("t1", TASK_PROBE); /* and after */
    SAYS("");
    want_task("t2", TASK_PROBE);
    SAYS("probe");
}

static void test_it_is_durable_before_its_order(void **state)
{
    (void)state;
    found();
    wants->tasks[0] = (struct drive_task){.id = {"t1"}, .kind = TASK_PROBE, .ident = drive.ident};
    wants->task_count = 1;
    wants->revision++;
    host_step(host, &(struct host_event){.kind = HOST_WANTS, .now_ms = now_ms, .wants = wants}, &orders, &result);
    SAYS("probe");
    assert_true(host->drives[0].task.changed);
    TASK_IS(TASK_RUNNING, "");
    host_clear_changed(host);
    assert_false(host->drives[0].task.changed);
}

static void test_a_probe_is_asked_again_after_a_crash(void **state)
{
    (void)state;
    found();
    want_task("t1", TASK_PROBE);
    restart_with_tasks();
    TASK_IS(TASK_WAITING, "");
    tick(1);
    listed(&drive.ident, 1);
    seen();
    SAYS("probe"); /* the wish itself need not come again */
}

static void test_what_failed_is_told(void **state)
{
    (void)state;
    found();
    want_task("t1", TASK_PROBE);
    failed(ERR_DEVICE);
    TASK_IS(TASK_FAILED, "it failed");
    want_task("t1", TASK_PROBE);
    SAYS("");
}

static void test_a_wish_before_the_first_listing(void **state)
{
    (void)state;
    want_task("t1", TASK_PROBE);
    TASK_IS(TASK_WAITING, "");
    listed(&drive.ident, 1);
    SAYS("scan fresh");
    seen();
    SAYS("probe");
}

static void test_a_wish_that_is_taken_back(void **state)
{
    (void)state;
    want_task("t1", TASK_PROBE);
    want_task("", TASK_PROBE);
    listed(&drive.ident, 1);
    seen();
    SAYS("");
    assert_string_equal(task()->id.v, ""); /* it was never taken on */
}

static void test_a_probe_disturbs_nobody(void **state)
{
    (void)state;
    ready();
    want_slices("a", 1);
    assert_int_equal(slice(0)->state, SLICE_ATTACHED);
    want_task("t1", TASK_PROBE);
    SAYS("probe");
    probed(VERDICT_QUALIFIED);
    SAYS("");
    assert_int_equal(slice(0)->state, SLICE_ATTACHED);
}

static void test_the_report_has_it(void **state)
{
    (void)state;
    struct report *report = calloc(1, sizeof(*report));
    assert_non_null(report);
    found();
    want_task("t1", TASK_PROBE);
    probed(VERDICT_REJECTED);
    host_report(host, report);
    assert_int_equal(report->drive_count, 1);
    assert_string_equal(report->drives[0].task.id.v, "t1");
    assert_int_equal(report->drives[0].task.state, TASK_DONE);
    assert_int_equal(report->drives[0].task.result.verdict, VERDICT_REJECTED);
    free(report);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_probe_of_a_drive_that_is_not_ours),
        TEST(test_a_task_acts_once),
        TEST(test_it_is_durable_before_its_order),
        TEST(test_a_probe_is_asked_again_after_a_crash),
        TEST(test_what_failed_is_told),
        TEST(test_a_wish_before_the_first_listing),
        TEST(test_a_wish_that_is_taken_back),
        TEST(test_a_probe_disturbs_nobody),
        TEST(test_the_report_has_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
