/* drive firmware: what runs on a drive, and how it gets something newer. */
#include "base/must.h"
#include "base/text.h"
#include "cli/cli_http.h"
#include "cli/cli_table.h"
#include "cli/cli_task.h"
#include "model/task.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- show ------------------------------------------------------------------------------------------------------ */

static const struct column slot_columns[] = {
    {"SLOT", "slot", COL_NUMBER, false, NULL},
    {"REVISION", "revision", COL_TEXT, false, NULL},
    {"ACTIVE", "active", COL_YES, false, NULL},
    {"NEXT", "next", COL_YES, false, NULL},
};
static const struct columns slot_table = {slot_columns, sizeof(slot_columns) / sizeof(slot_columns[0])};

static json_t *slots_of(const json_t *fw)
{
    json_t *slots = json_array();
    size_t i;
    const json_t *one;
    must(slots != NULL);
    json_array_foreach(json_object_get(fw, "slots"), i, one)
    {
        const uint64_t slot = i + 1;
        must(json_array_append_new(slots, json_pack("{s:i, s:s, s:b, s:b}", "slot", (int)slot, "revision",
                                                    cli_text(one, "revision"), "active", cli_u64(fw, "active") == slot,
                                                    "next", cli_u64(fw, "next") == slot)) == 0);
    }
    return slots;
}

static void put_can(const json_t *fw)
{
    if (!json_is_true(json_object_get(fw, "can_update"))) {
        puts("the drive takes no firmware");
        return;
    }
    printf("activation without a reset: %s; slot 1 can be written: %s\n",
           json_is_true(json_object_get(fw, "no_reset")) ? "yes" : "no",
           json_is_true(json_object_get(fw, "slot1_read_only")) ? "no" : "yes");
}

static bool firmware_show(struct cli *cli, struct err *err)
{
    auto_json *drive = NULL;
    struct url url = url_make("/v1/drives");
    url_query(url_part(&url, cli->args[0]), "host", cli->opts[OPT_HOST]);
    if (!cli_get(cli, &url, &drive, err))
        return false;
    json_t *fw = json_object_get(json_object_get(drive, "seen"), "fw");
    auto_json *slots = slots_of(fw);
    if (cli_has(cli, OPT_JSON)) {
        auto_json *out =
            json_pack("{s:s, s:O*, s:O}", "running", cli_text(drive, "firmware"), "can", fw, "slots", slots);
        must(out != NULL);
        cli_put_json(out);
        return true;
    }
    fputs("running: ", stdout);
    cli_put(stdout, cli_text(drive, "firmware"));
    putchar('\n');
    put_can(fw);
    return json_array_size(slots) == 0 || cli_table(cli, &slot_table, slots, err);
}

/* ---- update ---------------------------------------------------------------------------------------------------- */

struct image {
    uint8_t *bytes; /* owned */
    uint32_t len;
    char digest[FIRMWARE_DIGEST_HEX];
};

static void image_free(struct image *image)
{
    free(image->bytes);
}

static bool image_size(int fd, const char *path, uint32_t *out, struct err *err)
{
    struct stat stat;
    if (fd < 0 || fstat(fd, &stat) < 0)
        return err_sys(err, errno, "cannot read '%s'", path);
    if (!S_ISREG(stat.st_mode) || stat.st_size == 0 || stat.st_size > FIRMWARE_BYTES_MAX || stat.st_size % 4 != 0) {
        err_set(err, ERR_INPUT,
                "cannot use '%s' as a firmware image: it must be a file of at most 64 MiB, a multiple of 4", path);
        return err_hint(err, "take the file as the vendor gives it, unpacked");
    }
    *out = (uint32_t)stat.st_size;
    return true;
}

static bool image_read(const char *path, struct image *out, struct err *err)
{
    uint8_t hash[crypto_hash_sha256_BYTES];
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    bool ok = image_size(fd, path, &out->len, err);
    if (ok) {
        out->bytes = malloc(out->len);
        must(out->bytes != NULL);
    }
    for (uint32_t at = 0; ok && at < out->len;) {
        const ssize_t got = read(fd, out->bytes + at, out->len - at);
        if (got <= 0)
            ok = err_sys(err, got < 0 ? errno : EIO, "cannot read '%s'", path);
        else
            at += (uint32_t)got;
    }
    if (fd >= 0)
        close(fd);
    if (!ok)
        return false;
    crypto_hash_sha256(hash, out->bytes, out->len);
    text_hex(out->digest, hash, sizeof(hash));
    return true;
}

static bool image_upload(struct cli *cli, const struct image *image, struct err *err)
{
    char *hex = malloc(2 * FIRMWARE_PIECE + 1), number[16];
    bool ok = true;
    must(hex != NULL);
    for (uint32_t at = 0; ok && at < image->len; at += FIRMWARE_PIECE) {
        const uint32_t left = image->len - at;
        auto_json *answer = NULL, *body = NULL;
        struct url url = url_make("/v1/firmware");
        text_hex(hex, image->bytes + at, left < FIRMWARE_PIECE ? left : FIRMWARE_PIECE);
        body = json_pack("{s:s}", "hex", hex);
        must(body != NULL);
        snprintf(number, sizeof(number), "%u", at / FIRMWARE_PIECE);
        url_query(url_part(&url, image->digest), "piece", number);
        ok = cli_change(cli, "PUT", &url, body, &answer, err);
    }
    free(hex);
    return ok;
}

static json_t *update_body(const struct cli *cli, const struct image *image, struct err *err)
{
    uint64_t slot = 0;
    if (cli_has(cli, OPT_SLOT) && (!text_u64(cli->opts[OPT_SLOT], &slot) || slot < 1 || slot > FIRMWARE_SLOTS_MAX)) {
        err_set(err, ERR_INPUT, "cannot use firmware slot '%.40s': slots are 1 to %d", cli->opts[OPT_SLOT],
                FIRMWARE_SLOTS_MAX);
        err_hint(err, "without --slot the drive chooses");
        return NULL;
    }
    json_t *body =
        json_pack("{s:s, s:I, s:I, s:s*, s:s*}", "digest", image->digest, "size_bytes", (json_int_t)image->len, "slot",
                  (json_int_t)slot, "activate", cli->opts[OPT_ACTIVATE], "host", cli->opts[OPT_HOST]);
    must(body != NULL);
    return body;
}

static void update_put(const json_t *drive)
{
    const json_t *result = json_object_get(json_object_get(drive, "task"), "result");
    const char *was = cli_text(result, "firmware_was"), *is = cli_text(result, "firmware_is");
    fputs("drive ", stdout);
    cli_put(stdout, cli_text(drive, "serial"));
    fputs(" ran ", stdout);
    cli_put(stdout, was);
    fputs(" and now runs ", stdout);
    cli_put(stdout, is[0] != '\0' ? is : "what it does not tell");
    puts(json_is_true(json_object_get(result, "reset_needed")) ? "; the new firmware runs after a reset of the drive"
                                                               : "");
}

static bool update_wait(struct cli *cli, const json_t *answer, struct err *err)
{
    auto_json *drive = NULL;
    if (!task_wait(cli, answer, &drive, err))
        return false;
    if (drive == NULL)
        return true; /* interrupted */
    if (cli_has(cli, OPT_JSON))
        cli_put_json(json_object_get(drive, "task"));
    else
        update_put(drive);
    return true;
}

/* What the server would refuse is refused before anybody is asked to confirm, or anything is sent. */
static bool update_ask(struct cli *cli, const struct image *image, const json_t *body, json_t **answer, struct err *err)
{
    struct url look = url_make("/v1/drives"), url;
    url_tail(url_part(&look, cli->args[0]), "/firmware");
    url = look;
    if (!cli_has(cli, OPT_DRY_RUN))
        url_query(&look, "dry_run", "true");
    if (!cli_change(cli, "POST", &look, body, answer, err) || cli_has(cli, OPT_DRY_RUN))
        return err->kind == ERR_NONE;
    json_drop(answer);
    return cli_confirm(cli, "give new firmware to drive", cli->args[0], OPT_SERIAL, err) &&
           image_upload(cli, image, err) && cli_change(cli, "POST", &url, body, answer, err);
}

static bool firmware_update(struct cli *cli, struct err *err)
{
    __attribute__((cleanup(image_free))) struct image image = {0};
    auto_json *body = NULL, *answer = NULL;
    if (cli->arg_count < 3) {
        err_set(err, ERR_INPUT, "cannot update drive '%s': FILE is missing", cli->args[0]);
        return err_hint(err, "for example: %s", cli->command->example);
    }
    if (!image_read(cli->args[2], &image, err) || (body = update_body(cli, &image, err)) == NULL ||
        !update_ask(cli, &image, body, &answer, err))
        return false;
    if (!cli_has(cli, OPT_DRY_RUN) && !cli_has(cli, OPT_NO_WAIT))
        return update_wait(cli, answer, err);
    if (cli_has(cli, OPT_JSON)) {
        cli_put_json(answer);
    } else if (cli_has(cli, OPT_DRY_RUN)) {
        printf("drive %s can be given that firmware\n", cli->args[0]);
        fflush(stdout);
        fputs("nothing was changed: this is a dry run\n", stderr);
    } else {
        printf("drive %s gets new firmware; see how far it is: nsmith drive show %s --json\n", cli->args[0],
               cli->args[0]);
    }
    return true;
}

/* ---- the command ---------------------------------------------------------------------------------------------- */

bool cmd_drive_firmware(struct cli *cli, struct err *err)
{
    if (strcmp(cli->args[1], "show") == 0 && cli->arg_count == 2)
        return firmware_show(cli, err);
    if (strcmp(cli->args[1], "update") == 0)
        return firmware_update(cli, err);
    err_set(err, ERR_INPUT, "cannot do '%.60s' with the firmware of drive '%s'", cli->args[1], cli->args[0]);
    return err_hint(err, "for example: %s", cli->command->example);
}
