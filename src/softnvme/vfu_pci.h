/* vfu_pci.h - what a drive looks like on PCI Express before it is an NVMe controller: configuration space, and the
 * table of MSI-X in BAR 0. Pure.
 *   - An endpoint with power management, PCI Express capabilities (function level reset) and MSI-X, or MSI as the
 *     profile of the drive has it; no INTx.
 *   - BAR 0: NVMe registers and doorbells, from VFU_TABLE_AT the MSI-X table, at VFU_PBA_AT the pending bits.
 *   - Only what a host may write changes. The client (QEMU) keeps a view of its own of BARs and MSI-X; ours is what a
 *     real device would have. */
#ifndef NSMITH_VFU_PCI_H
#define NSMITH_VFU_PCI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    VFU_CONFIG_LEN = 4096,
    VFU_VECTORS = 9,     /* one a queue */
    VFU_MSI_VECTORS = 8, /* MSI counts in powers of two */
    VFU_TABLE_AT = 0x2000,
    VFU_TABLE_LEN = VFU_VECTORS * 16,
    VFU_PBA_AT = 0x3000,
    VFU_PBA_LEN = 8,
    VFU_BAR_LEN = 0x4000,
};

struct vfu_pci {
    bool msi;
    uint8_t config[VFU_CONFIG_LEN];
    uint8_t table[VFU_TABLE_LEN];
};

/* As after power on, which a function level reset does too. */
void vfu_pci_init(struct vfu_pci *out, uint16_t vendor_id, bool msi);
/* The range must lie within VFU_CONFIG_LEN. */
void vfu_pci_read(const struct vfu_pci *pci, uint64_t offset, void *to, size_t len);
/* true: a function level reset was asked for. */
bool vfu_pci_write(struct vfu_pci *pci, uint64_t offset, const void *from, size_t len);
/* Whether the device may touch memory (Bus Master Enable). */
bool vfu_pci_is_master(const struct vfu_pci *pci);

#endif
