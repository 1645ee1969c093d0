/* What a software drive tells of itself: SMART, effects, features; and deleting all there is. */
#include "soft_fixture.h"

static void use(struct soft_drive *drive, uint32_t nsid, uint8_t opcode, unsigned times, uint32_t blocks)
{
    static uint8_t data[64 * 512];
    for (unsigned i = 0; i < times; i++) {
        struct nvme_cmd cmd = {
            .opcode = opcode, .nsid = nsid, .cdw12 = blocks - 1, .data = data, .data_len = blocks * 512};
        if (opcode == NVME_IO_WRITE_ZEROES) {
            cmd.data = NULL;
            cmd.data_len = 0;
        }
        assert_int_equal(io(drive, &cmd), 0);
    }
}

/* "reads writes units-read units-written" */
static const char *counters(struct soft_drive *drive, uint32_t nsid)
{
    static char text[100];
    struct nvme_wire_smart log;
    assert_int_equal(get_log(drive, NVME_LID_SMART, nsid, &log, sizeof(log)), 0);
    snprintf(text, sizeof(text), "%ju %ju %ju %ju", (uintmax_t)le128_get(log.host_reads),
             (uintmax_t)le128_get(log.host_writes), (uintmax_t)le128_get(log.units_read),
             (uintmax_t)le128_get(log.units_written));
    return text;
}

static void test_smart(void **state)
{
    struct nvme_wire_smart log;
    struct nvme_wire_ctrl ctrl;
    struct soft_drive *drive = make(*state, BASE "smart_per_namespace = yes\n");
    const uint32_t a = add_ns(drive, MIB), b = add_ns(drive, MIB);
    assert_int_equal(create(drive, MIB, 0, NULL), 0);
    assert_int_equal(identify(drive, NVME_CNS_CTRL, 0, &ctrl), 0);
    assert_true(ctrl.lpa & NVME_LPA_SMART_NS);
    use(drive, a, NVME_IO_WRITE, 100, 10); /* exactly one unit */
    use(drive, a, NVME_IO_READ, 1, 1);     /* rounded up */
    use(drive, b, NVME_IO_WRITE, 1, 1);
    use(drive, b, NVME_IO_WRITE_ZEROES, 1, 64); /* is no write of data */
    assert_string_equal(counters(drive, a), "1 100 1 1");
    assert_string_equal(counters(drive, b), "0 1 0 1");
    assert_string_equal(counters(drive, 0), "1 101 1 2");
    assert_string_equal(counters(drive, NVME_NSID_ALL), "1 101 1 2");
    assert_int_equal(get_log(drive, NVME_LID_SMART, 3, &log, sizeof(log)), 0x00b); /* not attached */
    assert_int_equal(get_log(drive, NVME_LID_SMART, 9, &log, sizeof(log)), 0x00b);
    assert_int_equal(get_log(drive, NVME_LID_ERROR, a, &log, sizeof(log)), 0x002);

    assert_int_equal(attachment(drive, b, NVME_NS_DETACH), 0);
    assert_int_equal(delete_ns(drive, b), 0);
    assert_int_equal(add_ns(drive, MIB), b);
    assert_string_equal(counters(drive, b), "0 0 0 0");
    assert_string_equal(counters(drive, 0), "1 101 1 2"); /* the drive forgets nothing, */
    drive = restart(*state);
    assert_string_equal(counters(drive, 0), "1 101 1 2"); /* whatever happens */
    assert_string_equal(counters(drive, a), "1 100 1 1");
}

static void test_smart_of_drive(void **state)
{
    struct nvme_wire_smart log;
    struct soft_drive *drive = make(*state, BASE);
    add_ns(drive, MIB);
    assert_int_equal(get_log(drive, NVME_LID_SMART, 1, &log, sizeof(log)), 0x002); /* LPA bit 0 is 0 */
    assert_int_equal(get_log(drive, NVME_LID_SMART, 0, &log, sizeof(log)), 0);
    assert_int_equal(le16_get(log.temperature), 303);
    assert_int_equal(log.available_spare, 100);
    assert_int_equal(log.critical_warning, 0);
    assert_int_equal(le128_get(log.power_cycles), 1);
    soft_drive_tick(drive, 1000);
    soft_drive_tick(drive, 1000 + 2 * 3600000);
    drive = restart(*state);
    assert_int_equal(get_log(drive, NVME_LID_SMART, 0, &log, sizeof(log)), 0);
    assert_int_equal(le128_get(log.power_cycles), 2);
    assert_int_equal(le128_get(log.power_on_hours), 2);
    const bool was_shut_down = ((struct bench *)*state)->files; /* in memory it is a power cut */
    assert_int_equal(le128_get(log.unsafe_shutdowns), was_shut_down ? 0 : 1);
    soft_drive_set_present(drive, false);
    soft_drive_set_present(drive, true);
    assert_int_equal(get_log(drive, NVME_LID_SMART, 0, &log, sizeof(log)), 0);
    assert_int_equal(le128_get(log.unsafe_shutdowns), was_shut_down ? 1 : 2);
}

static void test_effects(void **state)
{
    struct nvme_wire_effects log;
    struct soft_drive *drive = make(*state, BASE "sanitize = block\nsanitize_ns = yes\n");
    static const struct {
        uint8_t opcode;
        uint32_t effects;
    } rows[] = {
        {0x02, 0x00001}, {0x06, 0x00001}, {0x08, 0x00001}, {0x09, 0x00001}, {0x0a, 0x00001},
        {0x0c, 0x00001}, {0x0d, 0x00009}, {0x10, 0x00011}, {0x11, 0x00001}, {0x15, 0x00009},
        {0x18, 0x00001}, {0x80, 0x10007}, {0x84, 0x20003}, {0x8c, 0x10003},
    };
    assert_int_equal(get_log(drive, NVME_LID_EFFECTS, 0, &log, sizeof(log)), 0);
    for (unsigned opcode = 0; opcode < 256; opcode++) {
        uint32_t want = 0;
        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
            if (rows[i].opcode == opcode)
                want = rows[i].effects;
        if (le32_get(log.admin[opcode]) != want)
            fail_msg("opcode %02xh: got %05x, want %05x", opcode, le32_get(log.admin[opcode]), want);
    }
}

/* --- Features ---------------------------------------------------------------------------------------------------- */

static const struct {
    const char *rule;
    struct nvme_cmd cmd;
    uint16_t status;
    uint32_t result;
} feature_rows[] = {
    {"arbitration", {.opcode = 0x0a, .cdw10 = 0x01}, 0, 7},
    {"is set", {.opcode = 0x09, .cdw10 = 0x01, .cdw11 = 0x01020303}, 0, 0x01020303},
    {"and read back", {.opcode = 0x0a, .cdw10 = 0x01}, 0, 0x01020303},
    {"but not its reserved bits", {.opcode = 0x09, .cdw10 = 0x01, .cdw11 = 0x08}, 0x002, 0},
    {"power management", {.opcode = 0x0a, .cdw10 = 0x02}, 0, 0},
    {"has one power state", {.opcode = 0x09, .cdw10 = 0x02, .cdw11 = 1}, 0x002, 0},
    {"the temperature threshold is WCTEMP", {.opcode = 0x0a, .cdw10 = 0x04}, 0, 343},
    {"that under it is none", {.opcode = 0x0a, .cdw10 = 0x04, .cdw11 = 1 << 20}, 0, 0},
    {"it is set", {.opcode = 0x09, .cdw10 = 0x04, .cdw11 = 350}, 0, 350},
    {"for all sensors too", {.opcode = 0x09, .cdw10 = 0x04, .cdw11 = 0xf015e}, 0, 350},
    {"there is no sensor 3", {.opcode = 0x0a, .cdw10 = 0x04, .cdw11 = 3 << 16}, 0x002, 0},
    {"error recovery of all", {.opcode = 0x0a, .cdw10 = 0x05, .nsid = NVME_NSID_ALL}, 0, 0},
    {"of a namespace", {.opcode = 0x0a, .cdw10 = 0x05, .nsid = 1}, 0, 0},
    {"of none", {.opcode = 0x0a, .cdw10 = 0x05, .nsid = 2}, 0x00b, 0},
    {"DULBE is not there", {.opcode = 0x09, .cdw10 = 0x05, .cdw11 = 1 << 16, .nsid = 1}, 0x002, 0},
    {"the number of queues", {.opcode = 0x0a, .cdw10 = 0x07}, 0, 0x003f003f},
    {"write atomicity", {.opcode = 0x09, .cdw10 = 0x0a, .cdw11 = 1}, 0, 1},
    {"of a namespace there is none", {.opcode = 0x09, .cdw10 = 0x0a, .cdw11 = 1, .nsid = 1}, 0x10f, 0},
    {"events", {.opcode = 0x0a, .cdw10 = 0x0b}, 0, 0},
    {"a saved value", {.opcode = 0x0a, .cdw10 = 0x0b | 2 << 8}, 0x002, 0},
    {"to save", {.opcode = 0x09, .cdw10 = 0x0b | 1u << 31}, 0x002, 0},
    {"the volatile write cache, which there is not", {.opcode = 0x0a, .cdw10 = 0x06}, 0x002, 0},
};

static void test_features(void **state)
{
    struct soft_drive *drive = make(*state, BASE);
    add_ns(drive, MIB);
    for (size_t i = 0; i < sizeof(feature_rows) / sizeof(feature_rows[0]); i++) {
        struct nvme_cmd cmd = feature_rows[i].cmd;
        const uint16_t status = admin(drive, &cmd);
        if (status != feature_rows[i].status || cmd.result != feature_rows[i].result)
            fail_msg("%s: got 0x%03x 0x%x, want 0x%03x 0x%x", feature_rows[i].rule, status, cmd.result,
                     feature_rows[i].status, feature_rows[i].result);
    }
    soft_drive_ctrl_reset(drive, 1);
    struct nvme_cmd cmd = {.opcode = 0x0a, .cdw10 = 0x01};
    assert_int_equal(admin(drive, &cmd), 0);
    assert_int_equal(cmd.result, 7); /* a reset forgets them */
}

/* --- Deleting all ------------------------------------------------------------------------------------------------ */

static void test_delete_all(void **state)
{
    struct soft_ns_view views[8];
    struct soft_drive *drive = make(*state, BASE);
    const uint32_t a = add_ns(drive, MIB);
    assert_int_equal(create(drive, MIB, 0, NULL), 0);
    assert_int_equal(delete_ns(drive, NVME_NSID_ALL), 0x00c);
    assert_int_equal(soft_drive_ns(drive, views, 8), 2); /* all or none */
    assert_int_equal(attachment(drive, a, NVME_NS_DETACH), 0);
    assert_int_equal(delete_ns(drive, NVME_NSID_ALL), 0);
    assert_int_equal(soft_drive_ns(drive, views, 8), 0);
    assert_int_equal(delete_ns(drive, NVME_NSID_ALL), 0); /* none is all there are */
    assert_int_equal(soft_drive_free_bytes(drive), 64 * MIB);
    check_whole(drive);
}

static void test_delete_attached(void **state)
{
    struct soft_ns_view views[8];
    struct nvme_wire_ns_list list;
    struct soft_drive *drive = make(*state, BASE "delete_attached = yes\n");
    const uint32_t a = add_ns(drive, MIB);
    assert_int_equal(get_log(drive, NVME_LID_CHANGED_NS, 0, &list, sizeof(list)), 0);
    assert_int_equal(delete_ns(drive, a), 0);
    assert_false(soft_drive_visible(drive, a));
    assert_int_equal(get_log(drive, NVME_LID_CHANGED_NS, 0, &list, sizeof(list)), 0);
    assert_int_equal(le32_get(list.nsid[0]), a); /* the host is told */
    add_ns(drive, MIB);
    add_ns(drive, MIB);
    assert_int_equal(delete_ns(drive, NVME_NSID_ALL), 0);
    assert_int_equal(soft_drive_ns(drive, views, 8), 0);
    check_whole(drive);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(test_smart),    BOTH(test_smart_of_drive), BOTH(test_effects),
        BOTH(test_features), BOTH(test_delete_all),     BOTH(test_delete_attached),
    };
    return cmocka_run_group_tests_name("soft_log", tests, NULL, NULL);
}
