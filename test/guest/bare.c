/* bare - a guest without an operating system, for hosts that are emulated themselves, where Linux takes minutes: it
 * finds its virtio disks, looks into every block of them, writes every block of them, and says so on the first serial
 * port. QEMU boots it as a kernel (Multiboot 0.6.96). Its command line: [find=WORD] [write=WORD]
 *
 *   guest: ns-... scsi 8192 blocks, 3 start with 'WORD', 0 hold anything else
 *   guest: ns-... wrote 8192 blocks
 *   guest: done
 *
 * The name of a disk is its serial number. What is written into a block: WORD, a space, the name, its number.
 * Virtio 1.2, sections "Virtio Over PCI Bus", "Block Device" and "SCSI Host Device": modern devices, polled, one
 * command at a time; addresses are physical, there is no paging. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { BLOCK = 512, CHUNK = 128, BUSSES = 64, QUEUE = 8, NAME = 20 };

/* ---- the machine ------------------------------------------------------------------------------------------------- */

static inline void out8(uint16_t port, uint8_t value)
{
    __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static inline uint8_t in8(uint16_t port)
{
    uint8_t value;
    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

static inline void out32(uint16_t port, uint32_t value)
{
    __asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port));
}

static inline uint32_t in32(uint16_t port)
{
    uint32_t value;
    __asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

/* The compiler may call these two wherever it likes. */
void *memset(void *to, int value, size_t len)
{
    uint8_t *at = to;
    for (size_t i = 0; i < len; i++)
        ((volatile uint8_t *)at)[i] = (uint8_t)value;
    return to;
}

void *memcpy(void *to, const void *from, size_t len)
{
    for (size_t i = 0; i < len; i++)
        ((volatile uint8_t *)to)[i] = ((const uint8_t *)from)[i];
    return to;
}

static void say(const char *text)
{
    for (; *text != '\0'; text++) {
        while ((in8(0x3fd) & 0x20) == 0) /* line status: transmitter empty */
            ;
        out8(0x3f8, (uint8_t)*text);
    }
}

static size_t digits(char *to, uint32_t number)
{
    char reversed[10];
    size_t len = 0;
    do {
        reversed[len++] = (char)('0' + number % 10);
        number /= 10;
    } while (number != 0);
    for (size_t i = 0; i < len; i++)
        to[i] = reversed[len - 1 - i];
    to[len] = '\0';
    return len;
}

static void say_number(uint32_t number)
{
    char text[11];
    digits(text, number);
    say(text);
}

static _Noreturn void stop(const char *why)
{
    say(why);
    for (;;)
        __asm__ volatile("cli; hlt");
}

/* ---- PCI --------------------------------------------------------------------------------------------------------- */

static uint32_t pci_read(uint32_t function, uint8_t offset)
{
    out32(0xcf8, 1u << 31 | function << 8 | (offset & 0xfc));
    return in32(0xcfc);
}

static uint8_t pci_read8(uint32_t function, uint8_t offset)
{
    return (uint8_t)(pci_read(function, offset) >> (offset & 3) * 8);
}

static void pci_write(uint32_t function, uint8_t offset, uint32_t value)
{
    out32(0xcf8, 1u << 31 | function << 8 | (offset & 0xfc));
    out32(0xcfc, value);
}

/* ---- virtio ------------------------------------------------------------------------------------------------------ */

struct common_cfg {
    uint32_t device_feature_select, device_feature, driver_feature_select, driver_feature;
    uint16_t msix_config, num_queues;
    uint8_t status, generation;
    uint16_t queue_select, queue_size, queue_msix_vector, queue_enable, queue_notify_off;
    uint32_t desc[2], driver[2], device[2];
};
_Static_assert(sizeof(struct common_cfg) == 56, "virtio 1.2, Common configuration structure layout");

struct desc {
    uint32_t address, address_high, len;
    uint16_t flags, next;
};

struct queue {
    struct desc desc[QUEUE];
    struct {
        uint16_t flags, idx, ring[QUEUE];
    } avail;
    struct {
        uint16_t flags, idx;
        struct {
            uint32_t id, len;
        } ring[QUEUE];
    } used __attribute__((aligned(4)));
};

struct disk {
    volatile struct common_cfg *common;
    volatile uint16_t *notify;
    volatile uint64_t *config; /* of a block device it begins with the size */
    struct queue *queue;
    uint16_t queue_index;
    bool scsi;
    char name[NAME + 1];
    uint32_t blocks;
};

enum { DESC_NEXT = 1, DESC_DEVICE_WRITES = 2 };
enum { ACKNOWLEDGE = 1, DRIVER = 2, DRIVER_OK = 4, FEATURES_OK = 8 };
enum { CAP_COMMON = 1, CAP_NOTIFY = 2, CAP_DEVICE = 4 };

static struct queue queues[16] __attribute__((aligned(16)));
static uint8_t data[CHUNK * BLOCK] __attribute__((aligned(4096)));

static uint8_t *cap_address(uint32_t function, uint8_t cap)
{
    const uint8_t bar = (uint8_t)(0x10 + 4 * pci_read8(function, (uint8_t)(cap + 4)));
    const uint32_t low = pci_read(function, bar);
    if ((low & 1) != 0 || ((low & 6) == 4 && pci_read(function, (uint8_t)(bar + 4)) != 0))
        stop("guest: a disk's registers are out of reach\n");
    return (uint8_t *)((low & ~15u) + pci_read(function, (uint8_t)(cap + 8)));
}

static void find_registers(uint32_t function, struct disk *disk)
{
    uint8_t *notify = NULL;
    uint32_t notify_multiplier = 0;
    for (uint8_t cap = pci_read8(function, 0x34); cap != 0; cap = pci_read8(function, (uint8_t)(cap + 1))) {
        if (pci_read8(function, cap) != 9) /* vendor-specific */
            continue;
        const uint8_t type = pci_read8(function, (uint8_t)(cap + 3));
        if (type == CAP_COMMON && disk->common == NULL)
            disk->common = (volatile struct common_cfg *)cap_address(function, cap);
        if (type == CAP_DEVICE && disk->config == NULL)
            disk->config = (volatile uint64_t *)cap_address(function, cap);
        if (type == CAP_NOTIFY && notify == NULL) {
            notify = cap_address(function, cap);
            notify_multiplier = pci_read(function, (uint8_t)(cap + 16));
        }
    }
    if (disk->common == NULL || notify == NULL || disk->config == NULL)
        stop("guest: a disk has no modern registers\n");
    disk->common->queue_select = disk->queue_index;
    disk->notify = (volatile uint16_t *)(notify + disk->common->queue_notify_off * notify_multiplier);
}

static void set_up(uint32_t function, struct disk *disk)
{
    pci_write(function, 4, (pci_read(function, 4) & 0xffff) | 6); /* memory, bus master */
    find_registers(function, disk);
    volatile struct common_cfg *common = disk->common;
    common->status = 0;
    while (common->status != 0)
        ;
    common->status = ACKNOWLEDGE | DRIVER;
    common->driver_feature_select = 0;
    common->driver_feature = 0;
    common->driver_feature_select = 1;
    common->driver_feature = 1; /* VIRTIO_F_VERSION_1 */
    common->status = ACKNOWLEDGE | DRIVER | FEATURES_OK;
    if ((common->status & FEATURES_OK) == 0)
        stop("guest: a disk wants more features\n");
    common->queue_select = disk->queue_index;
    common->queue_size = QUEUE;
    common->desc[0] = (uint32_t)(uintptr_t)disk->queue->desc;
    common->desc[1] = 0;
    common->driver[0] = (uint32_t)(uintptr_t)&disk->queue->avail;
    common->driver[1] = 0;
    common->device[0] = (uint32_t)(uintptr_t)&disk->queue->used;
    common->device[1] = 0;
    common->queue_enable = 1;
    common->status = ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK;
}

struct part {
    void *at;
    uint32_t len;
    bool device_writes;
};

/* One request of these parts, the ones without length left out; returns when it is done. */
static void submit(struct disk *disk, const struct part *parts, size_t count)
{
    volatile struct queue *queue = disk->queue;
    uint16_t used = 0;
    for (size_t i = 0; i < count; i++) {
        if (parts[i].len == 0)
            continue;
        if (used > 0) {
            queue->desc[used - 1].flags |= DESC_NEXT;
            queue->desc[used - 1].next = used;
        }
        queue->desc[used].address = (uint32_t)(uintptr_t)parts[i].at;
        queue->desc[used].address_high = 0;
        queue->desc[used].len = parts[i].len;
        queue->desc[used].flags = parts[i].device_writes ? DESC_DEVICE_WRITES : 0;
        used++;
    }
    const uint16_t next = queue->avail.idx;
    queue->avail.ring[next % QUEUE] = 0;
    __sync_synchronize();
    queue->avail.idx = (uint16_t)(next + 1);
    __sync_synchronize();
    *disk->notify = disk->queue_index;
    while (queue->used.idx != queue->avail.idx)
        __asm__ volatile("pause");
    __sync_synchronize();
}

/* ---- disks ------------------------------------------------------------------------------------------------------- */

enum { BLK_IN = 0, BLK_OUT = 1, BLK_FLUSH = 4, BLK_GET_ID = 8 };

static bool blk(struct disk *disk, uint32_t type, uint32_t block, void *at, uint32_t len)
{
    struct {
        uint32_t type, reserved, sector, sector_high;
    } head = {.type = type, .sector = block};
    volatile uint8_t status = 0xff;
    const struct part parts[] = {
        {&head, sizeof(head), false}, {at, len, type != BLK_OUT}, {(void *)(uintptr_t)&status, 1, true}};
    submit(disk, parts, 3);
    return status == 0;
}

static bool scsi_once(struct disk *disk, const uint8_t *cdb, bool write, void *at, uint32_t len)
{
    struct {
        uint8_t lun[8], tag[8], task_attribute, priority, crn, cdb[32];
    } head = {.lun = {1, 0, 0x40, 0}};
    volatile struct {
        uint32_t sense_len, residual;
        uint16_t qualifier;
        uint8_t status, response, sense[96];
    } answer = {.response = 0xff};
    _Static_assert(sizeof(head) == 51 && sizeof(answer) == 108, "virtio 1.2, SCSI: Device Operation: Request Queues");
    memcpy(head.cdb, cdb, 16);
    const struct part parts[] = {{&head, sizeof(head), false},
                                 {at, write ? len : 0, false},
                                 {(void *)(uintptr_t)&answer, sizeof(answer), true},
                                 {at, write ? 0 : len, true}};
    submit(disk, parts, 4);
    return answer.response == 0 && answer.status == 0;
}

/* The first command after a reset is answered by a unit attention. */
static bool scsi(struct disk *disk, const uint8_t *cdb, bool write, void *at, uint32_t len)
{
    return scsi_once(disk, cdb, write, at, len) || scsi_once(disk, cdb, write, at, len);
}

static bool disk_move(struct disk *disk, bool write, uint32_t block, uint32_t count)
{
    if (!disk->scsi)
        return blk(disk, write ? BLK_OUT : BLK_IN, block, data, count * BLOCK);
    const uint8_t cdb[16] = {
        write ? 0x2a : 0x28, 0, (uint8_t)(block >> 24), (uint8_t)(block >> 16), (uint8_t)(block >> 8),
        (uint8_t)block,      0, (uint8_t)(count >> 8),  (uint8_t)count};
    return scsi(disk, cdb, write, data, count * BLOCK);
}

static bool disk_learn(struct disk *disk)
{
    memset(data, 0, BLOCK);
    if (!disk->scsi) {
        if (!blk(disk, BLK_GET_ID, 0, disk->name, NAME))
            return false;
        disk->blocks = (uint32_t)*disk->config;
        return true;
    }
    const uint8_t inquiry[16] = {0x12, 1, 0x80, 0, 255}; /* page Unit Serial Number */
    if (!scsi(disk, inquiry, false, data, 255))
        return false;
    memcpy(disk->name, data + 4, data[3] < NAME ? data[3] : NAME);
    const uint8_t read_capacity[16] = {0x25};
    if (!scsi(disk, read_capacity, false, data, 8))
        return false;
    disk->blocks = ((uint32_t)data[0] << 24 | (uint32_t)data[1] << 16 | (uint32_t)data[2] << 8 | data[3]) + 1;
    return true;
}

/* ---- the job ----------------------------------------------------------------------------------------------------- */

struct job {
    const char *find, *write; /* empty: not asked for */
};

static bool starts_with(const uint8_t *text, const char *word)
{
    for (; *word != '\0'; text++, word++)
        if (*text != (uint8_t)*word)
            return false;
    return true;
}

static bool is_zero(const uint8_t *block)
{
    const uint32_t *words = (const uint32_t *)(const void *)block;
    for (size_t i = 0; i < BLOCK / sizeof(*words); i++)
        if (words[i] != 0)
            return false;
    return true;
}

static uint32_t chunk_at(const struct disk *disk, uint32_t block)
{
    return disk->blocks - block < CHUNK ? disk->blocks - block : CHUNK;
}

static void look(struct disk *disk, const struct job *job)
{
    uint32_t found = 0, other = 0;
    for (uint32_t at = 0; at < disk->blocks; at += CHUNK) {
        if (!disk_move(disk, false, at, chunk_at(disk, at)))
            stop("guest: cannot read\n");
        for (uint32_t i = 0; i < chunk_at(disk, at); i++) {
            const uint8_t *block = data + i * BLOCK;
            const bool hit = job->find[0] != '\0' && starts_with(block, job->find);
            found += hit;
            other += !hit && !is_zero(block);
        }
    }
    say("guest: ");
    say(disk->name);
    say(disk->scsi ? " scsi " : " blk ");
    say_number(disk->blocks);
    say(" blocks, ");
    say_number(found);
    say(" start with '");
    say(job->find);
    say("', ");
    say_number(other);
    say(" hold anything else\n");
}

static void fill(const struct disk *disk, uint8_t *block, const char *word, uint32_t number)
{
    const char *const texts[] = {word, " ", disk->name, " "};
    size_t len = 0;
    memset(block, 0, BLOCK);
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        for (const char *c = texts[i]; *c != '\0' && len < BLOCK - 16; c++)
            block[len++] = (uint8_t)*c;
    digits((char *)block + len, number);
}

static void write(struct disk *disk, const struct job *job)
{
    for (uint32_t at = 0; at < disk->blocks; at += CHUNK) {
        for (uint32_t i = 0; i < chunk_at(disk, at); i++)
            fill(disk, data + i * BLOCK, job->write, at + i);
        if (!disk_move(disk, true, at, chunk_at(disk, at)))
            stop("guest: cannot write\n");
    }
    const uint8_t synchronize_cache[16] = {0x35};
    if (disk->scsi ? !scsi(disk, synchronize_cache, false, data, 0) : !blk(disk, BLK_FLUSH, 0, data, 0))
        stop("guest: cannot flush\n");
    say("guest: ");
    say(disk->name);
    say(" wrote ");
    say_number(disk->blocks);
    say(" blocks\n");
}

static void work_on(uint32_t function, bool scsi_disk, const struct job *job)
{
    static size_t count;
    if (count == sizeof(queues) / sizeof(queues[0]))
        stop("guest: too many disks\n");
    struct disk disk = {.queue = &queues[count++], .queue_index = scsi_disk ? 2 : 0, .scsi = scsi_disk};
    set_up(function, &disk);
    if (!disk_learn(&disk))
        stop("guest: a disk does not answer\n");
    look(&disk, job);
    if (job->write[0] != '\0')
        write(&disk, job);
}

/* The value of KEY=VALUE in the command line, which is cut there. */
static const char *word_of(char *line, const char *key)
{
    for (char *at = line; *at != '\0'; at++)
        if (starts_with((const uint8_t *)at, key)) {
            for (; *at != '='; at++)
                ;
            char *value = ++at;
            for (; *at != '\0' && *at != ' '; at++)
                ;
            *at = '\0';
            return value;
        }
    return "";
}

struct multiboot_info {
    uint32_t flags, mem_lower, mem_upper, boot_device;
    char *cmdline;
};

_Noreturn void bare_main(const struct multiboot_info *info);
_Noreturn void bare_main(const struct multiboot_info *info)
{
    char line[512] = "";
    for (size_t i = 0; (info->flags & 4) != 0 && i < sizeof(line) - 1 && (line[i] = info->cmdline[i]) != '\0'; i++)
        ;
    char again[sizeof(line)];
    memcpy(again, line, sizeof(line));
    const struct job job = {.find = word_of(line, "find="), .write = word_of(again, "write=")};
    say("guest: up\n");
    for (uint32_t function = 0; function < BUSSES << 8; function++) {
        const uint32_t id = pci_read(function, 0);
        if (id == 0x10421af4 || id == 0x10481af4) /* modern virtio: block, SCSI */
            work_on(function, id == 0x10481af4, &job);
    }
    stop("guest: done\n");
}

/* Multiboot 0.6.96, "The layout of Multiboot header": magic, flags, checksum. ebx: the information. */
__asm__(".section .multiboot, \"a\"\n"
        ".long 0x1badb002, 0, -0x1badb002\n"
        ".text\n"
        ".globl _start\n"
        "_start: cld\n"
        "mov $stack_end, %esp\n"
        "push %ebx\n"
        "push $0\n"
        "jmp bare_main\n"
        ".bss\n"
        ".align 16\n"
        ".skip 16384\n"
        "stack_end:\n"
        ".text\n");
