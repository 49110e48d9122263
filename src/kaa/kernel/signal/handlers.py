# SPDX-License-Identifier: Apache-2.0
"""What a process does with each signal: the table of sigaction(2), shared by CLONE_SIGHAND."""

from __future__ import annotations

from typing import Final

from kaa.kernel.abi.signal import IGNORED_BY_DEFAULT, SIG_DFL, SIG_IGN, SIGNAL_COUNT, SigAction, SignalFlags
from kaa.kernel.arch import machine
from kaa.kernel.sched.queue_lock import QueueLock
from kaa.lang import Array, Atomic, Guarded, Relaxed, i32, inline, trailing_zeros, u32, u64

EVERY_SIGNAL: Final = 0xFFFF_FFFF_FFFF_FFFF


class SignalHandlers(QueueLock):
    """Sixty-four actions. The table is a lock, which each method takes, with interrupts off: two groups may have the
    same table (CLONE_SIGHAND without CLONE_THREAD). Others than the group's own threads hold its `signal_lock` besides:
    the group may get another table (execve(2))."""

    actions: Guarded[Array[SigAction, 64], "self"]
    # Bits of the signals whose handler is SIG_IGN, and of those whose handler is SIG_DFL: what sending looks at.
    ignored: Guarded[Relaxed[u64], "self"]
    defaults: Guarded[Relaxed[u64], "self"]
    # Which entries were ever written: all that a fork has to copy.
    touched: Guarded[u64, "self"]
    # Processes that have this table: execve(2) copies one that it is not alone with.
    users: Atomic[u32]

    def __init__(self) -> None:
        super().__init__("signal handlers")
        self.users = Atomic(1)
        self.actions = Array[SigAction, 64]()
        self.ignored = 0
        self.defaults = EVERY_SIGNAL
        self.touched = 0

    def copy(self) -> SignalHandlers:
        """Another table with the same actions, for a fork. Raises MemoryError. Takes a lock: no group's is held."""
        fresh = SignalHandlers()
        flags = machine.irq.save()
        self.acquire()
        left = self.touched
        while left != 0:
            index = trailing_zeros(left)
            fresh.actions[index] = self.actions[index]
            left &= left - 1
        fresh.ignored = self.ignored
        fresh.defaults = self.defaults
        fresh.touched = self.touched
        self.release()
        machine.irq.restore(flags)
        return fresh

    @inline
    def get(self, signo: i32, into: SigAction) -> None:
        """What is done about `signo`."""
        self.acquire()
        self._get(signo, into)
        self.release()

    @inline
    def _get(self, signo: i32, into: SigAction) -> None:
        found = self.actions[signo - 1]
        into.handler = found.handler
        into.flags = found.flags
        into.restorer = found.restorer
        into.mask = found.mask

    @inline
    def exchange(self, signo: i32, action: SigAction, before: SigAction) -> None:
        """Install `action` for `signo`; `before` gets what was done until now."""
        self.acquire()
        self._get(signo, before)
        self._set(signo, action)
        self.release()

    @inline
    def set(self, signo: i32, action: SigAction) -> None:
        """Install `action` for `signo`."""
        self.acquire()
        self._set(signo, action)
        self.release()

    @inline
    def _set(self, signo: i32, action: SigAction) -> None:
        self.actions[signo - 1] = action
        bit = u64(1) << u64(signo - 1)
        if action.handler > SIG_IGN and ((self.ignored | self.defaults) & bit) == 0:
            return
        self.touched |= bit
        self.ignored = (self.ignored | bit) if action.handler == SIG_IGN else (self.ignored & ~bit)
        self.defaults = (self.defaults | bit) if action.handler == SIG_DFL else (self.defaults & ~bit)

    def will_ignore(self, signo: i32) -> bool:
        """Whether `signo` would do nothing: SIG_IGN, or SIG_DFL of a signal whose default is nothing."""
        return (((self.ignored | (self.defaults & IGNORED_BY_DEFAULT)) >> u64(signo - 1)) & 1) != 0

    def reset_for_exec(self) -> None:
        """Handlers become SIG_DFL, ignored stays ignored (execve(2))."""
        self.acquire()
        for index in range(SIGNAL_COUNT):
            bit = u64(1) << u64(index)
            if (self.touched & bit) != 0 and (self.ignored & bit) == 0:
                self.actions[index] = SigAction()
        self.defaults = EVERY_SIGNAL ^ self.ignored
        self.touched = self.ignored
        self.release()

    def reset(self, signo: i32) -> None:
        """Back to SIG_DFL."""
        self.set(signo, SigAction())


def flag(action: SigAction, which: SignalFlags) -> bool:
    """Whether sa_flags has `which`."""
    return (action.flags & u64(which)) != 0
