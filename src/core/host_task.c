/* What a person asks of one drive, once (model/task.h). The order of things: taken on (durable), judged, begun
 * (durable, then the order), ended (durable, then told). See host.h for the rules. */
#include "core/host_priv.h"

#include "base/text.h"

bool id_is(const struct uuid *a, const struct uuid *b)
{
    return strcmp(a->v, b->v) == 0;
}

void task_state(struct host_drive *drive, enum task_state state, const char *why)
{
    struct task_report *report = &drive->task.report;
    if (report->state == state && strcmp(report->why, why) == 0)
        return;
    report->state = state;
    text_cut(report->why, sizeof(report->why), why);
    drive->task.changed = true;
}

void task_want(struct host *host, const struct drive_task *want)
{
    struct host_drive *drive = host_drive_find(host, &want->ident);
    if (drive == NULL || !drive->present)
        host->list_due = true;
    drive = drive_known(host, &want->ident);
    if (drive != NULL)
        drive->task_want = *want;
}

/* A new wish takes the place of what is over, or was not begun. */
static void task_take(const struct host *host, struct host_drive *drive)
{
    struct host_task *task = &drive->task;
    const struct drive_task *want = &drive->task_want;
    const bool wanted = want->id.v[0] != '\0';
    if (task->task.id.v[0] != '\0' && task->report.state == TASK_RUNNING)
        return;
    if (wanted && !id_is(&want->id, &task->task.id)) {
        *task = (struct host_task){
            .task = *want, .report = {.id = want->id, .kind = want->kind, .state = TASK_WAITING}, .changed = true};
    } else if (!wanted && host->wants_known && task->report.state == TASK_WAITING && task->task.id.v[0] != '\0') {
        task_state(drive, TASK_REFUSED, "it was taken back before it had begun");
    }
}

/* Durable before the order that it names. */
struct order *task_order(struct host_drive *drive, enum order_kind kind, struct host_orders *out)
{
    task_state(drive, TASK_RUNNING, "");
    struct order *order = drive_order(out, drive, kind);
    order->task = drive->task.task.id;
    return order;
}

/* ---- firmware ------------------------------------------------------------------------------------------------- */

static bool is_in_use(const struct host *host, const struct host_drive *drive)
{
    for (size_t i = 0; i < host->slice_count; i++)
        if (slice_on(&host->slices[i], drive) && host->slices[i].slice.owner.v[0] != '\0')
            return true;
    return false;
}

/* NULL: nothing speaks against it. */
static const char *firmware_refused(const struct host *host, const struct host_drive *drive)
{
    const struct drive_firmware *fw = &drive->seen.fw;
    const struct firmware_job *job = &drive->task.task.firmware;
    if (!drive_is_ours(drive) && drive->seen.foreign.count > 0)
        return "the drive holds what is not ours";
    if (!fw->can_update)
        return "the drive takes no firmware";
    if (job->slot > fw->slot_count)
        return "the drive has no such slot";
    if (fw->slot1_read_only && (job->slot == 1 || fw->slot_count < 2))
        return "slot 1 of the drive cannot be written";
    if (job->action == FIRMWARE_NOW && !fw->no_reset)
        return "the drive cannot activate firmware without a reset";
    if (!fw->no_reset && is_in_use(host, drive))
        return "slices of it are in use, and it cannot activate firmware without a reset";
    return NULL;
}

static bool firmware_begin(const struct host *host, struct host_drive *drive, struct host_orders *out)
{
    const char *why = firmware_refused(host, drive);
    if (why != NULL) {
        task_state(drive, TASK_REFUSED, why);
        return false;
    }
    struct order *order = task_order(drive, ORDER_FIRMWARE, out);
    order->job = drive->task.task.firmware;
    order->fresh = !drive_is_ours(drive);
    return true;
}

static bool probe_begin(const struct host *host, struct host_drive *drive)
{
    bool wait = false;
    const char *why = probe_refused(host, drive, &wait);
    if (why != NULL) {
        task_state(drive, wait ? TASK_WAITING : TASK_REFUSED, why);
        return false;
    }
    drive->probe = (struct host_probe){0};
    task_state(drive, TASK_RUNNING, "");
    return true;
}

static bool task_begin(const struct host *host, struct host_drive *drive, struct host_orders *out)
{
    switch (drive->task.task.kind) {
    case TASK_PROBE:
        task_order(drive, ORDER_PROBE, out);
        return true;
    case TASK_FIRMWARE:
        return firmware_begin(host, drive, out);
    case TASK_PROBE_DESTRUCTIVE:
        return probe_begin(host, drive);
    case TASK_NONE:
    case TASK_KIND_COUNT:
        break;
    }
    task_state(drive, TASK_REFUSED, "this agent does not know that kind of task");
    return false;
}

bool task_decide(struct host *host, struct host_drive *drive, uint64_t now_ms, struct host_orders *out)
{
    const struct host_task *task = &drive->task;
    task_take(host, drive);
    if (task->task.id.v[0] == '\0')
        return false;
    if (task->report.state == TASK_WAITING && !task_begin(host, drive, out))
        return false;
    if (task->report.state == TASK_RUNNING && task->task.kind == TASK_PROBE_DESTRUCTIVE && !drive->busy)
        return probe_decide(host, drive, now_ms, out);
    return drive->busy;
}

void task_done(struct host_drive *drive, const struct host_event *event)
{
    struct host_task *task = &drive->task;
    if (task->report.state != TASK_RUNNING || !id_is(&task->task.id, &event->order->task))
        return;
    if (event->result != NULL)
        task->report.result = *event->result;
    if (task->task.kind == TASK_PROBE_DESTRUCTIVE && event->ok)
        return; /* the look was only its beginning */
    if (event->ok && event->seen != NULL)
        drive->seen = *event->seen; /* what is told of the drive is as new as the end of its task */
    drive->scanned = false;
    task->report.percent = 100;
    task->changed = true;
    task_state(drive, event->ok ? TASK_DONE : TASK_FAILED, event->ok ? "" : event->err->msg);
}

void task_progress(struct host *host, const struct host_event *event)
{
    struct host_drive *drive = host_drive_find(host, &event->order->ident);
    if (drive != NULL && event->order->task.v[0] != '\0' && id_is(&drive->task.task.id, &event->order->task))
        drive->task.report.percent = (uint8_t)(event->percent <= 100 ? event->percent : 100);
}

void task_drive_gone(struct host_drive *drive)
{
    if (drive->task.task.id.v[0] != '\0' && drive->task.report.state == TASK_RUNNING && !drive->busy)
        task_state(drive, TASK_FAILED, "the drive went away while it was under way");
}

void task_interrupted(struct host_drive *drive)
{
    if (drive->task.task.id.v[0] == '\0' || drive->task.report.state != TASK_RUNNING)
        return;
    if (drive->task.task.kind == TASK_PROBE) /* it only asks */
        task_state(drive, TASK_WAITING, "");
    else
        task_state(drive, TASK_FAILED, "interrupted: the agent ended while it was under way");
}
