#include "softnvme/vfu_pci.h"

#include "base/must.h"
#include "nvme/nvme_wire.h"

#include <string.h>

/* Places in configuration space: PCI Local Bus 3.0, chapter 6, and PCI Express Base, "PCI Express Capability". */
enum {
    VENDOR = 0x00,
    DEVICE = 0x02,
    COMMAND = 0x04,
    STATUS = 0x06,
    CLASS = 0x08,
    LINE_SIZE = 0x0c,
    BAR0 = 0x10,
    SUBSYSTEM = 0x2c,
    CAPABILITIES = 0x34,
    INTERRUPT_LINE = 0x3c,
    PM = 0x40,
    PM_STATE = PM + 4,
    INTERRUPTS = 0x50, /* MSI-X, or MSI */
    EXPRESS = 0x60,
    DEVICE_CONTROL = EXPRESS + 0x08,
    LINK_CONTROL = EXPRESS + 0x10,
    DEVICE_CONTROL_2 = EXPRESS + 0x28,
};

enum { MEMORY_SPACE = 1 << 1, BUS_MASTER = 1 << 2, NO_INTX = 1 << 10, FUNCTION_RESET = 1 << 15 };

/* With no id that a kernel has quirks for; "ns". */
enum { DEVICE_ID = 0x6e73 };

struct writable {
    uint16_t at;
    uint32_t mask; /* bits that a host may write; all others stay */
};

static const struct writable always[] = {
    {COMMAND, MEMORY_SPACE | BUS_MASTER | NO_INTX},
    {LINE_SIZE, 0xff},
    {BAR0, ~(uint32_t)(VFU_BAR_LEN - 1)},
    {BAR0 + 4, UINT32_MAX},
    {INTERRUPT_LINE, 0xff},
    {PM_STATE, 3},
    {DEVICE_CONTROL, 0x7fff},
    {LINK_CONTROL, 0x0ffb},
    {DEVICE_CONTROL_2, 0x041f},
};

static const struct writable of_msix[] = {
    {INTERRUPTS, 0xc0000000u}, /* Message Control: enable, mask all */
};

static const struct writable of_msi[] = {
    {INTERRUPTS, 0x00710000}, /* Message Control: enable, how many */
    {INTERRUPTS + 4, ~3u},    /* the address, */
    {INTERRUPTS + 8, UINT32_MAX},
    {INTERRUPTS + 12, 0xffff}, /* and what is written there */
};

static void put_pm(uint8_t *at)
{
    enum { VERSION_3 = 3, NO_SOFT_RESET = 1 << 3 };
    at[0] = 0x01;
    at[1] = INTERRUPTS;
    le16_write(at + 2, VERSION_3);
    le16_write(at + 4, NO_SOFT_RESET);
}

/* Eight vectors, addresses of 64 bits, no masks. */
static void put_msi(uint8_t *at)
{
    enum { EIGHT = 3 << 1, WIDE = 1 << 7 };
    _Static_assert(VFU_MSI_VECTORS == 1 << (EIGHT >> 1), "Multiple Message Capable");
    at[0] = 0x05;
    at[1] = EXPRESS;
    le16_write(at + 2, EIGHT | WIDE);
}

static void put_msix(uint8_t *at)
{
    at[0] = 0x11;
    at[1] = EXPRESS;
    le16_write(at + 2, VFU_VECTORS - 1);
    le32_write(at + 4, VFU_TABLE_AT); /* the lowest bits: BAR 0 */
    le32_write(at + 8, VFU_PBA_AT);
}

/* A link of 8 GT/s and four lanes. */
static void put_express(uint8_t *at)
{
    enum {
        VERSION_2 = 2,
        ROLE_BASED_ERRORS = 1 << 15,
        CAN_RESET = 1 << 28,
        GEN3 = 3,
        LANES = 4 << 4,
        READ_512 = 2 << 12
    };
    at[0] = 0x10;
    le16_write(at + 2, VERSION_2);
    le32_write(at + 4, ROLE_BASED_ERRORS | CAN_RESET);
    le16_write(at + 8, READ_512);
    le32_write(at + 12, GEN3 | LANES);
    le16_write(at + 18, GEN3 | LANES);
    le32_write(at + 0x2c, 0x7 << 1); /* 2.5, 5 and 8 GT/s */
    le16_write(at + 0x30, GEN3);
}

void vfu_pci_init(struct vfu_pci *out, uint16_t vendor_id, bool msi)
{
    enum { HAS_CAPABILITIES = 1 << 4, REVISION = 1, NVME_CLASS = 0x010802, BAR_64_BIT = 1 << 2, MASKED = 1 };
    uint8_t *config = out->config;
    *out = (struct vfu_pci){.msi = msi};
    le16_write(config + VENDOR, vendor_id);
    le16_write(config + DEVICE, DEVICE_ID);
    le16_write(config + STATUS, HAS_CAPABILITIES);
    le32_write(config + CLASS, NVME_CLASS << 8 | REVISION);
    le32_write(config + BAR0, BAR_64_BIT);
    le16_write(config + SUBSYSTEM, vendor_id);
    le16_write(config + SUBSYSTEM + 2, DEVICE_ID);
    config[CAPABILITIES] = PM;
    put_pm(config + PM);
    if (msi)
        put_msi(config + INTERRUPTS);
    else
        put_msix(config + INTERRUPTS);
    put_express(config + EXPRESS);
    for (size_t i = 0; i < VFU_VECTORS; i++)
        out->table[i * 16 + 12] = MASKED;
}

void vfu_pci_read(const struct vfu_pci *pci, uint64_t offset, void *to, size_t len)
{
    must(offset <= VFU_CONFIG_LEN);
    must(len <= VFU_CONFIG_LEN - offset);
    memcpy(to, pci->config + offset, len);
}

/* The bits of one byte that the list has. */
static uint8_t mask_in(const struct writable *list, size_t count, uint64_t at)
{
    for (size_t i = 0; i < count; i++)
        if (at >= list[i].at && at < list[i].at + 4u)
            return (uint8_t)(list[i].mask >> 8 * (at - list[i].at));
    return 0;
}

static uint8_t mask_at(const struct vfu_pci *pci, uint64_t at)
{
    const uint8_t mask = mask_in(always, sizeof(always) / sizeof(always[0]), at);
    return mask | (pci->msi ? mask_in(of_msi, sizeof(of_msi) / sizeof(of_msi[0]), at)
                            : mask_in(of_msix, sizeof(of_msix) / sizeof(of_msix[0]), at));
}

bool vfu_pci_write(struct vfu_pci *pci, uint64_t offset, const void *from, size_t len)
{
    const uint8_t *bytes = from;
    must(offset <= VFU_CONFIG_LEN);
    must(len <= VFU_CONFIG_LEN - offset);
    bool reset = false;
    for (size_t i = 0; i < len; i++) {
        const uint64_t at = offset + i;
        const uint8_t mask = mask_at(pci, at);
        pci->config[at] = (uint8_t)((pci->config[at] & ~mask) | (bytes[i] & mask));
        reset = reset || (at == DEVICE_CONTROL + 1 && bytes[i] & FUNCTION_RESET >> 8);
    }
    return reset;
}

bool vfu_pci_is_master(const struct vfu_pci *pci)
{
    return pci->config[COMMAND] & BUS_MASTER;
}
