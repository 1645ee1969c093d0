/* nvme_ask.h - questions to a drive: one Identify or Get Log each, or a question and its substitute where drives
 * differ. They change nothing.
 *   - A drive that refuses a question it need not answer gets the older question, or a default that allows less.
 *   - Every other failure is passed on. */
#ifndef NSMITH_NVME_ASK_H
#define NSMITH_NVME_ASK_H

#include "nvme/nvme_codec.h"
#include "nvme/nvme_port.h"

/* A command that the kernel times out makes it reset the controller, which every tenant of the drive feels. So
 * questions get what the kernel gives its own (nvme_core.admin_timeout, 60 s), and changes get far longer. */
enum { NVME_ASK_MS = 60000, NVME_CHANGE_MS = 600000 };

/* One page of any kind; the kernel copies less where it is aligned. */
union nvme_page {
    _Alignas(64) uint8_t bytes[NVME_PAGE];
    struct nvme_wire_create create;
    struct nvme_wire_ctrl_list ctrls;
};

bool nvme_identify(struct nvme_dev *dev, enum nvme_cns cns, uint32_t nsid, union nvme_page *page, struct err *err);
bool nvme_get_log(struct nvme_dev *dev, enum nvme_lid lid, uint32_t nsid, uint32_t bytes, union nvme_page *page,
                  struct err *err);
/* The drive understood the question and does not answer it: it cannot, or there is no such thing. */
bool nvme_not_offered(const struct err *err);

bool nvme_ask_ctrl(struct nvme_dev *dev, struct nvme_ctrl_page *out, struct err *err);
/* The namespaces that are attached to this controller. */
bool nvme_ask_active(struct nvme_dev *dev, struct nvme_nsids *out, struct err *err);
/* All namespaces of the drive. *complete is false when only those of this controller are known, for drives without
 * namespace management may refuse the list of the allocated ones (Base, CNS 10h). */
bool nvme_ask_all(struct nvme_dev *dev, const struct drive_caps *caps, struct nvme_nsids *out, bool *complete,
                  struct err *err);
/* What namespace nsid is. CNS 11h describes attached and other ones alike; without namespace management there is
 * CNS 00h. ERR_MISSING when the drive has none of that NSID; err->nvme is then Invalid Namespace when the drive
 * describes only what is attached. */
bool nvme_ask_ns(struct nvme_dev *dev, const struct drive_caps *caps, struct nsid nsid, struct nvme_ns_page *out,
                 struct err *err);
bool nvme_id_is_none(const uint8_t *id, size_t len); /* NGUID or EUI64 of zeros */
/* Whether the drive lists an admin command in its commands supported log. A drive without the log lists none. */
bool nvme_ask_supported(struct nvme_dev *dev, const struct nvme_ctrl_page *ctrl, enum nvme_admin_op op, bool *out,
                        struct err *err);

#endif
