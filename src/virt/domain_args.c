/* Disks as arguments of QEMU; see qemu(1), "Block device options" and "Device Emulation". */
#include "virt/domain_xml.h"

#include "base/must.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Both a POSIX shell and xargs understand these quotes: nothing is special between ' and ', and \' outside of them
 * is a '. */
static void put_quoted(FILE *out, const char *value)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789,=./_-:@%+";
    if (value[strspn(value, plain)] == '\0') {
        fputs(value, out);
        return;
    }
    putc('\'', out);
    for (; *value != '\0'; value++)
        if (*value == '\'')
            fputs("'\\''", out);
        else
            putc(*value, out);
    putc('\'', out);
}

/* One option and its value, one line. */
__attribute__((format(printf, 3, 4))) static void put_option(FILE *out, const char *option, const char *fmt, ...)
{
    char value[3 * PATH_TEXT_MAX];
    va_list ap;
    va_start(ap, fmt);
    const int len = vsnprintf(value, sizeof(value), fmt, ap);
    va_end(ap);
    must(len > 0 && (size_t)len < sizeof(value));
    fprintf(out, "%s ", option);
    put_quoted(out, value);
    putc('\n', out);
}

/* Values of QEMU's options end at a comma; a comma in a value is doubled (qemu(1), -drive). */
static void double_commas(char to[2 * PATH_TEXT_MAX], const char *path)
{
    for (; *path != '\0'; path++) {
        if (*path == ',')
            *to++ = ',';
        *to++ = *path;
    }
    *to = '\0';
}

static void put_device(FILE *out, const struct domain *domain, const struct domain_disk *disk, unsigned n)
{
    char front[80], wwn[24] = "";
    if (domain->datapath == DATAPATH_SCSI) {
        put_option(out, "-device", "virtio-scsi-pci,id=nsmith-scsi%u,iothread=nsmith-io%u", n, n);
        snprintf(front, sizeof(front), "scsi-hd,bus=nsmith-scsi%u.0,scsi-id=0,lun=0", n);
        if (disk->wwn[0] != '\0')
            snprintf(wwn, sizeof(wwn), ",wwn=0x%s", disk->wwn);
    } else {
        snprintf(front, sizeof(front), "virtio-blk-pci,iothread=nsmith-io%u", n);
    }
    put_option(out, "-device",
               "%s,id=nsmith-slice%u,drive=nsmith-disk%u,serial=%s%s,logical_block_size=%u,physical_block_size=%u,"
               "werror=report,rerror=report",
               front, n, n, disk->serial.v, wwn, disk->block_bytes, disk->block_bytes);
}

static void put_disk(FILE *out, const struct domain *domain, const struct domain_disk *disk)
{
    char path[2 * PATH_TEXT_MAX];
    double_commas(path, disk->path);
    const unsigned n = disk->iothread;
    put_option(out, "-object", "iothread,id=nsmith-io%u", n);
    put_option(out, "-blockdev",
               "driver=%s,node-name=nsmith-disk%u,filename=%s,cache.direct=on,aio=%s,discard=unmap,auto-read-only=off",
               disk->block_device ? "host_device" : "file", n, path, domain->io_uring ? "io_uring" : "native");
    put_device(out, domain, disk, n);
}

char *domain_qemu_args(const struct domain *domain)
{
    must(domain->disk_count <= CLAIM_SLICES_MAX);
    must(domain->datapath < DATAPATH_COUNT);
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    must(out != NULL);
    for (size_t i = 0; i < domain->disk_count; i++)
        put_disk(out, domain, &domain->disks[i]);
    const int failed = fclose(out);
    must(failed == 0);
    return text;
}
