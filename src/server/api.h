/* api.h - docs/api.md in C: requests to the service, rows to JSON. Knows HTTP's words, not its bytes (http/http.h). */
#ifndef NSMITH_SERVER_API_H
#define NSMITH_SERVER_API_H

#include "http/http.h"
#include "server/service.h"

struct api {
    struct service *service;    /* borrowed */
    struct http_server *server; /* borrowed; set by the caller once it is open. Long polls are woken through it */
    uint64_t (*unix_ms)(void);
};

/* The http_handler; ctx is the struct api. */
void api_handle(void *ctx, const struct http_request *request, uint64_t now_ms, bool again, struct http_answer *answer);

#endif
