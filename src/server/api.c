#include "server/api.h"

#include "base/must.h"
#include "base/text.h"
#include "server/api_priv.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

enum { TRIES_MAX = 50 };

/* Who may call: all of them; the socket's mode decides who reaches it. `agent`: root only, where the peer is known. */
enum { ROUTE_READ, ROUTE_CHANGE, ROUTE_AGENT };

static const struct {
    const char *method, *path; /* '*' is one part of the path */
    call_fn fn;
    int kind;
} routes[] = {
    {"GET", "/v1/status", get_status, ROUTE_READ},
    {"GET", "/v1/hosts", get_hosts, ROUTE_READ},
    {"GET", "/v1/hosts/*", get_host, ROUTE_READ},
    {"GET", "/v1/drives", get_drives, ROUTE_READ},
    {"GET", "/v1/drives/*", get_drive, ROUTE_READ},
    {"POST", "/v1/drives/*/adopt", post_adopt, ROUTE_CHANGE},
    {"POST", "/v1/drives/*/drain", post_drain, ROUTE_CHANGE},
    {"POST", "/v1/drives/*/retry", post_drive_retry, ROUTE_CHANGE},
    {"POST", "/v1/drives/*/resume", post_resume, ROUTE_CHANGE},
    {"POST", "/v1/drives/*/probe", post_probe, ROUTE_CHANGE},
    {"POST", "/v1/drives/*/firmware", post_firmware, ROUTE_CHANGE},
    {"PUT", "/v1/firmware/*", put_firmware, ROUTE_CHANGE},
    {"GET", "/v1/agents/*/firmware/*", agent_firmware, ROUTE_AGENT},
    {"GET", "/v1/slices", get_slices, ROUTE_READ},
    {"GET", "/v1/slices/*", get_slice, ROUTE_READ},
    {"POST", "/v1/slices/*/retry", post_retry, ROUTE_CHANGE},
    {"POST", "/v1/slices/*/retire", post_retire, ROUTE_CHANGE},
    {"GET", "/v1/classes", get_classes, ROUTE_READ},
    {"PUT", "/v1/classes/*", put_class, ROUTE_CHANGE},
    {"GET", "/v1/flavors", get_flavors, ROUTE_READ},
    {"PUT", "/v1/flavors/*", put_flavor, ROUTE_CHANGE},
    {"DELETE", "/v1/flavors/*", delete_flavor, ROUTE_CHANGE},
    {"GET", "/v1/claims", get_claims, ROUTE_READ},
    {"POST", "/v1/claims", post_claim, ROUTE_CHANGE},
    {"GET", "/v1/claims/*", get_claim, ROUTE_READ},
    {"DELETE", "/v1/claims/*", delete_claim, ROUTE_CHANGE},
    {"GET", "/v1/vms", get_vms, ROUTE_READ},
    {"POST", "/v1/vms", post_vm, ROUTE_CHANGE},
    {"GET", "/v1/vms/*", get_vm, ROUTE_READ},
    {"DELETE", "/v1/vms/*", delete_vm, ROUTE_CHANGE},
    {"POST", "/v1/vms/*/start", post_vm_start, ROUTE_CHANGE},
    {"POST", "/v1/vms/*/stop", post_vm_stop, ROUTE_CHANGE},
    {"POST", "/v1/vms/*/kill", post_vm_kill, ROUTE_CHANGE},
    {"POST", "/v1/vms/*/reboot", post_vm_reboot, ROUTE_CHANGE},
    {"GET", "/v1/erasures", get_erasures, ROUTE_READ},
    {"GET", "/v1/erasures/*", get_erasure, ROUTE_READ},
    {"POST", "/v1/agents/*/register", agent_register, ROUTE_AGENT},
    {"POST", "/v1/agents/*/report", agent_report, ROUTE_AGENT},
    {"POST", "/v1/agents/*/records", agent_records, ROUTE_AGENT},
    {"GET", "/v1/agents/*/wants", agent_wants, ROUTE_AGENT},
};

/* ---- JSON helpers -------------------------------------------------------------------------------------------- */

json_t *object_new(void)
{
    json_t *object = json_object();
    must(object != NULL);
    return object;
}

void set_new(json_t *object, const char *name, json_t *value)
{
    must(value != NULL && json_object_set_new(object, name, value) == 0);
}

void set_text(json_t *object, const char *name, const char *text)
{
    if (text != NULL && text[0] != '\0')
        set_new(object, name, json_string(text));
}

void set_u64(json_t *object, const char *name, uint64_t value)
{
    must(value <= INT64_MAX);
    set_new(object, name, json_integer((json_int_t)value));
}

json_t *items(json_t *list)
{
    json_t *object = object_new();
    set_new(object, "items", list);
    return object;
}

bool body_read(struct call *call, const struct jmap *map, void *out, struct err *err)
{
    return jmap_parse(map, call->http->body, call->http->body_len, JMAP_STRICT, out, err) ||
           err_wrap(err, "cannot use the request's body");
}

/* ---- answers ------------------------------------------------------------------------------------------------- */

static void answer_json(struct http_answer *answer, int status, const char *type, json_t *json)
{
    answer->status = status;
    answer->type = type;
    answer->body = json_dumps(json, JSON_COMPACT);
    must(answer->body != NULL);
    answer->body_len = strlen(answer->body);
    json_decref(json);
}

/* What to do next, where the error itself does not say. */
static const char *next_step(enum err_kind kind)
{
    switch (kind) {
    case ERR_INPUT:
        return "correct it; what is taken: docs/api.md, or the command with --help";
    case ERR_MISSING:
        return "see what there is with the command 'ls' of its kind";
    case ERR_CONFLICT:
        return "look at it again, then decide anew";
    case ERR_FULL:
        return "see what is free: nsmith slice ls --state free";
    case ERR_BUSY:
        return "try again in a moment";
    case ERR_DEVICE:
        return "see what needs you: nsmith status";
    case ERR_NONE:
    case ERR_FAILED:
    case ERR_UNSAFE:
    case ERR_DENIED:
    case ERR_KIND_COUNT:
        break;
    }
    return "what the code means: nsmith explain";
}

/* RFC 9457. What failed changed nothing, for each request is one transaction. */
static void answer_problem(struct http_answer *answer, const struct err *err)
{
    json_t *json = object_new();
    set_text(json, "type", "about:blank");
    set_text(json, "title", err_kind_name(err->kind));
    set_new(json, "status", json_integer(err_kind_http(err->kind)));
    set_text(json, "code", err_kind_name(err->kind));
    set_text(json, "detail", err->msg);
    set_text(json, "hint", err->hint[0] != '\0' ? err->hint : next_step(err->kind));
    set_new(json, "unchanged", json_boolean(err->sys != EINPROGRESS)); /* store_port.h: a commit whose end is not known */
    answer_json(answer, err_kind_http(err->kind), "application/problem+json", json);
}

/* ---- routes -------------------------------------------------------------------------------------------------- */

/* Does `path` match, and what do its stars stand for? The parts are copied into `room`. */
static bool path_match(const char *pattern, const char *path, char room[2][HTTP_PATH_MAX], const char *args[2])
{
    size_t stars = 0;
    while (*pattern != '\0') {
        if (*pattern != '*') {
            if (*pattern++ != *path++)
                return false;
            continue;
        }
        const size_t len = strcspn(path, "/");
        if (len == 0 || len >= HTTP_PATH_MAX || stars == 2)
            return false;
        memcpy(room[stars], path, len);
        room[stars][len] = '\0';
        args[stars] = room[stars];
        stars++;
        path += len;
        pattern++;
    }
    return *path == '\0';
}

/* ---- Idempotency-Key ----------------------------------------------------------------------------------------- */

static void body_hash(const struct http_request *http, char out[65])
{
    crypto_hash_sha256_state state;
    uint8_t hash[crypto_hash_sha256_BYTES];
    crypto_hash_sha256_init(&state);
    crypto_hash_sha256_update(&state, (const uint8_t *)http->method, strlen(http->method) + 1);
    crypto_hash_sha256_update(&state, (const uint8_t *)http->path, strlen(http->path) + 1);
    crypto_hash_sha256_update(&state, (const uint8_t *)http->body, http->body_len);
    crypto_hash_sha256_final(&state, hash);
    text_hex(out, hash, sizeof(hash));
}

/* The key was used before: `done` and the old answer, or an error for another body (invariant 9). */
static bool request_recall(struct call *call, bool *done, json_t **out, struct err *err)
{
    struct row_request row;
    char hash[65];
    if (!call->service->store->get(call->service->store->self, ROW_REQUEST, call->http->idempotency_key, &row, done, err) ||
        !*done)
        return err->kind == ERR_NONE;
    body_hash(call->http, hash);
    if (strcmp(hash, row.body_hash) != 0) {
        err_set(err, ERR_CONFLICT, "cannot use Idempotency-Key '%s': it was used for another request",
                call->http->idempotency_key);
        return err_hint(err, "use a new key for a new request");
    }
    *out = json_loads(row.answer, 0, NULL);
    must(*out != NULL);
    call->status = (int)row.status;
    return true;
}

static bool request_remember(struct call *call, const json_t *answer, struct err *err)
{
    struct row_request row = {.status = (uint32_t)call->status, .made_ms = call->now_ms};
    text_cut(row.key, sizeof(row.key), call->http->idempotency_key);
    body_hash(call->http, row.body_hash);
    char *text = json_dumps(answer, JSON_COMPACT);
    must(text != NULL);
    const bool fits = text_copy(row.answer, sizeof(row.answer), text);
    free(text);
    if (!fits) /* the answer to a repetition is then short, but still says that it was done */
        text_cut(row.answer, sizeof(row.answer), "{}");
    return call->service->store->put(call->service->store->self, ROW_REQUEST, &row, err);
}

/* ---- one request, one transaction ---------------------------------------------------------------------------- */

static bool run_inside(struct call *call, call_fn fn, bool change, json_t **out, struct err *err)
{
    const bool keyed = change && call->http->idempotency_key[0] != '\0' && strcmp(call->http->method, "POST") == 0;
    bool done = false;
    if (keyed && !request_recall(call, &done, out, err))
        return false;
    if (done)
        return true;
    if (!fn(call, out, err))
        return false;
    return !keyed || call->dry_run || request_remember(call, *out, err);
}

static bool run_once(struct call *call, call_fn fn, bool change, json_t **out, struct err *err)
{
    struct store *store = call->service->store;
    json_t *json = NULL;
    if (!store->begin(store->self, err))
        return false;
    bool ok = run_inside(call, fn, change, &json, err);
    if (ok && change && !call->dry_run && !call->later)
        ok = store->commit(store->self, err);
    else
        store->rollback(store->self);
    if (ok) {
        *out = json;
        return true;
    }
    json_decref(json);
    return false;
}

/* Another server got in between: what was decided was decided from what is no more. */
static bool run(struct call *call, call_fn fn, bool change, json_t **out, struct err *err)
{
    const struct call fresh = *call;
    for (unsigned tries = 1;; tries++) {
        if (run_once(call, fn, change, out, err))
            return true;
        if (err->kind != ERR_BUSY || err->sys != EAGAIN || tries == TRIES_MAX)
            return false;
        err_clear(err);
        *call = fresh;
    }
}

static bool wants_dry_run(const struct http_request *http)
{
    const char *value = http_query(http, "dry_run");
    return value != NULL && (strcmp(value, "true") == 0 || strcmp(value, "1") == 0);
}

static bool may_call(int kind, const struct http_request *http, struct err *err)
{
    if (kind != ROUTE_AGENT || !http->have_peer || http->peer_uid == 0)
        return true;
    return err_set(err, ERR_DENIED, "cannot take this call: only an agent, which is root, may make it");
}

static void route_run(struct api *api, size_t r, struct call *call, struct http_answer *answer)
{
    struct err err = {0};
    json_t *out = NULL;
    if (!may_call(routes[r].kind, call->http, &err) || !run(call, routes[r].fn, routes[r].kind != ROUTE_READ, &out, &err)) {
        answer_problem(answer, &err);
        return;
    }
    if (call->later) {
        answer->later = true;
        answer->until_ms = call->until_ms;
        json_decref(out);
        return;
    }
    answer_json(answer, call->status, NULL, out);
    if (routes[r].kind != ROUTE_READ && call->wake && api->server != NULL)
        http_server_wake(api->server);
}

void api_handle(void *ctx, const struct http_request *request, uint64_t now_ms, bool again, struct http_answer *answer)
{
    struct api *api = ctx;
    static char room[2][HTTP_PATH_MAX]; /* one request at a time: the server is one loop */
    struct err err = {0};
    bool path_known = false;
    for (size_t r = 0; r < sizeof(routes) / sizeof(routes[0]); r++) {
        struct call call = {.api = api,
                            .service = api->service,
                            .http = request,
                            .now_ms = api->unix_ms(),
                            .dry_run = wants_dry_run(request),
                            .status = 200,
                            .mono_ms = now_ms,
                            .again = again};
        if (!path_match(routes[r].path, request->path, room, call.args))
            continue;
        path_known = true;
        if (strcmp(routes[r].method, request->method) != 0)
            continue;
        call.wake = routes[r].kind != ROUTE_READ && !call.dry_run;
        route_run(api, r, &call, answer);
        return;
    }
    err_set(&err, path_known ? ERR_INPUT : ERR_MISSING, path_known ? "cannot %s '%s': the path does not take that method"
                                                                   : "cannot %s '%s': there is no such path",
            request->method, request->path);
    err_hint(&err, "see docs/api.md");
    answer_problem(answer, &err);
}
