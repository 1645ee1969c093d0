#include "http/http_refusal.h"

#include "base/must.h"
#include "base/text.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

_Static_assert(HTTP_BODY_MAX == 8388608 && HTTP_PATH_MAX - 1 == 511 && HTTP_KEY_MAX - 1 == 95 && HTTP_URI_MAX == 4096,
               "the texts of HTTP_REFUSALS name the limits");

static const struct {
    int status;
    enum err_kind kind;
    const char *why, *todo;
} refusals[] = {
#define X(name, status, kind, why, todo) [name] = {status, kind, why, todo},
    HTTP_REFUSALS(X)
#undef X
};

/* The texts are ours and need no escaping. */
struct http_answer http_refusal_answer(enum http_refusal refusal)
{
    char text[640];
    must(refusal != REFUSE_NOTHING && refusal < HTTP_REFUSAL_COUNT);
    const char *code = err_kind_name(refusals[refusal].kind);
    const int len =
        snprintf(text, sizeof(text),
                 "{\"type\":\"about:blank\",\"title\":\"%s\",\"status\":%d,\"code\":\"%s\",\"detail\":\"cannot "
                 "take the request: %s\",\"hint\":\"%s\",\"unchanged\":true}",
                 code, refusals[refusal].status, code, refusals[refusal].why, refusals[refusal].todo);
    must(len > 0 && (size_t)len < sizeof(text));
    char *body = strdup(text);
    must(body != NULL);
    return (struct http_answer){
        .status = refusals[refusal].status, .type = "application/problem+json", .body = body, .body_len = (size_t)len};
}

static bool is_port(const char *text)
{
    uint64_t port;
    return text[0] == '\0' || (text[0] == ':' && (text[1] == '\0' || (text_u64(text + 1, &port) && port <= 65535)));
}

bool http_host_is_ours(const char *host, const char *name)
{
    char alone[256];
    struct in6_addr room;
    const bool six = host[0] == '[';
    const size_t len = six ? strcspn(host, "]") : strcspn(host, ":");
    if (len >= sizeof(alone) || (six && host[len] != ']') || !is_port(host + len + six))
        return false;
    memcpy(alone, host + six, len - six);
    alone[len - six] = '\0';
    if (six)
        return inet_pton(AF_INET6, alone, &room) == 1;
    return inet_pton(AF_INET, alone, &room) == 1 || strcasecmp(alone, "localhost") == 0 ||
           (name != NULL && strcasecmp(alone, name) == 0);
}
