/* Requests, answers, parking, the client. */
#include "http_fixture.h"

#include "http/http_refusal.h"

#include <jansson.h>

/* ---- requests and answers --------------------------------------------------------------------------------------- */

static const char bad_address[] =
    "{\"type\":\"about:blank\",\"title\":\"bad-input\",\"status\":400,\"code\":\"bad-input\","
    "\"detail\":\"cannot take the request: the address is not a path with correct percent signs\","
    "\"hint\":\"begin the path with '/' and encode every other character as RFC 3986 says\",\"unchanged\":true}";

static const struct {
    const char *rule, *method, *path, *body, *key;
    int status;
    const char *answer;
} requests[] = {
    {"a request reaches the handler", "GET", "/v1/hosts", NULL, NULL, 200, "GET /v1/hosts q=NULL key= body=0"},
    {"the query is not part of the path", "GET", "/a?q=1", NULL, NULL, 200, "GET /a q=1 key= body=0"},
    {"an argument without value is empty", "GET", "/a?x=2&q", NULL, NULL, 200, "GET /a q= key= body=0"},
    {"path and query are percent-decoded", "GET", "/a%20b%2Fc?q=%26%3D+%C3%A9", NULL, NULL, 200,
     "GET /a b/c q=&= \xc3\xa9 key= body=0"},
    {"dots are left to the handler", "GET", "/a/../b//c", NULL, NULL, 200, "GET /a/../b//c q=NULL key= body=0"},
    {"odd characters survive", "GET", "/~!$&'()*,;=:@\"<>[]{}|\\^`", NULL, NULL, 200,
     "GET /~!$&'()*,;=:@\"<>[]{}|\\^` q=NULL key= body=0"},
    {"a body arrives whole", "POST", "/body", "{\"a\":1}", NULL, 200, "{\"a\":1}"},
    {"an empty body is empty", "POST", "/a", "", NULL, 200, "POST /a q=NULL key= body=0"},
    {"no body is an empty body", "PUT", "/a", NULL, NULL, 200, "PUT /a q=NULL key= body=0"},
    {"any method goes to the handler", "DELETE", "/a", NULL, NULL, 200, "DELETE /a q=NULL key= body=0"},
    {"the idempotency key arrives", "POST", "/a", "x", "0b9d-7", 200, "POST /a q=NULL key=0b9d-7 body=1"},
    {"HEAD is GET without the body", "HEAD", "/a", NULL, NULL, 200, ""},
    {"a status without body has none", "GET", "/nothing", NULL, NULL, 204, ""},
    {"an error status is an answer", "GET", "/missing", NULL, NULL, 404, "no"},
    {"a zero byte in the path is refused", "GET", "/a%00b", NULL, NULL, 400,
     bad_address},
    {"a zero byte in the query is refused", "GET", "/a?q=x%00", NULL, NULL, 400,
     bad_address},
    {"a wrong percent sign is refused", "POST", "/a%2", "body", NULL, 400,
     bad_address},
};

static void test_requests(void **state)
{
    struct fixture *fixture = *state;
    const char *const addresses[] = {fixture->unix_address, fixture->tcp_address};
    for (size_t a = 0; a < 2; a++) {
        struct http_client *client = client_open(addresses[a]);
        for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
            struct call call = {.client = client,
                                .method = requests[i].method,
                                .path = requests[i].path,
                                .body = requests[i].body,
                                .key = requests[i].key};
            call_start(fixture, &call);
            call_finish(&call);
            expect_reply(requests[i].rule, &call, requests[i].status, requests[i].answer);
        }
        http_client_close(client);
    }
}

static const struct {
    const char *rule, *path, *key;
} refused_calls[] = {
    {"a path begins with a slash", "a", NULL},
    {"a path has no spaces", "/a b", NULL},
    {"a path has no fragment", "/a#b", NULL},
    {"a path has no control characters", "/a\r\nX: y", NULL},
    {"a key has no control characters", "/a", "k\r\nX: y"},
    {"a key is not empty", "/a", ""},
    {"a key is shorter than HTTP_KEY_MAX", "/a",
     "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456"},
};

static void test_refused_calls(void **state)
{
    struct fixture *fixture = *state;
    struct http_client *client = client_open(fixture->unix_address);
    for (size_t i = 0; i < sizeof(refused_calls) / sizeof(refused_calls[0]); i++) {
        struct call call = {
            .client = client, .method = "GET", .path = refused_calls[i].path, .key = refused_calls[i].key};
        call.ok = http_client_call(client, "GET", call.path, NULL, call.key, CALL_MS, &call.reply, &call.err);
        expect_error(refused_calls[i].rule, &call, ERR_INPUT);
    }
    http_client_close(client);
    assert_int_equal(fixture->handled, 0);
}

static void test_body_limits(void **state)
{
    struct fixture *fixture = *state;
    struct http_client *client = client_open(fixture->unix_address);
    char *most = fill(HTTP_BODY_MAX), *more = fill(HTTP_BODY_MAX + 1);
    struct call fits = {.client = client, .method = "POST", .path = "/body", .body = most};
    call_start(fixture, &fits);
    call_finish(&fits);
    expect_reply("a body of exactly HTTP_BODY_MAX goes both ways", &fits, 200, most);
    struct call over = {.client = client, .method = "POST", .path = "/body", .body = more};
    call_start(fixture, &over);
    call_finish(&over);
    expect_reply("one byte more is refused", &over, 413, too_large);
    struct call answer = {.client = client, .method = "GET", .path = "/size?n=8388609"};
    call_start(fixture, &answer);
    call_finish(&answer);
    expect_error("an answer over HTTP_BODY_MAX is refused", &answer, ERR_FAILED);
    free(most);
    free(more);
    http_client_close(client);
}

static void test_answer_headers(void **state)
{
    struct fixture *fixture = *state;
    static const char get[] = "GET /size?n=3 HTTP/1.1\r\nHost: a\r\n\r\n";
    static const char head[] = "HEAD /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    char got[2048];
    int fd = raw_connect(fixture);
    raw_send(fixture, fd, get, sizeof(get) - 1);
    raw_read(fixture, fd, "abc", got, sizeof(got));
    expect_contains("status", got, "HTTP/1.1 200 OK\r\n");
    expect_contains("JSON is the default", got, "\r\nContent-Type: application/json\r\n");
    expect_contains("length", got, "\r\nContent-Length: 3\r\n");
    expect_contains("not cached", got, "\r\nCache-Control: no-store\r\n");
    expect_contains("not guessed at", got, "\r\nX-Content-Type-Options: nosniff\r\n");
    raw_send(fixture, fd, head, sizeof(head) - 1); /* on the same connection: it is kept */
    raw_read(fixture, fd, NULL, got, sizeof(got));
    expect_contains("HEAD tells the length of the answer to GET", got, "\r\nContent-Length: 25\r\n");
    assert_string_equal(got + strlen(got) - 4, "\r\n\r\n");
    close(fd);
}

static void test_peer(void **state)
{
    struct fixture *fixture = *state;
    char want[32];
    snprintf(want, sizeof(want), "1 %u", (unsigned)geteuid());
    struct call local = {.client = client_open(fixture->unix_address), .method = "GET", .path = "/peer"};
    call_start(fixture, &local);
    call_finish(&local);
    expect_reply("the peer of a unix socket is known", &local, 200, want);
    struct call tcp = {.client = client_open(fixture->tcp_address), .method = "GET", .path = "/peer"};
    call_start(fixture, &tcp);
    call_finish(&tcp);
    expect_reply("the peer of a TCP connection is not", &tcp, 200, "0 0");
    http_client_close(local.client);
    http_client_close(tcp.client);
}

/* ---- parking ---------------------------------------------------------------------------------------------------- */

static void test_parked_and_woken(void **state)
{
    struct fixture *fixture = *state;
    struct call parked = {
        .client = client_open(fixture->unix_address), .method = "POST", .path = "/park?q=7", .body = "b"};
    call_start(fixture, &parked);
    pump(fixture, -1, 0, one_is_parked, fixture);
    expect_serves(fixture, "others are served while one is parked");
    assert_int_equal(http_server_run(fixture->server, fixture->now_ms) != 0, true); /* it does not spin */
    assert_int_equal(fixture->again, 0);
    struct pollfd fd = {http_server_fd(fixture->server), POLLIN, 0};
    http_server_wake(fixture->server);
    assert_int_equal(poll(&fd, 1, 0), 1); /* a wake makes the descriptor readable */
    call_finish(&parked);
    expect_reply("a parked request keeps its query and body", &parked, 200, "POST /park q=7 key= body=1");
    assert_int_equal(fixture->again, 1);
    http_client_close(parked.client);
}

static void test_parked_until_deadline(void **state)
{
    struct fixture *fixture = *state;
    struct call parked = {.client = client_open(fixture->tcp_address), .method = "GET", .path = "/at?t=2000"};
    call_start(fixture, &parked);
    pump(fixture, -1, 0, one_is_parked, fixture);
    fixture->now_ms = 1400;
    settle(fixture);
    assert_in_range(http_server_run(fixture->server, fixture->now_ms), 1, 600);
    fixture->now_ms = 1999;
    settle(fixture);
    assert_int_equal(fixture->again, 0); /* not a moment before */
    fixture->now_ms = 2000;
    call_finish(&parked);
    expect_reply("a parked request is handled at its deadline", &parked, 200, "GET /at q=NULL key= body=0");
    assert_int_equal(fixture->again, 1);
    http_client_close(parked.client);
}

static void test_parked_client_gone(void **state)
{
    struct fixture *fixture = *state;
    static const char request[] = "GET /park HTTP/1.1\r\nHost: a\r\n\r\n";
    char got[64];
    int fd = raw_connect(fixture);
    raw_send(fixture, fd, request, sizeof(request) - 1);
    pump(fixture, -1, 0, one_is_parked, fixture);
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    raw_read(fixture, fd, NULL, got, sizeof(got)); /* noticed without a wake: the server closes its end */
    assert_string_equal(got, "");
    assert_int_equal(fixture->again, 0); /* and the handler is not troubled */
    close(fd);
    http_server_wake(fixture->server);
    expect_serves(fixture, "the server goes on after a parked client left");
    assert_int_equal(fixture->again, 0);
}

static void test_closed_while_parked(void **state)
{
    struct fixture *fixture = *state;
    struct err err = {0};
    struct call parked = {.client = client_open(fixture->unix_address), .method = "GET", .path = "/park"};
    call_start(fixture, &parked);
    pump(fixture, -1, 0, one_is_parked, fixture);
    http_server_close(fixture->server);
    pthread_join(parked.thread, NULL);
    expect_error("a closed server breaks the connection", &parked, ERR_BUSY);
    http_client_close(parked.client);
    const char *const listen[] = {fixture->unix_address};
    assert_true(http_server_open(listen, 1, handle, fixture, &fixture->server, &err));
}

static void test_cancel(void **state)
{
    struct fixture *fixture = *state;
    struct call parked = {.client = client_open(fixture->unix_address), .method = "GET", .path = "/park"};
    call_start(fixture, &parked);
    pump(fixture, -1, 0, one_is_parked, fixture);
    http_client_cancel(parked.client);
    call_finish(&parked);
    expect_error("a running call can be cancelled", &parked, ERR_BUSY);
    struct call after = {.client = parked.client, .method = "GET", .path = "/nothing"};
    call_start(fixture, &after);
    call_finish(&after);
    expect_reply("the client can be used after that", &after, 204, "");
    http_client_cancel(parked.client);
    struct call next = {.client = parked.client, .method = "GET", .path = "/nothing"};
    call_start(fixture, &next);
    call_finish(&next);
    expect_error("a cancel between calls hits the next one", &next, ERR_BUSY);
    http_client_close(parked.client);
}

static void test_timeout(void **state)
{
    struct fixture *fixture = *state;
    struct call parked = {
        .client = client_open(fixture->unix_address), .method = "GET", .path = "/park", .timeout_ms = 20};
    call_start(fixture, &parked);
    call_finish(&parked);
    expect_error("a call ends when its time is over", &parked, ERR_BUSY);
    http_client_close(parked.client);
}

/* ---- the client against other servers --------------------------------------------------------------------------- */

static const struct {
    const char *rule, *bytes;
    enum err_kind kind;
    int status;
} foreign[] = {
    {"nothing at all", "", ERR_BUSY, 0},
    {"another protocol", "220 mail ESMTP\r\n", ERR_FAILED, 0},
    {"half an answer", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n123", ERR_BUSY, 0},
    {"a redirect is not followed", "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
     ERR_NONE, 302},
    {"an answer without length ends with the connection", "HTTP/1.1 200 OK\r\n\r\nabc", ERR_NONE, 200},
};

/* Reads one request without body. */
static void fake_read(int fd)
{
    char got[1024] = "";
    size_t len = 0;
    while (len < 4 || memcmp(got + len - 4, "\r\n\r\n", 4) != 0) {
        ssize_t n = recv(fd, got + len, sizeof(got) - len, 0);
        assert_true(n > 0);
        len += (size_t)n;
    }
}

static void test_foreign_servers(void **state)
{
    struct fixture *fixture = *state;
    char address[96];
    int listener = fake_listen(fixture, address, sizeof(address));
    for (size_t i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++) {
        struct call call = {.client = client_open(address), .method = "GET", .path = "/"};
        call_start(fixture, &call);
        int fd = accept(listener, NULL, NULL);
        fake_read(fd);
        assert_int_equal(send(fd, foreign[i].bytes, strlen(foreign[i].bytes), MSG_NOSIGNAL), strlen(foreign[i].bytes));
        close(fd);
        call_finish(&call);
        if (foreign[i].kind != ERR_NONE)
            expect_error(foreign[i].rule, &call, foreign[i].kind);
        else
            expect_reply(foreign[i].rule, &call, foreign[i].status, foreign[i].status == 302 ? "" : "abc");
        http_client_close(call.client);
    }
    close(listener);
    assert_int_equal(unlink(address + 5), 0);
}

static void test_connection_is_kept(void **state)
{
    struct fixture *fixture = *state;
    static const char answer[] = "HTTP/1.1 204 No Content\r\n\r\n";
    char address[96];
    int listener = fake_listen(fixture, address, sizeof(address)), fd = -1;
    struct http_client *client = client_open(address);
    for (size_t i = 0; i < 3; i++) {
        struct call call = {.client = client, .method = "GET", .path = "/"};
        call_start(fixture, &call);
        if (i == 0)
            fd = accept(listener, NULL, NULL);
        fake_read(fd); /* fails when the client made a new connection */
        assert_int_equal(send(fd, answer, sizeof(answer) - 1, MSG_NOSIGNAL), sizeof(answer) - 1);
        call_finish(&call);
        expect_reply("the connection is used again", &call, 204, "");
    }
    close(fd);
    struct call call = {.client = client, .method = "GET", .path = "/"};
    call_start(fixture, &call);
    fd = accept(listener, NULL, NULL);
    fake_read(fd);
    assert_int_equal(send(fd, answer, sizeof(answer) - 1, MSG_NOSIGNAL), sizeof(answer) - 1);
    call_finish(&call);
    expect_reply("a connection that the server closed is replaced", &call, 204, "");
    close(fd);
    close(listener);
    assert_int_equal(unlink(address + 5), 0);
    http_client_close(client);
}

static void test_nobody_there(void **state)
{
    struct fixture *fixture = *state;
    char address[96];
    close(fake_listen(fixture, address, sizeof(address)));
    struct call stale = {.client = client_open(address), .method = "GET", .path = "/"};
    call_start(fixture, &stale);
    call_finish(&stale);
    expect_error("an old socket file", &stale, ERR_BUSY);
    assert_int_equal(unlink(address + 5), 0);
    struct call missing = {.client = stale.client, .method = "GET", .path = "/"};
    call_start(fixture, &missing);
    call_finish(&missing);
    expect_error("no socket file", &missing, ERR_BUSY);
    expect_contains("the address is named", missing.err.msg, address);
    assert_true(missing.err.hint[0] != '\0');
    http_client_close(stale.client);
}

/* ---- what the transport refuses by itself ------------------------------------------------------------------------ */

static void every_refusal_has_the_shape_of_the_api(void **state)
{
    (void)state;
    for (int r = REFUSE_NOTHING + 1; r < HTTP_REFUSAL_COUNT; r++) {
        struct http_answer answer = http_refusal_answer((enum http_refusal)r);
        const char *code, *title, *type, *detail, *hint;
        int status, unchanged;
        json_t *json = json_loadb(answer.body, answer.body_len, JSON_REJECT_DUPLICATES, NULL);
        assert_string_equal(answer.type, "application/problem+json");
        if (json_unpack(json, "{s:s, s:s, s:i, s:s, s:s, s:s, s:b !}", "type", &type, "title", &title, "status", &status,
                        "code", &code, "detail", &detail, "hint", &hint, "unchanged", &unchanged) != 0)
            fail_msg("refusal %d: got '%s'", r, answer.body);
        if (status != answer.status || status < 400 || strncmp(detail, "cannot take the request: ", 25) != 0 ||
            hint[0] == '\0' || !unchanged || strcmp(title, code) != 0 || err_kind_by_name(code) == ERR_FAILED)
            fail_msg("refusal %d: got '%s'", r, answer.body);
        json_decref(json);
        free(answer.body);
    }
}

static const struct {
    const char *host, *name;
    bool ours;
} hosts[] = {
    {"127.0.0.1", NULL, true},
    {"127.0.0.1:8080", NULL, true},
    {"10.1.2.3:8080", NULL, true}, /* an address cannot be pointed elsewhere */
    {"[::1]", NULL, true},
    {"[::1]:8080", NULL, true},
    {"localhost", NULL, true},
    {"LocalHost:8080", NULL, true},
    {"localhost:", NULL, true},
    {"nsmith.example.org:443", "nsmith.example.org", true},
    {"NSMITH.example.org", "nsmith.example.org", true},
    {"nsmith.example.org", NULL, false},
    {"evil.example.org", "nsmith.example.org", false},
    {"evil.example.org:8080", NULL, false},
    {"localhost.evil.example.org", NULL, false},
    {"127.0.0.1.evil.example.org", NULL, false},
    {"evil.example.org@127.0.0.1", NULL, false},
    {"127.0.0.1:80:80", NULL, false},
    {"127.0.0.1:99999", NULL, false},
    {"127.0.0.1:evil", NULL, false},
    {"127.1", NULL, false}, /* one spelling only */
    {"2130706433", NULL, false},
    {"0x7f.0.0.1", NULL, false},
    {"::1", NULL, false},
    {"[::1", NULL, false},
    {"[::1]evil", NULL, false},
    {"[evil]", NULL, false},
    {"[]", NULL, false},
    {"", NULL, false},
    {":8080", NULL, false},
    {" localhost", NULL, false},
};

static void a_host_is_an_address_localhost_or_the_name(void **state)
{
    (void)state;
    char longest[400];
    for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++)
        if (http_host_is_ours(hosts[i].host, hosts[i].name) != hosts[i].ours)
            fail_msg("Host '%s': got %s, want %s", hosts[i].host, hosts[i].ours ? "refused" : "taken",
                     hosts[i].ours ? "taken" : "refused");
    memset(longest, 'a', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
    assert_false(http_host_is_ours(longest, longest));
}

/* DNS rebinding: over TCP a page of the web can reach the server under a name of its own, over a unix socket not. */
static void test_host(void **state)
{
    struct fixture *fixture = *state;
    static const struct {
        const char *rule, *hosts;
        bool tcp;
        const char *answer;
    } rows[] = {
        {"TCP, the address", "Host: 127.0.0.1\r\n", true, "HTTP/1.1 200 "},
        {"TCP, localhost", "Host: localhost:1\r\n", true, "HTTP/1.1 200 "},
        {"TCP, the name that was configured", "Host: nsmith.example.org\r\n", true, "HTTP/1.1 200 "},
        {"TCP, somebody's name", "Host: evil.example.org\r\n", true, "HTTP/1.1 421 "},
        {"TCP, the name comes second", "Host: localhost\r\nHost: evil.example.org\r\n", true, "HTTP/1.1 421 "},
        {"unix socket, any name", "Host: evil.example.org\r\n", false, "HTTP/1.1 200 "},
    };
    http_server_name(fixture->server, "nsmith.example.org");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char request[256], got[2048];
        const unsigned before = fixture->handled;
        const int fd = rows[i].tcp ? raw_connect_tcp(fixture) : raw_connect(fixture);
        snprintf(request, sizeof(request), "GET /a HTTP/1.1\r\n%sConnection: close\r\n\r\n", rows[i].hosts);
        raw_send(fixture, fd, request, strlen(request));
        raw_read(fixture, fd, NULL, got, sizeof(got));
        if (strncmp(got, rows[i].answer, strlen(rows[i].answer)) != 0)
            fail_msg("%s: got '%.60s', want '%s'", rows[i].rule, got, rows[i].answer);
        assert_int_equal(fixture->handled - before, strstr(rows[i].answer, " 200 ") != NULL);
        close(fd);
    }
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(test_requests),
        T(test_refused_calls),
        T(test_body_limits),
        T(test_answer_headers),
        T(test_peer),
        T(test_parked_and_woken),
        T(test_parked_until_deadline),
        T(test_parked_client_gone),
        T(test_closed_while_parked),
        T(test_cancel),
        T(test_timeout),
        T(test_foreign_servers),
        T(test_connection_is_kept),
        T(test_nobody_there),
        T(test_host),
        cmocka_unit_test(every_refusal_has_the_shape_of_the_api),
        cmocka_unit_test(a_host_is_an_address_localhost_or_the_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
