/* http.h - bytes in, bytes out: a small HTTP/1.1 server over libmicrohttpd and a client over libcurl, both on unix
 * sockets or loopback TCP. Nothing here knows what the bytes mean. */
#ifndef NSMITH_HTTP_H
#define NSMITH_HTTP_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { HTTP_BODY_MAX = 8 << 20, HTTP_PATH_MAX = 512, HTTP_KEY_MAX = 96 };

/* ---- server ---- */

struct http_request {
    const char *method; /* GET, POST, PUT, DELETE */
    const char *path;   /* percent-decoded, no query */
    const char *body;   /* ended by a zero byte that does not count; "" when none */
    size_t body_len;
    char idempotency_key[HTTP_KEY_MAX]; /* header Idempotency-Key, or empty */
    bool have_peer;     /* unix socket: SO_PEERCRED */
    uid_t peer_uid;
    void *conn; /* for http_query() */
};

/* The query argument `name`, or NULL. Borrowed until the handler returns. */
const char *http_query(const struct http_request *request, const char *name);

struct http_answer {
    int status;
    const char *type; /* static; NULL: application/json */
    char *body;       /* from malloc; the server frees it. NULL: empty */
    size_t body_len;
    bool later;       /* no answer yet: the connection is parked, and the handler called again for it after
                         http_server_wake() or at `until_ms` (CLOCK_MONOTONIC), whichever is first */
    uint64_t until_ms;
};

/* `again`: called anew for a parked connection; `now_ms` is CLOCK_MONOTONIC. Runs in http_server_run(). */
typedef void (*http_handler)(void *ctx, const struct http_request *request, uint64_t now_ms, bool again,
                             struct http_answer *answer);

struct http_server;

/* listen: "unix:/path" (made 0660, an old socket file that nobody answers on is replaced) or "tcp:127.0.0.1:PORT",
 * "tcp:[::1]:PORT" (loopback only; anything else is refused: nothing listens on the network without TLS). Up to 4
 * listeners. A body over HTTP_BODY_MAX, a path of HTTP_PATH_MAX or more and a key of HTTP_KEY_MAX or more never reach
 * the handler: the server answers them with problem+json (RFC 9457). Over TCP so does a request for a host that is neither
 * an address, localhost nor http_server_name(): a page of the web could have its own name point here ("DNS rebinding"),
 * and the browser would let it read the answers. A unix socket no browser reaches. */
bool http_server_open(const char *const *listen, size_t count, http_handler handler, void *ctx, struct http_server **out,
                      struct err *err);
/* One more name under which it may be asked over TCP; borrowed as long as the server lives. */
void http_server_name(struct http_server *server, const char *name);
int http_server_fd(const struct http_server *server); /* becomes readable when http_server_run() has work */
/* Handles what is ready; returns the milliseconds until it wants to be called again at the latest, -1: no limit. */
int64_t http_server_run(struct http_server *server, uint64_t now_ms);
/* All parked connections are handled in the next run, and http_server_fd() is readable until then. From any thread. */
void http_server_wake(struct http_server *server);
void http_server_close(struct http_server *server);

/* ---- client ---- */

struct http_client;

struct http_reply {
    int status;
    char *body; /* owned by the caller, free(); ended by a zero byte that does not count */
    size_t body_len;
};

bool http_client_open(const char *address, struct http_client **out, struct err *err); /* as `listen` above */
/* ERR_BUSY when nobody answers or the time is over (the request may have been carried out). An HTTP error status is
 * an answer, not an error. A client is used by one thread at a time. */
bool http_client_call(struct http_client *client, const char *method, const char *path, const char *body,
                      const char *idempotency_key, uint32_t timeout_ms, struct http_reply *out, struct err *err);
/* From another thread: the running call ends at once with ERR_BUSY; when none is running, the next one. */
void http_client_cancel(struct http_client *client);
void http_client_close(struct http_client *client);

#endif
