#include "core/host.h"

#include "base/must.h"
#include "base/text.h"
#include "core/host_priv.h"

#include <stdio.h>

static const char *const order_words[] = {
#define X(kind, word) word,
    ORDER_KINDS(X)
#undef X
};

const char *order_word(enum order_kind kind)
{
    must(kind < ORDER_KIND_COUNT);
    return order_words[kind];
}

void wake_at(struct host_orders *out, uint64_t when_ms)
{
    if (out->wake_ms == 0 || when_ms < out->wake_ms)
        out->wake_ms = when_ms;
}

uint64_t backoff_ms(uint32_t failures)
{
    const uint32_t doublings = failures < 7 ? failures : 7;
    const uint64_t wait = (uint64_t)BACKOFF_MS << doublings;
    return wait < BACKOFF_MS_MAX ? wait : BACKOFF_MS_MAX;
}

struct order *order_add(struct host_orders *out, enum order_kind kind)
{
    must(out->count < HOST_ORDERS_MAX);
    struct order *order = &out->at[out->count++];
    *order = (struct order){.kind = kind};
    return order;
}

/* 12 characters of 5 bits: no vowels, so no words; no 0/o and 1/l, so it can be read aloud. */
void slice_id_make(struct host *host, struct slice_id *out)
{
    static const char letters[] = "23456789bcdfghjkmnpqrstvwxyzBCDF";
    _Static_assert(sizeof(letters) == 33, "5 bits a letter");
    uint64_t bits = rng_next(&host->rng);
    memcpy(out->v, "ns-", 3);
    for (unsigned i = 0; i < 12; i++, bits >>= 5)
        out->v[3 + i] = letters[bits & 31];
    out->v[15] = '\0';
}

void erasure_id_make(struct host *host, struct erasure_id *out)
{
    const uint64_t a = rng_next(&host->rng), b = rng_next(&host->rng);
    text_uuid(out->v, a, b);
}

void slice_do(struct host_slice *slice, const struct slice_event *event)
{
    must(slice_step(&slice->slice, event) == SLICE_CHANGED);
    slice->slice.changed = true;
}

struct host_drive *host_drive_find(struct host *host, const struct drive_ident *ident)
{
    for (size_t i = 0; i < host->drive_count; i++)
        if (drive_ident_eq(&host->drives[i].ident, ident))
            return &host->drives[i];
    return NULL;
}

struct host_slice *host_slice_find(struct host *host, const struct slice_id *id)
{
    for (size_t i = 0; i < host->slice_count; i++)
        if (slice_id_eq(&host->slices[i].slice.id, id))
            return &host->slices[i];
    return NULL;
}

/* ---- what is wanted ------------------------------------------------------------------------------------------ */

/* A message that is late, doubled, from a server before a restore, or for another life of this agent. */
static bool wants_are_stale(const struct host *host, const struct wants *wants)
{
    if (wants->registration != host->registration || wants->incarnation < host->incarnation)
        return true;
    return wants->incarnation == host->incarnation && wants->revision < host->wants_revision;
}

static bool take_wants(struct host *host, const struct wants *wants)
{
    if (wants_are_stale(host, wants))
        return false;
    if (host->incarnation != wants->incarnation || host->wants_revision != wants->revision) {
        host->incarnation = wants->incarnation;
        host->wants_revision = wants->revision;
        host->changed = true;
    }
    host->wants_known = true;
    for (size_t i = 0; i < host->drive_count; i++)
        host->drives[i].want = (struct want_drive){0};
    for (size_t i = 0; i < host->drive_count; i++)
        host->drives[i].task_want = (struct drive_task){0};
    for (size_t i = 0; i < wants->drive_count; i++)
        drive_want(host, &wants->drives[i]);
    for (size_t i = 0; i < wants->retry_count; i++)
        drive_retry(host, &wants->retries[i]);
    for (size_t i = 0; i < wants->slice_count; i++) {
        struct host_slice *slice = host_slice_find(host, &wants->slices[i].id);
        if (slice != NULL) {
            slice->want = wants->slices[i];
            slice->want_known = true;
        }
    }
    for (size_t i = 0; i < wants->vm_count; i++)
        vm_want(host, &wants->vms[i]);
    for (size_t i = 0; i < wants->task_count; i++)
        task_want(host, &wants->tasks[i]);
    return true;
}

static void slice_towards_want(struct host *host, struct host_slice *slice)
{
    struct slice *row = &slice->slice;
    const struct want_slice *want = &slice->want;
    /* One that was lost while somebody had it is first let go by its owner. */
    if (row->state == SLICE_QUARANTINED && row->owner.v[0] == '\0' && want->retries > row->retries) {
        row->retries = want->retries;
        slice->failures = 0;
        slice->busy_since_ms = 0;
        slice_do(slice, &(struct slice_event){.kind = SLICE_RETRY});
    }
    if (want->generation <= row->generation)
        return;
    if (want->owner.v[0] != '\0') {
        if (row->state == SLICE_FREE)
            slice_do(slice, &(struct slice_event){
                                .kind = SLICE_CLAIM, .owner = &want->owner, .generation = want->generation});
        return;
    }
    const bool held = row->state == SLICE_CLAIMED || row->state == SLICE_ATTACHED || row->state == SLICE_QUARANTINED;
    if (row->state == SLICE_FREE || (held && !vm_holds(host, &row->owner))) {
        slice_do(slice, &(struct slice_event){.kind = SLICE_RELEASE, .generation = want->generation});
        wear_let_go(host, slice);
    }
}

static void slices_decide(struct host *host)
{
    for (size_t i = 0; i < host->slice_count; i++) {
        struct host_slice *slice = &host->slices[i];
        if (slice->slice.state == SLICE_ABSENT)
            continue;
        if (slice->want_known)
            slice_towards_want(host, slice);
        if (slice->slice.state == SLICE_CLAIMED && slice->node_known && wear_give(host, slice)) {
            slice_do(slice, &(struct slice_event){.kind = SLICE_HANDED_OUT, .seq = ++host->seq});
            host->changed = true;
        }
    }
}

/* ---- the step ------------------------------------------------------------------------------------------------ */

static void apply(struct host *host, const struct host_event *event, struct host_result *result)
{
    switch (event->kind) {
    case HOST_TICK:
        return;
    case HOST_WANTS:
        result->took_wants = take_wants(host, event->wants);
        return;
    case HOST_NEWS:
        drives_news(host, event->news);
        return;
    case HOST_LISTED:
        drive_listed(host, event);
        return;
    case HOST_SEEN:
        drive_saw(host, event);
        return;
    case HOST_DONE:
        drive_done(host, event, result);
        return;
    case HOST_DRIVE_SAID:
        drive_said(host, event);
        return;
    case HOST_PROGRESS: {
        task_progress(host, event);
        struct host_slice *slice = host_slice_find(host, &event->order->slice);
        if (slice != NULL)
            slice->slice.progress_percent = (uint8_t)(event->percent <= 100 ? event->percent : 100);
        return;
    }
    case HOST_VIRT:
        vms_listed(host, event);
        return;
    case HOST_VM_DONE:
        vm_done(host, event);
        return;
    }
}

void host_step(struct host *host, const struct host_event *event, struct host_orders *out, struct host_result *result)
{
    *out = (struct host_orders){0};
    *result = (struct host_result){0};
    apply(host, event, result);
    slices_decide(host);
    drives_decide(host, event->now_ms, out);
    vms_decide(host, event->now_ms, out);
    const char *broken = host_broken(host);
    must(broken == NULL);
}

void host_start(struct host *host, const struct uuid *boot, uint64_t rng_seed, uint64_t registration)
{
    host->boot = *boot;
    host->rng.state = rng_seed;
    host->registration = registration;
    host->list_due = true;
    for (size_t i = 0; i < host->drive_count; i++)
        task_interrupted(&host->drives[i]);
}

void host_clear_changed(struct host *host)
{
    host->changed = false;
    for (size_t i = 0; i < host->drive_count; i++)
        host->drives[i].changed = host->drives[i].task.changed = false;
    for (size_t i = 0; i < host->slice_count; i++)
        host->slices[i].slice.changed = false;
    size_t kept = 0;
    for (size_t i = 0; i < host->vm_count; i++) {
        host->vms[i].changed = false;
        if (!host->vms[i].removed)
            host->vms[kept++] = host->vms[i];
    }
    host->vm_count = kept;
    kept = 0;
    for (size_t i = 0; i < host->slice_count; i++)
        if (host->slices[i].slice.state != SLICE_ABSENT)
            host->slices[kept++] = host->slices[i];
    host->slice_count = kept;
}

/* ---- what the server is told --------------------------------------------------------------------------------- */

static void report_drive(const struct host *host, const struct host_drive *drive, struct drive_report *out)
{
    *out = (struct drive_report){
        .adopt = drive->adopt, .adoption = drive->adoption, .layout = drive->layout, .orphans = drive->orphans, .retries = drive->retries};
    text_cut(out->why, sizeof(out->why), drive->why);
    out->task = drive->task.report;
    out->rule = drive->adopt == ADOPT_CHECKING || drive->adopt == ADOPT_REFUSED ? drive->want.rule : drive->rule;
    out->seen = drive->seen;
    out->seen.ident = drive->ident;
    rule_propose(host, drive, out);
    const bool ours = drive->adopt == ADOPT_CUTTING || drive->adopt == ADOPT_DONE || drive->adopt == ADOPT_FAULT;
    if (ours && !drive->present) {
        out->adopt = ADOPT_MISSING;
        text_cut(out->why, sizeof(out->why), "the drive is not there any more");
    }
    if (drive->ambiguous)
        foreign_add(&out->seen.foreign, FOREIGN_AMBIGUOUS, (struct nsid){0}, "two drives report this serial number");
}

/* A probe makes and deletes slices that nobody will ever have. */
static bool slice_is_held(const struct host *host, const struct host_slice *slice)
{
    for (size_t i = 0; i < host->drive_count; i++)
        if (probe_holds(&host->drives[i]) && slice_on(slice, &host->drives[i]))
            return true;
    return false;
}

void host_report(const struct host *host, struct report *out)
{
    /* Not the whole struct, which has room for the largest host: only what is counted is filled and looked at. */
    out->host = host->name;
    out->registration = host->registration;
    out->number = 0;
    out->incarnation = host->incarnation;
    out->wants_revision = host->wants_revision;
    out->vcpus = 0;
    out->memory_bytes = 0;
    out->public_key[0] = out->software[0] = '\0';
    out->drive_count = out->slice_count = out->vm_count = 0;
    out->drives_known = host->drives_listed;
    out->troubles = host->troubles;
    text_cut(out->troubles.rules, sizeof(out->troubles.rules), host->rules.broken);
    for (size_t i = 0; i < host->drive_count; i++) {
        const struct host_drive *drive = &host->drives[i];
        if (drive->adopt == ADOPT_NONE && (!drive->present || drive->seen.ident.serial[0] == '\0')) {
            out->drives_known = out->drives_known && (!drive->present || drive->failures > 0);
            continue; /* gone again, or not looked at yet */
        }
        report_drive(host, drive, &out->drives[out->drive_count++]);
    }
    for (size_t i = 0; i < host->slice_count; i++)
        if (!slice_is_held(host, &host->slices[i]))
            out->slices[out->slice_count++] = host->slices[i].slice;
    for (size_t i = 0; i < host->vm_count; i++) {
        const struct host_vm *vm = &host->vms[i];
        struct vm_report *row = &out->vms[out->vm_count++];
        *row = vm->seen;
        row->name = vm->want.spec.name;
        row->uuid = vm->want.spec.uuid;
        row->starts_done = vm->starts_done;
        if (!vm->seen_known)
            row->power = VM_OFF;
        text_cut(row->why, sizeof(row->why), vm->why[0] != '\0' ? vm->why : host->troubles.virt);
    }
}

/* ---- what must always be true -------------------------------------------------------------------------------- */

const char *host_broken(const struct host *host)
{
    for (size_t i = 0; i < host->slice_count; i++) {
        const struct slice *slice = &host->slices[i].slice;
        const char *broken = slice_broken(slice);
        if (broken != NULL)
            return broken;
        for (size_t j = i + 1; j < host->slice_count; j++) {
            const struct slice *other = &host->slices[j].slice;
            if (slice->state == SLICE_ABSENT || other->state == SLICE_ABSENT)
                continue;
            if (slice_id_eq(&slice->id, &other->id))
                return "two slices carry one id";
            if (strcmp(slice->adoption.v, other->adoption.v) == 0 && nsid_eq(slice->nsid, other->nsid))
                return "two slices are one namespace";
        }
        if (slice->erased_seq > host->seq || slice->attached_seq > host->seq)
            return "a slice is ahead of the ledger's number";
    }
    return NULL;
}
