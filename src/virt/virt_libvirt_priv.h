/* virt_libvirt_priv.h - what the files virt_libvirt*.c share. */
#ifndef NSMITH_VIRT_LIBVIRT_PRIV_H
#define NSMITH_VIRT_LIBVIRT_PRIV_H

#include "virt/qemu_process.h"
#include "virt/virt_port.h"

#include <libvirt/libvirt.h>
#include <libxml/tree.h>
#include <stdlib.h>

struct lv {
    char uri[PATH_TEXT_MAX];
    char console_dir[PATH_TEXT_MAX];
    bool force_tcg;
    virConnect *conn; /* owned; NULL: nobody answered yet */
    struct qemu_processes processes;
    bool probed; /* the two below are known */
    bool kvm, io_uring;
    bool io_uring_broken; /* a start failed because of it */
};

static inline void lv_free_domain(virDomain **domain)
{
    if (*domain != NULL)
        virDomainFree(*domain);
}
#define auto_domain __attribute__((cleanup(lv_free_domain)))

static inline void lv_free_text(char **text)
{
    free(*text);
}
#define auto_text __attribute__((cleanup(lv_free_text)))

static inline void lv_free_doc(xmlDoc **doc)
{
    if (*doc != NULL)
        xmlFreeDoc(*doc);
}
#define auto_doc __attribute__((cleanup(lv_free_doc)))

/* A connection that answers; ERR_BUSY: nobody does. */
bool lv_connect(struct lv *lv, struct err *err);
/* The last error of libvirt becomes err, with its kind; returns false. */
bool lv_error(const struct lv *lv, struct err *err, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* The domain of that UUID if it is ours. NULL in *out with true: there is none. ERR_CONFLICT: somebody else's. */
bool lv_lookup(struct lv *lv, const struct uuid *uuid, virDomain **out, struct err *err);

xmlDoc *lv_xml(virDomain *domain);                                        /* NULL: libvirt has an error */
void lv_xml_text(xmlDoc *doc, const char *xpath, char *out, size_t size); /* "" when not there or too long */
bool lv_is_ours(xmlDoc *doc);

bool lv_power(const struct lv *lv, virDomain *domain, enum vm_power *out, struct err *err);
bool lv_list(void *self, struct virt_list *out, struct err *err);
bool lv_start(void *self, const struct domain *domain, struct err *err);
/* Ends it at once; true when its process is gone. */
bool lv_end(struct lv *lv, virDomain *domain, const struct uuid *uuid, struct err *err);
/* What the monitor of a paused guest says about its disks; ERR_UNSAFE when it is not what the domain says. */
bool lv_monitor_check(const struct lv *lv, virDomain *vir, const struct domain *domain, struct err *err);

bool lv_info(void *self, struct virt_info *out, struct err *err);
/* Runs `argv` with its output thrown away and `input` on its standard input, at most `patience_ms`; then it is
 * killed. Its exit code; -1: could not be run, was killed or did not end. */
int lv_run(const char *const argv[], const char *input, int patience_ms);
bool lv_probe_io_uring(const char *emulator);
bool lv_probe_kvm(const char *emulator);

#endif
