/* Orders of tasks, carried out on software drives in memory: agent/order.h. */
#include "agent/order.h"

#include "base/text.h"
#include "nvme/nvme_soft.h"
#include "nvme/soft_fwimage.h"

#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct soft_drive *drive;
static struct nvme_port port;
static struct order_env env;
static struct order_done done;
static struct order order;
static uint8_t image[SOFT_FWIMAGE_BYTES];
static unsigned pieces;
static bool foreign;

static uint64_t unix_ms(void *ctx)
{
    static uint64_t now_ms = 1700000000000;
    (void)ctx;
    return now_ms++;
}

static void sleep_ms(void *ctx, uint32_t ms)
{
    (void)ctx;
    (void)ms;
}

static void tell_progress(void *ctx, const struct order *which, unsigned percent)
{
    (void)ctx;
    assert_ptr_equal(which, &order);
    assert_true(percent <= 100);
}

static void look(void *ctx, const struct drive_ident *ident, struct nsid nsid, const struct nvme_node *node,
                 struct foreign_list *list)
{
    (void)ctx;
    (void)ident;
    (void)node;
    if (foreign)
        foreign_add(list, FOREIGN_DATA, nsid, "data");
}

static bool get_piece(void *ctx, const char *digest, uint32_t number, uint8_t *to, uint32_t len, struct err *err)
{
    (void)ctx;
    (void)err;
    assert_int_equal(strlen(digest), 64);
    assert_true(number * FIRMWARE_PIECE + len <= sizeof(image));
    memcpy(to, image + number * FIRMWARE_PIECE, len);
    pieces++;
    return true;
}

static void start(const char *more)
{
    struct soft_profile profile;
    struct err err = {0};
    struct order_list list;
    char text[400];
    snprintf(text, sizeof(text), "model = SOFT\nfirmware = OLD\ncapacity = 16MiB\nnn = 16\n%s", more);
    if (!soft_profile_parse("test", text, strlen(text), &profile, &err))
        fail_msg("%s", err.msg);
    drive = soft_drive_make_mem(&profile, "A", 1);
    soft_port(&drive, 1, &port);
    env = (struct order_env){.nvme = &port,
                             .host = "h1",
                             .foreign = look,
                             .unix_ms = unix_ms,
                             .sleep_ms = sleep_ms,
                             .progress = tell_progress,
                             .firmware = get_piece};
    foreign = false;
    pieces = 0;
    assert_true(order_list(&env, &list, &err));
    order = (struct order){.kind = ORDER_FIRMWARE, .ident = list.idents[0], .task = {"t"}};
}

static int teardown(void **state)
{
    (void)state;
    port.close(port.self);
    soft_drive_free(drive);
    free(done.seen);
    done.seen = NULL;
    return 0;
}

static void image_is(uint32_t flags)
{
    uint8_t hash[crypto_hash_sha256_BYTES];
    soft_fwimage_build(&(struct soft_fwimage){.revision = "NEW", .flags = flags}, image);
    crypto_hash_sha256(hash, image, sizeof(image));
    text_hex(order.job.digest, hash, sizeof(hash));
    order.job.size_bytes = sizeof(image);
}

static void run(void)
{
    free(done.seen);
    order_run(&env, &order, &done);
}

static void test_new_firmware_at_once(void **state)
{
    (void)state;
    start("ns_management = no");
    image_is(SOFT_FWIMAGE_NS_MANAGEMENT);
    run();
    if (!done.ok)
        fail_msg("%s", done.err.msg);
    assert_string_equal(done.result.firmware_was, "OLD");
    assert_string_equal(done.result.firmware_is, "NEW");
    assert_false(done.result.reset_needed);
    assert_int_equal(pieces, 1);
    assert_true(done.seen->caps.ns_management); /* what it can is asked anew */
    assert_true(drive_ident_eq(&done.seen->ident, &order.ident));
    assert_int_equal(done.seen->fw.active, 2);
    assert_string_equal(done.seen->fw.slots[1].revision, "NEW");
}

static void test_firmware_that_needs_a_reset(void **state)
{
    static const struct {
        const char *rule, *profile;
        enum firmware_action action;
        uint8_t slot, next;
        bool reset_needed;
    } rows[] = {
        {"it lies in its slot", "", FIRMWARE_NONE, 2, 0, false},
        {"after the next reset", "", FIRMWARE_RESET, 2, 2, true},
        {"the drive says that it needs one", "firmware_activation = controller-reset", FIRMWARE_NOW, 3, 3, true},
        {"of the subsystem", "firmware_activation = subsystem-reset", FIRMWARE_NOW, 3, 3, true},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        start(rows[i].profile);
        image_is(0);
        order.job.action = rows[i].action;
        order.job.slot = rows[i].slot;
        run();
        if (!done.ok)
            fail_msg("%s: %s", rows[i].rule, done.err.msg);
        if (strcmp(done.result.firmware_is, "OLD") != 0 || done.result.reset_needed != rows[i].reset_needed ||
            done.seen->fw.next != rows[i].next || strcmp(done.seen->fw.slots[rows[i].slot - 1].revision, "NEW") != 0)
            fail_msg("%s: runs %s, reset %d, next %u", rows[i].rule, done.result.firmware_is, done.result.reset_needed,
                     done.seen->fw.next);
        teardown(state);
    }
    start("");
}

static void test_pieces_are_as_the_drive_wants_them(void **state)
{
    (void)state;
    start("firmware_granularity = 16KiB");
    image_is(0);
    run();
    if (!done.ok)
        fail_msg("%s", done.err.msg);
    assert_string_equal(done.result.firmware_is, "NEW");
}

static void test_what_never_reaches_the_drive(void **state)
{
    (void)state;
    struct soft_log_entry log[SOFT_LOG_MAX];
    start("");
    image_is(0);
    image[100] ^= 1;
    run();
    assert_false(done.ok);
    assert_int_equal(done.err.kind, ERR_CONFLICT); /* another digest */
    image[100] ^= 1;
    order.job.size_bytes = 6;
    run();
    assert_int_equal(done.err.kind, ERR_INPUT);
    order.job.size_bytes = sizeof(image);
    foreign = order.fresh = true;
    run();
    assert_int_equal(done.err.kind, ERR_UNSAFE);
    foreign = false;
    order.ident.nqn[0] = 'x'; /* another drive in its place */
    run();
    assert_int_equal(done.err.kind, ERR_MISSING);
    const size_t count = soft_drive_log(drive, log, SOFT_LOG_MAX);
    for (size_t i = 0; i < count; i++)
        assert_true(log[i].opcode != 0x10 && log[i].opcode != 0x11);
}

static void test_an_image_that_the_drive_refuses(void **state)
{
    (void)state;
    start("");
    image_is(SOFT_FWIMAGE_PROHIBITED);
    run();
    assert_false(done.ok);
    assert_non_null(strstr(done.err.msg, "commit"));
    assert_true(done.have_result); /* it tells how far it came */
    assert_string_equal(done.result.lines[0].check, "download");
    assert_string_equal(done.result.firmware_was, "OLD");
}

static void test_probe(void **state)
{
    static const struct {
        const char *rule, *profile;
        enum verdict verdict;
    } rows[] = {
        {"all there is", "fna = 0x04", VERDICT_QUALIFIED},
        {"no namespace management", "ns_management = no", VERDICT_LIMITED},
        {"erases by overwriting only", "fna = 0x07", VERDICT_LIMITED},
        {"without names", "nguid = zero\neui64 = zero", VERDICT_LIMITED},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        start(rows[i].profile);
        order.kind = ORDER_PROBE;
        run();
        if (!done.ok)
            fail_msg("%s: %s", rows[i].rule, done.err.msg);
        if (!done.have_result || done.result.verdict != rows[i].verdict || done.result.line_count < 10)
            fail_msg("%s: got %s", rows[i].rule, task_verdict_words[done.result.verdict]);
        teardown(state);
    }
    start("");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_teardown(name, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_new_firmware_at_once),
        TEST(test_firmware_that_needs_a_reset),
        TEST(test_pieces_are_as_the_drive_wants_them),
        TEST(test_what_never_reaches_the_drive),
        TEST(test_an_image_that_the_drive_refuses),
        TEST(test_probe),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
