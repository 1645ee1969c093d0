#include "base/text.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

static void test_copy(void **state)
{
    (void)state;
    static const struct {
        const char *rule, *from;
        size_t size;
        bool fits;
        const char *copied, *cut;
    } rows[] = {
        {"a text with room", "abc", 8, true, "abc", "abc"},
        {"an exact fit with its end", "abc", 4, true, "abc", "abc"},
        {"one character too many is refused, and cut", "abcd", 4, false, "", "abc"},
        {"far too many", "abcdefghijkl", 4, false, "", "abc"},
        {"the empty text", "", 1, true, "", ""},
        {"no room but for the end", "a", 1, false, "", ""},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        char to[16];
        memset(to, '#', sizeof(to));
        const bool fits = text_copy(to, rows[i].size, rows[i].from);
        if (fits != rows[i].fits || strcmp(to, rows[i].copied) != 0 || to[rows[i].size] != '#')
            fail_msg("%s: got %d '%s', want %d '%s'", rows[i].rule, fits, to, rows[i].fits, rows[i].copied);
        memset(to, '#', sizeof(to));
        text_cut(to, rows[i].size, rows[i].from);
        if (strcmp(to, rows[i].cut) != 0 || to[rows[i].size] != '#')
            fail_msg("%s: got '%s', want '%s'", rows[i].rule, to, rows[i].cut);
    }
    char self[8] = "abcdef"; /* source and target may be one */
    text_cut(self, 4, self);
    assert_string_equal(self, "abc");
    assert_true(text_copy(self, sizeof(self), self + 1));
    assert_string_equal(self, "bc");
}

static void test_u64(void **state)
{
    (void)state;
    static const struct {
        const char *rule, *text;
        bool ok;
        uint64_t value;
    } rows[] = {
        {"zero", "0", true, 0},
        {"a number", "1234567890", true, 1234567890},
        {"the largest number", "18446744073709551615", true, UINT64_MAX},
        {"one more", "18446744073709551616", false, 0},
        {"ten times more", "184467440737095516150", false, 0},
        {"the empty text", "", false, 0},
        {"a plus", "+1", false, 0},
        {"a minus", "-1", false, 0},
        {"a space before", " 1", false, 0},
        {"a space after", "1 ", false, 0},
        {"a leading zero", "01", false, 0},
        {"two zeros", "00", false, 0},
        {"hexadecimal", "0x10", false, 0},
        {"a fraction", "1.5", false, 0},
        {"a suffix", "1G", false, 0},
        {"below the digits", "1/", false, 0},
        {"above the digits", "1:", false, 0},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        uint64_t got = 77;
        const bool ok = text_u64(rows[i].text, &got);
        if (ok != rows[i].ok || got != (ok ? rows[i].value : 77))
            fail_msg("%s: got %d %" PRIu64, rows[i].rule, ok, got);
    }
}

static void test_size(void **state)
{
    (void)state;
    static const struct {
        const char *rule, *text;
        bool ok;
        uint64_t bytes;
    } rows[] = {
        {"bytes without a suffix", "4096", true, 4096},
        {"bytes", "4096B", true, 4096},
        {"K is SI", "2K", true, 2000},
        {"KB is SI", "2KB", true, 2000},
        {"KiB", "2KiB", true, 2048},
        {"M", "3M", true, 3000000},
        {"MB", "3MB", true, 3000000},
        {"MiB", "3MiB", true, 3145728},
        {"500G is 500,000,000,000", "500G", true, 500000000000},
        {"GB", "500GB", true, 500000000000},
        {"465GiB is 465 x 2^30", "465GiB", true, 499289948160},
        {"T", "2T", true, 2000000000000},
        {"TB", "2TB", true, 2000000000000},
        {"TiB", "2TiB", true, 2199023255552},
        {"zero is a size", "0G", true, 0},
        {"the largest that fits", "16777215TiB", true, 16777215ull << 40},
        {"one more does not", "16777216TiB", false, 0},
        {"no number", "G", false, 0},
        {"the empty text", "", false, 0},
        {"a space between", "500 G", false, 0},
        {"a fraction", "1.5G", false, 0},
        {"a lower-case suffix", "500g", false, 0},
        {"half a suffix", "500Gi", false, 0},
        {"an unknown suffix", "1P", false, 0},
        {"something behind the suffix", "500GB ", false, 0},
        {"a minus", "-5G", false, 0},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        uint64_t got = 77;
        const bool ok = text_size(rows[i].text, &got);
        if (ok != rows[i].ok || got != (ok ? rows[i].bytes : 77))
            fail_msg("%s: got %d %" PRIu64, rows[i].rule, ok, got);
    }
}

static void test_for_people(void **state)
{
    (void)state;
    static const struct {
        uint64_t bytes;
        const char *gib, *gb;
    } rows[] = {
        {0, "0 B", "0 B"},
        {999, "999 B", "999 B"},
        {1000, "1000 B", "1.0 kB"},
        {1023, "1023 B", "1.0 kB"},
        {1024, "1.0 KiB", "1.0 kB"},
        {1536, "1.5 KiB", "1.5 kB"},
        {1048575, "1023.9 KiB", "1.0 MB"},
        {499289948160, "465.0 GiB", "499.2 GB"},
        {2000398934016, "1.8 TiB", "2.0 TB"},
        {2047ull << 40, "2047.0 TiB", "2250.7 TB"},
        {UINT64_MAX, "16777215.9 TiB", "18446744.0 TB"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        char gib[TEXT_SIZE_MAX], gb[TEXT_SIZE_MAX];
        assert_ptr_equal(text_gib(gib, rows[i].bytes), gib);
        assert_ptr_equal(text_gb(gb, rows[i].bytes), gb);
        assert_string_equal(gib, rows[i].gib);
        assert_string_equal(gb, rows[i].gb);
    }
}

static void test_hex(void **state)
{
    (void)state;
    static const uint8_t bytes[] = {0x00, 0x01, 0x7f, 0x80, 0xab, 0xff};
    char text[2 * sizeof(bytes) + 1];
    text_hex(text, bytes, sizeof(bytes));
    assert_string_equal(text, "00017f80abff");
    text_hex(text, bytes, 0);
    assert_string_equal(text, "");
    static const struct {
        const char *rule, *text;
        bool ok;
    } rows[] = {
        {"digits", "00017f80abff", true},
        {"upper case too", "00017F80ABFF", true},
        {"one digit short", "00017f80abf", false},
        {"one digit more", "00017f80abff0", false},
        {"two digits more", "00017f80abff00", false},
        {"a wrong digit at the end", "00017f80abfg", false},
        {"a wrong digit at the start", "g0017f80abff", false},
        {"0x", "0x017f80abff", false},
        {"the empty text", "", false},
        {"a space", "00 17f80abff", false},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        uint8_t got[sizeof(bytes)];
        memset(got, 0x5a, sizeof(got));
        const bool ok = text_unhex(got, sizeof(got), rows[i].text);
        if (ok != rows[i].ok)
            fail_msg("%s: got %d", rows[i].rule, ok);
        if (ok)
            assert_memory_equal(got, bytes, sizeof(bytes));
        else
            for (size_t b = 0; b < sizeof(got); b++)
                assert_int_equal(got[b], 0x5a);
    }
    for (unsigned byte = 0; byte < 256; byte++) {
        const uint8_t from = (uint8_t)byte;
        uint8_t back;
        char hex[3];
        text_hex(hex, &from, 1);
        assert_true(text_unhex(&back, 1, hex));
        assert_int_equal(back, from);
    }
}

static void test_names(void **state)
{
    (void)state;
    static const struct {
        const char *rule, *text;
        size_t max;
        bool name, printable;
    } rows[] = {
        {"letters, digits and marks", "vm-1_a.B9", 20, true, true},
        {"one character", "a", 1, true, true},
        {"as long as may be", "abcd", 4, true, true},
        {"one character too long", "abcde", 4, false, false},
        {"the empty text", "", 4, false, false},
        {"a digit first", "9a", 4, true, true},
        {"a dot first", ".a", 4, false, true},
        {"a hyphen first", "-a", 4, false, true},
        {"an underscore first", "_a", 4, false, true},
        {"a slash", "a/b", 4, false, true},
        {"a space", "a b", 4, false, true},
        {"an at sign, just below A", "a@b", 4, false, true},
        {"a bracket, just above Z", "a[b", 4, false, true},
        {"a backquote, just below a", "a`b", 4, false, true},
        {"a brace, just above z", "a{b", 4, false, true},
        {"a colon, just above 9", "a:b", 4, false, true},
        {"a tilde is printable", "~", 4, false, true},
        {"a newline", "a\n", 4, false, false},
        {"DEL", "a\x7f", 4, false, false},
        {"a byte above ASCII", "a\xc3\xa4", 4, false, false},
        {"a control character", "a\x1f", 4, false, false},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        if (text_is_name(rows[i].text, rows[i].max) != rows[i].name)
            fail_msg("%s: a name? want %d", rows[i].rule, rows[i].name);
        if (text_is_printable(rows[i].text, rows[i].max) != rows[i].printable)
            fail_msg("%s: printable? want %d", rows[i].rule, rows[i].printable);
    }
}

static void test_distance(void **state)
{
    (void)state;
    static const struct {
        const char *a, *b;
        unsigned distance;
    } rows[] = {
        {"", "", 0},
        {"abc", "abc", 0},
        {"abc", "", 3},
        {"abc", "abd", 1},
        {"abc", "abcd", 1},
        {"abc", "bc", 1},
        {"kitten", "sitting", 3},
        {"flavor", "flavour", 1},
        {"ab", "ba", 2},
        {"Saturday", "Sunday", 3},
        {"intention", "execution", 5},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        if (text_distance(rows[i].a, rows[i].b) != rows[i].distance)
            fail_msg("'%s' and '%s': got %u, want %u", rows[i].a, rows[i].b, text_distance(rows[i].a, rows[i].b),
                     rows[i].distance);
        assert_int_equal(text_distance(rows[i].b, rows[i].a), rows[i].distance);
    }
    char longest[65], longer[81];
    memset(longest, 'a', sizeof(longest));
    longest[64] = '\0';
    memset(longer, 'a', sizeof(longer));
    longer[80] = '\0';
    assert_int_equal(text_distance(longest, longest), 0);
    assert_int_equal(text_distance(longest, ""), 64);
    assert_int_equal(text_distance(longer, longer), 64); /* beyond 64 characters everything is far */
    assert_int_equal(text_distance("a", longer), 64);
}

static void test_glob(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *text;
        bool fits;
    } rows[] = {
        {"", "", true},
        {"", "a", false},
        {"*", "", true},
        {"*", "anything", true},
        {"abc", "abc", true},
        {"abc", "abcd", false},
        {"abcd", "abc", false},
        {"abc", "ABC", false},
        {"a?c", "abc", true},
        {"a?c", "ac", false},
        {"?", "", false},
        {"a*", "a", true},
        {"*c", "abc", true},
        {"*c", "abcd", false},
        {"a*c", "abcbc", true},
        {"a*bc*e", "abcbcde", true},
        {"a**e", "ae", true},
        {"*ab*ab*", "xabyabz", true},
        {"*ab*ab*", "xabyaz", false},
        {"*?", "", false},
        {"[a]", "a", false}, /* no classes: brackets are themselves */
        {"[a]", "[a]", true},
        {"SAMSUNG MZ*", "SAMSUNG MZQL21T9HCJR-00A07", true},
        {"0000:4?:00.?", "0000:41:00.0", true},
        {"a*a*a*a*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false},
    };
    for (size_t i = 0; i < COUNT(rows); i++)
        if (text_glob(rows[i].pattern, rows[i].text) != rows[i].fits)
            fail_msg("'%s' and '%s': got %d", rows[i].pattern, rows[i].text, !rows[i].fits);
}

static void test_uuid(void **state)
{
    (void)state;
    char text[TEXT_UUID_SIZE];
    text_uuid(text, 0, 0);
    assert_string_equal(text, "00000000-0000-4000-8000-000000000000");
    text_uuid(text, UINT64_MAX, UINT64_MAX);
    assert_string_equal(text, "ffffffff-ffff-4fff-bfff-ffffffffffff");
    text_uuid(text, 0x0123456789abcdef, 0xfedcba9876543210);
    assert_string_equal(text, "01234567-89ab-4def-bedc-ba9876543210");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_copy),       cmocka_unit_test(test_u64),  cmocka_unit_test(test_size),
        cmocka_unit_test(test_for_people), cmocka_unit_test(test_hex),  cmocka_unit_test(test_names),
        cmocka_unit_test(test_distance),   cmocka_unit_test(test_uuid), cmocka_unit_test(test_glob),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
