/* qualify.h - what a drive is good for, from what it says and how it answers. Pure.
 *   - Every check gives exactly one line; the verdict is that of the worst.
 *   - rejected: it contradicts itself in what identity or capacity rest on, is failing, or holds no blocks that can be
 *     used. limited: of use, but something is missing (it cannot be cut, is erased by overwriting only...).
 *   - Nothing here needs the drive to be empty; what only work on it shows is added by core/host_probe.c. */
#ifndef NSMITH_QUALIFY_H
#define NSMITH_QUALIFY_H

#include "model/drive.h"
#include "model/task.h"

/* Two scans, one after the other, nothing having been changed between. */
struct probe_facts {
    const struct drive_seen *first, *second; /* borrowed */
    struct drive_pages pages;
    uint64_t scan_ms; /* of the second */
};

void qualify(const struct probe_facts *facts, struct task_result *out);

#endif
