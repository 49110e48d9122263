// SPDX-License-Identifier: Apache-2.0
// A plugin of QEMU's (docs/devel/tcg-plugins of QEMU 4.2 and later): which instructions of the kernel make cache lines
// move from one processor to another. `-plugin sharing.so,out=FILE` writes, when the machine ends, a line for each such
// instruction: its address, how often it read a line that another processor had written since, how often it wrote one
// that others had, how often it ran; in decimal, the address in hexadecimal.
//
// A line is 64 bytes of the kernel's half of the address space. Whoever writes it has it alone; whoever reads it has it
// beside the others. Caches are taken to be endless. Several processors run at once, so all that is counted is atomic.
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// ---- what QEMU has for plugins, as far as it is used ----------------------------------------------------------------

typedef uint64_t qemu_plugin_id_t;
typedef uint32_t qemu_plugin_meminfo_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
enum { NO_REGISTERS = 0, READS_AND_WRITES = 3 };
void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t, void (*)(qemu_plugin_id_t, struct qemu_plugin_tb *));
void qemu_plugin_register_atexit_cb(qemu_plugin_id_t, void (*)(qemu_plugin_id_t, void *), void *);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *);
void qemu_plugin_register_vcpu_mem_cb(struct qemu_plugin_insn *,
                                      void (*)(unsigned, qemu_plugin_meminfo_t, uint64_t, void *), int, int, void *);
bool qemu_plugin_mem_is_store(qemu_plugin_meminfo_t);

__attribute__((visibility("default"))) int qemu_plugin_version = 1;

// ---- tables: open addressing, entries are never taken out -----------------------------------------------------------

enum { LINE_BITS = 22, PLACE_BITS = 18, TRIES = 64 };

static struct line {
    _Atomic uint64_t number; // of the line; 0: free
    _Atomic uint64_t havers; // a bit for each processor
    _Atomic bool written;    // by the one that has it alone
} *lines;

static struct place {
    _Atomic uint64_t address; // of the instruction; 0: free
    _Atomic uint64_t read, wrote, ran;
} *places;

static const char *out;

static size_t hash(uint64_t key, int bits) { return (key * 0x9E3779B97F4A7C15ull) >> (64 - bits); }

// The entry for a key, taken if need be; null where the table is full.
static void *entry(void *table, size_t size, int bits, uint64_t key)
{
    size_t at = hash(key, bits);
    for (int i = 0; i < TRIES; i++, at = (at + 1) & ((1ull << bits) - 1)) {
        _Atomic uint64_t *found = (void *)((char *)table + at * size);
        uint64_t none = 0;
        if (atomic_load_explicit(found, memory_order_relaxed) == key || atomic_compare_exchange_strong(found, &none, key)
            || none == key)
            return found;
    }
    return 0;
}

// ---- what is counted ------------------------------------------------------------------------------------------------

static void count(_Atomic uint64_t *counter) { atomic_fetch_add_explicit(counter, 1, memory_order_relaxed); }

static void touched(unsigned cpu, qemu_plugin_meminfo_t info, uint64_t address, void *data)
{
    struct place *place = data;
    if (!(address >> 63) || cpu > 63)
        return;
    struct line *line = entry(lines, sizeof *lines, LINE_BITS, address >> 6);
    if (!line)
        return;
    uint64_t own = 1ull << cpu;
    count(&place->ran);
    if (qemu_plugin_mem_is_store(info)) {
        if (atomic_exchange(&line->havers, own) & ~own)
            count(&place->wrote);
        atomic_store_explicit(&line->written, true, memory_order_relaxed);
    } else if (!(atomic_load_explicit(&line->havers, memory_order_relaxed) & own)) {
        uint64_t before = atomic_fetch_or(&line->havers, own);
        if (before && !(before & own) && atomic_exchange(&line->written, false))
            count(&place->read);
    }
}

static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *block)
{
    (void)id;
    for (size_t i = 0; i < qemu_plugin_tb_n_insns(block); i++) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(block, i);
        uint64_t address = qemu_plugin_insn_vaddr(insn);
        struct place *place = address >> 63 ? entry(places, sizeof *places, PLACE_BITS, address) : 0;
        if (place)
            qemu_plugin_register_vcpu_mem_cb(insn, touched, NO_REGISTERS, READS_AND_WRITES, place);
    }
}

static void ended(qemu_plugin_id_t id, void *data)
{
    (void)id, (void)data;
    FILE *file = fopen(out, "w");
    for (size_t i = 0; file && i < 1ull << PLACE_BITS; i++)
        if (places[i].read || places[i].wrote)
            fprintf(file, "%llx %llu %llu %llu\n", (unsigned long long)places[i].address,
                    (unsigned long long)places[i].read, (unsigned long long)places[i].wrote,
                    (unsigned long long)places[i].ran);
    if (file)
        fclose(file);
}

__attribute__((visibility("default"))) int qemu_plugin_install(qemu_plugin_id_t id, const void *info, int argc,
                                                               char **argv)
{
    (void)info;
    lines = calloc(1ull << LINE_BITS, sizeof *lines);
    places = calloc(1ull << PLACE_BITS, sizeof *places);
    for (int i = 0; i < argc; i++)
        if (!strncmp(argv[i], "out=", 4))
            out = strdup(argv[i] + 4);
    if (!lines || !places || !out)
        return 1;
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_atexit_cb(id, ended, 0);
    return 0;
}
