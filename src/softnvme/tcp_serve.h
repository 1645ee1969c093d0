/* tcp_serve.h - the sockets of the NVMe/TCP front: for the poll loop of main.c.
 *   - There is no authentication: whoever reaches the port has the drives. So it listens at the one address that it is
 *     told, and at no other.
 *   - IPv4 and IPv6 by number: "127.0.0.1:4420", "[::1]:4420". Port 0: any that is free. */
#ifndef NSMITH_TCP_SERVE_H
#define NSMITH_TCP_SERVE_H

#include "nvme/soft_serve.h"

#include <poll.h>

struct tcp_serve;

enum { TCP_LINKS_MAX = 128, TCP_FDS_MAX = TCP_LINKS_MAX + 1 };

/* `shelf` is borrowed and outlives it. */
bool tcp_serve_open(const char *address, struct soft_shelf *shelf, struct tcp_serve **out, struct err *err);
void tcp_serve_close(struct tcp_serve *serve); /* NULL is fine */
/* The address with the port that it really is. */
const char *tcp_serve_address(const struct tcp_serve *serve);

/* What to wait for; returns how many. */
size_t tcp_serve_fds(const struct tcp_serve *serve, struct pollfd fds[TCP_FDS_MAX]);
uint64_t tcp_serve_due_ms(const struct tcp_serve *serve); /* when to wake up at the latest; UINT64_MAX: never */
/* After the drives' clocks were moved, before anything is done to them: answers what they have finished. */
void tcp_serve_ticked(struct tcp_serve *serve);
/* Does what the descriptors of tcp_serve_fds() are ready for. */
void tcp_serve_step(struct tcp_serve *serve, const struct pollfd *fds, size_t count, uint64_t now_ms);
/* After all else of a turn: sends the events that came of it. */
void tcp_serve_events(struct tcp_serve *serve, uint64_t now_ms);

#endif
