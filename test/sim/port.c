/* The agent's way to the drives: the software drives' own port, and around it names that change, points at which the
 * agent's process ends, paths as a host has them, and the checkers that see what is sent to whom. */
#include "sim.h"

#include "base/must.h"
#include "base/text.h"

#include <stdlib.h>

enum { LONGEST_MS = 60000 }; /* what a command may take; hours elsewhere */

struct sim_dev {
    struct nvme_dev dev;
    struct nvme_dev *inner; /* owned */
    struct sim_host *at;
    unsigned drive;
};

struct sim_ns {
    struct nvme_ns ns;
    struct nvme_ns *inner; /* owned */
    struct sim_host *at;
    unsigned drive;
};

static bool is_dead(struct sim_host *at, struct err *err)
{
    return at->dead && !err_set(err, ERR_FAILED, "cannot go on: the agent has ended");
}

bool port_point(struct sim_host *at, struct err *err)
{
    if (at->crash_in > 0 && --at->crash_in == 0)
        at->dead = true;
    return !is_dead(at, err);
}

/* ---- one namespace --------------------------------------------------------------------------------------------- */

static struct sim_ns *ns_of(struct nvme_ns *ns)
{
    return (struct sim_ns *)ns;
}

static bool ns_read(struct nvme_ns *ns, uint64_t block, uint32_t count, void *data, struct err *err)
{
    struct sim_ns *self = ns_of(ns);
    torture_command(self->at, self->drive, true, 0x02);
    return !is_dead(self->at, err) && self->inner->ops->read(self->inner, block, count, data, err);
}

static bool ns_write(struct nvme_ns *ns, uint64_t block, uint32_t count, const void *data, struct err *err)
{
    struct sim_ns *self = ns_of(ns);
    if (!port_point(self->at, err))
        return false;
    check_written(self->at, self->drive, ns->nsid.v);
    torture_command(self->at, self->drive, true, 0x01);
    return self->inner->ops->write(self->inner, block, count, data, err) && !is_dead(self->at, err);
}

static bool ns_flush(struct nvme_ns *ns, struct err *err)
{
    struct sim_ns *self = ns_of(ns);
    torture_command(self->at, self->drive, true, 0x00);
    return port_point(self->at, err) && self->inner->ops->flush(self->inner, err);
}

static bool ns_drop_cache(struct nvme_ns *ns, struct err *err)
{
    struct sim_ns *self = ns_of(ns);
    return port_point(self->at, err) && self->inner->ops->drop_cache(self->inner, err);
}

static void path_of(const struct sim_host *at, unsigned drive, uint32_t nsid, char path[PATH_TEXT_MAX])
{
    snprintf(path, PATH_TEXT_MAX, "/sim/%u/%u/%u", at->index, drive, nsid);
}

static void ns_node(struct nvme_ns *ns, struct nvme_node *out)
{
    const struct sim_ns *self = ns_of(ns);
    self->inner->ops->node(self->inner, out);
    path_of(self->at, self->drive, ns->nsid.v, out->path);
}

static void ns_close(struct nvme_ns *ns)
{
    struct sim_ns *self = ns_of(ns);
    nvme_ns_close(self->inner);
    free(self);
}

static const struct nvme_ns_ops ns_ops = {.read = ns_read,
                                          .write = ns_write,
                                          .flush = ns_flush,
                                          .drop_cache = ns_drop_cache,
                                          .node = ns_node,
                                          .close = ns_close};

/* ---- one controller -------------------------------------------------------------------------------------------- */

static struct sim_dev *dev_of(struct nvme_dev *dev)
{
    return (struct sim_dev *)dev;
}

static bool dev_admin(struct nvme_dev *dev, struct nvme_cmd *cmd, struct err *err)
{
    struct sim_dev *self = dev_of(dev);
    const bool format = cmd->opcode == 0x80;
    const bool last = self->at->crash_in == 1 && format; /* it outlives the agent that sent it */
    if (last)
        self->at->crash_in = 0;
    if (!port_point(self->at, err))
        return false;
    check_sent(self->at, self->drive, cmd);
    torture_command(self->at, self->drive, false, cmd->opcode);
    if (cmd->timeout_ms > LONGEST_MS)
        cmd->timeout_ms = LONGEST_MS;
    if (last)
        cmd->timeout_ms = 1;
    const bool ok = self->inner->ops->admin(self->inner, cmd, err);
    if (ok)
        check_did(self->at, self->drive, cmd);
    if (last)
        self->at->dead = true;
    if (ok && is_dead(self->at, err))
        return false;
    return ok;
}

static bool dev_ns_open(struct nvme_dev *dev, struct nsid nsid, bool exclusive, struct nvme_ns **out, struct err *err)
{
    struct sim_dev *self = dev_of(dev);
    struct nvme_ns *inner;
    if (!port_point(self->at, err) || !self->inner->ops->ns_open(self->inner, nsid, exclusive, &inner, err))
        return false;
    struct sim_ns *ns = calloc(1, sizeof(*ns));
    must(ns != NULL);
    *ns = (struct sim_ns){.ns = *inner, .inner = inner, .at = self->at, .drive = self->drive};
    ns->ns.ops = &ns_ops;
    *out = &ns->ns;
    return true;
}

static bool dev_ns_path(struct nvme_dev *dev, struct nsid nsid, char path[PATH_TEXT_MAX], struct err *err)
{
    struct sim_dev *self = dev_of(dev);
    char ignored[PATH_TEXT_MAX];
    if (is_dead(self->at, err) || !self->inner->ops->ns_path(self->inner, nsid, ignored, err))
        return false;
    path[0] = '\0';
    if (soft_drive_visible(self->at->soft[self->drive], nsid.v))
        path_of(self->at, self->drive, nsid.v, path);
    return true;
}

static bool dev_rescan(struct nvme_dev *dev, struct err *err)
{
    struct sim_dev *self = dev_of(dev);
    return port_point(self->at, err) && self->inner->ops->rescan(self->inner, err);
}

static void dev_close(struct nvme_dev *dev)
{
    nvme_dev_close(dev_of(dev)->inner);
    free(dev);
}

static const struct nvme_dev_ops dev_ops = {
    .admin = dev_admin, .ns_open = dev_ns_open, .ns_path = dev_ns_path, .rescan = dev_rescan, .close = dev_close};

/* ---- all of them ----------------------------------------------------------------------------------------------- */

/* Between a look at the names and the opening of one, devices come and go, and others take their names. */
static void names_swap(struct sim_host *at)
{
    struct sim_drive *a = &at->drives[sim_rand(at->sim, at->drive_count)];
    struct sim_drive *b = &at->drives[sim_rand(at->sim, at->drive_count)];
    const uint32_t name = a->name;
    a->name = b->name;
    b->name = name;
    at->sim->tally.swaps += a != b;
    agent_news(at, (unsigned)(a - at->drives));
    agent_news(at, (unsigned)(b - at->drives));
    if (at->order != NULL && a != b) /* an order may find nothing under the names it has seen */
        a->suspect = b->suspect = true;
}

static bool port_list(void *self, struct nvme_names *out, struct err *err)
{
    struct sim_host *at = self;
    if (!port_point(at, err))
        return false;
    out->count = 0;
    for (uint32_t name = 0; name < at->drive_count; name++)
        for (size_t i = 0; i < at->drive_count; i++)
            if (at->drives[i].name == name && soft_drive_present(at->soft[i]))
                snprintf(out->at[out->count++], NVME_NAME_LEN, "nvme%u", name);
    return true;
}

static bool port_open_one(void *self, const char *name, struct nvme_dev **out, struct err *err)
{
    struct sim_host *at = self;
    if (!port_point(at, err))
        return false;
    for (unsigned i = 0; i < at->drive_count; i++) {
        char there[NVME_NAME_LEN];
        struct nvme_dev *inner;
        snprintf(there, sizeof(there), "nvme%u", at->drives[i].name);
        if (strcmp(there, name) != 0)
            continue;
        if (!at->inner.open(at->inner.self, soft_drive_serial(at->soft[i]), &inner, err))
            return false;
        struct sim_dev *dev = calloc(1, sizeof(*dev));
        must(dev != NULL);
        *dev = (struct sim_dev){.dev = {.ops = &dev_ops}, .inner = inner, .at = at, .drive = i};
        *out = &dev->dev;
        if (sim_chance(at->sim, 3))
            names_swap(at);
        return true;
    }
    return err_set(err, ERR_MISSING, "cannot open '%s': there is no such device", name);
}

void port_open(struct sim_host *at)
{
    at->port = (struct nvme_port){.self = at, .list = port_list, .open = port_open_one};
}

/* ---- what is behind a path now ----------------------------------------------------------------------------------- */

static bool node_of(struct sim_host *at, unsigned drive, uint32_t nsid, struct nvme_node *out)
{
    auto_nvme_dev struct nvme_dev *dev = NULL;
    auto_nvme_ns struct nvme_ns *ns = NULL;
    struct err ignored = {0};
    if (!at->inner.open(at->inner.self, soft_drive_serial(at->soft[drive]), &dev, &ignored) ||
        !dev->ops->ns_open(dev, (struct nsid){nsid}, false, &ns, &ignored))
        return false;
    ns->ops->node(ns, out);
    return true;
}

bool port_resolve(struct sim *sim, const char *path, struct sim_disk *out)
{
    unsigned host, drive, nsid;
    struct nvme_node node;
    if (sscanf(path, "/sim/%u/%u/%u", &host, &drive, &nsid) != 3 || host >= sim->host_count ||
        drive >= sim->hosts[host].drive_count || !node_of(&sim->hosts[host], drive, nsid, &node))
        return false;
    out->host = host;
    out->drive = drive;
    out->nsid = nsid;
    out->ino = node.ino;
    return true;
}

bool port_behind(void *ctx, const char *path, struct virt_fake_behind *out)
{
    struct sim_host *at = ctx;
    struct sim_disk disk;
    struct nvme_node node;
    if (!port_resolve(at->sim, path, &disk) || !node_of(&at->sim->hosts[disk.host], disk.drive, disk.nsid, &node))
        return false;
    *out = (struct virt_fake_behind){.dev = node.dev, .ino = node.ino, .rdev = node.rdev};
    return true;
}
