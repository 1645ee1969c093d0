/* probe.h - is there anything on this block device or file that is not ours, and does anything on this host use it?
 *
 * Three checks with three sources of truth; each alone is enough to refuse, and none trusts another:
 *   probe_signature  libblkid: file systems, RAID, encryption, swap, partition tables, also with bad checksums
 *   probe_use        the kernel and the processes: holders, mounts, swap, loop devices, exports, locks, open files
 *   probe_blank      raw reads past the page cache: whatever is neither all zeros nor all FFh is somebody's data
 *
 *   - Findings are added to the list; nothing added means that this check found nothing.
 *   - What cannot be looked at is FOREIGN_UNREADABLE: a check never passes because it failed.
 *   - Nothing is written, and every descriptor is opened for reading.
 *   - Each check opens the path itself; `node` tells that it opened what was meant (invariant 5).
 *   - A finding is true of one moment only: whoever changes a drive opens it exclusively as well. */
#ifndef NSMITH_PROBE_H
#define NSMITH_PROBE_H

#include "model/drive.h"

#include <sys/types.h>

/* As fstat() told of the descriptor that was identified. */
struct probe_node {
    uint64_t dev, ino, rdev;
};

struct probe_options {
    struct probe_node node; /* all zero: not compared; else anything different behind the path is UNREADABLE */
    uint64_t seed;          /* of the random places of probe_blank */
    /* Processes that may have it open: that which serves a software drive. Take the number from SO_PEERCRED of the
     * connection to it, never from a name in /proc, which any program can give itself. Borrowed for the call. */
    const pid_t *allowed;
    size_t allowed_count;
    /* Processes that refuse to be looked into (other users' where the caller is not root, a container's first one)
     * are passed over. For software drives only, whose files live in a folder of ours; a block device with this set
     * is refused. */
    bool pass_over_denied;
};

void probe_signature(const char *path, struct nsid nsid, const struct probe_options *options, struct foreign_list *out);
void probe_use(const char *path, struct nsid nsid, const struct probe_options *options, struct foreign_list *out);
void probe_blank(const char *path, struct nsid nsid, const struct probe_options *options, struct foreign_list *out);

/* All three, always all three. */
void probe_all(const char *path, struct nsid nsid, const struct probe_options *options, struct foreign_list *out);

#endif
