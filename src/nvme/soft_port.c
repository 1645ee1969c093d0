/* soft_port.c - software drives, linked in, as a port. */
#include "nvme/nvme_soft.h"

#include "base/must.h"
#include "base/text.h"
#include "nvme/soft_drive.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { TRANSFER_MAX = 1 << 20 };

struct soft_drives {
    struct soft_drive *const *at; /* borrowed */
    size_t count;
};

struct soft_dev {
    struct nvme_dev dev;
    struct soft_drive *drive; /* borrowed */
    uint64_t removals;
};

struct soft_handle {
    struct nvme_ns ns;
    struct soft_drive *drive; /* borrowed */
    uint64_t born;            /* which namespace it is: an NSID comes back */
    uint64_t removals;
    struct nvme_node node;
};

static bool check_present(const struct soft_drive *drive, uint64_t removals, struct err *err)
{
    return (drive->present && drive->removals == removals) ||
           err_sys(err, ENODEV, "cannot reach drive '%s'", drive->serial);
}

/* The time that a command takes is the drive's own. */
static bool complete(struct soft_drive *drive, const char *what, enum soft_result how, const struct nvme_cmd *cmd,
                     struct soft_outcome *outcome, struct err *err)
{
    const uint64_t deadline_ms = drive->now_ms + cmd->timeout_ms;
    if (how == SOFT_PENDING && soft_drive_due_ms(drive) <= deadline_ms) {
        soft_drive_tick(drive, soft_drive_due_ms(drive));
        how = soft_drive_poll(drive, outcome->ticket, outcome);
    }
    if (how != SOFT_DONE) {
        soft_drive_tick(drive, deadline_ms);
        return err_sys(err, ETIMEDOUT, "cannot finish %s on namespace %u of drive '%s'", what, cmd->nsid,
                       drive->serial);
    }
    return outcome->status == NVME_ST_OK ||
           err_nvme(err, outcome->status, "cannot do %s on namespace %u of drive '%s'", what, cmd->nsid, drive->serial);
}

/* Whoever asks how an erase goes on finds it a quarter further each time: so that waiting ends where nobody else moves
 * the clock. */
static void move_on(struct soft_drive *drive, const struct nvme_cmd *cmd)
{
    const bool log = cmd->opcode == NVME_OP_GET_LOG && (cmd->cdw10 & 0xff) == NVME_LID_SANITIZE;
    const bool ns = cmd->opcode == NVME_OP_IDENTIFY && cmd->nsid != 0 && drive->state.op.kind == SOFT_OP_FORMAT;
    if (drive->state.op.kind != SOFT_OP_NONE && (log || ns))
        soft_drive_tick(drive, drive->now_ms + (drive->op_end_ms - drive->op_start_ms + 3) / 4);
}

static bool dev_admin(struct nvme_dev *dev, struct nvme_cmd *cmd, struct err *err)
{
    struct soft_drive *drive = ((struct soft_dev *)dev)->drive;
    struct soft_outcome outcome;
    char name[16];
    must(cmd->timeout_ms > 0);
    if (!nvme_cmd_check(cmd, err) || !check_present(drive, ((const struct soft_dev *)dev)->removals, err))
        return false;
    move_on(drive, cmd);
    const enum soft_result how = soft_admin(drive, cmd, &outcome);
    return complete(drive, soft_opcode_name(false, cmd->opcode, cmd->cdw10, name), how, cmd, &outcome, err);
}

static bool handle_io(struct nvme_ns *ns, struct nvme_cmd *cmd, struct err *err)
{
    const struct soft_handle *handle = (const struct soft_handle *)ns;
    struct soft_drive *drive = handle->drive;
    struct soft_outcome outcome;
    char name[16];
    const struct soft_ns *there = soft_state_ns(&drive->state, ns->nsid.v);
    if (!check_present(drive, handle->removals, err))
        return false;
    if (there == NULL || there->born != handle->born)
        return err_sys(err, ENODEV, "cannot reach namespace %u of drive '%s'", ns->nsid.v, drive->serial);
    cmd->nsid = ns->nsid.v;
    cmd->timeout_ms = NVME_TIMEOUT_MS;
    const enum soft_result how = soft_io(drive, cmd, &outcome);
    return complete(drive, soft_opcode_name(true, cmd->opcode, cmd->cdw10, name), how, cmd, &outcome, err);
}

static bool transfer(struct nvme_ns *ns, uint8_t opcode, uint64_t block, uint32_t count, uint8_t *data, struct err *err)
{
    while (count > 0) {
        const uint32_t most = TRANSFER_MAX / ns->block_bytes, n = count < most ? count : most;
        struct nvme_cmd cmd = {.opcode = opcode,
                               .cdw10 = (uint32_t)block,
                               .cdw11 = (uint32_t)(block >> 32),
                               .cdw12 = n - 1,
                               .data = data,
                               .data_len = n * ns->block_bytes};
        if (!handle_io(ns, &cmd, err))
            return false;
        block += n;
        count -= n;
        data += cmd.data_len;
    }
    return true;
}

static bool handle_read(struct nvme_ns *ns, uint64_t block, uint32_t count, void *data, struct err *err)
{
    return transfer(ns, NVME_IO_READ, block, count, data, err);
}

static bool handle_write(struct nvme_ns *ns, uint64_t block, uint32_t count, const void *data, struct err *err)
{
    union {
        const void *in;
        uint8_t *out;
    } same = {data}; /* struct nvme_cmd has one pointer for both directions; a write only reads */
    return transfer(ns, NVME_IO_WRITE, block, count, same.out, err);
}

static bool handle_flush(struct nvme_ns *ns, struct err *err)
{
    struct nvme_cmd cmd = {.opcode = NVME_IO_FLUSH};
    return handle_io(ns, &cmd, err);
}

static bool handle_drop_cache(struct nvme_ns *ns, struct err *err)
{
    const struct soft_handle *handle = (const struct soft_handle *)ns;
    return check_present(handle->drive, handle->removals, err); /* nothing lies between */
}

static void handle_node(struct nvme_ns *ns, struct nvme_node *out)
{
    *out = ((const struct soft_handle *)ns)->node;
}

static void handle_close(struct nvme_ns *ns)
{
    struct soft_handle *handle = (struct soft_handle *)ns;
    soft_drive_hold(handle->drive, ns->nsid.v, false);
    free(handle);
}

static const struct nvme_ns_ops handle_ops = {.read = handle_read,
                                              .write = handle_write,
                                              .flush = handle_flush,
                                              .drop_cache = handle_drop_cache,
                                              .node = handle_node,
                                              .close = handle_close};

/* In memory there is no inode; what identifies the namespace for its life takes its place. */
static void fill_node(struct soft_handle *handle)
{
    struct nvme_node *node = &handle->node;
    struct stat st;
    soft_media_path(handle->drive->media, handle->ns.nsid.v, node->path, sizeof(node->path));
    node->size_bytes = handle->ns.size_blocks * handle->ns.block_bytes;
    node->dev = handle->drive->state.seed;
    node->ino = handle->born + 1;
    if (node->path[0] != '\0' && stat(node->path, &st) == 0) {
        node->dev = st.st_dev;
        node->ino = st.st_ino;
    }
}

static bool dev_ns_open(struct nvme_dev *dev, struct nsid nsid, bool exclusive, struct nvme_ns **out, struct err *err)
{
    struct soft_drive *drive = ((struct soft_dev *)dev)->drive;
    char path[PATH_TEXT_MAX];
    if (!check_present(drive, ((const struct soft_dev *)dev)->removals, err) ||
        !soft_drive_ns_path(drive, nsid.v, path, err))
        return false;
    if (exclusive && drive->opens[nsid.v] != 0)
        return err_set(err, ERR_BUSY, "cannot open namespace %u of drive '%s': it is in use", nsid.v, drive->serial);
    const struct soft_ns *ns = soft_state_ns(&drive->state, nsid.v);
    must(ns != NULL);
    struct soft_handle *handle = calloc(1, sizeof(*handle));
    must(handle != NULL);
    handle->ns = (struct nvme_ns){.ops = &handle_ops,
                                  .nsid = nsid,
                                  .block_bytes = drive->profile.lbaf[ns->lbaf].block_bytes,
                                  .size_blocks = ns->size_blocks};
    handle->drive = drive;
    handle->born = ns->born;
    handle->removals = drive->removals;
    fill_node(handle);
    soft_drive_hold(drive, nsid.v, true);
    *out = &handle->ns;
    return true;
}

static bool dev_ns_path(struct nvme_dev *dev, struct nsid nsid, char path[PATH_TEXT_MAX], struct err *err)
{
    struct soft_drive *drive = ((struct soft_dev *)dev)->drive;
    struct err missing = {0};
    if (!check_present(drive, ((const struct soft_dev *)dev)->removals, err))
        return false;
    if (!soft_drive_ns_path(drive, nsid.v, path, &missing))
        path[0] = '\0';
    return true;
}

static bool dev_rescan(struct nvme_dev *dev, struct err *err)
{
    struct soft_drive *drive = ((struct soft_dev *)dev)->drive;
    if (!check_present(drive, ((const struct soft_dev *)dev)->removals, err))
        return false;
    soft_drive_rescan(drive);
    return true;
}

static void dev_close(struct nvme_dev *dev)
{
    free(dev);
}

static const struct nvme_dev_ops dev_ops = {
    .admin = dev_admin, .ns_open = dev_ns_open, .ns_path = dev_ns_path, .rescan = dev_rescan, .close = dev_close};

static void drive_name(const struct soft_drives *drives, size_t index, char to[NVME_NAME_LEN])
{
    size_t same = 1;
    for (size_t i = 0; i < index; i++)
        same += strcmp(drives->at[i]->serial, drives->at[index]->serial) == 0;
    if (same == 1)
        snprintf(to, NVME_NAME_LEN, "%s", drives->at[index]->serial);
    else
        snprintf(to, NVME_NAME_LEN, "%s#%zu", drives->at[index]->serial, same);
}

static bool port_list(void *self, struct nvme_names *out, struct err *err)
{
    const struct soft_drives *drives = self;
    (void)err;
    out->count = 0;
    for (size_t i = 0; i < drives->count && out->count < NVME_NAMES_MAX; i++)
        if (drives->at[i]->present)
            drive_name(drives, i, out->at[out->count++]);
    return true;
}

static bool port_open(void *self, const char *name, struct nvme_dev **out, struct err *err)
{
    const struct soft_drives *drives = self;
    char there[NVME_NAME_LEN];
    for (size_t i = 0; i < drives->count; i++) {
        drive_name(drives, i, there);
        if (!drives->at[i]->present || strcmp(there, name) != 0)
            continue;
        struct soft_dev *dev = calloc(1, sizeof(*dev));
        must(dev != NULL);
        dev->dev.ops = &dev_ops;
        dev->drive = drives->at[i];
        dev->removals = dev->drive->removals;
        *out = &dev->dev;
        return true;
    }
    return err_set(err, ERR_MISSING, "cannot open drive '%s': there is none", name);
}

static void port_close(void *self)
{
    free(self);
}

void soft_port(struct soft_drive *const *drives, size_t count, struct nvme_port *out)
{
    struct soft_drives *self = calloc(1, sizeof(*self));
    must(self != NULL);
    *self = (struct soft_drives){.at = drives, .count = count};
    *out = (struct nvme_port){.self = self, .list = port_list, .open = port_open, .close = port_close};
}
