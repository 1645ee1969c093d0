/* cli/cli_text.h: paths, confirmations, percents, times; cli/cli_explain.h. */
#include "cli/cli_explain.h"
#include "cli/cli_text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void url_parts_are_encoded(void **state)
{
    static const struct {
        const char *rule, *name, *want;
    } rows[] = {
        {"letters, digits and -._~ stay", "Ab9-._~", "/v1/vms/Ab9-._~"},
        {"a slash adds no part", "a/b", "/v1/vms/a%2Fb"},
        {"a question mark begins no query", "a?dry_run=true", "/v1/vms/a%3Fdry_run%3Dtrue"},
        {"a percent sign is no code", "%2F", "/v1/vms/%252F"},
        {"spaces and bytes above 7Fh", "a \xc3\xa4", "/v1/vms/a%20%C3%A4"},
        {"one dot is no folder", ".", "/v1/vms/%2E"},
        {"two dots are no folder", "..", "/v1/vms/%2E%2E"},
        {"a newline ends no request line", "a\r\nX: y", "/v1/vms/a%0D%0AX%3A%20y"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct url url = url_make("/v1/vms");
        url_part(&url, rows[i].name);
        if (strcmp(url.text, rows[i].want) != 0 || url.full)
            fail_msg("%s: got '%s', want '%s'", rows[i].rule, url.text, rows[i].want);
    }
}

static void url_queries_are_encoded_and_left_out_when_empty(void **state)
{
    struct url url = url_make("/v1/slices");
    (void)state;
    url_query(url_query(&url, "host", NULL), "drive", "");
    assert_string_equal(url.text, "/v1/slices");
    url_query(url_query(&url, "host", "a&b"), "state", "free");
    assert_string_equal(url.text, "/v1/slices?host=a%26b&state=free");
    url_tail(&url, "#");
    assert_false(url.full);
}

static void a_url_that_does_not_fit_is_marked(void **state)
{
    char name[700];
    struct url url = url_make("/v1/vms");
    (void)state;
    memset(name, 'x', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    url_part(&url, name);
    assert_true(url.full);
    assert_true(strlen(url.text) < sizeof(url.text));
}

static void a_confirmation_is_the_last_four_characters_or_all(void **state)
{
    static const struct {
        const char *rule, *full, *typed;
        bool want;
    } rows[] = {
        {"the last four", "PHLJ0001", "0001", true},
        {"all of it", "PHLJ0001", "PHLJ0001", true},
        {"the last three are not enough", "PHLJ0001", "001", false},
        {"the last five are neither", "PHLJ0001", "J0001", false},
        {"upper and lower case differ", "PHLJabcd", "ABCD", false},
        {"nothing typed", "PHLJ0001", "", false},
        {"a name of four needs all of it", "ab12", "ab12", true},
        {"a name of two needs all of it", "ab", "ab", true},
        {"a name of two, half of it", "ab", "b", false},
        {"a drive without a serial cannot be confirmed", "", "", false},
        {"spaces are not taken off", "PHLJ0001", "0001 ", false},
        {"another drive's", "PHLJ0001", "0002", false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (confirm_matches(rows[i].full, rows[i].typed) != rows[i].want)
            fail_msg("%s: got %d, want %d", rows[i].rule, !rows[i].want, rows[i].want);
}

static void percents_become_parts_of_a_million(void **state)
{
    static const struct {
        const char *text;
        long want; /* -1: refused */
    } rows[] = {{"1", 10000},    {"0", 0},   {"0.5", 5000}, {"1.25", 12500}, {"0.0001", 1}, {"50", 500000},
                {"50.0001", -1}, {"51", -1}, {"", -1},      {".", -1},       {"1.", -1},    {".5", -1},
                {"0.00001", -1}, {"-1", -1}, {"1 ", -1},    {"1%", -1},      {"1e1", -1},   {"1000", -1},
                {"0x1", -1},     {"+1", -1}, {"007", 70000}};
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint32_t ppm = 77;
        const bool ok = text_percent_ppm(rows[i].text, &ppm);
        const long got = ok ? (long)ppm : -1;
        if (got != rows[i].want || (!ok && ppm != 77))
            fail_msg("'%s': got %ld, want %ld", rows[i].text, got, rows[i].want);
    }
}

static void shares_times_and_taming(void **state)
{
    char share[16], when[32], text[] = "a\x1b[31mb\x7f\n\xc3\xa4";
    (void)state;
    assert_string_equal(text_share(share, 219, 1000), "21.9 %");
    assert_string_equal(text_share(share, 0, 0), "0.0 %");
    assert_string_equal(text_share(share, UINT64_MAX, 1), "9999.0 %");
    assert_string_equal(text_time(when, 0), "-");
    assert_string_equal(text_time(when, 1234567890123), "2009-02-13T23:31:30Z");
    assert_string_equal(text_time(when, UINT64_MAX), "-");
    assert_string_equal(text_time(when, 253402300799999), "9999-12-31T23:59:59Z");
    text_tame(text);
    assert_string_equal(text, "a?[31mb??\xc3\xa4");
}

static void one_is_not_many(void **state)
{
    char text[48];
    (void)state;
    assert_string_equal(text_count(text, 0, "slice"), "0 slices");
    assert_string_equal(text_count(text, 1, "slice"), "1 slice");
    assert_string_equal(text_count(text, 2, "slice"), "2 slices");
    assert_string_equal(text_count(text, UINT64_MAX, "slice"), "18446744073709551615 slices");
}

static void every_error_code_is_explained(void **state)
{
    (void)state;
    for (int k = 0; k < ERR_KIND_COUNT; k++) {
        const enum err_kind kind = (enum err_kind)k;
        const struct explain explain = explain_kind(kind);
        char number[16];
        enum err_kind found;
        if (explain.meaning == NULL || strlen(explain.meaning) < 20 || explain.todo == NULL || explain.todo[0] == '\0')
            fail_msg("%s: not explained", err_kind_name(kind));
        assert_true(explain_find(err_kind_name(kind), &found));
        assert_int_equal(found, kind);
        snprintf(number, sizeof(number), "%d", err_kind_exit(kind));
        assert_true(explain_find(number, &found));
        assert_int_equal(err_kind_exit(found), err_kind_exit(kind));
    }
}

static void unknown_codes_are_not_found(void **state)
{
    enum err_kind found = ERR_FULL;
    (void)state;
    assert_false(explain_find("no-such-code", &found));
    assert_false(explain_find("", &found));
    assert_false(explain_find("99", &found));
    assert_int_equal(found, ERR_FULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(url_parts_are_encoded),
        cmocka_unit_test(url_queries_are_encoded_and_left_out_when_empty),
        cmocka_unit_test(a_url_that_does_not_fit_is_marked),
        cmocka_unit_test(a_confirmation_is_the_last_four_characters_or_all),
        cmocka_unit_test(percents_become_parts_of_a_million),
        cmocka_unit_test(shares_times_and_taming),
        cmocka_unit_test(one_is_not_many),
        cmocka_unit_test(every_error_code_is_explained),
        cmocka_unit_test(unknown_codes_are_not_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
