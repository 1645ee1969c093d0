/* The agent's mind and the rules of its host: what it proposes to the server, and what it takes from it. */
#include "host_fixture.h"

static struct report report;

static struct adopt_rule *rule_add(const char *name)
{
    struct adopt_rule *rule = &host->rules.at[host->rules.count++];
    *rule = (struct adopt_rule){.model = "*", .adopt = true, .class = {"c"}, .provider = PROVIDER_NAMESPACE};
    text_cut(rule->name.v, sizeof(rule->name.v), name);
    return rule;
}

static const struct drive_report *reported(size_t i)
{
    host_report(host, &report);
    assert_true(i < report.drive_count);
    return &report.drives[i];
}

#define PROPOSES(i, want)                                                     \
    do {                                                                      \
        const struct drive_report *got_ = reported(i);                        \
        if (strcmp(got_->proposal.rule.v, want) != 0)                         \
            fail_msg("got '%s' (%s)", got_->proposal.rule.v, got_->rule_why); \
    } while (0)

static void want_by_rule(const char *rule)
{
    static struct host_orders kept;
    want_drive();
    kept = orders;
    wants->drives[0].layout.class = (struct name){"c"};
    text_cut(wants->drives[0].rule.v, sizeof(wants->drives[0].rule.v), rule);
    send_wants();
    orders = kept; /* the scan that was ordered still stands */
}

static void test_proposal(void **state)
{
    (void)state;
    found();
    PROPOSES(0, "");
    assert_string_equal(reported(0)->rule_why, "");
    rule_add("r");
    PROPOSES(0, "r");
    assert_string_equal(reported(0)->proposal.class.v, "c");
    host->drives[0].present = false;
    assert_int_equal((host_report(host, &report), report.drive_count), 0);
}

static void test_adopted_by_rule(void **state)
{
    (void)state;
    found();
    rule_add("r");
    want_by_rule("r");
    PROPOSES(0, ""); /* it is wanted: nothing to propose any more */
    SAYS("scan fresh");
    seen();
    SAYS("detach 1");
    assert_string_equal(host->drives[0].rule.v, "r");
    assert_string_equal(reported(0)->rule.v, "r");
}

static void test_a_person_needs_no_rule(void **state)
{
    (void)state;
    found();
    rule_add("r")->adopt = false;
    want_drive();
    seen();
    SAYS("detach 1");
    assert_string_equal(host->drives[0].rule.v, "");
}

static void test_the_rule_is_asked_once_more(void **state)
{
    static const struct {
        const char *sentence, *why;
    } rows[] = {
        {"excluded meanwhile", "leaves it alone"},
        {"another class", "have changed"},
        {"renamed", "have changed"},
        {"broken", "cannot be read"},
        {"full", "has its 1 drives"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        found();
        struct adopt_rule *rule = rule_add("r");
        want_by_rule("r");
        SAYS("scan fresh");
        if (i == 0)
            rule->adopt = false;
        else if (i == 1)
            rule->class = (struct name){"d"};
        else if (i == 2)
            rule->name = (struct name){"q"};
        else if (i == 3)
            text_cut(host->rules.broken, sizeof(host->rules.broken), "a typing error");
        else {
            rule->max_drives = 1;
            host->drives[host->drive_count++] = (struct host_drive){.adopt = ADOPT_DONE, .rule = {"r"}};
        }
        seen();
        if (host->drives[0].adopt != ADOPT_REFUSED || strstr(host->drives[0].why, rows[i].why) == NULL)
            fail_msg("%s: got %s '%s'", rows[i].sentence, adopt_word(host->drives[0].adopt), host->drives[0].why);
        PROPOSES(0, ""); /* refused is refused, until the drive or the agent comes anew */
        teardown(state);
        setup(state);
    }
}

static void test_data_that_came_meanwhile(void **state)
{
    (void)state;
    found();
    rule_add("r");
    want_by_rule("r");
    foreign_add(&drive.foreign, FOREIGN_SIGNATURE, (struct nsid){1}, "ext4");
    seen();
    SAYS("");
    assert_int_equal(host->drives[0].adopt, ADOPT_REFUSED);
    assert_non_null(strstr(host->drives[0].why, "ext4"));
}

static void test_as_many_as_the_rule_may_have(void **state)
{
    (void)state;
    found();
    rule_add("r")->max_drives = 2;
    for (size_t i = 1; i < 4; i++) {
        host->drives[i] = host->drives[0];
        snprintf(host->drives[i].ident.serial, sizeof(host->drives[i].ident.serial), "SER%zu", i + 1);
        host->drive_count++;
    }
    host->drives[1].adopt = ADOPT_DONE; /* by a person: does not count */
    PROPOSES(0, "r");
    PROPOSES(1, "");
    PROPOSES(2, "r");
    PROPOSES(3, "");
    host->drives[1].rule = (struct name){"r"};
    PROPOSES(0, "r");
    PROPOSES(2, "");
    assert_non_null(strstr(reported(2)->rule_why, "has its 2 drives"));
    host->drives[1].rule = (struct name){""};
    memset(&host->drives[0].seen, 0, sizeof(drive)); /* not looked at yet: it keeps its place */
    PROPOSES(1, "r");
    host->drives[1].rule = (struct name){"r"};
    host->drives[0].seen = drive;
    host->drives[0].ambiguous = true; /* proposes nothing, and takes no place */
    PROPOSES(0, "");
    PROPOSES(2, "r");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_proposal),
        TEST(test_adopted_by_rule),
        TEST(test_a_person_needs_no_rule),
        TEST(test_the_rule_is_asked_once_more),
        TEST(test_data_that_came_meanwhile),
        TEST(test_as_many_as_the_rule_may_have),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
