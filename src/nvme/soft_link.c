#include "nvme/soft_link.h"

#include "base/must.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

bool soft_link_open(const char *socket_path, struct soft_link *out, struct err *err)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    if (strlen(socket_path) >= sizeof(to.sun_path))
        return err_set(err, ERR_INPUT, "cannot connect to '%s': the path is longer than %zu characters", socket_path,
                       sizeof(to.sun_path) - 1);
    strncpy(to.sun_path, socket_path, sizeof(to.sun_path) - 1);
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return err_sys(err, errno, "cannot make a socket");
    if (connect(fd, (const struct sockaddr *)&to, sizeof(to)) < 0) {
        err_sys(err, errno, "cannot connect to the software drives at '%s'", socket_path);
        close(fd);
        return err_hint(err, "start nsmith-softnvme with --socket %s", socket_path);
    }
    out->fd = fd;
    return true;
}

void soft_link_close(struct soft_link *link)
{
    if (link->fd >= 0)
        close(link->fd);
    link->fd = -1;
}

static bool give_up(struct soft_link *link, const char *why, struct err *err)
{
    soft_link_close(link);
    err_set(err, ERR_BUSY, "cannot finish the request to the software drives: %s", why);
    err->sys = ETIMEDOUT;
    return err_hint(err, "look at the drive again: the command may have been done");
}

static bool wait_for(struct soft_link *link, short events, uint64_t deadline_ms, struct err *err)
{
    for (;;) {
        const uint64_t now = now_ms(), left = now < deadline_ms ? deadline_ms - now : 0;
        struct pollfd poll_fd = {.fd = link->fd, .events = events};
        const int n = poll(&poll_fd, 1, left > 1000000 ? 1000000 : (int)left);
        if (n > 0)
            return true;
        if (n == 0 && left <= 1000000)
            return give_up(link, "no answer within its time", err);
        if (n < 0 && errno != EINTR)
            return give_up(link, strerror(errno), err);
    }
}

static bool send_all(struct soft_link *link, const void *from, size_t len, uint64_t deadline_ms, struct err *err)
{
    const uint8_t *at = from;
    while (len > 0) {
        if (!wait_for(link, POLLOUT, deadline_ms, err))
            return false;
        const ssize_t n = send(link->fd, at, len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (n < 0)
            return give_up(link, "nsmith-softnvme ended", err);
        at += n;
        len -= (size_t)n;
    }
    return true;
}

static bool receive_all(struct soft_link *link, void *to, size_t len, uint64_t deadline_ms, struct err *err)
{
    uint8_t *at = to;
    while (len > 0) {
        if (!wait_for(link, POLLIN, deadline_ms, err))
            return false;
        const ssize_t n = recv(link->fd, at, len, MSG_DONTWAIT);
        if (n < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (n <= 0)
            return give_up(link, "nsmith-softnvme ended", err);
        at += n;
        len -= (size_t)n;
    }
    return true;
}

/* Kinds and numbers of the other side are data from outside. */
static bool take_error(const uint8_t *body, size_t len, struct err *err)
{
    struct soft_wire_error head;
    if (len <= sizeof(head))
        return err_set(err, ERR_FAILED, "cannot read the answer of the software drives");
    memcpy(&head, body, sizeof(head));
    const char *msg = (const char *)body + sizeof(head);
    const size_t msg_len = strnlen(msg, len - sizeof(head));
    const uint16_t kind = le16_get(head.kind);
    err_set(err, kind > ERR_NONE && kind < ERR_KIND_COUNT ? (enum err_kind)kind : ERR_FAILED, "%.*s", (int)msg_len,
            msg);
    err->nvme = le16_get(head.nvme);
    err->sys = (int)le32_get(head.sys);
    if (sizeof(head) + msg_len + 1 < len)
        err_hint(err, "%.*s", (int)(len - sizeof(head) - msg_len - 1), msg + msg_len + 1);
    return false;
}

bool soft_link_call(struct soft_link *link, enum soft_wire_kind kind, const struct soft_body *body, uint32_t timeout_ms,
                    uint8_t **answer_out, size_t *len_out, struct err *err)
{
    const uint64_t deadline_ms = now_ms() + timeout_ms;
    const size_t len = body->a_len + body->b_len;
    must(len <= SOFT_WIRE_BODY_MAX);
    struct soft_wire_head head = {.version = SOFT_WIRE_VERSION, .kind = (uint8_t)kind, .len = le32_of((uint32_t)len)};
    if (link->fd < 0) {
        err_set(err, ERR_MISSING, "cannot reach the software drives: the connection was given up");
        return err_hint(err, "open the drive again");
    }
    if (!send_all(link, &head, sizeof(head), deadline_ms, err) ||
        !send_all(link, body->a, body->a_len, deadline_ms, err) ||
        !send_all(link, body->b, body->b_len, deadline_ms, err) ||
        !receive_all(link, &head, sizeof(head), deadline_ms, err))
        return false;
    const size_t answer_len = le32_get(head.len);
    const bool known = head.kind == SOFT_WIRE_ANSWER || head.kind == SOFT_WIRE_ERROR;
    if (head.version != SOFT_WIRE_VERSION || !known || answer_len > SOFT_WIRE_BODY_MAX) {
        soft_link_close(link);
        return err_set(err, ERR_FAILED, "cannot read the answer of the software drives: it is of another version");
    }
    uint8_t *answer = calloc(1, answer_len + 1);
    must(answer != NULL);
    bool ok = receive_all(link, answer, answer_len, deadline_ms, err);
    if (ok && head.kind == SOFT_WIRE_ERROR)
        ok = take_error(answer, answer_len, err);
    if (!ok) {
        free(answer);
        return false;
    }
    *answer_out = answer;
    *len_out = answer_len;
    return true;
}
