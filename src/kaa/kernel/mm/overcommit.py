# SPDX-License-Identifier: Apache-2.0
"""How much memory may be promised: proc(5), /proc/sys/vm/overcommit_memory.

Mode 0 (the default) refuses a single request larger than all memory; mode 1 refuses nothing; mode 2 keeps the sum of
all promises under `ratio` per cent of memory. Promised are private writable areas.

A call asks (`may_commit`) before it changes anything, and counts (`commit`) what it has made; so in mode 2 calls that
ask at the same moment on several processors may together promise what each was told there is room for.
"""

from __future__ import annotations

from typing import Final

from kaa.kernel.mm import buddy
from kaa.lang import Atomic, i64, u64

HEURISTIC: Final = 0
ALWAYS: Final = 1
NEVER: Final = 2


class Commitments:
    """The policy, and pages promised so far (Committed_AS)."""

    mode: Atomic[u64]
    ratio: Final[u64]
    pages: Atomic[i64]

    def __init__(self) -> None:
        self.mode = Atomic(HEURISTIC)
        self.ratio = 50
        self.pages = Atomic(0)


commitments = Commitments()


def limit() -> u64:
    """CommitLimit, in pages."""
    return buddy.total_pages() * commitments.ratio // 100


def may_commit(pages: u64) -> bool:
    """Whether this many more pages may be promised."""
    if commitments.mode.load_relaxed() == ALWAYS:
        return True
    if commitments.mode.load_relaxed() == NEVER:
        return u64(max(commitments.pages.load(), 0)) + pages <= limit()
    return pages <= buddy.total_pages()


def is_strict() -> bool:
    """Whether promises are summed up (mode 2), rather than looked at one by one."""
    return commitments.mode.load_relaxed() == NEVER


def commit(pages: u64) -> None:
    """Count a promise."""
    commitments.pages.fetch_add(i64(pages))


def uncommit(pages: u64) -> None:
    """A promise is no longer needed."""
    commitments.pages.fetch_sub(i64(pages))
