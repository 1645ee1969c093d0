/* links.h - stable paths: DIR/<slice id> points to the node of each slice that is handed out, and to no other. */
#ifndef NSMITH_AGENT_LINKS_H
#define NSMITH_AGENT_LINKS_H

#include "core/host.h"

/* Makes the links as the host has it: level, so it may be called at any time. Best effort for single links; false when
 * the folder itself cannot be used. */
bool links_sync(const char *dir, const struct host *host, struct err *err);
void link_path(char out[PATH_TEXT_MAX], const char *dir, const struct slice_id *id);

#endif
