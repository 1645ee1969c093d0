/* nvme_soft.h - the software drive: a controller with namespaces, stricter than the specification.
 *   - The model is a profile (soft_profile.h), a state (soft_state.h) and media (soft_media.h). It takes NVMe
 *     commands and gives status codes and pages as a drive would.
 *   - It never reads a clock, sleeps or asks for randomness: time comes by soft_drive_tick(), chance from the seed.
 *   - Stricter: reserved fields must be zero, data must have the page's length, a create must be a multiple of the
 *     granularity, an attached namespace cannot be deleted (profile), one that is not attached cannot be formatted,
 *     one erase at a time.
 *   - A drive in memory lives as long as the struct and costs a few KiB whatever its capacity. A drive in a folder
 *     survives everything but the loss of the folder: state is durable before a command is acknowledged. One process
 *     at a time has a folder open.
 *   - Namespace media in a folder are plain files of NSZE x block bytes that QEMU opens as raw disks;
 *     FOLDER/ns/<nsid> is there exactly while the namespace is attached (and, without events, was rescanned).
 *   - A drive is used by one thread at a time. */
#ifndef NSMITH_NVME_SOFT_H
#define NSMITH_NVME_SOFT_H

#include "nvme/nvme_port.h"
#include "nvme/soft_profile.h"

struct soft_drive;

/* A drive in memory; never NULL. Serial: at most 20 printable characters. Equal arguments, equal drives. */
struct soft_drive *soft_drive_make_mem(const struct soft_profile *profile, const char *serial, uint64_t seed);
/* A drive in a folder, made when there is none yet (then profile_text, the profile's text, is kept there and
 * parsed on each opening); `profile_text` is not looked at when the folder holds a drive already and may be NULL. A
 * format that was under way when the folder was last in use is interrupted: half of the data is gone. */
bool soft_drive_open_dir(const char *dir, const char *serial, const char *profile_name, const char *profile_text,
                         struct soft_drive **out, struct err *err);
void soft_drive_free(struct soft_drive *drive); /* NULL is fine; a folder stays as it is */

const char *soft_drive_serial(const struct soft_drive *drive);
const struct soft_profile *soft_drive_profile(const struct soft_drive *drive);

/* One command. The status is SCT << 8 | SC, 0 for success. */
enum soft_result {
    SOFT_DONE,    /* *status_out and cmd->result say how it went */
    SOFT_PENDING, /* takes time: ask soft_drive_poll() with *ticket_out after a tick. cmd is not kept */
    SOFT_LOST,    /* no completion will ever come: for the caller it times out */
};

struct soft_outcome {
    uint16_t status;
    uint64_t ticket;
};

enum soft_result soft_admin(struct soft_drive *drive, struct nvme_cmd *cmd, struct soft_outcome *out);
enum soft_result soft_io(struct soft_drive *drive, struct nvme_cmd *cmd, struct soft_outcome *out);
/* Through another controller than 1, which the two above are of; it must be one that soft_drive_ctrl() gave. */
enum soft_result soft_admin_on(struct soft_drive *drive, uint16_t cntlid, struct nvme_cmd *cmd,
                               struct soft_outcome *out);
enum soft_result soft_io_on(struct soft_drive *drive, uint16_t cntlid, struct nvme_cmd *cmd, struct soft_outcome *out);
/* SOFT_DONE with out->status, SOFT_PENDING, or SOFT_LOST. */
enum soft_result soft_drive_poll(struct soft_drive *drive, uint64_t ticket, struct soft_outcome *out);

/* Hosts over a network have controllers of their own. A controller belongs to one host, known by its NQN, for good, and
 * so do the namespaces that are attached to it: a host that comes back finds its own ones. Controller 1, which local
 * clients use, is the first host's too. `busy` has bit CNTLID - 1 set for controllers that are in use now: a host that
 * comes twice at a time gets a second one. ERR_FULL: there are SOFT_CTRLS_MAX already. */
bool soft_drive_ctrl(struct soft_drive *drive, const char *host_nqn, uint32_t busy, uint16_t *cntlid_out,
                     struct err *err);
/* The controller begins anew (Base 2.0, "Controller Level Reset"): no events, an empty log 04h; firmware that waited for
 * it runs, on all controllers. */
void soft_drive_ctrl_reset(struct soft_drive *drive, uint16_t cntlid);
/* An asynchronous event of this controller is due: true, and dword 0 of its completion. Each is given out once. */
bool soft_drive_event(struct soft_drive *drive, uint16_t cntlid, uint32_t *out);
/* The name of the NVM subsystem, as Identify Controller has it; `to` is all written. */
enum { SOFT_SUBNQN_SIZE = 256 };
void soft_drive_nqn(const struct soft_drive *drive, char to[SOFT_SUBNQN_SIZE]);

/* Time only goes on: a smaller now_ms changes nothing. What is due is done. */
void soft_drive_tick(struct soft_drive *drive, uint64_t now_ms);
uint64_t soft_drive_now_ms(const struct soft_drive *drive);
uint64_t soft_drive_due_ms(const struct soft_drive *drive); /* next time that something is due; UINT64_MAX: nothing */

/* What happens to drives. */
bool soft_drive_fault(struct soft_drive *drive, const struct soft_fault *fault, struct err *err); /* ERR_FULL */
void soft_drive_faults_clear(struct soft_drive *drive);
struct soft_health soft_drive_health(const struct soft_drive *drive); /* as long as the struct lives */
void soft_drive_set_health(struct soft_drive *drive, const struct soft_health *health);
void soft_drive_set_present(struct soft_drive *drive, bool present); /* surprise removal, and back */
bool soft_drive_present(const struct soft_drive *drive);
uint64_t
soft_drive_removals(const struct soft_drive *drive); /* a drive that was pulled is another to who had it open */
/* An NVM Subsystem Reset: all controllers begin anew. What is under way goes on. */
void soft_drive_subsystem_reset(struct soft_drive *drive);
uint64_t soft_drive_resets(const struct soft_drive *drive); /* so many of those there were */
/* What was under way ends: a format is half done, a sanitize begins again, no completion comes. */
void soft_drive_power_cut(struct soft_drive *drive);
/* The host looks again: all attached namespaces get their path. */
void soft_drive_rescan(struct soft_drive *drive);
/* The host sees the namespace: attached, and since then an event or a rescan. */
bool soft_drive_visible(const struct soft_drive *drive, uint32_t nsid);

/* A hypervisor (a fake one) has the namespace open, or no more: then it cannot be opened exclusively. Linked in only;
 * behind the socket the locks of the file tell. */
void soft_drive_hold(struct soft_drive *drive, uint32_t nsid, bool hold);

enum soft_reset { SOFT_RESET_CONTROLLER, SOFT_RESET_SUBSYSTEM, SOFT_RESET_POWER };

/* Views, for tests, checkers and people. */
struct soft_ns_view {
    uint32_t nsid;
    bool attached, interrupted;
    uint16_t cntlid; /* of the controller it is attached to; 0: of none */
    uint8_t lbaf;
    uint32_t block_bytes;
    uint64_t size_blocks, charged_bytes;
    uint8_t nguid[16], eui64[8];
};

size_t soft_drive_ns(const struct soft_drive *drive, struct soft_ns_view *out, size_t max); /* in order of NSID */
uint32_t soft_drive_block_bytes(const struct soft_drive *drive, uint32_t nsid); /* 0: there is no such namespace */
uint64_t soft_drive_free_bytes(const struct soft_drive *drive);
/* The media past all rules: for planting and for finding. false: no such namespace, or past its end. */
bool soft_drive_peek(struct soft_drive *drive, uint32_t nsid, uint64_t offset, void *to, size_t len);
bool soft_drive_poke(struct soft_drive *drive, uint32_t nsid, uint64_t offset, const void *from, size_t len);
uint64_t soft_drive_memory(const struct soft_drive *drive); /* bytes of memory that the drive takes */
/* Path of the media of a namespace that the host sees; empty in memory. ERR_MISSING: it does not. */
bool soft_drive_ns_path(const struct soft_drive *drive, uint32_t nsid, char path[PATH_TEXT_MAX], struct err *err);

/* The mutating commands that it was sent, oldest first; the last SOFT_LOG_MAX of them. */
enum { SOFT_LOG_MAX = 512 };
struct soft_log_entry {
    uint64_t seq; /* from 1, since the struct was made */
    uint64_t now_ms;
    uint8_t opcode;
    uint32_t nsid, cdw10, cdw11, result;
    enum soft_result how;
    uint16_t status;
};
size_t soft_drive_log(const struct soft_drive *drive, struct soft_log_entry *out, size_t max);

/* The name of the first broken invariant of the model itself, or NULL. */
const char *soft_drive_broken(const struct soft_drive *drive);

/* The state as JSON, from malloc(). */
char *soft_drive_state_text(const struct soft_drive *drive);

/* The drives as a port; names are the serials ("SERIAL#2" for a second drive with the same one). `drives` is borrowed
 * and outlives the port. The port completes slow commands at once by moving the drive's own clock; a command that needs
 * longer than its timeout moves it by the timeout, answers ERR_BUSY with ETIMEDOUT, and goes on by later ticks. Each
 * question about an erase that is under way (sanitize log; Identify Namespace during a format) moves the clock by a
 * quarter of what the erase takes. After soft_drive_set_present(false) what was open answers ERR_MISSING for good. The
 * caller's port.close() frees the port, not the drives. */
void soft_port(struct soft_drive *const *drives, size_t count, struct nvme_port *out);

#endif
