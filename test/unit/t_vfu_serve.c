/* The sockets of the PCIe front: clients that come, go, send half of it, or too much. */
#include "soft_fixture.h"
#include "softnvme/vfu_msg.h"
#include "softnvme/vfu_serve.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>

static char dir[] = "/tmp/t_vfu_serve.XXXXXX";
static struct soft_shelf shelf;
static struct vfu_serve *serve;

static struct soft_drive *make_drive(const char *serial)
{
    struct soft_profile profile;
    struct err err = {0};
    assert_true(soft_profile_parse("test", BASE, strlen(BASE), &profile, &err));
    return soft_drive_make_mem(&profile, serial, 7);
}

static int up(void **state)
{
    struct err err = {0};
    (void)state;
    memcpy(dir + sizeof(dir) - 7, "XXXXXX", 6);
    assert_non_null(mkdtemp(dir));
    shelf = (struct soft_shelf){.count = 1, .drives = {make_drive("S1")}};
    if (!vfu_serve_open(dir, &shelf, &serve, &err))
        fail_msg("%s", err.msg);
    return 0;
}

static int down(void **state)
{
    (void)state;
    vfu_serve_close(serve);
    assert_int_equal(rmdir(dir), 0); /* the sockets are gone */
    soft_shelf_close(&shelf);
    return 0;
}

/* What the loop does, as long as there is something to do. */
static void turn(void)
{
    struct pollfd fds[VFU_POLLS_MAX];
    for (unsigned i = 0; i < 100; i++) {
        const size_t count = vfu_serve_fds(serve, fds);
        if (poll(fds, count, 0) <= 0)
            break;
        vfu_serve_ticked(serve);
        vfu_serve_step(serve, fds, count);
        vfu_serve_events(serve);
    }
    vfu_serve_events(serve);
}

static int dial(const char *name)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    snprintf(at.sun_path, sizeof(at.sun_path), "%s/%s", dir, name);
    if (connect(fd, (const struct sockaddr *)&at, sizeof(at)) < 0) {
        close(fd);
        return -1;
    }
    turn();
    return fd;
}

static void put(int fd, const void *bytes, size_t len, const int *fds, size_t fd_count)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int) * 32)];
    } control;
    struct iovec at = {.iov_base = memcpy((uint8_t[64]){0}, bytes, len), .iov_len = len};
    struct msghdr header = {.msg_iov = &at, .msg_iovlen = 1};
    if (fd_count > 0) {
        header.msg_control = control.bytes;
        header.msg_controllen = CMSG_SPACE(sizeof(int) * fd_count);
        struct cmsghdr *part = CMSG_FIRSTHDR(&header);
        *part = (struct cmsghdr){
            .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int) * fd_count)};
        memcpy(CMSG_DATA(part), fds, sizeof(int) * fd_count);
    }
    assert_int_equal(sendmsg(fd, &header, MSG_NOSIGNAL), len);
    turn();
}

/* The error of the reply; -1: the connection is over; -2: nothing came. */
static int get(int fd)
{
    uint8_t reply[VFU_REPLY_MAX];
    const ssize_t n = recv(fd, reply, sizeof(reply), 0);
    if (n <= 0)
        return n == 0 || errno != EAGAIN ? -1 : -2;
    assert_int_equal(n, le32_read(reply + 4));
    return (int)le32_read(reply + 12);
}

static const uint8_t *message(uint16_t command, uint32_t size)
{
    static uint8_t bytes[64];
    memset(bytes, 0, sizeof(bytes));
    le16_write(bytes + 2, command);
    le32_write(bytes + 4, size);
    return bytes;
}

static int begin(const char *name)
{
    const int fd = dial(name);
    assert_true(fd >= 0);
    put(fd, message(VFU_VERSION, 20), 20, NULL, 0);
    assert_int_equal(get(fd), 0);
    return fd;
}

static void test_pieces(void **state)
{
    (void)state;
    const int fd = dial("S1.1");
    const uint8_t *bytes = message(VFU_VERSION, 20);
    for (size_t i = 0; i < 20; i++) {
        assert_int_equal(get(fd), -2);
        put(fd, bytes + i, 1, NULL, 0);
    }
    assert_int_equal(get(fd), 0);
    uint8_t two[48];
    memcpy(two, message(VFU_GET_INFO, 32), 32);
    memcpy(two + 32, message(VFU_RESET, 16), 16);
    put(fd, two, sizeof(two), NULL, 0);
    uint8_t replies[64];
    assert_int_equal(recv(fd, replies, sizeof(replies), 0), 32 + 16);
    close(fd);
}

static unsigned open_files(void)
{
    unsigned count = 0;
    for (int fd = 0; fd < 256; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

static void test_descriptors(void **state)
{
    int fds[20];
    (void)state;
    const int memory = memfd_create("guest", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    assert_int_equal(ftruncate(memory, 65536), 0);
    assert_int_equal(fcntl(memory, F_ADD_SEALS, F_SEAL_SHRINK), 0);
    for (size_t i = 0; i < 20; i++)
        fds[i] = memory;
    const unsigned before = open_files();
    int fd = begin("S1.1");
    uint8_t map[48];
    memcpy(map, message(VFU_DMA_MAP, 48), 48);
    le32_write(map + 20, 3);
    le64_write(map + 40, 65536);
    put(fd, map, 48, fds, 1);
    assert_int_equal(get(fd), 0);
    put(fd, map, 48, fds, 1);
    assert_int_equal(get(fd), EEXIST);
    put(fd, map, 48, fds, 2);
    assert_int_equal(get(fd), EINVAL);
    put(fd, message(VFU_GET_INFO, 32), 32, fds, 16); /* nobody wants them */
    assert_int_equal(get(fd), 0);
    put(fd, map, 48, fds, 17);
    assert_int_equal(get(fd), -1);
    close(fd);
    turn();
    fd = begin("S1.1");
    put(fd, map, 20, fds, 16); /* half a message with them, and gone */
    close(fd);
    turn();
    assert_int_equal(open_files(), before); /* not one is left */
    close(memory);
}

static void test_ends(void **state)
{
    (void)state;
    static const struct {
        const char *rule;
        uint16_t command;
        uint32_t size;
    } rows[] = {
        {"a message of no length", VFU_RESET, 0},
        {"a message of 4 GiB", VFU_RESET, UINT32_MAX},
        {"a command that lacks what belongs to it", VFU_DMA_MAP, 16},
        {"a second version", VFU_VERSION, 20},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const int fd = begin("S1.1");
        put(fd, message(rows[i].command, rows[i].size), rows[i].size < 64 && rows[i].size > 16 ? rows[i].size : 16,
            NULL, 0);
        const int got = get(fd);
        if (got != -1)
            fail_msg("%s: got %d, want the end", rows[i].rule, got);
        close(fd);
    }
}

static void test_ports(void **state)
{
    uint8_t reply[256];
    (void)state;
    const int second = begin("S1.2"), first = begin("S1.1");
    const int third = dial("S1.1");
    assert_int_equal(get(third), -1); /* one at a time */
    close(third);
    put(first, message(VFU_GET_INFO, 32), 32, NULL, 0);
    assert_int_equal(get(first), 0); /* and the one that was there goes on */
    close(first);
    turn();
    const int again = begin("S1.1");
    soft_drive_set_present(shelf.drives[0], false);
    uint8_t read[32];
    memcpy(read, message(VFU_REGION_READ, 32), 32);
    le32_write(read + 24, VFU_REGION_CONFIG);
    le32_write(read + 28, 4);
    put(again, read, 32, NULL, 0);
    assert_int_equal(recv(again, reply, sizeof(reply), 0), 36);
    assert_int_equal(le32_read(reply + 32), UINT32_MAX);
    close(again);
    turn();
    const int late = dial("S1.1");
    assert_int_equal(get(late), -1); /* there is nothing in the slot */
    close(late);
    soft_drive_set_present(shelf.drives[0], true);
    close(begin("S1.1"));
    close(second);
}

static void test_new_drive(void **state)
{
    (void)state;
    assert_int_equal(dial("S2.1"), -1);
    shelf.drives[shelf.count++] = make_drive("S2");
    turn();
    close(begin("S2.1"));
    close(begin("S2.2"));
}

static void test_open(void **state)
{
    struct vfu_serve *other;
    struct err err = {0};
    (void)state;
    assert_false(vfu_serve_open(dir, &shelf, &other, &err));
    assert_int_equal(err.kind, ERR_CONFLICT);
    close(begin("S1.1")); /* and the sockets of the first are still there */
    err = (struct err){0};
    assert_false(vfu_serve_open("/nonexistent/dir", &shelf, &other, &err));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, up, down)
    const struct CMUnitTest tests[] = {
        TEST(test_pieces), TEST(test_descriptors), TEST(test_ends),
        TEST(test_ports),  TEST(test_new_drive),   TEST(test_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
