# SPDX-License-Identifier: Apache-2.0
"""What the language's test programs say: values to compare between CPython and native code, and questions to the
allocator.
"""

from __future__ import annotations

from kaa.lang.integers import i64, usize
from kaa.lang.memory import memory
from kaa.lang.sequences import Bytes
from kaa.lang.unsafe import asm, extern

emitted: list[int | bytes] = []
"""Under CPython: what the program has emitted. Tests clear and read it."""


@extern("kaa_test_emit")
def emit(value: i64) -> None:
    """Report a number."""
    emitted.append(int(value))


@extern("kaa_test_emit_bytes")
def emit_bytes(data: Bytes) -> None:
    """Report some bytes."""
    emitted.append(bytes(data))


@extern("kaa_test_live")
def live_objects() -> usize:
    """How many objects and buffers are allocated. CPython cannot tell: 0."""
    return 0


@extern("kaa_test_fail_after")
def fail_allocation_after(count: i64) -> None:
    """Let `count` allocations succeed and then one fail; negative: never. Under CPython: raw allocations only."""
    memory.fail_after = count


@asm("int3", clobber="memory")
def marker() -> None:
    """Where the counting of instructions begins and ends (bench/language)."""


@asm("", clobber="memory")
def barrier() -> None:
    """The C compiler may not carry what it knows of memory across this: a measured call is really made."""
