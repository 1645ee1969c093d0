/* nvme_uevent.h - what the kernel says when devices come, go or change (Documentation/ABI, "uevent";
 * lib/kobject_uevent.c).
 *   - The kernel's own messages (netlink group 1), not those that udev sends on: they are earlier, and they come on
 * hosts without udev too. sd-device's monitor hears only udev's, and nothing at all where udev does not run.
 *   - Only the kernel's: a message of anybody else, who may send to a group as well, is dropped.
 *   - A full socket loses messages: that is told (`lost`), and whoever hears it looks at everything.
 *   - Nothing is concluded from a message but that a look is due and that a device has gone. */
#ifndef NSMITH_NVME_UEVENT_H
#define NSMITH_NVME_UEVENT_H

#include "nvme/nvme_port.h"

enum nvme_uevent_what { NVME_UEVENT_OTHER, NVME_UEVENT_CAME, NVME_UEVENT_GONE, NVME_UEVENT_CHANGED };

/* Of one message; all texts are empty where it does not say. */
struct nvme_uevent {
    enum nvme_uevent_what what;
    bool block;                    /* a namespace's block device; else a controller or a subsystem */
    char ctrl[NVME_NAME_LEN];      /* the controller it is below or is: "nvme0" */
    char subsystem[NVME_NAME_LEN]; /* "nvme-subsys0": a block device with multipath */
    char name[NVME_NAME_LEN];      /* of the device: "nvme0n1" */
    uint64_t rdev;                 /* of a block device */
};

/* false: it is none of NVMe's, or not a message of the kernel's. `message` has `len` bytes, with zeros in it. */
bool nvme_uevent_parse(const char *message, size_t len, struct nvme_uevent *out);

/* A descriptor for poll(), owned by the caller. What is said from now on can be read there. */
bool nvme_uevent_open(int *out, struct err *err);
/* The next message about NVMe; false: none is left. *lost is set, and stays set, when messages were lost. */
bool nvme_uevent_read(int fd, struct nvme_uevent *out, bool *lost);

#endif
