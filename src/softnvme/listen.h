/* listen.h - a unix socket to listen on. */
#ifndef NSMITH_LISTEN_H
#define NSMITH_LISTEN_H

#include "base/err.h"

/* A socket file that nobody listens on is left over from a process that was killed: it goes. ERR_CONFLICT: somebody
 * does; `option` is what would name another place. */
bool listen_unix(const char *path, const char *option, int *out, struct err *err);

#endif
