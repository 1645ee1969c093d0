#include "agent/adopt_try.h"

#include "agent/look.h"
#include "agent/order.h"
#include "base/must.h"
#include "base/text.h"

#include <stdlib.h>

static void foreign(void *ctx, const struct drive_ident *drive, struct nsid nsid, const struct nvme_node *node,
                    struct foreign_list *list)
{
    const struct adopt_try *try = ctx;
    (void)drive;
    look_foreign(try->softnvme, nsid, node, list);
}

static void tell(struct host *host, struct host_event event)
{
    struct host_orders orders; /* not carried out */
    struct host_result result;
    event.now_ms = 1;
    host_step(host, &event, &orders, &result);
}

static bool look(const struct adopt_try *try, const struct order_env *env, struct err *err)
{
    struct host *host = try->host;
    struct order_list list;
    if (!order_list(env, &list, err))
        return false;
    tell(host, (struct host_event){.kind = HOST_LISTED, .ok = true, .idents = list.idents, .ident_count = list.count});
    for (size_t i = 0; i < host->drive_count; i++) {
        const struct order order = {.kind = ORDER_SCAN, .ident = host->drives[i].ident, .fresh = true};
        struct order_done done;
        if (!host->drives[i].present || host->drives[i].adopt != ADOPT_NONE)
            continue;
        order_run(env, &order, &done);
        tell(host, order_event(HOST_SEEN, &order, &done));
        free(done.seen);
    }
    return true;
}

static void put_drive(const struct drive_report *drive, FILE *out)
{
    char size[TEXT_SIZE_MAX];
    const struct drive_seen *seen = &drive->seen;
    const struct proposal *proposal = &drive->proposal;
    fprintf(out, "%-20s  %-32s  %9s  %-14s  ", seen->ident.serial, seen->ident.model,
            text_gb(size, drive_size_bytes(seen)), seen->place[0] != '\0' ? seen->place : "-");
    if (proposal->rule.v[0] != '\0')
        fprintf(out, "would be adopted by rule '%s': %s, class %s\n", proposal->rule.v,
                provider_words[proposal->provider], proposal->class.v);
    else if (drive->adopt != ADOPT_NONE)
        fprintf(out, "is adopted already, by %s%s\n", drive->rule.v[0] != '\0' ? "rule " : "a person", drive->rule.v);
    else
        fprintf(out, "left alone: %s\n", drive->rule_why[0] != '\0' ? drive->rule_why : "there are no rules");
}

bool adopt_try(const struct adopt_try *try, FILE *out, struct err *err)
{
    const struct order_env env = {
        .nvme = try->nvme, .host = try->host->name.v, .ctx = (void *)(uintptr_t)try, .foreign = foreign};
    struct report *report = calloc(1, sizeof(*report));
    must(report != NULL);
    const bool ok = look(try, &env, err);
    if (ok)
        host_report(try->host, report);
    if (report->drive_count > 0)
        fprintf(out, "%-20s  %-32s  %9s  %-14s  %s\n", "SERIAL", "MODEL", "SIZE", "PLACE", "WHAT");
    for (size_t i = 0; i < report->drive_count; i++)
        put_drive(&report->drives[i], out);
    free(report);
    return ok;
}
