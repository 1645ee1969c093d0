/* Is a drive fit for new tenants? Each row is a sentence of core/health.h. */
#include "core/health.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define KNOWN .known = true, .spare_percent = 100, .spare_threshold_percent = 10
#define C(celsius) ((celsius) + 273)

static const struct {
    const char *rule;
    struct drive_health health;
    enum health_level level;
    uint32_t drains, warns;
} rows[] = {
    {"a healthy drive is ok", {KNOWN, .temperature_k = C(35)}, HEALTH_OK, 0, 0},
    {"never read: unknown, which does not drain", {.known = false}, HEALTH_UNKNOWN, 0, 0},
    {"critical warning bit 0, spare: drains",
     {KNOWN, .critical_warning = 1 << 0},
     HEALTH_DRAIN,
     HEALTH_BIT(HEALTH_CW_SPARE),
     0},
    {"critical warning bit 1, temperature: drains",
     {KNOWN, .critical_warning = 1 << 1},
     HEALTH_DRAIN,
     HEALTH_BIT(HEALTH_CW_TEMPERATURE),
     0},
    {"critical warning bit 2, reliability: drains",
     {KNOWN, .critical_warning = 1 << 2},
     HEALTH_DRAIN,
     HEALTH_BIT(HEALTH_CW_RELIABILITY),
     0},
    {"critical warning bit 3, read-only: drains",
     {KNOWN, .critical_warning = 1 << 3},
     HEALTH_DRAIN,
     HEALTH_BIT(HEALTH_CW_READ_ONLY),
     0},
    {"critical warning bit 4, backup of volatile memory: warns",
     {KNOWN, .critical_warning = 1 << 4},
     HEALTH_WARN,
     0,
     HEALTH_BIT(HEALTH_CW_BACKUP)},
    {"critical warning bit 5, persistent memory region: warns",
     {KNOWN, .critical_warning = 1 << 5},
     HEALTH_WARN,
     0,
     HEALTH_BIT(HEALTH_CW_PMR)},
    {"critical warning bit 6 is reserved: warns",
     {KNOWN, .critical_warning = 1 << 6},
     HEALTH_WARN,
     0,
     HEALTH_BIT(HEALTH_CW_RESERVED)},
    {"critical warning bit 7 is reserved: warns",
     {KNOWN, .critical_warning = 1 << 7},
     HEALTH_WARN,
     0,
     HEALTH_BIT(HEALTH_CW_RESERVED)},
    {"two bits are two reasons",
     {KNOWN, .critical_warning = 1 << 2 | 1 << 3},
     HEALTH_DRAIN,
     HEALTH_BIT(HEALTH_CW_RELIABILITY) | HEALTH_BIT(HEALTH_CW_READ_ONLY),
     0},
    {"a warning beside a drain: drains",
     {KNOWN, .critical_warning = 1 << 3 | 1 << 5},
     HEALTH_DRAIN,
     HEALTH_BIT(HEALTH_CW_READ_ONLY),
     HEALTH_BIT(HEALTH_CW_PMR)},
    {"spare below the drive's threshold drains, bit 0 or not",
     {.known = true, .spare_percent = 9, .spare_threshold_percent = 10},
     HEALTH_DRAIN,
     HEALTH_BIT(HEALTH_SPARE),
     0},
    {"spare at the threshold warns",
     {.known = true, .spare_percent = 10, .spare_threshold_percent = 10},
     HEALTH_WARN,
     0,
     HEALTH_BIT(HEALTH_SPARE_NEAR)},
    {"spare 9 % above warns",
     {.known = true, .spare_percent = 19, .spare_threshold_percent = 10},
     HEALTH_WARN,
     0,
     HEALTH_BIT(HEALTH_SPARE_NEAR)},
    {"spare 10 % above is ok", {.known = true, .spare_percent = 20, .spare_threshold_percent = 10}, HEALTH_OK, 0, 0},
    {"no spare and no threshold: the drive does not say", {.known = true}, HEALTH_OK, 0, 0},
    {"89 % used is ok", {KNOWN, .used_percent = 89}, HEALTH_OK, 0, 0},
    {"90 % used warns", {KNOWN, .used_percent = 90}, HEALTH_WARN, 0, HEALTH_BIT(HEALTH_WORN_NEAR)},
    {"99 % used warns", {KNOWN, .used_percent = 99}, HEALTH_WARN, 0, HEALTH_BIT(HEALTH_WORN_NEAR)},
    {"100 % used drains", {KNOWN, .used_percent = 100}, HEALTH_DRAIN, HEALTH_BIT(HEALTH_WORN), 0},
    {"255 % used (more cannot be said) drains", {KNOWN, .used_percent = 255}, HEALTH_DRAIN, HEALTH_BIT(HEALTH_WORN), 0},
    {"one media error warns", {KNOWN, .media_errors = 1}, HEALTH_WARN, 0, HEALTH_BIT(HEALTH_MEDIA_ERRORS_SOME)},
    {"99 media errors warn", {KNOWN, .media_errors = 99}, HEALTH_WARN, 0, HEALTH_BIT(HEALTH_MEDIA_ERRORS_SOME)},
    {"100 media errors drain", {KNOWN, .media_errors = 100}, HEALTH_DRAIN, HEALTH_BIT(HEALTH_MEDIA_ERRORS), 0},
    {"media errors beyond 32 bits drain",
     {KNOWN, .media_errors = 1ull << 40},
     HEALTH_DRAIN,
     HEALTH_BIT(HEALTH_MEDIA_ERRORS),
     0},
    {"69 degrees is ok", {KNOWN, .temperature_k = C(69)}, HEALTH_OK, 0, 0},
    {"70 degrees warns", {KNOWN, .temperature_k = C(70)}, HEALTH_WARN, 0, HEALTH_BIT(HEALTH_WARM)},
    {"79 degrees warns", {KNOWN, .temperature_k = C(79)}, HEALTH_WARN, 0, HEALTH_BIT(HEALTH_WARM)},
    {"80 degrees drains", {KNOWN, .temperature_k = C(80)}, HEALTH_DRAIN, HEALTH_BIT(HEALTH_HOT), 0},
    {"0 K is no sensor", {KNOWN, .temperature_k = 0}, HEALTH_OK, 0, 0},
    {"a drive in the cold is ok", {KNOWN, .temperature_k = C(-10)}, HEALTH_OK, 0, 0},
};

static void expect(const char *rule, const struct health_state *got, enum health_level level, uint32_t drains,
                   uint32_t warns)
{
    if (got->level != level || got->drains != drains || got->warns != warns)
        fail_msg("%s: got %s drains %x warns %x, want %s drains %x warns %x", rule, health_level_words[got->level],
                 got->drains, got->warns, health_level_words[level], drains, warns);
}

static void test_judged_by_defaults(void **state)
{
    (void)state;
    const struct health_state nothing = {0};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct health_state got = health_judge(&rows[i].health, &health_defaults, &nothing);
        expect(rows[i].rule, &got, rows[i].level, rows[i].drains, rows[i].warns);
    }
}

/* One drive, read again and again. 0 degrees: its log could not be read. */
static const struct {
    const char *rule;
    int celsius;
    uint8_t warning;
    uint32_t drains;
} story[] = {
    {"it warms up", 79, 0, 0},
    {"it is too hot", 80, 0, HEALTH_BIT(HEALTH_HOT)},
    {"one degree less is not cool", 79, 0, HEALTH_BIT(HEALTH_HOT)},
    {"four degrees less is not cool", 76, 0, HEALTH_BIT(HEALTH_HOT)},
    {"silence heals nothing", 0, 0, HEALTH_BIT(HEALTH_HOT)},
    {"five degrees less is cool", 75, 0, 0},
    {"and now it is not hot before the limit", 79, 0, 0},
    {"the drive's own limit", 70, 2, HEALTH_BIT(HEALTH_CW_TEMPERATURE)},
    {"the drive says it is over, but it is warm", 66, 0, HEALTH_BIT(HEALTH_CW_TEMPERATURE)},
    {"it has cooled down", 65, 0, 0},
    {"silence makes nothing bad either", 0, 0, 0},
};

static void test_temperature_does_not_flap(void **state)
{
    (void)state;
    struct health_state last = {0};
    for (size_t i = 0; i < sizeof(story) / sizeof(story[0]); i++) {
        const struct drive_health health = {.known = story[i].celsius != 0,
                                            .spare_percent = 100,
                                            .critical_warning = story[i].warning,
                                            .temperature_k = (uint16_t)C(story[i].celsius)};
        last = health_judge(&health, &health_defaults, &last);
        if (last.drains != story[i].drains)
            fail_msg("%s: got drains %x, want %x", story[i].rule, last.drains, story[i].drains);
    }
}

static void test_limits_can_be_off_or_stricter(void **state)
{
    (void)state;
    const struct health_limits off = {0}, strict = {.unknown_drains = true, .used_drain_percent = 10};
    const struct health_state nothing = {0};
    const struct drive_health bad = {KNOWN, .used_percent = 200, .media_errors = 1000, .temperature_k = C(120)};
    const struct drive_health used = {KNOWN, .used_percent = 10}, never = {0};
    struct health_state got = health_judge(&bad, &off, &nothing);
    expect("a limit of 0 is off", &got, HEALTH_OK, 0, 0);
    got = health_judge(&used, &strict, &nothing);
    expect("a lower limit drains earlier", &got, HEALTH_DRAIN, HEALTH_BIT(HEALTH_WORN), 0);
    got = health_judge(&never, &strict, &nothing);
    expect("never read drains where that is wanted", &got, HEALTH_DRAIN, HEALTH_BIT(HEALTH_SILENT), 0);
    got = health_judge(&never, &off, &got);
    expect("and no more when it is not wanted any more", &got, HEALTH_UNKNOWN, 0, 0);
}

static void test_a_person_accepts_reasons(void **state)
{
    (void)state;
    const uint32_t worn = HEALTH_BIT(HEALTH_WORN), errors = HEALTH_BIT(HEALTH_MEDIA_ERRORS);
    struct health_state drive = {.level = HEALTH_DRAIN, .drains = worn};
    assert_int_equal(health_drains(&drive, 0), worn);
    assert_int_equal(health_drains(&drive, worn), 0);
    drive.drains |= errors;
    assert_int_equal(health_drains(&drive, worn), errors); /* a new reason drains */
    drive.drains = errors;
    assert_int_equal(health_accepted(&drive, worn), 0); /* one that went away is not accepted for ever */
    assert_int_equal(health_accepted(&drive, errors | worn), errors);
}

static void test_reasons_in_words(void **state)
{
    (void)state;
    const struct drive_health health = {KNOWN, .used_percent = 101, .temperature_k = C(81)};
    char text[400], tiny[8];
    health_explain(HEALTH_BIT(HEALTH_WORN) | HEALTH_BIT(HEALTH_HOT), &health, text, sizeof(text));
    assert_string_equal(text, "it is worn out (101 % used); it is too hot (81 degrees Celsius)");
    health_explain(0, &health, text, sizeof(text));
    assert_string_equal(text, "");
    health_explain(~0u, &health, tiny, sizeof(tiny)); /* cut, ended */
    assert_int_equal(strlen(tiny), sizeof(tiny) - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_judged_by_defaults),
        cmocka_unit_test(test_temperature_does_not_flap),
        cmocka_unit_test(test_limits_can_be_off_or_stricter),
        cmocka_unit_test(test_a_person_accepts_reasons),
        cmocka_unit_test(test_reasons_in_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
