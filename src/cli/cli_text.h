/* cli_text.h - texts of the command line. Pure.
 *   - A path for the API is built part by part; what is no unreserved character (RFC 3986, section 2.3) is
 *     percent-encoded, so a name can neither add a part nor a query.
 *   - A confirmation is the last 4 characters of a name, or all of it; a name of up to 4 needs all of it. */
#ifndef NSMITH_CLI_TEXT_H
#define NSMITH_CLI_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Longer than any path the server takes; what does not fit is cut and `full` is set. */
struct url {
    char text[640];
    size_t len;
    bool query, full;
};

struct url url_make(const char *path);                                       /* "/v1/drives" as it is */
struct url *url_part(struct url *url, const char *name);                     /* adds "/" and the name, encoded */
struct url *url_tail(struct url *url, const char *tail);                     /* adds "/adopt" as it is */
struct url *url_query(struct url *url, const char *name, const char *value); /* nothing when value is NULL or "" */

bool confirm_matches(const char *full, const char *typed);
const char *confirm_tail(const char *full); /* borrowed from full: what is to be typed */

/* "1", "0.5", "1.25": at most 4 decimals, at most 50. */
bool text_percent_ppm(const char *text, uint32_t *ppm_out);
/* A part of a whole as "21.9 %"; 0 of 0 is "0.0 %". */
const char *text_share(char to[16], uint64_t part, uint64_t whole);
/* "1 slice", "4 slices"; `one` is a short word. */
const char *text_count(char to[48], uint64_t count, const char *one);
/* "2026-11-22T18:05:01Z" from Unix milliseconds; "-" for 0. */
const char *text_time(char to[32], uint64_t unix_ms);
/* Replaces control characters and DEL by '?', in place; bytes from 80h on stay (UTF-8). */
void text_tame(char *text);

#endif
