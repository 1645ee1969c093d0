/* Where something fits. The index (fleet.h) says where to look; the rows, read in the caller's transaction, decide. */
#include "server/service_priv.h"

#include "base/must.h"
#include "base/text.h"

#include <errno.h>
#include <stdlib.h>

enum { TRIES_MAX = 100 }; /* hosts that turn out to be other than the index has it */

/* Invariant 1 once more, from the server's own books: the record of that erase is here, verified, and of this slice. */
static bool proof_is_here(struct service *service, const struct row_slice *row, bool *out, struct err *err)
{
    struct row_erasure erasure;
    bool found;
    if (!service->store->get(service->store->self, ROW_ERASURE, row->slice.erasure.v, &erasure, &found, err))
        return false;
    *out = found && erasure.erasure.verdict == ERASE_VERIFIED && slice_id_eq(&erasure.slice, &row->slice.id) &&
           name_eq(&erasure.host, &row->host);
    return true;
}

enum service_of { SERVES_NOT, SERVES_DRAINED, SERVES };

static enum service_of drive_serves(const struct service *service, const struct row_drive *drive)
{
    if ((drive->report.adopt != ADOPT_DONE && drive->report.adopt != ADOPT_CUTTING) ||
        drive->task.kind == TASK_PROBE_DESTRUCTIVE ||
        (drive->task.kind == TASK_FIRMWARE && !drive->report.seen.fw.no_reset))
        return SERVES_NOT;
    const struct drive_drain drain = service_drive_drain(service, drive);
    return drain_is_on(&drain) ? SERVES_DRAINED : SERVES;
}

static uint64_t left_of(uint64_t whole, uint64_t used)
{
    return whole > used ? whole - used : 0;
}

/* ---- one host, from its rows --------------------------------------------------------------------------------- */

struct host_rows {
    struct rows drives, slices, vms;
};

static void host_rows_free(struct host_rows *rows)
{
    rows_free(&rows->drives);
    rows_free(&rows->slices);
    rows_free(&rows->vms);
}

static const struct row_drive *drive_of(const struct host_rows *rows, const struct row_slice *slice)
{
    for (size_t i = 0; i < rows->drives.count; i++) {
        const struct row_drive *drive = rows_at(&rows->drives, i);
        if (strcmp(drive->report.seen.ident.serial, slice->slice.drive) == 0)
            return drive;
    }
    return NULL;
}

/* What can be given out, or could be if its drive were not drained. */
static bool slice_add(struct service *service, const struct host_rows *rows, const struct row_slice *row,
                      struct fleet_slice *slices, size_t *count, struct err *err)
{
    const struct row_drive *drive = drive_of(rows, row);
    const enum service_of serves = drive != NULL ? drive_serves(service, drive) : SERVES_NOT;
    bool proved = false;
    if (serves == SERVES_NOT || !service_slice_is_free(row))
        return true;
    if (!proof_is_here(service, row, &proved, err))
        return false;
    if (!proved)
        return true;
    struct fleet_slice *slice = &slices[(*count)++];
    *slice = (struct fleet_slice){.id = row->slice.id, .class = row->slice.class, .left_out = serves == SERVES_DRAINED};
    text_cut(slice->drive, sizeof(slice->drive), row->slice.drive);
    return true;
}

static void room_of(const struct row_host *host, const struct rows *vms, struct fleet_host *out)
{
    uint64_t vcpus = 0, memory = 0;
    for (size_t i = 0; i < vms->count; i++) {
        const struct row_vm *vm = rows_at(vms, i);
        vcpus += vm->spec.vcpus;
        memory += vm->spec.memory_bytes;
    }
    out->vcpus_free = left_of((uint64_t)host->vcpus * SERVICE_VCPU_OVERCOMMIT, vcpus);
    out->memory_free_bytes = left_of(host->memory_bytes, memory);
}

static bool host_index(struct service *service, const struct row_host *host, struct err *err)
{
    __attribute__((cleanup(host_rows_free))) struct host_rows rows = {0};
    const struct store_filter filter = {.host = host->name.v};
    if (!rows_read(service, ROW_DRIVE, &filter, &rows.drives, err) ||
        !rows_read(service, ROW_SLICE, &filter, &rows.slices, err) ||
        !rows_read(service, ROW_VM, &filter, &rows.vms, err))
        return false;
    struct fleet_slice *slices = calloc(HOST_SLICES_MAX, sizeof(*slices));
    must(slices != NULL);
    struct fleet_host facts = {.name = host->name, .virt_down = host->troubles.virt[0] != '\0', .slices = slices};
    bool ok = true;
    for (size_t i = 0; ok && i < rows.slices.count && facts.slice_count < HOST_SLICES_MAX; i++)
        ok = slice_add(service, &rows, rows_at(&rows.slices, i), slices, &facts.slice_count, err);
    room_of(host, &rows.vms, &facts);
    if (ok)
        fleet_set(service->fleet, &facts);
    free(slices);
    return ok;
}

static bool fleet_refresh(struct service *service, struct err *err)
{
    struct name name;
    while (fleet_dirty_next(service->fleet, &name)) {
        struct row_host host;
        bool found;
        if (!service->store->get(service->store->self, ROW_HOST, name.v, &host, &found, err))
            return false;
        if (!found)
            fleet_remove(service->fleet, &name);
        else if (!host_index(service, &host, err))
            return false;
    }
    return true;
}

static bool host_mark(void *ctx, const void *row)
{
    struct service *service = ctx;
    fleet_dirty(service->fleet, &((const struct row_host *)row)->name);
    return true;
}

bool fleet_begin(struct service *service, struct err *err)
{
    return service->store->each(service->store->self, ROW_HOST, NULL, host_mark, service, err);
}

/* ---- a place ------------------------------------------------------------------------------------------------- */

/* Another server may have been there since: is it as the index has it? */
static bool still_so(struct service *service, const struct row_claim *claim, bool *out, struct err *err)
{
    *out = true;
    for (size_t i = 0; *out && i < claim->slice_count; i++) {
        struct row_slice row;
        struct row_drive drive;
        char key[96];
        bool found, proved = false;
        if (!service->store->get(service->store->self, ROW_SLICE, claim->slices[i].v, &row, &found, err))
            return false;
        *out = found && service_slice_is_free(&row) && name_eq(&row.host, &claim->host);
        if (!*out)
            return true;
        drive_key(key, &row.host, row.slice.drive);
        if (!service->store->get(service->store->self, ROW_DRIVE, key, &drive, &found, err) ||
            !proof_is_here(service, &row, &proved, err))
            return false;
        *out = found && proved && drive_serves(service, &drive) == SERVES;
    }
    return true;
}

/* VMs and memory of the host, as the rows have them now. */
static bool still_room(struct service *service, const struct sched_request *request, const struct name *name, bool *out,
                       struct err *err)
{
    auto_rows struct rows vms = {0};
    struct row_host host;
    struct fleet_host facts = {0};
    bool found;
    *out = true;
    if (request->vcpus == 0 && request->memory_bytes == 0)
        return true;
    if (!service->store->get(service->store->self, ROW_HOST, name->v, &host, &found, err) ||
        !rows_read(service, ROW_VM, &(struct store_filter){.host = name->v}, &vms, err))
        return false;
    room_of(&host, &vms, &facts);
    *out = found && facts.vcpus_free >= request->vcpus && facts.memory_free_bytes >= request->memory_bytes;
    return true;
}

static bool refuse(const struct sched_request *request, const struct sched_answer *answer, struct err *err)
{
    char why[WHY_MAX];
    sched_explain(request, answer, why, sizeof(why));
    err_set(err, ERR_FULL, "%s", why);
    return err_hint(err, "see what is there: nsmith slice ls");
}

bool fleet_find(struct service *service, const struct sched_request *request, uint64_t now_ms, struct row_claim *claim,
                struct err *err)
{
    const uint64_t up_since_ms = now_ms > SERVICE_SILENT_MS ? now_ms - SERVICE_SILENT_MS + 1 : 0;
    for (unsigned tries = 0; tries < TRIES_MAX; tries++) {
        struct sched_answer answer;
        bool slices_so = false, room_so = false;
        if (!fleet_refresh(service, err))
            return false;
        fleet_place(service->fleet, request, up_since_ms, &answer, &claim->host);
        if (!answer.placed)
            return refuse(request, &answer, err);
        memcpy(claim->slices, answer.slices, sizeof(claim->slices));
        claim->slice_count = answer.slice_count;
        if (!still_so(service, claim, &slices_so, err) || !still_room(service, request, &claim->host, &room_so, err))
            return false;
        if (slices_so && room_so)
            return true;
        fleet_dirty(service->fleet, &claim->host);
    }
    err_set(err, ERR_BUSY, "cannot find a place: what fits is taken by others all the time");
    err->sys = EAGAIN;
    return false;
}
