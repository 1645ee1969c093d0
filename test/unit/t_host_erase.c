/* How the agent's mind erases slices, as conversations; each test is a sentence of core/host.h. */
#include "host_fixture.h"

static void test_verdicts(void **state)
{
    for (int verdict = ERASE_UNFINISHED; verdict < ERASE_VERDICT_COUNT; verdict++) {
        cut();
        erased((enum erase_verdict)verdict);
        assert_true(result.record_wanted);
        assert_int_equal(host->erasure_seq, 1);
        const enum slice_state want = verdict == ERASE_VERIFIED ? SLICE_FREE : SLICE_QUARANTINED;
        if (slice(0)->state != want)
            fail_msg("%s: got %s", erase_verdict_word((enum erase_verdict)verdict), slice_state_word(slice(0)->state));
        assert_true((slice(0)->erased_seq > 0) == (verdict == ERASE_VERIFIED));
        teardown(state);
        setup(state);
    }
}

static void test_error_is_no_erase(void **state)
{
    (void)state;
    cut();
    failed(ERR_DEVICE);
    assert_false(result.record_wanted);
    assert_int_equal(slice(0)->state, SLICE_QUARANTINED);
    assert_string_equal(slice(0)->why, "it failed");
}

/* Expected are 10 minutes for a change of the key (FNA bit 2). */
static void test_long_erase_is_said(void **state)
{
    (void)state;
    cut();
    SAYS("erase 1");
    const struct host_orders erase = orders;
    tick(599999);
    assert_string_equal(slice(0)->why, "");
    assert_true(orders.wake_ms <= now_ms + 1);
    tick(1);
    assert_string_equal(slice(0)->why, "erasing for 0 h 10 min by format-crypto, expected were 10 min: the drive does "
                                       "not say how far it is");
    const struct order order = {.kind = ORDER_ERASE, .slice = slice(0)->id};
    tell((struct host_event){.kind = HOST_PROGRESS, .order = &order, .percent = 10});
    tick(2 * 3600000);
    assert_string_equal(slice(0)->why,
                        "erasing for 2 h 10 min by format-crypto, expected were 10 min: the drive says 10 %");
    assert_int_equal(slice(0)->state, SLICE_ERASING); /* nobody calls it off */
    orders = erase;
    erased(ERASE_VERIFIED);
    assert_int_equal(slice(0)->state, SLICE_FREE);
    assert_string_equal(slice(0)->why, "");
    tick(7200000);
    assert_string_equal(slice(0)->why, "");
}

static void test_busy_erase_is_quarantined_in_the_end(void **state)
{
    (void)state;
    cut();
    const uint64_t from_ms = now_ms;
    unsigned tries = 0;
    while (slice(0)->state != SLICE_QUARANTINED) {
        if (now_ms > from_ms + 2 * 3600000)
            fail_msg("it never ends: %u tries", tries);
        if (orders.count > 0 && strcmp(said(), "erase 1") == 0) {
            failed(ERR_BUSY);
            tries++;
        } else if (orders.count > 0 && strcmp(said(), "erase 2") == 0) {
            erased(ERASE_VERIFIED); /* the others go on */
        } else if (orders.count > 0 && strncmp(said(), "scan", 4) == 0) {
            seen();
        } else if (orders.count > 0 && strncmp(said(), "node", 4) == 0) {
            node_told();
        } else {
            tick(1000);
            if (host->list_busy)
                listed(&drive.ident, 1);
        }
    }
    assert_true(now_ms - from_ms >= 600000);
    assert_true(tries > 5);
    assert_int_equal(slice(1)->state, SLICE_FREE);
}

static void test_verification_of_another_life_does_not_count(void **state)
{
    (void)state;
    cut();
    const struct order order = last_order();
    tell((struct host_event){.kind = HOST_DRIVE_SAID, .order = &order});
    assert_int_equal(slice(0)->state, SLICE_VERIFYING);
    restart("boot-1");
    tick(1);
    relist();
    seen();
    SAYS("erase 1");
    assert_int_equal(slice(0)->state, SLICE_ERASING);
}

static void test_retry(void **state)
{
    (void)state;
    cut();
    erased(ERASE_LIED);
    seen();
    erased(ERASE_VERIFIED);
    seen();
    node_told();
    SAYS("");
    want_slices("", 0);
    SAYS("");
    wants->slices[0].retries = 1;
    send_wants();
    SAYS("erase 1");
    erased(ERASE_LIED);
    seen();
    SAYS(""); /* the same wish counts once */
    wants->slices[0].retries = 2;
    send_wants();
    SAYS("erase 1");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_verdicts),
        TEST(test_error_is_no_erase),
        TEST(test_long_erase_is_said),
        TEST(test_busy_erase_is_quarantined_in_the_end),
        TEST(test_verification_of_another_life_does_not_count),
        TEST(test_retry),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
