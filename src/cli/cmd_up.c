/* up, down: the two programs in the background, for a machine without systemd units, for tests and demonstrations. */
#include "base/must.h"
#include "base/text.h"
#include "cli/cli_daemon.h"
#include "cli/cli_http.h"
#include "cli/cli_wait.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { UP_MS_MAX = 20000, DOWN_MS_MAX = 15000, LOOK_MS = 50, LOG_LINES = 8 };

static void pause_look(void)
{
    const struct timespec time = {.tv_nsec = LOOK_MS * 1000000L};
    nanosleep(&time, NULL);
}

static uint64_t unix_ms(void)
{
    struct timespec now;
    must(clock_gettime(CLOCK_REALTIME, &now) == 0);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static const char *state_dir(const struct cli *cli)
{
    const char *environment = getenv("NSMITH_STATE_DIR");
    if (cli_has(cli, OPT_STATE_DIR))
        return cli->opts[OPT_STATE_DIR];
    return environment != NULL && environment[0] != '\0' ? environment : "/var/lib/nsmith";
}

/* Seen at `since_ms` (Unix) or later: for some seconds the server calls a host up whose agent is gone. */
static bool a_host_is_up(struct cli *cli, uint64_t since_ms)
{
    auto_json *hosts = NULL;
    struct err err = {0};
    const struct url url = url_make("/v1/hosts");
    size_t i;
    const json_t *one;
    if (!cli_get(cli, &url, &hosts, &err))
        return false;
    json_array_foreach(cli_items(hosts), i, one)
    {
        const bool ours = !cli_has(cli, OPT_HOST) || strcmp(cli_text(one, "name"), cli->opts[OPT_HOST]) == 0;
        if (ours && json_is_true(json_object_get(one, "up")) && cli_u64(one, "last_seen_ms") >= since_ms)
            return true;
    }
    return false;
}

static bool server_is_up(struct cli *cli, uint64_t since_ms)
{
    (void)since_ms;
    auto_json *status = NULL;
    return cli_server_answers(cli, 2000, &status);
}

/* ---- up ------------------------------------------------------------------------------------------------------- */

static bool start_failed(struct daemon *daemon, struct err *err)
{
    fprintf(stderr, "the last lines of %s:\n", daemon->log);
    daemon_log_tail(daemon, LOG_LINES, stderr);
    err_set(err, ERR_FAILED, "cannot start %s: it %s", daemon->program,
            daemon->ended ? "ended at once" : "is not ready after 20 s");
    return err_hint(err, "correct what its log says: %s", daemon->log);
}

static bool wait_ready(struct cli *cli, struct daemon *daemon, bool (*ready)(struct cli *, uint64_t), uint64_t since_ms,
                       struct err *err)
{
    const uint64_t until = cli_now_ms() + UP_MS_MAX;
    while (!ready(cli, since_ms)) {
        if (!daemon_lives(daemon) || cli_now_ms() > until)
            return start_failed(daemon, err);
        pause_look();
    }
    return true;
}

static bool start_server(struct cli *cli, struct daemon *server, const char *state, const char *run, struct err *err)
{
    const char *const args[] = {"--state", state, "--run", run, NULL};
    return daemon_start(server, args, err) && wait_ready(cli, server, server_is_up, 0, err);
}

static bool absolute(const char *path, char out[DAEMON_PATH_MAX], struct err *err)
{
    char *real = realpath(path, NULL);
    if (real == NULL)
        return err_sys(err, errno, "cannot use '%s'", path);
    const bool fits = text_copy(out, DAEMON_PATH_MAX, real);
    free(real);
    return fits || err_set(err, ERR_INPUT, "cannot use '%s': the path is too long", path);
}

static bool start_agent(struct cli *cli, struct daemon *agent, const char *state, const char *run, struct err *err)
{
    const char *args[16] = {"--state", state, "--run", run};
    char softnvme[DAEMON_PATH_MAX];
    size_t count = 4;
    if (cli_has(cli, OPT_SOFTNVME)) {
        if (!absolute(cli->opts[OPT_SOFTNVME], softnvme, err))
            return err_hint(err, "start the software drives first: nsmith-softnvme --dir DIR --socket %s",
                            cli->opts[OPT_SOFTNVME]);
        args[count++] = "--softnvme";
        args[count++] = softnvme;
    }
    if (cli_has(cli, OPT_VIRT)) {
        args[count++] = "--virt";
        args[count++] = cli->opts[OPT_VIRT];
    }
    if (cli_has(cli, OPT_HOST)) {
        args[count++] = "--host";
        args[count++] = cli->opts[OPT_HOST];
    }
    if (cli_has(cli, OPT_TCG))
        args[count++] = "--tcg";
    must(count < sizeof(args) / sizeof(args[0]));
    const uint64_t now_ms = unix_ms();
    return daemon_start(agent, args, err) && wait_ready(cli, agent, a_host_is_up, now_ms, err);
}

static bool up_answer(struct cli *cli, const char *sentence, struct err *err)
{
    auto_json *status = NULL;
    const struct url url = url_make("/v1/status");
    if (!cli_get(cli, &url, &status, err))
        return false;
    if (cli_has(cli, OPT_JSON)) {
        cli_put_json(status);
        return true;
    }
    puts(sentence);
    cli_put(stdout, cli_text(status, "sentence"));
    putchar('\n');
    return true;
}

static bool up_start(struct cli *cli, bool server_there, const char *state, const char *run, struct err *err)
{
    struct daemon server, agent;
    if (!daemon_init(&server, "nsmithd", run, state, "nsmithd.log", err) ||
        !daemon_init(&agent, "nsmith-agent", run, state, "agent.log", err))
        return false;
    if (!server_there && !start_server(cli, &server, state, run, err)) {
        daemon_undo(&server);
        return false;
    }
    if (daemon_find(&agent)) /* it outlived its server, and finds the new one */
        return wait_ready(cli, &agent, a_host_is_up, 0, err);
    if (start_agent(cli, &agent, state, run, err))
        return true;
    daemon_undo(&agent);
    if (!server_there)
        daemon_undo(&server);
    return false;
}

/* The server thinks a host up for a while after its agent died. Where `up` started the agent, the pid file tells;
 * where a service manager did, there is none, and the server's word counts. */
static bool agent_is_there(const struct cli *cli)
{
    struct daemon agent;
    struct err ignored = {0};
    return !daemon_init(&agent, "nsmith-agent", cli->run, "", "", &ignored) || access(agent.pid_file, F_OK) != 0 ||
           daemon_find(&agent);
}

bool cmd_up(struct cli *cli, struct err *err)
{
    char state[DAEMON_PATH_MAX], run[DAEMON_PATH_MAX];
    const bool server_there = server_is_up(cli, 0);
    if (server_there && agent_is_there(cli) && a_host_is_up(cli, 0))
        return up_answer(cli, "nsmith is up already", err);
    if (cli_has(cli, OPT_DRY_RUN)) {
        printf("would start %snsmith-agent; state in %s, socket in %s\n", server_there ? "" : "nsmithd and ",
               state_dir(cli), cli->run);
        return true;
    }
    if (!daemon_dir(state_dir(cli), 0700, err) || !daemon_dir(cli->run, 0755, err))
        return err_hint(err, "run it as root, or choose folders with --state and --run");
    if (!absolute(state_dir(cli), state, err) || !absolute(cli->run, run, err) ||
        !up_start(cli, server_there, state, run, err))
        return false;
    return up_answer(cli, "nsmith is up", err);
}

/* ---- down ----------------------------------------------------------------------------------------------------- */

static bool stop_one(const struct cli *cli, const char *program, bool *was_there, struct err *err)
{
    struct daemon daemon;
    if (!daemon_init(&daemon, program, cli->run, "", "", err))
        return false;
    if (!daemon_find(&daemon))
        return true;
    *was_there = true;
    if (cli_has(cli, OPT_DRY_RUN)) {
        printf("would stop %s (pid %d)\n", program, (int)daemon.pid);
        return true;
    }
    if (!daemon_end(&daemon, err))
        return false;
    const uint64_t until = cli_now_ms() + DOWN_MS_MAX;
    while (daemon_find(&daemon)) {
        if (cli_now_ms() > until) {
            err_set(err, ERR_BUSY, "cannot stop %s: pid %d is still there after 15 s", program, (int)daemon.pid);
            return err_hint(err, "it may wait for a drive; look again later, or end it: kill -9 %d", (int)daemon.pid);
        }
        pause_look();
    }
    daemon_forget(&daemon);
    return true;
}

bool cmd_down(struct cli *cli, struct err *err)
{
    bool agent = false, server = false;
    if (!stop_one(cli, "nsmith-agent", &agent, err) || !stop_one(cli, "nsmithd", &server, err))
        return false;
    if (!agent && !server)
        printf("nsmith is not up: %s has no pid file of a running program\n", cli->run);
    else if (!cli_has(cli, OPT_DRY_RUN))
        puts("nsmith is down; VMs go on running, and erases go on inside the drives");
    return true;
}
