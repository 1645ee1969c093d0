/* tcp_pdu.h - the PDUs of NVMe/TCP as bytes. Pure: no socket, no memory of its own.
 *
 * "TCP" is the NVM Express TCP Transport Specification 1.0.
 *   - What a host sends is not trusted: type, flags, header length, data offset and length are checked before anything
 *     behind the first eight bytes is looked at, and a PDU that is too long is refused when its head is there.
 *   - Digests are not offered. A host that insists on them sees that in ICResp and leaves. */
#ifndef NSMITH_TCP_PDU_H
#define NSMITH_TCP_PDU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* TCP, figure "PDU Types". */
enum tcp_type {
    TCP_IC_REQ = 0,
    TCP_IC_RESP = 1,
    TCP_H2C_TERM = 2,
    TCP_C2H_TERM = 3,
    TCP_CAPSULE_CMD = 4,
    TCP_CAPSULE_RESP = 5,
    TCP_H2C_DATA = 6,
    TCP_C2H_DATA = 7,
    TCP_R2T = 9,
};

enum {
    TCP_HEAD_LEN = 8, /* the head that all PDUs have */
    TCP_IC_LEN = 128,
    TCP_CMD_LEN = 72, /* of the header of CapsuleCmd */
    TCP_RESP_LEN = 24,
    TCP_DATA_LEN = 24, /* of the header of H2CData and C2HData */
    TCP_R2T_LEN = 24,
    TCP_TERM_LEN = 24,
    TCP_TERM_MAX = 152, /* with as much of the offending header as may follow */
    TCP_SQE_LEN = 64,
    TCP_FLAG_LAST = 1 << 2,
};

/* What this controller takes. */
enum {
    TCP_CAPSULE_DATA_MAX = 8192, /* in-capsule data; for the admin queue TCP fixes it at 8192 */
    TCP_H2C_DATA_MAX = 128 << 10,
    TCP_TRANSFER_MAX = 256 << 10, /* of one command; MDTS says so too */
    TCP_PDO_MAX = 255,
    TCP_PDU_MAX = TCP_PDO_MAX + TCP_H2C_DATA_MAX,
};

/* TCP, figure "C2HTermReq PDU", Fatal Error Status. */
enum tcp_fes {
    TCP_FES_NONE = 0,
    TCP_FES_HEADER = 1,
    TCP_FES_SEQUENCE = 2,
    TCP_FES_RANGE = 4,
    TCP_FES_LIMIT = 5,
    TCP_FES_PARAMETER = 6,
};

/* Why a connection has to end: offset is that of the offending field in the PDU's header. */
struct tcp_bad {
    enum tcp_fes fes;
    uint32_t offset;
};

struct tcp_pdu {
    enum tcp_type type;
    uint32_t len;        /* of all of it */
    const uint8_t *data; /* borrowed from the bytes that were parsed; CapsuleCmd and H2CData */
    uint32_t data_len;
    union {
        struct {
            uint16_t version;
            uint8_t alignment; /* HPDA: what C2HData data must begin at, in dwords less one */
            uint8_t digests;
        } ic;
        const uint8_t *sqe; /* TCP_SQE_LEN bytes, borrowed */
        struct {
            uint16_t cid, tag;
            uint32_t offset;
            bool last;
        } h2c;
        uint16_t term; /* FES of the host */
    };
};

enum tcp_parsed { TCP_MORE, TCP_WHOLE, TCP_REFUSED };

/* TCP_MORE: the PDU is not all there. TCP_REFUSED: *bad says why. */
enum tcp_parsed tcp_pdu_parse(const uint8_t *bytes, size_t have, struct tcp_pdu *out, struct tcp_bad *bad);

/* The data pointer of a command. */
struct tcp_sgl {
    bool in_capsule;
    uint32_t offset, len;
};

/* An NVMe status; capsule_len is the length of the in-capsule data that came along. Base 2.0, "SGL Descriptor". */
uint16_t tcp_sgl_parse(const uint8_t sqe[TCP_SQE_LEN], uint32_t capsule_len, struct tcp_sgl *out);

/* Direction of a command's data; 3 is both and not used by any command here. */
enum tcp_way { TCP_NO_DATA = 0, TCP_TO_CTRL = 1, TCP_TO_HOST = 2 };
unsigned tcp_way(const uint8_t sqe[TCP_SQE_LEN]);

/* Each writes one header. */
void tcp_put_ic_resp(uint8_t to[TCP_IC_LEN]);
void tcp_put_r2t(uint8_t to[TCP_R2T_LEN], uint16_t cid, uint16_t tag, uint32_t len);

struct tcp_cqe {
    uint64_t result;
    uint16_t sq_head, cid;
    uint16_t status; /* SCT << 8 | SC, with the bits above: Do Not Retry */
};
void tcp_put_resp(uint8_t to[TCP_RESP_LEN], const struct tcp_cqe *cqe);
/* All data of a command in one PDU; returns the PDO, at which data begins. The bytes between are written as zeros. */
uint32_t tcp_put_c2h(uint8_t to[TCP_PDO_MAX + 1], uint16_t cid, uint32_t len, uint8_t alignment);
/* With the header that was refused, `have` bytes of it at most; returns the length. */
size_t tcp_put_term(uint8_t to[TCP_TERM_MAX], const struct tcp_bad *bad, const uint8_t *header, size_t have);

#endif
