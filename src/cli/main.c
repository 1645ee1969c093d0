/* nsmith - the command line of nsmithd and nsmith-agent. This file reads the words, runs one command, prints its error.
 */
#include "cli/cli.h"
#include "cli/cli_http.h"

#include "base/stdfd.h"

#include <errno.h>
#include <locale.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

static void put_error(const struct err *err, bool unchanged)
{
    fflush(stdout);
    fputs("nsmith: ", stderr);
    cli_put(stderr, err->msg);
    fputc('\n', stderr);
    if (unchanged)
        fputs("nothing was changed\n", stderr);
    if (err->hint[0] != '\0') {
        fputs("hint: ", stderr);
        cli_put(stderr, err->hint);
        fputc('\n', stderr);
    }
}

static const char *environment(const char *name, const char *otherwise)
{
    const char *value = getenv(name);
    return value != NULL && value[0] != '\0' ? value : otherwise;
}

static bool find_server(struct cli *cli, struct err *err)
{
    const char *server = cli_has(cli, OPT_SERVER) ? cli->opts[OPT_SERVER] : environment("NSMITH_SERVER", NULL);
    cli->run = cli_has(cli, OPT_RUN) ? cli->opts[OPT_RUN] : environment("NSMITH_RUN_DIR", "/run/nsmith");
    if (cli_has(cli, OPT_RUN) && !cli_has(cli, OPT_SERVER))
        server = NULL; /* what was said now is nearer than the environment */
    const int len = server != NULL ? snprintf(cli->server, sizeof(cli->server), "%s", server)
                                   : snprintf(cli->server, sizeof(cli->server), "unix:%s/nsmithd.sock", cli->run);
    if (len >= 0 && (size_t)len < sizeof(cli->server))
        return true;
    err_set(err, ERR_INPUT, "cannot use the server's address: it is longer than %zu characters",
            sizeof(cli->server) - 1);
    return err_hint(err, "a unix socket's path has 107 characters at the most");
}

static int help(const struct parsed *parsed, bool asked)
{
    FILE *to = asked ? stdout : stderr;
    if (asked && parsed->opts[OPT_JSON] != NULL)
        help_json(to, &commands, parsed);
    else if (parsed->command != NULL)
        help_command(to, parsed->command);
    else if (parsed->noun != NULL)
        help_noun(to, &commands, parsed->noun);
    else
        help_all(to, &commands);
    return asked ? 0 : err_kind_exit(ERR_INPUT);
}

static int run(const struct parsed *parsed)
{
    struct cli cli = {.command = parsed->command, .arg_count = parsed->arg_count};
    struct err err = {0};
    memcpy(cli.args, parsed->args, sizeof(cli.args));
    memcpy(cli.opts, parsed->opts, sizeof(cli.opts));
    const bool ok = find_server(&cli, &err) && parsed->command->fn(&cli, &err);
    if (!ok)
        put_error(&err, cli.unchanged);
    cli_close(&cli);
    return ok ? cli.exit_code : err_kind_exit(err.kind);
}

/* What did not reach the reader was not said: a full disk, a reader that has gone away. */
static int finish(int code)
{
    const bool lost = ferror(stdout) != 0; /* an earlier write; its errno is gone */
    struct err err = {0};
    if (fflush(stdout) == 0 && !lost)
        return code;
    err_set(&err, ERR_FAILED, "cannot write the output: %s", lost ? "not all of it was taken" : strerror(errno));
    err_hint(&err, "what was asked for is done as far as it goes; look at it again");
    put_error(&err, false);
    return code != 0 ? code : err_kind_exit(err.kind);
}

int main(int argc, char **argv)
{
    struct parsed parsed;
    struct err err = {0};
    if (!stdfd_fill())
        return err_kind_exit(ERR_FAILED);
    setlocale(LC_CTYPE, ""); /* widths of characters in tables */
    signal(SIGPIPE, SIG_DFL);
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        puts("nsmith " NSMITH_VERSION);
        return finish(0);
    }
    if (!cli_parse(&commands, argc, argv, &parsed, &err)) {
        put_error(&err, false);
        return err_kind_exit(err.kind);
    }
    if (parsed.opts[OPT_HELP] != NULL || parsed.command == NULL)
        return finish(help(&parsed, parsed.opts[OPT_HELP] != NULL));
    return finish(run(&parsed));
}
