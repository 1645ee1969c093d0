/* http_address.h - where servers listen and clients call: "unix:/path", "tcp:127.0.0.1:PORT", "tcp:[::1]:PORT".
 *   - Nothing but unix sockets and loopback addresses: anything else is ERR_UNSAFE.
 *   - A socket file is replaced only when nobody answers on it; else ERR_CONFLICT that names the path. */
#ifndef NSMITH_HTTP_ADDRESS_H
#define NSMITH_HTTP_ADDRESS_H

#include "base/err.h"

#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>

struct http_address {
    union {
        struct sockaddr any;
        struct sockaddr_un unix_path;
        struct sockaddr_storage room;
    } at;
    socklen_t len;
};

/* A listening socket. The caller owns fd. */
struct http_socket {
    int fd;
    bool is_unix;
    char path[sizeof(((struct sockaddr_un *)0)->sun_path)]; /* unix: the file that http_socket_remove() removes, */
    dev_t dev;                                              /* while it still is this one */
    ino_t ino;
};

bool http_address_parse(const char *text, struct http_address *out, struct err *err);
/* Binds and listens; a unix socket file is made with mode 0660. `text` is for messages. */
bool http_socket_open(const struct http_address *address, const char *text, struct http_socket *out, struct err *err);
/* Call it while fd is still open: whoever starts meanwhile then finds this server answering, not an old file. */
void http_socket_remove(const struct http_socket *socket);

#endif
