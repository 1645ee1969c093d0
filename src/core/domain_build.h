/* domain_build.h - the domain of a VM: from what was asked, the slices it holds and what the host can. Pure.
 *   - The n-th slice of the claim is the n-th disk: iothread n, and for scsi a virtio-scsi controller n-1 of its own.
 *   - <serial> is the slice id; <wwn> is 3 (NAA "locally assigned") and 15 hex digits from the slice id.
 *   - KVM only where the host proved it; io_uring where this QEMU has it, else native AIO. */
#ifndef NSMITH_DOMAIN_BUILD_H
#define NSMITH_DOMAIN_BUILD_H

#include "base/err.h"
#include "model/domain.h"
#include "model/slice.h"
#include "model/vm.h"

struct domain_slice {
    struct slice_id id;
    char path[PATH_TEXT_MAX];
    bool block_device;
    uint32_t block_bytes;
    uint64_t size_bytes;
    uint64_t dev, ino, rdev;
};

struct domain_host {
    bool kvm, io_uring;
    char emulator[PATH_TEXT_MAX];
    char console_log[PATH_TEXT_MAX];
};

/* ERR_INPUT: spec is not complete (vm_spec_check), no or too many slices, a slice without a path. */
bool domain_build(const struct vm_spec *spec, const struct domain_slice *slices, size_t slice_count,
                  const struct domain_host *host, struct domain *out, struct err *err);
/* The same without a VM, for a bare claim: only datapath, io_uring and the disks of `out` are filled. */
bool domain_build_disks(const struct domain_slice *slices, size_t slice_count, enum datapath datapath, bool io_uring,
                        struct domain *out, struct err *err);
void domain_wwn(const struct slice_id *id, char out[17]);

#endif
