/* soft_wire.h - how nsmith-softnvme is spoken to: frames on a unix stream socket.
 *   - A frame is a head and `len` bytes. A client sends one request and waits for its one answer; a command that will
 *     never complete gets no answer: the client times out and closes.
 *   - A connection that is opened on a drive stays with this very drive until it ends.
 *   - A request of another version, of an unknown kind or with a wrong length is answered with an error, then the
 *     connection ends. */
#ifndef NSMITH_SOFT_WIRE_H
#define NSMITH_SOFT_WIRE_H

#include "nvme/nvme_wire.h"

enum { SOFT_WIRE_VERSION = 1, SOFT_WIRE_BODY_MAX = (1 << 20) + 4096 };

enum soft_wire_kind {
    SOFT_WIRE_LIST = 1, /* answer: serials, one a line */
    SOFT_WIRE_OPEN,     /* serial as text */
    SOFT_WIRE_ADMIN,    /* struct soft_wire_cmd, data to the drive; answer: struct soft_wire_done, data from it */
    SOFT_WIRE_IO,       /* likewise */
    SOFT_WIRE_NS_PATH,  /* struct soft_wire_nsid; answer: struct soft_wire_ns, then the path; no path: no namespace */
    SOFT_WIRE_RESCAN,
    SOFT_WIRE_CONTROL, /* a line of text, words with blanks between; answer: text */
    SOFT_WIRE_ANSWER = 64,
    SOFT_WIRE_ERROR, /* struct soft_wire_error, then the message, '\0', the hint */
};

struct soft_wire_head {
    uint8_t version, kind;
    struct le16 reserved;
    struct le32 len;
};
_Static_assert(sizeof(struct soft_wire_head) == 8, "head of a frame");

struct soft_wire_cmd {
    uint8_t opcode, reserved[3];
    struct le32 nsid, cdw[6] /* 10 to 15 */, data_len, timeout_ms;
};
_Static_assert(sizeof(struct soft_wire_cmd) == 40, "command");

struct soft_wire_done {
    struct le16 status, reserved;
    struct le32 result;
};
_Static_assert(sizeof(struct soft_wire_done) == 8, "completion");

struct soft_wire_nsid {
    struct le32 nsid;
};
_Static_assert(sizeof(struct soft_wire_nsid) == 4, "namespace");

struct soft_wire_ns {
    struct le64 size_blocks;
    struct le32 block_bytes, reserved;
};
_Static_assert(sizeof(struct soft_wire_ns) == 16, "namespace");

struct soft_wire_error {
    struct le16 kind /* enum err_kind */, nvme;
    struct le32 sys;
};
_Static_assert(sizeof(struct soft_wire_error) == 8, "error");

#endif
