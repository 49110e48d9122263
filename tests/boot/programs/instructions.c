// SPDX-License-Identifier: Apache-2.0
// Process 1 of a machine whose time stamp counter counts instructions: says how many it took to get here, and ends the
// machine.
#include <stdio.h>
#include <sys/reboot.h>
#include <unistd.h>
#include <x86intrin.h>

int main(int argc, char **argv)
{
    printf("\n%s %llu\n", argc > 1 ? argv[1] : "", __rdtsc());
    fflush(stdout);
    return reboot(RB_POWER_OFF);
}
