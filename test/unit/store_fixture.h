/* store_fixture.h - what the tests of the store share: one full row of each kind, the back ends, short words.
 * Without NSMITH_TEST_PG: memory and SQLite. With it, a connection string of an empty database that may be emptied:
 * PostgreSQL and nothing else (test/unit/with-postgres sets it). */
#ifndef NSMITH_STORE_FIXTURE_H
#define NSMITH_STORE_FIXTURE_H

#include "store/store_port.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Each with every member set, so that one that is lost on the way shows. */
extern const struct row_meta full_meta;
extern const struct row_host full_host;
extern const struct row_drive full_drive;
extern const struct row_slice full_slice;
extern const struct slice_class full_class;
extern const struct flavor full_flavor;
extern const struct row_claim full_claim;
extern const struct row_vm full_vm;
extern const struct row_erasure full_erasure;
extern const struct row_request full_request;
extern const struct row_firmware full_firmware;
extern const void *const full_rows[STORE_KIND_COUNT];

struct fixture {
    char folder[64], path[96];
    enum store_back { BACK_MEM, BACK_SQLITE, BACK_PG } back;
    struct store store;
    void (*const *check)(struct fixture *f); /* the promise that this test is about; the initial state of the test */
};

struct keys {
    enum store_kind kind;
    char text[256];
    size_t count, most;
};

/* cmocka's. A new, empty store. */
int setup_mem(void **state);
int setup_file(void **state);
int setup_pg(void **state);
int teardown(void **state);

struct back_end {
    const char *name;
    int (*setup)(void **state);
};
/* Those that this run is about; ends with an empty name. */
const struct back_end *back_ends(void);
/* SQL for the database of this run, past the store. */
void pg_exec(const char *sql);
const char *pg_conninfo(void); /* NULL: this run is about the others */

/* These fail the test when the store does otherwise. */
void ok(bool done, const struct err *err);
void refused(bool done, const struct err *err, enum err_kind kind);
void f_open(struct fixture *f);
void begin(struct fixture *f);
void commit(struct fixture *f);
void rollback(struct fixture *f);
void put(struct fixture *f, enum store_kind kind, const void *row);
void put_refused(struct fixture *f, enum store_kind kind, const void *row, enum err_kind why);
void del(struct fixture *f, enum store_kind kind, const char *key);
bool get(struct fixture *f, enum store_kind kind, const char *key, void *row);
void put_meta(struct fixture *f, const char *key, const char *value);
void meta_is(struct fixture *f, const char *key, const char *want);
bool keys_add(void *ctx, const void *row);
void each_is(struct fixture *f, enum store_kind kind, const struct store_filter *filter, const char *want);
void check_same(struct fixture *f, enum store_kind kind);

#endif
