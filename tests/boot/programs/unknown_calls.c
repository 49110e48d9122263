// SPDX-License-Identifier: Apache-2.0
// Four processes make the same calls that no kernel has, each call at the same time.
#include <errno.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PROCESSES = 4, FIRST = 1000, CALLS = 200 };

static void meet(atomic_int *arrived, int wanted)
{
    atomic_fetch_add(arrived, 1);
    while (atomic_load(arrived) < wanted)
        sched_yield();
}

static int work(atomic_int *arrived)
{
    int wrong = 0;
    for (int call = 0; call < CALLS; call++) {
        meet(arrived, (call + 1) * PROCESSES);
        if (syscall(FIRST + call) != -1 || errno != ENOSYS)
            wrong = 1;
    }
    return wrong;
}

int main(void)
{
    atomic_int *arrived = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int wrong = 0, status;
    for (int number = 0; number < PROCESSES; number++)
        if (fork() == 0)
            _exit(work(arrived));
    while (wait(&status) > 0)
        wrong |= status;
    puts(wrong ? "wrong" : "refused");
    return wrong != 0;
}
