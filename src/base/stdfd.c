#include "base/stdfd.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

bool stdfd_fill(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) >= 0)
            continue;
        /* The lowest free number, which is this one. Not close-on-exec: a child needs it as well. */
        if (errno != EBADF || open("/dev/null", O_RDONLY) != fd)
            return false;
    }
    return true;
}
