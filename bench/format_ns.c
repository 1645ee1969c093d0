/* format_ns NAME NSID ioctl|io_uring - formats one namespace (user data erase) as the agent does, through the port of
 * src/nvme; for bench/erase-stall. Prints when it began and ended, in ms of the Unix clock. */
#include "nvme/nvme_drive.h"

#include "base/text.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

static uint64_t unix_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static bool format(const char *name, struct nsid nsid, bool by_ioctl, struct err *err)
{
    struct nvme_port port;
    struct drive_ident who;
    uint16_t cntlid;
    auto_nvme_dev struct nvme_dev *dev = NULL;
    static struct drive_seen seen;
    if (!nvme_linux_open(by_ioctl, &port, err) || !port.open(port.self, name, &dev, err) ||
        !nvme_ident(dev, &who, &cntlid, err) || !nvme_scan(dev, &seen, err))
        return false;
    const struct ns_seen *ns = drive_ns(&seen, nsid);
    if (ns == NULL)
        return err_set(err, ERR_MISSING, "cannot format namespace %u: there is none", nsid.v);
    const struct nvme_ns_ident ident = {.nsid = nsid, .size_bytes = ns->size_blocks * ns->block_bytes};
    const uint64_t began_ms = unix_ms();
    if (!nvme_format(dev, &who, &ident, 1, 3600 * 1000, err))
        return false;
    printf("%ju %ju\n", (uintmax_t)began_ms, (uintmax_t)unix_ms());
    return true;
}

int main(int argc, char **argv)
{
    uint64_t nsid;
    struct err err = {0};
    if (argc != 4 || !text_u64(argv[2], &nsid) || nsid > UINT32_MAX) {
        fputs("usage: format_ns NAME NSID ioctl|io_uring\n", stderr);
        return 2;
    }
    if (format(argv[1], (struct nsid){(uint32_t)nsid}, strcmp(argv[3], "ioctl") == 0, &err))
        return 0;
    fprintf(stderr, "format_ns: %s\n", err.msg);
    return 1;
}
