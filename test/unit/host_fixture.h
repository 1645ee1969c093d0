/* host_fixture.h - a conversation with the agent's mind: short words for what it is told, and its orders as text. One
 * drive, cut into two slices. */
#ifndef NSMITH_HOST_FIXTURE_H
#define NSMITH_HOST_FIXTURE_H

#include "core/host.h"

#include "base/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { BLOCKS = 1024, BLOCK = 4096, SLICES = 2, REGISTRATION = 5 };

static struct host *host;
static struct host_orders orders;
static struct host_result result;
static uint64_t now_ms;
static struct drive_seen drive; /* what there is; the tests change it as a drive would */
static struct wants *wants;

/* ---- telling ------------------------------------------------------------------------------------------------------
 */

static inline void tell(struct host_event event)
{
    event.now_ms = now_ms;
    host->virt_busy = host->virt_busy && host->vm_count > 0; /* one without VMs answers at once */
    host_step(host, &event, &orders, &result);
    host_clear_changed(host);
}

static inline void tick(uint64_t after_ms)
{
    now_ms += after_ms;
    tell((struct host_event){.kind = HOST_TICK});
}

/* Nobody's business here: which drives there are, and whether a hypervisor answers that has no VM. */
static inline bool passed_over(enum order_kind kind)
{
    return kind == ORDER_LIST || (kind == ORDER_VIRT_LIST && host->vm_count == 0);
}

/* The orders as text: "scan", "erase ns-...:2" is "erase 2". */
static inline const char *said(void)
{
    static char text[400];
    text[0] = '\0';
    for (size_t i = 0; i < orders.count; i++) {
        const struct order *order = &orders.at[i];
        if (passed_over(order->kind))
            continue;
        const size_t used = strlen(text);
        snprintf(text + used, sizeof(text) - used, "%s%s%s", used > 0 ? ", " : "", order_word(order->kind),
                 order->kind == ORDER_SCAN && order->fresh ? " fresh" : "");
        if (order->ns.nsid.v != 0)
            snprintf(text + strlen(text), sizeof(text) - strlen(text), " %u", order->ns.nsid.v);
    }
    return text;
}

#define SAYS(want)                                         \
    do {                                                   \
        if (strcmp(said(), want) != 0)                     \
            fail_msg("got '%s', want '%s'", said(), want); \
    } while (0)

static inline struct order last_order(void)
{
    for (size_t i = orders.count; i-- > 0;)
        if (!passed_over(orders.at[i].kind))
            return orders.at[i];
    fail_msg("there is no order");
    return (struct order){0};
}

static inline void listed(const struct drive_ident *idents, size_t count)
{
    tell((struct host_event){.kind = HOST_LISTED, .ok = true, .idents = idents, .ident_count = count});
}

/* The list that was ordered comes, if it was; the other orders still stand. */
static inline void relist(void)
{
    static struct host_orders kept;
    kept = orders;
    if (host->list_busy)
        listed(&drive.ident, 1);
    if (said()[0] == '\0')
        orders = kept;
}

static inline void seen(void)
{
    const struct order order = last_order();
    assert_int_equal(order.kind, ORDER_SCAN);
    now_ms++;
    tell((struct host_event){.kind = HOST_SEEN, .ok = true, .order = &order, .fresh = order.fresh, .seen = &drive});
}

static inline void done(void)
{
    const struct order order = last_order();
    now_ms++;
    tell((struct host_event){.kind = HOST_DONE, .ok = true, .order = &order});
}

static inline void failed(enum err_kind kind)
{
    const struct order order = last_order();
    const struct err err = {.kind = kind, .msg = "it failed"};
    now_ms++;
    tell((struct host_event){.kind = HOST_DONE, .order = &order, .err = &err});
}

static inline void erased(enum erase_verdict verdict)
{
    const struct order order = last_order();
    assert_int_equal(order.kind, ORDER_ERASE);
    const struct erasure erasure = {.id = order.erasure, .slice = order.slice, .verdict = verdict, .note = "a note"};
    now_ms++;
    tell((struct host_event){.kind = HOST_DONE, .ok = true, .order = &order, .erasure = &erasure});
}

static inline void node_told(void)
{
    const struct order order = last_order();
    char path[40];
    assert_int_equal(order.kind, ORDER_NODE);
    snprintf(path, sizeof(path), "/dev/nvme0n%u", order.ns.nsid.v);
    tell((struct host_event){
        .kind = HOST_DONE, .ok = true, .order = &order, .path = path, .ino = order.ns.nsid.v + 100, .dev = 1});
}

/* ---- the drive ----------------------------------------------------------------------------------------------------
 */

static inline void ns_add(uint32_t nsid, uint64_t blocks)
{
    struct ns_seen *ns = &drive.ns[drive.ns_count++];
    *ns = (struct ns_seen){.nsid = {nsid}, .attached = true, .block_bytes = BLOCK, .size_blocks = blocks};
    ns->nguid[0] = (uint8_t)nsid;
    snprintf(ns->path, sizeof(ns->path), "/dev/nvme0n%u", nsid);
}

static inline struct ns_seen *ns_at(uint32_t nsid)
{
    for (size_t i = 0; i < drive.ns_count; i++)
        if (drive.ns[i].nsid.v == nsid)
            return &drive.ns[i];
    return NULL;
}

static inline void ns_remove(uint32_t nsid)
{
    struct ns_seen *ns = ns_at(nsid);
    assert_non_null(ns);
    memmove(ns, ns + 1, (size_t)(drive.ns + drive.ns_count - ns - 1) * sizeof(*ns));
    drive.ns_count--;
}

static inline int setup(void **state)
{
    (void)state;
    host = calloc(1, sizeof(*host));
    wants = calloc(1, sizeof(*wants));
    assert_non_null(host);
    assert_non_null(wants);
    now_ms = 100000;
    memset(&drive, 0, sizeof(drive));
    text_cut(drive.ident.serial, sizeof(drive.ident.serial), "SER1");
    drive.caps = (struct drive_caps){.ns_management = true,
                                     .format = true,
                                     .fna = 4,
                                     .nn = 16,
                                     .ns_max = 16,
                                     .total_bytes = (uint64_t)SLICES * BLOCKS * BLOCK,
                                     .lbaf = {{.block_bytes = BLOCK}},
                                     .lbaf_count = 1};
    ns_add(1, SLICES * BLOCKS);
    text_cut(host->name.v, sizeof(host->name.v), "h1");
    host_start(host, &(struct uuid){"boot-1"}, 1, REGISTRATION);
    *wants = (struct wants){.incarnation = 1, .registration = REGISTRATION, .revision = 1};
    return 0;
}

static inline int teardown(void **state)
{
    (void)state;
    free(host);
    free(wants);
    return 0;
}

/* Listed and looked at. */
static inline void found(void)
{
    tick(1);
    assert_true(host->list_busy);
    listed(&drive.ident, 1);
    SAYS("scan fresh");
    seen();
    SAYS("");
}

static inline void send_wants(void)
{
    wants->revision++;
    tell((struct host_event){.kind = HOST_WANTS, .wants = wants});
}

static inline void want_drive(void)
{
    wants->drives[0] = (struct want_drive){.ident = drive.ident,
                                           .adoption = {"adoption-1"},
                                           .layout = {.provider = PROVIDER_NAMESPACE,
                                                      .count = SLICES,
                                                      .block_bytes = BLOCK,
                                                      .slice_blocks = BLOCKS,
                                                      .slice_bytes = (uint64_t)BLOCKS * BLOCK,
                                                      .cost_bytes = (uint64_t)BLOCKS * BLOCK}};
    wants->drive_count = 1;
    send_wants();
}

static inline void give_up_factory(void)
{
    seen();
    SAYS("detach 1");
    done();
    ns_at(1)->attached = false;
    SAYS("scan");
    seen();
    SAYS("delete 1");
    ns_remove(1);
    done();
    SAYS("scan");
    seen();
}

static inline void make_slices(void)
{
    for (uint32_t nsid = 1; nsid <= SLICES; nsid++) {
        SAYS("create");
        done();
        ns_add(nsid, BLOCKS);
        ns_at(nsid)->attached = false;
        ns_at(nsid)->path[0] = '\0';
        SAYS("scan");
        seen();
    }
    for (uint32_t nsid = 1; nsid <= SLICES; nsid++) {
        assert_int_equal(last_order().kind, ORDER_ATTACH);
        assert_int_equal(last_order().ns.nsid.v, nsid);
        done();
        ns_at(nsid)->attached = true;
        snprintf(ns_at(nsid)->path, sizeof(ns_at(nsid)->path), "/dev/nvme0n%u", nsid);
        SAYS("scan");
        seen();
    }
}

static inline void cut(void)
{
    found();
    want_drive();
    SAYS("scan fresh");
    give_up_factory();
    make_slices();
}

/* Two free slices with nodes. */
static inline void ready(void)
{
    cut();
    for (unsigned i = 0; i < SLICES; i++) {
        erased(ERASE_VERIFIED);
        SAYS("scan");
        seen();
        while (strncmp(said(), "node", 4) == 0)
            node_told();
    }
    SAYS("");
    for (unsigned i = 0; i < SLICES; i++)
        assert_int_equal(host->slices[i].slice.state, SLICE_FREE);
}

static inline void want_slices(const char *owner, uint64_t generation)
{
    wants->slice_count = SLICES;
    for (unsigned i = 0; i < SLICES; i++) {
        wants->slices[i] = (struct want_slice){.id = host->slices[i].slice.id, .generation = generation};
        text_cut(wants->slices[i].owner.v, sizeof(wants->slices[i].owner.v), owner);
    }
    send_wants();
}

static inline const struct slice *slice(unsigned i)
{
    return &host->slices[i].slice;
}

static inline void want_task(const char *id, enum task_kind kind)
{
    wants->tasks[0] = (struct drive_task){.kind = kind, .ident = drive.ident};
    text_cut(wants->tasks[0].id.v, sizeof(wants->tasks[0].id.v), id);
    wants->task_count = id[0] != '\0';
    send_wants();
}

static inline const struct task_report *task(void)
{
    return &host->drives[0].task.report;
}

#define TASK_IS(want_state, text)                                                               \
    do {                                                                                        \
        if (task()->state != (want_state) || strstr(task()->why, text) == NULL)                 \
            fail_msg("got %s '%s', want %s '%s'", task_state_words[task()->state], task()->why, \
                     task_state_words[want_state], text);                                       \
    } while (0)

static inline void probed(enum verdict verdict)
{
    const struct order order = last_order();
    struct task_result found = {0};
    assert_int_equal(order.kind, ORDER_PROBE);
    task_line_add(&found, "a check", verdict, 1, "a text");
    now_ms++;
    tell((struct host_event){.kind = HOST_DONE, .ok = true, .order = &order, .result = &found});
}

/* As if the process had ended: only what is in the ledger is left. */
static inline void restart(const char *boot)
{
    struct host *old = host;
    host = calloc(1, sizeof(*host));
    assert_non_null(host);
    host->name = old->name;
    host->incarnation = old->incarnation;
    host->wants_revision = old->wants_revision;
    host->seq = old->seq;
    host->erasure_seq = old->erasure_seq;
    for (size_t i = 0; i < old->drive_count; i++) {
        const struct host_drive *was = &old->drives[i];
        if (was->adopt == ADOPT_NONE || was->adopt == ADOPT_CHECKING || was->adopt == ADOPT_REFUSED)
            continue;
        struct host_drive *is = &host->drives[host->drive_count++];
        is->ident = was->ident;
        is->adoption = was->adoption;
        is->adopt = was->adopt;
        is->layout = was->layout;
        memcpy(is->factory, was->factory, sizeof(is->factory));
        is->factory_count = was->factory_count;
        is->creating = was->creating;
        memcpy(is->creating_known, was->creating_known, sizeof(is->creating_known));
        is->creating_known_count = was->creating_known_count;
    }
    for (size_t i = 0; i < old->slice_count; i++) {
        host->slices[host->slice_count].slice = old->slices[i].slice;
        host->slices[host->slice_count++].slice.path[0] = '\0';
    }
    for (size_t i = 0; i < old->vm_count; i++) {
        struct host_vm *vm = &host->vms[host->vm_count++];
        vm->want = old->vms[i].want;
        vm->starts_done = old->vms[i].starts_done;
        vm->reboots_done = old->vms[i].reboots_done;
        vm->boot = old->vms[i].boot;
    }
    free(old);
    host_start(host, &(struct uuid){0}, 2, REGISTRATION + 1);
    text_cut(host->boot.v, sizeof(host->boot.v), boot);
    wants->registration = REGISTRATION + 1;
}

#endif
