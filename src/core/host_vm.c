/* VMs: a claim plus a domain. One order to the hypervisor at a time. See host.h for the rules. */
#include "core/host_priv.h"

#include "base/must.h"
#include "base/text.h"

struct host_vm *host_vm_find(struct host *host, const struct uuid *uuid)
{
    for (size_t i = 0; i < host->vm_count; i++)
        if (strcmp(host->vms[i].want.spec.uuid.v, uuid->v) == 0)
            return &host->vms[i];
    return NULL;
}

void vm_want(struct host *host, const struct want_vm *want)
{
    struct host_vm *vm = host_vm_find(host, &want->spec.uuid);
    if (vm == NULL) {
        if (host->vm_count == HOST_VMS_MAX)
            return; /* the server counts too and does not place more */
        vm = &host->vms[host->vm_count++];
        *vm = (struct host_vm){0};
    } else if (memcmp(&vm->want, want, sizeof(*want)) == 0) {
        return;
    }
    vm->want = *want;
    vm->changed = true;
    vm->failures = 0;
    vm->not_before_ms = 0;
    host->virt_known = false; /* look before acting */
}

bool vm_holds(const struct host *host, const struct claim_id *claim)
{
    for (size_t i = 0; i < host->vm_count; i++)
        if (!host->vms[i].removed && claim_id_eq(&host->vms[i].want.claim, claim))
            return true;
    return false;
}

void vms_listed(struct host *host, const struct host_event *event)
{
    host->virt_busy = false;
    host->virt_listed_ms = event->now_ms;
    text_cut(host->troubles.virt, sizeof(host->troubles.virt), event->ok ? "" : event->err->msg);
    if (!event->ok)
        return;
    host->virt_known = true;
    for (size_t i = 0; i < host->vm_count; i++) {
        struct host_vm *vm = &host->vms[i];
        vm->seen_known = true;
        vm->seen = (struct vm_report){.power = VM_GONE};
        for (size_t j = 0; j < event->vm_count; j++)
            if (strcmp(event->vms[j].uuid.v, vm->want.spec.uuid.v) == 0)
                vm->seen = event->vms[j];
    }
}

static void start_ended(struct host *host, struct host_vm *vm, const struct host_event *event)
{
    if (event->ok) {
        vm->starts_done = vm->want.starts;
        vm->reboots_done = vm->want.reboots;
        vm->boot = host->boot;
        vm->changed = true;
        return;
    }
    const bool again =
        event->err->kind == ERR_BUSY || (event->err->kind == ERR_FAILED && vm->failures < VM_START_TRIES);
    if (!again) { /* until somebody asks anew */
        vm->starts_done = vm->want.starts;
        vm->boot = host->boot;
        vm->changed = true;
    }
}

void vm_done(struct host *host, const struct host_event *event)
{
    host->virt_busy = false;
    host->virt_known = false; /* look again before the next order */
    struct host_vm *vm = host_vm_find(host, &event->order->vm);
    if (vm == NULL)
        return;
    if (event->ok) {
        vm->failures = 0;
        vm->why[0] = '\0';
    } else {
        vm->failures++;
        vm->not_before_ms = event->now_ms + backoff_ms(vm->failures);
        text_cut(vm->why, sizeof(vm->why), event->err->msg);
    }
    if (event->order->kind == ORDER_VM_START)
        start_ended(host, vm, event);
    if (event->order->kind == ORDER_VM_REBOOT) {
        vm->reboots_done = vm->want.reboots;
        vm->changed = true;
    }
}

static bool slices_ready(struct host *host, const struct host_vm *vm)
{
    for (size_t i = 0; i < vm->want.slice_count; i++) {
        const struct host_slice *slice = host_slice_find(host, &vm->want.slices[i]);
        if (slice == NULL || slice->slice.state != SLICE_ATTACHED || !slice->node_known ||
            !claim_id_eq(&slice->slice.owner, &vm->want.claim))
            return false;
    }
    return vm->want.slice_count > 0;
}

/* What this VM needs next; ORDER_VIRT_LIST stands for nothing. */
static enum order_kind vm_next(struct host *host, struct host_vm *vm, uint64_t now_ms, struct host_orders *out)
{
    const enum vm_power seen = vm->seen.power;
    const bool alive = seen == VM_RUNNING || seen == VM_PAUSED;
    if (vm->want.power == VM_GONE)
        return alive ? ORDER_VM_DESTROY : ORDER_VM_UNDEFINE;
    if (vm->want.power == VM_OFF) {
        if (!alive) {
            vm->stop_since_ms = 0;
            return ORDER_VIRT_LIST;
        }
        if (vm->want.force || seen == VM_PAUSED)
            return ORDER_VM_DESTROY;
        if (vm->stop_since_ms == 0) {
            vm->stop_since_ms = now_ms;
            return ORDER_VM_SHUTDOWN;
        }
        if (now_ms - vm->stop_since_ms >= VM_GRACE_MS)
            return ORDER_VM_DESTROY;
        wake_at(out, vm->stop_since_ms + VM_GRACE_MS);
        return ORDER_VIRT_LIST;
    }
    vm->stop_since_ms = 0;
    if (seen == VM_RUNNING) {
        if (vm->starts_done != vm->want.starts) { /* it runs, so its disks were compared: only the note was lost */
            vm->starts_done = vm->want.starts;
            vm->reboots_done = vm->want.reboots;
            vm->boot = host->boot;
            vm->changed = true;
        }
        return vm->reboots_done != vm->want.reboots ? ORDER_VM_REBOOT : ORDER_VIRT_LIST;
    }
    const bool host_was_down = strcmp(vm->boot.v, host->boot.v) != 0 && vm->want.spec.autostart && vm->starts_done > 0;
    if (vm->starts_done == vm->want.starts && !host_was_down)
        return ORDER_VIRT_LIST;
    if (seen == VM_PAUSED)
        return ORDER_VM_DESTROY; /* a start that a crash cut short: nobody compared its disks */
    return slices_ready(host, vm) ? ORDER_VM_START : ORDER_VIRT_LIST;
}

static bool vm_decide(struct host *host, size_t i, uint64_t now_ms, struct host_orders *out)
{
    struct host_vm *vm = &host->vms[i];
    if (vm->removed || !vm->seen_known)
        return false;
    if (vm->want.power == VM_GONE && vm->seen.power == VM_GONE) {
        vm->removed = true;
        vm->changed = true;
        return false;
    }
    if (now_ms < vm->not_before_ms) {
        wake_at(out, vm->not_before_ms);
        return false;
    }
    const enum order_kind kind = vm_next(host, vm, now_ms, out);
    if (kind == ORDER_VIRT_LIST)
        return false;
    struct order *order = order_add(out, kind);
    order->vm = vm->want.spec.uuid;
    host->virt_busy = true;
    return true;
}

void vms_decide(struct host *host, uint64_t now_ms, struct host_orders *out)
{
    if (host->virt_busy)
        return;
    const bool hurry = host->vm_count > 0 && !host->virt_known;
    const uint64_t pause_ms = host->vm_count == 0              ? VIRT_IDLE_MS
                              : !hurry                         ? VIRT_LIST_MS
                              : host->troubles.virt[0] != '\0' ? BACKOFF_MS
                                                               : VIRT_HURRY_MS;
    if ((hurry && host->virt_listed_ms == 0) || now_ms - host->virt_listed_ms >= pause_ms) {
        host->virt_busy = true;
        order_add(out, ORDER_VIRT_LIST);
        return;
    }
    if (host->virt_known)
        for (size_t i = 0; i < host->vm_count; i++)
            if (vm_decide(host, i, now_ms, out))
                return;
    wake_at(out, host->virt_listed_ms + pause_ms);
}
