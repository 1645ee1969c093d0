/* Torture: one host, one drive, one life of it - adopted, handed to a VM and to a claim, given back, one slice retired
 * - and in each run exactly one thing fails: the n-th command to the drive, the n-th save of the ledger, the n-th
 * commit of the server; before it takes effect, and after. Whatever n is, it must come to the same end. */
#include "sim.h"

#include "base/must.h"
#include "base/text.h"

#include <stdlib.h>

enum { LOOK_MS = 700, STAGE_MS_MAX = 3 * 3600000 };

static const char *const kinds[] = {"status:0x006",      "timeout-done",     "timeout-not-done", "timeout-half-done",
                                    "ledger before",     "ledger after",     "commit before",    "commit after",
                                    "hypervisor before", "hypervisor after", "agent ends"};

enum { KIND_COUNT = sizeof(kinds) / sizeof(kinds[0]), DEVICE_KINDS = 4 };

enum stage { ADOPT, ASK, USE, GIVE_BACK, BREAK, RETIRE, DONE };

/* Called before each command: the one that is meant gets its fault now. */
void torture_command(struct sim_host *at, unsigned drive, bool io, uint8_t opcode)
{
    struct sim *sim = at->sim;
    struct err ignored = {0};
    if (sim->torture_nth == 0 || sim->torture_kind >= DEVICE_KINDS)
        return;
    if (io && ++sim->torture_io % 23 != 1) /* an erase is hundreds of reads and writes, all alike */
        return;
    if (++sim->torture_seen != sim->torture_nth)
        return;
    struct soft_fault fault;
    char text[60];
    snprintf(text, sizeof(text), "0x%02x kind=%s", opcode, kinds[sim->torture_kind]);
    must(soft_fault_parse(text, &fault, &ignored));
    fault.io = io;
    must(soft_drive_fault(at->soft[drive], &fault, &ignored));
    at->drives[drive].suspect = true;
    sim_trace(sim, "---- command %ju, %s%02x, fails: %s", (uintmax_t)sim->torture_nth, io ? "i/o " : "", opcode,
              kinds[sim->torture_kind]);
}

static void arm(struct sim *sim)
{
    const unsigned nth = (unsigned)sim->torture_nth, kind = sim->torture_kind;
    struct sim_host *at = &sim->hosts[0];
    const bool after = kind % 2 == 1;
    if (kind == 4 || kind == 5)
        ledger_mem_fail(&at->ledger, nth, after);
    else if (kind == 6 || kind == 7)
        store_mem_fail(&sim->server.store, nth, after);
    else if (kind == 8 || kind == 9)
        virt_fake_fail(&at->virt, nth, ERR_FAILED, after);
    sim->server.armed = kind == 6 || kind == 7;
}

static bool all_rest(const struct host *host)
{
    for (size_t i = 0; i < host->slice_count; i++)
        if (host->slices[i].slice.state != SLICE_FREE)
            return false;
    return host->slice_count > 0;
}

static bool is_adopted(const struct host *host)
{
    for (size_t i = 0; i < host->drive_count; i++)
        if (host->drives[i].adopt == ADOPT_DONE)
            return all_rest(host);
    return false;
}

static bool any_quarantined(const struct host *host)
{
    for (size_t i = 0; i < host->slice_count; i++)
        if (host->slices[i].slice.state == SLICE_QUARANTINED)
            return true;
    return false;
}

static struct sim_tenant *living(struct sim *sim, bool vm)
{
    for (size_t i = 0; i < sim->tenant_count; i++)
        if (sim->tenants[i].vm == vm && sim->tenants[i].alive && sim->tenants[i].disks[0].written[0] != 0)
            return &sim->tenants[i];
    return NULL;
}

static bool nothing_left(const struct sim *sim)
{
    for (size_t i = 0; i < sim->tenant_count; i++)
        if (!sim->tenants[i].gone)
            return false;
    return true;
}

/* An erase that the drive refuses: the slice is quarantined, and a person retires it. */
static void break_erase(struct sim *sim)
{
    struct soft_fault fault;
    struct err ignored = {0};
    must(soft_fault_parse("format kind=status:0x006", &fault, &ignored));
    must(soft_drive_fault(sim->hosts[0].soft[0], &fault, &ignored));
    sim->hosts[0].drives[0].suspect = true;
}

static enum stage go_on(struct sim *sim, enum stage stage, size_t *slices)
{
    const struct host *host = sim->hosts[0].agent.host;
    if (host == NULL || !sim->server.up)
        return stage;
    if (any_quarantined(host) && stage != BREAK && stage != RETIRE)
        user_retry_all(sim);
    switch (stage) {
    case ADOPT:
        if (!is_adopted(host))
            user_adopt(sim, 0, 0);
        return is_adopted(host) ? ASK : ADOPT;
    case ASK:
        if (living(sim, true) == NULL)
            user_ask(sim, true, 1);
        if (living(sim, false) == NULL)
            user_ask(sim, false, 1);
        return USE;
    case USE:
        if (living(sim, true) != NULL && living(sim, false) != NULL)
            return GIVE_BACK;
        return sim->now_ms % 40000 < LOOK_MS ? ASK : USE; /* perhaps the request was lost, or could not start */
    case GIVE_BACK:
        user_clear(sim);
        if (!nothing_left(sim) || !all_rest(host))
            return GIVE_BACK;
        *slices = host->slice_count;
        user_ask(sim, false, 1);
        return BREAK;
    case BREAK:
        if (any_quarantined(host))
            return RETIRE;
        if (living(sim, false) != NULL) {
            break_erase(sim);
            user_clear(sim);
        } else if (nothing_left(sim) && all_rest(host)) {
            user_ask(sim, false, 1);
        } else if (sim->now_ms % 40000 < LOOK_MS) {
            user_clear(sim); /* nobody knows whether it was granted */
        }
        return BREAK;
    case RETIRE:
        user_clear(sim);
        user_retire_all(sim);
        return host->slice_count < *slices && nothing_left(sim) ? DONE : RETIRE;
    case DONE:
        break;
    }
    return DONE;
}

/* true: it ended as it must. *fired: the fault happened at all. */
static bool run_one(struct sim *sim, unsigned kind, uint64_t nth, bool trace, bool *fired)
{
    enum stage stage = ADOPT;
    size_t slices = 0;
    sim_open_small(sim, trace);
    sim->torture_kind = kind;
    sim->torture_nth = nth;
    arm(sim);
    while (!sim->failed && stage != DONE && sim->now_ms < STAGE_MS_MAX) {
        sim_turn(sim, LOOK_MS);
        if (kind == DEVICE_KINDS + 6 && ++sim->torture_seen == nth) /* the agent ends at each moment once */
            sim->hosts[0].crash_in = 1 + (unsigned)(nth % 7);
        stage = go_on(sim, stage, &slices);
    }
    if (stage != DONE)
        sim_fail(sim, "stage %d is never over", (int)stage);
    const bool ok = sim_settle(sim);
    *fired = kind < DEVICE_KINDS || kind == DEVICE_KINDS + 6 ? sim->torture_seen >= nth
             : kind < 6                                      ? sim->tally.crashes > 0
             : kind < 8                                      ? sim->tally.server_crashes > 0
                                                             : virt_fake_calls(&sim->hosts[0].virt) >= nth;
    if (!ok)
        printf("torture: %s, n = %ju: %s\n", kinds[kind], (uintmax_t)nth, sim->why);
    return ok;
}

bool torture(struct sim *sim, unsigned only_kind, uint64_t only_nth, bool trace)
{
    uint64_t failed = 0;
    for (unsigned kind = 0; kind < KIND_COUNT; kind++) {
        uint64_t nth = only_nth != 0 ? only_nth : 1;
        bool fired = only_nth == 0 || kind == only_kind;
        while (fired) {
            failed += !run_one(sim, kind, nth, trace, &fired);
            sim_close(sim);
            nth++;
            fired = fired && only_nth == 0;
        }
        if (only_nth == 0)
            printf("torture: %s: n = 1 to %ju\n", kinds[kind], (uintmax_t)nth - 2);
    }
    printf("torture: %ju failed\n", (uintmax_t)failed);
    return failed == 0;
}
