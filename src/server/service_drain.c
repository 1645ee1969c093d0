/* Drives that get no new tenants: by their health, or by a person's word. */
#include "server/service_priv.h"

#include "base/text.h"

#include <stdio.h>

/* Judged anew at each look: the limits may be others since the last report. */
struct drive_drain service_drive_drain(const struct service *service, const struct row_drive *row)
{
    struct drive_drain drain = {.person = row->drained};
    drain.state = health_judge(&row->report.seen.health, &service->limits, &row->health);
    drain.health = health_drains(&drain.state, row->health_accepted);
    return drain;
}

void service_drain_explain(const struct row_drive *row, const struct drive_drain *drain, char *to, size_t size)
{
    char health[WHY_MAX] = "";
    health_explain(drain->health, &row->report.seen.health, health, sizeof(health));
    snprintf(to, size, "%s%s%s%s%s%s", drain->person ? "by a person" : "",
             drain->person && row->drain_why[0] != '\0' ? ": " : "", drain->person ? row->drain_why : "",
             drain->person && drain->health != 0 ? "; " : "", drain->health != 0 ? "by its health: " : "", health);
}

static bool find_adopted(struct service *service, const char *serial, const struct name *host, struct row_drive *out,
                         struct err *err)
{
    if (!service_drive_find(service, serial, host, out, err))
        return false;
    switch (out->report.adopt) {
    case ADOPT_CUTTING:
    case ADOPT_DONE:
    case ADOPT_FAULT:
    case ADOPT_MISSING:
        return true;
    case ADOPT_NONE:
    case ADOPT_CHECKING:
    case ADOPT_REFUSED:
    case ADOPT_COUNT:
        break;
    }
    err_set(err, ERR_CONFLICT, "cannot drain or resume drive '%s': it is not adopted", serial);
    return err_hint(err, "nothing of it is given out anyway");
}

bool service_drain(struct service *service, const char *serial, const struct name *host, const char *why,
                   uint64_t now_ms, struct row_drive *out, struct err *err)
{
    struct row_drive row;
    if (!find_adopted(service, serial, host, &row, err))
        return false;
    if (!text_copy(row.drain_why, sizeof(row.drain_why), why))
        return err_set(err, ERR_INPUT, "cannot drain drive '%s': the reason is longer than %d bytes", serial,
                       DRAIN_WHY_MAX - 1);
    if (!row.drained)
        row.drained_ms = now_ms;
    row.drained = true;
    fleet_dirty(service->fleet, &row.host);
    if (!service->store->put(service->store->self, ROW_DRIVE, &row, err))
        return false;
    *out = row;
    return true;
}

bool service_resume(struct service *service, const char *serial, const struct name *host, bool despite_health,
                    struct row_drive *out, struct err *err)
{
    struct row_drive row;
    if (!find_adopted(service, serial, host, &row, err))
        return false;
    const struct drive_drain drain = service_drive_drain(service, &row);
    if (!drain_is_on(&drain)) {
        err_set(err, ERR_CONFLICT, "cannot resume drive '%s': it is not drained", serial);
        return err_hint(err, "see: nsmith drive show %s", serial);
    }
    if (drain.health != 0 && !despite_health) {
        char why[WHY_MAX];
        health_explain(drain.health, &row.report.seen.health, why, sizeof(why));
        err_set(err, ERR_UNSAFE, "cannot resume drive '%s': its health drains it: %s", serial, why);
        return err_hint(err, "if its tenants can live with that: nsmith drive resume %s --despite-health", serial);
    }
    row.drained = false;
    row.drain_why[0] = '\0';
    row.drained_ms = 0;
    row.health_accepted |= drain.health;
    fleet_dirty(service->fleet, &row.host);
    if (!service->store->put(service->store->self, ROW_DRIVE, &row, err))
        return false;
    *out = row;
    return true;
}
