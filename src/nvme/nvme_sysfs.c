/* nvme_sysfs.c - see nvme_sysfs.h.
 *
 *   /sys/class/nvme/nvme0/               a controller (link into /sys/devices)
 *                        dev             "241:0", of /dev/nvme0
 *                        cntrltype       "io"; "discovery" and "admin" are no drives
 *                        nvme1n1/        without multipath: the namespace's block device
 *                        nvme1c0n1/      with multipath: the path to it, `hidden` is 1
 *                        ng1n1/          character device, of no use here
 *   /sys/class/nvme-subsystem/nvme-subsys1/
 *                        nvme0           link to each of its controllers
 *                        nvme1n1/        with multipath: the block device
 *
 * Block devices have `nsid`, `wwid`, `dev` and `hidden`. See drivers/nvme/host/{core,multipath,sysfs}.c. */
#include "nvme/nvme_sysfs.h"

#include "base/text.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

enum { ATTR_MAX = 256 };

static void close_fd(const int *fd)
{
    if (*fd >= 0)
        close(*fd);
}

static void close_dir(DIR **dir)
{
    if (*dir != NULL)
        closedir(*dir);
}

#define auto_fd __attribute__((cleanup(close_fd))) int
#define auto_dir __attribute__((cleanup(close_dir))) DIR *

/* --- Reading ----------------------------------------------------------------------------------------------------- */

/* A one-line attribute without its end of line; false, errno set: there is none. */
static bool read_attr(int at, const char *path, char to[ATTR_MAX])
{
    auto_fd fd = openat(at, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    const ssize_t got = read(fd, to, ATTR_MAX - 1);
    if (got < 0)
        return false;
    to[got] = '\0';
    to[strcspn(to, "\n")] = '\0';
    return true;
}

static bool read_number(int at, const char *path, uint64_t *out)
{
    char text[ATTR_MAX];
    return read_attr(at, path, text) && text_u64(text, out);
}

/* "259:3" */
static bool read_rdev(int at, dev_t *out)
{
    char text[ATTR_MAX];
    uint64_t major_number, minor_number;
    if (!read_attr(at, "dev", text))
        return false;
    char *colon = strchr(text, ':');
    if (colon == NULL)
        return false;
    *colon = '\0';
    if (!text_u64(text, &major_number) || !text_u64(colon + 1, &minor_number) || major_number > UINT32_MAX ||
        minor_number > UINT32_MAX)
        return false;
    *out = makedev((unsigned)major_number, (unsigned)minor_number);
    return true;
}

/* A DIR of its own for a folder that stays open. */
static DIR *list_of(int folder)
{
    const int fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (dir == NULL && fd >= 0)
        close(fd);
    return dir;
}

/* "nvme" and a number: not nvme-subsys0, nvme0n1, nvme_core. */
static bool ctrl_number(const char *name, uint64_t *out)
{
    return strncmp(name, "nvme", 4) == 0 && text_u64(name + 4, out);
}

/* --- Controllers ------------------------------------------------------------------------------------------------- */

static int by_number(const void *a, const void *b)
{
    uint64_t x = 0, y = 0;
    ctrl_number(a, &x);
    ctrl_number(b, &y);
    return x < y ? -1 : x > y;
}

/* A controller over fabrics that only tells of drives, or only administers them, is none. Older kernels
 * do not have the attribute; there Identify Controller says so. */
static bool is_io_ctrl(int class, const char *name)
{
    char path[NVME_NAME_LEN + sizeof("/cntrltype")], type[ATTR_MAX];
    snprintf(path, sizeof(path), "%.*s/cntrltype", NVME_NAME_LEN, name);
    return !read_attr(class, path, type) || (strcmp(type, "discovery") != 0 && strcmp(type, "admin") != 0);
}

bool nvme_sysfs_list(const char *sys, struct nvme_names *out, struct err *err)
{
    char path[PATH_MAX];
    struct nvme_names names = {.count = 0};
    uint64_t number;
    snprintf(path, sizeof(path), "%s/class/nvme", sys);
    auto_dir dir = opendir(path);
    if (dir == NULL && errno != ENOENT)
        return err_sys(err, errno, "cannot list NVMe controllers in '%s'", path);
    for (const struct dirent *entry; dir != NULL && (entry = readdir(dir)) != NULL;) {
        if (!ctrl_number(entry->d_name, &number) || !is_io_ctrl(dirfd(dir), entry->d_name))
            continue;
        if (names.count == NVME_NAMES_MAX)
            return err_set(err, ERR_FULL, "cannot list NVMe controllers: there are more than %d", NVME_NAMES_MAX);
        text_cut(names.at[names.count++], NVME_NAME_LEN, entry->d_name);
    }
    qsort(names.at, names.count, sizeof(names.at[0]), by_number);
    *out = names;
    return true;
}

void nvme_sysfs_members(const char *sys, const char *subsystem, struct nvme_names *out)
{
    char path[PATH_MAX];
    uint64_t number;
    out->count = 0;
    snprintf(path, sizeof(path), "%s/class/nvme-subsystem/%s", sys, subsystem);
    auto_dir dir = opendir(path);
    for (const struct dirent *entry; dir != NULL && (entry = readdir(dir)) != NULL && out->count < NVME_NAMES_MAX;)
        if (ctrl_number(entry->d_name, &number))
            text_cut(out->at[out->count++], NVME_NAME_LEN, entry->d_name);
}

bool nvme_sysfs_open(const char *sys, const char *name, int *out, struct err *err)
{
    char path[PATH_MAX];
    uint64_t number;
    if (!ctrl_number(name, &number))
        return err_set(err, ERR_INPUT, "cannot open '%s': it is no name of an NVMe controller", name);
    snprintf(path, sizeof(path), "%s/class/nvme/%s", sys, name);
    const int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return err_sys(err, errno, "cannot open controller '%s'", name);
    *out = fd;
    return true;
}

void nvme_sysfs_place(int ctrl, char to[NVME_NAME_LEN])
{
    char text[ATTR_MAX] = "";
    if (!read_attr(ctrl, "address", text) || !text_is_printable(text, NVME_NAME_LEN - 1))
        text[0] = '\0';
    text_cut(to, NVME_NAME_LEN, text);
}

bool nvme_sysfs_rdev(int ctrl, dev_t *out, struct err *err)
{
    if (!read_rdev(ctrl, out))
        return err_set(err, ERR_MISSING, "cannot find controller: it is gone");
    return true;
}

/* --- Namespaces -------------------------------------------------------------------------------------------------- */

/* One block device that has the NSID. */
struct found {
    struct nvme_sysfs_node node;
    bool hidden;
    char wwid[ATTR_MAX]; /* empty: none */
};

/* false: `name` in `folder` is no block device of this NSID, or no longer. */
static bool look_at(int folder, const char *name, struct nsid nsid, struct found *out)
{
    uint64_t value, hidden = 0;
    struct found seen = {.hidden = false};
    if (strncmp(name, "nvme", 4) != 0 || !text_copy(seen.node.name, sizeof(seen.node.name), name))
        return false;
    auto_fd at = openat(folder, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (at < 0 || !read_number(at, "nsid", &value) || value != nsid.v)
        return false;
    read_number(at, "hidden", &hidden); /* absent before Linux 4.15, which had no hidden ones */
    seen.hidden = hidden != 0;
    if (!read_attr(at, "wwid", seen.wwid))
        seen.wwid[0] = '\0';
    if (!seen.hidden && !read_rdev(at, &seen.node.rdev))
        return false;
    *out = seen;
    return true;
}

/* The one block device in `folder` that has the NSID, and the wwid where one is given. An empty name: none. */
static bool find_in(int folder, struct nsid nsid, const char *wwid, struct found *out, struct err *err)
{
    struct found one = {.hidden = false}, seen;
    auto_dir dir = list_of(folder);
    if (dir == NULL)
        return err_sys(err, errno, "cannot list namespaces");
    for (const struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        if (!look_at(folder, entry->d_name, nsid, &seen) || (wwid != NULL && strcmp(wwid, seen.wwid) != 0))
            continue;
        if (one.node.name[0] != '\0')
            return err_set(err, ERR_CONFLICT, "cannot tell which device namespace %u is: '%s' and '%s' claim to be it",
                           nsid.v, one.node.name, seen.node.name);
        one = seen;
    }
    *out = one;
    return true;
}

/* The folder of the subsystem that links to this controller; -1: none (no multipath, or the controller is gone). The
 * controller is compared by its folder's inode, for its name may be another's by now. */
static int open_subsystem(const char *sys, int ctrl)
{
    char path[PATH_MAX];
    struct stat self, link;
    uint64_t number;
    snprintf(path, sizeof(path), "%s/class/nvme-subsystem", sys);
    auto_dir all = opendir(path);
    if (all == NULL || fstat(ctrl, &self) < 0)
        return -1;
    for (const struct dirent *entry; (entry = readdir(all)) != NULL;) {
        const int subsystem = openat(dirfd(all), entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        auto_dir dir = subsystem < 0 || entry->d_name[0] == '.' ? NULL : list_of(subsystem);
        for (const struct dirent *member; dir != NULL && (member = readdir(dir)) != NULL;)
            if (ctrl_number(member->d_name, &number) && fstatat(subsystem, member->d_name, &link, 0) == 0 &&
                link.st_dev == self.st_dev && link.st_ino == self.st_ino)
                return subsystem;
        close_fd(&subsystem);
    }
    return -1;
}

bool nvme_sysfs_node(const char *sys, int ctrl, struct nsid nsid, struct nvme_sysfs_node *out, struct err *err)
{
    struct found own, head;
    if (!find_in(ctrl, nsid, NULL, &own, err))
        return false;
    if (own.node.name[0] == '\0' || !own.hidden) {
        *out = own.node;
        return true;
    }
    auto_fd subsystem = open_subsystem(sys, ctrl);
    if (subsystem < 0) {
        *out = (struct nvme_sysfs_node){.name = ""};
        return true;
    }
    if (!find_in(subsystem, nsid, own.wwid, &head, err))
        return false;
    *out = head.hidden ? (struct nvme_sysfs_node){.name = ""} : head.node;
    return true;
}
