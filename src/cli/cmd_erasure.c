/* erasure ls, show, verify. A certificate in a file is checked without a server. */
#include "base/text.h"
#include "cert/cert.h"
#include "cli/cli_http.h"
#include "cli/cli_table.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void own_serial(const json_t *erasure, char cell[CELL_MAX])
{
    text_cut(cell, CELL_MAX, cli_text(json_object_get(erasure, "drive"), "serial"));
}

static void own_model(const json_t *erasure, char cell[CELL_MAX])
{
    text_cut(cell, CELL_MAX, cli_text(json_object_get(erasure, "drive"), "model"));
}

/* What the tenant before had written, as the drive counted (units of 512,000 bytes). */
static void own_written(const json_t *erasure, char cell[CELL_MAX])
{
    char size[TEXT_SIZE_MAX];
    const json_t *out = json_object_get(erasure, "wear_out"), *back = json_object_get(erasure, "wear_back");
    const uint64_t from = cli_u64(out, "units_written"), to = cli_u64(back, "units_written");
    const uint64_t slices = cli_u64(out, "of_slices");
    if (out == NULL || back == NULL || to < from)
        return;
    text_gb(size, (to - from) * 512000);
    if (slices == 1)
        text_cut(cell, CELL_MAX, size);
    else
        snprintf(cell, CELL_MAX, "%s (whole drive, shared by %ju slices)", size, (uintmax_t)slices);
}

static void own_worn(const json_t *erasure, char cell[CELL_MAX])
{
    const json_t *out = json_object_get(erasure, "wear_out"), *back = json_object_get(erasure, "wear_back");
    if (out != NULL && back != NULL)
        snprintf(cell, CELL_MAX, "%ju%% -> %ju%%", (uintmax_t)cli_u64(out, "used_percent"),
                 (uintmax_t)cli_u64(back, "used_percent"));
}

static const struct column erasure_columns[] = {
    {"ID", "id", COL_TEXT, false, NULL},
    {"HOST", "host", COL_TEXT, false, NULL},
    {"SLICE", "slice", COL_TEXT, false, NULL},
    {"DRIVE", NULL, COL_OWN, false, own_serial},
    {"METHOD", "method", COL_TEXT, false, NULL},
    {"VERDICT", "verdict", COL_TEXT, false, NULL},
    {"CHECKED", "checked", COL_NUMBER, false, NULL},
    {"OLD", "found_old", COL_NUMBER, false, NULL},
    {"ENDED", "ended_ms", COL_TIME, false, NULL},
    {"NOTE", "note", COL_TEXT, true, NULL},
    {"SEQ", "seq", COL_NUMBER, true, NULL},
    {"MODEL", NULL, COL_OWN, true, own_model},
    {"FIRMWARE", "firmware", COL_TEXT, true, NULL},
    {"NSID", "nsid", COL_NUMBER, true, NULL},
    {"NGUID", "nguid", COL_TEXT, true, NULL},
    {"SIZE", "size_bytes", COL_GIB, true, NULL},
    {"GENERATION", "generation", COL_NUMBER, true, NULL},
    {"NVME-STATUS", "nvme_status", COL_NUMBER, true, NULL},
    {"STARTED", "started_ms", COL_TIME, true, NULL},
    {"DRIVE-DONE", "drive_done_ms", COL_TIME, true, NULL},
    {"MARKERS", "markers", COL_NUMBER, true, NULL},
    {"OLD-SAMPLED", "old_sampled", COL_NUMBER, true, NULL},
    {"ZERO", "found_zero", COL_NUMBER, true, NULL},
    {"SEED", "sample_seed", COL_TEXT, true, NULL},
    {"SOFTWARE", "software", COL_TEXT, true, NULL},
    {"TENANT-WROTE", NULL, COL_OWN, true, own_written},
    {"WORN", NULL, COL_OWN, true, own_worn},
};

static const struct columns erasure_table = {erasure_columns, sizeof(erasure_columns) / sizeof(erasure_columns[0])};

bool cmd_erasure_ls(struct cli *cli, struct err *err)
{
    auto_json *list = NULL;
    struct url url = url_make("/v1/erasures");
    url_query(url_query(&url, "slice", cli->opts[OPT_SLICE]), "host", cli->opts[OPT_HOST]);
    return cli_get(cli, &url, &list, err) && cli_list(cli, &erasure_table, list, err);
}

static bool erasure_get(struct cli *cli, json_t **out, struct err *err)
{
    struct url url = url_make("/v1/erasures");
    return cli_get(cli, url_part(&url, cli->args[0]), out, err);
}

bool cmd_erasure_show(struct cli *cli, struct err *err)
{
    auto_json *answer = NULL;
    if (!erasure_get(cli, &answer, err))
        return false;
    if (cli_has(cli, OPT_CERTIFICATE)) {
        puts(cli_text(answer, "certificate"));
        return true;
    }
    if (!cli_has(cli, OPT_JSON))
        return cli_show(cli, &erasure_table, json_object_get(answer, "erasure"), err);
    cli_put_json(answer);
    return true;
}

/* ---- verify: the text ----------------------------------------------------------------------------------------- */

static const char save_one[] = "save one in a file first: nsmith erasure show ID --certificate > FILE";

/* A newline at the end is the editor's or the shell's, not the certificate's. */
static bool read_fd(int fd, const char *name, char text[CERT_TEXT_MAX + 2], size_t *len_out, struct err *err)
{
    size_t len = 0;
    ssize_t more;
    do {
        more = read(fd, text + len, CERT_TEXT_MAX + 1 - len);
        if (more < 0 && errno != EINTR)
            return err_sys(err, errno, "cannot read certificate '%s'", name) || err_hint(err, "%s", save_one);
        len += more > 0 ? (size_t)more : 0;
    } while (more != 0 && len < CERT_TEXT_MAX + 1);
    while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == '\r'))
        len--;
    text[len] = '\0';
    *len_out = len;
    return true;
}

static bool read_file(const char *name, char text[CERT_TEXT_MAX + 2], size_t *len_out, struct err *err)
{
    const int fd = open(name, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        err_sys(err, errno, "cannot open certificate '%s'", name);
        return err_hint(err, "%s", save_one);
    }
    const bool ok = read_fd(fd, name, text, len_out, err);
    close(fd);
    return ok;
}

static bool read_server(struct cli *cli, char text[CERT_TEXT_MAX + 2], size_t *len_out, struct err *err)
{
    auto_json *answer = NULL;
    if (!erasure_get(cli, &answer, err)) {
        if (err->kind != ERR_MISSING && err->kind != ERR_BUSY)
            return false;
        const struct err why = *err;
        err_clear(err);
        err_set(err, why.kind, "cannot verify '%.60s': there is no such file here, and as an erasure's id: %s",
                cli->args[0], why.msg);
        if (why.kind == ERR_BUSY) /* no erasure is known without a server; a file needs none */
            return err_hint(err, "%s; or name a certificate's file", why.hint);
        return err_hint(err, "name a certificate's file, or an erasure: nsmith erasure ls");
    }
    text_cut(text, CERT_TEXT_MAX + 2, cli_text(answer, "certificate"));
    *len_out = strlen(text);
    return true;
}

static bool read_certificate(struct cli *cli, char text[CERT_TEXT_MAX + 2], size_t *len_out, struct err *err)
{
    const char *what = cli->args[0];
    if (strcmp(what, "-") == 0)
        return read_fd(STDIN_FILENO, "standard input", text, len_out, err);
    if (strchr(what, '/') != NULL || access(what, F_OK) == 0)
        return read_file(what, text, len_out, err);
    return read_server(cli, text, len_out, err);
}

/* ---- verify: the key ------------------------------------------------------------------------------------------ */

/* The key that the server keeps for the host. false: there is no server, or no such host. */
static bool server_key(struct cli *cli, const char *host, char key[CERT_KEY_HEX])
{
    auto_json *status = NULL, *hosts = NULL;
    struct err err = {0};
    const struct url url = url_make("/v1/hosts");
    size_t i;
    const json_t *one;
    if (!cli_server_answers(cli, 3000, &status) || !cli_get(cli, &url, &hosts, &err))
        return false;
    json_array_foreach(cli_items(hosts), i, one)
    {
        if (strcmp(cli_text(one, "name"), host) == 0)
            return text_copy(key, CERT_KEY_HEX, cli_text(one, "public_key")) && key[0] != '\0';
    }
    return false;
}

/* An invalid one is exit code 7: nothing proves that the slice was erased. */
static bool not_proved(struct err *err)
{
    if (err->kind == ERR_INPUT)
        err->kind = ERR_DEVICE;
    return err->hint[0] == '\0' ? err_hint(err, "it proves nothing; get it anew: nsmith erasure show ID --certificate")
                                : false;
}

enum key_from { KEY_NONE, KEY_OPTION, KEY_SERVER };

static bool check(struct cli *cli, const char *text, size_t len, struct cert_facts *facts, enum key_from *from,
                  struct err *err)
{
    char key[CERT_KEY_HEX] = "";
    uint8_t bytes[32];
    *from = KEY_NONE;
    if (cli_has(cli, OPT_KEY) && !text_unhex(bytes, sizeof(bytes), cli->opts[OPT_KEY])) {
        err_set(err, ERR_INPUT, "cannot use --key '%.80s': it is not 64 hex digits", cli->opts[OPT_KEY]);
        return err_hint(err, "see the keys of the hosts: nsmith host ls -o NAME,KEY");
    }
    if (!cert_verify(text, len, NULL, facts, err))
        return not_proved(err);
    if (cli_has(cli, OPT_KEY))
        *from = KEY_OPTION;
    else if (server_key(cli, facts->erasure.host.v, key))
        *from = KEY_SERVER;
    if (*from != KEY_NONE && !cert_verify(text, len, *from == KEY_OPTION ? cli->opts[OPT_KEY] : key, facts, err))
        return not_proved(err);
    if (facts->erasure.verdict == ERASE_VERIFIED)
        return true;
    err_set(err, ERR_DEVICE,
            "the record is genuine, but is no certificate: it says that the erase of slice '%s' is '%s'",
            facts->erasure.slice.v, erase_verdict_word(facts->erasure.verdict));
    return err_hint(err, "see the slice: nsmith slice show %s", facts->erasure.slice.v);
}

static void put_facts(const struct cert_facts *facts)
{
    const struct erasure *e = &facts->erasure;
    char size[TEXT_SIZE_MAX], started[32], ended[32];
    printf("Valid: slice %s was erased, and reads prove it.\n\n", e->slice.v);
    printf("  slice      %s, namespace %u, %s\n", e->slice.v, e->nsid.v, text_gib(size, e->size_bytes));
    printf("  drive      %s, %s, firmware %s\n", e->drive.serial, e->drive.model, e->firmware);
    printf("  host       %s, record %ju of its chain\n", e->host.v, (uintmax_t)e->seq);
    printf("  method     %s\n", erase_method_text(e->method));
    printf("  time       %s to %s\n", text_time(started, e->started_ms), text_time(ended, e->ended_ms));
    printf(
        "  evidence   %ju blocks were read afterwards; %ju of them held old content. Before, %ju planted markers and\n"
        "             %ju blocks of old content had been seen there\n",
        (uintmax_t)e->checked, (uintmax_t)e->found_old, (uintmax_t)e->markers, (uintmax_t)e->old_sampled);
    printf("  by         %s\n  signed by  key %s\n", e->software, facts->public_key);
}

static const char *from_text(enum key_from from)
{
    switch (from) {
    case KEY_OPTION:
        return "the key is the one given by --key";
    case KEY_SERVER:
        return "the key is the one that the server keeps for this host";
    case KEY_NONE:
        break;
    }
    return "the key was not compared: it is believed as it stands in the certificate. Compare it with --key";
}

bool cmd_erasure_verify(struct cli *cli, struct err *err)
{
    static char text[CERT_TEXT_MAX + 2];
    struct cert_facts facts;
    enum key_from from;
    size_t len;
    if (!read_certificate(cli, text, &len, err) || !check(cli, text, len, &facts, &from, err)) {
        cli->unchanged = true; /* it only looks, and says so */
        return false;
    }
    if (cli_has(cli, OPT_JSON)) {
        auto_json *json =
            json_pack("{s:b, s:s, s:s, s:b, s:o}", "valid", 1, "hash", facts.hash, "public_key", facts.public_key,
                      "key_compared", from != KEY_NONE, "erasure", jmap_write(&erasure_jmap, &facts.erasure));
        cli_put_json(json);
        return true;
    }
    put_facts(&facts);
    printf("             %s\n", from_text(from));
    return true;
}
