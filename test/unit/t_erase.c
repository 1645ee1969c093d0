#include "core/erase.h"

#include "base/rng.h"
#include "base/text.h"

#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- the choice ----------------------------------------------------------------------------------------------- */

/* Format's answer for FNA 0 to 15: c crypto, u user data, w overwrite. Bit 3 (no FFFFFFFFh) changes nothing. */
static const struct {
    const char *rule;
    bool sanitize_ns, format, alone;
    const char *expect;
} choices[] = {
    {"bits 0 and 1 must be 0, bit 2 gives crypto", false, true, false, "uwwwcwwwuwwwcwww"},
    {"alone on the drive bits 0 and 1 do not matter", false, true, true, "uuuuccccuuuucccc"},
    {"without Format: overwrite", false, false, false, "wwwwwwwwwwwwwwww"},
    {"without Format, alone: overwrite", false, false, true, "wwwwwwwwwwwwwwww"},
    {"Sanitize Namespace comes first", true, true, false, "ssssssssssssssss"},
    {"Sanitize Namespace comes first, alone too", true, true, true, "ssssssssssssssss"},
    {"Sanitize Namespace needs no Format", true, false, false, "ssssssssssssssss"},
    {"Sanitize Namespace needs no Format, alone too", true, false, true, "ssssssssssssssss"},
};

static char letter(enum erase_method method)
{
    switch (method) {
    case ERASE_SANITIZE_NS:
        return 's';
    case ERASE_FORMAT_CRYPTO:
        return 'c';
    case ERASE_FORMAT_USER:
        return 'u';
    case ERASE_OVERWRITE:
        return 'w';
    case ERASE_NONE:
    case ERASE_SANITIZE:
    case ERASE_METHOD_COUNT:
        break;
    }
    return '?';
}

/* Every choice for every other thing the drive may say: none of that may matter. */
static void test_choice(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(choices) / sizeof(choices[0]); i++)
        for (unsigned fna = 0; fna < 256; fna++)
            for (unsigned other = 0; other < 2; other++) {
                const struct drive_caps caps = {.sanitize_ns = choices[i].sanitize_ns,
                                                .format = choices[i].format,
                                                .fna = (uint8_t)fna,
                                                .sanitize_crypto = other != 0,
                                                .sanitize_block = other != 0,
                                                .write_zeroes = other != 0,
                                                .deallocate = other != 0};
                const char got = letter(erase_choose(&caps, choices[i].alone)), want = choices[i].expect[fna & 15];
                if (got != want)
                    fail_msg("%s: FNA %02x: got %c, want %c", choices[i].rule, fna, got, want);
            }
}

/* ---- places --------------------------------------------------------------------------------------------------- */

static const uint8_t seed_a[16] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};

typedef uint64_t place(const uint8_t seed[16], uint64_t size_blocks, unsigned i);

static const struct {
    const char *name;
    place *at;
    unsigned count;
} kinds[] = {
    {"marker", erase_marker_at, ERASE_MARKERS},
    {"sample", erase_sample_at, ERASE_SAMPLES},
    {"random", erase_random_at, ERASE_RANDOM},
};
enum { KINDS = sizeof(kinds) / sizeof(kinds[0]) };

/* Computed apart from this code, from the description in erase.c. Records in the field rely on them. */
static const struct {
    place *at;
    unsigned i;
    uint64_t expect;
} known[] = {
    {erase_marker_at, 0, 0},          {erase_marker_at, 1, 975175679},  {erase_marker_at, 2, 772375495},
    {erase_marker_at, 63, 71075816},  {erase_sample_at, 0, 0},          {erase_sample_at, 15, 15},
    {erase_sample_at, 16, 975175679}, {erase_sample_at, 31, 975175664}, {erase_sample_at, 32, 907678444},
    {erase_sample_at, 63, 267308843}, {erase_random_at, 0, 558365628},  {erase_random_at, 127, 80333085},
};

static void test_known_places(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        assert_int_equal(known[i].at(seed_a, 975175680, known[i].i), known[i].expect);
}

static void test_places_are_inside(void **state)
{
    (void)state;
    static const uint64_t sizes[] = {1, 2, 3, 10, 16, 17, 31, 33, 1000, 1ull << 32, UINT64_MAX};
    for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++)
        for (unsigned k = 0; k < KINDS; k++)
            for (unsigned i = 0; i < kinds[k].count; i++)
                if (kinds[k].at(seed_a, sizes[s], i) >= sizes[s])
                    fail_msg("%s %u is outside of %" PRIu64 " blocks", kinds[k].name, i, sizes[s]);
}

/* A namespace of one block has its only block looked at; a small one all its edges. */
static void test_small_namespaces(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ERASE_SAMPLES; i++)
        assert_int_equal(erase_sample_at(seed_a, 1, i), 0);
    assert_int_equal(erase_marker_at(seed_a, 2, 0), 0);
    assert_int_equal(erase_marker_at(seed_a, 2, 1), 1);
    bool seen[10] = {false};
    for (unsigned i = 0; i < 16; i++)
        seen[erase_sample_at(seed_a, 10, i)] = true;
    for (unsigned b = 0; b < 10; b++)
        assert_true(seen[b]);
    memset(seen, 0, sizeof(seen));
    for (unsigned i = 16; i < 32; i++)
        seen[erase_sample_at(seed_a, 10, i)] = true;
    for (unsigned b = 0; b < 10; b++)
        assert_true(seen[b]);
}

/* On a large namespace no two random places of one seed meet, and each quarter gets its share. */
static void test_places_are_spread(void **state)
{
    (void)state;
    const uint64_t size = 1ull << 50;
    uint64_t at[ERASE_MARKERS + ERASE_SAMPLES + ERASE_RANDOM];
    size_t count = 0;
    for (unsigned k = 0; k < KINDS; k++)
        for (unsigned i = k == 0 ? 2 : k == 1 ? 32 : 0; i < kinds[k].count; i++)
            at[count++] = kinds[k].at(seed_a, size, i);
    unsigned quarter[4] = {0};
    for (size_t i = 0; i < count; i++) {
        quarter[at[i] / (size / 4)]++;
        for (size_t j = 0; j < i; j++)
            assert_int_not_equal(at[i], at[j]);
    }
    for (unsigned q = 0; q < 4; q++)
        assert_in_range(quarter[q], count / 8, count / 2);
}

static void test_every_bit_of_the_seed_counts(void **state)
{
    (void)state;
    for (unsigned bit = 0; bit < 128; bit++) {
        uint8_t seed[16], a[512], b[512];
        memcpy(seed, seed_a, sizeof(seed));
        seed[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        assert_int_not_equal(erase_marker_at(seed, 1ull << 60, 2), erase_marker_at(seed_a, 1ull << 60, 2));
        assert_int_not_equal(erase_sample_at(seed, 1ull << 60, 32), erase_sample_at(seed_a, 1ull << 60, 32));
        assert_int_not_equal(erase_random_at(seed, 1ull << 60, 0), erase_random_at(seed_a, 1ull << 60, 0));
        erase_marker(seed, 7, a, sizeof(a));
        erase_marker(seed_a, 7, b, sizeof(b));
        assert_memory_not_equal(a + 40, b + 40, sizeof(a) - 40);
    }
}

/* ---- contents ------------------------------------------------------------------------------------------------- */

static void test_marker(void **state)
{
    (void)state;
    uint8_t block[512];
    erase_marker(seed_a, 7, block, sizeof(block));
    assert_memory_equal(block, "nsmith marker ", 14);
    assert_memory_equal(block + 16, "\7\0\0\0\0\0\0\0", 8);
    assert_memory_equal(block + 24, seed_a, 16);
    char hex[33];
    text_hex(hex, block + 40, 16);
    assert_string_equal(hex, "5bdc8de8d571369ac7a6084ba4748f22");
    text_hex(hex, block + 504, 8);
    assert_string_equal(hex, "e81a9a96d595bcc6");
}

static void test_marker_fills_the_block_and_no_more(void **state)
{
    (void)state;
    static const uint32_t sizes[] = {512, 520, 1024, 4096};
    for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
        uint8_t a[ERASE_BLOCK_MAX + 8], b[ERASE_BLOCK_MAX + 8];
        memset(a, 0x00, sizeof(a));
        memset(b, 0xff, sizeof(b));
        erase_marker(seed_a, 99, a, sizes[s]);
        erase_marker(seed_a, 99, b, sizes[s]);
        assert_memory_equal(a, b, sizes[s]);
        assert_int_equal(a[sizes[s]], 0x00);
        assert_int_equal(b[sizes[s]], 0xff);
        for (uint32_t at = 40; at + 8 <= sizes[s]; at += 8)
            assert_false(erase_is_zero(a + at, 8));
    }
}

/* What tells blocks apart lies in the first 24 bytes; the numbers behind them differ as well. */
static void test_no_two_markers_are_alike(void **state)
{
    (void)state;
    enum { COUNT = 300 };
    static uint8_t blocks[COUNT][512];
    struct rng rng = {.state = 3};
    for (unsigned i = 0; i < COUNT; i++)
        erase_marker(seed_a, i < COUNT / 2 ? i : rng_next(&rng), blocks[i], 512);
    for (unsigned i = 0; i < COUNT; i++)
        for (unsigned j = 0; j < i; j++) {
            assert_memory_not_equal(blocks[i], blocks[j], 24);
            assert_memory_not_equal(blocks[i] + 40, blocks[j] + 40, 8);
        }
}

static void test_is_zero(void **state)
{
    (void)state;
    static const uint32_t sizes[] = {1, 2, 512, 4096};
    for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
        uint8_t block[4097] = {0};
        block[sizes[s]] = 1; /* what follows does not count */
        assert_true(erase_is_zero(block, sizes[s]));
        for (uint32_t at = 0; at < sizes[s]; at++) {
            block[at] = at % 2 == 0 ? 1 : 0x80;
            if (erase_is_zero(block, sizes[s]))
                fail_msg("byte %" PRIu32 " of %" PRIu32 " was not seen", at, sizes[s]);
            block[at] = 0;
        }
    }
    uint8_t ones[512];
    memset(ones, 0xff, sizeof(ones));
    assert_false(erase_is_zero(ones, sizeof(ones)));
}

/* ---- the verdict ---------------------------------------------------------------------------------------------- */

#define GOOD .method = ERASE_FORMAT_CRYPTO, .markers = 64, .old_sampled = 64, .checked = 256
static const struct {
    const char *rule;
    struct erasure erasure;
    bool done, all_read;
    enum erase_verdict expect;
    const char *says;
} verdicts[] = {
    {"done, all read, nothing old", {GOOD}, true, true, ERASE_VERIFIED, ""},
    {"zeros are fine", {GOOD, .found_zero = 256}, true, true, ERASE_VERIFIED, ""},
    {"an overwrite is proven the same way",
     {.method = ERASE_OVERWRITE, .markers = 64, .checked = 64},
     true,
     true,
     ERASE_VERIFIED,
     ""},
    {"the drive did not say done", {GOOD}, false, true, ERASE_FAILED_STATUS, "did not say in time"},
    {"the drive said no", {GOOD, .nvme_status = 0x10a}, false, true, ERASE_FAILED_STATUS, "0x10a"},
    {"a status is a no, whatever else is said",
     {GOOD, .nvme_status = 0x002},
     true,
     true,
     ERASE_FAILED_STATUS,
     "Invalid"},
    {"one old block is a lie", {GOOD, .found_old = 1}, true, true, ERASE_LIED, "1 of 256 blocks"},
    {"old data weighs more than unread blocks", {GOOD, .found_old = 9}, true, false, ERASE_LIED, "9 of 256 blocks"},
    {"not all read", {GOOD}, true, false, ERASE_UNREADABLE, "not every block"},
    {"one marker was not seen before",
     {.method = ERASE_FORMAT_USER, .markers = 63, .checked = 256},
     true,
     true,
     ERASE_UNREADABLE,
     "only 63 of 64 markers"},
    {"no marker was seen before",
     {.method = ERASE_SANITIZE_NS, .checked = 256},
     true,
     true,
     ERASE_UNREADABLE,
     "only 0"},
    {"nothing was read", {.method = ERASE_SANITIZE_NS, .markers = 64}, true, true, ERASE_UNREADABLE, "only 0 blocks"},
    {"less was read than was marked",
     {.method = ERASE_SANITIZE_NS, .markers = 64, .checked = 63},
     true,
     true,
     ERASE_UNREADABLE,
     "only 63 blocks"},
    {"no method", {.markers = 64, .checked = 256}, true, true, ERASE_REFUSED, "no method"},
    {"no method, and nothing done", {.method = ERASE_NONE}, false, false, ERASE_REFUSED, "no method"},
    {"an earlier verdict does not count",
     {GOOD, .verdict = ERASE_VERIFIED},
     false,
     true,
     ERASE_FAILED_STATUS,
     "did not say"},
    {"a note of the caller is kept", {GOOD, .note = "aborted"}, false, true, ERASE_FAILED_STATUS, "aborted"},
};

static void test_verdicts(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(verdicts) / sizeof(verdicts[0]); i++) {
        struct erasure got = verdicts[i].erasure;
        erase_judge(&got, verdicts[i].done, verdicts[i].all_read);
        const bool says =
            verdicts[i].says[0] == '\0' ? got.note[0] == '\0' : strstr(got.note, verdicts[i].says) != NULL;
        if (got.verdict != verdicts[i].expect || !says)
            fail_msg("%s: got %s '%s', want %s '%s'", verdicts[i].rule, erase_verdict_word(got.verdict), got.note,
                     erase_verdict_word(verdicts[i].expect), verdicts[i].says);
        struct erasure rest = got; /* nothing else of the record changes */
        rest.verdict = verdicts[i].erasure.verdict;
        memcpy(rest.note, verdicts[i].erasure.note, sizeof(rest.note));
        assert_memory_equal(&rest, &verdicts[i].erasure, sizeof(rest));
    }
}

/* Whatever is combined: verified only when every condition of the contract holds. */
static void test_verified_only_with_proof(void **state)
{
    (void)state;
    unsigned verified = 0;
    for (unsigned bits = 0; bits < 64; bits++) {
        const bool done = bits & 1, all_read = bits & 2, marked = bits & 4, clean = bits & 8, success = bits & 16,
                   method = bits & 32;
        struct erasure erasure = {.method = method ? ERASE_FORMAT_USER : ERASE_NONE,
                                  .markers = marked ? 64 : 63,
                                  .checked = 256,
                                  .found_old = clean ? 0 : 1,
                                  .nvme_status = success ? 0 : 6};
        erase_judge(&erasure, done, all_read);
        assert_int_equal(erasure.verdict == ERASE_VERIFIED, bits == 63);
        assert_int_not_equal(erasure.verdict, ERASE_UNFINISHED);
        verified += erasure.verdict == ERASE_VERIFIED;
    }
    assert_int_equal(verified, 1);
}

/* ---- bugs of the caller end the process -------------------------------------------------------------------------- */

static void bug(unsigned i)
{
    uint8_t block[2 * ERASE_BLOCK_MAX] = {0};
    struct erasure erasure = {.method = ERASE_METHOD_COUNT};
    if (i == 0)
        erase_marker_at(seed_a, 0, 0);
    if (i == 1)
        erase_marker_at(seed_a, 10, ERASE_MARKERS);
    if (i == 2)
        erase_sample_at(seed_a, 0, 0);
    if (i == 3)
        erase_sample_at(seed_a, 10, ERASE_SAMPLES);
    if (i == 4)
        erase_random_at(seed_a, 0, 0);
    if (i == 5)
        erase_random_at(seed_a, 10, ERASE_RANDOM);
    if (i == 6)
        erase_marker(seed_a, 0, block, ERASE_BLOCK_MAX + 8);
    if (i == 7)
        erase_marker(seed_a, 0, block, 516);
    if (i == 8)
        erase_marker(seed_a, 0, block, 0);
    if (i == 9)
        erase_is_zero(block, 0);
    if (i == 10)
        erase_judge(&erasure, true, true);
}

static void test_bugs_end_the_process(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 11; i++) {
        const pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            signal(SIGABRT, SIG_DFL);
            dup2(open("/dev/null", O_WRONLY | O_CLOEXEC), STDERR_FILENO);
            bug(i);
            _exit(0);
        }
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGABRT)
            fail_msg("bug %u: went on", i);
    }
}

static void test_how_long_it_should_take(void **state)
{
    static const struct {
        const char *rule;
        enum erase_method method;
        uint64_t size_bytes, want_ms;
    } rows[] = {
        {"a change of the key takes as long for any size", ERASE_FORMAT_CRYPTO, 0, 600000},
        {"however large", ERASE_FORMAT_CRYPTO, UINT64_MAX, 600000},
        {"so does a namespace's sanitize", ERASE_SANITIZE_NS, (uint64_t)1 << 40, 600000},
        {"an erase of all cells grows with the size", ERASE_FORMAT_USER, 64000000000, 1600000},
        {"as an overwrite does", ERASE_OVERWRITE, 64000000000, 1600000},
        {"the largest size is none too large", ERASE_OVERWRITE, UINT64_MAX, 600000 + UINT64_MAX / 64000},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const uint64_t got_ms = erase_expected_ms(rows[i].method, rows[i].size_bytes);
        if (got_ms != rows[i].want_ms)
            fail_msg("%s: got %ju, want %ju", rows[i].rule, (uintmax_t)got_ms, (uintmax_t)rows[i].want_ms);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_choice),
        cmocka_unit_test(test_how_long_it_should_take),
        cmocka_unit_test(test_known_places),
        cmocka_unit_test(test_places_are_inside),
        cmocka_unit_test(test_small_namespaces),
        cmocka_unit_test(test_places_are_spread),
        cmocka_unit_test(test_every_bit_of_the_seed_counts),
        cmocka_unit_test(test_marker),
        cmocka_unit_test(test_marker_fills_the_block_and_no_more),
        cmocka_unit_test(test_no_two_markers_are_alike),
        cmocka_unit_test(test_is_zero),
        cmocka_unit_test(test_verdicts),
        cmocka_unit_test(test_verified_only_with_proof),
        cmocka_unit_test(test_bugs_end_the_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
