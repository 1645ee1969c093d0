#include "agent/uplink.h"

#include "base/log.h"
#include "base/must.h"
#include "http/http.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { CALL_MS = 10000, WAIT_MS = 10000, AGAIN_MS = 500 };

struct uplink {
    struct uplink_options options;
    struct http_client *pull, *push; /* one for each thread */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint64_t registration; /* 0: none yet */
    uint64_t after;        /* revision of the wants that were taken */
    char *report;          /* to be sent; NULL: nothing new */
    char *records[UPLINK_RECORDS_MAX];
    size_t record_count;
    bool said_down; /* the log says once that the server does not answer */
};

static void pause_ms(uint32_t ms)
{
    const struct timespec wait = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
    nanosleep(&wait, NULL);
}

/* An answer of the server that is not success: its own words. */
static bool problem(const struct http_reply *reply, struct err *err)
{
    json_t *json = json_loadb(reply->body, reply->body_len, 0, NULL);
    const char *code = json_string_value(json_object_get(json, "code"));
    const char *detail = json_string_value(json_object_get(json, "detail"));
    err_set(err, code != NULL ? err_kind_by_name(code) : ERR_FAILED, "%s",
            detail != NULL ? detail : "the server answered with an error that it does not explain");
    json_decref(json);
    return false;
}

/* NULL and err, or the answer as JSON; the caller releases it. */
static json_t *call(struct http_client *client, const char *method, const char *path, const char *body, uint32_t timeout_ms,
                    struct err *err)
{
    struct http_reply reply;
    if (!http_client_call(client, method, path, body, NULL, timeout_ms, &reply, err))
        return NULL;
    json_t *json = NULL;
    if (reply.status / 100 != 2)
        problem(&reply, err);
    else if ((json = json_loadb(reply.body, reply.body_len, JSON_REJECT_DUPLICATES, NULL)) == NULL)
        err_set(err, ERR_FAILED, "cannot read the server's answer to %s: it is not JSON", path);
    free(reply.body);
    return json;
}

static void post_number(struct uplink *uplink, enum mail_kind kind, uint64_t number)
{
    struct mail *mail = mail_new(kind);
    mail->number = number;
    mail_post(uplink->options.box, mail);
}

static uint64_t number_of(const json_t *json, const char *name)
{
    const json_int_t value = json_integer_value(json_object_get(json, name));
    return value > 0 ? (uint64_t)value : 0;
}

/* A newer agent of this host exists: two must not work on the same drives. */
static void fatal(struct uplink *uplink, const struct err *err)
{
    struct mail *mail = mail_new(MAIL_FATAL);
    mail->done.err = *err;
    mail_post(uplink->options.box, mail);
}

/* Says once that the server is away, and once that it is back. */
static void note_down(struct uplink *uplink, const struct err *err)
{
    must(pthread_mutex_lock(&uplink->lock) == 0);
    const bool first = !uplink->said_down;
    uplink->said_down = true;
    must(pthread_mutex_unlock(&uplink->lock) == 0);
    if (first)
        log_info("server-away", "why=%s", err->msg);
}

static void note_up(struct uplink *uplink)
{
    must(pthread_mutex_lock(&uplink->lock) == 0);
    const bool first = uplink->said_down;
    uplink->said_down = false;
    must(pthread_mutex_unlock(&uplink->lock) == 0);
    if (first)
        log_info("server-back", NULL);
}

static void registration_set(struct uplink *uplink, uint64_t registration)
{
    must(pthread_mutex_lock(&uplink->lock) == 0);
    uplink->registration = registration;
    uplink->after = 0;
    must(pthread_cond_broadcast(&uplink->changed) == 0);
    must(pthread_mutex_unlock(&uplink->lock) == 0);
}

static bool register_host(struct uplink *uplink, struct err *err)
{
    char path[HTTP_PATH_MAX];
    snprintf(path, sizeof(path), "/v1/agents/%s/register", uplink->options.host);
    json_t *json = call(uplink->pull, "POST", path, "{}", CALL_MS, err);
    if (json == NULL)
        return false;
    post_number(uplink, MAIL_REGISTERED, number_of(json, "registration"));
    post_number(uplink, MAIL_RECORDS, number_of(json, "erasures_have"));
    registration_set(uplink, number_of(json, "registration"));
    json_decref(json);
    return true;
}

static bool pull_wants(struct uplink *uplink, struct err *err)
{
    char path[HTTP_PATH_MAX];
    snprintf(path, sizeof(path), "/v1/agents/%s/wants?registration=%ju&after=%ju&wait_ms=%d", uplink->options.host,
             (uintmax_t)uplink->registration, (uintmax_t)uplink->after, WAIT_MS);
    json_t *json = call(uplink->pull, "GET", path, NULL, WAIT_MS + CALL_MS, err);
    if (json == NULL)
        return false;
    struct wants *wants = calloc(1, sizeof(*wants));
    must(wants != NULL);
    const bool ok = jmap_read(&wants_jmap, json, JMAP_LENIENT, wants, err);
    json_decref(json);
    if (!ok || wants->revision == uplink->after) {
        free(wants);
        return ok;
    }
    uplink->after = wants->revision; /* only this thread uses it once it is registered */
    struct mail *mail = mail_new(MAIL_EVENT);
    mail->event = HOST_WANTS;
    mail->wants = wants;
    mail_post(uplink->options.box, mail);
    return true;
}

static void *pull_run(void *arg)
{
    struct uplink *uplink = arg;
    for (;;) {
        struct err err = {0};
        if (uplink->registration == 0 ? register_host(uplink, &err) : pull_wants(uplink, &err)) {
            note_up(uplink);
            continue;
        }
        if (err.kind == ERR_CONFLICT && uplink->registration != 0) {
            fatal(uplink, &err);
            return NULL;
        }
        if (err.kind == ERR_MISSING)
            registration_set(uplink, 0); /* the server has another database now, and does not know this host */
        note_down(uplink, &err);
        pause_ms(AGAIN_MS);
    }
    return NULL;
}

/* ---- push ---------------------------------------------------------------------------------------------------- */

struct parcel {
    char *report;
    char *records[UPLINK_RECORDS_MAX];
    size_t record_count;
};

static void parcel_free(struct parcel *parcel)
{
    free(parcel->report);
    for (size_t i = 0; i < parcel->record_count; i++)
        free(parcel->records[i]);
    *parcel = (struct parcel){0};
}

static void parcel_wait(struct uplink *uplink, struct parcel *parcel)
{
    must(pthread_mutex_lock(&uplink->lock) == 0);
    while (uplink->report == NULL || uplink->registration == 0)
        must(pthread_cond_wait(&uplink->changed, &uplink->lock) == 0);
    *parcel = (struct parcel){.report = uplink->report, .record_count = uplink->record_count};
    for (size_t i = 0; i < uplink->record_count; i++)
        parcel->records[i] = uplink->records[i];
    uplink->report = NULL;
    uplink->record_count = 0;
    must(pthread_mutex_unlock(&uplink->lock) == 0);
}

static bool push_one(struct uplink *uplink, const char *what, const char *body, struct err *err)
{
    char path[HTTP_PATH_MAX];
    snprintf(path, sizeof(path), "/v1/agents/%s/%s", uplink->options.host, what);
    json_t *json = call(uplink->push, "POST", path, body, CALL_MS, err);
    if (json == NULL)
        return false;
    if (strcmp(what, "records") == 0)
        post_number(uplink, MAIL_RECORDS, number_of(json, "erasures_have"));
    json_decref(json);
    return true;
}

/* Records first: a slice is only given out once the proof of its erase is there. */
static bool push_parcel(struct uplink *uplink, const struct parcel *parcel, struct err *err)
{
    if (parcel->record_count > 0) {
        json_t *body = json_object(), *list = json_array();
        must(body != NULL && list != NULL && json_object_set_new(body, "records", list) == 0);
        for (size_t i = 0; i < parcel->record_count; i++)
            must(json_array_append_new(list, json_string(parcel->records[i])) == 0);
        char *text = json_dumps(body, JSON_COMPACT);
        must(text != NULL);
        const bool ok = push_one(uplink, "records", text, err);
        free(text);
        json_decref(body);
        if (!ok)
            return false;
    }
    return push_one(uplink, "report", parcel->report, err);
}

static void *push_run(void *arg)
{
    struct uplink *uplink = arg;
    struct parcel parcel = {0};
    for (;;) {
        struct err err = {0};
        if (parcel.report == NULL)
            parcel_wait(uplink, &parcel);
        if (push_parcel(uplink, &parcel, &err)) {
            parcel_free(&parcel);
            note_up(uplink);
            continue;
        }
        if (err.kind == ERR_CONFLICT || err.kind == ERR_INPUT)
            log_error("report-refused", "why=%s", err.msg); /* the pull thread finds out whether it is fatal */
        else
            note_down(uplink, &err);
        pause_ms(AGAIN_MS);
        must(pthread_mutex_lock(&uplink->lock) == 0);
        const bool newer = uplink->report != NULL;
        must(pthread_mutex_unlock(&uplink->lock) == 0);
        if (newer)
            parcel_free(&parcel); /* levels, not events: only the newest counts */
    }
    return NULL;
}

bool uplink_open(const struct uplink_options *options, struct uplink **out, struct err *err)
{
    struct uplink *uplink = calloc(1, sizeof(*uplink));
    pthread_t pull, push;
    must(uplink != NULL);
    uplink->options = *options;
    if (!http_client_open(options->server, &uplink->pull, err)) {
        free(uplink);
        return false;
    }
    if (!http_client_open(options->server, &uplink->push, err)) {
        http_client_close(uplink->pull);
        free(uplink);
        return false;
    }
    must(pthread_mutex_init(&uplink->lock, NULL) == 0 && pthread_cond_init(&uplink->changed, NULL) == 0);
    must(pthread_create(&pull, NULL, pull_run, uplink) == 0 && pthread_detach(pull) == 0);
    must(pthread_create(&push, NULL, push_run, uplink) == 0 && pthread_detach(push) == 0);
    *out = uplink;
    return true;
}

void uplink_push(struct uplink *uplink, char *report, char *records[UPLINK_RECORDS_MAX], size_t record_count)
{
    must(record_count <= UPLINK_RECORDS_MAX);
    must(pthread_mutex_lock(&uplink->lock) == 0);
    free(uplink->report);
    for (size_t i = 0; i < uplink->record_count; i++)
        free(uplink->records[i]);
    uplink->report = report;
    uplink->record_count = record_count;
    for (size_t i = 0; i < record_count; i++)
        uplink->records[i] = records[i];
    must(pthread_cond_broadcast(&uplink->changed) == 0);
    must(pthread_mutex_unlock(&uplink->lock) == 0);
}
