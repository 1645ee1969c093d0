#include "store/sqlite_util.h"

#include "base/must.h"
#include "base/text.h"
#include "store/sqlite_check.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fcntl.h>

enum { CHECKPOINT_FRAMES = 1000, BUSY_MS = 5000 };

/* ---- errors -------------------------------------------------------------------------------------------------- */

/* After a failed fsync the kernel may have marked the pages as clean: a second fsync would succeed, and prove nothing.
 * Only a new process that reads back what is really there, and writes it once more, can be believed. */
static void stop_when_not_synced(int rc)
{
    if (rc == SQLITE_IOERR_FSYNC || rc == SQLITE_IOERR_DIR_FSYNC || rc == SQLITE_IOERR_TRUNCATE)
        must_fail("what was acknowledged is on the disk (fsync failed)", __FILE__, __LINE__);
}

static enum err_kind kind_of(int rc)
{
    switch (rc) {
    case SQLITE_IOERR_WRITE: /* EIO and EFBIG as well, but the remedy is the same: look at the file system */
    case SQLITE_IOERR_SHMSIZE:
        return ERR_FULL;
    case SQLITE_CONSTRAINT_CHECK:
    case SQLITE_CONSTRAINT_NOTNULL:
    case SQLITE_CONSTRAINT_DATATYPE:
        return ERR_INPUT;
    default:
        break;
    }
    switch (rc & 0xff) {
    case SQLITE_FULL:
        return ERR_FULL;
    case SQLITE_CONSTRAINT:
        return ERR_CONFLICT;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return ERR_BUSY;
    case SQLITE_IOERR:
        return ERR_DEVICE;
    case SQLITE_CANTOPEN:
    case SQLITE_READONLY:
    case SQLITE_PERM:
        return ERR_DENIED;
    default:
        return ERR_FAILED;
    }
}

/* SQLite's own words, except where they name columns to people who never saw the schema. */
static void reason_of(struct sqlite_file *file, int rc, char *to, size_t size)
{
    static const char unique[] = "UNIQUE constraint failed: ";
    const char *text = file->db != NULL ? sqlite3_errmsg(file->db) : sqlite3_errstr(rc);
    const int sys = file->db != NULL ? sqlite3_system_errno(file->db) : 0;
    const int primary = rc & 0xff;
    if (rc == SQLITE_CONSTRAINT_UNIQUE && strncmp(text, unique, sizeof(unique) - 1) == 0)
        snprintf(to, size, "another one has the same %s", text + sizeof(unique) - 1);
    else if (rc == SQLITE_CONSTRAINT_FOREIGNKEY)
        snprintf(to, size, "something that it refers to is not there");
    else if ((primary == SQLITE_IOERR || primary == SQLITE_CANTOPEN || primary == SQLITE_FULL) && sys != 0)
        snprintf(to, size, "%s (%s)", text, strerror(sys));
    else
        snprintf(to, size, "%s", text);
}

static bool hint_for(struct sqlite_file *file, int rc, struct err *err)
{
    if (err->kind == ERR_FULL)
        return err_hint(err, "free space on the file system of '%s', then try again; nothing was changed", file->path);
    if (err->kind == ERR_DENIED)
        return err_hint(err, "let this user write '%s' and its folder", file->path);
    if (err->kind == ERR_BUSY)
        return err_hint(err, "wait until the backup, or whatever else has '%s' open, is done", file->path);
    if ((rc & 0xff) == SQLITE_CORRUPT || (rc & 0xff) == SQLITE_NOTADB)
        return err_hint(err, "restore a backup of '%s' (remove '-wal' and '-shm' beside it first)", file->path);
    return false;
}

bool sqlite_fail(struct sqlite_file *file, int rc, struct err *err, const char *fmt, ...)
{
    stop_when_not_synced(rc);
    char text[ERR_MSG_MAX / 2], reason[ERR_MSG_MAX / 2];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    reason_of(file, rc, reason, sizeof(reason));
    file->failed = true;
    err_set(err, kind_of(rc), "%s: %s", text, reason);
    return hint_for(file, rc, err);
}

bool sqlite_damaged(struct sqlite_file *file, struct err *err, const char *why)
{
    char line[ERR_MSG_MAX / 2];
    text_cut(line, sizeof(line), why);
    for (char *c = line; *c != '\0'; c++)
        if (*c == '\n')
            *c = ' ';
    file->failed = true;
    err_set(err, ERR_FAILED, "cannot use the %s '%s': it is damaged: %s", file->format->what, file->path, line);
    return hint_for(file, SQLITE_CORRUPT, err);
}

bool sqlite_cannot_open(struct sqlite_file *file, int rc, struct err *err)
{
    return sqlite_fail(file, rc, err, "cannot open the %s '%s'", file->format->what, file->path);
}

/* ---- statements ---------------------------------------------------------------------------------------------- */

bool sqlite_prepare(struct sqlite_file *file, const char *sql, sqlite3_stmt **out, struct err *err)
{
    int rc = sqlite3_prepare_v3(file->db, sql, -1, SQLITE_PREPARE_PERSISTENT, out, NULL);
    return rc == SQLITE_OK || sqlite_cannot_open(file, rc, err);
}

static bool exec(struct sqlite_file *file, const char *sql, struct err *err)
{
    int rc = sqlite3_exec(file->db, sql, NULL, NULL, NULL);
    return rc == SQLITE_OK || sqlite_cannot_open(file, rc, err);
}

/* The first column of the first row; *out untouched when there is none. */
static bool ask_number(struct sqlite_file *file, const char *sql, int64_t *out, struct err *err)
{
    auto_finalize sqlite3_stmt *stmt = NULL;
    if (!sqlite_prepare(file, sql, &stmt, err))
        return false;
    int rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW)
        *out = sqlite3_column_int64(stmt, 0);
    return rc == SQLITE_ROW || rc == SQLITE_DONE || sqlite_cannot_open(file, rc, err);
}

static uint64_t sum_bytes(uint64_t sum, const void *bytes, size_t len)
{
    const unsigned char *at = bytes;
    for (size_t i = 0; i < len; i++)
        sum = (sum ^ at[i]) * 0x100000001b3u;
    return sum;
}

/* The kind and, for texts, the ending zero byte keep ("a", "b") and ("ab", "") apart. */
uint64_t sqlite_sum(uint64_t sum, const struct sqlite_value *value)
{
    if (value->text != NULL)
        return sum_bytes(sum_bytes(sum, "T", 1), value->text, strlen(value->text) + 1);
    if (value->is_null)
        return sum_bytes(sum, "N", 1);
    return sum_bytes(sum_bytes(sum, "I", 1), &value->number, sizeof(value->number));
}

static int bind(sqlite3_stmt *stmt, int place, const struct sqlite_value *value)
{
    if (value->text != NULL)
        return sqlite3_bind_text(stmt, place, value->text, -1, SQLITE_STATIC);
    return value->is_null ? sqlite3_bind_null(stmt, place) : sqlite3_bind_int64(stmt, place, value->number);
}

bool sqlite_run(sqlite3_stmt *stmt, const struct sqlite_value *values, size_t count, bool sum, int *rc)
{
    must((size_t)sqlite3_bind_parameter_count(stmt) == count + sum);
    uint64_t total = SQLITE_SUM_START;
    for (size_t i = 0; i < count; i++) {
        total = sqlite_sum(total, &values[i]);
        must(bind(stmt, (int)i + 1, &values[i]) == SQLITE_OK);
    }
    if (sum)
        must(sqlite3_bind_int64(stmt, (int)count + 1, (int64_t)total) == SQLITE_OK);
    sqlite3_step(stmt);
    *rc = sqlite3_reset(stmt); /* the same error once more; errmsg stays */
    sqlite3_clear_bindings(stmt);
    return *rc == SQLITE_OK;
}

/* ---- transactions -------------------------------------------------------------------------------------------- */

bool sqlite_begin(struct sqlite_file *file, struct err *err)
{
    int rc;
    must(!file->open);
    if (!sqlite_run(file->begin, NULL, 0, false, &rc))
        return sqlite_fail(file, rc, err, "cannot begin a transaction");
    file->open = true;
    file->failed = false;
    return true;
}

void sqlite_rollback(struct sqlite_file *file)
{
    int rc;
    if (!file->open)
        return;
    if (sqlite3_get_autocommit(file->db) == 0) /* a full disk may have rolled back already */
        sqlite_run(file->rollback, NULL, 0, false, &rc);
    must(sqlite3_get_autocommit(file->db) != 0);
    file->open = false;
}

/* What is committed is safe in the WAL: a checkpoint that finds the disk full, or a reader in its way, is tried again
 * after the next commit. Only a failed fsync counts. */
static int checkpoint(struct sqlite_file *file, int mode)
{
    int left, done;
    int rc = sqlite3_wal_checkpoint_v2(file->db, "main", mode, &left, &done);
    stop_when_not_synced(rc);
    if (rc == SQLITE_OK && left == done)
        file->wal_frames = 0;
    return rc;
}

bool sqlite_commit(struct sqlite_file *file, struct err *err)
{
    int rc;
    must(file->open);
    if (file->failed) {
        sqlite_rollback(file);
        return err_set(err, ERR_FAILED, "cannot commit: an earlier step of this transaction failed");
    }
    must(sqlite3_get_autocommit(file->db) == 0);
    if (!sqlite_run(file->commit, NULL, 0, false, &rc)) {
        sqlite_fail(file, rc, err, "cannot commit");
        sqlite_rollback(file);
        return false;
    }
    file->open = false;
    if (file->wal_frames >= CHECKPOINT_FRAMES)
        checkpoint(file, SQLITE_CHECKPOINT_PASSIVE);
    return true;
}

static int note_frames(void *ctx, sqlite3 *db, const char *name, int frames)
{
    struct sqlite_file *file = ctx;
    (void)db;
    (void)name;
    file->wal_frames = frames;
    return SQLITE_OK;
}

/* ---- open ---------------------------------------------------------------------------------------------------- */

static bool lock_refused(struct sqlite_file *file, struct err *err)
{
    char pid[16] = "";
    ssize_t len = pread(file->lock_fd, pid, sizeof(pid) - 1, 0);
    pid[len > 0 ? len : 0] = '\0';
    pid[strspn(pid, "0123456789")] = '\0';
    err_set(err, ERR_CONFLICT, "cannot open the %s '%s': process %s has it open", file->format->what, file->path,
            pid[0] != '\0' ? pid : "(unknown)");
    return err_hint(err, "stop that process first: only one may use the file");
}

/* The lock file stays: removing it would let two processes lock two files of the same name. */
static bool lock_take(struct sqlite_file *file, struct err *err)
{
    char path[SQLITE_PATH_MAX + 8];
    snprintf(path, sizeof(path), "%s.lock", file->path);
    file->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (file->lock_fd < 0) {
        err_sys(err, errno, "cannot open '%s'", path);
        return err_hint(err, "make its folder, and let this user write there");
    }
    if (flock(file->lock_fd, LOCK_EX | LOCK_NB) != 0)
        return errno == EWOULDBLOCK ? lock_refused(file, err) : err_sys(err, errno, "cannot lock '%s'", path);
    /* The pid is for people: a full disk is no reason not to start. */
    char pid[16];
    int len = snprintf(pid, sizeof(pid), "%d\n", (int)getpid());
    (void)!ftruncate(file->lock_fd, 0);
    (void)!pwrite(file->lock_fd, pid, (size_t)len, 0);
    return true;
}

static bool not_a_file(struct sqlite_file *file, struct err *err)
{
    err_set(err, ERR_INPUT, "cannot open the %s '%s': it is not a file", file->format->what, file->path);
    return err_hint(err, "give the path of a file");
}

/* SQLite would make a fresh database out of an empty file, and throw its WAL away. */
static bool file_make(struct sqlite_file *file, struct err *err)
{
    int fd = open(file->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 && errno == EISDIR)
        return not_a_file(file, err);
    if (fd < 0) {
        err_sys(err, errno, "cannot open the %s '%s'", file->format->what, file->path);
        return err_hint(err, "let this user write '%s' and its folder", file->path);
    }
    struct stat main_stat = {0}, wal_stat = {0};
    must(fstat(fd, &main_stat) == 0);
    close(fd);
    if (!S_ISREG(main_stat.st_mode)) /* a block device, of all things */
        return not_a_file(file, err);
    char wal[SQLITE_PATH_MAX + 8];
    snprintf(wal, sizeof(wal), "%s-wal", file->path);
    if (main_stat.st_size == 0 && stat(wal, &wal_stat) == 0 && wal_stat.st_size > 0)
        return sqlite_damaged(file, err, "it is empty, but its write-ahead log is not");
    return true;
}

/* The entries of the file and its WAL in their folder. */
static bool folder_sync(struct sqlite_file *file, struct err *err)
{
    char folder[SQLITE_PATH_MAX + 8];
    snprintf(folder, sizeof(folder), "%s", file->path);
    char *slash = strrchr(folder, '/');
    if (slash == NULL)
        snprintf(folder, sizeof(folder), ".");
    else
        slash[slash == folder] = '\0';
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return err_sys(err, errno, "cannot open '%s'", folder);
    if (fsync(fd) != 0)
        stop_when_not_synced(SQLITE_IOERR_DIR_FSYNC);
    close(fd);
    return true;
}

static int newest_version(const struct sqlite_format *format)
{
    int count = 0;
    while (format->schema[count].name != NULL)
        count++;
    return count;
}

/* Nothing is written before the file is known to be ours. */
static bool format_check(struct sqlite_file *file, int *version_out, struct err *err)
{
    int64_t id = 0, version = 0, tables = 0;
    if (!ask_number(file, "PRAGMA application_id", &id, err) ||
        !ask_number(file, "PRAGMA user_version", &version, err) ||
        !ask_number(file, "SELECT count(*) FROM sqlite_schema", &tables, err))
        return false;
    const bool is_new = id == 0 && version == 0 && tables == 0;
    if (!is_new && id != file->format->application_id) {
        err_set(err, ERR_UNSAFE, "cannot open '%s' as the %s: it is another program's database", file->path,
                file->format->what);
        return err_hint(err, "give another path; this file was not changed");
    }
    const int newest = newest_version(file->format);
    if (version > newest) {
        err_set(err, ERR_FAILED, "cannot open the %s '%s': its schema is version %jd, this program knows %d",
                file->format->what, file->path, (intmax_t)version, newest);
        return err_hint(err, "install the newer nsmith again, or restore a backup made before the upgrade");
    }
    *version_out = (int)version;
    return true;
}

static bool migrate_one(struct sqlite_file *file, int version, struct err *err)
{
    char stamp[128];
    snprintf(stamp, sizeof(stamp), "PRAGMA application_id = %d; PRAGMA user_version = %d", file->format->application_id,
             version);
    if (exec(file, "BEGIN IMMEDIATE", err) && exec(file, file->format->schema[version - 1].sql, err) &&
        exec(file, stamp, err) && exec(file, "COMMIT", err))
        return true;
    return err_wrap(err, "schema '%s'", file->format->schema[version - 1].name);
}

static bool migrate(struct sqlite_file *file, int version, struct err *err)
{
    while (version < newest_version(file->format))
        if (!migrate_one(file, ++version, err))
            return false;
    return true;
}

static bool connect(struct sqlite_file *file, struct err *err)
{
    int rc = sqlite3_open_v2(file->path, &file->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_EXRESCODE, NULL);
    if (rc != SQLITE_OK)
        return sqlite_cannot_open(file, rc, err);
    sqlite3_busy_timeout(file->db, BUSY_MS);
    sqlite3_wal_hook(file->db, note_frames, file); /* takes the place of the automatic checkpoint */
    sqlite3_db_config(file->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(file->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    return exec(file,
                "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; PRAGMA foreign_keys = ON;"
                "PRAGMA temp_store = MEMORY",
                err);
}

static bool make_durable(struct sqlite_file *file, struct err *err)
{
    if (!exec(file, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL", err))
        return false;
    auto_finalize sqlite3_stmt *stmt = NULL;
    if (!sqlite_prepare(file, "PRAGMA journal_mode", &stmt, err))
        return false;
    if (sqlite3_step(stmt) == SQLITE_ROW && strcmp((const char *)sqlite3_column_text(stmt, 0), "wal") == 0)
        return true;
    err_set(err, ERR_FAILED, "cannot open the %s '%s': its file system cannot hold a write-ahead log",
            file->format->what, file->path);
    return err_hint(err, "put it on a local file system");
}

static bool open_checked(struct sqlite_file *file, struct err *err)
{
    int version = 0;
    if (!lock_take(file, err) || !file_make(file, err) || !connect(file, err) || !format_check(file, &version, err) ||
        !sqlite_pages_check(file, err))
        return false;
    if (!make_durable(file, err) || !migrate(file, version, err) || !sqlite_schema_check(file, err))
        return false;
    /* After a crash by a failed fsync the WAL may be in the page cache only: write its content once more, synced. */
    checkpoint(file, SQLITE_CHECKPOINT_TRUNCATE);
    return folder_sync(file, err) && sqlite_prepare(file, "BEGIN IMMEDIATE", &file->begin, err) &&
           sqlite_prepare(file, "COMMIT", &file->commit, err) && sqlite_prepare(file, "ROLLBACK", &file->rollback, err);
}

bool sqlite_file_open(struct sqlite_file *file, const char *path, const struct sqlite_format *format, struct err *err)
{
    *file = (struct sqlite_file){.lock_fd = -1, .format = format};
    if (!text_copy(file->path, sizeof(file->path), path))
        return err_set(err, ERR_INPUT, "cannot open the %s: its path is longer than %d characters", format->what,
                       SQLITE_PATH_MAX - 1);
    if (open_checked(file, err))
        return true;
    sqlite_file_close(file);
    return false;
}

void sqlite_file_close(struct sqlite_file *file)
{
    const bool whole = file->rollback != NULL; /* open succeeded: only then is the file touched */
    if (whole)
        sqlite_rollback(file);
    /* With all in the database the WAL goes; else it stays for the next start. */
    if (whole && checkpoint(file, SQLITE_CHECKPOINT_TRUNCATE) == SQLITE_OK)
        sqlite3_db_config(file->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, NULL);
    sqlite3_finalize(file->begin);
    sqlite3_finalize(file->commit);
    sqlite3_finalize(file->rollback);
    sqlite3_close(file->db);
    if (file->lock_fd >= 0)
        close(file->lock_fd);
    *file = (struct sqlite_file){.lock_fd = -1};
}
