/* Which drives may be adopted without a person: core/adopt_rule.h, one row a sentence. */
#include "core/adopt_rule.h"

#include "base/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define G 1000000000ull
#define RULE(rule_name, ...)                                                                               \
    {                                                                                                      \
        .name = {rule_name}, .adopt = true, .class = {"500G"}, .provider = PROVIDER_NAMESPACE, __VA_ARGS__ \
    }

static uint32_t two(const void *ctx, const struct name *rule)
{
    (void)ctx;
    return strcmp(rule->v, "full") == 0 ? 2 : 0;
}

/* The drive of all rows. */
static struct drive_seen blank(void)
{
    return (struct drive_seen){.ident = {.serial = "S64AB", .model = "SAMSUNG MZQL21T9HCJR"},
                               .place = "0000:41:00.0",
                               .caps.total_bytes = 1920 * G};
}

static const struct {
    const char *sentence;
    struct adopt_rule rules[3];
    const char *rule; /* that allows it; "" none */
    const char *why;  /* part of what is said */
} rows[] = {
    {"no rules, no words", {{.name = {""}}}, "", ""},
    {"a model matches as a whole", {RULE("a", .model = "SAMSUNG MZQL21T9HCJR")}, "a", ""},
    {"a part of the model is none", {RULE("a", .model = "SAMSUNG")}, "", "no rule matches"},
    {"a glob is one", {RULE("a", .model = "SAMSUNG*")}, "a", ""},
    {"all that is named must fit", {RULE("a", .model = "SAMSUNG*", .serial = "X*")}, "", "no rule matches"},
    {"the place", {RULE("a", .place = "0000:4?:*")}, "a", ""},
    {"another place", {RULE("a", .place = "0000:5?:*")}, "", "no rule matches"},
    {"at least so large, exactly", {RULE("a", .size_min = 1920 * G)}, "a", ""},
    {"one byte short", {RULE("a", .size_min = 1920 * G + 1)}, "", "no rule matches"},
    {"at most so large, exactly", {RULE("a", .size_max = 1920 * G)}, "a", ""},
    {"one byte over", {RULE("a", .size_max = 1920 * G - 1)}, "", "no rule matches"},
    {"the first that matches decides", {RULE("a", .model = "*"), RULE("b", .serial = "S64AB")}, "a", ""},
    {"one that does not match is passed over", {RULE("a", .model = "X"), RULE("b", .model = "*")}, "b", ""},
    {"a no before a yes is no",
     {{.name = {"keep"}, .serial = "S64*"}, RULE("b", .model = "*")},
     "",
     "'keep' leaves it"},
    {"a no after a yes is late", {RULE("a", .model = "*"), {.name = {"keep"}, .serial = "S64*"}}, "a", ""},
    {"a rule that has its drives", {RULE("full", .model = "*", .max_drives = 2)}, "", "'full' has its 2 drives"},
    {"... ends the search too",
     {RULE("full", .model = "*", .max_drives = 2), RULE("b", .model = "*")},
     "",
     "has its 2"},
    {"a rule with room", {RULE("full", .model = "*", .max_drives = 3)}, "full", ""},
};

static size_t count(const struct adopt_rule *rules)
{
    size_t n = 0;
    while (n < 3 && rules[n].name.v[0] != '\0')
        n++;
    return n;
}

static void test_rules(void **state)
{
    (void)state;
    static struct adopt_rules rules;
    const struct drive_seen seen = blank();
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct adopt_answer got;
        rules = (struct adopt_rules){.count = count(rows[i].rules)};
        memcpy(rules.at, rows[i].rules, sizeof(rows[i].rules));
        adopt_rules_ask(&rules, &seen, two, NULL, &got);
        if (strcmp(got.proposal.rule.v, rows[i].rule) != 0 || strstr(got.why, rows[i].why) == NULL ||
            (rows[i].why[0] == '\0') != (got.why[0] == '\0'))
            fail_msg("%s: got '%s' '%s', want '%s' '%s'", rows[i].sentence, got.proposal.rule.v, got.why, rows[i].rule,
                     rows[i].why);
    }
}

static void test_what_for(void **state)
{
    (void)state;
    static struct adopt_rules rules = {
        .at = {{.name = {"a"}, .model = "*", .adopt = true, .class = {"1T"}, .provider = PROVIDER_WHOLE}}, .count = 1};
    const struct drive_seen seen = blank();
    struct adopt_answer got;
    adopt_rules_ask(&rules, &seen, two, NULL, &got);
    assert_string_equal(got.proposal.class.v, "1T");
    assert_int_equal(got.proposal.provider, PROVIDER_WHOLE);
}

static void test_foreign_data_and_broken_rules(void **state)
{
    (void)state;
    static struct adopt_rules rules = {.at = {RULE("a", .model = "*")}, .count = 1};
    struct adopt_answer got;
    for (int kind = 0; kind < FOREIGN_KIND_COUNT; kind++) {
        struct drive_seen seen = blank();
        foreign_add(&seen.foreign, (enum foreign_kind)kind, (struct nsid){1}, "what it is");
        adopt_rules_ask(&rules, &seen, two, NULL, &got);
        assert_string_equal(got.proposal.rule.v, "");
        assert_non_null(strstr(got.why, "what it is"));
    }
    const struct drive_seen seen = blank();
    text_cut(rules.broken, sizeof(rules.broken), "a typing error");
    adopt_rules_ask(&rules, &seen, two, NULL, &got);
    assert_string_equal(got.proposal.rule.v, "");
    assert_non_null(strstr(got.why, "cannot be read"));
}

static void test_wrong(void **state)
{
    (void)state;
    static const struct {
        struct adopt_rule rule;
        const char *wrong;
    } cases[] = {
        {RULE("a", .model = "*"), NULL},
        {{.name = {"a"}, .model = "*"}, NULL}, /* adopt = no needs no class */
        {RULE("a", .max_drives = 1), "matches every drive"},
        {{.name = {"a"}}, "matches every drive"},
        {RULE("a", .size_min = 2, .size_max = 1), "'size_min' is more"},
        {{.name = {"a"}, .model = "*", .adopt = true, .provider = PROVIDER_WHOLE}, "what for"},
        {{.name = {"a"}, .model = "*", .adopt = true, .class = {"c"}}, "as 'none'"},
        {{.name = {"a"}, .model = "*", .adopt = true, .class = {"a/b"}, .provider = PROVIDER_WHOLE}, "'class' must be"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *got = adopt_rule_wrong(&cases[i].rule), *want = cases[i].wrong;
        if ((got == NULL) != (want == NULL) || (want != NULL && strstr(got, want) == NULL))
            fail_msg("row %zu: got '%s', want '%s'", i, got != NULL ? got : "", want != NULL ? want : "");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rules),
        cmocka_unit_test(test_what_for),
        cmocka_unit_test(test_foreign_data_and_broken_rules),
        cmocka_unit_test(test_wrong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
