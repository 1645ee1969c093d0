/* tcp_fixture.h - a host that speaks NVMe/TCP to two software drives, as bytes: no socket, no clock. */
#ifndef NSMITH_TCP_FIXTURE_H
#define NSMITH_TCP_FIXTURE_H

#include "soft_fixture.h"
#include "softnvme/tcp_ctrl.h"

#define NQN "nqn.2026-01.org.nsmith:soft:S1"
enum {
    CAPSULE = 0x01,
    TRANSPORT = 0x5a,
    NO_ANSWER = 0xffff,
    CC_ON = 0x00460001,
    SLOW_MS = 1000,
    NO_FLOW_CONTROL = 4 << 16
};

static struct soft_shelf shelf;
static struct tcp_target target;
static uint64_t now;

static inline int bench_up(void **state)
{
    struct soft_profile profile;
    struct err err = {0};
    static const char text[] = BASE "format_ms = 1000\nfna = 4\n";
    (void)state;
    assert_true(soft_profile_parse("test", text, strlen(text), &profile, &err));
    shelf = (struct soft_shelf){.count = 2};
    shelf.drives[0] = soft_drive_make_mem(&profile, "S1", 7);
    shelf.drives[1] = soft_drive_make_mem(&profile, "S2", 8);
    tcp_target_init(&target, &shelf);
    now = 1000;
    return 0;
}

static inline int bench_down(void **state)
{
    (void)state;
    for (size_t i = 0; i < TCP_CTRLS_MAX; i++) /* whoever ends its connections leaves nothing behind */
        assert_null(target.ctrls[i]);
    tcp_target_release(&target);
    soft_shelf_close(&shelf);
    return 0;
}

/* --- A host ------------------------------------------------------------------------------------------------------ */

struct answer {
    uint16_t status; /* without Do Not Retry; NO_ANSWER: none came */
    bool dnr;
    uint64_t result;
    uint16_t sq_head;
    uint32_t data_len, r2ts;
};

static inline struct tcp_link *dial(void)
{
    struct tcp_link *link = malloc(sizeof(*link));
    tcp_link_init(link);
    snprintf(link->address, sizeof(link->address), "192.0.2.1");
    snprintf(link->port, sizeof(link->port), "4420");
    return link;
}

static inline void hang_up(struct tcp_link *link)
{
    tcp_link_release(&target, link);
    free(link);
}

static inline void turn(struct tcp_link *link)
{
    soft_drive_tick(shelf.drives[0], now);
    tcp_link_poll(link);
    tcp_link_serve(&target, link, now);
    tcp_target_poll(&target, now);
    tcp_link_check(link);
}

static inline void push(struct tcp_link *link, const void *bytes, size_t len)
{
    const uint8_t *from = bytes;
    while (len > 0 && !link->queue.is_over) {
        uint8_t *at;
        const size_t room = tcp_queue_room(&link->queue, &at), n = len < room ? len : room;
        assert_true(room > 0);
        memcpy(at, from, n);
        tcp_queue_received(&link->queue, n);
        from += n;
        len -= n;
        turn(link);
    }
}

/* The next PDU from the controller, whole; 0: none. */
static inline size_t pull(struct tcp_link *link, uint8_t *to, size_t max)
{
    const uint8_t *at;
    const size_t have = tcp_queue_out(&link->queue, &at);
    if (have == 0)
        return 0;
    const size_t len = le32_read(at + 4);
    assert_true(len <= have);
    assert_true(len <= max);
    memcpy(to, at, len);
    tcp_queue_sent(&link->queue, len);
    return len;
}

static uint8_t pdu_in[TCP_TRANSFER_MAX + 512];

/* Data that was asked for by R2T, in pieces of at most `piece`. */
static inline void send_data(struct tcp_link *link, const uint8_t *r2t, const uint8_t *data, uint32_t piece)
{
    const uint32_t len = le32_read(r2t + 16);
    for (uint32_t at = 0; at < len;) {
        const uint32_t n = len - at < piece ? len - at : piece;
        uint8_t head[TCP_DATA_LEN] = {TCP_H2C_DATA, at + n == len ? TCP_FLAG_LAST : 0, TCP_DATA_LEN, TCP_DATA_LEN};
        le32_write(head + 4, TCP_DATA_LEN + n);
        memcpy(head + 8, r2t + 8, 4); /* CID and tag */
        le32_write(head + 12, at);
        le32_write(head + 16, n);
        push(link, head, sizeof(head));
        push(link, data + at, n);
        at += n;
    }
}

/* What comes until this command is completed. `data` goes out or comes in. */
static inline struct answer hear(struct tcp_link *link, uint16_t cid, void *data, uint32_t piece)
{
    struct answer answer = {.status = NO_ANSWER};
    while (answer.status == NO_ANSWER && pull(link, pdu_in, sizeof(pdu_in)) > 0) {
        if (pdu_in[0] == TCP_R2T) {
            answer.r2ts++;
            send_data(link, pdu_in, data, piece);
        } else if (pdu_in[0] == TCP_C2H_DATA) {
            answer.data_len = le32_read(pdu_in + 16);
            memcpy(data, pdu_in + pdu_in[3], answer.data_len);
        } else if (pdu_in[0] == TCP_CAPSULE_RESP) {
            assert_int_equal(le16_read(pdu_in + 20), cid);
            answer.status = le16_read(pdu_in + 22) >> 1 & NVME_STATUS_MASK;
            answer.dnr = le16_read(pdu_in + 22) >> 15;
            answer.result = le64_read(pdu_in + 8);
            answer.sq_head = le16_read(pdu_in + 16);
        } else {
            fail_msg("PDU of type %u", pdu_in[0]);
        }
    }
    return answer;
}

static uint16_t cid_next;

struct say {
    uint8_t opcode;
    uint32_t nsid, cdw[6]; /* 10 to 15 */
    void *data;
    uint32_t len;
    bool in_capsule;
    uint32_t piece;
};

static inline uint16_t send(struct tcp_link *link, const struct say *say)
{
    uint8_t capsule[TCP_CMD_LEN] = {TCP_CAPSULE_CMD, 0, TCP_CMD_LEN, say->in_capsule ? TCP_CMD_LEN : 0};
    uint8_t *sqe = capsule + TCP_HEAD_LEN;
    const uint16_t cid = ++cid_next;
    le32_write(capsule + 4, TCP_CMD_LEN + (say->in_capsule ? say->len : 0));
    sqe[0] = say->opcode;
    sqe[1] = 0x40;
    le16_write(sqe + 2, cid);
    le32_write(sqe + 4, say->nsid);
    le32_write(sqe + 32, say->len);
    sqe[39] = say->in_capsule ? CAPSULE : TRANSPORT;
    for (size_t i = 0; i < 6; i++)
        le32_write(sqe + 40 + 4 * i, say->cdw[i]);
    push(link, capsule, sizeof(capsule));
    if (say->in_capsule)
        push(link, say->data, say->len);
    return cid;
}

static inline struct answer ask(struct tcp_link *link, struct say say)
{
    const uint16_t cid = send(link, &say);
    return hear(link, cid, say.data, say.piece != 0 ? say.piece : TCP_H2C_DATA_MAX);
}

static inline void ic(struct tcp_link *link)
{
    uint8_t req[TCP_IC_LEN] = {TCP_IC_REQ, 0, TCP_IC_LEN, 0, TCP_IC_LEN};
    push(link, req, sizeof(req));
    assert_int_equal(pull(link, pdu_in, sizeof(pdu_in)), TCP_IC_LEN);
    assert_int_equal(pdu_in[0], TCP_IC_RESP);
    assert_int_equal(pdu_in[11], 0); /* no digests */
}

struct joining {
    const char *subnqn, *host;
    uint16_t cntlid, qid;
    uint32_t depth; /* and the attributes above it */
    uint32_t kato_ms;
};

static inline struct answer join(struct tcp_link *link, struct joining join)
{
    static uint8_t data[1024];
    memset(data, 0, sizeof(data));
    le16_write(data + 16, join.cntlid);
    snprintf((char *)data + 256, 256, "%s", join.subnqn);
    snprintf((char *)data + 512, 256, "%s", join.host);
    return ask(link, (struct say){.opcode = 0x7f,
                                  .nsid = 1, /* FCTYPE: Connect */
                                  .cdw = {(uint32_t)join.qid << 16, join.depth - 1, join.kato_ms},
                                  .data = data,
                                  .len = 1024,
                                  .in_capsule = true});
}

static inline struct answer property_set(struct tcp_link *link, uint32_t where, uint32_t value)
{
    return ask(link, (struct say){.opcode = 0x7f, .nsid = 0, .cdw = {0, where, value}});
}

static inline struct answer property_get(struct tcp_link *link, uint32_t where, bool wide)
{
    return ask(link, (struct say){.opcode = 0x7f, .nsid = 4, .cdw = {wide, where}});
}

static inline struct tcp_link *open_ctrl(const char *subnqn, const char *host, uint32_t kato_ms, uint16_t *cntlid_out)
{
    struct tcp_link *link = dial();
    ic(link);
    const struct answer answer = join(link, (struct joining){subnqn, host, 0xffff, 0, 32, kato_ms});
    assert_int_equal(answer.status, 0);
    *cntlid_out = (uint16_t)answer.result;
    assert_int_equal(property_set(link, 0x14, CC_ON).status, 0);
    assert_int_equal(property_get(link, 0x1c, false).result, 1);
    return link;
}

static inline struct tcp_link *open_queue(const char *host, uint16_t cntlid, uint16_t qid)
{
    struct tcp_link *link = dial();
    ic(link);
    assert_int_equal(join(link, (struct joining){NQN, host, cntlid, qid, 128, 0}).status, 0);
    return link;
}

static inline uint16_t attach(struct tcp_link *link, uint32_t nsid, uint16_t cntlid, uint32_t sel)
{
    static struct nvme_wire_ctrl_list page;
    page = (struct nvme_wire_ctrl_list){.count = le16_of(1), .cntlid = {le16_of(cntlid)}};
    return ask(link, (struct say){0x15, nsid, {sel}, &page, sizeof(page), true, 0}).status;
}

static inline uint32_t active_ns(struct tcp_link *link)
{
    static struct nvme_wire_ns_list list;
    assert_int_equal(ask(link, (struct say){.opcode = 6, .cdw = {2}, .data = &list, .len = 4096}).status, 0);
    return le32_get(list.nsid[0]);
}

#endif
