/* adopt_try.h - a dry run of the rules for adoption: looks at every drive as the agent does, and shows what the rules
 * would make of it. Changes nothing: of what the agent's mind orders, only lists and scans are carried out. */
#ifndef NSMITH_AGENT_ADOPT_TRY_H
#define NSMITH_AGENT_ADOPT_TRY_H

#include "core/host.h"
#include "nvme/nvme_port.h"

#include <stdio.h>

struct adopt_try {
    struct host *host;            /* as the ledger and the rules have it; borrowed */
    const struct nvme_port *nvme; /* borrowed */
    const char *softnvme;         /* or NULL */
};

bool adopt_try(const struct adopt_try *adopt_try, FILE *out, struct err *err);

#endif
