#include "cli/cli_settled.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum thing { SLICE, DRIVE, VM };

static const struct {
    const char *rule;
    enum thing thing;
    const char *json;
    bool busy;
} rows[] = {
    {"a free slice is settled", SLICE, "{'state':'free','generation':3,'wanted':{'generation':3}}", false},
    {"a slice that is being erased is busy", SLICE, "{'state':'erasing','generation':3,'wanted':{'generation':3}}",
     true},
    {"one whose new owner is not there yet is busy", SLICE,
     "{'state':'free','generation':3,'wanted':{'generation':4,'claim':'c1'}}", true},
    {"a quarantined slice waits for a person", SLICE,
     "{'state':'quarantined','generation':3,'wanted':{'generation':3}}", false},
    {"a retry that the host has not taken up is busy", SLICE,
     "{'state':'quarantined','generation':3,'wanted':{'generation':3,'retry':true}}", true},
    {"a retire that the host has not taken up is busy", SLICE,
     "{'state':'quarantined','generation':3,'wanted':{'generation':3,'retire':true}}", true},
    {"a retry of a slice that a claim holds waits for the release", SLICE,
     "{'state':'quarantined','generation':3,'claim':'c1','wanted':{'generation':3,'claim':'c1','retry':true}}", false},
    {"a retry that waits for its release under way is busy", SLICE,
     "{'state':'quarantined','generation':3,'claim':'c1','wanted':{'generation':4,'retry':true}}", true},
    {"an available drive is settled", DRIVE, "{'adopt':'available'}", false},
    {"a drive that is being looked at is busy", DRIVE, "{'adopt':'checking'}", true},
    {"a drive that is being cut is busy", DRIVE, "{'adopt':'cutting'}", true},
    {"a refused drive waits for a person", DRIVE, "{'adopt':'refused'}", false},
    {"a VM that is being deleted is busy", VM, "{'wanted':'gone','power':'running'}", true},
    {"a VM that is not made yet is busy", VM, "{'wanted':'running','power':'gone','starting':true}", true},
    {"a VM that is started again is busy", VM, "{'wanted':'running','power':'off','starting':true}", true},
    {"a VM that cannot be made waits for a person", VM,
     "{'wanted':'running','power':'gone','starting':true,'why':'no image'}", false},
    {"a VM that went by itself waits for a person", VM, "{'wanted':'running','power':'gone'}", false},
    {"a VM that runs is settled", VM, "{'wanted':'running','power':'running'}", false},
    {"what the server does not say is settled", VM, "{}", false},
};

static json_t *read_json(const char *text)
{
    char fixed[200];
    size_t i = 0;
    for (; text[i] != '\0'; i++)
        fixed[i] = text[i] == '\'' ? '"' : text[i];
    fixed[i] = '\0';
    json_t *json = json_loads(fixed, 0, NULL);
    assert_non_null(json);
    return json;
}

static void waits_end_when_nothing_goes_on_by_itself(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        json_t *json = read_json(rows[i].json);
        const bool got = rows[i].thing == SLICE   ? slice_is_busy(json)
                         : rows[i].thing == DRIVE ? drive_is_busy(json)
                                                  : vm_is_busy(json);
        json_decref(json);
        if (got != rows[i].busy)
            fail_msg("%s: got %s, want %s", rows[i].rule, got ? "busy" : "settled", rows[i].busy ? "busy" : "settled");
    }
}

static const struct {
    const char *rule, *power, *wanted;
    bool reached;
} powers[] = {
    {"running is running", "running", "running", true},
    {"off is not running", "off", "running", false},
    {"off is off", "off", "off", true},
    {"a domain that is gone is off", "gone", "off", true},
    {"a domain that is gone does not run", "gone", "running", false},
    {"a paused VM is not off", "paused", "off", false},
};

static void gone_counts_as_off(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(powers) / sizeof(powers[0]); i++) {
        json_t *vm = json_pack("{s:s}", "power", powers[i].power);
        const bool got = vm_has_power(vm, powers[i].wanted);
        json_decref(vm);
        if (got != powers[i].reached)
            fail_msg("%s: got %d, want %d", powers[i].rule, got, powers[i].reached);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(waits_end_when_nothing_goes_on_by_itself),
        cmocka_unit_test(gone_counts_as_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
