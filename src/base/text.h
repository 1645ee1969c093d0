/* text.h - text in bounded buffers: copies, numbers, sizes, hex, names. Pure.
 *   - A text that does not fit is refused, never cut in silence (text_copy), except where the name says "cut".
 *   - Numbers are decimal, without sign, spaces or leading zeros beyond "0"; overflow is refused.
 *   - Sizes take SI and IEC suffixes: "500G" is 500,000,000,000 bytes, "465GiB" is 465 x 2^30. */
#ifndef NSMITH_TEXT_H
#define NSMITH_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TEXT_SIZE_MAX = 24, TEXT_UUID_SIZE = 37 };

/* false when `from` with its end does not fit into `size` bytes; `to` is then the empty text. */
bool text_copy(char *to, size_t size, const char *from);
void text_cut(char *to, size_t size, const char *from); /* keeps what fits */

bool text_u64(const char *text, uint64_t *out);
bool text_size(const char *text, uint64_t *bytes_out);

/* "465.0 GiB", "499.3 GB": for people. Returns `to`. */
const char *text_gib(char to[TEXT_SIZE_MAX], uint64_t bytes);
const char *text_gb(char to[TEXT_SIZE_MAX], uint64_t bytes);

/* Lower-case hex; `to` has 2 * len + 1 bytes. text_unhex wants exactly 2 * len digits. */
void text_hex(char *to, const uint8_t *from, size_t len);
bool text_unhex(uint8_t *to, size_t len, const char *from);

/* A version 4 UUID (RFC 9562) of two random numbers. */
void text_uuid(char to[TEXT_UUID_SIZE], uint64_t a, uint64_t b);

/* A name that people and paths can carry: 1 to max characters of [A-Za-z0-9._-], beginning with a letter or digit. */
bool text_is_name(const char *text, size_t max);
/* Printable ASCII, 1 to max characters. */
bool text_is_printable(const char *text, size_t max);

/* The whole text fits the pattern: '*' is any number of characters, '?' is one, all others are themselves. Small and
 * capital letters differ. */
bool text_glob(const char *pattern, const char *text);

/* How far two words are apart (insert, delete, change; at most 64 characters each): for "did you mean". */
unsigned text_distance(const char *a, const char *b);

#endif
