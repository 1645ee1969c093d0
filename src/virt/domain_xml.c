/* The elements are those of "Domain XML format" of libvirt's documentation; the order is that of libvirt's own
 * output, so that `virsh dumpxml` and the golden files read alike. */
#include "virt/domain_xml.h"

#include "base/must.h"

#include <libxml/xmlwriter.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void domain_target(char out[DOMAIN_TARGET_MAX], const char *bus, size_t index)
{
    /* Bijective base 26: after z comes aa, as in the kernel's sd_format_disk_name(). */
    char letters[5] = {0};
    size_t at = sizeof(letters) - 1;
    for (size_t n = index + 1; n > 0; n = (n - 1) / 26) {
        must(at > 0);
        letters[--at] = (char)('a' + (n - 1) % 26);
    }
    const int len = snprintf(out, DOMAIN_TARGET_MAX, "%s%s", bus, &letters[at]);
    must(len > 0 && len < DOMAIN_TARGET_MAX);
}

/* ---- the writer, where only lack of memory can fail ------------------------------------------------------------ */

static const xmlChar *x(const char *utf8)
{
    return (const xmlChar *)utf8; /* libxml2's texts are unsigned bytes */
}

static void begin(xmlTextWriter *w, const char *element)
{
    must(xmlTextWriterStartElement(w, x(element)) >= 0);
}

static void end(xmlTextWriter *w)
{
    must(xmlTextWriterEndElement(w) >= 0);
}

static void attr(xmlTextWriter *w, const char *name, const char *value)
{
    must(xmlTextWriterWriteAttribute(w, x(name), x(value)) >= 0);
}

static void attr_u64(xmlTextWriter *w, const char *name, uint64_t value)
{
    char text[24];
    snprintf(text, sizeof(text), "%ju", (uintmax_t)value);
    attr(w, name, text);
}

static void text(xmlTextWriter *w, const char *element, const char *value)
{
    must(xmlTextWriterWriteElement(w, x(element), x(value)) >= 0);
}

static void text_u64(xmlTextWriter *w, const char *element, uint64_t value)
{
    char digits[24];
    snprintf(digits, sizeof(digits), "%ju", (uintmax_t)value);
    text(w, element, digits);
}

/* <element name='value' .../>; the pairs end with NULL. */
static void __attribute__((sentinel)) leaf(xmlTextWriter *w, const char *element, ...)
{
    begin(w, element);
    va_list ap;
    va_start(ap, element);
    for (const char *name = va_arg(ap, const char *); name != NULL; name = va_arg(ap, const char *))
        attr(w, name, va_arg(ap, const char *));
    va_end(ap);
    end(w);
}

/* ---- disks ----------------------------------------------------------------------------------------------------- */

static void write_controller(xmlTextWriter *w, const struct domain_disk *disk)
{
    begin(w, "controller");
    attr(w, "type", "scsi");
    attr_u64(w, "index", disk->controller);
    attr(w, "model", "virtio-scsi");
    begin(w, "driver");
    attr_u64(w, "iothread", disk->iothread);
    end(w);
    end(w);
}

static void write_slice_driver(xmlTextWriter *w, const struct domain *domain, const struct domain_disk *disk)
{
    begin(w, "driver");
    attr(w, "name", "qemu");
    attr(w, "type", "raw");
    attr(w, "cache", "none");
    /* A full or failed drive is the guest's to handle, as on a physical host. QEMU's own choice would stop the VM. */
    attr(w, "error_policy", "report");
    attr(w, "rerror_policy", "report");
    attr(w, "io", domain->io_uring ? "io_uring" : "native");
    attr(w, "discard", "unmap");
    if (domain->datapath == DATAPATH_BLK)
        attr_u64(w, "iothread", disk->iothread);
    end(w);
}

static void write_address(xmlTextWriter *w, const struct domain_disk *disk)
{
    begin(w, "address");
    attr(w, "type", "drive");
    attr_u64(w, "controller", disk->controller);
    attr(w, "bus", "0");
    attr(w, "target", "0");
    attr(w, "unit", "0");
    end(w);
}

static void write_slice(xmlTextWriter *w, const struct domain *domain, size_t index)
{
    const struct domain_disk *disk = &domain->disks[index];
    const bool scsi = domain->datapath == DATAPATH_SCSI;
    char target[DOMAIN_TARGET_MAX];
    domain_target(target, scsi ? "sd" : "vd", scsi ? index : index + 1);
    begin(w, "disk");
    attr(w, "type", disk->block_device ? "block" : "file");
    attr(w, "device", "disk");
    write_slice_driver(w, domain, disk);
    leaf(w, "source", disk->block_device ? "dev" : "file", disk->path, NULL);
    begin(w, "blockio");
    attr_u64(w, "logical_block_size", disk->block_bytes);
    attr_u64(w, "physical_block_size", disk->block_bytes);
    end(w);
    leaf(w, "target", "dev", target, "bus", scsi ? "scsi" : "virtio", NULL);
    text(w, "serial", disk->serial.v);
    if (scsi && disk->wwn[0] != '\0') /* libvirt refuses a wwn at virtio-blk */
        text(w, "wwn", disk->wwn);
    if (scsi)
        write_address(w, disk);
    end(w);
}

static void write_slices(xmlTextWriter *w, const struct domain *domain)
{
    for (size_t i = 0; i < domain->disk_count; i++) {
        if (domain->datapath == DATAPATH_SCSI)
            write_controller(w, &domain->disks[i]);
        write_slice(w, domain, i);
    }
}

static void write_image(xmlTextWriter *w, const struct domain *domain)
{
    begin(w, "disk");
    attr(w, "type", "file");
    attr(w, "device", "disk");
    leaf(w, "driver", "name", "qemu", "type", domain->image_qcow2 ? "qcow2" : "raw", "cache", "none", "discard",
         "unmap", NULL);
    leaf(w, "source", "file", domain->image, NULL);
    leaf(w, "target", "dev", "vda", "bus", "virtio", NULL);
    /* libvirt passes -boot strict=on: the firmware tries nothing that has no <boot order>. */
    if (domain->kernel[0] == '\0')
        leaf(w, "boot", "order", "1", NULL);
    end(w);
}

/* ---- the rest of a domain -------------------------------------------------------------------------------------- */

static void write_metadata(xmlTextWriter *w, const struct domain *domain)
{
    begin(w, "metadata");
    begin(w, "nsmith:vm");
    attr(w, "xmlns:nsmith", DOMAIN_XML_URI);
    attr(w, "uuid", domain->uuid.v);
    end(w);
    end(w);
}

static void write_memory(xmlTextWriter *w, const struct domain *domain)
{
    begin(w, "memory");
    attr(w, "unit", "KiB");
    must(xmlTextWriterWriteFormatString(w, "%ju", (uintmax_t)(domain->memory_bytes / 1024)) >= 0);
    end(w);
}

static void write_os(xmlTextWriter *w, const struct domain *domain)
{
    begin(w, "os");
    begin(w, "type");
    attr(w, "arch", "x86_64");
    attr(w, "machine", "q35");
    must(xmlTextWriterWriteString(w, x("hvm")) >= 0);
    end(w);
    if (domain->kernel[0] != '\0')
        text(w, "kernel", domain->kernel);
    if (domain->initrd[0] != '\0')
        text(w, "initrd", domain->initrd);
    if (domain->cmdline[0] != '\0')
        text(w, "cmdline", domain->cmdline);
    end(w);
}

/* Under emulation a model that is old enough to be quick and new enough for x86-64-v2 distributions. cx16: QEMU 7.2
 * emulates cmpxchg16b so that Linux 6.12 gets random double faults in its allocator; without the flag it does not
 * use it. */
static void write_cpu(xmlTextWriter *w, const struct domain *domain)
{
    begin(w, "cpu");
    if (domain->kvm) {
        attr(w, "mode", "host-passthrough");
        attr(w, "check", "none");
    } else {
        attr(w, "mode", "custom");
        attr(w, "match", "exact");
        attr(w, "check", "none");
        begin(w, "model");
        attr(w, "fallback", "forbid");
        must(xmlTextWriterWriteString(w, x("Nehalem")) >= 0);
        end(w);
        leaf(w, "feature", "policy", "disable", "name", "cx16", NULL);
    }
    end(w);
}

static void write_log(xmlTextWriter *w, const struct domain *domain)
{
    if (domain->console_log[0] != '\0')
        leaf(w, "log", "file", domain->console_log, "append", "off", NULL);
}

static void write_serial(xmlTextWriter *w, const struct domain *domain)
{
    begin(w, "serial");
    attr(w, "type", "pty");
    write_log(w, domain);
    leaf(w, "target", "type", "isa-serial", "port", "0", NULL);
    end(w);
    begin(w, "console");
    attr(w, "type", "pty");
    write_log(w, domain);
    leaf(w, "target", "type", "serial", "port", "0", NULL);
    end(w);
}

static void write_network(xmlTextWriter *w, const struct domain *domain)
{
    begin(w, "interface");
    attr(w, "type", "network");
    leaf(w, "source", "network", domain->network.v, NULL);
    leaf(w, "model", "type", "virtio", NULL);
    end(w);
}

static void write_rng(xmlTextWriter *w)
{
    begin(w, "rng");
    attr(w, "model", "virtio");
    begin(w, "backend");
    attr(w, "model", "random");
    must(xmlTextWriterWriteString(w, x("/dev/urandom")) >= 0);
    end(w);
    end(w);
}

static void write_devices(xmlTextWriter *w, const struct domain *domain)
{
    begin(w, "devices");
    if (domain->emulator[0] != '\0')
        text(w, "emulator", domain->emulator);
    if (domain->image[0] != '\0')
        write_image(w, domain);
    write_slices(w, domain);
    /* What libvirt would add by itself and nobody needs. */
    leaf(w, "controller", "type", "usb", "index", "0", "model", "none", NULL);
    if (domain->network.v[0] != '\0')
        write_network(w, domain);
    write_serial(w, domain);
    leaf(w, "memballoon", "model", "none", NULL);
    write_rng(w);
    end(w);
}

static void write_domain(xmlTextWriter *w, const struct domain *domain)
{
    begin(w, "domain");
    attr(w, "type", domain->kvm ? "kvm" : "qemu");
    text(w, "name", domain->name.v);
    text(w, "uuid", domain->uuid.v);
    write_metadata(w, domain);
    write_memory(w, domain);
    text_u64(w, "vcpu", domain->vcpus);
    text_u64(w, "iothreads", domain->disk_count);
    write_os(w, domain);
    begin(w, "features");
    leaf(w, "acpi", NULL);
    leaf(w, "apic", NULL);
    end(w);
    write_cpu(w, domain);
    leaf(w, "clock", "offset", "utc", NULL);
    text(w, "on_poweroff", "destroy");
    text(w, "on_reboot", "restart");
    text(w, "on_crash", "destroy");
    write_devices(w, domain);
    end(w);
}

/* Runs `write` and gives what it wrote, ended by a newline. */
static char *written(void (*write)(xmlTextWriter *w, const struct domain *domain), const struct domain *domain)
{
    must(domain->disk_count <= CLAIM_SLICES_MAX);
    must(domain->datapath < DATAPATH_COUNT);
    xmlBuffer *buffer = xmlBufferCreate();
    must(buffer != NULL);
    xmlTextWriter *w = xmlNewTextWriterMemory(buffer, 0);
    must(w != NULL);
    must(xmlTextWriterSetIndent(w, 1) >= 0 && xmlTextWriterSetIndentString(w, x("  ")) >= 0);
    /* Attributes stay in double quotes: with xmlTextWriterSetQuoteChar(w, '\'') libxml2 2.9 would not escape a ' . */
    write(w, domain);
    must(xmlTextWriterEndDocument(w) >= 0);
    xmlFreeTextWriter(w); /* writes out what it holds */
    char *out = strdup((const char *)xmlBufferContent(buffer));
    must(out != NULL);
    xmlBufferFree(buffer);
    return out;
}

char *domain_xml(const struct domain *domain)
{
    return written(write_domain, domain);
}

static void write_fragment(xmlTextWriter *w, const struct domain *domain)
{
    text_u64(w, "iothreads", domain->disk_count);
    write_slices(w, domain);
}

char *domain_disks_xml(const struct domain *domain)
{
    return written(write_fragment, domain);
}
