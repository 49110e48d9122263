// SPDX-License-Identifier: Apache-2.0
// Threads on several processors at the same files: what must hold whatever their order is, and that the kernel survives.
// argv[1]: a fresh folder on a tmpfs; argv[2]: rounds. Prints what is wrong; exits with how much that is.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define THREADS 4
static int rounds, bad;
#define CHECK(x) do { if (!(x)) { __atomic_add_fetch(&bad, 1, __ATOMIC_SEQ_CST); printf("line %d: %s (errno %d)\n", __LINE__, #x, errno); } } while (0)
static int loud;
static void all(void *(*body)(void *), const char *what) { if (loud) { struct timespec now; clock_gettime(CLOCK_MONOTONIC, &now); fprintf(stderr, "%ld.%03ld %s\n", (long)now.tv_sec, now.tv_nsec / 1000000, what); } pthread_t t[THREADS]; for (long i = 0; i < THREADS; i++) if (pthread_create(&t[i], 0, body, (void *)i)) _exit(9); for (int i = 0; i < THREADS; i++) pthread_join(t[i], 0); }

// Descriptors: numbers come and go while others use them.
static void *descriptors(void *arg)
{
    char c; struct stat st;
    for (int i = 0; i < rounds; i++) {
        int fd = open("/dev/zero", O_RDONLY | ((long)arg & 1 ? O_CLOEXEC : 0)), d = dup(fd);
        if (read(d, &c, 1) == 1) CHECK(c == 0);
        fstat((i * 7 + (long)arg) % 20, &st); dup2(fd, 20 + (i + (long)arg) % 4); close(20 + i % 4); close(d);
        if (i % 16 == 0) syscall(SYS_close_range, 21, 23, i % 32 ? 4 : 0);
        close(fd);
    }
    return 0;
}

// Links of one file under four folders: its count is right in the end.
static void *links(void *arg)
{
    char name[40]; snprintf(name, sizeof name, "dir%ld/link", (long)arg);
    for (int i = 0; i < rounds; i++) { CHECK(link("file", name) == 0); CHECK(unlink(name) == 0); }
    return 0;
}

// Renames between folders, in circles; what is made and what is removed meanwhile.
static void *renames(void *arg)
{
    char a[40], b[40], c[60]; struct stat st; long me = (long)arg; int fd;
    for (int i = 0; i < rounds; i++) {
        snprintf(a, sizeof a, "dir%d/x%ld", i % 4, me); snprintf(b, sizeof b, "dir%d/x%ld", (i + 1) % 4, me);
        if (i == 0) CHECK(close(open(a, O_CREAT | O_WRONLY, 0600)) == 0);
        CHECK(rename(a, b) == 0); CHECK(stat(b, &st) == 0); CHECK(stat(a, &st) < 0);
        snprintf(a, sizeof a, "dir%d/shared", i % 3); snprintf(b, sizeof b, "dir%ld/shared", (i + me) % 4); rename(a, b); mkdir("dir0/shared", 0700);
        snprintf(c, sizeof c, "%s/file%ld", b, me); fd = open(c, O_CREAT | O_WRONLY, 0600); if (fd >= 0) close(fd); unlink(c); rmdir(b);
        syscall(SYS_renameat2, AT_FDCWD, "dir0/shared", AT_FDCWD, "dir1/shared", 2);
    }
    return 0;
}

// One open file: positions of reads and writes do not overlap.
static int shared_file; static atomic_int records; static unsigned char seen[1 << 16];
static void *positions(void *arg) { uint32_t r; (void)arg; for (int i = 0; i < rounds; i++) { r = atomic_fetch_add(&records, 1) & 0xffff; CHECK(write(shared_file, &r, 4) == 4); } return 0; }
static void *readers(void *arg) { uint32_t r; (void)arg; while (read(shared_file, &r, 4) == 4) CHECK(r < sizeof seen && __atomic_fetch_add(&seen[r], 1, __ATOMIC_SEQ_CST) == 0); return 0; }

// Size and content change under readers, writers and mappings.
static char *map;
static void *sizes(void *arg)
{
    char buf[5000]; long me = (long)arg; struct stat st;
    for (int i = 0; i < rounds; i++) switch ((i + me) % 5) {
        case 0: CHECK(ftruncate(shared_file, (i * 37) % 60000) == 0); break;
        case 1: CHECK(pwrite(shared_file, buf, 5000, (i * 91) % 60000) == 5000); break;
        case 2: pread(shared_file, buf, 5000, (i * 53) % 60000); CHECK(fallocate(shared_file, 3, (i * 41) % 50000, 9000) == 0); break;
        case 3: CHECK(fallocate(shared_file, i & 1, (i * 61) % 50000, 9000) == 0); fstat(shared_file, &st); lseek(shared_file, i % 60000, SEEK_DATA); break;
        default: { int n = open("/dev/zero", O_RDONLY); if (read(n, map + (i * 71) % 60000, 100) < 0) CHECK(errno == EFAULT); close(n); }
        }
    return 0;
}

// A pipe with several writers and readers: records stay whole, nothing is lost.
static int ends[2]; static atomic_long sent, got;
static void *pipes(void *arg)
{
    uint64_t r[64];
    if ((long)arg < 2) for (int i = 0; i < rounds; i++) { for (int k = 0; k < 64; k++) r[k] = (uint64_t)i << 8 | (long)arg; CHECK(write(ends[1], r, sizeof r) == sizeof r); atomic_fetch_add(&sent, i); if (i % 64 == 0) fcntl(ends[1], F_SETPIPE_SZ, 4096 << (i / 64 % 4)); }
    else for (;;) { ssize_t n = read(ends[0], r, sizeof r); if (n <= 0) break; CHECK(n == sizeof r); for (int k = 1; k < 64; k++) if (r[k] != r[0]) { CHECK(r[k] == r[0]); break; } if (r[0] >> 8 == 0xffffff) break; atomic_fetch_add(&got, r[0] >> 8); struct pollfd q = {ends[0], POLLIN, 0}; poll(&q, 1, 0); }
    return 0;
}

// Sockets: streams in both directions, descriptors in messages, ends that go.
static int pair[2];
static void *sockets(void *arg)
{
    long me = (long)arg; char buf[3000]; memset(buf, (int)me, sizeof buf); struct sockaddr_un u = {AF_UNIX, "race"};
    if (me == 0) { for (int i = 0; i < rounds; i++) CHECK(send(pair[0], buf, 1 + i % 3000, 0) > 0); shutdown(pair[0], SHUT_WR); return 0; }
    if (me == 1) { long n, total = 0, want = 0; for (int i = 0; i < rounds; i++) want += 1 + i % 3000; while ((n = recv(pair[1], buf, sizeof buf, 0)) > 0) total += n; CHECK(total == want); return 0; }
    for (int i = 0; i < rounds / 4; i++) {
        int s = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0), t; char ctl[64] = {0}, c = 1; struct iovec v = {&c, 1}; struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = ctl, .msg_controllen = CMSG_SPACE(8)}; struct cmsghdr *h = CMSG_FIRSTHDR(&m);
        if (me == 2) { if (connect(s, (void *)&u, sizeof u) == 0) { h->cmsg_level = SOL_SOCKET; h->cmsg_type = SCM_RIGHTS; h->cmsg_len = CMSG_LEN(8); int fds[2] = {s, shared_file}; memcpy(CMSG_DATA(h), fds, 8); sendmsg(s, &m, 0); if (i & 1) recv(s, ctl, 1, 0); } }
        else { unlink("race"); if (bind(s, (void *)&u, sizeof u) == 0 && listen(s, 3) == 0) for (int k = 0; k < 20; k++) { if ((t = accept(s, 0, 0)) >= 0) { m.msg_controllen = sizeof ctl; if (recvmsg(t, &m, MSG_DONTWAIT) > 0 && (h = CMSG_FIRSTHDR(&m))) { int fds[2]; memcpy(fds, CMSG_DATA(h), 8); if (h->cmsg_len == CMSG_LEN(8)) { close(fds[0]); close(fds[1]); } } close(t); } else sched_yield(); } }
        close(s);
    }
    return 0;
}

// epoll and eventfd: every token is got once; items come, go and lose their files meanwhile.
static int set, event; static atomic_long tokens;
static void *events(void *arg)
{
    struct epoll_event e = {EPOLLIN, {.u64 = 5}}, g[8]; uint64_t n = 1; long me = (long)arg;
    if (me == 0) { for (int i = 0; i < rounds; i++) CHECK(write(event, &n, 8) == 8); return 0; }
    if (me == 1) { for (int i = 0; i < rounds; i++) { int p[2], d; if (pipe2(p, O_NONBLOCK)) break; epoll_ctl(set, EPOLL_CTL_ADD, p[0], &e); d = dup(p[0]); write(p[1], "x", 1); close(i & 1 ? p[0] : p[1]); if (i & 2) epoll_ctl(set, EPOLL_CTL_DEL, p[0], 0); close(i & 1 ? p[1] : p[0]); close(d); } return 0; }
    while (atomic_load(&tokens) < rounds) { int c = epoll_wait(set, g, 8, 20); for (int i = 0; i < c; i++) if (g[i].data.u64 == 1 && read(event, &n, 8) == 8) atomic_fetch_add(&tokens, (long)n); }
    return 0;
}

// Locks of open files exclude each other.
static atomic_int inside;
static void *locks(void *arg) { (void)arg; int f = open("file", O_RDWR); for (int i = 0; i < rounds / 4; i++) { if (i & 1) CHECK(flock(f, LOCK_EX) == 0); else { struct flock l = {F_WRLCK, SEEK_SET, 0, 0, 0}; CHECK(flock(f, LOCK_EX) == 0); CHECK(fcntl(f, 38, &l) == 0); } CHECK(atomic_fetch_add(&inside, 1) == 0); atomic_fetch_sub(&inside, 1); struct flock u = {F_UNLCK, SEEK_SET, 0, 0, 0}; CHECK(fcntl(f, 37, &u) == 0); CHECK(flock(f, LOCK_UN) == 0); } close(f); return 0; }

// Terminals, FIFOs, attributes, mounts seen in /proc, while others do the same.
static void *others(void *arg)
{
    char name[64], buf[4096]; long me = (long)arg; struct termios t; int n, unlock = 0, m, s, f;
    for (int i = 0; i < rounds / 8; i++) {
        m = open("/dev/ptmx", O_RDWR | O_NOCTTY); if (m >= 0) { ioctl(m, TIOCSPTLCK, &unlock); ioctl(m, TIOCGPTN, &n); snprintf(name, sizeof name, "/dev/pts/%d", n); s = open(name, O_RDWR | O_NOCTTY | O_NONBLOCK); write(m, "line\n", 5); if (s >= 0) { CHECK(read(s, buf, 100) == 5); tcgetattr(s, &t); write(s, "out", 3); close(s); } read(m, buf, 3); close(m); }
        snprintf(name, sizeof name, "fifo%ld", me / 2); mkfifo(name, 0600); f = open(name, (me & 1 ? O_RDONLY : O_WRONLY) | O_NONBLOCK); if (f >= 0) { if (me & 1) read(f, buf, 10); else write(f, "fifo", 4); close(f); } if (i % 8 == 0) unlink(name);
        snprintf(name, sizeof name, "trusted.%ld", me); setxattr("file", name, "v", 1, 0); listxattr("file", buf, sizeof buf); removexattr("file", name);
        f = open(me & 1 ? "/proc/self/mounts" : "/proc/self/fd", O_RDONLY); if (me & 1) while (read(f, buf, 500) > 0); else syscall(SYS_getdents64, f, buf, 4096); close(f); chdir(i & 1 ? "dir0" : ".."); if (i & 1) chdir("..");
    }
    return 0;
}

int main(int argc, char **argv)
{
    struct stat st; char name[40];
    setvbuf(stdout, 0, _IONBF, 0); signal(SIGPIPE, SIG_IGN); if (argc < 3 || chdir(argv[1])) return 9;
    rounds = atoi(argv[2]); loud = argc > 3; int f = open("file", O_RDWR | O_CREAT, 0644);
    for (int i = 0; i < 4; i++) { snprintf(name, sizeof name, "dir%d", i); mkdir(name, 0755); }
    for (int i = 40; i < 50; i++) dup2(f, i);
    all(descriptors, "descriptors"); all(links, "links"); CHECK(stat("file", &st) == 0 && st.st_nlink == 1); all(renames, "renames"); CHECK(stat("file", &st) == 0);
    shared_file = open("records", O_RDWR | O_CREAT | O_TRUNC, 0600); all(positions, "positions"); CHECK(fstat(shared_file, &st) == 0 && st.st_size == 4L * THREADS * rounds); lseek(shared_file, 0, SEEK_SET); if (THREADS * rounds <= 1 << 16) all(readers, "readers");
    shared_file = open("sizes", O_RDWR | O_CREAT | O_TRUNC, 0600); map = mmap(0, 65536, PROT_READ | PROT_WRITE, MAP_SHARED, shared_file, 0); all(sizes, "sizes");
    if (loud) fprintf(stderr, "pipes\n");
    if (pipe(ends)) return 9; pthread_t p[4]; for (long i = 0; i < 4; i++) pthread_create(&p[i], 0, pipes, (void *)i); pthread_join(p[0], 0); pthread_join(p[1], 0); uint64_t stop[64]; for (int k = 0; k < 64; k++) stop[k] = 0xffffffull << 8; write(ends[1], stop, sizeof stop); write(ends[1], stop, sizeof stop); pthread_join(p[2], 0); pthread_join(p[3], 0); CHECK(atomic_load(&sent) == atomic_load(&got));
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair)) return 9; all(sockets, "sockets");
    set = epoll_create1(0); event = eventfd(0, EFD_NONBLOCK | EFD_SEMAPHORE); struct epoll_event e = {EPOLLIN, {.u64 = 1}}; epoll_ctl(set, EPOLL_CTL_ADD, event, &e); all(events, "events"); CHECK(atomic_load(&tokens) == rounds);
    all(locks, "locks"); all(others, "others"); if (bad == 0) puts("sound");
    return bad > 99 ? 99 : bad;
}
