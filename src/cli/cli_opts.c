#include "cli/cli_opts.h"

#include "base/must.h"
#include "base/text.h"

#include <string.h>

enum { WORDS_MAX = 64 };

const struct opt_row opt_rows[OPT_COUNT] = {
#define X(opt, name, letter, value, help) [opt] = {name, letter, value, help},
    CLI_OPTS(X)
#undef X
};

_Static_assert(OPT_COUNT <= 64, "the options of a command are a set of 64 bits");

const char *cli_nearest(const char *word, const char *const *words, size_t count)
{
    const char *best = NULL;
    const size_t half = strlen(word) / 2;
    unsigned best_distance = (half < 3 ? (unsigned)half : 3) + 1; /* of a short word, one letter may differ */
    for (size_t i = 0; i < count; i++) {
        const unsigned distance = text_distance(word, words[i]);
        if (distance < best_distance) {
            best = words[i];
            best_distance = distance;
        }
    }
    return best;
}

/* ---- words and options ---------------------------------------------------------------------------------------- */

struct given {
    const char *name; /* long name without dashes (not ended: name_len), or NULL for a letter */
    size_t name_len;
    char letter;
    const char *value; /* NULL: none */
};

struct words {
    const char *words[WORDS_MAX];
    size_t word_count;
    struct given opts[WORDS_MAX];
    size_t opt_count;
};

static bool opt_is(const struct opt_row *row, const struct given *given)
{
    if (given->name == NULL)
        return row->letter != 0 && row->letter == given->letter;
    return strlen(row->name) == given->name_len && strncmp(row->name, given->name, given->name_len) == 0;
}

static const struct opt_row *opt_any(const struct given *given)
{
    for (size_t i = 0; i < OPT_COUNT; i++)
        if (opt_is(&opt_rows[i], given))
            return &opt_rows[i];
    return NULL;
}

static bool no_room(struct err *err)
{
    err_set(err, ERR_INPUT, "cannot read the command line: it has more than %d words", WORDS_MAX);
    return err_hint(err, "see: nsmith --help");
}

static bool take_option(int argc, char *const *argv, int *i, struct words *out, struct err *err)
{
    const char *word = argv[*i];
    struct given given = {0};
    if (word[1] == '-') {
        given.name = word + 2;
        given.name_len = strcspn(given.name, "=");
        given.value = given.name[given.name_len] == '=' ? given.name + given.name_len + 1 : NULL;
    } else {
        given.letter = word[1];
        given.value = word[2] != '\0' ? word + 2 : NULL;
    }
    const struct opt_row *row = opt_any(&given);
    if (row != NULL && row->value == NULL && given.value != NULL) {
        err_set(err, ERR_INPUT, "cannot use '%.80s': option --%s takes no value", word, row->name);
        return err_hint(err, "leave the value out");
    }
    if (row != NULL && row->value != NULL && given.value == NULL) {
        if (*i + 1 >= argc) {
            err_set(err, ERR_INPUT, "cannot use option --%s: its %s is missing", row->name, row->value);
            return err_hint(err, "--%s=%s: %s", row->name, row->value, row->help);
        }
        given.value = argv[++*i];
    }
    if (out->opt_count == WORDS_MAX)
        return no_room(err);
    out->opts[out->opt_count++] = given;
    return true;
}

static bool take_words(int argc, char *const *argv, struct words *out, struct err *err)
{
    bool only_words = false;
    for (int i = 1; i < argc; i++) {
        if (!only_words && strcmp(argv[i], "--") == 0) {
            only_words = true;
        } else if (!only_words && argv[i][0] == '-' && argv[i][1] != '\0') {
            if (!take_option(argc, argv, &i, out, err))
                return false;
        } else if (out->word_count == WORDS_MAX) {
            return no_room(err);
        } else {
            out->words[out->word_count++] = argv[i];
        }
    }
    return true;
}

/* ---- which command -------------------------------------------------------------------------------------------- */

static bool unknown_noun(const struct command_table *table, const char *noun, struct err *err)
{
    const char *nouns[WORDS_MAX];
    size_t count = 0;
    for (size_t i = 0; i < table->count && count < WORDS_MAX; i++)
        nouns[count++] = table->at[i].noun;
    const char *near = cli_nearest(noun, nouns, count);
    err_set(err, ERR_INPUT, "cannot do '%.60s': there is no such command", noun);
    return near != NULL ? err_hint(err, "did you mean 'nsmith %s'?", near) : err_hint(err, "see: nsmith --help");
}

static bool unknown_verb(const struct command_table *table, const char *noun, const char *verb, struct err *err)
{
    const char *verbs[WORDS_MAX];
    size_t count = 0;
    for (size_t i = 0; i < table->count && count < WORDS_MAX; i++)
        if (strcmp(table->at[i].noun, noun) == 0 && table->at[i].verb != NULL)
            verbs[count++] = table->at[i].verb;
    const char *near = cli_nearest(verb, verbs, count);
    err_set(err, ERR_INPUT, "cannot do '%s %.60s': there is no such command", noun, verb);
    return near != NULL ? err_hint(err, "did you mean 'nsmith %s %s'?", noun, near)
                        : err_hint(err, "see: nsmith %s --help", noun);
}

/* Fills command, noun and args. */
static bool find_command(const struct command_table *table, const struct words *words, struct parsed *out,
                         struct err *err)
{
    if (words->word_count == 0)
        return true;
    const char *noun = words->words[0], *verb = words->word_count > 1 ? words->words[1] : NULL;
    bool noun_known = false;
    size_t used = 0;
    for (size_t i = 0; i < table->count && out->command == NULL; i++) {
        const struct command *command = &table->at[i];
        if (strcmp(command->noun, noun) != 0)
            continue;
        noun_known = true;
        if (command->verb == NULL || (verb != NULL && strcmp(command->verb, verb) == 0)) {
            out->command = command;
            used = command->verb == NULL ? 1 : 2;
        }
    }
    if (!noun_known)
        return unknown_noun(table, noun, err);
    out->noun = noun;
    if (out->command == NULL)
        return verb == NULL || unknown_verb(table, noun, verb, err);
    for (size_t i = used; i < words->word_count; i++) {
        if (out->arg_count == CLI_ARGS_MAX)
            return no_room(err);
        out->args[out->arg_count++] = words->words[i];
    }
    return true;
}

static bool unknown_option(const struct command *command, const struct given *given, struct err *err)
{
    const char *names[OPT_COUNT];
    char name[64], what[128] = "nsmith";
    size_t count = 0;
    const uint64_t allowed = command != NULL ? command_options(command) : OPTS_COMMON;
    if (given->name == NULL)
        snprintf(name, sizeof(name), "-%c", given->letter);
    else
        snprintf(name, sizeof(name), "--%.*s", given->name_len < 60 ? (int)given->name_len : 60, given->name);
    for (size_t i = 0; i < OPT_COUNT; i++)
        if ((allowed & 1ull << i) != 0)
            names[count++] = opt_rows[i].name;
    if (command != NULL)
        snprintf(what, sizeof(what), "nsmith %s%s%s", command->noun, command->verb != NULL ? " " : "",
                 command->verb != NULL ? command->verb : "");
    const char *near = given->name != NULL ? cli_nearest(name + 2, names, count) : NULL;
    err_set(err, ERR_INPUT, "cannot use option %s: '%s' does not take it", name, what);
    return near != NULL ? err_hint(err, "did you mean --%s?", near) : err_hint(err, "see: %s --help", what);
}

/* Help has a form for programs as well, whatever the command itself takes. */
static bool asks_help(const struct words *words, const struct parsed *out)
{
    bool asked = out->opts[OPT_HELP] != NULL;
    for (size_t i = 0; i < words->opt_count; i++)
        asked = asked || opt_is(&opt_rows[OPT_HELP], &words->opts[i]);
    return asked;
}

static bool take_opts(const struct words *words, struct parsed *out, struct err *err)
{
    const uint64_t allowed = (out->command != NULL ? command_options(out->command) : OPTS_COMMON) |
                             (asks_help(words, out) ? OPT(JSON) : 0);
    for (size_t i = 0; i < words->opt_count; i++) {
        const struct given *given = &words->opts[i];
        size_t found = OPT_COUNT;
        for (size_t j = 0; j < OPT_COUNT && found == OPT_COUNT; j++)
            if ((allowed & 1ull << j) != 0 && opt_is(&opt_rows[j], given))
                found = j;
        if (found == OPT_COUNT)
            return unknown_option(out->command, given, err);
        out->opts[found] = given->value != NULL ? given->value : "";
    }
    return true;
}

static bool check_args(const struct parsed *parsed, struct err *err)
{
    const struct command *command = parsed->command;
    for (size_t i = 0; i < parsed->arg_count; i++)
        if (parsed->args[i][0] == '\0')
            return err_set(err, ERR_INPUT, "cannot use an empty %s", command->args) ||
                   err_hint(err, "for example: %s", command->example);
    if (parsed->arg_count >= command->args_min && parsed->arg_count <= command->args_max)
        return true;
    const char *verb = command->verb != NULL ? command->verb : "";
    const char *space = command->verb != NULL ? " " : "";
    if (parsed->arg_count > command->args_max)
        err_set(err, ERR_INPUT, "cannot do '%s%s%s': '%.60s' is one word too many", command->noun, space, verb,
                parsed->args[command->args_max]);
    else
        err_set(err, ERR_INPUT, "cannot do '%s%s%s': %s is missing", command->noun, space, verb, command->args);
    return err_hint(err, "for example: %s", command->example);
}

bool cli_parse(const struct command_table *table, int argc, char *const *argv, struct parsed *out, struct err *err)
{
    struct words words = {0};
    struct parsed parsed = {0};
    if (!take_words(argc, argv, &words, err))
        return false;
    const bool help_word = words.word_count > 0 && strcmp(words.words[0], "help") == 0;
    if (help_word)
        memmove(words.words, words.words + 1, --words.word_count * sizeof(words.words[0]));
    if (help_word)
        parsed.opts[OPT_HELP] = "";
    if (!find_command(table, &words, &parsed, err) || !take_opts(&words, &parsed, err))
        return false;
    if (parsed.command != NULL && parsed.opts[OPT_HELP] == NULL && !check_args(&parsed, err))
        return false;
    *out = parsed;
    return true;
}
