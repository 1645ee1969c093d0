#include "store_fixture.h"

#include "base/must.h"

#include <libpq-fe.h>
#include <unistd.h>

const struct row_meta full_meta = {.key = "incarnation", .value = "7"};

const struct row_host full_host = {
    .name = {"h1"},
    .registration = 5,
    .wants_revision = 6,
    .last_seen_ms = 7,
    .erasures_have = 8,
    .vcpus = 9,
    .memory_bytes = INT64_MAX,
    .public_key = "c0ffee",
    .software = "nsmith-agent 0.1.0",
    .anchor = "abc",
};

#define LAYOUT                                                                                         \
    {                                                                                                  \
        .provider = PROVIDER_NAMESPACE, .class = {"500G"}, .count = 4, .lbaf = 1, .block_bytes = 4096, \
        .slice_blocks = 11, .slice_bytes = 12, .cost_bytes = 13, .stranded_bytes = 14                  \
    }

const struct row_drive full_drive = {
    .key = "h1/SN 1",
    .host = {"h1"},
    .report = {.adopt = ADOPT_FAULT,
               .adoption = {"a1"},
               .layout = LAYOUT,
               .why = "it smokes",
               .orphans = 2,
               .seen = {.name = "nvme0",
                        .ident = {.vendor_id = 0x144d, .serial = "SN 1", .model = "M", .nqn = "nqn.x"},
                        .ns = {{.nsid = {3}, .size_blocks = 15, .nguid = {1, 2}}, {.nsid = {4}}},
                        .ns_count = 2,
                        .foreign = {.at = {{.kind = FOREIGN_MOUNT, .detail = "/ \"quoted\" \n\t\xc3\xa4"}},
                                    .count = 1}}},
    .seen_ms = 16,
    .wanted = true,
    .adoption = {"a1"},
    .layout = LAYOUT,
};

const struct row_slice full_slice = {
    .slice = {.id = {"s1"},
              .adoption = {"a1"},
              .drive = "SN 1",
              .class = {"500G"},
              .nsid = {3},
              .nguid = {1, 2},
              .eui64 = {3},
              .size_bytes = 17,
              .block_bytes = 512,
              .state = SLICE_QUARANTINED,
              .generation = 18,
              .owner = {"c0"},
              .attached_seq = 19,
              .erased_seq = 20,
              .erasure = {"e1"},
              .retries = 21,
              .progress_percent = 22,
              .why = "unproven",
              .path = "/dev/nvme0n3"},
    .host = {"h1"},
    .generation = 23,
    .retries = 24,
    .retire = true,
    .gone = true,
};

const struct slice_class full_class = {.name = {"500G"}, .nominal_bytes = 25, .tolerance_ppm = 26};

const struct flavor full_flavor = {.name = {"ssd.1500"},
                                   .vcpus = 4,
                                   .memory_bytes = 27,
                                   .slices = 3,
                                   .class = {"500G"},
                                   .datapath = DATAPATH_BLK,
                                   .spread = SPREAD_PACK};

const struct row_claim full_claim = {
    .id = {"c1"},
    .host = {"h1"},
    .class = {"500G"},
    .vm = {"web"},
    .state = CLAIM_RELEASING,
    .created_ms = 28,
    .slices = {{"s1"}, {"s2"}},
    .slice_count = 2,
};

const struct row_vm full_vm = {
    .spec = {.name = {"web"},
             .uuid = {"u1"},
             .vcpus = 4,
             .memory_bytes = 29,
             .datapath = DATAPATH_BLK,
             .image = "/image",
             .kernel = "/kernel",
             .initrd = "/initrd",
             .cmdline = "quiet",
             .network = {"net"},
             .autostart = true},
    .flavor = {"ssd.1500"},
    .claim = {"c1"},
    .host = {"h1"},
    .power = VM_PAUSED,
    .starts = 30,
    .reboots = 31,
    .force = true,
    .created_ms = 32,
    .seen = {.name = {"web"},
             .uuid = {"u1"},
             .power = VM_RUNNING,
             .why = "why",
             .console = "/dev/pts/1",
             .console_log = "/log",
             .iothreads = 3},
};

const struct row_erasure full_erasure = {
    .id = {"e1"},
    .host = {"h1"},
    .seq = 33,
    .slice = {"s1"},
    .erasure = {.id = {"e1"},
                .seq = 33,
                .host = {"h1"},
                .drive = {.vendor_id = 1, .serial = "SN 1", .model = "M"},
                .slice = {"s1"},
                .method = ERASE_FORMAT_CRYPTO,
                .verdict = ERASE_VERIFIED,
                .ended_ms = 34,
                .note = "n"},
    .text = "{\"nsmith\":\"erasure/1\"}",
};

const struct row_request full_request = {
    .key = "11-22", .body_hash = "b1", .status = 201, .answer = "{\"a\":\"\\u00e4\"}", .made_ms = 35};

const struct row_firmware full_firmware = {.key = "abcd/00000", .made_ms = 36, .hex = "00ff"};

const void *const full_rows[STORE_KIND_COUNT] = {
    [ROW_META] = &full_meta,         [ROW_HOST] = &full_host,
    [ROW_DRIVE] = &full_drive,       [ROW_SLICE] = &full_slice,
    [ROW_CLASS] = &full_class,       [ROW_FLAVOR] = &full_flavor,
    [ROW_CLAIM] = &full_claim,       [ROW_VM] = &full_vm,
    [ROW_ERASURE] = &full_erasure,   [ROW_REQUEST] = &full_request,
    [ROW_FIRMWARE] = &full_firmware,
};

/* ---- short words ----------------------------------------------------------------------------------------------- */

void ok(bool done, const struct err *err)
{
    if (!done)
        fail_msg("failed: %s (%s)", err->msg, err->hint);
}

void refused(bool done, const struct err *err, enum err_kind kind)
{
    if (done || err->kind != kind)
        fail_msg("got %s '%s', want %s", err_kind_name(err->kind), err->msg, err_kind_name(kind));
}

void f_open(struct fixture *f)
{
    struct err err = {0};
    switch (f->back) {
    case BACK_MEM:
        ok(store_mem_open(&f->store, &err), &err);
        break;
    case BACK_SQLITE:
        ok(store_sqlite_open(f->path, &f->store, &err), &err);
        break;
    case BACK_PG:
        ok(store_pg_open(pg_conninfo(), &f->store, &err), &err);
        break;
    }
}

void begin(struct fixture *f)
{
    struct err err = {0};
    ok(f->store.begin(f->store.self, &err), &err);
}

void commit(struct fixture *f)
{
    struct err err = {0};
    ok(f->store.commit(f->store.self, &err), &err);
}

void rollback(struct fixture *f)
{
    f->store.rollback(f->store.self);
}

void put(struct fixture *f, enum store_kind kind, const void *row)
{
    struct err err = {0};
    ok(f->store.put(f->store.self, kind, row, &err), &err);
}

void put_refused(struct fixture *f, enum store_kind kind, const void *row, enum err_kind why)
{
    struct err err = {0};
    refused(f->store.put(f->store.self, kind, row, &err), &err, why);
    if (strncmp(err.msg, "cannot store ", 13) != 0)
        fail_msg("message: '%s'", err.msg);
}

void del(struct fixture *f, enum store_kind kind, const char *key)
{
    struct err err = {0};
    ok(f->store.del(f->store.self, kind, key, &err), &err);
}

bool get(struct fixture *f, enum store_kind kind, const char *key, void *row)
{
    struct err err = {0};
    bool found;
    ok(f->store.get(f->store.self, kind, key, row, &found, &err), &err);
    return found;
}

void put_meta(struct fixture *f, const char *key, const char *value)
{
    struct row_meta row = {0};
    snprintf(row.key, sizeof(row.key), "%s", key);
    snprintf(row.value, sizeof(row.value), "%s", value);
    put(f, ROW_META, &row);
}

void meta_is(struct fixture *f, const char *key, const char *want)
{
    struct row_meta row = {0};
    const char *got = get(f, ROW_META, key, &row) ? row.value : "(none)";
    if (strcmp(got, want) != 0)
        fail_msg("'%s': got '%s', want '%s'", key, got, want);
}

bool keys_add(void *ctx, const void *row)
{
    struct keys *keys = ctx;
    size_t used = strlen(keys->text);
    snprintf(keys->text + used, sizeof(keys->text) - used, "%s%s", used > 0 ? " " : "", store_row_key(keys->kind, row));
    return ++keys->count != keys->most;
}

void each_is(struct fixture *f, enum store_kind kind, const struct store_filter *filter, const char *want)
{
    struct keys keys = {.kind = kind};
    struct err err = {0};
    ok(f->store.each(f->store.self, kind, filter, keys_add, &keys, &err), &err);
    if (strcmp(keys.text, want) != 0)
        fail_msg("got '%s', want '%s'", keys.text, want);
}

void check_same(struct fixture *f, enum store_kind kind)
{
    const char *key = store_row_key(kind, full_rows[kind]);
    unsigned char *got = calloc(1, store_row_size(kind));
    if (!get(f, kind, key, got))
        fail_msg("kind %d: '%s' is gone", (int)kind, key);
    const unsigned char *want = full_rows[kind];
    for (size_t i = 0; i < store_row_size(kind); i++)
        if (got[i] != want[i])
            fail_msg("kind %d: byte %zu of %zu: got %02x, want %02x", (int)kind, i, store_row_size(kind), got[i],
                     want[i]);
    free(got);
}

/* ---- set up and down ------------------------------------------------------------------------------------------- */

const char *pg_conninfo(void)
{
    return getenv("NSMITH_TEST_PG");
}

const struct back_end *back_ends(void)
{
    static const struct back_end here[] = {{"mem", setup_mem}, {"sqlite", setup_file}, {0}};
    static const struct back_end pg[] = {{"pg", setup_pg}, {0}};
    return pg_conninfo() != NULL ? pg : here;
}

void pg_exec(const char *sql)
{
    PGconn *conn = PQconnectdb(pg_conninfo());
    PGresult *result = PQexec(conn, sql);
    const ExecStatusType status = PQresultStatus(result);
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
        fail_msg("'%s': %s", sql, PQerrorMessage(conn));
    PQclear(result);
    PQfinish(conn);
}

static int setup(void **state, enum store_back back)
{
    struct fixture *f = calloc(1, sizeof(*f));
    must(f != NULL);
    f->back = back;
    f->check = *state; /* the initial state of the test */
    snprintf(f->folder, sizeof(f->folder), "/tmp/t_store.XXXXXX");
    if (back == BACK_SQLITE && mkdtemp(f->folder) == NULL)
        return -1;
    snprintf(f->path, sizeof(f->path), "%s/server.db", f->folder);
    if (back == BACK_PG)
        pg_exec("SET client_min_messages = error; DROP SCHEMA public CASCADE; CREATE SCHEMA public");
    f_open(f);
    *state = f;
    return 0;
}

int setup_mem(void **state)
{
    return setup(state, BACK_MEM);
}

int setup_file(void **state)
{
    return setup(state, BACK_SQLITE);
}

int setup_pg(void **state)
{
    return setup(state, BACK_PG);
}

int teardown(void **state)
{
    static const char *const ends[] = {"", "-wal", "-shm", ".lock"};
    struct fixture *f = *state;
    f->store.close(f->store.self);
    for (size_t i = 0; f->back == BACK_SQLITE && i < COUNT(ends); i++) {
        char path[128];
        snprintf(path, sizeof(path), "%s%s", f->path, ends[i]);
        unlink(path);
    }
    if (f->back == BACK_SQLITE)
        rmdir(f->folder);
    free(f);
    return 0;
}
