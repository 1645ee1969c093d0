/* block_tags - tags every block of 512 bytes of a disk, and compares every one of them, past all caches (O_DIRECT).
 *
 *   block_tags write TEXT DISK   each block says TEXT and its number
 *   block_tags check TEXT DISK   exit 0: every block still does; 1: some do not, and how many; 2: error
 *   block_tags none TEXT DISK    exit 0: no block does; 1: some do, and how many; 2: error */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BLOCK = 512, CHUNK = 1 << 20, TEXT_MAX = 64 };

static void die(const char *what, const char *name)
{
    fprintf(stderr, "block_tags: cannot %s '%s': %s\n", what, name, strerror(errno));
    exit(2);
}

/* Head: text and number; the rest is a pattern of both, so that no part of a block is that of another. */
static void tag(uint8_t to[BLOCK], const char *text, uint64_t number)
{
    uint64_t seed = number * 0x9e3779b97f4a7c15u;
    for (const char *at = text; *at != '\0'; at++)
        seed = (seed ^ (uint8_t)*at) * 0x100000001b3u;
    for (size_t i = 0; i < BLOCK; i += sizeof(seed)) {
        memcpy(to + i, &seed, sizeof(seed));
        seed = seed * 6364136223846793005u + 1442695040888963407u;
    }
    snprintf((char *)to, TEXT_MAX + 24, "%s %llu", text, (unsigned long long)number);
}

/* Over the whole disk, of *total blocks: writes, or counts the blocks that have their tag. */
static uint64_t walk(int fd, const char *name, const char *text, int writes, uint64_t *total)
{
    uint8_t *chunk = NULL, want[BLOCK];
    const off_t size = lseek(fd, 0, SEEK_END);
    uint64_t same = 0;
    if (size < 0 || posix_memalign((void **)&chunk, 4096, CHUNK) != 0)
        die("prepare for", name);
    for (off_t at = 0, len; at < size; at += len) {
        len = size - at < CHUNK ? size - at : CHUNK;
        if (!writes && pread(fd, chunk, (size_t)len, at) != len)
            die("read", name);
        for (off_t i = 0; i < len; i += BLOCK) {
            tag(writes ? chunk + i : want, text, (uint64_t)(at + i) / BLOCK);
            same += !writes && memcmp(want, chunk + i, BLOCK) == 0;
        }
        if (writes && pwrite(fd, chunk, (size_t)len, at) != len)
            die("write", name);
    }
    free(chunk);
    *total = (uint64_t)size / BLOCK;
    return same;
}

int main(int argc, char **argv)
{
    uint64_t total;
    if (argc != 4 || strlen(argv[2]) > TEXT_MAX)
        return fprintf(stderr, "usage: block_tags write|check|none TEXT DISK\n"), 2;
    const int writes = strcmp(argv[1], "write") == 0, none = strcmp(argv[1], "none") == 0;
    const int fd = open(argv[3], (writes ? O_WRONLY : O_RDONLY) | O_DIRECT | O_CLOEXEC);
    if (fd < 0)
        die("open", argv[3]);
    const uint64_t same = walk(fd, argv[3], argv[2], writes, &total);
    if (writes && fsync(fd) < 0)
        die("flush", argv[3]);
    close(fd);
    if (writes)
        return 0;
    printf("%llu of %llu blocks are tagged '%s'\n", (unsigned long long)same, (unsigned long long)total, argv[2]);
    return total == 0 || same != (none ? 0 : total);
}
