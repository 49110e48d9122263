# SPDX-License-Identifier: Apache-2.0
"""WideLock: a spinlock for what all processors read all the time and seldom change.

Each processor has a word of its own, in a cache line of its own. A reader takes its processor's word and disturbs
nobody; a writer takes the words of all processors that there are, in order of their numbers, and so is alone. With one
processor both cost what a SpinLock costs. Sections are as short as a spinlock's; preemption is off in them.

Not for what interrupt handlers touch. Not fair: who finds a word free takes it. Source: the idea is known as a
distributed or "big reader" lock (W. Hsieh and W. Weihl, "Scalable Reader-Writer Locks for Parallel Systems", 1992).

A processor that starts is prepared, so that writers see it, milliseconds before it runs tasks: no section lasts as
long.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

from kaa.kernel.arch import machine
from kaa.kernel.locking import record
from kaa.kernel.locking.record import LockRecord
from kaa.kernel.locking.spin_word import Watch
from kaa.lang import Array, Atomic, acquires, cold, inline, lock, noinline, releases, u32, u64, wrapping_mul

CPUS: Final = 64
STRIDE: Final = 16
"""u32s for each processor: a cache line."""


@inline
def _own_word() -> u32:
    """Its index; preemption is off."""
    return wrapping_mul(machine.percpu.cpu_id() % CPUS, STRIDE)


@lock
class WideLock(LockRecord):
    """One word per processor; see the module."""

    words: Array[Atomic[u32], 1024]

    def __init__(self, name: str) -> None:
        self.words = Array[Atomic[u32], 1024]()
        record.named(self, name)

    @acquires("spin", shared=True)
    @inline
    def acquire_read(self) -> None:
        """Enter beside other processors' readers."""
        machine.percpu.preempt_disable()
        self._take(_own_word())
        record.shared(self)

    @releases
    @inline
    def release_read(self) -> None:
        """Leave after acquire_read; may reschedule."""
        self.words[_own_word()].store_release(0)
        machine.percpu.preempt_enable()

    @acquires("spin")
    def acquire(self) -> None:
        """Enter alone."""
        machine.percpu.preempt_disable()
        self._take(u32(0))
        if machine.percpu.prepared() != 1:
            self._take_others()
        record.acquired(self)

    @releases
    def release(self) -> None:
        """Leave after acquire; may reschedule."""
        record.releasing(self)
        if machine.percpu.prepared() != 1:
            self._give_others()
        self.words[0].store_release(0)
        machine.percpu.preempt_enable()

    @contextmanager
    def read(self) -> Generator[None, None, None]:
        """`with lock.read():`"""
        self.acquire_read()
        try:
            yield
        finally:
            self.release_read()

    @inline
    def __enter__(self) -> None:
        self.acquire()

    @inline
    def __exit__(self, *exc: object) -> None:
        self.release()

    @noinline
    def _take_others(self) -> None:
        for processor in range(u32(1), machine.percpu.prepared()):
            self._take(processor * STRIDE)

    @noinline
    def _give_others(self) -> None:
        """A processor that was prepared meanwhile has a word that nobody took, nor needs."""
        for processor in range(u32(1), machine.percpu.prepared()):
            self.words[processor * STRIDE].store_release(0)

    @inline
    def _take(self, index: u32) -> None:
        if not self.words[index].compare_exchange(0, 1):
            self._wait(index)

    @noinline
    @cold
    def _wait(self, index: u32) -> None:
        began: u64 = record.begin_wait()
        watch = Watch()
        while self.words[index].load_relaxed() != 0 or not self.words[index].compare_exchange(0, 1):
            watch.look()
        record.end_wait(self, began)
