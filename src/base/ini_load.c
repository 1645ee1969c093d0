/* The one part of ini.h that reads files. */
#include "base/ini.h"

#include "base/must.h"
#include "base/text.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

struct dropin {
    char name[NAME_MAX + 1];
    size_t root;
};

struct dropins {
    struct dropin at[INI_DROPINS_MAX];
    size_t count;
};

/* ---- one file ------------------------------------------------------------------------------------------------ */

static bool read_all(int fd, const char *path, char *to, size_t *len_out, struct err *err)
{
    size_t len = 0;
    for (;;) {
        const ssize_t n = read(fd, to + len, INI_FILE_MAX + 1 - len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_sys(err, errno, "cannot read '%s'", path);
        if (n == 0)
            break;
        len += (size_t)n;
    }
    *len_out = len;
    return true;
}

/* Opening a pipe or a device could wait for ever or have effects; only /dev/null is used on purpose. */
static bool check_kind(int fd, const char *path, struct err *err)
{
    struct stat there;
    if (fstat(fd, &there) != 0)
        return err_sys(err, errno, "cannot read '%s'", path);
    if (S_ISREG(there.st_mode) || (S_ISCHR(there.st_mode) && there.st_rdev == makedev(1, 3)))
        return true;
    return err_set(err, ERR_INPUT, "cannot read '%s': it is not a file", path);
}

static bool read_fd(const struct ini_map *map, int fd, const char *path, void *out, struct err *err)
{
    size_t len = 0;
    char *text = malloc(INI_FILE_MAX + 1);
    must(text != NULL);
    const bool ok =
        check_kind(fd, path, err) && read_all(fd, path, text, &len, err) && ini_parse(map, path, text, len, out, err);
    free(text);
    return ok;
}

/* found NULL: it must be there. */
static bool read_file(const struct ini_map *map, const char *path, bool *found, void *out, struct err *err)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (found != NULL)
        *found = fd >= 0;
    if (fd < 0 && found != NULL && errno == ENOENT)
        return true;
    if (fd < 0)
        return err_sys(err, errno, "cannot read '%s'", path);
    const bool ok = read_fd(map, fd, path, out, err);
    close(fd);
    return ok;
}

bool ini_load_file(const struct ini_map *map, const char *path, void *out, struct err *err)
{
    return read_file(map, path, NULL, out, err);
}

/* ---- all files ----------------------------------------------------------------------------------------------- */

__attribute__((format(printf, 3, 4))) static bool make_path(char to[PATH_MAX], struct err *err, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    const int len = vsnprintf(to, PATH_MAX, fmt, ap);
    va_end(ap);
    if (len < 0 || len >= PATH_MAX)
        return err_set(err, ERR_INPUT, "cannot read configuration: a path is longer than %d characters", PATH_MAX - 1);
    return true;
}

static bool is_dropin(const char *name)
{
    const size_t len = strlen(name);
    return name[0] != '.' && len > 5 && strcmp(name + len - 5, ".conf") == 0;
}

/* A drop-in of a later root takes the place of an earlier one of the same name. */
static bool add_dropin(struct dropins *dropins, const char *name, size_t root, struct err *err)
{
    for (size_t i = 0; i < dropins->count; i++)
        if (strcmp(dropins->at[i].name, name) == 0) {
            dropins->at[i].root = root;
            return true;
        }
    if (dropins->count == INI_DROPINS_MAX)
        return err_set(err, ERR_INPUT, "there are more than %d files", INI_DROPINS_MAX);
    struct dropin *added = &dropins->at[dropins->count++];
    added->root = root;
    must(text_copy(added->name, sizeof(added->name), name));
    return true;
}

static bool list_dir(struct dropins *dropins, const char *path, size_t root, struct err *err)
{
    DIR *dir = opendir(path);
    bool ok = true;
    if (dir == NULL)
        return errno == ENOENT || err_sys(err, errno, "cannot read folder '%s'", path);
    errno = 0;
    for (const struct dirent *entry = readdir(dir); ok && entry != NULL; entry = ok ? readdir(dir) : NULL) {
        if (is_dropin(entry->d_name) && !add_dropin(dropins, entry->d_name, root, err))
            ok = err_wrap(err, "cannot read folder '%s'", path);
        errno = 0;
    }
    if (ok && errno != 0)
        ok = err_sys(err, errno, "cannot read folder '%s'", path);
    closedir(dir);
    return ok;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct dropin *)a)->name, ((const struct dropin *)b)->name);
}

static bool load_main(const struct ini_map *map, const char *const *roots, size_t root_count, const char *name,
                      void *out, struct err *err)
{
    for (size_t i = root_count; i-- > 0;) {
        char path[PATH_MAX];
        bool found;
        if (!make_path(path, err, "%s/%s.conf", roots[i], name) || !read_file(map, path, &found, out, err))
            return false;
        if (found)
            return true;
    }
    return true;
}

static bool load_dropins(const struct ini_map *map, const char *const *roots, size_t root_count, const char *name,
                         struct dropins *dropins, void *out, struct err *err)
{
    char path[PATH_MAX];
    for (size_t i = 0; i < root_count; i++)
        if (!make_path(path, err, "%s/%s.conf.d", roots[i], name) || !list_dir(dropins, path, i, err))
            return false;
    qsort(dropins->at, dropins->count, sizeof(dropins->at[0]), by_name);
    for (size_t i = 0; i < dropins->count; i++) {
        const struct dropin *dropin = &dropins->at[i];
        bool found; /* one that has gone meanwhile is none */
        if (!make_path(path, err, "%s/%s.conf.d/%s", roots[dropin->root], name, dropin->name) ||
            !read_file(map, path, &found, out, err))
            return false;
    }
    return true;
}

bool ini_load(const struct ini_map *map, const char *const *roots, size_t root_count, const char *name, void *out,
              struct err *err)
{
    struct dropins *dropins = calloc(1, sizeof(*dropins));
    void *fresh = malloc(map->size); /* out changes only when all files are right */
    must(dropins != NULL && fresh != NULL);
    memcpy(fresh, out, map->size);
    const bool ok = load_main(map, roots, root_count, name, fresh, err) &&
                    load_dropins(map, roots, root_count, name, dropins, fresh, err);
    if (ok)
        memcpy(out, fresh, map->size);
    free(fresh);
    free(dropins);
    return ok;
}
