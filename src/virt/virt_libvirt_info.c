/* What this host's hypervisor can do, by trying it. */
#include "virt/virt_libvirt_priv.h"

#include "base/must.h"
#include "base/text.h"

#include <fcntl.h>
#include <libxml/parser.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* ---- running QEMU for a moment -------------------------------------------------------------------------------------
 */

static int wait_for(pid_t pid, int patience_ms)
{
    const int fd = pidfd_open(pid, 0);
    struct pollfd poller = {.fd = fd, .events = POLLIN};
    const bool ended = fd >= 0 && poll(&poller, 1, patience_ms) == 1;
    if (fd >= 0)
        close(fd);
    if (!ended)
        kill(pid, SIGKILL);
    int status;
    if (waitpid(pid, &status, 0) != pid || !ended || !WIFEXITED(status))
        return -1;
    return WEXITSTATUS(status);
}

/* A file in memory with that content, to be read from its start. */
static int memory_file(const char *content)
{
    const int fd = memfd_create("nsmith-probe", MFD_CLOEXEC);
    const size_t len = strlen(content);
    if (fd >= 0 && (write(fd, content, len) != (ssize_t)len || lseek(fd, 0, SEEK_SET) != 0)) {
        close(fd);
        return -1;
    }
    return fd;
}

int lv_run(const char *const argv[], const char *input, int patience_ms)
{
    enum { ARGS_MAX = 40 };
    char *args[ARGS_MAX + 1] = {0};
    size_t count = 0;
    for (; argv[count] != NULL; count++) {
        must(count < ARGS_MAX);
        args[count] = strdup(argv[count]);
        must(args[count] != NULL);
    }
    const int in = memory_file(input);
    posix_spawn_file_actions_t actions;
    must(posix_spawn_file_actions_init(&actions) == 0);
    must(posix_spawn_file_actions_adddup2(&actions, in, 0) == 0);
    must(posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0) == 0);
    must(posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0) == 0);
    posix_spawnattr_t attributes; /* no signal is blocked in it: threads here block some */
    sigset_t none;
    sigemptyset(&none);
    must(posix_spawnattr_init(&attributes) == 0);
    must(posix_spawnattr_setsigmask(&attributes, &none) == 0);
    must(posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK) == 0);
    pid_t pid;
    const bool started = in >= 0 && posix_spawn(&pid, args[0], &actions, &attributes, args, environ) == 0;
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    const int code = started ? wait_for(pid, patience_ms) : -1;
    if (in >= 0)
        close(in);
    for (size_t i = 0; i < count; i++)
        free(args[i]);
    return code;
}

/* ---- io_uring ------------------------------------------------------------------------------------------------------
 */

/* 0: for all, 1: only for a group and CAP_SYS_ADMIN, which a guest's QEMU does not have, 2: for nobody
 * (Documentation/admin-guide/sysctl/kernel.rst of Linux). Kernels before 6.6 have no such file. */
static bool kernel_allows_io_uring(void)
{
    FILE *file = fopen("/proc/sys/kernel/io_uring_disabled", "re");
    if (file == NULL)
        return true;
    const int first = getc(file);
    fclose(file);
    return first == '0';
}

bool lv_probe_io_uring(const char *emulator)
{
    char blockdev[PATH_TEXT_MAX + 80];
    if (!kernel_allows_io_uring() || strchr(emulator, ',') != NULL)
        return false;
    /* Any file will do: QEMU sets the ring up as it opens it. */
    snprintf(blockdev, sizeof(blockdev), "driver=file,node-name=probe,read-only=on,aio=io_uring,filename=%s", emulator);
    const char *const argv[] = {emulator,   "-machine", "none",     "-nodefaults", "-no-user-config",
                                "-display", "none",     "-S",       "-blockdev",   blockdev,
                                "-monitor", "stdio",    "-sandbox", "on",          NULL};
    return lv_run(argv, "quit\n", 5000) == 0;
}

/* ---- the answer ----------------------------------------------------------------------------------------------------
 */

static bool find_emulator(struct lv *lv, char out[PATH_TEXT_MAX], struct err *err)
{
    auto_text char *text = virConnectGetDomainCapabilities(lv->conn, NULL, "x86_64", "q35", NULL, 0);
    if (text == NULL)
        return lv_error(lv, err, "cannot ask libvirt for its QEMU");
    auto_doc xmlDoc *doc = xmlReadMemory(text, (int)strlen(text), NULL, NULL, XML_PARSE_NONET | XML_PARSE_NOERROR);
    must(doc != NULL); /* libvirt's own writing */
    lv_xml_text(doc, "/domainCapabilities/path", out, PATH_TEXT_MAX);
    if (out[0] == '/')
        return true;
    err_set(err, ERR_FAILED, "cannot find QEMU for x86_64: libvirt does not name one");
    return err_hint(err, "install QEMU: apt install qemu-system-x86");
}

/* libvirt's version numbers are 1,000,000 * major + 1,000 * minor + release. */
static bool find_version(struct lv *lv, char *out, size_t size, struct err *err)
{
    unsigned long lib, qemu;
    if (virConnectGetLibVersion(lv->conn, &lib) < 0 || virConnectGetVersion(lv->conn, &qemu) < 0)
        return lv_error(lv, err, "cannot ask libvirt for its version");
    snprintf(out, size, "libvirt %lu.%lu.%lu, QEMU %lu.%lu.%lu", lib / 1000000, lib / 1000 % 1000, lib % 1000,
             qemu / 1000000, qemu / 1000 % 1000, qemu % 1000);
    return true;
}

bool lv_info(void *self, struct virt_info *out, struct err *err)
{
    struct lv *lv = self;
    struct virt_info info = {0};
    if (!lv_connect(lv, err) || !find_emulator(lv, info.emulator, err) ||
        !find_version(lv, info.version, sizeof(info.version), err))
        return false;
    if (!lv->probed) {
        lv->io_uring = lv_probe_io_uring(info.emulator);
        lv->kvm = !lv->force_tcg && lv_probe_kvm(info.emulator);
        lv->probed = true;
    }
    info.io_uring = lv->io_uring && !lv->io_uring_broken;
    info.kvm = lv->kvm;
    *out = info;
    return true;
}
