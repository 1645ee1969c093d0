/* mind.h - one step of the agent: event -> host_step() -> ledger (durable) -> orders. The only place where the
 * three meet, so that "intent before action" is one line of code, in the agent and in the simulation.
 *   - After true the rows and the record of the step are on the disk, and `out` may be carried out.
 *   - After false nothing of the step is on the disk, and the memory is ahead of it: the caller drops its memory and
 *     starts again from the ledger (the agent ends its process). */
#ifndef NSMITH_AGENT_MIND_H
#define NSMITH_AGENT_MIND_H

#include "cert/cert.h"
#include "core/host.h"
#include "store/ledger.h"

struct mind {
    struct host *host;     /* borrowed */
    struct ledger *ledger; /* borrowed */
    struct cert_key key;
    uint64_t records_have; /* the server's, by its last word; one that was restored may hold fewer than it did */
};

bool mind_step(struct mind *mind, const struct host_event *event, struct host_orders *out, struct host_result *result,
               struct err *err);

#endif
