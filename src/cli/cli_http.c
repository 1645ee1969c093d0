#include "cli/cli_http.h"

#include "base/must.h"
#include "base/text.h"
#include "http/http.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

enum { CALL_TIMEOUT_MS = 30000, CALL_TRIES = 3, CALL_PAUSE_MS = 250 };

static void pause_ms(long ms)
{
    const struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    nanosleep(&time, NULL);
}

static void key_make(char out[33])
{
    uint8_t bytes[16];
    must(getrandom(bytes, sizeof(bytes), 0) == sizeof(bytes));
    text_hex(out, bytes, sizeof(bytes));
}

static bool not_reachable(struct err *err)
{
    if (err->kind != ERR_BUSY)
        return false;
    err->hint[0] = '\0';
    return err_hint(err, "start it: 'nsmith up', or 'systemctl start nsmithd nsmith-agent'");
}

/* An answer that is no success becomes err. */
static bool read_problem(struct cli *cli, bool change, const struct http_reply *reply, const json_t *json,
                         struct err *err)
{
    const char *detail = cli_text(json, "detail"), *code = cli_text(json, "code"), *hint = cli_text(json, "hint");
    enum err_kind kind = err_kind_by_name(code);
    if (kind == ERR_NONE)
        kind = ERR_FAILED;
    cli->unchanged = change && json_is_true(json_object_get(json, "unchanged"));
    if (detail[0] == '\0')
        err_set(err, ERR_FAILED, "cannot use the answer of '%s': status %d without a reason", cli->server,
                reply->status);
    else
        err_set(err, kind, "%s", detail);
    return hint[0] == '\0' ? false : err_hint(err, "%s", hint);
}

static bool read_reply(struct cli *cli, bool change, struct http_reply *reply, json_t **out, struct err *err)
{
    auto_json *json = json_loadb(reply->body != NULL ? reply->body : "", reply->body_len, JSON_REJECT_DUPLICATES, NULL);
    if (reply->status < 200 || reply->status > 299)
        return read_problem(cli, change, reply, json, err);
    if (!json_is_object(json)) {
        err_set(err, ERR_FAILED, "cannot use the answer of '%s': it is not a JSON object", cli->server);
        return err_hint(err, "check that nsmithd listens there");
    }
    *out = json_incref(json);
    return true;
}

struct request {
    const char *method, *body, *key; /* body and key may be NULL */
    uint32_t timeout_ms;
    bool broke; /* out: no answer came; it may have been carried out all the same */
};

static bool call_once(struct cli *cli, struct request *request, const struct url *url, json_t **out, struct err *err)
{
    struct http_reply reply = {0};
    const char *method = request->method;
    if (cli->client == NULL && !http_client_open(cli->server, &cli->client, err))
        return false;
    request->broke = !http_client_call(cli->client, method, url->text, request->body, request->key, request->timeout_ms,
                                       &reply, err);
    if (request->broke)
        return not_reachable(err);
    const bool ok = read_reply(cli, strcmp(method, "GET") != 0, &reply, out, err);
    free(reply.body);
    return ok;
}

static bool url_check(const struct url *url, struct err *err)
{
    return !url->full || err_set(err, ERR_INPUT, "cannot ask for '%.60s...': the name is too long", url->text);
}

bool cli_get(struct cli *cli, const struct url *url, json_t **out, struct err *err)
{
    struct request request = {.method = "GET", .timeout_ms = CALL_TIMEOUT_MS};
    return url_check(url, err) && call_once(cli, &request, url, out, err);
}

bool cli_server_answers(struct cli *cli, uint32_t timeout_ms, json_t **status_out)
{
    struct err err = {0};
    const struct url url = url_make("/v1/status");
    struct request request = {.method = "GET", .timeout_ms = timeout_ms};
    return call_once(cli, &request, &url, status_out, &err);
}

bool cli_change(struct cli *cli, const char *method, struct url *url, const json_t *body, json_t **out, struct err *err)
{
    char key[33];
    const bool post = strcmp(method, "POST") == 0;
    if (cli_has(cli, OPT_DRY_RUN))
        url_query(url, "dry_run", "true");
    if (!url_check(url, err))
        return false;
    key_make(key);
    char *text = body != NULL ? json_dumps(body, JSON_COMPACT) : NULL;
    must(body == NULL || text != NULL);
    struct request request = {.method = method, .body = text, .key = post ? key : NULL, .timeout_ms = CALL_TIMEOUT_MS};
    struct err one = {0};
    bool ok = call_once(cli, &request, url, out, &one);
    for (int tries = 1; !ok && post && request.broke && one.kind == ERR_BUSY && tries < CALL_TRIES; tries++) {
        pause_ms(CALL_PAUSE_MS);
        err_clear(&one);
        ok = call_once(cli, &request, url, out, &one); /* the same key: it acts once */
    }
    if (!ok)
        *err = one;
    free(text);
    return ok;
}

void cli_close(struct cli *cli)
{
    if (cli->client != NULL)
        http_client_close(cli->client);
    cli->client = NULL;
}

/* ---- confirmation --------------------------------------------------------------------------------------------- */

static bool refused(struct cli *cli, struct err *err, const char *what, const char *full, const char *why)
{
    cli->unchanged = true;
    return err_set(err, ERR_UNSAFE, "cannot %s '%s': %s", what, full, why);
}

bool cli_confirm(struct cli *cli, const char *what, const char *full, enum opt opt, struct err *err)
{
    char line[128];
    if (cli_has(cli, OPT_DRY_RUN))
        return true;
    if (cli_has(cli, OPT_YES)) {
        if (cli_has(cli, opt) && strcmp(cli->opts[opt], full) == 0)
            return true;
        refused(cli, err, what, full,
                cli_has(cli, opt) ? "the confirmation is another one" : "the confirmation is missing");
        return err_hint(err, "confirm with: --yes --%s=%s", opt_rows[opt].name, full);
    }
    if (!isatty(STDIN_FILENO)) {
        refused(cli, err, what, full, "nobody can confirm it, for the input is not a terminal");
        return err_hint(err, "in a script confirm with: --yes --%s=%s", opt_rows[opt].name, full);
    }
    fprintf(stderr, "To %s %s type the last 4 characters of it: ", what, full);
    fflush(stderr);
    if (fgets(line, sizeof(line), stdin) == NULL)
        line[0] = '\0';
    line[strcspn(line, "\n")] = '\0';
    if (confirm_matches(full, line))
        return true;
    refused(cli, err, what, full, "the confirmation does not match");
    return err_hint(err, "compare the name with what is written on the device, then try again");
}
