#include "file_fixture.h"

#include "base/must.h"

#include <string.h>
#include <unistd.h>

const char *const file_ends[FILE_ENDS] = {"", "-wal", "-shm", ".lock", ".copy"};

int folder_setup(void **state)
{
    struct folder *folder = calloc(1, sizeof(*folder));
    must(folder != NULL);
    snprintf(folder->path, sizeof(folder->path), "/tmp/t_store_file.XXXXXX");
    if (mkdtemp(folder->path) == NULL)
        return -1;
    snprintf(folder->db, sizeof(folder->db), "%s/some.db", folder->path);
    *state = folder;
    return 0;
}

int folder_teardown(void **state)
{
    struct folder *folder = *state;
    for (size_t i = 0; i < FILE_ENDS; i++) {
        char path[128];
        snprintf(path, sizeof(path), "%s%s", folder->db, file_ends[i]);
        unlink(path);
        rmdir(path); /* the one that is a folder */
    }
    int rc = rmdir(folder->path);
    free(folder);
    return rc;
}

void ok(bool done, const struct err *err)
{
    if (!done)
        fail_msg("failed: %s (%s)", err->msg, err->hint);
}

/* ---- a store with some rows in it ---------------------------------------------------------------------------- */

static void row_make(struct row_request *row, unsigned i)
{
    *row = (struct row_request){.status = 200, .made_ms = i};
    snprintf(row->key, sizeof(row->key), "key-%06u", i);
    snprintf(row->body_hash, sizeof(row->body_hash), "hash %u", i);
    snprintf(row->answer, sizeof(row->answer), "marker marker marker %u", i);
}

bool row_put(struct store *store, unsigned i, struct err *err)
{
    struct row_request row;
    row_make(&row, i);
    if (!store->begin(store->self, err))
        return false;
    if (store->put(store->self, ROW_REQUEST, &row, err) && store->commit(store->self, err))
        return true;
    store->rollback(store->self);
    return false;
}

bool row_is_there(struct store *store, unsigned i)
{
    struct row_request want, got = {0};
    struct err err = {0};
    bool found = false;
    row_make(&want, i);
    if (!store->begin(store->self, &err) || !store->get(store->self, ROW_REQUEST, want.key, &got, &found, &err))
        return false;
    store->rollback(store->self);
    return found && strcmp(got.answer, want.answer) == 0 && strcmp(got.body_hash, want.body_hash) == 0;
}

void store_open(const char *path, struct store *store)
{
    struct err err = {0};
    ok(store_sqlite_open(path, store, &err), &err);
}
