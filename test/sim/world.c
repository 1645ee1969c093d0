/* The world: made from a seed, moved by a queue of events, and closed again. */
#include "sim.h"

#include "base/must.h"
#include "base/text.h"

#include <stdarg.h>
#include <stdlib.h>

enum { SETTLE_MS_MAX = 3600000, SETTLE_LOOK_MS = 1000, CHECK_EVERY = 24 };

uint64_t sim_rand(struct sim *sim, uint64_t limit)
{
    return rng_below(&sim->rng, limit);
}

bool sim_chance(struct sim *sim, unsigned in_1000)
{
    return !sim->calm && rng_below(&sim->rng, 1000) < in_1000;
}

static void hash_text(struct sim *sim, const char *text)
{
    for (; *text != '\0'; text++)
        sim->hash = (sim->hash ^ (uint8_t)*text) * 0x100000001b3u;
}

void sim_trace(struct sim *sim, const char *fmt, ...)
{
    char line[400];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line, sizeof(line), fmt, ap);
    va_end(ap);
    char at[32];
    snprintf(at, sizeof(at), "%ju ", (uintmax_t)sim->now_ms);
    hash_text(sim, at);
    hash_text(sim, line);
    if (sim->trace)
        printf("%10.3f %s\n", (double)sim->now_ms / 1000, line);
}

void sim_fail(struct sim *sim, const char *fmt, ...)
{
    if (sim->failed)
        return; /* the first one tells most */
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(sim->why, sizeof(sim->why), fmt, ap);
    va_end(ap);
    sim->failed = true;
}

/* ---- the queue: a heap by time, then by chance ----------------------------------------------------------------- */

static bool before(const struct sim_event *a, const struct sim_event *b)
{
    return a->at_ms != b->at_ms ? a->at_ms < b->at_ms : a->tie < b->tie;
}

static void swap(struct sim_event *a, struct sim_event *b)
{
    const struct sim_event c = *a;
    *a = *b;
    *b = c;
}

void sim_at(struct sim *sim, uint64_t delay_ms, struct sim_event event)
{
    if (sim->queue_count == sim->queue_room) {
        sim->queue_room = sim->queue_room == 0 ? 256 : sim->queue_room * 2;
        sim->queue = realloc(sim->queue, sim->queue_room * sizeof(*sim->queue));
        must(sim->queue != NULL);
    }
    event.at_ms = sim->now_ms + delay_ms;
    event.tie = rng_next(&sim->rng);
    size_t i = sim->queue_count++;
    sim->queue[i] = event;
    for (; i > 0 && before(&sim->queue[i], &sim->queue[(i - 1) / 2]); i = (i - 1) / 2)
        swap(&sim->queue[i], &sim->queue[(i - 1) / 2]);
}

static struct sim_event queue_take(struct sim *sim)
{
    const struct sim_event first = sim->queue[0];
    sim->queue[0] = sim->queue[--sim->queue_count];
    for (size_t i = 0;;) {
        size_t least = i;
        for (size_t k = 2 * i + 1; k <= 2 * i + 2 && k < sim->queue_count; k++)
            least = before(&sim->queue[k], &sim->queue[least]) ? k : least;
        if (least == i)
            return first;
        swap(&sim->queue[i], &sim->queue[least]);
        i = least;
    }
}

void sim_event_free(struct sim_event *event)
{
    if (event->kind == EV_MAIL && event->data != NULL)
        sim_mail_free(event->data);
    else if (event->kind == EV_PARCEL && event->data != NULL)
        sim_parcel_free(event->data);
    else
        free(event->data);
    event->data = NULL;
}

static bool is_for_agent(enum sim_event_kind kind)
{
    return kind == EV_TICK || kind == EV_ORDER || kind == EV_MAIL || kind == EV_PULL || kind == EV_REGISTERED ||
           kind == EV_FATAL || kind == EV_FORGOTTEN || kind == EV_PUSH || kind == EV_HAVE;
}

static void step(struct sim *sim)
{
    if (sim->steps_left == 0)
        return;
    sim->steps_left--;
    sim->tally.steps++;
    sim_at(sim, 1 + sim_rand(sim, 1200), (struct sim_event){.kind = EV_STEP});
    if (sim_rand(sim, 100) < 62)
        user_step(sim);
    else
        fault_step(sim);
}

static void drive_back(struct sim_host *at, unsigned drive)
{
    if (!soft_drive_present(at->drives[drive].drive)) {
        sim_trace(at->sim, "%s drive %u is back", at->name.v, drive);
        soft_drive_set_present(at->drives[drive].drive, true);
        agent_news(at, drive);
    }
}

static void handle(struct sim *sim, struct sim_event *event)
{
    struct sim_host *at = &sim->hosts[event->host];
    switch (event->kind) {
    case EV_AGENT_START:
        agent_start(at);
        return;
    case EV_TICK:
        agent_tick(at);
        return;
    case EV_ORDER:
        agent_order(at, event->data);
        return;
    case EV_MAIL:
        agent_mail(at, event->data);
        return;
    case EV_PULL:
        uplink_pull(at);
        return;
    case EV_REGISTER:
        uplink_register(at, event);
        return;
    case EV_REGISTERED:
        uplink_registered(at, event);
        return;
    case EV_POLL:
        uplink_poll(at, event);
        return;
    case EV_FATAL:
        agent_end(at, "a newer registration exists", 1000);
        return;
    case EV_FORGOTTEN:
        at->agent.registered = false;
        return;
    case EV_PUSH:
        uplink_push_now(at);
        return;
    case EV_PARCEL:
        uplink_parcel(at, event->life, event->data);
        return;
    case EV_HAVE:
        at->agent.push_busy = false;
        at->agent.report_due = at->agent.report_due || at->mind.records_have != event->number;
        at->mind.records_have = event->number;
        return;
    case EV_SERVER_START:
        server_start(sim);
        return;
    case EV_STEP:
        step(sim);
        return;
    case EV_TENANT:
        tenant_step(sim, event->number);
        return;
    case EV_BACK:
        drive_back(at, (unsigned)event->number);
        return;
    case EV_AMBUSH:
        fault_ambush(sim, at, (unsigned)event->number);
        return;
    }
}

static void run_one(struct sim *sim)
{
    struct sim_event event = queue_take(sim);
    must(event.at_ms >= sim->now_ms);
    sim->now_ms = event.at_ms;
    const struct sim_agent *agent = &sim->hosts[event.host].agent;
    if (!is_for_agent(event.kind) || (agent->host != NULL && agent->life == event.life))
        handle(sim, &event);
    sim_event_free(&event);
    if (++sim->tally.events % CHECK_EVERY == 0)
        check_world(sim);
}

/* ---- making ---------------------------------------------------------------------------------------------------- */

static void profile_make(struct sim *sim, struct sim_drive *drive, bool foreign, struct soft_profile *out)
{
    enum { PLAIN = 5, KINDS = 15 };
    const unsigned kind = foreign || sim->calm ? 0 : (unsigned)sim_rand(sim, KINDS);
    soft_profile_defaults(out);
    snprintf(out->name, sizeof(out->name), "sim-%u", kind);
    text_cut(out->model, sizeof(out->model), "SIM DRIVE");
    out->capacity_bytes = (6 + sim_rand(sim, 6)) << 19; /* an odd half is left over by the plan */
    out->nn = 16;
    out->nsg_bytes = out->ncg_bytes = 1 << 19;
    out->fna = 0x04;
    out->leaky_delete = true;
    out->lbaf[0] = (struct soft_lbaf){.block_bytes = sim_rand(sim, 4) == 0 ? 4096 : 512};
    out->lbaf_count = 1;
    out->factory_lbaf = 0;
    out->crypto_noise = sim_rand(sim, 2);
    if (kind > PLAIN)
        out->format_ms = (uint32_t)sim_rand(sim, 2) * 1500;
    switch (kind) {
    case 1:
        out->sanitize_ns = out->sanitize_crypto = true;
        out->sanitize_ms = (uint32_t)sim_rand(sim, 3) * 700;
        break;
    case 2:
        out->fna = 0x05;
        break;
    case 3:
        out->fna = 0x06;
        break;
    case 4:
        out->fna = 0x00;
        break;
    case 6:
        out->nguid = out->eui64 = SOFT_IDS_ZERO;
        break;
    case 7:
        out->nguid = out->eui64 = SOFT_IDS_REUSED;
        break;
    case 8:
        out->events = false;
        break;
    case 9:
        out->reclaim_in_order = true;
        break;
    case 10:
        out->format_ms = 8000;
        break;
    case 11:
        out->nn = 1;
        out->capacity_bytes = 1 << 20;
        break;
    case 12:
        out->ns_management = false;
        out->nn = 1;
        out->capacity_bytes = 1 << 20;
        break;
    case 13:
        out->faults[0] = (struct soft_fault){.opcode = 0x80, .nth = 1, .kind = SOFT_FAULT_LIE};
        out->fault_count = 1;
        drive->hopeless = true;
        break;
    case 14:
        out->faults[0] = (struct soft_fault){.opcode = 0x80, .nth = 1, .kind = SOFT_FAULT_HITS_ALL};
        out->fault_count = 1; /* not excused: it is to be found out before anybody has a slice of it */
        break;
    default:
        break;
    }
}

static void drive_make(struct sim_host *at, unsigned i, bool foreign)
{
    struct sim_drive *drive = &at->drives[i];
    struct soft_profile profile;
    char serial[21];
    profile_make(at->sim, drive, foreign, &profile);
    snprintf(serial, sizeof(serial), "S%u%u%04ju", at->index, i, (uintmax_t)(at->sim->seed % 10000));
    drive->drive = soft_drive_make_mem(&profile, serial, rng_next(&at->sim->rng));
    drive->name = i;
    at->soft[i] = drive->drive;
    sim_trace(at->sim, "%s drive %u is %s, %s%s", at->name.v, i, serial, profile.name, foreign ? ", foreign" : "");
    if (!foreign)
        return;
    uint8_t data[SIM_BLOCK];
    memset(data, 0x42, sizeof(data));
    for (unsigned k = 0; k < 8; k++)
        must(soft_drive_poke(drive->drive, 1, sim_rand(at->sim, profile.capacity_bytes / SIM_STRIDE) * SIM_STRIDE, data,
                             sizeof(data)));
    foreign_mark(drive);
}

static void host_make(struct sim *sim, unsigned index)
{
    struct sim_host *at = &sim->hosts[index];
    struct err err = {0};
    uint8_t seed[32] = {0};
    at->sim = sim;
    at->index = index;
    snprintf(at->name.v, sizeof(at->name.v), "h%u", index);
    snprintf(at->boot.v, sizeof(at->boot.v), "boot-%u", index);
    at->drive_count = sim->calm ? 2 : 2 + sim_rand(sim, SIM_DRIVES - 1);
    for (unsigned i = 0; i < at->drive_count; i++)
        drive_make(at, i, i + 1 == at->drive_count);
    soft_port(at->soft, at->drive_count, &at->inner);
    port_open(at);
    must(virt_fake_open(&at->virt, &err));
    virt_fake_look(&at->virt, port_behind, at);
    must(ledger_mem_open(&at->ledger, &err));
    memcpy(seed, &sim->seed, sizeof(sim->seed));
    seed[31] = (uint8_t)index;
    cert_key_make(&at->mind.key, seed);
    at->mind.ledger = &at->ledger;
    agent_env(at);
    sim_at(sim, sim_rand(sim, 500), (struct sim_event){.kind = EV_AGENT_START, .host = index});
}

void sim_open(struct sim *sim, uint64_t seed, bool trace)
{
    struct report *scratch = sim->scratch;
    *sim = (struct sim){.seed = seed, .now_ms = 1000, .rng = {seed}, .trace = trace, .hash = 0xcbf29ce484222325u};
    sim->scratch = scratch != NULL ? scratch : calloc(1, sizeof(*sim->scratch));
    must(sim->scratch != NULL);
    sim->steps_left = SIM_STEPS;
    server_open(sim);
    sim->host_count = 1 + sim_rand(sim, SIM_HOSTS);
    for (unsigned i = 0; i < sim->host_count; i++)
        host_make(sim, i);
    sim_at(sim, 3000, (struct sim_event){.kind = EV_STEP});
}

void sim_open_small(struct sim *sim, bool trace)
{
    struct report *scratch = sim->scratch;
    *sim =
        (struct sim){.seed = 7, .now_ms = 1000, .rng = {7}, .trace = trace, .hash = 0xcbf29ce484222325u, .calm = true};
    sim->scratch = scratch != NULL ? scratch : calloc(1, sizeof(*sim->scratch));
    must(sim->scratch != NULL);
    server_open(sim);
    sim->host_count = 1;
    host_make(sim, 0);
}

void sim_turn(struct sim *sim, uint64_t for_ms)
{
    const uint64_t until_ms = sim->now_ms + for_ms;
    while (!sim->failed && sim->queue_count > 0 && sim->queue[0].at_ms <= until_ms)
        run_one(sim);
    sim->now_ms = until_ms;
}

void sim_close(struct sim *sim)
{
    while (sim->queue_count > 0)
        sim_event_free(&sim->queue[--sim->queue_count]);
    free(sim->queue);
    for (size_t h = 0; h < sim->host_count; h++) {
        struct sim_host *at = &sim->hosts[h];
        free(at->agent.host);
        at->inner.close(at->inner.self);
        at->virt.close(at->virt.self);
        at->ledger.close(at->ledger.self);
        for (size_t i = 0; i < at->drive_count; i++) {
            soft_drive_free(at->drives[i].drive);
            free(at->drives[i].state);
        }
    }
    server_close(sim);
}

/* ---- the two phases --------------------------------------------------------------------------------------------- */

static void settle(struct sim *sim, bool last)
{
    const uint64_t until_ms = sim->now_ms + SETTLE_MS_MAX;
    uint64_t look_ms = sim->now_ms + SETTLE_LOOK_MS;
    char why[256] = "";
    while (!sim->failed && sim->queue_count > 0) {
        run_one(sim);
        if (sim->now_ms < look_ms)
            continue;
        look_ms = sim->now_ms + SETTLE_LOOK_MS;
        user_clear(sim);
        user_retire_lost(sim);
        fault_orphans_remove(sim);
        if (settled(sim, last, why))
            return;
        if (sim->now_ms >= until_ms)
            sim_fail(sim, "does not settle: %s", why);
    }
}

bool sim_run(struct sim *sim)
{
    while (!sim->failed && sim->steps_left > 0)
        run_one(sim);
    return sim_settle(sim);
}

bool sim_settle(struct sim *sim)
{
    sim_trace(sim, "---- the faults are gone");
    sim->calm = true;
    sim->torture_nth = 0;
    if (!sim->failed)
        fault_calm(sim);
    settle(sim, false);
    if (!sim->failed)
        user_retry_all(sim);
    settle(sim, true);
    if (!sim->failed)
        check_world(sim);
    if (!sim->failed)
        check_end(sim);
    return !sim->failed;
}
