#include "model/drive.h"

#include "base/must.h"
#include "base/text.h"

bool drive_ident_eq(const struct drive_ident *a, const struct drive_ident *b)
{
    return a->vendor_id == b->vendor_id && strcmp(a->serial, b->serial) == 0 && strcmp(a->model, b->model) == 0 &&
           strcmp(a->nqn, b->nqn) == 0;
}

static const char *const foreign_words[] = {
#define X(kind, text) text,
    FOREIGN_KINDS(X)
#undef X
};

const char *foreign_kind_text(enum foreign_kind kind)
{
    must(kind < FOREIGN_KIND_COUNT);
    return foreign_words[kind];
}

void foreign_add(struct foreign_list *list, enum foreign_kind kind, struct nsid nsid, const char *detail)
{
    size_t place = list->count < DRIVE_FOREIGN_MAX ? list->count++ : DRIVE_FOREIGN_MAX - 1;
    list->at[place] = (struct foreign){.kind = kind, .nsid = nsid};
    text_cut(list->at[place].detail, sizeof(list->at[place].detail), detail);
}

uint64_t drive_size_bytes(const struct drive_seen *drive)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < drive->ns_count; i++)
        sum += drive->ns[i].size_blocks * drive->ns[i].block_bytes;
    return drive->caps.total_bytes != 0 ? drive->caps.total_bytes : sum;
}

const struct ns_seen *drive_ns(const struct drive_seen *drive, struct nsid nsid)
{
    for (size_t i = 0; i < drive->ns_count; i++)
        if (nsid_eq(drive->ns[i].nsid, nsid))
            return &drive->ns[i];
    return NULL;
}

static const struct jfield ident_fields[] = {
    {JU16(struct drive_ident, vendor_id)},
    {JSTR(struct drive_ident, serial)},
    {JSTR(struct drive_ident, model)},
    {JSTR(struct drive_ident, nqn), .optional = true},
};
const struct jmap drive_ident_jmap = JMAP(struct drive_ident, ident_fields);

static const struct jfield lbaf_fields[] = {
    {JU32(struct lba_format, block_bytes)},
    {JU16(struct lba_format, meta_bytes)},
    {JU8(struct lba_format, performance)},
};
static const struct jmap lbaf_jmap = JMAP(struct lba_format, lbaf_fields);

static const struct jfield caps_fields[] = {
    {JU16(struct drive_caps, cntlid)},
    {JBOOL(struct drive_caps, ns_management)},
    {JBOOL(struct drive_caps, ns_claimed), .optional = true},
    {JBOOL(struct drive_caps, format)},
    {JU8(struct drive_caps, fna)},
    {JBOOL(struct drive_caps, sanitize_crypto)},
    {JBOOL(struct drive_caps, sanitize_block)},
    {JBOOL(struct drive_caps, sanitize_over)},
    {JBOOL(struct drive_caps, sanitize_ns)},
    {JBOOL(struct drive_caps, granularity_list)},
    {JBOOL(struct drive_caps, smart_per_namespace), .optional = true},
    {JBOOL(struct drive_caps, write_zeroes)},
    {JBOOL(struct drive_caps, deallocate)},
    {JU32(struct drive_caps, nn)},
    {JU32(struct drive_caps, ns_max)},
    {JU64(struct drive_caps, total_bytes)},
    {JU64(struct drive_caps, free_bytes)},
    {JU64(struct drive_caps, nsg_bytes)},
    {JU64(struct drive_caps, ncg_bytes)},
    {JLIST(struct drive_caps, lbaf, lbaf_count, lbaf_jmap)},
};
static const struct jmap caps_jmap = JMAP(struct drive_caps, caps_fields);

static const struct jfield health_fields[] = {
    {JBOOL(struct drive_health, known)},
    {JU8(struct drive_health, critical_warning)},
    {JU16(struct drive_health, temperature_k)},
    {JU8(struct drive_health, spare_percent)},
    {JU8(struct drive_health, spare_threshold_percent)},
    {JU8(struct drive_health, used_percent)},
    {JU64(struct drive_health, media_errors)},
    {JU64(struct drive_health, power_on_hours)},
    {JU64(struct drive_health, units_written)},
};
static const struct jmap health_jmap = JMAP(struct drive_health, health_fields);

const char *const health_level_words[HEALTH_LEVEL_COUNT] = {
#define X(level, word) word,
    HEALTH_LEVELS(X)
#undef X
};

static const struct jfield wear_fields[] = {
    {JU64(struct wear, units_written)},
    {JU32(struct wear, of_slices)},
    {JU32(struct wear, used_percent)},
};
const struct jmap wear_jmap = JMAP(struct wear, wear_fields);

static const struct jfield health_state_fields[] = {
    {JENUM(struct health_state, level, health_level_words)},
    {JU32(struct health_state, drains)},
    {JU32(struct health_state, warns)},
};
const struct jmap health_state_jmap = JMAP(struct health_state, health_state_fields);

static const struct jfield slot_fields[] = {
    {JSTR(struct firmware_slot, revision)},
};
static const struct jmap slot_jmap = JMAP(struct firmware_slot, slot_fields);

static const struct jfield fw_fields[] = {
    {JBOOL(struct drive_firmware, can_update)},
    {JBOOL(struct drive_firmware, slot1_read_only)},
    {JBOOL(struct drive_firmware, no_reset)},
    {JBOOL(struct drive_firmware, log_known)},
    {JU32(struct drive_firmware, unit_bytes)},
    {JU8(struct drive_firmware, active)},
    {JU8(struct drive_firmware, next)},
    {JLIST(struct drive_firmware, slots, slot_count, slot_jmap)},
};
static const struct jmap fw_jmap = JMAP(struct drive_firmware, fw_fields);

static const struct jfield ns_fields[] = {
    {JNSID(struct ns_seen, nsid)},
    {JBOOL(struct ns_seen, attached)},
    {JU8(struct ns_seen, lbaf)},
    {JU32(struct ns_seen, block_bytes)},
    {JU64(struct ns_seen, size_blocks)},
    {JU64(struct ns_seen, used_blocks)},
    {JU64(struct ns_seen, nvmcap_bytes)},
    {JBOOL(struct ns_seen, shared)},
    {JBOOL(struct ns_seen, counts_units), .optional = true},
    {JU64(struct ns_seen, units_written), .optional = true},
    {JHEX(struct ns_seen, nguid), .optional = true},
    {JHEX(struct ns_seen, eui64), .optional = true},
    {JSTR(struct ns_seen, path), .optional = true},
};
static const struct jmap ns_jmap = JMAP(struct ns_seen, ns_fields);

static const struct jfield foreign_fields[] = {
    {JENUM(struct foreign, kind, foreign_words)},
    {JNSID(struct foreign, nsid)},
    {JSTR(struct foreign, detail)},
};
static const struct jmap foreign_jmap = JMAP(struct foreign, foreign_fields);

static const struct jfield foreign_list_fields[] = {
    {JLIST(struct foreign_list, at, count, foreign_jmap)},
};
static const struct jmap foreign_list_jmap = JMAP(struct foreign_list, foreign_list_fields);

static const struct jfield seen_fields[] = {
    {JSTR(struct drive_seen, name)},
    {JSTR(struct drive_seen, place), .optional = true},
    {JOBJ(struct drive_seen, ident, drive_ident_jmap)},
    {JSTR(struct drive_seen, firmware), .optional = true},
    {JOBJ(struct drive_seen, caps, caps_jmap)},
    {JOBJ(struct drive_seen, health, health_jmap)},
    {JOBJ(struct drive_seen, fw, fw_jmap), .optional = true},
    {JLIST(struct drive_seen, ns, ns_count, ns_jmap)},
    {JOBJ(struct drive_seen, foreign, foreign_list_jmap)},
};
const struct jmap drive_seen_jmap = JMAP(struct drive_seen, seen_fields);
