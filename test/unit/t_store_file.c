/* t_store_file.c - what a store promises of its file: refused when it is not what it was, or not alone. */
#include "base/must.h"
#include "file_fixture.h"
#include "store/ledger.h"

#include <sqlite3.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ROWS = 60 };

/* Rows, and a claim with its slice. */
static void filled(const char *path)
{
    static const struct row_claim claim = {.id = {"c0"}, .host = {"h1"}, .class = {"500G"}};
    static const struct row_slice slice = {.slice = {.id = {"s0"}}, .host = {"h1"}, .claim = {"c0"}};
    struct store store;
    struct err err = {0};
    store_open(path, &store);
    for (unsigned i = 0; i < ROWS; i++)
        ok(row_put(&store, i, &err), &err);
    ok(store.begin(store.self, &err) && store.put(store.self, ROW_CLAIM, &claim, &err) &&
           store.put(store.self, ROW_SLICE, &slice, &err) && store.commit(store.self, &err),
       &err);
    store.close(store.self);
}

/* ---- files that are refused ---------------------------------------------------------------------------------- */

static size_t file_read(const char *path, unsigned char **out)
{
    FILE *file = fopen(path, "rb");
    must(file != NULL);
    must(fseek(file, 0, SEEK_END) == 0);
    size_t len = (size_t)ftell(file);
    rewind(file);
    *out = malloc(len + 1);
    must(fread(*out, 1, len, file) == len);
    (void)fclose(file);
    return len;
}

static void file_write(const char *path, const void *bytes, size_t len)
{
    FILE *file = fopen(path, "wb");
    must(file != NULL);
    must(fwrite(bytes, 1, len, file) == len);
    must(fclose(file) == 0);
}

static void poke(const char *path, const char *marker, size_t nth)
{
    unsigned char *bytes;
    size_t len = file_read(path, &bytes);
    unsigned char *at = bytes;
    do {
        at = memmem(at + 1, len - (size_t)(at + 1 - bytes), marker, strlen(marker));
        must(at != NULL);
    } while (nth-- > 0);
    at[strlen(marker) / 2] ^= 1;
    file_write(path, bytes, len);
    free(bytes);
}

static void sql(const char *path, const char *text)
{
    sqlite3 *db;
    must(sqlite3_open(path, &db) == SQLITE_OK);
    int rc = sqlite3_exec(db, text, NULL, NULL, NULL);
    if (rc != SQLITE_OK)
        fail_msg("%s: %s", text, sqlite3_errmsg(db));
    sqlite3_close(db);
}

static void break_row(const char *path)
{
    poke(path, "marker marker", 30);
}

static void break_column(const char *path)
{
    sql(path, "UPDATE requests SET status = 500 WHERE key = 'key-000007'");
}

static void break_page(const char *path)
{
    unsigned char *bytes;
    size_t len = file_read(path, &bytes);
    memset(bytes + len / 2 / 4096 * 4096, 0xff, 64);
    file_write(path, bytes, len);
    free(bytes);
}

static void break_schema(const char *path)
{
    sql(path, "DROP TRIGGER erasures_remain");
}

static void break_reference(const char *path)
{
    sql(path, "PRAGMA foreign_keys = OFF; DELETE FROM claims");
}

static void cut_half(const char *path)
{
    struct stat st;
    must(stat(path, &st) == 0);
    must(truncate(path, st.st_size / 2) == 0);
}

static void cut_page(const char *path)
{
    struct stat st;
    must(stat(path, &st) == 0);
    must(truncate(path, st.st_size - 4096) == 0);
}

static void cut_all(const char *path)
{
    char wal[128];
    snprintf(wal, sizeof(wal), "%s-wal", path);
    file_write(wal, "was full", 8);
    must(truncate(path, 0) == 0);
}

static void write_text(const char *path)
{
    static const char text[] = "# this is a configuration file, not a database, and it is long enough to be one\n"
                               "a = b\n";
    file_write(path, text, sizeof(text));
}

static void newer(const char *path)
{
    sql(path, "PRAGMA user_version = 99");
}

static void other_id(const char *path)
{
    sql(path, "PRAGMA application_id = 1234");
}

static void other_program(const char *path)
{
    must(unlink(path) == 0);
    sql(path, "CREATE TABLE songs (name TEXT)");
}

static void ledger_instead(const char *path)
{
    struct ledger ledger;
    struct err err = {0};
    must(unlink(path) == 0);
    ok(ledger_sqlite_open(path, &ledger, &err), &err);
    ledger.close(ledger.self);
}

static void folder_instead(const char *path)
{
    must(unlink(path) == 0);
    must(mkdir(path, 0700) == 0);
}

static const struct {
    const char *rule;
    void (*change)(const char *path);
    enum err_kind kind;
    const char *hint; /* a word of it */
} files[] = {
    {"a flipped bit in a row", break_row, ERR_FAILED, "backup"},
    {"a column that does not match its row", break_column, ERR_FAILED, "backup"},
    {"an overwritten page", break_page, ERR_FAILED, "backup"},
    {"a missing trigger", break_schema, ERR_FAILED, "backup"},
    {"a claim that is not there", break_reference, ERR_FAILED, "backup"},
    {"half of the file", cut_half, ERR_FAILED, "backup"},
    {"a missing last page", cut_page, ERR_FAILED, "backup"},
    {"an empty file beside a log", cut_all, ERR_FAILED, "backup"},
    {"not a database", write_text, ERR_FAILED, "backup"},
    {"a newer schema", newer, ERR_FAILED, "newer nsmith"},
    {"another application id", other_id, ERR_UNSAFE, "another path"},
    {"a database of another program", other_program, ERR_UNSAFE, "another path"},
    {"a ledger", ledger_instead, ERR_UNSAFE, "another path"},
    {"a folder", folder_instead, ERR_INPUT, "path of a file"},
};

static void refused_files(void **state)
{
    const struct folder *folder = *state;
    for (size_t i = 0; i < COUNT(files); i++) {
        filled(folder->db);
        files[i].change(folder->db);
        struct stat st;
        unsigned char *before = NULL, *after = NULL;
        must(stat(folder->db, &st) == 0);
        size_t len = S_ISREG(st.st_mode) ? file_read(folder->db, &before) : 0;
        struct store store = {0};
        struct err err = {0};
        if (store_sqlite_open(folder->db, &store, &err))
            fail_msg("%s: it was opened", files[i].rule);
        if (err.kind != files[i].kind || strncmp(err.msg, "cannot ", 7) != 0 || strstr(err.msg, folder->db) == NULL ||
            strstr(err.hint, files[i].hint) == NULL || strchr(err.msg, '\n') != NULL)
            fail_msg("%s: got %s '%s' hint '%s', want %s hint '%s'", files[i].rule, err_kind_name(err.kind), err.msg,
                     err.hint, err_kind_name(files[i].kind), files[i].hint);
        assert_null(store.self);
        if (len > 0 && (file_read(folder->db, &after) != len || memcmp(before, after, len) != 0))
            fail_msg("%s: the file was changed", files[i].rule);
        free(before);
        free(after);
        for (size_t e = 0; e < FILE_ENDS; e++) {
            char path[128];
            snprintf(path, sizeof(path), "%s%s", folder->db, file_ends[e]);
            if (remove(path) != 0 && e == 0)
                fail_msg("%s: cannot remove '%s'", files[i].rule, path);
        }
    }
}

/* Wherever a bit flips: refused, or all rows are what they were (free space, page numbers that nobody needs). */
static void flipped_bits(void **state)
{
    const struct folder *folder = *state;
    unsigned char *bytes;
    unsigned refused = 0, whole = 0;
    filled(folder->db);
    size_t len = file_read(folder->db, &bytes);
    for (size_t at = 0; at < len; at += at < 100 ? 1 : 509) {
        struct store store;
        struct err err = {0};
        bytes[at] ^= 4;
        file_write(folder->db, bytes, len);
        bytes[at] ^= 4;
        if (!store_sqlite_open(folder->db, &store, &err)) {
            if (err.hint[0] == '\0')
                fail_msg("byte %zu: '%s' without a hint", at, err.msg);
            refused++;
            continue;
        }
        for (unsigned i = 0; i < ROWS; i++)
            if (!row_is_there(&store, i))
                fail_msg("byte %zu of %zu: row %u is lost, silently", at, len, i);
        whole++;
        store.close(store.self);
    }
    print_message("%u refused, %u whole\n", refused, whole);
    assert_true(refused > 0 && whole > 0);
    free(bytes);
}

static void only_one(void **state)
{
    const struct folder *folder = *state;
    struct store store, second = {0};
    struct ledger ledger = {0};
    struct err err = {0};
    char pid[32];
    store_open(folder->db, &store);
    assert_false(store_sqlite_open(folder->db, &second, &err));
    assert_int_equal(err.kind, ERR_CONFLICT);
    snprintf(pid, sizeof(pid), "process %d ", (int)getpid());
    if (strstr(err.msg, pid) == NULL)
        fail_msg("'%s' does not name %s", err.msg, pid);
    err_clear(&err);
    assert_false(ledger_sqlite_open(folder->db, &ledger, &err));
    assert_int_equal(err.kind, ERR_CONFLICT);
    assert_true(row_put(&store, 1, &(struct err){0}));
    store.close(store.self);
    store_open(folder->db, &second);
    assert_true(row_is_there(&second, 1));
    second.close(second.self);
}

static void no_folder(void **state)
{
    const struct folder *folder = *state;
    char path[128], long_path[2000];
    struct store store;
    struct err err = {0};
    snprintf(path, sizeof(path), "%s/no/where.db", folder->path);
    assert_false(store_sqlite_open(path, &store, &err));
    assert_int_equal(err.kind, ERR_MISSING);
    assert_non_null(strstr(err.hint, "folder"));
    err_clear(&err);
    memset(long_path, 'x', sizeof(long_path) - 1);
    long_path[sizeof(long_path) - 1] = '\0';
    assert_false(store_sqlite_open(long_path, &store, &err));
    assert_int_equal(err.kind, ERR_INPUT);
}

static void private_files(void **state)
{
    const struct folder *folder = *state;
    struct store store;
    umask(0);
    store_open(folder->db, &store);
    assert_true(row_put(&store, 1, &(struct err){0}));
    for (size_t i = 0; i < 4; i++) {
        char path[128];
        struct stat st;
        snprintf(path, sizeof(path), "%s%s", folder->db, file_ends[i]);
        must(stat(path, &st) == 0);
        if ((st.st_mode & 0777) != 0600)
            fail_msg("'%s': got mode %03o, want 600", path, st.st_mode & 0777);
    }
    store.close(store.self);
}

/* A person makes a backup with the database's own shell while the server runs; it opens on its own. */
static void backup(void **state)
{
    const struct folder *folder = *state;
    char text[256], copy[128];
    struct store store, restored;
    struct err err = {0};
    store_open(folder->db, &store);
    for (unsigned i = 0; i < ROWS; i++)
        ok(row_put(&store, i, &err), &err);
    snprintf(copy, sizeof(copy), "%s.copy", folder->db);
    snprintf(text, sizeof(text), "VACUUM INTO '%s'", copy);
    sql(folder->db, text);
    ok(row_put(&store, ROWS, &err), &err);
    store_open(copy, &restored);
    for (unsigned i = 0; i < ROWS; i++)
        assert_true(row_is_there(&restored, i));
    restored.close(restored.self);
    store.close(store.self);
    snprintf(copy, sizeof(copy), "%s.copy.lock", folder->db);
    unlink(copy);
}

/* What the program would never do, the file refuses all the same. */
static const char *const forbidden[] = {
    "INSERT INTO meta VALUES ('', '{}', 0)",
    "INSERT INTO meta VALUES ('m', NULL, 0)",
    "UPDATE hosts SET registration = 4",
    "UPDATE hosts SET wants_revision = 4",
    "INSERT INTO hosts VALUES ('', 1, 1, '{}', 0)",
    "INSERT INTO hosts VALUES ('h9', -1, 1, '{}', 0)",
    "INSERT INTO hosts VALUES ('h9', 'x', 1, '{}', 0)",
    "INSERT INTO drives VALUES ('h11/1', 'h1', '{}', 0)",
    "INSERT INTO drives VALUES ('/1', '', '{}', 0)",
    "INSERT INTO claims VALUES ('c9', 'h1', NULL, 'nonsense', '{}', 0)",
    "INSERT INTO claims VALUES ('c9', 'h1', '', 'ready', '{}', 0)",
    "DELETE FROM claims",
    "UPDATE slices SET generation = 4",
    "UPDATE slices SET seen_generation = 6",
    "UPDATE slices SET state = 'nonsense'",
    "UPDATE slices SET claim = 'nobody'",
    "UPDATE slices SET claim = ''",
    "DELETE FROM slices",
    "INSERT INTO classes VALUES ('0G', 0, '{}', 0)",
    "INSERT INTO flavors VALUES ('f', '', '{}', 0)",
    "INSERT INTO vms VALUES ('v2', NULL, 'u1', NULL, 'off', '{}', 0)",
    "INSERT INTO vms VALUES ('v2', NULL, NULL, 'c1', 'off', '{}', 0)",
    "UPDATE vms SET power = 'nonsense'",
    "UPDATE erasures SET doc = '{ }'",
    "DELETE FROM erasures",
    "INSERT INTO erasures VALUES ('e2', 'h1', 1, 's1', 'verified', '{}', 0)",
    "INSERT INTO erasures VALUES ('e2', 'h1', 0, 's1', 'verified', '{}', 0)",
    "INSERT INTO erasures VALUES ('e2', 'h1', 2, 's1', 'nonsense', '{}', 0)",
    "UPDATE requests SET body_hash = 'x'",
    "INSERT INTO hosts VALUES ('h9', 1, -1, '{}', 0)",
    "INSERT INTO claims VALUES ('', 'h1', NULL, 'ready', '{}', 0)",
    "INSERT INTO claims VALUES ('c9', '', NULL, 'ready', '{}', 0)",
    "INSERT INTO slices VALUES ('', 'h1', 5, 5, NULL, 'free', '{}', 0)",
    "INSERT INTO slices VALUES ('s9', '', 5, 5, NULL, 'free', '{}', 0)",
    "INSERT INTO slices VALUES ('s9', 'h1', 5, -1, NULL, 'free', '{}', 0)",
    "INSERT INTO classes VALUES ('', 1, '{}', 0)",
    "INSERT INTO flavors VALUES ('', 'c', '{}', 0)",
    "INSERT INTO vms VALUES ('', NULL, NULL, NULL, 'off', '{}', 0)",
    "INSERT INTO vms VALUES ('v2', '', NULL, NULL, 'off', '{}', 0)",
    "INSERT INTO vms VALUES ('v2', NULL, '', NULL, 'off', '{}', 0)",
    "INSERT INTO vms VALUES ('v2', NULL, NULL, '', 'off', '{}', 0)",
    "INSERT INTO erasures VALUES ('', 'h1', 2, 's1', 'verified', '{}', 0)",
    "INSERT INTO erasures VALUES ('e2', '', 2, 's1', 'verified', '{}', 0)",
    "INSERT INTO erasures VALUES ('e2', 'h1', 2, '', 'verified', '{}', 0)",
    "INSERT INTO requests VALUES ('', 'b', 200, '{}', 0)",
    "INSERT INTO requests VALUES ('r', '', 200, '{}', 0)",
};

static void no_shell(void **state)
{
    static const char rows[] = "INSERT INTO hosts VALUES ('h1', 5, 5, '{}', 0);"
                               "INSERT INTO claims VALUES ('c1', 'h1', NULL, 'ready', '{}', 0);"
                               "INSERT INTO slices VALUES ('s1', 'h1', 5, 5, 'c1', 'free', '{}', 0);"
                               "INSERT INTO vms VALUES ('v1', 'h1', 'u1', 'c1', 'off', '{}', 0);"
                               "INSERT INTO erasures VALUES ('e1', 'h1', 1, 's1', 'verified', '{}', 0);";
    const struct folder *folder = *state;
    sqlite3 *db;
    filled(folder->db);
    must(sqlite3_open(folder->db, &db) == SQLITE_OK);
    must(sqlite3_exec(db, "PRAGMA foreign_keys = ON", NULL, NULL, NULL) == SQLITE_OK);
    if (sqlite3_exec(db, rows, NULL, NULL, NULL) != SQLITE_OK)
        fail_msg("%s", sqlite3_errmsg(db));
    for (size_t i = 0; i < COUNT(forbidden); i++)
        if ((sqlite3_exec(db, forbidden[i], NULL, NULL, NULL) & 0xff) != SQLITE_CONSTRAINT)
            fail_msg("%s: got '%s', want a constraint", forbidden[i], sqlite3_errmsg(db));
    sqlite3_close(db);
}

int main(void)
{
#define T(rule, fn)                                   \
    {                                                 \
        rule, fn, folder_setup, folder_teardown, NULL \
    }
    const struct CMUnitTest tests[] = {
        T("a file that is not what it was is refused, and not touched", refused_files),
        T("a flipped bit is found, or does no harm", flipped_bits),
        T("no shell can do what the program would not", no_shell),
        T("a second opener is refused and told who has the file", only_one),
        T("a path that cannot be is refused", no_folder),
        T("the files are for their owner only", private_files),
        T("a backup made while it runs is a whole store", backup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
