/* agent/links.h. What needs a real block device, a name that another drive would like to have, is in test/host. */
#include "agent/links.h"

#include "base/text.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static struct links links;
static struct host *host;
static char node[PATH_TEXT_MAX];

static int setup(void **state)
{
    char folder[] = "/tmp/t_links.XXXXXX";
    (void)state;
    assert_non_null(mkdtemp(folder));
    links = (struct links){.count = 0};
    snprintf(links.dir, sizeof(links.dir), "%s/slices", folder);
    snprintf(node, sizeof(node), "%s/node", folder);
    fclose(fopen(node, "w"));
    host = calloc(1, sizeof(*host));
    assert_non_null(host);
    host->slice_count = 1;
    host->slices[0] = (struct host_slice){.slice = {.id = {"ns-1"}, .state = SLICE_ATTACHED}, .node_known = true};
    text_cut(host->slices[0].slice.path, sizeof(host->slices[0].slice.path), node);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    links_clear(&links);
    for (size_t i = 0; i < links.count; i++)
        close(links.holds[i].fd);
    rmdir(links.dir);
    unlink(node);
    *strrchr(node, '/') = '\0';
    rmdir(node);
    free(host);
    return 0;
}

/* Where the link of ns-1 leads to; empty: there is none. */
static const char *target(void)
{
    static char text[PATH_TEXT_MAX];
    char path[PATH_TEXT_MAX];
    struct err err = {0};
    if (!links_sync(&links, host, &err))
        fail_msg("%s", err.msg);
    link_path(path, links.dir, &(struct slice_id){"ns-1"});
    const ssize_t len = readlink(path, text, sizeof(text) - 1);
    text[len > 0 ? len : 0] = '\0';
    return text;
}

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

static void test_a_link_as_long_as_it_is_true(void **state)
{
    static const struct {
        const char *rule;
        enum slice_state slice;
        bool known, path, want;
    } rows[] = {
        {"handed out and known: a link", SLICE_ATTACHED, true, true, true},
        {"not identified: none", SLICE_ATTACHED, false, true, false},
        {"without a path: none", SLICE_ATTACHED, true, false, false},
        {"free: none", SLICE_FREE, true, true, false},
        {"claimed, but not handed out: none", SLICE_CLAIMED, true, true, false},
        {"being erased: none", SLICE_ERASING, true, true, false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct host_slice *slice = &host->slices[0];
        slice->slice.state = SLICE_ATTACHED;
        slice->node_known = true;
        text_cut(slice->slice.path, sizeof(slice->slice.path), node);
        assert_string_equal(target(), node); /* what there was before */
        slice->slice.state = rows[i].slice;
        slice->node_known = rows[i].known;
        if (!rows[i].path)
            slice->slice.path[0] = '\0';
        if (strcmp(target(), rows[i].want ? node : "") != 0)
            fail_msg("%s: got '%s'", rows[i].rule, target());
    }
}

static void test_no_link_to_a_block_device_that_is_not_held(void **state)
{
    (void)state;
    host->slices[0].block_device = true;
    host->slices[0].rdev = 7;
    assert_string_equal(target(), "");
}

static void test_no_link_to_what_is_no_block_device_any_more(void **state)
{
    (void)state;
    host->slices[0].block_device = true;
    host->slices[0].rdev = 7;
    links_hold(&links, &(struct slice_id){"ns-1"}, 7, open("/dev/null", O_RDONLY));
    assert_string_equal(target(), "");
}

static void test_holds_end_with_what_they_are_for(void **state)
{
    struct host_slice *slice = &host->slices[0];
    (void)state;
    slice->block_device = true;
    slice->rdev = 7;
    const int first = open("/dev/null", O_RDONLY), second = open("/dev/null", O_RDONLY);
    links_hold(&links, &slice->slice.id, 7, first);
    target();
    assert_true(is_open(first));
    links_hold(&links, &slice->slice.id, 7, second); /* found anew */
    assert_false(is_open(first));
    slice->slice.state = SLICE_FREE; /* it is handed out again without another look */
    target();
    assert_true(is_open(second));
    slice->rdev = 8;
    target();
    assert_false(is_open(second));
    const int third = open("/dev/null", O_RDONLY);
    links_hold(&links, &slice->slice.id, 8, third);
    slice->node_known = false;
    target();
    assert_false(is_open(third));
}

static void test_clear(void **state)
{
    (void)state;
    assert_string_equal(target(), node);
    links_clear(&links);
    assert_int_equal(rmdir(links.dir), 0); /* it is empty */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_link_as_long_as_it_is_true),
        TEST(test_no_link_to_a_block_device_that_is_not_held),
        TEST(test_no_link_to_what_is_no_block_device_any_more),
        TEST(test_holds_end_with_what_they_are_for),
        TEST(test_clear),
    };
    return cmocka_run_group_tests_name("links", tests, NULL, NULL);
}
