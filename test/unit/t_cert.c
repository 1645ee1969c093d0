#include "cert/cert.h"

#include "base/text.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static const char no_hash[CERT_HASH_HEX] = "0000000000000000000000000000000000000000000000000000000000000000";

static const struct erasure sample = {
    .id = {"8a3c8b6e-55a7-4a35-9d3e-0f6d1f0a2b11"},
    .seq = 1,
    .host = {"rack1-node7"},
    .drive = {.vendor_id = 0x144d, .serial = "S4EMNX0R123456", .model = "SAMSUNG MZQLB1T9HAJR-00007", .nqn = "nqn.x:1"},
    .firmware = "EDA5402Q",
    .slice = {"s-0f3a"},
    .generation = 7,
    .nsid = {3},
    .nguid = {0xde, 0xad},
    .size_bytes = 499289948160,
    .block_bytes = 4096,
    .method = ERASE_FORMAT_CRYPTO,
    .verdict = ERASE_VERIFIED,
    .started_ms = 1790000000000,
    .drive_done_ms = 1790000001000,
    .ended_ms = 1790000002000,
    .markers = 64,
    .old_sampled = 64,
    .checked = 256,
    .found_zero = 256,
    .sample_seed = {1, 2, 3},
    .software = "nsmith-agent 0.1.0",
    .note = "note with \"quotes\", \\ and caf\xc3\xa9",
};

static struct cert_key key_of(uint8_t byte)
{
    struct cert_key key;
    uint8_t seed[32];
    memset(seed, byte, sizeof(seed));
    cert_key_make(&key, seed);
    return key;
}

static void public_hex(const struct cert_key *key, char to[CERT_KEY_HEX])
{
    text_hex(to, key->public, sizeof(key->public));
}

static void sign(const struct cert_key *key, const char *prev, const struct erasure *erasure, char text[CERT_TEXT_MAX])
{
    struct err err = {0};
    if (!cert_sign(key, prev, erasure, text, &err))
        fail_msg("cannot sign: %s", err.msg);
}

/* false with an error, and the facts untouched. */
static void assert_refused(const char *rule, const char *text, size_t len, const char *want_key)
{
    struct err err = {0};
    struct cert_facts facts, before;
    memset(&facts, 0x5a, sizeof(facts));
    before = facts;
    if (cert_verify(text, len, want_key, &facts, &err))
        fail_msg("%s: got verified, want refused", rule);
    if (err.kind != ERR_INPUT || err.msg[0] == '\0')
        fail_msg("%s: got kind %d, message '%s', want a message and kind %d", rule, err.kind, err.msg, ERR_INPUT);
    if (memcmp(&facts, &before, sizeof(facts)) != 0)
        fail_msg("%s: facts were changed", rule);
}

static void assert_message(const char *rule, const char *text, size_t len, const char *want_key, const char *part)
{
    struct err err = {0};
    struct cert_facts facts;
    assert_refused(rule, text, len, want_key);
    cert_verify(text, len, want_key, &facts, &err);
    if (strstr(err.msg, part) == NULL)
        fail_msg("%s: got '%s', want '...%s...'", rule, err.msg, part);
}

static void test_signed_verifies(void **state)
{
    (void)state;
    struct cert_key key = key_of(1);
    char text[CERT_TEXT_MAX], hash[CERT_HASH_HEX], public[CERT_KEY_HEX];
    struct cert_facts facts;
    struct err err = {0};
    sign(&key, no_hash, &sample, text);
    public_hex(&key, public);
    cert_hash(text, hash);
    if (!cert_verify(text, strlen(text), public, &facts, &err) || !cert_verify(text, strlen(text), NULL, &facts, &err))
        fail_msg("cannot verify: %s", err.msg);
    assert_memory_equal(&facts.erasure, &sample, sizeof(sample));
    assert_string_equal(facts.prev_hash, no_hash);
    assert_string_equal(facts.public_key, public);
    assert_string_equal(facts.hash, hash);
}

static void test_canonical_text(void **state)
{
    (void)state;
    struct cert_key key = key_of(1);
    char text[CERT_TEXT_MAX], again[CERT_TEXT_MAX];
    static const char begin[] = "{\"nsmith\":\"erasure/1\",\"prev\":\"0000000000000000000000000000000000000000000000000"
                                "000000000000000\",\"erasure\":{\"id\":\"8a3c8b6e-";
    sign(&key, no_hash, &sample, text);
    sign(&key, no_hash, &sample, again);
    assert_string_equal(text, again);
    assert_memory_equal(text, begin, sizeof(begin) - 1);
    const char *public = strstr(text, "},\"public_key\":\"");
    assert_non_null(public);
    assert_memory_equal(public + 16 + 64, "\",\"signature\":\"", 15);
    assert_string_equal(public + 16 + 64 + 15 + 128, "\"}");
}

static void test_known_answers(void **state)
{
    (void)state;
    char hash[CERT_HASH_HEX], public[CERT_KEY_HEX];
    /* SHA-256 of "abc": FIPS 180-4 example; the Ed25519 key: RFC 8032, section 7.1, test 1. */
    cert_hash("abc", hash);
    assert_string_equal(hash, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    uint8_t seed[32];
    assert_true(text_unhex(seed, 32, "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"));
    struct cert_key key;
    cert_key_make(&key, seed);
    public_hex(&key, public);
    assert_string_equal(public, "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
}

static void test_every_byte_counts(void **state)
{
    (void)state;
    struct cert_key key = key_of(1);
    char text[CERT_TEXT_MAX], rule[64], public[CERT_KEY_HEX];
    sign(&key, no_hash, &sample, text);
    public_hex(&key, public);
    size_t len = strlen(text);
    assert_true(len > 700);
    for (size_t i = 0; i < len; i++) {
        const char good = text[i];
        for (unsigned bit = 0; bit < 8; bit++) {
            text[i] = (char)(good ^ (1 << bit));
            snprintf(rule, sizeof(rule), "bit %u of byte %zu flipped", bit, i);
            assert_refused(rule, text, len, NULL);
            assert_refused(rule, text, len, public);
        }
        text[i] = (char)(good ^ 0xff);
        snprintf(rule, sizeof(rule), "byte %zu inverted", i);
        assert_refused(rule, text, len, NULL);
        text[i] = good;
    }
    assert_true(cert_verify(text, len, public, &(struct cert_facts){0}, &(struct err){0}));
}

static void test_every_length_counts(void **state)
{
    (void)state;
    struct cert_key key = key_of(1);
    char text[CERT_TEXT_MAX], more[CERT_TEXT_MAX + 8];
    static const char added[] = {'\0', '\n', ' ', '}', '0', ',', '{'};
    sign(&key, no_hash, &sample, text);
    size_t len = strlen(text);
    for (size_t cut = 0; cut < len; cut++)
        assert_refused("cut off", text, cut, NULL);
    for (size_t at = 0; at <= len; at++)
        for (size_t i = 0; i < sizeof(added); i++) {
            memcpy(more, text, at);
            more[at] = added[i];
            memcpy(more + at + 1, text + at, len - at);
            assert_refused("one byte inserted", more, len + 1, NULL);
        }
    for (size_t at = 0; at < len; at++) {
        memcpy(more, text, at);
        memcpy(more + at, text + at + 1, len - at - 1);
        assert_refused("one byte left out", more, len - 1, NULL);
    }
}

/* Replaces the first `from` by `to`, of any length. */
static void replace(char text[CERT_TEXT_MAX], const char *from, const char *to)
{
    char copy[CERT_TEXT_MAX];
    char *place = strstr(text, from);
    assert_non_null(place);
    *place = '\0';
    int len = snprintf(copy, sizeof(copy), "%s%s%s", text, to, place + strlen(from));
    assert_true(len > 0 && len < CERT_TEXT_MAX);
    memcpy(text, copy, (size_t)len + 1);
}

static void test_changes_with_a_meaning(void **state)
{
    (void)state;
    static const struct {
        const char *rule, *from, *to, *message;
    } rows[] = {
        {"another verdict", "\"verified\"", "\"failed\"", "signature does not match"},
        {"another slice", "s-0f3a", "s-0f3b", "signature does not match"},
        {"a swapped hash of the record before", "\"prev\":\"00", "\"prev\":\"01", "signature does not match"},
        {"white space", ",\"prev\"", ", \"prev\"", "canonical"},
        {"hex in upper case", "\"dead", "\"DEAD", "canonical"},
        {"another way to write the same character", "\"s-0f3a\"", "\"\\u0073-0f3a\"", "canonical"},
        {"another format", "erasure/1", "erasure/2", "format"},
        {"an unknown member", "{\"nsmith\"", "{\"x\":1,\"nsmith\"", "unknown field"},
        {"a doubled member", "\"seq\":1", "\"seq\":1,\"seq\":1", "duplicate"},
        {"a number as a text", "\"seq\":1", "\"seq\":\"1\"", "number"},
        {"a number with a fraction", "\"seq\":1", "\"seq\":1.0", "number"},
        {"members in another order", "\"seq\":1,\"host\":\"rack1-node7\"", "\"host\":\"rack1-node7\",\"seq\":1",
         "canonical"},
        {"a missing member", "\"seq\":1,", "", "missing"},
        {"an unknown word", "format-crypto", "format-crypt", "not known"},
        {"a member after the signature", "\"}", "\",\"x\":1}", ""},
    };
    struct cert_key key = key_of(1);
    char text[CERT_TEXT_MAX];
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        sign(&key, no_hash, &sample, text);
        replace(text, rows[i].from, rows[i].to);
        assert_message(rows[i].rule, text, strlen(text), NULL, rows[i].message);
    }
    static const char *const not_one[] = {"", "{}", "null", "[]", "\"", "{\"signature\":\"\"}"};
    for (size_t i = 0; i < sizeof(not_one) / sizeof(not_one[0]); i++)
        assert_refused(not_one[i], not_one[i], strlen(not_one[i]), NULL);
    char big[CERT_TEXT_MAX + 100];
    memset(big, ' ', sizeof(big));
    assert_message("too long", big, sizeof(big), NULL, "bytes");
}

static void test_keys(void **state)
{
    (void)state;
    struct cert_key key = key_of(1), other = key_of(2);
    char text[CERT_TEXT_MAX], theirs[CERT_TEXT_MAX], mine_hex[CERT_KEY_HEX], other_hex[CERT_KEY_HEX];
    sign(&key, no_hash, &sample, text);
    sign(&other, no_hash, &sample, theirs);
    public_hex(&key, mine_hex);
    public_hex(&other, other_hex);
    assert_message("signed by another key than wanted", text, strlen(text), other_hex, "wanted is");
    assert_message("wanted key is no key", text, strlen(text), "abc", "hex digits");
    assert_message("wanted key is empty", text, strlen(text), "", "hex digits");
    replace(text, mine_hex, other_hex);
    assert_message("another public key put in", text, strlen(text), NULL, "signature does not match");
    assert_message("another public key put in, and wanted", text, strlen(text), other_hex, "signature does not match");
    sign(&key, no_hash, &sample, text);
    memcpy(text + strlen(text) - 130, theirs + strlen(theirs) - 130, 128);
    assert_message("the signature of another key", text, strlen(text), NULL, "signature does not match");
    memset(text + strlen(text) - 130, '0', 128);
    assert_refused("a signature of zeros", text, strlen(text), NULL);
}

static void test_verdict_is_seen(void **state)
{
    (void)state;
    struct cert_key key = key_of(1);
    for (unsigned verdict = 0; verdict < ERASE_VERDICT_COUNT; verdict++) {
        char text[CERT_TEXT_MAX];
        struct cert_facts facts;
        struct err err = {0};
        struct erasure erasure = sample;
        erasure.verdict = (enum erase_verdict)verdict;
        sign(&key, no_hash, &erasure, text);
        if (!cert_verify(text, strlen(text), NULL, &facts, &err))
            fail_msg("a record with verdict %s: got '%s', want verified", erase_verdict_word(erasure.verdict), err.msg);
        assert_int_equal(facts.erasure.verdict, verdict);
    }
}

static void test_chain(void **state)
{
    (void)state;
    struct cert_key key = key_of(1);
    char prev[CERT_HASH_HEX], text[3][CERT_TEXT_MAX];
    memcpy(prev, no_hash, sizeof(prev));
    for (unsigned i = 0; i < 3; i++) {
        struct erasure erasure = sample;
        struct cert_facts facts;
        erasure.seq = i + 1;
        sign(&key, prev, &erasure, text[i]);
        assert_true(cert_verify(text[i], strlen(text[i]), NULL, &facts, &(struct err){0}));
        assert_string_equal(facts.prev_hash, prev);
        memcpy(prev, facts.hash, sizeof(prev));
    }
}

static void test_not_signed(void **state)
{
    (void)state;
    struct cert_key key = key_of(1);
    char text[CERT_TEXT_MAX] = "untouched";
    struct erasure erasure = sample;
    struct err err = {0};
    static const char short_hash[CERT_HASH_HEX] = "12";
    assert_false(cert_sign(&key, short_hash, &erasure, text, &err));
    assert_int_equal(err.kind, ERR_INPUT);
    /* Each control character takes six in JSON. */
    memset(erasure.note, '\x01', sizeof(erasure.note) - 1);
    memset(erasure.drive.nqn, '\x01', sizeof(erasure.drive.nqn) - 1);
    err = (struct err){0};
    assert_false(cert_sign(&key, no_hash, &erasure, text, &err));
    assert_non_null(strstr(err.msg, "bytes"));
    assert_string_equal(text, "untouched");
    /* Every text at its longest, in printable characters, does fit. */
    memset(erasure.note, '"', sizeof(erasure.note) - 1);
    memset(erasure.drive.nqn, '"', sizeof(erasure.drive.nqn) - 1);
    sign(&key, no_hash, &erasure, text);
}

/* ---- the key file -------------------------------------------------------------------------------------------- */

static char folder[64];

static int make_folder(void **state)
{
    (void)state;
    snprintf(folder, sizeof(folder), "/tmp/t_cert.XXXXXX");
    return mkdtemp(folder) == NULL ? -1 : 0;
}

static const char *path_of(const char *name)
{
    static char path[128];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    return path;
}

static int remove_folder(void **state)
{
    (void)state;
    unlink(path_of("key"));
    return rmdir(folder); /* fails when a temporary file was left behind */
}

static void put_file(const char *text, size_t len, mode_t mode)
{
    FILE *file = fopen(path_of("key"), "w");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path_of("key"), mode), 0);
}

static size_t get_file(char text[256])
{
    FILE *file = fopen(path_of("key"), "r");
    assert_non_null(file);
    size_t len = fread(text, 1, 256, file);
    fclose(file);
    return len;
}

static void test_key_file_is_made_once(void **state)
{
    (void)state;
    struct cert_key first, again;
    struct err err = {0};
    struct stat st;
    mode_t mask = umask(0); /* whatever the umask */
    if (!cert_key_open(path_of("key"), &first, &err))
        fail_msg("cannot make: %s", err.msg);
    umask(mask);
    assert_int_equal(stat(path_of("key"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(st.st_nlink, 1);
    if (!cert_key_open(path_of("key"), &again, &err))
        fail_msg("cannot load: %s", err.msg);
    assert_memory_equal(&first, &again, sizeof(first));
    char text[CERT_TEXT_MAX], public[CERT_KEY_HEX];
    sign(&again, no_hash, &sample, text);
    public_hex(&first, public);
    assert_true(cert_verify(text, strlen(text), public, &(struct cert_facts){0}, &err));
    unlink(path_of("key"));
    assert_true(cert_key_open(path_of("key"), &again, &err));
    assert_memory_not_equal(&first, &again, sizeof(first));
}

static void assert_key_refused(const char *rule, enum err_kind kind, const char *part)
{
    struct cert_key key = {{7}, {7}}, before = key;
    struct err err = {0};
    if (cert_key_open(path_of("key"), &key, &err))
        fail_msg("%s: got a key, want an error", rule);
    if (err.kind != kind || strstr(err.msg, part) == NULL)
        fail_msg("%s: got %s '%s', want %s '...%s...'", rule, err_kind_name(err.kind), err.msg, err_kind_name(kind),
                 part);
    if (kind == ERR_UNSAFE || strcmp(part, "damaged") == 0)
        assert_true(err.hint[0] != '\0' || strstr(part, "regular") != NULL);
    assert_memory_equal(&key, &before, sizeof(key));
}

static void test_key_file_modes(void **state)
{
    (void)state;
    struct cert_key key;
    static const mode_t wrong[] = {0644, 0640, 0660, 0604, 0602, 0700, 0400, 04600};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_true(cert_key_open(path_of("key"), &key, &(struct err){0}));
        assert_int_equal(chmod(path_of("key"), wrong[i]), 0);
        if (wrong[i] == 0400 || (wrong[i] & 0400) != 0)
            assert_key_refused("wrong mode", ERR_UNSAFE, "must be 0600");
        assert_int_equal(chmod(path_of("key"), 0600), 0);
    }
}

static void test_key_file_damage(void **state)
{
    (void)state;
    struct cert_key key;
    char good[256], bad[256];
    assert_true(cert_key_open(path_of("key"), &key, &(struct err){0}));
    size_t len = get_file(good);
    assert_int_equal(len, 129);
    for (size_t i = 0; i < len; i++) {
        memcpy(bad, good, len);
        bad[i] = bad[i] == '0' ? '1' : '0';
        put_file(bad, len, 0600);
        assert_key_refused("one digit changed", ERR_FAILED, "damaged");
        put_file(good, i, 0600);
        assert_key_refused("cut off", ERR_FAILED, "damaged");
    }
    memcpy(bad, good, len);
    bad[len] = '\n';
    put_file(bad, len + 1, 0600);
    assert_key_refused("appended to", ERR_FAILED, "damaged");
    put_file(good, len, 0600);
    assert_true(cert_key_open(path_of("key"), &key, &(struct err){0}));
}

static void test_key_file_elsewhere(void **state)
{
    (void)state;
    struct cert_key key;
    struct err err = {0};
    assert_int_equal(symlink("/nowhere", path_of("key")), 0);
    assert_key_refused("a symbolic link", ERR_INPUT, "cannot open key file");
    unlink(path_of("key"));
    assert_int_equal(mkfifo(path_of("key"), 0600), 0);
    assert_key_refused("a fifo does not hang", ERR_UNSAFE, "regular");
    unlink(path_of("key"));
    assert_false(cert_key_open(path_of("none/key"), &key, &err));
    assert_int_equal(err.kind, ERR_MISSING);
    char longest[5000];
    memset(longest, 'x', sizeof(longest));
    longest[sizeof(longest) - 1] = '\0';
    err = (struct err){0};
    assert_false(cert_key_open(longest, &key, &err));
    assert_int_equal(err.sys, ENAMETOOLONG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_signed_verifies),
        cmocka_unit_test(test_canonical_text),
        cmocka_unit_test(test_known_answers),
        cmocka_unit_test(test_every_byte_counts),
        cmocka_unit_test(test_every_length_counts),
        cmocka_unit_test(test_changes_with_a_meaning),
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_verdict_is_seen),
        cmocka_unit_test(test_chain),
        cmocka_unit_test(test_not_signed),
        cmocka_unit_test_setup_teardown(test_key_file_is_made_once, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_key_file_modes, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_key_file_damage, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_key_file_elsewhere, make_folder, remove_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
