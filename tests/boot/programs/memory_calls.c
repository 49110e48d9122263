// SPDX-License-Identifier: Apache-2.0
// The memory calls as a program meets them: rights, faults and their codes, copy on write, files, moves, the stack, the heap.
// Says "FAIL line N" for each thing that is not as the manual pages say; exits with their number.
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <errno.h>
#include <signal.h>
#include <setjmp.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#define P 4096
static int bad;
#define CHECK(x) do { if (!(x)) { bad++; printf("FAIL line %d: %s errno %d\n", __LINE__, #x, errno); } } while (0)
static sigjmp_buf jb; static volatile int sig, code; static void *volatile addr;
static void on(int s, siginfo_t *i, void *u) { sig = s; code = i->si_code; addr = i->si_addr; siglongjmp(jb, 1); }
#define FAULTS(expr) (sig = 0, sigsetjmp(jb, 1) ? sig : ((expr), 0))
static int child(void (*f)(void)) { pid_t p = fork(); if (!p) { f(); _exit(0); } int st; if (p < 0) return -1; waitpid(p, &st, 0); return st; }
static void deep(void) { volatile char b[100000]; b[0] = 1; b[99999] = 2; static int n; if (++n < 70) deep(); b[5] = b[0]; }
static void overflow(void) { volatile char b[10000]; b[0] = 1; if (b[0]) overflow(); b[1] = 1; }
static char *shm;
static void child_shared(void) { shm[0] = 42; shm[P*3] = 43; }
int main(void)
{
    setvbuf(stdout, 0, _IONBF, 0);
    struct sigaction sa = { .sa_sigaction = on, .sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK };
    sigaction(SIGSEGV, &sa, 0); sigaction(SIGBUS, &sa, 0);
    char *a = mmap(0, 16*P, 3, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0);
    CHECK(a != MAP_FAILED); CHECK(a[5*P] == 0); a[5*P] = 7; CHECK(a[5*P] == 7);
    CHECK(munmap(a + 4*P, 2*P) == 0); CHECK(FAULTS(a[5*P] = 1) == SIGSEGV); CHECK(code == SEGV_MAPERR && addr == a + 5*P);
    a[3*P] = 3; a[6*P] = 6;
    CHECK(mprotect(a, P, PROT_READ) == 0); CHECK(FAULTS(a[0] = 1) == SIGSEGV && code == SEGV_ACCERR); CHECK(a[0] == 0);
    CHECK(mprotect(a + 6*P, P, 0) == 0); CHECK(FAULTS(sig = a[6*P]) == SIGSEGV && code == SEGV_ACCERR);
    CHECK(mprotect(a + 6*P, P, 3) == 0); CHECK(a[6*P] == 6); a[6*P] = 8;
    errno = 0; CHECK(mprotect(a + 4*P, P, 3) == -1 && errno == ENOMEM);
    CHECK(read(open("/dev/zero", 0), a + 4*P, 10) == -1 && errno == EFAULT);
    shm = mmap(0, 8*P, 3, MAP_SHARED|MAP_ANONYMOUS, -1, 0);
    CHECK(child(child_shared) == 0); CHECK(shm[0] == 42 && shm[3*P] == 43);
    /* cow */
    a[7*P] = 1; pid_t p = fork(); if (!p) { a[7*P] = 2; _exit(a[7*P] != 2); } int st; waitpid(p, &st, 0); CHECK(st == 0 && a[7*P] == 1);
    /* files */
    int fd = open("/tmp/memory-calls", O_RDWR|O_CREAT|O_TRUNC, 0600); char buf[P]; memset(buf, 'x', P);
    for (int i = 0; i < 4; i++) CHECK(write(fd, buf, P) == P);
    char *f = mmap(0, 8*P, 3, MAP_SHARED, fd, 0); CHECK(f != MAP_FAILED); CHECK(f[3*P] == 'x'); f[P] = 'y';
    CHECK(pread(fd, buf, 1, P) == 1 && buf[0] == 'y'); CHECK(FAULTS(f[4*P] = 1) == SIGBUS && code == BUS_ADRERR);
    char *g = mmap(0, 4*P, 3, MAP_PRIVATE, fd, 0); g[P] = 'z'; CHECK(f[P] == 'y' && g[2*P] == 'x');
    CHECK(pwrite(fd, "q", 1, 2*P) == 1 && f[2*P] == 'q' && g[2*P] == 'q' && g[P] == 'z');
    CHECK(msync(f, 4*P, MS_SYNC) == 0);
    CHECK(ftruncate(fd, P + 10) == 0); CHECK(FAULTS(f[2*P] = 1) == SIGBUS); CHECK(f[P+10] == 0 && f[P] == 'y');
    close(fd); unlink("/tmp/memory-calls");
    /* mremap */
    char *m = mmap(0, 4*P, 3, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0); m[0] = 1; m[3*P] = 4;
    char *n = mremap(m, 4*P, 4096*P, MREMAP_MAYMOVE); CHECK(n != MAP_FAILED && n[0] == 1 && n[3*P] == 4 && n[4000*P] == 0);
    CHECK(mremap(n, 4096*P, P, 0) == n); CHECK(FAULTS(n[P] = 1) == SIGSEGV);
    unsigned char vec[4]; CHECK(mincore(n, P, vec) == 0 && vec[0] == 1); CHECK(mincore(n, 2*P, vec) == -1 && errno == ENOMEM);
    n[0] = 9; CHECK(madvise(n, P, MADV_DONTNEED) == 0 && n[0] == 0);
    /* stack */
    deep(); 
    stack_t ss = { .ss_sp = malloc(65536), .ss_size = 65536 }; sigaltstack(&ss, 0);
    CHECK(FAULTS(overflow()) == SIGSEGV);
    /* brk, malloc */
    char *b = (char *)syscall(SYS_brk, 0); CHECK((char *)syscall(SYS_brk, b + 100*P) == b + 100*P); b[99*P] = 1;
    CHECK((char *)syscall(SYS_brk, b) == b); CHECK(FAULTS(b[99*P] = 1) == SIGSEGV);
    /* limits */
    CHECK(mmap(0, 1ul << 40, 3, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) == MAP_FAILED && errno == ENOMEM);
    char *res = mmap(0, 1ul << 40, 0, MAP_PRIVATE|MAP_ANONYMOUS|MAP_NORESERVE, -1, 0); CHECK(res != MAP_FAILED);
    CHECK(mprotect(res + (1ul<<39), P, 3) == 0); res[1ul<<39] = 1; CHECK(munmap(res, 1ul << 40) == 0);
    return bad;
}
