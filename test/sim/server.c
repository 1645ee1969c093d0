/* The server as a process over a database in memory: it ends with a commit that fails, and comes back; its database may
 * be an older one after that. */
#include "sim.h"

#include "base/must.h"

static bool life_begin(struct sim *sim)
{
    struct err err = {0};
    struct sim_server *server = &sim->server;
    service_close(&server->service); /* of the life before */
    server->up = service_open(&server->service, &server->store, rng_next(&sim->rng), &err);
    return server->up;
}

static bool defaults_in(struct sim *sim, void *arg, struct err *err)
{
    const struct store *store = &sim->server.store;
    const struct slice_class class = {.name = {"1M"}, .nominal_bytes = 1 << 20, .tolerance_ppm = 10000};
    (void)arg;
    if (!store->put(store->self, ROW_CLASS, &class, err))
        return false;
    for (uint32_t slices = 1; slices <= 3; slices++) {
        struct flavor flavor = {.vcpus = 1,
                                .memory_bytes = 64 << 20,
                                .slices = slices,
                                .class = class.name,
                                .datapath = slices == 2 ? DATAPATH_BLK : DATAPATH_SCSI,
                                .spread = slices == 3 ? SPREAD_PACK : SPREAD_DRIVES};
        snprintf(flavor.name.v, sizeof(flavor.name.v), "sim.%u", slices);
        if (!store->put(store->self, ROW_FLAVOR, &flavor, err))
            return false;
    }
    return true;
}

void server_open(struct sim *sim)
{
    struct err err = {0};
    must(store_mem_open(&sim->server.store, &err));
    must(life_begin(sim));
    must(server_call(sim, defaults_in, NULL, NULL, &err));
}

void server_close(struct sim *sim)
{
    service_close(&sim->server.service);
    sim->server.store.close(sim->server.store.self);
    if (sim->server.has_backup)
        sim->server.backup.close(sim->server.backup.self);
}

void server_crash(struct sim *sim)
{
    if (!sim->server.up)
        return;
    sim_trace(sim, "server ends");
    sim->server.up = false;
    sim->server.armed = false;
    store_mem_fail(&sim->server.store, 0, false);
    sim->tally.server_crashes++;
    sim_at(sim, 1 + sim_rand(sim, 4000), (struct sim_event){.kind = EV_SERVER_START});
}

void server_start(struct sim *sim)
{
    if (sim->server.up)
        return;
    sim_trace(sim, "server starts");
    if (!life_begin(sim))
        sim_at(sim, 500, (struct sim_event){.kind = EV_SERVER_START});
}

bool server_call(struct sim *sim, server_fn fn, void *arg, bool *sure_out, struct err *err)
{
    struct sim_server *server = &sim->server;
    const struct store *store = &server->store;
    if (sure_out != NULL)
        *sure_out = true;
    if (!server->up)
        return err_set(err, ERR_BUSY, "cannot reach the server");
    must(store->begin(store->self, err));
    if (!fn(sim, arg, err)) {
        store->rollback(store->self);
        return false;
    }
    if (store->commit(store->self, err))
        return true;
    store->rollback(store->self);
    if (server->armed && (err->kind == ERR_FULL || err->kind == ERR_BUSY)) {
        if (sure_out != NULL)
            *sure_out = err->kind == ERR_FULL;
        server_crash(sim); /* what a failed fsync means */
    } else {
        sim_trace(sim, "commit refused: %s", err->msg);
    }
    return false;
}

/* ---- backup and restore ------------------------------------------------------------------------------------------ */

static bool row_copy(void *ctx, const void *row)
{
    void **to = ctx;
    struct err err = {0};
    const struct store *store = to[0];
    must(store->put(store->self, *(const enum store_kind *)to[1], row, &err));
    return true;
}

static void copy(const struct store *from, struct store *to)
{
    struct err err = {0};
    must(store_mem_open(to, &err) && to->begin(to->self, &err) && from->begin(from->self, &err));
    for (unsigned k = 0; k < STORE_KIND_COUNT; k++) {
        enum store_kind kind = (enum store_kind)k;
        void *ctx[2] = {to, &kind};
        must(from->each(from->self, kind, &(struct store_filter){0}, row_copy, ctx, &err));
    }
    must(to->commit(to->self, &err));
    from->rollback(from->self);
}

void server_backup(struct sim *sim)
{
    struct sim_server *server = &sim->server;
    if (server->has_backup)
        server->backup.close(server->backup.self);
    copy(&server->store, &server->backup);
    server->has_backup = true;
    server->backup_ms = sim->now_ms;
    sim_trace(sim, "server backup");
}

void server_restore(struct sim *sim)
{
    struct sim_server *server = &sim->server;
    if (!server->has_backup)
        return;
    server_crash(sim);
    sim_trace(sim, "server database of %ju is restored", (uintmax_t)server->backup_ms);
    server->store.close(server->store.self);
    server->store = server->backup;
    server->has_backup = false;
    sim->tally.restores++;
}

/* ---- a look from outside ------------------------------------------------------------------------------------------
 */

bool server_row(struct sim *sim, enum store_kind kind, const char *key, void *row)
{
    const struct store *store = &sim->server.store;
    struct err err = {0};
    bool found;
    must(store->begin(store->self, &err) && store->get(store->self, kind, key, row, &found, &err));
    store->rollback(store->self);
    return found;
}

void server_each(struct sim *sim, enum store_kind kind, store_each_fn fn, void *ctx)
{
    const struct store *store = &sim->server.store;
    struct err err = {0};
    must(store->begin(store->self, &err) && store->each(store->self, kind, &(struct store_filter){0}, fn, ctx, &err));
    store->rollback(store->self);
}
