/* soft_link.h - one connection to nsmith-softnvme, as a client: a request, its answer, a deadline.
 *   - After a time-out, or when the other side ends, the connection is closed for good: an answer that comes late could
 *     be taken for that of another command. What was under way may have been done: ERR_BUSY, sys = ETIMEDOUT.
 *   - After that every request is refused with ERR_MISSING: open anew. */
#ifndef NSMITH_SOFT_LINK_H
#define NSMITH_SOFT_LINK_H

#include "base/err.h"
#include "nvme/soft_wire.h"

#include <stdbool.h>
#include <stddef.h>

struct soft_link {
    int fd; /* owned; -1: closed */
};

struct soft_body {
    const void *a, *b; /* borrowed; sent one after the other */
    size_t a_len, b_len;
};

/* ERR_MISSING or ERR_BUSY with a hint when nobody listens. */
bool soft_link_open(const char *socket, struct soft_link *out, struct err *err);
void soft_link_close(struct soft_link *link);
/* *answer_out: the body of the answer with a '\0' behind it, from malloc(). An error of the other side becomes err. */
bool soft_link_call(struct soft_link *link, enum soft_wire_kind kind, const struct soft_body *body, uint32_t timeout_ms,
                    uint8_t **answer_out, size_t *len_out, struct err *err);

#endif
