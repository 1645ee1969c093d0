/* What a guest's QEMU says of its disks, asked through its monitor. See "QEMU QMP Reference Manual", query-block and
 * qom-get. The kernel said which things are open (qemu_process.h); this says which of them the guest sees as what, and
 * which thread serves it. */
#include "virt/virt_libvirt_priv.h"

#include "base/must.h"

#include <jansson.h>
#include <libvirt/libvirt-qemu.h>
#include <stdio.h>
#include <string.h>

static void put_json(json_t **json)
{
    json_decref(*json);
}
#define auto_json __attribute__((cleanup(put_json)))

struct monitor {
    const struct lv *lv;
    virDomain *vir;
    const struct domain *domain;
};

static bool differs(const struct monitor *monitor, const struct domain_disk *disk, const char *what, struct err *err)
{
    return err_set(err, ERR_UNSAFE, "cannot run VM '%s': slice '%s' (%s): %s", monitor->domain->name.v, disk->serial.v,
                   disk->path, what);
}

/* The "return" of a command, owned by the caller; takes `arguments`. */
static json_t *ask(const struct monitor *monitor, const char *command, json_t *arguments, struct err *err)
{
    auto_json json_t *request = json_pack("{s:s, s:o}", "execute", command, "arguments", arguments);
    must(request != NULL);
    auto_text char *text = json_dumps(request, 0);
    must(text != NULL);
    auto_text char *reply = NULL;
    if (virDomainQemuMonitorCommand(monitor->vir, text, &reply, 0) < 0) {
        lv_error(monitor->lv, err, "cannot ask QEMU of VM '%s'", monitor->domain->name.v);
        return NULL;
    }
    auto_json json_t *json = json_loads(reply, 0, NULL);
    json_t *answer = json_object_get(json, "return");
    if (answer == NULL) {
        const json_t *why = json_object_get(json_object_get(json, "error"), "desc");
        err_set(err, ERR_UNSAFE, "cannot ask QEMU of VM '%s' for %s: %s", monitor->domain->name.v, command,
                json_is_string(why) ? json_string_value(why) : "it gave no answer");
        return NULL;
    }
    return json_incref(answer);
}

static const char *text_at(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text != NULL ? text : "";
}

/* A text property of an object of QEMU. */
static bool property(const struct monitor *monitor, const char *path, const char *name, char *out, size_t size,
                     struct err *err)
{
    auto_json json_t *answer = ask(monitor, "qom-get", json_pack("{s:s, s:s}", "path", path, "property", name), err);
    if (answer == NULL)
        return false;
    if (!json_is_string(answer))
        return err_set(err, ERR_UNSAFE, "cannot ask QEMU of VM '%s': '%s' of '%s' is no text", monitor->domain->name.v,
                       name, path);
    snprintf(out, size, "%s", json_string_value(answer));
    return true;
}

/* The object whose iothread serves the disk: virtio-blk itself, or the controller of a SCSI disk, which is what its
 * bus is called after. */
static bool server_of(const struct monitor *monitor, const char *device, char *out, size_t size, struct err *err)
{
    if (monitor->domain->datapath == DATAPATH_BLK) {
        snprintf(out, size, "%s", device);
        return true;
    }
    if (!property(monitor, device, "parent_bus", out, size, err))
        return false;
    char *end = strrchr(out, '/');
    if (end != NULL)
        *end = '\0';
    return true;
}

static bool check_device(const struct monitor *monitor, const struct domain_disk *disk, const char *device,
                         struct err *err)
{
    char got[512], server[512], want[32];
    if (!property(monitor, device, "serial", got, sizeof(got), err))
        return false;
    if (strcmp(got, disk->serial.v) != 0)
        return differs(monitor, disk, "the guest would see it with another serial number", err);
    if (!server_of(monitor, device, server, sizeof(server), err) ||
        !property(monitor, server, "iothread", got, sizeof(got), err))
        return false;
    snprintf(want, sizeof(want), "/objects/iothread%u", disk->iothread);
    return strcmp(got, want) == 0 || differs(monitor, disk, "another iothread than its own serves it", err);
}

static bool check_node(const struct monitor *monitor, const struct domain_disk *disk, const json_t *inserted,
                       struct err *err)
{
    const char *driver = text_at(inserted, "drv");
    const json_t *image = json_object_get(inserted, "image");
    /* libvirt puts "raw" over the file or device; newer ones leave it out. */
    if (strcmp(driver, "raw") != 0 && strcmp(driver, disk->block_device ? "host_device" : "file") != 0)
        return differs(monitor, disk, "it is not opened as raw", err);
    if (!json_is_false(json_object_get(inserted, "ro")))
        return differs(monitor, disk, "it is opened only for reading", err);
    if (!json_is_true(json_object_get(json_object_get(inserted, "cache"), "direct")))
        return differs(monitor, disk, "the host's cache is between it and the guest", err);
    if ((uint64_t)json_integer_value(json_object_get(image, "virtual-size")) != disk->size_bytes)
        return differs(monitor, disk, "its size is not that of the slice", err);
    return true;
}

/* `blocks` is the answer of query-block. */
static bool check_disk(const struct monitor *monitor, const struct domain_disk *disk, const json_t *blocks,
                       struct err *err)
{
    const json_t *found = NULL, *block;
    size_t i;
    json_array_foreach(blocks, i, block)
    {
        if (strcmp(text_at(json_object_get(block, "inserted"), "file"), disk->path) != 0)
            continue;
        if (found != NULL)
            return differs(monitor, disk, "two disks of the guest are behind one path", err);
        found = block;
    }
    if (found == NULL)
        return differs(monitor, disk, "QEMU did not open it", err);
    char device[512];
    const char *qdev = text_at(found, "qdev"); /* an id, or the path of an object */
    snprintf(device, sizeof(device), "%s%s", qdev[0] == '/' ? "" : "/machine/peripheral/", qdev);
    return check_node(monitor, disk, json_object_get(found, "inserted"), err) &&
           check_device(monitor, disk, device, err);
}

static bool check_counts(const struct monitor *monitor, const json_t *blocks, struct err *err)
{
    const struct domain *domain = monitor->domain;
    const size_t want = domain->disk_count + (domain->image[0] != '\0');
    if (json_array_size(blocks) != want)
        return err_set(err, ERR_UNSAFE, "cannot run VM '%s': it has %zu disks, not %zu", domain->name.v,
                       json_array_size(blocks), want);
    auto_json json_t *iothreads = ask(monitor, "query-iothreads", json_object(), err);
    if (iothreads == NULL)
        return false;
    if (json_array_size(iothreads) != domain->disk_count)
        return err_set(err, ERR_UNSAFE, "cannot run VM '%s': it has %zu iothreads for %zu slices", domain->name.v,
                       json_array_size(iothreads), domain->disk_count);
    return true;
}

bool lv_monitor_check(const struct lv *lv, virDomain *vir, const struct domain *domain, struct err *err)
{
    const struct monitor monitor = {.lv = lv, .vir = vir, .domain = domain};
    auto_json json_t *blocks = ask(&monitor, "query-block", json_object(), err);
    if (blocks == NULL || !check_counts(&monitor, blocks, err))
        return false;
    for (size_t i = 0; i < domain->disk_count; i++)
        if (!check_disk(&monitor, &domain->disks[i], blocks, err))
            return false;
    return true;
}
