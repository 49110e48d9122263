// SPDX-License-Identifier: Apache-2.0
// Processes that take turns on one processor. Included by the programs whose processes must see nothing of each other.
#include <sched.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

// Runs `body` in so many processes, each with its number, all on the first processor; says, and gives, whether any failed.
static int take_turns(int tasks, int (*body)(int number))
{
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(0, &one);
    sched_setaffinity(0, sizeof one, &one);
    for (int i = 0; i < tasks; i++)
        if (!fork())
            _exit(body(i));
    int failed = 0;
    for (int i = 0; i < tasks; i++) {
        int status;
        wait(&status);
        failed |= status;
    }
    puts(failed ? "not kept" : "kept");
    return failed != 0;
}
