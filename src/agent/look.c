#include "agent/look.h"

#include "base/must.h"
#include "base/text.h"
#include "probe/probe.h"

#include <stdlib.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* The process behind a software drive has its file open by right. Who it is, its socket says; 0: unknown. */
static pid_t softnvme_pid(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct ucred peer = {0};
    socklen_t len = sizeof(peer);
    if (path == NULL || !text_copy(address.sun_path, sizeof(address.sun_path), path))
        return 0;
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return 0;
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
        getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
        peer.pid = 0;
    close(fd);
    return peer.pid;
}

void look_foreign(const char *softnvme, struct nsid nsid, const struct nvme_node *node, struct foreign_list *list)
{
    const pid_t drive_process = softnvme_pid(softnvme);
    struct probe_options options = {
        .node = {.dev = node->dev, .ino = node->ino, .rdev = node->rdev},
        .allowed = &drive_process,
        .allowed_count = drive_process > 0 ? 1 : 0,
        .pass_over_denied = !node->block_device}; /* software drives: who may not be looked into is passed over */
    must(getrandom(&options.seed, sizeof(options.seed), 0) == sizeof(options.seed));
    probe_all(node->path, nsid, &options, list);
}

bool look_unused(const char *softnvme, struct nsid nsid, const struct nvme_node *node, struct err *err)
{
    const pid_t allowed[] = {softnvme_pid(softnvme), getpid()};
    const struct probe_options options = {.node = {.dev = node->dev, .ino = node->ino, .rdev = node->rdev},
                                          .allowed = allowed,
                                          .allowed_count = sizeof(allowed) / sizeof(allowed[0]),
                                          .pass_over_denied = !node->block_device};
    struct foreign_list *list = calloc(1, sizeof(*list));
    must(list != NULL);
    probe_use(node->path, nsid, &options, list);
    if (list->count > 0)
        err_set(err, ERR_BUSY, "cannot have '%s' alone: it %s: %s", node->path, foreign_kind_text(list->at[0].kind),
                list->at[0].detail);
    const bool unused = list->count == 0;
    free(list);
    return unused;
}
