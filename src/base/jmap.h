/* jmap.h - plain structs to JSON and back, by one const table a struct.
 *   - Reading is strict: wrong type, number too large, text too long, unknown word of an enum, too many elements,
 *     a missing field that is not optional: an error that names the field's path. `out` is changed only on success.
 *   - JMAP_STRICT refuses unknown fields (what people send; names the nearest known one); JMAP_LENIENT passes over
 *     them (what another version of our own programs sends).
 *   - Writing never fails: out of memory ends the process. The caller owns the value (json_decref).
 *   - An optional field that holds only zero bytes is not written; not given, it is read as zero bytes. */
#ifndef NSMITH_JMAP_H
#define NSMITH_JMAP_H

#include "base/err.h"

#include <stddef.h>

struct json_t; /* of jansson */

enum jkind {
    J_STR,  /* char[size], ended */
    J_U64,  /* written as a JSON integer; above 2^63-1 refused */
    J_U32,
    J_U16,
    J_U8,
    J_BOOL,
    J_ENUM, /* an int-sized enum; the words are names[0..names_count-1] */
    J_HEX,  /* uint8_t[size] as lower-case hex */
    J_OBJ,  /* a nested struct, map */
    J_LIST, /* an array of structs, map; at most max; the count is a size_t at count_offset */
};

struct jmap;

struct jfield {
    const char *name;
    enum jkind kind;
    bool optional;
    size_t offset;
    size_t size; /* of the field in bytes; for J_LIST of the whole array */
    const struct jmap *map;
    const char *const *names;
    size_t names_count;
    size_t count_offset;
    size_t max;
};

struct jmap {
    const char *name; /* of the struct, for messages */
    size_t size;
    const struct jfield *fields;
    size_t field_count;
};

enum jmap_mode { JMAP_STRICT, JMAP_LENIENT };

struct json_t *jmap_write(const struct jmap *map, const void *from);
bool jmap_read(const struct jmap *map, const struct json_t *json, enum jmap_mode mode, void *out, struct err *err);
/* The same from and to text; jmap_text() returns text from malloc(), compact, keys in the table's order. */
char *jmap_text(const struct jmap *map, const void *from);
bool jmap_parse(const struct jmap *map, const char *text, size_t len, enum jmap_mode mode, void *out, struct err *err);

/* For the tables, one line a field; .optional = true may follow inside the braces:
 *   static const struct jfield fields[] = {{JID(struct x, id)}, {JU64(struct x, size_bytes), .optional = true}};
 *   const struct jmap x_jmap = JMAP(struct x, fields);
 * The JSON name is the member's name. JID and JNSID are for the one-member structs of ids.h. */
#define JSIZE(type, member) sizeof(((type *)0)->member)
#define JFIELD(type, member, k) .name = #member, .kind = k, .offset = offsetof(type, member), .size = JSIZE(type, member)
#define JSTR(type, member) JFIELD(type, member, J_STR)
#define JID(type, member) JFIELD(type, member, J_STR)
#define JNSID(type, member) JFIELD(type, member, J_U32)
#define JU64(type, member) JFIELD(type, member, J_U64)
#define JU32(type, member) JFIELD(type, member, J_U32)
#define JU16(type, member) JFIELD(type, member, J_U16)
#define JU8(type, member) JFIELD(type, member, J_U8)
#define JBOOL(type, member) JFIELD(type, member, J_BOOL)
#define JHEX(type, member) JFIELD(type, member, J_HEX)
#define JENUM(type, member, words)                                                                                     \
    JFIELD(type, member, J_ENUM), .names = words, .names_count = sizeof(words) / sizeof((words)[0])
#define JOBJ(type, member, m) JFIELD(type, member, J_OBJ), .map = &(m)
#define JLIST(type, member, count, m)                                                                                  \
    JFIELD(type, member, J_LIST), .map = &(m), .count_offset = offsetof(type, count),                                  \
                                  .max = JSIZE(type, member) / JSIZE(type, member[0])
#define JMAP(type, table)                                                                                              \
    {                                                                                                                  \
        .name = #type, .size = sizeof(type), .fields = table, .field_count = sizeof(table) / sizeof((table)[0])        \
    }

#endif
