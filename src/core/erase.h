/* erase.h - which erase is safe and strongest, where proof is sought, and what counts as proof. Pure.
 *
 * The choice (FNA: NVM Express Base 2.0, Identify Controller, byte 524):
 *   Sanitize Namespace where the drive lists it; else Format SES 2 where FNA bit 2 = 1 and bits 0 and 1 = 0; else
 *   Format SES 1 where bits 0 and 1 = 0; else an overwrite by the host. A namespace that is alone on its drive may be
 *   formatted whatever bits 0 and 1 say. Without Format at all: overwrite. */
#ifndef NSMITH_ERASE_H
#define NSMITH_ERASE_H

#include "model/drive.h"
#include "model/erasure.h"

enum erase_method erase_choose(const struct drive_caps *caps, bool alone);

enum {
    ERASE_MARKERS = 64,   /* blocks that get a marker: the first, the last, and seeded random ones */
    ERASE_SAMPLES = 64,   /* blocks whose old content is remembered: 16 from the start, 16 to the end, random ones */
    ERASE_RANDOM = 128,   /* further random blocks that are read afterwards */
    ERASE_BLOCK_MAX = 4096,
};

/* Block number of the i-th marker / sample / further check. Seeded: whoever holds the record can look there again.
 * A namespace may be smaller than the numbers above: places then repeat. */
uint64_t erase_marker_at(const uint8_t seed[16], uint64_t size_blocks, unsigned i);
uint64_t erase_sample_at(const uint8_t seed[16], uint64_t size_blocks, unsigned i);
uint64_t erase_random_at(const uint8_t seed[16], uint64_t size_blocks, unsigned i);

/* What a marker looks like: begins with the text "nsmith marker " and fills the whole block with numbers from seed
 * and block, so that no two blocks are alike. */
void erase_marker(const uint8_t seed[16], uint64_t block, uint8_t *to, uint32_t block_bytes);

bool erase_is_zero(const uint8_t *block, uint32_t block_bytes);

/* Fills verdict (and note) of a record whose counts are filled in: verified only when the drive said success, all
 * markers had been seen planted, everything was read back, and none of the old was found. */
void erase_judge(struct erasure *erasure, bool drive_said_done, bool all_read);

/* Longer than that by this method is worth a person's look; the erase goes on. The kernel's own deadline is hours away,
 * for it would reset the controller under all tenants (agent/order.h). */
uint64_t erase_expected_ms(enum erase_method method, uint64_t size_bytes);

#endif
