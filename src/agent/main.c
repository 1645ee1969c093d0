/* nsmith-agent - one per host, root; the only program that touches drives. This file is its loop: mail in, one step of
 * the mind (durable), orders out to the workers, the report to the server. */
#include "agent/adopt_dir.h"
#include "agent/adopt_try.h"
#include "agent/handsoff.h"
#include "agent/links.h"
#include "agent/mind.h"
#include "agent/uplink.h"
#include "agent/worker.h"
#include "base/log.h"
#include "base/must.h"
#include "base/stdfd.h"
#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { AGAIN_S = 1 };

struct options {
    const char *state, *run, *server, *softnvme, *virt, *host, *adopt_dir, *udev_dir;
    bool tcg, format_ioctl, adopt_dry_run;
};

struct agent {
    struct options options;
    struct host *host;
    struct ledger ledger;
    struct mind mind;
    struct mailbox box;
    struct nvme_port nvme;
    struct workers *workers;
    struct uplink *uplink;
    struct links links;
    int news_fd; /* -1: the host says nothing, drives are listed now and then */
    char console_dir[PATH_TEXT_MAX], server[PATH_TEXT_MAX], host_name[NAME_MAX_LEN + 1];
    char public_key[65];
    char *report_sent;     /* the newest that was handed to the uplink, without its number */
    uint64_t report_number;
    uint64_t wake_ms;
    bool report_due;
    bool hands_on; /* the host could not be told to keep off */
};

static uint64_t monotonic_ms(void)
{
    struct timespec now;
    must(clock_gettime(CLOCK_MONOTONIC, &now) == 0);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* ---- orders out ---------------------------------------------------------------------------------------------- */

static void orders_give(struct agent *agent, const struct host_orders *orders)
{
    for (size_t i = 0; i < orders->count; i++) {
        const struct order *order = &orders->at[i];
        if (order->kind == ORDER_VM_START) {
            struct vm_job job;
            vm_job_fill(agent->host, order, &job);
            workers_give(agent->workers, order, &job);
        } else {
            workers_give(agent->workers, order, NULL);
        }
        if (order->kind != ORDER_VIRT_LIST && order->kind != ORDER_LIST && order->kind != ORDER_SCAN)
            log_info("order", "kind=%s drive=%s slice=%s vm=%s", order_word(order->kind), order->ident.serial,
                     order->slice.v, order->vm.v);
    }
}

/* ---- events in ----------------------------------------------------------------------------------------------- */

/* Before the first namespace is made on a drive, the host must know to keep off. A host without udev needs no rules. */
static void hands_off(struct agent *agent)
{
    struct err err = {0};
    bool changed = false;
    if (agent->options.udev_dir == NULL || (access(agent->options.udev_dir, F_OK) != 0 && errno == ENOENT))
        return;
    const bool ok = handsoff_sync(agent->options.udev_dir, agent->host, &changed, &err);
    if (!ok && !agent->hands_on)
        log_error("hands-off", "why=%s hint=%s", err.msg, err.hint);
    agent->hands_on = !ok; /* said once; tried with each step */
    if (changed)
        handsoff_tell();
}

static bool step(struct agent *agent, const struct host_event *event, struct err *err)
{
    struct host_orders orders;
    struct host_result result;
    if (!mind_step(&agent->mind, event, &orders, &result, err))
        return false;
    agent->wake_ms = orders.wake_ms;
    agent->report_due = true;
    hands_off(agent);
    orders_give(agent, &orders);
    return true;
}

static void log_ended(const struct mail *mail)
{
    if (mail->event == HOST_DONE && mail->done.have_erasure)
        log_info("erase", "slice=%s method=%s verdict=%s checked=%ju found_old=%ju note=%s", mail->order.slice.v,
                 erase_method_word(mail->done.erasure.method), erase_verdict_word(mail->done.erasure.verdict),
                 (uintmax_t)mail->done.erasure.checked, (uintmax_t)mail->done.erasure.found_old,
                 mail->done.erasure.note);
    if (!mail->done.ok && mail->done.err.kind != ERR_NONE)
        log_error("order-failed", "kind=%s drive=%s slice=%s vm=%s why=%s", order_word(mail->order.kind),
                  mail->order.ident.serial, mail->order.slice.v, mail->order.vm.v, mail->done.err.msg);
}

static void forget_report(struct agent *agent)
{
    free(agent->report_sent);
    agent->report_sent = NULL;
    agent->report_due = true;
}

static bool mail_event(struct agent *agent, struct mail *mail, struct err *err)
{
    log_ended(mail);
    if (mail->done.hold > 0) {
        links_hold(&agent->links, &mail->order.slice, mail->done.node.rdev, mail->done.hold);
        mail->done.hold = 0;
    }
    struct host_event event = order_event(mail->event, &mail->order, &mail->done);
    event.now_ms = monotonic_ms();
    event.wants = mail->wants;
    event.idents = mail->list.idents;
    event.ident_count = mail->list.count;
    event.percent = mail->percent;
    event.vms = mail->vms != NULL ? mail->vms->at : NULL;
    event.vm_count = mail->vms != NULL ? mail->vms->count : 0;
    const uint64_t records_had = agent->mind.records_have;
    if (!step(agent, &event, err))
        return false;
    if (agent->mind.records_have != records_had)
        forget_report(agent); /* the next records go with it */
    return true;
}

static bool mail_handle(struct agent *agent, struct mail *mail, struct err *err)
{
    switch (mail->kind) {
    case MAIL_EVENT:
        return mail_event(agent, mail, err);
    case MAIL_REGISTERED:
        agent->host->registration = mail->number;
        log_info("registered", "registration=%ju", (uintmax_t)mail->number);
        forget_report(agent);
        return true;
    case MAIL_RECORDS:
        if (mail->number != agent->mind.records_have) {
            agent->mind.records_have = mail->number;
            forget_report(agent); /* the next records go with it */
        }
        return true;
    case MAIL_FATAL:
        *err = mail->done.err;
        return false;
    }
    must(false);
    return false;
}

/* ---- the report ---------------------------------------------------------------------------------------------- */

struct record_list {
    char *at[UPLINK_RECORDS_MAX];
    size_t count;
};

static bool record_keep(void *ctx, uint64_t seq, const char *text)
{
    struct record_list *list = ctx;
    (void)seq;
    must(list->count < UPLINK_RECORDS_MAX);
    list->at[list->count] = strdup(text);
    must(list->at[list->count] != NULL);
    list->count++;
    return true;
}

static char *report_text(struct agent *agent, uint64_t number)
{
    struct report *report = calloc(1, sizeof(*report));
    must(report != NULL);
    host_report(agent->host, report);
    report->number = number;
    report->vcpus = (uint32_t)sysconf(_SC_NPROCESSORS_ONLN);
    report->memory_bytes = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    text_cut(report->public_key, sizeof(report->public_key), agent->public_key);
    text_cut(report->software, sizeof(report->software), "nsmith-agent " NSMITH_VERSION);
    for (size_t i = 0; i < report->slice_count; i++) /* people and orchestrators get the stable path */
        if (report->slices[i].state == SLICE_ATTACHED && report->slices[i].path[0] != '\0')
            link_path(report->slices[i].path, agent->links.dir, &report->slices[i].id);
    char *text = jmap_text(&report_jmap, report);
    free(report);
    return text;
}

static bool report_push(struct agent *agent, struct err *err)
{
    agent->report_due = false;
    if (!links_sync(&agent->links, agent->host, err))
        return false;
    if (agent->host->registration == 0)
        return true;
    char *text = report_text(agent, 0);
    struct record_list records = {0};
    if (agent->mind.records_have < agent->host->erasure_seq &&
        !agent->ledger.records(agent->ledger.self, agent->mind.records_have + 1, UPLINK_RECORDS_MAX, record_keep, &records, err)) {
        free(text);
        return false;
    }
    if (records.count == 0 && agent->report_sent != NULL && strcmp(agent->report_sent, text) == 0) {
        free(text);
        return true;
    }
    free(agent->report_sent);
    agent->report_sent = text;
    uplink_push(agent->uplink, report_text(agent, ++agent->report_number), records.at, records.count);
    return true;
}

/* ---- loop ---------------------------------------------------------------------------------------------------- */

static int wait_ms(const struct agent *agent)
{
    if (agent->wake_ms == 0)
        return 1000;
    const uint64_t now = monotonic_ms();
    return agent->wake_ms <= now ? 0 : agent->wake_ms - now > 1000 ? 1000 : (int)(agent->wake_ms - now);
}

static void log_news(const struct drive_news *news)
{
    for (size_t i = 0; i < news->touched_count; i++)
        log_debug("devices", "controller=%s", news->touched[i]);
    if (news->all)
        log_info("devices", "lost=%s", "events; looking at all drives");
}

/* What went takes its link along before anything else is done. */
static bool news_handle(struct agent *agent, struct err *err)
{
    struct drive_news news;
    agent->nvme.news(agent->nvme.self, &news);
    if (!news.all && news.touched_count == 0 && news.gone_count == 0)
        return true;
    log_news(&news);
    return step(agent, &(struct host_event){.kind = HOST_NEWS, .now_ms = monotonic_ms(), .news = &news}, err) &&
           links_sync(&agent->links, agent->host, err);
}

static bool loop(struct agent *agent, int signals, struct err *err)
{
    for (;;) {
        struct pollfd fds[] = {{.fd = agent->box.wake_fd, .events = POLLIN},
                               {.fd = signals, .events = POLLIN},
                               {.fd = agent->news_fd, .events = POLLIN}};
        if (poll(fds, 3, wait_ms(agent)) < 0 && errno != EINTR)
            return err_sys(err, errno, "cannot wait for events");
        if (fds[1].revents != 0)
            return true; /* orders under way go on in the drive; the ledger knows them */
        if (fds[2].revents != 0 && !news_handle(agent, err))
            return false;
        uint64_t count;
        if (read(agent->box.wake_fd, &count, sizeof(count)) < 0)
            must(errno == EAGAIN);
        for (struct mail *mail = mail_take(&agent->box); mail != NULL; mail = mail_take(&agent->box)) {
            const bool ok = mail_handle(agent, mail, err);
            mail_free(mail);
            if (!ok)
                return false;
        }
        if (agent->wake_ms == 0 || monotonic_ms() >= agent->wake_ms)
            if (!step(agent, &(struct host_event){.kind = HOST_TICK, .now_ms = monotonic_ms()}, err))
                return false;
        if (agent->report_due && !report_push(agent, err))
            return false;
    }
}

/* ---- start --------------------------------------------------------------------------------------------------- */

static bool make_dir(const char *path, mode_t mode, struct err *err)
{
    if (mkdir(path, mode) == 0 || errno == EEXIST)
        return true;
    err_sys(err, errno, "cannot make folder '%s'", path);
    return err_hint(err, "make the folder that it is in, and let this user write there");
}

/* Two agents on one host would send two orders to one drive. The lock lives as long as the process. */
static bool lock_state(const struct agent *agent, struct err *err)
{
    char path[PATH_TEXT_MAX];
    snprintf(path, sizeof(path), "%s/agent.lock", agent->options.state);
    const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        err_sys(err, errno, "cannot open '%s'", path);
        return err_hint(err, "let this user write in '%s', or choose another folder with --state", agent->options.state);
    }
    if (flock(fd, LOCK_EX | LOCK_NB) == 0)
        return true;
    err_set(err, ERR_CONFLICT, "cannot use the state in '%s': another nsmith-agent uses it", agent->options.state);
    return err_hint(err, "stop that one first");
}

static void boot_id(struct uuid *out)
{
    FILE *file = fopen("/proc/sys/kernel/random/boot_id", "re");
    char line[64] = "";
    if (file != NULL && fgets(line, sizeof(line), file) != NULL)
        line[strcspn(line, "\n")] = '\0';
    if (file != NULL)
        fclose(file);
    text_cut(out->v, sizeof(out->v), line);
}

static bool host_load(struct agent *agent, struct err *err)
{
    char path[PATH_TEXT_MAX];
    struct uuid boot;
    uint64_t seed;
    agent->host = calloc(1, sizeof(*agent->host));
    must(agent->host != NULL);
    text_cut(agent->host->name.v, sizeof(agent->host->name.v), agent->host_name);
    snprintf(path, sizeof(path), "%s/agent.db", agent->options.state);
    if (!ledger_sqlite_open(path, &agent->ledger, err) || !agent->ledger.load(agent->ledger.self, agent->host, err))
        return false;
    snprintf(path, sizeof(path), "%s/agent.key", agent->options.state);
    if (!cert_key_open(path, &agent->mind.key, err))
        return false;
    text_hex(agent->public_key, agent->mind.key.public, sizeof(agent->mind.key.public));
    boot_id(&boot);
    if (getrandom(&seed, sizeof(seed), 0) != sizeof(seed))
        return err_sys(err, errno, "cannot get random numbers");
    host_start(agent->host, &boot, seed, 0);
    adopt_dir_load(agent->options.adopt_dir, &agent->host->rules);
    if (agent->host->rules.broken[0] != '\0')
        log_error("adoption-rules", "why=%s effect=%s", agent->host->rules.broken, "no drive is adopted by a rule");
    agent->mind.host = agent->host;
    agent->mind.ledger = &agent->ledger;
    return true;
}

static bool virt_open(const struct agent *agent, struct virt_port *out, struct err *err)
{
    if (strcmp(agent->options.virt, "fake") == 0)
        return virt_fake_open(out, err);
    const struct virt_options options = {
        .uri = agent->options.virt, .console_dir = agent->console_dir, .force_tcg = agent->options.tcg};
    return virt_libvirt_open(&options, out, err);
}

static bool drives_open(struct agent *agent, struct err *err)
{
    const char *socket = agent->options.softnvme;
    return socket != NULL ? nvme_softclient_open(socket, &agent->nvme, err)
                          : nvme_linux_open(agent->options.format_ioctl, &agent->nvme, err);
}

/* Names of this host and of what it works with. */
static bool names_make(struct agent *agent, struct err *err)
{
    const struct options *options = &agent->options;
    snprintf(agent->links.dir, sizeof(agent->links.dir), "%s/slices", options->run);
    snprintf(agent->console_dir, sizeof(agent->console_dir), "%s/console", options->state);
    if (options->server != NULL)
        text_cut(agent->server, sizeof(agent->server), options->server);
    else
        snprintf(agent->server, sizeof(agent->server), "unix:%s/nsmithd.sock", options->run);
    if (options->host != NULL)
        text_cut(agent->host_name, sizeof(agent->host_name), options->host);
    else
        must(gethostname(agent->host_name, sizeof(agent->host_name) - 1) == 0);
    if (!text_is_name(agent->host_name, NAME_MAX_LEN)) {
        err_set(err, ERR_INPUT, "cannot work as host '%s': use 1 to %d letters, digits, '.', '_' and '-'", agent->host_name,
                NAME_MAX_LEN);
        return err_hint(err, "give a name with --host");
    }
    return true;
}

/* Without a ledger there is nothing to read, and none is made. */
static bool dry_run(struct agent *agent, struct err *err)
{
    char path[PATH_TEXT_MAX];
    snprintf(path, sizeof(path), "%s/agent.db", agent->options.state);
    if (!names_make(agent, err))
        return false;
    if (access(path, F_OK) == 0) {
        if (!lock_state(agent, err) || !host_load(agent, err))
            return false;
    } else {
        agent->host = calloc(1, sizeof(*agent->host));
        must(agent->host != NULL);
        adopt_dir_load(agent->options.adopt_dir, &agent->host->rules);
    }
    if (agent->host->rules.broken[0] != '\0')
        return err_set(err, ERR_INPUT, "%s", agent->host->rules.broken);
    return drives_open(agent, err) &&
           adopt_try(&(struct adopt_try){agent->host, &agent->nvme, agent->options.softnvme}, stdout, err);
}

static bool agent_open(struct agent *agent, struct err *err)
{
    const struct options *options = &agent->options;
    struct virt_port virt;
    if (!names_make(agent, err))
        return false;
    if (!make_dir(options->state, 0700, err) || !make_dir(options->run, 0755, err) ||
        !make_dir(agent->console_dir, 0755, err) || !lock_state(agent, err) || !host_load(agent, err) ||
        !links_sync(&agent->links, agent->host, err) || !mailbox_open(&agent->box, err))
        return false;
    if (!drives_open(agent, err) || !virt_open(agent, &virt, err))
        return false;
    struct err deaf = {0};
    agent->news_fd = -1;
    if (agent->nvme.watch != NULL && !agent->nvme.watch(agent->nvme.self, &agent->news_fd, &deaf))
        log_error("deaf", "why=%s", deaf.msg);
    agent->workers = workers_open(&(struct workers_options){.box = &agent->box,
                                                            .nvme = &agent->nvme,
                                                            .virt = virt,
                                                            .host = agent->host->name.v,
                                                            .console_dir = agent->console_dir,
                                                            .server = agent->server,
                                                            .softnvme = options->softnvme});
    return uplink_open(
        &(struct uplink_options){.box = &agent->box, .server = agent->server, .host = agent->host->name.v},
        &agent->uplink, err);
}

static const char usage[] =
    "Usage: nsmith-agent [OPTION...]\n"
    "Looks after the SSDs and VMs of this host. Runs in the foreground.\n\n"
    "  --state DIR       ledger and key (default /var/lib/nsmith)\n"
    "  --run DIR         links to slices, the server's socket (default /run/nsmith)\n"
    "  --server ADDRESS  nsmithd (default unix:RUN/nsmithd.sock)\n"
    "  --softnvme SOCKET use the software drives behind this socket instead of the kernel's drives\n"
    "  --virt URI        libvirt (default qemu:///system), or 'fake' for tests\n"
    "  --tcg             do not try KVM\n"
    "  --format-ioctl    send Format NVM by ioctl: the kernel then freezes all namespaces of the drive meanwhile\n"
    "  --adopt-dir DIR   rules for adopting drives without a person (default " ADOPT_DIR_DEFAULT ")\n"
    "  --udev-dir DIR    where rules keep this host off the slices (default " HANDSOFF_DIR_DEFAULT "; not with\n"
    "                    software drives; 'none': nowhere)\n"
    "  --adopt-dry-run   show what those rules would do with the drives of this host, and end\n"
    "  --host NAME       name of this host (default: its host name)\n"
    "  --help, --version\n";

/* Exit code of a run that ends before it began, or -1. */
static int options_read(int argc, char **argv, struct options *options)
{
    static const struct option longs[] = {{"state", required_argument, NULL, 's'},
                                          {"run", required_argument, NULL, 'r'},
                                          {"server", required_argument, NULL, 'S'},
                                          {"softnvme", required_argument, NULL, 'n'},
                                          {"virt", required_argument, NULL, 'v'},
                                          {"tcg", no_argument, NULL, 't'},
                                          {"format-ioctl", no_argument, NULL, 'f'},
                                          {"host", required_argument, NULL, 'H'},
                                          {"adopt-dir", required_argument, NULL, 'a'},
                                          {"udev-dir", required_argument, NULL, 'u'},
                                          {"adopt-dry-run", no_argument, NULL, 'd'},
                                          {"help", no_argument, NULL, 'h'},
                                          {"version", no_argument, NULL, 'V'},
                                          {0}};
    *options = (struct options){.state = "/var/lib/nsmith", .run = "/run/nsmith", .virt = "qemu:///system"};
    for (int c = getopt_long(argc, argv, "", longs, NULL); c != -1; c = getopt_long(argc, argv, "", longs, NULL))
        switch (c) {
        case 's':
            options->state = optarg;
            break;
        case 'r':
            options->run = optarg;
            break;
        case 'S':
            options->server = optarg;
            break;
        case 'n':
            options->softnvme = optarg;
            break;
        case 'v':
            options->virt = optarg;
            break;
        case 't':
            options->tcg = true;
            break;
        case 'f':
            options->format_ioctl = true;
            break;
        case 'u':
            options->udev_dir = optarg;
            break;
        case 'd':
            options->adopt_dry_run = true;
            break;
        case 'a':
            options->adopt_dir = optarg;
            break;
        case 'H':
            options->host = optarg;
            break;
        case 'h':
            fputs(usage, stdout);
            return 0;
        case 'V':
            puts("nsmith-agent " NSMITH_VERSION);
            return 0;
        default:
            fputs(usage, stderr);
            return err_kind_exit(ERR_INPUT);
        }
    if (optind != argc) {
        fprintf(stderr, "nsmith-agent: cannot use '%s': there are no arguments besides options\n", argv[optind]);
        return err_kind_exit(ERR_INPUT);
    }
    if (options->udev_dir == NULL && options->softnvme == NULL)
        options->udev_dir = HANDSOFF_DIR_DEFAULT;
    else if (options->udev_dir != NULL && strcmp(options->udev_dir, "none") == 0)
        options->udev_dir = NULL;
    return -1;
}

/* The ledger could not be written (a full disk, say): what is in memory is ahead of it and worth nothing. Begin again
 * from what is on the disk, until it can be written; an order that is under way in a drive is found by the next scan. */
static void begin_again(char **argv, const struct err *err)
{
    const bool curable = err->kind == ERR_FULL || err->kind == ERR_BUSY;
    if (!curable)
        return;
    log_error("begins-again", "why=%s hint=%s", err->msg, err->hint);
    const struct timespec wait = {.tv_sec = AGAIN_S};
    nanosleep(&wait, NULL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL); /* the mask survives the call below */
    execv("/proc/self/exe", argv);
}

/* A descriptor for each slice is kept (links.h). Best effort: the usual 1024 are enough for the largest host. */
static void raise_file_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < 4096) {
        limit.rlim_cur = limit.rlim_max < 4096 ? limit.rlim_max : 4096;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static int fail(const struct err *err)
{
    log_error("ended", "code=%s why=%s hint=%s", err_kind_name(err->kind), err->msg, err->hint);
    return err_kind_exit(err->kind);
}

int main(int argc, char **argv)
{
    static struct agent agent;
    struct err err = {0};
    sigset_t signals;
    if (!stdfd_fill())
        return err_kind_exit(ERR_FAILED);
    const int early = options_read(argc, argv, &agent.options);
    if (early >= 0)
        return early;
    if (agent.options.adopt_dry_run)
        return dry_run(&agent, &err) ? 0 : fail(&err);
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    must(sigprocmask(SIG_BLOCK, &signals, NULL) == 0); /* before the threads, so that they inherit it */
    signal(SIGPIPE, SIG_IGN);
    const int signal_fd = signalfd(-1, &signals, SFD_CLOEXEC);
    must(signal_fd >= 0);
    if (!agent_open(&agent, &err)) {
        begin_again(argv, &err);
        return fail(&err);
    }
    raise_file_limit();
    log_info("started", "host=%s drives=%zu slices=%zu vms=%zu", agent.host->name.v, agent.host->drive_count,
             agent.host->slice_count, agent.host->vm_count);
    if (!loop(&agent, signal_fd, &err)) {
        links_clear(&agent.links);
        begin_again(argv, &err);
        return fail(&err);
    }
    links_clear(&agent.links);
    log_info("ended", "why=%s", "asked to");
    fflush(NULL);
    _exit(0); /* workers may be inside a device command; they are not waited for */
}
