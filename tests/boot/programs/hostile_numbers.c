// SPDX-License-Identifier: Apache-2.0
// Numbers that only a hostile caller passes: sums and products that overflow in a careless kernel, which would stop it.
#include <errno.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

static void call(const char *what, long expected, long nr, long a, long b, long c, long d, long e)
{
    errno = 0;
    long result = syscall(nr, a, b, c, d, e);
    if ((result < 0 ? -errno : 0) != expected)
        printf("%s: %ld, errno %d\n", what, result, errno);
}

int main(void)
{
    unsigned long cpus[128];
    call("a negative family", -EAFNOSUPPORT, SYS_socket, -5, 1, 0, 0, 0);
    call("an odd family", -EAFNOSUPPORT, SYS_socket, 0x7fffffff, 1, 0, 0, 0);
    call("a huge set of processors", 0, SYS_sched_getaffinity, 0, 1L << 31, (long)cpus, 0, 0);
    call("advice about all there is", -ENOMEM, SYS_madvise, 0, -4096, 0, 0, 0);
    call("a new place far away", -EFAULT, SYS_mremap, 1L << 62, 4096, 8192, 1, 0);
    call("the lowest process", -ESRCH, SYS_wait4, -(1L << 31), 0, 0, 0, 0);
    call("an old mount number", -EFAULT, SYS_mount, 0, 0, 0, 0xC0ED0000, 0);
    return 0;
}
