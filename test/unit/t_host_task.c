/* The agent's mind as conversations: what a drive is asked to do, once. Each test is a sentence of model/task.h and
 * core/host.h. */
#include "host_fixture.h"

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
    SAYS("scan fresh");
    seen();
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
    seen();
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
    SAYS("scan");
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

/* ---- firmware -----------------------------------------------------------------------------------------------------
 */

static void want_firmware(const char *id, uint8_t slot, enum firmware_action action)
{
    wants->tasks[0] = (struct drive_task){
        .kind = TASK_FIRMWARE, .ident = drive.ident, .firmware = {.size_bytes = 4, .slot = slot, .action = action}};
    text_cut(wants->tasks[0].id.v, sizeof(wants->tasks[0].id.v), id);
    wants->task_count = 1;
    send_wants();
}

static void test_firmware_is_judged_here(void **state)
{
    static const struct {
        const char *rule;
        struct drive_firmware fw;
        uint8_t slot;
        enum firmware_action action;
        bool used, foreign;
        const char *refused; /* NULL: it is begun */
    } rows[] = {
        {"a drive that can",
         {.can_update = true, .no_reset = true, .slot_count = 2},
         2,
         FIRMWARE_NOW,
         false,
         false,
         NULL},
        {"one that cannot", {.slot_count = 2}, 2, FIRMWARE_NONE, false, false, "takes no firmware"},
        {"no such slot",
         {.can_update = true, .no_reset = true, .slot_count = 2},
         3,
         FIRMWARE_NOW,
         false,
         false,
         "no such slot"},
        {"slot 1 that is read-only",
         {.can_update = true, .slot1_read_only = true, .slot_count = 2},
         1,
         FIRMWARE_NONE,
         false,
         false,
         "slot 1"},
        {"slot 1 that is read-only, and no other",
         {.can_update = true, .slot1_read_only = true, .slot_count = 1},
         0,
         FIRMWARE_NONE,
         false,
         false,
         "slot 1"},
        {"at once, where it needs a reset",
         {.can_update = true, .slot_count = 2},
         0,
         FIRMWARE_NOW,
         false,
         false,
         "without a reset"},
        {"after a reset", {.can_update = true, .slot_count = 2}, 0, FIRMWARE_RESET, false, false, NULL},
        {"slices in use, and it needs a reset",
         {.can_update = true, .slot_count = 2},
         0,
         FIRMWARE_RESET,
         true,
         false,
         "in use"},
        {"slices in use, without a reset",
         {.can_update = true, .no_reset = true, .slot_count = 2},
         0,
         FIRMWARE_NOW,
         true,
         false,
         NULL},
        {"somebody's data",
         {.can_update = true, .no_reset = true, .slot_count = 2},
         0,
         FIRMWARE_NOW,
         false,
         true,
         "not ours"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        drive.fw = rows[i].fw;
        if (rows[i].foreign)
            foreign_add(&drive.foreign, FOREIGN_MOUNT, (struct nsid){1}, "/");
        if (rows[i].used) {
            ready();
            want_slices("a", 1);
        } else {
            found();
        }
        want_firmware("f1", rows[i].slot, rows[i].action);
        const bool begun = strcmp(said(), "firmware") == 0;
        if (begun != (rows[i].refused == NULL) || task()->state != (begun ? TASK_RUNNING : TASK_REFUSED) ||
            (!begun && strstr(task()->why, rows[i].refused) == NULL))
            fail_msg("%s: got '%s', %s '%s'", rows[i].rule, said(), task_state_words[task()->state], task()->why);
        if (begun)
            assert_int_equal(last_order().fresh, !rows[i].used); /* looks for foreign data where it is not ours */
        teardown(state);
        setup(state);
    }
}

static void test_firmware_that_was_cut_short_is_not_sent_again(void **state)
{
    (void)state;
    drive.fw = (struct drive_firmware){.can_update = true, .no_reset = true, .slot_count = 2};
    found();
    want_firmware("f1", 0, FIRMWARE_NOW);
    SAYS("firmware");
    restart_with_tasks();
    TASK_IS(TASK_FAILED, "interrupted");
    want_firmware("f1", 0, FIRMWARE_NOW);
    listed(&drive.ident, 1);
    seen();
    SAYS("");
    want_firmware("f2", 0, FIRMWARE_NOW);
    SAYS("firmware");
}

static void test_after_firmware_the_drive_is_looked_at_anew(void **state)
{
    (void)state;
    drive.fw = (struct drive_firmware){.can_update = true, .no_reset = true, .slot_count = 2};
    drive.caps.ns_management = false;
    found();
    want_firmware("f1", 0, FIRMWARE_NOW);
    drive.caps.ns_management = true;
    text_cut(drive.firmware, sizeof(drive.firmware), "2");
    done();
    TASK_IS(TASK_DONE, "");
    SAYS("scan fresh");
    seen();
    assert_int_equal(host->drive_count, 1); /* it is the same drive */
    assert_true(host->drives[0].seen.caps.ns_management);
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
        TEST(test_firmware_is_judged_here),
        TEST(test_firmware_that_was_cut_short_is_not_sent_again),
        TEST(test_after_firmware_the_drive_is_looked_at_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
