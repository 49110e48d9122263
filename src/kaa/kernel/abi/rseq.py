# SPDX-License-Identifier: Apache-2.0
"""rseq(2): the area that a thread shares with the kernel, and what describes a restartable sequence
(<linux/rseq.h>)."""

from __future__ import annotations

from typing import Final

from kaa.lang import struct, u32, u64

RSEQ_FLAG_UNREGISTER: Final = 1
ORIGINAL_SIZE: Final = 32
FEATURE_SIZE: Final = 28
"""AT_RSEQ_FEATURE_SIZE: the area is meaningful so far."""
ALIGNMENT: Final = 32
UNINITIALIZED: Final = 0xFFFF_FFFF
SEQUENCE_OFFSET: Final = 8


@struct
class RseqArea:
    """struct rseq."""

    cpu_start: u32 = 0
    cpu: u32 = 0
    sequence: u64 = 0
    flags: u32 = 0
    node: u32 = 0
    concurrency: u32 = 0


@struct
class RseqNumbers:
    """Its part before the pointer to the sequence, and its part after the flags."""

    first: u32 = 0
    second: u32 = 0


@struct
class Sequence:
    """struct rseq_cs."""

    version: u32 = 0
    flags: u32 = 0
    start: u64 = 0
    length: u64 = 0
    abort: u64 = 0
