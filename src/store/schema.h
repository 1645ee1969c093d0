/* schema.h - the numbered files src/store/schema/NNN_what.sql, embedded by tools/embed when the program is built.
 *   - File N brings a database from version N-1 to N. A file that has landed is never edited: a new one follows. */
#ifndef NSMITH_SCHEMA_H
#define NSMITH_SCHEMA_H

struct schema_file {
    const char *name; /* NULL: the end */
    const char *sql;
};

extern const struct schema_file schema_server[];
extern const struct schema_file schema_server_pg[]; /* the server's in PostgreSQL's words */
extern const struct schema_file schema_ledger[];

#endif
