#include "softnvme/listen.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* 0 when somebody answers there, else why nobody does. */
static int nobody_at(const struct sockaddr_un *at)
{
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return errno;
    const bool answers = connect(fd, (const struct sockaddr *)at, sizeof(*at)) == 0 || errno == EAGAIN;
    const int sys = errno;
    close(fd);
    return answers ? 0 : sys;
}

bool listen_unix(const char *path, const char *option, int *out, struct err *err)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(at.sun_path))
        return err_set(err, ERR_INPUT, "cannot listen on '%s': the path is longer than %zu characters", path,
                       sizeof(at.sun_path) - 1);
    strncpy(at.sun_path, path, sizeof(at.sun_path) - 1);
    const int why = nobody_at(&at);
    if (why == 0) {
        err_set(err, ERR_CONFLICT, "cannot listen on '%s': another process does", path);
        return err_hint(err, "end that one, or give another %s", option);
    }
    if (why == ECONNREFUSED)
        unlink(path);
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return err_sys(err, errno, "cannot make a socket");
    const mode_t mask = umask(0117);
    const bool ok = bind(fd, (const struct sockaddr *)&at, sizeof(at)) == 0 && listen(fd, 64) == 0;
    const int sys = errno;
    umask(mask);
    if (!ok) {
        close(fd);
        return err_sys(err, sys, "cannot listen on '%s'", path);
    }
    *out = fd;
    return true;
}
