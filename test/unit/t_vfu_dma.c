/* The memory of a guest: which regions are taken, and that nothing outside of them is touched. */
#include "softnvme/vfu_dma.h"
#include "softnvme/vfu_msg.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

enum { PAGE = 4096, FILE_LEN = 16 * PAGE };

static int make_file(size_t len, int seals)
{
    const int fd = memfd_create("guest", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t)len), 0);
    assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
    return fd;
}

static int map(struct vfu_dma *dma, int fd, uint64_t iova, uint64_t size, uint64_t offset)
{
    bool usable = false;
    const struct vfu_mapping mapping = {
        .iova = iova, .size = size, .offset = offset, .fd = fd, .can_read = true, .can_write = true};
    return vfu_dma_map(dma, &mapping, &usable);
}

static void test_map(void **state)
{
    (void)state;
    static const struct {
        const char *rule;
        uint64_t iova, size, offset;
        int want;
    } rows[] = {
        /* there is one from 10000h to 13fffh */
        {"a region of no bytes", 0, 0, 0, EINVAL},
        {"around the end of all addresses", UINT64_MAX - 10, 20, 0, EINVAL},
        {"up to the very end", UINT64_MAX - 4095, 4096, 0, 0},
        {"one byte into another", 0xf000, 4097, 0, EEXIST},
        {"just before another", 0xf000, 4096, 0, 0},
        {"within another", 0x11000, 4096, 0, EEXIST},
        {"around another", 0x8000, 0x10000, 0, EEXIST},
        {"just behind another", 0x14000, 4096, 0, 0},
        {"up to the end of the file", 0x20000, FILE_LEN, 0, 0},
        {"a byte more than the file has", 0x20000, FILE_LEN + 1, 0, EINVAL},
        {"behind the end of the file", 0x20000, 4096, FILE_LEN + 4096, EINVAL},
        {"an offset that wraps", 0x20000, 4096, UINT64_MAX - 100, EINVAL},
    };
    const int fd = make_file(FILE_LEN, F_SEAL_SHRINK);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct vfu_dma dma = {0};
        assert_int_equal(map(&dma, fd, 0x10000, 0x4000, 0), 0);
        const int got = map(&dma, fd, rows[i].iova, rows[i].size, rows[i].offset);
        if (got != rows[i].want || dma.count != (got == 0 ? 2u : 1u))
            fail_msg("%s: got %d with %zu regions, want %d", rows[i].rule, got, dma.count, rows[i].want);
        vfu_dma_release(&dma);
    }
    close(fd);
}

static void test_unmap(void **state)
{
    (void)state;
    static const struct {
        const char *rule;
        uint64_t iova, size;
        int want;
        uint64_t bytes;
        size_t left;
    } rows[] = {
        /* 10000h to 10fffh, 11000h to 11fffh, 20000h to 23fffh */
        {"one", 0x11000, 0x1000, 0, 0x1000, 2},
        {"two at once", 0x10000, 0x2000, 0, 0x2000, 1},
        {"all, and what lies between", 0, 0x100000, 0, 0x6000, 0},
        {"where there is nothing", 0x30000, 0x1000, 0, 0, 3},
        {"the front of one", 0x20000, 0x1000, EINVAL, 0, 3},
        {"the back of one", 0x21000, 0x3000, EINVAL, 0, 3},
        {"one, and the front of another", 0x11000, 0x10000, EINVAL, 0, 3},
        {"no bytes", 0x11000, 0, EINVAL, 0, 3},
        {"around the end of all addresses", 0x11000, UINT64_MAX, EINVAL, 0, 3},
    };
    const int fd = make_file(FILE_LEN, F_SEAL_SHRINK);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct vfu_dma dma = {0};
        uint64_t bytes = 0;
        map(&dma, fd, 0x20000, 0x4000, 0);
        map(&dma, fd, 0x10000, 0x1000, 0);
        map(&dma, fd, 0x11000, 0x1000, 0x1000);
        const int got = vfu_dma_unmap(&dma, rows[i].iova, rows[i].size, &bytes);
        if (got != rows[i].want || bytes != rows[i].bytes || dma.count != rows[i].left)
            fail_msg("%s: got %d, 0x%jx bytes, %zu left; want %d, 0x%jx, %zu", rows[i].rule, got, (uintmax_t)bytes,
                     dma.count, rows[i].want, (uintmax_t)rows[i].bytes, rows[i].left);
        vfu_dma_release(&dma);
    }
    close(fd);
}

static void test_access(void **state)
{
    (void)state;
    static const struct {
        const char *rule;
        uint64_t iova;
        size_t len;
        bool reads, writes;
    } rows[] = {
        /* 10000h and 11000h are neighbours in reverse; 12000h read only, 13000h write only, 14000h without memory */
        {"one page", 0x10000, PAGE, true, true},       {"over the seam of two regions", 0x10ffc, 8, true, true},
        {"nothing at all", 0x50000, 0, true, true},    {"a byte before the first", 0xffff, 2, false, false},
        {"behind the last", 0x15000, 1, false, false}, {"to read only", 0x12000, 16, true, false},
        {"to write only", 0x13000, 16, false, true},   {"into one that is to read only", 0x11ff8, 16, true, false},
        {"without memory", 0x14000, 1, false, false},  {"at the end of all addresses", UINT64_MAX - 3, 8, false, false},
    };
    const int fd = make_file(FILE_LEN, F_SEAL_SHRINK);
    struct vfu_dma dma = {0};
    bool usable;
    map(&dma, fd, 0x10000, PAGE, PAGE);
    map(&dma, fd, 0x11000, PAGE, 0);
    vfu_dma_map(&dma, &(struct vfu_mapping){.iova = 0x12000, .size = PAGE, .fd = fd, .can_read = true}, &usable);
    vfu_dma_map(&dma, &(struct vfu_mapping){.iova = 0x13000, .size = PAGE, .fd = fd, .can_write = true}, &usable);
    map(&dma, -1, 0x14000, PAGE, 0);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        static uint8_t bytes[PAGE];
        const bool reads = vfu_dma_read(&dma, rows[i].iova, bytes, rows[i].len);
        const bool writes = vfu_dma_write(&dma, rows[i].iova, bytes, rows[i].len);
        if (reads != rows[i].reads || writes != rows[i].writes)
            fail_msg("%s: reads %d, writes %d; want %d, %d", rows[i].rule, reads, writes, rows[i].reads,
                     rows[i].writes);
    }
    char seam[8] = "";
    assert_true(vfu_dma_write(&dma, 0x10ffc, "abcdefg", 8));
    assert_int_equal(pread(fd, seam, 4, 2 * PAGE - 4), 4);
    assert_int_equal(pread(fd, seam + 4, 4, 0), 4);
    assert_string_equal(seam, "abcdefg");
    vfu_dma_release(&dma);
    close(fd);
}

/* Memory that can be cut short under us is not touched: that would be SIGBUS. */
static void test_only_what_lasts(void **state)
{
    uint8_t byte;
    (void)state;
    const int soft = make_file(FILE_LEN, F_SEAL_GROW);
    int pipes[2];
    assert_int_equal(pipe(pipes), 0);
    struct vfu_dma dma = {0};
    bool usable = true;
    struct vfu_mapping mapping = {.size = PAGE, .fd = soft, .can_read = true, .can_write = true};
    assert_int_equal(vfu_dma_map(&dma, &mapping, &usable), 0);
    assert_false(usable);
    assert_int_equal(ftruncate(soft, 0), 0);
    assert_false(vfu_dma_read(&dma, 0, &byte, 1));
    mapping.iova = PAGE;
    mapping.fd = pipes[0];
    assert_int_equal(vfu_dma_map(&dma, &mapping, &usable), 0);
    assert_false(usable);
    assert_false(vfu_dma_read(&dma, PAGE, &byte, 1));
    vfu_dma_release(&dma);
    close(soft);
    close(pipes[0]);
    close(pipes[1]);
}

/* A virtual IOMMU maps page by page, in any order. */
static void test_many(void **state)
{
    enum { COUNT = 20000, STEP = 7919 }; /* a prime: each page once */
    (void)state;
    const int fd = make_file(FILE_LEN, F_SEAL_SHRINK);
    struct vfu_dma dma = {0};
    uint64_t bytes, value;
    for (uint64_t i = 0; i < COUNT; i++)
        assert_int_equal(map(&dma, fd, i * STEP % COUNT * PAGE, PAGE, i % 16 * PAGE), 0);
    assert_int_equal(dma.files[0].used, COUNT);
    assert_null(dma.files[1].at);
    for (uint64_t i = 0; i < COUNT; i += 1009)
        assert_true(vfu_dma_read(&dma, i * PAGE, &value, sizeof(value)));
    for (uint64_t i = 0; i < COUNT; i += 2)
        assert_int_equal(vfu_dma_unmap(&dma, i * PAGE, PAGE, &bytes), 0);
    assert_int_equal(dma.count, COUNT / 2);
    assert_false(vfu_dma_read(&dma, 0, &value, sizeof(value)));
    assert_true(vfu_dma_read(&dma, PAGE, &value, sizeof(value)));
    assert_int_equal(vfu_dma_clear(&dma), (uint64_t)COUNT / 2 * PAGE);
    assert_null(dma.files[0].at); /* nobody needs it */
    for (uint64_t i = 0; i < VFU_MAPS_MAX; i++)
        assert_int_equal(map(&dma, -1, i * PAGE, PAGE, 0), 0);
    assert_int_equal(map(&dma, -1, UINT64_MAX - PAGE, PAGE, 0), ENOSPC);
    vfu_dma_release(&dma);
    close(fd);
}

static void test_many_files(void **state)
{
    int fds[VFU_FILES_MAX + 1];
    struct vfu_dma dma = {0};
    uint64_t bytes;
    (void)state;
    for (uint64_t i = 0; i <= VFU_FILES_MAX; i++) {
        fds[i] = make_file(FILE_LEN, F_SEAL_SHRINK);
        assert_int_equal(map(&dma, fds[i], i * PAGE, PAGE, 0), i < VFU_FILES_MAX ? 0 : ENOSPC);
    }
    assert_int_equal(vfu_dma_unmap(&dma, 0, PAGE, &bytes), 0);
    assert_int_equal(map(&dma, fds[VFU_FILES_MAX], 0, PAGE, 0), 0);
    vfu_dma_release(&dma);
    for (size_t i = 0; i <= VFU_FILES_MAX; i++)
        close(fds[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_map),    cmocka_unit_test(test_unmap),
        cmocka_unit_test(test_access), cmocka_unit_test(test_only_what_lasts),
        cmocka_unit_test(test_many),   cmocka_unit_test(test_many_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
