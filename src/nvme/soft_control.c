/* soft_control.c - what people and tests tell running software drives, one line a command. */
#include "nvme/soft_serve.h"

#include "base/must.h"
#include "base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct request {
    struct soft_shelf *shelf;
    struct soft_drive *drive; /* NULL where the command takes none */
    const char *serial;
    const char *rest; /* of the line, behind the serial */
    FILE *out;
};

static bool do_ls(const struct request *request, struct err *err)
{
    (void)err;
    for (size_t i = 0; i < request->shelf->count; i++) {
        const struct soft_drive *drive = request->shelf->drives[i];
        struct soft_ns_view views[SOFT_NS_MAX];
        char total[TEXT_SIZE_MAX], left[TEXT_SIZE_MAX];
        fprintf(request->out, "%-20s  %-16s  %s  free %s  namespaces %zu%s\n", soft_drive_serial(drive),
                soft_drive_profile(drive)->name, text_gb(total, soft_drive_profile(drive)->capacity_bytes),
                text_gb(left, soft_drive_free_bytes(drive)), soft_drive_ns(drive, views, SOFT_NS_MAX),
                soft_drive_present(drive) ? "" : "  removed");
    }
    return true;
}

static bool do_add(const struct request *request, struct err *err)
{
    return soft_shelf_add(request->shelf, request->serial, request->rest, err);
}

static bool do_remove(const struct request *request, struct err *err)
{
    (void)err;
    soft_drive_set_present(request->drive, false);
    return true;
}

static bool do_restore(const struct request *request, struct err *err)
{
    (void)err;
    soft_drive_set_present(request->drive, true);
    return true;
}

static bool do_power_cut(const struct request *request, struct err *err)
{
    (void)err;
    soft_drive_power_cut(request->drive);
    return true;
}

static bool do_reset(const struct request *request, struct err *err)
{
    (void)err;
    soft_drive_ctrl_reset(request->drive, 1);
    return true;
}

static bool do_subsystem_reset(const struct request *request, struct err *err)
{
    (void)err;
    soft_drive_subsystem_reset(request->drive);
    return true;
}

static bool do_fault(const struct request *request, struct err *err)
{
    struct soft_fault fault;
    return soft_fault_parse(request->rest, &fault, err) && soft_drive_fault(request->drive, &fault, err);
}

static bool do_health(const struct request *request, struct err *err)
{
    struct soft_health health = soft_drive_health(request->drive);
    if (!soft_health_parse(request->rest, &health, err))
        return false;
    soft_drive_set_health(request->drive, &health);
    return true;
}

static bool do_no_faults(const struct request *request, struct err *err)
{
    (void)err;
    soft_drive_faults_clear(request->drive);
    return true;
}

static bool do_log(const struct request *request, struct err *err)
{
    static const char *const hows[] = {
        [SOFT_DONE] = "done", [SOFT_PENDING] = "takes time", [SOFT_LOST] = "no completion"};
    (void)err;
    struct soft_log_entry *entries = calloc(SOFT_LOG_MAX, sizeof(*entries));
    must(entries != NULL);
    const size_t count = soft_drive_log(request->drive, entries, SOFT_LOG_MAX);
    for (size_t i = 0; i < count; i++) {
        char name[16];
        fprintf(request->out, "%ju  %s  nsid=%u cdw10=0x%x cdw11=0x%x  %s  status=0x%03x result=%u\n",
                (uintmax_t)entries[i].seq, soft_opcode_name(false, entries[i].opcode, entries[i].cdw10, name),
                entries[i].nsid, entries[i].cdw10, entries[i].cdw11, hows[entries[i].how], entries[i].status,
                entries[i].result);
    }
    free(entries);
    return true;
}

static bool do_state(const struct request *request, struct err *err)
{
    (void)err;
    char *text = soft_drive_state_text(request->drive);
    fprintf(request->out, "%s\n", text);
    free(text);
    return true;
}

static bool do_help(const struct request *request, struct err *err);

enum takes { TAKES_NOTHING, TAKES_DRIVE, TAKES_DRIVE_AND_MORE, TAKES_NEW };

static const struct command {
    const char *name;
    enum takes takes;
    const char *usage;
    bool (*run)(const struct request *request, struct err *err);
} commands[] = {
    {"ls", TAKES_NOTHING, "ls                       the drives", do_ls},
    {"add", TAKES_NEW, "add SERIAL PROFILE       a new drive", do_add},
    {"remove", TAKES_DRIVE, "remove SERIAL            pull it out while it works", do_remove},
    {"restore", TAKES_DRIVE, "restore SERIAL           put it back in", do_restore},
    {"power-cut", TAKES_DRIVE, "power-cut SERIAL         what is under way is interrupted", do_power_cut},
    {"reset", TAKES_DRIVE, "reset SERIAL             resets controller 1; new firmware may run then", do_reset},
    {"subsystem-reset", TAKES_DRIVE, "subsystem-reset SERIAL   resets all controllers", do_subsystem_reset},
    {"fault", TAKES_DRIVE_AND_MORE,
     "fault SERIAL COMMAND [nth=N] [count=N] kind=KIND\n"
     "                         COMMAND: format, create, delete, attach, detach, sanitize, ... or 0xNN; KIND:\n"
     "                         status:0xNNN, timeout-done, timeout-not-done, timeout-half-done, lie, hits-all",
     do_fault},
    {"health", TAKES_DRIVE_AND_MORE,
     "health SERIAL KEY=NUMBER...  what its SMART log says: warning, temperature (Celsius), spare, threshold, used,\n"
     "                         media_errors, hours, written (units of 512,000 bytes)",
     do_health},
    {"no-faults", TAKES_DRIVE, "no-faults SERIAL         forget all its faults", do_no_faults},
    {"log", TAKES_DRIVE, "log SERIAL               commands it got that change something", do_log},
    {"state", TAKES_DRIVE, "state SERIAL             what it remembers, as JSON", do_state},
    {"help", TAKES_NOTHING, "help                     this", do_help},
};

enum { COMMAND_COUNT = sizeof(commands) / sizeof(commands[0]) };

static bool do_help(const struct request *request, struct err *err)
{
    (void)err;
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        fprintf(request->out, "%s\n", commands[i].usage);
    return true;
}

static const struct command *find(const char *name, struct err *err)
{
    const struct command *nearest = &commands[0];
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
        if (text_distance(commands[i].name, name) < text_distance(nearest->name, name))
            nearest = &commands[i];
    }
    err_set(err, ERR_INPUT, "cannot do '%s': there is no such command", name);
    err_hint(err, "did you mean '%s'? 'help' lists all", nearest->name);
    return NULL;
}

/* Cuts the first word off *line, in place. */
static char *word(char **line)
{
    char *at = *line + strspn(*line, " \t\n");
    char *end = at + strcspn(at, " \t\n");
    *line = end + (*end != '\0');
    *end = '\0';
    return at;
}

static bool run(const struct command *command, struct request *request, struct err *err)
{
    const bool more = command->takes == TAKES_DRIVE_AND_MORE || command->takes == TAKES_NEW;
    if ((command->takes == TAKES_NOTHING) != (request->serial[0] == '\0') || more != (request->rest[0] != '\0')) {
        err_set(err, ERR_INPUT, "cannot do '%s': it has too few or too many words", command->name);
        return err_hint(err, "%s", command->usage);
    }
    if (command->takes == TAKES_DRIVE || command->takes == TAKES_DRIVE_AND_MORE) {
        request->drive = soft_shelf_find(request->shelf, request->serial);
        if (request->drive == NULL)
            return err_set(err, ERR_MISSING, "cannot do '%s': there is no drive '%s'", command->name, request->serial);
    }
    return command->run(request, err);
}

bool soft_control(struct soft_shelf *shelf, const char *line, char **text_out, struct err *err)
{
    char *copy = strdup(line), *text = NULL;
    size_t len = 0;
    must(copy != NULL);
    char *at = copy;
    const char *name = word(&at);
    struct request request = {.shelf = shelf, .serial = word(&at)};
    request.rest = at + strspn(at, " \t\n");
    request.out = open_memstream(&text, &len);
    must(request.out != NULL);
    const struct command *command = find(name, err);
    const bool ok = command != NULL && run(command, &request, err);
    must(fclose(request.out) == 0);
    free(copy);
    if (ok)
        *text_out = text;
    else
        free(text);
    return ok;
}
