/* Starting a VM: defined, started paused, compared, and only then let go (virt_port.h). */
#include "virt/virt_libvirt_priv.h"

#include "virt/domain_xml.h"

#include <libvirt/virterror.h>
#include <stdio.h>
#include <string.h>

/* Somebody else's domain with our VM's name is a conflict, and stays as it is. */
static bool name_is_free(struct lv *lv, const struct domain *domain, struct err *err)
{
    char uuid[VIR_UUID_STRING_BUFLEN];
    auto_domain virDomain *other = virDomainLookupByName(lv->conn, domain->name.v);
    if (other == NULL) {
        const virError *last = virGetLastError();
        return (last != NULL && last->code == VIR_ERR_NO_DOMAIN) ||
               lv_error(lv, err, "cannot look for domain '%s'", domain->name.v);
    }
    if (virDomainGetUUIDString(other, uuid) < 0)
        return lv_error(lv, err, "cannot look at domain '%s'", domain->name.v);
    if (strcmp(uuid, domain->uuid.v) == 0)
        return true; /* whether it is ours lv_lookup() knows */
    err_set(err, ERR_CONFLICT, "cannot make VM '%s': libvirt has another domain of that name", domain->name.v);
    return err_hint(err, "choose another name, or rename the other: virsh domrename %s NEW-NAME", domain->name.v);
}

static bool define(struct lv *lv, const struct domain *domain, virDomain **out, struct err *err)
{
    auto_text char *xml = domain_xml(domain);
    auto_domain virDomain *vir = virDomainDefineXMLFlags(lv->conn, xml, VIR_DOMAIN_DEFINE_VALIDATE);
    if (vir == NULL)
        return lv_error(lv, err, "cannot define VM '%s'", domain->name.v);
    /* After a restart of the host the agent starts it, with a new look at its slices; libvirt must not. */
    if (virDomainSetAutostart(vir, 0) < 0)
        return lv_error(lv, err, "cannot set up VM '%s'", domain->name.v);
    *out = vir;
    vir = NULL;
    return true;
}

static bool create_paused(struct lv *lv, const struct domain *domain, virDomain *vir, struct err *err)
{
    /* FORCE_BOOT: never from a saved memory image, which knows other slices. */
    if (virDomainCreateWithFlags(vir, VIR_DOMAIN_START_PAUSED | VIR_DOMAIN_START_FORCE_BOOT) == 0)
        return true;
    lv_error(lv, err, "cannot start VM '%s'", domain->name.v);
    if (domain->io_uring && strstr(err->msg, "io_uring") != NULL) {
        lv->io_uring_broken = true;
        err_hint(err, "allow io_uring to QEMU (sysctl kernel.io_uring_disabled=0), or start it again without io_uring");
    } else if (strstr(err->msg, "\" lock") != NULL) {
        err_hint(err, "look who has the disk open: fuser -v %s", domain->disks[0].path);
    }
    return false;
}

static bool check(struct lv *lv, const struct domain *domain, virDomain *vir, struct err *err)
{
    if (!qemu_processes_look(&lv->processes, err))
        return false;
    const struct qemu_process *process = qemu_process_find(&lv->processes, &domain->uuid);
    if (process == NULL) {
        err_set(err, ERR_UNSAFE, "cannot see the process of VM '%s'", domain->name.v);
        return err_hint(err, "run the agent as root, in the same PID namespace as libvirt");
    }
    return qemu_process_check(process, domain, err) && lv_monitor_check(lv, vir, domain, err);
}

/* After a failed check. What is left of err is why it failed; that it could not be ended is added. */
static bool end_unchecked(struct lv *lv, const struct domain *domain, virDomain *vir, struct err *err)
{
    struct err end = {0};
    if (!lv_end(lv, vir, &domain->uuid, &end))
        err_wrap(err, "%s (it stays paused)", end.msg);
    return false;
}

bool lv_start(void *self, const struct domain *domain, struct err *err)
{
    struct lv *lv = self;
    auto_domain virDomain *old = NULL, *vir = NULL;
    if (!lv_connect(lv, err) || !lv_lookup(lv, &domain->uuid, &old, err) || !name_is_free(lv, domain, err))
        return false;
    enum vm_power power = VM_OFF;
    if (old != NULL && !lv_power(lv, old, &power, err))
        return false;
    if (power == VM_OFF) {
        /* A process that libvirt lost would still hold the slices. */
        if (!qemu_process_wait_gone(&lv->processes, &domain->uuid, 0, err))
            return false;
        if (!define(lv, domain, &vir, err) || !create_paused(lv, domain, vir, err))
            return false;
    } else {
        vir = old;
        old = NULL;
    }
    if (!check(lv, domain, vir, err))
        return end_unchecked(lv, domain, vir, err);
    if (power == VM_RUNNING || virDomainResume(vir) == 0)
        return true;
    return lv_error(lv, err, "cannot let VM '%s' run", domain->name.v);
}
