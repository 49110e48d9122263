// SPDX-License-Identifier: Apache-2.0
// Makes the nth allocation of one operation fail, for n = 1, 2, ... until none fails any more (SQLite's way).
//
//   inject fork|execve|mmap|open|pipe
//
// Each attempt must succeed or give an errno that says memory is short; nothing may be left behind: all attempts are made again, and the
// table of live objects (/proc/kaa/objects) must not have grown over that round. What somebody else made meanwhile is no leak: a leak
// grows in every round, so the first of ROUNDS without growth is proof enough. Prints "OP: N failures" and exits 0, or says what is
// wrong. The control file's own allocations count too: one that fails there was not the operation's.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include "objects.h"

#define CONTROL "/proc/kaa/fail-nth"
enum { MOST = 3000, WARM_UPS = 3, ROUNDS = 3 };

static int control;

static void arm(int n) {
    char text[16];
    int length = snprintf(text, sizeof text, "%d", n), tries = 0;
    while (write(control, text, length) != length)
        if (errno != ENOMEM || ++tries > 2) { perror(CONTROL); exit(2); }
}

static int left(void) {
    char text[16] = {0};
    if (pread(control, text, sizeof text - 1, 0) >= 0) return atoi(text);
    if (errno == ENOMEM) return 1; // it failed here: the operation had not come to it
    perror(CONTROL);
    exit(2);
}

// Each operation returns 0 or an errno, and leaves nothing behind.

static int do_fork(int n) {
    arm(n);
    pid_t child = fork();
    int error = child < 0 ? errno : 0;
    if (child == 0) _exit(0);
    if (child > 0) waitpid(child, 0, 0);
    return error;
}

// The child arms itself: what fails is its execve. Killed by a signal counts as "no memory" past the point of no return.
static int do_execve(int n) {
    int report[2];
    if (pipe2(report, O_CLOEXEC)) return errno;
    pid_t child = fork();
    if (child == 0) {
        arm(n);
        execl("/proc/self/exe", "inject", "nothing", (char *)0);
        int said[2] = {errno, left()};
        (void)!write(report[1], said, sizeof said);
        _exit(1);
    }
    close(report[1]);
    int said[2] = {0, -1}, status;
    (void)!read(report[0], said, sizeof said);
    close(report[0]);
    waitpid(child, &status, 0);
    if (said[1] == -1) { // the new program ran, or the old one was killed
        if (WIFSIGNALED(status)) return ENOMEM;
        return WEXITSTATUS(status) == 42 ? 0 : EIO;
    }
    return said[0];
}

static int do_mmap(int n) {
    arm(n);
    char *at = mmap(0, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED) return errno;
    int error = mprotect(at + 65536, 65536, PROT_READ) ? errno : 0;
    if (!error) error = munmap(at + 4096, 4096) ? errno : 0;
    int rest = left();
    arm(0);
    munmap(at, 1 << 20);
    arm(rest);
    return error;
}

static int do_open(int n) {
    arm(n);
    int fd = open("/tmp/inject-file", O_RDWR | O_CREAT, 0600);
    if (fd < 0) return errno;
    int error = write(fd, "hello", 5) == 5 ? 0 : errno;
    int rest = left();
    arm(0);
    close(fd);
    unlink("/tmp/inject-file");
    arm(rest);
    return error;
}

static int do_pipe(int n) {
    int ends[2];
    arm(n);
    if (pipe(ends)) return errno;
    int error = write(ends[1], "hello", 5) == 5 ? 0 : errno;
    int rest = left();
    arm(0);
    close(ends[0]);
    close(ends[1]);
    arm(rest);
    return error;
}

static int allowed(int error) {
    return error == 0 || error == ENOMEM || error == EAGAIN || error == ENFILE || error == ENOSPC;
}

static char before[1 << 16], after[1 << 16];

// Fails every allocation of the operation in turn. The number of attempts that gave an error; -1: something is wrong, and was told.
static int all(const char *name, int (*operation)(int)) {
    int failures = 0;
    for (int n = 1, quiet = 0; quiet < 3; n++) {
        int error = operation(n);
        int fired = operation == do_execve ? error != 0 : left() == 0;
        arm(0);
        if (!allowed(error)) { printf("%s, allocation %d: %s\n", name, n, strerror(error)); return -1; }
        if (n == MOST) { printf("%s still fails at allocation %d\n", name, n); return -1; }
        failures += error != 0;
        quiet = fired ? 0 : quiet + 1;
    }
    return failures;
}

int main(int argc, char **argv) {
    const char *name = argc > 1 ? argv[1] : "";
    if (!strcmp(name, "nothing")) return 42;
    int (*operation)(int) = !strcmp(name, "fork") ? do_fork : !strcmp(name, "execve") ? do_execve : !strcmp(name, "mmap") ? do_mmap
                          : !strcmp(name, "open") ? do_open : !strcmp(name, "pipe") ? do_pipe : 0;
    if (!operation) { fprintf(stderr, "usage: inject fork|execve|mmap|open|pipe\n"); return 2; }
    control = open(CONTROL, O_RDWR);
    if (control < 0) { perror(CONTROL); return 2; }
    for (int i = 0; i < WARM_UPS; i++)
        if (operation(0)) { printf("%s fails without an injected failure\n", name); return 1; }
    if (all(name, operation) < 0) return 1;
    objects(before, sizeof before);
    for (int round = 0; round < ROUNDS; round++) {
        objects(before, sizeof before);
        int failures = all(name, operation);
        if (failures < 0) return 1;
        objects(after, sizeof after);
        if (!differences(before, after, round == ROUNDS - 1)) { printf("%s: %d failures\n", name, failures); return failures == 0; }
    }
    printf("%s leaves objects behind\n", name);
    return 1;
}
