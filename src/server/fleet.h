/* fleet.h - the scheduler's index: what every host has to give, in memory, so that "where does it fit" needs no
 * database.
 *   - Advisory: it may be behind. A claim reads the rows of what it was told again, in its own transaction.
 *   - Equal contents give equal answers, in whatever order they came in: that of sched.h over all hosts, by name.
 *   - Cost: hosts are kept by class and number of free slices, so a request that fits looks at few hosts, mostly one; a
 *     refusal, which must count, looks at all of them once. A change costs what one host has. The first look after
 * hosts were added or removed sorts them in, once for all. */
#ifndef NSMITH_SERVER_FLEET_H
#define NSMITH_SERVER_FLEET_H

#include "core/sched.h"

enum { FLEET_CLASSES_MAX = 256 }; /* classes that hosts have free slices of; what goes beyond is not given out */

struct fleet;

struct fleet *fleet_new(void);        /* empty; never NULL */
void fleet_free(struct fleet *fleet); /* NULL is fine */

struct fleet_slice {
    struct slice_id id;
    char drive[21];
    struct name class;
    bool left_out; /* its drive is drained: it is counted, and not given out */
};

/* What is known of one host; takes the place of what was known. The slices are those that can be given out now, in any
 * order, HOST_SLICES_MAX at the most; all is copied. */
struct fleet_host {
    struct name name;
    bool virt_down; /* its hypervisor does not answer */
    uint64_t vcpus_free, memory_free_bytes;
    const struct fleet_slice *slices;
    size_t slice_count;
};

void fleet_set(struct fleet *fleet, const struct fleet_host *host);
void fleet_remove(struct fleet *fleet, const struct name *host); /* not there: nothing */
size_t fleet_count(const struct fleet *fleet);

/* Something of the host has changed, or is about to: what is known of it says nothing until the next fleet_set() or
 * fleet_remove(). fleet_dirty_next() names one such host; false: there is none. */
void fleet_dirty(struct fleet *fleet, const struct name *host);
bool fleet_dirty_next(const struct fleet *fleet, struct name *out);

/* The host gave a sign of life. Kept for hosts that are not known yet, too. 0: never. */
void fleet_seen(struct fleet *fleet, const struct name *host, uint64_t now_ms);
uint64_t fleet_seen_ms(const struct fleet *fleet, const struct name *host);

/* As sched_place(), over all hosts; one that was last seen before up_since_ms is not up. host_out only when placed. */
void fleet_place(struct fleet *fleet, const struct sched_request *request, uint64_t up_since_ms,
                 struct sched_answer *out, struct name *host_out);

#endif
