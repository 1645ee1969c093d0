/* Drives that a rule of this host may adopt (adopt_rule.h): what the server is told, and the last word. */
#include "core/host_priv.h"

#include "base/text.h"

#include <stdio.h>

static const char twin[] = "another drive of this host reports the same serial number";

/* Wished for counts too, or two wishes of one report would both fit. */
static uint32_t taken(const void *ctx, const struct name *rule)
{
    const struct host *host = ctx;
    uint32_t count = 0;
    for (size_t i = 0; i < host->drive_count; i++) {
        const struct host_drive *drive = &host->drives[i];
        count += (drive_is_ours(drive) && name_eq(&drive->rule, rule)) ||
                 (drive->adopt == ADOPT_CHECKING && name_eq(&drive->want.rule, rule));
    }
    return count;
}

struct asking {
    const struct host *host;
    const struct host_drive *drive;
};

/* The drive that is being judged does not stand in its own way. */
static uint32_t taken_by_others(const void *ctx, const struct name *rule)
{
    const struct asking *asking = ctx;
    const struct host_drive *drive = asking->drive;
    return taken(asking->host, rule) - (drive->adopt == ADOPT_CHECKING && name_eq(&drive->want.rule, rule));
}

static bool is_free(const struct host_drive *drive)
{
    return drive->adopt == ADOPT_NONE && drive->present && drive->seen.ident.serial[0] != '\0';
}

/* As many are proposed as the rule may still take, in the order of the list. One that was not looked at yet might be
 * the next: it keeps its place, or which drives are taken would depend on which answers first. */
static uint32_t taken_or_proposed(const void *ctx, const struct name *rule)
{
    const struct asking *asking = ctx;
    const struct host *host = asking->host;
    uint32_t count = taken(host, rule);
    for (size_t i = 0; &host->drives[i] != asking->drive; i++) {
        const struct host_drive *drive = &host->drives[i];
        struct adopt_answer answer = {0};
        if (drive->adopt != ADOPT_NONE || !drive->present || drive->ambiguous)
            continue;
        if (is_free(drive))
            adopt_rules_ask(&host->rules, &drive->seen, taken, host, &answer);
        count += !is_free(drive) || name_eq(&answer.proposal.rule, rule);
    }
    return count;
}

void rule_propose(const struct host *host, const struct host_drive *drive, struct drive_report *out)
{
    struct adopt_answer answer;
    if (!is_free(drive))
        return;
    adopt_rules_ask(&host->rules, &drive->seen, taken_or_proposed, &(struct asking){host, drive}, &answer);
    if (drive->ambiguous && answer.proposal.rule.v[0] != '\0') {
        text_cut(out->rule_why, sizeof(out->rule_why), twin);
        return;
    }
    out->proposal = answer.proposal;
    text_cut(out->rule_why, sizeof(out->rule_why), answer.why);
}

bool rule_still_allows(const struct host *host, const struct host_drive *drive, char why[WHY_MAX])
{
    const struct want_drive *want = &drive->want;
    struct adopt_answer answer;
    adopt_rules_ask(&host->rules, &drive->seen, taken_by_others, &(struct asking){host, drive}, &answer);
    const bool same = answer.proposal.rule.v[0] != '\0' && name_eq(&answer.proposal.rule, &want->rule) &&
                      name_eq(&answer.proposal.class, &want->layout.class) &&
                      answer.proposal.provider == want->layout.provider;
    if (!same)
        snprintf(why, WHY_MAX, "rule '%s' does not allow it any more: %.200s", want->rule.v,
                 answer.why[0] != '\0' ? answer.why : "the rules of this host have changed");
    return same;
}
