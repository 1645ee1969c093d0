/* vfu_device.h - one software drive as a PCIe device behind vfio-user: messages in, replies out, interrupts by eventfd.
 *   - The client must begin with VFU_VERSION. What it asks for that cannot be is answered with an error and changes
 *     nothing; what breaks the protocol ends the connection.
 *   - A drive that is pulled out is a device that is not there: configuration space, registers and all else read as
 *     ones, writes are lost, memory is not touched and no interrupt comes. That is what a host sees of a real drive
 * that was pulled. When the drive is back in, the slot holds a device as after power on. The connection goes on: the
 *     client only models the slot.
 *   - An interrupt that has nowhere to go waits, and shows in the pending bits of MSI-X.
 *   - No socket and no clock. */
#ifndef NSMITH_VFU_DEVICE_H
#define NSMITH_VFU_DEVICE_H

#include "softnvme/vfu_msg.h"
#include "softnvme/vfu_nvme.h"
#include "softnvme/vfu_pci.h"

struct vfu_device {
    struct vfu_pci pci;
    struct vfu_nvme nvme;
    struct vfu_dma dma;
    int eventfds[VFU_VECTORS]; /* owned; -1: none */
    uint32_t masked, pending;  /* bit n: vector n */
    bool is_ready;             /* the version was agreed on */
    bool is_gone;              /* the drive is pulled out */
    size_t left_out;           /* so many regions have no memory that can be touched */
};

/* `drive` is borrowed and outlives it. The struct must not move. */
void vfu_device_init(struct vfu_device *out, struct soft_drive *drive, uint16_t cntlid);
void vfu_device_release(struct vfu_device *device);

/* One message and the descriptors that came with it, which are taken over. `reply` has VFU_REPLY_MAX bytes; *len_out:
 * so many are to be sent, 0 for none. false: the connection is over, *why says why. */
bool vfu_device_take(struct vfu_device *device, const struct vfu_msg *msg, int fds[VFU_FDS_MAX], size_t fd_count,
                     uint8_t *reply, size_t *len_out, const char **why);

/* As the functions of vfu_nvme.h. */
void vfu_device_ticked(struct vfu_device *device);
void vfu_device_events(struct vfu_device *device);

#endif
