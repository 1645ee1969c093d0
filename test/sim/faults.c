/* Everything that goes wrong, in the first phase only; and at its end, what a person puts right. */
#include "sim.h"

#include "base/must.h"
#include "base/text.h"
#include "nvme/nvme_wire.h"

#include <jansson.h>
#include <stdlib.h>

enum { LONG_MS = 20000 };

static struct sim_host *any_host(struct sim *sim)
{
    return &sim->hosts[sim_rand(sim, sim->host_count)];
}

static struct sim_drive *any_drive(struct sim *sim, struct sim_host *at)
{
    return &at->drives[sim_rand(sim, at->drive_count)];
}

/* ---- whose data is on a drive ------------------------------------------------------------------------------------ */

uint64_t foreign_hash(struct sim_drive *drive)
{
    struct soft_ns_view views[SOFT_NS_MAX];
    const size_t count = soft_drive_ns(drive->drive, views, SOFT_NS_MAX);
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < count; i++)
        for (uint64_t at = 0; at < views[i].size_blocks * views[i].block_bytes; at += SIM_BLOCK) {
            uint64_t page[SIM_BLOCK / 8];
            must(soft_drive_peek(drive->drive, views[i].nsid, at, page, sizeof(page)));
            if (page[0] == 0 && memcmp(page, page + 1, sizeof(page) - sizeof(page[0])) == 0)
                continue;
            hash = (hash ^ at) * 0x100000001b3u;
            for (size_t k = 0; k < SIM_BLOCK / 8; k++)
                hash = (hash ^ page[k]) * 0x100000001b3u;
        }
    return hash;
}

/* What looking at a drive moves: its counters of reads, and of time under power. */
static void forget_looks(json_t *json)
{
    static const char *const words[] = {"reads", "units_read", "power_cycles", "unsafe_shutdowns", "power_on_ms",
                                        "shut_down"};
    void *next;
    const char *key;
    json_t *value;
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        json_object_del(json, words[i]);
    json_object_foreach_safe (json, next, key, value)
        if (json_is_object(value))
            forget_looks(value);
    for (size_t i = 0; i < json_array_size(json_object_get(json, "ns")); i++)
        forget_looks(json_array_get(json_object_get(json, "ns"), i));
}

char *foreign_state(const struct sim_drive *drive)
{
    char *text = soft_drive_state_text(drive->drive);
    json_t *json = json_loads(text, 0, NULL);
    must(json != NULL);
    free(text);
    forget_looks(json);
    text = json_dumps(json, JSON_SORT_KEYS);
    must(text != NULL);
    json_decref(json);
    return text;
}

void foreign_mark(struct sim_drive *drive)
{
    struct soft_log_entry newest;
    drive->foreign = true;
    drive->state = foreign_state(drive);
    drive->media = foreign_hash(drive);
    drive->log_seen = soft_drive_log(drive->drive, &newest, 1) > 0 ? newest.seq : 0;
}

/* The agent's look at a namespace: people put their data where it looks. */
void foreign_look(void *ctx, const struct drive_ident *ident, struct nsid nsid, const struct nvme_node *node,
                  struct foreign_list *list)
{
    struct sim_host *at = ctx;
    struct err ignored = {0};
    if (!port_point(at, &ignored)) {
        foreign_add(list, FOREIGN_UNREADABLE, nsid, "the agent has ended");
        return;
    }
    for (size_t i = 0; i < at->drive_count; i++) {
        if (strcmp(soft_drive_serial(at->soft[i]), ident->serial) != 0)
            continue;
        for (uint64_t offset = 0; offset < node->size_bytes; offset += SIM_STRIDE) {
            uint8_t page[SIM_BLOCK];
            if (soft_drive_peek(at->soft[i], nsid.v, offset, page, sizeof(page)) &&
                (page[0] != 0 || memcmp(page, page + 1, sizeof(page) - 1) != 0)) {
                foreign_add(list, FOREIGN_DATA, nsid, "somebody's data");
                return;
            }
        }
    }
}

/* Somebody begins to use a drive that was blank when it was planned; not between the fresh look and its judgement,
 * which nobody could notice. */
void fault_ambush(struct sim *sim, struct sim_host *at, unsigned index)
{
    struct sim_drive *drive = &at->drives[index];
    const char *serial = soft_drive_serial(drive->drive);
    struct soft_log_entry entry;
    uint8_t data[SIM_BLOCK];
    if (drive->foreign || drive->look_in_flight || soft_drive_log(drive->drive, &entry, 1) > 0 ||
        at->agent.host == NULL)
        return;
    for (size_t i = 0; i < at->agent.host->drive_count; i++) {
        const struct host_drive *seen = &at->agent.host->drives[i];
        if (strcmp(seen->ident.serial, serial) == 0 && seen->adopt != ADOPT_NONE && seen->adopt != ADOPT_CHECKING &&
            seen->adopt != ADOPT_REFUSED)
            return;
    }
    memset(data, 0x43, sizeof(data));
    if (!soft_drive_poke(drive->drive, 1, 3 * SIM_STRIDE, data, sizeof(data)))
        return;
    sim_trace(sim, "%s somebody uses drive %u", at->name.v, index);
    foreign_mark(drive);
}

/* ---- drives -------------------------------------------------------------------------------------------------------
 */

static void device_fault(struct sim *sim, struct sim_host *at)
{
    static const char *const commands[] = {"create", "delete",   "attach", "detach", "format", "sanitize-ns",
                                           "write",  "identify", "read",   "flush",  "get-log"};
    static const char *const kinds[] = {"status:0x006",     "status:0x281",      "timeout-done",
                                        "timeout-not-done", "timeout-half-done", "lie"};
    struct sim_drive *drive = any_drive(sim, at);
    struct soft_fault fault;
    struct err err = {0};
    char text[80];
    if (drive->foreign)
        return;
    const char *command = commands[sim_rand(sim, sizeof(commands) / sizeof(commands[0]))];
    const char *kind = kinds[sim_rand(sim, sizeof(kinds) / sizeof(kinds[0]))];
    if (strcmp(command, "format") == 0 && sim_chance(sim, 100)) {
        kind = "hits-all";
        drive->careless = true;
    }
    snprintf(text, sizeof(text), "%s nth=%ju count=%ju kind=%s", command, (uintmax_t)(1 + sim_rand(sim, 12)),
             (uintmax_t)(1 + sim_rand(sim, 3)), kind);
    must(soft_fault_parse(text, &fault, &err));
    if (!soft_drive_fault(drive->drive, &fault, &err))
        return;
    drive->suspect = true;
    if (strcmp(command, "identify") == 0 && strcmp(kind, "lie") == 0)
        drive->strange = true; /* what seems lost may be retired, and is not */
    sim_trace(sim, "%s drive %s will fail: %s", at->name.v, soft_drive_serial(drive->drive), text);
}

/* What its SMART log says: worn, hot, or well again. Nothing breaks; but nothing of it may be granted. */
static void bad_health(struct sim *sim, struct sim_host *at)
{
    static const char *const states[] = {"used=101", "temperature=85", "temperature=78", "warning=8",
                                         "used=0 temperature=30 warning=0"};
    const char *text = states[sim_rand(sim, 5)];
    struct soft_drive *drive = any_drive(sim, at)->drive;
    struct soft_health health = soft_drive_health(drive);
    struct err ignored = {0};
    must(soft_health_parse(text, &health, &ignored));
    soft_drive_set_health(drive, &health);
    sim_trace(sim, "%s health of %s: %s", at->name.v, soft_drive_serial(drive), text);
}

static void tenants_lose(struct sim *sim, unsigned host, unsigned drive, uint32_t nsid)
{
    for (struct sim_tenant *tenant = tenant_using(sim, host, drive, nsid); tenant != NULL;
         tenant = tenant_using(sim, host, drive, nsid))
        for (size_t i = 0; i < tenant->disk_count; i++) {
            struct sim_disk *disk = &tenant->disks[i];
            if (disk->host != host || disk->drive != drive || disk->nsid != nsid || !disk->open || disk->lost)
                continue;
            soft_drive_hold(sim->hosts[host].soft[drive], nsid, false); /* its node is gone */
            disk->lost = true;
        }
    for (size_t t = 0; t < sim->tenant_count; t++) /* a guest that is off finds another disk later */
        for (size_t i = 0; i < sim->tenants[t].disk_count; i++) {
            struct sim_disk *disk = &sim->tenants[t].disks[i];
            if (disk->host == host && disk->drive == drive && disk->nsid == nsid)
                disk->lost = true;
        }
}

static void drive_pull(struct sim *sim, struct sim_host *at)
{
    const unsigned i = (unsigned)sim_rand(sim, at->drive_count);
    if (!soft_drive_present(at->soft[i]))
        return;
    sim_trace(sim, "%s drive %u is pulled", at->name.v, i);
    at->drives[i].suspect = true;
    soft_drive_set_present(at->soft[i], false);
    agent_news(at, i);
    sim_at(sim, sim_rand(sim, LONG_MS), (struct sim_event){.kind = EV_BACK, .host = at->index, .number = i});
}

/* ---- a stranger with another tool ---------------------------------------------------------------------------------
 */

static uint16_t raw(struct soft_drive *drive, struct nvme_cmd cmd)
{
    struct soft_outcome outcome = {0};
    return soft_admin(drive, &cmd, &outcome) == SOFT_DONE ? outcome.status : 0xffff;
}

static bool is_adopted(const struct sim_host *at, const struct sim_drive *drive)
{
    for (size_t i = 0; at->agent.host != NULL && i < at->agent.host->drive_count; i++) {
        const struct host_drive *seen = &at->agent.host->drives[i];
        if (strcmp(seen->ident.serial, soft_drive_serial(drive->drive)) == 0)
            return seen->adopt == ADOPT_CUTTING || seen->adopt == ADOPT_DONE || seen->adopt == ADOPT_FAULT;
    }
    return false;
}

static void raw_delete(struct sim *sim, struct sim_host *at, unsigned drive, uint32_t nsid)
{
    struct nvme_wire_ctrl_list page = {.count = le16_of(1), .cntlid = {le16_of(1)}};
    tenants_lose(sim, at->index, drive, nsid);
    at->drives[drive].made[nsid] = false;
    raw(at->soft[drive], (struct nvme_cmd){.opcode = NVME_OP_NS_ATTACHMENT,
                                           .nsid = nsid,
                                           .cdw10 = NVME_NS_DETACH,
                                           .data = &page,
                                           .data_len = sizeof(page)});
    raw(at->soft[drive], (struct nvme_cmd){.opcode = NVME_OP_NS_MANAGEMENT, .nsid = nsid, .cdw10 = NVME_NS_DELETE});
}

static void stranger(struct sim *sim, struct sim_host *at)
{
    const unsigned i = (unsigned)sim_rand(sim, at->drive_count);
    struct sim_drive *drive = &at->drives[i];
    struct soft_ns_view views[SOFT_NS_MAX];
    const size_t count = soft_drive_ns(drive->drive, views, SOFT_NS_MAX);
    if (drive->foreign || !is_adopted(at, drive) || !soft_drive_present(drive->drive))
        return;
    drive->suspect = drive->strange = true;
    sim->tally.stranger++;
    if (count > 0 && sim_chance(sim, 300)) {
        const uint32_t nsid = views[sim_rand(sim, count)].nsid;
        sim_trace(sim, "%s somebody deletes ns %u of drive %u", at->name.v, nsid, i);
        raw_delete(sim, at, i, nsid);
        return;
    }
    static struct nvme_wire_create page;
    const uint64_t blocks =
        (1 << 19) / soft_drive_profile(drive->drive)->lbaf[0].block_bytes; /* no slice is as small */
    page = (struct nvme_wire_create){.nsze = le64_of(blocks), .ncap = le64_of(blocks)};
    const uint16_t status =
        raw(drive->drive, (struct nvme_cmd){.opcode = NVME_OP_NS_MANAGEMENT, .data = &page, .data_len = sizeof(page)});
    sim_trace(sim, "%s somebody makes a namespace on drive %u: %03x", at->name.v, i, status);
}

static bool is_known(const struct host *host, const char *serial, uint32_t nsid)
{
    for (size_t i = 0; i < host->slice_count; i++)
        if (strcmp(host->slices[i].slice.drive, serial) == 0 && host->slices[i].slice.nsid.v == nsid)
            return true;
    for (size_t i = 0; i < host->drive_count; i++)
        for (size_t k = 0; k < host->drives[i].factory_count; k++)
            if (strcmp(host->drives[i].ident.serial, serial) == 0 && host->drives[i].factory[k].nsid.v == nsid)
                return true;
    return false;
}

/* A person deletes what the agent calls an orphan. */
void fault_orphans_remove(struct sim *sim)
{
    for (size_t h = 0; h < sim->host_count; h++) {
        struct sim_host *at = &sim->hosts[h];
        for (size_t d = 0; at->agent.host != NULL && d < at->agent.host->drive_count; d++) {
            const struct host_drive *drive = &at->agent.host->drives[d];
            if (drive->orphans == 0 || drive->busy)
                continue;
            for (unsigned i = 0; i < at->drive_count; i++) {
                struct soft_ns_view views[SOFT_NS_MAX];
                const char *serial = soft_drive_serial(at->soft[i]);
                const size_t count = soft_drive_ns(at->soft[i], views, SOFT_NS_MAX);
                for (size_t n = 0; strcmp(serial, drive->ident.serial) == 0 && n < count; n++)
                    if (!is_known(at->agent.host, serial, views[n].nsid)) {
                        if (at->drives[i].made[views[n].nsid] && !at->drives[i].strange)
                            sim_fail(sim, "%s does not know namespace %u of %s again, which it has made", at->name.v,
                                     views[n].nsid, serial);
                        sim_trace(sim, "%s a person deletes orphan %u of %s", at->name.v, views[n].nsid, serial);
                        raw_delete(sim, at, i, views[n].nsid);
                    }
            }
        }
    }
}

/* ---- processes and machines ----------------------------------------------------------------------------------------
 */

static void power_cut(struct sim *sim, struct sim_host *at)
{
    sim_trace(sim, "%s power cut", at->name.v);
    virt_fake_host_reboot(&at->virt);
    tenants_sync(at);
    for (size_t i = 0; i < sim->tenant_count; i++)
        if (sim->tenants[i].host == at->index)
            tenant_close(sim, &sim->tenants[i]);
    for (size_t i = 0; i < at->drive_count; i++) {
        at->drives[i].suspect = true;
        soft_drive_power_cut(at->soft[i]);
    }
    snprintf(at->boot.v, sizeof(at->boot.v), "boot-%u-%ju", at->index, (uintmax_t)sim->now_ms);
    agent_end(at, "power cut", 5000);
}

static void guest_fault(struct sim *sim, struct sim_host *at)
{
    if (sim->tenant_count == 0)
        return;
    const struct sim_tenant *tenant = &sim->tenants[sim_rand(sim, sim->tenant_count)];
    static bool (*const ways[])(const struct virt_port *, const struct uuid *) = {virt_fake_power_off, virt_fake_kill,
                                                                                  virt_fake_pause, virt_fake_deaf};
    const unsigned way = (unsigned)sim_rand(sim, 4);
    if (tenant->vm && tenant->host == at->index && ways[way](&at->virt, &tenant->uuid))
        sim_trace(sim, "guest %s: fault %u", tenant->name.v, way);
    tenants_sync(at);
}

static void server_fault(struct sim *sim)
{
    switch (sim_rand(sim, 5)) {
    case 0:
        server_crash(sim);
        return;
    case 1:
    case 2:
        sim->server.armed = true;
        store_mem_fail(&sim->server.store, 1 + (unsigned)sim_rand(sim, 6), sim_rand(sim, 2));
        return;
    case 3:
        if (!sim->server.has_backup)
            server_backup(sim);
        return;
    default:
        if (sim->server.has_backup && sim_chance(sim, 500))
            server_restore(sim);
        return;
    }
}

void fault_step(struct sim *sim)
{
    struct sim_host *at = any_host(sim);
    const uint64_t what = sim_rand(sim, 100);
    sim->tally.faults++;
    if (what < 30)
        device_fault(sim, at);
    else if (what < 46)
        at->crash_in = 1 + (unsigned)sim_rand(sim, sim_chance(sim, 500) ? 20 : 300);
    else if (what < 54)
        ledger_mem_fail(&at->ledger, 1 + (unsigned)sim_rand(sim, 5), sim_rand(sim, 2));
    else if (what < 68)
        server_fault(sim);
    else if (what < 74)
        drive_pull(sim, at);
    else if (what < 82)
        guest_fault(sim, at);
    else if (what < 88)
        virt_fake_fail(&at->virt, 1 + (unsigned)sim_rand(sim, 4), sim_rand(sim, 2) ? ERR_FAILED : ERR_BUSY,
                       sim_rand(sim, 2));
    else if (what < 93)
        stranger(sim, at);
    else if (what < 95)
        power_cut(sim, at);
    else if (what < 97)
        bad_health(sim, at);
    else
        agent_end(at, "killed", 3000);
}

/* ---- the faults are gone -------------------------------------------------------------------------------------------
 */

void fault_calm(struct sim *sim)
{
    store_mem_fail(&sim->server.store, 0, false);
    sim->server.armed = false;
    for (size_t h = 0; h < sim->host_count; h++) {
        struct sim_host *at = &sim->hosts[h];
        at->crash_in = 0;
        ledger_mem_fail(&at->ledger, 0, false);
        virt_fake_fail(&at->virt, 0, ERR_FAILED, false);
        for (size_t i = 0; i < at->drive_count; i++) {
            const struct soft_profile *profile = soft_drive_profile(at->soft[i]);
            struct err ignored = {0};
            soft_drive_faults_clear(at->soft[i]); /* but not what the drive is like */
            for (size_t k = 0; k < profile->fault_count; k++)
                must(soft_drive_fault(at->soft[i], &profile->faults[k], &ignored));
            soft_drive_set_present(at->soft[i], true);
        }
    }
    user_clear(sim);
}
