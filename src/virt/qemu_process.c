#include "virt/qemu_process.h"

#include "base/must.h"
#include "base/text.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

static void close_dir(DIR **dir)
{
    if (*dir != NULL)
        closedir(*dir);
}
#define auto_dir __attribute__((cleanup(close_dir)))

static void close_file(FILE **file)
{
    if (*file != NULL)
        fclose(*file);
}
#define auto_file __attribute__((cleanup(close_file)))

static void free_text(char **text)
{
    free(*text);
}
#define auto_text __attribute__((cleanup(free_text)))

/* ---- finding ----------------------------------------------------------------------------------------------------- */

/* The argument behind -uuid. libvirt passes it among the first; a guest's own texts (-append, say) are arguments by
 * themselves, so none of them can pass for another. */
static bool read_uuid(pid_t pid, struct uuid *out)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)pid);
    auto_file FILE *file = fopen(path, "re");
    if (file == NULL)
        return false;
    auto_text char *argument = NULL;
    size_t size = 0;
    bool next = false;
    while (getdelim(&argument, &size, '\0', file) > 0) {
        if (next)
            return text_copy(out->v, sizeof(out->v), argument);
        next = strcmp(argument, "-uuid") == 0;
    }
    return false;
}

static bool has_ended(int pidfd)
{
    struct pollfd poller = {.fd = pidfd, .events = POLLIN};
    return poll(&poller, 1, 0) == 1;
}

static bool is_known(const struct qemu_processes *processes, pid_t pid)
{
    for (size_t i = 0; i < processes->count; i++)
        if (processes->at[i].pid == pid)
            return true; /* and alive: so the number was not given away again */
    return false;
}

static bool add(struct qemu_processes *processes, pid_t pid, struct err *err)
{
    struct qemu_process process = {.pid = pid};
    if (is_known(processes, pid) || !read_uuid(pid, &process.uuid))
        return true;
    process.fd = pidfd_open(pid, 0);
    if (process.fd < 0 && errno == ESRCH)
        return true;
    if (process.fd < 0)
        return err_sys(err, errno, "cannot watch process %d", (int)pid);
    struct uuid again = {0}; /* the number may have been given away in between */
    if (!read_uuid(pid, &again) || strcmp(again.v, process.uuid.v) != 0 || has_ended(process.fd)) {
        close(process.fd);
        return true;
    }
    if (processes->count == QEMU_PROCESSES_MAX) {
        close(process.fd);
        return err_set(err, ERR_FAILED, "cannot watch process %d: more than %d guests", (int)pid, QEMU_PROCESSES_MAX);
    }
    processes->at[processes->count++] = process;
    return true;
}

static void forget_gone(struct qemu_processes *processes)
{
    size_t left = 0;
    for (size_t i = 0; i < processes->count; i++)
        if (has_ended(processes->at[i].fd))
            close(processes->at[i].fd);
        else
            processes->at[left++] = processes->at[i];
    processes->count = left;
}

bool qemu_processes_look(struct qemu_processes *processes, struct err *err)
{
    forget_gone(processes);
    auto_dir DIR *dir = opendir("/proc");
    if (dir == NULL)
        return err_sys(err, errno, "cannot read '/proc'");
    for (const struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
        uint64_t pid;
        if (text_u64(entry->d_name, &pid) && pid <= INT32_MAX && !add(processes, (pid_t)pid, err))
            return false;
    }
    return true;
}

void qemu_processes_release(struct qemu_processes *processes)
{
    for (size_t i = 0; i < processes->count; i++)
        close(processes->at[i].fd);
    processes->count = 0;
}

const struct qemu_process *qemu_process_find(const struct qemu_processes *processes, const struct uuid *uuid)
{
    for (size_t i = processes->count; i > 0; i--)
        if (strcmp(processes->at[i - 1].uuid.v, uuid->v) == 0)
            return &processes->at[i - 1];
    return NULL;
}

/* ---- the end ------------------------------------------------------------------------------------------------------
 */

static int64_t now_ms(void)
{
    struct timespec now;
    must(clock_gettime(CLOCK_MONOTONIC, &now) == 0);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

bool qemu_process_wait_gone(struct qemu_processes *processes, const struct uuid *uuid, int patience_ms, struct err *err)
{
    const int64_t until = now_ms() + patience_ms;
    for (;;) {
        if (!qemu_processes_look(processes, err))
            return false;
        const struct qemu_process *process = qemu_process_find(processes, uuid);
        if (process == NULL)
            return true;
        const int64_t left = until - now_ms();
        if (left <= 0) {
            err_set(err, ERR_BUSY, "cannot end VM '%s': its process %d is still there", uuid->v, (int)process->pid);
            return err_hint(err, "look what it waits for: cat /proc/%d/stack", (int)process->pid);
        }
        struct pollfd poller = {.fd = process->fd, .events = POLLIN};
        poll(&poller, 1, (int)left); /* an interrupted wait is only a shorter one */
    }
}

/* ---- what it has open ---------------------------------------------------------------------------------------------
 */

struct seen {
    bool disk[CLAIM_SLICES_MAX];
};

static bool is_disk(const struct stat *open, const struct domain_disk *disk)
{
    if (disk->block_device)
        return S_ISBLK(open->st_mode) && open->st_rdev == disk->rdev && disk->rdev != 0;
    return S_ISREG(open->st_mode) && open->st_dev == disk->dev && open->st_ino == disk->ino && disk->ino != 0;
}

/* The access mode of a descriptor of another process; -1: it was closed meanwhile. */
static int access_mode(pid_t pid, const char *fd)
{
    char path[80], line[128];
    snprintf(path, sizeof(path), "/proc/%d/fdinfo/%.20s", (int)pid, fd);
    auto_file FILE *file = fopen(path, "re");
    while (file != NULL && fgets(line, sizeof(line), file) != NULL)
        if (strncmp(line, "flags:", 6) == 0)
            return line[strcspn(line, "\n") - 1] & O_ACCMODE; /* octal (fs/proc/fd.c of Linux): the last digit has it */
    return -1;
}

static bool check_fd(const struct qemu_process *process, const struct domain *domain, const char *fd, struct seen *seen,
                     struct err *err)
{
    char path[80];
    struct stat open;
    snprintf(path, sizeof(path), "/proc/%d/fd/%.20s", (int)process->pid, fd);
    if (stat(path, &open) < 0)
        return errno == ENOENT || err_sys(err, errno, "cannot look at '%s'", path);
    if (!S_ISBLK(open.st_mode) && !S_ISREG(open.st_mode))
        return true;
    const int mode = access_mode(process->pid, fd);
    for (size_t i = 0; i < domain->disk_count; i++)
        if (is_disk(&open, &domain->disks[i])) {
            seen->disk[i] = seen->disk[i] || mode == O_RDWR;
            return true;
        }
    if (S_ISBLK(open.st_mode) && mode > O_RDONLY)
        return err_set(err, ERR_UNSAFE, "cannot run VM '%s': it has block device %u:%u open, which is not its own",
                       domain->name.v, major(open.st_rdev), minor(open.st_rdev));
    return true;
}

/* A second look, for two slices of one VM that changed places: each would be open, but not behind its own path. The
 * path is resolved as the process sees it: libvirt gives guests a /dev of their own. */
static bool check_path(const struct qemu_process *process, const struct domain *domain, const struct domain_disk *disk,
                       struct err *err)
{
    char path[PATH_TEXT_MAX + 32];
    struct stat behind;
    snprintf(path, sizeof(path), "/proc/%d/root%s", (int)process->pid, disk->path);
    if (stat(path, &behind) < 0 || !is_disk(&behind, disk))
        return err_set(err, ERR_UNSAFE, "cannot run VM '%s': behind '%s' is something else than slice '%s'",
                       domain->name.v, disk->path, disk->serial.v);
    return true;
}

bool qemu_process_check(const struct qemu_process *process, const struct domain *domain, struct err *err)
{
    char path[64];
    struct seen seen = {0};
    snprintf(path, sizeof(path), "/proc/%d/fd", (int)process->pid);
    auto_dir DIR *dir = opendir(path);
    if (dir == NULL) {
        err_set(err, ERR_UNSAFE, "cannot see what VM '%s' has open: '%s': %s", domain->name.v, path, strerror(errno));
        return err_hint(err, "run the agent as root, in the same PID namespace as libvirt");
    }
    for (const struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir))
        if (entry->d_name[0] != '.' && !check_fd(process, domain, entry->d_name, &seen, err))
            return false;
    for (size_t i = 0; i < domain->disk_count; i++) {
        const struct domain_disk *disk = &domain->disks[i];
        if (!seen.disk[i])
            return err_set(err, ERR_UNSAFE, "cannot run VM '%s': what it opened behind '%s' is not slice '%s'",
                           domain->name.v, disk->path, disk->serial.v);
        if (!check_path(process, domain, disk, err))
            return false;
    }
    return true;
}
