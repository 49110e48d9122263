# SPDX-License-Identifier: Apache-2.0
"""The sets of pending signals."""

from __future__ import annotations

from kaa.kernel.abi.signal import SigAction, SigInfo
from kaa.kernel.signal.handlers import SignalHandlers
from kaa.kernel.signal.pending import PendingSignals, QueuedSignal


def queued(signo: int, value: int = 0) -> QueuedSignal:
    entry = QueuedSignal()
    entry.info = SigInfo(signo, 0, -1)
    entry.info.word1 = value
    return entry


def test_real_time_signals_come_in_order_and_each_once() -> None:
    pending = PendingSignals()
    for value in (1, 2, 3):
        pending.append(queued(40, value))
    pending.append(queued(10))
    got = SigInfo()
    values = []
    while pending.mask & (1 << 39):
        pending.take(40, got)
        values.append(got.word1)
    assert values == [1, 2, 3]
    assert pending.mask == 1 << 9
    assert pending.count == 1


def test_a_signal_without_siginfo_is_taken_as_sent_by_user() -> None:
    pending = PendingSignals()
    pending.raise_bit(9)
    got = SigInfo()
    assert pending.take(9, got) is None
    assert (got.signo, got.code, pending.mask) == (9, 0, 0)


def test_discarding_takes_exactly_the_mask() -> None:
    pending = PendingSignals()
    for signo in (20, 18, 34, 20, 34):
        pending.append(queued(signo))
    pending.discard(1 << 33 | 1 << 17)
    assert pending.mask == 1 << 19
    assert pending.count == 2
    pending.append(queued(35))
    assert pending.last is not None and pending.last.info.signo == 35


def test_exec_keeps_ignored_signals_and_resets_handlers() -> None:
    handlers = SignalHandlers()
    handlers.set(2, SigAction(1, 0, 0, 0))
    handlers.set(10, SigAction(0x1000, 0x4000000, 0x2000, 7))
    assert handlers.will_ignore(2) and not handlers.will_ignore(10) and handlers.will_ignore(17)
    child = handlers.copy()
    assert child.actions[9].handler == 0x1000 and child.actions[9].mask == 7
    child.reset_for_exec()
    assert child.actions[9].handler == 0
    assert child.will_ignore(2) and not child.will_ignore(10)
    assert handlers.actions[9].handler == 0x1000


def test_the_room_of_a_taken_signal_is_used_again() -> None:
    pending = PendingSignals()
    pending.queue(SigInfo(34, 0, -1))
    first = pending.first
    into = SigInfo()
    assert pending.take(34, into) is None and into.code == -1 and pending.mask == 0
    pending.queue(SigInfo(10, 0, -6))
    pending.queue(SigInfo(34, 0, -1))
    assert pending.first is first and pending.spare is None and pending.count == 2


def test_a_signal_without_siginfo_shows_nothing_of_the_one_before() -> None:
    pending = PendingSignals()
    pending.raise_bit(10)
    into = SigInfo(11, 5, -6)
    into.word0, into.word1 = 7, 8
    pending.take(10, into)
    assert (into.signo, into.error, into.code, into.word0, into.word1) == (10, 0, 0, 0, 0)
