# SPDX-License-Identifier: Apache-2.0
"""Spinlocks: for sections of a few microseconds in which nobody sleeps.

The holder cannot be preempted, so on one CPU a spinlock is never found taken except by a bug; the word is there for the
second CPU. A lock's name is for the compiler's lock classes and costs nothing at run time.
"""

from __future__ import annotations

from kaa.kernel.arch import machine
from kaa.lang import Atomic, cold, inline, u32, u64


class SpinLock:
    """Mutual exclusion with preemption off. Not for data that interrupt handlers touch: see `IrqSpinLock`."""

    held: Atomic[u32]

    def __init__(self, name: str = "spinlock") -> None:
        self.held = Atomic(0)

    @inline
    def acquire(self) -> None:
        """Take the lock; spins while another CPU has it."""
        machine.percpu.preempt_disable()
        if self.held.exchange(1) != 0:
            self._spin()

    @inline
    def try_acquire(self) -> bool:
        """Take the lock if it is free; True if it was."""
        machine.percpu.preempt_disable()
        if self.held.exchange(1) == 0:
            return True
        machine.percpu.preempt_enable()
        return False

    @inline
    def release(self) -> None:
        """Give the lock back; may reschedule."""
        self.held.store(0)
        machine.percpu.preempt_enable()

    @cold
    def _spin(self) -> None:
        while self.held.exchange(1) != 0:
            while self.held.load_relaxed() != 0:
                pass

    @inline
    def __enter__(self) -> None:
        self.acquire()

    @inline
    def __exit__(self, *exc: object) -> None:
        self.release()


class LeafLock:
    """Mutual exclusion with interrupts off, for sections that take no other lock and wake nobody: the allocators'. With
    interrupts off nothing can preempt, so preemption is not counted. Taken by hand (not `with`): nothing inside
    raises."""

    held: Atomic[u32]
    flags: u64

    def __init__(self, name: str = "leaf lock") -> None:
        self.held = Atomic(0)
        self.flags = 0

    @inline
    def acquire(self) -> None:
        """Take the lock; interrupts stay off until release."""
        flags = machine.irq.save()
        if self.held.exchange(1) != 0:
            self._spin()
        self.flags = flags

    @inline
    def release(self) -> None:
        """Give the lock back and restore the interrupt state of before."""
        flags = self.flags
        self.held.store(0)
        machine.irq.restore(flags)

    @cold
    def _spin(self) -> None:
        while self.held.exchange(1) != 0:
            while self.held.load_relaxed() != 0:
                pass


class IrqSpinLock:
    """Mutual exclusion with interrupts and preemption off: for what an interrupt handler also touches."""

    held: Atomic[u32]
    flags: u64
    """The holder's interrupt state, restored at release."""

    def __init__(self, name: str = "irq spinlock") -> None:
        self.held = Atomic(0)
        self.flags = 0

    @inline
    def acquire(self) -> None:
        """Take the lock; interrupts stay off until release."""
        flags = machine.irq.save()
        machine.percpu.preempt_disable()
        if self.held.exchange(1) != 0:
            self._spin()
        self.flags = flags

    @inline
    def release(self) -> None:
        """Give the lock back and restore the interrupt state of before; may reschedule."""
        flags = self.flags
        self.held.store(0)
        machine.irq.restore(flags)
        machine.percpu.preempt_enable()

    @cold
    def _spin(self) -> None:
        while self.held.exchange(1) != 0:
            while self.held.load_relaxed() != 0:
                pass

    @inline
    def __enter__(self) -> None:
        self.acquire()

    @inline
    def __exit__(self, *exc: object) -> None:
        self.release()
