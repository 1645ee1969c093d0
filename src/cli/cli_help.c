/* Help and completion, from the tables of commands and options. */
#include "base/must.h"
#include "cli/cli.h"

#include <string.h>

static void put_name(FILE *to, const struct command *command)
{
    fprintf(to, "nsmith %s", command->noun);
    if (command->verb != NULL)
        fprintf(to, " %s", command->verb);
}

static void put_line(FILE *to, const struct command *command)
{
    char left[80];
    snprintf(left, sizeof(left), "%s%s%s%s%s", command->noun, command->verb != NULL ? " " : "",
             command->verb != NULL ? command->verb : "", command->args[0] != '\0' ? " " : "", command->args);
    fprintf(to, "  %-28s %s\n", left, command->help);
}

static void put_option(FILE *to, const struct opt_row *row)
{
    char left[64];
    snprintf(left, sizeof(left), "%s%c%s --%s%s%s", row->letter != 0 ? "-" : " ", row->letter != 0 ? row->letter : ' ',
             row->letter != 0 ? "," : " ", row->name, row->value != NULL ? " " : "",
             row->value != NULL ? row->value : "");
    fprintf(to, "  %-28s %s\n", left, row->help);
}

void help_all(FILE *to, const struct command_table *table)
{
    fputs("Usage: nsmith COMMAND [ARGUMENT...] [OPTION...]\n"
          "Gives virtual machines their host's NVMe SSDs, one hardware namespace at a time.\n\n",
          to);
    const char *noun = "";
    bool grouped = false; /* the commands of one noun stand together */
    for (size_t i = 0; i < table->count; i++) {
        if ((table->at[i].verb != NULL || grouped) && strcmp(noun, table->at[i].noun) != 0)
            fputc('\n', to);
        noun = table->at[i].noun;
        grouped = table->at[i].verb != NULL;
        put_line(to, &table->at[i]);
    }
    fputs("\nOptions of all commands:\n", to);
    for (size_t i = 0; i < OPT_COUNT; i++)
        if ((OPTS_COMMON & 1ull << i) != 0)
            put_option(to, &opt_rows[i]);
    fputs("\nMore: nsmith COMMAND --help. Exit codes: nsmith explain\n", to);
}

void help_noun(FILE *to, const struct command_table *table, const char *noun)
{
    fprintf(to, "Usage: nsmith %s COMMAND [ARGUMENT...] [OPTION...]\n\n", noun);
    for (size_t i = 0; i < table->count; i++)
        if (strcmp(table->at[i].noun, noun) == 0)
            put_line(to, &table->at[i]);
    fprintf(to, "\nMore: nsmith %s COMMAND --help\n", noun);
}

void help_command(FILE *to, const struct command *command)
{
    fprintf(to, "Example: %s\n\nUsage: ", command->example);
    put_name(to, command);
    fprintf(to, "%s%s [OPTION...]\n%s.\n\nOptions:\n", command->args[0] != '\0' ? " " : "", command->args,
            command->help);
    for (size_t i = 0; i < OPT_COUNT; i++)
        if ((command->options & 1ull << i) != 0)
            put_option(to, &opt_rows[i]);
    if (command->options != 0)
        fputc('\n', to);
    for (size_t i = 0; i < OPT_COUNT; i++)
        if ((OPTS_COMMON & 1ull << i) != 0)
            put_option(to, &opt_rows[i]);
}

/* ---- for programs --------------------------------------------------------------------------------------------- */

static json_t *options_json(uint64_t options)
{
    json_t *list = json_array();
    for (size_t i = 0; i < OPT_COUNT; i++)
        if ((options & 1ull << i) != 0)
            must(json_array_append_new(list, json_pack("{s:s, s:s*, s:s}", "name", opt_rows[i].name, "value",
                                                       opt_rows[i].value, "help", opt_rows[i].help)) == 0);
    return list;
}

static json_t *command_json(const struct command *command)
{
    json_t *json =
        json_pack("{s:s, s:s*, s:s, s:i, s:i, s:s, s:s, s:o}", "noun", command->noun, "verb", command->verb, "args",
                  command->args, "args_min", (int)command->args_min, "args_max", (int)command->args_max, "help",
                  command->help, "example", command->example, "options", options_json(command_options(command)));
    must(json != NULL);
    return json;
}

void help_json(FILE *to, const struct command_table *table, const struct parsed *parsed)
{
    auto_json *items = json_array();
    for (size_t i = 0; i < table->count; i++) {
        const struct command *command = &table->at[i];
        const bool meant = parsed->command != NULL ? command == parsed->command
                                                   : parsed->noun == NULL || strcmp(parsed->noun, command->noun) == 0;
        if (meant)
            must(json_array_append_new(items, command_json(command)) == 0);
    }
    auto_json *list = json_pack("{s:O}", "items", items);
    json_dumpf(list, to, JSON_COMPACT);
    fputc('\n', to);
}

/* ---- bash completion ------------------------------------------------------------------------------------------ */

static bool is_first_of_noun(const struct command_table *table, size_t i)
{
    for (size_t j = 0; j < i; j++)
        if (strcmp(table->at[j].noun, table->at[i].noun) == 0)
            return false;
    return true;
}

static void completion_verbs(FILE *to, const struct command_table *table)
{
    for (size_t i = 0; i < table->count; i++) {
        if (!is_first_of_noun(table, i) || table->at[i].verb == NULL)
            continue;
        fprintf(to, "    %s) verbs='", table->at[i].noun);
        for (size_t j = i; j < table->count; j++)
            if (strcmp(table->at[j].noun, table->at[i].noun) == 0)
                fprintf(to, "%s%s", j > i ? " " : "", table->at[j].verb);
        fputs("' ;;\n", to);
    }
}

static void completion_options(FILE *to, const struct command_table *table)
{
    for (size_t i = 0; i < table->count; i++) {
        const struct command *command = &table->at[i];
        fprintf(to, "    '%s %s') opts='", command->noun, command->verb != NULL ? command->verb : "");
        const char *space = "";
        for (size_t j = 0; j < OPT_COUNT; j++)
            if ((command_options(command) & 1ull << j) != 0) {
                fprintf(to, "%s--%s%s", space, opt_rows[j].name, opt_rows[j].value != NULL ? "=" : "");
                space = " ";
            }
        fputs("' ;;\n", to);
    }
}

void help_completion(FILE *to, const struct command_table *table)
{
    fputs("# bash completion of nsmith. Use it with: source <(nsmith completion bash)\n"
          "_nsmith()\n{\n"
          "  local cur=${COMP_WORDS[COMP_CWORD]} noun=${COMP_WORDS[1]} verb= verbs= opts= col=\n"
          "  COMPREPLY=()\n"
          "  if [ \"$COMP_CWORD\" -eq 1 ]; then\n    COMPREPLY=($(compgen -W '",
          to);
    for (size_t i = 0; i < table->count; i++)
        if (is_first_of_noun(table, i))
            fprintf(to, "%s ", table->at[i].noun);
    fputs("--help' -- \"$cur\"))\n    return\n  fi\n  case $noun in\n", to);
    completion_verbs(to, table);
    fputs("  esac\n"
          "  if [ -n \"$verbs\" ]; then\n"
          "    if [ \"$COMP_CWORD\" -eq 2 ]; then COMPREPLY=($(compgen -W \"$verbs --help\" -- \"$cur\")); return; fi\n"
          "    verb=${COMP_WORDS[2]}\n"
          "  fi\n"
          "  case \"$noun $verb\" in\n",
          to);
    completion_options(to, table);
    fputs("  esac\n"
          "  if [[ $cur == -* ]]; then\n"
          "    COMPREPLY=($(compgen -W \"$opts\" -- \"$cur\"))\n"
          "    [[ ${COMPREPLY[0]} == *= ]] && compopt -o nospace\n"
          "    return\n"
          "  fi\n"
          "  case $noun in\n"
          "    drive) col=SERIAL ;;\n"
          "    class|flavor|host|vm) col=NAME ;;\n"
          "    slice|claim|erasure) col=ID ;;\n"
          "  esac\n"
          "  if [ -n \"$col\" ] && [ \"$COMP_CWORD\" -eq 3 ] && [ \"$verb\" != ls ]; then\n"
          "    COMPREPLY=($(compgen -W \"$(nsmith \"$noun\" ls --no-headings -o \"$col\" 2>/dev/null)\" -- \"$cur\"))\n"
          "  fi\n"
          "}\n"
          "complete -o default -F _nsmith nsmith\n",
          to);
}
