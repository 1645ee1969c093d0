#include "server/service.h"

#include "base/must.h"
#include "base/text.h"
#include "server/service_priv.h"

#include <stdio.h>
#include <stdlib.h>

void uuid_make(struct service *service, struct uuid *out)
{
    const uint64_t a = rng_next(&service->rng), b = rng_next(&service->rng);
    text_uuid(out->v, a, b);
}

bool must_get(struct service *service, enum store_kind kind, const char *what, const char *key, void *row, struct err *err)
{
    bool found;
    if (!service->store->get(service->store->self, kind, key, row, &found, err))
        return false;
    if (found)
        return true;
    return err_set(err, ERR_MISSING, "cannot find %s '%s': there is none of that name", what, key);
}

bool host_touch(struct service *service, const struct name *host, struct err *err)
{
    struct row_host row;
    if (!must_get(service, ROW_HOST, "host", host->v, &row, err))
        return false;
    row.wants_revision++;
    fleet_dirty(service->fleet, host);
    return service->store->put(service->store->self, ROW_HOST, &row, err);
}

void drive_key(char out[96], const struct name *host, const char *serial)
{
    snprintf(out, 96, "%s/%s", host->v, serial);
}

/* ---- rows in memory ------------------------------------------------------------------------------------------ */

static bool row_keep(void *ctx, const void *row)
{
    struct rows *rows = ctx;
    if (rows->count == rows->room) {
        rows->room = rows->room == 0 ? 16 : rows->room * 2;
        rows->at = realloc(rows->at, rows->room * rows->size);
        must(rows->at != NULL);
    }
    memcpy(rows->at + rows->count++ * rows->size, row, rows->size);
    return true;
}

bool rows_read(struct service *service, enum store_kind kind, const struct store_filter *filter, struct rows *out,
               struct err *err)
{
    static const struct store_filter all = {0};
    *out = (struct rows){.kind = kind, .size = store_row_size(kind)};
    return service->store->each(service->store->self, kind, filter != NULL ? filter : &all, row_keep, out, err);
}

void *rows_at(const struct rows *rows, size_t i)
{
    must(i < rows->count);
    return rows->at + i * rows->size;
}

void rows_free(struct rows *rows)
{
    free(rows->at);
    *rows = (struct rows){0};
}

/* ---- the database's own numbers and defaults ----------------------------------------------------------------- */

static const struct slice_class default_classes[] = {
    {.name = {"500G"}, .nominal_bytes = 500000000000, .tolerance_ppm = 10000},
};

#define GIB (1ull << 30)

/* The mission's flavors: 1500, 2500, 3500 and 4500 GB of local SSD. */
static const struct flavor default_flavors[] = {
    {.name = {"ssd.1500"}, .vcpus = 4, .memory_bytes = 16 * GIB, .slices = 3, .class = {"500G"}},
    {.name = {"ssd.2500"}, .vcpus = 8, .memory_bytes = 32 * GIB, .slices = 5, .class = {"500G"}},
    {.name = {"ssd.3500"}, .vcpus = 16, .memory_bytes = 64 * GIB, .slices = 7, .class = {"500G"}},
    {.name = {"ssd.4500"}, .vcpus = 32, .memory_bytes = 128 * GIB, .slices = 9, .class = {"500G"}},
};

static bool defaults_write(struct service *service, struct err *err)
{
    struct store *store = service->store;
    for (size_t i = 0; i < sizeof(default_classes) / sizeof(default_classes[0]); i++)
        if (!store->put(store->self, ROW_CLASS, &default_classes[i], err))
            return false;
    for (size_t i = 0; i < sizeof(default_flavors) / sizeof(default_flavors[0]); i++)
        if (!store->put(store->self, ROW_FLAVOR, &default_flavors[i], err))
            return false;
    const struct row_meta first = {.key = "incarnation", .value = "1"};
    return store->put(store->self, ROW_META, &first, err);
}

bool service_incarnation(struct service *service, uint64_t *out, struct err *err)
{
    struct row_meta meta;
    if (!must_get(service, ROW_META, "number", "incarnation", &meta, err))
        return false;
    if (!text_u64(meta.value, out))
        return err_set(err, ERR_FAILED, "cannot use the database: its incarnation is '%.40s'", meta.value);
    return true;
}

static bool numbers_read(struct service *service, struct err *err)
{
    struct row_meta meta;
    uint64_t incarnation;
    bool found;
    if (!service->store->get(service->store->self, ROW_META, "incarnation", &meta, &found, err))
        return false;
    return found ? service_incarnation(service, &incarnation, err) : defaults_write(service, err);
}

bool service_open(struct service *service, struct store *store, uint64_t seed, struct err *err)
{
    *service = (struct service){.store = store, .rng = {seed}, .limits = health_defaults, .fleet = fleet_new()};
    if (!store->begin(store->self, err))
        return false;
    if (numbers_read(service, err) && fleet_begin(service, err) && store->commit(store->self, err))
        return true;
    store->rollback(store->self);
    return false;
}

void service_close(struct service *service)
{
    fleet_free(service->fleet);
    service->fleet = NULL;
}

/* ---- signs of life ------------------------------------------------------------------------------------------- */

void service_alive(struct service *service, const struct name *host, uint64_t now_ms)
{
    fleet_seen(service->fleet, host, now_ms);
}

uint64_t service_host_seen_ms(const struct service *service, const struct name *host)
{
    return fleet_seen_ms(service->fleet, host);
}

bool service_host_up(const struct service *service, const struct name *host, uint64_t now_ms)
{
    const uint64_t seen_ms = service_host_seen_ms(service, host);
    return seen_ms != 0 && now_ms - seen_ms < SERVICE_SILENT_MS;
}
