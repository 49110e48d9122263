# SPDX-License-Identifier: Apache-2.0
"""How much memory may be promised: proc(5), /proc/sys/vm/overcommit_memory.

Mode 0 (the default) refuses a single request larger than all memory; mode 1 refuses nothing; mode 2 keeps the sum of
all promises under `ratio` per cent of memory. Promised are private writable areas.

Each processor keeps a part of the sum, which may be negative: memory is unmapped elsewhere than it was mapped.

A call asks (`may_commit`) before it changes anything, and counts (`commit`) what it has made; so in mode 2 calls that
ask at the same moment on several processors may together promise what each was told there is room for.
"""

from __future__ import annotations

from typing import Final

from kaa.kernel.arch import machine
from kaa.kernel.arch.sums import PROMISED
from kaa.kernel.mm import buddy
from kaa.lang import Atomic, i64, inline, u64, wrapping_sub

HEURISTIC: Final = 0
ALWAYS: Final = 1
NEVER: Final = 2


class Commitments:
    """The policy."""

    mode: Atomic[u64]
    ratio: Final[u64]

    def __init__(self) -> None:
        self.mode = Atomic(HEURISTIC)
        self.ratio = 50


commitments = Commitments()


def limit() -> u64:
    """CommitLimit, in pages."""
    return buddy.total_pages() * commitments.ratio // 100


def promised() -> u64:
    """Pages promised so far (Committed_AS). Never less than nothing, though what is counted meanwhile may look so."""
    return u64(max(i64(machine.percpu.total(PROMISED)), 0))


def may_commit(pages: u64) -> bool:
    """Whether this many more pages may be promised."""
    mode = commitments.mode.load_relaxed()
    if mode == HEURISTIC:
        return pages <= buddy.total_pages()
    return mode == ALWAYS or promised() + pages <= limit()


def is_strict() -> bool:
    """Whether promises are summed up (mode 2), rather than looked at one by one."""
    return commitments.mode.load_relaxed() == NEVER


@inline
def commit(pages: u64) -> None:
    """Count a promise."""
    machine.percpu.add(PROMISED, pages)


@inline
def uncommit(pages: u64) -> None:
    """A promise is no longer needed."""
    machine.percpu.add(PROMISED, wrapping_sub(u64(0), pages))
