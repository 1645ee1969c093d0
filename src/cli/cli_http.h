/* cli_http.h - calls to nsmithd.
 *   - A problem of the server becomes err: its code, detail and hint; cli->unchanged is set when a change failed and
 *     changed nothing.
 *   - Each POST carries a new random Idempotency-Key, and is sent again with it when the connection broke: it acts
 * once.
 *   - Nobody there: ERR_BUSY, with a hint how to start the server. */
#ifndef NSMITH_CLI_HTTP_H
#define NSMITH_CLI_HTTP_H

#include "cli/cli.h"
#include "cli/cli_text.h"

bool cli_get(struct cli *cli, const struct url *url, json_t **out, struct err *err);
/* POST, PUT, DELETE. Adds ?dry_run=true when --dry-run was given. body may be NULL; borrowed. */
bool cli_change(struct cli *cli, const char *method, struct url *url, const json_t *body, json_t **out,
                struct err *err);
bool cli_server_answers(struct cli *cli, uint32_t timeout_ms, json_t **status_out); /* GET /v1/status */
void cli_close(struct cli *cli);

/* Before a dangerous change: asks for the last 4 characters of `full`, or takes --yes with `opt` = all of it.
 * what: "adopt drive". Refused: ERR_UNSAFE, unchanged. With --dry-run nothing is asked. */
bool cli_confirm(struct cli *cli, const char *what, const char *full, enum opt opt, struct err *err);

#endif
