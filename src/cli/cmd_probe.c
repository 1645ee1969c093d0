/* drive probe: what a drive is good for. */
#include "base/must.h"
#include "base/text.h"
#include "cli/cli_http.h"
#include "cli/cli_table.h"
#include "cli/cli_task.h"
#include "cli/cli_wait.h"

#include <string.h>

/* ---- the wait ------------------------------------------------------------------------------------------------- */

struct task_look {
    const char *serial, *host, *id, *kind;
    json_t *drive; /* owned */
};

static bool task_ended(const struct task_look *look, const json_t *task, struct wait_view *view, struct err *err)
{
    const char *state = cli_text(task, "state"), *why = cli_text(task, "why");
    view->done = strcmp(state, "done") == 0;
    const bool refused = strcmp(state, "refused") == 0;
    if (!refused && strcmp(state, "failed") != 0)
        return true;
    err_set(err, refused ? ERR_UNSAFE : ERR_DEVICE, "cannot do the %s of drive '%s': %s", look->kind, look->serial,
            why);
    return err_hint(err, "see the drive: nsmith drive show %s", look->serial);
}

static bool task_look(struct cli *cli, void *ctx, struct wait_view *view, struct err *err)
{
    struct task_look *look = ctx;
    struct url url = url_make("/v1/drives");
    url_query(url_part(&url, look->serial), "host", look->host);
    json_drop(&look->drive);
    if (!cli_get(cli, &url, &look->drive, err))
        return false;
    const json_t *task = json_object_get(look->drive, "task");
    if (strcmp(cli_text(task, "id"), look->id) != 0)
        return err_set(err, ERR_CONFLICT,
                       "cannot tell how the %s of drive '%s' ended: the drive was asked for something "
                       "else since",
                       look->kind, look->serial);
    const char *why = cli_text(task, "why");
    snprintf(view->state, sizeof(view->state), "drive %.21s: %s %s%s%.60s", look->serial, look->kind,
             cli_text(task, "state"), why[0] != '\0' ? ": " : "", why);
    snprintf(view->detail, sizeof(view->detail), "%ju %%", (uintmax_t)cli_u64(task, "percent"));
    return task_ended(look, task, view, err);
}

bool task_wait(struct cli *cli, const json_t *answer, json_t **drive_out, struct err *err)
{
    char again[128];
    bool interrupted;
    const json_t *drive = json_object_get(answer, "drive"), *task = json_object_get(answer, "task");
    struct task_look look = {.serial = cli_text(drive, "serial"),
                             .host = cli_text(drive, "host"),
                             .id = cli_text(task, "id"),
                             .kind = cli_text(task, "kind")};
    const struct wait_job job = {.look = task_look, .ctx = &look, .again = again};
    snprintf(again, sizeof(again), "nsmith drive show %.40s", look.serial);
    const bool ok = cli_wait(cli, &job, &interrupted, err);
    if (!ok || interrupted)
        json_drop(&look.drive);
    if (ok)
        *drive_out = look.drive;
    return ok;
}

/* ---- what was found -------------------------------------------------------------------------------------------- */

static void own_ms(const json_t *line, char cell[CELL_MAX])
{
    if (cli_u64(line, "ms") > 0)
        snprintf(cell, CELL_MAX, "%ju ms", (uintmax_t)cli_u64(line, "ms"));
}

static const struct column line_columns[] = {
    {"CHECK", "check", COL_TEXT, false, NULL},
    {"VERDICT", "verdict", COL_TEXT, false, NULL},
    {"TIME", NULL, COL_OWN, false, own_ms},
    {"FOUND", "text", COL_TEXT, false, NULL},
};
static const struct columns line_table = {line_columns, sizeof(line_columns) / sizeof(line_columns[0])};

static const struct column fit_columns[] = {
    {"CLASS", "class", COL_TEXT, false, NULL},
    {"SLICES", "slices", COL_NUMBER, false, NULL},
    {"SLICE-SIZE", "slice_bytes", COL_GIB, false, NULL},
    {"STRANDED", "stranded_bytes", COL_GB, false, NULL},
};
static const struct columns fit_table = {fit_columns, sizeof(fit_columns) / sizeof(fit_columns[0])};

/* The class that leaves least of the drive unused; NULL: none fits. */
static const char *fits_best(const json_t *fits)
{
    size_t i;
    const json_t *one, *best = NULL;
    json_array_foreach(fits, i, one)
    {
        if (cli_u64(one, "slices") > 0 &&
            (best == NULL || cli_u64(one, "stranded_bytes") < cli_u64(best, "stranded_bytes")))
            best = one;
    }
    return best != NULL ? cli_text(best, "class") : NULL;
}

static bool probe_put(struct cli *cli, const json_t *drive, const json_t *result, struct err *err)
{
    const json_t *fits = json_object_get(drive, "fits");
    if (!cli_table(cli, &line_table, json_object_get(result, "lines"), err))
        return false;
    if (json_array_size(fits) > 0) {
        putchar('\n');
        if (!cli_table(cli, &fit_table, fits, err))
            return false;
        const char *best = fits_best(fits);
        if (best != NULL) {
            fputs("best use of the drive: class ", stdout);
            cli_put(stdout, best);
            putchar('\n');
        }
    }
    fputs("\ndrive ", stdout);
    cli_put(stdout, cli_text(drive, "serial"));
    fputs(" is ", stdout);
    cli_put(stdout, cli_text(result, "verdict"));
    putchar('\n');
    return true;
}

static int verdict_exit(const char *verdict)
{
    return strcmp(verdict, "qualified") == 0 ? 0 : strcmp(verdict, "limited") == 0 ? 10 : err_kind_exit(ERR_DEVICE);
}

/* ---- the command ---------------------------------------------------------------------------------------------- */

static bool probe_ask(struct cli *cli, json_t **answer, struct err *err)
{
    struct url url = url_make("/v1/drives");
    const bool destructive = cli_has(cli, OPT_DESTRUCTIVE);
    auto_json *body = json_pack("{s:b, s:s*}", "destructive", destructive, "host", cli->opts[OPT_HOST]);
    must(body != NULL);
    url_tail(url_part(&url, cli->args[0]), "/probe");
    if (destructive) {
        if (!cli_confirm(cli, "delete and make anew all slices of drive", cli->args[0], OPT_SERIAL, err))
            return false;
        must(json_object_set_new(body, "confirm", json_string(cli->args[0])) == 0);
    }
    return cli_change(cli, "POST", &url, body, answer, err);
}

static void ask_put(const struct cli *cli, const json_t *answer)
{
    if (cli_has(cli, OPT_JSON)) {
        cli_put_json(answer);
    } else if (cli_has(cli, OPT_DRY_RUN)) {
        printf("drive %s can be probed\n", cli->args[0]);
        fflush(stdout);
        fputs("nothing was changed: this is a dry run\n", stderr);
    } else {
        printf("drive %s is being probed; see what was found: nsmith drive show %s --json\n", cli->args[0],
               cli->args[0]);
    }
}

bool cmd_drive_probe(struct cli *cli, struct err *err)
{
    auto_json *answer = NULL, *drive = NULL;
    if (!probe_ask(cli, &answer, err))
        return false;
    if (cli_has(cli, OPT_DRY_RUN) || cli_has(cli, OPT_NO_WAIT)) {
        ask_put(cli, answer);
        return true;
    }
    if (!task_wait(cli, answer, &drive, err))
        return false;
    if (drive == NULL)
        return true; /* interrupted */
    const json_t *result = json_object_get(json_object_get(drive, "task"), "result");
    cli->exit_code = verdict_exit(cli_text(result, "verdict"));
    if (!cli_has(cli, OPT_JSON))
        return probe_put(cli, drive, result, err);
    auto_json *out = json_pack("{s:O*, s:O*, s:O*}", "verdict", json_object_get(result, "verdict"), "lines",
                               json_object_get(result, "lines"), "fits", json_object_get(drive, "fits"));
    must(out != NULL);
    cli_put_json(out);
    return true;
}
