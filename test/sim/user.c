/* What people ask of the server: drives adopted, VMs and claims made and given back, slices retried and retired; each
 * request sometimes twice. */
#include "sim.h"

#include "base/must.h"
#include "base/text.h"

#include <stdlib.h>

static bool adopt_in(struct sim *sim, void *arg, struct err *err)
{
    const struct adopt_request *request = arg;
    struct uuid adoption;
    return service_adopt(&sim->server.service, request, NULL, &adoption, err);
}

/* The server wants the drive whatever was reported of it: only the agent's own fresh look is left. */
static bool adopt_by_force(struct sim *sim, void *arg, struct err *err)
{
    const struct adopt_request *request = arg;
    struct row_drive row;
    struct slice_class class;
    bool found;
    const struct store *store = &sim->server.store;
    if (!service_drive_find(&sim->server.service, request->serial, &request->host, &row, err) ||
        !store->get(store->self, ROW_CLASS, request->class.v, &class, &found, err) ||
        !plan_layout(&row.report.seen, &class, PROVIDER_NAMESPACE, &row.layout, err))
        return false;
    const unsigned long number = (unsigned long)sim_rand(sim, 1000000000);
    row.wanted = true;
    snprintf(row.adoption.v, sizeof(row.adoption.v), "f0000000-0000-4000-8000-%012lx", number);
    struct row_host host;
    if (!store->get(store->self, ROW_HOST, request->host.v, &host, &found, err) || !found)
        return false;
    host.wants_revision++;
    return store->put(store->self, ROW_DRIVE, &row, err) && store->put(store->self, ROW_HOST, &host, err);
}

void user_adopt(struct sim *sim, unsigned host, unsigned index)
{
    struct sim_host *at = &sim->hosts[host];
    struct sim_drive *drive = &at->drives[index];
    const struct soft_profile *profile = soft_drive_profile(drive->drive);
    struct adopt_request request = {
        .host = at->name, .class = {"1M"}, .provider = profile->ns_management ? PROVIDER_NAMESPACE : PROVIDER_WHOLE};
    struct err err = {0};
    text_cut(request.serial, sizeof(request.serial), soft_drive_serial(drive->drive));
    const bool force = drive->foreign && sim_chance(sim, 500);
    const bool ok = server_call(sim, force ? adopt_by_force : adopt_in, &request, NULL, &err);
    sim_trace(sim, "user adopts %s%s: %s", request.serial, force ? " by force" : "", ok ? "ok" : err.msg);
    if (ok && !drive->foreign && sim_chance(sim, 60))
        sim_at(sim, sim_rand(sim, 400), (struct sim_event){.kind = EV_AMBUSH, .host = host, .number = index});
}

static void adopt_any(struct sim *sim)
{
    const unsigned host = (unsigned)sim_rand(sim, sim->host_count);
    user_adopt(sim, host, (unsigned)sim_rand(sim, sim->hosts[host].drive_count));
}

/* ---- VMs and claims ---------------------------------------------------------------------------------------------- */

struct asking {
    struct vm_request vm;
    struct claim_request claim;
    struct row_vm vm_out;
    struct row_claim claim_out;
    struct sim_tenant *tenant;
    enum vm_action action;
};

static bool vm_create_in(struct sim *sim, void *arg, struct err *err)
{
    struct asking *it = arg;
    return service_vm_create(&sim->server.service, &it->vm, sim->now_ms, &it->vm_out, err);
}

static bool vm_delete_in(struct sim *sim, void *arg, struct err *err)
{
    const struct asking *it = arg;
    return service_vm_delete(&sim->server.service, &it->tenant->name, err);
}

static bool vm_act_in(struct sim *sim, void *arg, struct err *err)
{
    const struct asking *it = arg;
    return service_vm_act(&sim->server.service, &it->tenant->name, it->action, err);
}

static bool claim_in(struct sim *sim, void *arg, struct err *err)
{
    struct asking *it = arg;
    return service_claim(&sim->server.service, &it->claim, sim->now_ms, &it->claim_out, err);
}

static bool release_in(struct sim *sim, void *arg, struct err *err)
{
    const struct asking *it = arg;
    return service_claim_release(&sim->server.service, &it->tenant->claim, err);
}

static unsigned host_of(const struct sim *sim, const struct name *name)
{
    for (unsigned i = 0; i < sim->host_count; i++)
        if (name_eq(&sim->hosts[i].name, name))
            return i;
    must(false);
    return 0;
}

/* A tenant is in the book before it asks: an answer may be lost, and what it asked for be there. */
static struct sim_tenant *tenant_new(struct sim *sim, bool vm)
{
    struct sim_tenant *tenant = &sim->tenants[sim->tenant_count];
    const unsigned number = (unsigned)sim->tenant_count++;
    *tenant = (struct sim_tenant){.used = true, .vm = vm};
    snprintf(tenant->name.v, sizeof(tenant->name.v), "t%u", number);
    snprintf(tenant->uuid.v, sizeof(tenant->uuid.v), "a0000000-0000-4000-8000-%012x", number);
    if (vm)
        text_cut(tenant->claim.v, sizeof(tenant->claim.v), tenant->uuid.v);
    else
        snprintf(tenant->claim.v, sizeof(tenant->claim.v), "claim-%u", number);
    return tenant;
}

void user_ask(struct sim *sim, bool vm, uint32_t slices)
{
    if (sim->tenant_count == SIM_TENANTS)
        return;
    struct sim_tenant *tenant = tenant_new(sim, vm);
    struct asking *it = calloc(1, sizeof(*it));
    struct err err = {0};
    bool sure;
    must(it != NULL);
    it->vm.spec = (struct vm_spec){
        .name = tenant->name, .uuid = tenant->uuid, .image = "/sim/image.raw", .autostart = sim_rand(sim, 2)};
    snprintf(it->vm.flavor.v, sizeof(it->vm.flavor.v), "sim.%u", slices);
    it->claim = (struct claim_request){.id = tenant->claim, .class = {"1M"}, .slices = slices};
    const bool ok = server_call(sim, vm ? vm_create_in : claim_in, it, &sure, &err);
    sim_trace(sim, "user makes %s %s with %u slices: %s", vm ? "VM" : "claim", tenant->claim.v, slices,
              ok ? "ok" : err.msg);
    if (ok && sim_chance(sim, 200)) { /* sent once more */
        struct err again = {0};
        if (server_call(sim, vm ? vm_create_in : claim_in, it, NULL, &again))
            sim_fail(sim, "a claim was made twice: %s", tenant->claim.v);
    }
    if (ok) {
        check_granted(sim, &tenant->claim);
        tenant->host = host_of(sim, vm ? &it->vm_out.host : &it->claim_out.host);
        tenant->asked = true;
        sim->tally.claims += !vm;
    } else if (sure) {
        tenant->gone = true;
    }
    sim_at(sim, sim_rand(sim, 2000),
           (struct sim_event){.kind = EV_TENANT, .number = (uint64_t)(tenant - sim->tenants)});
    free(it);
}

/* Gives back what it has; may be asked again and again. */
void user_leave(struct sim *sim, struct sim_tenant *tenant)
{
    struct asking it = {.tenant = tenant};
    struct err err = {0};
    if (tenant->gone)
        return;
    if (!tenant->vm && !tenant->leaving) {
        tenant->sloppy = sim_chance(sim, 200); /* goes on using it for a while */
        tenant->close_ms = sim->now_ms + sim_rand(sim, 60000);
        if (!tenant->sloppy)
            tenant_close(sim, tenant);
    }
    tenant->leaving = true;
    const bool ok = server_call(sim, tenant->vm ? vm_delete_in : release_in, &it, NULL, &err);
    if (!sim->calm)
        sim_trace(sim, "user gives back %s: %s", tenant->claim.v, ok ? "ok" : err.msg);
    tenant->gone = !ok && err.kind == ERR_MISSING && !tenant->alive;
}

/* What the server knows and no tenant: found again after a restore. */
struct leftovers {
    struct sim_tenant at[SIM_TENANTS];
    size_t count;
};

static bool leftover_vm(void *ctx, const void *row)
{
    struct leftovers *list = ctx;
    const struct row_vm *vm = row;
    if (list->count < SIM_TENANTS)
        list->at[list->count++] = (struct sim_tenant){.vm = true, .name = vm->spec.name};
    return true;
}

static bool leftover_claim(void *ctx, const void *row)
{
    struct leftovers *list = ctx;
    const struct row_claim *claim = row;
    if (list->count < SIM_TENANTS)
        list->at[list->count++] = (struct sim_tenant){.claim = claim->id};
    return true;
}

void user_clear(struct sim *sim)
{
    struct leftovers *list = calloc(1, sizeof(*list));
    must(list != NULL);
    for (size_t i = 0; i < sim->tenant_count; i++)
        user_leave(sim, &sim->tenants[i]);
    server_each(sim, ROW_VM, leftover_vm, list);
    server_each(sim, ROW_CLAIM, leftover_claim, list);
    for (size_t i = 0; i < list->count; i++) {
        struct asking it = {.tenant = &list->at[i]};
        struct err ignored = {0}; /* a claim of a VM goes with it */
        server_call(sim, list->at[i].vm ? vm_delete_in : release_in, &it, NULL, &ignored);
    }
    free(list);
}

static struct sim_tenant *any_tenant(struct sim *sim)
{
    if (sim->tenant_count == 0)
        return NULL;
    struct sim_tenant *tenant = &sim->tenants[sim_rand(sim, sim->tenant_count)];
    return tenant->gone ? NULL : tenant;
}

static void act(struct sim *sim)
{
    struct sim_tenant *tenant = any_tenant(sim);
    if (tenant == NULL || !tenant->vm)
        return;
    struct asking it = {.tenant = tenant, .action = (enum vm_action)sim_rand(sim, 4)};
    struct err err = {0};
    const bool ok = server_call(sim, vm_act_in, &it, NULL, &err);
    sim_trace(sim, "user acts %d on %s: %s", (int)it.action, tenant->name.v, ok ? "ok" : err.msg);
}

/* ---- slices that need a person -------------------------------------------------------------------------------------
 */

struct slices {
    struct slice_id at[HOST_SLICES_MAX];
    size_t count;
    struct slice_id chosen;
};

static bool quarantined_add(void *ctx, const void *row)
{
    struct slices *list = ctx;
    const struct row_slice *slice = row;
    if (slice->slice.state == SLICE_QUARANTINED && !slice->gone && list->count < HOST_SLICES_MAX)
        list->at[list->count++] = slice->slice.id;
    return true;
}

static bool retry_in(struct sim *sim, void *arg, struct err *err)
{
    const struct slices *list = arg;
    return service_slice_retry(&sim->server.service, &list->chosen, err);
}

static bool retire_in(struct sim *sim, void *arg, struct err *err)
{
    const struct slices *list = arg;
    return service_slice_retire(&sim->server.service, &list->chosen, err);
}

static void repair(struct sim *sim)
{
    struct slices list = {0};
    struct err err = {0};
    server_each(sim, ROW_SLICE, quarantined_add, &list);
    if (list.count == 0)
        return;
    list.chosen = list.at[sim_rand(sim, list.count)];
    const bool retire = sim_chance(sim, 250);
    const bool ok = server_call(sim, retire ? retire_in : retry_in, &list, NULL, &err);
    sim_trace(sim, "user %s %s: %s", retire ? "retires" : "retries", list.chosen.v, ok ? "ok" : err.msg);
    sim->tally.retries += ok;
}

/* What is not there any more, or another one: no erase can bring it back. */
bool sim_is_lost(const struct slice *slice)
{
    return slice->state == SLICE_QUARANTINED &&
           (strncmp(slice->why, "missing", 7) == 0 || strncmp(slice->why, "foreign", 7) == 0 ||
            strncmp(slice->why, "resized", 7) == 0);
}

void user_retire_lost(struct sim *sim)
{
    struct slices list = {0};
    server_each(sim, ROW_SLICE, quarantined_add, &list);
    for (size_t i = 0; i < list.count; i++) {
        struct row_slice row;
        struct err ignored = {0}; /* while its claim is not gone */
        list.chosen = list.at[i];
        if (server_row(sim, ROW_SLICE, list.chosen.v, &row) && sim_is_lost(&row.slice))
            server_call(sim, retire_in, &list, NULL, &ignored);
    }
}

void user_retire_all(struct sim *sim)
{
    struct slices list = {0};
    server_each(sim, ROW_SLICE, quarantined_add, &list);
    for (size_t i = 0; i < list.count; i++) {
        struct err ignored = {0};
        list.chosen = list.at[i];
        server_call(sim, retire_in, &list, NULL, &ignored);
    }
}

void user_retry_all(struct sim *sim)
{
    struct slices list = {0};
    server_each(sim, ROW_SLICE, quarantined_add, &list);
    for (size_t i = 0; i < list.count; i++) {
        struct err err = {0};
        list.chosen = list.at[i];
        const bool ok = server_call(sim, retry_in, &list, NULL, &err);
        sim_trace(sim, "user retries %s: %s", list.chosen.v, ok ? "ok" : err.msg);
    }
}

/* ---- drives that need a person -------------------------------------------------------------------------------------
 */

struct drive_word {
    char serial[21];
    struct name host;
    enum { WORD_DRAIN, WORD_RESUME, WORD_RETRY, WORD_COUNT } word;
};

static bool drive_word_in(struct sim *sim, void *arg, struct err *err)
{
    const struct drive_word *it = arg;
    struct service *service = &sim->server.service;
    struct row_drive row;
    if (it->word == WORD_DRAIN)
        return service_drain(service, it->serial, &it->host, "sim", sim->now_ms, &row, err);
    if (it->word == WORD_RESUME)
        return service_resume(service, it->serial, &it->host, false, &row, err);
    return service_drive_retry(service, it->serial, &it->host, &row, err);
}

static void drive_word(struct sim *sim, struct sim_host *at, unsigned drive, unsigned word)
{
    static const char *const words[WORD_COUNT] = {"drains", "resumes", "retries"};
    struct drive_word it = {.host = at->name, .word = word};
    struct err err = {0};
    text_cut(it.serial, sizeof(it.serial), soft_drive_serial(at->soft[drive]));
    const bool ok = server_call(sim, drive_word_in, &it, NULL, &err);
    sim_trace(sim, "user %s drive %s: %s", words[word], it.serial, ok ? "ok" : err.msg);
}

/* Drained drives are resumed more often than others are drained, or the world would run dry. */
static void any_drive_word(struct sim *sim)
{
    struct sim_host *at = &sim->hosts[sim_rand(sim, sim->host_count)];
    const uint64_t what = sim_rand(sim, 10);
    drive_word(sim, at, (unsigned)sim_rand(sim, at->drive_count),
               what < 2   ? WORD_DRAIN
               : what < 6 ? WORD_RESUME
                          : WORD_RETRY);
}

void user_step(struct sim *sim)
{
    const uint64_t what = sim_rand(sim, 100);
    if (what < (sim->steps_left > SIM_STEPS * 9 / 10 ? 60u : 10u)) {
        adopt_any(sim);
    } else if (what < 36) {
        user_ask(sim, true, 1 + (uint32_t)sim_rand(sim, 3));
    } else if (what < 50) {
        user_ask(sim, false, 1 + (uint32_t)sim_rand(sim, 3));
    } else if (what < 70) {
        struct sim_tenant *tenant = any_tenant(sim);
        if (tenant != NULL)
            user_leave(sim, tenant);
    } else if (what < 77) {
        act(sim);
    } else if (what < 81) {
        any_drive_word(sim);
    } else if (what < 89) {
        user_task(sim);
    } else {
        repair(sim);
    }
}
