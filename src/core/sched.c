#include "core/sched.h"

#include "base/must.h"
#include "base/text.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

const char *sched_filter_word(enum sched_filter filter)
{
    static const char *const words[] = {
#define X(filter, word) [filter] = word,
        SCHED_FILTERS(X)
#undef X
    };
    must(filter < SCHED_FILTER_COUNT);
    return words[filter];
}

/* ---- filter: which hosts can ----------------------------------------------------------------------------------- */

struct measure {
    uint64_t needed, has;
};

static struct measure measure(const struct sched_host *host, const struct sched_request *request,
                              enum sched_filter filter)
{
    switch (filter) {
    case SCHED_HOST_UP:
        return (struct measure){.needed = 1, .has = host->up};
    case SCHED_VIRT:
        return (struct measure){.needed = request->vcpus > 0, .has = !host->virt_down};
    case SCHED_VCPUS:
        return (struct measure){.needed = request->vcpus, .has = host->vcpus_free};
    case SCHED_MEMORY:
        return (struct measure){.needed = request->memory_bytes, .has = host->memory_free_bytes};
    case SCHED_SLICES:
        return (struct measure){.needed = request->slices, .has = host->slice_count};
    case SCHED_FILTER_COUNT:
        break;
    }
    must(false);
    return (struct measure){0};
}

bool sched_fits(const struct sched_host *host, const struct sched_request *request, struct sched_answer *out)
{
    for (unsigned f = 0; f < SCHED_FILTER_COUNT; f++) {
        const struct measure m = measure(host, request, (enum sched_filter)f);
        if (m.has >= m.needed)
            continue;
        struct sched_refusal *refusal = &out->refusal[f];
        refusal->hosts++;
        refusal->needed = m.needed;
        if (m.has > refusal->most)
            refusal->most = m.has;
        if (f == SCHED_SLICES)
            refusal->left_out += host->left_out;
        return false;
    }
    return true;
}

/* ---- score: the best of those that can -------------------------------------------------------------------------- */

static bool better(const struct sched_host *a, const struct sched_host *b, enum spread spread)
{
    if (a->slice_count != b->slice_count)
        return spread == SPREAD_DRIVES ? a->slice_count > b->slice_count : a->slice_count < b->slice_count;
    return strcmp(a->name.v, b->name.v) < 0;
}

/* ---- pick: the slices on that host ------------------------------------------------------------------------------ */

/* The free slices of one drive: slices[first] to slices[first + count - 1]. */
struct group {
    size_t first, count, taken;
};

struct groups {
    struct group at[HOST_SLICES_MAX];
    size_t count;
};

static void groups_fill(const struct sched_host *host, struct groups *out)
{
    must(host->slice_count <= HOST_SLICES_MAX);
    out->count = 0;
    for (size_t i = 0; i < host->slice_count; i++) {
        const int order = i == 0 ? 1 : strcmp(host->slices[i].drive, host->slices[i - 1].drive);
        must(order >= 0); /* sorted by drive: otherwise one drive would look like two */
        if (order > 0)
            out->at[out->count++] = (struct group){.first = i};
        out->at[out->count - 1].count++;
    }
}

static void take(const struct sched_host *host, struct group *group, struct sched_answer *out)
{
    must(group->taken < group->count);
    must(out->slice_count < CLAIM_SLICES_MAX);
    out->slices[out->slice_count++] = host->slices[group->first + group->taken++].id;
}

/* The drives with the most free slices, at most `most` of them; among equals the first by name. */
static size_t fullest(struct groups *groups, struct group *to[CLAIM_SLICES_MAX], size_t most)
{
    size_t count = 0;
    for (size_t i = 0; i < groups->count; i++) {
        struct group *group = &groups->at[i];
        if (count == most && group->count <= to[count - 1]->count)
            continue;
        size_t at = count < most ? count++ : count - 1;
        for (; at > 0 && to[at - 1]->count < group->count; at--)
            to[at] = to[at - 1];
        to[at] = group;
    }
    return count;
}

/* One slice of each drive, round by round. More drives than slices are wanted are never needed. */
static void pick_spread(const struct sched_host *host, struct groups *groups, size_t wanted, struct sched_answer *out)
{
    struct group *drives[CLAIM_SLICES_MAX];
    const size_t count = fullest(groups, drives, wanted);
    while (out->slice_count < wanted)
        for (size_t i = 0; i < count && out->slice_count < wanted; i++)
            if (drives[i]->taken < drives[i]->count)
                take(host, drives[i], out);
}

/* The untouched drive with the fewest free slices that are enough; where none has enough, the one with the most. */
static struct group *best_fit(struct groups *groups, size_t wanted)
{
    struct group *best = NULL;
    for (size_t i = 0; i < groups->count; i++) {
        struct group *group = &groups->at[i];
        if (group->taken > 0)
            continue;
        const bool enough = group->count >= wanted, best_enough = best != NULL && best->count >= wanted;
        if (best == NULL || (enough && (!best_enough || group->count < best->count)) ||
            (!enough && !best_enough && group->count > best->count))
            best = group;
    }
    must(best != NULL);
    return best;
}

static void pick_pack(const struct sched_host *host, struct groups *groups, size_t wanted, struct sched_answer *out)
{
    while (out->slice_count < wanted) {
        struct group *group = best_fit(groups, wanted - out->slice_count);
        while (group->taken < group->count && out->slice_count < wanted)
            take(host, group, out);
    }
}

void sched_pick(const struct sched_host *host, const struct sched_request *request, struct sched_answer *out)
{
    struct groups groups;
    must(host->slice_count >= request->slices);
    out->slice_count = 0;
    groups_fill(host, &groups);
    if (request->spread == SPREAD_DRIVES)
        pick_spread(host, &groups, request->slices, out);
    else
        pick_pack(host, &groups, request->slices, out);
    must(out->slice_count == request->slices);
}

void sched_place(const struct sched_host *hosts, size_t host_count, const struct sched_request *request,
                 struct sched_answer *out)
{
    must(request->slices >= 1);
    must(request->slices <= CLAIM_SLICES_MAX);
    must(request->spread < SPREAD_COUNT);
    struct sched_answer answer = {0};
    for (size_t i = 0; i < host_count; i++) {
        if (request->host.v[0] != '\0' && !name_eq(&request->host, &hosts[i].name))
            continue;
        answer.hosts_asked++;
        if (!sched_fits(&hosts[i], request, &answer))
            continue;
        if (!answer.placed || better(&hosts[i], &hosts[answer.host], request->spread))
            answer.host = i;
        answer.placed = true;
    }
    if (answer.placed)
        sched_pick(&hosts[answer.host], request, &answer);
    *out = answer;
}

/* ---- the refusal in words --------------------------------------------------------------------------------------- */

__attribute__((format(printf, 3, 4))) static void append(char *to, size_t size, const char *fmt, ...)
{
    const size_t used = strlen(to);
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(to + used, size - used, fmt, ap);
    va_end(ap);
}

static void explain_filter(const struct sched_request *request, enum sched_filter filter,
                           const struct sched_refusal *refusal, char *to, size_t size)
{
    char needed[TEXT_SIZE_MAX], most[TEXT_SIZE_MAX];
    const bool one = refusal->hosts == 1;
    switch (filter) {
    case SCHED_HOST_UP:
        append(to, size, "%s not up", one ? "is" : "are");
        return;
    case SCHED_VIRT:
        append(to, size, "%s a hypervisor that does not answer", one ? "has" : "have");
        return;
    case SCHED_VCPUS:
        append(to, size, "%s too few free vCPUs", one ? "has" : "have");
        break;
    case SCHED_MEMORY:
        append(to, size, "%s too little free memory (needed %s, most %s)", one ? "has" : "have",
               text_gib(needed, refusal->needed), text_gib(most, refusal->most));
        return;
    case SCHED_SLICES:
        append(to, size, "%s too few free slices of class %s", one ? "has" : "have", request->class.v);
        break;
    case SCHED_FILTER_COUNT:
        must(false);
    }
    append(to, size, " (needed %" PRIu64 ", most %" PRIu64, refusal->needed, refusal->most);
    if (refusal->left_out > 0)
        append(to, size, "; %" PRIu64 " more on drained drives", refusal->left_out);
    append(to, size, ")");
}

void sched_explain(const struct sched_request *request, const struct sched_answer *answer, char *to, size_t size)
{
    must(size > 0);
    must(!answer->placed);
    to[0] = '\0';
    append(to, size, "no host fits: ");
    if (answer->hosts_asked == 0) {
        if (request->host.v[0] != '\0')
            append(to, size, "there is no host '%s'", request->host.v);
        else
            append(to, size, "there are no hosts");
        return;
    }
    const char *between = "";
    for (unsigned f = 0; f < SCHED_FILTER_COUNT; f++) {
        const struct sched_refusal *refusal = &answer->refusal[f];
        if (refusal->hosts == 0)
            continue;
        append(to, size, "%s%" PRIu32 " of %" PRIu32 " ", between, refusal->hosts, answer->hosts_asked);
        explain_filter(request, (enum sched_filter)f, refusal, to, size);
        between = "; ";
    }
}
