// SPDX-License-Identifier: Apache-2.0
// futex(2) and its kin as the manual pages have them: errors, priority-inheritance locks, moves between words, several
// words at once, dead owners. Says "FAIL what: result errno" for each thing that is not so; runs on the host too.
#define _GNU_SOURCE
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int fails;
static long r;
#define OK(name, c) do { errno = 0; int c_ = (c); if (!c_) { printf("FAIL %s: %ld %s\n", name, r, strerror(errno)); fflush(stdout); fails++; } } while (0)
#define IS(call) ((r = (call)))
#define ERR(call, e) ((r = (call)) == -1 && errno == (e))
static long fx(void *a, int op, uint32_t v, const void *t, void *b, uint32_t v3) { return syscall(SYS_futex, a, op, v, t, b, v3); }
static int tid(void) { return syscall(SYS_gettid); }
static void nap(int ms) { struct timespec t = {ms / 1000, ms % 1000 * 1000000l}; nanosleep(&t, 0); }
static struct timespec in(int clock, int ms) { struct timespec t; clock_gettime(clock, &t); t.tv_nsec += ms * 1000000l; while (t.tv_nsec >= 1000000000) { t.tv_nsec -= 1000000000; t.tv_sec++; } return t; }
struct waitv { uint64_t val, addr; uint32_t flags, reserved; };
#define P FUTEX_PRIVATE_FLAG
static volatile uint32_t w, w2; static volatile int stage, result, order[8], placed;

static void errors(void) {
  OK("misaligned", ERR(fx((char *)&w + 1, FUTEX_WAIT, 0, 0, 0, 0), EINVAL));
  OK("misaligned wake", ERR(fx((char *)&w + 2, FUTEX_WAKE | P, 1, 0, 0, 0), EINVAL));
  OK("kernel address", ERR(fx((void *)0xffff800000000000, FUTEX_WAKE | P, 1, 0, 0, 0), EFAULT));
  OK("unmapped wait", ERR(fx((void *)8, FUTEX_WAIT | P, 0, 0, 0, 0), EFAULT));
  OK("unmapped private wake", IS(fx((void *)8, FUTEX_WAKE | P, 1, 0, 0, 0)) == 0);
  w = 1;
  OK("changed", ERR(fx((void *)&w, FUTEX_WAIT | P, 0, 0, 0, 0), EAGAIN));
  struct timespec t = {0, 2000000}, bad = {0, 1000000000}, neg = {-1, 0};
  OK("timeout", ERR(fx((void *)&w, FUTEX_WAIT | P, 1, &t, 0, 0), ETIMEDOUT));
  OK("bad time", ERR(fx((void *)&w, FUTEX_WAIT | P, 1, &bad, 0, 0), EINVAL));
  OK("negative time", ERR(fx((void *)&w, FUTEX_WAIT | P, 1, &neg, 0, 0), EINVAL));
  OK("time long gone", ERR(fx((void *)&w, FUTEX_WAIT_BITSET | P, 1, &t, 0, ~0u), ETIMEDOUT));
  t = in(CLOCK_REALTIME, 3);
  OK("real time", ERR(fx((void *)&w, FUTEX_WAIT_BITSET | P | FUTEX_CLOCK_REALTIME, 1, &t, 0, ~0u), ETIMEDOUT));
  OK("no bits", ERR(fx((void *)&w, FUTEX_WAIT_BITSET | P, 1, 0, 0, 0), EINVAL));
  OK("wake no bits", ERR(fx((void *)&w, FUTEX_WAKE_BITSET | P, 1, 0, 0, 0), EINVAL));
  OK("clock for wake", ERR(fx((void *)&w, FUTEX_WAKE | FUTEX_CLOCK_REALTIME, 1, 0, 0, 0), ENOSYS));
  OK("no such command", ERR(fx((void *)&w, 99, 1, 0, 0, 0), ENOSYS));
  OK("fd", ERR(fx((void *)&w, FUTEX_FD, 0, 0, 0, 0), ENOSYS));
  OK("requeue negative", ERR(fx((void *)&w, FUTEX_REQUEUE | P, -1, 0, (void *)&w2, 0), EINVAL));
  OK("cmp requeue changed", ERR(fx((void *)&w, FUTEX_CMP_REQUEUE | P, 1, (void *)1, (void *)&w2, 7), EAGAIN));
  OK("wake op unknown compare", ERR(fx((void *)&w, FUTEX_WAKE_OP | P, 1, (void *)1, (void *)&w2, 0xf << 24), ENOSYS));
  w2 = 5;
  OK("wake op", IS(fx((void *)&w, FUTEX_WAKE_OP | P, 1, (void *)1, (void *)&w2, FUTEX_OP(FUTEX_OP_ADD, 3, FUTEX_OP_CMP_EQ, 5))) == 0 && w2 == 8);
  char *page = mmap(0, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  OK("wake op on read-only page", ERR(fx((void *)&w, FUTEX_WAKE_OP | P, 1, (void *)1, page, FUTEX_OP(FUTEX_OP_SET, 3, FUTEX_OP_CMP_EQ, 5)), EFAULT));
  OK("wait on read-only page", ERR(fx(page, FUTEX_WAIT | P, 1, 0, 0, 0), EAGAIN));
  munmap(page, 4096);
}

static void *waits(void *a) { result = fx((void *)&w, FUTEX_WAIT_BITSET | P, 1, 0, 0, (uintptr_t)a); stage++; return 0; }
static void moves(void) {
  pthread_t t[4]; w = 1; w2 = 1; stage = 0;
  for (long i = 0; i < 4; i++) pthread_create(&t[i], 0, waits, (void *)(1l << i));
  nap(150);
  OK("wake by bit", IS(fx((void *)&w, FUTEX_WAKE_BITSET | P, 4, 0, 0, 4)) == 1);
  OK("cmp requeue", IS(fx((void *)&w, FUTEX_CMP_REQUEUE | P, 1, (void *)9, (void *)&w2, 1)) == 3);
  OK("none left", IS(fx((void *)&w, FUTEX_WAKE | P, 9, 0, 0, 0)) == 0);
  OK("moved", IS(fx((void *)&w2, FUTEX_WAKE | P, 9, 0, 0, 0)) == 2);
  for (int i = 0; i < 4; i++) pthread_join(t[i], 0);
  OK("all woken", stage == 4 && result == 0);
}

static void *locker(void *a) {
  struct sched_param s = {.sched_priority = (int)(long)a}; if (a) pthread_setschedparam(pthread_self(), SCHED_FIFO, &s);
  stage++;
  if (fx((void *)&w, FUTEX_LOCK_PI | P, 0, 0, 0, 0) == 0) { order[placed++] = (int)(long)a; if ((w & FUTEX_TID_MASK) != tid()) fails++, printf("FAIL lock's word %x\n", w); fx((void *)&w, FUTEX_UNLOCK_PI | P, 0, 0, 0, 0); }
  return 0;
}
static void *timed(void *a) { struct timespec t = in(CLOCK_MONOTONIC, 20); result = fx((void *)&w, FUTEX_LOCK_PI2 | P, 0, &t, 0, 0) == -1 ? errno : 0; return 0; }
static void *dies(void *a) { w = tid(); stage = 1; nap(200); return 0; }
static void locks(void) {
  pthread_t t[4]; int me = tid();
  w = 0; OK("lock free", IS(fx((void *)&w, FUTEX_LOCK_PI | P, 0, 0, 0, 0)) == 0 && w == me);
  OK("lock own", ERR(fx((void *)&w, FUTEX_LOCK_PI | P, 0, 0, 0, 0), EDEADLK));
  OK("trylock own", ERR(fx((void *)&w, FUTEX_TRYLOCK_PI | P, 0, 0, 0, 0), EDEADLK));
  OK("unlock", IS(fx((void *)&w, FUTEX_UNLOCK_PI | P, 0, 0, 0, 0)) == 0 && w == 0);
  OK("unlock free", ERR(fx((void *)&w, FUTEX_UNLOCK_PI | P, 0, 0, 0, 0), EPERM));
  w = 0x3ffffff; OK("no such owner", ERR(fx((void *)&w, FUTEX_LOCK_PI | P, 0, 0, 0, 0), ESRCH));
  w = 0; OK("trylock free", IS(fx((void *)&w, FUTEX_TRYLOCK_PI | P, 0, 0, 0, 0)) == 0 && w == me);
  pthread_create(&t[0], 0, timed, 0); pthread_join(t[0], 0); OK("lock times out", result == ETIMEDOUT && (w & FUTEX_TID_MASK) == me);
  OK("unlock after", IS(fx((void *)&w, FUTEX_UNLOCK_PI | P, 0, 0, 0, 0)) == 0 && w == 0);
  w = me; stage = placed = 0;
  long prio[4] = {0, 5, 20, 10};
  for (int i = 0; i < 4; i++) { pthread_create(&t[i], 0, locker, (void *)prio[i]); while (stage <= i) nap(1); nap(100); }
  OK("waiters bit", (w & FUTEX_WAITERS) != 0);
  OK("wake of a lock", ERR(fx((void *)&w, FUTEX_WAKE | P, 1, 0, 0, 0), EINVAL));
  OK("unlock to the most urgent", IS(fx((void *)&w, FUTEX_UNLOCK_PI | P, 0, 0, 0, 0)) == 0);
  for (int i = 0; i < 4; i++) pthread_join(t[i], 0);
  OK("order of priorities", order[0] == 20 && order[1] == 10 && order[2] == 5 && order[3] == 0);
  OK("free in the end", w == 0);
  stage = 0; pthread_create(&t[0], 0, dies, 0); while (!stage) nap(1);
  OK("owner dies", IS(fx((void *)&w, FUTEX_LOCK_PI | P, 0, 0, 0, 0)) == 0 && (w & FUTEX_TID_MASK) == me && (w & FUTEX_OWNER_DIED));
  pthread_join(t[0], 0); fx((void *)&w, FUTEX_UNLOCK_PI | P, 0, 0, 0, 0); OK("free again", w == 0);
}

static volatile uint32_t a, b;
static void *crossed(void *x) { a = tid(); stage = 1; while (stage < 2) nap(1); result = fx((void *)&b, FUTEX_LOCK_PI | P, 0, 0, 0, 0); if (!result) fx((void *)&b, FUTEX_UNLOCK_PI | P, 0, 0, 0, 0); fx((void *)&a, FUTEX_UNLOCK_PI | P, 0, 0, 0, 0); return 0; }
static void deadlock(void) {
  pthread_t t; stage = 0; b = tid(); pthread_create(&t, 0, crossed, 0); while (stage < 1) nap(1); stage = 2; nap(150);
  OK("deadlock", ERR(fx((void *)&a, FUTEX_LOCK_PI | P, 0, 0, 0, 0), EDEADLK));
  fx((void *)&b, FUTEX_UNLOCK_PI | P, 0, 0, 0, 0); pthread_join(t, 0); OK("resolved", result == 0 && a == 0 && b == 0);
}

static void *boosted(void *x) { w = tid(); stage = 1; while (stage < 2) { struct sched_param s; if (sched_getparam(0, &s)) break; } fx((void *)&w, FUTEX_UNLOCK_PI | P, 0, 0, 0, 0); return 0; }

static void *condition(void *x) { long e = fx((void *)&w, FUTEX_WAIT_REQUEUE_PI | P, 1, 0, (void *)&w2, 0); stage++; if (e == 0) { if ((w2 & FUTEX_TID_MASK) != tid()) printf("FAIL moved lock's word %x\n", w2), fails++; order[placed++] = 1; fx((void *)&w2, FUTEX_UNLOCK_PI | P, 0, 0, 0, 0); } else { printf("FAIL wait requeue: %s\n", strerror(errno)); fails++; } return 0; }
static void *late(void *x) { struct timespec t = in(CLOCK_MONOTONIC, 20); result = fx((void *)&w, FUTEX_WAIT_REQUEUE_PI | P, 1, &t, (void *)&w2, 0) == -1 ? errno : 0; return 0; }
static void requeue_pi(void) {
  pthread_t t[3]; w = 1; w2 = 0; stage = placed = 0;
  OK("requeue to itself", ERR(fx((void *)&w, FUTEX_CMP_REQUEUE_PI | P, 1, (void *)1, (void *)&w, 1), EINVAL));
  OK("requeue two wakes", ERR(fx((void *)&w, FUTEX_CMP_REQUEUE_PI | P, 2, (void *)1, (void *)&w2, 1), EINVAL));
  pthread_create(&t[0], 0, late, 0); pthread_join(t[0], 0); OK("wait requeue times out", result == ETIMEDOUT);
  for (int i = 0; i < 3; i++) pthread_create(&t[i], 0, condition, 0);
  nap(150);
  OK("wake of waiters for a move", ERR(fx((void *)&w, FUTEX_WAKE | P, 1, 0, 0, 0), EINVAL));
  OK("requeue changed", ERR(fx((void *)&w, FUTEX_CMP_REQUEUE_PI | P, 1, (void *)9, (void *)&w2, 2), EAGAIN));
  w2 = tid();
  OK("requeue all", IS(fx((void *)&w, FUTEX_CMP_REQUEUE_PI | P, 1, (void *)9, (void *)&w2, 1)) == 3 && stage == 0 && (w2 & FUTEX_WAITERS));
  OK("hand over", IS(fx((void *)&w2, FUTEX_UNLOCK_PI | P, 0, 0, 0, 0)) == 0);
  for (int i = 0; i < 3; i++) pthread_join(t[i], 0);
  OK("each had it", placed == 3 && w2 == 0);
  placed = stage = 0; pthread_create(&t[0], 0, condition, 0); nap(150);
  OK("requeue to a free lock", IS(fx((void *)&w, FUTEX_CMP_REQUEUE_PI | P, 1, (void *)9, (void *)&w2, 1)) == 1);
  pthread_join(t[0], 0); OK("had it at once", placed == 1 && w2 == 0);
}

static volatile uint32_t v[3];
static void *vector(void *x) { struct waitv q[3]; for (int i = 0; i < 3; i++) q[i] = (struct waitv){0, (uintptr_t)&v[i], 2 | 128, 0}; result = syscall(449, q, 3, 0, 0, 0); return 0; }
static void several(void) {
  pthread_t t; struct waitv q[2] = {{0, (uintptr_t)&v[0], 2 | 128, 0}, {1, (uintptr_t)&v[1], 2 | 128, 0}}; struct timespec now = in(CLOCK_MONOTONIC, 5);
  if (syscall(449, 0, 0, 0, 0, 0) == -1 && errno == ENOSYS) return;
  OK("waitv none", ERR(syscall(449, q, 0, 0, 0, 0), EINVAL));
  OK("waitv too many", ERR(syscall(449, q, 129, 0, 0, 0), EINVAL));
  OK("waitv flags", ERR(syscall(449, q, 2, 1, 0, 0), EINVAL));
  OK("waitv clock", ERR(syscall(449, q, 2, 0, &now, 7), EINVAL));
  OK("waitv changed", ERR(syscall(449, q, 2, 0, 0, 0), EAGAIN));
  q[1].val = 0; q[1].reserved = 1; OK("waitv reserved", ERR(syscall(449, q, 2, 0, 0, 0), EINVAL));
  q[1].reserved = 0; q[1].flags = 3; OK("waitv size", ERR(syscall(449, q, 2, 0, 0, 0), EINVAL));
  q[1].flags = 2 | 128; OK("waitv timeout", ERR(syscall(449, q, 2, 0, &now, CLOCK_MONOTONIC), ETIMEDOUT));
  pthread_create(&t, 0, vector, 0); nap(150); OK("waitv wake", IS(fx((void *)&v[1], FUTEX_WAKE | P, 1, 0, 0, 0)) == 1); pthread_join(t, 0); OK("waitv index", result == 1);
  OK("no waiters stay", fx((void *)&v[0], FUTEX_WAKE | P, 9, 0, 0, 0) == 0 && fx((void *)&v[2], FUTEX_WAKE | P, 9, 0, 0, 0) == 0);
  if (syscall(454, &v[0], 1l, 0, 2 | 128) == -1 && errno == ENOSYS) return;
  OK("futex_wake none", ERR(syscall(454, &v[0], 0l, 1, 2 | 128), EINVAL));
  OK("futex_wake size", ERR(syscall(454, &v[0], 1l, 1, 1 | 128), EINVAL));
  OK("futex_wait changed", ERR(syscall(455, &v[0], 7l, ~0u, 2 | 128, 0, 0), EAGAIN));
  OK("futex_wait wide", ERR(syscall(455, &v[0], 1l << 32, ~0u, 2 | 128, 0, 0), EINVAL));
  now = in(CLOCK_REALTIME, 3); OK("futex_wait timeout", ERR(syscall(455, &v[0], 0l, ~0u, 2 | 128, &now, CLOCK_REALTIME), ETIMEDOUT));
  q[0].val = 5; OK("futex_requeue changed", ERR(syscall(456, q, 0, 1, 1), EAGAIN)); q[0].val = 0;
  pthread_create(&t, 0, vector, 0); nap(150); OK("futex_requeue", IS(syscall(456, (struct waitv[2]){{0, (uintptr_t)&v[2], 130, 0}, {0, (uintptr_t)&w2, 130, 0}}, 0, 0, 9)) == 1);
  OK("futex_wake moved", IS(syscall(454, &w2, (long)~0u, 9, 2 | 128)) == 1); pthread_join(t, 0); OK("requeued index", result == 2);
}

static void shared(void) {
  volatile uint32_t *s = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0); int st;
  pid_t p = fork(); if (!p) { long e = fx((void *)s, FUTEX_WAIT, 0, 0, 0, 0); _exit(e ? errno : 0); }
  nap(150); OK("shared wake", IS(fx((void *)s, FUTEX_WAKE, 1, 0, 0, 0)) == 1); waitpid(p, &st, 0); OK("shared wait", WIFEXITED(st) && WEXITSTATUS(st) == 0);
  s[1] = 0; p = fork(); if (!p) { fx((void *)&s[1], FUTEX_LOCK_PI, 0, 0, 0, 0); nap(300); _exit(0); }
  while (!s[1]) nap(1); OK("shared lock of the dead", IS(fx((void *)&s[1], FUTEX_LOCK_PI, 0, 0, 0, 0)) == 0 && (s[1] & FUTEX_TID_MASK) == tid() && (s[1] & FUTEX_OWNER_DIED)); waitpid(p, &st, 0);
  fx((void *)&s[1], FUTEX_UNLOCK_PI, 0, 0, 0, 0); OK("shared lock free", s[1] == 0);
}

static volatile int handled; static void on(int s) { handled++; }
static void *poker(void *x) { nap(150); pthread_kill(*(pthread_t *)x, SIGUSR1); nap(150); w = 9; fx((void *)&w, FUTEX_WAKE | P, 1, 0, 0, 0); return 0; }
static void interrupted(void) {
  pthread_t t, me = pthread_self(); struct sigaction s = {.sa_handler = on}; struct timespec far = {5, 0};
  sigaction(SIGUSR1, &s, 0); w = 1; pthread_create(&t, 0, poker, &me); OK("signal without SA_RESTART", ERR(fx((void *)&w, FUTEX_WAIT | P, 1, 0, 0, 0), EINTR) && handled == 1); pthread_join(t, 0);
  s.sa_flags = SA_RESTART; sigaction(SIGUSR1, &s, 0); w = 1; pthread_create(&t, 0, poker, &me); IS(fx((void *)&w, FUTEX_WAIT | P, 1, 0, 0, 0)); OK("signal with SA_RESTART", (r == 0 || (r == -1 && w == 9)) && handled == 2); pthread_join(t, 0);
  w = 1; pthread_create(&t, 0, poker, &me); OK("timed, with SA_RESTART", ERR(fx((void *)&w, FUTEX_WAIT | P, 1, &far, 0, 0), EINTR) && handled == 3); pthread_join(t, 0);
}

int main(int argc, char **argv) {
  setvbuf(stdout, 0, _IOLBF, 0);
  errors(); moves(); locks(); deadlock(); requeue_pi(); several(); shared(); interrupted();
  pthread_t t; stage = 0; pthread_create(&t, 0, boosted, 0); while (stage < 1) nap(1); stage = 2; fx((void *)&w, FUTEX_LOCK_PI | P, 0, 0, 0, 0); fx((void *)&w, FUTEX_UNLOCK_PI | P, 0, 0, 0, 0); pthread_join(t, 0);
  return fails;
}
