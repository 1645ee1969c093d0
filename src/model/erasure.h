/* erasure.h - one erase of one slice with its evidence. A verified one, signed, is a certificate (cert/cert.h). */
#ifndef NSMITH_ERASURE_H
#define NSMITH_ERASURE_H

#include "base/jmap.h"
#include "model/drive.h"
#include "model/ids.h"

#define ERASE_METHODS(X)                                                                                               \
    X(ERASE_NONE, "none", "no method: nothing was erased")                                                             \
    X(ERASE_SANITIZE_NS, "sanitize-namespace", "Sanitize Namespace (8Ch), crypto erase of this namespace")             \
    X(ERASE_FORMAT_CRYPTO, "format-crypto", "Format NVM (80h), SES 2: cryptographic erase")                            \
    X(ERASE_FORMAT_USER, "format-user-data", "Format NVM (80h), SES 1: user data erase")                               \
    X(ERASE_OVERWRITE, "overwrite", "overwritten with random data by the host: clear only")                            \
    X(ERASE_SANITIZE, "sanitize", "Sanitize (84h) of the whole drive")

enum erase_method {
#define X(method, word, text) method,
    ERASE_METHODS(X)
#undef X
        ERASE_METHOD_COUNT
};

const char *erase_method_word(enum erase_method method);
const char *erase_method_text(enum erase_method method);

#define ERASE_VERDICTS(X)                                                                                              \
    X(ERASE_UNFINISHED, "unfinished")                                                                                  \
    X(ERASE_VERIFIED, "verified")       /* the drive said done, and reads prove it */                                  \
    X(ERASE_LIED, "not-erased")         /* the drive said done, and reads show old data */                             \
    X(ERASE_FAILED_STATUS, "failed")    /* the drive said no, or nothing in time */                                    \
    X(ERASE_UNREADABLE, "unverifiable") /* the drive said done, and reads fail */                                      \
    X(ERASE_REFUSED, "refused")         /* no method is safe for the neighbours */

enum erase_verdict {
#define X(verdict, word) verdict,
    ERASE_VERDICTS(X)
#undef X
        ERASE_VERDICT_COUNT
};

const char *erase_verdict_word(enum erase_verdict verdict);

struct erasure {
    struct erasure_id id;
    uint64_t seq; /* place in the agent's chain, from 1 without gaps */
    struct name host;
    struct drive_ident drive;
    char firmware[9];
    struct slice_id slice;
    uint64_t generation;
    struct nsid nsid;
    uint8_t nguid[16], eui64[8];
    uint64_t size_bytes;
    uint32_t block_bytes;
    enum erase_method method;
    enum erase_verdict verdict;
    uint16_t nvme_status;      /* the drive's answer, 0: success */
    uint64_t started_ms, drive_done_ms, ended_ms; /* Unix time */
    uint64_t markers;          /* blocks that held a planted marker, seen there before the erase */
    uint64_t old_sampled;      /* blocks of old content that were sampled before the erase */
    uint64_t checked;          /* blocks read afterwards */
    uint64_t found_old;        /* of those, blocks that still held old content */
    uint64_t found_zero;       /* of those, blocks of zeros */
    uint8_t sample_seed[16];   /* which blocks: see core/erase.h */
    char software[32];         /* "nsmith-agent 0.1.0" */
    char note[WHY_MAX];
    struct wear wear_out, wear_back; /* around the last tenant, as the drive counted: when it was handed out, and when
                                      * that one had let it go. Zeros: no tenant, or the drive does not count */
};

extern const struct jmap erasure_jmap;

#endif
