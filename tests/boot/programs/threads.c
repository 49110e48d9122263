// SPDX-License-Identifier: Apache-2.0
// Sixty-four threads over every kind of lock, thread-local storage, cancellation, and what ends threads: exec from one,
// exits of all sorts, signals to those that run. Prints what it counted, which is the same wherever it runs; "FAIL what"
// for what is not as it has to be. The argument chooses one part; without one, all.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define THREADS 64
#ifdef __GLIBC__
#define KINDS 2
#else
#define KINDS 1 // musl marks a dying owner's inheriting mutex without its waiters bit, and may hang, on Linux too
#endif
#define ROUNDS 24
static int fails;
#define OK(name, c) do { if (!(c)) { printf("FAIL %s: %s\n", name, strerror(errno)); fflush(stdout); fails++; } } while (0)
static void nap(int ms) { struct timespec t = {ms / 1000, ms % 1000 * 1000000l}; while (nanosleep(&t, &t) && errno == EINTR) ; }
static pthread_t all[THREADS];
static void crowd(void *(*f)(void *)) { for (long i = 0; i < THREADS; i++) if (pthread_create(&all[i], 0, f, (void *)i)) { printf("FAIL create %ld\n", i); fails++; exit(1); } }
static long gather(void) { long sum = 0; void *v; for (int i = 0; i < THREADS; i++) { pthread_join(all[i], &v); sum += (long)v; } return sum; }

static pthread_mutex_t m, m2; static long counter; static volatile int inside;
static void *add(void *x) { for (int i = 0; i < ROUNDS; i++) { if (pthread_mutex_lock(&m)) return (void *)1; if (inside++) fails++; long c = counter; if (i % 8 == 0) sched_yield(); counter = c + 1; inside--; if (pthread_mutex_unlock(&m)) return (void *)1; } return 0; }
static void *add_checked(void *x) { for (int i = 0; i < ROUNDS; i++) { int e; while ((e = pthread_mutex_trylock(&m)) == EBUSY) { if (pthread_mutex_unlock(&m) != EPERM) return (void *)1; sched_yield(); } if (e || pthread_mutex_lock(&m) != EDEADLK) return (void *)1; counter++; pthread_mutex_unlock(&m); } return 0; }
static void *add_recursive(void *x) { for (int i = 0; i < ROUNDS; i++) { for (int k = 0; k < 3; k++) pthread_mutex_lock(&m); counter++; for (int k = 0; k < 3; k++) pthread_mutex_unlock(&m); } return 0; }
static void mutex_of(int type, int robust, int protocol, int shared) { pthread_mutexattr_t a; pthread_mutexattr_init(&a); pthread_mutexattr_settype(&a, type); if (robust) pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST); if (protocol) pthread_mutexattr_setprotocol(&a, PTHREAD_PRIO_INHERIT); if (shared) pthread_mutexattr_setpshared(&a, PTHREAD_PROCESS_SHARED); errno = pthread_mutex_init(&m, &a); OK("mutex init", errno == 0); counter = 0; inside = 0; }
static void mutexes(void) {
  mutex_of(PTHREAD_MUTEX_NORMAL, 0, 0, 0); crowd(add); OK("normal", gather() == 0); printf("normal %ld\n", counter);
  mutex_of(PTHREAD_MUTEX_NORMAL, 0, 0, 1); crowd(add); OK("shared", gather() == 0); printf("shared %ld\n", counter);
  mutex_of(PTHREAD_MUTEX_ERRORCHECK, 0, 0, 0); crowd(add_checked); OK("checked", gather() == 0); printf("checked %ld\n", counter);
  mutex_of(PTHREAD_MUTEX_RECURSIVE, 0, 0, 0); crowd(add_recursive); OK("recursive", gather() == 0); printf("recursive %ld\n", counter);
  mutex_of(PTHREAD_MUTEX_NORMAL, 0, 1, 0); crowd(add); OK("inheriting", gather() == 0); printf("inheriting %ld\n", counter);
  mutex_of(PTHREAD_MUTEX_NORMAL, 1, 0, 0); crowd(add); OK("robust", gather() == 0); printf("robust %ld\n", counter);
}

static void *die_with_it(void *x) { int e = pthread_mutex_lock(&m); if (e == EOWNERDEAD) pthread_mutex_consistent(&m); else if (e) return (void *)1000; counter++; return (void *)(long)(e == EOWNERDEAD); }
static void robust(void) {
  for (int pi = 0; pi < KINDS; pi++) {
    mutex_of(PTHREAD_MUTEX_NORMAL, 1, pi, 0); crowd(die_with_it); long died = gather();
    printf("inherited from the dead %d: %ld of %ld\n", pi, died, counter);
    OK("last owner died", pthread_mutex_lock(&m) == EOWNERDEAD); pthread_mutex_unlock(&m);
    OK("not recoverable", pthread_mutex_lock(&m) == ENOTRECOVERABLE);
  }
}

static pthread_cond_t cv = PTHREAD_COND_INITIALIZER; static pthread_barrier_t bar; static int turn, generation, waiting;
static void *in_turn(void *x) { for (int i = 0; i < 5; i++) { pthread_mutex_lock(&m2); while (turn != (long)x) pthread_cond_wait(&cv, &m2); turn = (turn + 1) % THREADS; counter++; pthread_cond_broadcast(&cv); pthread_mutex_unlock(&m2); } return 0; }
static void *herd(void *x) { long n = 0; for (int i = 0; i < 10; i++) { pthread_mutex_lock(&m2); int g = generation; if (++waiting == THREADS) { waiting = 0; generation++; n++; pthread_cond_broadcast(&cv); } else while (g == generation) pthread_cond_wait(&cv, &m2); pthread_mutex_unlock(&m2); } return (void *)n; }
static void *meet(void *x) { long n = 0; for (int i = 0; i < 10; i++) { int e = pthread_barrier_wait(&bar); if (e == PTHREAD_BARRIER_SERIAL_THREAD) n++; else if (e) n += 1000; } return (void *)n; }
static void conditions(void) {
  pthread_mutex_init(&m2, 0); counter = 0; crowd(in_turn); gather(); printf("in turn %ld\n", counter);
  crowd(herd); printf("herd %ld\n", gather());
  pthread_barrier_init(&bar, 0, THREADS); crowd(meet); printf("barrier %ld\n", gather());
  struct timespec t; clock_gettime(CLOCK_REALTIME, &t); t.tv_nsec += 5000000; if (t.tv_nsec >= 1000000000) t.tv_nsec -= 1000000000, t.tv_sec++;
  pthread_mutex_lock(&m2); OK("timed wait", pthread_cond_timedwait(&cv, &m2, &t) == ETIMEDOUT); pthread_mutex_unlock(&m2);
}

static pthread_rwlock_t rw = PTHREAD_RWLOCK_INITIALIZER; static volatile long pair[2]; static sem_t sem, sem2; static int slots; static volatile int in_use;
static void *read_write(void *x) { long bad = 0; for (int i = 0; i < ROUNDS; i++) { if (((long)x + i) % 8 == 0) { pthread_rwlock_wrlock(&rw); pair[0]++; if (i % 16 == 0) sched_yield(); pair[1]++; pthread_rwlock_unlock(&rw); } else { pthread_rwlock_rdlock(&rw); if (pair[0] != pair[1]) bad++; pthread_rwlock_unlock(&rw); } } return (void *)bad; }
static void *limited(void *x) { long bad = 0; for (int i = 0; i < ROUNDS; i++) { while (sem_wait(&sem)) {} if (__sync_add_and_fetch(&in_use, 1) > 4) bad++; if (i % 8 == 0) sched_yield(); __sync_sub_and_fetch(&in_use, 1); sem_post(&sem); } return (void *)bad; }
static void *pass(void *x) { for (int i = 0; i < ROUNDS; i++) { if ((long)x % 2) sem_post(&sem2); else while (sem_wait(&sem2)) {} } return 0; }
static void others(void) {
  pair[0] = pair[1] = 0; crowd(read_write); OK("rwlock", gather() == 0 && pair[0] == pair[1]); printf("writes %ld\n", pair[0]);
  sem_init(&sem, 0, 4); crowd(limited); OK("semaphore", gather() == 0); sem_getvalue(&sem, &slots); printf("semaphore %d\n", slots);
  sem_init(&sem2, 0, 0); crowd(pass); gather(); sem_getvalue(&sem2, &slots); printf("passed %d\n", slots);
}

static __thread long own; static pthread_key_t key; static volatile long destroyed; static pthread_once_t once = PTHREAD_ONCE_INIT; static volatile long inits;
static void gone(void *v) { __sync_add_and_fetch(&destroyed, (long)v); } static void init(void) { nap(2); inits++; }
static void *local(void *x) { pthread_once(&once, init); if (!inits) return (void *)1; own = (long)x; pthread_setspecific(key, (void *)((long)x + 1)); for (int i = 0; i < 10; i++) { sched_yield(); if (own != (long)x || (long)pthread_getspecific(key) != (long)x + 1) return (void *)1; } return 0; }
static volatile int cleaned; static void clean(void *x) { __sync_add_and_fetch(&cleaned, 1); }
static void *cancelled(void *x) { pthread_cleanup_push(clean, 0); if ((long)x % 2) { pthread_mutex_lock(&m2); pthread_mutex_unlock(&m2); for (;;) pause(); } else { pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, 0); for (;;) ; } pthread_cleanup_pop(0); return 0; }
static void storage(void) {
  pthread_key_create(&key, gone); crowd(local); OK("thread-local", gather() == 0); printf("destroyed %ld, initialised %ld\n", destroyed, inits);
  crowd(cancelled); nap(30); long n = 0; void *v; for (int i = 0; i < THREADS; i++) pthread_cancel(all[i]); for (int i = 0; i < THREADS; i++) { pthread_join(all[i], &v); n += v == PTHREAD_CANCELED; } printf("cancelled %ld cleaned %d\n", n, cleaned);
}

static void *spins(void *x) { for (;;) if ((long)x % 3 == 0) sched_yield(); return 0; }
static void *sleeps(void *x) { for (;;) pause(); return 0; }
static void *mixed(void *x) { return (long)x % 2 ? spins(x) : sleeps(x); }
static void *forks(void *x) { for (;;) { pid_t p = fork(); if (!p) _exit(0); if (p > 0) waitpid(p, 0, 0); } return 0; }
static void *short_lived(void *x) { if (x) nap(10); return 0; }
static void *creates(void *x) { for (;;) { pthread_t t; if (!pthread_create(&t, 0, short_lived, 0)) pthread_join(t, 0); } return 0; }
static volatile int gate; static char *self;
static void *execs(void *x) { while (!gate) sched_yield(); if ((long)x < 8) execl("/proc/self/exe", self, "name", (char *)0); for (;;) pause(); return 0; }
static void *ends(void *x) { while (!gate) sched_yield(); if ((long)x % 7 == 3) exit(17); if ((long)x % 5 == 0) pthread_exit(0); return mixed(x); }
static void in_child(const char *name, void (*f)(void), int want) {
  fflush(stdout); pid_t p = fork(); int st = 0; if (!p) { f(); _exit(99); }
  struct timespec a, b; clock_gettime(CLOCK_MONOTONIC, &a);
  while (waitpid(p, &st, WNOHANG) == 0) { clock_gettime(CLOCK_MONOTONIC, &b); if (b.tv_sec - a.tv_sec > 20) { printf("FAIL %s hangs\n", name); fails++; kill(p, SIGKILL); waitpid(p, &st, 0); return; } nap(1); }
  if (st != want) { printf("FAIL %s: status %#x\n", name, st); fails++; }
}
static void exit_all(void) { crowd(mixed); nap(10); exit(5); }
static void exit_some(void) { crowd(ends); gate = 1; sleeps(0); }
static void exec_one(void) { crowd(execs); gate = 1; sleeps(0); }
static void exec_leader(void) { crowd(mixed); nap(5); execl("/proc/self/exe", self, "name", (char *)0); }
static void leader_ends(void) { crowd(ends); gate = 1; pthread_exit(0); }
static void last_thread_ends(void) { crowd(short_lived); pthread_exit(0); }
static void killed(void) { crowd(mixed); nap(5); kill(getpid(), SIGTERM); sleeps(0); }
static void killed_forking(void) { for (int i = 0; i < 8; i++) pthread_create(&all[i], 0, i % 2 ? forks : creates, 0); nap(30); kill(getpid(), SIGKILL); sleeps(0); }
static void exec_creating(void) { for (int i = 0; i < 8; i++) pthread_create(&all[i], 0, creates, 0); nap(20); execl("/proc/self/exe", self, "name", (char *)0); }
static void faults(void) { crowd(mixed); nap(5); *(volatile int *)16 = 1; }
static void endings(void) {
  for (int i = 0; i < 2; i++) {
    in_child("exit", exit_all, 5 << 8); in_child("exit race", exit_some, 17 << 8); in_child("exec from a thread", exec_one, 7 << 8); in_child("exec by the leader", exec_leader, 7 << 8);
    in_child("leader ends first", leader_ends, 17 << 8); in_child("last thread", last_thread_ends, 0); in_child("killed", killed, SIGTERM); in_child("killed while forking", killed_forking, SIGKILL); in_child("exec while creating", exec_creating, 7 << 8); in_child("fault", faults, SIGSEGV);
  }
  printf("endings\n");
}

static volatile long seen[THREADS]; static void note(int s) { __sync_add_and_fetch(&seen[own], 1); }
static volatile int stop;
static void *target(void *x) { own = (long)x; __sync_add_and_fetch(&gate, 1); if (own % 16 == 1) while (!stop) ; else while (!stop) nap(5); return 0; }
static void signals(void) {
  struct sigaction s = {.sa_handler = note}; sigaction(SIGUSR1, &s, 0); gate = 0; crowd(target); while (gate < THREADS) nap(1);
  for (int i = 0; i < 2; i++) for (int t = 0; t < THREADS; t++) { long before = seen[t]; pthread_kill(all[t], SIGUSR1); int n = 0; while (seen[t] == before && n++ < 5000) nap(1); }
  stop = 1; gather(); long sum = 0; for (int t = 0; t < THREADS; t++) sum += seen[t]; printf("signals %ld\n", sum);
  pid_t p = fork(); if (!p) { crowd(sleeps); for (int i = 0; i < 4; i++) pthread_create(&all[0], 0, spins, (void *)1); sleeps(0); } nap(50); int st; long stops = 0;
  for (int i = 0; i < 4; i++) { kill(p, SIGSTOP); if (waitpid(p, &st, WUNTRACED) == p && WIFSTOPPED(st)) stops++; kill(p, SIGCONT); if (waitpid(p, &st, WCONTINUED) == p && WIFCONTINUED(st)) stops++; }
  kill(p, SIGKILL); waitpid(p, &st, 0); printf("stops %ld, killed by %d\n", stops, WTERMSIG(st));
}

static int membarrier(int c) { return syscall(SYS_membarrier, c, 0, 0); }
static void *looks(void *x) { char path[64], text[256]; long n = 0; while (!stop) { snprintf(path, sizeof path, "/proc/%d/%s", getpid(), (const char *[]){"status", "stat", "cmdline", "task", "limits", "maps"}[n++ % 6]); int f = open(path, O_RDONLY); if (f >= 0) { read(f, text, sizeof text); close(f); } } return 0; }
static void *changes(void *x) { for (int i = 0; i < 200; i++) { struct rlimit l; getrlimit(RLIMIT_NOFILE, &l); setrlimit(RLIMIT_NOFILE, &l); prctl(PR_SET_NAME, i % 2 ? "one" : "another"); syscall(SYS_setresuid, -1, i % 2 ? 0 : 0, -1); syscall(SYS_setgroups, 0, 0); if (i % 20 == 0) { pid_t p = vfork(); if (!p) { execl("/proc/self/exe", self, "name", (char *)0); _exit(1); } int st; if (waitpid(p, &st, 0) != p || st != 7 << 8) fails++; } } return 0; }
static void looked_at(void) {
  pthread_t l[4], c[4]; stop = 0; for (int i = 0; i < 4; i++) { pthread_create(&l[i], 0, looks, 0); pthread_create(&c[i], 0, changes, 0); }
  for (int i = 0; i < 4; i++) pthread_join(c[i], 0); stop = 1; for (int i = 0; i < 4; i++) pthread_join(l[i], 0);
  int q = membarrier(0); if (q > 0) { OK("not registered", membarrier(8) == -1 && errno == EPERM); OK("register", membarrier(16) == 0 && membarrier(8) == 0); OK("global", membarrier(1) == 0 && membarrier(2) == 0); OK("unknown", membarrier(1 << 20) == -1 && errno == EINVAL); }
  printf("looked at\n");
}

int main(int argc, char **argv) {
  self = argv[0]; if (argc > 1 && !strcmp(argv[1], "name")) _exit(getpid() == syscall(SYS_gettid) ? 7 : 8);
  setvbuf(stdout, 0, _IOLBF, 0);
  struct { const char *name; void (*f)(void); } parts[] = {{"mutexes", mutexes}, {"robust", robust}, {"conditions", conditions}, {"others", others}, {"storage", storage}, {"endings", endings}, {"signals", signals}, {"looked-at", looked_at}};
  for (unsigned i = 0; i < sizeof parts / sizeof *parts; i++) if (argc < 2 || !strcmp(argv[1], parts[i].name)) parts[i].f();
  return fails;
}
