/* The agent's talk with the server, as agent/uplink.c has it, over a network that loses, doubles and delays. */
#include "sim.h"

#include "base/must.h"
#include "base/text.h"

#include <stdlib.h>

enum { PULL_MS = 400, PUSH_MS = 250, RETRY_MS = 3000 };

static uint64_t way_ms(struct sim *sim)
{
    if (sim_chance(sim, 30)) {
        sim->tally.late++;
        return 2000 + sim_rand(sim, 15000);
    }
    return 1 + sim_rand(sim, 60);
}

static bool is_lost(struct sim *sim)
{
    return sim_chance(sim, 40);
}

static void answer(struct sim_host *at, struct sim_event event)
{
    if (is_lost(at->sim))
        return;
    event.host = at->index;
    sim_at(at->sim, way_ms(at->sim), event);
}

/* ---- pull -------------------------------------------------------------------------------------------------------- */

void uplink_pull(struct sim_host *at)
{
    struct sim *sim = at->sim;
    struct sim_agent *agent = &at->agent;
    const bool ask = !agent->registered;
    sim_at(sim, ask ? RETRY_MS : 1 + sim_rand(sim, 2 * PULL_MS),
           (struct sim_event){.kind = EV_PULL, .host = at->index, .life = agent->life});
    if (is_lost(sim))
        return;
    struct sim_event event = {.kind = ask ? EV_REGISTER : EV_POLL, .host = at->index, .life = agent->life};
    if (ask) {
        event.number = ++agent->request;
    } else {
        event.number = agent->host->registration;
        event.more = agent->after;
    }
    for (unsigned copies = sim_chance(sim, 20) ? 2 : 1; copies > 0; copies--)
        sim_at(sim, way_ms(sim), event);
}

struct registering {
    struct name host;
    uint64_t registration, have;
};

static bool register_in(struct sim *sim, void *arg, struct err *err)
{
    struct registering *it = arg;
    struct row_host row;
    bool found;
    const struct store *store = &sim->server.store;
    if (!service_register(&sim->server.service, &it->host, sim->now_ms, &it->registration, err) ||
        !store->get(store->self, ROW_HOST, it->host.v, &row, &found, err))
        return false;
    it->have = row.erasures_have;
    return true;
}

void uplink_register(struct sim_host *at, const struct sim_event *event)
{
    struct registering it = {.host = at->name};
    struct err err = {0};
    if (!server_call(at->sim, register_in, &it, NULL, &err))
        return;
    sim_trace(at->sim, "server registers %s as %ju", at->name.v, (uintmax_t)it.registration);
    answer(at, (struct sim_event){.kind = EV_REGISTERED,
                                  .life = event->life,
                                  .number = it.registration << 32 | it.have,
                                  .more = event->number});
}

void uplink_registered(struct sim_host *at, const struct sim_event *event)
{
    struct sim_agent *agent = &at->agent;
    if (agent->registered || event->more != agent->request)
        return; /* the connection of an older request is closed */
    agent->registered = true;
    agent->host->registration = event->number >> 32;
    at->mind.records_have = event->number & 0xffffffff;
    agent->after = 0;
    agent->report_due = true;
    agent->report_sent_ms = 0;
    sim_trace(at->sim, "%s agent has registration %ju", at->name.v, (uintmax_t)agent->host->registration);
}

struct polling {
    struct name host;
    uint64_t registration, after;
    bool nothing_new;
    struct wants *wants; /* owned; NULL when there is nothing new */
};

static bool poll_in(struct sim *sim, void *arg, struct err *err)
{
    struct polling *it = arg;
    struct row_host row;
    bool found;
    const struct store *store = &sim->server.store;
    if (!store->get(store->self, ROW_HOST, it->host.v, &row, &found, err))
        return false;
    it->nothing_new = found && row.registration == it->registration && row.wants_revision == it->after;
    if (found && row.registration == it->registration)
        service_alive(&sim->server.service, &it->host, sim->now_ms);
    if (it->nothing_new)
        return true;
    it->wants = malloc(sizeof(*it->wants));
    must(it->wants != NULL);
    return service_wants(&sim->server.service, &it->host, it->registration, it->wants, err);
}

/* An answer may come late or twice; that of an earlier life is thrown away with its connection, mostly: the fencing
 * must do without that. */
static void wants_send(struct sim_host *at, const struct sim_event *event, struct wants *wants)
{
    struct sim *sim = at->sim;
    for (unsigned copies = sim_chance(sim, 50) ? 2 : 1; copies > 0; copies--) {
        if (is_lost(sim))
            continue;
        struct sim_mail *mail = calloc(1, sizeof(*mail));
        must(mail != NULL);
        mail->kind = HOST_WANTS;
        mail->wants = malloc(sizeof(*mail->wants));
        must(mail->wants != NULL);
        *mail->wants = *wants;
        const uint64_t life = event->life + (sim_chance(sim, 30) ? 1 : 0);
        sim_at(sim, copies == 2 ? sim_rand(sim, 20000) : way_ms(sim),
               (struct sim_event){.kind = EV_MAIL, .host = at->index, .life = life, .data = mail});
    }
}

void uplink_poll(struct sim_host *at, const struct sim_event *event)
{
    struct polling it = {.host = at->name, .registration = event->number, .after = event->more};
    struct err err = {0};
    if (server_call(at->sim, poll_in, &it, NULL, &err)) {
        if (!it.nothing_new)
            wants_send(at, event, it.wants);
    } else if (err.kind == ERR_CONFLICT) {
        answer(at, (struct sim_event){.kind = EV_FATAL, .life = event->life});
    } else if (err.kind == ERR_MISSING) {
        answer(at, (struct sim_event){.kind = EV_FORGOTTEN, .life = event->life});
    }
    free(it.wants);
}

/* ---- push -------------------------------------------------------------------------------------------------------- */

void sim_parcel_free(struct sim_parcel *parcel)
{
    for (size_t i = 0; i < parcel->record_count; i++)
        free(parcel->records[i]);
    free(parcel->report);
    free(parcel);
}

static bool record_keep(void *ctx, uint64_t seq, const char *text)
{
    struct sim_parcel *parcel = ctx;
    (void)seq;
    must(parcel->record_count < SIM_RECORDS);
    parcel->records[parcel->record_count] = strdup(text);
    must(parcel->records[parcel->record_count] != NULL);
    parcel->record_count++;
    return true;
}

/* Only what is used is copied: the struct has room for the largest host. */
static struct report *report_copy(const struct report *from)
{
    struct report *to = malloc(sizeof(*to));
    must(to != NULL);
    memcpy(to, from, offsetof(struct report, drives));
    to->drive_count = from->drive_count;
    to->slice_count = from->slice_count;
    to->vm_count = from->vm_count;
    to->drives_known = from->drives_known;
    to->troubles = from->troubles;
    memcpy(to->drives, from->drives, from->drive_count * sizeof(from->drives[0]));
    memcpy(to->slices, from->slices, from->slice_count * sizeof(from->slices[0]));
    memcpy(to->vms, from->vms, from->vm_count * sizeof(from->vms[0]));
    return to;
}

static struct sim_parcel *parcel_make(struct sim_host *at)
{
    struct report *report = at->sim->scratch;
    struct err err = {0};
    host_report(at->agent.host, report);
    report->number = ++at->agent.report_number;
    report->vcpus = 64;
    report->memory_bytes = 1ull << 40;
    text_hex(report->public_key, at->mind.key.public, sizeof(at->mind.key.public));
    struct sim_parcel *parcel = calloc(1, sizeof(*parcel));
    must(parcel != NULL);
    parcel->report = report_copy(report);
    if (at->mind.records_have < at->agent.host->erasure_seq)
        must(at->ledger.records(at->ledger.self, at->mind.records_have + 1, SIM_RECORDS, record_keep, parcel, &err));
    return parcel;
}

void uplink_push_now(struct sim_host *at)
{
    struct sim *sim = at->sim;
    struct sim_agent *agent = &at->agent;
    sim_at(sim, PUSH_MS, (struct sim_event){.kind = EV_PUSH, .host = at->index, .life = agent->life});
    const bool timed_out = agent->push_busy && sim->now_ms - agent->report_sent_ms > RETRY_MS;
    if (!agent->registered || (agent->push_busy && !timed_out) || (!agent->report_due && !timed_out))
        return;
    agent->report_due = false;
    agent->push_busy = true;
    agent->report_sent_ms = sim->now_ms;
    for (unsigned copies = sim_chance(sim, 30) ? 2 : 1; copies > 0; copies--)
        if (!is_lost(sim))
            sim_at(
                sim, way_ms(sim),
                (struct sim_event){.kind = EV_PARCEL, .host = at->index, .life = agent->life, .data = parcel_make(at)});
}

struct receiving {
    struct sim_host *at;
    const struct sim_parcel *parcel;
    uint64_t have;
};

/* As the API does it: the signature first, then the chain. */
static bool record_take(struct sim *sim, const struct name *host, const char *text, struct err *err)
{
    struct row_host row;
    struct cert_facts facts;
    bool found;
    const struct store *store = &sim->server.store;
    if (!store->get(store->self, ROW_HOST, host->v, &row, &found, err) ||
        !cert_verify(text, strlen(text), row.public_key[0] != '\0' ? row.public_key : NULL, &facts, err))
        return false;
    struct row_erasure erasure = {.id = facts.erasure.id,
                                  .host = *host,
                                  .seq = facts.erasure.seq,
                                  .slice = facts.erasure.slice,
                                  .erasure = facts.erasure};
    must(text_copy(erasure.text, sizeof(erasure.text), text));
    return service_record(&sim->server.service, host, &erasure, facts.prev_hash, facts.hash, err);
}

static bool records_in(struct sim *sim, void *arg, struct err *err)
{
    const struct receiving *it = arg;
    for (size_t i = 0; i < it->parcel->record_count; i++)
        if (!record_take(sim, &it->at->name, it->parcel->records[i], err))
            return false;
    return true;
}

static bool report_in(struct sim *sim, void *arg, struct err *err)
{
    struct receiving *it = arg;
    struct row_host row;
    bool found;
    const struct store *store = &sim->server.store;
    if (!service_report(&sim->server.service, it->parcel->report, sim->now_ms, err) ||
        !store->get(store->self, ROW_HOST, it->at->name.v, &row, &found, err))
        return false;
    it->have = row.erasures_have;
    return true;
}

void uplink_parcel(struct sim_host *at, uint64_t life, const struct sim_parcel *parcel)
{
    struct receiving it = {.at = at, .parcel = parcel};
    struct err err = {0};
    if (!server_call(at->sim, records_in, &it, NULL, &err) || !server_call(at->sim, report_in, &it, NULL, &err)) {
        sim_trace(at->sim, "server refuses a parcel of %s: %s", at->name.v, err.msg);
        return;
    }
    answer(at, (struct sim_event){.kind = EV_HAVE, .life = life, .number = it.have});
}
