// SPDX-License-Identifier: Apache-2.0
// count PROGRAM ARGUMENTS…: how many instructions PROGRAM executes between its first and its second int3.
// Counted by single-stepping (ptrace(2)): exact, the same on every run, and nothing to install. One iteration of a
// rep-prefixed instruction counts as an instruction, as in QEMU's icount.
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

static void fail(const char *what)
{
    perror(what);
    exit(2);
}

// Waits for the child's next SIGTRAP; is it a breakpoint (and not a step)? Ends when the child does.
static int next_trap(pid_t child)
{
    int status;
    siginfo_t info;
    if (waitpid(child, &status, 0) < 0)
        fail("waitpid");
    if (!WIFSTOPPED(status) || WSTOPSIG(status) != SIGTRAP) {
        fprintf(stderr, "count: the program ended between its markers (status %#x)\n", status);
        exit(3);
    }
    if (ptrace(PTRACE_GETSIGINFO, child, 0, &info) < 0)
        fail("PTRACE_GETSIGINFO");
    return info.si_code == SI_KERNEL;
}

int main(int argc, char **argv)
{
    long count = 0;
    if (argc < 2)
        return 2;
    pid_t child = fork();
    if (child == 0) {
        ptrace(PTRACE_TRACEME, 0, 0, 0);
        execv(argv[1], argv + 1);
        _exit(127);
    }
    next_trap(child); // the exec
    do {
        if (ptrace(PTRACE_CONT, child, 0, 0) < 0)
            fail("PTRACE_CONT");
    } while (!next_trap(child));
    do {
        if (ptrace(PTRACE_SINGLESTEP, child, 0, 0) < 0)
            fail("PTRACE_SINGLESTEP");
        count++;
    } while (!next_trap(child));
    int status;
    ptrace(PTRACE_DETACH, child, 0, 0); // let it print what it worked out
    if (waitpid(child, &status, 0) < 0 || !WIFEXITED(status) || WEXITSTATUS(status))
        fail("the program failed after its second marker");
    printf("%ld\n", count - 1); // less the second marker itself
    return 0;
}
