/* sqlite_shim.h - an SQLite VFS over the real one that loses, tears and refuses writes, for tests.
 *   - It counts what changes a file (writes, truncates, syncs) from shim_fail_in() on, and lets the n-th go wrong once.
 *   - It never really syncs: it remembers what was written since the last sync of each file instead, so that a power
 *     cut can take it back. */
#ifndef NSMITH_SQLITE_SHIM_H
#define NSMITH_SQLITE_SHIM_H

#include <stdbool.h>
#include <stdint.h>

#define SHIM_FAULTS(X)                                                      \
    X(SHIM_NONE, "nothing fails")                                           \
    X(SHIM_FULL, "a write finds the disk full")                             \
    X(SHIM_TORN, "a write fails half way")                                  \
    X(SHIM_SYNC, "a sync or truncate fails")                                \
    X(SHIM_SYNC_DB, "a sync of the database itself, not of its log, fails") \
    X(SHIM_KILL, "the process is killed")                                   \
    X(SHIM_CUT, "the power is cut, nothing unsynced stays")                 \
    X(SHIM_CUT_SOME, "the power is cut, some of what was unsynced stays")

enum shim_fault {
#define X(fault, text) fault,
    SHIM_FAULTS(X)
#undef X
        SHIM_FAULT_COUNT
};

/* Becomes the default VFS of this process. */
void shim_install(void);
/* The nth operation that `fault` can hit, from now (1: the next); 0: none. The seed says which writes stay. */
void shim_fail_in(unsigned nth, enum shim_fault fault, uint64_t seed);
/* All writes that make a file longer find the disk full until set to false. */
void shim_disk_full(bool full);
bool shim_fired(void);

enum { SHIM_EXIT = 99 }; /* the exit status of a killed process and of a power cut */

#endif
