/* vm console: the pseudo terminal that the hypervisor gave the guest's serial port, or the log of what came out. */
#include "base/must.h"
#include "base/text.h"
#include "cli/cli_http.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

enum { KEY_LEAVE = 0x1d }; /* Ctrl-] */

static bool write_all(int fd, const char *data, size_t len)
{
    while (len > 0) {
        const ssize_t done = write(fd, data, len);
        if (done < 0 && errno != EINTR && errno != EAGAIN)
            return false;
        if (done > 0) {
            data += done;
            len -= (size_t)done;
        }
    }
    return true;
}

/* A path means something only on the VM's host: another host may have such a file too, of somebody else. */
static bool check_host(const struct cli *cli, const char *host, struct err *err)
{
    char here[256] = "";
    if (cli_has(cli, OPT_HOST))
        text_cut(here, sizeof(here), cli->opts[OPT_HOST]);
    else
        must(gethostname(here, sizeof(here) - 1) == 0);
    if (strcmp(here, host) == 0)
        return true;
    err_set(err, ERR_CONFLICT, "cannot open the console of VM '%s': it is on host '%s', this is '%s'", cli->args[0],
            host, here);
    return err_hint(err, "run this there; if this is that host under another name, add --host %s", host);
}

static bool copy_log(const struct cli *cli, const char *path, struct err *err)
{
    char data[16384];
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_sys(err, errno, "cannot read the console log '%s' of VM '%s'", path, cli->args[0]);
    ssize_t len = read(fd, data, sizeof(data));
    while (len > 0 && write_all(STDOUT_FILENO, data, (size_t)len))
        len = read(fd, data, sizeof(data));
    close(fd);
    return true;
}

/* Until Ctrl-], or one of the two ends. */
static void relay(int console)
{
    char data[4096];
    struct pollfd fds[] = {{.fd = STDIN_FILENO, .events = POLLIN}, {.fd = console, .events = POLLIN}};
    for (;;) {
        if (poll(fds, 2, -1) < 0 && errno != EINTR)
            return;
        if (fds[1].revents != 0) {
            const ssize_t len = read(console, data, sizeof(data));
            if (len == 0 || (len < 0 && errno != EINTR && errno != EAGAIN) ||
                (len > 0 && !write_all(STDOUT_FILENO, data, (size_t)len)))
                return;
        }
        if (fds[0].revents != 0) {
            const ssize_t len = read(STDIN_FILENO, data, sizeof(data));
            if (len == 0)
                fds[0].fd = -1; /* nothing more to say; go on listening */
            const char *leave = len > 0 ? memchr(data, KEY_LEAVE, (size_t)len) : NULL;
            if (len > 0 &&
                (!write_all(console, data, leave != NULL ? (size_t)(leave - data) : (size_t)len) || leave != NULL))
                return;
        }
    }
}

static bool attach(const struct cli *cli, const char *path, struct err *err)
{
    struct termios before;
    const int console = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (console < 0) {
        err_sys(err, errno, "cannot open the console '%s' of VM '%s'", path, cli->args[0]);
        return err_hint(err, "see what it said so far: nsmith vm console %s --log", cli->args[0]);
    }
    if (!isatty(console)) {
        close(console);
        return err_set(err, ERR_CONFLICT, "cannot open the console '%s' of VM '%s': it is no terminal", path,
                       cli->args[0]);
    }
    const bool raw = tcgetattr(STDIN_FILENO, &before) == 0;
    if (raw) {
        struct termios now = before;
        cfmakeraw(&now);
        fprintf(stderr, "Console of VM %s; Ctrl-] leaves it\n", cli->args[0]);
        tcsetattr(STDIN_FILENO, TCSANOW, &now);
    }
    relay(console);
    if (raw)
        tcsetattr(STDIN_FILENO, TCSANOW, &before);
    fputc('\n', stderr);
    close(console);
    return true;
}

bool cmd_vm_console(struct cli *cli, struct err *err)
{
    auto_json *vm = NULL;
    struct url url = url_make("/v1/vms");
    const bool log = cli_has(cli, OPT_LOG);
    if (!cli_get(cli, url_part(&url, cli->args[0]), &vm, err) || !check_host(cli, cli_text(vm, "host"), err))
        return false;
    const char *path = cli_text(vm, log ? "console_log" : "console");
    if (path[0] == '\0') {
        err_set(err, ERR_CONFLICT, "cannot open the console of VM '%s': it has none while it is %s", cli->args[0],
                cli_text(vm, "power"));
        return err_hint(
            err, log ? "start it: nsmith vm start %s" : "start it, or see what it said: nsmith vm console %s --log",
            cli->args[0]);
    }
    return log ? copy_log(cli, path, err) : attach(cli, path, err);
}
