/* cli.h - what the files of the command line share: one run of one command.
 *   - A command fills err and returns false, or prints its result and returns true; main.c prints errors and exits.
 *   - Data goes to stdout, messages go to stderr. */
#ifndef NSMITH_CLI_H
#define NSMITH_CLI_H

#include "base/err.h"
#include "cli/cli_opts.h"

#include <jansson.h>
#include <stddef.h>

struct http_client;

struct cli {
    const struct command *command;
    const char *args[CLI_ARGS_MAX]; /* borrowed from argv */
    size_t arg_count;
    const char *opts[OPT_COUNT]; /* NULL: not given; "" for one without a value. Borrowed from argv */
    const char *run;             /* folder of the socket and the pid files */
    char server[160];            /* address of nsmithd */
    struct http_client *client;  /* owned, opened at the first call */
    bool unchanged;              /* a change failed, and the world is as it was */
    int exit_code;               /* of a command that returned true */
};

static inline bool cli_has(const struct cli *cli, enum opt opt)
{
    return cli->opts[opt] != NULL;
}

/* Writes text of others to `to`: control characters become '?', so that none reaches the terminal. */
void cli_put(FILE *to, const char *text);
/* The JSON of the server as it came (--json), or of our own; with a newline. */
void cli_put_json(const json_t *json);

static inline void json_drop(json_t **json)
{
    json_decref(*json);
    *json = NULL;
}
#define auto_json __attribute__((cleanup(json_drop))) json_t

/* Members of objects from the server, read defensively: what is missing or of another type is "", 0, or empty. */
const char *cli_text(const json_t *object, const char *name);
uint64_t cli_u64(const json_t *object, const char *name);
const json_t *cli_items(const json_t *list); /* of {"items": [...]}; NULL, which jansson takes as empty */

/* The functions of the table, one file a noun. */
typedef bool (*command_fn)(struct cli *cli, struct err *err);

bool cmd_up(struct cli *cli, struct err *err);
bool cmd_down(struct cli *cli, struct err *err);
bool cmd_status(struct cli *cli, struct err *err);
bool cmd_wait(struct cli *cli, struct err *err);
bool cmd_version(struct cli *cli, struct err *err);
bool cmd_explain(struct cli *cli, struct err *err);
bool cmd_completion(struct cli *cli, struct err *err);
bool cmd_host_ls(struct cli *cli, struct err *err);
bool cmd_host_show(struct cli *cli, struct err *err);
bool cmd_drive_ls(struct cli *cli, struct err *err);
bool cmd_drive_show(struct cli *cli, struct err *err);
bool cmd_drive_adopt(struct cli *cli, struct err *err);
bool cmd_drive_drain(struct cli *cli, struct err *err);
bool cmd_drive_retry(struct cli *cli, struct err *err);
bool cmd_drive_resume(struct cli *cli, struct err *err);
bool cmd_drive_probe(struct cli *cli, struct err *err);
bool cmd_drive_firmware(struct cli *cli, struct err *err);
bool cmd_slice_ls(struct cli *cli, struct err *err);
bool cmd_slice_show(struct cli *cli, struct err *err);
bool cmd_slice_retry(struct cli *cli, struct err *err);
bool cmd_slice_retire(struct cli *cli, struct err *err);
bool cmd_class_ls(struct cli *cli, struct err *err);
bool cmd_class_set(struct cli *cli, struct err *err);
bool cmd_flavor_ls(struct cli *cli, struct err *err);
bool cmd_flavor_set(struct cli *cli, struct err *err);
bool cmd_flavor_delete(struct cli *cli, struct err *err);
bool cmd_claim_create(struct cli *cli, struct err *err);
bool cmd_claim_ls(struct cli *cli, struct err *err);
bool cmd_claim_show(struct cli *cli, struct err *err);
bool cmd_claim_release(struct cli *cli, struct err *err);
bool cmd_vm_create(struct cli *cli, struct err *err);
bool cmd_vm_ls(struct cli *cli, struct err *err);
bool cmd_vm_show(struct cli *cli, struct err *err);
bool cmd_vm_start(struct cli *cli, struct err *err);
bool cmd_vm_stop(struct cli *cli, struct err *err);
bool cmd_vm_reboot(struct cli *cli, struct err *err);
bool cmd_vm_delete(struct cli *cli, struct err *err);
bool cmd_vm_console(struct cli *cli, struct err *err);
bool cmd_erasure_ls(struct cli *cli, struct err *err);
bool cmd_erasure_show(struct cli *cli, struct err *err);
bool cmd_erasure_verify(struct cli *cli, struct err *err);

#endif
