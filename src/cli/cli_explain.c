#include "cli/cli_explain.h"

#include "base/must.h"
#include "base/text.h"

#include <string.h>

static const struct explain rows[ERR_KIND_COUNT] = {
    [ERR_NONE] = {"It was done; of a dry run: it could be done.", "Nothing."},
    [ERR_FAILED] =
        {"It could not be done, for a reason that is none of the others. The message says which.",
         "Read the message; look into nsmithd.log and agent.log, or 'journalctl -u nsmithd -u nsmith-agent'."},
    [ERR_INPUT] =
        {"What was asked for makes no sense as it was written: an unknown command or option, a bad name, a bad "
         "number, or a certificate that cannot be read.",
         "Correct it; 'nsmith COMMAND --help' shows how it is written, with an example."},
    [ERR_MISSING] = {"The drive, slice, claim, VM, flavor, class or erasure of that name is not there (any more).",
                     "List what there is: 'nsmith drive ls', 'nsmith slice ls', 'nsmith vm ls' and so on."},
    [ERR_CONFLICT] =
        {"It contradicts what is there: the name is taken, the thing is in another state, or it changed since "
         "it was shown.",
         "Look at it again with 'show', then decide anew."},
    [ERR_FULL] =
        {"There is no room: no host has as many free slices, processors or memory as were asked for.",
         "See what is free: 'nsmith slice ls --state free', 'nsmith host ls'; adopt another drive, or ask for less. "
         "Slices that are being erased become free: 'nsmith wait'."},
    [ERR_BUSY] =
        {"Nobody answered, or it took too long, or somebody else is at it. The same may succeed later; a wait that "
         "ran out does not stop the work.",
         "Check that the programs run ('nsmith up', or 'systemctl status nsmithd nsmith-agent'), then try again."},
    [ERR_DEVICE] =
        {"A drive failed, or an erase could not be proved: the slice is quarantined and nobody gets it. A "
         "certificate that does not hold has this code too.",
         "See why: 'nsmith status', 'nsmith slice show ID', 'nsmith drive show SERIAL'. Then 'nsmith slice retry "
         "ID' erases it once more, or 'nsmith slice retire ID' gives it up."},
    [ERR_UNSAFE] =
        {"It was refused because somebody could lose data: the drive holds something, the confirmation is "
         "missing or wrong, or an erase would hit neighbours. Nothing was changed.",
         "Make sure that it is the right drive. See the reasons: 'nsmith drive show SERIAL'. In scripts confirm "
         "with --yes and the whole name."},
    [ERR_DENIED] = {"This user may not do that, or the file system is read-only.",
                    "Use root, or a user who may open the server's socket ('ls -l /run/nsmith/nsmithd.sock'); "
                    "see 'findmnt' for file systems that are mounted 'ro'."},
};

struct explain explain_kind(enum err_kind kind)
{
    must(kind < ERR_KIND_COUNT);
    return rows[kind];
}

bool explain_find(const char *text, enum err_kind *out)
{
    uint64_t exit_code;
    const bool number = text_u64(text, &exit_code);
    for (int k = 0; k < ERR_KIND_COUNT; k++) {
        const enum err_kind kind = (enum err_kind)k;
        if (strcmp(err_kind_name(kind), text) == 0 || (number && (uint64_t)err_kind_exit(kind) == exit_code)) {
            *out = kind;
            return true;
        }
    }
    return false;
}
