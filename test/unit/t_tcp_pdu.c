/* NVMe/TCP PDUs: what a host may send, and what it may not. */
#include "base/rng.h"
#include "nvme/nvme_wire.h"
#include "softnvme/tcp_pdu.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ALL UINT32_MAX

static const struct {
    const char *rule;
    uint8_t type, flags, hlen, pdo;
    uint32_t plen, have;
    struct {
        uint8_t at, value;
    } put[3];
    enum tcp_parsed want;
    struct tcp_bad bad;
    uint32_t data_len;
} parse_rows[] = {
    {"nothing is more to come", 4, 0, 72, 0, 72, 0, {{0}}, TCP_MORE, {0}, 0},
    {"half a head is more to come", 4, 0, 72, 0, 72, 7, {{0}}, TCP_MORE, {0}, 0},
    {"half a header is more to come", 4, 0, 72, 0, 72, 71, {{0}}, TCP_MORE, {0}, 0},
    {"half of the data is more to come", 4, 0, 72, 72, 172, 171, {{0}}, TCP_MORE, {0}, 0},
    {"an unknown type is refused by its first byte", 8, 0, 72, 0, 72, 1, {{0}}, TCP_REFUSED, {1, 0}, 0},
    {"a PDU of a controller is refused", 5, 0, 24, 0, 24, ALL, {{0}}, TCP_REFUSED, {1, 0}, 0},
    {"R2T is refused", 9, 0, 24, 0, 24, ALL, {{0}}, TCP_REFUSED, {1, 0}, 0},
    {"garbage is refused", 'G', 'E', 'T', ' ', 0x20202020, 8, {{0}}, TCP_REFUSED, {1, 0}, 0},

    {"ICReq", 0, 0, 128, 0, 128, ALL, {{0}}, TCP_WHOLE, {0}, 0},
    {"ICReq that asks for digests is answered", 0, 0, 128, 0, 128, ALL, {{11, 3}}, TCP_WHOLE, {0}, 0},
    {"ICReq of another version is refused", 0, 0, 128, 0, 128, ALL, {{8, 1}}, TCP_REFUSED, {6, 8}, 0},
    {"ICReq with an impossible alignment is refused", 0, 0, 128, 0, 128, ALL, {{10, 32}}, TCP_REFUSED, {1, 10}, 0},
    {"ICReq with data is refused", 0, 0, 128, 0, 129, 8, {{0}}, TCP_REFUSED, {1, 4}, 0},
    {"ICReq that is too short is refused", 0, 0, 128, 0, 127, 8, {{0}}, TCP_REFUSED, {1, 4}, 0},

    {"a command", 4, 0, 72, 0, 72, ALL, {{0}}, TCP_WHOLE, {0}, 0},
    {"a command with data", 4, 0, 72, 72, 8264, ALL, {{0}}, TCP_WHOLE, {0}, 8192},
    {"a command with data behind padding", 4, 0, 72, 128, 640, ALL, {{0}}, TCP_WHOLE, {0}, 512},
    {"a command with 8193 bytes is refused", 4, 0, 72, 72, 8265, 8, {{0}}, TCP_REFUSED, {1, 4}, 0},
    {"a command of 4 GiB is refused by its head", 4, 0, 72, 72, ALL, 8, {{0}}, TCP_REFUSED, {1, 4}, 0},
    {"a command of no length is refused", 4, 0, 72, 0, 0, 8, {{0}}, TCP_REFUSED, {1, 4}, 0},
    {"another header length is refused", 4, 0, 71, 0, 72, 8, {{0}}, TCP_REFUSED, {1, 2}, 0},
    {"a header digest that was not agreed on is refused", 4, 1, 72, 0, 76, 8, {{0}}, TCP_REFUSED, {1, 1}, 0},
    {"a data digest that was not agreed on is refused", 4, 2, 72, 72, 588, 8, {{0}}, TCP_REFUSED, {1, 1}, 0},
    {"data within the header is refused", 4, 0, 72, 68, 584, 8, {{0}}, TCP_REFUSED, {1, 3}, 0},
    {"data at 0 is refused", 4, 0, 72, 0, 584, 8, {{0}}, TCP_REFUSED, {1, 3}, 0},
    {"data behind the end is refused", 4, 0, 72, 100, 96, 8, {{0}}, TCP_REFUSED, {1, 3}, 0},
    {"data off the alignment is refused", 4, 0, 72, 74, 584, 8, {{0}}, TCP_REFUSED, {1, 3}, 0},

    {"data", 6, 4, 24, 24, 536, ALL, {{17, 2}}, TCP_WHOLE, {0}, 512},
    {"data of 128 KiB", 6, 4, 24, 24, 24 + (128 << 10), ALL, {{18, 2}}, TCP_WHOLE, {0}, 128 << 10},
    {"data of more is refused", 6, 4, 24, 24, 25 + (128 << 10), 8, {{0}}, TCP_REFUSED, {5, 4}, 0},
    {"data of another length than it says is refused", 6, 4, 24, 24, 536, ALL, {{17, 1}}, TCP_REFUSED, {1, 16}, 0},
    {"data of no length that says 4 GiB is refused", 6, 4, 24, 0, 24, ALL, {{19, 255}}, TCP_REFUSED, {1, 16}, 0},
    {"data with an unknown flag is refused", 6, 8, 24, 24, 536, 8, {{0}}, TCP_REFUSED, {1, 1}, 0},

    {"an end", 2, 0, 24, 0, 24, ALL, {{0}}, TCP_WHOLE, {0}, 0},
    {"an end with a header", 2, 0, 24, 0, 152, ALL, {{0}}, TCP_WHOLE, {0}, 128},
    {"an end with more is refused", 2, 0, 24, 0, 153, 8, {{0}}, TCP_REFUSED, {1, 4}, 0},
};

static void test_parse(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(parse_rows) / sizeof(parse_rows[0]); i++) {
        const size_t have = parse_rows[i].have == ALL ? parse_rows[i].plen : parse_rows[i].have;
        uint8_t *bytes = calloc(1, have + 1); /* of just this size, for the address sanitizer */
        uint8_t head[128] = {parse_rows[i].type, parse_rows[i].flags, parse_rows[i].hlen, parse_rows[i].pdo};
        struct tcp_pdu pdu = {0};
        struct tcp_bad bad = {0};
        le32_write(head + 4, parse_rows[i].plen);
        for (size_t k = 0; k < 3; k++)
            if (parse_rows[i].put[k].at != 0)
                head[parse_rows[i].put[k].at] = parse_rows[i].put[k].value;
        memcpy(bytes, head, have < sizeof(head) ? have : sizeof(head));
        uint8_t *exact = realloc(bytes, have > 0 ? have : 1);
        const enum tcp_parsed got = tcp_pdu_parse(exact, have, &pdu, &bad);
        if (got != parse_rows[i].want || bad.fes != parse_rows[i].bad.fes || bad.offset != parse_rows[i].bad.offset)
            fail_msg("%s: got %d, %d at %u, want %d, %d at %u", parse_rows[i].rule, got, bad.fes, bad.offset,
                     parse_rows[i].want, parse_rows[i].bad.fes, parse_rows[i].bad.offset);
        if (got == TCP_WHOLE && (pdu.len != parse_rows[i].plen || pdu.data_len != parse_rows[i].data_len))
            fail_msg("%s: got %u bytes with %u of data, want %u with %u", parse_rows[i].rule, pdu.len, pdu.data_len,
                     parse_rows[i].plen, parse_rows[i].data_len);
        free(exact);
    }
}

/* Whatever comes: never read outside, never a PDU that goes beyond what there is. */
static void test_noise(void **state)
{
    static const uint8_t types[] = {0, 2, 4, 6, 255}, hlens[] = {128, 24, 72, 24, 8};
    struct rng rng = {42};
    unsigned whole = 0;
    (void)state;
    for (unsigned run = 0; run < 20000; run++) {
        const uint64_t r = rng_next(&rng);
        const size_t have = r % 400, kind = r >> 16 & 3;
        uint8_t *bytes = malloc(have > 0 ? have : 1);
        for (size_t i = 0; i < have; i++)
            bytes[i] = (uint8_t)rng_next(&rng);
        const uint8_t head[8] = {types[kind], 0, hlens[kind], hlens[kind], (uint8_t)(r >> 24), (uint8_t)(r >> 32 & 1)};
        memcpy(bytes, head, have < 8 ? have : 8);
        struct tcp_pdu pdu;
        struct tcp_bad bad;
        if (tcp_pdu_parse(bytes, have, &pdu, &bad) == TCP_WHOLE) {
            assert_true(pdu.len <= have);
            assert_true(pdu.data >= bytes && pdu.data + pdu.data_len <= bytes + pdu.len);
            whole++;
        }
        free(bytes);
    }
    assert_true(whole > 100);
}

static void test_sgl(void **state)
{
    (void)state;
    static const struct {
        const char *rule;
        uint8_t flags;
        uint64_t address;
        uint32_t len;
        uint8_t type;
        uint32_t capsule;
        uint16_t status;
    } rows[] = {
        {"no data", 0x40, 0, 0, 0x5a, 0, 0},
        {"data by the transport", 0x40, 0, 4096, 0x5a, 0, 0},
        {"the largest transfer", 0x40, 0, 256 << 10, 0x5a, 0, 0},
        {"a larger one is refused", 0x40, 0, (256 << 10) + 1, 0x5a, 0, 0x002},
        {"data in the capsule", 0x40, 0, 512, 0x01, 512, 0},
        {"data in the capsule at an offset", 0x80, 100, 412, 0x01, 512, 0},
        {"data that ends behind the capsule is refused", 0x40, 1, 512, 0x01, 512, 0x00f},
        {"an offset behind the capsule is refused", 0x40, 513, 0, 0x01, 512, 0x016},
        {"an offset of 2^64-1 is refused", 0x40, UINT64_MAX, 2, 0x01, 512, 0x016},
        {"data in the capsule and by the transport is refused", 0x40, 0, 512, 0x5a, 512, 0x00f},
        {"a list of segments is refused", 0x40, 0, 512, 0x30, 0, 0x011},
        {"an address of the host is refused", 0x40, 4096, 512, 0x00, 0, 0x011},
        {"PRPs are refused", 0x00, 0, 512, 0x5a, 0, 0x002},
        {"a fused command is refused", 0x41, 0, 0, 0x5a, 0, 0x002},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint8_t sqe[TCP_SQE_LEN] = {2, rows[i].flags};
        struct tcp_sgl sgl;
        le64_write(sqe + 24, rows[i].address);
        le32_write(sqe + 32, rows[i].len);
        sqe[39] = rows[i].type;
        const uint16_t got = tcp_sgl_parse(sqe, rows[i].capsule, &sgl);
        if (got != rows[i].status)
            fail_msg("%s: got 0x%03x, want 0x%03x", rows[i].rule, got, rows[i].status);
        if (got == 0)
            assert_int_equal(sgl.len, rows[i].len);
    }
}

static void expect(const char *what, const uint8_t *got, const char *want, size_t len)
{
    char hex[2 * 64 + 1] = "";
    assert_true(len <= 64);
    for (size_t i = 0; i < len; i++)
        snprintf(hex + 2 * i, 3, "%02x", got[i]);
    if (strcmp(hex, want) != 0)
        fail_msg("%s: got %s, want %s", what, hex, want);
}

static void test_put(void **state)
{
    (void)state;
    uint8_t to[256];
    const struct tcp_cqe cqe = {.result = 0x0102030405060708, .sq_head = 3, .cid = 0x1234, .status = 0x4002};
    tcp_put_resp(to, &cqe);
    expect("a response", to, "050018001800000008070605040302010300000034120480", 24);
    tcp_put_r2t(to, 0x1234, 7, 4096);
    expect("R2T", to, "090018001800000034120700000000000010000000000000", 24);
    tcp_put_ic_resp(to);
    expect("ICResp", to, "0100800080000000000000000000020000000000", 20);
    assert_int_equal(tcp_put_c2h(to, 0x1234, 512, 0), 24);
    expect("data", to, "070418181802000034120000000000000002000000000000", 24);
    assert_int_equal(tcp_put_c2h(to, 1, 512, 15), 64); /* at multiples of 64 */
    expect("aligned data", to, "07041840400200000100", 10);
    assert_int_equal(tcp_put_c2h(to, 1, 512, 31), 128);
    const struct tcp_bad bad = {.fes = TCP_FES_HEADER, .offset = 4};
    assert_int_equal(tcp_put_term(to, &bad, (const uint8_t *)"abcd", 4), 28);
    expect("an end", to,
           "030018001c00000001000400000000000000000000000000"
           "61626364",
           28);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_noise),
        cmocka_unit_test(test_sgl),
        cmocka_unit_test(test_put),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
