/* links.h - stable paths: DIR/<slice id> leads to the node of each slice that is handed out, and to no other.
 *
 * The path is a symbolic link to the kernel's own node, such as /dev/nvme0n1. A link to a name that can be given to
 * another drive would break "a rename cannot redirect it", so the name is made to stay: as long as there is a link, the
 * agent keeps the very descriptor open on which the namespace was identified (nvme_ns_ops.hold). While a block device
 * is open Linux frees neither its number (the minor goes with the inode: block/bdev.c, bdev_free_inode) nor its name
 * (an open namespace holds its controller, or head and subsystem, whose instance number is in the name:
 * drivers/nvme/host/core.c, nvme_free_ctrl, nvme_free_ns_head, nvme_release_subsystem). A drive that is pulled takes
 * its node along; the link then leads nowhere until the kernel's event, or the next look, has it removed. Only then the
 * descriptor is closed, and only then can a newcomer have the name.
 *
 * What was weighed: a device node of our own (mknod) does not depend on the name, but the kernel gives the number to
 * the next drive just as soon, so it needs the open descriptor as well; and then it is worse: /run is mounted nodev, a
 * node in /dev is nobody's to label or to clean up after a crash, and `ls -l` says less. libvirt resolves and labels
 * what a link leads to.
 *
 * The other side of it: nobody vouches for a link when the agent does not run. So links go when it ends, and the first
 * thing that it does is to remove those that a crash has left. They are back as soon as each namespace is identified;
 * who has a slice open keeps it throughout. */
#ifndef NSMITH_AGENT_LINKS_H
#define NSMITH_AGENT_LINKS_H

#include "core/host.h"

struct link_hold {
    struct slice_id slice;
    uint64_t rdev;
    int fd;
};

struct links {
    char dir[PATH_TEXT_MAX];
    struct link_hold holds[HOST_SLICES_MAX];
    size_t count;
};

/* The descriptor of a slice's block device, as it was identified. Takes fd; what was kept for the slice is closed. */
void links_hold(struct links *links, const struct slice_id *slice, uint64_t rdev, int fd);
/* Makes the links as the host has it, and lets go what it does not have any more: level, so it may be called at any
 * time. Best effort for single links; false when the folder itself cannot be used. */
bool links_sync(struct links *links, const struct host *host, struct err *err);
/* Nobody vouches for them any more: all links are removed, as far as that is possible. */
void links_clear(struct links *links);
void link_path(char out[PATH_TEXT_MAX], const char *dir, const struct slice_id *id);

#endif
