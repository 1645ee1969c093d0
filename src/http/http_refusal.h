/* http_refusal.h - what the transport answers by itself, before a handler is asked.
 *   - problem+json (RFC 9457) of the same shape as all errors of the API: what and why, what to do, `unchanged`.
 *   - A Host (RFC 9110, section 7.2) is ours when it is an IP address, localhost, or `name`; with or without a port. */
#ifndef NSMITH_HTTP_REFUSAL_H
#define NSMITH_HTTP_REFUSAL_H

#include "http/http.h"

enum { HTTP_URI_MAX = 4096 }; /* as it is sent, with the query */

/* name, HTTP status, kind, why, what to do */
#define HTTP_REFUSALS(X)                                                                            \
    X(REFUSE_NOTHING, 200, ERR_NONE, "", "")                                                        \
    X(REFUSE_URI, 400, ERR_INPUT, "the address is not a path with correct percent signs",           \
      "begin the path with '/' and encode every other character as RFC 3986 says")                  \
    X(REFUSE_KEY, 400, ERR_INPUT, "the header Idempotency-Key is not 1 to 95 printable characters", \
      "use a UUID as the key")                                                                      \
    X(REFUSE_FRAMING, 400, ERR_INPUT, "the length of the body is told twice",                       \
      "send either Content-Length or Transfer-Encoding, once")                                      \
    X(REFUSE_BODY, 413, ERR_INPUT, "the body is larger than 8388608 bytes",                         \
      "send less; docs/api.md says what is taken")                                                  \
    X(REFUSE_LONG, 414, ERR_INPUT, "the path is longer than 511 bytes or the address than 4096",    \
      "ask for one object by its id")                                                               \
    X(REFUSE_HOST, 421, ERR_DENIED, "its Host is neither an address nor a name of this server",     \
      "ask for 127.0.0.1, [::1] or localhost; another name is to be given to nsmithd with --name")  \
    X(REFUSE_LOAD, 503, ERR_BUSY, "too many large requests at once", "try again in a moment")

enum http_refusal {
#define X(name, status, kind, why, todo) name,
    HTTP_REFUSALS(X)
#undef X
        HTTP_REFUSAL_COUNT
};

struct http_answer http_refusal_answer(enum http_refusal refusal); /* not of REFUSE_NOTHING */
bool http_host_is_ours(const char *host, const char *name);        /* name NULL: none */

#endif
