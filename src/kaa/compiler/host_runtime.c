/* SPDX-License-Identifier: Apache-2.0
   What a compiled language test needs of a kernel: memory (which can be made to fail), traps, and a main that runs one case.
   Output, a line each: "i N" and "b HEX" emitted, "T KIND LINE" a trap, "E CODE" an error that got out, "L N" objects left. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "kaa.h"

struct entry { const char *name; u32 (*run)(void); };
extern struct entry kaa_entries[];

static i64 live, budget = -1;

static void *get(u64 size)
{
    if (budget == 0) { budget = -1; return 0; }
    if (budget > 0) budget--;
    void *p = calloc(1, size ? size : 1);
    if (p) live++;
    return p;
}
u64 kaa_object_alloc(u64 cls) { struct kaa_class *c = (struct kaa_class *)cls; void *p = get(c->size); if (p) c->live++; return (u64)p; }
void kaa_object_free(u64 cls, u64 object) { ((struct kaa_class *)cls)->live--; live--; free((void *)object); }
u64 kaa_buffer_alloc(u64 size) { return size > 1ull << 36 ? 0 : (u64)get(size); }
void kaa_buffer_free(u64 address, u64 size) { (void)size; if (address) { live--; free((void *)address); } }
/* Objects that Rcu fields let go: kept until the case ends, as if some reader lasted as long. */
static struct kaa_object *retired[4096];
static u64 retired_count;
void kaa_retire(u64 object) { if (retired_count == 4096) abort(); retired[retired_count++] = (struct kaa_object *)object; }
bool kaa_end_later(u64 object) { (void)object; return 0; }
static void end_grace_period(void) { while (retired_count) KAA_RELEASE_SURE(retired[--retired_count], kaa_drop_virtual); }
void kaa_test_emit(i64 v) { printf("i %lld\n", v); }
void kaa_test_emit_bytes(kaa_slice s) { printf("b "); for (u64 i = 0; i < s.n; i++) printf("%02x", s.p[i]); printf("\n"); }
u64 kaa_test_live(void) { return (u64)live; }
void kaa_test_fail_after(i64 n) { budget = n; }

static const char *kinds[] = {"overflow", "index", "none", "divide", "assert", "unreachable", "narrow", "unhandled", "match", "empty", "shift"};
void kaa_trap(u32 code)
{
    printf("T %s %u\n", kinds[code & 15], code >> 4);
    fflush(stdout);
    _Exit(101);
}
void kaa_trap_text(u32 code, const struct kaa_text *text) { (void)text; kaa_trap(code); }

int main(int argc, char **argv)
{
    setvbuf(stdout, 0, _IOFBF, 1 << 16);
    if (argc > 2) budget = atoll(argv[2]);
    for (struct entry *e = kaa_entries; e->name; e++) {
        if (argc > 1 && strcmp(e->name, argv[1])) continue;
        if (argc <= 1) printf("C %s\n", e->name);
        i64 before = live;
        u32 error = e->run();
        end_grace_period();
        budget = -1;
        if (error) printf("E %u\n", error);
        printf("L %lld\n", live - before);
        if (argc > 1) { fflush(stdout); return (int)(error & 0xfff); }
    }
    return 0;
}
