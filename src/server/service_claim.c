/* Claims and VMs: all slices or none, in the caller's one transaction. */
#include "server/service_priv.h"

#include "base/must.h"
#include "base/text.h"

#include <stdlib.h>

bool service_slice_is_free(const struct row_slice *row)
{
    const struct slice *slice = &row->slice;
    return slice->state == SLICE_FREE && slice->generation == row->generation && row->claim.v[0] == '\0' && !row->gone &&
           !row->retire && slice->erasure.v[0] != '\0' && slice->erased_seq > slice->attached_seq;
}

/* ---- claims -------------------------------------------------------------------------------------------------- */

static bool claim_take(struct service *service, struct row_claim *claim, struct err *err)
{
    /* The claim first: a slice may only name a claim that exists. */
    if (!service->store->put(service->store->self, ROW_CLAIM, claim, err))
        return false;
    for (size_t i = 0; i < claim->slice_count; i++) {
        struct row_slice row;
        if (!must_get(service, ROW_SLICE, "slice", claim->slices[i].v, &row, err))
            return false;
        must(service_slice_is_free(&row)); /* fleet_find() has just said so, in this transaction */
        row.claim = claim->id;
        row.generation++;
        if (!service->store->put(service->store->self, ROW_SLICE, &row, err))
            return false;
    }
    return host_touch(service, &claim->host, err);
}

static bool claim_make(struct service *service, const struct sched_request *request, const struct claim_id *id,
                       const struct name *vm, uint64_t now_ms, struct row_claim *out, struct err *err)
{
    struct row_claim claim = {.id = *id, .class = request->class, .vm = *vm, .created_ms = now_ms};
    bool found;
    struct slice_class class;
    if (!must_get(service, ROW_CLASS, "slice class", request->class.v, &class, err))
        return err_hint(err, "see the classes with: nsmith class ls");
    if (claim.id.v[0] == '\0') {
        struct uuid uuid;
        uuid_make(service, &uuid);
        text_cut(claim.id.v, sizeof(claim.id.v), uuid.v);
    }
    struct row_claim old;
    if (!service->store->get(service->store->self, ROW_CLAIM, claim.id.v, &old, &found, err))
        return false;
    if (found)
        return err_set(err, ERR_CONFLICT, "cannot make claim '%s': there is one of that name", claim.id.v);
    if (!fleet_find(service, request, now_ms, &claim, err) || !claim_take(service, &claim, err))
        return false;
    *out = claim;
    return true;
}

bool service_claim(struct service *service, const struct claim_request *request, uint64_t now_ms, struct row_claim *out,
                   struct err *err)
{
    if (request->slices < 1 || request->slices > CLAIM_SLICES_MAX)
        return err_set(err, ERR_INPUT, "cannot claim %u slices: must be 1 to %d", request->slices, CLAIM_SLICES_MAX);
    if (request->id.v[0] != '\0' && !text_is_name(request->id.v, sizeof(request->id.v) - 1))
        return err_set(err, ERR_INPUT, "cannot name a claim '%s': use letters, digits, '.', '_' and '-'", request->id.v);
    struct sched_request wanted = {
        .class = request->class, .slices = request->slices, .spread = request->spread, .host = request->host};
    if (wanted.class.v[0] == '\0')
        text_cut(wanted.class.v, sizeof(wanted.class.v), "500G");
    return claim_make(service, &wanted, &request->id, &(struct name){0}, now_ms, out, err) ||
           (err->kind == ERR_FULL && err_wrap(err, "cannot place %u slices", request->slices));
}

bool claim_let_go(struct service *service, struct row_claim *claim, struct err *err)
{
    for (size_t i = 0; i < claim->slice_count; i++) {
        struct row_slice row;
        bool found;
        if (!service->store->get(service->store->self, ROW_SLICE, claim->slices[i].v, &row, &found, err))
            return false;
        if (!found || !claim_id_eq(&row.claim, &claim->id))
            continue;
        row.claim = (struct claim_id){0};
        row.generation++;
        if (!service->store->put(service->store->self, ROW_SLICE, &row, err))
            return false;
    }
    claim->state = CLAIM_RELEASING;
    return service->store->put(service->store->self, ROW_CLAIM, claim, err) && host_touch(service, &claim->host, err);
}

bool service_claim_release(struct service *service, const struct claim_id *id, struct err *err)
{
    struct row_claim claim;
    if (!must_get(service, ROW_CLAIM, "claim", id->v, &claim, err))
        return err_hint(err, "see the claims with: nsmith claim ls");
    if (claim.vm.v[0] != '\0') {
        err_set(err, ERR_CONFLICT, "cannot release claim '%s': VM '%s' holds it", id->v, claim.vm.v);
        return err_hint(err, "delete the VM: nsmith vm delete %s", claim.vm.v);
    }
    return claim.state == CLAIM_RELEASING || claim_let_go(service, &claim, err);
}

/* ---- VMs ----------------------------------------------------------------------------------------------------- */

static bool vm_fill(struct service *service, const struct vm_request *request, const struct flavor *flavor,
                    struct vm_spec *out, struct err *err)
{
    struct vm_spec spec = request->spec;
    if (spec.uuid.v[0] == '\0')
        uuid_make(service, &spec.uuid);
    if (spec.vcpus == 0)
        spec.vcpus = flavor->vcpus;
    if (spec.memory_bytes == 0)
        spec.memory_bytes = flavor->memory_bytes;
    spec.datapath = flavor->datapath;
    if (!vm_spec_check(&spec, err))
        return false;
    *out = spec;
    return true;
}

bool service_vm_create(struct service *service, const struct vm_request *request, uint64_t now_ms, struct row_vm *out,
                       struct err *err)
{
    struct flavor flavor;
    struct row_vm row = {.flavor = request->flavor, .created_ms = now_ms, .power = VM_RUNNING, .starts = 1}, old;
    bool found;
    if (!text_is_name(request->spec.name.v, NAME_MAX_LEN)) {
        err_set(err, ERR_INPUT, "cannot name a VM '%s': use 1 to %d letters, digits, '.', '_' and '-', beginning with a "
                "letter or digit", request->spec.name.v, NAME_MAX_LEN);
        return err_hint(err, "choose another name");
    }
    if (!must_get(service, ROW_FLAVOR, "flavor", request->flavor.v, &flavor, err))
        return err_hint(err, "see the flavors with: nsmith flavor ls");
    if (!vm_fill(service, request, &flavor, &row.spec, err))
        return false;
    if (!service->store->get(service->store->self, ROW_VM, row.spec.name.v, &old, &found, err))
        return false;
    if (found) {
        err_set(err, ERR_CONFLICT, "cannot make VM '%s': there is one of that name", row.spec.name.v);
        return err_hint(err, "choose another name, or delete it first: nsmith vm delete %s", row.spec.name.v);
    }
    const struct sched_request wanted = {.class = flavor.class,
                                         .slices = flavor.slices,
                                         .spread = flavor.spread,
                                         .vcpus = row.spec.vcpus,
                                         .memory_bytes = row.spec.memory_bytes,
                                         .host = request->host};
    struct claim_id id = {0};
    text_cut(id.v, sizeof(id.v), row.spec.uuid.v);
    struct row_claim claim;
    if (!claim_make(service, &wanted, &id, &row.spec.name, now_ms, &claim, err))
        return err_wrap(err, "cannot place VM '%s'", row.spec.name.v);
    row.claim = claim.id;
    row.host = claim.host;
    if (!service->store->put(service->store->self, ROW_VM, &row, err))
        return false;
    *out = row;
    return true;
}

static bool vm_get(struct service *service, const struct name *name, struct row_vm *row, struct err *err)
{
    return must_get(service, ROW_VM, "VM", name->v, row, err) || err_hint(err, "see the VMs with: nsmith vm ls");
}

bool service_vm_delete(struct service *service, const struct name *name, struct err *err)
{
    struct row_vm row;
    struct row_claim claim;
    bool found;
    if (!vm_get(service, name, &row, err))
        return false;
    if (row.power == VM_GONE)
        return true; /* under way */
    row.power = VM_GONE;
    if (!service->store->put(service->store->self, ROW_VM, &row, err) ||
        !service->store->get(service->store->self, ROW_CLAIM, row.claim.v, &claim, &found, err))
        return false;
    return found ? claim_let_go(service, &claim, err) : host_touch(service, &row.host, err);
}

bool service_vm_act(struct service *service, const struct name *name, enum vm_action action, struct err *err)
{
    struct row_vm row;
    if (!vm_get(service, name, &row, err))
        return false;
    if (row.power == VM_GONE)
        return err_set(err, ERR_CONFLICT, "cannot change VM '%s': it is being deleted", name->v);
    if (row.flavor.v[0] == '\0') {
        err_set(err, ERR_CONFLICT, "cannot change VM '%s': it was found on its host after the database was restored, and "
                "what it is made of is not known any more", name->v);
        return err_hint(err, "delete it when nobody needs it: nsmith vm delete %s", name->v);
    }
    switch (action) {
    case VM_START:
        row.power = VM_RUNNING;
        row.starts++;
        break;
    case VM_STOP:
    case VM_KILL:
        row.power = VM_OFF;
        row.force = action == VM_KILL;
        break;
    case VM_REBOOT:
        if (row.power != VM_RUNNING)
            return err_set(err, ERR_CONFLICT, "cannot reboot VM '%s': it is to be off", name->v) ||
                   err_hint(err, "start it: nsmith vm start %s", name->v);
        row.reboots++;
        break;
    }
    return service->store->put(service->store->self, ROW_VM, &row, err) && host_touch(service, &row.host, err);
}
