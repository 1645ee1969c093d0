#include "cli/cli_wait.h"

#include "base/must.h"
#include "base/text.h"

#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { LOOK_MS_MIN = 50, LOOK_MS_MAX = 500, AWAY_MS_MAX = 15000 };

/* A signal handler can reach nothing else. */
static volatile sig_atomic_t interrupted;

static void on_interrupt(int number)
{
    (void)number;
    interrupted = 1;
}

uint64_t cli_now_ms(void)
{
    struct timespec now;
    must(clock_gettime(CLOCK_MONOTONIC, &now) == 0);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

struct progress {
    bool terminal, open; /* open: the cursor stands behind an unfinished line */
    size_t width;
    char state[160];
};

static void progress_show(struct progress *progress, const struct wait_view *view)
{
    if (!progress->terminal) {
        if (view->state[0] != '\0' && strcmp(progress->state, view->state) != 0)
            fprintf(stderr, "%s\n", view->state);
        text_cut(progress->state, sizeof(progress->state), view->state);
        return;
    }
    char line[300];
    snprintf(line, sizeof(line), "%s%s%s", view->state, view->detail[0] != '\0' ? ", " : "", view->detail);
    const size_t len = strlen(line);
    if (len == 0 && !progress->open)
        return;
    fprintf(stderr, "\r%s%*s", line, (int)(progress->width > len ? progress->width - len : 0), "");
    fflush(stderr);
    progress->width = len;
    progress->open = len > 0 || progress->open;
}

static void progress_end(struct progress *progress)
{
    if (progress->open)
        fputc('\n', stderr);
    progress->open = false;
}

static bool timeout_read(const struct cli *cli, uint64_t now_ms, uint64_t *deadline_out, struct err *err)
{
    uint64_t seconds = 0;
    *deadline_out = UINT64_MAX;
    if (!cli_has(cli, OPT_TIMEOUT))
        return true;
    if (!text_u64(cli->opts[OPT_TIMEOUT], &seconds) || seconds > 31536000) {
        err_set(err, ERR_INPUT, "cannot wait '%.40s' seconds: that is not a number of seconds", cli->opts[OPT_TIMEOUT]);
        return err_hint(err, "for example --timeout 60");
    }
    *deadline_out = now_ms + seconds * 1000;
    return true;
}

/* One look; a server that does not answer is no failure until it has been away for long. */
static bool look(struct cli *cli, const struct wait_job *job, struct wait_view *view, uint64_t *away_since,
                 struct err *err)
{
    struct err one = {0};
    *view = (struct wait_view){0};
    if (job->look(cli, job->ctx, view, &one)) {
        *away_since = 0;
        return true;
    }
    const uint64_t now = cli_now_ms();
    *away_since = *away_since == 0 ? now : *away_since;
    if (one.kind != ERR_BUSY || now - *away_since > AWAY_MS_MAX) {
        *err = one;
        return false;
    }
    *view = (struct wait_view){.state = "waiting for the server"};
    return true;
}

static void pause_ms(uint64_t ms)
{
    const struct timespec time = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};
    nanosleep(&time, NULL);
}

static bool wait_loop(struct cli *cli, const struct wait_job *job, uint64_t deadline_ms, struct progress *progress,
                      struct err *err)
{
    uint64_t pause = LOOK_MS_MIN, away_since = 0;
    while (!interrupted) {
        struct wait_view view;
        if (!look(cli, job, &view, &away_since, err))
            return false;
        progress_show(progress, &view);
        if (view.done)
            return true;
        if (cli_now_ms() >= deadline_ms) {
            err_set(err, ERR_BUSY, "cannot wait longer than %s s; the work goes on", cli->opts[OPT_TIMEOUT]);
            return err_hint(err, "see how far it is: %s", job->again);
        }
        pause_ms(pause);
        pause = pause * 3 / 2 < LOOK_MS_MAX ? pause * 3 / 2 : LOOK_MS_MAX;
    }
    return true;
}

bool cli_wait(struct cli *cli, const struct wait_job *job, bool *interrupted_out, struct err *err)
{
    const struct sigaction action = {.sa_handler = on_interrupt}; /* no SA_RESTART: the pause ends */
    struct sigaction before;
    struct progress progress = {.terminal = isatty(STDERR_FILENO) == 1};
    uint64_t deadline;
    *interrupted_out = false;
    if (!timeout_read(cli, cli_now_ms(), &deadline, err))
        return false;
    interrupted = 0;
    must(sigaction(SIGINT, &action, &before) == 0);
    const bool ok = wait_loop(cli, job, deadline, &progress, err);
    must(sigaction(SIGINT, &before, NULL) == 0);
    progress_end(&progress);
    if (!ok || !interrupted)
        return ok;
    fprintf(stderr, "nsmith: interrupted; the work goes on\nhint: see how far it is: %s\n", job->again);
    *interrupted_out = true;
    cli->exit_code = 130;
    return true;
}
