#include "softnvme/vfu_device.h"

#include "base/must.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void power_on(struct vfu_device *device)
{
    const struct soft_profile *profile = soft_drive_profile(device->nvme.front.drive);
    vfu_pci_init(&device->pci, profile->vendor_id, profile->msi);
    vfu_nvme_set_master(&device->nvme, false);
    vfu_nvme_reset(&device->nvme);
    device->masked = device->pending = 0;
}

void vfu_device_init(struct vfu_device *out, struct soft_drive *drive, uint16_t cntlid)
{
    *out = (struct vfu_device){0};
    for (size_t i = 0; i < VFU_VECTORS; i++)
        out->eventfds[i] = -1;
    vfu_nvme_init(&out->nvme, drive, cntlid, &out->dma);
    power_on(out);
}

static void set_eventfd(struct vfu_device *device, uint32_t vector, int fd)
{
    if (device->eventfds[vector] >= 0)
        close(device->eventfds[vector]);
    device->eventfds[vector] = fd;
}

void vfu_device_release(struct vfu_device *device)
{
    vfu_nvme_reset(&device->nvme);
    for (uint32_t i = 0; i < VFU_VECTORS; i++)
        set_eventfd(device, i, -1);
    vfu_nvme_release(&device->nvme);
    vfu_dma_release(&device->dma);
}

/* --- Interrupts -------------------------------------------------------------------------------------------------- */

static void deliver(struct vfu_device *device)
{
    const uint64_t one = 1;
    device->pending |= device->nvme.raised;
    device->nvme.raised = 0;
    for (uint32_t i = 0; i < VFU_VECTORS; i++) {
        if (!(device->pending >> i & 1) || device->masked >> i & 1 || device->eventfds[i] < 0)
            continue;
        device->pending &= ~(1u << i);
        const ssize_t n = write(device->eventfds[i], &one, sizeof(one));
        (void)n; /* it cannot block; when its counter is full it is signalled anyway */
    }
}

/* Only an eventfd that does not block is written to: anything else could hold us up, or end us. */
static bool is_eventfd(int fd)
{
    static const char want[] = "anon_inode:[eventfd]";
    char path[40], target[sizeof(want)];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    const ssize_t n = readlink(path, target, sizeof(target));
    return n == (ssize_t)sizeof(want) - 1 && memcmp(target, want, (size_t)n) == 0 &&
           fcntl(fd, F_SETFL, O_NONBLOCK) == 0;
}

/* linux/vfio.h, VFIO_DEVICE_SET_IRQS. Descriptors come for all vectors or for none of them, which takes them away. */
static int set_eventfds(struct vfu_device *device, const struct vfu_msg *msg, int *fds, size_t fd_count)
{
    if (fd_count != 0 && fd_count != msg->irqs.count)
        return EINVAL;
    for (size_t i = 0; i < fd_count; i++)
        if (!is_eventfd(fds[i]))
            return EINVAL;
    for (uint32_t i = 0; i < msg->irqs.count; i++) {
        set_eventfd(device, msg->irqs.start + i, fd_count != 0 ? fds[i] : -1);
        if (fd_count != 0)
            fds[i] = -1;
    }
    return 0;
}

static void change_vectors(struct vfu_device *device, const struct vfu_msg *msg)
{
    for (uint32_t i = 0; i < msg->irqs.count; i++) {
        const uint32_t bit = 1u << (msg->irqs.start + i);
        if (msg->irqs.flags & VFU_SET_BOOL && msg->irqs.values[i] == 0)
            continue;
        if (msg->irqs.flags & VFU_SET_MASK)
            device->masked |= bit;
        else if (msg->irqs.flags & VFU_SET_UNMASK)
            device->masked &= ~bit;
        else
            device->pending |= bit;
    }
}

static uint32_t vectors_of(const struct vfu_device *device, uint32_t index)
{
    return index == (device->pci.msi ? VFU_IRQ_MSI : VFU_IRQ_MSIX) ? device->nvme.vectors : 0;
}

static int set_irqs(struct vfu_device *device, const struct vfu_msg *msg, int *fds, size_t fd_count)
{
    const uint32_t flags = msg->irqs.flags, what = flags & 7, action = flags & ~7u;
    const uint32_t vectors = vectors_of(device, msg->irqs.index);
    if (msg->irqs.index >= VFU_IRQS || msg->irqs.start > vectors || msg->irqs.count > vectors - msg->irqs.start ||
        (what != VFU_SET_NONE && what != VFU_SET_BOOL && what != VFU_SET_EVENTFD) ||
        (action != VFU_SET_MASK && action != VFU_SET_UNMASK && action != VFU_SET_TRIGGER) ||
        (what == VFU_SET_EVENTFD && action != VFU_SET_TRIGGER))
        return EINVAL;
    if (vectors == 0) /* there are none: nothing to be taken away */
        return 0;
    if (what == VFU_SET_EVENTFD)
        return set_eventfds(device, msg, fds, fd_count);
    if (what == VFU_SET_NONE && action == VFU_SET_TRIGGER && msg->irqs.count == 0)
        for (uint32_t i = 0; i < VFU_VECTORS; i++)
            set_eventfd(device, i, -1);
    change_vectors(device, msg);
    return 0;
}

/* --- Regions ----------------------------------------------------------------------------------------------------- */

static uint64_t region_size(uint32_t region)
{
    return region == VFU_REGION_BAR0 ? VFU_BAR_LEN : region == VFU_REGION_CONFIG ? VFU_CONFIG_LEN : 0;
}

static bool is_inside(const struct vfu_io *io)
{
    const uint64_t size = region_size(io->region);
    return io->offset <= size && io->count <= size - io->offset;
}

/* What of an access to BAR 0 lies in [at, at + size): its place in there, its place in the access, and its length. */
static size_t overlap(const struct vfu_io *io, uint64_t at, size_t size, size_t *in_part, size_t *in_access)
{
    const uint64_t first = io->offset > at ? io->offset : at;
    const uint64_t io_end = io->offset + io->count, end = io_end < at + size ? io_end : at + size;
    *in_part = (size_t)(first - at);
    *in_access = (size_t)(first - io->offset);
    return first < end ? (size_t)(end - first) : 0;
}

static void read_bar(const struct vfu_device *device, const struct vfu_io *io, uint8_t *to)
{
    uint8_t pba[VFU_PBA_LEN] = {0};
    size_t at, from, n;
    le32_write(pba, device->pending);
    memset(to, 0, io->count);
    if ((n = overlap(io, 0, VFU_TABLE_AT, &at, &from)) > 0)
        vfu_nvme_read(&device->nvme, at, to + from, n);
    if ((n = overlap(io, VFU_TABLE_AT, VFU_TABLE_LEN, &at, &from)) > 0)
        memcpy(to + from, device->pci.table + at, n);
    if ((n = overlap(io, VFU_PBA_AT, VFU_PBA_LEN, &at, &from)) > 0)
        memcpy(to + from, pba + at, n);
}

static void write_bar(struct vfu_device *device, const struct vfu_io *io)
{
    size_t at, from, n;
    if ((n = overlap(io, 0, VFU_TABLE_AT, &at, &from)) > 0)
        vfu_nvme_write(&device->nvme, at, io->data + from, n);
    if ((n = overlap(io, VFU_TABLE_AT, VFU_TABLE_LEN, &at, &from)) > 0)
        memcpy(device->pci.table + at, io->data + from, n);
}

static int read_region(const struct vfu_device *device, const struct vfu_io *io, uint8_t *to)
{
    if (!is_inside(io))
        return EINVAL;
    if (device->is_gone)
        memset(to, 0xff, io->count);
    else if (io->region == VFU_REGION_CONFIG)
        vfu_pci_read(&device->pci, io->offset, to, io->count);
    else if (io->region == VFU_REGION_BAR0)
        read_bar(device, io, to);
    return 0;
}

static int write_region(struct vfu_device *device, const struct vfu_io *io)
{
    if (!is_inside(io))
        return EINVAL;
    if (device->is_gone)
        return 0;
    if (io->region == VFU_REGION_BAR0)
        write_bar(device, io);
    if (io->region != VFU_REGION_CONFIG)
        return 0;
    if (vfu_pci_write(&device->pci, io->offset, io->data, io->count))
        power_on(device);
    vfu_nvme_set_master(&device->nvme, vfu_pci_is_master(&device->pci));
    return 0;
}

static int write_multi(struct vfu_device *device, const struct vfu_msg *msg)
{
    int error = 0;
    for (uint32_t i = 0; i < msg->multi.count && error == 0; i++) {
        const struct vfu_io io = vfu_multi(msg, i);
        error = write_region(device, &io);
    }
    return error;
}

/* --- Memory ------------------------------------------------------------------------------------------------------ */

static int map(struct vfu_device *device, const struct vfu_msg *msg, const int *fds, size_t fd_count)
{
    bool usable;
    if (fd_count > 1 || msg->dma.flags & ~(uint32_t)(VFU_MAP_READ | VFU_MAP_WRITE))
        return EINVAL;
    const struct vfu_mapping mapping = {.iova = msg->dma.iova,
                                        .size = msg->dma.size,
                                        .offset = msg->dma.offset,
                                        .fd = fd_count == 1 ? fds[0] : -1,
                                        .can_read = msg->dma.flags & VFU_MAP_READ,
                                        .can_write = msg->dma.flags & VFU_MAP_WRITE};
    const int error = vfu_dma_map(&device->dma, &mapping, &usable);
    if (error == 0 && !usable && fd_count == 1)
        device->left_out++;
    return error;
}

static int unmap(struct vfu_device *device, const struct vfu_msg *msg, uint64_t *bytes)
{
    if (msg->dma.flags & ~(uint32_t)VFU_UNMAP_ALL)
        return EINVAL;
    if (!(msg->dma.flags & VFU_UNMAP_ALL))
        return vfu_dma_unmap(&device->dma, msg->dma.iova, msg->dma.size, bytes);
    if (msg->dma.iova != 0 || msg->dma.size != 0)
        return EINVAL;
    *bytes = vfu_dma_clear(&device->dma);
    return 0;
}

/* --- Messages ---------------------------------------------------------------------------------------------------- */

static size_t answer(uint8_t *reply, const struct vfu_msg *msg, int error)
{
    return error != 0 ? vfu_put_error(reply, msg, error) : vfu_put_done(reply, msg);
}

static size_t answer_read(const struct vfu_device *device, const struct vfu_msg *msg, uint8_t *reply)
{
    uint8_t data[VFU_DATA_MAX];
    const int error = read_region(device, &msg->io, data);
    return error != 0 ? vfu_put_error(reply, msg, error) : vfu_put_io(reply, msg, data);
}

static size_t answer_write(struct vfu_device *device, const struct vfu_msg *msg, uint8_t *reply)
{
    const int error = write_region(device, &msg->io);
    return error != 0 ? vfu_put_error(reply, msg, error) : vfu_put_io(reply, msg, NULL);
}

static size_t answer_unmap(struct vfu_device *device, const struct vfu_msg *msg, uint8_t *reply)
{
    uint64_t bytes = 0;
    const int error = unmap(device, msg, &bytes);
    return error != 0 ? vfu_put_error(reply, msg, error) : vfu_put_unmapped(reply, msg, bytes);
}

static size_t respond(struct vfu_device *device, const struct vfu_msg *msg, int *fds, size_t fd_count, uint8_t *reply)
{
    switch ((enum vfu_command)msg->command) {
    case VFU_VERSION:
        device->is_ready = true;
        return vfu_put_version(reply, msg);
    case VFU_DMA_MAP:
        return answer(reply, msg, map(device, msg, fds, fd_count));
    case VFU_DMA_UNMAP:
        return answer_unmap(device, msg, reply);
    case VFU_GET_INFO:
        return vfu_put_info(reply, msg);
    case VFU_GET_REGION_INFO:
        return msg->index >= VFU_REGIONS ? vfu_put_error(reply, msg, EINVAL)
                                         : vfu_put_region(reply, msg, region_size(msg->index));
    case VFU_GET_IRQ_INFO:
        return msg->index >= VFU_IRQS ? vfu_put_error(reply, msg, EINVAL)
                                      : vfu_put_irq(reply, msg, vectors_of(device, msg->index));
    case VFU_SET_IRQS:
        return answer(reply, msg, set_irqs(device, msg, fds, fd_count));
    case VFU_REGION_READ:
        return answer_read(device, msg, reply);
    case VFU_REGION_WRITE:
        return answer_write(device, msg, reply);
    case VFU_WRITE_MULTI:
        return answer(reply, msg, write_multi(device, msg));
    case VFU_RESET:
        if (!device->is_gone)
            power_on(device);
        return vfu_put_done(reply, msg);
    }
    return vfu_put_error(reply, msg, ENOTSUP);
}

/* A drive that was pulled, or is back. */
static void look(struct vfu_device *device)
{
    const struct front *front = &device->nvme.front;
    const bool is_out = !soft_drive_present(front->drive);
    if (!is_out && (device->is_gone || front_is_pulled(front))) {
        power_on(device);
        device->is_gone = false;
    } else if (is_out && !device->is_gone) {
        device->is_gone = true;
        device->pending = 0;
    }
}

bool vfu_device_take(struct vfu_device *device, const struct vfu_msg *msg, int fds[VFU_FDS_MAX], size_t fd_count,
                     uint8_t *reply, size_t *len_out, const char **why)
{
    const bool begins = msg->command == VFU_VERSION;
    const char *bad = NULL;
    must(fd_count <= VFU_FDS_MAX);
    look(device);
    if (begins == device->is_ready)
        bad = begins ? "the client sent its version twice" : "the client did not begin with its version";
    else if (begins && msg->version.major != 0)
        bad = "the client has another version of vfio-user";
    else
        *len_out = respond(device, msg, fds, fd_count, reply);
    for (size_t i = 0; i < fd_count; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    if (bad != NULL) {
        *why = bad;
        return false;
    }
    deliver(device);
    return true;
}

void vfu_device_ticked(struct vfu_device *device)
{
    look(device);
    if (!device->is_gone)
        vfu_nvme_ticked(&device->nvme);
    deliver(device);
}

void vfu_device_events(struct vfu_device *device)
{
    look(device);
    if (!device->is_gone)
        vfu_nvme_events(&device->nvme);
    deliver(device);
}
