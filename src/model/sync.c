#include "model/sync.h"

#include "base/must.h"

const char *const provider_words[PROVIDER_COUNT] = {
#define X(provider, word) word,
    PROVIDERS(X)
#undef X
};

static const char *const adopt_words[] = {
#define X(adopt, word) word,
    ADOPTS(X)
#undef X
};

static const char *const power_words[] = {
#define X(power, word) word,
    VM_POWERS(X)
#undef X
};

const char *adopt_word(enum adopt adopt)
{
    must(adopt < ADOPT_COUNT);
    return adopt_words[adopt];
}

static const struct jfield layout_fields[] = {
    {JENUM(struct layout, provider, provider_words)},
    {JID(struct layout, class)},
    {JU32(struct layout, count)},
    {JU8(struct layout, lbaf)},
    {JU32(struct layout, block_bytes)},
    {JU64(struct layout, slice_blocks)},
    {JU64(struct layout, slice_bytes)},
    {JU64(struct layout, cost_bytes)},
    {JU64(struct layout, stranded_bytes)},
};
const struct jmap layout_jmap = JMAP(struct layout, layout_fields);

static const struct jfield want_drive_fields[] = {
    {JOBJ(struct want_drive, ident, drive_ident_jmap)},
    {JID(struct want_drive, adoption)},
    {JOBJ(struct want_drive, layout, layout_jmap)},
    {JID(struct want_drive, rule), .optional = true},
};
static const struct jmap want_drive_jmap = JMAP(struct want_drive, want_drive_fields);

static const struct jfield want_slice_fields[] = {
    {JID(struct want_slice, id)},
    {JU64(struct want_slice, generation)},
    {JID(struct want_slice, owner), .optional = true},
    {JU32(struct want_slice, retries), .optional = true},
    {JBOOL(struct want_slice, retire), .optional = true},
};
static const struct jmap want_slice_jmap = JMAP(struct want_slice, want_slice_fields);

static const struct jfield slice_id_fields[] = {
    {.name = "id", .kind = J_STR, .offset = 0, .size = sizeof(struct slice_id)},
};
const struct jmap slice_id_jmap = JMAP(struct slice_id, slice_id_fields);

static const struct jfield want_vm_fields[] = {
    {JOBJ(struct want_vm, spec, vm_spec_jmap)},
    {JID(struct want_vm, claim)},
    {JLIST(struct want_vm, slices, slice_count, slice_id_jmap)},
    {JENUM(struct want_vm, power, power_words)},
    {JU32(struct want_vm, starts)},
    {JU32(struct want_vm, reboots)},
    {JBOOL(struct want_vm, force), .optional = true},
};
const struct jmap want_vm_jmap = JMAP(struct want_vm, want_vm_fields);

static const struct jfield want_retry_fields[] = {
    {JID(struct want_retry, adoption)},
    {JU32(struct want_retry, retries)},
};
static const struct jmap want_retry_jmap = JMAP(struct want_retry, want_retry_fields);

static const struct jfield wants_fields[] = {
    {JU64(struct wants, incarnation)},
    {JU64(struct wants, registration)},
    {JU64(struct wants, revision)},
    {JU64(struct wants, erasures_have)},
    {JLIST(struct wants, drives, drive_count, want_drive_jmap)},
    {JLIST(struct wants, retries, retry_count, want_retry_jmap), .optional = true},
    {JLIST(struct wants, slices, slice_count, want_slice_jmap)},
    {JLIST(struct wants, vms, vm_count, want_vm_jmap)},
    {JLIST(struct wants, tasks, task_count, drive_task_jmap), .optional = true},
};
const struct jmap wants_jmap = JMAP(struct wants, wants_fields);

static const struct jfield proposal_fields[] = {
    {JID(struct proposal, rule)},
    {JID(struct proposal, class)},
    {JENUM(struct proposal, provider, provider_words)},
};
static const struct jmap proposal_jmap = JMAP(struct proposal, proposal_fields);

static const struct jfield drive_report_fields[] = {
    {JENUM(struct drive_report, adopt, adopt_words)},
    {JID(struct drive_report, adoption), .optional = true},
    {JOBJ(struct drive_report, layout, layout_jmap), .optional = true},
    {JSTR(struct drive_report, why), .optional = true},
    {JU32(struct drive_report, retries), .optional = true},
    {JID(struct drive_report, rule), .optional = true},
    {JOBJ(struct drive_report, proposal, proposal_jmap), .optional = true},
    {JSTR(struct drive_report, rule_why), .optional = true},
    {JU32(struct drive_report, orphans), .optional = true},
    {JOBJ(struct drive_report, seen, drive_seen_jmap)},
    {JOBJ(struct drive_report, task, task_report_jmap), .optional = true},
};
const struct jmap drive_report_jmap = JMAP(struct drive_report, drive_report_fields);

static const struct jfield vm_report_fields[] = {
    {JID(struct vm_report, name)},
    {JID(struct vm_report, uuid)},
    {JENUM(struct vm_report, power, power_words)},
    {JSTR(struct vm_report, why), .optional = true},
    {JSTR(struct vm_report, console), .optional = true},
    {JSTR(struct vm_report, console_log), .optional = true},
    {JU32(struct vm_report, iothreads), .optional = true},
    {JU32(struct vm_report, starts_done), .optional = true},
};
const struct jmap vm_report_jmap = JMAP(struct vm_report, vm_report_fields);

static const struct jfield troubles_fields[] = {
    {JSTR(struct troubles, virt), .optional = true},
    {JSTR(struct troubles, drives), .optional = true},
    {JSTR(struct troubles, rules), .optional = true},
};
const struct jmap troubles_jmap = JMAP(struct troubles, troubles_fields);

static const struct jfield report_fields[] = {
    {JID(struct report, host)},
    {JU64(struct report, registration)},
    {JU64(struct report, number), .optional = true},
    {JU64(struct report, incarnation)},
    {JU64(struct report, wants_revision)},
    {JU32(struct report, vcpus)},
    {JU64(struct report, memory_bytes)},
    {JSTR(struct report, public_key)},
    {JSTR(struct report, software)},
    {JLIST(struct report, drives, drive_count, drive_report_jmap)},
    {JLIST(struct report, slices, slice_count, slice_jmap)},
    {JLIST(struct report, vms, vm_count, vm_report_jmap)},
    {JBOOL(struct report, drives_known), .optional = true},
    {JOBJ(struct report, troubles, troubles_jmap), .optional = true},
};
const struct jmap report_jmap = JMAP(struct report, report_fields);
