#include "softnvme/tcp_pdu.h"

#include "base/must.h"
#include "nvme/nvme_wire.h"

#include <string.h>

/* Offsets in headers. TCP, figures "Common Header", "ICReq PDU", "H2CData PDU", "R2T PDU" and so on. */
enum {
    AT_FLAGS = 1,
    AT_HLEN = 2,
    AT_PDO = 3,
    AT_PLEN = 4,
    AT_IC_VERSION = 8,
    AT_IC_ALIGNMENT = 10,
    AT_IC_DIGESTS = 11,
    AT_IC_MAX_DATA = 12, /* of ICResp */
    AT_CID = 8,
    AT_TAG = 10,
    AT_OFFSET = 12,
    AT_LENGTH = 16,
    AT_TERM_FES = 8,
    AT_TERM_FEI = 10,
};

/* What a host may send. */
static const struct kind {
    enum tcp_type type;
    uint8_t hlen, flags;
    bool has_data;
    uint32_t data_max;
} kinds[] = {
    {.type = TCP_IC_REQ, .hlen = TCP_IC_LEN},
    {.type = TCP_H2C_TERM, .hlen = TCP_TERM_LEN, .data_max = TCP_TERM_MAX - TCP_TERM_LEN},
    {.type = TCP_CAPSULE_CMD, .hlen = TCP_CMD_LEN, .has_data = true, .data_max = TCP_CAPSULE_DATA_MAX},
    {.type = TCP_H2C_DATA,
     .hlen = TCP_DATA_LEN,
     .flags = TCP_FLAG_LAST,
     .has_data = true,
     .data_max = TCP_H2C_DATA_MAX},
};

static const struct kind *kind_of(uint8_t type)
{
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (kinds[i].type == type)
            return &kinds[i];
    return NULL;
}

static enum tcp_parsed refuse(struct tcp_bad *bad, enum tcp_fes fes, uint32_t offset)
{
    *bad = (struct tcp_bad){.fes = fes, .offset = offset};
    return TCP_REFUSED;
}

/* The first eight bytes; *pdo is where data begins, PLEN when there is none. */
static enum tcp_parsed check_head(const uint8_t *head, const struct kind *kind, uint32_t *pdo, struct tcp_bad *bad)
{
    const uint32_t plen = le32_read(head + AT_PLEN);
    if (head[AT_FLAGS] & ~kind->flags) /* digests, which were not agreed on, too */
        return refuse(bad, TCP_FES_HEADER, AT_FLAGS);
    if (head[AT_HLEN] != kind->hlen)
        return refuse(bad, TCP_FES_HEADER, AT_HLEN);
    if (plen < kind->hlen)
        return refuse(bad, TCP_FES_HEADER, AT_PLEN);
    *pdo = kind->has_data && plen > kind->hlen ? head[AT_PDO] : kind->hlen;
    if (*pdo < kind->hlen || *pdo > plen || *pdo % 4 != 0) /* CPDA 0: dwords */
        return refuse(bad, TCP_FES_HEADER, AT_PDO);
    if (plen - *pdo > kind->data_max)
        return refuse(bad, kind->type == TCP_H2C_DATA ? TCP_FES_LIMIT : TCP_FES_HEADER, AT_PLEN);
    return TCP_WHOLE;
}

static enum tcp_parsed parse_h2c(const uint8_t *bytes, struct tcp_pdu *pdu, struct tcp_bad *bad)
{
    pdu->h2c.cid = le16_read(bytes + AT_CID);
    pdu->h2c.tag = le16_read(bytes + AT_TAG);
    pdu->h2c.offset = le32_read(bytes + AT_OFFSET);
    pdu->h2c.last = bytes[AT_FLAGS] & TCP_FLAG_LAST;
    if (le32_read(bytes + AT_LENGTH) != pdu->data_len)
        return refuse(bad, TCP_FES_HEADER, AT_LENGTH);
    return TCP_WHOLE;
}

enum tcp_parsed tcp_pdu_parse(const uint8_t *bytes, size_t have, struct tcp_pdu *out, struct tcp_bad *bad)
{
    uint32_t pdo;
    if (have < 1)
        return TCP_MORE;
    const struct kind *kind = kind_of(bytes[0]);
    if (kind == NULL)
        return refuse(bad, TCP_FES_HEADER, 0);
    if (have < TCP_HEAD_LEN)
        return TCP_MORE;
    if (check_head(bytes, kind, &pdo, bad) == TCP_REFUSED)
        return TCP_REFUSED;
    struct tcp_pdu pdu = {.type = kind->type, .len = le32_read(bytes + AT_PLEN)};
    if (have < pdu.len)
        return TCP_MORE;
    pdu.data = bytes + pdo;
    pdu.data_len = pdu.len - pdo;
    switch (kind->type) {
    case TCP_IC_REQ:
        pdu.ic.version = le16_read(bytes + AT_IC_VERSION);
        pdu.ic.alignment = bytes[AT_IC_ALIGNMENT];
        pdu.ic.digests = bytes[AT_IC_DIGESTS];
        if (pdu.ic.version != 0)
            return refuse(bad, TCP_FES_PARAMETER, AT_IC_VERSION);
        if (pdu.ic.alignment > 31)
            return refuse(bad, TCP_FES_HEADER, AT_IC_ALIGNMENT);
        break;
    case TCP_CAPSULE_CMD:
        pdu.sqe = bytes + TCP_HEAD_LEN;
        break;
    case TCP_H2C_DATA:
        if (parse_h2c(bytes, &pdu, bad) == TCP_REFUSED)
            return TCP_REFUSED;
        break;
    case TCP_H2C_TERM:
        pdu.term = le16_read(bytes + AT_TERM_FES);
        break;
    case TCP_IC_RESP:
    case TCP_C2H_TERM:
    case TCP_CAPSULE_RESP:
    case TCP_C2H_DATA:
    case TCP_R2T:
        must_fail("a host's PDU", __FILE__, __LINE__);
    }
    *out = pdu;
    return TCP_WHOLE;
}

/* --- Commands ---------------------------------------------------------------------------------------------------- */

uint16_t tcp_sgl_parse(const uint8_t sqe[TCP_SQE_LEN], uint32_t capsule_len, struct tcp_sgl *out)
{
    enum {
        AT_SQE_FLAGS = 1,
        AT_ADDRESS = 24,
        AT_SGL_LENGTH = 32,
        AT_SGL_TYPE = 39,
        IN_CAPSULE = 0x01,
        BY_TRANSPORT = 0x5a
    };
    const uint64_t offset = le64_read(sqe + AT_ADDRESS);
    const uint32_t len = le32_read(sqe + AT_SGL_LENGTH);
    const unsigned psdt = sqe[AT_SQE_FLAGS] >> 6;
    if ((psdt != 1 && psdt != 2) || sqe[AT_SQE_FLAGS] & 0x3f) /* fabrics know SGLs only; no fused commands */
        return NVME_ST_INVALID_FIELD;
    if (sqe[AT_SGL_TYPE] != IN_CAPSULE && sqe[AT_SGL_TYPE] != BY_TRANSPORT)
        return NVME_ST_SGL_TYPE;
    *out = (struct tcp_sgl){.len = len, .in_capsule = sqe[AT_SGL_TYPE] == IN_CAPSULE};
    if (!out->in_capsule)
        return capsule_len != 0 ? NVME_ST_SGL_LENGTH : len > TCP_TRANSFER_MAX ? NVME_ST_INVALID_FIELD : NVME_ST_OK;
    if (offset > capsule_len)
        return NVME_ST_SGL_OFFSET;
    out->offset = (uint32_t)offset;
    return len > capsule_len - out->offset ? NVME_ST_SGL_LENGTH : NVME_ST_OK;
}

unsigned tcp_way(const uint8_t sqe[TCP_SQE_LEN])
{
    enum { AT_FCTYPE = 4 };
    return (sqe[0] == NVME_OP_FABRICS ? sqe[AT_FCTYPE] : sqe[0]) & 3;
}

/* --- What we send ------------------------------------------------------------------------------------------------ */

static void put_head(uint8_t *to, enum tcp_type type, uint8_t flags, uint8_t hlen, uint32_t plen)
{
    memset(to, 0, hlen);
    to[0] = (uint8_t)type;
    to[AT_FLAGS] = flags;
    to[AT_HLEN] = hlen;
    le32_write(to + AT_PLEN, plen);
}

void tcp_put_ic_resp(uint8_t to[TCP_IC_LEN])
{
    put_head(to, TCP_IC_RESP, 0, TCP_IC_LEN, TCP_IC_LEN);
    le32_write(to + AT_IC_MAX_DATA, TCP_H2C_DATA_MAX);
}

void tcp_put_r2t(uint8_t to[TCP_R2T_LEN], uint16_t cid, uint16_t tag, uint32_t len)
{
    put_head(to, TCP_R2T, 0, TCP_R2T_LEN, TCP_R2T_LEN);
    le16_write(to + AT_CID, cid);
    le16_write(to + AT_TAG, tag);
    le32_write(to + AT_LENGTH, len);
}

void tcp_put_resp(uint8_t to[TCP_RESP_LEN], const struct tcp_cqe *cqe)
{
    enum { AT_RESULT = 8, AT_SQ_HEAD = 16, AT_CQE_CID = 20, AT_STATUS = 22 };
    put_head(to, TCP_CAPSULE_RESP, 0, TCP_RESP_LEN, TCP_RESP_LEN);
    le64_write(to + AT_RESULT, cqe->result);
    le16_write(to + AT_SQ_HEAD, cqe->sq_head);
    le16_write(to + AT_CQE_CID, cqe->cid);
    le16_write(to + AT_STATUS, (uint16_t)(cqe->status << 1));
}

uint32_t tcp_put_c2h(uint8_t to[TCP_PDO_MAX + 1], uint16_t cid, uint32_t len, uint8_t alignment)
{
    must(alignment <= 31);
    const uint32_t unit = (alignment + 1u) * 4, pdo = (TCP_DATA_LEN + unit - 1) / unit * unit;
    memset(to, 0, pdo);
    put_head(to, TCP_C2H_DATA, TCP_FLAG_LAST, TCP_DATA_LEN, pdo + len);
    to[AT_PDO] = (uint8_t)pdo;
    le16_write(to + AT_CID, cid);
    le32_write(to + AT_LENGTH, len);
    return pdo;
}

size_t tcp_put_term(uint8_t to[TCP_TERM_MAX], const struct tcp_bad *bad, const uint8_t *header, size_t have)
{
    const size_t shown = have < TCP_TERM_MAX - TCP_TERM_LEN ? have : TCP_TERM_MAX - TCP_TERM_LEN;
    put_head(to, TCP_C2H_TERM, 0, TCP_TERM_LEN, (uint32_t)(TCP_TERM_LEN + shown));
    le16_write(to + AT_TERM_FES, (uint16_t)bad->fes);
    le32_write(to + AT_TERM_FEI, bad->offset);
    if (shown > 0)
        memcpy(to + TCP_TERM_LEN, header, shown);
    return TCP_TERM_LEN + shown;
}
