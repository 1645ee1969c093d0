#include "base/err.h"

#include "base/must.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    int http, exit_code;
    bool retry;
} kinds[] = {
#define X(kind, name, http, code, retry) [kind] = {name, http, code, retry},
    ERR_KINDS(X)
#undef X
};

const char *err_kind_name(enum err_kind kind)
{
    must(kind < ERR_KIND_COUNT);
    return kinds[kind].name;
}

enum err_kind err_kind_by_name(const char *name)
{
    for (unsigned k = 0; k < ERR_KIND_COUNT; k++)
        if (strcmp(kinds[k].name, name) == 0)
            return (enum err_kind)k;
    return ERR_FAILED;
}

int err_kind_http(enum err_kind kind)
{
    must(kind < ERR_KIND_COUNT);
    return kinds[kind].http;
}

int err_kind_exit(enum err_kind kind)
{
    must(kind < ERR_KIND_COUNT);
    return kinds[kind].exit_code;
}

bool err_kind_retry(enum err_kind kind)
{
    must(kind < ERR_KIND_COUNT);
    return kinds[kind].retry;
}

__attribute__((format(printf, 3, 0))) static void fill(struct err *err, enum err_kind kind, const char *fmt, va_list ap)
{
    must(err->kind == ERR_NONE);
    must(kind != ERR_NONE);
    *err = (struct err){.kind = kind};
    vsnprintf(err->msg, sizeof(err->msg), fmt, ap);
}

__attribute__((format(printf, 2, 3))) static void append(struct err *err, const char *fmt, ...)
{
    size_t used = strlen(err->msg);
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(err->msg + used, sizeof(err->msg) - used, fmt, ap);
    va_end(ap);
}

bool err_set(struct err *err, enum err_kind kind, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fill(err, kind, fmt, ap);
    va_end(ap);
    return false;
}

static enum err_kind kind_of_errno(int sys)
{
    switch (sys) {
    case ENAMETOOLONG:
    case ENOTDIR:
    case EISDIR:
    case ELOOP:
        return ERR_INPUT;
    case ENOENT:
    case ENODEV:
    case ENXIO:
        return ERR_MISSING;
    case EEXIST:
    case ENOTEMPTY:
    case EADDRINUSE:
        return ERR_CONFLICT;
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return ERR_FULL;
    case EBUSY:
    case ETXTBSY:
    case EAGAIN:
    case EINTR:
    case ETIMEDOUT:
    case ECONNREFUSED:
    case ECONNRESET:
    case EHOSTUNREACH:
    case ENETUNREACH:
    case EMFILE:
    case ENFILE:
        return ERR_BUSY;
    /* The last four are how Linux's block layer calls a medium error, a lost path, failed protection information and a
     * file system that finds itself damaged (block/blk-core.c, blk_errors[]). */
    case EIO:
    case EREMOTEIO:
    case ENODATA:
    case ENOLINK:
    case EILSEQ:
    case EUCLEAN:
        return ERR_DEVICE;
    case EACCES:
    case EPERM:
    case EROFS:
        return ERR_DENIED;
    default:
        return ERR_FAILED;
    }
}

bool err_sys(struct err *err, int sys, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fill(err, kind_of_errno(sys), fmt, ap);
    va_end(ap);
    err->sys = sys;
    append(err, ": %s", strerror(sys));
    return false;
}

/* NVM Express Base Specification 2.0, figures "Generic Command Status Values", "Command Specific Status Values",
 * "Media and Data Integrity Error Values". Only those that a reader may meet here. */
static const struct {
    uint16_t status;
    enum err_kind kind;
    const char *text;
} statuses[] = {
    {0x001, ERR_DEVICE, "Invalid Command Opcode"},
    {0x002, ERR_DEVICE, "Invalid Field in Command"},
    {0x004, ERR_DEVICE, "Data Transfer Error"},
    {0x005, ERR_DEVICE, "Aborted due to Power Loss Notification"},
    {0x006, ERR_DEVICE, "Internal Error"},
    {0x007, ERR_BUSY, "Command Abort Requested"},
    {0x00b, ERR_DEVICE, "Invalid Namespace or Format"},
    {0x00c, ERR_DEVICE, "Command Sequence Error"},
    {0x01c, ERR_DEVICE, "Sanitize Failed"},
    {0x01d, ERR_BUSY, "Sanitize In Progress"},
    {0x020, ERR_DEVICE, "Namespace is Write Protected"},
    {0x021, ERR_BUSY, "Command Interrupted"},
    {0x02b, ERR_DEVICE, "Sanitize Namespace Failed"},
    {0x02c, ERR_BUSY, "Sanitize Namespace In Progress"},
    {0x080, ERR_DEVICE, "LBA Out of Range"},
    {0x081, ERR_FULL, "Capacity Exceeded"},
    {0x082, ERR_BUSY, "Namespace Not Ready"},
    {0x083, ERR_BUSY, "Reservation Conflict"},
    {0x084, ERR_BUSY, "Format In Progress"},
    {0x106, ERR_INPUT, "Invalid Firmware Slot"},
    {0x107, ERR_INPUT, "Invalid Firmware Image"},
    {0x109, ERR_DEVICE, "Invalid Log Page"},
    {0x10a, ERR_DEVICE, "Invalid Format"},
    {0x10b, ERR_BUSY, "Firmware Activation Requires Conventional Reset"},
    {0x110, ERR_BUSY, "Firmware Activation Requires NVM Subsystem Reset"},
    {0x111, ERR_BUSY, "Firmware Activation Requires Controller Level Reset"},
    {0x112, ERR_BUSY, "Firmware Activation Requires Maximum Time Violation"},
    {0x113, ERR_INPUT, "Firmware Activation Prohibited"},
    {0x114, ERR_INPUT, "Overlapping Range"},
    {0x10f, ERR_DEVICE, "Feature Not Namespace Specific"},
    {0x115, ERR_FULL, "Namespace Insufficient Capacity"},
    {0x116, ERR_FULL, "Namespace Identifier Unavailable"},
    {0x118, ERR_CONFLICT, "Namespace Already Attached"},
    {0x119, ERR_CONFLICT, "Namespace Is Private"},
    {0x11a, ERR_CONFLICT, "Namespace Not Attached"},
    {0x11b, ERR_DEVICE, "Thin Provisioning Not Supported"},
    {0x11c, ERR_DEVICE, "Controller List Invalid"},
    {0x11d, ERR_BUSY, "Device Self-test In Progress"},
    {0x13c, ERR_BUSY, "Exceeds Maximum Namespace Sanitize Operations In Progress"},
    {0x280, ERR_DEVICE, "Write Fault"},
    {0x281, ERR_DEVICE, "Unrecovered Read Error"},
    {0x286, ERR_DENIED, "Access Denied"},
    {0x371, ERR_BUSY, "Command Aborted By Host"},
};

static const char *status_lookup(uint16_t status, enum err_kind *kind)
{
    for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++)
        if (statuses[i].status == status) {
            *kind = statuses[i].kind;
            return statuses[i].text;
        }
    *kind = ERR_DEVICE;
    return "unknown status";
}

const char *nvme_status_text(uint16_t status)
{
    enum err_kind ignored;
    return status_lookup(status, &ignored);
}

bool err_nvme(struct err *err, uint16_t status, const char *fmt, ...)
{
    must(status != 0);
    const uint16_t code = status & 0x7ff; /* DNR, More and CRD are not part of the meaning */
    enum err_kind kind;
    const char *text = status_lookup(code, &kind);
    va_list ap;
    va_start(ap, fmt);
    fill(err, kind, fmt, ap);
    va_end(ap);
    err->nvme = code;
    append(err, ": the drive answered '%s' (0x%03x)", text, code);
    return false;
}

bool err_wrap(struct err *err, const char *fmt, ...)
{
    must(err->kind != ERR_NONE);
    char old[ERR_MSG_MAX];
    memcpy(old, err->msg, sizeof(old));
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(err->msg, sizeof(err->msg), fmt, ap);
    va_end(ap);
    append(err, ": %s", old);
    return false;
}

bool err_hint(struct err *err, const char *fmt, ...)
{
    must(err->kind != ERR_NONE);
    if (err->hint[0] == '\0') {
        va_list ap;
        va_start(ap, fmt);
        vsnprintf(err->hint, sizeof(err->hint), fmt, ap);
        va_end(ap);
    }
    return false;
}
