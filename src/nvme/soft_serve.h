/* soft_serve.h - the software drives of one folder, and what the frames of soft_wire.h do to them. No socket, no clock:
 * src/softnvme brings both.
 *   - Each drive is a folder DIR/SERIAL. All that are there are opened at the start.
 *   - A request is answered at once, later (a slow command), or never (a fault): see enum soft_reply. */
#ifndef NSMITH_SOFT_SERVE_H
#define NSMITH_SOFT_SERVE_H

#include "nvme/nvme_soft.h"
#include "nvme/soft_wire.h"

enum { SOFT_DRIVES_MAX = 32 };

struct soft_shelf {
    char dir[PATH_TEXT_MAX];                    /* absolute */
    char profiles[PATH_TEXT_MAX];               /* folder of *.conf */
    struct soft_drive *drives[SOFT_DRIVES_MAX]; /* owned */
    size_t count;
};

bool soft_shelf_open(const char *dir, const char *profiles, struct soft_shelf *out, struct err *err);
void soft_shelf_close(struct soft_shelf *shelf);
/* ERR_CONFLICT: it is there already with another profile; with the same one it is fine. */
bool soft_shelf_add(struct soft_shelf *shelf, const char *serial, const char *profile, struct err *err);
struct soft_drive *soft_shelf_find(const struct soft_shelf *shelf, const char *serial); /* NULL: none */

/* One connection. */
struct soft_session {
    struct soft_drive *drive; /* borrowed; NULL: none opened */
    uint64_t removals;        /* of the drive when it was opened: a drive that was pulled is another one */
    uint64_t ticket;          /* not 0: waits for this command */
};

enum soft_reply { SOFT_REPLY_NOW, SOFT_REPLY_LATER, SOFT_REPLY_NEVER };

/* `frame`: a head and its body, all there. With SOFT_REPLY_NOW *reply_out is the answer's frame (malloc()), whole. */
enum soft_reply soft_serve(struct soft_shelf *shelf, struct soft_session *session, const uint8_t *frame,
                           uint8_t **reply_out);
/* Whether the command it waits for is done: as above. To be asked after each tick of the drives. */
enum soft_reply soft_serve_poll(struct soft_session *session, uint8_t **reply_out);
/* A frame with an error, from malloc(). */
uint8_t *soft_serve_error(const struct err *err);

/* A control line and its answer as text (malloc()). See soft_control.c for the words. */
bool soft_control(struct soft_shelf *shelf, const char *line, char **text_out, struct err *err);

#endif
