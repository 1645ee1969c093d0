/* First check: libblkid's low-level probing, the library behind blkid(8), wipefs(8) and udev. */
#include "probe/ask.h"
#include "probe/probe.h"

#include <blkid/blkid.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

enum { RESULTS_MAX = 64 };

static void free_probep(blkid_probe *probe)
{
    blkid_free_probe(*probe); /* NULL is fine */
}
#define auto_probe __attribute__((cleanup(free_probep)))

/* The value, or "". */
static const char *value_of(blkid_probe probe, const char *name)
{
    const char *value = NULL;
    return blkid_probe_lookup_value(probe, name, &value, NULL) == 0 && value != NULL ? value : "";
}

/* A value with the words around it, or nothing. */
static const char *phrase(char to[96], const char *before, const char *value, const char *after)
{
    to[0] = '\0';
    if (value[0] != '\0')
        snprintf(to, 96, "%s%.64s%s", before, value, after);
    return to;
}

static void note_result(const struct ask *ask, blkid_probe probe)
{
    char label[96], uuid[96];
    const char *type = value_of(probe, "TYPE"), *table = value_of(probe, "PTTYPE");
    if (table[0] != '\0')
        ask_found(ask, FOREIGN_PARTITIONS, "partition table '%s'%s at %s", table,
                  phrase(uuid, ", uuid ", value_of(probe, "PTUUID"), ""), ask->path);
    if (type[0] != '\0' || table[0] == '\0')
        ask_found(ask, FOREIGN_SIGNATURE, "%s%s%s%s at %s", type[0] != '\0' ? type : "unnamed",
                  phrase(label, ", label '", value_of(probe, "LABEL"), "'"),
                  phrase(uuid, ", uuid ", value_of(probe, "UUID"), ""),
                  blkid_probe_has_value(probe, "SBBADCSUM") ? ", damaged" : "", ask->path);
}

/* Everything on: each kind of use, a bad checksum too (the owner may have a backup superblock), a GPT without a
 * protective MBR. Values are asked for the message, and MAGIC because some types are found by nothing else. */
static bool set_up(blkid_probe probe, int fd)
{
    return blkid_probe_set_device(probe, fd, 0, 0) == 0 && blkid_probe_enable_superblocks(probe, 1) == 0 &&
           blkid_probe_set_superblocks_flags(probe, BLKID_SUBLKS_TYPE | BLKID_SUBLKS_LABEL | BLKID_SUBLKS_UUID |
                                                        BLKID_SUBLKS_USAGE | BLKID_SUBLKS_MAGIC |
                                                        BLKID_SUBLKS_BADCSUM) == 0 &&
           blkid_probe_enable_partitions(probe, 1) == 0 &&
           blkid_probe_set_partitions_flags(probe, BLKID_PARTS_MAGIC | BLKID_PARTS_FORCE_GPT) == 0;
}

void probe_signature(const char *path, struct nsid nsid, const struct probe_options *options, struct foreign_list *out)
{
    const struct ask ask = {.path = path, .nsid = nsid, .options = options, .out = out};
    struct stat st;
    auto_close int fd = ask_open(&ask, 0, &st);
    if (fd < 0)
        return;
    posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED); /* libblkid reads through the page cache, which may be old */
    auto_probe blkid_probe probe = blkid_new_probe();
    if (probe == NULL || !set_up(probe, fd)) {
        ask_found(&ask, FOREIGN_UNREADABLE, "cannot look for signatures at %s", path);
        return;
    }
    int rc = 0; /* 0: found one, the next call goes on behind it; 1: no more; else an error */
    for (unsigned i = 0; i < RESULTS_MAX && (rc = blkid_do_probe(probe)) == 0; i++)
        note_result(&ask, probe);
    if (rc != 0 && rc != 1)
        ask_found(&ask, FOREIGN_UNREADABLE, "cannot read all places of signatures at %s", path);
}
