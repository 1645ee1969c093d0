#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- the line --------------------------------------------------------------------------------------------------- */

static size_t make_line(char to[LOG_LINE_MAX + 1], enum log_level level, int64_t unix_ms, const char *event,
                        const char *fmt, ...) __attribute__((format(printf, 5, 6)));
static size_t make_line(char to[LOG_LINE_MAX + 1], enum log_level level, int64_t unix_ms, const char *event,
                        const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    size_t len = log_line(to, level, unix_ms, event, fmt, ap);
    va_end(ap);
    assert_int_equal(len, strlen(to));
    assert_true(len <= LOG_LINE_MAX);
    assert_ptr_equal(strchr(to, '\n'), to + len - 1); /* one line, and it is ended */
    return len;
}

static void test_heads(void **state)
{
    char line[LOG_LINE_MAX + 1];
    (void)state;
    make_line(line, LOG_LEVEL_ERROR, 1790000000007, "ended", NULL);
    assert_string_equal(line, "2026-09-21T14:13:20.007Z error ended\n");
    make_line(line, LOG_LEVEL_INFO, 0, "started", "host=%s", "a");
    assert_string_equal(line, "1970-01-01T00:00:00.000Z info started host=a\n");
    make_line(line, LOG_LEVEL_ERROR, -1, "ended", NULL);
    assert_string_equal(line, "<3>ended\n");
    make_line(line, LOG_LEVEL_INFO, -1, "ended", NULL);
    assert_string_equal(line, "<6>ended\n");
    make_line(line, LOG_LEVEL_DEBUG, -1, "ended", NULL);
    assert_string_equal(line, "<7>ended\n");
}

static const struct {
    const char *rule, *value, *want;
} values[] = {
    {"a plain value stands as it is", "node7.example:/x,[1]", "node7.example:/x,[1]"},
    {"an empty value is quoted", "", "\"\""},
    {"a value with a space is quoted", "two words", "\"two words\""},
    {"a value cannot forge a field", "a b=c", "\"a b=c\""},
    {"not even without a space", "a=b", "\"a=b\""},
    {"quotes and backslashes are escaped", "a\"b\\", "\"a\\\"b\\\\\""},
    {"a value cannot forge a line", "a\n<3>b", "\"a\\n<3>b\""},
    {"control characters are escaped", "a\x1b[1m\x7f", "\"a\\x1b[1m\\x7f\""},
    {"UTF-8 stands as it is", "caf\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", "caf\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"},
    {"other bytes are escaped", "a\xe9", "\"a\\xe9\""},
    {"overlong forms are escaped", "\xc0\xaf", "\"\\xc0\\xaf\""},
    {"surrogates are escaped", "\xed\xa0\x80", "\"\\xed\\xa0\\x80\""},
    {"C1 control characters are escaped", "\xc2\x9b", "\"\\xc2\\x9b\""},
    {"a cut character is escaped", "\xe2\x82", "\"\\xe2\\x82\""},
};

static void test_values(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        char got[LOG_LINE_MAX + 1], want[256];
        make_line(got, LOG_LEVEL_INFO, -1, "e", "v=%s end=%d", values[i].value, 1);
        snprintf(want, sizeof(want), "<6>e v=%s end=1\n", values[i].want);
        if (strcmp(got, want) != 0)
            fail_msg("%s: got '%s', want '%s'", values[i].rule, got, want);
    }
}

static void test_conversions(void **state)
{
    char line[LOG_LINE_MAX + 1];
    (void)state;
    make_line(line, LOG_LEVEL_INFO, -1, "e", "a=%d b=%u c=%ld d=%lu e=%lld f=%llu g=%jd h=%ju i=%zu j=%td", -1,
              4294967295u, LONG_MIN, ULONG_MAX, LLONG_MIN, ULLONG_MAX, INTMAX_MIN, UINTMAX_MAX, SIZE_MAX, PTRDIFF_MIN);
    assert_string_equal(line, "<6>e a=-1 b=4294967295 c=-9223372036854775808 d=18446744073709551615 "
                              "e=-9223372036854775808 f=18446744073709551615 g=-9223372036854775808 "
                              "h=18446744073709551615 i=18446744073709551615 j=-9223372036854775808\n");
    make_line(line, LOG_LEVEL_INFO, -1, "e", "a=%.2s%s b=%04x c=0x%X d=%u%% e=plain f=%s", "abc", "def", 0xbeu, 0xbeu,
              7u, "x");
    assert_string_equal(line, "<6>e a=abdef b=00be c=0xBE d=7% e=plain f=x\n");
    const char *volatile none = NULL;
    make_line(line, LOG_LEVEL_INFO, -1, "e", "a=%s b=%d", none, 2);
    assert_string_equal(line, "<6>e a=\"\" b=2\n");
}

/* Every length around the limit, for each kind of character that must not be cut in the middle. */
static void test_long_lines(void **state)
{
    static const char *const pieces[] = {"a", "\xc3\xa9", "\xf0\x9f\x98\x80", "\n", " ", "\""};
    (void)state;
    for (size_t p = 0; p < sizeof(pieces) / sizeof(pieces[0]); p++)
        for (size_t offset = 0; offset < 40; offset++) {
            char value[2 * LOG_LINE_MAX] = "", line[LOG_LINE_MAX + 1];
            size_t len = 0;
            while (len < LOG_LINE_MAX - 40 + offset) {
                memcpy(value + len, pieces[p], strlen(pieces[p]));
                len += strlen(pieces[p]);
            }
            value[len] = '\0';
            make_line(line, LOG_LEVEL_INFO, -1, "event", "value=%s more=%s", value, "text");
            const bool quoted = strchr(line, '"') != NULL;
            const char *whole = " more=text\n", *cut = quoted ? "...\"\n" : "...\n";
            const char *end = line + strlen(line);
            if (strcmp(end - strlen(whole), whole) != 0 && strcmp(end - strlen(cut), cut) != 0 &&
                strcmp(end - 4, "...\n") != 0)
                fail_msg("piece %zu, length %zu: got the end '%s'", p, len, end - 12);
        }
}

static void test_cut_exactly(void **state)
{
    char value[2 * LOG_LINE_MAX], line[LOG_LINE_MAX + 1];
    (void)state;
    memset(value, 'x', sizeof(value));
    value[sizeof(value) - 1] = '\0';
    const size_t len = make_line(line, LOG_LEVEL_INFO, -1, "e", "v=%s", value);
    assert_in_range(len, LOG_LINE_MAX - 5, LOG_LINE_MAX);
    assert_string_equal(line + len - 5, "x...\n");
    value[0] = ' ';
    const size_t quoted_len = make_line(line, LOG_LEVEL_INFO, -1, "e", "v=%s", value);
    assert_in_range(quoted_len, LOG_LINE_MAX - 5, LOG_LINE_MAX);
    assert_string_equal(line + quoted_len - 6, "x...\"\n");
}

/* ---- writing ---------------------------------------------------------------------------------------------------- */

/* What log_*() write to stderr, which is a file meanwhile. journal: JOURNAL_STREAM names it. */
static void capture(const char *level, bool journal, bool right, char *to, size_t size)
{
    char stream[64], path[] = "/tmp/t_log.XXXXXX";
    struct stat there;
    const int fd = mkstemp(path), before = dup(STDERR_FILENO);
    assert_true(fd >= 0 && before >= 0);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(fstat(fd, &there), 0);
    snprintf(stream, sizeof(stream), "%ju:%ju", (uintmax_t)there.st_dev, (uintmax_t)there.st_ino + !right);
    assert_int_equal(journal ? setenv("JOURNAL_STREAM", stream, 1) : unsetenv("JOURNAL_STREAM"), 0);
    assert_int_equal(level != NULL ? setenv("NSMITH_LOG", level, 1) : unsetenv("NSMITH_LOG"), 0);
    assert_int_equal(dup2(fd, STDERR_FILENO), STDERR_FILENO);
    errno = ENOSPC;
    log_error("one", "a=%d", 1);
    log_info("two", NULL);
    log_debug("three", "b=%s", "x y");
    const int after = errno;
    assert_int_equal(dup2(before, STDERR_FILENO), STDERR_FILENO);
    assert_int_equal(after, ENOSPC);
    const ssize_t n = pread(fd, to, size - 1, 0);
    assert_true(n >= 0);
    to[n] = '\0';
    close(fd);
    close(before);
}

static void test_writing(void **state)
{
    char got[1024];
    (void)state;
    capture("debug", true, true, got, sizeof(got));
    assert_string_equal(got, "<3>one a=1\n<6>two\n<7>three b=\"x y\"\n");
    capture(NULL, true, true, got, sizeof(got));
    assert_string_equal(got, "<3>one a=1\n<6>two\n");
    capture("error", true, true, got, sizeof(got));
    assert_string_equal(got, "<3>one a=1\n");
    capture("error", true, false, got, sizeof(got)); /* stderr is not that journal any more */
    assert_string_equal(got + strlen("2026-09-21T14:13:20.007"), "Z error one a=1\n");
    capture("error", false, true, got, sizeof(got));
    assert_string_equal(got + strlen("2026-09-21T14:13:20.007"), "Z error one a=1\n");
}

static void test_errno_when_writing_fails(void **state)
{
    (void)state;
    const int before = dup(STDERR_FILENO), full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    assert_true(before >= 0 && full >= 0);
    assert_int_equal(dup2(full, STDERR_FILENO), STDERR_FILENO);
    errno = EIO;
    log_error("one", NULL);
    const int after = errno;
    assert_int_equal(dup2(before, STDERR_FILENO), STDERR_FILENO);
    assert_int_equal(after, EIO);
    close(before);
    close(full);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_heads),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_conversions),
        cmocka_unit_test(test_long_lines),
        cmocka_unit_test(test_cut_exactly),
        cmocka_unit_test(test_writing),
        cmocka_unit_test(test_errno_when_writing_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
