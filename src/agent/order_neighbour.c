/* The neighbour of a slice that is erased for the first time: markers of its own, from the same seed. Only what is to
 * be erased anyway is written to; the mind chooses it (core/host_trial.c). */
#include "agent/order.h"
#include "core/erase.h"

#include "base/must.h"
#include "nvme/nvme_drive.h"

#include <stdlib.h>

enum { NEAR_MARKERS = 16 };

/* Not those of the slice that is erased: its markers would be looked for here. */
static void seed_of(const struct order *order, uint8_t to[16])
{
    for (size_t i = 0; i < 16; i++)
        to[i] = (uint8_t)~order->seed[i];
}

struct look {
    unsigned seen;
    bool unread;
};

static struct look look_at(const struct order *order, struct nvme_ns *ns)
{
    struct err ignored = {0};
    struct look look = {.unread = !ns->ops->drop_cache(ns, &ignored)};
    uint8_t seed[16], expect[ERASE_BLOCK_MAX];
    void *block = NULL;
    must(posix_memalign(&block, 4096, ERASE_BLOCK_MAX) == 0);
    seed_of(order, seed);
    for (unsigned i = 0; i < NEAR_MARKERS && !look.unread; i++) {
        const uint64_t place = erase_marker_at(seed, ns->size_blocks, i);
        erase_marker(seed, place, expect, ns->block_bytes);
        look.unread = !ns->ops->read(ns, place, 1, block, &ignored);
        look.seen += !look.unread && memcmp(block, expect, ns->block_bytes) == 0;
    }
    free(block);
    return look;
}

static bool plant(const struct order *order, struct nvme_ns *ns, struct err *err)
{
    uint8_t seed[16];
    void *block = NULL;
    bool ok = true;
    must(posix_memalign(&block, 4096, ERASE_BLOCK_MAX) == 0);
    seed_of(order, seed);
    for (unsigned i = 0; i < NEAR_MARKERS && ok; i++) {
        const uint64_t place = erase_marker_at(seed, ns->size_blocks, i);
        erase_marker(seed, place, block, ns->block_bytes);
        ok = ns->ops->write(ns, place, 1, block, err);
    }
    free(block);
    if (!ok || !ns->ops->flush(ns, err))
        return false;
    const struct look look = look_at(order, ns);
    return (!look.unread && look.seen == NEAR_MARKERS) ||
           err_set(err, ERR_DEVICE, "what was written there is not read back");
}

static bool hold(const struct order_env *env, struct nvme_dev *dev, const struct order *order, struct nvme_ns **out,
                 struct err *err)
{
    struct nvme_ns_ident who = {.nsid = order->neighbour.nsid, .size_bytes = order->neighbour.size_bytes};
    const struct nvme_patience patience = order_patience(env);
    char path[PATH_TEXT_MAX];
    memcpy(who.nguid, order->neighbour.nguid, sizeof(who.nguid));
    memcpy(who.eui64, order->neighbour.eui64, sizeof(who.eui64));
    return nvme_expect_ns(dev, &order->ident, &who, err) &&
           nvme_wait_node(dev, who.nsid, &patience, path, err) && order_unused(env, dev, who.nsid, err) &&
           dev->ops->ns_open(dev, who.nsid, true, out, err);
}

bool neighbour_plant(const struct order_env *env, struct nvme_dev *dev, const struct order *order, struct nvme_ns **out,
                     struct err *err)
{
    struct nvme_ns *ns = NULL;
    *out = NULL;
    if (order->neighbour.nsid.v == 0)
        return true;
    must(order->neighbour.nsid.v != order->ns.nsid.v);
    bool ok = hold(env, dev, order, &ns, err);
    if (ok && ns->block_bytes > ERASE_BLOCK_MAX)
        ok = err_set(err, ERR_CONFLICT, "its blocks are too large");
    if (ok && plant(order, ns, err)) {
        *out = ns;
        return true;
    }
    nvme_ns_close(ns);
    err->kind = ERR_BUSY;
    err->sys = 0;
    return err_wrap(err, "cannot try on namespace %u whether an erase spares it", order->neighbour.nsid.v);
}

enum neighbour_fate neighbour_look(const struct order *order, struct nvme_ns *ns)
{
    const struct look look = look_at(order, ns);
    return look.unread ? NEIGHBOUR_UNREAD : look.seen == NEAR_MARKERS ? NEIGHBOUR_SPARED : NEIGHBOUR_HIT;
}
