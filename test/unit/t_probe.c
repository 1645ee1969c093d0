/* The zoo: one temporary file an animal. Most are written by hand, byte by byte, so that the test needs few tools;
 * each must be refused by the signatures alone and by the raw bytes alone. */
#include "probe/probe.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { MIB = 1 << 20, IMAGE_BYTES = 64 * MIB };

static const struct nsid ns7 = {7};
/* A container's first process may refuse to be looked into; that is not what is tested here. */
static const struct probe_options options = {.seed = 42, .pass_over_denied = true};

static char folder[64];

static const char *path_of(const char *name)
{
    static char paths[16][256];
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
    snprintf(folder, sizeof(folder), "/tmp/t_probe.XXXXXX");
    return mkdtemp(folder) == NULL ? -1 : 0;
}

static int tear_down(void **state)
{
    (void)state;
    return nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static const char *new_image(uint64_t size_bytes)
{
    const char *path = path_of("image");
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t)size_bytes), 0);
    close(fd);
    return path;
}

static void poke(const char *path, uint64_t offset, const void *bytes, size_t len)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, bytes, len, (off_t)offset), len);
    assert_int_equal(fsync(fd), 0);
    close(fd);
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

/* NULL when there is none with that kind and that part of its text. */
static const struct foreign *find(const struct foreign_list *list, enum foreign_kind kind, const char *part)
{
    for (size_t i = 0; i < list->count; i++)
        if (list->at[i].kind == kind && strstr(list->at[i].detail, part) != NULL)
            return &list->at[i];
    return NULL;
}

static void assert_found(const char *rule, const struct foreign_list *list, enum foreign_kind kind, const char *part)
{
    const struct foreign *found = find(list, kind, part);
    if (found == NULL)
        fail_msg("%s: got %s, want [%s: ...%s...]", rule, all_text(list), foreign_kind_text(kind), part);
    assert_true(nsid_eq(found->nsid, ns7));
}

static void assert_nothing(const char *rule, const struct foreign_list *list)
{
    if (list->count != 0)
        fail_msg("%s: got %s, want nothing", rule, all_text(list));
}

/* ---- signatures, and raw bytes ------------------------------------------------------------------------------- */

/* Offsets below 0 count from the end. */
struct bytes {
    long offset;
    const char *bytes;
    size_t len;
};
#define B(offset, text)                \
    {                                  \
        offset, text, sizeof(text) - 1 \
    }

static const struct {
    const char *type; /* as libblkid calls it */
    struct bytes at[8];
} zoo[] = {
    {"swap", {B(4096 - 10, "SWAPSPACE2"), B(1024, "\1\0\0\0\xff\x3f\0\0")}},
    {"swsuspend", {B(4096 - 10, "S1SUSPEND\0")}},
    {"LVM2_member", {B(512, "LABELONE\1\0\0\0\0\0\0\0\0\0\0\0\x20\0\0\0LVM2 001")}},
    {"LVM1_member", {B(0, "HM\1\0")}},
    {"DM_snapshot_cow", {B(0, "SnAp\1\0\0\0")}},
    {"DM_verity_hash", {B(0, "verity\0\0\1\0\0\0\1\0\0\0")}},
    {"DM_integrity", {B(0, "integrt\0\1")}},
    {"linux_raid_member", {B(4096, "\xfc\x4e\x2b\xa9\1\0\0\0"), B(4096 + 0x90, "\x8\0\0\0\0\0\0\0")}},
    {"linux_raid_member", {B(0, "\xfc\x4e\x2b\xa9\1\0\0\0")}},
    {"linux_raid_member", {B(-8192, "\xfc\x4e\x2b\xa9\1\0\0\0"), B(-8192 + 0x90, "\xf0\xff\1\0\0\0\0\0")}},
    {"linux_raid_member", {B(-65536, "\xfc\x4e\x2b\xa9\0\0\0\0\x5a\0\0\0")}},
    {"isw_raid_member", {B(-1024, "Intel Raid ISM Cfg Sig. 1.1.00")}},
    {"lsi_mega_raid_member", {B(-512, "$XIDE$")}},
    {"ddf_raid_member", {B(-512, "\xde\x11\xde\x11\0\0\0\0"), B(-512 + 0x60, "\0\0\0\0\0\1\xff\xff")}},
    {"promise_fasttrack_raid_member", {B(-63 * 512, "Promise Technology, Inc.")}},
    {"crypto_LUKS", {B(0, "LUKS\xba\xbe\0\1")}},
    {"crypto_LUKS", {B(0, "LUKS\xba\xbe\0\2"), B(8, "\0\0\0\0\0\0\x40\0")}},
    {"BitLocker", {B(0, "\xeb\x58\x90-FVE-FS-"), B(176, "\0\0\1\0"), B(65536, "-FVE-FS-\0\0\2\0")}},
    {"bcache", {B(4096 + 24, "\xc6\x85\x73\xf6\x4e\x1a\x45\xca\x82\x65\xf5\x7f\x48\xba\x6d\x81"), B(4096 + 8, "\x8")}},
    {"zfs_member",
     {B(0x20000, "\x0c\xb1\xba\0"), B(0x20400, "\x0c\xb1\xba\0"), B(0x20800, "\x0c\xb1\xba\0"),
      B(0x20c00, "\x0c\xb1\xba\0")}},
    {"ceph_bluestore", {B(0, "bluestore block device")}},
    {"vdo", {B(0, "dmvdo001")}},
    {"VMFS_volume_member", {B(0x100000, "\x0d\xd0\x01\xc0")}},
    {"VMFS", {B(0x200000, "\x5e\xf1\xab\x2f")}},
    {"iso9660", {B(32768, "\1CD001\1")}},
    {"btrfs", {B(0x10000 + 0x40, "_BHRfS_M"), B(0x10000 + 0x90, "\0\x10\0\0")}},
    {"reiserfs", {B(0x10000 + 0x34, "ReIsEr2Fs"), B(0x10000 + 0x2c, "\0\x10"), B(0x10000 + 0xc, "\x80")}},
    {"reiser4", {B(0x10000, "ReIsEr4")}},
    {"jfs", {B(32768, "JFS1\1\0\0\0"), B(32768 + 16, "\0\x10\0\0\x0c\0\3\0\0\2\0\0\x9\0")}},
    {"gfs2", {B(0x10000, "\x01\x16\x19\x70"), B(0x10000 + 0x18, "\0\0\x07\x09\0\0\x07\x6c")}},
    {"ocfs2", {B(2048, "OCFSV2")}},
    {"f2fs", {B(1024, "\x10\x20\xf5\xf2\1\0\x0f\0")}},
    {"squashfs", {B(0, "hsqs"), B(28, "\4\0\0\0")}},
    {"cramfs", {B(0, "\x45\x3d\xcd\x28")}},
    {"romfs", {B(0, "-rom1fs-")}},
    {"minix", {B(1024, "\x40\0\0\x10\3\0\2\0\7\0\0\0\0\1\0\0\x7f\x13\1\0")}},
    {"hfsplus", {B(1024, "H+\0\4"), B(1024 + 40, "\0\0\x10\0")}},
    {"hfs", {B(1024, "BD"), B(1024 + 0x14, "\0\0\x10\0")}},
    {"apfs", {B(32, "NXSB"), B(24, "\1\0\0\x80"), B(36, "\0\x10\0\0")}},
    {"exfat",
     {B(3, "EXFAT   "), B(108, "\x9\3\1"), B(510, "\x55\xaa"), B(80, "\x80\0\0\0\x20\0\0\0\0\1\0\0\0\1\0\0\5")}},
    {"vfat",
     {B(0, "\xeb\x58\x90mkfs.fat\0\2\1\x20\0\2"), B(21, "\xf8"), B(32, "\0\0\2\0\xf1\3"), B(44, "\2"),
      B(82, "FAT32   "), B(510, "\x55\xaa")}},
    {"ntfs",
     {B(0, "\xeb\x52\x90NTFS    \0\2\x8"), B(21, "\xf8"), B(40, "\xff\xff\1"), B(48, "\4\0\0\0\0\0\0\0\1"),
      B(64, "\xf6"), B(4096, "FILE"), B(4 * 4096, "FILE"), B(4 * 4096 + 3072, "FILE\0\0\0\0")}},
    {"erofs", {B(1024, "\xe2\xe1\xf5\xe0"), B(1024 + 12, "\x0c")}},
    {"ubifs", {B(0, "\x31\x18\x10\x06")}},
    {"ubi", {B(0, "UBI#")}},
    {"ufs", {B(8192 + 0x55c, "\x54\x19\1\0")}},
    {"sysv", {B(512 + 504, "\x20\x7e\x18\xfd\1\0\0\0")}},
    {"oracleasm", {B(32, "ORCLDISK")}},
    {"mpool", {B(0, "mpoolDev")}},
};

static void write_animal(const char *path, const struct bytes *at, size_t count)
{
    for (size_t i = 0; i < count && at[i].bytes != NULL; i++)
        poke(path, (uint64_t)(at[i].offset < 0 ? IMAGE_BYTES + at[i].offset : at[i].offset), at[i].bytes, at[i].len);
}

/* Both checks, each with a list of its own. */
static void assert_refused_twice(const char *rule, const char *path, enum foreign_kind kind, const char *part)
{
    struct foreign_list by_name = {0}, by_bytes = {0}, by_use = {0};
    probe_signature(path, ns7, &options, &by_name);
    assert_found(rule, &by_name, kind, part);
    probe_blank(path, ns7, &options, &by_bytes);
    assert_found(rule, &by_bytes, FOREIGN_DATA, "byte ");
    probe_use(path, ns7, &options, &by_use);
    assert_nothing(rule, &by_use); /* else it would not be known which of them refuses */
}

static void test_zoo_by_hand(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(zoo) / sizeof(zoo[0]); i++) {
        const char *path = new_image(IMAGE_BYTES);
        write_animal(path, zoo[i].at, sizeof(zoo[i].at) / sizeof(zoo[i].at[0]));
        assert_refused_twice(zoo[i].type, path, FOREIGN_SIGNATURE, zoo[i].type);
    }
}

/* false: the tool is not installed. */
static bool run(const char *const argv[])
{
    pid_t pid;
    int status;
    char *const *args = (char *const *)(uintptr_t)argv; /* posix_spawn() does not change them */
    posix_spawn_file_actions_t actions;
    assert_int_equal(setenv("PATH", "/usr/sbin:/sbin:/usr/bin:/bin", 1), 0);
    assert_int_equal(posix_spawn_file_actions_init(&actions), 0);
    assert_int_equal(posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0), 0);
    int rc = posix_spawnp(&pid, argv[0], &actions, NULL, args, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (rc == ENOENT)
        return false;
    assert_int_equal(rc, 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        fail_msg("%s: got status %d, want 0", argv[0], status);
    return true;
}

static void test_zoo_by_tools(void **state)
{
    (void)state;
    static const struct {
        const char *part;
        const char *argv[6];
    } rows[] = {
        {"ext2, label 'data', uuid 11111111-2222-3333-4444-555555555555",
         {"mkfs.ext2", "-qL", "data", "-U11111111-2222-3333-4444-555555555555", NULL}},
        {"ext3, uuid", {"mkfs.ext3", "-q", NULL}},
        {"ext4, label 'two?lines', uuid", {"mkfs.ext4", "-qL", "two\nlines", NULL}},
        {"jbd", {"mke2fs", "-qO", "journal_dev", NULL}},
        {"swap, label 'x', uuid", {"mkswap", "-qLx", NULL}},
        {"minix", {"mkfs.minix", NULL}},
        {"xfs", {"mkfs.xfs", "-q", NULL}},
        {"vfat", {"mkfs.vfat", NULL}},
        {"btrfs", {"mkfs.btrfs", "-q", NULL}},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *argv[8];
        size_t argc = 0;
        for (; rows[i].argv[argc] != NULL; argc++)
            argv[argc] = rows[i].argv[argc];
        const bool large = strcmp(rows[i].part, "xfs") == 0 || strcmp(rows[i].part, "btrfs") == 0;
        const char *path = new_image(large ? 512 * MIB : IMAGE_BYTES);
        argv[argc++] = path;
        argv[argc] = NULL;
        if (run(argv))
            assert_refused_twice(rows[i].part, path, FOREIGN_SIGNATURE, rows[i].part);
        else
            print_message("%s is not installed: passed over\n", argv[0]);
    }
}

static uint32_t crc32_of(const uint8_t *bytes, size_t len)
{
    uint32_t crc = ~0u;
    for (size_t i = 0; i < len; i++) {
        crc ^= bytes[i];
        for (unsigned bit = 0; bit < 8; bit++)
            crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0xedb88320u : 0);
    }
    return ~crc;
}

static void put_le(uint8_t *to, uint64_t value, size_t len)
{
    for (size_t i = 0; i < len; i++)
        to[i] = (uint8_t)(value >> (8 * i));
}

/* One header and its table with no partition in it: UEFI Specification 2.10, section 5.3. */
static void write_gpt(const char *path, bool backup)
{
    static uint8_t table[128 * 128];
    const uint64_t last = IMAGE_BYTES / 512 - 1, at = backup ? last : 1, table_at = backup ? last - 32 : 2;
    uint8_t header[512] = "EFI PART";
    put_le(header + 8, 0x00010000, 4);
    put_le(header + 12, 92, 4);
    put_le(header + 24, at, 8);
    put_le(header + 32, backup ? 1 : last, 8);
    put_le(header + 40, 34, 8);
    put_le(header + 48, last - 33, 8);
    put_le(header + 72, table_at, 8);
    put_le(header + 80, 128, 4);
    put_le(header + 84, 128, 4);
    put_le(header + 88, crc32_of(table, sizeof(table)), 4);
    put_le(header + 16, crc32_of(header, 92), 4);
    poke(path, at * 512, header, sizeof(header));
}

static void test_partition_tables(void **state)
{
    (void)state;
    static const uint8_t protective[16] = {0, 0, 2, 0, 0xee, 0xff, 0xff, 0xff, 1, 0, 0, 0, 0xff, 0xff, 1, 0};
    static const uint8_t linux_part[16] = {0, 0, 2, 0, 0x83, 0xff, 0xff, 0xff, 0, 8, 0, 0, 0, 0, 1, 0};
    const char *path = new_image(IMAGE_BYTES);
    write_gpt(path, false);
    poke(path, 446, protective, 16);
    poke(path, 510, "\x55\xaa", 2);
    assert_refused_twice("GPT", path, FOREIGN_PARTITIONS, "'gpt'");
    path = new_image(IMAGE_BYTES);
    write_gpt(path, false);
    assert_refused_twice("GPT without a protective MBR", path, FOREIGN_PARTITIONS, "'gpt'");
    path = new_image(IMAGE_BYTES);
    write_gpt(path, true);
    assert_refused_twice("only the backup GPT at the end", path, FOREIGN_PARTITIONS, "'gpt'");
    path = new_image(IMAGE_BYTES);
    poke(path, 446, protective, 16);
    poke(path, 510, "\x55\xaa", 2);
    assert_refused_twice("only the protective MBR", path, FOREIGN_PARTITIONS, "'PMBR'");
    path = new_image(IMAGE_BYTES);
    poke(path, 446, linux_part, 16);
    poke(path, 510, "\x55\xaa", 2);
    assert_refused_twice("MBR", path, FOREIGN_PARTITIONS, "'dos'");
    path = new_image(IMAGE_BYTES);
    poke(path, 510, "\x55\xaa", 2);
    assert_refused_twice("MBR without a partition", path, FOREIGN_PARTITIONS, "'dos'");
}

static void test_all_signatures_are_named(void **state)
{
    (void)state;
    const char *path = new_image(IMAGE_BYTES);
    struct foreign_list list = {0};
    static const char *const types[] = {"crypto_LUKS", "swap", "iso9660", "LVM2_member"};
    for (size_t i = 0; i < sizeof(zoo) / sizeof(zoo[0]); i++)
        for (size_t k = 0; k < sizeof(types) / sizeof(types[0]); k++)
            if (strcmp(zoo[i].type, types[k]) == 0)
                write_animal(path, zoo[i].at, sizeof(zoo[i].at) / sizeof(zoo[i].at[0]));
    write_gpt(path, true);
    probe_signature(path, ns7, &options, &list);
    for (size_t k = 0; k < sizeof(types) / sizeof(types[0]); k++)
        assert_found(types[k], &list, FOREIGN_SIGNATURE, types[k]);
    assert_found("and the table", &list, FOREIGN_PARTITIONS, "'gpt'");
}

/* ---- bytes of no known kind ---------------------------------------------------------------------------------- */

static void assert_data(const char *rule, const char *path, const char *part)
{
    struct foreign_list by_name = {0}, by_bytes = {0};
    probe_signature(path, ns7, &options, &by_name);
    assert_nothing(rule, &by_name);
    probe_blank(path, ns7, &options, &by_bytes);
    assert_found(rule, &by_bytes, FOREIGN_DATA, part);
    assert_int_equal(by_bytes.count, 1);
}

static void test_unknown_data(void **state)
{
    (void)state;
    static const struct {
        const char *rule;
        uint64_t offset;
        const char *bytes, *part;
    } rows[] = {
        {"the very first byte", 0, "\1", "byte 0: 01 00 00 00 00 00 00 00 at "},
        {"the first byte with FFh", 0, "\xff", "byte 1: 00 00"},
        {"a byte in the middle of the first MiB", 524289, "xyz", "byte 524289: 78 79 7a 00"},
        {"where a first partition usually begins", MIB, "x", "byte 1048576: 78"},
        {"the last byte of the first 4 MiB", 4 * MIB - 1, "x", "byte 4194303: 78 at "},
        {"the first byte of the last 4 MiB", IMAGE_BYTES - 4 * MIB, "x", "byte 62914560: 78"},
        {"the very last byte", IMAGE_BYTES - 1, "x", "byte 67108863: 78 at "},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *path = new_image(IMAGE_BYTES);
        poke(path, rows[i].offset, rows[i].bytes, strlen(rows[i].bytes));
        assert_data(rows[i].rule, path, rows[i].part);
    }
}

static void fill(const char *path, uint64_t from, uint64_t to, int byte)
{
    static uint8_t bytes[MIB];
    memset(bytes, byte, sizeof(bytes));
    for (uint64_t at = from; at < to; at += MIB)
        poke(path, at, bytes, to - at < MIB ? to - at : MIB);
}

static void test_data_in_the_middle(void **state)
{
    (void)state;
    const char *path = new_image(IMAGE_BYTES);
    /* A quarter of the drive: 256 places miss it with probability 0.75^256 = 1e-32, whatever the seed. */
    fill(path, 24 * MIB, 40 * MIB, 'x');
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct foreign_list list = {0};
        struct probe_options other = options;
        other.seed = seed;
        probe_blank(path, ns7, &other, &list);
        assert_found("a quarter in the middle", &list, FOREIGN_DATA, ": 78 78 78 78 78 78 78 78 at ");
    }
}

static void test_blank(void **state)
{
    (void)state;
    /* Sizes that are no multiple of anything too: software drives are files. */
    static const uint64_t sizes[] = {1,           511,     512,         4095,          4097,       MIB,
                                     4 * MIB - 1, 4 * MIB, 4 * MIB + 1, 8 * MIB + 513, IMAGE_BYTES};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        const char *path = new_image(sizes[i]);
        struct foreign_list list = {0};
        probe_all(path, ns7, &options, &list);
        assert_nothing("zeros are blank", &list);
        fill(path, 0, sizes[i], 0xff);
        probe_all(path, ns7, &options, &list);
        assert_nothing("FFh is blank", &list);
        poke(path, sizes[i] - 1, "x", 1);
        probe_all(path, ns7, &options, &list);
        assert_found("all but one byte is not", &list, FOREIGN_DATA, "byte ");
    }
    const char *path = new_image(4 * MIB);
    struct foreign_list list = {0};
    fill(path, 512, 512 * 7, 0xff);
    probe_all(path, ns7, &options, &list);
    assert_nothing("sectors of zeros beside sectors of FFh are blank", &list);
    poke(path, 256, "\xff", 1);
    probe_all(path, ns7, &options, &list);
    assert_found("but not within one", &list, FOREIGN_DATA, "byte 256: ff 00");
}

/* ---- what cannot be looked at is never clean ------------------------------------------------------------------ */

typedef void check(const char *path, struct nsid nsid, const struct probe_options *with, struct foreign_list *out);

static check *const checks[] = {probe_signature, probe_use, probe_blank};

static void test_unreadable(void **state)
{
    (void)state;
    struct stat st;
    const char *image = new_image(MIB), *other = path_of("other"), *fifo = path_of("fifo");
    assert_int_equal(mkfifo(fifo, 0600), 0);
    assert_int_equal(stat(image, &st), 0);
    const struct probe_options with_node = {.pass_over_denied = true,
                                            .node = {.dev = st.st_dev, .ino = st.st_ino, .rdev = st.st_rdev}};
    for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++) {
        struct foreign_list none = {0}, null = {0}, pipe = {0}, dir = {0}, moved = {0}, meant = {0};
        checks[i](path_of("none"), ns7, &options, &none);
        assert_found("nothing there", &none, FOREIGN_UNREADABLE, "No such file");
        checks[i]("/dev/null", ns7, &options, &null);
        assert_found("a character device", &null, FOREIGN_UNREADABLE, "neither");
        checks[i](fifo, ns7, &options, &pipe);
        assert_found("a fifo does not hang", &pipe, FOREIGN_UNREADABLE, "neither");
        checks[i](folder, ns7, &options, &dir);
        assert_found("a folder", &dir, FOREIGN_UNREADABLE, "neither");
        checks[i](image, ns7, &with_node, &meant);
        assert_nothing("the device that was meant", &meant);
        assert_int_equal(rename(image, other), 0);
        new_image(MIB);
        checks[i](image, ns7, &with_node, &moved);
        assert_found("another one under the same name", &moved, FOREIGN_UNREADABLE, "another device");
        assert_int_equal(rename(other, image), 0);
    }
    struct foreign_list list = {0};
    probe_blank(new_image(0), ns7, &options, &list);
    assert_found("nothing to read", &list, FOREIGN_UNREADABLE, "no size");
}

static void test_all_asks_each(void **state)
{
    (void)state;
    const char *path = new_image(IMAGE_BYTES);
    struct foreign_list list = {0};
    write_animal(path, zoo[0].at, 2);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    assert_true(fd >= 0);
    assert_int_equal(fcntl(fd, F_OFD_SETLK, &lock), 0);
    probe_all(path, ns7, &options, &list);
    close(fd);
    assert_found("all: use", &list, FOREIGN_OPEN, "locked");
    assert_found("all: signature", &list, FOREIGN_SIGNATURE, "swap");
    assert_found("all: data", &list, FOREIGN_DATA, "byte ");
    assert_int_equal(list.count, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_zoo_by_hand),
        cmocka_unit_test(test_zoo_by_tools),
        cmocka_unit_test(test_partition_tables),
        cmocka_unit_test(test_all_signatures_are_named),
        cmocka_unit_test(test_unknown_data),
        cmocka_unit_test(test_data_in_the_middle),
        cmocka_unit_test(test_blank),
        cmocka_unit_test(test_unreadable),
        cmocka_unit_test(test_all_asks_each),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
