/* cli_explain.h - what each error code means, and what to do about it. Pure.
 *   - There is a row for each kind of base/err.h; a test walks them all. */
#ifndef NSMITH_CLI_EXPLAIN_H
#define NSMITH_CLI_EXPLAIN_H

#include "base/err.h"

struct explain {
    const char *meaning, *todo;
};

struct explain explain_kind(enum err_kind kind);
/* By name ("does-not-fit") or exit code ("5"). false: there is no such code. */
bool explain_find(const char *text, enum err_kind *out);

#endif
