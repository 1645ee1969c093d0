#include "base/rng.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* From the reference implementation of splitmix64 (S. Vigna, public domain). */
static const struct {
    const char *rule;
    uint64_t seed, expect[5];
} rows[] = {
    {"seed 0", 0, {0xe220a8397b1dcdaf, 0x6e789e6aa1b965f4, 0x06c45d188009454f, 0xf88bb8a8724c81ec, 0x1b39896a51a8749b}},
    {"seed 1234567",
     1234567,
     {6457827717110365317u, 3203168211198807973u, 9817491932198370423u, 4593380528125082431u, 16408922859458223821u}},
};

static void test_known_answers(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct rng rng = {.state = rows[i].seed};
        for (unsigned n = 0; n < 5; n++) {
            const uint64_t got = rng_next(&rng);
            if (got != rows[i].expect[n])
                fail_msg("%s, number %u: got %" PRIx64 ", want %" PRIx64, rows[i].rule, n, got, rows[i].expect[n]);
        }
    }
}

static void test_same_seed_same_numbers(void **state)
{
    (void)state;
    struct rng a = {.state = 42}, b = {.state = 42};
    for (unsigned n = 0; n < 1000; n++)
        assert_int_equal(rng_next(&a), rng_next(&b));
}

static void test_below_stays_below(void **state)
{
    (void)state;
    static const uint64_t limits[] = {1, 2, 3, 7, 64, 1000, 1ull << 32, (1ull << 63) + 1, UINT64_MAX};
    struct rng rng = {.state = 7};
    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++)
        for (unsigned n = 0; n < 1000; n++)
            assert_true(rng_below(&rng, limits[i]) < limits[i]);
}

static void test_below_reaches_all(void **state)
{
    (void)state;
    enum { SIDES = 10, THROWS = 10000 };
    unsigned seen[SIDES] = {0};
    struct rng rng = {.state = 7};
    for (unsigned n = 0; n < THROWS; n++)
        seen[rng_below(&rng, SIDES)]++;
    for (unsigned side = 0; side < SIDES; side++)
        assert_in_range(seen[side], THROWS / SIDES * 8 / 10, THROWS / SIDES * 12 / 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_answers),
        cmocka_unit_test(test_same_seed_same_numbers),
        cmocka_unit_test(test_below_stays_below),
        cmocka_unit_test(test_below_reaches_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
