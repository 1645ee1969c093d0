/* tcp_admin.c - admin commands that come over a network: what belongs to the connection is done here, the rest by the
 * drive; and the discovery controller, which has no drive. */
#include "softnvme/tcp_ctrl.h"

#include "base/must.h"

#include <stdlib.h>
#include <string.h>

/* Fields that a controller has because it is reached over fabrics, which the drive itself knows nothing of. */
static void put_fabrics_fields(const struct tcp_ctrl *ctrl, struct nvme_wire_ctrl *page)
{
    _Static_assert((int)FRONT_TRANSFER_MAX == (int)TCP_TRANSFER_MAX, "MDTS");
    _Static_assert((int)FRONT_SQE_LEN == (int)TCP_SQE_LEN, "SQE");
    front_identify(&ctrl->front, page);
    page->cmic |= NVME_CMIC_MULTI_CTRL;
    page->kas = le16_of(TCP_KAS_MS / 100);
    page->maxcmd = le16_of(TCP_DEPTH_MAX);
    page->sgls = le32_of(NVME_SGLS_ANY | NVME_SGLS_OFFSET);
    page->ioccsz = le32_of((TCP_SQE_LEN + TCP_CAPSULE_DATA_MAX) / 16);
    page->iorcsz = le32_of(1);
    page->msdbd = 1;
    page->ofcs = le16_of(1); /* Disconnect */
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

static void drive_command(struct tcp_ctrl *ctrl, struct nvme_cmd *cmd, struct front_answer *answer)
{
    front_drive(&ctrl->front, false, cmd, answer);
    if (answer->how == SOFT_DONE && answer->status == NVME_ST_OK && cmd->opcode == NVME_OP_IDENTIFY &&
        (cmd->cdw10 & 0xff) == NVME_CNS_CTRL)
        put_fabrics_fields(ctrl, cmd->data);
}

void tcp_admin_run(struct tcp_target *target, struct tcp_link *link, const struct tcp_command *command)
{
    struct tcp_ctrl *ctrl = link->ctrl;
    struct nvme_cmd cmd = front_cmd(command->sqe, command->data, command->len);
    struct front_answer answer;
    const uint32_t fid = cmd.cdw10 & 0xff;
    if ((cmd.opcode == NVME_OP_SET_FEATURES || cmd.opcode == NVME_OP_GET_FEATURES) &&
        (fid == NVME_FID_COALESCING || fid == NVME_FID_VECTOR)) { /* there are no interrupts here */
        tcp_settle(link, command->slot, &(struct front_answer){.how = SOFT_DONE, .status = NVME_ST_INVALID_FIELD});
        return;
    }
    if (!front_own(&ctrl->front, &cmd, le16_read(command->sqe + 2), &answer)) {
        if (ctrl->front.drive != NULL)
            drive_command(ctrl, &cmd, &answer);
        else
            answer = (struct front_answer){.how = SOFT_DONE, .status = discovery_command(target, link, &cmd)};
    }
    tcp_settle(link, command->slot, &answer);
}
