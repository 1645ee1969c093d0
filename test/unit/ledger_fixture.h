/* ledger_fixture.h - what the tests of the ledger share: full rows, both back ends, short words. */
#ifndef NSMITH_LEDGER_FIXTURE_H
#define NSMITH_LEDGER_FIXTURE_H

#include "cert/cert.h"
#include "store/ledger.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* All that is durable is set. */
extern const struct host_drive full_drive;
extern const struct slice full_slice;
extern const struct host_vm full_vm;

struct fixture {
    bool is_file;
    char folder[64], path[96];
    struct ledger ledger;
    struct host *host; /* what the agent would hold */
    struct cert_key key;
    void (*const *check)(struct fixture *f); /* the initial state of the test */
};

struct seqs {
    char text[128];
    size_t count, most;
    bool hashes_hold;
    char hash[CERT_HASH_HEX]; /* of the last */
};

/* cmocka's; the second for a new file. */
int setup_mem(void **state);
int setup_file(void **state);
int teardown(void **state);

/* These fail the test when the ledger does otherwise. */
void not_durable(struct host *host);
struct host *host_new(void);
struct host *host_full(void);
void ok(bool done, const struct err *err);
void f_open(struct fixture *f);
void reopen(struct fixture *f);
void save(struct fixture *f, const char *record);
void save_refused(struct fixture *f, const char *record, enum err_kind kind);
struct host *load(struct fixture *f);
void same(const void *got, const void *want, size_t size, const char *what);
void record_make(struct fixture *f, char text[CERT_TEXT_MAX]);
void record_add(struct fixture *f);
bool seqs_add(void *ctx, uint64_t seq, const char *text);
void records_are(struct fixture *f, uint64_t from, size_t max, size_t stop, const char *want);
void mark_all(struct host *host);
void start_full(struct fixture *f);

#endif
