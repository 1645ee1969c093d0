#include "base/text.h"

#include "base/must.h"

#include <stdio.h>
#include <string.h>

bool text_copy(char *to, size_t size, const char *from)
{
    must(size > 0);
    size_t len = strlen(from);
    if (len >= size) {
        to[0] = '\0';
        return false;
    }
    memmove(to, from, len + 1);
    return true;
}

void text_cut(char *to, size_t size, const char *from)
{
    must(size > 0);
    size_t len = strlen(from);
    if (len >= size)
        len = size - 1;
    memmove(to, from, len);
    to[len] = '\0';
}

/* Reads the digits at *text; leaves *text behind them. */
static bool take_u64(const char **text, uint64_t *out)
{
    const char *at = *text;
    uint64_t value = 0;
    if (*at < '0' || *at > '9' || (at[0] == '0' && at[1] >= '0' && at[1] <= '9'))
        return false;
    for (; *at >= '0' && *at <= '9'; at++)
        if (__builtin_mul_overflow(value, 10u, &value) || __builtin_add_overflow(value, (uint64_t)(*at - '0'), &value))
            return false;
    *text = at;
    *out = value;
    return true;
}

bool text_u64(const char *text, uint64_t *out)
{
    uint64_t value;
    if (!take_u64(&text, &value) || *text != '\0')
        return false;
    *out = value;
    return true;
}

bool text_size(const char *text, uint64_t *bytes_out)
{
    static const struct {
        const char *suffix;
        uint64_t factor;
    } units[] = {
        {"", 1},
        {"B", 1},
        {"K", 1000},
        {"KB", 1000},
        {"KiB", 1ull << 10},
        {"M", 1000000},
        {"MB", 1000000},
        {"MiB", 1ull << 20},
        {"G", 1000000000},
        {"GB", 1000000000},
        {"GiB", 1ull << 30},
        {"T", 1000000000000},
        {"TB", 1000000000000},
        {"TiB", 1ull << 40},
    };
    uint64_t value;
    if (!take_u64(&text, &value))
        return false;
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
        if (strcmp(text, units[i].suffix) == 0) {
            uint64_t bytes;
            if (__builtin_mul_overflow(value, units[i].factor, &bytes))
                return false;
            *bytes_out = bytes;
            return true;
        }
    return false;
}

/* One decimal, computed in integers: no rounding surprises, and nothing from libm in the pure layers. */
static const char *with_unit(char *to, uint64_t bytes, uint64_t step, const char *const *units)
{
    uint64_t unit = 1;
    size_t i = 0;
    while (i < 4 && bytes / unit >= step) {
        unit *= step;
        i++;
    }
    if (i == 0)
        snprintf(to, TEXT_SIZE_MAX, "%ju B", (uintmax_t)bytes);
    else
        snprintf(to, TEXT_SIZE_MAX, "%ju.%ju %s", (uintmax_t)(bytes / unit), (uintmax_t)(bytes % unit * 10 / unit),
                 units[i]);
    return to;
}

const char *text_gib(char to[TEXT_SIZE_MAX], uint64_t bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    return with_unit(to, bytes, 1024, units);
}

const char *text_gb(char to[TEXT_SIZE_MAX], uint64_t bytes)
{
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB"};
    return with_unit(to, bytes, 1000, units);
}

void text_hex(char *to, const uint8_t *from, size_t len)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < len; i++) {
        to[2 * i] = digits[from[i] >> 4];
        to[2 * i + 1] = digits[from[i] & 15];
    }
    to[2 * len] = '\0';
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

bool text_unhex(uint8_t *to, size_t len, const char *from)
{
    if (strlen(from) != 2 * len)
        return false;
    for (size_t i = 0; i < 2 * len; i++)
        if (hex_digit(from[i]) < 0)
            return false;
    for (size_t i = 0; i < len; i++)
        to[i] = (uint8_t)(hex_digit(from[2 * i]) << 4 | hex_digit(from[2 * i + 1]));
    return true;
}

void text_uuid(char to[TEXT_UUID_SIZE], uint64_t a, uint64_t b)
{
    snprintf(to, TEXT_UUID_SIZE, "%08x-%04x-4%03x-%04x-%012jx", (unsigned)(a >> 32), (unsigned)(a >> 16 & 0xffff),
             (unsigned)(a & 0xfff), (unsigned)(0x8000 | (b >> 48 & 0x3fff)), (uintmax_t)(b & 0xffffffffffff));
}

static bool is_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool text_is_name(const char *text, size_t max)
{
    size_t len = strlen(text);
    if (len == 0 || len > max || !is_alnum(text[0]))
        return false;
    for (size_t i = 0; i < len; i++)
        if (!is_alnum(text[i]) && text[i] != '.' && text[i] != '_' && text[i] != '-')
            return false;
    return true;
}

bool text_is_printable(const char *text, size_t max)
{
    size_t len = strlen(text);
    if (len == 0 || len > max)
        return false;
    for (size_t i = 0; i < len; i++)
        if (text[i] < ' ' || text[i] > '~')
            return false;
    return true;
}

bool text_glob(const char *pattern, const char *text)
{
    const char *star = NULL, *from = NULL; /* the newest '*', and where what it stands for ends so far */
    while (*text != '\0') {
        if (*pattern == '*') {
            star = pattern++;
            from = text;
        } else if (*pattern == '?' || *pattern == *text) {
            pattern++;
            text++;
        } else if (star != NULL) {
            pattern = star + 1;
            text = ++from;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return *pattern == '\0';
}

static unsigned min3(unsigned a, unsigned b, unsigned c)
{
    unsigned least = a < b ? a : b;
    return least < c ? least : c;
}

unsigned text_distance(const char *a, const char *b)
{
    enum { LONGEST = 64 };
    size_t a_len = strlen(a), b_len = strlen(b);
    if (a_len > LONGEST || b_len > LONGEST)
        return LONGEST;
    unsigned row[LONGEST + 1];
    for (unsigned j = 0; j <= b_len; j++)
        row[j] = j;
    for (size_t i = 1; i <= a_len; i++) {
        unsigned diagonal = row[0];
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= b_len; j++) {
            unsigned above = row[j];
            row[j] = min3(above + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1]));
            diagonal = above;
        }
    }
    return row[b_len];
}
