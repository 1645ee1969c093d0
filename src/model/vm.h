/* vm.h - flavors, VMs and claims as people ask for them. */
#ifndef NSMITH_VM_H
#define NSMITH_VM_H

#include "base/err.h"
#include "base/jmap.h"
#include "model/ids.h"

#define DATAPATHS(X)                                                                                                   \
    X(DATAPATH_SCSI, "scsi") /* virtio-scsi, one controller and one iothread a slice */                                \
    X(DATAPATH_BLK, "blk")   /* virtio-blk, one iothread a slice */

enum datapath {
#define X(path, word) path,
    DATAPATHS(X)
#undef X
        DATAPATH_COUNT
};

extern const char *const datapath_words[DATAPATH_COUNT];

#define SPREADS(X)                                                                                                     \
    X(SPREAD_DRIVES, "spread") /* the slices of one claim on as many drives as can be */                               \
    X(SPREAD_PACK, "pack")     /* on as few drives as can be */

enum spread {
#define X(spread, word) spread,
    SPREADS(X)
#undef X
        SPREAD_COUNT
};

extern const char *const spread_words[SPREAD_COUNT];

struct flavor {
    struct name name;
    uint32_t vcpus;        /* 1 to 512 */
    uint64_t memory_bytes; /* 16 MiB to 16 TiB, a multiple of 1 MiB */
    uint32_t slices;       /* 1 to CLAIM_SLICES_MAX */
    struct name class;
    enum datapath datapath;
    enum spread spread;
};

bool flavor_check(const struct flavor *flavor, struct err *err);
extern const struct jmap flavor_jmap;

/* What a VM is made of beside its slices. Paths are on the host, absolute. */
struct vm_spec {
    struct name name;
    struct uuid uuid;
    uint32_t vcpus;
    uint64_t memory_bytes;
    enum datapath datapath;
    char image[PATH_TEXT_MAX];   /* boot disk, raw or qcow2; or empty */
    char kernel[PATH_TEXT_MAX];  /* direct boot; or empty. One of image and kernel is needed */
    char initrd[PATH_TEXT_MAX];
    char cmdline[512];
    struct name network; /* a libvirt network, or empty: no network card */
    bool autostart;      /* started again when the host comes up */
};

bool vm_spec_check(const struct vm_spec *spec, struct err *err);
extern const struct jmap vm_spec_jmap;

#define VM_POWERS(X)                                                                                                   \
    X(VM_OFF, "off")                                                                                                   \
    X(VM_RUNNING, "running")                                                                                           \
    X(VM_PAUSED, "paused")                                                                                             \
    X(VM_GONE, "gone") /* no such domain (any more) */

enum vm_power {
#define X(power, word) power,
    VM_POWERS(X)
#undef X
        VM_POWER_COUNT
};

const char *vm_power_word(enum vm_power power);

#endif
