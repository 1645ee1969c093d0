#include "agent/order.h"

#include "base/must.h"
#include "base/text.h"
#include "nvme/nvme_drive.h"

#include <stdlib.h>

/* ---- finding a drive ------------------------------------------------------------------------------------------- */

/* One drive may have several controllers, but not two with one number; and without an NQN nothing says that it is one. */
static bool is_second_way(const struct drive_ident *ident, uint16_t cntlid, uint16_t other)
{
    return ident->nqn[0] != '\0' && cntlid != other;
}

bool order_list(const struct order_env *env, struct order_list *out, struct err *err)
{
    struct nvme_names names;
    uint16_t cntlids[HOST_DRIVES_MAX * 2];
    if (!env->nvme->list(env->nvme->self, &names, err))
        return false;
    *out = (struct order_list){0};
    for (size_t i = 0; i < names.count && out->count < HOST_DRIVES_MAX * 2; i++) {
        auto_nvme_dev struct nvme_dev *dev = NULL;
        struct err ignored = {0}; /* a drive that does not answer is as good as not there */
        struct drive_ident ident;
        uint16_t cntlid;
        if (!env->nvme->open(env->nvme->self, names.at[i], &dev, &ignored) || !nvme_ident(dev, &ident, &cntlid, &ignored) ||
            ident.serial[0] == '\0')
            continue;
        bool known = false;
        for (size_t k = 0; k < out->count; k++)
            known = known || (drive_ident_eq(&out->idents[k], &ident) && is_second_way(&ident, cntlid, cntlids[k]));
        if (known)
            continue;
        cntlids[out->count] = cntlid;
        out->idents[out->count++] = ident;
    }
    return true;
}

struct way {
    struct nvme_dev *dev; /* owned */
    char name[NVME_NAME_LEN];
    uint16_t cntlid;
};

/* Puts the one to use first. A controller that does not answer now has no namespaces to be reached by. */
static void way_choose(struct way *ways, size_t count)
{
    size_t best = 0;
    bool best_has = false;
    for (size_t i = 0; i < count && count > 1; i++) {
        struct err ignored = {0};
        bool has = false;
        nvme_has_namespaces(ways[i].dev, &has, &ignored);
        if (i == 0 || (has && !best_has) || (has == best_has && ways[i].cntlid < ways[best].cntlid)) {
            best = i;
            best_has = has;
        }
    }
    const struct way first = ways[best];
    ways[best] = ways[0];
    ways[0] = first;
}

/* false: a second drive cannot be told from the first. */
static bool ways_find(const struct order_env *env, const struct drive_ident *ident, const struct nvme_names *names,
                      struct way ways[NVME_PATHS_MAX], size_t *count)
{
    for (size_t i = 0; i < names->count && *count < NVME_PATHS_MAX; i++) {
        struct nvme_dev *dev = NULL;
        struct err ignored = {0};
        struct drive_ident found;
        uint16_t cntlid;
        if (!env->nvme->open(env->nvme->self, names->at[i], &dev, &ignored))
            continue;
        const bool same = nvme_ident(dev, &found, &cntlid, &ignored) && drive_ident_eq(&found, ident);
        bool twin = false;
        for (size_t k = 0; k < *count; k++)
            twin = twin || !is_second_way(ident, cntlid, ways[k].cntlid);
        if (!same || twin)
            nvme_dev_close(dev);
        if (same && twin)
            return false;
        if (!same)
            continue;
        ways[*count] = (struct way){.dev = dev, .cntlid = cntlid};
        text_cut(ways[(*count)++].name, NVME_NAME_LEN, names->at[i]);
    }
    return true;
}

bool order_open(const struct order_env *env, const struct drive_ident *ident, struct nvme_dev **out,
                struct order_found *found, struct err *err)
{
    struct nvme_names names;
    struct way ways[NVME_PATHS_MAX];
    size_t count = 0;
    if (!env->nvme->list(env->nvme->self, &names, err))
        return false;
    const bool one_drive = ways_find(env, ident, &names, ways, &count);
    if (one_drive && count > 0)
        way_choose(ways, count);
    for (size_t i = 0; i < count; i++) {
        if (found != NULL) {
            found->ctrls.at[i] = ways[i].cntlid;
            memcpy(found->names[i], ways[i].name, sizeof(found->names[i]));
        }
        if (i > 0 || !one_drive)
            nvme_dev_close(ways[i].dev);
    }
    if (!one_drive)
        return err_set(err, ERR_CONFLICT, "cannot tell drive '%s' apart: two drives report its identity", ident->serial);
    if (count == 0)
        return err_set(err, ERR_MISSING, "cannot find drive '%s': no drive with its identity answers", ident->serial);
    if (found != NULL)
        found->ctrls.count = count;
    *out = ways[0].dev;
    return true;
}

struct nvme_patience order_patience(const struct order_env *env)
{
    return (struct nvme_patience){.limit_ms = ORDER_NODE_WAIT_MS, .ctx = env->ctx, .sleep_ms = env->sleep_ms};
}

/* ---- looking ------------------------------------------------------------------------------------------------------ */

/* Looks at every namespace for what is not ours. One that cannot be opened cannot be looked into, so it counts as
 * foreign: attach it, or remove it with other tools. */
static void look_for_foreign(const struct order_env *env, struct nvme_dev *dev, struct drive_seen *seen)
{
    for (size_t i = 0; i < seen->ns_count; i++) {
        struct nvme_ns *ns = NULL;
        struct err err = {0};
        struct nvme_node node;
        if (!dev->ops->ns_open(dev, seen->ns[i].nsid, false, &ns, &err)) {
            foreign_add(&seen->foreign, FOREIGN_UNREADABLE, seen->ns[i].nsid, err.msg);
            continue;
        }
        ns->ops->node(ns, &node);
        nvme_ns_close(ns); /* or the check would find ourselves */
        env->foreign(env->ctx, &seen->ident, seen->ns[i].nsid, &node, &seen->foreign);
    }
}

/* A second controller may show a namespace that the first does not, or, on a host without multipath, the same one by
 * another block device, which somebody may use. */
static bool look_other_way(const struct order_env *env, const char *name, uint16_t cntlid, struct drive_seen *seen,
                           struct err *err)
{
    auto_nvme_dev struct nvme_dev *dev = NULL;
    struct drive_seen *other = calloc(1, sizeof(*other));
    must(other != NULL);
    const bool ok = env->nvme->open(env->nvme->self, name, &dev, err) && nvme_scan(dev, other, err) &&
                    ((drive_ident_eq(&other->ident, &seen->ident) && other->caps.cntlid == cntlid) ||
                     err_set(err, ERR_BUSY, "cannot look at drive '%s' by '%s': it became another controller",
                             seen->ident.serial, name));
    size_t kept = 0;
    for (size_t i = 0; ok && i < other->ns_count; i++) {
        const struct ns_seen *first = drive_ns(seen, other->ns[i].nsid);
        if (first == NULL)
            foreign_add(&seen->foreign, FOREIGN_NAMESPACE, other->ns[i].nsid, name);
        else if (other->ns[i].attached && strcmp(other->ns[i].path, first->path) != 0)
            other->ns[kept++] = other->ns[i];
    }
    other->ns_count = kept;
    other->foreign = seen->foreign;
    if (ok)
        look_for_foreign(env, dev, other);
    seen->foreign = other->foreign;
    free(other);
    return ok;
}

bool order_scan(const struct order_env *env, struct nvme_dev *dev, const struct order_found *found,
                const struct order *order, struct order_done *out, struct err *err)
{
    struct drive_seen *seen = calloc(1, sizeof(*seen));
    must(seen != NULL);
    if (!nvme_scan(dev, seen, err)) {
        free(seen);
        return false;
    }
    if (!drive_ident_eq(&seen->ident, &order->ident)) {
        free(seen);
        return err_set(err, ERR_CONFLICT, "cannot scan drive '%s': another one answers in its place", order->ident.serial);
    }
    text_cut(seen->name, sizeof(seen->name), found->names[0]);
    if (dev->ops->place != NULL)
        dev->ops->place(dev, seen->place);
    if (order->fresh)
        look_for_foreign(env, dev, seen);
    for (size_t i = 1; order->fresh && i < found->ctrls.count; i++)
        if (!look_other_way(env, found->names[i], found->ctrls.at[i], seen, err)) {
            free(seen);
            return false;
        }
    free(out->seen);
    out->seen = seen;
    return true;
}

static struct nvme_ns_ident ns_of(const struct order *order)
{
    struct nvme_ns_ident ns = {.nsid = order->ns.nsid, .size_bytes = order->ns.size_bytes};
    memcpy(ns.nguid, order->ns.nguid, sizeof(ns.nguid));
    memcpy(ns.eui64, order->ns.eui64, sizeof(ns.eui64));
    return ns;
}

static bool node(const struct order_env *env, struct nvme_dev *dev, const struct order *order, struct order_done *out, struct err *err)
{
    const struct nvme_ns_ident ns = ns_of(order);
    const struct nvme_patience patience = order_patience(env);
    char path[PATH_TEXT_MAX];
    auto_nvme_ns struct nvme_ns *open_ns = NULL;
    if (!nvme_expect_ns(dev, &order->ident, &ns, err) ||
        !nvme_wait_node(dev, ns.nsid, &patience, path, err) ||
        !dev->ops->ns_open(dev, ns.nsid, false, &open_ns, err))
        return false;
    open_ns->ops->node(open_ns, &out->node);
    if (out->node.size_bytes != ns.size_bytes)
        return err_set(err, ERR_CONFLICT, "cannot use namespace %u of drive '%s': its node is %ju bytes, not %ju",
                       ns.nsid.v, order->ident.serial, (uintmax_t)out->node.size_bytes, (uintmax_t)ns.size_bytes);
    return open_ns->ops->hold == NULL || open_ns->ops->hold(open_ns, &out->hold, err);
}

bool order_unused(const struct order_env *env, struct nvme_dev *dev, struct nsid nsid, struct err *err)
{
    struct nvme_ns *ns = NULL;
    struct nvme_node node;
    if (env->unused == NULL)
        return true;
    if (!dev->ops->ns_open(dev, nsid, false, &ns, err))
        return false;
    ns->ops->node(ns, &node);
    nvme_ns_close(ns); /* or the check would find ourselves */
    return env->unused(env->ctx, nsid, &node, err);
}

/* What anybody has open is not taken away: a guest that lives still, or somebody who has begun to use a namespace since
 * it was found blank. It is held alone while it goes. One that cannot be opened at all nobody can use. */
static bool detach(const struct order_env *env, struct nvme_dev *dev, const struct order *order,
                   const struct nvme_ns_ident *ns, const struct nvme_ctrls *from, struct err *err)
{
    auto_nvme_ns struct nvme_ns *held = NULL;
    struct err why = {0};
    if (!nvme_expect_ns(dev, &order->ident, ns, err))
        return false;
    if (!order_unused(env, dev, ns->nsid, &why) && why.kind == ERR_BUSY) {
        *err = why;
        return err_wrap(err, "cannot detach namespace %u of drive '%s'", ns->nsid.v, order->ident.serial);
    }
    err_clear(&why);
    if (!dev->ops->ns_open(dev, ns->nsid, true, &held, &why) && why.kind == ERR_BUSY) {
        *err = why;
        return err_wrap(err, "cannot detach namespace %u of drive '%s'", ns->nsid.v, order->ident.serial);
    }
    return nvme_detach(dev, &order->ident, ns, from, err);
}

static bool run(const struct order_env *env, struct nvme_dev *dev, const struct order_found *found,
                const struct order *order, struct order_done *out, struct err *err)
{
    const struct nvme_ns_ident ns = ns_of(order);
    switch (order->kind) {
    case ORDER_SCAN:
        return order_scan(env, dev, found, order, out, err);
    case ORDER_CREATE:
        return nvme_create(dev, &order->ident,
                           &(struct nvme_ns_spec){.size_blocks = order->size_blocks, .lbaf = order->lbaf}, &out->nsid, err);
    case ORDER_ATTACH:
        return nvme_expect_ns(dev, &order->ident, &ns, err) && nvme_attach(dev, &order->ident, ns.nsid, err);
    case ORDER_DETACH:
        return detach(env, dev, order, &ns, &found->ctrls, err);
    case ORDER_DELETE:
        return nvme_delete(dev, &order->ident, &ns, err);
    case ORDER_NODE:
        return node(env, dev, order, out, err);
    case ORDER_ERASE:
        order_erase(env, dev, order, out);
        *err = out->err;
        return out->ok;
    case ORDER_FIRMWARE:
        return order_firmware(env, dev, found, order, out, err);
    case ORDER_PROBE:
        return order_probe(env, dev, order, out, err);
    case ORDER_LIST:
    case ORDER_VIRT_LIST:
    case ORDER_VM_START:
    case ORDER_VM_SHUTDOWN:
    case ORDER_VM_REBOOT:
    case ORDER_VM_DESTROY:
    case ORDER_VM_UNDEFINE:
    case ORDER_KIND_COUNT:
        break;
    }
    must(false);
    return false;
}

void order_run(const struct order_env *env, const struct order *order, struct order_done *out)
{
    *out = (struct order_done){0};
    struct err err = {0};
    auto_nvme_dev struct nvme_dev *dev = NULL;
    struct order_found found;
    out->ok = order_open(env, &order->ident, &dev, &found, &err) && run(env, dev, &found, order, out, &err);
    if (!out->ok)
        out->err = err;
}

struct host_event order_event(enum host_event_kind kind, const struct order *order, const struct order_done *done)
{
    return (struct host_event){.kind = kind,
                               .seen = done->seen,
                               .fresh = order->fresh,
                               .order = order,
                               .ok = done->ok,
                               .err = &done->err,
                               .nsid = done->nsid,
                               .block_device = done->node.block_device,
                               .dev = done->node.dev,
                               .ino = done->node.ino,
                               .rdev = done->node.rdev,
                               .path = done->node.path,
                               .erasure = done->have_erasure ? &done->erasure : NULL,
                               .neighbour = done->neighbour,
                               .result = done->have_result ? &done->result : NULL};
}
