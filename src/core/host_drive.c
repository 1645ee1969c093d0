/* One drive: adopted or not, cut, watched, its slices erased. See host.h for the rules. */
#include "core/erase.h"
#include "core/host_priv.h"

#include "base/must.h"
#include "base/text.h"

#include <stdio.h>

bool slice_on(const struct host_slice *slice, const struct host_drive *drive)
{
    return slice->slice.state != SLICE_ABSENT && drive->adoption.v[0] != '\0' &&
           strcmp(slice->slice.adoption.v, drive->adoption.v) == 0;
}

static bool is_ours(const struct host_drive *drive)
{
    return drive->adopt == ADOPT_CUTTING || drive->adopt == ADOPT_DONE || drive->adopt == ADOPT_FAULT;
}

static void drive_fault(struct host_drive *drive, const char *why)
{
    drive->adopt = ADOPT_FAULT;
    text_cut(drive->why, sizeof(drive->why), why);
    drive->changed = true;
}

static bool ids_differ(const uint8_t *was, const uint8_t *is, size_t len)
{
    bool was_none = true;
    for (size_t i = 0; i < len; i++)
        was_none = was_none && was[i] == 0;
    return !was_none && memcmp(was, is, len) != 0;
}

/* ---- which drives are there ---------------------------------------------------------------------------------- */

static void nodes_forget(struct host *host, const struct host_drive *drive)
{
    for (size_t i = 0; i < host->slice_count; i++)
        if (slice_on(&host->slices[i], drive)) {
            host->slices[i].node_known = false;
            host->slices[i].slice.path[0] = '\0';
        }
}

static void drive_add(struct host *host, const struct drive_ident *ident)
{
    if (host->drive_count == HOST_DRIVES_MAX)
        return; /* 32 drives a host; the rest is not looked at */
    host->drives[host->drive_count++] = (struct host_drive){.ident = *ident};
}

static size_t count_serial(const struct host_event *event, const char *serial)
{
    size_t count = 0;
    for (size_t i = 0; i < event->ident_count; i++)
        count += strcmp(event->idents[i].serial, serial) == 0;
    return count;
}

void drive_listed(struct host *host, const struct host_event *event)
{
    host->list_busy = false;
    host->list_due = !event->ok;
    host->listed_ms = event->now_ms;
    if (!event->ok)
        return; /* nothing is known, so nothing is concluded */
    for (size_t i = 0; i < event->ident_count; i++)
        if (host_drive_find(host, &event->idents[i]) == NULL)
            drive_add(host, &event->idents[i]);
    for (size_t i = 0; i < host->drive_count; i++) {
        struct host_drive *drive = &host->drives[i];
        bool present = false;
        for (size_t j = 0; j < event->ident_count; j++)
            present = present || drive_ident_eq(&event->idents[j], &drive->ident);
        drive->ambiguous = count_serial(event, drive->ident.serial) > 1;
        if (!present && (drive->adopt == ADOPT_CHECKING || drive->adopt == ADOPT_REFUSED)) {
            drive->adopt = ADOPT_NONE; /* not reported any more: the server forgets the wish, nobody is surprised later */
            drive->adoption = (struct uuid){0};
            drive->why[0] = '\0';
        }
        if (present != drive->present) {
            drive->present = present;
            drive->scanned = false;
            drive->failures = 0;
            drive->not_before_ms = 0;
            nodes_forget(host, drive);
        }
    }
}

/* ---- adoption ------------------------------------------------------------------------------------------------ */

void drive_want(struct host *host, const struct want_drive *want)
{
    struct host_drive *drive = host_drive_find(host, &want->ident);
    if (drive == NULL || !drive->present)
        host->list_due = true;
    if (drive == NULL) { /* the wish may come before the first listing */
        drive_add(host, &want->ident);
        drive = host_drive_find(host, &want->ident);
        if (drive == NULL)
            return;
    }
    drive->want = *want;
    if (is_ours(drive) || strcmp(drive->adoption.v, want->adoption.v) == 0)
        return; /* ours already, or this very wish was judged */
    drive->adopt = ADOPT_CHECKING;
    drive->adoption = want->adoption;
    drive->why[0] = '\0';
    drive->scanned = false;
    drive->not_before_ms = 0;
}

/* The plan was made from what the drive said some time ago. */
static bool layout_still_fits(const struct drive_seen *seen, const struct layout *layout)
{
    if (layout->count == 0 || layout->count > DRIVE_NS_MAX || layout->slice_blocks == 0)
        return false;
    if (layout->provider == PROVIDER_WHOLE)
        return layout->count == 1 && seen->ns_count == 1 && seen->ns[0].attached &&
               seen->ns[0].size_blocks == layout->slice_blocks && seen->ns[0].block_bytes == layout->block_bytes;
    if (layout->provider != PROVIDER_NAMESPACE || !seen->caps.ns_management || layout->lbaf >= seen->caps.lbaf_count)
        return false;
    const struct lba_format *format = &seen->caps.lbaf[layout->lbaf];
    uint64_t cost;
    return format->block_bytes == layout->block_bytes && format->meta_bytes == 0 &&
           layout->slice_blocks <= UINT64_MAX / layout->block_bytes &&
           layout->slice_blocks * layout->block_bytes == layout->slice_bytes &&
           layout->cost_bytes >= layout->slice_bytes && layout->count <= seen->caps.ns_max &&
           !__builtin_mul_overflow(layout->cost_bytes, layout->count, &cost) &&
           (seen->caps.total_bytes == 0 || cost <= seen->caps.total_bytes);
}

static void refuse(struct host_drive *drive, const char *why)
{
    drive->adopt = ADOPT_REFUSED;
    text_cut(drive->why, sizeof(drive->why), why);
}

static void slice_birth(struct host *host, struct host_drive *drive, const struct slice_id *id, const struct ns_seen *ns)
{
    must(host->slice_count < HOST_SLICES_MAX);
    struct host_slice *slice = &host->slices[host->slice_count++];
    *slice = (struct host_slice){.slice = {.id = *id,
                                           .adoption = drive->adoption,
                                           .class = drive->layout.class,
                                           .nsid = ns->nsid,
                                           .size_bytes = ns->size_blocks * ns->block_bytes,
                                           .block_bytes = ns->block_bytes}};
    text_cut(slice->slice.drive, sizeof(slice->slice.drive), drive->ident.serial);
    memcpy(slice->slice.nguid, ns->nguid, sizeof(ns->nguid));
    memcpy(slice->slice.eui64, ns->eui64, sizeof(ns->eui64));
    slice_do(slice, &(struct slice_event){.kind = SLICE_MADE});
}

static void adopt(struct host *host, struct host_drive *drive)
{
    const struct drive_seen *seen = &drive->seen;
    drive->adopt = ADOPT_CUTTING;
    drive->layout = drive->want.layout;
    drive->why[0] = '\0';
    drive->factory_count = 0;
    drive->creating = (struct slice_id){0};
    drive->changed = true;
    if (drive->layout.provider == PROVIDER_WHOLE) {
        struct slice_id id;
        slice_id_make(host, &id);
        slice_birth(host, drive, &id, &seen->ns[0]);
        return;
    }
    for (size_t i = 0; i < seen->ns_count; i++) {
        struct ns_ident *factory = &drive->factory[drive->factory_count++];
        *factory = (struct ns_ident){.nsid = seen->ns[i].nsid,
                                     .size_bytes = seen->ns[i].size_blocks * seen->ns[i].block_bytes};
        memcpy(factory->nguid, seen->ns[i].nguid, sizeof(factory->nguid));
        memcpy(factory->eui64, seen->ns[i].eui64, sizeof(factory->eui64));
    }
}

static void adoption_judge(struct host *host, struct host_drive *drive)
{
    const struct drive_seen *seen = &drive->seen;
    char why[WHY_MAX];
    if (drive->ambiguous) {
        refuse(drive, "another drive of this host reports the same serial number");
    } else if (seen->foreign.count > 0) {
        const struct foreign *first = &seen->foreign.at[0];
        snprintf(why, sizeof(why), "the drive %s: %s", foreign_kind_text(first->kind), first->detail);
        refuse(drive, why);
    } else if (drive->want.adoption.v[0] == '\0') {
        drive->adopt = ADOPT_NONE; /* the wish was taken back meanwhile */
        drive->adoption = (struct uuid){0};
    } else if (!layout_still_fits(seen, &drive->want.layout)) {
        refuse(drive, "the drive is not as it was when the plan was made; make a new plan");
    } else if (host->slice_count + drive->want.layout.count > HOST_SLICES_MAX) {
        refuse(drive, "the host would have more than 512 slices");
    } else {
        adopt(host, drive);
    }
}

/* ---- what a scan shows --------------------------------------------------------------------------------------- */

static const struct host_slice *slice_of_ns(const struct host *host, const struct host_drive *drive, struct nsid nsid)
{
    for (size_t i = 0; i < host->slice_count; i++)
        if (slice_on(&host->slices[i], drive) && nsid_eq(host->slices[i].slice.nsid, nsid))
            return &host->slices[i];
    return NULL;
}

static bool is_factory(const struct host_drive *drive, struct nsid nsid)
{
    for (size_t i = 0; i < drive->factory_count; i++)
        if (nsid_eq(drive->factory[i].nsid, nsid))
            return true;
    return false;
}

static void factory_forget_deleted(struct host_drive *drive)
{
    size_t kept = 0;
    for (size_t i = 0; i < drive->factory_count; i++)
        if (drive_ns(&drive->seen, drive->factory[i].nsid) != NULL)
            drive->factory[kept++] = drive->factory[i];
    drive->changed = drive->changed || kept != drive->factory_count;
    drive->factory_count = kept;
}

static bool was_known(const struct host_drive *drive, struct nsid nsid)
{
    for (size_t i = 0; i < drive->creating_known_count; i++)
        if (nsid_eq(drive->creating_known[i], nsid))
            return true;
    return false;
}

/* After a create, or a crash around one: exactly one newcomer of the right shape is ours (DESIGN, Identity). */
static void creating_resolve(struct host *host, struct host_drive *drive)
{
    const struct ns_seen *newcomer = NULL;
    size_t newcomers = 0;
    for (size_t i = 0; i < drive->seen.ns_count; i++) {
        const struct ns_seen *ns = &drive->seen.ns[i];
        if (!was_known(drive, ns->nsid)) {
            newcomer = ns;
            newcomers++;
        }
    }
    const struct slice_id id = drive->creating;
    if (newcomers > 0 && (newcomers > 1 || newcomer->size_blocks != drive->layout.slice_blocks ||
                          newcomer->block_bytes != drive->layout.block_bytes)) {
        drive_fault(drive, "namespaces appeared that nsmith did not ask for, while it was creating one; look at the "
                           "drive, delete what is not yours, then retry");
        return;
    }
    drive->creating = (struct slice_id){0};
    drive->creating_known_count = 0;
    drive->changed = true;
    if (newcomers == 1)
        slice_birth(host, drive, &id, newcomer);
}

static void slice_compare(struct host_slice *slice, const struct ns_seen *ns)
{
    struct slice *row = &slice->slice;
    const char *why = NULL;
    if (ns == NULL)
        why = "missing: the drive has no such namespace any more";
    else if (ns->size_blocks * ns->block_bytes != row->size_bytes || ns->block_bytes != row->block_bytes)
        why = "resized: the namespace has another size than the slice";
    else if (ids_differ(row->nguid, ns->nguid, sizeof(row->nguid)) || ids_differ(row->eui64, ns->eui64, sizeof(row->eui64)))
        why = "foreign: the namespace carries another NGUID or EUI64 than the slice";
    if (why != NULL) {
        slice->node_known = false;
        row->path[0] = '\0';
        if (row->state != SLICE_QUARANTINED || strcmp(row->why, why) != 0)
            slice_do(slice, &(struct slice_event){.kind = SLICE_LOST, .why = why});
        return;
    }
    if (!ns->attached || strcmp(ns->path, row->path) != 0) {
        slice->node_known = false;
        row->path[0] = '\0';
    }
}

static bool is_lost(const struct host_slice *slice, const struct host_drive *drive)
{
    const struct ns_seen *ns = drive_ns(&drive->seen, slice->slice.nsid);
    return ns == NULL || ns->size_blocks * ns->block_bytes != slice->slice.size_bytes ||
           ids_differ(slice->slice.nguid, ns->nguid, sizeof(ns->nguid)) ||
           ids_differ(slice->slice.eui64, ns->eui64, sizeof(ns->eui64));
}

static void ours_compare(struct host *host, struct host_drive *drive)
{
    factory_forget_deleted(drive);
    if (drive->creating.v[0] != '\0')
        creating_resolve(host, drive);
    for (size_t i = 0; i < host->slice_count; i++)
        if (slice_on(&host->slices[i], drive))
            slice_compare(&host->slices[i], drive_ns(&drive->seen, host->slices[i].slice.nsid));
    drive->orphans = 0;
    if (drive->layout.provider == PROVIDER_NAMESPACE)
        for (size_t i = 0; i < drive->seen.ns_count; i++) {
            const struct nsid nsid = drive->seen.ns[i].nsid;
            if (slice_of_ns(host, drive, nsid) == NULL && !is_factory(drive, nsid))
                drive->orphans++;
        }
}

void drive_saw(struct host *host, const struct host_event *event)
{
    struct host_drive *drive = host_drive_find(host, &event->order->ident);
    if (drive == NULL)
        return;
    drive->busy = false;
    if (!event->ok) {
        drive->failures++;
        drive->not_before_ms = event->now_ms + backoff_ms(drive->failures);
        if (!is_ours(drive))
            text_cut(drive->why, sizeof(drive->why), event->err->msg);
        host->list_due = true; /* gone, or another one under its name */
        return;
    }
    const bool wanted_fresh = drive->adopt == ADOPT_CHECKING;
    if (wanted_fresh && !event->fresh)
        return; /* an older order; the fresh look comes next */
    drive->seen = *event->seen;
    drive->scanned = true;
    drive->scanned_ms = event->now_ms;
    drive->failures = is_ours(drive) ? drive->failures : 0;
    if (wanted_fresh)
        adoption_judge(host, drive);
    if (is_ours(drive))
        ours_compare(host, drive);
}

/* ---- how an order ended -------------------------------------------------------------------------------------- */

static void erase_ended(struct host *host, struct host_slice *slice, const struct host_event *event,
                        struct host_result *result)
{
    struct slice *row = &slice->slice;
    row->progress_percent = 0;
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

static uint32_t slices_made(const struct host *host, const struct host_drive *drive)
{
    uint32_t made = 0;
    for (size_t i = 0; i < host->slice_count; i++)
        made += slice_on(&host->slices[i], drive);
    return made;
}

static void change_failed(struct host *host, struct host_drive *drive, const struct host_event *event)
{
    char why[WHY_MAX];
    drive->failures++;
    drive->not_before_ms = event->now_ms + backoff_ms(drive->failures);
    if (event->order->kind == ORDER_CREATE && event->err->kind == ERR_FULL) {
        const uint32_t made = slices_made(host, drive);
        snprintf(why, sizeof(why), "has room for %u slices, not for %u: %.200s", made, drive->layout.count, event->err->msg);
        drive->layout.count = made;
        text_cut(drive->why, sizeof(drive->why), why);
        drive->changed = true;
        drive->failures = 0;
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
    if (drive->adopt != ADOPT_FAULT && drive->why[0] != '\0')
        drive->why[0] = '\0';
}

void drive_said(struct host *host, const struct host_event *event)
{
    struct host_slice *slice = host_slice_find(host, &event->order->slice);
    if (slice != NULL && slice->slice.state == SLICE_ERASING)
        slice_do(slice, &(struct slice_event){.kind = SLICE_ERASED});
}

/* ---- the next order ------------------------------------------------------------------------------------------ */

static struct order *drive_order(struct host_orders *out, struct host_drive *drive, enum order_kind kind)
{
    struct order *order = order_add(out, kind);
    order->ident = drive->ident;
    drive->busy = true;
    return order;
}

static struct ns_ident slice_ns(const struct slice *slice)
{
    struct ns_ident ns = {.nsid = slice->nsid, .size_bytes = slice->size_bytes};
    memcpy(ns.nguid, slice->nguid, sizeof(ns.nguid));
    memcpy(ns.eui64, slice->eui64, sizeof(ns.eui64));
    return ns;
}

/* A namespace that is given up: first detached, then deleted. true: an order was given. */
static bool give_up(struct host_drive *drive, const struct ns_ident *ns, const struct slice_id *slice,
                    struct host_orders *out)
{
    const struct ns_seen *seen = drive_ns(&drive->seen, ns->nsid);
    if (seen == NULL)
        return false;
    struct order *order = drive_order(out, drive, seen->attached ? ORDER_DETACH : ORDER_DELETE);
    order->ns = *ns;
    if (slice != NULL)
        order->slice = *slice;
    return true;
}

static bool retire_one(struct host *host, struct host_drive *drive, uint64_t now_ms, struct host_orders *out)
{
    for (size_t i = 0; i < host->slice_count; i++) {
        struct host_slice *slice = &host->slices[i];
        if (!slice_on(slice, drive) || slice->slice.state != SLICE_QUARANTINED || !slice->want_known || !slice->want.retire)
            continue;
        if (now_ms < slice->not_before_ms) {
            wake_at(out, slice->not_before_ms);
            continue;
        }
        const struct ns_ident ns = slice_ns(&slice->slice);
        if (drive->layout.provider == PROVIDER_NAMESPACE && !is_lost(slice, drive) &&
            give_up(drive, &ns, &slice->slice.id, out))
            return true;
        slice_do(slice, &(struct slice_event){.kind = SLICE_RETIRED});
        drive->layout.count--;
        drive->changed = true;
    }
    return false;
}

/* A slice whose namespace is gone keeps its place until a person has retired it: the drive would give its NSID to the
 * next namespace, and two slices would be one. */
static bool one_is_missing(const struct host *host, const struct host_drive *drive)
{
    for (size_t i = 0; i < host->slice_count; i++)
        if (slice_on(&host->slices[i], drive) && drive_ns(&drive->seen, host->slices[i].slice.nsid) == NULL)
            return true;
    return false;
}

static bool create_one(struct host *host, struct host_drive *drive, struct host_orders *out)
{
    if (one_is_missing(host, drive))
        return false;
    if (drive->layout.provider != PROVIDER_NAMESPACE || drive->factory_count > 0 || drive->orphans > 0 ||
        host->slice_count == HOST_SLICES_MAX || slices_made(host, drive) >= drive->layout.count)
        return false;
    slice_id_make(host, &drive->creating);
    drive->creating_free_bytes = drive->seen.caps.free_bytes;
    drive->creating_known_count = drive->seen.ns_count;
    for (size_t i = 0; i < drive->seen.ns_count; i++)
        drive->creating_known[i] = drive->seen.ns[i].nsid;
    drive->changed = true; /* the intent; see ledger.h */
    struct order *order = drive_order(out, drive, ORDER_CREATE);
    order->slice = drive->creating;
    order->size_blocks = drive->layout.slice_blocks;
    order->lbaf = drive->layout.lbaf;
    order->block_bytes = drive->layout.block_bytes;
    return true;
}

static bool attach_one(struct host *host, struct host_drive *drive, struct host_orders *out)
{
    for (size_t i = 0; i < host->slice_count; i++) {
        const struct slice *slice = &host->slices[i].slice;
        const struct ns_seen *ns = slice_on(&host->slices[i], drive) ? drive_ns(&drive->seen, slice->nsid) : NULL;
        if (ns == NULL || ns->attached || slice->state == SLICE_QUARANTINED)
            continue;
        struct order *order = drive_order(out, drive, ORDER_ATTACH);
        order->ns = slice_ns(slice);
        order->slice = slice->id;
        return true;
    }
    return false;
}

static bool node_one(struct host *host, struct host_drive *drive, uint64_t now_ms, struct host_orders *out)
{
    for (size_t i = 0; i < host->slice_count; i++) {
        struct host_slice *slice = &host->slices[i];
        const enum slice_state state = slice->slice.state;
        const bool wanted = state == SLICE_FREE || state == SLICE_CLAIMED || state == SLICE_ATTACHED;
        if (!wanted || !slice_on(slice, drive) || slice->node_known)
            continue;
        if (now_ms < slice->not_before_ms) {
            wake_at(out, slice->not_before_ms);
            continue;
        }
        struct order *order = drive_order(out, drive, ORDER_NODE);
        order->ns = slice_ns(&slice->slice);
        order->slice = slice->slice.id;
        return true;
    }
    return false;
}

static bool wants_erase(enum slice_state state)
{
    return state == SLICE_BLANK || state == SLICE_DIRTY || state == SLICE_ERASING || state == SLICE_VERIFYING;
}

static bool erase_one(struct host *host, struct host_drive *drive, uint64_t now_ms, struct host_orders *out)
{
    for (size_t i = 0; i < host->slice_count; i++) {
        struct host_slice *slice = &host->slices[i];
        if (!slice_on(slice, drive) || !wants_erase(slice->slice.state))
            continue;
        if (now_ms < slice->not_before_ms) {
            wake_at(out, slice->not_before_ms);
            continue;
        }
        slice_do(slice, &(struct slice_event){.kind = SLICE_ERASE}); /* also from erasing: begun anew after a crash */
        struct order *order = drive_order(out, drive, ORDER_ERASE);
        order->ns = slice_ns(&slice->slice);
        order->slice = slice->slice.id;
        order->generation = slice->slice.generation;
        order->block_bytes = slice->slice.block_bytes;
        order->method = erase_choose(&drive->seen.caps, drive->seen.ns_count == 1);
        for (size_t k = 0; k < sizeof(order->seed); k += 8) {
            const uint64_t bits = rng_next(&host->rng);
            memcpy(order->seed + k, &bits, 8);
        }
        erasure_id_make(host, &order->erasure);
        text_cut(order->firmware, sizeof(order->firmware), drive->seen.firmware);
        return true;
    }
    return false;
}

static bool cut_done(const struct host *host, const struct host_drive *drive)
{
    return drive->factory_count == 0 && drive->creating.v[0] == '\0' && slices_made(host, drive) == drive->layout.count;
}

static void ours_decide(struct host *host, struct host_drive *drive, uint64_t now_ms, struct host_orders *out)
{
    const bool whole_drive_is_well = drive->adopt != ADOPT_FAULT;
    for (size_t i = 0; i < drive->factory_count && whole_drive_is_well; i++)
        if (give_up(drive, &drive->factory[i], NULL, out))
            return;
    if (retire_one(host, drive, now_ms, out))
        return;
    if (whole_drive_is_well && create_one(host, drive, out))
        return;
    if (drive->adopt == ADOPT_CUTTING && cut_done(host, drive)) {
        drive->adopt = ADOPT_DONE;
        drive->changed = true;
    }
    if (attach_one(host, drive, out) || node_one(host, drive, now_ms, out))
        return;
    erase_one(host, drive, now_ms, out);
}

static void drive_decide(struct host *host, struct host_drive *drive, uint64_t now_ms, struct host_orders *out)
{
    if (!drive->present || drive->busy || (drive->ambiguous && drive->scanned))
        return;
    if (now_ms < drive->not_before_ms) {
        wake_at(out, drive->not_before_ms);
        return;
    }
    if (!drive->scanned || now_ms - drive->scanned_ms >= RESCAN_MS) {
        struct order *order = drive_order(out, drive, ORDER_SCAN);
        order->fresh = !is_ours(drive);
        return;
    }
    if (is_ours(drive))
        ours_decide(host, drive, now_ms, out);
    if (!drive->busy)
        wake_at(out, drive->scanned_ms + RESCAN_MS);
}

void drives_decide(struct host *host, uint64_t now_ms, struct host_orders *out)
{
    if (!host->list_busy && (host->list_due || now_ms - host->listed_ms >= LIST_MS)) {
        const bool hurry = host->list_due && now_ms - host->listed_ms < BACKOFF_MS && host->listed_ms != 0;
        if (hurry) {
            wake_at(out, host->listed_ms + BACKOFF_MS);
        } else {
            host->list_busy = true;
            order_add(out, ORDER_LIST);
        }
    }
    if (!host->list_busy)
        wake_at(out, host->listed_ms + LIST_MS);
    for (size_t i = 0; i < host->drive_count; i++)
        drive_decide(host, &host->drives[i], now_ms, out);
}
