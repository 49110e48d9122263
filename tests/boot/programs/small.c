// SPDX-License-Identifier: Apache-2.0
// A small program for others to mutate, start and kill: prints its words.
#include <stdio.h>

int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++) printf("%s%c", argv[i], i + 1 < argc ? ' ' : '\n');
    return 0;
}
