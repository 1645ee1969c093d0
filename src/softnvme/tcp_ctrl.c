#include "softnvme/tcp_ctrl.h"

#include "base/must.h"
#include "base/text.h"

#include <stdlib.h>
#include <string.h>

void tcp_target_init(struct tcp_target *out, struct soft_shelf *shelf)
{
    *out = (struct tcp_target){.shelf = shelf};
}

void tcp_target_release(struct tcp_target *target)
{
    for (size_t i = 0; i < TCP_CTRLS_MAX; i++)
        free(target->ctrls[i]);
    *target = (struct tcp_target){0};
}

void tcp_link_init(struct tcp_link *out)
{
    *out = (struct tcp_link){0};
    tcp_queue_init(&out->queue);
}

void tcp_link_release(struct tcp_target *target, struct tcp_link *link)
{
    struct tcp_ctrl *ctrl = link->ctrl;
    tcp_queue_release(&link->queue);
    link->ctrl = NULL;
    if (ctrl == NULL)
        return;
    ctrl->front.queues &= ~(1u << link->qid);
    if (ctrl->admin == link) {
        ctrl->admin = NULL;
        ctrl->front.event_count = 0;
        ctrl->ended = "the controller's admin queue is gone";
    }
    must(ctrl->links > 0);
    if (--ctrl->links > 0)
        return;
    for (size_t i = 0; i < TCP_CTRLS_MAX; i++)
        if (target->ctrls[i] == ctrl)
            target->ctrls[i] = NULL;
    free(ctrl);
}

void tcp_finish(struct tcp_link *link, uint16_t slot, uint16_t status, uint64_t result)
{
    tcp_queue_finish(&link->queue, slot, front_status(status), result);
}

static void finish_cid(struct tcp_link *link, uint16_t cid, uint16_t status, uint32_t result)
{
    uint16_t slot;
    must(tcp_queue_find(&link->queue, cid, &slot));
    tcp_finish(link, slot, status, result);
}

void tcp_settle(struct tcp_link *link, uint16_t slot, const struct front_answer *answer)
{
    if (answer->aborts)
        finish_cid(link, answer->aborted, NVME_ST_ABORTED, 0);
    if (answer->how == SOFT_DONE)
        tcp_finish(link, slot, answer->status, answer->result);
    else
        tcp_queue_hold(&link->queue, slot, answer->how == SOFT_PENDING ? answer->ticket : 0);
}

/* --- Properties -------------------------------------------------------------------------------------------------- */

void tcp_ctrl_reset(struct tcp_ctrl *ctrl)
{
    uint16_t slot;
    for (size_t i = 0; i < ctrl->front.event_count; i++)
        if (tcp_queue_find(&ctrl->admin->queue, ctrl->front.events[i], &slot))
            tcp_queue_forget(&ctrl->admin->queue, slot);
    front_reset(&ctrl->front);
}

enum { PROP_NSSR = 0x20, NSSR_RESET = 0x4e564d65 };

static uint16_t property(struct tcp_ctrl *ctrl, const uint8_t *sqe, bool set, uint64_t *result)
{
    enum { AT_SIZE = 40, AT_WHERE = 44, AT_VALUE = 48, SIZE_8 = 1 };
    const uint32_t where = le32_read(sqe + AT_WHERE), size = sqe[AT_SIZE] & 7;
    if (size != (where == FRONT_CAP ? SIZE_8 : 0))
        return NVME_ST_INVALID_FIELD;
    if (set) {
        if (where == PROP_NSSR && ctrl->front.drive != NULL) {
            if (le32_read(sqe + AT_VALUE) == NSSR_RESET)
                soft_drive_subsystem_reset(ctrl->front.drive); /* check_drive() resets all its controllers */
            return NVME_ST_OK;
        }
        if (where != FRONT_CC)
            return NVME_ST_INVALID_FIELD;
        if (front_write_cc(&ctrl->front, le32_read(sqe + AT_VALUE)) == FRONT_CC_RESET)
            tcp_ctrl_reset(ctrl);
        return NVME_ST_OK;
    }
    switch (where) {
    case FRONT_CAP:
        *result = front_capabilities(TCP_DEPTH_MAX) | (ctrl->front.drive == NULL ? 0 : 1ull << 36); /* NSSRS */
        return NVME_ST_OK;
    case FRONT_VS:
        *result = NVME_VERSION_2_0;
        return NVME_ST_OK;
    case FRONT_CC:
        *result = ctrl->front.cc;
        return NVME_ST_OK;
    case FRONT_CSTS:
        *result = ctrl->front.csts;
        return NVME_ST_OK;
    default:
        return NVME_ST_INVALID_FIELD;
    }
}

/* --- Connect ----------------------------------------------------------------------------------------------------- */

/* Base, figures "Connect Command - Submission Queue Entry" and "Connect Command - Data". */
enum {
    AT_FORMAT = 40,
    AT_QID = 42,
    AT_SQ_SIZE = 44,
    AT_ATTRIBUTES = 46,
    AT_KATO = 48,
    CONNECT_NO_SQ_HEAD = 1 << 2,
    DATA_CNTLID = 16,
    DATA_SUBNQN = 256,
    DATA_HOSTNQN = 512,
    CONNECT_DATA_LEN = 1024,
    CNTLID_ANY = 0xffff,
};

/* Connect Invalid Parameters names the parameter: its offset, and bit 16 for one of the data. */
static uint16_t wrong(uint32_t offset, bool in_data, uint64_t *result)
{
    *result = offset | (in_data ? 1u << 16 : 0);
    return NVME_ST_CONNECT_PARAMETERS;
}

/* A name is text with an end and at most 223 characters. NULL: it is none. */
static const char *name_at(const uint8_t *data, size_t at)
{
    const char *name = (const char *)data + at;
    return strnlen(name, TCP_NQN_SIZE) < TCP_NQN_SIZE && text_is_printable(name, TCP_NQN_SIZE - 1) ? name : NULL;
}

static struct soft_drive *drive_of(const struct soft_shelf *shelf, const char *nqn)
{
    char own[SOFT_SUBNQN_SIZE];
    for (size_t i = 0; i < shelf->count; i++) {
        soft_drive_nqn(shelf->drives[i], own);
        if (strcmp(own, nqn) == 0)
            return shelf->drives[i];
    }
    return NULL;
}

static uint32_t busy_ctrls(const struct tcp_target *target, const struct soft_drive *drive)
{
    uint32_t busy = 0;
    for (size_t i = 0; i < TCP_CTRLS_MAX; i++)
        if (target->ctrls[i] != NULL && target->ctrls[i]->front.drive == drive)
            busy |= 1u << (target->ctrls[i]->front.cntlid - 1);
    return busy;
}

static void join(struct tcp_link *link, struct tcp_ctrl *ctrl, const uint8_t *sqe, uint16_t qid)
{
    const uint16_t depth = (uint16_t)(le16_read(sqe + AT_SQ_SIZE) + 1);
    link->ctrl = ctrl;
    link->qid = qid;
    ctrl->links++;
    ctrl->front.queues |= 1u << qid;
    tcp_queue_connected(&link->queue, depth, sqe[AT_ATTRIBUTES] & CONNECT_NO_SQ_HEAD);
}

static uint16_t make_ctrl(struct tcp_target *target, const char *subnqn, const char *host, struct tcp_ctrl **out,
                          uint64_t *result)
{
    struct err err = {0};
    size_t at = 0;
    uint16_t cntlid;
    const bool is_discovery = strcmp(subnqn, TCP_DISCOVERY_NQN) == 0;
    struct soft_drive *drive = is_discovery ? NULL : drive_of(target->shelf, subnqn);
    if (!is_discovery && drive == NULL)
        return wrong(DATA_SUBNQN, true, result);
    while (at < TCP_CTRLS_MAX && target->ctrls[at] != NULL)
        at++;
    if (at == TCP_CTRLS_MAX || (drive != NULL && !soft_drive_present(drive)))
        return NVME_ST_CONNECT_BUSY; /* the host tries again */
    if (is_discovery)
        cntlid = target->discoveries = (uint16_t)(target->discoveries % 0xffef + 1); /* FFF0h and up are reserved */
    else if (!soft_drive_ctrl(drive, host, busy_ctrls(target, drive), &cntlid, &err))
        return err.kind == ERR_FULL ? NVME_ST_CONNECT_HOST : NVME_ST_INTERNAL;
    struct tcp_ctrl *ctrl = calloc(1, sizeof(*ctrl));
    must(ctrl != NULL);
    front_init(&ctrl->front, drive, cntlid);
    ctrl->front.has_keep_alive = true;
    ctrl->resets = drive == NULL ? 0 : soft_drive_resets(drive);
    must(text_copy(ctrl->host, sizeof(ctrl->host), host));
    target->ctrls[at] = ctrl;
    *out = ctrl;
    return NVME_ST_OK;
}

static uint16_t connect_admin(struct tcp_target *target, struct tcp_link *link, const uint8_t *sqe, const uint8_t *data,
                              uint64_t *result)
{
    struct tcp_ctrl *ctrl;
    if (le16_read(data + DATA_CNTLID) != CNTLID_ANY)
        return wrong(DATA_CNTLID, true, result);
    const uint16_t status = make_ctrl(target, name_at(data, DATA_SUBNQN), name_at(data, DATA_HOSTNQN), &ctrl, result);
    if (status != NVME_ST_OK)
        return status;
    ctrl->front.kato_ms = le32_read(sqe + AT_KATO);
    ctrl->admin = link;
    join(link, ctrl, sqe, 0);
    *result = ctrl->front.cntlid;
    return NVME_ST_OK;
}

static bool is_of(const struct tcp_ctrl *ctrl, uint16_t cntlid, const char *subnqn, const char *host)
{
    char own[SOFT_SUBNQN_SIZE];
    if (ctrl == NULL || ctrl->front.drive == NULL || ctrl->ended != NULL || ctrl->front.cntlid != cntlid)
        return false;
    soft_drive_nqn(ctrl->front.drive, own);
    return strcmp(own, subnqn) == 0 && strcmp(ctrl->host, host) == 0;
}

static uint16_t connect_io(struct tcp_target *target, struct tcp_link *link, const uint8_t *sqe, const uint8_t *data,
                           uint64_t *result)
{
    const uint16_t cntlid = le16_read(data + DATA_CNTLID), qid = le16_read(sqe + AT_QID);
    struct tcp_ctrl *ctrl = NULL;
    for (size_t i = 0; i < TCP_CTRLS_MAX && ctrl == NULL; i++)
        if (is_of(target->ctrls[i], cntlid, name_at(data, DATA_SUBNQN), name_at(data, DATA_HOSTNQN)))
            ctrl = target->ctrls[i];
    if (ctrl == NULL)
        return wrong(DATA_CNTLID, true, result);
    if (!(ctrl->front.csts & FRONT_CSTS_READY))
        return NVME_ST_SEQUENCE;
    if (qid > ctrl->front.io_queues || ctrl->front.queues >> qid & 1)
        return wrong(AT_QID, false, result);
    join(link, ctrl, sqe, qid);
    *result = cntlid;
    return NVME_ST_OK;
}

static uint16_t connect(struct tcp_target *target, struct tcp_link *link, const struct tcp_command *command,
                        uint64_t *result)
{
    const uint8_t *sqe = command->sqe, *data = command->data;
    const uint16_t sq_size = le16_read(sqe + AT_SQ_SIZE);
    if (link->ctrl != NULL)
        return NVME_ST_SEQUENCE;
    if (le16_read(sqe + AT_FORMAT) != 0)
        return NVME_ST_CONNECT_FORMAT;
    if (command->len != CONNECT_DATA_LEN)
        return NVME_ST_SGL_LENGTH;
    if (sq_size == 0 || sq_size >= TCP_DEPTH_MAX)
        return wrong(AT_SQ_SIZE, false, result);
    if (name_at(data, DATA_SUBNQN) == NULL)
        return wrong(DATA_SUBNQN, true, result);
    if (name_at(data, DATA_HOSTNQN) == NULL)
        return wrong(DATA_HOSTNQN, true, result);
    return le16_read(sqe + AT_QID) == 0 ? connect_admin(target, link, sqe, data, result)
                                        : connect_io(target, link, sqe, data, result);
}

/* Ends one I/O queue; the connection ends behind the answer. */
static uint16_t disconnect(struct tcp_link *link, const uint8_t *sqe)
{
    if (le16_read(sqe + AT_FORMAT) != 0)
        return NVME_ST_CONNECT_FORMAT;
    if (link->qid == 0)
        return NVME_ST_QUEUE_TYPE;
    tcp_queue_end(&link->queue, "the host disconnected the queue");
    return NVME_ST_OK;
}

static void run_fabrics(struct tcp_target *target, struct tcp_link *link, const struct tcp_command *command)
{
    enum { AT_TYPE = 4, PROPERTY_SET = 0x00, CONNECT = 0x01, PROPERTY_GET = 0x04, DISCONNECT = 0x08 };
    uint64_t result = 0;
    uint16_t status = NVME_ST_INVALID_OPCODE;
    const uint8_t type = command->sqe[AT_TYPE];
    if (type == CONNECT)
        status = connect(target, link, command, &result);
    else if (link->ctrl == NULL)
        status = NVME_ST_SEQUENCE;
    else if ((type == PROPERTY_SET || type == PROPERTY_GET) && link->qid == 0)
        status = property(link->ctrl, command->sqe, type == PROPERTY_SET, &result);
    else if (type == DISCONNECT)
        status = disconnect(link, command->sqe);
    tcp_finish(link, command->slot, status, result);
}

/* --- Commands ---------------------------------------------------------------------------------------------------- */

static void run_io(struct tcp_link *link, const struct tcp_command *command)
{
    enum { RANGE_BYTES = 16 };
    struct front_answer answer;
    struct nvme_cmd cmd = front_cmd(command->sqe, command->data, command->len);
    /* Linux always sends room for 256 ranges (drivers/nvme/host/core.c, nvme_setup_discard). */
    const uint32_t ranges_len = ((cmd.cdw10 & 0xff) + 1) * RANGE_BYTES;
    if (cmd.opcode == NVME_IO_DSM && cmd.data_len > ranges_len)
        cmd.data_len = ranges_len;
    front_drive(&link->ctrl->front, true, &cmd, &answer);
    tcp_settle(link, command->slot, &answer);
}

/* A drive that was pulled out ends its controllers, also when it is back by now. A reset of the subsystem is one of
 * each controller: as when the host clears CC.EN, I/O queues end, and the admin queue stays: Linux still writes CC
 * there. */
static void check_drive(struct tcp_ctrl *ctrl)
{
    if (ctrl->front.drive == NULL || ctrl->ended != NULL)
        return;
    if (front_is_pulled(&ctrl->front)) {
        ctrl->ended = "the drive was pulled out";
    } else if (soft_drive_resets(ctrl->front.drive) != ctrl->resets) {
        ctrl->resets = soft_drive_resets(ctrl->front.drive);
        if (front_write_cc(&ctrl->front, 0) == FRONT_CC_RESET)
            tcp_ctrl_reset(ctrl);
    }
}

void tcp_link_serve(struct tcp_target *target, struct tcp_link *link, uint64_t now_ms)
{
    struct tcp_command command;
    if (link->ctrl != NULL)
        check_drive(link->ctrl);
    while (tcp_queue_take(&link->queue, &command)) {
        if (command.sqe[0] == NVME_OP_FABRICS)
            run_fabrics(target, link, &command);
        else if (link->ctrl == NULL || link->ctrl->ended != NULL || !(link->ctrl->front.csts & FRONT_CSTS_READY))
            tcp_finish(link, command.slot, NVME_ST_SEQUENCE, 0);
        else if (link->qid == 0)
            tcp_admin_run(target, link, &command);
        else
            run_io(link, &command);
        if (link->ctrl != NULL)
            link->ctrl->heard_ms = now_ms;
    }
}

void tcp_link_poll(struct tcp_link *link)
{
    struct soft_outcome outcome;
    for (uint16_t i = 0; i < TCP_DEPTH_MAX && link->queue.tickets > 0; i++) {
        const struct tcp_slot *slot = &link->queue.slots[i];
        if (slot->state != TCP_SLOT_TICKETED)
            continue;
        const enum soft_result how = soft_drive_poll(link->ctrl->front.drive, slot->ticket, &outcome);
        if (how == SOFT_DONE)
            tcp_finish(link, i, outcome.status, 0);
        else if (how == SOFT_LOST)
            tcp_queue_hold(&link->queue, i, 0);
    }
}

void tcp_link_check(struct tcp_link *link)
{
    const struct tcp_ctrl *ctrl = link->ctrl;
    if (ctrl == NULL || link->queue.is_over)
        return;
    if (ctrl->ended != NULL)
        tcp_queue_end(&link->queue, ctrl->ended);
    else if (link->qid != 0 && !(ctrl->front.csts & FRONT_CSTS_READY))
        tcp_queue_end(&link->queue, "the controller was reset");
}

/* --- Time and events --------------------------------------------------------------------------------------------- */

static uint64_t keep_alive_due_ms(const struct tcp_ctrl *ctrl)
{
    const uint64_t rounded = ((uint64_t)ctrl->front.kato_ms + TCP_KAS_MS - 1) / TCP_KAS_MS * TCP_KAS_MS;
    return ctrl->front.kato_ms == 0 || ctrl->ended != NULL ? UINT64_MAX : ctrl->heard_ms + rounded;
}

uint64_t tcp_target_due_ms(const struct tcp_target *target)
{
    uint64_t due = UINT64_MAX;
    for (size_t i = 0; i < TCP_CTRLS_MAX; i++)
        if (target->ctrls[i] != NULL && keep_alive_due_ms(target->ctrls[i]) < due)
            due = keep_alive_due_ms(target->ctrls[i]);
    return due;
}

static void send_events(struct tcp_ctrl *ctrl)
{
    uint32_t event;
    uint16_t cid;
    while (front_event(&ctrl->front, &cid, &event))
        finish_cid(ctrl->admin, cid, NVME_ST_OK, event);
}

void tcp_target_poll(struct tcp_target *target, uint64_t now_ms)
{
    for (size_t i = 0; i < TCP_CTRLS_MAX; i++) {
        struct tcp_ctrl *ctrl = target->ctrls[i];
        if (ctrl == NULL)
            continue;
        check_drive(ctrl);
        if (ctrl->ended != NULL)
            continue;
        if (now_ms >= keep_alive_due_ms(ctrl)) {
            ctrl->front.csts |= FRONT_CSTS_FAILED;
            ctrl->ended = "the host was not heard of for its keep alive time";
        } else {
            send_events(ctrl);
        }
    }
}
