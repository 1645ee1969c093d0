/* cli_task.h - waiting for what a drive was asked to do (model/task.h). */
#ifndef NSMITH_CLI_TASK_H
#define NSMITH_CLI_TASK_H

#include "cli/cli.h"

/* answer: of the POST that asked; *drive_out: the drive when it was over (a new reference), NULL when interrupted.
 * A task that was refused or failed is an error. */
bool task_wait(struct cli *cli, const json_t *answer, json_t **drive_out, struct err *err);

#endif
