/* soft_fault.c - the text of a fault, and the names of opcodes. */
#include "nvme/soft_profile.h"

#include "base/must.h"
#include "base/text.h"

#include <stdio.h>
#include <string.h>

static const char *const kind_words[] = {
#define X(kind, word) [kind] = word,
    SOFT_FAULT_KINDS(X)
#undef X
};

/* The narrower name comes first, so that a log line says "create" and not "ns-management". */
static const struct {
    const char *name;
    bool io;
    uint8_t opcode;
    bool by_sel;
    uint8_t sel;
} names[] = {
    {"create", false, 0x0d, true, 0},         {"delete", false, 0x0d, true, 1},
    {"ns-management", false, 0x0d, false, 0}, {"attach", false, 0x15, true, 0},
    {"detach", false, 0x15, true, 1},         {"ns-attachment", false, 0x15, false, 0},
    {"get-log", false, 0x02, false, 0},       {"identify", false, 0x06, false, 0},
    {"set-features", false, 0x09, false, 0},  {"get-features", false, 0x0a, false, 0},
    {"format", false, 0x80, false, 0},        {"sanitize", false, 0x84, false, 0},
    {"sanitize-ns", false, 0x8c, false, 0},   {"fw-commit", false, 0x10, false, 0},
    {"fw-download", false, 0x11, false, 0},   {"flush", true, 0x00, false, 0},
    {"write", true, 0x01, false, 0},          {"read", true, 0x02, false, 0},
    {"write-zeroes", true, 0x08, false, 0},   {"dsm", true, 0x09, false, 0},
};

enum { NAME_COUNT = sizeof(names) / sizeof(names[0]) };

const char *soft_opcode_name(bool io, uint8_t opcode, uint32_t cdw10, char to[16])
{
    for (size_t i = 0; i < NAME_COUNT; i++)
        if (names[i].io == io && names[i].opcode == opcode && (!names[i].by_sel || names[i].sel == (cdw10 & 15)))
            return names[i].name;
    snprintf(to, 16, "0x%02x", opcode);
    return to;
}

/* "0x" and one to four hex digits. */
static bool parse_hex(const char *text, unsigned max, unsigned *out)
{
    if (text[0] != '0' || text[1] != 'x' || text[2] == '\0' || strlen(text) > 6)
        return false;
    unsigned value = 0;
    for (const char *at = text + 2; *at != '\0'; at++) {
        static const char digits[] = "0123456789abcdef";
        const char low = *at >= 'A' && *at <= 'F' ? (char)(*at + 32) : *at;
        const char *digit = strchr(digits, low);
        if (digit == NULL)
            return false;
        value = value * 16 + (unsigned)(digit - digits);
    }
    if (value > max)
        return false;
    *out = value;
    return true;
}

static bool parse_opcode(const char *word, struct soft_fault *fault, struct err *err)
{
    unsigned value;
    if (parse_hex(word, 0xff, &value)) {
        fault->opcode = (uint8_t)value;
        return true;
    }
    const char *nearest = names[0].name;
    for (size_t i = 0; i < NAME_COUNT; i++) {
        if (strcmp(names[i].name, word) == 0) {
            fault->io = names[i].io;
            fault->opcode = names[i].opcode;
            fault->by_sel = names[i].by_sel;
            fault->sel = names[i].sel;
            return true;
        }
        if (text_distance(names[i].name, word) < text_distance(nearest, word))
            nearest = names[i].name;
    }
    err_set(err, ERR_INPUT, "cannot read the fault: there is no command '%s'", word);
    return err_hint(err, "did you mean '%s'? An admin opcode is given as 0xNN", nearest);
}

static bool parse_kind(const char *word, struct soft_fault *fault, struct err *err)
{
    unsigned status;
    if (strncmp(word, "status:", 7) == 0) {
        if (!parse_hex(word + 7, 0x7ff, &status) || status == 0)
            return err_set(err, ERR_INPUT, "cannot read the fault: '%s' is not a status from 0x001 to 0x7ff", word + 7);
        fault->kind = SOFT_FAULT_STATUS;
        fault->status = (uint16_t)status;
        return true;
    }
    for (unsigned k = SOFT_FAULT_STATUS + 1; k < SOFT_FAULT_KIND_COUNT; k++)
        if (strcmp(kind_words[k], word) == 0) {
            fault->kind = (enum soft_fault_kind)k;
            return true;
        }
    err_set(err, ERR_INPUT, "cannot read the fault: there is no kind '%s'", word);
    return err_hint(err, "kinds are status:0xNNN, timeout-done, timeout-not-done, timeout-half-done, lie, hits-all");
}

static bool parse_count(const char *word, uint32_t least, uint32_t *out, struct err *err)
{
    uint64_t value;
    if (!text_u64(word, &value) || value < least || value > UINT32_MAX)
        return err_set(err, ERR_INPUT, "cannot read the fault: '%s' is not a number from %u", word, least);
    *out = (uint32_t)value;
    return true;
}

/* Takes the next word of *text into `word`; false at the end. A word too long is cut, and so no word we know. */
static bool next_word(const char **text, char *word, size_t size)
{
    const char *at = *text + strspn(*text, " \t");
    const size_t len = strcspn(at, " \t");
    *text = at + len;
    snprintf(word, size, "%.*s", (int)(len < 63 ? len : 63), at);
    return len > 0;
}

bool soft_fault_parse(const char *text, struct soft_fault *out, struct err *err)
{
    struct soft_fault fault = {.nth = 1, .count = 1};
    bool has_kind = false;
    char word[64];
    if (!next_word(&text, word, sizeof(word)))
        return err_set(err, ERR_INPUT, "cannot read the fault: it is empty");
    if (!parse_opcode(word, &fault, err))
        return false;
    while (next_word(&text, word, sizeof(word))) {
        bool ok;
        if (strncmp(word, "nth=", 4) == 0)
            ok = parse_count(word + 4, 1, &fault.nth, err);
        else if (strncmp(word, "count=", 6) == 0)
            ok = parse_count(word + 6, 0, &fault.count, err);
        else if (strncmp(word, "kind=", 5) == 0)
            ok = has_kind = parse_kind(word + 5, &fault, err);
        else
            ok = err_set(err, ERR_INPUT, "cannot read the fault: '%s' is none of nth=, count=, kind=", word);
        if (!ok)
            return false;
    }
    if (!has_kind)
        return err_set(err, ERR_INPUT, "cannot read the fault: kind= is missing");
    *out = fault;
    return true;
}
