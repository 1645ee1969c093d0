/* soft_feature.c - Get Features (0Ah) and Set Features (09h): those that every I/O controller has, each one dword of
 * the controller that forgets it at a reset. Base 2.0, "Feature Specific Information". Nothing here depends on them but
 * the asynchronous events. Saved values and the like (SEL) there are none: ONCS bit 4 is 0. */
#include "nvme/soft_drive.h"

static const struct feature {
    uint8_t fid;
    uint32_t factory, settable; /* bits that may be set */
    uint32_t asks;              /* bits of CDW11 that a Get Features may have */
    bool of_ns;                 /* NSID may name a namespace */
} features[SOFT_FEATURES] = {
    {.fid = 0x01, .factory = 0x7, .settable = 0xffffff07}, /* Arbitration: no limit */
    {.fid = 0x02, .settable = 0xe0},                       /* Power Management: power state 0 only */
    {.fid = 0x04, .factory = SOFT_WCTEMP, .settable = 0xffff, .asks = 0xff0000}, /* Temperature Threshold */
    {.fid = 0x05, .settable = 0xffff, .of_ns = true},                            /* Error Recovery: no DULBE */
    {.fid = 0x08, .settable = 0xffff},                                           /* Interrupt Coalescing */
    {.fid = 0x09, .settable = 0x1ffff, .asks = 0xffff}, /* Interrupt Vector Configuration: one for all */
    {.fid = 0x0a, .settable = 0x1},                     /* Write Atomicity Normal */
    {.fid = 0x0b, .settable = 0xffffffff},              /* Asynchronous Event Configuration */
};

/* Over and under the composite temperature and its sensors: one threshold is kept, that over the composite one; the
 * others are as far off as can be. TMPSEL 19:16, THSEL 21:20. */
static uint16_t threshold(struct soft_ctrl *ctrl, size_t at, struct nvme_cmd *cmd, bool set)
{
    const uint32_t which = cmd->cdw11 >> 16, all = 0xf;
    if (which >> 6 || which >> 4 > 1 || ((which & all) != 0 && !(set && (which & all) == all)))
        return NVME_ST_INVALID_FIELD;
    if (which >> 4 == 1) {
        cmd->result = 0;
        return NVME_ST_OK;
    }
    if (set)
        ctrl->features[at] = (struct soft_feature){.is_set = true, .value = cmd->cdw11 & 0xffff};
    cmd->result = ctrl->features[at].is_set ? ctrl->features[at].value : features[at].factory;
    return NVME_ST_OK;
}

static uint16_t one_feature(struct soft_ctrl *ctrl, size_t at, struct nvme_cmd *cmd)
{
    const bool set = cmd->opcode == NVME_OP_SET_FEATURES;
    if (features[at].fid == NVME_FID_TEMPERATURE)
        return threshold(ctrl, at, cmd, set);
    if (cmd->cdw11 & ~(set ? features[at].settable : features[at].asks))
        return NVME_ST_INVALID_FIELD;
    if (set)
        ctrl->features[at] = (struct soft_feature){.is_set = true, .value = cmd->cdw11};
    cmd->result = ctrl->features[at].is_set ? ctrl->features[at].value : features[at].factory;
    return NVME_ST_OK;
}

uint32_t soft_feature_value(const struct soft_ctrl *ctrl, uint8_t fid)
{
    for (size_t i = 0; i < SOFT_FEATURES; i++)
        if (features[i].fid == fid)
            return ctrl->features[i].is_set ? ctrl->features[i].value : features[i].factory;
    return 0;
}

uint16_t soft_features(struct soft_drive *drive, struct soft_call *call)
{
    struct nvme_cmd *cmd = call->cmd;
    const uint32_t fid = cmd->cdw10 & 0xff;
    const struct soft_ns *ns = soft_state_ns(&drive->state, cmd->nsid);
    const bool of_ns = ns != NULL && ns->cntlid == call->cntlid;
    if (cmd->cdw10 >> 8 || cmd->cdw12 || cmd->cdw13 || cmd->cdw14 || cmd->cdw15 || cmd->data_len != 0)
        return NVME_ST_INVALID_FIELD;
    if (fid == NVME_FID_QUEUES) {
        cmd->result = 0x003f003f; /* 64 submission and completion queues */
        return cmd->nsid == 0 || cmd->nsid == NVME_NSID_ALL ? NVME_ST_OK : NVME_ST_INVALID_FIELD;
    }
    for (size_t i = 0; i < SOFT_FEATURES; i++) {
        if (features[i].fid != fid)
            continue;
        if (cmd->nsid != 0 && cmd->nsid != NVME_NSID_ALL && !features[i].of_ns)
            return cmd->opcode == NVME_OP_SET_FEATURES ? NVME_ST_FEATURE_NOT_OF_NS : NVME_ST_INVALID_FIELD;
        if (cmd->nsid != 0 && cmd->nsid != NVME_NSID_ALL && !of_ns)
            return NVME_ST_INVALID_NS;
        return one_feature(&drive->ctrls[call->cntlid - 1], i, cmd);
    }
    return NVME_ST_INVALID_FIELD;
}
