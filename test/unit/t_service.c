/* The server and its agents: registrations, reports, records, drives. The sentences of server/service.h, one test each.
 */
#include "service_fixture.h"

/* ---- agents -------------------------------------------------------------------------------------------------------
 */

static void test_registration_fences(void **state)
{
    (void)state;
    struct wants wants;
    const uint64_t old = report.registration;
    register_host();
    assert_true(report.registration > old);
    REFUSED(ERR_CONFLICT, "is not the newest", service_wants(&service, &h1, old, &wants, &err));
    const uint64_t fresh = report.registration;
    report.registration = old;
    REFUSED(ERR_CONFLICT, "is not the newest", send(&err));
    report.registration = fresh;
    DO(send(&err));
    REFUSED(ERR_MISSING, "host 'h2'", service_wants(&service, &h2, 1, &wants, &err));
    uint64_t number;
    REFUSED(ERR_INPUT, "not a host name", service_register(&service, &(struct name){"a b"}, NOW_MS, &number, &err));
}

static void test_registration_survives(void **state)
{
    (void)state;
    const uint64_t old = report.registration;
    service_close(&service);
    assert_true(service_open(&service, &store, 2, &err));
    register_host();
    assert_int_equal(report.registration, old + 1);
}

static void test_host_up(void **state)
{
    (void)state;
    assert_true(service_host_up(&service, &h1, NOW_MS + SERVICE_SILENT_MS - 1));
    assert_false(service_host_up(&service, &h1, NOW_MS + SERVICE_SILENT_MS));
    assert_false(service_host_up(&service, &h2, NOW_MS));
    service_alive(&service, &h1, NOW_MS + SERVICE_SILENT_MS);
    assert_true(service_host_up(&service, &h1, NOW_MS + SERVICE_SILENT_MS));
}

static void test_restored_database_raises_incarnation(void **state)
{
    (void)state;
    all_free();
    struct row_claim taken;
    DO(claim(1, "c", &taken, &err));
    obey();
    assert_int_equal(wants_now().incarnation, 1);
    report.wants_revision += 100; /* it has seen what this database never said */
    begin();
    assert_true(send(&err));
    store.rollback(store.self); /* what is not committed is not so */
    assert_int_equal(wants_now().incarnation, 1);
    DO(send(&err));
    assert_int_equal(wants_now().incarnation, 2);
    service_close(&service);
    assert_true(service_open(&service, &store, 2, &err));
    const struct wants wants = wants_now();
    assert_int_equal(wants.incarnation, 2);
    assert_true(wants.revision > report.wants_revision);
    report.incarnation = 9;
    DO(send(&err));
    assert_int_equal(wants_now().incarnation, 10);
}

static void test_report_that_was_overtaken_is_passed_over(void **state)
{
    (void)state;
    all_free();
    struct row_slice row;
    report.number = 7;
    report.slices[0].progress_percent = 70;
    DO(send(&err));
    report.number = 6;
    report.slices[0].progress_percent = 60;
    DO(send(&err));
    assert_true(get(ROW_SLICE, "ns-0", &row));
    assert_int_equal(row.slice.progress_percent, 70);
    report.number = 7; /* the same once more */
    DO(send(&err));
    register_host(); /* a new life of the agent counts anew */
    report.number = 1;
    report.slices[0].progress_percent = 10;
    DO(send(&err));
    assert_true(get(ROW_SLICE, "ns-0", &row));
    assert_int_equal(row.slice.progress_percent, 10);
}

static void test_forgotten_claim_comes_back(void **state)
{
    (void)state;
    struct row_claim found;
    struct row_slice row;
    all_free();
    slice_of(1)->state = SLICE_ATTACHED; /* granted by a database that was replaced by this one */
    slice_of(1)->owner = (struct claim_id){"lost"};
    slice_of(1)->generation = 7;
    slice_of(1)->attached_seq = slice_of(1)->erased_seq + 1;
    text_cut(slice_of(1)->path, sizeof(slice_of(1)->path), "/dev/x");
    DO(send(&err));
    assert_true(get(ROW_CLAIM, "lost", &found));
    assert_int_equal(found.slice_count, 1);
    assert_int_equal(found.state, CLAIM_READY);
    assert_true(get(ROW_SLICE, "ns-1", &row));
    assert_int_equal(row.generation, 7);
    assert_string_equal(row.claim.v, "lost");
    DO(service_claim_release(&service, &found.id, &err));
    obey();
    assert_false(get(ROW_CLAIM, "lost", &found));
}

static void test_one_generation_with_two_owners(void **state)
{
    (void)state;
    struct row_claim mine, found;
    struct row_slice row;
    all_free();
    DO(claim(4, "mine", &mine, &err)); /* generation 1 here, and, in what was forgotten, another's */
    slice_of(2)->state = SLICE_ATTACHED;
    slice_of(2)->owner = (struct claim_id){"theirs"};
    slice_of(2)->generation = 1;
    slice_of(2)->attached_seq = slice_of(2)->erased_seq + 1;
    DO(send(&err));
    assert_true(get(ROW_SLICE, "ns-2", &row));
    assert_string_equal(row.claim.v, "theirs");
    assert_true(get(ROW_CLAIM, "mine", &found));
    assert_int_equal(found.state, CLAIM_GRANTED);
    DO(service_claim_release(&service, &mine.id, &err));
    assert_true(get(ROW_SLICE, "ns-2", &row));
    assert_string_equal(row.claim.v, "theirs"); /* and is not let go with mine */
}

static void test_forgotten_vm_comes_back(void **state)
{
    (void)state;
    struct row_vm row;
    const struct name name = {"old"};
    adopt();
    report.vms[report.vm_count++] =
        (struct vm_report){.name = name, .uuid = {"00000000-0000-4000-8000-000000000001"}, .power = VM_RUNNING};
    DO(send(&err));
    assert_true(get(ROW_VM, "old", &row));
    assert_int_equal(row.power, VM_RUNNING);
    assert_int_equal(wants_now().vm_count, 0); /* the agent knows better what it is made of */
    REFUSED(ERR_CONFLICT, "restored", service_vm_act(&service, &name, VM_KILL, &err));
    DO(service_vm_delete(&service, &name, &err));
    assert_int_equal(wants_now().vms[0].power, VM_GONE);
    report.vm_count = 0;
    obey();
    assert_false(get(ROW_VM, "old", &row));
}

static void test_slice_of_another_host(void **state)
{
    (void)state;
    uint64_t number;
    all_free();
    struct report *other = calloc(1, sizeof(*other));
    assert_non_null(other);
    DO(service_register(&service, &h2, NOW_MS, &number, &err));
    *other = (struct report){.host = h2, .registration = number, .slice_count = 1};
    other->slices[0] = *slice_of(0);
    REFUSED(ERR_CONFLICT, "belongs to host 'h1'", service_report(&service, other, NOW_MS, &err));
    free(other);
}

/* ---- the chain ----------------------------------------------------------------------------------------------------
 */

static void test_records_are_a_chain(void **state)
{
    (void)state;
    struct row_erasure row;
    struct row_host host;
    all_free();
    assert_int_equal(records, 4);
    make_record(0, ERASE_VERIFIED, &row);
    REFUSED(ERR_CONFLICT, "ends at record 4", service_record(&service, &h1, &row, "other", "next", &err));
    row.seq = 6;
    REFUSED(ERR_CONFLICT, "ends at record 4", service_record(&service, &h1, &row, hash, "next", &err));
    row.seq = 4; /* sent twice */
    DO(service_record(&service, &h1, &row, "whatever", "next", &err));
    assert_true(get(ROW_HOST, "h1", &host));
    assert_int_equal(host.erasures_have, 4);
    assert_string_equal(host.anchor, hash);
    assert_int_equal(wants_now().erasures_have, 4);
}

/* ---- drives -------------------------------------------------------------------------------------------------------
 */

static void test_adoption_is_planned(void **state)
{
    (void)state;
    struct adopt_request request = {.serial = "SER1", .class = small};
    struct row_drive drive;
    struct layout layout, other;
    struct uuid adoption;
    DO(service_plan(&service, &request, &drive, &layout, &err));
    assert_int_equal(layout.count, 4);
    assert_true(get(ROW_DRIVE, "h1/SER1", &drive));
    assert_false(drive.wanted); /* a plan changes nothing */
    other = layout;
    other.count = 3;
    REFUSED(ERR_CONFLICT, "not as it was", service_adopt(&service, &request, &other, &adoption, &err));
    const uint64_t before = wants_now().revision;
    DO(service_adopt(&service, &request, &layout, &adoption, &err));
    const struct wants wants = wants_now();
    assert_true(wants.revision > before);
    assert_int_equal(wants.drive_count, 1);
    assert_string_equal(wants.drives[0].adoption.v, adoption.v);
}

static void test_adoption_is_refused(void **state)
{
    (void)state;
    struct uuid adoption;
    struct adopt_request request = {.serial = "NONE", .class = small};
    REFUSED(ERR_MISSING, "no host reports", service_adopt(&service, &request, NULL, &adoption, &err));
    text_cut(request.serial, sizeof(request.serial), "SER1");
    request.class = (struct name){"9T"};
    REFUSED(ERR_MISSING, "slice class '9T'", service_adopt(&service, &request, NULL, &adoption, &err));
    request.class = (struct name){0}; /* 500G */
    REFUSED(ERR_FULL, "not one fits", service_adopt(&service, &request, NULL, &adoption, &err));
    request.class = small;
    report.drives[0].seen.caps.ns_management = false;
    DO(send(&err));
    REFUSED(ERR_INPUT, "no namespace management", service_adopt(&service, &request, NULL, &adoption, &err));
    foreign_add(&report.drives[0].seen.foreign, FOREIGN_MOUNT, (struct nsid){1}, "/home");
    DO(send(&err));
    REFUSED(ERR_UNSAFE, "/home", service_adopt(&service, &request, NULL, &adoption, &err));
    report.drives[0].seen.foreign.count = 0;
    report.drives[0].adopt = ADOPT_DONE;
    DO(send(&err));
    REFUSED(ERR_CONFLICT, "adopted already", service_adopt(&service, &request, NULL, &adoption, &err));
}

static void test_refusal_of_the_agent_ends_the_wish(void **state)
{
    (void)state;
    const struct adopt_request request = {.serial = "SER1", .class = small};
    struct drive_report *drive = &report.drives[0];
    struct uuid adoption;
    DO(service_adopt(&service, &request, NULL, &adoption, &err));
    drive->adopt = ADOPT_REFUSED;
    drive->adoption = (struct uuid){"another wish"};
    DO(send(&err));
    assert_int_equal(wants_now().drive_count, 1);
    drive->adoption = adoption;
    DO(send(&err));
    assert_int_equal(wants_now().drive_count, 0);
    DO(service_adopt(&service, &request, NULL, &adoption, &err)); /* asked for anew */
    assert_int_equal(wants_now().drive_count, 1);
}

static const struct row_drive *drive_row(void)
{
    static struct row_drive row;
    DO(service_drive_find(&service, "SER1", &h1, &row, &err));
    return &row;
}

/* The agent forgets what it refused when it starts anew; whoever asked wants to know. */
static void test_verdict_on_a_wish_stands(void **state)
{
    (void)state;
    const struct adopt_request request = {.serial = "SER1", .class = small};
    struct drive_report *drive = &report.drives[0];
    struct uuid adoption;
    DO(service_adopt(&service, &request, NULL, &adoption, &err));
    drive->adopt = ADOPT_REFUSED;
    drive->adoption = adoption;
    text_cut(drive->why, sizeof(drive->why), "make a new plan");
    DO(send(&err));
    drive_fill(drive, "SER1"); /* a new life of the agent */
    DO(send(&err));
    DO(send(&err));
    assert_int_equal(drive_row()->report.adopt, ADOPT_REFUSED);
    assert_string_equal(drive_row()->report.why, "make a new plan");
    DO(service_adopt(&service, &request, NULL, &adoption, &err)); /* a new wish ends it */
    DO(send(&err));
    assert_int_equal(drive_row()->report.adopt, ADOPT_NONE);
    assert_int_equal(wants_now().drive_count, 1);
}

/* Before an agent has looked, it reports none: that is not the news that they are gone. */
static void test_wish_survives_an_agent_that_has_not_looked_yet(void **state)
{
    (void)state;
    const struct adopt_request request = {.serial = "SER1", .class = small};
    struct uuid adoption;
    struct row_drive row;
    DO(service_adopt(&service, &request, NULL, &adoption, &err));
    report.drive_count = 0;
    report.drives_known = false;
    DO(send(&err));
    assert_int_equal(wants_now().drive_count, 1);
    report.drives_known = true;
    DO(send(&err));
    assert_int_equal(wants_now().drive_count, 0);
    REFUSED(ERR_MISSING, "no host reports", service_drive_find(&service, "SER1", &h1, &row, &err));
}

static void test_serial_on_two_hosts(void **state)
{
    (void)state;
    uint64_t number;
    struct row_drive row;
    struct report *other = calloc(1, sizeof(*other));
    assert_non_null(other);
    DO(service_register(&service, &h2, NOW_MS, &number, &err));
    *other = (struct report){.host = h2, .registration = number, .drive_count = 1};
    drive_fill(&other->drives[0], "SER1");
    DO(service_report(&service, other, NOW_MS, &err));
    REFUSED(ERR_CONFLICT, "both have one", service_drive_find(&service, "SER1", &(struct name){0}, &row, &err));
    DO(service_drive_find(&service, "SER1", &h2, &row, &err));
    assert_string_equal(row.host.v, "h2");
    free(other);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_registration_fences),
        TEST(test_registration_survives),
        TEST(test_host_up),
        TEST(test_restored_database_raises_incarnation),
        TEST(test_report_that_was_overtaken_is_passed_over),
        TEST(test_forgotten_claim_comes_back),
        TEST(test_one_generation_with_two_owners),
        TEST(test_forgotten_vm_comes_back),
        TEST(test_slice_of_another_host),
        TEST(test_records_are_a_chain),
        TEST(test_adoption_is_planned),
        TEST(test_adoption_is_refused),
        TEST(test_refusal_of_the_agent_ends_the_wish),
        TEST(test_verdict_on_a_wish_stands),
        TEST(test_wish_survives_an_agent_that_has_not_looked_yet),
        TEST(test_serial_on_two_hosts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
