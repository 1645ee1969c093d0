#include "nvme/nvme_codec.h"

#include "base/rng.h"
#include "nvme/nvme_port.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* --- Which commands may be sent ---------------------------------------------------------------------------------- */

#define ALL NVME_NSID_ALL

static uint32_t data[1024];

static const struct {
    const char *rule;
    struct nvme_cmd cmd; /* timeout_ms 0 becomes 1 second unless no_timeout */
    bool no_timeout, sent;
} checks[] = {
    {"Identify may ask for anything", {.opcode = 0x06, .nsid = ALL}, false, true},
    {"Identify may ask for nothing", {.opcode = 0x06}, false, true},
    {"Get Log Page may ask of all", {.opcode = 0x02, .nsid = ALL}, false, true},
    {"Get Features may ask", {.opcode = 0x0a, .nsid = 3}, false, true},
    {"a create names no namespace", {.opcode = 0x0d, .cdw10 = 0}, false, true},
    {"a create for one namespace is refused", {.opcode = 0x0d, .cdw10 = 0, .nsid = 1}, false, false},
    {"a create for all is refused", {.opcode = 0x0d, .cdw10 = 0, .nsid = ALL}, false, false},
    {"a delete names one", {.opcode = 0x0d, .cdw10 = 1, .nsid = 7}, false, true},
    {"a delete of all is refused", {.opcode = 0x0d, .cdw10 = 1, .nsid = ALL}, false, false},
    {"a delete of none is refused", {.opcode = 0x0d, .cdw10 = 1}, false, false},
    {"an unknown namespace management is refused", {.opcode = 0x0d, .cdw10 = 2, .nsid = 1}, false, false},
    {"an attach names one", {.opcode = 0x15, .cdw10 = 0, .nsid = 7}, false, true},
    {"an attach of all is refused", {.opcode = 0x15, .cdw10 = 0, .nsid = ALL}, false, false},
    {"a detach names one", {.opcode = 0x15, .cdw10 = 1, .nsid = 7}, false, true},
    {"a detach of all is refused", {.opcode = 0x15, .cdw10 = 1, .nsid = ALL}, false, false},
    {"a detach of none is refused", {.opcode = 0x15, .cdw10 = 1}, false, false},
    {"an unknown attachment is refused", {.opcode = 0x15, .cdw10 = 2, .nsid = 1}, false, false},
    {"a format names one", {.opcode = 0x80, .nsid = 7, .cdw10 = 1 << 9}, false, true},
    {"a format of all is refused", {.opcode = 0x80, .nsid = ALL, .cdw10 = 1 << 9}, false, false},
    {"a format of none is refused", {.opcode = 0x80, .cdw10 = 1 << 9}, false, false},
    {"a sanitize names none", {.opcode = 0x84, .cdw10 = 4}, false, true},
    {"a sanitize of one is refused", {.opcode = 0x84, .nsid = 1, .cdw10 = 4}, false, false},
    {"a sanitize of all is refused", {.opcode = 0x84, .nsid = ALL, .cdw10 = 4}, false, false},
    {"a namespace sanitize names one", {.opcode = 0x8c, .nsid = 7, .cdw10 = 4}, false, true},
    {"a namespace sanitize of all is refused", {.opcode = 0x8c, .nsid = ALL, .cdw10 = 4}, false, false},
    {"a namespace sanitize of none is refused", {.opcode = 0x8c, .cdw10 = 4}, false, false},
    {"firmware names none", {.opcode = 0x11}, false, true},
    {"firmware for a namespace is refused", {.opcode = 0x10, .nsid = 1}, false, false},
    {"Set Features is not on the list", {.opcode = 0x09}, false, false},
    {"a vendor's command is not on the list", {.opcode = 0xc1, .nsid = 1}, false, false},
    {"deleting a queue is not on the list", {.opcode = 0x00}, false, false},
    {"a command without a timeout is refused", {.opcode = 0x06}, true, false},
    {"data without a length is refused", {.opcode = 0x06, .data = data}, false, false},
    {"a length without data is refused", {.opcode = 0x06, .data_len = 4096}, false, false},
    {"half a dword is refused", {.opcode = 0x06, .data = data, .data_len = 4094}, false, false},
};

static void test_checks(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++) {
        struct nvme_cmd cmd = checks[i].cmd;
        struct err err = {0};
        cmd.timeout_ms = checks[i].no_timeout ? 0 : 1000;
        const bool got = nvme_cmd_check(&cmd, &err);
        if (got != checks[i].sent || err.kind != (got ? ERR_NONE : ERR_UNSAFE))
            fail_msg("%s: got %d %s '%s', want %d", checks[i].rule, got, err_kind_name(err.kind), err.msg,
                     checks[i].sent);
    }
}

/* The sentence itself, for every opcode and every selector: what changes something is never sent to FFFFFFFFh. */
static void test_never_all(void **state)
{
    (void)state;
    for (unsigned opcode = 0; opcode <= 0xff; opcode++)
        for (uint32_t sel = 0; sel < 16; sel++) {
            const struct nvme_cmd cmd = {.opcode = (uint8_t)opcode, .nsid = ALL, .cdw10 = sel, .timeout_ms = 1};
            struct err err = {0};
            const bool asks = opcode == 0x02 || opcode == 0x06 || opcode == 0x0a;
            if (nvme_cmd_check(&cmd, &err) != asks)
                fail_msg("opcode %02xh, SEL %u to all namespaces: %s", opcode, sel, asks ? "refused" : "sent");
        }
}

/* --- Controllers ------------------------------------------------------------------------------------------------- */

static struct nvme_ctrl_page sample_ctrl(void)
{
    return (struct nvme_ctrl_page){
        .ident = {.vendor_id = 0x144d, .serial = "S64GNE0R", .model = "MZ a drive", .nqn = "nqn.2026-01.org.x:1"},
        .firmware = "GDC5",
        .effects_log = true,
        .caps = {.cntlid = 65,
                 .ns_management = true,
                 .format = true,
                 .fna = 4,
                 .sanitize_crypto = true,
                 .sanitize_over = true,
                 .granularity_list = true,
                 .write_zeroes = true,
                 .nn = 128,
                 .ns_max = 32,
                 .total_bytes = 2000398934016,
                 .free_bytes = 17}};
}

static void expect_same(const char *what, const void *got, const void *want, size_t len)
{
    if (memcmp(got, want, len) != 0)
        for (size_t i = 0; i < len; i++)
            if (((const uint8_t *)got)[i] != ((const uint8_t *)want)[i])
                fail_msg("%s: byte %zu is %02x, want %02x", what, i, ((const uint8_t *)got)[i],
                         ((const uint8_t *)want)[i]);
}

static void test_ctrl_round(void **state)
{
    (void)state;
    const struct nvme_ctrl_page want = sample_ctrl();
    struct nvme_wire_ctrl page;
    struct nvme_ctrl_page got;
    struct err err = {0};
    memset(&got, 0, sizeof(got));
    nvme_build_ctrl(&want, &page);
    assert_memory_equal((const char *)&page + 4, "S64GNE0R            ", 20); /* SN, Base: padded with spaces */
    assert_true(nvme_parse_ctrl(&page, sizeof(page), &got, &err));
    assert_string_equal(got.ident.serial, want.ident.serial);
    assert_true(drive_ident_eq(&got.ident, &want.ident));
    assert_string_equal(got.firmware, want.firmware);
    assert_true(got.effects_log);
    assert_int_equal(got.caps.cntlid, 65);
    assert_true(got.caps.ns_management && got.caps.format && got.caps.sanitize_crypto && got.caps.sanitize_over);
    assert_true(got.caps.granularity_list && got.caps.write_zeroes);
    assert_false(got.caps.sanitize_block || got.caps.deallocate || got.caps.sanitize_ns);
    assert_int_equal(got.caps.fna, 4);
    assert_int_equal(got.caps.nn, 128);
    assert_int_equal(got.caps.ns_max, 32);
    assert_true(got.caps.total_bytes == 2000398934016 && got.caps.free_bytes == 17);
}

/* One byte (or a few) of a good page changed. */
static const struct {
    const char *rule;
    size_t at, len;
    const char *bytes;
    enum err_kind kind;
    const char *serial;   /* expected, NULL: the sample's */
    uint64_t total_bytes; /* expected, 0: the sample's */
    uint32_t ns_max;
} ctrl_rows[] = {
    {"a good page is read", 0, 0, "", ERR_NONE, NULL, 0, 32},
    {"unprintable bytes become '?'", 4, 3, "\x01\x7f\xff", ERR_NONE, "???GNE0R", 0, 32},
    {"a zero ends the text", 7, 1, "\0", ERR_NONE, "S64", 0, 32},
    {"spaces before the text go too", 4, 2, "  ", ERR_NONE, "4GNE0R", 0, 32},
    {"an empty serial number is refused", 4, 20, "                    ", ERR_DEVICE, NULL, 0, 32},
    {"a capacity beyond 63 bits is cut", 288, 1, "\x01", ERR_NONE, NULL, INT64_MAX, 32},
    {"without MNAN it is NN", 540, 1, "\0", ERR_NONE, NULL, 0, 128},
    {"MNAN beyond NN is NN", 540, 4, "\xff\xff\0", ERR_NONE, NULL, 0, 128},
    {"NN 0 is refused", 516, 1, "\0", ERR_DEVICE, NULL, 0, 32},
    {"a discovery controller is refused", 111, 1, "\x02", ERR_INPUT, NULL, 0, 32},
    {"an administrative controller is refused", 111, 1, "\x03", ERR_INPUT, NULL, 0, 32},
    {"a controller that does not say its type is one for I/O", 111, 1, "\0", ERR_NONE, NULL, 0, 32},
};

static void test_ctrl_rows(void **state)
{
    (void)state;
    const struct nvme_ctrl_page sample = sample_ctrl();
    for (size_t i = 0; i < sizeof(ctrl_rows) / sizeof(ctrl_rows[0]); i++) {
        struct nvme_wire_ctrl page;
        struct nvme_ctrl_page got;
        struct err err = {0};
        nvme_build_ctrl(&sample, &page);
        memcpy((uint8_t *)&page + ctrl_rows[i].at, ctrl_rows[i].bytes, ctrl_rows[i].len);
        nvme_parse_ctrl(&page, sizeof(page), &got, &err);
        if (err.kind != ctrl_rows[i].kind)
            fail_msg("%s: got %s '%s', want %s", ctrl_rows[i].rule, err_kind_name(err.kind), err.msg,
                     err_kind_name(ctrl_rows[i].kind));
        if (err.kind != ERR_NONE)
            continue;
        const char *serial = ctrl_rows[i].serial != NULL ? ctrl_rows[i].serial : "S64GNE0R";
        const uint64_t total = ctrl_rows[i].total_bytes != 0 ? ctrl_rows[i].total_bytes : 2000398934016;
        if (strcmp(got.ident.serial, serial) != 0 || got.caps.total_bytes != total ||
            got.caps.ns_max != ctrl_rows[i].ns_max)
            fail_msg("%s: got '%s' %" PRIu64 " %u, want '%s' %" PRIu64 " %u", ctrl_rows[i].rule, got.ident.serial,
                     got.caps.total_bytes, got.caps.ns_max, serial, total, ctrl_rows[i].ns_max);
    }
}

/* --- Namespaces -------------------------------------------------------------------------------------------------- */

static struct nvme_ns_page sample_ns(void)
{
    return (struct nvme_ns_page){
        .ns = {.lbaf = 1,
               .block_bytes = 4096,
               .size_blocks = 1000,
               .used_blocks = 900,
               .nvmcap_bytes = 4096000,
               .shared = true,
               .nguid = {1, 2, 3},
               .eui64 = {4, 5}},
        .lbaf = {{.block_bytes = 512, .performance = 2}, {.block_bytes = 4096}, {.block_bytes = 512, .meta_bytes = 8}},
        .lbaf_count = 3,
        .progress_known = true,
        .remaining_percent = 40};
}

static void test_ns_round(void **state)
{
    (void)state;
    const struct nvme_ns_page want = sample_ns();
    struct nvme_wire_ns page;
    struct nvme_ns_page got;
    struct err err = {0};
    nvme_build_ns(&want, &page);
    assert_true(nvme_parse_ns(&page, sizeof(page), &got, &err));
    assert_int_equal(got.ns.lbaf, 1);
    assert_int_equal(got.ns.block_bytes, 4096);
    assert_true(got.ns.size_blocks == 1000 && got.ns.used_blocks == 900 && got.ns.nvmcap_bytes == 4096000);
    assert_true(got.ns.shared && got.progress_known && !got.extended);
    expect_same("NGUID", got.ns.nguid, want.ns.nguid, 16);
    expect_same("EUI64", got.ns.eui64, want.ns.eui64, 8);
    assert_int_equal(got.remaining_percent, 40);
    assert_int_equal(got.lbaf_count, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(got.lbaf[i].block_bytes, want.lbaf[i].block_bytes);
        assert_int_equal(got.lbaf[i].meta_bytes, want.lbaf[i].meta_bytes);
        assert_int_equal(got.lbaf[i].performance, want.lbaf[i].performance);
    }
}

static const struct {
    const char *rule;
    size_t at, len;
    const char *bytes;
    enum err_kind kind;
    uint8_t lbaf;
    uint32_t block_bytes;
    size_t lbaf_count;
} ns_rows[] = {
    {"a good page is read", 0, 0, "", ERR_NONE, 1, 4096, 3},
    {"size 0 is no namespace", 0, 2, "\0\0", ERR_MISSING, 0, 0, 0},
    {"blocks of 256 bytes are no format", 134, 1, "\x08", ERR_NONE, 1, 0, 3},
    {"blocks of 64 KiB are the largest", 134, 1, "\x10", ERR_NONE, 1, 65536, 3},
    {"blocks of 128 KiB are no format", 134, 1, "\x11", ERR_NONE, 1, 0, 3},
    {"a format beyond the list is none", 26, 1, "\x03", ERR_NONE, 3, 0, 3},
    {"bits 6:5 of FLBAS do not count with few formats", 26, 1, "\x61", ERR_NONE, 1, 4096, 3},
    {"bits 6:5 of FLBAS count with many", 25, 2, "\x1f\x21", ERR_NONE, 17, 0, 16},
    {"formats without attributes of their own count", 82, 1, "\x05", ERR_NONE, 1, 4096, 8},
    {"16 formats are kept of many", 25, 1, "\x3f", ERR_NONE, 1, 4096, 16},
    {"more formats than fit are refused", 25, 1, "\x40", ERR_DEVICE, 0, 0, 0},
    {"more formats together than fit are refused", 82, 1, "\x3e", ERR_DEVICE, 0, 0, 0},
    {"more capacity than size is refused", 8, 3, "\xff\xff\xff", ERR_DEVICE, 0, 0, 0},
    {"a size that overflows in bytes is refused", 0, 8, "\xff\xff\xff\xff\xff\xff\xff\xff", ERR_DEVICE, 0, 0, 0},
    {"more than all remaining is refused", 32, 1, "\xe5", ERR_DEVICE, 0, 0, 0},
    {"remaining without support is not looked at", 32, 1, "\x65", ERR_NONE, 1, 4096, 3},
};

static void test_ns_rows(void **state)
{
    (void)state;
    const struct nvme_ns_page sample = sample_ns();
    for (size_t i = 0; i < sizeof(ns_rows) / sizeof(ns_rows[0]); i++) {
        struct nvme_wire_ns page;
        struct nvme_ns_page got;
        struct err err = {0};
        nvme_build_ns(&sample, &page);
        memcpy((uint8_t *)&page + ns_rows[i].at, ns_rows[i].bytes, ns_rows[i].len);
        nvme_parse_ns(&page, sizeof(page), &got, &err);
        if (err.kind != ns_rows[i].kind)
            fail_msg("%s: got %s '%s', want %s", ns_rows[i].rule, err_kind_name(err.kind), err.msg,
                     err_kind_name(ns_rows[i].kind));
        if (err.kind == ERR_NONE && (got.ns.lbaf != ns_rows[i].lbaf || got.ns.block_bytes != ns_rows[i].block_bytes ||
                                     got.lbaf_count != ns_rows[i].lbaf_count))
            fail_msg("%s: got format %u of %zu, %u bytes, want %u of %zu, %u", ns_rows[i].rule, got.ns.lbaf,
                     got.lbaf_count, got.ns.block_bytes, ns_rows[i].lbaf, ns_rows[i].lbaf_count,
                     ns_rows[i].block_bytes);
    }
}

/* --- Lists ------------------------------------------------------------------------------------------------------- */

static const struct {
    const char *rule;
    uint32_t nsid[4];
    uint32_t many; /* so many instead: 1, 2, 3, ... */
    enum err_kind kind;
    size_t count;
} nsid_rows[] = {
    {"an empty list is read", {0}, 0, ERR_NONE, 0},
    {"a list ends at 0", {1, 5, 0, 7}, 0, ERR_NONE, 2},
    {"a number twice is refused", {1, 5, 5}, 0, ERR_DEVICE, 0},
    {"descending is refused", {5, 1}, 0, ERR_DEVICE, 0},
    {"the broadcast number is refused", {1, ALL}, 0, ERR_DEVICE, 0},
    {"as many as are looked at are read", {0}, DRIVE_NS_MAX, ERR_NONE, DRIVE_NS_MAX},
    {"one more is refused", {0}, DRIVE_NS_MAX + 1, ERR_FULL, 0},
    {"a full page is refused", {0}, NVME_WIRE_NSIDS_MAX, ERR_FULL, 0},
};

static void test_nsids(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(nsid_rows) / sizeof(nsid_rows[0]); i++) {
        struct nvme_wire_ns_list page = {{{{0}}}}, again;
        struct nvme_nsids got = {.count = 99};
        struct err err = {0};
        for (size_t n = 0; n < 4; n++)
            page.nsid[n] = le32_of(nsid_rows[i].nsid[n]);
        for (uint32_t n = 0; n < nsid_rows[i].many; n++)
            page.nsid[n] = le32_of(n + 1);
        nvme_parse_nsids(&page, sizeof(page), &got, &err);
        const size_t want = err.kind == ERR_NONE ? nsid_rows[i].count : 99;
        if (err.kind != nsid_rows[i].kind || got.count != want)
            fail_msg("%s: got %s, %zu, want %s, %zu", nsid_rows[i].rule, err_kind_name(err.kind), got.count,
                     err_kind_name(nsid_rows[i].kind), want);
        if (err.kind != ERR_NONE)
            continue;
        nvme_build_nsids(&got, &again);
        for (size_t n = 0; n < got.count; n++)
            assert_int_equal(le32_get(again.nsid[n]), le32_get(page.nsid[n]));
    }
}

static const struct {
    const char *rule;
    const char *bytes;
    size_t len, at;
    enum err_kind kind;
    uint8_t nguid0, eui0;
} desc_rows[] = {
    {"an empty list has no ids", "", 0, 0, ERR_NONE, 0, 0},
    {"an EUI64 is found", "\x01\x08\0\0\x45zzzzzzz", 12, 0, ERR_NONE, 0, 0x45},
    {"an NGUID after an unknown descriptor is found", "\x77\x02\0\0zz\x02\x10\0\0\x46yyyyyyyyyyyyyyy", 26, 0, ERR_NONE,
     0x46, 0},
    {"the command set is passed over", "\x04\x01\0\0\0\x01\x08\0\0\x47zzzzzzz", 17, 0, ERR_NONE, 0, 0x47},
    {"an EUI64 of a wrong length is refused", "\x01\x07\0\0zzzzzzz", 11, 0, ERR_DEVICE, 0, 0},
    {"an NGUID of a wrong length is refused", "\x02\x08\0\0zzzzzzzz", 12, 0, ERR_DEVICE, 0, 0},
};

static void test_descriptors(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(desc_rows) / sizeof(desc_rows[0]); i++) {
        uint8_t page[NVME_PAGE] = {0};
        struct nvme_ns_ids got = {{0}, {0}};
        struct err err = {0};
        memcpy(page, desc_rows[i].bytes, desc_rows[i].len);
        nvme_parse_descriptors(page, sizeof(page), &got, &err);
        if (err.kind != desc_rows[i].kind || got.nguid[0] != desc_rows[i].nguid0 || got.eui64[0] != desc_rows[i].eui0)
            fail_msg("%s: got %s, %02x, %02x", desc_rows[i].rule, err_kind_name(err.kind), got.nguid[0], got.eui64[0]);
    }
    const struct nvme_ns_ids want = {{1, 2}, {3, 4}};
    struct nvme_ns_ids got;
    struct err err = {0};
    uint8_t page[NVME_PAGE];
    nvme_build_descriptors(&want, page);
    assert_true(nvme_parse_descriptors(page, sizeof(page), &got, &err));
    expect_same("descriptors", &got, &want, sizeof(want));
    /* Descriptors without an end, the last of them past the end of the page. */
    memset(page, 0x7f, sizeof(page));
    assert_false(nvme_parse_descriptors(page, sizeof(page), &got, &err));
    assert_int_equal(err.kind, ERR_DEVICE);
}

static void test_ctrl_list(void **state)
{
    (void)state;
    struct nvme_wire_ctrl_list page;
    uint16_t got[4] = {0};
    size_t count = 0;
    struct err err = {0};
    nvme_build_ctrl_list(65, &page);
    assert_true(nvme_parse_ctrl_list(&page, sizeof(page), got, 4, &count, &err));
    assert_int_equal(count, 1);
    assert_int_equal(got[0], 65);
    page.count = le16_of(5); /* more than the caller takes */
    assert_false(nvme_parse_ctrl_list(&page, sizeof(page), got, 4, &count, &err));
    err_clear(&err);
    page.count = le16_of(2); /* 65, 0: not ascending */
    assert_false(nvme_parse_ctrl_list(&page, sizeof(page), got, 4, &count, &err));
    assert_int_equal(err.kind, ERR_DEVICE);
}

/* --- The rest ---------------------------------------------------------------------------------------------------- */

static void test_granularity(void **state)
{
    (void)state;
    struct nvme_wire_granularity page;
    uint64_t nsg = 0, ncg = 0;
    struct err err = {0};
    nvme_build_granularity(8589934592, 4096, &page);
    assert_true(nvme_parse_granularity(&page, sizeof(page), &nsg, &ncg, &err));
    assert_true(nsg == 8589934592 && ncg == 4096);
    page.count = 1; /* two descriptors: the larger numbers hold for both formats */
    page.at[1].nszeg = le64_of(4096);
    page.at[1].ncapg = le64_of(8192);
    page.at[2].ncapg = le64_of(UINT64_MAX); /* not of the list */
    assert_true(nvme_parse_granularity(&page, sizeof(page), &nsg, &ncg, &err));
    assert_true(nsg == 8589934592 && ncg == 8192);
    page.count = 16;
    assert_false(nvme_parse_granularity(&page, sizeof(page), &nsg, &ncg, &err));
    assert_int_equal(err.kind, ERR_DEVICE);
}

static void test_create(void **state)
{
    (void)state;
    struct nvme_wire_create page;
    uint64_t blocks = 0;
    uint8_t lbaf = 0;
    struct err err = {0};
    nvme_build_create(0x123456789a, 17, &page);
    const uint8_t *bytes = (const uint8_t *)&page;
    assert_int_equal(le64_read(bytes), 0x123456789a);
    assert_int_equal(le64_read(bytes + 8), 0x123456789a);
    assert_int_equal(bytes[26], 0x21); /* FLBAS: bits 3:0 and 6:5 of the index */
    assert_int_equal(bytes[30], 0);    /* NMIC: private */
    assert_true(nvme_parse_create(&page, sizeof(page), &blocks, &lbaf, &err));
    assert_true(blocks == 0x123456789a && lbaf == 17);
    page.ncap = le64_of(1);
    assert_false(nvme_parse_create(&page, sizeof(page), &blocks, &lbaf, &err));
}

static void test_logs(void **state)
{
    (void)state;
    const struct drive_health want = {.known = true,
                                      .critical_warning = 5,
                                      .temperature_k = 311,
                                      .spare_percent = 99,
                                      .spare_threshold_percent = 10,
                                      .used_percent = 255,
                                      .media_errors = 3,
                                      .power_on_hours = 70000,
                                      .units_written = 1ull << 50};
    struct nvme_wire_smart smart;
    struct drive_health health;
    struct err err = {0};
    nvme_build_smart(&want, &smart);
    assert_true(nvme_parse_smart(&smart, sizeof(smart), &health, &err));
    assert_true(health.known && health.units_written == 1ull << 50 && health.power_on_hours == 70000 &&
                health.media_errors == 3 && health.temperature_k == 311 && health.used_percent == 255 &&
                health.spare_percent == 99 && health.spare_threshold_percent == 10 && health.critical_warning == 5);
    smart.media_errors.b[15] = 1;
    assert_true(nvme_parse_smart(&smart, sizeof(smart), &health, &err));
    assert_true(health.media_errors == INT64_MAX);

    struct nvme_wire_effects effects = {.admin[0x8c] = le32_of(1), .admin[0x80] = le32_of(0xfffffffe)};
    bool supported = false;
    assert_true(nvme_parse_effects(&effects, sizeof(effects), NVME_OP_SANITIZE_NS, &supported, &err));
    assert_true(supported);
    assert_true(nvme_parse_effects(&effects, sizeof(effects), NVME_OP_FORMAT, &supported, &err));
    assert_false(supported);
}

static void test_sanitize(void **state)
{
    (void)state;
    for (unsigned percent = 0; percent <= 99; percent++) {
        const struct nvme_sanitize_page want = {{9}, NVME_SSTAT_RUNNING, (uint8_t)percent};
        struct nvme_wire_sanitize page;
        struct nvme_sanitize_page got;
        struct err err = {0};
        nvme_build_sanitize(&want, &page);
        assert_true(nvme_parse_sanitize(&page, sizeof(page), &got, &err));
        if (got.percent != percent || got.status != NVME_SSTAT_RUNNING || got.target.v != 9)
            fail_msg("%u %%: got %u %%, status %u, NSID %u", percent, got.percent, got.status, got.target.v);
    }
    struct nvme_wire_sanitize page = {.sprog = le16_of(0xffff), .sstat = le16_of(NVME_SSTAT_FAILED | 1 << 8)};
    struct nvme_sanitize_page got;
    struct err err = {0};
    assert_true(nvme_parse_sanitize(&page, sizeof(page), &got, &err));
    assert_int_equal(got.status, NVME_SSTAT_FAILED);
    assert_int_equal(got.percent, 0);
}

static void test_format_field(void **state)
{
    (void)state;
    assert_int_equal(nvme_format_cdw10(1, NVME_SES_CRYPTO), 0x401);
    assert_int_equal(nvme_format_cdw10(17, NVME_SES_USER_DATA), 0x1201);
    for (unsigned lbaf = 0; lbaf < 64; lbaf++)
        assert_int_equal(nvme_format_lbaf(nvme_format_cdw10(lbaf, NVME_SES_CRYPTO)), lbaf);
    assert_int_equal(nvme_format_ses(0x401), NVME_SES_CRYPTO);
    assert_int_equal(nvme_log_cdw10(NVME_LID_SMART, 512), 0x7f0002);
    assert_int_equal(nvme_log_cdw11(4 << 16), 0);
    assert_int_equal(nvme_log_cdw11((4 << 16) + 4), 1);
}

/* Every parser: no page that is short is read, and no garbage makes it read or write where it must not (sanitizers). */
enum { PARSERS = 10 };

static bool parse_any(size_t which, const void *page, size_t len, struct err *err)
{
    union {
        struct nvme_ctrl_page ctrl;
        struct nvme_ns_page ns;
        struct lba_format lbaf[DRIVE_LBAF_MAX];
        struct nvme_nsids nsids;
        struct nvme_ns_ids ids;
        uint16_t cntlid[NVME_WIRE_CTRLS_MAX];
        struct drive_health health;
        struct nvme_sanitize_page sanitize;
    } out;
    uint64_t a, b;
    uint8_t lbaf;
    size_t count;
    bool supported;
    switch (which) {
    case 0:
        return nvme_parse_ctrl(page, len, &out.ctrl, err);
    case 1:
        return nvme_parse_ns(page, len, &out.ns, err);
    case 2:
        return nvme_parse_lbafs(page, len, out.lbaf, &count, err);
    case 3:
        return nvme_parse_nsids(page, len, &out.nsids, err);
    case 4:
        return nvme_parse_descriptors(page, len, &out.ids, err);
    case 5:
        return nvme_parse_ctrl_list(page, len, out.cntlid, NVME_WIRE_CTRLS_MAX, &count, err);
    case 6:
        return nvme_parse_granularity(page, len, &a, &b, err);
    case 7:
        return nvme_parse_create(page, len, &a, &lbaf, err);
    case 8:
        return nvme_parse_smart(page, len, &out.health, err);
    case 9:
        return nvme_parse_sanitize(page, len, &out.sanitize, err);
    default:
        return nvme_parse_effects(page, len, NVME_OP_SANITIZE_NS, &supported, err);
    }
}

static void test_firmware(void **state)
{
    (void)state;
    struct drive_firmware want = {.can_update = true,
                                  .slot1_read_only = true,
                                  .no_reset = true,
                                  .log_known = true,
                                  .unit_bytes = 3 * 4096,
                                  .active = 2,
                                  .next = 3,
                                  .slots = {{"OLD"}, {"12345678"}, {""}},
                                  .slot_count = 3};
    const struct nvme_ctrl_page from = {.ident = {.serial = "S"}, .caps = {.nn = 1}, .fw = want};
    struct nvme_ctrl_page ctrl;
    struct nvme_wire_ctrl page;
    struct nvme_wire_firmware log;
    struct err err = {0};
    nvme_build_ctrl(&from, &page);
    assert_int_equal(page.frmw, 0x17); /* by hand: slot 1 read-only, 3 slots, no reset */
    assert_int_equal(page.fwug, 3);
    assert_true(nvme_parse_ctrl(&page, sizeof(page), &ctrl, &err));
    nvme_build_firmware(&want, &log);
    assert_int_equal(log.afi, 0x32);
    assert_memory_equal(log.revision[0], "OLD     ", 8);
    assert_true(nvme_parse_firmware(&log, sizeof(log), &ctrl.fw, &err));
    for (size_t i = 0; i < want.slot_count; i++)
        assert_string_equal(ctrl.fw.slots[i].revision, want.slots[i].revision);
    memcpy(ctrl.fw.slots, want.slots, sizeof(want.slots));
    assert_memory_equal(&ctrl.fw, &want, sizeof(want));
    assert_false(nvme_parse_firmware(&log, sizeof(log) - 1, &ctrl.fw, &err));
    page.fwug = 0xff;
    assert_true(nvme_parse_ctrl(&page, sizeof(page), &ctrl, &(struct err){0}));
    assert_int_equal(ctrl.fw.unit_bytes, 4);
}

static void test_garbage(void **state)
{
    (void)state;
    struct rng rng = {7};
    uint8_t page[NVME_PAGE];
    for (size_t which = 0; which <= PARSERS; which++)
        for (size_t len = 0; len < NVME_PAGE; len += 511) {
            struct err err = {0};
            memset(page, 0, sizeof(page));
            page[4] = 'S';
            if (len < (which == 8 || which == 9 ? 512 : NVME_PAGE) && parse_any(which, page, len, &err))
                fail_msg("parser %zu reads a page of %zu bytes", which, len);
        }
    for (size_t round = 0; round < 2000; round++) {
        const unsigned sparse = (unsigned)rng_below(&rng, 8);
        for (size_t i = 0; i < sizeof(page); i++)
            page[i] = rng_below(&rng, 1u << sparse) == 0 ? (uint8_t)rng_next(&rng) : 0;
        struct err err = {0};
        const size_t which = round % (PARSERS + 1);
        if (!parse_any(which, page, sizeof(page), &err) && err.kind == ERR_NONE)
            fail_msg("parser %zu fails without saying why", which);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_checks),      cmocka_unit_test(test_never_all),    cmocka_unit_test(test_ctrl_round),
        cmocka_unit_test(test_ctrl_rows),   cmocka_unit_test(test_ns_round),     cmocka_unit_test(test_ns_rows),
        cmocka_unit_test(test_nsids),       cmocka_unit_test(test_descriptors),  cmocka_unit_test(test_ctrl_list),
        cmocka_unit_test(test_granularity), cmocka_unit_test(test_create),       cmocka_unit_test(test_logs),
        cmocka_unit_test(test_sanitize),    cmocka_unit_test(test_format_field), cmocka_unit_test(test_garbage),
        cmocka_unit_test(test_firmware),
    };
    return cmocka_run_group_tests_name("nvme_codec", tests, NULL, NULL);
}
