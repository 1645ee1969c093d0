#include "virt/virt_libvirt_priv.h"

#include "base/must.h"
#include "base/text.h"

#include <libvirt/virterror.h>
#include <string.h>

struct domains {
    virDomain **at;
    int count;
};

static void free_domains(struct domains *domains)
{
    for (int i = 0; i < domains->count; i++)
        virDomainFree(domains->at[i]);
    free(domains->at);
}
#define auto_domains __attribute__((cleanup(free_domains)))

static void free_list(struct virt_list **list)
{
    free(*list);
}
#define auto_list __attribute__((cleanup(free_list)))

static uint32_t count_iothreads(virDomain *domain)
{
    virDomainIOThreadInfo **infos = NULL;
    const int count = virDomainGetIOThreadInfo(domain, &infos, VIR_DOMAIN_AFFECT_LIVE);
    for (int i = 0; i < count; i++)
        virDomainIOThreadInfoFree(infos[i]);
    free(infos);
    return count > 0 ? (uint32_t)count : 0;
}

static bool vanished(void)
{
    const virError *last = virGetLastError();
    return last != NULL && last->code == VIR_ERR_NO_DOMAIN;
}

/* *ours: out is filled. A domain that vanishes while it is looked at is none. */
static bool report(struct lv *lv, virDomain *domain, bool *ours, struct vm_report *out, struct err *err)
{
    struct vm_report vm = {0};
    *ours = false;
    auto_doc xmlDoc *doc = lv_xml(domain);
    if (doc == NULL)
        return vanished() || lv_error(lv, err, "cannot look at domain '%s'", virDomainGetName(domain));
    if (!lv_is_ours(doc))
        return true;
    struct err why = {0};
    if (!lv_power(lv, domain, &vm.power, &why)) {
        if (why.kind == ERR_MISSING)
            return true;
        *err = why;
        return false;
    }
    lv_xml_text(doc, "/domain/name", vm.name.v, sizeof(vm.name.v));
    lv_xml_text(doc, "/domain/uuid", vm.uuid.v, sizeof(vm.uuid.v));
    lv_xml_text(doc, "/domain/devices/serial/log/@file", vm.console_log, sizeof(vm.console_log));
    if (vm.power != VM_OFF) {
        lv_xml_text(doc, "/domain/devices/serial[@type='pty']/source/@path", vm.console, sizeof(vm.console));
        vm.iothreads = count_iothreads(domain);
    }
    *ours = true;
    *out = vm;
    return true;
}

static struct vm_report *find(struct virt_list *list, const struct uuid *uuid)
{
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->at[i].uuid.v, uuid->v) == 0)
            return &list->at[i];
    return NULL;
}

/* A VM whose process lives is never shown as off or left out (somebody took its mark away, or libvirt lost it): its
 * slices would be erased under it. "Paused" makes the caller end it, and that waits for the process. */
static void correct_by_processes(struct lv *lv, struct virt_list *list)
{
    for (size_t i = 0; i < lv->processes.count; i++) {
        struct qemu_process *process = &lv->processes.at[i];
        struct vm_report *vm = find(list, &process->uuid);
        if (vm != NULL && vm->power == VM_OFF)
            vm->power = VM_PAUSED;
        else if (vm == NULL && process->ours && list->count < HOST_VMS_MAX)
            list->at[list->count++] = (struct vm_report){.uuid = process->uuid, .power = VM_PAUSED};
        process->ours = process->ours || vm != NULL;
    }
}

bool lv_list(void *self, struct virt_list *out, struct err *err)
{
    struct lv *lv = self;
    auto_domains struct domains all = {0};
    if (!lv_connect(lv, err))
        return false;
    all.count = virConnectListAllDomains(lv->conn, &all.at, 0);
    if (all.count < 0)
        return lv_error(lv, err, "cannot list the domains");
    auto_list struct virt_list *list = calloc(1, sizeof(*list));
    must(list != NULL);
    for (int i = 0; i < all.count; i++) {
        struct vm_report vm;
        bool ours;
        if (!report(lv, all.at[i], &ours, &vm, err))
            return false;
        if (!ours)
            continue;
        if (list->count == HOST_VMS_MAX)
            return err_set(err, ERR_FAILED, "cannot list the domains: more than %d are nsmith's", HOST_VMS_MAX);
        list->at[list->count++] = vm;
    }
    if (!qemu_processes_look(&lv->processes, err))
        return false;
    correct_by_processes(lv, list);
    *out = *list;
    return true;
}
