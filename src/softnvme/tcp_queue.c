#include "softnvme/tcp_queue.h"

#include "base/must.h"
#include "nvme/nvme_wire.h"

#include <stdlib.h>
#include <string.h>

void tcp_queue_init(struct tcp_queue *out)
{
    *out = (struct tcp_queue){.depth = 1};
    out->in = malloc(TCP_PDU_MAX);
    must(out->in != NULL);
}

void tcp_queue_release(struct tcp_queue *queue)
{
    for (size_t i = 0; i < TCP_DEPTH_MAX; i++)
        free(queue->slots[i].data);
    free(queue->in);
    free(queue->out);
    *queue = (struct tcp_queue){.is_over = true};
}

/* --- Out --------------------------------------------------------------------------------------------------------- */

static uint8_t *reserve(struct tcp_queue *queue, size_t len)
{
    if (queue->out_at > 0) {
        memmove(queue->out, queue->out + queue->out_at, queue->out_len - queue->out_at);
        queue->out_len -= queue->out_at;
        queue->out_at = 0;
    }
    if (queue->out_len + len > queue->out_size) {
        queue->out_size = (queue->out_len + len) * 2;
        queue->out = realloc(queue->out, queue->out_size);
        must(queue->out != NULL);
    }
    uint8_t *at = queue->out + queue->out_len;
    queue->out_len += len;
    return at;
}

size_t tcp_queue_out(const struct tcp_queue *queue, const uint8_t **at)
{
    *at = queue->out + queue->out_at;
    return queue->out_len - queue->out_at;
}

void tcp_queue_sent(struct tcp_queue *queue, size_t len)
{
    must(len <= queue->out_len - queue->out_at);
    queue->out_at += len;
    if (queue->out_at == queue->out_len)
        queue->out_at = queue->out_len = 0;
}

static bool is_out_high(const struct tcp_queue *queue)
{
    return queue->out_len - queue->out_at > TCP_OUT_HIGH;
}

void tcp_queue_end(struct tcp_queue *queue, const char *why)
{
    queue->is_over = true;
    if (queue->why == NULL)
        queue->why = why;
}

/* TCP, "Fatal Error": C2HTermReq is the last PDU. */
static bool terminate(struct tcp_queue *queue, enum tcp_fes fes, uint32_t offset, const char *why)
{
    uint8_t term[TCP_TERM_MAX];
    const struct tcp_bad bad = {.fes = fes, .offset = offset};
    const size_t have = queue->in_len - queue->in_at;
    const size_t len = tcp_put_term(term, &bad, queue->in + queue->in_at, have < TCP_CMD_LEN ? have : TCP_CMD_LEN);
    memcpy(reserve(queue, len), term, len);
    tcp_queue_end(queue, why);
    return false;
}

static uint16_t cid_of(const uint8_t *sqe)
{
    return le16_read(sqe + 2);
}

static void respond(struct tcp_queue *queue, uint16_t cid, uint16_t status, uint64_t result)
{
    const struct tcp_cqe cqe = {
        .result = result, .sq_head = queue->no_sq_head ? 0xffff : queue->sq_head, .cid = cid, .status = status};
    tcp_put_resp(reserve(queue, TCP_RESP_LEN), &cqe);
}

/* --- Slots ------------------------------------------------------------------------------------------------------- */

static bool has_cid(const struct tcp_slot *slot, uint16_t cid)
{
    return slot->state != TCP_SLOT_FREE && cid_of(slot->sqe) == cid;
}

bool tcp_queue_find(const struct tcp_queue *queue, uint16_t cid, uint16_t *slot_out)
{
    for (uint16_t i = 0; i < TCP_DEPTH_MAX; i++)
        if (has_cid(&queue->slots[i], cid)) {
            *slot_out = i;
            return true;
        }
    return false;
}

/* NULL: the host has more commands under way than its queue has entries. */
static struct tcp_slot *free_slot(struct tcp_queue *queue)
{
    struct tcp_slot *found = NULL;
    size_t used = 0;
    for (size_t i = 0; i < TCP_DEPTH_MAX; i++)
        if (queue->slots[i].state != TCP_SLOT_FREE)
            used++;
        else if (found == NULL)
            found = &queue->slots[i];
    return used < queue->depth ? found : NULL;
}

static void free_data(struct tcp_slot *slot)
{
    free(slot->data);
    slot->data = NULL;
}

static void set_state(struct tcp_queue *queue, struct tcp_slot *slot, enum tcp_slot_state state)
{
    queue->granted -= slot->state == TCP_SLOT_GRANTED;
    queue->tickets -= slot->state == TCP_SLOT_TICKETED;
    slot->state = state;
    queue->granted += slot->state == TCP_SLOT_GRANTED;
    queue->tickets += slot->state == TCP_SLOT_TICKETED;
}

static struct tcp_slot *slot_of(struct tcp_queue *queue, uint16_t index)
{
    must(index < TCP_DEPTH_MAX);
    must(queue->slots[index].state >= TCP_SLOT_RUNNING);
    return &queue->slots[index];
}

/* Asks for the data of those that wait longest. */
static void grant(struct tcp_queue *queue)
{
    while (queue->granted < TCP_GRANTS) {
        struct tcp_slot *next = NULL;
        for (size_t i = 0; i < TCP_DEPTH_MAX; i++)
            if (queue->slots[i].state == TCP_SLOT_WAITING && (next == NULL || queue->slots[i].order < next->order))
                next = &queue->slots[i];
        if (next == NULL)
            return;
        next->data = calloc(1, next->len);
        must(next->data != NULL);
        set_state(queue, next, TCP_SLOT_GRANTED);
        tcp_put_r2t(reserve(queue, TCP_R2T_LEN), cid_of(next->sqe), (uint16_t)(next - queue->slots), next->len);
    }
}

void tcp_queue_finish(struct tcp_queue *queue, uint16_t index, uint16_t status, uint64_t result)
{
    struct tcp_slot *slot = slot_of(queue, index);
    const uint16_t cid = cid_of(slot->sqe);
    if (status == NVME_ST_OK && slot->data != NULL && tcp_way(slot->sqe) == TCP_TO_HOST) {
        uint8_t head[TCP_PDO_MAX + 1];
        const uint32_t pdo = tcp_put_c2h(head, cid, slot->len, queue->alignment);
        uint8_t *at = reserve(queue, pdo + slot->len);
        memcpy(at, head, pdo);
        memcpy(at + pdo, slot->data, slot->len);
    }
    respond(queue, cid, status, result);
    free_data(slot);
    set_state(queue, slot, TCP_SLOT_FREE);
}

void tcp_queue_hold(struct tcp_queue *queue, uint16_t index, uint64_t ticket)
{
    struct tcp_slot *slot = slot_of(queue, index);
    free_data(slot);
    slot->ticket = ticket;
    set_state(queue, slot, ticket != 0 ? TCP_SLOT_TICKETED : TCP_SLOT_HELD);
}

void tcp_queue_forget(struct tcp_queue *queue, uint16_t index)
{
    struct tcp_slot *slot = slot_of(queue, index);
    free_data(slot);
    set_state(queue, slot, TCP_SLOT_FREE);
}

void tcp_queue_connected(struct tcp_queue *queue, uint16_t depth, bool no_sq_head)
{
    must(depth >= 1);
    must(depth <= TCP_DEPTH_MAX);
    queue->depth = depth;
    queue->no_sq_head = no_sq_head;
    queue->sq_head = (uint16_t)(1 % depth); /* Connect was the first entry */
}

/* --- In ---------------------------------------------------------------------------------------------------------- */

size_t tcp_queue_room(struct tcp_queue *queue, uint8_t **at)
{
    if (queue->in_at > 0) {
        queue->in_len -= queue->in_at;
        memmove(queue->in, queue->in + queue->in_at, queue->in_len);
        queue->in_at = 0;
    }
    *at = queue->in + queue->in_len;
    return queue->is_over ? 0 : TCP_PDU_MAX - queue->in_len;
}

void tcp_queue_received(struct tcp_queue *queue, size_t len)
{
    must(len <= TCP_PDU_MAX - queue->in_len);
    queue->in_len += len;
}

static void hand_out(struct tcp_queue *queue, struct tcp_slot *slot, struct tcp_command *out)
{
    set_state(queue, slot, TCP_SLOT_RUNNING);
    *out = (struct tcp_command){.slot = (uint16_t)(slot - queue->slots),
                                .sqe = slot->sqe,
                                .data = slot->data,
                                .len = slot->data == NULL ? 0 : slot->len};
}

/* Whether the data pointer suits the command. Data of 0 bytes is none. */
static uint16_t check_data(const struct tcp_pdu *pdu, struct tcp_sgl *sgl)
{
    const uint16_t status = tcp_sgl_parse(pdu->sqe, pdu->data_len, sgl);
    const unsigned way = tcp_way(pdu->sqe);
    if (status != NVME_ST_OK || sgl->len == 0)
        return status;
    if (way == TCP_NO_DATA)
        return NVME_ST_SGL_LENGTH;
    if (way == TCP_TO_HOST && sgl->in_capsule)
        return NVME_ST_SGL_TYPE;
    return way == (TCP_TO_CTRL | TCP_TO_HOST) ? NVME_ST_INVALID_OPCODE : NVME_ST_OK;
}

/* true: the command is complete and handed out. */
static bool take_command(struct tcp_queue *queue, const struct tcp_pdu *pdu, struct tcp_command *out)
{
    struct tcp_sgl sgl = {0};
    uint16_t other;
    struct tcp_slot *slot = free_slot(queue);
    if (slot == NULL)
        return terminate(queue, TCP_FES_SEQUENCE, 0, "the host sent more commands than its queue has entries");
    queue->sq_head = (uint16_t)((queue->sq_head + 1) % queue->depth);
    const uint16_t status =
        tcp_queue_find(queue, cid_of(pdu->sqe), &other) ? NVME_ST_CID_CONFLICT : check_data(pdu, &sgl);
    if (status != NVME_ST_OK) {
        respond(queue, cid_of(pdu->sqe), status | NVME_STATUS_DNR, 0);
        return false;
    }
    *slot = (struct tcp_slot){.order = ++queue->order, .len = sgl.len};
    memcpy(slot->sqe, pdu->sqe, TCP_SQE_LEN);
    if (sgl.len > 0 && tcp_way(pdu->sqe) == TCP_TO_CTRL && !sgl.in_capsule) {
        set_state(queue, slot, TCP_SLOT_WAITING);
        grant(queue);
        return false;
    }
    if (sgl.len > 0) {
        slot->data = calloc(1, sgl.len);
        must(slot->data != NULL);
        if (sgl.in_capsule)
            memcpy(slot->data, pdu->data + sgl.offset, sgl.len);
    }
    hand_out(queue, slot, out);
    return true;
}

/* Data comes in order, and the last piece says that it is the last. */
static bool take_data(struct tcp_queue *queue, const struct tcp_pdu *pdu, struct tcp_command *out)
{
    enum { AT_TAG = 10, AT_OFFSET = 12, AT_FLAGS = 1, AT_CID = 8 };
    struct tcp_slot *slot = &queue->slots[pdu->h2c.tag % TCP_DEPTH_MAX];
    if (pdu->h2c.tag >= TCP_DEPTH_MAX || slot->state != TCP_SLOT_GRANTED)
        return terminate(queue, TCP_FES_HEADER, AT_TAG, "the host sent data that was not asked for");
    if (!has_cid(slot, pdu->h2c.cid))
        return terminate(queue, TCP_FES_HEADER, AT_CID, "the host sent data for another command than was asked for");
    if (pdu->h2c.offset != slot->got || pdu->data_len > slot->len - slot->got)
        return terminate(queue, TCP_FES_RANGE, AT_OFFSET, "the host sent data out of the range that was asked for");
    if (pdu->h2c.last != (slot->got + pdu->data_len == slot->len))
        return terminate(queue, TCP_FES_HEADER, AT_FLAGS, "the host ended its data too early or too late");
    if (pdu->data_len > 0)
        memcpy(slot->data + slot->got, pdu->data, pdu->data_len);
    slot->got += pdu->data_len;
    if (slot->got < slot->len)
        return false;
    hand_out(queue, slot, out);
    grant(queue);
    return true;
}

static bool take_ic(struct tcp_queue *queue, const struct tcp_pdu *pdu)
{
    queue->is_ready = true;
    queue->alignment = pdu->ic.alignment;
    tcp_put_ic_resp(reserve(queue, TCP_IC_LEN));
    return false;
}

static bool take_pdu(struct tcp_queue *queue, const struct tcp_pdu *pdu, struct tcp_command *out)
{
    if (pdu->type == TCP_H2C_TERM) {
        tcp_queue_end(queue, "the host ended the connection because of an error");
        return false;
    }
    if ((pdu->type == TCP_IC_REQ) == queue->is_ready)
        return terminate(queue, TCP_FES_SEQUENCE, 0, "the host did not begin with ICReq, or sent it twice");
    if (pdu->type == TCP_IC_REQ)
        return take_ic(queue, pdu);
    return pdu->type == TCP_CAPSULE_CMD ? take_command(queue, pdu, out) : take_data(queue, pdu, out);
}

bool tcp_queue_take(struct tcp_queue *queue, struct tcp_command *out)
{
    struct tcp_pdu pdu;
    struct tcp_bad bad;
    while (!queue->is_over && !is_out_high(queue)) {
        const enum tcp_parsed how = tcp_pdu_parse(queue->in + queue->in_at, queue->in_len - queue->in_at, &pdu, &bad);
        if (how == TCP_MORE)
            return false;
        if (how == TCP_REFUSED)
            return terminate(queue, bad.fes, bad.offset, "the host sent a PDU that is not valid");
        const bool got = take_pdu(queue, &pdu, out);
        if (queue->is_over)
            return false;
        queue->in_at += pdu.len;
        if (got)
            return true;
    }
    return false;
}

bool tcp_queue_is_stuffed(const struct tcp_queue *queue)
{
    struct tcp_pdu pdu;
    struct tcp_bad bad;
    return !queue->is_over &&
           tcp_pdu_parse(queue->in + queue->in_at, queue->in_len - queue->in_at, &pdu, &bad) != TCP_MORE;
}
