/* The agents' side of the service: registration, reports, records, wants. */
#include "server/service_priv.h"

#include "base/must.h"
#include "base/text.h"

#include <stdio.h>
#include <stdlib.h>

static bool put(struct service *service, enum store_kind kind, const void *row, struct err *err)
{
    return service->store->put(service->store->self, kind, row, err);
}

bool service_register(struct service *service, const struct name *host, uint64_t now_ms, uint64_t *registration_out,
                      struct err *err)
{
    if (!text_is_name(host->v, NAME_MAX_LEN))
        return err_set(err, ERR_INPUT, "cannot register host '%s': that is not a host name", host->v);
    struct row_host row;
    bool found;
    if (!service->store->get(service->store->self, ROW_HOST, host->v, &row, &found, err))
        return false;
    if (!found)
        row = (struct row_host){.name = *host, .wants_revision = 1};
    row.registration++;
    row.report_number = 0;
    fleet_dirty(service->fleet, host);
    row.last_seen_ms = now_ms;
    if (!put(service, ROW_HOST, &row, err))
        return false;
    service_alive(service, host, now_ms);
    *registration_out = row.registration;
    return true;
}

/* The database is older than what the agent has seen: it was restored from a backup. From now on it counts as a new
 * one, so that nothing said in the forgotten time is mistaken for ours. */
static bool incarnation_raise(struct service *service, uint64_t seen, struct err *err)
{
    struct row_meta meta = {.key = "incarnation"};
    snprintf(meta.value, sizeof(meta.value), "%ju", (uintmax_t)(seen + 1));
    return put(service, ROW_META, &meta, err);
}

/* ---- drives -------------------------------------------------------------------------------------------------- */

static bool report_drive(struct service *service, const struct report *report, const struct drive_report *drive,
                         uint64_t now_ms, bool restored, bool *touched, struct err *err)
{
    struct row_drive row;
    char key[96];
    bool found;
    drive_key(key, &report->host, drive->seen.ident.serial);
    if (!service->store->get(service->store->self, ROW_DRIVE, key, &row, &found, err))
        return false;
    if (!found) {
        row = (struct row_drive){.host = report->host};
        text_cut(row.key, sizeof(row.key), key);
    }
    /* The verdict on a wish stands until the next one, though an agent that has started anew does not know of it. */
    const bool stands = found && row.report.adopt == ADOPT_REFUSED && drive->adopt == ADOPT_NONE && !row.wanted;
    const struct drive_report judged = row.report;
    row.report = *drive;
    if (stands) {
        row.report.adopt = judged.adopt;
        row.report.adoption = judged.adoption;
        text_cut(row.report.why, sizeof(row.report.why), judged.why);
    }
    row.seen_ms = now_ms;
    if (drive->proposal.rule.v[0] == '\0')
        row.rule_why[0] = '\0';
    row.health = health_judge(&drive->seen.health, &service->limits, &row.health);
    row.health_accepted = health_accepted(&row.health, row.health_accepted);
    const bool ours = drive->adopt == ADOPT_CUTTING || drive->adopt == ADOPT_DONE || drive->adopt == ADOPT_FAULT ||
                      drive->adopt == ADOPT_MISSING;
    if (ours) {
        row.wanted = false; /* the wish is done. An agent that lost its ledger must not find it here, and adopt anew */
        row.adoption = drive->adoption;
        row.layout = drive->layout;
        row.rule = drive->rule;
    } else if (drive->adopt == ADOPT_REFUSED && strcmp(drive->adoption.v, row.adoption.v) == 0) {
        row.wanted = false; /* judged; a new wish needs a new request */
    }
    if (!task_reported(service, report, &row, restored, touched, err))
        return false;
    return put(service, ROW_DRIVE, &row, err);
}

static bool drives_forget(struct service *service, const struct report *report, struct err *err)
{
    auto_rows struct rows rows = {0};
    if (!report->drives_known) /* it looks still, or cannot look: nobody's wish is forgotten for that */
        return true;
    if (!rows_read(service, ROW_DRIVE, &(struct store_filter){.host = report->host.v}, &rows, err))
        return false;
    for (size_t i = 0; i < rows.count; i++) {
        const struct row_drive *row = rows_at(&rows, i);
        bool reported = false;
        for (size_t j = 0; j < report->drive_count; j++)
            reported = reported || strcmp(report->drives[j].seen.ident.serial, row->report.seen.ident.serial) == 0;
        if (!reported && !service->store->del(service->store->self, ROW_DRIVE, row->key, err))
            return false;
    }
    return true;
}

/* ---- slices -------------------------------------------------------------------------------------------------- */

static const struct vm_report *vm_reported(const struct report *report, const char *uuid)
{
    for (size_t i = 0; i < report->vm_count; i++)
        if (strcmp(report->vms[i].uuid.v, uuid) == 0)
            return &report->vms[i];
    return NULL;
}

/* A claim that this database has forgotten (it was restored) is there all the same: the agent has it in its ledger. It
 * comes back as far as the host knows it, so that a person sees it and can give it back. */
static bool claim_recover(struct service *service, const struct report *report, const struct slice *slice,
                          uint64_t now_ms, struct err *err)
{
    struct row_claim claim;
    bool found;
    if (slice->owner.v[0] == '\0')
        return true;
    if (!service->store->get(service->store->self, ROW_CLAIM, slice->owner.v, &claim, &found, err))
        return false;
    if (!found) {
        const struct vm_report *vm = vm_reported(report, slice->owner.v);
        claim = (struct row_claim){
            .id = slice->owner, .host = report->host, .class = slice->class, .created_ms = now_ms};
        if (vm != NULL)
            claim.vm = vm->name;
    }
    for (size_t i = 0; i < claim.slice_count; i++)
        if (slice_id_eq(&claim.slices[i], &slice->id))
            return true;
    if (claim.slice_count < CLAIM_SLICES_MAX)
        claim.slices[claim.slice_count++] = slice->id;
    return put(service, ROW_CLAIM, &claim, err);
}

static bool report_slice(struct service *service, const struct report *report, const struct slice *slice, uint64_t now_ms,
                         bool *touched, struct err *err)
{
    struct row_slice row;
    bool found;
    if (!service->store->get(service->store->self, ROW_SLICE, slice->id.v, &row, &found, err))
        return false;
    if (found && !name_eq(&row.host, &report->host))
        return err_set(err, ERR_CONFLICT, "cannot take the report of host '%s': slice '%s' belongs to host '%s'",
                       report->host.v, slice->id.v, row.host.v);
    /* What the agent did with a generation is what was wanted with it. If not, it was wanted by a database that was
     * replaced since, and this one has used the number anew. */
    const bool other = slice->generation == row.generation && !claim_id_eq(&slice->owner, &row.claim);
    if (!found || slice->generation > row.generation || other) {
        /* New, or this database is older than the agent: the agent's word on the owner holds. */
        if (!claim_recover(service, report, slice, now_ms, err))
            return false;
        row = (struct row_slice){
            .host = report->host, .generation = slice->generation, .claim = slice->owner, .retries = slice->retries};
        *touched = true;
    }
    if (row.gone)
        row.retire = false; /* the retirement was of one that would not come back */
    row.slice = *slice;
    row.gone = false;
    return put(service, ROW_SLICE, &row, err);
}

static bool slices_forget(struct service *service, const struct report *report, bool *touched, struct err *err)
{
    auto_rows struct rows rows;
    if (!rows_read(service, ROW_SLICE, &(struct store_filter){.host = report->host.v}, &rows, err))
        return false;
    for (size_t i = 0; i < rows.count; i++) {
        struct row_slice *row = rows_at(&rows, i);
        bool reported = false;
        for (size_t j = 0; j < report->slice_count; j++)
            reported = reported || slice_id_eq(&report->slices[j].id, &row->slice.id);
        if (reported)
            continue;
        if (row->retire && row->claim.v[0] == '\0') {
            if (!service->store->del(service->store->self, ROW_SLICE, row->slice.id.v, err))
                return false;
            *touched = true;
        } else if (!row->gone) {
            row->gone = true;
            if (!put(service, ROW_SLICE, row, err))
                return false;
        }
    }
    return true;
}

/* ---- claims and VMs ------------------------------------------------------------------------------------------ */

static bool claim_moves(struct service *service, struct row_claim *claim, struct err *err)
{
    bool all_ready = true, any_owned = false;
    for (size_t i = 0; i < claim->slice_count; i++) {
        struct row_slice row;
        bool found;
        if (!service->store->get(service->store->self, ROW_SLICE, claim->slices[i].v, &row, &found, err))
            return false;
        if (!found)
            continue;
        const bool owned = claim_id_eq(&row.slice.owner, &claim->id);
        any_owned = any_owned || (owned && !row.gone);
        all_ready = all_ready && owned && row.slice.state == SLICE_ATTACHED && row.slice.path[0] != '\0';
    }
    if (claim->state == CLAIM_RELEASING && !any_owned)
        return service->store->del(service->store->self, ROW_CLAIM, claim->id.v, err);
    if (claim->state == CLAIM_RELEASING)
        return true;
    const enum claim_state state = all_ready ? CLAIM_READY : CLAIM_GRANTED;
    if (state == claim->state)
        return true;
    claim->state = state;
    return put(service, ROW_CLAIM, claim, err);
}

static bool claims_move(struct service *service, const struct name *host, struct err *err)
{
    auto_rows struct rows rows;
    if (!rows_read(service, ROW_CLAIM, &(struct store_filter){.host = host->v}, &rows, err))
        return false;
    for (size_t i = 0; i < rows.count; i++)
        if (!claim_moves(service, rows_at(&rows, i), err))
            return false;
    return true;
}

/* A VM that this database has forgotten. What it was made of is not known here (its flavor is empty), so that it can
 * only be deleted; see wants_vms(). */
static bool vm_recover(struct service *service, const struct report *report, const struct vm_report *seen,
                       uint64_t now_ms, struct err *err)
{
    struct row_vm row = {.host = report->host, .created_ms = now_ms, .seen = *seen}, old;
    struct row_claim claim;
    bool found;
    row.spec.name = seen->name;
    row.spec.uuid = seen->uuid;
    row.power = seen->power == VM_RUNNING ? VM_RUNNING : VM_OFF;
    if (!service->store->get(service->store->self, ROW_VM, row.spec.name.v, &old, &found, err))
        return false;
    if (found) /* its name was given away since */
        snprintf(row.spec.name.v, sizeof(row.spec.name.v), "lost-%s", seen->uuid.v);
    if (!service->store->get(service->store->self, ROW_CLAIM, seen->uuid.v, &claim, &found, err))
        return false;
    text_cut(row.claim.v, sizeof(row.claim.v), seen->uuid.v);
    if (found) {
        claim.vm = row.spec.name;
        if (!put(service, ROW_CLAIM, &claim, err))
            return false;
    }
    return put(service, ROW_VM, &row, err);
}

/* Its VM is not there any more: the claim can be released by itself. */
static bool claim_without_vm(struct service *service, const struct claim_id *id, struct err *err)
{
    struct row_claim claim;
    bool found;
    if (!service->store->get(service->store->self, ROW_CLAIM, id->v, &claim, &found, err))
        return false;
    claim.vm = (struct name){0};
    return !found || put(service, ROW_CLAIM, &claim, err);
}

static bool report_vms(struct service *service, const struct report *report, uint64_t now_ms, uint64_t wants_revision,
                       bool *touched, struct err *err)
{
    auto_rows struct rows rows;
    bool known[HOST_VMS_MAX] = {false};
    if (!rows_read(service, ROW_VM, &(struct store_filter){.host = report->host.v}, &rows, err))
        return false;
    for (size_t i = 0; i < rows.count; i++) {
        struct row_vm *row = rows_at(&rows, i);
        const struct vm_report *seen = vm_reported(report, row->spec.uuid.v);
        const bool gone = row->power == VM_GONE && report->wants_revision >= wants_revision;
        if (seen != NULL)
            known[seen - report->vms] = true;
        if (seen == NULL && (gone || row->flavor.v[0] == '\0')) {
            if (!claim_without_vm(service, &row->claim, err) ||
                !service->store->del(service->store->self, ROW_VM, row->spec.name.v, err))
                return false;
            *touched = true;
            continue;
        }
        if (seen != NULL && memcmp(&row->seen, seen, sizeof(*seen)) != 0) {
            row->seen = *seen;
            if (!put(service, ROW_VM, row, err))
                return false;
        }
    }
    for (size_t i = 0; i < report->vm_count; i++)
        if (!known[i] && !vm_recover(service, report, &report->vms[i], now_ms, err))
            return false;
    return true;
}

static bool proposes(const struct report *report)
{
    for (size_t i = 0; i < report->drive_count; i++)
        if (report->drives[i].proposal.rule.v[0] != '\0')
            return true;
    return false;
}

bool service_report(struct service *service, const struct report *report, uint64_t now_ms, struct err *err)
{
    struct row_host host;
    if (!must_get(service, ROW_HOST, "host", report->host.v, &host, err))
        return false;
    if (report->registration != host.registration) {
        err_set(err, ERR_CONFLICT, "cannot take the report of host '%s': registration %ju is not the newest (%ju)",
                report->host.v, (uintmax_t)report->registration, (uintmax_t)host.registration);
        return err_hint(err, "another nsmith-agent of this host has started since; stop this one");
    }
    if (report->number != 0 && report->number < host.report_number)
        return true; /* a newer one has overtaken it */
    host.report_number = report->number;
    fleet_dirty(service->fleet, &report->host);
    bool touched = false, restored = false;
    uint64_t incarnation;
    if (!service_incarnation(service, &incarnation, err))
        return false;
    if (report->incarnation > incarnation || report->wants_revision > host.wants_revision) {
        const uint64_t seen = report->incarnation > incarnation ? report->incarnation : incarnation;
        if (!incarnation_raise(service, seen, err))
            return false;
        if (report->wants_revision > host.wants_revision)
            host.wants_revision = report->wants_revision;
        touched = restored = true;
    }
    for (size_t i = 0; i < report->drive_count; i++)
        if (!report_drive(service, report, &report->drives[i], now_ms, restored, &touched, err))
            return false;
    for (size_t i = 0; i < report->slice_count; i++)
        if (!report_slice(service, report, &report->slices[i], now_ms, &touched, err))
            return false;
    if (!drives_forget(service, report, err) || !slices_forget(service, report, &touched, err) ||
        !report_vms(service, report, now_ms, host.wants_revision, &touched, err) || !claims_move(service, &report->host, err))
        return false;
    host.vcpus = report->vcpus;
    host.memory_bytes = report->memory_bytes;
    host.wants_revision += touched;
    text_cut(host.public_key, sizeof(host.public_key), report->public_key);
    text_cut(host.software, sizeof(host.software), report->software);
    host.troubles = report->troubles;
    host.last_seen_ms = now_ms;
    service_alive(service, &report->host, now_ms);
    return put(service, ROW_HOST, &host, err) && (!proposes(report) || service_rules(service, &report->host, err));
}

/* ---- records ------------------------------------------------------------------------------------------------- */

bool service_record(struct service *service, const struct name *host, const struct row_erasure *row, const char *prev_hash,
                    const char *hash, struct err *err)
{
    static const char zeros[65] = "0000000000000000000000000000000000000000000000000000000000000000";
    struct row_host host_row;
    if (!must_get(service, ROW_HOST, "host", host->v, &host_row, err))
        return false;
    if (row->seq <= host_row.erasures_have)
        return true; /* sent twice */
    fleet_dirty(service->fleet, host); /* a proof is what a free slice may wait for */
    const char *anchor = host_row.anchor[0] != '\0' ? host_row.anchor : zeros;
    if (row->seq != host_row.erasures_have + 1 || strcmp(prev_hash, anchor) != 0) {
        err_set(err, ERR_CONFLICT, "cannot take erasure record %ju of host '%s': the chain held here ends at record %ju",
                (uintmax_t)row->seq, host->v, (uintmax_t)host_row.erasures_have);
        return err_hint(err, "the agent's ledger or this database was replaced by an older copy");
    }
    host_row.erasures_have = row->seq;
    text_cut(host_row.anchor, sizeof(host_row.anchor), hash);
    return put(service, ROW_ERASURE, row, err) && put(service, ROW_HOST, &host_row, err);
}

/* ---- wants --------------------------------------------------------------------------------------------------- */

static bool wants_drives(struct service *service, const struct name *host, struct wants *out, struct err *err)
{
    auto_rows struct rows rows;
    if (!rows_read(service, ROW_DRIVE, &(struct store_filter){.host = host->v}, &rows, err))
        return false;
    for (size_t i = 0; i < rows.count; i++) {
        const struct row_drive *row = rows_at(&rows, i);
        if (row->retries > row->report.retries && row->report.adopt == ADOPT_FAULT && out->retry_count < HOST_DRIVES_MAX)
            out->retries[out->retry_count++] =
                (struct want_retry){.adoption = row->adoption, .retries = row->retries};
        if (row->wanted && out->drive_count < HOST_DRIVES_MAX)
            out->drives[out->drive_count++] = (struct want_drive){
                .ident = row->report.seen.ident, .adoption = row->adoption, .layout = row->layout, .rule = row->rule};
        if (row->task.id.v[0] != '\0' && out->task_count < HOST_DRIVES_MAX)
            out->tasks[out->task_count++] = row->task;
    }
    return true;
}

static bool wants_slices(struct service *service, const struct name *host, struct wants *out, struct err *err)
{
    auto_rows struct rows rows;
    if (!rows_read(service, ROW_SLICE, &(struct store_filter){.host = host->v}, &rows, err))
        return false;
    for (size_t i = 0; i < rows.count && out->slice_count < HOST_SLICES_MAX; i++) {
        const struct row_slice *row = rows_at(&rows, i);
        if (!row->gone)
            out->slices[out->slice_count++] = (struct want_slice){.id = row->slice.id,
                                                                  .generation = row->generation,
                                                                  .owner = row->claim,
                                                                  .retries = row->retries,
                                                                  .retire = row->retire};
    }
    return true;
}

static bool wants_vms(struct service *service, const struct name *host, struct wants *out, struct err *err)
{
    auto_rows struct rows rows;
    if (!rows_read(service, ROW_VM, &(struct store_filter){.host = host->v}, &rows, err))
        return false;
    for (size_t i = 0; i < rows.count && out->vm_count < HOST_VMS_MAX; i++) {
        const struct row_vm *row = rows_at(&rows, i);
        struct row_claim claim;
        bool found;
        if (row->flavor.v[0] == '\0' && row->power != VM_GONE)
            continue; /* forgotten and found again: the agent knows better what it is made of */
        if (!service->store->get(service->store->self, ROW_CLAIM, row->claim.v, &claim, &found, err))
            return false;
        struct want_vm *want = &out->vms[out->vm_count++];
        memset(want, 0, sizeof(*want)); /* padding too: the agent compares whole structs */
        want->spec = row->spec;
        want->claim = row->claim;
        want->power = row->power;
        want->starts = row->starts;
        want->reboots = row->reboots;
        want->force = row->force;
        if (!found)
            continue; /* released already: the VM is being deleted */
        memcpy(want->slices, claim.slices, sizeof(claim.slices));
        want->slice_count = claim.slice_count;
    }
    return true;
}

bool service_wants(struct service *service, const struct name *host, uint64_t registration, struct wants *out,
                   struct err *err)
{
    struct row_host row;
    if (!must_get(service, ROW_HOST, "host", host->v, &row, err))
        return false;
    if (registration != row.registration) {
        err_set(err, ERR_CONFLICT, "cannot give host '%s' its wants: registration %ju is not the newest (%ju)", host->v,
                (uintmax_t)registration, (uintmax_t)row.registration);
        return err_hint(err, "another nsmith-agent of this host has started since; stop this one");
    }
    struct wants *wants = calloc(1, sizeof(*wants)); /* `out` changes only on success */
    must(wants != NULL);
    wants->registration = registration;
    wants->revision = row.wants_revision;
    wants->erasures_have = row.erasures_have;
    const bool ok = service_incarnation(service, &wants->incarnation, err) && wants_drives(service, host, wants, err) && wants_slices(service, host, wants, err) &&
                    wants_vms(service, host, wants, err);
    if (ok)
        *out = *wants;
    free(wants);
    return ok;
}
