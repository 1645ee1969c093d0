/* soft_imagelock.h - locks on an image file that QEMU understands, and that understand QEMU's.
 *   - Shared: in use, but whoever wants to may use it too; fails only where somebody wants it alone.
 *   - Exclusive: fails when anybody has it open with locks (QEMU, or one of us), and nobody can after it.
 *   - The locks belong to the open file: they go when its last descriptor is closed. */
#ifndef NSMITH_SOFT_IMAGELOCK_H
#define NSMITH_SOFT_IMAGELOCK_H

#include "base/err.h"

/* false: ERR_BUSY; some locks may be held then: close fd. */
bool soft_image_lock(int fd, bool exclusive, const char *path, struct err *err);

#endif
