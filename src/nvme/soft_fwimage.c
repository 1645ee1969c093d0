#include "nvme/soft_fwimage.h"

#include "base/must.h"
#include "base/rng.h"
#include "base/text.h"
#include "nvme/nvme_wire.h"

#include <string.h>

enum { AT_VERSION = 8, AT_FLAGS = 12, AT_REVISION = 16, AT_SUM = 24, AT_FILLER = 32, VERSION = 1 };

static const char magic[8] = {'N', 'S', 'M', 'I', 'T', 'H', 'F', 'W'};

static const struct {
    const char *word;
    uint32_t flag;
} words[] = {
    {"ns-management", SOFT_FWIMAGE_NS_MANAGEMENT},
    {"needs-reset", SOFT_FWIMAGE_NEEDS_RESET},
    {"slow", SOFT_FWIMAGE_SLOW},
    {"prohibited", SOFT_FWIMAGE_PROHIBITED},
};

bool soft_fwimage_word(const char *word, uint32_t *flag, struct err *err)
{
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (strcmp(words[i].word, word) == 0) {
            *flag = words[i].flag;
            return true;
        }
    err_set(err, ERR_INPUT, "cannot make firmware: there is no word '%s'", word);
    return err_hint(err, "words are ns-management, needs-reset, slow, prohibited");
}

static uint64_t fnv1a(uint64_t hash, const uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ bytes[i]) * 0x100000001b3u;
    return hash;
}

static uint64_t sum_of(const uint8_t *bytes, size_t len)
{
    return fnv1a(fnv1a(0xcbf29ce484222325u, bytes + AT_FILLER, len - AT_FILLER), bytes, AT_SUM);
}

void soft_fwimage_build(const struct soft_fwimage *image, uint8_t to[SOFT_FWIMAGE_BYTES])
{
    must(text_is_printable(image->revision, SOFT_REVISION_MAX));
    must((image->flags & ~(uint32_t)SOFT_FWIMAGE_FLAGS) == 0);
    memcpy(to, magic, sizeof(magic));
    le32_write(to + AT_VERSION, VERSION);
    le32_write(to + AT_FLAGS, image->flags);
    memset(to + AT_REVISION, ' ', SOFT_REVISION_MAX);
    memcpy(to + AT_REVISION, image->revision, strlen(image->revision));
    struct rng rng = {fnv1a(image->flags, to + AT_REVISION, SOFT_REVISION_MAX)};
    for (size_t at = AT_FILLER; at < SOFT_FWIMAGE_BYTES; at += 8)
        le64_write(to + at, rng_next(&rng));
    le64_write(to + AT_SUM, sum_of(to, SOFT_FWIMAGE_BYTES));
}

bool soft_fwimage_parse(const uint8_t *bytes, size_t len, struct soft_fwimage *out)
{
    struct soft_fwimage image = {0};
    if (len != SOFT_FWIMAGE_BYTES || memcmp(bytes, magic, sizeof(magic)) != 0 ||
        le32_read(bytes + AT_VERSION) != VERSION || le64_read(bytes + AT_SUM) != sum_of(bytes, len))
        return false;
    memcpy(image.revision, bytes + AT_REVISION, SOFT_REVISION_MAX);
    for (size_t n = SOFT_REVISION_MAX; n > 0 && image.revision[n - 1] == ' '; n--)
        image.revision[n - 1] = '\0';
    image.flags = le32_read(bytes + AT_FLAGS);
    if (!text_is_printable(image.revision, SOFT_REVISION_MAX) || image.flags & ~(uint32_t)SOFT_FWIMAGE_FLAGS)
        return false;
    *out = image;
    return true;
}
