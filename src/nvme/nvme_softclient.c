/* nvme_softclient.c - the drives of nsmith-softnvme as a port: admin commands over its socket, one connection for each
 * opened device; blocks straight from and to the media file, as QEMU does. */
#include "nvme/nvme_port.h"

#include "base/must.h"
#include "base/text.h"
#include "nvme/nvme_codec.h"
#include "nvme/soft_imagelock.h"
#include "nvme/soft_link.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BOUNCE = 1 << 20, ALIGN = 4096 };

struct client {
    char socket[108];
};

struct client_dev {
    struct nvme_dev dev;
    struct soft_link link;
    char serial[NVME_NAME_LEN];
};

struct client_ns {
    struct nvme_ns ns;
    int fd; /* owned */
    bool direct;
    void *bounce; /* owned: BOUNCE bytes, aligned for O_DIRECT */
    struct nvme_node node;
};

/* --- Blocks ------------------------------------------------------------------------------------------------------ */

/* File systems without O_DIRECT, and blocks smaller than theirs: through the cache, which is emptied around each use.
 */
static bool leave_direct(struct client_ns *ns)
{
    const int flags = fcntl(ns->fd, F_GETFL);
    if (!ns->direct || errno != EINVAL || flags < 0 || fcntl(ns->fd, F_SETFL, flags & ~O_DIRECT) < 0)
        return false;
    ns->direct = false;
    return true;
}

static bool empty_cache(const struct client_ns *ns)
{
    return fdatasync(ns->fd) == 0 && posix_fadvise(ns->fd, 0, 0, POSIX_FADV_DONTNEED) == 0;
}

static bool check_range(const struct nvme_ns *ns, uint64_t block, uint32_t count, struct err *err)
{
    if (count <= ns->size_blocks && block <= ns->size_blocks - count)
        return true;
    return err_nvme(err, NVME_ST_LBA_RANGE, "cannot reach block %ju of namespace %u", (uintmax_t)block, ns->nsid.v);
}

/* One piece through the aligned buffer. */
static ssize_t move_once(struct client_ns *ns, bool write, size_t len, off_t at)
{
    for (;;) {
        if (!ns->direct && !write && !empty_cache(ns))
            return -1;
        const ssize_t n = write ? pwrite(ns->fd, ns->bounce, len, at) : pread(ns->fd, ns->bounce, len, at);
        if (n >= 0 || (errno != EINTR && !leave_direct(ns)))
            return n;
    }
}

static bool move_blocks(struct nvme_ns *base, bool write, uint64_t block, uint32_t count, const uint8_t *from,
                        uint8_t *to, struct err *err)
{
    struct client_ns *ns = (struct client_ns *)base;
    uint64_t at = block * base->block_bytes, left = (uint64_t)count * base->block_bytes;
    if (!check_range(base, block, count, err))
        return false;
    while (left > 0) {
        const size_t len = left < BOUNCE ? (size_t)left : BOUNCE;
        if (write)
            memcpy(ns->bounce, from, len);
        const ssize_t n = move_once(ns, write, len, (off_t)at);
        if (n <= 0 || n % base->block_bytes != 0)
            return err_sys(err, n < 0 ? errno : EIO, "cannot %s block %ju of '%s'", write ? "write" : "read",
                           (uintmax_t)(at / base->block_bytes), ns->node.path);
        if (write) {
            from += n;
        } else {
            memcpy(to, ns->bounce, (size_t)n);
            to += n;
        }
        at += (uint64_t)n;
        left -= (uint64_t)n;
    }
    if (write && !ns->direct && !empty_cache(ns))
        return err_sys(err, errno, "cannot write '%s' to its media", ns->node.path);
    return true;
}

static bool ns_read(struct nvme_ns *ns, uint64_t block, uint32_t count, void *data, struct err *err)
{
    return move_blocks(ns, false, block, count, NULL, data, err);
}

static bool ns_write(struct nvme_ns *ns, uint64_t block, uint32_t count, const void *data, struct err *err)
{
    return move_blocks(ns, true, block, count, data, NULL, err);
}

static bool ns_flush(struct nvme_ns *base, struct err *err)
{
    const struct client_ns *ns = (const struct client_ns *)base;
    return fdatasync(ns->fd) == 0 || err_sys(err, errno, "cannot flush '%s'", ns->node.path);
}

static bool ns_drop_cache(struct nvme_ns *base, struct err *err)
{
    const struct client_ns *ns = (const struct client_ns *)base;
    return empty_cache(ns) || err_sys(err, errno, "cannot drop the cache of '%s'", ns->node.path);
}

static void ns_node(struct nvme_ns *base, struct nvme_node *out)
{
    *out = ((const struct client_ns *)base)->node;
}

static void ns_close(struct nvme_ns *base)
{
    struct client_ns *ns = (struct client_ns *)base;
    close(ns->fd); /* and the locks are gone */
    free(ns->bounce);
    free(ns);
}

static const struct nvme_ns_ops ns_ops = {.read = ns_read,
                                          .write = ns_write,
                                          .flush = ns_flush,
                                          .drop_cache = ns_drop_cache,
                                          .node = ns_node,
                                          .close = ns_close};

/* --- Commands ---------------------------------------------------------------------------------------------------- */

static void pack_cmd(const struct nvme_cmd *cmd, struct soft_wire_cmd *out)
{
    *out = (struct soft_wire_cmd){.opcode = cmd->opcode,
                                  .nsid = le32_of(cmd->nsid),
                                  .cdw = {le32_of(cmd->cdw10), le32_of(cmd->cdw11), le32_of(cmd->cdw12),
                                          le32_of(cmd->cdw13), le32_of(cmd->cdw14), le32_of(cmd->cdw15)},
                                  .data_len = le32_of(cmd->data_len),
                                  .timeout_ms = le32_of(cmd->timeout_ms)};
}

static bool take_done(const struct client_dev *dev, struct nvme_cmd *cmd, const uint8_t *answer, size_t len,
                      struct err *err)
{
    struct soft_wire_done done;
    if (len < sizeof(done))
        return err_set(err, ERR_FAILED, "cannot read the answer of drive '%s'", dev->serial);
    memcpy(&done, answer, sizeof(done));
    const uint16_t status = le16_get(done.status) & NVME_STATUS_MASK;
    const size_t expected = status == 0 && cmd->opcode & 2 ? cmd->data_len : 0;
    if (len - sizeof(done) != expected)
        return err_set(err, ERR_FAILED, "cannot read the answer of drive '%s'", dev->serial);
    cmd->result = le32_get(done.result);
    if (status != 0)
        return err_nvme(err, status, "cannot do %s on namespace %u of drive '%s'", nvme_op_name(cmd->opcode), cmd->nsid,
                        dev->serial);
    if (expected > 0)
        memcpy(cmd->data, answer + sizeof(done), expected);
    return true;
}

static bool dev_admin(struct nvme_dev *base, struct nvme_cmd *cmd, struct err *err)
{
    struct client_dev *dev = (struct client_dev *)base;
    struct soft_wire_cmd wire;
    uint8_t *answer;
    size_t len;
    if (!nvme_cmd_check(cmd, err))
        return false;
    pack_cmd(cmd, &wire);
    const struct soft_body body = {
        .a = &wire, .a_len = sizeof(wire), .b = cmd->data, .b_len = cmd->opcode & 1 ? cmd->data_len : 0};
    if (!soft_link_call(&dev->link, SOFT_WIRE_ADMIN, &body, cmd->timeout_ms, &answer, &len, err))
        return err_wrap(err, "%s on namespace %u of drive '%s'", nvme_op_name(cmd->opcode), cmd->nsid, dev->serial);
    const bool ok = take_done(dev, cmd, answer, len, err);
    free(answer);
    return ok;
}

static bool ask_path(struct client_dev *dev, struct nsid nsid, struct soft_wire_ns *ns_out, char path[PATH_TEXT_MAX],
                     struct err *err)
{
    const struct soft_wire_nsid wire = {.nsid = le32_of(nsid.v)};
    const struct soft_body body = {.a = &wire, .a_len = sizeof(wire)};
    uint8_t *answer;
    size_t len;
    if (!soft_link_call(&dev->link, SOFT_WIRE_NS_PATH, &body, NVME_TIMEOUT_MS, &answer, &len, err))
        return false;
    const bool ok = len > sizeof(*ns_out) && text_copy(path, PATH_TEXT_MAX, (const char *)answer + sizeof(*ns_out));
    if (ok)
        memcpy(ns_out, answer, sizeof(*ns_out));
    free(answer);
    return ok || err_set(err, ERR_FAILED, "cannot read the path of namespace %u of drive '%s'", nsid.v, dev->serial);
}

static bool dev_ns_path(struct nvme_dev *base, struct nsid nsid, char path[PATH_TEXT_MAX], struct err *err)
{
    struct soft_wire_ns unused;
    struct err why = {0};
    if (ask_path((struct client_dev *)base, nsid, &unused, path, &why))
        return true;
    if (why.kind == ERR_MISSING && why.sys == 0 && ((const struct client_dev *)base)->link.fd >= 0) {
        path[0] = '\0';
        return true;
    }
    *err = why;
    return false;
}

/* The drive, the process and the file must say the same: else the path is (already) that of something else. */
static bool compare(struct client_dev *dev, struct client_ns *ns, const struct soft_wire_ns *said, struct err *err)
{
    uint8_t page[NVME_PAGE];
    struct nvme_ns_page parsed;
    struct stat st;
    struct nvme_cmd cmd = {.opcode = NVME_OP_IDENTIFY,
                           .nsid = ns->ns.nsid.v,
                           .cdw10 = NVME_CNS_NS,
                           .data = page,
                           .data_len = sizeof(page),
                           .timeout_ms = NVME_TIMEOUT_MS};
    if (!dev_admin(&dev->dev, &cmd, err) || !nvme_parse_ns(page, sizeof(page), &parsed, err))
        return false;
    if (fstat(ns->fd, &st) < 0)
        return err_sys(err, errno, "cannot look at '%s'", ns->node.path);
    ns->ns.block_bytes = parsed.ns.block_bytes;
    ns->ns.size_blocks = parsed.ns.size_blocks;
    ns->node.dev = st.st_dev;
    ns->node.ino = st.st_ino;
    ns->node.size_bytes = (uint64_t)st.st_size;
    if (!S_ISREG(st.st_mode) || le32_get(said->block_bytes) != ns->ns.block_bytes ||
        le64_get(said->size_blocks) != ns->ns.size_blocks ||
        ns->node.size_bytes != ns->ns.size_blocks * ns->ns.block_bytes)
        return err_set(err, ERR_CONFLICT, "cannot open '%s': it is not namespace %u of drive '%s'", ns->node.path,
                       ns->ns.nsid.v, dev->serial);
    return true;
}

static int open_media(const char *path, bool *direct)
{
    int fd = open(path, O_RDWR | O_DIRECT | O_CLOEXEC | O_NOFOLLOW);
    *direct = fd >= 0;
    if (fd < 0 && errno == EINVAL) /* a file system without O_DIRECT, such as tmpfs */
        fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    return fd;
}

static bool dev_ns_open(struct nvme_dev *base, struct nsid nsid, bool exclusive, struct nvme_ns **out, struct err *err)
{
    struct client_dev *dev = (struct client_dev *)base;
    struct soft_wire_ns said;
    struct client_ns *ns = calloc(1, sizeof(*ns));
    must(ns != NULL);
    ns->ns = (struct nvme_ns){.ops = &ns_ops, .nsid = nsid};
    ns->fd = -1;
    bool ok = ask_path(dev, nsid, &said, ns->node.path, err);
    if (ok) {
        ns->fd = open_media(ns->node.path, &ns->direct);
        ok = ns->fd >= 0 || err_sys(err, errno, "cannot open '%s'", ns->node.path);
    }
    if (!ok || !soft_image_lock(ns->fd, exclusive, ns->node.path, err) || !compare(dev, ns, &said, err)) {
        if (ns->fd >= 0)
            close(ns->fd);
        free(ns);
        return false;
    }
    must(posix_memalign(&ns->bounce, ALIGN, BOUNCE) == 0);
    *out = &ns->ns;
    return true;
}

static bool dev_rescan(struct nvme_dev *base, struct err *err)
{
    struct client_dev *dev = (struct client_dev *)base;
    const struct soft_body body = {.a = NULL};
    uint8_t *answer;
    size_t len;
    if (!soft_link_call(&dev->link, SOFT_WIRE_RESCAN, &body, NVME_TIMEOUT_MS, &answer, &len, err))
        return false;
    free(answer);
    return true;
}

static void dev_close(struct nvme_dev *base)
{
    struct client_dev *dev = (struct client_dev *)base;
    soft_link_close(&dev->link);
    free(dev);
}

static const struct nvme_dev_ops dev_ops = {
    .admin = dev_admin, .ns_open = dev_ns_open, .ns_path = dev_ns_path, .rescan = dev_rescan, .close = dev_close};

/* --- The port ---------------------------------------------------------------------------------------------------- */

static bool take_names(const char *text, struct nvme_names *out, struct err *err)
{
    struct nvme_names names = {.count = 0};
    while (*text != '\0') {
        const size_t len = strcspn(text, "\n");
        if (names.count == NVME_NAMES_MAX || len == 0 || len >= NVME_NAME_LEN)
            return err_set(err, ERR_FAILED, "cannot read the list of the software drives");
        memcpy(names.at[names.count], text, len);
        names.at[names.count++][len] = '\0';
        text += len + (text[len] == '\n');
    }
    *out = names;
    return true;
}

static bool port_list(void *self, struct nvme_names *out, struct err *err)
{
    const struct client *client = self;
    const struct soft_body body = {.a = NULL};
    struct soft_link link;
    uint8_t *answer;
    size_t len;
    if (!soft_link_open(client->socket, &link, err))
        return false;
    bool ok = soft_link_call(&link, SOFT_WIRE_LIST, &body, NVME_TIMEOUT_MS, &answer, &len, err);
    if (ok) {
        ok = take_names((const char *)answer, out, err);
        free(answer);
    }
    soft_link_close(&link);
    return ok;
}

static bool port_open(void *self, const char *name, struct nvme_dev **out, struct err *err)
{
    const struct client *client = self;
    const struct soft_body body = {.a = name, .a_len = strlen(name)};
    uint8_t *answer;
    size_t len;
    struct client_dev *dev = calloc(1, sizeof(*dev));
    must(dev != NULL);
    dev->dev.ops = &dev_ops;
    dev->link.fd = -1;
    if (!text_copy(dev->serial, sizeof(dev->serial), name)) {
        free(dev);
        return err_set(err, ERR_MISSING, "cannot open drive '%s': no drive has so long a name", name);
    }
    if (!soft_link_open(client->socket, &dev->link, err) ||
        !soft_link_call(&dev->link, SOFT_WIRE_OPEN, &body, NVME_TIMEOUT_MS, &answer, &len, err)) {
        dev_close(&dev->dev);
        return false;
    }
    free(answer);
    *out = &dev->dev;
    return true;
}

static void port_close(void *self)
{
    free(self);
}

bool nvme_softclient_open(const char *socket, struct nvme_port *out, struct err *err)
{
    struct client *client = calloc(1, sizeof(*client));
    must(client != NULL);
    if (!text_copy(client->socket, sizeof(client->socket), socket)) {
        free(client);
        return err_set(err, ERR_INPUT, "cannot use socket '%s': its path is too long", socket);
    }
    *out = (struct nvme_port){.self = client, .list = port_list, .open = port_open, .close = port_close};
    return true;
}
