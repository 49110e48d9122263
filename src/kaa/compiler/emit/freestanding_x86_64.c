/* SPDX-License-Identifier: Apache-2.0
   The four functions that every C compiler expects of a freestanding program. String instructions with 8-byte elements: a
   processor with fast strings copies a cache line at a time, and an emulator counts one instruction for each 8 bytes. */
#include "kaa.h"
#define FREE __attribute__((used, noinline))

FREE void *memcpy(void *to, const void *from, __SIZE_TYPE__ n)
{
    void *d = to;
    u64 words = n >> 3;
    __asm__ volatile("rep movsq" : "+D"(d), "+S"(from), "+c"(words)::"memory");
    u64 rest = n & 7;
    __asm__ volatile("rep movsb" : "+D"(d), "+S"(from), "+c"(rest)::"memory");
    return to;
}

FREE void *memmove(void *to, const void *from, __SIZE_TYPE__ n)
{
    if ((u64)to - (u64)from >= n) return memcpy(to, from, n);
    /* overlapping, the target above: from the end, the bytes beyond whole words first */
    u8 *d = (u8 *)to + n - 1;
    const u8 *s = (const u8 *)from + n - 1;
    u64 rest = n & 7, words = n >> 3;
    __asm__ volatile("std; rep movsb" : "+D"(d), "+S"(s), "+c"(rest)::"memory");
    d -= 7, s -= 7;
    __asm__ volatile("rep movsq; cld" : "+D"(d), "+S"(s), "+c"(words)::"memory");
    return to;
}

FREE void *memset(void *to, int value, __SIZE_TYPE__ n)
{
    void *d = to;
    u64 words = n >> 3, all = (u8)value * 0x0101010101010101ull;
    __asm__ volatile("rep stosq" : "+D"(d), "+c"(words) : "a"(all) : "memory");
    u64 rest = n & 7;
    __asm__ volatile("rep stosb" : "+D"(d), "+c"(rest) : "a"(all) : "memory");
    return to;
}

FREE int memcmp(const void *a, const void *b, __SIZE_TYPE__ n)
{
    const u8 *x = a, *y = b;
    for (; n >= 8; n -= 8, x += 8, y += 8) {
        u64 p = *(const __attribute__((aligned(1), may_alias)) u64 *)x, q = *(const __attribute__((aligned(1), may_alias)) u64 *)y;
        if (p != q) return __builtin_bswap64(p) < __builtin_bswap64(q) ? -1 : 1;
    }
    for (; n; n--, x++, y++)
        if (*x != *y) return *x < *y ? -1 : 1;
    return 0;
}
