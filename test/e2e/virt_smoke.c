/* virt_smoke DIR KERNEL INITRD CMDLINE - drives virt_libvirt.c against the libvirt at qemu:///system: run it in a lab
 * (tools/lab run ...), with DIR an empty folder for disks and KERNEL, INITRD and the content of CMDLINE from
 * test/guest/mkguest. Says what it proved, one line each; ends with 1 at the first thing that is not so. */
#include "core/domain_build.h"
#include "virt/qemu_process.h"
#include "virt/virt_port.h"

#include "base/must.h"
#include "base/text.h"

#include <fcntl.h>
#include <libvirt/libvirt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { SLICES = 3, PATIENCE_S = 120 };

static const struct uuid uuid_a = {"aaaaaaaa-1111-4222-8333-444444444444"};
static const struct uuid uuid_b = {"bbbbbbbb-1111-4222-8333-444444444444"};
static const struct uuid foreign = {"ffffffff-1111-4222-8333-444444444444"};

static void proved(bool ok, const char *what, const struct err *err)
{
    printf("%s - %s\n", ok ? "ok" : "NOT OK", what);
    if (err != NULL && err->kind != ERR_NONE)
        printf("     %s: %s%s%s\n", err_kind_name(err->kind), err->msg, err->hint[0] != '\0' ? " -- " : "", err->hint);
    fflush(stdout);
    if (!ok)
        exit(1);
}

static struct domain_slice make_slice(const char *dir, unsigned n)
{
    struct domain_slice slice = {.block_bytes = 512, .size_bytes = 465ull << 30};
    snprintf(slice.id.v, sizeof(slice.id.v), "ns-smoke-%u", n);
    snprintf(slice.path, sizeof(slice.path), "%s/slice%u", dir, n);
    const int fd = open(slice.path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    struct stat st;
    proved(fd >= 0 && ftruncate(fd, (off_t)slice.size_bytes) == 0 && fstat(fd, &st) == 0, slice.path, NULL);
    close(fd);
    slice.dev = st.st_dev;
    slice.ino = st.st_ino;
    return slice;
}

static struct domain build(const char *name, const struct uuid *uuid, enum datapath datapath, char **args,
                           const struct virt_info *info)
{
    struct vm_spec spec = {.uuid = *uuid, .vcpus = 1, .memory_bytes = 256u << 20, .datapath = datapath};
    struct domain_host host = {.kvm = info->kvm, .io_uring = info->io_uring};
    struct domain_slice slices[SLICES];
    struct domain domain;
    struct err err = {0};
    for (unsigned n = 0; n < SLICES; n++)
        slices[n] = make_slice(args[1], n);
    text_cut(spec.name.v, sizeof(spec.name.v), name);
    text_cut(spec.kernel, sizeof(spec.kernel), args[2]);
    text_cut(spec.initrd, sizeof(spec.initrd), args[3]);
    text_cut(spec.cmdline, sizeof(spec.cmdline), args[4]);
    text_cut(host.emulator, sizeof(host.emulator), info->emulator);
    snprintf(host.console_log, sizeof(host.console_log), "%s/%s.log", args[1], name);
    proved(domain_build(&spec, slices, SLICES, &host, &domain, &err), "a domain is built", &err);
    return domain;
}

static struct vm_report report_of(struct virt_port *port, const struct uuid *uuid)
{
    static struct virt_list list;
    struct err err = {0};
    if (!port->list(port->self, &list, &err))
        proved(false, "list", &err);
    for (size_t i = 0; i < list.count; i++)
        if (strcmp(list.at[i].uuid.v, uuid->v) == 0)
            return list.at[i];
    return (struct vm_report){.power = VM_GONE};
}

static void shows(struct virt_port *port, const struct uuid *uuid, enum vm_power want, const char *what)
{
    const enum vm_power got = report_of(port, uuid).power;
    if (got != want)
        printf("     it is %s\n", vm_power_word(got));
    proved(got == want, what, NULL);
}

static bool lives(const struct uuid *uuid)
{
    static struct qemu_processes processes;
    struct err err = {0};
    proved(qemu_processes_look(&processes, &err), "the processes can be seen", &err);
    return qemu_process_find(&processes, uuid) != NULL;
}

static bool log_says(const struct domain *domain, const char *what)
{
    for (int i = 0; i < 5 * PATIENCE_S; i++) {
        static char text[1 << 16];
        FILE *file = fopen(domain->console_log, "re");
        const size_t len = file != NULL ? fread(text, 1, sizeof(text) - 1, file) : 0;
        if (file != NULL)
            fclose(file);
        text[len] = '\0';
        if (strstr(text, what) != NULL)
            return true;
        nanosleep(&(struct timespec){.tv_nsec = 200000000}, NULL);
    }
    return false;
}

/* A domain that is somebody else's, made behind nsmith's back; alive. */
static virDomain *make_foreign(virConnect *conn, const struct virt_info *info)
{
    char xml[1024];
    snprintf(xml, sizeof(xml),
             "<domain type='qemu'><name>foreign</name><uuid>%s</uuid><memory unit='MiB'>16</memory>"
             "<os><type arch='x86_64' machine='q35'>hvm</type></os><devices><emulator>%s</emulator>"
             "<memballoon model='none'/></devices></domain>",
             foreign.v, info->emulator);
    virDomain *domain = virDomainDefineXML(conn, xml);
    proved(domain != NULL && virDomainCreateWithFlags(domain, VIR_DOMAIN_START_PAUSED) == 0, "a foreign domain lives",
           NULL);
    return domain;
}

static void foreign_is_left_alone(struct virt_port *port, const struct domain *a, virDomain *vir)
{
    struct err err = {0};
    struct domain thief = *a;
    text_cut(thief.name.v, sizeof(thief.name.v), "foreign");
    proved(!port->start(port->self, &thief, &err) && err.kind == ERR_CONFLICT, "its name is taken", &err);
    err_clear(&err);
    thief = *a;
    thief.uuid = foreign;
    proved(!port->start(port->self, &thief, &err) && err.kind == ERR_CONFLICT, "its UUID is taken", &err);
    err_clear(&err);
    proved(!port->destroy(port->self, &foreign, &err) && err.kind == ERR_CONFLICT, "it is not destroyed", &err);
    err_clear(&err);
    proved(!port->undefine(port->self, &foreign, &err) && err.kind == ERR_CONFLICT, "it is not undefined", &err);
    shows(port, &foreign, VM_GONE, "it is not listed");
    proved(virDomainIsActive(vir) == 1 && virDomainIsPersistent(vir) == 1, "it is untouched", NULL);
}

static void a_life(struct virt_port *port, const struct domain *domain, bool boot)
{
    struct err err = {0};
    shows(port, &domain->uuid, VM_GONE, "the VM is not there yet");
    proved(port->start(port->self, domain, &err), "it starts, and what QEMU opened is right", &err);
    const struct vm_report vm = report_of(port, &domain->uuid);
    printf("     %s %s, console %s, log %s, %u iothreads\n", vm.name.v, vm_power_word(vm.power), vm.console,
           vm.console_log, vm.iothreads);
    proved(vm.power == VM_RUNNING && strcmp(vm.name.v, domain->name.v) == 0, "it is listed as running", NULL);
    proved(vm.iothreads == domain->disk_count, "it has an iothread for each slice", NULL);
    proved(strncmp(vm.console, "/dev/pts/", 9) == 0, "it has a console", NULL);
    proved(strcmp(vm.console_log, domain->console_log) == 0, "and the console a log", NULL);
    proved(port->start(port->self, domain, &err), "starting it again changes nothing", &err);
    proved(!port->undefine(port->self, &domain->uuid, &err) && err.kind == ERR_CONFLICT, "it is not undefined alive",
           &err);
    err_clear(&err);
    proved(!boot || log_says(domain, "guest: up"), "the guest came up", NULL);
    proved(port->reboot(port->self, &domain->uuid, &err), "it can be asked to reboot", &err);
    proved(port->shutdown(port->self, &domain->uuid, &err), "it can be asked to shut down", &err);
}

static void ends(struct virt_port *port, const struct domain *domain)
{
    struct err err = {0};
    proved(port->destroy(port->self, &domain->uuid, &err), "it is destroyed", &err);
    proved(!lives(&domain->uuid), "and no process is left", NULL);
    shows(port, &domain->uuid, VM_OFF, "it is off, the definition stays");
    proved(port->destroy(port->self, &domain->uuid, &err), "destroying it again changes nothing", &err);
    proved(port->undefine(port->self, &domain->uuid, &err), "it is undefined", &err);
    shows(port, &domain->uuid, VM_GONE, "it is gone");
    proved(port->undefine(port->self, &domain->uuid, &err), "undefining it again changes nothing", &err);
    proved(!port->shutdown(port->self, &domain->uuid, &err) && err.kind == ERR_MISSING, "and nobody is asked", &err);
}

static void wrong_inode(struct domain *domain)
{
    domain->disks[1].ino += 1000; /* of none of the others */
}

static void wrong_device(struct domain *domain)
{
    domain->disks[2].dev++;
}

static void exchanged(struct domain *domain)
{
    const uint64_t ino = domain->disks[0].ino;
    domain->disks[0].ino = domain->disks[2].ino;
    domain->disks[2].ino = ino;
}

static void wrong_size(struct domain *domain)
{
    domain->disks[1].size_bytes -= 1u << 30;
}

static void wrong_serial(struct domain *domain)
{
    domain->disks[1].serial.v[0] = 'x';
}

static void wrong_iothread(struct domain *domain)
{
    domain->disks[1].iothread = 3;
}

static void one_disk_less(struct domain *domain)
{
    domain->disk_count--;
}

/* `running`: the VM runs with the right disks when it is told to start with these. */
static void refused(struct virt_port *port, const struct domain *right, bool running)
{
    static const struct {
        void (*change)(struct domain *domain);
        const char *what;
    } rows[] = {
        {wrong_inode, "a wrong inode is refused"},       {wrong_device, "a wrong file system is refused"},
        {exchanged, "two slices exchanged are refused"}, {wrong_size, "a wrong size is refused"},
        {wrong_serial, "a wrong serial is refused"},     {wrong_iothread, "a wrong iothread is refused"},
        {one_disk_less, "a disk too many is refused"},
    };
    const size_t first_live_only = 4; /* what a fresh start would do as told */
    for (size_t i = 0; i < (running ? sizeof(rows) / sizeof(rows[0]) : first_live_only); i++) {
        struct domain wrong = *right;
        struct err err = {0};
        if (running && !port->start(port->self, right, &err))
            proved(false, "start", &err);
        rows[i].change(&wrong);
        proved(!port->start(port->self, &wrong, &err) && err.kind == ERR_UNSAFE, rows[i].what, &err);
        proved(!lives(&wrong.uuid), "and no process is left", NULL);
        shows(port, &wrong.uuid, VM_OFF, "and it is off");
    }
}

int main(int argc, char **argv)
{
    if (argc != 5) {
        fprintf(stderr, "usage: virt_smoke DIR KERNEL INITRD CMDLINE\n");
        return 2;
    }
    struct virt_port port;
    struct virt_info info;
    struct err err = {0};
    const struct virt_options options = {.uri = "qemu:///system", .console_dir = argv[1]};
    proved(virt_libvirt_open(&options, &port, &err), "the port opens", &err);
    proved(port.info(port.self, &info, &err), "it tells what the host can", &err);
    printf("     %s, %s, kvm %d, io_uring %d\n", info.version, info.emulator, info.kvm, info.io_uring);
    const struct domain a = build("smoke-a", &uuid_a, DATAPATH_SCSI, argv, &info);
    struct domain b = build("smoke-b", &uuid_b, DATAPATH_BLK, argv, &info);

    virConnect *conn = virConnectOpen(options.uri);
    virDomain *other = make_foreign(conn, &info);
    foreign_is_left_alone(&port, &a, other);
    a_life(&port, &a, true);
    proved(!port.start(port.self, &b, &err), "another VM cannot have the same slices", &err);
    err_clear(&err);
    ends(&port, &a);
    refused(&port, &a, false);
    refused(&port, &a, true);
    proved(port.undefine(port.self, &a.uuid, &err) && port.undefine(port.self, &b.uuid, &err), "both are undefined",
           &err);
    b.io_uring = false;
    a_life(&port, &b, false);
    refused(&port, &b, true);
    ends(&port, &b);
    proved(virDomainIsActive(other) == 1, "the foreign domain still lives", NULL);
    virDomainDestroy(other);
    virDomainUndefine(other);
    virDomainFree(other);
    virConnectClose(conn);
    port.close(port.self);
    printf("all proved\n");
    return 0;
}
