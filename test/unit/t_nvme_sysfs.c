/* The fixture is the tree of nvme_sysfs.c's first comment, made anew for each test in a folder of its own. */
#include "nvme/nvme_sysfs.h"

#include <ftw.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cmocka.h>

static char root[PATH_MAX / 2];

/* Makes the folders of `path` and, when `text` is not NULL, the file. */
static void put(const char *path, const char *text)
{
    char full[PATH_MAX];
    snprintf(full, sizeof(full), "%s/%s", root, path);
    for (char *at = full + strlen(root) + 1; (at = strchr(at, '/')) != NULL; at++) {
        *at = '\0';
        mkdir(full, 0777);
        *at = '/';
    }
    if (text == NULL) {
        assert_int_equal(mkdir(full, 0777), 0);
        return;
    }
    FILE *file = fopen(full, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0 && fclose(file) == 0);
}

static void put_link(const char *path, const char *target)
{
    char full[PATH_MAX];
    put(path, "");
    snprintf(full, sizeof(full), "%s/%s", root, path);
    assert_int_equal(unlink(full), 0);
    assert_int_equal(symlink(target, full), 0);
}

static void move(const char *from, const char *to)
{
    char a[PATH_MAX], b[PATH_MAX];
    snprintf(a, sizeof(a), "%s/%s", root, from);
    snprintf(b, sizeof(b), "%s/%s", root, to);
    assert_int_equal(rename(a, b), 0);
}

static void put_ctrl(const char *folder, const char *name, const char *dev)
{
    char path[256], target[256];
    snprintf(path, sizeof(path), "devices/%s/%s/dev", folder, name);
    put(path, dev);
    snprintf(path, sizeof(path), "class/nvme/%s", name);
    snprintf(target, sizeof(target), "../../devices/%s/%s", folder, name);
    put_link(path, target);
}

static void put_ns(const char *folder, unsigned nsid, const char *dev, bool hidden, const char *wwid)
{
    char path[256], text[64];
    snprintf(path, sizeof(path), "%s/nsid", folder);
    snprintf(text, sizeof(text), "%u\n", nsid);
    put(path, text);
    snprintf(path, sizeof(path), "%s/hidden", folder);
    put(path, hidden ? "1\n" : "0\n");
    snprintf(path, sizeof(path), "%s/wwid", folder);
    put(path, wwid);
    if (dev[0] != '\0') {
        snprintf(path, sizeof(path), "%s/dev", folder);
        put(path, dev);
    }
}

/* nvme0 and nvme1: two drives whose namespaces have the other one's number, as the kernel may well give them.
 * nvme2 and nvme3: one drive with two controllers and multipath. */
static int make_tree(void **state)
{
    (void)state;
    snprintf(root, sizeof(root), "/tmp/t_nvme_sysfs.XXXXXX");
    assert_non_null(mkdtemp(root));
    put_ctrl("pci0/nvme", "nvme0", "241:0\n");
    put_ctrl("pci1/nvme", "nvme1", "241:1\n");
    put_ctrl("pci2/nvme", "nvme2", "241:2\n");
    put_ctrl("pci3/nvme", "nvme3", "241:3\n");
    put_ctrl("pci4/nvme", "nvme10", "241:10\n");
    put_ns("devices/pci0/nvme/nvme0/nvme1n1", 2, "259:4\n", false, "eui.0001\n");
    put_ns("devices/pci0/nvme/nvme0/nvme1n2", 1, "259:5\n", false, "eui.0002\n");
    put("devices/pci0/nvme/nvme0/ng1n1/nsid", "1\n"); /* the character device */
    put("devices/pci0/nvme/nvme0/power/async", "disabled\n");
    put_ns("devices/pci1/nvme/nvme1/nvme0n1", 1, "259:6\n", false, "eui.0003\n");
    put_ns("devices/pci2/nvme/nvme2/nvme2c2n1", 7, "", true, "eui.0007\n");
    put_ns("devices/pci2/nvme/nvme2/nvme2c2n2", 8, "", true, "eui.0008\n");
    put_ns("devices/pci3/nvme/nvme3/nvme2c3n1", 7, "", true, "eui.0007\n");
    put_ns("devices/virtual/nvme-subsystem/nvme-subsys2/nvme2n1", 7, "259:7\n", false, "eui.0007\n");
    put_link("class/nvme-subsystem/nvme-subsys0", "../../devices/virtual/nvme-subsystem/nvme-subsys0");
    put_link("class/nvme-subsystem/nvme-subsys2", "../../devices/virtual/nvme-subsystem/nvme-subsys2");
    put("devices/virtual/nvme-subsystem/nvme-subsys0/subsysnqn", "nqn.x:0\n");
    put_link("devices/virtual/nvme-subsystem/nvme-subsys0/nvme1", "../../../pci1/nvme/nvme1");
    put_link("devices/virtual/nvme-subsystem/nvme-subsys2/nvme2", "../../../pci2/nvme/nvme2");
    put_link("devices/virtual/nvme-subsystem/nvme-subsys2/nvme3", "../../../pci3/nvme/nvme3");
    return 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st;
    (void)type;
    (void)at;
    return remove(path);
}

static int remove_tree(void **state)
{
    (void)state;
    return nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static int open_ctrl(const char *name)
{
    struct err err = {0};
    int fd = -1;
    if (!nvme_sysfs_open(root, name, &fd, &err))
        fail_msg("%s", err.msg);
    return fd;
}

static void test_list(void **state)
{
    (void)state;
    static const char *const want[] = {"nvme0", "nvme1", "nvme2", "nvme3", "nvme10"};
    struct nvme_names names = {.count = 99};
    struct err err = {0};
    put_link("class/nvme/nvme-fabrics", "../../devices/virtual/nvme-fabrics");
    put("devices/pci1/nvme/nvme1/cntrltype", "io\n");
    put_ctrl("virtual/nvme-fabrics/ctl", "nvme7", "241:7\n");
    put("devices/virtual/nvme-fabrics/ctl/nvme7/cntrltype", "discovery\n");
    put_ctrl("virtual/nvme-fabrics/ctl", "nvme8", "241:8\n");
    put("devices/virtual/nvme-fabrics/ctl/nvme8/cntrltype", "admin\n");
    put_link("class/nvme/nvme0n1", "../../devices/pci0/nvme/nvme0/nvme1n1");
    assert_true(nvme_sysfs_list(root, &names, &err));
    assert_int_equal(names.count, 5);
    for (size_t i = 0; i < 5; i++)
        assert_string_equal(names.at[i], want[i]);
    assert_true(nvme_sysfs_list("/nowhere", &names, &err)); /* no driver, no drives */
    assert_int_equal(names.count, 0);
}

static void test_open(void **state)
{
    (void)state;
    struct err err = {0};
    dev_t rdev = 0;
    int fd = -1;
    assert_false(nvme_sysfs_open(root, "nvme9", &fd, &err));
    assert_int_equal(err.kind, ERR_MISSING);
    err_clear(&err);
    assert_false(nvme_sysfs_open(root, "../nvme0", &fd, &err));
    assert_int_equal(err.kind, ERR_INPUT);
    err_clear(&err);
    assert_false(nvme_sysfs_open(root, "nvme0n1", &fd, &err));
    assert_int_equal(err.kind, ERR_INPUT);
    err_clear(&err);
    fd = open_ctrl("nvme10");
    assert_true(nvme_sysfs_rdev(fd, &rdev, &err));
    assert_true(rdev == makedev(241, 10));
    put("devices/pci4/nvme/nvme10/dev", "garbage\n");
    assert_false(nvme_sysfs_rdev(fd, &rdev, &err));
    assert_int_equal(err.kind, ERR_MISSING);
    close(fd);
}

static const struct {
    const char *rule, *ctrl;
    uint32_t nsid;
    const char *name;
    unsigned minor;
} nodes[] = {
    {"a namespace is found by its NSID, not by its name", "nvme0", 2, "nvme1n1", 4},
    {"the first name is not namespace 1", "nvme0", 1, "nvme1n2", 5},
    {"the same NSID on another drive is another device", "nvme1", 1, "nvme0n1", 6},
    {"what is not there has no name", "nvme0", 3, "", 0},
    {"a controller without namespaces has none", "nvme10", 1, "", 0},
    {"behind a hidden path is the subsystem's device", "nvme2", 7, "nvme2n1", 7},
    {"through the other controller it is the same", "nvme3", 7, "nvme2n1", 7},
    {"a hidden path alone is not yet a device", "nvme2", 8, "", 0},
    {"what only the other controller has is not this one's", "nvme3", 8, "", 0},
};

static void test_nodes(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(nodes) / sizeof(nodes[0]); i++) {
        struct nvme_sysfs_node got;
        struct err err = {0};
        const int fd = open_ctrl(nodes[i].ctrl);
        if (!nvme_sysfs_node(root, fd, (struct nsid){nodes[i].nsid}, &got, &err))
            fail_msg("%s: %s", nodes[i].rule, err.msg);
        if (strcmp(got.name, nodes[i].name) != 0 || (got.name[0] != '\0' && got.rdev != makedev(259, nodes[i].minor)))
            fail_msg("%s: got '%s' %u:%u, want '%s' 259:%u", nodes[i].rule, got.name, major(got.rdev), minor(got.rdev),
                     nodes[i].name, nodes[i].minor);
        close(fd);
    }
}

static void test_two_claim(void **state)
{
    (void)state;
    struct nvme_sysfs_node got = {.name = "untouched"};
    struct err err = {0};
    put_ns("devices/pci0/nvme/nvme0/nvme1n3", 2, "259:9\n", false, "eui.0009\n");
    int fd = open_ctrl("nvme0");
    assert_false(nvme_sysfs_node(root, fd, (struct nsid){2}, &got, &err));
    assert_int_equal(err.kind, ERR_CONFLICT);
    assert_string_equal(got.name, "untouched");
    close(fd);
    /* In a subsystem the same NSID with another wwid is another (private) namespace. */
    err_clear(&err);
    put_ns("devices/virtual/nvme-subsystem/nvme-subsys2/nvme2n9", 7, "259:10\n", false, "eui.000a\n");
    fd = open_ctrl("nvme2");
    assert_true(nvme_sysfs_node(root, fd, (struct nsid){7}, &got, &err));
    assert_string_equal(got.name, "nvme2n1");
    put_ns("devices/virtual/nvme-subsystem/nvme-subsys2/nvme2n8", 7, "259:11\n", false, "eui.0007\n");
    assert_false(nvme_sysfs_node(root, fd, (struct nsid){7}, &got, &err));
    assert_int_equal(err.kind, ERR_CONFLICT);
    close(fd);
}

/* Two drives change their names; what was opened stays what it was, and its subsystem is found by what it links to. */
static void test_renamed(void **state)
{
    (void)state;
    struct nvme_sysfs_node got;
    struct err err = {0};
    dev_t rdev = 0;
    const int fd = open_ctrl("nvme2");
    move("class/nvme/nvme2", "class/nvme/nvme99");
    move("class/nvme/nvme1", "class/nvme/nvme2");
    move("devices/virtual/nvme-subsystem/nvme-subsys0/nvme1", "devices/virtual/nvme-subsystem/nvme-subsys0/nvme2");
    assert_true(nvme_sysfs_rdev(fd, &rdev, &err));
    assert_true(rdev == makedev(241, 2));
    assert_true(nvme_sysfs_node(root, fd, (struct nsid){7}, &got, &err));
    assert_string_equal(got.name, "nvme2n1");
    /* No subsystem links to it any more: those of other controllers do not count, whatever they show. */
    put_ns("devices/virtual/nvme-subsystem/nvme-subsys0/nvme0n7", 7, "259:12\n", false, "eui.0007\n");
    move("devices/virtual/nvme-subsystem/nvme-subsys2/nvme2", "devices/elsewhere");
    assert_true(nvme_sysfs_node(root, fd, (struct nsid){7}, &got, &err));
    assert_string_equal(got.name, "");
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_list, make_tree, remove_tree),
        cmocka_unit_test_setup_teardown(test_open, make_tree, remove_tree),
        cmocka_unit_test_setup_teardown(test_nodes, make_tree, remove_tree),
        cmocka_unit_test_setup_teardown(test_two_claim, make_tree, remove_tree),
        cmocka_unit_test_setup_teardown(test_renamed, make_tree, remove_tree),
    };
    return cmocka_run_group_tests_name("nvme_sysfs", tests, NULL, NULL);
}
