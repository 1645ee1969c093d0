#include "core/domain_build.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static struct vm_spec good_spec(void)
{
    return (struct vm_spec){
        .name = {"db1"},
        .uuid = {"11111111-2222-4333-8444-555555555555"},
        .vcpus = 2,
        .memory_bytes = 1u << 30,
        .image = "/srv/images/db1.qcow2",
        .network = {"default"},
    };
}

static struct domain_slice good_slice(unsigned n)
{
    struct domain_slice slice = {
        .block_device = true,
        .block_bytes = 512,
        .size_bytes = 465ull << 30,
        .dev = 5,
        .ino = 100 + n,
        .rdev = 0x10300 + n,
    };
    snprintf(slice.id.v, sizeof(slice.id.v), "ns-%u", n);
    snprintf(slice.path, sizeof(slice.path), "/dev/nvme0n%u", n + 1);
    return slice;
}

static const struct domain_host good_host = {
    .io_uring = true,
    .emulator = "/usr/bin/qemu-system-x86_64",
    .console_log = "/var/log/nsmith/db1.log",
};

struct asked {
    struct vm_spec spec;
    struct domain_slice slices[CLAIM_SLICES_MAX + 1];
    size_t count;
};

static void no_slices(struct asked *asked)
{
    asked->count = 0;
}

static void seventeen_slices(struct asked *asked)
{
    asked->count = CLAIM_SLICES_MAX + 1;
}

static void sixteen_slices(struct asked *asked)
{
    asked->count = CLAIM_SLICES_MAX;
}

static void no_path(struct asked *asked)
{
    asked->slices[1].path[0] = '\0';
}

static void relative_path(struct asked *asked)
{
    asked->slices[1].path[0] = 'x';
}

static void newline_in_path(struct asked *asked)
{
    asked->slices[1].path[6] = '\n';
}

static void no_id(struct asked *asked)
{
    asked->slices[1].id.v[0] = '\0';
}

static void space_in_id(struct asked *asked)
{
    asked->slices[1].id.v[2] = ' ';
}

static void same_id(struct asked *asked)
{
    asked->slices[1].id = asked->slices[0].id;
}

static void same_path(struct asked *asked)
{
    memcpy(asked->slices[1].path, asked->slices[0].path, PATH_TEXT_MAX);
}

static void same_device(struct asked *asked)
{
    asked->slices[1].rdev = asked->slices[0].rdev;
}

static void same_inode(struct asked *asked)
{
    for (int i = 0; i < 2; i++) {
        asked->slices[i].block_device = false;
        asked->slices[i].ino = 7;
    }
}

static void same_inode_elsewhere(struct asked *asked)
{
    same_inode(asked);
    asked->slices[1].dev = 6;
}

static void unknown_device(struct asked *asked)
{
    asked->slices[1].rdev = 0;
}

static void unknown_inode(struct asked *asked)
{
    asked->slices[1].block_device = false;
    asked->slices[1].ino = 0;
}

static void blocks_of_520(struct asked *asked)
{
    asked->slices[1].block_bytes = 520;
}

static void blocks_of_256(struct asked *asked)
{
    asked->slices[1].block_bytes = 256;
}

static void broken_block(struct asked *asked)
{
    asked->slices[1].block_bytes = 4096;
    asked->slices[1].size_bytes += 512;
}

static void no_size(struct asked *asked)
{
    asked->slices[1].size_bytes = 0;
}

static void no_uuid(struct asked *asked)
{
    asked->spec.uuid.v[0] = '\0';
}

static void upper_uuid(struct asked *asked)
{
    asked->spec.uuid.v[0] = 'A';
}

static void short_uuid(struct asked *asked)
{
    asked->spec.uuid.v[35] = '\0';
}

static void nothing_to_boot(struct asked *asked)
{
    asked->spec.image[0] = '\0';
}

static void bell_in_image(struct asked *asked)
{
    asked->spec.image[3] = '\a';
}

static void as_it_is(struct asked *asked)
{
    (void)asked;
}

static const struct {
    const char *rule;
    void (*change)(struct asked *asked);
    enum err_kind expect;
} checks[] = {
    {"a complete VM is built", as_it_is, ERR_NONE},
    {"no slices are refused", no_slices, ERR_INPUT},
    {"as many slices as a claim can have are built", sixteen_slices, ERR_NONE},
    {"one more is refused", seventeen_slices, ERR_INPUT},
    {"a slice without a path is refused", no_path, ERR_INPUT},
    {"a path that is not absolute is refused", relative_path, ERR_INPUT},
    {"a path that XML cannot carry is refused", newline_in_path, ERR_INPUT},
    {"a slice without an id is refused", no_id, ERR_INPUT},
    {"an id that a serial number cannot carry is refused", space_in_id, ERR_INPUT},
    {"the same slice twice is refused", same_id, ERR_INPUT},
    {"two slices with one path are refused", same_path, ERR_INPUT},
    {"two slices with one device are refused", same_device, ERR_INPUT},
    {"two slices with one inode are refused", same_inode, ERR_INPUT},
    {"the same inode number of another file system is another file", same_inode_elsewhere, ERR_NONE},
    {"a block device nobody looked at is refused", unknown_device, ERR_INPUT},
    {"a file nobody looked at is refused", unknown_inode, ERR_INPUT},
    {"blocks that are no power of two are refused", blocks_of_520, ERR_INPUT},
    {"blocks below 512 bytes are refused", blocks_of_256, ERR_INPUT},
    {"a broken block at the end is refused", broken_block, ERR_INPUT},
    {"an empty slice is refused", no_size, ERR_INPUT},
    {"a VM without a UUID is refused", no_uuid, ERR_INPUT},
    {"a UUID in upper case is refused", upper_uuid, ERR_INPUT},
    {"a UUID that is too short is refused", short_uuid, ERR_INPUT},
    {"an incomplete spec is refused (vm_spec_check)", nothing_to_boot, ERR_INPUT},
    {"an image that XML cannot carry is refused", bell_in_image, ERR_INPUT},
};

static void what_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++) {
        struct asked asked = {.spec = good_spec(), .count = 2};
        for (unsigned n = 0; n <= CLAIM_SLICES_MAX; n++)
            asked.slices[n] = good_slice(n);
        checks[i].change(&asked);
        struct err err = {0};
        struct domain out, before;
        memset(&out, 0x5a, sizeof(out));
        memcpy(&before, &out, sizeof(out));
        const bool ok = domain_build(&asked.spec, asked.slices, asked.count, &good_host, &out, &err);
        if (err.kind != checks[i].expect || ok != (err.kind == ERR_NONE))
            fail_msg("%s: got %s '%s', want %s", checks[i].rule, err_kind_name(err.kind), err.msg,
                     err_kind_name(checks[i].expect));
        if (!ok && memcmp(&out, &before, sizeof(out)) != 0)
            fail_msg("%s: the domain was changed all the same", checks[i].rule);
    }
}

static struct domain build(enum datapath datapath, const struct domain_host *host, const char *image)
{
    struct vm_spec spec = good_spec();
    spec.datapath = datapath;
    snprintf(spec.image, sizeof(spec.image), "%s", image);
    const struct domain_slice slices[] = {good_slice(0), good_slice(1), good_slice(2)};
    struct domain domain;
    struct err err = {0};
    if (!domain_build(&spec, slices, 3, host, &domain, &err))
        fail_msg("%s", err.msg);
    return domain;
}

static void nth_slice_is_nth_disk(void **state)
{
    (void)state;
    for (unsigned d = 0; d < DATAPATH_COUNT; d++) {
        const struct domain domain = build((enum datapath)d, &good_host, "/i.qcow2");
        assert_int_equal(domain.disk_count, 3);
        for (unsigned n = 0; n < 3; n++) {
            const struct domain_disk *disk = &domain.disks[n];
            const struct domain_slice slice = good_slice(n);
            assert_string_equal(disk->serial.v, slice.id.v);
            assert_string_equal(disk->path, slice.path);
            assert_int_equal(disk->iothread, n + 1);
            assert_int_equal(disk->controller, d == DATAPATH_SCSI ? n : 0);
            assert_true(disk->block_device);
            assert_int_equal(disk->block_bytes, slice.block_bytes);
            assert_int_equal(disk->size_bytes, slice.size_bytes);
            assert_int_equal(disk->dev, slice.dev);
            assert_int_equal(disk->ino, slice.ino);
            assert_int_equal(disk->rdev, slice.rdev);
            assert_int_equal(strlen(disk->wwn), d == DATAPATH_SCSI ? 16 : 0);
        }
    }
}

static void what_the_host_can(void **state)
{
    (void)state;
    struct domain domain = build(DATAPATH_SCSI, &good_host, "/i.qcow2");
    assert_false(domain.kvm);
    assert_true(domain.io_uring);
    assert_string_equal(domain.emulator, good_host.emulator);
    assert_string_equal(domain.console_log, good_host.console_log);
    assert_string_equal(domain.name.v, "db1");
    assert_string_equal(domain.network.v, "default");
    assert_int_equal(domain.vcpus, 2);
    assert_int_equal(domain.memory_bytes, 1u << 30);
    const struct domain_host other = {.kvm = true};
    domain = build(DATAPATH_SCSI, &other, "/i.qcow2");
    assert_true(domain.kvm);
    assert_false(domain.io_uring);
}

static void image_format_is_by_name(void **state)
{
    (void)state;
    static const struct {
        const char *image;
        bool qcow2;
    } rows[] = {
        {"/a.qcow2", true}, {"/a.raw", false}, {"/a.img", false}, {"/qcow2", false}, {"/a.qcow2.bak", false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (build(DATAPATH_BLK, &good_host, rows[i].image).image_qcow2 != rows[i].qcow2)
            fail_msg("%s: want qcow2 %d", rows[i].image, rows[i].qcow2);
}

static void wwn_is_naa_3_and_differs(void **state)
{
    (void)state;
    enum { MANY = 2000 };
    static char seen[MANY][17];
    for (unsigned n = 0; n < MANY; n++) {
        struct slice_id id;
        snprintf(id.v, sizeof(id.v), "slice-%u", n);
        domain_wwn(&id, seen[n]);
        assert_int_equal(strlen(seen[n]), 16);
        assert_int_equal(strspn(seen[n], "0123456789abcdef"), 16);
        assert_int_equal(seen[n][0], '3');
        for (unsigned m = 0; m < n; m++)
            if (strcmp(seen[m], seen[n]) == 0)
                fail_msg("slices %u and %u both have wwn %s", m, n, seen[n]);
    }
    /* For ever: a guest finds its disks by it. */
    char wwn[17];
    domain_wwn(&(struct slice_id){"slice-0"}, wwn);
    assert_string_equal(wwn, "3892b35258d67732");
}

static void bare_claim(void **state)
{
    (void)state;
    const struct domain_slice slices[] = {good_slice(0), good_slice(1)};
    struct domain domain;
    struct err err = {0};
    assert_true(domain_build_disks(slices, 2, DATAPATH_BLK, true, &domain, &err));
    assert_int_equal(domain.disk_count, 2);
    assert_true(domain.io_uring);
    assert_string_equal(domain.name.v, "");
    assert_false(domain_build_disks(slices, 0, DATAPATH_BLK, true, &domain, &err));
    assert_int_equal(err.kind, ERR_INPUT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_refused),          cmocka_unit_test(nth_slice_is_nth_disk),
        cmocka_unit_test(what_the_host_can),        cmocka_unit_test(image_format_is_by_name),
        cmocka_unit_test(wwn_is_naa_3_and_differs), cmocka_unit_test(bare_claim),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
