/* nsmithd - API, database, scheduler. Needs no privileges. One loop, one thread: a request is one transaction. */
#include "base/ini.h"
#include "base/log.h"
#include "base/must.h"
#include "base/stdfd.h"
#include "server/api.h"

#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { LISTEN_MAX = 4 };

struct options {
    const char *state, *run, *database, *name, *config; /* config NULL: the usual files */
    const char *listen[LISTEN_MAX];
    size_t listen_count;
};

static uint64_t clock_ms(clockid_t id)
{
    struct timespec now;
    must(clock_gettime(id, &now) == 0);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static uint64_t unix_ms(void)
{
    return clock_ms(CLOCK_REALTIME);
}

/* nsmithd.conf; what is not given is core/health.c's default. */
static const struct ini_key config_keys[] = {
#define LIMIT(member, most)                                                        \
    {                                                                              \
        INI(INI_U32, "health", #member, struct health_limits, member), .max = most \
    }
    LIMIT(spare_margin_percent, 100),
    LIMIT(used_warn_percent, 255),
    LIMIT(used_drain_percent, 255),
    LIMIT(media_errors_warn, UINT32_MAX),
    LIMIT(media_errors_drain, UINT32_MAX),
    LIMIT(temperature_warn_c, 200),
    LIMIT(temperature_drain_c, 200),
    LIMIT(temperature_hysteresis_c, 100),
#undef LIMIT
    {INI(INI_BOOL, "health", "unknown_drains", struct health_limits, unknown_drains)},
};
static const struct ini_map config_ini = INI_MAP(struct health_limits, config_keys);

static bool config_read(const char *path, struct health_limits *out, struct err *err)
{
    static const char *const roots[] = {"/usr/lib/nsmith", "/run/nsmith", "/etc/nsmith"};
    *out = health_defaults;
    return path != NULL ? ini_load_file(&config_ini, path, out, err)
                        : ini_load(&config_ini, roots, sizeof(roots) / sizeof(roots[0]), "nsmithd", out, err);
}

static bool make_dir(const char *path, mode_t mode, struct err *err)
{
    if (mkdir(path, mode) == 0 || errno == EEXIST)
        return true;
    err_sys(err, errno, "cannot make folder '%s'", path);
    return err_hint(err, "make the folder that it is in, and let this user write there");
}

static bool loop(struct http_server *server, int signals, struct err *err)
{
    for (;;) {
        const int64_t wait = http_server_run(server, clock_ms(CLOCK_MONOTONIC));
        struct pollfd fds[] = {{.fd = http_server_fd(server), .events = POLLIN}, {.fd = signals, .events = POLLIN}};
        if (poll(fds, 2, wait < 0 || wait > 60000 ? 60000 : (int)wait) < 0 && errno != EINTR)
            return err_sys(err, errno, "cannot wait for requests");
        if (fds[1].revents != 0)
            return true;
    }
}

static bool serve(const struct options *options, int signals, struct err *err)
{
    char path[PATH_TEXT_MAX], default_listen[PATH_TEXT_MAX];
    const char *listen[LISTEN_MAX] = {default_listen};
    struct store store;
    struct service service;
    struct api api = {.service = &service, .unix_ms = unix_ms};
    struct http_server *server = NULL;
    struct health_limits limits;
    uint64_t seed;
    snprintf(path, sizeof(path), "%s/nsmithd.db", options->state);
    snprintf(default_listen, sizeof(default_listen), "unix:%s/nsmithd.sock", options->run);
    for (size_t i = 0; i < options->listen_count; i++)
        listen[i] = options->listen[i];
    if (getrandom(&seed, sizeof(seed), 0) != sizeof(seed))
        return err_sys(err, errno, "cannot get random numbers");
    if (!config_read(options->config, &limits, err) || !make_dir(options->state, 0700, err) ||
        !make_dir(options->run, 0755, err))
        return false;
    if (options->database != NULL ? !store_pg_open(options->database, &store, err) : !store_sqlite_open(path, &store, err))
        return false;
    bool ok = service_open(&service, &store, seed, err);
    service.limits = limits;
    ok = ok && http_server_open(listen, options->listen_count > 0 ? options->listen_count : 1, api_handle, &api,
                                &server, err);
    if (ok) {
        api.server = server;
        http_server_name(server, options->name);
        log_info("started", "database=%s listen=%s", options->database != NULL ? "postgresql" : path, listen[0]);
        ok = loop(server, signals, err);
        http_server_close(server);
    }
    service_close(&service);
    store.close(store.self);
    return ok;
}

static const char usage[] =
    "Usage: nsmithd [OPTION...]\n"
    "The control plane: API, database, scheduler. Runs in the foreground.\n\n"
    "  --state DIR       the database, a SQLite file (default /var/lib/nsmith)\n"
    "  --database TEXT   PostgreSQL instead, as libpq has it: \"postgresql:///nsmith\"; see docs/operations.md\n"
    "  --run DIR         the socket (default /run/nsmith)\n"
    "  --listen ADDRESS  unix:/path or tcp:127.0.0.1:PORT; up to 4 (default unix:RUN/nsmithd.sock)\n"
    "  --name NAME       a name of this server besides localhost, by which it may be asked over TCP\n"
    "  --config FILE     only this one (default nsmithd.conf and nsmithd.conf.d in /usr/lib, /run and /etc/nsmith)\n"
    "  --help, --version\n";

/* Exit code of a run that ends before it began, or -1. */
static int options_read(int argc, char **argv, struct options *options)
{
    static const struct option longs[] = {{"state", required_argument, NULL, 's'},
                                          {"run", required_argument, NULL, 'r'},
                                          {"listen", required_argument, NULL, 'l'},
                                          {"database", required_argument, NULL, 'd'},
                                          {"name", required_argument, NULL, 'n'},
                                          {"config", required_argument, NULL, 'c'},
                                          {"help", no_argument, NULL, 'h'},
                                          {"version", no_argument, NULL, 'V'},
                                          {0}};
    *options = (struct options){.state = "/var/lib/nsmith", .run = "/run/nsmith"};
    for (int c = getopt_long(argc, argv, "", longs, NULL); c != -1; c = getopt_long(argc, argv, "", longs, NULL))
        switch (c) {
        case 's':
            options->state = optarg;
            break;
        case 'r':
            options->run = optarg;
            break;
        case 'd':
            options->database = optarg;
            break;
        case 'l':
            if (options->listen_count == LISTEN_MAX) {
                fprintf(stderr, "nsmithd: cannot listen on '%s': %d addresses at the most\n", optarg, LISTEN_MAX);
                return err_kind_exit(ERR_INPUT);
            }
            options->listen[options->listen_count++] = optarg;
            break;
        case 'n':
            options->name = optarg;
            break;
        case 'c':
            options->config = optarg;
            break;
        case 'h':
            fputs(usage, stdout);
            return 0;
        case 'V':
            puts("nsmithd " NSMITH_VERSION);
            return 0;
        default:
            fputs(usage, stderr);
            return err_kind_exit(ERR_INPUT);
        }
    if (optind == argc)
        return -1;
    fprintf(stderr, "nsmithd: cannot use '%s': there are no arguments besides options\n", argv[optind]);
    return err_kind_exit(ERR_INPUT);
}

int main(int argc, char **argv)
{
    struct options options;
    struct err err = {0};
    sigset_t signals;
    if (!stdfd_fill())
        return err_kind_exit(ERR_FAILED);
    const int early = options_read(argc, argv, &options);
    if (early >= 0)
        return early;
    must(sodium_init() >= 0);
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    must(sigprocmask(SIG_BLOCK, &signals, NULL) == 0);
    signal(SIGPIPE, SIG_IGN);
    const int signal_fd = signalfd(-1, &signals, SFD_CLOEXEC);
    must(signal_fd >= 0);
    if (serve(&options, signal_fd, &err)) {
        log_info("ended", "why=%s", "asked to");
        return 0;
    }
    log_error("ended", "code=%s why=%s hint=%s", err_kind_name(err.kind), err.msg, err.hint);
    return err_kind_exit(err.kind);
}
