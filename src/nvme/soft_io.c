/* soft_io.c - Read, Write, Write Zeroes, Flush, Dataset Management. NVM Command Set Specification 1.0. */
#include "nvme/soft_drive.h"

static uint16_t io_range(const struct soft_ns *ns, uint64_t first, uint64_t count)
{
    return count > ns->size_blocks || first > ns->size_blocks - count ? NVME_ST_LBA_RANGE : NVME_ST_OK;
}

/* That anything was written at all is durable before the first such write is. */
static uint16_t note_written(struct soft_drive *drive)
{
    struct soft_state next = drive->state;
    next.written = true;
    return drive->state.written ? NVME_ST_OK : soft_commit(drive, &next);
}

static uint16_t read_write(struct soft_drive *drive, struct soft_call *call, struct soft_ns *ns)
{
    enum { DEAC = 1 << 25, FUA = 1 << 30, DATASET_HINTS = 0xff };
    const uint32_t limited_retry = 1u << 31;
    const struct nvme_cmd *cmd = call->cmd;
    const bool zeroes = cmd->opcode == NVME_IO_WRITE_ZEROES;
    const uint32_t block = drive->profile.lbaf[ns->lbaf].block_bytes;
    const uint64_t first = cmd->cdw10 | (uint64_t)cmd->cdw11 << 32, count = (uint64_t)(cmd->cdw12 & 0xffff) + 1;
    /* Linux hints at what it reads ahead: Limited Retry and Dataset Management. */
    const uint32_t allowed = 0xffffu | FUA | limited_retry | (zeroes ? DEAC : 0u);
    if (cmd->cdw12 & ~allowed || cmd->cdw13 & ~(zeroes ? 0u : DATASET_HINTS) || cmd->cdw14 || cmd->cdw15 ||
        cmd->data_len != (zeroes ? 0 : count * block))
        return NVME_ST_INVALID_FIELD;
    if (io_range(ns, first, count) != NVME_ST_OK)
        return NVME_ST_LBA_RANGE;
    if (cmd->opcode == NVME_IO_READ) {
        soft_smart_count(drive, ns, false, cmd->data_len);
        const bool ok = soft_media_read(drive->media, ns->media, first * block, cmd->data, cmd->data_len);
        return ok ? NVME_ST_OK : NVME_ST_READ_ERROR;
    }
    if (note_written(drive) != NVME_ST_OK)
        return NVME_ST_WRITE_FAULT;
    if (!zeroes)
        soft_smart_count(drive, ns, true, cmd->data_len);
    const uint64_t done = call->effect == SOFT_EFFECT_HALF ? (count + 1) / 2 : count;
    const bool ok = zeroes
                        ? soft_media_zero(drive->media, ns->media, first * block, done * block)
                        : soft_media_write(drive->media, ns->media, first * block, cmd->data, (size_t)(done * block));
    return ok ? NVME_ST_OK : NVME_ST_WRITE_FAULT;
}

/* Ranges of 16 bytes: attributes, length in blocks, first block. Only "deallocate" (CDW11 bit 2) does anything. */
static uint16_t deallocate(struct soft_drive *drive, const struct nvme_cmd *cmd, const struct soft_ns *ns)
{
    enum { AD = 1 << 2, RANGE_BYTES = 16 };
    const uint32_t ranges = (cmd->cdw10 & 0xff) + 1, block = drive->profile.lbaf[ns->lbaf].block_bytes;
    const uint8_t *at = cmd->data;
    if (cmd->cdw10 > 0xff || cmd->cdw11 & ~7u || cmd->cdw12 || cmd->cdw13 || cmd->cdw14 || cmd->cdw15 ||
        cmd->data_len != ranges * RANGE_BYTES)
        return NVME_ST_INVALID_FIELD;
    for (uint32_t i = 0; i < ranges; i++)
        if (io_range(ns, le64_read(at + i * RANGE_BYTES + 8), le32_read(at + i * RANGE_BYTES + 4)) != NVME_ST_OK)
            return NVME_ST_LBA_RANGE;
    for (uint32_t i = 0; i < ranges && cmd->cdw11 & AD; i++) {
        const uint64_t first = le64_read(at + i * RANGE_BYTES + 8), count = le32_read(at + i * RANGE_BYTES + 4);
        if (!soft_media_zero(drive->media, ns->media, first * block, count * block))
            return NVME_ST_WRITE_FAULT;
    }
    return NVME_ST_OK;
}

static uint16_t flush(struct soft_drive *drive, const struct nvme_cmd *cmd, const struct soft_ns *ns)
{
    if (cmd->cdw10 || !soft_cdws_zero(cmd) || cmd->data_len != 0)
        return NVME_ST_INVALID_FIELD;
    return soft_media_flush(drive->media, ns->media) ? NVME_ST_OK : NVME_ST_WRITE_FAULT;
}

uint16_t soft_io_command(struct soft_drive *drive, struct soft_call *call)
{
    const struct nvme_cmd *cmd = call->cmd;
    struct soft_ns *ns = soft_state_ns(&drive->state, cmd->nsid);
    if (ns == NULL || ns->cntlid != call->cntlid)
        return NVME_ST_INVALID_NS;
    const uint16_t busy = soft_busy(drive, cmd->nsid);
    if (busy != NVME_ST_OK)
        return busy;
    if (ns->interrupted && drive->profile.interrupted_not_ready)
        return NVME_ST_NS_NOT_READY;
    switch (cmd->opcode) {
    case NVME_IO_READ:
    case NVME_IO_WRITE:
        return read_write(drive, call, ns);
    case NVME_IO_WRITE_ZEROES:
        return drive->profile.write_zeroes ? read_write(drive, call, ns) : NVME_ST_INVALID_OPCODE;
    case NVME_IO_FLUSH:
        return flush(drive, cmd, ns);
    case NVME_IO_DSM:
        return drive->profile.deallocate ? deallocate(drive, cmd, ns) : NVME_ST_INVALID_OPCODE;
    default:
        return NVME_ST_INVALID_OPCODE;
    }
}
