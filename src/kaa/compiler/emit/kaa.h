/* SPDX-License-Identifier: Apache-2.0
   What every generated C file begins with: integers, objects and their counts, views, traps. */
#pragma once
typedef unsigned char u8; typedef unsigned short u16; typedef unsigned int u32; typedef unsigned long long u64;
typedef signed char i8; typedef short i16; typedef int i32; typedef long long i64;
typedef _Bool bool;
typedef void kaa_code;
typedef i64 (*kaa_trampoline)(u64, u64, u64, u64, u64, u64);
typedef struct { u8 *p; u64 n; } kaa_slice;
typedef struct { u64 v; u64 e; } kaa_result;
struct kaa_class { const char *name; u32 size, id; u64 live, slab; void (*drop)(void *); u32 span, weak; void *vtable[]; };
struct kaa_object { u32 count, weak; struct kaa_class *cls; };
struct kaa_bytes { struct kaa_object h; u64 n; u8 data[]; };
struct kaa_piece { u8 kind, flags; u16 width; u32 length; u64 value; };
struct kaa_text { const struct kaa_piece *pieces; u64 count; };
extern struct kaa_class kc_bytes;

#define KAA_LIKELY(x) __builtin_expect(!!(x), 1)
#define KAA_UNLIKELY(x) __builtin_expect(!!(x), 0)
#define KAA_COLD __attribute__((cold))
#define KAA_COPY static inline __attribute__((unused))
#define KAA_INLINE static inline __attribute__((always_inline, unused))
#define KAA_SYMBOL(name) ({ extern char name[]; (u64)name; })
#define KAA_MEMORY_ERROR 0x100c

__attribute__((noreturn, cold)) void kaa_trap(u32 code);
__attribute__((noreturn, cold)) void kaa_trap_text(u32 code, const struct kaa_text *text);
u64 kaa_object_alloc(u64 cls);
void kaa_object_free(u64 cls, u64 object);
u64 kaa_buffer_alloc(u64 size);
void kaa_buffer_free(u64 address, u64 size);
void kaa_retire(u64 object);
bool kaa_end_later(u64 object);

enum { KAA_overflow, KAA_index, KAA_none, KAA_divide, KAA_assert, KAA_unreachable, KAA_narrow, KAA_unhandled, KAA_match, KAA_empty, KAA_shift };
#ifdef KAA_UNCHECKED
#define KAA_CHECK(cond, kind, line) do { if (!(cond)) __builtin_unreachable(); } while (0)
#define KAA_ARITH(op, dst, a, b, line) (dst) = (__typeof__(dst))((a) KAA_OP_##op (b))
#define KAA_OP_add +
#define KAA_OP_sub -
#define KAA_OP_mul *
#define KAA_SHL(dst, a, n, line) (dst) = (__typeof__(dst))((a) << (n))
#define KAA_NARROW(dst, a, line) (dst) = (__typeof__(dst))(a)
#else
#define KAA_CHECK(cond, kind, line) do { if (KAA_UNLIKELY(!(cond))) kaa_trap((line) << 4 | KAA_##kind); } while (0)
#define KAA_ARITH(op, dst, a, b, line) \
    do { if (KAA_UNLIKELY(__builtin_##op##_overflow((a), (b), &(dst)))) kaa_trap((line) << 4 | KAA_overflow); } while (0)
#define KAA_SHL(dst, a, n, line) \
    do { __typeof__(dst) a_ = (a); (dst) = (__typeof__(dst))(a_ << (n)); if (KAA_UNLIKELY(((dst) >> (n)) != a_)) kaa_trap((line) << 4 | KAA_overflow); } while (0)
#define KAA_NARROW(dst, a, line) \
    do { __typeof__(a) a_ = (a); (dst) = (__typeof__(dst))a_; if (KAA_UNLIKELY((__typeof__(a))(dst) != a_)) kaa_trap((line) << 4 | KAA_narrow); } while (0)
#endif

/* ---- objects ---- */
#ifdef KAA_PLAIN_COUNTS
#define KAA_INC(p) (++*(p))
#define KAA_DEC(p) (--*(p))
#else
#define KAA_INC(p) __atomic_add_fetch((p), 1, __ATOMIC_RELAXED)
#define KAA_DEC(p) __atomic_sub_fetch((p), 1, __ATOMIC_ACQ_REL)
#endif
/* An object whose __init__ raised is dropped without its __del__: that would meet fields that nobody has set. */
#define KAA_HALF_BUILT 0x80000000u
#define KAA_UNFINISHED(x) (((struct kaa_object *)(x))->weak |= KAA_HALF_BUILT)
#define KAA_FINISHED(x) (((struct kaa_object *)(x))->weak &= ~KAA_HALF_BUILT)
#define KAA_IS_FINISHED(x) (!(((struct kaa_object *)(x))->weak & KAA_HALF_BUILT))
KAA_INLINE void *kaa_new(struct kaa_class *c)
{
    struct kaa_object *o = (struct kaa_object *)kaa_object_alloc((u64)c);
    if (KAA_LIKELY(o != 0)) { o->count = 1; o->weak = 1; o->cls = c; }
    return o;
}
#define KAA_RETAIN_SURE(x) ((void)KAA_INC(&((struct kaa_object *)(x))->count))
#define KAA_RETAIN(x) do { struct kaa_object *o_ = (struct kaa_object *)(x); if (o_) KAA_INC(&o_->count); } while (0)
#define KAA_RELEASE_SURE(x, dropper) do { struct kaa_object *o_ = (struct kaa_object *)(x); if (KAA_DEC(&o_->count) == 0) dropper((void *)o_); } while (0)
#define KAA_RELEASE(x, dropper) do { struct kaa_object *o_ = (struct kaa_object *)(x); if (o_ && KAA_DEC(&o_->count) == 0) dropper((void *)o_); } while (0)
/* What runs when the last count goes is rare: it saves the registers, so that who only may call it need not. */
#ifdef __clang__
#define KAA_DROP __attribute__((preserve_most, cold))
#else
#define KAA_DROP __attribute__((cold))
#endif
KAA_DROP void kaa_drop_virtual(void *o);
KAA_DROP void kaa_drop_bytes(void *o);
/* The end of an object whose fields are released: its memory goes when no weak reference is left. */
KAA_INLINE void kaa_end(void *p)
{
    struct kaa_object *o = (struct kaa_object *)p;
    if (KAA_LIKELY(__atomic_load_n(&o->weak, __ATOMIC_ACQUIRE) == 1)) { kaa_object_free((u64)o->cls, (u64)o); return; }
    __atomic_store_n(&o->count, 0, __ATOMIC_RELEASE);
    if (__atomic_sub_fetch(&o->weak, 1, __ATOMIC_ACQ_REL) == 0) kaa_object_free((u64)o->cls, (u64)o);
}
KAA_INLINE struct kaa_object *kaa_weak_new(void *x)
{
    struct kaa_object *o = (struct kaa_object *)x;
    if (o) __atomic_add_fetch(&o->weak, 1, __ATOMIC_RELAXED);
    return o;
}
#define kaa_weak_new(x) kaa_weak_new((void *)(x))
KAA_INLINE struct kaa_object *kaa_weak_get(struct kaa_object *o)
{
    if (!o) return 0;
    u32 n = __atomic_load_n(&o->count, __ATOMIC_RELAXED);
    while (n != 0 && !(n & 0x80000000u))
        if (__atomic_compare_exchange_n(&o->count, &n, n + 1, 0, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) return o;
    return 0;
}
KAA_INLINE void kaa_drop_weak(void *p) { (void)p; }
#define KAA_WEAK_RETAIN(x) do { struct kaa_object *o_ = (struct kaa_object *)(x); if (o_) __atomic_add_fetch(&o_->weak, 1, __ATOMIC_RELAXED); } while (0)
#define KAA_WEAK_RELEASE(x) do { struct kaa_object *o_ = (struct kaa_object *)(x); \
    if (o_ && __atomic_sub_fetch(&o_->weak, 1, __ATOMIC_ACQ_REL) == 0) kaa_object_free((u64)o_->cls, (u64)o_); } while (0)
KAA_INLINE void *kaa_take(void **p) { void *v = *p; *p = 0; return v; }
#define kaa_is_instance(o, c) (((struct kaa_object *)(o))->cls->id - (c)->id <= (c)->span)

/* ---- integers ---- */
#define kaa_clz(x, size) ((x) ? (u64)__builtin_clzll((u64)(x)) - (64 - (size) * 8) : (u64)(size) * 8)
#define kaa_ctz(x, size) ((x) ? (u64)__builtin_ctzll((u64)(x)) : (u64)(size) * 8)
#define kaa_rotl(x, n, size) ((__typeof__(x))((n) % ((size) * 8) ? (x) << (n) % ((size) * 8) | (x) >> ((size) * 8 - (n) % ((size) * 8)) : (x)))

/* ---- views and bytes ---- */
KAA_INLINE kaa_slice kaa_bytes_view(struct kaa_bytes *b) { return (kaa_slice){b->data, b->n}; }
KAA_INLINE u64 kaa_from_end(u64 n, u64 k) { return n > k ? n - k : 0; }
KAA_INLINE kaa_slice kaa_slice_cut(kaa_slice s, u64 a, u64 b, u64 size)
{
    b = b < s.n ? b : s.n;
    a = a < b ? a : b;
    return (kaa_slice){s.p + a * size, b - a};
}
KAA_INLINE kaa_slice kaa_slice_from(kaa_slice s, u64 a, u64 size)
{
    a = a < s.n ? a : s.n;
    return (kaa_slice){s.p + a * size, s.n - a};
}
#define kaa_slice_copy(to, from, size) do { kaa_slice t_ = (to), f_ = (from); if (KAA_UNLIKELY(t_.n < f_.n)) kaa_trap(__LINE__ << 4 | KAA_index); \
    __builtin_memmove(t_.p, f_.p, f_.n * (size)); } while (0)
#define KAA_SAME(word, a, b) ({ word x_, y_; __builtin_memcpy(&x_, (a), sizeof x_); __builtin_memcpy(&y_, (b), sizeof y_); x_ == y_; })
/* Names are short: comparing them here costs less than a call would. The last words may overlap. */
KAA_INLINE bool kaa_same_bytes(const u8 *a, const u8 *b, u64 n)
{
    if (n >= 8) {
        for (u64 i = 0; i < n - 8; i += 8) if (!KAA_SAME(u64, a + i, b + i)) return 0;
        return KAA_SAME(u64, a + n - 8, b + n - 8);
    }
    if (n >= 4) return KAA_SAME(u32, a, b) && KAA_SAME(u32, a + n - 4, b + n - 4);
    if (n >= 2) return KAA_SAME(u16, a, b) && a[n - 1] == b[n - 1];
    return n == 0 || *a == *b;
}
KAA_INLINE bool kaa_bytes_equal(kaa_slice a, kaa_slice b)
{
    if (a.n != b.n) return 0;
    if (__builtin_constant_p(a.n) || __builtin_constant_p(b.n)) return a.n == 0 || __builtin_memcmp(a.p, b.p, a.n) == 0;
    return kaa_same_bytes(a.p, b.p, a.n);
}
KAA_INLINE bool kaa_startswith(kaa_slice a, kaa_slice b) { return a.n >= b.n && (b.n == 0 || __builtin_memcmp(a.p, b.p, b.n) == 0); }
KAA_INLINE bool kaa_endswith(kaa_slice a, kaa_slice b) { return a.n >= b.n && (b.n == 0 || __builtin_memcmp(a.p + a.n - b.n, b.p, b.n) == 0); }
static inline __attribute__((unused)) i64 kaa_find_byte(kaa_slice a, u64 b)
{
    for (u64 i = 0; i < a.n; i++) if (a.p[i] == b) return (i64)i;
    return -1;
}
static inline __attribute__((unused)) i64 kaa_rfind_byte(kaa_slice a, u64 b)
{
    for (u64 i = a.n; i-- > 0;) if (a.p[i] == b) return (i64)i;
    return -1;
}
static inline __attribute__((unused)) i64 kaa_find(kaa_slice a, kaa_slice b)
{
    for (u64 i = 0; i + b.n <= a.n; i++) if (b.n == 0 || __builtin_memcmp(a.p + i, b.p, b.n) == 0) return (i64)i;
    return -1;
}
static inline __attribute__((unused)) i64 kaa_rfind(kaa_slice a, kaa_slice b)
{
    if (b.n > a.n) return -1;
    for (u64 i = a.n - b.n + 1; i-- > 0;) if (b.n == 0 || __builtin_memcmp(a.p + i, b.p, b.n) == 0) return (i64)i;
    return -1;
}
KAA_INLINE kaa_slice kaa_until_nul(kaa_slice s) { i64 n = kaa_find_byte(s, 0); return (kaa_slice){s.p, n < 0 ? s.n : (u64)n}; }
static inline __attribute__((unused)) struct kaa_bytes *kaa_bytes_zeroed(u64 n)
{
    if (n > 1ull << 40) return 0;
    struct kaa_bytes *b = (struct kaa_bytes *)kaa_buffer_alloc(sizeof(struct kaa_bytes) + n + 1);
    if (b) { b->h.count = 1; b->h.weak = 1; b->h.cls = &kc_bytes; b->n = n; }
    return b;
}
static inline __attribute__((unused)) struct kaa_bytes *kaa_bytes_new(kaa_slice s)
{
    struct kaa_bytes *b = kaa_bytes_zeroed(s.n);
    if (b && s.n) __builtin_memcpy(b->data, s.p, s.n);
    return b;
}
#define kaa_neg_abs(a) ((a) < 0 ? -(a) : (a))
#define kaa_floordiv(T, a, b) ({ T a_ = (a), b_ = (b), q_ = a_ / b_; (a_ % b_ != 0 && (a_ < 0) != (b_ < 0)) ? (T)(q_ - 1) : q_; })
#define kaa_mod(T, a, b) ({ T a_ = (a), b_ = (b), r_ = b_ == -1 ? 0 : a_ % b_; (r_ != 0 && (r_ < 0) != (b_ < 0)) ? (T)(r_ + b_) : r_; })
