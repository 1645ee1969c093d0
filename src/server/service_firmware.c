/* Firmware images on their way from a person to an agent: kept in pieces, so that every server of the database has
 * them, until the drive is done with them. */
#include "server/service_priv.h"

#include "base/must.h"
#include "base/text.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

enum { PIECES_MAX = FIRMWARE_BYTES_MAX / FIRMWARE_PIECE };
static const uint64_t LEFT_MS = 24ull * 3600 * 1000; /* an image that nobody asked a drive to take goes */

static void piece_key(char out[80], const char *digest, uint32_t number)
{
    snprintf(out, 80, "%.64s/%05u", digest, number);
}

static uint32_t pieces_of(const struct firmware_job *job)
{
    return (job->size_bytes + FIRMWARE_PIECE - 1) / FIRMWARE_PIECE;
}

static bool is_digest(const char *text)
{
    return strlen(text) == FIRMWARE_DIGEST_HEX - 1 && strspn(text, "0123456789abcdef") == FIRMWARE_DIGEST_HEX - 1;
}

/* ---- what was left behind -------------------------------------------------------------------------------------- */

struct old_pieces {
    uint64_t before_ms;
    char keys[16][80]; /* some at each upload; there are always more uploads than leftovers */
    size_t count;
};

static bool old_keep(void *ctx, const void *row)
{
    struct old_pieces *old = ctx;
    const struct row_firmware *piece = row;
    if (piece->made_ms < old->before_ms)
        memcpy(old->keys[old->count++], piece->key, sizeof(piece->key));
    return old->count < sizeof(old->keys) / sizeof(old->keys[0]);
}

static bool old_forget(struct service *service, uint64_t now_ms, struct err *err)
{
    const struct store *store = service->store;
    static const struct store_filter all = {0};
    struct old_pieces old = {.before_ms = now_ms > LEFT_MS ? now_ms - LEFT_MS : 0};
    bool ok = store->each(store->self, ROW_FIRMWARE, &all, old_keep, &old, err);
    for (size_t i = 0; ok && i < old.count; i++)
        ok = store->del(store->self, ROW_FIRMWARE, old.keys[i], err);
    return ok;
}

/* ---- pieces ----------------------------------------------------------------------------------------------------- */

bool service_firmware_put(struct service *service, const struct firmware_piece *piece, uint64_t now_ms, struct err *err)
{
    const size_t digits = strlen(piece->hex);
    if (!is_digest(piece->digest) || piece->number >= PIECES_MAX || digits == 0 || digits % 2 != 0 ||
        strspn(piece->hex, "0123456789abcdef") != digits)
        return err_set(err, ERR_INPUT,
                       "cannot take a piece of a firmware image: want a SHA-256 in hex, a number below %d "
                       "and 1 to %d bytes in hex",
                       PIECES_MAX, FIRMWARE_PIECE);
    if (piece->number == 0 && !old_forget(service, now_ms, err))
        return false;
    struct row_firmware *row = calloc(1, sizeof(*row));
    must(row != NULL);
    piece_key(row->key, piece->digest, piece->number);
    row->made_ms = now_ms;
    memcpy(row->hex, piece->hex, sizeof(row->hex));
    const bool ok = service->store->put(service->store->self, ROW_FIRMWARE, row, err);
    free(row);
    return ok;
}

bool service_firmware_get(struct service *service, struct firmware_piece *piece, struct err *err)
{
    struct row_firmware *row = calloc(1, sizeof(*row));
    char key[80];
    must(row != NULL);
    piece_key(key, piece->digest, piece->number);
    const bool ok = must_get(service, ROW_FIRMWARE, "firmware piece", key, row, err);
    if (ok)
        memcpy(piece->hex, row->hex, sizeof(piece->hex));
    free(row);
    return ok;
}

/* ---- a whole image ---------------------------------------------------------------------------------------------- */

static bool image_hash(struct service *service, const struct firmware_job *job, struct firmware_piece *piece,
                       uint8_t room[FIRMWARE_PIECE], char out[65], struct err *err)
{
    crypto_hash_sha256_state state;
    uint8_t hash[crypto_hash_sha256_BYTES];
    uint32_t bytes = 0;
    crypto_hash_sha256_init(&state);
    text_cut(piece->digest, sizeof(piece->digest), job->digest);
    for (piece->number = 0; piece->number < pieces_of(job); piece->number++) {
        if (!service_firmware_get(service, piece, err))
            return false;
        const uint32_t len = (uint32_t)strlen(piece->hex) / 2;
        must(text_unhex(room, len, piece->hex)); /* as it was taken */
        crypto_hash_sha256_update(&state, room, len);
        bytes += len;
    }
    crypto_hash_sha256_final(&state, hash);
    text_hex(out, hash, sizeof(hash));
    return bytes == job->size_bytes ||
           err_set(err, ERR_CONFLICT, "cannot use firmware image '%.12s': %u of %u bytes are here", job->digest, bytes,
                   job->size_bytes);
}

bool firmware_check(struct service *service, const struct firmware_job *job, bool image_too, struct err *err)
{
    char hash[65];
    if (!is_digest(job->digest) || job->size_bytes == 0 || job->size_bytes > FIRMWARE_BYTES_MAX ||
        job->size_bytes % 4 != 0) {
        err_set(err, ERR_INPUT,
                "cannot use a firmware image of %u bytes: it must be a multiple of 4, 64 MiB at most, and have "
                "a SHA-256 in hex",
                job->size_bytes);
        return err_hint(err, "take the file as the vendor gives it, unpacked");
    }
    if (!image_too)
        return true;
    struct firmware_piece *piece = calloc(1, sizeof(*piece));
    uint8_t *room = malloc(FIRMWARE_PIECE);
    must(piece != NULL && room != NULL);
    bool ok = image_hash(service, job, piece, room, hash, err);
    if (ok && strcmp(hash, job->digest) != 0)
        ok = err_set(err, ERR_CONFLICT, "cannot use firmware image '%.12s': what is here does not have that digest",
                     job->digest);
    free(room);
    free(piece);
    return ok;
}

bool firmware_forget(struct service *service, const struct firmware_job *job, struct err *err)
{
    auto_rows struct rows drives;
    if (!rows_read(service, ROW_DRIVE, NULL, &drives, err))
        return false;
    for (size_t i = 0; i < drives.count; i++)
        if (strcmp(((const struct row_drive *)rows_at(&drives, i))->task.firmware.digest, job->digest) == 0)
            return true; /* another drive is to have it too */
    for (uint32_t number = 0; number < pieces_of(job) && number < PIECES_MAX; number++) {
        char key[80];
        piece_key(key, job->digest, number);
        if (!service->store->del(service->store->self, ROW_FIRMWARE, key, err))
            return false;
    }
    return true;
}
