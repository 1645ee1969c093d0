/* soft_state.h - what a software drive remembers, whatever happens: its namespaces and what is under way.
 *   - Plain data. A command changes a copy; the copy is saved (in a folder: DIR/state.json, written aside, synced,
 *     renamed, folder synced) and only then becomes the state and is acknowledged.
 *   - In memory nothing is written, and the rest is the same. */
#ifndef NSMITH_SOFT_STATE_H
#define NSMITH_SOFT_STATE_H

#include "base/err.h"
#include "nvme/soft_fwimage.h"
#include "nvme/soft_profile.h"

/* A drive has controller 1, which is the host's own when there is no network, and one more for each further host. */
enum { SOFT_CNTLID = 1, SOFT_CTRLS_MAX = 8, SOFT_NQN_SIZE = 224 };

/* What was read and written, in commands and in units of 512 bytes. */
struct soft_use {
    uint64_t reads, writes, units_read, units_written;
};

struct soft_ns {
    uint32_t nsid;
    uint64_t size_blocks; /* NSZE = NCAP */
    uint64_t charged_bytes;
    uint64_t born;  /* order of creation */
    uint64_t media; /* number of its medium */
    uint8_t lbaf;
    uint8_t sanitized; /* enum nvme_sanitize SSTAT of the last Sanitize Namespace: 0 never */
    uint16_t cntlid;   /* attached to this controller, 0: to none. All namespaces are private: never to two */
    bool interrupted;  /* a format was cut short: the content is indeterminate until the next one */
    uint8_t nguid[16], eui64[8];
    struct soft_use use; /* since it was made */
};

/* Space of deleted namespaces that has not come back (profile: reclaim = delete-order). */
struct soft_gap {
    uint64_t born, bytes;
};

/* The host that controller n belongs to, for good: hosts[n - 1]. A host finds what was attached to its controller
 * whenever it comes back, and no other host ever does. */
struct soft_host {
    char nqn[SOFT_NQN_SIZE];
};

struct soft_spare {
    uint64_t media;
};

/* What is in a firmware slot. */
struct soft_firmware {
    uint8_t slot; /* 1 to SOFT_FIRMWARE_MAX */
    struct soft_fwimage image;
};

enum soft_op_kind { SOFT_OP_NONE, SOFT_OP_FORMAT, SOFT_OP_SANITIZE, SOFT_OP_SANITIZE_NS, SOFT_OP_COUNT };
enum soft_effect { SOFT_EFFECT_FULL, SOFT_EFFECT_HALF, SOFT_EFFECT_NONE, SOFT_EFFECT_COUNT };

/* The one erase that may be under way. */
struct soft_op {
    enum soft_op_kind kind;
    enum soft_effect effect;
    uint32_t nsid;
    bool all;          /* hits all namespaces */
    uint8_t ses, lbaf; /* format; sanitize: ses is SANACT */
};

struct soft_state {
    uint32_t version; /* 1 */
    char serial[21];
    uint64_t seed;
    uint64_t next_born, next_media;
    struct soft_ns ns[SOFT_NS_MAX]; /* in order of NSID */
    size_t ns_count;
    struct soft_gap gaps[SOFT_NS_MAX];
    size_t gap_count;
    struct soft_spare spares[SOFT_NS_MAX]; /* profile: leaky_delete; the newest last */
    size_t spare_count;
    struct soft_host hosts[SOFT_CTRLS_MAX];
    size_t host_count;
    struct soft_firmware firmware[SOFT_FIRMWARE_MAX];
    size_t firmware_count;
    uint8_t firmware_active; /* slot that what runs came from */
    uint8_t firmware_next;   /* slot that runs after the next reset that suffices; 0: the same */
    struct soft_fwimage running;
    struct soft_op op;
    uint8_t sanitized;       /* SSTAT of the last Sanitize of the drive */
    uint32_t sanitize_cdw10; /* of that one */
    bool written;            /* any block, since the last Sanitize of the drive that was a success, or ever */
    struct soft_use use;
    uint64_t power_cycles, unsafe_shutdowns, power_on_ms;
    bool shut_down; /* before the power went */
};

struct soft_ns *soft_state_ns(struct soft_state *state, uint32_t nsid); /* NULL: none */
/* Keeps the order; the count must have room. */
struct soft_ns *soft_state_add(struct soft_state *state, const struct soft_ns *ns);
/* Whether the drive has this controller. */
bool soft_state_has_ctrl(const struct soft_state *state, uint16_t cntlid);
void soft_state_remove(struct soft_state *state, uint32_t nsid, bool reclaim_in_order);
uint64_t soft_state_used_bytes(const struct soft_state *state);
/* The name of the first broken rule, or NULL. */
const char *soft_state_broken(const struct soft_state *state, const struct soft_profile *profile);

bool soft_state_save(const struct soft_state *state, const char *dir, struct err *err);
bool soft_state_load(const char *dir, struct soft_state *out, struct err *err);
char *soft_state_text(const struct soft_state *state); /* JSON from malloc() */
/* Writes dir/name so that after any crash it holds the old or the new text. */
bool soft_file_save(const char *dir, const char *name, const char *text, struct err *err);
/* The whole file as text from malloc(); ERR_MISSING when there is none. */
bool soft_file_load(const char *dir, const char *name, size_t max, char **out, struct err *err);

#endif
