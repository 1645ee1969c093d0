/* The real table of commands (cli/cli_commands.c), and the cells of tables (cli/cli_table.h). Nothing is called. */
#include "cli/cli_table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void each_command_has_help_an_example_and_a_function(void **state)
{
    (void)state;
    for (size_t i = 0; i < commands.count; i++) {
        const struct command *command = &commands.at[i];
        char words[64];
        snprintf(words, sizeof(words), "nsmith %s%s%s", command->noun, command->verb != NULL ? " " : "",
                 command->verb != NULL ? command->verb : "");
        if (command->fn == NULL || command->help[0] == '\0' || command->args_min > command->args_max ||
            command->args_max > CLI_ARGS_MAX || (command->args_max > 0) != (command->args[0] != '\0') ||
            strstr(command->example, words) == NULL)
            fail_msg("%s: its row is incomplete", words);
    }
}

static void each_command_stands_once_and_its_options_too(void **state)
{
    (void)state;
    for (size_t i = 0; i < commands.count; i++) {
        const uint64_t allowed = command_options(&commands.at[i]);
        for (size_t j = 0; j < i; j++)
            if (strcmp(commands.at[i].noun, commands.at[j].noun) == 0 &&
                (commands.at[i].verb == NULL || strcmp(commands.at[i].verb, commands.at[j].verb) == 0))
                fail_msg("%s stands twice", commands.at[i].example);
        for (size_t a = 0; a < OPT_COUNT; a++)
            for (size_t b = 0; b < a; b++)
                if ((allowed >> a & allowed >> b & 1) != 0 && strcmp(opt_rows[a].name, opt_rows[b].name) == 0)
                    fail_msg("%s: --%s means two things", commands.at[i].example, opt_rows[a].name);
    }
}

/* What the table shows as an example can be typed. */
static void each_example_is_understood(void **state)
{
    (void)state;
    for (size_t i = 0; i < commands.count; i++) {
        char text[200], *argv[24], *save = NULL;
        const char *example = strstr(commands.at[i].example, "nsmith ");
        assert_non_null(example);
        snprintf(text, sizeof(text), "%s", example);
        text[strcspn(text, ">)")] = '\0'; /* of the shell, not ours */
        int argc = 0;
        for (char *word = strtok_r(text, " ", &save); word != NULL && argc < 23; word = strtok_r(NULL, " ", &save))
            argv[argc++] = word;
        struct parsed parsed;
        struct err err = {0};
        if (!cli_parse(&commands, argc, argv, &parsed, &err))
            fail_msg("%s: %s", commands.at[i].example, err.msg);
        assert_ptr_equal(parsed.command, &commands.at[i]);
    }
}

/* DESIGN: what changes something can be tried first, and everything that shows data shows JSON. */
static void what_changes_has_a_dry_run(void **state)
{
    static const char *const verbs[] = {"adopt", "retry", "retire", "set", "delete", "create", "release", "start", "stop",
                                        "reboot", "up", "down", "drain", "resume", "probe", "firmware"};
    (void)state;
    for (size_t i = 0; i < commands.count; i++) {
        const struct command *command = &commands.at[i];
        const char *name = command->verb != NULL ? command->verb : command->noun;
        bool changes = false;
        for (size_t v = 0; v < sizeof(verbs) / sizeof(verbs[0]); v++)
            changes = changes || strcmp(name, verbs[v]) == 0;
        if (changes != ((command->options & OPT(DRY_RUN)) != 0))
            fail_msg("%s: changes %d, has --dry-run %d", command->example, changes, !changes);
        if ((strcmp(name, "ls") == 0 || strcmp(name, "show") == 0) && (command->options & OPT(JSON)) == 0)
            fail_msg("%s: has no --json", command->example);
    }
}

static void own_x(const json_t *row, char cell[CELL_MAX])
{
    snprintf(cell, CELL_MAX, "<%s>", cli_text(row, "x"));
}

static void cells_are_read_defensively(void **state)
{
    static const struct {
        const char *rule;
        struct column column;
        const char *json;
        bool bytes;
        const char *want;
    } rows[] = {
        {"text as it is", {.field = "x"}, "{\"x\":\"abc\"}", false, "abc"},
        {"what is missing is a dash", {.field = "x"}, "{}", false, "-"},
        {"the empty text is a dash", {.field = "x"}, "{\"x\":\"\"}", false, "-"},
        {"null is a dash", {.field = "x"}, "{\"x\":null}", false, "-"},
        {"an object is a dash", {.field = "x"}, "{\"x\":{}}", false, "-"},
        {"a negative number is a dash", {.field = "x", .kind = COL_NUMBER}, "{\"x\":-1}", false, "-"},
        {"no object at all", {.field = "x"}, "[]", false, "-"},
        {"control characters are tamed", {.field = "x"}, "{\"x\":\"a\\u001b[2Jb\\n\"}", false, "a?[2Jb?"},
        {"a number", {.field = "x", .kind = COL_NUMBER}, "{\"x\":12}", false, "12"},
        {"zero is a number", {.field = "x", .kind = COL_NUMBER}, "{\"x\":0}", false, "0"},
        {"sizes of slices are binary", {.field = "x", .kind = COL_GIB}, "{\"x\":499289948160}", false, "465.0 GiB"},
        {"sizes of drives are decimal", {.field = "x", .kind = COL_GB}, "{\"x\":2000398934016}", false, "2.0 TB"},
        {"--bytes", {.field = "x", .kind = COL_GB}, "{\"x\":2000398934016}", true, "2000398934016"},
        {"--bytes does not change times",
         {.field = "x", .kind = COL_TIME},
         "{\"x\":1000}",
         true,
         "1970-01-01T00:00:01Z"},
        {"a time", {.field = "x", .kind = COL_TIME}, "{\"x\":1234567890123}", false, "2009-02-13T23:31:30Z"},
        {"a percentage", {.field = "x", .kind = COL_PERCENT}, "{\"x\":42}", false, "42%"},
        {"true is yes", {.field = "x", .kind = COL_YES}, "{\"x\":true}", false, "yes"},
        {"false is no", {.field = "x", .kind = COL_YES}, "{\"x\":false}", false, "no"},
        {"a list", {.field = "x", .kind = COL_LIST}, "{\"x\":[\"a\",\"b\"]}", false, "a,b"},
        {"an empty list is a dash", {.field = "x", .kind = COL_LIST}, "{\"x\":[]}", false, "-"},
        {"a list with something else", {.field = "x", .kind = COL_LIST}, "{\"x\":[\"a\",1]}", false, "a,?"},
        {"a text where a size is expected", {.field = "x", .kind = COL_GIB}, "{\"x\":\"big\"}", false, "big"},
        {"a cell of its own", {.kind = COL_OWN, .own = own_x}, "{\"x\":\"y\"}", false, "<y>"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char got[CELL_MAX];
        json_t *json = json_loads(rows[i].json, 0, NULL);
        assert_non_null(json);
        cli_cell(&rows[i].column, json, rows[i].bytes, got);
        if (strcmp(got, rows[i].want) != 0)
            fail_msg("%s: got '%s', want '%s'", rows[i].rule, got, rows[i].want);
        json_decref(json);
    }
}

static void a_cell_that_does_not_fit_is_cut(void **state)
{
    char got[CELL_MAX], text[2 * CELL_MAX];
    json_t *list = json_array(), *object = json_object();
    (void)state;
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    json_object_set_new(object, "t", json_string(text));
    for (int i = 0; i < 200; i++)
        json_array_append_new(list, json_string("ns-0123456789"));
    json_object_set_new(object, "l", list);
    cli_cell(&(struct column){.field = "t"}, object, false, got);
    assert_int_equal(strlen(got), CELL_MAX - 1);
    cli_cell(&(struct column){.field = "l", .kind = COL_LIST}, object, false, got);
    assert_true(strlen(got) < CELL_MAX);
    json_decref(object);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_command_has_help_an_example_and_a_function),
        cmocka_unit_test(each_command_stands_once_and_its_options_too),
        cmocka_unit_test(each_example_is_understood),
        cmocka_unit_test(what_changes_has_a_dry_run),
        cmocka_unit_test(cells_are_read_defensively),
        cmocka_unit_test(a_cell_that_does_not_fit_is_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
