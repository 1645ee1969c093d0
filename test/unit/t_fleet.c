/* t_fleet.c - the index gives the answers of the plain scheduler over the same hosts, whatever happened to it before.
 */
#include "server/fleet.h"

#include "base/rng.h"
#include "base/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { HOSTS = 90, SLICES = 24, CLASSES = 3, UP_SINCE = 1000 };

static const char *const class_names[CLASSES] = {"500G", "1T", "small"};

/* What the index should know, kept as plainly as can be. */
struct plain_host {
    bool known, virt_down;
    char name[16];
    uint64_t vcpus, memory, seen_ms;
    struct fleet_slice slices[SLICES];
    size_t slice_count;
};

struct plain {
    struct plain_host hosts[HOSTS];
    struct rng rng;
    unsigned slices_made;
};

static uint64_t pick(struct plain *plain, uint64_t below)
{
    return rng_next(&plain->rng) % below;
}

static int by_drive(const void *a, const void *b)
{
    const struct sched_slice *x = a, *y = b;
    const int order = strcmp(x->drive, y->drive);
    return order != 0 ? order : strcmp(x->id.v, y->id.v);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct sched_host *)a)->name.v, ((const struct sched_host *)b)->name.v);
}

/* Over all known hosts, as the scheduler's own contract says. */
static void plain_place(const struct plain *plain, const struct sched_request *request, struct sched_answer *out,
                        struct name *host_out)
{
    static struct sched_slice slices[HOSTS][SLICES];
    static struct sched_host hosts[HOSTS];
    size_t count = 0;
    for (size_t h = 0; h < HOSTS; h++) {
        const struct plain_host *from = &plain->hosts[h];
        if (!from->known)
            continue;
        struct sched_host *host = &hosts[count++];
        *host = (struct sched_host){.up = from->seen_ms >= UP_SINCE,
                                    .virt_down = from->virt_down,
                                    .vcpus_free = from->vcpus,
                                    .memory_free_bytes = from->memory,
                                    .slices = slices[h]};
        snprintf(host->name.v, sizeof(host->name.v), "%s", from->name);
        for (size_t i = 0; i < from->slice_count; i++) {
            if (!name_eq(&from->slices[i].class, &request->class))
                continue;
            if (from->slices[i].left_out) {
                host->left_out++;
                continue;
            }
            struct sched_slice *slice = &slices[h][host->slice_count++];
            slice->id = from->slices[i].id;
            memcpy(slice->drive, from->slices[i].drive, sizeof(slice->drive));
        }
        qsort(slices[h], host->slice_count, sizeof(slices[h][0]), by_drive);
    }
    qsort(hosts, count, sizeof(hosts[0]), by_name);
    sched_place(hosts, count, request, out);
    if (out->placed)
        *host_out = hosts[out->host].name;
}

static void same_answer(struct plain *plain, struct fleet *fleet, const struct sched_request *request)
{
    struct sched_answer want, got;
    struct name want_host = {0}, got_host = {0};
    char want_text[400] = "", got_text[400] = "";
    plain_place(plain, request, &want, &want_host);
    fleet_place(fleet, request, UP_SINCE, &got, &got_host);
    if (want.placed != got.placed || strcmp(want_host.v, got_host.v) != 0)
        fail_msg("got host '%s', want '%s'", got_host.v, want_host.v);
    if (want.placed) {
        for (size_t i = 0; i < request->slices; i++)
            assert_string_equal(got.slices[i].v, want.slices[i].v);
        return;
    }
    sched_explain(request, &want, want_text, sizeof(want_text));
    sched_explain(request, &got, got_text, sizeof(got_text));
    assert_string_equal(got_text, want_text);
}

static void random_request(struct plain *plain, struct sched_request *out)
{
    *out = (struct sched_request){.slices = (uint32_t)pick(plain, 8) + 1,
                                  .spread = (enum spread)pick(plain, SPREAD_COUNT),
                                  .vcpus = pick(plain, 20),
                                  .memory_bytes = pick(plain, 20)};
    snprintf(out->class.v, sizeof(out->class.v), "%s",
             pick(plain, 20) == 0 ? "nobody's" : class_names[pick(plain, CLASSES)]);
    if (pick(plain, 5) == 0)
        snprintf(out->host.v, sizeof(out->host.v), "host%zu", (size_t)pick(plain, HOSTS + 5));
}

static void set_host(struct plain *plain, struct fleet *fleet, size_t h)
{
    struct plain_host *host = &plain->hosts[h];
    host->known = true;
    host->virt_down = pick(plain, 10) == 0;
    host->vcpus = pick(plain, 20);
    host->memory = pick(plain, 20);
    host->slice_count = pick(plain, SLICES + 1);
    for (size_t i = 0; i < host->slice_count; i++) {
        struct fleet_slice *slice = &host->slices[i];
        *slice = (struct fleet_slice){.left_out = pick(plain, 6) == 0};
        snprintf(slice->id.v, sizeof(slice->id.v), "s%u", plain->slices_made++);
        snprintf(slice->drive, sizeof(slice->drive), "d%u", (unsigned)pick(plain, 4));
        snprintf(slice->class.v, sizeof(slice->class.v), "%s", class_names[pick(plain, CLASSES)]);
    }
    struct fleet_host from = {.virt_down = host->virt_down,
                              .vcpus_free = host->vcpus,
                              .memory_free_bytes = host->memory,
                              .slices = host->slices,
                              .slice_count = host->slice_count};
    snprintf(from.name.v, sizeof(from.name.v), "%s", host->name);
    fleet_set(fleet, &from);
}

static size_t number_of(const struct name *name)
{
    uint64_t number = 0;
    assert_true(text_u64(name->v + strlen("host"), &number));
    return (size_t)number;
}

static void change(struct plain *plain, struct fleet *fleet)
{
    const size_t h = pick(plain, HOSTS);
    struct plain_host *host = &plain->hosts[h];
    struct name name;
    snprintf(name.v, sizeof(name.v), "%s", host->name);
    switch (pick(plain, 6)) {
    case 0:
    case 1:
        set_host(plain, fleet, h);
        return;
    case 2:
        fleet_remove(fleet, &name);
        host->known = false;
        host->seen_ms = 0;
        return;
    case 3:
        host->seen_ms = UP_SINCE - 1 + pick(plain, 3);
        fleet_seen(fleet, &name, host->seen_ms);
        return;
    default:
        fleet_dirty(fleet, &name);
        fleet_dirty(fleet, &name); /* says nothing more */
        while (fleet_dirty_next(fleet, &name))
            set_host(plain, fleet, number_of(&name));
    }
}

static void as_the_scheduler(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        static struct plain plain;
        struct fleet *fleet = fleet_new();
        plain = (struct plain){.rng = {seed}};
        for (size_t h = 0; h < HOSTS; h++)
            snprintf(plain.hosts[h].name, sizeof(plain.hosts[h].name), "host%zu", h);
        for (unsigned step = 0; step < 300; step++) {
            struct sched_request request;
            change(&plain, fleet);
            random_request(&plain, &request);
            same_answer(&plain, fleet, &request);
            size_t known = 0;
            for (size_t h = 0; h < HOSTS; h++)
                known += plain.hosts[h].known;
            assert_int_equal(fleet_count(fleet), known);
        }
        fleet_free(fleet);
    }
}

static void empty(void **state)
{
    (void)state;
    struct fleet *fleet = fleet_new();
    struct sched_answer answer;
    struct name host = {"untouched"};
    char text[200];
    const struct sched_request request = {.class = {"500G"}, .slices = 1};
    fleet_place(fleet, &request, 0, &answer, &host);
    assert_false(answer.placed);
    assert_string_equal(host.v, "untouched");
    sched_explain(&request, &answer, text, sizeof(text));
    assert_string_equal(text, "no host fits: there are no hosts");
    fleet_remove(fleet, &host);
    assert_false(fleet_dirty_next(fleet, &host));
    fleet_free(fleet);
    fleet_free(NULL);
}

static void life_before_knowledge(void **state)
{
    (void)state;
    struct fleet *fleet = fleet_new();
    struct sched_answer answer;
    struct name host;
    const struct fleet_slice slice = {.id = {"s1"}, .drive = "d1", .class = {"500G"}};
    const struct fleet_host from = {.name = {"h1"}, .slices = &slice, .slice_count = 1};
    const struct sched_request request = {.class = {"500G"}, .slices = 1};
    fleet_seen(fleet, &from.name, 5);
    assert_int_equal(fleet_count(fleet), 0);
    assert_int_equal(fleet_seen_ms(fleet, &from.name), 5);
    fleet_set(fleet, &from);
    fleet_place(fleet, &request, 5, &answer, &host);
    assert_true(answer.placed);
    fleet_place(fleet, &request, 6, &answer, &host);
    assert_false(answer.placed);
    fleet_free(fleet);
}

static void too_many_classes(void **state)
{
    (void)state;
    struct fleet *fleet = fleet_new();
    struct sched_answer answer;
    struct name name;
    for (unsigned i = 0; i <= FLEET_CLASSES_MAX; i++) {
        struct fleet_slice slice = {.id = {"s1"}, .drive = "d1"};
        struct fleet_host from = {.slices = &slice, .slice_count = 1};
        snprintf(slice.class.v, sizeof(slice.class.v), "class%u", i);
        snprintf(from.name.v, sizeof(from.name.v), "h%u", i);
        fleet_set(fleet, &from);
        fleet_seen(fleet, &from.name, 1);
        struct sched_request request = {.class = slice.class, .slices = 1};
        fleet_place(fleet, &request, 1, &answer, &name);
        assert_int_equal(answer.placed, i < FLEET_CLASSES_MAX);
    }
    fleet_free(fleet);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        {"equal contents give the scheduler's answers, whatever came before", as_the_scheduler, NULL, NULL, NULL},
        {"an empty one refuses, and forgets nothing", empty, NULL, NULL, NULL},
        {"a sign of life is kept for a host that is not known yet", life_before_knowledge, NULL, NULL, NULL},
        {"what goes beyond the classes is not given out", too_many_classes, NULL, NULL, NULL},
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
