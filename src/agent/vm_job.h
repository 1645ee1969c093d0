/* vm_job.h - what the hypervisor's thread needs to start a VM: copied from the mind when the order is given, so that
 * the thread never looks at the mind itself. Shared with the simulation. */
#ifndef NSMITH_AGENT_VM_JOB_H
#define NSMITH_AGENT_VM_JOB_H

#include "core/domain_build.h"
#include "core/host.h"

struct vm_job {
    struct vm_spec spec;
    struct domain_slice slices[CLAIM_SLICES_MAX];
    size_t slice_count;
};

/* For an ORDER_VM_START. What the host does not know is left out. */
void vm_job_fill(struct host *host, const struct order *order, struct vm_job *out);

#endif
