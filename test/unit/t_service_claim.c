/* Claims, VMs and slices that need a person: the sentences of server/service.h, one test each. */
#include "service_fixture.h"

/* ---- claims -------------------------------------------------------------------------------------------------------
 */

static void test_claim_is_all_or_nothing(void **state)
{
    (void)state;
    struct row_claim taken;
    struct row_slice row;
    all_free();
    DO(claim(3, "a", &taken, &err));
    assert_int_equal(taken.slice_count, 3);
    REFUSED(ERR_FULL, "needed 2, most 1", claim(2, "b", &taken, &err));
    assert_false(get(ROW_CLAIM, "b", &taken));
    unsigned owned = 0;
    for (size_t i = 0; i < 4; i++) {
        assert_true(get(ROW_SLICE, slice_of(i)->id.v, &row));
        owned += row.claim.v[0] != '\0';
        assert_int_equal(row.generation, row.claim.v[0] != '\0' ? 1 : 0);
    }
    assert_int_equal(owned, 3);
    REFUSED(ERR_CONFLICT, "there is one of that name", claim(1, "a", &taken, &err));
    DO(claim(1, "b", &taken, &err));
    REFUSED(ERR_FULL, "most 0", claim(1, "c", &taken, &err));
}

static void test_claim_bad_input(void **state)
{
    (void)state;
    struct row_claim taken;
    all_free();
    REFUSED(ERR_INPUT, "must be 1 to 16", claim(0, "a", &taken, &err));
    REFUSED(ERR_INPUT, "must be 1 to 16", claim(17, "a", &taken, &err));
    REFUSED(ERR_INPUT, "cannot name a claim", claim(1, "a b", &taken, &err));
    struct claim_request request = {.class = {"none"}, .slices = 1};
    REFUSED(ERR_MISSING, "slice class 'none'", service_claim(&service, &request, NOW_MS, &taken, &err));
    request = (struct claim_request){.class = small, .slices = 1, .host = h2};
    REFUSED(ERR_FULL, "there is no host 'h2'", service_claim(&service, &request, NOW_MS, &taken, &err));
    request.host = h1;
    REFUSED(ERR_FULL, "not up", service_claim(&service, &request, NOW_MS + SERVICE_SILENT_MS, &taken, &err));
    REFUSED(ERR_MISSING, "claim 'x'", service_claim_release(&service, &(struct claim_id){"x"}, &err));
}

static void test_proof_before_it_is_given(void **state)
{
    (void)state;
    struct row_claim taken;
    adopt();
    REFUSED(ERR_FULL, "most 0", claim(1, "blank", &taken, &err));
    erased(0, false); /* free, says the agent; the record is not here */
    REFUSED(ERR_FULL, "most 0", claim(1, "unproven", &taken, &err));
    erased(0, true);
    DO(claim(1, "proven", &taken, &err));
    assert_string_equal(taken.slices[0].v, "ns-0");
}

static void test_proof_of_another_slice(void **state)
{
    (void)state;
    struct row_claim taken;
    adopt();
    erased(0, true);
    slice_of(1)->state = SLICE_FREE;
    slice_of(1)->erased_seq = 1;
    slice_of(1)->erasure = slice_of(0)->erasure;
    DO(send(&err));
    REFUSED(ERR_FULL, "most 1", claim(2, "a", &taken, &err));
}

static void test_failed_erase_is_no_proof(void **state)
{
    (void)state;
    static const char zeros[65] = "0000000000000000000000000000000000000000000000000000000000000000";
    struct row_claim taken;
    struct row_erasure row;
    adopt();
    make_record(0, ERASE_LIED, &row);
    DO(service_record(&service, &h1, &row, zeros, "h", &err));
    slice_of(0)->state = SLICE_FREE;
    slice_of(0)->erased_seq = 1;
    slice_of(0)->erasure = row.id;
    DO(send(&err));
    REFUSED(ERR_FULL, "most 0", claim(1, "a", &taken, &err));
}

static void test_life_of_a_claim(void **state)
{
    (void)state;
    struct row_claim row;
    all_free();
    DO(claim(2, "a", &row, &err));
    assert_int_equal(row.state, CLAIM_GRANTED);
    obey();
    assert_true(get(ROW_CLAIM, "a", &row));
    assert_int_equal(row.state, CLAIM_READY);
    const uint64_t before = wants_now().revision;
    DO(service_claim_release(&service, &row.id, &err));
    DO(service_claim_release(&service, &row.id, &err)); /* twice is fine */
    assert_int_equal(wants_now().revision, before + 1);
    assert_true(get(ROW_CLAIM, "a", &row));
    assert_int_equal(row.state, CLAIM_RELEASING);
    DO(send(&err)); /* the agent has not let go yet */
    assert_true(get(ROW_CLAIM, "a", &row));
    struct row_claim other;
    REFUSED(ERR_FULL, "most 2", claim(3, "b", &other, &err));
    obey();
    assert_false(get(ROW_CLAIM, "a", &row));
    REFUSED(ERR_FULL, "most 2", claim(3, "b", &other, &err)); /* dirty */
}

static void test_slice_that_goes_with_its_drive(void **state)
{
    (void)state;
    struct row_claim row;
    all_free();
    DO(claim(4, "a", &row, &err));
    obey();
    report.drives[0].adopt = ADOPT_MISSING;
    for (size_t i = 0; i < 4; i++)
        slice_of(i)->path[0] = '\0';
    DO(send(&err));
    assert_true(get(ROW_CLAIM, "a", &row));
    assert_int_equal(row.state, CLAIM_GRANTED); /* not ready: no path can be used */
}

static void test_missing_drive_gives_nothing(void **state)
{
    (void)state;
    struct row_claim row;
    all_free();
    report.drives[0].adopt = ADOPT_MISSING;
    DO(send(&err));
    REFUSED(ERR_FULL, "most 0", claim(1, "a", &row, &err));
}

/* ---- slices that need a person -------------------------------------------------------------------------------------
 */

static void test_retry_and_retire(void **state)
{
    (void)state;
    struct row_slice row;
    all_free();
    const struct slice_id id = slice_of(0)->id;
    REFUSED(ERR_CONFLICT, "not quarantined", service_slice_retry(&service, &id, &err));
    REFUSED(ERR_CONFLICT, "not quarantined", service_slice_retire(&service, &id, &err));
    REFUSED(ERR_MISSING, "slice 'x'", service_slice_retry(&service, &(struct slice_id){"x"}, &err));
    slice_of(0)->state = SLICE_QUARANTINED;
    text_cut(slice_of(0)->why, sizeof(slice_of(0)->why), "no");
    DO(send(&err));
    DO(service_slice_retry(&service, &id, &err));
    DO(service_slice_retry(&service, &id, &err));
    assert_true(get(ROW_SLICE, id.v, &row));
    assert_int_equal(row.retries, 2);
    slice_of(0)->retries = 2; /* carried out, and again in vain */
    DO(send(&err));
    DO(service_slice_retire(&service, &id, &err));
    const struct wants wants = wants_now();
    bool retire = false;
    for (size_t i = 0; i < wants.slice_count; i++)
        retire = retire || (slice_id_eq(&wants.slices[i].id, &id) && wants.slices[i].retire);
    assert_true(retire);
    report.slices[0] = report.slices[--report.slice_count];
    DO(send(&err));
    assert_false(get(ROW_SLICE, id.v, &row));
}

static void report_first(bool there)
{
    static size_t count;
    if (!there)
        count = report.slice_count;
    report.slice_count = there ? count : 0; /* the ledger was lost, or is back */
    DO(send(&err));
}

static void test_slice_that_is_gone_can_be_forgotten(void **state)
{
    (void)state;
    struct row_slice row;
    struct row_claim taken;
    all_free();
    DO(claim(1, "a", &taken, &err));
    obey();
    const struct slice_id held = taken.slices[0];
    struct slice_id other = {0};
    for (size_t i = 0; i < 4; i++)
        if (!slice_id_eq(&slice_of(i)->id, &held))
            other = slice_of(i)->id;
    report_first(false);
    assert_true(get(ROW_SLICE, other.v, &row) && row.gone);
    REFUSED(ERR_CONFLICT, "does not report it", service_slice_retry(&service, &other, &err));
    REFUSED(ERR_CONFLICT, "still holds it", service_slice_retire(&service, &held, &err));
    const uint64_t revision = wants_now().revision;
    DO(service_slice_retire(&service, &other, &err));
    assert_true(wants_now().revision > revision); /* so that the host reports once more */
    report_first(true);                           /* it is back: the word was not meant for it */
    assert_true(get(ROW_SLICE, other.v, &row) && !row.gone && !row.retire);
    REFUSED(ERR_CONFLICT, "not quarantined", service_slice_retire(&service, &other, &err));
    report_first(false);
    DO(service_claim_release(&service, &taken.id, &err));
    DO(service_slice_retire(&service, &held, &err));
    DO(send(&err));
    assert_false(get(ROW_SLICE, held.v, &row));
    assert_false(get(ROW_CLAIM, "a", &taken));
    assert_true(get(ROW_SLICE, other.v, &row)); /* nobody said so of that one */
}

static void test_held_slice_is_not_retired(void **state)
{
    (void)state;
    struct row_claim taken;
    all_free();
    DO(claim(4, "a", &taken, &err));
    obey();
    slice_of(0)->state = SLICE_QUARANTINED;
    text_cut(slice_of(0)->why, sizeof(slice_of(0)->why), "lost");
    DO(send(&err));
    REFUSED(ERR_CONFLICT, "still holds it", service_slice_retire(&service, &slice_of(0)->id, &err));
    DO(service_claim_release(&service, &taken.id, &err));
    DO(service_slice_retire(&service, &slice_of(0)->id, &err));
}

/* ---- VMs -----------------------------------------------------------------------------------------------------------
 */

static struct vm_request vm_asked(const char *name)
{
    struct vm_request request = {.flavor = {"two"}, .spec = {.image = "/img"}};
    text_cut(request.spec.name.v, sizeof(request.spec.name.v), name);
    return request;
}

static void test_life_of_a_vm(void **state)
{
    (void)state;
    struct vm_request request = vm_asked("web");
    struct row_vm vm;
    struct row_claim held;
    all_free();
    DO(service_vm_create(&service, &request, NOW_MS, &vm, &err));
    assert_int_equal(vm.spec.vcpus, 2);
    assert_int_equal(vm.spec.memory_bytes, 64 * MIB);
    assert_int_equal(vm.spec.datapath, DATAPATH_BLK);
    assert_int_equal(strlen(vm.spec.uuid.v), 36);
    assert_string_equal(vm.claim.v, vm.spec.uuid.v);
    assert_true(get(ROW_CLAIM, vm.claim.v, &held));
    assert_int_equal(held.slice_count, 2);
    REFUSED(ERR_CONFLICT, "VM 'web' holds it", service_claim_release(&service, &held.id, &err));
    REFUSED(ERR_CONFLICT, "there is one of that name", service_vm_create(&service, &request, NOW_MS, &vm, &err));
    obey();
    report.vms[report.vm_count++] = (struct vm_report){.name = vm.spec.name, .uuid = vm.spec.uuid, .power = VM_RUNNING};
    DO(send(&err));
    assert_true(get(ROW_VM, "web", &vm));
    assert_int_equal(vm.seen.power, VM_RUNNING);
    const struct wants wants = wants_now();
    assert_int_equal(wants.vm_count, 1);
    assert_int_equal(wants.vms[0].slice_count, 2);
    assert_int_equal(wants.vms[0].starts, 1);
    DO(service_vm_delete(&service, &vm.spec.name, &err));
    DO(service_vm_delete(&service, &vm.spec.name, &err)); /* under way */
    DO(send(&err));
    assert_true(get(ROW_VM, "web", &vm));
    assert_int_equal(wants_now().vms[0].power, VM_GONE);
    report.vm_count = 0; /* an old report, from before the agent knew the VM: does not count */
    report.wants_revision = 0;
    DO(send(&err));
    assert_true(get(ROW_VM, "web", &vm));
    obey();
    assert_false(get(ROW_VM, "web", &vm));
    obey();
    assert_false(get(ROW_CLAIM, vm.claim.v, &held));
}

static void test_vm_actions(void **state)
{
    (void)state;
    struct vm_request request = vm_asked("web");
    struct row_vm vm;
    all_free();
    DO(service_vm_create(&service, &request, NOW_MS, &vm, &err));
    const struct name name = vm.spec.name;
    static const struct {
        enum vm_action action;
        enum vm_power power;
        uint32_t starts, reboots;
        bool force;
    } rows[] = {
        {VM_REBOOT, VM_RUNNING, 1, 1, false}, {VM_STOP, VM_OFF, 1, 1, false},      {VM_KILL, VM_OFF, 1, 1, true},
        {VM_STOP, VM_OFF, 1, 1, false},       {VM_START, VM_RUNNING, 2, 1, false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const uint64_t before = wants_now().revision;
        DO(service_vm_act(&service, &name, rows[i].action, &err));
        const struct wants wants = wants_now();
        assert_int_equal(wants.revision, before + 1);
        assert_int_equal(wants.vms[0].power, rows[i].power);
        assert_int_equal(wants.vms[0].starts, rows[i].starts);
        assert_int_equal(wants.vms[0].reboots, rows[i].reboots);
        assert_int_equal(wants.vms[0].force, rows[i].force);
    }
    DO(service_vm_act(&service, &name, VM_STOP, &err));
    REFUSED(ERR_CONFLICT, "it is to be off", service_vm_act(&service, &name, VM_REBOOT, &err));
    DO(service_vm_delete(&service, &name, &err));
    REFUSED(ERR_CONFLICT, "being deleted", service_vm_act(&service, &name, VM_START, &err));
    REFUSED(ERR_MISSING, "VM 'x'", service_vm_act(&service, &(struct name){"x"}, VM_START, &err));
    REFUSED(ERR_MISSING, "VM 'x'", service_vm_delete(&service, &(struct name){"x"}, &err));
}

static void test_vm_bad_input(void **state)
{
    (void)state;
    struct vm_request request = vm_asked("-x");
    struct row_vm vm;
    all_free();
    REFUSED(ERR_INPUT, "cannot name a VM", service_vm_create(&service, &request, NOW_MS, &vm, &err));
    request = vm_asked("x");
    request.flavor = (struct name){"huge"};
    REFUSED(ERR_MISSING, "flavor 'huge'", service_vm_create(&service, &request, NOW_MS, &vm, &err));
    request = vm_asked("x");
    request.spec.image[0] = '\0';
    REFUSED(ERR_INPUT, "nothing to boot from", service_vm_create(&service, &request, NOW_MS, &vm, &err));
    request = vm_asked("x");
    request.spec.memory_bytes = 2ull << 30;
    REFUSED(ERR_FULL, "too little free memory", service_vm_create(&service, &request, NOW_MS, &vm, &err));
    request = vm_asked("x");
    request.spec.vcpus = 8 * SERVICE_VCPU_OVERCOMMIT + 1;
    report.troubles = (struct troubles){.virt = "cannot connect"};
    DO(send(&err));
    REFUSED(ERR_FULL, "hypervisor that does not answer", service_vm_create(&service, &request, NOW_MS, &vm, &err));
    report.troubles = (struct troubles){0};
    DO(send(&err));
    REFUSED(ERR_FULL, "too few free vCPUs", service_vm_create(&service, &request, NOW_MS, &vm, &err));
    struct row_claim left;
    assert_false(get(ROW_VM, "x", &vm));
    DO(claim(4, "all", &left, &err)); /* nothing was taken on the way */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_claim_is_all_or_nothing),
        TEST(test_claim_bad_input),
        TEST(test_proof_before_it_is_given),
        TEST(test_proof_of_another_slice),
        TEST(test_failed_erase_is_no_proof),
        TEST(test_life_of_a_claim),
        TEST(test_slice_that_goes_with_its_drive),
        TEST(test_missing_drive_gives_nothing),
        TEST(test_retry_and_retire),
        TEST(test_slice_that_is_gone_can_be_forgotten),
        TEST(test_held_slice_is_not_retired),
        TEST(test_life_of_a_vm),
        TEST(test_vm_actions),
        TEST(test_vm_bad_input),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
