/* tcp_admin.c - admin commands that come over a network: what belongs to the connection is done here, the rest by the
 * drive; and the discovery controller, which has no drive. */
#include "softnvme/tcp_ctrl.h"

#include "base/must.h"

#include <stdlib.h>
#include <string.h>

/* Fields that a controller has because it is reached over fabrics, which the drive itself knows nothing of. */
static void put_fabrics_fields(const struct tcp_ctrl *ctrl, struct nvme_wire_ctrl *page)
{
    enum { MDTS = 6 }; /* in pages of 4 KiB, as a power of two */
    _Static_assert(NVME_PAGE << MDTS == TCP_TRANSFER_MAX, "MDTS");
    page->mdts = MDTS;
    page->cmic |= NVME_CMIC_MULTI_CTRL;
    page->cntlid = le16_of(ctrl->cntlid);
    page->ver = le32_of(NVME_VERSION_2_0);
    page->aerl = TCP_EVENTS_MAX - 1;
    page->kas = le16_of(TCP_KAS_MS / 100);
    page->maxcmd = le16_of(TCP_DEPTH_MAX);
    page->sgls = le32_of(NVME_SGLS_ANY | NVME_SGLS_OFFSET);
    page->ioccsz = le32_of((TCP_SQE_LEN + TCP_CAPSULE_DATA_MAX) / 16);
    page->iorcsz = le32_of(1);
    page->msdbd = 1;
    page->ofcs = le16_of(1); /* Disconnect */
}

/* --- Features ---------------------------------------------------------------------------------------------------- */

enum { FID_QUEUES = 0x07, FID_KEEP_ALIVE = 0x0f };

static uint16_t feature(struct tcp_ctrl *ctrl, const struct nvme_cmd *cmd, uint64_t *result)
{
    const bool set = cmd->opcode == NVME_OP_SET_FEATURES;
    if (cmd->cdw10 >> 8 || (!set && cmd->cdw11) || cmd->cdw12 || cmd->cdw13 || cmd->cdw14 || cmd->cdw15 ||
        cmd->data_len != 0 || (cmd->nsid != 0 && cmd->nsid != NVME_NSID_ALL))
        return NVME_ST_INVALID_FIELD;
    if (cmd->cdw10 == FID_KEEP_ALIVE) {
        if (set)
            ctrl->kato_ms = cmd->cdw11;
        *result = ctrl->kato_ms;
        return NVME_ST_OK;
    }
    const uint32_t wanted = cmd->cdw11 & 0xffff; /* submission queues less one; over fabrics they are pairs */
    if (set && wanted == 0xffff)
        return NVME_ST_INVALID_FIELD;
    if (set && ctrl->connected != 1) /* I/O queues are there already */
        return NVME_ST_SEQUENCE;
    if (set)
        ctrl->io_queues = (uint16_t)(wanted < TCP_IO_QUEUES_MAX ? wanted + 1 : TCP_IO_QUEUES_MAX);
    *result = (ctrl->io_queues - 1u) | (ctrl->io_queues - 1u) << 16;
    return NVME_ST_OK;
}

/* --- Events and aborts ------------------------------------------------------------------------------------------- */

static void request_event(struct tcp_link *link, const struct tcp_command *command)
{
    struct tcp_ctrl *ctrl = link->ctrl;
    if (ctrl->event_count == TCP_EVENTS_MAX) {
        tcp_finish(link, command->slot, NVME_ST_EVENT_LIMIT, 0);
        return;
    }
    tcp_queue_hold(&link->queue, command->slot, 0);
    ctrl->events[ctrl->event_count++] = command->slot;
}

/* Best effort, as Base has it: what waits for an event can be aborted; what a drive works at cannot. Bit 0 of the
 * result: it was not aborted. */
static uint64_t abort_command(struct tcp_link *link, uint32_t cdw10)
{
    struct tcp_ctrl *ctrl = link->ctrl;
    uint16_t slot;
    if ((cdw10 & 0xffff) != 0 || !tcp_queue_find(&link->queue, (uint16_t)(cdw10 >> 16), &slot))
        return 1;
    for (size_t i = 0; i < ctrl->event_count; i++)
        if (ctrl->events[i] == slot) {
            ctrl->events[i] = ctrl->events[--ctrl->event_count];
            tcp_finish(link, slot, NVME_ST_ABORTED, 0);
            return 0;
        }
    return 1;
}

/* --- Discovery --------------------------------------------------------------------------------------------------- */

/* Base, figures "Discovery Log Page" and "Discovery Log Page Entry Data Structure". */
struct discovery_entry {
    uint8_t trtype, adrfam, subtype, treq;
    struct le16 portid, cntlid, asqsz, eflags;
    uint8_t reserved12[20];
    char trsvcid[32];
    uint8_t reserved64[192];
    char subnqn[256], traddr[256];
    uint8_t tsas[256];
};
_Static_assert(sizeof(struct discovery_entry) == 1024, "discovery log entry");
_Static_assert(offsetof(struct discovery_entry, subnqn) == 256, "SUBNQN");

struct discovery_log {
    struct le64 genctr, numrec;
    struct le16 recfmt;
    uint8_t reserved18[1006];
    struct discovery_entry entries[SOFT_DRIVES_MAX];
};
_Static_assert(offsetof(struct discovery_log, entries) == 1024, "discovery log");

static void put_entry(const struct tcp_link *link, const struct soft_drive *drive, struct discovery_entry *entry)
{
    enum { TCP = 3, IPV4 = 1, IPV6 = 2, NVM_SUBSYSTEM = 2, CNTLID_DYNAMIC = 0xffff };
    *entry = (struct discovery_entry){.trtype = TCP,
                                      .adrfam = link->is_ipv6 ? IPV6 : IPV4,
                                      .subtype = NVM_SUBSYSTEM,
                                      .portid = le16_of(1),
                                      .cntlid = le16_of(CNTLID_DYNAMIC),
                                      .asqsz = le16_of(32)};
    memset(entry->trsvcid, ' ', sizeof(entry->trsvcid));
    memset(entry->traddr, ' ', sizeof(entry->traddr));
    memcpy(entry->trsvcid, link->port, strlen(link->port));
    memcpy(entry->traddr, link->address, strlen(link->address));
    soft_drive_nqn(drive, entry->subnqn);
}

static uint16_t discovery_log(const struct soft_shelf *shelf, const struct tcp_link *link, const struct nvme_cmd *cmd)
{
    const uint64_t want = ((uint64_t)(cmd->cdw10 >> 16) + ((uint64_t)(cmd->cdw11 & 0xffff) << 16) + 1) * 4;
    const uint64_t offset = cmd->cdw12 | (uint64_t)cmd->cdw13 << 32;
    size_t count = 0;
    uint64_t generation = shelf->count;
    if ((cmd->cdw10 & 0xff) != NVME_LID_DISCOVERY)
        return NVME_ST_INVALID_LOG_PAGE;
    struct discovery_log *log = calloc(1, sizeof(*log));
    must(log != NULL);
    for (size_t i = 0; i < shelf->count; i++) {
        const bool present = soft_drive_present(shelf->drives[i]);
        generation += 2 * soft_drive_removals(shelf->drives[i]) - (present ? 0 : 1); /* each change counts */
        if (present)
            put_entry(link, shelf->drives[i], &log->entries[count++]);
    }
    log->genctr = le64_of(generation);
    log->numrec = le64_of(count);
    const size_t size = offsetof(struct discovery_log, entries) + count * sizeof(log->entries[0]);
    const bool ok = offset % 4 == 0 && offset <= size && cmd->data_len == want;
    if (ok) /* what is asked for behind the end is zeros */
        memcpy(cmd->data, (const uint8_t *)log + offset, want < size - offset ? want : size - offset);
    free(log);
    return ok ? NVME_ST_OK : NVME_ST_INVALID_FIELD;
}

static uint16_t discovery_identify(const struct tcp_ctrl *ctrl, const struct nvme_cmd *cmd)
{
    static const char name[] = "nsmith discovery";
    enum { CNTRLTYPE_DISCOVERY = 2 };
    struct nvme_wire_ctrl *page = cmd->data;
    if (cmd->data_len != sizeof(*page) || (cmd->cdw10 & 0xff) != NVME_CNS_CTRL || cmd->nsid != 0)
        return NVME_ST_INVALID_FIELD;
    memset(page->sn, ' ', sizeof(page->sn));
    memset(page->mn, ' ', sizeof(page->mn));
    memset(page->fr, ' ', sizeof(page->fr));
    memcpy(page->sn, name, sizeof(name) - 1);
    memcpy(page->mn, name, sizeof(name) - 1);
    memcpy(page->fr, NSMITH_VERSION, sizeof(NSMITH_VERSION) - 1);
    page->cntrltype = CNTRLTYPE_DISCOVERY;
    page->lpa = NVME_LPA_EXTENDED;
    memcpy(page->subnqn, TCP_DISCOVERY_NQN, sizeof(TCP_DISCOVERY_NQN));
    put_fabrics_fields(ctrl, page);
    return NVME_ST_OK;
}

static uint16_t discovery_command(const struct tcp_target *target, const struct tcp_link *link,
                                  const struct nvme_cmd *cmd)
{
    switch (cmd->opcode) {
    case NVME_OP_IDENTIFY:
        return discovery_identify(link->ctrl, cmd);
    case NVME_OP_GET_LOG:
        return discovery_log(target->shelf, link, cmd);
    default:
        return NVME_ST_INVALID_OPCODE;
    }
}

/* --- All --------------------------------------------------------------------------------------------------------- */

static void drive_command(struct tcp_link *link, const struct tcp_command *command, struct nvme_cmd *cmd)
{
    struct soft_outcome outcome;
    const enum soft_result how = soft_admin_on(link->ctrl->drive, link->ctrl->cntlid, cmd, &outcome);
    if (how == SOFT_DONE && outcome.status == NVME_ST_OK && cmd->opcode == NVME_OP_IDENTIFY &&
        (cmd->cdw10 & 0xff) == NVME_CNS_CTRL)
        put_fabrics_fields(link->ctrl, cmd->data);
    tcp_settle(link, command->slot, how, &outcome, cmd->result);
}

static bool is_own_feature(const struct nvme_cmd *cmd)
{
    const uint32_t fid = cmd->cdw10 & 0xff;
    return (cmd->opcode == NVME_OP_SET_FEATURES || cmd->opcode == NVME_OP_GET_FEATURES) &&
           (fid == FID_QUEUES || fid == FID_KEEP_ALIVE);
}

void tcp_admin_run(struct tcp_target *target, struct tcp_link *link, const struct tcp_command *command)
{
    struct nvme_cmd cmd = tcp_cmd_of(command);
    uint64_t result = 0;
    uint16_t status = NVME_ST_OK;
    if (cmd.opcode == NVME_OP_EVENT_REQUEST) {
        request_event(link, command);
        return;
    }
    const bool is_own = is_own_feature(&cmd) || cmd.opcode == NVME_OP_KEEP_ALIVE || cmd.opcode == NVME_OP_ABORT;
    if (!is_own && link->ctrl->drive != NULL) {
        drive_command(link, command, &cmd);
        return;
    }
    if (is_own_feature(&cmd))
        status = feature(link->ctrl, &cmd, &result);
    else if (cmd.opcode == NVME_OP_ABORT)
        result = abort_command(link, cmd.cdw10);
    else if (cmd.opcode != NVME_OP_KEEP_ALIVE)
        status = discovery_command(target, link, &cmd);
    tcp_finish(link, command->slot, status, result);
}
