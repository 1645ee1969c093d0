/* soft_media.h - the media of one software drive: numbered, sparse, in memory or as files.
 *   - What was never written reads as zeros and takes no room.
 *   - In a folder: FOLDER/media/<id>.img, as large as the namespace; FOLDER/ns/<nsid> is a second (hard) link to it,
 *     so that whoever opens that path has the media's inode.
 *   - false: errno says why. What was there before is then in an undefined state, as after a failed disk. */
#ifndef NSMITH_SOFT_MEDIA_H
#define NSMITH_SOFT_MEDIA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct soft_media;

struct soft_media *soft_media_mem(void);
struct soft_media *soft_media_dir(const char *dir); /* NULL: errno. Makes the folders media and ns */
void soft_media_free(struct soft_media *media);     /* files stay */
uint64_t soft_media_memory(const struct soft_media *media);

/* Makes a medium, or gives one that is there another size; what it holds stays, up to the size. */
bool soft_media_size(struct soft_media *media, uint64_t id, uint64_t size_bytes);
bool soft_media_drop(struct soft_media *media, uint64_t id); /* none there: fine */
bool soft_media_read(struct soft_media *media, uint64_t id, uint64_t offset, void *to, size_t len);
bool soft_media_write(struct soft_media *media, uint64_t id, uint64_t offset, const void *from, size_t len);
bool soft_media_zero(struct soft_media *media, uint64_t id, uint64_t offset, uint64_t len);
bool soft_media_flush(struct soft_media *media, uint64_t id);

/* Erases what was written: with noise instead of zeros, and perhaps only about half of it, as the seed has it. */
struct soft_wipe {
    bool noise, half;
    uint64_t seed;
};
bool soft_media_wipe(struct soft_media *media, uint64_t id, const struct soft_wipe *wipe);

/* In a folder (in memory they do nothing): the path of a namespace comes and goes. */
bool soft_media_link(struct soft_media *media, uint64_t id, uint32_t nsid);
bool soft_media_unlink(struct soft_media *media, uint32_t nsid);
/* Removes all paths of namespaces, and every file that `keep` does not want. */
bool soft_media_clean(struct soft_media *media, bool (*keep)(const void *self, uint64_t id), const void *self);
/* Empty in memory. */
void soft_media_path(const struct soft_media *media, uint32_t nsid, char *to, size_t size);

#endif
