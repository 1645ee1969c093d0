/* service_priv.h - what the files of the service share. Nobody else includes it. */
#ifndef NSMITH_SERVICE_PRIV_H
#define NSMITH_SERVICE_PRIV_H

#include "server/service.h"

void uuid_make(struct service *service, struct uuid *out);
/* true and `found`, or ERR_MISSING "cannot find <what> '<key>'". */
bool must_get(struct service *service, enum store_kind kind, const char *what, const char *key, void *row, struct err *err);
/* The wants of the host have changed. */
bool host_touch(struct service *service, const struct name *host, struct err *err);
void drive_key(char out[96], const struct name *host, const char *serial);

/* Rows of one kind in memory; grows as it must. Free with rows_free(). */
struct rows {
    enum store_kind kind;
    size_t size, count, room;
    char *at;
};
bool rows_read(struct service *service, enum store_kind kind, const struct store_filter *filter, struct rows *out,
               struct err *err);
void *rows_at(const struct rows *rows, size_t i);
void rows_free(struct rows *rows);

/* The drive's row has just taken a new report. restored: the database is older than what the agent has seen. */
bool task_reported(struct service *service, const struct report *report, struct row_drive *drive, bool restored,
                   bool *touched, struct err *err);

/* The image makes sense, and (image_too) is here whole. */
bool firmware_check(struct service *service, const struct firmware_job *job, bool image_too, struct err *err);
/* No drive is to have it any more. */
bool firmware_forget(struct service *service, const struct firmware_job *job, struct err *err);

#define auto_rows __attribute__((cleanup(rows_free)))

/* The index (service_fleet.c): all hosts are to be read, at the start; and a place for a claim. What it answers is so by
 * the rows, in this transaction: each slice free, proven and served, and room for the VM. ERR_FULL: nothing fits, and
 * why. Fills host and slices. */
bool fleet_begin(struct service *service, struct err *err);
bool fleet_find(struct service *service, const struct sched_request *request, uint64_t now_ms, struct row_claim *claim,
                struct err *err);

/* Makes the slices nobody's: they are wanted with the next generation and without an owner. */
bool claim_let_go(struct service *service, struct row_claim *claim, struct err *err);

#endif
