# SPDX-License-Identifier: Apache-2.0
"""The vocabulary of Kaa's Python: machine integers, structs, arrays and views, sharing, and marks for the compiler.

docs/language.md is the reference. Under CPython all of this works as said there, in plain Python; the compiler
recognises these names by identity, or by the notes that decorators leave (`fn.__kaa__`, `cls.__kaa_struct__`,
`cls.__kaa_width__`). Raw addresses are apart, in `kaa.lang.unsafe`.
"""

from __future__ import annotations

from kaa.lang.codecs import sizeof
from kaa.lang.errors import ERRNO_OF_CLASS
from kaa.lang.integers import (
    byteswap,
    i8,
    i16,
    i32,
    i64,
    isize,
    leading_zeros,
    popcount,
    rotate_left,
    trailing_zeros,
    u8,
    u16,
    u32,
    u64,
    usize,
    wrapping_add,
    wrapping_mul,
    wrapping_sub,
)
from kaa.lang.markers import borrowed, cold, export, inline, naked, noinline, unreachable, width
from kaa.lang.proofs import (
    acquires,
    calls_addresses,
    entry_point,
    fatal,
    fault_handler,
    faults_unless_atomic,
    handling,
    interrupts,
    lock,
    may_fault,
    may_sleep,
    preemption,
    rcu_reader,
    recursive,
    releases,
    requires,
    sleepable,
    trusted,
)
from kaa.lang.rcu import LateEnd, RcuHead
from kaa.lang.sequences import Array, Bytes, Slice
from kaa.lang.sharing import (
    Atomic,
    Bits,
    Guarded,
    Once,
    Owned,
    PerCpu,
    Rcu,
    Relaxed,
    acquire_fence,
    fence,
    guarded,
    owned,
    part,
    release_fence,
)
from kaa.lang.structs import ZERO, as_bytes, copy, offset_of, struct
from kaa.lang.trampoline import Trampoline

__all__ = [
    "ERRNO_OF_CLASS", "Array", "Atomic", "Bits", "Bytes", "Guarded", "Once", "Owned", "PerCpu", "Rcu", "Relaxed",
    "Slice", "Trampoline",
    "LateEnd", "RcuHead", "ZERO",
    "acquires", "calls_addresses", "entry_point", "fatal", "fault_handler", "faults_unless_atomic", "handling",
    "interrupts", "lock", "may_fault", "may_sleep", "preemption", "rcu_reader", "recursive", "releases", "requires",
    "sleepable", "trusted",
    "as_bytes", "borrowed", "byteswap", "cold", "copy", "export", "fence", "guarded", "owned", "part",
    "i16", "i32", "i64", "i8", "inline", "isize", "leading_zeros", "naked", "noinline", "offset_of", "popcount",
    "rotate_left", "sizeof", "struct", "trailing_zeros", "u16", "u32", "u64", "u8", "unreachable", "usize",
    "acquire_fence", "release_fence", "width", "wrapping_add", "wrapping_mul", "wrapping_sub",
]  # fmt: skip
