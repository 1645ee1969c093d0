/* Guests that drive a software drive over PCIe: rings and PRPs in shared memory, without QEMU. */
#include "base/rng.h"
#include "vfu_fixture.h"

/* 256 KiB from an odd place, by a list that goes on in a second page; there and back. */
static void move_256k(struct rig *rig)
{
    const uint32_t len = 256 << 10, from = DATA_AT + 512;
    for (uint32_t i = 0; i < len; i++)
        at(rig, from)[i] = (uint8_t)(i * 7 + i / 511);
    const uint64_t list = LIST_AT + 0xff0; /* room for one address, and the next page */
    le64_write(at(rig, list), DATA_AT + 0x1000);
    le64_write(at(rig, list) + 8, PAGE_AT);
    for (uint32_t i = 0; i < 63; i++)
        le64_write(at(rig, PAGE_AT) + 8 * i, DATA_AT + 0x2000 + i * 0x1000ull);
    const struct say write = {.opcode = 1, .nsid = 1, .prp1 = from, .prp2 = list, .cdw = {0, 0, 511}};
    assert_int_equal(ask(rig, 1, write).status, 0);
    assert_int_equal(interrupts(rig, 1), 1);
    assert_int_equal(interrupts(rig, 0), 0);
    uint8_t *back = malloc(len);
    assert_true(soft_drive_peek(drive, 1, 0, back, len));
    assert_memory_equal(back, at(rig, from), len);
    memset(at(rig, from), 0, len);
    struct say read = write;
    read.opcode = 2;
    assert_int_equal(ask(rig, 1, read).status, 0);
    assert_memory_equal(back, at(rig, from), len);
    free(back);
}

static void test_story(void **state)
{
    struct rig *rig = &rigs[0];
    (void)state;
    assert_int_equal(peek(rig, VFU_REGION_BAR0, 0, 8) & 0xffff, VFU_ENTRIES_MAX - 1);
    assert_int_equal(reg(rig, 8), 0x20000);
    enable(rig);
    assert_int_equal(reg(rig, 0x1c), 1);
    assert_int_equal(ask(rig, 0, (struct say){.opcode = 6, .prp1 = PAGE_AT, .cdw = {1}}).status, 0);
    assert_int_equal(interrupts(rig, 0), 1);
    const uint8_t *page = at(rig, PAGE_AT);
    const struct nvme_wire_ctrl *ctrl = (const struct nvme_wire_ctrl *)page;
    assert_int_equal(le16_get(ctrl->cntlid), 1);
    assert_int_equal(ctrl->cmic, 0);
    assert_int_equal(le16_get(ctrl->kas), 0);
    assert_int_equal(ask(rig, 0, (struct say){.opcode = 9, .cdw = {7, 0x000f000f}}).result, 0x00070007);
    make_queues(rig);
    struct nvme_wire_create *create = (struct nvme_wire_create *)at(rig, PAGE_AT);
    memset(create, 0, NVME_PAGE);
    create->nsze = create->ncap = le64_of(8192);
    assert_int_equal(ask(rig, 0, (struct say){.opcode = 0x0d, .prp1 = PAGE_AT}).result, 1);
    memset(at(rig, PAGE_AT), 0, NVME_PAGE);
    le16_write(at(rig, PAGE_AT), 1);
    le16_write(at(rig, PAGE_AT) + 2, 1);
    assert_int_equal(ask(rig, 0, (struct say){.opcode = 0x15, .nsid = 1, .prp1 = PAGE_AT}).status, 0);
    interrupts(rig, 0);
    move_256k(rig);
    const struct say read = {.opcode = 2, .nsid = 1, .prp1 = DATA_AT, .prp2 = DATA_AT + 0x1000, .cdw = {0, 0, 15}};
    for (unsigned i = 0; i < 3 * DEPTH; i++) /* around the rings */
        assert_int_equal(ask(rig, 1, read).status, 0);
    assert_int_equal(ask(rig, 0, (struct say){.opcode = 4, .cdw = {1}}).status, 0x10c); /* its queue is in use */
    assert_int_equal(ask(rig, 0, (struct say){.opcode = 0, .cdw = {1}}).status, 0);
    assert_int_equal(ask(rig, 0, (struct say){.opcode = 4, .cdw = {1}}).status, 0);
    set_reg(rig, 0x1008, 3); /* doorbells of queues that were deleted */
    set_reg(rig, 0x100c, 3);
    set_reg(rig, 0x14, 0);
    assert_int_equal(reg(rig, 0x1c), 0);
    enable(rig);
    assert_int_equal(ask(rig, 0, (struct say){.opcode = 6, .nsid = 1, .prp1 = PAGE_AT, .cdw = {0}}).status, 0);
    assert_int_equal(le64_read(at(rig, PAGE_AT)), 8192);
    assert_int_equal(ask(rig, 0, (struct say){.opcode = 9, .cdw = {7, 0x00010001}}).result, 0x00010001);
    const struct say third = {.opcode = 5, .prp1 = CQ1, .cdw = {(DEPTH - 1) << 16 | 3, 1}};
    assert_int_equal(ask(rig, 0, third).status, 0x101); /* it was given two */
}

static const struct {
    const char *rule;
    size_t queue;
    struct say say;
    uint16_t want;
} statuses[] = {
    {"data to nowhere", 0, {.opcode = 6, .prp1 = 0, .cdw = {1}}, 0x004},
    {"eight bytes at the end of memory, the rest elsewhere",
     0,
     {.opcode = 6, .prp1 = RAM_AT + RAM_LEN - 8, .prp2 = DATA_AT, .cdw = {1}},
     0},
    {"its second page is nowhere", 0, {.opcode = 6, .prp1 = DATA_AT + 8, .prp2 = 0x1000, .cdw = {1}}, 0x004},
    {"an address that is not aligned", 0, {.opcode = 6, .prp1 = DATA_AT + 2, .cdw = {1}}, 0x013},
    {"a second page that begins within one",
     0,
     {.opcode = 6, .prp1 = DATA_AT + 8, .prp2 = DATA_AT + 8, .cdw = {1}},
     0x013},
    {"an SGL", 0, {.opcode = 6, .flags = 0x40, .prp1 = DATA_AT, .cdw = {1}}, 0x002},
    {"a fused command", 0, {.opcode = 6, .flags = 1, .prp1 = DATA_AT, .cdw = {1}}, 0x002},
    {"a log of 16 GiB", 0, {.opcode = 2, .prp1 = DATA_AT, .cdw = {0xffff0002, 0xffff}}, 0x002},
    {"Keep Alive, which PCIe does without", 0, {.opcode = 0x18}, 0x001},
    {"queue 0 made", 0, {.opcode = 5, .prp1 = PAGE_AT, .cdw = {7 << 16, 1}}, 0x101},
    {"a queue that is there", 0, {.opcode = 5, .prp1 = PAGE_AT, .cdw = {7 << 16 | 1, 1}}, 0x101},
    {"a queue beyond what was given", 0, {.opcode = 5, .prp1 = PAGE_AT, .cdw = {7 << 16 | 9, 1}}, 0x101},
    {"a queue of one entry", 0, {.opcode = 5, .prp1 = PAGE_AT, .cdw = {2, 1}}, 0x102},
    {"a queue of 1025 entries", 0, {.opcode = 5, .prp1 = PAGE_AT, .cdw = {1024 << 16 | 2, 1}}, 0x102},
    {"a queue in pieces", 0, {.opcode = 5, .prp1 = PAGE_AT, .cdw = {7 << 16 | 2, 0}}, 0x002},
    {"a queue that does not begin on a page", 0, {.opcode = 5, .prp1 = PAGE_AT + 64, .cdw = {7 << 16 | 2, 1}}, 0x013},
    {"a vector that is not there", 0, {.opcode = 5, .prp1 = PAGE_AT, .cdw = {7 << 16 | 2, 9 << 16 | 3}}, 0x108},
    {"a queue for no completion queue", 0, {.opcode = 1, .prp1 = PAGE_AT, .cdw = {7 << 16 | 2, 2 << 16 | 1}}, 0x100},
    {"a queue for the admin completion queue", 0, {.opcode = 1, .prp1 = PAGE_AT, .cdw = {7 << 16 | 2, 1}}, 0x101},
    {"the admin queue deleted", 0, {.opcode = 0, .cdw = {0}}, 0x101},
    {"a queue deleted that is not there", 0, {.opcode = 0, .cdw = {0xffff}}, 0x101},
    {"queues counted while some are there", 0, {.opcode = 9, .cdw = {7, 0}}, 0x00c},
    {"Abort of nothing", 0, {.opcode = 8, .cdw = {0x12340000}}, 0},
    {"a read of a namespace that is not there", 1, {.opcode = 2, .nsid = 9, .prp1 = DATA_AT}, 0x00b},
    {"a read of more than MDTS", 1, {.opcode = 2, .nsid = 1, .prp1 = DATA_AT, .cdw = {0, 0, 512}}, 0x002},
    {"a list that is nowhere", 1, {.opcode = 2, .nsid = 1, .prp1 = DATA_AT, .prp2 = 8, .cdw = {0, 0, 23}}, 0x004},
    {"a list that is not aligned",
     1,
     {.opcode = 2, .nsid = 1, .prp1 = DATA_AT, .prp2 = LIST_AT + 4, .cdw = {0, 0, 23}},
     0x013},
    {"a list with an address within a page",
     1,
     {.opcode = 2, .nsid = 1, .prp1 = DATA_AT, .prp2 = LIST_AT, .cdw = {0, 0, 23}},
     0x013},
    {"a list that ends with its page",
     1,
     {.opcode = 2, .nsid = 1, .prp1 = DATA_AT, .prp2 = LIST_AT + 0xff0, .cdw = {0, 0, 23}},
     0},
    {"a write from nowhere", 1, {.opcode = 1, .nsid = 1, .prp1 = 0x1000}, 0x004},
};

static void test_statuses(void **state)
{
    struct rig *rig = &rigs[0];
    (void)state;
    add_ns(drive, 4 * MIB);
    enable(rig);
    make_queues(rig);
    le64_write(at(rig, LIST_AT), DATA_AT + 0x1008);
    le64_write(at(rig, LIST_AT + 0xff0), DATA_AT + 0x1000);
    le64_write(at(rig, LIST_AT + 0xff8), DATA_AT + 0x2000);
    for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++) {
        const struct answer got = ask(rig, statuses[i].queue, statuses[i].say);
        if (got.status != statuses[i].want)
            fail_msg("%s: got 0x%03x, want 0x%03x", statuses[i].rule, got.status, statuses[i].want);
    }
    assert_int_equal(reg(rig, 0x1c), 1);
    assert_true(rig->device.nvme.transfer_errors >= 4);
}

/* What leaves nothing to answer with fails the controller, until it is reset. */
static void test_failures(void **state)
{
    struct rig *rig = &rigs[0];
    (void)state;
    static const struct {
        const char *rule;
        uint32_t cc, aqa;
        uint64_t asq, acq;
        uint32_t doorbell, value; /* 0: none */
    } rows[] = {
        {"pages of 8 KiB", CC_ON | 1 << 7, 0x70007, ASQ, ACQ, 0, 0},
        {"a command set of choice", CC_ON | 6 << 4, 0x70007, ASQ, ACQ, 0, 0},
        {"an admin queue of one entry", CC_ON, 0x70000, ASQ, ACQ, 0, 0},
        {"an admin completion queue of one entry", CC_ON, 0x00007, ASQ, ACQ, 0, 0},
        {"an admin queue within a page", CC_ON, 0x70007, ASQ + 64, ACQ, 0, 0},
        {"a submission queue that is nowhere", CC_ON, 0x70007, 0x5000, ACQ, 0x1000, 1},
        {"a completion queue that is nowhere", CC_ON, 0x70007, ASQ, 0x5000, 0x1000, 1},
        {"a submission queue that ends behind memory", CC_ON, 0xfff0fff, RAM_AT + RAM_LEN, ACQ, 0x1000, 1},
        {"a tail behind the end", CC_ON, 0x70007, ASQ, ACQ, 0x1000, 8},
        {"a tail far behind the end", CC_ON, 0x70007, ASQ, ACQ, 0x1000, UINT32_MAX},
        {"a head behind the end", CC_ON, 0x70007, ASQ, ACQ, 0x1004, 8},
        {"a head of what was not completed", CC_ON, 0x70007, ASQ, ACQ, 0x1004, 1},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        poke(rig, VFU_REGION_CONFIG, 4, 0x406, 2);
        set_reg(rig, 0x24, rows[i].aqa);
        set_reg(rig, 0x28, rows[i].asq);
        set_reg(rig, 0x30, rows[i].acq);
        set_reg(rig, 0x14, rows[i].cc);
        if (rows[i].doorbell != 0)
            set_reg(rig, rows[i].doorbell, rows[i].value);
        if (!(reg(rig, 0x1c) & 2) || rig->device.nvme.why == NULL)
            fail_msg("%s: CSTS is 0x%x, want CFS", rows[i].rule, reg(rig, 0x1c));
        set_reg(rig, 0x1000, 1); /* is not looked at */
        set_reg(rig, 0x14, 0);
        assert_int_equal(reg(rig, 0x1c), 0);
    }
    enable(rig);
    assert_int_equal(ask(rig, 0, (struct say){.opcode = 6, .prp1 = PAGE_AT, .cdw = {1}}).status, 0);
}

/* Memory that is taken away, as by an IOMMU, between two commands. */
static void test_unmapped(void **state)
{
    struct rig *rig = &rigs[0];
    (void)state;
    enable(rig);
    assert_int_equal(send(rig, (struct vfu_msg){.command = VFU_DMA_UNMAP, .dma = {.iova = RAM_AT, .size = RAM_LEN}}),
                     0);
    assert_int_equal(le64_read(rig->reply + 32), RAM_LEN);
    for (uint64_t i = 0; i < RAM_LEN; i += NVME_PAGE) /* page by page, in reverse */
        if (RAM_LEN - NVME_PAGE - i != PAGE_AT - RAM_AT)
            assert_int_equal(map_ram(rig, RAM_AT + RAM_LEN - NVME_PAGE - i, NVME_PAGE, RAM_LEN - NVME_PAGE - i), 0);
    assert_int_equal(ask(rig, 0, (struct say){.opcode = 6, .prp1 = PAGE_AT, .cdw = {1}}).status, 0x004);
    assert_int_equal(
        ask(rig, 0, (struct say){.opcode = 6, .prp1 = DATA_AT + 8, .prp2 = DATA_AT + 0x1000, .cdw = {1}}).status, 0);
    assert_int_equal(send(rig, (struct vfu_msg){.command = VFU_DMA_UNMAP, .dma = {.flags = VFU_UNMAP_ALL}}), 0);
    put(rig, 0, (struct say){.opcode = 6, .prp1 = DATA_AT, .cdw = {1}});
    ring(rig, 0);
    assert_int_equal(reg(rig, 0x1c) & 2, 2);
}

static void test_bus_master(void **state)
{
    struct rig *rig = &rigs[0];
    (void)state;
    enable(rig);
    poke(rig, VFU_REGION_CONFIG, 4, 2, 2);
    put(rig, 0, (struct say){.opcode = 6, .prp1 = PAGE_AT, .cdw = {1}});
    ring(rig, 0);
    assert_int_equal(hear(rig, 0, true).status, NO_ANSWER); /* it may not touch memory, */
    poke(rig, VFU_REGION_CONFIG, 4, 6, 2);
    assert_int_equal(hear(rig, 0, true).status, 0); /* and has not forgotten */
}

/* A completion queue that nobody reads: nothing is overwritten, and nothing is lost. */
static void test_full_queue(void **state)
{
    struct rig *rig = &rigs[0];
    (void)state;
    enable(rig);
    const uint16_t first = (uint16_t)(rig->cid + 1);
    unsigned count = 0;
    for (; count < DEPTH - 1; count++)
        put(rig, 0, (struct say){.opcode = 8, .cdw = {0xffff0000}});
    ring(rig, 0);
    put(rig, 0, (struct say){.opcode = 8, .cdw = {0xffff0000}});
    ring(rig, 0);
    count++;
    for (unsigned i = 0; i < count - 1; i++) {
        const struct answer got = hear(rig, 0, false);
        assert_int_equal(got.status, 0);
        assert_true(got.cid >= first);
    }
    assert_int_equal(hear(rig, 0, false).status, NO_ANSWER);
    set_reg(rig, 0x1004, rig->queues[0].head);
    assert_int_equal(hear(rig, 0, true).status, 0);
    assert_int_equal(hear(rig, 0, true).status, NO_ANSWER);
    assert_int_equal(reg(rig, 0x1c), 1);
}

static void test_slow_command(void **state)
{
    struct rig *rig = &rigs[0];
    (void)state;
    const uint32_t nsid = add_ns(drive, 16 * MIB);
    plant(drive, nsid);
    enable(rig);
    const struct say format = {.opcode = 0x80, .nsid = nsid, .cdw = {1 << 9}};
    const uint16_t cid = put(rig, 0, format);
    ring(rig, 0);
    assert_int_equal(hear(rig, 0, true).status, NO_ANSWER);
    assert_int_equal(ask(rig, 0, format).status, 0x084); /* one at a time; others have their answers */
    assert_int_equal(ask(rig, 0, (struct say){.opcode = 6, .prp1 = PAGE_AT, .cdw = {1}}).status, 0);
    turn();
    assert_int_equal(hear(rig, 0, true).status, NO_ANSWER);
    interrupts(rig, 0);
    now += 1000;
    turn();
    assert_int_equal(interrupts(rig, 0), 1);
    const struct answer got = hear(rig, 0, true);
    assert_int_equal(got.status, 0);
    assert_int_equal(got.cid, cid);
    assert_int_equal(found(drive, nsid), 0);
    assert_int_equal(ask(rig, 0, format).status, NO_ANSWER);
    set_reg(rig, 0x14, 0); /* the host does not wait: no answer, but the drive goes on */
    enable(rig);
    now += 1000;
    turn();
    assert_int_equal(hear(rig, 0, true).status, NO_ANSWER);
    assert_int_equal(rig->device.nvme.held_count, 0);
}

static uint16_t attach(struct rig *rig, uint32_t nsid, uint16_t cntlid, uint32_t sel)
{
    memset(at(rig, PAGE_AT), 0, NVME_PAGE);
    le16_write(at(rig, PAGE_AT), 1);
    le16_write(at(rig, PAGE_AT) + 2, cntlid);
    return ask(rig, 0, (struct say){.opcode = 0x15, .nsid = nsid, .prp1 = PAGE_AT, .cdw = {sel}}).status;
}

/* The other controller of the drive hears of what happens to it. */
static void test_two_controllers(void **state)
{
    struct rig *a = &rigs[0], *b = &rigs[1];
    uint32_t nsid;
    (void)state;
    a->device.nvme.is_shared = b->device.nvme.is_shared = true;
    enable(a);
    enable(b);
    ask(b, 0, (struct say){.opcode = 6, .prp1 = PAGE_AT, .cdw = {1}});
    const struct nvme_wire_ctrl *ctrl = (const struct nvme_wire_ctrl *)(const void *)at(b, PAGE_AT);
    assert_int_equal(le16_get(ctrl->cntlid), 2);
    assert_int_equal(ctrl->cmic, 3);
    assert_int_equal(create(drive, MIB, 0, &nsid), 0);
    assert_int_equal(ask(b, 0, (struct say){.opcode = 9, .cdw = {0x0b, 1 << 8}}).status, 0);
    uint16_t cids[FRONT_EVENTS_MAX];
    for (unsigned i = 0; i < FRONT_EVENTS_MAX; i++) {
        cids[i] = put(b, 0, (struct say){.opcode = 0x0c});
        ring(b, 0);
        assert_int_equal(hear(b, 0, true).status, NO_ANSWER);
    }
    assert_int_equal(ask(b, 0, (struct say){.opcode = 0x0c}).status, 0x105); /* one more than there may be */
    assert_int_equal(attach(a, nsid, 2, NVME_NS_ATTACH), 0);
    interrupts(b, 0);
    turn();
    assert_int_equal(interrupts(b, 0), 1);
    assert_int_equal(hear(b, 0, true).result, 0x040002);
    assert_int_equal(hear(b, 0, true).status, NO_ANSWER); /* once */
    assert_int_equal(hear(a, 0, true).status, NO_ANSWER); /* and not who did it */
    put(b, 0, (struct say){.opcode = 8, .cdw = {(uint32_t)cids[0] << 16}});
    ring(b, 0);
    const struct answer aborted = hear(b, 0, true);
    assert_int_equal(aborted.status, 0x007);
    assert_int_equal(aborted.cid, cids[0]);
    assert_int_equal(hear(b, 0, true).result, 0); /* of Abort itself */
    make_queues(a);
    assert_int_equal(ask(a, 1, (struct say){.opcode = 2, .nsid = nsid, .prp1 = DATA_AT}).status, 0x00b); /* not its */
}

/* Random accesses and random rings: no crash, and memory that is not the guest's stays as it is. */
static void test_noise(void **state)
{
    struct rig *rig = &rigs[0];
    struct rng rng = {.state = 5};
    uint8_t page[NVME_PAGE];
    (void)state;
    add_ns(drive, 4 * MIB);
    send(rig, (struct vfu_msg){.command = VFU_DMA_UNMAP, .dma = {.flags = VFU_UNMAP_ALL}});
    assert_int_equal(map_ram(rig, RAM_AT, RAM_LEN / 2, 0), 0); /* the upper half is not given */
    memset(rig->ram + RAM_LEN / 2, 0x5a, RAM_LEN / 2);
    for (unsigned n = 0; n < 60; n++) {
        enable(rig);
        for (size_t i = 0x2000; i < 0x6000; i++)
            rig->ram[i] = rng_next(&rng) % 3 == 0 ? (uint8_t)rng_next(&rng) : 0;
        for (unsigned i = 0; i < 60; i++) {
            uint8_t *sqe = rig->ram + rng_below(&rng, 2) * 0x2000 + rng_below(&rng, DEPTH) * 64;
            for (size_t b = 0; b < 64; b++)
                sqe[b] = rng_next(&rng) % 3 == 0 ? (uint8_t)rng_next(&rng) : 0;
            le64_write(sqe + 24, RAM_AT + rng_below(&rng, RAM_LEN + 0x10000) / 4 * 4);
            le64_write(sqe + 32, RAM_AT + rng_below(&rng, RAM_LEN) / 8 * 8);
            sqe[0] = (uint8_t)rng_below(&rng, 24);
            sqe[1] = 0;
            poke(rig, VFU_REGION_BAR0, 0x1000 + rng_below(&rng, 20) * 4, rng_below(&rng, DEPTH + (i % 20 == 0)), 4);
        }
        if (n % 10 == 0)
            turn();
        poke(rig, VFU_REGION_BAR0, rng_below(&rng, VFU_TABLE_AT), rng_next(&rng), n % 2 == 0 ? 4 : 8);
        poke(rig, VFU_REGION_CONFIG, rng_below(&rng, 256), rng_next(&rng), 4);
        send(rig, (struct vfu_msg){.command = VFU_RESET});
    }
    memset(page, 0x5a, sizeof(page));
    for (size_t i = RAM_LEN / 2; i < RAM_LEN; i += sizeof(page))
        assert_memory_equal(rig->ram + i, page, sizeof(page));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, bench_up, bench_down)
    const struct CMUnitTest tests[] = {
        TEST(test_story),        TEST(test_statuses),        TEST(test_failures),
        TEST(test_unmapped),     TEST(test_bus_master),      TEST(test_full_queue),
        TEST(test_slow_command), TEST(test_two_controllers), TEST(test_noise),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
