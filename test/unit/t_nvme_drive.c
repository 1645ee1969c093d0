#include "nvme_drive_fixture.h"

/* --- Scan -------------------------------------------------------------------------------------------------------- */

static void test_scan(void **state)
{
    (void)state;
    struct bench bench = {.dev = NULL};
    struct drive_seen seen;
    struct err err = {0};
    make_profile(&bench.profile);
    bench_open(&bench);
    const struct nvme_ns_ident a = make_ns(&bench, GIB), b = make_ns(&bench, 2 * GIB);
    expect_ok(nvme_detach(bench.dev, &bench.who, &a, NULL, &err), &err);
    bench.spy.count = 0;
    expect_ok(nvme_scan(bench.dev, &seen, &err), &err);
    assert_int_equal(mutations(&bench), 0);
    assert_string_equal(seen.ident.serial, "SN1");
    assert_true(drive_ident_eq(&seen.ident, &bench.who));
    assert_true(seen.caps.ns_management && seen.caps.format && seen.caps.granularity_list);
    assert_true(seen.caps.nsg_bytes == MIB && seen.caps.ncg_bytes == MIB);
    assert_true(seen.caps.total_bytes == 64 * GIB && seen.caps.free_bytes == 61 * GIB);
    assert_int_equal(seen.caps.lbaf_count, 2);
    assert_int_equal(seen.caps.lbaf[1].block_bytes, 4096);
    assert_true(seen.health.known);
    assert_int_equal(seen.health.spare_percent, 100);
    assert_int_equal(seen.ns_count, 2);
    const struct ns_seen *first = drive_ns(&seen, a.nsid), *second = drive_ns(&seen, b.nsid);
    assert_true(first != NULL && !first->attached && first->size_blocks * first->block_bytes == GIB);
    assert_true(second != NULL && second->attached && second->size_blocks * second->block_bytes == 2 * GIB);
    assert_memory_equal(first->nguid, a.nguid, sizeof(a.nguid));
    assert_false(seen.caps.sanitize_ns);
    bench_close(&bench);
}

/* Drives that cannot, or will not, answer. */
static uint16_t lie_no_allocated(const struct nvme_cmd *cmd, bool answered)
{
    const uint32_t cns = cmd->cdw10 & 0xff;
    return !answered && cmd->opcode == NVME_OP_IDENTIFY && (cns == 0x10 || cns == 0x11) ? NVME_ST_INVALID_FIELD : 0;
}

static uint16_t lie_no_common_formats(const struct nvme_cmd *cmd, bool answered)
{
    return !answered && cmd->opcode == NVME_OP_IDENTIFY && (cmd->cdw10 & 0xff) == 0 && cmd->nsid == NVME_NSID_ALL
               ? NVME_ST_INVALID_NS
               : 0;
}

static uint16_t lie_no_logs(const struct nvme_cmd *cmd, bool answered)
{
    return !answered && cmd->opcode == NVME_OP_GET_LOG ? NVME_ST_INVALID_FIELD : 0;
}

static uint16_t lie_no_granularity(const struct nvme_cmd *cmd, bool answered)
{
    return !answered && cmd->opcode == NVME_OP_IDENTIFY && (cmd->cdw10 & 0xff) == 0x16 ? NVME_ST_INVALID_FIELD : 0;
}

static uint16_t lie_crowd(const struct nvme_cmd *cmd, bool answered)
{
    if (answered && cmd->opcode == NVME_OP_IDENTIFY && (cmd->cdw10 & 0xff) == 0x10)
        for (uint32_t i = 0; i < 1024; i++)
            le32_write((uint8_t *)cmd->data + i * 4, i + 1);
    return 0;
}

static uint16_t lie_vanished(const struct nvme_cmd *cmd, bool answered)
{
    if (answered && cmd->opcode == NVME_OP_IDENTIFY && (cmd->cdw10 & 0xff) == 0x11)
        memset(cmd->data, 0, NVME_PAGE);
    return 0;
}

static uint16_t lie_internal(const struct nvme_cmd *cmd, bool answered)
{
    return !answered && (cmd->cdw10 & 0xff) == 0x10 ? NVME_ST_INTERNAL : 0;
}

static const struct {
    const char *rule;
    lie_fn lie;
    enum err_kind kind;
    size_t ns_count, lbaf_count;
    bool health, granularity;
} scans[] = {
    {"a good drive is read", NULL, ERR_NONE, 2, 2, true, true},
    {"without CNS 10h and 11h what is attached is read", lie_no_allocated, ERR_NONE, 1, 2, true, true},
    {"formats come from a namespace when the drive refuses them", lie_no_common_formats, ERR_NONE, 2, 2, true, true},
    {"health is best effort", lie_no_logs, ERR_NONE, 2, 2, false, true},
    {"a granularity list may be promised only", lie_no_granularity, ERR_NONE, 2, 2, true, false},
    {"too many namespaces are refused", lie_crowd, ERR_FULL, 0, 0, false, false},
    {"a namespace that vanishes meanwhile means: again", lie_vanished, ERR_BUSY, 0, 0, false, false},
    {"another failure is not taken for an answer", lie_internal, ERR_DEVICE, 0, 0, false, false},
};

static void test_scan_lies(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(scans) / sizeof(scans[0]); i++) {
        struct bench bench = {.dev = NULL};
        struct drive_seen seen = {.ns_count = 77};
        struct err err = {0};
        make_profile(&bench.profile);
        bench_open(&bench);
        const struct nvme_ns_ident a = make_ns(&bench, GIB);
        make_ns(&bench, 2 * GIB);
        expect_ok(nvme_detach(bench.dev, &bench.who, &a, NULL, &err), &err);
        bench.spy.lie = scans[i].lie;
        const bool ok = nvme_scan(bench.dev, &seen, &err);
        if (err.kind != scans[i].kind)
            fail_msg("%s: got %s '%s', want %s", scans[i].rule, err_kind_name(err.kind), err.msg,
                     err_kind_name(scans[i].kind));
        if (!ok)
            assert_int_equal(seen.ns_count, 77);
        else if (seen.ns_count != scans[i].ns_count || seen.caps.lbaf_count != scans[i].lbaf_count ||
                 seen.health.known != scans[i].health || seen.caps.granularity_list != scans[i].granularity)
            fail_msg("%s: got %zu namespaces, %zu formats, health %d, granularity %d", scans[i].rule, seen.ns_count,
                     seen.caps.lbaf_count, seen.health.known, seen.caps.granularity_list);
        bench_close(&bench);
    }
}

static void test_scan_plain_drive(void **state)
{
    (void)state;
    struct bench bench = {.dev = NULL};
    struct drive_seen seen;
    struct err err = {0};
    make_profile(&bench.profile);
    bench.profile.ns_management = false;
    bench.profile.factory_namespace = true;
    bench.profile.granularity_reported = false;
    bench_open(&bench);
    expect_ok(nvme_scan(bench.dev, &seen, &err), &err);
    assert_int_equal(seen.ns_count, 1);
    assert_true(seen.ns[0].attached && seen.ns[0].size_blocks > 0);
    assert_int_equal(seen.caps.lbaf_count, 2);
    assert_false(seen.caps.ns_management || seen.caps.granularity_list);
    const struct nvme_ns_spec spec = {.size_blocks = 2048};
    struct nsid nsid = {77};
    expect_err(nvme_create(bench.dev, &bench.who, &spec, &nsid, &err), &err, ERR_INPUT,
               "without namespace management nothing is created");
    assert_int_equal(nsid.v, 77);
    assert_int_equal(mutations(&bench), 0);
    bench_close(&bench);
}

/* --- What nobody may change -------------------------------------------------------------------------------------- */

enum change { CREATE, DELETE, ATTACH, DETACH, FORMAT, SANITIZE, CHANGES };

static const char *const change_names[] = {"create", "delete", "attach", "detach", "format", "sanitize"};

static bool do_change(struct bench *bench, enum change change, const struct drive_ident *who,
                      const struct nvme_ns_ident *ns, struct err *err)
{
    const struct nvme_ns_spec spec = {.size_blocks = 2048};
    struct nsid made = {0};
    switch (change) {
    case CREATE:
        return nvme_create(bench->dev, who, &spec, &made, err);
    case DELETE:
        return nvme_delete(bench->dev, who, ns, err);
    case ATTACH:
        return nvme_attach(bench->dev, who, ns->nsid, err);
    case DETACH:
        return nvme_detach(bench->dev, who, ns, NULL, err);
    case FORMAT:
        return nvme_format(bench->dev, who, ns, 1, MINUTE_MS, err);
    case SANITIZE:
        return nvme_sanitize_ns(bench->dev, who, ns, MINUTE_MS, err);
    case CHANGES:
    default:
        return false;
    }
}

enum wrong { SERIAL, MODEL, VENDOR, NQN, SIZE, NGUID, EUI64, NSID_OTHER, NSID_GONE, NSID_NONE, NSID_BROADCAST };

static const struct {
    const char *rule;
    enum wrong wrong;
    enum err_kind kind;
    bool create, attach; /* does it matter for these, which name no namespace, or only its NSID? */
} wrongs[] = {
    {"another serial number", SERIAL, ERR_CONFLICT, true, true},
    {"another model", MODEL, ERR_CONFLICT, true, true},
    {"another vendor", VENDOR, ERR_CONFLICT, true, true},
    {"another NQN", NQN, ERR_CONFLICT, true, true},
    {"another size", SIZE, ERR_CONFLICT, false, false},
    {"another NGUID", NGUID, ERR_CONFLICT, false, false},
    {"another EUI64", EUI64, ERR_CONFLICT, false, false},
    {"another namespace's NSID", NSID_OTHER, ERR_CONFLICT, false, false},
    {"an NSID that is free", NSID_GONE, ERR_MISSING, false, true},
    {"NSID 0", NSID_NONE, ERR_UNSAFE, false, true},
    {"NSID FFFFFFFFh", NSID_BROADCAST, ERR_UNSAFE, false, true},
};

static void spoil(enum wrong wrong, struct drive_ident *who, struct nvme_ns_ident *ns, struct nsid other)
{
    switch (wrong) {
    case SERIAL:
        who->serial[0] ^= 1;
        break;
    case MODEL:
        who->model[0] ^= 1;
        break;
    case VENDOR:
        who->vendor_id ^= 1;
        break;
    case NQN:
        who->nqn[0] ^= 1;
        break;
    case SIZE:
        ns->size_bytes += MIB;
        break;
    case NGUID:
        ns->nguid[15] ^= 1;
        break;
    case EUI64:
        ns->eui64[7] ^= 1;
        break;
    case NSID_OTHER:
        ns->nsid = other;
        break;
    case NSID_GONE:
        ns->nsid.v = 31;
        break;
    case NSID_NONE:
        ns->nsid.v = 0;
        break;
    case NSID_BROADCAST:
        ns->nsid.v = NVME_NSID_ALL;
        break;
    }
}

static void test_refused(void **state)
{
    (void)state;
    struct bench bench = {.dev = NULL};
    make_profile(&bench.profile);
    bench.profile.sanitize_ns = true;
    bench.profile.eui64 = SOFT_IDS_UNIQUE;
    bench_open(&bench);
    const struct nvme_ns_ident right = make_ns(&bench, GIB), other = make_ns(&bench, GIB);
    for (size_t i = 0; i < sizeof(wrongs) / sizeof(wrongs[0]); i++)
        for (unsigned change = 0; change < CHANGES; change++) {
            if ((change == CREATE && !wrongs[i].create) || (change == ATTACH && !wrongs[i].attach))
                continue;
            char rule[120];
            struct drive_ident who = bench.who;
            struct nvme_ns_ident ns = right;
            struct err err = {0};
            snprintf(rule, sizeof(rule), "%s with %s", change_names[change], wrongs[i].rule);
            spoil(wrongs[i].wrong, &who, &ns, other.nsid);
            expect_err(do_change(&bench, (enum change)change, &who, &ns, &err), &err, wrongs[i].kind, rule);
            if (mutations(&bench) != 0)
                fail_msg("%s: %02xh was sent", rule, last_change(&bench)->opcode);
            bench.spy.count = 0;
        }
    struct soft_log_entry log[8];
    assert_int_equal(soft_drive_log(bench.drive, log, 8), 4); /* the two creates and attaches of make_ns() */
    bench_close(&bench);
}

/* Identify Namespace without ids; the descriptors (CNS 03h) have them. */
static uint16_t lie_no_ids(const struct nvme_cmd *cmd, bool answered)
{
    if (answered && cmd->opcode == NVME_OP_IDENTIFY && (cmd->cdw10 & 0xff) == 0x11)
        memset((uint8_t *)cmd->data + 104, 0, 24);
    return 0;
}

static void test_ids_of_descriptors(void **state)
{
    (void)state;
    struct bench bench = {.dev = NULL};
    struct err err = {0};
    make_profile(&bench.profile);
    bench_open(&bench);
    struct nvme_ns_ident ns = make_ns(&bench, GIB);
    bench.spy.lie = lie_no_ids;
    expect_ok(nvme_expect_ns(bench.dev, &bench.who, &ns, &err), &err);
    ns.nguid[3] ^= 1;
    expect_err(nvme_expect_ns(bench.dev, &bench.who, &ns, &err), &err, ERR_CONFLICT, "descriptors are compared");
    bench_close(&bench);
}

/* Zero ids are no evidence: they are not compared. */
static void test_zero_ids(void **state)
{
    (void)state;
    struct bench bench = {.dev = NULL};
    struct err err = {0};
    make_profile(&bench.profile);
    bench_open(&bench);
    struct nvme_ns_ident ns = make_ns(&bench, GIB);
    memset(ns.nguid, 0, sizeof(ns.nguid));
    memset(ns.eui64, 0, sizeof(ns.eui64));
    expect_ok(nvme_expect_ns(bench.dev, &bench.who, &ns, &err), &err);
    expect_ok(nvme_expect(bench.dev, &bench.who, &err), &err);
    bench_close(&bench);
}

/* --- Making and removing ----------------------------------------------------------------------------------------- */

static const struct nvme_patience no_patience = {.limit_ms = 0};

static void test_life(void **state)
{
    (void)state;
    struct bench bench = {.dev = NULL};
    struct err err = {0};
    char path[PATH_TEXT_MAX] = "untouched";
    make_profile(&bench.profile);
    bench.profile.events = false; /* the host sees it after a rescan only */
    bench_open(&bench);
    const struct nvme_ns_ident ns = make_ns(&bench, GIB);
    expect_ok(nvme_wait_node(bench.dev, ns.nsid, &no_patience, path, &err), &err);
    assert_string_equal(path, ""); /* a drive in memory has no paths */

    expect_ok(nvme_attach(bench.dev, &bench.who, ns.nsid, &err), &err); /* already is success */
    expect_err(nvme_delete(bench.dev, &bench.who, &ns, &err), &err, ERR_CONFLICT, "what is attached is not deleted");
    err_clear(&err);
    assert_int_equal(last_change(&bench)->opcode, NVME_OP_NS_ATTACHMENT);

    expect_ok(nvme_detach(bench.dev, &bench.who, &ns, NULL, &err), &err);
    expect_ok(nvme_detach(bench.dev, &bench.who, &ns, NULL, &err), &err); /* likewise */
    expect_err(nvme_wait_node(bench.dev, ns.nsid, &no_patience, path, &err), &err, ERR_BUSY, "what is detached does not appear");
    err_clear(&err);

    expect_ok(nvme_delete(bench.dev, &bench.who, &ns, &err), &err);
    assert_true(soft_drive_free_bytes(bench.drive) == 64 * GIB);
    expect_err(nvme_delete(bench.dev, &bench.who, &ns, &err), &err, ERR_MISSING, "what is deleted is missing");
    bench_close(&bench);
}

/* The drive makes less than was ordered. */
static uint16_t lie_smaller(const struct nvme_cmd *cmd, bool answered)
{
    if (answered && cmd->opcode == NVME_OP_IDENTIFY && (cmd->cdw10 & 0xff) == 0x11) {
        uint8_t *page = cmd->data;
        le64_write(page, le64_read(page) - 1);
        le64_write(page + 8, le64_read(page));
    }
    return 0;
}

static uint16_t lie_other_format(const struct nvme_cmd *cmd, bool answered)
{
    if (answered && cmd->opcode == NVME_OP_IDENTIFY && (cmd->cdw10 & 0xff) == 0x11)
        ((uint8_t *)cmd->data)[26] = 1;
    return 0;
}

/* The completion names NSID FFFFFFFFh as the new namespace. */
static bool spy_create_all(struct nvme_dev *dev, struct nvme_cmd *cmd, struct err *err)
{
    const bool ok = spy_admin(dev, cmd, err);
    if (ok && cmd->opcode == NVME_OP_NS_MANAGEMENT)
        cmd->result = NVME_NSID_ALL;
    return ok;
}

static const struct nvme_dev_ops spy_create_all_ops = {
    .admin = spy_create_all, .ns_open = spy_ns_open, .ns_path = spy_ns_path, .rescan = spy_rescan};

static void test_create_is_checked(void **state)
{
    (void)state;
    static const struct {
        const char *rule;
        struct nvme_ns_spec spec;
        lie_fn lie;
        bool create_all;
        enum err_kind kind;
        size_t sent;
    } rows[] = {
        {"what was ordered is taken", {.size_blocks = 2048}, NULL, false, ERR_NONE, 1},
        {"in blocks of 4096 bytes too", {.size_blocks = 256, .lbaf = 1}, NULL, false, ERR_NONE, 1},
        {"another size is refused", {.size_blocks = 2048}, lie_smaller, false, ERR_DEVICE, 1},
        {"another format is refused", {.size_blocks = 2048}, lie_other_format, false, ERR_DEVICE, 1},
        {"all namespaces are no new one", {.size_blocks = 2048}, NULL, true, ERR_DEVICE, 1},
        {"what the drive has no room for is refused by it", {.size_blocks = 1ull << 40}, NULL, false, ERR_FULL, 1},
        {"no size is not ordered", {.size_blocks = 0}, NULL, false, ERR_INPUT, 0},
        {"no such format is not ordered", {.size_blocks = 2048, .lbaf = 64}, NULL, false, ERR_INPUT, 0},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct bench bench = {.dev = NULL};
        struct nsid nsid = {77};
        struct err err = {0};
        make_profile(&bench.profile);
        bench_open(&bench);
        bench.spy.lie = rows[i].lie;
        if (rows[i].create_all)
            bench.spy.dev.ops = &spy_create_all_ops;
        const bool ok = nvme_create(bench.dev, &bench.who, &rows[i].spec, &nsid, &err);
        if (err.kind != rows[i].kind || (nsid.v == 77) == ok || mutations(&bench) != rows[i].sent)
            fail_msg("%s: got %s '%s', NSID %u, %zu sent", rows[i].rule, err_kind_name(err.kind), err.msg, nsid.v,
                     mutations(&bench));
        bench_close(&bench);
    }
}

/* --- Erasing ----------------------------------------------------------------------------------------------------- */

static const struct {
    const char *rule;
    uint8_t fna;
    unsigned ses;
    bool neighbour, neighbour_detached;
    enum err_kind kind;
    uint32_t cdw10;
} formats[] = {
    {"user data erase with a neighbour", 0x00, 1, true, false, ERR_NONE, 0x200},
    {"crypto erase with a neighbour", 0x04, 2, true, false, ERR_NONE, 0x400},
    {"crypto erase where there is none", 0x00, 2, false, false, ERR_INPUT, 0},
    {"no secure erase at all", 0x04, 0, false, false, ERR_INPUT, 0},
    {"a reserved secure erase setting", 0x04, 3, false, false, ERR_INPUT, 0},
    {"a secure erase that hits all, with a neighbour", 0x06, 2, true, false, ERR_UNSAFE, 0},
    {"a secure erase that hits all, with a neighbour that is detached", 0x06, 1, true, true, ERR_UNSAFE, 0},
    {"a secure erase that hits all, alone", 0x06, 2, false, false, ERR_NONE, 0x400},
    {"a format that hits all, with a neighbour", 0x05, 2, true, false, ERR_UNSAFE, 0},
    {"a format that hits all, alone", 0x05, 1, false, false, ERR_NONE, 0x200},
    {"broadcast not supported does not matter", 0x0c, 2, true, false, ERR_NONE, 0x400},
};

static void test_format(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
        struct bench bench = {.dev = NULL};
        struct err err = {0};
        make_profile(&bench.profile);
        bench.profile.fna = formats[i].fna;
        bench_open(&bench);
        const struct nvme_ns_ident ns = make_ns(&bench, GIB);
        if (formats[i].neighbour) {
            const struct nvme_ns_ident neighbour = make_ns(&bench, GIB);
            if (formats[i].neighbour_detached)
                expect_ok(nvme_detach(bench.dev, &bench.who, &neighbour, NULL, &err), &err);
            bench.spy.count = 0;
        }
        const bool ok = nvme_format(bench.dev, &bench.who, &ns, formats[i].ses, MINUTE_MS, &err);
        if (err.kind != formats[i].kind || mutations(&bench) != ok)
            fail_msg("%s: got %s '%s', want %s, %zu sent", formats[i].rule, err_kind_name(err.kind), err.msg,
                     err_kind_name(formats[i].kind), mutations(&bench));
        if (ok) {
            const struct nvme_cmd *sent = last_change(&bench);
            if (sent->opcode != NVME_OP_FORMAT || sent->nsid != ns.nsid.v || sent->cdw10 != formats[i].cdw10 ||
                sent->timeout_ms != MINUTE_MS)
                fail_msg("%s: sent %02xh NSID %u CDW10 %xh in %u ms", formats[i].rule, sent->opcode, sent->nsid,
                         sent->cdw10, sent->timeout_ms);
        }
        bench_close(&bench);
    }
}

/* FNA changes after the caller looked: the fresh Identify decides. */
static uint16_t lie_hits_all(const struct nvme_cmd *cmd, bool answered)
{
    if (answered && cmd->opcode == NVME_OP_IDENTIFY && (cmd->cdw10 & 0xff) == 0x01)
        ((uint8_t *)cmd->data)[524] = 0x06;
    return 0;
}

/* Metadata and protection information as they are (FLBAS bit 4, DPS), in LBA format 17 of 18. */
static uint16_t lie_metadata(const struct nvme_cmd *cmd, bool answered)
{
    if (answered && cmd->opcode == NVME_OP_IDENTIFY && (cmd->cdw10 & 0xff) == 0x11) {
        uint8_t *page = cmd->data;
        page[25] = 17;
        page[26] = 0x31;
        page[29] = 0x0b;
        memcpy(page + 128 + 17 * 4, page + 128, 4);
    }
    if (!answered && cmd->opcode == NVME_OP_FORMAT)
        return NVME_ST_INVALID_FORMAT;
    return 0;
}

static void test_format_details(void **state)
{
    (void)state;
    struct bench bench = {.dev = NULL};
    struct err err = {0};
    make_profile(&bench.profile);
    bench_open(&bench);
    const struct nvme_ns_ident ns = make_ns(&bench, GIB);
    make_ns(&bench, GIB);
    bench.spy.lie = lie_hits_all;
    expect_err(nvme_format(bench.dev, &bench.who, &ns, 2, MINUTE_MS, &err), &err, ERR_UNSAFE,
               "a fresh Identify decides");
    assert_int_equal(mutations(&bench), 0);
    err_clear(&err);
    bench.spy.lie = lie_metadata;
    expect_err(nvme_format(bench.dev, &bench.who, &ns, 1, MINUTE_MS, &err), &err, ERR_DEVICE,
               "the drive's answer counts");
    /* LBAFL 1, LBAFU 1, MSET, PI 3, PIL, SES 1 */
    assert_int_equal(last_change(&bench)->cdw10, 1 | 1 << 12 | 1 << 4 | 3 << 5 | 1 << 8 | 1 << 9);
    bench_close(&bench);
}

/* Without a list of all namespaces a drive that erases all is not to be trusted, though only one is attached. */
static uint16_t lie_secretive(const struct nvme_cmd *cmd, bool answered)
{
    return lie_hits_all(cmd, answered) + lie_no_allocated(cmd, answered);
}

static void test_format_secretive(void **state)
{
    (void)state;
    struct bench bench = {.dev = NULL};
    struct err err = {0};
    make_profile(&bench.profile);
    bench_open(&bench);
    const struct nvme_ns_ident ns = make_ns(&bench, GIB);
    bench.spy.lie = lie_secretive;
    expect_err(nvme_format(bench.dev, &bench.who, &ns, 1, MINUTE_MS, &err), &err, ERR_UNSAFE,
               "who does not list all is not formatted at once");
    assert_int_equal(mutations(&bench), 0);
    bench_close(&bench);
}

static void test_timeout(void **state)
{
    (void)state;
    struct bench bench = {.dev = NULL};
    struct err err = {0};
    make_profile(&bench.profile);
    bench_open(&bench);
    const struct nvme_ns_ident ns = make_ns(&bench, GIB);
    const struct soft_fault fault = {
        .opcode = NVME_OP_FORMAT, .nth = 1, .count = 1, .kind = SOFT_FAULT_TIMEOUT_NOT_DONE};
    expect_ok(soft_drive_fault(bench.drive, &fault, &err), &err);
    expect_err(nvme_format(bench.dev, &bench.who, &ns, 1, MINUTE_MS, &err), &err, ERR_BUSY, "a timeout is passed on");
    assert_true(err.sys != 0 && err.nvme == 0);
    bench_close(&bench);
}

/* --- Progress ---------------------------------------------------------------------------------------------------- */

static uint16_t lie_formatting(const struct nvme_cmd *cmd, bool answered)
{
    if (answered && cmd->opcode == NVME_OP_IDENTIFY && (cmd->cdw10 & 0xff) == 0x11)
        ((uint8_t *)cmd->data)[32] = NVME_FPI_SUPPORTED | 30;
    return 0;
}

static uint16_t lie_format_answers_nothing(const struct nvme_cmd *cmd, bool answered)
{
    return !answered && cmd->opcode == NVME_OP_IDENTIFY && (cmd->cdw10 & 0xff) == 0x11 ? NVME_ST_FORMAT_RUNNING : 0;
}

static void sanitize_log(const struct nvme_cmd *cmd, uint32_t nsid, uint16_t status, uint16_t progress)
{
    if (cmd->opcode != NVME_OP_GET_LOG || (cmd->cdw10 & 0xff) != NVME_LID_SANITIZE)
        return;
    uint8_t *page = cmd->data;
    le16_write(page, progress);
    le16_write(page + 2, status);
    le32_write(page + 44, nsid);
}

static uint16_t lie_sanitizing(const struct nvme_cmd *cmd, bool answered)
{
    if (answered)
        sanitize_log(cmd, cmd->nsid, NVME_SSTAT_RUNNING, 0x4000);
    return 0;
}

static uint16_t lie_failed(const struct nvme_cmd *cmd, bool answered)
{
    if (answered)
        sanitize_log(cmd, cmd->nsid, NVME_SSTAT_FAILED, 0xffff);
    return 0;
}

static uint16_t lie_subsystem(const struct nvme_cmd *cmd, bool answered)
{
    if (answered)
        sanitize_log(cmd, 0, NVME_SSTAT_FAILED, 0xffff);
    return 0;
}

static uint16_t lie_dead(const struct nvme_cmd *cmd, bool answered)
{
    return !answered && cmd->opcode == NVME_OP_IDENTIFY && (cmd->cdw10 & 0xff) == 0x11 ? NVME_ST_INTERNAL : 0;
}

static const struct {
    const char *rule;
    lie_fn lie;
    enum err_kind kind;
    struct nvme_progress want;
} progresses[] = {
    {"nothing runs", NULL, ERR_NONE, {.known = true, .percent = 100}},
    {"a format that tells how far", lie_formatting, ERR_NONE, {.running = true, .known = true, .percent = 70}},
    {"a format that lets nothing be asked", lie_format_answers_nothing, ERR_NONE, {.running = true}},
    {"a sanitize", lie_sanitizing, ERR_NONE, {.running = true, .known = true, .percent = 25}},
    {"a sanitize that failed", lie_failed, ERR_NONE, {.known = true, .percent = 100, .failed = true}},
    {"a page about the subsystem says nothing", lie_subsystem, ERR_NONE, {.known = true, .percent = 100}},
    {"a drive that fails is not idle", lie_dead, ERR_DEVICE, {0}},
};

static void test_progress(void **state)
{
    (void)state;
    struct bench bench = {.dev = NULL};
    make_profile(&bench.profile);
    bench.profile.sanitize_ns = true;
    bench.profile.progress = true;
    bench_open(&bench);
    const struct nvme_ns_ident ns = make_ns(&bench, GIB);
    for (size_t i = 0; i < sizeof(progresses) / sizeof(progresses[0]); i++) {
        const struct nvme_progress *want = &progresses[i].want;
        struct nvme_progress got = {.running = false};
        struct err err = {0};
        bench.spy.lie = progresses[i].lie;
        nvme_progress(bench.dev, ns.nsid, &got, &err);
        if (err.kind != progresses[i].kind || got.running != want->running || got.known != want->known ||
            got.percent != want->percent || got.failed != want->failed)
            fail_msg("%s: got %s '%s', running %d, known %d, %u %%, failed %d", progresses[i].rule,
                     err_kind_name(err.kind), err.msg, got.running, got.known, got.percent, got.failed);
    }
    assert_int_equal(mutations(&bench), 0);
    bench_close(&bench);
}

static void test_sanitize_ns(void **state)
{
    (void)state;
    struct bench bench = {.dev = NULL};
    struct err err = {0};
    struct nvme_progress progress = {.running = true};
    uint8_t byte = 0x5a;
    make_profile(&bench.profile);
    bench_open(&bench);
    struct nvme_ns_ident ns = make_ns(&bench, GIB);
    expect_err(nvme_sanitize_ns(bench.dev, &bench.who, &ns, MINUTE_MS, &err), &err, ERR_INPUT,
               "a drive that does not list Sanitize Namespace is not sent it");
    assert_int_equal(mutations(&bench), 0);
    bench_close(&bench);
    bench.profile.sanitize_ns = true;
    err_clear(&err);
    bench_open(&bench);
    ns = make_ns(&bench, GIB);
    const struct nvme_ns_ident neighbour = make_ns(&bench, GIB);
    assert_true(soft_drive_poke(bench.drive, ns.nsid.v, 12345, &byte, 1));
    assert_true(soft_drive_poke(bench.drive, neighbour.nsid.v, 12345, &byte, 1));
    expect_ok(nvme_sanitize_ns(bench.dev, &bench.who, &ns, MINUTE_MS, &err), &err);
    assert_int_equal(last_change(&bench)->cdw10, NVME_SANACT_CRYPTO);
    for (unsigned polls = 0; progress.running && polls < 100; polls++)
        expect_ok(nvme_progress(bench.dev, ns.nsid, &progress, &err), &err);
    assert_false(progress.running || progress.failed);
    assert_true(soft_drive_peek(bench.drive, neighbour.nsid.v, 12345, &byte, 1));
    assert_int_equal(byte, 0x5a);
    bench_close(&bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scan),
        cmocka_unit_test(test_scan_lies),
        cmocka_unit_test(test_scan_plain_drive),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_zero_ids),
        cmocka_unit_test(test_ids_of_descriptors),
        cmocka_unit_test(test_life),
        cmocka_unit_test(test_create_is_checked),
        cmocka_unit_test(test_format),
        cmocka_unit_test(test_format_details),
        cmocka_unit_test(test_format_secretive),
        cmocka_unit_test(test_timeout),
        cmocka_unit_test(test_progress),
        cmocka_unit_test(test_sanitize_ns),
    };
    return cmocka_run_group_tests_name("nvme_drive", tests, NULL, NULL);
}
