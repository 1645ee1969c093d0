#include "cli/cli_release.h"

#include "base/text.h"
#include "cli/cli_http.h"

#include <string.h>

void release_slices(struct release *release, const json_t *object)
{
    size_t i;
    const json_t *one;
    release->count = 0;
    json_array_foreach(json_object_get(object, "slices"), i, one)
    {
        const char *id = json_string_value(one);
        if (id == NULL || release->count == RELEASE_SLICES_MAX)
            continue;
        struct released *slice = &release->slices[release->count];
        *slice = (struct released){0};
        if (text_copy(slice->id, sizeof(slice->id), id))
            release->count++;
    }
}

/* false with err->kind ERR_NONE: there is no such thing. */
static bool find(struct cli *cli, const char *path, const char *name, json_t **out, struct err *err)
{
    struct url url = url_make(path);
    url_part(&url, name);
    if (cli_get(cli, &url, out, err))
        return true;
    if (err->kind == ERR_MISSING)
        err_clear(err);
    return false;
}

/* Free under the generation that the release has given it; or gone on to somebody else, so it was free meanwhile. */
static bool is_settled(struct released *slice, const json_t *now)
{
    const char *state = cli_text(now, "state");
    const uint64_t wanted = cli_u64(json_object_get(now, "wanted"), "generation");
    if (slice->generation == 0)
        slice->generation = wanted;
    if (strcmp(state, "quarantined") == 0 || wanted > slice->generation)
        return true;
    return strcmp(state, "free") == 0 && cli_u64(now, "generation") >= slice->generation;
}

static bool look_slices(struct cli *cli, struct release *release, struct wait_view *view, size_t *settled,
                        struct err *err)
{
    release->quarantined = 0;
    for (size_t i = 0; i < release->count; i++) {
        auto_json *now = NULL;
        if (!find(cli, "/v1/slices", release->slices[i].id, &now, err)) {
            if (err->kind != ERR_NONE)
                return false;
            (*settled)++; /* retired */
            continue;
        }
        *settled += is_settled(&release->slices[i], now);
        if (strcmp(cli_text(now, "state"), "quarantined") == 0 && release->quarantined++ == 0)
            text_cut(release->why, sizeof(release->why), cli_text(now, "why"));
        if (json_object_get(now, "progress_percent") != NULL)
            snprintf(view->detail, sizeof(view->detail), "%s %s %ju %%", release->slices[i].id, cli_text(now, "state"),
                     (uintmax_t)cli_u64(now, "progress_percent"));
    }
    return true;
}

static bool release_look(struct cli *cli, void *ctx, struct wait_view *view, struct err *err)
{
    struct release *release = ctx;
    auto_json *thing = NULL;
    size_t settled = 0;
    const bool there = find(cli, release->path, release->name, &thing, err);
    if (err->kind != ERR_NONE || !look_slices(cli, release, view, &settled, err))
        return false;
    view->done = !there && settled == release->count;
    snprintf(view->state, sizeof(view->state), "%s %s: %s; %zu of %zu slices erased and verified", release->what,
             release->name, there ? "going" : "gone", settled - release->quarantined, release->count);
    return true;
}

bool release_wait(struct cli *cli, struct release *release, bool *interrupted_out, struct err *err)
{
    const struct wait_job job = {.look = release_look, .ctx = release, .again = "nsmith slice ls"};
    if (!cli_wait(cli, &job, interrupted_out, err))
        return false;
    if (*interrupted_out || release->quarantined == 0)
        return true;
    err_set(err, ERR_DEVICE, "cannot free %zu of %zu slices of %s '%s': quarantined: %s", release->quarantined,
            release->count, release->what, release->name, release->why);
    return err_hint(err, "see: nsmith slice ls --state quarantined");
}
