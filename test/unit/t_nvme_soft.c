#include "soft_fixture.h"

#include <errno.h>

/* --- What is refused --------------------------------------------------------------------------------------------- */

static struct nvme_wire_create page_good = {.nsze = {{0, 8}}, .ncap = {{0, 8}}}; /* 2048 x 512 = 1 MiB */
static struct nvme_wire_create page_off = {.nsze = {{1, 8}}, .ncap = {{1, 8}}};
static struct nvme_wire_create page_thin = {.nsze = {{0, 16}}, .ncap = {{0, 8}}};
static struct nvme_wire_create page_shared = {.nsze = {{0, 8}}, .ncap = {{0, 8}}, .nmic = 1};
static struct nvme_wire_create page_reserved = {.nsze = {{0, 8}}, .ncap = {{0, 8}}, .reserved104 = {[9] = 1}};
static struct nvme_wire_create page_lbaf = {.nsze = {{0, 8}}, .ncap = {{0, 8}}, .flbas = 9};
static struct nvme_wire_create page_large = {.nsze = {{0, 0, 4}}, .ncap = {{0, 0, 4}}}; /* 128 MiB */
static struct nvme_wire_ctrl_list us = {.count = {{1}}, .cntlid = {{{1}}}};
static struct nvme_wire_ctrl_list other = {.count = {{1}}, .cntlid = {{{2}}}};
static struct nvme_wire_ctrl_list two = {.count = {{2}}, .cntlid = {{{1}}, {{2}}}};

#define PAGE(p) .data = &(p), .data_len = NVME_PAGE
#define ASK .data = zeros, .data_len = NVME_PAGE

/* Namespace 1 is attached, 2 is not, 3 is not there. */
static const struct {
    const char *rule;
    struct nvme_cmd cmd;
    uint16_t status;
} refusals[] = {
    {"an unknown opcode", {.opcode = 0xc1}, 0x001},
    {"a firmware download without data", {.opcode = 0x11}, 0x002},
    {"Identify with a short page", {.opcode = 0x06, .cdw10 = 1, .data = zeros, .data_len = 512}, 0x002},
    {"Identify with a reserved bit", {.opcode = 0x06, .cdw10 = 0x101, ASK}, 0x002},
    {"Identify with CDW12", {.opcode = 0x06, .cdw10 = 1, .cdw12 = 1, ASK}, 0x002},
    {"Identify of an unknown structure", {.opcode = 0x06, .cdw10 = 0x77, ASK}, 0x002},
    {"Identify Controller with a namespace", {.opcode = 0x06, .cdw10 = 1, .nsid = 1, ASK}, 0x002},
    {"Identify Namespace 0", {.opcode = 0x06, .cdw10 = 0, ASK}, 0x00b},
    {"Identify Namespace above NN", {.opcode = 0x06, .cdw10 = 0, .nsid = 9, ASK}, 0x00b},
    {"descriptors of a namespace that is not attached", {.opcode = 0x06, .cdw10 = 3, .nsid = 2, ASK}, 0x00b},
    {"a log that is not there", {.opcode = 0x02, .cdw10 = 0x70 | 1023 << 16, ASK}, 0x109},
    {"a log of another length than its data", {.opcode = 0x02, .cdw10 = 0x02 | 127 << 16, ASK}, 0x002},
    {"a log beyond its end", {.opcode = 0x02, .cdw10 = 0x02 | 1023 << 16, ASK}, 0x002},
    {"a create without a page", {.opcode = 0x0d}, 0x002},
    {"a create that names a namespace", {.opcode = 0x0d, .nsid = 3, PAGE(page_good)}, 0x002},
    {"a create off the granule", {.opcode = 0x0d, PAGE(page_off)}, 0x002},
    {"a create with NCAP below NSZE", {.opcode = 0x0d, PAGE(page_thin)}, 0x11b},
    {"a create of a shared namespace", {.opcode = 0x0d, PAGE(page_shared)}, 0x002},
    {"a create with a reserved byte", {.opcode = 0x0d, PAGE(page_reserved)}, 0x002},
    {"a create of size 0", {.opcode = 0x0d, ASK}, 0x002},
    {"a create with an LBA format that is not there", {.opcode = 0x0d, PAGE(page_lbaf)}, 0x10a},
    {"a create larger than what is free", {.opcode = 0x0d, PAGE(page_large)}, 0x115},
    {"a create with CDW11", {.opcode = 0x0d, .cdw11 = 1u << 24, PAGE(page_good)}, 0x002},
    {"an unknown namespace management", {.opcode = 0x0d, .cdw10 = 2, .nsid = 2}, 0x002},
    {"a delete of an attached namespace", {.opcode = 0x0d, .cdw10 = 1, .nsid = 1}, 0x00c},
    {"a delete of what is not there", {.opcode = 0x0d, .cdw10 = 1, .nsid = 3}, 0x00b},
    {"a delete of all where one is attached", {.opcode = 0x0d, .cdw10 = 1, .nsid = NVME_NSID_ALL}, 0x00c},
    {"an attach of what is attached", {.opcode = 0x15, .nsid = 1, PAGE(us)}, 0x118},
    {"a detach of what is not", {.opcode = 0x15, .cdw10 = 1, .nsid = 2, PAGE(us)}, 0x11a},
    {"an attach to another controller", {.opcode = 0x15, .nsid = 2, PAGE(other)}, 0x11c},
    {"an attach to two controllers", {.opcode = 0x15, .nsid = 2, PAGE(two)}, 0x11c},
    {"an attach to none", {.opcode = 0x15, .nsid = 2, ASK}, 0x11c},
    {"an attach of what is not there", {.opcode = 0x15, .nsid = 3, PAGE(us)}, 0x00b},
    {"a format of what is not attached", {.opcode = 0x80, .cdw10 = 1 << 9, .nsid = 2}, 0x11a},
    {"a format of what is not there", {.opcode = 0x80, .cdw10 = 1 << 9, .nsid = 3}, 0x00b},
    {"a format with an unknown erase", {.opcode = 0x80, .cdw10 = 3 << 9, .nsid = 1}, 0x002},
    {"a format with protection information", {.opcode = 0x80, .cdw10 = 1 << 9 | 1 << 5, .nsid = 1}, 0x002},
    {"a format with a reserved bit", {.opcode = 0x80, .cdw10 = 1 << 9 | 1 << 20, .nsid = 1}, 0x002},
    {"a format to an LBA format that is not there", {.opcode = 0x80, .cdw10 = 1 << 9 | 7, .nsid = 1}, 0x10a},
    {"a sanitize where there is none", {.opcode = 0x84, .cdw10 = 2}, 0x001},
    {"a sanitize of a namespace where there is none", {.opcode = 0x8c, .cdw10 = 4, .nsid = 1}, 0x001},
    {"a feature that is not there", {.opcode = 0x0a, .cdw10 = 0x7f}, 0x002},
};

static void test_refusals(void **state)
{
    struct soft_drive *drive = make(*state, BASE);
    add_ns(drive, 4 * MIB);
    assert_int_equal(create(drive, 4 * MIB, 0, NULL), 0);
    unsigned failed = 0;
    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
        struct nvme_cmd cmd = refusals[i].cmd;
        memset(zeros, 0, sizeof(zeros));
        const uint16_t got = admin(drive, &cmd);
        if (got != refusals[i].status) {
            print_error("%s: got 0x%03x, want 0x%03x\n", refusals[i].rule, got, refusals[i].status);
            failed++;
        }
        check_whole(drive);
    }
    assert_int_equal(failed, 0);
    struct soft_ns_view views[8];
    assert_int_equal(soft_drive_ns(drive, views, 8), 2); /* nothing was changed by what was refused */
    assert_int_equal(soft_drive_free_bytes(drive), 56 * MIB);
}

static void test_io_refusals(void **state)
{
    static uint8_t block[8192];
    struct soft_drive *drive = make(*state, BASE);
    add_ns(drive, MIB);
    create(drive, MIB, 0, NULL);
    static const struct {
        const char *rule;
        struct nvme_cmd cmd;
        uint16_t status;
    } rows[] = {
        {"a read", {.opcode = 2, .nsid = 1, .data = block, .data_len = 512}, 0},
        {"the last block", {.opcode = 1, .nsid = 1, .cdw10 = 2047, .data = block, .data_len = 512}, 0},
        {"one block beyond", {.opcode = 1, .nsid = 1, .cdw10 = 2048, .data = block, .data_len = 512}, 0x080},
        {"across the end", {.opcode = 2, .nsid = 1, .cdw10 = 2047, .cdw12 = 1, .data = block, .data_len = 1024}, 0x080},
        {"far beyond", {.opcode = 2, .nsid = 1, .cdw11 = UINT32_MAX, .data = block, .data_len = 512}, 0x080},
        {"a wrong length", {.opcode = 2, .nsid = 1, .cdw12 = 1, .data = block, .data_len = 512}, 0x002},
        {"a reserved bit", {.opcode = 2, .nsid = 1, .cdw13 = 1 << 8, .data = block, .data_len = 512}, 0x002},
        {"hints of a read ahead",
         {.opcode = 2, .nsid = 1, .cdw12 = 1u << 31, .cdw13 = 7, .data = block, .data_len = 512},
         0},
        {"not attached", {.opcode = 2, .nsid = 2, .data = block, .data_len = 512}, 0x00b},
        {"not there", {.opcode = 2, .nsid = 3, .data = block, .data_len = 512}, 0x00b},
        {"zeroes", {.opcode = 8, .nsid = 1, .cdw12 = 7}, 0},
        {"flush", {.opcode = 0, .nsid = 1}, 0},
        {"an unknown one", {.opcode = 0x7d, .nsid = 1}, 0x001},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct nvme_cmd cmd = rows[i].cmd;
        const uint16_t got = io(drive, &cmd);
        if (got != rows[i].status)
            fail_msg("%s: got 0x%03x, want 0x%03x", rows[i].rule, got, rows[i].status);
    }
}

/* --- Namespaces -------------------------------------------------------------------------------------------------- */

static void test_space(void **state)
{
    struct soft_drive *drive = make(*state, "capacity = 64MiB\nnn = 3\ngranularity = 8MiB\ngranularity_strict = no\n");
    struct soft_ns_view ns[8];
    assert_int_equal(soft_drive_ns(drive, ns, 8), 1); /* born with one over the whole drive */
    assert_int_equal(ns[0].size_blocks * ns[0].block_bytes, 64 * MIB);
    assert_true(ns[0].attached);
    assert_int_equal(soft_drive_free_bytes(drive), 0);
    assert_int_equal(create(drive, 8 * MIB, 0, NULL), 0x115);
    assert_int_equal(attachment(drive, 1, NVME_NS_DETACH), 0);
    assert_int_equal(delete_ns(drive, 1), 0);
    assert_int_equal(soft_drive_free_bytes(drive), 64 * MIB);

    uint32_t nsid;
    assert_int_equal(create(drive, 9 * MIB, 0, &nsid), 0); /* charged rounded up to the granule */
    assert_int_equal(nsid, 1);
    assert_int_equal(soft_drive_free_bytes(drive), 48 * MIB);
    assert_int_equal(create(drive, 8 * MIB, 1, &nsid), 0);
    assert_int_equal(nsid, 2);
    assert_int_equal(delete_ns(drive, 1), 0);
    assert_int_equal(create(drive, 8 * MIB, 0, &nsid), 0);
    assert_int_equal(nsid, 1); /* the lowest that is free */
    assert_int_equal(create(drive, 8 * MIB, 0, &nsid), 0);
    assert_int_equal(create(drive, 8 * MIB, 0, NULL), 0x116); /* NN */
    check_whole(drive);
    restart(*state);
    assert_int_equal(soft_drive_ns(((struct bench *)*state)->drive, ns, 8), 3);
    assert_int_equal(ns[1].block_bytes, 4096);
    assert_int_equal(ns[1].size_blocks, 2048);
}

static void test_pages(void **state)
{
    struct soft_drive *drive = make(*state, BASE "fna = 0x05\nmnan = 6\n");
    union {
        uint8_t bytes[NVME_PAGE];
        struct nvme_wire_ctrl ctrl;
        struct nvme_wire_ns ns;
        struct nvme_wire_ns_list list;
        struct nvme_wire_ctrl_list ctrls;
        struct nvme_wire_granularity granularity;
        struct nvme_wire_effects effects;
    } page;
    add_ns(drive, 4 * MIB);
    create(drive, 4 * MIB, 1, NULL);
    assert_int_equal(identify(drive, NVME_CNS_CTRL, 0, &page), 0);
    assert_memory_equal(page.ctrl.sn, "S1                  ", 20);
    assert_int_equal(le128_get(page.ctrl.tnvmcap), 64 * MIB);
    assert_int_equal(le128_get(page.ctrl.unvmcap), 56 * MIB);
    assert_int_equal(page.ctrl.fna, 5);
    assert_int_equal(le32_get(page.ctrl.nn), 8);
    assert_int_equal(le32_get(page.ctrl.mnan), 6);
    assert_int_equal(le16_get(page.ctrl.oacs), NVME_OACS_FORMAT | NVME_OACS_FIRMWARE | NVME_OACS_NS_MANAGEMENT);
    assert_int_equal(identify(drive, NVME_CNS_NS, NVME_NSID_ALL, &page), 0);
    assert_int_equal(page.ns.nlbaf, 1);
    assert_int_equal(page.ns.lbaf[1].lbads, 12);
    assert_int_equal(identify(drive, NVME_CNS_ACTIVE_NS_LIST, 0, &page), 0);
    assert_int_equal(le32_get(page.list.nsid[0]), 1);
    assert_int_equal(le32_get(page.list.nsid[1]), 0);
    assert_int_equal(identify(drive, NVME_CNS_ALLOCATED_NS_LIST, 1, &page), 0);
    assert_int_equal(le32_get(page.list.nsid[0]), 2);
    assert_int_equal(identify(drive, NVME_CNS_NS, 2, &page), 0);
    assert_int_equal(le64_get(page.ns.nsze), 0); /* not attached: zeros */
    assert_int_equal(identify(drive, NVME_CNS_ALLOCATED_NS, 2, &page), 0);
    assert_int_equal(le64_get(page.ns.nsze), 1024);
    assert_int_equal(page.ns.flbas, 1);
    assert_int_equal(identify(drive, NVME_CNS_NS_CTRL_LIST, 1, &page), 0);
    assert_int_equal(le16_get(page.ctrls.count), 1);
    assert_int_equal(identify(drive, NVME_CNS_NS_CTRL_LIST, 2, &page), 0);
    assert_int_equal(le16_get(page.ctrls.count), 0);
    assert_int_equal(identify(drive, NVME_CNS_NS_GRANULARITY, 0, &page), 0);
    assert_int_equal(le64_get(page.granularity.at[0].ncapg), MIB);
    assert_int_equal(get_log(drive, NVME_LID_EFFECTS, 0, &page, NVME_PAGE), 0);
    assert_int_equal(le32_get(page.effects.admin[NVME_OP_SANITIZE_NS]), 0);
    assert_true(le32_get(page.effects.admin[NVME_OP_NS_MANAGEMENT]) & NVME_EFFECT_INVENTORY);
    assert_int_equal(get_log(drive, NVME_LID_CHANGED_NS, 0, &page, NVME_PAGE), 0);
    assert_int_equal(le32_get(page.list.nsid[0]), 1);
    assert_int_equal(get_log(drive, NVME_LID_CHANGED_NS, 0, &page, NVME_PAGE), 0);
    assert_int_equal(le32_get(page.list.nsid[0]), 0); /* reading cleared it */
}

static uint64_t units_written(struct soft_drive *drive, uint32_t nsid)
{
    struct nvme_wire_smart smart = {0};
    assert_int_equal(get_log(drive, NVME_LID_SMART, nsid, &smart, sizeof(smart)), 0);
    return le128_get(smart.units_written);
}

static void write_units(struct soft_drive *drive, uint32_t nsid, unsigned units)
{
    enum { BYTES = 512000 };
    void *data = calloc(1, BYTES);
    assert_non_null(data);
    for (unsigned i = 0; i < units; i++) {
        struct nvme_cmd cmd = {
            .opcode = NVME_IO_WRITE, .nsid = nsid, .cdw12 = BYTES / 512 - 1, .data = data, .data_len = BYTES};
        assert_int_equal(io(drive, &cmd), 0);
    }
    free(data);
}

/* Base 2.0, "SMART / Health Information": Data Units Written counts thousands of 512 bytes, rounded up. */
static void test_smart_log_counts_what_is_written(void **state)
{
    struct soft_drive *drive = make(*state, "capacity = 64MiB\nsmart_per_namespace = yes\nfactory_namespace = no\n"
                                            "health = used=7 warning=4 temperature=50 spare=90 written=1000\n");
    const uint32_t a = add_ns(drive, 16 << 20), b = add_ns(drive, 16 << 20);
    union {
        struct nvme_wire_ctrl ctrl;
        struct nvme_wire_smart smart;
        uint8_t room[NVME_PAGE];
    } page;
    assert_int_equal(identify(drive, NVME_CNS_CTRL, 0, &page), 0);
    assert_true(page.ctrl.lpa & NVME_LPA_SMART_NS);
    write_units(drive, a, 3);
    write_units(drive, b, 2);
    assert_int_equal(units_written(drive, NVME_NSID_ALL), 1005);
    assert_int_equal(units_written(drive, a), 3);
    assert_int_equal(units_written(drive, b), 2);
    assert_int_equal(get_log(drive, NVME_LID_SMART, a, &page, sizeof(page.smart)), 0);
    assert_int_equal(page.smart.percentage_used, 7); /* the rest is the drive's */
    assert_int_equal(page.smart.critical_warning, 4);
    assert_int_equal(le16_get(page.smart.temperature), 273 + 50);
    assert_int_equal(page.smart.available_spare, 90);
    assert_int_equal(get_log(drive, NVME_LID_SMART, 9, &page, sizeof(page.smart)), NVME_ST_INVALID_NS);
    struct soft_health health = soft_drive_health(drive);
    struct err err = {0};
    assert_true(soft_health_parse("media_errors=3", &health, &err));
    soft_drive_set_health(drive, &health);
    assert_int_equal(get_log(drive, NVME_LID_SMART, 0, &page, sizeof(page.smart)), 0);
    assert_int_equal(le128_get(page.smart.media_errors), 3);
    assert_int_equal(page.smart.percentage_used, 7);
}

static void test_no_management(void **state)
{
    struct soft_drive *drive = make(*state, "capacity = 64MiB\nnn = 1\nns_management = no\n");
    assert_int_equal(identify(drive, NVME_CNS_NS, NVME_NSID_ALL, zeros), 0x00b);
    assert_int_equal(identify(drive, NVME_CNS_ALLOCATED_NS_LIST, 0, zeros), 0x002);
    assert_int_equal(attachment(drive, 1, NVME_NS_DETACH), 0x001);
    assert_int_equal(delete_ns(drive, 1), 0x001);
    assert_int_equal(format(drive, 1, 1, 0), 0);
}

static void test_ids(void **state)
{
    static const struct {
        const char *kind;
        bool zero, same_again;
    } rows[] = {{"unique", false, false}, {"zero", true, true}, {"reused", false, true}};
    for (size_t i = 0; i < 3; i++) {
        struct bench bench;
        char text[200];
        static const uint8_t none[16];
        struct soft_ns_view a[2], b[2];
        setup(&bench, ((struct bench *)*state)->files);
        snprintf(text, sizeof(text), BASE "nguid = %s\neui64 = %s\n", rows[i].kind, rows[i].kind);
        struct soft_drive *drive = make(&bench, text);
        create(drive, MIB, 0, NULL);
        create(drive, MIB, 0, NULL);
        soft_drive_ns(drive, a, 2);
        delete_ns(drive, 1);
        create(drive, MIB, 0, NULL);
        soft_drive_ns(drive, b, 2);
        assert_int_equal(memcmp(a[0].nguid, none, 16) == 0, rows[i].zero);
        assert_int_equal(memcmp(a[0].eui64, none, 8) == 0, rows[i].zero);
        assert_int_equal(memcmp(a[0].nguid, b[0].nguid, 16) == 0, rows[i].same_again);
        assert_int_equal(memcmp(a[0].eui64, b[0].eui64, 8) == 0, rows[i].same_again);
        assert_int_equal(memcmp(a[0].nguid, a[1].nguid, 16) == 0, rows[i].zero);
        void *one = &bench;
        teardown(&one);
    }
}

static void test_delete_order(void **state)
{
    struct soft_drive *drive = make(*state, BASE "reclaim = delete-order\n");
    for (int i = 0; i < 4; i++)
        create(drive, 16 * MIB, 0, NULL);
    assert_int_equal(delete_ns(drive, 2), 0);
    assert_int_equal(soft_drive_free_bytes(drive), 0); /* 3 and 4 were made later */
    assert_int_equal(delete_ns(drive, 3), 0);
    assert_int_equal(soft_drive_free_bytes(drive), 0);
    drive = restart(*state);
    assert_int_equal(delete_ns(drive, 4), 0);
    assert_int_equal(soft_drive_free_bytes(drive), 48 * MIB);
    check_whole(drive);
}

static void test_leaky_delete(void **state)
{
    for (int leaky = 0; leaky <= 1; leaky++) {
        struct bench bench;
        setup(&bench, ((struct bench *)*state)->files);
        struct soft_drive *drive = make(&bench, leaky ? BASE "leaky_delete = yes\n" : BASE);
        plant(drive, add_ns(drive, 8 * MIB));
        attachment(drive, 1, NVME_NS_DETACH);
        assert_int_equal(delete_ns(drive, 1), 0);
        drive = restart(&bench);
        const uint32_t nsid = add_ns(drive, 16 * MIB); /* of another size */
        assert_int_equal(found(drive, nsid), leaky ? 64 : 0);
        void *one = &bench;
        teardown(&one);
    }
}

static void test_events(void **state)
{
    char path[PATH_TEXT_MAX];
    struct err err = {0};
    struct soft_drive *drive = make(*state, BASE "events = no\n");
    add_ns(drive, MIB);
    assert_false(soft_drive_visible(drive, 1));
    assert_false(soft_drive_ns_path(drive, 1, path, &err));
    assert_int_equal(err.kind, ERR_MISSING);
    soft_drive_rescan(drive);
    assert_true(soft_drive_visible(drive, 1));
    assert_int_equal(attachment(drive, 1, NVME_NS_DETACH), 0);
    assert_false(soft_drive_visible(drive, 1));
}

/* --- As a port --------------------------------------------------------------------------------------------------- */

static void test_port(void **state)
{
    struct soft_drive *drive = make(*state, BASE "format_ms = 5000\n");
    struct soft_drive *drives[] = {drive};
    struct nvme_port port;
    struct nvme_names names;
    struct nvme_dev *dev = NULL;
    struct nvme_ns *ns = NULL, *more = NULL;
    struct err err = {0};
    uint8_t block[1024], back[1024];
    soft_port(drives, 1, &port);
    assert_true(port.list(port.self, &names, &err));
    assert_int_equal(names.count, 1);
    assert_string_equal(names.at[0], "S1");
    assert_false(port.open(port.self, "S2", &dev, &err));
    assert_int_equal(err.kind, ERR_MISSING);
    err_clear(&err);
    assert_true(port.open(port.self, "S1", &dev, &err));
    add_ns(drive, 4 * MIB);

    struct nvme_cmd cmd = {.opcode = NVME_OP_FORMAT, .nsid = NVME_NSID_ALL, .cdw10 = 1 << 9, .timeout_ms = 1000};
    assert_false(dev->ops->admin(dev, &cmd, &err)); /* never even sent */
    assert_int_equal(err.kind, ERR_UNSAFE);
    err_clear(&err);

    assert_true(dev->ops->ns_open(dev, (struct nsid){1}, true, &ns, &err));
    assert_int_equal(ns->size_blocks, 8192);
    assert_false(dev->ops->ns_open(dev, (struct nsid){1}, true, &more, &err));
    assert_int_equal(err.kind, ERR_BUSY);
    err_clear(&err);
    memset(block, 0x5a, sizeof(block));
    assert_true(ns->ops->write(ns, 8190, 2, block, &err));
    assert_true(ns->ops->flush(ns, &err));
    assert_true(ns->ops->read(ns, 8190, 2, back, &err));
    assert_memory_equal(block, back, sizeof(back));
    assert_false(ns->ops->read(ns, 8191, 2, back, &err));
    assert_int_equal(err.nvme, NVME_ST_LBA_RANGE);
    err_clear(&err);
    nvme_ns_close(ns);

    cmd = (struct nvme_cmd){.opcode = NVME_OP_FORMAT, .nsid = 1, .cdw10 = 1 << 9, .timeout_ms = 2000};
    assert_false(dev->ops->admin(dev, &cmd, &err)); /* takes 5 s, has 2 s */
    assert_int_equal(err.kind, ERR_BUSY);
    assert_int_equal(err.sys, ETIMEDOUT);
    err_clear(&err);
    soft_drive_tick(drive, 5000); /* it went on */
    assert_true(soft_drive_peek(drive, 1, 8190 * 512, back, sizeof(back)));
    assert_int_equal(back[0], 0);
    cmd.timeout_ms = 6000;
    assert_true(dev->ops->admin(dev, &cmd, &err)); /* and here the time is enough */
    assert_int_equal(soft_drive_now_ms(drive), 10000);
    nvme_dev_close(dev);
    port.close(port.self);
}

static void test_port_keeps_to_what_was_opened(void **state)
{
    struct soft_drive *drive = make(*state, BASE);
    struct soft_drive *drives[] = {drive};
    struct nvme_port port;
    struct nvme_dev *dev = NULL;
    struct nvme_ns *ns = NULL;
    struct err err = {0};
    uint8_t block[512];
    soft_port(drives, 1, &port);
    add_ns(drive, 4 * MIB);
    assert_true(port.open(port.self, "S1", &dev, &err));
    assert_true(dev->ops->ns_open(dev, (struct nsid){1}, false, &ns, &err));
    attachment(drive, 1, NVME_NS_DETACH);
    delete_ns(drive, 1);
    assert_int_equal(add_ns(drive, 4 * MIB), 1); /* the same number, another namespace */
    assert_false(ns->ops->read(ns, 0, 1, block, &err));
    assert_int_equal(err.kind, ERR_MISSING);
    err_clear(&err);
    nvme_ns_close(ns);

    soft_drive_set_present(drive, false);
    struct nvme_cmd cmd = {.opcode = NVME_OP_IDENTIFY, .cdw10 = 1, .data = zeros, .data_len = 4096, .timeout_ms = 1000};
    assert_false(dev->ops->admin(dev, &cmd, &err));
    assert_int_equal(err.kind, ERR_MISSING);
    err_clear(&err);
    soft_drive_set_present(drive, true); /* plugged in again it is another device */
    assert_false(dev->ops->admin(dev, &cmd, &err));
    err_clear(&err);
    nvme_dev_close(dev);
    assert_true(port.open(port.self, "S1", &dev, &err));
    assert_true(dev->ops->admin(dev, &cmd, &err));
    nvme_dev_close(dev);
    port.close(port.self);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(test_refusals),
        BOTH(test_io_refusals),
        BOTH(test_space),
        BOTH(test_pages),
        BOTH(test_smart_log_counts_what_is_written),
        BOTH(test_no_management),
        BOTH(test_ids),
        BOTH(test_delete_order),
        BOTH(test_leaky_delete),
        BOTH(test_events),
        BOTH(test_port),
        BOTH(test_port_keeps_to_what_was_opened),
    };
    return cmocka_run_group_tests_name("nvme_soft", tests, NULL, NULL);
}
