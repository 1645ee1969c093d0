/* nvme_port.h - the way to NVMe controllers: one port, two back ends.
 *   nvme_linux.c  the kernel's driver: sysfs, NVME_IOCTL_*, block nodes with O_DIRECT
 *   nvme_soft.c   software drives, linked in (unit tests, simulation) or behind nsmith-softnvme's socket
 *
 * Promises of every back end:
 *   - A device is opened once; each command goes to what was opened, whatever is renamed meanwhile.
 *   - Every command has a timeout of its own (timeout_ms > 0). What times out may have been done, half done or
 *     not done: ERR_BUSY with sys = ETIMEDOUT, and the caller looks again.
 *   - nvme_cmd_check() is asked before anything is sent: no mutating command can carry NSID FFFFFFFFh
 *     (invariant 4), and no opcode that it does not know is sent at all.
 *   - A status other than success is an error with err->nvme set. */
#ifndef NSMITH_NVME_PORT_H
#define NSMITH_NVME_PORT_H

#include "base/err.h"
#include "model/drive.h"

#include <stddef.h>

enum { NVME_NAMES_MAX = 64, NVME_NAME_LEN = 64, NVME_TIMEOUT_MS = 10000 };

struct nvme_cmd {
    uint8_t opcode;
    uint32_t nsid;      /* CDW1, as the specification has it (FFFFFFFFh only where nvme_cmd_check allows it) */
    uint32_t cdw10, cdw11, cdw12, cdw13, cdw14, cdw15;
    void *data;         /* borrowed for the call */
    uint32_t data_len;  /* bytes; direction follows from the opcode's two low bits */
    uint32_t timeout_ms;
    uint32_t result;    /* out: dword 0 of the completion */
};

struct nvme_names {
    char at[NVME_NAMES_MAX][NVME_NAME_LEN];
    size_t count;
};

/* What a hypervisor must really have opened: the identity of the node behind the path. */
struct nvme_node {
    char path[PATH_TEXT_MAX]; /* block device or file; empty for drives in memory */
    bool block_device;
    uint64_t dev, ino, rdev; /* as fstat() says of the descriptor that was identified */
    uint64_t size_bytes;
};

struct nvme_ns;
struct nvme_dev;

struct nvme_ns_ops {
    /* Reads or writes whole blocks; never from a cache of the host, never through it (O_DIRECT). */
    bool (*read)(struct nvme_ns *ns, uint64_t block, uint32_t count, void *data, struct err *err);
    bool (*write)(struct nvme_ns *ns, uint64_t block, uint32_t count, const void *data, struct err *err);
    bool (*flush)(struct nvme_ns *ns, struct err *err);       /* to the media */
    bool (*drop_cache)(struct nvme_ns *ns, struct err *err);  /* the host's own, BLKFLSBUF or posix_fadvise */
    void (*node)(struct nvme_ns *ns, struct nvme_node *out);
    /* A read-only descriptor of what was opened and identified, to be kept: while it is open, the kernel gives neither
     * the name nor the number of the block device to another one. The caller's. 0: names of its kind are not given
     * again (files). NULL: none are. */
    bool (*hold)(struct nvme_ns *ns, int *out, struct err *err);
    void (*close)(struct nvme_ns *ns); /* frees ns; NULL is fine through nvme_ns_close() */
};

struct nvme_ns {
    const struct nvme_ns_ops *ops;
    struct nsid nsid;
    uint32_t block_bytes;
    uint64_t size_blocks;
};

struct nvme_dev_ops {
    bool (*admin)(struct nvme_dev *dev, struct nvme_cmd *cmd, struct err *err);
    /* Opens a namespace that is attached to this controller and that the host shows; compares nsid and size on the
     * descriptor itself. Only what is opened exclusively may be written. exclusive: ERR_BUSY when anything else has it
     * open (O_EXCL; for files QEMU's own locks). ERR_MISSING while the host does not show it (yet). */
    bool (*ns_open)(struct nvme_dev *dev, struct nsid nsid, bool exclusive, struct nvme_ns **out, struct err *err);
    /* Path of the namespace's node, empty while there is none. */
    bool (*ns_path)(struct nvme_dev *dev, struct nsid nsid, char path[PATH_TEXT_MAX], struct err *err);
    /* Where the drive is plugged in, as the host calls the place ("0000:41:00.0"); empty: not known. NULL: never known.
     */
    void (*place)(struct nvme_dev *dev, char to[NVME_NAME_LEN]);
    bool (*rescan)(struct nvme_dev *dev, struct err *err); /* asks the host to look at the namespaces again */
    /* Waits until the host says that devices came, went or changed, ms at most, and tells how long that took. Nothing
     * that is said after the first call (which may be one of 0 ms) is missed. false: it cannot hear. NULL: there is
     * nothing to hear. */
    bool (*wait)(struct nvme_dev *dev, uint32_t ms, uint32_t *took_ms);
    void (*close)(struct nvme_dev *dev);
};

struct nvme_dev {
    const struct nvme_dev_ops *ops;
};

struct nvme_port {
    void *self; /* borrowed; outlives the port */
    bool (*list)(void *self, struct nvme_names *out, struct err *err);
    bool (*open)(void *self, const char *name, struct nvme_dev **out, struct err *err);
    /* Events: a descriptor that is readable when there is news, the port's; then news() tells all that is known by now,
     * and never blocks. They may fail, be late or be lost: who wants to be sure lists now and then. NULL: none. */
    bool (*watch)(void *self, int *fd_out, struct err *err);
    void (*news)(void *self, struct drive_news *out);
    void (*close)(void *self);
};

/* false, ERR_UNSAFE: this command must never be sent. See nvme_cmd.c for the table. */
bool nvme_cmd_check(const struct nvme_cmd *cmd, struct err *err);

void nvme_dev_close(struct nvme_dev *dev); /* NULL is fine */
void nvme_ns_close(struct nvme_ns *ns);    /* NULL is fine */

static inline void nvme_dev_closep(struct nvme_dev **dev)
{
    nvme_dev_close(*dev);
}

static inline void nvme_ns_closep(struct nvme_ns **ns)
{
    nvme_ns_close(*ns);
}

#define auto_nvme_dev __attribute__((cleanup(nvme_dev_closep)))
#define auto_nvme_ns __attribute__((cleanup(nvme_ns_closep)))

/* The back ends. */
/* The kernel's drives. Format goes by io_uring where the kernel has that, so that other namespaces of the drive work on
 * meanwhile; by ioctl, which freezes them, where it has not, or when that is asked for. */
bool nvme_linux_open(bool format_by_ioctl, struct nvme_port *out, struct err *err);
bool nvme_softclient_open(const char *socket, struct nvme_port *out, struct err *err); /* nsmith-softnvme */

#endif
