#include "cli/cli_text.h"

#include "base/must.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static void url_add(struct url *url, char c)
{
    if (url->len + 1 >= sizeof(url->text)) {
        url->full = true;
        return;
    }
    url->text[url->len++] = c;
    url->text[url->len] = '\0';
}

struct url *url_tail(struct url *url, const char *tail)
{
    while (*tail != '\0')
        url_add(url, *tail++);
    return url;
}

static bool is_unreserved(unsigned char c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '-' || c == '.' ||
           c == '_' || c == '~';
}

static void url_encode(struct url *url, const char *text)
{
    static const char digits[] = "0123456789ABCDEF";
    for (const char *at = text; *at != '\0'; at++) {
        const unsigned char c = (unsigned char)*at;
        /* "." and ".." as a whole part would be taken for folders by the client. */
        if (is_unreserved(c) && !(c == '.' && strspn(text, ".") == strlen(text))) {
            url_add(url, *at);
            continue;
        }
        url_add(url, '%');
        url_add(url, digits[c >> 4]);
        url_add(url, digits[c & 15]);
    }
}

struct url url_make(const char *path)
{
    struct url url = {0};
    url_tail(&url, path);
    return url;
}

struct url *url_part(struct url *url, const char *name)
{
    url_add(url, '/');
    url_encode(url, name);
    return url;
}

struct url *url_query(struct url *url, const char *name, const char *value)
{
    if (value == NULL || value[0] == '\0')
        return url;
    url_add(url, url->query ? '&' : '?');
    url->query = true;
    url_tail(url, name);
    url_add(url, '=');
    url_encode(url, value);
    return url;
}

const char *confirm_tail(const char *full)
{
    const size_t len = strlen(full);
    return len > 4 ? full + len - 4 : full;
}

bool confirm_matches(const char *full, const char *typed)
{
    if (full[0] == '\0')
        return false;
    return strcmp(typed, full) == 0 || strcmp(typed, confirm_tail(full)) == 0;
}

bool text_percent_ppm(const char *text, uint32_t *ppm_out)
{
    uint32_t ppm = 0, step = 10000;
    size_t digits = 0;
    for (; *text >= '0' && *text <= '9' && digits < 3; text++, digits++)
        ppm = ppm * 10 + (uint32_t)(*text - '0') * 10000;
    if (digits == 0)
        return false;
    if (*text == '.') {
        if (text[1] == '\0')
            return false;
        for (text++; *text >= '0' && *text <= '9' && step > 1; text++) {
            step /= 10;
            ppm += (uint32_t)(*text - '0') * step;
        }
    }
    if (*text != '\0' || ppm > 500000)
        return false;
    *ppm_out = ppm;
    return true;
}

const char *text_share(char to[16], uint64_t part, uint64_t whole)
{
    const double percent = whole == 0 ? 0 : (double)part * 100 / (double)whole;
    snprintf(to, 16, "%.1f %%", percent > 9999 ? 9999 : percent);
    return to;
}

const char *text_count(char to[48], uint64_t count, const char *one)
{
    snprintf(to, 48, "%" PRIu64 " %s%s", count, one, count == 1 ? "" : "s");
    return to;
}

const char *text_time(char to[32], uint64_t unix_ms)
{
    const time_t seconds = (time_t)(unix_ms / 1000);
    struct tm parts;
    if (unix_ms == 0 || unix_ms / 1000 > 253402300799u || gmtime_r(&seconds, &parts) == NULL) /* year 9999 */
        snprintf(to, 32, "-");
    else
        must(strftime(to, 32, "%Y-%m-%dT%H:%M:%SZ", &parts) > 0);
    return to;
}

void text_tame(char *text)
{
    for (; *text != '\0'; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            *text = '?';
}
