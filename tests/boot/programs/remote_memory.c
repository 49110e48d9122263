// SPDX-License-Identifier: Apache-2.0
// process_vm_readv(2) and process_vm_writev(2) between a parent and its child. Says "FAIL line N" for what is not as the manual page says.
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>
#define P 4096ul
static int bad;
#define CHECK(x) do { if (!(x)) { bad++; printf("FAIL line %d: %s errno %d\n", __LINE__, #x, errno); } } while (0)
static ssize_t get(pid_t p, void *to, size_t n, void *from, size_t m) { struct iovec l = {to, n}, r = {from, m}; return process_vm_readv(p, &l, 1, &r, 1, 0); }
static ssize_t put(pid_t p, void *from, size_t n, void *to, size_t m) { struct iovec l = {from, n}, r = {to, m}; return process_vm_writev(p, &l, 1, &r, 1, 0); }
int main(void)
{
    static char here[4 * P]; char c; int go[2], back[2];
    char *m = mmap(0, 4 * P, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); CHECK(pipe(go) == 0 && pipe(back) == 0);
    memset(m, 'p', 4 * P); munmap(m + 3 * P, P);
    pid_t child = fork();
    if (child == 0) { memset(m, 'c', 2 * P); write(back[1], "x", 1); read(go[0], &c, 1); _exit(m[5] == 'w' && m[P] == 'w' && m[2 * P] == 'p' ? 0 : 1); }
    read(back[0], &c, 1);
    CHECK(get(child, here, 3 * P, m, 3 * P) == 3 * P); CHECK(here[0] == 'c' && here[2 * P - 1] == 'c' && here[2 * P] == 'p' && m[0] == 'p');
    CHECK(get(child, here, 4 * P, m, 4 * P) == 3 * P); CHECK(get(child, here, P, m, 10) == 10); CHECK(get(child, here, 7, m, P) == 7);
    errno = 0; CHECK(get(child, here, P, m + 3 * P, P) == -1 && errno == EFAULT);
    errno = 0; CHECK(get(child, (void *)8, P, m, P) == -1 && errno == EFAULT);
    errno = 0; CHECK(get(child, here, P, (void *)-P, P) == -1 && errno == EFAULT);
    errno = 0; CHECK(get(child, here, P, (void *)0xffff888000000000ul, P) == -1 && errno == EFAULT);
    errno = 0; CHECK(get(999999, here, P, m, P) == -1 && errno == ESRCH);
    errno = 0; CHECK(get(child, here, -1ul, m, P) == -1 && errno == EINVAL);
    errno = 0; CHECK(process_vm_readv(child, 0, 0, 0, 0, 1) == -1 && errno == EINVAL); CHECK(process_vm_readv(child, 0, 0, 0, 0, 0) == 0);
    struct iovec l[2] = {{here, 3}, {here + 10, 4}}, r[3] = {{m, 1}, {m + 2 * P, 2}, {m + P, 9}};
    CHECK(process_vm_readv(child, l, 2, r, 3, 0) == 7); CHECK(!memcmp(here, "cpp", 3) && !memcmp(here + 10, "cccc", 4));
    memset(here, 'w', sizeof here); CHECK(put(child, here, P + 1, m, P + 1) == P + 1); CHECK(m[0] == 'p');
    write(go[1], "x", 1); int status; CHECK(waitpid(child, &status, 0) == child && status == 0);
    return bad;
}
