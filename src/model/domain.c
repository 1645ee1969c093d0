#include "model/domain.h"

static const struct jfield disk_fields[] = {
    {JID(struct domain_disk, serial)},
    {JSTR(struct domain_disk, wwn), .optional = true},
    {JSTR(struct domain_disk, path)},
    {JBOOL(struct domain_disk, block_device)},
    {JU32(struct domain_disk, iothread)},
    {JU32(struct domain_disk, controller)},
    {JU32(struct domain_disk, block_bytes)},
    {JU64(struct domain_disk, dev), .optional = true},
    {JU64(struct domain_disk, ino), .optional = true},
    {JU64(struct domain_disk, rdev), .optional = true},
    {JU64(struct domain_disk, size_bytes)},
};
static const struct jmap disk_jmap = JMAP(struct domain_disk, disk_fields);

static const struct jfield domain_fields[] = {
    {JID(struct domain, name)},
    {JID(struct domain, uuid)},
    {JBOOL(struct domain, kvm)},
    {JU32(struct domain, vcpus)},
    {JU64(struct domain, memory_bytes)},
    {JENUM(struct domain, datapath, datapath_words)},
    {JBOOL(struct domain, io_uring)},
    {JBOOL(struct domain, autostart), .optional = true},
    {JSTR(struct domain, emulator), .optional = true},
    {JSTR(struct domain, image), .optional = true},
    {JBOOL(struct domain, image_qcow2), .optional = true},
    {JSTR(struct domain, kernel), .optional = true},
    {JSTR(struct domain, initrd), .optional = true},
    {JSTR(struct domain, cmdline), .optional = true},
    {JID(struct domain, network), .optional = true},
    {JSTR(struct domain, console_log), .optional = true},
    {JLIST(struct domain, disks, disk_count, disk_jmap)},
};
const struct jmap domain_jmap = JMAP(struct domain, domain_fields);
