/* health.h - is a drive fit for new tenants? Pure: what it says of itself (SMART / Health log, LID 02h) and limits in,
 * level and reasons out.
 *   - drain: its free slices are not given out. Tenants keep theirs, and erasing goes on.
 *   - warn: for people; changes nothing.
 *   - A drive that was never read is `unknown`, and is given out: many ask for no SMART log, and what they hold is
 *     scratch data. With limits.unknown_drains it is not.
 *   - A drive whose log cannot be read any more stays what it was: silence heals nothing.
 *   - Temperature is the one number that goes both ways: once too hot, a drive drains until it has cooled down by
 *     limits.temperature_hysteresis below the limit, so that it does not flap.
 *   - A person may accept reasons (`drive resume --despite-health`): those do not drain any more. A new reason does,
 * and so does an accepted one that went away and has come back. */
#ifndef NSMITH_HEALTH_H
#define NSMITH_HEALTH_H

#include "model/drive.h"

/* Bits of a stored number: new ones go to the end. The first six are the bits of Critical Warning (Base 2.0, figure
 * "SMART / Health Information Log Page", byte 0), which the drive itself raises. */
#define HEALTH_REASONS(X)                                                                                       \
    X(HEALTH_CW_SPARE, "critical warning bit 0: the available spare is below its threshold")                    \
    X(HEALTH_CW_TEMPERATURE, "critical warning bit 1: the temperature is outside of its thresholds")            \
    X(HEALTH_CW_RELIABILITY, "critical warning bit 2: the reliability is degraded by media or internal errors") \
    X(HEALTH_CW_READ_ONLY, "critical warning bit 3: the media is read-only")                                    \
    X(HEALTH_CW_BACKUP, "critical warning bit 4: the backup of the volatile memory has failed")                 \
    X(HEALTH_CW_PMR, "critical warning bit 5: the persistent memory region is read-only or unreliable")         \
    X(HEALTH_CW_RESERVED, "critical warning bit 6 or 7: reserved, not known here")                              \
    X(HEALTH_SPARE, "the available spare is below its threshold")                                               \
    X(HEALTH_SPARE_NEAR, "the available spare is near its threshold")                                           \
    X(HEALTH_WORN, "it is worn out")                                                                            \
    X(HEALTH_WORN_NEAR, "it is nearly worn out")                                                                \
    X(HEALTH_MEDIA_ERRORS, "it has too many media errors")                                                      \
    X(HEALTH_MEDIA_ERRORS_SOME, "it has media errors")                                                          \
    X(HEALTH_HOT, "it is too hot")                                                                              \
    X(HEALTH_WARM, "it is warm")                                                                                \
    X(HEALTH_SILENT, "its health was never read")

enum health_reason {
#define X(reason, text) reason,
    HEALTH_REASONS(X)
#undef X
        HEALTH_REASON_COUNT
};

#define HEALTH_BIT(reason) (1u << (reason))

const char *health_reason_text(enum health_reason reason);

/* Each limit is the first value that counts; 0 switches it off. */
struct health_limits {
    uint32_t spare_margin_percent; /* warn: so near above the drive's own threshold */
    uint32_t used_warn_percent, used_drain_percent;
    uint32_t media_errors_warn, media_errors_drain;
    uint32_t temperature_warn_c, temperature_drain_c, temperature_hysteresis_c;
    bool unknown_drains;
};

extern const struct health_limits health_defaults;

/* `last`: what the drive was judged to be before; zeros: nothing yet. */
struct health_state health_judge(const struct drive_health *health, const struct health_limits *limits,
                                 const struct health_state *last);
/* The reasons to drain that nobody has accepted; 0: it serves. */
uint32_t health_drains(const struct health_state *state, uint32_t accepted);
/* What stays accepted: reasons that are still there. */
uint32_t health_accepted(const struct health_state *state, uint32_t accepted);
/* The reasons of `mask` as one phrase with the numbers: "it is worn out (101 % used)". */
void health_explain(uint32_t mask, const struct drive_health *health, char *to, size_t size);

#endif
