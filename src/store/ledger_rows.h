/* ledger_rows.h - what both ledgers must know of the rows: which part of the host is durable, what of it changed, and
 * the rules that a row keeps by itself or against the row that it replaces.
 *   - ledger_sqlite.c states the same rules in its schema once more; ledger_mem.c has only these. */
#ifndef NSMITH_LEDGER_ROWS_H
#define NSMITH_LEDGER_ROWS_H

#include "base/jmap.h"
#include "core/host.h"

enum ledger_kind { LEDGER_DRIVE, LEDGER_SLICE, LEDGER_VM, LEDGER_TASK, LEDGER_KIND_COUNT };

enum { LEDGER_KEY_MAX = 300, LEDGER_HASH_HEX = 65 };

/* struct host_drive, struct slice, struct host_vm, struct host_task: their durable members, and thus what is in the file. slice_jmap
 * has two that are not durable: see ledger_durable(). */
const struct jmap *ledger_jmap(enum ledger_kind kind);
const char *ledger_kind_word(enum ledger_kind kind);

extern const char *const ledger_adopt_words[ADOPT_COUNT];

/* Sets *to to the durable part of *from, all else to zero. */
void ledger_durable(enum ledger_kind kind, const void *from, void *to);

struct ledger_change {
    enum ledger_kind kind;
    bool del; /* a slice: retired */
    char key[LEDGER_KEY_MAX];
    const void *row; /* borrowed from the host */
};

/* Every change that *host is marked with, checked by itself (ERR_INPUT), rows that go first. */
bool ledger_changes(const struct host *host, bool (*fn)(void *ctx, const struct ledger_change *change, struct err *err),
                    void *ctx, struct err *err);

/* Rules between a row and the one that it replaces. ERR_CONFLICT. */
bool ledger_change_check(const struct ledger_change *change, const void *old, struct err *err);

/* Puts a row read from the ledger at the end of the host's array; ERR_FAILED when that is full. A task goes to its
 * drive, which is added where it is not ours; when there are too many of those the task is passed over. */
bool ledger_host_add(struct host *host, enum ledger_kind kind, const void *row, struct err *err);

struct ledger_numbers {
    struct name host; /* empty: of no host yet */
    uint64_t incarnation, wants_revision, seq, erasure_seq;
    char erasure_hash[LEDGER_HASH_HEX];
};

void ledger_numbers_from(const struct host *host, struct ledger_numbers *out);
void ledger_numbers_to(const struct ledger_numbers *numbers, struct host *host);
/* The file is refused when it is of another host. ERR_UNSAFE. */
bool ledger_host_check(const char *path, const struct name *stored, const struct name *given, struct err *err);

/* The text of one record (cert/cert.h says its form), with what the chain needs. */
struct ledger_record {
    uint64_t seq;
    char prev[LEDGER_HASH_HEX], hash[LEDGER_HASH_HEX];
    const char *text; /* borrowed */
};

/* ERR_INPUT: it is no record, or not of number `seq`. */
bool ledger_record_read(const char *text, uint64_t seq, struct ledger_record *out, struct err *err);
void ledger_record_hash(const char *text, char out[LEDGER_HASH_HEX]);
/* The record's place is behind `last` (seq 0: there is none). ERR_CONFLICT. */
bool ledger_record_check(const struct ledger_record *last, const struct ledger_record *fresh, struct err *err);
/* Numbers never go down, and the newest erasure is the newest record. ERR_CONFLICT. */
bool ledger_numbers_check(const struct ledger_numbers *old, const struct ledger_numbers *fresh,
                          const struct ledger_record *last, struct err *err);
bool ledger_record_same(const struct ledger_record *a, const struct ledger_record *b);

#endif
