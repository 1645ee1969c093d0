/* A software drive as a PCIe device: messages of vfio-user, configuration space, interrupts, drives that are pulled. */
#include "vfu_fixture.h"

#include <errno.h>

/* --- The device -------------------------------------------------------------------------------------------------- */

static void test_begin(void **state)
{
    struct vfu_device device;
    uint8_t reply[VFU_REPLY_MAX];
    size_t len;
    const char *why;
    (void)state;
    vfu_device_init(&device, drive, 1);
    struct vfu_msg msg = {.command = VFU_GET_INFO};
    assert_false(vfu_device_take(&device, &msg, NULL, 0, reply, &len, &why)); /* before the version */
    msg = (struct vfu_msg){.command = VFU_VERSION, .version = {.major = 1}};
    assert_false(vfu_device_take(&device, &msg, NULL, 0, reply, &len, &why));
    msg.version.major = 0;
    assert_true(vfu_device_take(&device, &msg, NULL, 0, reply, &len, &why));
    assert_false(vfu_device_take(&device, &msg, NULL, 0, reply, &len, &why)); /* twice */
    vfu_device_release(&device);
}

static void test_info(void **state)
{
    struct rig *rig = &rigs[0];
    (void)state;
    assert_int_equal(send(rig, (struct vfu_msg){.command = VFU_GET_INFO}), 0);
    assert_int_equal(le32_read(rig->reply + 20), 3); /* resets, is PCI */
    for (uint32_t i = 0; i < VFU_REGIONS; i++) {
        assert_int_equal(send(rig, (struct vfu_msg){.command = VFU_GET_REGION_INFO, .index = i}), 0);
        assert_int_equal(le64_read(rig->reply + 32), i == 0 ? VFU_BAR_LEN : i == 7 ? VFU_CONFIG_LEN : 0);
    }
    assert_int_equal(send(rig, (struct vfu_msg){.command = VFU_GET_REGION_INFO, .index = VFU_REGIONS}), EINVAL);
    for (uint32_t i = 0; i < VFU_IRQS; i++) {
        assert_int_equal(send(rig, (struct vfu_msg){.command = VFU_GET_IRQ_INFO, .index = i}), 0);
        assert_int_equal(le32_read(rig->reply + 28), i == VFU_IRQ_MSIX ? VFU_VECTORS : 0);
    }
    assert_int_equal(send(rig, (struct vfu_msg){.command = VFU_GET_IRQ_INFO, .index = VFU_IRQS}), EINVAL);
    assert_int_equal(send(rig, (struct vfu_msg){.command = 99}), ENOTSUP);
    assert_int_equal(send(rig, (struct vfu_msg){.command = VFU_GET_INFO}), 0); /* and nothing has ended */
}

static uint8_t find_capability(struct rig *rig, uint8_t id)
{
    uint8_t where = (uint8_t)peek(rig, VFU_REGION_CONFIG, 0x34, 1);
    for (unsigned n = 0; n < 10 && where != 0; n++) {
        if (peek(rig, VFU_REGION_CONFIG, where, 1) == id)
            return where;
        where = (uint8_t)peek(rig, VFU_REGION_CONFIG, where + 1u, 1);
    }
    return 0;
}

static void test_config(void **state)
{
    struct rig *rig = &rigs[0];
    (void)state;
    assert_int_equal(peek(rig, VFU_REGION_CONFIG, 0, 4), 0x6e731b36); /* the vendor is the drive's */
    assert_int_equal(peek(rig, VFU_REGION_CONFIG, 9, 3), 0x010802);
    assert_int_equal(peek(rig, VFU_REGION_CONFIG, 0x3d, 1), 0); /* no INTx */
    poke(rig, VFU_REGION_CONFIG, 0, 0, 4);
    assert_int_equal(peek(rig, VFU_REGION_CONFIG, 0, 4), 0x6e731b36);
    poke(rig, VFU_REGION_CONFIG, 0x10, UINT64_MAX, 8); /* how a BAR is sized */
    assert_int_equal(peek(rig, VFU_REGION_CONFIG, 0x10, 4), 0xffffc004);
    const uint8_t msix = find_capability(rig, 0x11), express = find_capability(rig, 0x10);
    assert_true(msix != 0 && express != 0 && find_capability(rig, 1) != 0);
    assert_int_equal(peek(rig, VFU_REGION_CONFIG, msix + 2u, 2), VFU_VECTORS - 1);
    poke(rig, VFU_REGION_CONFIG, msix + 2u, 0xffff, 2);
    assert_int_equal(peek(rig, VFU_REGION_CONFIG, msix + 2u, 2), 0xc000 | (VFU_VECTORS - 1));
    assert_int_equal(peek(rig, VFU_REGION_BAR0, VFU_TABLE_AT + 12, 4), 1); /* masked */
    poke(rig, VFU_REGION_BAR0, VFU_TABLE_AT, 0xfee00000, 4);
    assert_int_equal(peek(rig, VFU_REGION_BAR0, VFU_TABLE_AT, 4), 0xfee00000);
    enable(rig);
    assert_int_equal(reg(rig, 0x1c), 1);
    poke(rig, VFU_REGION_CONFIG, express + 8u, 0x8000, 2); /* function level reset */
    assert_int_equal(reg(rig, 0x1c), 0);
    assert_int_equal(reg(rig, 0x14), 0);
    assert_int_equal(reg(rig, 0x24), 0);
    assert_int_equal(peek(rig, VFU_REGION_CONFIG, 4, 2), 0);
    assert_int_equal(peek(rig, VFU_REGION_CONFIG, 0x10, 4), 4);
}

/* A drive that knows no MSI-X. */
static void test_msi(void **state)
{
    struct rig *rig = &rigs[0];
    (void)state;
    const uint8_t msi = find_capability(rig, 0x05);
    assert_true(msi != 0 && find_capability(rig, 0x11) == 0 && find_capability(rig, 0x10) != 0);
    assert_int_equal(peek(rig, VFU_REGION_CONFIG, msi + 2u, 2), 0x0086);
    poke(rig, VFU_REGION_CONFIG, msi + 2u, 0xffff, 2);
    assert_int_equal(peek(rig, VFU_REGION_CONFIG, msi + 2u, 2), 0x00f7);
    poke(rig, VFU_REGION_CONFIG, msi + 4u, UINT64_MAX, 8);
    assert_int_equal(peek(rig, VFU_REGION_CONFIG, msi + 4u, 8), UINT64_MAX - 3);
    for (uint32_t i = 0; i < VFU_IRQS; i++) {
        assert_int_equal(send(rig, (struct vfu_msg){.command = VFU_GET_IRQ_INFO, .index = i}), 0);
        assert_int_equal(le32_read(rig->reply + 28), i == VFU_IRQ_MSI ? VFU_MSI_VECTORS : 0);
    }
    enable(rig);
    struct say cq = {.opcode = 5, .prp1 = CQ1, .cdw = {(DEPTH - 1) << 16 | 1, VFU_MSI_VECTORS << 16 | 3}};
    assert_int_equal(ask(rig, 0, cq).status, 0x108); /* one vector too many */
    cq.cdw[1] = (VFU_MSI_VECTORS - 1) << 16 | 3;
    assert_int_equal(ask(rig, 0, cq).status, 0);
    assert_int_equal(interrupts(rig, 0), 2);
}

static void test_regions(void **state)
{
    (void)state;
    static const struct {
        const char *rule;
        uint32_t region;
        uint64_t offset;
        uint32_t count;
        int want;
    } rows[] = {
        {"all of the configuration space", 7, 0, 4096, 0},
        {"a byte behind it", 7, 4096, 1, EINVAL},
        {"over its end", 7, 4090, 8, EINVAL},
        {"an offset that wraps", 7, UINT64_MAX - 3, 8, EINVAL},
        {"no bytes at the end", 0, VFU_BAR_LEN, 0, 0},
        {"over the end of BAR 0", 0, VFU_BAR_LEN - 4, 8, EINVAL},
        {"from the registers into the table", 0, VFU_TABLE_AT - 8, 32, 0},
        {"from the table to the pending bits", 0, VFU_TABLE_AT + 100, 4000, 0},
        {"a BAR that is not there", 1, 0, 4, EINVAL},
        {"a region that is not there", 4000000000u, 0, 4, EINVAL},
    };
    static const uint8_t nothing[4096];
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct vfu_msg msg = {.command = VFU_REGION_READ,
                              .io = {.region = rows[i].region, .offset = rows[i].offset, .count = rows[i].count}};
        const int read = send(&rigs[0], msg);
        msg.command = VFU_REGION_WRITE;
        msg.io.data = nothing;
        const int written = send(&rigs[0], msg);
        if (read != rows[i].want || written != rows[i].want)
            fail_msg("%s: got %d and %d, want %d", rows[i].rule, read, written, rows[i].want);
    }
}

static void test_irqs(void **state)
{
    (void)state;
    static const struct {
        const char *rule;
        uint32_t flags, index, start, count;
        size_t fds;
        bool is_pipe;
        int want;
    } rows[] = {
        {"one vector", 0x24, 2, 3, 1, 1, false, 0},
        {"all vectors", 0x24, 2, 0, VFU_VECTORS, VFU_VECTORS, false, 0},
        {"none any more", 0x24, 2, 0, 3, 0, false, 0},
        {"fewer descriptors than vectors", 0x24, 2, 0, 3, 2, false, EINVAL},
        {"more descriptors than vectors", 0x24, 2, 0, 1, 2, false, EINVAL},
        {"a descriptor that is no eventfd", 0x24, 2, 0, 1, 1, true, EINVAL},
        {"a vector too many", 0x24, 2, 1, VFU_VECTORS, VFU_VECTORS, false, EINVAL},
        {"a count that wraps", 0x24, 2, 2, UINT32_MAX, 0, false, EINVAL},
        {"a start that is nowhere", 0x21, 2, UINT32_MAX, 1, 0, false, EINVAL},
        {"mask", 0x09, 2, 0, 1, 0, false, 0},
        {"mask and unmask at once", 0x19, 2, 0, 1, 0, false, EINVAL},
        {"mask by eventfd", 0x0c, 2, 0, 1, 1, false, EINVAL},
        {"no action", 0x04, 2, 0, 1, 1, false, EINVAL},
        {"INTx, which is not there", 0x24, 0, 0, 1, 1, false, EINVAL},
        {"no INTx any more", 0x21, 0, 0, 0, 0, false, 0},
        {"an interrupt that does not exist", 0x24, 5, 0, 1, 1, false, EINVAL},
    };
    int pipes[2];
    assert_int_equal(pipe(pipes), 0);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct vfu_msg msg = {
            .command = VFU_SET_IRQS,
            .irqs = {.flags = rows[i].flags, .index = rows[i].index, .start = rows[i].start, .count = rows[i].count}};
        const int got = send_fds(&rigs[0], msg, rows[i].is_pipe ? &pipes[1] : rigs[0].eventfds, rows[i].fds);
        if (got != rows[i].want)
            fail_msg("%s: got %d, want %d", rows[i].rule, got, rows[i].want);
    }
    close(pipes[0]);
    close(pipes[1]);
}

static int set_irqs(struct rig *rig, uint32_t flags, uint32_t start, uint32_t count, const int *fds)
{
    const struct vfu_msg msg = {
        .command = VFU_SET_IRQS,
        .irqs = {.flags = flags | VFU_SET_TRIGGER, .index = VFU_IRQ_MSIX, .start = start, .count = count}};
    return send_fds(rig, msg, fds, fds == NULL ? 0 : count);
}

/* An interrupt that has nowhere to go is not lost. */
static void test_pending(void **state)
{
    struct rig *rig = &rigs[0];
    (void)state;
    enable(rig);
    assert_int_equal(set_irqs(rig, VFU_SET_NONE, 0, 0, NULL), 0);
    ask(rig, 0, (struct say){.opcode = 6, .prp1 = PAGE_AT, .cdw = {1}});
    assert_int_equal(peek(rig, VFU_REGION_BAR0, VFU_PBA_AT, 8), 1);
    assert_int_equal(interrupts(rig, 0), 0);
    assert_int_equal(set_irqs(rig, VFU_SET_EVENTFD, 0, 1, rig->eventfds), 0);
    assert_int_equal(interrupts(rig, 0), 1);
    assert_int_equal(peek(rig, VFU_REGION_BAR0, VFU_PBA_AT, 8), 0);
    struct vfu_msg mask = {.command = VFU_SET_IRQS,
                           .irqs = {.flags = VFU_SET_NONE | VFU_SET_MASK, .index = VFU_IRQ_MSIX, .count = 1}};
    assert_int_equal(send(rig, mask), 0);
    ask(rig, 0, (struct say){.opcode = 6, .prp1 = PAGE_AT, .cdw = {1}});
    assert_int_equal(interrupts(rig, 0), 0);
    mask.irqs.flags = VFU_SET_NONE | VFU_SET_UNMASK;
    assert_int_equal(send(rig, mask), 0);
    assert_int_equal(interrupts(rig, 0), 1);
}

/* --- Drives that go, resets -------------------------------------------------------------------------------------- */

static void test_pulled(void **state)
{
    struct rig *rig = &rigs[0];
    (void)state;
    const uint32_t nsid = add_ns(drive, 16 * MIB);
    enable(rig);
    ask(rig, 0, (struct say){.opcode = 0x80, .nsid = nsid, .cdw = {1 << 9}});
    soft_drive_set_present(drive, false);
    assert_int_equal(reg(rig, 0x1c), UINT32_MAX);
    assert_int_equal(peek(rig, VFU_REGION_CONFIG, 0, 4), UINT32_MAX);
    put(rig, 0, (struct say){.opcode = 6, .prp1 = PAGE_AT, .cdw = {1}});
    ring(rig, 0);
    now += 2000;
    turn();
    assert_int_equal(hear(rig, 0, false).status, NO_ANSWER);
    assert_int_equal(interrupts(rig, 0), 0);
    assert_int_equal(send(rig, (struct vfu_msg){.command = VFU_RESET}), 0);
    assert_int_equal(reg(rig, 0x14), UINT32_MAX);
    soft_drive_set_present(drive, true);
    assert_int_equal(reg(rig, 0x14), 0); /* as after power on */
    assert_int_equal(peek(rig, VFU_REGION_CONFIG, 4, 2), 0);
    enable(rig);
    assert_int_equal(ask(rig, 0, (struct say){.opcode = 6, .prp1 = PAGE_AT, .cdw = {1}}).status, 0);
    soft_drive_set_present(drive, false); /* out and in again before anybody looks */
    soft_drive_set_present(drive, true);
    assert_int_equal(reg(rig, 0x1c), 0);
}

static void test_reset(void **state)
{
    struct rig *rig = &rigs[0];
    (void)state;
    enable(rig);
    make_queues(rig);
    ask(rig, 0, (struct say){.opcode = 0x0c});
    assert_int_equal(send(rig, (struct vfu_msg){.command = VFU_RESET}), 0);
    assert_int_equal(reg(rig, 0x1c), 0);
    enable(rig);
    assert_int_equal(rig->device.nvme.front.event_count, 0);
    make_queues(rig);
    set_reg(rig, 0x14, CC_ON | 1 << 14);
    assert_int_equal(reg(rig, 0x1c), 9); /* shut down */
}

static void test_multi(void **state)
{
    struct rig *rig = &rigs[0];
    uint8_t writes[2 * VFU_MULTI_LEN] = {0};
    (void)state;
    enable(rig);
    put(rig, 0, (struct say){.opcode = 6, .prp1 = PAGE_AT, .cdw = {1}});
    le64_write(writes, 0x1000);
    le32_write(writes + 12, 4);
    le32_write(writes + 16, rig->queues[0].tail);
    le64_write(writes + VFU_MULTI_LEN, VFU_BAR_LEN);
    le32_write(writes + VFU_MULTI_LEN + 12, 8);
    struct vfu_msg msg = {.command = VFU_WRITE_MULTI, .multi = {.at = writes, .count = 1}};
    assert_int_equal(send(rig, msg), 0);
    assert_int_equal(hear(rig, 0, true).status, 0);
    msg.multi.count = 2;
    assert_int_equal(send(rig, msg), EINVAL); /* the second is outside */
    msg.no_reply = true;
    msg.multi.count = 1;
    send(rig, msg);
    assert_int_equal(rig->reply_len, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, bench_up, bench_down)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_msi, bench_up_msi, bench_down),
        TEST(test_begin),
        TEST(test_info),
        TEST(test_config),
        TEST(test_regions),
        TEST(test_irqs),
        TEST(test_pending),
        TEST(test_pulled),
        TEST(test_reset),
        TEST(test_multi),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
