/* tag_watch LINK TAG SECONDS - opens a path over and over and reads the first block of whatever it leads to. Prints how
 * often it led to a block that begins with TAG, to another one, and nowhere. Ends with 1 when it ever led to another
 * one. A path is only of use to who opens it, so it is opened anew each time. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { BLOCK = 4096 };

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
    unsigned long own = 0, other = 0, nowhere = 0;
    char *block, found[33] = "";
    if (argc != 4 || posix_memalign((void **)&block, BLOCK, BLOCK) != 0)
        return 2;
    const double end = now_s() + atof(argv[3]);
    while (now_s() < end) {
        const int fd = open(argv[1], O_RDONLY | O_DIRECT | O_CLOEXEC);
        if (fd < 0 || pread(fd, block, BLOCK, 0) != BLOCK) {
            nowhere++;
        } else if (memcmp(block, argv[2], strlen(argv[2])) == 0) {
            own++;
        } else {
            other++;
            memcpy(found, block, sizeof(found) - 1);
        }
        if (fd >= 0)
            close(fd);
    }
    printf("own %lu, other %lu, nowhere %lu%s%s\n", own, other, nowhere, other > 0 ? "; last seen: " : "", found);
    return other > 0;
}
