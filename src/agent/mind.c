#include "agent/mind.h"

#include "base/must.h"
#include "base/text.h"

static bool has_changes(const struct host *host)
{
    if (host->changed)
        return true;
    for (size_t i = 0; i < host->drive_count; i++)
        if (host->drives[i].changed || host->drives[i].task.changed)
            return true;
    for (size_t i = 0; i < host->slice_count; i++)
        if (host->slices[i].slice.changed)
            return true;
    for (size_t i = 0; i < host->vm_count; i++)
        if (host->vms[i].changed)
            return true;
    return false;
}

static bool record_sign(struct mind *mind, const struct host_event *event, char text[CERT_TEXT_MAX], struct err *err)
{
    static const char zeros[CERT_HASH_HEX] = "0000000000000000000000000000000000000000000000000000000000000000";
    struct host *host = mind->host;
    struct erasure erasure = *event->erasure;
    erasure.seq = host->erasure_seq;
    if (!cert_sign(&mind->key, host->erasure_hash[0] != '\0' ? host->erasure_hash : zeros, &erasure, text, err))
        return false;
    cert_hash(text, host->erasure_hash);
    return true;
}

bool mind_step(struct mind *mind, const struct host_event *event, struct host_orders *out, struct host_result *result,
               struct err *err)
{
    char record[CERT_TEXT_MAX];
    host_step(mind->host, event, out, result);
    if (event->kind == HOST_WANTS && event->wants->registration == mind->host->registration)
        mind->records_have = event->wants->erasures_have;
    must_if(result->record_wanted, event->erasure != NULL);
    if (result->record_wanted && !record_sign(mind, event, record, err))
        return false;
    if (has_changes(mind->host)) {
        if (!mind->ledger->save(mind->ledger->self, mind->host, result->record_wanted ? record : NULL, err))
            return false;
        host_clear_changed(mind->host);
    }
    return true;
}
