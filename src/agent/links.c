#include "agent/links.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

void link_path(char out[PATH_TEXT_MAX], const char *dir, const struct slice_id *id)
{
    snprintf(out, PATH_TEXT_MAX, "%s/%s", dir, id->v);
}

static const struct slice *handed_out(const struct host *host, const char *id)
{
    for (size_t i = 0; i < host->slice_count; i++) {
        const struct slice *slice = &host->slices[i].slice;
        if (strcmp(slice->id.v, id) == 0 && slice->state == SLICE_ATTACHED && slice->path[0] != '\0')
            return slice;
    }
    return NULL;
}

/* Replaces in one step, so that nobody ever finds no link where there was one. */
static void link_make(const char *dir, const struct slice *slice)
{
    char path[PATH_TEXT_MAX], fresh[PATH_TEXT_MAX + 8], now[PATH_TEXT_MAX];
    link_path(path, dir, &slice->id);
    const ssize_t len = readlink(path, now, sizeof(now) - 1);
    if (len >= 0) {
        now[len] = '\0';
        if (strcmp(now, slice->path) == 0)
            return;
    }
    snprintf(fresh, sizeof(fresh), "%s.new", path);
    unlink(fresh);
    if (symlink(slice->path, fresh) == 0 && rename(fresh, path) != 0)
        unlink(fresh);
}

bool links_sync(const char *dir, const struct host *host, struct err *err)
{
    if (mkdir(dir, 0755) < 0 && errno != EEXIST)
        return err_sys(err, errno, "cannot make folder '%s'", dir);
    DIR *list = opendir(dir);
    if (list == NULL)
        return err_sys(err, errno, "cannot read folder '%s'", dir);
    for (const struct dirent *entry = readdir(list); entry != NULL; entry = readdir(list))
        if (entry->d_name[0] != '.' && handed_out(host, entry->d_name) == NULL)
            unlinkat(dirfd(list), entry->d_name, 0);
    closedir(list);
    for (size_t i = 0; i < host->slice_count; i++)
        if (handed_out(host, host->slices[i].slice.id.v) == &host->slices[i].slice)
            link_make(dir, &host->slices[i].slice);
    return true;
}
