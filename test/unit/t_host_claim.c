/* The agent's mind as conversations: what is wanted of it, and its VMs. Each test is a sentence of core/host.h. Drives:
 * t_host.c. */
#include "host_fixture.h"

/* ---- fences --------------------------------------------------------------------------------------------------------
 */

static void test_fences(void **state)
{
    static const struct {
        const char *rule;
        uint64_t incarnation, registration, revision;
        bool taken;
    } rows[] = {
        {"newer", 4, REGISTRATION, 11, true},
        {"the same once more", 4, REGISTRATION, 10, true},
        {"an older revision", 4, REGISTRATION, 9, false},
        {"for another life of the agent", 4, REGISTRATION - 1, 11, false},
        {"for a life to come", 4, REGISTRATION + 1, 11, false},
        {"of a database before the restore", 3, REGISTRATION, 99, false},
        {"of a restored database: its revisions begin anew", 5, REGISTRATION, 1, true},
        {"of a restored database, for another life", 5, REGISTRATION - 1, 99, false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        ready();
        host->incarnation = 4;
        host->wants_revision = 10;
        *wants = (struct wants){.incarnation = rows[i].incarnation,
                                .registration = rows[i].registration,
                                .revision = rows[i].revision,
                                .slice_count = 1};
        wants->slices[0] = (struct want_slice){.id = slice(0)->id, .generation = 1, .owner = {"a"}};
        tell((struct host_event){.kind = HOST_WANTS, .wants = wants});
        if (result.took_wants != rows[i].taken || (slice(0)->state == SLICE_ATTACHED) != rows[i].taken)
            fail_msg("%s: got %d, slice %s", rows[i].rule, result.took_wants, slice_state_word(slice(0)->state));
        if (rows[i].taken)
            assert_int_equal(host->incarnation, rows[i].incarnation);
        teardown(state);
        setup(state);
    }
}

static void test_generations(void **state)
{
    (void)state;
    ready();
    want_slices("a", 3);
    assert_int_equal(slice(0)->generation, 3);
    want_slices("b", 3);
    assert_string_equal(slice(0)->owner.v, "a");
    want_slices("", 2);
    assert_string_equal(slice(0)->owner.v, "a");
    want_slices("b", 4); /* never from one to the next without an erase */
    assert_string_equal(slice(0)->owner.v, "a");
    want_slices("", 5);
    assert_int_equal(slice(1)->state, SLICE_DIRTY);
    assert_int_equal(slice(0)->state, SLICE_ERASING);
}

static void test_hand_out_needs_a_node(void **state)
{
    (void)state;
    ready();
    listed(NULL, 0);
    want_slices("a", 1);
    assert_int_equal(slice(0)->state, SLICE_CLAIMED);
    listed(&drive.ident, 1);
    seen();
    SAYS("node 1");
    node_told();
    assert_int_equal(slice(0)->state, SLICE_ATTACHED);
    assert_true(slice(0)->attached_seq > slice(0)->erased_seq);
    assert_int_equal(slice(1)->state, SLICE_CLAIMED);
}

static void test_lost_slice_lets_go_of_its_owner(void **state)
{
    (void)state;
    ready();
    want_slices("a", 1);
    ns_remove(2);
    tick(61000);
    relist();
    seen();
    assert_int_equal(slice(1)->state, SLICE_QUARANTINED);
    assert_string_equal(slice(1)->owner.v, "a");
    wants->slices[1].retries = 1;
    send_wants(); /* not while it is somebody's */
    assert_int_equal(slice(1)->state, SLICE_QUARANTINED);
    want_slices("", 2);
    assert_string_equal(slice(1)->owner.v, "");
}

/* ---- wear per claim -------------------------------------------------------------------------------------------------
 */

static void written(uint64_t units)
{
    drive.health = (struct drive_health){.known = true, .units_written = units, .used_percent = (uint8_t)(units / 100)};
}

static void expect_wear(const char *rule, const struct wear *got, uint64_t units, uint32_t of_slices)
{
    if (got->units_written != units || got->of_slices != of_slices || got->used_percent != units / 100)
        fail_msg("%s: got %ju of %u slices, %u %% used, want %ju of %u", rule, (uintmax_t)got->units_written,
                 got->of_slices, got->used_percent, (uintmax_t)units, of_slices);
}

static void test_wear_is_read_around_a_tenant(void **state)
{
    (void)state;
    written(100);
    ready();
    written(200); /* nobody looks */
    want_slices("a", 1);
    assert_int_equal(slice(0)->state, SLICE_ATTACHED);
    expect_wear("handed out", &slice(0)->wear_out, 100, SLICES);
    written(700);
    want_slices("", 2);
    assert_int_equal(slice(0)->state, SLICE_DIRTY);
    SAYS("scan"); /* before the erase, which writes too */
    seen();
    SAYS("erase 1");
    expect_wear("let go", &slice(0)->wear_back, 700, SLICES);
    expect_wear("let go, and not erased yet", &slice(1)->wear_back, 700, SLICES);
    const struct order erase = last_order();
    expect_wear("the record has it", &erase.wear_out, 100, SLICES);
    expect_wear("the record has it", &erase.wear_back, 700, SLICES);
    written(900);
    erased(ERASE_VERIFIED);
    SAYS("scan");
    static struct host_orders kept;
    kept = orders;
    want_slices("b", 3);
    assert_int_equal(slice(0)->state, SLICE_CLAIMED); /* not handed out on a reading from before the erase */
    orders = kept;
    seen();
    assert_int_equal(slice(0)->state, SLICE_ATTACHED);
    expect_wear("handed out again", &slice(0)->wear_out, 900, SLICES);
    expect_wear("and not back", &slice(0)->wear_back, 0, 0);
}

static void test_scan_under_way_at_the_release_is_too_early(void **state)
{
    (void)state;
    written(100);
    ready();
    want_slices("a", 1);
    tick(61000);
    relist();
    SAYS("scan");
    const struct order early = last_order();
    written(300);
    const struct drive_seen then = drive;
    written(400);
    want_slices("", 2);
    SAYS("");
    tell((struct host_event){.kind = HOST_SEEN, .ok = true, .order = &early, .seen = &then});
    expect_wear("not by that one", &slice(0)->wear_back, 0, 0);
    SAYS("scan");
    seen();
    expect_wear("by the next", &slice(0)->wear_back, 400, SLICES);
    SAYS("erase 1");
}

static void test_namespace_that_counts_for_itself(void **state)
{
    (void)state;
    written(100);
    ready();
    ns_at(2)->counts_units = true;
    ns_at(2)->units_written = 7;
    tick(61000);
    relist();
    seen();
    want_slices("a", 1);
    expect_wear("the drive's count", &slice(0)->wear_out, 100, SLICES);
    assert_int_equal(slice(1)->wear_out.units_written, 7);
    assert_int_equal(slice(1)->wear_out.of_slices, 1);
}

static void test_drive_that_does_not_count(void **state)
{
    (void)state;
    ready();
    want_slices("a", 1);
    expect_wear("no reading", &slice(0)->wear_out, 0, 0);
    want_slices("", 2);
    SAYS("erase 1"); /* and nothing waits for one */
}

/* ---- VMs -----------------------------------------------------------------------------------------------------------
 */

static struct vm_report running; /* what the hypervisor shows: power VM_GONE is nothing */

static void want_vm(enum vm_power power, uint32_t starts)
{
    struct want_vm *vm = &wants->vms[0];
    wants->vm_count = 1;
    vm->spec.name = (struct name){"web"};
    vm->spec.uuid = (struct uuid){"vm-1"};
    vm->claim = (struct claim_id){"vm-1"};
    vm->power = power;
    vm->starts = starts;
    vm->slice_count = SLICES;
    for (unsigned i = 0; i < SLICES; i++)
        vm->slices[i] = slice(i)->id;
    running.uuid = vm->spec.uuid;
    running.name = vm->spec.name;
}

static void virt_told(void)
{
    tell((struct host_event){.kind = HOST_VIRT,
                             .ok = true,
                             .vms = &running,
                             .vm_count = running.power == VM_GONE ? 0 : 1,
                             .order = &(struct order){.kind = ORDER_VIRT_LIST}});
}

/* Lets the mind look at the hypervisor until it orders something else; within `for_ms`. */
static void look(uint64_t for_ms)
{
    const uint64_t until_ms = now_ms + for_ms;
    if (strcmp(said(), "vm list") == 0)
        virt_told();
    while (strcmp(said(), "") == 0 && now_ms < until_ms) {
        tick(500);
        if (host->list_busy)
            relist();
        if (strcmp(said(), "vm list") == 0)
            virt_told();
    }
}

static void vm_done(bool ok, enum err_kind kind)
{
    const struct order order = last_order();
    const struct err err = {.kind = kind, .msg = "it does not start"};
    now_ms++;
    tell((struct host_event){.kind = HOST_VM_DONE, .ok = ok, .err = &err, .order = &order});
}

static void vm_ready(void)
{
    ready();
    running = (struct vm_report){.power = VM_GONE};
    want_slices("vm-1", 1);
    want_vm(VM_RUNNING, 1);
    send_wants();
}

static void vm_lives(void)
{
    vm_ready();
    look(5000);
    SAYS("vm start");
    running.power = VM_RUNNING;
    vm_done(true, ERR_NONE);
}

/* Answers every look at drives, nodes and VMs for a while; the first order of another kind, or "". */
static const char *first_act(uint64_t for_ms)
{
    static struct order todo[64];
    size_t count = 0;
    const uint64_t until_ms = now_ms + for_ms;
    tick(1);
    for (;;) {
        for (size_t i = 0; i < orders.count; i++)
            todo[count++] = orders.at[i];
        orders.count = 0;
        if (count == 0 && now_ms >= until_ms)
            return "";
        if (count == 0) {
            tick(500);
            continue;
        }
        const struct order order = todo[--count];
        orders.at[0] = order;
        orders.count = 1;
        if (order.kind == ORDER_LIST)
            listed(&drive.ident, 1);
        else if (order.kind == ORDER_SCAN)
            seen();
        else if (order.kind == ORDER_NODE)
            node_told();
        else if (order.kind == ORDER_VIRT_LIST)
            virt_told();
        else
            return order_word(order.kind);
    }
}

static void test_vm_starts_after_a_look(void **state)
{
    (void)state;
    vm_ready();
    SAYS("vm list"); /* who knows what runs already */
    virt_told();
    SAYS("vm start");
    assert_string_equal(last_order().vm.v, "vm-1");
    tick(60000);
    assert_null(strstr(said(), "vm")); /* one order at a time */
}

static void test_vm_waits_for_all_its_slices(void **state)
{
    (void)state;
    ready();
    running = (struct vm_report){.power = VM_GONE};
    want_vm(VM_RUNNING, 1);
    send_wants();
    look(3000);
    SAYS(""); /* nobody has claimed them */
    want_slices("other", 1);
    look(3000);
    SAYS(""); /* or somebody else */
    want_slices("", 2);
    wants->slice_count = 0;
    for (unsigned i = 0; i < SLICES; i++) {
        assert_int_equal(last_order().kind, ORDER_ERASE);
        erased(ERASE_VERIFIED);
        seen();
    }
    while (host->slices[0].node_known == false || host->slices[1].node_known == false)
        node_told();
    wants->slice_count = 1;
    wants->slices[0] = (struct want_slice){.id = slice(0)->id, .generation = 3, .owner = {"vm-1"}};
    send_wants();
    look(3000);
    SAYS(""); /* one is not enough */
    want_slices("vm-1", 4);
    look(3000);
    SAYS("vm start");
}

static void test_guest_that_powers_off_stays_off(void **state)
{
    (void)state;
    vm_lives();
    look(4000);
    running.power = VM_OFF;
    look(10000);
    SAYS("");
    want_vm(VM_RUNNING, 2);
    send_wants();
    look(3000);
    SAYS("vm start");
}

static void test_note_of_a_start_may_be_lost(void **state)
{
    (void)state;
    vm_ready();
    look(3000);
    SAYS("vm start");
    running.power = VM_RUNNING; /* it took effect, and the agent ended */
    restart("boot-1");
    assert_string_equal(first_act(10000), "");
    assert_int_equal(host->vms[0].starts_done, 1);
}

static void test_paused_leftover_is_destroyed(void **state)
{
    (void)state;
    vm_ready();
    running.power = VM_PAUSED; /* a start that was cut short: nobody has compared its disks */
    look(3000);
    SAYS("vm destroy");
    running.power = VM_OFF;
    vm_done(true, ERR_NONE);
    look(3000);
    SAYS("vm start");
}

static void test_failed_starts(void **state)
{
    static const struct {
        const char *rule;
        enum err_kind kind;
        unsigned tries;
    } rows[] = {
        {"failed: three more", ERR_FAILED, 3},
        {"the wrong disk behind a path: never again", ERR_UNSAFE, 1},
        {"bad input: never again", ERR_INPUT, 1},
        {"busy: until it goes", ERR_BUSY, 20},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        vm_ready();
        unsigned tries = 0;
        for (unsigned n = 0; n < 400 && tries < 20; n++) {
            if (strcmp(said(), "vm start") == 0) {
                tries++;
                vm_done(false, rows[i].kind);
            } else if (strncmp(said(), "scan", 4) == 0) {
                seen();
            }
            look(2000);
        }
        if (tries != rows[i].tries)
            fail_msg("%s: got %u tries", rows[i].rule, tries);
        assert_string_equal(host->vms[0].why, "it does not start");
        teardown(state);
        setup(state);
    }
}

static void test_stop(void **state)
{
    (void)state;
    vm_lives();
    want_vm(VM_OFF, 1);
    send_wants();
    look(3000);
    SAYS("vm shutdown");
    vm_done(true, ERR_NONE);
    const uint64_t asked_ms = now_ms;
    look(60000);
    SAYS("vm destroy"); /* it does not listen */
    assert_true(now_ms - asked_ms >= 18000);
    vm_done(true, ERR_NONE);
    running.power = VM_OFF;
    look(5000);
    SAYS("");
    assert_int_equal(slice(0)->state, SLICE_ATTACHED); /* off, and still its own */
}

static void test_kill_does_not_ask(void **state)
{
    (void)state;
    vm_lives();
    want_vm(VM_OFF, 1);
    wants->vms[0].force = true;
    send_wants();
    look(3000);
    SAYS("vm destroy");
}

static void test_reboot_once(void **state)
{
    (void)state;
    vm_lives();
    wants->vms[0].reboots = 1;
    send_wants();
    look(3000);
    SAYS("vm reboot");
    vm_done(true, ERR_NONE);
    look(10000);
    SAYS("");
}

static void test_delete_releases_after_the_vm_is_gone(void **state)
{
    (void)state;
    vm_lives();
    want_vm(VM_GONE, 1);
    wants->vms[0].slice_count = 0;
    want_slices("", 2);
    look(3000);
    SAYS("vm destroy");
    assert_int_equal(slice(0)->state, SLICE_ATTACHED);
    vm_done(false, ERR_BUSY); /* its process is still there */
    assert_int_equal(slice(0)->state, SLICE_ATTACHED);
    look(5000);
    SAYS("vm destroy");
    running.power = VM_OFF;
    vm_done(true, ERR_NONE);
    look(3000);
    SAYS("vm undefine");
    assert_int_equal(slice(0)->state, SLICE_ATTACHED);
    running.power = VM_GONE;
    vm_done(true, ERR_NONE);
    look(3000);
    assert_int_equal(host->vm_count, 0);
    SAYS("erase 1");
    assert_int_equal(slice(1)->state, SLICE_DIRTY);
}

static void test_autostart_after_a_reboot_of_the_host(void **state)
{
    static const struct {
        const char *rule, *boot;
        bool autostart, starts;
    } rows[] = {
        {"the host was down", "boot-2", true, true},
        {"and it is not to start by itself", "boot-2", false, false},
        {"only the agent was down", "boot-1", true, false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        wants->vms[0].spec.autostart = rows[i].autostart;
        vm_ready();
        look(3000);
        SAYS("vm start");
        vm_done(true, ERR_NONE);
        restart(rows[i].boot);
        running.power = VM_OFF;
        const bool starts = strcmp(first_act(10000), "vm start") == 0;
        if (starts != rows[i].starts)
            fail_msg("%s: got %d", rows[i].rule, starts);
        teardown(state);
        setup(state);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_fences),
        TEST(test_generations),
        TEST(test_hand_out_needs_a_node),
        TEST(test_lost_slice_lets_go_of_its_owner),
        TEST(test_wear_is_read_around_a_tenant),
        TEST(test_scan_under_way_at_the_release_is_too_early),
        TEST(test_namespace_that_counts_for_itself),
        TEST(test_drive_that_does_not_count),
        TEST(test_vm_starts_after_a_look),
        TEST(test_vm_waits_for_all_its_slices),
        TEST(test_guest_that_powers_off_stays_off),
        TEST(test_note_of_a_start_may_be_lost),
        TEST(test_paused_leftover_is_destroyed),
        TEST(test_failed_starts),
        TEST(test_stop),
        TEST(test_kill_does_not_ask),
        TEST(test_reboot_once),
        TEST(test_delete_releases_after_the_vm_is_gone),
        TEST(test_autostart_after_a_reboot_of_the_host),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
