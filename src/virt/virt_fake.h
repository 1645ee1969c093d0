/* virt_fake.h - a hypervisor in memory that keeps the promises of virt_port.h, and ways to break it, for tests and
 * the simulation. No threads, no I/O, no clock: nothing changes but by a call.
 *   - Domains stay until undefined: neither a restart of the agent nor one of the host (virt_fake_host_reboot) loses
 *     them.
 *   - Two guests that live never have the same device or file open: the second start fails, as by QEMU's locks.
 *   - A guest that was asked to shut down obeys after the next list(), which still shows it running. */
#ifndef NSMITH_VIRT_FAKE_H
#define NSMITH_VIRT_FAKE_H

#include "virt/virt_port.h"

/* The nth call from now on (1: the next) of any function of the port fails with `kind`: before it took effect, or
 * `after`, as when only the answer is lost. One such order at a time; nth 0 takes it back. */
void virt_fake_fail(const struct virt_port *port, unsigned nth, enum err_kind kind, bool after);
/* Calls so far, to try every nth. */
unsigned virt_fake_calls(const struct virt_port *port);

/* What a path leads to when a guest starts; false: nothing there. Without it, what the domain says. `look` and
 * `context` are borrowed until changed or closed. */
struct virt_fake_behind {
    uint64_t dev, ino, rdev;
};
void virt_fake_look(const struct virt_port *port,
                    bool (*look)(void *context, const char *path, struct virt_fake_behind *out), void *context);

/* Of one VM; false: there is none, or it is not alive. */
bool virt_fake_power_off(const struct virt_port *port, const struct uuid *vm); /* the guest ends itself */
bool virt_fake_kill(const struct virt_port *port, const struct uuid *vm);      /* its process dies */
bool virt_fake_pause(const struct virt_port *port, const struct uuid *vm);     /* as a start cut short */
bool virt_fake_deaf(const struct virt_port *port, const struct uuid *vm);      /* shutdown() is not heard, this life */
bool virt_fake_undead(const struct virt_port *port, const struct uuid *vm);    /* destroy() is busy until kill() */

void virt_fake_host_reboot(const struct virt_port *port); /* nothing runs any more */
/* A domain of that name and UUID that is not ours. */
void virt_fake_foreign(const struct virt_port *port, const char *name, const struct uuid *uuid);

/* For checkers. */
unsigned virt_fake_holders(const struct virt_port *port, const struct slice_id *slice); /* guests that have it open */
unsigned virt_fake_reboots(const struct virt_port *port, const struct uuid *vm);
const struct domain *virt_fake_domain(const struct virt_port *port, const struct uuid *vm); /* borrowed; or NULL */

#endif
