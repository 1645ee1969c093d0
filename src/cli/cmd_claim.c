/* claim create, ls, show, release. */
#include "base/must.h"
#include "base/text.h"
#include "cli/cli_args.h"
#include "cli/cli_http.h"
#include "cli/cli_release.h"
#include "cli/cli_table.h"

#include <string.h>

static const struct column claim_columns[] = {
    {"ID", "id", COL_TEXT, false, NULL},
    {"HOST", "host", COL_TEXT, false, NULL},
    {"CLASS", "class", COL_TEXT, false, NULL},
    {"STATE", "state", COL_TEXT, false, NULL},
    {"VM", "vm", COL_TEXT, false, NULL},
    {"SLICES", "slices", COL_LIST, false, NULL},
    {"CREATED", "created_ms", COL_TIME, true, NULL},
};

static const struct column disk_columns[] = {
    {"SLICE", "slice", COL_TEXT, false, NULL},   {"SIZE", "size_bytes", COL_GIB, false, NULL},
    {"SERIAL", "serial", COL_TEXT, false, NULL}, {"WWN", "wwn", COL_TEXT, false, NULL},
    {"PATH", "path", COL_TEXT, false, NULL},
};

/* Data units of the SMART log are 512,000 bytes. */
static void own_written(const json_t *wear, char cell[CELL_MAX])
{
    char size[TEXT_SIZE_MAX];
    if (json_object_get(wear, "units_written") != NULL)
        text_cut(cell, CELL_MAX, text_gb(size, cli_u64(wear, "units_written") * 512000));
}

static void own_counted(const json_t *wear, char cell[CELL_MAX])
{
    const uint64_t slices = cli_u64(wear, "of_slices");
    if (slices == 1)
        text_cut(cell, CELL_MAX, "this slice");
    else
        snprintf(cell, CELL_MAX, "whole drive, shared by %ju slices", (uintmax_t)slices);
}

static void own_used(const json_t *wear, char cell[CELL_MAX])
{
    const json_t *out = json_object_get(wear, "out"), *now = json_object_get(wear, "now");
    if (now != NULL)
        snprintf(cell, CELL_MAX, "%ju%% -> %ju%%", (uintmax_t)cli_u64(out, "used_percent"),
                 (uintmax_t)cli_u64(now, "used_percent"));
}

static const struct column wear_columns[] = {
    {"SLICE", "slice", COL_TEXT, false, NULL},
    {"WRITTEN", NULL, COL_OWN, false, own_written},
    {"COUNTED", NULL, COL_OWN, false, own_counted},
    {"WORN", NULL, COL_OWN, false, own_used},
};

static const struct columns wear_table = {wear_columns, sizeof(wear_columns) / sizeof(wear_columns[0])};
static const struct columns claim_table = {claim_columns, sizeof(claim_columns) / sizeof(claim_columns[0])};
static const struct columns disk_table = {disk_columns, sizeof(disk_columns) / sizeof(disk_columns[0])};

bool cmd_claim_ls(struct cli *cli, struct err *err)
{
    auto_json *list = NULL;
    struct url url = url_make("/v1/claims");
    url_query(&url, "host", cli->opts[OPT_HOST]);
    return cli_get(cli, &url, &list, err) && cli_list(cli, &claim_table, list, err);
}

static bool claim_get(struct cli *cli, const char *id, json_t **out, struct err *err)
{
    struct url url = url_make("/v1/claims");
    url_part(&url, id);
    return cli_get(cli, &url, out, err);
}

/* ---- show ----------------------------------------------------------------------------------------------------- */

/* Many lines of the server's text, newlines kept, one at the end. */
static void put_lines(const char *text)
{
    char last = '\0';
    for (; *text != '\0'; text++) {
        last = (unsigned char)*text < 0x20 && *text != '\n' ? ' ' : *text;
        putchar(last);
    }
    if (last != '\n')
        putchar('\n');
}

static bool not_ready(const struct cli *cli, const json_t *claim, struct err *err)
{
    err_set(err, ERR_CONFLICT, "cannot show the disks of claim '%s': it is %s, not ready", cli->args[0],
            cli_text(claim, "state"));
    return err_hint(err, "wait for it: nsmith wait");
}

bool cmd_claim_show(struct cli *cli, struct err *err)
{
    auto_json *claim = NULL;
    if (!claim_get(cli, cli->args[0], &claim, err))
        return false;
    const char *xml = cli_text(claim, "libvirt_xml"), *args = cli_text(claim, "qemu_args");
    if (cli_has(cli, OPT_LIBVIRT_XML) || cli_has(cli, OPT_QEMU_ARGS)) {
        if (json_object_get(claim, "disks") == NULL)
            return not_ready(cli, claim, err);
        put_lines(cli_has(cli, OPT_LIBVIRT_XML) ? xml : args);
        return true;
    }
    if (!cli_show(cli, &claim_table, claim, err))
        return false;
    if (cli_has(cli, OPT_JSON) || cli_has(cli, OPT_OUTPUT))
        return true;
    if (json_array_size(json_object_get(claim, "wear")) > 0) {
        putchar('\n');
        if (!cli_table(cli, &wear_table, json_object_get(claim, "wear"), err))
            return false;
    }
    if (json_object_get(claim, "disks") == NULL)
        return true;
    putchar('\n');
    if (!cli_table(cli, &disk_table, json_object_get(claim, "disks"), err))
        return false;
    puts("\nlibvirt:");
    put_lines(xml);
    puts("\nQEMU:");
    put_lines(args);
    return true;
}

/* ---- create --------------------------------------------------------------------------------------------------- */

static bool ready_look(struct cli *cli, void *ctx, struct wait_view *view, struct err *err)
{
    const char *id = ctx;
    auto_json *claim = NULL;
    if (!claim_get(cli, id, &claim, err))
        return false;
    const char *state = cli_text(claim, "state");
    if (strcmp(state, "releasing") == 0)
        return err_set(err, ERR_CONFLICT, "cannot wait for claim '%s': somebody releases it", id);
    view->done = strcmp(state, "ready") == 0;
    snprintf(view->state, sizeof(view->state), "claim %s: %s", id, state);
    return true;
}

static bool ready_wait(struct cli *cli, char *id, struct err *err)
{
    char again[96];
    bool interrupted;
    const struct wait_job job = {.look = ready_look, .ctx = id, .again = again};
    snprintf(again, sizeof(again), "nsmith claim show %s", id);
    return cli_wait(cli, &job, &interrupted, err);
}

static void claim_say(const struct cli *cli, const json_t *claim)
{
    char slices[CELL_MAX];
    if (cli_has(cli, OPT_JSON)) {
        cli_put_json(claim);
        return;
    }
    cli_cell(&(struct column){.name = "", .field = "slices", .kind = COL_LIST}, claim, false, slices);
    printf("claim ");
    cli_put(stdout, cli_text(claim, "id"));
    fputs(cli_has(cli, OPT_DRY_RUN) ? " would be granted" : " is ", stdout);
    if (!cli_has(cli, OPT_DRY_RUN))
        cli_put(stdout, cli_text(claim, "state"));
    fputs(" on host ", stdout);
    cli_put(stdout, cli_text(claim, "host"));
    printf(": %s\n", slices);
}

bool cmd_claim_create(struct cli *cli, struct err *err)
{
    auto_json *body = json_object(), *claim = NULL, *ready = NULL;
    char id[64];
    struct url url = url_make("/v1/claims");
    if (!arg_needed(cli, OPT_SLICES, err) || !arg_number(cli, OPT_SLICES, body, "slices", err) ||
        !arg_text(cli, OPT_ID, body, "id", err) || !arg_text(cli, OPT_CLASS, body, "class", err) ||
        !arg_text(cli, OPT_SPREAD, body, "spread", err) || !arg_text(cli, OPT_HOST, body, "host", err) ||
        !cli_change(cli, "POST", &url, body, &claim, err))
        return false;
    if (cli_has(cli, OPT_DRY_RUN) || cli_has(cli, OPT_NO_WAIT)) {
        claim_say(cli, claim);
        return true;
    }
    text_cut(id, sizeof(id), cli_text(claim, "id"));
    if (!ready_wait(cli, id, err))
        return false;
    if (cli->exit_code == 0 && !claim_get(cli, id, &ready, err))
        return false;
    claim_say(cli, ready != NULL ? ready : claim);
    return true;
}

/* ---- release -------------------------------------------------------------------------------------------------- */

bool cmd_claim_release(struct cli *cli, struct err *err)
{
    auto_json *claim = NULL;
    struct release release = {.what = "claim", .name = cli->args[0], .path = "/v1/claims"};
    struct url url = url_make("/v1/claims");
    bool interrupted = false;
    if (!cli_change(cli, "DELETE", url_part(&url, cli->args[0]), NULL, &claim, err))
        return false;
    release_slices(&release, claim);
    const bool wait = !cli_has(cli, OPT_DRY_RUN) && !cli_has(cli, OPT_NO_WAIT);
    if (cli_has(cli, OPT_JSON))
        cli_put_json(claim);
    if (wait && !release_wait(cli, &release, &interrupted, err))
        return false;
    if (cli_has(cli, OPT_JSON) || interrupted)
        return true;
    char count[48];
    text_count(count, release.count, "slice");
    if (wait)
        printf("claim %s is released: %s, erased and verified\n", cli->args[0], count);
    else
        printf("claim %s %s released: %s\n", cli->args[0], cli_has(cli, OPT_DRY_RUN) ? "would be" : "is being", count);
    return true;
}
