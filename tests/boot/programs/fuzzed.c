// SPDX-License-Identifier: Apache-2.0
// Trials for seeded schedules (kaa.schedule_seed): what several tasks do to one object of the kernel, checked from every
// side. Each word on the command line is a trial; it prints "NAME ok HASH", where HASH stands for the order in which
// things happened, or what went wrong. Who waits does so with a time limit, so that a lost wake-up is told and does not hang.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/reboot.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { THREADS = 4, SECONDS = 20 };
static const char *trial;
static _Atomic uint64_t hash = 14695981039346656037ull;

#define CHECK(condition) \
  do { int saved_ = errno; if (!(condition)) { errno = saved_; fail(#condition, __LINE__); } } while (0)

static void fail(const char *what, int line) {
  printf("%s: line %d: not so: %s (%s)\n", trial, line, what, strerror(errno));
  fflush(stdout);
  _exit(1);
}

// One event of the order that HASH stands for: FNV-1a, one step at a time.
static void note(unsigned event) {
  uint64_t before = hash;
  while (!atomic_compare_exchange_weak(&hash, &before, (before ^ event) * 1099511628211ull)) {}
}

static void dawdle(unsigned turns) {
  for (volatile unsigned i = 0; i < turns; i++) {}
}

// For loops that wait for another thread: to spin would keep the others from the kernel's locks, one turn of the whole
// machine for each try.
static void nap(void) { nanosleep(&(struct timespec){0, 3000}, 0); }

static unsigned next(unsigned *state) { return (*state = *state * 1103515245u + 12345u) >> 16; }

static void together(void *(*work)(void *)) {
  pthread_t threads[THREADS];
  for (intptr_t i = 0; i < THREADS; i++) CHECK(pthread_create(&threads[i], 0, work, (void *)i) == 0);
  for (int i = 0; i < THREADS; i++) CHECK(pthread_join(threads[i], 0) == 0);
}

// -- futex: a mutex of three states and a condition whose waiters are moved to it, as C libraries had them, on bare futexes

static _Atomic uint32_t mutex, condition;
static unsigned turn, inside, rounds[THREADS];
enum { TURNS = 60 };

static long futex(_Atomic uint32_t *word, int operation, uint32_t value, uintptr_t other, _Atomic uint32_t *word2, uint32_t value3) {
  return syscall(SYS_futex, word, operation | FUTEX_PRIVATE_FLAG, value, other, word2, value3);
}

static void wait_while(_Atomic uint32_t *word, uint32_t value) {
  struct timespec limit = {SECONDS, 0};
  if (futex(word, FUTEX_WAIT, value, (uintptr_t)&limit, 0, 0) != 0) CHECK(errno == EAGAIN || errno == EINTR);
}

static void lock(void) {
  uint32_t found = 0;
  if (atomic_compare_exchange_strong(&mutex, &found, 1)) return;
  while (atomic_exchange(&mutex, 2) != 0) wait_while(&mutex, 2);
}

static void unlock(void) {
  if (atomic_exchange(&mutex, 0) == 2) CHECK(futex(&mutex, FUTEX_WAKE, 1, 0, 0, 0) >= 0);
}

static void sleep_for_turn(void) {
  uint32_t seen = condition;
  unlock();
  wait_while(&condition, seen);
  while (atomic_exchange(&mutex, 2) != 0) wait_while(&mutex, 2); // others may have been moved here: wake them in turn
}

static void wake_all(void) {
  uint32_t now = atomic_fetch_add(&condition, 1) + 1;
  while (futex(&condition, FUTEX_CMP_REQUEUE, 1, THREADS, &mutex, now) < 0) {
    CHECK(errno == EAGAIN);
    now = condition;
  }
}

static void *take_turns(void *argument) {
  unsigned me = (unsigned)(intptr_t)argument, state = me + 1;
  for (unsigned i = 0; i < TURNS; i++) {
    lock();
    while (turn % THREADS != me) sleep_for_turn();
    CHECK(inside++ == 0);
    dawdle(next(&state) % 200);
    CHECK(--inside == 0);
    turn++;
    wake_all();
    unlock();
    for (unsigned k = next(&state) % 3; k > 0; k--) { // out of turn: who comes is chance
      lock();
      CHECK(inside++ == 0);
      note(me);
      dawdle(next(&state) % 100);
      CHECK(--inside == 0);
      rounds[me]++;
      unlock();
    }
  }
  return 0;
}

static void futexes(void) {
  together(take_turns);
  CHECK(turn == THREADS * TURNS && mutex == 0);
  CHECK(futex(&condition, FUTEX_WAKE, 99, 0, 0, 0) == 0 && futex(&mutex, FUTEX_WAKE, 99, 0, 0, 0) == 0);
}

// -- pipe: records of many lengths through a small pipe; each arrives once, whole, and each writer's in order

enum { RECORDS = 80, LONGEST = 1500 };
struct record { uint16_t length; uint8_t writer, number; };
static int ends[2];

static void *write_records(void *argument) {
  unsigned me = (unsigned)(intptr_t)argument, state = me + 7;
  char buffer[LONGEST];
  for (unsigned i = 0; i < RECORDS; i++) {
    struct record head = {sizeof head + next(&state) % (LONGEST - sizeof head), me, i};
    memset(buffer, (int)(me * 64 + i), head.length);
    memcpy(buffer, &head, sizeof head);
    CHECK(write(ends[1], buffer, head.length) == head.length); // not more than PIPE_BUF: all or nothing
  }
  return 0;
}

static size_t read_some(char *into, size_t size) {
  struct pollfd poll_for = {ends[0], POLLIN, 0};
  CHECK(poll(&poll_for, 1, SECONDS * 1000) == 1);
  ssize_t got = read(ends[0], into, size);
  CHECK(got >= 0);
  return (size_t)got;
}

static void *read_records(void *unused) {
  static char buffer[2 * LONGEST];
  unsigned expected[THREADS] = {0}, state = 99;
  size_t have = 0, got;
  while ((got = read_some(buffer + have, 1 + next(&state) % LONGEST)) > 0) {
    have += got;
    struct record head;
    while (have >= sizeof head && (memcpy(&head, buffer, sizeof head), have >= head.length)) {
      CHECK(head.writer < THREADS && head.number == expected[head.writer]++);
      for (size_t k = sizeof head; k < head.length; k++)
        CHECK((uint8_t)buffer[k] == (uint8_t)(head.writer * 64 + head.number));
      note(head.writer);
      memmove(buffer, buffer + head.length, have -= head.length);
    }
  }
  CHECK(have == 0);
  for (int i = 0; i < THREADS; i++) CHECK(expected[i] == RECORDS);
  return unused;
}

static void pipes(void) {
  pthread_t reader;
  CHECK(pipe(ends) == 0);
  CHECK(fcntl(ends[1], F_SETPIPE_SZ, 4096) == 4096);
  CHECK(pthread_create(&reader, 0, read_records, 0) == 0);
  together(write_records);
  close(ends[1]);
  CHECK(pthread_join(reader, 0) == 0);
  // The other way to end: a writer that sleeps in a full pipe is told when the last reader goes.
  signal(SIGPIPE, SIG_IGN);
  for (int i = 0; i < 20; i++) {
    int pair[2], status;
    CHECK(pipe(pair) == 0);
    pid_t child = fork();
    if (child == 0) {
      char block[8192] = {0};
      close(pair[0]);
      alarm(SECONDS);
      while (write(pair[1], block, sizeof block) > 0) {}
      _exit(errno == EPIPE ? 7 : 8);
    }
    close(pair[1]);
    dawdle((unsigned)i * 300);
    close(pair[0]);
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 7);
  }
}

// -- wait: several threads wait for the same children: each end is told once, and nobody waits when none is left

enum { CHILDREN = 12 };
static pid_t children[CHILDREN];
static _Atomic int reaped[CHILDREN];

static int child_number(pid_t pid) {
  for (int i = 0; i < CHILDREN; i++)
    if (children[i] == pid) return i;
  return -1;
}

static void *reap(void *argument) {
  int me = (int)(intptr_t)argument, status;
  for (;;) {
    pid_t got = waitpid(me == 0 ? children[CHILDREN / 2] : -1, &status, me == 1 ? WNOHANG : 0);
    if (got < 0) {
      CHECK(errno == ECHILD);
      return 0;
    }
    if (got == 0) { // WNOHANG, and all that there are live
      nap();
      continue;
    }
    int number = child_number(got);
    CHECK(number >= 0 && reaped[number]++ == 0);
    if (number % 3 == 2) CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    else CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 40 + number);
    note((unsigned)number);
  }
}

static void live(int number) {
  dawdle((unsigned)number * 97 % 700);
  if (number % 3 == 2) kill(getpid(), SIGKILL);
  _exit(40 + number);
}

static void wait_for_orphans(void) {
  for (int round = 0; round < 8; round++) {
    int status, seen = 0;
    pid_t child = fork(), got;
    if (child == 0) _exit(fork() == 0 ? 90 : 41);
    while ((got = waitpid(-1, &status, 0)) > 0) {
      CHECK(WIFEXITED(status) && WEXITSTATUS(status) == (got == child ? 41 : 90));
      seen += got == child ? 1 : 100;
      note(got == child);
    }
    CHECK(errno == ECHILD && seen == 101);
  }
}

static void stop_and_continue(void) {
  int status;
  pid_t child = fork();
  if (child == 0)
    for (;;) pause();
  for (int i = 0; i < 8; i++) {
    CHECK(kill(child, SIGSTOP) == 0 && waitpid(child, &status, WUNTRACED) == child && WIFSTOPPED(status));
    CHECK(waitpid(child, &status, WUNTRACED | WNOHANG) == 0); // told once
    CHECK(kill(child, SIGCONT) == 0 && waitpid(child, &status, WCONTINUED) == child && WIFCONTINUED(status));
  }
  CHECK(kill(child, SIGKILL) == 0 && waitpid(child, &status, 0) == child && WTERMSIG(status) == SIGKILL);
}

static void waits(void) {
  CHECK(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0);
  for (int round = 0; round < 4; round++) {
    for (int i = 0; i < CHILDREN; i++) {
      reaped[i] = 0;
      CHECK((children[i] = fork()) >= 0);
      if (children[i] == 0) live(i);
    }
    together(reap);
    for (int i = 0; i < CHILDREN; i++) CHECK(reaped[i] == 1);
  }
  wait_for_orphans();
  stop_and_continue();
}

// -- signal: queued signals arrive once and in order; one that interrupts loses neither itself nor what it interrupted

enum { SIGNALS = 60 };
static _Atomic int handled, sent;

static void *queue_signals(void *argument) {
  int me = (int)(intptr_t)argument;
  for (int i = 0; i < SIGNALS; i++) CHECK(sigqueue(getpid(), SIGRTMIN + me, (union sigval){.sival_int = i}) == 0);
  return 0;
}

static void *take_signals(void *unused) {
  int expected[THREADS] = {0};
  struct timespec limit = {SECONDS, 0};
  sigset_t all;
  siginfo_t info;
  sigfillset(&all);
  for (int i = 0; i < THREADS * SIGNALS; i++) {
    int number = sigtimedwait(&all, &info, &limit) - SIGRTMIN;
    CHECK(0 <= number && number < THREADS && info.si_value.sival_int == expected[number]++);
    CHECK(info.si_code == SI_QUEUE && info.si_pid == getpid());
    note((unsigned)number);
  }
  return unused;
}

static void count(int number) {
  (void)number;
  handled++;
}

static void *read_in_spite_of_signals(void *unused) {
  sigset_t none;
  sigemptyset(&none);
  CHECK(pthread_sigmask(SIG_SETMASK, &none, 0) == 0);
  for (int expected = 0; expected < SIGNALS;) {
    char byte;
    ssize_t got = read(ends[0], &byte, 1);
    if (got < 0) CHECK(errno == EINTR);
    else CHECK(got == 1 && byte == expected++);
    note(got < 0);
  }
  while (handled < SIGNALS) nap();
  return unused;
}

static void *wait_by_sigsuspend(void *unused) {
  sigset_t none;
  sigemptyset(&none);
  for (int i = 0; i < SIGNALS; i++) {
    while (handled == i) sigsuspend(&none); // blocked outside it: cannot come between the look and the sleep
    sent++;                                 // the next may come
  }
  return unused;
}

static void signals(void) {
  pthread_t taker;
  sigset_t all;
  sigfillset(&all);
  sigdelset(&all, SIGALRM);
  CHECK(pthread_sigmask(SIG_SETMASK, &all, 0) == 0);
  CHECK(pthread_create(&taker, 0, take_signals, 0) == 0);
  together(queue_signals);
  CHECK(pthread_join(taker, 0) == 0);
  for (int flags = 0; flags <= SA_RESTART; flags += SA_RESTART) {
    handled = 0;
    CHECK(sigaction(SIGUSR1, &(struct sigaction){.sa_handler = count, .sa_flags = flags}, 0) == 0 && pipe(ends) == 0);
    CHECK(pthread_create(&taker, 0, read_in_spite_of_signals, 0) == 0);
    for (int i = 0; i < SIGNALS; i++) {
      CHECK(pthread_kill(taker, SIGUSR1) == 0 && write(ends[1], &(char){(char)i}, 1) == 1);
      while (handled == i) nap();
    }
    CHECK(pthread_join(taker, 0) == 0 && handled == SIGNALS && close(ends[0]) == 0 && close(ends[1]) == 0);
  }
  handled = sent = 0;
  CHECK(pthread_create(&taker, 0, wait_by_sigsuspend, 0) == 0);
  for (int i = 0; i < SIGNALS; i++) {
    CHECK(pthread_kill(taker, SIGUSR1) == 0);
    while (sent == i) nap();
  }
  CHECK(pthread_join(taker, 0) == 0 && handled == SIGNALS);
}

// -- rcu: threads and processes are looked up by number, without a lock, while they come and go

enum { LIVES = 25 };
struct slot { _Atomic int tid, generation; _Atomic uint32_t leave; };
static struct slot slots[THREADS];

static void *stay_a_while(void *argument) {
  struct slot *mine = argument;
  mine->tid = (int)syscall(SYS_gettid);
  mine->generation++; // odd: alive until told to leave
  while (mine->leave == 0) wait_while(&mine->leave, 0);
  return 0;
}

static long look_up(int tid, unsigned how) {
  cpu_set_t set;
  struct timespec time;
  switch (how % 4) {
    case 0: return syscall(SYS_tgkill, getpid(), tid, 0);
    case 1: return syscall(SYS_sched_getaffinity, tid, sizeof set, &set) > 0 ? 0 : -1;
    case 2: return syscall(SYS_sched_getscheduler, tid) >= 0 ? 0 : -1;
    default: return syscall(SYS_clock_gettime, ~tid << 3 | 6, &time) == 0 || errno == EINVAL ? 0 : -1; // its CPU clock
  }
}

static void *come_and_go(void *argument) {
  unsigned me = (unsigned)(intptr_t)argument, state = me + 3;
  struct slot *mine = &slots[me];
  for (int i = 0; i < LIVES; i++) {
    pthread_t thread;
    mine->leave = 0;
    int before = mine->generation;
    CHECK(pthread_create(&thread, 0, stay_a_while, mine) == 0);
    while (mine->generation == before) nap();
    for (int k = 0; k < 6; k++) {
      struct slot *other = &slots[next(&state) % THREADS];
      int generation = other->generation, tid = other->tid;
      if (tid == 0) continue;
      errno = 0;
      long found = look_up(tid, next(&state));
      CHECK(found == 0 || errno == ESRCH);
      if (generation % 2 == 1 && other->generation == generation) CHECK(found == 0); // it lived all the time
      note((unsigned)(found == 0));
    }
    mine->generation++;
    mine->leave = 1;
    CHECK(futex(&mine->leave, FUTEX_WAKE, 1, 0, 0, 0) >= 0);
    CHECK(pthread_join(thread, 0) == 0);
    while (syscall(SYS_tgkill, getpid(), mine->tid, 0) == 0) nap();
    CHECK(errno == ESRCH);
    if (i % 5 == 0) {
      pid_t child = fork();
      if (child == 0) _exit(0);
      CHECK(kill(child, 0) == 0 && waitpid(child, 0, 0) == child && kill(child, 0) == -1 && errno == ESRCH);
    }
  }
  return 0;
}

static void lookups(void) { together(come_and_go); }

static void hangs(int number) {
  (void)number;
  printf("%s: hangs\n", trial);
  fflush(stdout);
  _exit(1);
}

int main(int argc, char **argv) {
  static const struct { const char *name; void (*run)(void); } trials[] = {
    {"futex", futexes}, {"pipe", pipes}, {"wait", waits}, {"signal", signals}, {"rcu", lookups},
  };
  int status = 0;
  for (int i = 1; i < argc; i++)
    for (size_t n = 0; n < sizeof trials / sizeof *trials; n++)
      if (!strcmp(argv[i], trials[n].name)) {
        pid_t child = fork();
        if (child == 0) {
          trial = argv[i];
          signal(SIGALRM, hangs);
          alarm(3 * SECONDS);
          trials[n].run();
          printf("%s ok %016llx\n", trial, (unsigned long long)hash);
          fflush(stdout);
          _exit(0);
        }
        int ended;
        if (waitpid(child, &ended, 0) != child || ended != 0) printf("%s: ended with wait status %#x\n", argv[i], ended), status = 1;
      }
  fflush(stdout);
  if (getpid() == 1) reboot(RB_POWER_OFF);  // as process 1, the machine ends with the trials
  return status;
}
