/* cli/cli_opts.h: words to commands; help. The table here is the test's own: its functions are never called. */
#include "cli/cli_opts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct command table_rows[] = {
    {"status", NULL, "", 0, 0, OPT(JSON), "say how it is", "nsmith status", NULL},
    {"drive", "ls", "", 0, 0, OPTS_TABLE | OPT(HOST), "list drives", "nsmith drive ls", NULL},
    {"drive", "adopt", "SERIAL", 1, 1, OPT(DRY_RUN) | OPT(YES) | OPT(SERIAL), "cut a drive", "nsmith drive adopt X",
     NULL},
    {"up", NULL, "", 0, 0, OPT(STATE_DIR), "start", "nsmith up", NULL},
    {"slice", "ls", "", 0, 0, OPTS_TABLE | OPT(STATE), "list slices", "nsmith slice ls", NULL},
};
static const struct command_table table = {table_rows, sizeof(table_rows) / sizeof(table_rows[0])};

enum { WORDS_MAX = 8 };

static size_t count_words(const char *const words[WORDS_MAX])
{
    size_t count = 0;
    while (count < WORDS_MAX && words[count] != NULL)
        count++;
    return count;
}

/* argv as main() has it. */
static bool parse(const char *const words[WORDS_MAX], struct parsed *out, struct err *err)
{
    char *argv[WORDS_MAX + 2] = {strdup("nsmith")};
    const size_t count = count_words(words);
    for (size_t i = 0; i < count; i++)
        argv[i + 1] = strdup(words[i]);
    static char kept[WORDS_MAX + 2][128]; /* what is borrowed outlives the copies */
    char *borrowed[WORDS_MAX + 2] = {NULL};
    for (size_t i = 0; i <= count; i++) {
        snprintf(kept[i], sizeof(kept[i]), "%s", argv[i]);
        borrowed[i] = kept[i];
        free(argv[i]);
    }
    return cli_parse(&table, (int)count + 1, borrowed, out, err);
}

static const char *text_or(const char *text)
{
    return text != NULL ? text : "(none)";
}

static void words_become_a_command(void **state)
{
    static const struct {
        const char *rule;
        const char *words[WORDS_MAX];
        const char *noun, *verb, *arg; /* NULL: none */
        enum opt opt;
        const char *value; /* of opt */
    } rows[] = {
        {"a noun alone", {"status"}, "status", NULL, NULL, OPT_JSON, NULL},
        {"noun and verb", {"drive", "ls"}, "drive", "ls", NULL, OPT_JSON, NULL},
        {"an argument", {"drive", "adopt", "S1"}, "drive", "adopt", "S1", OPT_YES, NULL},
        {"--name value", {"drive", "ls", "--host", "h1"}, "drive", "ls", NULL, OPT_HOST, "h1"},
        {"--name=value", {"drive", "ls", "--host=h1"}, "drive", "ls", NULL, OPT_HOST, "h1"},
        {"an empty value is one", {"drive", "ls", "--host="}, "drive", "ls", NULL, OPT_HOST, ""},
        {"a value with '='", {"drive", "ls", "--host=a=b"}, "drive", "ls", NULL, OPT_HOST, "a=b"},
        {"a value that looks like an option",
         {"drive", "ls", "--host", "--json"},
         "drive",
         "ls",
         NULL,
         OPT_HOST,
         "--json"},
        {"-o value", {"drive", "ls", "-o", "A,B"}, "drive", "ls", NULL, OPT_OUTPUT, "A,B"},
        {"-ovalue", {"drive", "ls", "-oA,B"}, "drive", "ls", NULL, OPT_OUTPUT, "A,B"},
        {"-b", {"drive", "ls", "-b"}, "drive", "ls", NULL, OPT_BYTES, ""},
        {"options before the command", {"--run", "/r", "drive", "ls"}, "drive", "ls", NULL, OPT_RUN, "/r"},
        {"options between noun and verb", {"drive", "--json", "ls"}, "drive", "ls", NULL, OPT_JSON, ""},
        {"the last one of two counts", {"drive", "ls", "--host=a", "--host=b"}, "drive", "ls", NULL, OPT_HOST, "b"},
        {"-- ends the options", {"drive", "adopt", "--", "--yes"}, "drive", "adopt", "--yes", OPT_YES, NULL},
        {"- is a word", {"drive", "adopt", "-"}, "drive", "adopt", "-", OPT_YES, NULL},
        {"--state of up is a folder", {"up", "--state", "/s"}, "up", NULL, NULL, OPT_STATE_DIR, "/s"},
        {"--state of slice ls is a state", {"slice", "ls", "--state", "free"}, "slice", "ls", NULL, OPT_STATE, "free"},
        {"help as a word", {"help", "drive", "adopt"}, "drive", "adopt", NULL, OPT_HELP, ""},
        {"help needs no argument", {"drive", "adopt", "--help"}, "drive", "adopt", NULL, OPT_HELP, ""},
        {"help of a noun", {"drive", "--help"}, NULL, NULL, NULL, OPT_HELP, ""},
        {"nothing at all", {NULL}, NULL, NULL, NULL, OPT_HELP, NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct parsed got = {0};
        struct err err = {0};
        if (!parse(rows[i].words, &got, &err))
            fail_msg("%s: %s", rows[i].rule, err.msg);
        const char *noun = got.command != NULL ? got.command->noun : NULL;
        const char *verb = got.command != NULL ? got.command->verb : NULL;
        const char *arg = got.arg_count > 0 ? got.args[0] : NULL, *value = got.opts[rows[i].opt];
        if (strcmp(text_or(noun), text_or(rows[i].noun)) != 0 || strcmp(text_or(verb), text_or(rows[i].verb)) != 0 ||
            strcmp(text_or(arg), text_or(rows[i].arg)) != 0 || strcmp(text_or(value), text_or(rows[i].value)) != 0)
            fail_msg("%s: got %s %s %s %s, want %s %s %s %s", rows[i].rule, text_or(noun), text_or(verb), text_or(arg),
                     text_or(value), text_or(rows[i].noun), text_or(rows[i].verb), text_or(rows[i].arg),
                     text_or(rows[i].value));
    }
}

static void wrong_words_name_the_nearest_known(void **state)
{
    static const struct {
        const char *rule;
        const char *words[WORDS_MAX];
        const char *hint; /* part of it */
    } rows[] = {
        {"an unknown noun", {"drvie", "ls"}, "nsmith drive"},
        {"an unknown verb", {"drive", "adpot", "X"}, "nsmith drive adopt"},
        {"nothing near", {"zzzzzzzzzzzz"}, "nsmith --help"},
        {"an unknown option", {"drive", "ls", "--jsno"}, "--json"},
        {"an option of another command", {"drive", "ls", "--yes"}, "nsmith drive ls --help"},
        {"an unknown letter", {"drive", "ls", "-z"}, "--help"},
        {"an option of no command", {"--jsn", "status"}, "--json"},
        {"a missing argument", {"drive", "adopt"}, "nsmith drive adopt X"},
        {"one argument too many", {"drive", "adopt", "A", "B"}, "nsmith drive adopt X"},
        {"an empty argument", {"drive", "adopt", ""}, "nsmith drive adopt X"},
        {"a missing value", {"drive", "ls", "--host"}, "--host=HOST"},
        {"a value too many", {"drive", "ls", "--json=yes"}, "leave the value out"},
        {"letters are not bundled", {"drive", "ls", "-bh"}, "leave the value out"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct parsed got = {.noun = "untouched"};
        struct err err = {0};
        if (parse(rows[i].words, &got, &err))
            fail_msg("%s: was taken", rows[i].rule);
        if (err.kind != ERR_INPUT || strstr(err.hint, rows[i].hint) == NULL)
            fail_msg("%s: got %s, hint '%s', want '%s'", rows[i].rule, err.msg, err.hint, rows[i].hint);
        assert_string_equal(got.noun, "untouched");
    }
}

static void too_many_words_are_refused(void **state)
{
    char word[] = "x", *argv[200];
    struct parsed got;
    struct err err = {0};
    (void)state;
    for (size_t i = 0; i < 200; i++)
        argv[i] = word;
    assert_false(cli_parse(&table, 200, argv, &got, &err));
    assert_int_equal(err.kind, ERR_INPUT);
}

/* Words are told from values before the command is known. */
static void a_long_option_takes_a_value_or_not_by_its_name(void **state)
{
    (void)state;
    for (size_t i = 0; i < OPT_COUNT; i++)
        for (size_t j = 0; j < i; j++)
            if (strcmp(opt_rows[i].name, opt_rows[j].name) == 0 &&
                (opt_rows[i].value == NULL) != (opt_rows[j].value == NULL))
                fail_msg("--%s takes a value and takes none", opt_rows[i].name);
}

static bool no_command_has_two_of_one_name(const struct command *command)
{
    const uint64_t allowed = command_options(command);
    for (size_t i = 0; i < OPT_COUNT; i++)
        for (size_t j = 0; j < i; j++)
            if ((allowed >> i & allowed >> j & 1) != 0 && strcmp(opt_rows[i].name, opt_rows[j].name) == 0)
                return false;
    return true;
}

static char *help_text(const struct command *command)
{
    char *text = NULL;
    size_t len = 0;
    FILE *to = open_memstream(&text, &len);
    assert_non_null(to);
    help_command(to, command);
    fclose(to);
    return text;
}

static void help_begins_with_the_example_and_names_all_options(void **state)
{
    (void)state;
    for (size_t c = 0; c < table.count; c++) {
        char *text = help_text(&table.at[c]);
        assert_memory_equal(text, "Example: ", 9);
        assert_non_null(strstr(text, table.at[c].example));
        for (size_t i = 0; i < OPT_COUNT; i++) {
            char name[64];
            snprintf(name, sizeof(name), "--%s ", opt_rows[i].name);
            if ((command_options(&table.at[c]) >> i & 1) != 0 && strstr(text, name) == NULL)
                fail_msg("help of %s does not name %s", table.at[c].noun, name);
        }
        assert_true(no_command_has_two_of_one_name(&table.at[c]));
        free(text);
    }
}

static void the_nearest_word_is_found(void **state)
{
    const char *const words[] = {"status", "drive", "slice", "vm"};
    (void)state;
    assert_string_equal(cli_nearest("drives", words, 4), "drive");
    assert_string_equal(cli_nearest("slcie", words, 4), "slice");
    assert_null(cli_nearest("completely-else", words, 4));
    assert_null(cli_nearest("x", words, 0));
    assert_null(cli_nearest("", words, 4));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_become_a_command),
        cmocka_unit_test(wrong_words_name_the_nearest_known),
        cmocka_unit_test(too_many_words_are_refused),
        cmocka_unit_test(a_long_option_takes_a_value_or_not_by_its_name),
        cmocka_unit_test(help_begins_with_the_example_and_names_all_options),
        cmocka_unit_test(the_nearest_word_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
