/* domain.h - a VM as a hypervisor gets it: what core/domain_build.h decides and virt/domain_xml.h writes down. */
#ifndef NSMITH_DOMAIN_H
#define NSMITH_DOMAIN_H

#include "base/jmap.h"
#include "model/ids.h"
#include "model/vm.h"

#include <stddef.h>

struct domain_disk {
    struct slice_id serial; /* <serial>: the slice id */
    char wwn[17];           /* <wwn>: 16 hex digits, NAA 3 (locally assigned) + hash of the slice id; or empty */
    char path[PATH_TEXT_MAX];
    bool block_device;      /* else a file */
    uint32_t iothread;      /* 1-based: the n-th disk has the n-th iothread */
    uint32_t controller;    /* scsi: index of its own controller, 0-based */
    uint32_t block_bytes;   /* logical and physical block size that the guest sees */
    uint64_t dev, ino, rdev; /* what must really be open behind path */
    uint64_t size_bytes;
};

struct domain {
    struct name name;
    struct uuid uuid;
    bool kvm; /* else TCG */
    uint32_t vcpus;
    uint64_t memory_bytes;
    enum datapath datapath;
    bool io_uring; /* else native AIO */
    bool autostart;
    char emulator[PATH_TEXT_MAX];
    char image[PATH_TEXT_MAX], kernel[PATH_TEXT_MAX], initrd[PATH_TEXT_MAX], cmdline[512];
    bool image_qcow2;
    struct name network;
    char console_log[PATH_TEXT_MAX];
    struct domain_disk disks[CLAIM_SLICES_MAX];
    size_t disk_count;
};

extern const struct jmap domain_jmap;

#endif
