/* domain_xml.h - a struct domain in the words of libvirt and of QEMU.
 *   - Pure but for memory: the same domain gives the same text. All of it is escaped by the writer.
 *   - Each slice is served by an iothread of its own: scsi has the iothread at the controller (so each slice has a
 *     controller), blk at the disk.
 *   - Slices are sda, sdb... (scsi) or vdb, vdc... (blk); a boot image is always vda, served by QEMU's main loop.
 *   - Only the boot image has a <boot order>: what a slice holds is nobody's boot loader. (With a kernel and no image
 *     libvirt marks the first disk all the same; the kernel comes before it.)
 *   - Slices are never device='lun': a guest must not send SCSI commands to the drive.
 *   - The caller frees the text. Out of memory ends the process. */
#ifndef NSMITH_DOMAIN_XML_H
#define NSMITH_DOMAIN_XML_H

#include "model/domain.h"

/* Marks a domain as ours, as an element "vm" with the VM's UUID in the domain's <metadata>. */
#define DOMAIN_XML_URI "https://nsmith.dev/domain/1"

char *domain_xml(const struct domain *domain);

/* For other orchestrators: a fragment of a libvirt domain with the disks of a bare claim only: <iothreads>, then per
 * slice its <controller> and <disk>. To be put into the domain's own <devices> (the <iothreads> beside it). */
char *domain_disks_xml(const struct domain *domain);

/* The same as arguments of QEMU, one option and its value a line, quoted for a shell and for xargs where needed. */
char *domain_qemu_args(const struct domain *domain);

enum { DOMAIN_TARGET_MAX = 8 };

/* The index-th name of a bus: "sda", ... "sdz", "sdaa"... */
void domain_target(char out[DOMAIN_TARGET_MAX], const char *bus, size_t index);

#endif
