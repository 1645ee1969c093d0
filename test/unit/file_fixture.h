/* file_fixture.h - what the tests of the store's file share: a new folder, rows by number. */
#ifndef NSMITH_FILE_FIXTURE_H
#define NSMITH_FILE_FIXTURE_H

#include "store/store_port.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum { FILE_ENDS = 5 };

struct folder {
    char path[64], db[96];
};

/* What may be beside the file: "", "-wal", "-shm", ".lock", ".copy". */
extern const char *const file_ends[FILE_ENDS];

int folder_setup(void **state);
int folder_teardown(void **state);
void ok(bool done, const struct err *err);
bool row_put(struct store *store, unsigned i, struct err *err);
bool row_is_there(struct store *store, unsigned i);
void store_open(const char *path, struct store *store);

#endif
