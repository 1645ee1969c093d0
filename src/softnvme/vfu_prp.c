/* vfu_prp.c - the data of commands on PCI Express: how much there is, and where in the host's memory. Base 2.0,
 * "Physical Region Page Entry and List". */
#include "softnvme/vfu_nvme.h"

#include "base/must.h"

enum { RANGE_BYTES = 16, AT_PRP1 = 24, AT_PRP2 = 32, ENTRY = 8 };

static struct vfu_transfer io_transfer(const struct nvme_cmd *cmd, uint32_t block_bytes)
{
    const uint64_t blocks = (uint64_t)(cmd->cdw12 & 0xffff) + 1;
    switch (cmd->opcode) {
    case NVME_IO_READ:
        return (struct vfu_transfer){VFU_TO_HOST, blocks * block_bytes};
    case NVME_IO_WRITE:
        return (struct vfu_transfer){VFU_FROM_HOST, blocks * block_bytes};
    case NVME_IO_DSM:
        return (struct vfu_transfer){VFU_FROM_HOST, ((cmd->cdw10 & 0xff) + 1) * RANGE_BYTES};
    default:
        return (struct vfu_transfer){VFU_NO_DATA, 0};
    }
}

struct vfu_transfer vfu_transfer(const struct nvme_cmd *cmd, bool io, uint32_t block_bytes)
{
    if (io)
        return io_transfer(cmd, block_bytes);
    switch (cmd->opcode) {
    case NVME_OP_IDENTIFY:
        return (struct vfu_transfer){VFU_TO_HOST, NVME_PAGE};
    case NVME_OP_GET_LOG:
        return (struct vfu_transfer){VFU_TO_HOST,
                                     ((uint64_t)(cmd->cdw10 >> 16) + ((uint64_t)(cmd->cdw11 & 0xffff) << 16) + 1) * 4};
    case NVME_OP_NS_ATTACHMENT:
        return (struct vfu_transfer){VFU_FROM_HOST, NVME_PAGE};
    case NVME_OP_NS_MANAGEMENT:
        return (cmd->cdw10 & 0xf) == NVME_NS_CREATE ? (struct vfu_transfer){VFU_FROM_HOST, NVME_PAGE}
                                                    : (struct vfu_transfer){VFU_NO_DATA, 0};
    case NVME_OP_FW_DOWNLOAD:
        return (struct vfu_transfer){VFU_FROM_HOST, ((uint64_t)cmd->cdw10 + 1) * 4};
    default:
        return (struct vfu_transfer){VFU_NO_DATA, 0};
    }
}

static uint16_t copy(const struct vfu_dma *dma, uint64_t at, uint8_t *data, size_t len, bool to_host)
{
    const bool ok = to_host ? vfu_dma_write(dma, at, data, len) : vfu_dma_read(dma, at, data, len);
    return ok ? NVME_ST_OK : NVME_ST_TRANSFER_ERROR;
}

/* One entry of a list. At the end of a page of it there is the address of the next one, when more than one entry is
 * still needed. */
static uint16_t next_entry(const struct vfu_dma *dma, uint64_t *list, size_t left, uint64_t *out)
{
    uint8_t entry[ENTRY];
    for (;;) {
        if (!vfu_dma_read(dma, *list, entry, sizeof(entry)))
            return NVME_ST_TRANSFER_ERROR;
        *out = le64_read(entry);
        if (*out % NVME_PAGE != 0)
            return NVME_ST_PRP_OFFSET;
        if (*list % NVME_PAGE != NVME_PAGE - ENTRY || left <= NVME_PAGE) {
            *list += ENTRY;
            return NVME_ST_OK;
        }
        *list = *out;
    }
}

static uint16_t copy_list(const struct vfu_dma *dma, uint64_t list, uint8_t *data, size_t len, bool to_host)
{
    if (list % ENTRY != 0)
        return NVME_ST_PRP_OFFSET;
    for (size_t done = 0; done < len; done += NVME_PAGE) {
        uint64_t at;
        const size_t left = len - done;
        uint16_t status = next_entry(dma, &list, left, &at);
        if (status == NVME_ST_OK)
            status = copy(dma, at, data + done, left < NVME_PAGE ? left : NVME_PAGE, to_host);
        if (status != NVME_ST_OK)
            return status;
    }
    return NVME_ST_OK;
}

uint16_t vfu_prp_copy(const struct vfu_dma *dma, const uint8_t *sqe, uint8_t *data, size_t len, bool to_host)
{
    const uint64_t prp1 = le64_read(sqe + AT_PRP1), prp2 = le64_read(sqe + AT_PRP2);
    const size_t in_page = NVME_PAGE - prp1 % NVME_PAGE, first = len < in_page ? len : in_page;
    must(len > 0);
    if (prp1 % 4 != 0)
        return NVME_ST_PRP_OFFSET;
    const uint16_t status = copy(dma, prp1, data, first, to_host);
    if (status != NVME_ST_OK || first == len)
        return status;
    if (len - first > NVME_PAGE)
        return copy_list(dma, prp2, data + first, len - first, to_host);
    return prp2 % NVME_PAGE != 0 ? NVME_ST_PRP_OFFSET : copy(dma, prp2, data + first, len - first, to_host);
}
