/* The key file: 128 hex digits of libsodium's secret key (the seed, then the public key) and a newline. The second
 * half can be computed from the first, so damage to either is found. */
#include "cert/cert.h"

#include "base/must.h"
#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { KEY_DIGITS = 2 * crypto_sign_SECRETKEYBYTES, KEY_FILE_LEN = KEY_DIGITS + 1 };

static void closep(int *fd)
{
    if (*fd >= 0)
        close(*fd);
}
#define auto_close __attribute__((cleanup(closep)))

static bool check_file(int fd, const char *path, struct err *err)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return err_sys(err, errno, "cannot look at key file '%s'", path);
    if (!S_ISREG(st.st_mode))
        return err_set(err, ERR_UNSAFE, "cannot use key file '%s': it is not a regular file", path);
    if (st.st_uid != geteuid()) {
        err_set(err, ERR_UNSAFE, "cannot use key file '%s': it belongs to user %u, not to user %u", path, st.st_uid,
                geteuid());
        return err_hint(err, "chown it to the user that runs the agent");
    }
    if ((st.st_mode & 07777) == 0600)
        return true;
    err_set(err, ERR_UNSAFE, "cannot use key file '%s': its mode is %04o, it must be 0600", path, st.st_mode & 07777);
    return err_hint(err, "if nobody else can have read it, run: chmod 600 '%s'; else move it away to get a new key",
                    path);
}

/* At most `size` bytes, all that there are. */
static bool read_some(int fd, char *to, size_t size, size_t *got, struct err *err)
{
    size_t len = 0;
    while (len < size) {
        ssize_t n = read(fd, to + len, size - len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_sys(err, errno, "cannot read key file");
        if (n == 0)
            break;
        len += (size_t)n;
    }
    *got = len;
    return true;
}

static bool write_all(int fd, const char *from, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, from, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return false;
        from += n;
        len -= (size_t)n;
    }
    return true;
}

static bool key_from_text(char *text, size_t len, struct cert_key *out)
{
    struct cert_key read, made;
    if (len != KEY_FILE_LEN || text[KEY_DIGITS] != '\n')
        return false;
    text[KEY_DIGITS] = '\0';
    bool ok = text_unhex(read.secret, sizeof(read.secret), text);
    if (ok) {
        cert_key_make(&made, read.secret); /* the seed is the first half */
        ok = sodium_memcmp(made.secret, read.secret, sizeof(made.secret)) == 0;
    }
    if (ok)
        *out = made;
    sodium_memzero(&read, sizeof(read));
    sodium_memzero(&made, sizeof(made));
    return ok;
}

static bool key_load(int fd, const char *path, struct cert_key *out, struct err *err)
{
    char text[KEY_FILE_LEN + 1];
    size_t len = 0;
    if (!check_file(fd, path, err))
        return false;
    if (!read_some(fd, text, sizeof(text), &len, err))
        return err_wrap(err, "'%s'", path);
    bool ok = key_from_text(text, len, out);
    sodium_memzero(text, sizeof(text));
    if (ok)
        return true;
    err_set(err, ERR_FAILED, "cannot use key file '%s': it is damaged", path);
    return err_hint(err, "restore it from a backup, or move it away: a new key is made, which the server must accept");
}

static bool sync_folder(const char *path, struct err *err)
{
    char folder[PATH_MAX];
    const char *slash = strrchr(path, '/');
    if (slash == NULL)
        text_cut(folder, sizeof(folder), ".");
    else
        snprintf(folder, sizeof(folder), "%.*s", slash == path ? 1 : (int)(slash - path), path);
    auto_close int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) < 0)
        return err_sys(err, errno, "cannot sync folder '%s'", folder);
    return true;
}

static bool key_write(int fd, const char *temp, struct err *err)
{
    struct cert_key key;
    uint8_t seed[crypto_sign_SEEDBYTES];
    char text[KEY_FILE_LEN + 1];
    must(sodium_init() >= 0);
    randombytes_buf(seed, sizeof(seed));
    cert_key_make(&key, seed);
    text_hex(text, key.secret, sizeof(key.secret));
    text[KEY_DIGITS] = '\n';
    /* fchmod: mkostemp() heeds the umask, which may take even the owner's rights. */
    bool ok = fchmod(fd, 0600) == 0 && write_all(fd, text, KEY_FILE_LEN) && fsync(fd) == 0;
    int why = errno;
    sodium_memzero(seed, sizeof(seed));
    sodium_memzero(&key, sizeof(key));
    sodium_memzero(text, sizeof(text));
    return ok || err_sys(err, why, "cannot write key file '%s'", temp);
}

/* link(), not rename(): when two start at once, the second keeps the key of the first. */
static bool key_create(const char *path, struct err *err)
{
    char temp[PATH_MAX];
    if ((size_t)snprintf(temp, sizeof(temp), "%s.XXXXXX", path) >= sizeof(temp))
        return err_set(err, ERR_INPUT, "cannot make key file: its path is too long");
    auto_close int fd = mkostemp(temp, O_CLOEXEC);
    if (fd < 0)
        return err_sys(err, errno, "cannot make key file '%s'", path);
    bool ok = key_write(fd, temp, err);
    if (ok && link(temp, path) < 0 && errno != EEXIST)
        ok = err_sys(err, errno, "cannot make key file '%s'", path);
    unlink(temp);
    return ok && sync_folder(path, err);
}

bool cert_key_open(const char *path, struct cert_key *out, struct err *err)
{
    for (unsigned tries = 0; tries < 2; tries++) {
        /* O_NONBLOCK: a fifo in its place must not hang the agent. */
        auto_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        if (fd >= 0)
            return key_load(fd, path, out, err);
        if (errno != ENOENT || tries > 0)
            return err_sys(err, errno, "cannot open key file '%s'", path);
        if (!key_create(path, err))
            return false;
    }
    must(false);
    return false;
}
