/* poke - somebody else's hands on a software drive: namespace management past the agent.
 *
 *   poke SOCKET SERIAL create BYTES LBAF   prints the NSID; it is attached to no controller
 *   poke SOCKET SERIAL delete|attach|detach NSID */
#include "base/text.h"
#include "nvme/nvme_drive.h"
#include "nvme/nvme_wire.h"

#include <stdio.h>
#include <string.h>

struct poke {
    struct nvme_dev *dev;
    struct drive_seen seen;
};

static bool drive_open(const char *socket, const char *serial, struct poke *poke, struct err *err)
{
    struct nvme_port port;
    struct nvme_names names;
    if (!nvme_softclient_open(socket, &port, err) || !port.list(port.self, &names, err))
        return false;
    for (size_t i = 0; i < names.count; i++) {
        if (!port.open(port.self, names.at[i], &poke->dev, err) || !nvme_scan(poke->dev, &poke->seen, err))
            return false;
        if (strcmp(poke->seen.ident.serial, serial) == 0)
            return true;
        nvme_dev_close(poke->dev);
    }
    return err_set(err, ERR_MISSING, "cannot poke '%s': there is no such drive", serial);
}

static bool create(struct poke *poke, uint64_t bytes, uint64_t lbaf, struct err *err)
{
    struct nsid nsid;
    if (lbaf >= poke->seen.caps.lbaf_count)
        return err_set(err, ERR_INPUT, "cannot create a namespace: there is no LBA format %ju", (uintmax_t)lbaf);
    const struct nvme_ns_spec spec = {.size_blocks = bytes / poke->seen.caps.lbaf[lbaf].block_bytes,
                                      .lbaf = (uint8_t)lbaf};
    if (!nvme_create(poke->dev, &poke->seen.ident, &spec, &nsid, err))
        return false;
    printf("%u\n", nsid.v);
    return true;
}

/* By hand: what the agent has for it refuses more than a drive does. */
static bool manage(struct poke *poke, uint8_t opcode, uint32_t sel, uint32_t nsid, struct err *err)
{
    uint16_t list[2048] __attribute__((aligned(4096))) = {1, poke->seen.caps.cntlid}; /* Controller List */
    struct nvme_cmd cmd = {.opcode = opcode, .nsid = nsid, .cdw10 = sel, .timeout_ms = NVME_TIMEOUT_MS};
    if (opcode == NVME_OP_NS_ATTACHMENT) {
        cmd.data = list;
        cmd.data_len = sizeof(list);
    }
    return poke->dev->ops->admin(poke->dev, &cmd, err);
}

static bool order(struct poke *poke, const char *what, uint32_t nsid, struct err *err)
{
    struct err attached_nowhere = {0};
    if (strcmp(what, "attach") == 0)
        return manage(poke, NVME_OP_NS_ATTACHMENT, NVME_NS_ATTACH, nsid, err);
    if (strcmp(what, "detach") == 0)
        return manage(poke, NVME_OP_NS_ATTACHMENT, NVME_NS_DETACH, nsid, err);
    if (strcmp(what, "delete") != 0)
        return err_set(err, ERR_INPUT, "cannot %s: it is create, delete, attach or detach", what);
    manage(poke, NVME_OP_NS_ATTACHMENT, NVME_NS_DETACH, nsid, &attached_nowhere);
    return manage(poke, NVME_OP_NS_MANAGEMENT, NVME_NS_DELETE, nsid, err);
}

static bool poke_run(int argc, char **argv, struct err *err)
{
    static struct poke poke;
    uint64_t first, second = 0;
    if (argc < 5 || !text_u64(argv[4], &first) || (argc > 5 && !text_u64(argv[5], &second)))
        return err_set(err, ERR_INPUT, "usage: poke SOCKET SERIAL create BYTES LBAF | delete|attach|detach NSID");
    if (!drive_open(argv[1], argv[2], &poke, err))
        return false;
    return strcmp(argv[3], "create") == 0 ? create(&poke, first, second, err)
                                          : order(&poke, argv[3], (uint32_t)first, err);
}

int main(int argc, char **argv)
{
    struct err err = {0};
    if (poke_run(argc, argv, &err))
        return 0;
    fprintf(stderr, "poke: %s\n", err.msg);
    return err_kind_exit(err.kind);
}
