# SPDX-License-Identifier: Apache-2.0
"""Do the time stamp counters of two processors show the same time? A new processor and the one that starts it take
turns at reading theirs: if a later reading is lower than an earlier one, the counters are apart.

Monotonic time relies on it (clock.py). Counters of one board are reset together and count at one rate where CPUID
says `invariant`; a hypervisor keeps its guests' together.
"""

from __future__ import annotations

from kaa.kernel.arch.x86_64 import instructions
from kaa.lang import Atomic, u32, u64

ROUNDS = 200
LONGEST = 20_000_000
"""Cycles a test may take: a hypervisor may take processors away in the middle."""


class Turns:
    """The last reading, and whose turn it is: even numbers are the starter's. One test at a time."""

    turn: Atomic[u32]
    last: Atomic[u64]
    warp: Atomic[u64]

    def __init__(self) -> None:
        self.turn = Atomic(0)
        self.last = Atomic(0)
        self.warp = Atomic(0)


turns = Turns()
ABANDONED = 1 << 30


def prepare() -> None:
    """Before the other processor starts."""
    turns.last.store(0)
    turns.warp.store(0)
    turns.turn.store(0)


def test(parity: u32) -> None:
    """One side of the test: 0 for the processor that starts the other, 1 for the one started. Interrupts are off on
    the latter."""
    start = instructions.read_tsc()
    mine: u32 = parity
    while mine < ROUNDS:
        turn = turns.turn.load()
        if turn >= ROUNDS:
            return
        if turn != mine:
            if instructions.read_tsc() - start > LONGEST:
                turns.turn.store(ABANDONED)
                return
            instructions.pause()
            continue
        now = instructions.read_tsc()
        before = turns.last.load()
        if now < before:
            turns.warp.store(max(turns.warp.load(), before - now))
        turns.last.store(now)
        turns.turn.compare_exchange(mine, mine + 1)
        mine += 2


def worst() -> u64:
    """By how many cycles time went back in the test; 0: not seen to."""
    return turns.warp.load()
