/* One curl handle and one multi handle a client: the multi handle keeps the connection between calls, and
 * curl_multi_wakeup() is the one thing in libcurl that another thread may call to end a wait at once. */
#include "http/http.h"

#include "base/must.h"
#include "base/text.h"
#include "http/http_address.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ADDRESS_TEXT_MAX = 128, TARGET_MAX = 4096, CONNECT_TIMEOUT_MS = 2000, REPLY_FIRST = 4096 };

struct http_client {
    char address[ADDRESS_TEXT_MAX];                              /* for messages */
    char base[64];                                               /* URL without the path */
    char unix_path[sizeof(((struct sockaddr_un *)0)->sun_path)]; /* empty: TCP */
    CURL *easy;
    CURLM *multi;
    atomic_bool cancelled;
};

/* What one call collects. */
struct body {
    char *text; /* owned */
    size_t len, size;
    bool too_large;
};

/* ---- opening and closing ------------------------------------------------------------------------------------- */

static void global_init(void)
{
    must(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK);
}

static void set_base(struct http_client *client, const struct http_address *address)
{
    char host[INET6_ADDRSTRLEN] = "localhost";
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    memcpy(&v4, &address->at, sizeof(v4));
    memcpy(&v6, &address->at, sizeof(v6));
    switch (address->at.any.sa_family) {
    case AF_UNIX:
        text_cut(client->unix_path, sizeof(client->unix_path), address->at.unix_path.sun_path);
        snprintf(client->base, sizeof(client->base), "http://%s", host);
        break;
    case AF_INET:
        must(inet_ntop(AF_INET, &v4.sin_addr, host, sizeof(host)) != NULL);
        snprintf(client->base, sizeof(client->base), "http://%s:%u", host, ntohs(v4.sin_port));
        break;
    default:
        must(inet_ntop(AF_INET6, &v6.sin6_addr, host, sizeof(host)) != NULL);
        snprintf(client->base, sizeof(client->base), "http://[%s]:%u", host, ntohs(v6.sin6_port));
    }
}

bool http_client_open(const char *address, struct http_client **out, struct err *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct http_address parsed;
    if (!http_address_parse(address, &parsed, err))
        return false;
    must(pthread_once(&once, global_init) == 0);
    struct http_client *client = calloc(1, sizeof(*client));
    must(client != NULL);
    text_cut(client->address, sizeof(client->address), address);
    set_base(client, &parsed);
    client->easy = curl_easy_init();
    client->multi = curl_multi_init();
    must(client->easy != NULL && client->multi != NULL);
    *out = client;
    return true;
}

void http_client_close(struct http_client *client)
{
    if (client == NULL)
        return;
    curl_easy_cleanup(client->easy);
    curl_multi_cleanup(client->multi);
    free(client);
}

void http_client_cancel(struct http_client *client)
{
    atomic_store(&client->cancelled, true);
    curl_multi_wakeup(client->multi);
}

/* ---- the request --------------------------------------------------------------------------------------------- */

static size_t on_data(char *data, size_t one, size_t len, void *body_at)
{
    struct body *body = body_at;
    must(one == 1);
    if (len > HTTP_BODY_MAX - body->len) {
        body->too_large = true;
        return 0; /* ends the call */
    }
    if (body->len + len + 1 > body->size) {
        size_t size = body->size == 0 ? REPLY_FIRST : body->size;
        while (size < body->len + len + 1)
            size *= 2;
        body->text = realloc(body->text, size);
        must(body->text != NULL);
        body->size = size;
    }
    memcpy(body->text + body->len, data, len);
    body->len += len;
    return len;
}

/* For options with a value of ours: they fail only for a libcurl built without what we need. */
#define set(easy, option, value) must(curl_easy_setopt(easy, option, value) == CURLE_OK)

/* Everything that is the same for each call. */
static void set_transport(struct http_client *client, uint32_t timeout_ms, struct body *body)
{
    CURL *easy = client->easy;
    curl_easy_reset(easy); /* keeps connections */
    if (client->unix_path[0] != '\0')
        set(easy, CURLOPT_UNIX_SOCKET_PATH, client->unix_path);
    set(easy, CURLOPT_PROXY, "");
    set(easy, CURLOPT_PROTOCOLS_STR, "http");
    set(easy, CURLOPT_FOLLOWLOCATION, 0L);
    set(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    set(easy, CURLOPT_PATH_AS_IS, 1L);
    set(easy, CURLOPT_NOSIGNAL, 1L);
    set(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_TIMEOUT_MS);
    set(easy, CURLOPT_TIMEOUT_MS, (long)timeout_ms);
    set(easy, CURLOPT_USERAGENT, "nsmith/" NSMITH_VERSION);
    set(easy, CURLOPT_WRITEFUNCTION, on_data);
    set(easy, CURLOPT_WRITEDATA, body);
}

static void set_method(CURL *easy, const char *method, const char *body)
{
    if (strcmp(method, "GET") == 0) {
        must(body == NULL);
        set(easy, CURLOPT_HTTPGET, 1L);
    } else if (strcmp(method, "HEAD") == 0) {
        must(body == NULL);
        set(easy, CURLOPT_NOBODY, 1L);
    } else {
        const char *sent = body == NULL ? "" : body; /* so that Content-Length: 0 is sent */
        set(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(sent));
        set(easy, CURLOPT_POSTFIELDS, sent); /* borrowed until the call ends */
        set(easy, CURLOPT_CUSTOMREQUEST, method);
    }
}

static struct curl_slist *add_header(struct curl_slist *list, const char *name, const char *value)
{
    char line[64 + HTTP_KEY_MAX];
    int len = snprintf(line, sizeof(line), "%s: %s", name, value);
    must(len > 0 && (size_t)len < sizeof(line));
    struct curl_slist *longer = curl_slist_append(list, line);
    must(longer != NULL);
    return longer;
}

static struct curl_slist *make_headers(const char *body, const char *key)
{
    struct curl_slist *list = add_header(NULL, "Accept", "application/json");
    if (body != NULL)
        list = add_header(list, "Content-Type", "application/json");
    if (key != NULL)
        list = add_header(list, "Idempotency-Key", key);
    return list;
}

/* ---- the call ------------------------------------------------------------------------------------------------ */

/* true: `code` says how it ended. false: cancelled. */
static bool perform(struct http_client *client, CURLcode *code)
{
    int running = 1, left = 0;
    for (;;) {
        if (atomic_exchange(&client->cancelled, false))
            return false;
        must(curl_multi_perform(client->multi, &running) == CURLM_OK);
        if (running == 0)
            break;
        must(curl_multi_poll(client->multi, NULL, 0, 1000, NULL) == CURLM_OK);
    }
    const CURLMsg *message = curl_multi_info_read(client->multi, &left);
    must(message != NULL && message->msg == CURLMSG_DONE);
    *code = message->data.result;
    return true;
}

static bool no_answer(struct http_client *client, CURLcode code, uint32_t timeout_ms, struct err *err)
{
    long sys = 0;
    curl_easy_getinfo(client->easy, CURLINFO_OS_ERRNO, &sys);
    switch ((int)code) {
    case CURLE_COULDNT_CONNECT:
        if (sys == EACCES || sys == EPERM) {
            err_set(err, ERR_DENIED, "cannot call '%s': %s", client->address, strerror((int)sys));
            return err_hint(err, "use a user or group that may use the socket");
        }
        err_set(err, ERR_BUSY, "cannot call '%s': %s", client->address,
                sys != 0 ? strerror((int)sys) : "nobody answers");
        return err_hint(err, "check that the server runs and listens there");
    case CURLE_OPERATION_TIMEDOUT:
        return err_set(err, ERR_BUSY, "cannot call '%s': no answer within %u ms", client->address, timeout_ms);
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_GOT_NOTHING:
    case CURLE_PARTIAL_FILE:
        return err_set(err, ERR_BUSY, "cannot call '%s': the connection broke", client->address);
    default:
        err_set(err, ERR_FAILED, "cannot call '%s': %s", client->address, curl_easy_strerror(code));
        return err_hint(err, "check that it is the right server that listens there");
    }
}

static bool take_reply(struct http_client *client, struct body *body, struct http_reply *out)
{
    long status = 0;
    must(curl_easy_getinfo(client->easy, CURLINFO_RESPONSE_CODE, &status) == CURLE_OK);
    if (body->text == NULL) {
        body->text = calloc(1, 1);
        must(body->text != NULL);
    }
    body->text[body->len] = '\0';
    *out = (struct http_reply){.status = (int)status, .body = body->text, .body_len = body->len};
    body->text = NULL;
    return true;
}

/* A path as it is sent: printable, without spaces, percent signs set by the caller. */
static bool check_input(const char *path, const char *key, struct err *err)
{
    if (path[0] != '/' || !text_is_printable(path, TARGET_MAX) || strpbrk(path, " #") != NULL)
        return err_set(err, ERR_INPUT, "cannot call '%.80s': it is not a path of at most %d characters", path,
                       TARGET_MAX);
    if (key != NULL && (!text_is_printable(key, HTTP_KEY_MAX - 1) || key[0] == ' '))
        return err_set(err, ERR_INPUT, "cannot use request key '%.100s': it must be 1 to %d printable characters", key,
                       HTTP_KEY_MAX - 1);
    return true;
}

static bool call(struct http_client *client, struct body *body, uint32_t timeout_ms, struct http_reply *out,
                 struct err *err)
{
    CURLcode code = CURLE_OK;
    must(curl_multi_add_handle(client->multi, client->easy) == CURLM_OK);
    const bool ended = perform(client, &code);
    must(curl_multi_remove_handle(client->multi, client->easy) == CURLM_OK);
    if (!ended)
        return err_set(err, ERR_BUSY, "cannot call '%s': cancelled", client->address);
    if (body->too_large)
        return err_set(err, ERR_FAILED, "cannot call '%s': the answer is larger than %d bytes", client->address,
                       HTTP_BODY_MAX);
    if (code != CURLE_OK)
        return no_answer(client, code, timeout_ms, err);
    return take_reply(client, body, out);
}

bool http_client_call(struct http_client *client, const char *method, const char *path, const char *body,
                      const char *idempotency_key, uint32_t timeout_ms, struct http_reply *out, struct err *err)
{
    char url[sizeof(client->base) + TARGET_MAX];
    struct body received = {0};
    must(timeout_ms > 0);
    if (!check_input(path, idempotency_key, err))
        return false;
    snprintf(url, sizeof(url), "%s%s", client->base, path);
    set_transport(client, timeout_ms, &received);
    set_method(client->easy, method, body);
    set(client->easy, CURLOPT_URL, url);
    struct curl_slist *headers = make_headers(body, idempotency_key);
    set(client->easy, CURLOPT_HTTPHEADER, headers);
    const bool ok = call(client, &received, timeout_ms, out, err);
    curl_slist_free_all(headers);
    free(received.text);
    return ok;
}
