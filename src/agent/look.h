/* look.h - what on this host is not ours, as order.h asks it: the checks of src/probe on a node that was identified.
 * `softnvme`: socket of nsmith-softnvme, whose process may have its own files open; NULL: none. */
#ifndef NSMITH_AGENT_LOOK_H
#define NSMITH_AGENT_LOOK_H

#include "model/drive.h"
#include "nvme/nvme_port.h"

void look_foreign(const char *softnvme, struct nsid nsid, const struct nvme_node *node, struct foreign_list *list);
/* ERR_BUSY: something on this host uses the node. */
bool look_unused(const char *softnvme, struct nsid nsid, const struct nvme_node *node, struct err *err);

#endif
