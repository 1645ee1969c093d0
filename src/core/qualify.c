#include "core/qualify.h"

#include "core/erase.h"

#include <stdarg.h>
#include <stdio.h>

enum { SHARE = 100 }; /* one part in a hundred may be missing from the sum of what a drive reports */

__attribute__((format(printf, 5, 6))) static void line(struct task_result *out, const char *check, enum verdict verdict,
                                                       uint64_t ms, const char *fmt, ...)
{
    char text[200];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    task_line_add(out, check, verdict, ms, text);
}

/* ---- who it is ------------------------------------------------------------------------------------------------ */

static const char *unstable(const struct drive_seen *a, const struct drive_seen *b)
{
    if (!drive_ident_eq(&a->ident, &b->ident))
        return "vendor, serial, model or NQN";
    if (strcmp(a->firmware, b->firmware) != 0)
        return "its firmware revision";
    if (a->ns_count != b->ns_count)
        return "how many namespaces there are";
    for (size_t i = 0; i < a->ns_count; i++) {
        const struct ns_seen *x = &a->ns[i], *y = &b->ns[i];
        if (!nsid_eq(x->nsid, y->nsid) || x->size_blocks != y->size_blocks || x->block_bytes != y->block_bytes)
            return "the size of a namespace";
        if (memcmp(x->nguid, y->nguid, sizeof(x->nguid)) != 0 || memcmp(x->eui64, y->eui64, sizeof(x->eui64)) != 0)
            return "the NGUID or EUI64 of a namespace";
    }
    if (a->caps.total_bytes != b->caps.total_bytes || a->caps.free_bytes != b->caps.free_bytes)
        return "its capacity";
    return NULL;
}

static void check_identity(const struct probe_facts *facts, struct task_result *out)
{
    const struct drive_ident *ident = &facts->second->ident;
    const char *differs = unstable(facts->first, facts->second);
    if (differs != NULL)
        line(out, "identity", VERDICT_REJECTED, 0, "two looks in a row differ in %s", differs);
    else if (ident->nqn[0] == '\0')
        line(out, "identity", VERDICT_QUALIFIED, 0,
             "the same in two looks; it has no NQN (before NVMe 1.2.1), so vendor, model and serial tell it apart");
    else
        line(out, "identity", VERDICT_QUALIFIED, 0, "the same in two looks");
}

static void check_pages(const struct probe_facts *facts, struct task_result *out)
{
    const struct drive_pages *pages = &facts->pages;
    if (pages->unlisted > 0)
        line(out, "pages", VERDICT_REJECTED, 0, "%u attached namespaces are missing in the list of all namespaces",
             pages->unlisted);
    else if (pages->differs.v != 0)
        line(out, "pages", VERDICT_REJECTED, 0, "two pages describe namespace %u with another %s", pages->differs.v,
             pages->differs_in);
    else if (pages->compared == 0)
        line(out, "pages", VERDICT_QUALIFIED, 0, "nothing to compare: no attached namespace is described twice");
    else
        line(out, "pages", VERDICT_QUALIFIED, 0, "agree on %u namespaces (CNS 00h, 11h, 03h)", pages->compared);
}

static bool is_zero(const uint8_t *id, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (id[i] != 0)
            return false;
    return true;
}

static bool same_id(const uint8_t *a, const uint8_t *b, size_t len)
{
    return !is_zero(a, len) && memcmp(a, b, len) == 0;
}

static void check_ids(const struct probe_facts *facts, struct task_result *out)
{
    const struct drive_seen *seen = facts->second;
    size_t nameless = 0;
    for (size_t i = 0; i < seen->ns_count; i++) {
        const struct ns_seen *ns = &seen->ns[i];
        nameless += is_zero(ns->nguid, sizeof(ns->nguid)) && is_zero(ns->eui64, sizeof(ns->eui64));
        for (size_t j = 0; j < i; j++) {
            const struct ns_seen *other = &seen->ns[j];
            if (same_id(ns->nguid, other->nguid, sizeof(ns->nguid)) ||
                same_id(ns->eui64, other->eui64, sizeof(ns->eui64))) {
                line(out, "ids", VERDICT_REJECTED, 0, "namespaces %u and %u carry the same NGUID or EUI64",
                     other->nsid.v, ns->nsid.v);
                return;
            }
        }
    }
    if (nameless > 0)
        line(out, "ids", VERDICT_LIMITED, 0,
             "%zu of %zu namespaces have neither NGUID nor EUI64: only number and size tell them apart", nameless,
             seen->ns_count);
    else
        line(out, "ids", VERDICT_QUALIFIED, 0, "%zu namespaces, each with a NGUID or EUI64 of its own", seen->ns_count);
}

/* ---- how it is cut -------------------------------------------------------------------------------------------- */

static void check_management(const struct probe_facts *facts, struct task_result *out)
{
    const struct drive_caps *caps = &facts->second->caps;
    static const char check[] = "namespace-management";
    if (caps->ns_claimed && !caps->ns_management)
        line(out, check, VERDICT_LIMITED, 0,
             "claimed (OACS bit 3), but not in its list of commands: it can be used as a whole only");
    else if (!caps->ns_management)
        line(out, check, VERDICT_LIMITED, 0,
             "none: it can be used as a whole only; newer firmware of the vendor may bring it");
    else if (caps->ns_max < 2)
        line(out, check, VERDICT_LIMITED, 0, "it knows one namespace only (NN %u)", caps->nn);
    else
        line(out, check, VERDICT_QUALIFIED, 0, "up to %u namespaces (NN %u)", caps->ns_max, caps->nn);
}

static void check_granularity(const struct probe_facts *facts, struct task_result *out)
{
    const struct drive_caps *caps = &facts->second->caps;
    const uint64_t largest = caps->nsg_bytes > caps->ncg_bytes ? caps->nsg_bytes : caps->ncg_bytes;
    static const char check[] = "granularity";
    if (largest == 0)
        line(out, check, VERDICT_QUALIFIED, 0, "not told: what a namespace really costs shows when it is made");
    else if (caps->nsg_bytes % 512 != 0 || caps->ncg_bytes % 512 != 0)
        line(out, check, VERDICT_LIMITED, 0, "NSG %ju and NCG %ju are no whole number of blocks",
             (uintmax_t)caps->nsg_bytes, (uintmax_t)caps->ncg_bytes);
    else if (caps->total_bytes != 0 && largest > caps->total_bytes)
        line(out, check, VERDICT_REJECTED, 0, "%ju bytes: larger than the drive", (uintmax_t)largest);
    else
        line(out, check, VERDICT_QUALIFIED, 0, "NSG %ju, NCG %ju bytes", (uintmax_t)caps->nsg_bytes,
             (uintmax_t)caps->ncg_bytes);
}

static void check_capacity(const struct probe_facts *facts, struct task_result *out)
{
    const struct drive_seen *seen = facts->second;
    const struct drive_caps *caps = &seen->caps;
    uint64_t used = 0;
    bool told = true;
    for (size_t i = 0; i < seen->ns_count; i++) {
        const struct ns_seen *ns = &seen->ns[i];
        const uint64_t cost = ns->nvmcap_bytes != 0 ? ns->nvmcap_bytes : ns->size_blocks * ns->block_bytes;
        told = told && cost != 0 && !__builtin_add_overflow(used, cost, &used);
    }
    static const char check[] = "capacity";
    uint64_t sum;
    if (caps->total_bytes == 0)
        line(out, check, VERDICT_LIMITED, 0,
             "not reported (TNVMCAP is 0): how many slices fit shows when they are made");
    else if (!told)
        line(out, check, VERDICT_LIMITED, 0, "a namespace does not say what it costs (NVMCAP)");
    else if (__builtin_add_overflow(used, caps->free_bytes, &sum) || sum > caps->total_bytes)
        line(out, check, VERDICT_REJECTED, 0, "namespaces (%ju) and free space (%ju) are more than the drive has (%ju)",
             (uintmax_t)used, (uintmax_t)caps->free_bytes, (uintmax_t)caps->total_bytes);
    else if (caps->total_bytes - sum > caps->total_bytes / SHARE)
        line(out, check, VERDICT_LIMITED, 0, "%ju of %ju bytes are neither in a namespace nor free",
             (uintmax_t)(caps->total_bytes - sum), (uintmax_t)caps->total_bytes);
    else
        line(out, check, VERDICT_QUALIFIED, 0, "%ju bytes, %ju of them free", (uintmax_t)caps->total_bytes,
             (uintmax_t)caps->free_bytes);
}

/* As core/plan.c takes them. */
static void check_formats(const struct probe_facts *facts, struct task_result *out)
{
    const struct drive_caps *caps = &facts->second->caps;
    size_t usable = 0;
    bool large = false;
    for (size_t i = 0; i < caps->lbaf_count; i++) {
        const struct lba_format *format = &caps->lbaf[i];
        if (format->meta_bytes != 0 || format->block_bytes < 512 || format->block_bytes > ERASE_BLOCK_MAX)
            continue;
        usable++;
        large = large || format->block_bytes == ERASE_BLOCK_MAX;
    }
    static const char check[] = "lba-formats";
    if (usable == 0)
        line(out, check, VERDICT_REJECTED, 0, "none of %zu has 512 to 4096 bytes without metadata", caps->lbaf_count);
    else
        line(out, check, VERDICT_QUALIFIED, 0, "%zu of %zu can be used%s", usable, caps->lbaf_count,
             large ? "" : ", none of 4096 bytes");
}

/* ---- how it is erased ------------------------------------------------------------------------------------------ */

static void check_erase(const struct probe_facts *facts, struct task_result *out)
{
    const struct drive_caps *caps = &facts->second->caps;
    const char *how = erase_method_word(erase_choose(caps, false));
    static const char check[] = "erase";
    const bool all = (caps->fna & 3) != 0;
    if (erase_choose(caps, false) != ERASE_OVERWRITE)
        line(out, check, VERDICT_QUALIFIED, 0, "one namespace alone by %s (FNA %02xh)", how, caps->fna);
    else if (!caps->format)
        line(out, check, VERDICT_LIMITED, 0, "only by overwriting, which takes long and wears: it has no Format");
    else
        line(out, check, VERDICT_LIMITED, 0, "only by overwriting, which takes long and wears: %s (FNA %02xh)",
             all ? "a format would hit all namespaces" : "no format spares the neighbours", caps->fna);
}

static void check_sanitize(const struct probe_facts *facts, struct task_result *out)
{
    const struct drive_caps *caps = &facts->second->caps;
    if (!caps->sanitize_block && !caps->sanitize_crypto && !caps->sanitize_over)
        line(out, "sanitize", VERDICT_QUALIFIED, 0, "none; nsmith does not need it");
    else
        line(out, "sanitize", VERDICT_QUALIFIED, 0, "the whole drive by%s%s%s%s",
             caps->sanitize_block ? " block erase" : "", caps->sanitize_crypto ? " crypto erase" : "",
             caps->sanitize_over ? " overwrite" : "", caps->sanitize_ns ? "; one namespace by crypto erase" : "");
}

/* ---- how it is ------------------------------------------------------------------------------------------------- */

static void check_health(const struct probe_facts *facts, struct task_result *out)
{
    const struct drive_health *health = &facts->second->health;
    static const char check[] = "health";
    if (!health->known)
        line(out, check, VERDICT_LIMITED, 0, "it gives no SMART log");
    else if (health->critical_warning != 0)
        line(out, check, VERDICT_REJECTED, 0, "it warns of itself (SMART critical warning %02xh)",
             health->critical_warning);
    else if (health->spare_percent < health->spare_threshold_percent)
        line(out, check, VERDICT_REJECTED, 0, "spare blocks are at %u %%, below its threshold of %u %%",
             health->spare_percent, health->spare_threshold_percent);
    else if (health->used_percent >= 100)
        line(out, check, VERDICT_LIMITED, 0, "worn out: %u %% of its endurance is used", health->used_percent);
    else if (health->media_errors > 0)
        line(out, check, VERDICT_LIMITED, 0, "%ju media errors so far", (uintmax_t)health->media_errors);
    else
        line(out, check, VERDICT_QUALIFIED, 0, "%u %% worn, %u %% spare, no media errors", health->used_percent,
             health->spare_percent);
}

static void check_answer(const struct probe_facts *facts, struct task_result *out)
{
    enum { SLOW_MS = 5000 };
    if (facts->scan_ms > SLOW_MS)
        line(out, "answers", VERDICT_LIMITED, facts->scan_ms, "slowly: to look at it took %ju ms",
             (uintmax_t)facts->scan_ms);
    else
        line(out, "answers", VERDICT_QUALIFIED, facts->scan_ms, "to look at it took %ju ms", (uintmax_t)facts->scan_ms);
}

void qualify(const struct probe_facts *facts, struct task_result *out)
{
    static void (*const checks[])(const struct probe_facts *, struct task_result *) = {
        check_identity, check_pages, check_ids,      check_management, check_granularity, check_capacity,
        check_formats,  check_erase, check_sanitize, check_health,     check_answer};
    *out = (struct task_result){0};
    for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++)
        checks[i](facts, out);
}
