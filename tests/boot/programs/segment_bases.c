// SPDX-License-Identifier: Apache-2.0
// Tasks that take turns on one processor, interrupted in user mode and in the kernel, keep their own gs base: one that
// never set it, and some whose bases are small numbers. Each reads its own page through gs all the time.
#define _GNU_SOURCE
#include <asm/prctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include "turns.h"

enum { TASKS = 4, FIRST = 0x10000, STEP = 0x10000 };
static const long long LENGTH_NS = 700000000;

static long long now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static long through_gs(void)
{
    long value;
    __asm__ volatile("movq %%gs:%c1, %0" : "=r"(value) : "i"(FIRST) : "memory");
    return value;
}

static int keeps_its_base(int number)
{
    if (number && syscall(SYS_arch_prctl, ARCH_SET_GS, number * STEP))
        return 1;
    long long end = now() + LENGTH_NS;
    for (long turns = 0; now() < end; turns++) {
        sched_yield();
        for (int i = 0; i < 100; i++)
            if (through_gs() != number) {
                printf("task %d saw the page of %ld in turn %ld\n", number, through_gs(), turns);
                return 1;
            }
    }
    return 0;
}

int main(void)
{
    for (int i = 0; i < TASKS; i++) {
        long *at = mmap((void *)(long)(FIRST + i * STEP), 4096, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
        if (at == MAP_FAILED) {
            puts("no memory");
            return 1;
        }
        *at = i;
    }
    return take_turns(TASKS, keeps_its_base);
}
