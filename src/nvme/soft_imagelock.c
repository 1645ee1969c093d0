/* soft_imagelock.c - QEMU's protocol of byte locks (QEMU, block/file-posix.c, raw_check_lock_bytes and around):
 * byte 100 + p: somebody uses permission p; byte 200 + p: somebody does not share it. All take read locks, which do
 * not hinder each other, and then ask whether a write lock would be possible on the opposite bytes. Both of two who
 * come at once may be refused, never both accepted. */
#include "nvme/soft_imagelock.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

enum { PERM_BASE = 100, UNSHARED_BASE = 200, PERM_CONSISTENT_READ = 0, PERM_WRITE = 1, PERM_COUNT = 4 };

static bool take(int fd, int byte)
{
    struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};
    return fcntl(fd, F_OFD_SETLK, &lock) == 0;
}

static bool somebody_has(int fd, int byte, bool *out)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};
    if (fcntl(fd, F_OFD_GETLK, &lock) < 0)
        return false;
    *out = lock.l_type != F_UNLCK;
    return true;
}

static bool busy(const char *path, struct err *err)
{
    err_set(err, ERR_BUSY, "cannot open '%s': it is in use", path);
    return err_hint(err, "see who has it open with: lsof %s", path);
}

static bool check(int fd, int base, int perm, const char *path, struct err *err)
{
    bool taken;
    if (!somebody_has(fd, base + perm, &taken))
        return err_sys(err, errno, "cannot ask for locks of '%s'", path);
    return !taken || busy(path, err);
}

bool soft_image_lock(int fd, bool exclusive, const char *path, struct err *err)
{
    for (int perm = 0; perm < PERM_COUNT; perm++) {
        const bool use = exclusive || perm == PERM_CONSISTENT_READ;
        if ((use && !take(fd, PERM_BASE + perm)) || (exclusive && !take(fd, UNSHARED_BASE + perm)))
            return errno == EAGAIN || errno == EACCES ? busy(path, err) : err_sys(err, errno, "cannot lock '%s'", path);
    }
    for (int perm = 0; perm < PERM_COUNT; perm++) {
        const bool use = exclusive || perm == PERM_CONSISTENT_READ;
        if ((use && !check(fd, UNSHARED_BASE, perm, path, err)) ||
            (exclusive && !check(fd, PERM_BASE, perm, path, err)))
            return false;
    }
    return true;
}
