# SPDX-License-Identifier: Apache-2.0
"""RwSem: any number of readers or one writer, sleeping.

One word: WRITER, WAITED_FOR, and READER for each reader inside. While nobody waits, entering and leaving is one
compare-and-exchange or add. Once somebody waits, everyone queues behind, so neither side starves: the last to leave
lets in the first waiter, and with a reader all readers that follow it directly.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

from kaa.kernel.arch import machine
from kaa.kernel.locking.mutex import sleep_until_granted, sleepers
from kaa.kernel.locking.waiters import Line, Waiter
from kaa.lang import Atomic, inline, noinline, u64

WRITER: Final = 1
WAITED_FOR: Final = 2
READER: Final = 4
NOT_WRITER: Final = 0xFFFF_FFFF_FFFF_FFFE
NOT_WAITED_FOR: Final = 0xFFFF_FFFF_FFFF_FFFD


class RwSem(Line):
    """A readers-writer lock for long sections. Not recursive: a reader that enters twice may meet a writer in
    between."""

    state: Atomic[u64]

    def __init__(self, name: str = "rwsem") -> None:
        self.state = Atomic(0)

    @inline
    def acquire_read(self) -> None:
        """Enter beside other readers."""
        state = self.state.load_relaxed()
        if state & (WRITER | WAITED_FOR) != 0 or not self.state.compare_exchange(state, state + READER):
            self._wait(True)

    @inline
    def try_read(self) -> bool:
        """Enter beside other readers, unless that means waiting."""
        state = self.state.load_relaxed()
        return state & (WRITER | WAITED_FOR) == 0 and self.state.compare_exchange(state, state + READER)

    @inline
    def release_read(self) -> None:
        """Leave after acquire_read."""
        state = self.state.fetch_sub(READER)
        if state & WAITED_FOR != 0 and state < 2 * READER:
            self._admit()

    @inline
    def acquire_write(self) -> None:
        """Enter alone."""
        if not self.state.compare_exchange(0, WRITER):
            self._wait(False)

    @inline
    def release_write(self) -> None:
        """Leave after acquire_write."""
        if not self.state.compare_exchange(WRITER, 0):
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
        """Enter under `sleepers`, or queue. Announcing first and looking second: a release that happens in between
        either sees the announcement (and then waits for `sleepers`) or happened early enough for us to see its
        result."""
        task = machine.percpu.current()
        sleepers.acquire()
        self.state.fetch_or(WAITED_FOR)
        if self.first is None and self._enter(reading):
            self.state.fetch_and(NOT_WAITED_FOR)
            sleepers.release()
            return
        waiter = task.lock_waiter
        waiter.woken = False
        waiter.exclusive = not reading
        self.push(waiter)
        sleep_until_granted(waiter, task)

    def _enter(self, reading: bool) -> bool:
        """One try, whoever waits; under `sleepers`. Only releases can happen meanwhile: WAITED_FOR keeps others out."""
        while True:
            state = self.state.load()
            if state & WRITER != 0 or (not reading and state >= READER):
                return False
            if self.state.compare_exchange(state, state + READER if reading else state | WRITER):
                return True

    @noinline
    def _leave_contended(self) -> None:
        self.state.fetch_and(NOT_WRITER)
        self._admit()

    @noinline
    def _admit(self) -> None:
        """Let in the first waiter, and after a reader the readers behind it."""
        with sleepers:
            while True:
                waiter: Waiter | None = self.first
                if waiter is None:
                    self.state.fetch_and(NOT_WAITED_FOR)
                    return
                writing = waiter.exclusive
                if not self._enter(not writing):
                    return
                self.pop()
                waiter.notify()
                if writing:
                    break
            if self.first is None:
                self.state.fetch_and(NOT_WAITED_FOR)
