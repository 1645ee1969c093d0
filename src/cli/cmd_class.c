/* class ls, set; flavor ls, set, delete. */
#include "base/must.h"
#include "base/text.h"
#include "cli/cli_args.h"
#include "cli/cli_http.h"
#include "cli/cli_table.h"

static void own_tolerance(const json_t *class, char cell[CELL_MAX])
{
    const uint64_t ppm = cli_u64(class, "tolerance_ppm");
    snprintf(cell, CELL_MAX, "%ju.%02ju %%", (uintmax_t)(ppm / 10000), (uintmax_t)(ppm % 10000 / 100));
}

/* The API leaves out what is the default. */
static void own_datapath(const json_t *flavor, char cell[CELL_MAX])
{
    const char *datapath = cli_text(flavor, "datapath");
    text_cut(cell, CELL_MAX, datapath[0] != '\0' ? datapath : "scsi");
}

static void own_spread(const json_t *flavor, char cell[CELL_MAX])
{
    const char *spread = cli_text(flavor, "spread");
    text_cut(cell, CELL_MAX, spread[0] != '\0' ? spread : "spread");
}

static const struct column class_columns[] = {
    {"NAME", "name", COL_TEXT, false, NULL},
    {"SIZE", "nominal_bytes", COL_GB, false, NULL},
    {"TOLERANCE", NULL, COL_OWN, false, own_tolerance},
};

static const struct column flavor_columns[] = {
    {"NAME", "name", COL_TEXT, false, NULL},          {"VCPUS", "vcpus", COL_NUMBER, false, NULL},
    {"MEMORY", "memory_bytes", COL_GIB, false, NULL}, {"SLICES", "slices", COL_NUMBER, false, NULL},
    {"CLASS", "class", COL_TEXT, false, NULL},        {"DATAPATH", NULL, COL_OWN, false, own_datapath},
    {"SPREAD", NULL, COL_OWN, false, own_spread},
};

static const struct columns class_table = {class_columns, sizeof(class_columns) / sizeof(class_columns[0])};
static const struct columns flavor_table = {flavor_columns, sizeof(flavor_columns) / sizeof(flavor_columns[0])};

static bool list(struct cli *cli, const char *path, const struct columns *columns, struct err *err)
{
    auto_json *all = NULL;
    const struct url url = url_make(path);
    return cli_get(cli, &url, &all, err) && cli_list(cli, columns, all, err);
}

/* Sends a change of one named thing, and says how it is then. */
static bool change(struct cli *cli, const char *method, const char *path, const json_t *body,
                   const struct columns *columns, const char *done, struct err *err)
{
    auto_json *answer = NULL, *array = json_array();
    struct url url = url_make(path);
    url_part(&url, cli->args[0]);
    if (!cli_change(cli, method, &url, body, &answer, err))
        return false;
    if (cli_has(cli, OPT_JSON)) {
        cli_put_json(answer);
        return true;
    }
    fprintf(stderr, "%s %s %s %s\n", cli->command->noun, cli->args[0], cli_has(cli, OPT_DRY_RUN) ? "would be" : "is",
            done);
    must(json_array_append(array, answer) == 0);
    return cli_table(cli, columns, array, err);
}

bool cmd_class_ls(struct cli *cli, struct err *err)
{
    return list(cli, "/v1/classes", &class_table, err);
}

bool cmd_class_set(struct cli *cli, struct err *err)
{
    auto_json *body = json_object();
    const char *percent = cli_has(cli, OPT_TOLERANCE) ? cli->opts[OPT_TOLERANCE] : "1";
    uint32_t ppm;
    if (!arg_needed(cli, OPT_SIZE, err) || !arg_size(cli, OPT_SIZE, body, "nominal_bytes", err))
        return false;
    if (!text_percent_ppm(percent, &ppm)) {
        err_set(err, ERR_INPUT, "cannot use --tolerance '%.40s': it is not 0 to 50 percent", percent);
        return err_hint(err, "for example --tolerance 1, or --tolerance 0.5");
    }
    must(json_object_set_new(body, "tolerance_ppm", json_integer((json_int_t)ppm)) == 0);
    return change(cli, "PUT", "/v1/classes", body, &class_table, "set", err);
}

bool cmd_flavor_ls(struct cli *cli, struct err *err)
{
    return list(cli, "/v1/flavors", &flavor_table, err);
}

bool cmd_flavor_set(struct cli *cli, struct err *err)
{
    auto_json *body = json_object();
    return arg_needed(cli, OPT_VCPUS, err) && arg_needed(cli, OPT_MEMORY, err) && arg_needed(cli, OPT_SLICES, err) &&
           arg_number(cli, OPT_VCPUS, body, "vcpus", err) && arg_memory(cli, OPT_MEMORY, body, "memory_bytes", err) &&
           arg_number(cli, OPT_SLICES, body, "slices", err) && arg_text(cli, OPT_CLASS, body, "class", err) &&
           arg_text(cli, OPT_DATAPATH, body, "datapath", err) && arg_text(cli, OPT_SPREAD, body, "spread", err) &&
           change(cli, "PUT", "/v1/flavors", body, &flavor_table, "set", err);
}

bool cmd_flavor_delete(struct cli *cli, struct err *err)
{
    return change(cli, "DELETE", "/v1/flavors", NULL, &flavor_table, "deleted", err);
}
