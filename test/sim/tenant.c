/* Tenants: guests in VMs and programs on bare claims. Each writes blocks that carry its claim, slice and a number, and
 * reads all places where anybody ever writes: what it finds is its own, or nobody's. */
#include "sim.h"

#include "base/must.h"
#include "base/text.h"

#include <stdlib.h>

struct tag {
    char magic[8];
    uint32_t tenant, number, place, nsid;
};

static const char magic[8] = "simtag1";

static uint64_t blocks_of(struct sim *sim, unsigned host, unsigned drive, uint32_t nsid)
{
    struct soft_ns_view views[SOFT_NS_MAX];
    const size_t count = soft_drive_ns(sim->hosts[host].soft[drive], views, SOFT_NS_MAX);
    for (size_t i = 0; i < count; i++)
        if (views[i].nsid == nsid)
            return views[i].size_blocks * views[i].block_bytes / SIM_BLOCK;
    return 0;
}

/* The first, the last, and some between: the same for everybody, so that everybody meets what others left. */
static uint64_t offset_of(uint64_t blocks, unsigned place)
{
    if (place == 0)
        return 0;
    if (place == 1)
        return (blocks - 1) * SIM_BLOCK;
    struct rng rng = {place};
    return rng_below(&rng, blocks) * SIM_BLOCK;
}

static bool tag_at(struct sim *sim, const struct sim_disk *where, uint64_t blocks, unsigned place, struct tag *out)
{
    struct soft_drive *drive = sim->hosts[where->host].soft[where->drive];
    return soft_drive_peek(drive, where->nsid, offset_of(blocks, place), out, sizeof(*out)) &&
           memcmp(out->magic, magic, sizeof(magic)) == 0;
}

const struct sim_tenant *tenant_tag_on(struct sim *sim, unsigned host, unsigned drive, uint32_t nsid,
                                       const struct claim_id *but)
{
    const struct sim_disk where = {.host = host, .drive = drive, .nsid = nsid};
    const uint64_t blocks = blocks_of(sim, host, drive, nsid);
    struct tag tag;
    for (unsigned place = 0; blocks > 0 && place < SIM_PLACES; place++)
        if (tag_at(sim, &where, blocks, place, &tag) && tag.tenant < sim->tenant_count &&
            !claim_id_eq(&sim->tenants[tag.tenant].claim, but))
            return &sim->tenants[tag.tenant];
    return NULL;
}

struct sim_tenant *tenant_using(struct sim *sim, unsigned host, unsigned drive, uint32_t nsid)
{
    for (size_t i = 0; i < sim->tenant_count; i++)
        for (size_t k = 0; k < sim->tenants[i].disk_count; k++) {
            const struct sim_disk *disk = &sim->tenants[i].disks[k];
            if (disk->open && !disk->lost && disk->host == host && disk->drive == drive && disk->nsid == nsid)
                return &sim->tenants[i];
        }
    return NULL;
}

struct sim_tenant *tenant_of_claim(struct sim *sim, const struct claim_id *claim)
{
    for (size_t i = 0; i < sim->tenant_count; i++)
        if (claim_id_eq(&sim->tenants[i].claim, claim))
            return &sim->tenants[i];
    return NULL;
}

/* ---- opening and closing ----------------------------------------------------------------------------------------- */

static void disk_close(struct sim *sim, struct sim_disk *disk)
{
    if (disk->open && !disk->lost)
        soft_drive_hold(sim->hosts[disk->host].soft[disk->drive], disk->nsid, false);
    disk->open = false;
}

void tenant_close(struct sim *sim, struct sim_tenant *tenant)
{
    for (size_t i = 0; i < tenant->disk_count; i++)
        disk_close(sim, &tenant->disks[i]);
    tenant->alive = false;
}

/* The same namespace as before keeps what was written to it; another one is a new disk. */
static void disk_open(struct sim *sim, struct sim_tenant *tenant, size_t i, const struct slice_id *slice,
                      const struct sim_disk *where)
{
    struct sim_disk *disk = &tenant->disks[i];
    must(i < CLAIM_SLICES_MAX);
    if (i >= tenant->disk_count)
        tenant->disk_count = i + 1;
    if (disk->host != where->host || disk->drive != where->drive || disk->nsid != where->nsid ||
        disk->ino != where->ino || disk->lost)
        *disk = *where;
    disk->slice = *slice;
    disk->open = true;
    soft_drive_hold(sim->hosts[disk->host].soft[disk->drive], disk->nsid, true);
}

static void guest_begins(struct sim *sim, struct sim_tenant *tenant, const struct domain *domain)
{
    sim_trace(sim, "guest %s lives", tenant->name.v);
    tenant->alive = true;
    for (size_t i = 0; i < domain->disk_count; i++) {
        struct sim_disk where = {0};
        if (!port_resolve(sim, domain->disks[i].path, &where))
            continue; /* pulled since */
        if (tenant_using(sim, where.host, where.drive, where.nsid) != NULL)
            sim_fail(sim, "guest %s was given a namespace that %s uses: host %u drive %u ns %u", tenant->name.v,
                     tenant_using(sim, where.host, where.drive, where.nsid)->name.v, where.host, where.drive,
                     where.nsid);
        disk_open(sim, tenant, i, &domain->disks[i].serial, &where);
    }
}

void tenants_sync(struct sim_host *at)
{
    struct sim *sim = at->sim;
    for (size_t i = 0; i < sim->tenant_count; i++) {
        struct sim_tenant *tenant = &sim->tenants[i];
        if (!tenant->vm || tenant->host != at->index)
            continue;
        const struct domain *domain = virt_fake_domain(&at->virt, &tenant->uuid);
        const bool alive =
            domain != NULL && domain->disk_count > 0 && virt_fake_holders(&at->virt, &domain->disks[0].serial) > 0;
        if (alive && !tenant->alive)
            guest_begins(sim, tenant, domain);
        if (!alive && tenant->alive) {
            sim_trace(sim, "guest %s ends", tenant->name.v);
            tenant_close(sim, tenant);
        }
    }
}

/* A program opens the paths that the API says are ready. */
static void claim_open(struct sim *sim, struct sim_tenant *tenant)
{
    struct row_claim claim;
    struct sim_disk where[CLAIM_SLICES_MAX] = {0};
    if (!sim->server.up || !server_row(sim, ROW_CLAIM, tenant->claim.v, &claim) || claim.state != CLAIM_READY)
        return;
    for (size_t i = 0; i < claim.slice_count; i++) {
        struct row_slice row;
        struct host *host = sim->hosts[tenant->host].agent.host;
        if (host == NULL || !server_row(sim, ROW_SLICE, claim.slices[i].v, &row) ||
            !port_resolve(sim, row.slice.path, &where[i]))
            return;
        /* The link in /run is there only while the agent has the slice handed out to this claim. */
        const struct host_slice *slice = host_slice_find(host, &claim.slices[i]);
        if (slice == NULL || slice->slice.state != SLICE_ATTACHED || !slice->node_known || slice->ino != where[i].ino ||
            !claim_id_eq(&slice->slice.owner, &tenant->claim))
            return;
    }
    for (size_t i = 0; i < claim.slice_count; i++) {
        if (tenant_using(sim, where[i].host, where[i].drive, where[i].nsid) != NULL)
            sim_fail(sim, "claim %s was given a namespace that %s uses", tenant->claim.v,
                     tenant_using(sim, where[i].host, where[i].drive, where[i].nsid)->name.v);
        disk_open(sim, tenant, i, &claim.slices[i], &where[i]);
    }
    sim_trace(sim, "tenant %s opens its slices", tenant->claim.v);
    tenant->alive = true;
}

/* ---- reading and writing ----------------------------------------------------------------------------------------- */

static bool is_excused(const struct sim *sim, const struct sim_tenant *tenant, const struct sim_disk *disk)
{
    return tenant->leaving || disk->lost || sim->hosts[disk->host].drives[disk->drive].careless;
}

static void read_place(struct sim *sim, const struct sim_tenant *tenant, struct sim_disk *disk, uint64_t blocks,
                       unsigned place)
{
    struct tag tag = {.tenant = SIM_TENANTS};
    const bool tagged = tag_at(sim, disk, blocks, place, &tag);
    const uint32_t me = (uint32_t)(tenant - sim->tenants);
    sim->tally.reads++;
    if (tagged && tag.tenant != me)
        sim_fail(sim, "tenant %s reads what %s wrote: slice %s place %u", tenant->claim.v,
                 tag.tenant < sim->tenant_count ? sim->tenants[tag.tenant].claim.v : "?", disk->slice.v, place);
    if (disk->written[place] == 0 || (tagged && tag.number == disk->written[place]))
        return;
    if (!is_excused(sim, tenant, disk))
        sim_fail(sim, "tenant %s does not find its own block %u on slice %s (host %u drive %u ns %u)", tenant->claim.v,
                 place, disk->slice.v, disk->host, disk->drive, disk->nsid);
    disk->written[place] = 0;
}

static void disk_use(struct sim *sim, struct sim_tenant *tenant, struct sim_disk *disk)
{
    struct soft_drive *drive = sim->hosts[disk->host].soft[disk->drive];
    const uint64_t blocks = blocks_of(sim, disk->host, disk->drive, disk->nsid);
    if (!disk->open || disk->lost || blocks == 0 || !soft_drive_present(drive))
        return;
    for (unsigned place = 0; place < SIM_PLACES; place++)
        read_place(sim, tenant, disk, blocks, place);
    for (unsigned n = 0; n < 4; n++) {
        const unsigned place = (unsigned)sim_rand(sim, SIM_PLACES);
        uint8_t block[SIM_BLOCK];
        struct tag tag = {
            .tenant = (uint32_t)(tenant - sim->tenants), .number = ++sim->writes, .place = place, .nsid = disk->nsid};
        memcpy(tag.magic, magic, sizeof(magic));
        memset(block, (int)(tag.number & 0xff) | 1, sizeof(block));
        memcpy(block, &tag, sizeof(tag));
        memcpy(block + SIM_BLOCK - sizeof(tag), &tag, sizeof(tag));
        must(soft_drive_poke(drive, disk->nsid, offset_of(blocks, place), block, sizeof(block)));
        for (unsigned other = 0; other < SIM_PLACES; other++) /* two places may be one block */
            if (offset_of(blocks, other) == offset_of(blocks, place))
                disk->written[other] = tag.number;
    }
}

void tenant_step(struct sim *sim, size_t index)
{
    struct sim_tenant *tenant = &sim->tenants[index];
    if (tenant->gone && !tenant->alive)
        return;
    sim_at(sim, 200 + sim_rand(sim, 4000), (struct sim_event){.kind = EV_TENANT, .number = index});
    if (!tenant->vm && !tenant->alive && !tenant->leaving && tenant->asked)
        claim_open(sim, tenant);
    if (!tenant->vm && tenant->leaving && (sim->calm || sim->now_ms >= tenant->close_ms))
        tenant_close(sim, tenant);
    for (size_t i = 0; i < tenant->disk_count && tenant->alive; i++)
        disk_use(sim, tenant, &tenant->disks[i]);
}
