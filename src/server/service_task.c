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

/* What was reserved and is still there can be given out again. A slice in quarantine was retired by a person. */
static bool slices_give_back(struct service *service, const struct row_drive *drive, struct err *err)
{
    auto_rows struct rows rows;
    if (!rows_read(service, ROW_SLICE, &(struct store_filter){.host = drive->host.v}, &rows, err))
        return false;
    for (size_t i = 0; i < rows.count; i++) {
        struct row_slice *row = rows_at(&rows, i);
        if (!slice_is_of(row, drive) || !row->retire || row->slice.state == SLICE_QUARANTINED)
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
    if (drive.report.adopt == ADOPT_MISSING)
        return err_set(err, ERR_MISSING, "cannot ask drive '%s' for anything: it is not there any more",
                       request->serial);
    if (request->kind == TASK_PROBE_DESTRUCTIVE &&
        (!destructive_check(&drive, err) || !slices_reserve(service, &drive, err)))
        return false;
    drive.task = (struct drive_task){.kind = request->kind, .ident = drive.report.seen.ident};
    uuid_make(service, &drive.task.id);
    if (!service->store->put(service->store->self, ROW_DRIVE, &drive, err) || !host_touch(service, &drive.host, err))
        return false;
    *drive_out = drive;
    return true;
}

bool task_reported(struct service *service, struct row_drive *drive, bool restored, bool *touched, struct err *err)
{
    const struct task_report *report = &drive->report.task;
    if (!is_set(&drive->task))
        return true;
    const bool known = strcmp(report->id.v, drive->task.id.v) == 0;
    /* A database that was restored may want what was done since; whoever still wants it asks again. */
    if (known ? !task_is_over(report->state) : !restored)
        return true;
    const bool destructive = drive->task.kind == TASK_PROBE_DESTRUCTIVE;
    drive->task = (struct drive_task){0};
    *touched = true;
    return !destructive || slices_give_back(service, drive, err);
}
