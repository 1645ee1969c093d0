#include "virt/virt_fake.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static const struct uuid uuid_a = {"aaaaaaaa-0000-4000-8000-000000000001"};
static const struct uuid uuid_b = {"bbbbbbbb-0000-4000-8000-000000000002"};

static struct domain domain_of(const char *name, const struct uuid *uuid, unsigned first, size_t disks)
{
    struct domain domain = {.uuid = *uuid, .vcpus = 1, .memory_bytes = 16 << 20, .disk_count = disks};
    snprintf(domain.name.v, sizeof(domain.name.v), "%s", name);
    for (size_t i = 0; i < disks; i++) {
        struct domain_disk *disk = &domain.disks[i];
        const unsigned n = first + (unsigned)i;
        *disk = (struct domain_disk){.block_device = true, .iothread = (uint32_t)i + 1, .rdev = 0x10300 + n};
        snprintf(disk->serial.v, sizeof(disk->serial.v), "ns-%u", n);
        snprintf(disk->path, sizeof(disk->path), "/dev/nvme0n%u", n);
    }
    return domain;
}

static int open_port(void **state)
{
    static struct virt_port port;
    struct err err = {0};
    *state = &port;
    return virt_fake_open(&port, &err) ? 0 : -1;
}

static int close_port(void **state)
{
    struct virt_port *port = *state;
    port->close(port->self);
    return 0;
}

/* The kind of error of a call. */
static enum err_kind start(struct virt_port *port, const struct domain *domain)
{
    struct err err = {0};
    const bool ok = port->start(port->self, domain, &err);
    assert_int_equal(ok, err.kind == ERR_NONE);
    return err.kind;
}

static enum err_kind call(struct virt_port *port, bool (*function)(void *, const struct uuid *, struct err *),
                          const struct uuid *vm)
{
    struct err err = {0};
    const bool ok = function(port->self, vm, &err);
    assert_int_equal(ok, err.kind == ERR_NONE);
    return err.kind;
}

static void shows(struct virt_port *port, const char *when, const struct uuid *vm, enum vm_power want)
{
    static struct virt_list list;
    struct err err = {0};
    assert_true(port->list(port->self, &list, &err));
    enum vm_power got = VM_GONE;
    for (size_t i = 0; i < list.count; i++)
        if (strcmp(list.at[i].uuid.v, vm->v) == 0)
            got = list.at[i].power;
    if (got != want)
        fail_msg("%s: got %s, want %s", when, vm_power_word(got), vm_power_word(want));
}

static void a_life(void **state)
{
    struct virt_port *port = *state;
    const struct domain a = domain_of("a", &uuid_a, 1, 3);
    const struct slice_id second = {"ns-2"};
    shows(port, "before", &uuid_a, VM_GONE);
    assert_int_equal(start(port, &a), ERR_NONE);
    shows(port, "started", &uuid_a, VM_RUNNING);
    assert_int_equal(virt_fake_holders(port, &second), 1);
    assert_int_equal(start(port, &a), ERR_NONE); /* running: true */
    assert_int_equal(call(port, port->undefine, &uuid_a), ERR_CONFLICT);
    assert_int_equal(call(port, port->shutdown, &uuid_a), ERR_NONE);
    shows(port, "asked to shut down", &uuid_a, VM_RUNNING);
    shows(port, "obeyed", &uuid_a, VM_OFF);
    assert_int_equal(virt_fake_holders(port, &second), 0);
    assert_int_equal(start(port, &a), ERR_NONE);
    assert_int_equal(call(port, port->destroy, &uuid_a), ERR_NONE);
    assert_int_equal(call(port, port->destroy, &uuid_a), ERR_NONE); /* off: true */
    shows(port, "destroyed", &uuid_a, VM_OFF);                      /* the definition stays */
    assert_int_equal(call(port, port->undefine, &uuid_a), ERR_NONE);
    shows(port, "undefined", &uuid_a, VM_GONE);
    assert_int_equal(call(port, port->undefine, &uuid_a), ERR_NONE); /* gone already: true */
    assert_int_equal(call(port, port->shutdown, &uuid_a), ERR_MISSING);
    assert_int_equal(call(port, port->reboot, &uuid_a), ERR_MISSING);
}

static void reports_tell_all(void **state)
{
    struct virt_port *port = *state;
    static struct virt_list list;
    struct domain a = domain_of("a", &uuid_a, 1, 3);
    struct err err = {0};
    snprintf(a.console_log, sizeof(a.console_log), "/log/a");
    assert_int_equal(start(port, &a), ERR_NONE);
    assert_true(port->list(port->self, &list, &err));
    assert_int_equal(list.count, 1);
    assert_string_equal(list.at[0].name.v, "a");
    assert_int_equal(list.at[0].iothreads, 3);
    assert_string_equal(list.at[0].console_log, "/log/a");
    assert_true(list.at[0].console[0] == '/');
    assert_int_equal(call(port, port->reboot, &uuid_a), ERR_NONE);
    assert_int_equal(virt_fake_reboots(port, &uuid_a), 1);
}

static void undefining_one_leaves_the_others(void **state)
{
    struct virt_port *port = *state;
    const struct domain a = domain_of("a", &uuid_a, 1, 1), b = domain_of("b", &uuid_b, 2, 1);
    assert_int_equal(start(port, &a), ERR_NONE);
    assert_int_equal(start(port, &b), ERR_NONE);
    assert_int_equal(call(port, port->destroy, &uuid_a), ERR_NONE);
    assert_int_equal(call(port, port->undefine, &uuid_a), ERR_NONE);
    shows(port, "other undefined", &uuid_b, VM_RUNNING);
    assert_string_equal(virt_fake_domain(port, &uuid_b)->name.v, "b");
    assert_null(virt_fake_domain(port, &uuid_a));
}

static void foreign_domains_are_left_alone(void **state)
{
    struct virt_port *port = *state;
    struct domain a = domain_of("a", &uuid_a, 1, 1);
    virt_fake_foreign(port, "a", &uuid_b);
    assert_int_equal(start(port, &a), ERR_CONFLICT); /* its name */
    shows(port, "foreign", &uuid_b, VM_GONE);
    assert_int_equal(call(port, port->destroy, &uuid_b), ERR_CONFLICT);
    assert_int_equal(call(port, port->undefine, &uuid_b), ERR_CONFLICT);
    assert_int_equal(call(port, port->shutdown, &uuid_b), ERR_CONFLICT);
    assert_int_equal(call(port, port->reboot, &uuid_b), ERR_CONFLICT);
    a = domain_of("other", &uuid_b, 1, 1);
    assert_int_equal(start(port, &a), ERR_CONFLICT); /* its UUID */
    a = domain_of("other", &uuid_a, 1, 1);
    assert_int_equal(start(port, &a), ERR_NONE);
    a = domain_of("renamed", &uuid_a, 1, 1);
    assert_int_equal(start(port, &a), ERR_CONFLICT); /* the UUID of another VM of ours */
}

static void two_guests_never_share_a_slice(void **state)
{
    struct virt_port *port = *state;
    const struct domain a = domain_of("a", &uuid_a, 1, 2), b = domain_of("b", &uuid_b, 2, 2);
    assert_int_equal(start(port, &a), ERR_NONE);
    assert_int_equal(start(port, &b), ERR_FAILED);
    shows(port, "second", &uuid_b, VM_OFF);
    assert_true(virt_fake_kill(port, &uuid_a));
    assert_int_equal(start(port, &b), ERR_NONE);
    assert_int_equal(start(port, &a), ERR_FAILED);
}

static bool swapped(void *context, const char *path, struct virt_fake_behind *out)
{
    unsigned n = 0;
    assert_int_equal(sscanf(path, "/dev/nvme0n%u", &n), 1);
    *out = (struct virt_fake_behind){.rdev = 0x10300 + n + *(const unsigned *)context};
    return n != 9;
}

static void what_is_opened_is_compared(void **state)
{
    struct virt_port *port = *state;
    unsigned shift = 0;
    const struct domain a = domain_of("a", &uuid_a, 1, 2), none = domain_of("b", &uuid_b, 9, 1);
    virt_fake_look(port, swapped, &shift);
    assert_int_equal(start(port, &none), ERR_FAILED);
    shift = 1;
    assert_int_equal(start(port, &a), ERR_UNSAFE);
    shows(port, "wrong disk", &uuid_a, VM_OFF);
    shift = 0;
    assert_int_equal(start(port, &a), ERR_NONE);
    const struct domain other = domain_of("a", &uuid_a, 5, 2);
    assert_int_equal(start(port, &other), ERR_UNSAFE); /* it runs, but with other disks */
    shows(port, "other disks", &uuid_a, VM_OFF);
}

static void guests_have_a_will_of_their_own(void **state)
{
    struct virt_port *port = *state;
    const struct domain a = domain_of("a", &uuid_a, 1, 1);
    assert_false(virt_fake_power_off(port, &uuid_a));
    assert_int_equal(start(port, &a), ERR_NONE);
    assert_true(virt_fake_power_off(port, &uuid_a));
    shows(port, "powered itself off", &uuid_a, VM_OFF);
    assert_int_equal(start(port, &a), ERR_NONE);
    assert_true(virt_fake_deaf(port, &uuid_a));
    assert_int_equal(call(port, port->shutdown, &uuid_a), ERR_NONE);
    shows(port, "deaf", &uuid_a, VM_RUNNING);
    shows(port, "still deaf", &uuid_a, VM_RUNNING);
    assert_true(virt_fake_undead(port, &uuid_a));
    assert_int_equal(call(port, port->destroy, &uuid_a), ERR_BUSY);
    shows(port, "undead", &uuid_a, VM_RUNNING);
    assert_true(virt_fake_kill(port, &uuid_a));
    assert_int_equal(call(port, port->destroy, &uuid_a), ERR_NONE);
    assert_int_equal(start(port, &a), ERR_NONE);
    assert_true(virt_fake_pause(port, &uuid_a));
    shows(port, "paused", &uuid_a, VM_PAUSED);
    assert_int_equal(call(port, port->reboot, &uuid_a), ERR_CONFLICT);
    assert_int_equal(start(port, &a), ERR_NONE);
    shows(port, "resumed", &uuid_a, VM_RUNNING);
    virt_fake_host_reboot(port);
    shows(port, "host rebooted", &uuid_a, VM_OFF);
}

/* Each of the calls of a life fails once, before and after it took effect; asked again, the life goes on. */
static void every_call_can_fail(void **state)
{
    struct virt_port *port = *state;
    const struct domain a = domain_of("a", &uuid_a, 1, 1);
    for (int after = 0; after < 2; after++)
        for (unsigned nth = 1; nth <= 3; nth++) {
            enum err_kind got[3];
            virt_fake_fail(port, nth, ERR_BUSY, after != 0);
            if ((got[0] = start(port, &a)) != ERR_NONE) {
                shows(port, "start failed", &uuid_a, after ? VM_RUNNING : VM_GONE);
                assert_int_equal(start(port, &a), ERR_NONE);
            }
            if ((got[1] = call(port, port->destroy, &uuid_a)) != ERR_NONE) {
                shows(port, "destroy failed", &uuid_a, after ? VM_OFF : VM_RUNNING);
                assert_int_equal(call(port, port->destroy, &uuid_a), ERR_NONE);
            }
            if ((got[2] = call(port, port->undefine, &uuid_a)) != ERR_NONE) {
                shows(port, "undefine failed", &uuid_a, after ? VM_GONE : VM_OFF);
                assert_int_equal(call(port, port->undefine, &uuid_a), ERR_NONE);
            }
            for (unsigned i = 0; i < 3; i++)
                assert_int_equal(got[i], i + 1 == nth ? ERR_BUSY : ERR_NONE);
        }
}

static void more_than_a_host_holds(void **state)
{
    struct virt_port *port = *state;
    for (unsigned n = 0; n <= HOST_VMS_MAX; n++) {
        struct uuid uuid;
        char name[16];
        snprintf(uuid.v, sizeof(uuid.v), "aaaaaaaa-0000-4000-8000-%012u", n);
        snprintf(name, sizeof(name), "vm%u", n);
        const struct domain domain = domain_of(name, &uuid, 10 * n, 1);
        assert_int_equal(start(port, &domain), n < HOST_VMS_MAX ? ERR_NONE : ERR_FULL);
    }
}

#define WITH_PORT(test) cmocka_unit_test_setup_teardown(test, open_port, close_port)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_PORT(a_life),
        WITH_PORT(reports_tell_all),
        WITH_PORT(undefining_one_leaves_the_others),
        WITH_PORT(foreign_domains_are_left_alone),
        WITH_PORT(two_guests_never_share_a_slice),
        WITH_PORT(what_is_opened_is_compared),
        WITH_PORT(guests_have_a_will_of_their_own),
        WITH_PORT(every_call_can_fail),
        WITH_PORT(more_than_a_host_holds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
