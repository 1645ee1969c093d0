#include "ledger_fixture.h"

#include "base/must.h"

#include <unistd.h>

/* ---- rows: all that is durable is set in the first, all that is not in the second ---------------------------- */

const struct host_drive full_drive = {
    .ident = {.vendor_id = 0x144d, .serial = "SN 1", .model = "M", .nqn = "nqn.x"},
    .adoption = {"a1"},
    .adopt = ADOPT_CUTTING,
    .layout = {.provider = PROVIDER_NAMESPACE, .class = {"500G"}, .count = 4, .slice_blocks = 11},
    .why = "why",
    .factory = {{.nsid = {1}, .size_bytes = 2, .nguid = {3}, .eui64 = {4}}, {.nsid = {2}}},
    .factory_count = 2,
    .creating = {"s9"},
    .creating_nsid = {5},
    .creating_known = {{6}, {7}, {8}},
    .creating_known_count = 3,
    .erasures = 9,
};

const struct slice full_slice = {
    .id = {"s1"},
    .adoption = {"a1"},
    .drive = "SN 1",
    .class = {"500G"},
    .nsid = {3},
    .nguid = {1, 2},
    .eui64 = {3},
    .size_bytes = 17,
    .block_bytes = 512,
    .state = SLICE_ATTACHED,
    .generation = 18,
    .owner = {"c1"},
    .attached_seq = 21,
    .erased_seq = 20,
    .erasure = {"e1"},
    .retries = 22,
    .why = "why",
};

const struct host_vm full_vm = {
    .want =
        {.spec = {.name = {"web"}, .uuid = {"u1"}, .vcpus = 4, .memory_bytes = 5, .image = "/image", .autostart = true},
         .claim = {"c1"},
         .slices = {{"s1"}, {"s2"}},
         .slice_count = 2,
         .power = VM_RUNNING,
         .starts = 6,
         .reboots = 7,
         .force = true},
    .starts_done = 8,
    .reboots_done = 9,
    .boot = {"b1"},
};

void not_durable(struct host *host)
{
    struct host_drive *d = &host->drives[0];
    d->changed = d->present = d->scanned = d->busy = d->ambiguous = true;
    d->failures = d->orphans = 3;
    d->not_before_ms = d->scanned_ms = 4;
    d->seen = (struct drive_seen){.name = "nvme0", .ns_count = 1};
    d->want = (struct want_drive){.adoption = {"a1"}};
    struct host_slice *s = &host->slices[0];
    s->slice.changed = s->node_known = s->block_device = s->want_known = true;
    s->slice.progress_percent = 50;
    snprintf(s->slice.path, sizeof(s->slice.path), "/dev/nvme0n3");
    s->dev = s->ino = s->rdev = s->busy_since_ms = s->not_before_ms = 5;
    s->failures = 6;
    struct host_vm *v = &host->vms[0];
    v->changed = v->seen_known = true;
    v->seen = (struct vm_report){.name = {"web"}};
    snprintf(v->why, sizeof(v->why), "not yet");
    v->failures = 7;
    v->not_before_ms = v->stop_since_ms = 8;
    host->changed = host->wants_known = host->virt_known = host->list_busy = true;
    host->registration = 9;
    host->boot = (struct uuid){"b2"};
}

struct host *host_new(void)
{
    struct host *host = calloc(1, sizeof(*host));
    must(host != NULL);
    host->name = (struct name){"h1"};
    return host;
}

struct host *host_full(void)
{
    struct host *host = host_new();
    host->incarnation = 1;
    host->wants_revision = 2;
    host->seq = 30;
    host->drives[0] = full_drive;
    host->slices[0].slice = full_slice;
    host->vms[0] = full_vm;
    host->drive_count = host->slice_count = host->vm_count = 1;
    return host;
}

/* ---- the back ends, and short words for what is done with them ----------------------------------------------- */

void ok(bool done, const struct err *err)
{
    if (!done)
        fail_msg("failed: %s (%s)", err->msg, err->hint);
}

void f_open(struct fixture *f)
{
    struct err err = {0};
    ok(f->is_file ? ledger_sqlite_open(f->path, &f->ledger, &err) : ledger_mem_open(&f->ledger, &err), &err);
}

void reopen(struct fixture *f)
{
    if (!f->is_file)
        return;
    f->ledger.close(f->ledger.self);
    f_open(f);
}

void save(struct fixture *f, const char *record)
{
    struct err err = {0};
    ok(f->ledger.save(f->ledger.self, f->host, record, &err), &err);
}

void save_refused(struct fixture *f, const char *record, enum err_kind kind)
{
    struct err err = {0};
    if (f->ledger.save(f->ledger.self, f->host, record, &err) || err.kind != kind)
        fail_msg("got %s '%s', want %s", err_kind_name(err.kind), err.msg, err_kind_name(kind));
}

struct host *load(struct fixture *f)
{
    struct err err = {0};
    struct host *host = host_new();
    ok(f->ledger.load(f->ledger.self, host, &err), &err);
    return host;
}

void same(const void *got, const void *want, size_t size, const char *what)
{
    const unsigned char *a = got, *b = want;
    for (size_t i = 0; i < size; i++)
        if (a[i] != b[i])
            fail_msg("%s: byte %zu of %zu: got %02x, want %02x", what, i, size, a[i], b[i]);
}

/* The next record of the host, signed; the host's numbers move on, as in the agent. */
void record_make(struct fixture *f, char text[CERT_TEXT_MAX])
{
    static const char zeros[] = "0000000000000000000000000000000000000000000000000000000000000000";
    struct err err = {0};
    struct host *host = f->host;
    const struct erasure erasure = {.id = {"e"}, .seq = ++host->erasure_seq, .host = host->name, .note = "n"};
    ok(cert_sign(&f->key, host->erasure_hash[0] != '\0' ? host->erasure_hash : zeros, &erasure, text, &err), &err);
    cert_hash(text, host->erasure_hash);
    host->changed = true;
}

void record_add(struct fixture *f)
{
    char text[CERT_TEXT_MAX];
    record_make(f, text);
    save(f, text);
}

bool seqs_add(void *ctx, uint64_t seq, const char *text)
{
    struct seqs *seqs = ctx;
    size_t used = strlen(seqs->text);
    snprintf(seqs->text + used, sizeof(seqs->text) - used, "%s%ju", used > 0 ? " " : "", (uintmax_t)seq);
    cert_hash(text, seqs->hash);
    return ++seqs->count != seqs->most;
}

void records_are(struct fixture *f, uint64_t from, size_t max, size_t stop, const char *want)
{
    struct seqs seqs = {.most = stop};
    struct err err = {0};
    ok(f->ledger.records(f->ledger.self, from, max, seqs_add, &seqs, &err), &err);
    if (strcmp(seqs.text, want) != 0)
        fail_msg("from %ju at most %zu: got '%s', want '%s'", (uintmax_t)from, max, seqs.text, want);
}

void mark_all(struct host *host)
{
    host->changed = host->drives[0].changed = host->slices[0].slice.changed = host->vms[0].changed = true;
}

void start_full(struct fixture *f)
{
    free(f->host);
    f->host = host_full();
    mark_all(f->host);
    save(f, NULL);
    /* as the agent does after a save */
    f->host->changed = f->host->drives[0].changed = f->host->slices[0].slice.changed = f->host->vms[0].changed = false;
}

/* ---- set up and down ------------------------------------------------------------------------------------------- */

static int setup(void **state, bool is_file)
{
    static const uint8_t seed[32] = {1};
    struct fixture *f = calloc(1, sizeof(*f));
    must(f != NULL);
    f->is_file = is_file;
    f->check = *state;
    f->host = host_new();
    cert_key_make(&f->key, seed);
    snprintf(f->folder, sizeof(f->folder), "/tmp/t_ledger.XXXXXX");
    if (is_file && mkdtemp(f->folder) == NULL)
        return -1;
    snprintf(f->path, sizeof(f->path), "%s/ledger.db", f->folder);
    f_open(f);
    *state = f;
    return 0;
}

int setup_mem(void **state)
{
    return setup(state, false);
}

int setup_file(void **state)
{
    return setup(state, true);
}

int teardown(void **state)
{
    static const char *const ends[] = {"", "-wal", "-shm", ".lock"};
    struct fixture *f = *state;
    f->ledger.close(f->ledger.self);
    for (size_t i = 0; f->is_file && i < COUNT(ends); i++) {
        char path[128];
        snprintf(path, sizeof(path), "%s%s", f->path, ends[i]);
        unlink(path);
    }
    if (f->is_file)
        rmdir(f->folder);
    free(f->host);
    free(f);
    return 0;
}
