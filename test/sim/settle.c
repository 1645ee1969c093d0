/* With the faults gone and everything given back: every slice free, or quarantined with a reason; nothing runs; server
 * and agents agree. */
#include "sim.h"

#include "base/must.h"
#include "base/text.h"

#include <stdarg.h>
#include <stdlib.h>

struct looking {
    struct sim *sim;
    char *why;
};

static bool note(char why[256], const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static bool note(char why[256], const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(why, 256, fmt, ap);
    va_end(ap);
    return false;
}

static const struct sim_drive *drive_of(const struct sim_host *at, const char *serial)
{
    for (size_t i = 0; i < at->drive_count; i++)
        if (strcmp(soft_drive_serial(at->soft[i]), serial) == 0)
            return &at->drives[i];
    must(false);
    return NULL;
}

static bool slice_rests(const struct sim_host *at, const struct host_slice *slice, bool last, char why[256])
{
    const struct slice *row = &slice->slice;
    const struct sim_drive *drive = drive_of(at, row->drive);
    if (row->owner.v[0] != '\0')
        return note(why, "slice %s of %s still belongs to %s, and is %s", row->id.v, at->name.v, row->owner.v,
                    slice_state_word(row->state));
    if (row->state == SLICE_FREE)
        return drive->hopeless ? note(why, "slice %s is free, and nothing ever erases its drive", row->id.v) : true;
    if (row->state != SLICE_QUARANTINED)
        return note(why, "slice %s of %s is %s: %s", row->id.v, at->name.v, slice_state_word(row->state), row->why);
    if (!drive->suspect && !drive->careless && !drive->hopeless)
        return note(why, "slice %s of %s is quarantined without a fault: %s", row->id.v, at->name.v, row->why);
    if (last && !drive->hopeless && !sim_is_lost(row))
        return note(why, "slice %s of %s is quarantined after a retry without faults: %s", row->id.v, at->name.v,
                    row->why);
    return true;
}

static bool server_agrees(struct sim *sim, const struct sim_host *at, const struct slice *slice, char why[256])
{
    struct row_slice row;
    if (!server_row(sim, ROW_SLICE, slice->id.v, &row))
        return note(why, "the server does not know slice %s", slice->id.v);
    if (row.slice.state != slice->state || row.slice.generation != slice->generation || row.claim.v[0] != '\0' ||
        !name_eq(&row.host, &at->name) || row.generation != slice->generation)
        return note(why, "server and agent differ on slice %s: %s/%s, generation %ju/%ju, wanted %ju, claim '%s'",
                    slice->id.v, slice_state_word(row.slice.state), slice_state_word(slice->state),
                    (uintmax_t)row.slice.generation, (uintmax_t)slice->generation, (uintmax_t)row.generation,
                    row.claim.v);
    return true;
}

static bool host_rests(struct sim *sim, struct sim_host *at, bool last, char why[256])
{
    const struct host *host = at->agent.host;
    struct virt_list *list = calloc(1, sizeof(*list));
    struct err err = {0};
    must(list != NULL);
    const bool quiet = at->virt.list(at->virt.self, list, &err) && list->count == 0;
    const char *left = list->count > 0 ? list->at[0].name.v : "?";
    if (!quiet)
        note(why, "a VM is left on %s: %s", at->name.v, left);
    free(list);
    tenants_sync(at);
    if (!quiet)
        return false;
    if (host == NULL || !at->agent.registered)
        return note(why, "the agent of %s is not there", at->name.v);
    if (host->vm_count > 0)
        return note(why, "the agent of %s still has VM %s: %s", at->name.v, host->vms[0].want.spec.name.v,
                    host->vms[0].why);
    for (size_t i = 0; i < host->drive_count; i++) {
        const struct host_drive *drive = &host->drives[i];
        if (!drive->present || !drive->scanned)
            return note(why, "drive %s is not looked at", drive->ident.serial);
        if (drive->adopt == ADOPT_CHECKING)
            return note(why, "drive %s is still being checked", drive->ident.serial);
        if (drive->adopt == ADOPT_CUTTING)
            return note(why, "drive %s is still being cut: %s", drive->ident.serial, drive->why);
    }
    for (size_t i = 0; i < host->slice_count; i++)
        if (!slice_rests(at, &host->slices[i], last, why) || !server_agrees(sim, at, &host->slices[i].slice, why))
            return false;
    if (at->mind.records_have != host->erasure_seq)
        return note(why, "%s: the server holds %ju records of %ju", at->name.v, (uintmax_t)at->mind.records_have,
                    (uintmax_t)host->erasure_seq);
    return true;
}

static bool claim_left(void *ctx, const void *row)
{
    const struct looking *looking = ctx;
    const struct row_claim *claim = row;
    return note(looking->why, "claim %s is left: %s", claim->id.v, claim_state_words[claim->state]);
}

static bool vm_left(void *ctx, const void *row)
{
    const struct looking *looking = ctx;
    const struct row_vm *vm = row;
    return note(looking->why, "VM %s is left at the server: %s", vm->spec.name.v, vm_power_word(vm->power));
}

bool settled(struct sim *sim, bool last, char why[256])
{
    struct looking looking = {.sim = sim, .why = why};
    why[0] = '\0';
    if (!sim->server.up)
        return note(why, "the server is not there");
    server_each(sim, ROW_VM, vm_left, &looking);
    server_each(sim, ROW_CLAIM, claim_left, &looking);
    if (why[0] != '\0')
        return false;
    if (!tasks_rest(sim, why))
        return false;
    for (size_t h = 0; h < sim->host_count; h++)
        if (!host_rests(sim, &sim->hosts[h], last, why))
            return false;
    return true;
}
