/* Drives that get no new tenants: each test is a sentence of server/service.h and core/health.h. */
#include "service_fixture.h"

static struct row_drive row;
static struct row_claim taken;

static struct drive_health *health(void)
{
    return &report.drives[0].seen.health;
}

static void be_healthy(void)
{
    *health() = (struct drive_health){.known = true, .spare_percent = 100, .temperature_k = 273 + 35};
}

static bool drain(const char *why, struct err *to)
{
    return service_drain(&service, "SER1", &(struct name){0}, why, NOW_MS, &row, to);
}

static bool resume(bool despite, struct err *to)
{
    return service_resume(&service, "SER1", &(struct name){0}, despite, &row, to);
}

static void explained(const char *want)
{
    char got[600];
    assert_true(get(ROW_DRIVE, "h1/SER1", &row));
    const struct drive_drain on = service_drive_drain(&service, &row);
    service_drain_explain(&row, &on, got, sizeof(got));
    if (strcmp(got, want) != 0)
        fail_msg("got '%s', want '%s'", got, want);
}

static void test_a_person_drains_and_resumes(void **state)
{
    (void)state;
    all_free();
    DO(drain("noisy fan", &err));
    explained("by a person: noisy fan");
    REFUSED(ERR_FULL, "needed 1, most 0; 4 more on drained drives", claim(1, "a", &taken, &err));
    DO(drain("", &err)); /* twice is fine */
    explained("by a person");
    DO(send(&err)); /* a report changes nothing of it */
    REFUSED(ERR_FULL, "drained", claim(1, "a", &taken, &err));
    DO(resume(false, &err));
    explained("");
    DO(claim(1, "a", &taken, &err));
    REFUSED(ERR_CONFLICT, "not drained", resume(false, &err));
    REFUSED(ERR_CONFLICT, "not drained", resume(true, &err));
}

static void test_tenants_keep_what_they_have(void **state)
{
    (void)state;
    all_free();
    DO(claim(2, "a", &taken, &err));
    obey();
    DO(drain("", &err));
    DO(send(&err));
    const struct wants wants = wants_now();
    unsigned held = 0;
    for (size_t i = 0; i < wants.slice_count; i++)
        held += strcmp(wants.slices[i].owner.v, "a") == 0;
    assert_int_equal(held, 2);
    REFUSED(ERR_FULL, "2 more on drained drives", claim(1, "b", &taken, &err));
}

static void test_bad_health_drains(void **state)
{
    (void)state;
    all_free();
    be_healthy();
    DO(send(&err));
    explained("");
    health()->used_percent = 100;
    DO(send(&err));
    explained("by its health: it is worn out (100 % used)");
    REFUSED(ERR_FULL, "4 more on drained drives", claim(1, "a", &taken, &err));
    DO(drain("old", &err));
    explained("by a person: old; by its health: it is worn out (100 % used)");
    health()->used_percent = 99; /* as after a firmware update */
    DO(send(&err));
    explained("by a person: old");
}

static void test_health_is_resumed_only_by_that_word(void **state)
{
    (void)state;
    all_free();
    be_healthy();
    health()->used_percent = 120;
    DO(send(&err));
    REFUSED(ERR_UNSAFE, "its health drains it: it is worn out (120 % used)", resume(false, &err));
    DO(resume(true, &err));
    explained("");
    DO(claim(1, "a", &taken, &err));
    health()->used_percent = 121; /* the same reason */
    DO(send(&err));
    explained("");
    health()->critical_warning = 1 << 3; /* a new one */
    DO(send(&err));
    explained("by its health: critical warning bit 3: the media is read-only");
    health()->critical_warning = 0;
    health()->used_percent = 0; /* what went away is not accepted any more */
    DO(send(&err));
    health()->used_percent = 120;
    DO(send(&err));
    explained("by its health: it is worn out (120 % used)");
}

static void test_temperature_has_a_memory(void **state)
{
    (void)state;
    all_free();
    be_healthy();
    static const struct {
        int celsius;
        bool drained;
    } rows[] = {{79, false}, {80, true}, {76, true}, {75, false}, {79, false}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        health()->temperature_k = (uint16_t)(273 + rows[i].celsius);
        DO(send(&err));
        assert_true(get(ROW_DRIVE, "h1/SER1", &row));
        const struct drive_drain on = service_drive_drain(&service, &row);
        if (drain_is_on(&on) != rows[i].drained)
            fail_msg("%zu: at %d degrees: got %d, want %d", i, rows[i].celsius, !rows[i].drained, rows[i].drained);
    }
}

static void test_limits_of_this_server_count_at_once(void **state)
{
    (void)state;
    all_free();
    be_healthy();
    health()->used_percent = 50;
    DO(send(&err));
    service.limits.used_drain_percent = 50; /* as if started with another configuration: no report since */
    explained("by its health: it is worn out (50 % used)");
    service.limits = health_defaults;
    explained("");
}

static void test_unknown_health_serves(void **state)
{
    (void)state;
    all_free();
    explained("");
    service.limits.unknown_drains = true;
    explained("by its health: its health was never read");
    REFUSED(ERR_FULL, "drained", claim(1, "a", &taken, &err));
}

static bool retry(struct err *to)
{
    return service_drive_retry(&service, "SER1", &(struct name){0}, &row, to);
}

static void test_drive_at_fault_is_retried(void **state)
{
    (void)state;
    all_free();
    REFUSED(ERR_CONFLICT, "is adopted, not at fault", retry(&err));
    assert_int_equal(wants_now().retry_count, 0);
    report.drives[0].adopt = ADOPT_FAULT;
    report.drives[0].retries = 4; /* the database may be older than the agent */
    DO(send(&err));
    REFUSED(ERR_FULL, "most 0", claim(1, "a", &taken, &err));
    const uint64_t revision = wants_now().revision;
    DO(retry(&err));
    const struct wants wants = wants_now();
    assert_true(wants.revision > revision);
    assert_int_equal(wants.retry_count, 1);
    assert_int_equal(wants.retries[0].retries, 5);
    assert_string_equal(wants.retries[0].adoption.v, report.drives[0].adoption.v);
    report.drives[0].adopt = ADOPT_DONE;
    report.drives[0].retries = 5;
    DO(send(&err));
    assert_int_equal(wants_now().retry_count, 0);
    DO(claim(1, "a", &taken, &err));
}

static void test_refusals(void **state)
{
    (void)state;
    char longer[DRAIN_WHY_MAX + 1];
    memset(longer, 'x', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = '\0';
    REFUSED(ERR_CONFLICT, "not adopted", drain("", &err));
    REFUSED(ERR_CONFLICT, "not adopted", resume(false, &err));
    all_free();
    REFUSED(ERR_INPUT, "longer than", drain(longer, &err));
    REFUSED(ERR_MISSING, "cannot find drive", service_drain(&service, "NONE", &h1, "", NOW_MS, &row, &err));
    REFUSED(ERR_MISSING, "cannot find drive", service_resume(&service, "NONE", &h2, false, &row, &err));
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_person_drains_and_resumes),
        TEST(test_tenants_keep_what_they_have),
        TEST(test_bad_health_drains),
        TEST(test_health_is_resumed_only_by_that_word),
        TEST(test_temperature_has_a_memory),
        TEST(test_limits_of_this_server_count_at_once),
        TEST(test_unknown_health_serves),
        TEST(test_drive_at_fault_is_retried),
        TEST(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
