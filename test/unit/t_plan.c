#include "core/plan.h"

#include "base/rng.h"
#include "core/erase.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define MIB (1ull << 20)
#define GIB (1ull << 30)
#define G 1000000000ull

static const struct slice_class c500 = {.name = {"500G"}, .nominal_bytes = 500 * G, .tolerance_ppm = 10000};

/* ---- the size of a slice -------------------------------------------------------------------------------------- */

static const struct {
    const char *rule;
    uint64_t nominal, granule;
    uint32_t ppm;
    uint64_t expect;
} sizes[] = {
    {"500G with no granule known is 465 GiB", 500 * G, 0, 10000, 499289948160},
    {"500G on a granule of 1 byte is 465 GiB", 500 * G, 1, 10000, 499289948160},
    {"500G on a granule of 512 bytes is 465 GiB", 500 * G, 512, 10000, 499289948160},
    {"500G on a granule of 1 GiB is 465 GiB", 500 * G, GIB, 10000, 499289948160},
    {"500G on a granule of 2 GiB is 464 GiB", 500 * G, 2 * GIB, 10000, 464 * GIB},
    {"500G on a granule of 8 GiB is 464 GiB", 500 * G, 8 * GIB, 10000, 464 * GIB},
    {"500G on 64 GiB would be 448 GiB, beyond the tolerance: up to 512 GiB", 500 * G, 64 * GIB, 10000, 512 * GIB},
    {"with 4 % tolerance 448 GiB are enough", 500 * G, 64 * GIB, 40000, 448 * GIB},
    {"without tolerance it is rounded up", 500 * G, 0, 0, 466 * GIB},
    {"an exact number stays, without tolerance too", 465 * GIB, GIB, 0, 465 * GIB},
    {"exactly at the tolerance is within it", 100 * GIB, 99 * GIB, 10000, 99 * GIB},
    {"just beyond the tolerance is not", 100 * GIB, 99 * GIB, 9999, 198 * GIB},
    {"a granule of 3 GiB counts in 3 GiB", 500 * G, 3 * GIB, 10000, 465 * GIB},
    {"a decimal granule counts alone", 500 * G, 16 * G, 10000, 496 * G},
    {"a decimal granule is rounded up where down is too small", 500 * G, 16 * G, 1000, 512 * G},
    {"1 GB granule: 500 GB exactly", 500 * G, G, 10000, 500 * G},
    {"a granule larger than the class gives one granule", 500 * G, 1024 * GIB, 10000, 1024 * GIB},
    {"a class of 64 GiB counts in GiB", 64 * GIB + 5 * MIB, 0, 10000, 64 * GIB},
    {"a class below 64 GiB counts in MiB", 64 * GIB - 1, 0, 10000, 64 * GIB - MIB},
    {"a small test class: 64M is 61 MiB", 64000000, 4096, 10000, 61 * MIB},
    {"a small test class: 10M would be 9 MiB, beyond the tolerance: up to 10 MiB", 10000000, 4096, 10000, 10 * MIB},
    {"a class below 1 MiB is rounded up to it", 1000, 0, 10000, MIB},
    {"size 0 is none", 0, 0, 10000, 0},
    {"a tolerance of 100 % is none", 500 * G, 0, 1000000, 0},
    {"a tolerance of just below 100 % is one", 500 * G, 0, 999999, 499289948160},
    {"what cannot be rounded up within 64 bits is none", UINT64_MAX - 5, GIB, 0, 0},
    {"... nor with a granule that is no power of two", UINT64_MAX - 5, 3 * GIB, 0, 0},
    {"the largest granule is none", 500 * G, UINT64_MAX, 10000, 0},
    {"large numbers do not overflow in the tolerance", 16000000ull * G, 0, 10000, 16000000ull * G / GIB *GIB},
};

static void test_sizes(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        const struct slice_class class = {.nominal_bytes = sizes[i].nominal, .tolerance_ppm = sizes[i].ppm};
        const uint64_t got = plan_slice_bytes(&class, sizes[i].granule);
        if (got != sizes[i].expect)
            fail_msg("%s: got %" PRIu64 ", want %" PRIu64, sizes[i].rule, got, sizes[i].expect);
    }
}

/* ---- the layout ----------------------------------------------------------------------------------------------- */

/* A drive that can everything, with one namespace over the whole of it; rows change what they are about. */
static struct drive_seen drive_of(uint64_t total)
{
    struct drive_seen drive = {
        .caps = {.cntlid = 5,
                 .ns_management = true,
                 .format = true,
                 .fna = 4,
                 .nn = 128,
                 .ns_max = 128,
                 .total_bytes = total,
                 .lbaf = {{.block_bytes = 512}, {.block_bytes = 4096}},
                 .lbaf_count = 2},
        .ns = {{.nsid = {1}, .attached = true, .block_bytes = 512, .size_blocks = total / 512, .nvmcap_bytes = total}},
        .ns_count = 1,
    };
    return drive;
}

/* clang-format off */
enum change {
    AS_IT_IS, TOTAL_NOT_REPORTED, TOTAL_NOR_COST_REPORTED, HALF_FREE, NN_1, NN_3, NN_0, MNAN_2, NN_LARGE,
    GRANULE_8G, NSG_8G_ONLY, NCG_8G_ONLY, NSG_2G_NCG_3G, GRANULE_16_DECIMAL, GRANULE_1_DECIMAL,
    GRANULES_WITHOUT_COMMON, NO_NS_MANAGEMENT, NO_FORMATS, META_ONLY, META_ON_4096, FASTER_512,
    FASTER_4096_LAST, ONLY_8192, ALSO_8192, UNAVAILABLE_FIRST, NO_NAMESPACE, TWO_NAMESPACES, NOT_DESCRIBED,
    NO_SIZE, WHOLE_WITH_META, WHOLE_8192, WHOLE_4096, WHOLE_UNKNOWN_FORMAT, NO_TOTAL_AT_ALL, TOTAL_TOO_SMALL,
    FREE_TOO_LARGE,
};
/* clang-format on */

static void formats(struct drive_seen *drive, const struct lba_format *from, size_t count)
{
    memset(drive->caps.lbaf, 0, sizeof(drive->caps.lbaf));
    for (size_t i = 0; i < count; i++)
        drive->caps.lbaf[i] = from[i];
    drive->caps.lbaf_count = count;
}

#define FORMATS(drive, ...)                                  \
    formats(drive, (const struct lba_format[]){__VA_ARGS__}, \
            sizeof((const struct lba_format[]){__VA_ARGS__}) / sizeof(struct lba_format))

static void granules(struct drive_seen *drive, uint64_t nsg, uint64_t ncg)
{
    drive->caps.granularity_list = true;
    drive->caps.nsg_bytes = nsg;
    drive->caps.ncg_bytes = ncg;
}

static void change_limits(struct drive_seen *drive, enum change change)
{
    struct drive_caps *caps = &drive->caps;
    if (change == TOTAL_NOT_REPORTED || change == TOTAL_NOR_COST_REPORTED || change == NO_TOTAL_AT_ALL)
        caps->total_bytes = 0;
    if (change == TOTAL_NOR_COST_REPORTED || change == NO_TOTAL_AT_ALL)
        drive->ns[0].nvmcap_bytes = 0;
    if (change == NO_TOTAL_AT_ALL)
        drive->ns_count = 0;
    if (change == TOTAL_TOO_SMALL)
        caps->total_bytes /= 2;
    if (change == FREE_TOO_LARGE) {
        caps->total_bytes = 0;
        caps->free_bytes = UINT64_MAX - 1;
    }
    if (change == HALF_FREE) {
        caps->free_bytes = caps->total_bytes / 2;
        drive->ns[0].nvmcap_bytes = caps->total_bytes - caps->free_bytes;
        caps->total_bytes = 0;
    }
    if (change == NN_1)
        caps->nn = caps->ns_max = 1;
    if (change == NN_3)
        caps->nn = 3;
    if (change == NN_0)
        caps->nn = 0;
    if (change == MNAN_2)
        caps->ns_max = 2;
    if (change == NN_LARGE)
        caps->nn = caps->ns_max = 4096;
}

static void change_granules(struct drive_seen *drive, enum change change)
{
    if (change == GRANULE_8G)
        granules(drive, 8 * GIB, 8 * GIB);
    if (change == NSG_8G_ONLY)
        granules(drive, 8 * GIB, 0);
    if (change == NCG_8G_ONLY)
        granules(drive, 0, 8 * GIB);
    if (change == NSG_2G_NCG_3G)
        granules(drive, 2 * GIB, 3 * GIB);
    if (change == GRANULE_16_DECIMAL)
        granules(drive, 16 * G, 16 * G);
    if (change == GRANULE_1_DECIMAL)
        granules(drive, G, G);
    if (change == GRANULES_WITHOUT_COMMON)
        granules(drive, (1ull << 62) + 1, (1ull << 61) + 1);
}

static void change_formats(struct drive_seen *drive, enum change change)
{
    if (change == NO_FORMATS)
        drive->caps.lbaf_count = 0;
    if (change == META_ONLY)
        FORMATS(drive, {.block_bytes = 512, .meta_bytes = 8}, {.block_bytes = 4096, .meta_bytes = 64});
    if (change == META_ON_4096)
        FORMATS(drive, {.block_bytes = 512}, {.block_bytes = 4096, .meta_bytes = 8});
    if (change == FASTER_512)
        FORMATS(drive, {.block_bytes = 512, .performance = 0}, {.block_bytes = 4096, .performance = 1});
    if (change == FASTER_4096_LAST)
        FORMATS(drive, {.block_bytes = 512, .performance = 2}, {.block_bytes = 512, .meta_bytes = 8, .performance = 0},
                {.block_bytes = 4096, .performance = 1}, {.block_bytes = 4096, .performance = 1});
    if (change == ONLY_8192)
        FORMATS(drive, {.block_bytes = 8192});
    if (change == ALSO_8192)
        FORMATS(drive, {.block_bytes = 8192}, {.block_bytes = 512, .performance = 1});
    if (change == UNAVAILABLE_FIRST)
        FORMATS(drive, {.block_bytes = 0}, {.block_bytes = 512, .performance = 3});
}

static void change_namespaces(struct drive_seen *drive, enum change change)
{
    if (change == NO_NS_MANAGEMENT)
        drive->caps.ns_management = false;
    if (change == NO_NAMESPACE)
        drive->ns_count = 0;
    if (change == TWO_NAMESPACES)
        drive->ns_count = 2;
    if (change == NOT_DESCRIBED)
        drive->ns[0].block_bytes = 0;
    if (change == NO_SIZE)
        drive->ns[0].size_blocks = 0;
    if (change == WHOLE_WITH_META)
        drive->caps.lbaf[0].meta_bytes = 8;
    if (change == WHOLE_8192)
        drive->ns[0].block_bytes = 8192;
    if (change == WHOLE_UNKNOWN_FORMAT) { /* what lies behind the last format says nothing */
        drive->ns[0].lbaf = 2;
        drive->caps.lbaf[2].meta_bytes = 8;
    }
    if (change == WHOLE_4096) {
        drive->ns[0].lbaf = 1;
        drive->ns[0].block_bytes = 4096;
        drive->ns[0].size_blocks /= 8;
    }
}

#define TB2 2000398934016ull
#define TB192 1920383410176ull
#define TB4 4000787030016ull
#define S465 499289948160ull

static const struct {
    const char *rule;
    uint64_t total;
    enum change change;
    enum provider provider;
    uint32_t count;
    uint8_t lbaf;
    uint32_t block_bytes;
    uint64_t slice_bytes, cost, stranded;
} layouts[] = {
    {"a 2 TB drive gives 4 slices of 465 GiB", TB2, AS_IT_IS, PROVIDER_NAMESPACE, 4, 1, 4096, S465, S465, 3239141376},
    {"a granule of 8 GiB gives 464 GiB", TB2, GRANULE_8G, PROVIDER_NAMESPACE, 4, 1, 4096, 464 * GIB, 464 * GIB,
     TB2 - 4 * 464 * GIB},
    {"the size granularity alone counts", TB2, NSG_8G_ONLY, PROVIDER_NAMESPACE, 4, 1, 4096, 464 * GIB, 464 * GIB,
     TB2 - 4 * 464 * GIB},
    {"the capacity granularity alone counts", TB2, NCG_8G_ONLY, PROVIDER_NAMESPACE, 4, 1, 4096, 464 * GIB, 464 * GIB,
     TB2 - 4 * 464 * GIB},
    {"two granularities: whole in both (6 GiB: 462 GiB)", TB2, NSG_2G_NCG_3G, PROVIDER_NAMESPACE, 4, 1, 4096, 462 * GIB,
     462 * GIB, TB2 - 4 * 462 * GIB},
    {"a granule of 16 GB gives 496 GB", TB2, GRANULE_16_DECIMAL, PROVIDER_NAMESPACE, 4, 1, 4096, 496 * G, 496 * G,
     TB2 - 4 * 496 * G},
    {"a granule that is no whole number of blocks: of both (8 x 1 GB)", TB2, GRANULE_1_DECIMAL, PROVIDER_NAMESPACE, 4,
     1, 4096, 496 * G, 496 * G, TB2 - 4 * 496 * G},
    {"granules without a common multiple: nothing fits", TB2, GRANULES_WITHOUT_COMMON, PROVIDER_NAMESPACE, 0, 1, 4096,
     0, 0, TB2},
    {"a 1.92 TB drive gives 3 slices, 22.0 % are stranded", TB192, AS_IT_IS, PROVIDER_NAMESPACE, 3, 1, 4096, S465, S465,
     422513565696},
    {"a P4510 of 4 TB gives 8 slices", TB4, AS_IT_IS, PROVIDER_NAMESPACE, 8, 1, 4096, S465, S465, TB4 - 8 * S465},
    {"an exact fit fits", 4 * S465, AS_IT_IS, PROVIDER_NAMESPACE, 4, 1, 4096, S465, S465, 0},
    {"one byte short is one slice less", 4 * S465 - 1, AS_IT_IS, PROVIDER_NAMESPACE, 3, 1, 4096, S465, S465, S465 - 1},
    {"nothing fits: count 0 and no error", 400 * G, AS_IT_IS, PROVIDER_NAMESPACE, 0, 1, 4096, S465, S465, 400 * G},
    {"a drive that does not report its total: the namespaces' cost", TB2, TOTAL_NOT_REPORTED, PROVIDER_NAMESPACE, 4, 1,
     4096, S465, S465, 3239141376},
    {"... or their size where the cost is not reported", TB2, TOTAL_NOR_COST_REPORTED, PROVIDER_NAMESPACE, 4, 1, 4096,
     S465, S465, 3239141376},
    {"... and what is free", TB2, HALF_FREE, PROVIDER_NAMESPACE, 4, 1, 4096, S465, S465, 3239141376},
    {"a drive of which nothing is known holds nothing", TB2, NO_TOTAL_AT_ALL, PROVIDER_NAMESPACE, 0, 1, 4096, S465,
     S465, 0},
    {"NN 1 is count 1", TB2, NN_1, PROVIDER_NAMESPACE, 1, 1, 4096, S465, S465, TB2 - S465},
    {"at most NN", TB2, NN_3, PROVIDER_NAMESPACE, 3, 1, 4096, S465, S465, TB2 - 3 * S465},
    {"at most MNAN", TB2, MNAN_2, PROVIDER_NAMESPACE, 2, 1, 4096, S465, S465, TB2 - 2 * S465},
    {"NN 0 is count 0", TB2, NN_0, PROVIDER_NAMESPACE, 0, 1, 4096, S465, S465, TB2},
    {"at most as many as a scan looks at", 1000 * S465, NN_LARGE, PROVIDER_NAMESPACE, DRIVE_NS_MAX, 1, 4096, S465, S465,
     (1000 - DRIVE_NS_MAX) * S465},
    {"a format with metadata is not taken", TB2, META_ON_4096, PROVIDER_NAMESPACE, 4, 0, 512, S465, S465, 3239141376},
    {"the faster format wins over the larger", TB2, FASTER_512, PROVIDER_NAMESPACE, 4, 0, 512, S465, S465, 3239141376},
    {"the first of equal formats, passing over metadata", TB2, FASTER_4096_LAST, PROVIDER_NAMESPACE, 4, 2, 4096, S465,
     S465, 3239141376},
    {"blocks above 4096 bytes are not taken", TB2, ALSO_8192, PROVIDER_NAMESPACE, 4, 1, 512, S465, S465, 3239141376},
    {"a format that is not available is not taken", TB2, UNAVAILABLE_FIRST, PROVIDER_NAMESPACE, 4, 1, 512, S465, S465,
     3239141376},
    {"a drive without namespaces can be cut", TB2, NO_NAMESPACE, PROVIDER_NAMESPACE, 4, 1, 4096, S465, S465,
     3239141376},
    {"whole: the namespace as it is", TB2, AS_IT_IS, PROVIDER_WHOLE, 1, 0, 512, TB2, TB2, TB2 - 500 * G},
    {"whole: in its own LBA format", TB2, WHOLE_4096, PROVIDER_WHOLE, 1, 1, 4096, TB2, TB2, TB2 - 500 * G},
    {"whole: needs no namespace management", TB2, NO_NS_MANAGEMENT, PROVIDER_WHOLE, 1, 0, 512, TB2, TB2, TB2 - 500 * G},
    {"whole: the cost is the size where it is not reported", TB2, TOTAL_NOR_COST_REPORTED, PROVIDER_WHOLE, 1, 0, 512,
     TB2, TB2, TB2 - 500 * G},
    {"whole: needs no description of the formats", TB2, NO_FORMATS, PROVIDER_WHOLE, 1, 0, 512, TB2, TB2, TB2 - 500 * G},
    {"whole: smaller than the class promises does not fit", 494 * G, AS_IT_IS, PROVIDER_WHOLE, 0, 0, 512,
     494 * G / 512 * 512, 494 * G, 494 * G},
    {"whole: within the tolerance fits", 495 * G, AS_IT_IS, PROVIDER_WHOLE, 1, 0, 512, 495 * G / 512 * 512, 495 * G, 0},
    {"whole: what is not in the namespace is stranded", TB2, HALF_FREE, PROVIDER_WHOLE, 1, 0, 512, TB2, TB2 / 2,
     TB2 - 500 * G},
    {"whole: what is beyond the nominal size is stranded", 8 * TB2, AS_IT_IS, PROVIDER_WHOLE, 1, 0, 512, 8 * TB2, 8 * TB2,
     8 * TB2 - 500 * G},
    {"whole: a total smaller than the namespace is believed", TB2, TOTAL_TOO_SMALL, PROVIDER_WHOLE, 1, 0, 512, TB2,
     TB2, TB2 / 2 - 500 * G},
    {"whole: a format beyond those that are known", TB2, WHOLE_UNKNOWN_FORMAT, PROVIDER_WHOLE, 1, 2, 512, TB2, TB2, TB2 - 500 * G},
    {"numbers that a drive makes up do not wrap around", TB2, FREE_TOO_LARGE, PROVIDER_NAMESPACE, DRIVE_NS_MAX, 1, 4096,
     S465, S465, UINT64_MAX - DRIVE_NS_MAX *S465},
};

static void apply_change(struct drive_seen *drive, enum change change)
{
    change_limits(drive, change);
    change_granules(drive, change);
    change_formats(drive, change);
    change_namespaces(drive, change);
}

static void test_layouts(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(layouts) / sizeof(layouts[0]); i++) {
        struct drive_seen drive = drive_of(layouts[i].total);
        apply_change(&drive, layouts[i].change);
        struct layout got;
        struct err err = {0};
        if (!plan_layout(&drive, &c500, layouts[i].provider, &got, &err))
            fail_msg("%s: got error '%s'", layouts[i].rule, err.msg);
        if (err.kind != ERR_NONE || got.provider != layouts[i].provider || strcmp(got.class.v, "500G") != 0)
            fail_msg("%s: provider %d class '%s'", layouts[i].rule, (int)got.provider, got.class.v);
        if (got.count != layouts[i].count || got.lbaf != layouts[i].lbaf || got.block_bytes != layouts[i].block_bytes ||
            got.slice_bytes != layouts[i].slice_bytes || got.cost_bytes != layouts[i].cost ||
            got.stranded_bytes != layouts[i].stranded ||
            got.slice_blocks != layouts[i].slice_bytes / layouts[i].block_bytes)
            fail_msg("%s: got %" PRIu32 " x %" PRIu64 " (%" PRIu64 " blocks of %" PRIu32 ", format %u), cost %" PRIu64
                     ", stranded %" PRIu64 "; want %" PRIu32 " x %" PRIu64 " (blocks of %" PRIu32
                     ", format %u), cost %" PRIu64 ", stranded %" PRIu64,
                     layouts[i].rule, got.count, got.slice_bytes, got.slice_blocks, got.block_bytes, (unsigned)got.lbaf,
                     got.cost_bytes, got.stranded_bytes, layouts[i].count, layouts[i].slice_bytes,
                     layouts[i].block_bytes, (unsigned)layouts[i].lbaf, layouts[i].cost, layouts[i].stranded);
    }
}

static const struct {
    const char *rule;
    enum change change;
    enum provider provider;
    uint64_t nominal;
    uint32_t ppm;
    const char *says; /* part of the message that names the cause */
} refused[] = {
    {"no namespace management", NO_NS_MANAGEMENT, PROVIDER_NAMESPACE, 500 * G, 10000, "no namespace management"},
    {"no LBA format without metadata", META_ONLY, PROVIDER_NAMESPACE, 500 * G, 10000, "without metadata"},
    {"no LBA format known", NO_FORMATS, PROVIDER_NAMESPACE, 500 * G, 10000, "does not say which LBA formats"},
    {"only LBA formats that are too large", ONLY_8192, PROVIDER_NAMESPACE, 500 * G, 10000, "512 to 4096"},
    {"whole and no namespace", NO_NAMESPACE, PROVIDER_WHOLE, 500 * G, 10000, "has 0 namespaces"},
    {"whole and two namespaces", TWO_NAMESPACES, PROVIDER_WHOLE, 500 * G, 10000, "has 2 namespaces"},
    {"whole and a namespace that is not described", NOT_DESCRIBED, PROVIDER_WHOLE, 500 * G, 10000,
     "size of namespace 1"},
    {"whole and a namespace of no size", NO_SIZE, PROVIDER_WHOLE, 500 * G, 10000, "size of namespace 1"},
    {"whole and metadata", WHOLE_WITH_META, PROVIDER_WHOLE, 500 * G, 10000, "512 + 8 bytes"},
    {"whole and large blocks", WHOLE_8192, PROVIDER_WHOLE, 500 * G, 10000, "8192 + 0 bytes"},
    {"a class of size 0", AS_IT_IS, PROVIDER_NAMESPACE, 0, 10000, "class 'c': its size is 0"},
    {"a class of size 0, whole", AS_IT_IS, PROVIDER_WHOLE, 0, 10000, "class 'c': its size is 0"},
    {"a class that may be anything", AS_IT_IS, PROVIDER_NAMESPACE, 500 * G, 1000000, "its tolerance is 100 %"},
    {"no provider", AS_IT_IS, PROVIDER_NONE, 500 * G, 10000, "no provider"},
    {"a provider that does not exist", AS_IT_IS, PROVIDER_COUNT, 500 * G, 10000, "no provider"},
};

static void test_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        struct drive_seen drive = drive_of(TB2);
        apply_change(&drive, refused[i].change);
        struct layout got, before;
        memset(&got, 0x5a, sizeof(got));
        memcpy(&before, &got, sizeof(got));
        struct err err = {0};
        const struct slice_class class = {
            .name = {"c"}, .nominal_bytes = refused[i].nominal, .tolerance_ppm = refused[i].ppm};
        if (plan_layout(&drive, &class, refused[i].provider, &got, &err))
            fail_msg("%s: accepted", refused[i].rule);
        if (err.kind != ERR_INPUT || strncmp(err.msg, "cannot ", 7) != 0 || strstr(err.msg, refused[i].says) == NULL)
            fail_msg("%s: got %s '%s', want '%s'", refused[i].rule, err_kind_name(err.kind), err.msg, refused[i].says);
        assert_memory_equal(&got, &before, sizeof(got));
    }
}

/* ---- any drive ------------------------------------------------------------------------------------------------ */

static const uint64_t some_granules[] = {0,       1,         512,     4096,     MIB,      64 * MIB,
                                         GIB,     2 * GIB,   8 * GIB, 16 * GIB, G,        16 * G,
                                         3 * GIB, 100 * MIB, 1000000, 7 * 4096, 97 * MIB, 1ull << 40};

static uint64_t pick_granule(struct rng *rng)
{
    return some_granules[rng_below(rng, sizeof(some_granules) / sizeof(some_granules[0]))];
}

static void check_layout(const struct drive_seen *drive, const struct slice_class *class, const struct layout *layout)
{
    const uint64_t slice = layout->slice_bytes, total = drive->caps.total_bytes;
    const uint64_t within = class->nominal_bytes / 1000000 * class->tolerance_ppm + class->tolerance_ppm;
    assert_true(layout->count <= drive->caps.nn && layout->count <= drive->caps.ns_max &&
                layout->count <= DRIVE_NS_MAX);
    assert_int_equal(layout->stranded_bytes + layout->count * layout->cost_bytes, total); /* nothing is lost */
    if (slice == 0) {
        assert_int_equal(layout->count, 0);
        return;
    }
    assert_int_equal(layout->slice_blocks * layout->block_bytes, slice);
    assert_true(drive->caps.nsg_bytes == 0 || slice % drive->caps.nsg_bytes == 0);
    assert_true(drive->caps.ncg_bytes == 0 || slice % drive->caps.ncg_bytes == 0);
    assert_true(layout->cost_bytes >= slice);
    assert_true(slice + within >= class->nominal_bytes);
    const bool limited =
        layout->count == drive->caps.nn || layout->count == drive->caps.ns_max || layout->count == DRIVE_NS_MAX;
    assert_true(limited || layout->stranded_bytes < layout->cost_bytes); /* one more would not have fitted */
}

static void test_any_drive(void **state)
{
    (void)state;
    struct rng rng = {.state = 20260801};
    for (unsigned i = 0; i < 20000; i++) {
        struct drive_seen drive = drive_of(GIB + rng_below(&rng, 30000 * G));
        granules(&drive, pick_granule(&rng), pick_granule(&rng));
        drive.caps.nn = 1 + (uint32_t)rng_below(&rng, 200);
        drive.caps.ns_max = 1 + (uint32_t)rng_below(&rng, 200);
        drive.caps.lbaf[1].performance = (uint8_t)rng_below(&rng, 2);
        const struct slice_class class = {.nominal_bytes = MIB + rng_below(&rng, i % 2 == 0 ? 2000 * G : 100 * GIB),
                                          .tolerance_ppm = (uint32_t)rng_below(&rng, 50000)};
        struct layout layout;
        struct err err = {0};
        assert_true(plan_layout(&drive, &class, PROVIDER_NAMESPACE, &layout, &err));
        check_layout(&drive, &class, &layout);
    }
}

/* ---- the plan in words ---------------------------------------------------------------------------------------- */

static void expect_lines(const struct drive_seen *drive, enum provider provider, const struct plan_line *want,
                         size_t count)
{
    struct layout layout;
    struct err err = {0};
    assert_true(plan_layout(drive, &c500, provider, &layout, &err));
    struct plan_line got;
    for (size_t i = 0; i < count; i++) {
        if (!plan_line(drive, &layout, i, &got))
            fail_msg("no line %zu, want '%s'", i, want[i].text);
        assert_string_equal(got.text, want[i].text);
        assert_string_equal(got.command, want[i].command);
    }
    memset(&got, 0x5a, sizeof(got));
    const struct plan_line before = got;
    for (size_t i = count; i < count + 3; i++)
        if (plan_line(drive, &layout, i, &got))
            fail_msg("a line %zu too many: '%s'", i, got.text);
    assert_memory_equal(&got, &before, sizeof(got));
}

#define EXPECT_LINES(drive, provider, lines) expect_lines(drive, provider, lines, sizeof(lines) / sizeof((lines)[0]))

static void test_lines_namespace(void **state)
{
    (void)state;
    struct drive_seen drive = drive_of(TB192);
    drive.ns[1] = (struct ns_seen){.nsid = {7}, .nvmcap_bytes = 0, .block_bytes = 4096, .size_blocks = 250000000};
    drive.ns_count = 2;
    static const struct plan_line want[] = {
        {"detach and delete namespace 1 (1.9 TB): its data is lost",
         "Namespace Attachment 15h: detach, NSID 1, CNTLID 5; Namespace Management 0Dh: delete, NSID 1"},
        {"delete namespace 7 (1.0 TB): its data is lost", "Namespace Management 0Dh: delete, NSID 7"},
        {"create slice 1 of 3: 465.0 GiB (499.2 GB), blocks of 4096 bytes",
         "Namespace Management 0Dh: create, NSZE 121896960, NCAP 121896960, FLBAS 1, NMIC 0"},
        {"create slice 2 of 3: 465.0 GiB (499.2 GB), blocks of 4096 bytes",
         "Namespace Management 0Dh: create, NSZE 121896960, NCAP 121896960, FLBAS 1, NMIC 0"},
        {"create slice 3 of 3: 465.0 GiB (499.2 GB), blocks of 4096 bytes",
         "Namespace Management 0Dh: create, NSZE 121896960, NCAP 121896960, FLBAS 1, NMIC 0"},
        {"attach each new namespace to controller 5", "Namespace Attachment 15h: attach, NSID as created, CNTLID 5"},
        {"erase each slice before its first use: format-crypto", "Format NVM 80h: SES 2, LBAF 1, NSID as created"},
        {"verify each slice: none of the blocks read may hold what was there before",
         "Read 02h: 64 marked, 64 remembered and 128 random blocks of each"},
    };
    EXPECT_LINES(&drive, PROVIDER_NAMESPACE, want);
}

static void test_lines_512(void **state)
{
    (void)state;
    struct drive_seen drive = drive_of(S465);
    drive.caps.lbaf_count = 1;
    drive.ns_count = 0;
    static const struct plan_line want[] = {
        {"create slice 1 of 1: 465.0 GiB (499.2 GB), blocks of 512 bytes",
         "Namespace Management 0Dh: create, NSZE 975175680, NCAP 975175680, FLBAS 0, NMIC 0"},
        {"attach the new namespace to controller 5", "Namespace Attachment 15h: attach, NSID as created, CNTLID 5"},
        {"erase each slice before its first use: format-crypto", "Format NVM 80h: SES 2, LBAF 0, NSID as created"},
        {"verify each slice: none of the blocks read may hold what was there before",
         "Read 02h: 64 marked, 64 remembered and 128 random blocks of each"},
    };
    EXPECT_LINES(&drive, PROVIDER_NAMESPACE, want);
}

static void test_lines_whole(void **state)
{
    (void)state;
    struct drive_seen drive = drive_of(TB192);
    drive.caps.fna = 3; /* alone on its drive, it may be formatted all the same */
    static const struct plan_line want[] = {
        {"erase namespace 1 (1.9 TB) and verify it, format-user-data: its data is lost",
         "Format NVM 80h: SES 1, LBAF 0, NSID 1"},
    };
    EXPECT_LINES(&drive, PROVIDER_WHOLE, want);
}

static void test_no_lines_when_nothing_fits(void **state)
{
    (void)state;
    const struct drive_seen drive = drive_of(400 * G);
    expect_lines(&drive, PROVIDER_NAMESPACE, NULL, 0);
    expect_lines(&drive, PROVIDER_WHOLE, NULL, 0);
}

static const struct {
    const char *rule;
    struct drive_caps caps;
    uint64_t total;
    const char *text, *command;
} erases[] = {
    {"several on the drive, an erase that hits all: overwrite",
     {.format = true, .fna = 6},
     TB2,
     "erase each slice before its first use: overwrite",
     "Write 01h: random data to every block, then Flush 00h, NSID as created"},
    {"one on the drive: format it may be",
     {.format = true, .fna = 6},
     S465,
     "erase each slice before its first use: format-crypto",
     "Format NVM 80h: SES 2, LBAF 1, NSID as created"},
    {"no crypto erase: user data",
     {.format = true},
     TB2,
     "erase each slice before its first use: format-user-data",
     "Format NVM 80h: SES 1, LBAF 1, NSID as created"},
    {"sanitize namespace where there is",
     {.format = true, .fna = 7, .sanitize_ns = true},
     TB2,
     "erase each slice before its first use: sanitize-namespace",
     "Sanitize Namespace 8Ch: crypto erase, NSID as created"},
};

static void test_lines_erase(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(erases) / sizeof(erases[0]); i++) {
        struct drive_seen drive = drive_of(erases[i].total);
        drive.caps.format = erases[i].caps.format;
        drive.caps.fna = erases[i].caps.fna;
        drive.caps.sanitize_ns = erases[i].caps.sanitize_ns;
        struct layout layout;
        struct err err = {0};
        struct plan_line got;
        assert_true(plan_layout(&drive, &c500, PROVIDER_NAMESPACE, &layout, &err));
        assert_true(plan_line(&drive, &layout, drive.ns_count + layout.count + 1, &got));
        if (strcmp(got.text, erases[i].text) != 0 || strcmp(got.command, erases[i].command) != 0)
            fail_msg("%s: got '%s' / '%s', want '%s' / '%s'", erases[i].rule, got.text, got.command, erases[i].text,
                     erases[i].command);
    }
}

/* The longest numbers there are fit into the lines. */
static void test_lines_are_not_cut(void **state)
{
    (void)state;
    struct drive_seen drive = drive_of(TB2);
    drive.caps.cntlid = 0xffef;
    drive.ns[0].nsid.v = 0xfffffffe;
    const struct layout layout = {.provider = PROVIDER_NAMESPACE,
                                  .count = 4000000000,
                                  .lbaf = 15,
                                  .block_bytes = 4096,
                                  .slice_blocks = UINT64_MAX,
                                  .slice_bytes = UINT64_MAX};
    for (size_t i = 0; i < 2; i++) {
        struct plan_line line;
        assert_true(plan_line(&drive, &layout, i, &line));
        assert_true(strlen(line.text) < sizeof(line.text) - 1);
        assert_true(strlen(line.command) < sizeof(line.command) - 1);
        assert_non_null(strstr(line.command, i == 0 ? "delete, NSID 4294967294" : "NMIC 0"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes),           cmocka_unit_test(test_layouts),
        cmocka_unit_test(test_refused),         cmocka_unit_test(test_any_drive),
        cmocka_unit_test(test_lines_namespace), cmocka_unit_test(test_lines_512),
        cmocka_unit_test(test_lines_whole),     cmocka_unit_test(test_no_lines_when_nothing_fits),
        cmocka_unit_test(test_lines_erase),     cmocka_unit_test(test_lines_are_not_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
