// SPDX-License-Identifier: Apache-2.0
// Eighteen operations on processes, signals and timers, done twenty times and with each of their allocations failing in turn:
// nothing may be left behind. Says "FAIL operation, how" and which class grew; exits with the number of failures.
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <signal.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <spawn.h>
#include <time.h>
#include <sys/wait.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/signalfd.h>
#include <sys/time.h>
#include "objects.h"
static void *nop(void *a) { return a; }
static void wt(void) { int st; while (wait(&st) > 0) ; }
static void op_fork(void) { pid_t p = fork(); if (!p) _exit(0); wt(); }
static void op_vfork(void) { pid_t p = vfork(); if (!p) { char *av[] = {"leaks", "x", 0}; execv("/proc/self/exe", av); _exit(1);} wt(); }
static void op_exec(void) { pid_t p = fork(); if (!p) { char *av[] = {"leaks", "x", 0}; execv("/proc/self/exe", av); _exit(1);} wt(); }
static void op_badexec(void) { pid_t p = fork(); if (!p) { char *av[] = {"leaks", "x", 0}; execv("/dev/null", av); execv("/nope", av); execv("/proc/version", av); _exit(1);} wt(); }
static void op_thread(void) { pthread_t t; if (!pthread_create(&t, 0, nop, 0)) pthread_join(t, 0); }
static void op_kill(void) { pid_t p = fork(); if (!p) { pause(); _exit(0);} if (p > 0) kill(p, SIGKILL); wt(); }
static void op_sig(void) { signal(SIGUSR1, SIG_IGN); raise(SIGUSR1); sigset_t s; sigemptyset(&s); sigaddset(&s, SIGRTMIN); sigprocmask(SIG_BLOCK, &s, 0); union sigval v = {0}; for (int i = 0; i < 5; i++) sigqueue(getpid(), SIGRTMIN, v); struct timespec ts = {0}; while (sigtimedwait(&s, 0, &ts) > 0) ; }
static void op_sigdie(void) { pid_t p = fork(); if (!p) { sigset_t s; sigfillset(&s); sigprocmask(SIG_BLOCK, &s, 0); union sigval v = {0}; for (int i = 0; i < 5; i++) sigqueue(getpid(), SIGRTMIN, v), raise(SIGTERM); _exit(0);} wt(); }
static void op_timer(void) { timer_t t; struct sigevent ev = {.sigev_notify = SIGEV_NONE}; if (!timer_create(CLOCK_MONOTONIC, &ev, &t)) { struct itimerspec its = {.it_value = {100, 0}}; timer_settime(t, 0, &its, 0); timer_delete(t); } }
static void op_timerdie(void) { pid_t p = fork(); if (!p) { timer_t t; struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1}; timer_create(CLOCK_MONOTONIC, &ev, &t); struct itimerspec its = {.it_value = {100, 0}}; timer_settime(t, 0, &its, 0); alarm(100); timerfd_create(CLOCK_MONOTONIC, 0); int f = timerfd_create(CLOCK_REALTIME, 0); timerfd_settime(f, 0, &its, 0); _exit(0);} wt(); }
static void op_stop(void) { pid_t p = fork(); int st; if (!p) { for (;;) pause(); } if (p > 0) { kill(p, SIGSTOP); waitpid(p, &st, WUNTRACED); kill(p, SIGCONT); kill(p, SIGKILL);} wt(); }
static void *ex(void *a) { char *av[] = {"leaks", "x", 0}; execv("/proc/self/exe", av); return 0; }
static void *ps(void *a) { pause(); return 0; }
static void op_thexec(void) { pid_t p = fork(); if (!p) { pthread_t t; pthread_create(&t, 0, ps, 0); if (pthread_create(&t, 0, ex, 0)) _exit(1); sleep(1); _exit(0);} wt(); }
static void op_setsid(void) { pid_t p = fork(); if (!p) { setsid(); pid_t q = fork(); if (!q) { setpgid(0, 0); _exit(0);} _exit(0);} wt(); usleep(2000); wt(); }
static void op_pipe(void) { int p[2]; if (!pipe(p)) { write(p[1], "x", 1); close(p[0]); close(p[1]); } }
static void op_mmap(void) { char *m = mmap(0, 65536, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); if (m != MAP_FAILED) munmap(m, 65536); }
static void op_open(void) { int f = open("/tmp/x", O_CREAT | O_RDWR, 0600); if (f >= 0) { close(f); unlink("/tmp/x"); } }
static void op_sleep(void) { struct timespec ts = {0, 100000}; nanosleep(&ts, 0); }
static void op_ids(void) { pid_t p = fork(); if (!p) { gid_t g[3] = {1, 2, 3}; setgroups(3, g); setgid(5); setuid(5); _exit(0);} wt(); }
static struct { const char *n; void (*f)(void); } ops[] = {{"fork", op_fork}, {"vfork", op_vfork}, {"exec", op_exec}, {"badexec", op_badexec}, {"thread", op_thread}, {"kill", op_kill}, {"sig", op_sig}, {"sigdie", op_sigdie}, {"timer", op_timer}, {"timerdie", op_timerdie}, {"stop", op_stop}, {"thexec", op_thexec}, {"setsid", op_setsid}, {"pipe", op_pipe}, {"mmap", op_mmap}, {"open", op_open}, {"sleep", op_sleep}, {"ids", op_ids}};
static char before[1 << 16], after[1 << 16];
static int control;
enum { ROUNDS = 3 };

static void arm(long n) { char text[32]; int length = snprintf(text, sizeof text, "%ld", n), tries = 0; while (pwrite(control, text, length, 0) != length && tries++ < 9); }
static long left(void) { char text[32] = "1"; return pread(control, text, 31, 0) < 0 ? 1 : atol(text); }

// Every allocation of the operation fails once, the nth at the nth turn.
static void fail_each(void (*operation)(void)) {
    for (long n = 1; n < 400; n++) { arm(n); operation(); long rest = left(); arm(0); if (rest > 0) break; }
}

static void twenty(void (*operation)(void)) { for (int i = 0; i < 20; i++) operation(); }

// More live objects after each of several rounds than before it: something stays for good. What only goes late, or is
// kept from the first time on, does not grow in every round.
static int grows(const char *name, const char *how, void (*round)(void (*)(void)), void (*operation)(void)) {
    int grown = 0;
    round(operation);
    objects(before, sizeof before);
    objects(before, sizeof before);
    while (grown < ROUNDS) {
        round(operation);
        objects(after, sizeof after);
        if (!differences(before, after, ++grown == ROUNDS)) return 0;
        memcpy(before, after, sizeof before);
    }
    printf("FAIL %s, %s\n", name, how);
    return 1;
}

// A process keeps the room of one signal that it has taken. fork() blocks signals for a moment, so a quick child's
// SIGCHLD needs that room or not, as it happens: have it from the start.
static void take_a_signal(void) {
    sigset_t child, old;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    sigprocmask(SIG_BLOCK, &child, &old);
    op_fork();
    sigprocmask(SIG_SETMASK, &old, 0);
}

int main(int argc, char **argv) {
    int wrong = 0;
    if (argc > 1) _exit(0);
    take_a_signal();
    setvbuf(stdout, 0, _IOLBF, 0);
    control = open("/proc/kaa/fail-nth", O_RDWR);
    if (control < 0) { perror("fail-nth"); return 99; }
    for (unsigned i = 0; i < sizeof ops / sizeof *ops; i++) {
        wrong += grows(ops[i].n, "twenty times", twenty, ops[i].f);
        wrong += grows(ops[i].n, "with each allocation failing", fail_each, ops[i].f);
    }
    return wrong;
}
