/* handsoff.c - see handsoff.h. What each line is for, in udev 252, lvm2 2.03.16, mdadm 4.2, bcache-tools 1.0.8:
 *   10-nsmith.rules comes before 60-persistent-storage.rules, which runs blkid; what it does not find (ID_FS_TYPE)
 * 64-md, 64-btrfs and 69-lvm do not act on. 69-bcache has a prober of its own, and stops only for the flag of dm.
 * 60-block would have udev watch the node: after each writer it probes again and has the kernel read the partition
 * table. */
#include "agent/handsoff.h"

#include "base/must.h"
#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const char head[] =
    "# Written by nsmith-agent: the SSDs whose namespaces are given to virtual machines. This host must not look into\n"
    "# what guests write. Changes to this file are lost.\n"
    "ACTION==\"remove\", GOTO=\"nsmith_end\"\n"
    "SUBSYSTEM!=\"block\", GOTO=\"nsmith_end\"\n"
    "KERNEL!=\"nvme*\", GOTO=\"nsmith_end\"\n";

static const char tail[] = "GOTO=\"nsmith_end\"\n"
                           "LABEL=\"nsmith_slice\"\n"
                           "ENV{UDEV_DISABLE_PERSISTENT_STORAGE_BLKID_FLAG}=\"1\"\n"
                           "ENV{DM_UDEV_DISABLE_OTHER_RULES_FLAG}=\"1\"\n"
                           "ENV{SYSTEMD_READY}=\"0\"\n"
                           "ENV{UDISKS_IGNORE}=\"1\"\n"
                           "OPTIONS:=\"nowatch\"\n"
                           "# for LVM: global_filter = [ \"r|^/dev/nsmith/|\" ]\n"
                           "SYMLINK+=\"nsmith/$kernel\"\n"
                           "# the kernel looks for partitions when a namespace appears; they belong to the guest\n"
                           "ENV{DEVTYPE}==\"partition\", RUN+=\"/usr/bin/partx --delete --nr %n /dev/%P\"\n"
                           "LABEL=\"nsmith_end\"\n";

/* As a pattern between quotes. */
static void quote(char *to, size_t size, const char *text)
{
    static const char safe[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 ._:-";
    text_cut(to, size, text);
    for (char *c = to; *c != '\0'; c++)
        if (strchr(safe, *c) == NULL)
            *c = '?';
}

static bool is_ours(const struct host_drive *drive)
{
    return drive->adopt == ADOPT_CUTTING || drive->adopt == ADOPT_DONE || drive->adopt == ADOPT_FAULT;
}

void handsoff_text(const struct host *host, char to[HANDSOFF_TEXT_MAX])
{
    size_t len = 0;
    to[0] = '\0';
    for (size_t i = 0; i < host->drive_count; i++) {
        char serial[sizeof(host->drives[i].ident.serial)], model[sizeof(host->drives[i].ident.model)];
        if (!is_ours(&host->drives[i]))
            continue;
        quote(serial, sizeof(serial), host->drives[i].ident.serial);
        quote(model, sizeof(model), host->drives[i].ident.model);
        len += (size_t)snprintf(to + len, HANDSOFF_TEXT_MAX - len,
                                "%sATTRS{serial}==\"%s\"%s%s%s, GOTO=\"nsmith_slice\"\n", len == 0 ? head : "", serial,
                                model[0] != '\0' ? ", ATTRS{model}==\"" : "", model, model[0] != '\0' ? "\"" : "");
        must(len < HANDSOFF_TEXT_MAX); /* 32 drives of less than 200 characters */
    }
    if (len > 0)
        must((size_t)snprintf(to + len, HANDSOFF_TEXT_MAX - len, "%s", tail) < HANDSOFF_TEXT_MAX - len);
}

static bool is_so(const char *path, const char *text)
{
    char have[HANDSOFF_TEXT_MAX] = "";
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return errno == ENOENT && text[0] == '\0';
    const ssize_t len = read(fd, have, sizeof(have) - 1);
    close(fd);
    return len >= 0 && (size_t)len == strlen(text) && memcmp(have, text, (size_t)len) == 0;
}

/* After a power cut there is the old text or the new one. */
static bool write_whole(const char *path, const char *text, struct err *err)
{
    char fresh[PATH_TEXT_MAX + 32];
    snprintf(fresh, sizeof(fresh), "%s.new", path); /* udev reads only what ends in .rules */
    unlink(fresh);
    const int fd = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0)
        return err_sys(err, errno, "cannot write '%s'", fresh);
    const size_t len = strlen(text);
    const ssize_t written = write(fd, text, len);
    const bool ok = written >= 0 && (size_t)written == len && fsync(fd) == 0 && rename(fresh, path) == 0;
    if (!ok) {
        err_sys(err, written >= 0 && (size_t)written != len ? ENOSPC : errno, "cannot write '%s'", path);
        unlink(fresh);
    }
    close(fd);
    return ok;
}

bool handsoff_sync(const char *dir, const struct host *host, bool *changed, struct err *err)
{
    char path[PATH_TEXT_MAX + 16], text[HANDSOFF_TEXT_MAX];
    snprintf(path, sizeof(path), "%s/" HANDSOFF_FILE, dir);
    handsoff_text(host, text);
    *changed = false;
    if (is_so(path, text))
        return true;
    if (!write_whole(path, text, err))
        return err_hint(err, "until then this host may probe and activate what guests wrote");
    const int folder = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder >= 0) {
        fsync(folder);
        close(folder);
    }
    *changed = true;
    return true;
}

static void udevadm(const char *const argv[])
{
    char *const environment[] = {NULL};
    pid_t pid;
    int status;
    /* posix_spawn() changes neither the words nor what they point to. */
    if (posix_spawn(&pid, "/usr/bin/udevadm", NULL, NULL, (char *const *)(uintptr_t)argv, environment) == 0)
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
            ;
}

void handsoff_tell(void)
{
    static const char *const reload[] = {"udevadm", "control", "--reload", "--timeout=5", NULL};
    static const char *const look[] = {
        "udevadm", "trigger", "--action=change", "--subsystem-match=block", "--sysname-match=nvme*", NULL};
    if (access("/run/udev/control", F_OK) != 0)
        return;
    udevadm(reload);
    udevadm(look);
}
