/* nvme_uevent.c - see nvme_uevent.h. A message is a row of texts that end with zeros:
 *
 *   remove@/devices/pci0000:00/0000:00:03.0/0000:01:00.0/nvme/nvme0/nvme0n1
 *   ACTION=remove
 *   DEVPATH=/devices/pci0000:00/0000:00:03.0/0000:01:00.0/nvme/nvme0/nvme0n1
 *   SUBSYSTEM=block
 *   MAJOR=259
 *   MINOR=0
 *   DEVNAME=nvme0n1
 *   DEVTYPE=disk
 *
 * The hidden devices of multipath's paths (nvme0c0n1) have no messages; the head's are below the subsystem:
 * /devices/virtual/nvme-subsystem/nvme-subsys0/nvme0n1. */
#include "nvme/nvme_uevent.h"

#include "base/text.h"

#include <errno.h>
#include <linux/netlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <unistd.h>

enum { MESSAGE_MAX = 8192, RECEIVE_BYTES = 4 << 20, KERNEL_GROUP = 1 };

static const char *value_of(const char *message, size_t len, const char *key)
{
    const size_t key_len = strlen(key);
    for (const char *at = message; at < message + len; at += strlen(at) + 1)
        if (strncmp(at, key, key_len) == 0 && at[key_len] == '=')
            return at + key_len + 1;
    return "";
}

/* The part of the path that is `prefix` and a number, and nothing more. */
static void part_copy(const char *path, const char *prefix, char to[NVME_NAME_LEN])
{
    const size_t prefix_len = strlen(prefix);
    for (const char *at = strchr(path, '/'); at != NULL; at = strchr(at + 1, '/')) {
        const size_t len = strcspn(at + 1, "/");
        const size_t digits = len > prefix_len ? strspn(at + 1 + prefix_len, "0123456789") : 0;
        if (len < NVME_NAME_LEN && strncmp(at + 1, prefix, prefix_len) == 0 && digits == len - prefix_len &&
            digits > 0) {
            memcpy(to, at + 1, len);
            to[len] = '\0';
        }
    }
}

static enum nvme_uevent_what what_of(const char *action, bool block, const char *resize)
{
    if (strcmp(action, "add") == 0)
        return NVME_UEVENT_CAME;
    if (strcmp(action, "remove") == 0)
        return NVME_UEVENT_GONE;
    if (strcmp(action, "move") == 0)
        return NVME_UEVENT_CHANGED;
    /* Each time somebody who may write closes a block device, udev has the kernel say "change": that is no news, and
     * looking into the device because of it would be the next one. */
    if (strcmp(action, "change") == 0 && (!block || strcmp(resize, "1") == 0))
        return NVME_UEVENT_CHANGED;
    return NVME_UEVENT_OTHER;
}

bool nvme_uevent_parse(const char *message, size_t len, struct nvme_uevent *out)
{
    if (len == 0 || message[len - 1] != '\0' || strchr(message, '@') == NULL)
        return false; /* udev's begin with "libudev" */
    const char *path = value_of(message, len, "DEVPATH"), *kind = value_of(message, len, "SUBSYSTEM");
    const char *name = value_of(message, len, "DEVNAME");
    const bool block = strcmp(kind, "block") == 0;
    uint64_t major_number = 0, minor_number = 0;
    if (!block && strcmp(kind, "nvme") != 0 && strcmp(kind, "nvme-subsystem") != 0)
        return false;
    if (block && (strncmp(name, "nvme", 4) != 0 || strcmp(value_of(message, len, "DEVTYPE"), "disk") != 0))
        return false; /* another driver's, or a partition, which goes with its disk */
    struct nvme_uevent event = {
        .what = what_of(value_of(message, len, "ACTION"), block, value_of(message, len, "RESIZE")), .block = block};
    if (!text_copy(event.name, sizeof(event.name), name))
        return false;
    part_copy(path, "nvme", event.ctrl);
    part_copy(path, "nvme-subsys", event.subsystem);
    if (block && text_u64(value_of(message, len, "MAJOR"), &major_number) &&
        text_u64(value_of(message, len, "MINOR"), &minor_number) && major_number <= UINT32_MAX &&
        minor_number <= UINT32_MAX)
        event.rdev = makedev((unsigned)major_number, (unsigned)minor_number);
    *out = event;
    return true;
}

bool nvme_uevent_open(int *out, struct err *err)
{
    const int bytes = RECEIVE_BYTES;
    const struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = KERNEL_GROUP};
    const int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT);
    if (fd < 0)
        return err_sys(err, errno, "cannot listen to the kernel's device events");
    /* Room for a chassis that loses power: root may go beyond the limit of others. */
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) < 0)
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
    if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0) {
        err_sys(err, errno, "cannot listen to the kernel's device events");
        close(fd);
        return false;
    }
    *out = fd;
    return true;
}

/* Group messages may be sent by who has CAP_NET_ADMIN in the network namespace; the kernel is port 0. */
static bool is_from_kernel(const struct msghdr *header, const struct sockaddr_nl *from)
{
    return header->msg_namelen == sizeof(*from) && from->nl_family == AF_NETLINK && from->nl_pid == 0 &&
           (header->msg_flags & MSG_TRUNC) == 0;
}

bool nvme_uevent_read(int fd, struct nvme_uevent *out, bool *lost)
{
    char message[MESSAGE_MAX];
    for (;;) {
        struct sockaddr_nl from = {0};
        struct iovec piece = {.iov_base = message, .iov_len = sizeof(message)};
        struct msghdr header = {.msg_name = &from, .msg_namelen = sizeof(from), .msg_iov = &piece, .msg_iovlen = 1};
        const ssize_t got = recvmsg(fd, &header, MSG_DONTWAIT);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && errno == ENOBUFS) {
            *lost = true;
            continue;
        }
        if (got <= 0)
            return false;
        if (is_from_kernel(&header, &from) && nvme_uevent_parse(message, (size_t)got, out) &&
            out->what != NVME_UEVENT_OTHER)
            return true;
    }
}
