/* What the mind makes of the host's news about devices: core/host.h, HOST_NEWS. */
#include "host_fixture.h"

static void news(const struct drive_news *news)
{
    tell((struct host_event){.kind = HOST_NEWS, .news = news});
}

static bool lists(void)
{
    for (size_t i = 0; i < orders.count; i++)
        if (orders.at[i].kind == ORDER_LIST)
            return true;
    return false;
}

/* Two slices in use, on block devices 259:1 and 259:2. */
static void in_use(void)
{
    text_cut(drive.name, sizeof(drive.name), "nvme0");
    ready();
    want_slices("claim-1", 1);
    for (unsigned i = 0; i < SLICES; i++) {
        assert_int_equal(slice(i)->state, SLICE_ATTACHED);
        host->slices[i].block_device = true;
        host->slices[i].rdev = 1000 + slice(i)->nsid.v;
    }
    now_ms += 5000;
}

static void test_what_went_is_forgotten_at_once(void **state)
{
    (void)state;
    in_use();
    news(&(struct drive_news){.gone = {1002, 77}, .gone_count = 2, .touched = {"nvme0"}, .touched_count = 1});
    assert_true(host->slices[0].node_known);
    assert_false(host->slices[1].node_known);
    assert_string_equal(slice(1)->path, "");
    assert_int_equal(slice(1)->state, SLICE_ATTACHED); /* still its owner's */
    assert_true(lists());
    SAYS("scan");
}

static void test_a_file_has_no_number(void **state)
{
    (void)state;
    in_use();
    host->slices[1].block_device = false;
    news(&(struct drive_news){.gone = {1002}, .gone_count = 1});
    assert_true(host->slices[1].node_known);
}

static void test_only_what_was_touched_is_looked_at(void **state)
{
    (void)state;
    in_use();
    news(&(struct drive_news){.touched = {"nvme1", "nvme00"}, .touched_count = 2});
    assert_true(lists());
    SAYS("");
    listed(&drive.ident, 1);
    SAYS("");
}

static void test_lost_news_is_a_look_at_everything(void **state)
{
    (void)state;
    in_use();
    news(&(struct drive_news){.all = true});
    assert_true(lists());
    SAYS("scan");
    assert_true(host->slices[0].node_known); /* nothing says that it went */
}

static void test_news_during_a_look_makes_it_old(void **state)
{
    (void)state;
    const struct drive_news touched = {.touched = {"nvme0"}, .touched_count = 1};
    in_use();
    news(&touched);
    SAYS("scan");
    const struct host_orders scan = orders;
    news(&touched);
    SAYS("");
    orders = scan;
    seen();
    SAYS("scan"); /* once more */
    seen();
    SAYS("");
}

static void test_news_during_a_list_makes_it_old(void **state)
{
    (void)state;
    in_use();
    news(&(struct drive_news){0});
    assert_true(lists());
    news(&(struct drive_news){0});
    assert_false(lists()); /* one is under way */
    now_ms += 1000;
    listed(&drive.ident, 1);
    assert_false(lists()); /* half a second between two */
    tick(500);
    assert_true(lists());
    listed(&drive.ident, 1);
    tick(500);
    assert_false(lists());
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_what_went_is_forgotten_at_once),     TEST(test_a_file_has_no_number),
        TEST(test_only_what_was_touched_is_looked_at), TEST(test_lost_news_is_a_look_at_everything),
        TEST(test_news_during_a_look_makes_it_old),    TEST(test_news_during_a_list_makes_it_old),
    };
    return cmocka_run_group_tests_name("host_news", tests, NULL, NULL);
}
