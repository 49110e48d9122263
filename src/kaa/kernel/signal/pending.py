# SPDX-License-Identifier: Apache-2.0
"""Signals that were sent and not yet taken: a bit per number, and the siginfo of those that brought one.

Signals 1 to 31 are kept once, 32 to 64 as often as they are sent, in order (POSIX "Signal generation and delivery").
When there is no memory for a siginfo the bit is still set, and the taker sees an empty SI_USER one, as POSIX allows.
Under the `signal_lock` of the thread group.
"""

from __future__ import annotations

from kaa.kernel.abi.signal import Code, SigInfo
from kaa.kernel.arch import machine
from kaa.kernel.arch.sums import QUEUED_SIGNALS
from kaa.lang import Guarded, Relaxed, i32, u64, wrapping_sub


def queued_in_all() -> u64:
    """What all sets hold together: near it, while others send and take."""
    return machine.percpu.total(QUEUED_SIGNALS)


class QueuedSignal:
    """One siginfo in line."""

    info: Guarded[SigInfo, "ThreadGroup.signal_lock"]
    next: Guarded[QueuedSignal | None, "ThreadGroup.signal_lock"]
    # A POSIX timer's: owned by the timer, and in line at most once.
    from_timer: bool
    queued: Guarded[bool, "ThreadGroup.signal_lock"]

    def __init__(self) -> None:
        self.info = SigInfo()
        self.next = None
        self.from_timer = False
        self.queued = False


class PendingSignals:
    """What a thread, or a process, has been sent."""

    mask: Guarded[Relaxed[u64], "ThreadGroup.signal_lock"]
    first: Guarded[QueuedSignal | None, "ThreadGroup.signal_lock"]
    last: Guarded[QueuedSignal | None, "ThreadGroup.signal_lock"]
    count: Guarded[Relaxed[u64], "ThreadGroup.signal_lock"]
    # One that was taken, for the next to come.
    spare: Guarded[QueuedSignal | None, "ThreadGroup.signal_lock"]

    def __init__(self) -> None:
        self.mask = 0
        self.first = None
        self.last = None
        self.count = 0
        self.spare = None

    def __del__(self) -> None:
        left = self.count
        if left != 0:
            machine.percpu.add(QUEUED_SIGNALS, wrapping_sub(u64(0), left))

    def queue(self, info: SigInfo) -> None:
        """Put a signal at the end with its siginfo. Raises MemoryError."""
        entry = self.spare
        if entry is None:
            entry = QueuedSignal()
        else:
            self.spare = None
        _copy_info(entry.info, info)
        self.append(entry)

    def append(self, signal: QueuedSignal) -> None:
        """Put `signal` at the end, and its bit up."""
        signal.next = None
        signal.queued = True
        self.count += 1
        machine.percpu.add(QUEUED_SIGNALS, u64(1))
        self.mask |= u64(1) << u64(signal.info.signo - 1)
        last = self.last
        if last is None:
            self.first = signal
        else:
            last.next = signal
        self.last = signal

    def raise_bit(self, signo: i32) -> None:
        """Note `signo` without any siginfo."""
        self.mask |= u64(1) << u64(signo - 1)

    def take(self, signo: i32, into: SigInfo) -> QueuedSignal | None:
        """Take the first instance of `signo` off; fills `into`. Gives the entry if it is a timer's."""
        found = self._unlink_first(signo)
        if found is None:
            _blank_info(into, signo)
            self.mask &= ~(u64(1) << u64(signo - 1))
            return None
        _copy_info(into, found.info)
        if self.first is None or not self._holds(signo):
            self.mask &= ~(u64(1) << u64(signo - 1))
        if found.from_timer:
            return found
        self.spare = found
        return None

    def _unlink_first(self, signo: i32) -> QueuedSignal | None:
        before: QueuedSignal | None = None
        entry = self.first
        while entry is not None and entry.info.signo != signo:
            before = entry
            entry = entry.next
        if entry is not None:
            self._unlink(before, entry)
        return entry

    def _unlink(self, before: QueuedSignal | None, entry: QueuedSignal) -> None:
        if before is None:
            self.first = entry.next
        else:
            before.next = entry.next
        if self.last is entry:
            self.last = before
        entry.next = None
        entry.queued = False
        self.count -= 1
        machine.percpu.add(QUEUED_SIGNALS, wrapping_sub(u64(0), u64(1)))

    def _holds(self, signo: i32) -> bool:
        entry = self.first
        while entry is not None:
            if entry.info.signo == signo:
                return True
            entry = entry.next
        return False

    def discard(self, mask: u64) -> None:
        """Forget every signal in `mask`."""
        if (self.mask & mask) == 0:
            return
        self.mask &= ~mask
        before: QueuedSignal | None = None
        entry = self.first
        while entry is not None:
            following = entry.next
            if ((mask >> u64(entry.info.signo - 1)) & 1) != 0:
                self._unlink(before, entry)
            else:
                before = entry
            entry = following


def _blank_info(into: SigInfo, signo: i32) -> None:
    """All that is known is the number."""
    into.signo = signo
    into.error = 0
    into.code = Code.SI_USER
    into.word0 = 0
    into.word1 = 0
    into.word2 = 0
    into.word3 = 0


def _copy_info(into: SigInfo, source: SigInfo) -> None:
    into.signo = source.signo
    into.error = source.error
    into.code = source.code
    into.word0 = source.word0
    into.word1 = source.word1
    into.word2 = source.word2
    into.word3 = source.word3
