/* cli_release.h - waiting until slices that were given back are proven clean again, or quarantined. */
#ifndef NSMITH_CLI_RELEASE_H
#define NSMITH_CLI_RELEASE_H

#include "cli/cli_wait.h"

enum { RELEASE_SLICES_MAX = 16 };

struct release {
    const char *what, *name; /* "VM", "web1"; borrowed */
    const char *path;        /* "/v1/vms": of the thing that is to be gone */
    struct released {
        char id[24];
        uint64_t generation; /* which the release has given it, 0: not looked at yet */
    } slices[RELEASE_SLICES_MAX];
    size_t count, quarantined;
    char why[400];
};

/* The slices of a VM or claim as the API shows it. */
void release_slices(struct release *release, const json_t *object);
/* Call it after the release was asked for. Quarantined slices: ERR_DEVICE. */
bool release_wait(struct cli *cli, struct release *release, bool *interrupted_out, struct err *err);

#endif
