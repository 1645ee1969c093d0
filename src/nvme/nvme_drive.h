/* nvme_drive.h - what nsmith does with a drive, in terms of commands through a port.
 * Each function sends on the descriptor it was given; each mutating one first asks the drive who it is on that same
 * descriptor (Identify Controller) and, where a namespace is named, what that namespace is, and refuses
 * (ERR_CONFLICT) when either is not what the caller expects: invariant 5. */
#ifndef NSMITH_NVME_DRIVE_H
#define NSMITH_NVME_DRIVE_H

#include "model/drive.h"
#include "model/task.h"
#include "nvme/nvme_port.h"

/* Everything but `foreign` and ns[].path's contents check; ns[].path is filled. Health is best effort. */
bool nvme_scan(struct nvme_dev *dev, struct drive_seen *out, struct err *err);

/* Asks for what a scan takes from one page once more, where another page tells the same. */
bool nvme_compare_pages(struct nvme_dev *dev, struct drive_pages *out, struct err *err);

/* Who answers on this descriptor, and as which controller: Identify Controller and nothing else. */
bool nvme_ident(struct nvme_dev *dev, struct drive_ident *out, uint16_t *cntlid, struct err *err);
/* Any namespace is attached to this controller. */
bool nvme_has_namespaces(struct nvme_dev *dev, bool *out, struct err *err);

enum { NVME_PATHS_MAX = 8 };

/* Controllers of one drive, by CNTLID. */
struct nvme_ctrls {
    uint16_t at[NVME_PATHS_MAX];
    size_t count;
};

struct nvme_ns_spec {
    uint64_t size_blocks; /* NSZE = NCAP */
    uint8_t lbaf;
};

/* Which namespace is meant: identity as it was seen before. Zero nguid and eui64 are not compared. */
struct nvme_ns_ident {
    struct nsid nsid;
    uint64_t size_bytes;
    uint8_t nguid[16], eui64[8];
};

bool nvme_expect(struct nvme_dev *dev, const struct drive_ident *who, struct err *err);
bool nvme_expect_ns(struct nvme_dev *dev, const struct drive_ident *who, const struct nvme_ns_ident *ns, struct err *err);

bool nvme_create(struct nvme_dev *dev, const struct drive_ident *who, const struct nvme_ns_spec *spec, struct nsid *out,
                 struct err *err);
bool nvme_delete(struct nvme_dev *dev, const struct drive_ident *who, const struct nvme_ns_ident *ns, struct err *err);
/* To the controller whose CNTLID this descriptor reports; "already" is success. A namespace that nvme_create() made is
 * private: the drive itself refuses it to a second controller, this host's or another's. */
bool nvme_attach(struct nvme_dev *dev, const struct drive_ident *who, struct nsid nsid, struct err *err);
/* From these controllers; from that of the descriptor where `from` is NULL. "Already" is success. */
bool nvme_detach(struct nvme_dev *dev, const struct drive_ident *who, const struct nvme_ns_ident *ns,
                 const struct nvme_ctrls *from, struct err *err);

/* Format NVM with the LBA format in use. ses: 1 user data, 2 cryptographic (0 is not offered: it is no erase).
 * Refused (ERR_UNSAFE) when a fresh Identify shows FNA bit 0 or 1 and the drive holds any other namespace. */
bool nvme_format(struct nvme_dev *dev, const struct drive_ident *who, const struct nvme_ns_ident *ns, unsigned ses,
                 uint32_t timeout_ms, struct err *err);
/* Sanitize Namespace 8Ch (crypto erase): starts it. Progress and result come from nvme_progress(). */
bool nvme_sanitize_ns(struct nvme_dev *dev, const struct drive_ident *who, const struct nvme_ns_ident *ns,
                      uint32_t timeout_ms, struct err *err);

/* One piece of an image: offset and len are multiples of what the drive wants (drive_firmware.unit_bytes), at least of
 * 4. The pieces of an image come in order; one at offset 0 begins anew. */
bool nvme_fw_download(struct nvme_dev *dev, const struct drive_ident *who, uint32_t offset, const void *bytes,
                      uint32_t len, struct err *err);
/* What was downloaded goes into `slot` (0: the drive chooses). *reset_out: it runs only after a reset; the drive
 * itself says so for FIRMWARE_NOW where it cannot. */
bool nvme_fw_commit(struct nvme_dev *dev, const struct drive_ident *who, const struct firmware_job *job, bool *reset_out,
                    struct err *err);

struct nvme_progress {
    bool running; /* a format or sanitize is under way on the namespace */
    bool known;   /* the drive says how far */
    unsigned percent; /* done */
    bool failed;  /* the last sanitize of the namespace failed */
};

bool nvme_progress(struct nvme_dev *dev, struct nsid nsid, struct nvme_progress *out, struct err *err);

/* How long, and how where the host has no events. */
struct nvme_patience {
    uint32_t limit_ms;
    void *ctx; /* borrowed */
    void (*sleep_ms)(void *ctx, uint32_t ms);
};

/* Waits until the host shows the attached namespace: for its own event, then after a rescan. ERR_BUSY after limit_ms. */
bool nvme_wait_node(struct nvme_dev *dev, struct nsid nsid, const struct nvme_patience *patience,
                    char path[PATH_TEXT_MAX], struct err *err);

#endif
