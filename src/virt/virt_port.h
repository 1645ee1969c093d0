/* virt_port.h - the hypervisor: one port, two back ends (virt_libvirt.c, virt_fake.c).
 *   - Only domains that nsmith made (their metadata says so, with the VM's UUID) are listed or touched.
 *   - start() starts the VM paused, compares what the hypervisor really opened with the domain's disks
 *     (device and inode of its descriptors, serial of each disk), and only then lets it run; on a difference it is
 *     destroyed, and the error is ERR_UNSAFE (invariant 5).
 *   - destroy() returns true only when the hypervisor's process is gone: nobody holds the slices any more. */
#ifndef NSMITH_VIRT_PORT_H
#define NSMITH_VIRT_PORT_H

#include "base/err.h"
#include "model/domain.h"
#include "model/sync.h"

struct virt_list {
    struct vm_report at[HOST_VMS_MAX]; /* name, uuid, power, console, console_log, iothreads */
    size_t count;
};

struct virt_info {
    bool kvm;      /* a guest really ran with it */
    bool io_uring; /* this QEMU has it and may use it */
    char emulator[PATH_TEXT_MAX];
    char version[64]; /* "libvirt 9.0.0, QEMU 7.2.22" */
};

struct virt_port {
    void *self;
    bool (*info)(void *self, struct virt_info *out, struct err *err);
    bool (*list)(void *self, struct virt_list *out, struct err *err);
    bool (*start)(void *self, const struct domain *domain, struct err *err); /* defines it too; running: true */
    bool (*shutdown)(void *self, const struct uuid *vm, struct err *err);    /* asks the guest; does not wait */
    bool (*reboot)(void *self, const struct uuid *vm, struct err *err);
    bool (*destroy)(void *self, const struct uuid *vm, struct err *err);  /* ends it at once; the definition stays */
    bool (*undefine)(void *self, const struct uuid *vm, struct err *err); /* must be off; gone already: true */
    void (*close)(void *self);
};

struct virt_options {
    const char *uri;         /* "qemu:///system" */
    const char *console_dir; /* where console logs go; must exist */
    bool force_tcg;          /* do not try KVM */
};

bool virt_libvirt_open(const struct virt_options *options, struct virt_port *out, struct err *err);
bool virt_fake_open(struct virt_port *out, struct err *err); /* domains in memory; for tests without a hypervisor */

#endif
