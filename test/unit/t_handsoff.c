/* The rules that keep the host off the slices: agent/handsoff.h. That udev understands them, test/host/t_guestwrites.sh
 * shows. */
#include "agent/handsoff.h"

#include "base/text.h"
#include "tree.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[64], path[96], text[HANDSOFF_TEXT_MAX];
static struct host host;

static int setup(void **state)
{
    (void)state;
    snprintf(dir, sizeof(dir), "/tmp/t_handsoff.XXXXXX");
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/%s", dir, HANDSOFF_FILE);
    memset(&host, 0, sizeof(host));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    remove_tree(dir);
    return 0;
}

static struct host_drive *add(const char *serial, const char *model, enum adopt adopt)
{
    struct host_drive *drive = &host.drives[host.drive_count++];
    *drive = (struct host_drive){.adopt = adopt};
    text_cut(drive->ident.serial, sizeof(drive->ident.serial), serial);
    text_cut(drive->ident.model, sizeof(drive->ident.model), model);
    return drive;
}

static void test_who_is_named(void **state)
{
    (void)state;
    handsoff_text(&host, text);
    assert_string_equal(text, "");
    for (int adopt = 0; adopt < ADOPT_COUNT; adopt++)
        add(adopt_word((enum adopt)adopt), "M 1", (enum adopt)adopt);
    handsoff_text(&host, text);
    const enum adopt ours[] = {ADOPT_CUTTING, ADOPT_DONE, ADOPT_FAULT};
    size_t named = 0;
    for (int adopt = 0; adopt < ADOPT_COUNT; adopt++) {
        char line[160];
        snprintf(line, sizeof(line), "\nATTRS{serial}==\"%s\", ATTRS{model}==\"M 1\", GOTO=\"nsmith_slice\"\n",
                 adopt_word((enum adopt)adopt));
        bool want = false;
        for (size_t i = 0; i < 3; i++)
            want = want || ours[i] == (enum adopt)adopt;
        if ((strstr(text, line) != NULL) != want)
            fail_msg("a drive that is %s: got %s", adopt_word((enum adopt)adopt), want ? "nothing" : "named");
        named += want;
    }
    assert_int_equal(named, 3);
}

static void test_hostile_names(void **state)
{
    (void)state;
    static const struct {
        const char *serial, *pattern;
    } rows[] = {
        {"S64-A_b.1:2", "S64-A_b.1:2"},
        {"a\"b", "a?b"},
        {"a\", RUN+=\"x\"", "a?? RUN???x?"},
        {"a*b", "a?b"},
        {"a|b", "a?b"},
        {"[a]", "?a?"},
        {"a\\b", "a?b"},
        {"$attr{x}%k", "?attr?x??k"},
        {"a\nb", "a?b"},
        {" a", " a"},
        {"\xc3\xa4", "??"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char want[80];
        host.drive_count = 0;
        add(rows[i].serial, "", ADOPT_DONE);
        handsoff_text(&host, text);
        snprintf(want, sizeof(want), "\nATTRS{serial}==\"%s\", GOTO=\"nsmith_slice\"\n", rows[i].pattern);
        if (strstr(text, want) == NULL)
            fail_msg("'%s': got\n%s", rows[i].serial, text);
    }
}

static void test_the_largest_host(void **state)
{
    (void)state;
    for (int i = 0; i < HOST_DRIVES_MAX; i++)
        add("12345678901234567890", "1234567890123456789012345678901234567890", ADOPT_DONE);
    handsoff_text(&host, text);
    assert_non_null(strstr(text, "LABEL=\"nsmith_end\"\n"));
}

static void test_written_only_when_it_differs(void **state)
{
    (void)state;
    struct err err = {0};
    bool changed = true;
    assert_true(handsoff_sync(dir, &host, &changed, &err));
    assert_false(changed);
    assert_int_equal(access(path, F_OK), -1);
    add("S1", "M", ADOPT_DONE);
    assert_true(handsoff_sync(dir, &host, &changed, &err));
    assert_true(changed);
    assert_true(handsoff_sync(dir, &host, &changed, &err));
    assert_false(changed);
    FILE *file = fopen(path, "a");
    assert_non_null(file);
    assert_true(fputs("# somebody\n", file) >= 0);
    fclose(file);
    assert_true(handsoff_sync(dir, &host, &changed, &err));
    assert_true(changed);
    host.drive_count = 0;
    assert_true(handsoff_sync(dir, &host, &changed, &err));
    assert_true(changed);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, 0);
    assert_int_equal(st.st_mode & 0777, 0644);
}

static void test_cannot_be_written(void **state)
{
    (void)state;
    struct err err = {0};
    bool changed = true;
    add("S1", "M", ADOPT_DONE);
    assert_false(handsoff_sync("/proc/nowhere", &host, &changed, &err));
    assert_false(changed);
    assert_true(err.hint[0] != '\0');
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_who_is_named),      TEST(test_hostile_names),
        TEST(test_the_largest_host),  TEST(test_written_only_when_it_differs),
        TEST(test_cannot_be_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
