/* Drives: found by serial, planned, adopted. Slices that need a person: retried, retired. */
#include "server/service_priv.h"

#include "base/must.h"
#include "base/text.h"

#include <stdlib.h>

bool service_drive_find(struct service *service, const char *serial, const struct name *host, struct row_drive *out,
                        struct err *err)
{
    auto_rows struct rows rows;
    if (!rows_read(service, ROW_DRIVE, &(struct store_filter){.host = host->v}, &rows, err))
        return false;
    const struct row_drive *found = NULL;
    for (size_t i = 0; i < rows.count; i++) {
        const struct row_drive *row = rows_at(&rows, i);
        if (strcmp(row->report.seen.ident.serial, serial) != 0)
            continue;
        if (found != NULL) {
            err_set(err, ERR_CONFLICT, "cannot tell which drive is meant: hosts '%s' and '%s' both have one with serial '%s'",
                    found->host.v, row->host.v, serial);
            return err_hint(err, "name the host with --host");
        }
        found = row;
    }
    if (found == NULL) {
        err_set(err, ERR_MISSING, "cannot find drive '%s': no host reports a drive with that serial", serial);
        return err_hint(err, "see the serials with: nsmith drive ls");
    }
    *out = *found;
    return true;
}

static bool refuse_foreign(const struct row_drive *drive, struct err *err)
{
    const struct foreign *first = &drive->report.seen.foreign.at[0];
    err_set(err, ERR_UNSAFE, "cannot adopt drive '%s': it %s: %s", drive->report.seen.ident.serial,
            foreign_kind_text(first->kind), first->detail);
    return err_hint(err, "if nobody needs it, make the drive blank with its own tools, then try again; "
                         "all reasons: nsmith drive show %s", drive->report.seen.ident.serial);
}

static bool plan_check(const struct row_drive *drive, struct err *err)
{
    const char *serial = drive->report.seen.ident.serial;
    if (drive->wanted && drive->report.adopt == ADOPT_NONE)
        return err_set(err, ERR_CONFLICT, "cannot adopt drive '%s': that is under way already", serial);
    switch (drive->report.adopt) {
    case ADOPT_CUTTING:
    case ADOPT_DONE:
    case ADOPT_FAULT:
        return err_set(err, ERR_CONFLICT, "cannot adopt drive '%s': it is adopted already", serial);
    case ADOPT_MISSING:
        return err_set(err, ERR_CONFLICT, "cannot adopt drive '%s': it is adopted, and missing", serial);
    case ADOPT_CHECKING:
        return err_set(err, ERR_CONFLICT, "cannot adopt drive '%s': that is under way already", serial);
    case ADOPT_NONE:
    case ADOPT_REFUSED:
    case ADOPT_COUNT:
        break;
    }
    return drive->report.seen.foreign.count == 0 || refuse_foreign(drive, err);
}

bool service_plan(struct service *service, const struct adopt_request *request, struct row_drive *drive_out,
                  struct layout *out, struct err *err)
{
    struct row_drive drive;
    struct slice_class class;
    const char *class_name = request->class.v[0] != '\0' ? request->class.v : "500G";
    if (!service_drive_find(service, request->serial, &request->host, &drive, err))
        return false;
    if (!must_get(service, ROW_CLASS, "slice class", class_name, &class, err))
        return err_hint(err, "see the classes with: nsmith class ls");
    if (!plan_check(&drive, err))
        return false;
    const enum provider provider = request->provider != PROVIDER_NONE ? request->provider : PROVIDER_NAMESPACE;
    struct layout layout;
    if (!plan_layout(&drive.report.seen, &class, provider, &layout, err))
        return false;
    if (layout.count == 0) {
        err_set(err, ERR_FULL, "cannot cut drive '%s' into slices of class '%s': not one fits", request->serial, class_name);
        return err_hint(err, "choose a smaller class: nsmith class ls");
    }
    *drive_out = drive;
    *out = layout;
    return true;
}

bool service_adopt(struct service *service, const struct adopt_request *request, const struct layout *expect_layout,
                   struct uuid *adoption_out, struct err *err)
{
    struct row_drive drive;
    struct layout layout;
    if (!service_plan(service, request, &drive, &layout, err))
        return false;
    if (drive.task.id.v[0] != '\0')
        return err_set(err, ERR_CONFLICT, "cannot adopt drive '%s': it is at a %s", request->serial,
                       task_kind_words[drive.task.kind]);
    if (expect_layout != NULL &&
        (layout.provider != expect_layout->provider || layout.count != expect_layout->count ||
         layout.slice_bytes != expect_layout->slice_bytes || layout.lbaf != expect_layout->lbaf ||
         !name_eq(&layout.class, &expect_layout->class))) {
        err_set(err, ERR_CONFLICT, "cannot adopt drive '%s': it is not as it was when the plan was shown", request->serial);
        return err_hint(err, "look at the new plan: nsmith drive adopt %s --dry-run", request->serial);
    }
    drive.wanted = true;
    drive.layout = layout;
    drive.rule = request->rule;
    drive.rule_why[0] = '\0';
    uuid_make(service, &drive.adoption);
    if (!service->store->put(service->store->self, ROW_DRIVE, &drive, err) || !host_touch(service, &drive.host, err))
        return false;
    *adoption_out = drive.adoption;
    return true;
}

bool service_drive_retry(struct service *service, const char *serial, const struct name *host, struct row_drive *out,
                         struct err *err)
{
    struct row_drive row;
    if (!service_drive_find(service, serial, host, &row, err))
        return false;
    if (row.report.adopt != ADOPT_FAULT) {
        err_set(err, ERR_CONFLICT, "cannot retry drive '%s': it is %s, not at fault", serial, adopt_word(row.report.adopt));
        return err_hint(err, "see: nsmith drive show %s", serial);
    }
    row.retries = (row.retries > row.report.retries ? row.retries : row.report.retries) + 1;
    if (!service->store->put(service->store->self, ROW_DRIVE, &row, err) || !host_touch(service, &row.host, err))
        return false;
    *out = row;
    return true;
}

/* ---- without a person ---------------------------------------------------------------------------------------- */

/* Slices of the drive that this database knows, wherever: their agent has lost its ledger, or the drive came from
 * another host. What is on them is not for a rule to decide, even where they look blank. */
static bool has_slices(struct service *service, const char *serial, bool *out, struct err *err)
{
    auto_rows struct rows rows;
    if (!rows_read(service, ROW_SLICE, NULL, &rows, err))
        return false;
    *out = false;
    for (size_t i = 0; i < rows.count; i++)
        *out = *out || strcmp(((const struct row_slice *)rows_at(&rows, i))->slice.drive, serial) == 0;
    return true;
}

static bool rule_note(struct service *service, struct row_drive *row, const char *why, struct err *err)
{
    if (strcmp(row->rule_why, why) == 0)
        return true;
    text_cut(row->rule_why, sizeof(row->rule_why), why);
    return service->store->put(service->store->self, ROW_DRIVE, row, err);
}

static bool rule_apply(struct service *service, struct row_drive *row, struct err *err)
{
    const struct proposal *proposal = &row->report.proposal;
    struct adopt_request request = {
        .host = row->host, .class = proposal->class, .provider = proposal->provider, .rule = proposal->rule};
    struct row_drive planned;
    struct layout layout;
    struct uuid adoption;
    struct err why = {0};
    bool known;
    text_cut(request.serial, sizeof(request.serial), row->report.seen.ident.serial);
    if (!has_slices(service, request.serial, &known, err))
        return false;
    if (known)
        return rule_note(service, row, "slices of it are known, whose agent has lost them; only a person may adopt it",
                         err);
    if (!service_plan(service, &request, &planned, &layout,
                      &why)) /* an answer. A failing store fails the commit, too */
        return rule_note(service, row, why.msg, err);
    return service_adopt(service, &request, NULL, &adoption, err);
}

bool service_rules(struct service *service, const struct name *host, struct err *err)
{
    auto_rows struct rows rows;
    if (!rows_read(service, ROW_DRIVE, &(struct store_filter){.host = host != NULL ? host->v : NULL}, &rows, err))
        return false;
    for (size_t i = 0; i < rows.count; i++) {
        struct row_drive *row = rows_at(&rows, i);
        const bool asks = row->report.proposal.rule.v[0] != '\0' && !row->wanted; /* a person's wish goes before */
        if (asks && !rule_apply(service, row, err))
            return false;
    }
    return true;
}

/* ---- slices -------------------------------------------------------------------------------------------------- */

static bool quarantined(struct service *service, const struct slice_id *id, struct row_slice *row, struct err *err)
{
    if (!must_get(service, ROW_SLICE, "slice", id->v, row, err))
        return err_hint(err, "see the slices with: nsmith slice ls");
    if (row->slice.state == SLICE_QUARANTINED && !row->gone)
        return true;
    if (row->gone) {
        err_set(err, ERR_CONFLICT, "cannot retry slice '%s': its host does not report it any more", id->v);
        return err_hint(err, "if it will not come back: nsmith slice retire %s", id->v);
    }
    err_set(err, ERR_CONFLICT, "cannot retry or retire slice '%s': it is %s, not quarantined", id->v,
            slice_state_word(row->slice.state));
    return err_hint(err, "only a quarantined slice needs a person");
}

bool service_slice_retry(struct service *service, const struct slice_id *id, struct err *err)
{
    struct row_slice row;
    if (!quarantined(service, id, &row, err))
        return false;
    row.retries = (row.retries > row.slice.retries ? row.retries : row.slice.retries) + 1;
    return service->store->put(service->store->self, ROW_SLICE, &row, err) && host_touch(service, &row.host, err);
}

/* Also one that its host does not report any more (its ledger was lost, the host was set up anew): then it is only to be
 * forgotten here, with the next report. Should it come back before that, it was not meant: service_report(). */
bool service_slice_retire(struct service *service, const struct slice_id *id, struct err *err)
{
    struct row_slice row;
    bool found;
    if (!service->store->get(service->store->self, ROW_SLICE, id->v, &row, &found, err) ||
        (!(found && row.gone) && !quarantined(service, id, &row, err)))
        return false;
    if (row.claim.v[0] != '\0') {
        err_set(err, ERR_CONFLICT, "cannot retire slice '%s': claim '%s' still holds it", id->v, row.claim.v);
        return err_hint(err, "delete its VM or release the claim first");
    }
    row.retire = true;
    return service->store->put(service->store->self, ROW_SLICE, &row, err) && host_touch(service, &row.host, err);
}
