/* adopt_rule.h - which drives may be adopted without a person, and as what. Pure.
 *   - A rule matches a drive when all that it names matches: model, serial, place (globs), size.
 *   - The rules stand in an order, and the first that matches decides; a later one is not asked.
 *   - A rule with adopt = no keeps what it matches from being adopted by any rule. A person still may.
 *   - Rules of which one could not be read allow nothing: it might have been the one that says no.
 *   - A drive with foreign data is not adopted by any rule, nor is one that no rule matches. */
#ifndef NSMITH_ADOPT_RULE_H
#define NSMITH_ADOPT_RULE_H

#include "model/drive.h"
#include "model/sync.h"

enum { ADOPT_RULES_MAX = 64, ADOPT_GLOB_MAX = 80 };

struct adopt_rule {
    struct name name; /* of its file, without ".conf" */
    /* match; empty or 0: not asked about */
    char model[ADOPT_GLOB_MAX], serial[ADOPT_GLOB_MAX], place[ADOPT_GLOB_MAX];
    uint64_t size_min, size_max; /* bytes, both inclusive */
    /* what for */
    bool adopt;
    struct name class;
    enum provider provider;
    uint32_t max_drives; /* of one host; 0: any number */
};

struct adopt_rules {
    struct adopt_rule at[ADOPT_RULES_MAX];
    size_t count;
    char broken[WHY_MAX]; /* not empty: they could not be read, and why */
};

/* The drive as it may be adopted: rule empty means no, and why says so in words ("" when there are no rules at all).
 * `taken(ctx, rule)`: how many drives of the host are adopted by that rule already. */
struct adopt_answer {
    struct proposal proposal;
    char why[WHY_MAX];
};

void adopt_rules_ask(const struct adopt_rules *rules, const struct drive_seen *seen,
                     uint32_t (*taken)(const void *ctx, const struct name *rule), const void *ctx,
                     struct adopt_answer *out);

/* NULL: it is a rule that says something. Else what is wrong with it, for people. */
const char *adopt_rule_wrong(const struct adopt_rule *rule);

#endif
