/* sim SEED [COUNT] [--trace] - runs the simulation. The seed is printed first: whatever happens then, it can be had
 * again. sim --torture: see torture.c. Each seed is run twice when COUNT is 1: two runs that differ are a fault of
 * their own. */
#include "sim.h"

#include "base/must.h"
#include "base/text.h"

#include <stdlib.h>

static struct sim sim;

static void tally_add(struct sim_tally *to, const struct sim_tally *from)
{
    union {
        const struct sim_tally *tally;
        const uint64_t *numbers;
    } in = {from};
    union {
        struct sim_tally *tally;
        uint64_t *numbers;
    } out = {to};
    for (size_t i = 0; i < sizeof(*from) / sizeof(uint64_t); i++)
        out.numbers[i] += in.numbers[i];
}

static bool run(uint64_t seed, bool trace, struct sim_tally *tally, uint64_t *hash_out)
{
    sim_open(&sim, seed, trace);
    const bool ok = sim_run(&sim);
    if (!ok)
        printf("seed %ju failed at %ju ms: %s\n", (uintmax_t)seed, (uintmax_t)sim.now_ms, sim.why);
    tally_add(tally, &sim.tally);
    *hash_out = sim.hash;
    sim_close(&sim);
    return ok;
}

/* A batch in which little happened has tested little. */
static bool did_enough(const struct sim_tally *t, uint64_t count)
{
    const struct {
        const char *what;
        uint64_t got, want;
    } rows[] = {
        {"VMs started", t->vms, count / 2},
        {"claims", t->claims, count / 2},
        {"erases", t->erases, count * 2},
        {"verified erases", t->verified, count},
        {"hand-outs", t->handouts, count},
        {"agent crashes", t->crashes, count},
        {"server crashes", t->server_crashes, count / 4},
        {"restores", t->restores, count / 10},
        {"quarantines", t->quarantines, count / 4},
        {"reads", t->reads, count * 20},
        {"operations", t->steps, count * 100},
        {"late messages", t->late, count},
        {"swapped names", t->swaps, count / 20},
        {"strangers", t->stranger, count / 20},
        {"retries and retirements", t->retries, count / 20},
        {"destructive probes", t->probes, count / 4},
        {"cut short", t->probes_cut, count / 20},
        {"firmware updates", t->firmware, count / 4},
    };
    bool enough = true;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        printf("%s %ju%s", rows[i].what, (uintmax_t)rows[i].got, i + 1 < sizeof(rows) / sizeof(rows[0]) ? ", " : "\n");
        if (rows[i].got < rows[i].want) {
            printf("\ntoo little: %ju %s in %ju runs\n", (uintmax_t)rows[i].got, rows[i].what, (uintmax_t)count);
            enough = false;
        }
    }
    return enough;
}

int main(int argc, char **argv)
{
    uint64_t seed = 1, count = 1;
    bool trace = false, keep_going = false, tortured = false;
    int place = 0;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--trace") == 0)
            trace = true;
        else if (strcmp(argv[i], "--keep-going") == 0)
            keep_going = true;
        else if (strcmp(argv[i], "--torture") == 0)
            tortured = true;
        else if (place > 1 || !text_u64(argv[i], place++ == 0 ? &seed : &count)) {
            fprintf(stderr, "Usage: sim SEED [COUNT] [--trace] [--keep-going]\n"
                            "       sim --torture [KIND N] [--trace]\n");
            return 2;
        }
    }
    if (trace)
        setlinebuf(stdout); /* an assumption that breaks ends the process */
    if (tortured) {
        const bool ok = torture(&sim, (unsigned)seed, place > 1 ? count : 0, trace);
        free(sim.scratch);
        return ok ? 0 : 1;
    }
    struct sim_tally tally = {0};
    uint64_t failed = 0;
    for (uint64_t i = 0; i < count && (failed == 0 || keep_going); i++) {
        uint64_t hash = 0, again = 0;
        fprintf(stderr, "\rseed %ju ", (uintmax_t)(seed + i));
        failed += !run(seed + i, trace, &tally, &hash);
        if (i % 50 == 0 && !trace) { /* the same seed, the same run */
            struct sim_tally ignored = {0};
            run(seed + i, false, &ignored, &again);
            if (hash != again) {
                printf("seed %ju ran in two ways\n", (uintmax_t)(seed + i));
                failed++;
            }
        }
    }
    fprintf(stderr, "\n");
    const bool enough = count < 20 || did_enough(&tally, count);
    printf("%ju seeds from %ju: %ju failed\n", (uintmax_t)count, (uintmax_t)seed, (uintmax_t)failed);
    free(sim.scratch);
    return failed == 0 && enough ? 0 : 1;
}
