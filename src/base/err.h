/* err.h - the one error type.
 *   - A function that can fail returns bool and takes `struct err *err` last.
 *   - true: err untouched. false: err filled, and every other out-parameter untouched.
 *   - `kind` says what the caller can do about it; ERR_KINDS is the one table from which the HTTP status,
 *     the command line's exit code and the retry rule come.
 *   - `msg` is one phrase, `cannot <verb> <object>: <why>`, names in single quotes, no newline, no full stop.
 *   - `hint` says what to do next, an imperative phrase; may be empty.
 *   - A second error never hides the first: err_set() on a filled err is a bug. */
#ifndef NSMITH_ERR_H
#define NSMITH_ERR_H

#include <stdbool.h>
#include <stdint.h>

/* kind, name on the wire, HTTP status, exit code of the command line, may succeed when tried again */
#define ERR_KINDS(X)                                                                                                   \
    X(ERR_NONE, "ok", 200, 0, false)                                                                                   \
    X(ERR_FAILED, "failed", 500, 1, false)                                                                             \
    X(ERR_INPUT, "bad-input", 400, 2, false)                                                                           \
    X(ERR_MISSING, "not-found", 404, 3, false)                                                                         \
    X(ERR_CONFLICT, "conflict", 409, 4, false)                                                                         \
    X(ERR_FULL, "does-not-fit", 507, 5, false)                                                                         \
    X(ERR_BUSY, "try-again", 503, 6, true)                                                                             \
    X(ERR_DEVICE, "device-failed", 502, 7, true)                                                                       \
    X(ERR_UNSAFE, "refused-for-safety", 422, 8, false)                                                                 \
    X(ERR_DENIED, "not-allowed", 403, 9, false)

enum err_kind {
#define X(kind, name, http, code, retry) kind,
    ERR_KINDS(X)
#undef X
        ERR_KIND_COUNT
};

enum { ERR_MSG_MAX = 400, ERR_HINT_MAX = 240 };

struct err {
    enum err_kind kind;
    int sys;       /* errno, or 0 */
    uint16_t nvme; /* NVMe status (SCT << 8 | SC), without DNR and More, or 0 */
    char msg[ERR_MSG_MAX];
    char hint[ERR_HINT_MAX];
};

const char *err_kind_name(enum err_kind kind);
enum err_kind err_kind_by_name(const char *name); /* ERR_FAILED for an unknown name */
int err_kind_http(enum err_kind kind);
int err_kind_exit(enum err_kind kind);
bool err_kind_retry(enum err_kind kind);

/* All return false, so that `return err_set(...)` reads well. Messages are cut, never overrun. */
bool err_set(struct err *err, enum err_kind kind, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* errno becomes a kind here and nowhere else: a path that cannot be one is input; ENOENT/ENODEV/ENXIO missing; in use,
 * unreachable, too long or too many at once busy; what a drive or its path reports device; EACCES/EPERM/EROFS denied;
 * ENOSPC/EDQUOT/EFBIG full; EEXIST/ENOTEMPTY/EADDRINUSE conflict; else failed. The table is in test/unit/t_err.c. */
bool err_sys(struct err *err, int sys, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* A non-zero NVMe status becomes a kind here and nowhere else (NVM Express Base 2.0, section 3.3.3.2.1). */
bool err_nvme(struct err *err, uint16_t status, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Puts "<text>: " before the message of a filled err. */
bool err_wrap(struct err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Sets the hint of a filled err; an earlier hint is kept. */
bool err_hint(struct err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static inline void err_clear(struct err *err)
{
    *err = (struct err){0};
}

const char *nvme_status_text(uint16_t status); /* "Invalid Field in Command"; "status 0x1234" is "unknown status" */

#endif
