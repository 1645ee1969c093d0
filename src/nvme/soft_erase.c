/* soft_erase.c - Format NVM (80h), Sanitize (84h), Sanitize Namespace (8Ch), and the one erase that is under way.
 *
 * An erase is written into the state before it begins and leaves it when it is done. A Format ends with its own
 * completion, a Sanitize goes on behind one. What a power cut finds: a Format is half done and over (Base 2.0,
 * "Format NVM command": the content is indeterminate), a Sanitize begins again (Base 2.0, "Sanitize operations").
 *
 * Format without secure erase (SES 0) leaves the data where it is: the worst that a real drive does. */
#include "nvme/soft_drive.h"

#include "base/must.h"

#include <string.h>

bool soft_op_hits(const struct soft_op *op, uint32_t nsid)
{
    return op->kind == SOFT_OP_SANITIZE || op->all || op->nsid == nsid;
}

uint16_t soft_busy(const struct soft_drive *drive, uint32_t nsid)
{
    const struct soft_op *op = &drive->state.op;
    if (op->kind == SOFT_OP_NONE || !soft_op_hits(op, nsid))
        return NVME_ST_OK;
    return op->kind == SOFT_OP_FORMAT     ? NVME_ST_FORMAT_RUNNING
           : op->kind == SOFT_OP_SANITIZE ? NVME_ST_SANITIZE_RUNNING
                                          : NVME_ST_SANITIZE_NS_RUNNING;
}

uint32_t soft_op_fraction(const struct soft_drive *drive)
{
    const uint64_t whole = drive->op_end_ms - drive->op_start_ms;
    if (drive->state.op.kind == SOFT_OP_NONE || whole == 0 || drive->now_ms >= drive->op_end_ms)
        return 65536;
    return (uint32_t)((drive->now_ms - drive->op_start_ms) * 65536 / whole);
}

/* Whether it wipes at all, and with what. */
static bool wants_wipe(struct soft_drive *drive, const struct soft_op *op, enum soft_effect effect,
                       struct soft_wipe *out)
{
    const bool crypto = op->kind == SOFT_OP_FORMAT ? op->ses == NVME_SES_CRYPTO : op->ses == NVME_SANACT_CRYPTO;
    *out = (struct soft_wipe){.noise = crypto && drive->profile.crypto_noise,
                              .half = effect == SOFT_EFFECT_HALF,
                              .seed = rng_next(&drive->rng)};
    return effect != SOFT_EFFECT_NONE && !(op->kind == SOFT_OP_FORMAT && op->ses == NVME_SES_NONE);
}

static bool wipe(struct soft_drive *drive, const struct soft_op *op, enum soft_effect effect)
{
    struct soft_wipe how;
    bool ok = true;
    if (!wants_wipe(drive, op, effect, &how))
        return true;
    for (size_t i = 0; i < drive->state.ns_count; i++)
        if (soft_op_hits(op, drive->state.ns[i].nsid))
            ok = soft_media_wipe(drive->media, drive->state.ns[i].media, &how) && ok;
    for (size_t i = 0; op->kind == SOFT_OP_SANITIZE && i < drive->state.spare_count; i++)
        ok = soft_media_wipe(drive->media, drive->state.spares[i].media, &how) && ok;
    return ok;
}

/* With another LBA format the same bytes are other blocks. A fault hits-all does not reach so far: what is done to
 * neighbours there is the erase. */
static bool relabel(struct soft_drive *drive, const struct soft_op *op, struct soft_ns *ns, bool fna_all)
{
    const struct soft_lbaf *lbaf = drive->profile.lbaf;
    ns->interrupted = false;
    if (ns->lbaf == op->lbaf || (ns->nsid != op->nsid && op->nsid != NVME_NSID_ALL && !fna_all))
        return true;
    ns->size_blocks = ns->size_blocks * lbaf[ns->lbaf].block_bytes / lbaf[op->lbaf].block_bytes;
    ns->lbaf = op->lbaf;
    return soft_media_size(drive->media, ns->media, ns->size_blocks * lbaf[op->lbaf].block_bytes);
}

static uint16_t finish_format(struct soft_drive *drive, struct soft_state *next, bool wiped)
{
    const struct soft_op op = drive->state.op;
    const bool fna_all = drive->profile.fna & NVME_FNA_FORMAT_ALL;
    bool ok = wiped;
    for (size_t i = 0; i < next->ns_count && op.effect == SOFT_EFFECT_FULL; i++)
        if (soft_op_hits(&op, next->ns[i].nsid)) {
            soft_changed(drive, next->ns[i].cntlid, next->ns[i].nsid);
            ok = relabel(drive, &op, &next->ns[i], fna_all) && ok;
        }
    return ok ? NVME_ST_OK : NVME_ST_INTERNAL;
}

void soft_op_finish(struct soft_drive *drive)
{
    const struct soft_op op = drive->state.op;
    must(op.kind != SOFT_OP_NONE);
    struct soft_state next = drive->state;
    const bool wiped = wipe(drive, &op, op.effect);
    uint16_t status = wiped ? NVME_ST_OK : NVME_ST_INTERNAL;
    const uint8_t sstat = wiped ? NVME_SSTAT_DONE : NVME_SSTAT_FAILED;
    next.op = (struct soft_op){0};
    if (op.kind == SOFT_OP_FORMAT) {
        status = finish_format(drive, &next, wiped);
    } else if (op.kind == SOFT_OP_SANITIZE) {
        next.sanitized = sstat;
        next.written = next.written && !wiped;
    } else if (soft_state_ns(&next, op.nsid) != NULL) {
        soft_state_ns(&next, op.nsid)->sanitized = sstat;
    }
    const uint16_t saved = soft_commit(drive, &next);
    if (saved != NVME_ST_OK) /* in memory it is over all the same; a restart finds it under way and interrupts it */
        drive->state.op = (struct soft_op){0};
    if (drive->op_ticket != 0) {
        drive->done_ticket = drive->op_ticket;
        drive->done_status = status != NVME_ST_OK ? status : saved;
        drive->op_ticket = 0;
    }
}

void soft_op_interrupt(struct soft_drive *drive)
{
    const struct soft_op op = drive->state.op;
    drive->op_ticket = 0;
    if (op.kind == SOFT_OP_NONE)
        return;
    if (op.kind != SOFT_OP_FORMAT) {
        drive->op_start_ms = drive->now_ms;
        drive->op_end_ms = drive->now_ms + drive->profile.sanitize_ms;
        return;
    }
    struct soft_state next = drive->state;
    wipe(drive, &op, op.effect == SOFT_EFFECT_NONE ? SOFT_EFFECT_NONE : SOFT_EFFECT_HALF);
    next.op = (struct soft_op){0};
    for (size_t i = 0; i < next.ns_count; i++)
        if (soft_op_hits(&op, next.ns[i].nsid))
            next.ns[i].interrupted = true;
    soft_commit(drive, &next);
}

/* Begins the erase; what takes no time ends at once. */
static uint16_t begin(struct soft_drive *drive, struct soft_call *call, const struct soft_op *op, uint32_t duration_ms)
{
    struct soft_state next = drive->state;
    next.op = *op;
    next.op.effect = call->effect;
    next.op.all = op->all || call->all;
    if (op->kind == SOFT_OP_SANITIZE)
        next.sanitize_cdw10 = call->cmd->cdw10;
    const uint16_t status = soft_commit(drive, &next);
    if (status != NVME_ST_OK)
        return status;
    drive->op_start_ms = drive->now_ms;
    drive->op_end_ms = drive->now_ms + duration_ms;
    const uint64_t ticket = ++drive->tickets;
    const bool waits = op->kind == SOFT_OP_FORMAT && !call->silent;
    drive->op_ticket = waits ? ticket : 0;
    if (duration_ms == 0) {
        soft_op_finish(drive);
        return waits ? drive->done_status : NVME_ST_OK;
    }
    call->ticket = drive->op_ticket;
    return NVME_ST_OK;
}

/* Any namespace at all that is hit must be free of other erases: one at a time. */
static uint16_t any_op(const struct soft_drive *drive)
{
    return soft_busy(drive, drive->state.op.nsid);
}

static uint16_t check_target(struct soft_drive *drive, uint16_t cntlid, uint32_t nsid)
{
    const struct soft_ns *ns = soft_state_ns(&drive->state, nsid);
    if (ns == NULL)
        return NVME_ST_INVALID_NS;
    return ns->cntlid == cntlid ? NVME_ST_OK : NVME_ST_NS_NOT_ATTACHED;
}

uint16_t soft_format(struct soft_drive *drive, struct soft_call *call)
{
    const struct nvme_cmd *cmd = call->cmd;
    const struct soft_profile *profile = &drive->profile;
    const unsigned ses = nvme_format_ses(cmd->cdw10), lbaf = nvme_format_lbaf(cmd->cdw10);
    if (!profile->format)
        return NVME_ST_INVALID_OPCODE;
    if (any_op(drive) != NVME_ST_OK)
        return any_op(drive);
    if (!soft_cdws_zero(cmd) || cmd->data_len != 0 || cmd->cdw10 != nvme_format_cdw10(lbaf, (enum nvme_ses)ses))
        return NVME_ST_INVALID_FIELD; /* metadata, protection information and reserved bits */
    if (ses > NVME_SES_CRYPTO || (ses == NVME_SES_CRYPTO && !(profile->fna & NVME_FNA_CRYPTO)))
        return NVME_ST_INVALID_FIELD;
    if (lbaf >= profile->lbaf_count || profile->lbaf[lbaf].meta_bytes != 0)
        return NVME_ST_INVALID_FORMAT;
    const bool broadcast = cmd->nsid == NVME_NSID_ALL;
    if (broadcast && profile->fna & NVME_FNA_NO_BROADCAST)
        return NVME_ST_INVALID_FIELD;
    const uint16_t target = broadcast ? NVME_ST_OK : check_target(drive, call->cntlid, cmd->nsid);
    if (target != NVME_ST_OK)
        return target;
    const bool all =
        broadcast || profile->fna & NVME_FNA_FORMAT_ALL || (ses != NVME_SES_NONE && profile->fna & NVME_FNA_ERASE_ALL);
    const struct soft_op op = {
        .kind = SOFT_OP_FORMAT, .nsid = cmd->nsid, .all = all, .ses = (uint8_t)ses, .lbaf = (uint8_t)lbaf};
    return begin(drive, call, &op, profile->format_ms);
}

/* Sanitize Namespace, and Sanitize of the whole drive: one look at the actions that both know. */
static uint16_t exit_failure(struct soft_drive *drive, uint32_t nsid)
{
    struct soft_state next = drive->state;
    struct soft_ns *ns = soft_state_ns(&next, nsid);
    uint8_t *sstat = ns == NULL ? &next.sanitized : &ns->sanitized;
    if (*sstat == NVME_SSTAT_FAILED)
        *sstat = NVME_SSTAT_NEVER;
    return soft_commit(drive, &next);
}

uint16_t soft_sanitize(struct soft_drive *drive, struct soft_call *call)
{
    enum { OVERWRITE_ONLY = 0x1f0, KNOWN = 0x7 | NVME_SANITIZE_AUSE | OVERWRITE_ONLY | 1 << 9 };
    const struct nvme_cmd *cmd = call->cmd;
    const struct soft_profile *profile = &drive->profile;
    const uint32_t action = cmd->cdw10 & 7;
    const bool overwrite = action == NVME_SANACT_OVERWRITE;
    if (!profile->sanitize_block && !profile->sanitize_crypto && !profile->sanitize_overwrite)
        return NVME_ST_INVALID_OPCODE;
    if (any_op(drive) != NVME_ST_OK)
        return any_op(drive);
    if (cmd->nsid != 0 || cmd->data_len != 0 || cmd->cdw10 & ~(uint32_t)KNOWN || cmd->cdw12 || cmd->cdw13 ||
        cmd->cdw14 || cmd->cdw15 || (!overwrite && (cmd->cdw11 || cmd->cdw10 & OVERWRITE_ONLY)))
        return NVME_ST_INVALID_FIELD;
    if (action == NVME_SANACT_EXIT_FAILURE)
        return exit_failure(drive, 0);
    if (!(action == NVME_SANACT_BLOCK && profile->sanitize_block) && !(overwrite && profile->sanitize_overwrite) &&
        !(action == NVME_SANACT_CRYPTO && profile->sanitize_crypto))
        return NVME_ST_INVALID_FIELD;
    const struct soft_op op = {.kind = SOFT_OP_SANITIZE, .all = true, .ses = (uint8_t)action};
    return begin(drive, call, &op, profile->sanitize_ms);
}

uint16_t soft_sanitize_ns(struct soft_drive *drive, struct soft_call *call)
{
    const struct nvme_cmd *cmd = call->cmd;
    const uint32_t action = cmd->cdw10 & 7;
    if (!drive->profile.sanitize_ns)
        return NVME_ST_INVALID_OPCODE;
    if (any_op(drive) != NVME_ST_OK)
        return any_op(drive);
    if (cmd->cdw10 & ~(uint32_t)(7 | NVME_SANITIZE_AUSE) || !soft_cdws_zero(cmd) || cmd->data_len != 0 ||
        (action != NVME_SANACT_EXIT_FAILURE && action != NVME_SANACT_CRYPTO))
        return NVME_ST_INVALID_FIELD;
    const uint16_t target = check_target(drive, call->cntlid, cmd->nsid);
    if (target != NVME_ST_OK)
        return target;
    if (action == NVME_SANACT_EXIT_FAILURE)
        return exit_failure(drive, cmd->nsid);
    const struct soft_op op = {.kind = SOFT_OP_SANITIZE_NS, .nsid = cmd->nsid, .ses = (uint8_t)action};
    return begin(drive, call, &op, drive->profile.sanitize_ms);
}
