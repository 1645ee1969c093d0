#include "core/adopt_rule.h"

#include "base/text.h"

#include <stdio.h>

static bool fits(const char *glob, const char *text)
{
    return glob[0] == '\0' || text_glob(glob, text);
}

static bool matches(const struct adopt_rule *rule, const struct drive_seen *seen)
{
    const uint64_t size = drive_size_bytes(seen);
    return fits(rule->model, seen->ident.model) && fits(rule->serial, seen->ident.serial) &&
           fits(rule->place, seen->place) && size >= rule->size_min && (rule->size_max == 0 || size <= rule->size_max);
}

const char *adopt_rule_wrong(const struct adopt_rule *rule)
{
    if (rule->model[0] == '\0' && rule->serial[0] == '\0' && rule->place[0] == '\0' && rule->size_min == 0 &&
        rule->size_max == 0)
        return "it matches every drive; if that is meant, write 'model = *' in section [match]";
    if (rule->size_max != 0 && rule->size_min > rule->size_max)
        return "'size_min' is more than 'size_max'";
    if (rule->class.v[0] != '\0' && !text_is_name(rule->class.v, NAME_MAX_LEN))
        return "'class' must be 1 to 63 letters, digits, '.', '_' and '-'";
    if (rule->adopt && rule->class.v[0] == '\0')
        return "it does not say what for: write 'class = 500G' in section [adopt], or 'adopt = no'";
    if (rule->adopt && rule->provider == PROVIDER_NONE)
        return "a drive cannot be adopted as 'none'";
    return NULL;
}

void adopt_rules_ask(const struct adopt_rules *rules, const struct drive_seen *seen,
                     uint32_t (*taken)(const void *ctx, const struct name *rule), const void *ctx,
                     struct adopt_answer *out)
{
    const struct adopt_rule *rule = NULL;
    *out = (struct adopt_answer){0};
    for (size_t i = 0; i < rules->count && rule == NULL; i++)
        if (matches(&rules->at[i], seen))
            rule = &rules->at[i];
    if (rules->broken[0] != '\0') {
        text_cut(out->why, sizeof(out->why), "the rules cannot be read");
    } else if (rules->count == 0) {
        return;
    } else if (rule == NULL) {
        text_cut(out->why, sizeof(out->why), "no rule matches it");
    } else if (!rule->adopt) {
        snprintf(out->why, sizeof(out->why), "rule '%s' leaves it alone", rule->name.v);
    } else if (seen->foreign.count > 0) {
        snprintf(out->why, sizeof(out->why), "rule '%s' matches, but the drive %s: %s", rule->name.v,
                 foreign_kind_text(seen->foreign.at[0].kind), seen->foreign.at[0].detail);
    } else if (rule->max_drives != 0 && taken(ctx, &rule->name) >= rule->max_drives) {
        snprintf(out->why, sizeof(out->why), "rule '%s' has its %u drives already", rule->name.v, rule->max_drives);
    } else {
        out->proposal = (struct proposal){.rule = rule->name, .class = rule->class, .provider = rule->provider};
    }
}
