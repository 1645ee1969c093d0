/* handsoff.h - the host leaves alone what guests write: rules for udev that name each adopted drive, so that nothing
 * of its namespaces is probed, watched, assembled, activated or announced for mounting, and their partitions go again
 * at once. A file, because it must be there when the host boots, long before the agent.
 *   - Level: made from what the host has; may be called at any time, writes only when the text is another one.
 *   - A serial or model number is anybody's text: what is not a letter, a digit or one of " ._:-" becomes '?', which
 *     matches any one character. So nothing can leave its quotes; at worst a twin is left alone, too. */
#ifndef NSMITH_AGENT_HANDSOFF_H
#define NSMITH_AGENT_HANDSOFF_H

#include "core/host.h"

enum { HANDSOFF_TEXT_MAX = 16 << 10 };

#define HANDSOFF_DIR_DEFAULT "/etc/udev/rules.d"
#define HANDSOFF_FILE "10-nsmith.rules"

/* The rules as text. */
void handsoff_text(const struct host *host, char to[HANDSOFF_TEXT_MAX]);

/* Writes DIR/10-nsmith.rules durably when it is not so already; then *changed, and udev has to be told. A host that
 * never had an adopted drive gets no file. */
bool handsoff_sync(const char *dir, const struct host *host, bool *changed, struct err *err);

/* Has udev read its rules anew and look at the NVMe namespaces once more. Best effort: there may be no udev. */
void handsoff_tell(void);

#endif
