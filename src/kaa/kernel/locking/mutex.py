# SPDX-License-Identifier: Apache-2.0
"""Mutex: mutual exclusion among tasks that may sleep while they hold it.

One word says who has it (0: nobody) and whether anyone waits; free and uncontended, taking and giving it back is one
compare-and-exchange each. Who finds it taken spins as long as the owner runs on another processor and nobody else
spins, for the owner will soon be done and a sleep costs more; otherwise it stands in line.

A mutex with a line is given back free (WAITED_FOR alone), and the first in line is woken: until that one runs, whoever
comes may take the mutex, for it would be idle meanwhile. But a waiter that found it taken when it woke is *starved*: to
it the mutex is handed, without becoming free in between. So everyone in line is overtaken for one wake-up at most.

The owner is known by its word (arch running.py), a number that is compared and never followed.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from kaa.kernel.arch import machine
from kaa.kernel.locking import record
from kaa.kernel.locking.waiters import OWNER_LOOKS, Line, Waiter
from kaa.kernel.sched import core
from kaa.lang import Atomic, acquires, inline, lock, noinline, releases, u32, u64, wrapping_add

if TYPE_CHECKING:
    from kaa.kernel.process.task import Task

WAITED_FOR: Final = 1
NOT_WAITED_FOR: Final = 0xFFFF_FFFF_FFFF_FFFE


@lock
class Mutex(Line):
    """A sleeping lock with one owner. Never in interrupts, never under a spinlock."""

    state: Atomic[u64]
    """The owner's word, and WAITED_FOR while somebody stands in line, which changes under the line's lock only."""

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
        return self.state.load_relaxed() & NOT_WAITED_FOR != 0

    @noinline
    def _acquire_slowly(self) -> None:
        assert self.state.load_relaxed() & NOT_WAITED_FOR != machine.running.word(), "a mutex is taken twice"
        began = record.begin_wait()
        if not self._overtake() and not self._spin():
            self._stand_in_line()
        record.end_wait(self, began)

    def _stand_in_line(self) -> None:
        task = machine.percpu.current()
        waiter = task.lock_waiter
        self.lock_line()
        self.state.fetch_or(WAITED_FOR)
        if not self._overtake():
            self.stand(waiter, task, False)
            self._sleep_in_line(waiter, task)
        if self.first is None:
            self.state.fetch_and(NOT_WAITED_FOR)
        self.unlock_line()

    def _sleep_in_line(self, waiter: Waiter, task: Task) -> None:
        """Until the mutex is ours. The line is locked, now and at the end: who hands over or wakes does that with the
        line locked, so when we unlock it nobody looks at the waiter or the task any more, and all may go."""
        while True:
            core.set_state(task, core.UNINTERRUPTIBLE)
            self.unlock_line()
            core.schedule()
            self.lock_line()
            if waiter.woken:
                break
            if self.first is waiter and self._overtake():
                self.pop()
                break
            waiter.exclusive = True  # starved
        core.set_state(task, core.RUNNING)

    def _overtake(self) -> bool:
        """Take the mutex if it is free although somebody waits."""
        return self.state.load_relaxed() == WAITED_FOR and self.state.compare_exchange(
            WAITED_FOR, machine.running.word() | WAITED_FOR
        )

    def _spin(self) -> bool:
        """Wait for an owner that is running. True if the mutex was taken."""
        if not machine.running.on_another(self.state.load_relaxed()) or self.spinning.exchange(1) != 0:
            return False
        taken = False
        looks: u32 = 0
        while not machine.percpu.need_resched():
            seen = self.state.load_relaxed()
            if seen == 0:
                taken = self.state.compare_exchange(0, machine.running.word())
                if taken:
                    break
            elif seen & WAITED_FOR != 0 or looks % OWNER_LOOKS == 0 and not machine.running.on_another(seen):
                break
            looks = wrapping_add(looks, 1)
            machine.irq.relax()
        self.spinning.store_release(0)
        return taken

    @noinline
    def _hand_over(self) -> None:
        """WAITED_FOR stays: a waiter that is the last takes it away when it leaves the line."""
        assert self.state.load_relaxed() == machine.running.word() | WAITED_FOR, "a mutex is released by another task"
        self.lock_line()
        waiter = self.first
        assert waiter is not None
        task = waiter.task
        assert task is not None
        if waiter.exclusive:
            self.pop()
            waiter.woken = True
            self.state.store_release(waiter.owner_word() | WAITED_FOR)
        else:
            self.state.store_release(WAITED_FOR)
        core.wake(task)
        self.unlock_line()

    @acquires("sleep", nested=True)
    @inline
    def acquire_nested(self) -> None:
        """As acquire, while another lock of the class may be held that comes first in an order of the program's."""
        self.acquire()

    @contextmanager
    def nested(self) -> Generator[None, None, None]:
        """`with lock.nested():` is `with lock:` by acquire_nested."""
        self.acquire_nested()
        try:
            yield
        finally:
            self.release()

    @inline
    def __enter__(self) -> None:
        self.acquire()

    @inline
    def __exit__(self, *exc: object) -> None:
        self.release()
