/* nvme_linux.c - the kernel's NVMe driver as a port.
 *
 * Controllers are /dev/nvmeN, opened once; commands go through NVME_IOCTL_ADMIN_CMD, Format by io_uring. The answer has three forms
 * (drivers/nvme/host/ioctl.c, nvme_user_cmd): 0, a positive NVMe status with its Do Not Retry bits, or -1 with errno;
 * EINTR there is not a signal (the wait cannot be interrupted) but "cancelled": the command timed out or the
 * controller was reset. None of this leaves this file.
 *
 * A name is never trusted. The character device must have the number that the controller's sysfs folder says; a block
 * device must have the number that the namespace's folder says, and then, asked on its own descriptor, the NSID, the
 * controller and the size of what was meant. */
#include "nvme/nvme_port.h"

#include "base/must.h"
#include "base/text.h"
#include "nvme/nvme_ask.h"
#include "nvme/nvme_sysfs.h"
#include "nvme/nvme_uevent.h"
#include "nvme/nvme_uring.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/nvme_ioctl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct where {
    char sys[PATH_TEXT_MAX], dev[PATH_TEXT_MAX];
};

struct linux_port {
    struct where where;
    bool by_ioctl; /* Format too */
    int events; /* -1: nobody has asked for any */
};

struct linux_dev {
    struct nvme_dev dev; /* first: what callers have is this */
    struct where where;
    bool by_ioctl;
    char name[NVME_NAME_LEN];
    int fd;     /* /dev/nvmeN */
    int ctrl;   /* its folder in sysfs */
    int events; /* -1: not waited yet */
};

/* The alignment that every drive and every memory is content with. */
enum { IO_ALIGN = 4096, IO_CHUNK = 1 << 20 };

struct linux_ns {
    struct nvme_ns ns; /* first */
    struct nvme_node node;
    int fd;
    void *bounce; /* IO_CHUNK bytes for data that is not aligned; NULL until it is needed */
};

static struct linux_dev *dev_of(struct nvme_dev *dev)
{
    return (struct linux_dev *)dev;
}

static struct linux_ns *ns_of(struct nvme_ns *ns)
{
    return (struct linux_ns *)ns;
}

static void *zalloc(size_t size)
{
    void *memory = calloc(1, size);
    must(memory != NULL);
    return memory;
}

/* --- Commands ---------------------------------------------------------------------------------------------------- */

static bool timed_out(const struct nvme_cmd *cmd, const char *name, struct err *err)
{
    err_sys(err, ETIMEDOUT, "cannot finish %s on '%s' in %u ms", nvme_op_name(cmd->opcode), name, cmd->timeout_ms);
    return err_hint(err, "look at the drive again: the command may have been carried out");
}

/* What the kernel says of a command: 0, a positive NVMe status, or -errno. */
static bool judge(int got, const struct nvme_cmd *cmd, const char *name, struct err *err)
{
    if (got == -EINTR || got == -ETIMEDOUT)
        return timed_out(cmd, name, err);
    if (got < 0)
        return err_sys(err, -got, "cannot send %s to '%s'", nvme_op_name(cmd->opcode), name);
    const uint16_t status = (uint16_t)(got & NVME_STATUS_MASK);
    if (status == NVME_ST_HOST_ABORTED) /* kernels that do not say EINTR */
        return timed_out(cmd, name, err);
    if (got != 0 && status == 0) /* nothing but Do Not Retry: no drive can mean that */
        return err_set(err, ERR_DEVICE, "cannot understand the answer of '%s' to %s: status %xh", name,
                       nvme_op_name(cmd->opcode), (unsigned)got);
    if (status != 0)
        return err_nvme(err, status, "cannot carry out %s on '%s'", nvme_op_name(cmd->opcode), name);
    return true;
}

static bool send_on(int fd, const char *name, struct nvme_cmd *cmd, struct err *err)
{
    if (!nvme_cmd_check(cmd, err))
        return false;
    struct nvme_admin_cmd wire = {
        .opcode = cmd->opcode,
        .nsid = cmd->nsid,
        .addr = (uintptr_t)cmd->data,
        .data_len = cmd->data_len,
        .cdw10 = cmd->cdw10,
        .cdw11 = cmd->cdw11,
        .cdw12 = cmd->cdw12,
        .cdw13 = cmd->cdw13,
        .cdw14 = cmd->cdw14,
        .cdw15 = cmd->cdw15,
        .timeout_ms = cmd->timeout_ms,
    };
    const int got = ioctl(fd, NVME_IOCTL_ADMIN_CMD, &wire);
    if (!judge(got < 0 ? -errno : got, cmd, name, err))
        return false;
    cmd->result = wire.result;
    return true;
}

/* By io_uring the neighbours work on (nvme_uring.h); then what the kernel knows of the namespaces is not looked at
 * again by itself. The block size stays as it was, so that look is a precaution, and may fail. */
static bool send_format(const struct linux_dev *self, struct nvme_cmd *cmd, struct err *err)
{
    int got;
    if (!nvme_cmd_check(cmd, err))
        return false;
    if (self->by_ioctl || !nvme_uring_admin(self->fd, cmd, &got))
        return send_on(self->fd, self->name, cmd, err);
    (void)ioctl(self->fd, NVME_IOCTL_RESCAN);
    return judge(got, cmd, self->name, err);
}

static bool linux_admin(struct nvme_dev *dev, struct nvme_cmd *cmd, struct err *err)
{
    const struct linux_dev *self = dev_of(dev);
    return cmd->opcode == NVME_OP_FORMAT ? send_format(self, cmd, err) : send_on(self->fd, self->name, cmd, err);
}

static bool linux_rescan(struct nvme_dev *dev, struct err *err)
{
    const struct linux_dev *self = dev_of(dev);
    if (ioctl(self->fd, NVME_IOCTL_RESCAN) < 0)
        return err_sys(err, errno, "cannot rescan '%s'", self->name);
    return true;
}

static uint64_t now_ms(void)
{
    struct timespec now;
    must(clock_gettime(CLOCK_MONOTONIC, &now) == 0);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Any message of NVMe's is worth another look: which namespace it is about is looked up, not believed. */
static bool linux_wait(struct nvme_dev *dev, uint32_t ms, uint32_t *took_ms)
{
    struct linux_dev *self = dev_of(dev);
    struct nvme_uevent event;
    struct err ignored = {0};
    bool lost = false;
    if (self->events < 0 && !nvme_uevent_open(&self->events, &ignored))
        return false;
    const uint64_t start_ms = now_ms();
    for (uint64_t past_ms = 0;; past_ms = now_ms() - start_ms) {
        *took_ms = (uint32_t)past_ms;
        if (past_ms >= ms || lost || nvme_uevent_read(self->events, &event, &lost))
            return true;
        struct pollfd fd = {.fd = self->events, .events = POLLIN};
        if (poll(&fd, 1, (int)(ms - past_ms)) < 0 && errno != EINTR)
            return false;
    }
}

/* --- Namespaces -------------------------------------------------------------------------------------------------- */

/* The path of the namespace's node; empty while the kernel or udev does not show it. */
static bool find_path(const struct linux_dev *self, struct nsid nsid, char path[PATH_TEXT_MAX], dev_t *rdev,
                      struct err *err)
{
    struct nvme_sysfs_node node;
    struct stat st;
    char found[PATH_TEXT_MAX] = "";
    if (!nvme_sysfs_node(self->where.sys, self->ctrl, nsid, &node, err))
        return err_wrap(err, "controller '%s'", self->name);
    if (node.name[0] != '\0') {
        const int len = snprintf(found, sizeof(found), "%s/%s", self->where.dev, node.name);
        if (len < 0 || (size_t)len >= sizeof(found))
            return err_set(err, ERR_INPUT, "cannot use '%s': its path is too long", node.name);
        const bool there = stat(found, &st) == 0;
        if (!there && errno != ENOENT)
            return err_sys(err, errno, "cannot look at '%s'", found);
        if (!there || !S_ISBLK(st.st_mode) || st.st_rdev != node.rdev)
            found[0] = '\0'; /* not made yet, or still the node of something that is gone */
    }
    memcpy(path, found, sizeof(found));
    *rdev = node.rdev;
    return true;
}

static bool linux_ns_path(struct nvme_dev *dev, struct nsid nsid, char path[PATH_TEXT_MAX], struct err *err)
{
    dev_t ignored;
    return find_path(dev_of(dev), nsid, path, &ignored, err);
}

/* A block device takes the commands of its controller too, so the controller can be asked for its name there. */
static bool same_controller(const struct linux_dev *self, int fd, const char *path, struct err *err)
{
    struct nvme_wire_ctrl page[2];
    const int fds[2] = {self->fd, fd};
    for (int i = 0; i < 2; i++) {
        struct nvme_cmd cmd = {.opcode = NVME_OP_IDENTIFY,
                               .cdw10 = NVME_CNS_CTRL,
                               .data = &page[i],
                               .data_len = sizeof(page[i]),
                               .timeout_ms = NVME_ASK_MS};
        if (!send_on(fds[i], i == 0 ? self->name : path, &cmd, err))
            return false;
    }
    if (memcmp(page[0].vid.b, page[1].vid.b, sizeof(page[0].vid.b)) == 0 &&
        memcmp(page[0].sn, page[1].sn, sizeof(page[0].sn)) == 0 &&
        memcmp(page[0].mn, page[1].mn, sizeof(page[0].mn)) == 0 &&
        memcmp(page[0].subnqn, page[1].subnqn, sizeof(page[0].subnqn)) == 0)
        return true;
    return err_set(err, ERR_CONFLICT, "cannot use '%s': it belongs to another drive than '%s'", path, self->name);
}

/* Fills self->ns from Identify Namespace and compares it with what the kernel made of it. */
static bool same_size(const struct linux_dev *dev, struct linux_ns *self, struct nsid nsid, struct err *err)
{
    union nvme_page page;
    struct nvme_ns_page seen;
    int block_bytes = 0;
    struct nvme_cmd cmd = {.opcode = NVME_OP_IDENTIFY,
                           .nsid = nsid.v,
                           .cdw10 = NVME_CNS_NS,
                           .data = &page,
                           .data_len = sizeof(page),
                           .timeout_ms = NVME_ASK_MS};
    if (!send_on(dev->fd, dev->name, &cmd, err) || !nvme_parse_ns(&page, sizeof(page), &seen, err))
        return false;
    if (ioctl(self->fd, BLKGETSIZE64, &self->node.size_bytes) < 0 || ioctl(self->fd, BLKSSZGET, &block_bytes) < 0)
        return err_sys(err, errno, "cannot learn the size of '%s'", self->node.path);
    const uint64_t bytes = seen.ns.size_blocks * seen.ns.block_bytes;
    if (self->node.size_bytes != bytes || (uint32_t)block_bytes != seen.ns.block_bytes) {
        err_set(err, ERR_CONFLICT, "cannot use '%s': the kernel sees %ju bytes in blocks of %d, the drive %ju of %u",
                self->node.path, (uintmax_t)self->node.size_bytes, block_bytes, (uintmax_t)bytes, seen.ns.block_bytes);
        return err_hint(err, "rescan the controller");
    }
    self->ns.nsid = nsid;
    self->ns.block_bytes = seen.ns.block_bytes;
    self->ns.size_blocks = seen.ns.size_blocks;
    return true;
}

static bool identify_node(const struct linux_dev *dev, struct linux_ns *self, struct nsid nsid, dev_t rdev,
                          struct err *err)
{
    struct stat st;
    if (fstat(self->fd, &st) < 0)
        return err_sys(err, errno, "cannot look at '%s'", self->node.path);
    if (!S_ISBLK(st.st_mode) || st.st_rdev != rdev)
        return err_set(err, ERR_CONFLICT, "cannot use '%s': it became another device", self->node.path);
    const int got = ioctl(self->fd, NVME_IOCTL_ID);
    if (got < 0)
        return err_sys(err, errno, "cannot learn the NSID of '%s'", self->node.path);
    if ((uint32_t)got != nsid.v)
        return err_set(err, ERR_CONFLICT, "cannot use '%s': it is namespace %d, not %u", self->node.path, got, nsid.v);
    self->node.block_device = true;
    self->node.dev = st.st_dev;
    self->node.ino = st.st_ino;
    self->node.rdev = st.st_rdev;
    return same_controller(dev, self->fd, self->node.path, err) && same_size(dev, self, nsid, err);
}

static const struct nvme_ns_ops ns_ops;

static bool linux_ns_open(struct nvme_dev *dev, struct nsid nsid, bool exclusive, struct nvme_ns **out, struct err *err)
{
    const struct linux_dev *self = dev_of(dev);
    char path[PATH_TEXT_MAX];
    dev_t rdev;
    if (!find_path(self, nsid, path, &rdev, err))
        return false;
    if (path[0] == '\0')
        return err_set(err, ERR_MISSING, "cannot open namespace %u of '%s': the kernel does not show it", nsid.v,
                       self->name);
    /* Who only looks opens for reading: udev looks at a node anew whenever a writer closes it, and we would meet it
     * there. */
    const int fd = open(path, (exclusive ? O_RDWR | O_EXCL : O_RDONLY) | O_DIRECT | O_CLOEXEC);
    if (fd < 0 && errno == EBUSY) {
        err_sys(err, errno, "cannot open '%s' alone", path);
        return err_hint(err, "a mount, swap, a holder such as LVM, or another program has it");
    }
    if (fd < 0)
        return err_sys(err, errno, "cannot open '%s'", path);
    struct linux_ns *ns = zalloc(sizeof(*ns));
    ns->ns.ops = &ns_ops;
    ns->fd = fd;
    memcpy(ns->node.path, path, sizeof(path));
    if (!identify_node(self, ns, nsid, rdev, err)) {
        nvme_ns_close(&ns->ns);
        return false;
    }
    *out = &ns->ns;
    return true;
}

/* --- Blocks ------------------------------------------------------------------------------------------------------ */

static bool in_range(const struct nvme_ns *ns, uint64_t block, uint32_t count, struct err *err)
{
    if (block > ns->size_blocks || count > ns->size_blocks - block)
        return err_set(err, ERR_INPUT, "cannot reach block %ju and %u more of namespace %u: it has %ju",
                       (uintmax_t)block, count, ns->nsid.v, (uintmax_t)ns->size_blocks);
    return true;
}

/* One piece, whole or not at all, from or to memory that is aligned. */
static bool move_piece(const struct linux_ns *self, bool write, uint8_t *data, size_t len, uint64_t offset,
                       struct err *err)
{
    for (size_t done = 0; done < len;) {
        const off_t at = (off_t)(offset + done);
        const ssize_t got =
            write ? pwrite(self->fd, data + done, len - done, at) : pread(self->fd, data + done, len - done, at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return err_sys(err, errno, "cannot %s '%s' at byte %ju", write ? "write" : "read", self->node.path,
                           (uintmax_t)at);
        if (got == 0)
            return err_set(err, ERR_DEVICE, "cannot %s '%s': it ends at byte %ju", write ? "write" : "read",
                           self->node.path, (uintmax_t)at);
        done += (size_t)got;
    }
    return true;
}

static void *bounce_of(struct linux_ns *self)
{
    if (self->bounce == NULL)
        must(posix_memalign(&self->bounce, IO_ALIGN, IO_CHUNK) == 0);
    return self->bounce;
}

static bool linux_read(struct nvme_ns *ns, uint64_t block, uint32_t count, void *data, struct err *err)
{
    struct linux_ns *self = ns_of(ns);
    if (!in_range(ns, block, count, err))
        return false;
    const size_t len = (size_t)count * ns->block_bytes;
    const uint64_t offset = block * ns->block_bytes;
    if ((uintptr_t)data % IO_ALIGN == 0)
        return move_piece(self, false, data, len, offset, err);
    uint8_t *bounce = bounce_of(self);
    for (size_t done = 0; done < len;) {
        const size_t piece = len - done < IO_CHUNK ? len - done : IO_CHUNK;
        if (!move_piece(self, false, bounce, piece, offset + done, err))
            return false;
        memcpy((uint8_t *)data + done, bounce, piece);
        done += piece;
    }
    return true;
}

/* Through the bounce buffer always: a copy costs little beside the drive, and `data` stays const. */
static bool linux_write(struct nvme_ns *ns, uint64_t block, uint32_t count, const void *data, struct err *err)
{
    struct linux_ns *self = ns_of(ns);
    if (!in_range(ns, block, count, err))
        return false;
    const size_t len = (size_t)count * ns->block_bytes;
    uint8_t *bounce = bounce_of(self);
    for (size_t done = 0; done < len;) {
        const size_t piece = len - done < IO_CHUNK ? len - done : IO_CHUNK;
        memcpy(bounce, (const uint8_t *)data + done, piece);
        if (!move_piece(self, true, bounce, piece, block * ns->block_bytes + done, err))
            return false;
        done += piece;
    }
    return true;
}

/* fsync on a block device sends a Flush to the drive, O_DIRECT or not. */
static bool linux_flush(struct nvme_ns *ns, struct err *err)
{
    const struct linux_ns *self = ns_of(ns);
    if (fsync(self->fd) < 0)
        return err_sys(err, errno, "cannot flush '%s'", self->node.path);
    return true;
}

static bool linux_drop_cache(struct nvme_ns *ns, struct err *err)
{
    const struct linux_ns *self = ns_of(ns);
    if (ioctl(self->fd, BLKFLSBUF, 0) < 0)
        return err_sys(err, errno, "cannot drop the cache of '%s'", self->node.path);
    return true;
}

static void linux_node(struct nvme_ns *ns, struct nvme_node *out)
{
    *out = ns_of(ns)->node;
}

/* By the descriptor, so that no name is looked up; read-only, for a holder who may write keeps others from mounting. */
static bool linux_hold(struct nvme_ns *ns, int *out, struct err *err)
{
    const struct linux_ns *self = ns_of(ns);
    char path[64];
    struct stat st;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", self->fd);
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return err_sys(err, errno, "cannot hold '%s'", self->node.path);
    must(fd > 0);
    if (fstat(fd, &st) < 0 || !S_ISBLK(st.st_mode) || st.st_rdev != self->node.rdev) {
        close(fd);
        return err_set(err, ERR_CONFLICT, "cannot hold '%s': it became another device", self->node.path);
    }
    *out = fd;
    return true;
}

static void linux_ns_close(struct nvme_ns *ns)
{
    struct linux_ns *self = ns_of(ns);
    close(self->fd);
    free(self->bounce);
    free(self);
}

static const struct nvme_ns_ops ns_ops = {
    .read = linux_read,
    .write = linux_write,
    .flush = linux_flush,
    .drop_cache = linux_drop_cache,
    .node = linux_node,
    .hold = linux_hold,
    .close = linux_ns_close,
};

/* --- Controllers ------------------------------------------------------------------------------------------------- */

static void linux_dev_close(struct nvme_dev *dev)
{
    struct linux_dev *self = dev_of(dev);
    if (self->fd >= 0)
        close(self->fd);
    if (self->ctrl >= 0)
        close(self->ctrl);
    if (self->events >= 0)
        close(self->events);
    free(self);
}

static void linux_place(struct nvme_dev *dev, char to[NVME_NAME_LEN])
{
    nvme_sysfs_place(((const struct linux_dev *)dev)->ctrl, to);
}

static const struct nvme_dev_ops dev_ops = {
    .admin = linux_admin,
    .ns_open = linux_ns_open,
    .ns_path = linux_ns_path,
    .place = linux_place,
    .rescan = linux_rescan,
    .wait = linux_wait,
    .close = linux_dev_close,
};

/* The folder is opened before the node and read after it: a controller that still has its number then had it when the
 * node was opened, so the node is its own. */
static bool open_node(struct linux_dev *self, struct err *err)
{
    char path[PATH_TEXT_MAX + NVME_NAME_LEN];
    struct stat st;
    dev_t rdev;
    if (!nvme_sysfs_open(self->where.sys, self->name, &self->ctrl, err))
        return false;
    snprintf(path, sizeof(path), "%s/%s", self->where.dev, self->name);
    self->fd = open(path, O_RDWR | O_CLOEXEC);
    if (self->fd < 0)
        return err_sys(err, errno, "cannot open '%s'", path);
    if (fstat(self->fd, &st) < 0)
        return err_sys(err, errno, "cannot look at '%s'", path);
    if (!nvme_sysfs_rdev(self->ctrl, &rdev, err))
        return err_wrap(err, "'%s'", self->name);
    if (!S_ISCHR(st.st_mode) || st.st_rdev != rdev)
        return err_set(err, ERR_CONFLICT, "cannot use '%s': it is not the controller '%s'", path, self->name);
    return true;
}

static bool linux_open(void *self, const char *name, struct nvme_dev **out, struct err *err)
{
    struct linux_dev *dev = zalloc(sizeof(*dev));
    dev->dev.ops = &dev_ops;
    dev->where = ((const struct linux_port *)self)->where;
    dev->by_ioctl = ((const struct linux_port *)self)->by_ioctl;
    dev->fd = dev->ctrl = dev->events = -1;
    if (!text_copy(dev->name, sizeof(dev->name), name))
        err_set(err, ERR_INPUT, "cannot open controller: its name is too long");
    else if (open_node(dev, err)) {
        *out = &dev->dev;
        return true;
    }
    nvme_dev_close(&dev->dev);
    return false;
}

static bool linux_list(void *self, struct nvme_names *out, struct err *err)
{
    return nvme_sysfs_list(((const struct linux_port *)self)->where.sys, out, err);
}

/* --- Events ------------------------------------------------------------------------------------------------------ */

static bool linux_watch(void *self, int *fd_out, struct err *err)
{
    struct linux_port *port = self;
    if (port->events < 0 && !nvme_uevent_open(&port->events, err))
        return false;
    *fd_out = port->events;
    return true;
}

static void touch(struct drive_news *news, const char *name)
{
    for (size_t i = 0; i < news->touched_count; i++)
        if (strcmp(news->touched[i], name) == 0)
            return;
    if (name[0] == '\0')
        return;
    if (news->touched_count == DRIVE_NEWS_MAX)
        news->all = true;
    else
        text_cut(news->touched[news->touched_count++], sizeof(news->touched[0]), name);
}

static void linux_news(void *self, struct drive_news *out)
{
    const struct linux_port *port = self;
    struct nvme_uevent event;
    *out = (struct drive_news){0};
    while (out->gone_count < DRIVE_NEWS_MAX && nvme_uevent_read(port->events, &event, &out->all)) {
        struct nvme_names names = {.count = 0};
        if (event.block && event.what == NVME_UEVENT_GONE)
            out->gone[out->gone_count++] = event.rdev;
        touch(out, event.ctrl);
        if (event.subsystem[0] != '\0')
            nvme_sysfs_members(port->where.sys, event.subsystem, &names);
        for (size_t i = 0; i < names.count; i++)
            touch(out, names.at[i]);
    }
}

static void linux_close(void *self)
{
    struct linux_port *port = self;
    if (port->events >= 0)
        close(port->events);
    free(port);
}

bool nvme_linux_open(bool format_by_ioctl, struct nvme_port *out, struct err *err)
{
    (void)err; /* a host without NVMe is one with an empty list */
    struct linux_port *self = zalloc(sizeof(*self));
    *self = (struct linux_port){.where = {.sys = "/sys", .dev = "/dev"}, .by_ioctl = format_by_ioctl, .events = -1};
    *out = (struct nvme_port){.self = self,
                              .list = linux_list,
                              .open = linux_open,
                              .watch = linux_watch,
                              .news = linux_news,
                              .close = linux_close};
    return true;
}
