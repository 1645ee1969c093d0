/* soft_identify.c - Identify (06h). Base 2.0, "Identify command"; NVM 1.0, "Identify Namespace". */
#include "nvme/soft_drive.h"

#include <string.h>

/* Text fields are filled up with spaces and have no end mark. */
static void put_text(char *to, size_t size, const char *from)
{
    const size_t len = strnlen(from, size);
    memset(to, ' ', size);
    memcpy(to, from, len);
}

static uint16_t identify_ctrl(const struct soft_drive *drive, uint16_t cntlid, struct nvme_wire_ctrl *page)
{
    const struct soft_profile *profile = &drive->profile;
    page->vid = page->ssvid = le16_of(profile->vendor_id);
    put_text(page->sn, sizeof(page->sn), drive->serial);
    put_text(page->mn, sizeof(page->mn), profile->model);
    page->cntlid = le16_of(cntlid);
    page->ver = le32_of(NVME_VERSION_2_0);
    page->oaes = le32_of(profile->events ? NVME_OAES_NS_CHANGED : 0);
    page->ctratt = le32_of(profile->granularity_reported ? NVME_CTRATT_GRANULARITY : 0);
    page->cntrltype = 1; /* I/O controller */
    page->oacs = le16_of((uint16_t)((profile->format ? NVME_OACS_FORMAT : 0) |
                                    (soft_has_ns_management(drive) ? NVME_OACS_NS_MANAGEMENT : 0)));
    soft_firmware_identify(drive, page);
    page->acl = page->aerl = 3;
    page->lpa = NVME_LPA_EFFECTS | NVME_LPA_EXTENDED | (profile->smart_per_namespace ? NVME_LPA_SMART_NS : 0);
    page->elpe = 63;
    page->wctemp = le16_of(SOFT_WCTEMP);
    page->cctemp = le16_of(SOFT_CCTEMP);
    page->tnvmcap = le128_of(profile->capacity_bytes);
    page->unvmcap = le128_of(soft_drive_free_bytes(drive));
    page->sanicap = le32_of((profile->sanitize_crypto ? NVME_SANICAP_CRYPTO : 0u) |
                            (profile->sanitize_block ? NVME_SANICAP_BLOCK : 0u) |
                            (profile->sanitize_overwrite ? NVME_SANICAP_OVERWRITE : 0u));
    page->sqes = 0x66;
    page->cqes = 0x44;
    page->nn = le32_of(profile->nn);
    page->mnan = le32_of(profile->mnan);
    page->oncs = le16_of(
        (uint16_t)((profile->deallocate ? NVME_ONCS_DSM : 0) | (profile->write_zeroes ? NVME_ONCS_WRITE_ZEROES : 0)));
    page->fna = profile->fna;
    soft_drive_nqn(drive, page->subnqn);
    return NVME_ST_OK;
}

static uint8_t fpi(const struct soft_drive *drive, uint32_t nsid)
{
    if (!drive->profile.progress)
        return 0;
    if (drive->state.op.kind != SOFT_OP_FORMAT || !soft_op_hits(&drive->state.op, nsid))
        return NVME_FPI_SUPPORTED;
    const uint32_t done = soft_op_fraction(drive) * 100 / 65536;
    const uint32_t remaining = done >= 100 ? 1 : 100 - done; /* 0 would mean that it is over */
    return (uint8_t)(NVME_FPI_SUPPORTED | remaining);
}

static void put_lba_formats(const struct soft_profile *profile, struct nvme_wire_ns *page)
{
    page->nlbaf = (uint8_t)(profile->lbaf_count - 1);
    for (size_t i = 0; i < profile->lbaf_count; i++)
        page->lbaf[i] = (struct nvme_wire_lbaf){.ms = le16_of(profile->lbaf[i].meta_bytes),
                                                .lbads = (uint8_t)__builtin_ctz(profile->lbaf[i].block_bytes),
                                                .rp = profile->lbaf[i].performance};
}

static void put_ns(const struct soft_drive *drive, const struct soft_ns *ns, struct nvme_wire_ns *page)
{
    put_lba_formats(&drive->profile, page);
    page->nsze = page->ncap = page->nuse = le64_of(ns->size_blocks);
    page->flbas = ns->lbaf;
    page->fpi = fpi(drive, ns->nsid);
    page->dlfeat = 1; /* deallocated blocks read as zeros */
    page->nvmcap = le128_of(ns->charged_bytes);
    memcpy(page->nguid, ns->nguid, sizeof(page->nguid));
    memcpy(page->eui64, ns->eui64, sizeof(page->eui64));
}

/* CNS 00h and 11h: a namespace that is not there (not attached) is a page of zeros. NSID FFFFFFFFh: what all
 * namespaces have in common, on drives with Namespace Management only. */
static uint16_t identify_ns(struct soft_drive *drive, const struct soft_call *call, bool allocated,
                            struct nvme_wire_ns *page)
{
    const uint32_t nsid = call->cmd->nsid;
    if (nsid == NVME_NSID_ALL && !allocated && soft_has_ns_management(drive)) {
        put_lba_formats(&drive->profile, page);
        return NVME_ST_OK;
    }
    if (nsid == 0 || nsid > drive->profile.nn)
        return NVME_ST_INVALID_NS;
    const struct soft_ns *ns = soft_state_ns(&drive->state, nsid);
    if (ns != NULL && (allocated || ns->cntlid == call->cntlid))
        put_ns(drive, ns, page);
    return NVME_ST_OK;
}

static uint16_t identify_list(const struct soft_drive *drive, const struct soft_call *call, bool allocated,
                              struct nvme_wire_ns_list *page)
{
    const uint32_t above = call->cmd->nsid;
    size_t count = 0;
    if (above >= NVME_NSID_ALL - 1)
        return NVME_ST_INVALID_NS;
    for (size_t i = 0; i < drive->state.ns_count; i++)
        if (drive->state.ns[i].nsid > above && (allocated || drive->state.ns[i].cntlid == call->cntlid))
            page->nsid[count++] = le32_of(drive->state.ns[i].nsid);
    return NVME_ST_OK;
}

static uint8_t *put_descriptor(uint8_t *at, enum nvme_nidt type, const uint8_t *value, uint8_t len)
{
    at[0] = (uint8_t)type;
    at[1] = len;
    memcpy(at + sizeof(struct nvme_wire_ns_desc), value, len);
    return at + sizeof(struct nvme_wire_ns_desc) + len;
}

static uint16_t identify_descriptors(struct soft_drive *drive, const struct soft_call *call, uint8_t *page)
{
    static const uint8_t none[16], nvm_command_set[1];
    const struct soft_ns *ns = soft_state_ns(&drive->state, call->cmd->nsid);
    if (ns == NULL || ns->cntlid != call->cntlid)
        return NVME_ST_INVALID_NS;
    if (memcmp(ns->eui64, none, sizeof(ns->eui64)) != 0)
        page = put_descriptor(page, NVME_NIDT_EUI64, ns->eui64, sizeof(ns->eui64));
    if (memcmp(ns->nguid, none, sizeof(ns->nguid)) != 0)
        page = put_descriptor(page, NVME_NIDT_NGUID, ns->nguid, sizeof(ns->nguid));
    put_descriptor(page, NVME_NIDT_CSI, nvm_command_set, sizeof(nvm_command_set));
    return NVME_ST_OK;
}

/* CNS 12h: controllers that the namespace is attached to; 13h: all. From CNTID on. */
static uint16_t identify_ctrls(struct soft_drive *drive, const struct nvme_cmd *cmd, struct nvme_wire_ctrl_list *page)
{
    const bool of_ns = (cmd->cdw10 & 0xff) == NVME_CNS_NS_CTRL_LIST;
    const struct soft_ns *ns = of_ns ? soft_state_ns(&drive->state, cmd->nsid) : NULL;
    uint16_t count = 0;
    if (of_ns && (cmd->nsid == 0 || cmd->nsid > drive->profile.nn))
        return NVME_ST_INVALID_NS;
    if (!of_ns && cmd->nsid != 0)
        return NVME_ST_INVALID_FIELD;
    for (uint16_t cntlid = 1; cntlid <= SOFT_CTRLS_MAX; cntlid++)
        if (cntlid >= cmd->cdw10 >> 16 && soft_state_has_ctrl(&drive->state, cntlid) &&
            (!of_ns || (ns != NULL && ns->cntlid == cntlid)))
            page->cntlid[count++] = le16_of(cntlid);
    page->count = le16_of(count);
    return NVME_ST_OK;
}

static uint16_t identify_granularity(const struct soft_drive *drive, struct nvme_wire_granularity *page)
{
    page->at[0].nszeg = le64_of(drive->profile.nsg_bytes);
    page->at[0].ncapg = le64_of(drive->profile.ncg_bytes);
    return NVME_ST_OK;
}

uint16_t soft_identify(struct soft_drive *drive, struct soft_call *call)
{
    const struct nvme_cmd *cmd = call->cmd;
    const struct soft_profile *profile = &drive->profile;
    const uint32_t cns = cmd->cdw10 & 0xff;
    const bool takes_cntid = cns == NVME_CNS_NS_CTRL_LIST || cns == NVME_CNS_CTRL_LIST;
    const bool needs_management = cns >= NVME_CNS_ALLOCATED_NS_LIST && cns <= NVME_CNS_CTRL_LIST;
    if (!soft_cdws_zero(cmd) || cmd->cdw10 & (takes_cntid ? 0xff00u : 0xffffff00u) || cmd->data_len != NVME_PAGE)
        return NVME_ST_INVALID_FIELD;
    if (needs_management && !soft_has_ns_management(drive))
        return NVME_ST_INVALID_FIELD;
    memset(cmd->data, 0, NVME_PAGE);
    switch (cns) {
    case NVME_CNS_NS:
        return identify_ns(drive, call, false, cmd->data);
    case NVME_CNS_CTRL:
        return cmd->nsid != 0 ? NVME_ST_INVALID_FIELD : identify_ctrl(drive, call->cntlid, cmd->data);
    case NVME_CNS_ACTIVE_NS_LIST:
        return identify_list(drive, call, false, cmd->data);
    case NVME_CNS_NS_DESCRIPTORS:
        return identify_descriptors(drive, call, cmd->data);
    case NVME_CNS_ALLOCATED_NS_LIST:
        return identify_list(drive, call, true, cmd->data);
    case NVME_CNS_ALLOCATED_NS:
        return identify_ns(drive, call, true, cmd->data);
    case NVME_CNS_NS_CTRL_LIST:
    case NVME_CNS_CTRL_LIST:
        return identify_ctrls(drive, cmd, cmd->data);
    case NVME_CNS_NS_GRANULARITY:
        if (!profile->granularity_reported || cmd->nsid != 0)
            return NVME_ST_INVALID_FIELD;
        return identify_granularity(drive, cmd->data);
    default:
        return NVME_ST_INVALID_FIELD;
    }
}
