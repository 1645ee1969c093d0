#include "nvme/soft_media.h"

#include "base/must.h"
#include "base/text.h"
#include "nvme/soft_pages.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* At most 128 namespaces, as many media that a leaky delete kept, and one that is being made. */
enum { MEDIA_MAX = 260, WIPE_CHUNK = 16 * SOFT_PAGE };

struct soft_media {
    char *dir; /* owned; NULL: in memory */
    int media_fd, ns_fd;
    struct {
        uint64_t id;
        struct soft_pages pages;
    } * at; /* owned; in memory only */
    size_t count;
};

struct soft_media *soft_media_mem(void)
{
    struct soft_media *media = calloc(1, sizeof(*media));
    must(media != NULL);
    media->media_fd = media->ns_fd = -1;
    return media;
}

static int open_sub(const char *dir, const char *name)
{
    char path[4096];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    if (mkdir(path, 0750) < 0 && errno != EEXIST)
        return -1;
    return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

struct soft_media *soft_media_dir(const char *dir)
{
    struct soft_media *media = soft_media_mem();
    media->dir = strdup(dir);
    must(media->dir != NULL);
    media->media_fd = open_sub(dir, "media");
    media->ns_fd = media->media_fd < 0 ? -1 : open_sub(dir, "ns");
    if (media->ns_fd >= 0)
        return media;
    const int sys = errno;
    soft_media_free(media);
    errno = sys;
    return NULL;
}

void soft_media_free(struct soft_media *media)
{
    if (media == NULL)
        return;
    for (size_t i = 0; i < media->count; i++)
        soft_pages_release(&media->at[i].pages);
    if (media->media_fd >= 0)
        close(media->media_fd);
    if (media->ns_fd >= 0)
        close(media->ns_fd);
    free(media->at);
    free(media->dir);
    free(media);
}

uint64_t soft_media_memory(const struct soft_media *media)
{
    uint64_t bytes = sizeof(*media) + media->count * sizeof(*media->at);
    for (size_t i = 0; i < media->count; i++)
        bytes += soft_pages_memory(&media->at[i].pages);
    return bytes;
}

static struct soft_pages *pages_of(struct soft_media *media, uint64_t id)
{
    size_t i = 0;
    while (i < media->count && media->at[i].id != id)
        i++;
    must(i < media->count); /* soft_media_size() made it */
    return &media->at[i].pages;
}

/* The caller closes it; each use opens the file anew, so that thousands of namespaces need no descriptors. */
static int open_file(const struct soft_media *media, uint64_t id, int flags)
{
    char name[40];
    snprintf(name, sizeof(name), "%ju.img", (uintmax_t)id);
    return openat(media->media_fd, name, flags | O_CLOEXEC | O_NOFOLLOW, 0660);
}

/* Closes and returns ok, with the errno of what went wrong before. */
static bool close_file(int fd, bool ok)
{
    const int sys = errno;
    close(fd);
    errno = sys;
    return ok;
}

bool soft_media_size(struct soft_media *media, uint64_t id, uint64_t size_bytes)
{
    if (media->dir == NULL) {
        for (size_t i = 0; i < media->count; i++)
            if (media->at[i].id == id)
                return true;
        must(media->count < MEDIA_MAX);
        media->at = realloc(media->at, (media->count + 1) * sizeof(*media->at));
        must(media->at != NULL);
        memset(&media->at[media->count], 0, sizeof(*media->at));
        media->at[media->count++].id = id;
        return true;
    }
    const int fd = open_file(media, id, O_RDWR | O_CREAT);
    if (fd < 0)
        return false;
    return close_file(fd, ftruncate(fd, (off_t)size_bytes) == 0 && fsync(fd) == 0) && fsync(media->media_fd) == 0;
}

bool soft_media_drop(struct soft_media *media, uint64_t id)
{
    if (media->dir != NULL) {
        char name[40];
        snprintf(name, sizeof(name), "%ju.img", (uintmax_t)id);
        return unlinkat(media->media_fd, name, 0) == 0 || errno == ENOENT;
    }
    for (size_t i = 0; i < media->count; i++)
        if (media->at[i].id == id) {
            soft_pages_release(&media->at[i].pages);
            media->at[i] = media->at[--media->count];
            break;
        }
    return true;
}

static bool read_all(int fd, uint64_t offset, uint8_t *to, size_t len)
{
    while (len > 0) {
        const ssize_t n = pread(fd, to, len, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            errno = n == 0 ? EIO : errno;
            return false;
        }
        to += n;
        offset += (uint64_t)n;
        len -= (size_t)n;
    }
    return true;
}

static bool write_all(int fd, uint64_t offset, const uint8_t *from, size_t len)
{
    while (len > 0) {
        const ssize_t n = pwrite(fd, from, len, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return false;
        from += n;
        offset += (uint64_t)n;
        len -= (size_t)n;
    }
    return true;
}

bool soft_media_read(struct soft_media *media, uint64_t id, uint64_t offset, void *to, size_t len)
{
    if (media->dir == NULL) {
        soft_pages_read(pages_of(media, id), offset, to, len);
        return true;
    }
    const int fd = open_file(media, id, O_RDONLY);
    return fd >= 0 && close_file(fd, read_all(fd, offset, to, len));
}

bool soft_media_write(struct soft_media *media, uint64_t id, uint64_t offset, const void *from, size_t len)
{
    if (media->dir == NULL) {
        soft_pages_write(pages_of(media, id), offset, from, len);
        return true;
    }
    const int fd = open_file(media, id, O_WRONLY);
    return fd >= 0 && close_file(fd, write_all(fd, offset, from, len));
}

static bool punch(int fd, uint64_t offset, uint64_t len)
{
    return len == 0 || fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)len) == 0;
}

bool soft_media_zero(struct soft_media *media, uint64_t id, uint64_t offset, uint64_t len)
{
    if (media->dir == NULL) {
        soft_pages_zero(pages_of(media, id), offset, len);
        return true;
    }
    const int fd = open_file(media, id, O_WRONLY);
    return fd >= 0 && close_file(fd, punch(fd, offset, len));
}

bool soft_media_flush(struct soft_media *media, uint64_t id)
{
    if (media->dir == NULL)
        return true;
    const int fd = open_file(media, id, O_WRONLY);
    return fd >= 0 && close_file(fd, fdatasync(fd) == 0);
}

static bool wipe_chunk(int fd, uint64_t offset, uint64_t len, const struct soft_wipe *wipe)
{
    if (!wipe->noise)
        return punch(fd, offset, len);
    uint8_t page[SOFT_PAGE];
    for (uint64_t at = offset; at < offset + len; at += SOFT_PAGE) {
        const uint64_t left = offset + len - at;
        soft_noise(wipe->seed, at / SOFT_PAGE, page);
        if (!write_all(fd, at, page, left < SOFT_PAGE ? (size_t)left : SOFT_PAGE))
            return false;
    }
    return true;
}

/* One allocated extent, chunk by chunk. */
static bool wipe_extent(int fd, uint64_t from, uint64_t to, const struct soft_wipe *wipe)
{
    while (from < to) {
        uint64_t end = from - from % WIPE_CHUNK + WIPE_CHUNK;
        if (end > to)
            end = to;
        if (!(wipe->half && !soft_half(wipe->seed, from / WIPE_CHUNK)) && !wipe_chunk(fd, from, end - from, wipe))
            return false;
        from = end;
    }
    return true;
}

static bool wipe_file(int fd, const struct soft_wipe *wipe)
{
    const off_t size = lseek(fd, 0, SEEK_END);
    if (size < 0)
        return false;
    if (!wipe->noise && !wipe->half)
        return punch(fd, 0, (uint64_t)size) && fdatasync(fd) == 0;
    for (off_t at = 0; at < size;) {
        const off_t data = lseek(fd, at, SEEK_DATA);
        if (data < 0 && errno == ENXIO) /* nothing but a hole up to the end */
            break;
        const off_t hole = data < 0 ? -1 : lseek(fd, data, SEEK_HOLE);
        if (hole < 0 || !wipe_extent(fd, (uint64_t)data, (uint64_t)hole, wipe))
            return false;
        at = hole;
    }
    return fdatasync(fd) == 0;
}

bool soft_media_wipe(struct soft_media *media, uint64_t id, const struct soft_wipe *wipe)
{
    if (media->dir == NULL) {
        soft_pages_wipe(pages_of(media, id), wipe);
        return true;
    }
    const int fd = open_file(media, id, O_RDWR);
    return fd >= 0 && close_file(fd, wipe_file(fd, wipe));
}

bool soft_media_link(struct soft_media *media, uint64_t id, uint32_t nsid)
{
    char from[40], to[16];
    if (media->dir == NULL)
        return true;
    snprintf(from, sizeof(from), "%ju.img", (uintmax_t)id);
    snprintf(to, sizeof(to), "%u", nsid);
    return soft_media_unlink(media, nsid) && linkat(media->media_fd, from, media->ns_fd, to, 0) == 0;
}

bool soft_media_unlink(struct soft_media *media, uint32_t nsid)
{
    char name[16];
    if (media->dir == NULL)
        return true;
    snprintf(name, sizeof(name), "%u", nsid);
    return unlinkat(media->ns_fd, name, 0) == 0 || errno == ENOENT;
}

static bool is_kept(const char *name, bool (*keep)(const void *self, uint64_t id), const void *self)
{
    char number[32];
    uint64_t id;
    const size_t len = strlen(name);
    if (keep == NULL || len < 5 || len >= sizeof(number) || strcmp(name + len - 4, ".img") != 0)
        return false;
    snprintf(number, sizeof(number), "%.*s", (int)(len - 4), name);
    return text_u64(number, &id) && keep(self, id);
}

static bool clean(int folder, bool (*keep)(const void *self, uint64_t id), const void *self)
{
    const int fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *handle = fd < 0 ? NULL : fdopendir(fd);
    if (handle == NULL)
        return false;
    bool ok = true;
    for (const struct dirent *entry = readdir(handle); entry != NULL && ok; entry = readdir(handle))
        if (entry->d_type == DT_REG && !is_kept(entry->d_name, keep, self))
            ok = unlinkat(folder, entry->d_name, 0) == 0 || errno == ENOENT;
    closedir(handle);
    return ok;
}

bool soft_media_clean(struct soft_media *media, bool (*keep)(const void *self, uint64_t id), const void *self)
{
    return media->dir == NULL || (clean(media->ns_fd, NULL, NULL) && clean(media->media_fd, keep, self));
}

void soft_media_path(const struct soft_media *media, uint32_t nsid, char *to, size_t size)
{
    to[0] = '\0';
    if (media->dir != NULL)
        snprintf(to, size, "%s/ns/%u", media->dir, nsid);
}
