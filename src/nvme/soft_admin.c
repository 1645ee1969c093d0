/* soft_admin.c - Namespace Management (0Dh) and Namespace Attachment (15h), and how the state changes. Base 2.0,
 * "Namespace Management command"; stricter where nvme_soft.h says so. */
#include "nvme/soft_drive.h"

#include "base/must.h"

#include <string.h>

uint16_t soft_commit(struct soft_drive *drive, const struct soft_state *next)
{
    struct err err = {0};
    must(soft_state_broken(next, &drive->profile) == NULL);
    if (drive->dir != NULL && !soft_state_save(next, drive->dir, &err))
        return NVME_ST_INTERNAL;
    drive->state = *next;
    return NVME_ST_OK;
}

void soft_show(struct soft_drive *drive, uint32_t nsid)
{
    const struct soft_ns *ns = soft_state_ns(&drive->state, nsid);
    must(ns != NULL);
    must(ns->cntlid == SOFT_CNTLID);
    drive->visible[nsid] = soft_media_link(drive->media, ns->media, nsid);
}

void soft_hide(struct soft_drive *drive, uint32_t nsid)
{
    soft_media_unlink(drive->media, nsid);
    drive->visible[nsid] = false;
}

uint32_t soft_free_nsid(const struct soft_drive *drive)
{
    const struct soft_profile *profile = &drive->profile;
    uint32_t nsid = 1;
    if (profile->mnan != 0 && drive->state.ns_count >= profile->mnan)
        return 0;
    for (size_t i = 0; i < drive->state.ns_count && drive->state.ns[i].nsid == nsid; i++)
        nsid++;
    return nsid <= profile->nn ? nsid : 0;
}

/* Ids begin with the prefix of locally administered addresses that QEMU uses, so they are never those of a real
 * drive; "reused" ids depend on the NSID alone, as those of drives that count from a fixed base. */
static void put_ids(const struct soft_profile *profile, uint64_t seed, struct soft_ns *ns)
{
    static const uint8_t oui[3] = {0x52, 0x54, 0x00};
    struct rng nguid = {seed ^ (profile->nguid == SOFT_IDS_REUSED ? ns->nsid : ns->born << 16)};
    struct rng eui64 = {~seed ^ (profile->eui64 == SOFT_IDS_REUSED ? ns->nsid : ns->born << 16)};
    if (profile->nguid != SOFT_IDS_ZERO) {
        const uint64_t a = rng_next(&nguid), b = rng_next(&nguid);
        memcpy(ns->nguid, &a, 8);
        memcpy(ns->nguid + 8, oui, sizeof(oui));
        memcpy(ns->nguid + 11, &b, 5);
    }
    if (profile->eui64 != SOFT_IDS_ZERO) {
        const uint64_t a = rng_next(&eui64);
        memcpy(ns->eui64, oui, sizeof(oui));
        memcpy(ns->eui64 + 3, &a, 5);
    }
}

void soft_factory(struct soft_drive *drive, struct soft_state *state)
{
    const struct soft_profile *profile = &drive->profile;
    if (!profile->factory_namespace)
        return;
    struct soft_ns ns = {.nsid = 1,
                         .lbaf = profile->factory_lbaf,
                         .size_blocks = profile->capacity_bytes / profile->lbaf[profile->factory_lbaf].block_bytes,
                         .charged_bytes = profile->capacity_bytes,
                         .born = state->next_born++,
                         .media = state->next_media++,
                         .cntlid = SOFT_CNTLID};
    put_ids(profile, state->seed, &ns);
    soft_state_add(state, &ns);
}

/* The page of a create: what we do not know, and what must be zero, is refused. */
static uint16_t check_create(const struct soft_profile *profile, const struct nvme_cmd *cmd)
{
    const struct nvme_wire_create *page = cmd->data;
    const uint8_t *bytes = cmd->data;
    const uint64_t nsze = le64_get(page->nsze), ncap = le64_get(page->ncap);
    for (size_t i = offsetof(struct nvme_wire_create, ncap) + 8; i < NVME_PAGE; i++)
        if (bytes[i] != 0 && i != offsetof(struct nvme_wire_create, flbas))
            return NVME_ST_INVALID_FIELD;
    if (page->flbas & ~NVME_FLBAS_LOW)
        return NVME_ST_INVALID_FIELD;
    if (page->flbas >= profile->lbaf_count || profile->lbaf[page->flbas].meta_bytes != 0)
        return NVME_ST_INVALID_FORMAT;
    if (nsze == 0 || ncap == 0 || ncap > nsze)
        return NVME_ST_INVALID_FIELD;
    if (ncap < nsze)
        return NVME_ST_NS_NO_THIN;
    const uint64_t block = profile->lbaf[page->flbas].block_bytes;
    if (nsze > UINT64_MAX / 2 / block)
        return NVME_ST_NS_NO_CAPACITY;
    const bool off_size = profile->nsg_bytes != 0 && nsze * block % profile->nsg_bytes != 0;
    const bool off_capacity = profile->ncg_bytes != 0 && ncap * block % profile->ncg_bytes != 0;
    return profile->granularity_strict && (off_size || off_capacity) ? NVME_ST_INVALID_FIELD : NVME_ST_OK;
}

static uint64_t round_up(uint64_t value, uint64_t granule)
{
    return granule == 0 ? value : (value + granule - 1) / granule * granule;
}

/* A fresh medium, or, where deleting leaks, the last one that was left behind. */
static uint64_t pick_medium(const struct soft_drive *drive, struct soft_state *next)
{
    if (!drive->profile.leaky_delete || next->spare_count == 0)
        return next->next_media++;
    return next->spares[--next->spare_count].media;
}

static uint16_t create(struct soft_drive *drive, struct soft_call *call)
{
    const struct soft_profile *profile = &drive->profile;
    if (call->cmd->nsid != 0 || call->cmd->data_len != NVME_PAGE)
        return NVME_ST_INVALID_FIELD;
    const uint16_t refused = check_create(profile, call->cmd);
    if (refused != NVME_ST_OK)
        return refused;
    const struct nvme_wire_create *page = call->cmd->data;
    const uint64_t block = profile->lbaf[page->flbas].block_bytes;
    struct soft_state next = drive->state;
    struct soft_ns ns = {.nsid = soft_free_nsid(drive),
                         .lbaf = page->flbas,
                         .size_blocks = le64_get(page->nsze),
                         .charged_bytes = round_up(le64_get(page->ncap) * block, profile->ncg_bytes),
                         .born = next.next_born++};
    if (ns.nsid == 0)
        return NVME_ST_NS_NO_ID;
    if (ns.charged_bytes > soft_drive_free_bytes(drive))
        return NVME_ST_NS_NO_CAPACITY;
    ns.media = pick_medium(drive, &next);
    put_ids(profile, next.seed, &ns);
    soft_state_add(&next, &ns);
    /* Media first: a file that no state knows is removed at the next start; the reverse would be a loss. */
    if (!soft_media_size(drive->media, ns.media, ns.size_blocks * block))
        return NVME_ST_INTERNAL;
    const uint16_t status = soft_commit(drive, &next);
    if (status == NVME_ST_OK)
        call->cmd->result = ns.nsid;
    return status;
}

static uint16_t delete_one(struct soft_drive *drive, uint32_t nsid)
{
    struct soft_state next = drive->state;
    const struct soft_ns *ns = soft_state_ns(&next, nsid);
    if (ns == NULL)
        return NVME_ST_INVALID_NS;
    if (ns->cntlid != 0 && !drive->profile.delete_attached)
        return NVME_ST_SEQUENCE;
    const uint64_t medium = ns->media;
    const uint16_t cntlid = ns->cntlid;
    const bool keep = drive->profile.leaky_delete && next.spare_count < SOFT_NS_MAX;
    soft_state_remove(&next, nsid, drive->profile.reclaim_in_order);
    if (keep)
        next.spares[next.spare_count++].media = medium;
    const uint16_t status = soft_commit(drive, &next);
    if (status != NVME_ST_OK)
        return status;
    soft_changed(drive, cntlid, nsid);
    if (cntlid == SOFT_CNTLID)
        soft_hide(drive, nsid);
    if (!keep)
        soft_media_drop(drive->media, medium); /* a file left behind is removed at the next start */
    return NVME_ST_OK;
}

/* NSID FFFFFFFFh: all there are, or, where one of them may not go, none. */
static uint16_t delete_ns(struct soft_drive *drive, uint32_t nsid)
{
    if (nsid != NVME_NSID_ALL)
        return delete_one(drive, nsid);
    for (size_t i = 0; i < drive->state.ns_count; i++)
        if (drive->state.ns[i].cntlid != 0 && !drive->profile.delete_attached)
            return NVME_ST_SEQUENCE;
    while (drive->state.ns_count > 0) {
        const uint16_t status = delete_one(drive, drive->state.ns[drive->state.ns_count - 1].nsid);
        if (status != NVME_ST_OK)
            return status;
    }
    return NVME_ST_OK;
}

uint16_t soft_ns_management(struct soft_drive *drive, struct soft_call *call)
{
    const struct nvme_cmd *cmd = call->cmd;
    if (!soft_has_ns_management(drive))
        return NVME_ST_INVALID_OPCODE;
    if (cmd->cdw10 > NVME_NS_DELETE || !soft_cdws_zero(cmd))
        return NVME_ST_INVALID_FIELD;
    const uint16_t busy = soft_busy(drive, cmd->nsid == NVME_NSID_ALL ? drive->state.op.nsid : cmd->nsid);
    if (busy != NVME_ST_OK)
        return busy;
    if (cmd->cdw10 == NVME_NS_CREATE)
        return create(drive, call);
    return cmd->data_len != 0 ? NVME_ST_INVALID_FIELD : delete_ns(drive, cmd->nsid);
}

/* The one controller that is named, with nothing behind it; 0: the list is not such. */
static uint16_t named_ctrl(const struct soft_drive *drive, const struct nvme_wire_ctrl_list *page)
{
    const uint16_t cntlid = le16_get(page->cntlid[0]);
    for (size_t i = 1; i < NVME_WIRE_CTRLS_MAX; i++)
        if (le16_get(page->cntlid[i]) != 0)
            return 0;
    return le16_get(page->count) == 1 && soft_state_has_ctrl(&drive->state, cntlid) ? cntlid : 0;
}

/* A private namespace cannot move from one controller to another without a detach between. */
static uint16_t check_attachment(const struct soft_ns *ns, uint16_t cntlid, bool attach)
{
    if (ns == NULL)
        return NVME_ST_INVALID_NS;
    if (!attach)
        return ns->cntlid == cntlid ? NVME_ST_OK : NVME_ST_NS_NOT_ATTACHED;
    if (ns->cntlid == cntlid)
        return NVME_ST_NS_ATTACHED;
    return ns->cntlid == 0 ? NVME_ST_OK : NVME_ST_NS_PRIVATE;
}

uint16_t soft_ns_attachment(struct soft_drive *drive, struct soft_call *call)
{
    const struct nvme_cmd *cmd = call->cmd;
    if (!soft_has_ns_management(drive))
        return NVME_ST_INVALID_OPCODE;
    if (cmd->cdw10 > NVME_NS_DETACH || !soft_cdws_zero(cmd) || cmd->data_len != NVME_PAGE)
        return NVME_ST_INVALID_FIELD;
    const uint16_t busy = soft_busy(drive, cmd->nsid);
    if (busy != NVME_ST_OK)
        return busy;
    const uint16_t cntlid = named_ctrl(drive, cmd->data);
    if (cntlid == 0)
        return NVME_ST_CTRL_LIST_INVALID;
    struct soft_state next = drive->state;
    struct soft_ns *ns = soft_state_ns(&next, cmd->nsid);
    const bool attach = cmd->cdw10 == NVME_NS_ATTACH;
    const uint16_t refused = check_attachment(ns, cntlid, attach);
    if (refused != NVME_ST_OK)
        return refused;
    ns->cntlid = attach ? cntlid : 0;
    const uint16_t status = soft_commit(drive, &next);
    if (status != NVME_ST_OK)
        return status;
    soft_changed(drive, cntlid, cmd->nsid);
    if (cntlid != SOFT_CNTLID)
        return NVME_ST_OK;
    if (!attach)
        soft_hide(drive, cmd->nsid);
    else if (drive->profile.events)
        soft_show(drive, cmd->nsid);
    return NVME_ST_OK;
}
