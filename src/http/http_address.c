#include "http/http_address.h"

#include "base/must.h"
#include "base/text.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LISTEN_BACKLOG = 128, SOCKET_MODE = 0660 };

/* ---- parsing ------------------------------------------------------------------------------------------------- */

static bool parse_unix(const char *text, const char *path, struct http_address *out, struct err *err)
{
    struct http_address address = {.len = sizeof(struct sockaddr_un)};
    address.at.unix_path.sun_family = AF_UNIX;
    if (path[0] != '/')
        return err_set(err, ERR_INPUT, "cannot use address '%.100s': the path must begin with '/'", text);
    if (!text_copy(address.at.unix_path.sun_path, sizeof(address.at.unix_path.sun_path), path))
        return err_set(err, ERR_INPUT, "cannot use address '%.100s': the path is longer than %zu characters", text,
                       sizeof(address.at.unix_path.sun_path) - 1);
    *out = address;
    return true;
}

static bool is_loopback(const char *host, uint16_t port, struct http_address *out)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    struct http_address address = {0};
    if (inet_pton(AF_INET, host, &v4.sin_addr) == 1 && ntohl(v4.sin_addr.s_addr) >> 24 == 127) {
        memcpy(&address.at, &v4, sizeof(v4));
        address.len = sizeof(v4);
    } else if (inet_pton(AF_INET6, host, &v6.sin6_addr) == 1 && IN6_IS_ADDR_LOOPBACK(&v6.sin6_addr)) {
        memcpy(&address.at, &v6, sizeof(v6));
        address.len = sizeof(v6);
    } else {
        return false;
    }
    *out = address;
    return true;
}

/* Cuts "HOST:PORT" or "[HOST]:PORT" at its last colon. A host that does not fit is no address and becomes "". */
static bool split_port(const char *text, char *host, size_t host_size, uint64_t *port)
{
    const char *colon = strrchr(text, ':');
    if (colon == NULL || !text_u64(colon + 1, port) || *port == 0 || *port > UINT16_MAX)
        return false;
    size_t len = (size_t)(colon - text);
    if (len >= 2 && text[0] == '[' && text[len - 1] == ']') {
        text++;
        len -= 2;
    }
    if (len >= host_size)
        len = 0;
    memcpy(host, text, len);
    host[len] = '\0';
    return true;
}

static bool parse_tcp(const char *text, const char *place, struct http_address *out, struct err *err)
{
    char host[INET6_ADDRSTRLEN];
    uint64_t port;
    if (!split_port(place, host, sizeof(host), &port)) {
        err_set(err, ERR_INPUT, "cannot use address '%.100s': it must end in ':' and a port from 1 to 65535", text);
        return err_hint(err, "write it as tcp:127.0.0.1:PORT");
    }
    if (!is_loopback(host, (uint16_t)port, out)) {
        err_set(err, ERR_UNSAFE, "cannot use address '%.100s': only loopback addresses are served without TLS", text);
        return err_hint(err, "use 127.0.0.1 or [::1], and a proxy with TLS in front of it");
    }
    return true;
}

bool http_address_parse(const char *text, struct http_address *out, struct err *err)
{
    if (strncmp(text, "unix:", 5) == 0)
        return parse_unix(text, text + 5, out, err);
    if (strncmp(text, "tcp:", 4) == 0)
        return parse_tcp(text, text + 4, out, err);
    err_set(err, ERR_INPUT, "cannot use address '%.100s': it begins with neither 'unix:' nor 'tcp:'", text);
    return err_hint(err, "write it as unix:/path or tcp:127.0.0.1:PORT");
}

/* ---- listening ----------------------------------------------------------------------------------------------- */

/* Two servers that start at once must not both find the same old file and one of them remove the other's new one: the
 * directory is locked from the look to the bind. Not waited for: whoever may read the directory can hold its lock.
 * Closing the descriptor unlocks. */
static int lock_directory(const char *path, struct err *err)
{
    char dir[sizeof(((struct http_socket *)0)->path)];
    text_cut(dir, sizeof(dir), path);
    char *slash = strrchr(dir, '/');
    must(slash != NULL);
    slash[slash == dir ? 1 : 0] = '\0';
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        err_sys(err, errno, "cannot open directory '%s' of the socket", dir);
        return -1;
    }
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        err_sys(err, errno, "cannot lock directory '%s' of the socket", dir);
        close(fd);
        return -1;
    }
    return fd;
}

/* Only "connection refused" proves that nobody listens: EAGAIN is a full backlog, EACCES somebody else's socket. */
static bool nobody_answers(const struct http_address *address, const char *path, struct err *err)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return err_sys(err, errno, "cannot make a socket");
    int why = connect(fd, &address->at.any, address->len) == 0 ? 0 : errno;
    close(fd);
    if (why == ECONNREFUSED || why == ENOENT)
        return true;
    if (why != 0 && why != EAGAIN)
        return err_sys(err, why, "cannot look who uses socket '%s'", path);
    err_set(err, ERR_CONFLICT, "cannot listen on '%s': another process answers on it", path);
    return err_hint(err, "stop the other process or choose another path");
}

static bool remove_stale(const struct http_address *address, const char *path, struct err *err)
{
    struct stat there;
    if (lstat(path, &there) != 0)
        return errno == ENOENT || err_sys(err, errno, "cannot look at '%s'", path);
    if (!S_ISSOCK(there.st_mode)) {
        err_set(err, ERR_CONFLICT, "cannot listen on '%s': something that is not a socket is there", path);
        return err_hint(err, "move it away or choose another path");
    }
    if (!nobody_answers(address, path, err))
        return false;
    if (unlink(path) != 0 && errno != ENOENT)
        return err_sys(err, errno, "cannot remove old socket '%s'", path);
    return true;
}

static bool bind_and_listen(int fd, const struct http_address *address, const char *text, struct err *err)
{
    if (bind(fd, &address->at.any, address->len) != 0) {
        if (errno == EADDRINUSE)
            return err_set(err, ERR_CONFLICT, "cannot listen on '%s': the address is in use", text);
        return err_sys(err, errno, "cannot listen on '%s'", text);
    }
    if (listen(fd, LISTEN_BACKLOG) != 0)
        return err_sys(err, errno, "cannot listen on '%s'", text);
    return true;
}

/* bind(2) makes the file with the socket's own mode less the umask: set before, it is never open to others, not even
 * for a moment. The chmod after it takes the umask out again. */
static bool make_unix(const struct http_address *address, const char *text, struct http_socket *made, struct err *err)
{
    if (fchmod(made->fd, SOCKET_MODE) != 0)
        return err_sys(err, errno, "cannot set the mode of socket '%s'", text);
    if (!remove_stale(address, made->path, err) || !bind_and_listen(made->fd, address, text, err))
        return false;
    struct stat there;
    if (chmod(made->path, SOCKET_MODE) != 0 || lstat(made->path, &there) != 0) {
        err_sys(err, errno, "cannot set the mode of socket '%s'", made->path);
        unlink(made->path);
        return false;
    }
    made->dev = there.st_dev;
    made->ino = there.st_ino;
    return true;
}

static bool open_unix(const struct http_address *address, const char *text, struct http_socket *made, struct err *err)
{
    made->is_unix = true;
    text_cut(made->path, sizeof(made->path), address->at.unix_path.sun_path);
    int lock = lock_directory(made->path, err);
    if (lock < 0)
        return false;
    bool ok = make_unix(address, text, made, err);
    close(lock);
    return ok;
}

static bool open_tcp(const struct http_address *address, const char *text, struct http_socket *made, struct err *err)
{
    const int on = 1;
    if (setsockopt(made->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0)
        return err_sys(err, errno, "cannot listen on '%s'", text);
    return bind_and_listen(made->fd, address, text, err);
}

bool http_socket_open(const struct http_address *address, const char *text, struct http_socket *out, struct err *err)
{
    const int family = address->at.any.sa_family;
    struct http_socket made = {.fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
    if (made.fd < 0)
        return err_sys(err, errno, "cannot listen on '%s'", text);
    bool ok = family == AF_UNIX ? open_unix(address, text, &made, err) : open_tcp(address, text, &made, err);
    if (!ok) {
        close(made.fd);
        return false;
    }
    *out = made;
    return true;
}

void http_socket_remove(const struct http_socket *socket)
{
    struct stat there;
    if (socket->is_unix && lstat(socket->path, &there) == 0 && there.st_dev == socket->dev &&
        there.st_ino == socket->ino)
        unlink(socket->path);
}
