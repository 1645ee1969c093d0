#include "base/err.h"

#include "base/must.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

/* ---- the table of kinds ------------------------------------------------------------------------------------------ */

/* Words, HTTP status and exit code are promises to scripts: written down here a second time on purpose. */
static void test_kinds(void **state)
{
    (void)state;
    static const struct {
        enum err_kind kind;
        const char *name;
        int http, exit_code;
        bool retry;
    } rows[] = {
        {ERR_NONE, "ok", 200, 0, false},
        {ERR_FAILED, "failed", 500, 1, false},
        {ERR_INPUT, "bad-input", 400, 2, false},
        {ERR_MISSING, "not-found", 404, 3, false},
        {ERR_CONFLICT, "conflict", 409, 4, false},
        {ERR_FULL, "does-not-fit", 507, 5, false},
        {ERR_BUSY, "try-again", 503, 6, true},
        {ERR_DEVICE, "device-failed", 502, 7, true},
        {ERR_UNSAFE, "refused-for-safety", 422, 8, false},
        {ERR_DENIED, "not-allowed", 403, 9, false},
    };
    assert_int_equal(COUNT(rows), ERR_KIND_COUNT);
    for (size_t i = 0; i < COUNT(rows); i++) {
        assert_string_equal(err_kind_name(rows[i].kind), rows[i].name);
        assert_int_equal(err_kind_by_name(rows[i].name), rows[i].kind);
        assert_int_equal(err_kind_http(rows[i].kind), rows[i].http);
        assert_int_equal(err_kind_exit(rows[i].kind), rows[i].exit_code);
        assert_int_equal(err_kind_retry(rows[i].kind), rows[i].retry);
    }
    assert_int_equal(err_kind_by_name("no such kind"), ERR_FAILED);
    assert_int_equal(err_kind_by_name(""), ERR_FAILED);
}

/* ---- raising ---------------------------------------------------------------------------------------------------- */

static void test_set_wrap_hint(void **state)
{
    (void)state;
    struct err err = {0};
    assert_false(err_set(&err, ERR_FULL, "cannot place '%s': %d", "vm1", 7));
    assert_int_equal(err.kind, ERR_FULL);
    assert_int_equal(err.sys, 0);
    assert_int_equal(err.nvme, 0);
    assert_string_equal(err.msg, "cannot place 'vm1': 7");
    assert_string_equal(err.hint, "");
    assert_false(err_wrap(&err, "host '%s'", "h1"));
    assert_false(err_wrap(&err, "fleet"));
    assert_string_equal(err.msg, "fleet: host 'h1': cannot place 'vm1': 7");
    assert_int_equal(err.kind, ERR_FULL);
    assert_false(err_hint(&err, "add %d drives", 2));
    assert_false(err_hint(&err, "another hint"));
    assert_string_equal(err.hint, "add 2 drives"); /* the earlier one is kept */
    assert_false(err_wrap(&err, "x"));
    assert_string_equal(err.hint, "add 2 drives");
    err_clear(&err);
    assert_int_equal(err.kind, ERR_NONE);
    assert_string_equal(err.msg, "");
    assert_string_equal(err.hint, "");
}

static void test_errno(void **state)
{
    (void)state;
    static const struct {
        int sys;
        enum err_kind kind;
    } rows[] = {
        {ENAMETOOLONG, ERR_INPUT}, {ENOTDIR, ERR_INPUT},       {EISDIR, ERR_INPUT},      {ELOOP, ERR_INPUT},
        {ENOENT, ERR_MISSING},     {ENODEV, ERR_MISSING},      {ENXIO, ERR_MISSING},     {EEXIST, ERR_CONFLICT},
        {ENOTEMPTY, ERR_CONFLICT}, {EADDRINUSE, ERR_CONFLICT}, {ENOSPC, ERR_FULL},       {EDQUOT, ERR_FULL},
        {EFBIG, ERR_FULL},         {EBUSY, ERR_BUSY},          {ETXTBSY, ERR_BUSY},      {EAGAIN, ERR_BUSY},
        {EINTR, ERR_BUSY},         {ETIMEDOUT, ERR_BUSY},      {ECONNREFUSED, ERR_BUSY}, {ECONNRESET, ERR_BUSY},
        {EHOSTUNREACH, ERR_BUSY},  {ENETUNREACH, ERR_BUSY},    {EMFILE, ERR_BUSY},       {ENFILE, ERR_BUSY},
        {EIO, ERR_DEVICE},         {EREMOTEIO, ERR_DEVICE},    {ENODATA, ERR_DEVICE},    {ENOLINK, ERR_DEVICE},
        {EILSEQ, ERR_DEVICE},      {EUCLEAN, ERR_DEVICE},      {EACCES, ERR_DENIED},     {EPERM, ERR_DENIED},
        {EROFS, ERR_DENIED},       {EINVAL, ERR_FAILED},       {ENOTTY, ERR_FAILED},     {ENOSYS, ERR_FAILED},
        {EPIPE, ERR_FAILED},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct err err = {0};
        char want[200];
        assert_false(err_sys(&err, rows[i].sys, "cannot open '%s'", "/dev/x"));
        if (err.kind != rows[i].kind)
            fail_msg("%s: got %s, want %s", strerror(rows[i].sys), err_kind_name(err.kind),
                     err_kind_name(rows[i].kind));
        assert_int_equal(err.sys, rows[i].sys);
        snprintf(want, sizeof(want), "cannot open '/dev/x': %s", strerror(rows[i].sys));
        assert_string_equal(err.msg, want);
    }
}

/* NVM Express Base 2.0, section 3.3.3.2.1: SCT << 8 | SC. */
static void test_nvme(void **state)
{
    (void)state;
    static const struct {
        const char *rule;
        uint16_t status, code;
        enum err_kind kind;
        const char *text;
    } rows[] = {
        {"generic", 0x002, 0x002, ERR_DEVICE, "Invalid Field in Command"},
        {"opcode", 0x001, 0x001, ERR_DEVICE, "Invalid Command Opcode"},
        {"no capacity", 0x115, 0x115, ERR_FULL, "Namespace Insufficient Capacity"},
        {"no identifier", 0x116, 0x116, ERR_FULL, "Namespace Identifier Unavailable"},
        {"attached already", 0x118, 0x118, ERR_CONFLICT, "Namespace Already Attached"},
        {"not attached", 0x11a, 0x11a, ERR_CONFLICT, "Namespace Not Attached"},
        {"a format runs", 0x084, 0x084, ERR_BUSY, "Format In Progress"},
        {"a sanitize runs", 0x01d, 0x01d, ERR_BUSY, "Sanitize In Progress"},
        {"media", 0x281, 0x281, ERR_DEVICE, "Unrecovered Read Error"},
        {"denied", 0x286, 0x286, ERR_DENIED, "Access Denied"},
        {"Do Not Retry and More are no part of it", 0x6115, 0x115, ERR_FULL, "Namespace Insufficient Capacity"},
        {"unknown", 0x7ff, 0x7ff, ERR_DEVICE, "unknown status"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct err err = {0};
        char want[200];
        assert_false(err_nvme(&err, rows[i].status, "cannot create namespace"));
        snprintf(want, sizeof(want), "cannot create namespace: the drive answered '%s' (0x%03x)", rows[i].text,
                 (unsigned)rows[i].code);
        if (err.kind != rows[i].kind || err.nvme != rows[i].code || strcmp(err.msg, want) != 0)
            fail_msg("%s: got %s %03x '%s', want %s '%s'", rows[i].rule, err_kind_name(err.kind), (unsigned)err.nvme,
                     err.msg, err_kind_name(rows[i].kind), want);
    }
    assert_string_equal(nvme_status_text(0x10a), "Invalid Format");
    assert_string_equal(nvme_status_text(0x3ff), "unknown status");
}

/* ---- messages are cut, never overrun ------------------------------------------------------------------------------
 */

static void test_long_messages(void **state)
{
    (void)state;
    char longest[3 * ERR_MSG_MAX];
    memset(longest, 'x', sizeof(longest));
    longest[sizeof(longest) - 1] = '\0';
    struct {
        struct err err;
        char guard[8];
    } at = {.guard = "guard"};
    err_set(&at.err, ERR_FAILED, "%s", longest);
    assert_int_equal(strlen(at.err.msg), ERR_MSG_MAX - 1);
    err_hint(&at.err, "%s", longest);
    assert_int_equal(strlen(at.err.hint), ERR_HINT_MAX - 1);
    err_wrap(&at.err, "host 'h'");
    assert_int_equal(strlen(at.err.msg), ERR_MSG_MAX - 1);
    assert_memory_equal(at.err.msg, "host 'h': xxx", 13);
    err_wrap(&at.err, "%s", longest);
    assert_int_equal(strlen(at.err.msg), ERR_MSG_MAX - 1);
    err_clear(&at.err);
    err_sys(&at.err, EIO, "%s", longest);
    assert_int_equal(strlen(at.err.msg), ERR_MSG_MAX - 1);
    err_clear(&at.err);
    err_nvme(&at.err, 2, "%s", longest);
    assert_int_equal(strlen(at.err.msg), ERR_MSG_MAX - 1);
    assert_string_equal(at.guard, "guard");
}

/* ---- bugs of the caller end the process -------------------------------------------------------------------------- */

static void bug(unsigned i)
{
    struct err full = {.kind = ERR_INPUT, .msg = "the first"}, empty = {0};
    if (i == 0)
        err_set(&full, ERR_FULL, "the second");
    if (i == 1)
        err_sys(&full, EIO, "the second");
    if (i == 2)
        err_nvme(&full, 2, "the second");
    if (i == 3)
        err_set(&empty, ERR_NONE, "no error");
    if (i == 4)
        err_nvme(&empty, 0, "success");
    if (i == 5)
        err_wrap(&empty, "nothing to wrap");
    if (i == 6)
        err_hint(&empty, "no error to hint at");
    if (i == 7)
        err_kind_name(ERR_KIND_COUNT);
    if (i == 8)
        err_kind_exit(ERR_KIND_COUNT);
    if (i == 9)
        must(1 > 2);
    if (i == 10)
        must_if(true, false);
}

static bool ends_the_process(unsigned i)
{
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        signal(SIGABRT, SIG_DFL);
        dup2(open("/dev/null", O_WRONLY | O_CLOEXEC), STDERR_FILENO);
        bug(i);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

static void test_bugs_end_the_process(void **state)
{
    (void)state;
    for (unsigned i = 0; i <= 10; i++)
        if (!ends_the_process(i))
            fail_msg("bug %u: went on", i);
    assert_false(ends_the_process(11));
    must(2 > 1);
    must_if(false, false);
    must_if(false, true);
    must_if(true, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kinds), cmocka_unit_test(test_set_wrap_hint), cmocka_unit_test(test_errno),
        cmocka_unit_test(test_nvme),  cmocka_unit_test(test_long_messages), cmocka_unit_test(test_bugs_end_the_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
