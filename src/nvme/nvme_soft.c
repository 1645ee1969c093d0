#include "nvme/nvme_soft.h"

#include "base/must.h"
#include "base/text.h"
#include "nvme/soft_drive.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static struct soft_drive *new_drive(const struct soft_profile *profile, const char *serial)
{
    must(text_is_printable(serial, 20));
    struct soft_drive *drive = calloc(1, sizeof(*drive));
    must(drive != NULL);
    drive->profile = *profile;
    drive->health = profile->health;
    text_cut(drive->serial, sizeof(drive->serial), serial);
    drive->lock_fd = -1;
    drive->present = true;
    memcpy(drive->faults, profile->faults, sizeof(profile->faults));
    drive->fault_count = profile->fault_count;
    return drive;
}

static void first_state(struct soft_drive *drive, uint64_t seed)
{
    drive->state = (struct soft_state){.version = 1, .seed = seed >> 1}; /* JSON integers end at 2^63-1 */
    text_cut(drive->state.serial, sizeof(drive->state.serial), drive->serial);
    soft_factory(drive, &drive->state);
    soft_smart_power_up(&drive->state);
    soft_firmware_factory(&drive->state, &drive->profile);
    must(soft_state_broken(&drive->state, &drive->profile) == NULL);
}

/* FNV-1a: drives of one profile differ by their serials. */
static uint64_t seed_of(const char *serial)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (; *serial != '\0'; serial++)
        hash = (hash ^ (uint8_t)*serial) * 0x100000001b3u;
    return hash;
}

static bool make_media(struct soft_drive *drive)
{
    for (size_t i = 0; i < drive->state.ns_count; i++) {
        const struct soft_ns *ns = &drive->state.ns[i];
        if (!soft_media_size(drive->media, ns->media, ns->size_blocks * drive->profile.lbaf[ns->lbaf].block_bytes))
            return false;
    }
    return true;
}

struct soft_drive *soft_drive_make_mem(const struct soft_profile *profile, const char *serial, uint64_t seed)
{
    struct soft_drive *drive = new_drive(profile, serial);
    drive->rng.state = seed;
    first_state(drive, seed ^ seed_of(serial));
    drive->media = soft_media_mem();
    make_media(drive);
    soft_drive_rescan(drive);
    return drive;
}

void soft_drive_free(struct soft_drive *drive)
{
    if (drive == NULL)
        return;
    struct err unsaved = {0};
    drive->state.shut_down = true;
    if (drive->is_open) /* what cannot be saved is counted as an unsafe shutdown */
        soft_state_save(&drive->state, drive->dir, &unsaved);
    soft_media_free(drive->media);
    if (drive->lock_fd >= 0)
        close(drive->lock_fd); /* and the lock is gone */
    free(drive->dir);
    free(drive->log);
    free(drive->download);
    free(drive);
}

static bool is_medium(const void *self, uint64_t id)
{
    const struct soft_state *state = self;
    for (size_t i = 0; i < state->ns_count; i++)
        if (state->ns[i].media == id)
            return true;
    for (size_t i = 0; i < state->spare_count; i++)
        if (state->spares[i].media == id)
            return true;
    return false;
}

/* flock() and not a lock of fcntl(): it belongs to the descriptor, not to the process. */
static bool lock_dir(const char *dir, int *fd_out, struct err *err)
{
    char path[PATH_MAX];
    if (mkdir(dir, 0750) < 0 && errno != EEXIST)
        return err_sys(err, errno, "cannot make folder '%s'", dir);
    if (snprintf(path, sizeof(path), "%s/lock", dir) >= (int)sizeof(path))
        return err_set(err, ERR_INPUT, "cannot open drive folder: its path is too long");
    const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
    if (fd < 0)
        return err_sys(err, errno, "cannot open '%s'", path);
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        err_set(err, ERR_BUSY, "cannot open drive folder '%s': another process has it", dir);
        close(fd);
        return err_hint(err, "end the other nsmith-softnvme first");
    }
    *fd_out = fd;
    return true;
}

/* The first line of profile.conf in a drive's folder is a comment that names the profile. */
static bool keep_profile(const char *dir, const char *name, const char *text, struct err *err)
{
    char *kept;
    if (asprintf(&kept, "# profile: %s\n%s", name, text) < 0)
        must_fail("memory", __FILE__, __LINE__);
    const bool ok = soft_file_save(dir, "profile.conf", kept, err);
    free(kept);
    return ok;
}

static bool load_profile(const char *dir, struct soft_profile *out, struct err *err)
{
    static const char mark[] = "# profile: ";
    char *text, name[64] = "profile";
    if (!soft_file_load(dir, "profile.conf", SOFT_PROFILE_TEXT_MAX, &text, err))
        return false;
    if (strncmp(text, mark, sizeof(mark) - 1) == 0) {
        const char *at = text + sizeof(mark) - 1;
        snprintf(name, sizeof(name), "%.*s", (int)strcspn(at, "\n"), at);
    }
    const bool ok = soft_profile_parse(name, text, strlen(text), out, err);
    free(text);
    return ok || err_wrap(err, "cannot open drive folder '%s'", dir);
}

/* What is in the folder, or a new drive: the state is written last and makes the folder a drive. */
static bool fill_drive(struct soft_drive *drive, struct err *err)
{
    struct err missing = {0};
    drive->media = soft_media_dir(drive->dir);
    if (drive->media == NULL)
        return err_sys(err, errno, "cannot make the folders of drive '%s'", drive->serial);
    if (!soft_state_load(drive->dir, &drive->state, &missing)) {
        if (missing.kind != ERR_MISSING) {
            *err = missing;
            return false;
        }
        first_state(drive, seed_of(drive->serial));
        if (!make_media(drive))
            return err_sys(err, errno, "cannot make the media of drive '%s'", drive->serial);
        if (!soft_state_save(&drive->state, drive->dir, err))
            return false;
    }
    soft_firmware_factory(&drive->state, &drive->profile); /* of a folder from before there were slots */
    const char *broken = soft_state_broken(&drive->state, &drive->profile);
    if (broken != NULL || strcmp(drive->state.serial, drive->serial) != 0)
        return err_set(err, ERR_FAILED, "cannot open drive folder '%s': its state is broken: %s", drive->dir,
                       broken != NULL ? broken : "the serial number is another");
    if (!soft_media_clean(drive->media, is_medium, &drive->state) || !make_media(drive))
        return err_sys(err, errno, "cannot put the media of drive '%s' in order", drive->serial);
    return true;
}

bool soft_drive_open_dir(const char *dir, const char *serial, const char *profile_name, const char *profile_text,
                         struct soft_drive **out, struct err *err)
{
    struct soft_profile profile;
    struct stat unused;
    char path[PATH_MAX];
    int lock_fd = -1;
    if (!text_is_printable(serial, 20))
        return err_set(err, ERR_INPUT, "cannot open drive '%s': a serial number is 1 to 20 printable characters",
                       serial);
    if (!lock_dir(dir, &lock_fd, err))
        return false;
    snprintf(path, sizeof(path), "%s/state.json", dir);
    const bool is_new = stat(path, &unused) < 0 && errno == ENOENT;
    const bool ok = !is_new ? load_profile(dir, &profile, err)
                    : profile_text == NULL
                        ? err_set(err, ERR_MISSING, "cannot open drive '%s': there is none in '%s'", serial, dir)
                        : soft_profile_parse(profile_name, profile_text, strlen(profile_text), &profile, err) &&
                              keep_profile(dir, profile_name, profile_text, err);
    if (!ok) {
        close(lock_fd);
        return false;
    }
    struct soft_drive *drive = new_drive(&profile, serial);
    drive->lock_fd = lock_fd;
    drive->rng.state = seed_of(serial);
    drive->dir = strdup(dir);
    must(drive->dir != NULL);
    if (!fill_drive(drive, err)) {
        soft_drive_free(drive);
        return false;
    }
    soft_op_interrupt(drive);
    soft_firmware_reset(drive, SOFT_RESET_POWER);
    if (!is_new)
        soft_smart_power_up(&drive->state);
    if (!soft_state_save(&drive->state, drive->dir, err)) {
        soft_drive_free(drive);
        return false;
    }
    drive->is_open = true;
    soft_drive_rescan(drive);
    *out = drive;
    return true;
}

const char *soft_drive_serial(const struct soft_drive *drive)
{
    return drive->serial;
}

const struct soft_profile *soft_drive_profile(const struct soft_drive *drive)
{
    return &drive->profile;
}

void soft_drive_tick(struct soft_drive *drive, uint64_t now_ms)
{
    if (now_ms > drive->now_ms) {
        drive->state.power_on_ms +=
            drive->now_ms == 0 ? 0 : now_ms - drive->now_ms; /* the first tells what time it is */
        drive->now_ms = now_ms;
    }
    if (drive->present && drive->state.op.kind != SOFT_OP_NONE && drive->now_ms >= drive->op_end_ms)
        soft_op_finish(drive);
}

uint64_t soft_drive_now_ms(const struct soft_drive *drive)
{
    return drive->now_ms;
}

uint64_t soft_drive_due_ms(const struct soft_drive *drive)
{
    return drive->present && drive->state.op.kind != SOFT_OP_NONE ? drive->op_end_ms : UINT64_MAX;
}

bool soft_drive_fault(struct soft_drive *drive, const struct soft_fault *fault, struct err *err)
{
    size_t kept = 0;
    for (size_t i = 0; i < drive->fault_count; i++) {
        const struct soft_fault *old = &drive->faults[i];
        if (old->count == 0 || old->seen < (uint64_t)old->nth + old->count - 1)
            drive->faults[kept++] = *old;
    }
    drive->fault_count = kept;
    if (kept == SOFT_FAULTS_ALL)
        return err_set(err, ERR_FULL, "cannot add a fault to drive '%s': it has %d", drive->serial, SOFT_FAULTS_ALL);
    drive->faults[drive->fault_count] = *fault;
    drive->faults[drive->fault_count++].seen = 0;
    return true;
}

void soft_drive_faults_clear(struct soft_drive *drive)
{
    drive->fault_count = 0;
}

void soft_drive_set_present(struct soft_drive *drive, bool present)
{
    if (present == drive->present)
        return;
    if (!present) {
        drive->removals++;
        soft_op_interrupt(drive); /* a drive that is pulled loses its power */
        soft_firmware_reset(drive, SOFT_RESET_POWER);
        soft_smart_power_up(&drive->state);
        for (size_t i = 0; i < drive->state.ns_count; i++)
            soft_hide(drive, drive->state.ns[i].nsid);
    }
    drive->present = present;
    if (present) {
        drive->op_start_ms = drive->now_ms;
        drive->op_end_ms = drive->now_ms + drive->profile.sanitize_ms;
        soft_drive_rescan(drive);
    }
}

bool soft_drive_present(const struct soft_drive *drive)
{
    return drive->present;
}

uint64_t soft_drive_removals(const struct soft_drive *drive)
{
    return drive->removals;
}

void soft_drive_power_cut(struct soft_drive *drive)
{
    soft_op_interrupt(drive);
    soft_firmware_reset(drive, SOFT_RESET_POWER);
    soft_smart_power_up(&drive->state);
    for (size_t i = 0; i < SOFT_CTRLS_MAX; i++) {
        memset(drive->ctrls[i].changed, 0, sizeof(drive->ctrls[i].changed));
        drive->ctrls[i].event_due = false;
    }
}

void soft_drive_rescan(struct soft_drive *drive)
{
    for (size_t i = 0; drive->present && i < drive->state.ns_count; i++)
        if (drive->state.ns[i].cntlid == SOFT_CNTLID && !drive->visible[drive->state.ns[i].nsid])
            soft_show(drive, drive->state.ns[i].nsid);
}

bool soft_drive_visible(const struct soft_drive *drive, uint32_t nsid)
{
    return nsid >= 1 && nsid <= SOFT_NS_MAX && drive->visible[nsid];
}

void soft_drive_hold(struct soft_drive *drive, uint32_t nsid, bool hold)
{
    must(nsid >= 1);
    must(nsid <= SOFT_NS_MAX);
    must(hold || drive->opens[nsid] > 0);
    drive->opens[nsid] = (uint16_t)(drive->opens[nsid] + (hold ? 1 : -1));
}

uint32_t soft_drive_block_bytes(const struct soft_drive *drive, uint32_t nsid)
{
    for (size_t i = 0; i < drive->state.ns_count; i++)
        if (drive->state.ns[i].nsid == nsid)
            return drive->profile.lbaf[drive->state.ns[i].lbaf].block_bytes;
    return 0;
}

size_t soft_drive_ns(const struct soft_drive *drive, struct soft_ns_view *out, size_t max)
{
    size_t count = 0;
    for (; count < drive->state.ns_count && count < max; count++) {
        const struct soft_ns *ns = &drive->state.ns[count];
        out[count] = (struct soft_ns_view){.nsid = ns->nsid,
                                           .attached = ns->cntlid != 0,
                                           .cntlid = ns->cntlid,
                                           .interrupted = ns->interrupted,
                                           .lbaf = ns->lbaf,
                                           .block_bytes = drive->profile.lbaf[ns->lbaf].block_bytes,
                                           .size_blocks = ns->size_blocks,
                                           .charged_bytes = ns->charged_bytes};
        memcpy(out[count].nguid, ns->nguid, sizeof(ns->nguid));
        memcpy(out[count].eui64, ns->eui64, sizeof(ns->eui64));
    }
    return count;
}

uint64_t soft_drive_free_bytes(const struct soft_drive *drive)
{
    return drive->profile.capacity_bytes - soft_state_used_bytes(&drive->state);
}

static const struct soft_ns *within(struct soft_drive *drive, uint32_t nsid, uint64_t offset, size_t len)
{
    const struct soft_ns *ns = soft_state_ns(&drive->state, nsid);
    const uint64_t size = ns == NULL ? 0 : ns->size_blocks * drive->profile.lbaf[ns->lbaf].block_bytes;
    return len <= size && offset <= size - len ? ns : NULL;
}

bool soft_drive_peek(struct soft_drive *drive, uint32_t nsid, uint64_t offset, void *to, size_t len)
{
    const struct soft_ns *ns = within(drive, nsid, offset, len);
    return ns != NULL && soft_media_read(drive->media, ns->media, offset, to, len);
}

bool soft_drive_poke(struct soft_drive *drive, uint32_t nsid, uint64_t offset, const void *from, size_t len)
{
    const struct soft_ns *ns = within(drive, nsid, offset, len);
    return ns != NULL && soft_media_write(drive->media, ns->media, offset, from, len);
}

uint64_t soft_drive_memory(const struct soft_drive *drive)
{
    return sizeof(*drive) + soft_media_memory(drive->media) +
           (drive->log == NULL ? 0 : SOFT_LOG_MAX * sizeof(*drive->log));
}

bool soft_drive_ns_path(const struct soft_drive *drive, uint32_t nsid, char path[PATH_TEXT_MAX], struct err *err)
{
    if (!drive->present || !soft_drive_visible(drive, nsid))
        return err_set(err, ERR_MISSING, "cannot find namespace %u of drive '%s': the host does not show it", nsid,
                       drive->serial);
    soft_media_path(drive->media, nsid, path, PATH_TEXT_MAX);
    return true;
}

size_t soft_drive_log(const struct soft_drive *drive, struct soft_log_entry *out, size_t max)
{
    const uint64_t there = drive->log_seq < SOFT_LOG_MAX ? drive->log_seq : SOFT_LOG_MAX;
    const size_t count = there < max ? (size_t)there : max;
    for (size_t i = 0; i < count; i++)
        out[i] = drive->log[(drive->log_seq - count + i) % SOFT_LOG_MAX];
    return count;
}

char *soft_drive_state_text(const struct soft_drive *drive)
{
    return soft_state_text(&drive->state);
}

const char *soft_drive_broken(const struct soft_drive *drive)
{
    const char *broken = soft_state_broken(&drive->state, &drive->profile);
    for (uint32_t nsid = 1; broken == NULL && nsid <= SOFT_NS_MAX; nsid++) {
        bool attached = false;
        for (size_t i = 0; i < drive->state.ns_count; i++)
            attached = attached || (drive->state.ns[i].nsid == nsid && drive->state.ns[i].cntlid == SOFT_CNTLID);
        if (drive->visible[nsid] && !attached)
            broken = "only a namespace that is attached to controller 1 has a path";
    }
    return broken;
}
