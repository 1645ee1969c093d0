/* adopt_dir.h - the rules of this host for adopting drives without a person (core/adopt_rule.h): one file a rule,
 * DIR/NAME.conf, in the order of the names.
 *
 *   [match]               all that is given must fit; '*' and '?' as in file names
 *   model = SAMSUNG MZQL*
 *   serial = S64*
 *   place = 0000:41:*     as `nsmith drive show` has it
 *   size_min = 1.8TB
 *   size_max = 4TB
 *   [adopt]
 *   adopt = yes           no: what matches is left alone by all rules
 *   as = namespace        or whole
 *   class = 500G
 *   max_drives = 4        of this host by this rule; any number if not given
 *
 *   - One file that cannot be read or used, and no rule counts at all: out->broken says which, and what is wrong. */
#ifndef NSMITH_ADOPT_DIR_H
#define NSMITH_ADOPT_DIR_H

#include "core/adopt_rule.h"

#define ADOPT_DIR_DEFAULT "/etc/nsmith/adopt.d"

/* `dir` NULL: the default one, which need not be there. */
void adopt_dir_load(const char *dir, struct adopt_rules *out);

#endif
