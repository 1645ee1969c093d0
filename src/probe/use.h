/* use.h - inside of probe_use: which devices stand upon the one that was asked about (its kin), and who uses any of
 * them. The folders of the kernel's answers are parameters, so that tests can show recorded ones. */
#ifndef NSMITH_USE_H
#define NSMITH_USE_H

#include "probe/ask.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum { KIN_MAX = 128, KIN_NAME_MAX = 48, USE_PATH_MAX = 4096, USE_LINE_MAX = 4096 };

struct use_roots {
    const char *sys, *proc;
    const char *dev; /* NULL: there are no device nodes to open */
};

extern const struct use_roots use_real_roots;

struct kin {
    char name[KIN_NAME_MAX]; /* the kernel's: "nvme0n1p2", "dm-0" */
    dev_t dev;
};

struct use {
    const struct ask *ask;
    const struct use_roots *roots;
    bool block; /* else a file, known by dev and ino */
    dev_t dev;  /* block: of the device itself; file: of its file system */
    ino_t ino;
    struct kin kin[KIN_MAX]; /* block: [0] is itself; file: begins with the loop devices upon it */
    size_t kin_count;
};

/* Fills kin, and notes what it finds on the way: partitions, holders, loop devices, btrfs. */
void use_find_kin(struct use *use);
/* Mounts, swap, exports to other hosts. */
void use_find_mounts(const struct use *use);
void use_find_swaps(const struct use *use);
void use_find_exports(const struct use *use);
/* Other processes that have it or any of its kin open. */
void use_find_processes(const struct use *use);

/* All of the above. `use` has ask, roots, block, dev and ino. */
void use_find_all(struct use *use);

/* ---- helpers ---- */

bool use_is_kin_dev(const struct use *use, dev_t dev);
/* Does this path, as the kernel names it, mean the file or any of the kin? */
bool use_is_meant(const struct use *use, const char *path);
/* false: too long. */
bool use_path(char to[USE_PATH_MAX], const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The first line without its end; false with errno. */
bool use_read_line(const char *path, char to[USE_LINE_MAX]);
/* \040 and the like, as in mountinfo and swaps, in place. */
void use_unescape(char *text);
void use_unreadable(const struct use *use, const char *what); /* notes FOREIGN_UNREADABLE with errno */

#endif
