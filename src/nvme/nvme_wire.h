/* nvme_wire.h - NVMe as it is on the wire: opcodes, selectors, status codes and data structures.
 *
 * "Base" is the NVM Express Base Specification (2.0 unless another revision is named; figures are named by their
 * titles, for numbers differ between revisions), "NVM" the NVM Command Set Specification 1.0. What is newer than
 * Base 2.0 says so. Offsets were compared with nvme-cli 3.0-rc, libnvme/src/nvme/nvme-types-base.h.
 *   - All numbers are little-endian and kept as bytes (struct le16 and so on), so that no field can be read without a
 *     conversion, every structure has alignment 1, and a page may lie anywhere.
 *   - Fields that nobody here reads or fills are still named, up to the last one that somebody does. */
#ifndef NSMITH_NVME_WIRE_H
#define NSMITH_NVME_WIRE_H

#include <stddef.h>
#include <stdint.h>

/* --- Numbers ----------------------------------------------------------------------------------------------------- */

struct le16 {
    uint8_t b[2];
};

struct le32 {
    uint8_t b[4];
};

struct le64 {
    uint8_t b[8];
};

struct le128 {
    uint8_t b[16];
};

static inline uint16_t le16_read(const uint8_t *b)
{
    return (uint16_t)(b[0] | b[1] << 8);
}

static inline uint32_t le32_read(const uint8_t *b)
{
    return (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

static inline uint64_t le64_read(const uint8_t *b)
{
    return (uint64_t)le32_read(b) | (uint64_t)le32_read(b + 4) << 32;
}

static inline void le16_write(uint8_t *b, uint16_t value)
{
    b[0] = (uint8_t)(value & 0xff);
    b[1] = (uint8_t)(value >> 8);
}

static inline void le32_write(uint8_t *b, uint32_t value)
{
    le16_write(b, (uint16_t)(value & 0xffff));
    le16_write(b + 2, (uint16_t)(value >> 16));
}

static inline void le64_write(uint8_t *b, uint64_t value)
{
    le32_write(b, (uint32_t)(value & 0xffffffffu));
    le32_write(b + 4, (uint32_t)(value >> 32));
}

static inline uint16_t le16_get(struct le16 from)
{
    return le16_read(from.b);
}

static inline uint32_t le32_get(struct le32 from)
{
    return le32_read(from.b);
}

static inline uint64_t le64_get(struct le64 from)
{
    return le64_read(from.b);
}

/* Cut to 63 bits, for JSON's and SQL's integers are signed: what does not fit is INT64_MAX. */
static inline uint64_t le128_get(struct le128 from)
{
    const uint64_t low = le64_read(from.b);
    return le64_read(from.b + 8) != 0 || low > INT64_MAX ? INT64_MAX : low;
}

static inline struct le16 le16_of(uint16_t value)
{
    struct le16 to;
    le16_write(to.b, value);
    return to;
}

static inline struct le32 le32_of(uint32_t value)
{
    struct le32 to;
    le32_write(to.b, value);
    return to;
}

static inline struct le64 le64_of(uint64_t value)
{
    struct le64 to;
    le64_write(to.b, value);
    return to;
}

static inline struct le128 le128_of(uint64_t value)
{
    struct le128 to = {{0}};
    le64_write(to.b, value);
    return to;
}

/* --- Selectors --------------------------------------------------------------------------------------------------- */

#define NVME_NSID_ALL 0xffffffffu /* Base, section 3.2.1.2 "Broadcast NSID" */

/* Base, figure "Opcodes for Admin Commands"; 8Ch: Base 2.3. Bits 1:0 are the direction of the data:
 * 00b none, 01b to the controller, 10b from the controller, 11b both. */
enum nvme_admin_op {
    NVME_OP_DELETE_SQ = 0x00, /* PCIe only, as are the other three of queues */
    NVME_OP_CREATE_SQ = 0x01,
    NVME_OP_GET_LOG = 0x02,
    NVME_OP_DELETE_CQ = 0x04,
    NVME_OP_CREATE_CQ = 0x05,
    NVME_OP_IDENTIFY = 0x06,
    NVME_OP_ABORT = 0x08,
    NVME_OP_SET_FEATURES = 0x09,
    NVME_OP_GET_FEATURES = 0x0a,
    NVME_OP_EVENT_REQUEST = 0x0c,
    NVME_OP_NS_MANAGEMENT = 0x0d,
    NVME_OP_FW_COMMIT = 0x10,
    NVME_OP_FW_DOWNLOAD = 0x11,
    NVME_OP_NS_ATTACHMENT = 0x15,
    NVME_OP_KEEP_ALIVE = 0x18,
    NVME_OP_FABRICS = 0x7f, /* on all queues; the command is in byte 4 */
    NVME_OP_FORMAT = 0x80,
    NVME_OP_SANITIZE = 0x84,
    NVME_OP_SANITIZE_NS = 0x8c,
};

/* NVM, figure "Opcodes for NVM Commands". */
enum nvme_io_op {
    NVME_IO_FLUSH = 0x00,
    NVME_IO_WRITE = 0x01,
    NVME_IO_READ = 0x02,
    NVME_IO_WRITE_ZEROES = 0x08,
    NVME_IO_DSM = 0x09,
};

/* Base, figure "Identify - CNS Values"; 16h: NVM, section "Namespace Granularity List". CDW10 bits 7:0; bits 31:16
 * are CNTID. */
enum nvme_cns {
    NVME_CNS_NS = 0x00,
    NVME_CNS_CTRL = 0x01,
    NVME_CNS_ACTIVE_NS_LIST = 0x02, /* NSIDs greater than CDW1.NSID */
    NVME_CNS_NS_DESCRIPTORS = 0x03,
    NVME_CNS_ALLOCATED_NS_LIST = 0x10, /* NSIDs greater than CDW1.NSID */
    NVME_CNS_ALLOCATED_NS = 0x11,
    NVME_CNS_NS_CTRL_LIST = 0x12, /* controllers that NSID is attached to, from CNTID on */
    NVME_CNS_CTRL_LIST = 0x13,
    NVME_CNS_NS_GRANULARITY = 0x16,
};

/* Base, figure "Get Log Page - Log Page Identifiers"; 7Fh: Base 2.3 "Sanitize Namespace Status List". */
enum nvme_lid {
    NVME_LID_ERROR = 0x01,
    NVME_LID_SMART = 0x02,
    NVME_LID_FIRMWARE = 0x03,
    NVME_LID_CHANGED_NS = 0x04,
    NVME_LID_EFFECTS = 0x05,
    NVME_LID_DISCOVERY = 0x70,
    NVME_LID_SANITIZE_NS_LIST = 0x7f,
    NVME_LID_SANITIZE = 0x81,
};

/* Base, figure "Set Features - Feature Identifiers"; CDW10 bits 7:0. */
enum nvme_fid {
    NVME_FID_TEMPERATURE = 0x04,
    NVME_FID_QUEUES = 0x07,
    NVME_FID_COALESCING = 0x08,
    NVME_FID_VECTOR = 0x09,
    NVME_FID_EVENTS = 0x0b,
    NVME_FID_KEEP_ALIVE = 0x0f,
};

/* Get Log Page, CDW10 and CDW11: LID 7:0, LSP 14:8, RAE 15, NUMD (dwords less one) in 31:16 and CDW11 15:0. */
static inline uint32_t nvme_log_cdw10(enum nvme_lid lid, uint32_t bytes)
{
    return (uint32_t)lid | ((bytes / 4 - 1) & 0xffff) << 16;
}

static inline uint32_t nvme_log_cdw11(uint32_t bytes)
{
    return (bytes / 4 - 1) >> 16;
}

/* CDW10 bits 3:0 of Namespace Management and Namespace Attachment; CDW11 bits 31:24 of a create are the command set. */
enum nvme_ns_mgmt_sel { NVME_NS_CREATE = 0, NVME_NS_DELETE = 1 };
enum nvme_ns_attach_sel { NVME_NS_ATTACH = 0, NVME_NS_DETACH = 1 };

/* Format NVM CDW10: LBAFL 3:0, MSET 4, PI 7:5, PIL 8, SES 11:9, LBAFU 13:12. */
enum { NVME_FORMAT_MSET = 1 << 4, NVME_FORMAT_PI_SHIFT = 5, NVME_FORMAT_PIL = 1 << 8, NVME_FORMAT_SES_SHIFT = 9 };
enum nvme_ses { NVME_SES_NONE = 0, NVME_SES_USER_DATA = 1, NVME_SES_CRYPTO = 2 };

static inline uint32_t nvme_format_cdw10(unsigned lbaf, enum nvme_ses ses)
{
    return (lbaf & 0xfu) | (lbaf >> 4 & 0x3u) << 12 | (uint32_t)ses << NVME_FORMAT_SES_SHIFT;
}

static inline unsigned nvme_format_lbaf(uint32_t cdw10)
{
    return (cdw10 & 0xfu) | (cdw10 >> 12 & 0x3u) << 4;
}

static inline unsigned nvme_format_ses(uint32_t cdw10)
{
    return cdw10 >> NVME_FORMAT_SES_SHIFT & 0x7u;
}

/* Firmware Commit CDW10: FS 2:0, CA 5:3, BPID 31. Firmware Image Download: CDW10 is the number of dwords less one,
 * CDW11 the offset in dwords. */
enum nvme_fw_action {
    NVME_FW_REPLACE = 0,          /* what was downloaded goes into the slot, */
    NVME_FW_REPLACE_ACTIVATE = 1, /* and runs after the next reset */
    NVME_FW_ACTIVATE = 2,         /* what is in the slot runs after the next reset */
    NVME_FW_ACTIVATE_NOW = 3,     /* what was downloaded, else what is in the slot, runs at once */
};

static inline uint32_t nvme_fw_commit_cdw10(unsigned slot, enum nvme_fw_action action)
{
    return (slot & 0x7u) | (uint32_t)action << 3;
}

static inline unsigned nvme_fw_slot(uint32_t cdw10)
{
    return cdw10 & 0x7u;
}

static inline unsigned nvme_fw_action(uint32_t cdw10)
{
    return cdw10 >> 3 & 0x7u;
}

/* Sanitize CDW10: SANACT 2:0, AUSE 3, OWPASS 7:4, OIPBP 8, NDAS 9, EMVS 10 (Base 2.1). Sanitize Namespace (Base 2.3)
 * has SANACT, AUSE and EMVS at the same places and knows the actions 1, 4 and 5 only. Its progress is in the
 * Sanitize Status log (81h) read with the namespace's NSID. */
enum nvme_sanact {
    NVME_SANACT_EXIT_FAILURE = 1,
    NVME_SANACT_BLOCK = 2,
    NVME_SANACT_OVERWRITE = 3,
    NVME_SANACT_CRYPTO = 4,
    NVME_SANACT_EXIT_VERIFY = 5,
};
enum { NVME_SANITIZE_AUSE = 1 << 3 };

/* --- Status ------------------------------------------------------------------------------------------------------ */

/* SCT << 8 | SC. Base, figures "Generic Command Status Values", "Command Specific Status Values", "Media and Data
 * Integrity Error Values", "Path Related Status Values". */
enum nvme_status {
    NVME_ST_OK = 0x000,
    NVME_ST_INVALID_OPCODE = 0x001,
    NVME_ST_INVALID_FIELD = 0x002,
    NVME_ST_CID_CONFLICT = 0x003,
    NVME_ST_TRANSFER_ERROR = 0x004,
    NVME_ST_POWER_LOSS = 0x005,
    NVME_ST_INTERNAL = 0x006,
    NVME_ST_ABORTED = 0x007,
    NVME_ST_INVALID_NS = 0x00b,
    NVME_ST_SEQUENCE = 0x00c,
    NVME_ST_SGL_LENGTH = 0x00f,
    NVME_ST_SGL_TYPE = 0x011,
    NVME_ST_PRP_OFFSET = 0x013,
    NVME_ST_SGL_OFFSET = 0x016,
    NVME_ST_SANITIZE_FAILED = 0x01c,
    NVME_ST_SANITIZE_RUNNING = 0x01d,
    NVME_ST_WRITE_PROTECTED = 0x020,
    NVME_ST_INTERRUPTED = 0x021,
    NVME_ST_SANITIZE_NS_FAILED = 0x02b,  /* Base 2.3 */
    NVME_ST_SANITIZE_NS_RUNNING = 0x02c, /* Base 2.3 */
    NVME_ST_LBA_RANGE = 0x080,
    NVME_ST_CAPACITY_EXCEEDED = 0x081,
    NVME_ST_NS_NOT_READY = 0x082,
    NVME_ST_FORMAT_RUNNING = 0x084,
    NVME_ST_CQ_INVALID = 0x100,
    NVME_ST_QUEUE_ID = 0x101,
    NVME_ST_QUEUE_SIZE = 0x102,
    NVME_ST_EVENT_LIMIT = 0x105,
    NVME_ST_FW_SLOT = 0x106,
    NVME_ST_FW_IMAGE = 0x107,
    NVME_ST_VECTOR = 0x108,
    NVME_ST_INVALID_LOG_PAGE = 0x109,
    NVME_ST_INVALID_FORMAT = 0x10a,
    NVME_ST_FW_NEEDS_CONVENTIONAL_RESET = 0x10b, /* this, 110h and 111h: committed, but not active yet */
    NVME_ST_QUEUE_DELETION = 0x10c,
    NVME_ST_FEATURE_NOT_OF_NS = 0x10f,
    NVME_ST_FW_NEEDS_SUBSYSTEM_RESET = 0x110,
    NVME_ST_FW_NEEDS_CTRL_RESET = 0x111,
    NVME_ST_FW_MAX_TIME = 0x112,   /* would take longer than MTFA: activate it by a reset */
    NVME_ST_FW_PROHIBITED = 0x113, /* the drive does not want to run it */
    NVME_ST_FW_OVERLAP = 0x114,
    NVME_ST_NS_NO_CAPACITY = 0x115,
    NVME_ST_NS_NO_ID = 0x116,
    NVME_ST_NS_ATTACHED = 0x118,
    NVME_ST_NS_PRIVATE = 0x119,
    NVME_ST_NS_NOT_ATTACHED = 0x11a,
    NVME_ST_NS_NO_THIN = 0x11b,
    NVME_ST_CTRL_LIST_INVALID = 0x11c,
    NVME_ST_SANITIZE_NS_LIMIT = 0x13c, /* Base 2.3: Request Exceeds Maximum Namespace Sanitize Operations In Progress */
    NVME_ST_CONNECT_FORMAT = 0x180,    /* of Connect and Disconnect, until 185h */
    NVME_ST_CONNECT_BUSY = 0x181,
    NVME_ST_CONNECT_PARAMETERS = 0x182,
    NVME_ST_CONNECT_HOST = 0x184,
    NVME_ST_QUEUE_TYPE = 0x185,
    NVME_ST_WRITE_FAULT = 0x280,
    NVME_ST_READ_ERROR = 0x281,
    NVME_ST_ACCESS_DENIED = 0x286,
    NVME_ST_DEALLOCATED = 0x287,
    NVME_ST_PATH_ERROR = 0x300,
    NVME_ST_HOST_PATH_ERROR = 0x370,
    NVME_ST_HOST_ABORTED = 0x371,
};

enum { NVME_STATUS_DNR = 0x4000, NVME_STATUS_MASK = 0x7ff }; /* SCT 10:8, SC 7:0; above: CRD, More, Do Not Retry */

/* --- Identify ---------------------------------------------------------------------------------------------------- */

enum { NVME_PAGE = 4096, NVME_VERSION_2_0 = 0x00020000 };

/* Bits of struct nvme_wire_ctrl. */
enum {
    NVME_SGLS_OFFSET = 1 << 20, /* in-capsule data */
    NVME_SGLS_ANY = 1 << 0,     /* SGLs without alignment */
    NVME_CMIC_MULTI_PORT = 1 << 0,
    NVME_CMIC_MULTI_CTRL = 1 << 1,
    NVME_CTRATT_GRANULARITY = 1 << 7,
    NVME_OAES_NS_CHANGED = 1 << 8,
    NVME_OACS_FORMAT = 1 << 1,
    NVME_OACS_FIRMWARE = 1 << 2,
    NVME_OACS_NS_MANAGEMENT = 1 << 3,
    NVME_FRMW_SLOT1_READ_ONLY = 1 << 0,
    NVME_FRMW_SLOTS_SHIFT = 1, /* bits 3:1, from 1 to 7 */
    NVME_FRMW_SLOTS_MASK = 7 << 1,
    NVME_FRMW_NO_RESET = 1 << 4, /* activation without a reset */
    NVME_FWUG_ANY = 0xff,        /* no restriction; 0: not told; else in units of 4 KiB */
    NVME_LPA_SMART_NS = 1 << 0,  /* the SMART log can be read of one namespace */
    NVME_LPA_EFFECTS = 1 << 1,
    NVME_LPA_EXTENDED = 1 << 2,
    NVME_ONCS_DSM = 1 << 2,
    NVME_ONCS_WRITE_ZEROES = 1 << 3,
    NVME_FNA_FORMAT_ALL = 1 << 0,
    NVME_FNA_ERASE_ALL = 1 << 1,
    NVME_FNA_CRYPTO = 1 << 2,
    NVME_FNA_NO_BROADCAST = 1 << 3,
    NVME_SANICAP_CRYPTO = 1 << 0,
    NVME_SANICAP_BLOCK = 1 << 1,
    NVME_SANICAP_OVERWRITE = 1 << 2,
};

/* Base, figure "Identify - Identify Controller Data Structure, I/O Command Set Independent". */
struct nvme_wire_ctrl {
    struct le16 vid, ssvid;
    char sn[20], mn[40], fr[8];
    uint8_t rab, ieee[3], cmic, mdts;
    struct le16 cntlid;
    struct le32 ver, rtd3r, rtd3e, oaes, ctratt;
    struct le16 rrls;
    uint8_t reserved102[9], cntrltype, fguid[16];
    struct le16 crdt[3];
    uint8_t reserved134[119], nvmsr, vwci, mec;
    struct le16 oacs;
    uint8_t acl, aerl, frmw, lpa, elpe, npss, avscc, apsta;
    struct le16 wctemp, cctemp, mtfa;
    struct le32 hmpre, hmmin;
    struct le128 tnvmcap, unvmcap;
    struct le32 rpmbs;
    struct le16 edstt;
    uint8_t dsto, fwug;
    struct le16 kas, hctma, mntmt, mxtmt;
    struct le32 sanicap, hmminds;
    struct le16 hmmaxd, nsetidmax, endgidmax;
    uint8_t anatt, anacap;
    struct le32 anagrpmax, nanagrpid, pels;
    struct le16 domainid;
    uint8_t reserved358[154], sqes, cqes;
    struct le16 maxcmd;
    struct le32 nn;
    struct le16 oncs, fuses;
    uint8_t fna, vwc;
    struct le16 awun, awupf;
    uint8_t icsvscc, nwpc;
    struct le16 acwu, cdfs;
    struct le32 sgls, mnan;
    struct le128 maxdna;
    struct le32 maxcna;
    uint8_t reserved564[204];
    char subnqn[256];
    uint8_t reserved1024[768];
    struct le32 ioccsz, iorcsz; /* from here to 2047: NVMe over Fabrics */
    struct le16 icdoff;
    uint8_t fcatt, msdbd;
    struct le16 ofcs;
    uint8_t dctype, reserved1807[241], psd[32][32], vendor[1024];
};
_Static_assert(sizeof(struct nvme_wire_ctrl) == NVME_PAGE, "Identify Controller");
_Static_assert(offsetof(struct nvme_wire_ctrl, fr) == 64, "FR");
_Static_assert(offsetof(struct nvme_wire_ctrl, cmic) == 76, "CMIC");
_Static_assert(offsetof(struct nvme_wire_ctrl, cntlid) == 78, "CNTLID");
_Static_assert(offsetof(struct nvme_wire_ctrl, ctratt) == 96, "CTRATT");
_Static_assert(offsetof(struct nvme_wire_ctrl, cntrltype) == 111, "CNTRLTYPE");
_Static_assert(offsetof(struct nvme_wire_ctrl, oacs) == 256, "OACS");
_Static_assert(offsetof(struct nvme_wire_ctrl, frmw) == 260, "FRMW");
_Static_assert(offsetof(struct nvme_wire_ctrl, lpa) == 261, "LPA");
_Static_assert(offsetof(struct nvme_wire_ctrl, mtfa) == 270, "MTFA");
_Static_assert(offsetof(struct nvme_wire_ctrl, tnvmcap) == 280, "TNVMCAP");
_Static_assert(offsetof(struct nvme_wire_ctrl, unvmcap) == 296, "UNVMCAP");
_Static_assert(offsetof(struct nvme_wire_ctrl, fwug) == 319, "FWUG");
_Static_assert(offsetof(struct nvme_wire_ctrl, kas) == 320, "KAS");
_Static_assert(offsetof(struct nvme_wire_ctrl, sanicap) == 328, "SANICAP");
_Static_assert(offsetof(struct nvme_wire_ctrl, domainid) == 356, "DOMAINID");
_Static_assert(offsetof(struct nvme_wire_ctrl, sqes) == 512, "SQES");
_Static_assert(offsetof(struct nvme_wire_ctrl, nn) == 516, "NN");
_Static_assert(offsetof(struct nvme_wire_ctrl, oncs) == 520, "ONCS");
_Static_assert(offsetof(struct nvme_wire_ctrl, fna) == 524, "FNA");
_Static_assert(offsetof(struct nvme_wire_ctrl, sgls) == 536, "SGLS");
_Static_assert(offsetof(struct nvme_wire_ctrl, mnan) == 540, "MNAN");
_Static_assert(offsetof(struct nvme_wire_ctrl, subnqn) == 768, "SUBNQN");
_Static_assert(offsetof(struct nvme_wire_ctrl, ioccsz) == 1792, "IOCCSZ");
_Static_assert(offsetof(struct nvme_wire_ctrl, psd) == 2048, "PSD");

/* NVM, figure "LBA Format Data Structure". RP is in bits 1:0 of rp. */
struct nvme_wire_lbaf {
    struct le16 ms;
    uint8_t lbads; /* the block is 2^LBADS bytes; 0: not available */
    uint8_t rp;
};
_Static_assert(sizeof(struct nvme_wire_lbaf) == 4, "LBA format");

enum { NVME_WIRE_LBAF_MAX = 64 };

enum {
    NVME_NMIC_SHARED = 1 << 0,
    NVME_FPI_SUPPORTED = 1 << 7,
    NVME_FPI_REMAINING = 0x7f, /* percent that remain to be formatted */
    NVME_FLBAS_LOW = 0x0f,     /* bits 3:0 of the LBA format index */
    NVME_FLBAS_EXTENDED = 1 << 4,
    NVME_FLBAS_HIGH_SHIFT = 5, /* bits 6:5 of FLBAS are bits 5:4 of the index */
    NVME_NSATTR_WRITE_PROTECTED = 1 << 0,
};

/* NVM, figure "Identify - Identify Namespace Data Structure, NVM Command Set". */
struct nvme_wire_ns {
    struct le64 nsze, ncap, nuse;
    uint8_t nsfeat, nlbaf /* less one */, flbas, mc, dpc, dps, nmic, rescap, fpi, dlfeat;
    struct le16 nawun, nawupf, nacwu, nabsn, nabo, nabspf, noiob;
    struct le128 nvmcap;
    struct le16 npwg, npwa, npdg, npda, nows, mssrl;
    struct le32 mcl;
    uint8_t msrc, reserved81, nulbaf, reserved83[9];
    struct le32 anagrpid;
    uint8_t reserved96[3], nsattr;
    struct le16 nvmsetid, endgid;
    uint8_t nguid[16], eui64[8]; /* big-endian, as printed */
    struct nvme_wire_lbaf lbaf[NVME_WIRE_LBAF_MAX];
    uint8_t vendor[3712];
};
_Static_assert(sizeof(struct nvme_wire_ns) == NVME_PAGE, "Identify Namespace");
_Static_assert(offsetof(struct nvme_wire_ns, nlbaf) == 25, "NLBAF");
_Static_assert(offsetof(struct nvme_wire_ns, flbas) == 26, "FLBAS");
_Static_assert(offsetof(struct nvme_wire_ns, dps) == 29, "DPS");
_Static_assert(offsetof(struct nvme_wire_ns, nmic) == 30, "NMIC");
_Static_assert(offsetof(struct nvme_wire_ns, fpi) == 32, "FPI");
_Static_assert(offsetof(struct nvme_wire_ns, dlfeat) == 33, "DLFEAT");
_Static_assert(offsetof(struct nvme_wire_ns, nvmcap) == 48, "NVMCAP");
_Static_assert(offsetof(struct nvme_wire_ns, anagrpid) == 92, "ANAGRPID");
_Static_assert(offsetof(struct nvme_wire_ns, nsattr) == 99, "NSATTR");
_Static_assert(offsetof(struct nvme_wire_ns, nguid) == 104, "NGUID");
_Static_assert(offsetof(struct nvme_wire_ns, eui64) == 120, "EUI64");
_Static_assert(offsetof(struct nvme_wire_ns, lbaf) == 128, "LBAF0");

/* NVM, figure "Namespace Management - Host Software Specified Fields": the page of a create. */
struct nvme_wire_create {
    struct le64 nsze, ncap;
    uint8_t reserved16[10], flbas, reserved27[2], dps, nmic, reserved31[61];
    struct le32 anagrpid;
    uint8_t reserved96[4];
    struct le16 nvmsetid, endgid;
    uint8_t reserved104[3992];
};
_Static_assert(sizeof(struct nvme_wire_create) == NVME_PAGE, "create");
_Static_assert(offsetof(struct nvme_wire_create, flbas) == 26, "FLBAS");
_Static_assert(offsetof(struct nvme_wire_create, dps) == 29, "DPS");
_Static_assert(offsetof(struct nvme_wire_create, nmic) == 30, "NMIC");
_Static_assert(offsetof(struct nvme_wire_create, anagrpid) == 92, "ANAGRPID");
_Static_assert(offsetof(struct nvme_wire_create, nvmsetid) == 100, "NVMSETID");

/* Base, figure "Identify - Namespace Identification Descriptor": this head, then NIDL bytes. A list ends at the page's
 * end or at NIDL 0. */
struct nvme_wire_ns_desc {
    uint8_t nidt, nidl, reserved2[2];
};
_Static_assert(sizeof(struct nvme_wire_ns_desc) == 4, "namespace identification descriptor");
enum nvme_nidt { NVME_NIDT_EUI64 = 1, NVME_NIDT_NGUID = 2, NVME_NIDT_UUID = 3, NVME_NIDT_CSI = 4 };

/* Base, figure "Controller List Format". */
enum { NVME_WIRE_CTRLS_MAX = 2047 };
struct nvme_wire_ctrl_list {
    struct le16 count, cntlid[NVME_WIRE_CTRLS_MAX];
};
_Static_assert(sizeof(struct nvme_wire_ctrl_list) == NVME_PAGE, "controller list");

/* Base, figure "Namespace List Format": ascending, ends at the page's end or at 0. */
enum { NVME_WIRE_NSIDS_MAX = 1024 };
struct nvme_wire_ns_list {
    struct le32 nsid[NVME_WIRE_NSIDS_MAX];
};
_Static_assert(sizeof(struct nvme_wire_ns_list) == NVME_PAGE, "namespace list");

/* NVM, figures "Namespace Granularity List" and "Namespace Granularity Descriptor". In bytes. */
enum { NVME_WIRE_GRANULARITY_MAX = 16, NVME_NGA_PER_FORMAT = 1 << 0 };
struct nvme_wire_granularity {
    struct le32 attributes; /* bit 0: descriptor n is of LBA format n; else the first is of all */
    uint8_t count;          /* less one */
    uint8_t reserved5[27];
    struct {
        struct le64 nszeg, ncapg;
    } at[NVME_WIRE_GRANULARITY_MAX];
    uint8_t reserved288[3808];
};
_Static_assert(sizeof(struct nvme_wire_granularity) == NVME_PAGE, "namespace granularity list");
_Static_assert(offsetof(struct nvme_wire_granularity, at) == 32, "descriptors");

/* --- Logs -------------------------------------------------------------------------------------------------------- */

/* Base, figure "SMART / Health Information Log Page". */
struct nvme_wire_smart {
    uint8_t critical_warning;
    struct le16 temperature; /* kelvin */
    uint8_t available_spare, spare_threshold, percentage_used, endurance_summary, reserved7[25];
    struct le128 units_read, units_written, host_reads, host_writes, busy_minutes, power_cycles, power_on_hours,
        unsafe_shutdowns, media_errors, error_entries;
    struct le32 warning_minutes, critical_minutes;
    struct le16 sensor[8];
    uint8_t reserved216[296];
};
_Static_assert(sizeof(struct nvme_wire_smart) == 512, "SMART log");
_Static_assert(offsetof(struct nvme_wire_smart, units_read) == 32, "data units read");
_Static_assert(offsetof(struct nvme_wire_smart, power_on_hours) == 128, "power on hours");
_Static_assert(offsetof(struct nvme_wire_smart, media_errors) == 160, "media errors");
_Static_assert(offsetof(struct nvme_wire_smart, sensor) == 200, "temperature sensors");

/* Base, figure "Firmware Slot Information Log". AFI: bits 2:0 the active slot, 6:4 the one that is active after the
 * next reset, 0: the drive does not say. A revision of zeros: the slot is empty. */
enum { NVME_AFI_MASK = 7, NVME_AFI_NEXT_SHIFT = 4 };
struct nvme_wire_firmware {
    uint8_t afi, reserved1[7];
    char revision[7][8]; /* of slots 1 to 7 */
    uint8_t reserved64[448];
};
_Static_assert(sizeof(struct nvme_wire_firmware) == 512, "firmware slot log");

/* Base, figure "Error Information Log Entry". */
struct nvme_wire_error {
    struct le64 count; /* 0: no entry */
    struct le16 sqid, cid, status /* with the phase bit: status << 1 */, location;
    struct le64 lba;
    struct le32 nsid;
    uint8_t vendor, trtype, csi, opcode;
    struct le64 specific;
    struct le16 trtype_specific;
    uint8_t reserved42[21], version;
};
_Static_assert(sizeof(struct nvme_wire_error) == 64, "error log entry");
_Static_assert(offsetof(struct nvme_wire_error, lba) == 16, "LBA");
_Static_assert(offsetof(struct nvme_wire_error, specific) == 32, "command specific information");

/* Base, figures "Commands Supported and Effects Log Page" and "... Data Structure". */
enum {
    NVME_EFFECT_SUPPORTED = 1 << 0,
    NVME_EFFECT_CONTENT = 1 << 1,    /* LBCC */
    NVME_EFFECT_CAPABILITY = 1 << 2, /* NCC */
    NVME_EFFECT_INVENTORY = 1 << 3,  /* NIC: the kernel looks at the namespaces again */
    NVME_EFFECT_CTRL_CAP = 1 << 4,   /* CCC */
    NVME_EFFECT_CSE_SHIFT = 16,      /* 18:16: 001b one command a namespace, 010b a controller */
};
struct nvme_wire_effects {
    struct le32 admin[256], io[256];
    uint8_t reserved2048[2048];
};
_Static_assert(sizeof(struct nvme_wire_effects) == NVME_PAGE, "effects log");
_Static_assert(offsetof(struct nvme_wire_effects, io) == 1024, "I/O commands");

/* Base, figure "Sanitize Status Log Page"; etpvds and ssi: Base 2.1; mnsoip and stnsid: Base 2.3. Read with the NSID of
 * a namespace it tells of that namespace and names it in stnsid; of the NVM subsystem stnsid is 0. */
enum {
    NVME_SSTAT_MASK = 0x7,
    NVME_SSTAT_NEVER = 0,
    NVME_SSTAT_DONE = 1,
    NVME_SSTAT_RUNNING = 2,
    NVME_SSTAT_FAILED = 3,
    NVME_SSTAT_DONE_DEALLOCATED = 4,
    NVME_SSTAT_PASSES_SHIFT = 3,       /* 7:3 completed passes of an overwrite */
    NVME_SSTAT_GLOBAL_ERASED = 1 << 8, /* nothing was written since, or ever */
};
struct nvme_wire_sanitize {
    struct le16 sprog; /* done, in 1/65536; FFFFh while nothing runs */
    struct le16 sstat;
    struct le32 scdw10, eto, etbe, etce, etond, etbend, etcend, etpvds;
    uint8_t ssi, reserved37[3];
    struct le32 mnsoip; /* how many namespaces may be sanitized at once */
    struct le32 stnsid; /* of whom this page tells */
    uint8_t reserved48[464];
};
_Static_assert(sizeof(struct nvme_wire_sanitize) == 512, "sanitize log");
_Static_assert(offsetof(struct nvme_wire_sanitize, scdw10) == 4, "SCDW10");
_Static_assert(offsetof(struct nvme_wire_sanitize, ssi) == 36, "SSI");
_Static_assert(offsetof(struct nvme_wire_sanitize, stnsid) == 44, "STNSID");

#endif
