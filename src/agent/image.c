#include "agent/image.h"

#include "base/text.h"
#include "http/http.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CALL_MS = 30000 };

static bool bytes_read(const struct http_reply *reply, uint8_t *to, uint32_t len, struct err *err)
{
    json_t *json = json_loadb(reply->body, reply->body_len, 0, NULL);
    const char *hex = json_string_value(json_object_get(json, "hex"));
    const char *detail = json_string_value(json_object_get(json, "detail"));
    const bool ok = reply->status == 200 && hex != NULL && text_unhex(to, len, hex);
    if (!ok)
        err_set(err, reply->status == 404 ? ERR_MISSING : ERR_FAILED, "%s",
                detail != NULL ? detail : "the server sent something else than the piece that was asked for");
    json_decref(json);
    return ok;
}

bool image_fetch(const char *server, const char *host, const char *digest, uint32_t number, uint8_t *to, uint32_t len,
                 struct err *err)
{
    struct http_client *client;
    struct http_reply reply;
    char path[HTTP_PATH_MAX];
    snprintf(path, sizeof(path), "/v1/agents/%s/firmware/%s?piece=%u", host, digest, number);
    if (!http_client_open(server, &client, err))
        return false;
    bool ok = http_client_call(client, "GET", path, NULL, NULL, CALL_MS, &reply, err);
    if (ok) {
        ok = bytes_read(&reply, to, len, err);
        free(reply.body);
    }
    http_client_close(client);
    return ok;
}
