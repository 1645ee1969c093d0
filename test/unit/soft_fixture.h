/* soft_fixture.h - short words for NVMe commands to a software drive, and a bench for one: in memory or in a folder. */
#ifndef NSMITH_SOFT_FIXTURE_H
#define NSMITH_SOFT_FIXTURE_H

#include "nvme/nvme_soft.h"
#include "nvme/nvme_wire.h"
#include "tree.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum { LOST = 0xffff, PENDING = 0xfffe, MIB = 1 << 20 };

static uint64_t ticket; /* of the last command that was pending */

static inline uint16_t admin(struct soft_drive *drive, struct nvme_cmd *cmd)
{
    struct soft_outcome outcome = {0};
    const enum soft_result how = soft_admin(drive, cmd, &outcome);
    ticket = outcome.ticket;
    return how == SOFT_LOST ? LOST : how == SOFT_PENDING ? PENDING : outcome.status;
}

static inline uint16_t io(struct soft_drive *drive, struct nvme_cmd *cmd)
{
    struct soft_outcome outcome = {0};
    return soft_io(drive, cmd, &outcome) == SOFT_DONE ? outcome.status : LOST;
}

static inline uint16_t identify(struct soft_drive *drive, uint32_t cns, uint32_t nsid, void *page)
{
    struct nvme_cmd cmd = {.opcode = NVME_OP_IDENTIFY, .nsid = nsid, .cdw10 = cns, .data = page, .data_len = NVME_PAGE};
    return admin(drive, &cmd);
}

static inline uint16_t get_log(struct soft_drive *drive, uint32_t lid, uint32_t nsid, void *page, uint32_t len)
{
    struct nvme_cmd cmd = {
        .opcode = NVME_OP_GET_LOG, .nsid = nsid, .cdw10 = lid | (len / 4 - 1) << 16, .data = page, .data_len = len};
    return admin(drive, &cmd);
}

static inline uint16_t create(struct soft_drive *drive, uint64_t bytes, uint8_t lbaf, uint32_t *nsid_out)
{
    static struct nvme_wire_create page;
    const uint64_t block = soft_drive_profile(drive)->lbaf[lbaf].block_bytes;
    page = (struct nvme_wire_create){.nsze = le64_of(bytes / block), .ncap = le64_of(bytes / block), .flbas = lbaf};
    struct nvme_cmd cmd = {.opcode = NVME_OP_NS_MANAGEMENT, .data = &page, .data_len = sizeof(page)};
    const uint16_t status = admin(drive, &cmd);
    if (nsid_out != NULL)
        *nsid_out = cmd.result;
    return status;
}

static inline uint16_t delete_ns(struct soft_drive *drive, uint32_t nsid)
{
    struct nvme_cmd cmd = {.opcode = NVME_OP_NS_MANAGEMENT, .nsid = nsid, .cdw10 = NVME_NS_DELETE};
    return admin(drive, &cmd);
}

static inline uint16_t attachment(struct soft_drive *drive, uint32_t nsid, uint32_t sel)
{
    static struct nvme_wire_ctrl_list page;
    page = (struct nvme_wire_ctrl_list){.count = le16_of(1), .cntlid = {le16_of(1)}};
    struct nvme_cmd cmd = {
        .opcode = NVME_OP_NS_ATTACHMENT, .nsid = nsid, .cdw10 = sel, .data = &page, .data_len = sizeof(page)};
    return admin(drive, &cmd);
}

static inline uint16_t format(struct soft_drive *drive, uint32_t nsid, unsigned ses, unsigned lbaf)
{
    struct nvme_cmd cmd = {
        .opcode = NVME_OP_FORMAT, .nsid = nsid, .cdw10 = nvme_format_cdw10(lbaf, (enum nvme_ses)ses)};
    return admin(drive, &cmd);
}

static inline uint16_t sanitize(struct soft_drive *drive, uint8_t opcode, uint32_t nsid, uint32_t action)
{
    struct nvme_cmd cmd = {.opcode = opcode, .nsid = nsid, .cdw10 = action};
    return admin(drive, &cmd);
}

/* A namespace that is made and attached. */
static inline uint32_t add_ns(struct soft_drive *drive, uint64_t bytes)
{
    uint32_t nsid;
    assert_int_equal(create(drive, bytes, 0, &nsid), 0);
    assert_int_equal(attachment(drive, nsid, NVME_NS_ATTACH), 0);
    return nsid;
}

static inline void plant(struct soft_drive *drive, uint32_t nsid)
{
    uint8_t page[4096];
    memset(page, 0xa5, sizeof(page));
    for (unsigned i = 0; i < 64; i++) /* spread, so that half of them is not all or none */
        assert_true(soft_drive_poke(drive, nsid, i * 65536u, page, sizeof(page)));
}

/* How many of the planted pages are still there. */
static inline unsigned found(struct soft_drive *drive, uint32_t nsid)
{
    unsigned count = 0;
    uint8_t page[4096], want[4096];
    memset(want, 0xa5, sizeof(want));
    for (unsigned i = 0; i < 64; i++) {
        assert_true(soft_drive_peek(drive, nsid, i * 65536u, page, sizeof(page)));
        count += memcmp(page, want, sizeof(page)) == 0;
    }
    return count;
}

static inline void fault(struct soft_drive *drive, const char *text)
{
    struct soft_fault parsed;
    struct err err = {0};
    if (!soft_fault_parse(text, &parsed, &err) || !soft_drive_fault(drive, &parsed, &err))
        fail_msg("%s", err.msg);
}

/* Each test runs twice: over memory and over a folder. */
struct bench {
    bool files;
    char dir[64];
    struct soft_drive *drive;
};

#define BASE "capacity = 64MiB\nnn = 8\ngranularity = 1MiB\nfactory_namespace = no\n"

static inline int setup(struct bench *bench, bool files)
{
    *bench = (struct bench){.files = files, .dir = "/tmp/t_nvme_soft.XXXXXX"};
    return files && mkdtemp(bench->dir) == NULL;
}

static struct bench the_bench;

static inline int setup_mem(void **state)
{
    *state = &the_bench;
    return setup(&the_bench, false);
}

static inline int setup_files(void **state)
{
    *state = &the_bench;
    return setup(&the_bench, true);
}

static inline int teardown(void **state)
{
    struct bench *bench = *state;
    soft_drive_free(bench->drive);
    if (bench->files)
        remove_tree(bench->dir);
    return 0;
}

static inline struct soft_drive *make(struct bench *bench, const char *text)
{
    struct soft_profile profile;
    struct err err = {0};
    if (!soft_profile_parse("test", text, strlen(text), &profile, &err))
        fail_msg("%s", err.msg);
    if (!bench->files)
        bench->drive = soft_drive_make_mem(&profile, "S1", 7);
    else if (!soft_drive_open_dir(bench->dir, "S1", "test", text, &bench->drive, &err))
        fail_msg("%s", err.msg);
    return bench->drive;
}

/* As after the death of the process, or a power cut. */
static inline struct soft_drive *restart(struct bench *bench)
{
    struct err err = {0};
    if (!bench->files) {
        soft_drive_power_cut(bench->drive);
        return bench->drive;
    }
    soft_drive_free(bench->drive);
    bench->drive = NULL;
    if (!soft_drive_open_dir(bench->dir, "S1", NULL, NULL, &bench->drive, &err))
        fail_msg("%s", err.msg);
    return bench->drive;
}

static inline void check_whole(struct soft_drive *drive)
{
    const char *broken = soft_drive_broken(drive);
    if (broken != NULL)
        fail_msg("broken: %s", broken);
}

#define BOTH(test)                                              \
    {#test " in memory", test, setup_mem, teardown, NULL},      \
    {                                                           \
#test " in a folder", test, setup_files, teardown, NULL \
    }

static uint8_t zeros[NVME_PAGE] __attribute__((unused));

static inline uint8_t fpi(struct soft_drive *drive, uint32_t nsid)
{
    struct nvme_wire_ns page;
    assert_int_equal(identify(drive, NVME_CNS_NS, nsid, &page), 0);
    return page.fpi;
}

#endif
