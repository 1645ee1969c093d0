/* vfu_dma.h - the memory of a guest, as the device sees it behind vfio-user: which of its addresses lead where.
 *   - Regions are many: a virtual IOMMU maps page by page. Up to VFU_MAPS_MAX of them, in order of their addresses.
 *   - Memory comes as descriptors of few files, each of which is mapped once, as a whole, while a region needs it.
 *   - Only a memfd that is sealed against shrinking is touched (F_SEAL_SHRINK; QEMU's memory-backend-memfd is): a file
 *     that is cut short under us would end the process with SIGBUS. A region without such memory is known, but nothing
 *     can be read or written there.
 *   - Nothing outside of a region, or against its rights, is ever touched. */
#ifndef NSMITH_VFU_DMA_H
#define NSMITH_VFU_DMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { VFU_FILES_MAX = 16 };

struct vfu_region_map {
    uint64_t iova, size;
    uint8_t *at; /* borrowed from `file`; NULL: there is no memory behind it */
    uint8_t file;
    bool can_read, can_write;
};

struct vfu_file {
    dev_t dev;
    ino_t ino;
    uint8_t *at; /* owned; NULL: free */
    uint64_t size;
    size_t used; /* by so many regions */
};

struct vfu_dma {
    struct vfu_region_map *maps; /* owned; by address */
    size_t count, room;
    struct vfu_file files[VFU_FILES_MAX];
};

struct vfu_mapping {
    uint64_t iova, size, offset;
    int fd; /* borrowed; -1: none */
    bool can_read, can_write;
};

void vfu_dma_release(struct vfu_dma *dma);
/* 0 or an errno. *usable_out: whether there is memory behind it that can be touched. */
int vfu_dma_map(struct vfu_dma *dma, const struct vfu_mapping *mapping, bool *usable_out);
/* Removes the regions from iova on, `size` bytes; EINVAL when it would cut one in two. *bytes_out: so many they had. */
int vfu_dma_unmap(struct vfu_dma *dma, uint64_t iova, uint64_t size, uint64_t *bytes_out);
/* All of them; returns how many bytes they had. */
uint64_t vfu_dma_clear(struct vfu_dma *dma);

/* false: not all of it is there, or may be used so; then part of it may have been written. */
bool vfu_dma_read(const struct vfu_dma *dma, uint64_t iova, void *to, size_t len);
bool vfu_dma_write(const struct vfu_dma *dma, uint64_t iova, const void *from, size_t len);

#endif
