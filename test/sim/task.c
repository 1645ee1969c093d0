/* What people ask of single drives: probes, destructive ones, firmware. */
#include "sim.h"

#include "base/must.h"
#include "base/text.h"
#include "nvme/nvme_wire.h"
#include "nvme/soft_fwimage.h"

#include <sodium.h>
#include <stdlib.h>

/* ---- asking ------------------------------------------------------------------------------------------------------ */

struct wish {
    struct task_request request;
    struct firmware_piece *piece;
    struct row_drive row;
};

static bool image_in(struct sim *sim, void *arg, struct err *err)
{
    const struct wish *wish = arg;
    return service_firmware_put(&sim->server.service, wish->piece, sim->now_ms, err);
}

static bool task_in(struct sim *sim, void *arg, struct err *err)
{
    struct wish *wish = arg;
    return service_task(&sim->server.service, &wish->request, &wish->row, err);
}

static void image_make(struct sim *sim, struct wish *wish)
{
    uint8_t bytes[SOFT_FWIMAGE_BYTES], hash[crypto_hash_sha256_BYTES];
    struct soft_fwimage image = {.flags = 0};
    _Static_assert((int)SOFT_FWIMAGE_BYTES <= (int)FIRMWARE_PIECE, "an image is one piece");
    snprintf(image.revision, sizeof(image.revision), "F%u", (unsigned)sim_rand(sim, 1000));
    soft_fwimage_build(&image, bytes);
    crypto_hash_sha256(hash, bytes, sizeof(bytes));
    text_hex(wish->piece->digest, hash, sizeof(hash));
    text_hex(wish->piece->hex, bytes, sizeof(bytes));
    wish->request.firmware.size_bytes = sizeof(bytes);
    memcpy(wish->request.firmware.digest, wish->piece->digest, sizeof(wish->piece->digest));
}

static bool ask(struct sim *sim, struct wish *wish, struct sim_host *at, size_t drive)
{
    struct err err = {0};
    text_cut(wish->request.serial, sizeof(wish->request.serial), soft_drive_serial(at->soft[drive]));
    const bool ok = (wish->piece == NULL || server_call(sim, image_in, wish, NULL, &err)) &&
                    server_call(sim, task_in, wish, NULL, &err);
    sim_trace(sim, "user asks drive %s for a %s: %s", wish->request.serial, task_kind_words[wish->request.kind],
              ok ? wish->row.task.id.v : err.msg);
    return ok;
}

void user_task(struct sim *sim)
{
    static const enum task_kind kinds[] = {TASK_PROBE, TASK_FIRMWARE, TASK_PROBE_DESTRUCTIVE, TASK_PROBE_DESTRUCTIVE,
                                           TASK_PROBE_DESTRUCTIVE};
    struct sim_host *at = &sim->hosts[sim_rand(sim, sim->host_count)];
    struct wish *wish = calloc(1, sizeof(*wish));
    must(wish != NULL);
    wish->request = (struct task_request){.host = at->name, .kind = kinds[sim_rand(sim, 5)]};
    if (wish->request.kind == TASK_FIRMWARE) {
        wish->piece = calloc(1, sizeof(*wish->piece));
        must(wish->piece != NULL);
        image_make(sim, wish);
    }
    /* Few drives are empty: the first that is. */
    const size_t first = sim_rand(sim, at->drive_count);
    const size_t most = wish->request.kind == TASK_PROBE_DESTRUCTIVE ? at->drive_count : 1;
    bool ok = false;
    for (size_t i = 0; i < most && !ok; i++)
        ok = ask(sim, wish, at, (first + i) % at->drive_count);
    free(wish->piece);
    free(wish);
}

/* ---- the agent's way to images ------------------------------------------------------------------------------------
 */

static bool piece_in(struct sim *sim, void *arg, struct err *err)
{
    return service_firmware_get(&sim->server.service, arg, err);
}

bool task_image(void *ctx, const char *digest, uint32_t number, uint8_t *to, uint32_t len, struct err *err)
{
    struct sim_host *at = ctx;
    struct firmware_piece *piece = calloc(1, sizeof(*piece));
    must(piece != NULL);
    text_cut(piece->digest, sizeof(piece->digest), digest);
    piece->number = number;
    const bool ok = port_point(at, err) && server_call(at->sim, piece_in, piece, NULL, err) &&
                    (text_unhex(to, len, piece->hex) || err_set(err, ERR_FAILED, "cannot read a piece"));
    free(piece);
    return ok;
}

/* ---- 9: a task acts once -------------------------------------------------------------------------------------------
 */

void check_commit(struct sim_host *at, const struct nvme_cmd *cmd)
{
    struct sim *sim = at->sim;
    if (cmd->opcode != NVME_OP_FW_COMMIT || at->order == NULL)
        return;
    for (size_t i = 0; i < sim->commit_count; i++)
        if (strcmp(sim->commits[i].v, at->order->task.v) == 0)
            sim_fail(sim, "(9) firmware task %s was committed twice", at->order->task.v);
    if (sim->commit_count < SIM_COMMITS)
        sim->commits[sim->commit_count++] = at->order->task;
    sim->tally.firmware++;
}

/* Counts how destructive probes end, each once. */
void check_tasks(struct sim_host *at)
{
    const struct host *host = at->agent.host;
    for (size_t i = 0; i < host->drive_count; i++) {
        const struct host_task *task = &host->drives[i].task;
        for (size_t k = 0; k < at->drive_count; k++) {
            struct uuid *seen = &at->drives[k].task_seen;
            if (task->task.kind != TASK_PROBE_DESTRUCTIVE || !task_is_over(task->report.state) ||
                strcmp(seen->v, task->task.id.v) == 0 ||
                strcmp(soft_drive_serial(at->soft[k]), host->drives[i].ident.serial) != 0)
                continue;
            *seen = task->task.id;
            at->sim->tally.probes += task->report.state == TASK_DONE;
            at->sim->tally.probes_cut += task->report.state == TASK_FAILED;
            sim_trace(at->sim, "%s probe of drive %s is %s: %s %s", at->name.v, host->drives[i].ident.serial,
                      task_state_words[task->report.state], task->report.why,
                      task_verdict_words[task->report.result.verdict]);
        }
    }
}

/* ---- with the faults gone -------------------------------------------------------------------------------------------
 */

static bool wanted(void *ctx, const void *row)
{
    char *why = ctx;
    const struct row_drive *drive = row;
    if (drive->task.id.v[0] != '\0')
        snprintf(why, 256, "drive %s is still wanted to do a %s", drive->key, task_kind_words[drive->task.kind]);
    return why[0] == '\0';
}

bool tasks_rest(struct sim *sim, char why[256])
{
    server_each(sim, ROW_DRIVE, wanted, why);
    for (size_t h = 0; h < sim->host_count && why[0] == '\0'; h++) {
        const struct host *host = sim->hosts[h].agent.host;
        for (size_t i = 0; host != NULL && i < host->drive_count; i++) {
            const struct host_task *task = &host->drives[i].task;
            if (task->task.id.v[0] != '\0' && !task_is_over(task->report.state))
                snprintf(why, 256, "task %s of drive %s is %s: %s", task_kind_words[task->task.kind],
                         host->drives[i].ident.serial, task_state_words[task->report.state], task->report.why);
        }
    }
    return why[0] == '\0';
}
