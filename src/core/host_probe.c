/* A destructive probe: an empty drive is cut anew, in an order that shows what it does wrong. Each step is one of
 * ordinary cutting, with its intent in the ledger, so that a crash leaves nothing but a drive that is being cut. */
#include "core/host_priv.h"

#include "base/must.h"
#include "base/text.h"

#include <stdarg.h>
#include <stdio.h>

enum { GIVEN_UP_AFTER = DRIVE_FAILURES_MAX + 2 };

bool probe_holds(const struct host_drive *drive)
{
    return drive->task.task.kind == TASK_PROBE_DESTRUCTIVE && drive->task.report.state == TASK_RUNNING &&
           drive->probe.phase > PROBE_LOOK;
}

__attribute__((format(printf, 5, 6))) static void line(struct host_drive *drive, const char *check,
                                                       enum verdict verdict, uint64_t ms, const char *fmt, ...)
{
    char text[200];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    task_line_add(&drive->task.report.result, check, verdict, ms, text);
    drive->task.changed = true;
}

/* ---- may it begin ---------------------------------------------------------------------------------------------- */

static const char *slice_refuses(const struct host_slice *slice, bool *wait)
{
    const bool claimed =
        slice->want_known && slice->want.generation > slice->slice.generation && slice->want.owner.v[0] != '\0';
    if (slice->slice.owner.v[0] != '\0' || claimed)
        return "a slice of the drive is claimed";
    switch (slice->slice.state) {
    case SLICE_FREE:
    case SLICE_BLANK:
    case SLICE_ABSENT:
        return NULL;
    case SLICE_ERASING:
    case SLICE_VERIFYING:
    case SLICE_DIRTY:
        *wait = true;
        return "waits until all slices of the drive are erased";
    case SLICE_QUARANTINED:
        return "a slice of the drive is in quarantine; retry or retire it first";
    case SLICE_CLAIMED:
    case SLICE_ATTACHED:
    case SLICE_STATE_COUNT:
        break;
    }
    return "a slice of the drive is claimed";
}

const char *probe_refused(const struct host *host, const struct host_drive *drive, bool *wait)
{
    const char *first = NULL;
    *wait = false;
    if (drive->adopt == ADOPT_CUTTING) {
        *wait = true;
        return "waits until the drive is cut";
    }
    if (drive->adopt != ADOPT_DONE || drive->layout.provider != PROVIDER_NAMESPACE)
        return "the drive is not adopted and cut into namespaces";
    if (drive->orphans > 0)
        return "the drive has namespaces that nsmith does not know";
    for (size_t i = 0; i < host->slice_count; i++) {
        bool this_waits = false;
        const char *why = slice_on(&host->slices[i], drive) ? slice_refuses(&host->slices[i], &this_waits) : NULL;
        if (why != NULL && !this_waits)
            return why;
        if (why != NULL && first == NULL)
            first = why;
    }
    *wait = first != NULL;
    return first;
}

/* ---- slices are given up --------------------------------------------------------------------------------------- */

/* Its namespace goes the way of those that adoption gives up. */
static void slice_give_up(struct host_drive *drive, struct host_slice *slice)
{
    must(drive->factory_count < DRIVE_NS_MAX);
    drive->factory[drive->factory_count++] = slice_ns(&slice->slice);
    drive->changed = true;
    if (drive->probe.old_count < DRIVE_NS_MAX)
        drive->probe.old[drive->probe.old_count++] = slice_ns(&slice->slice);
    slice_do(slice, &(struct slice_event){.kind = SLICE_LOST, .why = "given up for a destructive probe"});
    slice_do(slice, &(struct slice_event){.kind = SLICE_RETIRED});
}

/* every: 1 all, 2 every second; of one alone, that one. */
static void give_up_some(struct host *host, struct host_drive *drive, uint32_t every)
{
    const uint32_t all = drive_slices(host, drive);
    uint32_t number = all == 1 ? every - 1 : 0;
    for (size_t i = 0; i < host->slice_count; i++)
        if (slice_on(&host->slices[i], drive) && ++number % every == 0)
            slice_give_up(drive, &host->slices[i]);
}

/* ---- phases: enter once, step until false, then what is said of it --------------------------------------------- */

static bool step_look(struct host *host, struct host_drive *drive, struct host_orders *out)
{
    (void)host;
    if (drive->probe.orders > 0)
        return false;
    task_order(drive, ORDER_PROBE, out);
    return true;
}

static void enter_clear(struct host *host, struct host_drive *drive)
{
    drive->adopt = ADOPT_CUTTING;
    drive->probe.wanted = drive->layout.count;
    give_up_some(host, drive, 1);
}

static bool step_delete(struct host *host, struct host_drive *drive, struct host_orders *out)
{
    (void)host;
    return drive->factory_count > 0 && give_up_factory(drive, drive->factory_count / 2, out);
}

static void said_deleted(struct host *host, struct host_drive *drive, uint64_t ms)
{
    (void)host;
    line(drive, "delete", VERDICT_QUALIFIED, ms, "%u steps to detach and delete, out of order; the slowest took %ju ms",
         drive->probe.orders, (uintmax_t)drive->probe.slowest_ms);
}

static void said_filled(struct host *host, struct host_drive *drive, uint64_t ms)
{
    struct host_probe *probe = &drive->probe;
    probe->filled = drive_slices(host, drive);
    if (probe->filled < probe->wanted)
        line(drive, "create", VERDICT_LIMITED, ms, "the empty drive had room for %u slices, not for %u", probe->filled,
             probe->wanted);
    else
        line(drive, "create", VERDICT_QUALIFIED, ms, "%u namespaces, all that fit; the slowest took %ju ms",
             probe->filled, (uintmax_t)probe->slowest_ms);
}

static void enter_holes(struct host *host, struct host_drive *drive)
{
    drive->probe.old_count = 0;
    give_up_some(host, drive, 2);
}

static bool is_zero(const uint8_t *id, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (id[i] != 0)
            return false;
    return true;
}

static bool came_back(const struct host_probe *probe, const struct slice *slice)
{
    for (size_t i = 0; i < probe->old_count; i++) {
        const struct ns_ident *old = &probe->old[i];
        if ((!is_zero(old->nguid, sizeof(old->nguid)) && memcmp(old->nguid, slice->nguid, sizeof(old->nguid)) == 0) ||
            (!is_zero(old->eui64, sizeof(old->eui64)) && memcmp(old->eui64, slice->eui64, sizeof(old->eui64)) == 0))
            return true;
    }
    return false;
}

static void said_refilled(struct host *host, struct host_drive *drive, uint64_t ms)
{
    const struct host_probe *probe = &drive->probe;
    const uint32_t made = drive_slices(host, drive);
    size_t reused = 0;
    if (made < probe->filled)
        line(drive, "create-again", VERDICT_LIMITED, ms,
             "of %u namespaces that were deleted out of order %u could not be made again: their space does not come "
             "back",
             probe->filled / 2, probe->filled - made);
    else
        line(drive, "create-again", VERDICT_QUALIFIED, ms,
             "the space of namespaces that were deleted out of order comes back");
    for (size_t i = 0; i < host->slice_count; i++)
        reused += slice_on(&host->slices[i], drive) && came_back(probe, &host->slices[i].slice);
    if (reused > 0)
        line(drive, "new-ids", VERDICT_LIMITED, 0,
             "%zu new namespaces carry the NGUID or EUI64 of deleted ones: they do not tell old from new", reused);
    else
        line(drive, "new-ids", VERDICT_QUALIFIED, 0, "no new namespace carries the NGUID or EUI64 of a deleted one");
}

static void said_attached(struct host *host, struct host_drive *drive, uint64_t ms)
{
    line(drive, "attach", VERDICT_QUALIFIED, ms, "%u namespaces; the slowest took %ju ms", drive_slices(host, drive),
         (uintmax_t)drive->probe.slowest_ms);
}

/* A scan compares each slice with what it was (host_drive.c); one that differs is in quarantine then. */
static bool step_again(struct host *host, struct host_drive *drive, struct host_orders *out)
{
    (void)host;
    if (drive->probe.orders++ > 0)
        return false;
    drive->scanned = false;
    drive_order(out, drive, ORDER_SCAN);
    return true;
}

static void said_same(struct host *host, struct host_drive *drive, uint64_t ms)
{
    line(drive, "rescan", VERDICT_QUALIFIED, ms, "opened anew, all %u namespaces are the same; no controller was reset",
         drive_slices(host, drive));
}

static struct host_slice *slice_number(struct host *host, const struct host_drive *drive, uint32_t number)
{
    for (size_t i = 0; i < host->slice_count; i++)
        if (slice_on(&host->slices[i], drive) && number-- == 0)
            return &host->slices[i];
    return NULL;
}

static bool step_erase(struct host *host, struct host_drive *drive, struct host_orders *out)
{
    struct host_slice *slice = slice_number(host, drive, 0), *neighbour = slice_number(host, drive, 1);
    if (slice == NULL || slice->slice.state == SLICE_FREE)
        return false;
    struct order *order = erase_order(host, drive, slice, out);
    if (neighbour != NULL && order->neighbour.nsid.v == 0) /* also one that has passed its trial is looked at here */
        order->neighbour = slice_ns(&neighbour->slice);
    return true;
}

static const struct {
    void (*enter)(struct host *host, struct host_drive *drive);
    bool (*step)(struct host *host, struct host_drive *drive, struct host_orders *out);
    void (*said)(struct host *host, struct host_drive *drive, uint64_t ms);
} phases[PROBE_END] = {
    [PROBE_LOOK] = {NULL, step_look, NULL},
    [PROBE_CLEAR] = {enter_clear, step_delete, said_deleted},
    [PROBE_FILL] = {NULL, create_one, said_filled},
    [PROBE_HOLES] = {enter_holes, step_delete, NULL},
    [PROBE_REFILL] = {NULL, create_one, said_refilled},
    [PROBE_ATTACH] = {NULL, attach_one, said_attached},
    [PROBE_AGAIN] = {NULL, step_again, said_same},
    [PROBE_ERASE] = {NULL, step_erase, NULL}, /* what is said of it: probe_order_done() */
};

/* ---- how it goes ----------------------------------------------------------------------------------------------- */

/* NULL: it goes on. */
static const char *trouble(const struct host *host, const struct host_drive *drive)
{
    if (drive->probe.phase == PROBE_LOOK)
        return NULL;
    if (drive->adopt == ADOPT_FAULT)
        return drive->why;
    if (drive->orphans > 0)
        return "a namespace appeared that nobody asked for";
    for (size_t i = 0; i < host->slice_count; i++)
        if (slice_on(&host->slices[i], drive) && host->slices[i].slice.state == SLICE_QUARANTINED)
            return host->slices[i].slice.why;
    return drive->failures >= GIVEN_UP_AFTER ? drive->why : NULL;
}

/* What did not come back out of order comes back once all is gone: the drive is cut as it was. */
static void end(struct host *host, struct host_drive *drive)
{
    struct host_probe *probe = &drive->probe;
    if (drive->layout.count < probe->filled && drive->adopt == ADOPT_CUTTING) {
        drive->layout.count = probe->filled;
        drive->why[0] = '\0';
        give_up_some(host, drive, 1);
    }
    probe->phase = PROBE_END;
    drive->task.report.percent = 100;
    drive->task.changed = true;
    task_state(drive, TASK_DONE, "");
}

bool probe_decide(struct host *host, struct host_drive *drive, uint64_t now_ms, struct host_orders *out)
{
    struct host_probe *probe = &drive->probe;
    const char *why = trouble(host, drive);
    if (why != NULL)
        line(drive, "work", VERDICT_REJECTED, 0, "%.190s", why);
    while (why == NULL && probe->phase < PROBE_END) {
        if (!probe->entered) {
            probe->entered = true;
            probe->phase_ms = now_ms;
            probe->orders = 0;
            probe->slowest_ms = 0;
            if (phases[probe->phase].enter != NULL)
                phases[probe->phase].enter(host, drive);
        }
        if (phases[probe->phase].step(host, drive, out)) {
            probe->order_ms = now_ms;
            return true;
        }
        if (drive->busy || (probe->phase != PROBE_LOOK && drive->factory_count > 0))
            return true; /* deleted, but the scan that shows it is yet to come */
        if (phases[probe->phase].said != NULL)
            phases[probe->phase].said(host, drive, now_ms - probe->phase_ms);
        probe->phase++;
        probe->entered = false;
        drive->task.report.percent = (uint8_t)(probe->phase * 100 / PROBE_END);
    }
    end(host, drive);
    return false;
}

static void said_erased(struct host_drive *drive, const struct host_event *event, uint64_t ms)
{
    const struct erasure *erasure = event->erasure;
    if (erasure == NULL)
        return; /* not begun; it comes again */
    if (erasure->verdict == ERASE_VERIFIED)
        line(drive, "erase-one", VERDICT_QUALIFIED, ms, "verified: by %s, %ju places read back, nothing old found",
             erase_method_word(erasure->method), (uintmax_t)erasure->checked);
    else
        line(drive, "erase-one", VERDICT_REJECTED, ms, "%s by %s: %.120s", erase_verdict_word(erasure->verdict),
             erase_method_word(erasure->method), erasure->note);
    if (event->order->neighbour.nsid.v == 0)
        line(drive, "neighbour", VERDICT_QUALIFIED, 0, "the drive holds one namespace only");
    else if (event->neighbour == NEIGHBOUR_HIT)
        line(drive, "neighbour", VERDICT_REJECTED, 0, "the erase of one namespace changed another one");
    else if (event->neighbour == NEIGHBOUR_SPARED)
        line(drive, "neighbour", VERDICT_QUALIFIED, 0, "the erase of one namespace left its neighbour as it was");
    else
        line(drive, "neighbour", VERDICT_LIMITED, 0, "the neighbour of the erased namespace could not be read");
}

void probe_order_done(struct host_drive *drive, const struct host_event *event)
{
    struct host_probe *probe = &drive->probe;
    if (drive->task.task.kind != TASK_PROBE_DESTRUCTIVE || drive->task.report.state != TASK_RUNNING)
        return;
    const uint64_t ms = event->now_ms - probe->order_ms;
    probe->orders++;
    if (ms > probe->slowest_ms)
        probe->slowest_ms = ms;
    if (event->order->kind != ORDER_ERASE)
        return;
    said_erased(drive, event, ms);
    if (!event->ok) {
        drive->failures++;
        drive->not_before_ms = event->now_ms + backoff_ms(drive->failures);
        text_cut(drive->why, sizeof(drive->why), event->err->msg);
    }
}
