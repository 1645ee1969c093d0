/* sched.h - filter, score, pick. Pure and deterministic: equal input, equal placement; ties are broken by names.
 *   - Filters in this order, each with a typed reason: host up, its hypervisor (for VMs only), vCPUs, memory, free
 *     slices of the class.
 *   - Spread takes the slices one drive after the other, from the drives with the most free slices first; pack takes
 *     them from the drives with the fewest free slices that do.
 *   - Among hosts that fit, spread prefers the one with the most free slices of the class, pack the fewest.
 *   - Slices on drained drives (core/health.h, or a person's word) are not given out; the refusal counts them.
 *   - A request that no host can carry is refused with, per filter, how many hosts fell there, what was needed and
 *     the most that any of them had. That is an answer, not an error. */
#ifndef NSMITH_SCHED_H
#define NSMITH_SCHED_H

#include "model/ids.h"
#include "model/slice.h"
#include "model/vm.h"

#define SCHED_FILTERS(X)        \
    X(SCHED_HOST_UP, "host up") \
    X(SCHED_VIRT, "hypervisor") \
    X(SCHED_VCPUS, "vcpus")     \
    X(SCHED_MEMORY, "memory")   \
    X(SCHED_SLICES, "free slices")

enum sched_filter {
#define X(filter, word) filter,
    SCHED_FILTERS(X)
#undef X
        SCHED_FILTER_COUNT
};

const char *sched_filter_word(enum sched_filter filter);

struct sched_slice {
    struct slice_id id;
    char drive[21];
};

struct sched_host {
    struct name name;
    bool up;
    bool virt_down; /* its hypervisor does not answer */
    uint64_t vcpus_free, memory_free_bytes;
    const struct sched_slice *slices; /* borrowed: free, verified, of the wanted class, sorted by drive, then id */
    size_t slice_count;
    uint32_t left_out; /* such slices that are not among them, for their drives are drained */
};

struct sched_request {
    struct name class;
    uint32_t slices;
    enum spread spread;
    uint64_t vcpus, memory_bytes;
    struct name host; /* only there; empty: anywhere */
};

struct sched_refusal {
    uint32_t hosts; /* that fell at this filter */
    uint64_t needed;
    uint64_t most; /* that any of them had */
    uint64_t left_out; /* SCHED_SLICES: free slices of these hosts on drained drives */
};

struct sched_answer {
    bool placed;
    size_t host; /* index */
    struct slice_id slices[CLAIM_SLICES_MAX];
    size_t slice_count;
    uint32_t hosts_asked;
    struct sched_refusal refusal[SCHED_FILTER_COUNT];
};

/* The three steps, for who keeps the hosts in an order of its own. Whether the host can carry the request; if not, it is
 * counted at the first filter at which it falls. */
bool sched_fits(const struct sched_host *host, const struct sched_request *request, struct sched_answer *counts);
/* Fills out->slices from a host that fits. */
void sched_pick(const struct sched_host *host, const struct sched_request *request, struct sched_answer *out);

void sched_place(const struct sched_host *hosts, size_t host_count, const struct sched_request *request,
                 struct sched_answer *out);
/* The refusal as one phrase: "no host fits: 1 of 1 has too few free slices of class 500G (needed 9, most 4; 2 more
 * on drained drives)". */
void sched_explain(const struct sched_request *request, const struct sched_answer *answer, char *to, size_t size);

#endif
