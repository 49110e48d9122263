// SPDX-License-Identifier: Apache-2.0
// pidfd_open, pidfd_send_signal, pidfd_getfd, waitid(P_PIDFD), clone3 with CLONE_PIDFD and set_tid, kcmp. Says "FAIL what";
// exits with how many. Runs on the host too.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
static int fails; static volatile int got;
#define OK(name, c) do { if (!(c)) { printf("FAIL %s: %s\n", name, strerror(errno)); fflush(stdout); fails++; } } while (0)
#define ERR(call, e) (errno = 0, (call) == -1 && errno == (e))
#define OPEN(pid, f) ((int)syscall(434, pid, f))
#define SEND(fd, s, i, f) syscall(424, fd, s, i, f)
struct args { uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, set_tid_size, cgroup; };
static void on(int s) { got++; }
static void *thread(void *x) { *(volatile int *)x = syscall(SYS_gettid); while (*(volatile int *)x > 0) usleep(1000); return 0; }
int main(void) {
  int st; siginfo_t w; signal(SIGUSR1, on);
  OK("no number", ERR(OPEN(0, 0), EINVAL)); OK("negative", ERR(OPEN(-1, 0), EINVAL)); OK("flags", ERR(OPEN(getpid(), 1), EINVAL)); OK("nobody", ERR(OPEN(0x3fffffff, 0), ESRCH));
  int self = OPEN(getpid(), 0); OK("self", self >= 0 && (fcntl(self, F_GETFD) & FD_CLOEXEC)); OK("signal 0", SEND(self, 0, 0, 0) == 0); OK("signal", SEND(self, SIGUSR1, 0, 0) == 0 && got == 1); OK("signal number", ERR(SEND(self, 99, 0, 0), EINVAL)); OK("signal flags", ERR(SEND(self, 0, 0, 8), EINVAL)); OK("not a pidfd", ERR(SEND(1, 0, 0, 0), EBADF)); int d = open("/proc/self", O_DIRECTORY); OK("/proc/PID", SEND(d, SIGUSR1, 0, 0) == 0 && got == 2); close(d); siginfo_t i = {.si_signo = SIGUSR2, .si_code = SI_QUEUE}; OK("siginfo of another signal", ERR(SEND(self, SIGUSR1, &i, 0), EINVAL)); struct pollfd pf = {self, POLLIN, 0}; OK("alive", poll(&pf, 1, 0) == 0);
  int pp[2]; if (pipe(pp)) fails++; pid_t p = fork(); if (!p) { char c; if (read(pp[0], &c, 1)) {} _exit(9); } int fd = OPEN(p, 0); pf.fd = fd; OK("child alive", poll(&pf, 1, 0) == 0); int ep = epoll_create1(0); struct epoll_event e = {.events = EPOLLIN}; OK("epoll", epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e) == 0);
  OK("getfd flags", ERR(syscall(438, fd, 0, 1), EINVAL)); OK("getfd none", ERR(syscall(438, fd, 999, 0), EBADF)); int copy = syscall(438, fd, pp[1], 0); OK("getfd", copy >= 0 && (fcntl(copy, F_GETFD) & FD_CLOEXEC)); if (write(copy, "x", 1) != 1) fails++;
  OK("ended", poll(&pf, 1, 5000) == 1 && pf.revents == POLLIN && epoll_wait(ep, &e, 1, 0) == 1); OK("zombie", SEND(fd, 0, 0, 0) == 0); OK("waitid nothing", ERR(waitid(3, -1, &w, WEXITED), EINVAL)); OK("waitid not a pidfd", ERR(waitid(3, 1, &w, WEXITED), EBADF)); OK("waitid", waitid(3, fd, &w, WEXITED) == 0 && w.si_pid == p && w.si_status == 9); OK("gone", ERR(SEND(fd, 0, 0, 0), ESRCH)); OK("waited for", ERR(waitid(3, fd, &w, WEXITED), ECHILD)); OK("still readable", poll(&pf, 1, 0) == 1);
  p = fork(); if (!p) { pause(); _exit(0); } fd = OPEN(p, O_NONBLOCK); OK("nonblocking wait", ERR(waitid(3, fd, &w, WEXITED), EAGAIN)); OK("kill", SEND(fd, SIGKILL, 0, 0) == 0); pf.fd = fd; poll(&pf, 1, 5000); OK("killed", waitid(3, fd, &w, WEXITED) == 0 && w.si_code == CLD_KILLED && w.si_status == SIGKILL); close(fd);
  int number = -1; struct args a = {.flags = 0x1000, .pidfd = (uintptr_t)&number, .exit_signal = SIGCHLD}; p = syscall(SYS_clone3, &a, sizeof a); if (!p) _exit(4); OK("CLONE_PIDFD", p > 0 && number >= 0); pf.fd = number; OK("of the child", poll(&pf, 1, 5000) == 1 && waitid(3, number, &w, WEXITED) == 0 && w.si_pid == p && w.si_status == 4); int before = number; close(number);
  a.pidfd = 8; OK("CLONE_PIDFD to a bad address", ERR(syscall(SYS_clone3, &a, sizeof a), EFAULT)); OK("leaves no descriptor", fcntl(before, F_GETFD) == -1); OK("and no child", ERR(waitpid(-1, &st, 0), ECHILD)); OK("clone: two users of one pointer", ERR(syscall(SYS_clone, 0x1000 | 0x100000 | SIGCHLD, 0, &number, 0, 0), EINVAL));
  int tid = 31000; struct args t = {.exit_signal = SIGCHLD, .set_tid = (uintptr_t)&tid, .set_tid_size = 1}; p = syscall(SYS_clone3, &t, sizeof t); if (!p) _exit(getpid() == 31000 ? 3 : 5); if (p == -1 && errno == EPERM) p = 0; else { OK("set_tid in use", ERR(syscall(SYS_clone3, &t, sizeof t), EEXIST)); OK("set_tid", p == 31000 && waitpid(p, &st, 0) == p && WEXITSTATUS(st) == 3); } tid = 0; OK("set_tid 0", ERR(syscall(SYS_clone3, &t, sizeof t), EINVAL)); t.set_tid_size = 33; OK("set_tid many", ERR(syscall(SYS_clone3, &t, sizeof t), EINVAL)); t.set_tid = 0; OK("set_tid nowhere", ERR(syscall(SYS_clone3, &t, sizeof t), EINVAL));
  struct args b = {.flags = 1ul << 40, .exit_signal = SIGCHLD}; OK("unknown flag", ERR(syscall(SYS_clone3, &b, sizeof b), EINVAL)); b.flags = 0x800; OK("SIGHAND without VM", ERR(syscall(SYS_clone3, &b, sizeof b), EINVAL)); b.flags = 0; b.exit_signal = 65; OK("exit signal", ERR(syscall(SYS_clone3, &b, sizeof b), EINVAL)); b.exit_signal = 0; b.stack = 4096; OK("stack without size", ERR(syscall(SYS_clone3, &b, sizeof b), EINVAL)); OK("short structure", ERR(syscall(SYS_clone3, &b, 32), EINVAL)); OK("huge structure", ERR(syscall(SYS_clone3, &b, 8192), E2BIG));
  pthread_t th; volatile int id = 0; pthread_create(&th, 0, thread, (void *)&id); while (!id) usleep(1000); int tfd = OPEN(id, O_EXCL); if (tfd >= 0) { pf.fd = tfd; OK("thread alive", poll(&pf, 1, 0) == 0); OK("signal to a thread", SEND(tfd, 0, 0, 1) == 0); id = -1; pthread_join(th, 0); OK("thread ended", poll(&pf, 1, 5000) == 1); } else { id = -1; pthread_join(th, 0); }
  p = fork(); if (!p) { pause(); _exit(0); } if (syscall(SYS_kcmp, getpid(), getpid(), 1, 0, 0) == 0) { OK("own files", syscall(SYS_kcmp, getpid(), getpid(), 0, pp[0], pp[0]) == 0 && syscall(SYS_kcmp, getpid(), getpid(), 0, pp[0], pp[1]) > 0); OK("inherited file", syscall(SYS_kcmp, getpid(), p, 0, pp[0], pp[0]) == 0); OK("memory", syscall(SYS_kcmp, getpid(), p, 1, 0, 0) > 0); OK("tables", syscall(SYS_kcmp, getpid(), p, 2, 0, 0) > 0); OK("bad kind", ERR(syscall(SYS_kcmp, getpid(), p, 99, 0, 0), EINVAL)); OK("no descriptor", ERR(syscall(SYS_kcmp, getpid(), p, 0, 999, 0), EBADF)); } OK("nobody to compare", ERR(syscall(SYS_kcmp, getpid(), 0x3fffffff, 1, 0, 0), ESRCH)); kill(p, SIGKILL); waitpid(p, 0, 0);
  return fails;
}
