/* uplink.h - the agent's side of the talk with the server: one thread pulls what is wanted (long poll), one pushes
 * what is. Both answer by mail and never decide anything. The agent works on without a server: it goes on erasing,
 * and keeps its VMs. */
#ifndef NSMITH_AGENT_UPLINK_H
#define NSMITH_AGENT_UPLINK_H

#include "agent/mail.h"

enum { UPLINK_RECORDS_MAX = 16 };

struct uplink;

struct uplink_options {
    struct mailbox *box; /* borrowed */
    const char *server;  /* "unix:/path"; borrowed */
    const char *host;    /* borrowed */
};

bool uplink_open(const struct uplink_options *options, struct uplink **out, struct err *err);

/* What is, as JSON text (jmap of struct report), and records that the server lacks (signed texts; may be none). The
 * newest replaces one that was not sent yet. Takes the texts (from malloc). */
void uplink_push(struct uplink *uplink, char *report, char *records[UPLINK_RECORDS_MAX], size_t record_count);

#endif
