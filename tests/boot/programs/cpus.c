// SPDX-License-Identifier: Apache-2.0
// What only several processors can show. Each word on the command line is a trial; it says what went wrong, or "ok".
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MOST = 64, ROUNDS = 100 };
static int processors;
static atomic_int phase, ready, stop_all;
static volatile uint64_t *volatile page;
static atomic_ulong faults, answers;

static uint64_t now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void stay_on(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  if (sched_setaffinity(0, sizeof set, &set)) perror("sched_setaffinity"), exit(1);
}

static void fail(const char *what, long a, long b) {
  printf("%s: %ld %ld\n", what, a, b);
  exit(1);
}

// Threads that never sleep: all are on a processor at the same time, each on another.
static atomic_ulong seen;
static void *spin_and_tell(void *unused) {
  uint64_t end = now() + 2000000000u;
  atomic_fetch_add(&ready, 1);
  while (atomic_load(&ready) < processors) {}
  while (now() < end && (int)__builtin_popcountl(atomic_load(&seen)) < processors) atomic_fetch_or(&seen, 1ul << sched_getcpu());
  return unused;
}
static void spread(void) {
  pthread_t t[MOST];
  for (int i = 0; i < processors; i++) pthread_create(&t[i], 0, spin_and_tell, 0);
  for (int i = 0; i < processors; i++) pthread_join(t[i], 0);
  if (__builtin_popcountl(seen) != processors) fail("threads ran on the processors of this set", (long)seen, processors);
}

// A pinned task is where it is pinned, by system call and by what the C library asks.
static void pinned(void) {
  for (int cpu = processors - 1; cpu >= 0; cpu--) {
    unsigned here = 99, node = 99;
    stay_on(cpu);
    syscall(SYS_getcpu, &here, &node, 0);
    if ((int)here != cpu || node != 0) fail("getcpu(2) says", here, cpu);
    if (sched_getcpu() != cpu) fail("sched_getcpu says", sched_getcpu(), cpu);
  }
}

// Another thread writes a page without end. Once mprotect has come back, no write gets through any more.
static sigjmp_buf landing;
static void landed(int sig) {
  (void)sig;
  atomic_fetch_add(&faults, 1);
  siglongjmp(landing, 1);
}
static void *writer(void *cpu) {
  stay_on((int)(intptr_t)cpu);
  atomic_fetch_add(&ready, 1);
  sigsetjmp(landing, 1);
  while (!stop_all) (*page)++;
  return 0;
}
static void protect(void) {
  pthread_t t;
  signal(SIGSEGV, landed);
  page = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  stay_on(0);
  pthread_create(&t, 0, writer, (void *)(intptr_t)(processors - 1));
  while (!ready) {}
  for (int i = 0; i < ROUNDS; i++) {
    uint64_t before = *page;
    while (*page == before) {}
    if (mprotect((void *)page, 4096, PROT_READ)) fail("mprotect", i, 0);
    uint64_t first = *page, wait = now() + 10000000;
    unsigned long before_fault = faults;
    while (now() < wait && faults == before_fault) {}
    if (*page != first) fail("written through a read-only mapping", (long)first, (long)*page);
    mprotect((void *)page, 4096, PROT_READ | PROT_WRITE);
  }
  stop_all = 1;
  pthread_join(t, 0);
  if (faults == 0) fail("no write was stopped", 0, 0);
}

// Once a mapping has been replaced, nobody sees the old page.
static void *reader(void *cpu) {
  stay_on((int)(intptr_t)cpu);
  int last = 0;
  atomic_fetch_add(&ready, 1);
  while (!stop_all) {
    int now_phase = phase;
    uint64_t found = *page;
    if (now_phase != last) {
      if (found < (uint64_t)now_phase) fail("an old page was read: page, phase", (long)found, now_phase);
      last = now_phase;
      atomic_fetch_add(&answers, 1);
    }
  }
  return 0;
}
static void replace(void) {
  pthread_t t[MOST];
  page = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  stay_on(0);
  for (int i = 1; i < processors; i++) pthread_create(&t[i], 0, reader, (void *)(intptr_t)i);
  while (ready < processors - 1) {}
  for (int i = 1; i <= ROUNDS; i++) {
    volatile uint64_t *fresh = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    *fresh = (uint64_t)i;
    if (mremap((void *)fresh, 4096, 4096, MREMAP_MAYMOVE | MREMAP_FIXED, (void *)page) != (void *)page) fail("mremap", i, 0);
    phase = i;
    while (answers < (unsigned long)i * (unsigned long)(processors - 1)) {}
  }
  stop_all = 1;
  for (int i = 1; i < processors; i++) pthread_join(t[i], 0);
}

// A child's copy of a page does not change, whatever the parent's other threads write.
static void copy(void) {
  pthread_t t;
  page = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  stay_on(0);
  pthread_create(&t, 0, writer, (void *)(intptr_t)(processors - 1));
  while (!ready) {}
  for (int i = 0; i < 20; i++) {
    uint64_t before = *page;
    while (*page == before) {}
    pid_t child = fork();
    if (child == 0) {
      uint64_t first = *page, wait = now() + 1000000;
      while (now() < wait) {}
      _exit(*page != first);
    }
    int status;
    waitpid(child, &status, 0);
    if (status != 0) fail("the parent wrote into its child's page", i, status);
  }
  stop_all = 1;
  pthread_join(t, 0);
}

// Threads map, touch and unmap at the same time, in one address space; pages come zeroed. Each page is read before it is
// written, so that all processors must forget the zero page: on a host with fewer processors that takes milliseconds.
static void *mapper(void *seed) {
  unsigned state = (unsigned)(intptr_t)seed * 7919u + 1u;
  for (int i = 0; i < 60 / processors; i++) {
    state = state * 1103515245u + 12345u;
    size_t pages = 1 + (state >> 16) % 40;
    volatile uint64_t *at = mmap(0, pages * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED) fail("mmap", i, 0);
    for (size_t n = 0; n < pages; n += 8) {
      if (at[n * 512] != 0) fail("a fresh page is not zero", (long)at[n * 512], (long)n);
      at[n * 512] = (uint64_t)(intptr_t)seed;
    }
    for (size_t n = 0; n < pages; n += 8)
      if (at[n * 512] != (uint64_t)(intptr_t)seed) fail("another thread's page", (long)at[n * 512], (long)(intptr_t)seed);
    munmap((void *)at, pages * 4096);
  }
  return 0;
}
static void map(void) {
  pthread_t t[MOST];
  for (int i = 0; i < processors; i++) pthread_create(&t[i], 0, mapper, (void *)(intptr_t)(i + 1));
  for (int i = 0; i < processors; i++) pthread_join(t[i], 0);
}

// More threads at once than the kernel keeps stacks for: their stacks are unmapped, and mapped again for the next ones.
enum { CROWD = 300 };
static pthread_barrier_t all_here;
static void *one_of_many(void *unused) {
  pthread_barrier_wait(&all_here);
  return unused;
}
static void threads(void) {
  static pthread_t t[CROWD];
  pthread_attr_t small;
  pthread_attr_init(&small);
  pthread_attr_setstacksize(&small, 32768);
  for (int round = 0; round < 4; round++) {
    pthread_barrier_init(&all_here, 0, CROWD);
    for (int i = 0; i < CROWD; i++)
      if (pthread_create(&t[i], &small, one_of_many, 0)) fail("pthread_create", round, i);
    for (int i = 0; i < CROWD; i++) pthread_join(t[i], 0);
  }
}

// Time does not go back when a thread moves from processor to processor.
static void clock_(void) {
  uint64_t last = now();
  for (int i = 0; i < 20 * processors; i++) {
    stay_on(i % processors);
    struct timespec t;
    syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &t);
    uint64_t called = (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec, read = now();
    if (called < last || read < called) fail("time went back by", (long)(last - called), (long)(called - read));
    last = read;
  }
}

int main(int argc, char **argv) {
  static const struct { const char *name; void (*trial)(void); } trials[] = {
    {"spread", spread}, {"pinned", pinned}, {"protect", protect}, {"replace", replace}, {"copy", copy}, {"map", map},
    {"clock", clock_}, {"threads", threads},
  };
  processors = (int)sysconf(_SC_NPROCESSORS_ONLN);
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) || CPU_COUNT(&set) != processors) fail("affinity", CPU_COUNT(&set), processors);
  printf("%d processors\n", processors);
  for (int i = 1; i < argc; i++)
    for (size_t n = 0; n < sizeof trials / sizeof *trials; n++)
      if (!strcmp(argv[i], trials[n].name)) {
        phase = ready = stop_all = 0;
        faults = answers = seen = 0;
        fflush(stdout);
        trials[n].trial();
        sched_setaffinity(0, sizeof set, &set);
        printf("%s ok\n", argv[i]);
      }
  return 0;
}
