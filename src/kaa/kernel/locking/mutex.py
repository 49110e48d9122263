# SPDX-License-Identifier: Apache-2.0
"""Mutex: mutual exclusion among tasks that may sleep while they hold it.

One word says who has it (0: nobody) and whether anyone waits; free and uncontended, taking and giving it back is one
compare-and-exchange each. Who finds it taken spins as long as the owner runs on another processor and nobody else
spins, for the owner will soon be done and a sleep costs more; otherwise it stands in line. A mutex with a line is
handed to the first in it and never becomes free in between, so nobody starves; spinning ends when a line forms.

The owner is known by its word (arch running.py), a number that is compared and never followed.
"""

from __future__ import annotations

from typing import Final

from kaa.kernel.arch import machine
from kaa.kernel.locking import record
from kaa.kernel.locking.waiters import Line
from kaa.lang import Atomic, acquires, inline, lock, noinline, releases, u64

WAITED_FOR: Final = 1
NOT_WAITED_FOR: Final = 0xFFFF_FFFF_FFFF_FFFE


@lock
class Mutex(Line):
    """A sleeping lock with one owner. Never in interrupts, never under a spinlock."""

    state: Atomic[u64]
    """The owner's word, and WAITED_FOR while somebody stands in line. With a line, changed under its lock only."""

    def __init__(self, name: str = "mutex") -> None:
        super().__init__()
        self.state = Atomic(0)
        record.named(self, name)

    @acquires("sleep")
    @inline
    def acquire(self) -> None:
        """Take the mutex, waiting (signals do not disturb) while someone else has it."""
        if not self.state.compare_exchange(0, machine.running.word()):
            self._acquire_slowly()
        record.acquired(self)

    @acquires("sleep", tried=True)
    @inline
    def try_acquire(self) -> bool:
        """Take the mutex if it is free."""
        if self.state.compare_exchange(0, machine.running.word()):
            record.acquired(self)
            return True
        return False

    @releases
    @inline
    def release(self) -> None:
        """Give the mutex to the first waiter, or back. Its owner does this, nobody else."""
        record.releasing(self)
        if not self.state.compare_exchange(machine.running.word(), 0):
            self._hand_over()

    def is_held(self) -> bool:
        """Whether someone has it: for assertions."""
        return self.state.load_relaxed() != 0

    @noinline
    def _acquire_slowly(self) -> None:
        assert self.state.load_relaxed() & NOT_WAITED_FOR != machine.running.word(), "a mutex is taken twice"
        began = record.begin_wait()
        if not self._spin():
            self._stand_in_line()
        record.end_wait(self, began)

    def _stand_in_line(self) -> None:
        task = machine.percpu.current()
        self.lock_line()
        if self.state.fetch_or(WAITED_FOR) == 0:
            # Given back meanwhile: with a line it would have been handed over, so there is none.
            self.state.store_release(machine.running.word())
            self.unlock_line()
            return
        self.await_grant(task.lock_waiter, task)

    def _spin(self) -> bool:
        """Wait for an owner that is running. True if the mutex was taken."""
        if not machine.running.on_another(self.state.load_relaxed()) or self.spinning.exchange(1) != 0:
            return False
        taken = False
        while not machine.percpu.need_resched():
            seen = self.state.load_relaxed()
            if seen == 0:
                taken = self.state.compare_exchange(0, machine.running.word())
                if taken:
                    break
            elif seen & WAITED_FOR != 0 or not machine.running.on_another(seen):
                break
            machine.irq.relax()
        self.spinning.store_release(0)
        return taken

    @noinline
    def _hand_over(self) -> None:
        assert self.state.load_relaxed() == machine.running.word() | WAITED_FOR, "a mutex is released by another task"
        self.lock_line()
        waiter = self.pop()
        assert waiter is not None
        line = 0 if self.first is None else WAITED_FOR
        self.state.store_release(waiter.owner_word() | u64(line))
        waiter.notify()
        self.unlock_line()

    @inline
    def __enter__(self) -> None:
        self.acquire()

    @inline
    def __exit__(self, *exc: object) -> None:
        self.release()
