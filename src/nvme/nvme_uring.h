/* nvme_uring.h - an admin command by io_uring instead of by ioctl (Linux 5.19 and later).
 *
 * Why: NVME_IOCTL_ADMIN_CMD freezes every namespace of the controller before a Format or Sanitize and thaws them after
 * it (drivers/nvme/host: nvme_submit_user_cmd() calls nvme_passthru_start() and _end(); "for simplicity, IO to all
 * namespaces is quiesced even if the command effects say only one namespace is affected"). Every tenant of the drive
 * stands still as long. nvme_uring_cmd_io() has neither call, so the neighbours work on as the drive lets them. What
 * the freeze is for, no I/O of the kernel's into a namespace that changes, the caller sees to: it holds that namespace
 * alone. What comes after the thaw, another look at the namespaces, is the caller's too.
 *
 * A process that is killed meanwhile ends at once and the command goes on in the drive; within the ioctl it would have
 * stayed until the end. Either way the next one finds a drive that is busy with it, and begins the erase anew. */
#ifndef NSMITH_NVME_URING_H
#define NSMITH_NVME_URING_H

#include "nvme/nvme_port.h"

/* Sends it on /dev/nvmeN and waits for its end. *answer is as NVME_IOCTL_ADMIN_CMD's: 0, an NVMe status, or -errno.
 * false: this kernel, or what is set there (kernel.io_uring_disabled), does not allow it: nothing was sent. */
bool nvme_uring_admin(int fd, struct nvme_cmd *cmd, int *answer);

#endif
