/* The real process, driven through the client's port. SOFTNVME names the program (or the first argument does),
 * NSMITH_PROFILES the folder of profiles. */
#include "nvme/nvme_port.h"
#include "nvme/nvme_wire.h"
#include "nvme/soft_link.h"
#include "tree.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum { MIB = 1 << 20, SECOND = 1000 };

static const char *program, *profiles;

struct process {
    char dir[64], socket[80];
    pid_t pid;
    struct nvme_port port;
};

/* Reads from a pipe until `text` was seen; false at its end or after ten seconds. */
static bool wait_for_text(int fd, const char *text)
{
    char got[4096] = "";
    size_t len = 0;
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    while (len < sizeof(got) - 1 && poll(&ready, 1, 10 * SECOND) == 1) {
        const ssize_t n = read(fd, got + len, sizeof(got) - 1 - len);
        if (n <= 0)
            return false;
        len += (size_t)n;
        got[len] = '\0';
        if (strstr(got, text) != NULL)
            return true;
    }
    return false;
}

static void start(struct process *process)
{
    int out[2];
    assert_int_equal(pipe(out), 0);
    process->pid = fork();
    if (process->pid == 0) {
        char media[80];
        dup2(out[1], 1);
        close(out[0]);
        snprintf(media, sizeof(media), "%s/d", process->dir);
        execl(program, program, "--dir", media, "--socket", process->socket, "--profiles", profiles, "--add", "T1=tiny",
              "--add", "S1=tiny-slow", (char *)NULL);
        _exit(127);
    }
    close(out[1]);
    if (!wait_for_text(out[0], "ready"))
        fail_msg("'%s' does not start", program);
    close(out[0]);
}

static void end(struct process *process, int signal)
{
    int status;
    kill(process->pid, signal);
    waitpid(process->pid, &status, 0);
    if (signal == SIGTERM)
        assert_int_equal(status, 0); /* a clean end */
}

static int setup(void **state)
{
    static struct process process;
    struct err err = {0};
    process = (struct process){.dir = "/tmp/t_softnvme.XXXXXX"};
    if (mkdtemp(process.dir) == NULL)
        return 1;
    snprintf(process.socket, sizeof(process.socket), "%s/socket", process.dir);
    start(&process);
    *state = &process;
    return !nvme_softclient_open(process.socket, &process.port, &err);
}

static int teardown(void **state)
{
    struct process *process = *state;
    process->port.close(process->port.self);
    end(process, SIGTERM);
    remove_tree(process->dir);
    return 0;
}

static void no_error(bool ok, const struct err *err)
{
    if (!ok)
        fail_msg("%s", err->msg);
}

static struct nvme_dev *open_dev(struct process *process, const char *serial)
{
    struct err err = {0};
    struct nvme_dev *dev = NULL;
    no_error(process->port.open(process->port.self, serial, &dev, &err), &err);
    return dev;
}

static uint32_t admin(struct nvme_dev *dev, struct nvme_cmd cmd)
{
    struct err err = {0};
    cmd.timeout_ms = cmd.timeout_ms == 0 ? 10 * SECOND : cmd.timeout_ms;
    no_error(dev->ops->admin(dev, &cmd, &err), &err);
    return cmd.result;
}

/* The factory namespace goes, two of 8 MiB come. */
static void cut(struct nvme_dev *dev)
{
    struct nvme_wire_ctrl_list us = {.count = le16_of(1), .cntlid = {le16_of(1)}};
    struct nvme_wire_create page = {.nsze = le64_of(8 * MIB / 512), .ncap = le64_of(8 * MIB / 512)};
    const struct nvme_cmd attach = {.opcode = NVME_OP_NS_ATTACHMENT, .data = &us, .data_len = sizeof(us)};
    struct nvme_cmd cmd = attach;
    cmd.nsid = 1;
    cmd.cdw10 = NVME_NS_DETACH;
    admin(dev, cmd);
    admin(dev, (struct nvme_cmd){.opcode = NVME_OP_NS_MANAGEMENT, .nsid = 1, .cdw10 = NVME_NS_DELETE});
    for (uint32_t nsid = 1; nsid <= 2; nsid++) {
        assert_int_equal(
            admin(dev, (struct nvme_cmd){.opcode = NVME_OP_NS_MANAGEMENT, .data = &page, .data_len = sizeof(page)}),
            nsid);
        cmd = attach;
        cmd.nsid = nsid;
        admin(dev, cmd);
    }
}

static struct nvme_cmd format(uint32_t nsid)
{
    return (struct nvme_cmd){.opcode = NVME_OP_FORMAT,
                             .nsid = nsid,
                             .cdw10 = nvme_format_cdw10(0, NVME_SES_USER_DATA),
                             .timeout_ms = 60 * SECOND};
}

static uint8_t fpi(struct nvme_dev *dev, uint32_t nsid)
{
    struct nvme_wire_ns page;
    admin(dev, (struct nvme_cmd){.opcode = NVME_OP_IDENTIFY, .nsid = nsid, .data = &page, .data_len = sizeof(page)});
    return page.fpi & NVME_FPI_REMAINING;
}

static struct nvme_ns *open_ns(struct nvme_dev *dev, uint32_t nsid, bool exclusive)
{
    struct err err = {0};
    struct nvme_ns *ns = NULL;
    no_error(dev->ops->ns_open(dev, (struct nsid){nsid}, exclusive, &ns, &err), &err);
    return ns;
}

static void refuse_ns(struct nvme_dev *dev, uint32_t nsid, bool exclusive, enum err_kind kind)
{
    struct err err = {0};
    struct nvme_ns *ns = NULL;
    assert_false(dev->ops->ns_open(dev, (struct nsid){nsid}, exclusive, &ns, &err));
    if (err.kind != kind)
        fail_msg("got %s (%s), want %s", err_kind_name(err.kind), err.msg, err_kind_name(kind));
}

static void plant(struct nvme_dev *dev, uint32_t nsid)
{
    struct err err = {0};
    uint8_t page[65536];
    memset(page, 0xa5, sizeof(page));
    struct nvme_ns *ns = open_ns(dev, nsid, true);
    for (unsigned i = 0; i < 64; i++)
        no_error(ns->ops->write(ns, i * 256, 128, page, &err), &err);
    no_error(ns->ops->flush(ns, &err), &err);
    nvme_ns_close(ns);
}

static unsigned found(struct nvme_dev *dev, uint32_t nsid)
{
    struct err err = {0};
    uint8_t page[512];
    unsigned count = 0;
    struct nvme_ns *ns = open_ns(dev, nsid, false);
    for (unsigned i = 0; i < 64; i++) {
        no_error(ns->ops->read(ns, i * 256 + 5, 1, page, &err), &err);
        count += page[0] == 0xa5 && page[511] == 0xa5;
    }
    nvme_ns_close(ns);
    return count;
}

static bool control(struct process *process, const char *line, char *text, size_t size, struct err *err)
{
    struct soft_link link;
    const struct soft_body body = {.a = line, .a_len = strlen(line)};
    uint8_t *answer;
    size_t len;
    if (!soft_link_open(process->socket, &link, err))
        return false;
    const bool ok = soft_link_call(&link, SOFT_WIRE_CONTROL, &body, 10 * SECOND, &answer, &len, err);
    soft_link_close(&link);
    if (ok) {
        snprintf(text, size, "%s", (const char *)answer);
        free(answer);
    }
    return ok;
}

static void tell(struct process *process, const char *line)
{
    char text[8192];
    struct err err = {0};
    no_error(control(process, line, text, sizeof(text), &err), &err);
}

/* --- Tests ------------------------------------------------------------------------------------------------------- */

static void test_drives_are_listed_and_read(void **state)
{
    struct process *process = *state;
    struct nvme_names names;
    struct err err = {0};
    no_error(process->port.list(process->port.self, &names, &err), &err);
    assert_int_equal(names.count, 2);
    assert_string_equal(names.at[0], "T1");
    struct nvme_dev *dev = NULL;
    assert_false(process->port.open(process->port.self, "T9", &dev, &err));
    assert_int_equal(err.kind, ERR_MISSING);
    dev = open_dev(process, "T1");
    cut(dev);
    plant(dev, 1);
    assert_int_equal(found(dev, 1), 64);
    assert_int_equal(found(dev, 2), 0);
    admin(dev, format(1));
    assert_int_equal(found(dev, 1), 0);
    nvme_dev_close(dev);
}

static void test_status_and_safety(void **state)
{
    struct err err = {0};
    struct nvme_dev *dev = open_dev(*state, "T1");
    struct nvme_cmd cmd = {.opcode = NVME_OP_NS_MANAGEMENT, .nsid = 1, .cdw10 = NVME_NS_DELETE, .timeout_ms = SECOND};
    assert_false(dev->ops->admin(dev, &cmd, &err)); /* attached */
    assert_int_equal(err.nvme, NVME_ST_SEQUENCE);
    err_clear(&err);
    cmd.nsid = NVME_NSID_ALL;
    assert_false(dev->ops->admin(dev, &cmd, &err));
    assert_int_equal(err.kind, ERR_UNSAFE);
    nvme_dev_close(dev);
}

static void test_paths(void **state)
{
    struct err err = {0};
    char path[PATH_TEXT_MAX];
    struct stat st;
    struct nvme_node node;
    struct nvme_dev *dev = open_dev(*state, "T1");
    cut(dev);
    no_error(dev->ops->ns_path(dev, (struct nsid){2}, path, &err), &err);
    struct nvme_ns *ns = open_ns(dev, 2, true);
    ns->ops->node(ns, &node);
    assert_string_equal(node.path, path);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(node.ino, st.st_ino);
    assert_int_equal(node.size_bytes, 8 * MIB);
    assert_int_equal(path[0], '/');
    nvme_ns_close(ns);
    no_error(dev->ops->ns_path(dev, (struct nsid){3}, path, &err), &err);
    assert_string_equal(path, "");
    refuse_ns(dev, 3, false, ERR_MISSING);
    nvme_dev_close(dev);
}

static void test_unaligned_memory(void **state)
{
    struct err err = {0};
    uint8_t out[513], in[513];
    struct nvme_dev *dev = open_dev(*state, "T1");
    struct nvme_ns *ns = open_ns(dev, 1, true);
    memset(out, 0x77, sizeof(out));
    no_error(ns->ops->write(ns, ns->size_blocks - 1, 1, out + 1, &err), &err);
    no_error(ns->ops->drop_cache(ns, &err), &err);
    no_error(ns->ops->read(ns, ns->size_blocks - 1, 1, in + 1, &err), &err);
    assert_memory_equal(out + 1, in + 1, 512);
    assert_false(ns->ops->read(ns, ns->size_blocks, 1, in + 1, &err));
    assert_int_equal(err.nvme, NVME_ST_LBA_RANGE);
    nvme_ns_close(ns);
    nvme_dev_close(dev);
}

static void test_exclusive(void **state)
{
    struct nvme_dev *dev = open_dev(*state, "T1");
    struct nvme_ns *ns = open_ns(dev, 1, true);
    refuse_ns(dev, 1, true, ERR_BUSY);
    refuse_ns(dev, 1, false, ERR_BUSY); /* as QEMU's: nobody else at all */
    nvme_ns_close(ns);
    ns = open_ns(dev, 1, false);
    struct nvme_ns *second = open_ns(dev, 1, false);
    refuse_ns(dev, 1, true, ERR_BUSY);
    nvme_ns_close(second);
    nvme_ns_close(ns);
    nvme_ns_close(open_ns(dev, 1, true));
    nvme_dev_close(dev);
}

/* Waits, by asking, until the format of namespace 1 is under way (or over). */
static void wait_running(struct nvme_dev *dev, bool running)
{
    const time_t begin = time(NULL);
    while ((fpi(dev, 1) != 0) != running)
        if (time(NULL) - begin > 20)
            fail_msg("the format does not %s", running ? "begin" : "end");
}

static void send_format_in_child(struct process *process, pid_t *pid_out)
{
    *pid_out = fork();
    if (*pid_out == 0) {
        struct err err = {0};
        struct nvme_dev *dev = NULL;
        struct nvme_cmd cmd = format(1);
        if (process->port.open(process->port.self, "S1", &dev, &err))
            dev->ops->admin(dev, &cmd, &err);
        _exit(0);
    }
}

static void test_a_format_goes_on_when_its_sender_is_killed(void **state)
{
    struct process *process = *state;
    pid_t child;
    struct nvme_dev *dev = open_dev(process, "S1");
    cut(dev);
    plant(dev, 1);
    plant(dev, 2);
    send_format_in_child(process, &child);
    wait_running(dev, true); /* another connection sees the progress meanwhile */
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    assert_int_equal(found(dev, 1), 64);
    wait_running(dev, false);
    assert_int_equal(found(dev, 1), 0);
    assert_int_equal(found(dev, 2), 64);
    nvme_dev_close(dev);
}

static void test_state_survives_sigkill(void **state)
{
    struct process *process = *state;
    struct err err = {0};
    struct nvme_dev *dev = open_dev(process, "T1");
    cut(dev);
    plant(dev, 1);
    end(process, SIGKILL);
    struct nvme_cmd cmd = format(1);
    assert_false(dev->ops->admin(dev, &cmd, &err)); /* nobody knows whether it was done */
    assert_int_equal(err.kind, ERR_BUSY);
    assert_int_equal(err.sys, ETIMEDOUT);
    nvme_dev_close(dev);
    start(process); /* its socket file was left over */
    dev = open_dev(process, "T1");
    assert_int_equal(found(dev, 1), 64);
    assert_int_equal(found(dev, 2), 0);
    nvme_dev_close(dev);
}

static void test_a_format_that_sigkill_interrupts_is_half_done(void **state)
{
    struct process *process = *state;
    pid_t child;
    struct nvme_dev *dev = open_dev(process, "S1");
    cut(dev);
    plant(dev, 1);
    plant(dev, 2);
    send_format_in_child(process, &child);
    wait_running(dev, true);
    end(process, SIGKILL);
    waitpid(child, NULL, 0);
    nvme_dev_close(dev);
    start(process);
    dev = open_dev(process, "S1");
    const unsigned left = found(dev, 1);
    if (left == 0 || left == 64)
        fail_msg("%u of 64 are left", left);
    assert_int_equal(found(dev, 2), 64);
    admin(dev, format(1));
    assert_int_equal(found(dev, 1), 0);
    nvme_dev_close(dev);
}

static void test_timeouts(void **state)
{
    struct process *process = *state;
    struct err err = {0};
    struct nvme_dev *dev = open_dev(process, "T1");
    plant(dev, 1);
    tell(process, "fault T1 format kind=timeout-done");
    struct nvme_cmd cmd = format(1);
    cmd.timeout_ms = 200;
    assert_false(dev->ops->admin(dev, &cmd, &err));
    assert_int_equal(err.kind, ERR_BUSY);
    assert_int_equal(err.sys, ETIMEDOUT);
    err_clear(&err);
    assert_false(dev->ops->admin(dev, &cmd, &err)); /* this descriptor is spent */
    assert_int_equal(err.kind, ERR_MISSING);
    nvme_dev_close(dev);
    dev = open_dev(process, "T1");
    assert_int_equal(found(dev, 1), 0);
    nvme_dev_close(dev);
}

static void test_control(void **state)
{
    struct process *process = *state;
    char text[8192];
    struct err err = {0};
    struct nvme_names names;
    struct nvme_dev *dev = open_dev(process, "T1");
    plant(dev, 1);
    tell(process, "fault T1 format nth=1 kind=lie");
    admin(dev, format(1));
    assert_int_equal(found(dev, 1), 64);
    no_error(control(process, "log T1", text, sizeof(text), &err), &err);
    assert_non_null(strstr(text, "format  nsid=1 cdw10=0x200"));
    tell(process, "add N1 tiny-format");
    tell(process, "add N1 tiny-format"); /* again: fine */
    assert_false(control(process, "add N1 tiny", text, sizeof(text), &err));
    assert_int_equal(err.kind, ERR_CONFLICT);
    err_clear(&err);
    assert_false(control(process, "restor T1", text, sizeof(text), &err));
    assert_int_equal(err.kind, ERR_INPUT);
    assert_non_null(strstr(err.hint, "'restore'"));
    err_clear(&err);

    tell(process, "remove T1"); /* while it is open */
    struct nvme_cmd cmd = format(1);
    assert_false(dev->ops->admin(dev, &cmd, &err));
    assert_int_equal(err.kind, ERR_MISSING);
    err_clear(&err);
    no_error(process->port.list(process->port.self, &names, &err), &err);
    assert_int_equal(names.count, 2);
    assert_string_equal(names.at[0], "S1");
    tell(process, "restore T1");
    assert_false(dev->ops->admin(dev, &cmd, &err)); /* another device by now */
    err_clear(&err);
    nvme_dev_close(dev);
    dev = open_dev(process, "T1");
    admin(dev, format(1));
    nvme_dev_close(dev);
}

static void test_bad_frames(void **state)
{
    struct process *process = *state;
    static const struct {
        const char *rule;
        uint8_t bytes[64];
        size_t len;
    } rows[] = {
        {"another version", {9, 1}, 8},
        {"an unknown kind", {1, 50}, 8},
        {"a body that is too long", {1, 1, 0, 0, 0xff, 0xff, 0xff, 0xff}, 8},
        {"a command without a drive", {1, 3, 0, 0, 40}, 48},
        {"a command that is cut", {1, 3, 0, 0, 4}, 12},
        {"a head that is cut", {1}, 1},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct soft_link link;
        struct err err = {0};
        uint8_t back[sizeof(struct soft_wire_head)];
        no_error(soft_link_open(process->socket, &link, &err), &err);
        assert_int_equal(send(link.fd, rows[i].bytes, rows[i].len, MSG_NOSIGNAL), rows[i].len);
        if (rows[i].len >= 8) {
            assert_int_equal(recv(link.fd, back, sizeof(back), MSG_WAITALL), sizeof(back));
            if (back[1] != SOFT_WIRE_ERROR)
                fail_msg("%s: answered with %u", rows[i].rule, back[1]);
        }
        soft_link_close(&link);
    }
    nvme_dev_close(open_dev(process, "T1")); /* it lives */
}

static void test_nobody_there(void **state)
{
    (void)state;
    struct nvme_port port;
    struct nvme_names names;
    struct err err = {0};
    no_error(nvme_softclient_open("/tmp/t_softnvme.none/socket", &port, &err), &err);
    assert_false(port.list(port.self, &names, &err));
    assert_non_null(strstr(err.hint, "nsmith-softnvme"));
    port.close(port.self);
}

/* --- QEMU -------------------------------------------------------------------------------------------------------- */

/* qemu-io with the image open for writing, waiting for commands; its answer to the first one on *out. */
static pid_t start_qemu_io(const char *path, int *in, int *out)
{
    int to[2], from[2];
    assert_int_equal(pipe2(to, O_CLOEXEC), 0);
    assert_int_equal(pipe2(from, O_CLOEXEC), 0);
    const pid_t pid = fork();
    if (pid == 0) {
        dup2(to[0], 0);
        dup2(from[1], 1);
        dup2(from[1], 2);
        execlp("qemu-io", "qemu-io", "-f", "raw", path, (char *)NULL);
        _exit(127);
    }
    close(to[0]);
    close(from[1]);
    *in = to[1];
    *out = from[0];
    assert_int_equal(write(*in, "read 0 4096\n", 12), 12);
    return pid;
}

static void test_qemu_and_we_shut_each_other_out(void **state)
{
    struct err err = {0};
    char path[PATH_TEXT_MAX];
    int in, out, status;
    struct nvme_dev *dev = open_dev(*state, "T1");
    no_error(dev->ops->ns_path(dev, (struct nsid){1}, path, &err), &err);
    pid_t pid = start_qemu_io(path, &in, &out);
    if (!wait_for_text(out, "read 4096/4096")) {
        waitpid(pid, &status, 0);
        if (WIFEXITED(status) && WEXITSTATUS(status) == 127) /* not installed */
            skip();
        fail_msg("qemu-io cannot read '%s'", path);
    }
    refuse_ns(dev, 1, true, ERR_BUSY);
    nvme_ns_close(open_ns(dev, 1, false));
    close(in);
    waitpid(pid, &status, 0);
    close(out);
    struct nvme_ns *ns = open_ns(dev, 1, true);
    pid = start_qemu_io(path, &in, &out);
    assert_true(wait_for_text(out, "lock"));
    close(in);
    waitpid(pid, &status, 0);
    assert_int_not_equal(status, 0);
    close(out);
    nvme_ns_close(ns);
    nvme_dev_close(dev);
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        WITH(test_drives_are_listed_and_read),
        WITH(test_status_and_safety),
        WITH(test_paths),
        WITH(test_unaligned_memory),
        WITH(test_exclusive),
        WITH(test_a_format_goes_on_when_its_sender_is_killed),
        WITH(test_state_survives_sigkill),
        WITH(test_a_format_that_sigkill_interrupts_is_half_done),
        WITH(test_timeouts),
        WITH(test_control),
        WITH(test_bad_frames),
        WITH(test_qemu_and_we_shut_each_other_out),
        cmocka_unit_test(test_nobody_there),
    };
    program = argc > 1 ? argv[1] : getenv("SOFTNVME");
    profiles = getenv("NSMITH_PROFILES");
    profiles = profiles == NULL ? "share/profiles" : profiles;
    if (program == NULL) {
        fputs("t_softnvme: give the program nsmith-softnvme as argument or in SOFTNVME\n", stderr);
        return 77; /* skipped, for meson */
    }
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests_name("softnvme", tests, NULL, NULL);
}
