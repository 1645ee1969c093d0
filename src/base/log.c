#include "base/log.h"

#include "base/must.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const struct {
    const char *word;
    int journal; /* sd-daemon(3): SD_ERR, SD_INFO, SD_DEBUG */
} levels[] = {
    [LOG_LEVEL_ERROR] = {"error", 3},
    [LOG_LEVEL_INFO] = {"info", 6},
    [LOG_LEVEL_DEBUG] = {"debug", 7},
};

/* ---- the line ------------------------------------------------------------------------------------------------ */

/* Room is always left for the ending: `..."` and a newline. */
enum { ENDING = 5, ROOM = LOG_LINE_MAX - ENDING };

struct line {
    char *to;
    size_t len;
    bool full;
};

/* va_list may be an array type: inside a struct it is passed by pointer everywhere. */
struct arguments {
    va_list ap;
};

/* All or nothing: an escape or a character is never cut in the middle. */
static void put(struct line *line, const char *text, size_t len)
{
    if (line->full || line->len + len > ROOM) {
        line->full = true;
        return;
    }
    memcpy(line->to + line->len, text, len);
    line->len += len;
}

static void put_text(struct line *line, const char *text)
{
    put(line, text, strlen(text));
}

static bool is_tail(char c)
{
    return ((unsigned char)c & 0xc0) == 0x80;
}

/* Bytes of the UTF-8 character at `text` (RFC 3629), 0: it is none. The text ends in a zero byte, which is no tail. */
static size_t utf8_len(const char *text)
{
    const unsigned char first = (unsigned char)text[0], second = (unsigned char)text[1];
    if (first < 0x80)
        return 1;
    if (first < 0xc2 || first > 0xf4 || !is_tail(text[1]))
        return 0;
    if (first < 0xe0)
        return second < 0xa0 && first == 0xc2 ? 0 : 2; /* U+0080 to U+009F are control characters */
    if ((first == 0xe0 && second < 0xa0) || (first == 0xed && second > 0x9f) || (first == 0xf0 && second < 0x90) ||
        (first == 0xf4 && second > 0x8f) || !is_tail(text[2]))
        return 0;
    if (first < 0xf0)
        return 3;
    return is_tail(text[3]) ? 4 : 0;
}

/* How many bytes at `text` stand for themselves; 0: the first is to be escaped. */
static size_t plain_len(const char *text)
{
    const char c = text[0];
    return (c >= 0 && c < ' ') || c == 0x7f ? 0 : utf8_len(text);
}

static bool needs_quotes(const char *value)
{
    if (*value == '\0' || strpbrk(value, " \"=\\") != NULL)
        return true;
    for (size_t n; *value != '\0'; value += n)
        if ((n = plain_len(value)) == 0)
            return true;
    return false;
}

/* Returns whether the opening quote found room: then a cut line has to close it. */
static bool put_quoted(struct line *line, const char *value)
{
    put(line, "\"", 1);
    const bool opened = !line->full;
    while (*value != '\0') {
        char escape[8];
        const size_t plain = plain_len(value);
        if (*value == '"' || *value == '\\') {
            snprintf(escape, sizeof(escape), "\\%c", *value);
            put_text(line, escape);
        } else if (*value == '\n') {
            put_text(line, "\\n");
        } else if (plain == 0) {
            snprintf(escape, sizeof(escape), "\\x%02x", (unsigned)(unsigned char)*value);
            put_text(line, escape);
        } else {
            put(line, value, plain);
        }
        value += plain == 0 ? 1 : plain;
    }
    put(line, "\"", 1);
    return opened;
}

static bool put_value(struct line *line, const char *value)
{
    if (needs_quotes(value))
        return put_quoted(line, value);
    for (size_t n; *value != '\0'; value += n) {
        n = plain_len(value);
        put(line, value, n);
    }
    return false;
}

/* ---- formatting ---------------------------------------------------------------------------------------------- */

/* The conversions are taken out of a checked format (see log.h) one at a time. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
static int format_number(char *to, size_t size, const char *spec, const char *length, struct arguments *args)
{
    if (strncmp(length, "ll", 2) == 0)
        return snprintf(to, size, spec, va_arg(args->ap, long long));
    switch (*length) {
    case 'l':
        return snprintf(to, size, spec, va_arg(args->ap, long));
    case 'j':
        return snprintf(to, size, spec, va_arg(args->ap, intmax_t));
    case 'z':
        return snprintf(to, size, spec, va_arg(args->ap, size_t));
    case 't':
        return snprintf(to, size, spec, va_arg(args->ap, ptrdiff_t));
    default:
        return snprintf(to, size, spec, va_arg(args->ap, int));
    }
}

static int format_text(char *to, size_t size, const char *spec, struct arguments *args)
{
    const char *text = va_arg(args->ap, const char *);
    return snprintf(to, size, spec, text == NULL ? "" : text);
}
#pragma GCC diagnostic pop

/* Formats the conversion at *fmt (on the '%') and moves *fmt behind it; what does not fit is cut. */
static size_t format_one(char *to, size_t size, const char **fmt, struct arguments *args)
{
    char spec[32];
    const char *length = *fmt + 1 + strspn(*fmt + 1, "-+ #0123456789.");
    const char *conversion = length + strspn(length, "hljzt");
    const size_t len = (size_t)(conversion - *fmt) + 1;
    must(len < sizeof(spec));
    must(*conversion != '\0' && strchr("sdiuxX", *conversion) != NULL);
    memcpy(spec, *fmt, len);
    spec[len] = '\0';
    const int n = *conversion == 's' ? format_text(to, size, spec, args) : format_number(to, size, spec, length, args);
    must(n >= 0);
    *fmt += len;
    return (size_t)n < size ? (size_t)n : size - 1;
}

/* Formats one field's value up to the next space of the format or its end. */
static void format_value(char *to, size_t size, const char **fmt, struct arguments *args)
{
    size_t len = 0;
    while (**fmt != '\0' && **fmt != ' ') {
        if (**fmt == '%' && (*fmt)[1] != '%') {
            len += format_one(to + len, size - len, fmt, args);
        } else {
            *fmt += **fmt == '%'; /* "%%" */
            if (len + 1 < size)
                to[len++] = **fmt;
            (*fmt)++;
        }
    }
    to[len] = '\0';
}

/* Returns whether the last value was begun with a quote. */
static bool put_fields(struct line *line, const char *fmt, struct arguments *args)
{
    char value[LOG_LINE_MAX];
    bool quoted = false;
    while (*fmt != '\0' && !line->full) {
        const char *equals = strchr(fmt, '=');
        must(equals != NULL && equals > fmt && memchr(fmt, ' ', (size_t)(equals - fmt)) == NULL);
        put(line, " ", 1);
        put(line, fmt, (size_t)(equals + 1 - fmt));
        fmt = equals + 1;
        format_value(value, sizeof(value), &fmt, args);
        quoted = put_value(line, value);
        if (*fmt == ' ')
            fmt++;
    }
    return quoted;
}

static void put_head(struct line *line, enum log_level level, int64_t unix_ms)
{
    char head[64];
    struct tm tm;
    if (unix_ms < 0) {
        snprintf(head, sizeof(head), "<%d>", levels[level].journal);
    } else {
        const time_t seconds = unix_ms / 1000;
        must(gmtime_r(&seconds, &tm) != NULL);
        snprintf(head, sizeof(head), "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ %s ", tm.tm_year + 1900, tm.tm_mon + 1,
                 tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (int)(unix_ms % 1000), levels[level].word);
    }
    put_text(line, head);
}

size_t log_line(char to[LOG_LINE_MAX + 1], enum log_level level, int64_t unix_ms, const char *event, const char *fmt,
                va_list ap)
{
    struct line line = {.to = to};
    struct arguments args;
    bool quoted = false;
    va_copy(args.ap, ap);
    put_head(&line, level, unix_ms);
    put_text(&line, event);
    if (fmt != NULL)
        quoted = put_fields(&line, fmt, &args);
    va_end(args.ap);
    const char *ending = !line.full ? "\n" : quoted ? "...\"\n" : "...\n";
    memcpy(to + line.len, ending, strlen(ending) + 1);
    return line.len + strlen(ending);
}

/* ---- writing ------------------------------------------------------------------------------------------------- */

/* systemd.exec(5), JOURNAL_STREAM: "device:inode"; a program whose stderr was redirected since must not believe it. */
static bool stderr_is_journal(void)
{
    const char *stream = getenv("JOURNAL_STREAM");
    struct stat there;
    char mine[64];
    if (stream == NULL || fstat(STDERR_FILENO, &there) != 0)
        return false;
    snprintf(mine, sizeof(mine), "%ju:%ju", (uintmax_t)there.st_dev, (uintmax_t)there.st_ino);
    return strcmp(stream, mine) == 0;
}

static bool is_wanted(enum log_level level)
{
    const char *most = getenv("NSMITH_LOG");
    if (most != NULL && strcmp(most, "error") == 0)
        return level == LOG_LEVEL_ERROR;
    return level != LOG_LEVEL_DEBUG || (most != NULL && strcmp(most, "debug") == 0);
}

static int64_t unix_now_ms(void)
{
    struct timespec now;
    must(clock_gettime(CLOCK_REALTIME, &now) == 0);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

__attribute__((format(printf, 3, 0))) static void write_line(enum log_level level, const char *event, const char *fmt,
                                                             va_list ap)
{
    const int saved = errno;
    char text[LOG_LINE_MAX + 1];
    if (is_wanted(level)) {
        const size_t len = log_line(text, level, stderr_is_journal() ? -1 : unix_now_ms(), event, fmt, ap);
        const ssize_t n = write(STDERR_FILENO, text, len);
        (void)n; /* there is nowhere to say so */
    }
    errno = saved;
}

void log_error(const char *event, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    write_line(LOG_LEVEL_ERROR, event, fmt, ap);
    va_end(ap);
}

void log_info(const char *event, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    write_line(LOG_LEVEL_INFO, event, fmt, ap);
    va_end(ap);
}

void log_debug(const char *event, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    write_line(LOG_LEVEL_DEBUG, event, fmt, ap);
    va_end(ap);
}
