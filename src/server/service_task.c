/* Tasks: what a person asks of one drive, once (model/task.h). Wanted here until the agent has reported its end. */
#include "server/service_priv.h"

#include "base/text.h"

static bool is_set(const struct drive_task *task)
{
    return task->id.v[0] != '\0';
}

static bool slice_is_of(const struct row_slice *slice, const struct row_drive *drive)
{
    return strcmp(slice->slice.drive, drive->report.seen.ident.serial) == 0 && name_eq(&slice->host, &drive->host);
}

/* The slices of an empty drive are given up together: from this transaction on they are nobody's to have. */
static bool slices_reserve(struct service *service, const struct row_drive *drive, struct err *err)
{
    auto_rows struct rows rows;
    if (!rows_read(service, ROW_SLICE, &(struct store_filter){.host = drive->host.v}, &rows, err))
        return false;
    for (size_t i = 0; i < rows.count; i++) {
        struct row_slice *row = rows_at(&rows, i);
        if (!slice_is_of(row, drive) || row->gone)
            continue;
        if (!service_slice_is_free(row)) {
            err_set(err, ERR_UNSAFE, "cannot probe drive '%s' destructively: slice '%s' is %s",
                    drive->report.seen.ident.serial, row->slice.id.v,
                    row->claim.v[0] != '\0' ? "claimed" : slice_state_word(row->slice.state));
            return err_hint(err, "wait until all its slices are free: nsmith slice ls --drive %s",
                            drive->report.seen.ident.serial);
        }
        row->retire = true;
        if (!service->store->put(service->store->self, ROW_SLICE, row, err))
            return false;
    }
    return true;
}

static bool is_reported(const struct report *report, const struct slice_id *id)
{
    for (size_t i = 0; i < report->slice_count; i++)
        if (slice_id_eq(&report->slices[i].id, id))
            return true;
    return false;
}

/* What was reserved and is still there can be given out again. A slice in quarantine was retired by a person. */
static bool slices_give_back(struct service *service, const struct row_drive *drive, const struct report *report,
                             struct err *err)
{
    auto_rows struct rows rows;
    if (!rows_read(service, ROW_SLICE, &(struct store_filter){.host = drive->host.v}, &rows, err))
        return false;
    for (size_t i = 0; i < rows.count; i++) {
        struct row_slice *row = rows_at(&rows, i);
        if (!slice_is_of(row, drive) || !row->retire || row->slice.state == SLICE_QUARANTINED ||
            !is_reported(report, &row->slice.id))
            continue;
        row->retire = false;
        if (!service->store->put(service->store->self, ROW_SLICE, row, err))
            return false;
    }
    return true;
}

static bool destructive_check(const struct row_drive *drive, struct err *err)
{
    const char *serial = drive->report.seen.ident.serial;
    if (drive->report.adopt == ADOPT_DONE && drive->layout.provider == PROVIDER_NAMESPACE)
        return true;
    err_set(err, ERR_UNSAFE,
            "cannot probe drive '%s' destructively: it is %s, and nsmith works on drives that it has adopted "
            "and cut only",
            serial, drive->report.adopt == ADOPT_DONE ? "used as a whole" : adopt_word(drive->report.adopt));
    return err_hint(err, "without --destructive nothing is changed: nsmith drive probe %s", serial);
}

static bool slices_in_use(struct service *service, const struct row_drive *drive, bool *out, struct err *err)
{
    auto_rows struct rows rows;
    if (!rows_read(service, ROW_SLICE, &(struct store_filter){.host = drive->host.v}, &rows, err))
        return false;
    *out = false;
    for (size_t i = 0; i < rows.count; i++) {
        const struct row_slice *row = rows_at(&rows, i);
        *out = *out || (slice_is_of(row, drive) && (row->claim.v[0] != '\0' || row->slice.owner.v[0] != '\0'));
    }
    return true;
}

static bool firmware_fits(const struct row_drive *drive, const struct firmware_job *job, struct err *err)
{
    const struct drive_seen *seen = &drive->report.seen;
    const char *serial = seen->ident.serial;
    if (!seen->fw.can_update)
        return err_set(err, ERR_INPUT, "cannot update drive '%s': it takes no firmware (OACS bit 2)", serial);
    if (job->slot > seen->fw.slot_count)
        return err_set(err, ERR_INPUT, "cannot update drive '%s': it has no slot %u, but %zu slots", serial, job->slot,
                       seen->fw.slot_count);
    if (seen->fw.slot1_read_only && job->slot == 1)
        return err_set(err, ERR_INPUT, "cannot update drive '%s': slot 1 cannot be written", serial);
    if (job->action == FIRMWARE_NOW && !seen->fw.no_reset) {
        err_set(err, ERR_INPUT, "cannot update drive '%s': it cannot activate firmware without a reset", serial);
        return err_hint(err, "use --activate reset");
    }
    if (drive->report.adopt == ADOPT_NONE && seen->foreign.count > 0) {
        err_set(err, ERR_UNSAFE, "cannot update drive '%s': it %s: %s", serial,
                foreign_kind_text(seen->foreign.at[0].kind), seen->foreign.at[0].detail);
        return err_hint(err, "nsmith updates blank drives, and those that it has adopted");
    }
    return true;
}

static bool firmware_ask(struct service *service, const struct task_request *request, struct row_drive *drive,
                         struct err *err)
{
    struct firmware_job job = request->firmware;
    const bool no_reset = drive->report.seen.fw.no_reset;
    bool used;
    if (!request->action_given)
        job.action = no_reset ? FIRMWARE_NOW : FIRMWARE_RESET;
    if (!firmware_fits(drive, &job, err) || !slices_in_use(service, drive, &used, err))
        return false;
    if (used && !no_reset) {
        err_set(err, ERR_UNSAFE,
                "cannot update drive '%s': slices of it are in use, and it cannot activate firmware without a "
                "reset",
                request->serial);
        return err_hint(err, "see who has them: nsmith slice ls --drive %s", request->serial);
    }
    drive->task.firmware = job;
    return firmware_check(service, &job, !request->no_image, err);
}

bool service_task(struct service *service, const struct task_request *request, struct row_drive *drive_out,
                  struct err *err)
{
    struct row_drive drive;
    if (!service_drive_find(service, request->serial, &request->host, &drive, err))
        return false;
    if (is_set(&drive.task)) {
        err_set(err, ERR_CONFLICT, "cannot ask drive '%s' for anything: it is at a %s", request->serial,
                task_kind_words[drive.task.kind]);
        return err_hint(err, "see how far it is: nsmith drive show %s", request->serial);
    }
    if (drive.wanted && request->kind != TASK_PROBE)
        return err_set(err, ERR_CONFLICT, "cannot ask drive '%s' for anything: it is being adopted", request->serial);
    if (drive.report.adopt == ADOPT_MISSING)
        return err_set(err, ERR_MISSING, "cannot ask drive '%s' for anything: it is not there any more",
                       request->serial);
    if (request->kind == TASK_PROBE_DESTRUCTIVE &&
        (!destructive_check(&drive, err) || !slices_reserve(service, &drive, err)))
        return false;
    if (request->kind == TASK_FIRMWARE && !firmware_ask(service, request, &drive, err))
        return false;
    drive.task.kind = request->kind;
    drive.task.ident = drive.report.seen.ident;
    uuid_make(service, &drive.task.id);
    if (!service->store->put(service->store->self, ROW_DRIVE, &drive, err) || !host_touch(service, &drive.host, err))
        return false;
    *drive_out = drive;
    return true;
}

bool task_reported(struct service *service, const struct report *report, struct row_drive *drive, bool restored,
                   bool *touched, struct err *err)
{
    const struct task_report *said = &drive->report.task;
    if (!is_set(&drive->task))
        return true;
    const bool known = strcmp(said->id.v, drive->task.id.v) == 0;
    /* A database that was restored may want what was done since; whoever still wants it asks again. */
    if (known ? !task_is_over(said->state) : !restored)
        return true;
    const struct drive_task was = drive->task;
    drive->task = (struct drive_task){0};
    *touched = true;
    if (!service->store->put(service->store->self, ROW_DRIVE, drive, err)) /* it wants the image no more */
        return false;
    if (was.kind == TASK_FIRMWARE)
        return firmware_forget(service, &was.firmware, err);
    return was.kind != TASK_PROBE_DESTRUCTIVE || slices_give_back(service, drive, report, err);
}
