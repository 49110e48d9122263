# SPDX-License-Identifier: Apache-2.0
"""RwSem: any number of readers or one writer, sleeping.

One word: READER for each reader inside, or the writer's word (arch running.py) with WRITER; and WAITED_FOR. While
nobody waits, entering and leaving is one compare-and-exchange or add. Who finds a writer inside that runs on another
processor spins for it as for a mutex. Once somebody stands in line, everyone queues behind, so neither side starves:
the last to leave lets in the first waiter, and with a reader all readers that follow it directly.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

from kaa.kernel.arch import machine
from kaa.kernel.locking import record
from kaa.kernel.locking.waiters import Line, Waiter
from kaa.lang import Atomic, acquires, inline, lock, noinline, releases, u64

WRITER: Final = 1
WAITED_FOR: Final = 2
READER: Final = 4
FLAGS: Final = 7
NOT_FLAGS: Final = 0xFFFF_FFFF_FFFF_FFF8
NOT_WAITED_FOR: Final = 0xFFFF_FFFF_FFFF_FFFD


@lock
class RwSem(Line):
    """A readers-writer lock for long sections. Not recursive: a reader that enters twice may meet a writer in
    between."""

    state: Atomic[u64]

    def __init__(self, name: str = "rwsem") -> None:
        super().__init__()
        self.state = Atomic(0)
        record.named(self, name)

    @acquires("sleep", shared=True)
    @inline
    def acquire_read(self) -> None:
        """Enter beside other readers."""
        if not self._try_read():
            self._wait(True)
        record.shared(self)

    @acquires("sleep", shared=True, tried=True)
    @inline
    def try_read(self) -> bool:
        """Enter beside other readers, unless that means waiting."""
        if self._try_read():
            record.shared(self)
            return True
        return False

    @inline
    def _try_read(self) -> bool:
        state = self.state.load_relaxed()
        return state & (WRITER | WAITED_FOR) == 0 and self.state.compare_exchange(state, state + READER)

    @releases
    @inline
    def release_read(self) -> None:
        """Leave after acquire_read."""
        state = self.state.fetch_sub(READER)
        if state & WAITED_FOR != 0 and state < 2 * READER:
            self._admit()

    @acquires("sleep")
    @inline
    def acquire_write(self) -> None:
        """Enter alone."""
        if not self.state.compare_exchange(0, machine.running.word() | WRITER):
            self._wait(False)
        record.acquired(self)

    @releases
    @inline
    def release_write(self) -> None:
        """Leave after acquire_write."""
        record.releasing(self)
        if not self.state.compare_exchange(machine.running.word() | WRITER, 0):
            self._leave_contended()

    @contextmanager
    def read(self) -> Generator[None, None, None]:
        """`with sem.read():`"""
        self.acquire_read()
        try:
            yield
        finally:
            self.release_read()

    @contextmanager
    def write(self) -> Generator[None, None, None]:
        """`with sem.write():`"""
        self.acquire_write()
        try:
            yield
        finally:
            self.release_write()

    @noinline
    def _wait(self, reading: bool) -> None:
        assert self.state.load_relaxed() & ~WAITED_FOR != machine.running.word() | WRITER, "a writer enters twice"
        began = record.begin_wait()
        if not self._spin(reading):
            self._stand_in_line(reading)
        record.end_wait(self, began)

    def _stand_in_line(self, reading: bool) -> None:
        """Announcing first and looking second: a release that happens in between either sees the announcement (and
        then waits for the line's lock) or happened early enough for us to see its result."""
        task = machine.percpu.current()
        self.lock_line()
        self.state.fetch_or(WAITED_FOR)
        if self.first is None and self._enter(reading, machine.running.word()):
            self.state.fetch_and(NOT_WAITED_FOR)
            self.unlock_line()
            return
        waiter = task.lock_waiter
        waiter.exclusive = not reading
        self.await_grant(waiter, task)

    def _spin(self, reading: bool) -> bool:
        """Wait for a writer that is running. True if we are inside then."""
        if not self._worth_spinning() or self.spinning.exchange(1) != 0:
            return False
        entered = False
        while not machine.percpu.need_resched():
            if self.state.load_relaxed() & (WRITER | WAITED_FOR) != 0:
                if not self._worth_spinning():
                    break
            else:
                entered = (
                    self._try_read() if reading else self.state.compare_exchange(0, machine.running.word() | WRITER)
                )
                if entered or not reading:
                    break
            machine.irq.relax()
        self.spinning.store_release(0)
        return entered

    def _worth_spinning(self) -> bool:
        """There is no line, and the writer inside runs on another processor."""
        seen = self.state.load_relaxed()
        return seen & (WRITER | WAITED_FOR) == WRITER and machine.running.on_another(seen & NOT_FLAGS)

    def _enter(self, reading: bool, writer: u64) -> bool:
        """One try, whoever waits; with the line locked. Only releases can happen meanwhile: WAITED_FOR keeps others
        out. `writer`: the word of who is to be inside, if it writes."""
        while True:
            state = self.state.load()
            if state & WRITER != 0 or (not reading and state >= READER):
                return False
            if self.state.compare_exchange(state, state + READER if reading else state | writer | WRITER):
                return True

    @noinline
    def _leave_contended(self) -> None:
        """WAITED_FOR was set meanwhile, and nothing else can have changed: the line is locked by who set it, until it
        stands there or has found us gone."""
        assert self.state.load_relaxed() == machine.running.word() | WRITER | WAITED_FOR, "a stranger leaves"
        self.state.store_release(WAITED_FOR)
        self._admit()

    @noinline
    def _admit(self) -> None:
        """Let in the first waiter, and after a reader the readers behind it."""
        self.lock_line()
        while True:
            waiter: Waiter | None = self.first
            if waiter is None:
                self.state.fetch_and(NOT_WAITED_FOR)
                break
            writing = waiter.exclusive
            if not self._enter(not writing, waiter.owner_word()):
                break
            self.pop()
            waiter.notify()
            if writing:
                if self.first is None:
                    self.state.fetch_and(NOT_WAITED_FOR)
                break
        self.unlock_line()
