// SPDX-License-Identifier: Apache-2.0
// How much more one or more processors get done in the same time: the init of a machine of its own, which runs each
// row (or those that are named) with 1, 2, … workers, ROUNDS times in turn, and prints "row workers operations-per-second
// nanoseconds" for each. Each worker has a processor of its own; a lone one has each processor by turns, as no two have
// the same housekeeping to do. The nanoseconds are the longest that one of the workers needed for some arithmetic, right
// before and right after its part: they tell whether the host had its processors for itself then. On a Kaa that
// counts its locks also "waits row workers contended operations class" after a row: over all rounds, how often a lock
// was found taken, and which class of locks most. A worker is a process of its own (rows that end in _threads: a thread;
// pairs: two threads of one process).
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { ROUNDS = 48, MOST = 8, PAGES = 64, PAGE = 4096, LOCK_CLASSES = 256, STEPS = 100000, TRIES = 4 };
static const long long ROUND_NS = 30000000;

struct shared {
    atomic_int ready, go, stop;
    struct { _Alignas(128) atomic_long count, arithmetic_ns; } of[MOST];
};
static struct shared *shared;

static long long now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void fail(const char *what)
{
    printf("FAIL %s\n", what);
    fflush(stdout);
    _exit(1);
}

static void pin(int cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    if (sched_setaffinity(0, sizeof set, &set))
        fail("sched_setaffinity");
}

// How long some arithmetic takes that no kernel has a part in: the shortest of a few tries, without interrupts then.
static long long arithmetic(void)
{
    static volatile unsigned result;
    long long best = 1LL << 60;
    for (int try = 0; try < TRIES; try++) {
        long long began = now();
        unsigned a = 1, b = 2, c = 3, d = 4;
        for (unsigned i = 0; i < STEPS; i++) {
            a += b ^ i;
            b += c >> 3;
            c ^= d + i;
            d += a;
        }
        result = a ^ b ^ c ^ d;
        long long took = now() - began;
        best = took < best ? took : best;
    }
    return best;
}

static void measure_host(int worker)
{
    long long took = arithmetic();
    if (took > atomic_load(&shared->of[worker].arithmetic_ns))
        atomic_store(&shared->of[worker].arithmetic_ns, took);
}

static void start(int worker)
{
    pin(worker);
    measure_host(worker);
    atomic_fetch_add(&shared->ready, 1);
    while (!atomic_load(&shared->go))
        sched_yield();
}

static int going(void) { return !atomic_load_explicit(&shared->stop, memory_order_relaxed); }

static void done(int worker, long operations) { atomic_fetch_add(&shared->of[worker].count, operations); }

// ---- rows: each works until it is told to stop ----------------------------------------------------------------------

static void row_getppid(int worker)
{
    long n = 0;
    for (; going(); n += 100)
        for (int i = 0; i < 100; i++)
            syscall(SYS_getppid);
    done(worker, n);
}

static void row_fault(int worker)
{
    long n = 0;
    for (; going(); n += PAGES) {
        char *at = mmap(0, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (at == MAP_FAILED)
            fail("mmap");
        for (int i = 0; i < PAGES; i++)
            at[i * PAGE] = 1;
        munmap(at, PAGES * PAGE);
    }
    done(worker, n);
}

static void row_mmap(int worker)
{
    long n = 0;
    for (; going(); n += 10)
        for (int i = 0; i < 10; i++) {
            void *at = mmap(0, 16 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            if (at == MAP_FAILED || munmap(at, 16 * PAGE))
                fail("mmap");
        }
    done(worker, n);
}

static void row_open(int worker)
{
    char folder[32], path[48];
    snprintf(folder, sizeof folder, "/tmp/%d", worker);
    snprintf(path, sizeof path, "%s/file", folder);
    mkdir(folder, 0755);
    int fd = open(path, O_CREAT | O_RDWR, 0644);
    if (fd < 0)
        fail("open");
    close(fd);
    long n = 0;
    for (; going(); n += 10)
        for (int i = 0; i < 10; i++) {
            if ((fd = open(path, O_RDONLY)) < 0)
                fail("open");
            close(fd);
        }
    done(worker, n);
}

static void row_fork(int worker)
{
    long n = 0;
    for (; going(); n++) {
        pid_t child = fork();
        if (child < 0)
            fail("fork");
        if (!child)
            _exit(0);
        waitpid(child, 0, 0);
    }
    done(worker, n);
}

static int pipes[MOST][2][2];

static void *pipe_echo(void *number)
{
    int worker = (int)(long)number;
    char c;
    pin(worker);
    while (read(pipes[worker][0][0], &c, 1) == 1 && write(pipes[worker][1][1], &c, 1) == 1)
        ;
    return 0;
}

static void row_pipe(int worker)
{
    pthread_t other;
    char c = 'x';
    if (pipe(pipes[worker][0]) || pipe(pipes[worker][1]) || pthread_create(&other, 0, pipe_echo, (void *)(long)worker))
        fail("pipe");
    long n = 0;
    for (; going(); n++)
        if (write(pipes[worker][0][1], &c, 1) != 1 || read(pipes[worker][1][0], &c, 1) != 1)
            fail("pipe");
    close(pipes[worker][0][1]);
    pthread_join(other, 0);
    done(worker, n);
}

static struct { _Alignas(128) atomic_int word; } turns[MOST];

static void futex_hand_over(atomic_int *word, int theirs)
{
    atomic_store(word, theirs);
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, 0, 0, 0);
    while (atomic_load(word) == theirs)
        syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, theirs, 0, 0, 0);
}

static void *futex_echo(void *number)
{
    int worker = (int)(long)number;
    atomic_int *word = &turns[worker].word;
    pin(worker);
    while (atomic_load(word) == 0)
        syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, 0, 0, 0, 0);
    while (atomic_load(word) != 2)
        futex_hand_over(word, 0);
    return 0;
}

static void row_futex(int worker)
{
    pthread_t other;
    atomic_int *word = &turns[worker].word;
    atomic_store(word, 0);
    if (pthread_create(&other, 0, futex_echo, (void *)(long)worker))
        fail("pthread_create");
    long n = 0;
    for (; going(); n++)
        futex_hand_over(word, 1);
    atomic_store(word, 2);
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, 0, 0, 0);
    pthread_join(other, 0);
    done(worker, n);
}

static const struct row {
    const char *name;
    void (*run)(int);
    int threads;
} rows[] = {
    {"getppid", row_getppid, 0},     {"page_fault", row_fault, 0},   {"page_fault_threads", row_fault, 1},
    {"mmap_munmap", row_mmap, 0},    {"mmap_munmap_threads", row_mmap, 1}, {"open_close", row_open, 0},
    {"pipe_pairs", row_pipe, 0},     {"futex_pairs", row_futex, 0},  {"fork_exit", row_fork, 0},
};

// ---- one measurement ------------------------------------------------------------------------------------------------

struct job {
    const struct row *row;
    int worker;
};

static void *thread(void *argument)
{
    struct job *job = argument;
    start(job->worker);
    job->row->run(job->worker);
    measure_host(job->worker);
    return 0;
}

struct result {
    long operations;
    long long a_second, arithmetic_ns;
};

// The workers have the processors from `first` on, of `cpus`.
static struct result measure(const struct row *row, int workers, int first, int cpus)
{
    memset(shared, 0, sizeof *shared);
    struct job jobs[MOST];
    pthread_t threads[MOST];
    pid_t children[MOST];
    for (int i = 0; i < workers; i++) {
        jobs[i] = (struct job){row, (first + i) % cpus};
        if (row->threads) {
            if (pthread_create(&threads[i], 0, thread, &jobs[i]))
                fail("pthread_create");
        } else if (!(children[i] = fork())) {
            thread(&jobs[i]);
            _exit(0);
        }
    }
    while (atomic_load(&shared->ready) < workers)
        usleep(1000);
    long long began = now();
    atomic_store(&shared->go, 1);
    struct timespec length = {0, ROUND_NS};
    nanosleep(&length, 0);
    atomic_store(&shared->stop, 1);
    long long ended = now();
    for (int i = 0; i < workers; i++)
        if (row->threads)
            pthread_join(threads[i], 0);
        else
            waitpid(children[i], 0, 0);
    struct result result = {0};
    for (int i = 0; i < cpus; i++) {
        long long took = atomic_load(&shared->of[i].arithmetic_ns);
        result.operations += atomic_load(&shared->of[i].count);
        result.arithmetic_ns = took > result.arithmetic_ns ? took : result.arithmetic_ns;
    }
    result.a_second = result.operations * 1000000000LL / (ended - began);
    return result;
}

// ---- how often locks were waited for --------------------------------------------------------------------------------

struct lock_class {
    char name[40];
    long contended;
};

static int read_locks(struct lock_class *classes)
{
    FILE *file = fopen("/proc/kaa/locks", "r");
    char line[256];
    int number = 0;
    while (file && number < LOCK_CLASSES - 1 && fgets(line, sizeof line, file)) // the first line matches nothing
        if (sscanf(line, "%39[^\t]\t%*d\t%ld", classes[number].name, &classes[number].contended) == 2)
            number++;
    if (file)
        fclose(file);
    return number;
}

struct waits {
    long operations, contended;
    struct lock_class of[LOCK_CLASSES];
};

// All of this stays with process 1 (MADV_DONTFORK): it is this program's affair, and its pages, which all workers and
// their children would share, are no part of what is measured.
static struct books {
    struct waits waits[MOST + 1];
    struct lock_class before[LOCK_CLASSES], after[LOCK_CLASSES];
} *books;

// The entry of that name, or the free one where it belongs.
static struct lock_class *class_of(struct lock_class *classes, const char *name)
{
    while (*classes->name && strcmp(classes->name, name))
        classes++;
    return classes;
}

static int round_of(const struct row *row, int workers, int first, int cpus, struct waits *waits)
{
    struct lock_class *before = books->before, *after = books->after;
    memset(before, 0, sizeof books->before);
    read_locks(before);
    struct result result = measure(row, workers, first, cpus);
    printf("%s %d %lld %lld\n", row->name, workers, result.a_second, result.arithmetic_ns);
    fflush(stdout);
    waits->operations += result.operations;
    int known = read_locks(after);
    for (int i = 0; i < known; i++) {
        struct lock_class *class = class_of(waits->of, after[i].name);
        long more = after[i].contended - class_of(before, after[i].name)->contended;
        strcpy(class->name, after[i].name);
        class->contended += more;
        waits->contended += more;
    }
    return known;
}

static void print_waits(const struct row *row, int workers, const struct waits *waits)
{
    const struct lock_class *most = waits->of;
    for (const struct lock_class *class = waits->of; *class->name; class++)
        if (class->contended > most->contended)
            most = class;
    printf("waits %s %d %ld %ld %s\n", row->name, workers, waits->contended, waits->operations, most->name);
}

static void run(const struct row *row, int most)
{
    struct waits *waits = books->waits;
    memset(waits, 0, sizeof books->waits);
    int counted = 0;
    for (int round = 0; round < ROUNDS; round++)
        for (int workers = 1; workers <= most; workers *= 2)
            counted = round_of(row, workers, round % most, most, &waits[workers]);
    for (int workers = 1; counted && workers <= most; workers *= 2)
        print_waits(row, workers, &waits[workers]);
    fflush(stdout);
}

static int wanted(const struct row *row, char **names)
{
    if (!*names)
        return 1;
    while (*names && strcmp(*names, row->name))
        names++;
    return *names != 0;
}

int main(int argc, char **argv)
{
    int most = argc > 1 ? atoi(argv[1]) : 2;
    if (most > MOST)
        most = MOST;
    if (getpid() != 1) {
        fprintf(stderr, "this is the init of a machine of its own\n");
        return 2;
    }
    puts(""); // the firmware left its cursor anywhere
    mkdir("/tmp", 01777);
    mount("none", "/tmp", "tmpfs", 0, 0);
    mkdir("/proc", 0755);
    mount("none", "/proc", "proc", 0, 0);
    shared = mmap(0, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    books = mmap(0, sizeof *books, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED || books == MAP_FAILED || madvise(books, sizeof *books, MADV_DONTFORK))
        fail("mmap");
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++)
        if (wanted(&rows[r], argv + (argc > 1) + 1))
            run(&rows[r], most);
    printf("SCALING-DONE\n");
    fflush(stdout);
    reboot(RB_POWER_OFF);
    return 0;
}
