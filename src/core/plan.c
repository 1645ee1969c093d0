#include "core/plan.h"

#include "base/must.h"
#include "base/text.h"
#include "core/erase.h"

#include <inttypes.h>
#include <stdio.h>

static const uint64_t MIB = 1ull << 20, GIB = 1ull << 30;
enum { SMALL_CLASS_GIB = 64, PPM = 1000000, BLOCK_BYTES_MIN = 512 };

/* ---- arithmetic; what does not fit into 64 bits is UINT64_MAX, which no drive can hold ------------------------- */

static uint64_t sum(uint64_t a, uint64_t b)
{
    uint64_t out;
    return __builtin_add_overflow(a, b, &out) ? UINT64_MAX : out;
}

static uint64_t product(uint64_t a, uint64_t b)
{
    uint64_t out;
    return __builtin_mul_overflow(a, b, &out) ? UINT64_MAX : out;
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* 0 and `unit` alike stand for "nothing to round to". */
static uint64_t round_up(uint64_t bytes, uint64_t unit)
{
    if (unit == 0 || bytes % unit == 0)
        return bytes;
    return product(bytes / unit + 1, unit);
}

/* The least number that is a whole number of both; 0 is "no demand". */
static uint64_t common_multiple(uint64_t a, uint64_t b)
{
    if (a == 0 || b == 0)
        return a > b ? a : b;
    uint64_t x = a, y = b;
    while (y != 0) {
        const uint64_t rest = x % y;
        x = y;
        y = rest;
    }
    return product(a / x, b);
}

/* ---- the size of a slice -------------------------------------------------------------------------------------- */

static bool class_makes_sense(const struct slice_class *class)
{
    return class->nominal_bytes > 0 && class->tolerance_ppm < PPM;
}

static uint64_t smallest_bytes(const struct slice_class *class)
{
    const uint64_t millions = class->nominal_bytes / PPM, rest = class->nominal_bytes % PPM;
    return class->nominal_bytes - (millions * class->tolerance_ppm + rest * class->tolerance_ppm / PPM);
}

uint64_t plan_slice_bytes(const struct slice_class *class, uint64_t granule_bytes)
{
    if (!class_makes_sense(class))
        return 0;
    const uint64_t even = class->nominal_bytes < SMALL_CLASS_GIB * GIB ? MIB : GIB;
    uint64_t unit = granule_bytes == 0 ? even : common_multiple(granule_bytes, even);
    /* A granule such as 16 GB (some drives count in decimal) shares no useful multiple with 1 GiB: it alone counts. */
    if (unit != granule_bytes && unit != even)
        unit = granule_bytes;
    const uint64_t down = class->nominal_bytes - class->nominal_bytes % unit;
    if (down >= smallest_bytes(class))
        return down;
    const uint64_t up = round_up(class->nominal_bytes, unit);
    return up == UINT64_MAX ? 0 : up;
}

/* ---- what the drive has --------------------------------------------------------------------------------------- */

static uint64_t ns_bytes(const struct ns_seen *ns)
{
    return product(ns->size_blocks, ns->block_bytes);
}

static uint64_t ns_cost(const struct ns_seen *ns)
{
    return ns->nvmcap_bytes != 0 ? ns->nvmcap_bytes : ns_bytes(ns);
}

static uint64_t total_bytes(const struct drive_seen *drive)
{
    if (drive->caps.total_bytes != 0)
        return drive->caps.total_bytes;
    uint64_t total = drive->caps.free_bytes;
    for (size_t i = 0; i < drive->ns_count; i++)
        total = sum(total, ns_cost(&drive->ns[i]));
    return total;
}

/* Blocks above 4096 bytes do not fit a page: neither guests nor the verification (core/erase.h) take them. */
static bool format_usable(const struct lba_format *format)
{
    return format->meta_bytes == 0 && format->block_bytes >= BLOCK_BYTES_MIN && format->block_bytes <= ERASE_BLOCK_MAX;
}

static bool format_better(const struct lba_format *a, const struct lba_format *b)
{
    if (a->performance != b->performance)
        return a->performance < b->performance;
    return a->block_bytes > b->block_bytes;
}

/* NULL, err filled: none can be used. */
static const struct lba_format *format_choose(const struct drive_caps *caps, struct err *err)
{
    must(caps->lbaf_count <= DRIVE_LBAF_MAX);
    const struct lba_format *best = NULL;
    for (size_t i = 0; i < caps->lbaf_count; i++)
        if (format_usable(&caps->lbaf[i]) && (best == NULL || format_better(&caps->lbaf[i], best)))
            best = &caps->lbaf[i];
    if (best == NULL) {
        err_set(err, ERR_INPUT, "cannot cut the drive: %s",
                caps->lbaf_count == 0 ? "it does not say which LBA formats it has"
                                      : "it has no LBA format of 512 to 4096 bytes without metadata");
        err_hint(err, "adopt it as a whole, with provider 'whole'");
    }
    return best;
}

/* ---- the layout ----------------------------------------------------------------------------------------------- */

static bool layout_namespaces(const struct drive_seen *drive, const struct slice_class *class, struct layout *out,
                              struct err *err)
{
    const struct drive_caps *caps = &drive->caps;
    if (!caps->ns_management) {
        err_set(err, ERR_INPUT,
                "cannot cut drive '%s': it has no namespace management, or claims it (OACS bit 3) and does not list the command",
                drive->ident.serial);
        return err_hint(err, "adopt it as a whole, with --as whole");
    }
    const struct lba_format *format = format_choose(caps, err);
    if (format == NULL)
        return false;
    struct layout layout = {.provider = PROVIDER_NAMESPACE, .class = class->name};
    layout.lbaf = (uint8_t)(format - caps->lbaf);
    layout.block_bytes = format->block_bytes;
    /* NSZE = NCAP, so that a slice has to be whole in both granularities, and in blocks. */
    const uint64_t granule = common_multiple(common_multiple(caps->nsg_bytes, caps->ncg_bytes), layout.block_bytes);
    layout.slice_bytes = plan_slice_bytes(class, granule);
    layout.slice_blocks = layout.slice_bytes / layout.block_bytes;
    layout.cost_bytes = round_up(layout.slice_bytes, caps->ncg_bytes);
    const uint64_t total = total_bytes(drive);
    uint64_t count = layout.cost_bytes == 0 ? 0 : total / layout.cost_bytes;
    count = least(count, least(caps->nn, caps->ns_max));
    /* A drive with more namespaces than DRIVE_NS_MAX would be refused at the next scan. */
    layout.count = (uint32_t)least(count, least(HOST_SLICES_MAX, DRIVE_NS_MAX));
    layout.stranded_bytes = total - layout.count * layout.cost_bytes;
    *out = layout;
    return true;
}

static bool whole_usable(const struct drive_seen *drive, struct err *err)
{
    if (drive->ns_count != 1) {
        err_set(err, ERR_INPUT, "cannot take drive '%s' as a whole: it has %zu namespaces, not exactly one",
                drive->ident.serial, drive->ns_count);
        return err_hint(err, drive->caps.ns_management
                                 ? "cut it into namespaces with --as namespace"
                                 : "with other tools, give it one namespace over its whole capacity");
    }
    const struct ns_seen *ns = &drive->ns[0];
    if (ns->block_bytes == 0 || ns->size_blocks == 0) {
        err_set(err, ERR_INPUT, "cannot take the drive as a whole: it does not tell the size of namespace %" PRIu32,
                ns->nsid.v);
        return err_hint(err, "attach the namespace to controller %u, then scan again", (unsigned)drive->caps.cntlid);
    }
    const struct lba_format in_use = {
        .block_bytes = ns->block_bytes,
        .meta_bytes = ns->lbaf < drive->caps.lbaf_count ? drive->caps.lbaf[ns->lbaf].meta_bytes : 0};
    if (!format_usable(&in_use)) {
        err_set(err, ERR_INPUT,
                "cannot take the drive as a whole: namespace %" PRIu32 " has blocks of %" PRIu32
                " + %u bytes, not 512 to 4096 "
                "without metadata",
                ns->nsid.v, ns->block_bytes, (unsigned)in_use.meta_bytes);
        return err_hint(err, "format it with another LBA format first");
    }
    return true;
}

static bool layout_whole(const struct drive_seen *drive, const struct slice_class *class, struct layout *out,
                         struct err *err)
{
    if (!whole_usable(drive, err))
        return false;
    const struct ns_seen *ns = &drive->ns[0];
    struct layout layout = {.provider = PROVIDER_WHOLE,
                            .class = class->name,
                            .lbaf = ns->lbaf,
                            .block_bytes = ns->block_bytes,
                            .slice_blocks = ns->size_blocks,
                            .slice_bytes = ns_bytes(ns),
                            .cost_bytes = ns_cost(ns)};
    /* Whoever asks for the class gets at least what it promises. */
    layout.count = layout.slice_bytes >= smallest_bytes(class) ? 1 : 0;
    /* ... and is counted for no more, however large the drive. */
    const uint64_t total = total_bytes(drive), used = layout.count * least(layout.cost_bytes, class->nominal_bytes);
    layout.stranded_bytes = total > used ? total - used : 0;
    *out = layout;
    return true;
}

bool plan_layout(const struct drive_seen *drive, const struct slice_class *class, enum provider provider,
                 struct layout *out, struct err *err)
{
    must(drive->ns_count <= DRIVE_NS_MAX);
    if (!class_makes_sense(class)) {
        err_set(err, ERR_INPUT, "cannot plan for class '%s': %s", class->name.v,
                class->nominal_bytes == 0 ? "its size is 0" : "its tolerance is 100 % or more");
        return err_hint(err, "give the class a size such as 500G and a tolerance such as 10000 ppm (1 %%)");
    }
    switch (provider) {
    case PROVIDER_NAMESPACE:
        return layout_namespaces(drive, class, out, err);
    case PROVIDER_WHOLE:
        return layout_whole(drive, class, out, err);
    case PROVIDER_NONE:
    case PROVIDER_COUNT:
        break;
    }
    err_set(err, ERR_INPUT, "cannot plan the drive: no provider is given");
    return err_hint(err, "give provider 'namespace' or 'whole'");
}

/* ---- the plan in words ---------------------------------------------------------------------------------------- */

static void line_give_up(const struct ns_seen *ns, const struct drive_caps *caps, struct plan_line *out)
{
    char gb[TEXT_SIZE_MAX], detach[80] = "";
    if (ns->attached)
        snprintf(detach, sizeof(detach), "Namespace Attachment 15h: detach, NSID %" PRIu32 ", CNTLID %u; ", ns->nsid.v,
                 (unsigned)caps->cntlid);
    snprintf(out->text, sizeof(out->text), "%s namespace %" PRIu32 " (%s): its data is lost",
             ns->attached ? "detach and delete" : "delete", ns->nsid.v, text_gb(gb, ns_cost(ns)));
    snprintf(out->command, sizeof(out->command), "%sNamespace Management 0Dh: delete, NSID %" PRIu32, detach,
             ns->nsid.v);
}

static void line_create(const struct layout *layout, size_t i, struct plan_line *out)
{
    char gib[TEXT_SIZE_MAX], gb[TEXT_SIZE_MAX];
    snprintf(out->text, sizeof(out->text), "create slice %zu of %" PRIu32 ": %s (%s), blocks of %" PRIu32 " bytes",
             i + 1, layout->count, text_gib(gib, layout->slice_bytes), text_gb(gb, layout->slice_bytes),
             layout->block_bytes);
    snprintf(out->command, sizeof(out->command),
             "Namespace Management 0Dh: create, NSZE %" PRIu64 ", NCAP %" PRIu64 ", FLBAS %u, NMIC 0",
             layout->slice_blocks, layout->slice_blocks, (unsigned)layout->lbaf);
}

static void line_attach(const struct drive_seen *drive, const struct layout *layout, struct plan_line *out)
{
    snprintf(out->text, sizeof(out->text), "attach %s to controller %u",
             layout->count == 1 ? "the new namespace" : "each new namespace", (unsigned)drive->caps.cntlid);
    snprintf(out->command, sizeof(out->command), "Namespace Attachment 15h: attach, NSID as created, CNTLID %u",
             (unsigned)drive->caps.cntlid);
}

static void erase_command(enum erase_method method, unsigned lbaf, const char *nsid, char *to, size_t size)
{
    switch (method) {
    case ERASE_SANITIZE_NS:
        snprintf(to, size, "Sanitize Namespace 8Ch: crypto erase, NSID %s", nsid);
        return;
    case ERASE_FORMAT_CRYPTO:
        snprintf(to, size, "Format NVM 80h: SES 2, LBAF %u, NSID %s", lbaf, nsid);
        return;
    case ERASE_FORMAT_USER:
        snprintf(to, size, "Format NVM 80h: SES 1, LBAF %u, NSID %s", lbaf, nsid);
        return;
    case ERASE_OVERWRITE:
        snprintf(to, size, "Write 01h: random data to every block, then Flush 00h, NSID %s", nsid);
        return;
    case ERASE_NONE:
    case ERASE_SANITIZE:
    case ERASE_METHOD_COUNT:
        break;
    }
    must(false); /* erase_choose() gives none of these */
}

static void line_erase(const struct drive_seen *drive, const struct layout *layout, struct plan_line *out)
{
    const enum erase_method method = erase_choose(&drive->caps, layout->count == 1);
    char gb[TEXT_SIZE_MAX], nsid[16] = "as created";
    if (layout->provider == PROVIDER_WHOLE) {
        must(drive->ns_count == 1);
        snprintf(nsid, sizeof(nsid), "%" PRIu32, drive->ns[0].nsid.v);
        snprintf(out->text, sizeof(out->text), "erase namespace %s (%s) and verify it, %s: its data is lost", nsid,
                 text_gb(gb, layout->slice_bytes), erase_method_word(method));
    } else {
        snprintf(out->text, sizeof(out->text), "erase each slice before its first use: %s", erase_method_word(method));
    }
    erase_command(method, layout->lbaf, nsid, out->command, sizeof(out->command));
}

static void line_verify(struct plan_line *out)
{
    snprintf(out->text, sizeof(out->text), "verify each slice: none of the blocks read may hold what was there before");
    snprintf(out->command, sizeof(out->command), "Read 02h: %d marked, %d remembered and %d random blocks of each",
             ERASE_MARKERS, ERASE_SAMPLES, ERASE_RANDOM);
}

bool plan_line(const struct drive_seen *drive, const struct layout *layout, size_t i, struct plan_line *out)
{
    if (layout->count == 0) /* nothing fits: then nothing is given up either */
        return false;
    struct plan_line line = {0};
    if (layout->provider == PROVIDER_WHOLE) {
        if (i > 0)
            return false;
        line_erase(drive, layout, &line);
    } else if (i < drive->ns_count) {
        line_give_up(&drive->ns[i], &drive->caps, &line);
    } else {
        const size_t step = i - drive->ns_count;
        if (step < layout->count)
            line_create(layout, step, &line);
        else if (step == layout->count)
            line_attach(drive, layout, &line);
        else if (step == layout->count + 1u)
            line_erase(drive, layout, &line);
        else if (step == layout->count + 2u)
            line_verify(&line);
        else
            return false;
    }
    *out = line;
    return true;
}
