/* ids.h - names of things as one-member structs, so that one cannot be passed for another, and the limits of
 * everything that is counted. Zero or the empty text is "none". */
#ifndef NSMITH_IDS_H
#define NSMITH_IDS_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum {
    HOST_DRIVES_MAX = 32,  /* drives of one host */
    HOST_SLICES_MAX = 512, /* slices of one host */
    HOST_VMS_MAX = 128,    /* VMs and bare claims of one host, each */
    DRIVE_NS_MAX = 128,    /* namespaces of one drive that are looked at; a drive with more is refused */
    DRIVE_LBAF_MAX = 16,   /* LBA formats that are looked at (the first 16 of at most 64) */
    DRIVE_NEWS_MAX = 64,
    DRIVE_FOREIGN_MAX = 16,
    CLAIM_SLICES_MAX = 16, /* slices of one claim */
    NAME_MAX_LEN = 63,     /* names that people give: VMs, flavors, classes, hosts */
    PATH_TEXT_MAX = 256,
    WHY_MAX = 400,
};

struct nsid {
    uint32_t v; /* 1-based, per controller; 0 is none. FFFFFFFFh (all namespaces) is no nsid here */
};

struct slice_id {
    char v[21]; /* at most 20 ASCII characters: virtio cuts longer serials */
};

struct claim_id {
    char v[40]; /* a UUID of ours, or the orchestrator's own (Nova: the instance's UUID) */
};

struct erasure_id {
    char v[40];
};

struct name {
    char v[NAME_MAX_LEN + 1];
};

struct uuid {
    char v[37]; /* lower-case text with hyphens, or empty */
};

static inline bool nsid_eq(struct nsid a, struct nsid b)
{
    return a.v == b.v;
}

static inline bool slice_id_eq(const struct slice_id *a, const struct slice_id *b)
{
    return strcmp(a->v, b->v) == 0;
}

static inline bool claim_id_eq(const struct claim_id *a, const struct claim_id *b)
{
    return strcmp(a->v, b->v) == 0;
}

static inline bool name_eq(const struct name *a, const struct name *b)
{
    return strcmp(a->v, b->v) == 0;
}

#endif
