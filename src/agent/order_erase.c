/* One erase: markers, method, proof. The order of things is the whole point:
 *   1. hold the namespace alone (nobody else has it open), identify it on that descriptor;
 *   1b. where the drive has still to show that it spares a neighbour: plant markers there, too;
 *   2. remember samples of what is there, plant markers, flush, drop caches, and see the markers on the media;
 *   3. let the drive erase (or overwrite);
 *   4. drop caches, read every marker, every sample and further places back;
 *   4b. look at the neighbour;
 *   5. see that still nobody else has it open.
 * "Success" without 4 is a failed erase. What was seen goes into the record, whatever came out. */
#include "agent/order.h"
#include "core/erase.h"

#include "base/must.h"
#include "base/text.h"
#include "nvme/nvme_drive.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { CHUNK_BYTES = 1 << 20, POLL_MS = 200 };

struct work {
    const struct order_env *env;
    struct nvme_dev *dev;
    struct nvme_ns *ns;
    const struct order *order;
    struct nvme_ns_ident ident;
    struct erasure *record;
    uint8_t *block, *expect; /* one block each, aligned for O_DIRECT */
    uint8_t *samples;        /* ERASE_SAMPLES blocks of old content */
    bool sampled[ERASE_SAMPLES];
};

static void *aligned(size_t bytes)
{
    void *memory = NULL;
    must(posix_memalign(&memory, 4096, bytes) == 0);
    return memory;
}

static bool is_uniform(const uint8_t *block, uint32_t bytes)
{
    return memcmp(block, block + 1, bytes - 1) == 0;
}

static bool is_marker_place(const struct work *work, uint64_t place)
{
    for (unsigned i = 0; i < ERASE_MARKERS; i++)
        if (erase_marker_at(work->order->seed, work->ns->size_blocks, i) == place)
            return true;
    return false;
}

/* Uniform blocks (never written, or wiped by the guest) prove nothing later, so they are not counted. */
static bool samples_take(struct work *work, struct err *err)
{
    const uint32_t bytes = work->ns->block_bytes;
    for (unsigned i = 0; i < ERASE_SAMPLES; i++) {
        const uint64_t place = erase_sample_at(work->order->seed, work->ns->size_blocks, i);
        if (!work->ns->ops->read(work->ns, place, 1, work->block, err))
            return false;
        work->sampled[i] = !is_uniform(work->block, bytes) && !is_marker_place(work, place);
        memcpy(work->samples + (size_t)i * ERASE_BLOCK_MAX, work->block, bytes);
        work->record->old_sampled += work->sampled[i];
    }
    return true;
}

static bool markers_plant(struct work *work, struct err *err)
{
    const uint32_t bytes = work->ns->block_bytes;
    for (unsigned i = 0; i < ERASE_MARKERS; i++) {
        const uint64_t place = erase_marker_at(work->order->seed, work->ns->size_blocks, i);
        erase_marker(work->order->seed, place, work->block, bytes);
        if (!work->ns->ops->write(work->ns, place, 1, work->block, err))
            return false;
    }
    if (!work->ns->ops->flush(work->ns, err) || !work->ns->ops->drop_cache(work->ns, err))
        return false;
    for (unsigned i = 0; i < ERASE_MARKERS; i++) {
        const uint64_t place = erase_marker_at(work->order->seed, work->ns->size_blocks, i);
        erase_marker(work->order->seed, place, work->expect, bytes);
        if (!work->ns->ops->read(work->ns, place, 1, work->block, err))
            return false;
        work->record->markers += memcmp(work->block, work->expect, bytes) == 0;
    }
    return true;
}

static bool overwrite(struct work *work, struct err *err)
{
    const uint32_t bytes = work->ns->block_bytes, count = CHUNK_BYTES / bytes;
    uint8_t *chunk = aligned(CHUNK_BYTES);
    struct rng rng = {0};
    memcpy(&rng.state, work->order->seed, sizeof(rng.state));
    bool ok = true;
    unsigned told = 0;
    for (uint64_t at = 0; ok && at < work->ns->size_blocks; at += count) {
        const uint64_t left = work->ns->size_blocks - at;
        for (size_t i = 0; i < CHUNK_BYTES; i += 8) {
            const uint64_t bits = rng_next(&rng);
            memcpy(chunk + i, &bits, 8);
        }
        ok = work->ns->ops->write(work->ns, at, left < count ? (uint32_t)left : count, chunk, err);
        const unsigned percent = (unsigned)((at + 1) * 100 / work->ns->size_blocks);
        if (percent != told)
            work->env->progress(work->env->ctx, work->order, told = percent);
    }
    free(chunk);
    return ok && work->ns->ops->flush(work->ns, err);
}

/* Sanitize Namespace only begins; the drive says when it has ended. */
static bool sanitize_ns(struct work *work, struct err *err)
{
    if (!nvme_sanitize_ns(work->dev, &work->order->ident, &work->ident, NVME_TIMEOUT_MS, err))
        return false;
    for (uint64_t waited = 0; waited < ORDER_FORMAT_TIMEOUT_MS; waited += POLL_MS) {
        struct nvme_progress progress = {0};
        if (!nvme_progress(work->dev, work->ident.nsid, &progress, err))
            return false;
        if (progress.failed)
            return err_set(err, ERR_DEVICE, "cannot erase slice '%s': the drive reports that its sanitize failed",
                           work->order->slice.v);
        if (!progress.running)
            return true;
        if (progress.known)
            work->env->progress(work->env->ctx, work->order, progress.percent);
        work->env->sleep_ms(work->env->ctx, POLL_MS);
    }
    err_set(err, ERR_BUSY, "cannot erase slice '%s': the drive did not end its sanitize in time", work->order->slice.v);
    err->sys = ETIMEDOUT;
    return false;
}

static bool method_run(struct work *work, struct err *err)
{
    const struct drive_ident *who = &work->order->ident;
    switch (work->order->method) {
    case ERASE_SANITIZE_NS:
        return sanitize_ns(work, err);
    case ERASE_FORMAT_CRYPTO:
        return nvme_format(work->dev, who, &work->ident, 2, ORDER_FORMAT_TIMEOUT_MS, err);
    case ERASE_FORMAT_USER:
        return nvme_format(work->dev, who, &work->ident, 1, ORDER_FORMAT_TIMEOUT_MS, err);
    case ERASE_OVERWRITE:
        return overwrite(work, err);
    case ERASE_NONE:
    case ERASE_SANITIZE: /* the whole drive: never the erase of one slice */
    case ERASE_METHOD_COUNT:
        break;
    }
    return err_set(err, ERR_UNSAFE, "cannot erase slice '%s': no method of this drive spares its neighbours",
                   work->order->slice.v);
}

static bool check_block(struct work *work, uint64_t place, const uint8_t *old)
{
    struct err ignored = {0};
    if (!work->ns->ops->read(work->ns, place, 1, work->block, &ignored))
        return false;
    const uint32_t bytes = work->ns->block_bytes;
    work->record->checked++;
    work->record->found_zero += erase_is_zero(work->block, bytes);
    work->record->found_old += old != NULL && memcmp(work->block, old, bytes) == 0;
    return true;
}

/* Any marker of this erase, wherever it is met, is old content. */
static bool check_random(struct work *work, uint64_t place)
{
    erase_marker(work->order->seed, place, work->expect, work->ns->block_bytes);
    return check_block(work, place, work->expect);
}

/* false: something could not be read, so nothing is proven. */
static bool read_back(struct work *work)
{
    struct err ignored = {0};
    const uint64_t blocks = work->ns->size_blocks;
    const uint8_t *seed = work->order->seed;
    if (!work->ns->ops->drop_cache(work->ns, &ignored))
        return false;
    for (unsigned i = 0; i < ERASE_MARKERS; i++)
        if (!check_random(work, erase_marker_at(seed, blocks, i)))
            return false;
    for (unsigned i = 0; i < ERASE_SAMPLES; i++)
        if (work->sampled[i] &&
            !check_block(work, erase_sample_at(seed, blocks, i), work->samples + (size_t)i * ERASE_BLOCK_MAX))
            return false;
    for (unsigned i = 0; i < ERASE_RANDOM; i++)
        if (!check_random(work, erase_random_at(seed, blocks, i)))
            return false;
    return true;
}

static void record_begin(const struct work *work, struct erasure *record)
{
    const struct order *order = work->order;
    *record = (struct erasure){.id = order->erasure,
                               .drive = order->ident,
                               .slice = order->slice,
                               .generation = order->generation,
                               .nsid = order->ns.nsid,
                               .size_bytes = order->ns.size_bytes,
                               .block_bytes = work->ns->block_bytes,
                               .method = order->method,
                               .wear_out = order->wear_out,
                               .wear_back = order->wear_back,
                               .started_ms = work->env->unix_ms(work->env->ctx)};
    text_cut(record->host.v, sizeof(record->host.v), work->env->host);
    text_cut(record->firmware, sizeof(record->firmware), order->firmware);
    text_cut(record->software, sizeof(record->software), "nsmith-agent " NSMITH_VERSION);
    memcpy(record->nguid, order->ns.nguid, sizeof(record->nguid));
    memcpy(record->eui64, order->ns.eui64, sizeof(record->eui64));
    memcpy(record->sample_seed, order->seed, sizeof(record->sample_seed));
}

/* The drive is at something else on this namespace, or somebody has it open: no erase has begun; try again. A
 * time-out is another matter: the erase may have been done, half done or not done, and a person decides. */
static bool is_not_begun(const struct err *err)
{
    return err->kind == ERR_BUSY && err->sys != ETIMEDOUT;
}

static bool erase_held(struct work *work, struct order_done *out)
{
    struct erasure *record = &out->erasure;
    struct err err = {0};
    bool drive_done = false, all_read = false;
    if (samples_take(work, &err) && markers_plant(work, &err) && method_run(work, &err)) {
        drive_done = true;
        record->drive_done_ms = work->env->unix_ms(work->env->ctx);
        work->env->said(work->env->ctx, work->order);
        all_read = read_back(work);
    } else if (is_not_begun(&err)) {
        out->err = err;
        return false;
    }
    record->nvme_status = err.nvme;
    record->ended_ms = work->env->unix_ms(work->env->ctx);
    erase_judge(record, drive_done, all_read);
    if (err.kind != ERR_NONE) {
        text_cut(record->note, sizeof(record->note), err.msg);
        if (err.kind == ERR_UNSAFE)
            record->verdict = ERASE_REFUSED;
    }
    out->have_erasure = true;
    return true;
}

void order_erase(const struct order_env *env, struct nvme_dev *dev, const struct order *order, struct order_done *out)
{
    struct work work = {.env = env, .dev = dev, .order = order, .record = &out->erasure};
    work.ident = (struct nvme_ns_ident){.nsid = order->ns.nsid, .size_bytes = order->ns.size_bytes};
    memcpy(work.ident.nguid, order->ns.nguid, sizeof(work.ident.nguid));
    memcpy(work.ident.eui64, order->ns.eui64, sizeof(work.ident.eui64));
    auto_nvme_ns struct nvme_ns *ns = NULL;
    const struct nvme_patience patience = order_patience(env);
    char path[PATH_TEXT_MAX];
    out->ok = nvme_expect_ns(dev, &order->ident, &work.ident, &out->err) &&
              nvme_wait_node(dev, order->ns.nsid, &patience, path, &out->err) &&
              order_unused(env, dev, order->ns.nsid, &out->err) &&
              dev->ops->ns_open(dev, order->ns.nsid, true, &ns, &out->err);
    if (!out->ok)
        return;
    auto_nvme_ns struct nvme_ns *near = NULL;
    if (ns->block_bytes > ERASE_BLOCK_MAX || ns->block_bytes != order->block_bytes) {
        out->ok = err_set(&out->err, ERR_CONFLICT, "cannot erase slice '%s': its blocks are %u bytes, not %u",
                          order->slice.v, ns->block_bytes, order->block_bytes);
        return;
    }
    out->ok = neighbour_plant(env, dev, order, &near, &out->err);
    if (!out->ok)
        return;
    work.ns = ns;
    work.block = aligned(ERASE_BLOCK_MAX);
    work.expect = aligned(ERASE_BLOCK_MAX);
    work.samples = aligned((size_t)ERASE_SAMPLES * ERASE_BLOCK_MAX);
    record_begin(&work, &out->erasure);
    out->ok = erase_held(&work, out);
    if (near != NULL)
        out->neighbour = neighbour_look(order, near);
    if (out->neighbour == NEIGHBOUR_HIT && out->have_erasure)
        snprintf(out->erasure.note, sizeof(out->erasure.note),
                 "the drive erased namespace %u too, which it should have spared", order->neighbour.nsid.v);
    nvme_ns_close(ns);
    ns = NULL;
    /* Whoever opened it meanwhile would read what the next tenant writes: then all begins anew, once that has ended. */
    if (out->ok && out->erasure.verdict == ERASE_VERIFIED && !order_unused(env, dev, order->ns.nsid, &out->err)) {
        out->ok = false;
        out->have_erasure = false;
    }
    free(work.samples);
    free(work.expect);
    free(work.block);
}
