// SPDX-License-Identifier: Apache-2.0
// The kernel's table of live objects (/proc/kaa/objects), read and compared. Included by the programs that look for leaks.
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#define OBJECTS "/proc/kaa/objects"

static size_t objects(char *into, size_t size) {
    // The last child's remains go when it has left its stack, which may be after it was waited for, and a grace period has
    // passed: several naps, since a busy host may take all the time of one from the kernel's own threads.
    for (int nap = 0; nap < 4; nap++) usleep(20000);
    int fd = open(OBJECTS, O_RDONLY);
    if (fd < 0) { perror(OBJECTS); exit(2); }
    size_t length = 1;
    ssize_t got;
    into[0] = '\n';
    while ((got = read(fd, into + length, size - 1 - length)) > 0) length += got;
    close(fd);
    into[length] = 0;
    return length;
}

// Splits "NAME LIVE SIZE", where the name may hold spaces. 0 when the line is none.
static int parse(const char *line, size_t length, char name[256], long *live, long *size) {
    char copy[256];
    if (length >= sizeof copy) return 0;
    memcpy(copy, line, length);
    copy[length] = 0;
    char *last = strrchr(copy, ' ');
    if (!last) return 0;
    *last = 0;
    char *before_last = strrchr(copy, ' ');
    if (!before_last) return 0;
    *before_last = 0;
    strcpy(name, copy);
    *live = atol(before_last + 1);
    *size = atol(last + 1);
    return 1;
}

// How many objects of a class (by name and size, since names repeat) lived when `text` was read.
static long live_in(const char *text, const char *wanted, long wanted_size) {
    char name[256];
    long live, size, sum = 0;
    for (const char *line = text; *line; line += strcspn(line, "\n") + (line[strcspn(line, "\n")] != 0))
        if (parse(line, strcspn(line, "\n"), name, &live, &size) && size == wanted_size && !strcmp(name, wanted)) sum += live;
    return sum;
}

// Whether there are classes of which more live in `after` than in `before`; says which, if `told`.
static int differences(const char *before, const char *after, int told) {
    char name[256];
    long live, size;
    int wrong = 0;
    for (const char *line = after; *line; line += strcspn(line, "\n") + (line[strcspn(line, "\n")] != 0)) {
        if (!parse(line, strcspn(line, "\n"), name, &live, &size) || !strcmp(name, "(buffers)") || !strcmp(name, "PidBlock")) continue; // a PidBlock stays, one for each run of process ids ever given
        long now = live_in(after, name, size), then = live_in(before, name, size);
        if (now > then && told) printf("more than before: %s (%ld, before %ld)\n", name, now, then);
        wrong |= now > then;
    }
    return wrong;
}
