#include "nvme/soft_serve.h"

#include "base/must.h"
#include "base/text.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* --- The shelf --------------------------------------------------------------------------------------------------- */

struct soft_drive *soft_shelf_find(const struct soft_shelf *shelf, const char *serial)
{
    for (size_t i = 0; i < shelf->count; i++)
        if (strcmp(soft_drive_serial(shelf->drives[i]), serial) == 0)
            return shelf->drives[i];
    return NULL;
}

/* A serial is the name of a folder, and has to be short enough for paths of namespaces to fit. */
static bool drive_dir(const struct soft_shelf *shelf, const char *serial, char to[PATH_TEXT_MAX], struct err *err)
{
    if (!text_is_name(serial, 20))
        return err_set(err, ERR_INPUT, "cannot take serial number '%s': it must be 1 to 20 of A-Z a-z 0-9 . _ -",
                       serial);
    if (snprintf(to, PATH_TEXT_MAX, "%s/%s", shelf->dir, serial) >= PATH_TEXT_MAX - 16)
        return err_set(err, ERR_INPUT, "cannot use folder '%s': its path is too long", shelf->dir);
    return true;
}

static bool open_drive(struct soft_shelf *shelf, const char *serial, const char *profile, const char *text,
                       struct err *err)
{
    char dir[PATH_TEXT_MAX];
    if (shelf->count == SOFT_DRIVES_MAX)
        return err_set(err, ERR_FULL, "cannot add drive '%s': there are %d already", serial, SOFT_DRIVES_MAX);
    if (!drive_dir(shelf, serial, dir, err) ||
        !soft_drive_open_dir(dir, serial, profile, text, &shelf->drives[shelf->count], err))
        return false;
    shelf->count++;
    return true;
}

bool soft_shelf_add(struct soft_shelf *shelf, const char *serial, const char *profile, struct err *err)
{
    struct soft_profile parsed;
    char *text;
    const struct soft_drive *there = soft_shelf_find(shelf, serial);
    if (there != NULL && strcmp(soft_drive_profile(there)->name, profile) == 0)
        return true;
    if (there != NULL)
        return err_set(err, ERR_CONFLICT, "cannot add drive '%s': it is there already, with profile '%s'", serial,
                       soft_drive_profile(there)->name);
    if (!soft_profile_load(shelf->profiles, profile, &parsed, &text, err))
        return false;
    const bool ok = open_drive(shelf, serial, profile, text, err);
    free(text);
    return ok;
}

static int is_drive(const struct dirent *entry)
{
    return entry->d_name[0] != '.' && text_is_name(entry->d_name, 20);
}

static bool open_all(struct soft_shelf *shelf, struct err *err)
{
    struct dirent **entries;
    const int count = scandir(shelf->dir, &entries, is_drive, alphasort);
    bool ok = count >= 0 || err_sys(err, errno, "cannot list folder '%s'", shelf->dir);
    for (int i = 0; i < count; i++) {
        char path[PATH_TEXT_MAX + 300];
        struct stat st;
        snprintf(path, sizeof(path), "%s/%s/state.json", shelf->dir, entries[i]->d_name);
        if (ok && stat(path, &st) == 0)
            ok = open_drive(shelf, entries[i]->d_name, NULL, NULL, err);
        free(entries[i]);
    }
    if (count >= 0)
        free(entries);
    return ok;
}

bool soft_shelf_open(const char *dir, const char *profiles, struct soft_shelf *out, struct err *err)
{
    if (mkdir(dir, 0750) < 0 && errno != EEXIST)
        return err_sys(err, errno, "cannot make folder '%s'", dir);
    char *absolute = realpath(dir, NULL);
    if (absolute == NULL)
        return err_sys(err, errno, "cannot find folder '%s'", dir);
    struct soft_shelf shelf = {.count = 0};
    const bool fits = text_copy(shelf.dir, sizeof(shelf.dir), absolute) &&
                      text_copy(shelf.profiles, sizeof(shelf.profiles), profiles);
    free(absolute);
    if (!fits)
        return err_set(err, ERR_INPUT, "cannot use folder '%s': a path is too long", dir);
    if (!open_all(&shelf, err)) {
        soft_shelf_close(&shelf);
        return false;
    }
    *out = shelf;
    return true;
}

void soft_shelf_close(struct soft_shelf *shelf)
{
    for (size_t i = 0; i < shelf->count; i++)
        soft_drive_free(shelf->drives[i]);
    shelf->count = 0;
}

/* --- Frames ------------------------------------------------------------------------------------------------------ */

static uint8_t *make_frame(enum soft_wire_kind kind, size_t len, uint8_t **body)
{
    must(len <= SOFT_WIRE_BODY_MAX);
    uint8_t *frame = calloc(1, sizeof(struct soft_wire_head) + len);
    must(frame != NULL);
    const struct soft_wire_head head = {
        .version = SOFT_WIRE_VERSION, .kind = (uint8_t)kind, .len = le32_of((uint32_t)len)};
    memcpy(frame, &head, sizeof(head));
    *body = frame + sizeof(head);
    return frame;
}

static uint8_t *answer(const void *a, size_t a_len, const void *b, size_t b_len)
{
    uint8_t *body;
    uint8_t *frame = make_frame(SOFT_WIRE_ANSWER, a_len + b_len, &body);
    if (a_len > 0)
        memcpy(body, a, a_len);
    if (b_len > 0)
        memcpy(body + a_len, b, b_len);
    return frame;
}

uint8_t *soft_serve_error(const struct err *err)
{
    const struct soft_wire_error head = {
        .kind = le16_of((uint16_t)err->kind), .nvme = le16_of(err->nvme), .sys = le32_of((uint32_t)err->sys)};
    const size_t msg = strlen(err->msg) + 1, hint = strlen(err->hint);
    uint8_t *body;
    uint8_t *frame = make_frame(SOFT_WIRE_ERROR, sizeof(head) + msg + hint, &body);
    memcpy(body, &head, sizeof(head));
    memcpy(body + sizeof(head), err->msg, msg);
    memcpy(body + sizeof(head) + msg, err->hint, hint);
    return frame;
}

static uint8_t *completion(uint16_t status, uint32_t result, const void *data, size_t len)
{
    const struct soft_wire_done done = {.status = le16_of(status), .result = le32_of(result)};
    return answer(&done, sizeof(done), data, status == 0 ? len : 0);
}

/* --- Requests: each makes *reply, or fills err ------------------------------------------------------------------- */

static bool serve_list(const struct soft_shelf *shelf, uint8_t **reply)
{
    char names[SOFT_DRIVES_MAX * 24] = "";
    size_t used = 0;
    for (size_t i = 0; i < shelf->count; i++)
        if (soft_drive_present(shelf->drives[i]))
            used += (size_t)snprintf(names + used, sizeof(names) - used, "%s\n", soft_drive_serial(shelf->drives[i]));
    *reply = answer(names, used, NULL, 0);
    return true;
}

static bool serve_open(const struct soft_shelf *shelf, struct soft_session *session, const char *serial,
                       uint8_t **reply, struct err *err)
{
    struct soft_drive *drive = soft_shelf_find(shelf, serial);
    if (session->drive != NULL)
        return err_set(err, ERR_INPUT, "cannot open drive '%s': the connection has one", serial);
    if (drive == NULL || !soft_drive_present(drive))
        return err_set(err, ERR_MISSING, "cannot open drive '%s': there is none", serial);
    session->drive = drive;
    session->removals = soft_drive_removals(drive);
    *reply = answer(NULL, 0, NULL, 0);
    return true;
}

static bool check_drive(const struct soft_session *session, struct err *err)
{
    if (session->drive == NULL)
        return err_set(err, ERR_INPUT, "cannot serve the request: no drive was opened");
    return (soft_drive_present(session->drive) && soft_drive_removals(session->drive) == session->removals) ||
           err_sys(err, ENODEV, "cannot reach drive '%s'", soft_drive_serial(session->drive));
}

static bool unpack_cmd(const uint8_t *body, size_t len, struct nvme_cmd *out, struct err *err)
{
    struct soft_wire_cmd wire;
    if (len < sizeof(wire))
        return err_set(err, ERR_INPUT, "cannot read the command: its frame is too short");
    memcpy(&wire, body, sizeof(wire));
    const uint32_t data_len = le32_get(wire.data_len);
    const bool to_drive = wire.opcode & 1;
    if (data_len > 1 << 20 || len - sizeof(wire) != (to_drive ? data_len : 0))
        return err_set(err, ERR_INPUT, "cannot read the command: its data has a wrong length");
    *out = (struct nvme_cmd){.opcode = wire.opcode,
                             .nsid = le32_get(wire.nsid),
                             .cdw10 = le32_get(wire.cdw[0]),
                             .cdw11 = le32_get(wire.cdw[1]),
                             .cdw12 = le32_get(wire.cdw[2]),
                             .cdw13 = le32_get(wire.cdw[3]),
                             .cdw14 = le32_get(wire.cdw[4]),
                             .cdw15 = le32_get(wire.cdw[5]),
                             .data_len = data_len,
                             .timeout_ms = le32_get(wire.timeout_ms)};
    if (data_len > 0) {
        out->data = calloc(1, data_len);
        must(out->data != NULL);
        if (to_drive)
            memcpy(out->data, body + sizeof(wire), data_len);
    }
    return true;
}

static enum soft_reply serve_cmd(struct soft_session *session, bool io, const uint8_t *body, size_t len,
                                 uint8_t **reply, struct err *err)
{
    struct nvme_cmd cmd;
    struct soft_outcome outcome;
    if (!check_drive(session, err) || !unpack_cmd(body, len, &cmd, err))
        return SOFT_REPLY_NOW;
    const enum soft_result how =
        io ? soft_io(session->drive, &cmd, &outcome) : soft_admin(session->drive, &cmd, &outcome);
    if (how == SOFT_DONE)
        *reply = completion(outcome.status, cmd.result, cmd.data, cmd.opcode & 2 ? cmd.data_len : 0);
    if (how == SOFT_PENDING)
        session->ticket = outcome.ticket;
    free(cmd.data);
    return how == SOFT_DONE ? SOFT_REPLY_NOW : how == SOFT_PENDING ? SOFT_REPLY_LATER : SOFT_REPLY_NEVER;
}

enum soft_reply soft_serve_poll(struct soft_session *session, uint8_t **reply_out)
{
    struct soft_outcome outcome;
    must(session->ticket != 0);
    switch (soft_drive_poll(session->drive, session->ticket, &outcome)) {
    case SOFT_PENDING:
        return SOFT_REPLY_LATER;
    case SOFT_DONE:
        session->ticket = 0;
        *reply_out = completion(outcome.status, 0, NULL, 0);
        return SOFT_REPLY_NOW;
    case SOFT_LOST:
        break;
    }
    session->ticket = 0;
    return SOFT_REPLY_NEVER;
}

static bool serve_ns_path(struct soft_session *session, const uint8_t *body, size_t len, uint8_t **reply,
                          struct err *err)
{
    struct soft_ns_view views[SOFT_NS_MAX];
    char path[PATH_TEXT_MAX];
    if (len != sizeof(struct soft_wire_nsid))
        return err_set(err, ERR_INPUT, "cannot read the request: its frame has a wrong length");
    const uint32_t nsid = le32_read(body);
    if (!check_drive(session, err) || !soft_drive_ns_path(session->drive, nsid, path, err))
        return false;
    const size_t count = soft_drive_ns(session->drive, views, SOFT_NS_MAX);
    for (size_t i = 0; i < count; i++)
        if (views[i].nsid == nsid) {
            const struct soft_wire_ns ns = {.size_blocks = le64_of(views[i].size_blocks),
                                            .block_bytes = le32_of(views[i].block_bytes)};
            *reply = answer(&ns, sizeof(ns), path, strlen(path));
        }
    return true;
}

static bool serve_rescan(struct soft_session *session, uint8_t **reply, struct err *err)
{
    if (!check_drive(session, err))
        return false;
    soft_drive_rescan(session->drive);
    *reply = answer(NULL, 0, NULL, 0);
    return true;
}

static bool serve_control(struct soft_shelf *shelf, const char *line, uint8_t **reply, struct err *err)
{
    char *text;
    if (!soft_control(shelf, line, &text, err))
        return false;
    *reply = answer(text, strlen(text), NULL, 0);
    free(text);
    return true;
}

enum soft_reply soft_serve(struct soft_shelf *shelf, struct soft_session *session, const uint8_t *frame,
                           uint8_t **reply_out)
{
    struct soft_wire_head head;
    struct err err = {0};
    enum soft_reply when = SOFT_REPLY_NOW;
    char text[512];
    memcpy(&head, frame, sizeof(head));
    const uint8_t *body = frame + sizeof(head);
    const size_t len = le32_get(head.len);
    snprintf(text, sizeof(text), "%.*s", (int)(len < sizeof(text) ? len : sizeof(text) - 1), (const char *)body);
    must(session->ticket == 0);
    *reply_out = NULL;
    switch (head.kind) {
    case SOFT_WIRE_LIST:
        serve_list(shelf, reply_out);
        break;
    case SOFT_WIRE_OPEN:
        serve_open(shelf, session, text, reply_out, &err);
        break;
    case SOFT_WIRE_ADMIN:
    case SOFT_WIRE_IO:
        when = serve_cmd(session, head.kind == SOFT_WIRE_IO, body, len, reply_out, &err);
        break;
    case SOFT_WIRE_NS_PATH:
        serve_ns_path(session, body, len, reply_out, &err);
        break;
    case SOFT_WIRE_RESCAN:
        serve_rescan(session, reply_out, &err);
        break;
    case SOFT_WIRE_CONTROL:
        serve_control(shelf, text, reply_out, &err);
        break;
    default:
        err_set(&err, ERR_INPUT, "cannot serve a request of kind %u: it is not known here", head.kind);
        break;
    }
    if (err.kind != ERR_NONE)
        *reply_out = soft_serve_error(&err);
    must((when == SOFT_REPLY_NOW) == (*reply_out != NULL));
    return when;
}
