/* vm create, ls, show, start, stop, reboot, delete. The console is in cmd_console.c. */
#include "base/must.h"
#include "base/text.h"
#include "cli/cli_args.h"
#include "cli/cli_http.h"
#include "cli/cli_release.h"
#include "cli/cli_settled.h"
#include "cli/cli_table.h"

#include <string.h>
#include <unistd.h>

/* The agent tries a start some times; a reason that stays this long is one for the user. */
enum { WHY_STAYS_MS = 10000 };

static const struct column vm_columns[] = {
    {"NAME", "name", COL_TEXT, false, NULL},
    {"HOST", "host", COL_TEXT, false, NULL},
    {"POWER", "power", COL_TEXT, false, NULL},
    {"WANTED", "wanted", COL_TEXT, false, NULL},
    {"VCPUS", "vcpus", COL_NUMBER, false, NULL},
    {"MEMORY", "memory_bytes", COL_GIB, false, NULL},
    {"IOTHREADS", "iothreads", COL_NUMBER, false, NULL},
    {"SLICES", "slices", COL_LIST, false, NULL},
    {"WHY", "why", COL_TEXT, false, NULL},
    {"FLAVOR", "flavor", COL_TEXT, true, NULL},
    {"DATAPATH", "datapath", COL_TEXT, true, NULL},
    {"UUID", "uuid", COL_TEXT, true, NULL},
    {"CLAIM", "claim", COL_TEXT, true, NULL},
    {"IMAGE", "image", COL_TEXT, true, NULL},
    {"KERNEL", "kernel", COL_TEXT, true, NULL},
    {"INITRD", "initrd", COL_TEXT, true, NULL},
    {"CMDLINE", "cmdline", COL_TEXT, true, NULL},
    {"NETWORK", "network", COL_TEXT, true, NULL},
    {"AUTOSTART", "autostart", COL_YES, true, NULL},
    {"CONSOLE", "console", COL_TEXT, true, NULL},
    {"CONSOLE-LOG", "console_log", COL_TEXT, true, NULL},
    {"CREATED", "created_ms", COL_TIME, true, NULL},
};

static const struct columns vm_table = {vm_columns, sizeof(vm_columns) / sizeof(vm_columns[0])};

bool cmd_vm_ls(struct cli *cli, struct err *err)
{
    auto_json *list = NULL;
    struct url url = url_make("/v1/vms");
    url_query(&url, "host", cli->opts[OPT_HOST]);
    return cli_get(cli, &url, &list, err) && cli_list(cli, &vm_table, list, err);
}

static bool vm_get(struct cli *cli, const char *name, json_t **out, struct err *err)
{
    struct url url = url_make("/v1/vms");
    return cli_get(cli, url_part(&url, name), out, err);
}

bool cmd_vm_show(struct cli *cli, struct err *err)
{
    auto_json *vm = NULL;
    return vm_get(cli, cli->args[0], &vm, err) && cli_show(cli, &vm_table, vm, err);
}

/* ---- until it has the wanted power ---------------------------------------------------------------------------- */

struct power_wait {
    const char *name, *power;
    uint64_t why_since_ms; /* 0: no reason is shown */
    json_t *last;          /* owned: as it was seen last */
};

static bool power_look(struct cli *cli, void *ctx, struct wait_view *view, struct err *err)
{
    struct power_wait *wait = ctx;
    json_t *vm = NULL;
    if (!vm_get(cli, wait->name, &vm, err))
        return false;
    json_decref(wait->last);
    wait->last = vm;
    const char *power = cli_text(vm, "power"), *why = cli_text(vm, "why");
    view->done = vm_has_power(vm, wait->power);
    snprintf(view->state, sizeof(view->state), "VM %s: %s, to be %s", wait->name, power, wait->power);
    if (view->done || why[0] == '\0') {
        wait->why_since_ms = 0;
        return true;
    }
    text_cut(view->detail, sizeof(view->detail), why);
    if (wait->why_since_ms == 0)
        wait->why_since_ms = cli_now_ms();
    if (cli_now_ms() - wait->why_since_ms < WHY_STAYS_MS)
        return true;
    err_set(err, ERR_FAILED, "VM '%s' is %s: %s", wait->name, power, why);
    return err_hint(err, "correct that, then: nsmith vm start %s; or nsmith vm delete %s", wait->name, wait->name);
}

/* Waits, then says how it is; `answer` stands for it when nothing is waited for. */
static bool power_wait(struct cli *cli, const char *power, const json_t *answer, struct err *err)
{
    char again[128], slices[CELL_MAX];
    bool interrupted = false;
    struct power_wait wait = {.name = cli->args[0], .power = power};
    const struct wait_job job = {.look = power_look, .ctx = &wait, .again = again};
    snprintf(again, sizeof(again), "nsmith vm show %.64s", wait.name);
    const bool dry = cli_has(cli, OPT_DRY_RUN), stay = !dry && !cli_has(cli, OPT_NO_WAIT);
    if (stay && !cli_wait(cli, &job, &interrupted, err)) {
        json_decref(wait.last);
        return false;
    }
    const json_t *vm = wait.last != NULL ? wait.last : answer;
    if (cli_has(cli, OPT_JSON)) {
        cli_put_json(vm);
    } else if (!interrupted) {
        cli_cell(&(struct column){.name = "", .field = "slices", .kind = COL_LIST}, vm, false, slices);
        printf("VM %s %s %s on host ", wait.name, dry ? "would be" : stay ? "is" : "is to be", power);
        cli_put(stdout, cli_text(vm, "host"));
        printf(": %s\n", slices);
    }
    json_decref(wait.last);
    return true;
}

/* ---- changes -------------------------------------------------------------------------------------------------- */

static bool boot_check(const struct cli *cli, struct err *err)
{
    const bool image = cli_has(cli, OPT_IMAGE), kernel = cli_has(cli, OPT_KERNEL);
    if (image == kernel) {
        err_set(err, ERR_INPUT, "cannot make VM '%s': either --image or --kernel is needed", cli->args[0]);
        return err_hint(err, "for example: %s", cli->command->example);
    }
    if (kernel || (!cli_has(cli, OPT_INITRD) && !cli_has(cli, OPT_CMDLINE)))
        return true;
    err_set(err, ERR_INPUT, "cannot make VM '%s': --initrd and --cmdline go with --kernel", cli->args[0]);
    return err_hint(err, "leave them out, or boot a kernel instead of an image");
}

bool cmd_vm_create(struct cli *cli, struct err *err)
{
    auto_json *body = json_pack("{s:s*}", "name", cli->args[0]), *vm = NULL;
    struct url url = url_make("/v1/vms");
    if (body == NULL)
        return err_set(err, ERR_INPUT, "cannot make a VM: its name is not UTF-8");
    if (!arg_needed(cli, OPT_FLAVOR, err) || !boot_check(cli, err) || !arg_text(cli, OPT_FLAVOR, body, "flavor", err) ||
        !arg_path(cli, OPT_IMAGE, body, "image", err) || !arg_path(cli, OPT_KERNEL, body, "kernel", err) ||
        !arg_path(cli, OPT_INITRD, body, "initrd", err) || !arg_text(cli, OPT_CMDLINE, body, "cmdline", err) ||
        !arg_text(cli, OPT_NETWORK, body, "network", err) || !arg_text(cli, OPT_HOST, body, "host", err) ||
        !arg_number(cli, OPT_VCPUS, body, "vcpus", err) || !arg_memory(cli, OPT_MEMORY, body, "memory_bytes", err))
        return false;
    if (cli_has(cli, OPT_AUTOSTART))
        must(json_object_set_new(body, "autostart", json_true()) == 0);
    return cli_change(cli, "POST", &url, body, &vm, err) && power_wait(cli, "running", vm, err);
}

static bool vm_post(struct cli *cli, const char *verb, json_t **out, struct err *err)
{
    struct url url = url_make("/v1/vms");
    return cli_change(cli, "POST", url_tail(url_part(&url, cli->args[0]), verb), NULL, out, err);
}

bool cmd_vm_start(struct cli *cli, struct err *err)
{
    auto_json *vm = NULL;
    return vm_post(cli, "/start", &vm, err) && power_wait(cli, "running", vm, err);
}

bool cmd_vm_stop(struct cli *cli, struct err *err)
{
    auto_json *vm = NULL;
    return vm_post(cli, cli_has(cli, OPT_FORCE) ? "/kill" : "/stop", &vm, err) && power_wait(cli, "off", vm, err);
}

bool cmd_vm_reboot(struct cli *cli, struct err *err)
{
    auto_json *vm = NULL;
    if (!vm_post(cli, "/reboot", &vm, err))
        return false;
    if (cli_has(cli, OPT_JSON))
        cli_put_json(vm);
    else
        printf("VM %s %s asked to reboot\n", cli->args[0], cli_has(cli, OPT_DRY_RUN) ? "would be" : "is");
    return true;
}

/* ---- delete --------------------------------------------------------------------------------------------------- */

static bool delete_confirm(struct cli *cli, const struct release *release, struct err *err)
{
    char line[128], count[48];
    if (cli_has(cli, OPT_DRY_RUN) || cli_has(cli, OPT_YES))
        return true;
    cli->unchanged = true;
    if (!isatty(STDIN_FILENO)) {
        err_set(err, ERR_UNSAFE, "cannot delete VM '%s': nobody can confirm it, for the input is not a terminal",
                release->name);
        return err_hint(err, "in a script confirm with: --yes");
    }
    fprintf(stderr, "VM %s is deleted, and all data on its %s erased. Type its name to go on: ", release->name,
            text_count(count, release->count, "slice"));
    fflush(stderr);
    if (fgets(line, sizeof(line), stdin) == NULL)
        line[0] = '\0';
    line[strcspn(line, "\n")] = '\0';
    if (strcmp(line, release->name) != 0)
        return err_set(err, ERR_UNSAFE, "cannot delete VM '%s': the confirmation does not match", release->name) ||
               err_hint(err, "type the whole name");
    cli->unchanged = false;
    return true;
}

bool cmd_vm_delete(struct cli *cli, struct err *err)
{
    auto_json *before = NULL, *vm = NULL;
    struct release release = {.what = "VM", .name = cli->args[0], .path = "/v1/vms"};
    struct url url = url_make("/v1/vms");
    bool interrupted = false;
    char count[48];
    if (!vm_get(cli, cli->args[0], &before, err))
        return false;
    release_slices(&release, before);
    if (!delete_confirm(cli, &release, err) || !cli_change(cli, "DELETE", url_part(&url, cli->args[0]), NULL, &vm, err))
        return false;
    const bool wait = !cli_has(cli, OPT_DRY_RUN) && !cli_has(cli, OPT_NO_WAIT);
    if (cli_has(cli, OPT_JSON))
        cli_put_json(vm);
    if (wait && !release_wait(cli, &release, &interrupted, err))
        return false;
    if (cli_has(cli, OPT_JSON) || interrupted)
        return true;
    text_count(count, release.count, "slice");
    if (wait)
        printf("VM %s is deleted; %s erased and verified\n", cli->args[0], count);
    else
        printf("VM %s %s deleted, and its %s erased\n", cli->args[0],
               cli_has(cli, OPT_DRY_RUN) ? "would be" : "is being", count);
    return true;
}
