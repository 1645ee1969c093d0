/* Third check: whatever libblkid and the kernel say, a drive that holds bytes holds somebody's bytes. Reads go past
 * the page cache where that can be done. */
#include "probe/ask.h"
#include "probe/probe.h"

#include "base/must.h"
#include "base/rng.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    EDGE_BYTES = 4 << 20, /* looked at in full at either end: partitions begin at 1 MiB, VMFS has its marks at 2 MiB */
    PLACES = 256,         /* random places between */
    PLACE_BYTES = 4096,   /* also the alignment of every read: the largest logical block of an NVMe drive in use */
    SECTOR_BYTES = 512,   /* each must be all zeros or all FFh by itself: erased blocks may differ */
};

struct reader {
    const struct ask *ask;
    int fd;
    uint64_t size_bytes;
    uint8_t *buffer; /* EDGE_BYTES + PLACE_BYTES, aligned */
};

static void freep(uint8_t **buffer)
{
    free(*buffer);
}
#define auto_free __attribute__((cleanup(freep)))

/* pread() that survives EINTR, and O_DIRECT that open() took and read does not (some file systems). */
static ssize_t read_once(int fd, uint8_t *to, size_t len, off_t offset)
{
    ssize_t n;
    while ((n = pread(fd, to, len, offset)) < 0) {
        int flags = fcntl(fd, F_GETFL);
        if (errno == EINVAL && flags >= 0 && (flags & O_DIRECT) != 0 && fcntl(fd, F_SETFL, flags & ~O_DIRECT) == 0)
            continue;
        if (errno != EINTR)
            return -1;
    }
    return n;
}

/* `want` bytes from an aligned offset into the buffer; the request is rounded up, for O_DIRECT. */
static bool fill(const struct reader *reader, uint64_t offset, size_t want)
{
    size_t got = 0, ask = (want + PLACE_BYTES - 1) / PLACE_BYTES * PLACE_BYTES;
    while (got < want) {
        ssize_t n = read_once(reader->fd, reader->buffer + got, ask - got, (off_t)(offset + got));
        if (n > 0) {
            got += (size_t)n;
            continue;
        }
        ask_found(reader->ask, FOREIGN_UNREADABLE, "cannot read at byte %ju: %s, %s", (uintmax_t)(offset + got),
                  n < 0 ? strerror(errno) : "it ends early", reader->ask->path);
        return false;
    }
    return true;
}

/* Index of the first byte that is not blank, or len. */
static size_t first_data(const uint8_t *sector, size_t len)
{
    const uint8_t blank = sector[0];
    if (blank != 0 && blank != 0xff)
        return 0;
    for (size_t i = 1; i < len; i++)
        if (sector[i] != blank)
            return i;
    return len;
}

static void note_data(const struct reader *reader, uint64_t offset, const uint8_t *bytes, size_t len)
{
    char hex[3 * 8 + 1] = "";
    for (size_t i = 0; i < 8 && i < len; i++)
        snprintf(hex + 3 * i, 4, "%02x ", bytes[i]);
    ask_found(reader->ask, FOREIGN_DATA, "byte %ju: %sat %s", (uintmax_t)offset, hex, reader->ask->path);
}

/* false: something is there, or unreadable; it is noted. `offset` is aligned. */
static bool is_blank(const struct reader *reader, uint64_t offset, size_t want)
{
    if (want > reader->size_bytes - offset)
        want = (size_t)(reader->size_bytes - offset);
    if (!fill(reader, offset, want))
        return false;
    for (size_t at = 0; at < want; at += SECTOR_BYTES) {
        size_t len = want - at < SECTOR_BYTES ? want - at : SECTOR_BYTES;
        size_t data = first_data(reader->buffer + at, len);
        if (data < len) {
            note_data(reader, offset + at + data, reader->buffer + at + data, len - data);
            return false;
        }
    }
    return true;
}

static void look_at_places(const struct reader *reader, uint64_t seed)
{
    struct rng rng = {seed};
    const uint64_t places = (reader->size_bytes + PLACE_BYTES - 1) / PLACE_BYTES;
    for (unsigned i = 0; i < PLACES; i++)
        if (!is_blank(reader, rng_below(&rng, places) * PLACE_BYTES, PLACE_BYTES))
            return;
}

/* One finding is enough, but the ends are always both looked at: an error at the start must not hide data. */
void probe_blank(const char *path, struct nsid nsid, const struct probe_options *options, struct foreign_list *out)
{
    const struct ask ask = {.path = path, .nsid = nsid, .options = options, .out = out};
    struct stat st;
    auto_close int fd = ask_open(&ask, O_DIRECT, &st);
    if (fd < 0)
        return;
    off_t size = lseek(fd, 0, SEEK_END); /* works for both kinds */
    if (size <= 0) {
        ask_found(&ask, FOREIGN_UNREADABLE, "has no size: %s", path);
        return;
    }
    auto_free uint8_t *buffer = aligned_alloc(PLACE_BYTES, EDGE_BYTES + PLACE_BYTES);
    must(buffer != NULL);
    const struct reader reader = {.ask = &ask, .fd = fd, .size_bytes = (uint64_t)size, .buffer = buffer};
    const uint64_t tail = size > EDGE_BYTES ? ((uint64_t)size - EDGE_BYTES) / PLACE_BYTES * PLACE_BYTES : 0;
    bool blank = is_blank(&reader, 0, EDGE_BYTES);
    blank = is_blank(&reader, tail, EDGE_BYTES + PLACE_BYTES) && blank;
    if (blank)
        look_at_places(&reader, options->seed);
}
