#include "agent/links.h"

#include "base/must.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

void link_path(char out[PATH_TEXT_MAX], const char *dir, const struct slice_id *id)
{
    snprintf(out, PATH_TEXT_MAX, "%s/%s", dir, id->v);
}

/* ---- what is kept open --------------------------------------------------------------------------------------- */

static struct link_hold *hold_of(struct links *links, const struct slice_id *slice)
{
    for (size_t i = 0; i < links->count; i++)
        if (slice_id_eq(&links->holds[i].slice, slice))
            return &links->holds[i];
    return NULL;
}

void links_hold(struct links *links, const struct slice_id *slice, uint64_t rdev, int fd)
{
    must(fd > 0);
    struct link_hold *hold = hold_of(links, slice);
    if (hold != NULL) {
        close(hold->fd);
    } else if (links->count == HOST_SLICES_MAX) { /* as many as there can be slices: it is of one that is gone */
        close(fd);
        return;
    } else {
        hold = &links->holds[links->count++];
    }
    *hold = (struct link_hold){.slice = *slice, .rdev = rdev, .fd = fd};
}

static const struct host_slice *slice_of(const struct host *host, const char *id)
{
    for (size_t i = 0; i < host->slice_count; i++)
        if (strcmp(host->slices[i].slice.id.v, id) == 0)
            return &host->slices[i];
    return NULL;
}

static void holds_drop(struct links *links, const struct host *host)
{
    size_t kept = 0;
    for (size_t i = 0; i < links->count; i++) {
        const struct link_hold *hold = &links->holds[i];
        const struct host_slice *slice = slice_of(host, hold->slice.v);
        if (slice != NULL && slice->node_known && slice->block_device && slice->rdev == hold->rdev)
            links->holds[kept++] = *hold;
        else
            close(hold->fd);
    }
    links->count = kept;
}

/* ---- links --------------------------------------------------------------------------------------------------- */

/* The path is to be had, and leads to what was identified as long as we hold that. */
static bool is_vouched_for(struct links *links, const struct host_slice *slice)
{
    struct stat st;
    if (slice == NULL || slice->slice.state != SLICE_ATTACHED || !slice->node_known || slice->slice.path[0] == '\0')
        return false;
    if (!slice->block_device)
        return true;
    const struct link_hold *hold = hold_of(links, &slice->slice.id);
    return hold != NULL && hold->rdev == slice->rdev && stat(slice->slice.path, &st) == 0 && S_ISBLK(st.st_mode) &&
           st.st_rdev == slice->rdev;
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

static bool links_remove(struct links *links, const struct host *host, struct err *err)
{
    DIR *list = opendir(links->dir);
    if (list == NULL)
        return err_sys(err, errno, "cannot read folder '%s'", links->dir);
    for (const struct dirent *entry = readdir(list); entry != NULL; entry = readdir(list))
        if (entry->d_name[0] != '.' && (host == NULL || !is_vouched_for(links, slice_of(host, entry->d_name))))
            unlinkat(dirfd(list), entry->d_name, 0);
    closedir(list);
    return true;
}

bool links_sync(struct links *links, const struct host *host, struct err *err)
{
    if (mkdir(links->dir, 0755) < 0 && errno != EEXIST)
        return err_sys(err, errno, "cannot make folder '%s'", links->dir);
    if (!links_remove(links, host, err))
        return false;
    holds_drop(links, host); /* after its link is gone: now the kernel may give the name away */
    for (size_t i = 0; i < host->slice_count; i++)
        if (is_vouched_for(links, &host->slices[i]))
            link_make(links->dir, &host->slices[i].slice);
    return true;
}

void links_clear(struct links *links)
{
    struct err ignored = {0};
    links_remove(links, NULL, &ignored);
}
