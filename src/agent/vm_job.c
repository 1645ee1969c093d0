#include "agent/vm_job.h"

#include "base/text.h"

void vm_job_fill(struct host *host, const struct order *order, struct vm_job *out)
{
    *out = (struct vm_job){0};
    const struct host_vm *vm = host_vm_find(host, &order->vm);
    if (vm == NULL)
        return;
    out->spec = vm->want.spec;
    for (size_t i = 0; i < vm->want.slice_count; i++) {
        const struct host_slice *slice = host_slice_find(host, &vm->want.slices[i]);
        if (slice == NULL)
            continue;
        struct domain_slice *disk = &out->slices[out->slice_count++];
        *disk = (struct domain_slice){.id = slice->slice.id,
                                      .block_device = slice->block_device,
                                      .block_bytes = slice->slice.block_bytes,
                                      .size_bytes = slice->slice.size_bytes,
                                      .dev = slice->dev,
                                      .ino = slice->ino,
                                      .rdev = slice->rdev};
        text_cut(disk->path, sizeof(disk->path), slice->slice.path);
    }
}
