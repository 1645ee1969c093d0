/* nvme_drive_fixture.h - for t_nvme_drive.c: a spy on the port of a software drive, which records every command and can
 * fake answers. */
#ifndef NSMITH_NVME_DRIVE_FIXTURE_H
#define NSMITH_NVME_DRIVE_FIXTURE_H

/* nvme_drive.h over the software drive. Between the two sits a spy that notes every command that is sent, and that can
 * change a question or an answer, for drives that lie. */
#include "nvme/nvme_drive.h"

#include "nvme/nvme_ask.h"
#include "nvme/nvme_soft.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define MIB (1ull << 20)
#define GIB (1ull << 30)

enum { SENT_MAX = 1024, MINUTE_MS = 60000 };

struct spy;
/* Before (status 0: go on) and after a command; what it returns is the drive's answer. */
typedef uint16_t (*lie_fn)(const struct nvme_cmd *cmd, bool answered);

struct spy {
    struct nvme_dev dev; /* first */
    struct nvme_dev *inner;
    struct nvme_cmd sent[SENT_MAX];
    size_t count;
    lie_fn lie;
};

struct bench {
    struct soft_profile profile;
    struct soft_drive *drive;
    struct nvme_port port;
    struct spy spy;
    struct nvme_dev *dev;
    struct drive_ident who;
};

static bool is_mutating(const struct nvme_cmd *cmd)
{
    return cmd->opcode != NVME_OP_IDENTIFY && cmd->opcode != NVME_OP_GET_LOG && cmd->opcode != NVME_OP_GET_FEATURES;
}

static bool spy_admin(struct nvme_dev *dev, struct nvme_cmd *cmd, struct err *err)
{
    struct spy *self = (struct spy *)dev;
    assert_true(self->count < SENT_MAX);
    self->sent[self->count++] = *cmd;
    if (is_mutating(cmd) && cmd->nsid == NVME_NSID_ALL)
        fail_msg("%02xh was sent to all namespaces", cmd->opcode);
    const uint16_t before = self->lie != NULL ? self->lie(cmd, false) : 0;
    if (before != 0)
        return err_nvme(err, before, "cannot do this");
    if (!self->inner->ops->admin(self->inner, cmd, err))
        return false;
    const uint16_t after = self->lie != NULL ? self->lie(cmd, true) : 0;
    return after == 0 || err_nvme(err, after, "cannot do this");
}

static bool spy_ns_open(struct nvme_dev *dev, struct nsid nsid, bool exclusive, struct nvme_ns **out, struct err *err)
{
    struct nvme_dev *inner = ((struct spy *)dev)->inner;
    return inner->ops->ns_open(inner, nsid, exclusive, out, err);
}

static bool spy_ns_path(struct nvme_dev *dev, struct nsid nsid, char path[PATH_TEXT_MAX], struct err *err)
{
    struct nvme_dev *inner = ((struct spy *)dev)->inner;
    return inner->ops->ns_path(inner, nsid, path, err);
}

static bool spy_rescan(struct nvme_dev *dev, struct err *err)
{
    struct nvme_dev *inner = ((struct spy *)dev)->inner;
    return inner->ops->rescan(inner, err);
}

static const struct nvme_dev_ops spy_ops = {
    .admin = spy_admin, .ns_open = spy_ns_open, .ns_path = spy_ns_path, .rescan = spy_rescan};

static void expect_ok(bool ok, const struct err *err)
{
    if (!ok)
        fail_msg("%s: %s", err_kind_name(err->kind), err->msg);
}

static void expect_err(bool ok, const struct err *err, enum err_kind want, const char *rule)
{
    if (ok || err->kind != want)
        fail_msg("%s: got %s '%s', want %s", rule, ok ? "success" : err_kind_name(err->kind), err->msg,
                 err_kind_name(want));
}

/* A drive of 64 GiB, without a namespace unless the profile says otherwise. */
static void make_profile(struct soft_profile *profile)
{
    soft_profile_defaults(profile);
    snprintf(profile->name, sizeof(profile->name), "test");
    profile->capacity_bytes = 64 * GIB;
    profile->factory_namespace = false;
}

static void bench_open(struct bench *bench)
{
    struct err err = {0};
    bench->drive = soft_drive_make_mem(&bench->profile, "SN1", 1);
    soft_port(&bench->drive, 1, &bench->port);
    expect_ok(bench->port.open(bench->port.self, "SN1", &bench->spy.inner, &err), &err);
    bench->spy.dev.ops = &spy_ops;
    bench->dev = &bench->spy.dev;
    uint16_t cntlid;
    expect_ok(nvme_ident(bench->dev, &bench->who, &cntlid, &err), &err);
    bench->spy.count = 0;
}

static void bench_close(struct bench *bench)
{
    const char *broken = soft_drive_broken(bench->drive);
    if (broken != NULL)
        fail_msg("the software drive broke: %s", broken);
    nvme_dev_close(bench->spy.inner);
    bench->port.close(bench->port.self);
    soft_drive_free(bench->drive);
}

static size_t mutations(const struct bench *bench)
{
    size_t count = 0;
    for (size_t i = 0; i < bench->spy.count; i++)
        count += is_mutating(&bench->spy.sent[i]);
    return count;
}

/* The last command that changes something. */
static const struct nvme_cmd *last_change(const struct bench *bench)
{
    for (size_t i = bench->spy.count; i > 0; i--)
        if (is_mutating(&bench->spy.sent[i - 1]))
            return &bench->spy.sent[i - 1];
    fail_msg("nothing that changes anything was sent");
    return NULL;
}

/* A namespace of `bytes`, attached, as it will be expected. */
static struct nvme_ns_ident make_ns(struct bench *bench, uint64_t bytes)
{
    struct err err = {0};
    struct nsid nsid = {0};
    struct drive_seen seen;
    const struct nvme_ns_spec spec = {.size_blocks = bytes / 512, .lbaf = 0};
    expect_ok(nvme_create(bench->dev, &bench->who, &spec, &nsid, &err), &err);
    expect_ok(nvme_attach(bench->dev, &bench->who, nsid, &err), &err);
    expect_ok(nvme_scan(bench->dev, &seen, &err), &err);
    const struct ns_seen *ns = drive_ns(&seen, nsid);
    assert_non_null(ns);
    struct nvme_ns_ident ident = {.nsid = nsid, .size_bytes = ns->size_blocks * ns->block_bytes};
    memcpy(ident.nguid, ns->nguid, sizeof(ident.nguid));
    memcpy(ident.eui64, ns->eui64, sizeof(ident.eui64));
    bench->spy.count = 0;
    return ident;
}

#endif
