#include "virt/virt_fake.h"

#include "base/must.h"
#include "base/text.h"

#include <stdio.h>
#include <stdlib.h>

struct fake_vm {
    struct domain domain; /* foreign: only name and uuid */
    bool foreign;
    enum vm_power power;
    bool asked, seen_asked; /* to shut down; and a list() showed it since */
    bool deaf, undead;
    unsigned reboots;
};

struct fake {
    struct fake_vm vms[HOST_VMS_MAX];
    size_t count;
    unsigned calls, fail_at; /* fail_at: the call that fails; 0: none */
    enum err_kind fail_kind;
    bool fail_after;
    bool (*look)(void *context, const char *path, struct virt_fake_behind *out);
    void *context;
};

static bool alive(const struct fake_vm *vm)
{
    return vm->power == VM_RUNNING || vm->power == VM_PAUSED;
}

static void end_life(struct fake_vm *vm)
{
    vm->power = VM_OFF;
    vm->asked = vm->seen_asked = vm->deaf = vm->undead = false;
}

static struct fake_vm *find(struct fake *fake, const struct uuid *uuid)
{
    for (size_t i = 0; i < fake->count; i++)
        if (!fake->vms[i].foreign && strcmp(fake->vms[i].domain.uuid.v, uuid->v) == 0)
            return &fake->vms[i];
    return NULL;
}

/* A domain that is not ours stays untouched, and is no proof that nobody holds the VM's slices. */
static bool is_foreign(const struct fake *fake, const struct uuid *uuid, struct err *err)
{
    for (size_t i = 0; i < fake->count; i++)
        if (fake->vms[i].foreign && strcmp(fake->vms[i].domain.uuid.v, uuid->v) == 0) {
            err_set(err, ERR_CONFLICT, "cannot touch VM '%s': it is not nsmith's", uuid->v);
            return true;
        }
    return false;
}

static bool missing(const struct uuid *vm, struct err *err)
{
    return err_set(err, ERR_MISSING, "cannot find VM '%s': the hypervisor does not have it", vm->v);
}

/* ---- failing on order: the first and the last thing each function of the port does ------------------------------ */

static bool fails_now(const struct fake *fake, bool after, struct err *err)
{
    if (fake->fail_at == 0 || fake->calls != fake->fail_at || fake->fail_after != after)
        return false;
    err_set(err, fake->fail_kind, "cannot reach the hypervisor: call %u fails %s it takes effect, as the test asked",
            fake->calls, after ? "after" : "before");
    return true;
}

static bool begin(struct fake *fake, struct err *err)
{
    fake->calls++;
    return !fails_now(fake, false, err);
}

static bool done(const struct fake *fake, struct err *err)
{
    return !fails_now(fake, true, err);
}

/* ---- the port ---------------------------------------------------------------------------------------------------- */

static bool fake_info(void *self, struct virt_info *out, struct err *err)
{
    struct fake *fake = self;
    if (!begin(fake, err) || !done(fake, err))
        return false;
    *out = (struct virt_info){.io_uring = true, .emulator = "/usr/bin/false", .version = "fake"};
    return true;
}

static void report(const struct fake_vm *vm, size_t index, struct vm_report *out)
{
    *out = (struct vm_report){.name = vm->domain.name, .uuid = vm->domain.uuid, .power = vm->power};
    memcpy(out->console_log, vm->domain.console_log, sizeof(out->console_log));
    if (alive(vm)) {
        out->iothreads = (uint32_t)vm->domain.disk_count;
        snprintf(out->console, sizeof(out->console), "/dev/pts/%zu", index);
    }
}

static bool fake_list(void *self, struct virt_list *out, struct err *err)
{
    struct fake *fake = self;
    if (!begin(fake, err) || !done(fake, err))
        return false;
    out->count = 0;
    for (size_t i = 0; i < fake->count; i++) {
        struct fake_vm *vm = &fake->vms[i];
        if (vm->foreign)
            continue;
        if (vm->asked && vm->seen_asked)
            end_life(vm);
        vm->seen_asked = vm->asked;
        report(vm, i, &out->at[out->count++]);
    }
    return true;
}

static bool same_thing(const struct domain_disk *a, const struct domain_disk *b)
{
    if (a->block_device != b->block_device)
        return false;
    return a->block_device ? a->rdev == b->rdev : a->dev == b->dev && a->ino == b->ino;
}

static bool is_free(const struct fake *fake, const struct domain_disk *disk, struct err *err)
{
    for (size_t i = 0; i < fake->count; i++) {
        const struct fake_vm *vm = &fake->vms[i];
        for (size_t j = 0; j < vm->domain.disk_count && alive(vm); j++)
            if (same_thing(&vm->domain.disks[j], disk))
                return err_set(err, ERR_FAILED, "cannot open '%s': VM '%s' has it open", disk->path, vm->domain.name.v);
    }
    return true;
}

static bool is_right(const struct fake *fake, const struct domain_disk *disk, struct err *err)
{
    if (fake->look == NULL)
        return true;
    struct virt_fake_behind behind = {0};
    if (!fake->look(fake->context, disk->path, &behind))
        return err_set(err, ERR_FAILED, "cannot open '%s': there is no such thing", disk->path);
    const bool right = disk->block_device ? behind.rdev == disk->rdev && disk->rdev != 0
                                          : behind.dev == disk->dev && behind.ino == disk->ino && disk->ino != 0;
    return right ||
           err_set(err, ERR_UNSAFE, "cannot use slice '%s': behind '%s' is something else", disk->serial.v, disk->path);
}

/* The place of the domain, old or new; NULL and err when a domain of another owner has its name or UUID. */
static struct fake_vm *define(struct fake *fake, const struct domain *domain, struct err *err)
{
    struct fake_vm *place = NULL;
    for (size_t i = 0; i < fake->count; i++) {
        struct fake_vm *vm = &fake->vms[i];
        const bool name = name_eq(&vm->domain.name, &domain->name);
        const bool uuid = strcmp(vm->domain.uuid.v, domain->uuid.v) == 0;
        if ((name || uuid) && (vm->foreign || name != uuid)) {
            err_set(err, ERR_CONFLICT, "cannot make VM '%s': there is another domain of that %s", domain->name.v,
                    name ? "name" : "UUID");
            return NULL;
        }
        if (name)
            place = vm;
    }
    if (place != NULL)
        return place;
    if (fake->count == HOST_VMS_MAX) {
        err_set(err, ERR_FULL, "cannot make VM '%s': the host has %d already", domain->name.v, HOST_VMS_MAX);
        return NULL;
    }
    place = &fake->vms[fake->count++];
    *place = (struct fake_vm){.domain = *domain, .power = VM_OFF};
    return place;
}

static bool same_disks(const struct domain *a, const struct domain *b)
{
    bool same = a->disk_count == b->disk_count;
    for (size_t i = 0; same && i < a->disk_count; i++)
        same = slice_id_eq(&a->disks[i].serial, &b->disks[i].serial) && same_thing(&a->disks[i], &b->disks[i]);
    return same;
}

static bool fake_start(void *self, const struct domain *domain, struct err *err)
{
    struct fake *fake = self;
    must(domain->disk_count <= CLAIM_SLICES_MAX);
    if (!begin(fake, err))
        return false;
    struct fake_vm *vm = define(fake, domain, err);
    if (vm == NULL)
        return false;
    if (alive(vm)) {
        if (!same_disks(&vm->domain, domain)) {
            end_life(vm);
            return err_set(err, ERR_UNSAFE, "cannot go on with VM '%s': it runs with other disks", domain->name.v);
        }
        vm->power = VM_RUNNING;
    } else {
        vm->domain = *domain;
        for (size_t i = 0; i < domain->disk_count; i++)
            if (!is_free(fake, &domain->disks[i], err) || !is_right(fake, &domain->disks[i], err))
                return false;
        vm->power = VM_RUNNING;
    }
    return done(fake, err);
}

static bool fake_shutdown(void *self, const struct uuid *uuid, struct err *err)
{
    struct fake *fake = self;
    if (!begin(fake, err) || is_foreign(fake, uuid, err))
        return false;
    struct fake_vm *vm = find(fake, uuid);
    if (vm == NULL)
        return missing(uuid, err);
    if (vm->power == VM_RUNNING && !vm->deaf) {
        vm->asked = true;
        vm->seen_asked = false;
    }
    return done(fake, err);
}

static bool fake_reboot(void *self, const struct uuid *uuid, struct err *err)
{
    struct fake *fake = self;
    if (!begin(fake, err) || is_foreign(fake, uuid, err))
        return false;
    struct fake_vm *vm = find(fake, uuid);
    if (vm == NULL)
        return missing(uuid, err);
    if (vm->power != VM_RUNNING)
        return err_set(err, ERR_CONFLICT, "cannot reboot VM '%s': it is %s", vm->domain.name.v,
                       vm_power_word(vm->power));
    vm->reboots++;
    return done(fake, err);
}

static bool fake_destroy(void *self, const struct uuid *uuid, struct err *err)
{
    struct fake *fake = self;
    if (!begin(fake, err) || is_foreign(fake, uuid, err))
        return false;
    struct fake_vm *vm = find(fake, uuid);
    if (vm != NULL && alive(vm)) {
        if (vm->undead)
            return err_set(err, ERR_BUSY, "cannot end VM '%s': its process is still there", vm->domain.name.v);
        end_life(vm);
    }
    return done(fake, err);
}

static bool fake_undefine(void *self, const struct uuid *uuid, struct err *err)
{
    struct fake *fake = self;
    if (!begin(fake, err) || is_foreign(fake, uuid, err))
        return false;
    struct fake_vm *vm = find(fake, uuid);
    if (vm != NULL && alive(vm))
        return err_set(err, ERR_CONFLICT, "cannot remove VM '%s': it is %s", vm->domain.name.v,
                       vm_power_word(vm->power));
    if (vm != NULL) {
        struct fake_vm *last = &fake->vms[--fake->count];
        memmove(vm, vm + 1, (size_t)(last - vm) * sizeof(*vm));
    }
    return done(fake, err);
}

static void fake_close(void *self)
{
    free(self);
}

bool virt_fake_open(struct virt_port *out, struct err *err)
{
    (void)err;
    struct fake *fake = calloc(1, sizeof(*fake));
    must(fake != NULL);
    *out = (struct virt_port){
        .self = fake,
        .info = fake_info,
        .list = fake_list,
        .start = fake_start,
        .shutdown = fake_shutdown,
        .reboot = fake_reboot,
        .destroy = fake_destroy,
        .undefine = fake_undefine,
        .close = fake_close,
    };
    return true;
}

/* ---- breaking it, looking into it -------------------------------------------------------------------------------- */

static struct fake *fake_of(const struct virt_port *port)
{
    must(port->close == fake_close);
    return port->self;
}

static struct fake_vm *find_alive(const struct virt_port *port, const struct uuid *uuid)
{
    struct fake_vm *vm = find(fake_of(port), uuid);
    return vm != NULL && alive(vm) ? vm : NULL;
}

void virt_fake_fail(const struct virt_port *port, unsigned nth, enum err_kind kind, bool after)
{
    struct fake *fake = fake_of(port);
    must(kind != ERR_NONE);
    fake->fail_at = nth == 0 ? 0 : fake->calls + nth;
    fake->fail_kind = kind;
    fake->fail_after = after;
}

unsigned virt_fake_calls(const struct virt_port *port)
{
    return fake_of(port)->calls;
}

void virt_fake_look(const struct virt_port *port,
                    bool (*look)(void *context, const char *path, struct virt_fake_behind *out), void *context)
{
    struct fake *fake = fake_of(port);
    fake->look = look;
    fake->context = context;
}

bool virt_fake_power_off(const struct virt_port *port, const struct uuid *uuid)
{
    struct fake_vm *vm = find_alive(port, uuid);
    if (vm == NULL || vm->power != VM_RUNNING)
        return false;
    end_life(vm);
    return true;
}

bool virt_fake_kill(const struct virt_port *port, const struct uuid *uuid)
{
    struct fake_vm *vm = find_alive(port, uuid);
    if (vm == NULL)
        return false;
    end_life(vm);
    return true;
}

bool virt_fake_pause(const struct virt_port *port, const struct uuid *uuid)
{
    struct fake_vm *vm = find_alive(port, uuid);
    if (vm == NULL)
        return false;
    vm->power = VM_PAUSED;
    return true;
}

bool virt_fake_deaf(const struct virt_port *port, const struct uuid *uuid)
{
    struct fake_vm *vm = find_alive(port, uuid);
    return vm != NULL && (vm->deaf = true);
}

bool virt_fake_undead(const struct virt_port *port, const struct uuid *uuid)
{
    struct fake_vm *vm = find_alive(port, uuid);
    return vm != NULL && (vm->undead = true);
}

void virt_fake_host_reboot(const struct virt_port *port)
{
    struct fake *fake = fake_of(port);
    for (size_t i = 0; i < fake->count; i++)
        end_life(&fake->vms[i]);
}

void virt_fake_foreign(const struct virt_port *port, const char *name, const struct uuid *uuid)
{
    struct fake *fake = fake_of(port);
    must(fake->count < HOST_VMS_MAX);
    struct fake_vm *vm = &fake->vms[fake->count++];
    *vm = (struct fake_vm){.foreign = true, .power = VM_RUNNING, .domain = {.uuid = *uuid}};
    const bool fits = text_copy(vm->domain.name.v, sizeof(vm->domain.name.v), name);
    must(fits);
}

unsigned virt_fake_holders(const struct virt_port *port, const struct slice_id *slice)
{
    const struct fake *fake = fake_of(port);
    unsigned holders = 0;
    for (size_t i = 0; i < fake->count; i++)
        for (size_t j = 0; j < fake->vms[i].domain.disk_count && alive(&fake->vms[i]); j++)
            holders += slice_id_eq(&fake->vms[i].domain.disks[j].serial, slice);
    return holders;
}

unsigned virt_fake_reboots(const struct virt_port *port, const struct uuid *uuid)
{
    const struct fake_vm *vm = find(fake_of(port), uuid);
    return vm != NULL ? vm->reboots : 0;
}

const struct domain *virt_fake_domain(const struct virt_port *port, const struct uuid *uuid)
{
    const struct fake_vm *vm = find(fake_of(port), uuid);
    return vm != NULL ? &vm->domain : NULL;
}
