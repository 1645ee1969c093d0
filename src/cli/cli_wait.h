/* cli_wait.h - waiting until a change is done, with one progress line.
 *   - On a terminal the line is redrawn in place; else a line is written only when the state changed.
 *   - Ctrl-C ends the waiting, not the work, says so, and the exit code is 130.
 *   - A server that is away for some seconds (restarted) is waited for. */
#ifndef NSMITH_CLI_WAIT_H
#define NSMITH_CLI_WAIT_H

#include "cli/cli.h"

struct wait_view {
    bool done;
    char state[160];  /* what changes rarely: "erasing: 1 of 4 slices free" */
    char detail[120]; /* what changes often: "42 %"; shown on a terminal only */
};

struct wait_job {
    bool (*look)(struct cli *cli, void *ctx, struct wait_view *view, struct err *err); /* false: it failed for good */
    void *ctx;
    const char *again; /* command that shows how far it is */
};

/* *interrupted_out: Ctrl-C, already said; cli->exit_code is set. Needs no call with --no-wait. */
bool cli_wait(struct cli *cli, const struct wait_job *job, bool *interrupted_out, struct err *err);

uint64_t cli_now_ms(void); /* CLOCK_MONOTONIC */

#endif
