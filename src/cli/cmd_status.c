/* status, wait, host, version, explain, completion. */
#include "base/must.h"
#include "cli/cli_explain.h"
#include "cli/cli_http.h"
#include "cli/cli_settled.h"
#include "cli/cli_table.h"
#include "cli/cli_wait.h"

#include <string.h>

bool cmd_status(struct cli *cli, struct err *err)
{
    auto_json *status = NULL;
    const struct url url = url_make("/v1/status");
    size_t i;
    const json_t *one;
    if (!cli_get(cli, &url, &status, err))
        return false;
    if (cli_has(cli, OPT_JSON)) {
        cli_put_json(status);
        return true;
    }
    cli_put(stdout, cli_text(status, "sentence"));
    putchar('\n');
    json_array_foreach(json_object_get(status, "attention"), i, one)
    {
        fputs(i == 0 ? "\n! " : "! ", stdout);
        cli_put(stdout, cli_text(one, "what"));
        if (cli_text(one, "why")[0] != '\0') {
            fputs(": ", stdout);
            cli_put(stdout, cli_text(one, "why"));
        }
        fputs("\n    ", stdout);
        cli_put(stdout, cli_text(one, "command"));
        putchar('\n');
    }
    return true;
}

/* ---- wait ----------------------------------------------------------------------------------------------------- */

static bool count_busy(struct cli *cli, const char *path, bool (*busy)(const json_t *), size_t *out, struct err *err)
{
    auto_json *list = NULL;
    const struct url url = url_make(path);
    size_t i;
    const json_t *one;
    if (!cli_get(cli, &url, &list, err))
        return false;
    *out = 0;
    json_array_foreach(cli_items(list), i, one) *out += busy(one);
    return true;
}

static bool wait_look(struct cli *cli, void *ctx, struct wait_view *view, struct err *err)
{
    size_t drives, slices, vms;
    (void)ctx;
    if (!count_busy(cli, "/v1/drives", drive_is_busy, &drives, err) ||
        !count_busy(cli, "/v1/slices", slice_is_busy, &slices, err) ||
        !count_busy(cli, "/v1/vms", vm_is_busy, &vms, err))
        return false;
    view->done = drives + slices + vms == 0;
    if (!view->done)
        snprintf(view->state, sizeof(view->state), "under way: %zu drives, %zu slices, %zu VMs", drives, slices, vms);
    return true;
}

bool cmd_wait(struct cli *cli, struct err *err)
{
    const struct wait_job job = {.look = wait_look, .again = "nsmith status"};
    bool interrupted;
    return cli_wait(cli, &job, &interrupted, err);
}

/* ---- hosts ---------------------------------------------------------------------------------------------------- */

static void own_trouble(const json_t *host, char cell[CELL_MAX])
{
    const json_t *troubles = json_object_get(host, "troubles");
    const char *const parts[] = {cli_text(troubles, "virt"), cli_text(troubles, "drives"), cli_text(troubles, "rules")};
    cell[0] = '\0';
    for (size_t i = 0, len = 0; i < 3 && len < CELL_MAX; i++)
        if (parts[i][0] != '\0')
            len += (size_t)snprintf(cell + len, CELL_MAX - len, "%s%s", len > 0 ? "; " : "", parts[i]);
}

static const struct column host_columns[] = {
    {"NAME", "name", COL_TEXT, false, NULL},         {"UP", "up", COL_YES, false, NULL},
    {"VCPUS", "vcpus", COL_NUMBER, false, NULL},     {"MEMORY", "memory_bytes", COL_GIB, false, NULL},
    {"DRIVES", "drives", COL_NUMBER, false, NULL},   {"SLICES", "slices", COL_NUMBER, false, NULL},
    {"SOFTWARE", "software", COL_TEXT, false, NULL}, {"SEEN", "last_seen_ms", COL_TIME, false, NULL},
    {"TROUBLE", NULL, COL_OWN, false, own_trouble},  {"KEY", "public_key", COL_TEXT, true, NULL},
};

static const struct columns host_table = {host_columns, sizeof(host_columns) / sizeof(host_columns[0])};

bool cmd_host_ls(struct cli *cli, struct err *err)
{
    auto_json *list = NULL;
    const struct url url = url_make("/v1/hosts");
    return cli_get(cli, &url, &list, err) && cli_list(cli, &host_table, list, err);
}

bool cmd_host_show(struct cli *cli, struct err *err)
{
    auto_json *host = NULL;
    struct url url = url_make("/v1/hosts");
    return cli_get(cli, url_part(&url, cli->args[0]), &host, err) && cli_show(cli, &host_table, host, err);
}

/* ---- version, explain, completion ----------------------------------------------------------------------------- */

bool cmd_version(struct cli *cli, struct err *err)
{
    auto_json *status = NULL;
    (void)err;
    const bool there = cli_server_answers(cli, 2000, &status);
    if (cli_has(cli, OPT_JSON)) {
        auto_json *json = json_pack("{s:s}", "nsmith", NSMITH_VERSION);
        if (there)
            json_object_set_new(json, "nsmithd", json_string(cli_text(status, "version")));
        cli_put_json(json);
        return true;
    }
    puts("nsmith " NSMITH_VERSION);
    fputs("nsmithd ", stdout);
    cli_put(stdout, there ? cli_text(status, "version") : "does not answer");
    putchar('\n');
    return true;
}

static bool explain_unknown(const char *text, struct err *err)
{
    const char *names[ERR_KIND_COUNT];
    for (int k = 0; k < ERR_KIND_COUNT; k++)
        names[k] = err_kind_name((enum err_kind)k);
    const char *near = cli_nearest(text, names, ERR_KIND_COUNT);
    err_set(err, ERR_INPUT, "cannot explain '%.60s': there is no such code", text);
    return near != NULL ? err_hint(err, "did you mean '%s'?", near) : err_hint(err, "see them all: nsmith explain");
}

static json_t *explain_json(enum err_kind kind)
{
    const struct explain explain = explain_kind(kind);
    json_t *json = json_pack("{s:s, s:i, s:s, s:s}", "code", err_kind_name(kind), "exit", err_kind_exit(kind),
                             "meaning", explain.meaning, "todo", explain.todo);
    must(json != NULL);
    return json;
}

static void explain_put(enum err_kind kind)
{
    const struct explain explain = explain_kind(kind);
    printf("%s (exit code %d)\n%s\nWhat to do: %s\n", err_kind_name(kind), err_kind_exit(kind), explain.meaning,
           explain.todo);
}

static void explain_all(const struct cli *cli)
{
    auto_json *items = json_array();
    for (int k = 0; k < ERR_KIND_COUNT; k++) {
        must(json_array_append_new(items, explain_json((enum err_kind)k)) == 0);
        if (cli_has(cli, OPT_JSON))
            continue;
        if (k > 0)
            putchar('\n');
        explain_put((enum err_kind)k);
    }
    auto_json *list = json_pack("{s:O}", "items", items);
    if (cli_has(cli, OPT_JSON))
        cli_put_json(list);
}

bool cmd_explain(struct cli *cli, struct err *err)
{
    enum err_kind kind;
    if (cli->arg_count == 0) {
        explain_all(cli);
        return true;
    }
    if (!explain_find(cli->args[0], &kind))
        return explain_unknown(cli->args[0], err);
    auto_json *json = explain_json(kind);
    if (cli_has(cli, OPT_JSON))
        cli_put_json(json);
    else
        explain_put(kind);
    return true;
}

bool cmd_completion(struct cli *cli, struct err *err)
{
    if (strcmp(cli->args[0], "bash") == 0) {
        help_completion(stdout, &commands);
        return true;
    }
    err_set(err, ERR_INPUT, "cannot complete for shell '%.40s': only bash is known", cli->args[0]);
    return err_hint(err, "for example: source <(nsmith completion bash)");
}
