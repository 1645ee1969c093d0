/* One drive: there or not, adopted or not, and what a scan of it shows. See host.h for the rules. */
#include "core/host_priv.h"

#include "base/must.h"
#include "base/text.h"

#include <stdio.h>

bool slice_on(const struct host_slice *slice, const struct host_drive *drive)
{
    return slice->slice.state != SLICE_ABSENT && drive->adoption.v[0] != '\0' &&
           strcmp(slice->slice.adoption.v, drive->adoption.v) == 0;
}

bool drive_is_ours(const struct host_drive *drive)
{
    return drive->adopt == ADOPT_CUTTING || drive->adopt == ADOPT_DONE || drive->adopt == ADOPT_FAULT;
}

void drive_fault(struct host_drive *drive, const char *why)
{
    drive->adopt = ADOPT_FAULT;
    text_cut(drive->why, sizeof(drive->why), why);
    drive->changed = true;
}

uint32_t drive_slices(const struct host *host, const struct host_drive *drive)
{
    uint32_t made = 0;
    for (size_t i = 0; i < host->slice_count; i++)
        made += slice_on(&host->slices[i], drive);
    return made;
}

static bool ids_differ(const uint8_t *was, const uint8_t *is, size_t len)
{
    bool was_none = true;
    for (size_t i = 0; i < len; i++)
        was_none = was_none && was[i] == 0;
    return !was_none && memcmp(was, is, len) != 0;
}

/* ---- which drives are there ---------------------------------------------------------------------------------- */

static void node_forget(struct host_slice *slice)
{
    slice->node_known = false;
    slice->slice.path[0] = '\0';
}

static void nodes_forget(struct host *host, const struct host_drive *drive)
{
    for (size_t i = 0; i < host->slice_count; i++)
        if (slice_on(&host->slices[i], drive))
            node_forget(&host->slices[i]);
}

static bool is_gone(const struct drive_news *news, uint64_t rdev)
{
    for (size_t i = 0; i < news->gone_count; i++)
        if (news->gone[i] == rdev)
            return true;
    return false;
}

static bool is_touched(const struct drive_news *news, const char *name)
{
    for (size_t i = 0; i < news->touched_count; i++)
        if (strcmp(news->touched[i], name) == 0)
            return true;
    return news->all;
}

/* The number of a device that went is given to another one at once, so its node is forgotten here and now; all the rest
 * is found by the looks that are due. What messages were lost about cannot mislead either: see agent/links.h. */
void drives_news(struct host *host, const struct drive_news *news)
{
    host->list_due = true;
    for (size_t i = 0; i < host->slice_count; i++) {
        struct host_slice *slice = &host->slices[i];
        if (slice->node_known && slice->block_device && is_gone(news, slice->rdev))
            node_forget(slice);
    }
    for (size_t i = 0; i < host->drive_count; i++) {
        struct host_drive *drive = &host->drives[i];
        if (is_touched(news, drive->seen.name)) {
            drive->scanned = false;
            drive->touched = drive->busy;
        }
    }
}

static void drive_add(struct host *host, const struct drive_ident *ident)
{
    if (host->drive_count == HOST_DRIVES_MAX)
        return; /* 32 drives a host; the rest is not looked at */
    host->drives[host->drive_count++] = (struct host_drive){.ident = *ident};
}

struct host_drive *drive_known(struct host *host, const struct drive_ident *ident)
{
    if (host_drive_find(host, ident) == NULL)
        drive_add(host, ident);
    return host_drive_find(host, ident);
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
    host->list_due = host->list_due || !event->ok; /* due again meanwhile: stays so */
    host->listed_ms = event->now_ms;
    text_cut(host->troubles.drives, sizeof(host->troubles.drives), event->ok ? "" : event->err->msg);
    if (!event->ok)
        return; /* nothing is known, so nothing is concluded */
    host->drives_listed = true;
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
        if (!present)
            task_drive_gone(drive);
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
    drive = drive_known(host, &want->ident);
    if (drive == NULL)
        return;
    drive->want = *want;
    if (drive_is_ours(drive) || strcmp(drive->adoption.v, want->adoption.v) == 0)
        return; /* ours already, or this very wish was judged */
    drive->adopt = ADOPT_CHECKING;
    drive->looks = 0;
    drive->adoption = want->adoption;
    drive->why[0] = '\0';
    drive->scanned = false;
    drive->not_before_ms = 0;
}

/* A person says that what was wrong is mended, or is to be lived with: it is looked at, and cut, as if nothing had been.
 * What its erases do to neighbours is not forgotten (host_trial.c). */
void drive_retry(struct host *host, const struct want_retry *want)
{
    for (size_t i = 0; i < host->drive_count; i++) {
        struct host_drive *drive = &host->drives[i];
        if (drive->adoption.v[0] == '\0' || strcmp(drive->adoption.v, want->adoption.v) != 0 ||
            want->retries <= drive->retries)
            continue;
        drive->retries = want->retries;
        drive->changed = true;
        if (drive->adopt != ADOPT_FAULT)
            continue;
        drive->adopt = ADOPT_CUTTING;
        drive->why[0] = '\0';
        drive->scanned = false;
        drive->failures = 0;
        drive->not_before_ms = 0;
    }
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
    drive->rule = drive->want.rule;
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
    const bool by_rule = drive->want.rule.v[0] != '\0';
    if (drive->ambiguous) {
        refuse(drive, "another drive of this host reports the same serial number");
    } else if (seen->foreign.count > 0) {
        const struct foreign *first = &seen->foreign.at[0];
        snprintf(why, sizeof(why), "the drive %s: %s", foreign_kind_text(first->kind), first->detail);
        refuse(drive, why);
    } else if (drive->want.adoption.v[0] == '\0') {
        drive->adopt = ADOPT_NONE; /* the wish was taken back meanwhile */
        drive->adoption = (struct uuid){0};
    } else if (by_rule && !rule_still_allows(host, drive, why)) {
        refuse(drive, why);
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

/* The namespace that a create has made: the one that the drive named in its answer, or, when a crash has swallowed it,
 * the only newcomer (docs/architecture.md, Identity). NULL: there is none. false: nobody can tell. */
static bool creating_find(const struct host_drive *drive, const struct ns_seen **out)
{
    size_t newcomers = 0;
    *out = NULL;
    for (size_t i = 0; i < drive->seen.ns_count; i++) {
        const struct ns_seen *ns = &drive->seen.ns[i];
        if (was_known(drive, ns->nsid) || (drive->creating_nsid.v != 0 && !nsid_eq(ns->nsid, drive->creating_nsid)))
            continue; /* a stranger beside ours is an orphan */
        *out = ns;
        newcomers++;
    }
    return newcomers == 0 || (newcomers == 1 && (*out)->size_blocks == drive->layout.slice_blocks &&
                              (*out)->block_bytes == drive->layout.block_bytes);
}

static void creating_resolve(struct host *host, struct host_drive *drive)
{
    const struct ns_seen *newcomer;
    if (!creating_find(drive, &newcomer)) {
        drive_fault(drive, "namespaces appeared that nsmith did not ask for, while it was creating one; look at the "
                           "drive, delete what is not yours, then retry: nsmith drive retry");
        return;
    }
    const struct slice_id id = drive->creating;
    drive->creating = (struct slice_id){0};
    drive->creating_known_count = 0;
    drive->changed = true;
    if (newcomer != NULL)
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
        node_forget(slice);
        if (row->state != SLICE_QUARANTINED || strcmp(row->why, why) != 0)
            slice_do(slice, &(struct slice_event){.kind = SLICE_LOST, .why = why});
        return;
    }
    if (!ns->attached || strcmp(ns->path, row->path) != 0)
        node_forget(slice);
}

bool slice_is_lost(const struct host_slice *slice, const struct host_drive *drive)
{
    const struct ns_seen *ns = drive_ns(&drive->seen, slice->slice.nsid);
    return ns == NULL || ns->size_blocks * ns->block_bytes != slice->slice.size_bytes ||
           ns->block_bytes != slice->slice.block_bytes ||
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
    wear_look(host, drive);
    drive->orphans = 0;
    if (drive->layout.provider == PROVIDER_NAMESPACE)
        for (size_t i = 0; i < drive->seen.ns_count; i++) {
            const struct nsid nsid = drive->seen.ns[i].nsid;
            if (slice_of_ns(host, drive, nsid) == NULL && !is_factory(drive, nsid))
                drive->orphans++;
        }
}

/* When a drive appears, udev and others open its nodes for a moment; that is no use of it. One that stays open is. */
static bool looks_again(struct host_drive *drive, uint64_t now_ms)
{
    const struct foreign_list *foreign = &drive->seen.foreign;
    bool only_open = foreign->count > 0 && !drive_is_ours(drive);
    for (size_t i = 0; i < foreign->count; i++)
        only_open = only_open && foreign->at[i].kind == FOREIGN_OPEN;
    drive->looks = only_open ? drive->looks + 1 : 0;
    if (!only_open || drive->looks >= OPEN_LOOKS)
        return false;
    drive->scanned = false;
    drive->not_before_ms = now_ms + backoff_ms(drive->looks);
    return true;
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
        if (!drive_is_ours(drive))
            text_cut(drive->why, sizeof(drive->why), event->err->msg);
        host->list_due = true; /* gone, or another one under its name */
        return;
    }
    const bool wanted_fresh = drive->adopt == ADOPT_CHECKING;
    if (wanted_fresh && !event->fresh)
        return; /* an older order; the fresh look comes next */
    if (drive_is_ours(drive))
        trial_look(host, drive, event->seen);
    drive->seen = *event->seen;
    drive->scanned = !drive->touched;
    drive->scanned_ms = event->now_ms;
    drive->failures = drive_is_ours(drive) ? drive->failures : 0;
    if (drive->adopt == ADOPT_NONE)
        drive->why[0] = '\0'; /* an earlier look that failed */
    if (looks_again(drive, event->now_ms))
        return;
    if (wanted_fresh)
        adoption_judge(host, drive);
    if (drive_is_ours(drive))
        ours_compare(host, drive);
}
