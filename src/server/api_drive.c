/* POST on one drive: what a person says of its use. */
#include "server/api_priv.h"

#include "base/text.h"

struct drive_body {
    struct name host;
    char reason[DRAIN_WHY_MAX];
    bool despite_health;
};

static const struct jfield drain_fields[] = {
    {JID(struct drive_body, host), .optional = true},
    {JSTR(struct drive_body, reason), .optional = true},
};
static const struct jmap drain_jmap = JMAP(struct drive_body, drain_fields);

static const struct jfield retry_fields[] = {{JID(struct drive_body, host), .optional = true}};
static const struct jmap retry_jmap = JMAP(struct drive_body, retry_fields);

static const struct jfield resume_fields[] = {
    {JID(struct drive_body, host), .optional = true},
    {JBOOL(struct drive_body, despite_health), .optional = true},
};
static const struct jmap resume_jmap = JMAP(struct drive_body, resume_fields);

/* All of it is optional, so it may be left out. */
static bool body_take(struct call *call, const struct jmap *map, struct drive_body *out, struct err *err)
{
    *out = (struct drive_body){0};
    return call->http->body_len == 0 || body_read(call, map, out, err);
}

bool post_drain(struct call *call, json_t **out, struct err *err)
{
    struct drive_body body;
    struct row_drive row;
    if (!body_take(call, &drain_jmap, &body, err) ||
        !service_drain(call->service, call->args[0], &body.host, body.reason, call->now_ms, &row, err))
        return false;
    *out = show_drive(call->service, &row, false);
    return true;
}

bool post_drive_retry(struct call *call, json_t **out, struct err *err)
{
    struct drive_body body;
    struct row_drive row;
    if (!body_take(call, &retry_jmap, &body, err) ||
        !service_drive_retry(call->service, call->args[0], &body.host, &row, err))
        return false;
    *out = show_drive(call->service, &row, false);
    return true;
}

bool post_resume(struct call *call, json_t **out, struct err *err)
{
    struct drive_body body;
    struct row_drive row;
    if (!body_take(call, &resume_jmap, &body, err) ||
        !service_resume(call->service, call->args[0], &body.host, body.despite_health, &row, err))
        return false;
    *out = show_drive(call->service, &row, false);
    return true;
}
