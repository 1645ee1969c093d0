#include "cli/cli_daemon.h"

#include "base/must.h"
#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ARGS_MAX = 24, TAIL_MAX = 16384 };

bool daemon_dir(const char *path, mode_t mode, struct err *err)
{
    char part[DAEMON_PATH_MAX];
    if (!text_copy(part, sizeof(part), path) || part[0] == '\0')
        return err_set(err, ERR_INPUT, "cannot make folder '%.80s': its path is empty or too long", path);
    for (char *at = part + 1; *at != '\0'; at++) {
        if (*at != '/')
            continue;
        *at = '\0';
        if (mkdir(part, 0755) < 0 && errno != EEXIST)
            return err_sys(err, errno, "cannot make folder '%s'", part);
        *at = '/';
    }
    if (mkdir(part, mode) < 0 && errno != EEXIST)
        return err_sys(err, errno, "cannot make folder '%s'", part);
    return true;
}

bool daemon_init(struct daemon *daemon, const char *program, const char *run, const char *state, const char *log,
                 struct err *err)
{
    *daemon = (struct daemon){.program = program};
    const int a = snprintf(daemon->log, sizeof(daemon->log), "%s/%s", state, log);
    const int b = snprintf(daemon->pid_file, sizeof(daemon->pid_file), "%s/%s.pid", run, program);
    if (a >= 0 && b >= 0 && (size_t)a < sizeof(daemon->log) && (size_t)b < sizeof(daemon->pid_file))
        return true;
    return err_set(err, ERR_INPUT, "cannot use the folders for %s: their paths are too long", program);
}

/* ---- pids ----------------------------------------------------------------------------------------------------- */

/* " (deleted)" follows the name after an upgrade: it is ours all the same. */
static bool is_ours(pid_t pid, const char *program)
{
    char link[64], target[PATH_MAX];
    snprintf(link, sizeof(link), "/proc/%d/exe", (int)pid);
    const ssize_t len = readlink(link, target, sizeof(target) - 1);
    if (len <= 0)
        return false;
    target[len] = '\0';
    const char *slash = strrchr(target, '/');
    const char *name = slash != NULL ? slash + 1 : target;
    const size_t name_len = strlen(program);
    return strncmp(name, program, name_len) == 0 &&
           (name[name_len] == '\0' || strcmp(name + name_len, " (deleted)") == 0);
}

bool daemon_find(struct daemon *daemon)
{
    char line[32] = "";
    uint64_t pid = 0;
    FILE *file = fopen(daemon->pid_file, "re");
    if (file == NULL)
        return false;
    if (fgets(line, sizeof(line), file) != NULL)
        line[strcspn(line, "\n")] = '\0';
    fclose(file);
    if (!text_u64(line, &pid) || pid < 2 || pid > INT_MAX || !is_ours((pid_t)pid, daemon->program))
        return false;
    daemon->pid = (pid_t)pid;
    return true;
}

bool daemon_lives(struct daemon *daemon)
{
    if (daemon->child && waitpid(daemon->pid, NULL, WNOHANG) == daemon->pid)
        daemon->ended = true;
    else if (!daemon->child && !is_ours(daemon->pid, daemon->program))
        daemon->ended = true;
    return !daemon->ended;
}

bool daemon_end(struct daemon *daemon, struct err *err)
{
    must(daemon->pid > 1);
    if (kill(daemon->pid, SIGTERM) == 0 || errno == ESRCH)
        return true;
    return err_sys(err, errno, "cannot stop %s (pid %d)", daemon->program, (int)daemon->pid);
}

void daemon_forget(struct daemon *daemon)
{
    unlink(daemon->pid_file);
    daemon->pid = 0;
}

void daemon_undo(struct daemon *daemon)
{
    if (!daemon->child)
        return;
    if (!daemon->ended && kill(daemon->pid, SIGTERM) == 0)
        waitpid(daemon->pid, NULL, 0);
    daemon_forget(daemon);
}

/* ---- start ---------------------------------------------------------------------------------------------------- */

static bool pid_write(const struct daemon *daemon, struct err *err)
{
    FILE *file = fopen(daemon->pid_file, "we");
    if (file == NULL)
        return err_sys(err, errno, "cannot write '%s'", daemon->pid_file);
    const bool ok = fprintf(file, "%d\n", (int)daemon->pid) > 0;
    return (fclose(file) == 0 && ok) || err_sys(err, errno, "cannot write '%s'", daemon->pid_file);
}

/* In the child: never returns. Only the log is there to say what failed. */
static void become(int log, const char *program, char **argv)
{
    char path[PATH_MAX];
    const int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    const ssize_t len = readlink("/proc/self/exe", path, sizeof(path) - 64);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (null < 0 || dup2(null, 0) < 0 || dup2(log, 1) < 0 || dup2(log, 2) < 0 || setsid() < 0 || chdir("/") < 0)
        _exit(127);
    if (len > 0) {
        path[len] = '\0';
        char *slash = strrchr(path, '/');
        if (slash != NULL) {
            snprintf(slash + 1, 64, "%s", program);
            execv(path, argv);
        }
    }
    execvp(program, argv);
    dprintf(2, "cannot start %s: it is neither beside nsmith nor in PATH: %s\n", program, strerror(errno));
    _exit(127);
}

bool daemon_start(struct daemon *daemon, const char *const *args, struct err *err)
{
    char name[64], *argv[ARGS_MAX] = {name};
    size_t count = 1;
    if (daemon_find(daemon))
        return true; /* it is on its way */
    text_cut(name, sizeof(name), daemon->program);
    for (; args[count - 1] != NULL; count++) {
        must(count + 1 < ARGS_MAX);
        argv[count] = strdup(args[count - 1]);
        must(argv[count] != NULL);
    }
    const int log = open(daemon->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    const pid_t pid = log < 0 ? -1 : fork();
    if (pid == 0)
        become(log, daemon->program, argv);
    const int why = errno;
    for (size_t i = 1; i < count; i++)
        free(argv[i]);
    if (log < 0)
        return err_sys(err, why, "cannot open '%s'", daemon->log);
    close(log);
    if (pid < 0)
        return err_sys(err, why, "cannot start %s", daemon->program);
    daemon->pid = pid;
    daemon->child = true;
    return pid_write(daemon, err);
}

void daemon_log_tail(const struct daemon *daemon, size_t lines, FILE *to)
{
    char text[TAIL_MAX + 1];
    const int fd = open(daemon->log, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    const off_t size = lseek(fd, 0, SEEK_END);
    const ssize_t len = pread(fd, text, TAIL_MAX, size > TAIL_MAX ? size - TAIL_MAX : 0);
    close(fd);
    if (len <= 0)
        return;
    text[len] = '\0';
    const char *from = text + len;
    for (size_t seen = 0; from > text; from--)
        if (from[-1] == '\n' && from != text + len && ++seen == lines)
            break;
    fputs(from, to);
}
