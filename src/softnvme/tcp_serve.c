#include "softnvme/tcp_serve.h"

#include "base/must.h"
#include "base/text.h"
#include "softnvme/tcp_ctrl.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { IDLE_MS = 30000 }; /* so long may a connection be without a controller, or with an answer that is not read */

struct tcp_conn {
    int fd;
    uint64_t busy_ms; /* when it last was of use */
    bool is_gone;     /* nothing can be sent or received any more */
    struct tcp_link link;
};

struct tcp_serve {
    int fd;
    char address[TCP_ADDRESS_SIZE + 8];
    struct tcp_target target;
    struct tcp_conn *conns[TCP_LINKS_MAX]; /* owned */
    size_t count;
};

/* --- Start and end ----------------------------------------------------------------------------------------------- */

static bool parse_address(const char *text, struct addrinfo **out, struct err *err)
{
    static const struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE,
                                          .ai_socktype = SOCK_STREAM};
    char host[TCP_ADDRESS_SIZE];
    const char *colon = strrchr(text, ':');
    const bool bracket = text[0] == '[';
    const size_t len = colon == NULL ? 0 : (size_t)(colon - text);
    uint64_t port;
    const bool ok = len > 0 && len < sizeof(host) && (!bracket || text[len - 1] == ']') && text_u64(colon + 1, &port) &&
                    port <= UINT16_MAX;
    if (ok)
        snprintf(host, sizeof(host), "%.*s", (int)(bracket ? len - 2 : len), bracket ? text + 1 : text);
    if (!ok || getaddrinfo(host, colon + 1, &hints, out) != 0) {
        err_set(err, ERR_INPUT, "cannot listen on '%s': it is not an address and a port by number", text);
        return err_hint(err, "give for example 127.0.0.1:4420 or [::1]:4420");
    }
    return true;
}

static int listen_at(const struct addrinfo *at)
{
    const int one = 1, fd = socket(at->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(fd, at->ai_addr, at->ai_addrlen) == 0 && listen(fd, 64) == 0)
        return fd;
    const int sys = errno;
    close(fd);
    errno = sys;
    return -1;
}

/* The own end of a socket, as numbers. */
static bool own_address(int fd, bool *is_ipv6, char host[TCP_ADDRESS_SIZE], char port[8])
{
    struct sockaddr_storage at;
    socklen_t len = sizeof(at);
    if (getsockname(fd, (struct sockaddr *)&at, &len) < 0 ||
        getnameinfo((struct sockaddr *)&at, len, host, TCP_ADDRESS_SIZE, port, 8, NI_NUMERICHOST | NI_NUMERICSERV) != 0)
        return false;
    *is_ipv6 = at.ss_family == AF_INET6;
    return true;
}

bool tcp_serve_open(const char *address, struct soft_shelf *shelf, struct tcp_serve **out, struct err *err)
{
    struct addrinfo *at;
    bool is_ipv6 = false;
    char host[TCP_ADDRESS_SIZE] = "", port[8] = "";
    if (!parse_address(address, &at, err))
        return false;
    const int fd = listen_at(at);
    const int sys = errno;
    freeaddrinfo(at);
    if (fd < 0)
        return err_sys(err, sys, "cannot listen on '%s'", address);
    struct tcp_serve *serve = calloc(1, sizeof(*serve));
    must(serve != NULL);
    serve->fd = fd;
    own_address(fd, &is_ipv6, host, port);
    snprintf(serve->address, sizeof(serve->address), is_ipv6 ? "[%s]:%s" : "%s:%s", host, port);
    tcp_target_init(&serve->target, shelf);
    *out = serve;
    return true;
}

static void drop(struct tcp_serve *serve, size_t index)
{
    struct tcp_conn *conn = serve->conns[index];
    if (conn->link.queue.why != NULL)
        fprintf(stderr, "nsmith-softnvme: ended an NVMe/TCP connection: %s\n", conn->link.queue.why);
    tcp_link_release(&serve->target, &conn->link);
    close(conn->fd);
    free(conn);
    serve->conns[index] = serve->conns[--serve->count];
}

void tcp_serve_close(struct tcp_serve *serve)
{
    if (serve == NULL)
        return;
    while (serve->count > 0)
        drop(serve, serve->count - 1);
    tcp_target_release(&serve->target);
    close(serve->fd);
    free(serve);
}

const char *tcp_serve_address(const struct tcp_serve *serve)
{
    return serve->address;
}

/* --- Connections ------------------------------------------------------------------------------------------------- */

static void take_connection(struct tcp_serve *serve, uint64_t now_ms)
{
    const int one = 1, fd = accept4(serve->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return;
    if (serve->count == TCP_LINKS_MAX) {
        close(fd);
        return;
    }
    struct tcp_conn *conn = calloc(1, sizeof(*conn));
    must(conn != NULL);
    conn->fd = fd;
    conn->busy_ms = now_ms;
    tcp_link_init(&conn->link);
    own_address(fd, &conn->link.is_ipv6, conn->link.address, conn->link.port);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    serve->conns[serve->count++] = conn;
}

static void receive(struct tcp_conn *conn)
{
    uint8_t *at;
    const size_t room = tcp_queue_room(&conn->link.queue, &at);
    if (room == 0)
        return;
    const ssize_t n = recv(conn->fd, at, room, 0);
    if (n > 0)
        tcp_queue_received(&conn->link.queue, (size_t)n);
    else if (n == 0 || (errno != EAGAIN && errno != EINTR))
        conn->is_gone = true;
}

static void transmit(struct tcp_conn *conn)
{
    const uint8_t *at;
    const size_t len = tcp_queue_out(&conn->link.queue, &at);
    if (len == 0 || conn->is_gone)
        return;
    const ssize_t n = send(conn->fd, at, len, MSG_NOSIGNAL);
    if (n > 0)
        tcp_queue_sent(&conn->link.queue, (size_t)n);
    else if (n < 0 && errno != EAGAIN && errno != EINTR)
        conn->is_gone = true;
}

static bool has_output(const struct tcp_conn *conn)
{
    const uint8_t *at;
    return tcp_queue_out(&conn->link.queue, &at) > 0;
}

static bool is_idle(const struct tcp_conn *conn)
{
    return conn->link.ctrl == NULL || conn->link.queue.is_over;
}

/* --- The loop's part --------------------------------------------------------------------------------------------- */

size_t tcp_serve_fds(const struct tcp_serve *serve, struct pollfd fds[TCP_FDS_MAX])
{
    fds[0] = (struct pollfd){.fd = serve->fd, .events = POLLIN};
    for (size_t i = 0; i < serve->count; i++) {
        const struct tcp_conn *conn = serve->conns[i];
        const bool reads = !conn->link.queue.is_over && !tcp_queue_is_stuffed(&conn->link.queue);
        fds[i + 1] =
            (struct pollfd){.fd = conn->fd, .events = (short)((reads ? POLLIN : 0) | (has_output(conn) ? POLLOUT : 0))};
    }
    return serve->count + 1;
}

uint64_t tcp_serve_due_ms(const struct tcp_serve *serve)
{
    uint64_t due = tcp_target_due_ms(&serve->target);
    for (size_t i = 0; i < serve->count; i++) {
        const struct tcp_conn *conn = serve->conns[i];
        if (tcp_queue_is_stuffed(&conn->link.queue) && !has_output(conn)) /* there is room to answer again */
            return 0;
        if (is_idle(conn) && conn->busy_ms + IDLE_MS < due)
            due = conn->busy_ms + IDLE_MS;
    }
    return due;
}

void tcp_serve_ticked(struct tcp_serve *serve)
{
    for (size_t i = 0; i < serve->count; i++)
        tcp_link_poll(&serve->conns[i]->link);
}

void tcp_serve_step(struct tcp_serve *serve, const struct pollfd *fds, size_t count, uint64_t now_ms)
{
    for (size_t i = 0; i + 1 < count; i++) { /* connections neither come nor go before the loop's end */
        struct tcp_conn *conn = serve->conns[i];
        if (fds[i + 1].revents & (POLLIN | POLLHUP | POLLERR))
            receive(conn);
        if (fds[i + 1].revents & (POLLERR | POLLNVAL) || (fds[i + 1].revents & POLLHUP && conn->link.queue.is_over))
            conn->is_gone = true;
        if (fds[i + 1].revents & POLLOUT)
            transmit(conn);
        if (!conn->is_gone)
            tcp_link_serve(&serve->target, &conn->link, now_ms);
    }
    if (fds[0].revents & POLLIN)
        take_connection(serve, now_ms);
}

void tcp_serve_events(struct tcp_serve *serve, uint64_t now_ms)
{
    tcp_target_poll(&serve->target, now_ms);
    for (size_t i = serve->count; i-- > 0;) /* admin queues end their controllers, */
        if (serve->conns[i]->is_gone)
            drop(serve, i);
    for (size_t i = serve->count; i-- > 0;) { /* and these their other queues */
        struct tcp_conn *conn = serve->conns[i];
        tcp_link_check(&conn->link);
        transmit(conn);
        if (!is_idle(conn))
            conn->busy_ms = now_ms;
        if (conn->is_gone || (conn->link.queue.is_over && !has_output(conn)) || now_ms >= conn->busy_ms + IDLE_MS)
            drop(serve, i);
    }
}
