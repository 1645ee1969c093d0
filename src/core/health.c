#include "core/health.h"

#include "base/must.h"

#include <stdio.h>

enum { KELVIN = 273 };

static const char *const reason_texts[HEALTH_REASON_COUNT] = {
#define X(reason, text) text,
    HEALTH_REASONS(X)
#undef X
};

/* Hot: a data centre drive throttles at 70 to 75 degrees and stops itself at 80 to 85 (WCTEMP, CCTEMP of many). Worn:
 * Percentage Used is the vendor's estimate and may pass 100; the drive may go on, with no promise. */
const struct health_limits health_defaults = {
    .spare_margin_percent = 10,
    .used_warn_percent = 90,
    .used_drain_percent = 100,
    .media_errors_warn = 1,
    .media_errors_drain = 100,
    .temperature_warn_c = 70,
    .temperature_drain_c = 80,
    .temperature_hysteresis_c = 5,
};

const char *health_reason_text(enum health_reason reason)
{
    must(reason < HEALTH_REASON_COUNT);
    return reason_texts[reason];
}

/* Bits 4 and 5 are about data that must outlive a power cut, which that of our tenants need not. */
static void judge_warning(uint8_t warning, struct health_state *out)
{
    const uint32_t drains = HEALTH_BIT(HEALTH_CW_SPARE) | HEALTH_BIT(HEALTH_CW_TEMPERATURE) |
                            HEALTH_BIT(HEALTH_CW_RELIABILITY) | HEALTH_BIT(HEALTH_CW_READ_ONLY);
    const uint32_t warns = HEALTH_BIT(HEALTH_CW_BACKUP) | HEALTH_BIT(HEALTH_CW_PMR);
    out->drains |= warning & drains;
    out->warns |= warning & warns;
    if ((warning & ~(drains | warns)) != 0)
        out->warns |= HEALTH_BIT(HEALTH_CW_RESERVED);
}

/* `value` against two limits, either of which may be off. */
static void judge_number(uint64_t value, uint32_t warn, uint32_t drain, enum health_reason warn_reason,
                         enum health_reason drain_reason, struct health_state *out)
{
    if (drain != 0 && value >= drain)
        out->drains |= HEALTH_BIT(drain_reason);
    else if (warn != 0 && value >= warn)
        out->warns |= HEALTH_BIT(warn_reason);
}

static void judge_spare(const struct drive_health *health, const struct health_limits *limits, struct health_state *out)
{
    const uint32_t spare = health->spare_percent, threshold = health->spare_threshold_percent;
    if (spare < threshold)
        out->drains |= HEALTH_BIT(HEALTH_SPARE);
    else if (limits->spare_margin_percent != 0 && threshold != 0 && spare < threshold + limits->spare_margin_percent)
        out->warns |= HEALTH_BIT(HEALTH_SPARE_NEAR);
}

/* What was too hot stays so until it has cooled down: below our own limit, or, where the drive itself raised bit 1 (its
 * limit, WCTEMP, is about where we begin to warn), below that of the warning. 0 K: no sensor. */
static void judge_temperature(const struct drive_health *health, const struct health_limits *limits,
                              const struct health_state *last, struct health_state *out)
{
    const uint32_t hot = HEALTH_BIT(HEALTH_HOT), own = HEALTH_BIT(HEALTH_CW_TEMPERATURE);
    if (health->temperature_k <= KELVIN)
        return;
    const uint32_t celsius = (uint32_t)health->temperature_k - KELVIN,
                   cooled = celsius + limits->temperature_hysteresis_c;
    judge_number(celsius, limits->temperature_warn_c, limits->temperature_drain_c, HEALTH_WARM, HEALTH_HOT, out);
    if ((last->drains & hot) != 0 && limits->temperature_drain_c != 0 && cooled > limits->temperature_drain_c)
        out->drains |= hot;
    if ((last->drains & own) != 0 && limits->temperature_warn_c != 0 && cooled > limits->temperature_warn_c)
        out->drains |= own;
    if ((out->drains & hot) != 0)
        out->warns &= ~HEALTH_BIT(HEALTH_WARM);
}

struct health_state health_judge(const struct drive_health *health, const struct health_limits *limits,
                                 const struct health_state *last)
{
    struct health_state state = {.level = HEALTH_OK};
    const uint32_t silent = HEALTH_BIT(HEALTH_SILENT);
    if (!health->known && ((last->drains | last->warns) & ~silent) != 0)
        return *last;
    if (!health->known)
        return (struct health_state){.level = limits->unknown_drains ? HEALTH_DRAIN : HEALTH_UNKNOWN,
                                     .drains = limits->unknown_drains ? silent : 0};
    judge_warning(health->critical_warning, &state);
    judge_spare(health, limits, &state);
    judge_number(health->used_percent, limits->used_warn_percent, limits->used_drain_percent, HEALTH_WORN_NEAR,
                 HEALTH_WORN, &state);
    judge_number(health->media_errors, limits->media_errors_warn, limits->media_errors_drain, HEALTH_MEDIA_ERRORS_SOME,
                 HEALTH_MEDIA_ERRORS, &state);
    judge_temperature(health, limits, last, &state);
    if (state.drains != 0)
        state.level = HEALTH_DRAIN;
    else if (state.warns != 0)
        state.level = HEALTH_WARN;
    return state;
}

uint32_t health_drains(const struct health_state *state, uint32_t accepted)
{
    return state->drains & ~accepted;
}

uint32_t health_accepted(const struct health_state *state, uint32_t accepted)
{
    return state->drains & accepted;
}

/* ---- in words --------------------------------------------------------------------------------------------------- */

static void explain_one(enum health_reason reason, const struct drive_health *health, char *to, size_t size)
{
    const int celsius = health->temperature_k - KELVIN;
    switch (reason) {
    case HEALTH_SPARE:
    case HEALTH_SPARE_NEAR:
        snprintf(to, size, " (%u %%, threshold %u %%)", health->spare_percent, health->spare_threshold_percent);
        return;
    case HEALTH_WORN:
    case HEALTH_WORN_NEAR:
        snprintf(to, size, " (%u %% used)", health->used_percent);
        return;
    case HEALTH_MEDIA_ERRORS:
    case HEALTH_MEDIA_ERRORS_SOME:
        snprintf(to, size, " (%ju)", (uintmax_t)health->media_errors);
        return;
    case HEALTH_CW_TEMPERATURE:
    case HEALTH_HOT:
    case HEALTH_WARM:
        snprintf(to, size, " (%d degrees Celsius)", celsius);
        return;
    case HEALTH_CW_SPARE:
    case HEALTH_CW_RELIABILITY:
    case HEALTH_CW_READ_ONLY:
    case HEALTH_CW_BACKUP:
    case HEALTH_CW_PMR:
    case HEALTH_CW_RESERVED:
    case HEALTH_SILENT:
    case HEALTH_REASON_COUNT:
        break;
    }
    to[0] = '\0';
}

void health_explain(uint32_t mask, const struct drive_health *health, char *to, size_t size)
{
    must(size > 0);
    to[0] = '\0';
    size_t used = 0;
    for (unsigned r = 0; r < HEALTH_REASON_COUNT && used < size; r++) {
        char numbers[64] = "";
        if ((mask & 1u << r) == 0)
            continue;
        if (health->known)
            explain_one((enum health_reason)r, health, numbers, sizeof(numbers));
        const int len = snprintf(to + used, size - used, "%s%s%s", used > 0 ? "; " : "", reason_texts[r], numbers);
        used += len > 0 ? (size_t)len : 0;
    }
}
