#include "core/domain_build.h"

#include "base/must.h"
#include "base/text.h"

#include <stdio.h>
#include <string.h>

/* The 64-bit FNV-1a hash (Fowler, Noll, Vo; public domain), stirred once more so that ids that differ in their last
 * character differ in every digit. */
static uint64_t hash_text(const char *text)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (; *text != '\0'; text++)
        hash = (hash ^ (uint8_t)*text) * 0x100000001b3u;
    hash = (hash ^ (hash >> 30)) * 0xbf58476d1ce4e5b9u;
    hash = (hash ^ (hash >> 27)) * 0x94d049bb133111ebu;
    return hash ^ (hash >> 31);
}

void domain_wwn(const struct slice_id *id, char out[17])
{
    /* SPC-5, "NAA Locally Assigned designator format": NAA is 3h, the other 60 bits are the administrator's. */
    const uint64_t number = UINT64_C(3) << 60 | hash_text(id->v) >> 4;
    snprintf(out, 17, "%016jx", (uintmax_t)number);
}

/* A hypervisor invents a UUID where it gets none, and we would not find the VM again. */
static bool is_uuid(const char *text)
{
    static const char form[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
    for (size_t i = 0; i < sizeof(form) - 1; i++) {
        const bool digit = (text[i] >= '0' && text[i] <= '9') || (text[i] >= 'a' && text[i] <= 'f');
        if (form[i] == 'x' ? !digit : text[i] != '-')
            return false;
    }
    return text[sizeof(form) - 1] == '\0';
}

/* XML 1.0 cannot carry control characters at all, not even escaped. */
static bool path_check(const char *what, const char *path, struct err *err)
{
    for (const char *c = path; *c != '\0'; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f) {
            err_set(err, ERR_INPUT, "cannot use the path of the %s: it holds a control character", what);
            return err_hint(err, "rename the file");
        }
    return true;
}

static bool slice_check(const struct domain_slice *slice, size_t nth, struct err *err)
{
    if (!text_is_name(slice->id.v, sizeof(slice->id.v) - 1)) /* what a serial number can carry through to the guest */
        return err_set(err, ERR_INPUT, "cannot hand out slice %zu: '%s' is no slice id", nth, slice->id.v);
    if (slice->path[0] == '\0') {
        err_set(err, ERR_INPUT, "cannot hand out slice '%s': it has no path", slice->id.v);
        return err_hint(err, "look whether its drive is there: nsmith drive list");
    }
    if (slice->path[0] != '/')
        return err_set(err, ERR_INPUT, "cannot hand out slice '%s': '%s' is not an absolute path", slice->id.v,
                       slice->path);
    /* QEMU takes powers of two from 512 bytes to 2 MiB (hw/block/block.c); NVMe has them from 512 bytes on. */
    const uint32_t block = slice->block_bytes;
    if (block < 512 || block > 2u << 20 || (block & (block - 1)) != 0)
        return err_set(err, ERR_INPUT, "cannot hand out slice '%s': a block of %u bytes is no power of two from 512",
                       slice->id.v, block);
    if (slice->size_bytes == 0 || slice->size_bytes % block != 0)
        return err_set(err, ERR_INPUT, "cannot hand out slice '%s': %ju bytes are not whole blocks of %u", slice->id.v,
                       (uintmax_t)slice->size_bytes, block);
    /* Without it there would be nothing to compare with what the hypervisor opened. */
    if (slice->block_device ? slice->rdev == 0 : slice->ino == 0)
        return err_set(err, ERR_INPUT, "cannot hand out slice '%s': nobody told what is behind '%s'", slice->id.v,
                       slice->path);
    return path_check("slice", slice->path, err);
}

static bool same_thing(const struct domain_slice *a, const struct domain_slice *b)
{
    if (a->block_device != b->block_device)
        return false;
    return a->block_device ? a->rdev == b->rdev : a->dev == b->dev && a->ino == b->ino;
}

static bool differ(const struct domain_slice *slices, size_t count, struct err *err)
{
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < i; j++) {
            if (slice_id_eq(&slices[i].id, &slices[j].id))
                return err_set(err, ERR_INPUT, "cannot hand out slice '%s': it is there twice", slices[i].id.v);
            if (strcmp(slices[i].path, slices[j].path) == 0 || same_thing(&slices[i], &slices[j]))
                return err_set(err, ERR_INPUT, "cannot hand out slice '%s': behind '%s' is slice '%s' too",
                               slices[i].id.v, slices[i].path, slices[j].id.v);
        }
    return true;
}

static struct domain_disk disk_of(const struct domain_slice *slice, size_t index, enum datapath datapath)
{
    struct domain_disk disk = {
        .serial = slice->id,
        .block_device = slice->block_device,
        .iothread = (uint32_t)index + 1,
        .controller = datapath == DATAPATH_SCSI ? (uint32_t)index : 0,
        .block_bytes = slice->block_bytes,
        .dev = slice->dev,
        .ino = slice->ino,
        .rdev = slice->rdev,
        .size_bytes = slice->size_bytes,
    };
    memcpy(disk.path, slice->path, sizeof(disk.path));
    if (datapath == DATAPATH_SCSI) /* virtio-blk has no such thing */
        domain_wwn(&slice->id, disk.wwn);
    return disk;
}

bool domain_build_disks(const struct domain_slice *slices, size_t slice_count, enum datapath datapath, bool io_uring,
                        struct domain *out, struct err *err)
{
    must(datapath < DATAPATH_COUNT);
    if (slice_count < 1 || slice_count > CLAIM_SLICES_MAX)
        return err_set(err, ERR_INPUT, "cannot hand out %zu slices: must be 1 to %d", slice_count, CLAIM_SLICES_MAX);
    for (size_t i = 0; i < slice_count; i++)
        if (!slice_check(&slices[i], i + 1, err))
            return false;
    if (!differ(slices, slice_count, err))
        return false;
    struct domain domain = {.datapath = datapath, .io_uring = io_uring, .disk_count = slice_count};
    for (size_t i = 0; i < slice_count; i++)
        domain.disks[i] = disk_of(&slices[i], i, datapath);
    *out = domain;
    return true;
}

static bool spec_check(const struct vm_spec *spec, const struct domain_host *host, struct err *err)
{
    if (!vm_spec_check(spec, err) || !path_check("image", spec->image, err) ||
        !path_check("kernel", spec->kernel, err) || !path_check("initrd", spec->initrd, err) ||
        !path_check("console log", host->console_log, err))
        return false;
    if (!is_uuid(spec->uuid.v))
        return err_set(err, ERR_INPUT, "cannot make VM '%s': '%s' is no UUID in lower case", spec->name.v,
                       spec->uuid.v);
    return true;
}

static bool ends_with(const char *text, const char *end)
{
    const size_t text_len = strlen(text), end_len = strlen(end);
    return text_len > end_len && strcmp(text + text_len - end_len, end) == 0;
}

bool domain_build(const struct vm_spec *spec, const struct domain_slice *slices, size_t slice_count,
                  const struct domain_host *host, struct domain *out, struct err *err)
{
    struct domain domain;
    if (!spec_check(spec, host, err))
        return false;
    if (!domain_build_disks(slices, slice_count, spec->datapath, host->io_uring, &domain, err))
        return err_wrap(err, "VM '%s'", spec->name.v);
    domain.name = spec->name;
    domain.uuid = spec->uuid;
    domain.kvm = host->kvm;
    domain.vcpus = spec->vcpus;
    domain.memory_bytes = spec->memory_bytes;
    domain.autostart = spec->autostart;
    domain.network = spec->network;
    /* By name, never by content: a guest could write a qcow2 header into its raw disk, which names any file of the
     * host as its backing file, and would be given that file at its next start. */
    domain.image_qcow2 = ends_with(spec->image, ".qcow2");
    memcpy(domain.image, spec->image, sizeof(domain.image));
    memcpy(domain.kernel, spec->kernel, sizeof(domain.kernel));
    memcpy(domain.initrd, spec->initrd, sizeof(domain.initrd));
    memcpy(domain.cmdline, spec->cmdline, sizeof(domain.cmdline));
    memcpy(domain.emulator, host->emulator, sizeof(domain.emulator));
    memcpy(domain.console_log, host->console_log, sizeof(domain.console_log));
    *out = domain;
    return true;
}
