/* drive.h - what a drive says of itself, as one scan saw it, and what of it belongs to somebody else.
 * Plain data: fixed sizes, no pointers, copied with =. */
#ifndef NSMITH_DRIVE_H
#define NSMITH_DRIVE_H

#include "base/jmap.h"
#include "model/ids.h"

#include <stddef.h>

/* Who a drive is. Never its /dev name. */
struct drive_ident {
    uint16_t vendor_id; /* PCI vendor, Identify Controller VID */
    char serial[21];    /* SN, trailing spaces removed, not printable bytes as '?' */
    char model[41];     /* MN, likewise */
    char nqn[224];      /* SUBNQN, may be empty (before NVMe 1.2.1) */
};

bool drive_ident_eq(const struct drive_ident *a, const struct drive_ident *b);

struct lba_format {
    uint32_t block_bytes; /* 0: not available */
    uint16_t meta_bytes;
    uint8_t performance; /* RP: 0 best to 3 degraded */
};

/* What the drive can do: Identify Controller (CNS 01h), namespace FFFFFFFFh (CNS 00h), granularity list (CNS 16h). */
struct drive_caps {
    uint16_t cntlid;       /* of the very descriptor that was asked */
    bool ns_management;    /* OACS bit 3, and not left out of the list of supported commands */
    bool ns_claimed;       /* OACS bit 3 alone */
    bool format;           /* OACS bit 1 */
    uint8_t fna;           /* FNA: bit 0 format hits all, bit 1 secure erase hits all, bit 2 crypto erase, bit 3 no FFFFFFFFh */
    bool sanitize_crypto;  /* SANICAP bit 0 */
    bool sanitize_block;   /* SANICAP bit 1 */
    bool sanitize_over;    /* SANICAP bit 2 */
    bool sanitize_ns;      /* commands supported log lists Sanitize Namespace (8Ch) */
    bool granularity_list; /* CTRATT bit 7: NSG and NCG below are the drive's own, else they are 0 */
    bool smart_per_namespace; /* LPA bit 0 */
    bool write_zeroes;     /* ONCS bit 3 */
    bool deallocate;       /* ONCS bit 2 */
    uint32_t nn;           /* NN: highest NSID */
    uint32_t ns_max;       /* MNAN where the drive gives it, else NN */
    uint64_t total_bytes;  /* TNVMCAP (cut to 64 bits); 0: not reported */
    uint64_t free_bytes;   /* UNVMCAP (likewise) */
    uint64_t nsg_bytes;    /* namespace size granularity, 0: none known */
    uint64_t ncg_bytes;    /* namespace capacity granularity, 0: none known */
    struct lba_format lbaf[DRIVE_LBAF_MAX];
    size_t lbaf_count; /* 0: the drive does not say without a namespace */
};

struct ns_seen {
    struct nsid nsid;
    bool attached;         /* to the controller that was asked */
    uint8_t lbaf;          /* index of the LBA format in use */
    uint32_t block_bytes;  /* 0 when the drive does not describe a namespace that is not attached */
    uint64_t size_blocks;  /* NSZE */
    uint64_t used_blocks;  /* NUSE */
    uint64_t nvmcap_bytes; /* what it costs the drive (NVMCAP), 0: not reported */
    bool shared;           /* NMIC bit 0 */
    bool counts_units;     /* units_written is its own (LPA bit 0) */
    uint64_t units_written;
    uint8_t nguid[16];     /* all zero: none */
    uint8_t eui64[8];      /* all zero: none */
    char path[PATH_TEXT_MAX]; /* of the block device or file, empty: none (yet) */
};

/* Something on the drive that is not ours. Each kind alone is enough to refuse the drive. "The drive <text>". */
#define FOREIGN_KINDS(X)                                                                                               \
    X(FOREIGN_MOUNT, "is mounted")                                                                                     \
    X(FOREIGN_SWAP, "is used to swap")                                                                                 \
    X(FOREIGN_HOLDER, "is held by another device")                                                                     \
    X(FOREIGN_OPEN, "is open in another program")                                                                      \
    X(FOREIGN_SIGNATURE, "holds a signature")                                                                          \
    X(FOREIGN_PARTITIONS, "has partitions")                                                                            \
    X(FOREIGN_DATA, "holds data of unknown kind")                                                                      \
    X(FOREIGN_NAMESPACE, "has a namespace nsmith did not make")                                                        \
    X(FOREIGN_UNREADABLE, "cannot be read")                                                                            \
    X(FOREIGN_AMBIGUOUS, "shares its serial number with another drive")

enum foreign_kind {
#define X(kind, text) kind,
    FOREIGN_KINDS(X)
#undef X
        FOREIGN_KIND_COUNT
};

const char *foreign_kind_text(enum foreign_kind kind);

struct foreign {
    enum foreign_kind kind;
    struct nsid nsid;  /* 0: the drive as a whole */
    char detail[120];  /* "ext4 at /dev/nvme0n1, label 'data'" */
};

struct foreign_list {
    struct foreign at[DRIVE_FOREIGN_MAX];
    size_t count;
};

/* Adds one; when the list is full the last entry is replaced, for one reason is enough to refuse. */
void foreign_add(struct foreign_list *list, enum foreign_kind kind, struct nsid nsid, const char *detail);

struct drive_health {
    bool known;
    uint8_t critical_warning; /* SMART log (LID 02h) byte 0 */
    uint16_t temperature_k;
    uint8_t spare_percent, spare_threshold_percent, used_percent;
    uint64_t media_errors, power_on_hours, units_written; /* units of 512,000 bytes */
};

/* A reading of how much was written, for the difference of two. No padding: it is part of signed records. */
struct wear {
    uint64_t units_written; /* of 512,000 bytes */
    uint32_t of_slices;     /* whose count it is: 1: the slice's alone, more: of all slices of its drive, 0: no reading */
    uint32_t used_percent;  /* of the drive */
};
_Static_assert(sizeof(struct wear) == 16, "no padding");

#define HEALTH_LEVELS(X)         \
    X(HEALTH_UNKNOWN, "unknown") \
    X(HEALTH_OK, "ok")           \
    X(HEALTH_WARN, "warn")       \
    X(HEALTH_DRAIN, "drain")

enum health_level {
#define X(level, word) level,
    HEALTH_LEVELS(X)
#undef X
        HEALTH_LEVEL_COUNT
};

extern const char *const health_level_words[HEALTH_LEVEL_COUNT];

/* What a drive was judged to be (core/health.h). */
struct health_state {
    enum health_level level;
    uint32_t drains, warns; /* reasons, HEALTH_BIT() of each */
};

/* What runs on the drive, and how that can be changed (OACS bit 2, FRMW, FWUG, log 03h). */
enum { FIRMWARE_SLOTS_MAX = 7 };

struct firmware_slot {
    char revision[9]; /* empty: nothing in it */
};

struct drive_firmware {
    bool can_update;       /* Firmware Image Download and Commit */
    bool slot1_read_only;
    bool no_reset;         /* a new one can be activated without a reset */
    bool log_known;        /* what follows `unit_bytes` */
    uint32_t unit_bytes;   /* pieces of a download are multiples of it; 0: the drive does not say */
    uint8_t active, next;  /* slots; next 0: no other after the next reset */
    struct firmware_slot slots[FIRMWARE_SLOTS_MAX];
    size_t slot_count;
};

struct drive_seen {
    char name[64]; /* how the port calls it today (nvme0, a folder); for people only */
    char place[64]; /* where it is plugged in ("0000:41:00.0"), empty: not known */
    struct drive_ident ident;
    char firmware[9];
    struct drive_caps caps;
    struct drive_health health;
    struct drive_firmware fw;
    struct ns_seen ns[DRIVE_NS_MAX];
    size_t ns_count; /* in the order of their NSIDs */
    struct foreign_list foreign;
};

/* Whether a drive says the same where two pages tell one thing; a scan takes it from one of them. */
struct drive_pages {
    uint32_t compared;   /* namespaces that two pages describe (CNS 00h, 11h, 03h) */
    uint32_t unlisted;   /* attached, and not in the list of all namespaces (CNS 02h, 10h) */
    struct nsid differs; /* 0: none; else the first that two pages describe differently, */
    char differs_in[16]; /* and in what */
};

/* What the host says of its devices, between two looks at them. It proves nothing but that a look is due, and that what
 * had the number of a device that went must not be used any more. */
struct drive_news {
    bool all;                               /* anything may have changed: messages were lost */
    char touched[DRIVE_NEWS_MAX][64];       /* controllers (as drive_seen.name) of which something came, went or changed */
    size_t touched_count;
    uint64_t gone[DRIVE_NEWS_MAX];          /* block devices that went, by number */
    size_t gone_count;
};
/* Its capacity; where it does not say, that of its namespaces. */
uint64_t drive_size_bytes(const struct drive_seen *drive);

/* NULL when the drive has no such namespace. */
const struct ns_seen *drive_ns(const struct drive_seen *drive, struct nsid nsid);

extern const struct jmap drive_ident_jmap, drive_seen_jmap, health_state_jmap, wear_jmap;

#endif
