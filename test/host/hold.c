/* hold - loaded into a program with LD_PRELOAD, it stops the program (SIGSTOP, all of its threads) between a decision
 * and its effect on a drive: immediately before the call that the file named by NSMITH_HOLD describes. The file is
 * removed then; the program goes on with SIGCONT. Its lines, each a moment of its own, are some of
 *
 *   open PREFIX SKIP            before the open of a path that begins with PREFIX
 *   admin OPCODE SKIP           before the NVMe admin command OPCODE, in hexadecimal
 *   admin OPCODE SELECT SKIP    only when the low four bits of its dword 10 are SELECT
 *   submit SKIP                 before what goes by io_uring, as Format does
 *
 * SKIP times it goes on nevertheless. */
#include <dlfcn.h>
#include <fcntl.h>
#include <linux/nvme_ioctl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

struct call {
    const char *path;          /* of an open; NULL: not an open */
    bool submit;               /* of an io_uring; else an admin command */
    unsigned opcode, selected; /* of that */
};

/* How often it still has to go on; false: this is not the call that is meant. */
static bool described(const char *line, const struct call *call, unsigned *skip)
{
    char prefix[128];
    unsigned opcode, select;
    if (call->path != NULL)
        return sscanf(line, "open %127s %u", prefix, skip) == 2 && strncmp(call->path, prefix, strlen(prefix)) == 0;
    if (call->submit)
        return sscanf(line, "submit %u", skip) == 1;
    if (sscanf(line, "admin %x %x %u", &opcode, &select, skip) == 3)
        return opcode == call->opcode && select == call->selected;
    return sscanf(line, "admin %x %u", &opcode, skip) == 2 && opcode == call->opcode;
}

static void less(const char *at, const char *line, unsigned skip)
{
    FILE *file = fopen(at, "we");
    if (file == NULL)
        return;
    fprintf(file, "%.*s %u\n", (int)(strrchr(line, ' ') - line), line, skip - 1);
    fclose(file);
}

static void look(const struct call *call)
{
    const char *at = getenv("NSMITH_HOLD");
    char line[256];
    unsigned skip = 0;
    FILE *file = at == NULL ? NULL : fopen(at, "re"); /* fopen() does not come by here: it calls inside the library */
    if (file == NULL)
        return;
    bool found = false;
    while (!found && fgets(line, sizeof(line), file) != NULL)
        found = described(line, call, &skip);
    fclose(file);
    if (found && skip > 0) {
        less(at, line, skip);
    } else if (found) {
        unlink(at);
        kill(getpid(), SIGSTOP);
    }
}

int ioctl(int fd, unsigned long request, ...) __THROW;
int ioctl(int fd, unsigned long request, ...)
{
    va_list args;
    va_start(args, request);
    void *arg = va_arg(args, void *);
    va_end(args);
    int (*real)(int, unsigned long, ...);
    *(void **)&real = dlsym(RTLD_NEXT, "ioctl");
    if (request == NVME_IOCTL_ADMIN_CMD) {
        const struct nvme_admin_cmd *cmd = arg;
        look(&(struct call){.opcode = cmd->opcode, .selected = cmd->cdw10 & 15});
    }
    return real(fd, request, arg);
}

/* What programs call that are built with 64 bits for file offsets, as ours are. */
int open64(const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    const mode_t mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(args, mode_t) : 0;
    va_end(args);
    int (*real)(const char *, int, ...);
    *(void **)&real = dlsym(RTLD_NEXT, "open64");
    look(&(struct call){.path = path});
    return real(path, flags, mode);
}

int io_uring_submit(void *ring);
int io_uring_submit(void *ring)
{
    int (*real)(void *);
    *(void **)&real = dlsym(RTLD_NEXT, "io_uring_submit");
    look(&(struct call){.submit = true});
    return real(ring);
}
