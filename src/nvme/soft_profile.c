#include "nvme/soft_profile.h"

#include "base/must.h"
#include "base/text.h"
#include "nvme/soft_fwimage.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINE_MAX_LEN = 256 };

enum key_kind { K_BOOL, K_SIZE, K_MS, K_NUMBER, K_HEX, K_TEXT, K_IDS, K_OTHER };

enum key_other {
    OTHER_GRANULARITY,
    OTHER_LBA_FORMAT,
    OTHER_CRYPTO_RESULT,
    OTHER_RECLAIM,
    OTHER_SANITIZE,
    OTHER_ACTIVATION,
    OTHER_FAULT,
    OTHER_HEALTH
};

/* One line a key. `max` is the largest number, or the size of the text's field. */
static const struct key {
    const char *name;
    enum key_kind kind;
    size_t offset, size;
    uint64_t max;
    enum key_other other;
    bool repeats;
} keys[] = {
#define FIELD(member) offsetof(struct soft_profile, member), sizeof(((struct soft_profile *)0)->member)
    {.name = "vendor_id", .kind = K_HEX, FIELD(vendor_id), .max = 0xffff},
    {.name = "msi", .kind = K_BOOL, FIELD(msi)},
    {.name = "model", .kind = K_TEXT, FIELD(model)},
    {.name = "firmware", .kind = K_TEXT, FIELD(firmware)},
    {.name = "firmware_slots", .kind = K_NUMBER, FIELD(firmware_slots), .max = SOFT_FIRMWARE_MAX},
    {.name = "firmware_slot1_read_only", .kind = K_BOOL, FIELD(firmware_slot1_read_only)},
    {.name = "firmware_activation", .kind = K_OTHER, .other = OTHER_ACTIVATION},
    {.name = "firmware_granularity", .kind = K_SIZE, FIELD(firmware_granularity), .max = SOFT_FWIMAGE_BYTES},
    {.name = "firmware_max_ms", .kind = K_MS, FIELD(firmware_max_ms), .max = 6553500},
    {.name = "capacity", .kind = K_SIZE, FIELD(capacity_bytes), .max = 16ull << 40},
    {.name = "nn", .kind = K_NUMBER, FIELD(nn), .max = SOFT_NS_MAX},
    {.name = "mnan", .kind = K_NUMBER, FIELD(mnan), .max = SOFT_NS_MAX},
    {.name = "factory_lbaf", .kind = K_NUMBER, FIELD(factory_lbaf), .max = SOFT_LBAF_MAX - 1},
    {.name = "factory_namespace", .kind = K_BOOL, FIELD(factory_namespace)},
    {.name = "nsg", .kind = K_SIZE, FIELD(nsg_bytes), .max = 1ull << 40},
    {.name = "ncg", .kind = K_SIZE, FIELD(ncg_bytes), .max = 1ull << 40},
    {.name = "granularity_reported", .kind = K_BOOL, FIELD(granularity_reported)},
    {.name = "granularity_strict", .kind = K_BOOL, FIELD(granularity_strict)},
    {.name = "fna", .kind = K_HEX, FIELD(fna), .max = 0xff},
    {.name = "ns_management", .kind = K_BOOL, FIELD(ns_management)},
    {.name = "format", .kind = K_BOOL, FIELD(format)},
    {.name = "sanitize_ns", .kind = K_BOOL, FIELD(sanitize_ns)},
    {.name = "nguid", .kind = K_IDS, FIELD(nguid)},
    {.name = "eui64", .kind = K_IDS, FIELD(eui64)},
    {.name = "events", .kind = K_BOOL, FIELD(events)},
    {.name = "format_ms", .kind = K_MS, FIELD(format_ms), .max = 86400000},
    {.name = "sanitize_ms", .kind = K_MS, FIELD(sanitize_ms), .max = 86400000},
    {.name = "progress", .kind = K_BOOL, FIELD(progress)},
    {.name = "delete_attached", .kind = K_BOOL, FIELD(delete_attached)},
    {.name = "leaky_delete", .kind = K_BOOL, FIELD(leaky_delete)},
    {.name = "interrupted_not_ready", .kind = K_BOOL, FIELD(interrupted_not_ready)},
    {.name = "write_zeroes", .kind = K_BOOL, FIELD(write_zeroes)},
    {.name = "deallocate", .kind = K_BOOL, FIELD(deallocate)},
    {.name = "smart_per_namespace", .kind = K_BOOL, FIELD(smart_per_namespace)},
    {.name = "granularity", .kind = K_OTHER, .other = OTHER_GRANULARITY},
    {.name = "lba_format", .kind = K_OTHER, .other = OTHER_LBA_FORMAT, .repeats = true},
    {.name = "crypto_result", .kind = K_OTHER, .other = OTHER_CRYPTO_RESULT},
    {.name = "reclaim", .kind = K_OTHER, .other = OTHER_RECLAIM},
    {.name = "sanitize", .kind = K_OTHER, .other = OTHER_SANITIZE},
    {.name = "health", .kind = K_OTHER, .other = OTHER_HEALTH},
    {.name = "fault", .kind = K_OTHER, .other = OTHER_FAULT, .repeats = true},
#undef FIELD
};

enum { KEY_COUNT = sizeof(keys) / sizeof(keys[0]) };

void soft_profile_defaults(struct soft_profile *out)
{
    *out = (struct soft_profile){
        .vendor_id = 0x1b36, /* Red Hat, as QEMU's emulated devices */
        .model = "nsmith software drive",
        .firmware = "SOFT0001",
        .firmware_slots = 3,
        .firmware_granularity = 4096,
        .firmware_max_ms = 1000,
        .nn = 32,
        .lbaf = {{.block_bytes = 512, .performance = 2}, {.block_bytes = 4096}},
        .lbaf_count = 2,
        .factory_namespace = true,
        .nsg_bytes = 1 << 20,
        .ncg_bytes = 1 << 20,
        .granularity_reported = true,
        .granularity_strict = true,
        .fna = 0x04,
        .ns_management = true,
        .format = true,
        .events = true,
        .progress = true,
        .write_zeroes = true,
        .deallocate = true,
        .health = {.temperature_k = 303, .spare_percent = 100, .spare_threshold_percent = 10},
    };
}

static const struct key *key_find(const char *name, struct err *err)
{
    const struct key *nearest = &keys[0];
    for (size_t i = 0; i < KEY_COUNT; i++) {
        if (strcmp(keys[i].name, name) == 0)
            return &keys[i];
        if (text_distance(keys[i].name, name) < text_distance(nearest->name, name))
            nearest = &keys[i];
    }
    err_set(err, ERR_INPUT, "there is no key '%s'", name);
    err_hint(err, "did you mean '%s'?", nearest->name);
    return NULL;
}

static void store_number(struct soft_profile *out, const struct key *key, uint64_t value)
{
    char *at = (char *)out + key->offset;
    if (key->size == 1)
        *at = (char)value;
    else if (key->size == 2)
        memcpy(at, &(uint16_t){(uint16_t)value}, 2);
    else if (key->size == 4)
        memcpy(at, &(uint32_t){(uint32_t)value}, 4);
    else
        memcpy(at, &value, sizeof(value));
}

static bool parse_hex(const char *text, uint64_t *out)
{
    char padded[17];
    uint8_t bytes[8];
    const size_t len = strlen(text);
    if (strncmp(text, "0x", 2) != 0 || len < 3 || len > 18)
        return text_u64(text, out);
    snprintf(padded, sizeof(padded), "%.*s%s", (int)(18 - len), "0000000000000000", text + 2);
    if (!text_unhex(bytes, sizeof(bytes), padded))
        return false;
    *out = 0;
    for (size_t i = 0; i < sizeof(bytes); i++)
        *out = *out << 8 | bytes[i];
    return true;
}

static bool set_number(struct soft_profile *out, const struct key *key, const char *value, struct err *err)
{
    uint64_t number = 0;
    const bool ok = key->kind == K_SIZE  ? text_size(value, &number)
                    : key->kind == K_HEX ? parse_hex(value, &number)
                                         : text_u64(value, &number);
    if (!ok)
        return err_set(err, ERR_INPUT, "%s: '%s' is not a %s", key->name, value,
                       key->kind == K_SIZE ? "size (such as 512MiB or 2TB)" : "number");
    if (number > key->max)
        return err_set(err, ERR_INPUT, "%s: '%s' is above the limit %ju", key->name, value, (uintmax_t)key->max);
    store_number(out, key, number);
    return true;
}

static bool parse_word(const char *name, const char *value, const char *const *words, unsigned *out, struct err *err)
{
    char all[120] = "";
    for (unsigned i = 0; words[i] != NULL; i++) {
        if (strcmp(words[i], value) == 0) {
            *out = i;
            return true;
        }
        const size_t used = strlen(all);
        snprintf(all + used, sizeof(all) - used, "%s%s", i == 0 ? "" : ", ", words[i]);
    }
    return err_set(err, ERR_INPUT, "%s: '%s' is none of: %s", name, value, all);
}

static bool parse_bool(const char *name, const char *value, bool *out, struct err *err)
{
    static const char *const words[] = {"no", "yes", NULL};
    unsigned word;
    if (!parse_word(name, value, words, &word, err))
        return false;
    *out = word == 1;
    return true;
}

static bool is_power_of_two(uint64_t value)
{
    return value != 0 && (value & (value - 1)) == 0;
}

/* "512 rp=2 meta=8" */
static bool set_lba_format(struct soft_profile *out, const char *value, struct err *err)
{
    if (out->lbaf_count == SOFT_LBAF_MAX)
        return err_set(err, ERR_INPUT, "lba_format: there are more than %d", SOFT_LBAF_MAX);
    struct soft_lbaf *lbaf = &out->lbaf[out->lbaf_count];
    *lbaf = (struct soft_lbaf){0};
    char copy[LINE_MAX_LEN], *save = NULL;
    text_cut(copy, sizeof(copy), value);
    for (char *word = strtok_r(copy, " \t", &save); word != NULL; word = strtok_r(NULL, " \t", &save)) {
        uint64_t number = 0;
        const bool rp = strncmp(word, "rp=", 3) == 0, meta = strncmp(word, "meta=", 5) == 0;
        if (!text_u64(word + (rp ? 3 : meta ? 5 : 0), &number))
            return err_set(err, ERR_INPUT, "lba_format: '%s' is not a number", word);
        if (number > (rp ? 3 : meta ? 64 : 65536))
            return err_set(err, ERR_INPUT, "lba_format: '%s' is too large", word);
        if (rp)
            lbaf->performance = (uint8_t)number;
        else if (meta)
            lbaf->meta_bytes = (uint16_t)number;
        else
            lbaf->block_bytes = (uint32_t)number;
    }
    if (!is_power_of_two(lbaf->block_bytes) || lbaf->block_bytes < 512)
        return err_set(err, ERR_INPUT, "lba_format: the block must be a power of two from 512 to 65536");
    out->lbaf_count++;
    return true;
}

/* "none", or words of: block overwrite crypto */
static bool set_sanitize(struct soft_profile *out, const char *value, struct err *err)
{
    static const char *const words[] = {"none", "block", "overwrite", "crypto", NULL};
    char copy[LINE_MAX_LEN], *save = NULL;
    text_cut(copy, sizeof(copy), value);
    for (char *word = strtok_r(copy, " \t", &save); word != NULL; word = strtok_r(NULL, " \t", &save)) {
        unsigned which;
        if (!parse_word("sanitize", word, words, &which, err))
            return false;
        out->sanitize_block = out->sanitize_block || which == 1;
        out->sanitize_overwrite = out->sanitize_overwrite || which == 2;
        out->sanitize_crypto = out->sanitize_crypto || which == 3;
    }
    return true;
}

static bool set_fault(struct soft_profile *out, const char *value, struct err *err)
{
    if (out->fault_count == SOFT_FAULTS_MAX)
        return err_set(err, ERR_INPUT, "fault: there are more than %d", SOFT_FAULTS_MAX);
    if (!soft_fault_parse(value, &out->faults[out->fault_count], err))
        return false;
    out->fault_count++;
    return true;
}

static bool set_other(struct soft_profile *out, enum key_other key, const char *value, struct err *err)
{
    static const char *const results[] = {"zeros", "noise", NULL}, *const orders[] = {"at-once", "delete-order", NULL};
    static const char *const activations[] = {"at-once", "controller-reset", "subsystem-reset", "power-cycle", NULL};
    unsigned word;
    switch (key) {
    case OTHER_GRANULARITY:
        if (!text_size(value, &out->nsg_bytes) || out->nsg_bytes > 1ull << 40)
            return err_set(err, ERR_INPUT, "granularity: '%s' is not a size up to 1TiB", value);
        out->ncg_bytes = out->nsg_bytes;
        return true;
    case OTHER_LBA_FORMAT:
        return set_lba_format(out, value, err);
    case OTHER_CRYPTO_RESULT:
        if (!parse_word("crypto_result", value, results, &word, err))
            return false;
        out->crypto_noise = word == 1;
        return true;
    case OTHER_RECLAIM:
        if (!parse_word("reclaim", value, orders, &word, err))
            return false;
        out->reclaim_in_order = word == 1;
        return true;
    case OTHER_SANITIZE:
        return set_sanitize(out, value, err);
    case OTHER_ACTIVATION:
        if (!parse_word("firmware_activation", value, activations, &word, err))
            return false;
        out->firmware_activation = (enum soft_activation)word;
        return true;
    case OTHER_FAULT:
        return set_fault(out, value, err);
    case OTHER_HEALTH:
        return soft_health_parse(value, &out->health, err);
    }
    return true;
}

static bool set_key(struct soft_profile *out, const struct key *key, const char *value, struct err *err)
{
    static const char *const ids[] = {"unique", "zero", "reused", NULL};
    unsigned word;
    bool yes;
    switch (key->kind) {
    case K_BOOL:
        if (!parse_bool(key->name, value, &yes, err))
            return false;
        memcpy((char *)out + key->offset, &yes, sizeof(yes));
        return true;
    case K_SIZE:
    case K_MS:
    case K_NUMBER:
    case K_HEX:
        return set_number(out, key, value, err);
    case K_TEXT:
        if (!text_is_printable(value, key->size - 1))
            return err_set(err, ERR_INPUT, "%s: must be 1 to %zu printable characters", key->name, key->size - 1);
        return text_copy((char *)out + key->offset, key->size, value);
    case K_IDS:
        if (!parse_word(key->name, value, ids, &word, err))
            return false;
        memcpy((char *)out + key->offset, &(enum soft_ids){(enum soft_ids)word}, sizeof(enum soft_ids));
        return true;
    case K_OTHER:
        return set_other(out, key->other, value, err);
    }
    return true;
}

/* Cuts blanks at both ends, in place. */
static char *trim(char *text)
{
    text += strspn(text, " \t\r");
    size_t len = strlen(text);
    while (len > 0 && strchr(" \t\r", text[len - 1]) != NULL)
        len--;
    text[len] = '\0';
    return text;
}

static bool parse_line(struct soft_profile *out, char *line, bool *seen, struct err *err)
{
    line[strcspn(line, "#")] = '\0';
    line = trim(line);
    if (*line == '\0')
        return true;
    char *equals = strchr(line, '=');
    if (equals == NULL)
        return err_set(err, ERR_INPUT, "'%s' is not of the form 'key = value'", line);
    *equals = '\0';
    const char *value = trim(equals + 1);
    const struct key *key = key_find(trim(line), err);
    if (key == NULL)
        return false;
    if (*value == '\0')
        return err_set(err, ERR_INPUT, "%s: the value is missing", key->name);
    const size_t index = (size_t)(key - keys);
    if (seen[index] && !key->repeats)
        return err_set(err, ERR_INPUT, "%s is given twice", key->name);
    if (key->other == OTHER_LBA_FORMAT && key->kind == K_OTHER && !seen[index])
        out->lbaf_count = 0;
    seen[index] = true;
    return set_key(out, key, value, err);
}

/* What no single line can be blamed for. */
static bool check_whole(const struct soft_profile *profile, struct err *err)
{
    const char *why = NULL;
    const uint64_t block = profile->lbaf[profile->factory_lbaf].block_bytes;
    if (profile->capacity_bytes == 0)
        why = "capacity is missing";
    else if (profile->factory_lbaf >= profile->lbaf_count)
        why = "factory_lbaf names an LBA format that is not there";
    else if (profile->capacity_bytes < block || profile->nn == 0)
        why = "capacity and nn must not be 0";
    else if (profile->mnan > profile->nn)
        why = "mnan is larger than nn";
    else if (!profile->ns_management && !profile->factory_namespace)
        why = "a drive without namespace management needs factory_namespace = yes";
    else if (profile->firmware_granularity % 4096 != 0)
        why = "firmware_granularity is not a multiple of 4096 bytes";
    for (size_t i = 0; why == NULL && i < profile->lbaf_count; i++)
        if (profile->nsg_bytes % profile->lbaf[i].block_bytes != 0 ||
            profile->ncg_bytes % profile->lbaf[i].block_bytes != 0)
            why = "the granularity is not a multiple of each block size";
    return why == NULL || err_set(err, ERR_INPUT, "cannot read profile '%s': %s", profile->name, why);
}

bool soft_profile_parse(const char *name, const char *text, size_t len, struct soft_profile *out, struct err *err)
{
    struct soft_profile profile;
    bool seen[KEY_COUNT] = {0};
    soft_profile_defaults(&profile);
    text_cut(profile.name, sizeof(profile.name), name);
    if (len > SOFT_PROFILE_TEXT_MAX || memchr(text, '\0', len) != NULL)
        return err_set(err, ERR_INPUT, "cannot read profile '%s': it is too long or not text", name);
    unsigned number = 1;
    for (size_t at = 0; at < len; number++) {
        const char *end = memchr(text + at, '\n', len - at);
        const size_t line_len = end == NULL ? len - at : (size_t)(end - (text + at));
        char line[LINE_MAX_LEN];
        if (line_len >= sizeof(line))
            return err_set(err, ERR_INPUT, "cannot read profile '%s', line %u: it is too long", name, number);
        memcpy(line, text + at, line_len);
        line[line_len] = '\0';
        if (!parse_line(&profile, line, seen, err))
            return err_wrap(err, "cannot read profile '%s', line %u", name, number);
        at += line_len + 1;
    }
    if (!check_whole(&profile, err))
        return false;
    *out = profile;
    return true;
}

static int is_profile(const struct dirent *entry)
{
    const size_t len = strlen(entry->d_name);
    return len > 5 && strcmp(entry->d_name + len - 5, ".conf") == 0;
}

/* The names in the folder, for the hint; whole ones only. */
static void list_profiles(const char *dir, char *to, size_t size)
{
    struct dirent **entries;
    const int count = scandir(dir, &entries, is_profile, alphasort);
    to[0] = '\0';
    for (int i = 0; i < count; i++) {
        const size_t len = strlen(entries[i]->d_name) - 5, used = strlen(to);
        if (used + len + 8 < size)
            snprintf(to + used, size - used, "%s%.*s", used == 0 ? "" : ", ", (int)len, entries[i]->d_name);
        else if (used + 5 < size && strcmp(to + used - 3, "...") != 0)
            snprintf(to + used, size - used, " ...");
        free(entries[i]);
    }
    if (count >= 0)
        free(entries);
}

bool soft_profile_load(const char *dir, const char *name, struct soft_profile *out, char **text_out, struct err *err)
{
    char path[PATH_MAX], there[ERR_HINT_MAX - 16];
    if (!text_is_name(name, 40))
        return err_set(err, ERR_INPUT, "cannot load profile '%s': that is no name", name);
    snprintf(path, sizeof(path), "%s/%s.conf", dir, name);
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        const int sys = errno;
        list_profiles(dir, there, sizeof(there));
        err_set(err, ERR_INPUT, "cannot load profile '%s' from '%s': %s", name, dir, strerror(sys));
        return err_hint(err, "there are: %s", there[0] != '\0' ? there : "none");
    }
    char *text = calloc(1, SOFT_PROFILE_TEXT_MAX + 2);
    must(text != NULL);
    const size_t len = fread(text, 1, SOFT_PROFILE_TEXT_MAX + 1, file);
    fclose(file);
    if (!soft_profile_parse(name, text, len, out, err)) {
        free(text);
        return false;
    }
    if (text_out != NULL)
        *text_out = text;
    else
        free(text);
    return true;
}
