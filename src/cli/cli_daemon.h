/* cli_daemon.h - a program started in the background, found again by its pid file.
 *   - A pid is believed only while /proc/PID/exe is a program of that name: pids are used again.
 *   - The program is the one beside our own file, else the one in $PATH. */
#ifndef NSMITH_CLI_DAEMON_H
#define NSMITH_CLI_DAEMON_H

#include "base/err.h"

#include <stdio.h>
#include <sys/types.h>

enum { DAEMON_PATH_MAX = 512 };

struct daemon {
    const char *program; /* borrowed */
    char log[DAEMON_PATH_MAX], pid_file[DAEMON_PATH_MAX];
    pid_t pid;  /* 0: none */
    bool child; /* started by this process */
    bool ended; /* found ended by daemon_lives() */
};

bool daemon_dir(const char *path, mode_t mode, struct err *err); /* made with its parents when missing */
bool daemon_init(struct daemon *daemon, const char *program, const char *run, const char *state, const char *log,
                 struct err *err);
/* args: ended by NULL, without the program's name. One that runs already is taken as it is. */
bool daemon_start(struct daemon *daemon, const char *const *args, struct err *err);
bool daemon_lives(struct daemon *daemon);
bool daemon_find(struct daemon *daemon);                 /* by the pid file */
bool daemon_end(struct daemon *daemon, struct err *err); /* asks it to end; does not wait */
void daemon_forget(struct daemon *daemon);               /* removes the pid file */
void daemon_undo(struct daemon *daemon);                 /* ends what daemon_start() started, and forgets it */
void daemon_log_tail(const struct daemon *daemon, size_t lines, FILE *to);

#endif
