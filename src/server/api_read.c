/* GET: rows of the store, shown. */
#include "server/api_priv.h"

#include "base/must.h"
#include "base/text.h"
#include "core/domain_build.h"
#include "virt/domain_xml.h"

#include <stdio.h>
#include <stdlib.h>

static const char *query(const struct call *call, const char *name)
{
    const char *value = http_query(call->http, name);
    return value != NULL ? value : "";
}

static struct store_filter host_filter(const struct call *call)
{
    return (struct store_filter){.host = query(call, "host")};
}

static json_t *list_new(void)
{
    json_t *list = json_array();
    must(list != NULL);
    return list;
}

static void list_add(json_t *list, json_t *value)
{
    must(value != NULL && json_array_append_new(list, value) == 0);
}

/* ---- status -------------------------------------------------------------------------------------------------- */

static void attention_add(json_t *list, const char *what, const char *why, const char *command)
{
    json_t *one = object_new();
    set_text(one, "what", what);
    set_text(one, "why", why);
    set_text(one, "command", command);
    list_add(list, one);
}

static void attention_slice(json_t *list, const struct row_slice *row)
{
    char what[96], command[96];
    const bool quarantined = row->slice.state == SLICE_QUARANTINED;
    const bool late = row->slice.state == SLICE_ERASING && row->slice.why[0] != '\0'; /* in use, or it takes long */
    if (!quarantined && !row->gone && !late)
        return;
    snprintf(what, sizeof(what), "slice %s on drive %s is %s", row->slice.id.v, row->slice.drive,
             row->gone ? "gone" : quarantined ? "quarantined" : "not erased yet");
    snprintf(command, sizeof(command), "nsmith slice %s %s", row->gone ? "retire" : late ? "show" : "retry", row->slice.id.v);
    attention_add(list, what, row->slice.why, command);
}

static void attention_drive(json_t *list, const struct row_drive *row)
{
    char what[96], command[64];
    const enum adopt adopt = row->report.adopt;
    if (adopt != ADOPT_FAULT && adopt != ADOPT_MISSING && row->report.orphans == 0)
        return;
    snprintf(what, sizeof(what), "drive %s %s", row->report.seen.ident.serial,
             adopt == ADOPT_FAULT ? "is at fault" : adopt == ADOPT_MISSING ? "is missing" : "has orphans");
    snprintf(command, sizeof(command), "nsmith drive %s %s", adopt == ADOPT_FAULT ? "retry" : "show",
             row->report.seen.ident.serial);
    attention_add(list, what, row->report.why, command);
}

/* What a silent host said last is not news. */
static void attention_host(json_t *list, const struct row_host *row, bool up)
{
    char what[128], command[96];
    snprintf(command, sizeof(command), "nsmith host show %s", row->name.v);
    if (!up) {
        snprintf(what, sizeof(what), "host %s is silent", row->name.v);
        attention_add(list, what, "its agent has not asked for work", "systemctl start nsmith-agent");
        return;
    }
    if (row->troubles.virt[0] != '\0') {
        snprintf(what, sizeof(what), "host %s can start no VM, its hypervisor does not answer", row->name.v);
        attention_add(list, what, row->troubles.virt, command);
    }
    if (row->troubles.drives[0] != '\0') {
        snprintf(what, sizeof(what), "host %s cannot see its drives", row->name.v);
        attention_add(list, what, row->troubles.drives, command);
    }
    if (row->troubles.rules[0] != '\0') {
        snprintf(what, sizeof(what), "host %s adopts no drive by itself", row->name.v);
        attention_add(list, what, row->troubles.rules, command);
    }
}

/* Nothing is lost, but nothing of it is given out either, until somebody decides. */
static void attention_drain(json_t *list, const struct service *service, const struct row_drive *row)
{
    char what[96], why[DRAIN_WHY_MAX + WHY_MAX], command[96];
    const struct drive_drain drain = service_drive_drain(service, row);
    if (!drain_is_on(&drain) || (row->report.adopt != ADOPT_DONE && row->report.adopt != ADOPT_CUTTING))
        return;
    service_drain_explain(row, &drain, why, sizeof(why));
    snprintf(what, sizeof(what), "drive %s is drained", row->report.seen.ident.serial);
    snprintf(command, sizeof(command), "nsmith drive %s %s", drain.health != 0 ? "show" : "resume",
             row->report.seen.ident.serial);
    attention_add(list, what, why, command);
}

static json_t *status_build(struct call *call, const struct rows *hosts, const struct rows *drives, const struct rows *slices)
{
    json_t *json = object_new(), *by_state = object_new(), *attention = list_new();
    size_t counts[SLICE_STATE_COUNT] = {0};
    for (size_t i = 0; i < hosts->count; i++) {
        const struct row_host *host = rows_at(hosts, i);
        attention_host(attention, host, service_host_up(call->service, &host->name, call->now_ms));
    }
    for (size_t i = 0; i < drives->count; i++) {
        attention_drive(attention, rows_at(drives, i));
        attention_drain(attention, call->service, rows_at(drives, i));
    }
    for (size_t i = 0; i < slices->count; i++) {
        const struct row_slice *row = rows_at(slices, i);
        counts[row->slice.state]++;
        attention_slice(attention, row);
    }
    for (size_t s = 0; s < SLICE_STATE_COUNT; s++)
        if (counts[s] > 0)
            set_u64(by_state, slice_state_word((enum slice_state)s), counts[s]);
    char sentence[200];
    const size_t needs = json_array_size(attention);
    const size_t busy = counts[SLICE_ERASING] + counts[SLICE_VERIFYING];
    if (slices->count == 0 && needs == 0)
        snprintf(sentence, sizeof(sentence), "No slices yet: %zu drives seen; adopt one with: nsmith drive adopt SERIAL",
                 drives->count);
    else if (needs == 0)
        snprintf(sentence, sizeof(sentence), "%s %zu slice%s accounted for; %zu free, %zu being erased; nothing needs you",
                 slices->count == 1 ? "The" : "All", slices->count, slices->count == 1 ? "" : "s", counts[SLICE_FREE], busy);
    else
        snprintf(sentence, sizeof(sentence), "%zu slice%s; %zu free, %zu being erased; %zu %s you", slices->count,
                 slices->count == 1 ? "" : "s", counts[SLICE_FREE], busy, needs, needs == 1 ? "thing needs" : "things need");
    set_text(json, "sentence", sentence);
    set_new(json, "slices", by_state);
    set_new(json, "attention", attention);
    set_text(json, "version", NSMITH_VERSION);
    return json;
}

bool get_status(struct call *call, json_t **out, struct err *err)
{
    auto_rows struct rows hosts = {0}, drives = {0}, slices = {0};
    if (!rows_read(call->service, ROW_HOST, NULL, &hosts, err) || !rows_read(call->service, ROW_DRIVE, NULL, &drives, err) ||
        !rows_read(call->service, ROW_SLICE, NULL, &slices, err))
        return false;
    *out = status_build(call, &hosts, &drives, &slices);
    return true;
}

/* ---- hosts, drives, slices ----------------------------------------------------------------------------------- */

static json_t *show_host(const struct call *call, const struct row_host *row, const struct rows *drives,
                         const struct rows *slices)
{
    const uint64_t polled_ms = service_host_seen_ms(call->service, &row->name);
    size_t drive_count = 0, slice_count = 0;
    for (size_t i = 0; i < drives->count; i++)
        drive_count += name_eq(&((const struct row_drive *)rows_at(drives, i))->host, &row->name);
    for (size_t i = 0; i < slices->count; i++)
        slice_count += name_eq(&((const struct row_slice *)rows_at(slices, i))->host, &row->name);
    json_t *json = object_new();
    set_text(json, "name", row->name.v);
    set_new(json, "up", json_boolean(service_host_up(call->service, &row->name, call->now_ms)));
    set_u64(json, "last_seen_ms", polled_ms > row->last_seen_ms ? polled_ms : row->last_seen_ms);
    set_u64(json, "vcpus", row->vcpus);
    set_u64(json, "memory_bytes", row->memory_bytes);
    set_text(json, "software", row->software);
    set_text(json, "public_key", row->public_key);
    set_u64(json, "drives", drive_count);
    set_u64(json, "slices", slice_count);
    set_new(json, "troubles", jmap_write(&troubles_jmap, &row->troubles));
    return json;
}

bool get_hosts(struct call *call, json_t **out, struct err *err)
{
    auto_rows struct rows hosts = {0}, drives = {0}, slices = {0};
    if (!rows_read(call->service, ROW_HOST, NULL, &hosts, err) || !rows_read(call->service, ROW_DRIVE, NULL, &drives, err) ||
        !rows_read(call->service, ROW_SLICE, NULL, &slices, err))
        return false;
    json_t *list = list_new();
    for (size_t i = 0; i < hosts.count; i++)
        list_add(list, show_host(call, rows_at(&hosts, i), &drives, &slices));
    *out = items(list);
    return true;
}

bool get_host(struct call *call, json_t **out, struct err *err)
{
    auto_rows struct rows drives = {0}, slices = {0};
    struct row_host row;
    if (!must_get(call->service, ROW_HOST, "host", call->args[0], &row, err))
        return err_hint(err, "see the hosts with: nsmith host ls");
    const struct store_filter filter = {.host = row.name.v};
    if (!rows_read(call->service, ROW_DRIVE, &filter, &drives, err) ||
        !rows_read(call->service, ROW_SLICE, &filter, &slices, err))
        return false;
    *out = show_host(call, &row, &drives, &slices);
    return true;
}

bool get_drives(struct call *call, json_t **out, struct err *err)
{
    auto_rows struct rows rows = {0};
    const struct store_filter filter = host_filter(call);
    if (!rows_read(call->service, ROW_DRIVE, &filter, &rows, err))
        return false;
    json_t *list = list_new();
    for (size_t i = 0; i < rows.count; i++)
        list_add(list, show_drive(call->service, rows_at(&rows, i), false));
    *out = items(list);
    return true;
}

/* How many slices of each class it would hold, and what of it would stay unused. */
static bool show_fits(struct call *call, const struct drive_seen *seen, json_t *json, struct err *err)
{
    auto_rows struct rows classes = {0};
    if (!rows_read(call->service, ROW_CLASS, NULL, &classes, err))
        return false;
    json_t *list = list_new();
    for (size_t i = 0; i < classes.count; i++) {
        const struct slice_class *class = rows_at(&classes, i);
        struct layout layout;
        struct err cannot = {0};
        if (!plan_layout(seen, class, PROVIDER_NAMESPACE, &layout, &cannot))
            continue;
        json_t *one = object_new();
        set_text(one, "class", class->name.v);
        set_u64(one, "slices", layout.count);
        set_u64(one, "slice_bytes", layout.slice_bytes);
        set_u64(one, "stranded_bytes", layout.stranded_bytes);
        list_add(list, one);
    }
    set_new(json, "fits", list);
    return true;
}

bool get_drive(struct call *call, json_t **out, struct err *err)
{
    struct row_drive row;
    struct name host;
    text_cut(host.v, sizeof(host.v), query(call, "host"));
    if (!service_drive_find(call->service, call->args[0], &host, &row, err))
        return false;
    json_t *json = show_drive(call->service, &row, true);
    if (!show_fits(call, &row.report.seen, json, err)) {
        json_decref(json);
        return false;
    }
    *out = json;
    return true;
}

static bool is_state(const char *word)
{
    for (size_t s = 0; s < SLICE_STATE_COUNT; s++)
        if (strcmp(slice_state_word((enum slice_state)s), word) == 0)
            return true;
    return false;
}

bool get_slices(struct call *call, json_t **out, struct err *err)
{
    auto_rows struct rows rows = {0};
    const struct store_filter filter = host_filter(call);
    const char *drive = query(call, "drive"), *state = query(call, "state");
    if (state[0] != '\0' && !is_state(state)) {
        err_set(err, ERR_INPUT, "cannot list the slices in state '%.40s': there is no such state", state);
        return err_hint(err, "states: absent blank erasing verifying free claimed attached dirty quarantined");
    }
    if (!rows_read(call->service, ROW_SLICE, &filter, &rows, err))
        return false;
    json_t *list = list_new();
    for (size_t i = 0; i < rows.count; i++) {
        const struct row_slice *row = rows_at(&rows, i);
        if ((drive[0] != '\0' && strcmp(drive, row->slice.drive) != 0) ||
            (state[0] != '\0' && strcmp(state, slice_state_word(row->slice.state)) != 0))
            continue;
        json_t *one = show_slice(call->service, row, err);
        if (one == NULL) {
            json_decref(list);
            return false;
        }
        list_add(list, one);
    }
    *out = items(list);
    return true;
}

bool get_slice(struct call *call, json_t **out, struct err *err)
{
    struct row_slice row;
    if (!must_get(call->service, ROW_SLICE, "slice", call->args[0], &row, err))
        return err_hint(err, "see the slices with: nsmith slice ls");
    *out = show_slice(call->service, &row, err);
    return *out != NULL;
}

/* ---- classes, flavors ---------------------------------------------------------------------------------------- */

static bool list_plain(struct call *call, enum store_kind kind, const struct jmap *map, json_t **out, struct err *err)
{
    auto_rows struct rows rows = {0};
    if (!rows_read(call->service, kind, NULL, &rows, err))
        return false;
    json_t *list = list_new();
    for (size_t i = 0; i < rows.count; i++)
        list_add(list, jmap_write(map, rows_at(&rows, i)));
    *out = items(list);
    return true;
}

bool get_classes(struct call *call, json_t **out, struct err *err)
{
    return list_plain(call, ROW_CLASS, &slice_class_jmap, out, err);
}

bool get_flavors(struct call *call, json_t **out, struct err *err)
{
    return list_plain(call, ROW_FLAVOR, &flavor_jmap, out, err);
}

/* ---- claims, VMs --------------------------------------------------------------------------------------------- */

bool get_claims(struct call *call, json_t **out, struct err *err)
{
    auto_rows struct rows rows = {0};
    const struct store_filter filter = host_filter(call);
    if (!rows_read(call->service, ROW_CLAIM, &filter, &rows, err))
        return false;
    json_t *list = list_new();
    for (size_t i = 0; i < rows.count; i++)
        list_add(list, show_claim(rows_at(&rows, i)));
    *out = items(list);
    return true;
}

/* A slice of the kernel's drives is a block device, one of the software drives a file; only the host can look. */
static bool is_block_device(struct call *call, const struct row_slice *row)
{
    struct row_drive drive;
    struct err unknown = {0};
    return !service_drive_find(call->service, row->slice.drive, &row->host, &drive, &unknown) ||
           strncmp(drive.report.seen.name, "nvme", 4) == 0;
}

/* The disks of a ready claim for another orchestrator: as a table, as libvirt's XML, as QEMU's arguments. */
static bool show_disks(struct call *call, const struct row_claim *claim, json_t *json, struct err *err)
{
    struct domain_slice slices[CLAIM_SLICES_MAX] = {0};
    json_t *disks = list_new();
    for (size_t i = 0; i < claim->slice_count; i++) {
        struct row_slice row;
        if (!must_get(call->service, ROW_SLICE, "slice", claim->slices[i].v, &row, err)) {
            json_decref(disks);
            return false;
        }
        /* Numbers that stand for "what is behind the path": here nobody opens it, so nothing is compared with them. */
        slices[i] = (struct domain_slice){.id = row.slice.id,
                                          .block_device = is_block_device(call, &row),
                                          .block_bytes = row.slice.block_bytes,
                                          .size_bytes = row.slice.size_bytes,
                                          .ino = i + 1,
                                          .rdev = i + 1};
        text_cut(slices[i].path, sizeof(slices[i].path), row.slice.path);
        char wwn[17];
        domain_wwn(&row.slice.id, wwn);
        json_t *disk = object_new();
        set_text(disk, "slice", row.slice.id.v);
        set_text(disk, "path", row.slice.path);
        set_u64(disk, "size_bytes", row.slice.size_bytes);
        set_text(disk, "serial", row.slice.id.v);
        set_text(disk, "wwn", wwn);
        list_add(disks, disk);
    }
    set_new(json, "disks", disks);
    struct domain *domain = calloc(1, sizeof(*domain));
    must(domain != NULL);
    /* Native AIO is in every QEMU; whoever writes the domain may choose io_uring. */
    const bool ok = domain_build_disks(slices, claim->slice_count, DATAPATH_SCSI, false, domain, err);
    if (ok) {
        char *xml = domain_disks_xml(domain), *args = domain_qemu_args(domain);
        set_text(json, "libvirt_xml", xml);
        set_text(json, "qemu_args", args);
        free(args);
        free(xml);
    }
    free(domain);
    return ok;
}

/* What was written since the slices were handed out. */
static bool claim_wear(struct call *call, const struct row_claim *claim, json_t *json, struct err *err)
{
    json_t *list = list_new();
    set_new(json, "wear", list);
    for (size_t i = 0; i < claim->slice_count; i++) {
        struct row_slice row;
        bool found;
        if (!call->service->store->get(call->service->store->self, ROW_SLICE, claim->slices[i].v, &row, &found, err))
            return false;
        if (!found || !claim_id_eq(&row.slice.owner, &claim->id))
            continue;
        json_t *wear = show_wear(call->service, &row, err);
        if (wear == NULL)
            return false;
        if (json_object_size(wear) > 0) {
            set_text(wear, "slice", row.slice.id.v);
            set_text(wear, "drive", row.slice.drive);
            json_array_append(list, wear);
        }
        json_decref(wear);
    }
    return true;
}

bool get_claim(struct call *call, json_t **out, struct err *err)
{
    struct row_claim row;
    if (!must_get(call->service, ROW_CLAIM, "claim", call->args[0], &row, err))
        return err_hint(err, "see the claims with: nsmith claim ls");
    json_t *json = show_claim(&row);
    if (!claim_wear(call, &row, json, err) || (row.state == CLAIM_READY && !show_disks(call, &row, json, err))) {
        json_decref(json);
        return false;
    }
    *out = json;
    return true;
}

bool get_vms(struct call *call, json_t **out, struct err *err)
{
    auto_rows struct rows rows = {0};
    const struct store_filter filter = host_filter(call);
    if (!rows_read(call->service, ROW_VM, &filter, &rows, err))
        return false;
    json_t *list = list_new();
    for (size_t i = 0; i < rows.count; i++) {
        json_t *one = show_vm(call->service, rows_at(&rows, i), err);
        if (one == NULL) {
            json_decref(list);
            return false;
        }
        list_add(list, one);
    }
    *out = items(list);
    return true;
}

bool get_vm(struct call *call, json_t **out, struct err *err)
{
    struct row_vm row;
    if (!must_get(call->service, ROW_VM, "VM", call->args[0], &row, err))
        return err_hint(err, "see the VMs with: nsmith vm ls");
    *out = show_vm(call->service, &row, err);
    return *out != NULL;
}

/* ---- erasures ------------------------------------------------------------------------------------------------ */

bool get_erasures(struct call *call, json_t **out, struct err *err)
{
    auto_rows struct rows rows = {0};
    const struct store_filter filter = {.host = query(call, "host"), .slice = query(call, "slice")};
    if (!rows_read(call->service, ROW_ERASURE, &filter, &rows, err))
        return false;
    json_t *list = list_new();
    for (size_t i = 0; i < rows.count; i++)
        list_add(list, jmap_write(&erasure_jmap, &((const struct row_erasure *)rows_at(&rows, i))->erasure));
    *out = items(list);
    return true;
}

bool get_erasure(struct call *call, json_t **out, struct err *err)
{
    struct row_erasure row;
    if (!must_get(call->service, ROW_ERASURE, "erasure", call->args[0], &row, err))
        return err_hint(err, "see the erasures with: nsmith erasure ls");
    json_t *json = object_new();
    set_new(json, "erasure", jmap_write(&erasure_jmap, &row.erasure));
    set_text(json, "certificate", row.text);
    *out = json;
    return true;
}
