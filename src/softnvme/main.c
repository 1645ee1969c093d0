/* nsmith-softnvme - software drives as a process of their own: a command goes on when whoever sent it dies.
 *
 * One loop, no threads: read frames, let soft_serve.c answer them, move the drives' clocks. A slow command is a
 * deadline; its connection waits, the others go on. State is durable before each answer, so the process may be killed
 * at any time; a format that was under way is then interrupted, as by a power cut. */
#include "base/must.h"
#include "base/stdfd.h"
#include "base/text.h"
#include "nvme/soft_fwimage.h"
#include "nvme/soft_link.h"
#include "nvme/soft_serve.h"
#include "softnvme/listen.h"
#include "softnvme/tcp_serve.h"
#include "softnvme/vfu_serve.h"

#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#ifndef NSMITH_PROFILES
#define NSMITH_PROFILES "/usr/share/nsmith/profiles"
#endif

enum { CONNS_MAX = 128, FRAME_MAX = (int)sizeof(struct soft_wire_head) + SOFT_WIRE_BODY_MAX };

struct conn {
    int fd;
    uint8_t *in; /* owned, FRAME_MAX bytes */
    size_t in_len;
    uint8_t *out; /* owned, the answer on its way; NULL: none */
    size_t out_len, out_at;
    struct soft_session session;
    bool is_mute; /* waits for a completion that never comes */
    bool ends;    /* after this answer */
};

struct server {
    struct soft_shelf shelf;
    int listen_fd, signal_fd;
    struct tcp_serve *tcp; /* owned; NULL: without NVMe/TCP */
    struct vfu_serve *vfu; /* owned; NULL: without vfio-user */
    struct conn *conns[CONNS_MAX];
    size_t count;
};

static const char usage[] =
    "usage: nsmith-softnvme --dir DIR --socket PATH [--tcp ADDRESS:PORT] [--vfio-user DIR]\n"
    "                       [--profiles DIR] [--add SERIAL=PROFILE]...\n"
    "       nsmith-softnvme --ctl PATH COMMAND...\n"
    "       nsmith-softnvme --make-firmware REVISION FILE [WORD]...\n"
    "Software NVMe drives over files, for tests, demonstrations and training.\n"
    "  --dir DIR             folder of the drives, one folder each; made when missing\n"
    "  --socket PATH         unix socket to listen on\n"
    "  --tcp ADDRESS:PORT    serve NVMe/TCP there, for 'nvme discover' and 'nvme connect'; it knows no passwords, so\n"
    "                        everybody who reaches the address has the drives\n"
    "  --vfio-user DIR       serve PCIe there, for QEMU's vfio-user-pci: sockets SERIAL.1 and SERIAL.2, the two\n"
    "                        controllers of each drive; the guest's memory: memory-backend-memfd, share=on\n"
    "  --add SERIAL=PROFILE  a drive, made when it is not there yet\n"
    "  --profiles DIR        folder of *.conf (default " NSMITH_PROFILES ")\n"
    "  --ctl PATH COMMAND    tells a running one something; 'nsmith-softnvme --ctl PATH help' lists the commands\n"
    "  --make-firmware REVISION FILE [WORD]...\n"
    "                        writes a firmware image for these drives, of a revision of at most 8 characters, with\n"
    "                        WORDs: ns-management (adds it), needs-reset, slow (not without a reset), prohibited\n";

static int fail(const struct err *err)
{
    fprintf(stderr, "nsmith-softnvme: %s\n", err->msg);
    if (err->hint[0] != '\0')
        fprintf(stderr, "  hint: %s\n", err->hint);
    return err_kind_exit(err->kind);
}

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* --- Connections ------------------------------------------------------------------------------------------------- */

static void drop(struct server *server, size_t index)
{
    struct conn *conn = server->conns[index];
    close(conn->fd);
    free(conn->in);
    free(conn->out);
    free(conn);
    server->conns[index] = server->conns[--server->count];
}

static void take_connection(struct server *server)
{
    const int fd = accept4(server->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return;
    if (server->count == CONNS_MAX) {
        close(fd);
        return;
    }
    struct conn *conn = calloc(1, sizeof(*conn));
    must(conn != NULL);
    conn->fd = fd;
    conn->in = malloc(FRAME_MAX);
    must(conn->in != NULL);
    server->conns[server->count++] = conn;
}

static void answer(struct conn *conn, enum soft_reply when, uint8_t *reply)
{
    conn->is_mute = when == SOFT_REPLY_NEVER;
    if (when != SOFT_REPLY_NOW)
        return;
    must(conn->out == NULL);
    conn->out = reply;
    conn->out_at = 0;
    conn->out_len = sizeof(struct soft_wire_head) + le32_read(reply + offsetof(struct soft_wire_head, len));
}

static bool is_ready_for_more(const struct conn *conn)
{
    return conn->out == NULL && conn->session.ticket == 0 && !conn->is_mute;
}

/* At most one frame; more of them wait until its answer is sent. */
static void serve_frame(struct server *server, struct conn *conn)
{
    struct soft_wire_head head;
    struct err err = {0};
    uint8_t *reply;
    if (!is_ready_for_more(conn) || conn->in_len < sizeof(head))
        return;
    memcpy(&head, conn->in, sizeof(head));
    const size_t len = le32_get(head.len);
    if (head.version != SOFT_WIRE_VERSION || len > SOFT_WIRE_BODY_MAX) {
        err_set(&err, ERR_INPUT, "cannot serve the request: it is of version %u, here is version %d", head.version,
                SOFT_WIRE_VERSION);
        conn->ends = true;
        answer(conn, SOFT_REPLY_NOW, soft_serve_error(&err));
        return;
    }
    if (conn->in_len < sizeof(head) + len)
        return;
    const enum soft_reply when = soft_serve(&server->shelf, &conn->session, conn->in, &reply);
    answer(conn, when, reply);
    conn->in_len -= sizeof(head) + len;
    memmove(conn->in, conn->in + sizeof(head) + len, conn->in_len);
}

/* false: the connection is over. */
static bool receive(struct conn *conn)
{
    if (conn->is_mute) /* nobody will read it */
        conn->in_len = 0;
    if (conn->in_len == FRAME_MAX)
        return false;
    const ssize_t n = recv(conn->fd, conn->in + conn->in_len, FRAME_MAX - conn->in_len, 0);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR;
    conn->in_len += (size_t)n;
    return n > 0;
}

static bool transmit(struct conn *conn)
{
    const ssize_t n = send(conn->fd, conn->out + conn->out_at, conn->out_len - conn->out_at, MSG_NOSIGNAL);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR;
    conn->out_at += (size_t)n;
    if (conn->out_at < conn->out_len)
        return true;
    free(conn->out);
    conn->out = NULL;
    return !conn->ends;
}

/* --- The loop ---------------------------------------------------------------------------------------------------- */

/* Whoever waits is told before anything new begins. */
static void move_clocks(struct server *server)
{
    const uint64_t now = now_ms();
    for (size_t i = 0; i < server->shelf.count; i++)
        soft_drive_tick(server->shelf.drives[i], now);
    for (size_t i = 0; i < server->count; i++) {
        struct conn *conn = server->conns[i];
        uint8_t *reply = NULL;
        if (conn->session.ticket == 0)
            continue;
        const enum soft_reply when = soft_serve_poll(&conn->session, &reply);
        if (when != SOFT_REPLY_LATER)
            answer(conn, when, reply);
    }
    if (server->tcp != NULL)
        tcp_serve_ticked(server->tcp);
    if (server->vfu != NULL)
        vfu_serve_ticked(server->vfu);
}

static int wait_ms(const struct server *server)
{
    const uint64_t now = now_ms();
    uint64_t due = server->tcp == NULL ? UINT64_MAX : tcp_serve_due_ms(server->tcp);
    for (size_t i = 0; i < server->shelf.count; i++) {
        const uint64_t one = soft_drive_due_ms(server->shelf.drives[i]);
        due = one < due ? one : due;
    }
    if (due == UINT64_MAX)
        return -1;
    return due <= now ? 0 : due - now > 60000 ? 60000 : (int)(due - now);
}

/* false: the connection is over. */
static bool serve_conn(struct server *server, struct conn *conn, short events)
{
    if (events & POLLIN && !receive(conn))
        return false;
    if (events & (POLLERR | POLLHUP | POLLNVAL) && !(events & POLLIN))
        return false;
    for (;;) { /* what came in one piece may be more than one frame */
        const size_t before = conn->in_len;
        serve_frame(server, conn);
        if (conn->out != NULL && !transmit(conn))
            return false;
        if (conn->in_len == before || conn->out != NULL)
            return true;
    }
}

static bool step(struct server *server)
{
    struct pollfd fds[CONNS_MAX + 2 + TCP_FDS_MAX + VFU_POLLS_MAX] = {{.fd = server->signal_fd, .events = POLLIN},
                                                                      {.fd = server->listen_fd, .events = POLLIN}};
    const size_t count = server->count;
    for (size_t i = 0; i < count; i++) {
        const struct conn *conn = server->conns[i];
        const bool reads = is_ready_for_more(conn) || conn->is_mute;
        fds[i + 2] = (struct pollfd){.fd = conn->fd, .events = conn->out != NULL ? POLLOUT : reads ? POLLIN : 0};
    }
    struct pollfd *tcp_fds = fds + 2 + count;
    const size_t tcp_count = server->tcp == NULL ? 0 : tcp_serve_fds(server->tcp, tcp_fds);
    struct pollfd *vfu_fds = tcp_fds + tcp_count;
    const size_t vfu_count = server->vfu == NULL ? 0 : vfu_serve_fds(server->vfu, vfu_fds);
    if (poll(fds, count + 2 + tcp_count + vfu_count, wait_ms(server)) < 0 && errno != EINTR)
        return false;
    move_clocks(server);
    for (size_t i = count; i-- > 0;) /* backwards: drop() moves the last one into the place */
        if ((fds[i + 2].revents != 0 || server->conns[i]->out != NULL || server->conns[i]->in_len > 0) &&
            !serve_conn(server, server->conns[i], fds[i + 2].revents))
            drop(server, i);
    if (fds[1].revents & POLLIN)
        take_connection(server);
    if (server->tcp != NULL)
        tcp_serve_step(server->tcp, tcp_fds, tcp_count, now_ms());
    if (server->vfu != NULL)
        vfu_serve_step(server->vfu, vfu_fds, vfu_count);
    if (server->tcp != NULL)
        tcp_serve_events(server->tcp, now_ms());
    if (server->vfu != NULL)
        vfu_serve_events(server->vfu);
    return !(fds[0].revents & POLLIN);
}

/* --- Start and end ----------------------------------------------------------------------------------------------- */

static int catch_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_BLOCK, &set, NULL);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

struct options {
    const char *dir, *socket, *tcp, *vfu, *profiles, *ctl, *firmware;
    const char *adds[SOFT_DRIVES_MAX];
    size_t add_count;
};

static bool add_drives(struct soft_shelf *shelf, const struct options *options, struct err *err)
{
    for (size_t i = 0; i < options->add_count; i++) {
        char serial[32];
        const char *equals = strchr(options->adds[i], '=');
        if (equals == NULL || equals - options->adds[i] >= (ptrdiff_t)sizeof(serial))
            return err_set(err, ERR_INPUT, "cannot add '%s': it is not of the form SERIAL=PROFILE", options->adds[i]);
        snprintf(serial, sizeof(serial), "%.*s", (int)(equals - options->adds[i]), options->adds[i]);
        if (!soft_shelf_add(shelf, serial, equals + 1, err))
            return false;
    }
    return true;
}

static bool open_fronts(struct server *server, const struct options *options, struct err *err)
{
    return (options->tcp == NULL || tcp_serve_open(options->tcp, &server->shelf, &server->tcp, err)) &&
           (options->vfu == NULL || vfu_serve_open(options->vfu, &server->shelf, &server->vfu, err)) &&
           listen_unix(options->socket, "--socket", &server->listen_fd, err);
}

static int serve(const struct options *options)
{
    struct server server = {.listen_fd = -1};
    struct err err = {0};
    if (!soft_shelf_open(options->dir, options->profiles, &server.shelf, &err))
        return fail(&err);
    server.signal_fd = catch_signals();
    int code = 0;
    if (!add_drives(&server.shelf, options, &err) || !open_fronts(&server, options, &err)) {
        code = fail(&err);
    } else {
        printf("nsmith-softnvme: ready, %zu drive%s at %s%s%s%s%s\n", server.shelf.count,
               server.shelf.count == 1 ? "" : "s", options->socket, server.tcp == NULL ? "" : " and NVMe/TCP ",
               server.tcp == NULL ? "" : tcp_serve_address(server.tcp), server.vfu == NULL ? "" : " and vfio-user ",
               server.vfu == NULL ? "" : options->vfu);
        fflush(stdout);
        while (step(&server))
            ;
        unlink(options->socket);
        close(server.listen_fd);
    }
    while (server.count > 0)
        drop(&server, server.count - 1);
    tcp_serve_close(server.tcp);
    vfu_serve_close(server.vfu);
    close(server.signal_fd);
    soft_shelf_close(&server.shelf);
    return code;
}

static int control(const char *path, char *const *words, int count)
{
    enum { CONTROL_TIMEOUT_MS = 60000 };
    char line[500] = "";
    struct soft_link link;
    struct err err = {0};
    uint8_t *text;
    size_t len;
    for (int i = 0; i < count; i++) {
        const size_t used = strlen(line);
        if (snprintf(line + used, sizeof(line) - used, "%s%s", i == 0 ? "" : " ", words[i]) >=
            (int)(sizeof(line) - used)) {
            err_set(&err, ERR_INPUT, "cannot send the command: it is too long");
            return fail(&err);
        }
    }
    if (!soft_link_open(path, &link, &err))
        return fail(&err);
    const struct soft_body body = {.a = line, .a_len = strlen(line)};
    if (!soft_link_call(&link, SOFT_WIRE_CONTROL, &body, CONTROL_TIMEOUT_MS, &text, &len, &err)) {
        soft_link_close(&link);
        return fail(&err);
    }
    fwrite(text, 1, len, stdout);
    free(text);
    soft_link_close(&link);
    return 0;
}

/* Writes a new file: an image that is there may be one that somebody wants to compare with. */
static bool write_firmware(const char *path, const struct soft_fwimage *image, struct err *err)
{
    uint8_t *bytes = malloc(SOFT_FWIMAGE_BYTES);
    must(bytes != NULL);
    soft_fwimage_build(image, bytes);
    FILE *file = fopen(path, "wxe");
    const bool written = file != NULL && fwrite(bytes, 1, SOFT_FWIMAGE_BYTES, file) == SOFT_FWIMAGE_BYTES;
    const int sys = errno;
    const bool closed = file == NULL || fclose(file) == 0;
    free(bytes);
    return (written && closed) || err_sys(err, written ? errno : sys, "cannot write '%s'", path);
}

static int make_firmware(const char *revision, char *const *words, int count)
{
    struct soft_fwimage image = {0};
    struct err err = {0};
    if (!text_is_printable(revision, SOFT_REVISION_MAX)) {
        err_set(&err, ERR_INPUT, "cannot make firmware: a revision is 1 to %d printable characters", SOFT_REVISION_MAX);
        return fail(&err);
    }
    text_cut(image.revision, sizeof(image.revision), revision);
    for (int i = 1; i < count; i++) {
        uint32_t flag;
        if (!soft_fwimage_word(words[i], &flag, &err))
            return fail(&err);
        image.flags |= flag;
    }
    return write_firmware(words[0], &image, &err) ? 0 : fail(&err);
}

static int bad_usage(const char *why)
{
    fprintf(stderr, "nsmith-softnvme: %s\n%s", why, usage);
    return 2;
}

int main(int argc, char **argv)
{
    static const struct option longs[] = {
        {"dir", required_argument, NULL, 'd'},
        {"socket", required_argument, NULL, 's'},
        {"add", required_argument, NULL, 'a'},
        {"profiles", required_argument, NULL, 'p'},
        {"tcp", required_argument, NULL, 't'},
        {"vfio-user", required_argument, NULL, 'v'},
        {"ctl", required_argument, NULL, 'c'},
        {"make-firmware", required_argument, NULL, 'f'},
        {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'V'},
        {0},
    };
    struct options options = {.profiles = NSMITH_PROFILES};
    if (!stdfd_fill())
        return 1;
    for (int c; (c = getopt_long(argc, argv, "+", longs, NULL)) != -1;) {
        if (c == 'd')
            options.dir = optarg;
        else if (c == 's')
            options.socket = optarg;
        else if (c == 't')
            options.tcp = optarg;
        else if (c == 'v')
            options.vfu = optarg;
        else if (c == 'p')
            options.profiles = optarg;
        else if (c == 'c')
            options.ctl = optarg;
        else if (c == 'f')
            options.firmware = optarg;
        else if (c == 'a' && options.add_count < SOFT_DRIVES_MAX)
            options.adds[options.add_count++] = optarg;
        else if (c == 'h')
            return fputs(usage, stdout) < 0;
        else if (c == 'V')
            return puts("nsmith-softnvme " NSMITH_VERSION) < 0;
        else
            return bad_usage(c == 'a' ? "too many drives" : "unknown option");
    }
    if (options.ctl != NULL)
        return optind == argc ? bad_usage("a command is missing behind --ctl PATH")
                              : control(options.ctl, argv + optind, argc - optind);
    if (options.firmware != NULL)
        return optind == argc ? bad_usage("a file is missing behind --make-firmware REVISION")
                              : make_firmware(options.firmware, argv + optind, argc - optind);
    if (options.dir == NULL || options.socket == NULL)
        return bad_usage(options.dir == NULL ? "--dir is missing" : "--socket is missing");
    return optind < argc ? bad_usage("there is something behind the options") : serve(&options);
}
