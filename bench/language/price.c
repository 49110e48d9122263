// SPDX-License-Identifier: Apache-2.0
// The five functions of price.py by hand, as a careful C programmer writes them for a kernel: no checks but those that the
// interface promises, errors as negative numbers, references counted where the Python counts them.
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// What is measured is called as from another file: not inlined, not specialised for its one caller.
#define noinline __attribute__((noinline))
#define marker() __asm__ volatile("int3" ::: "memory")
#define barrier() __asm__ volatile("" ::: "memory")

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;

static void *allocate(size_t size)
{
    void *p = calloc(1, size);
    if (!p)
        abort();
    return p;
}

// ---- 1. a buddy allocator --------------------------------------------------------------------------------------------

enum { ORDERS = 8, PAGES = 1024 };
#define NONE 0xFFFFFFFFu

struct link {
    u32 next, previous, order;
    bool free;
};

struct buddy {
    u32 heads[ORDERS];
    struct link *links;
};

static void push(struct buddy *b, u32 pfn, u32 order)
{
    u32 head = b->heads[order];
    struct link *link = &b->links[pfn];
    link->next = head;
    link->previous = NONE;
    link->order = order;
    link->free = true;
    if (head != NONE)
        b->links[head].previous = pfn;
    b->heads[order] = pfn;
}

static void unlink_page(struct buddy *b, u32 pfn)
{
    struct link *link = &b->links[pfn];
    link->free = false;
    if (link->previous == NONE)
        b->heads[link->order] = link->next;
    else
        b->links[link->previous].next = link->next;
    if (link->next != NONE)
        b->links[link->next].previous = link->previous;
}

noinline int64_t buddy_allocate(struct buddy *b, u32 order)
{
    for (u32 level = order; level < ORDERS; level++) {
        u32 pfn = b->heads[level];
        if (pfn == NONE)
            continue;
        unlink_page(b, pfn);
        while (level > order) {
            level--;
            push(b, pfn + (1u << level), level);
        }
        return pfn;
    }
    return -ENOMEM;
}

noinline void buddy_free(struct buddy *b, u32 pfn, u32 order)
{
    while (order < ORDERS - 1) {
        u32 other = pfn ^ (1u << order);
        struct link *link = &b->links[other];
        if (!link->free || link->order != order)
            break;
        unlink_page(b, other);
        pfn &= other;
        order++;
    }
    push(b, pfn, order);
}

static u32 case_buddy(void)
{
    struct buddy *b = allocate(sizeof *b);
    u32 held[64];
    u64 sum = 0;
    b->links = allocate(PAGES * sizeof *b->links);
    for (u32 order = 0; order < ORDERS; order++)
        b->heads[order] = NONE;
    for (u32 block = 0; block < PAGES; block += 1 << (ORDERS - 1))
        push(b, block, ORDERS - 1);
    marker();
    for (u32 n = 0; n < 64; n++) {
        barrier();
        int64_t pfn = buddy_allocate(b, n % 3);
        if (pfn < 0)
            abort();
        held[n] = pfn;
        sum += held[n];
    }
    for (u32 n = 0; n < 64; n++) {
        barrier();
        buddy_free(b, held[n], n % 3);
    }
    marker();
    return sum;
}

// ---- 2. a B-tree -----------------------------------------------------------------------------------------------------

enum { FANOUT = 16 };

struct node {
    u64 references;
    u32 count;
    bool leaf;
    u64 keys[FANOUT];
    u64 values[FANOUT];
    struct node *children[FANOUT];
};

static struct node *build(u32 depth, u64 first)
{
    struct node *node = allocate(sizeof *node);
    u64 span = 2;
    node->leaf = depth == 0;
    for (u32 n = 0; n < depth; n++)
        span *= FANOUT;
    for (u32 n = 0; n < FANOUT; n++) {
        u64 low = first + span * n;
        node->keys[n] = low + span - 2;
        if (depth == 0)
            node->values[n] = low * 3;
        else
            node->children[n] = build(depth - 1, low);
    }
    node->count = FANOUT;
    return node;
}

noinline int search(struct node *node, u64 key, u64 *value)
{
    for (;;) {
        u32 slot = 0;
        while (slot < node->count && node->keys[slot] < key)
            slot++;
        if (slot == node->count)
            return -ENOENT;
        if (node->leaf) {
            if (node->keys[slot] != key)
                return -ENOENT;
            *value = node->values[slot];
            return 0;
        }
        node = node->children[slot];
    }
}

static u32 case_tree(void)
{
    struct node *root = build(2, 0);
    u64 sum = 0, misses = 0, key = 1, value;
    marker();
    for (int n = 0; n < 100; n++) {
        key = (key * 5 + 7) % 9000;
        barrier();
        if (search(root, key, &value) == 0)
            sum += value;
        else
            misses++;
    }
    marker();
    return sum + misses;
}

// ---- 3. a path walk --------------------------------------------------------------------------------------------------

struct name {
    u64 references;
    u32 length;
    u8 bytes[];
};

struct folder;

struct entry {
    u32 hash;
    struct name *name;
    struct folder *folder;
};

struct folder {
    u64 references;
    u32 number, length, mask;
    u32 *index;
    struct entry *entries;
};

static u64 mix(u64 state, u64 word)
{
    state = (state ^ word) * 0x9E3779B97F4A7C15u;
    return state ^ state >> 29;
}

noinline u32 hash_bytes(const u8 *data, size_t size)
{
    u64 state = size * 0x9E3779B97F4A7C15u, word;
    if (!size)
        return 1;
    for (; size >= 8; data += 8, size -= 8) {
        memcpy(&word, data, 8);
        state = mix(state, word);
    }
    if (size) {
        word = 0;
        while (size)
            word = word << 8 | data[--size];
        state = mix(state, word);
    }
    return state >> 32 | 1;
}

static bool same(const u8 *a, const u8 *b, size_t size)
{
    return memcmp(a, b, size) == 0;
}

noinline struct folder *find(struct folder *f, const u8 *name, size_t size)
{
    u32 hash = hash_bytes(name, size);
    if (!f->length)
        return NULL;
    for (u32 slot = hash >> 1 & f->mask;; slot = (slot + 1) & f->mask) {
        u32 held = f->index[slot];
        if (!held)
            return NULL;
        struct entry *e = &f->entries[held - 1];
        if (e->hash == hash && e->name->length == size && same(e->name->bytes, name, size))
            return e->folder;
    }
}

static struct folder *folder(u32 number)
{
    struct folder *f = allocate(sizeof *f);
    f->number = number;
    f->mask = 31;
    f->index = allocate(32 * sizeof *f->index);
    f->entries = allocate(24 * sizeof *f->entries);
    return f;
}

static struct folder *add(struct folder *parent, const char *text, u32 number)
{
    size_t size = strlen(text);
    struct name *name = allocate(sizeof *name + size);
    name->length = size;
    memcpy(name->bytes, text, size);
    u32 hash = hash_bytes(name->bytes, size), slot = hash >> 1 & parent->mask;
    while (parent->index[slot])
        slot = (slot + 1) & parent->mask;
    struct folder *made = folder(number);
    parent->entries[parent->length] = (struct entry){hash, name, made};
    parent->index[slot] = ++parent->length;
    return made;
}

noinline int64_t walk(struct folder *here, const u8 *path, size_t end)
{
    size_t start = 0;
    while (start < end) {
        size_t stop = start;
        while (stop < end && path[stop] != '/')
            stop++;
        if (stop > start) {
            here = find(here, path + start, stop - start);
            if (!here)
                return -ENOENT;
        }
        start = stop + 1;
    }
    return here->number;
}

static u32 case_path(void)
{
    static const char *const others[] = {"bin", "dev", "etc", "home", "opt", "proc", "root", "run", "sys", "tmp", "var"};
    static const char there[] = "/usr/lib/python3/site-packages/kaa", absent[] = "/usr/lib/absent/file";
    struct folder *root = folder(1);
    struct folder *packages = add(add(add(add(root, "usr", 2), "lib", 3), "python3", 4), "site-packages", 5);
    u64 sum = 0;
    add(packages, "kaa", 6);
    for (size_t n = 0; n < sizeof others / sizeof *others; n++)
        add(root, others[n], 7);
    marker();
    for (int n = 0; n < 20; n++) {
        barrier();
        int64_t found = walk(root, (const u8 *)there, sizeof there - 1);
        if (found < 0)
            abort();
        sum += found;
        found = walk(root, (const u8 *)absent, sizeof absent - 1);
        sum += found < 0 ? 100 : found;
    }
    marker();
    return sum;
}

// ---- 4. the Internet checksum ------------------------------------------------------------------------------------------

noinline u32 checksum(const u8 *data, size_t size)
{
    u64 sum = 0;
    size_t at = 0;
    for (; size - at >= 2; at += 2)
        sum += (u64)data[at] << 8 | data[at + 1];
    if (at < size)
        sum += (u64)data[at] << 8;
    while (sum > 0xFFFF)
        sum = (sum & 0xFFFF) + (sum >> 16);
    return (u32)~sum & 0xFFFF;
}

noinline u32 checksum_words(const u8 *data, size_t size)
{
    u64 sum = 0;
    u32 word;
    u16 half;
    for (; size >= 4; data += 4, size -= 4) {
        memcpy(&word, data, 4);
        sum += word;
    }
    if (size >= 2) {
        memcpy(&half, data, 2);
        sum += half;
        data += 2;
        size -= 2;
    }
    if (size)
        sum += *data;
    while (sum > 0xFFFF)
        sum = (sum & 0xFFFF) + (sum >> 16);
    return __builtin_bswap16(~sum);
}

static u8 packet[1499];

static void fill_packet(void)
{
    u32 state = 1;
    for (int n = 0; n < 1499; n++) {
        state = state * 1664525 ^ 1013904223;
        packet[n] = state >> 24;
    }
}

static u32 case_checksum(void)
{
    u32 sum;
    fill_packet();
    marker();
    sum = checksum(packet, 1499);
    barrier();
    sum += checksum(packet, 20);
    marker();
    return sum;
}

static u32 case_checksum_words(void)
{
    u32 sum;
    fill_packet();
    marker();
    sum = checksum_words(packet, 1499);
    barrier();
    sum += checksum_words(packet, 20);
    marker();
    return sum;
}

// ---- 5. a descriptor table ---------------------------------------------------------------------------------------------

enum { LIMIT = 64 };

struct file {
    u64 references;
    u64 position;
    u32 flags;
};

struct descriptors {
    u32 lock;
    u64 used;
    struct file *slots[LIMIT];
};

static void lock(u32 *word)
{
    while (__atomic_exchange_n(word, 1, __ATOMIC_SEQ_CST))
        ;
}

static void unlock(u32 *word)
{
    __atomic_store_n(word, 0, __ATOMIC_SEQ_CST);
}

static void put_file(struct file *file)
{
    if (!--file->references)
        free(file);
}

noinline int install(struct descriptors *d, struct file *file)
{
    lock(&d->lock);
    if (d->used == UINT64_MAX) {
        unlock(&d->lock);
        return -EMFILE;
    }
    u32 number = __builtin_ctzl(~d->used);
    d->used |= 1ul << number;
    file->references++;
    d->slots[number] = file;
    unlock(&d->lock);
    return number;
}

noinline int close_file(struct descriptors *d, u32 number)
{
    lock(&d->lock);
    if (number >= LIMIT || !d->slots[number]) {
        unlock(&d->lock);
        return -EBADF;
    }
    d->used &= ~(1ul << number);
    put_file(d->slots[number]);
    d->slots[number] = NULL;
    unlock(&d->lock);
    return 0;
}

static u32 case_descriptors(void)
{
    struct descriptors *d = allocate(sizeof *d);
    struct file *file = allocate(sizeof *file);
    u64 sum = 0;
    file->references = 1;
    marker();
    for (int n = 0; n < 20; n++) {
        int a, b, c;
        if ((a = install(d, file)) < 0 || (b = install(d, file)) < 0)
            abort();
        if (close_file(d, a) < 0 || (c = install(d, file)) < 0)
            abort();
        if (close_file(d, b) < 0 || close_file(d, c) < 0)
            abort();
        sum += a + b * 10 + c * 100;
        if (close_file(d, c) < 0)
            sum += 1000;
    }
    marker();
    return sum;
}

// ---- the driver ----------------------------------------------------------------------------------------------------------

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        u32 (*run)(void);
    } cases[] = {
        {"buddy", case_buddy}, {"tree", case_tree}, {"path", case_path}, {"checksum", case_checksum},
        {"checksum_words", case_checksum_words}, {"descriptors", case_descriptors},
    };
    for (size_t n = 0; n < sizeof cases / sizeof *cases; n++)
        if (argc > 1 && !strcmp(argv[1], cases[n].name)) {
            printf("%u\n", cases[n].run());
            return 0;
        }
    return 2;
}
