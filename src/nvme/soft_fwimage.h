/* soft_fwimage.h - firmware images of software drives: a head, then filler, so that a download takes several pieces.
 *
 *   bytes 0-7    "NSMITHFW"
 *   bytes 8-11   1: the version of this layout
 *   bytes 12-15  flags, enum soft_fwimage_flag
 *   bytes 16-23  revision, filled up with spaces, as Identify Controller and log 03h give it
 *   bytes 24-31  FNV-1a over all bytes from 32 on and over bytes 0-23
 *   bytes 32-    filler
 * Numbers are little-endian; an image has SOFT_FWIMAGE_BYTES, no more and no less. */
#ifndef NSMITH_SOFT_FWIMAGE_H
#define NSMITH_SOFT_FWIMAGE_H

#include "base/err.h"

#include <stddef.h>

enum { SOFT_FWIMAGE_BYTES = 64 * 1024, SOFT_REVISION_MAX = 8 };

enum soft_fwimage_flag {
    SOFT_FWIMAGE_NS_MANAGEMENT = 1 << 0, /* the drive has namespace management, whatever its profile says */
    SOFT_FWIMAGE_NEEDS_RESET = 1 << 1,   /* cannot be activated without a Controller Level Reset */
    SOFT_FWIMAGE_SLOW = 1 << 2,          /* to activate it without a reset would take longer than MTFA */
    SOFT_FWIMAGE_PROHIBITED = 1 << 3,    /* the drive does not let it be activated */
    SOFT_FWIMAGE_FLAGS = (1 << 4) - 1,
};

struct soft_fwimage {
    char revision[SOFT_REVISION_MAX + 1]; /* 1 to 8 printable characters */
    uint32_t flags;
};

/* "ns-management", "needs-reset", "slow", "prohibited"; ERR_INPUT with all of them as a hint. */
bool soft_fwimage_word(const char *word, uint32_t *flag, struct err *err);
void soft_fwimage_build(const struct soft_fwimage *image, uint8_t to[SOFT_FWIMAGE_BYTES]);
/* false: not an image, or damaged. */
bool soft_fwimage_parse(const uint8_t *bytes, size_t len, struct soft_fwimage *out);

#endif
