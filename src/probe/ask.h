/* ask.h - what the three checks have in common: the question, and how an answer is noted. Nothing about what makes
 * a device foreign belongs here. */
#ifndef NSMITH_ASK_H
#define NSMITH_ASK_H

#include "probe/probe.h"

#include <sys/stat.h>

struct ask {
    const char *path; /* borrowed, as are the others */
    struct nsid nsid;
    const struct probe_options *options;
    struct foreign_list *out;
};

/* Adds a finding; bytes that are not printable (labels are anybody's text) become '?'. */
void ask_found(const struct ask *ask, enum foreign_kind kind, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Opens for reading, with `flags` more; without O_DIRECT where the file system has none. Compares with
 * options->node. -1: noted as FOREIGN_UNREADABLE. */
int ask_open(const struct ask *ask, int flags, struct stat *st);

void ask_closep(int *fd); /* -1 is fine */
#define auto_close __attribute__((cleanup(ask_closep)))

#endif
