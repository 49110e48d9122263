// SPDX-License-Identifier: Apache-2.0
// Takes all the memory there is, a megabyte at a time, and touches every page. Exits 12 (ENOMEM) when mmap refuses; otherwise it is killed.
#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>

int main(void) {
    for (;;) {
        char *at = mmap(0, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (at == MAP_FAILED) { printf("refused\n"); return errno; }
        for (int i = 0; i < 1 << 20; i += 4096) at[i] = 1;
    }
}
