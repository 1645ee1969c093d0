#include "probe/probe.h"

#include "probe/ask.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* The same found twice (a mount in two namespaces) must not push others out of the list. */
static bool is_noted(const struct ask *ask, enum foreign_kind kind, const char *text)
{
    for (size_t i = 0; i < ask->out->count; i++) {
        const struct foreign *noted = &ask->out->at[i];
        if (noted->kind == kind && nsid_eq(noted->nsid, ask->nsid) &&
            strncmp(noted->detail, text, sizeof(noted->detail) - 1) == 0)
            return true;
    }
    return false;
}

void ask_found(const struct ask *ask, enum foreign_kind kind, const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    for (char *c = text; *c != '\0'; c++)
        if (*c < ' ' || *c > '~')
            *c = '?';
    if (!is_noted(ask, kind, text))
        foreign_add(ask->out, kind, ask->nsid, text);
}

void ask_closep(int *fd)
{
    if (*fd >= 0)
        close(*fd);
}

static bool is_meant(const struct probe_node *node, const struct stat *st)
{
    if (node->dev == 0 && node->ino == 0 && node->rdev == 0)
        return true;
    return node->dev == st->st_dev && node->ino == st->st_ino && node->rdev == st->st_rdev;
}

int ask_open(const struct ask *ask, int flags, struct stat *st)
{
    flags |= O_RDONLY | O_CLOEXEC | O_NONBLOCK; /* O_NONBLOCK: a fifo must not hang us */
    int fd = open(ask->path, flags);
    if (fd < 0 && errno == EINVAL && (flags & O_DIRECT) != 0)
        fd = open(ask->path, flags & ~O_DIRECT);
    if (fd < 0 || fstat(fd, st) < 0)
        ask_found(ask, FOREIGN_UNREADABLE, "cannot open %s: %s", ask->path, strerror(errno));
    else if (!S_ISBLK(st->st_mode) && !S_ISREG(st->st_mode))
        ask_found(ask, FOREIGN_UNREADABLE, "neither a block device nor a file: %s", ask->path);
    else if (!is_meant(&ask->options->node, st))
        ask_found(ask, FOREIGN_UNREADABLE, "another device than was identified is now at %s", ask->path);
    else
        return fd;
    ask_closep(&fd);
    return -1;
}

void probe_all(const char *path, struct nsid nsid, const struct probe_options *options, struct foreign_list *out)
{
    probe_use(path, nsid, options, out);
    probe_signature(path, nsid, options, out);
    probe_blank(path, nsid, options, out);
}
