/* http_fixture.h - for t_http.c and t_http_edge.c: the real server and the real client in one process. The test itself
 * turns the server's loop and owns its clock; clients run in threads of their own or are raw sockets. Nothing waits for
 * time to pass. */
#ifndef NSMITH_HTTP_FIXTURE_H
#define NSMITH_HTTP_FIXTURE_H

#include "base/text.h"
#include "http/http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

enum { STUCK_MS = 20000, CALL_MS = 60000 }; /* far beyond what any step takes: a hang becomes a failure */

/* ---- fixture: a server on a unix socket and on TCP -------------------------------------------------------------- */

struct fixture {
    char dir[32], path[64], unix_address[80], tcp_address[80];
    struct http_server *server;
    uint64_t now_ms; /* the server's clock */
    int done_fd;     /* eventfd: a client thread has ended */
    unsigned handled, parked, again;
};

struct call {
    struct fixture *fixture;
    struct http_client *client;
    const char *method, *path, *body, *key;
    uint32_t timeout_ms;
    pthread_t thread;
    atomic_bool done;
    bool ok;
    struct http_reply reply;
    struct err err;
};

static inline char *fill(size_t len)
{
    char *text = malloc(len + 1);
    assert_non_null(text);
    for (size_t i = 0; i < len; i++)
        text[i] = (char)('a' + i % 26);
    text[len] = '\0';
    return text;
}

static inline void say(struct http_answer *answer, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static inline void say(struct http_answer *answer, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int len = vasprintf(&answer->body, fmt, ap);
    va_end(ap);
    assert_true(len >= 0);
    answer->body_len = (size_t)len;
    answer->type = "text/plain";
    answer->status = 200;
}

static inline void say_echo(const struct http_request *request, struct http_answer *answer)
{
    const char *q = http_query(request, "q");
    say(answer, "%s %s q=%s key=%s body=%zu", request->method, request->path, q == NULL ? "NULL" : q,
        request->idempotency_key, request->body_len);
}

/* /park waits for a wake, /at?t=N until the clock shows N, /body sends the body back, /size?n=N sends N bytes. */
static inline void handle(void *ctx, const struct http_request *request, uint64_t now_ms, bool again,
                          struct http_answer *answer)
{
    struct fixture *fixture = ctx;
    const char *path = request->path;
    fixture->handled++;
    fixture->again += again;
    assert_int_equal(now_ms, fixture->now_ms);
    assert_int_equal(strlen(request->body) <= request->body_len, true);
    if ((strcmp(path, "/park") == 0 || strcmp(path, "/at") == 0) && !again) {
        const char *at = http_query(request, "t");
        uint64_t until = UINT64_MAX;
        fixture->parked++;
        assert_true(at == NULL || text_u64(at, &until));
        *answer = (struct http_answer){.later = true, .until_ms = until};
    } else if (strcmp(path, "/body") == 0) {
        *answer =
            (struct http_answer){.status = 200, .body = malloc(request->body_len + 1), .body_len = request->body_len};
        assert_non_null(answer->body);
        memcpy(answer->body, request->body, request->body_len + 1);
    } else if (strcmp(path, "/size") == 0) {
        uint64_t size = 0;
        assert_true(text_u64(http_query(request, "n"), &size));
        answer->status = 200;
        answer->body_len = size;
        answer->body = fill(answer->body_len);
    } else if (strcmp(path, "/nothing") == 0) {
        *answer = (struct http_answer){.status = 204};
    } else if (strcmp(path, "/missing") == 0) {
        say(answer, "no");
        answer->status = 404;
    } else if (strcmp(path, "/peer") == 0) {
        say(answer, "%d %u", request->have_peer, request->have_peer ? (unsigned)request->peer_uid : 0);
    } else {
        say_echo(request, answer);
    }
}

static inline bool call_is_done(const void *call)
{
    return atomic_load(&((const struct call *)call)->done);
}

static inline bool one_is_parked(const void *fixture)
{
    return ((const struct fixture *)fixture)->parked >= 1;
}

/* Turns the server's loop until `until` holds; `fd` (or -1) is watched as well. */
static inline void pump(struct fixture *fixture, int fd, short events, bool (*until)(const void *), const void *arg)
{
    for (;;) {
        int64_t timeout = http_server_run(fixture->server, fixture->now_ms);
        if (until(arg))
            return;
        struct pollfd fds[] = {
            {http_server_fd(fixture->server), POLLIN, 0}, {fixture->done_fd, POLLIN, 0}, {fd, events, 0}};
        int wait = timeout < 0 || timeout > STUCK_MS ? STUCK_MS : (int)timeout;
        uint64_t count;
        if (poll(fds, 3, wait) == 0 && wait == STUCK_MS)
            fail_msg("nothing happens any more");
        if (fds[1].revents != 0)
            assert_int_equal(read(fixture->done_fd, &count, sizeof(count)), sizeof(count));
        if (fds[2].revents != 0)
            return;
    }
}

static inline bool never(const void *arg)
{
    (void)arg;
    return false;
}

/* Runs until the server has nothing left to do. */
static inline void settle(struct fixture *fixture)
{
    struct pollfd fd = {http_server_fd(fixture->server), POLLIN, 0};
    do {
        while (http_server_run(fixture->server, fixture->now_ms) == 0)
            ;
    } while (poll(&fd, 1, 0) > 0);
}

static inline void *call_thread(void *arg)
{
    struct call *call = arg;
    const uint64_t one = 1;
    call->ok = http_client_call(call->client, call->method, call->path, call->body, call->key,
                                call->timeout_ms == 0 ? CALL_MS : call->timeout_ms, &call->reply, &call->err);
    atomic_store(&call->done, true);
    assert_int_equal(write(call->fixture->done_fd, &one, sizeof(one)), sizeof(one));
    return NULL;
}

static inline void call_start(struct fixture *fixture, struct call *call)
{
    call->fixture = fixture;
    assert_int_equal(pthread_create(&call->thread, NULL, call_thread, call), 0);
}

static inline void call_finish(struct call *call)
{
    pump(call->fixture, -1, 0, call_is_done, call);
    pthread_join(call->thread, NULL);
}

static inline struct http_client *client_open(const char *address)
{
    struct http_client *client = NULL;
    struct err err = {0};
    if (!http_client_open(address, &client, &err))
        fail_msg("%s", err.msg);
    return client;
}

static inline void expect_reply(const char *rule, struct call *call, int status, const char *body)
{
    if (!call->ok)
        fail_msg("%s: got '%s', want status %d", rule, call->err.msg, status);
    if (call->reply.status != status)
        fail_msg("%s: got status %d '%.200s', want %d", rule, call->reply.status, call->reply.body, status);
    if (strlen(call->reply.body) != call->reply.body_len || strcmp(call->reply.body, body) != 0)
        fail_msg("%s: got '%.200s', want '%.200s'", rule, call->reply.body, body);
    free(call->reply.body);
    call->reply.body = NULL;
}

static inline void expect_error(const char *rule, struct call *call, enum err_kind kind)
{
    if (call->ok)
        fail_msg("%s: got status %d, want '%s'", rule, call->reply.status, err_kind_name(kind));
    if (call->err.kind != kind)
        fail_msg("%s: got '%s' (%s), want '%s'", rule, err_kind_name(call->err.kind), call->err.msg,
                 err_kind_name(kind));
}

/* The server still serves others. */
static inline void expect_serves(struct fixture *fixture, const char *rule)
{
    struct call call = {.client = client_open(fixture->unix_address), .method = "GET", .path = "/alive"};
    call_start(fixture, &call);
    call_finish(&call);
    expect_reply(rule, &call, 200, "GET /alive q=NULL key= body=0");
    http_client_close(call.client);
}

static inline int free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    close(fd);
    return ntohs(address.sin_port);
}

static inline int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    struct err err = {0};
    assert_true(text_copy(fixture->dir, sizeof(fixture->dir), "/tmp/t_http.XXXXXX"));
    assert_non_null(mkdtemp(fixture->dir));
    snprintf(fixture->path, sizeof(fixture->path), "%s/socket", fixture->dir);
    snprintf(fixture->unix_address, sizeof(fixture->unix_address), "unix:%s", fixture->path);
    snprintf(fixture->tcp_address, sizeof(fixture->tcp_address), "tcp:127.0.0.1:%d", free_port());
    fixture->now_ms = 1000;
    fixture->done_fd = eventfd(0, EFD_CLOEXEC);
    const char *const listen[] = {fixture->unix_address, fixture->tcp_address};
    if (!http_server_open(listen, 2, handle, fixture, &fixture->server, &err))
        fail_msg("%s", err.msg);
    *state = fixture;
    return 0;
}

static inline int tear_down(void **state)
{
    struct fixture *fixture = *state;
    http_server_close(fixture->server);
    assert_int_equal(access(fixture->path, F_OK), -1); /* close removes the socket file */
    close(fixture->done_fd);
    assert_int_equal(rmdir(fixture->dir), 0);
    free(fixture);
    return 0;
}

static const char too_large[] __attribute__((unused)) =
    "{\"type\":\"about:blank\",\"title\":\"bad-input\",\"status\":413,\"code\":\"bad-input\","
    "\"detail\":\"cannot take the request: the body is larger than 8388608 bytes\","
    "\"hint\":\"send less; docs/api.md says what is taken\",\"unchanged\":true}";

/* ---- raw sockets ------------------------------------------------------------------------------------------------ */

static inline int raw_connect(struct fixture *fixture)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    assert_true(text_copy(address.sun_path, sizeof(address.sun_path), fixture->path));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_true(fd >= 0);
    while (connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
        assert_int_equal(errno, EAGAIN); /* the backlog is full */
        http_server_run(fixture->server, fixture->now_ms);
    }
    return fd;
}

static inline int raw_connect_tcp(struct fixture *fixture)
{
    uint64_t port;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    assert_true(text_u64(strrchr(fixture->tcp_address, ':') + 1, &port));
    address.sin_port = htons((uint16_t)port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    return fd;
}

static inline void raw_send(struct fixture *fixture, int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = send(fd, data, len, MSG_NOSIGNAL);
        if (n < 0 && errno == EPIPE)
            return;
        if (n < 0) {
            assert_int_equal(errno, EAGAIN);
            pump(fixture, fd, POLLOUT, never, NULL);
        } else {
            data += n;
            len -= (size_t)n;
        }
    }
}

/* Reads until the text ends in `end` (NULL: until the server closes the connection). */
static inline void raw_read(struct fixture *fixture, int fd, const char *end, char *to, size_t size)
{
    size_t len = 0;
    to[0] = '\0';
    for (;;) {
        ssize_t n = recv(fd, to + len, size - len - 1, 0);
        if (n < 0 && errno == EAGAIN) {
            pump(fixture, fd, POLLIN, never, NULL);
            continue;
        }
        if (n <= 0)
            return; /* closed or reset */
        len += (size_t)n;
        to[len] = '\0';
        if (end != NULL && len >= strlen(end) && strcmp(to + len - strlen(end), end) == 0)
            return;
    }
}

static inline void expect_contains(const char *rule, const char *got, const char *want)
{
    if (strstr(got, want) == NULL)
        fail_msg("%s: got '%.600s', want '%s' in it", rule, got, want);
}

/* A listening socket that is not the server's, for a client or in a server's way. */
static inline int fake_listen(struct fixture *fixture, char *address, size_t size)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    snprintf(at.sun_path, sizeof(at.sun_path), "%s/fake", fixture->dir);
    snprintf(address, size, "unix:%s/fake", fixture->dir);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(listen(fd, 5), 0);
    return fd;
}

#endif
