// SPDX-License-Identifier: Apache-2.0
// Random system calls from an unprivileged process:   random_calls SEED COUNT
//
// Children of BATCH calls each drop to uid 65534 and call what the seed says; the parent stays root, kills what is left over after each
// batch, and goes on. The calls a child makes are a function of its seed alone. Exits 0 when all batches were made: what matters is that
// the machine lives (and says no traceback), not what the calls gave.
#define _GNU_SOURCE
#include <errno.h>
#include <grp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BATCH = 50, CALLS = 460, MILLISECONDS = 200 };

static uint64_t state;
static char *area; // two pages: one writable, one that is not there

static uint64_t next_random(void) { // splitmix64
    uint64_t z = (state += 0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

static uint64_t argument(void) {
    static const uint64_t odd[] = {
        0, 1, 2, 3, 4, 7, 8, 63, 64, 255, 4095, 4096, 65535, 1 << 20, 0x7fffffff, 0x80000000, 0xffffffff, 0x100000000,
        0x7ffffffff000, 0x7fffffffffff, 0x800000000000, 0xffff800000000000, 0xffff888000000000, 0xffffffff80000000,
        0x7fffffffffffffff, 0x8000000000000000, ~0ull, ~0ull - 1, ~0ull - 4095,
    };
    uint64_t r = next_random();
    switch (r % 8) {
    case 0: case 1: return odd[(r >> 8) % (sizeof odd / sizeof *odd)];
    case 2: return (r >> 8) % 16;                          // descriptors, small numbers
    case 3: case 4: return (uint64_t)area + (r >> 8) % 4096; // a good buffer
    case 5: return (uint64_t)area + 4096 - (r >> 8) % 64;  // one that runs off its page
    case 6: return 1ull << (r >> 8) % 64;
    default: return next_random();
    }
}

static int harmless(long number) { // what would end the batch or the machine by right is left out
    return number != SYS_exit && number != SYS_exit_group && number != SYS_rt_sigreturn && number != SYS_pause
        && number != SYS_rt_sigsuspend && number != SYS_setitimer && number != SYS_alarm && number != SYS_vfork;
}

static void child(uint64_t seed) {
    struct rlimit few = {20, 20}, small = {64 << 20, 64 << 20};
    struct itimerval soon = {{0, MILLISECONDS * 1000}, {0, MILLISECONDS * 1000}};
    state = seed;
    for (int i = 0; i < 4096; i++) area[i] = next_random() >> 40 & (i % 3 ? 0xff : 0x2f);
    memcpy(area, "/tmp/fuzz\0/proc/self/maps\0/dev/null\0..\0", 40);
    setrlimit(RLIMIT_NPROC, &few);
    setrlimit(RLIMIT_AS, &small);
    setrlimit(RLIMIT_FSIZE, &small);
    setpgid(0, 0);
    setgroups(0, 0);
    if (setgid(65534) || setuid(65534)) _exit(3);
    setitimer(ITIMER_REAL, &soon, 0); // SIGALRM kills a child that sleeps
    for (int i = 0; i < BATCH; i++) {
        long number = next_random() % CALLS;
        uint64_t a = argument(), b = argument(), c = argument(), d = argument(), e = argument(), f = argument();
        if (harmless(number)) syscall(number, a, b, c, d, e, f);
    }
    _exit(0);
}

int main(int argc, char **argv) {
    uint64_t seed = argc > 1 ? strtoull(argv[1], 0, 0) : 1;
    long count = argc > 2 ? atol(argv[2]) : 10000, killed = 0;
    signal(SIGTERM, SIG_IGN);
    area = mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (area == MAP_FAILED || munmap(area + 4096, 4096)) { perror("mmap"); return 2; }
    for (long done = 0; done < count; done += BATCH) {
        pid_t pid = fork();
        if (pid < 0) { perror("fork"); return 1; }
        if (pid == 0) child(seed * 1000003 + done);
        int status = 0;
        pid_t got = waitpid(pid, &status, 0);
        if (got == pid && WIFSIGNALED(status)) killed++;
        kill(-pid, SIGKILL);
        while (waitpid(-1, 0, WNOHANG) > 0) {}
    }
    printf("%ld calls from seed %llu\n", count, (unsigned long long)seed);
    fprintf(stderr, "%ld batches ended by a signal\n", killed);
    return 0;
}
