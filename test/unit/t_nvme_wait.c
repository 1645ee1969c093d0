/* nvme_wait_node() of nvme_drive.h, on a host of a few variables and a clock that only waiting moves. */
#include "nvme/nvme_drive.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { NEVER = 1 << 30, LIMIT_MS = 3000 };

struct scene {
    const char *rule;
    uint32_t shown_ms;     /* when the host shows it by itself, with an event */
    bool by_rescan;        /* it shows it after a rescan */
    bool has_events, deaf; /* deaf: listening fails */
    const char *expect;    /* path, rescans, listened or slept, and when */
};

static struct {
    const struct scene *scene;
    uint32_t now_ms, rescans, slept, listened;
} host;

static bool is_shown(void)
{
    return host.now_ms >= host.scene->shown_ms || (host.scene->by_rescan && host.rescans > 0);
}

static bool fake_path(struct nvme_dev *dev, struct nsid nsid, char path[PATH_TEXT_MAX], struct err *err)
{
    (void)dev;
    (void)err;
    path[0] = '\0';
    if (is_shown())
        snprintf(path, PATH_TEXT_MAX, "/dev/nvme0n%u", nsid.v);
    return true;
}

static bool fake_open(struct nvme_dev *dev, struct nsid nsid, bool exclusive, struct nvme_ns **out, struct err *err)
{
    (void)dev, (void)nsid, (void)exclusive, (void)out;
    return err_set(err, ERR_MISSING, "cannot open");
}

static bool fake_rescan(struct nvme_dev *dev, struct err *err)
{
    (void)dev;
    (void)err;
    host.rescans++;
    return true;
}

static bool fake_wait(struct nvme_dev *dev, uint32_t ms, uint32_t *took_ms)
{
    const uint32_t end_ms = host.now_ms + ms;
    (void)dev;
    if (host.scene->deaf)
        return false;
    const bool comes = host.now_ms < host.scene->shown_ms && host.scene->shown_ms < end_ms;
    *took_ms = comes ? host.scene->shown_ms - host.now_ms : ms;
    host.now_ms += *took_ms;
    host.listened += ms > 0;
    return true;
}

static void fake_sleep(void *ctx, uint32_t ms)
{
    (void)ctx;
    host.now_ms += ms;
    host.slept++;
}

static const struct scene scenes[] = {
    {"what is there is not waited for", 0, false, true, false, "/dev/nvme0n3 at 0, 0 rescans"},
    {"its event ends the wait", 77, false, true, false, "/dev/nvme0n3 at 77, 0 rescans, listened"},
    {"without one there is a rescan after a third of the time", NEVER, true, true, false,
     "/dev/nvme0n3 at 1000, 1 rescans, listened"},
    {"it may come after the rescan", 2222, false, true, false, "/dev/nvme0n3 at 2222, 1 rescans, listened"},
    {"then it is said to be missing", NEVER, false, true, false, "try-again at 3000, 1 rescans, listened"},
    {"who cannot listen sleeps", 77, false, true, true, "/dev/nvme0n3 at 155, 0 rescans, slept"},
    {"and so does who has nothing to listen to", 77, false, false, false, "/dev/nvme0n3 at 155, 0 rescans, slept"},
    {"sleeping ends too", NEVER, false, false, false, "try-again at 3000, 1 rescans, slept"},
};

static void test_scenes(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(scenes) / sizeof(scenes[0]); i++) {
        const struct nvme_dev_ops ops = {.ns_path = fake_path,
                                         .ns_open = fake_open,
                                         .rescan = fake_rescan,
                                         .wait = scenes[i].has_events ? fake_wait : NULL};
        struct nvme_dev dev = {.ops = &ops};
        char path[PATH_TEXT_MAX] = "", got[PATH_TEXT_MAX + 80];
        struct err err = {0};
        memset(&host, 0, sizeof(host));
        host.scene = &scenes[i];
        nvme_wait_node(&dev, (struct nsid){3}, &(struct nvme_patience){.limit_ms = LIMIT_MS, .sleep_ms = fake_sleep},
                       path, &err);
        snprintf(got, sizeof(got), "%s at %u, %u rescans%s%s", path[0] != '\0' ? path : err_kind_name(err.kind),
                 host.now_ms, host.rescans, host.listened > 0 ? ", listened" : "", host.slept > 0 ? ", slept" : "");
        if (strcmp(got, scenes[i].expect) != 0)
            fail_msg("%s: got '%s', want '%s'", scenes[i].rule, got, scenes[i].expect);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_scenes)};
    return cmocka_run_group_tests_name("nvme_wait", tests, NULL, NULL);
}
