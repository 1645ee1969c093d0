/* Drives that a host's rules propose: the server adopts them with the report, or keeps why it cannot. */
#include "service_fixture.h"

static void propose(const char *rule, const char *class)
{
    struct proposal *proposal = &report.drives[0].proposal;
    *proposal = (struct proposal){.provider = PROVIDER_NAMESPACE};
    text_cut(proposal->rule.v, sizeof(proposal->rule.v), rule);
    text_cut(proposal->class.v, sizeof(proposal->class.v), class);
}

static struct row_drive drive(void)
{
    struct row_drive row;
    assert_true(get(ROW_DRIVE, "h1/SER1", &row));
    return row;
}

static uint64_t revision(void)
{
    struct row_host row;
    assert_true(get(ROW_HOST, "h1", &row));
    return row.wants_revision;
}

static void test_adopted_with_the_report(void **state)
{
    (void)state;
    static struct wants wants;
    const uint64_t before = revision();
    propose("r", "4M");
    DO(send(&err));
    assert_true(drive().wanted);
    assert_string_equal(drive().rule.v, "r");
    assert_int_equal(drive().layout.count, 4);
    assert_true(revision() > before);
    DO(service_wants(&service, &h1, report.registration, &wants, &err));
    assert_int_equal(wants.drive_count, 1);
    assert_string_equal(wants.drives[0].rule.v, "r");
    const struct uuid adoption = drive().adoption;
    const uint64_t after = revision();
    DO(send(&err)); /* the agent has not heard of it yet */
    assert_string_equal(drive().adoption.v, adoption.v);
    assert_true(revision() == after);
}

static void test_a_persons_wish_goes_before(void **state)
{
    (void)state;
    const struct adopt_request request = {.serial = "SER1", .class = small};
    struct uuid adoption;
    DO(service_adopt(&service, &request, NULL, &adoption, &err));
    propose("r", "4M");
    DO(send(&err));
    assert_string_equal(drive().adoption.v, adoption.v);
    assert_string_equal(drive().rule.v, "");
}

static void test_why_not(void **state)
{
    (void)state;
    propose("r", "nine");
    DO(send(&err));
    assert_false(drive().wanted);
    assert_non_null(strstr(drive().rule_why, "cannot find slice class 'nine'"));
    const struct slice_class class = {.name = {"nine"}, .nominal_bytes = 1 << 20, .tolerance_ppm = 1};
    DO(store.put(store.self, ROW_CLASS, &class, &err) && service_rules(&service, NULL, &err));
    assert_true(drive().wanted);
    assert_string_equal(drive().rule_why, "");
}

static void test_data_that_the_rule_did_not_see(void **state)
{
    (void)state;
    propose("r", "4M");
    foreign_add(&report.drives[0].seen.foreign, FOREIGN_SIGNATURE, (struct nsid){1}, "ext4");
    DO(send(&err));
    assert_false(drive().wanted);
    assert_non_null(strstr(drive().rule_why, "ext4"));
    propose("", "");
    DO(send(&err));
    assert_string_equal(drive().rule_why, "");
}

static void test_slices_that_are_known(void **state)
{
    (void)state;
    adopt();
    report.drives[0] = (struct drive_report){.adopt = ADOPT_NONE}; /* an agent without its ledger */
    drive_fill(&report.drives[0], "SER1");
    report.slice_count = 0;
    propose("r", "4M");
    DO(send(&err));
    assert_false(drive().wanted);
    assert_non_null(strstr(drive().rule_why, "only a person"));
}

static void test_rules_that_are_broken(void **state)
{
    (void)state;
    struct row_host row;
    text_cut(report.troubles.rules, sizeof(report.troubles.rules), "a typing error");
    DO(send(&err));
    assert_true(get(ROW_HOST, "h1", &row));
    assert_string_equal(row.troubles.rules, "a typing error");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_adopted_with_the_report),
        TEST(test_a_persons_wish_goes_before),
        TEST(test_why_not),
        TEST(test_data_that_the_rule_did_not_see),
        TEST(test_slices_that_are_known),
        TEST(test_rules_that_are_broken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
