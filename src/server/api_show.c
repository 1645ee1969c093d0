/* Rows as the API shows them. Pure but for the look-ups that a view needs. */
#include "server/api_priv.h"

#include "base/must.h"

static json_t *show_foreign(const struct foreign_list *list)
{
    json_t *array = json_array();
    must(array != NULL);
    for (size_t i = 0; i < list->count; i++) {
        json_t *one = object_new();
        set_text(one, "what", foreign_kind_text(list->at[i].kind));
        set_u64(one, "nsid", list->at[i].nsid.v);
        set_text(one, "detail", list->at[i].detail);
        must(json_array_append_new(array, one) == 0);
    }
    return array;
}

/* What a drive's health means here: {"level", "reasons": [...]} into "health", and whether it is drained, why and by
 * whom. */
static void show_health(const struct service *service, const struct row_drive *row, json_t *health, json_t *drive)
{
    const struct drive_drain drain = service_drive_drain(service, row);
    json_t *reasons = json_array();
    must(reasons != NULL);
    for (unsigned r = 0; r < HEALTH_REASON_COUNT; r++)
        if (((drain.state.drains | drain.state.warns) & 1u << r) != 0)
            must(json_array_append_new(reasons, json_string(health_reason_text((enum health_reason)r))) == 0);
    set_text(health, "level", health_level_words[drain.state.level]);
    set_new(health, "reasons", reasons);
    set_new(health, "accepted", json_boolean(drain.state.drains != drain.health));
    if (!drain_is_on(&drain))
        return;
    char why[DRAIN_WHY_MAX + WHY_MAX];
    json_t *one = object_new();
    service_drain_explain(row, &drain, why, sizeof(why));
    set_new(one, "by_person", json_boolean(drain.person));
    set_new(one, "by_health", json_boolean(drain.health != 0));
    set_text(one, "why", why);
    if (drain.person)
        set_u64(one, "since_ms", row->drained_ms);
    set_new(drive, "drained", one);
}

json_t *show_task(const struct row_drive *row)
{
    struct task_report waiting = {.id = row->task.id, .kind = row->task.kind};
    const struct task_report *task = &row->report.task;
    if (waiting.id.v[0] != '\0' && strcmp(waiting.id.v, task->id.v) != 0)
        task = &waiting; /* the host does not know of it yet */
    return task->id.v[0] != '\0' ? jmap_write(&task_report_jmap, task) : NULL;
}

json_t *show_drive(const struct service *service, const struct row_drive *row, bool with_seen)
{
    const struct drive_report *report = &row->report;
    const struct drive_seen *seen = &report->seen;
    json_t *json = object_new();
    set_text(json, "host", row->host.v);
    set_text(json, "serial", seen->ident.serial);
    set_text(json, "model", seen->ident.model);
    set_text(json, "firmware", seen->firmware);
    set_text(json, "name", seen->name);
    set_text(json, "place", seen->place);
    set_u64(json, "size_bytes", drive_size_bytes(seen));
    const bool waiting = row->wanted && report->adopt == ADOPT_NONE;
    const bool ours = report->adoption.v[0] != '\0' && report->adopt != ADOPT_NONE && report->adopt != ADOPT_REFUSED;
    set_text(json, "adopt", adopt_word(waiting ? ADOPT_CHECKING : report->adopt));
    set_text(json, "why", report->why);
    set_new(json, "foreign", show_foreign(&seen->foreign));
    if (row->wanted || ours) {
        set_text(json, "adoption", row->adoption.v);
        set_text(json, "provider", provider_words[row->layout.provider]);
        set_text(json, "class", row->layout.class.v);
        set_u64(json, "slices", row->layout.count);
        set_u64(json, "slice_bytes", row->layout.slice_bytes);
        set_u64(json, "stranded_bytes", row->layout.stranded_bytes);
    }
    if (row->rule.v[0] != '\0' && (row->wanted || ours))
        set_text(json, "rule", row->rule.v);
    set_text(json, "rule_why", row->rule_why[0] != '\0' ? row->rule_why : report->rule_why);
    set_u64(json, "orphans", report->orphans);
    json_t *task = show_task(row);
    if (task != NULL)
        set_new(json, "task", task);
    json_t *all = jmap_write(&drive_seen_jmap, seen);
    set_new(json, "health", json_copy(json_object_get(all, "health")));
    show_health(service, row, json_object_get(json, "health"), json);
    if (with_seen)
        set_new(json, "seen", json_incref(all));
    json_decref(all);
    set_u64(json, "seen_ms", row->seen_ms);
    return json;
}

json_t *show_layout_lines(const struct drive_seen *drive, const struct layout *layout)
{
    json_t *array = json_array();
    must(array != NULL);
    struct plan_line line;
    for (size_t i = 0; plan_line(drive, layout, i, &line); i++) {
        json_t *one = object_new();
        set_text(one, "text", line.text);
        set_text(one, "command", line.command);
        must(json_array_append_new(array, one) == 0);
    }
    return array;
}

/* The VM that holds a claim, empty: none. */
static bool claim_vm(struct service *service, const struct claim_id *id, struct name *out, struct err *err)
{
    struct row_claim claim;
    bool found = false;
    *out = (struct name){0};
    if (id->v[0] == '\0')
        return true;
    if (!service->store->get(service->store->self, ROW_CLAIM, id->v, &claim, &found, err))
        return false;
    if (found)
        *out = claim.vm;
    return true;
}

/* The reading of the last scan, as core/host_wear.c takes it. */
static struct wear wear_now(const struct row_drive *drive, const struct slice *slice)
{
    const struct drive_seen *seen = &drive->report.seen;
    const struct ns_seen *ns = drive_ns(seen, slice->nsid);
    const bool own = ns != NULL && ns->counts_units;
    if (!seen->health.known)
        return (struct wear){0};
    return (struct wear){.units_written = own ? ns->units_written : seen->health.units_written,
                         .of_slices = slice->wear_out.of_slices,
                         .used_percent = seen->health.used_percent};
}

json_t *show_wear(struct service *service, const struct row_slice *row, struct err *err)
{
    const struct slice *slice = &row->slice;
    const bool held = slice->state == SLICE_ATTACHED;
    struct row_drive drive;
    char key[96];
    bool found;
    json_t *json = object_new();
    if (slice->wear_out.of_slices == 0)
        return json;
    drive_key(key, &row->host, slice->drive);
    if (!service->store->get(service->store->self, ROW_DRIVE, key, &drive, &found, err)) {
        json_decref(json);
        return NULL;
    }
    const struct wear last = held && found ? wear_now(&drive, slice) : slice->wear_back;
    set_new(json, "out", jmap_write(&wear_jmap, &slice->wear_out));
    if (last.of_slices != 0)
        set_new(json, held ? "now" : "back", jmap_write(&wear_jmap, &last));
    if (last.of_slices != 0 && last.units_written >= slice->wear_out.units_written)
        set_u64(json, "units_written", last.units_written - slice->wear_out.units_written);
    set_u64(json, "of_slices", slice->wear_out.of_slices);
    return json;
}

json_t *show_slice(struct service *service, const struct row_slice *row, struct err *err)
{
    const struct slice *slice = &row->slice;
    struct name vm;
    if (!claim_vm(service, &slice->owner, &vm, err))
        return NULL;
    json_t *json = object_new();
    set_text(json, "id", slice->id.v);
    set_text(json, "host", row->host.v);
    set_text(json, "drive", slice->drive);
    set_text(json, "class", slice->class.v);
    set_text(json, "state", slice_state_word(slice->state));
    set_u64(json, "nsid", slice->nsid.v);
    set_u64(json, "size_bytes", slice->size_bytes);
    set_u64(json, "block_bytes", slice->block_bytes);
    set_u64(json, "generation", slice->generation);
    set_text(json, "claim", slice->owner.v);
    set_text(json, "vm", vm.v);
    if (slice->state == SLICE_ATTACHED)
        set_text(json, "path", slice->path);
    set_text(json, "erasure", slice->erasure.v);
    if (slice->state == SLICE_ERASING || slice->state == SLICE_VERIFYING)
        set_u64(json, "progress_percent", slice->progress_percent);
    set_text(json, "why", row->gone ? "the host does not report it any more" : slice->why);
    json_t *wear = show_wear(service, row, err);
    if (wear == NULL) {
        json_decref(json);
        return NULL;
    }
    if (json_object_size(wear) > 0)
        set_new(json, "wear", json_incref(wear));
    json_decref(wear);
    json_t *wanted = object_new();
    set_u64(wanted, "generation", row->generation);
    set_text(wanted, "claim", row->claim.v);
    if (row->retries > slice->retries)
        set_new(wanted, "retry", json_true());
    if (row->retire)
        set_new(wanted, "retire", json_true());
    set_new(json, "wanted", wanted);
    return json;
}

static json_t *slice_ids(const struct slice_id *ids, size_t count)
{
    json_t *array = json_array();
    must(array != NULL);
    for (size_t i = 0; i < count; i++)
        must(json_array_append_new(array, json_string(ids[i].v)) == 0);
    return array;
}

json_t *show_claim(const struct row_claim *row)
{
    json_t *json = object_new();
    set_text(json, "id", row->id.v);
    set_text(json, "host", row->host.v);
    set_text(json, "class", row->class.v);
    set_text(json, "vm", row->vm.v);
    set_text(json, "state", claim_state_words[row->state]);
    set_u64(json, "created_ms", row->created_ms);
    set_new(json, "slices", slice_ids(row->slices, row->slice_count));
    return json;
}

json_t *show_vm(struct service *service, const struct row_vm *row, struct err *err)
{
    struct row_claim claim = {0};
    bool found;
    if (!service->store->get(service->store->self, ROW_CLAIM, row->claim.v, &claim, &found, err))
        return NULL;
    json_t *json = jmap_write(&vm_spec_jmap, &row->spec); /* name, uuid, vcpus, memory_bytes, datapath, image... */
    set_text(json, "flavor", row->flavor.v);
    set_text(json, "host", row->host.v);
    set_text(json, "claim", row->claim.v);
    set_new(json, "slices", slice_ids(claim.slices, found ? claim.slice_count : 0));
    set_text(json, "wanted", vm_power_word(row->power));
    set_text(json, "power", vm_power_word(row->seen.name.v[0] != '\0' ? row->seen.power : VM_GONE));
    if (row->power == VM_RUNNING && row->starts > row->seen.starts_done)
        set_new(json, "starting", json_true());
    set_text(json, "why", row->seen.why);
    set_text(json, "console", row->seen.console);
    set_text(json, "console_log", row->seen.console_log);
    set_u64(json, "iothreads", row->seen.iothreads);
    set_u64(json, "created_ms", row->created_ms);
    return json;
}
