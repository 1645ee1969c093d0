/* Hosts that speak NVMe/TCP to a software drive: conversations as bytes, without a socket or a clock. */
#include "base/rng.h"
#include "tcp_fixture.h"

/* --- Conversations ----------------------------------------------------------------------------------------------- */

static void test_connect_refusals(void **state)
{
    (void)state;
    static const struct {
        const char *rule;
        struct joining join;
        uint16_t status;
        uint64_t result;
        bool dnr;
    } rows[] = {
        {"another drive than there is", {NQN "x", "nqn.h", 0xffff, 0, 32, 0}, 0x182, 0x10100, true},
        {"no name of a subsystem", {"", "nqn.h", 0xffff, 0, 32, 0}, 0x182, 0x10100, true},
        {"no name of a host", {NQN, "", 0xffff, 0, 32, 0}, 0x182, 0x10200, true},
        {"a controller of choice", {NQN, "nqn.h", 1, 0, 32, 0}, 0x182, 0x10010, true},
        {"a queue of one entry", {NQN, "nqn.h", 0xffff, 0, 1, 0}, 0x182, 44, true},
        {"a queue of 129 entries", {NQN, "nqn.h", 0xffff, 0, 129, 0}, 0x182, 44, true},
        {"an I/O queue of no controller", {NQN, "nqn.h", 1, 1, 32, 0}, 0x182, 0x10010, true},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct tcp_link *link = dial();
        ic(link);
        const struct answer got = join(link, rows[i].join);
        if (got.status != rows[i].status || got.result != rows[i].result || got.dnr != rows[i].dnr)
            fail_msg("%s: got 0x%03x with 0x%jx, want 0x%03x with 0x%jx", rows[i].rule, got.status,
                     (uintmax_t)got.result, rows[i].status, (uintmax_t)rows[i].result);
        hang_up(link);
    }
}

static void test_order_of_things(void **state)
{
    static uint8_t page[4096];
    uint16_t cntlid;
    (void)state;
    struct tcp_link *link = dial();
    ic(link);
    assert_int_equal(ask(link, (struct say){.opcode = 6, .cdw = {1}, .data = page, .len = 4096}).status, 0x00c);
    assert_int_equal(property_get(link, 0x1c, false).status, 0x00c); /* before Connect */
    assert_int_equal(join(link, (struct joining){NQN, "nqn.h", 0xffff, 0, 32, 0}).status, 0);
    assert_int_equal(join(link, (struct joining){NQN, "nqn.h", 0xffff, 0, 32, 0}).status, 0x00c); /* twice */
    assert_int_equal(property_get(link, 0, true).result & 0xffff, 127);
    assert_int_equal(property_get(link, 0, false).status, 0x002); /* of another size */
    assert_int_equal(property_get(link, 8, false).result, 0x20000);
    assert_int_equal(property_set(link, 0x1c, 1).status, 0x002);
    assert_int_equal(ask(link, (struct say){.opcode = 6, .cdw = {1}, .data = page, .len = 4096}).status, 0x00c);
    property_set(link, 0x14, CC_ON);
    assert_int_equal(ask(link, (struct say){.opcode = 6, .cdw = {1}, .data = page, .len = 4096}).status, 0);
    property_set(link, 0x14, CC_ON | 1 << 14);
    assert_int_equal(property_get(link, 0x1c, false).result, 9); /* shut down */
    property_set(link, 0x14, 0);
    assert_int_equal(property_get(link, 0x1c, false).result, 0);
    hang_up(link);
    link = open_ctrl(NQN, "nqn.h", 0, &cntlid);
    assert_int_equal(cntlid, 1); /* as before */
    hang_up(link);
}

static void test_identify(void **state)
{
    static struct nvme_wire_ctrl page;
    uint16_t cntlid;
    (void)state;
    struct tcp_link *link = open_ctrl(NQN, "nqn.h", 0, &cntlid);
    assert_int_equal(ask(link, (struct say){.opcode = 6, .cdw = {1}, .data = &page, .len = 4096}).data_len, 4096);
    assert_int_equal(le16_get(page.cntlid), 1);
    assert_true(le16_get(page.kas) > 0);
    assert_int_equal(le32_get(page.sgls) & 3, 1);
    assert_int_equal(le32_get(page.ioccsz) * 16 - 64, TCP_CAPSULE_DATA_MAX);
    assert_int_equal(page.cntrltype, 1);
    assert_string_equal(page.subnqn, NQN);
    assert_int_equal(identify(shelf.drives[0], NVME_CNS_CTRL, 0, &page), 0);
    assert_int_equal(le32_get(page.sgls), 0); /* the drive itself is not a fabrics controller */
    hang_up(link);
}

static void test_discovery(void **state)
{
    static uint8_t log[4096];
    static struct nvme_wire_ctrl page;
    uint16_t cntlid;
    (void)state;
    struct tcp_link *link = open_ctrl(TCP_DISCOVERY_NQN, "nqn.h", 0, &cntlid);
    ask(link, (struct say){.opcode = 6, .cdw = {1}, .data = &page, .len = 4096});
    assert_int_equal(page.cntrltype, 2);
    const struct say get = {.opcode = 2, .cdw = {0x70 | 1023u << 16}, .data = log, .len = 4096};
    assert_int_equal(ask(link, get).status, 0);
    assert_int_equal(le64_read(log + 8), 2);
    assert_string_equal((char *)log + 1024 + 256, NQN);
    assert_memory_equal(log + 1024 + 512, "192.0.2.1 ", 10);
    assert_memory_equal(log + 1024 + 32, "4420 ", 5);
    const uint64_t generation = le64_read(log);
    soft_drive_set_present(shelf.drives[0], false);
    ask(link, get);
    assert_int_equal(le64_read(log + 8), 1);
    assert_true(le64_read(log) > generation);
    assert_int_equal(ask(link, (struct say){.opcode = 0x0d}).status, 0x001); /* it has no namespaces */
    assert_int_equal(ask(link, (struct say){.opcode = 2, .cdw = {2 | 127u << 16}, .data = log, .len = 512}).status,
                     0x109);
    hang_up(link);
}

static void test_data(void **state)
{
    static uint8_t out[TCP_TRANSFER_MAX], in[TCP_TRANSFER_MAX];
    uint16_t cntlid;
    (void)state;
    struct tcp_link *link = open_ctrl(NQN, "nqn.h", 0, &cntlid), *queue = open_queue("nqn.h", cntlid, 1);
    const uint32_t nsid = add_ns(shelf.drives[0], MIB);
    for (size_t i = 0; i < sizeof(out); i++)
        out[i] = (uint8_t)(i * 7 + i / 511);
    struct say write = {.opcode = 1, .nsid = nsid, .cdw = {0, 0, 511}, .data = out, .len = sizeof(out)};
    struct answer got = ask(queue, write); /* 256 KiB in two pieces */
    assert_int_equal(got.status, 0);
    assert_int_equal(got.r2ts, 1);
    write.cdw[0] = 512;
    write.piece = 4096 + 512;
    assert_int_equal(ask(queue, write).status, 0);
    struct say small = {.opcode = 1, .nsid = nsid, .cdw = {1024, 0, 15}, .data = out, .len = 8192, .in_capsule = true};
    assert_int_equal(ask(queue, small).r2ts, 0);
    for (uint32_t at = 0; at < 1024; at += 512) {
        memset(in, 0, sizeof(in));
        got = ask(queue, (struct say){2, nsid, {at, 0, 511}, in, sizeof(in), false, 0});
        assert_int_equal(got.data_len, sizeof(in));
        assert_memory_equal(in, out, sizeof(in));
    }
    got = ask(queue, (struct say){2, nsid, {1024, 0, 15}, in, 8192, false, 0});
    assert_memory_equal(in, out, 8192);
    got = ask(queue, (struct say){2, nsid, {4096}, in, 512, false, 0});
    assert_int_equal(got.status, 0x080);
    assert_int_equal(got.data_len, 0);
    /* Linux sends room for 256 ranges, whatever it discards. */
    static uint8_t ranges[4096];
    le32_write(ranges + 4, 1);
    assert_int_equal(ask(queue, (struct say){9, nsid, {0, 4}, ranges, 4096, true, 0}).status, 0);
    ask(queue, (struct say){2, nsid, {0}, in, 512, false, 0});
    assert_int_equal(in[5], 0);
    hang_up(queue);
    hang_up(link);
}

/* At most four ask for their data at a time, and none is forgotten. */
static void test_many_writes(void **state)
{
    static uint8_t block[512];
    uint16_t cntlid, cids[20];
    (void)state;
    struct tcp_link *link = open_ctrl(NQN, "nqn.h", 0, &cntlid), *queue = open_queue("nqn.h", cntlid, 1);
    const uint32_t nsid = add_ns(shelf.drives[0], MIB);
    for (uint16_t i = 0; i < 20; i++)
        cids[i] = send(queue, &(struct say){.opcode = 1, .nsid = nsid, .cdw = {i}, .len = 512});
    assert_int_equal(queue->queue.granted, 4);
    for (unsigned i = 0; i < 10; i++) {
        memset(block, 0x5a, sizeof(block));
        assert_int_equal(hear(queue, cids[i], block, 512).status, 0);
        assert_true(queue->queue.granted <= 4);
    }
    assert_true(soft_drive_peek(shelf.drives[0], nsid, 9 * 512, block, 512));
    assert_int_equal(block[511], 0x5a);
    assert_true(soft_drive_peek(shelf.drives[0], nsid, 19 * 512, block, 512));
    assert_int_equal(block[511], 0); /* its data has not come */
    hang_up(queue);                  /* with others under way: they are not carried out */
    assert_int_equal(active_ns(link), nsid);
    hang_up(link);
}

static void test_queue_head(void **state)
{
    uint16_t cntlid;
    (void)state;
    struct tcp_link *link = open_ctrl(NQN, "nqn.h", 0, &cntlid), *queue = dial();
    ic(queue);
    const struct say nothing = {.opcode = 0, .nsid = 1};
    assert_int_equal(join(queue, (struct joining){NQN, "nqn.h", cntlid, 1, 3, 0}).sq_head, 1);
    for (uint16_t i = 2; i < 9; i++)
        assert_int_equal(ask(queue, nothing).sq_head, i % 3);
    hang_up(queue);
    queue = dial();
    ic(queue);
    join(queue, (struct joining){NQN, "nqn.h", cntlid, 1, 3 | NO_FLOW_CONTROL, 0});
    assert_int_equal(ask(queue, nothing).sq_head, 0xffff);
    hang_up(queue);
    hang_up(link);
}

static void test_two_hosts(void **state)
{
    static struct nvme_wire_ns_list list;
    uint16_t a_id, b_id, c_id;
    (void)state;
    struct tcp_link *a = open_ctrl(NQN, "nqn.a", 0, &a_id), *b = open_ctrl(NQN, "nqn.b", 0, &b_id);
    struct tcp_link *again = open_ctrl(NQN, "nqn.a", 0, &c_id);
    assert_true(a_id == 1 && b_id == 2 && c_id == 3); /* a host that comes twice has two */
    hang_up(again);
    uint32_t nsid;
    assert_int_equal(create(shelf.drives[0], MIB, 0, &nsid), 0);
    ask(b, (struct say){.opcode = 9, .cdw = {0x0b, 1 << 8}});
    const uint16_t waits = send(b, &(struct say){.opcode = 0x0c});
    assert_int_equal(hear(b, waits, NULL, 1).status, NO_ANSWER);
    assert_int_equal(attach(a, nsid, 4, NVME_NS_ATTACH), 0x11c); /* there is no such controller */
    assert_int_equal(attach(a, nsid, 2, NVME_NS_ATTACH), 0);
    turn(b);
    assert_int_equal(hear(b, waits, NULL, 1).result, 0x040002); /* host b is told at once, */
    assert_int_equal(active_ns(a), 0);
    assert_int_equal(active_ns(b), nsid);
    assert_int_equal(attach(a, nsid, 1, NVME_NS_ATTACH), 0x119); /* it is private */
    assert_int_equal(ask(a, (struct say){.opcode = 0x80, .nsid = nsid, .cdw = {1 << 9}}).status, 0x11a);
    static uint8_t block[512];
    struct tcp_link *queue = open_queue("nqn.a", a_id, 1);
    for (uint8_t opcode = 1; opcode <= 2; opcode++) /* nor can host a write or read what is host b's */
        assert_int_equal(ask(queue, (struct say){opcode, nsid, {0}, block, 512, opcode == 1, 0}).status, 0x00b);
    hang_up(queue);
    const uint16_t waits_again = send(b, &(struct say){.opcode = 0x0c});
    attach(a, nsid, 2, NVME_NS_DETACH);
    turn(b);
    assert_int_equal(hear(b, waits_again, NULL, 1).status, NO_ANSWER); /* and no more until it has read the list */
    const struct say read_log = {.opcode = 2, .cdw = {4 | 1023u << 16}, .data = &list, .len = 4096};
    const uint16_t reads = send(b, &read_log);
    assert_int_equal(hear(b, reads, &list, 1).status, 0);
    assert_int_equal(le32_get(list.nsid[0]), nsid);
    attach(a, nsid, 2, NVME_NS_ATTACH);
    turn(b);
    assert_int_equal(hear(b, waits_again, NULL, 1).result, 0x040002);
    hang_up(b);
    b = open_ctrl(NQN, "nqn.b", 0, &b_id);
    assert_int_equal(b_id, 2); /* a host that comes back has what it had, */
    assert_int_equal(active_ns(b), nsid);
    hang_up(a);
    struct tcp_link *d = open_ctrl(NQN, "nqn.d", 0, &c_id);
    assert_int_equal(c_id, 4); /* and a new one never what another had */
    check_whole(shelf.drives[0]);
    hang_up(d);
    hang_up(b);
}

static void test_slow_command(void **state)
{
    uint16_t cntlid;
    static uint8_t page[4096];
    (void)state;
    struct tcp_link *link = open_ctrl(NQN, "nqn.h", 0, &cntlid);
    const uint32_t nsid = add_ns(shelf.drives[0], 16 * MIB);
    plant(shelf.drives[0], nsid);
    const struct say erase = {.opcode = 0x80, .nsid = nsid, .cdw = {1 << 9}};
    const uint16_t cid = send(link, &erase);
    assert_int_equal(hear(link, cid, NULL, 1).status, NO_ANSWER);
    assert_int_equal(ask(link, (struct say){.opcode = 6, .cdw = {1}, .data = page, .len = 4096}).status, 0);
    const struct answer busy = ask(link, erase);
    assert_int_equal(busy.status, 0x084);
    assert_false(busy.dnr);
    assert_int_equal(ask(link, (struct say){.opcode = 8, .cdw = {(uint32_t)cid << 16}}).result, 1); /* not aborted */
    now += SLOW_MS;
    turn(link);
    assert_int_equal(hear(link, cid, NULL, 1).status, 0);
    assert_int_equal(found(shelf.drives[0], nsid), 0);
    plant(shelf.drives[0], nsid);
    send(link, &erase);
    hang_up(link); /* the host is gone, the format goes on */
    now += SLOW_MS;
    soft_drive_tick(shelf.drives[0], now);
    assert_int_equal(found(shelf.drives[0], nsid), 0);
}

static void test_events_and_aborts(void **state)
{
    uint16_t cntlid, cids[4];
    (void)state;
    struct tcp_link *link = open_ctrl(NQN, "nqn.h", 0, &cntlid);
    for (size_t i = 0; i < 4; i++)
        cids[i] = send(link, &(struct say){.opcode = 0x0c});
    assert_int_equal(ask(link, (struct say){.opcode = 0x0c}).status, 0x105);
    uint16_t cid = send(link, &(struct say){.opcode = 8, .cdw = {(uint32_t)cids[1] << 16}});
    assert_int_equal(hear(link, cids[1], NULL, 1).status, 0x007);
    assert_int_equal(hear(link, cid, NULL, 1).result, 0);
    assert_int_equal(ask(link, (struct say){.opcode = 8, .cdw = {(uint32_t)cids[1] << 16}}).result, 1);
    property_set(link, 0x14, 0); /* a reset forgets them without an answer */
    for (size_t i = 0; i < 4; i++)
        assert_false(tcp_queue_find(&link->queue, cids[i], &cid));
    property_set(link, 0x14, CC_ON);
    for (size_t i = 0; i < 4; i++)
        cids[i] = send(link, &(struct say){.opcode = 0x0c});
    assert_int_equal(ask(link, (struct say){.opcode = 0x0c}).status, 0x105);
    hang_up(link);
}

static void test_keep_alive(void **state)
{
    uint16_t cntlid;
    (void)state;
    struct tcp_link *link = open_ctrl(NQN, "nqn.h", 4500, &cntlid), *queue = open_queue("nqn.h", cntlid, 1);
    assert_int_equal(ask(link, (struct say){.opcode = 0x0a, .cdw = {0x0f}}).result, 4500);
    assert_int_equal(tcp_target_due_ms(&target), now + 5000); /* whole seconds */
    now += 4999;
    assert_int_equal(ask(link, (struct say){.opcode = 0x18}).status, 0);
    now += 4999;
    turn(queue);
    assert_false(queue->queue.is_over);
    now += 1;
    turn(queue);
    assert_true(queue->queue.is_over);
    turn(link);
    assert_true(link->queue.is_over);
    hang_up(link);
    hang_up(queue);
}

static void test_ends(void **state)
{
    uint16_t cntlid;
    (void)state;
    struct tcp_link *link = open_ctrl(NQN, "nqn.h", 0, &cntlid), *queue = open_queue("nqn.h", cntlid, 1);
    struct tcp_link *second = open_queue("nqn.h", cntlid, 2), *third = dial();
    ic(third);
    assert_int_equal(join(third, (struct joining){NQN, "nqn.h", cntlid, 2, 32, 0}).result, 42); /* there is one */
    assert_int_equal(join(third, (struct joining){NQN, "nqn.h", cntlid, 9, 32, 0}).result, 42); /* too many */
    assert_int_equal(join(third, (struct joining){NQN, "nqn.x", cntlid, 3, 32, 0}).result, 0x10010);
    assert_int_equal(ask(link, (struct say){.opcode = 0x7f, .nsid = 8}).status, 0x185); /* Disconnect */
    assert_int_equal(ask(second, (struct say){.opcode = 0x7f, .nsid = 8}).status, 0);
    assert_true(second->queue.is_over);
    hang_up(link); /* the admin queue ends the others */
    turn(queue);
    assert_true(queue->queue.is_over);
    hang_up(queue);
    hang_up(second);
    hang_up(third);
    link = open_ctrl(NQN, "nqn.h", 0, &cntlid);
    soft_drive_set_present(shelf.drives[0], false);
    soft_drive_set_present(shelf.drives[0], true);
    turn(link);
    assert_true(link->queue.is_over); /* it is another drive, for all the host knows */
    hang_up(link);
    soft_drive_set_present(shelf.drives[0], false);
    link = dial();
    ic(link);
    const struct answer absent = join(link, (struct joining){NQN, "nqn.h", 0xffff, 0, 32, 0});
    assert_int_equal(absent.status, 0x181);
    assert_false(absent.dnr); /* it may come back */
    hang_up(link);
}

/* Base, "NVM Subsystem Reset": the value is the text "NVMe". */
static void test_subsystem_reset(void **state)
{
    uint16_t cntlid, other_id;
    (void)state;
    struct tcp_link *link = open_ctrl(NQN, "nqn.h", 0, &cntlid), *other = open_ctrl(NQN, "nqn.i", 0, &other_id);
    struct tcp_link *queue = open_queue("nqn.h", cntlid, 1), *other_queue = open_queue("nqn.i", other_id, 1);
    assert_int_equal(property_get(link, 0, true).result >> 36 & 1, 1); /* CAP.NSSRS */
    assert_int_equal(property_set(link, 0x20, 1).status, 0);
    turn(other_queue);
    assert_false(other_queue->queue.is_over);
    assert_int_equal(property_set(link, 0x20, 0x4e564d65).status, 0);
    turn(queue);
    turn(other_queue);
    assert_true(queue->queue.is_over); /* all controllers are reset, */
    assert_true(other_queue->queue.is_over);
    turn(other);
    assert_false(link->queue.is_over); /* and can be set up once more */
    assert_false(other->queue.is_over);
    assert_int_equal(property_get(link, 0x1c, false).result, 0);
    assert_int_equal(property_get(other, 0x14, false).result, 0);
    property_set(link, 0x14, CC_ON);
    assert_int_equal(ask(link, (struct say){.opcode = 0x0a, .cdw = {0x08}}).status, 0x002); /* no interrupts here */
    hang_up(queue);
    hang_up(other_queue);
    hang_up(link);
    hang_up(other);
    link = open_ctrl(TCP_DISCOVERY_NQN, "nqn.h", 0, &cntlid);
    assert_int_equal(property_get(link, 0, true).result >> 36 & 1, 0);
    assert_int_equal(property_set(link, 0x20, 0x4e564d65).status, 0x002);
    hang_up(link);
}

/* A completion that never comes holds nothing else up. */
static void test_lost(void **state)
{
    uint16_t cntlid;
    static uint8_t page[4096];
    (void)state;
    struct tcp_link *link = open_ctrl(NQN, "nqn.h", 0, &cntlid);
    fault(shelf.drives[0], "identify kind=timeout-not-done");
    const struct say identify_ctrl = {.opcode = 6, .cdw = {1}, .data = page, .len = 4096};
    assert_int_equal(ask(link, identify_ctrl).status, NO_ANSWER);
    assert_int_equal(ask(link, identify_ctrl).status, 0);
    hang_up(link);
}

/* --- Hosts that break the rules ---------------------------------------------------------------------------------- */

static void expect_term(struct tcp_link *link, const char *rule, uint16_t fes)
{
    size_t len;
    uint8_t type = 0;
    while ((len = pull(link, pdu_in, sizeof(pdu_in))) > 0)
        type = pdu_in[0];
    if (!link->queue.is_over || type != TCP_C2H_TERM || le16_read(pdu_in + 8) != fes)
        fail_msg("%s: got a PDU of type %u, status %u", rule, type, le16_read(pdu_in + 8));
    hang_up(link);
}

static void test_bad_hosts(void **state)
{
    static uint8_t data[1024];
    uint16_t cntlid;
    (void)state;
    struct tcp_link *link = dial();
    push(link, "GET / HTTP/1.1\r\n\r\n", 18);
    expect_term(link, "another protocol", TCP_FES_HEADER);
    link = dial();
    send(link, &(struct say){.opcode = 6});
    expect_term(link, "a command before ICReq", TCP_FES_SEQUENCE);
    link = dial();
    ic(link);
    uint8_t req[TCP_IC_LEN] = {TCP_IC_REQ, 0, TCP_IC_LEN, 0, TCP_IC_LEN};
    push(link, req, sizeof(req));
    expect_term(link, "ICReq twice", TCP_FES_SEQUENCE);

    static const struct {
        const char *rule;
        uint8_t flags;
        uint16_t tag, cid_more;
        uint32_t offset, len;
        uint16_t fes;
    } rows[] = {
        {"data for another slot", 0, 5, 0, 0, 256, TCP_FES_HEADER},
        {"data for a slot that is not there", 0, 0xffff, 0, 0, 256, TCP_FES_HEADER},
        {"data for another command", 0, 0, 1, 0, 256, TCP_FES_HEADER},
        {"data at an offset", 0, 0, 0, 256, 256, TCP_FES_RANGE},
        {"more data than was asked for", TCP_FLAG_LAST, 0, 0, 0, 1024, TCP_FES_RANGE},
        {"data that is the last too early", TCP_FLAG_LAST, 0, 0, 0, 256, TCP_FES_HEADER},
        {"data that is not the last at the end", 0, 0, 0, 0, 512, TCP_FES_HEADER},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct tcp_link *admin_queue = open_ctrl(NQN, "nqn.h", 0, &cntlid);
        link = open_queue("nqn.h", cntlid, 1);
        const uint16_t cid = send(link, &(struct say){.opcode = 1, .nsid = 1, .len = 512});
        uint8_t head[TCP_DATA_LEN] = {TCP_H2C_DATA, rows[i].flags, TCP_DATA_LEN, TCP_DATA_LEN};
        le32_write(head + 4, TCP_DATA_LEN + rows[i].len);
        le16_write(head + 8, (uint16_t)(cid + rows[i].cid_more));
        le16_write(head + 10, rows[i].tag);
        le32_write(head + 12, rows[i].offset);
        le32_write(head + 16, rows[i].len);
        push(link, head, sizeof(head));
        push(link, data, rows[i].len);
        expect_term(link, rows[i].rule, rows[i].fes);
        hang_up(admin_queue);
    }
    struct tcp_link *admin_queue = open_ctrl(NQN, "nqn.h", 0, &cntlid);
    link = dial();
    ic(link);
    assert_int_equal(join(link, (struct joining){NQN, "nqn.h", cntlid, 1, 2, 0}).status, 0);
    for (unsigned i = 0; i < 3; i++)
        send(link, &(struct say){.opcode = 1, .nsid = 1, .len = 512});
    expect_term(link, "more commands than the queue has entries", TCP_FES_SEQUENCE);
    cid_next--;
    send(admin_queue, &(struct say){.opcode = 0x0c});
    cid_next--;
    assert_int_equal(ask(admin_queue, (struct say){.opcode = 0x18}).status, 0x003); /* a CID that is in use */
    hang_up(admin_queue);
}

/* Whatever bytes come, on a fresh connection and on one that is connected: nothing breaks, little memory is taken. */
static void test_noise(void **state)
{
    struct rng rng = {1};
    uint16_t cntlid;
    (void)state;
    for (unsigned run = 0; run < 300; run++) {
        struct tcp_link *link = run % 2 ? dial() : open_ctrl(NQN, "nqn.h", 0, &cntlid);
        for (unsigned k = 0; k < 40 && !link->queue.is_over; k++) {
            uint8_t bytes[TCP_CMD_LEN + 1024];
            size_t len = TCP_CMD_LEN;
            for (size_t i = 0; i < sizeof(bytes); i++)
                bytes[i] = (uint8_t)rng_next(&rng);
            if (run % 10 != 9) { /* nearly right: random commands */
                const uint8_t head[TCP_HEAD_LEN] = {TCP_CAPSULE_CMD, 0, TCP_CMD_LEN, TCP_CMD_LEN, TCP_CMD_LEN};
                memcpy(bytes, head, sizeof(head));
                bytes[8] = (uint8_t)(bytes[8] & 0x1f) | (bytes[9] & 1 ? 0x7f : 0);
                bytes[9] = 0x40;
                bytes[8 + 35] = 0;
                bytes[8 + 34] &= 3;
                bytes[8 + 39] = bytes[8 + 38] & 1 ? CAPSULE : TRANSPORT;
                if (bytes[8 + 39] == CAPSULE)
                    le32_write(bytes + 4, (uint32_t)(len += 1024));
            }
            push(link, bytes, len);
            tcp_queue_sent(&link->queue, link->queue.out_len - link->queue.out_at);
        }
        assert_true(link->queue.out_size < 8 << 20);
        hang_up(link);
    }
    check_whole(shelf.drives[0]);
}

int main(void)
{
#define BENCH_TEST(f) cmocka_unit_test_setup_teardown(f, bench_up, bench_down)
    const struct CMUnitTest tests[] = {
        BENCH_TEST(test_connect_refusals),
        BENCH_TEST(test_order_of_things),
        BENCH_TEST(test_identify),
        BENCH_TEST(test_discovery),
        BENCH_TEST(test_data),
        BENCH_TEST(test_many_writes),
        BENCH_TEST(test_queue_head),
        BENCH_TEST(test_two_hosts),
        BENCH_TEST(test_slow_command),
        BENCH_TEST(test_events_and_aborts),
        BENCH_TEST(test_keep_alive),
        BENCH_TEST(test_ends),
        BENCH_TEST(test_subsystem_reset),
        BENCH_TEST(test_lost),
        BENCH_TEST(test_bad_hosts),
        BENCH_TEST(test_noise),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
