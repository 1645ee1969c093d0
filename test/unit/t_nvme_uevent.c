/* The messages are as Linux 6.1 sent them, but for the sequence number. */
#include "nvme/nvme_uevent.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cmocka.h>

#define PCI "/devices/pci0000:00/0000:00:03.0/0000:01:00.0/nvme/nvme0"
#define HEAD "/devices/virtual/nvme-subsystem/nvme-subsys3"
#define TCP "/devices/virtual/nvme-fabrics/ctl"

static const struct {
    const char *rule;
    const char *message; /* '|' for the zero that ends a text */
    const char *expect;  /* what block|ctrl subsystem name major:minor; empty: not taken */
} rows[] = {
    {"a namespace that goes is known by number, name and controller",
     "remove@" PCI "/nvme0n1|ACTION=remove|DEVPATH=" PCI "/nvme0n1|SUBSYSTEM=block|MAJOR=259|MINOR=4|DEVNAME=nvme0n1|"
     "DEVTYPE=disk|DISKSEQ=12|SEQNUM=900|",
     "gone block nvme0 - nvme0n1 259:4"},
    {"with multipath it is known by its subsystem",
     "add@" HEAD "/nvme3n2|ACTION=add|DEVPATH=" HEAD "/nvme3n2|SUBSYSTEM=block|MAJOR=259|MINOR=1|DEVNAME=nvme3n2|"
     "DEVTYPE=disk|SEQNUM=901|",
     "came block - nvme-subsys3 nvme3n2 259:1"},
    {"a controller that goes",
     "remove@" PCI "|ACTION=remove|DEVPATH=" PCI "|SUBSYSTEM=nvme|MAJOR=241|MINOR=0|DEVNAME=nvme0|NVME_TRTYPE=pcie|",
     "gone ctrl nvme0 - nvme0 0:0"},
    {"a controller over fabrics",
     "add@" TCP "/nvme12|ACTION=add|DEVPATH=" TCP "/nvme12|SUBSYSTEM=nvme|MAJOR=241|MINOR=12|DEVNAME=nvme12|",
     "came ctrl nvme12 - nvme12 0:0"},
    {"what a controller itself tells",
     "change@" PCI "|ACTION=change|DEVPATH=" PCI "|SUBSYSTEM=nvme|NVME_AEN=0x000002|DEVNAME=nvme0|",
     "changed ctrl nvme0 - nvme0 0:0"},
    {"a new size",
     "change@" PCI "/nvme0n1|ACTION=change|DEVPATH=" PCI "/nvme0n1|SUBSYSTEM=block|RESIZE=1|MAJOR=259|MINOR=4|"
     "DEVNAME=nvme0n1|DEVTYPE=disk|",
     "changed block nvme0 - nvme0n1 259:4"},
    {"that somebody closed it is no news",
     "change@" PCI "/nvme0n1|ACTION=change|DEVPATH=" PCI "/nvme0n1|SUBSYSTEM=block|SYNTH_UUID=0|MAJOR=259|MINOR=4|"
     "DEVNAME=nvme0n1|DEVTYPE=disk|",
     "other block nvme0 - nvme0n1 259:4"},
    {"a partition is its disk's matter",
     "remove@" PCI "/nvme0n1/nvme0n1p1|ACTION=remove|DEVPATH=" PCI "/nvme0n1/nvme0n1p1|SUBSYSTEM=block|MAJOR=259|"
     "MINOR=5|DEVNAME=nvme0n1p1|DEVTYPE=partition|PARTN=1|",
     ""},
    {"another driver's disk is none",
     "add@/devices/sda|ACTION=add|DEVPATH=/devices/sda|SUBSYSTEM=block|DEVNAME=sda|DEVTYPE=disk|", ""},
    {"another kind of device is none", "add@/devices/x|ACTION=add|DEVPATH=/devices/x|SUBSYSTEM=net|INTERFACE=eth0|",
     ""},
    {"udev's own messages are not the kernel's", "libudev|ACTION=add|SUBSYSTEM=nvme|DEVNAME=nvme0|", ""},
    {"a message without its last zero is not taken",
     "add@" PCI "|ACTION=add|DEVPATH=" PCI "|SUBSYSTEM=nvme|DEVNAME=nvme0", ""},
    {"an empty one neither", "", ""},
    {"a name that is too long is not cut",
     "add@/x|ACTION=add|DEVPATH=/"
     "x|SUBSYSTEM=nvme|DEVNAME=nvme000000000000000000000000000000000000000000000000000000000000001|",
     ""},
    {"a number out of range is none",
     "remove@" PCI "/nvme0n1|ACTION=remove|DEVPATH=" PCI "/nvme0n1|SUBSYSTEM=block|MAJOR=99999999999|MINOR=4|"
     "DEVNAME=nvme0n1|DEVTYPE=disk|",
     "gone block nvme0 - nvme0n1 0:0"},
};

static const char *dash(const char *text)
{
    return text[0] != '\0' ? text : "-";
}

static void test_messages(void **state)
{
    static const char *const words[] = {"other", "came", "gone", "changed"};
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char message[1024], got[256] = "";
        const size_t len = strlen(rows[i].message);
        struct nvme_uevent event;
        memcpy(message, rows[i].message, len + 1);
        for (size_t k = 0; k < len; k++)
            message[k] = message[k] == '|' ? '\0' : message[k];
        if (nvme_uevent_parse(message, len, &event))
            snprintf(got, sizeof(got), "%s %s %s %s %s %u:%u", words[event.what], event.block ? "block" : "ctrl",
                     dash(event.ctrl), dash(event.subsystem), event.name, major(event.rdev), minor(event.rdev));
        if (strcmp(got, rows[i].expect) != 0)
            fail_msg("%s: got '%s', want '%s'", rows[i].rule, got, rows[i].expect);
    }
}

/* A socket of ours instead of netlink's: what is read there has no sender that is the kernel. */
static void test_only_the_kernel_is_heard(void **state)
{
    static const char message[] = "add@" PCI "\0ACTION=add\0DEVPATH=" PCI "\0SUBSYSTEM=nvme\0DEVNAME=nvme0";
    struct nvme_uevent event;
    bool lost = false;
    int pair[2];
    (void)state;
    assert_true(nvme_uevent_parse(message, sizeof(message), &event));
    assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair), 0);
    assert_int_equal(send(pair[1], message, sizeof(message), 0), sizeof(message));
    assert_false(nvme_uevent_read(pair[0], &event, &lost));
    assert_false(lost);
    close(pair[0]);
    close(pair[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_messages),
        cmocka_unit_test(test_only_the_kernel_is_heard),
    };
    return cmocka_run_group_tests_name("nvme_uevent", tests, NULL, NULL);
}
