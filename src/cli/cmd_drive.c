/* drive ls, show, drain, resume, retry. Adoption is in cmd_adopt.c. */
#include "base/must.h"
#include "base/text.h"
#include "cli/cli_args.h"
#include "cli/cli_http.h"
#include "cli/cli_table.h"

#include <string.h>

/* The first reason that it is not ours to take, else what the host says. */
static void own_why(const json_t *drive, char cell[CELL_MAX])
{
    const json_t *foreign = json_object_get(drive, "foreign");
    const json_t *first = json_array_get(foreign, 0), *drained = json_object_get(drive, "drained");
    if (first == NULL) {
        text_cut(cell, CELL_MAX, drained != NULL ? cli_text(drained, "why") : cli_text(drive, "why"));
        return;
    }
    const int len = snprintf(cell, CELL_MAX, "%s: %s", cli_text(first, "what"), cli_text(first, "detail"));
    if (json_array_size(foreign) > 1 && len > 0 && len < CELL_MAX)
        snprintf(cell + len, CELL_MAX - (size_t)len, " (and %zu more)", json_array_size(foreign) - 1);
}

/* "available" is said only of a drive that could be adopted. */
static void own_state(const json_t *drive, char cell[CELL_MAX])
{
    const char *adopt = cli_text(drive, "adopt");
    const bool foreign = json_array_size(json_object_get(drive, "foreign")) > 0;
    const bool drained = json_object_get(drive, "drained") != NULL && strcmp(adopt, "adopted") == 0;
    text_cut(cell, CELL_MAX, foreign && strcmp(adopt, "available") == 0 ? "in use" : drained ? "drained" : adopt);
}

static void own_worn(const json_t *drive, char cell[CELL_MAX])
{
    const json_t *health = json_object_get(drive, "health");
    if (json_is_true(json_object_get(health, "known")))
        snprintf(cell, CELL_MAX, "%ju%%", (uintmax_t)cli_u64(health, "used_percent"));
}

static void own_health(const json_t *drive, char cell[CELL_MAX])
{
    text_cut(cell, CELL_MAX, cli_text(json_object_get(drive, "health"), "level"));
}

static const struct column drive_columns[] = {
    {"HOST", "host", COL_TEXT, false, NULL},        {"SERIAL", "serial", COL_TEXT, false, NULL},
    {"MODEL", "model", COL_TEXT, false, NULL},      {"SIZE", "size_bytes", COL_GB, false, NULL},
    {"STATE", NULL, COL_OWN, false, own_state},     {"CLASS", "class", COL_TEXT, false, NULL},
    {"SLICES", "slices", COL_NUMBER, false, NULL},  {"STRANDED", "stranded_bytes", COL_GB, false, NULL},
    {"WORN", NULL, COL_OWN, false, own_worn},       {"HEALTH", NULL, COL_OWN, false, own_health},
    {"WHY", NULL, COL_OWN, false, own_why},
    {"NAME", "name", COL_TEXT, true, NULL},         {"FIRMWARE", "firmware", COL_TEXT, true, NULL},
    {"PROVIDER", "provider", COL_TEXT, true, NULL}, {"SLICE-SIZE", "slice_bytes", COL_GIB, true, NULL},
    {"RULE", "rule", COL_TEXT, true, NULL},         {"PLACE", "place", COL_TEXT, true, NULL},
    {"ORPHANS", "orphans", COL_NUMBER, true, NULL}, {"SEEN", "seen_ms", COL_TIME, true, NULL},
};

static const struct columns drive_table = {drive_columns, sizeof(drive_columns) / sizeof(drive_columns[0])};

bool cmd_drive_ls(struct cli *cli, struct err *err)
{
    auto_json *list = NULL;
    struct url url = url_make("/v1/drives");
    url_query(&url, "host", cli->opts[OPT_HOST]);
    return cli_get(cli, &url, &list, err) && cli_list(cli, &drive_table, list, err);
}

/* ---- show ----------------------------------------------------------------------------------------------------- */

/* Format NVM attributes as what they mean for neighbours (Identify Controller, FNA). */
static const char *erase_reach(const json_t *caps)
{
    const uint64_t fna = cli_u64(caps, "fna");
    if (json_is_true(json_object_get(caps, "sanitize_ns")))
        return "yes, by Sanitize Namespace";
    if (!json_is_true(json_object_get(caps, "format")))
        return "no: it has no Format command";
    if ((fna & 3) != 0)
        return "no: a format would hit all namespaces; slices are overwritten instead";
    return (fna & 4) != 0 ? "yes, by cryptographic erase" : "yes, by user data erase";
}

static void show_can(const json_t *caps)
{
    if (!json_is_object(caps))
        return;
    printf("\nnamespaces can be made: %s (%ju at the most)\n",
           json_is_true(json_object_get(caps, "ns_management")) ? "yes" : "no", (uintmax_t)cli_u64(caps, "ns_max"));
    printf("one slice can be erased alone: %s\n", erase_reach(caps));
}

static void show_task(const json_t *task)
{
    if (!json_is_object(task))
        return;
    const char *why = cli_text(task, "why"), *verdict = cli_text(json_object_get(task, "result"), "verdict");
    const bool probe = strncmp(cli_text(task, "kind"), "probe", 5) == 0,
               done = strcmp(cli_text(task, "state"), "done") == 0;
    fputs("last asked for: ", stdout);
    cli_put(stdout, cli_text(task, "kind"));
    fputs(", ", stdout);
    cli_put(stdout, cli_text(task, "state"));
    if (why[0] != '\0' || (probe && done))
        fputs(": ", stdout);
    cli_put(stdout, why[0] != '\0' ? why : probe && done ? verdict : "");
    putchar('\n');
}

static void show_foreign(const json_t *foreign)
{
    size_t i;
    const json_t *one;
    json_array_foreach(foreign, i, one)
    {
        if (i == 0)
            puts("\ncannot be adopted, for it");
        fputs("  ", stdout);
        cli_put(stdout, cli_text(one, "what"));
        if (cli_u64(one, "nsid") != 0)
            printf(" (namespace %ju)", (uintmax_t)cli_u64(one, "nsid"));
        fputs(": ", stdout);
        cli_put(stdout, cli_text(one, "detail"));
        putchar('\n');
    }
}

static void show_health(const json_t *drive)
{
    size_t i;
    const json_t *one, *drained = json_object_get(drive, "drained"), *health = json_object_get(drive, "health");
    json_array_foreach(json_object_get(health, "reasons"), i, one)
    {
        fputs(i == 0 ? "\nhealth: " : "        ", stdout);
        cli_put(stdout, json_string_value(one));
        putchar('\n');
    }
    if (json_is_true(json_object_get(health, "accepted")))
        puts("        a person has accepted it");
    if (drained == NULL)
        return;
    fputs("nothing of it is given out: drained ", stdout);
    cli_put(stdout, cli_text(drained, "why"));
    putchar('\n');
}

static void show_rule(const json_t *drive)
{
    const char *rule = cli_text(drive, "rule"), *why = cli_text(drive, "rule_why");
    if (rule[0] != '\0')
        fputs("\nadopted by rule ", stdout);
    else if (why[0] != '\0')
        fputs("\nadopted by no rule: ", stdout);
    else
        return;
    cli_put(stdout, rule[0] != '\0' ? rule : why);
    putchar('\n');
}

bool cmd_drive_show(struct cli *cli, struct err *err)
{
    auto_json *drive = NULL;
    struct url url = url_make("/v1/drives");
    url_query(url_part(&url, cli->args[0]), "host", cli->opts[OPT_HOST]);
    if (!cli_get(cli, &url, &drive, err) || !cli_show(cli, &drive_table, drive, err))
        return false;
    if (cli_has(cli, OPT_JSON) || cli_has(cli, OPT_OUTPUT))
        return true;
    show_can(json_object_get(json_object_get(drive, "seen"), "caps"));
    show_health(drive);
    show_task(json_object_get(drive, "task"));
    show_rule(drive);
    show_foreign(json_object_get(drive, "foreign"));
    return true;
}

/* ---- drain, resume, retry --------------------------------------------------------------------------------------------- */

static bool drive_change(struct cli *cli, const char *what, const char *said, json_t *body, struct err *err)
{
    auto_json *drive = NULL;
    struct url url = url_make("/v1/drives");
    url_tail(url_part(&url, cli->args[0]), what);
    if (!arg_text(cli, OPT_HOST, body, "host", err) || !cli_change(cli, "POST", &url, body, &drive, err))
        return false;
    if (cli_has(cli, OPT_JSON))
        cli_put_json(drive);
    else
        printf("drive %s %s %s\n", cli->args[0], cli_has(cli, OPT_DRY_RUN) ? "would be" : "is", said);
    return true;
}

bool cmd_drive_drain(struct cli *cli, struct err *err)
{
    auto_json *body = json_object();
    must(body != NULL);
    return arg_text(cli, OPT_REASON, body, "reason", err) && drive_change(cli, "/drain", "drained", body, err);
}

bool cmd_drive_retry(struct cli *cli, struct err *err)
{
    auto_json *body = json_object();
    must(body != NULL);
    return drive_change(cli, "/retry", "looked at once more", body, err);
}

bool cmd_drive_resume(struct cli *cli, struct err *err)
{
    auto_json *body = json_object();
    must(body != NULL);
    if (cli_has(cli, OPT_DESPITE_HEALTH))
        must(json_object_set_new(body, "despite_health", json_true()) == 0);
    return drive_change(cli, "/resume", "given out again", body, err);
}
