/* Orders of tasks (model/task.h): what a person asks of one drive. */
#include "agent/order.h"
#include "core/erase.h"
#include "core/qualify.h"

#include "base/must.h"
#include "base/text.h"
#include "nvme/nvme_drive.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

/* Two looks on one descriptor: what a drive is must not change while nobody changes it. */
bool order_probe(const struct order_env *env, struct nvme_dev *dev, const struct order *order, struct order_done *out,
                 struct err *err)
{
    struct drive_seen *looks = calloc(2, sizeof(*looks));
    struct probe_facts facts = {.first = &looks[0], .second = &looks[1]};
    must(looks != NULL);
    bool ok = nvme_expect(dev, &order->ident, err) && nvme_scan(dev, &looks[0], err);
    const uint64_t begun_ms = env->unix_ms(env->ctx);
    ok = ok && nvme_scan(dev, &looks[1], err);
    const uint64_t ended_ms = env->unix_ms(env->ctx);
    facts.scan_ms = ended_ms > begun_ms ? ended_ms - begun_ms : 0;
    ok = ok && nvme_compare_pages(dev, &facts.pages, err);
    if (ok)
        qualify(&facts, &out->result);
    out->have_result = ok;
    free(looks);
    return ok;
}

/* ---- firmware ------------------------------------------------------------------------------------------------- */

enum { LOOK_AGAIN_MS = 500, LOOK_AGAIN_TIMES = 60, PIECE_BYTES = 4096 };

static void free_bytes(uint8_t **bytes)
{
    free(*bytes);
}

static bool digest_is(const uint8_t *image, uint32_t len, const char *want)
{
    uint8_t hash[crypto_hash_sha256_BYTES];
    char got[FIRMWARE_DIGEST_HEX];
    crypto_hash_sha256(hash, image, len);
    text_hex(got, hash, sizeof(hash));
    return strcmp(got, want) == 0;
}

/* The whole image is here, and the right one, before the drive hears of it. */
static bool image_get(const struct order_env *env, const struct firmware_job *job, uint8_t *image, struct err *err)
{
    if (env->firmware == NULL)
        return err_set(err, ERR_MISSING, "cannot get firmware image '%s': there is no way to it", job->digest);
    for (uint32_t at = 0; at < job->size_bytes; at += FIRMWARE_PIECE) {
        const uint32_t left = job->size_bytes - at;
        if (!env->firmware(env->ctx, job->digest, at / FIRMWARE_PIECE, image + at,
                           left < FIRMWARE_PIECE ? left : FIRMWARE_PIECE, err))
            return err_wrap(err, "cannot get firmware image '%.12s'", job->digest);
    }
    if (digest_is(image, job->size_bytes, job->digest))
        return true;
    return err_set(err, ERR_CONFLICT, "cannot use firmware image '%.12s': what came does not have that digest",
                   job->digest);
}

static bool image_send(const struct order_env *env, struct nvme_dev *dev, const struct order *order, uint32_t unit,
                       const uint8_t *image, struct err *err)
{
    const struct firmware_job *job = &order->job;
    const uint32_t piece = unit > PIECE_BYTES ? unit : PIECE_BYTES;
    for (uint32_t at = 0; at < job->size_bytes; at += piece) {
        const uint32_t left = job->size_bytes - at;
        if (!nvme_fw_download(dev, &order->ident, at, image + at, left < piece ? left : piece, err))
            return err_wrap(err, "cannot download the firmware to drive '%s'", order->ident.serial);
        env->progress(env->ctx, order, (unsigned)((uint64_t)at * 100 / job->size_bytes));
    }
    return true;
}

static void note(const struct order_env *env, struct task_result *result, const char *check, uint64_t *begun_ms,
                 const char *text)
{
    const uint64_t now_ms = env->unix_ms(env->ctx);
    task_line_add(result, check, VERDICT_QUALIFIED, now_ms > *begun_ms ? now_ms - *begun_ms : 0, text);
    *begun_ms = now_ms;
}

/* A controller that activates firmware may be away for a moment. What it runs then is the drive's word, not ours. */
static void look_again(const struct order_env *env, struct nvme_dev *dev, const struct order_found *found, const struct order *order,
                       struct order_done *out)
{
    struct task_result *result = &out->result;
    for (unsigned i = 0; i < LOOK_AGAIN_TIMES; i++) {
        struct err ignored = {0};
        if (order_scan(env, dev, found, order, out, &ignored)) {
            text_cut(result->firmware_is, sizeof(result->firmware_is), out->seen->firmware);
            return;
        }
        env->sleep_ms(env->ctx, LOOK_AGAIN_MS);
    }
    task_line_add(result, "look", VERDICT_LIMITED, 0, "the drive does not answer any more; reset it, then look again");
}

static bool update(const struct order_env *env, struct nvme_dev *dev, const struct order_found *found, const struct order *order,
                   const uint8_t *image, struct order_done *out, struct err *err)
{
    char text[160];
    struct task_result *result = &out->result;
    uint64_t at_ms = env->unix_ms(env->ctx);
    if (!image_send(env, dev, order, out->seen->fw.unit_bytes, image, err))
        return false;
    snprintf(text, sizeof(text), "%u bytes, SHA-256 %.12s", order->job.size_bytes, order->job.digest);
    note(env, result, "download", &at_ms, text);
    if (!nvme_fw_commit(dev, &order->ident, &order->job, &result->reset_needed, err))
        return err_wrap(err, "cannot commit the firmware of drive '%s'", order->ident.serial);
    snprintf(text, sizeof(text), "slot %s, activation: %s%s",
             order->job.slot == 0 ? "of the drive's choice" : "as asked", firmware_action_words[order->job.action],
             result->reset_needed ? "; it needs a reset" : "");
    note(env, result, "commit", &at_ms, text);
    look_again(env, dev, found, order, out);
    return true;
}

bool order_firmware(const struct order_env *env, struct nvme_dev *dev, const struct order_found *found, const struct order *order,
                    struct order_done *out, struct err *err)
{
    const struct firmware_job *job = &order->job;
    if (job->size_bytes == 0 || job->size_bytes > FIRMWARE_BYTES_MAX || job->size_bytes % 4 != 0)
        return err_set(err, ERR_INPUT,
                       "cannot use a firmware image of %u bytes: it must be a multiple of 4, 64 MiB at most",
                       job->size_bytes);
    if (!order_scan(env, dev, found, order, out, err))
        return false;
    if (out->seen->foreign.count > 0)
        return err_set(err, ERR_UNSAFE, "cannot update drive '%s': it %s: %s", order->ident.serial,
                       foreign_kind_text(out->seen->foreign.at[0].kind), out->seen->foreign.at[0].detail);
    __attribute__((cleanup(free_bytes))) uint8_t *image = NULL;
    void *memory = NULL;
    must(posix_memalign(&memory, 4096, job->size_bytes) == 0);
    image = memory;
    text_cut(out->result.firmware_was, sizeof(out->result.firmware_was), out->seen->firmware);
    const bool ok = image_get(env, job, image, err) && update(env, dev, found, order, image, out, err);
    out->have_result = true; /* how far it came */
    return ok;
}
