/* The agent's mind as conversations: what it is told of drives, and what it orders. Each test is a sentence of
 * core/host.h. Erases: t_host_erase.c; wants, claims
 * and VMs: t_host_claim.c. */
#include "host_fixture.h"

/* ---- drives -------------------------------------------------------------------------------------------------------
 */

static void test_unasked_drive_is_only_looked_at(void **state)
{
    (void)state;
    found();
    for (unsigned i = 0; i < 10; i++) {
        tick(30000);
        if (orders.count > 0 && orders.at[0].kind == ORDER_LIST)
            listed(&drive.ident, 1);
        if (strcmp(said(), "") != 0) {
            SAYS("scan fresh");
            seen();
        }
    }
    assert_int_equal(host->drives[0].adopt, ADOPT_NONE);
}

static void test_adoption(void **state)
{
    (void)state;
    cut();
    assert_int_equal(host->slice_count, SLICES);
    SAYS("erase 1");
    assert_int_equal(last_order().method, ERASE_FORMAT_CRYPTO);
    assert_int_equal(host->drives[0].adopt, ADOPT_DONE);
    assert_int_equal(slice(0)->state, SLICE_ERASING);
    assert_int_equal(slice(1)->state, SLICE_BLANK);
}

static void test_foreign_data_refuses(void **state)
{
    (void)state;
    found();
    want_drive();
    SAYS("scan fresh"); /* what was seen before does not count */
    foreign_add(&drive.foreign, FOREIGN_MOUNT, (struct nsid){1}, "/home");
    seen();
    SAYS("");
    assert_int_equal(host->drives[0].adopt, ADOPT_REFUSED);
    assert_non_null(strstr(host->drives[0].why, "/home"));
    drive.foreign.count = 0;
    send_wants(); /* the same wish was judged */
    SAYS("");
    text_cut(wants->drives[0].adoption.v, sizeof(wants->drives[0].adoption.v), "adoption-2");
    send_wants();
    SAYS("scan fresh");
    seen();
    SAYS("detach 1");
}

static void test_open_for_a_moment(void **state)
{
    (void)state;
    found();
    want_drive();
    foreign_add(&drive.foreign, FOREIGN_OPEN, (struct nsid){1}, "process 7 (udev)");
    seen();
    SAYS("");
    assert_int_equal(host->drives[0].adopt, ADOPT_CHECKING);
    drive.foreign.count = 0;
    tick(1000);
    SAYS("scan fresh");
    seen();
    SAYS("detach 1");
}

static void test_open_for_good(void **state)
{
    (void)state;
    found();
    want_drive();
    foreign_add(&drive.foreign, FOREIGN_OPEN, (struct nsid){1}, "process 7 (qemu)");
    seen();
    for (unsigned looks = 1; looks < 4; looks++) {
        assert_int_equal(host->drives[0].adopt, ADOPT_CHECKING);
        tick(4000);
        SAYS("scan fresh");
        seen();
    }
    assert_int_equal(host->drives[0].adopt, ADOPT_REFUSED);
    SAYS("");
}

static void test_open_and_more_is_judged_at_once(void **state)
{
    (void)state;
    found();
    want_drive();
    foreign_add(&drive.foreign, FOREIGN_OPEN, (struct nsid){1}, "process 7 (mkfs)");
    foreign_add(&drive.foreign, FOREIGN_DATA, (struct nsid){1}, "byte 0");
    seen();
    assert_int_equal(host->drives[0].adopt, ADOPT_REFUSED);
}

static void test_older_look_does_not_judge(void **state)
{
    (void)state;
    found();
    tick(61000);
    relist();
    struct order order = {.kind = ORDER_SCAN, .ident = drive.ident, .fresh = false};
    want_drive();
    assert_int_equal(host->drives[0].adopt, ADOPT_CHECKING);
    tell((struct host_event){.kind = HOST_SEEN, .ok = true, .order = &order, .seen = &drive});
    assert_int_equal(host->drives[0].adopt, ADOPT_CHECKING);
    SAYS("scan fresh");
}

static void test_plan_that_does_not_fit_any_more(void **state)
{
    (void)state;
    static const struct {
        const char *rule;
        struct layout change;
    } rows[] = {
        {"more than the drive has", {.count = SLICES + 1}},
        {"no slice at all", {.count = 0, .slice_blocks = 0}},
        {"another block size", {.count = SLICES, .block_bytes = 512}},
        {"a format that is not there", {.count = SLICES, .lbaf = 3}},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        found();
        want_drive();
        struct layout *layout = &wants->drives[0].layout;
        layout->count = rows[i].change.count;
        layout->lbaf = rows[i].change.lbaf;
        if (rows[i].change.block_bytes != 0)
            layout->block_bytes = rows[i].change.block_bytes;
        static struct host_orders kept;
        kept = orders;
        send_wants();
        orders = kept;
        seen();
        if (host->drives[0].adopt != ADOPT_REFUSED)
            fail_msg("%s: got %s, want refused", rows[i].rule, adopt_word(host->drives[0].adopt));
        teardown(state);
        setup(state);
    }
}

static void test_ambiguous_serial_is_not_touched(void **state)
{
    (void)state;
    struct drive_ident twins[2] = {drive.ident, drive.ident};
    text_cut(twins[1].model, sizeof(twins[1].model), "ANOTHER");
    tick(1);
    listed(twins, 2);
    seen();
    want_drive();
    for (unsigned i = 0; i < 4; i++) {
        if (strcmp(said(), "") != 0)
            seen();
        tick(1000);
    }
    SAYS("");
    struct report *report = calloc(1, sizeof(*report));
    assert_non_null(report);
    host_report(host, report);
    assert_int_equal(report->drives[0].seen.foreign.at[0].kind, FOREIGN_AMBIGUOUS);
    free(report);
}

/* ---- what keeps it from its work ----------------------------------------------------------------------------------
 */

static const struct report *reported(void)
{
    static struct report *report;
    if (report == NULL)
        report = calloc(1, sizeof(*report));
    assert_non_null(report);
    host_report(host, report);
    return report;
}

static void test_troubles_are_reported_while_they_last(void **state)
{
    (void)state;
    const struct err no_drives = {.kind = ERR_BUSY, .msg = "nobody answers on the socket"};
    const struct err no_virt = {.kind = ERR_FAILED, .msg = "cannot connect to 'bogus'"};
    tick(1);
    tell((struct host_event){.kind = HOST_LISTED, .err = &no_drives});
    assert_string_equal(reported()->troubles.drives, "nobody answers on the socket");
    tick(20000); /* it asks, though there is no VM */
    assert_true(host->virt_busy);
    tell((struct host_event){.kind = HOST_VIRT, .err = &no_virt});
    assert_string_equal(reported()->troubles.virt, "cannot connect to 'bogus'");
    assert_true(orders.wake_ms <= now_ms + 10000);
    tick(20000);
    assert_true(host->virt_busy);
    tell((struct host_event){.kind = HOST_VIRT, .ok = true});
    listed(&drive.ident, 1);
    assert_string_equal(reported()->troubles.virt, "");
    assert_string_equal(reported()->troubles.drives, "");
}

static void test_drives_are_known_when_each_was_looked_at(void **state)
{
    (void)state;
    tick(1);
    assert_false(reported()->drives_known); /* nobody has looked */
    tell((struct host_event){.kind = HOST_LISTED, .err = &(struct err){.kind = ERR_BUSY, .msg = "no"}});
    assert_false(reported()->drives_known);
    listed(&drive.ident, 1);
    assert_false(reported()->drives_known); /* it is there, but what is it? */
    seen();
    assert_true(reported()->drives_known);
    assert_int_equal(reported()->drive_count, 1);
    listed(NULL, 0);
    assert_true(reported()->drives_known);
    assert_int_equal(reported()->drive_count, 0);
}

static void test_look_that_succeeds_ends_its_reason(void **state)
{
    (void)state;
    tick(1);
    listed(&drive.ident, 1);
    const struct order order = last_order();
    tell((struct host_event){
        .kind = HOST_SEEN, .order = &order, .err = &(struct err){.kind = ERR_DEVICE, .msg = "it failed"}});
    assert_true(reported()->drives_known); /* one that never answers holds nobody up */
    tick(60000);
    relist();
    seen();
    assert_string_equal(reported()->drives[0].why, "");
}

static void test_twin_stops_an_adopted_drive(void **state)
{
    (void)state;
    ready();
    struct drive_ident twins[2] = {drive.ident, drive.ident};
    listed(twins, 2);
    want_slices("a", 1);
    want_slices("", 2);
    assert_int_equal(slice(0)->state, SLICE_DIRTY);
    SAYS(""); /* no erase */
}

static void test_one_order_per_drive(void **state)
{
    (void)state;
    cut();
    SAYS("erase 1");
    tick(1000);
    SAYS("");
    send_wants();
    SAYS("");
    tick(3600000);
    SAYS("");
}

static void test_intent_before_create(void **state)
{
    (void)state;
    found();
    want_drive();
    give_up_factory();
    SAYS("create");
    const struct host_drive *row = &host->drives[0];
    assert_string_equal(row->creating.v, last_order().slice.v);
    assert_int_equal(row->creating_known_count, 0);
    assert_int_equal(host->slice_count, 0);
}

static void test_changed_row_with_each_change(void **state)
{
    (void)state;
    found();
    want_drive();
    give_up_factory();
    const struct order order = last_order();
    ns_add(1, BLOCKS);
    tell((struct host_event){.kind = HOST_DONE, .ok = true, .order = &order});
    const struct order scan = last_order();
    const struct host_event event = {.kind = HOST_SEEN, .now_ms = now_ms, .ok = true, .order = &scan, .seen = &drive};
    host_step(host, &event, &orders, &result);
    SAYS("create"); /* the second one */
    assert_true(host->drives[0].changed);
    assert_true(host->slices[0].slice.changed);
}

/* After a create, and after a crash around one: `fault` or how many slices there are then. */
static void test_newcomers(void **state)
{
    static const struct {
        const char *rule;
        unsigned newcomers;
        uint64_t blocks;
        size_t slices;
        bool fault, crash;
    } rows[] = {
        {"one of the right shape is ours", 1, BLOCKS, 1, false, false},
        {"also after a crash", 1, BLOCKS, 1, false, true},
        {"none: the create did nothing", 0, 0, 0, false, false},
        {"none after a crash", 0, 0, 0, false, true},
        {"one of another size is not ours", 1, BLOCKS / 2, 0, true, false},
        {"two are a matter for a person", 2, BLOCKS, 0, true, true},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        found();
        want_drive();
        give_up_factory();
        const struct slice_id id = last_order().slice;
        for (uint32_t n = 1; n <= rows[i].newcomers; n++)
            ns_add(n, rows[i].blocks);
        if (rows[i].crash) {
            restart("boot-1");
            tick(1);
            relist();
        } else {
            failed(ERR_DEVICE); /* whatever was answered: what is there counts */
            tick(60000);
            relist();
        }
        seen();
        const bool fault = host->drives[0].adopt == ADOPT_FAULT;
        if (fault != rows[i].fault || host->slice_count != rows[i].slices)
            fail_msg("%s: got %zu slices, fault %d", rows[i].rule, host->slice_count, fault);
        if (rows[i].slices == 1)
            assert_string_equal(slice(0)->id.v, id.v);
        if (rows[i].newcomers == 0)
            SAYS("create");
        teardown(state);
        setup(state);
    }
}

static void test_answer_of_a_create_tells_ours_from_a_stranger(void **state)
{
    (void)state;
    found();
    want_drive();
    give_up_factory();
    const struct order order = last_order();
    ns_add(1, BLOCKS); /* somebody else's, of the same shape */
    ns_add(2, BLOCKS);
    tell((struct host_event){.kind = HOST_DONE, .ok = true, .order = &order, .nsid = {2}});
    seen();
    assert_int_equal(host->slice_count, 1);
    assert_int_equal(slice(0)->nsid.v, 2);
    assert_int_equal(host->drives[0].orphans, 1);
    assert_int_equal(host->drives[0].adopt, ADOPT_CUTTING);
}

static void test_orphans_block_creates_only(void **state)
{
    (void)state;
    found();
    want_drive();
    give_up_factory();
    done();
    ns_add(1, BLOCKS);
    seen();
    SAYS("create");
    failed(ERR_DEVICE);
    tick(60000);
    relist();
    seen(); /* nothing was made; the next create is ordered */
    SAYS("create");
    failed(ERR_DEVICE);
    host->drives[0].creating = (struct slice_id){0}; /* and the intent is settled */
    ns_add(9, 7);
    tick(60000);
    relist();
    seen();
    assert_int_equal(host->drives[0].orphans, 1);
    SAYS("erase 1");
    ns_remove(9);
    erased(ERASE_VERIFIED);
    seen();
    SAYS("create");
}

static void test_lost_slices(void **state)
{
    static const struct {
        const char *rule, *why;
        bool gone, resized, reblocked, renamed;
    } rows[] = {
        {"not there any more", "missing", .gone = true},
        {"of another size", "resized", .resized = true},
        {"of the same size, in other blocks", "resized", .reblocked = true},
        {"with another NGUID", "foreign", .renamed = true},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        ready();
        if (rows[i].gone)
            ns_remove(2);
        if (rows[i].resized)
            ns_at(2)->size_blocks++;
        if (rows[i].reblocked) {
            ns_at(2)->size_blocks *= 2;
            ns_at(2)->block_bytes /= 2;
        }
        if (rows[i].renamed)
            ns_at(2)->nguid[0]++;
        tick(61000);
        relist();
        seen();
        SAYS("");
        if (slice(1)->state != SLICE_QUARANTINED || strncmp(slice(1)->why, rows[i].why, 7) != 0)
            fail_msg("%s: got %s '%s'", rows[i].rule, slice_state_word(slice(1)->state), slice(1)->why);
        assert_int_equal(slice(0)->state, SLICE_FREE);
        want_slices("", 0);
        wants->slices[1].retire = true;
        send_wants();
        SAYS(""); /* what is not ours is not deleted */
        assert_int_equal(host->slice_count, 1);
        assert_int_equal(host->drives[0].layout.count, 1);
        teardown(state);
        setup(state);
    }
}

static void test_no_create_while_one_is_missing(void **state)
{
    (void)state;
    found();
    want_drive();
    give_up_factory();
    done();
    ns_add(1, BLOCKS);
    seen();
    SAYS("create");
    done(); /* it gets number 2, and somebody deletes number 1 */
    ns_remove(1);
    ns_add(2, BLOCKS);
    host->drives[0].layout.count = 3;
    seen();
    assert_int_equal(host->slice_count, 2);
    assert_int_equal(slice(0)->state, SLICE_QUARANTINED);
    SAYS("erase 2"); /* and no create: the drive would use number 1 again */
    erased(ERASE_VERIFIED);
    seen();
    node_told();
    want_slices("", 0);
    wants->slices[0].retire = true;
    send_wants();
    SAYS("create"); /* a person has retired the one that was lost: its place is free */
}

static void test_retire(void **state)
{
    (void)state;
    cut();
    erased(ERASE_LIED);
    assert_int_equal(slice(0)->state, SLICE_QUARANTINED);
    seen();
    SAYS("erase 2");
    erased(ERASE_VERIFIED);
    seen();
    node_told();
    want_slices("", 0);
    wants->slices[0].retire = true;
    send_wants();
    SAYS("detach 1");
    done();
    ns_at(1)->attached = false;
    seen();
    SAYS("delete 1");
    ns_remove(1);
    done();
    seen();
    SAYS("");
    assert_int_equal(host->slice_count, 1);
    assert_int_equal(host->drives[0].layout.count, 1);
}

static void test_retire_waits_for_whoever_has_it_open(void **state)
{
    (void)state;
    cut();
    erased(ERASE_LIED);
    seen();
    SAYS("erase 2");
    erased(ERASE_VERIFIED);
    seen();
    node_told();
    want_slices("", 0);
    wants->slices[0].retire = true;
    wants->slices[1] = (struct want_slice){.id = slice(1)->id, .generation = 1, .owner = {"a"}};
    send_wants();
    for (unsigned i = 0; i < 10; i++) {
        SAYS("detach 1");
        failed(ERR_BUSY);
        SAYS("scan");
        seen();
        SAYS("");
        tick(30000);
        relist();
    }
    assert_int_equal(host->drives[0].adopt, ADOPT_DONE); /* no fault of the drive */
    SAYS("detach 1");
    failed(ERR_BUSY);
    seen();
    wants->slices[1] = (struct want_slice){.id = slice(1)->id, .generation = 2};
    send_wants();
    SAYS("erase 2"); /* its neighbour does not wait */
}

static void test_failed_changes(void **state)
{
    (void)state;
    found();
    want_drive();
    seen();
    for (unsigned i = 1; i <= 6; i++) {
        SAYS("detach 1");
        failed(ERR_DEVICE);
        SAYS(""); /* not at once */
        tick(60000);
        relist();
        seen();
    }
    assert_int_equal(host->drives[0].adopt, ADOPT_FAULT);
    SAYS("");
}

/* It claims to, and the first command says otherwise: no second try, and what was detached comes back. */
static void test_drive_that_cannot_be_cut_is_left_as_it_was(void **state)
{
    (void)state;
    found();
    want_drive();
    seen();
    SAYS("detach 1");
    done();
    ns_at(1)->attached = false;
    seen();
    SAYS("delete 1");
    failed(ERR_INPUT);
    assert_int_equal(host->drives[0].adopt, ADOPT_FAULT);
    tick(1000); /* the usual pause after a failure */
    SAYS("scan");
    seen();
    SAYS("attach 1");
    failed(ERR_DEVICE); /* it is tried again, and the reason stays the first one */
    assert_string_equal(host->drives[0].why, "it failed");
    text_cut(host->drives[0].why, sizeof(host->drives[0].why), "the first reason");
    tick(2000);
    seen();
    SAYS("attach 1");
    failed(ERR_DEVICE);
    assert_string_equal(host->drives[0].why, "the first reason");
    tick(4000);
    seen();
    SAYS("attach 1");
    done();
    ns_at(1)->attached = true;
    SAYS("scan");
    seen();
    SAYS("");
    assert_int_equal(host->drives[0].adopt, ADOPT_REFUSED);
    assert_string_equal(host->drives[0].why, "the first reason");
    send_wants();
    SAYS(""); /* this wish was judged */
}

static void test_full_drive_has_fewer_slices(void **state)
{
    (void)state;
    found();
    want_drive();
    give_up_factory();
    done();
    ns_add(1, BLOCKS);
    seen();
    SAYS("create");
    failed(ERR_FULL);
    tick(60000);
    relist();
    seen();
    SAYS("erase 1");
    assert_int_equal(host->drives[0].layout.count, 1);
    assert_int_equal(host->drives[0].adopt, ADOPT_DONE);
}

static void test_drive_goes_and_comes(void **state)
{
    (void)state;
    ready();
    listed(NULL, 0);
    assert_false(host->slices[0].node_known);
    struct report *report = calloc(1, sizeof(*report));
    assert_non_null(report);
    host_report(host, report);
    assert_int_equal(report->drives[0].adopt, ADOPT_MISSING);
    assert_int_equal(report->slices[0].path[0], 0);
    free(report);
    tick(60000);
    SAYS("");
    listed(&drive.ident, 1);
    SAYS("scan");
    seen();
    SAYS("node 1");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_unasked_drive_is_only_looked_at),
        TEST(test_adoption),
        TEST(test_foreign_data_refuses),
        TEST(test_open_for_a_moment),
        TEST(test_open_for_good),
        TEST(test_open_and_more_is_judged_at_once),
        TEST(test_older_look_does_not_judge),
        TEST(test_plan_that_does_not_fit_any_more),
        TEST(test_ambiguous_serial_is_not_touched),
        TEST(test_troubles_are_reported_while_they_last),
        TEST(test_drives_are_known_when_each_was_looked_at),
        TEST(test_look_that_succeeds_ends_its_reason),
        TEST(test_twin_stops_an_adopted_drive),
        TEST(test_one_order_per_drive),
        TEST(test_intent_before_create),
        TEST(test_changed_row_with_each_change),
        TEST(test_newcomers),
        TEST(test_answer_of_a_create_tells_ours_from_a_stranger),
        TEST(test_orphans_block_creates_only),
        TEST(test_lost_slices),
        TEST(test_no_create_while_one_is_missing),
        TEST(test_retire),
        TEST(test_retire_waits_for_whoever_has_it_open),
        TEST(test_failed_changes),
        TEST(test_drive_that_cannot_be_cut_is_left_as_it_was),
        TEST(test_full_drive_has_fewer_slices),
        TEST(test_drive_goes_and_comes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
