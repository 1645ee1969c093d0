/* ledger.h - the agent's own durable state: what it made, whose it is, and what it is about to do.
 * One SQLite file (WAL, synchronous=FULL), written in one transaction per step, before the step's orders are carried
 * out: intent before action. ledger_mem is the same in memory, for tests and simulation, and counts writes so that
 * the n-th can be made to fail.
 *   - commit() returning true means: on the disk. A failed fsync ends the process.
 *   - Refused, the same by both: ERR_INPUT a row that breaks its own rules, a text that is not record number
 *     erasure_seq; ERR_CONFLICT a number that goes down, a slice that is clean without having been erased, the id of a
 *     deleted slice, a record that does not follow the newest one; ERR_UNSAFE another host's name. The same record saved
 *     once more is no error.
 *   - A ledger that is damaged, newer than this program, or of another host is refused, never "repaired". */
#ifndef NSMITH_LEDGER_H
#define NSMITH_LEDGER_H

#include "base/err.h"
#include "core/host.h"

struct ledger {
    void *self;
    /* Fills the durable parts of *host (zeroed before) from the file. */
    bool (*load)(void *self, struct host *host, struct err *err);
    /* Writes every row of *host that is marked `changed` (and host->changed itself), and `record` when not NULL (the
     * signed text of erasure number host->erasure_seq), all or nothing. The caller clears the marks after success. */
    bool (*save)(void *self, const struct host *host, const char *record, struct err *err);
    /* Signed texts from seq `from` (inclusive), at most `max`, in order; fn as store_each_fn. */
    bool (*records)(void *self, uint64_t from, size_t max, bool (*fn)(void *ctx, uint64_t seq, const char *text),
                    void *ctx, struct err *err);
    void (*close)(void *self);
};

bool ledger_sqlite_open(const char *path, struct ledger *out, struct err *err);
bool ledger_mem_open(struct ledger *out, struct err *err);
/* Memory only: the n-th save from now fails (1: the next), before (false) or after (true) it took effect; 0: none. */
void ledger_mem_fail(struct ledger *ledger, unsigned nth, bool after);

#endif
