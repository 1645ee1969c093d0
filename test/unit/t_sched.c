#include "core/sched.h"

#include "base/rng.h"

#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { HOSTS_MAX = 6, SLICES_MAX = 60 };

/* Hosts of a test, made from a picture: "aaab" is a host with three free slices of drive a and one of drive b; the
 * slices are named a1 a2 a3 b1. */
struct fleet {
    struct sched_host hosts[HOSTS_MAX];
    struct sched_slice slices[HOSTS_MAX][SLICES_MAX];
    size_t count;
};

static void fleet_add(struct fleet *fleet, const char *name, const char *picture)
{
    struct sched_host *host = &fleet->hosts[fleet->count];
    struct sched_slice *slices = fleet->slices[fleet->count++];
    *host = (struct sched_host){.up = true, .vcpus_free = 64, .memory_free_bytes = 64ull << 30, .slices = slices};
    snprintf(host->name.v, sizeof(host->name.v), "%s", name);
    unsigned number = 0;
    for (const char *c = picture; *c != '\0'; c++) {
        number = c > picture && c[-1] == *c ? number + 1 : 1;
        struct sched_slice *slice = &slices[host->slice_count++];
        snprintf(slice->drive, sizeof(slice->drive), "%c", *c);
        snprintf(slice->id.v, sizeof(slice->id.v), "%c%u", *c, number);
    }
}

/* "h2: a1 b1" or "none". */
static const char *shown(const struct fleet *fleet, const struct sched_answer *answer, char to[400])
{
    snprintf(to, 400, "none");
    if (!answer->placed)
        return to;
    snprintf(to, 400, "%s:", fleet->hosts[answer->host].name.v);
    for (size_t i = 0; i < answer->slice_count; i++) {
        const size_t used = strlen(to);
        snprintf(to + used, 400 - used, " %s", answer->slices[i].v);
    }
    return to;
}

/* ---- which slices, which host ----------------------------------------------------------------------------------- */

static const struct {
    const char *rule;
    enum spread spread;
    uint32_t slices;
    const char *host, *pictures[HOSTS_MAX], *expect; /* the hosts are h1, h2, ... */
} rows[] = {
    {"one slice of the only drive", SPREAD_DRIVES, 1, "", {"aaa"}, "h1: a1"},
    {"an exact fit fits", SPREAD_DRIVES, 3, "", {"aaa"}, "h1: a1 a2 a3"},
    {"one slice short is no place", SPREAD_DRIVES, 4, "", {"aaa"}, "none"},
    {"no hosts is no place", SPREAD_DRIVES, 1, "", {NULL}, "none"},
    {"a host without slices is no place", SPREAD_PACK, 1, "", {""}, "none"},
    {"spread: one slice of each drive", SPREAD_DRIVES, 3, "", {"aabbcc"}, "h1: a1 b1 c1"},
    {"spread: from the fullest drive first", SPREAD_DRIVES, 1, "", {"abbbcc"}, "h1: b1"},
    {"spread: the fullest drives in their order", SPREAD_DRIVES, 3, "", {"abbbcc"}, "h1: b1 c1 a1"},
    {"spread: the fullest two of three", SPREAD_DRIVES, 2, "", {"abbbcc"}, "h1: b1 c1"},
    {"spread: equal drives by name", SPREAD_DRIVES, 2, "", {"aabbcc"}, "h1: a1 b1"},
    {"spread: round by round when there are fewer drives", SPREAD_DRIVES, 5, "", {"aaabbb"}, "h1: a1 b1 a2 b2 a3"},
    {"spread: an empty drive is passed over", SPREAD_DRIVES, 5, "", {"abbbb"}, "h1: b1 a1 b2 b3 b4"},
    {"spread: no order among the drives but their number", SPREAD_DRIVES, 4, "", {"abbcccdddd"}, "h1: d1 c1 b1 a1"},
    {"pack: all of one drive", SPREAD_PACK, 3, "", {"aabbbcc"}, "h1: b1 b2 b3"},
    {"pack: from the drive with the fewest that do", SPREAD_PACK, 2, "", {"aaabbcccc"}, "h1: b1 b2"},
    {"pack: the exact fit before the larger", SPREAD_PACK, 1, "", {"aaabbc"}, "h1: c1"},
    {"pack: equal drives by name", SPREAD_PACK, 2, "", {"aabbcc"}, "h1: a1 a2"},
    {"pack: no drive has enough: the fullest, then the fewest that do",
     SPREAD_PACK,
     5,
     "",
     {"aaabbcccc"},
     "h1: c1 c2 c3 c4 b1"},
    {"pack: ... with the best fit for the rest", SPREAD_PACK, 6, "", {"aaabbcccc"}, "h1: c1 c2 c3 c4 b1 b2"},
    {"pack: as few drives as can be", SPREAD_PACK, 7, "", {"aaabbcccc"}, "h1: c1 c2 c3 c4 a1 a2 a3"},
    {"pack: everything", SPREAD_PACK, 9, "", {"aaabbcccc"}, "h1: c1 c2 c3 c4 a1 a2 a3 b1 b2"},
    {"spread prefers the host with the most", SPREAD_DRIVES, 1, "", {"a", "aaa", "aa"}, "h2: a1"},
    {"pack prefers the host with the fewest", SPREAD_PACK, 2, "", {"aaaa", "aaa", "aa", "a"}, "h3: a1 a2"},
    {"spread: equal hosts by name", SPREAD_DRIVES, 1, "", {"aa", "bb"}, "h1: a1"},
    {"pack: equal hosts by name", SPREAD_PACK, 1, "", {"aa", "bb"}, "h1: a1"},
    {"a host is asked for: only that", SPREAD_DRIVES, 1, "h1", {"a", "aaa"}, "h1: a1"},
    {"a host is asked for, and full", SPREAD_DRIVES, 2, "h1", {"a", "aaa"}, "none"},
    {"a host is asked for that is not there", SPREAD_DRIVES, 1, "h7", {"a", "aaa"}, "none"},
    {"16 slices of 16 drives",
     SPREAD_DRIVES,
     16,
     "",
     {"abcdefghijklmnopqr"},
     "h1: a1 b1 c1 d1 e1 f1 g1 h1 i1 j1 k1 l1 m1 n1 o1 p1"},
    {"17 drives, the last the fullest", SPREAD_DRIVES, 2, "", {"abcdefghijklmnopqq"}, "h1: q1 a1"},
};

static void test_placement(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct fleet fleet = {.count = 0};
        for (unsigned h = 0; h < HOSTS_MAX && rows[i].pictures[h] != NULL; h++) {
            char name[8];
            snprintf(name, sizeof(name), "h%u", h + 1);
            fleet_add(&fleet, name, rows[i].pictures[h]);
        }
        struct sched_request request = {.slices = rows[i].slices, .spread = rows[i].spread};
        snprintf(request.host.v, sizeof(request.host.v), "%s", rows[i].host);
        struct sched_answer answer;
        memset(&answer, 0x5a, sizeof(answer));
        sched_place(fleet.hosts, fleet.count, &request, &answer);
        char got[400];
        if (strcmp(shown(&fleet, &answer, got), rows[i].expect) != 0)
            fail_msg("%s: got '%s', want '%s'", rows[i].rule, got, rows[i].expect);
    }
}

/* The order in which hosts are listed does not matter. */
static void test_order_of_hosts(void **state)
{
    (void)state;
    struct fleet fleet = {.count = 0};
    fleet_add(&fleet, "zeta", "aa");
    fleet_add(&fleet, "alpha", "bb");
    fleet_add(&fleet, "beta", "cc");
    for (unsigned spread = 0; spread < SPREAD_COUNT; spread++) {
        const struct sched_request request = {.slices = 1, .spread = (enum spread)spread};
        struct sched_answer answer;
        sched_place(fleet.hosts, fleet.count, &request, &answer);
        assert_string_equal(fleet.hosts[answer.host].name.v, "alpha");
        assert_string_equal(answer.slices[0].v, "b1");
    }
}

/* ---- filters and refusals --------------------------------------------------------------------------------------- */

static void four_hosts(struct fleet *fleet)
{
    *fleet = (struct fleet){.count = 0};
    fleet_add(fleet, "h1", "aaaa");
    fleet_add(fleet, "h2", "aaaa");
    fleet_add(fleet, "h3", "aaaa");
    fleet_add(fleet, "h4", "aaaa");
}

static const struct {
    const char *rule;
    bool up[4];
    uint64_t vcpus[4], gib[4];
    uint32_t slices;
    const char *host, *picture; /* of h4 */
    const char *expect;         /* empty: placed */
} refusals[] = {
    {"everything fits exactly", {1, 0, 0, 0}, {8}, {16}, 4, "", "aaaa", ""},
    {"too few slices anywhere",
     {1, 1, 1, 1},
     {8, 8, 8, 8},
     {16, 16, 16, 16},
     9,
     "",
     "aaaaaaaa",
     "no host fits: 4 of 4 have too few free slices of class 500G (needed 9, most 8)"},
    {"one host is asked",
     {1, 1, 1, 1},
     {8, 8, 8, 8},
     {16, 16, 16, 16},
     9,
     "h1",
     "aaaa",
     "no host fits: 1 of 1 has too few free slices of class 500G (needed 9, most 4)"},
    {"a host falls at its first filter only",
     {0, 1, 1, 1},
     {0, 7, 8, 8},
     {0, 0, 15, 16},
     5,
     "",
     "aaaa",
     "no host fits: 1 of 4 is not up; 1 of 4 has too few free vCPUs (needed 8, most 7); "
     "1 of 4 has too little free memory (needed 16.0 GiB, most 15.0 GiB); "
     "1 of 4 has too few free slices of class 500G (needed 5, most 4)"},
    {"all are down", {0, 0, 0, 0}, {8, 8, 8, 8}, {16, 16, 16, 16}, 1, "", "aaaa", "no host fits: 4 of 4 are not up"},
    {"the most of any that fell",
     {1, 1, 1, 1},
     {3, 5, 4, 0},
     {16, 16, 16, 16},
     1,
     "",
     "aaaa",
     "no host fits: 4 of 4 have too few free vCPUs (needed 8, most 5)"},
    {"memory of several",
     {1, 1, 0, 0},
     {8, 8, 0, 0},
     {3, 2, 0, 0},
     1,
     "",
     "aaaa",
     "no host fits: 2 of 4 are not up; 2 of 4 have too little free memory (needed 16.0 GiB, most 3.0 GiB)"},
    {"no such host",
     {1, 1, 1, 1},
     {8, 8, 8, 8},
     {16, 16, 16, 16},
     1,
     "h9",
     "aaaa",
     "no host fits: there is no host 'h9'"},
};

static void test_refusals(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
        struct fleet fleet;
        four_hosts(&fleet);
        fleet.count = 3;
        fleet_add(&fleet, "h4", refusals[i].picture);
        for (unsigned h = 0; h < 4; h++) {
            fleet.hosts[h].up = refusals[i].up[h];
            fleet.hosts[h].vcpus_free = refusals[i].vcpus[h];
            fleet.hosts[h].memory_free_bytes = refusals[i].gib[h] << 30;
        }
        struct sched_request request = {
            .class = {"500G"}, .slices = refusals[i].slices, .vcpus = 8, .memory_bytes = 16ull << 30};
        snprintf(request.host.v, sizeof(request.host.v), "%s", refusals[i].host);
        struct sched_answer answer;
        sched_place(fleet.hosts, fleet.count, &request, &answer);
        char got[400] = "";
        if (!answer.placed)
            sched_explain(&request, &answer, got, sizeof(got));
        if (strcmp(got, refusals[i].expect) != 0)
            fail_msg("%s: got '%s', want '%s'", refusals[i].rule, got, refusals[i].expect);
        uint32_t fell = answer.placed ? 1 : 0;
        for (unsigned f = 0; f < SCHED_FILTER_COUNT; f++)
            fell += answer.refusal[f].hosts;
        assert_true(answer.placed || fell == answer.hosts_asked);
    }
}

static void test_typed_reasons(void **state)
{
    (void)state;
    struct fleet fleet;
    four_hosts(&fleet);
    fleet.hosts[0].up = false;
    fleet.hosts[1].vcpus_free = 7;
    fleet.hosts[2].memory_free_bytes = 15;
    const struct sched_request request = {.slices = 5, .vcpus = 8, .memory_bytes = 16};
    struct sched_answer answer;
    sched_place(fleet.hosts, fleet.count, &request, &answer);
    static const struct sched_refusal want[SCHED_FILTER_COUNT] = {
        [SCHED_HOST_UP] = {.hosts = 1, .needed = 1, .most = 0},
        [SCHED_VCPUS] = {.hosts = 1, .needed = 8, .most = 7},
        [SCHED_MEMORY] = {.hosts = 1, .needed = 16, .most = 15},
        [SCHED_SLICES] = {.hosts = 1, .needed = 5, .most = 4}};
    assert_false(answer.placed);
    assert_int_equal(answer.hosts_asked, 4);
    for (unsigned f = 0; f < SCHED_FILTER_COUNT; f++) {
        assert_int_equal(answer.refusal[f].hosts, want[f].hosts);
        assert_int_equal(answer.refusal[f].needed, want[f].needed);
        assert_int_equal(answer.refusal[f].most, want[f].most);
    }
}

static void test_hypervisor_counts_for_vms_only(void **state)
{
    (void)state;
    struct fleet fleet = {.count = 0};
    struct sched_answer answer;
    char text[200];
    fleet_add(&fleet, "h1", "aaaa");
    fleet_add(&fleet, "h2", "a");
    fleet.hosts[0].virt_down = true;
    struct sched_request request = {.class = {"500G"}, .slices = 1};
    sched_place(fleet.hosts, fleet.count, &request, &answer);
    assert_true(answer.placed);
    assert_int_equal(answer.host, 0); /* a claim of bare slices */
    request.vcpus = 1;
    sched_place(fleet.hosts, fleet.count, &request, &answer);
    assert_true(answer.placed);
    assert_int_equal(answer.host, 1);
    request.slices = 2;
    sched_place(fleet.hosts, fleet.count, &request, &answer);
    assert_false(answer.placed);
    sched_explain(&request, &answer, text, sizeof(text));
    assert_string_equal(text,
                        "no host fits: 1 of 2 has a hypervisor that does not answer; 1 of 2 has too few free slices of "
                        "class 500G (needed 2, most 1)");
}

static void test_no_hosts_and_little_room(void **state)
{
    (void)state;
    const struct sched_request request = {.class = {"500G"}, .slices = 1};
    struct sched_answer answer;
    sched_place(NULL, 0, &request, &answer);
    char text[100];
    sched_explain(&request, &answer, text, sizeof(text));
    assert_string_equal(text, "no host fits: there are no hosts");
    memset(text, '#', sizeof(text));
    sched_explain(&request, &answer, text, 10); /* cut, never overrun */
    assert_string_equal(text, "no host f");
    assert_int_equal(text[10], '#');
    struct fleet fleet;
    four_hosts(&fleet);
    const struct sched_request large = {.class = {"500G"}, .slices = 9};
    sched_place(fleet.hosts, fleet.count, &large, &answer);
    for (size_t size = 1; size < sizeof(text); size++) {
        memset(text, '#', sizeof(text));
        sched_explain(&large, &answer, text, size);
        assert_true(strlen(text) < size);
        assert_int_equal(text[size], '#');
    }
}

static void test_slices_on_drained_drives_are_counted(void **state)
{
    (void)state;
    struct fleet fleet = {.count = 0};
    struct sched_answer answer;
    char text[200];
    const struct sched_request request = {.class = {"500G"}, .slices = 3}, less = {.class = {"500G"}, .slices = 2};
    fleet_add(&fleet, "h1", "aab");
    fleet_add(&fleet, "h2", "aa");
    fleet_add(&fleet, "h3", "a");
    fleet.hosts[0].left_out = 9; /* it has enough all the same */
    fleet.hosts[1].left_out = 1;
    fleet.hosts[2].left_out = 2;
    sched_place(fleet.hosts, fleet.count, &request, &answer);
    assert_true(answer.placed);
    assert_int_equal(answer.host, 0);
    assert_int_equal(answer.refusal[SCHED_SLICES].left_out, 3);
    sched_place(&fleet.hosts[2], 1, &less, &answer);
    assert_false(answer.placed); /* what is left out is not given out */
    sched_explain(&less, &answer, text, sizeof(text));
    assert_string_equal(text, "no host fits: 1 of 1 has too few free slices of class 500G (needed 2, most 1; 2 more on "
                              "drained drives)");
}

/* ---- any fleet -------------------------------------------------------------------------------------------------- */

static void random_fleet(struct rng *rng, struct fleet *fleet)
{
    *fleet = (struct fleet){.count = 0};
    const unsigned hosts = (unsigned)rng_below(rng, HOSTS_MAX + 1);
    for (unsigned h = 0; h < hosts; h++) {
        char name[8], picture[SLICES_MAX] = "";
        snprintf(name, sizeof(name), "h%u", (h * 7 + 3) % 10);
        const unsigned drives = (unsigned)rng_below(rng, 20);
        size_t used = 0;
        for (unsigned d = 0; d < drives; d++)
            for (uint64_t n = rng_below(rng, 5); n > 0 && used < SLICES_MAX - 1; n--)
                picture[used++] = (char)('a' + d);
        fleet_add(fleet, name, picture);
        fleet->hosts[h].up = rng_below(rng, 8) != 0;
        fleet->hosts[h].vcpus_free = rng_below(rng, 16);
        fleet->hosts[h].memory_free_bytes = rng_below(rng, 16);
    }
}

static bool can_carry(const struct sched_host *host, const struct sched_request *request)
{
    return host->up && host->vcpus_free >= request->vcpus && host->memory_free_bytes >= request->memory_bytes &&
           host->slice_count >= request->slices;
}

/* Free slices and slices taken, by the drive's letter. */
struct tally {
    unsigned free[26], taken[26], drives, drives_taken, most_taken;
};

static struct tally tally_of(const struct sched_host *host, const struct sched_answer *answer)
{
    struct tally tally = {.drives = 0};
    for (size_t i = 0; i < host->slice_count; i++)
        tally.drives += tally.free[host->slices[i].drive[0] - 'a']++ == 0;
    for (size_t i = 0; i < answer->slice_count; i++)
        tally.drives_taken += tally.taken[answer->slices[i].v[0] - 'a']++ == 0;
    for (unsigned d = 0; d < 26; d++)
        if (tally.taken[d] > tally.most_taken)
            tally.most_taken = tally.taken[d];
    return tally;
}

/* The fewest drives that hold so many slices: the largest first. */
static unsigned fewest_drives(const struct tally *tally, unsigned wanted)
{
    unsigned left[26], count = 0;
    memcpy(left, tally->free, sizeof(left));
    for (unsigned got = 0; got < wanted; count++) {
        unsigned best = 0;
        for (unsigned d = 1; d < 26; d++)
            if (left[d] > left[best])
                best = d;
        got += left[best];
        left[best] = 0;
    }
    return count;
}

static void check_slices(const struct sched_host *host, const struct sched_request *request,
                         const struct sched_answer *answer)
{
    assert_int_equal(answer->slice_count, request->slices);
    for (size_t i = 0; i < answer->slice_count; i++) {
        unsigned there = 0;
        for (size_t s = 0; s < host->slice_count; s++)
            there += slice_id_eq(&host->slices[s].id, &answer->slices[i]);
        assert_int_equal(there, 1); /* one that is free on this host */
        for (size_t j = 0; j < i; j++)
            assert_false(slice_id_eq(&answer->slices[j], &answer->slices[i]));
    }
    const struct tally tally = tally_of(host, answer);
    if (request->spread == SPREAD_PACK) {
        assert_int_equal(tally.drives_taken, fewest_drives(&tally, request->slices));
        return;
    }
    assert_int_equal(tally.drives_taken, request->slices < tally.drives ? request->slices : tally.drives);
    for (unsigned d = 0; d < 26; d++) /* as even as can be */
        assert_true(tally.taken[d] + 1 >= tally.most_taken || tally.taken[d] == tally.free[d]);
}

static void check_host(const struct fleet *fleet, const struct sched_request *request,
                       const struct sched_answer *answer)
{
    const struct sched_host *chosen = &fleet->hosts[answer->host];
    assert_true(can_carry(chosen, request));
    for (size_t h = 0; h < fleet->count; h++) {
        const struct sched_host *other = &fleet->hosts[h];
        if (!can_carry(other, request))
            continue;
        if (request->spread == SPREAD_DRIVES)
            assert_true(chosen->slice_count >= other->slice_count);
        else
            assert_true(chosen->slice_count <= other->slice_count);
        if (chosen->slice_count == other->slice_count)
            assert_true(strcmp(chosen->name.v, other->name.v) <= 0);
    }
}

static void test_any_fleet(void **state)
{
    (void)state;
    struct rng rng = {.state = 20260801};
    unsigned placed = 0;
    for (unsigned i = 0; i < 20000; i++) {
        static struct fleet fleet, before;
        random_fleet(&rng, &fleet);
        before = fleet;
        const struct sched_request request = {.slices = 1 + (uint32_t)rng_below(&rng, CLAIM_SLICES_MAX),
                                              .spread = (enum spread)rng_below(&rng, SPREAD_COUNT),
                                              .vcpus = rng_below(&rng, 6),
                                              .memory_bytes = rng_below(&rng, 6)};
        struct sched_answer answer, again;
        sched_place(fleet.hosts, fleet.count, &request, &answer);
        sched_place(fleet.hosts, fleet.count, &request, &again);
        assert_memory_equal(&answer, &again, sizeof(answer));
        assert_memory_equal(&fleet, &before, sizeof(fleet));
        assert_int_equal(answer.hosts_asked, fleet.count);
        bool any = false;
        for (size_t h = 0; h < fleet.count; h++)
            any = any || can_carry(&fleet.hosts[h], &request);
        assert_int_equal(answer.placed, any);
        if (!answer.placed) {
            assert_int_equal(answer.slice_count, 0);
            continue;
        }
        placed++;
        check_host(&fleet, &request, &answer);
        check_slices(&fleet.hosts[answer.host], &request, &answer);
    }
    assert_true(placed > 5000);
}

/* One claim after the other until nothing fits: every slice is given once. */
static void test_slices_are_conserved(void **state)
{
    (void)state;
    for (unsigned spread = 0; spread < SPREAD_COUNT; spread++) {
        struct fleet fleet = {.count = 0};
        fleet_add(&fleet, "h1", "aaaabbbbccccccdddeef");
        struct sched_host *host = &fleet.hosts[0];
        struct sched_slice *slices = fleet.slices[0];
        const size_t all = host->slice_count;
        size_t given = 0;
        const struct sched_request request = {.slices = 3, .spread = (enum spread)spread};
        for (struct sched_answer answer;;) {
            sched_place(fleet.hosts, 1, &request, &answer);
            if (!answer.placed)
                break;
            for (size_t i = 0; i < answer.slice_count; i++) {
                size_t kept = 0;
                for (size_t s = 0; s < host->slice_count; s++)
                    if (!slice_id_eq(&slices[s].id, &answer.slices[i]))
                        slices[kept++] = slices[s];
                assert_int_equal(kept, host->slice_count - 1);
                host->slice_count = kept;
                given++;
            }
        }
        assert_int_equal(given + host->slice_count, all);
        assert_int_equal(host->slice_count, all % 3);
    }
}

/* As many slices and drives as a host may have. */
static void test_largest_host(void **state)
{
    (void)state;
    static struct sched_slice slices[HOST_SLICES_MAX];
    for (unsigned per_drive = 1; per_drive <= 16; per_drive *= 4) {
        for (unsigned i = 0; i < HOST_SLICES_MAX; i++) {
            snprintf(slices[i].drive, sizeof(slices[i].drive), "%04u", i / per_drive);
            snprintf(slices[i].id.v, sizeof(slices[i].id.v), "%04u", i);
        }
        const struct sched_host host = {.name = {"h"}, .up = true, .slices = slices, .slice_count = HOST_SLICES_MAX};
        struct sched_answer answer;
        for (unsigned spread = 0; spread < SPREAD_COUNT; spread++) {
            const struct sched_request request = {.slices = 16, .spread = (enum spread)spread};
            sched_place(&host, 1, &request, &answer);
            assert_true(answer.placed);
            for (unsigned i = 0; i < 16; i++) {
                char want[21];
                snprintf(want, sizeof(want), "%04u", spread == SPREAD_DRIVES ? i * per_drive : i);
                assert_string_equal(answer.slices[i].v, want);
            }
        }
    }
}

/* ---- bugs of the caller end the process -------------------------------------------------------------------------- */

static const struct {
    const char *rule;
    uint32_t slices;
    enum spread spread;
    const char *picture;
} bugs[] = {
    {"no slices are asked for", 0, SPREAD_DRIVES, "aaa"},
    {"more slices than a claim can hold", CLAIM_SLICES_MAX + 1, SPREAD_DRIVES, "aaaaaaaaaaaaaaaaaaaa"},
    {"a spread that does not exist", 1, SPREAD_COUNT, "aaa"},
    {"slices that are not sorted by drive", 1, SPREAD_DRIVES, "aba"},
};

static void test_bugs_end_the_process(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(bugs) / sizeof(bugs[0]); i++) {
        const pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            signal(SIGABRT, SIG_DFL);
            dup2(open("/dev/null", O_WRONLY | O_CLOEXEC), STDERR_FILENO);
            struct fleet fleet = {.count = 0};
            fleet_add(&fleet, "h", bugs[i].picture);
            const struct sched_request request = {.slices = bugs[i].slices, .spread = bugs[i].spread};
            struct sched_answer answer;
            sched_place(fleet.hosts, 1, &request, &answer);
            _exit(0);
        }
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGABRT)
            fail_msg("%s: went on", bugs[i].rule);
    }
}

static void test_words(void **state)
{
    (void)state;
    static const char *const want[] = {"host up", "hypervisor", "vcpus", "memory", "free slices"};
    for (unsigned f = 0; f < SCHED_FILTER_COUNT; f++)
        assert_string_equal(sched_filter_word((enum sched_filter)f), want[f]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_placement),     cmocka_unit_test(test_order_of_hosts),
        cmocka_unit_test(test_refusals),      cmocka_unit_test(test_hypervisor_counts_for_vms_only),
        cmocka_unit_test(test_typed_reasons), cmocka_unit_test(test_no_hosts_and_little_room),
        cmocka_unit_test(test_any_fleet),     cmocka_unit_test(test_slices_are_conserved),
        cmocka_unit_test(test_largest_host),  cmocka_unit_test(test_bugs_end_the_process),
        cmocka_unit_test(test_slices_on_drained_drives_are_counted),
        cmocka_unit_test(test_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
