/* The rules as files: agent/adopt_dir.h. */
#include "agent/adopt_dir.h"

#include "tree.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[64];
static struct adopt_rules rules;

static int setup(void **state)
{
    (void)state;
    snprintf(dir, sizeof(dir), "/tmp/t_adopt_dir.XXXXXX");
    assert_non_null(mkdtemp(dir));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    remove_tree(dir);
    return 0;
}

static void file(const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    FILE *to = fopen(path, "w");
    assert_non_null(to);
    assert_true(fputs(text, to) >= 0);
    assert_int_equal(fclose(to), 0);
}

#define MATCH "[match]\nmodel = *\n"
#define GOOD MATCH "[adopt]\nclass = 500G\n"

static void test_in_the_order_of_their_names(void **state)
{
    (void)state;
    file("20-b.conf", GOOD);
    file("10-a.conf", "[match]\nmodel = A B*\nserial = S?\nplace = 0000:*\nsize_min = 1TB\nsize_max = 2TiB\n"
                      "[adopt]\nas = whole\nclass = 1T\nmax_drives = 3\n");
    file("B.conf", MATCH "[adopt]\nadopt = no\n");
    file("a.conf", GOOD);
    file("c.conf.bak", "rubbish");
    file(".d.conf", "rubbish");
    file("README", "rubbish");
    adopt_dir_load(dir, &rules);
    assert_string_equal(rules.broken, "");
    assert_int_equal(rules.count, 4);
    const char *const names[] = {"10-a", "20-b", "B", "a"};
    for (size_t i = 0; i < 4; i++)
        assert_string_equal(rules.at[i].name.v, names[i]);
    const struct adopt_rule *a = &rules.at[0];
    assert_string_equal(a->model, "A B*");
    assert_string_equal(a->serial, "S?");
    assert_string_equal(a->place, "0000:*");
    assert_true(a->size_min == 1000000000000 && a->size_max == 2ull << 40);
    assert_string_equal(a->class.v, "1T");
    assert_true(a->adopt && a->provider == PROVIDER_WHOLE && a->max_drives == 3);
    assert_true(rules.at[1].adopt && rules.at[1].provider == PROVIDER_NAMESPACE && rules.at[1].max_drives == 0);
    assert_false(rules.at[2].adopt);
}

static void test_one_bad_file_and_none_counts(void **state)
{
    static const struct {
        const char *name, *text, *broken;
    } rows[] = {
        {"50.conf", "[match]\nmodle = x\n",
         "50.conf' line 2: unknown key 'modle' in section [match]; the nearest known key is 'model'"},
        {"50.conf", "[macth]\n", "50.conf' line 1: unknown section [macth]; the nearest known section is [match]"},
        {"50.conf", "model = x\n", "50.conf' line 1: a key stands before the first section"},
        {"50.conf", MATCH "[adopt]\nas = namespaces\n", "50.conf' line 4: 'as': 'namespaces' is not known"},
        {"50.conf", MATCH "[adopt]\nadopt = maybe\n", "'adopt': must be 'yes' or 'no'"},
        {"50.conf", MATCH "[adopt]\nclass = 500G\nmax_drives = 0\n", "'max_drives': must be a whole number from 1"},
        {"50.conf", "[match]\nsize_min = large\n", "'size_min': must be a size"},
        {"50.conf", MATCH, "50.conf': it does not say what for"},
        {"50.conf", "", "50.conf': it matches every drive"},
        {"5 0.conf", GOOD, "its name is no name for a rule"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        file("10.conf", GOOD);
        file(rows[i].name, rows[i].text);
        adopt_dir_load(dir, &rules);
        if (rules.count != 0 || strstr(rules.broken, rows[i].broken) == NULL)
            fail_msg("row %zu: got %zu rules, '%s', want '%s'", i, rules.count, rules.broken, rows[i].broken);
        teardown(state);
        setup(state);
    }
}

static void test_folders(void **state)
{
    (void)state;
    char path[128];
    adopt_dir_load(dir, &rules);
    assert_true(rules.count == 0 && rules.broken[0] == '\0');
    snprintf(path, sizeof(path), "%s/none", dir);
    adopt_dir_load(path, &rules);
    assert_non_null(strstr(rules.broken, "cannot read folder"));
    snprintf(path, sizeof(path), "%s/10.conf", dir);
    assert_int_equal(mkdir(path, 0700), 0);
    adopt_dir_load(dir, &rules); /* a folder with the name of a rule is none */
    assert_string_not_equal(rules.broken, "");
}

static void test_too_many(void **state)
{
    (void)state;
    char name[16];
    for (int i = 0; i <= ADOPT_RULES_MAX; i++) {
        snprintf(name, sizeof(name), "%02d.conf", i);
        file(name, GOOD);
    }
    adopt_dir_load(dir, &rules);
    assert_non_null(strstr(rules.broken, "more than 64 rules"));
    assert_int_equal(rules.count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_in_the_order_of_their_names, setup, teardown),
        cmocka_unit_test_setup_teardown(test_one_bad_file_and_none_counts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_folders, setup, teardown),
        cmocka_unit_test_setup_teardown(test_too_many, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
