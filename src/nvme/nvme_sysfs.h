/* nvme_sysfs.h - where Linux shows NVMe controllers and their namespaces. Reads a tree, by default /sys.
 *   - Names like nvme0n1 say nothing: the first number is the subsystem's instance, not the controller's, the last is
 *     a counter, not an NSID. A namespace is found by what its `nsid` attribute says, below its own controller.
 *   - With multipath the controller's own node (nvme0c0n1) is hidden and the one to use belongs to the subsystem; it
 *     is the one whose nsid and wwid are the hidden node's.
 *   - A controller's folder is opened once; what is asked later is asked there, whatever is renamed meanwhile. */
#ifndef NSMITH_NVME_SYSFS_H
#define NSMITH_NVME_SYSFS_H

#include "base/err.h"
#include "nvme/nvme_port.h"

#include <sys/types.h>

/* The names of all I/O controllers, by number. None when there is no NVMe driver. */
bool nvme_sysfs_list(const char *sys, struct nvme_names *out, struct err *err);

/* Opens the folder of a controller: a descriptor for the calls below, owned by the caller. ERR_MISSING. */
bool nvme_sysfs_open(const char *sys, const char *name, int *out, struct err *err);
/* Where it is: its PCI address, or that of its target; empty: not known. */
void nvme_sysfs_place(int ctrl, char to[NVME_NAME_LEN]);
/* The number of its character device. */
bool nvme_sysfs_rdev(int ctrl, dev_t *out, struct err *err);

/* The controllers of a subsystem, "nvme-subsys0"; none when it is gone. */
void nvme_sysfs_members(const char *sys, const char *subsystem, struct nvme_names *out);

struct nvme_sysfs_node {
    char name[NVME_NAME_LEN]; /* empty: the kernel does not show the namespace (yet) */
    dev_t rdev;
};

/* The block device of a namespace of this controller. ERR_CONFLICT when more than one claims to be it. */
bool nvme_sysfs_node(const char *sys, int ctrl, struct nsid nsid, struct nvme_sysfs_node *out, struct err *err);

#endif
