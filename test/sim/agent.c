/* One agent as a process: what agent/main.c and agent/worker.c do with threads, here in one thread with the simulated
 * clock. An order is carried out in one go when its thread gets to it; its end is told later. */
#include "sim.h"

#include "base/must.h"
#include "base/text.h"

#include <stdlib.h>

void sim_mail_free(struct sim_mail *mail)
{
    free(mail->done.seen);
    free(mail->list);
    free(mail->wants);
    free(mail->vms);
    free(mail->news);
    free(mail);
}

static void mail_send(struct sim_host *at, uint64_t delay_ms, struct sim_mail *mail)
{
    sim_at(at->sim, delay_ms,
           (struct sim_event){.kind = EV_MAIL, .host = at->index, .life = at->agent.life, .data = mail});
}

static struct sim_mail *end_mail(enum host_event_kind kind, const struct order *order)
{
    struct sim_mail *mail = calloc(1, sizeof(*mail));
    must(mail != NULL);
    mail->kind = kind;
    mail->order = *order;
    return mail;
}

/* The host's word about devices may be late, lost, or no more than that something was lost. */
void agent_news(struct sim_host *at, unsigned drive)
{
    if (at->agent.host == NULL || sim_rand(at->sim, 4) == 0)
        return;
    struct sim_mail *mail = end_mail(HOST_NEWS, &(struct order){.kind = ORDER_LIST});
    mail->news = calloc(1, sizeof(*mail->news));
    must(mail->news != NULL);
    if (sim_rand(at->sim, 8) == 0)
        mail->news->all = true;
    else
        snprintf(mail->news->touched[mail->news->touched_count++], sizeof(mail->news->touched[0]), "nvme%u",
                 at->drives[drive].name);
    mail_send(at, sim_rand(at->sim, 50), mail);
}

/* ---- life and death --------------------------------------------------------------------------------------------- */

/* In every third world the hosts adopt by themselves what is blank, and people only the rest. */
static void rules_give(struct sim_host *at)
{
    static const struct adopt_rule rule = {
        .name = {"two"}, .model = "*", .adopt = true, .class = {"1M"}, .provider = PROVIDER_NAMESPACE, .max_drives = 2};
    if (at->sim->seed % 3 != 1)
        return;
    at->agent.host->rules.at[0] = rule;
    at->agent.host->rules.count = 1;
}

void agent_start(struct sim_host *at)
{
    struct sim_agent *agent = &at->agent;
    struct err err = {0};
    if (agent->host != NULL)
        return;
    const uint64_t life = agent->life + 1;
    *agent = (struct sim_agent){.life = life, .host = calloc(1, sizeof(*agent->host))};
    must(agent->host != NULL);
    at->dead = false;
    at->crash_in = 0;
    agent->host->name = at->name;
    if (!at->ledger.load(at->ledger.self, agent->host, &err)) {
        sim_fail(at->sim, "%s: the ledger cannot be loaded: %s", at->name.v, err.msg);
        return;
    }
    host_start(agent->host, &at->boot, rng_next(&at->sim->rng), 0);
    at->mind.host = agent->host;
    at->mind.records_have = 0;
    rules_give(at);
    sim_trace(at->sim, "%s agent starts, life %ju", at->name.v, (uintmax_t)life);
    check_host(at);
    sim_at(at->sim, 0, (struct sim_event){.kind = EV_TICK, .host = at->index, .life = life});
    sim_at(at->sim, sim_rand(at->sim, 50), (struct sim_event){.kind = EV_PULL, .host = at->index, .life = life});
    sim_at(at->sim, 50, (struct sim_event){.kind = EV_PUSH, .host = at->index, .life = life});
}

void agent_end(struct sim_host *at, const char *why, uint64_t again_ms)
{
    if (at->agent.host == NULL)
        return;
    sim_trace(at->sim, "%s agent ends: %s", at->name.v, why);
    at->sim->tally.crashes++;
    free(at->agent.host);
    at->agent.host = NULL;
    at->mind.host = NULL;
    for (size_t i = 0; i < at->drive_count; i++)
        at->drives[i].look_in_flight = false;
    sim_at(at->sim, 1 + sim_rand(at->sim, again_ms), (struct sim_event){.kind = EV_AGENT_START, .host = at->index});
}

/* ---- one step --------------------------------------------------------------------------------------------------- */

static void orders_give(struct sim_host *at, const struct host_orders *orders)
{
    for (size_t i = 0; i < orders->count; i++) {
        const struct order *order = &orders->at[i];
        struct sim_job *job = calloc(1, sizeof(*job));
        must(job != NULL);
        job->order = *order;
        if (order->kind == ORDER_VM_START)
            vm_job_fill(at->agent.host, order, &job->vm);
        if (order->kind != ORDER_VIRT_LIST && order->kind != ORDER_LIST)
            sim_trace(at->sim, "%s order %s %s %s ns %u vm %.8s", at->name.v, order_word(order->kind),
                      order->ident.serial, order->slice.v, order->ns.nsid.v, order->vm.v);
        sim_at(at->sim, sim_rand(at->sim, 10),
               (struct sim_event){.kind = EV_ORDER, .host = at->index, .life = at->agent.life, .data = job});
    }
}

static void wake_schedule(struct sim_host *at, uint64_t wake_ms)
{
    struct sim_agent *agent = &at->agent;
    agent->wake_ms = wake_ms != 0 ? wake_ms : at->sim->now_ms + 1000;
    if (agent->tick_ms > at->sim->now_ms && agent->tick_ms <= agent->wake_ms)
        return; /* an earlier tick comes anyway */
    agent->tick_ms = agent->wake_ms > at->sim->now_ms ? agent->wake_ms : at->sim->now_ms + 1;
    sim_at(at->sim, agent->tick_ms - at->sim->now_ms,
           (struct sim_event){.kind = EV_TICK, .host = at->index, .life = agent->life});
}

static uint64_t mix(uint64_t hash, uint64_t number)
{
    struct rng rng = {hash ^ number};
    return rng_next(&rng);
}

/* What a report would say, in short: the same once more is not sent. */
static uint64_t digest(const struct host *host)
{
    uint64_t hash = host->wants_revision ^ host->incarnation << 40;
    for (size_t i = 0; i < host->slice_count; i++) {
        const struct slice *slice = &host->slices[i].slice;
        hash = mix(hash, slice->generation << 32 | (uint64_t)slice->state << 24 | slice->progress_percent);
        hash = mix(hash, slice->erased_seq << 32 | slice->attached_seq);
        hash = mix(hash, (uint64_t)strlen(slice->path) << 32 | (uint64_t)slice->why[0] << 8 | (slice->owner.v[0] != 0));
    }
    for (size_t i = 0; i < host->drive_count; i++) {
        const struct host_drive *drive = &host->drives[i];
        hash = mix(hash, (uint64_t)drive->adopt << 32 | drive->orphans << 8 | (uint64_t)drive->present << 1 |
                             drive->ambiguous);
        hash = mix(hash, drive->seen.ns_count << 32 | drive->seen.foreign.count << 16 | drive->layout.count);
        hash = mix(hash, drive->seen.caps.free_bytes);
        hash = mix(hash, (uint64_t)drive->seen.health.critical_warning << 32 |
                             (uint64_t)drive->seen.health.temperature_k << 8 | drive->seen.health.used_percent);
        hash = mix(hash, (uint64_t)drive->task.report.state << 32 | (uint64_t)drive->task.report.percent << 16 |
                             (uint64_t)(drive->seen.ident.serial[0] != 0) << 8 | (drive->want.rule.v[0] != 0));
        hash = mix(hash, drive->retries);
        for (const char *at = drive->task.task.id.v; *at != '\0'; at++)
            hash = mix(hash, (uint8_t)*at);
    }
    for (size_t i = 0; i < host->vm_count; i++)
        hash = mix(hash, (uint64_t)host->vms[i].seen.power << 8 | host->vms[i].seen_known);
    return mix(hash, host->slice_count << 32 | host->drive_count << 16 | host->vm_count);
}

bool agent_step(struct sim_host *at, const struct host_event *event)
{
    struct host_orders orders;
    struct host_result result;
    struct err err = {0};
    if (!port_point(at, &err) || !mind_step(&at->mind, event, &orders, &result, &err)) {
        agent_end(at, err.msg, 2000);
        return false;
    }
    check_host(at);
    if (!port_point(at, &err)) {
        agent_end(at, "after the save, before the orders", 2000);
        return false;
    }
    const uint64_t now = digest(at->agent.host);
    at->agent.report_due = at->agent.report_due || now != at->agent.digest;
    at->agent.digest = now;
    orders_give(at, &orders);
    wake_schedule(at, orders.wake_ms);
    return true;
}

void agent_tick(struct sim_host *at)
{
    if (at->sim->now_ms < at->agent.wake_ms)
        wake_schedule(at, at->agent.wake_ms);
    else
        agent_step(at, &(struct host_event){.kind = HOST_TICK, .now_ms = at->sim->now_ms});
}

/* ---- orders ------------------------------------------------------------------------------------------------------ */

static uint64_t unix_ms(void *ctx)
{
    const struct sim_host *at = ctx;
    return 1700000000000 + at->sim->now_ms;
}

static void sleep_ms(void *ctx, uint32_t ms)
{
    struct sim_host *at = ctx;
    at->slept_ms += ms;
}

static void tell_said(void *ctx, const struct order *order)
{
    struct sim_host *at = ctx;
    struct err ignored = {0};
    if (port_point(at, &ignored))
        mail_send(at, at->slept_ms, end_mail(HOST_DRIVE_SAID, order));
}

static void tell_progress(void *ctx, const struct order *order, unsigned percent)
{
    struct sim_host *at = ctx;
    if (percent % 25 != 0 || at->dead)
        return;
    struct sim_mail *mail = end_mail(HOST_PROGRESS, order);
    mail->percent = percent;
    mail_send(at, at->slept_ms, mail);
}

void agent_env(struct sim_host *at)
{
    at->env = (struct order_env){.nvme = &at->port,
                                 .host = at->name.v,
                                 .ctx = at,
                                 .foreign = foreign_look,
                                 .unix_ms = unix_ms,
                                 .sleep_ms = sleep_ms,
                                 .said = tell_said,
                                 .progress = tell_progress,
                                 .firmware = task_image};
}

static bool vm_start(struct sim_host *at, const struct vm_job *job, struct err *err)
{
    const struct domain_host host = {.emulator = "/usr/bin/false", .console_log = "/sim/console"};
    struct domain *domain = calloc(1, sizeof(*domain));
    must(domain != NULL);
    const bool ok = domain_build(&job->spec, job->slices, job->slice_count, &host, domain, err) &&
                    at->virt.start(at->virt.self, domain, err);
    free(domain);
    at->sim->tally.vms += ok;
    return ok;
}

static bool virt_run(struct sim_host *at, const struct sim_job *job, struct virt_list *list, struct err *err)
{
    const struct virt_port *virt = &at->virt;
    switch ((unsigned)job->order.kind) {
    case ORDER_VIRT_LIST:
        return virt->list(virt->self, list, err);
    case ORDER_VM_START:
        return vm_start(at, &job->vm, err);
    case ORDER_VM_SHUTDOWN:
        return virt->shutdown(virt->self, &job->order.vm, err);
    case ORDER_VM_REBOOT:
        return virt->reboot(virt->self, &job->order.vm, err);
    case ORDER_VM_DESTROY:
        return virt->destroy(virt->self, &job->order.vm, err);
    case ORDER_VM_UNDEFINE:
        return virt->undefine(virt->self, &job->order.vm, err);
    default:
        must_fail("an order for the hypervisor", __FILE__, __LINE__);
    }
}

static void virt_order(struct sim_host *at, const struct sim_job *job)
{
    const bool list = job->order.kind == ORDER_VIRT_LIST;
    struct sim_mail *mail = end_mail(list ? HOST_VIRT : HOST_VM_DONE, &job->order);
    mail->vms = calloc(1, sizeof(*mail->vms));
    must(mail->vms != NULL);
    struct err *err = &mail->done.err;
    mail->done.ok = port_point(at, err) && virt_run(at, job, mail->vms, err) && port_point(at, err);
    tenants_sync(at);
    mail_send(at, 1 + sim_rand(at->sim, list ? 20 : 200), mail);
}

static void drive_order(struct sim_host *at, const struct order *order)
{
    const bool list = order->kind == ORDER_LIST;
    uint64_t before_ms = 0, after_ms = 0;
    struct sim_mail *mail = end_mail(list ? HOST_LISTED : order->kind == ORDER_SCAN ? HOST_SEEN : HOST_DONE, order);
    for (size_t i = 0; i < at->drive_count; i++) {
        soft_drive_tick(at->soft[i], at->sim->now_ms);
        before_ms += soft_drive_now_ms(at->soft[i]);
    }
    at->slept_ms = 0;
    at->order = order;
    if (list) {
        mail->list = calloc(1, sizeof(*mail->list));
        must(mail->list != NULL);
        mail->done.ok = order_list(&at->env, mail->list, &mail->done.err);
    } else {
        order_run(&at->env, order, &mail->done);
    }
    at->order = NULL;
    for (size_t i = 0; i < at->drive_count; i++)
        after_ms += soft_drive_now_ms(at->soft[i]);
    if (!list && order->kind != ORDER_SCAN)
        sim_trace(at->sim, "%s did %s %s ns %u: %s%s", at->name.v, order_word(order->kind), order->slice.v,
                  order->ns.nsid.v, mail->done.ok ? "ok " : mail->done.err.msg,
                  mail->done.have_erasure ? erase_verdict_word(mail->done.erasure.verdict) : "");
    at->sim->tally.erases += mail->done.have_erasure;
    if (order->fresh && order->kind == ORDER_SCAN)
        for (size_t i = 0; i < at->drive_count; i++)
            if (strcmp(soft_drive_serial(at->soft[i]), order->ident.serial) == 0)
                at->drives[i].look_in_flight = true;
    mail_send(at, after_ms - before_ms + at->slept_ms + 1 + sim_rand(at->sim, 40), mail);
}

void agent_order(struct sim_host *at, const struct sim_job *job)
{
    const enum order_kind kind = job->order.kind;
    if (kind >= ORDER_VIRT_LIST && kind <= ORDER_VM_UNDEFINE)
        virt_order(at, job);
    else
        drive_order(at, &job->order);
    if (at->dead)
        agent_end(at, "within an order", 2000);
}

/* ---- mail -------------------------------------------------------------------------------------------------------- */

void agent_mail(struct sim_host *at, struct sim_mail *mail)
{
    struct host_event event = order_event(mail->kind, &mail->order, &mail->done);
    event.now_ms = at->sim->now_ms;
    event.wants = mail->wants;
    event.idents = mail->list != NULL ? mail->list->idents : NULL;
    event.ident_count = mail->list != NULL ? mail->list->count : 0;
    event.percent = mail->percent;
    event.news = mail->news;
    event.vms = mail->vms != NULL ? mail->vms->at : NULL;
    event.vm_count = mail->vms != NULL ? mail->vms->count : 0;
    if (mail->kind == HOST_SEEN && mail->order.fresh)
        for (size_t i = 0; i < at->drive_count; i++)
            if (strcmp(soft_drive_serial(at->soft[i]), mail->order.ident.serial) == 0)
                at->drives[i].look_in_flight = false;
    if (mail->kind == HOST_WANTS && mail->wants->registration == at->agent.host->registration)
        at->agent.after = mail->wants->revision;
    const uint64_t records_had = at->mind.records_have;
    if (agent_step(at, &event) && at->mind.records_have != records_had)
        at->agent.report_due = true; /* the next records go with it */
}
