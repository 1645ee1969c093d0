/* store_rows.h - what every back end of store_port.h must know of the rows: their JSON form, the columns that are
 * searched and constrained, and the rules that a row keeps by itself or against the row that it replaces.
 *   - store_sqlite.c states the same rules in its schema once more, so that a bug here, or a person with a database
 *     shell, cannot break them; store_mem.c has only these. The shared test suite holds the two together. */
#ifndef NSMITH_STORE_ROWS_H
#define NSMITH_STORE_ROWS_H

#include "base/jmap.h"
#include "store/store_port.h"

enum column_kind {
    COLUMN_TEXT,
    COLUMN_TEXT_OR_NULL, /* the empty text is stored as NULL */
    COLUMN_U64,
    COLUMN_U32,
    COLUMN_WORD, /* an enum, stored as its word */
};

struct store_column {
    const char *name;
    enum column_kind kind;
    size_t offset; /* in the row */
    const char *const *words;
    size_t word_count;
};

enum { STORE_COLUMNS_MAX = 8 };

struct store_kind_info {
    const char *word;  /* of STORE_KINDS, for messages */
    const char *table; /* in SQL */
    size_t size;
    size_t key_offset, key_size;
    const struct jmap *jmap;
    const struct store_column *columns;
    size_t column_count;
};

const struct store_kind_info *store_kind_info(enum store_kind kind);

/* NULL: the kind has no such column. */
const struct store_column *store_column_find(enum store_kind kind, const char *name);

/* Rules of one row: it has a key, its words and numbers are in range. ERR_INPUT. */
bool store_row_check(enum store_kind kind, const void *row, struct err *err);

/* Rules between a row and the one that it replaces: fencing numbers never go down, records never change.
 * ERR_CONFLICT. */
bool store_row_change_check(enum store_kind kind, const void *old, const void *fresh, struct err *err);

/* ERR_CONFLICT when a row of this kind must stay. */
bool store_row_del_check(enum store_kind kind, const void *old, struct err *err);

/* A filter names only columns that the kind has; anything else is a bug of the caller. */
void store_filter_must_fit(enum store_kind kind, const struct store_filter *filter);
bool store_row_matches(enum store_kind kind, const void *row, const struct store_filter *filter);
/* The column by which the fewest rows are found, and what it must be; the rest of a filter is compared row by row.
 * NULL: there is none, all rows are to be looked at. */
const char *store_filter_column(const struct store_filter *filter, const char **value_out);

/* Zeroes what is never stored. */
void store_row_tidy(enum store_kind kind, void *row);

#endif
