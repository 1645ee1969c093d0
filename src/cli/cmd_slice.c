/* slice ls, show, retry, retire. */
#include "base/must.h"
#include "base/text.h"
#include "cli/cli_http.h"
#include "cli/cli_table.h"

#include <string.h>

/* Whose it is: the VM, else the claim. */
static void own_holder(const json_t *slice, char cell[CELL_MAX])
{
    const char *vm = cli_text(slice, "vm");
    text_cut(cell, CELL_MAX, vm[0] != '\0' ? vm : cli_text(slice, "claim"));
}

static const struct column slice_columns[] = {
    {"ID", "id", COL_TEXT, false, NULL},
    {"HOST", "host", COL_TEXT, false, NULL},
    {"DRIVE", "drive", COL_TEXT, false, NULL},
    {"NSID", "nsid", COL_NUMBER, false, NULL},
    {"SIZE", "size_bytes", COL_GIB, false, NULL},
    {"CLASS", "class", COL_TEXT, false, NULL},
    {"STATE", "state", COL_TEXT, false, NULL},
    {"DONE", "progress_percent", COL_PERCENT, false, NULL},
    {"HOLDER", NULL, COL_OWN, false, own_holder},
    {"WHY", "why", COL_TEXT, false, NULL},
    {"BLOCK", "block_bytes", COL_NUMBER, true, NULL},
    {"GENERATION", "generation", COL_NUMBER, true, NULL},
    {"VM", "vm", COL_TEXT, true, NULL},
    {"CLAIM", "claim", COL_TEXT, true, NULL},
    {"PATH", "path", COL_TEXT, true, NULL},
    {"ERASURE", "erasure", COL_TEXT, true, NULL},
};

static const struct columns slice_table = {slice_columns, sizeof(slice_columns) / sizeof(slice_columns[0])};

bool cmd_slice_ls(struct cli *cli, struct err *err)
{
    auto_json *list = NULL;
    struct url url = url_make("/v1/slices");
    url_query(&url, "drive", cli->opts[OPT_DRIVE]);
    url_query(&url, "state", cli->opts[OPT_STATE]);
    url_query(&url, "host", cli->opts[OPT_HOST]);
    return cli_get(cli, &url, &list, err) && cli_list(cli, &slice_table, list, err);
}

static struct url slice_url(const struct cli *cli)
{
    struct url url = url_make("/v1/slices");
    url_part(&url, cli->args[0]);
    return url;
}

bool cmd_slice_show(struct cli *cli, struct err *err)
{
    auto_json *slice = NULL;
    const struct url url = slice_url(cli);
    return cli_get(cli, &url, &slice, err) && cli_show(cli, &slice_table, slice, err);
}

static bool say(const struct cli *cli, const json_t *slice, const char *what)
{
    if (cli_has(cli, OPT_JSON))
        cli_put_json(slice);
    else
        printf("slice %s %s %s\n", cli->args[0], cli_has(cli, OPT_DRY_RUN) ? "would be" : "is to be", what);
    return true;
}

bool cmd_slice_retry(struct cli *cli, struct err *err)
{
    auto_json *slice = NULL;
    struct url url = slice_url(cli);
    url_tail(&url, "/retry");
    return cli_change(cli, "POST", &url, NULL, &slice, err) && say(cli, slice, "erased once more");
}

bool cmd_slice_retire(struct cli *cli, struct err *err)
{
    auto_json *body = json_pack("{s:s}", "confirm", cli->args[0]), *slice = NULL;
    struct url url = slice_url(cli);
    must(body != NULL);
    url_tail(&url, "/retire");
    return cli_confirm(cli, "retire slice", cli->args[0], OPT_CONFIRM_ID, err) &&
           cli_change(cli, "POST", &url, body, &slice, err) && say(cli, slice, "deleted for good");
}
