/* How a drive order ended, and what follows from it for the drive and its slices. See host.h for the rules. */
#include "core/host_priv.h"

#include "base/text.h"

#include <stdio.h>

static void erase_ended(struct host *host, struct host_slice *slice, const struct host_event *event,
                        struct host_result *result)
{
    struct slice *row = &slice->slice;
    row->progress_percent = 0;
    slice->erase_since_ms = 0;
    if (row->state != SLICE_ERASING && row->state != SLICE_VERIFYING)
        return; /* lost meanwhile */
    if (!event->ok && (event->err->kind == ERR_BUSY || event->err->kind == ERR_MISSING)) { /* it has not begun */
        if (slice->busy_since_ms == 0)
            slice->busy_since_ms = event->now_ms;
        if (event->now_ms - slice->busy_since_ms < ERASE_BUSY_MS_MAX) {
            slice->failures++;
            slice->not_before_ms = event->now_ms + backoff_ms(slice->failures);
            text_cut(row->why, sizeof(row->why), event->err->msg);
            return;
        }
    }
    slice->busy_since_ms = 0;
    slice->failures = 0;
    const struct erasure *erasure = event->erasure;
    if (erasure != NULL) {
        host->erasure_seq++;
        host->changed = true;
        result->record_wanted = true;
    }
    if (!event->ok || erasure == NULL || erasure->verdict != ERASE_VERIFIED) {
        const char *why = !event->ok ? event->err->msg : erasure != NULL ? erasure->note : "no record of the erase";
        slice_do(slice, &(struct slice_event){.kind = SLICE_UNPROVEN, .why = why});
        return;
    }
    if (row->state == SLICE_ERASING)
        slice_do(slice, &(struct slice_event){.kind = SLICE_ERASED});
    slice_do(slice, &(struct slice_event){.kind = SLICE_VERIFIED, .seq = ++host->seq, .erasure = &erasure->id});
    host->changed = true;
}

static void node_ended(struct host_slice *slice, const struct host_event *event)
{
    if (!event->ok) {
        slice->failures++;
        slice->not_before_ms = event->now_ms + backoff_ms(slice->failures);
        return;
    }
    slice->failures = 0;
    slice->node_known = true;
    slice->block_device = event->block_device;
    slice->dev = event->dev;
    slice->ino = event->ino;
    slice->rdev = event->rdev;
    text_cut(slice->slice.path, sizeof(slice->slice.path), event->path);
}

static void change_failed(struct host *host, struct host_drive *drive, const struct host_event *event)
{
    char why[WHY_MAX];
    drive->failures++;
    drive->not_before_ms = event->now_ms + backoff_ms(drive->failures);
    if (event->order->kind == ORDER_CREATE && event->err->kind == ERR_FULL) {
        const uint32_t made = drive_slices(host, drive);
        snprintf(why, sizeof(why), "has room for %u slices, not for %u: %.200s", made, drive->layout.count, event->err->msg);
        drive->layout.count = made;
        text_cut(drive->why, sizeof(drive->why), why);
        drive->changed = true;
        drive->failures = 0;
    } else if (drive->adopt == ADOPT_FAULT) {
        return; /* it keeps the reason why it is at fault */
    } else if (event->err->kind == ERR_INPUT && event->err->nvme == 0) { /* the drive cannot do it, now or later */
        drive->gives_back = drive->adopt == ADOPT_CUTTING && drive_slices(host, drive) == 0;
        drive->creating = (struct slice_id){0};
        drive_fault(drive, event->err->msg);
    } else if (drive->failures >= DRIVE_FAILURES_MAX && event->err->kind != ERR_BUSY && event->err->kind != ERR_MISSING) {
        drive_fault(drive, event->err->msg);
    } else {
        text_cut(drive->why, sizeof(drive->why), event->err->msg);
    }
}

void drive_done(struct host *host, const struct host_event *event, struct host_result *result)
{
    const struct order *order = event->order;
    struct host_drive *drive = host_drive_find(host, &order->ident);
    if (drive == NULL)
        return;
    drive->busy = false;
    probe_order_done(drive, event);
    if (order->kind == ORDER_PROBE || order->kind == ORDER_FIRMWARE) {
        task_done(drive, event);
        return;
    }
    struct host_slice *slice = host_slice_find(host, &order->slice);
    if (order->kind == ORDER_ERASE || order->kind == ORDER_NODE) {
        if (!event->ok && event->err->kind == ERR_MISSING)
            host->list_due = true;
        if (slice == NULL)
            return;
        if (order->kind == ORDER_NODE) {
            node_ended(slice, event);
            return;
        }
        drive->erasures += event->ok;
        trial_ended(drive, event);
        drive->scanned = false; /* a format may have changed more than we asked for */
        erase_ended(host, slice, event, result);
        return;
    }
    drive->scanned = false;
    if (!event->ok && order->kind == ORDER_DETACH && slice != NULL && event->err->kind == ERR_BUSY) {
        slice->failures++; /* somebody has it open: this slice waits, the rest of the drive does not */
        slice->not_before_ms = event->now_ms + backoff_ms(slice->failures);
        return;
    }
    if (!event->ok) {
        if (event->err->kind == ERR_CONFLICT || event->err->kind == ERR_MISSING)
            host->list_due = true;
        change_failed(host, drive, event);
        return;
    }
    drive->failures = 0;
    if (order->kind != ORDER_CREATE)
        return;
    drive->creating_nsid = event->nsid;
    drive->changed = true;
    if (drive->adopt != ADOPT_FAULT && drive->why[0] != '\0')
        drive->why[0] = '\0';
}

void drive_said(struct host *host, const struct host_event *event)
{
    struct host_slice *slice = host_slice_find(host, &event->order->slice);
    if (slice != NULL && slice->slice.state == SLICE_ERASING)
        slice_do(slice, &(struct slice_event){.kind = SLICE_ERASED});
}
