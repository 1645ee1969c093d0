/* qemu_process.h - processes of guests, as the kernel shows them: the hypervisor is not asked, it is checked.
 *   - A guest's process is known by `-uuid UUID` among its arguments, which libvirt always passes.
 *   - A process counts as gone when the kernel says so by its pidfd: then all of its threads are gone, and with them
 *     every descriptor they had open. An empty command line or a missing file in /proc would not prove that.
 *   - Works for processes that the caller's /proc shows: same PID namespace, and root. */
#ifndef NSMITH_QEMU_PROCESS_H
#define NSMITH_QEMU_PROCESS_H

#include "base/err.h"
#include "model/domain.h"

#include <sys/types.h>

enum { QEMU_PROCESSES_MAX = 1024 }; /* of all owners */

struct qemu_process {
    struct uuid uuid;
    pid_t pid;
    int fd;    /* its pidfd, owned; never -1 in a table */
    bool ours; /* the caller's note */
};

/* Processes that were seen. Once in the table, one leaves it only by its end. */
struct qemu_processes {
    struct qemu_process at[QEMU_PROCESSES_MAX];
    size_t count;
};

/* Forgets what is gone, adds what is new. */
bool qemu_processes_look(struct qemu_processes *processes, struct err *err);
void qemu_processes_release(struct qemu_processes *processes);
/* The newest of that guest; NULL: none lives. Borrowed until the next look. */
const struct qemu_process *qemu_process_find(const struct qemu_processes *processes, const struct uuid *uuid);
/* Waits for the end of all of that guest; ERR_BUSY after `patience_ms`. */
bool qemu_process_wait_gone(struct qemu_processes *processes, const struct uuid *uuid, int patience_ms,
                            struct err *err);

/* ERR_UNSAFE unless the process has each disk of the domain open, by device and inode, for reading and writing, and
 * no other block device for writing (a boot image is a file). */
bool qemu_process_check(const struct qemu_process *process, const struct domain *domain, struct err *err);

#endif
