/* Drives that are reached through more than one controller: agent/order.h. A port around the software drives' own shows
 * one drive under two names and changes what each of the two controllers says of itself. */
#include "agent/order.h"

#include "base/text.h"
#include "nvme/nvme_codec.h"
#include "nvme/nvme_soft.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { WAYS = 2, MIB = 1 << 20 };

struct way_dev {
    struct nvme_dev dev;
    struct nvme_dev *inner; /* owned */
    size_t way;
};

static struct soft_drive *drive;
static struct nvme_port inner, port;
static struct order_env env;
static uint16_t cntlids[WAYS];
static bool has_nqn, empty[WAYS]; /* no namespace is attached there */
static size_t detached[WAYS];
static size_t looked;

static bool dev_admin(struct nvme_dev *dev, struct nvme_cmd *cmd, struct err *err)
{
    struct way_dev *self = (struct way_dev *)dev;
    uint8_t *page = cmd->data;
    if (cmd->opcode == NVME_OP_NS_ATTACHMENT && cmd->cdw10 == NVME_NS_DETACH) {
        const uint16_t cntlid = le16_get(((struct nvme_wire_ctrl_list *)cmd->data)->cntlid[0]);
        for (size_t i = 0; i < WAYS; i++)
            detached[i] += cntlids[i] == cntlid;
        return true;
    }
    if (!self->inner->ops->admin(self->inner, cmd, err))
        return false;
    if (cmd->opcode == NVME_OP_IDENTIFY && (cmd->cdw10 & 0xff) == NVME_CNS_CTRL) {
        page[78] = (uint8_t)cntlids[self->way];
        if (!has_nqn)
            memset(page + 768, 0, 256);
    }
    if (cmd->opcode == NVME_OP_IDENTIFY && (cmd->cdw10 & 0xff) == NVME_CNS_ACTIVE_NS_LIST && empty[self->way])
        memset(page, 0, NVME_PAGE);
    return true;
}

static bool dev_open(struct nvme_dev *dev, struct nsid nsid, bool exclusive, struct nvme_ns **out, struct err *err)
{
    struct nvme_dev *of = ((struct way_dev *)dev)->inner;
    return of->ops->ns_open(of, nsid, exclusive, out, err);
}

/* As without multipath: each controller has a node of its own. */
static bool dev_path(struct nvme_dev *dev, struct nsid nsid, char path[PATH_TEXT_MAX], struct err *err)
{
    (void)err;
    snprintf(path, PATH_TEXT_MAX, "/dev/nvme%zun%u", ((struct way_dev *)dev)->way, nsid.v);
    return true;
}

static void dev_close(struct nvme_dev *dev)
{
    nvme_dev_close(((struct way_dev *)dev)->inner);
    free(dev);
}

static const struct nvme_dev_ops dev_ops = {
    .admin = dev_admin, .ns_open = dev_open, .ns_path = dev_path, .close = dev_close};

static bool port_list(void *self, struct nvme_names *out, struct err *err)
{
    (void)self;
    (void)err;
    *out = (struct nvme_names){.at = {"nvme0", "nvme1"}, .count = WAYS};
    return true;
}

static bool port_open(void *self, const char *name, struct nvme_dev **out, struct err *err)
{
    struct way_dev *dev = calloc(1, sizeof(*dev));
    (void)self;
    assert_non_null(dev);
    dev->dev.ops = &dev_ops;
    dev->way = (size_t)(name[4] - '0');
    *out = &dev->dev;
    return inner.open(inner.self, soft_drive_serial(drive), &dev->inner, err);
}

static void look(void *ctx, const struct drive_ident *ident, struct nsid nsid, const struct nvme_node *node,
                 struct foreign_list *list)
{
    (void)ctx, (void)ident, (void)nsid, (void)node, (void)list;
    looked++;
}

static int setup(void **state)
{
    static const char text[] = "model = SOFT\ncapacity = 16MiB\nnn = 16\n";
    struct soft_profile profile;
    struct err err = {0};
    (void)state;
    if (!soft_profile_parse("test", text, strlen(text), &profile, &err))
        fail_msg("%s", err.msg);
    drive = soft_drive_make_mem(&profile, "S1", 1);
    soft_port(&drive, 1, &inner);
    port = (struct nvme_port){.list = port_list, .open = port_open};
    env = (struct order_env){.nvme = &port, .host = "h1", .foreign = look};
    cntlids[0] = 2;
    cntlids[1] = 1;
    has_nqn = true;
    memset(empty, 0, sizeof(empty));
    memset(detached, 0, sizeof(detached));
    looked = 0;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    inner.close(inner.self);
    soft_drive_free(drive);
    return 0;
}

static struct drive_ident ident(void)
{
    struct order_list list;
    struct err err = {0};
    assert_true(order_list(&env, &list, &err));
    assert_true(list.count > 0);
    return list.idents[0];
}

static void test_ways(void **state)
{
    static const struct {
        const char *rule;
        uint16_t a, b;
        bool nqn, a_empty, b_empty;
        size_t drives;
        const char *name; /* that is opened; NULL: refused */
    } rows[] = {
        {"two controllers are one drive; the lower CNTLID is used", 2, 1, true, false, false, 1, "nvme1"},
        {"whatever their names are", 1, 2, true, false, false, 1, "nvme0"},
        {"that which has the namespaces comes first", 1, 2, true, true, false, 1, "nvme1"},
        {"none has any: the lower", 2, 1, true, true, true, 1, "nvme1"},
        {"one CNTLID twice is two drives", 1, 1, true, false, false, 2, NULL},
        {"without an NQN nothing says that it is one drive", 1, 2, false, false, false, 2, NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct order_list list;
        struct order_found found;
        struct nvme_dev *dev = NULL;
        struct err err = {0};
        cntlids[0] = rows[i].a;
        cntlids[1] = rows[i].b;
        has_nqn = rows[i].nqn;
        empty[0] = rows[i].a_empty;
        empty[1] = rows[i].b_empty;
        assert_true(order_list(&env, &list, &err));
        if (list.count != rows[i].drives)
            fail_msg("%s: got %zu drives, want %zu", rows[i].rule, list.count, rows[i].drives);
        const bool ok = order_open(&env, &list.idents[0], &dev, &found, &err);
        if (ok != (rows[i].name != NULL) || (ok && strcmp(found.names[0], rows[i].name) != 0))
            fail_msg("%s: got '%s', want '%s'", rows[i].rule, ok ? found.names[0] : err.msg, rows[i].name);
        if (!ok)
            assert_int_equal(err.kind, ERR_CONFLICT);
        nvme_dev_close(dev);
    }
}

static struct order_done run(enum order_kind kind, bool fresh)
{
    struct order_done done;
    const struct order order = {
        .kind = kind, .ident = ident(), .fresh = fresh, .ns = {.nsid = {1}, .size_bytes = 16 * MIB}};
    order_run(&env, &order, &done);
    if (!done.ok)
        fail_msg("%s: %s", order_word(kind), done.err.msg);
    return done;
}

static void test_detach_is_from_all_controllers_of_this_host(void **state)
{
    (void)state;
    run(ORDER_DETACH, false);
    assert_int_equal(detached[0], 1);
    assert_int_equal(detached[1], 1);
}

static void test_fresh_look_is_by_every_node(void **state)
{
    (void)state;
    free(run(ORDER_SCAN, false).seen);
    assert_int_equal(looked, 0);
    free(run(ORDER_SCAN, true).seen);
    assert_int_equal(looked, WAYS);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_ways),
        TEST(test_detach_is_from_all_controllers_of_this_host),
        TEST(test_fresh_look_is_by_every_node),
    };
    return cmocka_run_group_tests_name("order_ways", tests, NULL, NULL);
}
