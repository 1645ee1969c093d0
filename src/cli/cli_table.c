#include "cli/cli_table.h"

#include "base/must.h"
#include "base/text.h"
#include "cli/cli_text.h"

#include <libsmartcols/libsmartcols.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { COLUMNS_MAX = 40 };

static void cell_list(const json_t *value, char out[CELL_MAX])
{
    size_t i, len = 0;
    const json_t *one;
    out[0] = '\0';
    json_array_foreach(value, i, one)
    {
        const char *text = json_is_string(one) ? json_string_value(one) : "?";
        const int add = snprintf(out + len, CELL_MAX - len, "%s%s", i > 0 ? "," : "", text);
        if (add < 0 || (size_t)add >= CELL_MAX - len)
            return; /* cut */
        len += (size_t)add;
    }
}

static void cell_number(const struct column *column, uint64_t number, bool bytes, char out[CELL_MAX])
{
    char text[32];
    switch (column->kind) {
    case COL_GIB:
        text_cut(out, CELL_MAX, text_gib(text, number));
        break;
    case COL_GB:
        text_cut(out, CELL_MAX, text_gb(text, number));
        break;
    case COL_TIME:
        text_cut(out, CELL_MAX, text_time(text, number));
        return;
    case COL_PERCENT:
        snprintf(out, CELL_MAX, "%ju%%", (uintmax_t)number);
        return;
    case COL_TEXT:
    case COL_NUMBER:
    case COL_YES:
    case COL_LIST:
    case COL_OWN:
        snprintf(out, CELL_MAX, "%ju", (uintmax_t)number);
        return;
    }
    if (bytes)
        snprintf(out, CELL_MAX, "%ju", (uintmax_t)number);
}

void cli_cell(const struct column *column, const json_t *row, bool bytes, char out[CELL_MAX])
{
    const json_t *value = json_object_get(row, column->field != NULL ? column->field : "");
    out[0] = '\0';
    if (column->kind == COL_OWN)
        column->own(row, out);
    else if (json_is_string(value))
        text_cut(out, CELL_MAX, json_string_value(value));
    else if (json_is_integer(value) && json_integer_value(value) >= 0)
        cell_number(column, (uint64_t)json_integer_value(value), bytes, out);
    else if (json_is_boolean(value))
        text_cut(out, CELL_MAX, json_is_true(value) ? "yes" : "no");
    else if (json_is_array(value))
        cell_list(value, out);
    if (out[0] == '\0')
        text_cut(out, CELL_MAX, "-");
    text_tame(out);
}

/* ---- which columns -------------------------------------------------------------------------------------------- */

struct chosen {
    const struct column *at[COLUMNS_MAX];
    size_t count;
};

static bool unknown_column(const struct columns *columns, const char *name, struct err *err)
{
    const char *names[COLUMNS_MAX];
    char upper[64], all[ERR_HINT_MAX] = "";
    text_cut(upper, sizeof(upper), name);
    for (char *at = upper; *at != '\0'; at++)
        if (*at >= 'a' && *at <= 'z')
            *at = (char)(*at - 'a' + 'A');
    for (size_t i = 0; i < columns->count; i++) {
        names[i] = columns->at[i].name;
        const size_t len = strlen(all);
        snprintf(all + len, sizeof(all) - len, "%s%s", i > 0 ? "," : "", names[i]);
    }
    const char *near = cli_nearest(upper, names, columns->count);
    err_set(err, ERR_INPUT, "cannot show column '%.60s': there is no such column", name);
    return near != NULL ? err_hint(err, "did you mean %s?", near) : err_hint(err, "there are: %.200s", all);
}

static bool choose(const struct cli *cli, const struct columns *columns, bool all, struct chosen *out, struct err *err)
{
    char names[512];
    must(columns->count <= COLUMNS_MAX);
    out->count = 0;
    if (!cli_has(cli, OPT_OUTPUT)) {
        for (size_t i = 0; i < columns->count; i++)
            if (all || !columns->at[i].more)
                out->at[out->count++] = &columns->at[i];
        return true;
    }
    if (!text_copy(names, sizeof(names), cli->opts[OPT_OUTPUT]))
        return err_set(err, ERR_INPUT, "cannot show columns: their names are too long") ||
               err_hint(err, "name a few, for example: -o %s", columns->at[0].name);
    char *save = NULL;
    for (char *name = strtok_r(names, ",", &save); name != NULL; name = strtok_r(NULL, ",", &save)) {
        const struct column *found = NULL;
        for (size_t i = 0; i < columns->count && found == NULL; i++)
            if (strcasecmp(columns->at[i].name, name) == 0)
                found = &columns->at[i];
        if (found == NULL)
            return unknown_column(columns, name, err);
        if (out->count == COLUMNS_MAX)
            return err_set(err, ERR_INPUT, "cannot show columns: more than %d are wanted", COLUMNS_MAX) ||
                   err_hint(err, "name each once");
        out->at[out->count++] = found;
    }
    return out->count > 0 || err_set(err, ERR_INPUT, "cannot show columns: --output names none") ||
           err_hint(err, "for example: -o %s", columns->at[0].name);
}

/* ---- printing ------------------------------------------------------------------------------------------------- */

static bool is_right(enum column_kind kind)
{
    return kind == COL_NUMBER || kind == COL_GIB || kind == COL_GB || kind == COL_PERCENT;
}

static void print_table(const struct cli *cli, const struct chosen *chosen, const json_t *array)
{
    size_t i;
    const json_t *row;
    struct libscols_table *table = scols_new_table();
    must(table != NULL);
    scols_table_enable_noheadings(table, cli_has(cli, OPT_NO_HEADINGS));
    for (size_t c = 0; c < chosen->count; c++)
        must(scols_table_new_column(table, chosen->at[c]->name, 0,
                                    is_right(chosen->at[c]->kind) ? SCOLS_FL_RIGHT : 0) != NULL);
    json_array_foreach(array, i, row)
    {
        struct libscols_line *line = scols_table_new_line(table, NULL);
        must(line != NULL);
        for (size_t c = 0; c < chosen->count; c++) {
            char cell[CELL_MAX];
            cli_cell(chosen->at[c], row, cli_has(cli, OPT_BYTES), cell);
            must(scols_line_set_data(line, c, cell) == 0);
        }
    }
    scols_print_table(table);
    scols_unref_table(table);
}

bool cli_table(const struct cli *cli, const struct columns *columns, const json_t *array, struct err *err)
{
    struct chosen chosen;
    if (!choose(cli, columns, false, &chosen, err))
        return false;
    if (json_array_size(array) > 0)
        print_table(cli, &chosen, array);
    return true;
}

bool cli_list(const struct cli *cli, const struct columns *columns, const json_t *list, struct err *err)
{
    if (!cli_has(cli, OPT_JSON))
        return cli_table(cli, columns, cli_items(list), err);
    cli_put_json(list);
    return true;
}

bool cli_show(const struct cli *cli, const struct columns *columns, const json_t *object, struct err *err)
{
    struct chosen chosen;
    size_t width = 0;
    if (cli_has(cli, OPT_JSON)) {
        cli_put_json(object);
        return true;
    }
    if (!choose(cli, columns, true, &chosen, err))
        return false;
    for (size_t c = 0; c < chosen.count; c++)
        if (strlen(chosen.at[c]->name) > width)
            width = strlen(chosen.at[c]->name);
    for (size_t c = 0; c < chosen.count; c++) {
        char cell[CELL_MAX];
        cli_cell(chosen.at[c], object, cli_has(cli, OPT_BYTES), cell);
        if (cli_has(cli, OPT_NO_HEADINGS))
            puts(cell);
        else
            printf("%-*s  %s\n", (int)width, chosen.at[c]->name, cell);
    }
    return true;
}
