/* Which other processes have it open: the links in /proc/PID/fd. */
#include "probe/use.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

enum { DESCRIPTORS_MAX = 2 * 1000 * 1000, PROCESSES_NAMED = 4 };

struct look {
    const struct use *use;
    size_t descriptors, named, denied;
};

static void closedirp(DIR **dir)
{
    if (*dir != NULL)
        closedir(*dir);
}
#define auto_dir __attribute__((cleanup(closedirp)))

static bool is_allowed(const struct use *use, const char *pid)
{
    const struct probe_options *options = use->ask->options;
    long long number = 0;
    for (const char *c = pid; *c != '\0'; c++)
        number = number < INT32_MAX ? number * 10 + (*c - '0') : number;
    if (number == getpid())
        return true;
    for (size_t i = 0; i < options->allowed_count; i++)
        if (number == options->allowed[i])
            return true;
    return false;
}

/* What ended meanwhile, or was closed, is no failure to look. */
static void cannot_look(struct look *look, const char *pid)
{
    char what[64];
    int why = errno;
    if (why == ENOENT || why == ESRCH || look->denied == PROCESSES_NAMED)
        return;
    if (look->use->ask->options->pass_over_denied && (why == EACCES || why == EPERM))
        return;
    snprintf(what, sizeof(what), "the files of process %.20s", pid);
    errno = why;
    use_unreadable(look->use, what);
    look->denied++;
}

/* DONT_SYNC: the inode numbers that are known here are wanted; a network file system whose server is gone must not
 * hang us, and a stranger's FUSE must not be asked. -1: errno. */
static int is_open_here(const struct use *use, int folder, const char *fd_name)
{
    struct statx st;
    if (statx(folder, fd_name, AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT, STATX_TYPE | STATX_INO, &st) < 0)
        return errno == ENOENT ? 0 : -1;
    if (S_ISBLK(st.stx_mode))
        return use_is_kin_dev(use, makedev(st.stx_rdev_major, st.stx_rdev_minor));
    return !use->block && S_ISREG(st.stx_mode) && st.stx_ino == use->ino &&
           makedev(st.stx_dev_major, st.stx_dev_minor) == use->dev;
}

static void note_process(struct look *look, const char *pid)
{
    char path[USE_PATH_MAX], name[USE_LINE_MAX];
    if (!use_path(path, "%s/%s/comm", look->use->roots->proc, pid) || !use_read_line(path, name))
        name[0] = '\0';
    ask_found(look->use->ask, FOREIGN_OPEN, "process %s (%.20s): %s", pid, name, look->use->ask->path);
    look->named++;
}

/* At most one finding a process; a descriptor that cannot be looked at does not end the search. */
static void see_process(struct look *look, const char *pid)
{
    char path[USE_PATH_MAX];
    int found = 0, why = 0;
    auto_dir DIR *dir = use_path(path, "%s/%s/fd", look->use->roots->proc, pid) ? opendir(path) : NULL;
    if (dir == NULL) {
        cannot_look(look, pid);
        return;
    }
    const struct dirent *entry;
    while (errno = 0, found <= 0 && look->descriptors < DESCRIPTORS_MAX && (entry = readdir(dir)) != NULL)
        if (entry->d_name[0] != '.') {
            look->descriptors++;
            found = is_open_here(look->use, dirfd(dir), entry->d_name);
            why = found < 0 ? errno : why;
        }
    errno = errno != 0 ? errno : why;
    if (found > 0)
        note_process(look, pid);
    else if (errno != 0)
        cannot_look(look, pid);
}

void use_find_processes(const struct use *use)
{
    struct look look = {.use = use};
    auto_dir DIR *dir = opendir(use->roots->proc);
    if (dir == NULL) {
        use_unreadable(use, use->roots->proc);
        return;
    }
    const struct dirent *entry;
    while (errno = 0, look.named < PROCESSES_NAMED && (entry = readdir(dir)) != NULL)
        if (isdigit((unsigned char)entry->d_name[0]) && !is_allowed(use, entry->d_name))
            see_process(&look, entry->d_name);
    if (errno != 0)
        use_unreadable(use, use->roots->proc);
    if (look.descriptors >= DESCRIPTORS_MAX)
        ask_found(use->ask, FOREIGN_UNREADABLE, "this host has too many open files to look at all of them");
}
