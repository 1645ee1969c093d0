/* log.h - log lines of the programs. Only agent, server and cli call this: detecting and handling are different jobs.
 *   - One line an event: a name and key=value fields, in one write(2) to stderr, so that lines of threads never mix.
 *   - A level is "error" (someone must act), "info" (state changed) or "debug" (everything else; written only when the
 *     environment says NSMITH_LOG=debug; NSMITH_LOG=error writes errors alone).
 *   - Where stderr is the journal (JOURNAL_STREAM names its device and inode) the line begins with the journal's own
 *     priority, "<3>"; else with the time, ISO 8601 in UTC, and the word of the level.
 *   - A value that is empty or holds a space, a quote, '=' or '\' is quoted; control characters and bytes that are not
 *     UTF-8 are escaped. So a value can forge neither a field nor a line.
 *   - Never more than LOG_LINE_MAX bytes with the newline; what does not fit is cut and ends in "...".
 *   - errno is as before; nothing here fails or allocates. */
#ifndef NSMITH_LOG_H
#define NSMITH_LOG_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

enum { LOG_LINE_MAX = 1024 };

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* fmt: "key=%s other=%ju", fields with one space between them; each value is formatted and quoted by itself.
 * Conversions are s, d, i, u, x and X with l, ll, j, z or t, flags, width and precision, but no '*'. NULL: no fields.
 */
void log_error(const char *event, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void log_info(const char *event, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void log_debug(const char *event, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* The line itself, pure, ended by a newline and a zero byte; returns its length. unix_ms < 0: as for the journal. */
size_t log_line(char to[LOG_LINE_MAX + 1], enum log_level level, int64_t unix_ms, const char *event, const char *fmt,
                va_list ap) __attribute__((format(printf, 5, 0)));

#endif
