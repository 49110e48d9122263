// SPDX-License-Identifier: Apache-2.0
// rseq(2): registration and its errors, the numbers, sequences that are ended by preemption, by a signal, by
// membarrier(2); broken ones are SIGSEGV. Says "FAIL what"; exits with how many.
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
struct area { uint32_t cpu_start, cpu; uint64_t cs; uint32_t flags, node, mm_cid; uint32_t pad; } __attribute__((aligned(32)));
struct sequence { uint32_t version, flags; uint64_t start, length, abort; };
#define SIGNATURE 0x53053053
static struct area area; static int fails; static volatile int handled;
#define OK(name, c) do { if (!(c)) { printf("FAIL %s: %s\n", name, strerror(errno)); fflush(stdout); fails++; } } while (0)
static long rseq(void *a, unsigned n, int f, unsigned s) { errno = 0; return syscall(SYS_rseq, a, n, f, s); }
static void on(int s) { handled++; }
// Spins in a sequence until it is aborted; `wrong` is added to the length, and to the version.
static void spin(uint64_t wrong, uint32_t version) {
  static struct sequence cs; cs.version = version;
  __asm__ volatile("lea 1f(%%rip), %%rax\n mov %%rax, 8(%0)\n lea 2f(%%rip), %%rcx\n sub %%rax, %%rcx\n add %2, %%rcx\n mov %%rcx, 16(%0)\n lea 3f(%%rip), %%rax\n mov %%rax, 24(%0)\n"
    "mov %0, 8(%1)\n 1: jmp 1b\n 2: ud2\n .long 0x53053053\n 3:\n" :: "r"(&cs), "r"(&area), "r"(wrong) : "rax", "rcx", "memory");
}
static void *competes(void *x) { while (!*(volatile int *)x) {} return 0; }
static void *pokes(void *x) { struct timespec t = {0, 20000000}; nanosleep(&t, 0); if (x) pthread_kill(*(pthread_t *)x, SIGUSR1); else { syscall(SYS_membarrier, 256, 0, 0); syscall(SYS_membarrier, 128, 0, 0); } return 0; }
static int dies(uint64_t wrong, uint32_t version) { int st; pid_t p = fork(); if (!p) { alarm(5); pthread_t t, me = pthread_self(); pthread_create(&t, 0, pokes, &me); spin(wrong, version); _exit(0); } waitpid(p, &st, 0); return WIFSIGNALED(st) && WTERMSIG(st) == SIGSEGV; }
int main(void) {
  signal(SIGUSR1, on);
  OK("auxiliary vector", getauxval(27) == 28 && getauxval(28) == 32);
  OK("unaligned", rseq((char *)&area + 8, 32, 0, SIGNATURE) == -1 && errno == EINVAL); OK("short", rseq(&area, 16, 0, SIGNATURE) == -1 && errno == EINVAL); OK("flags", rseq(&area, 32, 4, SIGNATURE) == -1 && errno == EINVAL); OK("kernel address", rseq((void *)0xffff800000000000, 32, 0, SIGNATURE) == -1 && errno == EFAULT); OK("nothing to take back", rseq(&area, 32, 1, SIGNATURE) == -1 && errno == EINVAL);
  OK("register", rseq(&area, 32, 0, SIGNATURE) == 0); OK("numbers", area.cpu < 64 && area.cpu_start == area.cpu && area.node == 0 && area.mm_cid < 64);
  OK("twice", rseq(&area, 32, 0, SIGNATURE) == -1 && errno == EBUSY); OK("other signature", rseq(&area, 32, 0, 1) == -1 && errno == EPERM); OK("other area", rseq(&area + 1, 32, 0, SIGNATURE) == -1 && errno == EINVAL); OK("take back with another signature", rseq(&area, 32, 1, 1) == -1 && errno == EPERM);
  pthread_t t[4], me = pthread_self(); volatile int stop = 0; for (int i = 0; i < 4; i++) pthread_create(&t[i], 0, competes, (void *)&stop);
  for (int i = 0; i < 5; i++) spin(0, 0);
  stop = 1; for (int i = 0; i < 4; i++) pthread_join(t[i], 0);
  OK("ended by preemption", area.cs == 0);
  pthread_create(&t[0], 0, pokes, &me); spin(0, 0); pthread_join(t[0], 0); OK("ended by a signal", area.cs == 0 && handled == 1);
  pthread_create(&t[0], 0, pokes, 0); spin(0, 0); pthread_join(t[0], 0); OK("ended by membarrier", area.cs == 0);
  OK("wrong length", dies(64, 0)); OK("wrong version", dies(0, 1));
  int st; pid_t p = fork(); if (!p) _exit(area.cpu < 64 && rseq(&area, 32, 0, SIGNATURE) == -1 && errno == EBUSY ? 3 : 4); waitpid(p, &st, 0); OK("a child has it too", WEXITSTATUS(st) == 3);
  OK("take back", rseq(&area, 32, 1, SIGNATURE) == 0 && area.cpu == (uint32_t)-1 && area.cpu_start == 0);
  return fails;
}
