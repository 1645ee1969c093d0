#include "probe/use.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

const struct use_roots use_real_roots = {.sys = "/sys", .proc = "/proc", .dev = "/dev"};

static void fclosep(FILE **file)
{
    if (*file != NULL)
        fclose(*file);
}
#define auto_file __attribute__((cleanup(fclosep)))

static void freep(char **text)
{
    free(*text);
}
#define auto_text __attribute__((cleanup(freep)))

/* ---- helpers ------------------------------------------------------------------------------------------------- */

bool use_path(char to[USE_PATH_MAX], const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int len = vsnprintf(to, USE_PATH_MAX, fmt, ap);
    va_end(ap);
    return len > 0 && len < USE_PATH_MAX;
}

bool use_read_line(const char *path, char to[USE_LINE_MAX])
{
    auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t len = read(fd, to, USE_LINE_MAX - 1); /* attributes of sysfs come in one piece */
    if (len < 0)
        return false;
    to[len] = '\0';
    to[strcspn(to, "\n")] = '\0';
    return true;
}

static bool is_octal(const char *at)
{
    return at[0] >= '0' && at[0] <= '3' && at[1] >= '0' && at[1] <= '7' && at[2] >= '0' && at[2] <= '7';
}

void use_unescape(char *text)
{
    char *to = text;
    for (const char *from = text; *from != '\0'; to++)
        if (*from == '\\' && is_octal(from + 1)) {
            *to = (char)((from[1] - '0') << 6 | (from[2] - '0') << 3 | (from[3] - '0'));
            from += 4;
        } else {
            *to = *from++;
        }
    *to = '\0';
}

void use_unreadable(const struct use *use, const char *what)
{
    ask_found(use->ask, FOREIGN_UNREADABLE, "cannot look at %.70s: %s", what, strerror(errno));
}

bool use_is_kin_dev(const struct use *use, dev_t dev)
{
    for (size_t i = 0; i < use->kin_count; i++)
        if (use->kin[i].dev == dev)
            return true;
    return false;
}

bool use_is_meant(const struct use *use, const char *path)
{
    struct stat st;
    if (strncmp(path, "/dev/", 5) == 0)
        for (size_t i = 0; i < use->kin_count; i++)
            if (strcmp(path + 5, use->kin[i].name) == 0)
                return true;
    if (stat(path, &st) < 0)
        return !use->block && strcmp(path, use->ask->path) == 0;
    if (S_ISBLK(st.st_mode))
        return use_is_kin_dev(use, st.st_rdev);
    return !use->block && S_ISREG(st.st_mode) && st.st_dev == use->dev && st.st_ino == use->ino;
}

/* ---- mounts -------------------------------------------------------------------------------------------------- */

/* A source is a device, several with ':' between (bcachefs), a file (erofs), or a name. Changes `source`. */
static bool source_is_meant(const struct use *use, char *source)
{
    char *rest = source;
    if (source[0] != '/')
        return false;
    for (const char *one; (one = strsep(&rest, ":")) != NULL;)
        if (use_is_meant(use, one))
            return true;
    return false;
}

/* A node of devtmpfs that is mounted elsewhere, as for a container: "/nvme0n1" is its path in there. */
static bool is_node(const struct use *use, const char *type, const char *root)
{
    const size_t len = strcspn(root, " ");
    for (size_t i = 0; use->block && strcmp(type, "devtmpfs") == 0 && i < use->kin_count; i++)
        if (len == strlen(use->kin[i].name) + 1 && strncmp(root + 1, use->kin[i].name, len - 1) == 0)
            return true;
    return false;
}

/* proc_pid_mountinfo(5): "36 35 98:0 /root /mnt rw,noatime master:1 - ext3 /dev/sda1 rw". false: not such a line. */
static bool see_mount(const struct use *use, char *line)
{
    unsigned major, minor;
    int root = 0, at = 0;
    if (sscanf(line, "%*u %*u %u:%u %n%*s %n", &major, &minor, &root, &at) != 2 || at == 0)
        return false;
    char *point = line + at, *dash = strstr(point, " - ");
    if (dash == NULL)
        return false;
    char *rest = dash + 3;
    const char *type = strsep(&rest, " ");
    char *source = strsep(&rest, " ");
    if (source == NULL)
        return false;
    point[strcspn(point, " ")] = '\0';
    use_unescape(point);
    use_unescape(source);
    if (use_is_kin_dev(use, makedev(major, minor)) || is_node(use, type, line + root) || source_is_meant(use, source))
        ask_found(use->ask, FOREIGN_MOUNT, "%s at %s, from %s", type, point, use->ask->path);
    return true;
}

static void find_mounts_of(const struct use *use, const char *process)
{
    char path[USE_PATH_MAX];
    auto_text char *line = NULL;
    size_t size = 0, lines = 0;
    if (!use_path(path, "%s/%s/mountinfo", use->roots->proc, process))
        return;
    auto_file FILE *file = fopen(path, "re");
    if (file == NULL) {
        if (errno != EACCES || !use->ask->options->pass_over_denied)
            use_unreadable(use, path);
        return;
    }
    for (; errno = 0, getline(&line, &size, file) > 0; lines++) {
        line[strcspn(line, "\n")] = '\0';
        if (!see_mount(use, line)) {
            errno = EUCLEAN;
            break;
        }
    }
    if (errno == 0 && lines == 0)
        errno = ENODATA; /* there is always a root */
    if (errno != 0)
        use_unreadable(use, path);
}

/* The agent may live in a mount namespace of its own (systemd's PrivateMounts), and then the host's is that of 1. */
void use_find_mounts(const struct use *use)
{
    find_mounts_of(use, "self");
    find_mounts_of(use, "1");
}

/* ---- swap ---------------------------------------------------------------------------------------------------- */

/* A swap file makes use of the device under its file system, even where that is mounted out of our sight. */
static bool swap_is_meant(const struct use *use, const char *path)
{
    struct stat st;
    if (use_is_meant(use, path))
        return true;
    if (stat(path, &st) == 0)
        return S_ISREG(st.st_mode) && use_is_kin_dev(use, st.st_dev);
    if (strncmp(path, "/dev/", 5) != 0)
        use_unreadable(use, path);
    return false;
}

void use_find_swaps(const struct use *use)
{
    char path[USE_PATH_MAX];
    auto_text char *line = NULL;
    size_t size = 0;
    if (!use_path(path, "%s/swaps", use->roots->proc))
        return;
    auto_file FILE *file = fopen(path, "re");
    if (file == NULL) {
        if (errno != ENOENT) /* a kernel without swap has no such file */
            use_unreadable(use, path);
        return;
    }
    for (bool header = true; errno = 0, getline(&line, &size, file) > 0; header = false) {
        line[strcspn(line, " \t\n")] = '\0';
        use_unescape(line);
        if (!header && swap_is_meant(use, line))
            ask_found(use->ask, FOREIGN_SWAP, "%s, upon %s", line, use->ask->path);
    }
    if (errno != 0)
        use_unreadable(use, path);
}

/* ---- exports ------------------------------------------------------------------------------------------------- */

/* The kernel's own servers (NVMe over fabrics, SCSI target) show neither as holders nor as open files, and nvmet does
 * not even open exclusively. */
static void find_exports_in(const struct use *use, const char *folder, const char *under)
{
    char pattern[USE_PATH_MAX], target[USE_LINE_MAX];
    glob_t found = {0};
    if (!use_path(pattern, "%s/kernel/config/%s", use->roots->sys, folder))
        return;
    if (access(pattern, F_OK) < 0 && errno == ENOENT)
        return; /* no such server is loaded, or the file system not mounted: glob() calls that an error */
    if (!use_path(pattern, "%s/kernel/config/%s/%s", use->roots->sys, folder, under))
        return;
    int rc = glob(pattern, GLOB_ERR, NULL, &found);
    if (rc != 0 && rc != GLOB_NOMATCH)
        use_unreadable(use, pattern);
    for (size_t i = 0; i < found.gl_pathc; i++)
        if (!use_read_line(found.gl_pathv[i], target))
            use_unreadable(use, found.gl_pathv[i]);
        else if (use_is_meant(use, target))
            ask_found(use->ask, FOREIGN_HOLDER, "exported to other hosts: %s", found.gl_pathv[i]);
    globfree(&found);
}

void use_find_exports(const struct use *use)
{
    find_exports_in(use, "nvmet/subsystems", "*/namespaces/*/device_path");
    find_exports_in(use, "target/core", "*/*/udev_path");
}

void use_find_all(struct use *use)
{
    use_find_kin(use);
    use_find_mounts(use);
    use_find_swaps(use);
    use_find_exports(use);
    use_find_processes(use);
}
