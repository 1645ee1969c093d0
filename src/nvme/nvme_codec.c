#include "nvme/nvme_codec.h"

#include "base/must.h"

#include <string.h>

enum { LBADS_MIN = 9, LBADS_MAX = 16 }; /* 512 bytes to 64 KiB; NVM: less than 9 is not supported */

static bool long_enough(size_t len, size_t want, const char *what, struct err *err)
{
    if (len < want)
        return err_set(err, ERR_DEVICE, "cannot read %s: the page has %zu bytes of %zu", what, len, want);
    return true;
}

/* Base, section 1.4.2 (ASCII strings are padded with spaces); drives in the wild pad with zeros too. */
static void text_in(char *to, const char *from, size_t len)
{
    size_t end = 0;
    for (size_t i = 0; i < len && from[i] != '\0'; i++) {
        const unsigned char c = (unsigned char)from[i];
        to[i] = c >= 0x20 && c <= 0x7e ? from[i] : '?';
        if (to[i] != ' ')
            end = i + 1;
    }
    to[end] = '\0';
    const size_t lead = strspn(to, " ");
    memmove(to, to + lead, end - lead + 1);
}

static void text_out(char *to, const char *from, size_t len, char pad)
{
    const size_t used = strlen(from);
    must(used <= len);
    memset(to, pad, len);
    memcpy(to, from, used);
}

/* --- Identify Controller ----------------------------------------------------------------------------------------- */

static void caps_in(const struct nvme_wire_ctrl *page, struct drive_caps *caps)
{
    const uint16_t oacs = le16_get(page->oacs), oncs = le16_get(page->oncs);
    const uint32_t sanicap = le32_get(page->sanicap), nn = le32_get(page->nn), mnan = le32_get(page->mnan);
    *caps = (struct drive_caps){
        .cntlid = le16_get(page->cntlid),
        .ns_management = oacs & NVME_OACS_NS_MANAGEMENT,
        .format = oacs & NVME_OACS_FORMAT,
        .fna = page->fna,
        .sanitize_crypto = sanicap & NVME_SANICAP_CRYPTO,
        .sanitize_block = sanicap & NVME_SANICAP_BLOCK,
        .sanitize_over = sanicap & NVME_SANICAP_OVERWRITE,
        .granularity_list = le32_get(page->ctratt) & NVME_CTRATT_GRANULARITY,
        .smart_per_namespace = page->lpa & NVME_LPA_SMART_NS,
        .write_zeroes = oncs & NVME_ONCS_WRITE_ZEROES,
        .deallocate = oncs & NVME_ONCS_DSM,
        .nn = nn,
        .ns_max = mnan != 0 && mnan < nn ? mnan : nn,
        .total_bytes = le128_get(page->tnvmcap),
        .free_bytes = le128_get(page->unvmcap),
    };
}

static void fw_in(const struct nvme_wire_ctrl *page, struct drive_firmware *fw)
{
    const unsigned slots = (page->frmw & NVME_FRMW_SLOTS_MASK) >> NVME_FRMW_SLOTS_SHIFT;
    *fw = (struct drive_firmware){.can_update = le16_get(page->oacs) & NVME_OACS_FIRMWARE,
                                  .slot1_read_only = page->frmw & NVME_FRMW_SLOT1_READ_ONLY,
                                  .no_reset = page->frmw & NVME_FRMW_NO_RESET,
                                  .slot_count = slots};
    if (page->fwug == NVME_FWUG_ANY)
        fw->unit_bytes = 4;
    else
        fw->unit_bytes = page->fwug * 4096u;
}

bool nvme_parse_ctrl(const void *page, size_t len, struct nvme_ctrl_page *out, struct err *err)
{
    if (!long_enough(len, sizeof(struct nvme_wire_ctrl), "Identify Controller", err))
        return false;
    const struct nvme_wire_ctrl *wire = page;
    if (wire->cntrltype == 2 || wire->cntrltype == 3) /* Base 1.4 and later; 0 is "not reported", 1 an I/O controller */
        return err_set(err, ERR_INPUT, "cannot use controller: it is %s controller",
                       wire->cntrltype == 2 ? "a discovery" : "an administrative");
    struct nvme_ctrl_page seen = {.effects_log = wire->lpa & NVME_LPA_EFFECTS};
    seen.ident.vendor_id = le16_get(wire->vid);
    text_in(seen.ident.serial, wire->sn, sizeof(wire->sn));
    text_in(seen.ident.model, wire->mn, sizeof(wire->mn));
    text_in(seen.ident.nqn, wire->subnqn, sizeof(seen.ident.nqn) - 1); /* 223 bytes at the most, then zeros */
    text_in(seen.firmware, wire->fr, sizeof(wire->fr));
    caps_in(wire, &seen.caps);
    fw_in(wire, &seen.fw);
    if (seen.ident.serial[0] == '\0')
        return err_set(err, ERR_DEVICE, "cannot use controller: it reports no serial number");
    if (seen.caps.nn == 0)
        return err_set(err, ERR_DEVICE, "cannot use controller '%s': it reports no namespaces (NN is 0)",
                       seen.ident.serial);
    *out = seen;
    return true;
}

static uint32_t bit(bool on, uint32_t mask)
{
    return on ? mask : 0;
}

void nvme_build_ctrl(const struct nvme_ctrl_page *from, struct nvme_wire_ctrl *page)
{
    const struct drive_caps *caps = &from->caps;
    *page = (struct nvme_wire_ctrl){
        .vid = le16_of(from->ident.vendor_id),
        .cntlid = le16_of(caps->cntlid),
        .cntrltype = 1,
        .ctratt = le32_of(bit(caps->granularity_list, NVME_CTRATT_GRANULARITY)),
        .oacs = le16_of(
            (uint16_t)(bit(caps->ns_management, NVME_OACS_NS_MANAGEMENT) | bit(caps->format, NVME_OACS_FORMAT) |
                       bit(from->fw.can_update, NVME_OACS_FIRMWARE))),
        .frmw = (uint8_t)(bit(from->fw.slot1_read_only, NVME_FRMW_SLOT1_READ_ONLY) |
                          bit(from->fw.no_reset, NVME_FRMW_NO_RESET) | from->fw.slot_count << NVME_FRMW_SLOTS_SHIFT),
        .fwug = from->fw.unit_bytes == 4 ? NVME_FWUG_ANY : (uint8_t)(from->fw.unit_bytes / 4096),
        .lpa = (uint8_t)(bit(from->effects_log, NVME_LPA_EFFECTS) |
                         bit(from->caps.smart_per_namespace, NVME_LPA_SMART_NS)),
        .tnvmcap = le128_of(caps->total_bytes),
        .unvmcap = le128_of(caps->free_bytes),
        .sanicap =
            le32_of(bit(caps->sanitize_crypto, NVME_SANICAP_CRYPTO) | bit(caps->sanitize_block, NVME_SANICAP_BLOCK) |
                    bit(caps->sanitize_over, NVME_SANICAP_OVERWRITE)),
        .nn = le32_of(caps->nn),
        .mnan = le32_of(caps->ns_max),
        .oncs =
            le16_of((uint16_t)(bit(caps->write_zeroes, NVME_ONCS_WRITE_ZEROES) | bit(caps->deallocate, NVME_ONCS_DSM))),
        .fna = caps->fna,
    };
    text_out(page->sn, from->ident.serial, sizeof(page->sn), ' ');
    text_out(page->mn, from->ident.model, sizeof(page->mn), ' ');
    text_out(page->fr, from->firmware, sizeof(page->fr), ' ');
    text_out(page->subnqn, from->ident.nqn, sizeof(page->subnqn), '\0');
}

/* --- Identify Namespace ------------------------------------------------------------------------------------------ */

static struct lba_format lbaf_in(const struct nvme_wire_lbaf *wire)
{
    if (wire->lbads < LBADS_MIN || wire->lbads > LBADS_MAX)
        return (struct lba_format){0};
    return (struct lba_format){
        .block_bytes = 1u << wire->lbads, .meta_bytes = le16_get(wire->ms), .performance = wire->rp & 3};
}

static struct nvme_wire_lbaf lbaf_out(const struct lba_format *from)
{
    if (from->block_bytes == 0)
        return (struct nvme_wire_lbaf){.lbads = 0};
    must((from->block_bytes & (from->block_bytes - 1)) == 0);
    return (struct nvme_wire_lbaf){
        .ms = le16_of(from->meta_bytes), .lbads = (uint8_t)__builtin_ctz(from->block_bytes), .rp = from->performance};
}

/* How many LBA formats there are, those without attributes of their own (NULBAF) too; false: more than fit. */
static bool lbaf_count_in(const struct nvme_wire_ns *wire, size_t *count, struct err *err)
{
    const size_t all = (size_t)wire->nlbaf + 1 + wire->nulbaf;
    if (all > NVME_WIRE_LBAF_MAX)
        return err_set(err, ERR_DEVICE, "cannot read Identify Namespace: it lists %zu LBA formats, %d are possible",
                       all, NVME_WIRE_LBAF_MAX);
    *count = all;
    return true;
}

bool nvme_parse_lbafs(const void *page, size_t len, struct lba_format lbaf[DRIVE_LBAF_MAX], size_t *count,
                      struct err *err)
{
    size_t all = 0;
    if (!long_enough(len, sizeof(struct nvme_wire_ns), "Identify Namespace", err) || !lbaf_count_in(page, &all, err))
        return false;
    const struct nvme_wire_ns *wire = page;
    *count = all < DRIVE_LBAF_MAX ? all : DRIVE_LBAF_MAX;
    for (size_t i = 0; i < DRIVE_LBAF_MAX; i++)
        lbaf[i] = i < *count ? lbaf_in(&wire->lbaf[i]) : (struct lba_format){0};
    return true;
}

/* Bits 6:5 of FLBAS count only where there are more than 16 formats (NVM, Identify Namespace, FLBAS). */
static uint8_t lbaf_index(uint8_t flbas, size_t formats)
{
    const unsigned high = formats > 16 ? flbas >> NVME_FLBAS_HIGH_SHIFT & 3u : 0;
    return (uint8_t)((flbas & NVME_FLBAS_LOW) | high << 4);
}

static uint8_t flbas_of(uint8_t index)
{
    must(index < NVME_WIRE_LBAF_MAX);
    return (uint8_t)((index & NVME_FLBAS_LOW) | (index >> 4) << NVME_FLBAS_HIGH_SHIFT);
}

bool nvme_parse_ns(const void *page, size_t len, struct nvme_ns_page *out, struct err *err)
{
    struct nvme_ns_page seen = {0};
    size_t formats = 0;
    if (!nvme_parse_lbafs(page, len, seen.lbaf, &seen.lbaf_count, err) || !lbaf_count_in(page, &formats, err))
        return false;
    const struct nvme_wire_ns *wire = page;
    const uint64_t blocks = le64_get(wire->nsze);
    if (blocks == 0)
        return err_set(err, ERR_MISSING, "cannot find namespace: the drive describes none (NSZE is 0)");
    const uint8_t index = lbaf_index(wire->flbas, formats);
    const uint32_t block_bytes = index < formats ? lbaf_in(&wire->lbaf[index]).block_bytes : 0;
    if (le64_get(wire->ncap) > blocks || blocks > INT64_MAX ||
        (block_bytes != 0 && blocks > INT64_MAX / block_bytes))
        return err_set(err, ERR_DEVICE, "cannot read Identify Namespace: NSZE %ju with NCAP %ju in blocks of %u bytes",
                       (uintmax_t)blocks, (uintmax_t)le64_get(wire->ncap), block_bytes);
    seen.ns = (struct ns_seen){
        .lbaf = index,
        .block_bytes = block_bytes,
        .size_blocks = blocks,
        .used_blocks = le64_get(wire->nuse) <= blocks ? le64_get(wire->nuse) : blocks,
        .nvmcap_bytes = le128_get(wire->nvmcap),
        .shared = wire->nmic & NVME_NMIC_SHARED,
    };
    memcpy(seen.ns.nguid, wire->nguid, sizeof(seen.ns.nguid));
    memcpy(seen.ns.eui64, wire->eui64, sizeof(seen.ns.eui64));
    seen.extended = wire->flbas & NVME_FLBAS_EXTENDED;
    seen.protection = wire->dps;
    seen.progress_known = wire->fpi & NVME_FPI_SUPPORTED;
    if (seen.progress_known)
        seen.remaining_percent = wire->fpi & NVME_FPI_REMAINING;
    if (seen.remaining_percent > 100)
        return err_set(err, ERR_DEVICE, "cannot read Identify Namespace: %u %% remain to be formatted",
                       seen.remaining_percent);
    *out = seen;
    return true;
}

void nvme_build_ns(const struct nvme_ns_page *from, struct nvme_wire_ns *page)
{
    const struct ns_seen *ns = &from->ns;
    must(from->lbaf_count >= 1 && from->lbaf_count <= DRIVE_LBAF_MAX);
    must(from->remaining_percent <= 100);
    *page = (struct nvme_wire_ns){
        .nsze = le64_of(ns->size_blocks),
        .ncap = le64_of(ns->size_blocks),
        .nuse = le64_of(ns->used_blocks),
        .nlbaf = (uint8_t)(from->lbaf_count - 1),
        .flbas = (uint8_t)(flbas_of(ns->lbaf) | bit(from->extended, NVME_FLBAS_EXTENDED)),
        .dps = from->protection,
        .nmic = (uint8_t)bit(ns->shared, NVME_NMIC_SHARED),
        .fpi = (uint8_t)(bit(from->progress_known, NVME_FPI_SUPPORTED) | from->remaining_percent),
        .nvmcap = le128_of(ns->nvmcap_bytes),
    };
    memcpy(page->nguid, ns->nguid, sizeof(page->nguid));
    memcpy(page->eui64, ns->eui64, sizeof(page->eui64));
    for (size_t i = 0; i < from->lbaf_count; i++)
        page->lbaf[i] = lbaf_out(&from->lbaf[i]);
}

/* --- Lists ------------------------------------------------------------------------------------------------------- */

bool nvme_parse_nsids(const void *page, size_t len, struct nvme_nsids *out, struct err *err)
{
    if (!long_enough(len, sizeof(struct nvme_wire_ns_list), "namespace list", err))
        return false;
    const struct nvme_wire_ns_list *wire = page;
    struct nvme_nsids seen = {.count = 0};
    uint32_t last = 0;
    for (size_t i = 0; i < NVME_WIRE_NSIDS_MAX; i++) {
        const uint32_t nsid = le32_get(wire->nsid[i]);
        if (nsid == 0)
            break;
        if (nsid <= last || nsid == NVME_NSID_ALL)
            return err_set(err, ERR_DEVICE, "cannot read namespace list: NSID %u follows NSID %u", nsid, last);
        if (seen.count == DRIVE_NS_MAX) {
            err_set(err, ERR_FULL, "cannot look at drive: it holds more than %d namespaces", DRIVE_NS_MAX);
            return err_hint(err, "leave this drive out, or delete namespaces that nobody needs");
        }
        seen.at[seen.count++].v = last = nsid;
    }
    *out = seen;
    return true;
}

void nvme_build_nsids(const struct nvme_nsids *from, struct nvme_wire_ns_list *page)
{
    must(from->count <= DRIVE_NS_MAX);
    *page = (struct nvme_wire_ns_list){{{{0}}}};
    for (size_t i = 0; i < from->count; i++)
        page->nsid[i] = le32_of(from->at[i].v);
}

bool nvme_parse_descriptors(const void *page, size_t len, struct nvme_ns_ids *out, struct err *err)
{
    if (!long_enough(len, NVME_PAGE, "namespace identification descriptors", err))
        return false;
    const uint8_t *bytes = page;
    struct nvme_ns_ids seen = {{0}, {0}};
    struct nvme_wire_ns_desc head;
    for (size_t at = 0; at + sizeof(head) <= NVME_PAGE; at += sizeof(head) + head.nidl) {
        memcpy(&head, bytes + at, sizeof(head));
        if (head.nidl == 0)
            break;
        const uint8_t *id = bytes + at + sizeof(head);
        if (head.nidl > NVME_PAGE - at - sizeof(head) ||
            (head.nidt == NVME_NIDT_NGUID && head.nidl != sizeof(seen.nguid)) ||
            (head.nidt == NVME_NIDT_EUI64 && head.nidl != sizeof(seen.eui64)))
            return err_set(err, ERR_DEVICE,
                           "cannot read namespace identification descriptors: type %u at byte %zu has %u bytes",
                           head.nidt, at, head.nidl);
        if (head.nidt == NVME_NIDT_NGUID)
            memcpy(seen.nguid, id, sizeof(seen.nguid));
        else if (head.nidt == NVME_NIDT_EUI64)
            memcpy(seen.eui64, id, sizeof(seen.eui64));
    }
    *out = seen;
    return true;
}

static size_t descriptor_out(uint8_t *page, enum nvme_nidt type, const uint8_t *id, uint8_t len)
{
    static const uint8_t none[16];
    if (memcmp(id, none, len) == 0)
        return 0;
    page[0] = (uint8_t)type;
    page[1] = len;
    memcpy(page + sizeof(struct nvme_wire_ns_desc), id, len);
    return sizeof(struct nvme_wire_ns_desc) + len;
}

void nvme_build_descriptors(const struct nvme_ns_ids *from, uint8_t page[NVME_PAGE])
{
    memset(page, 0, NVME_PAGE);
    const size_t used = descriptor_out(page, NVME_NIDT_EUI64, from->eui64, sizeof(from->eui64));
    descriptor_out(page + used, NVME_NIDT_NGUID, from->nguid, sizeof(from->nguid));
}

bool nvme_parse_ctrl_list(const void *page, size_t len, uint16_t *cntlid, size_t max, size_t *count, struct err *err)
{
    if (!long_enough(len, sizeof(struct nvme_wire_ctrl_list), "controller list", err))
        return false;
    const struct nvme_wire_ctrl_list *wire = page;
    const size_t found = le16_get(wire->count);
    if (found > NVME_WIRE_CTRLS_MAX || found > max)
        return err_set(err, ERR_DEVICE, "cannot read controller list: it has %zu entries", found);
    for (size_t i = 1; i < found; i++)
        if (le16_get(wire->cntlid[i]) <= le16_get(wire->cntlid[i - 1]))
            return err_set(err, ERR_DEVICE, "cannot read controller list: it is not in order");
    for (size_t i = 0; i < found; i++)
        cntlid[i] = le16_get(wire->cntlid[i]);
    *count = found;
    return true;
}

void nvme_build_ctrl_list(uint16_t cntlid, struct nvme_wire_ctrl_list *page)
{
    *page = (struct nvme_wire_ctrl_list){.count = le16_of(1)};
    page->cntlid[0] = le16_of(cntlid);
}

/* --- Making namespaces ------------------------------------------------------------------------------------------- */

bool nvme_parse_granularity(const void *page, size_t len, uint64_t *nsg_bytes, uint64_t *ncg_bytes, struct err *err)
{
    if (!long_enough(len, sizeof(struct nvme_wire_granularity), "namespace granularity list", err))
        return false;
    const struct nvme_wire_granularity *wire = page;
    const size_t count = (size_t)wire->count + 1; /* a 0's based value */
    if (count > NVME_WIRE_GRANULARITY_MAX)
        return err_set(err, ERR_DEVICE, "cannot read namespace granularity list: it has %zu descriptors", count);
    uint64_t nsg = 0, ncg = 0;
    for (size_t i = 0; i < count; i++) {
        const uint64_t size = le64_get(wire->at[i].nszeg), capacity = le64_get(wire->at[i].ncapg);
        nsg = size > nsg ? size : nsg;
        ncg = capacity > ncg ? capacity : ncg;
    }
    if (nsg > INT64_MAX || ncg > INT64_MAX)
        return err_set(err, ERR_DEVICE, "cannot use namespace granularity list: a granularity is above 2^63");
    *nsg_bytes = nsg;
    *ncg_bytes = ncg;
    return true;
}

void nvme_build_granularity(uint64_t nsg_bytes, uint64_t ncg_bytes, struct nvme_wire_granularity *page)
{
    *page = (struct nvme_wire_granularity){.count = 0};
    page->at[0].nszeg = le64_of(nsg_bytes);
    page->at[0].ncapg = le64_of(ncg_bytes);
}

bool nvme_parse_create(const void *page, size_t len, uint64_t *size_blocks, uint8_t *lbaf, struct err *err)
{
    if (!long_enough(len, sizeof(struct nvme_wire_create), "the page of a create", err))
        return false;
    const struct nvme_wire_create *wire = page;
    if (le64_get(wire->nsze) == 0 || le64_get(wire->ncap) != le64_get(wire->nsze))
        return err_set(err, ERR_DEVICE, "cannot read the page of a create: NSZE %ju, NCAP %ju",
                       (uintmax_t)le64_get(wire->nsze), (uintmax_t)le64_get(wire->ncap));
    *size_blocks = le64_get(wire->nsze);
    *lbaf = lbaf_index(wire->flbas, NVME_WIRE_LBAF_MAX);
    return true;
}

void nvme_build_create(uint64_t size_blocks, uint8_t lbaf, struct nvme_wire_create *page)
{
    must(size_blocks > 0);
    *page =
        (struct nvme_wire_create){.nsze = le64_of(size_blocks), .ncap = le64_of(size_blocks), .flbas = flbas_of(lbaf)};
}

/* --- Logs -------------------------------------------------------------------------------------------------------- */

bool nvme_parse_smart(const void *page, size_t len, struct drive_health *out, struct err *err)
{
    if (!long_enough(len, sizeof(struct nvme_wire_smart), "SMART log", err))
        return false;
    const struct nvme_wire_smart *wire = page;
    *out = (struct drive_health){
        .known = true,
        .critical_warning = wire->critical_warning,
        .temperature_k = le16_get(wire->temperature),
        .spare_percent = wire->available_spare,
        .spare_threshold_percent = wire->spare_threshold,
        .used_percent = wire->percentage_used,
        .media_errors = le128_get(wire->media_errors),
        .power_on_hours = le128_get(wire->power_on_hours),
        .units_written = le128_get(wire->units_written),
    };
    return true;
}

void nvme_build_smart(const struct drive_health *from, struct nvme_wire_smart *page)
{
    *page = (struct nvme_wire_smart){
        .critical_warning = from->critical_warning,
        .temperature = le16_of(from->temperature_k),
        .available_spare = from->spare_percent,
        .spare_threshold = from->spare_threshold_percent,
        .percentage_used = from->used_percent,
        .units_written = le128_of(from->units_written),
        .power_on_hours = le128_of(from->power_on_hours),
        .media_errors = le128_of(from->media_errors),
    };
}

bool nvme_parse_effects(const void *page, size_t len, enum nvme_admin_op op, bool *supported, struct err *err)
{
    if (!long_enough(len, sizeof(struct nvme_wire_effects), "commands supported log", err))
        return false;
    const struct nvme_wire_effects *wire = page;
    *supported = le32_get(wire->admin[op]) & NVME_EFFECT_SUPPORTED;
    return true;
}

bool nvme_parse_sanitize(const void *page, size_t len, struct nvme_sanitize_page *out, struct err *err)
{
    if (!long_enough(len, sizeof(struct nvme_wire_sanitize), "sanitize log", err))
        return false;
    const struct nvme_wire_sanitize *wire = page;
    const uint8_t status = (uint8_t)(le16_get(wire->sstat) & NVME_SSTAT_MASK);
    *out = (struct nvme_sanitize_page){
        .target = {le32_get(wire->stnsid)},
        .status = status,
        .percent = status == NVME_SSTAT_RUNNING ? (uint8_t)(le16_get(wire->sprog) * 100u / 65536u) : 0,
    };
    return true;
}

void nvme_build_sanitize(const struct nvme_sanitize_page *from, struct nvme_wire_sanitize *page)
{
    must(from->percent <= 100);
    /* Rounded up, so that the percent that is read is the one that was written. */
    const uint32_t progress = (from->percent * 65536u + 99) / 100;
    const bool running = from->status == NVME_SSTAT_RUNNING && progress < 0xffff;
    *page = (struct nvme_wire_sanitize){
        .sprog = le16_of(running ? (uint16_t)progress : 0xffff),
        .sstat = le16_of(from->status),
        .eto = le32_of(UINT32_MAX), /* no time is reported */
        .etbe = le32_of(UINT32_MAX),
        .etce = le32_of(UINT32_MAX),
        .etond = le32_of(UINT32_MAX),
        .etbend = le32_of(UINT32_MAX),
        .etcend = le32_of(UINT32_MAX),
        .etpvds = le32_of(UINT32_MAX),
        .stnsid = le32_of(from->target.v),
    };
}

bool nvme_parse_firmware(const void *page, size_t len, struct drive_firmware *fw, struct err *err)
{
    if (!long_enough(len, sizeof(struct nvme_wire_firmware), "Firmware Slot Information", err))
        return false;
    const struct nvme_wire_firmware *wire = page;
    fw->log_known = true;
    fw->active = wire->afi & NVME_AFI_MASK;
    fw->next = wire->afi >> NVME_AFI_NEXT_SHIFT & NVME_AFI_MASK;
    for (size_t i = 0; i < fw->slot_count; i++)
        text_in(fw->slots[i].revision, wire->revision[i], sizeof(wire->revision[i]));
    return true;
}

void nvme_build_firmware(const struct drive_firmware *from, struct nvme_wire_firmware *page)
{
    *page = (struct nvme_wire_firmware){.afi = (uint8_t)(from->active | from->next << NVME_AFI_NEXT_SHIFT)};
    for (size_t i = 0; i < from->slot_count; i++)
        if (from->slots[i].revision[0] != '\0')
            text_out(page->revision[i], from->slots[i].revision, sizeof(page->revision[i]), ' ');
}

const char *nvme_op_name(uint8_t opcode)
{
    static const struct {
        uint8_t opcode;
        const char *name;
    } names[] = {
        {NVME_OP_GET_LOG, "Get Log Page"},
        {NVME_OP_IDENTIFY, "Identify"},
        {NVME_OP_SET_FEATURES, "Set Features"},
        {NVME_OP_GET_FEATURES, "Get Features"},
        {NVME_OP_NS_MANAGEMENT, "Namespace Management"},
        {NVME_OP_FW_COMMIT, "Firmware Commit"},
        {NVME_OP_FW_DOWNLOAD, "Firmware Image Download"},
        {NVME_OP_NS_ATTACHMENT, "Namespace Attachment"},
        {NVME_OP_FORMAT, "Format NVM"},
        {NVME_OP_SANITIZE, "Sanitize"},
        {NVME_OP_SANITIZE_NS, "Sanitize Namespace"},
    };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (names[i].opcode == opcode)
            return names[i].name;
    return "unknown command";
}
