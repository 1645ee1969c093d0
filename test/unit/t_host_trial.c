/* Does an erase spare the neighbours? The mind's side, as conversations; each test is a sentence of core/host_trial.c.
 */
#include "host_fixture.h"

static void ended(enum erase_verdict verdict, enum neighbour_fate fate)
{
    const struct order order = last_order();
    assert_int_equal(order.kind, ORDER_ERASE);
    const struct erasure erasure = {.id = order.erasure, .slice = order.slice, .verdict = verdict, .note = "a note"};
    now_ms++;
    tell((struct host_event){.kind = HOST_DONE, .ok = true, .order = &order, .erasure = &erasure, .neighbour = fate});
}

/* "format-crypto, tried on 2", or "" when there is no erase. */
static const char *choice(void)
{
    static char text[64];
    text[0] = '\0';
    for (size_t i = 0; i < orders.count; i++) {
        const struct order *order = &orders.at[i];
        if (order->kind != ORDER_ERASE)
            continue;
        snprintf(text, sizeof(text), "%s", erase_method_word(order->method));
        if (order->neighbour.nsid.v != 0)
            snprintf(text + strlen(text), 30, ", tried on %u", order->neighbour.nsid.v);
    }
    return text;
}

#define CHOOSES(want)                                        \
    do {                                                     \
        if (strcmp(choice(), want) != 0)                     \
            fail_msg("got '%s', want '%s'", choice(), want); \
    } while (0)

static void look(void)
{
    SAYS("scan");
    seen();
    while (strncmp(said(), "node", 4) == 0)
        node_told();
}

static void firmware(const char *name)
{
    text_cut(drive.firmware, sizeof(drive.firmware), name);
}

static void cut_with(const char *name)
{
    firmware(name);
    cut();
}

static const struct host_drive *the_drive(void)
{
    return &host->drives[0];
}

/* Passed with firmware F1; both slices are free. */
static void passed(void)
{
    cut_with("F1");
    ended(ERASE_VERIFIED, NEIGHBOUR_SPARED);
    look();
    ended(ERASE_VERIFIED, NEIGHBOUR_NONE);
    look();
}

static void test_first_erase_is_a_trial(void **state)
{
    (void)state;
    cut_with("F1");
    CHOOSES("format-crypto, tried on 2");
    ended(ERASE_VERIFIED, NEIGHBOUR_SPARED);
    assert_true(the_drive()->trial_passed);
    assert_string_equal(the_drive()->trial_firmware, "F1");
    look();
    CHOOSES("format-crypto"); /* once */
}

static void test_drive_that_hits_is_at_fault(void **state)
{
    (void)state;
    cut_with("F1");
    ended(ERASE_VERIFIED, NEIGHBOUR_HIT);
    assert_int_equal(the_drive()->adopt, ADOPT_FAULT);
    assert_non_null(strstr(the_drive()->why, "erased another"));
    look();
    CHOOSES("overwrite"); /* which hits nobody */
    restart("boot-1");
    assert_true(the_drive()->adopt == ADOPT_FAULT);
}

static void test_hit_counts_even_when_the_erase_failed(void **state)
{
    (void)state;
    cut_with("F1");
    ended(ERASE_FAILED_STATUS, NEIGHBOUR_HIT);
    assert_int_equal(the_drive()->adopt, ADOPT_FAULT);
}

static void test_erase_that_did_nothing_proves_nothing(void **state)
{
    static const struct {
        const char *rule;
        enum erase_verdict verdict;
        enum neighbour_fate fate;
    } rows[] = {
        {"not erased", ERASE_LIED, NEIGHBOUR_SPARED},
        {"failed", ERASE_FAILED_STATUS, NEIGHBOUR_SPARED},
        {"the neighbour cannot be read any more", ERASE_VERIFIED, NEIGHBOUR_UNREAD},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        cut_with("F1");
        ended(rows[i].verdict, rows[i].fate);
        if (the_drive()->trial_passed || the_drive()->adopt == ADOPT_FAULT)
            fail_msg("%s: the drive passed, or failed", rows[i].rule);
        teardown(state);
        setup(state);
    }
}

static void test_trial_that_could_not_be_made(void **state)
{
    (void)state;
    cut_with("F1");
    CHOOSES("format-crypto, tried on 2");
    failed(ERR_BUSY);
    SAYS("scan");
    seen();
    CHOOSES("format-crypto, tried on 1"); /* the other slice's turn */
}

static void test_one_namespace_has_nobody_to_hit(void **state)
{
    (void)state;
    found();
    want_drive();
    host->drives[0].want.layout.count = 1; /* before it is judged */
    give_up_factory();
    SAYS("create");
    done();
    ns_add(1, BLOCKS);
    look();
    CHOOSES("format-crypto");
}

static void test_never_tried_and_somebody_has_a_slice(void **state)
{
    (void)state;
    passed();
    want_slices("a", 1);
    host->drives[0].trial_passed = false; /* as if by an older nsmith */
    wants->slices[1].owner.v[0] = '\0';
    wants->slices[1].generation = 2;
    send_wants();
    CHOOSES("overwrite");
}

static void test_new_firmware_is_tried_at_the_next_opportunity(void **state)
{
    (void)state;
    passed();
    want_slices("a", 1);
    firmware("F2");
    tick(61000);
    relist();
    seen();
    wants->slices[1].owner.v[0] = '\0';
    wants->slices[1].generation = 2;
    send_wants();
    CHOOSES("format-crypto"); /* nobody to try it on: its last word counts */
    ended(ERASE_VERIFIED, NEIGHBOUR_NONE);
    look();
    assert_string_equal(the_drive()->trial_firmware, "F1");
    wants->slices[1].owner = (struct claim_id){"b"};
    wants->slices[1].generation = 3;
    send_wants();
    want_slices("", 4); /* both given back */
    CHOOSES("format-crypto, tried on 2");
    ended(ERASE_VERIFIED, NEIGHBOUR_SPARED);
    assert_string_equal(the_drive()->trial_firmware, "F2");
}

static void test_firmware_that_failed_is_not_asked_again(void **state)
{
    (void)state;
    cut_with("F1");
    ended(ERASE_VERIFIED, NEIGHBOUR_HIT);
    firmware("F2");
    look();
    CHOOSES("overwrite"); /* the first slice is free, there is nobody to try it on */
}

/* Of core/host_priv.h, which has names that the fixture has, too. */
void trial_choose(const struct host *host, const struct host_drive *drive, const struct host_slice *slice,
                  struct order *order);

/* Three slices: one that somebody has, two given back, on which a trial could be made. */
static enum erase_method beside_a_tenant(bool passed_before, bool hit_before, bool *tried_out)
{
    static struct host world;
    struct host_drive *it = &world.drives[0];
    struct order order = {0};
    world = (struct host){.drive_count = 1, .slice_count = 3};
    it->adoption = (struct uuid){"a1"};
    it->trial_passed = passed_before;
    it->trial_hit = hit_before;
    snprintf(it->trial_firmware, sizeof(it->trial_firmware), "F1");
    snprintf(it->seen.firmware, sizeof(it->seen.firmware), "F2");
    it->seen.caps = (struct drive_caps){.format = true, .fna = 0x04};
    for (unsigned i = 0; i < 3; i++) {
        struct slice *slice = &world.slices[i].slice;
        it->seen.ns[it->seen.ns_count++] =
            (struct ns_seen){.nsid = {i + 1}, .attached = true, .size_blocks = 8, .block_bytes = 512};
        *slice = (struct slice){.adoption = it->adoption,
                                .nsid = {i + 1},
                                .size_bytes = 4096,
                                .block_bytes = 512,
                                .state = i == 0 ? SLICE_ATTACHED : SLICE_DIRTY,
                                .attached_seq = 1};
        snprintf(slice->owner.v, sizeof(slice->owner.v), "%s", i == 0 ? "somebody" : "");
    }
    trial_choose(&world, it, &world.slices[1], &order);
    *tried_out = order.neighbour.nsid.v != 0;
    return order.method;
}

static void test_trial_is_not_made_beside_a_tenant(void **state)
{
    static const struct {
        const char *rule;
        bool passed, hit;
        enum erase_method method;
        bool tried;
    } rows[] = {
        {"never tried", false, false, ERASE_OVERWRITE, false},
        {"failed with its last firmware", false, true, ERASE_OVERWRITE, false},
        {"passed with its last firmware", true, false, ERASE_FORMAT_CRYPTO, true},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        bool tried = false;
        const enum erase_method method = beside_a_tenant(rows[i].passed, rows[i].hit, &tried);
        if (method != rows[i].method || tried != rows[i].tried)
            fail_msg("%s: got %s%s", rows[i].rule, erase_method_word(method), tried ? ", tried" : "");
    }
}

static void test_used_blocks_that_vanish_are_a_sign(void **state)
{
    static const struct {
        const char *rule;
        uint64_t was, is;
        bool fault;
    } rows[] = {
        {"gone to zero", 7, 0, true},
        {"less is no sign", 7, 1, false},
        {"never any", 0, 0, false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        passed();
        want_slices("a", 1);
        ns_at(1)->used_blocks = rows[i].was;
        tick(61000);
        relist();
        seen();
        wants->slices[1].owner.v[0] = '\0';
        wants->slices[1].generation = 2;
        send_wants();
        SAYS("erase 2");
        ns_at(1)->used_blocks = rows[i].is;
        erased(ERASE_VERIFIED);
        look();
        if ((the_drive()->adopt == ADOPT_FAULT) != rows[i].fault)
            fail_msg("%s: the drive is %s: %s", rows[i].rule, adopt_word(the_drive()->adopt), the_drive()->why);
        teardown(state);
        setup(state);
    }
}

static void test_used_blocks_may_vanish_without_an_erase(void **state)
{
    (void)state;
    passed();
    want_slices("a", 1);
    ns_at(1)->used_blocks = 7;
    tick(61000);
    relist();
    seen();
    ns_at(1)->used_blocks = 0; /* the tenant has deallocated it */
    tick(61000);
    relist();
    seen();
    assert_int_equal(the_drive()->adopt, ADOPT_DONE);
}

static void send_retry(uint32_t retries)
{
    wants->retry_count = 1;
    wants->retries[0] = (struct want_retry){.adoption = the_drive()->adoption, .retries = retries};
    send_wants();
}

static void test_retry_leads_out_of_fault(void **state)
{
    (void)state;
    cut_with("F1");
    ended(ERASE_VERIFIED, NEIGHBOUR_HIT);
    look();
    CHOOSES("overwrite");
    ended(ERASE_VERIFIED, NEIGHBOUR_NONE);
    look();
    tick(61000);
    relist();
    seen();
    assert_int_equal(the_drive()->adopt, ADOPT_FAULT); /* time heals nothing */
    send_retry(1);
    look();
    assert_int_equal(the_drive()->adopt, ADOPT_DONE);
    assert_string_equal(the_drive()->why, "");
    want_slices("a", 1);
    want_slices("", 2);
    CHOOSES("overwrite"); /* it is not forgotten */
    host->drives[0].adopt = ADOPT_FAULT;
    send_retry(1); /* the same word is not heard twice */
    assert_int_equal(the_drive()->adopt, ADOPT_FAULT);
    wants->retries[0].adoption = (struct uuid){"another"};
    wants->retries[0].retries = 2;
    send_wants();
    assert_int_equal(the_drive()->adopt, ADOPT_FAULT);
    send_retry(2);
    assert_int_equal(the_drive()->adopt, ADOPT_CUTTING);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_first_erase_is_a_trial),
        TEST(test_drive_that_hits_is_at_fault),
        TEST(test_hit_counts_even_when_the_erase_failed),
        TEST(test_erase_that_did_nothing_proves_nothing),
        TEST(test_trial_that_could_not_be_made),
        TEST(test_one_namespace_has_nobody_to_hit),
        TEST(test_never_tried_and_somebody_has_a_slice),
        TEST(test_new_firmware_is_tried_at_the_next_opportunity),
        TEST(test_firmware_that_failed_is_not_asked_again),
        TEST(test_trial_is_not_made_beside_a_tenant),
        TEST(test_retry_leads_out_of_fault),
        TEST(test_used_blocks_that_vanish_are_a_sign),
        TEST(test_used_blocks_may_vanish_without_an_erase),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
