# SPDX-License-Identifier: Apache-2.0
"""Waiting for one of many files: the engine under poll(2), select(2) and epoll_wait(2).

A file's `poll(table)` tells which events hold now, and puts the table on each queue that is woken when that changes.
Callers ask once without a table, as most often something is ready already; only then do they register and sleep.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Final

from kaa.kernel.arch import machine
from kaa.kernel.locking.wait_queue import Waiter, WaitQueue
from kaa.kernel.sched import core
from kaa.kernel.signal import has_pending
from kaa.lang import i32, u32, u64

if TYPE_CHECKING:
    from kaa.kernel.fs.file import File
    from kaa.kernel.process.task import Task

NEVER = 0xFFFFFFFFFFFFFFFF
"""A deadline that does not come."""


class PollEntry(Waiter):
    """One registration. Holds its queue, and the file the queue belongs to, until it is taken off."""

    held: Final[WaitQueue]
    file: Final[File | None]
    generation: Final[u32]
    """The file's when it was asked: see File.poll_generation."""

    def __init__(self, task: Task, queue: WaitQueue, file: File | None) -> None:
        super().__init__(task)
        self.held = queue
        self.file = file
        self.generation = u32(0) if file is None else file.poll_generation.load_acquire()

    def stale(self) -> bool:
        """Whether the file has other queues by now."""
        file = self.file
        return file is not None and file.poll_generation.load_acquire() != self.generation


class PollTable:
    """The queues that one sleeper stands on. Files call `add`; epoll subclasses it."""

    entries: list[PollEntry]
    file: File | None = None
    """The file being asked; set by whoever asks."""

    def __init__(self) -> None:
        self.entries = []

    def add(self, queue: WaitQueue) -> None:
        """Stand on `queue` too. Raises MemoryError."""
        entry = PollEntry(machine.percpu.current(), queue, self.file)
        self.entries.append(entry)
        queue.add(entry)

    def woken(self) -> bool:
        """Whether any queue was woken since `rearm`."""
        for entry in self.entries:
            if entry.woken:
                return True
        return False

    def stale(self) -> bool:
        """Whether some file is to be registered anew."""
        for entry in self.entries:
            if entry.stale():
                return True
        return False

    def rearm(self) -> None:
        """Before files are asked again: what comes from here on counts."""
        for entry in self.entries:
            entry.woken = False

    def sleep(self, deadline: u64) -> None:
        """Until a queue is woken, a signal comes or the monotonic `deadline` passes; may return early."""
        task = machine.percpu.current()
        core.set_state(task, core.INTERRUPTIBLE)
        if not self.woken():
            if deadline == NEVER:
                core.schedule()
            else:
                core.schedule_until(deadline)
        core.set_state(task, core.RUNNING)

    def release(self) -> None:
        """Leave all queues."""
        for entry in self.entries:
            entry.held.remove(entry)
        self.entries.clear()


class Question(ABC):
    """What poll(2) or select(2) asks of several files."""

    @abstractmethod
    def scan(self, table: PollTable | None) -> i32:
        """Ask every file; how many have something to tell. With a table: stand on their queues too."""

    def wait(self, deadline: u64) -> i32:
        """Until something is ready, the deadline has passed or a signal is pending (then 0 comes back)."""
        ready = self.scan(None)
        if ready != 0 or passed(deadline):
            return ready
        table = PollTable()
        try:
            ready = self.scan(table)
            while ready == 0 and not passed(deadline) and not has_pending(machine.percpu.current()):
                table.sleep(deadline)
                table.rearm()
                if table.stale():
                    table.release()
                    ready = self.scan(table)
                else:
                    ready = self.scan(None)
        finally:
            table.release()
        return ready


def passed(deadline: u64) -> bool:
    """Whether a monotonic deadline is over."""
    return deadline != NEVER and u64(machine.clock.monotonic_ns()) >= deadline


def deadline_after(nanoseconds: u64) -> u64:
    """The monotonic time so far from now; NEVER when it does not fit."""
    now = u64(machine.clock.monotonic_ns())
    if nanoseconds > NEVER - 1 - now:
        return u64(NEVER)
    return now + nanoseconds


def restart(task: Task) -> i32:
    """restart_syscall(2) after a poll(2) that a stop interrupted."""
    from kaa.kernel.fs import poll_calls

    return poll_calls.poll_until(task.restart_address, task.restart_value, task.restart_deadline)
