#include "cli/cli_args.h"

#include "base/must.h"
#include "base/text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MIB = 1 << 20, PATH_ARG_MAX = 4096 };

bool arg_needed(const struct cli *cli, enum opt opt, struct err *err)
{
    const struct opt_row *row = &opt_rows[opt];
    if (cli_has(cli, opt))
        return true;
    err_set(err, ERR_INPUT, "cannot do '%s %s': --%s %s is missing", cli->command->noun, cli->command->verb, row->name,
            row->value);
    return err_hint(err, "for example: %s", cli->command->example);
}

bool arg_text(const struct cli *cli, enum opt opt, json_t *body, const char *field, struct err *err)
{
    if (!cli_has(cli, opt))
        return true;
    json_t *text = json_string(cli->opts[opt]);
    if (text == NULL)
        return err_set(err, ERR_INPUT, "cannot use --%s: the text is not UTF-8", opt_rows[opt].name);
    must(json_object_set_new(body, field, text) == 0);
    return true;
}

static bool bad(const struct cli *cli, enum opt opt, const char *what, struct err *err)
{
    return err_set(err, ERR_INPUT, "cannot use --%s '%.60s': %s", opt_rows[opt].name, cli->opts[opt], what);
}

bool arg_number(const struct cli *cli, enum opt opt, json_t *body, const char *field, struct err *err)
{
    uint64_t number;
    if (!cli_has(cli, opt))
        return true;
    if (!text_u64(cli->opts[opt], &number) || number > INT32_MAX)
        return bad(cli, opt, "it is not a number", err) || err_hint(err, "for example --%s 2", opt_rows[opt].name);
    must(json_object_set_new(body, field, json_integer((json_int_t)number)) == 0);
    return true;
}

bool arg_size(const struct cli *cli, enum opt opt, json_t *body, const char *field, struct err *err)
{
    uint64_t bytes;
    if (!cli_has(cli, opt))
        return true;
    if (!text_size(cli->opts[opt], &bytes) || bytes > INT64_MAX)
        return bad(cli, opt, "it is not a size", err) ||
               err_hint(err, "write 500G (500,000,000,000 bytes), 465GiB, 64MiB or bytes");
    must(json_object_set_new(body, field, json_integer((json_int_t)bytes)) == 0);
    return true;
}

bool arg_memory(const struct cli *cli, enum opt opt, json_t *body, const char *field, struct err *err)
{
    if (!arg_size(cli, opt, body, field, err))
        return false;
    if (!cli_has(cli, opt) || json_integer_value(json_object_get(body, field)) % MIB == 0)
        return true;
    return bad(cli, opt, "it is not a whole number of MiB", err) ||
           err_hint(err, "write memory in binary units, such as 512MiB or 8GiB");
}

/* The agent opens the file, and has another working folder. The file may be on another host, so it need not exist. */
bool arg_path(const struct cli *cli, enum opt opt, json_t *body, const char *field, struct err *err)
{
    char path[PATH_ARG_MAX], here[PATH_ARG_MAX];
    if (!cli_has(cli, opt))
        return true;
    if (cli->opts[opt][0] == '/' || cli->opts[opt][0] == '\0')
        return arg_text(cli, opt, body, field, err);
    char *real = realpath(cli->opts[opt], NULL);
    if (real == NULL && getcwd(here, sizeof(here)) == NULL)
        return err_sys(err, errno, "cannot find the working folder");
    const int len = real != NULL ? snprintf(path, sizeof(path), "%s", real)
                                 : snprintf(path, sizeof(path), "%s/%s", here, cli->opts[opt]);
    free(real);
    if (len < 0 || (size_t)len >= sizeof(path))
        return bad(cli, opt, "the path is too long", err);
    json_t *text = json_string(path);
    if (text == NULL)
        return bad(cli, opt, "the path is not UTF-8", err);
    must(json_object_set_new(body, field, text) == 0);
    return true;
}
