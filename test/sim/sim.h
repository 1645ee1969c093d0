/* sim.h - a small deterministic simulation of whole hosts: the real mind, orders, ledger and server over software
 * drives in memory, a queue of events, and a clock that only the queue moves. One seed is one run.
 *   main.c      the command line, seeds, what a batch must have done
 *   world.c     making, the queue, the two phases
 *   agent.c     one agent as a process: steps, orders, what crashes cut short; uplink.c its talk with the server
 *   server.c    the server as a process; user.c what people ask of it
 *   port.c      the way to the drives: crash points, swapped names, who is sent what
 *   tenant.c    VMs and bare claims: they write their tag and read it back
 *   task.c      what single drives are asked to do
 *   faults.c    everything that goes wrong
 *   torture.c   one fault at every place in turn
 *   checkers.c  what is promised (docs/architecture.md, invariants 1 to 5); settle.c: with the faults gone, all settles
 * The checkers know the promise, not how it is kept. */
#ifndef NSMITH_SIM_H
#define NSMITH_SIM_H

#include "agent/mind.h"
#include "agent/order.h"
#include "agent/vm_job.h"
#include "nvme/nvme_soft.h"
#include "server/service.h"
#include "virt/virt_fake.h"

#include <stdio.h>

enum {
    SIM_HOSTS = 3,
    SIM_DRIVES = 5,   /* of one host, the foreign one among them */
    SIM_TENANTS = 64, /* VMs and bare claims of one run */
    SIM_PLACES = 20,  /* blocks of a slice that tenants use */
    SIM_BLOCK = 4096,
    SIM_STRIDE = 16 * SIM_BLOCK, /* people's own data lies there */
    SIM_STEPS = 300,             /* operations and faults of the first phase */
    SIM_COMMITS = 256,
    SIM_RECORDS = 2,             /* of one parcel: few, so that proof comes late */
};

struct sim;

struct sim_drive {
    struct soft_drive *drive; /* owned */
    bool foreign;             /* holds somebody's data: nothing of it may change */
    bool careless;            /* an erase of one namespace hits its neighbours */
    bool hopeless;            /* its erases never do anything */
    bool suspect;             /* something happened to it that explains a quarantine */
    bool ambush;              /* data will appear on it between plan and adoption */
    bool look_in_flight;      /* a fresh look was taken and is not judged yet */
    char *state;              /* foreign: what it was, from malloc() */
    uint64_t media;           /* foreign: a hash of its content */
    uint64_t log_seen;
    bool strange;     /* somebody with another tool made or deleted namespaces */
    bool made[129];   /* by NSID: the agent has made it, and nobody has deleted it */
    uint32_t name;    /* nvme<name> today */
    uint64_t back_ms; /* pulled: when it comes back */
    struct uuid task_seen; /* the last destructive probe whose end was counted */
};

/* What the checkers remember of a slice by its id. */
struct sim_slice {
    struct slice_id id;
    enum slice_state state;
    uint64_t handed_out, verified; /* when, as a count of what was seen; 0: never */
};

struct sim_agent {
    struct host *host;         /* owned; NULL: not running */
    uint64_t life;             /* grows with each start; what was meant for another life is dropped */
    uint64_t wake_ms, tick_ms; /* wanted; scheduled */
    uint64_t after, request, report_number;
    uint64_t report_sent_ms, digest;
    bool report_due, push_busy, registered;
    bool in_step;
};

struct sim_host {
    struct name name;
    unsigned index;
    struct sim *sim; /* borrowed */
    struct sim_drive drives[SIM_DRIVES];
    size_t drive_count;
    struct soft_drive *soft[SIM_DRIVES]; /* for the port; borrowed */
    struct nvme_port inner, port;
    struct virt_port virt;
    struct ledger ledger;
    struct mind mind;
    struct sim_agent agent;
    struct uuid boot;
    struct order_env env;
    const struct order *order; /* under way; borrowed */
    bool dead;                 /* the process of the agent ends here: nothing it sends arrives any more */
    unsigned crash_in;         /* points until it does; 0: never */
    uint64_t slept_ms;
    struct sim_slice seen[HOST_SLICES_MAX];
    size_t seen_count;
    uint64_t records_seen;
    char record_hash[CERT_HASH_HEX];
};

struct sim_disk {
    struct slice_id slice;
    unsigned host, drive;
    uint32_t nsid;
    uint64_t ino;
    bool open, lost;
    uint32_t written[SIM_PLACES]; /* what the tenant wrote last, 0: nothing */
};

struct sim_tenant {
    bool used, vm, asked, leaving, gone, sloppy;
    bool alive; /* uses its disks now: a living guest, or a bare claim with open files */
    struct name name;
    struct uuid uuid;
    struct claim_id claim;
    unsigned host;
    uint64_t close_ms; /* sloppy: when it closes at last */
    struct sim_disk disks[CLAIM_SLICES_MAX];
    size_t disk_count;
};

struct sim_server {
    struct store store, backup;
    bool has_backup, up, armed; /* armed: a commit will fail */
    struct service service;
    uint64_t calls, backup_ms;
};

enum sim_event_kind {
    EV_AGENT_START,
    EV_TICK,
    EV_ORDER,    /* data: struct sim_job */
    EV_MAIL,     /* data: struct sim_mail */
    EV_PULL,     /* the agent asks for a registration or its wants */
    EV_REGISTER, /* at the server */
    EV_REGISTERED,
    EV_POLL, /* at the server; number: registration, more: after */
    EV_FATAL,
    EV_FORGOTTEN, /* the server does not know the host */
    EV_PUSH,
    EV_PARCEL, /* at the server; data: struct sim_parcel */
    EV_HAVE,   /* number: the server holds so many records */
    EV_SERVER_START,
    EV_STEP,   /* a user does something, or something breaks */
    EV_TENANT, /* number: tenant */
    EV_BACK,   /* number: drive, back from where it was */
    EV_AMBUSH, /* number: drive */
};

struct sim_event {
    uint64_t at_ms, tie;
    enum sim_event_kind kind;
    unsigned host;
    uint64_t life, number, more;
    void *data; /* owned */
};

struct sim_mail {
    enum host_event_kind kind;
    struct order order;
    struct order_done done;
    struct order_list *list; /* owned */
    struct wants *wants;     /* owned */
    struct virt_list *vms;   /* owned */
    struct drive_news *news; /* owned */
    unsigned percent;
};

struct sim_job {
    struct order order;
    struct vm_job vm;
};

struct sim_parcel {
    struct report *report; /* owned */
    char *records[SIM_RECORDS];
    size_t record_count;
};

/* What a batch must have seen, or it tested nothing. */
struct sim_tally {
    uint64_t events, steps, vms, claims, erases, verified, crashes, server_crashes, restores, quarantines, refusals,
        handouts, reads, checked, faults, swaps, stranger, late, retries, probes, probes_cut, firmware;
};

struct sim {
    uint64_t seed, now_ms;
    struct rng rng;
    bool trace, calm, failed; /* calm: the second phase */
    char why[600];
    uint64_t hash;
    struct sim_event *queue; /* a heap; owned */
    size_t queue_count, queue_room;
    struct sim_host hosts[SIM_HOSTS];
    size_t host_count;
    struct sim_server server;
    struct sim_tenant tenants[SIM_TENANTS];
    size_t tenant_count;
    uint32_t writes;
    uint64_t seen;          /* counts what checkers remember in its order */
    struct report *scratch; /* owned */
    struct sim_tally tally;
    unsigned steps_left;
    struct uuid commits[SIM_COMMITS]; /* tasks whose firmware was committed */
    size_t commit_count;
    uint64_t torture_nth, torture_seen, torture_io; /* torture.c; nth 0: none */
    unsigned torture_kind;
};

/* world.c */
void sim_open(struct sim *sim, uint64_t seed, bool trace);
bool sim_run(struct sim *sim);                    /* both phases; false: sim->why */
void sim_open_small(struct sim *sim, bool trace); /* one host, one good drive, calm from the start */
void sim_turn(struct sim *sim, uint64_t for_ms);
bool sim_settle(struct sim *sim);
void sim_close(struct sim *sim);
void sim_event_free(struct sim_event *event);
uint64_t sim_rand(struct sim *sim, uint64_t limit);
bool sim_chance(struct sim *sim, unsigned in_1000); /* never while calm */
void sim_at(struct sim *sim, uint64_t delay_ms, struct sim_event event);
void sim_trace(struct sim *sim, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void sim_fail(struct sim *sim, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* agent.c */
void agent_start(struct sim_host *at);
void agent_end(struct sim_host *at, const char *why, uint64_t again_ms);
bool agent_step(struct sim_host *at, const struct host_event *event);
void agent_tick(struct sim_host *at);
void agent_order(struct sim_host *at, const struct sim_job *job);
void agent_mail(struct sim_host *at, struct sim_mail *mail);
void sim_mail_free(struct sim_mail *mail);
void agent_env(struct sim_host *at);
void agent_news(struct sim_host *at, unsigned drive); /* something happened to it: told, mistold or lost */

/* uplink.c */
void uplink_pull(struct sim_host *at);
void uplink_push_now(struct sim_host *at);
void uplink_parcel(struct sim_host *at, uint64_t life, const struct sim_parcel *parcel); /* at the server */
void uplink_poll(struct sim_host *at, const struct sim_event *event);                    /* at the server */
void uplink_register(struct sim_host *at, const struct sim_event *event);                /* at the server */
void uplink_registered(struct sim_host *at, const struct sim_event *event);
void sim_parcel_free(struct sim_parcel *parcel);

/* server.c */
typedef bool (*server_fn)(struct sim *sim, void *arg, struct err *err);
void server_open(struct sim *sim);
void server_close(struct sim *sim);
void server_crash(struct sim *sim);
void server_start(struct sim *sim);
void server_backup(struct sim *sim);
void server_restore(struct sim *sim);
/* One transaction. *sure_out (may be NULL): an error means that nothing was done. */
bool server_call(struct sim *sim, server_fn fn, void *arg, bool *sure_out, struct err *err);
bool server_row(struct sim *sim, enum store_kind kind, const char *key, void *row); /* a look from outside */
void server_each(struct sim *sim, enum store_kind kind, store_each_fn fn, void *ctx);

/* user.c */
void user_adopt(struct sim *sim, unsigned host, unsigned drive);
void user_step(struct sim *sim);
void user_leave(struct sim *sim, struct sim_tenant *tenant);
void user_clear(struct sim *sim); /* everything is given back */
void user_retry_all(struct sim *sim);
void user_retire_lost(struct sim *sim);
void user_retire_all(struct sim *sim);
void user_ask(struct sim *sim, bool vm, uint32_t slices);
bool sim_is_lost(const struct slice *slice);

/* task.c */
void user_task(struct sim *sim);
bool task_image(void *ctx, const char *digest, uint32_t number, uint8_t *to, uint32_t len, struct err *err);
void check_commit(struct sim_host *at, const struct nvme_cmd *cmd);
void check_tasks(struct sim_host *at);
bool tasks_rest(struct sim *sim, char why[256]);

/* port.c */
void port_open(struct sim_host *at);
bool port_point(struct sim_host *at, struct err *err); /* the process may end here */
bool port_behind(void *ctx, const char *path, struct virt_fake_behind *out);
bool port_resolve(struct sim *sim, const char *path, struct sim_disk *out);

/* tenant.c */
void tenant_step(struct sim *sim, size_t index);
void tenants_sync(struct sim_host *at); /* which guests live, after anything the hypervisor did */
void tenant_close(struct sim *sim, struct sim_tenant *tenant);
/* The tag of a tenant other than `but` on the namespace; NULL: none. */
const struct sim_tenant *tenant_tag_on(struct sim *sim, unsigned host, unsigned drive, uint32_t nsid,
                                       const struct claim_id *but);
struct sim_tenant *tenant_using(struct sim *sim, unsigned host, unsigned drive, uint32_t nsid);
struct sim_tenant *tenant_of_claim(struct sim *sim, const struct claim_id *claim);

/* faults.c */
void fault_step(struct sim *sim);
void fault_calm(struct sim *sim);
void fault_orphans_remove(struct sim *sim);
void fault_ambush(struct sim *sim, struct sim_host *at, unsigned drive);
void foreign_look(void *ctx, const struct drive_ident *ident, struct nsid nsid, const struct nvme_node *node,
                  struct foreign_list *list);
void foreign_mark(struct sim_drive *drive);
char *foreign_state(const struct sim_drive *drive); /* what nobody may change; from malloc() */
uint64_t foreign_hash(struct sim_drive *drive);

/* checkers.c */
void check_sent(struct sim_host *at, unsigned drive, const struct nvme_cmd *cmd);
void check_written(struct sim_host *at, unsigned drive, uint32_t nsid);
void check_did(struct sim_host *at, unsigned drive, const struct nvme_cmd *cmd);
void check_granted(struct sim *sim, const struct claim_id *claim);
void check_host(struct sim_host *at);
void check_world(struct sim *sim);
void check_end(struct sim *sim);

/* torture.c */
void torture_command(struct sim_host *at, unsigned drive, bool io, uint8_t opcode);
bool torture(struct sim *sim, unsigned only_kind, uint64_t only_nth, bool trace); /* only_nth 0: all */

/* settle.c */
bool settled(struct sim *sim, bool last, char why[256]);

#endif
