/* What drives are asked to do, and the firmware images for it. */
#include "server/api_priv.h"

#include "base/must.h"
#include "base/text.h"

#include <stdlib.h>

struct probe_body {
    bool destructive;
    struct name host;
    char confirm[21];
};

static const struct jfield probe_fields[] = {
    {JBOOL(struct probe_body, destructive), .optional = true},
    {JID(struct probe_body, host), .optional = true},
    {JSTR(struct probe_body, confirm), .optional = true},
};
static const struct jmap probe_body_jmap = JMAP(struct probe_body, probe_fields);

static bool task_answer(struct call *call, const struct task_request *request, json_t **out, struct err *err)
{
    struct row_drive drive;
    if (!service_task(call->service, request, &drive, err))
        return false;
    json_t *json = object_new();
    set_new(json, "drive", show_drive(call->service, &drive, false));
    set_new(json, "task", show_task(&drive));
    *out = json;
    return true;
}

bool post_probe(struct call *call, json_t **out, struct err *err)
{
    struct probe_body body;
    if (!body_read(call, &probe_body_jmap, &body, err))
        return false;
    struct task_request request = {.host = body.host, .kind = body.destructive ? TASK_PROBE_DESTRUCTIVE : TASK_PROBE};
    if (!text_copy(request.serial, sizeof(request.serial), call->args[0]))
        return err_set(err, ERR_MISSING, "cannot find drive '%.40s': no serial is that long", call->args[0]);
    if (body.destructive && !call->dry_run && strcmp(body.confirm, request.serial) != 0) {
        err_set(err, ERR_UNSAFE, "cannot probe drive '%s' destructively: the confirmation is not its serial number",
                request.serial);
        return err_hint(err, "a destructive probe deletes all slices of the drive and makes new ones");
    }
    return task_answer(call, &request, out, err);
}

/* ---- firmware ------------------------------------------------------------------------------------------------- */

struct firmware_body {
    char digest[FIRMWARE_DIGEST_HEX], activate[8];
    uint32_t size_bytes;
    uint8_t slot;
    struct name host;
};

static const struct jfield firmware_fields[] = {
    {JSTR(struct firmware_body, digest)},
    {JU32(struct firmware_body, size_bytes)},
    {JU8(struct firmware_body, slot), .optional = true},
    {JSTR(struct firmware_body, activate), .optional = true},
    {JID(struct firmware_body, host), .optional = true},
};
static const struct jmap firmware_body_jmap = JMAP(struct firmware_body, firmware_fields);

static bool action_read(const char *word, struct task_request *out, struct err *err)
{
    out->action_given = word[0] != '\0';
    if (!out->action_given)
        return true;
    for (unsigned i = 0; i < FIRMWARE_ACTION_COUNT; i++)
        if (strcmp(firmware_action_words[i], word) == 0) {
            out->firmware.action = (enum firmware_action)i;
            return true;
        }
    err_set(err, ERR_INPUT, "cannot activate firmware '%s': there is no such way", word);
    return err_hint(err, "now, reset or none");
}

bool post_firmware(struct call *call, json_t **out, struct err *err)
{
    struct firmware_body body;
    if (!body_read(call, &firmware_body_jmap, &body, err))
        return false;
    struct task_request request = {.host = body.host, .kind = TASK_FIRMWARE, .no_image = call->dry_run};
    request.firmware = (struct firmware_job){.size_bytes = body.size_bytes, .slot = body.slot};
    memcpy(request.firmware.digest, body.digest, sizeof(body.digest));
    if (!text_copy(request.serial, sizeof(request.serial), call->args[0]))
        return err_set(err, ERR_MISSING, "cannot find drive '%.40s': no serial is that long", call->args[0]);
    return action_read(body.activate, &request, err) && task_answer(call, &request, out, err);
}

/* The piece that path and query name, without its bytes. */
static struct firmware_piece *piece_new(struct call *call, const char *digest, struct err *err)
{
    struct firmware_piece *piece = calloc(1, sizeof(*piece));
    const char *text = http_query(call->http, "piece");
    uint64_t number = 0;
    must(piece != NULL);
    if (text_copy(piece->digest, sizeof(piece->digest), digest) && text != NULL && text_u64(text, &number) &&
        number <= UINT32_MAX) {
        piece->number = (uint32_t)number;
        return piece;
    }
    err_set(err, ERR_INPUT, "cannot tell which piece of a firmware image is meant");
    free(piece);
    return NULL;
}

bool put_firmware(struct call *call, json_t **out, struct err *err)
{
    struct firmware_piece *piece = piece_new(call, call->args[0], err);
    if (piece == NULL)
        return false;
    json_t *body = json_loadb(call->http->body, call->http->body_len, JSON_REJECT_DUPLICATES, NULL);
    const char *hex = json_string_value(json_object_get(body, "hex"));
    if (hex == NULL || !text_copy(piece->hex, sizeof(piece->hex), hex))
        piece->hex[0] = '\0'; /* which is refused */
    const bool ok = service_firmware_put(call->service, piece, call->now_ms, err);
    json_decref(body);
    if (ok) {
        *out = object_new();
        set_text(*out, "digest", piece->digest);
        set_u64(*out, "piece", piece->number);
    }
    call->wake = false; /* nothing is wanted of anybody yet */
    free(piece);
    return ok;
}

bool agent_firmware(struct call *call, json_t **out, struct err *err)
{
    struct firmware_piece *piece = piece_new(call, call->args[1], err);
    if (piece == NULL)
        return false;
    const bool ok = service_firmware_get(call->service, piece, err);
    if (ok) {
        *out = object_new();
        set_text(*out, "hex", piece->hex);
    }
    call->wake = false;
    free(piece);
    return ok;
}
