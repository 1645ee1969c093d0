/* Walks up from a device: to its partitions, and to whatever device-mapper, MD, bcache or a loop device put upon any
 * of them (sysfs "holders", Documentation/ABI/testing/sysfs-block of Linux). */
#include "probe/use.h"

#include "base/text.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>
#include <unistd.h>

static void closedirp(DIR **dir)
{
    if (*dir != NULL)
        closedir(*dir);
}
#define auto_dir __attribute__((cleanup(closedirp)))

/* "259:3" */
static bool parse_dev(char *text, dev_t *out)
{
    uint64_t major, minor;
    char *colon = strchr(text, ':');
    if (colon == NULL)
        return false;
    *colon = '\0';
    if (!text_u64(text, &major) || !text_u64(colon + 1, &minor) || major > UINT32_MAX || minor > UINT32_MAX)
        return false;
    *out = makedev((unsigned)major, (unsigned)minor);
    return true;
}

/* Adds a device by name, once. false: was there, or could not be added (which is noted). */
static bool add_kin(struct use *use, const char *name)
{
    char path[USE_PATH_MAX], line[USE_LINE_MAX];
    for (size_t i = 0; i < use->kin_count; i++)
        if (strcmp(use->kin[i].name, name) == 0)
            return false;
    struct kin kin = {0};
    errno = EUCLEAN;
    if (use->kin_count == KIN_MAX || !text_copy(kin.name, sizeof(kin.name), name) ||
        !use_path(path, "%s/class/block/%s/dev", use->roots->sys, name) || !use_read_line(path, line) ||
        !parse_dev(line, &kin.dev)) {
        use_unreadable(use, name);
        return false;
    }
    use->kin[use->kin_count++] = kin;
    return true;
}

/* What people call it: the name of a device-mapper volume. Empty: nothing better than the kernel's name. */
static const char *nice_name(const struct use *use, const char *name, char to[USE_LINE_MAX])
{
    char path[USE_PATH_MAX];
    if (!use_path(path, "%s/class/block/%s/dm/name", use->roots->sys, name) || !use_read_line(path, to))
        to[0] = '\0';
    return to;
}

/* Calls fn for each name in a folder of sysfs; a folder that is not there has none. */
static void each_name(struct use *use, const char *folder,
                      void (*fn)(struct use *use, const char *in, const char *name), const char *in)
{
    auto_dir DIR *dir = opendir(folder);
    if (dir == NULL) {
        if (errno != ENOENT)
            use_unreadable(use, folder);
        return;
    }
    const struct dirent *entry;
    while (errno = 0, (entry = readdir(dir)) != NULL)
        if (entry->d_name[0] != '.')
            fn(use, in, entry->d_name);
    if (errno != 0)
        use_unreadable(use, folder);
}

static void see_partition(struct use *use, const char *in, const char *name)
{
    char path[USE_PATH_MAX];
    if (!use_path(path, "%s/class/block/%s/%s/partition", use->roots->sys, in, name) || access(path, F_OK) < 0)
        return;
    if (add_kin(use, name))
        ask_found(use->ask, FOREIGN_PARTITIONS, "the kernel knows partition %s of %s", name, in);
}

static void see_holder(struct use *use, const char *in, const char *name)
{
    char dm[USE_LINE_MAX];
    add_kin(use, name);
    nice_name(use, name, dm);
    ask_found(use->ask, FOREIGN_HOLDER, "%s%s%.60s%s holds %s", name, dm[0] != '\0' ? " (" : "", dm,
              dm[0] != '\0' ? ")" : "", in);
}

static void see_slave(struct use *use, const char *in, const char *name)
{
    ask_found(use->ask, FOREIGN_HOLDER, "%s is no drive: it stands upon %s", in, name);
}

/* A mounted btrfs has a device number of its own: mountinfo does not lead to its drives, this folder does. */
static void see_btrfs(struct use *use, const char *in, const char *name)
{
    char path[USE_PATH_MAX];
    (void)in;
    for (size_t i = 0; i < use->kin_count; i++)
        if (use_path(path, "%s/fs/btrfs/%s/devices/%s", use->roots->sys, name, use->kin[i].name) &&
            access(path, F_OK) == 0)
            ask_found(use->ask, FOREIGN_HOLDER, "btrfs %s uses %s", name, use->kin[i].name);
}

/* The driver itself knows best which file is behind a loop device; a path can have been renamed or deleted, or be of
 * another mount namespace. 0: it does not say. */
static int loop_says(const struct use *use, const char *name)
{
    char path[USE_PATH_MAX];
    struct loop_info64 info;
    if (use->roots->dev == NULL || !use_path(path, "%s/%s", use->roots->dev, name))
        return 0;
    auto_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || ioctl(fd, LOOP_GET_STATUS64, &info) < 0)
        return 0;
    if (use->block)
        return use_is_kin_dev(use, (dev_t)info.lo_rdevice) ? 1 : info.lo_rdevice != 0 ? -1 : 0;
    return info.lo_inode == use->ino && (dev_t)info.lo_device == use->dev ? 1 : -1;
}

static void see_loop(struct use *use, const char *in, const char *name)
{
    char path[USE_PATH_MAX], file[USE_LINE_MAX];
    (void)in;
    if (strncmp(name, "loop", 4) != 0)
        return;
    if (!use_path(path, "%s/block/%s/loop/backing_file", use->roots->sys, name) || !use_read_line(path, file))
        return; /* not in use: the folder is only there while it has a file */
    int says = loop_says(use, name);
    if (says < 0 || (says == 0 && !use_is_meant(use, file)))
        return;
    add_kin(use, name);
    ask_found(use->ask, FOREIGN_HOLDER, "%s is a loop device upon %s", name, use->ask->path);
}

/* The kernel's name of the device itself: where /sys/dev/block/M:m leads to. */
static void add_self(struct use *use)
{
    char path[USE_PATH_MAX], target[USE_PATH_MAX];
    ssize_t len = -1;
    if (use_path(path, "%s/dev/block/%u:%u", use->roots->sys, major(use->dev), minor(use->dev)))
        len = readlink(path, target, sizeof(target) - 1);
    if (len < 0) {
        use_unreadable(use, path);
        return;
    }
    target[len] = '\0';
    const char *slash = strrchr(target, '/');
    const char *name = slash == NULL ? target : slash + 1;
    if (!add_kin(use, name))
        return;
    if (use->kin[0].dev != use->dev)
        ask_found(use->ask, FOREIGN_UNREADABLE, "%s was renumbered while it was looked at", name);
    if (use_path(path, "%s/class/block/%s/partition", use->roots->sys, name) && access(path, F_OK) == 0)
        ask_found(use->ask, FOREIGN_PARTITIONS, "%s is a partition itself", name);
    if (use_path(path, "%s/class/block/%s/slaves", use->roots->sys, name))
        each_name(use, path, see_slave, name);
}

void use_find_kin(struct use *use)
{
    char path[USE_PATH_MAX];
    if (use->block)
        add_self(use);
    else if (use_path(path, "%s/block", use->roots->sys))
        each_name(use, path, see_loop, "");
    for (size_t i = 0; i < use->kin_count; i++) { /* grows while it is walked */
        const char *name = use->kin[i].name;
        if (use_path(path, "%s/class/block/%s", use->roots->sys, name))
            each_name(use, path, see_partition, name);
        if (use_path(path, "%s/class/block/%s/holders", use->roots->sys, name))
            each_name(use, path, see_holder, name);
        if (use->block && use_path(path, "%s/block", use->roots->sys))
            each_name(use, path, see_loop, ""); /* it holds nothing: sysfs does not call it a holder */
    }
    if (use_path(path, "%s/fs/btrfs", use->roots->sys))
        each_name(use, path, see_btrfs, "");
}
