#include "base/ini.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum colour { RED, GREEN, BLUE };
static const char *const colours[] = {"red", "green", "blue"};

struct sample {
    char host[16], state[32];
    uint32_t port, any;
    uint64_t room;
    bool fast;
    enum colour colour;
};

static const struct ini_key keys[] = {
    {INI(INI_TEXT, "agent", "host", struct sample, host), .min = 2},
    {INI(INI_PATH, "agent", "state", struct sample, state)},
    {INI(INI_U32, "http", "port", struct sample, port), .min = 1, .max = 65535},
    {INI(INI_U32, "http", "any", struct sample, any)},
    {INI(INI_SIZE, "http", "room", struct sample, room), .min = 1000, .max = 1ull << 40},
    {INI(INI_BOOL, "http", "fast", struct sample, fast)},
    {INI_WORDS("http", "colour", struct sample, colour, colours)},
};
static const struct ini_map map = INI_MAP(struct sample, keys);

static const struct sample defaults = {.host = "h0", .state = "/s", .port = 1, .any = 7, .room = 9, .colour = BLUE};

static const char *show(const struct sample *sample, char to[256])
{
    snprintf(to, 256, "%s %s %u %u %ju %s %s", sample->host, sample->state, sample->port, sample->any,
             (uintmax_t)sample->room, sample->fast ? "fast" : "slow", colours[sample->colour]);
    return to;
}

/* ---- right texts ------------------------------------------------------------------------------------------------ */

static const struct {
    const char *rule, *text, *want;
} good[] = {
    {"an empty text changes nothing", "", "h0 /s 1 7 9 slow blue"},
    {"comments and blank lines change nothing", "\n# x\n ; y = z\n\t\n[http]\n", "h0 /s 1 7 9 slow blue"},
    {"a key is set", "[agent]\nhost = node7\n", "node7 /s 1 7 9 slow blue"},
    {"spaces around are not part of a value", "[agent]\n  host\t=  a b  \r\n", "a b /s 1 7 9 slow blue"},
    {"no spaces are needed", "[agent]\nhost=node7", "node7 /s 1 7 9 slow blue"},
    {"the value goes to the end of the line", "[agent]\nhost = a=b;c#d\n", "a=b;c#d /s 1 7 9 slow blue"},
    {"a value may be UTF-8", "[agent]\nhost = caf\xc3\xa9\n", "caf\xc3\xa9 /s 1 7 9 slow blue"},
    {"the longest text fits", "[agent]\nhost = 123456789012345\n", "123456789012345 /s 1 7 9 slow blue"},
    {"sections may come again", "[agent]\nhost = a1\n[http]\nport = 2\n[agent]\nstate = /t\n", "a1 /t 2 7 9 slow blue"},
    {"numbers up to their bounds", "[http]\nport = 65535\nany = 4294967295\n", "h0 /s 65535 4294967295 9 slow blue"},
    {"a number without bounds may be 0", "[http]\nany = 0\n", "h0 /s 1 0 9 slow blue"},
    {"sizes have units", "[http]\nroom = 64GiB\n", "h0 /s 1 7 68719476736 slow blue"},
    {"sizes at their bounds", "[http]\nroom = 1TiB\n", "h0 /s 1 7 1099511627776 slow blue"},
    {"yes", "[http]\nfast = yes\n", "h0 /s 1 7 9 fast blue"},
    {"a word", "[http]\ncolour = green\n", "h0 /s 1 7 9 slow green"},
};

static void test_good(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        struct sample sample = defaults;
        struct err err = {0};
        char got[256];
        if (!ini_parse(&map, "a.conf", good[i].text, strlen(good[i].text), &sample, &err))
            fail_msg("%s: got '%s'", good[i].rule, err.msg);
        if (strcmp(show(&sample, got), good[i].want) != 0)
            fail_msg("%s: got '%s', want '%s'", good[i].rule, got, good[i].want);
    }
}

static void test_bools(void **state)
{
    static const char *const words[] = {"yes", "no", "true", "false", "on", "off", "1", "0"};
    (void)state;
    for (size_t i = 0; i < 8; i++) {
        struct sample sample = {.fast = i % 2 == 1};
        struct err err = {0};
        char text[64];
        int len = snprintf(text, sizeof(text), "[http]\nfast = %s\n", words[i]);
        assert_true(ini_parse(&map, "a.conf", text, (size_t)len, &sample, &err));
        assert_int_equal(sample.fast, i % 2 == 0);
    }
}

/* ---- wrong texts ------------------------------------------------------------------------------------------------ */

#define HERE "cannot read 'a.conf' line "
static const struct {
    const char *rule, *text, *msg, *hint; /* hint: NULL when none */
} bad[] = {
    {"an unknown section", "\n[htpp]\n", HERE "2: unknown section [htpp]", "the nearest known section is [http]"},
    {"an unknown key", "[http]\nprot = 1\n", HERE "2: unknown key 'prot' in section [http]",
     "the nearest known key is 'port' in section [http]"},
    {"a key of another section", "[agent]\nport = 1\n", HERE "2: unknown key 'port' in section [agent]",
     "the nearest known key is 'port' in section [http]"},
    {"names tell upper case from lower", "[http]\nPort = 1\n", HERE "2: unknown key 'Port' in section [http]",
     "the nearest known key is 'port' in section [http]"},
    {"a key twice", "[http]\nport = 1\n#\nport = 1\n", HERE "4: 'port' is given a second time, first in line 2",
     "remove one of the two lines"},
    {"a key twice in two parts of a section", "[http]\nport = 1\n[agent]\n[http]\nport = 2\n",
     HERE "5: 'port' is given a second time, first in line 2", "remove one of the two lines"},
    {"a key before any section", "port = 1\n", HERE "1: a key stands before the first section", NULL},
    {"an open section", "[http\n", HERE "1: a section must end in ']'", NULL},
    {"a lone bracket", "[", HERE "1: a section must end in ']'", NULL},
    {"text behind a section", "[http] # x\n", HERE "1: a section must end in ']'", NULL},
    {"a line that is nothing", "[http]\nport 1\n", HERE "2: it is neither 'key = value' nor [section] nor a comment",
     NULL},
    {"no key", "[http]\n= 1\n", HERE "2: unknown key '' in section [http]",
     "the nearest known key is 'any' in section [http]"},
    {"no value", "[http]\nport =\n", HERE "2: 'port': has no value", NULL},
    {"no number", "[http]\nport = x\n", HERE "2: 'port': must be a whole number from 1 to 65535", NULL},
    {"below the bounds", "[http]\nport = 0\n", HERE "2: 'port': must be a whole number from 1 to 65535", NULL},
    {"above the bounds", "[http]\nport = 65536\n", HERE "2: 'port': must be a whole number from 1 to 65535", NULL},
    {"above the type", "[http]\nany = 4294967296\n", HERE "2: 'any': must be a whole number from 0 to 4294967295",
     NULL},
    {"a negative number", "[http]\nany = -1\n", HERE "2: 'any': must be a whole number from 0 to 4294967295", NULL},
    {"a wrong unit", "[http]\nroom = 5X\n", HERE "2: 'room': must be a size from 1000 B to 1.0 TiB",
     "write sizes as 500G or 64GiB"},
    {"a size below", "[http]\nroom = 999\n", HERE "2: 'room': must be a size from 1000 B to 1.0 TiB", NULL},
    {"a size above", "[http]\nroom = 2TiB\n", HERE "2: 'room': must be a size from 1000 B to 1.0 TiB", NULL},
    {"neither yes nor no", "[http]\nfast = y\n", HERE "2: 'fast': must be 'yes' or 'no'", NULL},
    {"an unknown word", "[http]\ncolour = gren\n", HERE "2: 'colour': 'gren' is not known",
     "the nearest known word is 'green'"},
    {"a text too long", "[agent]\nhost = 1234567890123456\n", HERE "2: 'host': is longer than 15 characters", NULL},
    {"a text too short", "[agent]\nhost = a\n", HERE "2: 'host': is shorter than 2 characters", NULL},
    {"a relative path", "[agent]\nstate = var\n", HERE "2: 'state': must be a path that begins with '/'", NULL},
    {"quotes", "[agent]\nhost = \"ab\"\n", HERE "2: 'host': must be written without quotes", NULL},
    {"a continued line", "[agent]\nhost = ab\\\n  cd\n", HERE "2: 'host': cannot be continued on the next line", NULL},
    {"a comment behind a value", "[agent]\nhost = ab # cd\n",
     HERE "2: 'host': has a comment behind it; comments have lines of their own", NULL},
    {"a comment behind a value, the other kind", "[agent]\nhost = ab ; cd\n",
     HERE "2: 'host': has a comment behind it; comments have lines of their own", NULL},
    {"a delete character", "[agent]\nhost = a\x7f\n", HERE "2: 'host': holds a control character", NULL},
    {"a control character", "[agent]\nhost = a\x1b[1m\n", HERE "2: 'host': holds a control character", NULL},
    {"odd bytes are not repeated", "[http]\na\x1b\xff = 1\n", HERE "2: unknown key 'a\?\?' in section [http]",
     "the nearest known key is 'any' in section [http]"},
};

static void test_bad(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct sample sample = defaults;
        struct err err = {0};
        const char *hint = bad[i].hint == NULL ? "" : bad[i].hint;
        if (ini_parse(&map, "a.conf", bad[i].text, strlen(bad[i].text), &sample, &err))
            fail_msg("%s: got no error", bad[i].rule);
        if (err.kind != ERR_INPUT || strcmp(err.msg, bad[i].msg) != 0)
            fail_msg("%s: got '%s', want '%s'", bad[i].rule, err.msg, bad[i].msg);
        if (strcmp(err.hint, hint) != 0)
            fail_msg("%s: got hint '%s', want '%s'", bad[i].rule, err.hint, hint);
    }
}

static void test_nothing_by_halves(void **state)
{
    static const char text[] = "[agent]\nhost = node7\n[http]\nport = 2\nroom = 5\n";
    struct sample sample = defaults;
    struct err err = {0};
    (void)state;
    assert_false(ini_parse(&map, "a.conf", text, sizeof(text) - 1, &sample, &err));
    assert_memory_equal(&sample, &defaults, sizeof(sample));
}

static void test_limits(void **state)
{
    static char text[INI_FILE_MAX + 1];
    struct sample sample = defaults;
    struct err err = {0};
    (void)state;
    memset(text, '\n', sizeof(text));
    assert_true(ini_parse(&map, "a.conf", text, INI_FILE_MAX, &sample, &err));
    assert_false(ini_parse(&map, "a.conf", text, INI_FILE_MAX + 1, &sample, &err));
    assert_string_equal(err.msg, "cannot read 'a.conf': it is larger than 65536 bytes");
    memcpy(text, "[agent]\nhost = ", 15);
    memset(text + 15, 'x', INI_VALUE_MAX);
    err_clear(&err);
    assert_false(ini_parse(&map, "a.conf", text, INI_FILE_MAX, &sample, &err));
    assert_string_equal(err.msg, "cannot read 'a.conf' line 2: 'host': is longer than 511 characters");
}

/* Whatever the bytes, the parser reads only what it was given; a sanitizer sees when it does not. */
static void test_every_prefix(void **state)
{
    static const char text[] = "# c\n[agent]\nhost = node7\nstate=/x\n[http]\nport = 2\ncolour = red\n\xff\0=[]\n[";
    (void)state;
    for (size_t len = 0; len < sizeof(text); len++) {
        struct sample sample = defaults;
        struct err err = {0};
        char *exact = malloc(len + 1);
        assert_non_null(exact);
        memcpy(exact + 1, text, len);
        if (!ini_parse(&map, "a.conf", exact + 1, len, &sample, &err))
            assert_memory_equal(&sample, &defaults, sizeof(sample));
        free(exact);
    }
}

/* ---- files ------------------------------------------------------------------------------------------------------ */

static void put(const char *dir, const char *path, const char *text)
{
    char full[256];
    snprintf(full, sizeof(full), "%s/%s", dir, path);
    FILE *file = fopen(full, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static int make_roots(void **state)
{
    char *dir = strdup("/tmp/t_ini.XXXXXX"), path[256];
    static const char *const dirs[] = {"lib", "run", "etc", "lib/x.conf.d", "etc/x.conf.d"};
    assert_non_null(mkdtemp(dir));
    for (size_t i = 0; i < 5; i++) {
        snprintf(path, sizeof(path), "%s/%s", dir, dirs[i]);
        assert_int_equal(mkdir(path, 0700), 0);
    }
    *state = dir;
    return 0;
}

static int remove_roots(void **state)
{
    static const char *const paths[] = {"lib/x.conf",
                                        "run/x.conf",
                                        "etc/x.conf",
                                        "lib/x.conf.d/10-a.conf",
                                        "lib/x.conf.d/20-b.conf",
                                        "etc/x.conf.d/10-a.conf",
                                        "etc/x.conf.d/15-c.conf",
                                        "etc/x.conf.d/.hidden.conf",
                                        "etc/x.conf.d/notes.txt",
                                        "etc/x.conf.d/.conf"};
    static const char *const dirs[] = {"lib/x.conf.d", "etc/x.conf.d", "lib", "run", "etc", ""};
    char path[256];
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", (char *)*state, paths[i]);
        if (unlink(path) != 0)
            rmdir(path);
    }
    for (size_t i = 0; i < 6; i++) {
        snprintf(path, sizeof(path), "%s/%s", (char *)*state, dirs[i]);
        assert_int_equal(rmdir(path), 0);
    }
    free(*state);
    return 0;
}

static bool load(const char *dir, struct sample *sample, struct err *err)
{
    char roots[3][64];
    snprintf(roots[0], sizeof(roots[0]), "%s/lib", dir);
    snprintf(roots[1], sizeof(roots[1]), "%s/run", dir);
    snprintf(roots[2], sizeof(roots[2]), "%s/etc", dir);
    const char *const list[] = {roots[0], roots[1], roots[2]};
    return ini_load(&map, list, 3, "x", sample, err);
}

static void expect_load(const char *rule, const char *dir, const char *want)
{
    struct sample sample = defaults;
    struct err err = {0};
    char got[256];
    if (!load(dir, &sample, &err))
        fail_msg("%s: got '%s'", rule, err.msg);
    if (strcmp(show(&sample, got), want) != 0)
        fail_msg("%s: got '%s', want '%s'", rule, got, want);
}

static void test_files(void **state)
{
    const char *dir = *state;
    char path[256];
    expect_load("nothing there is no error", dir, "h0 /s 1 7 9 slow blue");
    put(dir, "lib/x.conf", "[agent]\nhost = lib\n[http]\nport = 2\n");
    expect_load("the main file", dir, "lib /s 2 7 9 slow blue");
    put(dir, "run/x.conf", "[agent]\nhost = run\n");
    expect_load("the main file of a later root takes its place", dir, "run /s 1 7 9 slow blue");
    put(dir, "etc/x.conf", "[http]\nport = 3\n");
    expect_load("and the last counts", dir, "h0 /s 3 7 9 slow blue");
    put(dir, "lib/x.conf.d/10-a.conf", "[http]\nport = 10\nany = 10\ncolour = red\n");
    put(dir, "lib/x.conf.d/20-b.conf", "[http]\nany = 20\n");
    expect_load("drop-ins go over it in the order of their names", dir, "h0 /s 10 20 9 slow red");
    put(dir, "etc/x.conf.d/15-c.conf", "[http]\nport = 15\nany = 15\n");
    expect_load("whatever root they are in", dir, "h0 /s 15 20 9 slow red");
    put(dir, "etc/x.conf.d/10-a.conf", "[http]\nfast = on\n");
    expect_load("a drop-in of a later root takes the place of its namesake", dir, "h0 /s 15 20 9 fast blue");
    snprintf(path, sizeof(path), "%s/etc/x.conf.d/10-a.conf", dir);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(symlink("/dev/null", path), 0);
    expect_load("a link to /dev/null takes it out", dir, "h0 /s 15 20 9 slow blue");
    put(dir, "etc/x.conf.d/.hidden.conf", "wrong");
    put(dir, "etc/x.conf.d/.conf", "wrong");
    put(dir, "etc/x.conf.d/notes.txt", "wrong");
    expect_load("hidden and other files are passed over", dir, "h0 /s 15 20 9 slow blue");
}

static void test_file_errors(void **state)
{
    const char *dir = *state;
    struct sample sample = defaults;
    struct err err = {0};
    char path[256], want[512];
    put(dir, "etc/x.conf", "[agent]\nhost = etc\n");
    put(dir, "etc/x.conf.d/15-c.conf", "[http]\n\nprot = 15\n");
    assert_false(load(dir, &sample, &err));
    snprintf(want, sizeof(want), "cannot read '%s/etc/x.conf.d/15-c.conf' line 3: unknown key 'prot' in section [http]",
             dir);
    assert_string_equal(err.msg, want);
    assert_memory_equal(&sample, &defaults, sizeof(sample)); /* not even the main file */
    snprintf(path, sizeof(path), "%s/etc/x.conf.d/15-c.conf", dir);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0);
    err_clear(&err);
    assert_false(load(dir, &sample, &err)); /* and does not wait for a writer */
    snprintf(want, sizeof(want), "cannot read '%s': it is not a file", path);
    assert_string_equal(err.msg, want);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkdir(path, 0700), 0);
    err_clear(&err);
    assert_false(load(dir, &sample, &err));
    assert_string_equal(err.msg, want);
}

static void test_one_file(void **state)
{
    const char *dir = *state;
    struct sample sample = defaults;
    struct err err = {0};
    char path[256];
    snprintf(path, sizeof(path), "%s/etc/x.conf", dir);
    assert_false(ini_load_file(&map, path, &sample, &err));
    assert_int_equal(err.kind, ERR_MISSING);
    put(dir, "etc/x.conf", "[agent]\nhost = etc\n");
    err_clear(&err);
    assert_true(ini_load_file(&map, path, &sample, &err));
    assert_string_equal(sample.host, "etc");
}

int main(void)
{
#define FILES(name) cmocka_unit_test_setup_teardown(name, make_roots, remove_roots)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_bools),
        cmocka_unit_test(test_bad),
        cmocka_unit_test(test_nothing_by_halves),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_every_prefix),
        FILES(test_files),
        FILES(test_file_errors),
        FILES(test_one_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
