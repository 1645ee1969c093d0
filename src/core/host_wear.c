/* Wear per claim: what the drive had counted when a slice was handed out, and when its owner had let it go. Both
 * readings are of scans, and of scans that nothing of ours came after: an erase writes, too. A drive that does not
 * count (no SMART log) is not waited for. */
#include "core/host_priv.h"

static struct host_drive *drive_of(struct host *host, const struct host_slice *slice)
{
    for (size_t i = 0; i < host->drive_count; i++)
        if (slice_on(slice, &host->drives[i]))
            return &host->drives[i];
    return NULL;
}

static struct wear wear_read(const struct host *host, const struct host_drive *drive, const struct host_slice *slice)
{
    const struct ns_seen *ns = drive_ns(&drive->seen, slice->slice.nsid);
    const bool own = ns != NULL && ns->counts_units;
    if (!drive->seen.health.known)
        return (struct wear){0};
    return (struct wear){.units_written = own ? ns->units_written : drive->seen.health.units_written,
                         .of_slices = own ? 1 : drive_slices(host, drive),
                         .used_percent = drive->seen.health.used_percent};
}

bool wear_give(struct host *host, struct host_slice *slice)
{
    const struct host_drive *drive = drive_of(host, slice);
    if (drive != NULL && drive->seen.health.known && !drive->scanned)
        return false;
    slice->slice.wear_out = drive != NULL ? wear_read(host, drive, slice) : (struct wear){0};
    slice->slice.wear_back = (struct wear){0};
    return true;
}

static bool is_due(const struct slice *slice)
{
    return slice->state == SLICE_DIRTY && slice->wear_out.of_slices != 0 && slice->wear_back.of_slices == 0;
}

void wear_let_go(struct host *host, const struct host_slice *slice)
{
    struct host_drive *drive = drive_of(host, slice);
    if (drive == NULL || !is_due(&slice->slice))
        return;
    drive->scanned = false;
    drive->touched = drive->busy;
}

void wear_look(struct host *host, const struct host_drive *drive)
{
    for (size_t i = 0; i < host->slice_count && drive->scanned; i++) {
        struct host_slice *slice = &host->slices[i];
        if (!slice_on(slice, drive) || !is_due(&slice->slice))
            continue;
        slice->slice.wear_back = wear_read(host, drive, slice);
        slice->slice.changed = true;
    }
}
