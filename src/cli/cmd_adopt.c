/* drive adopt: the plan, the confirmation, the wait until every slice is proven clean or quarantined. */
#include "base/must.h"
#include "base/text.h"
#include "cli/cli_http.h"
#include "cli/cli_table.h"
#include "cli/cli_wait.h"

#include <string.h>

/* ---- the plan ------------------------------------------------------------------------------------------------- */

static const char *size_text(const struct cli *cli, bool binary, uint64_t bytes, char to[TEXT_SIZE_MAX])
{
    if (cli_has(cli, OPT_BYTES))
        snprintf(to, TEXT_SIZE_MAX, "%ju", (uintmax_t)bytes);
    else if (binary)
        text_gib(to, bytes);
    else
        text_gb(to, bytes);
    return to;
}

static void plan_lost(const struct cli *cli, FILE *to, const json_t *plan)
{
    char size[TEXT_SIZE_MAX];
    size_t i;
    const json_t *one;
    const json_t *lost = json_object_get(plan, "lost");
    if (json_array_size(lost) == 0)
        fputs("Lost: nothing; it has no namespace\n", to);
    json_array_foreach(lost, i, one)
        fprintf(to, "Lost: all data of namespace %ju (%s)\n", (uintmax_t)cli_u64(one, "nsid"),
                size_text(cli, false, cli_u64(one, "size_bytes"), size));
}

/* What a drive that is one slice holds beyond its class. */
static void plan_surplus(const struct cli *cli, FILE *to, uint64_t left, uint64_t whole)
{
    char size[TEXT_SIZE_MAX], share[16];
    fprintf(to, "; %s of the drive are more than that class counts (%s)\n", size_text(cli, false, left, size),
            text_share(share, left, whole));
    if (left > whole / 10)
        fputs("       a class of its own would count it: nsmith class set NAME --size SIZE, then --class NAME\n", to);
}

static void plan_result(const struct cli *cli, FILE *to, const json_t *plan)
{
    char each[TEXT_SIZE_MAX], stranded[TEXT_SIZE_MAX], share[16], count[48];
    const json_t *layout = json_object_get(plan, "layout");
    const uint64_t left = cli_u64(layout, "stranded_bytes");
    const uint64_t whole = cli_u64(json_object_get(plan, "drive"), "size_bytes");
    fprintf(to, "Gives: %s x %s of class ", text_count(count, cli_u64(layout, "count"), "slice"),
            size_text(cli, true, cli_u64(layout, "slice_bytes"), each));
    cli_put(to, cli_text(layout, "class"));
    if (strcmp(cli_text(layout, "provider"), "whole") == 0 && left > 0)
        plan_surplus(cli, to, left, whole);
    else
        fprintf(to, "; %s of the drive stay unused (%s)\n", size_text(cli, false, left, stranded),
                text_share(share, left, whole));
}

static void plan_put(const struct cli *cli, FILE *to, const json_t *plan)
{
    char size[TEXT_SIZE_MAX];
    size_t i;
    const json_t *line;
    const json_t *drive = json_object_get(plan, "drive");
    fputs("Drive: ", to);
    cli_put(to, cli_text(drive, "serial"));
    fputs(", ", to);
    cli_put(to, cli_text(drive, "model"));
    fprintf(to, ", %s, ", size_text(cli, false, cli_u64(drive, "size_bytes"), size));
    cli_put(to, cli_text(drive, "name"));
    fputs(" on host ", to);
    cli_put(to, cli_text(drive, "host"));
    fputc('\n', to);
    plan_lost(cli, to, plan);
    fputs("Steps:\n", to);
    json_array_foreach(json_object_get(plan, "lines"), i, line)
    {
        fprintf(to, "%3zu. ", i + 1);
        cli_put(to, cli_text(line, "text"));
        fputs("\n       ", to);
        cli_put(to, cli_text(line, "command"));
        fputc('\n', to);
    }
    plan_result(cli, to, plan);
}

/* ---- the wait ------------------------------------------------------------------------------------------------- */

struct adopt_wait {
    const char *serial, *host;
    const char *adoption;
    uint64_t count;
    size_t quarantined;
    char why[400];
};

static bool settled_drive(const struct adopt_wait *wait, const json_t *drive, struct err *err)
{
    const char *adopt = cli_text(drive, "adopt"), *why = cli_text(drive, "why");
    /* A refusal of an earlier wish is shown until the host has judged this one: then the wish is withdrawn. */
    const bool judged = strcmp(cli_text(drive, "adoption"), wait->adoption) != 0;
    if (strcmp(adopt, "refused") == 0 && judged) {
        err_set(err, ERR_UNSAFE, "cannot adopt drive '%s': %s", wait->serial,
                why[0] != '\0' ? why : "the host refused it");
        return err_hint(err, "see: nsmith drive show %s", wait->serial);
    }
    if (strcmp(adopt, "fault") != 0)
        return true;
    err_set(err, ERR_DEVICE, "cannot adopt drive '%s': %s", wait->serial,
            why[0] != '\0' ? why : "something is wrong with it");
    return err_hint(err, "see: nsmith drive show %s", wait->serial);
}

static void count_slices(struct adopt_wait *wait, const json_t *list, struct wait_view *view, uint64_t *settled,
                         uint64_t *made)
{
    size_t i;
    const json_t *one;
    wait->quarantined = 0;
    json_array_foreach(cli_items(list), i, one)
    {
        const char *state = cli_text(one, "state");
        *made += strcmp(state, "absent") != 0;
        if (strcmp(state, "erasing") == 0 || strcmp(state, "verifying") == 0)
            snprintf(view->detail, sizeof(view->detail), "%s %s %ju %%", cli_text(one, "id"), state,
                     (uintmax_t)cli_u64(one, "progress_percent"));
        else if (strcmp(state, "blank") != 0 && strcmp(state, "absent") != 0)
            (*settled)++;
        if (strcmp(state, "quarantined") == 0 && wait->quarantined++ == 0)
            text_cut(wait->why, sizeof(wait->why), cli_text(one, "why"));
    }
}

static bool adopt_look(struct cli *cli, void *ctx, struct wait_view *view, struct err *err)
{
    struct adopt_wait *wait = ctx;
    auto_json *drive = NULL, *slices = NULL;
    struct url drive_url = url_make("/v1/drives"), slice_url = url_make("/v1/slices");
    url_query(url_part(&drive_url, wait->serial), "host", wait->host);
    url_query(url_query(&slice_url, "drive", wait->serial), "host", wait->host);
    if (!cli_get(cli, &drive_url, &drive, err) || !settled_drive(wait, drive, err) ||
        !cli_get(cli, &slice_url, &slices, err))
        return false;
    uint64_t settled = 0, made = 0;
    const char *adopt = cli_text(drive, "adopt");
    count_slices(wait, slices, view, &settled, &made);
    view->done = strcmp(adopt, "adopted") == 0 && made >= wait->count && settled >= made;
    if (made == 0)
        snprintf(view->state, sizeof(view->state), "drive %s: %s", wait->serial, adopt);
    else
        snprintf(view->state, sizeof(view->state), "drive %s: %s, %ju of %ju slices made, %ju ready", wait->serial,
                 adopt, (uintmax_t)made, (uintmax_t)wait->count, (uintmax_t)settled);
    return true;
}

static bool adopt_wait(struct cli *cli, const json_t *answer, struct err *err)
{
    char again[128], count[48];
    bool interrupted;
    const json_t *drive = json_object_get(answer, "drive");
    struct adopt_wait wait = {.serial = cli->args[0],
                              .host = cli_text(drive, "host"),
                              .adoption = cli_text(answer, "adoption"),
                              .count = cli_u64(json_object_get(answer, "layout"), "count")};
    const struct wait_job job = {.look = adopt_look, .ctx = &wait, .again = again};
    snprintf(again, sizeof(again), "nsmith slice ls --drive %.40s", wait.serial);
    if (!cli_wait(cli, &job, &interrupted, err))
        return false;
    if (interrupted)
        return true;
    if (wait.quarantined > 0) {
        err_set(err, ERR_DEVICE, "cannot use %zu of %ju slices of drive '%s': quarantined: %s", wait.quarantined,
                (uintmax_t)wait.count, wait.serial, wait.why);
        return err_hint(err, "see: nsmith slice ls --drive %s --state quarantined", wait.serial);
    }
    if (!cli_has(cli, OPT_JSON))
        printf("drive %s is adopted: %s, erased and verified\n", wait.serial, text_count(count, wait.count, "slice"));
    return true;
}

/* ---- the command ---------------------------------------------------------------------------------------------- */

static struct url adopt_url(const struct cli *cli)
{
    struct url url = url_make("/v1/drives");
    url_tail(url_part(&url, cli->args[0]), "/adopt");
    return url;
}

static json_t *adopt_body(const struct cli *cli)
{
    json_t *body = json_pack("{s:s*, s:s*, s:s*}", "provider", cli->opts[OPT_AS], "class", cli->opts[OPT_CLASS], "host",
                             cli->opts[OPT_HOST]);
    must(body != NULL);
    return body;
}

static bool plan_get(struct cli *cli, const json_t *body, json_t **out, struct err *err)
{
    struct url url = adopt_url(cli);
    if (!cli_has(cli, OPT_DRY_RUN))
        url_query(&url, "dry_run", "true");
    return cli_change(cli, "POST", &url, body, out, err);
}

/* The same plan, and only that: the server refuses when it would be another by now. */
static bool adopt_send(struct cli *cli, const json_t *plan, json_t *body, json_t **out, struct err *err)
{
    struct url url = adopt_url(cli);
    must(json_object_set_new(body, "confirm", json_string(cli->args[0])) == 0);
    must(json_object_set(body, "expect", json_object_get(plan, "layout")) == 0);
    return cli_change(cli, "POST", &url, body, out, err);
}

bool cmd_drive_adopt(struct cli *cli, struct err *err)
{
    auto_json *body = adopt_body(cli), *plan = NULL, *answer = NULL;
    const bool json = cli_has(cli, OPT_JSON);
    if (!plan_get(cli, body, &plan, err))
        return false;
    if (json && cli_has(cli, OPT_DRY_RUN)) {
        cli_put_json(plan);
        return true;
    }
    plan_put(cli, json ? stderr : stdout, plan);
    fflush(stdout);
    if (cli_has(cli, OPT_DRY_RUN)) {
        fputs("nothing was changed: this is a dry run\n", stderr);
        return true;
    }
    if (!cli_confirm(cli, "adopt drive", cli->args[0], OPT_SERIAL, err) || !adopt_send(cli, plan, body, &answer, err))
        return false;
    if (json)
        cli_put_json(answer);
    if (!cli_has(cli, OPT_NO_WAIT))
        return adopt_wait(cli, answer, err);
    if (!json)
        printf("drive %s is being adopted; see how far it is: nsmith slice ls --drive %s\n", cli->args[0],
               cli->args[0]);
    return true;
}
