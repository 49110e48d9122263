// SPDX-License-Identifier: Apache-2.0
// Calls on files with arguments at the edges: each line tells the call's name, its result and its errno (or what it found).
// argv[1] is a fresh folder on a tmpfs; the same program runs on the host, and both must say the same.
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#ifndef RENAME_EXCHANGE
#define RENAME_NOREPLACE 1
#define RENAME_EXCHANGE 2
#endif
// Straight to the kernel: the C library looks into messages itself.
#define sendmsg(...) syscall(SYS_sendmsg, __VA_ARGS__)
#define recvmsg(...) syscall(SYS_recvmsg, __VA_ARGS__)
#define MAX INT64_MAX
#define SAY(call) do { errno = 0; long r_ = (long)(call); printf("%d %s = %ld %s\n", __LINE__, #call, r_, \
    r_ < 0 ? strerror(errno) : ""); } while (0)

static char page[8192];
static int make(const char *name, const char *text)
{
    int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0644);
    if (write(fd, text, strlen(text)) < 0) _exit(9);
    return fd;
}

static void offsets(void)
{
    int f = make("f", "0123456789"), zero = open("/dev/zero", O_RDWR), null = open("/dev/null", O_RDWR), p[2];
    struct iovec v[2] = {{page, 100}, {page + 100, 100}};
    struct iovec huge[2] = {{page, SIZE_MAX / 2}, {page, SIZE_MAX / 2}};
    off_t far = MAX - 50, minus = -5, near = MAX - 8192;
    if (pipe(p)) _exit(9);
    SAY(pread(f, page, 10, MAX)); SAY(pread(f, page, 10, -1)); SAY(pwrite(f, page, 10, MAX - 3)); SAY(pread(f, page, 0, MAX));
    SAY(preadv(zero, v, 2, MAX - 150)); SAY(pwritev(null, v, 2, MAX - 150)); SAY(preadv(zero, v, 2, MAX - 200) >= 0);
    SAY(readv(zero, huge, 2) < 0); SAY(writev(null, huge, 2) < 0); SAY(readv(zero, v, -1)); SAY(readv(zero, v, 1025));
    SAY(preadv(p[0], v, 2, 0)); SAY(pwritev(f, v, 0, 5)); SAY(read(f, page, SIZE_MAX) < 0); SAY(write(f, page, (size_t)SSIZE_MAX + 1) < 0);
    SAY(lseek(f, MAX, SEEK_SET)); SAY(lseek(f, 1, SEEK_CUR)); SAY(lseek(f, MAX, SEEK_END)); SAY(lseek(f, -1, SEEK_SET));
    SAY(lseek(f, INT64_MIN, SEEK_CUR)); SAY(lseek(f, INT64_MIN, SEEK_END)); SAY(lseek(f, 0, 99)); SAY(lseek(p[0], 0, SEEK_CUR));
    SAY(read(f, page, 10) <= 0); SAY(lseek(f, 0, SEEK_SET));
    SAY(sendfile(null, zero, &far, 4096) <= 50); SAY(sendfile(null, f, &minus, 10)); SAY(sendfile(f, p[0], NULL, 10));
    far = MAX - 50; SAY(copy_file_range(f, &far, f, &minus, 10, 0)); minus = 0;
    SAY(copy_file_range(f, &far, f, &minus, 4096, 0)); copy_file_range(f, &minus, f, &far, 4096, 0);
    far = 100; minus = 2; SAY(copy_file_range(f, &minus, f, &far, 5, 0)); SAY(minus); SAY(far); SAY(copy_file_range(f, NULL, f, NULL, 5, 1));
    minus = -5; SAY(splice(f, &minus, p[1], NULL, 10, 0)); SAY(splice(f, NULL, p[1], &minus, 10, 0)); SAY(splice(p[0], NULL, p[1], NULL, 10, 0));
    SAY(splice(f, NULL, null, NULL, 10, 0)); SAY(splice(f, NULL, p[1], NULL, 10, 0x100)); SAY(splice(f, NULL, p[1], NULL, 0, 0x100));
    SAY(tee(p[0], p[1], 10, 0)); SAY(tee(p[0], f, 10, 0));
    SAY(ftruncate(f, -1)); SAY(ftruncate(f, MAX)); SAY(lseek(f, 0, SEEK_END)); SAY(pread(f, page, 10, MAX - 20)); SAY(ftruncate(f, 3));
    SAY(fallocate(f, 0, -1, 10)); SAY(fallocate(f, 0, 0, 0)); SAY(fallocate(f, 0, MAX, MAX)); SAY(fallocate(f, 2, 0, 10)); SAY(fallocate(p[1], 0, 0, 10));
    SAY(fallocate(f, 0x80, 0, 10)); SAY(posix_fadvise(f, -1, 0, 0)); SAY(posix_fadvise(f, 0, -1, 0)); SAY(posix_fadvise(f, MAX, MAX, POSIX_FADV_DONTNEED));
    SAY(posix_fadvise(p[0], 0, 0, 0)); SAY(posix_fadvise(f, 0, 0, 77)); SAY(sync_file_range(f, -1, 0, 0)); SAY(readahead(p[0], 0, 10));
    (void)near; close(f); close(zero); close(null); close(p[0]); close(p[1]);
}

static void holes(void)
{
    int f = open("holes", O_RDWR | O_CREAT, 0644); struct stat st; char buf[4];
    if (ftruncate(f, 1 << 20) || pwrite(f, "x", 1, 100000) != 1 || pwrite(f, "y", 1, 300000) != 1) _exit(9);
    SAY(lseek(f, 0, SEEK_DATA)); SAY(lseek(f, 0, SEEK_HOLE)); SAY(lseek(f, 98304, SEEK_HOLE)); SAY(lseek(f, 98305, SEEK_DATA));
    SAY(lseek(f, 110000, SEEK_DATA)); SAY(lseek(f, 300001, SEEK_HOLE)); SAY(lseek(f, 310000, SEEK_DATA)); SAY(lseek(f, 1 << 20, SEEK_HOLE));
    SAY(lseek(f, -1, SEEK_DATA)); SAY(lseek(f, (1 << 20) - 1, SEEK_HOLE)); SAY(fallocate(f, 0, 0, 65536));
    SAY(fallocate(f, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 98304, 4096)); SAY(pread(f, buf, 1, 100000)); SAY(buf[0]);
     SAY(fallocate(f, FALLOC_FL_KEEP_SIZE, 2 << 20, 4096)); SAY(fstat(f, &st)); SAY(st.st_size); SAY(st.st_blocks);
    char *m = mmap(0, 1 << 20, PROT_READ | PROT_WRITE, MAP_SHARED, f, 0);
    SAY(write(f, m + 500000, 5000)); SAY(pwrite(f, m + 600000, 4096, 600000)); SAY(pwrite(f, m + 602112 - 10, 4096, 602112));
    SAY(ftruncate(f, 100)); SAY(munmap(m, 1 << 20)); SAY(fstat(f, &st)); SAY(st.st_blocks);
    close(f);
}

static void record_locks(void)
{
    int f = make("l", "0123456789");
    struct flock l = {F_WRLCK, SEEK_SET, INT64_MIN, -1, 0};
    SAY(fcntl(f, F_SETLK, &l)); l.l_start = 0; SAY(fcntl(f, F_SETLK, &l)); l.l_len = INT64_MIN; SAY(fcntl(f, F_SETLK, &l));
    l.l_start = MAX; l.l_len = 1; SAY(fcntl(f, F_SETLK, &l)); l.l_len = 2; SAY(fcntl(f, F_SETLK, &l)); l.l_whence = SEEK_END; l.l_len = 0; SAY(fcntl(f, F_SETLK, &l));
    l = (struct flock){F_WRLCK, SEEK_END, -5, 3, 0}; SAY(fcntl(f, F_SETLK, &l)); l = (struct flock){F_RDLCK, SEEK_SET, 8, -2, 0}; SAY(fcntl(f, F_SETLK, &l));
    l = (struct flock){F_UNLCK, SEEK_SET, 6, 1, 0}; SAY(fcntl(f, F_SETLK, &l)); l = (struct flock){99, SEEK_SET, 0, 0, 0}; SAY(fcntl(f, F_SETLK, &l));
    fflush(stdout);
    if (fork() == 0) {
        struct flock g = {F_WRLCK, SEEK_SET, 0, 0, 0};
        SAY(fcntl(f, F_GETLK, &g)); printf("%d %ld %ld\n", g.l_type, (long)g.l_start, (long)g.l_len); g = (struct flock){F_WRLCK, SEEK_SET, 6, 1, 0};
        SAY(fcntl(f, F_GETLK, &g)); printf("%d\n", g.l_type); g = (struct flock){F_RDLCK, SEEK_SET, 7, 0, 0};
        SAY(fcntl(f, F_GETLK, &g)); printf("%d %ld %ld\n", g.l_type, (long)g.l_start, (long)g.l_len); SAY(fcntl(f, F_SETLK, &g));
        int again = open("l", O_RDWR); SAY(flock(again, LOCK_EX | LOCK_NB)); close(again); fflush(stdout); _exit(0);
    }
    wait(NULL); SAY(flock(f, LOCK_SH)); int g = open("l", O_RDWR); SAY(flock(g, LOCK_EX | LOCK_NB)); SAY(flock(g, LOCK_SH | LOCK_NB)); SAY(flock(g, 77));
    struct { int type, pid; } ex = {1, INT_MIN}; SAY(fcntl(f, F_SETOWN, INT_MIN)); SAY(fcntl(f, F_GETOWN)); SAY(fcntl(f, F_SETOWN_EX, &ex)); SAY(fcntl(f, F_GETOWN_EX, &ex));
    ex.type = 9; SAY(fcntl(f, F_SETOWN_EX, &ex)); SAY(fcntl(f, F_SETSIG, 1000)); SAY(fcntl(f, F_DUPFD, -1)); SAY(fcntl(f, F_DUPFD, 1 << 30)); SAY(fcntl(f, F_SETPIPE_SZ, 4096)); SAY(fcntl(f, 12345));
    close(f); close(g);
    // A pipe's end is a file without a name: its locks go with a descriptor of it, and with the process, too.
    int p[2]; SAY(pipe(p)); l = (struct flock){F_WRLCK, SEEK_SET, 0, 0, 0}; SAY(fcntl(p[1], F_SETLK, &l)); fflush(stdout);
    for (int round = 0; round < 2; round++) {
        if (fork() == 0) { struct flock g = {F_WRLCK, SEEK_SET, 0, 0, 0}; SAY(fcntl(p[1], F_GETLK, &g)); printf("%d\n", g.l_type); fflush(stdout); _exit(0); }
        wait(NULL); SAY(close(dup(p[1]))); fflush(stdout);
    }
    if (fork() == 0) { SAY(fcntl(p[1], F_SETLK, &l)); fflush(stdout); _exit(0); }
    wait(NULL); SAY(fcntl(p[1], F_SETLK, &l)); close(p[0]); close(p[1]);
}

static void names(void)
{
    struct stat st; char buf[300]; int d, f;
    close(make("a", "1")); SAY(mkdir("d", 0755)); SAY(mkdir("d", 0755)); SAY(mkdir("missing/x", 0755)); SAY(mkdir("a/x", 0755)); SAY(rmdir("a")); SAY(unlink("d"));
    SAY(rename("a", "d")); SAY(rename("d", "a")); SAY(rename("a", "a")); SAY(rename("d", "d/e")); SAY(rename("missing", "x")); SAY(rename("a", "missing/x"));
    SAY(mkdir("d/e", 0755)); SAY(rmdir("d")); SAY(rename("d/e", "d")); SAY(syscall(SYS_renameat2, AT_FDCWD, "a", AT_FDCWD, "d", RENAME_EXCHANGE)); SAY(stat("d", &st)); SAY(S_ISREG(st.st_mode));
    SAY(syscall(SYS_renameat2, AT_FDCWD, "d", AT_FDCWD, "a", RENAME_NOREPLACE)); SAY(syscall(SYS_renameat2, AT_FDCWD, "d", AT_FDCWD, "a", 3)); SAY(syscall(SYS_renameat2, AT_FDCWD, "d", AT_FDCWD, "new", RENAME_EXCHANGE));
    SAY(link("d", "hard")); SAY(stat("hard", &st)); SAY(st.st_nlink); SAY(link("a", "dirlink")); SAY(link("missing", "x")); SAY(link("d", "hard")); SAY(rename("d", "hard")); SAY(stat("d", &st)); SAY(st.st_nlink);
    SAY(symlink("loop", "loop")); SAY(open("loop", O_RDONLY)); SAY(open("loop", O_NOFOLLOW)); SAY(symlink("", "x")); SAY(symlink("d", "to")); SAY(readlink("to", buf, 0)); SAY(readlink("to", buf, 100)); SAY(readlink("d", buf, 100));
    SAY(unlink("to/")); SAY(rmdir("to")); SAY(rmdir(".")); SAY(rmdir("a/..")); SAY(unlink("a/.")); SAY(rename(".", "z")); SAY(rename("d", "..")); SAY(mkdir("", 0)); SAY(unlink(""));
    memset(buf, 'n', 256); buf[256] = 0; SAY(mkdir(buf, 0755)); buf[255] = 0; SAY(mkdir(buf, 0755)); SAY(rmdir(buf));
    SAY(open("d", O_DIRECTORY)); SAY(open("a", O_WRONLY)); SAY(open("a", O_RDONLY | O_CREAT, 0)); SAY(open("d/", O_RDONLY)); SAY(open("new/", O_CREAT | O_WRONLY, 0644)); SAY(open("d", O_CREAT | O_EXCL, 0)); SAY(open("to", O_CREAT | O_EXCL | O_WRONLY, 0));
    d = open("a", O_PATH); SAY(read(d, buf, 1)); SAY(fchmod(d, 0700)); SAY(fstat(d, &st)); SAY(openat(d, "e", O_RDONLY | O_DIRECTORY) >= 0); SAY(ioctl(d, FIONREAD, buf)); SAY(fcntl(d, F_GETFL) & O_PATH ? 1 : 0);
    SAY(mkdir("gone", 0755)); f = open("gone", O_RDONLY | O_DIRECTORY); SAY(rmdir("gone")); SAY(openat(f, "x", O_CREAT | O_WRONLY, 0644)); SAY(mkdirat(f, "x", 0755)); SAY(symlinkat("x", f, "x")); SAY(linkat(AT_FDCWD, "d", f, "x", 0));
    SAY(mknodat(f, "x", S_IFIFO | 0600, 0)); SAY(renameat(AT_FDCWD, "d", f, "x")); SAY(fstat(f, &st)); SAY(st.st_nlink); SAY(syscall(SYS_getdents64, f, page, 4096)); SAY(openat(f, ".", O_TMPFILE | O_RDWR, 0600)); close(f);
    SAY(mkdir("v", 0755)); SAY(mkdir("w", 0755)); f = open("w", O_RDONLY | O_DIRECTORY); SAY(rename("v", "w")); SAY(openat(f, "x", O_CREAT | O_WRONLY, 0644)); SAY(stat("w", &st)); close(f);
    f = open(".", O_RDONLY | O_DIRECTORY); SAY(lseek(f, MAX, SEEK_SET)); SAY(lseek(f, 1, SEEK_CUR)); SAY(lseek(f, MAX, SEEK_CUR)); syscall(SYS_getdents64, f, page, 8192); SAY(lseek(f, 0, SEEK_SET)); SAY(syscall(SYS_getdents64, f, page, 3)); close(f);
    f = open("/proc/self/task", O_RDONLY | O_DIRECTORY); SAY(lseek(f, 0x80000001u, SEEK_SET) < 0 ? 0 : 0); SAY(syscall(SYS_getdents64, f, page, 8192) >= 0 ? 0 : 0); close(f);
    f = open("/proc", O_RDONLY | O_DIRECTORY); SAY(lseek(f, 0x800003e7u, SEEK_SET) < 0 ? 0 : 0); SAY(syscall(SYS_getdents64, f, page, 8192) >= 0 ? 0 : 0); close(f);
    uint64_t how[4] = {O_RDONLY, 0, 8 /* RESOLVE_BENEATH */, 0}; SAY(syscall(SYS_openat2, AT_FDCWD, "d", how, 24) >= 0); SAY(syscall(SYS_openat2, AT_FDCWD, "../..", how, 24)); SAY(syscall(SYS_openat2, AT_FDCWD, "/", how, 24));
    how[2] = 4; SAY(syscall(SYS_openat2, AT_FDCWD, "to", how, 24)); SAY(syscall(SYS_openat2, AT_FDCWD, "d", how, 8)); SAY(syscall(SYS_openat2, AT_FDCWD, "d", how, 32) >= 0); how[3] = 1; SAY(syscall(SYS_openat2, AT_FDCWD, "d", how, 32)); SAY(syscall(SYS_openat2, AT_FDCWD, "d", how, 25));
    how[2] = 0; how[1] = 0644; SAY(syscall(SYS_openat2, AT_FDCWD, "d", how, 24)); how[1] = 0; how[0] = 1ull << 40; SAY(syscall(SYS_openat2, AT_FDCWD, "d", how, 24));
    SAY(setxattr("d", "user.x", "v", 1, 0) >= 0 || errno == EOPNOTSUPP ? 0 : errno); SAY(setxattr("d", "nospace", "v", 1, 0)); SAY(setxattr("d", "trusted.x", "val", 3, 0)); SAY(getxattr("d", "trusted.x", buf, 2)); SAY(getxattr("d", "trusted.x", buf, 0)); SAY(setxattr("d", "trusted.x", "val", 3, XATTR_CREATE));
    SAY(setxattr("d", "trusted.y", "val", 3, XATTR_REPLACE)); SAY(removexattr("d", "trusted.y")); SAY(removexattr("d", "trusted.x")); SAY(setxattr("d", "trusted.z", "v", 1, 8)); SAY(getxattr("d", "trusted.x", buf, 10));
}

static void descriptors(void)
{
    int p[2], f = make("fd", "abc"), i, *bad = (int *)8; char text[20] = "";
    SAY(dup2(f, f)); SAY(dup3(f, f, 0)); SAY(dup2(f, -1)); SAY(dup2(-1, 5)); SAY(dup2(99, 99)); SAY(dup2(f, 1 << 20)); SAY(close(-1)); SAY(close(999)); SAY(dup3(f, 50, 1)); SAY(dup2(f, 50)); SAY(fcntl(50, F_GETFD)); SAY(dup3(f, 50, O_CLOEXEC)); SAY(fcntl(50, F_GETFD));
    SAY(syscall(SYS_close_range, 50, 49, 0)); SAY(syscall(SYS_close_range, 50, 60, 99)); SAY(syscall(SYS_close_range, 50, ~0u, 0)); SAY(fcntl(50, F_GETFD)); SAY(pipe(bad)); SAY(pipe2(p, 0x1234)); SAY(pipe2(p, O_NONBLOCK | O_CLOEXEC)); SAY(p[1] - p[0]);
    SAY(read(p[0], page, 1)); SAY(fcntl(p[1], F_SETPIPE_SZ, 1)); SAY(fcntl(p[1], F_GETPIPE_SZ)); SAY(fcntl(p[1], F_SETPIPE_SZ, -1)); SAY(write(p[1], page, 4096)); SAY(write(p[1], page, 1)); SAY(fcntl(p[1], F_SETPIPE_SZ, 8192)); SAY(write(p[1], page, 4097)); SAY(fcntl(p[1], F_SETPIPE_SZ, 4096));
    struct pollfd q[3] = {{p[0], POLLIN, 0}, {p[1], POLLOUT, 0}, {999, POLLIN, 0}}; SAY(poll(q, 3, 0)); printf("%x %x %x\n", q[0].revents, q[1].revents, q[2].revents); SAY(poll(q, 1 << 30, 0)); SAY(poll((void *)8, 1, 0));
    SAY(ioctl(p[0], FIONREAD, &i)); SAY(i); SAY(ioctl(p[0], 0xdeadbeef, &i)); SAY(ioctl(f, FIONREAD, bad)); SAY(lseek(f, 1, SEEK_SET)); SAY(ioctl(f, FIONREAD, &i)); SAY(i); close(p[1]); SAY(read(p[0], page, 8192)); SAY(read(p[0], page, 8192)); SAY(poll(q, 1, 0)); SAY(q[0].revents); close(p[0]);
    f = open("app", O_RDWR | O_CREAT | O_APPEND, 0644); SAY(write(f, "12", 2)); SAY(pwrite(f, "3", 1, 0)); SAY(lseek(f, 0, SEEK_SET)); SAY(write(f, "4", 1)); SAY(pread(f, text, 10, 0)); puts(text); struct iovec v[2] = {{"56", 2}, {"78", 2}}; SAY(writev(f, v, 2));
    SAY(syscall(SYS_pwritev2, f, v, 2, -1, 0, 0)); SAY(syscall(SYS_pwritev2, f, v, 2, 0, 0, 0x8000)); close(f); f = open("app", O_RDWR); SAY(syscall(SYS_pwritev2, f, v, 2, 0, 0, 0x10)); memset(text, 0, 20); SAY(pread(f, text, 19, 0)); puts(text); SAY(lseek(f, 0, SEEK_CUR)); SAY(fcntl(f, F_GETFL));
    v[1].iov_base = (void *)8; SAY(writev(f, v, 2)); SAY(lseek(f, 0, SEEK_CUR));
    int s[2]; SAY(socketpair(AF_UNIX, SOCK_DGRAM, 0, s)); v[1].iov_base = "78"; SAY(writev(s[0], v, 2)); struct iovec w[2] = {{page, 3}, {page + 100, 3}}; SAY(readv(s[1], w, 2)); SAY(page[100]); SAY(write(s[0], page, 1)); SAY(write(s[0], page, 5)); SAY(read(s[1], page, 100)); SAY(read(s[1], page, 2)); SAY(recv(s[1], page, 10, MSG_DONTWAIT)); close(s[0]); close(s[1]);
}

static void hostile_sockets(void)
{
    int s[2], fd = open("/dev/null", O_RDONLY); struct sockaddr_un u = {AF_UNIX, "sock"}; char c[64] = {0}, byte = 0; socklen_t n;
    struct iovec v = {&byte, 1}; struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = c, .msg_controllen = CMSG_SPACE(4)}; struct cmsghdr *h = CMSG_FIRSTHDR(&m);
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, s)) _exit(9);
    h->cmsg_level = SOL_SOCKET; h->cmsg_type = SCM_RIGHTS; h->cmsg_len = CMSG_LEN(4); memcpy(CMSG_DATA(h), &fd, 4);
    SAY(sendmsg(s[0], &m, 0)); m.msg_control = (void *)-8; m.msg_controllen = 40; SAY(recvmsg(s[1], &m, 0)); SAY(m.msg_flags & MSG_CTRUNC ? 1 : 0);
    m.msg_control = c; m.msg_controllen = CMSG_SPACE(4); h->cmsg_len = 3; SAY(sendmsg(s[0], &m, 0)); h->cmsg_len = UINT_MAX; SAY(sendmsg(s[0], &m, 0)); h->cmsg_len = CMSG_LEN(4); fd = -1; memcpy(CMSG_DATA(h), &fd, 4); SAY(sendmsg(s[0], &m, 0));
    m.msg_control = (void *)8; SAY(sendmsg(s[0], &m, 0)); m.msg_control = NULL; m.msg_controllen = 0; m.msg_iovlen = 5000; SAY(sendmsg(s[0], &m, 0)); m.msg_iovlen = 1; v.iov_len = SIZE_MAX; SAY(sendmsg(s[0], &m, 0)); v.iov_base = (void *)8; v.iov_len = 1; SAY(sendmsg(s[0], &m, 0)); SAY(recvmsg(s[1], (void *)8, 0));
    int l = socket(AF_UNIX, SOCK_STREAM, 0); SAY(bind(l, (void *)&u, 1)); SAY(bind(l, (void *)&u, 2000)); SAY(bind(l, (void *)8, 10)); SAY(bind(l, (void *)-1, 10)); u.sun_family = 77; SAY(bind(l, (void *)&u, sizeof u)); u.sun_family = AF_UNIX; SAY(listen(l, 1)); SAY(accept(l, 0, 0)); SAY(bind(l, (void *)&u, sizeof u)); strcpy(u.sun_path, "other"); SAY(bind(l, (void *)&u, sizeof u)); strcpy(u.sun_path, "sock"); SAY(listen(l, -1));
    int k = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0); struct pollfd q = {k, POLLIN, 0}; SAY(poll(&q, 1, 0)); SAY(q.revents); int ep = epoll_create1(0); struct epoll_event e = {EPOLLIN, {.u32 = 7}}; SAY(epoll_ctl(ep, EPOLL_CTL_ADD, k, &e)); SAY(connect(k, (void *)&u, 3)); SAY(connect(k, (void *)&u, sizeof u)); SAY(connect(k, (void *)&u, sizeof u));
    n = 4; int a; struct sockaddr_un back; SAY((a = accept(l, (void *)&back, &n)) >= 0); SAY(n); SAY(accept4(l, 0, 0, 0x55)); SAY(write(a < 0 ? s[0] : a, "x", 1)); SAY(epoll_wait(ep, &e, 1, 1000)); SAY(e.data.u32);
    n = 4; int value = 0; SAY(getsockopt(k, SOL_SOCKET, SO_TYPE, (void *)8, &n)); SAY(getsockopt(k, SOL_SOCKET, SO_TYPE, &value, (void *)8)); SAY(getsockopt(k, SOL_SOCKET, 999, &value, &n)); SAY(setsockopt(k, SOL_SOCKET, SO_SNDBUF, &value, 2)); SAY(setsockopt(k, SOL_SOCKET, SO_RCVTIMEO, &value, 4)); SAY(shutdown(k, 7)); SAY(shutdown(l, 9));
    SAY(socket(AF_UNIX, 77, 0)); SAY(socket(AF_UNIX, SOCK_STREAM, 99)); SAY(socketpair(AF_UNIX, SOCK_STREAM, 0, (void *)8)); SAY(sendto(s[0], "x", 1, 0, (void *)&u, sizeof u));
    close(s[0]); close(s[1]); close(l); close(k); close(ep);
}

static void sets(void)
{
    int ep[8], p[2], i, q, count; struct epoll_event e = {EPOLLIN, {.u32 = 1}}, got[4];
    for (i = 0; i < 8; i++) ep[i] = epoll_create1(0);
    if (pipe(p)) _exit(9);
    SAY(epoll_create1(1)); SAY(epoll_create(0)); SAY(epoll_ctl(ep[0], EPOLL_CTL_ADD, ep[0], &e)); SAY(epoll_ctl(p[0], EPOLL_CTL_ADD, p[1], &e)); SAY(epoll_ctl(ep[0], EPOLL_CTL_ADD, 999, &e)); SAY(epoll_ctl(999, EPOLL_CTL_ADD, p[0], &e)); SAY(epoll_ctl(ep[0], 77, p[0], &e)); SAY(epoll_ctl(ep[0], EPOLL_CTL_ADD, p[0], (void *)8));
    SAY(epoll_ctl(ep[0], EPOLL_CTL_MOD, p[0], &e)); SAY(epoll_ctl(ep[0], EPOLL_CTL_DEL, p[0], 0)); SAY(epoll_ctl(ep[0], EPOLL_CTL_ADD, p[0], &e)); SAY(epoll_ctl(ep[0], EPOLL_CTL_ADD, p[0], &e)); SAY(epoll_wait(ep[0], got, 0, 0)); SAY(epoll_wait(ep[0], got, -1, 0)); SAY(epoll_wait(ep[0], got, INT_MAX, 0)); SAY(epoll_wait(p[0], got, 1, 0));
    // Chains built from either end: how long they may be is the kernel's affair, but asking the outermost must end.
    for (i = 0, count = 0; i < 7; i++) count += epoll_ctl(ep[i], EPOLL_CTL_ADD, ep[i + 1], &e) == 0;
    SAY(epoll_wait(ep[0], got, 1, 0)); SAY(write(p[1], "z", 1)); SAY(epoll_wait(ep[0], got, 1, 0) >= 0); SAY(read(p[0], page, 1)); SAY(count > 2); for (i = 0; i < 7; i++) epoll_ctl(ep[i], EPOLL_CTL_DEL, ep[i + 1], &e);
    for (i = 6, count = 0; i >= 0; i--) count += epoll_ctl(ep[i], EPOLL_CTL_ADD, ep[i + 1], &e) == 0; SAY(epoll_ctl(ep[7], EPOLL_CTL_ADD, ep[6], &e));
    // The same number twice: an open file that lives on by a duplicate, and another that got its number.
    q = dup(p[0]); int two = epoll_create1(0), other[2]; e.data.u32 = 11; SAY(epoll_ctl(two, EPOLL_CTL_ADD, p[0], &e)); if (pipe(other)) _exit(9); dup2(other[0], p[0]); e.data.u32 = 22; SAY(epoll_ctl(two, EPOLL_CTL_ADD, p[0], &e));
    SAY(write(p[1], "a", 1)); SAY(write(other[1], "b", 1)); SAY(epoll_wait(two, got, 4, 0)); printf("%d\n", got[0].data.u32 + got[1].data.u32); SAY(epoll_ctl(two, EPOLL_CTL_DEL, p[0], 0)); SAY(epoll_wait(two, got, 4, 0)); SAY(got[0].data.u32); close(q); SAY(epoll_wait(two, got, 4, 0)); SAY(epoll_ctl(two, EPOLL_CTL_ADD, other[0], &e));
    e.events = EPOLLIN | EPOLLET; SAY(epoll_ctl(two, EPOLL_CTL_MOD, other[0], &e)); SAY(epoll_wait(two, got, 4, 0)); SAY(epoll_wait(two, got, 4, 0)); SAY(write(other[1], "b", 1)); SAY(epoll_wait(two, got, 4, 0)); e.events = EPOLLIN | EPOLLONESHOT; SAY(epoll_ctl(two, EPOLL_CTL_MOD, other[0], &e)); SAY(epoll_wait(two, got, 4, 0)); SAY(epoll_wait(two, got, 4, 0)); SAY(write(other[1], "b", 1)); SAY(epoll_wait(two, got, 4, 0));
    int ev = eventfd(3, EFD_NONBLOCK | EFD_SEMAPHORE); uint64_t n = 0; SAY(read(ev, &n, 4)); SAY(read(ev, &n, 8)); SAY(n); n = -1; SAY(write(ev, &n, 8)); n = -2; SAY(write(ev, &n, 8)); n = -4; SAY(write(ev, &n, 8)); SAY(write(ev, &n, 8)); SAY(eventfd(0, 0x55)); SAY(read(ev, (void *)8, 8)); for (i = 0; i < 8; i++) close(ep[i]);
}

int main(int argc, char **argv)
{
    setvbuf(stdout, 0, _IOFBF, 1 << 16); signal(SIGPIPE, SIG_IGN); umask(022);
    if (argc < 2 || chdir(argv[1])) return 9;
    offsets(); holes(); record_locks(); names(); descriptors(); hostile_sockets(); sets();
    return 0;
}
