#include "soft_fixture.h"

#include <dirent.h>

/* --- Profiles ---------------------------------------------------------------------------------------------------- */

static void test_profile_text(void **state)
{
    (void)state;
    static const struct {
        const char *text, *error, *hint;
    } rows[] = {
        {"capacity = 1TB\n", NULL, NULL},
        {"# all\n\n  capacity=512MiB   # a comment\nnn = 4", NULL, NULL},
        {"", "capacity is missing", ""},
        {"capacity = 1TB\nformat_msec = 5\n", "line 2: there is no key 'format_msec'", "format_ms"},
        {"capacity = 1TB\nnn = 129\n", "line 2: nn: '129' is above the limit 128", ""},
        {"capacity = many\n", "is not a size", ""},
        {"capacity = 17TiB\n", "above the limit", ""},
        {"capacity = 1TB\ncapacity = 1TB\n", "line 2: capacity is given twice", ""},
        {"capacity\n", "line 1: 'capacity' is not of the form", ""},
        {"capacity =\n", "the value is missing", ""},
        {"capacity = 1TB\nfna = 0x100\n", "above the limit", ""},
        {"capacity = 1TB\nfna = 0xzz\n", "is not a number", ""},
        {"capacity = 1TB\nevents = maybe\n", "'maybe' is none of: no, yes", ""},
        {"capacity = 1TB\nlba_format = 500\n", "power of two", ""},
        {"capacity = 1TB\nlba_format = 512 rp=4\n", "too large", ""},
        {"capacity = 1TB\nfactory_lbaf = 5\n", "LBA format that is not there", ""},
        {"capacity = 1TB\ngranularity = 1000\n", "not a multiple", ""},
        {"capacity = 1TB\nns_management = no\nfactory_namespace = no\n", "needs factory_namespace", ""},
        {"capacity = 1TB\nfault = format kind=lied\n", "line 2: cannot read the fault", "kinds are"},
        {"capacity = 1TB\nsanitize = block magic\n", "'magic' is none of", ""},
        {"capacity = 1TB\nhealth = used=90 temperature=45 warning=1\n", NULL, NULL},
        {"capacity = 1TB\nhealth = used=256\n", "'used' is not a number up to 255", ""},
        {"capacity = 1TB\nhealth = worn=5\n", "there is no 'worn'", "there are warning, temperature"},
        {"capacity = 1TB\nfirmware_slots = 8\n", "above the limit 7", ""},
        {"capacity = 1TB\nfirmware_activation = never\n", "none of: at-once, controller-reset", ""},
        {"capacity = 1TB\nfirmware_granularity = 2KiB\n", "multiple of 4096", ""},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct soft_profile profile;
        struct err err = {0};
        const bool ok = soft_profile_parse("p", rows[i].text, strlen(rows[i].text), &profile, &err);
        if (ok != (rows[i].error == NULL))
            fail_msg("'%s': got '%s'", rows[i].text, err.msg);
        if (!ok && (strstr(err.msg, rows[i].error) == NULL || strstr(err.hint, rows[i].hint) == NULL))
            fail_msg("'%s': got '%s' (%s), want '%s' (%s)", rows[i].text, err.msg, err.hint, rows[i].error,
                     rows[i].hint);
    }
}

static const char *profiles_dir(void)
{
    const char *dir = getenv("NSMITH_PROFILES");
    return dir == NULL ? "share/profiles" : dir;
}

static void test_ready_profiles(void **state)
{
    (void)state;
    static const char *const wanted[] = {"p4510-2tb", "p4510-4tb",   "g8gib",      "nn1",  "fna1",         "fna0",
                                         "no-nsmgmt", "liar",        "zero-ids",   "slow", "delete-order", "hits-all",
                                         "tiny",      "sanitize-ns", "reused-ids", NULL};
    DIR *handle = opendir(profiles_dir());
    assert_non_null(handle);
    for (const struct dirent *entry = readdir(handle); entry != NULL; entry = readdir(handle)) {
        struct soft_profile profile;
        struct err err = {0};
        char name[64];
        const size_t len = strlen(entry->d_name);
        if (len < 6 || strcmp(entry->d_name + len - 5, ".conf") != 0)
            continue;
        snprintf(name, sizeof(name), "%.*s", (int)(len - 5), entry->d_name);
        char *text;
        if (!soft_profile_load(profiles_dir(), name, &profile, &text, &err))
            fail_msg("%s", err.msg);
        assert_int_equal(text[0], '#'); /* says what it stands for */
        free(text);
        struct soft_drive *drive = soft_drive_make_mem(&profile, "P", 1);
        check_whole(drive);
        soft_drive_free(drive);
    }
    closedir(handle);
    for (size_t i = 0; wanted[i] != NULL; i++) {
        struct soft_profile profile;
        struct err err = {0};
        if (!soft_profile_load(profiles_dir(), wanted[i], &profile, NULL, &err))
            fail_msg("%s", err.msg);
    }
}

static void test_fault_text(void **state)
{
    (void)state;
    static const struct {
        const char *text, *error;
    } rows[] = {
        {"format kind=lie", NULL},
        {"format nth=3 count=0 kind=status:0x115", NULL},
        {"0xc0 kind=timeout-done", NULL},
        {"", "empty"},
        {"fromat kind=lie", "no command 'fromat'"},
        {"0x1ff kind=lie", "no command"},
        {"format", "kind= is missing"},
        {"format kind=lies", "no kind 'lies'"},
        {"format kind=status:0", "not a status"},
        {"format kind=status:0x800", "not a status"},
        {"format kind=status:0x000", "not a status"},
        {"format nth=0 kind=lie", "'0' is not a number from 1"},
        {"format nth=x kind=lie", "not a number"},
        {"format when=1 kind=lie", "'when=1' is none of"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct soft_fault parsed;
        struct err err = {0};
        const bool ok = soft_fault_parse(rows[i].text, &parsed, &err);
        if (ok != (rows[i].error == NULL) || (!ok && strstr(err.msg, rows[i].error) == NULL))
            fail_msg("'%s': got '%s', want '%s'", rows[i].text, err.msg, rows[i].error);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_profile_text),
        cmocka_unit_test(test_ready_profiles),
        cmocka_unit_test(test_fault_text),
    };
    return cmocka_run_group_tests_name("soft_profile", tests, NULL, NULL);
}
