/* Orders carried out on software drives in memory: agent/order.h. What any one failing command leads to in the end is
 * the simulation's matter (test/sim/torture.c). */
#include "agent/order.h"

#include "base/must.h"
#include "base/text.h"
#include "core/erase.h"
#include "nvme/nvme_soft.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MIB = 1 << 20, BLOCK = 512, SLICE_BLOCKS = 4 * MIB / BLOCK };

static struct soft_drive *drives[3];
static struct nvme_port port;
static struct order_env env;
static struct order_done done;
static unsigned said, asked, slept;

static uint64_t unix_ms(void *ctx)
{
    static uint64_t now_ms = 1700000000000;
    (void)ctx;
    return now_ms++;
}

static void sleep_ms(void *ctx, uint32_t ms)
{
    (void)ctx;
    (void)ms;
    slept++;
}

static void tell_said(void *ctx, const struct order *order)
{
    (void)ctx;
    assert_int_equal(order->kind, ORDER_ERASE);
    said++;
}

static void tell_progress(void *ctx, const struct order *order, unsigned percent)
{
    (void)ctx;
    (void)order;
    assert_true(percent <= 100);
}

static void look(void *ctx, const struct drive_ident *ident, struct nsid nsid, const struct nvme_node *node,
                 struct foreign_list *list)
{
    uint8_t byte = 0;
    (void)ctx;
    asked++;
    assert_int_equal(node->size_bytes, 16 * MIB);
    for (size_t i = 0; i < 3; i++)
        if (drives[i] != NULL && strcmp(soft_drive_serial(drives[i]), ident->serial) == 0)
            soft_drive_peek(drives[i], nsid.v, 0, &byte, 1);
    if (byte != 0)
        foreign_add(list, FOREIGN_DATA, nsid, "data");
}

static struct soft_drive *make(const char *serial, const char *more)
{
    struct soft_profile profile;
    struct err err = {0};
    char text[400];
    snprintf(text, sizeof(text),
             "model = SOFT\ncapacity = 16MiB\nnn = 16\nlba_format = 512\ngranularity = 1MiB\nleaky_delete = yes\n%s",
             more);
    if (!soft_profile_parse("test", text, strlen(text), &profile, &err))
        fail_msg("%s", err.msg);
    return soft_drive_make_mem(&profile, serial, 1);
}

static void open_port(void)
{
    size_t count = 0;
    while (count < 3 && drives[count] != NULL)
        count++;
    soft_port(drives, count, &port);
    env = (struct order_env){.nvme = &port,
                             .host = "h1",
                             .foreign = look,
                             .unix_ms = unix_ms,
                             .sleep_ms = sleep_ms,
                             .said = tell_said,
                             .progress = tell_progress};
    said = asked = slept = 0;
}

static int teardown(void **state)
{
    (void)state;
    port.close(port.self);
    for (size_t i = 0; i < 3; i++) {
        soft_drive_free(drives[i]);
        drives[i] = NULL;
    }
    return 0;
}

static void fault(const char *text)
{
    struct soft_fault parsed;
    struct err err = {0};
    if (!soft_fault_parse(text, &parsed, &err) || !soft_drive_fault(drives[0], &parsed, &err))
        fail_msg("%s", err.msg);
}

/* ---- orders ------------------------------------------------------------------------------------------------------ */

static struct drive_ident ident_of(size_t i)
{
    struct order_list list;
    struct err err = {0};
    assert_true(order_list(&env, &list, &err));
    for (size_t k = 0; k < list.count; k++)
        if (strcmp(list.idents[k].serial, soft_drive_serial(drives[i])) == 0)
            return list.idents[k];
    fail_msg("drive %zu is not listed", i);
    return (struct drive_ident){0};
}

static void run(struct order order)
{
    free(done.seen);
    if (order.ident.serial[0] == '\0')
        order.ident = ident_of(0);
    order_run(&env, &order, &done);
}

#define OK(...)                           \
    do {                                  \
        run((struct order){__VA_ARGS__}); \
        if (!done.ok)                     \
            fail_msg("%s", done.err.msg); \
    } while (0)

#define REFUSED(want, ...)                                                                           \
    do {                                                                                             \
        run((struct order){__VA_ARGS__});                                                            \
        if (done.ok || done.err.kind != (want))                                                      \
            fail_msg("got %d %s '%s', want %s", done.ok, err_kind_name(done.err.kind), done.err.msg, \
                     err_kind_name(want));                                                           \
    } while (0)

static struct ns_ident ns(uint32_t nsid)
{
    struct ns_ident out = {.nsid = {nsid}, .size_bytes = 4 * MIB};
    struct soft_ns_view views[16];
    const size_t count = soft_drive_ns(drives[0], views, 16);
    for (size_t i = 0; i < count; i++)
        if (views[i].nsid == nsid) {
            memcpy(out.nguid, views[i].nguid, 16);
            memcpy(out.eui64, views[i].eui64, 8);
            out.size_bytes = views[i].size_blocks * views[i].block_bytes;
        }
    return out;
}

/* The factory namespace is given up for `count` namespaces of 4 MiB. */
static void cut(unsigned count)
{
    OK(.kind = ORDER_DETACH, .ns = ns(1));
    OK(.kind = ORDER_DELETE, .ns = ns(1));
    for (uint32_t i = 1; i <= count; i++) {
        OK(.kind = ORDER_CREATE, .size_blocks = SLICE_BLOCKS);
        assert_int_equal(done.nsid.v, i);
        OK(.kind = ORDER_ATTACH, .ns = ns(i));
    }
}

static struct order erase(uint32_t nsid, enum erase_method method)
{
    return (struct order){.kind = ORDER_ERASE,
                          .ns = ns(nsid),
                          .slice = {"ns-test"},
                          .generation = 3,
                          .block_bytes = BLOCK,
                          .method = method,
                          .seed = {1, 2, 3},
                          .erasure = {"e-1"}};
}

static void plant(uint32_t nsid, uint8_t byte)
{
    uint8_t data[4096];
    memset(data, byte, sizeof(data));
    data[100] = 1; /* not uniform: uniform blocks prove nothing */
    for (uint64_t at = 0; at < 4 * MIB; at += 16 * sizeof(data))
        assert_true(soft_drive_poke(drives[0], nsid, at, data, sizeof(data)));
}

static bool holds(uint32_t nsid, uint8_t byte)
{
    uint8_t data[512];
    for (uint64_t at = 0; at < 4 * MIB; at += 16 * 4096) {
        assert_true(soft_drive_peek(drives[0], nsid, at, data, sizeof(data)));
        if (data[0] == byte && data[100] == 1 && data[511] == byte)
            return true;
    }
    return false;
}

/* ---- looking ----------------------------------------------------------------------------------------------------- */

static void test_list(void **state)
{
    (void)state;
    struct order_list list;
    struct err err = {0};
    drives[0] = make("A", "");
    drives[1] = make("B", "");
    drives[2] = make("C", "fault = identify count=0 kind=status:0x006");
    open_port();
    assert_true(order_list(&env, &list, &err));
    assert_int_equal(list.count, 2); /* one that does not answer is left out */
    soft_drive_set_present(drives[0], false);
    assert_true(order_list(&env, &list, &err));
    assert_int_equal(list.count, 1);
    assert_string_equal(list.idents[0].serial, "B");
    assert_string_equal(list.idents[0].model, "SOFT");
}

static void test_scan(void **state)
{
    (void)state;
    drives[0] = make("A", "");
    open_port();
    OK(.kind = ORDER_SCAN);
    assert_int_equal(done.seen->ns_count, 1);
    assert_int_equal(asked, 0); /* foreign data only when asked for */
    assert_string_equal(done.seen->name, "A");
    OK(.kind = ORDER_SCAN, .fresh = true);
    assert_int_equal(asked, 1);
    assert_int_equal(done.seen->foreign.count, 0);
    assert_true(soft_drive_poke(drives[0], 1, 0, "x", 1));
    OK(.kind = ORDER_SCAN, .fresh = true);
    assert_int_equal(done.seen->foreign.at[0].kind, FOREIGN_DATA);
}

static void test_hidden_namespace_is_foreign(void **state)
{
    (void)state;
    drives[0] = make("A", "");
    open_port();
    OK(.kind = ORDER_DETACH, .ns = ns(1));
    OK(.kind = ORDER_SCAN, .fresh = true);
    assert_int_equal(asked, 0);
    assert_int_equal(done.seen->foreign.at[0].kind, FOREIGN_UNREADABLE);
}

static void test_identity(void **state)
{
    (void)state;
    drives[0] = make("A", "");
    drives[1] = make("B", "");
    open_port();
    struct drive_ident other = ident_of(0);
    text_cut(other.model, sizeof(other.model), "ANOTHER");
    REFUSED(ERR_MISSING, .kind = ORDER_SCAN, .ident = other);
    OK(.kind = ORDER_DETACH, .ident = ident_of(1), .ns = {.nsid = {1}, .size_bytes = 16 * MIB});
    struct soft_log_entry entry;
    assert_int_equal(soft_drive_log(drives[0], &entry, 1), 0);
    assert_int_equal(soft_drive_log(drives[1], &entry, 1), 1);
    soft_drive_set_present(drives[1], false);
    teardown(state);
    drives[0] = make("A", "");
    drives[1] = make("A", ""); /* a twin */
    open_port();
    REFUSED(ERR_CONFLICT, .kind = ORDER_SCAN);
    REFUSED(ERR_CONFLICT, .kind = ORDER_DETACH, .ns = ns(1));
    assert_int_equal(soft_drive_log(drives[0], &entry, 1), 0);
    assert_int_equal(soft_drive_log(drives[1], &entry, 1), 0);
}

/* ---- cutting ----------------------------------------------------------------------------------------------------- */

static void test_cut(void **state)
{
    (void)state;
    drives[0] = make("A", "");
    open_port();
    cut(4);
    REFUSED(ERR_FULL, .kind = ORDER_CREATE, .size_blocks = SLICE_BLOCKS);
    OK(.kind = ORDER_ATTACH, .ns = ns(4)); /* already is success */
    OK(.kind = ORDER_NODE, .ns = ns(4));
    assert_int_equal(done.node.size_bytes, 4 * MIB);
    assert_true(done.node.ino != 0);
}

static void test_node_without_events(void **state)
{
    (void)state;
    drives[0] = make("A", "events = no");
    open_port();
    cut(1);
    slept = 0;
    OK(.kind = ORDER_NODE, .ns = ns(1));
    assert_true(slept > 0); /* waited for an event, then asked for a rescan */
}

static void test_namespace_is_compared(void **state)
{
    (void)state;
    static const enum order_kind kinds[] = {ORDER_DETACH, ORDER_DELETE, ORDER_NODE, ORDER_ERASE};
    drives[0] = make("A", "fna = 0x04");
    open_port();
    cut(2);
    struct soft_log_entry before, after;
    assert_int_equal(soft_drive_log(drives[0], &before, 1), 1);
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        for (unsigned wrong = 0; wrong < 3; wrong++) {
            struct order order = erase(1, ERASE_FORMAT_CRYPTO);
            order.kind = kinds[i];
            if (wrong == 0)
                order.ns.size_bytes++;
            if (wrong == 1)
                order.ns.nguid[3]++;
            if (wrong == 2)
                order.ns.eui64[7]++;
            run(order);
            if (done.ok || done.err.kind != ERR_CONFLICT || done.have_erasure)
                fail_msg("%s, wrong %u: got %d %s", order_word(kinds[i]), wrong, done.ok, done.err.msg);
        }
    }
    assert_int_equal(soft_drive_log(drives[0], &after, 1), 1);
    assert_int_equal(after.seq, before.seq);
    struct ns_ident all = ns(1);
    all.nsid.v = 0xffffffff;
    REFUSED(ERR_UNSAFE, .kind = ORDER_DETACH, .ns = all);
    REFUSED(ERR_UNSAFE, .kind = ORDER_DELETE, .ns = all);
    REFUSED(ERR_UNSAFE, .kind = ORDER_ERASE, .ns = all, .method = ERASE_FORMAT_CRYPTO, .block_bytes = BLOCK);
    REFUSED(ERR_CONFLICT, .kind = ORDER_DELETE, .ns = ns(1)); /* attached */
}

/* ---- erasing ----------------------------------------------------------------------------------------------------- */

static void test_methods(void **state)
{
    static const struct {
        const char *profile;
        enum erase_method method;
    } rows[] = {
        {"fna = 0x04", ERASE_FORMAT_CRYPTO},      {"fna = 0x04\ncrypto_result = noise", ERASE_FORMAT_CRYPTO},
        {"fna = 0x00", ERASE_FORMAT_USER},        {"fna = 0x04\nformat_ms = 5000", ERASE_FORMAT_CRYPTO},
        {"fna = 0x05", ERASE_OVERWRITE},          {"fna = 0x06", ERASE_OVERWRITE},
        {"sanitize_ns = yes", ERASE_SANITIZE_NS}, {"sanitize_ns = yes\nsanitize_ms = 3000", ERASE_SANITIZE_NS},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        drives[0] = make("A", rows[i].profile);
        open_port();
        cut(2);
        OK(.kind = ORDER_SCAN);
        assert_int_equal(erase_choose(&done.seen->caps, false), rows[i].method);
        plant(1, 0xa1);
        plant(2, 0xa2);
        run(erase(1, rows[i].method));
        if (!done.ok || !done.have_erasure || done.erasure.verdict != ERASE_VERIFIED)
            fail_msg("row %zu: got %s %s", i, erase_verdict_word(done.erasure.verdict), done.erasure.note);
        const struct erasure *record = &done.erasure;
        assert_int_equal(record->markers, ERASE_MARKERS);
        assert_true(record->old_sampled > 0);
        assert_true(record->checked >= ERASE_MARKERS);
        assert_int_equal(record->found_old, 0);
        assert_int_equal(record->generation, 3);
        assert_int_equal(record->nsid.v, 1);
        assert_int_equal(record->size_bytes, 4 * MIB);
        assert_string_equal(record->id.v, "e-1");
        assert_string_equal(record->host.v, "h1");
        assert_string_equal(record->drive.serial, "A");
        assert_true(record->started_ms < record->drive_done_ms && record->drive_done_ms < record->ended_ms);
        assert_int_equal(said, 1);
        assert_false(holds(1, 0xa1));
        assert_true(holds(2, 0xa2));
        teardown(state);
    }
    drives[0] = make("A", "");
    open_port();
}

static void test_verdicts(void **state)
{
    static const struct {
        const char *rule, *profile, *fault;
        enum erase_method method;
        enum erase_verdict verdict;
    } rows[] = {
        {"a drive that lies", "", "format kind=lie", ERASE_FORMAT_CRYPTO, ERASE_LIED},
        {"a drive that refuses", "", "format kind=status:0x006", ERASE_FORMAT_CRYPTO, ERASE_FAILED_STATUS},
        {"no answer, and it is done", "", "format kind=timeout-done", ERASE_FORMAT_CRYPTO, ERASE_FAILED_STATUS},
        {"no answer, not done", "", "format kind=timeout-not-done", ERASE_FORMAT_CRYPTO, ERASE_FAILED_STATUS},
        {"no answer, half done", "", "format kind=timeout-half-done", ERASE_FORMAT_CRYPTO, ERASE_FAILED_STATUS},
        {"a marker cannot be written", "", "write nth=3 kind=status:0x280", ERASE_FORMAT_CRYPTO, ERASE_FAILED_STATUS},
        {"markers that are not written", "", "write count=64 kind=lie", ERASE_FORMAT_CRYPTO, ERASE_UNREADABLE},
        {"old data cannot be read", "", "read nth=5 kind=status:0x281", ERASE_FORMAT_CRYPTO, ERASE_FAILED_STATUS},
        {"what is there then cannot be read", "", "read nth=140 kind=status:0x281", ERASE_FORMAT_CRYPTO,
         ERASE_UNREADABLE},
        {"a write of the overwrite is lost", "fna = 0x05", "write nth=66 kind=lie", ERASE_OVERWRITE, ERASE_LIED},
        {"a write of the overwrite fails", "fna = 0x05", "write nth=66 kind=status:0x280", ERASE_OVERWRITE,
         ERASE_FAILED_STATUS},
        {"a sanitize that lies", "sanitize_ns = yes", "sanitize-ns kind=lie", ERASE_SANITIZE_NS, ERASE_LIED},
        {"a sanitize that is refused", "sanitize_ns = yes", "sanitize-ns kind=status:0x006", ERASE_SANITIZE_NS,
         ERASE_FAILED_STATUS},
        {"a format where it would hit neighbours", "fna = 0x06", "flush nth=99 kind=lie", ERASE_FORMAT_CRYPTO,
         ERASE_REFUSED},
        {"no method", "", "flush nth=99 kind=lie", ERASE_NONE, ERASE_REFUSED},
        {"the whole drive is never the erase of a slice", "sanitize = crypto", "flush nth=99 kind=lie", ERASE_SANITIZE,
         ERASE_REFUSED},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char profile[120];
        snprintf(profile, sizeof(profile), "%s\n%s", rows[i].profile[0] == 'f' ? "" : "fna = 0x04", rows[i].profile);
        drives[0] = make("A", profile);
        open_port();
        cut(2);
        plant(1, 0xa1);
        plant(2, 0xa2);
        fault(rows[i].fault);
        run(erase(1, rows[i].method));
        if (!done.ok || !done.have_erasure || done.erasure.verdict != rows[i].verdict)
            fail_msg("%s: got %d %s '%s' %s", rows[i].rule, done.ok, erase_verdict_word(done.erasure.verdict),
                     done.erasure.note, done.err.msg);
        if (done.erasure.note[0] == '\0')
            fail_msg("%s: the record does not say why", rows[i].rule);
        assert_true(holds(2, 0xa2));
        teardown(state);
    }
    drives[0] = make("A", "");
    open_port();
}

static void test_alone_on_its_drive(void **state)
{
    (void)state;
    drives[0] = make("A", "fna = 0x06");
    open_port();
    cut(1);
    plant(1, 0xa1);
    run(erase(1, ERASE_FORMAT_CRYPTO));
    assert_int_equal(done.erasure.verdict, ERASE_VERIFIED);
    assert_false(holds(1, 0xa1));
}

static void test_in_use(void **state)
{
    (void)state;
    drives[0] = make("A", "fna = 0x04");
    open_port();
    cut(2);
    plant(1, 0xa1);
    soft_drive_hold(drives[0], 1, true);
    run(erase(1, ERASE_FORMAT_CRYPTO));
    assert_false(done.ok);
    assert_int_equal(done.err.kind, ERR_BUSY); /* nothing has begun: no record */
    assert_false(done.have_erasure);
    assert_true(holds(1, 0xa1));
    REFUSED(ERR_BUSY, .kind = ORDER_DETACH, .ns = ns(1));
    OK(.kind = ORDER_NODE, .ns = ns(1)); /* a look is no harm */
    soft_drive_hold(drives[0], 1, false);
    soft_drive_hold(drives[0], 2, true); /* a neighbour is */
    run(erase(1, ERASE_FORMAT_CRYPTO));
    assert_int_equal(done.erasure.verdict, ERASE_VERIFIED);
    OK(.kind = ORDER_DETACH, .ns = ns(1));
    soft_drive_hold(drives[0], 2, false);
}

static void test_drive_that_is_pulled(void **state)
{
    (void)state;
    drives[0] = make("A", "fna = 0x04");
    open_port();
    cut(1);
    const struct drive_ident ident = ident_of(0);
    soft_drive_set_present(drives[0], false);
    struct order order = erase(1, ERASE_FORMAT_CRYPTO);
    order.ident = ident;
    run(order);
    assert_false(done.ok);
    assert_int_equal(done.err.kind, ERR_MISSING);
    assert_false(done.have_erasure);
}

static void test_other_block_size(void **state)
{
    (void)state;
    drives[0] = make("A", "fna = 0x04");
    open_port();
    cut(1);
    struct order order = erase(1, ERASE_FORMAT_CRYPTO);
    order.block_bytes = 4096;
    run(order);
    assert_false(done.ok);
    assert_int_equal(done.err.kind, ERR_CONFLICT);
}

static int end(void **state)
{
    (void)state;
    free(done.seen);
    return 0;
}

static void test_neighbour(void **state)
{
    static const struct {
        const char *rule, *drive, *fault;
        bool ok;
        enum erase_verdict verdict;
        enum neighbour_fate fate;
    } rows[] = {
        {"it is spared", "", NULL, true, ERASE_VERIFIED, NEIGHBOUR_SPARED},
        {"it is hit, although FNA says otherwise", "", "format kind=hits-all", true, ERASE_VERIFIED, NEIGHBOUR_HIT},
        {"it is spared by an erase that does nothing", "", "format kind=lie", true, ERASE_LIED, NEIGHBOUR_SPARED},
        {"it cannot be written to: nothing has begun", "", "write count=0 kind=status:0x280", false, ERASE_UNFINISHED,
         NEIGHBOUR_NONE},
        {"what is written there gets lost: nothing has begun", "", "write kind=lie", false, ERASE_UNFINISHED,
         NEIGHBOUR_NONE},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        drives[0] = make("A", rows[i].drive);
        open_port();
        cut(3);
        plant(1, 0x42);
        plant(3, 0x43);
        struct order order = erase(1, ERASE_FORMAT_CRYPTO);
        order.neighbour = ns(2);
        if (rows[i].fault != NULL)
            fault(rows[i].fault);
        run(order);
        if (done.ok != rows[i].ok || done.neighbour != rows[i].fate || done.erasure.verdict != rows[i].verdict ||
            (!done.ok && done.err.kind != ERR_BUSY))
            fail_msg("%s: got ok %d (%s), neighbour %d, %s", rows[i].rule, done.ok, done.err.msg, (int)done.neighbour,
                     erase_verdict_word(done.erasure.verdict));
        if (!done.ok && !holds(1, 0x42))
            fail_msg("%s: the slice was erased", rows[i].rule);
        if (done.neighbour == NEIGHBOUR_HIT && strstr(done.erasure.note, "namespace 2 too") == NULL)
            fail_msg("%s: the record does not say so: '%s'", rows[i].rule, done.erasure.note);
        if (done.neighbour != NEIGHBOUR_HIT && !holds(3, 0x43))
            fail_msg("%s: a third namespace was touched", rows[i].rule);
        teardown(state);
    }
    drives[0] = make("A", "");
    open_port();
    cut(2);
    struct order order = erase(1, ERASE_FORMAT_CRYPTO);
    order.neighbour = ns(2);
    order.neighbour.nguid[0] ^= 1; /* another one in its place */
    run(order);
    assert_false(done.ok);
    assert_int_equal(done.err.kind, ERR_BUSY);
    order.neighbour = ns(2);
    soft_drive_hold(drives[0], 2, true); /* somebody has it open */
    run(order);
    assert_false(done.ok);
    assert_int_equal(done.err.kind, ERR_BUSY);
    soft_drive_hold(drives[0], 2, false);
}

#define TEST(name) cmocka_unit_test_teardown(name, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_list),
        TEST(test_scan),
        TEST(test_hidden_namespace_is_foreign),
        TEST(test_identity),
        TEST(test_cut),
        TEST(test_node_without_events),
        TEST(test_namespace_is_compared),
        TEST(test_methods),
        TEST(test_verdicts),
        TEST(test_alone_on_its_drive),
        TEST(test_neighbour),
        TEST(test_in_use),
        TEST(test_drive_that_is_pulled),
        TEST(test_other_block_size),
    };
    return cmocka_run_group_tests(tests, NULL, end);
}
