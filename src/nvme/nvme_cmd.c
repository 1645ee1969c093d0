/* nvme_cmd.c - which commands may be sent at all. This is the last gate before every back end: it does not trust its
 * callers. What is not in the table is refused, also what would be harmless. */
#include "nvme/nvme_port.h"

#include "nvme/nvme_codec.h"
#include "nvme/nvme_wire.h"

#include <stddef.h>

/* What CDW1.NSID may be. A command that changes something never has NSID_ANY, so never FFFFFFFFh. */
enum nsid_rule {
    NSID_ANY,  /* it only asks */
    NSID_NONE, /* 0 */
    NSID_REAL, /* neither 0 nor FFFFFFFFh */
};

enum { ANY_SEL = -1 };

static const struct rule {
    uint8_t opcode;
    int sel; /* CDW10 bits 3:0, or ANY_SEL */
    enum nsid_rule nsid;
} rules[] = {
    {NVME_OP_GET_LOG, ANY_SEL, NSID_ANY},
    {NVME_OP_IDENTIFY, ANY_SEL, NSID_ANY},
    {NVME_OP_GET_FEATURES, ANY_SEL, NSID_ANY},
    {NVME_OP_NS_MANAGEMENT, NVME_NS_CREATE, NSID_NONE},
    {NVME_OP_NS_MANAGEMENT, NVME_NS_DELETE, NSID_REAL},
    {NVME_OP_NS_ATTACHMENT, NVME_NS_ATTACH, NSID_REAL},
    {NVME_OP_NS_ATTACHMENT, NVME_NS_DETACH, NSID_REAL},
    {NVME_OP_FORMAT, ANY_SEL, NSID_REAL},
    {NVME_OP_SANITIZE, ANY_SEL, NSID_NONE}, /* Base: NSID is not used, so it is 0 */
    {NVME_OP_SANITIZE_NS, ANY_SEL, NSID_REAL},
    {NVME_OP_FW_DOWNLOAD, ANY_SEL, NSID_NONE},
    {NVME_OP_FW_COMMIT, ANY_SEL, NSID_NONE},
};

static const struct rule *rule_of(const struct nvme_cmd *cmd)
{
    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
        if (rules[i].opcode == cmd->opcode && (rules[i].sel == ANY_SEL || rules[i].sel == (int)(cmd->cdw10 & 0xf)))
            return &rules[i];
    return NULL;
}

static bool refuse(const struct nvme_cmd *cmd, const char *why, struct err *err)
{
    return err_set(err, ERR_UNSAFE, "cannot send %s (opcode %02xh, NSID %xh, CDW10 %xh): %s", nvme_op_name(cmd->opcode),
                   cmd->opcode, cmd->nsid, cmd->cdw10, why);
}

bool nvme_cmd_check(const struct nvme_cmd *cmd, struct err *err)
{
    const struct rule *rule = rule_of(cmd);
    if (rule == NULL)
        return refuse(cmd, "it is not on the list of commands that nsmith sends", err);
    if (rule->nsid == NSID_REAL && cmd->nsid == 0)
        return refuse(cmd, "it needs a namespace", err);
    if (rule->nsid == NSID_REAL && cmd->nsid == NVME_NSID_ALL)
        return refuse(cmd, "it would change every namespace of the drive", err);
    if (rule->nsid == NSID_NONE && cmd->nsid != 0)
        return refuse(cmd, "it takes no namespace", err);
    if (cmd->timeout_ms == 0)
        return refuse(cmd, "it has no timeout", err);
    if ((cmd->data == NULL) != (cmd->data_len == 0) || cmd->data_len % 4 != 0)
        return refuse(cmd, "its data and the length of its data contradict each other", err);
    return true;
}

void nvme_dev_close(struct nvme_dev *dev)
{
    if (dev != NULL)
        dev->ops->close(dev);
}

void nvme_ns_close(struct nvme_ns *ns)
{
    if (ns != NULL)
        ns->ops->close(ns);
}
