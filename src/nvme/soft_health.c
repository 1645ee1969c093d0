/* soft_health.c - what the SMART log of a software drive says, as people and profiles set it. */
#include "nvme/soft_drive.h"

#include "base/text.h"

#include <string.h>

enum { KELVIN = 273 };

static const struct {
    const char *name;
    size_t offset, size;
    uint64_t max;
} numbers[] = {
#define NUMBER(word, member, most)                                     \
    {                                                                  \
        .name = word, .offset = offsetof(struct soft_health, member),  \
        .size = sizeof(((struct soft_health *)0)->member), .max = most \
    }
    NUMBER("warning", critical_warning, UINT8_MAX),
    NUMBER("temperature", temperature_k, 200),
    NUMBER("spare", spare_percent, 100),
    NUMBER("threshold", spare_threshold_percent, 100),
    NUMBER("used", used_percent, UINT8_MAX),
    NUMBER("media_errors", media_errors, UINT32_MAX),
    NUMBER("hours", power_on_hours, UINT32_MAX),
    NUMBER("written", units_written, UINT64_MAX / 2),
#undef NUMBER
};

enum { NUMBER_COUNT = sizeof(numbers) / sizeof(numbers[0]) };

static void put_number(struct soft_health *out, size_t n, uint64_t value)
{
    char *at = (char *)out + numbers[n].offset;
    if (numbers[n].size == 1)
        *at = (char)value;
    else if (numbers[n].size == 2)
        memcpy(at, &(uint16_t){(uint16_t)(value + KELVIN)}, 2); /* the temperature */
    else
        memcpy(at, &value, sizeof(value));
}

static bool parse_word(char *word, struct soft_health *out, struct err *err)
{
    char *equals = strchr(word, '=');
    if (equals != NULL)
        *equals = '\0';
    for (size_t n = 0; n < NUMBER_COUNT; n++) {
        uint64_t value;
        if (strcmp(numbers[n].name, word) != 0)
            continue;
        if (equals == NULL || !text_u64(equals + 1, &value) || value > numbers[n].max)
            return err_set(err, ERR_INPUT, "cannot read the health: '%s' is not a number up to %ju", word,
                           (uintmax_t)numbers[n].max);
        put_number(out, n, value);
        return true;
    }
    err_set(err, ERR_INPUT, "cannot read the health: there is no '%s'", word);
    return err_hint(err, "there are warning, temperature, spare, threshold, used, media_errors, hours, written");
}

bool soft_health_parse(const char *text, struct soft_health *out, struct err *err)
{
    struct soft_health health = *out;
    char copy[256], *save = NULL;
    if (!text_copy(copy, sizeof(copy), text))
        return err_set(err, ERR_INPUT, "cannot read the health: it is too long");
    for (char *word = strtok_r(copy, " \t", &save); word != NULL; word = strtok_r(NULL, " \t", &save))
        if (!parse_word(word, &health, err))
            return false;
    *out = health;
    return true;
}

struct soft_health soft_drive_health(const struct soft_drive *drive)
{
    return drive->health;
}

void soft_drive_set_health(struct soft_drive *drive, const struct soft_health *health)
{
    drive->health = *health;
}
