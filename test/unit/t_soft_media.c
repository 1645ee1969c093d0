#include "soft_fixture.h"

#include "base/rng.h"
#include "nvme/soft_pages.h"

#include <fcntl.h>
#include <sys/stat.h>

/* --- In memory, in a folder -------------------------------------------------------------------------------------- */

static void test_costs_little(void **state)
{
    (void)state;
    static const char text[] = "capacity = 2000398934016\nnn = 128\n";
    struct soft_profile profile;
    struct err err = {0};
    assert_true(soft_profile_parse("big", text, sizeof(text) - 1, &profile, &err));
    struct soft_drive *drive = soft_drive_make_mem(&profile, "BIG", 1);
    const uint64_t empty = soft_drive_memory(drive);
    if (empty > 64 * 1024)
        fail_msg("a drive costs %ju bytes", (uintmax_t)empty);
    plant(drive, 1);
    assert_true(soft_drive_memory(drive) > empty + 64 * 4096);
    assert_int_equal(format(drive, 1, 1, 0), 0);
    assert_int_equal(soft_drive_memory(drive) - SOFT_LOG_MAX * sizeof(struct soft_log_entry), empty);
    soft_drive_free(drive);
}

/* The sparse medium against a plain array, with what is random about it. */
static void test_pages_are_an_array(void **state)
{
    enum { BYTES = 64 * SOFT_PAGE };
    (void)state;
    struct soft_pages pages = {0};
    uint8_t *plain = calloc(1, BYTES), *got = malloc(BYTES), some[3 * SOFT_PAGE];
    struct rng rng = {11};
    for (int step = 0; step < 3000; step++) {
        const size_t at = (size_t)rng_below(&rng, BYTES), most = BYTES - at < sizeof(some) ? BYTES - at : sizeof(some);
        const size_t len = (size_t)rng_below(&rng, most + 1);
        const uint64_t what = rng_below(&rng, 40);
        const struct soft_wipe wipe = {.half = true, .seed = rng_next(&rng)};
        if (what < 25) {
            memset(some, (int)rng_below(&rng, 256), len);
            soft_pages_write(&pages, at, some, len);
            memcpy(plain + at, some, len);
        } else if (what < 39) {
            soft_pages_zero(&pages, at, len);
            memset(plain + at, 0, len);
        } else {
            soft_pages_wipe(&pages, &wipe);
            for (unsigned i = 0; i < BYTES / SOFT_PAGE; i++)
                if (soft_half(wipe.seed, i))
                    memset(plain + i * SOFT_PAGE, 0, SOFT_PAGE);
        }
        soft_pages_read(&pages, 0, got, BYTES);
        if (memcmp(plain, got, BYTES) != 0)
            fail_msg("they differ after step %d", step);
    }
    soft_pages_release(&pages);
    free(plain);
    free(got);
}

static void test_same_seed(void **state)
{
    (void)state;
    struct soft_profile profile;
    struct err err = {0};
    assert_true(soft_profile_parse("p", BASE, strlen(BASE), &profile, &err));
    struct soft_ns_view views[3];
    for (int i = 0; i < 3; i++) {
        struct soft_drive *drive = soft_drive_make_mem(&profile, i < 2 ? "A" : "B", 5);
        create(drive, MIB, 0, NULL);
        soft_drive_ns(drive, &views[i], 1);
        soft_drive_free(drive);
    }
    assert_memory_equal(views[0].nguid, views[1].nguid, 16);
    assert_memory_not_equal(views[0].nguid, views[2].nguid, 16);
}

static void test_folder(void **state)
{
    struct bench *bench = *state;
    char path[PATH_TEXT_MAX], medium[PATH_TEXT_MAX], stray[PATH_TEXT_MAX];
    struct stat a, b;
    struct err err = {0};
    struct soft_drive *drive = make(bench, BASE), *second = NULL;
    if (!bench->files)
        return;
    add_ns(drive, 8 * MIB);
    plant(drive, 1);
    assert_true(soft_drive_ns_path(drive, 1, path, &err));
    snprintf(medium, sizeof(medium), "%s/media/0.img", bench->dir);
    assert_int_equal(stat(path, &a), 0);
    assert_int_equal(stat(medium, &b), 0);
    assert_int_equal(a.st_ino, b.st_ino); /* the path is the medium itself */
    assert_int_equal(a.st_size, 8 * MIB);
    assert_true(a.st_blocks * 512 < 2 * MIB); /* sparse */
    assert_false(soft_drive_open_dir(bench->dir, "S1", NULL, NULL, &second, &err));
    assert_int_equal(err.kind, ERR_BUSY); /* one process at a time */
    snprintf(stray, sizeof(stray), "%s/media/77.img", bench->dir);
    close(open(stray, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    drive = restart(bench);
    assert_int_equal(access(stray, F_OK), -1); /* a file that no state knows */
    assert_int_equal(found(drive, 1), 64);
    assert_int_equal(attachment(drive, 1, NVME_NS_DETACH), 0);
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(delete_ns(drive, 1), 0);
    assert_int_equal(access(medium, F_OK), -1);
}

static void test_state_cannot_be_saved(void **state)
{
    struct bench *bench = *state;
    char aside[PATH_TEXT_MAX];
    struct soft_ns_view ns[2];
    struct soft_drive *drive = make(bench, BASE);
    if (!bench->files)
        return;
    snprintf(aside, sizeof(aside), "%s/state.json.new", bench->dir);
    assert_int_equal(mkdir(aside, 0700), 0); /* in the way of the new state */
    assert_int_equal(create(drive, MIB, 0, NULL), 0x006);
    assert_int_equal(soft_drive_ns(drive, ns, 2), 0);
    rmdir(aside);
    assert_int_equal(create(drive, MIB, 0, NULL), 0);
}

static void test_broken_state(void **state)
{
    struct bench *bench = *state;
    char path[PATH_TEXT_MAX];
    struct err err = {0};
    make(bench, BASE);
    if (!bench->files)
        return;
    soft_drive_free(bench->drive);
    bench->drive = NULL;
    snprintf(path, sizeof(path), "%s/state.json", bench->dir);
    FILE *file = fopen(path, "w");
    fputs("{\"version\":1,", file);
    fclose(file);
    assert_false(soft_drive_open_dir(bench->dir, "S1", NULL, NULL, &bench->drive, &err));
    assert_non_null(strstr(err.msg, "state.json"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_costs_little), cmocka_unit_test(test_pages_are_an_array),
        cmocka_unit_test(test_same_seed),    BOTH(test_folder),
        BOTH(test_state_cannot_be_saved),    BOTH(test_broken_state),
    };
    return cmocka_run_group_tests_name("soft_media", tests, NULL, NULL);
}
