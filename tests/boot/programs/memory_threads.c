// SPDX-License-Identifier: Apache-2.0
// Threads that change one address space while others use it. memory_threads SECONDS THREADS [MODE…]: each mode runs for SECONDS, with THREADS
// threads (and helpers); every mode checks what the memory calls promise to threads on other processors. Exits with the number of broken promises.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#define P 4096ul
#define MOST 16
typedef volatile uint64_t word;
static atomic_int bad, stop;
static int threads;
static double seconds;
#define CHECK(x, ...) do { if (!(x) && atomic_fetch_add(&bad, 1) < 10) { printf("FAIL line %d: %s: ", __LINE__, #x); printf(__VA_ARGS__); printf("\n"); } } while (0)
static _Thread_local sigjmp_buf landing;
static _Thread_local volatile int armed;
static void on_fault(int s) { if (armed) { armed = 0; siglongjmp(landing, s); } _exit(99); }
// Whether the statement faults.
#define FAULTS(statement) ({ int f_ = sigsetjmp(landing, 1); if (!f_) { armed = 1; statement; armed = 0; } f_; })
static double now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec + t.tv_nsec * 1e-9; }
static uint64_t next(uint64_t *s) { *s ^= *s << 13; *s ^= *s >> 7; *s ^= *s << 17; return *s; }
static char *map(size_t size) {
    char *m = mmap(0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (m == MAP_FAILED) { perror("mmap"); _exit(98); }
    return m;
}
static void *(*work)(void *); static atomic_int all_there;
static void *begin(void *a) { while (!atomic_load(&all_there)) sched_yield(); return work(a); }
// All begin when all are there: a stack that is mapped meanwhile, fresh and empty, could come where one of them has just unmapped something.
static void run(int count, void *(*f)(void *)) {
    pthread_t t[MOST]; atomic_store(&stop, 0); atomic_store(&all_there, 0); work = f; double end = now() + seconds;
    for (long i = 0; i < count; i++) if (pthread_create(&t[i], 0, begin, (void *)i)) { perror("pthread_create"); _exit(97); }
    atomic_store(&all_there, 1);
    while (now() < end) usleep(10000);
    atomic_store(&stop, 1);
    for (int i = 0; i < count; i++) pthread_join(t[i], 0);
}

// -- faults: all touch the same fresh pages at once; each must find all others' words in the end
static char *area; static pthread_barrier_t barrier;
enum { FRESH = 64 };
static void *fault_thread(void *a) {
    long me = (long)a;
    for (uint64_t round = 1;; round++) {
        if (me == 0) area = map(FRESH * P);
        pthread_barrier_wait(&barrier);
        for (int i = 0; i < FRESH; i++) { word *w = (word *)(area + ((i * 7) % FRESH) * P); if (round & 1) (void)w[me]; w[me] = round + me; }
        pthread_barrier_wait(&barrier);
        for (int i = 0; i < FRESH; i++) for (int k = 0; k < threads; k++) { uint64_t v = ((word *)(area + i * P))[k]; CHECK(v == round + k, "page %d word %d is %lu", i, k, v); }
        int last = stop;
        pthread_barrier_wait(&barrier);
        if (me == 0) { munmap(area, FRESH * P); if (last) area = 0; }
        pthread_barrier_wait(&barrier);
        if (!area) return 0;
    }
}
static void faults(void) { pthread_barrier_init(&barrier, 0, threads); run(threads, fault_thread); }

// -- areas: each owns every THREADS-th page of one big area, and maps, unmaps, protects and forgets its own pages
enum { STRIPE = 64 };
static void *area_thread(void *a) {
    long me = (long)a; uint64_t seed = 88172645463325252ull + me; uint64_t value[STRIPE] = {0}; int rights[STRIPE];
    for (int i = 0; i < STRIPE; i++) rights[i] = 3;
    while (!stop) {
        int i = next(&seed) % STRIPE; char *p = area + (i * threads + me) * P; word *w = (word *)p;
        switch (next(&seed) % 8) {
        case 0: CHECK(munmap(p, P) == 0, "errno %d", errno); rights[i] = -1; value[i] = 0; break;
        case 1: CHECK(mmap(p, P, 3, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == p, "errno %d", errno); rights[i] = 3; value[i] = 0; break;
        case 2: if (rights[i] >= 0) { CHECK(mprotect(p, P, PROT_READ) == 0, "errno %d", errno); rights[i] = 1; } break;
        case 3: if (rights[i] >= 0) { CHECK(mprotect(p, P, 3) == 0, "errno %d", errno); rights[i] = 3; } break;
        case 4: if (rights[i] >= 0) { CHECK(mprotect(p, P, 0) == 0, "errno %d", errno); rights[i] = 0; } break;
        case 5: if (rights[i] >= 0) { CHECK(madvise(p, P, MADV_DONTNEED) == 0, "errno %d", errno); value[i] = 0; } break;
        case 6: { uint64_t v = next(&seed); int f = FAULTS(*w = v); CHECK(!!f == (rights[i] != 3), "store with rights %d: signal %d", rights[i], f); if (!f) value[i] = v; break; }
        default: { uint64_t v = 0; int f = FAULTS(v = *w); CHECK(!!f == (rights[i] < 1), "load with rights %d: signal %d", rights[i], f); if (!f) CHECK(v == value[i], "%lx for %lx", v, value[i]); }
        }
    }
    return 0;
}
static void areas(void) { area = map(STRIPE * threads * P); run(threads, area_thread); munmap(area, STRIPE * threads * P); }

// -- flush: what one thread took away, others must not see any more once it says so
static word *shown; static atomic_ulong epoch;
static void *flush_thread(void *a) {
    long me = (long)a;
    if (me == 0) {
        for (uint64_t e = 2; !stop; e += 2) {
            // Even: the page says e or later. Odd: it cannot be written to.
            CHECK(madvise((void *)shown, P, MADV_DONTNEED) == 0, "errno %d", errno); *shown = e; atomic_store(&epoch, e);
            for (int i = 0; i < 50; i++) (void)*shown;
            CHECK(mprotect((void *)shown, P, PROT_READ) == 0, "errno %d", errno); atomic_store(&epoch, e + 1);
            for (int i = 0; i < 50; i++) (void)*shown;
            atomic_store(&epoch, 0); CHECK(mprotect((void *)shown, P, 3) == 0, "errno %d", errno);
        }
        return 0;
    }
    while (!stop) {
        uint64_t e = atomic_load(&epoch), v = *shown;
        if (e && atomic_load(&epoch) == e) CHECK(v >= (e & ~1ul), "stale: page of epoch %lu says %lu", e, v);
        if (e & 1) { int f = FAULTS(shown[me] = e); if (!f) CHECK(atomic_load(&epoch) != e, "epoch %lu: stored to a read-only page", e); }
    }
    return 0;
}
static void flush(void) { shown = (word *)map(P); atomic_store(&epoch, 0); run(threads < 2 ? 2 : threads, flush_thread); munmap((void *)shown, P); }

// -- unmapped: once munmap has returned nobody reads the page; what comes in its place is fresh
static _Atomic(char *) offered; static atomic_ulong offer;
static void *unmap_thread(void *a) {
    long me = (long)a;
    if (me == 0) {
        for (uint64_t n = 1; !stop; n++) {
            char *m = map(8 * P); for (int i = 0; i < 8; i++) *(word *)(m + i * P) = n;
            atomic_store(&offered, m); atomic_store(&offer, n);
            for (int i = 0; i < 100; i++) (void)*(word *)m;
            munmap(m, 8 * P); atomic_store(&offer, 0);
            char *other = map(8 * P); for (int i = 0; i < 8; i++) { CHECK(*(word *)(other + i * P) == 0, "a fresh page is not empty"); *(word *)(other + i * P) = ~0ul; }
            munmap(other, 8 * P);
        }
        return 0;
    }
    while (!stop) {
        uint64_t n = atomic_load(&offer); char *m = atomic_load(&offered); uint64_t v = 0;
        if (!n) continue;
        int f = FAULTS(v = *(word *)(m + (me % 8) * P));
        if (!f && atomic_load(&offer) == n) CHECK(v == n || atomic_load(&offer) != n, "offer %lu reads %lx", n, v);
    }
    return 0;
}
static void unmapped(void) { run(threads < 2 ? 2 : threads, unmap_thread); }

// -- forks: a child's memory does not change when the parent's threads go on; the parent's threads lose no store
enum { COPIED = 32 };
static void *fork_thread(void *a) {
    long me = (long)a;
    if (me == 0) {
        while (!stop) {
            pid_t child = fork();
            if (child == 0) {
                uint64_t seen[COPIED * MOST]; int n = 0;
                for (int i = 0; i < COPIED; i++) for (int k = 1; k < threads + 1; k++) seen[n++] = ((word *)(area + i * P))[k];
                for (int r = 0; r < 20; r++) { n = 0; for (int i = 0; i < COPIED; i++) for (int k = 1; k < threads + 1; k++) if (((word *)(area + i * P))[k] != seen[n++]) _exit(1); }
                for (int i = 0; i < COPIED; i++) ((word *)(area + i * P))[0] = 1;
                _exit(0);
            }
            if (child < 0) { CHECK(errno == EAGAIN || errno == ENOMEM, "fork: errno %d", errno); continue; }
            int status; CHECK(waitpid(child, &status, 0) == child, "errno %d", errno); CHECK(status == 0, "the child's memory changed (status %x)", status);
            for (int i = 0; i < COPIED; i++) CHECK(*(word *)(area + i * P) == 0, "the child's store is seen");
        }
        return 0;
    }
    for (uint64_t n = 1; !stop; n++) for (int i = 0; i < COPIED; i++) {
        word *w = (word *)(area + i * P) + me; CHECK(*w == n - 1, "page %d of thread %ld: %lu stores, %lu seen", i, me, n - 1, *w); *w = n;
    }
    return 0;
}
static void forks(void) { area = map(COPIED * P); run(threads + 1, fork_thread); munmap(area, COPIED * P); }

// -- file: one cuts and extends a file that others map; what was cut off is zero when it comes back
static int fd;
static void *file_thread(void *a) {
    long me = (long)a; uint64_t seed = 77 + me;
    if (me == 0) {
        while (!stop) {
            CHECK(ftruncate(fd, 2 * P) == 0, "errno %d", errno);
            // Nobody stores now that was not told to: the others look at the size first, and at the epoch after.
            CHECK(ftruncate(fd, 16 * P) == 0, "errno %d", errno);
        }
        return 0;
    }
    int shared = me & 1; char *m = mmap(0, 16 * P, 3, shared ? MAP_SHARED : MAP_PRIVATE, fd, 0); CHECK(m != MAP_FAILED, "errno %d", errno);
    while (!stop) {
        int i = next(&seed) % 16; word *w = (word *)(m + i * P) + me; uint64_t v = 0;
        int f = next(&seed) & 1 ? FAULTS(*w = me) : FAULTS(v = *w);
        CHECK(f == 0 || f == SIGBUS, "signal %d", f); CHECK(f == 0 || i >= 2, "page %d is within the file", i); CHECK(v == 0 || v == me, "word of %ld is %lx", me, v);
        if (next(&seed) % 64 == 0) { munmap(m, 16 * P); m = mmap(0, 16 * P, 3, shared ? MAP_SHARED : MAP_PRIVATE, fd, 0); }
        if (next(&seed) % 64 == 0) madvise(m, 16 * P, next(&seed) & 1 ? MADV_DONTNEED : MADV_REMOVE);
        if (next(&seed) % 64 == 0) { char *to = map(16 * P), *n = mremap(m, 16 * P, 16 * P, MREMAP_MAYMOVE | MREMAP_FIXED, to); CHECK(n == to, "errno %d", errno); if (n == to) m = n; else munmap(to, 16 * P); }
        if (next(&seed) % 256 == 0) {
            pid_t child = fork();
            if (child == 0) { for (i = 0; i < 64; i++) { v = 0; if (!FAULTS(v = *((word *)(m + i % 16 * P) + me)) && v != 0 && v != (uint64_t)me) _exit(1); } _exit(0); }
            int status; if (child > 0) { CHECK(waitpid(child, &status, 0) == child && status == 0, "the child's status is %x", status); }
        }
    }
    munmap(m, 16 * P);
    return 0;
}
static void file(void) {
    fd = open("/tmp/memory-threads", O_RDWR | O_CREAT | O_TRUNC, 0600); CHECK(fd >= 0 && ftruncate(fd, 16 * P) == 0, "errno %d", errno);
    run(threads < 2 ? 2 : threads, file_thread); close(fd); unlink("/tmp/memory-threads");
}

// -- moves: mremap takes pages along, whoever reads and writes them meanwhile
static atomic_ulong place, moved;
static void *move_thread(void *a) {
    long me = (long)a;
    if (me == 0) {
        char *m = (char *)atomic_load(&place);
        for (int round = 0; !stop; round++) {
            char *to = map(8 * P), *n = mremap(m, 8 * P, 8 * P, MREMAP_MAYMOVE | MREMAP_FIXED, to); CHECK(n == to, "errno %d", errno);
            if (n != to) { munmap(to, 8 * P); continue; }
            m = n; atomic_store(&place, (unsigned long)m); atomic_fetch_add(&moved, 1);
            for (int i = 0; i < 200; i++) (void)*(word *)m;
            if (round % 8 == 0) { char *g = mremap(m, 8 * P, 8 * P, 0); CHECK(g == m, "errno %d", errno); }
        }
        return 0;
    }
    for (uint64_t n = 0, sure = 1; !stop;) {
        uint64_t turn = atomic_load(&moved); char *m = (char *)atomic_load(&place); word *w = (word *)(m + (me % 8) * P) + me; uint64_t v = 0;
        if (FAULTS(v = *w) || atomic_load(&moved) != turn || (char *)atomic_load(&place) != m) continue;
        CHECK(v == n || (!sure && v == n + 1), "thread %ld: stored %lu, reads %lu", me, n, v);
        n = v; sure = !FAULTS(*w = n + 1) && atomic_load(&moved) == turn && (char *)atomic_load(&place) == m; n += sure;
    }
    return 0;
}
static void moves(void) { atomic_store(&place, (unsigned long)map(8 * P)); run(threads < 2 ? 2 : threads, move_thread); }

// -- ends: processes whose threads fault while the process ends
static void *busy_thread(void *a) { uint64_t s = (long)a + 5; for (;;) { char *m = mmap(0, 16 * P, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); if (m == MAP_FAILED) continue; for (int i = 0; i < 16; i++) m[i * P] = 1; if (next(&s) & 1) munmap(m, 16 * P); else mprotect(m, 8 * P, PROT_READ), munmap(m, 16 * P); } return 0; }
static void *end_thread(void *a) {
    uint64_t s = (long)a + 9;
    while (!stop) {
        pid_t child = fork();
        if (child == 0) {
            pthread_t t; for (long i = 0; i < 3; i++) if (pthread_create(&t, 0, busy_thread, (void *)i)) _exit(0);
            usleep(next(&s) % 3000); _exit(0);
        }
        if (child < 0) continue;
        int status; CHECK(waitpid(child, &status, 0) == child && status == 0, "status %x errno %d", status, errno);
    }
    return 0;
}
static void ends(void) { run(threads < 2 ? 1 : threads / 2, end_thread); }

static const struct { const char *name; void (*run)(void); } modes[] = {
    {"faults", faults}, {"areas", areas}, {"flush", flush}, {"unmapped", unmapped}, {"forks", forks}, {"file", file}, {"moves", moves}, {"ends", ends},
};
int main(int argc, char **argv) {
    setvbuf(stdout, 0, _IONBF, 0);
    seconds = argc > 1 ? atof(argv[1]) : 1; threads = argc > 2 ? atoi(argv[2]) : 4;
    struct sigaction act = { .sa_handler = on_fault, .sa_flags = SA_NODEFER }; sigaction(SIGSEGV, &act, 0); sigaction(SIGBUS, &act, 0);
    for (unsigned i = 0; i < sizeof modes / sizeof *modes; i++) {
        int wanted = argc <= 3; for (int k = 3; k < argc; k++) wanted |= !strcmp(argv[k], modes[i].name);
        if (!wanted) continue;
        int before = bad; modes[i].run(); if (bad != before) printf("%s: %d broken promises\n", modes[i].name, bad - before);
    }
    return bad > 90 ? 90 : bad;
}
