#include "softnvme/vfu_dma.h"

#include "base/must.h"
#include "softnvme/vfu_msg.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

/* --- Files ------------------------------------------------------------------------------------------------------- */

/* The file's place, mapped; -1 and *error. */
static int file_get(struct vfu_dma *dma, int fd, int *error)
{
    struct stat stat;
    int free_at = -1;
    if (fstat(fd, &stat) < 0) {
        *error = errno;
        return -1;
    }
    for (int i = 0; i < VFU_FILES_MAX; i++) {
        const struct vfu_file *file = &dma->files[i];
        if (file->at != NULL && file->dev == stat.st_dev && file->ino == stat.st_ino)
            return i;
        if (file->at == NULL && free_at < 0)
            free_at = i;
    }
    if (free_at < 0 || stat.st_size <= 0) {
        *error = free_at < 0 ? ENOSPC : EINVAL;
        return -1;
    }
    void *at = mmap(NULL, (size_t)stat.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED) {
        *error = errno;
        return -1;
    }
    dma->files[free_at] =
        (struct vfu_file){.dev = stat.st_dev, .ino = stat.st_ino, .at = at, .size = (uint64_t)stat.st_size};
    return free_at;
}

static void file_put(struct vfu_file *file)
{
    if (file->used > 0 && --file->used > 0)
        return;
    munmap(file->at, file->size);
    *file = (struct vfu_file){0};
}

static bool is_lasting(int fd)
{
    const int seals = fd < 0 ? -1 : fcntl(fd, F_GET_SEALS);
    return seals >= 0 && seals & F_SEAL_SHRINK;
}

/* --- Regions ----------------------------------------------------------------------------------------------------- */

/* The first region that ends behind the address. */
static size_t find(const struct vfu_dma *dma, uint64_t iova)
{
    size_t low = 0, high = dma->count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (dma->maps[middle].iova + (dma->maps[middle].size - 1) >= iova)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

static void insert(struct vfu_dma *dma, size_t at, const struct vfu_region_map *map)
{
    if (dma->count == dma->room) {
        dma->room = dma->room == 0 ? 64 : 2 * dma->room;
        dma->maps = reallocarray(dma->maps, dma->room, sizeof(*dma->maps));
        must(dma->maps != NULL);
    }
    memmove(dma->maps + at + 1, dma->maps + at, (dma->count - at) * sizeof(*dma->maps));
    dma->maps[at] = *map;
    dma->count++;
}

int vfu_dma_map(struct vfu_dma *dma, const struct vfu_mapping *mapping, bool *usable_out)
{
    int error = 0;
    const uint64_t last = mapping->iova + (mapping->size - 1);
    if (mapping->size == 0 || last < mapping->iova)
        return EINVAL;
    if (dma->count == VFU_MAPS_MAX)
        return ENOSPC;
    const size_t at = find(dma, mapping->iova);
    if (at < dma->count && dma->maps[at].iova <= last)
        return EEXIST;
    struct vfu_region_map map = {
        .iova = mapping->iova, .size = mapping->size, .can_read = mapping->can_read, .can_write = mapping->can_write};
    *usable_out = is_lasting(mapping->fd);
    if (*usable_out) {
        const int index = file_get(dma, mapping->fd, &error);
        if (index < 0)
            return error;
        struct vfu_file *file = &dma->files[index];
        if (mapping->offset > file->size || mapping->size > file->size - mapping->offset) {
            if (file->used == 0)
                file_put(file);
            return EINVAL;
        }
        file->used++;
        map.file = (uint8_t)index;
        map.at = file->at + mapping->offset;
    }
    insert(dma, at, &map);
    return 0;
}

/* Regions first to end - 1 go. */
static uint64_t drop(struct vfu_dma *dma, size_t first, size_t end)
{
    uint64_t bytes = 0;
    for (size_t i = first; i < end; i++) {
        bytes += dma->maps[i].size;
        if (dma->maps[i].at != NULL)
            file_put(&dma->files[dma->maps[i].file]);
    }
    if (end > first)
        memmove(dma->maps + first, dma->maps + end, (dma->count - end) * sizeof(*dma->maps));
    dma->count -= end - first;
    return bytes;
}

int vfu_dma_unmap(struct vfu_dma *dma, uint64_t iova, uint64_t size, uint64_t *bytes_out)
{
    const uint64_t last = iova + (size - 1);
    if (size == 0 || last < iova)
        return EINVAL;
    const size_t first = find(dma, iova);
    size_t end = first;
    while (end < dma->count && dma->maps[end].iova <= last)
        end++;
    if (end > first) {
        const struct vfu_region_map *tail = &dma->maps[end - 1];
        if (dma->maps[first].iova < iova || tail->iova + (tail->size - 1) > last)
            return EINVAL;
    }
    *bytes_out = drop(dma, first, end);
    return 0;
}

uint64_t vfu_dma_clear(struct vfu_dma *dma)
{
    return drop(dma, 0, dma->count);
}

void vfu_dma_release(struct vfu_dma *dma)
{
    vfu_dma_clear(dma);
    free(dma->maps);
    *dma = (struct vfu_dma){0};
}

/* --- Access ------------------------------------------------------------------------------------------------------ */

/* The memory at an address, *len_out bytes of it; NULL: there is none. */
static uint8_t *memory_at(const struct vfu_dma *dma, uint64_t iova, bool write, size_t *len_out)
{
    const size_t i = find(dma, iova);
    if (i == dma->count || dma->maps[i].iova > iova || dma->maps[i].at == NULL)
        return NULL;
    const struct vfu_region_map *map = &dma->maps[i];
    if (write ? !map->can_write : !map->can_read)
        return NULL;
    *len_out = map->size - (iova - map->iova);
    return map->at + (iova - map->iova);
}

bool vfu_dma_read(const struct vfu_dma *dma, uint64_t iova, void *to, size_t len)
{
    for (size_t done = 0, n; done < len; done += n) {
        const uint8_t *at = memory_at(dma, iova + done, false, &n);
        if (at == NULL || iova + done < iova)
            return false;
        n = n < len - done ? n : len - done;
        memcpy((uint8_t *)to + done, at, n);
    }
    return true;
}

bool vfu_dma_write(const struct vfu_dma *dma, uint64_t iova, const void *from, size_t len)
{
    for (size_t done = 0, n; done < len; done += n) {
        uint8_t *at = memory_at(dma, iova + done, true, &n);
        if (at == NULL || iova + done < iova)
            return false;
        n = n < len - done ? n : len - done;
        memcpy(at, (const uint8_t *)from + done, n);
    }
    return true;
}
