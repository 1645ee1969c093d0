/* cli_args.h - values of options, read strictly. false: ERR_INPUT that names the option. */
#ifndef NSMITH_CLI_ARGS_H
#define NSMITH_CLI_ARGS_H

#include "cli/cli.h"

/* Sets `field` of body from the option when it was given; nothing when not. */
bool arg_text(const struct cli *cli, enum opt opt, json_t *body, const char *field, struct err *err);
bool arg_number(const struct cli *cli, enum opt opt, json_t *body, const char *field, struct err *err);
bool arg_memory(const struct cli *cli, enum opt opt, json_t *body, const char *field, struct err *err); /* whole MiB */
bool arg_size(const struct cli *cli, enum opt opt, json_t *body, const char *field, struct err *err);
bool arg_path(const struct cli *cli, enum opt opt, json_t *body, const char *field,
              struct err *err); /* made absolute */
bool arg_needed(const struct cli *cli, enum opt opt, struct err *err);

#endif
