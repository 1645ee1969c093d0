/* soft_pages.h - a sparse medium in memory: pages of 4 KiB by number in a hash table, made when first written. */
#ifndef NSMITH_SOFT_PAGES_H
#define NSMITH_SOFT_PAGES_H

#include "nvme/soft_media.h"

enum { SOFT_PAGE = 4096 };

struct soft_page;

struct soft_pages {
    struct soft_page *table; /* owned, NULL while empty */
    size_t slots, used;
};

void soft_pages_release(struct soft_pages *pages);
void soft_pages_read(const struct soft_pages *pages, uint64_t offset, void *to, size_t len);
void soft_pages_write(struct soft_pages *pages, uint64_t offset, const void *from, size_t len);
void soft_pages_zero(struct soft_pages *pages, uint64_t offset, uint64_t len);
void soft_pages_wipe(struct soft_pages *pages, const struct soft_wipe *wipe);
uint64_t soft_pages_memory(const struct soft_pages *pages);

/* What page `number` holds after a wipe with noise. */
void soft_noise(uint64_t seed, uint64_t number, uint8_t to[SOFT_PAGE]);
/* Whether a wipe of half takes page `number`. */
bool soft_half(uint64_t seed, uint64_t number);

#endif
