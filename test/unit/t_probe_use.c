/* Who uses a device: recorded answers of the kernel as small trees of files, then the kernel itself where it lets us.
 */
#include "probe/use.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/loop.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static const struct nsid ns7 = {7};
static const struct probe_options strict = {0}, lenient = {.pass_over_denied = true};

static char folder[64];

static const char *path_of(const char *name)
{
    static char paths[16][512];
    static unsigned turn;
    char *path = paths[turn++ % 16];
    snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
    return path;
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *where)
{
    (void)st;
    (void)flag;
    (void)where;
    return remove(path);
}

static int set_up(void **state)
{
    (void)state;
    snprintf(folder, sizeof(folder), "/tmp/t_probe_use.XXXXXX");
    return mkdtemp(folder) == NULL ? -1 : 0;
}

static int tear_down(void **state)
{
    (void)state;
    return nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static const char *all_text(const struct foreign_list *list)
{
    static char text[4096];
    text[0] = '\0';
    for (size_t i = 0; i < list->count; i++)
        snprintf(text + strlen(text), sizeof(text) - strlen(text), "[%s: %s]", foreign_kind_text(list->at[i].kind),
                 list->at[i].detail);
    return text;
}

static void assert_found(const char *rule, const struct foreign_list *list, enum foreign_kind kind, const char *part)
{
    for (size_t i = 0; i < list->count; i++)
        if (list->at[i].kind == kind && strstr(list->at[i].detail, part) != NULL) {
            assert_true(nsid_eq(list->at[i].nsid, ns7));
            return;
        }
    fail_msg("%s: got %s, want [%s: ...%s...]", rule, all_text(list), foreign_kind_text(kind), part);
}

static void assert_nothing(const char *rule, const struct foreign_list *list)
{
    if (list->count != 0)
        fail_msg("%s: got %s, want nothing", rule, all_text(list));
}

/* ---- recorded answers ---------------------------------------------------------------------------------------- */

/* text: content; NULL: a folder; "->x": a symbolic link to x; "gone": removed. */
struct file {
    const char *path, *text;
};

static void put(const struct file *file)
{
    char path[512];
    snprintf(path, sizeof(path), "%s/%s", folder, file->path);
    for (char *slash = path + strlen(folder) + 1; (slash = strchr(slash, '/')) != NULL; *slash++ = '/') {
        *slash = '\0';
        assert_true(mkdir(path, 0700) == 0 || errno == EEXIST);
    }
    nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    if (file->text == NULL) {
        assert_int_equal(mkdir(path, 0700), 0);
    } else if (strncmp(file->text, "->", 2) == 0) {
        assert_int_equal(symlink(file->text + 2, path), 0);
    } else if (strcmp(file->text, "gone") != 0) {
        FILE *out = fopen(path, "w");
        assert_non_null(out);
        assert_true(fputs(file->text, out) >= 0);
        assert_int_equal(fclose(out), 0);
    }
}

#define ROOT_MOUNT "27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n"
#define SWAPS "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"

/* A host whose drive nvme0n1 (259:0) nobody uses, beside one (nvme0n10, 259:10) that is used in every way. */
static const struct file idle_host[] = {
    {"sys", NULL},
    {"proc", NULL},
    {"sys/dev/block/259:0", "->../../class/block/nvme0n1"},
    {"sys/class/block/nvme0n1/dev", "259:0\n"},
    {"sys/class/block/nvme0n1/holders", NULL},
    {"sys/class/block/nvme0n1/slaves", NULL},
    {"sys/class/block/nvme0n1/queue/nr_requests", "1023\n"},
    {"sys/class/block/nvme0n10/dev", "259:10\n"},
    {"sys/class/block/nvme0n10/holders/dm-9", NULL},
    {"sys/class/block/dm-9/dev", "253:9\n"},
    {"sys/block/loop0/loop/backing_file", "/some/other.img\n"},
    {"sys/class/block/loop0/dev", "7:0\n"},
    {"sys/block/loop1", NULL},
    {"sys/block/nvme0n1", "->../class/block/nvme0n1"},
    {"sys/fs/btrfs/features", NULL},
    {"sys/fs/btrfs/1-2-3/devices/nvme0n10", NULL},
    {"sys/kernel/config/nvmet/subsystems/s/namespaces/1/device_path", "/dev/nvme0n10\n"},
    {"sys/kernel/config/target/core/alua/lu_gps", NULL},
    {"proc/self/mountinfo",
     ROOT_MOUNT "50 27 259:10 / /x rw - ext4 /dev/nvme0n10 rw\n51 27 0:50 / /n rw - nfs4 h:/dev rw\n"},
    {"proc/1/mountinfo", ROOT_MOUNT},
    {"proc/1/fd", NULL},
    {"proc/1/comm", "init\n"},
    {"proc/swaps", SWAPS "/dev/nvme0n10                           partition\t1048572\t\t0\t\t-2\n"},
    {"proc/77/fd/0", "->/dev/null"},
    {"proc/77/fd/1", "->socket:[1234]"},
    {"proc/77/comm", "other\n"},
    {"proc/meminfo", "MemTotal: 1\n"},
};

static void put_host(const struct file *more, size_t count)
{
    put(&(struct file){"sys", "gone"}); /* nothing of the row before */
    put(&(struct file){"proc", "gone"});
    for (size_t i = 0; i < sizeof(idle_host) / sizeof(idle_host[0]); i++)
        put(&idle_host[i]);
    for (size_t i = 0; i < count && more[i].path != NULL; i++)
        put(&more[i]);
}

static void look(bool block, const struct probe_options *options, const char *path, struct foreign_list *out)
{
    const struct ask ask = {.path = path, .nsid = ns7, .options = options, .out = out};
    char sys[512], proc[512];
    snprintf(sys, sizeof(sys), "%s/sys", folder);
    snprintf(proc, sizeof(proc), "%s/proc", folder);
    const struct use_roots roots = {.sys = sys, .proc = proc};
    struct use use = {.ask = &ask, .roots = &roots, .block = block, .dev = makedev(259, 0)};
    struct stat st;
    if (!block) {
        assert_int_equal(stat(path, &st), 0);
        use.dev = st.st_dev;
        use.ino = st.st_ino;
    }
    *out = (struct foreign_list){0};
    use_find_all(&use);
}

#define PART1                                               \
    {"sys/class/block/nvme0n1/nvme0n1p1/partition", "1\n"}, \
    {                                                       \
        "sys/class/block/nvme0n1p1/dev", "259:1\n"          \
    }
#define DM0_ON(name)                                                                                \
    {"sys/class/block/" name "/holders/dm-0", NULL}, {"sys/class/block/dm-0/dm/name", "vg-root\n"}, \
    {                                                                                               \
        "sys/class/block/dm-0/dev", "253:0\n"                                                       \
    }
#define MOUNT(text)                                 \
    {                                               \
        "proc/self/mountinfo", ROOT_MOUNT text "\n" \
    }

static const struct {
    const char *rule;
    enum foreign_kind kind;
    const char *part;
    struct file files[7];
} rows[] = {
    {"a partition", FOREIGN_PARTITIONS, "partition nvme0n1p1 of nvme0n1", {PART1}},
    {"is a partition itself",
     FOREIGN_PARTITIONS,
     "nvme0n1 is a partition",
     {{"sys/class/block/nvme0n1/partition", "2\n"}}},
    {"a volume upon it", FOREIGN_HOLDER, "dm-0 (vg-root) holds nvme0n1", {DM0_ON("nvme0n1")}},
    {"a volume upon a partition", FOREIGN_HOLDER, "dm-0 (vg-root) holds nvme0n1p1", {PART1, DM0_ON("nvme0n1p1")}},
    {"RAID upon it",
     FOREIGN_HOLDER,
     "md127 holds nvme0n1",
     {{"sys/class/block/nvme0n1/holders/md127", NULL}, {"sys/class/block/md127/dev", "9:127\n"}}},
    {"stands upon others", FOREIGN_HOLDER, "stands upon sda", {{"sys/class/block/nvme0n1/slaves/sda", NULL}}},
    {"second drive of a btrfs", FOREIGN_HOLDER, "btrfs 7-8 uses nvme0n1", {{"sys/fs/btrfs/7-8/devices/nvme0n1", NULL}}},
    {"exported with NVMe over fabrics",
     FOREIGN_HOLDER,
     "exported",
     {{"sys/kernel/config/nvmet/subsystems/s/namespaces/2/device_path", "/dev/nvme0n1\n"}}},
    {"a partition exported",
     FOREIGN_HOLDER,
     "exported",
     {PART1, {"sys/kernel/config/nvmet/subsystems/s/namespaces/2/device_path", "/dev/nvme0n1p1\n"}}},
    {"exported as a SCSI target",
     FOREIGN_HOLDER,
     "exported",
     {{"sys/kernel/config/target/core/iblock_0/x/udev_path", "/dev/nvme0n1\n"}}},
    {"a loop device", FOREIGN_HOLDER, "loop3 is a loop device",
     {{"sys/block/loop3/loop/backing_file", "/dev/nvme0n1\n"}, {"sys/class/block/loop3/dev", "7:3\n"}}},
    {"its node mounted elsewhere", FOREIGN_MOUNT, "devtmpfs at /c/dev,",
     {{"proc/1/mountinfo", ROOT_MOUNT "60 27 0:5 /nvme0n1 /c/dev rw - devtmpfs udev rw\n"}}},
    {"mounted", FOREIGN_MOUNT, "xfs at /data,", {MOUNT("60 27 259:0 / /data rw - xfs /dev/disk/x rw")}},
    {"mounted at a place with spaces",
     FOREIGN_MOUNT,
     "xfs at /a b - c,",
     {MOUNT("60 27 259:0 / /a\\040b\\040-\\040c rw - xfs x rw")}},
    {"a partition mounted", FOREIGN_MOUNT, "at /boot,", {PART1, MOUNT("60 27 259:1 / /boot rw a:1 b:2 - vfat x rw")}},
    {"a volume upon a partition mounted",
     FOREIGN_MOUNT,
     "at /var,",
     {PART1, DM0_ON("nvme0n1p1"), MOUNT("60 27 253:0 / /var rw - xfs /dev/mapper/vg-root rw")}},
    {"a volume upon a volume mounted",
     FOREIGN_MOUNT,
     "at /var,",
     {DM0_ON("nvme0n1"),
      {"sys/class/block/dm-0/holders/dm-1", NULL},
      {"sys/class/block/dm-1/dev", "253:1"},
      MOUNT("60 27 253:1 / /var rw - xfs x rw")}},
    {"mounted, known by its name only",
     FOREIGN_MOUNT,
     "btrfs at /b,",
     {MOUNT("60 27 0:45 /@ /b rw - btrfs /dev/nvme0n1 rw")}},
    {"mounted, second of several names",
     FOREIGN_MOUNT,
     "bcachefs at /b,",
     {MOUNT("60 27 0:45 / /b rw - bcachefs /dev/sda:/dev/nvme0n1 rw")}},
    {"mounted where only the host's first process sees it",
     FOREIGN_MOUNT,
     "at /hidden,",
     {{"proc/1/mountinfo", ROOT_MOUNT "60 27 259:0 / /hidden rw - xfs x rw\n"}}},
    {"swap", FOREIGN_SWAP, "/dev/nvme0n1,", {{"proc/swaps", SWAPS "/dev/nvme0n1 partition 1 0 -2\n"}}},
    {"swap upon a partition",
     FOREIGN_SWAP,
     "/dev/nvme0n1p1,",
     {PART1, {"proc/swaps", SWAPS "/dev/nvme0n1p1\tpartition\n"}}},
    {"swap upon a volume",
     FOREIGN_SWAP,
     "/dev/dm-0,",
     {DM0_ON("nvme0n1"), {"proc/swaps", SWAPS "/dev/vda1 p\n/dev/dm-0 p\n"}}},
    /* Nothing that cannot be understood is taken for "nobody". */
    {"a swap file nobody can find",
     FOREIGN_UNREADABLE,
     "/none/swap x",
     {{"proc/swaps", SWAPS "/none/swap\\040x file 1 0 -2\n"}}},
    {"no list of mounts", FOREIGN_UNREADABLE, "self/mountinfo", {{"proc/self/mountinfo", "gone"}}},
    {"no list of the host's mounts", FOREIGN_UNREADABLE, "1/mountinfo", {{"proc/1/mountinfo", "gone"}}},
    {"an empty list of mounts", FOREIGN_UNREADABLE, "self/mountinfo", {{"proc/self/mountinfo", ""}}},
    {"a list of mounts of another form",
     FOREIGN_UNREADABLE,
     "self/mountinfo",
     {{"proc/self/mountinfo", "/dev/vda / ext4 rw 0 0\n"}}},
    {"a line of another form among good ones",
     FOREIGN_UNREADABLE,
     "self/mountinfo",
     {{"proc/self/mountinfo", ROOT_MOUNT "x\n"}}},
    {"exports that cannot be listed",
     FOREIGN_UNREADABLE,
     "nvmet",
     {{"sys/kernel/config/nvmet/subsystems", "->subsystems"}}},
    {"a list of swaps that cannot be read", FOREIGN_UNREADABLE, "swaps", {{"proc/swaps", NULL}}},
    {"no such device in sysfs", FOREIGN_UNREADABLE, "259:0", {{"sys/dev/block/259:0", "gone"}}},
    {"a device without a number", FOREIGN_UNREADABLE, "nvme0n1", {{"sys/class/block/nvme0n1/dev", "gone"}}},
    {"a number that is none", FOREIGN_UNREADABLE, "nvme0n1", {{"sys/class/block/nvme0n1/dev", "259:x\n"}}},
    {"renumbered meanwhile", FOREIGN_UNREADABLE, "renumbered", {{"sys/class/block/nvme0n1/dev", "259:5\n"}}},
    {"a holder without a number", FOREIGN_UNREADABLE, "dm-0", {{"sys/class/block/nvme0n1/holders/dm-0", NULL}}},
    {"holders that cannot be listed", FOREIGN_UNREADABLE, "holders", {{"sys/class/block/nvme0n1/holders", ""}}},
    {"an export that cannot be read",
     FOREIGN_UNREADABLE,
     "nvmet",
     {{"sys/kernel/config/nvmet/subsystems/s/namespaces/2/device_path", NULL}}},
    {"a process that cannot be looked into", FOREIGN_UNREADABLE, "process 77", {{"proc/77/fd", ""}}},
    {"no processes", FOREIGN_UNREADABLE, "/proc", {{"proc", "gone"}}},
};

static void test_recorded_hosts(void **state)
{
    (void)state;
    struct foreign_list list;
    put_host(NULL, 0);
    look(true, &strict, "/dev/nvme0n1", &list);
    assert_nothing("an idle drive", &list);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        put_host(rows[i].files, sizeof(rows[i].files) / sizeof(rows[i].files[0]));
        look(true, &strict, "/dev/nvme0n1", &list);
        assert_found(rows[i].rule, &list, rows[i].kind, rows[i].part);
    }
}

static void test_too_many_kin(void **state)
{
    (void)state;
    struct foreign_list list;
    put_host(NULL, 0);
    for (unsigned i = 0; i < KIN_MAX + 1; i++) {
        char part[128], dev[128];
        snprintf(part, sizeof(part), "sys/class/block/nvme0n1/nvme0n1p%u/partition", i);
        snprintf(dev, sizeof(dev), "sys/class/block/nvme0n1p%u/dev", i);
        put(&(struct file){part, "1\n"});
        put(&(struct file){dev, "259:1\n"});
    }
    look(true, &strict, "/dev/nvme0n1", &list);
    assert_found("more devices than are looked at", &list, FOREIGN_UNREADABLE, "nvme0n1p");
}

static const char *new_image(void)
{
    const char *path = path_of("image");
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, 32 << 20), 0);
    close(fd);
    return path;
}

static void test_recorded_files(void **state)
{
    (void)state;
    struct foreign_list list;
    char text[600];
    const char *path = new_image();
    put_host(NULL, 0);
    look(false, &strict, path, &list);
    assert_nothing("an idle file", &list);
    put(&(struct file){"sys/kernel/config/nvmet", "gone"});
    put(&(struct file){"sys/kernel/config/target", "gone"});
    look(false, &strict, path, &list);
    assert_nothing("a kernel that has configfs and exports nothing", &list);

    snprintf(text, sizeof(text), "->%s", path);
    put(&(struct file){"proc/77/fd/3", text});
    look(false, &strict, path, &list);
    assert_found("open in a process", &list, FOREIGN_OPEN, "process 77 (other)");
    const pid_t others[] = {1, 770, 7}, served_by[] = {5, 77};
    look(false, &(struct probe_options){.allowed = others, .allowed_count = 3}, path, &list);
    assert_found("open in a process that may not", &list, FOREIGN_OPEN, "process 77 (other)");
    look(false, &(struct probe_options){.allowed = served_by, .allowed_count = 2}, path, &list);
    assert_nothing("open in the process that serves it", &list);
    put(&(struct file){"proc/77/fd/3", "gone"});

    assert_int_equal(link(path, path_of("other-name")), 0);
    snprintf(text, sizeof(text), "%s\n", path_of("other-name"));
    put(&(struct file){"sys/block/loop3/loop/backing_file", text});
    put(&(struct file){"sys/class/block/loop3/dev", "7:3\n"});
    put(&(struct file){"sys/class/block/loop3/loop3p1/partition", "1\n"});
    put(&(struct file){"sys/class/block/loop3p1/dev", "259:77\n"});
    put(&(struct file){"proc/self/mountinfo", ROOT_MOUNT "60 27 259:77 / /l rw - ext4 /dev/loop3p1 rw\n"});
    look(false, &strict, path, &list);
    assert_found("a loop device", &list, FOREIGN_HOLDER, "loop3 is a loop device");
    assert_found("mounted through it", &list, FOREIGN_MOUNT, "ext4 at /l,");
    put(&(struct file){"sys/block/loop3/loop/backing_file", "gone"});
    unlink(path_of("other-name"));

    snprintf(text, sizeof(text), SWAPS "%s file 1 0 -2\n", path);
    put(&(struct file){"proc/swaps", text});
    look(false, &strict, path, &list);
    assert_found("a swap file", &list, FOREIGN_SWAP, path);
    put(&(struct file){"proc/swaps", SWAPS});
    put(&(struct file){"sys/kernel/config/nvmet/subsystems/s/namespaces/2/device_path", path});
    look(false, &strict, path, &list);
    assert_found("a file exported", &list, FOREIGN_HOLDER, "exported");
}

/* ---- the kernel of this host --------------------------------------------------------------------------------- */

struct child {
    pid_t pid;
    int until; /* it ends when this is closed */
};

/* Another process that does fn with the file and then waits. */
static struct child start(const char *path, bool (*fn)(int fd))
{
    int ready[2], until[2];
    char byte = 0;
    assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
    assert_int_equal(pipe2(until, O_CLOEXEC), 0);
    struct child child = {.pid = fork(), .until = until[1]};
    assert_true(child.pid >= 0);
    if (child.pid == 0) {
        close(until[1]);
        int fd = open(path, O_RDWR | O_CLOEXEC);
        byte = fd >= 0 && fn(fd) ? 'y' : 'n';
        _exit(write(ready[1], &byte, 1) == 1 && read(until[0], &byte, 1) == 0 ? 0 : 1);
    }
    close(ready[1]);
    close(until[0]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    assert_int_equal(byte, 'y');
    return child;
}

static void stop(const struct child *child)
{
    int status;
    close(child->until);
    assert_int_equal(waitpid(child->pid, &status, 0), child->pid);
}

static bool only_open(int fd)
{
    return fd >= 0;
}

static bool lock_as_qemu(int fd)
{
    struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = 201, .l_len = 1};
    return fcntl(fd, F_OFD_SETLK, &lock) == 0;
}

static bool lock_as_qemu_that_writes(int fd)
{
    struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = 103, .l_len = 1};
    return fcntl(fd, F_OFD_SETLK, &lock) == 0;
}

static bool lock_posix(int fd)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 5000, .l_len = 10};
    return fcntl(fd, F_SETLK, &lock) == 0;
}

static void test_other_processes(void **state)
{
    (void)state;
    struct foreign_list list = {0};
    const char *path = new_image();
    probe_use(path, ns7, &lenient, &list);
    assert_nothing("nobody", &list);
    int own = open(path, O_RDWR | O_CLOEXEC);
    probe_use(path, ns7, &lenient, &list);
    assert_nothing("open in this process", &list);
    close(own);

    char part[32];
    struct child child = start(path, only_open);
    snprintf(part, sizeof(part), "process %d (", child.pid);
    const struct probe_options served = {.pass_over_denied = true, .allowed = &child.pid, .allowed_count = 1};
    probe_use(path, ns7, &lenient, &list);
    assert_found("open in another process", &list, FOREIGN_OPEN, part);
    list.count = 0;
    probe_use(path, ns7, &served, &list);
    assert_nothing("open in the process that serves it", &list);
    stop(&child);

    child = start(path, lock_as_qemu);
    list.count = 0;
    probe_use(path, ns7, &lenient, &list);
    assert_found("locked by QEMU", &list, FOREIGN_OPEN, "byte 201");
    list.count = 0;
    probe_use(path, ns7, &served, &list);
    assert_found("locked by QEMU, whatever process serves it", &list, FOREIGN_OPEN, "as QEMU does");
    stop(&child);

    child = start(path, lock_as_qemu_that_writes);
    list.count = 0;
    probe_use(path, ns7, &served, &list);
    assert_found("locked by QEMU for writing", &list, FOREIGN_OPEN, "byte 103");
    stop(&child);

    child = start(path, lock_posix);
    list.count = 0;
    probe_use(path, ns7, &lenient, &list);
    assert_found("locked by anybody", &list, FOREIGN_OPEN, "byte 5000");
    list.count = 0;
    probe_use(path, ns7, &served, &list);
    assert_nothing("locked by the process that serves it", &list);
    stop(&child);
}

/* A loop device that goes away by itself when nobody has it open. -1: none to be had here. */
static int new_loop(const char *path, char name[64])
{
    int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC), image = open(path, O_RDWR | O_CLOEXEC), loop = -1;
    int number = control < 0 ? -1 : ioctl(control, LOOP_CTL_GET_FREE);
    if (number >= 0) {
        struct loop_config config = {.fd = (uint32_t)image, .info = {.lo_flags = LO_FLAGS_AUTOCLEAR}};
        snprintf(name, 64, "/dev/loop%d", number);
        loop = open(name, O_RDWR | O_CLOEXEC);
        if (loop >= 0 && ioctl(loop, LOOP_CONFIGURE, &config) < 0) {
            close(loop);
            loop = -1;
        }
    }
    close(image);
    close(control);
    return loop;
}

static void test_loop_device(void **state)
{
    (void)state;
    struct foreign_list list = {0};
    const char *path = new_image();
    char name[64];
    int loop = new_loop(path, name);
    if (loop < 0) {
        print_message("no loop devices here (needs root and /dev/loop-control): passed over\n");
        skip();
    }
    probe_use(path, ns7, &lenient, &list);
    assert_found("a file behind a loop device", &list, FOREIGN_HOLDER, "is a loop device upon");
    list.count = 0;
    probe_use(name, ns7, &strict, &list);
    for (size_t i = 0; i < list.count; i++) /* a process of this host may refuse to be looked into */
        if (strstr(list.at[i].detail, "the files of process") == NULL)
            fail_msg("an idle block device: got %s, want nothing", all_text(&list));
    list.count = 0;
    probe_use(name, ns7, &lenient, &list);
    assert_found("a block device, not every process looked into", &list, FOREIGN_UNREADABLE, "not every process");

    int holder = open(name, O_RDONLY | O_EXCL | O_CLOEXEC);
    assert_true(holder >= 0);
    list.count = 0;
    probe_use(name, ns7, &strict, &list);
    assert_found("held exclusively", &list, FOREIGN_HOLDER, "exclusively");
    close(holder);
    struct child child = start(name, only_open);
    list.count = 0;
    probe_use(name, ns7, &strict, &list);
    assert_found("a block device open in another process", &list, FOREIGN_OPEN, "process ");
    stop(&child);
    close(loop);
}

static void test_mounted_loop(void **state)
{
    (void)state;
    struct foreign_list list = {0};
    const char *path = new_image(), *point = path_of("mount");
    char name[64];
    pid_t pid = fork();
    if (pid == 0) {
        execl("/sbin/mkfs.ext4", "mkfs.ext4", "-q", path, NULL);
        _exit(127);
    }
    int status, loop = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(mkdir(point, 0700), 0);
    if (status != 0 || unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        (loop = new_loop(path, name)) < 0) {
        print_message("cannot mount here (needs root, mkfs.ext4 and a loop device): passed over\n");
        skip();
    }
    if (mount(name, point, "ext4", 0, NULL) < 0) {
        close(loop);
        print_message("this kernel does not mount ext4: passed over\n");
        skip();
    }
    probe_use(path, ns7, &lenient, &list);
    assert_found("a file mounted through a loop device", &list, FOREIGN_MOUNT, "ext4 at /tmp/");
    list.count = 0;
    probe_use(name, ns7, &strict, &list);
    assert_found("a block device mounted", &list, FOREIGN_MOUNT, "ext4 at /tmp/");
    assert_found("and held by that", &list, FOREIGN_HOLDER, "exclusively");
    assert_int_equal(umount(point), 0);
    close(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_recorded_hosts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_too_many_kin, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_recorded_files, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_other_processes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_loop_device, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_mounted_loop, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
