#include "base/ini.h"

#include "base/must.h"
#include "base/text.h"

#include <string.h>

/* One pass over a text. It is made twice: the first only checks (out is NULL), so that nothing is written by halves. */
struct parse {
    const struct ini_map *map;
    const char *name;
    void *out;
    const char *section; /* of the table; NULL before the first */
    uint32_t line;
    uint32_t seen_line[INI_KEYS_MAX]; /* where the key was given, 0: not yet */
};

/* A part of the text; not ended by a zero byte. */
struct span {
    const char *at;
    size_t len;
};

static bool fails(const struct parse *parse, struct err *err)
{
    return err_wrap(err, "cannot read '%s' line %u", parse->name, parse->line);
}

/* ---- spans --------------------------------------------------------------------------------------------------- */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static struct span trim(struct span span)
{
    while (span.len > 0 && is_blank(span.at[0])) {
        span.at++;
        span.len--;
    }
    while (span.len > 0 && is_blank(span.at[span.len - 1]))
        span.len--;
    return span;
}

static bool span_is(struct span span, const char *text)
{
    return strlen(text) == span.len && memcmp(text, span.at, span.len) == 0;
}

/* For messages and for comparing: what people can read of it. */
static const char *span_word(struct span span, char to[49])
{
    const size_t len = span.len < 48 ? span.len : 48;
    for (size_t i = 0; i < len; i++)
        to[i] = span.at[i] >= ' ' && span.at[i] <= '~' ? span.at[i] : '?';
    to[len] = '\0';
    return to;
}

static struct span take_line(struct span *rest)
{
    const char *end = memchr(rest->at, '\n', rest->len);
    struct span line = {rest->at, end == NULL ? rest->len : (size_t)(end - rest->at)};
    const size_t used = line.len + (end != NULL);
    rest->at += used;
    rest->len -= used;
    return line;
}

/* ---- values -------------------------------------------------------------------------------------------------- */

static bool refuse_range(const struct ini_key *key, uint64_t most, struct err *err)
{
    char low[TEXT_SIZE_MAX], high[TEXT_SIZE_MAX];
    if (key->kind == INI_SIZE)
        return err_set(err, ERR_INPUT, "must be a size from %s to %s", text_gib(low, key->min), text_gib(high, most));
    return err_set(err, ERR_INPUT, "must be a whole number from %ju to %ju", (uintmax_t)key->min, (uintmax_t)most);
}

static bool read_number(const struct ini_key *key, const char *value, void *to, struct err *err)
{
    const uint64_t type_max = key->kind == INI_U32 ? UINT32_MAX : UINT64_MAX;
    const uint64_t most = key->max == 0 ? type_max : key->max;
    uint64_t number;
    const bool ok = key->kind == INI_U32 ? text_u64(value, &number) : text_size(value, &number);
    if (!ok || number < key->min || number > most) {
        refuse_range(key, most, err);
        return key->kind == INI_U32 || ok ? false : err_hint(err, "write sizes as 500G or 64GiB");
    }
    const uint32_t narrow = (uint32_t)number;
    if (to != NULL)
        memcpy(to, key->kind == INI_U32 ? (const void *)&narrow : (const void *)&number, key->size);
    return true;
}

static bool read_bool(const char *value, void *to, struct err *err)
{
    static const struct {
        const char *word;
        bool means;
    } words[] = {{"yes", true}, {"no", false},  {"true", true}, {"false", false},
                 {"on", true},  {"off", false}, {"1", true},    {"0", false}};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (strcmp(words[i].word, value) == 0) {
            if (to != NULL)
                memcpy(to, &words[i].means, sizeof(bool));
            return true;
        }
    return err_set(err, ERR_INPUT, "must be 'yes' or 'no'");
}

static bool read_word(const struct ini_key *key, const char *value, void *to, struct err *err)
{
    size_t best = 0;
    must(key->size == sizeof(int) && key->word_count > 0);
    for (size_t i = 0; i < key->word_count; i++) {
        const int number = (int)i;
        if (strcmp(key->words[i], value) == 0) {
            if (to != NULL)
                memcpy(to, &number, sizeof(number));
            return true;
        }
        if (text_distance(key->words[i], value) < text_distance(key->words[best], value))
            best = i;
    }
    err_set(err, ERR_INPUT, "'%.48s' is not known", value);
    return err_hint(err, "the nearest known word is '%s'", key->words[best]);
}

static bool read_text(const struct ini_key *key, const char *value, char *to, struct err *err)
{
    const size_t most = key->max != 0 && key->max < key->size - 1 ? (size_t)key->max : key->size - 1;
    const size_t len = strlen(value);
    if (key->kind == INI_PATH && value[0] != '/')
        return err_set(err, ERR_INPUT, "must be a path that begins with '/'");
    if (len > most)
        return err_set(err, ERR_INPUT, "is longer than %zu characters", most);
    if (len < key->min)
        return err_set(err, ERR_INPUT, "is shorter than %ju characters", (uintmax_t)key->min);
    if (to != NULL)
        must(text_copy(to, key->size, value));
    return true;
}

static bool read_value(const struct ini_key *key, const char *value, char *to, struct err *err)
{
    switch (key->kind) {
    case INI_TEXT:
    case INI_PATH:
        return read_text(key, value, to, err);
    case INI_U32:
        must(key->size == sizeof(uint32_t));
        return read_number(key, value, to, err);
    case INI_SIZE:
        must(key->size == sizeof(uint64_t));
        return read_number(key, value, to, err);
    case INI_BOOL:
        must(key->size == sizeof(bool));
        return read_bool(value, to, err);
    case INI_WORD:
        return read_word(key, value, to, err);
    }
    must(false);
    return false;
}

/* Copies the value; refuses what systemd or a shell would read in another way than it stands there. */
static bool copy_value(struct span span, char to[INI_VALUE_MAX], struct err *err)
{
    if (span.len == 0)
        return err_set(err, ERR_INPUT, "has no value");
    if (span.len >= INI_VALUE_MAX)
        return err_set(err, ERR_INPUT, "is longer than %d characters", INI_VALUE_MAX - 1);
    for (size_t i = 0; i < span.len; i++)
        if ((span.at[i] >= 0 && span.at[i] < ' ') || span.at[i] == 0x7f)
            return err_set(err, ERR_INPUT, "holds a control character");
    if (span.at[0] == '"' || span.at[0] == '\'')
        return err_set(err, ERR_INPUT, "must be written without quotes");
    if (span.at[span.len - 1] == '\\')
        return err_set(err, ERR_INPUT, "cannot be continued on the next line");
    for (size_t i = 1; i < span.len; i++)
        if ((span.at[i] == '#' || span.at[i] == ';') && is_blank(span.at[i - 1]))
            return err_set(err, ERR_INPUT, "has a comment behind it; comments have lines of their own");
    memcpy(to, span.at, span.len);
    to[span.len] = '\0';
    return true;
}

/* ---- sections and keys --------------------------------------------------------------------------------------- */

static bool refuse_section(const struct parse *parse, struct span name, struct err *err)
{
    char word[49];
    const char *best = parse->map->keys[0].section;
    span_word(name, word);
    for (size_t i = 1; i < parse->map->key_count; i++)
        if (text_distance(parse->map->keys[i].section, word) < text_distance(best, word))
            best = parse->map->keys[i].section;
    err_set(err, ERR_INPUT, "unknown section [%s]", word);
    fails(parse, err);
    return err_hint(err, "the nearest known section is [%s]", best);
}

/* A key that is right but stands in the wrong section is nearer than any misspelt one. */
static bool refuse_key(const struct parse *parse, struct span name, struct err *err)
{
    char word[49];
    const struct ini_key *best = NULL;
    unsigned best_distance = 0;
    span_word(name, word);
    for (size_t i = 0; i < parse->map->key_count; i++) {
        const struct ini_key *key = &parse->map->keys[i];
        const bool here = strcmp(key->section, parse->section) == 0;
        const unsigned distance = text_distance(key->key, word);
        if ((here || distance == 0) && (best == NULL || distance < best_distance)) {
            best = key;
            best_distance = distance;
        }
    }
    must(best != NULL);
    err_set(err, ERR_INPUT, "unknown key '%s' in section [%s]", word, parse->section);
    fails(parse, err);
    return err_hint(err, "the nearest known key is '%s' in section [%s]", best->key, best->section);
}

static bool parse_section(struct parse *parse, struct span line, struct err *err)
{
    if (line.len < 2 || line.at[line.len - 1] != ']') {
        err_set(err, ERR_INPUT, "a section must end in ']'");
        return fails(parse, err);
    }
    const struct span name = {line.at + 1, line.len - 2};
    for (size_t i = 0; i < parse->map->key_count; i++)
        if (span_is(name, parse->map->keys[i].section)) {
            parse->section = parse->map->keys[i].section;
            return true;
        }
    return refuse_section(parse, name, err);
}

static bool parse_value(struct parse *parse, size_t index, struct span text, struct err *err)
{
    const struct ini_key *key = &parse->map->keys[index];
    char value[INI_VALUE_MAX];
    char *to = parse->out == NULL ? NULL : (char *)parse->out + key->offset;
    if (!copy_value(text, value, err) || !read_value(key, value, to, err)) {
        err_wrap(err, "'%s'", key->key);
        return fails(parse, err);
    }
    if (parse->seen_line[index] != 0) {
        err_set(err, ERR_INPUT, "'%s' is given a second time, first in line %u", key->key, parse->seen_line[index]);
        fails(parse, err);
        return err_hint(err, "remove one of the two lines");
    }
    parse->seen_line[index] = parse->line;
    return true;
}

static bool parse_key(struct parse *parse, struct span line, struct err *err)
{
    const char *equals = memchr(line.at, '=', line.len);
    if (equals == NULL) {
        err_set(err, ERR_INPUT, "it is neither 'key = value' nor [section] nor a comment");
        return fails(parse, err);
    }
    const size_t key_len = (size_t)(equals - line.at);
    const struct span name = trim((struct span){line.at, key_len});
    const struct span value = trim((struct span){equals + 1, line.len - key_len - 1});
    if (parse->section == NULL) {
        err_set(err, ERR_INPUT, "a key stands before the first section");
        return fails(parse, err);
    }
    for (size_t i = 0; i < parse->map->key_count; i++)
        if (strcmp(parse->map->keys[i].section, parse->section) == 0 && span_is(name, parse->map->keys[i].key))
            return parse_value(parse, i, value, err);
    return refuse_key(parse, name, err);
}

static bool parse_all(struct parse *parse, struct span rest, struct err *err)
{
    while (rest.len > 0) {
        const struct span line = trim(take_line(&rest));
        parse->line++;
        if (line.len == 0 || line.at[0] == '#' || line.at[0] == ';')
            continue;
        if (!(line.at[0] == '[' ? parse_section(parse, line, err) : parse_key(parse, line, err)))
            return false;
    }
    return true;
}

bool ini_parse(const struct ini_map *map, const char *name, const char *text, size_t len, void *out, struct err *err)
{
    must(map->key_count > 0 && map->key_count <= INI_KEYS_MAX);
    struct parse check = {.map = map, .name = name};
    struct parse store = {.map = map, .name = name, .out = out};
    if (len > INI_FILE_MAX)
        return err_set(err, ERR_INPUT, "cannot read '%s': it is larger than %d bytes", name, INI_FILE_MAX);
    if (!parse_all(&check, (struct span){text, len}, err))
        return false;
    must(parse_all(&store, (struct span){text, len}, err));
    return true;
}
