#include "sqlite_shim.h"

#include "base/must.h"
#include "base/rng.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct shim_file {
    sqlite3_file base;
    char *path; /* owned */
    sqlite3_file *real;
};

/* What a write or truncate replaced. */
struct undo {
    char *path;
    sqlite3_int64 offset, old_size;
    unsigned char *old;
    size_t len;
};

static sqlite3_vfs *real_vfs;
static unsigned fail_in;
static enum shim_fault fault;
static struct rng rng;
static bool fired, disk_full;
static struct undo undos[4096];
static size_t undo_count;

static struct shim_file *of(sqlite3_file *file)
{
    return (struct shim_file *)file;
}

/* ---- what was not synced ------------------------------------------------------------------------------------- */

static void undo_drop(const char *path)
{
    size_t kept = 0;
    for (size_t i = 0; i < undo_count; i++) {
        if (strcmp(undos[i].path, path) == 0) {
            free(undos[i].path);
            free(undos[i].old);
        } else {
            undos[kept++] = undos[i];
        }
    }
    undo_count = kept;
}

static void undo_note(struct shim_file *file, sqlite3_int64 offset, sqlite3_int64 len)
{
    struct undo undo = {.path = strdup(file->path), .offset = offset};
    must(undo_count < sizeof(undos) / sizeof(undos[0]));
    must(file->real->pMethods->xFileSize(file->real, &undo.old_size) == SQLITE_OK);
    if (offset < undo.old_size) {
        undo.len = (size_t)(offset + len < undo.old_size ? len : undo.old_size - offset);
        undo.old = malloc(undo.len);
        must(file->real->pMethods->xRead(file->real, undo.old, (int)undo.len, offset) == SQLITE_OK);
    }
    undos[undo_count++] = undo;
}

static void undo_apply(const struct undo *undo)
{
    int fd = open(undo->path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return; /* deleted */
    must(pwrite(fd, undo->old, undo->len, undo->offset) == (ssize_t)undo->len);
    must(ftruncate(fd, undo->old_size) == 0);
    close(fd);
}

/* In the order of the newest first; with CUT_SOME those that stay keep the file as long as they made it. */
static _Noreturn void power_cut(void)
{
    const bool all = fault == SHIM_CUT;
    for (size_t i = undo_count; i > 0; i--)
        if (all || rng_below(&rng, 2) == 0)
            undo_apply(&undos[i - 1]);
    _exit(SHIM_EXIT);
}

/* ---- faults -------------------------------------------------------------------------------------------------- */

enum op { OP_WRITE, OP_TRUNCATE, OP_SYNC };

static bool can_hit(const struct shim_file *file, enum op op)
{
    switch (fault) {
    case SHIM_FULL:
    case SHIM_TORN:
        return op == OP_WRITE;
    case SHIM_SYNC:
        return op != OP_WRITE;
    case SHIM_SYNC_DB:
        return op == OP_SYNC && strstr(file->path, "-wal") == NULL && strstr(file->path, "-journal") == NULL;
    case SHIM_NONE:
    case SHIM_KILL:
    case SHIM_CUT:
    case SHIM_CUT_SOME:
    case SHIM_FAULT_COUNT:
        break;
    }
    return true;
}

static bool strikes(const struct shim_file *file, enum op op)
{
    if (fail_in == 0 || !can_hit(file, op) || --fail_in > 0)
        return false;
    fired = true;
    if (fault == SHIM_KILL)
        _exit(SHIM_EXIT);
    if (fault == SHIM_CUT || fault == SHIM_CUT_SOME)
        power_cut();
    return true;
}

static int shim_write(sqlite3_file *base, const void *bytes, int len, sqlite3_int64 offset)
{
    struct shim_file *file = of(base);
    sqlite3_int64 size;
    file->real->pMethods->xFileSize(file->real, &size);
    if (disk_full && offset + len > size)
        return SQLITE_FULL;
    const bool hit = strikes(file, OP_WRITE);
    if (hit && fault == SHIM_FULL)
        return SQLITE_FULL;
    undo_note(file, offset, len);
    int rc = file->real->pMethods->xWrite(file->real, bytes, hit ? len / 2 : len, offset);
    return hit ? SQLITE_IOERR_WRITE : rc;
}

static int shim_truncate(sqlite3_file *base, sqlite3_int64 size)
{
    struct shim_file *file = of(base);
    sqlite3_int64 old_size;
    file->real->pMethods->xFileSize(file->real, &old_size);
    if (strikes(file, OP_TRUNCATE))
        return SQLITE_IOERR_TRUNCATE;
    if (old_size > size)
        undo_note(file, size, old_size - size);
    return file->real->pMethods->xTruncate(file->real, size);
}

static int shim_sync(sqlite3_file *base, int flags)
{
    (void)flags;
    if (strikes(of(base), OP_SYNC))
        return SQLITE_IOERR_FSYNC;
    undo_drop(of(base)->path);
    return SQLITE_OK;
}

/* ---- the rest passes through --------------------------------------------------------------------------------- */

static int shim_close(sqlite3_file *base)
{
    struct shim_file *file = of(base);
    int rc = file->real->pMethods != NULL ? file->real->pMethods->xClose(file->real) : SQLITE_OK;
    free(file->path);
    return rc;
}

static int shim_read(sqlite3_file *base, void *to, int len, sqlite3_int64 offset)
{
    return of(base)->real->pMethods->xRead(of(base)->real, to, len, offset);
}

static int shim_size(sqlite3_file *base, sqlite3_int64 *size)
{
    return of(base)->real->pMethods->xFileSize(of(base)->real, size);
}

static int shim_lock(sqlite3_file *base, int level)
{
    return of(base)->real->pMethods->xLock(of(base)->real, level);
}

static int shim_unlock(sqlite3_file *base, int level)
{
    return of(base)->real->pMethods->xUnlock(of(base)->real, level);
}

static int shim_reserved(sqlite3_file *base, int *out)
{
    return of(base)->real->pMethods->xCheckReservedLock(of(base)->real, out);
}

/* No size hints and chunks: they change the file behind our back. */
static int shim_control(sqlite3_file *base, int op, void *arg)
{
    if (op == SQLITE_FCNTL_SIZE_HINT || op == SQLITE_FCNTL_CHUNK_SIZE)
        return SQLITE_NOTFOUND;
    return of(base)->real->pMethods->xFileControl(of(base)->real, op, arg);
}

static int shim_sector(sqlite3_file *base)
{
    return of(base)->real->pMethods->xSectorSize(of(base)->real);
}

static int shim_character(sqlite3_file *base)
{
    return of(base)->real->pMethods->xDeviceCharacteristics(of(base)->real);
}

static int shim_shm_map(sqlite3_file *base, int page, int size, int extend, void volatile **out)
{
    return of(base)->real->pMethods->xShmMap(of(base)->real, page, size, extend, out);
}

static int shim_shm_lock(sqlite3_file *base, int offset, int n, int flags)
{
    return of(base)->real->pMethods->xShmLock(of(base)->real, offset, n, flags);
}

static void shim_shm_barrier(sqlite3_file *base)
{
    of(base)->real->pMethods->xShmBarrier(of(base)->real);
}

static int shim_shm_unmap(sqlite3_file *base, int delete)
{
    return of(base)->real->pMethods->xShmUnmap(of(base)->real, delete);
}

static const sqlite3_io_methods methods = {
    .iVersion = 2,
    .xClose = shim_close,
    .xRead = shim_read,
    .xWrite = shim_write,
    .xTruncate = shim_truncate,
    .xSync = shim_sync,
    .xFileSize = shim_size,
    .xLock = shim_lock,
    .xUnlock = shim_unlock,
    .xCheckReservedLock = shim_reserved,
    .xFileControl = shim_control,
    .xSectorSize = shim_sector,
    .xDeviceCharacteristics = shim_character,
    .xShmMap = shim_shm_map,
    .xShmLock = shim_shm_lock,
    .xShmBarrier = shim_shm_barrier,
    .xShmUnmap = shim_shm_unmap,
};

static int shim_open(sqlite3_vfs *vfs, const char *path, sqlite3_file *base, int flags, int *out_flags)
{
    (void)vfs;
    struct shim_file *file = of(base);
    file->real = (sqlite3_file *)(file + 1);
    file->base.pMethods = NULL;
    int rc = real_vfs->xOpen(real_vfs, path, file->real, flags, out_flags);
    if (rc != SQLITE_OK)
        return rc;
    file->path = strdup(path != NULL ? path : "");
    file->base.pMethods = &methods;
    return SQLITE_OK;
}

static int shim_delete(sqlite3_vfs *vfs, const char *path, int sync_dir)
{
    (void)vfs;
    undo_drop(path);
    return real_vfs->xDelete(real_vfs, path, sync_dir);
}

void shim_install(void)
{
    static sqlite3_vfs vfs;
    real_vfs = sqlite3_vfs_find(NULL);
    vfs = *real_vfs;
    vfs.zName = "shim";
    vfs.szOsFile = (int)sizeof(struct shim_file) + real_vfs->szOsFile;
    vfs.xOpen = shim_open;
    vfs.xDelete = shim_delete;
    must(sqlite3_vfs_register(&vfs, 1) == SQLITE_OK);
}

void shim_fail_in(unsigned nth, enum shim_fault what, uint64_t seed)
{
    fail_in = nth;
    fault = what;
    rng.state = seed;
    fired = false;
}

void shim_disk_full(bool full)
{
    disk_full = full;
}

bool shim_fired(void)
{
    return fired;
}
