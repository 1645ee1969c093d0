#include "server/fleet.h"

#include "base/must.h"

#include <stdlib.h>
#include <string.h>

/* The free slices of one class on one host: slices[first] to slices[first + count - 1]. */
struct share {
    uint16_t class, first, count;
    uint16_t left_out; /* such that are not among them, for their drives are drained */
};

struct host {
    struct name name;
    bool known; /* fleet_set() was called; else only its sign of life is kept */
    bool virt_down;
    bool dirty; /* is in the list of those */
    uint64_t vcpus_free, memory_free_bytes, seen_ms;
    struct sched_slice *slices; /* owned; by class, then drive, then id */
    struct share *shares;       /* owned; by class */
    size_t share_count;
};

/* The hosts that have the same number of free slices of a class: one bit a host, in the order of their names. */
struct bucket {
    uint64_t *words; /* owned, fleet->words of them; NULL: none yet */
    size_t count;    /* of bits that are set */
};

struct class {
    struct name name;
    struct bucket buckets[HOST_SLICES_MAX + 1]; /* [0] is not used */
};

struct fleet {
    struct host **hosts; /* owned, by name */
    size_t count, room, known;
    struct class *classes[FLEET_CLASSES_MAX]; /* owned */
    size_t class_count;
    struct name *dirty; /* owned */
    size_t dirty_count, dirty_room;
    size_t words; /* of each bucket */
    bool stale;   /* hosts came or went: the buckets say nothing */
};

static void *renew(void *memory, size_t count, size_t size)
{
    void *fresh = reallocarray(memory, count > 0 ? count : 1, size);
    must(fresh != NULL);
    return fresh;
}

struct fleet *fleet_new(void)
{
    struct fleet *fleet = calloc(1, sizeof(*fleet));
    must(fleet != NULL);
    return fleet;
}

static void host_free(struct host *host)
{
    free(host->slices);
    free(host->shares);
    free(host);
}

void fleet_free(struct fleet *fleet)
{
    if (fleet == NULL)
        return;
    for (size_t i = 0; i < fleet->count; i++)
        host_free(fleet->hosts[i]);
    for (size_t c = 0; c < fleet->class_count; c++) {
        for (size_t b = 0; b <= HOST_SLICES_MAX; b++)
            free(fleet->classes[c]->buckets[b].words);
        free(fleet->classes[c]);
    }
    free(fleet->hosts);
    free(fleet->dirty);
    free(fleet);
}

/* ---- hosts by name ------------------------------------------------------------------------------------------- */

static size_t place_of(const struct fleet *fleet, const struct name *name, bool *found)
{
    size_t low = 0, high = fleet->count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (strcmp(fleet->hosts[middle]->name.v, name->v) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *found = low < fleet->count && name_eq(&fleet->hosts[low]->name, name);
    return low;
}

static struct host *host_find(const struct fleet *fleet, const struct name *name, size_t *place_out)
{
    bool found;
    const size_t place = place_of(fleet, name, &found);
    if (place_out != NULL)
        *place_out = place;
    return found ? fleet->hosts[place] : NULL;
}

static struct host *host_get(struct fleet *fleet, const struct name *name, size_t *place_out)
{
    struct host *host = host_find(fleet, name, place_out);
    if (host != NULL)
        return host;
    bool found;
    const size_t place = place_of(fleet, name, &found);
    if (fleet->count == fleet->room) {
        fleet->room = fleet->room == 0 ? 16 : 2 * fleet->room;
        fleet->hosts = renew(fleet->hosts, fleet->room, sizeof(*fleet->hosts));
    }
    memmove(&fleet->hosts[place + 1], &fleet->hosts[place], (fleet->count - place) * sizeof(*fleet->hosts));
    host = calloc(1, sizeof(*host));
    must(host != NULL);
    host->name = *name;
    fleet->hosts[place] = host;
    fleet->count++;
    fleet->stale = true;
    return host;
}

size_t fleet_count(const struct fleet *fleet)
{
    return fleet->known;
}

/* ---- buckets ------------------------------------------------------------------------------------------------- */

static bool class_find(const struct fleet *fleet, const struct name *name, size_t *out)
{
    for (size_t c = 0; c < fleet->class_count; c++)
        if (name_eq(&fleet->classes[c]->name, name)) {
            *out = c;
            return true;
        }
    return false;
}

static bool class_get(struct fleet *fleet, const struct name *name, size_t *out)
{
    if (class_find(fleet, name, out))
        return true;
    if (fleet->class_count == FLEET_CLASSES_MAX)
        return false;
    struct class *class = calloc(1, sizeof(*class));
    must(class != NULL);
    class->name = *name;
    *out = fleet->class_count;
    fleet->classes[fleet->class_count++] = class;
    return true;
}

static void bucket_flip(struct fleet *fleet, const struct share *share, size_t place, bool in)
{
    struct bucket *bucket = &fleet->classes[share->class]->buckets[share->count];
    const uint64_t bit = UINT64_C(1) << (place % 64);
    if (share->count == 0)
        return;
    if (bucket->words == NULL) {
        bucket->words = calloc(fleet->words, sizeof(*bucket->words));
        must(bucket->words != NULL);
    }
    must(((bucket->words[place / 64] & bit) != 0) != in);
    bucket->words[place / 64] ^= bit;
    bucket->count = in ? bucket->count + 1 : bucket->count - 1;
}

static void host_flip(struct fleet *fleet, const struct host *host, size_t place, bool in)
{
    for (size_t i = 0; i < host->share_count && !fleet->stale; i++)
        bucket_flip(fleet, &host->shares[i], place, in);
}

static void buckets_make(struct fleet *fleet)
{
    fleet->words = (fleet->count + 63) / 64 + 1;
    for (size_t c = 0; c < fleet->class_count; c++)
        for (size_t b = 0; b <= HOST_SLICES_MAX; b++) {
            free(fleet->classes[c]->buckets[b].words);
            fleet->classes[c]->buckets[b] = (struct bucket){0};
        }
    fleet->stale = false;
    for (size_t i = 0; i < fleet->count; i++)
        host_flip(fleet, fleet->hosts[i], i, true);
}

static void clean(struct fleet *fleet, const struct name *name);

/* ---- what is known of a host --------------------------------------------------------------------------------- */

struct sorted {
    size_t class;
    bool left_out;
    struct sched_slice slice;
};

/* By class; in it what is given out before what is not. */
static int sorted_order(const void *a, const void *b)
{
    const struct sorted *x = a, *y = b;
    if (x->class != y->class)
        return x->class < y->class ? -1 : 1;
    if (x->left_out != y->left_out)
        return x->left_out ? 1 : -1;
    const int by_drive = strcmp(x->slice.drive, y->slice.drive);
    return by_drive != 0 ? by_drive : strcmp(x->slice.id.v, y->slice.id.v);
}

static size_t slices_sort(struct fleet *fleet, const struct fleet_host *from, struct sorted *out)
{
    size_t count = 0;
    for (size_t i = 0; i < from->slice_count; i++) {
        size_t class;
        if (!class_get(fleet, &from->slices[i].class, &class))
            continue;
        struct sorted *one = &out[count++];
        *one = (struct sorted){.class = class, .left_out = from->slices[i].left_out, .slice.id = from->slices[i].id};
        memcpy(one->slice.drive, from->slices[i].drive, sizeof(one->slice.drive));
    }
    qsort(out, count, sizeof(*out), sorted_order);
    return count;
}

static void slices_set(struct fleet *fleet, struct host *host, const struct fleet_host *from)
{
    must(from->slice_count <= HOST_SLICES_MAX);
    struct sorted *sorted = renew(NULL, from->slice_count, sizeof(*sorted));
    const size_t count = slices_sort(fleet, from, sorted);
    host->slices = renew(host->slices, count, sizeof(*host->slices));
    host->shares = renew(host->shares, count, sizeof(*host->shares));
    host->share_count = 0;
    for (size_t i = 0; i < count; i++) {
        host->slices[i] = sorted[i].slice;
        if (i == 0 || sorted[i].class != sorted[i - 1].class)
            host->shares[host->share_count++] =
                (struct share){.class = (uint16_t)sorted[i].class, .first = (uint16_t)i};
        struct share *share = &host->shares[host->share_count - 1];
        if (sorted[i].left_out)
            share->left_out++;
        else
            share->count++;
    }
    free(sorted);
}

void fleet_set(struct fleet *fleet, const struct fleet_host *from)
{
    size_t place;
    struct host *host = host_get(fleet, &from->name, &place);
    host_flip(fleet, host, place, false);
    fleet->known += !host->known;
    host->known = true;
    if (host->dirty)
        clean(fleet, &from->name);
    host->dirty = false;
    host->virt_down = from->virt_down;
    host->vcpus_free = from->vcpus_free;
    host->memory_free_bytes = from->memory_free_bytes;
    slices_set(fleet, host, from);
    host_flip(fleet, host, place, true);
}

void fleet_remove(struct fleet *fleet, const struct name *name)
{
    size_t place;
    struct host *host = host_find(fleet, name, &place);
    if (host == NULL)
        return;
    fleet->known -= host->known;
    if (host->dirty)
        clean(fleet, name);
    host_free(host);
    fleet->count--;
    memmove(&fleet->hosts[place], &fleet->hosts[place + 1], (fleet->count - place) * sizeof(*fleet->hosts));
    fleet->stale = true;
}

/* ---- what is not known any more ------------------------------------------------------------------------------ */

void fleet_dirty(struct fleet *fleet, const struct name *name)
{
    struct host *host = host_get(fleet, name, NULL);
    if (host->dirty)
        return;
    host->dirty = true;
    if (fleet->dirty_count == fleet->dirty_room) {
        fleet->dirty_room = fleet->dirty_room == 0 ? 16 : 2 * fleet->dirty_room;
        fleet->dirty = renew(fleet->dirty, fleet->dirty_room, sizeof(*fleet->dirty));
    }
    fleet->dirty[fleet->dirty_count++] = *name;
}

bool fleet_dirty_next(const struct fleet *fleet, struct name *out)
{
    if (fleet->dirty_count == 0)
        return false;
    *out = fleet->dirty[fleet->dirty_count - 1];
    return true;
}

/* The list is short, or is gone through from its end. */
static void clean(struct fleet *fleet, const struct name *name)
{
    for (size_t i = fleet->dirty_count; i-- > 0;)
        if (name_eq(&fleet->dirty[i], name)) {
            fleet->dirty[i] = fleet->dirty[--fleet->dirty_count];
            return;
        }
}

/* ---- signs of life ------------------------------------------------------------------------------------------- */

void fleet_seen(struct fleet *fleet, const struct name *name, uint64_t now_ms)
{
    host_get(fleet, name, NULL)->seen_ms = now_ms;
}

uint64_t fleet_seen_ms(const struct fleet *fleet, const struct name *name)
{
    const struct host *host = host_find(fleet, name, NULL);
    return host != NULL ? host->seen_ms : 0;
}

/* ---- where does it fit --------------------------------------------------------------------------------------- */

/* As the scheduler sees it; borrows the slices. */
static struct sched_host view(const struct host *host, size_t class, uint64_t up_since_ms)
{
    struct sched_host out = {.name = host->name,
                             .up = host->seen_ms != 0 && host->seen_ms >= up_since_ms,
                             .virt_down = host->virt_down,
                             .vcpus_free = host->vcpus_free,
                             .memory_free_bytes = host->memory_free_bytes};
    for (size_t i = 0; i < host->share_count; i++)
        if (host->shares[i].class == class) {
            out.slices = host->slices + host->shares[i].first;
            out.slice_count = host->shares[i].count;
            out.left_out = host->shares[i].left_out;
        }
    return out;
}

/* The first host of a bucket, by name, that fits. */
static bool bucket_search(const struct fleet *fleet, const struct bucket *bucket, size_t class,
                          const struct sched_request *request, uint64_t up_since_ms, struct sched_host *out)
{
    size_t left = bucket->count;
    for (size_t w = 0; left > 0; w++)
        for (uint64_t word = bucket->words[w]; word != 0; word &= word - 1, left--) {
            struct sched_answer ignored = {0};
            *out = view(fleet->hosts[w * 64 + (size_t)__builtin_ctzll(word)], class, up_since_ms);
            if (sched_fits(out, request, &ignored))
                return true;
        }
    return false;
}

/* Best first: the most free slices for spread, the fewest for pack. */
static bool search(const struct fleet *fleet, size_t class, const struct sched_request *request, uint64_t up_since_ms,
                   struct sched_host *out)
{
    const struct bucket *buckets = fleet->classes[class]->buckets;
    for (size_t i = request->slices; i <= HOST_SLICES_MAX; i++) {
        const size_t b = request->spread == SPREAD_DRIVES ? HOST_SLICES_MAX - (i - request->slices) : i;
        if (bucket_search(fleet, &buckets[b], class, request, up_since_ms, out))
            return true;
    }
    return false;
}

static void place_on(const struct sched_host *host, const struct sched_request *request, struct sched_answer *out,
                     struct name *host_out)
{
    out->placed = true;
    sched_pick(host, request, out);
    *host_out = host->name;
}

static void count_falls(const struct fleet *fleet, size_t class, const struct sched_request *request,
                        uint64_t up_since_ms, struct sched_answer *out)
{
    for (size_t i = 0; i < fleet->count; i++) {
        const struct sched_host host = view(fleet->hosts[i], class, up_since_ms);
        if (!fleet->hosts[i]->known)
            continue;
        out->hosts_asked++;
        must(!sched_fits(&host, request, out));
    }
}

void fleet_place(struct fleet *fleet, const struct sched_request *request, uint64_t up_since_ms,
                 struct sched_answer *out, struct name *host_out)
{
    size_t class = FLEET_CLASSES_MAX; /* of which nobody has any */
    struct sched_host host;
    must(request->slices >= 1 && request->slices <= CLAIM_SLICES_MAX);
    *out = (struct sched_answer){0};
    if (fleet->stale)
        buckets_make(fleet);
    const bool is_known = class_find(fleet, &request->class, &class);
    if (request->host.v[0] != '\0') {
        const struct host *wanted = host_find(fleet, &request->host, NULL);
        if (wanted == NULL || !wanted->known)
            return;
        host = view(wanted, class, up_since_ms);
        out->hosts_asked = 1;
        if (sched_fits(&host, request, out))
            place_on(&host, request, out, host_out);
    } else if (is_known && search(fleet, class, request, up_since_ms, &host)) {
        place_on(&host, request, out, host_out);
    } else {
        count_falls(fleet, class, request, up_since_ms, out);
    }
}
