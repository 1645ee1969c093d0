/* sync.h - what server and agent tell one another, as levels, never as events. Messages may be lost, late, doubled
 * and out of order; whoever reads one compares its fencing numbers first (DESIGN: registration, generation,
 * incarnation) and then moves towards what it says. */
#ifndef NSMITH_SYNC_H
#define NSMITH_SYNC_H

#include "model/drive.h"
#include "model/ids.h"
#include "model/slice.h"
#include "model/task.h"
#include "model/vm.h"

#define PROVIDERS(X)                                                                                                   \
    X(PROVIDER_NONE, "none")                                                                                           \
    X(PROVIDER_NAMESPACE, "namespace") /* cut into namespaces */                                                       \
    X(PROVIDER_WHOLE, "whole")         /* the drive is one slice */

enum provider {
#define X(provider, word) provider,
    PROVIDERS(X)
#undef X
        PROVIDER_COUNT
};

extern const char *const provider_words[PROVIDER_COUNT];

/* How a drive is cut, decided once, at adoption (core/plan.h), from then on the drive's own. */
struct layout {
    enum provider provider;
    struct name class;
    uint32_t count;        /* slices */
    uint8_t lbaf;          /* index of the LBA format */
    uint32_t block_bytes;
    uint64_t slice_blocks; /* NSZE and NCAP of each */
    uint64_t slice_bytes;  /* slice_blocks x block_bytes */
    uint64_t cost_bytes;   /* what one is expected to take from the drive (rounded up to NCG) */
    uint64_t stranded_bytes;
};

extern const struct jmap layout_jmap;

/* ---- server -> agent: what is wanted ------------------------------------------------------------------------- */

/* A drive the server wants adopted. The agent checks everything anew before it touches the drive. */
struct want_drive {
    struct drive_ident ident;
    struct uuid adoption;
    struct layout layout;
    struct name rule; /* of the host that asked for it; empty: a person did */
};

/* A drive at fault that a person wants looked at once more. */
struct want_retry {
    struct uuid adoption;
    uint32_t retries; /* grows with each `drive retry` */
};

/* Every slice the server knows on the host. An owner and a generation; the agent moves the slice there. */
struct want_slice {
    struct slice_id id;
    uint64_t generation;   /* lower than the agent's own: changes nothing */
    struct claim_id owner; /* empty: nobody's, to be erased */
    uint32_t retries;      /* grows with each `slice retry` of an operator */
    bool retire;           /* delete a quarantined slice for good */
};

struct want_vm {
    struct vm_spec spec;
    struct claim_id claim;
    struct slice_id slices[CLAIM_SLICES_MAX]; /* in the order in which the guest sees them */
    size_t slice_count;
    enum vm_power power;     /* VM_OFF, VM_RUNNING, or VM_GONE: to be undefined */
    uint32_t starts;         /* grows with create and each `vm start`: a guest that powers itself off stays off */
    uint32_t reboots;        /* grows with each `vm reboot` */
    bool force;              /* VM_OFF: at once, do not ask the guest */
};

struct wants {
    uint64_t incarnation;  /* grows with each restore of the server's database */
    uint64_t registration; /* the one this answer is for */
    uint64_t revision;     /* grows with each change of what is wanted of this host */
    uint64_t erasures_have; /* the server holds the agent's chain up to this seq */
    struct want_drive drives[HOST_DRIVES_MAX];
    size_t drive_count;
    struct want_retry retries[HOST_DRIVES_MAX];
    size_t retry_count;
    struct want_slice slices[HOST_SLICES_MAX];
    size_t slice_count;
    struct want_vm vms[HOST_VMS_MAX];
    size_t vm_count;
    struct drive_task tasks[HOST_DRIVES_MAX]; /* at most one a drive; it stays until the agent has reported its end */
    size_t task_count;
};

extern const struct jmap wants_jmap, want_vm_jmap, slice_id_jmap;

/* ---- agent -> server: what is -------------------------------------------------------------------------------- */

#define ADOPTS(X)                                                                                                      \
    X(ADOPT_NONE, "available")   /* not ours */                                                                        \
    X(ADOPT_CHECKING, "checking") /* wanted; being looked at anew */                                                   \
    X(ADOPT_CUTTING, "cutting")  /* ours; slices are being made */                                                     \
    X(ADOPT_DONE, "adopted")                                                                                           \
    X(ADOPT_REFUSED, "refused")  /* wanted, and refused: why says which check */                                       \
    X(ADOPT_FAULT, "fault")      /* ours, and something is wrong with the drive itself */                              \
    X(ADOPT_MISSING, "missing")  /* ours, and not there */

enum adopt {
#define X(adopt, word) adopt,
    ADOPTS(X)
#undef X
        ADOPT_COUNT
};

const char *adopt_word(enum adopt adopt);

/* What a rule of the host (core/adopt_rule.h) says of a drive that nobody has adopted. */
struct proposal {
    struct name rule; /* empty: no rule allows it */
    struct name class;
    enum provider provider;
};

struct drive_report {
    enum adopt adopt;
    struct uuid adoption;
    struct layout layout;
    char why[WHY_MAX];
    uint32_t retries;       /* the highest that was carried out */
    struct name rule; /* ours, or wanted: the rule that asked for it; empty: a person did */
    struct proposal proposal;
    char rule_why[WHY_MAX]; /* available, and no proposal: why not */
    uint32_t orphans;       /* namespaces on an adopted drive that the ledger does not know */
    struct drive_seen seen; /* the last scan; while missing, only its ident */
    struct task_report task; /* the last that the drive was asked to do */
};

struct vm_report {
    struct name name;
    struct uuid uuid;
    enum vm_power power;
    char why[WHY_MAX];                 /* could not be started: why */
    char console[PATH_TEXT_MAX];       /* pseudo terminal of a running VM */
    char console_log[PATH_TEXT_MAX];
    uint32_t iothreads;                /* as the hypervisor counts them */
    uint32_t starts_done;              /* of want_vm.starts: carried out, or failed for good */
};

/* What keeps a host from its work, in words; empty: nothing. */
struct troubles {
    char virt[WHY_MAX];   /* the hypervisor does not answer: no VM can be started */
    char drives[WHY_MAX]; /* the drives cannot be listed: nothing is known of those that are not there */
    char rules[WHY_MAX];  /* the rules for adopting drives cannot be read: none counts */
};

struct report {
    struct name host;
    uint64_t registration; /* 0: the agent asks for one */
    uint64_t number;       /* grows with each report; one that comes after a newer one is passed over. 0: not numbered */
    uint64_t incarnation;  /* the highest it has seen */
    uint64_t wants_revision; /* of the last wants it took */
    uint32_t vcpus;
    uint64_t memory_bytes;
    char public_key[65];   /* hex Ed25519, of its certificates */
    char software[32];
    struct drive_report drives[HOST_DRIVES_MAX];
    size_t drive_count;
    struct slice slices[HOST_SLICES_MAX];
    size_t slice_count;
    struct vm_report vms[HOST_VMS_MAX];
    size_t vm_count;
    bool drives_known; /* every drive that is there is in `drives`: what is not, is gone */
    struct troubles troubles;
};

extern const struct jmap troubles_jmap, report_jmap, drive_report_jmap, vm_report_jmap;

#endif
