/* Does an erase of one namespace spare the others, as the drive says (FNA)? It is believed only after a trial: while a
 * neighbour is still blank, or already given back, markers are planted there, the first slice is erased, and they must
 * still be there. Nothing is ever written to what somebody has, or to what is proven clean.
 *   - Once for each drive and firmware. A drive that fails is at fault, and from then on its slices are overwritten,
 *     one by one, which cannot hit anybody.
 *   - A drive with one namespace has nobody to hit.
 *   - While somebody has a slice of a drive that has never passed, or has failed, it is overwritten and not tried: the
 *     trial's own erase could hit that one. A drive that has passed with its last firmware goes on, and is tried at the
 *     next opportunity.
 *   - After every erase there is a sign that costs nothing: a neighbour whose used blocks (NUSE) have gone to zero. A
 *     tenant can do that as well (by deallocating all of its slice), so a person decides: `drive retry`. */
#include "core/erase.h"
#include "core/host_priv.h"

#include "base/text.h"

#include <stdio.h>

bool slice_wants_erase(const struct slice *slice)
{
    return slice->state == SLICE_BLANK || slice->state == SLICE_DIRTY || slice->state == SLICE_ERASING ||
           slice->state == SLICE_VERIFYING;
}

static bool can_be_tried_on(const struct host_drive *drive, const struct host_slice *slice)
{
    const struct ns_seen *ns = drive_ns(&drive->seen, slice->slice.nsid);
    return slice_on(slice, drive) && slice_wants_erase(&slice->slice) && slice->slice.owner.v[0] == '\0' &&
           ns != NULL && ns->attached && !slice_is_lost(slice, drive);
}

/* What nobody ever had comes first: what was given back may still be open somewhere. When the first try could not be
 * made, another neighbour is tried on. */
static const struct host_slice *neighbour_of(const struct host *host, const struct host_drive *drive,
                                             const struct host_slice *slice)
{
    const struct host_slice *blank[HOST_SLICES_MAX], *other = NULL;
    size_t count = 0;
    for (size_t i = 0; i < host->slice_count; i++) {
        const struct host_slice *near = &host->slices[i];
        if (near == slice || !can_be_tried_on(drive, near))
            continue;
        if (near->slice.attached_seq == 0)
            blank[count++] = near;
        else if (other == NULL)
            other = near;
    }
    if (count > 0)
        return blank[slice->failures % count];
    return slice->failures == 0 ? other : NULL;
}

static bool somebody_has_one(const struct host *host, const struct host_drive *drive)
{
    for (size_t i = 0; i < host->slice_count; i++)
        if (slice_on(&host->slices[i], drive) && host->slices[i].slice.owner.v[0] != '\0')
            return true;
    return false;
}

void trial_choose(const struct host *host, const struct host_drive *drive, const struct host_slice *slice,
                  struct order *order)
{
    const bool alone = drive->seen.ns_count == 1;
    const bool tried = drive->trial_passed || drive->trial_hit;
    const bool this_firmware = tried && strcmp(drive->trial_firmware, drive->seen.firmware) == 0;
    order->method = erase_choose(&drive->seen.caps, alone);
    if (alone || order->method == ERASE_OVERWRITE || (this_firmware && drive->trial_passed))
        return;
    if (!drive->trial_passed && somebody_has_one(host, drive)) { /* a trial would be tried on them, too */
        order->method = ERASE_OVERWRITE;
        return;
    }
    const struct host_slice *near = this_firmware ? NULL : neighbour_of(host, drive, slice);
    if (near != NULL)
        order->neighbour = slice_ns(&near->slice);
    else if (drive->trial_hit)
        order->method = ERASE_OVERWRITE;
}

static void hit(struct host_drive *drive, const char *what)
{
    char why[WHY_MAX];
    snprintf(
        why, sizeof(why),
        "an erase of one namespace %s another, although the drive says that it does not (FNA %02Xh); nothing of it "
        "is given out. After `drive retry` its slices are overwritten, one by one",
        what, drive->seen.caps.fna);
    drive->trial_hit = true;
    drive->trial_passed = false;
    text_cut(drive->trial_firmware, sizeof(drive->trial_firmware), drive->seen.firmware);
    drive_fault(drive, why);
}

void trial_ended(struct host_drive *drive, const struct host_event *event)
{
    const struct order *order = event->order;
    const struct erasure *erasure = event->erasure;
    const bool verified = event->ok && erasure != NULL && erasure->verdict == ERASE_VERIFIED;
    drive->erased_by_drive = order->method == ERASE_OVERWRITE ? (struct nsid){0} : order->ns.nsid;
    if (event->neighbour == NEIGHBOUR_HIT) {
        hit(drive, "erased");
        return;
    }
    if (event->neighbour != NEIGHBOUR_SPARED || !verified) /* an erase that did nothing proves nothing */
        return;
    drive->trial_hit = false;
    drive->trial_passed = true;
    text_cut(drive->trial_firmware, sizeof(drive->trial_firmware), order->firmware);
    drive->changed = true;
}

void trial_look(const struct host *host, struct host_drive *drive, const struct drive_seen *now)
{
    const struct nsid erased = drive->erased_by_drive;
    drive->erased_by_drive = (struct nsid){0};
    if (erased.v == 0 || drive->trial_hit)
        return;
    for (size_t i = 0; i < host->slice_count; i++) {
        const struct slice *slice = &host->slices[i].slice;
        if (!slice_on(&host->slices[i], drive) || nsid_eq(slice->nsid, erased))
            continue;
        const struct ns_seen *was = drive_ns(&drive->seen, slice->nsid), *is = drive_ns(now, slice->nsid);
        const bool both = was != NULL && is != NULL && was->attached && is->attached;
        if (both && was->used_blocks > 0 && is->used_blocks == 0) {
            hit(drive, "seems to have emptied");
            return;
        }
    }
}
