#include "base/jmap.h"

#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

/* ---- a struct with every kind of field ----------------------------------------------------------------------------
 */

enum colour { RED, GREEN, BLUE };
static const char *const colour_words[] = {"red", "green", "blue"};

struct part {
    char name[4]; /* 3 characters */
    uint16_t length;
    uint32_t note;
};

enum { PARTS_MAX = 3 };

struct thing {
    char text[6];
    uint64_t u64;
    uint32_t u32;
    uint16_t u16;
    uint8_t u8;
    bool flag;
    enum colour colour;
    uint8_t hex[3];
    struct part part;
    size_t part_count;
    struct part parts[PARTS_MAX];
    char opt_text[6];
    uint64_t opt_number;
    bool opt_flag;
    enum colour opt_colour;
    uint8_t opt_hex[2];
    struct part opt_part;
    size_t opt_count;
    struct part opt_parts[PARTS_MAX];
};

static const struct jfield part_fields[] = {
    {JSTR(struct part, name)},
    {JU16(struct part, length)},
    {JU32(struct part, note), .optional = true},
};
static const struct jmap part_jmap = JMAP(struct part, part_fields);

static const struct jfield thing_fields[] = {
    {JSTR(struct thing, text)},
    {JU64(struct thing, u64)},
    {JU32(struct thing, u32)},
    {JU16(struct thing, u16)},
    {JU8(struct thing, u8)},
    {JBOOL(struct thing, flag)},
    {JENUM(struct thing, colour, colour_words)},
    {JHEX(struct thing, hex)},
    {JOBJ(struct thing, part, part_jmap)},
    {JLIST(struct thing, parts, part_count, part_jmap)},
    {JSTR(struct thing, opt_text), .optional = true},
    {JU64(struct thing, opt_number), .optional = true},
    {JBOOL(struct thing, opt_flag), .optional = true},
    {JENUM(struct thing, opt_colour, colour_words), .optional = true},
    {JHEX(struct thing, opt_hex), .optional = true},
    {JOBJ(struct thing, opt_part, part_jmap), .optional = true},
    {JLIST(struct thing, opt_parts, opt_count, part_jmap), .optional = true},
};
static const struct jmap thing_jmap = JMAP(struct thing, thing_fields);

/* Fills with a pattern, so that what is not written shows. */
static struct thing pattern(void)
{
    struct thing thing;
    memset(&thing, 0x5a, sizeof(thing));
    return thing;
}

static bool parse(const char *text, enum jmap_mode mode, struct thing *out, struct err *err)
{
    return jmap_parse(&thing_jmap, text, strlen(text), mode, out, err);
}

/* ---- there and back --------------------------------------------------------------------------------------------- */

#define LEAST                                                                                                     \
    "{\"text\":\"\",\"u64\":0,\"u32\":0,\"u16\":0,\"u8\":0,\"flag\":false,\"colour\":\"red\",\"hex\":\"000000\"," \
    "\"part\":{\"name\":\"\",\"length\":0},\"parts\":[]}"

#define MOST                                                                                                     \
    "{\"text\":\"abcde\",\"u64\":9223372036854775807,\"u32\":4294967295,\"u16\":65535,\"u8\":255,\"flag\":true," \
    "\"colour\":\"blue\",\"hex\":\"00a1ff\",\"part\":{\"name\":\"xyz\",\"length\":7,\"note\":9},"                \
    "\"parts\":[{\"name\":\"a\",\"length\":1},{\"name\":\"b\",\"length\":2},{\"name\":\"c\",\"length\":3}],"     \
    "\"opt_text\":\"t\",\"opt_number\":1,\"opt_flag\":true,\"opt_colour\":\"green\",\"opt_hex\":\"0001\","       \
    "\"opt_part\":{\"name\":\"\",\"length\":1},\"opt_parts\":[{\"name\":\"z\",\"length\":26}]}"

static void test_there_and_back(void **state)
{
    (void)state;
    static const char *const texts[] = {LEAST, MOST};
    for (size_t i = 0; i < COUNT(texts); i++) {
        struct thing thing = pattern();
        struct err err = {0};
        if (!parse(texts[i], JMAP_STRICT, &thing, &err))
            fail_msg("cannot read %zu: %s", i, err.msg);
        char *text = jmap_text(&thing_jmap, &thing);
        assert_string_equal(text, texts[i]); /* compact, in the table's order, optional zeros left out */
        free(text);
    }
}

static void test_every_field_arrives(void **state)
{
    (void)state;
    struct thing got = pattern();
    struct err err = {0};
    assert_true(parse(MOST, JMAP_STRICT, &got, &err));
    assert_int_equal(err.kind, ERR_NONE);
    assert_string_equal(got.text, "abcde");
    assert_true(got.u64 == INT64_MAX && got.u32 == UINT32_MAX && got.u16 == 65535 && got.u8 == 255 && got.flag);
    assert_int_equal(got.colour, BLUE);
    assert_memory_equal(got.hex, "\x00\xa1\xff", 3);
    assert_string_equal(got.part.name, "xyz");
    assert_int_equal(got.part.length, 7);
    assert_int_equal(got.part.note, 9);
    assert_int_equal(got.part_count, 3);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(got.parts[i].name[0], "abc"[i]);
        assert_int_equal(got.parts[i].length, i + 1);
        assert_int_equal(got.parts[i].note, 0); /* not given: zero */
    }
    assert_string_equal(got.opt_text, "t");
    assert_true(got.opt_number == 1 && got.opt_flag && got.opt_colour == GREEN && got.opt_hex[1] == 1);
    assert_int_equal(got.opt_part.length, 1);
    assert_int_equal(got.opt_count, 1);
    assert_string_equal(got.opt_parts[0].name, "z");
}

static void test_what_is_not_given_is_zero(void **state)
{
    (void)state;
    struct thing got = pattern(), zero;
    struct err err = {0};
    memset(&zero, 0, sizeof(zero));
    assert_true(parse(LEAST, JMAP_STRICT, &got, &err));
    assert_memory_equal(&got, &zero, sizeof(got));
}

static void test_null_is_not_given(void **state)
{
    (void)state;
    struct part got = {.note = 7};
    struct err err = {0};
    static const char with_null[] = "{\"name\":\"a\",\"length\":1,\"note\":null}";
    assert_true(jmap_parse(&part_jmap, with_null, strlen(with_null), JMAP_STRICT, &got, &err));
    assert_int_equal(got.note, 0);
    static const char needed[] = "{\"name\":null,\"length\":1}";
    assert_false(jmap_parse(&part_jmap, needed, strlen(needed), JMAP_STRICT, &got, &err));
    assert_string_equal(err.msg, "'name' is missing");
}

/* ---- what is refused -------------------------------------------------------------------------------------------- */

/* LEAST with one value changed, or with one more. */
static void replaced(char to[1000], const char *field, const char *value)
{
    json_t *json = json_loads(LEAST, 0, NULL);
    if (value[0] == '\0')
        json_object_del(json, field);
    else
        json_object_set_new(json, field, json_loads(value, JSON_DECODE_ANY, NULL));
    char *text = json_dumps(json, JSON_COMPACT);
    snprintf(to, 1000, "%s", text);
    free(text);
    json_decref(json);
}

static const struct {
    const char *rule, *field, *value; /* empty: removed */
    const char *msg;                  /* empty: accepted */
} values[] = {
    {"a text that just fits", "text", "\"abcde\"", ""},
    {"a text too long", "text", "\"abcdef\"", "'text': is longer than 5 characters"},
    {"a number for a text", "text", "1", "'text': must be a text"},
    {"a missing text", "text", "", "'text' is missing"},
    {"the largest u64", "u64", "9223372036854775807", ""},
    {"a negative u64", "u64", "-1", "'u64': must be from 0 to 9223372036854775807"},
    {"a fraction", "u64", "1.5", "'u64': must be a whole number"},
    {"a whole number written as a fraction", "u64", "1.0", "'u64': must be a whole number"},
    {"a text for a number", "u64", "\"1\"", "'u64': must be a whole number"},
    {"true for a number", "u64", "true", "'u64': must be a whole number"},
    {"a missing u64", "u64", "", "'u64' is missing"},
    {"the largest u32", "u32", "4294967295", ""},
    {"u32 too large", "u32", "4294967296", "'u32': must be from 0 to 4294967295"},
    {"u32 negative", "u32", "-1", "'u32': must be from 0 to 4294967295"},
    {"the largest u16", "u16", "65535", ""},
    {"u16 too large", "u16", "65536", "'u16': must be from 0 to 65535"},
    {"the largest u8", "u8", "255", ""},
    {"u8 too large", "u8", "256", "'u8': must be from 0 to 255"},
    {"true", "flag", "true", ""},
    {"1 for true", "flag", "1", "'flag': must be true or false"},
    {"a text for true", "flag", "\"true\"", "'flag': must be true or false"},
    {"a missing flag", "flag", "", "'flag' is missing"},
    {"the last word of an enum", "colour", "\"blue\"", ""},
    {"an unknown word of an enum", "colour", "\"grene\"",
     "'colour': 'grene' is not known; the nearest known word is 'green'"},
    {"words are compared with their case", "colour", "\"Red\"",
     "'colour': 'Red' is not known; the nearest known word is 'red'"},
    {"a number for an enum", "colour", "1", "'colour': must be a text"},
    {"hex in upper case", "hex", "\"00A1FF\"", ""},
    {"hex too short", "hex", "\"00a1f\"", "'hex': must be 6 hexadecimal digits"},
    {"hex too long", "hex", "\"00a1ff0\"", "'hex': must be 6 hexadecimal digits"},
    {"hex with a wrong digit", "hex", "\"00a1fg\"", "'hex': must be 6 hexadecimal digits"},
    {"hex as a number", "hex", "123456", "'hex': must be 6 hexadecimal digits"},
    {"a list for an object", "part", "[]", "'part': must be an object"},
    {"a text for an object", "part", "\"x\"", "'part': must be an object"},
    {"an object without its field", "part", "{\"name\":\"\"}", "'part': 'length' is missing"},
    {"an object with a wrong field", "part", "{\"name\":\"\",\"length\":-1}",
     "'part': 'length': must be from 0 to 65535"},
    {"an object for a list", "parts", "{}", "'parts': must be a list"},
    {"as many elements as fit", "parts",
     "[{\"name\":\"\",\"length\":1},{\"name\":\"\",\"length\":1},{\"name\":\"\",\"length\":1}]", ""},
    {"one element too many", "parts", "[{},{},{},{}]", "'parts': has 4 elements, at most 3 are allowed"},
    {"a wrong element", "parts", "[{\"name\":\"\",\"length\":1},7]", "'parts': element 1: must be an object"},
    {"a wrong field of an element", "parts", "[{\"name\":\"abcd\",\"length\":1}]",
     "'parts': element 0: 'name': is longer than 3 characters"},
    {"a wrong optional field", "opt_number", "\"x\"", "'opt_number': must be a whole number"},
    {"a wrong optional object", "opt_part", "{}", "'opt_part': 'name' is missing"},
};

/* What is wrong is wrong in both modes; `out` changes only on success. */
static void test_values(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(values); i++)
        for (unsigned mode = JMAP_STRICT; mode <= JMAP_LENIENT; mode++) {
            char text[1000];
            replaced(text, values[i].field, values[i].value);
            struct thing got = pattern();
            const struct thing before = pattern();
            struct err err = {0};
            const bool ok = parse(text, (enum jmap_mode)mode, &got, &err);
            if (ok != (values[i].msg[0] == '\0') || strcmp(err.msg, values[i].msg) != 0)
                fail_msg("%s: got '%s', want '%s'", values[i].rule, err.msg, values[i].msg);
            assert_int_equal(err.kind, ok ? ERR_NONE : ERR_INPUT);
            if (!ok)
                assert_memory_equal(&got, &before, sizeof(got));
        }
}

static const struct {
    const char *rule, *field, *value, *msg, *hint;
} unknown[] = {
    {"an unknown field", "colur", "\"red\"", "unknown field 'colur'", "the nearest known field is 'colour'"},
    {"the last field is the nearest", "opt_partss", "[]", "unknown field 'opt_partss'",
     "the nearest known field is 'opt_parts'"},
    {"the first field is the nearest", "test", "1", "unknown field 'test'", "the nearest known field is 'text'"},
    {"an unknown field that is null", "u65", "null", "unknown field 'u65'", "the nearest known field is 'u64'"},
    {"in an object", "part", "{\"name\":\"\",\"length\":1,\"lenght\":2}", "'part': unknown field 'lenght'",
     "the nearest known field is 'length'"},
    {"in an element", "parts", "[{\"name\":\"\",\"length\":1,\"nam\":2}]", "'parts': element 0: unknown field 'nam'",
     "the nearest known field is 'name'"},
};

static void test_unknown_fields(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(unknown); i++) {
        char text[1000];
        replaced(text, unknown[i].field, unknown[i].value);
        struct thing got = pattern();
        const struct thing before = pattern();
        struct err err = {0};
        if (parse(text, JMAP_STRICT, &got, &err) || err.kind != ERR_INPUT || strcmp(err.msg, unknown[i].msg) != 0 ||
            strcmp(err.hint, unknown[i].hint) != 0)
            fail_msg("%s: got '%s' (%s), want '%s' (%s)", unknown[i].rule, err.msg, err.hint, unknown[i].msg,
                     unknown[i].hint);
        assert_memory_equal(&got, &before, sizeof(got));
        err_clear(&err);
        if (!parse(text, JMAP_LENIENT, &got, &err)) /* another version's fields are passed over */
            fail_msg("%s: lenient refuses: %s", unknown[i].rule, err.msg);
    }
}

static void test_no_json(void **state)
{
    (void)state;
    static const struct {
        const char *rule, *text;
    } rows[] = {
        {"nothing", ""},
        {"half", "{\"name\":\"a\","},
        {"something behind", "{\"name\":\"a\",\"length\":1} x"},
        {"a field twice", "{\"name\":\"a\",\"length\":1,\"length\":2}"},
        {"not UTF-8", "{\"name\":\"\xff\",\"length\":1}"},
        {"an integer beyond 64 bits", "{\"name\":\"a\",\"length\":18446744073709551616}"},
        {"a zero byte in a text", "{\"name\":\"a\\u0000b\",\"length\":1}"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct part got = {.length = 77};
        struct err err = {0};
        if (jmap_parse(&part_jmap, rows[i].text, strlen(rows[i].text), JMAP_LENIENT, &got, &err))
            fail_msg("%s: accepted", rows[i].rule);
        if (err.kind != ERR_INPUT || strncmp(err.msg, "cannot read JSON at line 1, column ", 35) != 0)
            fail_msg("%s: got '%s'", rows[i].rule, err.msg);
        assert_int_equal(got.length, 77);
    }
    static const char *const no_objects[] = {"[]", "[{\"name\":\"a\",\"length\":1}]"};
    for (size_t i = 0; i < COUNT(no_objects); i++) {
        struct part got;
        struct err err = {0};
        assert_false(jmap_parse(&part_jmap, no_objects[i], strlen(no_objects[i]), JMAP_LENIENT, &got, &err));
        assert_string_equal(err.msg, "must be an object");
    }
}

/* Only len bytes are read: the text need not end. */
static void test_length_counts(void **state)
{
    (void)state;
    static const char text[] = "{\"name\":\"a\",\"length\":1}garbage";
    struct part got;
    struct err err = {0};
    assert_true(jmap_parse(&part_jmap, text, strlen(text) - 7, JMAP_STRICT, &got, &err));
    assert_false(jmap_parse(&part_jmap, text, strlen(text) - 6, JMAP_STRICT, &got, &err));
}

/* A value that was built, not parsed, may hold what no JSON text may. */
static void test_zero_byte_in_a_value(void **state)
{
    (void)state;
    json_t *json = json_object();
    json_object_set_new(json, "name", json_stringn("a\0b", 3));
    json_object_set_new(json, "length", json_integer(1));
    struct part got;
    struct err err = {0};
    assert_false(jmap_read(&part_jmap, json, JMAP_STRICT, &got, &err));
    assert_string_equal(err.msg, "'name': holds a zero byte");
    json_decref(json);
}

/* ---- writing ---------------------------------------------------------------------------------------------------- */

static void test_zero_that_is_needed_is_written(void **state)
{
    (void)state;
    const struct thing zero = {.u64 = 0};
    char *text = jmap_text(&thing_jmap, &zero);
    assert_string_equal(text, LEAST);
    free(text);
}

static void test_bytes_behind_a_text_do_not_count(void **state)
{
    (void)state;
    struct thing thing = {.opt_text = "\0abc", .text = "a\0bc"};
    char *text = jmap_text(&thing_jmap, &thing);
    assert_null(strstr(text, "opt_text"));
    assert_non_null(strstr(text, "\"text\":\"a\","));
    free(text);
}

static void test_texts_are_escaped(void **state)
{
    (void)state;
    static const struct {
        const char *rule, *text, *want;
    } rows[] = {
        {"quotes and backslashes", "\"\\", "{\"name\":\"\\\"\\\\\",\"length\":0}"},
        {"a newline", "\n", "{\"name\":\"\\n\",\"length\":0}"},
        {"UTF-8 stays", "\xc3\xa9", "{\"name\":\"\xc3\xa9\",\"length\":0}"},
        {"what is no UTF-8 becomes question marks", "a\xff\xc3", "{\"name\":\"a??\",\"length\":0}"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct part part = {.length = 0};
        snprintf(part.name, sizeof(part.name), "%s", rows[i].text);
        char *text = jmap_text(&part_jmap, &part);
        if (strcmp(text, rows[i].want) != 0)
            fail_msg("%s: got %s, want %s", rows[i].rule, text, rows[i].want);
        free(text);
    }
}

/* The caller owns the value, and it holds nothing of the struct. */
static void test_written_value_stands_alone(void **state)
{
    (void)state;
    struct part part = {.name = "abc", .length = 5};
    json_t *json = jmap_write(&part_jmap, &part);
    memset(&part, 0, sizeof(part));
    assert_int_equal(json->refcount, 1);
    assert_string_equal(json_string_value(json_object_get(json, "name")), "abc");
    assert_int_equal(json_integer_value(json_object_get(json, "length")), 5);
    json_decref(json);
}

/* ---- bugs of the caller end the process -------------------------------------------------------------------------- */

static void bug(unsigned i)
{
    struct thing thing = {.u64 = 0};
    if (i == 0)
        thing.u64 = 1ull << 63; /* no JSON integer of other programs is that large */
    if (i == 1)
        thing.colour = (enum colour)COUNT(colour_words);
    if (i == 2)
        thing.part_count = PARTS_MAX + 1;
    if (i == 3)
        memset(thing.text, 'x', sizeof(thing.text)); /* not ended */
    free(jmap_text(&thing_jmap, &thing));
}

static void test_bugs_end_the_process(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 5; i++) {
        const pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            signal(SIGABRT, SIG_DFL);
            dup2(open("/dev/null", O_WRONLY | O_CLOEXEC), STDERR_FILENO);
            bug(i);
            _exit(0);
        }
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        if ((WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT) != (i < 4))
            fail_msg("bug %u: status %d", i, status);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_there_and_back),
        cmocka_unit_test(test_every_field_arrives),
        cmocka_unit_test(test_what_is_not_given_is_zero),
        cmocka_unit_test(test_null_is_not_given),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_unknown_fields),
        cmocka_unit_test(test_no_json),
        cmocka_unit_test(test_length_counts),
        cmocka_unit_test(test_zero_byte_in_a_value),
        cmocka_unit_test(test_zero_that_is_needed_is_written),
        cmocka_unit_test(test_bytes_behind_a_text_do_not_count),
        cmocka_unit_test(test_texts_are_escaped),
        cmocka_unit_test(test_written_value_stands_alone),
        cmocka_unit_test(test_bugs_end_the_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
