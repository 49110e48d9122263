# SPDX-License-Identifier: Apache-2.0
"""RwSem: any number of readers or one writer, sleeping.

One word: READER for each reader inside, or the writer's word (arch running.py) with WRITER; WAITED_FOR; STARVED. While
nobody waits, entering and leaving is one compare-and-exchange or add. One task at a time spins instead of standing in
line: for a writer as long as it runs on another processor, for readers, who are not known, for a while. It looks ever
less often: meanwhile the other takes the lock several times, where at each hand-over all that the lock guards would
travel to another processor's cache (T. Anderson, "The Performance of Spin Lock Alternatives for Shared-Memory
Multiprocessors", 1990: backoff).

Once somebody stands in line, others queue behind, but as with a mutex nothing is kept idle for one who sleeps: the
last to leave wakes the first in line, and until that one runs, whoever finds the lock empty may enter. A waiter that
found it taken when it woke is *starved*: then nobody overtakes any more, and the last to leave lets that one in. So
neither side starves. With a reader, all readers that stand directly behind it are let in.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from kaa.kernel.arch import machine
from kaa.kernel.locking import record
from kaa.kernel.locking.waiters import Line, Waiter
from kaa.kernel.sched import core
from kaa.lang import Atomic, acquires, inline, lock, noinline, releases, u32, u64

if TYPE_CHECKING:
    from kaa.kernel.process.task import Task

WRITER: Final = 1
WAITED_FOR: Final = 2
STARVED: Final = 4
READER: Final = 8
NOT_FLAGS: Final = 0xFFFF_FFFF_FFFF_FFF8
NOT_STARVED: Final = 0xFFFF_FFFF_FFFF_FFFB
NO_LINE: Final = 0xFFFF_FFFF_FFFF_FFF9
"""Neither WAITED_FOR nor STARVED."""
LONGEST_GAP: Final = 512
"""Spins between two looks at the lock, at most: the first gap is one, each is twice as long as the one before."""
PATIENCE: Final = 4096
"""Spins for readers inside before a spinner goes to sleep."""


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

    @acquires("sleep", nested=True)
    @inline
    def acquire_write_nested(self) -> None:
        """As acquire_write, while another lock of the class may be held that comes first in an order of the
        program's."""
        self.acquire_write()

    @releases
    @inline
    def release_write(self) -> None:
        """Leave after acquire_write."""
        record.releasing(self)
        if not self.state.compare_exchange(machine.running.word() | WRITER, 0):
            self._leave_contended()

    @releases
    @inline
    def begin_downgrade(self) -> None:
        """The writer is a reader from here on: `end_downgrade` follows at once, then release_read."""
        record.releasing(self)
        if not self.state.compare_exchange(machine.running.word() | WRITER, READER):
            self._downgrade_contended()

    @acquires("sleep", shared=True)
    @inline
    def end_downgrade(self) -> None:
        """Says to the proofs what is held now."""

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

    @contextmanager
    def write_nested(self) -> Generator[None, None, None]:
        """`with sem.write_nested():` is `with sem.write():` by acquire_write_nested."""
        self.acquire_write_nested()
        try:
            yield
        finally:
            self.release_write()

    @noinline
    def _wait(self, reading: bool) -> None:
        seen = self.state.load_relaxed()
        assert seen & WRITER == 0 or seen & NOT_FLAGS != machine.running.word(), "a writer enters twice"
        began = record.begin_wait()
        if not self._overtake(reading) and not self._spin(reading):
            self._stand_in_line(reading)
        record.end_wait(self, began)

    # -- without standing in line

    def _overtake(self, reading: bool) -> bool:
        """Enter if nobody is inside although somebody waits, and is not starved."""
        return self.state.load_relaxed() == WAITED_FOR and self.state.compare_exchange(
            WAITED_FOR, WAITED_FOR + READER if reading else machine.running.word() | (WRITER | WAITED_FOR)
        )

    def _spin(self, reading: bool) -> bool:
        """Wait for a writer that is running, or for readers. True if we are inside then."""
        if self.state.load_relaxed() & WAITED_FOR != 0 or self.spinning.exchange(1) != 0:
            return False
        entered = False
        gap: u32 = 1
        patience: u32 = PATIENCE
        while not machine.percpu.need_resched() and patience != 0:
            seen = self.state.load_relaxed()
            if seen & WAITED_FOR != 0:
                break
            if seen & WRITER != 0:
                if not machine.running.on_another(seen & NOT_FLAGS):
                    break
            else:
                entered = self._try_enter(reading, seen)
                if entered:
                    break
                patience -= min(gap, patience)
            machine.irq.relax_for(gap)
            gap = min(2 * gap, LONGEST_GAP)
        self.spinning.store_release(0)
        return entered

    @inline
    def _try_enter(self, reading: bool, seen: u64) -> bool:
        """One try where nobody waits and no writer is inside."""
        if reading:
            return self.state.compare_exchange(seen, seen + READER)
        return seen == 0 and self.state.compare_exchange(0, machine.running.word() | WRITER)

    # -- the line

    def _stand_in_line(self, reading: bool) -> None:
        """Announcing first and looking second: a release that happens in between either sees the announcement (and
        then waits for the line's lock) or happened early enough for us to see its result."""
        task = machine.percpu.current()
        waiter = task.lock_waiter
        self.lock_line()
        self.state.fetch_or(WAITED_FOR)
        if self.first is not None or not self._enter(reading, machine.running.word()):
            self.stand(waiter, task, not reading)
            self._sleep_in_line(waiter, task)
        if self.first is None:
            self.state.fetch_and(NO_LINE)
        self.unlock_line()

    def _sleep_in_line(self, waiter: Waiter, task: Task) -> None:
        """Until we are inside. The line is locked, now and at the end: who lets in or wakes does that with the line
        locked, so when we unlock it nobody looks at the waiter or the task any more, and all may go."""
        while True:
            core.set_state(task, core.UNINTERRUPTIBLE)
            self.unlock_line()
            core.schedule()
            self.lock_line()
            if waiter.woken:
                break
            if self.first is waiter:
                if self._enter(not waiter.exclusive, machine.running.word()):
                    self.pop()
                    if not waiter.exclusive:
                        self._let_in()
                    break
                self.state.fetch_or(STARVED)
        core.set_state(task, core.RUNNING)

    def _enter(self, reading: bool, writer: u64) -> bool:
        """One try of the first in line, with the line locked. Others may leave meanwhile, or overtake. `writer`: the
        word of who is to be inside, if it writes."""
        while True:
            state = self.state.load()
            if state & WRITER != 0 or (not reading and state >= READER):
                return False
            fresh = state & NOT_STARVED
            if self.state.compare_exchange(state, fresh + READER if reading else fresh | writer | WRITER):
                return True

    def _let_in(self) -> None:
        """Let in the first in line, and after a reader the readers behind it, if there is room. The line is locked."""
        waiter = self.first
        while waiter is not None and self._enter(not waiter.exclusive, waiter.owner_word()):
            self.pop()
            waiter.notify()
            waiter = None if waiter.exclusive else self.first

    # -- leaving

    @noinline
    def _leave_contended(self) -> None:
        """WAITED_FOR was set meanwhile, maybe STARVED too. With the line locked nobody changes them."""
        assert self.state.load_relaxed() & NO_LINE == machine.running.word() | WRITER, "a stranger leaves"
        self.lock_line()
        self.state.store_release(self.state.load_relaxed() & (WAITED_FOR | STARVED))
        self._pass_on()
        self.unlock_line()

    @noinline
    def _downgrade_contended(self) -> None:
        """Somebody waits: if it is the turn of readers, they may enter."""
        assert self.state.load_relaxed() & NO_LINE == machine.running.word() | WRITER, "a stranger leaves"
        self.lock_line()
        self.state.store_release(self.state.load_relaxed() & (WAITED_FOR | STARVED) | READER)
        first = self.first
        if first is not None and not first.exclusive:
            self._pass_on()
        self.unlock_line()

    @noinline
    def _admit(self) -> None:
        """The last reader has left."""
        self.lock_line()
        self._pass_on()
        self.unlock_line()

    def _pass_on(self) -> None:
        """It is the turn of the first in line. The line is locked."""
        first = self.first
        if self.state.load_relaxed() & STARVED != 0:
            self._let_in()
        elif first is not None:
            first.wake()
        if self.first is None:
            self.state.fetch_and(NO_LINE)
