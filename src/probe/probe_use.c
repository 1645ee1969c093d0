/* Second check: who uses it, as the kernel tells. The parts that read sysfs and procfs are in use_*.c; here is what
 * the device itself answers: an exclusive open, and locks. */
#include "probe/ask.h"
#include "probe/probe.h"
#include "probe/use.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* Mounts, swap, MD, device-mapper, bcache and ZFS hold a block device (or the partition table's whole device)
 * exclusively; O_EXCL without O_CREAT asks for the same (open(2)). In whatever namespace they live. */
static void try_exclusive(const struct ask *ask)
{
    auto_close int fd = open(ask->path, O_RDONLY | O_EXCL | O_CLOEXEC | O_NONBLOCK);
    if (fd >= 0)
        return;
    if (errno == EBUSY)
        ask_found(ask, FOREIGN_HOLDER, "the kernel or a program holds it exclusively: %s", ask->path);
    else
        ask_found(ask, FOREIGN_UNREADABLE, "cannot open %s exclusively: %s", ask->path, strerror(errno));
}

/* First lock that another descriptor has between two bytes (to 0: to the end). */
static void try_lock(const struct ask *ask, int fd, off_t from, off_t to)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = from, .l_len = to == 0 ? 0 : to - from};
    if (fcntl(fd, F_OFD_GETLK, &lock) < 0)
        ask_found(ask, FOREIGN_UNREADABLE, "cannot ask for locks on %s: %s", ask->path, strerror(errno));
    else if (lock.l_type != F_UNLCK)
        ask_found(ask, FOREIGN_OPEN, "a program has locked byte %jd of %s%s", (intmax_t)lock.l_start, ask->path,
                  lock.l_start >= 100 && lock.l_start < 300 ? " (as QEMU does)" : "");
}

/* QEMU locks bytes 100 to 163 (what it does) and 200 to 263 (what it lets others do): block/file-posix.c,
 * RAW_LOCK_PERM_BASE and RAW_LOCK_SHARED_BASE. The process that serves a software drive may have locks elsewhere,
 * which F_OFD_GETLK does not attribute to a process; so with such a process only QEMU's bytes are asked for. */
static void try_locks(const struct ask *ask, int fd)
{
    if (ask->options->allowed_count > 0) {
        try_lock(ask, fd, 100, 164);
        try_lock(ask, fd, 200, 264);
    } else {
        try_lock(ask, fd, 0, 0);
    }
}

void probe_use(const char *path, struct nsid nsid, const struct probe_options *options, struct foreign_list *out)
{
    const struct ask ask = {.path = path, .nsid = nsid, .options = options, .out = out};
    struct stat st;
    auto_close int fd = ask_open(&ask, 0, &st);
    if (fd < 0)
        return;
    struct use use = {.ask = &ask, .roots = &use_real_roots, .block = S_ISBLK(st.st_mode), .ino = st.st_ino};
    use.dev = use.block ? st.st_rdev : st.st_dev;
    if (use.block && options->pass_over_denied)
        ask_found(&ask, FOREIGN_UNREADABLE, "not every process may be looked into, for a block device: %s", path);
    if (use.block)
        try_exclusive(&ask);
    else
        try_locks(&ask, fd);
    use_find_all(&use);
}
