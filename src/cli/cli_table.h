/* cli_table.h - lists and single objects of the API as aligned text (libsmartcols, the look of lsblk; no colours).
 *   - What an object does not have is "-".
 *   - --output chooses columns by name, --no-headings and --bytes do as they say. An unknown column: ERR_INPUT. */
#ifndef NSMITH_CLI_TABLE_H
#define NSMITH_CLI_TABLE_H

#include "cli/cli.h"

enum { CELL_MAX = 768 };

enum column_kind {
    COL_TEXT,
    COL_NUMBER,
    COL_GIB,     /* bytes: "465.0 GiB" */
    COL_GB,      /* bytes: "2.0 TB" */
    COL_PERCENT, /* a number of percent */
    COL_TIME,    /* Unix milliseconds */
    COL_YES,     /* true: "yes" */
    COL_LIST,    /* texts of an array, with commas */
    COL_OWN,     /* by `own` */
};

struct column {
    const char *name;  /* "SIZE" */
    const char *field; /* "size_bytes" */
    enum column_kind kind;
    bool more; /* shown only when it is asked for, and in `show` */
    void (*own)(const json_t *row, char cell[CELL_MAX]);
};

struct columns {
    const struct column *at;
    size_t count;
};

/* The items of {"items": [...]}: a table on stdout, or the JSON with --json. */
bool cli_list(const struct cli *cli, const struct columns *columns, const json_t *list, struct err *err);
/* One object: "NAME  value" lines, or the JSON with --json. */
bool cli_show(const struct cli *cli, const struct columns *columns, const json_t *object, struct err *err);
/* Just the table, of an array; for the inside of a page. */
bool cli_table(const struct cli *cli, const struct columns *columns, const json_t *array, struct err *err);
/* One cell as text. Pure. */
void cli_cell(const struct column *column, const json_t *row, bool bytes, char out[CELL_MAX]);

#endif
