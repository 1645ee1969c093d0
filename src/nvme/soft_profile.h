/* soft_profile.h - what a software drive is like, and what it does wrong.
 *   - A profile is text: lines `key = value`, '#' begins a comment, empty lines are passed over.
 *   - A key may be given once, except lba_format and fault; the first lba_format and every fault adds to the list.
 *   - An unknown key, a value out of range, a capacity that is missing: an error that names the profile and the line,
 *     and for a key the nearest known one.
 *   - What is not given is as an ordinary enterprise SSD has it (soft_profile_defaults()). */
#ifndef NSMITH_SOFT_PROFILE_H
#define NSMITH_SOFT_PROFILE_H

#include "base/err.h"

#include <stddef.h>

enum {
    SOFT_NS_MAX = 128, /* the largest NN */
    SOFT_LBAF_MAX = 16,
    SOFT_FIRMWARE_MAX = 7, /* slots */
    SOFT_FAULTS_MAX = 16,
    SOFT_PROFILE_TEXT_MAX = 65536,
};

#define SOFT_FAULT_KINDS(X)                                                                      \
    X(SOFT_FAULT_STATUS, "status")                     /* status:0xNNN: refused, nothing done */ \
    X(SOFT_FAULT_TIMEOUT_DONE, "timeout-done")         /* done, but no completion ever comes */  \
    X(SOFT_FAULT_TIMEOUT_NOT_DONE, "timeout-not-done") /* not done, no completion */             \
    X(SOFT_FAULT_TIMEOUT_HALF_DONE, "timeout-half-done")                                         \
    X(SOFT_FAULT_LIE, "lie")           /* success, nothing done */                               \
    X(SOFT_FAULT_HITS_ALL, "hits-all") /* an erase of one namespace erases all of them */

enum soft_fault_kind {
#define X(kind, word) kind,
    SOFT_FAULT_KINDS(X)
#undef X
        SOFT_FAULT_KIND_COUNT
};

/* "format nth=2 count=1 kind=lie": the second Format from now, once. Half done is: half of the data blocks for an
 * erase or a write; for a command that is one step, done or not done as chance has it. */
struct soft_fault {
    bool io; /* opcode of the I/O command set, else an admin one */
    uint8_t opcode;
    bool by_sel; /* only commands whose SEL (CDW10 bits 3:0) is `sel`: create and delete share an opcode */
    uint8_t sel;
    uint32_t nth;   /* 1: the next one */
    uint32_t count; /* so many in a row; 0: all from then on */
    enum soft_fault_kind kind;
    uint16_t status; /* SOFT_FAULT_STATUS */
    uint32_t seen;   /* commands of that opcode so far */
};

/* What it takes until another firmware runs. With AT_ONCE a reset of the controller does as well. */
enum soft_activation {
    SOFT_ACTIVATION_AT_ONCE,
    SOFT_ACTIVATION_CONTROLLER_RESET,
    SOFT_ACTIVATION_SUBSYSTEM_RESET,
    SOFT_ACTIVATION_POWER_CYCLE, /* what Base calls a Conventional Reset */
};

enum soft_ids { SOFT_IDS_UNIQUE, SOFT_IDS_ZERO, SOFT_IDS_REUSED }; /* reused: the same for the same NSID */

/* What the SMART log says (Base 2.0, LID 02h). */
struct soft_health {
    uint8_t critical_warning;
    uint16_t temperature_k;
    uint8_t spare_percent, spare_threshold_percent, used_percent;
    uint64_t media_errors, power_on_hours;
    uint64_t units_written; /* of 512,000 bytes, before what is written from now on */
};

struct soft_lbaf {
    uint32_t block_bytes; /* a power of two from 512 to 65536 */
    uint16_t meta_bytes;
    uint8_t performance; /* RP: 0 best to 3 degraded */
};

struct soft_profile {
    char name[64];
    uint16_t vendor_id;
    bool msi; /* on PCIe: interrupts by MSI, as a drive has them that knows no MSI-X */
    char model[41], firmware[9]; /* the revision it is born with, in slot 1 */
    uint8_t firmware_slots;      /* 0: no commands to update it */
    bool firmware_slot1_read_only;
    enum soft_activation firmware_activation;
    uint32_t firmware_granularity; /* FWUG in bytes; 0: no restriction */
    uint32_t firmware_max_ms;      /* MTFA */
    uint64_t capacity_bytes;       /* TNVMCAP */
    uint32_t nn, mnan;             /* mnan 0: not reported */
    struct soft_lbaf lbaf[SOFT_LBAF_MAX];
    size_t lbaf_count;
    uint8_t factory_lbaf;          /* of the namespace that the drive is born with */
    bool factory_namespace;        /* born with one namespace over the whole drive, attached */
    uint64_t nsg_bytes, ncg_bytes; /* what a create must be a multiple of; 0: the block */
    bool granularity_reported;     /* CTRATT bit 7, CNS 16h */
    bool granularity_strict;       /* a create off the granule is refused; else it is charged rounded up */
    uint8_t fna;
    bool ns_management, format;
    bool sanitize_block, sanitize_overwrite, sanitize_crypto, sanitize_ns;
    bool crypto_noise; /* what reads show after a cryptographic erase: noise, else zeros */
    enum soft_ids nguid, eui64;
    bool reclaim_in_order; /* space of a deleted namespace is back when all that were made after it are gone */
    bool events;           /* the host sees an attached namespace at once, else after a rescan */
    uint32_t format_ms, sanitize_ms; /* how long */
    bool progress;                   /* FPI supported */
    bool delete_attached;            /* deleting detaches, as Base lets it; else what is attached cannot be deleted */
    bool leaky_delete;               /* a new namespace shows what a deleted one held */
    bool interrupted_not_ready; /* after a format that a power cut interrupted: Namespace Not Ready until formatted */
    bool smart_per_namespace;   /* LPA bit 0: the SMART log of one namespace counts what was written there */
    bool write_zeroes, deallocate; /* ONCS bits 3 and 2 */
    struct soft_health health;
    struct soft_fault faults[SOFT_FAULTS_MAX];
    size_t fault_count;
};

/* Everything but name and capacity. */
void soft_profile_defaults(struct soft_profile *out);
/* `name` is the profile's name (of the file without ".conf"), used in messages too. */
bool soft_profile_parse(const char *name, const char *text, size_t len, struct soft_profile *out, struct err *err);
/* Reads the file dir/name.conf; text_out, where not NULL, gets its text from malloc(). ERR_INPUT with the names of
 * what is there as a hint when there is no such file. */
bool soft_profile_load(const char *dir, const char *name, struct soft_profile *out, char **text_out, struct err *err);

/* "format nth=1 count=1 kind=status:0x006"; nth and count may be left out (1 and 1). */
bool soft_fault_parse(const char *text, struct soft_fault *out, struct err *err);
/* "warning=1 temperature=85 spare=5 threshold=10 used=101 media_errors=3 hours=9 written=1000": words in any order;
 * what is not named stays. Temperature in degrees Celsius. */
bool soft_health_parse(const char *text, struct soft_health *out, struct err *err);
/* "format", "create", "read"; "0xc1" where the opcode has no name. */
const char *soft_opcode_name(bool io, uint8_t opcode, uint32_t cdw10, char to[16]);

#endif
