#include "nvme/soft_fwimage.h"
#include "soft_fixture.h"

#define FW BASE "firmware = OLD1\n"

static uint16_t download(struct soft_drive *drive, uint8_t *bytes, uint32_t offset, uint32_t len)
{
    struct nvme_cmd cmd = {.opcode = NVME_OP_FW_DOWNLOAD,
                           .cdw10 = len / 4 - 1,
                           .cdw11 = offset / 4,
                           .data = bytes + offset,
                           .data_len = len};
    return admin(drive, &cmd);
}

static uint16_t commit(struct soft_drive *drive, unsigned slot, enum nvme_fw_action action)
{
    struct nvme_cmd cmd = {.opcode = NVME_OP_FW_COMMIT, .cdw10 = nvme_fw_commit_cdw10(slot, action)};
    return admin(drive, &cmd);
}

static void put(struct soft_drive *drive, const char *revision, uint32_t flags)
{
    static uint8_t bytes[SOFT_FWIMAGE_BYTES];
    struct soft_fwimage image = {.flags = flags};
    snprintf(image.revision, sizeof(image.revision), "%s", revision);
    soft_fwimage_build(&image, bytes);
    for (uint32_t at = 0; at < sizeof(bytes); at += 4096)
        assert_int_equal(download(drive, bytes, at, 4096), 0);
}

/* What the drive says of its firmware: "REVISION active/next SLOT1,SLOT2,..." */
static const char *told(struct soft_drive *drive)
{
    static char text[120];
    struct nvme_wire_ctrl ctrl;
    struct nvme_wire_firmware log;
    assert_int_equal(identify(drive, NVME_CNS_CTRL, 0, &ctrl), 0);
    assert_int_equal(get_log(drive, NVME_LID_FIRMWARE, 0, &log, sizeof(log)), 0);
    int len = snprintf(text, sizeof(text), "%.8s %u/%u", ctrl.fr, log.afi & 7, log.afi >> 4 & 7);
    for (size_t i = 0; i < 7; i++)
        if (log.revision[i][0] != '\0')
            len += snprintf(text + len, sizeof(text) - (size_t)len, " %zu=%.8s", i + 1, log.revision[i]);
    return text;
}

/* --- Images ------------------------------------------------------------------------------------------------------ */

static void test_image(void **state)
{
    (void)state;
    static uint8_t bytes[SOFT_FWIMAGE_BYTES];
    const struct soft_fwimage image = {.revision = "AB 1", .flags = SOFT_FWIMAGE_NS_MANAGEMENT};
    struct soft_fwimage got;
    soft_fwimage_build(&image, bytes);
    assert_true(soft_fwimage_parse(bytes, sizeof(bytes), &got));
    assert_string_equal(got.revision, "AB 1");
    assert_int_equal(got.flags, SOFT_FWIMAGE_NS_MANAGEMENT);
    assert_false(soft_fwimage_parse(bytes, sizeof(bytes) - 4, &got));
    static const size_t places[] = {0, 8, 12, 16, 24, 32, SOFT_FWIMAGE_BYTES - 1};
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        bytes[places[i]] ^= 1;
        if (soft_fwimage_parse(bytes, sizeof(bytes), &got))
            fail_msg("an image with byte %zu damaged is taken", places[i]);
        bytes[places[i]] ^= 1;
    }
    uint32_t flag;
    struct err err = {0};
    assert_true(soft_fwimage_word("slow", &flag, &err));
    assert_int_equal(flag, SOFT_FWIMAGE_SLOW);
    assert_false(soft_fwimage_word("fast", &flag, &err));
    assert_non_null(strstr(err.hint, "needs-reset"));
}

/* --- What is refused --------------------------------------------------------------------------------------------- */

static void test_refusals(void **state)
{
    static uint8_t bytes[SOFT_FWIMAGE_BYTES];
    struct soft_drive *drive = make(*state, FW "firmware_slot1_read_only = yes\n");
#define PIECE .data = bytes, .data_len = 4096
    const struct {
        const char *rule;
        struct nvme_cmd cmd;
        uint16_t status;
    } rows[] = {
        {"a piece off the granule", {.opcode = 0x11, .cdw10 = 511, .data = bytes, .data_len = 2048}, 0x002},
        {"a piece at an offset off the granule", {.opcode = 0x11, .cdw10 = 1023, .cdw11 = 512, PIECE}, 0x002},
        {"a piece of another length than its data", {.opcode = 0x11, .cdw10 = 2047, PIECE}, 0x002},
        {"a piece for a namespace", {.opcode = 0x11, .nsid = 1, .cdw10 = 1023, PIECE}, 0x002},
        {"a piece with CDW12", {.opcode = 0x11, .cdw10 = 1023, .cdw12 = 1, PIECE}, 0x002},
        {"a piece beyond any image", {.opcode = 0x11, .cdw10 = 1023, .cdw11 = 16384, PIECE}, 0x002},
        {"a piece far beyond", {.opcode = 0x11, .cdw10 = 1023, .cdw11 = 0xfffffc00, PIECE}, 0x002},
        {"a commit of nothing", {.opcode = 0x10, .cdw10 = 1 << 3 | 2}, 0x107},
        {"a commit to a slot that is not there", {.opcode = 0x10, .cdw10 = 1 << 3 | 4}, 0x106},
        {"a commit to a slot that is read-only", {.opcode = 0x10, .cdw10 = 1 << 3 | 1}, 0x106},
        {"an activation of a slot that is not there", {.opcode = 0x10, .cdw10 = 2 << 3 | 7}, 0x106},
        {"an activation of an empty slot", {.opcode = 0x10, .cdw10 = 2 << 3 | 2}, 0x107},
        {"an activation of no slot", {.opcode = 0x10, .cdw10 = 2 << 3}, 0x106},
        {"an activation at once of an empty slot", {.opcode = 0x10, .cdw10 = 3 << 3 | 3}, 0x107},
        {"a boot partition", {.opcode = 0x10, .cdw10 = 6 << 3 | 1}, 0x002},
        {"a reserved action", {.opcode = 0x10, .cdw10 = 4 << 3 | 1}, 0x002},
        {"a reserved bit", {.opcode = 0x10, .cdw10 = 1 << 6 | 2 << 3 | 1}, 0x002},
        {"a commit for a namespace", {.opcode = 0x10, .nsid = 1, .cdw10 = 2 << 3 | 1}, 0x002},
        {"a commit with data", {.opcode = 0x10, .cdw10 = 2 << 3 | 1, PIECE}, 0x002},
    };
#undef PIECE
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct nvme_cmd cmd = rows[i].cmd;
        const uint16_t got = admin(drive, &cmd);
        if (got != rows[i].status)
            fail_msg("%s: got 0x%03x, want 0x%03x", rows[i].rule, got, rows[i].status);
    }
    assert_string_equal(told(drive), "OLD1     1/0 1=OLD1    ");
}

static void test_none(void **state)
{
    static uint8_t bytes[4096];
    struct nvme_wire_ctrl ctrl;
    struct soft_drive *drive = make(*state, FW "firmware_slots = 0\n");
    assert_int_equal(download(drive, bytes, 0, 4096), 0x001);
    assert_int_equal(commit(drive, 1, NVME_FW_ACTIVATE), 0x001);
    assert_int_equal(identify(drive, NVME_CNS_CTRL, 0, &ctrl), 0);
    assert_int_equal(le16_get(ctrl.oacs) & NVME_OACS_FIRMWARE, 0);
    assert_string_equal(told(drive), "OLD1     1/0 1=OLD1    ");
}

static void test_identify(void **state)
{
    struct nvme_wire_ctrl ctrl;
    struct soft_drive *drive = make(*state, FW "firmware_slots = 5\nfirmware_slot1_read_only = yes\n"
                                               "firmware_granularity = 8KiB\nfirmware_max_ms = 2500\n");
    assert_int_equal(identify(drive, NVME_CNS_CTRL, 0, &ctrl), 0);
    assert_true(le16_get(ctrl.oacs) & NVME_OACS_FIRMWARE);
    assert_int_equal(ctrl.frmw, 0x1b); /* slot 1 read-only, 5 slots, activation without a reset */
    assert_int_equal(ctrl.fwug, 2);
    assert_int_equal(le16_get(ctrl.mtfa), 25);
}

/* --- Downloads --------------------------------------------------------------------------------------------------- */

static void test_download(void **state)
{
    static uint8_t bytes[SOFT_FWIMAGE_BYTES];
    struct soft_drive *drive = make(*state, FW "firmware_granularity = 0\n");
    const struct soft_fwimage image = {.revision = "NEW1"};
    soft_fwimage_build(&image, bytes);
    assert_int_equal(download(drive, bytes, 32768, 32768), 0); /* in any order */
    assert_int_equal(download(drive, bytes, 8192, 24576), 0);
    assert_int_equal(commit(drive, 2, NVME_FW_REPLACE), 0x107); /* there is a hole, */
    assert_int_equal(download(drive, bytes, 0, 8192), 0);
    assert_int_equal(commit(drive, 2, NVME_FW_REPLACE), 0x107); /* and what was there is gone */

    assert_int_equal(download(drive, bytes, 0, 32768), 0);
    assert_int_equal(download(drive, bytes, 16384, 32768), 0x114); /* overlaps */
    assert_int_equal(download(drive, bytes, 0, 8), 0);             /* begins anew */
    assert_int_equal(download(drive, bytes, 8, SOFT_FWIMAGE_BYTES - 8), 0);
    assert_int_equal(commit(drive, 2, NVME_FW_REPLACE), 0);
    assert_string_equal(told(drive), "OLD1     1/0 1=OLD1     2=NEW1    ");
    assert_int_equal(commit(drive, 3, NVME_FW_REPLACE), 0x107); /* used up */

    bytes[100] ^= 1;
    assert_int_equal(download(drive, bytes, 0, SOFT_FWIMAGE_BYTES), 0);
    assert_int_equal(commit(drive, 3, NVME_FW_REPLACE_ACTIVATE), 0x107); /* damaged */
    put(drive, "NEW2", 0);
    soft_drive_ctrl_reset(drive, 1);
    assert_int_equal(commit(drive, 3, NVME_FW_REPLACE), 0x107); /* a reset discards */
    put(drive, "NEW2", 0);
    drive = restart(*state);
    assert_int_equal(commit(drive, 3, NVME_FW_REPLACE), 0x107); /* and so does a loss of power */
    assert_string_equal(told(drive), "OLD1     1/0 1=OLD1     2=NEW1    ");
    check_whole(drive);
}

/* --- Slots and activation ---------------------------------------------------------------------------------------- */

static void test_slots(void **state)
{
    struct soft_drive *drive = make(*state, FW);
    put(drive, "A", 0);
    assert_int_equal(commit(drive, 0, NVME_FW_REPLACE), 0); /* the drive chooses: an empty one, */
    put(drive, "B", 0);
    assert_int_equal(commit(drive, 0, NVME_FW_REPLACE), 0);
    assert_string_equal(told(drive), "OLD1     1/0 1=OLD1     2=A        3=B       ");
    put(drive, "C", 0);
    assert_int_equal(commit(drive, 0, NVME_FW_REPLACE), 0); /* else one that is not active */
    assert_string_equal(told(drive), "OLD1     1/0 1=OLD1     2=C        3=B       ");
    assert_int_equal(commit(drive, 3, NVME_FW_ACTIVATE), 0);
    assert_string_equal(told(drive), "OLD1     1/3 1=OLD1     2=C        3=B       ");
    assert_int_equal(commit(drive, 2, NVME_FW_ACTIVATE), 0); /* the last word counts */
    soft_drive_ctrl_reset(drive, 1);
    assert_string_equal(told(drive), "C        2/0 1=OLD1     2=C        3=B       ");
    assert_int_equal(commit(drive, 1, NVME_FW_ACTIVATE_NOW), 0); /* nothing new: what is in the slot */
    assert_string_equal(told(drive), "OLD1     1/0 1=OLD1     2=C        3=B       ");
    put(drive, "D", 0);
    assert_int_equal(commit(drive, 1, NVME_FW_REPLACE), 0); /* what runs is a copy */
    soft_drive_ctrl_reset(drive, 1);
    assert_string_equal(told(drive), "OLD1     1/0 1=D        2=C        3=B       ");
    drive = restart(*state);
    assert_string_equal(told(drive), "D        1/0 1=D        2=C        3=B       ");
    put(drive, "E", 0);
    assert_int_equal(commit(drive, 2, NVME_FW_ACTIVATE_NOW), 0);
    drive = restart(*state);
    assert_string_equal(told(drive), "E        2/0 1=D        2=E        3=B       ");
    check_whole(drive);
}

/* `resets` has, in order, what is done; the revision after each of them. */
static void test_activation(void **state)
{
    static const struct {
        const char *rule, *key;
        uint32_t flags;
        enum nvme_fw_action action;
        uint16_t status;
        const char *at_once, *ctrl_reset, *subsystem_reset, *power;
    } rows[] = {
        {"at once", "", 0, NVME_FW_ACTIVATE_NOW, 0, "NEW", "NEW", "NEW", "NEW"},
        {"at once is possible, but not asked for", "", 0, NVME_FW_REPLACE_ACTIVATE, 0, "OLD1", "NEW", "NEW", "NEW"},
        {"an image that needs a reset", "", SOFT_FWIMAGE_NEEDS_RESET, NVME_FW_ACTIVATE_NOW, 0x111, "OLD1", "NEW", "NEW",
         "NEW"},
        {"an image that takes too long", "", SOFT_FWIMAGE_SLOW, NVME_FW_ACTIVATE_NOW, 0x112, "OLD1", "OLD1", "OLD1",
         "OLD1"},
        {"which by a reset is no matter", "", SOFT_FWIMAGE_SLOW, NVME_FW_REPLACE_ACTIVATE, 0, "OLD1", "NEW", "NEW",
         "NEW"},
        {"an image that is prohibited", "", SOFT_FWIMAGE_PROHIBITED, NVME_FW_REPLACE_ACTIVATE, 0x113, "OLD1", "OLD1",
         "OLD1", "OLD1"},
        {"by a reset of the controller", "controller-reset", 0, NVME_FW_REPLACE_ACTIVATE, 0, "OLD1", "NEW", "NEW",
         "NEW"},
        {"by a reset of the controller, at once", "controller-reset", 0, NVME_FW_ACTIVATE_NOW, 0x111, "OLD1", "NEW",
         "NEW", "NEW"},
        {"by a reset of the subsystem", "subsystem-reset", 0, NVME_FW_REPLACE_ACTIVATE, 0x110, "OLD1", "OLD1", "NEW",
         "NEW"},
        {"by a power cycle", "power-cycle", 0, NVME_FW_ACTIVATE_NOW, 0x10b, "OLD1", "OLD1", "OLD1", "NEW"},
        {"into a slot only", "", 0, NVME_FW_REPLACE, 0, "OLD1", "OLD1", "OLD1", "OLD1"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char text[200], got[100], want[100];
        snprintf(text, sizeof(text), FW "%s%s\n", rows[i].key[0] ? "firmware_activation = " : "", rows[i].key);
        struct soft_drive *drive = make(*state, text);
        put(drive, "NEW", rows[i].flags);
        const uint16_t status = commit(drive, 2, rows[i].action);
        int len = snprintf(got, sizeof(got), "%03x %.*s", status, (int)strcspn(told(drive), " "), told(drive));
        soft_drive_ctrl_reset(drive, 1);
        len += snprintf(got + len, sizeof(got) - (size_t)len, " %.*s", (int)strcspn(told(drive), " "), told(drive));
        soft_drive_subsystem_reset(drive);
        len += snprintf(got + len, sizeof(got) - (size_t)len, " %.*s", (int)strcspn(told(drive), " "), told(drive));
        check_whole(drive);
        drive = restart(*state);
        snprintf(got + len, sizeof(got) - (size_t)len, " %.*s", (int)strcspn(told(drive), " "), told(drive));
        snprintf(want, sizeof(want), "%03x %s %s %s %s", rows[i].status, rows[i].at_once, rows[i].ctrl_reset,
                 rows[i].subsystem_reset, rows[i].power);
        if (strcmp(got, want) != 0)
            fail_msg("%s: got %s, want %s", rows[i].rule, got, want);
        teardown(state);
        setup(*state, ((struct bench *)*state)->files);
    }
}

/* --- Namespace management comes with it -------------------------------------------------------------------------- */

static void test_ns_management(void **state)
{
    struct nvme_wire_ctrl ctrl;
    struct nvme_wire_effects effects;
    struct nvme_wire_ns_list list;
    struct soft_drive *drive = make(*state, "capacity = 64MiB\ngranularity = 1MiB\nns_management = no\n");
    assert_int_equal(attachment(drive, 1, NVME_NS_DETACH), 0x001);
    assert_int_equal(identify(drive, NVME_CNS_ALLOCATED_NS_LIST, 0, &list), 0x002);
    put(drive, "NEW", SOFT_FWIMAGE_NS_MANAGEMENT);
    assert_int_equal(commit(drive, 2, NVME_FW_ACTIVATE_NOW), 0);
    assert_int_equal(identify(drive, NVME_CNS_CTRL, 0, &ctrl), 0);
    assert_true(le16_get(ctrl.oacs) & NVME_OACS_NS_MANAGEMENT);
    assert_int_equal(get_log(drive, NVME_LID_EFFECTS, 0, &effects, sizeof(effects)), 0);
    assert_true(le32_get(effects.admin[NVME_OP_NS_MANAGEMENT]) & NVME_EFFECT_SUPPORTED);
    assert_int_equal(identify(drive, NVME_CNS_ALLOCATED_NS_LIST, 0, &list), 0);
    assert_int_equal(attachment(drive, 1, NVME_NS_DETACH), 0);
    assert_int_equal(delete_ns(drive, 1), 0);
    assert_int_equal(create(drive, MIB, 0, NULL), 0);
    drive = restart(*state);
    assert_int_equal(create(drive, MIB, 0, NULL), 0);
    assert_int_equal(commit(drive, 1, NVME_FW_ACTIVATE_NOW), 0); /* and goes with it */
    assert_int_equal(create(drive, MIB, 0, NULL), 0x001);
    assert_int_equal(identify(drive, NVME_CNS_CTRL, 0, &ctrl), 0);
    assert_false(le16_get(ctrl.oacs) & NVME_OACS_NS_MANAGEMENT);
    check_whole(drive);
}

static void test_sanitize(void **state)
{
    static uint8_t bytes[4096];
    struct soft_drive *drive = make(*state, FW "sanitize = block\nsanitize_ms = 100\n");
    put(drive, "NEW", 0);
    assert_int_equal(sanitize(drive, NVME_OP_SANITIZE, 0, NVME_SANACT_BLOCK), 0);
    assert_int_equal(commit(drive, 2, NVME_FW_ACTIVATE_NOW), 0x01d);
    assert_int_equal(download(drive, bytes, 0, 4096), 0x01d);
    soft_drive_tick(drive, 1000);
    assert_int_equal(commit(drive, 2, NVME_FW_ACTIVATE_NOW), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_image), BOTH(test_refusals),      BOTH(test_none),
        BOTH(test_identify),          BOTH(test_download),      BOTH(test_slots),
        BOTH(test_activation),        BOTH(test_ns_management), BOTH(test_sanitize),
    };
    return cmocka_run_group_tests_name("soft_firmware", tests, NULL, NULL);
}
