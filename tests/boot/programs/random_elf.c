// SPDX-License-Identifier: Apache-2.0
// Executes mutations of an ELF file:   random_elf FILE SEED COUNT
//
// Most mutations hit the headers, where execve looks. Each is written to /tmp and executed by an unprivileged child under small limits;
// it may run, fail with an errno or die: the machine must live. Prints how many execves were refused and exits 0.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

enum { HEADERS = 64 + 12 * 56, MILLISECONDS = 100 };
#define TARGET "/tmp/mutant"

static uint64_t state;

static uint64_t next_random(void) { // splitmix64
    uint64_t z = (state += 0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

static size_t mutate(unsigned char *file, size_t size) {
    static const uint64_t odd[] = {0, 1, 2, 0x7f, 0x80, 0xff, 0xfff, 0x1000, 0x7fffffff, 0xffffffff, 0x7ffffffff000, 0x7fffffffffff,
                                   0xffffffff80000000, 0xffff888000000000, 1ull << 63, ~0ull, ~0ull - 4095};
    int changes = 1 + next_random() % 4;
    for (int i = 0; i < changes; i++) {
        uint64_t r = next_random();
        size_t range = r % 5 ? (size < HEADERS ? size : HEADERS) : size;
        size_t at = next_random() % range;
        if (r >> 8 & 1) {
            uint64_t value = odd[(r >> 16) % (sizeof odd / sizeof *odd)];
            size_t width = 1u << (r >> 24) % 4;
            at &= ~(width - 1);
            if (at + width <= size) memcpy(file + at, &value, width);
        } else {
            file[at] ^= 1 << (r >> 32) % 8;
        }
    }
    return next_random() % 16 ? size : next_random() % size; // sometimes cut off
}

static int run(void) {
    int report[2];
    if (pipe2(report, O_CLOEXEC)) return -1;
    pid_t pid = fork();
    if (pid < 0) return -1;
    if (pid == 0) {
        struct rlimit memory = {64 << 20, 64 << 20}, few = {16, 16};
        struct itimerval soon = {{0, MILLISECONDS * 1000}, {0, MILLISECONDS * 1000}};
        int quiet = open("/dev/null", O_RDWR);
        for (int fd = 0; fd < 3; fd++) dup2(quiet, fd);
        setrlimit(RLIMIT_AS, &memory);
        setrlimit(RLIMIT_NPROC, &few);
        setpgid(0, 0);
        setgroups(0, 0);
        if (setgid(65534) || setuid(65534)) _exit(3);
        setitimer(ITIMER_REAL, &soon, 0);
        execl(TARGET, "mutant", "--help", (char *)0);
        int error = errno;
        (void)!write(report[1], &error, sizeof error);
        _exit(1);
    }
    int error = 0, status;
    close(report[1]);
    (void)!read(report[0], &error, sizeof error);
    close(report[0]);
    waitpid(pid, &status, 0);
    kill(-pid, SIGKILL);
    while (waitpid(-1, 0, WNOHANG) > 0) {}
    return error;
}

int main(int argc, char **argv) {
    static unsigned char original[4 << 20], file[4 << 20];
    if (argc < 4) { fprintf(stderr, "usage: random_elf FILE SEED COUNT\n"); return 2; }
    int fd = open(argv[1], O_RDONLY);
    ssize_t size = fd < 0 ? -1 : read(fd, original, sizeof original);
    if (size <= 0) { perror(argv[1]); return 2; }
    close(fd);
    int refused = 0, count = atoi(argv[3]);
    for (int i = 0; i < count; i++) {
        state = strtoull(argv[2], 0, 0) * 1000003 + i;
        memcpy(file, original, size);
        size_t length = mutate(file, size);
        unlink(TARGET);
        fd = open(TARGET, O_WRONLY | O_CREAT | O_EXCL, 0755);
        if (fd < 0 || write(fd, file, length) != (ssize_t)length) { perror(TARGET); return 1; }
        fchmod(fd, 0755);
        close(fd);
        int error = run();
        if (error < 0) { perror("fork"); return 1; }
        if (error != 0 && error != ENOEXEC && error != EINVAL && error != ENOMEM && error != EFAULT && error != EIO
            && error != EPERM && error != ENOENT && error != EACCES && error != ELIBBAD && error != E2BIG) {
            printf("mutation %d: execve says %s\n", i, strerror(error));
            return 1;
        }
        refused += error != 0;
    }
    printf("%d mutations, %s\n", count, refused ? "some refused" : "none refused");
    fprintf(stderr, "%d refused\n", refused);
    return 0;
}
