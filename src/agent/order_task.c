/* Orders of tasks (model/task.h): what a person asks of one drive. */
#include "agent/order.h"
#include "core/qualify.h"

#include "base/must.h"
#include "nvme/nvme_drive.h"

#include <stdlib.h>

/* Two looks on one descriptor: what a drive is must not change while nobody changes it. */
bool order_probe(const struct order_env *env, struct nvme_dev *dev, const struct order *order, struct order_done *out,
                 struct err *err)
{
    struct drive_seen *looks = calloc(2, sizeof(*looks));
    struct probe_facts facts = {.first = &looks[0], .second = &looks[1]};
    must(looks != NULL);
    bool ok = nvme_expect(dev, &order->ident, err) && nvme_scan(dev, &looks[0], err);
    const uint64_t begun_ms = env->unix_ms(env->ctx);
    ok = ok && nvme_scan(dev, &looks[1], err);
    const uint64_t ended_ms = env->unix_ms(env->ctx);
    facts.scan_ms = ended_ms > begun_ms ? ended_ms - begun_ms : 0;
    ok = ok && nvme_compare_pages(dev, &facts.pages, err);
    if (ok)
        qualify(&facts, &out->result);
    out->have_result = ok;
    free(looks);
    return ok;
}
