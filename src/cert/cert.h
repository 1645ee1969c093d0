/* cert.h - the agent's chain of erasure records, and certificates: JSON, SHA-256, Ed25519 (libsodium).
 *
 * A record is one JSON object in compact form, keys in this order:
 *   {"nsmith":"erasure/1","prev":"<hex SHA-256 of the record before, zeros for the first>","erasure":{...erasure_jmap...},
 *    "public_key":"<hex>","signature":"<hex Ed25519 over everything before this member, that is over the compact
 *    text of the object without "signature">"}
 *   - Members of "erasure" that hold nothing and are optional (wear_out, wear_back) are left out.
 *   - Its hash is the SHA-256 of the whole compact text.
 *   - Any change of any byte makes cert_verify() fail, and tells which check failed.
 *   - A certificate is such a record whose verdict is "verified"; it can be checked offline with the public key. */
#ifndef NSMITH_CERT_H
#define NSMITH_CERT_H

#include "base/err.h"
#include "model/erasure.h"

enum { CERT_TEXT_MAX = 4096, CERT_HASH_HEX = 65, CERT_KEY_HEX = 65 };

struct cert_key {
    uint8_t secret[64], public[32];
};

/* Loads the key file (0600, hex of the secret key); makes it (atomically, synced) when there is none. */
bool cert_key_open(const char *path, struct cert_key *out, struct err *err);
void cert_key_make(struct cert_key *out, const uint8_t seed[32]); /* for tests and simulation: same seed, same key */

bool cert_sign(const struct cert_key *key, const char prev_hash[CERT_HASH_HEX], const struct erasure *erasure,
               char out[CERT_TEXT_MAX], struct err *err);
void cert_hash(const char *text, char out[CERT_HASH_HEX]);

/* want_key: hex public key that must have signed it, or NULL: the one inside is believed (say so to the user). */
struct cert_facts {
    struct erasure erasure;
    char prev_hash[CERT_HASH_HEX];
    char public_key[CERT_KEY_HEX];
    char hash[CERT_HASH_HEX];
};
bool cert_verify(const char *text, size_t len, const char *want_key, struct cert_facts *out, struct err *err);

#endif
