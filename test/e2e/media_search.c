/* media_search - looks for a text in files past all software of ours: every byte that a file holds is read; holes, which
 * the kernel gives as zeros, are passed over by SEEK_DATA.
 *
 *   media_search TEXT FILE...   prints "FILE OFFSET" for each place; exit 0 found, 1 not there, 2 error
 *   media_search --map FILE     prints "START LENGTH" in bytes for each stretch of data */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CHUNK = 4 << 20, TEXT_MAX = 256 };

static void die(const char *what, const char *name)
{
    fprintf(stderr, "media_search: cannot %s '%s': %s\n", what, name, strerror(errno));
    exit(2);
}

/* The next stretch of data from *start on; false: there is none. */
static bool stretch(int fd, const char *name, off_t *start, off_t *end)
{
    *start = lseek(fd, *start, SEEK_DATA);
    if (*start < 0) {
        if (errno != ENXIO)
            die("look for data in", name);
        return false;
    }
    *end = lseek(fd, *start, SEEK_HOLE);
    if (*end < 0)
        die("look for holes in", name);
    return true;
}

static int search(int fd, const char *name, const char *text)
{
    const size_t len = strlen(text);
    char *chunk = malloc(CHUNK + TEXT_MAX);
    int found = 0;
    if (chunk == NULL)
        die("get memory for", name);
    for (off_t start = 0, end; stretch(fd, name, &start, &end); start = end) {
        size_t kept = 0; /* the end of the chunk before, in case the text lies across */
        for (off_t at = start; at < end;) {
            const size_t want = end - at < CHUNK ? (size_t)(end - at) : CHUNK;
            const ssize_t got = pread(fd, chunk + kept, want, at);
            if (got <= 0)
                die("read", name);
            const char *from = chunk, *hit;
            const size_t have = kept + (size_t)got;
            while ((hit = memmem(from, have - (size_t)(from - chunk), text, len)) != NULL) {
                printf("%s %jd\n", name, (intmax_t)(at - (off_t)kept + (hit - chunk)));
                found = 1;
                from = hit + len;
            }
            kept = have < len - 1 ? have : len - 1;
            memmove(chunk, chunk + have - kept, kept);
            at += got;
        }
    }
    free(chunk);
    return found;
}

int main(int argc, char **argv)
{
    const bool map = argc == 3 && strcmp(argv[1], "--map") == 0;
    if (argc < 3 || (!map && (argv[1][0] == '\0' || strlen(argv[1]) > TEXT_MAX))) {
        fprintf(stderr, "usage: media_search TEXT FILE... | --map FILE\n");
        return 2;
    }
    int found = 0;
    for (int i = 2; i < argc; i++) {
        const int fd = open(argv[i], O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            die("open", argv[i]);
        if (map)
            for (off_t start = 0, end; stretch(fd, argv[i], &start, &end); start = end)
                printf("%jd %jd\n", (intmax_t)start, (intmax_t)(end - start));
        else
            found |= search(fd, argv[i], argv[1]);
        close(fd);
    }
    return map ? 0 : !found;
}
