#include "base/jmap.h"

#include "base/must.h"
#include "base/text.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static const char *at(const void *base, size_t offset)
{
    return (const char *)base + offset;
}

static char *at_mut(void *base, size_t offset)
{
    return (char *)base + offset;
}

static size_t load_size(const void *base, size_t offset)
{
    size_t value;
    memcpy(&value, at(base, offset), sizeof(value));
    return value;
}

static bool all_zero(const char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (bytes[i] != 0)
            return false;
    return true;
}

/* ---- writing ------------------------------------------------------------------------------------------------- */

static json_t *checked(json_t *json)
{
    must(json != NULL); /* only out of memory, and text that is not UTF-8: see text_value() */
    return json;
}

/* Texts of ours are ASCII or were JSON before; what else comes along (a path, a label) has its bytes replaced. */
static json_t *text_value(const char *text)
{
    json_t *json = json_string(text);
    if (json != NULL)
        return json;
    char *copy = strdup(text);
    must(copy != NULL);
    for (char *c = copy; *c != '\0'; c++)
        if ((unsigned char)*c >= 0x80)
            *c = '?';
    json = json_string(copy);
    free(copy);
    return checked(json);
}

static uint64_t load_number(const struct jfield *field, const char *from)
{
    uint64_t u64 = 0;
    uint32_t u32 = 0;
    uint16_t u16 = 0;
    uint8_t u8 = 0;
    switch (field->size) {
    case 8:
        memcpy(&u64, from, 8);
        return u64;
    case 4:
        memcpy(&u32, from, 4);
        return u32;
    case 2:
        memcpy(&u16, from, 2);
        return u16;
    default:
        must(field->size == 1);
        memcpy(&u8, from, 1);
        return u8;
    }
}

static json_t *list_write(const struct jfield *field, const void *from)
{
    json_t *list = checked(json_array());
    size_t count = load_size(from, field->count_offset);
    must(count <= field->max);
    for (size_t i = 0; i < count; i++)
        must(json_array_append_new(list, jmap_write(field->map, at(from, field->offset + i * field->map->size))) == 0);
    return list;
}

static json_t *field_write(const struct jfield *field, const void *from)
{
    const char *value = at(from, field->offset);
    switch (field->kind) {
    case J_STR:
        must(memchr(value, '\0', field->size) != NULL);
        return text_value(value);
    case J_U64:
    case J_U32:
    case J_U16:
    case J_U8: {
        uint64_t number = load_number(field, value);
        must(number <= INT64_MAX);
        return checked(json_integer((json_int_t)number));
    }
    case J_BOOL:
        return checked(json_boolean(*value != 0));
    case J_ENUM: {
        uint64_t number = load_number(field, value);
        must(number < field->names_count);
        return checked(json_string(field->names[number]));
    }
    case J_HEX: {
        char hex[2 * 64 + 1];
        must(field->size <= 64);
        text_hex(hex, (const uint8_t *)value, field->size);
        return checked(json_string(hex));
    }
    case J_OBJ:
        return jmap_write(field->map, value);
    case J_LIST:
        return list_write(field, from);
    }
    must(false);
    return NULL;
}

static bool field_is_empty(const struct jfield *field, const void *from)
{
    if (field->kind == J_LIST)
        return load_size(from, field->count_offset) == 0;
    if (field->kind == J_STR)
        return *at(from, field->offset) == '\0';
    return all_zero(at(from, field->offset), field->size);
}

json_t *jmap_write(const struct jmap *map, const void *from)
{
    json_t *json = checked(json_object());
    for (size_t i = 0; i < map->field_count; i++) {
        const struct jfield *field = &map->fields[i];
        if (field->optional && field_is_empty(field, from))
            continue;
        must(json_object_set_new(json, field->name, field_write(field, from)) == 0);
    }
    return json;
}

char *jmap_text(const struct jmap *map, const void *from)
{
    json_t *json = jmap_write(map, from);
    char *text = json_dumps(json, JSON_COMPACT);
    must(text != NULL);
    json_decref(json);
    return text;
}

/* ---- reading ------------------------------------------------------------------------------------------------- */

static bool wrong_type(const char *wanted, struct err *err)
{
    return err_set(err, ERR_INPUT, "must be %s", wanted);
}

static bool number_read(const struct jfield *field, const json_t *json, char *to, struct err *err)
{
    if (!json_is_integer(json))
        return wrong_type("a whole number", err);
    json_int_t value = json_integer_value(json);
    uint64_t most = field->size == 8 ? INT64_MAX : (1ull << (8 * field->size)) - 1;
    if (value < 0 || (uint64_t)value > most)
        return err_set(err, ERR_INPUT, "must be from 0 to %ju", (uintmax_t)most);
    /* Little-endian hosts only: the low bytes come first. Checked by the static assert below. */
    uint64_t wide = (uint64_t)value;
    memcpy(to, &wide, field->size);
    return true;
}
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "number_read stores the low bytes first");

static bool text_read(const struct jfield *field, const json_t *json, char *to, struct err *err)
{
    if (!json_is_string(json))
        return wrong_type("a text", err);
    if (strlen(json_string_value(json)) != json_string_length(json))
        return err_set(err, ERR_INPUT, "holds a zero byte");
    if (!text_copy(to, field->size, json_string_value(json)))
        return err_set(err, ERR_INPUT, "is longer than %zu characters", field->size - 1);
    return true;
}

static bool enum_read(const struct jfield *field, const json_t *json, char *to, struct err *err)
{
    if (!json_is_string(json))
        return wrong_type("a text", err);
    const char *word = json_string_value(json);
    size_t best = 0;
    for (size_t i = 0; i < field->names_count; i++) {
        if (strcmp(field->names[i], word) == 0) {
            uint64_t wide = i;
            memcpy(to, &wide, field->size);
            return true;
        }
        if (text_distance(field->names[i], word) < text_distance(field->names[best], word))
            best = i;
    }
    return err_set(err, ERR_INPUT, "'%.40s' is not known; the nearest known word is '%s'", word, field->names[best]);
}

static bool value_read(const struct jfield *field, const json_t *json, enum jmap_mode mode, void *out, struct err *err);

static bool list_read(const struct jfield *field, const json_t *json, enum jmap_mode mode, void *out, struct err *err)
{
    if (!json_is_array(json))
        return wrong_type("a list", err);
    size_t count = json_array_size(json);
    if (count > field->max)
        return err_set(err, ERR_INPUT, "has %zu elements, at most %zu are allowed", count, field->max);
    for (size_t i = 0; i < count; i++)
        if (!jmap_read(field->map, json_array_get(json, i), mode, at_mut(out, field->offset + i * field->map->size),
                       err))
            return err_wrap(err, "element %zu", i);
    memcpy(at_mut(out, field->count_offset), &count, sizeof(count));
    return true;
}

static bool value_read(const struct jfield *field, const json_t *json, enum jmap_mode mode, void *out, struct err *err)
{
    char *to = at_mut(out, field->offset);
    switch (field->kind) {
    case J_STR:
        return text_read(field, json, to, err);
    case J_U64:
    case J_U32:
    case J_U16:
    case J_U8:
        return number_read(field, json, to, err);
    case J_BOOL:
        if (!json_is_boolean(json))
            return wrong_type("true or false", err);
        *to = json_is_true(json);
        return true;
    case J_ENUM:
        return enum_read(field, json, to, err);
    case J_HEX:
        if (!json_is_string(json) || !text_unhex((uint8_t *)to, field->size, json_string_value(json)))
            return err_set(err, ERR_INPUT, "must be %zu hexadecimal digits", 2 * field->size);
        return true;
    case J_OBJ:
        return jmap_read(field->map, json, mode, to, err);
    case J_LIST:
        return list_read(field, json, mode, out, err);
    }
    must(false);
    return false;
}

static const struct jfield *field_find(const struct jmap *map, const char *name)
{
    for (size_t i = 0; i < map->field_count; i++)
        if (strcmp(map->fields[i].name, name) == 0)
            return &map->fields[i];
    return NULL;
}

static bool refuse_unknown(const struct jmap *map, const char *name, struct err *err)
{
    const char *best = map->fields[0].name;
    for (size_t i = 1; i < map->field_count; i++)
        if (text_distance(map->fields[i].name, name) < text_distance(best, name))
            best = map->fields[i].name;
    err_set(err, ERR_INPUT, "unknown field '%.40s'", name);
    return err_hint(err, "the nearest known field is '%s'", best);
}

static bool fields_read(const struct jmap *map, const json_t *json, enum jmap_mode mode, void *out, struct err *err)
{
    for (size_t i = 0; i < map->field_count; i++) {
        const struct jfield *field = &map->fields[i];
        const json_t *value = json_object_get(json, field->name);
        if (value == NULL || json_is_null(value)) {
            if (!field->optional)
                return err_set(err, ERR_INPUT, "'%s' is missing", field->name);
        } else if (!value_read(field, value, mode, out, err)) {
            return err_wrap(err, "'%s'", field->name);
        }
    }
    return true;
}

bool jmap_read(const struct jmap *map, const json_t *json, enum jmap_mode mode, void *out, struct err *err)
{
    if (!json_is_object(json))
        return wrong_type("an object", err);
    if (mode == JMAP_STRICT)
        for (void *i = json_object_iter((json_t *)(uintptr_t)json); i != NULL;
             i = json_object_iter_next((json_t *)(uintptr_t)json, i))
            if (field_find(map, json_object_iter_key(i)) == NULL)
                return refuse_unknown(map, json_object_iter_key(i), err);
    void *fresh = calloc(1, map->size); /* `out` changes only on success */
    must(fresh != NULL);
    bool ok = fields_read(map, json, mode, fresh, err);
    if (ok)
        memcpy(out, fresh, map->size);
    free(fresh);
    return ok;
}

bool jmap_parse(const struct jmap *map, const char *text, size_t len, enum jmap_mode mode, void *out, struct err *err)
{
    json_error_t where;
    json_t *json = json_loadb(text, len, JSON_REJECT_DUPLICATES, &where);
    if (json == NULL)
        return err_set(err, ERR_INPUT, "cannot read JSON at line %d, column %d: %.80s", where.line, where.column,
                       where.text);
    bool ok = jmap_read(map, json, mode, out, err);
    json_decref(json);
    return ok;
}
