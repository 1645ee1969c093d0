/* vfu_serve.h - the sockets of the PCIe front: for the poll loop of main.c.
 *   - Each drive has two ports, which are the two controllers of its subsystem: DIR/SERIAL.1 and DIR/SERIAL.2, for
 *     QEMU's device vfio-user-pci. A drive that is used through its first port only says that it has one controller.
 *   - A port has one client at a time. While the drive is pulled out nobody can connect to it.
 *   - Whoever may connect to the sockets has the drives: they are for their owner and group. */
#ifndef NSMITH_VFU_SERVE_H
#define NSMITH_VFU_SERVE_H

#include "nvme/soft_serve.h"

#include <poll.h>

struct vfu_serve;

enum { VFU_PORTS = 2, VFU_PORTS_MAX = SOFT_DRIVES_MAX * VFU_PORTS, VFU_POLLS_MAX = 2 * VFU_PORTS_MAX };

/* The folder is made when it is not there. `shelf` is borrowed and outlives it. */
bool vfu_serve_open(const char *dir, struct soft_shelf *shelf, struct vfu_serve **out, struct err *err);
void vfu_serve_close(struct vfu_serve *serve); /* NULL is fine */

/* What to wait for; returns how many. */
size_t vfu_serve_fds(const struct vfu_serve *serve, struct pollfd fds[VFU_POLLS_MAX]);
/* After the drives' clocks were moved, before anything is done to them: completes what they have finished. */
void vfu_serve_ticked(struct vfu_serve *serve);
/* Does what the descriptors of vfu_serve_fds() are ready for. */
void vfu_serve_step(struct vfu_serve *serve, const struct pollfd *fds, size_t count);
/* After all else of a turn: events that came of it; ports for new drives. */
void vfu_serve_events(struct vfu_serve *serve);

#endif
