/* The messages of vfio-user as bytes: what is taken, what is refused, what is sent. */
#include "base/rng.h"
#include "nvme/nvme_wire.h"
#include "softnvme/vfu_msg.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* In memory of just its length, so that a sanitizer sees who reads too far. */
static enum vfu_parsed parse(const uint8_t *bytes, size_t have, struct vfu_msg *out, const char **why)
{
    uint8_t *exact = malloc(have + (have == 0));
    memcpy(exact, bytes, have);
    const enum vfu_parsed how = vfu_msg_parse(exact, have, out, why);
    if (how == VFU_WHOLE && out->command == VFU_WRITE_MULTI)
        for (uint32_t i = 0; i < out->multi.count; i++)
            assert_true(vfu_multi(out, i).count <= 8);
    if (how == VFU_WHOLE && out->command == VFU_REGION_WRITE && out->io.count > 0)
        assert_true(out->io.data[out->io.count - 1] <= 255);
    if (how == VFU_WHOLE && out->command == VFU_SET_IRQS && out->irqs.flags & VFU_SET_BOOL && out->irqs.count > 0)
        assert_true(out->irqs.values[out->irqs.count - 1] <= 255);
    free(exact);
    return how;
}

static void test_parse(void **state)
{
    (void)state;
    static const struct {
        const char *rule;
        uint16_t command;
        uint32_t size, flags;
        uint32_t body[8];
        size_t have;
        enum vfu_parsed want;
    } rows[] = {
        {"nothing yet", VFU_GET_INFO, 32, 0, {0}, 0, VFU_MORE},
        {"half a header", VFU_GET_INFO, 32, 0, {0}, 15, VFU_MORE},
        {"a header without what belongs to it", VFU_GET_INFO, 32, 0, {0}, 16, VFU_MORE},
        {"one byte is missing", VFU_GET_INFO, 32, 0, {0}, 31, VFU_MORE},
        {"all there", VFU_GET_INFO, 32, 0, {16}, 32, VFU_WHOLE},
        {"nothing but a header", VFU_RESET, 16, 0, {0}, 16, VFU_WHOLE},
        {"shorter than a header", VFU_RESET, 15, 0, {0}, 16, VFU_REFUSED},
        {"of length 0", VFU_RESET, 0, 0, {0}, 16, VFU_REFUSED},
        {"longer than any", VFU_RESET, VFU_MSG_MAX + 1, 0, {0}, 16, VFU_REFUSED},
        {"a reply", VFU_RESET, 16, 1, {0}, 16, VFU_REFUSED},
        {"a type that is not known", VFU_RESET, 16, 2, {0}, 16, VFU_REFUSED},
        {"an unknown command is a message", 99, 16, 0, {0}, 16, VFU_WHOLE},
        {"a version without a number", VFU_VERSION, 18, 0, {0}, 18, VFU_REFUSED},
        {"a map that is cut off", VFU_DMA_MAP, 44, 0, {0}, 44, VFU_REFUSED},
        {"an unmap that is cut off", VFU_DMA_UNMAP, 36, 0, {0}, 36, VFU_REFUSED},
        {"a read of more than there may be", VFU_REGION_READ, 32, 0, {0, 0, 0, VFU_DATA_MAX + 1}, 32, VFU_REFUSED},
        {"a read", VFU_REGION_READ, 32, 0, {0, 0, 0, VFU_DATA_MAX}, 32, VFU_WHOLE},
        {"a write without its data", VFU_REGION_WRITE, 32, 0, {0, 0, 0, 4}, 32, VFU_REFUSED},
        {"a write with more data than it says", VFU_REGION_WRITE, 40, 0, {0, 0, 0, 4}, 40, VFU_REFUSED},
        {"a write", VFU_REGION_WRITE, 36, 0, {0, 0, 0, 4}, 36, VFU_WHOLE},
        {"many writes, of which one is missing", VFU_WRITE_MULTI, 48, 0, {2}, 48, VFU_REFUSED},
        {"so many writes that their length wraps", VFU_WRITE_MULTI, 24, 0, {0, 0x20000000}, 24, VFU_REFUSED},
        {"many writes, one of nine bytes", VFU_WRITE_MULTI, 48, 0, {1, 0, 0, 0, 0, 9}, 48, VFU_REFUSED},
        {"many writes, that is one", VFU_WRITE_MULTI, 48, 0, {1, 0, 0, 0, 0, 8}, 48, VFU_WHOLE},
        {"no write at all", VFU_WRITE_MULTI, 24, 0, {0}, 24, VFU_WHOLE},
        {"interrupts that are cut off", VFU_SET_IRQS, 32, 0, {0}, 32, VFU_REFUSED},
        {"interrupts without their values", VFU_SET_IRQS, 38, 0, {0, VFU_SET_BOOL, 2, 0, 3}, 38, VFU_REFUSED},
        {"interrupts with their values", VFU_SET_IRQS, 39, 0, {0, VFU_SET_BOOL, 2, 0, 3}, 39, VFU_WHOLE},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint8_t bytes[64] = {0};
        struct vfu_msg msg;
        const char *why = NULL;
        le16_write(bytes, 7);
        le16_write(bytes + 2, rows[i].command);
        le32_write(bytes + 4, rows[i].size);
        le32_write(bytes + 8, rows[i].flags);
        for (size_t n = 0; n < 8; n++)
            le32_write(bytes + 16 + 4 * n, rows[i].body[n]);
        const enum vfu_parsed got = parse(bytes, rows[i].have, &msg, &why);
        if (got != rows[i].want || (got == VFU_REFUSED) != (why != NULL))
            fail_msg("%s: got %d, want %d", rows[i].rule, got, rows[i].want);
        if (got == VFU_WHOLE && (msg.id != 7 || msg.command != rows[i].command))
            fail_msg("%s: another id or command", rows[i].rule);
    }
}

static void test_length(void **state)
{
    uint8_t head[16] = {0};
    (void)state;
    le32_write(head + 4, 36);
    assert_int_equal(vfu_msg_len(head, 15), 16);
    assert_int_equal(vfu_msg_len(head, 16), 36);
    le32_write(head + 4, 8);
    assert_int_equal(vfu_msg_len(head, 16), 16); /* to be refused as it is */
    le32_write(head + 4, UINT32_MAX);
    assert_int_equal(vfu_msg_len(head, 16), 16);
}

/* Whatever comes, nothing is read behind its end. */
static void test_noise(void **state)
{
    struct rng rng = {.state = 11};
    static const uint16_t commands[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    unsigned whole = 0;
    (void)state;
    for (unsigned n = 0; n < 20000; n++) {
        uint8_t bytes[128];
        struct vfu_msg msg;
        const char *why;
        for (size_t i = 0; i < sizeof(bytes); i++)
            bytes[i] = rng_next(&rng) % 4 == 0 ? (uint8_t)rng_next(&rng) : 0;
        le16_write(bytes + 2, commands[rng_next(&rng) % 15]);
        le32_write(bytes + 4, (uint32_t)(rng_next(&rng) % 140));
        bytes[8] &= 0x10;
        whole += parse(bytes, rng_next(&rng) % sizeof(bytes), &msg, &why) == VFU_WHOLE;
    }
    assert_true(whole > 100);
}

static void test_put(void **state)
{
    uint8_t to[VFU_REPLY_MAX];
    const uint8_t data[4] = {1, 2, 3, 4};
    struct vfu_msg msg = {.id = 0x1234, .command = VFU_REGION_READ, .io = {.offset = 8, .region = 7, .count = 4}};
    (void)state;
    assert_int_equal(vfu_put_io(to, &msg, data), 36);
    assert_int_equal(le16_read(to), 0x1234);
    assert_int_equal(le32_read(to + 4), 36);
    assert_int_equal(le32_read(to + 8), 1);
    assert_memory_equal(to + 32, data, 4);
    assert_int_equal(vfu_put_error(to, &msg, 22), 16);
    assert_int_equal(le32_read(to + 8), 0x21);
    assert_int_equal(le32_read(to + 12), 22);
    msg.command = VFU_VERSION;
    const size_t len = vfu_put_version(to, &msg);
    assert_int_equal(le32_read(to + 4), len);
    assert_int_equal(to[len - 1], 0);
    assert_non_null(strstr((char *)to + 20, "write_multiple"));
    msg.no_reply = true;
    assert_int_equal(vfu_put_done(to, &msg), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_length),
        cmocka_unit_test(test_noise),
        cmocka_unit_test(test_put),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
