/* plan.h - how a drive is cut. Pure.
 *   - Work is in bytes, then granules, then blocks of the chosen LBA format (NVM Express Base 2.0, "Namespace
 *     Granularity List", CNS 16h; NSZE and NCAP are in logical blocks).
 *   - A slice is the class's nominal size rounded down to a whole number of granules and of GiB where that stays
 *     within the tolerance, else rounded up to that: slices of one class are alike on all drives.
 *     Classes below 64 GiB are rounded to MiB instead of GiB, so that small test classes work alike.
 *   - The LBA format is the best-performing one without metadata: 4096 bytes before 512 where performance is equal.
 *   - count = what fits into the capacity, at most NN, at most MNAN, at most HOST_SLICES_MAX.
 *   - stranded = total - count x cost. Nothing fits: count 0; that is an answer, not an error.
 *   - `whole`: one slice, the existing namespace as it is; nothing is created or deleted. It counts as one slice of its
 *     class, so that what it holds beyond the nominal size is stranded: its holder gets it, nobody can ask for it. */
#ifndef NSMITH_PLAN_H
#define NSMITH_PLAN_H

#include "model/drive.h"
#include "model/slice.h"
#include "model/sync.h"

/* What the drive allows and costs when all its present namespaces are given up (they are named in the plan).
 * ERR_INPUT: the drive cannot be cut that way (no namespace management; no LBA format without metadata; `whole` and
 * not exactly one namespace), the class makes no sense. */
bool plan_layout(const struct drive_seen *drive, const struct slice_class *class, enum provider provider,
                 struct layout *out, struct err *err);

/* The nominal size as it comes out on a granule of `granule_bytes` (a power of two or not; 0: 1 byte). 0: no size
 * within the tolerance below or one granule above exists. */
uint64_t plan_slice_bytes(const struct slice_class *class, uint64_t granule_bytes);

/* One line of the plan as a person reads it, number i from 0: "detach and delete namespace 1 (1.92 TB): ..." and the
 * exact NVMe command. false: there is no line i. */
struct plan_line {
    char text[160];
    char command[200]; /* "Namespace Management 0Dh: create, NSZE 975175680, NCAP 975175680, FLBAS 0, NMIC 0" */
};
bool plan_line(const struct drive_seen *drive, const struct layout *layout, size_t i, struct plan_line *out);

#endif
