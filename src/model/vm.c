#include "model/vm.h"

#include "base/must.h"
#include "base/text.h"

const char *const datapath_words[DATAPATH_COUNT] = {
#define X(path, word) word,
    DATAPATHS(X)
#undef X
};

const char *const spread_words[SPREAD_COUNT] = {
#define X(spread, word) word,
    SPREADS(X)
#undef X
};

static const char *const power_words[] = {
#define X(power, word) word,
    VM_POWERS(X)
#undef X
};

const char *vm_power_word(enum vm_power power)
{
    must(power < VM_POWER_COUNT);
    return power_words[power];
}

static bool name_check(const char *what, const struct name *name, struct err *err)
{
    if (text_is_name(name->v, NAME_MAX_LEN))
        return true;
    err_set(err, ERR_INPUT,
            "cannot use '%s' as the name of a %s: it must be 1 to %d letters, digits, '.', '_' or '-', "
            "beginning with a letter or digit",
            name->v, what, NAME_MAX_LEN);
    return err_hint(err, "choose another name");
}

static bool size_check(const char *what, const char *name, uint32_t vcpus, uint64_t memory_bytes, struct err *err)
{
    static const uint64_t mib = 1u << 20;
    if (vcpus < 1 || vcpus > 512)
        return err_set(err, ERR_INPUT, "cannot use %s '%s': vcpus is %u, must be 1 to 512", what, name, vcpus);
    if (memory_bytes < 16 * mib || memory_bytes > (16ull << 40) || memory_bytes % mib != 0)
        return err_set(err, ERR_INPUT, "cannot use %s '%s': memory must be whole MiB, from 16 MiB to 16 TiB", what,
                       name);
    return true;
}

bool flavor_check(const struct flavor *flavor, struct err *err)
{
    if (!name_check("flavor", &flavor->name, err) || !name_check("slice class", &flavor->class, err) ||
        !size_check("flavor", flavor->name.v, flavor->vcpus, flavor->memory_bytes, err))
        return false;
    if (flavor->slices < 1 || flavor->slices > CLAIM_SLICES_MAX)
        return err_set(err, ERR_INPUT, "cannot use flavor '%s': slices is %u, must be 1 to %d", flavor->name.v,
                       flavor->slices, CLAIM_SLICES_MAX);
    return true;
}

static bool path_check(const char *what, const char *path, struct err *err)
{
    for (const char *c = path; *c != '\0'; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f) { /* XML 1.0 cannot carry it: the VM would never start */
            err_set(err, ERR_INPUT, "cannot use the path of the %s: it holds a control character", what);
            return err_hint(err, "rename the file");
        }
    if (path[0] == '\0' || path[0] == '/')
        return true;
    err_set(err, ERR_INPUT, "cannot use %s '%s': it is not an absolute path", what, path);
    return err_hint(err, "give the path on the host from / on");
}

bool vm_spec_check(const struct vm_spec *spec, struct err *err)
{
    if (!name_check("VM", &spec->name, err) || !size_check("VM", spec->name.v, spec->vcpus, spec->memory_bytes, err) ||
        !path_check("image", spec->image, err) || !path_check("kernel", spec->kernel, err) ||
        !path_check("initrd", spec->initrd, err))
        return false;
    if (spec->network.v[0] != '\0' && !name_check("network", &spec->network, err))
        return false;
    if (spec->image[0] == '\0' && spec->kernel[0] == '\0') {
        err_set(err, ERR_INPUT, "cannot make VM '%s': it has nothing to boot from", spec->name.v);
        return err_hint(err, "give --image FILE or --kernel FILE");
    }
    if (spec->kernel[0] == '\0' && (spec->initrd[0] != '\0' || spec->cmdline[0] != '\0'))
        return err_set(err, ERR_INPUT, "cannot make VM '%s': initrd and cmdline need a kernel", spec->name.v);
    for (const char *c = spec->cmdline; *c != '\0'; c++)
        if (*c < ' ' || *c > '~')
            return err_set(err, ERR_INPUT, "cannot make VM '%s': cmdline holds a character that is not printable ASCII",
                           spec->name.v);
    return true;
}

static const struct jfield flavor_fields[] = {
    {JID(struct flavor, name)},
    {JU32(struct flavor, vcpus)},
    {JU64(struct flavor, memory_bytes)},
    {JU32(struct flavor, slices)},
    {JID(struct flavor, class)},
    {JENUM(struct flavor, datapath, datapath_words), .optional = true},
    {JENUM(struct flavor, spread, spread_words), .optional = true},
};
const struct jmap flavor_jmap = JMAP(struct flavor, flavor_fields);

static const struct jfield spec_fields[] = {
    {JID(struct vm_spec, name)},
    {JID(struct vm_spec, uuid)},
    {JU32(struct vm_spec, vcpus)},
    {JU64(struct vm_spec, memory_bytes)},
    {JENUM(struct vm_spec, datapath, datapath_words)},
    {JSTR(struct vm_spec, image), .optional = true},
    {JSTR(struct vm_spec, kernel), .optional = true},
    {JSTR(struct vm_spec, initrd), .optional = true},
    {JSTR(struct vm_spec, cmdline), .optional = true},
    {JID(struct vm_spec, network), .optional = true},
    {JBOOL(struct vm_spec, autostart)},
};
const struct jmap vm_spec_jmap = JMAP(struct vm_spec, spec_fields);
