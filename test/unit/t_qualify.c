/* What each check of a probe makes of a drive. */
#include "core/qualify.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { GIB = 1 << 30 };

struct looks {
    struct drive_seen first, second;
    struct probe_facts facts;
};

/* 4 GiB with all there is: one namespace of 1 GiB, 3 GiB free. */
static struct drive_seen good(void)
{
    return (struct drive_seen){
        .ident = {.vendor_id = 1, .serial = "S", .model = "M", .nqn = "nqn.test"},
        .firmware = "1",
        .caps = {.ns_management = true,
                 .ns_claimed = true,
                 .format = true,
                 .fna = 4,
                 .nn = 128,
                 .ns_max = 128,
                 .total_bytes = 4ull * GIB,
                 .free_bytes = 3ull * GIB,
                 .nsg_bytes = 1 << 20,
                 .ncg_bytes = 1 << 20,
                 .lbaf = {{.block_bytes = 512}, {.block_bytes = 4096}},
                 .lbaf_count = 2},
        .health = {.known = true, .spare_percent = 100, .spare_threshold_percent = 10},
        .ns = {{.nsid = {1}, .block_bytes = 4096, .size_blocks = GIB / 4096, .nvmcap_bytes = GIB, .nguid = {7}}},
        .ns_count = 1};
}

static void as_it_is(struct looks *l)
{
    (void)l;
}
static void serial_differs(struct looks *l)
{
    l->second.ident.serial[0] = 'T';
}
static void nguid_differs(struct looks *l)
{
    l->second.ns[0].nguid[0]++;
}
static void size_differs(struct looks *l)
{
    l->second.ns[0].size_blocks++;
}
static void one_more(struct looks *l)
{
    l->second.ns[l->second.ns_count++] = (struct ns_seen){.nsid = {2}, .nvmcap_bytes = 4096, .nguid = {8}};
    l->second.caps.free_bytes -= 4096;
}
static void free_differs(struct looks *l)
{
    l->second.caps.free_bytes -= 4096;
}
static void unlisted(struct looks *l)
{
    l->facts.pages.unlisted = 1;
}
static void pages_differ(struct looks *l)
{
    l->facts.pages.differs.v = 1;
}
static void nameless(struct looks *l)
{
    l->first.ns[0].nguid[0] = l->second.ns[0].nguid[0] = 0;
}

static void doubled(struct looks *l)
{
    one_more(l);
    l->second.ns[1].nguid[0] = 7;
    l->first = l->second;
}

static void claims_only(struct looks *l)
{
    l->second.caps.ns_management = false;
}
static void no_management(struct looks *l)
{
    l->second.caps.ns_management = l->second.caps.ns_claimed = false;
}
static void one_namespace(struct looks *l)
{
    l->second.caps.ns_max = 1;
}
static void no_granularity(struct looks *l)
{
    l->second.caps.nsg_bytes = l->second.caps.ncg_bytes = 0;
}
static void odd_granularity(struct looks *l)
{
    l->second.caps.ncg_bytes = 1000;
}
static void huge_granularity(struct looks *l)
{
    l->second.caps.nsg_bytes = 8ull * GIB;
}
static void no_total(struct looks *l)
{
    l->first.caps.total_bytes = l->second.caps.total_bytes = 0;
}
static void too_much_free(struct looks *l)
{
    l->first.caps.free_bytes = l->second.caps.free_bytes = 4ull * GIB;
}
static void some_lost(struct looks *l)
{
    l->first.caps.free_bytes = l->second.caps.free_bytes = 2ull * GIB;
}
static void little_lost(struct looks *l)
{
    l->first.caps.free_bytes = l->second.caps.free_bytes = 3ull * GIB - 4096;
}
static void metadata(struct looks *l)
{
    l->second.caps.lbaf[0].meta_bytes = l->second.caps.lbaf[1].meta_bytes = 8;
}
static void large_blocks(struct looks *l)
{
    l->second.caps.lbaf[0].block_bytes = l->second.caps.lbaf[1].block_bytes = 8192;
}
static void format_hits_all(struct looks *l)
{
    l->second.caps.fna = 5;
}
static void erase_hits_all(struct looks *l)
{
    l->second.caps.fna = 6;
}
static void no_format(struct looks *l)
{
    l->second.caps.format = false;
}
static void hits_all_but_8c(struct looks *l)
{
    l->second.caps.fna = 7;
    l->second.caps.sanitize_ns = true;
}
static void no_smart(struct looks *l)
{
    l->second.health.known = false;
}
static void warns(struct looks *l)
{
    l->second.health.critical_warning = 4;
}
static void spare_low(struct looks *l)
{
    l->second.health.spare_percent = 9;
}
static void worn(struct looks *l)
{
    l->second.health.used_percent = 100;
}
static void media_errors(struct looks *l)
{
    l->second.health.media_errors = 1;
}
static void slow(struct looks *l)
{
    l->facts.scan_ms = 5001;
}

static const struct {
    const char *rule;
    void (*change)(struct looks *l);
    const char *check; /* the only line that is not "qualified" */
    enum verdict verdict;
} rows[] = {
    {"a drive with all there is is qualified", as_it_is, NULL, VERDICT_QUALIFIED},
    {"a serial that changes between two looks", serial_differs, "identity", VERDICT_REJECTED},
    {"a NGUID that changes", nguid_differs, "identity", VERDICT_REJECTED},
    {"a size that changes", size_differs, "identity", VERDICT_REJECTED},
    {"a namespace that comes", one_more, "identity", VERDICT_REJECTED},
    {"free space that changes", free_differs, "identity", VERDICT_REJECTED},
    {"a namespace that is attached and not listed", unlisted, "pages", VERDICT_REJECTED},
    {"two pages that contradict one another", pages_differ, "pages", VERDICT_REJECTED},
    {"a namespace without NGUID and EUI64", nameless, "ids", VERDICT_LIMITED},
    {"two namespaces with one NGUID", doubled, "ids", VERDICT_REJECTED},
    {"namespace management that is only claimed", claims_only, "namespace-management", VERDICT_LIMITED},
    {"no namespace management", no_management, "namespace-management", VERDICT_LIMITED},
    {"one namespace at the most", one_namespace, "namespace-management", VERDICT_LIMITED},
    {"no granularity told is fine", no_granularity, NULL, VERDICT_QUALIFIED},
    {"a granularity that is no whole number of blocks", odd_granularity, "granularity", VERDICT_LIMITED},
    {"a granularity larger than the drive", huge_granularity, "granularity", VERDICT_REJECTED},
    {"capacity not told", no_total, "capacity", VERDICT_LIMITED},
    {"more used and free than there is", too_much_free, "capacity", VERDICT_REJECTED},
    {"much that is neither used nor free", some_lost, "capacity", VERDICT_LIMITED},
    {"little that is neither used nor free is fine", little_lost, NULL, VERDICT_QUALIFIED},
    {"metadata in all formats", metadata, "lba-formats", VERDICT_REJECTED},
    {"blocks too large in all formats", large_blocks, "lba-formats", VERDICT_REJECTED},
    {"a format that hits all", format_hits_all, "erase", VERDICT_LIMITED},
    {"a secure erase that hits all", erase_hits_all, "erase", VERDICT_LIMITED},
    {"no format", no_format, "erase", VERDICT_LIMITED},
    {"with Sanitize Namespace FNA does not matter", hits_all_but_8c, NULL, VERDICT_QUALIFIED},
    {"no SMART log", no_smart, "health", VERDICT_LIMITED},
    {"a critical warning", warns, "health", VERDICT_REJECTED},
    {"spare blocks below the threshold", spare_low, "health", VERDICT_REJECTED},
    {"worn out", worn, "health", VERDICT_LIMITED},
    {"media errors", media_errors, "health", VERDICT_LIMITED},
    {"slow to answer", slow, "answers", VERDICT_LIMITED},
};

static const struct task_line *line_of(const struct task_result *result, const char *check)
{
    for (size_t i = 0; i < result->line_count; i++)
        if (strcmp(result->lines[i].check, check) == 0)
            return &result->lines[i];
    return NULL;
}

static void run(size_t i)
{
    struct looks *l = calloc(1, sizeof(*l));
    struct task_result result;
    assert_non_null(l);
    l->first = l->second = good();
    l->facts = (struct probe_facts){.first = &l->first, .second = &l->second, .pages = {.compared = 1}, .scan_ms = 3};
    rows[i].change(l);
    qualify(&l->facts, &result);
    if (result.verdict != rows[i].verdict)
        fail_msg("%s: got %s, want %s", rows[i].rule, task_verdict_words[result.verdict],
                 task_verdict_words[rows[i].verdict]);
    for (size_t k = 0; k < result.line_count; k++) {
        const struct task_line *line = &result.lines[k];
        const bool named = rows[i].check != NULL && strcmp(line->check, rows[i].check) == 0;
        if (line->text[0] == '\0')
            fail_msg("%s: check %s says nothing", rows[i].rule, line->check);
        if (line->verdict != (named ? rows[i].verdict : VERDICT_QUALIFIED))
            fail_msg("%s: got %s: %s (%s)", rows[i].rule, line->check, task_verdict_words[line->verdict], line->text);
    }
    if (rows[i].check != NULL && line_of(&result, rows[i].check) == NULL)
        fail_msg("%s: no line '%s'", rows[i].rule, rows[i].check);
    free(l);
}

static void test_checks(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        run(i);
}

static void test_lines(void **state)
{
    struct task_result result = {0};
    (void)state;
    for (unsigned i = 0; i < TASK_LINES_MAX; i++)
        task_line_add(&result, "fine", VERDICT_QUALIFIED, 0, "it is");
    task_line_add(&result, "limit", VERDICT_LIMITED, UINT64_MAX, "a worse one takes the last place");
    task_line_add(&result, "fine", VERDICT_QUALIFIED, 0, "a better one does not");
    assert_int_equal(result.line_count, TASK_LINES_MAX);
    assert_string_equal(result.lines[TASK_LINES_MAX - 1].check, "limit");
    assert_int_equal(result.lines[TASK_LINES_MAX - 1].ms, UINT32_MAX);
    assert_int_equal(result.verdict, VERDICT_LIMITED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_checks),
        cmocka_unit_test(test_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
