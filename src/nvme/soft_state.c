#include "nvme/soft_state.h"

#include "base/jmap.h"
#include "base/must.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const op_words[SOFT_OP_COUNT] = {"none", "format", "sanitize", "sanitize-ns"};
static const char *const effect_words[SOFT_EFFECT_COUNT] = {"full", "half", "none"};

static const struct jfield use_fields[] = {
    {JU64(struct soft_use, reads)},
    {JU64(struct soft_use, writes)},
    {JU64(struct soft_use, units_read)},
    {JU64(struct soft_use, units_written)},
};
static const struct jmap use_map = JMAP(struct soft_use, use_fields);

static const struct jfield ns_fields[] = {
    {JU32(struct soft_ns, nsid)},
    {JU64(struct soft_ns, size_blocks)},
    {JU64(struct soft_ns, charged_bytes)},
    {JU64(struct soft_ns, born)},
    {JU64(struct soft_ns, media)},
    {JU8(struct soft_ns, lbaf)},
    {JU8(struct soft_ns, sanitized), .optional = true},
    {JU16(struct soft_ns, cntlid)},
    {JBOOL(struct soft_ns, interrupted), .optional = true},
    {JHEX(struct soft_ns, nguid)},
    {JHEX(struct soft_ns, eui64)},
    {JOBJ(struct soft_ns, use, use_map), .optional = true},
};
static const struct jmap ns_map = JMAP(struct soft_ns, ns_fields);

static const struct jfield gap_fields[] = {{JU64(struct soft_gap, born)}, {JU64(struct soft_gap, bytes)}};
static const struct jmap gap_map = JMAP(struct soft_gap, gap_fields);

static const struct jfield spare_fields[] = {{JU64(struct soft_spare, media)}};
static const struct jmap spare_map = JMAP(struct soft_spare, spare_fields);

static const struct jfield host_fields[] = {{JSTR(struct soft_host, nqn)}};
static const struct jmap host_map = JMAP(struct soft_host, host_fields);

static const struct jfield image_fields[] = {{JSTR(struct soft_fwimage, revision)},
                                             {JU32(struct soft_fwimage, flags), .optional = true}};
static const struct jmap image_map = JMAP(struct soft_fwimage, image_fields);

static const struct jfield firmware_fields[] = {{JU8(struct soft_firmware, slot)},
                                                {JOBJ(struct soft_firmware, image, image_map)}};
static const struct jmap firmware_map = JMAP(struct soft_firmware, firmware_fields);

static const struct jfield op_fields[] = {
    {JENUM(struct soft_op, kind, op_words)},
    {JENUM(struct soft_op, effect, effect_words)},
    {JU32(struct soft_op, nsid)},
    {JBOOL(struct soft_op, all)},
    {JU8(struct soft_op, ses)},
    {JU8(struct soft_op, lbaf)},
};
static const struct jmap op_map = JMAP(struct soft_op, op_fields);

static const struct jfield state_fields[] = {
    {JU32(struct soft_state, version)},
    {JSTR(struct soft_state, serial)},
    {JU64(struct soft_state, seed)},
    {JU64(struct soft_state, next_born)},
    {JU64(struct soft_state, next_media)},
    {JLIST(struct soft_state, ns, ns_count, ns_map)},
    {JLIST(struct soft_state, gaps, gap_count, gap_map), .optional = true},
    {JLIST(struct soft_state, spares, spare_count, spare_map), .optional = true},
    {JLIST(struct soft_state, hosts, host_count, host_map), .optional = true},
    {JLIST(struct soft_state, firmware, firmware_count, firmware_map), .optional = true},
    {JU8(struct soft_state, firmware_active), .optional = true},
    {JU8(struct soft_state, firmware_next), .optional = true},
    {JOBJ(struct soft_state, running, image_map), .optional = true},
    {JOBJ(struct soft_state, op, op_map)},
    {JU8(struct soft_state, sanitized), .optional = true},
    {JU32(struct soft_state, sanitize_cdw10), .optional = true},
    {JBOOL(struct soft_state, written), .optional = true},
    {JOBJ(struct soft_state, use, use_map), .optional = true},
    {JU64(struct soft_state, power_cycles), .optional = true},
    {JU64(struct soft_state, unsafe_shutdowns), .optional = true},
    {JU64(struct soft_state, power_on_ms), .optional = true},
    {JBOOL(struct soft_state, shut_down), .optional = true},
};
static const struct jmap state_map = JMAP(struct soft_state, state_fields);

struct soft_ns *soft_state_ns(struct soft_state *state, uint32_t nsid)
{
    for (size_t i = 0; i < state->ns_count; i++)
        if (state->ns[i].nsid == nsid)
            return &state->ns[i];
    return NULL;
}

bool soft_state_has_ctrl(const struct soft_state *state, uint16_t cntlid)
{
    return cntlid == SOFT_CNTLID || (cntlid >= 1 && cntlid <= state->host_count);
}

struct soft_ns *soft_state_add(struct soft_state *state, const struct soft_ns *ns)
{
    must(state->ns_count < SOFT_NS_MAX);
    must(soft_state_ns(state, ns->nsid) == NULL);
    size_t at = state->ns_count++;
    for (; at > 0 && state->ns[at - 1].nsid > ns->nsid; at--)
        state->ns[at] = state->ns[at - 1];
    state->ns[at] = *ns;
    return &state->ns[at];
}

static bool younger_alive(const struct soft_state *state, uint64_t born)
{
    for (size_t i = 0; i < state->ns_count; i++)
        if (state->ns[i].born > born)
            return true;
    return false;
}

/* True when some namespace that is left was made between the two: then their spaces cannot be told as one. */
static bool alive_between(const struct soft_state *state, uint64_t a, uint64_t b)
{
    const uint64_t low = a < b ? a : b, high = a < b ? b : a;
    for (size_t i = 0; i < state->ns_count; i++)
        if (state->ns[i].born > low && state->ns[i].born < high)
            return true;
    return false;
}

/* One gap between any two namespaces that are left: so there are never more gaps than namespaces were. */
static void add_gap(struct soft_state *state, uint64_t born, uint64_t bytes)
{
    for (size_t i = 0; i < state->gap_count; i++)
        if (!alive_between(state, state->gaps[i].born, born)) {
            state->gaps[i].bytes += bytes;
            return;
        }
    must(state->gap_count < SOFT_NS_MAX);
    state->gaps[state->gap_count++] = (struct soft_gap){.born = born, .bytes = bytes};
}

void soft_state_remove(struct soft_state *state, uint32_t nsid, bool reclaim_in_order)
{
    struct soft_ns *ns = soft_state_ns(state, nsid);
    must(ns != NULL);
    const struct soft_ns gone = *ns;
    const size_t at = (size_t)(ns - state->ns);
    memmove(ns, ns + 1, (state->ns_count - at - 1) * sizeof(*ns));
    state->ns_count--;
    memset(&state->ns[state->ns_count], 0, sizeof(*ns));
    if (reclaim_in_order)
        add_gap(state, gone.born, gone.charged_bytes);
    size_t kept = 0;
    for (size_t i = 0; i < state->gap_count; i++)
        if (younger_alive(state, state->gaps[i].born))
            state->gaps[kept++] = state->gaps[i];
    memset(&state->gaps[kept], 0, (state->gap_count - kept) * sizeof(state->gaps[0]));
    state->gap_count = kept;
}

uint64_t soft_state_used_bytes(const struct soft_state *state)
{
    uint64_t used = 0;
    for (size_t i = 0; i < state->ns_count; i++)
        used += state->ns[i].charged_bytes;
    for (size_t i = 0; i < state->gap_count; i++)
        used += state->gaps[i].bytes;
    return used;
}

static const char *ns_broken(const struct soft_state *state, size_t i, const struct soft_profile *profile)
{
    const struct soft_ns *ns = &state->ns[i];
    if (ns->nsid == 0 || ns->nsid > profile->nn)
        return "an NSID is from 1 to NN";
    if (ns->cntlid != 0 && !soft_state_has_ctrl(state, ns->cntlid))
        return "a namespace is attached to a controller that is there";
    if (i > 0 && state->ns[i - 1].nsid >= ns->nsid)
        return "namespaces are in the order of their NSIDs";
    if (ns->lbaf >= profile->lbaf_count)
        return "a namespace has an LBA format that is there";
    if (ns->size_blocks == 0 || ns->size_blocks > (1ull << 44) / profile->lbaf[ns->lbaf].block_bytes)
        return "a namespace has a size from one block to 16 TiB";
    if (ns->size_blocks * profile->lbaf[ns->lbaf].block_bytes > ns->charged_bytes)
        return "a namespace is charged at least its size";
    for (size_t k = 0; k < i; k++)
        if (state->ns[k].media == ns->media)
            return "two namespaces share no medium";
    for (size_t k = 0; k < state->spare_count; k++)
        if (state->spares[k].media == ns->media)
            return "a medium is spare or used";
    return ns->born < state->next_born && ns->media < state->next_media ? NULL : "counters only grow";
}

static const char *firmware_broken(const struct soft_state *state, const struct soft_profile *profile)
{
    const unsigned slots = profile->firmware_slots == 0 ? 1 : profile->firmware_slots;
    bool active = false, next = state->firmware_next == 0;
    for (size_t i = 0; i < state->firmware_count; i++) {
        const struct soft_firmware *one = &state->firmware[i];
        if (one->slot == 0 || one->slot > slots || one->image.revision[0] == '\0')
            return "a firmware slot that holds something is there and has a revision";
        for (size_t k = 0; k < i; k++)
            if (state->firmware[k].slot == one->slot)
                return "a firmware slot holds one image";
        active = active || one->slot == state->firmware_active;
        next = next || one->slot == state->firmware_next;
    }
    if (state->running.revision[0] == '\0')
        return "some firmware runs";
    return active && next ? NULL : "what runs, now or after a reset, is in a firmware slot";
}

const char *soft_state_broken(const struct soft_state *state, const struct soft_profile *profile)
{
    for (size_t i = 0; i < state->ns_count; i++) {
        const char *broken = ns_broken(state, i, profile);
        if (broken != NULL)
            return broken;
    }
    if (state->version != 1)
        return "the state has version 1";
    if (firmware_broken(state, profile) != NULL)
        return firmware_broken(state, profile);
    return soft_state_used_bytes(state) <= profile->capacity_bytes ? NULL : "no more is given out than there is";
}

char *soft_state_text(const struct soft_state *state)
{
    return jmap_text(&state_map, state);
}

static bool write_text(int fd, const char *text)
{
    size_t len = strlen(text);
    while (len > 0) {
        const ssize_t n = write(fd, text, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return false;
        text += n;
        len -= (size_t)n;
    }
    return fsync(fd) == 0;
}

static bool sync_dir(const char *dir)
{
    const int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return false;
    const bool ok = fsync(fd) == 0;
    close(fd);
    return ok;
}

bool soft_file_save(const char *dir, const char *name, const char *text, struct err *err)
{
    char path[PATH_MAX], aside[PATH_MAX];
    if (snprintf(path, sizeof(path), "%s/%s", dir, name) >= (int)sizeof(path) ||
        snprintf(aside, sizeof(aside), "%s/%s.new", dir, name) >= (int)sizeof(aside))
        return err_set(err, ERR_INPUT, "cannot save '%s': the path of its folder is too long", name);
    const int fd = open(aside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
    if (fd < 0)
        return err_sys(err, errno, "cannot make '%s'", aside);
    const bool written = write_text(fd, text);
    const int sys = errno;
    close(fd);
    if (!written)
        return err_sys(err, sys, "cannot write '%s'", aside);
    if (rename(aside, path) < 0 || !sync_dir(dir))
        return err_sys(err, errno, "cannot save '%s'", path);
    return true;
}

bool soft_file_load(const char *dir, const char *name, size_t max, char **out, struct err *err)
{
    char path[PATH_MAX];
    if (snprintf(path, sizeof(path), "%s/%s", dir, name) >= (int)sizeof(path))
        return err_set(err, ERR_INPUT, "cannot load '%s': the path of its folder is too long", name);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return err_sys(err, errno, "cannot open '%s'", path);
    char *text = calloc(1, max + 2);
    must(text != NULL);
    const size_t len = fread(text, 1, max + 1, file);
    const bool failed = ferror(file) != 0;
    fclose(file);
    if (failed || len > max || strlen(text) != len) {
        free(text);
        return err_set(err, ERR_FAILED, "cannot read '%s': it is %s", path,
                       failed ? "unreadable" : "too long or not text");
    }
    *out = text;
    return true;
}

bool soft_state_save(const struct soft_state *state, const char *dir, struct err *err)
{
    char *text = soft_state_text(state);
    const bool ok = soft_file_save(dir, "state.json", text, err);
    free(text);
    return ok;
}

bool soft_state_load(const char *dir, struct soft_state *out, struct err *err)
{
    char *text;
    if (!soft_file_load(dir, "state.json", 1 << 20, &text, err))
        return false;
    const bool ok = jmap_parse(&state_map, text, strlen(text), JMAP_STRICT, out, err);
    free(text);
    return ok || err_wrap(err, "cannot load '%s/state.json'", dir);
}
