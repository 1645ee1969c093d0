/* The next order of a drive: what it holds compared with what is wanted of it. See host.h for the rules. */
#include "core/erase.h"
#include "core/host_priv.h"

#include "base/text.h"

#include <stdio.h>

struct order *drive_order(struct host_orders *out, struct host_drive *drive, enum order_kind kind)
{
    struct order *order = order_add(out, kind);
    order->ident = drive->ident;
    drive->busy = true;
    drive->touched = false;
    return order;
}

struct ns_ident slice_ns(const struct slice *slice)
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

bool give_up_factory(struct host_drive *drive, size_t i, struct host_orders *out)
{
    return give_up(drive, &drive->factory[i], NULL, out);
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
        if (drive->layout.provider == PROVIDER_NAMESPACE && !slice_is_lost(slice, drive) &&
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

bool create_one(struct host *host, struct host_drive *drive, struct host_orders *out)
{
    if (one_is_missing(host, drive))
        return false;
    if (drive->layout.provider != PROVIDER_NAMESPACE || drive->factory_count > 0 || drive->orphans > 0 ||
        host->slice_count == HOST_SLICES_MAX || drive_slices(host, drive) >= drive->layout.count)
        return false;
    slice_id_make(host, &drive->creating);
    drive->creating_nsid = (struct nsid){0};
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

/* A drive that cannot be cut is left as it was found. What it had is attached again; when no slice was made of it and
 * the drive has refused the very command that deletes, nothing is missing, and it is not ours any more. */
static bool give_back(struct host *host, struct host_drive *drive, struct host_orders *out)
{
    if (drive->adopt != ADOPT_FAULT || drive->creating.v[0] != '\0' || drive_slices(host, drive) > 0)
        return false;
    for (size_t i = 0; i < drive->factory_count; i++) {
        const struct ns_seen *seen = drive_ns(&drive->seen, drive->factory[i].nsid);
        if (seen == NULL || seen->attached)
            continue;
        drive_order(out, drive, ORDER_ATTACH)->ns = drive->factory[i];
        return true;
    }
    if (!drive->gives_back)
        return false;
    drive->gives_back = false;
    drive->adopt = ADOPT_REFUSED;
    drive->factory_count = 0;
    drive->changed = true;
    return true;
}

bool attach_one(struct host *host, struct host_drive *drive, struct host_orders *out)
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

struct order *erase_order(struct host *host, struct host_drive *drive, struct host_slice *slice, struct host_orders *out)
{
    slice_do(slice, &(struct slice_event){.kind = SLICE_ERASE}); /* also from erasing: begun anew after a crash */
    struct order *order = drive_order(out, drive, ORDER_ERASE);
    order->ns = slice_ns(&slice->slice);
    order->slice = slice->slice.id;
    order->generation = slice->slice.generation;
    order->block_bytes = slice->slice.block_bytes;
    order->wear_out = slice->slice.wear_out;
    order->wear_back = slice->slice.wear_back;
    trial_choose(host, drive, slice, order);
    slice->erase_by = order->method;
    for (size_t k = 0; k < sizeof(order->seed); k += 8) {
        const uint64_t bits = rng_next(&host->rng);
        memcpy(order->seed + k, &bits, 8);
    }
    erasure_id_make(host, &order->erasure);
    text_cut(order->firmware, sizeof(order->firmware), drive->seen.firmware);
    return order;
}

static bool erase_one(struct host *host, struct host_drive *drive, uint64_t now_ms, struct host_orders *out)
{
    for (size_t i = 0; i < host->slice_count; i++) {
        struct host_slice *slice = &host->slices[i];
        if (!slice_on(slice, drive) || !slice_wants_erase(&slice->slice))
            continue;
        if (now_ms < slice->not_before_ms) {
            wake_at(out, slice->not_before_ms);
            continue;
        }
        erase_order(host, drive, slice, out);
        slice->erase_since_ms = now_ms;
        return true;
    }
    return false;
}

/* An erase is never called off: whether it was done would not be known. That it takes long is said. */
static void late_say(struct host_slice *slice, uint64_t now_ms, struct host_orders *out)
{
    struct slice *row = &slice->slice;
    const uint64_t since_ms = now_ms - slice->erase_since_ms;
    const uint64_t expected_ms = erase_expected_ms(slice->erase_by, row->size_bytes);
    if (since_ms < expected_ms) {
        wake_at(out, slice->erase_since_ms + expected_ms);
        return;
    }
    char far[48] = "the drive does not say how far it is";
    if (row->progress_percent > 0)
        snprintf(far, sizeof(far), "the drive says %u %%", row->progress_percent);
    snprintf(row->why, sizeof(row->why), "erasing for %ju h %ju min by %s, expected were %ju min: %s",
             (uintmax_t)(since_ms / 3600000), (uintmax_t)(since_ms / 60000 % 60), erase_method_word(slice->erase_by),
             (uintmax_t)(expected_ms / 60000), far);
    wake_at(out, now_ms + LATE_SAY_MS);
}

static void erases_watch(struct host *host, uint64_t now_ms, struct host_orders *out)
{
    for (size_t i = 0; i < host->slice_count; i++)
        if (host->slices[i].slice.state == SLICE_ERASING && host->slices[i].erase_since_ms != 0)
            late_say(&host->slices[i], now_ms, out);
}

static bool cut_done(const struct host *host, const struct host_drive *drive)
{
    return drive->factory_count == 0 && drive->creating.v[0] == '\0' && drive_slices(host, drive) == drive->layout.count;
}

static void ours_decide(struct host *host, struct host_drive *drive, uint64_t now_ms, struct host_orders *out)
{
    const bool whole_drive_is_well = drive->adopt != ADOPT_FAULT;
    for (size_t i = 0; i < drive->factory_count && whole_drive_is_well; i++)
        if (give_up_factory(drive, i, out))
            return;
    if (give_back(host, drive, out) || retire_one(host, drive, now_ms, out))
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
        order->fresh = !drive_is_ours(drive);
        return;
    }
    if (task_decide(host, drive, now_ms, out))
        return;
    if (drive_is_ours(drive))
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
            host->list_due = false;
            order_add(out, ORDER_LIST);
        }
    }
    if (!host->list_busy)
        wake_at(out, host->listed_ms + LIST_MS);
    for (size_t i = 0; i < host->drive_count; i++)
        drive_decide(host, &host->drives[i], now_ms, out);
    erases_watch(host, now_ms, out);
}
