/* Is KVM worth using here? /dev/kvm alone proves little: where the host is a guest itself, KVM may do its work without
 * the processor's help. Then a boot sector runs, and a kernel takes minutes to unpack itself.
 *
 * So a small guest does what is slow there: it switches to 64-bit mode with paging, fills 32 MiB of memory and
 * executes CPUID a thousand times, each of which leaves the guest. Plain emulation needs 0.2 s for it, with QEMU's own
 * start; KVM without help was seen to need 7 s. Slower than ten times emulation is "no KVM". What this does not prove:
 * interrupts, many processors, devices. */
#include "virt/virt_libvirt_priv.h"

#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PATIENCE_MS = 2000, GUEST_SAYS_DONE = 1 };

#ifdef __x86_64__
/* A kernel by the Multiboot Specification 0.6.96, section 3.1: with bit 16 of the flags the header says where it is to
 * be loaded (1 MiB) and where it begins, in 32-bit mode. Page tables at 2 MiB map the first 128 MiB one to one, by
 * pages of 2 MiB (Intel SDM volume 3, sections 4.5 and 9.8.5). The end is a write of 1 to QEMU's isa-debug-exit. */
__asm__(".pushsection .rodata, \"a\", @progbits\n"
        ".set load, 0x100000\n"
        ".set tables, 0x200000\n"
        ".set area, 0x1000000\n"
        ".set area_bytes, 0x2000000\n"
        ".set page_bytes, 0x1000\n"
        ".code32\n"
        "lv_kvm_guest:\n"
        "  .long 0x1badb002, 0x10000, 0 - 0x1badb002 - 0x10000\n"
        "  .long load, load, load + lv_kvm_guest_end - lv_kvm_guest\n"
        "  .long load + lv_kvm_guest_end - lv_kvm_guest, load + kvm_entry - lv_kvm_guest\n"
        "kvm_gdt:\n"
        "  .quad 0, 0x00af9a000000ffff\n" /* one segment: 64-bit code */
        "kvm_gdtr:\n"
        "  .word 15\n"
        "  .long load + kvm_gdt - lv_kvm_guest\n"
        "kvm_entry:\n"
        "  movl $tables, %edi\n" /* three empty tables */
        "  xorl %eax, %eax\n"
        "  movl $3 * page_bytes / 4, %ecx\n"
        "  cld\n"
        "  rep stosl\n"
        "  movl $tables + page_bytes + 3, tables\n"
        "  movl $tables + 2 * page_bytes + 3, tables + page_bytes\n"
        "  movl $0x83, %eax\n" /* present, writable, 2 MiB */
        "  movl $tables + 2 * page_bytes, %edi\n"
        "  movl $64, %ecx\n"
        "1: movl %eax, (%edi)\n"
        "  addl $0x200000, %eax\n"
        "  addl $8, %edi\n"
        "  loop 1b\n"
        "  movl %cr4, %eax\n"
        "  orl $0x20, %eax\n" /* PAE */
        "  movl %eax, %cr4\n"
        "  movl $tables, %eax\n"
        "  movl %eax, %cr3\n"
        "  movl $0xc0000080, %ecx\n" /* IA32_EFER */
        "  rdmsr\n"
        "  orl $0x100, %eax\n" /* LME */
        "  wrmsr\n"
        "  movl %cr0, %eax\n"
        "  orl $0x80000000, %eax\n" /* PG */
        "  movl %eax, %cr0\n"
        "  lgdt load + kvm_gdtr - lv_kvm_guest\n"
        "  ljmp $8, $load + kvm_long - lv_kvm_guest\n"
        ".code64\n"
        "kvm_long:\n"
        "  xorl %eax, %eax\n"
        "  movl %eax, %ss\n"
        "  movl %eax, %ds\n"
        "  movl %eax, %es\n"
        "  movl $area, %edi\n"
        "2: movq %rdi, (%rdi)\n"
        "  addq $8, %rdi\n"
        "  cmpq $area + area_bytes, %rdi\n"
        "  jb 2b\n"
        "  movl $1000, %esi\n"
        "3: xorl %eax, %eax\n"
        "  cpuid\n"
        "  decl %esi\n"
        "  jnz 3b\n"
        "  movb $1, %al\n"
        "  outb %al, $0xf4\n"
        "4: hlt\n"
        "  jmp 4b\n"
        "lv_kvm_guest_end:\n"
        ".popsection\n");
extern const unsigned char guest[] __asm__("lv_kvm_guest"), guest_end[] __asm__("lv_kvm_guest_end");
#else
static const unsigned char guest[1], *const guest_end = guest; /* no guest: no KVM */
#endif

bool lv_probe_kvm(const char *emulator)
{
    const size_t size = (size_t)(guest_end - guest);
    if (size == 0 || access("/dev/kvm", R_OK | W_OK) != 0)
        return false;
    const int kernel = memfd_create("nsmith-kvm", MFD_CLOEXEC);
    if (kernel < 0)
        return false;
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)getpid(), kernel);
    const char *const argv[] = {emulator,
                                "-machine",
                                "q35,accel=kvm",
                                "-cpu",
                                "host",
                                "-m",
                                "64",
                                "-nodefaults",
                                "-no-reboot",
                                "-no-user-config",
                                "-display",
                                "none",
                                "-kernel",
                                path,
                                "-device",
                                "isa-debug-exit,iobase=0xf4,iosize=1",
                                NULL};
    const bool written = write(kernel, guest, size) == (ssize_t)size;
    const int code = written ? lv_run(argv, "", PATIENCE_MS) : -1;
    close(kernel);
    return code == GUEST_SAYS_DONE * 2 + 1; /* isa-debug-exit makes it so */
}
