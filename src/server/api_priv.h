/* api_priv.h - what the files of the API share: api.c (routes, transactions, errors), api_show.c (rows to JSON),
 * api_read.c (GET), api_change.c (POST, PUT, DELETE), api_agent.c (agents). Nobody else includes it. */
#ifndef NSMITH_SERVER_API_PRIV_H
#define NSMITH_SERVER_API_PRIV_H

#include "server/api.h"
#include "server/service_priv.h"

#include <jansson.h>

/* One request on its way. */
struct call {
    struct api *api;
    struct service *service;
    const struct http_request *http;
    const char *args[2]; /* the parts of the path that a route's '*' stands for; borrowed */
    uint64_t now_ms;     /* Unix */
    bool dry_run;
    int status;          /* of success; 200 unless the handler says otherwise */
    bool later;          /* a long poll with nothing to say yet; until_ms is CLOCK_MONOTONIC */
    uint64_t mono_ms, until_ms;
    bool again;
    bool wake;           /* what is wanted of some host has changed */
};

/* Fills *out (a new reference), or err. Runs inside a transaction; false rolls it back. */
typedef bool (*call_fn)(struct call *call, json_t **out, struct err *err);

/* Reads the body into *out by its map, strictly. */
bool body_read(struct call *call, const struct jmap *map, void *out, struct err *err);
/* Sets a text that may be NULL or empty (then nothing is set). */
void set_text(json_t *object, const char *name, const char *text);
void set_new(json_t *object, const char *name, json_t *value);
void set_u64(json_t *object, const char *name, uint64_t value);
json_t *object_new(void);
/* {"items": list}; takes the list. */
json_t *items(json_t *list);

json_t *show_drive(const struct service *service, const struct row_drive *row, bool with_seen);
json_t *show_task(const struct row_drive *row); /* what it is at, or did last; NULL: nothing ever */
json_t *show_slice(struct service *service, const struct row_slice *row, struct err *err); /* NULL: err */
json_t *show_wear(struct service *service, const struct row_slice *row, struct err *err); /* NULL: err; may be {} */
json_t *show_claim(const struct row_claim *row);
json_t *show_vm(struct service *service, const struct row_vm *row, struct err *err); /* NULL: err */
json_t *show_layout_lines(const struct drive_seen *drive, const struct layout *layout);

bool get_status(struct call *call, json_t **out, struct err *err);
bool get_hosts(struct call *call, json_t **out, struct err *err);
bool get_host(struct call *call, json_t **out, struct err *err);
bool get_drives(struct call *call, json_t **out, struct err *err);
bool get_drive(struct call *call, json_t **out, struct err *err);
bool get_slices(struct call *call, json_t **out, struct err *err);
bool get_slice(struct call *call, json_t **out, struct err *err);
bool get_classes(struct call *call, json_t **out, struct err *err);
bool get_flavors(struct call *call, json_t **out, struct err *err);
bool get_claims(struct call *call, json_t **out, struct err *err);
bool get_claim(struct call *call, json_t **out, struct err *err);
bool get_vms(struct call *call, json_t **out, struct err *err);
bool get_vm(struct call *call, json_t **out, struct err *err);
bool get_erasures(struct call *call, json_t **out, struct err *err);
bool get_erasure(struct call *call, json_t **out, struct err *err);

bool post_adopt(struct call *call, json_t **out, struct err *err);
bool post_drain(struct call *call, json_t **out, struct err *err);
bool post_drive_retry(struct call *call, json_t **out, struct err *err);
bool post_resume(struct call *call, json_t **out, struct err *err);
bool post_probe(struct call *call, json_t **out, struct err *err);
bool post_firmware(struct call *call, json_t **out, struct err *err);
bool put_firmware(struct call *call, json_t **out, struct err *err);
bool agent_firmware(struct call *call, json_t **out, struct err *err);
bool post_retry(struct call *call, json_t **out, struct err *err);
bool post_retire(struct call *call, json_t **out, struct err *err);
bool put_class(struct call *call, json_t **out, struct err *err);
bool put_flavor(struct call *call, json_t **out, struct err *err);
bool delete_flavor(struct call *call, json_t **out, struct err *err);
bool post_claim(struct call *call, json_t **out, struct err *err);
bool delete_claim(struct call *call, json_t **out, struct err *err);
bool post_vm(struct call *call, json_t **out, struct err *err);
bool post_vm_start(struct call *call, json_t **out, struct err *err);
bool post_vm_stop(struct call *call, json_t **out, struct err *err);
bool post_vm_kill(struct call *call, json_t **out, struct err *err);
bool post_vm_reboot(struct call *call, json_t **out, struct err *err);
bool delete_vm(struct call *call, json_t **out, struct err *err);

bool agent_register(struct call *call, json_t **out, struct err *err);
bool agent_report(struct call *call, json_t **out, struct err *err);
bool agent_records(struct call *call, json_t **out, struct err *err);
bool agent_wants(struct call *call, json_t **out, struct err *err);

#endif
