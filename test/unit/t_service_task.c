/* The server: what a drive is asked to do. The sentences of server/service.h. */
#include "service_fixture.h"

static struct row_drive row;

static bool ask(enum task_kind kind, struct err *why)
{
    const struct task_request request = {.serial = "SER1", .kind = kind};
    return service_task(&service, &request, &row, why);
}

static void agent_says(enum task_state state)
{
    report.drives[0].task = (struct task_report){.id = row.task.id, .kind = row.task.kind, .state = state};
    DO(send(&err));
}

static bool is_wanted(void)
{
    const struct wants wants = wants_now();
    return wants.task_count == 1 && strcmp(wants.tasks[0].id.v, row.task.id.v) == 0;
}

static size_t retiring(void)
{
    size_t count = 0;
    for (size_t i = 0; i < 4; i++) {
        struct row_slice slice;
        count += get(ROW_SLICE, slice_of(i)->id.v, &slice) && slice.retire;
    }
    return count;
}

static void test_wanted_until_its_end_is_reported(void **state)
{
    (void)state;
    const uint64_t before = wants_now().revision;
    DO(ask(TASK_PROBE, &err));
    assert_true(wants_now().revision > before);
    assert_true(is_wanted());
    assert_string_equal(wants_now().tasks[0].ident.serial, "SER1");
    agent_says(TASK_RUNNING);
    assert_true(is_wanted());
    const uint64_t running = wants_now().revision;
    agent_says(TASK_DONE);
    assert_false(is_wanted());
    assert_true(wants_now().revision > running);
}

static void test_the_end_of_another_task_ends_nothing(void **state)
{
    (void)state;
    DO(ask(TASK_PROBE, &err));
    report.drives[0].task = (struct task_report){.id = {"older"}, .kind = TASK_PROBE, .state = TASK_DONE};
    DO(send(&err));
    assert_true(is_wanted());
}

static void test_one_at_a_time(void **state)
{
    (void)state;
    DO(ask(TASK_PROBE, &err));
    REFUSED(ERR_CONFLICT, "it is at a probe", ask(TASK_PROBE, &err));
    struct uuid adoption;
    const struct adopt_request request = {.serial = "SER1", .class = small};
    REFUSED(ERR_CONFLICT, "it is at a probe", service_adopt(&service, &request, NULL, &adoption, &err));
    agent_says(TASK_FAILED);
    DO(ask(TASK_PROBE, &err));
}

static void test_no_such_drive(void **state)
{
    (void)state;
    const struct task_request request = {.serial = "SER9", .kind = TASK_PROBE};
    REFUSED(ERR_MISSING, "SER9", service_task(&service, &request, &row, &err));
}

static void test_destructive_wants_an_empty_adopted_drive(void **state)
{
    (void)state;
    struct row_claim taken;
    REFUSED(ERR_UNSAFE, "it is available", ask(TASK_PROBE_DESTRUCTIVE, &err));
    adopt();
    REFUSED(ERR_UNSAFE, "is blank", ask(TASK_PROBE_DESTRUCTIVE, &err));
    for (size_t i = 0; i < 4; i++)
        erased(i, true);
    DO(claim(1, "c", &taken, &err)); /* the agent does not know of it yet */
    REFUSED(ERR_UNSAFE, "is claimed", ask(TASK_PROBE_DESTRUCTIVE, &err));
    assert_int_equal(retiring(), 0);
}

static void test_nobody_gets_slices_of_a_probed_drive(void **state)
{
    (void)state;
    struct row_claim taken;
    all_free();
    DO(ask(TASK_PROBE_DESTRUCTIVE, &err));
    assert_int_equal(retiring(), 4);
    REFUSED(ERR_FULL, "", claim(1, "c", &taken, &err));
    agent_says(TASK_RUNNING);
    report.slice_count = 0; /* given up */
    DO(send(&err));
    struct row_slice slice;
    assert_false(get(ROW_SLICE, "ns-0", &slice)); /* forgotten, not missed */
}

static void test_only_the_end_was_told(void **state)
{
    (void)state;
    struct row_slice slice;
    all_free();
    DO(ask(TASK_PROBE_DESTRUCTIVE, &err));
    slice_of(0)->id = (struct slice_id){"ns-new"}; /* all the reports between were lost */
    slice_of(0)->state = SLICE_BLANK;
    slice_of(0)->erased_seq = 0;
    report.slice_count = 1;
    agent_says(TASK_DONE);
    for (size_t i = 0; i < 4; i++) {
        struct slice_id id;
        slice_id(&id, i);
        assert_false(get(ROW_SLICE, id.v, &slice));
    }
    assert_true(get(ROW_SLICE, "ns-new", &slice));
    assert_false(slice.retire);
}

static void test_a_refused_probe_gives_the_slices_back(void **state)
{
    (void)state;
    struct row_claim taken;
    all_free();
    DO(ask(TASK_PROBE_DESTRUCTIVE, &err));
    slice_of(3)->state = SLICE_QUARANTINED;
    agent_says(TASK_WAITING);
    agent_says(TASK_REFUSED);
    assert_int_equal(retiring(), 1); /* the one in quarantine */
    DO(claim(3, "c", &taken, &err));
}

static void test_a_restored_database_forgets_its_tasks(void **state)
{
    (void)state;
    DO(ask(TASK_PROBE, &err));
    report.wants_revision += 100;
    DO(send(&err));
    assert_int_equal(wants_now().task_count, 0);
}

static void test_a_restored_database_keeps_what_is_under_way(void **state)
{
    (void)state;
    DO(ask(TASK_PROBE, &err));
    report.wants_revision += 100;
    agent_says(TASK_RUNNING);
    assert_true(is_wanted());
}

/* ---- firmware -----------------------------------------------------------------------------------------------------
 */

/* SHA-256 of "abcd". */
static const char abcd[] = "88d4266fd4e6338d13b845fcf289579d209c897823b9217da3e161936f031589";
static struct firmware_piece piece;

static bool put(const char *hex, struct err *why)
{
    piece = (struct firmware_piece){0};
    text_cut(piece.digest, sizeof(piece.digest), abcd);
    text_cut(piece.hex, sizeof(piece.hex), hex);
    return service_firmware_put(&service, &piece, NOW_MS, why);
}

static bool update(enum firmware_action action, struct err *why)
{
    struct task_request request = {
        .serial = "SER1", .kind = TASK_FIRMWARE, .action_given = action != FIRMWARE_ACTION_COUNT};
    request.firmware = (struct firmware_job){.size_bytes = 4, .action = request.action_given ? action : FIRMWARE_NOW};
    text_cut(request.firmware.digest, sizeof(request.firmware.digest), abcd);
    return service_task(&service, &request, &row, why);
}

static void drive_takes_firmware(bool no_reset)
{
    report.drives[0].seen.fw = (struct drive_firmware){.can_update = true, .no_reset = no_reset, .slot_count = 2};
    DO(send(&err));
}

static void test_firmware_needs_its_image(void **state)
{
    (void)state;
    REFUSED(ERR_INPUT, "takes no firmware", update(FIRMWARE_NOW, &err));
    drive_takes_firmware(true);
    REFUSED(ERR_MISSING, "firmware piece", update(FIRMWARE_NOW, &err));
    DO(put("61626364ff", &err));
    REFUSED(ERR_CONFLICT, "5 of 4 bytes", update(FIRMWARE_NOW, &err));
    DO(put("61626365", &err));
    REFUSED(ERR_CONFLICT, "does not have that digest", update(FIRMWARE_NOW, &err));
    DO(put("61626364", &err));
    DO(update(FIRMWARE_NOW, &err));
    DO(service_firmware_get(&service, &piece, &err));
    assert_string_equal(piece.hex, "61626364");
    agent_says(TASK_DONE);
    REFUSED(ERR_MISSING, "", service_firmware_get(&service, &piece, &err)); /* nobody needs it any more */
}

static void test_pieces_that_make_no_sense(void **state)
{
    static const char *const rows[] = {"", "1", "zz", "6162636 ", "6162636G"};
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        REFUSED(ERR_INPUT, "piece", put(rows[i], &err));
}

static void test_an_image_that_was_left_goes(void **state)
{
    (void)state;
    DO(put("61626364", &err));
    struct firmware_piece other = {.digest = "", .hex = "00"};
    memset(other.digest, 'a', FIRMWARE_DIGEST_HEX - 1);
    DO(service_firmware_put(&service, &other, NOW_MS + 25ull * 3600 * 1000, &err));
    REFUSED(ERR_MISSING, "", service_firmware_get(&service, &piece, &err));
    DO(service_firmware_get(&service, &other, &err));
}

static void test_how_firmware_is_activated(void **state)
{
    (void)state;
    DO(put("61626364", &err));
    drive_takes_firmware(false);
    REFUSED(ERR_INPUT, "without a reset", update(FIRMWARE_NOW, &err));
    DO(update(FIRMWARE_ACTION_COUNT, &err)); /* not said: as the drive can */
    assert_int_equal(wants_now().tasks[0].firmware.action, FIRMWARE_RESET);
    agent_says(TASK_FAILED);
    DO(put("61626364", &err));
    drive_takes_firmware(true);
    DO(update(FIRMWARE_ACTION_COUNT, &err));
    assert_int_equal(wants_now().tasks[0].firmware.action, FIRMWARE_NOW);
}

static void test_firmware_under_slices_in_use(void **state)
{
    (void)state;
    struct row_claim taken;
    DO(put("61626364", &err));
    all_free();
    DO(claim(1, "c", &taken, &err));
    drive_takes_firmware(false);
    REFUSED(ERR_UNSAFE, "in use", update(FIRMWARE_RESET, &err));
    drive_takes_firmware(true);
    DO(update(FIRMWARE_NOW, &err));
}

static void test_firmware_of_a_drive_with_data(void **state)
{
    (void)state;
    DO(put("61626364", &err));
    drive_takes_firmware(true);
    foreign_add(&report.drives[0].seen.foreign, FOREIGN_MOUNT, (struct nsid){1}, "/");
    DO(send(&err));
    REFUSED(ERR_UNSAFE, "mounted", update(FIRMWARE_NOW, &err));
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_wanted_until_its_end_is_reported),
        TEST(test_the_end_of_another_task_ends_nothing),
        TEST(test_one_at_a_time),
        TEST(test_no_such_drive),
        TEST(test_destructive_wants_an_empty_adopted_drive),
        TEST(test_nobody_gets_slices_of_a_probed_drive),
        TEST(test_only_the_end_was_told),
        TEST(test_a_refused_probe_gives_the_slices_back),
        TEST(test_a_restored_database_forgets_its_tasks),
        TEST(test_a_restored_database_keeps_what_is_under_way),
        TEST(test_firmware_needs_its_image),
        TEST(test_pieces_that_make_no_sense),
        TEST(test_an_image_that_was_left_goes),
        TEST(test_how_firmware_is_activated),
        TEST(test_firmware_under_slices_in_use),
        TEST(test_firmware_of_a_drive_with_data),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
