/* One table (record_jmap) writes and reads a record. "signature" is optional in it, so the very same function gives
 * the signed text (without the member) and the whole text (with it); its order is the canonical order. */
#include "cert/cert.h"

#include "base/must.h"
#include "base/text.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define FORMAT "erasure/1"

struct record {
    char nsmith[16];
    uint8_t prev[crypto_hash_sha256_BYTES];
    struct erasure erasure;
    uint8_t public_key[crypto_sign_PUBLICKEYBYTES];
    uint8_t signature[crypto_sign_BYTES];
};

static const struct jfield record_fields[] = {
    {JSTR(struct record, nsmith)},
    {JHEX(struct record, prev)},
    {JOBJ(struct record, erasure, erasure_jmap)},
    {JHEX(struct record, public_key)},
    {JHEX(struct record, signature), .optional = true},
};
static const struct jmap record_jmap = JMAP(struct record, record_fields);

_Static_assert(CERT_HASH_HEX == 2 * crypto_hash_sha256_BYTES + 1, "a hash in hex fits");
_Static_assert(CERT_KEY_HEX == 2 * crypto_sign_PUBLICKEYBYTES + 1, "a public key in hex fits");
_Static_assert(sizeof(((struct cert_key *)0)->secret) == crypto_sign_SECRETKEYBYTES, "libsodium's secret key fits");

static void freep(char **text)
{
    free(*text);
}
#define auto_text __attribute__((cleanup(freep)))

void cert_key_make(struct cert_key *out, const uint8_t seed[32])
{
    must(sodium_init() >= 0);
    must(crypto_sign_seed_keypair(out->public, out->secret, seed) == 0);
}

static void hash_hex(const char *text, size_t len, char out[CERT_HASH_HEX])
{
    uint8_t hash[crypto_hash_sha256_BYTES];
    crypto_hash_sha256(hash, (const unsigned char *)text, len);
    text_hex(out, hash, sizeof(hash));
}

void cert_hash(const char *text, char out[CERT_HASH_HEX])
{
    hash_hex(text, strlen(text), out);
}

bool cert_sign(const struct cert_key *key, const char prev_hash[CERT_HASH_HEX], const struct erasure *erasure,
               char out[CERT_TEXT_MAX], struct err *err)
{
    must(sodium_init() >= 0);
    struct record record = {.nsmith = FORMAT, .erasure = *erasure};
    if (!text_unhex(record.prev, sizeof(record.prev), prev_hash))
        return err_set(err, ERR_INPUT, "cannot sign erasure '%s': the hash of the record before is not 64 hex digits",
                       erasure->id.v);
    memcpy(record.public_key, key->public, sizeof(record.public_key));
    auto_text char *unsigned_text = jmap_text(&record_jmap, &record);
    must(crypto_sign_detached(record.signature, NULL, (const unsigned char *)unsigned_text, strlen(unsigned_text),
                              key->secret) == 0);
    auto_text char *text = jmap_text(&record_jmap, &record);
    if (strlen(text) >= CERT_TEXT_MAX)
        return err_set(err, ERR_INPUT, "cannot sign erasure '%s': its record has %zu bytes, at most %d are allowed",
                       erasure->id.v, strlen(text), CERT_TEXT_MAX - 1);
    struct cert_facts facts; /* What was written is read back: a record that nobody can verify is worse than none. */
    if (!cert_verify(text, strlen(text), NULL, &facts, err))
        return err_wrap(err, "cannot sign erasure '%s'", erasure->id.v);
    must(text_copy(out, CERT_TEXT_MAX, text));
    return true;
}

/* Length of the signed part without its closing brace; 0 when the text does not end in the signature member. */
static size_t signed_len(const char *text, size_t len)
{
    static const char name[] = ",\"signature\":\"", end[] = "\"}";
    const size_t name_len = sizeof(name) - 1, end_len = sizeof(end) - 1;
    const size_t tail_len = name_len + 2 * crypto_sign_BYTES + end_len;
    if (len <= tail_len)
        return 0;
    const char *tail = text + len - tail_len;
    if (memcmp(tail, name, name_len) != 0 || memcmp(text + len - end_len, end, end_len) != 0)
        return 0;
    return len - tail_len;
}

static bool check_form(const char *text, size_t len, struct record *record, struct err *err)
{
    if (len >= CERT_TEXT_MAX)
        return err_set(err, ERR_INPUT, "it has %zu bytes, at most %d are allowed", len, CERT_TEXT_MAX - 1);
    if (signed_len(text, len) == 0)
        return err_set(err, ERR_INPUT, "it does not end in a signature (cut off, appended to, or no certificate)");
    if (!jmap_parse(&record_jmap, text, len, JMAP_STRICT, record, err))
        return false;
    if (strcmp(record->nsmith, FORMAT) != 0)
        return err_set(err, ERR_INPUT, "its format is '%s', only '%s' is known", record->nsmith, FORMAT);
    auto_text char *again = jmap_text(&record_jmap, record);
    if (strlen(again) != len || memcmp(again, text, len) != 0)
        return err_set(err, ERR_INPUT, "it is not in canonical form (compact, members in order): it was changed");
    return true;
}

static bool check_key(const struct record *record, const char *want_key, struct err *err)
{
    uint8_t want[crypto_sign_PUBLICKEYBYTES];
    if (want_key == NULL)
        return true;
    if (!text_unhex(want, sizeof(want), want_key))
        return err_set(err, ERR_INPUT, "the public key to check against is not %zu hex digits", 2 * sizeof(want));
    if (memcmp(want, record->public_key, sizeof(want)) == 0)
        return true;
    char have_hex[CERT_KEY_HEX], want_hex[CERT_KEY_HEX];
    text_hex(have_hex, record->public_key, sizeof(record->public_key));
    text_hex(want_hex, want, sizeof(want));
    err_set(err, ERR_INPUT, "it names the public key %s, wanted is %s", have_hex, want_hex);
    return err_hint(err, "compare with the key that the host's agent registered; it may have been rotated");
}

/* Over the bytes that came, not over what was read from them. */
static bool check_signature(const char *text, size_t len, const struct record *record, struct err *err)
{
    char plain[CERT_TEXT_MAX];
    size_t plain_len = signed_len(text, len);
    must(plain_len > 0 && plain_len + 1 < sizeof(plain));
    memcpy(plain, text, plain_len);
    plain[plain_len++] = '}';
    if (crypto_sign_verify_detached(record->signature, (const unsigned char *)plain, plain_len, record->public_key) ==
        0)
        return true;
    return err_set(err, ERR_INPUT, "the signature does not match: a byte of it was changed, or another key signed it");
}

bool cert_verify(const char *text, size_t len, const char *want_key, struct cert_facts *out, struct err *err)
{
    must(sodium_init() >= 0);
    struct record record;
    if (!check_form(text, len, &record, err) || !check_key(&record, want_key, err) ||
        !check_signature(text, len, &record, err))
        return err_wrap(err, "cannot verify certificate");
    out->erasure = record.erasure;
    text_hex(out->prev_hash, record.prev, sizeof(record.prev));
    text_hex(out->public_key, record.public_key, sizeof(record.public_key));
    hash_hex(text, len, out->hash);
    return true;
}
