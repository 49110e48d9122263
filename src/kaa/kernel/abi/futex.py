# SPDX-License-Identifier: Apache-2.0
"""futex(2) and the robust list (get_robust_list(2))."""

from __future__ import annotations

from enum import IntEnum, IntFlag
from typing import Final

from kaa.lang import i64, struct, u32, u64


class FutexOp(IntEnum):
    """The command part of futex(2)'s op."""

    FUTEX_WAIT = 0
    FUTEX_WAKE = 1
    FUTEX_FD = 2
    FUTEX_REQUEUE = 3
    FUTEX_CMP_REQUEUE = 4
    FUTEX_WAKE_OP = 5
    FUTEX_LOCK_PI = 6
    FUTEX_UNLOCK_PI = 7
    FUTEX_TRYLOCK_PI = 8
    FUTEX_WAIT_BITSET = 9
    FUTEX_WAKE_BITSET = 10
    FUTEX_WAIT_REQUEUE_PI = 11
    FUTEX_CMP_REQUEUE_PI = 12
    FUTEX_LOCK_PI2 = 13


class FutexFlag(IntFlag):
    """Flags of op."""

    FUTEX_PRIVATE_FLAG = 128
    FUTEX_CLOCK_REALTIME = 256


# futex_waitv(2) and its kin: sizes of words (only 32 bits are there), and flags.
FUTEX2_SIZE_MASK: Final = 3
FUTEX2_SIZE_U32: Final = 2
FUTEX2_PRIVATE: Final = 128
FUTEX_WAITV_MAX: Final = 128

ANY_BITSET: Final = 0xFFFF_FFFF

# FUTEX_WAKE_OP's operations and comparisons.
OP_SET: Final = 0
OP_ADD: Final = 1
OP_OR: Final = 2
OP_ANDN: Final = 3
OP_XOR: Final = 4
OP_ARGUMENT_SHIFT: Final = 8
CMP_EQ: Final = 0
CMP_NE: Final = 1
CMP_LT: Final = 2
CMP_LE: Final = 3
CMP_GT: Final = 4
CMP_GE: Final = 5

# The word of a robust or pthread mutex.
WAITERS: Final = 0x8000_0000
OWNER_DIED: Final = 0x4000_0000
TID_MASK: Final = 0x3FFF_FFFF
ROBUST_LIST_LIMIT: Final = 2048


@struct
class RobustListHead:
    """struct robust_list_head."""

    next: u64 = 0
    futex_offset: i64 = 0
    pending: u64 = 0


@struct
class FutexWaitv:
    """struct futex_waitv."""

    value: u64 = 0
    address: u64 = 0
    flags: u32 = 0
    reserved: u32 = 0
