// SPDX-License-Identifier: Apache-2.0
// Tasks that take turns on one processor keep their floating-point and vector registers, and see nothing of each
// other's. "x87" fills all eight registers, "mmx" leaves values in registers that are marked empty, "vectors" touches
// xmm registers and rounding only, and looks for what others left. Now and then a turn is a fork: both go on with the
// registers that the parent had.
#define _GNU_SOURCE
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include "turns.h"

enum { TURNS = 2000, REGISTERS = 16 };

struct area {
    uint16_t control, status;
    uint8_t tags, reserved;
    uint16_t opcode;
    uint64_t instruction, operand;
    uint32_t mxcsr, mask;
    uint8_t st[8][16], xmm[REGISTERS][16], rest[96];
} __attribute__((aligned(16)));
_Static_assert(sizeof(struct area) == 512, "FXSAVE's area");

// Load everything, make the call, store everything: the compiler has no say in between. Gives the call's result.
static long turn(long call, const struct area *before, struct area *after)
{
    long result = call;
    __asm__ volatile("fxrstorq %2; syscall; fxsaveq %1" : "+a"(result), "=m"(*after) : "m"(*before)
                     : "rcx", "r11", "memory", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8",
                       "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
    return result;
}

static void fill(struct area *area, int seed)
{
    memset(area, 0, sizeof *area);
    area->control = 0x37f;
    area->mxcsr = 0x1f80 | (seed & 3) << 13;
    for (int i = 0; i < REGISTERS; i++)
        memset(area->xmm[i], seed * 17 + i, 16);
}

static int same(const struct area *a, const struct area *b)
{
    return a->control == b->control && a->status == b->status && a->tags == b->tags && a->mxcsr == b->mxcsr
           && !memcmp(a->st, b->st, sizeof a->st) && !memcmp(a->xmm, b->xmm, sizeof a->xmm);
}

static int takes_turns(const char *kind, int seed)
{
    struct area before, after;
    for (int turns = 0; turns < TURNS; turns++) {
        fill(&before, seed + turns);
        int uses = !strcmp(kind, "x87") || (!strcmp(kind, "now and then") && turns % 7 == 0);
        int leaves = !strcmp(kind, "mmx");
        for (int i = 0; (uses || leaves) && i < 8; i++) {
            memset(before.st[i], seed + turns + i, 8);
            before.st[i][8] = 0xff, before.st[i][9] = 0x3f;
        }
        if (uses) {
            before.tags = 0xff;
            before.control = 0x27f;
        }
        long child = turn(turns % 50 == 49 ? SYS_fork : SYS_sched_yield, &before, &after);
        int lost = !same(&before, &after) || (!uses && (after.instruction || after.operand || after.opcode));
        if (turns % 50 == 49 && child == 0)
            _exit(lost);
        int status = 0;
        if (lost || child < 0 || (child > 0 && waitpid(child, &status, 0) != child) || status) {
            printf("%s lost its registers, or saw another's, in turn %d\n", kind, turns);
            return 1;
        }
    }
    return 0;
}

static const char *const kinds[] = {"vectors", "x87", "vectors", "mmx", "now and then", "vectors"};

static int keeps_its_registers(int number) { return takes_turns(kinds[number], 10 * number + 1); }

int main(void) { return take_turns(sizeof kinds / sizeof *kinds, keeps_its_registers); }
