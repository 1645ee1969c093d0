/* HTTP/1.1 (RFC 9112) over libmicrohttpd in its external epoll mode: no thread of its own.
 *
 * One daemon a listener. server->epoll_fd holds the daemons' epoll descriptors, an eventfd for http_server_wake(), and
 * the sockets of parked connections, so that a client that goes away while it waits is noticed at once (libmicrohttpd
 * does not look at suspended connections at all).
 *
 * What the parser of libmicrohttpd refuses by itself (a malformed request, headers larger than the memory of a
 * connection) it answers with a page of its own; 0.9.75 has no way to change that. All other answers are ours. */
#include "http/http.h"

#include "base/must.h"
#include "base/text.h"
#include "http/http_address.h"
#include "http/http_refusal.h"

#include <errno.h>
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include <unistd.h>

enum {
    LISTENERS_MAX = 4,
    CONNECTIONS_MAX = 512,                /* a listener; parked ones count */
    CONNECTION_MEMORY = 32 << 10,         /* request line and headers, and the window through which a body is read */
    IDLE_TIMEOUT_S = 60,                  /* parked connections are not idle */
    BODY_FIRST = 4096,                    /* first allocation */
    BODIES_MAX = 8 * (HTTP_BODY_MAX + 1), /* of all requests together */
    DRAIN_MAX = 4 * HTTP_BODY_MAX,        /* what is read and thrown away so that the client gets to see the answer */
};

/* ---- state --------------------------------------------------------------------------------------------------- */

struct listener {
    struct http_server *server; /* borrowed */
    struct MHD_Daemon *daemon;  /* owned */
    struct http_socket socket;  /* its fd belongs to the daemon */
};

/* One request and its answer; lives from the request line until libmicrohttpd says that it is completed. */
struct exchange {
    struct listener *listener;  /* borrowed */
    TAILQ_ENTRY(exchange) link; /* while parked */
    struct MHD_Connection *connection;
    bool headers_read;
    bool parked;
    bool again; /* has been parked */
    bool gone;  /* the client went away while it was */
    uint64_t until_ms;
    enum http_refusal refusal;
    char *body; /* owned */
    size_t body_len, body_size;
    uint64_t drained;
};

TAILQ_HEAD(exchange_list, exchange);

struct http_server {
    http_handler handler;
    void *ctx;
    const char *name; /* borrowed; NULL: none */
    struct listener listeners[LISTENERS_MAX];
    size_t listener_count;
    int epoll_fd, wake_fd;
    uint64_t now_ms;    /* during http_server_run() */
    size_t bodies_size; /* allocated for bodies, all exchanges */
    struct exchange_list parked;
};

static int connection_fd(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    must(info != NULL);
    return info->connect_fd;
}

/* ---- parking ------------------------------------------------------------------------------------------------- */

static void park(struct exchange *exchange, uint64_t until_ms)
{
    struct http_server *server = exchange->listener->server;
    struct epoll_event event = {.events = EPOLLRDHUP, .data.ptr = exchange};
    must(!exchange->parked);
    exchange->parked = exchange->again = true;
    exchange->until_ms = until_ms;
    TAILQ_INSERT_TAIL(&server->parked, exchange, link);
    /* If this fails, a client that goes away is only noticed later. */
    epoll_ctl(server->epoll_fd, EPOLL_CTL_ADD, connection_fd(exchange->connection), &event);
    MHD_suspend_connection(exchange->connection);
}

/* The next MHD_run() goes on with it. */
static void unpark(struct exchange *exchange)
{
    struct http_server *server = exchange->listener->server;
    must(exchange->parked);
    exchange->parked = false;
    TAILQ_REMOVE(&server->parked, exchange, link);
    epoll_ctl(server->epoll_fd, EPOLL_CTL_DEL, connection_fd(exchange->connection), NULL);
    MHD_resume_connection(exchange->connection);
}

static void unpark_due(struct http_server *server, bool all)
{
    struct exchange *exchange = TAILQ_FIRST(&server->parked);
    while (exchange != NULL) {
        struct exchange *next = TAILQ_NEXT(exchange, link);
        if (all || exchange->gone || exchange->until_ms <= server->now_ms)
            unpark(exchange);
        exchange = next;
    }
}

/* ---- reading a request --------------------------------------------------------------------------------------- */

static int hex_value(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* libmicrohttpd leaves a wrong percent sign as it is and cuts at %00: two ways to read one address, so both are
 * refused. An address in another form than "/path" (RFC 9112, section 3.2) is for proxies, not for us. */
static enum http_refusal check_uri(const char *uri)
{
    if (strlen(uri) > HTTP_URI_MAX)
        return REFUSE_LONG;
    if (uri[0] != '/')
        return REFUSE_URI;
    size_t path_len = 0;
    bool in_path = true;
    for (const char *at = uri; *at != '\0'; at++) {
        if ((unsigned char)*at <= ' ' || *at == 0x7f)
            return REFUSE_URI;
        in_path = in_path && *at != '?';
        path_len += in_path;
        if (*at != '%')
            continue;
        if (hex_value(at[1]) < 0 || hex_value(at[2]) < 0 || (at[1] == '0' && at[2] == '0'))
            return REFUSE_URI;
        at += 2;
    }
    return path_len < HTTP_PATH_MAX ? REFUSE_NOTHING : REFUSE_LONG;
}

/* Called once a request, with the address as it was sent: here an exchange begins. */
static void *on_uri(void *cls, const char *uri, struct MHD_Connection *connection)
{
    struct exchange *exchange = calloc(1, sizeof(*exchange));
    must(exchange != NULL);
    exchange->listener = cls;
    exchange->connection = connection;
    exchange->refusal = uri == NULL ? REFUSE_URI : check_uri(uri);
    return exchange;
}

static void refuse(struct exchange *exchange, enum http_refusal why)
{
    if (exchange->refusal == REFUSE_NOTHING)
        exchange->refusal = why;
}

static const char *header(struct MHD_Connection *connection, const char *name)
{
    return MHD_lookup_connection_value(connection, MHD_HEADER_KIND, name);
}

static enum MHD_Result count_framing(void *count_at, enum MHD_ValueKind kind, const char *name, const char *value)
{
    unsigned *count = count_at;
    (void)kind;
    (void)value;
    if (strcasecmp(name, MHD_HTTP_HEADER_CONTENT_LENGTH) == 0 ||
        strcasecmp(name, MHD_HTTP_HEADER_TRANSFER_ENCODING) == 0)
        (*count)++;
    return MHD_YES;
}

/* A proxy in front and this server could read two different requests out of a body whose length is told twice (RFC
 * 9112, section 11.2 "Request Smuggling"); libmicrohttpd takes one of the lengths. */
static bool framing_is_clear(struct MHD_Connection *connection)
{
    unsigned count = 0;
    MHD_get_connection_values(connection, MHD_HEADER_KIND, count_framing, &count);
    return count <= 1;
}

static enum MHD_Result check_host(void *exchange_at, enum MHD_ValueKind kind, const char *name, const char *value)
{
    struct exchange *exchange = exchange_at;
    (void)kind;
    if (strcasecmp(name, MHD_HTTP_HEADER_HOST) == 0 &&
        !http_host_is_ours(value == NULL ? "" : value, exchange->listener->server->name))
        refuse(exchange, REFUSE_HOST);
    return MHD_YES;
}

static enum MHD_Result answer(struct exchange *exchange, struct http_answer *said);

/* Headers are there, the body is not. A refusal waits until the body has been read, for a client that is still sending
 * would not see it; unless the client asked first (Expect: 100-continue), has too much to send, or it is not clear
 * where the body ends. An answer before the body closes the connection. */
static enum MHD_Result on_headers(struct exchange *exchange)
{
    const char *length = header(exchange->connection, MHD_HTTP_HEADER_CONTENT_LENGTH);
    const char *key = header(exchange->connection, "Idempotency-Key");
    uint64_t body_len = 0;
    exchange->headers_read = true;
    const bool clear = framing_is_clear(exchange->connection);
    if (!clear)
        exchange->refusal = REFUSE_FRAMING;
    if (!exchange->listener->socket.is_unix)
        MHD_get_connection_values(exchange->connection, MHD_HEADER_KIND, check_host, exchange);
    if (length != NULL && (!text_u64(length, &body_len) || body_len > HTTP_BODY_MAX))
        refuse(exchange, REFUSE_BODY);
    if (key != NULL && !text_is_printable(key, HTTP_KEY_MAX - 1))
        refuse(exchange, REFUSE_KEY);
    const bool asks_first = header(exchange->connection, MHD_HTTP_HEADER_EXPECT) != NULL;
    if (exchange->refusal == REFUSE_NOTHING || (clear && !asks_first && body_len <= DRAIN_MAX))
        return MHD_YES;
    struct http_answer said = http_refusal_answer(exchange->refusal);
    return answer(exchange, &said);
}

static void drop_body(struct exchange *exchange)
{
    exchange->listener->server->bodies_size -= exchange->body_size;
    free(exchange->body);
    exchange->body = NULL;
    exchange->body_len = exchange->body_size = 0;
}

/* Room for `more` bytes and a zero byte. */
static enum http_refusal grow_body(struct exchange *exchange, size_t more)
{
    struct http_server *server = exchange->listener->server;
    const size_t need = exchange->body_len + more + 1;
    size_t size = exchange->body_size == 0 ? BODY_FIRST : exchange->body_size;
    if (need > HTTP_BODY_MAX + 1)
        return REFUSE_BODY;
    while (size < need)
        size *= 2;
    if (size > HTTP_BODY_MAX)
        size = HTTP_BODY_MAX + 1;
    if (server->bodies_size + (size - exchange->body_size) > BODIES_MAX)
        return REFUSE_LOAD;
    server->bodies_size += size - exchange->body_size;
    exchange->body = realloc(exchange->body, size);
    must(exchange->body != NULL);
    exchange->body_size = size;
    return REFUSE_NOTHING;
}

/* MHD_NO closes the connection: libmicrohttpd takes no answer in the middle of a body. */
static enum MHD_Result on_body(struct exchange *exchange, const char *data, size_t len)
{
    if (exchange->refusal == REFUSE_NOTHING)
        refuse(exchange, grow_body(exchange, len));
    if (exchange->refusal != REFUSE_NOTHING) {
        drop_body(exchange);
        exchange->drained += len;
        return exchange->drained <= DRAIN_MAX ? MHD_YES : MHD_NO;
    }
    memcpy(exchange->body + exchange->body_len, data, len);
    exchange->body_len += len;
    exchange->body[exchange->body_len] = '\0';
    return MHD_YES;
}

/* ---- answering ----------------------------------------------------------------------------------------------- */

static enum MHD_Result answer(struct exchange *exchange, struct http_answer *said)
{
    static char nothing[] = "";
    must(said->status >= 200 && said->status <= 599);
    must(said->body != NULL || said->body_len == 0);
    struct MHD_Response *response =
        said->body == NULL ? MHD_create_response_from_buffer(0, nothing, MHD_RESPMEM_PERSISTENT)
                           : MHD_create_response_from_buffer(said->body_len, said->body, MHD_RESPMEM_MUST_FREE);
    must(response != NULL);
    const char *type = said->type != NULL ? said->type : "application/json";
    must(MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type) == MHD_YES);
    must(MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store") == MHD_YES);
    must(MHD_add_response_header(response, "X-Content-Type-Options", "nosniff") == MHD_YES);
    enum MHD_Result result = MHD_queue_response(exchange->connection, (unsigned)said->status, response);
    MHD_destroy_response(response);
    return result;
}

static void fill_peer(struct exchange *exchange, struct http_request *request)
{
    struct ucred peer;
    socklen_t len = sizeof(peer);
    if (exchange->listener->socket.is_unix &&
        getsockopt(connection_fd(exchange->connection), SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0) {
        request->have_peer = true;
        request->peer_uid = peer.uid;
    }
}

/* The whole request is there, or a parked one is handled again. */
static enum MHD_Result on_request(struct exchange *exchange, const char *method, const char *path)
{
    struct http_server *server = exchange->listener->server;
    if (exchange->gone)
        return MHD_NO;
    struct http_answer said = {.status = 500};
    if (exchange->refusal != REFUSE_NOTHING) {
        said = http_refusal_answer(exchange->refusal);
        return answer(exchange, &said);
    }
    struct http_request request = {
        /* libmicrohttpd leaves the body of an answer to HEAD out by itself. */
        .method = strcmp(method, "HEAD") == 0 ? "GET" : method,
        .path = path,
        .body = exchange->body == NULL ? "" : exchange->body,
        .body_len = exchange->body_len,
        .conn = exchange->connection,
    };
    const char *key = header(exchange->connection, "Idempotency-Key");
    must(key == NULL || text_copy(request.idempotency_key, sizeof(request.idempotency_key), key));
    fill_peer(exchange, &request);
    server->handler(server->ctx, &request, server->now_ms, exchange->again, &said);
    if (!said.later)
        return answer(exchange, &said);
    must(said.body == NULL);
    park(exchange, said.until_ms);
    return MHD_YES;
}

/* libmicrohttpd calls it for the headers, for each piece of the body, and once more without data. */
static enum MHD_Result on_access(void *cls, struct MHD_Connection *connection, const char *url, const char *method,
                                 const char *version, const char *data, size_t *data_len, void **exchange_at)
{
    struct exchange *exchange = *exchange_at;
    (void)cls;
    (void)version;
    must(exchange != NULL && exchange->connection == connection);
    if (!exchange->headers_read)
        return on_headers(exchange);
    if (*data_len == 0)
        return on_request(exchange, method, url);
    const size_t len = *data_len;
    *data_len = 0;
    return on_body(exchange, data, len);
}

static void on_completed(void *cls, struct MHD_Connection *connection, void **exchange_at,
                         enum MHD_RequestTerminationCode how)
{
    struct exchange *exchange = *exchange_at;
    (void)cls;
    (void)connection;
    (void)how;
    if (exchange == NULL)
        return;
    must(!exchange->parked);
    drop_body(exchange);
    free(exchange);
    *exchange_at = NULL;
}

const char *http_query(const struct http_request *request, const char *name)
{
    const char *value = NULL;
    size_t len;
    if (MHD_lookup_connection_value_n(request->conn, MHD_GET_ARGUMENT_KIND, name, strlen(name), &value, &len) !=
        MHD_YES)
        return NULL;
    return value == NULL ? "" : value; /* "?name" without "=" */
}

/* ---- opening and closing ------------------------------------------------------------------------------------- */

static bool watch(struct http_server *server, int fd, struct err *err)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    if (epoll_ctl(server->epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0)
        return err_sys(err, errno, "cannot watch a listening socket");
    return true;
}

static bool start_daemon(struct http_server *server, struct listener *listener, const char *text, struct err *err)
{
    listener->daemon = MHD_start_daemon(
        MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ITC, 0, NULL, NULL, on_access, listener,
        MHD_OPTION_LISTEN_SOCKET, listener->socket.fd, MHD_OPTION_URI_LOG_CALLBACK, on_uri, listener,
        MHD_OPTION_NOTIFY_COMPLETED, on_completed, NULL, MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS_MAX,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY, MHD_OPTION_CONNECTION_TIMEOUT,
        (unsigned)IDLE_TIMEOUT_S, MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_END);
    if (listener->daemon == NULL) {
        http_socket_remove(&listener->socket); /* libmicrohttpd has closed the descriptor */
        return err_set(err, ERR_FAILED, "cannot start an HTTP server on '%s'", text);
    }
    server->listener_count++;
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(listener->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    must(info != NULL);
    return watch(server, info->epoll_fd, err);
}

static bool add_listener(struct http_server *server, const char *text, struct err *err)
{
    struct listener *listener = &server->listeners[server->listener_count];
    struct http_address address;
    listener->server = server;
    return http_address_parse(text, &address, err) && http_socket_open(&address, text, &listener->socket, err) &&
           start_daemon(server, listener, text, err);
}

static bool open_all(struct http_server *server, const char *const *listen, size_t count, struct err *err)
{
    server->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    server->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (server->epoll_fd < 0 || server->wake_fd < 0)
        return err_sys(err, errno, "cannot start an HTTP server");
    if (!watch(server, server->wake_fd, err))
        return false;
    for (size_t i = 0; i < count; i++)
        if (!add_listener(server, listen[i], err))
            return false;
    return true;
}

bool http_server_open(const char *const *listen, size_t count, http_handler handler, void *ctx,
                      struct http_server **out, struct err *err)
{
    must(count > 0 && count <= LISTENERS_MAX);
    struct http_server *server = calloc(1, sizeof(*server));
    must(server != NULL);
    server->handler = handler;
    server->ctx = ctx;
    TAILQ_INIT(&server->parked);
    if (!open_all(server, listen, count, err)) {
        http_server_close(server);
        return false;
    }
    *out = server;
    return true;
}

void http_server_close(struct http_server *server)
{
    if (server == NULL)
        return;
    unpark_due(server, true); /* libmicrohttpd refuses to stop while connections are suspended */
    for (size_t i = 0; i < server->listener_count; i++) {
        http_socket_remove(&server->listeners[i].socket);
        MHD_stop_daemon(server->listeners[i].daemon);
    }
    must(server->bodies_size == 0);
    if (server->wake_fd >= 0)
        close(server->wake_fd);
    if (server->epoll_fd >= 0)
        close(server->epoll_fd);
    free(server);
}

/* ---- running ------------------------------------------------------------------------------------------------- */

void http_server_name(struct http_server *server, const char *name)
{
    server->name = name;
}

int http_server_fd(const struct http_server *server)
{
    return server->epoll_fd;
}

void http_server_wake(struct http_server *server)
{
    const uint64_t one = 1;
    ssize_t n = write(server->wake_fd, &one, sizeof(one)); /* fails only when 2^64 wakes wait already */
    (void)n;
}

/* Events of the daemons need no mark: MHD_run() looks itself. */
static void mark_gone(struct http_server *server)
{
    struct epoll_event events[64];
    int count = epoll_wait(server->epoll_fd, events, 64, 0);
    for (int i = 0; i < count; i++) {
        struct exchange *exchange = events[i].data.ptr;
        if (exchange != NULL)
            exchange->gone = true;
    }
}

static unsigned connection_count(struct MHD_Daemon *daemon)
{
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_CURRENT_CONNECTIONS);
    must(info != NULL);
    return info->num_connections;
}

/* A daemon at its limit takes the listening socket out of its epoll set and puts it back in the run *after* the one in
 * which connections ended. Nothing would tell us to make that run, so it is made at once. */
static void run_daemon(struct MHD_Daemon *daemon)
{
    const unsigned before = connection_count(daemon);
    MHD_run(daemon);
    if (connection_count(daemon) < before)
        MHD_run(daemon);
}

static int64_t sooner(int64_t a, uint64_t b)
{
    const int64_t ms = b > INT64_MAX ? INT64_MAX : (int64_t)b;
    return a < 0 || ms < a ? ms : a;
}

static int64_t next_timeout(struct http_server *server)
{
    int64_t timeout = -1;
    for (size_t i = 0; i < server->listener_count; i++) {
        MHD_UNSIGNED_LONG_LONG ms;
        if (MHD_get_timeout(server->listeners[i].daemon, &ms) == MHD_YES)
            timeout = sooner(timeout, ms);
    }
    const struct exchange *exchange;
    TAILQ_FOREACH(exchange, &server->parked, link)
    timeout = sooner(timeout, exchange->until_ms > server->now_ms ? exchange->until_ms - server->now_ms : 0);
    return timeout;
}

int64_t http_server_run(struct http_server *server, uint64_t now_ms)
{
    uint64_t wakes;
    server->now_ms = now_ms;
    mark_gone(server);
    unpark_due(server, read(server->wake_fd, &wakes, sizeof(wakes)) == sizeof(wakes));
    for (size_t i = 0; i < server->listener_count; i++)
        run_daemon(server->listeners[i].daemon);
    return next_timeout(server);
}
