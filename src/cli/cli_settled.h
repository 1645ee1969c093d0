/* cli_settled.h - what a wait looks at: objects of the API, judged. Pure.
 *   - Busy is what goes on by itself and ends by itself; what waits for a person is not busy.
 *   - An answered wish that the host has not taken up yet is busy: a wait right after it does not end early. */
#ifndef NSMITH_CLI_SETTLED_H
#define NSMITH_CLI_SETTLED_H

#include <jansson.h>
#include <stdbool.h>

bool slice_is_busy(const json_t *slice);
bool drive_is_busy(const json_t *drive);
bool vm_is_busy(const json_t *vm);
/* power: "running" or "off". A domain that is gone is off: there is nothing left that could stop. */
bool vm_has_power(const json_t *vm, const char *power);

#endif
