#include "agent/order.h"

#include "base/must.h"
#include "base/text.h"
#include "nvme/nvme_drive.h"

#include <stdlib.h>

bool order_list(const struct order_env *env, struct order_list *out, struct err *err)
{
    struct nvme_names names;
    if (!env->nvme->list(env->nvme->self, &names, err))
        return false;
    *out = (struct order_list){0};
    for (size_t i = 0; i < names.count && out->count < HOST_DRIVES_MAX * 2; i++) {
        auto_nvme_dev struct nvme_dev *dev = NULL;
        struct err ignored = {0}; /* a drive that does not answer is as good as not there */
        struct drive_ident ident;
        if (!env->nvme->open(env->nvme->self, names.at[i], &dev, &ignored) || !nvme_ident(dev, &ident, &ignored))
            continue;
        if (ident.serial[0] != '\0')
            out->idents[out->count++] = ident;
    }
    return true;
}

bool order_open(const struct order_env *env, const struct drive_ident *ident, struct nvme_dev **out,
                char name_out[NVME_NAME_LEN], struct err *err)
{
    struct nvme_names names;
    if (!env->nvme->list(env->nvme->self, &names, err))
        return false;
    struct nvme_dev *match = NULL;
    for (size_t i = 0; i < names.count; i++) {
        struct nvme_dev *dev = NULL;
        struct err ignored = {0};
        struct drive_ident found;
        if (!env->nvme->open(env->nvme->self, names.at[i], &dev, &ignored))
            continue;
        const bool same = nvme_ident(dev, &found, &ignored) && drive_ident_eq(&found, ident);
        if (same && match != NULL) {
            nvme_dev_close(dev);
            nvme_dev_close(match);
            return err_set(err, ERR_CONFLICT, "cannot tell drive '%s' apart: two drives report its identity", ident->serial);
        }
        if (!same) {
            nvme_dev_close(dev);
            continue;
        }
        match = dev;
        if (name_out != NULL)
            text_cut(name_out, NVME_NAME_LEN, names.at[i]);
    }
    if (match == NULL)
        return err_set(err, ERR_MISSING, "cannot find drive '%s': no drive with its identity answers", ident->serial);
    *out = match;
    return true;
}

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

bool order_scan(const struct order_env *env, struct nvme_dev *dev, const char *name, const struct order *order,
                struct order_done *out, struct err *err)
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
    text_cut(seen->name, sizeof(seen->name), name);
    if (dev->ops->place != NULL)
        dev->ops->place(dev, seen->place);
    if (order->fresh)
        look_for_foreign(env, dev, seen);
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

static bool node(struct nvme_dev *dev, const struct order *order, struct order_done *out, struct err *err)
{
    const struct nvme_ns_ident ns = ns_of(order);
    char path[PATH_TEXT_MAX];
    auto_nvme_ns struct nvme_ns *open_ns = NULL;
    if (!nvme_expect_ns(dev, &order->ident, &ns, err) ||
        !nvme_wait_node(dev, ns.nsid, ORDER_NODE_WAIT_MS, path, err) ||
        !dev->ops->ns_open(dev, ns.nsid, false, &open_ns, err))
        return false;
    open_ns->ops->node(open_ns, &out->node);
    if (out->node.size_bytes != ns.size_bytes)
        return err_set(err, ERR_CONFLICT, "cannot use namespace %u of drive '%s': its node is %ju bytes, not %ju",
                       ns.nsid.v, order->ident.serial, (uintmax_t)out->node.size_bytes, (uintmax_t)ns.size_bytes);
    return true;
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
                   const struct nvme_ns_ident *ns, struct err *err)
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
    return nvme_detach(dev, &order->ident, ns, err);
}

static bool erase(const struct order_env *env, struct nvme_dev *dev, const struct order *order, struct order_done *out,
                  struct err *err)
{
    const bool tagged = order->neighbour.nsid.v != 0 && neighbour_tag(env, dev, order);
    order_erase(env, dev, order, out);
    if (tagged && out->have_erasure)
        out->neighbour = neighbour_look(dev, order);
    if (!out->ok)
        *err = out->err;
    return out->ok;
}

static bool run(const struct order_env *env, struct nvme_dev *dev, const char *name, const struct order *order,
                struct order_done *out, struct err *err)
{
    const struct nvme_ns_ident ns = ns_of(order);
    switch (order->kind) {
    case ORDER_SCAN:
        return order_scan(env, dev, name, order, out, err);
    case ORDER_CREATE:
        return nvme_create(dev, &order->ident,
                           &(struct nvme_ns_spec){.size_blocks = order->size_blocks, .lbaf = order->lbaf}, &out->nsid, err);
    case ORDER_ATTACH:
        return nvme_expect_ns(dev, &order->ident, &ns, err) && nvme_attach(dev, &order->ident, ns.nsid, err);
    case ORDER_DETACH:
        return detach(env, dev, order, &ns, err);
    case ORDER_DELETE:
        return nvme_delete(dev, &order->ident, &ns, err);
    case ORDER_NODE:
        return node(dev, order, out, err);
    case ORDER_ERASE:
        return erase(env, dev, order, out, err);
    case ORDER_FIRMWARE:
        return order_firmware(env, dev, name, order, out, err);
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
    char name[NVME_NAME_LEN];
    out->ok = order_open(env, &order->ident, &dev, name, &err) && run(env, dev, name, order, out, &err);
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
