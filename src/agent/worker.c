#include "agent/worker.h"

#include "agent/image.h"
#include "agent/look.h"
#include "base/must.h"
#include "base/text.h"
#include "nvme/nvme_drive.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { PROGRESS_MS = 200, PROGRESS_STEP_MS = 10 };

struct worker {
    struct workers *all;
    pthread_mutex_t lock;
    pthread_cond_t given;
    bool has;
    struct order order;
    struct vm_job job;
    struct drive_ident ident; /* the drive it serves; empty: the lister */
};

struct workers {
    struct workers_options options;
    struct order_env env;
    struct worker *drives[HOST_DRIVES_MAX];
    size_t drive_count;
    struct worker *lister, *virt;
    bool virt_info_known;
    struct virt_info virt_info;
};

/* ---- environment of the orders ------------------------------------------------------------------------------- */

static uint64_t unix_ms(void *ctx)
{
    (void)ctx;
    struct timespec now;
    must(clock_gettime(CLOCK_REALTIME, &now) == 0);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void sleep_ms(void *ctx, uint32_t ms)
{
    (void)ctx;
    const struct timespec wait = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
    nanosleep(&wait, NULL);
}

static void foreign(void *ctx, const struct drive_ident *drive, struct nsid nsid, const struct nvme_node *node,
                    struct foreign_list *list)
{
    const struct workers *workers = ctx;
    (void)drive;
    look_foreign(workers->options.softnvme, nsid, node, list);
}

static bool unused(void *ctx, struct nsid nsid, const struct nvme_node *node, struct err *err)
{
    const struct workers *workers = ctx;
    return look_unused(workers->options.softnvme, nsid, node, err);
}

static void tell_said(void *ctx, const struct order *order)
{
    struct workers *workers = ctx;
    struct mail *mail = mail_new(MAIL_EVENT);
    mail->event = HOST_DRIVE_SAID;
    mail->order = *order;
    mail_post(workers->options.box, mail);
}

static void tell_progress(void *ctx, const struct order *order, unsigned percent)
{
    struct workers *workers = ctx;
    struct mail *mail = mail_new(MAIL_EVENT);
    mail->event = HOST_PROGRESS;
    mail->order = *order;
    mail->percent = percent;
    mail_post(workers->options.box, mail);
}

static bool get_firmware(void *ctx, const char *digest, uint32_t number, uint8_t *to, uint32_t len, struct err *err)
{
    const struct workers *workers = ctx;
    return image_fetch(workers->options.server, workers->options.host, digest, number, to, len, err);
}

/* ---- progress of a format, asked on a descriptor of its own --------------------------------------------------- */

struct watch {
    struct workers *workers;
    struct order order;
    atomic_bool over;
};

static void *watch_run(void *arg)
{
    struct watch *watch = arg;
    auto_nvme_dev struct nvme_dev *dev = NULL;
    struct err err = {0};
    if (!order_open(&watch->workers->env, &watch->order.ident, &dev, NULL, &err))
        return NULL;
    unsigned told = 0;
    while (!atomic_load(&watch->over)) {
        struct nvme_progress progress = {0};
        struct err ignored = {0};
        if (!nvme_progress(dev, watch->order.ns.nsid, &progress, &ignored))
            return NULL;
        if (progress.running && progress.known && progress.percent != told)
            tell_progress(watch->workers, &watch->order, told = progress.percent);
        for (unsigned slept = 0; slept < PROGRESS_MS && !atomic_load(&watch->over); slept += PROGRESS_STEP_MS)
            sleep_ms(NULL, PROGRESS_STEP_MS);
    }
    return NULL;
}

static void run_watched(struct workers *workers, const struct order *order, struct order_done *done)
{
    struct watch watch = {.workers = workers, .order = *order};
    pthread_t thread;
    const bool watched = order->kind == ORDER_ERASE && pthread_create(&thread, NULL, watch_run, &watch) == 0;
    order_run(&workers->env, order, done);
    atomic_store(&watch.over, true);
    if (watched)
        must(pthread_join(thread, NULL) == 0);
}

/* ---- threads ------------------------------------------------------------------------------------------------- */

static void wait_order(struct worker *worker)
{
    must(pthread_mutex_lock(&worker->lock) == 0);
    while (!worker->has)
        must(pthread_cond_wait(&worker->given, &worker->lock) == 0);
    worker->has = false;
    must(pthread_mutex_unlock(&worker->lock) == 0);
}

static void *drive_run(void *arg)
{
    struct worker *worker = arg;
    for (;;) {
        wait_order(worker);
        struct mail *mail = mail_new(MAIL_EVENT);
        mail->order = worker->order;
        if (worker->order.kind == ORDER_LIST) {
            mail->event = HOST_LISTED;
            mail->done.ok = order_list(&worker->all->env, &mail->list, &mail->done.err);
        } else {
            mail->event = worker->order.kind == ORDER_SCAN ? HOST_SEEN : HOST_DONE;
            run_watched(worker->all, &worker->order, &mail->done);
        }
        mail_post(worker->all->options.box, mail);
    }
    return NULL;
}

static bool vm_start(struct worker *worker, struct err *err)
{
    struct workers *all = worker->all;
    struct virt_port *virt = &all->options.virt;
    if (!all->virt_info_known) {
        if (!virt->info(virt->self, &all->virt_info, err))
            return false;
        all->virt_info_known = true;
    }
    struct domain_host host = {.kvm = all->virt_info.kvm, .io_uring = all->virt_info.io_uring};
    text_cut(host.emulator, sizeof(host.emulator), all->virt_info.emulator);
    snprintf(host.console_log, sizeof(host.console_log), "%s/%s.log", all->options.console_dir, worker->job.spec.name.v);
    struct domain *domain = calloc(1, sizeof(*domain));
    must(domain != NULL);
    const bool ok = domain_build(&worker->job.spec, worker->job.slices, worker->job.slice_count, &host, domain, err) &&
                    virt->start(virt->self, domain, err);
    free(domain);
    all->virt_info_known = ok; /* what the host can may be why it failed: ask again */
    return ok;
}

static bool virt_order(struct worker *worker, struct virt_list *list, struct err *err)
{
    struct virt_port *virt = &worker->all->options.virt;
    const struct uuid *vm = &worker->order.vm;
    switch (worker->order.kind) {
    case ORDER_VIRT_LIST:
        return virt->list(virt->self, list, err);
    case ORDER_VM_START:
        return vm_start(worker, err);
    case ORDER_VM_SHUTDOWN:
        return virt->shutdown(virt->self, vm, err);
    case ORDER_VM_REBOOT:
        return virt->reboot(virt->self, vm, err);
    case ORDER_VM_DESTROY:
        return virt->destroy(virt->self, vm, err);
    case ORDER_VM_UNDEFINE:
        return virt->undefine(virt->self, vm, err);
    case ORDER_LIST:
    case ORDER_SCAN:
    case ORDER_CREATE:
    case ORDER_ATTACH:
    case ORDER_DETACH:
    case ORDER_DELETE:
    case ORDER_ERASE:
    case ORDER_NODE:
    case ORDER_PROBE:
    case ORDER_FIRMWARE:
    case ORDER_KIND_COUNT:
        break;
    }
    must(false);
    return false;
}

static void *virt_run(void *arg)
{
    struct worker *worker = arg;
    for (;;) {
        wait_order(worker);
        struct mail *mail = mail_new(MAIL_EVENT);
        mail->order = worker->order;
        mail->event = worker->order.kind == ORDER_VIRT_LIST ? HOST_VIRT : HOST_VM_DONE;
        mail->vms = calloc(1, sizeof(*mail->vms));
        must(mail->vms != NULL);
        mail->done.ok = virt_order(worker, mail->vms, &mail->done.err);
        mail_post(worker->all->options.box, mail);
    }
    return NULL;
}

static struct worker *worker_start(struct workers *workers, void *(*run)(void *))
{
    struct worker *worker = calloc(1, sizeof(*worker));
    pthread_t thread;
    must(worker != NULL);
    worker->all = workers;
    must(pthread_mutex_init(&worker->lock, NULL) == 0 && pthread_cond_init(&worker->given, NULL) == 0);
    must(pthread_create(&thread, NULL, run, worker) == 0);
    must(pthread_detach(thread) == 0); /* they live as long as the process: a blocked ioctl cannot be called off */
    return worker;
}

struct workers *workers_open(const struct workers_options *options)
{
    struct workers *workers = calloc(1, sizeof(*workers));
    must(workers != NULL);
    workers->options = *options;
    workers->env = (struct order_env){.nvme = options->nvme,
                                      .host = options->host,
                                      .ctx = workers,
                                      .foreign = foreign,
                                      .unused = unused,
                                      .unix_ms = unix_ms,
                                      .sleep_ms = sleep_ms,
                                      .said = tell_said,
                                      .progress = tell_progress,
                                      .firmware = get_firmware};
    workers->lister = worker_start(workers, drive_run);
    workers->virt = worker_start(workers, virt_run);
    return workers;
}

static struct worker *worker_of(struct workers *workers, const struct drive_ident *ident)
{
    for (size_t i = 0; i < workers->drive_count; i++)
        if (drive_ident_eq(&workers->drives[i]->ident, ident))
            return workers->drives[i];
    must(workers->drive_count < HOST_DRIVES_MAX); /* the mind knows at most as many */
    struct worker *worker = worker_start(workers, drive_run);
    worker->ident = *ident;
    workers->drives[workers->drive_count++] = worker;
    return worker;
}

static bool is_vm_order(enum order_kind kind)
{
    return kind >= ORDER_VIRT_LIST && kind <= ORDER_VM_UNDEFINE;
}

void workers_give(struct workers *workers, const struct order *order, const struct vm_job *job)
{
    struct worker *worker = is_vm_order(order->kind)   ? workers->virt
                            : order->kind == ORDER_LIST ? workers->lister
                                                        : worker_of(workers, &order->ident);
    must(pthread_mutex_lock(&worker->lock) == 0);
    must(!worker->has);
    worker->order = *order;
    if (job != NULL)
        worker->job = *job;
    worker->has = true;
    must(pthread_cond_signal(&worker->given) == 0);
    must(pthread_mutex_unlock(&worker->lock) == 0);
}
