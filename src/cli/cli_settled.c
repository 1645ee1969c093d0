#include "cli/cli_settled.h"

#include "cli/cli.h"

#include <string.h>

static bool text_is(const json_t *object, const char *name, const char *want)
{
    return strcmp(cli_text(object, name), want) == 0;
}

/* A claim that still holds the slice is to be released first, by a person. */
static bool asked_of_quarantined(const json_t *wanted)
{
    const bool asked =
        json_is_true(json_object_get(wanted, "retry")) || json_is_true(json_object_get(wanted, "retire"));
    return asked && cli_text(wanted, "claim")[0] == '\0';
}

bool slice_is_busy(const json_t *slice)
{
    const json_t *wanted = json_object_get(slice, "wanted");
    if (text_is(slice, "state", "quarantined"))
        return asked_of_quarantined(wanted);
    return text_is(slice, "state", "blank") || text_is(slice, "state", "erasing") ||
           text_is(slice, "state", "verifying") || text_is(slice, "state", "dirty") ||
           text_is(slice, "state", "claimed") || cli_u64(wanted, "generation") > cli_u64(slice, "generation");
}

bool drive_is_busy(const json_t *drive)
{
    return text_is(drive, "adopt", "checking") || text_is(drive, "adopt", "cutting");
}

/* A guest that has powered itself off stays off: it is wanted running, and nothing goes on. */
bool vm_is_busy(const json_t *vm)
{
    if (text_is(vm, "wanted", "gone"))
        return true;
    return json_is_true(json_object_get(vm, "starting")) && cli_text(vm, "why")[0] == '\0';
}

bool vm_has_power(const json_t *vm, const char *power)
{
    return text_is(vm, "power", power) || (strcmp(power, "off") == 0 && text_is(vm, "power", "gone"));
}
