#include "nvme/nvme_uring.h"

#include "base/must.h"

#include <errno.h>
#include <liburing.h>
#include <linux/nvme_ioctl.h>
#include <string.h>

enum { ENTRIES = 1 };

static void fill(struct io_uring_sqe *sqe, int fd, const struct nvme_cmd *cmd)
{
    const struct nvme_uring_cmd wire = {
        .opcode = cmd->opcode,
        .nsid = cmd->nsid,
        .addr = (uintptr_t)cmd->data,
        .data_len = cmd->data_len,
        .cdw10 = cmd->cdw10,
        .cdw11 = cmd->cdw11,
        .cdw12 = cmd->cdw12,
        .cdw13 = cmd->cdw13,
        .cdw14 = cmd->cdw14,
        .cdw15 = cmd->cdw15,
        .timeout_ms = cmd->timeout_ms,
    };
    memset(sqe, 0, 2 * sizeof(*sqe)); /* IORING_SETUP_SQE128 */
    sqe->opcode = IORING_OP_URING_CMD;
    sqe->fd = fd;
    sqe->cmd_op = NVME_URING_CMD_ADMIN;
    memcpy(sqe->cmd, &wire, sizeof(wire));
}

/* Once it is submitted it cannot be called off: a signal ends the wait, not the command. */
static int run(struct io_uring *ring, uint32_t *result)
{
    struct io_uring_cqe *cqe;
    int got;
    do
        got = io_uring_submit(ring);
    while (got == -EINTR);
    if (got != 1)
        return -EOPNOTSUPP; /* nothing was taken */
    do
        got = io_uring_wait_cqe(ring, &cqe);
    while (got == -EINTR || got == -EAGAIN);
    must(got == 0);
    got = cqe->res;
    *result = (uint32_t)cqe->big_cqe[0]; /* IORING_SETUP_CQE32 */
    io_uring_cqe_seen(ring, cqe);
    return got;
}

bool nvme_uring_admin(int fd, struct nvme_cmd *cmd, int *answer)
{
    struct io_uring ring;
    struct io_uring_params params = {.flags = IORING_SETUP_SQE128 | IORING_SETUP_CQE32};
    if (io_uring_queue_init_params(ENTRIES, &ring, &params) < 0)
        return false;
    uint32_t result = 0;
    struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);
    must(sqe != NULL);
    fill(sqe, fd, cmd);
    const int got = run(&ring, &result);
    io_uring_queue_exit(&ring);
    /* io_uring and the driver say these before anything is sent: no such operation, no such file operation. */
    if (got == -EOPNOTSUPP || got == -ENOTTY || got == -EINVAL || got == -EACCES || got == -EPERM)
        return false;
    if (got == 0)
        cmd->result = result;
    *answer = got;
    return true;
}
