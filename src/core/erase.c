/* Places and markers come from seed, purpose and index alone, so that whoever holds an erasure's record can look at
 * the same blocks again. They are part of the record's meaning: test/unit/t_erase.c pins them down. */
#include "core/erase.h"

#include "base/must.h"
#include "base/rng.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

/* Identify Controller, FNA (NVM Express Base 2.0, Figure "Identify Controller Data Structure", byte 524). */
enum { FNA_FORMAT_ALL = 1 << 0, FNA_SECURE_ALL = 1 << 1, FNA_CRYPTO = 1 << 2 };

enum erase_method erase_choose(const struct drive_caps *caps, bool alone)
{
    if (caps->sanitize_ns)
        return ERASE_SANITIZE_NS;
    if (!caps->format)
        return ERASE_OVERWRITE;
    /* Bit 0 speaks of formats without secure erase; it is asked for as well because drives have mixed the two up. */
    if ((caps->fna & (FNA_FORMAT_ALL | FNA_SECURE_ALL)) != 0 && !alone)
        return ERASE_OVERWRITE;
    return (caps->fna & FNA_CRYPTO) != 0 ? ERASE_FORMAT_CRYPTO : ERASE_FORMAT_USER;
}

/* ---- places --------------------------------------------------------------------------------------------------- */

enum purpose { FOR_MARKER = 1, FOR_SAMPLE = 2, FOR_RANDOM = 3, FOR_CONTENT = 4 };

enum { SAMPLES_AT_EDGE = 16 };

static uint64_t load_le64(const uint8_t *from)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < 8; i++)
        value |= (uint64_t)from[i] << (8 * i);
    return value;
}

static void store_le64(uint8_t *to, uint64_t value)
{
    for (unsigned i = 0; i < 8; i++)
        to[i] = (uint8_t)(value >> (8 * i));
}

/* Each of the four inputs goes through the generator once, so that neighbouring ones give unrelated streams. */
static struct rng stream(const uint8_t seed[16], enum purpose purpose, uint64_t number)
{
    struct rng rng = {.state = load_le64(seed)};
    rng.state = rng_next(&rng) ^ load_le64(seed + 8);
    rng.state = rng_next(&rng) ^ (uint64_t)purpose;
    rng.state = rng_next(&rng) ^ number;
    rng.state = rng_next(&rng);
    return rng;
}

static uint64_t anywhere(const uint8_t seed[16], enum purpose purpose, unsigned i, uint64_t size_blocks)
{
    struct rng rng = stream(seed, purpose, i);
    return rng_below(&rng, size_blocks);
}

uint64_t erase_marker_at(const uint8_t seed[16], uint64_t size_blocks, unsigned i)
{
    must(size_blocks > 0);
    must(i < ERASE_MARKERS);
    if (i == 0)
        return 0;
    if (i == 1)
        return size_blocks - 1;
    return anywhere(seed, FOR_MARKER, i, size_blocks);
}

uint64_t erase_sample_at(const uint8_t seed[16], uint64_t size_blocks, unsigned i)
{
    must(size_blocks > 0);
    must(i < ERASE_SAMPLES);
    if (i < SAMPLES_AT_EDGE)
        return i % size_blocks;
    if (i < 2 * SAMPLES_AT_EDGE)
        return size_blocks - 1 - (i - SAMPLES_AT_EDGE) % size_blocks;
    return anywhere(seed, FOR_SAMPLE, i, size_blocks);
}

uint64_t erase_random_at(const uint8_t seed[16], uint64_t size_blocks, unsigned i)
{
    must(size_blocks > 0);
    must(i < ERASE_RANDOM);
    return anywhere(seed, FOR_RANDOM, i, size_blocks);
}

/* ---- contents ------------------------------------------------------------------------------------------------- */

void erase_marker(const uint8_t seed[16], uint64_t block, uint8_t *to, uint32_t block_bytes)
{
    static const char text[16] = "nsmith marker ";
    enum { BLOCK_AT = 16, SEED_AT = 24, NUMBERS_AT = 40 };
    must(block_bytes >= 64);
    must(block_bytes <= ERASE_BLOCK_MAX);
    must(block_bytes % 8 == 0);
    memcpy(to, text, sizeof(text));
    store_le64(to + BLOCK_AT, block);
    memcpy(to + SEED_AT, seed, 16);
    struct rng rng = stream(seed, FOR_CONTENT, block);
    for (uint32_t at = NUMBERS_AT; at < block_bytes; at += 8)
        store_le64(to + at, rng_next(&rng));
}

bool erase_is_zero(const uint8_t *block, uint32_t block_bytes)
{
    must(block_bytes > 0);
    return block[0] == 0 && memcmp(block, block + 1, block_bytes - 1) == 0;
}

/* ---- the verdict ---------------------------------------------------------------------------------------------- */

/* A note that the caller has written (a drive's error message) is kept. */
__attribute__((format(printf, 3, 4))) static void judged(struct erasure *erasure, enum erase_verdict verdict,
                                                         const char *fmt, ...)
{
    erasure->verdict = verdict;
    if (erasure->note[0] != '\0')
        return;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(erasure->note, sizeof(erasure->note), fmt, ap);
    va_end(ap);
}

void erase_judge(struct erasure *erasure, bool drive_said_done, bool all_read)
{
    must(erasure->method < ERASE_METHOD_COUNT);
    if (erasure->method == ERASE_NONE)
        judged(erasure, ERASE_REFUSED, "no method of this drive is safe for its other namespaces");
    else if (erasure->nvme_status != 0)
        judged(erasure, ERASE_FAILED_STATUS, "the drive answered '%s' (0x%03x)", nvme_status_text(erasure->nvme_status),
               (unsigned)erasure->nvme_status);
    else if (!drive_said_done)
        judged(erasure, ERASE_FAILED_STATUS, "the drive did not say in time that it is done");
    else if (erasure->found_old > 0) /* said first: what was found weighs more than what could not be read */
        judged(erasure, ERASE_LIED, "%" PRIu64 " of %" PRIu64 " blocks read afterwards still held old content",
               erasure->found_old, erasure->checked);
    else if (!all_read)
        judged(erasure, ERASE_UNREADABLE, "not every block could be read back");
    else if (erasure->markers < ERASE_MARKERS)
        judged(erasure, ERASE_UNREADABLE, "only %" PRIu64 " of %d markers were seen before the erase", erasure->markers,
               ERASE_MARKERS);
    else if (erasure->checked < erasure->markers)
        judged(erasure, ERASE_UNREADABLE, "only %" PRIu64 " blocks were read back", erasure->checked);
    else
        erasure->verdict = ERASE_VERIFIED;
}

/* A key change takes seconds. What touches all cells or blocks depends on their number: 64 MB/s is what a busy SSD keeps
 * up, half of what the slowest is sold for. */
uint64_t erase_expected_ms(enum erase_method method, uint64_t size_bytes)
{
    enum { FLOOR_MS = 600000, BYTES_PER_MS = 64000 };
    switch (method) {
    case ERASE_SANITIZE_NS:
    case ERASE_FORMAT_CRYPTO:
        return FLOOR_MS;
    case ERASE_FORMAT_USER:
    case ERASE_OVERWRITE:
    case ERASE_SANITIZE:
        return FLOOR_MS + size_bytes / BYTES_PER_MS;
    case ERASE_NONE:
    case ERASE_METHOD_COUNT:
        break;
    }
    return FLOOR_MS;
}
