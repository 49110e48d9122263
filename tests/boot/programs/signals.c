// SPDX-License-Identifier: Apache-2.0
// Signals as signal(7) and its neighbours have them: handlers, masks, flags, alternate stacks, queues, waiting, job
// control, interrupted calls, errors. Prints a line for each thing that was seen; "FAIL what" for what is not so.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

static int fails;
#define OK(name, c) do { if (!(c)) { printf("FAIL %s: %s\n", name, strerror(errno)); fflush(stdout); fails++; } } while (0)
#define ERR(call, e) (errno = 0, (call) == -1 && errno == (e))
static void nap(int ms) { struct timespec t = {ms / 1000, ms % 1000 * 1000000l}; while (nanosleep(&t, &t) && errno == EINTR) {} }
static volatile int count, order[64]; static volatile siginfo_t last; static volatile uintptr_t where; static sigset_t during;
static void plain(int s) { order[count++ % 64] = s; where = (uintptr_t)&s; pthread_sigmask(SIG_BLOCK, 0, &during); }
static void full(int s, siginfo_t *i, void *u) { last = *i; plain(s); where = (uintptr_t)&s; }
static void on(int s, void (*f)(int), int flags, const sigset_t *mask) { struct sigaction a = {.sa_handler = f, .sa_flags = flags}; if (mask) a.sa_mask = *mask; OK("sigaction", sigaction(s, &a, 0) == 0); }
static void info(int s, int flags) { struct sigaction a = {.sa_sigaction = full, .sa_flags = flags | SA_SIGINFO}; sigaction(s, &a, 0); }
static sigset_t set(int a, int b, int c) { sigset_t s; sigemptyset(&s); if (a) sigaddset(&s, a); if (b) sigaddset(&s, b); if (c) sigaddset(&s, c); return s; }
static long raw_kill(int n, int s) { return syscall(SYS_kill, n, s); }

static void handlers(void) {
  sigset_t usr2 = set(SIGUSR2, 0, 0), old; count = 0;
  on(SIGUSR1, plain, 0, &usr2); raise(SIGUSR1); OK("mask while handling", count == 1 && sigismember(&during, SIGUSR1) && sigismember(&during, SIGUSR2));
  pthread_sigmask(SIG_BLOCK, 0, &old); OK("mask after handling", !sigismember(&old, SIGUSR1) && !sigismember(&old, SIGUSR2));
  on(SIGUSR1, plain, SA_NODEFER, 0); raise(SIGUSR1); OK("SA_NODEFER", !sigismember(&during, SIGUSR1));
  on(SIGUSR1, plain, SA_RESETHAND, 0); raise(SIGUSR1); struct sigaction a; sigaction(SIGUSR1, 0, &a); OK("SA_RESETHAND", count == 3 && a.sa_handler == SIG_DFL);
  OK("no action for SIGKILL", ERR(sigaction(SIGKILL, &(struct sigaction){.sa_handler = plain}, 0), EINVAL)); OK("SIGSTOP's action is told", sigaction(SIGSTOP, 0, &a) == 0 && a.sa_handler == SIG_DFL);
  OK("signal 65", ERR(syscall(SYS_rt_sigaction, 65, 0, 0, 8), EINVAL)); OK("set of wrong size", ERR(syscall(SYS_rt_sigaction, 10, 0, 0, 4), EINVAL)); OK("action at a bad address", ERR(syscall(SYS_rt_sigaction, 10, 8, 0, 8), EFAULT));
  OK("how", ERR(syscall(SYS_rt_sigprocmask, 9, &usr2, 0, 8), EINVAL)); OK("mask at a bad address", ERR(syscall(SYS_rt_sigprocmask, 0, 8, 0, 8), EFAULT));
  sigset_t everything; sigfillset(&everything); pthread_sigmask(SIG_SETMASK, &everything, &old); pthread_sigmask(SIG_SETMASK, &old, &during); OK("SIGKILL and SIGSTOP stay", !sigismember(&during, SIGKILL) && !sigismember(&during, SIGSTOP));
  signal(SIGUSR2, SIG_IGN); pthread_sigmask(SIG_BLOCK, &usr2, 0); raise(SIGUSR2); sigpending(&during); OK("blocked and ignored stays pending", sigismember(&during, SIGUSR2)); signal(SIGUSR2, SIG_IGN); sigpending(&during); OK("until ignored anew", !sigismember(&during, SIGUSR2)); pthread_sigmask(SIG_SETMASK, &old, 0);
  info(SIGUSR1, 0); kill(getpid(), SIGUSR1); OK("kill's siginfo", last.si_code == SI_USER && last.si_pid == getpid() && last.si_uid == getuid()); pthread_kill(pthread_self(), SIGUSR1); OK("tgkill's siginfo", last.si_code == SI_TKILL && last.si_pid == getpid());
  printf("handlers %d\n", count);
}

static sigjmp_buf back; static void jump(int s, siginfo_t *i, void *u) { last = *i; where = (uintptr_t)&s; siglongjmp(back, 1); }
static int deep(int n) { volatile char room[4096]; room[0] = n; return n > 100000 ? n : deep(n + 1) + room[0]; }
static void stacks(void) {
  static char own[65536] __attribute__((aligned(16))); stack_t s = {.ss_sp = own, .ss_size = sizeof own}, o;
  OK("too small", ERR(sigaltstack(&(stack_t){.ss_sp = own, .ss_size = 1000}, 0), ENOMEM)); OK("unknown flags", ERR(sigaltstack(&(stack_t){.ss_sp = own, .ss_size = 65536, .ss_flags = 64}, 0), EINVAL)); OK("bad address", ERR(syscall(SYS_sigaltstack, 8, 0), EFAULT));
  OK("set", sigaltstack(&s, &o) == 0 && o.ss_flags == SS_DISABLE); on(SIGUSR1, plain, SA_ONSTACK, 0); raise(SIGUSR1); OK("handler on it", where >= (uintptr_t)own && where < (uintptr_t)own + sizeof own);
  on(SIGUSR1, plain, 0, 0); raise(SIGUSR1); OK("handler off it", where < (uintptr_t)own || where >= (uintptr_t)own + sizeof own);
  struct rlimit l = {1 << 20, RLIM_INFINITY}; setrlimit(RLIMIT_STACK, &l); struct sigaction a = {.sa_sigaction = jump, .sa_flags = SA_SIGINFO | SA_ONSTACK}; sigaction(SIGSEGV, &a, 0); if (!sigsetjmp(back, 1)) printf("%d\n", deep(0)); OK("stack overflow is caught", last.si_signo == SIGSEGV && where >= (uintptr_t)own && where < (uintptr_t)own + sizeof own);
  OK("huge stack", sigaltstack(&(stack_t){.ss_sp = (void *)0xfffffffffffff000, .ss_size = 0x10000}, 0) == 0); pid_t p = fork(); if (!p) { signal(SIGSEGV, SIG_DFL); on(SIGUSR1, plain, SA_ONSTACK, 0); raise(SIGUSR1); _exit(0); } int st; waitpid(p, &st, 0); OK("handler on a stack that cannot be", WIFSIGNALED(st) && WTERMSIG(st) == SIGSEGV);
  s.ss_flags = SS_DISABLE; OK("disable", sigaltstack(&s, 0) == 0 && sigaltstack(0, &o) == 0 && o.ss_flags == SS_DISABLE); signal(SIGSEGV, SIG_DFL); printf("stacks\n");
}

static void queues(void) {
  sigset_t rt = set(SIGRTMIN, SIGRTMIN + 1, SIGUSR1), old; siginfo_t i; pthread_sigmask(SIG_BLOCK, &rt, &old); struct timespec none = {0, 0}, little = {0, 3000000};
  for (int n = 0; n < 3; n++) { sigqueue(getpid(), SIGRTMIN + 1, (union sigval){.sival_int = 10 + n}); sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = n}); sigqueue(getpid(), SIGUSR1, (union sigval){.sival_int = 99 + n}); }
  int got[8], n = 0; while (sigtimedwait(&rt, &i, &none) > 0) got[n++] = i.si_value.sival_int; OK("order", n == 7 && got[0] == 99 && got[1] == 0 && got[2] == 1 && got[3] == 2 && got[4] == 10 && got[6] == 12); OK("queue's siginfo", i.si_code == SI_QUEUE && i.si_pid == getpid());
  OK("timeout", ERR(sigtimedwait(&rt, &i, &little), EAGAIN)); OK("bad time", ERR(sigtimedwait(&rt, &i, &(struct timespec){0, 1000000000}), EINVAL)); OK("no set", ERR(syscall(SYS_rt_sigtimedwait, 8, 0, 0, 8), EFAULT));
  struct rlimit l, full_; getrlimit(RLIMIT_SIGPENDING, &l); full_ = l; full_.rlim_cur = 4; setrlimit(RLIMIT_SIGPENDING, &full_); for (n = 0; n < 10 && sigqueue(getpid(), SIGRTMIN, (union sigval){0}) == 0; n++) {} OK("queue is full", n <= 4 && errno == EAGAIN); int held = n; OK("kill gets through", kill(getpid(), SIGRTMIN + 1) == 0); setrlimit(RLIMIT_SIGPENDING, &l); for (n = 0; sigtimedwait(&rt, &i, &none) > 0; n++) {} OK("all taken", n == held + 1);
  on(SIGUSR2, plain, 0, 0); pid_t p = fork(); if (!p) { nap(20); kill(getppid(), SIGUSR2); nap(20); sigqueue(getppid(), SIGRTMIN, (union sigval){.sival_ptr = &rt}); _exit(0); } OK("another signal", ERR(syscall(SYS_rt_sigtimedwait, &rt, &i, 0, 8), EINTR)); OK("sigwaitinfo", sigwaitinfo(&rt, &i) == SIGRTMIN && i.si_value.sival_ptr == &rt && i.si_pid == p); waitpid(p, 0, 0);
  OK("faked kernel code", ERR(syscall(SYS_rt_sigqueueinfo, getppid(), SIGUSR1, &(siginfo_t){.si_code = SI_KERNEL}), EPERM)); OK("faked tkill code", ERR(syscall(SYS_rt_sigqueueinfo, getppid(), SIGUSR1, &(siginfo_t){.si_code = SI_TKILL}), EPERM)); OK("no process", ERR(syscall(SYS_rt_sigqueueinfo, 0x3fffffff, SIGUSR1, &(siginfo_t){.si_code = SI_QUEUE}), ESRCH));
  int f = signalfd(-1, &rt, SFD_NONBLOCK | SFD_CLOEXEC); struct signalfd_siginfo fi[4]; OK("signalfd empty", ERR(read(f, fi, sizeof fi), EAGAIN)); OK("signalfd short", ERR(read(f, fi, 100), EINVAL)); struct pollfd pf = {f, POLLIN, 0}; OK("signalfd quiet", poll(&pf, 1, 0) == 0); sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = 5}); kill(getpid(), SIGUSR1); OK("signalfd ready", poll(&pf, 1, 100) == 1); OK("signalfd two", read(f, fi, sizeof fi) == 256 && fi[0].ssi_signo == SIGUSR1 && fi[1].ssi_int == 5 && fi[1].ssi_code == SI_QUEUE); OK("signalfd flags", ERR(signalfd(-1, &rt, 1), EINVAL)); OK("not a signalfd", ERR(signalfd(0, &rt, 0), EINVAL)); close(f);
  pthread_sigmask(SIG_SETMASK, &old, 0); printf("queues\n");
}

static void targets(void) {
  OK("no process", ERR(raw_kill(0x3fffffff, 0), ESRCH)); OK("no process, no signal", ERR(raw_kill(0x3fffffff, 99), ESRCH)); OK("no signal", ERR(raw_kill(getpid(), 65), EINVAL)); OK("negative signal", ERR(raw_kill(getpid(), -1), EINVAL)); OK("no group", ERR(raw_kill(-0x3ffffff, 0), ESRCH)); OK("lowest", ERR(raw_kill(-0x7fffffff - 1, 0), ESRCH));
  OK("tkill 0", ERR(syscall(SYS_tkill, 0, 0), EINVAL)); OK("tgkill -1", ERR(syscall(SYS_tgkill, -1, getpid(), 0), EINVAL)); OK("tgkill other", ERR(syscall(SYS_tgkill, 1, getpid(), 0), ESRCH)); OK("tgkill self", syscall(SYS_tgkill, getpid(), getpid(), 0) == 0);
  pid_t p = fork(); int st; if (!p) { if (getuid()) _exit(0); if (setresgid(1000, 1000, 1000) || setresuid(1000, 1000, 1000)) _exit(1); pid_t c = fork(); if (!c) { pause(); _exit(0); } int bad = raw_kill(c, SIGKILL) != 0; waitpid(c, &st, 0); bad |= !WIFSIGNALED(st); bad |= !ERR(raw_kill(1, 0), EPERM) << 1; bad |= !ERR(raw_kill(getppid(), SIGTERM), EPERM) << 2; bad |= (raw_kill(getppid(), SIGCONT) != 0) << 3; _exit(bad); } waitpid(p, &st, 0); if (st) { printf("FAIL permission %x\n", st); fails++; }
  int go[2]; if (pipe(go)) fails++; for (int i = 0; i < 5; i++) if (!(p = fork())) { setpgid(0, i ? 0 : 0); char c; close(go[1]); if (read(go[0], &c, 1)) {} pause(); _exit(0); } else { setpgid(p, 0); kill(-p, SIGKILL); waitpid(p, &st, 0); if (WTERMSIG(st) != SIGKILL) fails++; } close(go[0]); close(go[1]);
  p = fork(); if (!p) { setpgid(0, 0); for (int i = 0; i < 4; i++) if (!fork()) { pause(); _exit(0); } nap(10); signal(SIGTERM, SIG_IGN); kill(0, SIGTERM); int n = 0; while (wait(&st) > 0) n += WIFSIGNALED(st) && WTERMSIG(st) == SIGTERM; _exit(n); } waitpid(p, &st, 0); OK("group", WEXITSTATUS(st) == 4); printf("targets\n");
}

static volatile int chld; static volatile siginfo_t chinfo; static void child(int s, siginfo_t *i, void *u) { chinfo = *i; chld++; }
static void jobs(void) {
  struct sigaction a = {.sa_sigaction = child, .sa_flags = SA_SIGINFO | SA_RESTART}; sigaction(SIGCHLD, &a, 0); int st; siginfo_t w; chld = 0;
  pid_t p = fork(); if (!p) { for (;;) pause(); } nap(10); kill(p, SIGSTOP); OK("stopped", waitid(P_PID, p, &w, WSTOPPED | WNOWAIT) == 0 && w.si_code == CLD_STOPPED && w.si_status == SIGSTOP && w.si_pid == p); OK("told once more", waitpid(p, &st, WUNTRACED) == p && WSTOPSIG(st) == SIGSTOP); OK("and no more", waitpid(p, &st, WUNTRACED | WNOHANG) == 0); OK("SIGCHLD of a stop", chld == 1 && chinfo.si_code == CLD_STOPPED && chinfo.si_pid == p);
  kill(p, SIGTSTP); kill(p, SIGCONT); OK("continued", waitpid(p, &st, WCONTINUED) == p && WIFCONTINUED(st)); for (int n = 0; n < 100 && chld < 2; n++) nap(5); OK("SIGCHLD of a continue", chld == 2 && chinfo.si_code == CLD_CONTINUED); OK("SIGCONT drops SIGTSTP", waitpid(p, &st, WUNTRACED | WNOHANG) == 0);
  kill(p, SIGSTOP); waitpid(p, &st, WUNTRACED); kill(p, SIGTERM); OK("a stopped one takes nothing", waitpid(p, &st, WNOHANG) == 0); kill(p, SIGKILL); OK("but SIGKILL", waitpid(p, &st, 0) == p && WTERMSIG(st) == SIGKILL); OK("SIGCHLD of a death", chinfo.si_code == CLD_KILLED && chinfo.si_status == SIGKILL);
  a.sa_flags |= SA_NOCLDSTOP; sigaction(SIGCHLD, &a, 0); chld = 0; p = fork(); if (!p) { raise(SIGSTOP); _exit(3); } waitpid(p, &st, WUNTRACED); nap(5); OK("SA_NOCLDSTOP", chld == 0); kill(p, SIGCONT); OK("exits", waitpid(p, &st, 0) == p && WEXITSTATUS(st) == 3 && chld == 1 && chinfo.si_code == CLD_EXITED && chinfo.si_status == 3);
  a.sa_flags = SA_SIGINFO | SA_NOCLDWAIT | SA_RESTART; sigaction(SIGCHLD, &a, 0); p = fork(); if (!p) _exit(0); OK("SA_NOCLDWAIT", ERR(waitpid(p, &st, 0), ECHILD)); signal(SIGCHLD, SIG_DFL);
  OK("wait options", ERR(waitpid(-1, &st, 0x1000), EINVAL)); OK("waitid none", ERR(waitid(P_ALL, 0, &w, 0), EINVAL)); OK("waitid kind", ERR(waitid(9, 0, &w, WEXITED), EINVAL)); OK("waitid id", ERR(waitid(P_PID, 0, &w, WEXITED), EINVAL)); OK("lowest id", ERR(waitpid(-0x7fffffff - 1, &st, 0), ESRCH)); OK("no children", ERR(wait(&st), ECHILD));
  p = fork(); if (!p) { setsid(); pid_t c = fork(); if (!c) { setpgid(0, 0); raise(SIGTSTP); _exit(1); } int s2; setpgid(c, c); pid_t r = waitpid(c, &s2, WUNTRACED); _exit(r == c && WIFSTOPPED(s2) ? (kill(c, SIGKILL), 5) : 6); } waitpid(p, &st, 0); OK("SIGTSTP in a group of its own", WEXITSTATUS(st) == 5); printf("jobs\n");
}

static volatile int poke_after; static void *poke(void *x) { nap(poke_after); pthread_kill(*(pthread_t *)x, SIGUSR1); nap(30); if (((int *)((pthread_t *)x + 1))[0] >= 0 && write(((int *)((pthread_t *)x + 1))[0], "x", 1)) {} return 0; }
struct poked { pthread_t me; int fd; };
static void interrupted(void) {
  int pp[2], sv[2]; char c; if (pipe(pp) || socketpair(AF_UNIX, SOCK_STREAM, 0, sv)) fails++; pthread_t t; poke_after = 15;
#define POKED(flags, end, call, want) do { struct poked q = {pthread_self(), end}; count = 0; on(SIGUSR1, plain, flags, 0); pthread_create(&t, 0, poke, &q); errno = 0; long r = call; int e = errno; OK(#call " " #flags, (want) && count == 1); pthread_join(t, 0); (void)e; (void)r; } while (0)
  POKED(0, -1, read(pp[0], &c, 1), r == -1 && e == EINTR); POKED(SA_RESTART, pp[1], read(pp[0], &c, 1), r == 1);
  POKED(0, -1, recv(sv[0], &c, 1, 0), r == -1 && e == EINTR); POKED(SA_RESTART, sv[1], recv(sv[0], &c, 1, 0), r == 1);
  struct pollfd pf = {pp[0], POLLIN, 0}; POKED(SA_RESTART, -1, poll(&pf, 1, 1000), r == -1 && e == EINTR); fd_set s; FD_ZERO(&s); FD_SET(pp[0], &s); struct timeval tv = {1, 0}; POKED(SA_RESTART, -1, select(pp[0] + 1, &s, 0, 0, &tv), r == -1 && e == EINTR);
  struct timespec ts = {1, 0}, rest = {0}; POKED(SA_RESTART, -1, nanosleep(&ts, &rest), r == -1 && e == EINTR && rest.tv_sec == 0 && rest.tv_nsec > 500000000); POKED(SA_RESTART, -1, pause(), r == -1 && e == EINTR);
  sigset_t none; sigemptyset(&none); POKED(SA_RESTART, -1, sigsuspend(&none), r == -1 && e == EINTR); pid_t p = fork(); if (!p) { nap(120); _exit(1); } int st; POKED(SA_RESTART, -1, waitpid(p, &st, 0), r == p);
  p = fork(); if (!p) { nap(300); _exit(1); } POKED(0, -1, waitpid(p, &st, 0), r == -1 && e == EINTR); kill(p, SIGKILL); waitpid(p, &st, 0);
  p = fork(); if (!p) { struct timespec n = {0, 80000000}; _exit(nanosleep(&n, 0) == 0 ? 7 : 8); } nap(20); kill(p, SIGSTOP); nap(20); kill(p, SIGCONT); waitpid(p, &st, 0); OK("nanosleep goes on after a stop", WEXITSTATUS(st) == 7);
  p = fork(); if (!p) { struct pollfd f2 = {pp[0], POLLIN, 0}; _exit(poll(&f2, 1, 80) == 0 ? 7 : 8); } nap(20); kill(p, SIGSTOP); nap(20); kill(p, SIGCONT); waitpid(p, &st, 0); OK("poll goes on after a stop", WEXITSTATUS(st) == 7); printf("interrupted\n");
}

static void *blocks_all(void *x) { sigset_t s; sigfillset(&s); pthread_sigmask(SIG_SETMASK, &s, 0); while (!*(volatile int *)x) nap(2); return 0; }
static volatile pthread_t taker; static void who(int s) { taker = pthread_self(); count++; }
static void *takes(void *x) { while (!*(volatile int *)x) nap(2); return 0; }
static void threads(void) {
  pthread_t a, b; volatile int stop = 0; sigset_t s = set(SIGUSR1, 0, 0), old; count = 0; on(SIGUSR1, who, SA_RESTART, 0);
  pthread_create(&a, 0, blocks_all, (void *)&stop); pthread_create(&b, 0, takes, (void *)&stop); nap(10); pthread_sigmask(SIG_BLOCK, &s, &old); kill(getpid(), SIGUSR1); for (int i = 0; i < 500 && !count; i++) nap(2); OK("who does not block takes it", count == 1 && pthread_equal(taker, b));
  pthread_kill(a, SIGUSR1); nap(10); OK("blocked stays with its thread", count == 1); stop = 1; pthread_join(a, 0); pthread_join(b, 0); kill(getpid(), SIGUSR1); sigpending(&during); OK("pending for the process", sigismember(&during, SIGUSR1)); pthread_sigmask(SIG_SETMASK, &old, 0); OK("taken when unblocked", count == 2 && pthread_equal(taker, pthread_self())); printf("threads\n");
}

static void context(int s, siginfo_t *i, void *u) { ucontext_t *c = u; c->uc_mcontext.gregs[REG_RIP] += 2; c->uc_mcontext.gregs[REG_RAX] = 77; sigaddset(&c->uc_sigmask, SIGUSR2); last = *i; }
static void faults(void) {
  struct sigaction a = {.sa_sigaction = context, .sa_flags = SA_SIGINFO}; sigaction(SIGILL, &a, 0); long r = 0; __asm__ volatile("ud2" : "=a"(r) : "a"(1)); OK("SIGILL is stepped over", r == 77 && last.si_signo == SIGILL && last.si_code == ILL_ILLOPN); sigset_t now; pthread_sigmask(SIG_BLOCK, 0, &now); OK("mask from the context", sigismember(&now, SIGUSR2)); sigdelset(&now, SIGUSR2); pthread_sigmask(SIG_SETMASK, &now, 0);
  pid_t p; int st; p = fork(); if (!p) { sigset_t s = set(SIGSEGV, 0, 0); pthread_sigmask(SIG_BLOCK, &s, 0); *(volatile int *)8 = 1; _exit(0); } waitpid(p, &st, 0); OK("blocked fault kills", WIFSIGNALED(st) && WTERMSIG(st) == SIGSEGV);
  p = fork(); if (!p) { __asm__ volatile("mov $8, %%rsp\n mov $15, %%eax\n syscall" ::: "rax", "rcx", "r11"); _exit(0); } waitpid(p, &st, 0); OK("sigreturn without a frame", WIFSIGNALED(st) && WTERMSIG(st) == SIGSEGV);
  p = fork(); if (!p) { on(SIGUSR1, (void (*)(int))0x8000000000000000, 0, 0); raise(SIGUSR1); _exit(0); } waitpid(p, &st, 0); OK("handler at no address", WIFSIGNALED(st) && WTERMSIG(st) == SIGSEGV);
  p = fork(); if (!p) { syscall(SYS_clone, 0x80000 | SIGCHLD, 0, 0, 0, 0x8000000000000000); _exit(errno); } waitpid(p, &st, 0); OK("thread pointer at no address", WIFEXITED(st) && WEXITSTATUS(st) == EPERM);
  prctl(PR_SET_PDEATHSIG, 0); printf("faults\n");
}

int main(int argc, char **argv) {
  setvbuf(stdout, 0, _IOLBF, 0);
  struct { const char *name; void (*f)(void); } parts[] = {{"handlers", handlers}, {"stacks", stacks}, {"queues", queues}, {"targets", targets}, {"jobs", jobs}, {"interrupted", interrupted}, {"threads", threads}, {"faults", faults}};
  for (unsigned i = 0; i < sizeof parts / sizeof *parts; i++) if (argc < 2 || !strcmp(argv[1], parts[i].name)) parts[i].f();
  return fails;
}
