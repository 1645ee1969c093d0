/* image.h - pieces of firmware images from the server. One call, one connection: they are rare. */
#ifndef NSMITH_AGENT_IMAGE_H
#define NSMITH_AGENT_IMAGE_H

#include "base/err.h"

/* Piece `number` of the image, of exactly `len` bytes. */
bool image_fetch(const char *server, const char *host, const char *digest, uint32_t number, uint8_t *to, uint32_t len,
                 struct err *err);

#endif
