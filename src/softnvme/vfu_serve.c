#include "softnvme/vfu_serve.h"

#include "base/must.h"
#include "base/text.h"
#include "softnvme/listen.h"
#include "softnvme/vfu_device.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { AT_ONCE = 64 }; /* messages of one client before others have their turn */

/* One message is received at a time, so that descriptors belong to the one that they came with. */
struct vfu_port {
    struct soft_drive *drive; /* borrowed */
    unsigned number;          /* from 1 */
    char path[PATH_TEXT_MAX + 32];
    int listen_fd; /* -1: it cannot be listened on */
    int fd;        /* -1: no client */
    bool was_used;
    struct vfu_device device; /* while there is a client */
    uint8_t in[VFU_MSG_MAX];
    size_t in_len;
    int fds[VFU_FDS_MAX]; /* owned; they came with it */
    size_t fd_count;
    uint8_t out[VFU_REPLY_MAX];
    size_t out_len, out_at;
    const char *told; /* why the controller failed, as was logged */
    bool told_transfers, told_left_out;
};

struct vfu_serve {
    char dir[PATH_TEXT_MAX];
    struct soft_shelf *shelf;              /* borrowed */
    struct vfu_port *ports[VFU_PORTS_MAX]; /* owned; those of a drive are neighbours */
    size_t count;
};

/* --- Start and end ----------------------------------------------------------------------------------------------- */

static bool open_ports(struct vfu_serve *serve, struct soft_drive *drive, struct err *err)
{
    bool ok = true;
    for (unsigned number = 1; number <= VFU_PORTS; number++) {
        struct vfu_port *port = calloc(1, sizeof(*port));
        must(port != NULL);
        must(serve->count < VFU_PORTS_MAX);
        port->drive = drive;
        port->number = number;
        port->listen_fd = port->fd = -1;
        snprintf(port->path, sizeof(port->path), "%s/%s.%u", serve->dir, soft_drive_serial(drive), number);
        ok = ok && listen_unix(port->path, "--vfio-user", &port->listen_fd, err);
        serve->ports[serve->count++] = port;
    }
    return ok;
}

bool vfu_serve_open(const char *dir, struct soft_shelf *shelf, struct vfu_serve **out, struct err *err)
{
    if (mkdir(dir, 0770) < 0 && errno != EEXIST)
        return err_sys(err, errno, "cannot make the folder '%s'", dir);
    struct vfu_serve *serve = calloc(1, sizeof(*serve));
    must(serve != NULL);
    serve->shelf = shelf;
    bool ok = text_copy(serve->dir, sizeof(serve->dir), dir);
    if (!ok)
        err_set(err, ERR_INPUT, "cannot make sockets in '%s': the path is too long", dir);
    for (size_t i = 0; i < shelf->count && ok; i++)
        ok = open_ports(serve, shelf->drives[i], err);
    if (!ok) {
        vfu_serve_close(serve);
        return false;
    }
    *out = serve;
    return true;
}

static void log_port(const struct vfu_port *port, const char *what)
{
    fprintf(stderr, "nsmith-softnvme: PCIe port %u of drive %s: %s\n", port->number, soft_drive_serial(port->drive),
            what);
}

static void forget_fds(struct vfu_port *port)
{
    for (size_t i = 0; i < port->fd_count; i++)
        close(port->fds[i]);
    port->fd_count = 0;
}

static void hang_up(struct vfu_port *port, const char *why)
{
    char text[160];
    if (why != NULL) {
        snprintf(text, sizeof(text), "ended the connection: %s", why);
        log_port(port, text);
    }
    vfu_device_release(&port->device);
    forget_fds(port);
    close(port->fd);
    port->fd = -1;
}

void vfu_serve_close(struct vfu_serve *serve)
{
    for (size_t i = 0; serve != NULL && i < serve->count; i++) {
        struct vfu_port *port = serve->ports[i];
        if (port->fd >= 0)
            hang_up(port, NULL);
        if (port->listen_fd >= 0) {
            close(port->listen_fd);
            unlink(port->path);
        }
        free(port);
    }
    free(serve);
}

/* --- Clients ----------------------------------------------------------------------------------------------------- */

/* The controllers of the ports, in order, so that port 1 has the lower number whichever is used first. */
static bool find_ctrl(const struct vfu_port *port, uint16_t *cntlid, struct err *err)
{
    for (unsigned number = 1; number <= port->number; number++) {
        char host[32];
        snprintf(host, sizeof(host), "PCIe port %u", number);
        if (!soft_drive_ctrl(port->drive, host, 0, cntlid, err))
            return false;
    }
    return true;
}

static void begin(struct vfu_serve *serve, size_t index, int fd, uint16_t cntlid)
{
    struct vfu_port *port = serve->ports[index];
    struct vfu_port *const *pair = &serve->ports[index / VFU_PORTS * VFU_PORTS];
    port->fd = fd;
    port->was_used = true;
    port->in_len = port->out_len = port->out_at = port->fd_count = 0;
    port->told = NULL;
    port->told_transfers = port->told_left_out = false;
    vfu_device_init(&port->device, port->drive, cntlid);
    for (size_t i = 0; i < VFU_PORTS; i++)
        if (pair[i]->fd >= 0)
            pair[i]->device.nvme.is_shared = pair[VFU_PORTS - 1]->was_used;
}

static void take_connection(struct vfu_serve *serve, size_t index)
{
    const struct vfu_port *port = serve->ports[index];
    struct err err = {0};
    uint16_t cntlid;
    const int fd = accept4(port->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return;
    if (port->fd >= 0)
        log_port(port, "turned a client away: there is one already");
    else if (!soft_drive_present(port->drive))
        log_port(port, "turned a client away: the drive is pulled out");
    else if (!find_ctrl(port, &cntlid, &err))
        log_port(port, err.msg);
    else {
        begin(serve, index, fd, cntlid);
        return;
    }
    close(fd);
}

/* Keeps descriptors that came along; false: there were too many. */
static bool keep_fds(struct vfu_port *port, struct msghdr *header)
{
    bool ok = !(header->msg_flags & MSG_CTRUNC);
    for (struct cmsghdr *part = CMSG_FIRSTHDR(header); part != NULL; part = CMSG_NXTHDR(header, part)) {
        if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS)
            continue;
        const size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(part) + i * sizeof(fd), sizeof(fd));
            if (port->fd_count < VFU_FDS_MAX) {
                port->fds[port->fd_count++] = fd;
            } else {
                close(fd);
                ok = false;
            }
        }
    }
    return ok;
}

enum received { RECEIVED_NOTHING, RECEIVED_SOME, RECEIVED_END };

static enum received receive(struct vfu_port *port, const char **why)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int) * VFU_FDS_MAX)];
    } control;
    const size_t want = vfu_msg_len(port->in, port->in_len);
    struct iovec at = {.iov_base = port->in + port->in_len, .iov_len = want - port->in_len};
    struct msghdr header = {
        .msg_iov = &at, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof(control.bytes)};
    const ssize_t n = recvmsg(port->fd, &header, MSG_CMSG_CLOEXEC);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? RECEIVED_NOTHING : RECEIVED_END;
    if (!keep_fds(port, &header)) {
        *why = "the client sent too many descriptors";
        return RECEIVED_END;
    }
    port->in_len += (size_t)n;
    return n == 0 ? RECEIVED_END : RECEIVED_SOME;
}

static bool transmit(struct vfu_port *port)
{
    while (port->out_at < port->out_len) {
        const ssize_t n = send(port->fd, port->out + port->out_at, port->out_len - port->out_at, MSG_NOSIGNAL);
        if (n < 0)
            return errno == EAGAIN || errno == EINTR;
        port->out_at += (size_t)n;
    }
    port->out_len = port->out_at = 0;
    return true;
}

/* The message, when it is all there. false: the connection is over. */
static bool serve_message(struct vfu_port *port, const char **why)
{
    struct vfu_msg msg;
    const enum vfu_parsed how = vfu_msg_parse(port->in, port->in_len, &msg, why);
    if (how != VFU_WHOLE)
        return how == VFU_MORE;
    const size_t fd_count = port->fd_count;
    port->in_len = port->fd_count = 0; /* the message stays in the buffer while it is carried out */
    return vfu_device_take(&port->device, &msg, port->fds, fd_count, port->out, &port->out_len, why) && transmit(port);
}

static void serve_client(struct vfu_port *port)
{
    const char *why = NULL;
    for (unsigned i = 0; i < 2 * AT_ONCE && port->out_len == 0; i++) { /* a header, and what is behind it */
        const enum received how = receive(port, &why);
        if (how == RECEIVED_NOTHING)
            return;
        if (how == RECEIVED_END || !serve_message(port, &why)) {
            hang_up(port, why);
            return;
        }
    }
}

/* What happened to the device that somebody should know, once each. */
static void tell(struct vfu_port *port)
{
    const struct vfu_device *device = &port->device;
    if (device->nvme.why != port->told && device->nvme.why != NULL) {
        char text[160];
        snprintf(text, sizeof(text), "the controller failed (CSTS.CFS): %s", device->nvme.why);
        log_port(port, text);
    }
    port->told = device->nvme.why;
    if (device->nvme.transfer_errors > 0 && !port->told_transfers)
        log_port(port, "a command names memory that the guest does not have, or may not be used so");
    if (device->left_out > 0 && !port->told_left_out)
        log_port(port, "left out memory that is not a memfd sealed against shrinking (memory-backend-memfd is)");
    port->told_transfers = device->nvme.transfer_errors > 0;
    port->told_left_out = device->left_out > 0;
}

/* --- The loop's part --------------------------------------------------------------------------------------------- */

size_t vfu_serve_fds(const struct vfu_serve *serve, struct pollfd fds[VFU_POLLS_MAX])
{
    for (size_t i = 0; i < serve->count; i++) {
        const struct vfu_port *port = serve->ports[i];
        fds[2 * i] = (struct pollfd){.fd = port->listen_fd, .events = POLLIN};
        fds[2 * i + 1] = (struct pollfd){.fd = port->fd, .events = port->out_len > 0 ? POLLOUT : POLLIN};
    }
    return 2 * serve->count; /* what is not open is -1, which poll() passes over */
}

void vfu_serve_ticked(struct vfu_serve *serve)
{
    for (size_t i = 0; i < serve->count; i++)
        if (serve->ports[i]->fd >= 0)
            vfu_device_ticked(&serve->ports[i]->device);
}

void vfu_serve_step(struct vfu_serve *serve, const struct pollfd *fds, size_t count)
{
    for (size_t i = 0; 2 * i < count; i++) { /* clients first: one may have made room for the next */
        struct vfu_port *port = serve->ports[i];
        if (fds[2 * i + 1].revents != 0 && port->fd >= 0) {
            if (transmit(port))
                serve_client(port);
            else
                hang_up(port, NULL);
        }
        if (fds[2 * i].revents & POLLIN)
            take_connection(serve, i);
    }
}

void vfu_serve_events(struct vfu_serve *serve)
{
    for (size_t i = serve->count / VFU_PORTS; i < serve->shelf->count; i++) {
        struct err err = {0};
        if (!open_ports(serve, serve->shelf->drives[i], &err))
            fprintf(stderr, "nsmith-softnvme: %s\n", err.msg);
    }
    for (size_t i = 0; i < serve->count; i++)
        if (serve->ports[i]->fd >= 0) {
            vfu_device_events(&serve->ports[i]->device);
            tell(serve->ports[i]);
        }
}
