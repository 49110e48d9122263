# SPDX-License-Identifier: Apache-2.0
"""Spinlocks: for sections of a few microseconds in which nobody sleeps. The holder cannot be preempted.

| | preemption | interrupts | for |
| --- | --- | --- | --- |
| `SpinLock` | off | as they are | what tasks share |
| `IrqSpinLock` | off | off | what interrupt handlers touch too |
| `LeafLock` | cannot happen | off | the allocators: sections that take no other lock and wake nobody |

All are fair (spin_word.py). A processor that must wait for one of the latter two first waits outside the queue with
interrupts as they were, since an interrupt handler that wanted the same lock would queue up behind the very task that
it interrupted; after OPEN_SPINS, it queues with interrupts off. It never overtakes who is in the queue.

The `flags` of a lock are written and read by its holder only. A lock's name is for its class (lock order, statistics)
and costs nothing at run time.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

from kaa.kernel.arch import machine
from kaa.kernel.locking import record
from kaa.kernel.locking.spin_word import SpinWord
from kaa.lang import Guarded, acquires, cold, inline, lock, noinline, releases, u64

OPEN_SPINS: Final = 2000


@lock
class SpinLock(SpinWord):
    """Mutual exclusion with preemption off. Not for data that interrupt handlers touch: see `IrqSpinLock`."""

    def __init__(self, name: str = "spinlock") -> None:
        super().__init__()
        record.named(self, name)

    @acquires("spin")
    @inline
    def acquire(self) -> None:
        """Take the lock; spins while another processor has it."""
        machine.percpu.preempt_disable()
        if not self.try_take_word():
            self.wait_for_word()
        record.acquired(self)

    @acquires("spin", tried=True)
    @inline
    def try_acquire(self) -> bool:
        """Take the lock if it is free; True if it was."""
        machine.percpu.preempt_disable()
        if self.try_take_word():
            record.acquired(self)
            return True
        machine.percpu.preempt_enable()
        return False

    @releases
    @inline
    def release(self) -> None:
        """Give the lock back; may reschedule."""
        record.releasing(self)
        self.give_word()
        machine.percpu.preempt_enable()

    @acquires("spin", nested=True)
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


class ClosedWord(SpinWord):
    """A word that is held with interrupts off, and the holder's interrupt state."""

    flags: Guarded[u64, "self"] = 0

    @noinline
    @cold
    def wait_closed(self, flags: u64) -> None:
        """Take the word. Interrupts are off, now and at the end; `flags` is what they were before."""
        began = record.begin_wait()
        if not self._wait_open(flags):
            self.queue_up()
        record.end_wait(self, began)

    @inline
    def _wait_open(self, flags: u64) -> bool:
        """Try for a while with interrupts as they were. True if the word was taken (interrupts are off either way)."""
        machine.irq.restore(flags)
        if machine.irq.enabled():
            for _ in range(OPEN_SPINS):
                if self.word.load_relaxed() == 0:
                    machine.irq.disable()
                    if self.try_take_word():
                        return True
                    machine.irq.restore(flags)
                machine.irq.relax()
            machine.irq.disable()
        return False


@lock
class LeafLock(ClosedWord):
    """Mutual exclusion with interrupts off, for sections that take no other lock and wake nobody: the allocators'. With
    interrupts off nothing can preempt, so preemption is not counted. Taken by hand (not `with`): nothing inside
    raises."""

    def __init__(self, name: str = "leaf lock") -> None:
        super().__init__()
        record.named(self, name)

    @acquires("irq")
    @inline
    def acquire(self) -> None:
        """Take the lock; interrupts stay off until release."""
        flags = machine.irq.save()
        if not self.try_take_word():
            self.wait_closed(flags)
        self.flags = flags
        record.acquired(self)

    @releases
    @inline
    def release(self) -> None:
        """Give the lock back and restore the interrupt state of before."""
        record.releasing(self)
        flags = self.flags
        self.give_word()
        machine.irq.restore(flags)


@lock
class IrqSpinLock(ClosedWord):
    """Mutual exclusion with interrupts and preemption off: for what an interrupt handler also touches."""

    def __init__(self, name: str = "irq spinlock") -> None:
        super().__init__()
        record.named(self, name)

    @acquires("irq")
    @inline
    def acquire(self) -> None:
        """Take the lock; interrupts stay off until release."""
        flags = machine.irq.save()
        machine.percpu.preempt_disable()
        if not self.try_take_word():
            self.wait_closed(flags)
        self.flags = flags
        record.acquired(self)

    @acquires("irq", tried=True)
    @inline
    def try_acquire(self) -> bool:
        """Take the lock if it is free; True if it was, with interrupts off until release."""
        flags = machine.irq.save()
        machine.percpu.preempt_disable()
        if self.try_take_word():
            self.flags = flags
            record.acquired(self)
            return True
        machine.irq.restore(flags)
        machine.percpu.preempt_enable()
        return False

    @releases
    @inline
    def release(self) -> None:
        """Give the lock back and restore the interrupt state of before; may reschedule."""
        record.releasing(self)
        flags = self.flags
        self.give_word()
        machine.irq.restore(flags)
        machine.percpu.preempt_enable()

    @inline
    def __enter__(self) -> None:
        self.acquire()

    @inline
    def __exit__(self, *exc: object) -> None:
        self.release()
