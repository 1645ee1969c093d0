/* nvme_codec.h - pages of NVMe drives to model structs and back. Pure.
 *   - A parser takes bytes and their number; a page that is too short, or that contradicts itself, is an error of kind
 *     ERR_DEVICE (its outputs are then untouched), never a guess.
 *   - Texts of the drive (serial, model, firmware, NQN) come out trimmed, unprintable bytes as '?'.
 *   - Numbers of 128 bits are cut to 64: what does not fit is UINT64_MAX.
 *   - parse(build(x)) is x: the drives' users and the software drive share these functions.
 *   - A builder fills the whole page, zeros where the model says nothing; the software drive adds what only it knows.
 */
#ifndef NSMITH_NVME_CODEC_H
#define NSMITH_NVME_CODEC_H

#include "base/err.h"
#include "model/drive.h"
#include "nvme/nvme_wire.h"

/* Identify Controller (CNS 01h). Of caps everything but what other pages say: lbaf, nsg_bytes, ncg_bytes and
 * sanitize_ns are zero, granularity_list is what CTRATT promises. */
struct nvme_ctrl_page {
    struct drive_ident ident;
    char firmware[9];
    struct drive_caps caps;
    bool effects_log; /* LPA bit 1: log 05h can be asked for */
    struct drive_firmware fw; /* without what the log tells */
};

/* ERR_INPUT for a discovery or administrative controller: it has no namespaces. */
bool nvme_parse_ctrl(const void *page, size_t len, struct nvme_ctrl_page *out, struct err *err);
void nvme_build_ctrl(const struct nvme_ctrl_page *from, struct nvme_wire_ctrl *page);

/* Identify Namespace (CNS 00h, 11h). Of ns not nsid, attached and path. block_bytes is 0 when the drive cannot really
 * have the format that it says is in use. */
struct nvme_ns_page {
    struct ns_seen ns;
    struct lba_format lbaf[DRIVE_LBAF_MAX];
    size_t lbaf_count;
    bool extended;             /* metadata goes with the blocks (FLBAS bit 4) */
    uint8_t protection;        /* DPS */
    bool progress_known;       /* FPI bit 7 */
    uint8_t remaining_percent; /* of a format under way, 0: none */
};

/* ERR_MISSING for the page of zeros that a drive gives of an NSID without a namespace. */
bool nvme_parse_ns(const void *page, size_t len, struct nvme_ns_page *out, struct err *err);
void nvme_build_ns(const struct nvme_ns_page *from, struct nvme_wire_ns *page);
/* The LBA formats alone, for NSID FFFFFFFFh has no size. Formats that are not available have block_bytes 0. */
bool nvme_parse_lbafs(const void *page, size_t len, struct lba_format lbaf[DRIVE_LBAF_MAX], size_t *count,
                      struct err *err);

/* Namespace lists (CNS 02h, 10h): ascending, no number twice, FFFFFFFFh not among them. ERR_FULL for more than
 * DRIVE_NS_MAX. */
struct nvme_nsids {
    struct nsid at[DRIVE_NS_MAX];
    size_t count;
};

bool nvme_parse_nsids(const void *page, size_t len, struct nvme_nsids *out, struct err *err);
void nvme_build_nsids(const struct nvme_nsids *from, struct nvme_wire_ns_list *page);

/* Namespace identification descriptors (CNS 03h). What the list does not have stays zero. */
struct nvme_ns_ids {
    uint8_t nguid[16], eui64[8];
};

bool nvme_parse_descriptors(const void *page, size_t len, struct nvme_ns_ids *out, struct err *err);
void nvme_build_descriptors(const struct nvme_ns_ids *from, uint8_t page[NVME_PAGE]);

/* Controller lists (CNS 12h, 13h, and the page of an attachment). */
bool nvme_parse_ctrl_list(const void *page, size_t len, uint16_t *cntlid, size_t max, size_t *count, struct err *err);
void nvme_build_ctrl_list(uint16_t cntlid, struct nvme_wire_ctrl_list *page);

/* Namespace granularity list (CNS 16h): the largest granularities of all its descriptors, so that they hold for
 * every LBA format. */
bool nvme_parse_granularity(const void *page, size_t len, uint64_t *nsg_bytes, uint64_t *ncg_bytes, struct err *err);
void nvme_build_granularity(uint64_t nsg_bytes, uint64_t ncg_bytes, struct nvme_wire_granularity *page);

/* The page of a create: private, without metadata protection, NCAP = NSZE. */
bool nvme_parse_create(const void *page, size_t len, uint64_t *size_blocks, uint8_t *lbaf, struct err *err);
void nvme_build_create(uint64_t size_blocks, uint8_t lbaf, struct nvme_wire_create *page);

/* SMART log (02h); known becomes true. */
bool nvme_parse_smart(const void *page, size_t len, struct drive_health *out, struct err *err);
void nvme_build_smart(const struct drive_health *from, struct nvme_wire_smart *page);

/* Firmware slot log (03h): fills active, next and the revisions of fw->slot_count slots; log_known becomes true. */
bool nvme_parse_firmware(const void *page, size_t len, struct drive_firmware *fw, struct err *err);
void nvme_build_firmware(const struct drive_firmware *from, struct nvme_wire_firmware *page);

/* Commands supported and effects log (05h): the drive lists this admin command. */
bool nvme_parse_effects(const void *page, size_t len, enum nvme_admin_op op, bool *supported, struct err *err);

/* Sanitize status log (81h). */
struct nvme_sanitize_page {
    struct nsid target; /* 0: the NVM subsystem */
    uint8_t status;     /* NVME_SSTAT_... */
    uint8_t percent;    /* done, while it runs */
};

bool nvme_parse_sanitize(const void *page, size_t len, struct nvme_sanitize_page *out, struct err *err);
void nvme_build_sanitize(const struct nvme_sanitize_page *from, struct nvme_wire_sanitize *page);

const char *nvme_op_name(uint8_t opcode); /* of admin commands; "unknown command" */

#endif
