#include "virt/qemu_process.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static const struct uuid uuid_a = {"aaaaaaaa-5555-4000-8000-000000000001"};
static const struct uuid uuid_b = {"bbbbbbbb-5555-4000-8000-000000000002"};

/* A process with a guest's arguments and these two files open, which does nothing until its input ends. */
struct guest {
    pid_t pid;
    int input; /* the end that keeps it alive */
};

static struct guest guest_start(const char *uuid_option, const struct uuid *uuid)
{
    int pipes[2], ready[2];
    char byte;
    assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
    assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
    const pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        dup2(pipes[0], 0);
        dup2(ready[1], 1);
        execl("/bin/sh", "sh", "-c", "echo; read x", "qemu", uuid_option, uuid->v, "-append", "-uuid", (char *)NULL);
        _exit(127);
    }
    close(pipes[0]);
    close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1); /* the shell runs, so its arguments can be seen */
    close(ready[0]);
    return (struct guest){.pid = pid, .input = pipes[1]};
}

static void guest_end(struct guest *guest)
{
    close(guest->input);
    assert_int_equal(waitpid(guest->pid, NULL, 0), guest->pid);
}

static void look(struct qemu_processes *processes)
{
    struct err err = {0};
    if (!qemu_processes_look(processes, &err))
        fail_msg("%s", err.msg);
}

static void found_by_its_uuid(void **state)
{
    (void)state;
    static struct qemu_processes processes;
    look(&processes);
    assert_null(qemu_process_find(&processes, &uuid_a));
    struct guest a = guest_start("-uuid", &uuid_a), b = guest_start("-uuid", &uuid_b);
    look(&processes);
    assert_int_equal(qemu_process_find(&processes, &uuid_a)->pid, a.pid);
    assert_int_equal(qemu_process_find(&processes, &uuid_b)->pid, b.pid);
    const size_t count = processes.count;
    look(&processes);
    assert_int_equal(processes.count, count); /* none of them twice */
    guest_end(&a);
    look(&processes);
    assert_null(qemu_process_find(&processes, &uuid_a));
    assert_int_equal(qemu_process_find(&processes, &uuid_b)->pid, b.pid);
    guest_end(&b);
    struct guest other = guest_start("-name", &uuid_a); /* the UUID, but not as -uuid */
    look(&processes);
    assert_null(qemu_process_find(&processes, &uuid_a));
    guest_end(&other);
    qemu_processes_release(&processes);
}

static void gone_is_gone(void **state)
{
    (void)state;
    static struct qemu_processes processes;
    struct guest a = guest_start("-uuid", &uuid_a);
    struct err err = {0};
    assert_false(qemu_process_wait_gone(&processes, &uuid_a, 1, &err));
    assert_int_equal(err.kind, ERR_BUSY);
    err_clear(&err);
    /* A stopped process is there. So is one of which /proc shows no arguments any more, but a known one. */
    kill(a.pid, SIGSTOP);
    assert_false(qemu_process_wait_gone(&processes, &uuid_a, 0, &err));
    assert_int_equal(err.kind, ERR_BUSY);
    err_clear(&err);
    kill(a.pid, SIGKILL);
    assert_true(qemu_process_wait_gone(&processes, &uuid_a, 10000, &err)); /* not reaped yet: it holds nothing */
    guest_end(&a);
    assert_true(qemu_process_wait_gone(&processes, &uuid_a, 0, &err));
    qemu_processes_release(&processes);
}

/* ---- what it has open ----------------------------------------------------------------------------------------------
 */

static char dir[] = "/tmp/nsmith-process-XXXXXX";

static void path_of(char out[PATH_TEXT_MAX], const char *name)
{
    snprintf(out, PATH_TEXT_MAX, "%s/%s", dir, name);
}

static int make_dir(void **state)
{
    (void)state;
    return mkdtemp(dir) != NULL ? 0 : -1;
}

static int remove_dir(void **state)
{
    (void)state;
    static const char *const names[] = {"one", "two", "other"};
    for (size_t i = 0; i < 3; i++) {
        char path[PATH_TEXT_MAX];
        path_of(path, names[i]);
        unlink(path);
    }
    return rmdir(dir);
}

static struct domain_disk make_disk(const char *name)
{
    struct domain_disk disk = {.serial = {"ns-1"}};
    struct stat st;
    path_of(disk.path, name);
    const int fd = open(disk.path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &st), 0);
    close(fd);
    disk.dev = st.st_dev;
    disk.ino = st.st_ino;
    return disk;
}

struct opened {
    int flags[2];       /* of "one" and "two"; -1: not open */
    const char *change; /* of what the domain says */
};

static const struct {
    const char *rule;
    struct opened opened;
    enum err_kind expect;
} rows[] = {
    {"both open for reading and writing", {{O_RDWR, O_RDWR}, ""}, ERR_NONE},
    {"the second is not open", {{O_RDWR, -1}, ""}, ERR_UNSAFE},
    {"the first is open only for reading", {{O_RDONLY, O_RDWR}, ""}, ERR_UNSAFE},
    {"the second is open only for writing", {{O_RDWR, O_WRONLY}, ""}, ERR_UNSAFE},
    {"another inode", {{O_RDWR, O_RDWR}, "ino"}, ERR_UNSAFE},
    {"another file system", {{O_RDWR, O_RDWR}, "dev"}, ERR_UNSAFE},
    {"no inode to compare with", {{O_RDWR, O_RDWR}, "none"}, ERR_UNSAFE},
    {"a file where a block device should be", {{O_RDWR, O_RDWR}, "block"}, ERR_UNSAFE},
    {"both open, each behind the other's path", {{O_RDWR, O_RDWR}, "exchange"}, ERR_UNSAFE},
    {"the path leads elsewhere meanwhile", {{O_RDWR, O_RDWR}, "path"}, ERR_UNSAFE},
};

static void change(struct domain *domain, const char *what)
{
    struct domain_disk *disks = domain->disks;
    if (strcmp(what, "ino") == 0)
        disks[1].ino++;
    if (strcmp(what, "dev") == 0)
        disks[1].dev++;
    if (strcmp(what, "none") == 0)
        disks[1].ino = 0;
    if (strcmp(what, "block") == 0)
        disks[1].block_device = true;
    if (strcmp(what, "path") == 0)
        path_of(disks[1].path, "other");
    if (strcmp(what, "exchange") == 0) {
        disks[0].ino = domain->disks[1].ino;
        disks[1].ino = make_disk("one").ino;
    }
}

static void compared_by_device_and_inode(void **state)
{
    (void)state;
    static struct qemu_processes processes;
    make_disk("other");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct domain domain = {.disks = {make_disk("one"), make_disk("two")}, .disk_count = 2};
        int fds[2];
        for (size_t n = 0; n < 2; n++) /* the child inherits them */
            fds[n] = rows[i].opened.flags[n] < 0 ? -1 : open(domain.disks[n].path, rows[i].opened.flags[n]);
        struct guest guest = guest_start("-uuid", &uuid_a);
        change(&domain, rows[i].opened.change);
        look(&processes);
        struct err err = {0};
        qemu_process_check(qemu_process_find(&processes, &uuid_a), &domain, &err);
        if (err.kind != rows[i].expect)
            fail_msg("%s: got %s '%s', want %s", rows[i].rule, err_kind_name(err.kind), err.msg,
                     err_kind_name(rows[i].expect));
        guest_end(&guest);
        for (size_t n = 0; n < 2; n++)
            if (fds[n] >= 0)
                close(fds[n]);
    }
    look(&processes);
    qemu_processes_release(&processes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(found_by_its_uuid),
        cmocka_unit_test(gone_is_gone),
        cmocka_unit_test_setup_teardown(compared_by_device_and_inode, make_dir, remove_dir),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
