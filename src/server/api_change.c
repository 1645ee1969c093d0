/* POST, PUT, DELETE: bodies to requests of the service. */
#include "server/api_priv.h"

#include "base/must.h"
#include "base/text.h"

/* ---- drives -------------------------------------------------------------------------------------------------- */

struct adopt_body {
    enum provider provider;
    struct name class, host;
    char confirm[21];
    struct layout expect;
};

static const struct jfield adopt_fields[] = {
    {JENUM(struct adopt_body, provider, provider_words), .optional = true},
    {JID(struct adopt_body, class), .optional = true},
    {JID(struct adopt_body, host), .optional = true},
    {JSTR(struct adopt_body, confirm), .optional = true},
    {JOBJ(struct adopt_body, expect, layout_jmap), .optional = true},
};
static const struct jmap adopt_body_jmap = JMAP(struct adopt_body, adopt_fields);

static json_t *show_lost(const struct drive_seen *seen)
{
    json_t *list = json_array();
    must(list != NULL);
    for (size_t i = 0; i < seen->ns_count; i++) {
        json_t *one = object_new();
        set_u64(one, "nsid", seen->ns[i].nsid.v);
        set_u64(one, "size_bytes", seen->ns[i].size_blocks * seen->ns[i].block_bytes);
        must(json_array_append_new(list, one) == 0);
    }
    return list;
}

bool post_adopt(struct call *call, json_t **out, struct err *err)
{
    struct adopt_body body;
    struct row_drive drive;
    struct layout layout;
    struct uuid adoption = {0};
    if (!body_read(call, &adopt_body_jmap, &body, err))
        return false;
    struct adopt_request request = {.host = body.host, .class = body.class, .provider = body.provider};
    if (!text_copy(request.serial, sizeof(request.serial), call->args[0]))
        return err_set(err, ERR_MISSING, "cannot find drive '%.40s': no serial is that long", call->args[0]);
    if (!service_plan(call->service, &request, &drive, &layout, err))
        return false;
    if (!call->dry_run) {
        if (strcmp(body.confirm, request.serial) != 0) {
            err_set(err, ERR_UNSAFE, "cannot adopt drive '%s': the confirmation is not its serial number", request.serial);
            return err_hint(err, "look at the plan first: nsmith drive adopt %s --dry-run", request.serial);
        }
        const bool expected = body.expect.provider != PROVIDER_NONE;
        if (!service_adopt(call->service, &request, expected ? &body.expect : NULL, &adoption, err))
            return false;
    }
    json_t *json = object_new();
    set_new(json, "drive", show_drive(call->service, &drive, false));
    set_new(json, "layout", jmap_write(&layout_jmap, &layout));
    set_new(json, "lines", show_layout_lines(&drive.report.seen, &layout));
    set_new(json, "lost", show_lost(&drive.report.seen));
    set_text(json, "adoption", adoption.v);
    *out = json;
    return true;
}

/* ---- slices -------------------------------------------------------------------------------------------------- */

static bool slice_id_read(const char *text, struct slice_id *out, struct err *err)
{
    if (text_copy(out->v, sizeof(out->v), text))
        return true;
    return err_set(err, ERR_MISSING, "cannot find slice '%.40s': no slice id is that long", text);
}

static bool slice_answer(struct call *call, const struct slice_id *id, json_t **out, struct err *err)
{
    struct row_slice row;
    if (!must_get(call->service, ROW_SLICE, "slice", id->v, &row, err))
        return false;
    *out = show_slice(call->service, &row, err);
    return *out != NULL;
}

bool post_retry(struct call *call, json_t **out, struct err *err)
{
    struct slice_id id;
    return slice_id_read(call->args[0], &id, err) && service_slice_retry(call->service, &id, err) &&
           slice_answer(call, &id, out, err);
}

struct retire_body {
    char confirm[21];
};

static const struct jfield retire_fields[] = {{JSTR(struct retire_body, confirm), .optional = true}};
static const struct jmap retire_body_jmap = JMAP(struct retire_body, retire_fields);

bool post_retire(struct call *call, json_t **out, struct err *err)
{
    struct slice_id id;
    struct retire_body body;
    if (!slice_id_read(call->args[0], &id, err) || !body_read(call, &retire_body_jmap, &body, err))
        return false;
    if (!call->dry_run && strcmp(body.confirm, id.v) != 0) {
        err_set(err, ERR_UNSAFE, "cannot retire slice '%s': the confirmation is not its id", id.v);
        return err_hint(err, "retiring deletes the slice for good");
    }
    return service_slice_retire(call->service, &id, err) && slice_answer(call, &id, out, err);
}

/* ---- classes, flavors ---------------------------------------------------------------------------------------- */

/* The name comes from the path; in the body it may stand again, but not differently. */
static bool path_name(struct call *call, const char *what, struct name *out, struct err *err)
{
    if (!text_is_name(call->args[0], NAME_MAX_LEN)) {
        err_set(err, ERR_INPUT, "cannot use '%.80s' as the name of a %s: use 1 to %d letters, digits, '.', '_' and '-'",
                call->args[0], what, NAME_MAX_LEN);
        return err_hint(err, "choose another name");
    }
    return text_copy(out->v, sizeof(out->v), call->args[0]);
}

struct class_body {
    struct name name;
    uint64_t nominal_bytes;
    uint32_t tolerance_ppm;
};

static const struct jfield class_fields[] = {
    {JID(struct class_body, name), .optional = true},
    {JU64(struct class_body, nominal_bytes)},
    {JU32(struct class_body, tolerance_ppm), .optional = true},
};
static const struct jmap class_body_jmap = JMAP(struct class_body, class_fields);

static bool class_in_use(struct call *call, const struct name *name, bool *out, struct err *err)
{
    auto_rows struct rows slices = {0};
    if (!rows_read(call->service, ROW_SLICE, NULL, &slices, err))
        return false;
    *out = false;
    for (size_t i = 0; i < slices.count; i++)
        *out = *out || name_eq(&((const struct row_slice *)rows_at(&slices, i))->slice.class, name);
    return true;
}

bool put_class(struct call *call, json_t **out, struct err *err)
{
    struct class_body body;
    struct slice_class class = {0}, old;
    bool found, used;
    if (!path_name(call, "slice class", &class.name, err) || !body_read(call, &class_body_jmap, &body, err))
        return false;
    if (body.nominal_bytes < (1u << 20) || body.tolerance_ppm > 500000)
        return err_set(err, ERR_INPUT, "cannot use slice class '%s': nominal_bytes must be at least 1 MiB and "
                       "tolerance_ppm at most 500000", class.name.v);
    class.nominal_bytes = body.nominal_bytes;
    class.tolerance_ppm = body.tolerance_ppm;
    struct store *store = call->service->store;
    if (!store->get(store->self, ROW_CLASS, class.name.v, &old, &found, err) ||
        !class_in_use(call, &class.name, &used, err))
        return false;
    if (found && used && (old.nominal_bytes != class.nominal_bytes || old.tolerance_ppm != class.tolerance_ppm)) {
        err_set(err, ERR_CONFLICT, "cannot change slice class '%s': slices of it exist", class.name.v);
        return err_hint(err, "make a class of another name");
    }
    if (!store->put(store->self, ROW_CLASS, &class, err) || !service_rules(call->service, NULL, err))
        return false; /* a rule may have waited for this class */
    *out = jmap_write(&slice_class_jmap, &class);
    return true;
}

static const struct jfield flavor_fields[] = {
    {.name = "name", .kind = J_STR, .optional = true, .offset = offsetof(struct flavor, name), .size = sizeof(struct name)},
    {JU32(struct flavor, vcpus)},
    {JU64(struct flavor, memory_bytes)},
    {JU32(struct flavor, slices)},
    {JID(struct flavor, class), .optional = true},
    {.name = "datapath", .kind = J_ENUM, .optional = true, .offset = offsetof(struct flavor, datapath),
     .size = sizeof(enum datapath), .names = datapath_words, .names_count = DATAPATH_COUNT},
    {.name = "spread", .kind = J_ENUM, .optional = true, .offset = offsetof(struct flavor, spread),
     .size = sizeof(enum spread), .names = spread_words, .names_count = SPREAD_COUNT},
};
static const struct jmap flavor_body_jmap = JMAP(struct flavor, flavor_fields);

bool put_flavor(struct call *call, json_t **out, struct err *err)
{
    struct flavor flavor;
    struct slice_class class;
    struct name name;
    if (!path_name(call, "flavor", &name, err) || !body_read(call, &flavor_body_jmap, &flavor, err))
        return false;
    flavor.name = name;
    if (flavor.class.v[0] == '\0')
        text_cut(flavor.class.v, sizeof(flavor.class.v), "500G");
    if (!flavor_check(&flavor, err) || !must_get(call->service, ROW_CLASS, "slice class", flavor.class.v, &class, err) ||
        !call->service->store->put(call->service->store->self, ROW_FLAVOR, &flavor, err))
        return false;
    *out = jmap_write(&flavor_jmap, &flavor);
    return true;
}

bool delete_flavor(struct call *call, json_t **out, struct err *err)
{
    struct flavor flavor;
    if (!must_get(call->service, ROW_FLAVOR, "flavor", call->args[0], &flavor, err) ||
        !call->service->store->del(call->service->store->self, ROW_FLAVOR, call->args[0], err))
        return false;
    *out = jmap_write(&flavor_jmap, &flavor);
    return true;
}

/* ---- claims -------------------------------------------------------------------------------------------------- */

static const struct jfield claim_fields[] = {
    {JID(struct claim_request, id), .optional = true},
    {JID(struct claim_request, class), .optional = true},
    {JU32(struct claim_request, slices)},
    {.name = "spread", .kind = J_ENUM, .optional = true, .offset = offsetof(struct claim_request, spread),
     .size = sizeof(enum spread), .names = spread_words, .names_count = SPREAD_COUNT},
    {JID(struct claim_request, host), .optional = true},
};
static const struct jmap claim_request_jmap = JMAP(struct claim_request, claim_fields);

bool post_claim(struct call *call, json_t **out, struct err *err)
{
    struct claim_request request;
    struct row_claim claim;
    if (!body_read(call, &claim_request_jmap, &request, err) ||
        !service_claim(call->service, &request, call->now_ms, &claim, err))
        return false;
    call->status = 201;
    *out = show_claim(&claim);
    return true;
}

bool delete_claim(struct call *call, json_t **out, struct err *err)
{
    struct claim_id id;
    struct row_claim claim;
    if (!text_copy(id.v, sizeof(id.v), call->args[0]))
        return err_set(err, ERR_MISSING, "cannot find claim '%.60s': no claim id is that long", call->args[0]);
    if (!service_claim_release(call->service, &id, err) ||
        !must_get(call->service, ROW_CLAIM, "claim", id.v, &claim, err))
        return false;
    *out = show_claim(&claim);
    return true;
}

/* ---- VMs ----------------------------------------------------------------------------------------------------- */

struct vm_body {
    struct name name, flavor, network, host;
    uint32_t vcpus;
    uint64_t memory_bytes;
    char image[PATH_TEXT_MAX], kernel[PATH_TEXT_MAX], initrd[PATH_TEXT_MAX], cmdline[512];
    bool autostart;
};

static const struct jfield vm_fields[] = {
    {JID(struct vm_body, name)},
    {JID(struct vm_body, flavor)},
    {JSTR(struct vm_body, image), .optional = true},
    {JSTR(struct vm_body, kernel), .optional = true},
    {JSTR(struct vm_body, initrd), .optional = true},
    {JSTR(struct vm_body, cmdline), .optional = true},
    {JID(struct vm_body, network), .optional = true},
    {JID(struct vm_body, host), .optional = true},
    {JBOOL(struct vm_body, autostart), .optional = true},
    {JU32(struct vm_body, vcpus), .optional = true},
    {JU64(struct vm_body, memory_bytes), .optional = true},
};
static const struct jmap vm_body_jmap = JMAP(struct vm_body, vm_fields);

static bool vm_answer(struct call *call, const struct name *name, json_t **out, struct err *err)
{
    struct row_vm row;
    if (!must_get(call->service, ROW_VM, "VM", name->v, &row, err))
        return false;
    *out = show_vm(call->service, &row, err);
    return *out != NULL;
}

bool post_vm(struct call *call, json_t **out, struct err *err)
{
    struct vm_body body;
    struct row_vm row;
    if (!body_read(call, &vm_body_jmap, &body, err))
        return false;
    struct vm_request request = {.spec = {.name = body.name,
                                          .vcpus = body.vcpus,
                                          .memory_bytes = body.memory_bytes,
                                          .network = body.network,
                                          .autostart = body.autostart},
                                 .flavor = body.flavor,
                                 .host = body.host};
    memcpy(request.spec.image, body.image, sizeof(body.image));
    memcpy(request.spec.kernel, body.kernel, sizeof(body.kernel));
    memcpy(request.spec.initrd, body.initrd, sizeof(body.initrd));
    memcpy(request.spec.cmdline, body.cmdline, sizeof(body.cmdline));
    if (!service_vm_create(call->service, &request, call->now_ms, &row, err))
        return false;
    call->status = 201;
    return vm_answer(call, &row.spec.name, out, err);
}

static bool vm_name_read(struct call *call, struct name *out, struct err *err)
{
    if (text_copy(out->v, sizeof(out->v), call->args[0]))
        return true;
    return err_set(err, ERR_MISSING, "cannot find VM '%.80s': no VM name is that long", call->args[0]);
}

static bool vm_act(struct call *call, enum vm_action action, json_t **out, struct err *err)
{
    struct name name;
    return vm_name_read(call, &name, err) && service_vm_act(call->service, &name, action, err) &&
           vm_answer(call, &name, out, err);
}

bool post_vm_start(struct call *call, json_t **out, struct err *err)
{
    return vm_act(call, VM_START, out, err);
}

bool post_vm_stop(struct call *call, json_t **out, struct err *err)
{
    return vm_act(call, VM_STOP, out, err);
}

bool post_vm_kill(struct call *call, json_t **out, struct err *err)
{
    return vm_act(call, VM_KILL, out, err);
}

bool post_vm_reboot(struct call *call, json_t **out, struct err *err)
{
    return vm_act(call, VM_REBOOT, out, err);
}

bool delete_vm(struct call *call, json_t **out, struct err *err)
{
    struct name name;
    return vm_name_read(call, &name, err) && service_vm_delete(call->service, &name, err) &&
           vm_answer(call, &name, out, err);
}
