/* cli_opts.h - the tables of options and commands, and how words of the command line become one command. Pure.
 *   - Options may stand anywhere; "--name=value", "--name value", "-o value", "-ovalue"; "--" ends them.
 *   - An option that the command does not take, or an unknown command: ERR_INPUT that names the nearest known one.
 *   - Whether a long option takes a value depends on its name alone, so that words can be told from values. */
#ifndef NSMITH_CLI_OPTS_H
#define NSMITH_CLI_OPTS_H

#include "base/err.h"

#include <stdio.h>

enum { CLI_ARGS_MAX = 4 };

/* name, long option, short option or 0, what its value is called or NULL, help */
#define CLI_OPTS(X)                                                                                                  \
    X(OPT_HELP, "help", 'h', NULL, "show this help")                                                                 \
    X(OPT_JSON, "json", 0, NULL, "the JSON of the API, as it is")                                                    \
    X(OPT_RUN, "run", 0, "DIR", "folder of the socket (default $NSMITH_RUN_DIR or /run/nsmith)")                     \
    X(OPT_SERVER, "server", 0, "ADDRESS", "unix:/path or tcp:127.0.0.1:PORT (default $NSMITH_SERVER or the socket)") \
    X(OPT_NO_HEADINGS, "no-headings", 0, NULL, "tables without their first line")                                    \
    X(OPT_BYTES, "bytes", 'b', NULL, "sizes in bytes")                                                               \
    X(OPT_OUTPUT, "output", 'o', "COL,COL", "these columns only")                                                    \
    X(OPT_DRY_RUN, "dry-run", 0, NULL, "show what would be, change nothing")                                         \
    X(OPT_YES, "yes", 0, NULL, "do not ask")                                                                         \
    X(OPT_NO_WAIT, "no-wait", 0, NULL, "do not wait until it is done")                                               \
    X(OPT_TIMEOUT, "timeout", 0, "SECONDS", "wait no longer than that; the work goes on")                            \
    X(OPT_HOST, "host", 0, "HOST", "on this host")                                                                   \
    X(OPT_SOFTNVME, "softnvme", 0, "SOCKET", "use the software drives behind this socket")                           \
    X(OPT_VIRT, "virt", 0, "URI", "libvirt, or 'fake' (default qemu:///system)")                                     \
    X(OPT_TCG, "tcg", 0, NULL, "do not try KVM")                                                                     \
    X(OPT_STATE_DIR, "state", 0, "DIR", "databases, keys and logs (default $NSMITH_STATE_DIR or /var/lib/nsmith)")   \
    X(OPT_AS, "as", 0, "PROVIDER", "'namespace' (cut into namespaces, default) or 'whole' (the drive is one slice)") \
    X(OPT_CLASS, "class", 0, "CLASS", "slice class (default 500G)")                                                  \
    X(OPT_SERIAL, "serial", 0, "SERIAL", "with --yes: the whole serial number once more")                            \
    X(OPT_DESTRUCTIVE, "destructive", 0, NULL, "also by making, deleting and erasing namespaces on it")                \
    X(OPT_SLOT, "slot", 0, "N", "firmware slot (default: the drive chooses)")                                        \
    X(OPT_ACTIVATE, "activate", 0, "WHEN", "'now' (default where the drive can), 'reset' (after the next) or 'none'") \
    X(OPT_DRIVE, "drive", 0, "SERIAL", "of this drive")                                                              \
    X(OPT_STATE, "state", 0, "STATE", "in this state, such as free or quarantined")                                  \
    X(OPT_CONFIRM_ID, "id", 0, "ID", "with --yes: the whole id once more")                                           \
    X(OPT_SIZE, "size", 0, "SIZE", "nominal size, such as 500G or 465GiB")                                           \
    X(OPT_TOLERANCE, "tolerance", 0, "PERCENT", "how much smaller a slice may be (default 1)")                       \
    X(OPT_VCPUS, "vcpus", 0, "N", "virtual CPUs")                                                                    \
    X(OPT_MEMORY, "memory", 0, "SIZE", "memory, such as 8GiB")                                                       \
    X(OPT_SLICES, "slices", 0, "N", "how many slices")                                                               \
    X(OPT_DATAPATH, "datapath", 0, "PATH", "'scsi' (default) or 'blk'")                                              \
    X(OPT_SPREAD, "spread", 0, "HOW", "'spread' over many drives (default) or 'pack' on few")                        \
    X(OPT_ID, "id", 0, "ID", "name of the claim (default: a new UUID)")                                              \
    X(OPT_LIBVIRT_XML, "libvirt-xml", 0, NULL, "only the disks as libvirt's XML")                                    \
    X(OPT_QEMU_ARGS, "qemu-args", 0, NULL, "only the disks as QEMU's arguments")                                     \
    X(OPT_FLAVOR, "flavor", 0, "FLAVOR", "what the VM is made of")                                                   \
    X(OPT_IMAGE, "image", 0, "FILE", "boot disk on the host, raw or qcow2")                                          \
    X(OPT_KERNEL, "kernel", 0, "FILE", "kernel on the host, booted directly")                                        \
    X(OPT_INITRD, "initrd", 0, "FILE", "with --kernel: its initial RAM disk")                                        \
    X(OPT_CMDLINE, "cmdline", 0, "TEXT", "with --kernel: its command line")                                          \
    X(OPT_NETWORK, "network", 0, "NETWORK", "libvirt network (default: no network card)")                            \
    X(OPT_AUTOSTART, "autostart", 0, NULL, "start it again when the host comes up")                                  \
    X(OPT_FORCE, "force", 0, NULL, "at once, without asking the guest")                                              \
    X(OPT_LOG, "log", 0, NULL, "print what the console said so far")                                                 \
    X(OPT_SLICE, "slice", 0, "ID", "of this slice")                                                                  \
    X(OPT_CERTIFICATE, "certificate", 0, NULL, "only the signed text, to save in a file")                            \
    X(OPT_KEY, "key", 0, "HEX", "public key that must have signed it")                                               \
    X(OPT_REASON, "reason", 0, "TEXT", "why, for those who ask later")                                               \
    X(OPT_DESPITE_HEALTH, "despite-health", 0, NULL, "although its health is bad: what is wrong now is accepted")

enum opt {
#define X(opt, name, letter, value, help) opt,
    CLI_OPTS(X)
#undef X
        OPT_COUNT
};

struct opt_row {
    const char *name;
    char letter;
    const char *value; /* NULL: takes none */
    const char *help;
};

extern const struct opt_row opt_rows[OPT_COUNT];

#define OPT(name) (1ull << (OPT_##name))
/* Every command takes these. */
#define OPTS_COMMON (OPT(HELP) | OPT(RUN) | OPT(SERVER))
#define OPTS_TABLE (OPT(JSON) | OPT(NO_HEADINGS) | OPT(BYTES) | OPT(OUTPUT))
#define OPTS_WAIT (OPT(NO_WAIT) | OPT(TIMEOUT))

struct cli;

struct command {
    const char *noun, *verb; /* verb NULL: the noun alone */
    const char *args;        /* as the help shows them, "" for none */
    size_t args_min, args_max;
    uint64_t options; /* besides OPTS_COMMON */
    const char *help, *example;
    bool (*fn)(struct cli *cli, struct err *err);
};

struct command_table {
    const struct command *at;
    size_t count;
};

static inline uint64_t command_options(const struct command *command)
{
    return command->options | OPTS_COMMON;
}

/* What the words say. Everything is borrowed from argv. */
struct parsed {
    const struct command *command; /* NULL: help on all, or on `noun` */
    const char *noun;
    const char *args[CLI_ARGS_MAX];
    size_t arg_count;
    const char *opts[OPT_COUNT];
};

bool cli_parse(const struct command_table *table, int argc, char *const *argv, struct parsed *out, struct err *err);

/* The nearest of `count` words to `word`, NULL when none is near. */
const char *cli_nearest(const char *word, const char *const *words, size_t count);

/* Help and completion, from the tables. noun NULL: all. */
void help_all(FILE *to, const struct command_table *table);
void help_noun(FILE *to, const struct command_table *table, const char *noun);
void help_command(FILE *to, const struct command *command);
/* All that the tables say, as one document: {"items": [...]} of the commands that are meant. */
void help_json(FILE *to, const struct command_table *table, const struct parsed *parsed);
void help_completion(FILE *to, const struct command_table *table);

extern const struct command_table commands;

#endif
