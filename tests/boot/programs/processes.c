// SPDX-License-Identifier: Apache-2.0
// Processes, signals, threads, futexes, timers and times as a program meets them. Says "FAIL what: why" for each thing
// that is not as the manual pages say; exits with their number. Runs on the host too.
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <sys/time.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/prctl.h>
#include <sys/mman.h>
#include <sys/utsname.h>
#include <sys/timerfd.h>
#include <sys/signalfd.h>
#include <sys/reboot.h>
#include <sys/sysinfo.h>
#include <pthread.h>
#include <time.h>
#include <sched.h>
#include <fcntl.h>
#include <spawn.h>
#include <setjmp.h>
static int fails;
#define OK(name, c) do { int c_ = (c); if (!c_) { printf("FAIL %s: %s\n", name, strerror(errno)); fflush(stdout); fails++; } } while (0)
static volatile int got; static volatile siginfo_t last;
static void h(int s) { got = s; }
static void hi(int s, siginfo_t *i, void *u) { got = s; last = *i; }
static void *thr(void *a) { return (void *)((long)a + 1); }
static pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER; static pthread_cond_t cv = PTHREAD_COND_INITIALIZER; static int turn;
static void *pingpong(void *a) { for (int i = 0; i < 100; i++) { pthread_mutex_lock(&m); while (turn != 1) pthread_cond_wait(&cv, &m); turn = 0; pthread_cond_broadcast(&cv); pthread_mutex_unlock(&m);} return 0; }
static sigjmp_buf jb; static void segv(int s, siginfo_t *i, void *u) { last = *i; siglongjmp(jb, 1); }
static volatile long counter; static void *spin(void *a) { while (!*(volatile int *)a) counter++; return 0; }
static void *waiter(void *a) { pause(); return 0; }
static char *self;
static void *execer(void *a) { execv(self, (char *[]){self, "exec", 0}); return 0; }
// Who is dead and not waited for yet has no descriptors and no directories; who shared them with it keeps them.
static void the_dead_have_nothing(void) {
  int ends[2], st; char place[64], text[64], byte; siginfo_t w; pid_t p;
  OK("pipe", pipe(ends) == 0);
  p = fork(); if (!p) _exit(0);
  close(ends[1]);
  waitid(P_PID, p, &w, WEXITED | WNOWAIT);
  OK("descriptors of the dead", read(ends[0], &byte, 1) == 0);
  snprintf(place, sizeof place, "/proc/%d/cwd", p);
  OK("directory of the dead", readlink(place, text, sizeof text) == -1 && errno == ENOENT);
  snprintf(place, sizeof place, "/proc/%d/root", p);
  OK("root of the dead", readlink(place, text, sizeof text) == -1 && errno == ENOENT);
  waitpid(p, &st, 0);
  close(ends[0]);
  for (int i = 0; i < 3; i++) {
    p = syscall(SYS_clone, CLONE_FS | CLONE_FILES | SIGCHLD, 0, 0, 0, 0); if (!p) { chdir("/proc"); if (i) unshare(CLONE_FS); if (i > 1) unshare(CLONE_FILES); syscall(SYS_exit, 0); }
    waitpid(p, &st, 0);
    OK("shared directories stay", getcwd(text, sizeof text) != 0 && !strcmp(text, "/proc") && open("/proc/self/stat", O_RDONLY) >= 0);
    chdir("/");
  }
}
static void *wait_for(void *child) { int st; return (void *)(long)(waitpid((pid_t)(long)child, &st, 0) < 0 ? -errno : WEXITSTATUS(st)); }
int main(int argc, char **argv) {
  if (argc > 1 && !strcmp(argv[1], "exec")) { _exit(getpid() == syscall(SYS_gettid) ? 7 : 8); }
  setvbuf(stdout, 0, _IOLBF, 0);
  int st; pid_t p; self = "/proc/self/exe";
  p = fork(); if (!p) _exit(42); OK("fork/exit/wait", waitpid(p, &st, 0) == p && WIFEXITED(st) && WEXITSTATUS(st) == 42);
  OK("echild", waitpid(-1, &st, 0) == -1 && errno == ECHILD);
  p = vfork(); if (!p) _exit(3); OK("vfork", waitpid(p, &st, 0) == p && WEXITSTATUS(st) == 3);
  p = fork(); if (!p) { char *av[] = {argv[0], "exec", 0}; execv("/proc/self/exe", av); _exit(1);} OK("exec", waitpid(p, &st, 0) == p && WEXITSTATUS(st) == 7);
  { char *av[] = {argv[0], "exec", 0}; int e = posix_spawn(&p, "/proc/self/exe", 0, 0, av, av); OK("posix_spawn", !e && waitpid(p, &st, 0) == p && WEXITSTATUS(st) == 7);
    e = posix_spawn(&p, "/nonexistent", 0, 0, av, av); OK("posix_spawn enoent", e == ENOENT); }
  { p = fork(); if (!p) { execl("/tmp/none", "x", NULL); _exit(errno); } waitpid(p, &st, 0); OK("exec enoent", WEXITSTATUS(st) == ENOENT);} 
  struct sigaction sa = {.sa_handler = h}; sigaction(SIGUSR1, &sa, 0); got = 0; kill(getpid(), SIGUSR1); OK("handler", got == SIGUSR1);
  sa.sa_sigaction = hi; sa.sa_flags = SA_SIGINFO; sigaction(SIGUSR2, &sa, 0); union sigval v = {.sival_int = 77}; sigqueue(getpid(), SIGUSR2, v); OK("sigqueue", got == SIGUSR2 && last.si_value.sival_int == 77 && last.si_pid == getpid() && last.si_code == SI_QUEUE);
  sigset_t s, o; sigemptyset(&s); sigaddset(&s, SIGUSR1); sigprocmask(SIG_BLOCK, &s, &o); got = 0; raise(SIGUSR1); sigset_t pend; sigpending(&pend); OK("blocked pending", got == 0 && sigismember(&pend, SIGUSR1)); 
  struct timespec ts = {1, 0}; siginfo_t si; OK("sigtimedwait", sigtimedwait(&s, &si, &ts) == SIGUSR1);
  ts.tv_sec = 0; ts.tv_nsec = 1000000; OK("sigtimedwait timeout", sigtimedwait(&s, &si, &ts) == -1 && errno == EAGAIN);
  int sfd = signalfd(-1, &s, 0); raise(SIGUSR1); struct signalfd_siginfo ssi; OK("signalfd", read(sfd, &ssi, sizeof ssi) == sizeof ssi && ssi.ssi_signo == SIGUSR1); close(sfd);
  p = fork(); if (!p) { usleep(20000); kill(getppid(), SIGUSR1); _exit(0);} sigemptyset(&pend); got = 0; int r = sigsuspend(&pend); OK("sigsuspend", r == -1 && errno == EINTR && got == SIGUSR1); while (waitpid(p, &st, 0) != p) ;
  sigprocmask(SIG_SETMASK, &o, 0);
  p = fork(); if (!p) { signal(SIGTERM, SIG_DFL); pause(); _exit(0);} usleep(10000); kill(p, SIGTERM); OK("killed", waitpid(p, &st, 0) == p && WIFSIGNALED(st) && WTERMSIG(st) == SIGTERM);
  p = fork(); if (!p) { for (;;) ; } usleep(10000); kill(p, SIGKILL); OK("kill spinning", waitpid(p, &st, 0) == p && WTERMSIG(st) == SIGKILL);
  p = fork(); if (!p) { *(volatile int *)8 = 1; _exit(0);} OK("segv dies", waitpid(p, &st, 0) == p && WTERMSIG(st) == SIGSEGV);
  sa.sa_sigaction = segv; sa.sa_flags = SA_SIGINFO | SA_NODEFER; sigaction(SIGSEGV, &sa, 0); if (!sigsetjmp(jb, 1)) { *(volatile int *)0x1238 = 1; } OK("segv handler", last.si_addr == (void *)0x1238 && last.si_code == SEGV_MAPERR);
  { static char stk[65536]; stack_t ss = {.ss_sp = stk, .ss_size = sizeof stk}; OK("sigaltstack", sigaltstack(&ss, 0) == 0); sa.sa_sigaction = segv; sa.sa_flags = SA_SIGINFO | SA_ONSTACK; sigaction(SIGSEGV, &sa, 0); if (!sigsetjmp(jb, 1)) { *(volatile int *)0x1240 = 1; } OK("altstack handler", last.si_addr == (void *)0x1240); }
  { p = fork(); if (!p) { volatile int z = 0; signal(SIGFPE, SIG_DFL); z = 7 / z; _exit(0);} waitpid(p, &st, 0); OK("sigfpe", WIFSIGNALED(st) && WTERMSIG(st) == SIGFPE);} 
  // job control
  p = fork(); if (!p) { for (;;) pause(); } usleep(5000); kill(p, SIGSTOP); OK("stopped", waitpid(p, &st, WUNTRACED) == p && WIFSTOPPED(st) && WSTOPSIG(st) == SIGSTOP); kill(p, SIGCONT); OK("continued", waitpid(p, &st, WCONTINUED) == p && WIFCONTINUED(st)); kill(p, SIGKILL); waitpid(p, &st, 0);
  { siginfo_t w; p = fork(); if (!p) _exit(9); memset(&w, 0, sizeof w); OK("waitid nowait", waitid(P_PID, p, &w, WEXITED | WNOWAIT) == 0 && w.si_pid == p && w.si_status == 9 && w.si_code == CLD_EXITED); OK("waitid", waitid(P_ALL, 0, &w, WEXITED) == 0 && w.si_pid == p); }
  { int pp[2]; pipe(pp); p = fork(); if (!p) { pid_t g = fork(); if (!g) { usleep(30000); int pa = getppid(); write(pp[1], &pa, 4); _exit(0);} _exit(0);} waitpid(p, &st, 0); int pa = 0; read(pp[0], &pa, 4); OK("orphan to init", pa == 1); }
  { prctl(PR_SET_CHILD_SUBREAPER, 1); int pp[2]; pipe(pp); p = fork(); if (!p) { pid_t g = fork(); if (!g) { usleep(30000); int pa = getppid(); write(pp[1], &pa, 4); _exit(0);} _exit(0);} waitpid(p, &st, 0); int pa = 0; read(pp[0], &pa, 4); OK("orphan to subreaper", pa == getpid()); OK("subreaper reaps", wait(&st) > 0); prctl(PR_SET_CHILD_SUBREAPER, 0); }
  // Who forked last waits for that child alone, while another thread waits for it too: one is told, the other finds no child.
  for (int i = 0; i < 50; i++) { p = fork(); if (!p) { if (i & 1) sched_yield(); _exit(4); } pthread_t other; long told; OK("pthread_create", pthread_create(&other, 0, wait_for, (void *)(long)p) == 0); if (i & 2) sched_yield(); r = waitpid(p, &st, 0); int none = r == -1 && errno == ECHILD; pthread_join(other, (void **)&told); OK("one of two waiters", (r == p && told == -ECHILD) || (none && told == 4)); }
  p = fork(); if (!p) { for (;;) pause(); } OK("lives", waitpid(p, &st, WNOHANG) == 0); kill(p, SIGSTOP); OK("stop of the last child", waitpid(p, &st, WUNTRACED) == p && WIFSTOPPED(st)); OK("once", waitpid(p, &st, WUNTRACED | WNOHANG) == 0); kill(p, SIGKILL); OK("its end", waitpid(p, &st, 0) == p && WIFSIGNALED(st)); OK("no more", waitpid(p, &st, 0) == -1 && errno == ECHILD);
  { signal(SIGCHLD, SIG_IGN); p = fork(); if (!p) _exit(1); OK("autoreap", waitpid(p, &st, 0) == -1 && errno == ECHILD); signal(SIGCHLD, SIG_DFL); }
  // threads
  pthread_t t[8]; void *rv; int good = 1; for (long i = 0; i < 8; i++) good &= pthread_create(&t[i], 0, thr, (void *)i) == 0; for (long i = 0; i < 8; i++) { good &= pthread_join(t[i], &rv) == 0; good &= (long)rv == i + 1; } OK("pthreads", good);
  pthread_create(&t[0], 0, pingpong, 0); for (int i = 0; i < 100; i++) { pthread_mutex_lock(&m); while (turn != 0) pthread_cond_wait(&cv, &m); turn = 1; pthread_cond_broadcast(&cv); pthread_mutex_unlock(&m);} pthread_join(t[0], 0); OK("condvar", 1);
  { volatile int stop = 0; counter = 0; pthread_create(&t[0], 0, spin, (void *)&stop); struct timespec a = {0, 20000000}; nanosleep(&a, 0); stop = 1; pthread_join(t[0], 0); OK("preemption", counter > 0); }
  p = fork(); if (!p) { pthread_create(&t[0], 0, waiter, 0); pthread_create(&t[1], 0, waiter, 0); usleep(1000); exit(5);} waitpid(p, &st, 0); OK("exit with threads", WIFEXITED(st) && WEXITSTATUS(st) == 5);
  p = fork(); if (!p) { pthread_create(&t[0], 0, waiter, 0); pthread_create(&t[1], 0, execer, 0); pause(); _exit(0);} waitpid(p, &st, 0); OK("exec from thread", WIFEXITED(st) && WEXITSTATUS(st) == 7);
  p = fork(); if (!p) { pthread_create(&t[0], 0, waiter, 0); usleep(2000); kill(getpid(), SIGTERM); pause(); _exit(0);} waitpid(p, &st, 0); OK("threads killed", WIFSIGNALED(st) && WTERMSIG(st) == SIGTERM);
  { pthread_mutexattr_t ma; pthread_mutexattr_init(&ma); pthread_mutexattr_setrobust(&ma, PTHREAD_MUTEX_ROBUST); pthread_mutexattr_setpshared(&ma, PTHREAD_PROCESS_SHARED); pthread_mutex_t *sm = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0); pthread_mutex_init(sm, &ma); p = fork(); if (!p) { pthread_mutex_lock(sm); _exit(0);} usleep(1000); int e = pthread_mutex_lock(sm); waitpid(p, &st, 0); OK("robust mutex", e == EOWNERDEAD); }
  the_dead_have_nothing();
  // time
  struct timespec a, b; clock_gettime(CLOCK_MONOTONIC, &a); ts = (struct timespec){0, 30000000}; nanosleep(&ts, 0); clock_gettime(CLOCK_MONOTONIC, &b); long d = (b.tv_sec - a.tv_sec) * 1000000000L + b.tv_nsec - a.tv_nsec; OK("nanosleep", d >= 30000000 && d < 2000000000);
  sa.sa_handler = h; sa.sa_flags = 0; sigaction(SIGALRM, &sa, 0); got = 0; struct itimerval it = {.it_value = {0, 20000}, .it_interval = {0, 20000}}, off = {0}; /* again and again: it may tick before pause */ setitimer(ITIMER_REAL, &it, 0); r = pause(); setitimer(ITIMER_REAL, &off, 0); it.it_interval.tv_usec = 0; OK("itimer", got == SIGALRM && r == -1 && errno == EINTR);
  got = 0; setitimer(ITIMER_REAL, &it, 0); ts = (struct timespec){5, 0}; struct timespec rem; r = nanosleep(&ts, &rem); OK("nanosleep eintr", r == -1 && errno == EINTR && rem.tv_sec == 4);
  got = 0; it.it_value.tv_usec = 10000; sigaction(SIGPROF, &sa, 0); setitimer(ITIMER_PROF, &it, 0); time_t t0 = time(0); while (!got && time(0) < t0 + 5) { } OK("itimer prof", got == SIGPROF);
  { timer_t tid; struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN, .sigev_value.sival_int = 5}; struct sigaction x = {.sa_sigaction = hi, .sa_flags = SA_SIGINFO}; sigaction(SIGRTMIN, &x, 0); OK("timer_create", timer_create(CLOCK_MONOTONIC, &ev, &tid) == 0); struct itimerspec its = {.it_value = {0, 10000000}, .it_interval = {0, 10000000}}; got = 0; timer_settime(tid, 0, &its, 0); pause(); OK("timer", got == SIGRTMIN && last.si_value.sival_int == 5 && last.si_code == SI_TIMER); timer_delete(tid); }
  { int fd = timerfd_create(CLOCK_MONOTONIC, 0); struct itimerspec its = {.it_value = {0, 5000000}, .it_interval = {0, 5000000}}; timerfd_settime(fd, 0, &its, 0); unsigned long n = 0; usleep(22000); OK("timerfd", read(fd, &n, 8) == 8 && n >= 4); }
  { struct rusage ru; OK("getrusage", getrusage(RUSAGE_SELF, &ru) == 0); }
  { struct rlimit rl; OK("getrlimit", getrlimit(RLIMIT_NOFILE, &rl) == 0 && rl.rlim_cur > 0 && rl.rlim_cur <= rl.rlim_max); cpu_set_t cs; OK("affinity", sched_getaffinity(0, sizeof cs, &cs) == 0 && CPU_COUNT(&cs) >= 1); }
  { pid_t c = fork(); if (!c) { OK("setuid", setgid(1000) == 0 && setuid(1000) == 0 && getuid() == 1000 && setuid(0) == -1); OK("kill eperm", kill(1, SIGTERM) == -1 && errno == EPERM); _exit(fails); } waitpid(c, &st, 0); fails += WEXITSTATUS(st); }
  { int e[2]; char b; OK("pipe", pipe(e) == 0); pid_t c = fork(); if (!c) { close(e[1]); read(e[0], &b, 1); _exit(geteuid() != 0 || getegid() != 0); } OK("setegid", setegid(1000) == 0 && seteuid(1000) == 0); close(e[1]); waitpid(c, &st, 0); OK("a child keeps its ids", st == 0); OK("seteuid back", seteuid(0) == 0 && setegid(0) == 0); close(e[0]); }
  { struct sysinfo in; OK("sysinfo", sysinfo(&in) == 0); }
  { char nm[16]; prctl(PR_SET_NAME, "hello"); prctl(PR_GET_NAME, nm); OK("prctl name", !strcmp(nm, "hello")); unsigned char rb[32]; OK("getrandom", syscall(SYS_getrandom, rb, 32, 0) == 32); }
  { int i; for (i = 0; i < 200; i++) { p = fork(); if (!p) _exit(i & 1); if (waitpid(p, &st, 0) != p) break; } OK("200 forks", i == 200); }
  _exit(fails);
}
