#include "model/task.h"

#include "base/text.h"

const char *const task_kind_words[TASK_KIND_COUNT] = {
#define X(kind, word) word,
    TASK_KINDS(X)
#undef X
};

const char *const task_state_words[TASK_STATE_COUNT] = {
#define X(state, word) word,
    TASK_STATES(X)
#undef X
};

const char *const task_verdict_words[VERDICT_COUNT] = {
#define X(verdict, word) word,
    VERDICTS(X)
#undef X
};

const char *const firmware_action_words[FIRMWARE_ACTION_COUNT] = {
#define X(action, word) word,
    FIRMWARE_ACTIONS(X)
#undef X
};

/* When there is no room, the last line makes place for a worse one: the reason for the verdict must be seen. */
void task_line_add(struct task_result *result, const char *check, enum verdict verdict, uint64_t ms, const char *text)
{
    if (result->line_count == TASK_LINES_MAX && verdict <= result->lines[TASK_LINES_MAX - 1].verdict)
        return;
    struct task_line *line =
        &result->lines[result->line_count < TASK_LINES_MAX ? result->line_count++ : TASK_LINES_MAX - 1];
    *line = (struct task_line){.verdict = verdict, .ms = ms < UINT32_MAX ? (uint32_t)ms : UINT32_MAX};
    text_cut(line->check, sizeof(line->check), check);
    text_cut(line->text, sizeof(line->text), text);
    if (verdict > result->verdict)
        result->verdict = verdict;
}

static const struct jfield line_fields[] = {
    {JSTR(struct task_line, check)},
    {JENUM(struct task_line, verdict, task_verdict_words)},
    {JSTR(struct task_line, text)},
    {JU32(struct task_line, ms)},
};
static const struct jmap line_jmap = JMAP(struct task_line, line_fields);

static const struct jfield result_fields[] = {
    {JENUM(struct task_result, verdict, task_verdict_words)},
    {JLIST(struct task_result, lines, line_count, line_jmap)},
    {JSTR(struct task_result, firmware_was), .optional = true},
    {JSTR(struct task_result, firmware_is), .optional = true},
    {JBOOL(struct task_result, reset_needed), .optional = true},
};
static const struct jmap result_jmap = JMAP(struct task_result, result_fields);

static const struct jfield job_fields[] = {
    {JSTR(struct firmware_job, digest)},
    {JU32(struct firmware_job, size_bytes)},
    {JU8(struct firmware_job, slot)},
    {JENUM(struct firmware_job, action, firmware_action_words)},
};
static const struct jmap job_jmap = JMAP(struct firmware_job, job_fields);

static const struct jfield task_fields[] = {
    {JID(struct drive_task, id)},
    {JENUM(struct drive_task, kind, task_kind_words)},
    {JOBJ(struct drive_task, ident, drive_ident_jmap)},
    {JOBJ(struct drive_task, firmware, job_jmap), .optional = true},
};
const struct jmap drive_task_jmap = JMAP(struct drive_task, task_fields);

static const struct jfield report_fields[] = {
    {JID(struct task_report, id)},
    {JENUM(struct task_report, kind, task_kind_words)},
    {JENUM(struct task_report, state, task_state_words)},
    {JU8(struct task_report, percent)},
    {JSTR(struct task_report, why), .optional = true},
    {JOBJ(struct task_report, result, result_jmap), .optional = true},
};
const struct jmap task_report_jmap = JMAP(struct task_report, report_fields);
