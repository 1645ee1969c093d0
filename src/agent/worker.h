/* worker.h - the threads that block: one for each drive, one that lists the drives, one for the hypervisor. Each has
 * at most one order at a time (the mind sees to that) and answers by mail. */
#ifndef NSMITH_AGENT_WORKER_H
#define NSMITH_AGENT_WORKER_H

#include "agent/mail.h"
#include "agent/vm_job.h"

struct workers;

struct workers_options {
    struct mailbox *box;          /* borrowed */
    const struct nvme_port *nvme; /* borrowed */
    struct virt_port virt;        /* owned from here on */
    const char *host;             /* borrowed */
    const char *console_dir;      /* borrowed */
    const char *server;           /* where firmware images come from; borrowed */
    const char *softnvme;         /* socket of nsmith-softnvme, whose process may have its own files open; or NULL */
};

struct workers *workers_open(const struct workers_options *options);
void workers_give(struct workers *workers, const struct order *order, const struct vm_job *job /* VM orders */);

#endif
