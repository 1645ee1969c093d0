/* seed - tell the kernel that it has enough randomness.
 *
 * An emulated guest gathers it slowly: sfdisk and mkfs, which want UUIDs, would wait 7 s for it. What the
 * kernel has by then makes guests differ, which is all a test wants.
 */
#include <err.h>
#include <fcntl.h>
#include <linux/random.h>
#include <sys/ioctl.h>
#include <sys/random.h>

int main(void)
{
    struct {
        int bits, size;
        unsigned char bytes[64];
    } pool = { .bits = 8 * sizeof pool.bytes, .size = sizeof pool.bytes };
    int fd = open("/dev/urandom", O_WRONLY | O_CLOEXEC);
    if (fd < 0 || getrandom(pool.bytes, sizeof pool.bytes, GRND_INSECURE) != sizeof pool.bytes ||
        ioctl(fd, RNDADDENTROPY, &pool) < 0)
        err(1, "seed");
    return 0;
}
