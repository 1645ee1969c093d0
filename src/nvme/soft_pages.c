#include "nvme/soft_pages.h"

#include "base/must.h"
#include "base/rng.h"

#include <stdlib.h>
#include <string.h>

struct soft_page {
    uint64_t number;
    uint8_t *data; /* owned; NULL: the slot is empty */
};

void soft_pages_release(struct soft_pages *pages)
{
    for (size_t i = 0; i < pages->slots; i++)
        free(pages->table[i].data);
    free(pages->table);
    *pages = (struct soft_pages){0};
}

uint64_t soft_pages_memory(const struct soft_pages *pages)
{
    return pages->slots * sizeof(struct soft_page) + pages->used * (uint64_t)SOFT_PAGE;
}

/* The slot that holds the page, or the empty one where it would go. The table is never full. */
static struct soft_page *slot_of(const struct soft_pages *pages, uint64_t number)
{
    struct rng hash = {number};
    size_t at = (size_t)rng_next(&hash) & (pages->slots - 1);
    while (pages->table[at].data != NULL && pages->table[at].number != number)
        at = (at + 1) & (pages->slots - 1);
    return &pages->table[at];
}

static const uint8_t *find(const struct soft_pages *pages, uint64_t number)
{
    return pages->slots == 0 ? NULL : slot_of(pages, number)->data;
}

/* Moves all pages that are left into a table of `slots`. */
static void rebuild(struct soft_pages *pages, size_t slots)
{
    struct soft_pages fresh = {.slots = slots, .used = pages->used};
    fresh.table = calloc(slots, sizeof(*fresh.table));
    must(fresh.table != NULL);
    for (size_t i = 0; i < pages->slots; i++)
        if (pages->table[i].data != NULL)
            *slot_of(&fresh, pages->table[i].number) = pages->table[i];
    free(pages->table);
    *pages = fresh;
}

static uint8_t *make(struct soft_pages *pages, uint64_t number)
{
    if (pages->slots == 0 || pages->used * 4 >= pages->slots * 3)
        rebuild(pages, pages->slots == 0 ? 16 : pages->slots * 2);
    struct soft_page *page = slot_of(pages, number);
    if (page->data == NULL) {
        page->number = number;
        page->data = calloc(1, SOFT_PAGE);
        must(page->data != NULL);
        pages->used++;
    }
    return page->data;
}

static size_t part(uint64_t offset, uint64_t len)
{
    const uint64_t room = SOFT_PAGE - offset % SOFT_PAGE;
    return (size_t)(len < room ? len : room);
}

void soft_pages_read(const struct soft_pages *pages, uint64_t offset, void *to, size_t len)
{
    uint8_t *at = to;
    while (len > 0) {
        const size_t n = part(offset, len);
        const uint8_t *page = find(pages, offset / SOFT_PAGE);
        if (page == NULL)
            memset(at, 0, n);
        else
            memcpy(at, page + offset % SOFT_PAGE, n);
        at += n;
        offset += n;
        len -= n;
    }
}

void soft_pages_write(struct soft_pages *pages, uint64_t offset, const void *from, size_t len)
{
    const uint8_t *at = from;
    while (len > 0) {
        const size_t n = part(offset, len);
        memcpy(make(pages, offset / SOFT_PAGE) + offset % SOFT_PAGE, at, n);
        at += n;
        offset += n;
        len -= n;
    }
}

/* Walks the pages there are, not the range: that may be terabytes. */
void soft_pages_zero(struct soft_pages *pages, uint64_t offset, uint64_t len)
{
    const uint64_t end = offset + len;
    const size_t before = pages->used;
    for (size_t i = 0; i < pages->slots; i++) {
        struct soft_page *page = &pages->table[i];
        const uint64_t begins = page->number * SOFT_PAGE, ends = begins + SOFT_PAGE;
        if (page->data == NULL || ends <= offset || begins >= end)
            continue;
        if (begins >= offset && ends <= end) {
            free(page->data);
            page->data = NULL;
            pages->used--;
        } else {
            const uint64_t from = offset > begins ? offset : begins, to = end < ends ? end : ends;
            memset(page->data + (from - begins), 0, (size_t)(to - from));
        }
    }
    if (pages->used == 0)
        soft_pages_release(pages);
    else if (pages->used != before) /* holes would break the chains of the hash table */
        rebuild(pages, pages->slots);
}

void soft_noise(uint64_t seed, uint64_t number, uint8_t to[SOFT_PAGE])
{
    struct rng rng = {seed ^ (number * 0xd1342543de82ef95u)};
    for (size_t i = 0; i < SOFT_PAGE; i += 8) {
        const uint64_t value = rng_next(&rng);
        memcpy(to + i, &value, sizeof(value));
    }
}

bool soft_half(uint64_t seed, uint64_t number)
{
    struct rng rng = {seed + number * 0x9e3779b97f4a7c15u};
    return rng_next(&rng) & 1;
}

void soft_pages_wipe(struct soft_pages *pages, const struct soft_wipe *wipe)
{
    size_t left = 0;
    for (size_t i = 0; i < pages->slots; i++) {
        struct soft_page *page = &pages->table[i];
        if (page->data == NULL)
            continue;
        if (wipe->half && !soft_half(wipe->seed, page->number)) {
            left++;
        } else if (wipe->noise) {
            soft_noise(wipe->seed, page->number, page->data);
            left++;
        } else {
            free(page->data);
            page->data = NULL;
        }
    }
    const bool removed = left != pages->used;
    pages->used = left;
    if (left == 0)
        soft_pages_release(pages);
    else if (removed)
        rebuild(pages, pages->slots);
}
