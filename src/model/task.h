/* task.h - a one-shot piece of work that a person asks of one drive, adopted or not: wanted as a level (struct wants),
 * answered as a level (struct drive_report). A task acts once: it is known by its id, whatever is sent how often.
 *
 *   waiting -> running -> done | failed
 *           \-> refused (nothing was done)
 *
 * `done` says that the work was done, not that its result is good: a drive that is found bad is a probe well done. */
#ifndef NSMITH_TASK_H
#define NSMITH_TASK_H

#include "model/drive.h"

#define TASK_KINDS(X)                                                                                                  \
    X(TASK_NONE, "none")                                                                                               \
    X(TASK_PROBE, "probe")                         /* qualify the drive by questions; changes nothing */               \
    X(TASK_PROBE_DESTRUCTIVE, "probe-destructive") /* and by work on an empty adopted drive */                         \
    X(TASK_FIRMWARE, "firmware")                   /* download, commit */

enum task_kind {
#define X(kind, word) kind,
    TASK_KINDS(X)
#undef X
        TASK_KIND_COUNT
};

#define TASK_STATES(X)                                                                                                 \
    X(TASK_WAITING, "waiting") /* not begun; why says what for */                                                      \
    X(TASK_RUNNING, "running")                                                                                         \
    X(TASK_DONE, "done")                                                                                               \
    X(TASK_FAILED, "failed")   /* begun; why says what went wrong */                                                   \
    X(TASK_REFUSED, "refused") /* not begun, and never will be */

enum task_state {
#define X(state, word) state,
    TASK_STATES(X)
#undef X
        TASK_STATE_COUNT
};

/* How good a drive is: each worse than the one before. */
#define VERDICTS(X)                                                                                                    \
    X(VERDICT_QUALIFIED, "qualified") /* all that nsmith wants of a drive */                                           \
    X(VERDICT_LIMITED, "limited")     /* of use, with less: the line says what */                                      \
    X(VERDICT_REJECTED, "rejected")   /* not to be used */

enum verdict {
#define X(verdict, word) verdict,
    VERDICTS(X)
#undef X
        VERDICT_COUNT
};

extern const char *const task_kind_words[TASK_KIND_COUNT], *const task_state_words[TASK_STATE_COUNT],
    *const task_verdict_words[VERDICT_COUNT];

enum { TASK_LINES_MAX = 32 };

/* What one check of a probe found. */
struct task_line {
    char check[24];
    enum verdict verdict;
    char text[200];
    uint32_t ms; /* how long it took; 0: at once */
};

struct task_result {
    enum verdict verdict; /* the worst of the lines */
    struct task_line lines[TASK_LINES_MAX];
    size_t line_count;
    char firmware_was[9], firmware_is[9]; /* revisions before and after an update */
    bool reset_needed;                    /* before the new one runs */
};

/* Adds a line, which may make the verdict worse. */
void task_line_add(struct task_result *result, const char *check, enum verdict verdict, uint64_t ms, const char *text);

/* What a commit is to do with the image (Base, Firmware Commit, CA). */
#define FIRMWARE_ACTIONS(X)                                                                                            \
    X(FIRMWARE_NOW, "now")     /* it runs at once: CA 3 */                                                             \
    X(FIRMWARE_RESET, "reset") /* it runs after the next reset: CA 1 */                                                \
    X(FIRMWARE_NONE, "none")   /* it lies in its slot: CA 0 */

enum firmware_action {
#define X(action, word) action,
    FIRMWARE_ACTIONS(X)
#undef X
        FIRMWARE_ACTION_COUNT
};

extern const char *const firmware_action_words[FIRMWARE_ACTION_COUNT];

enum { FIRMWARE_BYTES_MAX = 64 << 20, FIRMWARE_PIECE = 64 << 10, FIRMWARE_DIGEST_HEX = 65 };

struct firmware_job {
    char digest[FIRMWARE_DIGEST_HEX]; /* SHA-256, lower-case hex */
    uint32_t size_bytes;              /* a multiple of 4 */
    uint8_t slot;                     /* 0: the drive chooses */
    enum firmware_action action;
};

struct drive_task {
    struct uuid id; /* empty: none */
    enum task_kind kind;
    struct drive_ident ident;
    struct firmware_job firmware;
};

struct task_report {
    struct uuid id; /* empty: the drive was never asked anything */
    enum task_kind kind;
    enum task_state state;
    uint8_t percent;
    char why[WHY_MAX];
    struct task_result result;
};

static inline bool task_is_over(enum task_state state)
{
    return state != TASK_WAITING && state != TASK_RUNNING;
}

extern const struct jmap drive_task_jmap, task_report_jmap;

#endif
