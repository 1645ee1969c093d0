/* Bad clients, limits, listening. */
#include "http_fixture.h"

/* ---- bad clients ------------------------------------------------------------------------------------------------ */

#define BYTES(text) text, sizeof(text) - 1

static const struct {
    const char *rule, *bytes;
    size_t len;
    const char *answer; /* how it begins */
    bool handled;
} raw[] = {
    {"garbage", BYTES("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\xff\xff\r\n\r\n"), "", false},
    {"no version", BYTES("GET /a\r\n\r\n"), "HTTP/1.1 400 ", false},
    {"another protocol", BYTES("SSH-2.0-OpenSSH_9.2\r\n"), "", false},
    {"HTTP/2 without negotiation", BYTES("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), "HTTP/1.1 505 ", false},
    {"no Host", BYTES("GET /a HTTP/1.1\r\n\r\n"), "HTTP/1.1 400 ", false},
    {"a header without colon", BYTES("GET /a HTTP/1.1\r\nHost: a\r\nwrong\r\n\r\n"), "HTTP/1.1 400 ", false},
    {"a wrong length", BYTES("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n"), "HTTP/1.1 400 ", false},
    {"a huge length", BYTES("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999\r\n\r\n"), "HTTP/1.1 413 ",
     false},
    {"a wrong chunk", BYTES("POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"), "HTTP/1.1 400 ",
     false},
    {"an absolute address", BYTES("GET http://a/b HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"), "HTTP/1.1 400 ",
     false},
    {"a control character", BYTES("GET /a\x01 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"), "HTTP/1.1 400 ",
     false},
    {"a wrong key", BYTES("GET /a HTTP/1.1\r\nHost: a\r\nIdempotency-Key: \xff\r\nConnection: close\r\n\r\n"),
     "HTTP/1.1 400 ", false},
    {"a length and chunks",
     BYTES("POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n"),
     "HTTP/1.1 400 ", false},
    {"two lengths", BYTES("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nContent-Length: 2\r\n\r\nabcd"),
     "HTTP/1.1 400 ", false},
    {"an unknown method", BYTES("BREW /pot HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"), "HTTP/1.1 200 ", true},
    {"HTTP/1.0", BYTES("GET /a HTTP/1.0\r\n\r\n"), "HTTP/1.1 200 ", true},
};

static void test_raw(void **state)
{
    struct fixture *fixture = *state;
    for (size_t i = 0; i < sizeof(raw) / sizeof(raw[0]); i++) {
        char got[4096];
        const unsigned before = fixture->handled;
        int fd = raw_connect(fixture);
        raw_send(fixture, fd, raw[i].bytes, raw[i].len);
        raw_read(fixture, fd, NULL, got, sizeof(got));
        if (strncmp(got, raw[i].answer, strlen(raw[i].answer)) != 0)
            fail_msg("%s: got '%.60s', want '%s'", raw[i].rule, got, raw[i].answer);
        if ((fixture->handled != before) != raw[i].handled)
            fail_msg("%s: got %u requests handled, want %d", raw[i].rule, fixture->handled - before, raw[i].handled);
        close(fd);
    }
    expect_serves(fixture, "after all that");
}

static void test_path_limits(void **state)
{
    struct fixture *fixture = *state;
    static const struct {
        const char *rule;
        int path_len, query_len; /* decoded; with the '?' */
        const char *status;
    } rows[] = {
        {"a path of HTTP_PATH_MAX - 1 fits", HTTP_PATH_MAX - 1, 0, "HTTP/1.1 200 "},
        {"a path of HTTP_PATH_MAX is refused", HTTP_PATH_MAX, 0, "HTTP/1.1 414 "},
        {"an address of 4096 fits", 8, 4096 - 10, "HTTP/1.1 200 "},
        {"an address over 4096 is refused", 8, 4096 - 9, "HTTP/1.1 414 "},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char request[8192], got[2048];
        int fd = raw_connect(fixture);
        /* A percent sign counts as the one byte that it stands for. */
        size_t len = (size_t)snprintf(request, sizeof(request), "GET /%%41%0*d", rows[i].path_len - 2, 0);
        if (rows[i].query_len > 0)
            len += (size_t)snprintf(request + len, sizeof(request) - len, "?%0*d", rows[i].query_len - 1, 0);
        snprintf(request + len, sizeof(request) - len, " HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        raw_send(fixture, fd, request, strlen(request));
        raw_read(fixture, fd, NULL, got, sizeof(got));
        expect_contains(rows[i].rule, got, rows[i].status);
        close(fd);
    }
}

/* A client that sends without asking first, with its length told or in chunks, gets to read the refusal. */
static void test_large_body_unasked(void **state)
{
    struct fixture *fixture = *state;
    static const char *const heads[] = {
        "POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 8388609\r\n\r\n",
        "POST /body HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n800001\r\n",
    };
    char *body = fill(HTTP_BODY_MAX + 1), got[2048];
    for (size_t i = 0; i < 2; i++) {
        int fd = raw_connect(fixture);
        raw_send(fixture, fd, heads[i], strlen(heads[i]));
        raw_send(fixture, fd, body, HTTP_BODY_MAX + 1);
        if (i == 1)
            raw_send(fixture, fd, "\r\n0\r\n\r\n", 7);
        raw_read(fixture, fd, "}", got, sizeof(got));
        expect_contains("a body over the limit", got, "HTTP/1.1 413 ");
        expect_contains("a body over the limit", got, "application/problem+json");
        expect_contains("a body over the limit", got, too_large);
        close(fd);
    }
    free(body);
    assert_int_equal(fixture->handled, 0);
}

/* A body that does not end is not read for ever, and one that was refused is not kept. */
static void test_endless_body(void **state)
{
    struct fixture *fixture = *state;
    static const char head[] = "POST /body HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFF\r\n";
    char *body = fill(HTTP_BODY_MAX), got[2048];
    int fd = raw_connect(fixture);
    raw_send(fixture, fd, head, sizeof(head) - 1);
    for (size_t i = 0; i < 6; i++)
        raw_send(fixture, fd, body, HTTP_BODY_MAX); /* ends early when the server closes */
    raw_read(fixture, fd, NULL, got, sizeof(got));
    assert_string_equal(got, "");
    close(fd);
    free(body);
    expect_serves(fixture, "after an endless body");
}

/* Eight requests of 8 MiB are the most that is held at once. */
static void test_many_large_bodies(void **state)
{
    struct fixture *fixture = *state;
    static const char refused[] = "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFF\r\n";
    static const char head[] = "POST /size?n=2 HTTP/1.1\r\nHost: a\r\nContent-Length: 8388608\r\n\r\n";
    char *body = fill(HTTP_BODY_MAX), got[2048];
    int fds[9], other = raw_connect(fixture); /* one that is over the limit already does not count */
    raw_send(fixture, other, refused, sizeof(refused) - 1);
    raw_send(fixture, other, body, HTTP_BODY_MAX);
    raw_send(fixture, other, body, 1000);
    for (size_t i = 0; i < 9; i++) {
        fds[i] = raw_connect(fixture);
        raw_send(fixture, fds[i], head, sizeof(head) - 1);
        raw_send(fixture, fds[i], body, HTTP_BODY_MAX - 1);
        settle(fixture);
    }
    for (size_t i = 9; i-- > 0;) {
        raw_send(fixture, fds[i], "z", 1);
        raw_read(fixture, fds[i], i == 8 ? "}" : "ab", got, sizeof(got));
        expect_contains("nine large bodies at once", got, i == 8 ? "HTTP/1.1 503 " : "HTTP/1.1 200 ");
        close(fds[i]);
    }
    close(other);
    free(body);
}

static void test_endless_headers(void **state)
{
    struct fixture *fixture = *state;
    static const char *const heads[] = {"GET /", "GET / HTTP/1.1\r\nHost: a\r\nX: "};
    char *filler = fill(256 << 10), got[4096];
    for (size_t i = 0; i < 2; i++) {
        int fd = raw_connect(fixture);
        raw_send(fixture, fd, heads[i], strlen(heads[i]));
        raw_send(fixture, fd, filler, 256 << 10); /* ends early when the server closes */
        raw_read(fixture, fd, NULL, got, sizeof(got));
        close(fd);
    }
    free(filler);
    assert_int_equal(fixture->handled, 0);
    expect_serves(fixture, "after endless headers");
}

static void test_half_requests(void **state)
{
    struct fixture *fixture = *state;
    static const char *const halves[] = {
        "G",
        "GET /a HTTP/1.1\r\nHo",
        "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12345",
        "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n123",
    };
    int fds[4];
    for (size_t i = 0; i < 4; i++) {
        fds[i] = raw_connect(fixture);
        raw_send(fixture, fds[i], halves[i], strlen(halves[i]));
    }
    settle(fixture);
    expect_serves(fixture, "half requests do not disturb others");
    for (size_t i = 0; i < 4; i++)
        close(fds[i]);
    settle(fixture);
    assert_int_equal(fixture->handled, 1);
}

static void test_request_in_bytes(void **state)
{
    struct fixture *fixture = *state;
    static const char request[] = "POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nxyz"
                                  "GET /size?n=2 HTTP/1.1\r\nHost: a\r\n\r\n";
    char got[2048];
    int fd = raw_connect(fixture);
    for (size_t i = 0; i < sizeof(request) - 1; i++) {
        raw_send(fixture, fd, request + i, 1);
        settle(fixture);
    }
    raw_read(fixture, fd, "\r\n\r\nab", got, sizeof(got));
    expect_contains("a request may come byte by byte", got, "\r\n\r\nxyzHTTP/1.1 200 OK");
    close(fd);
}

/* libmicrohttpd stops listening at its limit of connections: it must begin again when all of them end at once. */
static void test_connection_limit(void **state)
{
    enum { MANY = 520 };
    struct fixture *fixture = *state;
    struct rlimit limit;
    static int fds[MANY];
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    if (limit.rlim_cur < 2 * MANY + 64)
        skip();
    for (size_t i = 0; i < MANY; i++)
        fds[i] = raw_connect(fixture);
    settle(fixture);
    for (size_t i = 0; i < MANY; i++)
        close(fds[i]);
    settle(fixture);
    struct pollfd fd = {http_server_fd(fixture->server), POLLIN, 0};
    fds[0] = raw_connect(fixture);
    assert_int_equal(poll(&fd, 1, 0), 1); /* it asks for a run by itself */
    close(fds[0]);
    expect_serves(fixture, "after the limit of connections was reached");
}

/* ---- listening -------------------------------------------------------------------------------------------------- */

static const struct {
    const char *address;
    enum err_kind kind;
} addresses[] = {
    {"tcp:0.0.0.0:8080", ERR_UNSAFE},
    {"tcp:[::]:8080", ERR_UNSAFE},
    {"tcp:192.0.2.1:8080", ERR_UNSAFE},
    {"tcp:126.255.255.255:80", ERR_UNSAFE},
    {"tcp:128.0.0.1:80", ERR_UNSAFE},
    {"tcp:[::2]:80", ERR_UNSAFE},
    {"tcp:[::ffff:10.0.0.1]:80", ERR_UNSAFE},
    {"tcp:example.org:80", ERR_UNSAFE},
    {"tcp::80", ERR_UNSAFE},
    {"tcp:127.1:80", ERR_UNSAFE},
    {"tcp:127.0.0.1", ERR_INPUT},
    {"tcp:127.0.0.1:", ERR_INPUT},
    {"tcp:127.0.0.1:0", ERR_INPUT},
    {"tcp:127.0.0.1:65536", ERR_INPUT},
    {"tcp:127.0.0.1:+80", ERR_INPUT},
    {"tcp:127.0.0.1:80 ", ERR_INPUT},
    {"unix:relative", ERR_INPUT},
    {"unix:", ERR_INPUT},
    {"http://127.0.0.1:80", ERR_INPUT},
    {"127.0.0.1:80", ERR_INPUT},
    {"", ERR_INPUT},
    {"unix:/tmp/0123456789/0123456789/0123456789/0123456789/0123456789/0123456789/0123456789/0123456789/0123456789/"
     "01234567",
     ERR_INPUT},
    {"unix:/tmp/t_http.missing/socket", ERR_MISSING},
};

static void test_addresses(void **state)
{
    struct fixture *fixture = *state;
    for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
        struct http_server *server = NULL;
        struct http_client *client = NULL;
        struct err err = {0}, client_err = {0};
        const char *const listen[] = {addresses[i].address};
        if (http_server_open(listen, 1, handle, fixture, &server, &err) || err.kind != addresses[i].kind)
            fail_msg("'%s': got '%s', want %s", listen[0], err.msg, err_kind_name(addresses[i].kind));
        assert_null(server);
        if (addresses[i].kind == ERR_MISSING)
            continue; /* for a client it may come later */
        if (http_client_open(listen[0], &client, &client_err) || client_err.kind != addresses[i].kind)
            fail_msg("'%s': got '%s', want %s", listen[0], client_err.msg, err_kind_name(addresses[i].kind));
    }
}

static void test_ipv6(void **state)
{
    struct fixture *fixture = *state;
    struct http_server *server = fixture->server;
    struct err err = {0};
    char address[64];
    snprintf(address, sizeof(address), "tcp:[::1]:%d", free_port());
    const char *const listen[] = {address};
    if (!http_server_open(listen, 1, handle, fixture, &fixture->server, &err)) {
        fixture->server = server;
        if (err.sys == EADDRNOTAVAIL || err.sys == EAFNOSUPPORT)
            skip(); /* a host without IPv6 */
        fail_msg("%s", err.msg);
    }
    struct call call = {.client = client_open(address), .method = "GET", .path = "/peer"};
    call_start(fixture, &call);
    call_finish(&call);
    expect_reply("::1 is loopback too", &call, 200, "0 0");
    http_client_close(call.client);
    http_server_close(fixture->server);
    fixture->server = server;
}

static void expect_conflict(struct fixture *fixture, const char *rule, const char *address, const char *named)
{
    struct http_server *server = NULL;
    struct err err = {0};
    const char *const listen[] = {address};
    if (http_server_open(listen, 1, handle, fixture, &server, &err) || err.kind != ERR_CONFLICT)
        fail_msg("%s: got '%s', want a conflict", rule, err.msg);
    expect_contains(rule, err.msg, named);
}

static void test_socket_in_use(void **state)
{
    struct fixture *fixture = *state;
    expect_conflict(fixture, "a socket that answers is not taken", fixture->unix_address, fixture->path);
    expect_conflict(fixture, "a port that is used is not taken", fixture->tcp_address, fixture->tcp_address);
    expect_serves(fixture, "and its server goes on");
    char path[96], address[112];
    snprintf(path, sizeof(path), "%s/file", fixture->dir);
    snprintf(address, sizeof(address), "unix:%s", path);
    close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    expect_conflict(fixture, "a file that is no socket is not taken", address, path);
    assert_int_equal(unlink(path), 0); /* it is still there */
}

/* A process that is too busy to accept is there all the same. */
static void test_busy_socket(void **state)
{
    enum { BACKLOG_MAX = 16 };
    struct fixture *fixture = *state;
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    char address[96];
    int fds[BACKLOG_MAX], count = 0, listener = fake_listen(fixture, address, sizeof(address));
    assert_true(text_copy(at.sun_path, sizeof(at.sun_path), address + 5));
    for (bool full = false; !full; count++) {
        assert_true(count < BACKLOG_MAX);
        fds[count] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        full = connect(fds[count], (struct sockaddr *)&at, sizeof(at)) != 0;
    }
    expect_conflict(fixture, "a socket with a full backlog is not taken", address, address + 5);
    while (count > 0)
        close(fds[--count]);
    close(listener);
    assert_int_equal(unlink(address + 5), 0);
}

static void test_stale_socket(void **state)
{
    struct fixture *fixture = *state;
    struct http_server *server = NULL;
    struct err err = {0};
    struct stat there;
    char address[96];
    close(fake_listen(fixture, address, sizeof(address)));
    const char *const listen[] = {address};
    const mode_t mask = umask(0177);
    bool ok = http_server_open(listen, 1, handle, fixture, &server, &err);
    umask(mask);
    if (!ok)
        fail_msg("%s", err.msg);
    assert_int_equal(stat(address + 5, &there), 0);
    assert_int_equal(there.st_mode & 07777, 0660); /* whatever the umask */
    assert_int_equal(unlink(address + 5), 0);
    close(fake_listen(fixture, address, sizeof(address)));
    http_server_close(server);
    assert_int_equal(unlink(address + 5), 0); /* close leaves a file alone that is not its own any more */
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(test_raw),
        T(test_path_limits),
        T(test_large_body_unasked),
        T(test_endless_body),
        T(test_many_large_bodies),
        T(test_busy_socket),
        T(test_endless_headers),
        T(test_half_requests),
        T(test_request_in_bytes),
        T(test_connection_limit),
        T(test_addresses),
        T(test_ipv6),
        T(test_socket_in_use),
        T(test_stale_socket),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
