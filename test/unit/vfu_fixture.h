/* vfu_fixture.h - a client of vfio-user with a guest's memory, and a driver of NVMe in it: no socket, no clock. */
#ifndef NSMITH_VFU_FIXTURE_H
#define NSMITH_VFU_FIXTURE_H

#include "soft_fixture.h"
#include "softnvme/vfu_device.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

/* The guest's memory begins at this address, so that 0 is nowhere. */
enum {
    RAM_AT = 0x100000,
    RAM_LEN = 4 * MIB,
    ASQ = RAM_AT,
    ACQ = RAM_AT + 0x1000,
    SQ1 = RAM_AT + 0x2000,
    CQ1 = RAM_AT + 0x3000,
    PAGE_AT = RAM_AT + 0x4000,
    LIST_AT = RAM_AT + 0x5000,
    DATA_AT = RAM_AT + 0x100000,
    DEPTH = 8,
    CC_ON = 0x00460001,
    NO_ANSWER = 0xffff,
};

struct queue {
    uint64_t sq, cq;
    uint32_t tail, head, depth;
    bool phase;
};

/* One client. */
struct rig {
    struct vfu_device device;
    int memfd, eventfds[VFU_VECTORS];
    uint8_t *ram;
    struct queue queues[2];
    uint16_t cid;
    uint8_t reply[VFU_REPLY_MAX];
    size_t reply_len;
};

static struct soft_drive *drive;
static struct rig rigs[2];
static uint64_t now;

/* --- Messages ---------------------------------------------------------------------------------------------------- */

/* The error of the reply; -1: the connection is over. */
static inline int send_fds(struct rig *rig, struct vfu_msg msg, const int *fds, size_t fd_count)
{
    int given[VFU_FDS_MAX];
    const char *why = NULL;
    for (size_t i = 0; i < fd_count; i++)
        given[i] = dup(fds[i]);
    msg.id = ++rig->cid;
    if (!vfu_device_take(&rig->device, &msg, given, fd_count, rig->reply, &rig->reply_len, &why)) {
        assert_non_null(why);
        return -1;
    }
    assert_int_equal(le16_read(rig->reply), msg.id);
    return (int)le32_read(rig->reply + 12);
}

static inline int send(struct rig *rig, struct vfu_msg msg)
{
    return send_fds(rig, msg, NULL, 0);
}

static inline uint64_t peek(struct rig *rig, uint32_t region, uint64_t offset, uint32_t count)
{
    uint8_t value[8] = {0};
    assert_int_equal(send(rig, (struct vfu_msg){.command = VFU_REGION_READ,
                                                .io = {.region = region, .offset = offset, .count = count}}),
                     0);
    memcpy(value, rig->reply + 32, count);
    return le64_read(value);
}

static inline int poke(struct rig *rig, uint32_t region, uint64_t offset, uint64_t value, uint32_t count)
{
    uint8_t data[8];
    le64_write(data, value);
    return send(rig, (struct vfu_msg){.command = VFU_REGION_WRITE,
                                      .io = {.region = region, .offset = offset, .count = count, .data = data}});
}

static inline uint32_t reg(struct rig *rig, uint32_t at)
{
    return (uint32_t)peek(rig, VFU_REGION_BAR0, at, 4);
}

static inline void set_reg(struct rig *rig, uint32_t at, uint64_t value)
{
    assert_int_equal(poke(rig, VFU_REGION_BAR0, at, value, at == 0x28 || at == 0x30 ? 8 : 4), 0);
}

static inline int map_ram(struct rig *rig, uint64_t iova, uint64_t size, uint64_t offset)
{
    return send_fds(
        rig,
        (struct vfu_msg){.command = VFU_DMA_MAP, .dma = {.flags = 3, .iova = iova, .size = size, .offset = offset}},
        &rig->memfd, 1);
}

static inline uint64_t interrupts(struct rig *rig, size_t vector)
{
    uint64_t count = 0;
    return read(rig->eventfds[vector], &count, sizeof(count)) == sizeof(count) ? count : 0;
}

/* --- The driver -------------------------------------------------------------------------------------------------- */

static inline uint8_t *at(struct rig *rig, uint64_t iova)
{
    return rig->ram + (iova - RAM_AT);
}

struct say {
    uint8_t opcode, flags;
    uint32_t nsid;
    uint64_t prp1, prp2;
    uint32_t cdw[6];
};

static inline uint16_t put(struct rig *rig, size_t q, struct say say)
{
    struct queue *queue = &rig->queues[q];
    uint8_t *sqe = at(rig, queue->sq + queue->tail * 64);
    memset(sqe, 0, 64);
    sqe[0] = say.opcode;
    sqe[1] = say.flags;
    le16_write(sqe + 2, ++rig->cid);
    le32_write(sqe + 4, say.nsid);
    le64_write(sqe + 24, say.prp1);
    le64_write(sqe + 32, say.prp2);
    for (size_t i = 0; i < 6; i++)
        le32_write(sqe + 40 + 4 * i, say.cdw[i]);
    queue->tail = (queue->tail + 1) % queue->depth;
    return rig->cid;
}

static inline void ring(struct rig *rig, size_t q)
{
    set_reg(rig, 0x1000 + (uint32_t)q * 8, rig->queues[q].tail);
}

struct answer {
    uint16_t status, cid; /* NO_ANSWER: none has come */
    uint32_t result;
};

/* The next completion; it is taken, and with `tell` the controller is told so. */
static inline struct answer hear(struct rig *rig, size_t q, bool tell)
{
    struct queue *queue = &rig->queues[q];
    const uint8_t *entry = at(rig, queue->cq + queue->head * 16);
    if ((le16_read(entry + 14) & 1) != queue->phase)
        return (struct answer){.status = NO_ANSWER};
    const struct answer answer = {.status = le16_read(entry + 14) >> 1 & NVME_STATUS_MASK,
                                  .cid = le16_read(entry + 12),
                                  .result = le32_read(entry)};
    assert_int_equal(le16_read(entry + 10), q);
    queue->head = (queue->head + 1) % queue->depth;
    queue->phase = queue->head == 0 ? !queue->phase : queue->phase;
    if (tell)
        set_reg(rig, 0x1004 + (uint32_t)q * 8, queue->head);
    return answer;
}

static inline struct answer ask(struct rig *rig, size_t q, struct say say)
{
    const uint16_t cid = put(rig, q, say);
    ring(rig, q);
    const struct answer answer = hear(rig, q, true);
    if (answer.status != NO_ANSWER)
        assert_int_equal(answer.cid, cid);
    return answer;
}

static inline void turn(void)
{
    soft_drive_tick(drive, now);
    for (size_t i = 0; i < 2; i++)
        vfu_device_ticked(&rigs[i].device);
    for (size_t i = 0; i < 2; i++)
        vfu_device_events(&rigs[i].device);
}

static inline void enable(struct rig *rig)
{
    memset(rig->ram, 0, 0x6000);
    rig->queues[0] = (struct queue){.sq = ASQ, .cq = ACQ, .depth = DEPTH, .phase = true};
    rig->queues[1] = (struct queue){.sq = SQ1, .cq = CQ1, .depth = DEPTH, .phase = true};
    poke(rig, VFU_REGION_CONFIG, 4, 0x406, 2); /* memory, bus master */
    set_reg(rig, 0x24, (DEPTH - 1) << 16 | (DEPTH - 1));
    set_reg(rig, 0x28, ASQ);
    set_reg(rig, 0x30, ACQ);
    set_reg(rig, 0x14, CC_ON);
}

static inline void make_queues(struct rig *rig)
{
    assert_int_equal(
        ask(rig, 0, (struct say){.opcode = 5, .prp1 = CQ1, .cdw = {(DEPTH - 1) << 16 | 1, 1 << 16 | 3}}).status, 0);
    assert_int_equal(
        ask(rig, 0, (struct say){.opcode = 1, .prp1 = SQ1, .cdw = {(DEPTH - 1) << 16 | 1, 1 << 16 | 1}}).status, 0);
}

/* --- A drive with two ports -------------------------------------------------------------------------------------- */

static inline void plug_in(struct rig *rig, const char *name)
{
    struct err err = {0};
    uint16_t cntlid;
    *rig = (struct rig){.memfd = memfd_create("guest", MFD_CLOEXEC | MFD_ALLOW_SEALING)};
    assert_int_equal(ftruncate(rig->memfd, RAM_LEN), 0);
    assert_int_equal(fcntl(rig->memfd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW), 0);
    rig->ram = mmap(NULL, RAM_LEN, PROT_READ | PROT_WRITE, MAP_SHARED, rig->memfd, 0);
    assert_true(rig->ram != MAP_FAILED);
    assert_true(soft_drive_ctrl(drive, name, 0, &cntlid, &err));
    vfu_device_init(&rig->device, drive, cntlid);
    assert_int_equal(send(rig, (struct vfu_msg){.command = VFU_VERSION}), 0);
    assert_int_equal(map_ram(rig, RAM_AT, RAM_LEN, 0), 0);
    for (size_t i = 0; i < VFU_VECTORS; i++)
        rig->eventfds[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    const bool msi = soft_drive_profile(drive)->msi;
    const struct vfu_msg irqs = {.command = VFU_SET_IRQS,
                                 .irqs = {.flags = VFU_SET_EVENTFD | VFU_SET_TRIGGER,
                                          .index = msi ? VFU_IRQ_MSI : VFU_IRQ_MSIX,
                                          .count = msi ? VFU_MSI_VECTORS : VFU_VECTORS}};
    assert_int_equal(send_fds(rig, irqs, rig->eventfds, irqs.irqs.count), 0);
}

static inline int bench_with(const char *text)
{
    struct soft_profile profile;
    struct err err = {0};
    assert_true(soft_profile_parse("test", text, strlen(text), &profile, &err));
    drive = soft_drive_make_mem(&profile, "S1", 7);
    now = 1000;
    soft_drive_tick(drive, now);
    plug_in(&rigs[0], "a");
    plug_in(&rigs[1], "b");
    return 0;
}

static inline int bench_up(void **state)
{
    (void)state;
    return bench_with(BASE "format_ms = 1000\nfna = 4\n");
}

static inline int bench_up_msi(void **state)
{
    (void)state;
    return bench_with(BASE "msi = yes\n");
}

static inline int bench_down(void **state)
{
    (void)state;
    check_whole(drive);
    for (size_t i = 0; i < 2; i++) {
        vfu_device_release(&rigs[i].device);
        munmap(rigs[i].ram, RAM_LEN);
        close(rigs[i].memfd);
        for (size_t n = 0; n < VFU_VECTORS; n++)
            close(rigs[i].eventfds[n]);
    }
    soft_drive_free(drive);
    return 0;
}

#endif
