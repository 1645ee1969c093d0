/* soft_smart.c - what the SMART log (02h) tells. Base 2.0, "SMART / Health Information". The counters are part of the
 * state, but an I/O command does not wait for them: they become durable with the next change of the state and when the
 * drive is shut down, so a power cut may lose some, as on a real drive. */
#include "nvme/soft_drive.h"

void soft_smart_count(struct soft_drive *drive, struct soft_ns *ns, bool is_write, uint64_t bytes)
{
    struct soft_use *const both[] = {&drive->state.use, &ns->use};
    for (size_t i = 0; i < 2; i++) {
        if (is_write) {
            both[i]->writes++;
            both[i]->units_written += bytes / 512;
        } else {
            both[i]->reads++;
            both[i]->units_read += bytes / 512;
        }
    }
}

void soft_smart_power_up(struct soft_state *state)
{
    state->unsafe_shutdowns += state->power_cycles > 0 && !state->shut_down;
    state->power_cycles++;
    state->shut_down = false;
}

/* "reported in thousands and rounded up": 1 is 1 to 1000 units of 512 bytes. */
static uint64_t thousands(uint64_t units)
{
    return (units + 999) / 1000;
}

/* Of the drive, or of one namespace as far as there is a difference. */
size_t soft_smart_log(struct soft_drive *drive, uint32_t nsid, struct nvme_wire_smart *page)
{
    const struct soft_ns *ns = soft_state_ns(&drive->state, nsid);
    const struct soft_use *use = ns == NULL ? &drive->state.use : &ns->use;
    const struct soft_health *health = &drive->health;
    page->critical_warning = health->critical_warning;
    page->temperature = page->sensor[0] = le16_of(health->temperature_k);
    page->available_spare = health->spare_percent;
    page->spare_threshold = health->spare_threshold_percent;
    page->percentage_used = health->used_percent;
    page->units_read = le128_of(thousands(use->units_read));
    page->units_written = le128_of(thousands(use->units_written) + (ns == NULL ? health->units_written : 0));
    page->host_reads = le128_of(use->reads);
    page->host_writes = le128_of(use->writes);
    page->power_cycles = le128_of(drive->state.power_cycles);
    page->power_on_hours = le128_of(health->power_on_hours + drive->state.power_on_ms / 3600000);
    page->unsafe_shutdowns = le128_of(drive->state.unsafe_shutdowns);
    page->media_errors = le128_of(health->media_errors);
    return sizeof(*page);
}
