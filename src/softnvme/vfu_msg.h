/* vfu_msg.h - the messages of vfio-user as bytes. Pure: no socket, no memory of its own.
 *
 * "vfio-user" is the protocol of QEMU's docs/interop/vfio-user.rst, version 0.0: what VFIO's ioctls say (linux/vfio.h),
 * as messages over a unix socket. The client, QEMU, asks; we only answer.
 *   - What a client sends is not trusted: type, length and every count are checked against the length of the message
 *     before they are used. A message that does not hold what its command needs ends the connection.
 *   - A command that is unknown here is a message like any other: it is answered with an error. */
#ifndef NSMITH_VFU_MSG_H
#define NSMITH_VFU_MSG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    VFU_HEAD_LEN = 16,
    VFU_DATA_MAX = 4096, /* of one access to a region: max_data_xfer_size. QEMU reads a whole configuration space */
    VFU_MULTI_MAX = 200, /* writes in one message */
    VFU_MULTI_LEN = 24,  /* of each */
    VFU_MSG_MAX = 8192,
    VFU_REPLY_MAX = VFU_HEAD_LEN + 16 + VFU_DATA_MAX,
    VFU_FDS_MAX = 16, /* with one message: max_msg_fds */
    VFU_MAPS_MAX = 65535,
};

enum vfu_command {
    VFU_VERSION = 1,
    VFU_DMA_MAP = 2,
    VFU_DMA_UNMAP = 3,
    VFU_GET_INFO = 4,
    VFU_GET_REGION_INFO = 5,
    VFU_GET_IRQ_INFO = 7,
    VFU_SET_IRQS = 8,
    VFU_REGION_READ = 9,
    VFU_REGION_WRITE = 10,
    VFU_RESET = 13,
    VFU_WRITE_MULTI = 15,
};

/* As VFIO has them. */
enum vfu_region { VFU_REGION_BAR0 = 0, VFU_REGION_CONFIG = 7, VFU_REGIONS = 9 };
enum vfu_irq { VFU_IRQ_MSI = 1, VFU_IRQ_MSIX = 2, VFU_IRQS = 5 };
enum { VFU_MAP_READ = 1 << 0, VFU_MAP_WRITE = 1 << 1, VFU_UNMAP_ALL = 1 << 1 };
enum {
    VFU_SET_NONE = 1 << 0, /* what comes with it */
    VFU_SET_BOOL = 1 << 1,
    VFU_SET_EVENTFD = 1 << 2,
    VFU_SET_MASK = 1 << 3, /* what to do */
    VFU_SET_UNMASK = 1 << 4,
    VFU_SET_TRIGGER = 1 << 5,
};

struct vfu_io {
    uint64_t offset;
    uint32_t region, count;
    const uint8_t *data; /* borrowed from the message; NULL: a read */
};

struct vfu_msg {
    uint16_t id, command;
    bool no_reply;
    union {
        struct {
            uint16_t major, minor;
        } version;
        struct {
            uint32_t flags;
            uint64_t offset, iova, size;
        } dma;          /* map, unmap */
        uint32_t index; /* of a region or an interrupt */
        struct {
            uint32_t flags, index, start, count;
            const uint8_t *values; /* VFU_SET_BOOL: borrowed, `count` of them */
        } irqs;
        struct vfu_io io;
        struct {
            const uint8_t *at; /* borrowed; see vfu_multi() */
            uint32_t count;
        } multi;
    };
};

enum vfu_parsed { VFU_MORE, VFU_WHOLE, VFU_REFUSED };

/* VFU_MORE: the message is not all there. VFU_REFUSED: *why says why, a text that stays. */
enum vfu_parsed vfu_msg_parse(const uint8_t *bytes, size_t have, struct vfu_msg *out, const char **why);
/* How many bytes the message has that begins so; the length of a header when that is not all there. A length that no
 * message has is VFU_HEAD_LEN: parse it. */
size_t vfu_msg_len(const uint8_t *bytes, size_t have);
/* The n-th write of a VFU_WRITE_MULTI. */
struct vfu_io vfu_multi(const struct vfu_msg *msg, uint32_t n);

/* Replies; `to` has VFU_REPLY_MAX bytes. Each returns the length, 0 when none is wanted. */
size_t vfu_put_error(uint8_t *to, const struct vfu_msg *msg, int error);
size_t vfu_put_done(uint8_t *to, const struct vfu_msg *msg);
size_t vfu_put_version(uint8_t *to, const struct vfu_msg *msg);
size_t vfu_put_unmapped(uint8_t *to, const struct vfu_msg *msg, uint64_t bytes);
size_t vfu_put_info(uint8_t *to, const struct vfu_msg *msg);
size_t vfu_put_region(uint8_t *to, const struct vfu_msg *msg, uint64_t size);
size_t vfu_put_irq(uint8_t *to, const struct vfu_msg *msg, uint32_t count);
/* A read is answered with its data, msg->io.count bytes at `data`. */
size_t vfu_put_io(uint8_t *to, const struct vfu_msg *msg, const uint8_t *data);

#endif
