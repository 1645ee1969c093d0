/* sqlite_check.h - is an SQLite file what it was when it was last closed? Reads only; each finds what the others miss.
 */
#ifndef NSMITH_SQLITE_CHECK_H
#define NSMITH_SQLITE_CHECK_H

#include "store/sqlite_util.h"

/* The structure of the pages, CHECKs, references, and the checksum of each row of each table that has a `sum`. */
bool sqlite_pages_check(struct sqlite_file *file, struct err *err);

/* Each table, index and trigger of the schema is there, word for word: without its triggers the file would look whole
 * and promise nothing. What others added (an index, say) is let be. After the migrations. */
bool sqlite_schema_check(struct sqlite_file *file, struct err *err);

#endif
