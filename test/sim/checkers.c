/* What is promised, seen from outside: docs/architecture.md, invariants 1 to 5. Nothing here knows how it is kept. */
#include "sim.h"

#include "base/must.h"
#include "base/text.h"
#include "nvme/nvme_wire.h"

#include <stdlib.h>

/* ---- 3, 4 and 5: what is sent to whom ------------------------------------------------------------------------------
 */

static bool is_mutating(const struct nvme_cmd *cmd)
{
    return cmd->opcode != NVME_OP_IDENTIFY && cmd->opcode != NVME_OP_GET_LOG && cmd->opcode != NVME_OP_GET_FEATURES;
}

/* near: the order may name a second namespace, to be written to. */
static void check_target(struct sim_host *at, unsigned drive, const char *what, uint32_t nsid, bool near)
{
    const struct order *order = at->order;
    near = near && order != NULL && order->kind == ORDER_ERASE && nsid != 0 && nsid == order->neighbour.nsid.v;
    const struct sim_drive *target = &at->drives[drive];
    if (order == NULL)
        sim_fail(at->sim, "(5) %s was sent without an order", what);
    else if (strcmp(order->ident.serial, soft_drive_serial(target->drive)) != 0)
        sim_fail(at->sim, "(5) %s for drive %s was sent to drive %s", what, order->ident.serial,
                 soft_drive_serial(target->drive));
    else if (nsid != order->ns.nsid.v && !near)
        sim_fail(at->sim, "(5) %s for namespace %u was sent to namespace %u", what, order->ns.nsid.v, nsid);
    if (target->foreign)
        sim_fail(at->sim, "(3) %s was sent to the foreign drive %s", what, soft_drive_serial(target->drive));
}

void check_sent(struct sim_host *at, unsigned drive, const struct nvme_cmd *cmd)
{
    char what[16];
    if (!is_mutating(cmd))
        return;
    const char *name = soft_opcode_name(false, cmd->opcode, cmd->cdw10, what);
    if (cmd->nsid == NVME_NSID_ALL)
        sim_fail(at->sim, "(4) %s was sent to all namespaces", name);
    check_target(at, drive, name, cmd->nsid, false);
    check_commit(at, cmd);
    const bool ends_data = cmd->opcode == NVME_OP_FORMAT || cmd->opcode == NVME_OP_SANITIZE_NS ||
                           (cmd->opcode == NVME_OP_NS_MANAGEMENT && cmd->cdw10 == NVME_NS_DELETE) ||
                           (cmd->opcode == NVME_OP_NS_ATTACHMENT && cmd->cdw10 == NVME_NS_DETACH);
    const struct sim_tenant *user = tenant_using(at->sim, at->index, drive, cmd->nsid);
    if (ends_data && user != NULL)
        sim_fail(at->sim, "(4) %s was sent to namespace %u of drive %u, which %s uses", name, cmd->nsid, drive,
                 user->claim.v);
}

void check_written(struct sim_host *at, unsigned drive, uint32_t nsid)
{
    check_target(at, drive, "a write", nsid, true);
    const struct sim_tenant *user = tenant_using(at->sim, at->index, drive, nsid);
    if (user != NULL)
        sim_fail(at->sim, "(4) the agent writes to namespace %u of drive %u, which %s uses", nsid, drive,
                 user->claim.v);
}

void check_did(struct sim_host *at, unsigned drive, const struct nvme_cmd *cmd)
{
    if (cmd->opcode == NVME_OP_NS_MANAGEMENT && cmd->cdw10 == NVME_NS_CREATE && cmd->result <= SOFT_NS_MAX)
        at->drives[drive].made[cmd->result] = true;
    else if (cmd->opcode == NVME_OP_NS_MANAGEMENT && cmd->cdw10 == NVME_NS_DELETE)
        at->drives[drive].made[cmd->nsid] = false;
}

/* ---- the chain
 * ------------------------------------------------------------------------------------------------------- */

static struct sim_slice *slice_of(struct sim_host *at, const struct slice_id *id)
{
    for (size_t i = 0; i < at->seen_count; i++)
        if (slice_id_eq(&at->seen[i].id, id))
            return &at->seen[i];
    must(at->seen_count < HOST_SLICES_MAX);
    at->seen[at->seen_count] = (struct sim_slice){.id = *id};
    return &at->seen[at->seen_count++];
}

static bool record_check(void *ctx, uint64_t seq, const char *text)
{
    static const char zeros[] = "0000000000000000000000000000000000000000000000000000000000000000";
    struct sim_host *at = ctx;
    struct cert_facts facts;
    struct err err = {0};
    char key[CERT_KEY_HEX];
    text_hex(key, at->mind.key.public, sizeof(at->mind.key.public));
    const char *prev = at->record_hash[0] != '\0' ? at->record_hash : zeros;
    if (!cert_verify(text, strlen(text), key, &facts, &err)) {
        sim_fail(at->sim, "record %ju of %s does not verify: %s", (uintmax_t)seq, at->name.v, err.msg);
        return false;
    }
    if (seq != at->records_seen + 1 || facts.erasure.seq != seq || strcmp(facts.prev_hash, prev) != 0)
        sim_fail(at->sim, "record %ju of %s does not follow record %ju", (uintmax_t)seq, at->name.v,
                 (uintmax_t)at->records_seen);
    at->records_seen = seq;
    text_cut(at->record_hash, sizeof(at->record_hash), facts.hash);
    if (facts.erasure.verdict == ERASE_VERIFIED) {
        slice_of(at, &facts.erasure.slice)->verified = ++at->sim->seen;
        at->sim->tally.verified++;
    }
    return true;
}

/* ---- 1: what is handed out is clean --------------------------------------------------------------------------------
 */

static void check_clean(struct sim_host *at, const struct slice *slice, struct sim_slice *seen)
{
    at->sim->tally.handouts++;
    if (seen->verified <= seen->handed_out)
        sim_fail(at->sim, "(1) slice %s was handed out to %s without a verified record since the last time",
                 slice->id.v, slice->owner.v);
    seen->handed_out = ++at->sim->seen;
    for (unsigned i = 0; i < at->drive_count; i++) {
        if (strcmp(soft_drive_serial(at->soft[i]), slice->drive) != 0)
            continue;
        const struct sim_tenant *other = tenant_tag_on(at->sim, at->index, i, slice->nsid.v, &slice->owner);
        if (other != NULL)
            sim_fail(at->sim, "(1) slice %s was handed out to %s with blocks of %s", slice->id.v, slice->owner.v,
                     other->claim.v);
    }
}

struct granted {
    struct sim *sim;
    const struct row_claim *claim;
};

/* A restored database may know of claims that are long over. */
static bool check_sole(void *ctx, const void *row)
{
    const struct granted *granted = ctx;
    const struct row_claim *mine = granted->claim, *other = row;
    if (other->state == CLAIM_RELEASING || claim_id_eq(&other->id, &mine->id))
        return true;
    for (size_t i = 0; i < mine->slice_count; i++)
        for (size_t k = 0; k < other->slice_count; k++)
            if (slice_id_eq(&mine->slices[i], &other->slices[k]))
                sim_fail(granted->sim, "(2) slice %s was granted to %s and is %s's", mine->slices[i].v, mine->id.v,
                         other->id.v);
    return true;
}

static void check_serves(struct sim *sim, const struct row_slice *slice, const struct claim_id *claim)
{
    struct row_drive drive;
    char key[96];
    snprintf(key, sizeof(key), "%s/%s", slice->host.v, slice->slice.drive);
    if (!server_row(sim, ROW_DRIVE, key, &drive) || drive.drained || drive.health.drains != 0)
        sim_fail(sim, "slice %s was granted to %s on drive %s, which is drained", slice->slice.id.v, claim->v,
                 slice->slice.drive);
}

/* The server's own books, when it grants: a verified record of each slice is there. */
void check_granted(struct sim *sim, const struct claim_id *id)
{
    struct row_claim claim;
    if (!server_row(sim, ROW_CLAIM, id->v, &claim))
        sim_fail(sim, "claim %s was granted and is not there", id->v);
    if (sim->tally.restores == 0)
        server_each(sim, ROW_CLAIM, check_sole, &(struct granted){sim, &claim});
    for (size_t i = 0; !sim->failed && i < claim.slice_count; i++) {
        struct row_slice slice;
        struct row_erasure erasure;
        if (!server_row(sim, ROW_SLICE, claim.slices[i].v, &slice) || !claim_id_eq(&slice.claim, id))
            sim_fail(sim, "(2) slice %s was granted to %s and is another's", claim.slices[i].v, id->v);
        else if (!server_row(sim, ROW_ERASURE, slice.slice.erasure.v, &erasure) ||
                 erasure.erasure.verdict != ERASE_VERIFIED || !slice_id_eq(&erasure.slice, &claim.slices[i]))
            sim_fail(sim, "(1) slice %s was granted to %s without the proof of its erase", claim.slices[i].v, id->v);
        else
            check_serves(sim, &slice, id);
    }
}

void check_host(struct sim_host *at)
{
    const struct host *host = at->agent.host;
    struct err err = {0};
    const char *broken = host_broken(host);
    if (broken != NULL)
        sim_fail(at->sim, "the mind of %s is broken: %s", at->name.v, broken);
    if (host->erasure_seq > at->records_seen)
        must(at->ledger.records(at->ledger.self, at->records_seen + 1, SIZE_MAX, record_check, at, &err));
    if (host->erasure_seq != at->records_seen)
        sim_fail(at->sim, "the ledger of %s has %ju records and counts %ju", at->name.v, (uintmax_t)at->records_seen,
                 (uintmax_t)host->erasure_seq);
    check_tasks(at);
    for (size_t i = 0; i < host->slice_count; i++) {
        const struct slice *slice = &host->slices[i].slice;
        struct sim_slice *seen = slice_of(at, &slice->id);
        if (slice->state == seen->state)
            continue;
        sim_trace(at->sim, "%s slice %s %s -> %s gen %ju %s %s", at->name.v, slice->id.v, slice_state_word(seen->state),
                  slice_state_word(slice->state), (uintmax_t)slice->generation, slice->owner.v, slice->why);
        at->sim->tally.quarantines += slice->state == SLICE_QUARANTINED;
        if (slice->state == SLICE_ATTACHED)
            check_clean(at, slice, seen);
        seen->state = slice->state;
    }
}

/* ---- the whole world, now and then
 * ----------------------------------------------------------------------------------- */

static void check_log(struct sim_host *at, struct sim_drive *drive)
{
    struct soft_log_entry entries[SOFT_LOG_MAX];
    const size_t count = soft_drive_log(drive->drive, entries, SOFT_LOG_MAX);
    for (size_t i = 0; i < count; i++) {
        if (entries[i].seq <= drive->log_seen)
            continue;
        drive->log_seen = entries[i].seq;
        if (entries[i].nsid == NVME_NSID_ALL)
            sim_fail(at->sim, "(4) drive %s was sent opcode %02x for all namespaces", soft_drive_serial(drive->drive),
                     entries[i].opcode);
        if (drive->foreign)
            sim_fail(at->sim, "(3) the foreign drive %s was sent opcode %02x", soft_drive_serial(drive->drive),
                     entries[i].opcode);
    }
}

static void check_capacity(struct sim_host *at)
{
    const struct host *host = at->agent.host;
    for (size_t d = 0; host != NULL && d < host->drive_count; d++) {
        const struct host_drive *drive = &host->drives[d];
        size_t slices = 0;
        if (drive->adopt != ADOPT_CUTTING && drive->adopt != ADOPT_DONE)
            continue;
        for (size_t i = 0; i < host->slice_count; i++)
            slices += strcmp(host->slices[i].slice.adoption.v, drive->adoption.v) == 0;
        if (slices > drive->layout.count || (drive->adopt == ADOPT_DONE && slices < drive->layout.count))
            sim_fail(at->sim, "drive %s has %zu slices and is cut for %u", drive->ident.serial, slices,
                     drive->layout.count);
    }
}

static void check_owners(struct sim *sim)
{
    for (size_t h = 0; h < sim->host_count; h++)
        for (size_t i = 0; i < sim->hosts[h].seen_count; i++)
            if (virt_fake_holders(&sim->hosts[h].virt, &sim->hosts[h].seen[i].id) > 1)
                sim_fail(sim, "(2) slice %s is in two living VMs", sim->hosts[h].seen[i].id.v);
    for (size_t t = 0; t < sim->tenant_count; t++)
        for (size_t i = 0; i < sim->tenants[t].disk_count; i++) {
            const struct sim_disk *disk = &sim->tenants[t].disks[i];
            if (disk->open && !disk->lost && tenant_using(sim, disk->host, disk->drive, disk->nsid) != &sim->tenants[t])
                sim_fail(sim, "(2) slice %s is used by two tenants", disk->slice.v);
        }
}

void check_world(struct sim *sim)
{
    sim->tally.checked++;
    check_owners(sim);
    for (size_t h = 0; h < sim->host_count; h++) {
        check_capacity(&sim->hosts[h]);
        for (size_t i = 0; i < sim->hosts[h].drive_count; i++)
            check_log(&sim->hosts[h], &sim->hosts[h].drives[i]);
    }
}

static void check_foreign(struct sim *sim, struct sim_drive *drive)
{
    char *state = foreign_state(drive);
    if (strcmp(state, drive->state) != 0)
        sim_fail(sim, "(3) the foreign drive %s has changed", soft_drive_serial(drive->drive));
    free(state);
    if (foreign_hash(drive) != drive->media)
        sim_fail(sim, "(3) the data on foreign drive %s has changed", soft_drive_serial(drive->drive));
}

void check_end(struct sim *sim)
{
    for (size_t h = 0; h < sim->host_count; h++) {
        struct sim_host *at = &sim->hosts[h];
        struct row_host row;
        for (size_t i = 0; i < at->drive_count; i++) {
            const char *broken = soft_drive_broken(at->soft[i]);
            if (broken != NULL)
                sim_fail(sim, "the software drive itself is broken: %s", broken);
            if (at->drives[i].foreign)
                check_foreign(sim, &at->drives[i]);
        }
        if (at->records_seen > 0 && (!server_row(sim, ROW_HOST, at->name.v, &row) ||
                                     row.erasures_have != at->records_seen || strcmp(row.anchor, at->record_hash) != 0))
            sim_fail(sim, "the server does not hold the chain of %s up to record %ju", at->name.v,
                     (uintmax_t)at->records_seen);
    }
}
