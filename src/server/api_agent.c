/* The agents' calls. */
#include "server/api_priv.h"

#include "base/must.h"
#include "base/text.h"
#include "cert/cert.h"

#include <stdlib.h>

enum { WAIT_MS_MAX = 60000 };

static bool host_name(struct call *call, struct name *out, struct err *err)
{
    if (text_is_name(call->args[0], NAME_MAX_LEN))
        return text_copy(out->v, sizeof(out->v), call->args[0]);
    return err_set(err, ERR_INPUT, "cannot use '%.80s' as a host name", call->args[0]);
}

static bool held_answer(struct call *call, const struct name *host, json_t **out, struct err *err)
{
    struct row_host row;
    uint64_t incarnation;
    if (!must_get(call->service, ROW_HOST, "host", host->v, &row, err) ||
        !service_incarnation(call->service, &incarnation, err))
        return false;
    json_t *json = object_new();
    set_u64(json, "registration", row.registration);
    set_u64(json, "incarnation", incarnation);
    set_u64(json, "erasures_have", row.erasures_have);
    *out = json;
    return true;
}

bool agent_register(struct call *call, json_t **out, struct err *err)
{
    struct name host;
    uint64_t registration;
    return host_name(call, &host, err) &&
           service_register(call->service, &host, call->now_ms, &registration, err) &&
           held_answer(call, &host, out, err);
}

bool agent_report(struct call *call, json_t **out, struct err *err)
{
    struct name host;
    struct report *report = calloc(1, sizeof(*report));
    must(report != NULL);
    bool ok = host_name(call, &host, err) &&
              jmap_parse(&report_jmap, call->http->body, call->http->body_len, JMAP_LENIENT, report, err);
    if (ok && !name_eq(&host, &report->host))
        ok = err_set(err, ERR_INPUT, "cannot take the report: it is of host '%s', sent as host '%s'", report->host.v, host.v);
    ok = ok && service_report(call->service, report, call->now_ms, err) && held_answer(call, &host, out, err);
    free(report);
    return ok;
}

static bool record_take(struct call *call, const struct name *host, const char *text, struct err *err)
{
    struct row_host row;
    struct cert_facts facts;
    if (!must_get(call->service, ROW_HOST, "host", host->v, &row, err))
        return false;
    if (!cert_verify(text, strlen(text), row.public_key[0] != '\0' ? row.public_key : NULL, &facts, err))
        return err_wrap(err, "cannot take a record of host '%s'", host->v);
    if (!name_eq(&facts.erasure.host, host))
        return err_set(err, ERR_INPUT, "cannot take a record of host '%s': it speaks of host '%s'", host->v,
                       facts.erasure.host.v);
    struct row_erasure *erasure = calloc(1, sizeof(*erasure));
    must(erasure != NULL);
    erasure->id = facts.erasure.id;
    erasure->host = *host;
    erasure->seq = facts.erasure.seq;
    erasure->slice = facts.erasure.slice;
    erasure->erasure = facts.erasure;
    bool ok = text_copy(erasure->text, sizeof(erasure->text), text);
    if (!ok)
        err_set(err, ERR_INPUT, "cannot take a record of host '%s': it is too long", host->v);
    ok = ok && service_record(call->service, host, erasure, facts.prev_hash, facts.hash, err);
    free(erasure);
    return ok;
}

bool agent_records(struct call *call, json_t **out, struct err *err)
{
    struct name host;
    if (!host_name(call, &host, err))
        return false;
    json_t *body = json_loadb(call->http->body, call->http->body_len, JSON_REJECT_DUPLICATES, NULL);
    const json_t *list = json_object_get(body, "records");
    bool ok = json_is_array(list);
    if (!ok)
        err_set(err, ERR_INPUT, "cannot take records of host '%s': the body has no list of them", host.v);
    for (size_t i = 0; ok && i < json_array_size(list); i++) {
        const char *text = json_string_value(json_array_get(list, i));
        ok = text != NULL ? record_take(call, &host, text, err)
                          : err_set(err, ERR_INPUT, "cannot take records of host '%s': one is no text", host.v);
    }
    json_decref(body);
    call->wake = false; /* nothing is wanted of anybody */
    return ok && held_answer(call, &host, out, err);
}

static uint64_t number(const struct call *call, const char *name)
{
    const char *text = http_query(call->http, name);
    uint64_t value;
    return text != NULL && text_u64(text, &value) ? value : 0;
}

/* Long poll: parked until the revision is another one. The poll is the host's sign of life too; it is kept in memory,
 * so that an idle fleet writes nothing. */
bool agent_wants(struct call *call, json_t **out, struct err *err)
{
    struct name host;
    struct row_host row;
    if (!host_name(call, &host, err) || !must_get(call->service, ROW_HOST, "host", host.v, &row, err))
        return false;
    call->wake = false;
    const uint64_t registration = number(call, "registration"), wait = number(call, "wait_ms");
    if (registration == row.registration)
        service_alive(call->service, &host, call->now_ms);
    if (registration == row.registration && row.wants_revision == number(call, "after") && wait > 0) {
        if (!call->again) {
            call->later = true;
            call->until_ms = call->mono_ms + (wait < WAIT_MS_MAX ? wait : WAIT_MS_MAX);
            *out = object_new();
            return true;
        }
    }
    struct wants *wants = calloc(1, sizeof(*wants));
    must(wants != NULL);
    const bool ok = service_wants(call->service, &host, registration, wants, err);
    if (ok)
        *out = jmap_write(&wants_jmap, wants);
    free(wants);
    return ok;
}
