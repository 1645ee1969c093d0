/* ini.h - configuration files, as systemd writes them, into a plain struct by one const table.
 *
 *   # a comment; so is a line that begins with ';'
 *   [section]
 *   key = value
 *
 *   - Strict: a line that is none of these, an unknown section or key, a key given twice in one file, a wrong or empty
 *     value, a value out of its bounds: an error that names file, line and, for unknown words, the nearest known one.
 *   - A value is the rest of the line without the spaces around it. There are no quotes, no continued lines and no
 *     comments behind a value: what could be meant as one is refused, never taken literally.
 *   - `out` holds the defaults before and changes only on success; keys that are not given stay as they are.
 *
 * Files (systemd.unit(5), "drop-ins"): the main file is ROOT/NAME.conf of the *last* root that has one. Over it go the
 * drop-ins ROOT/NAME.conf.d/(anything).conf of all roots, in the order of their file names; of drop-ins with one name
 * only that of the last root counts, so that an empty file or a link to /dev/null takes an earlier one out. */
#ifndef NSMITH_INI_H
#define NSMITH_INI_H

#include "base/err.h"

#include <stddef.h>

enum { INI_FILE_MAX = 64 << 10, INI_VALUE_MAX = 512, INI_KEYS_MAX = 64, INI_DROPINS_MAX = 64 };

enum ini_kind {
    INI_TEXT, /* char[size], ended; min to max characters */
    INI_PATH, /* char[size], ended; begins with '/' */
    INI_U32,  /* uint32_t, min to max */
    INI_SIZE, /* uint64_t bytes, "64GiB" (text.h), min to max */
    INI_BOOL, /* bool: yes, no, true, false, on, off, 1, 0 */
    INI_WORD, /* an int-sized enum; the words are words[0..word_count-1] */
};

struct ini_key {
    const char *section, *key;
    enum ini_kind kind;
    size_t offset, size; /* of the member */
    uint64_t min, max;   /* max 0: whatever the member holds */
    const char *const *words;
    size_t word_count;
};

struct ini_map {
    size_t size; /* of the struct */
    const struct ini_key *keys;
    size_t key_count;
};

/* For the tables, one line a key; .min = and .max = may follow inside the braces:
 *   static const struct ini_key keys[] = {{INI(INI_U32, "log", "keep_days", struct x, keep_days), .max = 365}};
 *   const struct ini_map x_ini = INI_MAP(struct x, keys); */
#define INI(k, section_name, key_name, type, member)                                       \
    .section = section_name, .key = key_name, .kind = k, .offset = offsetof(type, member), \
    .size = sizeof(((type *)0)->member)
#define INI_WORDS(section_name, key_name, type, member, list) \
    INI(INI_WORD, section_name, key_name, type, member), .words = list, .word_count = sizeof(list) / sizeof((list)[0])
#define INI_MAP(type, list)                                                               \
    {                                                                                     \
        .size = sizeof(type), .keys = list, .key_count = sizeof(list) / sizeof((list)[0]) \
    }

/* Pure. `name` is what errors call the text. */
bool ini_parse(const struct ini_map *map, const char *name, const char *text, size_t len, void *out, struct err *err);

/* Reads the files; nothing found is no error. */
bool ini_load(const struct ini_map *map, const char *const *roots, size_t root_count, const char *name, void *out,
              struct err *err);
/* Reads this one file, which must be there (option --config). */
bool ini_load_file(const struct ini_map *map, const char *path, void *out, struct err *err);

#endif
