#include "virt/virt_libvirt_priv.h"

#include "base/must.h"
#include "base/text.h"
#include "virt/domain_xml.h"

#include <libvirt/virterror.h>
#include <libxml/parser.h>
#include <libxml/xpath.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { GONE_PATIENCE_MS = 10000 };

/* ---- errors --------------------------------------------------------------------------------------------------------
 */

/* libvirt prints errors to stderr unless somebody takes them. */
static void silence(void *data, virError *error)
{
    (void)data;
    (void)error;
}

/* What the caller can do, by libvirt's number for the error. */
static const struct {
    int code;
    enum err_kind kind;
} kinds[] = {
    {VIR_ERR_NO_DOMAIN, ERR_MISSING},        {VIR_ERR_NO_NETWORK, ERR_MISSING},
    {VIR_ERR_NO_CONNECT, ERR_BUSY},          {VIR_ERR_RPC, ERR_BUSY},
    {VIR_ERR_RESOURCE_BUSY, ERR_BUSY},       {VIR_ERR_OPERATION_TIMEOUT, ERR_BUSY},
    {VIR_ERR_AGENT_UNRESPONSIVE, ERR_BUSY},  {VIR_ERR_AUTH_FAILED, ERR_DENIED},
    {VIR_ERR_AUTH_CANCELLED, ERR_DENIED},    {VIR_ERR_AUTH_UNAVAILABLE, ERR_DENIED},
    {VIR_ERR_ACCESS_DENIED, ERR_DENIED},     {VIR_ERR_OPERATION_DENIED, ERR_DENIED},
    {VIR_ERR_DOM_EXIST, ERR_CONFLICT},       {VIR_ERR_OPERATION_INVALID, ERR_CONFLICT},
    {VIR_ERR_XML_ERROR, ERR_INPUT},          {VIR_ERR_XML_DETAIL, ERR_INPUT},
    {VIR_ERR_XML_INVALID_SCHEMA, ERR_INPUT}, {VIR_ERR_CONFIG_UNSUPPORTED, ERR_INPUT},
    {VIR_ERR_INVALID_ARG, ERR_INPUT},
};

static enum err_kind kind_of(const struct lv *lv, int code)
{
    if (lv->conn == NULL || virConnectIsAlive(lv->conn) != 1)
        return ERR_BUSY;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (kinds[i].code == code)
            return kinds[i].kind;
    return ERR_FAILED;
}

/* QEMU's last words reach us through libvirt, with their line ends, and with the whole option as JSON before the
 * reason: -device {"driver":...}: Failed to get "write" lock. People need the reason. */
static void reason(char *out, size_t size, const char *message)
{
    const char *from = message;
    for (const char *at = strstr(message, "}: "); at != NULL; at = strstr(at + 1, "}: "))
        from = at + 3;
    snprintf(out, size, "%s%s", from != message ? "QEMU says: " : "", from);
    size_t len = strlen(out);
    while (len > 0 && (out[len - 1] == '\n' || out[len - 1] == '\r'))
        out[--len] = '\0';
    for (char *c = out; *c != '\0'; c++)
        if ((unsigned char)*c < ' ')
            *c = ' ';
}

bool lv_error(const struct lv *lv, struct err *err, const char *fmt, ...)
{
    char what[200];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(what, sizeof(what), fmt, ap);
    va_end(ap);
    const virError *last = virGetLastError();
    char why[ERR_MSG_MAX];
    reason(why, sizeof(why), last != NULL && last->message != NULL ? last->message : "libvirt gave no reason");
    return err_set(err, kind_of(lv, last != NULL ? last->code : VIR_ERR_OK), "%s: %s", what, why);
}

/* ---- connection ----------------------------------------------------------------------------------------------------
 */

static void hang_up(struct lv *lv)
{
    if (lv->conn != NULL)
        virConnectClose(lv->conn);
    lv->conn = NULL;
}

/* libvirt writes to its socket without MSG_NOSIGNAL: where libvirtd went away, the thread would die of it. Every
 * function of the port begins here, in the thread that calls libvirt, so this thread is spared. */
static void no_sigpipe(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGPIPE);
    must(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0);
}

bool lv_connect(struct lv *lv, struct err *err)
{
    no_sigpipe();
    /* Without an event loop libvirt notices the loss of a connection only by a call: so one that changes nothing. */
    unsigned long version;
    if (lv->conn != NULL && virConnectGetLibVersion(lv->conn, &version) == 0)
        return true;
    hang_up(lv);
    lv->conn = virConnectOpen(lv->uri);
    if (lv->conn != NULL)
        return true;
    const virError *last = virGetLastError();
    lv_error(lv, err, "cannot connect to libvirt at '%s'", lv->uri);
    if (last != NULL && (last->code == VIR_ERR_AUTH_FAILED || last->code == VIR_ERR_AUTH_CANCELLED))
        return err_hint(err, "let the agent's user manage libvirt: its group is unix_sock_group in libvirtd.conf");
    return err_hint(err, "start libvirt: systemctl start libvirtd.socket");
}

/* ---- XML of libvirt ------------------------------------------------------------------------------------------------
 */

xmlDoc *lv_xml(virDomain *domain)
{
    auto_text char *text = virDomainGetXMLDesc(domain, 0);
    if (text == NULL)
        return NULL;
    xmlDoc *doc = xmlReadMemory(text, (int)strlen(text), NULL, NULL, XML_PARSE_NONET | XML_PARSE_NOERROR);
    must(doc != NULL); /* libvirt's own writing */
    return doc;
}

void lv_xml_text(xmlDoc *doc, const char *xpath, char *out, size_t size)
{
    xmlXPathContext *context = xmlXPathNewContext(doc);
    must(context != NULL);
    xmlXPathObject *found = xmlXPathEvalExpression((const xmlChar *)xpath, context);
    must(found != NULL);
    xmlChar *text = xmlXPathCastToString(found);
    must(text != NULL);
    text_copy(out, size, (const char *)text);
    xmlFree(text);
    xmlXPathFreeObject(found);
    xmlXPathFreeContext(context);
}

/* The UUID in the mark must be the domain's own: a clone of one of our domains carries our mark and is not ours. */
bool lv_is_ours(xmlDoc *doc)
{
    struct uuid mark, own;
    lv_xml_text(doc, "/domain/metadata/*[local-name()='vm'][namespace-uri()='" DOMAIN_XML_URI "']/@uuid", mark.v,
                sizeof(mark.v));
    lv_xml_text(doc, "/domain/uuid", own.v, sizeof(own.v));
    return mark.v[0] != '\0' && strcmp(mark.v, own.v) == 0;
}

bool lv_lookup(struct lv *lv, const struct uuid *uuid, virDomain **out, struct err *err)
{
    auto_domain virDomain *domain = virDomainLookupByUUIDString(lv->conn, uuid->v);
    const virError *last = virGetLastError();
    if (domain == NULL && (last == NULL || last->code != VIR_ERR_NO_DOMAIN))
        return lv_error(lv, err, "cannot look for VM '%s'", uuid->v);
    if (domain != NULL) {
        auto_doc xmlDoc *doc = lv_xml(domain);
        if (doc == NULL)
            return lv_error(lv, err, "cannot look at VM '%s'", uuid->v);
        if (!lv_is_ours(doc)) {
            err_set(err, ERR_CONFLICT, "cannot touch VM '%s': nsmith did not make domain '%s'", uuid->v,
                    virDomainGetName(domain));
            return err_hint(err, "look at its <metadata>: virsh dumpxml %s", virDomainGetName(domain));
        }
    }
    *out = domain;
    domain = NULL;
    return true;
}

bool lv_power(const struct lv *lv, virDomain *domain, enum vm_power *out, struct err *err)
{
    int state, reason;
    if (virDomainGetState(domain, &state, &reason, 0) < 0)
        return lv_error(lv, err, "cannot ask for the state of VM '%s'", virDomainGetName(domain));
    switch (state) {
    case VIR_DOMAIN_SHUTOFF:
        *out = VM_OFF;
        return true;
    case VIR_DOMAIN_PAUSED:
        *out = VM_PAUSED;
        return true;
    default: /* among them: crashed and dying guests, whose process lives */
        *out = VM_RUNNING;
        return true;
    }
}

/* ---- the port ------------------------------------------------------------------------------------------------------
 */

/* A domain of ours that must be there. */
static bool lookup_there(struct lv *lv, const struct uuid *uuid, virDomain **out, struct err *err)
{
    if (!lv_connect(lv, err) || !lv_lookup(lv, uuid, out, err))
        return false;
    return *out != NULL || err_set(err, ERR_MISSING, "cannot find VM '%s': libvirt does not have it", uuid->v);
}

static bool lv_shutdown(void *self, const struct uuid *uuid, struct err *err)
{
    struct lv *lv = self;
    auto_domain virDomain *domain = NULL;
    enum vm_power power;
    if (!lookup_there(lv, uuid, &domain, err) || !lv_power(lv, domain, &power, err))
        return false;
    if (power == VM_OFF || virDomainShutdown(domain) == 0)
        return true;
    return lv_error(lv, err, "cannot ask VM '%s' to shut down", virDomainGetName(domain));
}

static bool lv_reboot(void *self, const struct uuid *uuid, struct err *err)
{
    struct lv *lv = self;
    auto_domain virDomain *domain = NULL;
    if (!lookup_there(lv, uuid, &domain, err))
        return false;
    return virDomainReboot(domain, 0) == 0 || lv_error(lv, err, "cannot reboot VM '%s'", virDomainGetName(domain));
}

bool lv_end(struct lv *lv, virDomain *domain, const struct uuid *uuid, struct err *err)
{
    if (!qemu_processes_look(&lv->processes, err)) /* now, while it can still be told from others */
        return false;
    enum vm_power power = VM_OFF;
    if (domain != NULL && !lv_power(lv, domain, &power, err))
        return false;
    if (power != VM_OFF && virDomainDestroy(domain) < 0) {
        const virError *last = virGetLastError();
        if (last == NULL || (last->code != VIR_ERR_OPERATION_INVALID && last->code != VIR_ERR_NO_DOMAIN))
            return lv_error(lv, err, "cannot end VM '%s'", virDomainGetName(domain));
    } /* else it ended by itself */
    return qemu_process_wait_gone(&lv->processes, uuid, GONE_PATIENCE_MS, err);
}

static bool lv_destroy(void *self, const struct uuid *uuid, struct err *err)
{
    struct lv *lv = self;
    auto_domain virDomain *domain = NULL;
    return lv_connect(lv, err) && lv_lookup(lv, uuid, &domain, err) && lv_end(lv, domain, uuid, err);
}

static bool lv_undefine(void *self, const struct uuid *uuid, struct err *err)
{
    static const unsigned all = VIR_DOMAIN_UNDEFINE_MANAGED_SAVE | VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA |
                                VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA | VIR_DOMAIN_UNDEFINE_NVRAM;
    struct lv *lv = self;
    auto_domain virDomain *domain = NULL;
    if (!lv_connect(lv, err) || !lv_lookup(lv, uuid, &domain, err))
        return false;
    enum vm_power power = VM_OFF;
    if (domain != NULL && !lv_power(lv, domain, &power, err))
        return false;
    if (power != VM_OFF)
        return err_set(err, ERR_CONFLICT, "cannot remove VM '%s': it is %s", virDomainGetName(domain),
                       vm_power_word(power));
    /* libvirt's word is not enough: what follows is that its slices are erased. */
    if (!qemu_process_wait_gone(&lv->processes, uuid, GONE_PATIENCE_MS, err))
        return false;
    if (domain == NULL || virDomainUndefineFlags(domain, all) == 0)
        return true;
    const virError *last = virGetLastError();
    return (last != NULL && last->code == VIR_ERR_NO_DOMAIN) ||
           lv_error(lv, err, "cannot remove VM '%s'", virDomainGetName(domain));
}

static void lv_close(void *self)
{
    struct lv *lv = self;
    no_sigpipe();
    hang_up(lv);
    qemu_processes_release(&lv->processes);
    free(lv);
}

bool virt_libvirt_open(const struct virt_options *options, struct virt_port *out, struct err *err)
{
    struct lv *lv = calloc(1, sizeof(*lv));
    must(lv != NULL);
    lv->force_tcg = options->force_tcg;
    const char *dir = options->console_dir != NULL ? options->console_dir : "";
    if (!text_copy(lv->uri, sizeof(lv->uri), options->uri) ||
        !text_copy(lv->console_dir, sizeof(lv->console_dir), dir)) {
        free(lv);
        return err_set(err, ERR_INPUT, "cannot use libvirt '%s': its address or the folder for consoles is too long",
                       options->uri);
    }
    if (virInitialize() < 0) {
        lv_error(lv, err, "cannot use libvirt");
        free(lv);
        return false;
    }
    virSetErrorFunc(NULL, silence);
    *out = (struct virt_port){
        .self = lv,
        .info = lv_info,
        .list = lv_list,
        .start = lv_start,
        .shutdown = lv_shutdown,
        .reboot = lv_reboot,
        .destroy = lv_destroy,
        .undefine = lv_undefine,
        .close = lv_close,
    };
    return true;
}
