#include "softnvme/vfu_msg.h"

#include "base/must.h"
#include "nvme/nvme_wire.h"

#include <string.h>

enum { AT_COMMAND = 2, AT_SIZE = 4, AT_FLAGS = 8, AT_ERROR = 12 };
enum { TYPE = 0xf, REPLY = 1, NO_REPLY = 1 << 4, ERROR = 1 << 5 };

/* --- What a client sends ----------------------------------------------------------------------------------------- */

size_t vfu_msg_len(const uint8_t *bytes, size_t have)
{
    const uint32_t size = have < VFU_HEAD_LEN ? 0 : le32_read(bytes + AT_SIZE);
    return size < VFU_HEAD_LEN || size > VFU_MSG_MAX ? VFU_HEAD_LEN : size;
}

/* So many bytes a command has at least behind the header. */
static size_t least(uint16_t command)
{
    switch ((enum vfu_command)command) {
    case VFU_VERSION:
        return 4;
    case VFU_DMA_MAP:
        return 32;
    case VFU_DMA_UNMAP:
        return 24;
    case VFU_GET_INFO:
    case VFU_GET_IRQ_INFO:
        return 16;
    case VFU_GET_REGION_INFO:
        return 32;
    case VFU_SET_IRQS:
        return 20;
    case VFU_REGION_READ:
    case VFU_REGION_WRITE:
        return 16;
    case VFU_WRITE_MULTI:
        return 8;
    case VFU_RESET:
        break;
    }
    return 0;
}

static bool parse_irqs(const uint8_t *body, size_t len, struct vfu_msg *msg)
{
    enum { FLAGS = 4, INDEX = 8, START = 12, COUNT = 16, VALUES = 20 };
    msg->irqs.flags = le32_read(body + FLAGS);
    msg->irqs.index = le32_read(body + INDEX);
    msg->irqs.start = le32_read(body + START);
    msg->irqs.count = le32_read(body + COUNT);
    msg->irqs.values = body + VALUES;
    return !(msg->irqs.flags & VFU_SET_BOOL) || msg->irqs.count <= len - VALUES;
}

static bool parse_io(const uint8_t *body, size_t len, struct vfu_msg *msg)
{
    enum { REGION = 8, COUNT = 12, DATA = 16 };
    const bool writes = msg->command == VFU_REGION_WRITE;
    msg->io.offset = le64_read(body);
    msg->io.region = le32_read(body + REGION);
    msg->io.count = le32_read(body + COUNT);
    msg->io.data = writes ? body + DATA : NULL;
    return msg->io.count <= VFU_DATA_MAX && (!writes || msg->io.count == len - DATA);
}

static bool parse_multi(const uint8_t *body, size_t len, struct vfu_msg *msg)
{
    enum { WRITES = 8, ROOM = 8 };
    const uint64_t count = le64_read(body);
    if (count > VFU_MULTI_MAX || len - WRITES != count * VFU_MULTI_LEN)
        return false;
    msg->multi.at = body + WRITES;
    msg->multi.count = (uint32_t)count;
    for (uint32_t i = 0; i < count; i++)
        if (vfu_multi(msg, i).count > ROOM)
            return false;
    return true;
}

/* VFIO's own structures begin with argsz, which the length of the message says already. */
static bool parse_body(const uint8_t *body, size_t len, struct vfu_msg *msg)
{
    switch ((enum vfu_command)msg->command) {
    case VFU_VERSION:
        msg->version.major = le16_read(body);
        msg->version.minor = le16_read(body + 2);
        return true;
    case VFU_DMA_MAP:
        msg->dma.flags = le32_read(body + 4);
        msg->dma.offset = le64_read(body + 8);
        msg->dma.iova = le64_read(body + 16);
        msg->dma.size = le64_read(body + 24);
        return true;
    case VFU_DMA_UNMAP:
        msg->dma.flags = le32_read(body + 4);
        msg->dma.iova = le64_read(body + 8);
        msg->dma.size = le64_read(body + 16);
        return true;
    case VFU_GET_REGION_INFO:
    case VFU_GET_IRQ_INFO:
        msg->index = le32_read(body + 8);
        return true;
    case VFU_SET_IRQS:
        return parse_irqs(body, len, msg);
    case VFU_REGION_READ:
    case VFU_REGION_WRITE:
        return parse_io(body, len, msg);
    case VFU_WRITE_MULTI:
        return parse_multi(body, len, msg);
    case VFU_GET_INFO:
    case VFU_RESET:
        break;
    }
    return true;
}

static enum vfu_parsed refuse(const char **why, const char *text)
{
    *why = text;
    return VFU_REFUSED;
}

enum vfu_parsed vfu_msg_parse(const uint8_t *bytes, size_t have, struct vfu_msg *out, const char **why)
{
    if (have < VFU_HEAD_LEN)
        return VFU_MORE;
    const uint32_t size = le32_read(bytes + AT_SIZE), flags = le32_read(bytes + AT_FLAGS);
    if (size < VFU_HEAD_LEN || size > VFU_MSG_MAX)
        return refuse(why, "the client sent a message of a length that none has");
    if ((flags & TYPE) != 0)
        return refuse(why, "the client sent a reply, and was asked nothing");
    if (have < size)
        return VFU_MORE;
    struct vfu_msg msg = {
        .id = le16_read(bytes), .command = le16_read(bytes + AT_COMMAND), .no_reply = flags & NO_REPLY};
    const size_t len = size - VFU_HEAD_LEN;
    if (len < least(msg.command))
        return refuse(why, "the client sent a message that is too short for its command");
    if (!parse_body(bytes + VFU_HEAD_LEN, len, &msg))
        return refuse(why, "the client sent a message that does not hold what it says");
    *out = msg;
    return VFU_WHOLE;
}

struct vfu_io vfu_multi(const struct vfu_msg *msg, uint32_t n)
{
    must(n < msg->multi.count);
    const uint8_t *at = msg->multi.at + (size_t)n * VFU_MULTI_LEN;
    return (struct vfu_io){
        .offset = le64_read(at), .region = le32_read(at + 8), .count = le32_read(at + 12), .data = at + 16};
}

/* --- What we send ------------------------------------------------------------------------------------------------ */

static size_t put(uint8_t *to, const struct vfu_msg *msg, size_t body_len, int error)
{
    must(VFU_HEAD_LEN + body_len <= VFU_REPLY_MAX);
    le16_write(to, msg->id);
    le16_write(to + AT_COMMAND, msg->command);
    le32_write(to + AT_SIZE, (uint32_t)(VFU_HEAD_LEN + body_len));
    le32_write(to + AT_FLAGS, REPLY | (error != 0 ? ERROR : 0));
    le32_write(to + AT_ERROR, (uint32_t)error);
    return msg->no_reply ? 0 : VFU_HEAD_LEN + body_len;
}

size_t vfu_put_error(uint8_t *to, const struct vfu_msg *msg, int error)
{
    must(error > 0);
    return put(to, msg, 0, error);
}

size_t vfu_put_done(uint8_t *to, const struct vfu_msg *msg)
{
    return put(to, msg, 0, 0);
}

size_t vfu_put_version(uint8_t *to, const struct vfu_msg *msg)
{
    static const char capabilities[] = "{\"capabilities\":{\"max_msg_fds\":16,\"max_data_xfer_size\":4096,"
                                       "\"max_dma_maps\":65535,\"pgsizes\":4096,\"write_multiple\":true}}";
    _Static_assert(VFU_FDS_MAX == 16 && VFU_DATA_MAX == 4096 && VFU_MAPS_MAX == 65535, "as the text has them");
    le32_write(to + VFU_HEAD_LEN, 0); /* version 0.0 */
    memcpy(to + VFU_HEAD_LEN + 4, capabilities, sizeof(capabilities));
    return put(to, msg, 4 + sizeof(capabilities), 0);
}

size_t vfu_put_unmapped(uint8_t *to, const struct vfu_msg *msg, uint64_t bytes)
{
    uint8_t *body = to + VFU_HEAD_LEN;
    le32_write(body, 24);
    le32_write(body + 4, msg->dma.flags);
    le64_write(body + 8, msg->dma.iova);
    le64_write(body + 16, bytes);
    return put(to, msg, 24, 0);
}

size_t vfu_put_info(uint8_t *to, const struct vfu_msg *msg)
{
    enum { CAN_RESET = 1 << 0, IS_PCI = 1 << 1 };
    uint8_t *body = to + VFU_HEAD_LEN;
    le32_write(body, 16);
    le32_write(body + 4, CAN_RESET | IS_PCI);
    le32_write(body + 8, VFU_REGIONS);
    le32_write(body + 12, VFU_IRQS);
    return put(to, msg, 16, 0);
}

size_t vfu_put_region(uint8_t *to, const struct vfu_msg *msg, uint64_t size)
{
    enum { READS = 1 << 0, WRITES = 1 << 1, OFFSET_SHIFT = 40 };
    uint8_t *body = to + VFU_HEAD_LEN;
    le32_write(body, 32);
    le32_write(body + 4, size == 0 ? 0 : READS | WRITES);
    le32_write(body + 8, msg->index);
    le32_write(body + 12, 0);
    le64_write(body + 16, size);
    le64_write(body + 24, (uint64_t)msg->index << OFFSET_SHIFT);
    return put(to, msg, 32, 0);
}

size_t vfu_put_irq(uint8_t *to, const struct vfu_msg *msg, uint32_t count)
{
    enum { BY_EVENTFD = 1 << 0, NO_RESIZE = 1 << 3 };
    uint8_t *body = to + VFU_HEAD_LEN;
    le32_write(body, 16);
    le32_write(body + 4, count == 0 ? 0 : BY_EVENTFD | NO_RESIZE);
    le32_write(body + 8, msg->index);
    le32_write(body + 12, count);
    return put(to, msg, 16, 0);
}

size_t vfu_put_io(uint8_t *to, const struct vfu_msg *msg, const uint8_t *data)
{
    uint8_t *body = to + VFU_HEAD_LEN;
    const bool reads = msg->command == VFU_REGION_READ;
    must(msg->io.count <= VFU_DATA_MAX);
    le64_write(body, msg->io.offset);
    le32_write(body + 8, msg->io.region);
    le32_write(body + 12, msg->io.count);
    if (reads && msg->io.count > 0)
        memcpy(body + 16, data, msg->io.count);
    return put(to, msg, reads ? 16 + msg->io.count : 16, 0);
}
