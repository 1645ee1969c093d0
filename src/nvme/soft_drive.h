/* soft_drive.h - the inside of a software drive, for its own files (soft_*.c, nvme_soft.c) only. */
#ifndef NSMITH_SOFT_DRIVE_H
#define NSMITH_SOFT_DRIVE_H

#include "base/rng.h"
#include "nvme/nvme_soft.h"
#include "nvme/nvme_wire.h"
#include "nvme/soft_media.h"
#include "nvme/soft_state.h"

enum { SOFT_FAULTS_ALL = 64 };

enum { SOFT_FEATURES = 8, SOFT_WCTEMP = 343, SOFT_CCTEMP = 353 /* kelvin */ };

struct soft_feature {
    bool is_set; /* else it is as from the factory */
    uint32_t value;
};

/* What a controller remembers while it has power. */
struct soft_ctrl {
    bool changed[SOFT_NS_MAX + 1]; /* by NSID: log 04h */
    struct soft_feature features[SOFT_FEATURES];
    bool event_due;    /* something changed that no event has told of, */
    bool event_masked; /* and none is sent before the log of the last one is read */
};

struct soft_download;

struct soft_drive {
    struct soft_profile profile;
    char serial[21];
    char *dir;    /* owned; NULL: in memory */
    int lock_fd;  /* of dir/lock; -1 in memory */
    bool is_open; /* dir holds this drive */
    struct soft_state state;
    struct soft_media *media; /* owned */
    struct rng rng;
    bool present;
    uint64_t removals;               /* so often was it pulled */
    uint64_t resets;                 /* of the NVM subsystem */
    bool visible[SOFT_NS_MAX + 1];   /* by NSID: the host of controller 1 shows it */
    uint16_t opens[SOFT_NS_MAX + 1]; /* by NSID: descriptors and holders, linked in */
    struct soft_fault faults[SOFT_FAULTS_ALL];
    size_t fault_count;
    uint64_t now_ms;
    uint64_t op_start_ms, op_end_ms;        /* of state.op */
    uint64_t op_ticket;                     /* whoever waits for it; 0: nobody */
    uint64_t tickets;                       /* given out so far */
    uint64_t done_ticket;                   /* the last that was done, */
    uint16_t done_status;                   /* and how it went */
    struct soft_ctrl ctrls[SOFT_CTRLS_MAX]; /* by CNTLID less one */
    struct soft_health health;
    struct soft_download *download;         /* owned; firmware on its way, NULL: none */
    struct soft_log_entry *log;             /* owned; a ring of SOFT_LOG_MAX, made when first used */
    uint64_t log_seq;
};

/* One command on its way through the drive. */
struct soft_call {
    struct nvme_cmd *cmd;
    uint16_t cntlid;         /* of the controller that got it */
    enum soft_effect effect; /* of an erase, as a fault has it */
    bool all;                /* fault hits-all */
    bool silent;             /* no completion will be sent */
    uint64_t ticket;         /* out: not 0 when the command goes on */
};

/* Each returns a status; 0 is success. */
uint16_t soft_identify(struct soft_drive *drive, struct soft_call *call);
uint16_t soft_get_log(struct soft_drive *drive, struct soft_call *call);
uint16_t soft_features(struct soft_drive *drive, struct soft_call *call);
uint16_t soft_ns_management(struct soft_drive *drive, struct soft_call *call);
uint16_t soft_ns_attachment(struct soft_drive *drive, struct soft_call *call);
uint16_t soft_format(struct soft_drive *drive, struct soft_call *call);
uint16_t soft_sanitize(struct soft_drive *drive, struct soft_call *call);
uint16_t soft_sanitize_ns(struct soft_drive *drive, struct soft_call *call);
uint16_t soft_fw_download(struct soft_drive *drive, struct soft_call *call);
uint16_t soft_fw_commit(struct soft_drive *drive, struct soft_call *call);
uint16_t soft_io_command(struct soft_drive *drive, struct soft_call *call);

/* The state becomes `next`, durably; NVME_ST_INTERNAL and no change when it cannot be saved. */
uint16_t soft_commit(struct soft_drive *drive, const struct soft_state *next);
/* Why a command to this namespace has to wait (format, sanitize under way); 0: it need not. */
uint16_t soft_busy(const struct soft_drive *drive, uint32_t nsid);
/* The erase that is due is done. */
void soft_op_finish(struct soft_drive *drive);
/* After a power cut or a restart. */
void soft_op_interrupt(struct soft_drive *drive);
/* Percent (0 to 100) of the erase under way that is done, in 1/65536. */
uint32_t soft_op_fraction(const struct soft_drive *drive);
bool soft_op_hits(const struct soft_op *op, uint32_t nsid);
/* The namespace changed for this controller (0: for none): log 04h, an event. */
void soft_changed(struct soft_drive *drive, uint16_t cntlid, uint32_t nsid);
/* Path for a namespace that was attached to controller 1, or is going. */
void soft_show(struct soft_drive *drive, uint32_t nsid);
void soft_hide(struct soft_drive *drive, uint32_t nsid);
/* The namespace that a new drive is born with. */
void soft_factory(struct soft_drive *drive, struct soft_state *state);
/* Lowest free NSID; 0: none, or MNAN is reached. */
uint32_t soft_free_nsid(const struct soft_drive *drive);

/* The firmware that a new drive is born with, in slot 1; nothing where there is some. */
void soft_firmware_factory(struct soft_state *state, const struct soft_profile *profile);
/* After a reset: what was downloaded is gone; what waited for this kind of reset runs. */
void soft_firmware_reset(struct soft_drive *drive, enum soft_reset reset);
size_t soft_firmware_log(const struct soft_drive *drive, struct nvme_wire_firmware *page); /* the page's size */
void soft_firmware_identify(const struct soft_drive *drive, struct nvme_wire_ctrl *page);
/* By its profile, or by the firmware that runs. */
bool soft_has_ns_management(const struct soft_drive *drive);

uint32_t soft_feature_value(const struct soft_ctrl *ctrl, uint8_t fid);

/* A read or a write was carried out. */
void soft_smart_count(struct soft_drive *drive, struct soft_ns *ns, bool is_write, uint64_t bytes);
void soft_smart_power_up(struct soft_state *state);
size_t soft_smart_log(struct soft_drive *drive, uint32_t nsid, struct nvme_wire_smart *page); /* the page's size */

static inline bool soft_cdws_zero(const struct nvme_cmd *cmd)
{
    return (cmd->cdw11 | cmd->cdw12 | cmd->cdw13 | cmd->cdw14 | cmd->cdw15) == 0;
}

#endif
