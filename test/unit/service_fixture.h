/* service_fixture.h - the server's decisions over a database in memory, one host with one drive, and what its agent
 * would say. */
#ifndef NSMITH_SERVICE_FIXTURE_H
#define NSMITH_SERVICE_FIXTURE_H

#include "server/service.h"

#include "base/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { NOW_MS = 1000000, MIB = 1 << 20 };

static struct store store;
static struct service service;
static struct err err;       /* of the last call */
static struct report report; /* of host h1, as the tests go on */
static uint64_t records;
static char hash[65];

static const struct name h1 = {"h1"}, h2 = {"h2"}, small = {"4M"};

/* ---- one transaction, as the API has it ------------------------------------------------------------------------- */

static inline void begin(void)
{
    err = (struct err){0};
    assert_true(store.begin(store.self, &err));
}

static inline bool end(bool ok, struct err *why)
{
    if (ok)
        ok = store.commit(store.self, why);
    if (!ok)
        store.rollback(store.self);
    return ok;
}

#define DO(call)                     \
    do {                             \
        err = (struct err){0};       \
        begin();                     \
        if (!end(call, &err))        \
            fail_msg("%s", err.msg); \
    } while (0)

#define REFUSED(want_kind, text, call)                                                                               \
    do {                                                                                                             \
        err = (struct err){0};                                                                                       \
        begin();                                                                                                     \
        if (end(call, &err))                                                                                         \
            fail_msg("%s was not refused", #call);                                                                   \
        if (err.kind != (want_kind) || strstr(err.msg, text) == NULL)                                                \
            fail_msg("got %s '%s', want %s '%s'", err_kind_name(err.kind), err.msg, err_kind_name(want_kind), text); \
    } while (0)

static inline bool get(enum store_kind kind, const char *key, void *row)
{
    bool found = false;
    begin();
    assert_true(store.get(store.self, kind, key, row, &found, &err));
    store.rollback(store.self);
    return found;
}

/* ---- a host with one cut drive ------------------------------------------------------------------------------------
 */

static inline void slice_id(struct slice_id *id, size_t i)
{
    snprintf(id->v, sizeof(id->v), "ns-%zu", i);
}

static inline struct slice *slice_of(size_t i)
{
    return &report.slices[i];
}

static inline bool send(struct err *why)
{
    return service_report(&service, &report, NOW_MS, why);
}

static inline void make_record(size_t slice, enum erase_verdict verdict, struct row_erasure *row)
{
    *row = (struct row_erasure){.host = h1, .seq = records + 1, .slice = slice_of(slice)->id, .text = "signed"};
    snprintf(row->id.v, sizeof(row->id.v), "e-%ju", (uintmax_t)row->seq);
    row->erasure =
        (struct erasure){.id = row->id, .seq = row->seq, .host = h1, .slice = row->slice, .verdict = verdict};
}

/* The agent has erased the slice, and says so; with the record or (proof = false) without. */
static inline void erased(size_t i, bool proof)
{
    struct slice *slice = slice_of(i);
    struct row_erasure row;
    make_record(i, ERASE_VERIFIED, &row);
    slice->state = SLICE_FREE;
    slice->owner = (struct claim_id){0};
    slice->erased_seq = slice->attached_seq + 1;
    slice->erasure = row.id;
    slice->path[0] = '\0';
    if (proof) {
        static const char zeros[65] = "0000000000000000000000000000000000000000000000000000000000000000";
        char next[65];
        memset(next, (int)('a' + records % 6), 64);
        next[64] = '\0';
        DO(service_record(&service, &h1, &row, hash[0] != '\0' ? hash : zeros, next, &err));
        text_cut(hash, sizeof(hash), next);
        records++;
    }
    DO(send(&err));
}

static inline void drive_fill(struct drive_report *drive, const char *serial)
{
    *drive = (struct drive_report){.adopt = ADOPT_NONE};
    struct drive_seen *seen = &drive->seen;
    text_cut(seen->ident.serial, sizeof(seen->ident.serial), serial);
    seen->caps = (struct drive_caps){.ns_management = true,
                                     .nn = 16,
                                     .ns_max = 16,
                                     .total_bytes = 16 * MIB,
                                     .lbaf = {{.block_bytes = 4096}},
                                     .lbaf_count = 1};
    seen->ns[0] = (struct ns_seen){.nsid = {1}, .attached = true, .block_bytes = 4096, .size_blocks = 4096};
    seen->ns_count = 1;
}

static inline void register_host(void)
{
    uint64_t registration = 0;
    DO(service_register(&service, &h1, NOW_MS, &registration, &err));
    report.registration = registration;
}

static inline bool small_class(struct err *why)
{
    const struct slice_class class = {.name = small, .nominal_bytes = 4 * MIB, .tolerance_ppm = 1};
    const struct flavor flavor = {
        .name = {"two"}, .vcpus = 2, .memory_bytes = 64 * MIB, .slices = 2, .class = small, .datapath = DATAPATH_BLK};
    return store.put(store.self, ROW_CLASS, &class, why) && store.put(store.self, ROW_FLAVOR, &flavor, why);
}

static inline int setup(void **state)
{
    (void)state;
    assert_true(store_mem_open(&store, &err));
    assert_true(service_open(&service, &store, 1, &err));
    records = 0;
    hash[0] = '\0';
    memset(&report, 0, sizeof(report));
    report.host = h1;
    report.incarnation = 1;
    report.vcpus = 8;
    report.drives_known = true;
    report.memory_bytes = 1ull << 30;
    drive_fill(&report.drives[report.drive_count++], "SER1");
    DO(small_class(&err));
    register_host();
    DO(send(&err));
    return 0;
}

static inline int teardown(void **state)
{
    (void)state;
    service_close(&service);
    store.close(store.self);
    return 0;
}

/* Four slices, blank. */
static inline void adopt(void)
{
    struct drive_report *drive = &report.drives[0];
    const struct adopt_request request = {.serial = "SER1", .class = small};
    DO(service_adopt(&service, &request, NULL, &drive->adoption, &err));
    struct row_drive row;
    assert_true(get(ROW_DRIVE, "h1/SER1", &row));
    assert_true(row.wanted);
    assert_int_equal(row.layout.count, 4);
    drive->adopt = ADOPT_DONE;
    drive->layout = row.layout;
    for (size_t i = 0; i < 4; i++) {
        struct slice *slice = &report.slices[report.slice_count++];
        *slice = (struct slice){.adoption = drive->adoption,
                                .class = small,
                                .drive = "SER1",
                                .nsid = {(uint32_t)i + 1},
                                .size_bytes = 4 * MIB,
                                .block_bytes = 4096,
                                .state = SLICE_BLANK};
        slice_id(&slice->id, i);
    }
    DO(send(&err));
}

static inline void all_free(void)
{
    adopt();
    for (size_t i = 0; i < 4; i++)
        erased(i, true);
}

static inline struct wants wants_now(void)
{
    static struct wants wants;
    DO(service_wants(&service, &h1, report.registration, &wants, &err));
    return wants;
}

/* The agent does what is wanted of its slices. */
static inline void obey(void)
{
    const struct wants wants = wants_now();
    for (size_t i = 0; i < wants.slice_count; i++)
        for (size_t k = 0; k < report.slice_count; k++) {
            struct slice *slice = &report.slices[k];
            if (!slice_id_eq(&slice->id, &wants.slices[i].id) || wants.slices[i].generation <= slice->generation)
                continue;
            slice->generation = wants.slices[i].generation;
            const bool taken = wants.slices[i].owner.v[0] != '\0';
            if (slice->state == SLICE_QUARANTINED && !taken)
                slice->owner = (struct claim_id){0};
            if (slice->state == SLICE_QUARANTINED || (!taken && slice->state == SLICE_FREE))
                continue;
            slice->state = taken ? SLICE_ATTACHED : SLICE_DIRTY;
            slice->owner = wants.slices[i].owner;
            slice->attached_seq = slice->erased_seq + 1;
            snprintf(slice->path, sizeof(slice->path), "%s%s", taken ? "/dev/" : "", taken ? slice->id.v : "");
        }
    report.wants_revision = wants.revision;
    report.incarnation = wants.incarnation;
    DO(send(&err));
}

static inline bool claim(uint32_t slices, const char *id, struct row_claim *out, struct err *why)
{
    struct claim_request request = {.class = small, .slices = slices};
    text_cut(request.id.v, sizeof(request.id.v), id);
    return service_claim(&service, &request, NOW_MS, out, why);
}

#endif
