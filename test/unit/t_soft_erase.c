#include "soft_fixture.h"

/* --- Erasing ----------------------------------------------------------------------------------------------------- */

/* Base 2.0, FNA: bit 0: any format hits all; bit 1: a secure erase hits all; bit 2: there is a cryptographic erase;
 * bit 3: FFFFFFFFh is not supported. */
static void test_fna(void **state)
{
    for (unsigned fna = 0; fna < 16; fna++)
        for (unsigned ses = 0; ses <= 2; ses++) {
            struct bench bench;
            char text[200];
            setup(&bench, ((struct bench *)*state)->files);
            snprintf(text, sizeof(text), BASE "fna = %u\n", fna);
            struct soft_drive *drive = make(&bench, text);
            plant(drive, add_ns(drive, 8 * MIB));
            plant(drive, add_ns(drive, 8 * MIB));
            const bool known = ses < 2 || fna & 4;
            const bool hits_all = fna & 1 || (ses != 0 && fna & 2);
            const uint16_t status = format(drive, 1, ses, 0);
            const unsigned want_1 = known && ses != 0 ? 0 : 64, want_2 = known && ses != 0 && hits_all ? 0 : 64;
            if (status != (known ? 0 : 0x002) || found(drive, 1) != want_1 || found(drive, 2) != want_2)
                fail_msg("fna %u ses %u: status 0x%03x, left %u and %u, want %u and %u", fna, ses, status,
                         found(drive, 1), found(drive, 2), want_1, want_2);
            plant(drive, 2);
            assert_int_equal(format(drive, NVME_NSID_ALL, 1, 0), fna & 8 ? 0x002 : 0);
            assert_int_equal(found(drive, 2), fna & 8 ? 64 : 0);
            void *one = &bench;
            teardown(&one);
        }
}

/* A format without secure erase is none that FNA bit 1 tells of. */
static void test_format_without_erase_is_for_one(void **state)
{
    struct soft_drive *drive = make(*state, BASE "fna = 0x06\nformat_ms = 1000\n");
    add_ns(drive, MIB);
    add_ns(drive, MIB);
    struct nvme_cmd read = {.opcode = NVME_IO_READ, .nsid = 2, .data = zeros, .data_len = 512};
    assert_int_equal(format(drive, 1, 0, 0), PENDING);
    assert_int_equal(io(drive, &read), 0);
    soft_drive_tick(drive, 1000);
    assert_int_equal(format(drive, 1, 1, 0), PENDING);
    assert_int_equal(io(drive, &read), 0x084);
}

static void test_lba_format(void **state)
{
    struct soft_ns_view ns[2];
    struct soft_drive *drive = make(*state, BASE);
    add_ns(drive, 8 * MIB);
    add_ns(drive, 8 * MIB);
    assert_int_equal(format(drive, 1, 1, 1), 0);
    soft_drive_ns(drive, ns, 2);
    assert_int_equal(ns[0].block_bytes, 4096);
    assert_int_equal(ns[0].size_blocks, 2048);
    assert_int_equal(ns[0].charged_bytes, 8 * MIB);
    assert_int_equal(ns[1].block_bytes, 512);
}

static void test_noise(void **state)
{
    uint8_t page[4096];
    struct soft_drive *drive = make(*state, BASE "crypto_result = noise\n");
    plant(drive, add_ns(drive, 8 * MIB));
    assert_int_equal(format(drive, 1, 2, 0), 0);
    assert_int_equal(found(drive, 1), 0);
    assert_true(soft_drive_peek(drive, 1, 0, page, sizeof(page)));
    assert_memory_not_equal(page, zeros, sizeof(page)); /* what was written is noise now */
    assert_true(soft_drive_peek(drive, 1, 32768, page, sizeof(page)));
    memset(zeros, 0, sizeof(zeros));
    assert_memory_equal(page, zeros, sizeof(page)); /* what never was is zeros */
    assert_int_equal(format(drive, 1, 1, 0), 0);
    assert_true(soft_drive_peek(drive, 1, 0, page, sizeof(page)));
    assert_memory_equal(page, zeros, sizeof(page)); /* a user data erase leaves zeros */
}

static void test_slow_format(void **state)
{
    struct soft_outcome outcome;
    struct soft_drive *drive = make(*state, BASE "format_ms = 1000\n");
    plant(drive, add_ns(drive, 8 * MIB));
    add_ns(drive, 8 * MIB);
    soft_drive_tick(drive, 5000);
    assert_int_equal(fpi(drive, 1), 0x80);
    assert_int_equal(format(drive, 1, 1, 0), PENDING);
    const uint64_t mine = ticket;
    assert_int_equal(soft_drive_due_ms(drive), 6000);
    assert_int_equal(fpi(drive, 1), 0x80 | 100);
    soft_drive_tick(drive, 5750);
    assert_int_equal(fpi(drive, 1), 0x80 | 25);
    assert_int_equal(fpi(drive, 2), 0x80); /* the neighbour does not notice */
    struct nvme_cmd read = {.opcode = NVME_IO_READ, .nsid = 1, .data = zeros, .data_len = 512};
    assert_int_equal(io(drive, &read), 0x084);
    assert_int_equal(attachment(drive, 1, NVME_NS_DETACH), 0x084);
    assert_int_equal(format(drive, 2, 1, 0), 0x084); /* one at a time */
    read.nsid = 2;
    assert_int_equal(io(drive, &read), 0);
    soft_drive_tick(drive, 5999);
    assert_int_equal(soft_drive_poll(drive, mine, &outcome), SOFT_PENDING);
    soft_drive_tick(drive, 5000); /* time does not go back */
    assert_int_equal(soft_drive_now_ms(drive), 5999);
    soft_drive_tick(drive, 6000);
    assert_int_equal(soft_drive_poll(drive, mine, &outcome), SOFT_DONE);
    assert_int_equal(outcome.status, 0);
    assert_int_equal(fpi(drive, 1), 0x80);
    assert_int_equal(found(drive, 1), 0);
    assert_int_equal(soft_drive_due_ms(drive), UINT64_MAX);
}

static void test_interrupted_format(void **state)
{
    static const char *const texts[] = {BASE "format_ms = 1000\n",
                                        BASE "format_ms = 1000\ninterrupted_not_ready = yes\n"};
    for (size_t i = 0; i < 2; i++) {
        struct bench bench;
        struct soft_outcome outcome;
        struct soft_ns_view ns;
        setup(&bench, ((struct bench *)*state)->files);
        struct soft_drive *drive = make(&bench, texts[i]);
        plant(drive, add_ns(drive, 8 * MIB));
        assert_int_equal(format(drive, 1, 1, 0), PENDING);
        const uint64_t mine = ticket;
        drive = restart(&bench);
        assert_int_equal(soft_drive_poll(drive, mine, &outcome), SOFT_LOST);
        const unsigned left = found(drive, 1);
        if (left == 0 || left == 64)
            fail_msg("an interrupted format is half done: %u of 64 left", left);
        soft_drive_ns(drive, &ns, 1);
        assert_true(ns.interrupted);
        struct nvme_cmd read = {.opcode = NVME_IO_READ, .nsid = 1, .data = zeros, .data_len = 512};
        assert_int_equal(io(drive, &read), i == 0 ? 0 : 0x082);
        assert_int_equal(format(drive, 1, 1, 0), PENDING);
        soft_drive_tick(drive, soft_drive_due_ms(drive));
        assert_int_equal(io(drive, &read), 0);
        assert_int_equal(found(drive, 1), 0);
        void *one = &bench;
        teardown(&one);
    }
}

static void test_sanitize(void **state)
{
    struct nvme_wire_sanitize log;
    struct soft_drive *drive = make(*state, BASE "sanitize = block crypto\nsanitize_ms = 1000\nleaky_delete = yes\n");
    plant(drive, add_ns(drive, 8 * MIB));
    plant(drive, add_ns(drive, 8 * MIB));
    plant(drive, add_ns(drive, 8 * MIB));
    attachment(drive, 3, NVME_NS_DETACH);
    delete_ns(drive, 3); /* left behind, and to be erased as well */
    assert_int_equal(get_log(drive, NVME_LID_SANITIZE, 0, &log, sizeof(log)), 0);
    assert_int_equal(le16_get(log.sstat), NVME_SSTAT_NEVER | NVME_SSTAT_GLOBAL_ERASED); /* nothing was written yet */
    struct nvme_cmd write = {.opcode = NVME_IO_WRITE, .nsid = 1, .cdw10 = 8, .data = zeros, .data_len = 512};
    assert_int_equal(io(drive, &write), 0);
    assert_int_equal(get_log(drive, NVME_LID_SANITIZE, 0, &log, sizeof(log)), 0);
    assert_int_equal(le16_get(log.sstat), NVME_SSTAT_NEVER);
    assert_int_equal(sanitize(drive, NVME_OP_SANITIZE, 0, NVME_SANACT_OVERWRITE), 0x002); /* not among its ways */
    assert_int_equal(sanitize(drive, NVME_OP_SANITIZE, 1, NVME_SANACT_BLOCK), 0x002);     /* takes no namespace */
    assert_int_equal(sanitize(drive, NVME_OP_SANITIZE, 0, NVME_SANACT_BLOCK), 0);
    assert_int_equal(found(drive, 1), 64); /* it has only begun */
    soft_drive_tick(drive, 500);
    assert_int_equal(get_log(drive, NVME_LID_SANITIZE, 0, &log, sizeof(log)), 0);
    assert_int_equal(le16_get(log.sstat), NVME_SSTAT_RUNNING);
    assert_int_equal(le16_get(log.sprog), 32768);
    assert_int_equal(create(drive, MIB, 0, NULL), 0x01d);
    assert_int_equal(format(drive, 1, 1, 0), 0x01d);
    struct nvme_cmd read = {.opcode = NVME_IO_READ, .nsid = 1, .data = zeros, .data_len = 512};
    assert_int_equal(io(drive, &read), 0x01d);
    drive = restart(*state); /* goes on after a power cut, from its beginning */
    assert_int_equal(io(drive, &read), 0x01d);
    soft_drive_tick(drive, soft_drive_due_ms(drive));
    assert_int_equal(get_log(drive, NVME_LID_SANITIZE, 0, &log, sizeof(log)), 0);
    assert_int_equal(le16_get(log.sstat), NVME_SSTAT_DONE | NVME_SSTAT_GLOBAL_ERASED);
    assert_int_equal(found(drive, 1), 0);
    assert_int_equal(found(drive, 2), 0);
    assert_int_equal(found(drive, add_ns(drive, 8 * MIB)), 0);
    assert_int_equal(io(drive, &write), 0);
    assert_int_equal(get_log(drive, NVME_LID_SANITIZE, 0, &log, sizeof(log)), 0);
    assert_int_equal(le16_get(log.sstat), NVME_SSTAT_DONE);
}

static void test_sanitize_passes(void **state)
{
    struct nvme_wire_sanitize log;
    struct soft_drive *drive = make(*state, BASE "sanitize = overwrite\nsanitize_ms = 1000\n");
    plant(drive, add_ns(drive, 8 * MIB));
    assert_int_equal(sanitize(drive, NVME_OP_SANITIZE, 0, NVME_SANACT_OVERWRITE | 4 << 4), 0);
    soft_drive_tick(drive, 500);
    assert_int_equal(get_log(drive, NVME_LID_SANITIZE, 0, &log, sizeof(log)), 0);
    assert_int_equal(le16_get(log.sstat) >> 3 & 31, 2);
    soft_drive_tick(drive, 1000);
    assert_int_equal(get_log(drive, NVME_LID_SANITIZE, 0, &log, sizeof(log)), 0);
    assert_int_equal(le16_get(log.sstat) >> 3 & 31, 4);
    assert_int_equal(found(drive, 1), 0);
    assert_int_equal(sanitize(drive, NVME_OP_SANITIZE, 0, NVME_SANACT_OVERWRITE), 0); /* 0 is 16 */
    soft_drive_tick(drive, 3000);
    assert_int_equal(get_log(drive, NVME_LID_SANITIZE, 0, &log, sizeof(log)), 0);
    assert_int_equal(le16_get(log.sstat) >> 3 & 31, 16);
}

static void test_sanitize_ns(void **state)
{
    struct nvme_wire_sanitize log;
    struct soft_drive *drive = make(*state, BASE "sanitize_ns = yes\nsanitize_ms = 1000\n");
    plant(drive, add_ns(drive, 8 * MIB));
    plant(drive, add_ns(drive, 8 * MIB));
    assert_int_equal(sanitize(drive, NVME_OP_SANITIZE_NS, 1, NVME_SANACT_BLOCK), 0x002); /* crypto only */
    assert_int_equal(sanitize(drive, NVME_OP_SANITIZE_NS, 3, NVME_SANACT_CRYPTO), 0x00b);
    assert_int_equal(sanitize(drive, NVME_OP_SANITIZE_NS, 1, NVME_SANACT_CRYPTO), 0);
    soft_drive_tick(drive, 250);
    assert_int_equal(get_log(drive, NVME_LID_SANITIZE, 1, &log, sizeof(log)), 0);
    assert_int_equal(le16_get(log.sstat), NVME_SSTAT_RUNNING);
    assert_int_equal(le16_get(log.sprog), 16384);
    assert_int_equal(le32_get(log.stnsid), 1);
    assert_int_equal(le32_get(log.scdw10), NVME_SANACT_CRYPTO);
    assert_int_equal(get_log(drive, NVME_LID_SANITIZE, 2, &log, sizeof(log)), 0);
    assert_int_equal(le16_get(log.sstat), NVME_SSTAT_NEVER);
    struct nvme_cmd read = {.opcode = NVME_IO_READ, .nsid = 1, .data = zeros, .data_len = 512};
    assert_int_equal(io(drive, &read), NVME_ST_SANITIZE_NS_RUNNING);
    read.nsid = 2;
    assert_int_equal(io(drive, &read), 0);
    soft_drive_tick(drive, 1000);
    assert_int_equal(get_log(drive, NVME_LID_SANITIZE, 1, &log, sizeof(log)), 0);
    assert_int_equal(le16_get(log.sstat), NVME_SSTAT_DONE);
    assert_int_equal(found(drive, 1), 0);
    assert_int_equal(found(drive, 2), 64);
}

/* --- Faults ------------------------------------------------------------------------------------------------------ */

static void test_faults_of_erase(void **state)
{
    static const struct {
        const char *fault;
        uint16_t status;
        unsigned least, most, neighbour; /* planted pages that are left */
    } rows[] = {
        {"format kind=status:0x006", 0x006, 64, 64, 64},
        {"format kind=timeout-done", LOST, 0, 0, 64},
        {"format kind=timeout-not-done", LOST, 64, 64, 64},
        {"format kind=timeout-half-done", LOST, 1, 63, 64},
        {"format kind=lie", 0, 64, 64, 64},
        {"format kind=hits-all", 0, 0, 0, 0},
        {"0x80 kind=lie", 0, 64, 64, 64},
        {"create kind=lie", 0, 0, 0, 64}, /* another command: no effect here */
        {"format nth=2 kind=lie", 0, 0, 0, 64},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct bench bench;
        setup(&bench, ((struct bench *)*state)->files);
        struct soft_drive *drive = make(&bench, BASE);
        plant(drive, add_ns(drive, 8 * MIB));
        plant(drive, add_ns(drive, 8 * MIB));
        fault(drive, rows[i].fault);
        const uint16_t status = format(drive, 1, 1, 0);
        const unsigned left = found(drive, 1), neighbour = found(drive, 2);
        if (status != rows[i].status || left < rows[i].least || left > rows[i].most || neighbour != rows[i].neighbour)
            fail_msg("%s: status 0x%03x, left %u, neighbour %u", rows[i].fault, status, left, neighbour);
        void *one = &bench;
        teardown(&one);
    }
}

static void test_faults_of_create(void **state)
{
    static const struct {
        const char *fault;
        uint16_t status;
        size_t namespaces;
    } rows[] = {
        {"create kind=status:0x115", 0x115, 0},    {"create kind=timeout-done", LOST, 1},
        {"create kind=timeout-not-done", LOST, 0}, {"create kind=lie", 0, 0},
        {"ns-management kind=lie", 0, 0},          {"delete kind=lie", 0, 1},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct bench bench;
        struct soft_ns_view ns[8];
        uint32_t nsid;
        setup(&bench, ((struct bench *)*state)->files);
        struct soft_drive *drive = make(&bench, BASE);
        fault(drive, rows[i].fault);
        const uint16_t status = create(drive, MIB, 0, &nsid);
        drive = restart(&bench);
        const size_t count = soft_drive_ns(drive, ns, 8);
        if (status != rows[i].status || count != rows[i].namespaces || (status == 0 && nsid != 1))
            fail_msg("%s: status 0x%03x, %zu namespaces", rows[i].fault, status, count);
        void *one = &bench;
        teardown(&one);
    }
}

static void test_fault_counts(void **state)
{
    struct soft_drive *drive = make(*state, BASE);
    fault(drive, "create nth=2 count=2 kind=status:0x006");
    fault(drive, "read nth=3 count=0 kind=status:0x281");
    assert_int_equal(create(drive, MIB, 0, NULL), 0);
    assert_int_equal(create(drive, MIB, 0, NULL), 0x006);
    assert_int_equal(create(drive, MIB, 0, NULL), 0x006);
    assert_int_equal(create(drive, MIB, 0, NULL), 0);
    attachment(drive, 1, NVME_NS_ATTACH);
    struct nvme_cmd read = {.opcode = NVME_IO_READ, .nsid = 1, .data = zeros, .data_len = 512};
    for (int i = 1; i <= 6; i++)
        assert_int_equal(io(drive, &read), i < 3 ? 0 : 0x281);
    soft_drive_faults_clear(drive);
    assert_int_equal(io(drive, &read), 0);
}

static void test_slow_faults(void **state)
{
    struct soft_drive *drive = make(*state, BASE "format_ms = 1000\nfault = format kind=timeout-done\n"
                                                 "fault = format nth=2 kind=lie\n");
    plant(drive, add_ns(drive, 8 * MIB));
    assert_int_equal(format(drive, 1, 1, 0), LOST); /* but it goes on */
    assert_int_equal(soft_drive_due_ms(drive), 1000);
    assert_int_equal(fpi(drive, 1), 0x80 | 100);
    soft_drive_tick(drive, 1000);
    assert_int_equal(found(drive, 1), 0);
    plant(drive, 1);
    assert_int_equal(format(drive, 1, 1, 0), PENDING); /* a liar takes its time too */
    soft_drive_tick(drive, 2000);
    assert_int_equal(found(drive, 1), 64);
}

static void test_log(void **state)
{
    struct soft_log_entry log[8];
    struct soft_drive *drive = make(*state, BASE);
    add_ns(drive, MIB);
    identify(drive, NVME_CNS_CTRL, 0, zeros); /* asks only */
    delete_ns(drive, 1);                      /* refused, but it was sent */
    assert_int_equal(soft_drive_log(drive, log, 8), 3);
    assert_int_equal(log[0].opcode, NVME_OP_NS_MANAGEMENT);
    assert_int_equal(log[0].result, 1);
    assert_int_equal(log[1].opcode, NVME_OP_NS_ATTACHMENT);
    assert_int_equal(log[2].status, 0x00c);
    for (int i = 0; i < 600; i++)
        delete_ns(drive, 2);
    assert_int_equal(soft_drive_log(drive, log, 2), 2); /* the last ones */
    assert_int_equal(log[1].seq, 603);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(test_fna),
        BOTH(test_format_without_erase_is_for_one),
        BOTH(test_lba_format),
        BOTH(test_noise),
        BOTH(test_slow_format),
        BOTH(test_interrupted_format),
        BOTH(test_sanitize),
        BOTH(test_sanitize_passes),
        BOTH(test_sanitize_ns),
        BOTH(test_faults_of_erase),
        BOTH(test_faults_of_create),
        BOTH(test_fault_counts),
        BOTH(test_slow_faults),
        BOTH(test_log),
    };
    return cmocka_run_group_tests_name("soft_erase", tests, NULL, NULL);
}
