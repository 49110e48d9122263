# SPDX-License-Identifier: Apache-2.0
"""Sending signals: who is chosen, what is dropped, what cancels what."""

from __future__ import annotations

import pytest

from kaa.kernel.abi.signal import SigAction, SigInfo, Signal
from kaa.kernel.arch import machine
from kaa.kernel.process import pid as pids
from kaa.kernel.process import reparent, tree
from kaa.kernel.process.credentials import ROOT, Credentials
from kaa.kernel.process.group import KERNEL, UNKILLABLE, ThreadGroup
from kaa.kernel.process.pid import Pid, PidTable
from kaa.kernel.process.task import DYING, EXITING, STOP_TAKEN, STOP_WANTED, WORK_SIGNAL, Task
from kaa.kernel.signal import send, stop
from kaa.kernel.signal.handlers import SignalHandlers
from kaa.lang.unsafe import symbol

senders: list[Task] = []
"""Who sends: alive as long as they are current."""


def process(threads: int = 1) -> tuple[ThreadGroup, list[Task]]:
    group = ThreadGroup(100, SignalHandlers())
    group.limits.set_defaults()
    tasks = [Task(group, Pid(100 + i)) for i in range(threads)]
    for task in tasks:
        task.credentials = ROOT
        tree.add_thread(group, task)
    group.leader = tasks[0]
    senders.append(Task(ThreadGroup(99, SignalHandlers()), Pid(99)))
    machine.percpu.set_current(senders[-1])
    return group, tasks


def bit(signo: int) -> int:
    return 1 << (signo - 1)


def test_a_thread_that_does_not_block_it_is_chosen() -> None:
    group, (leader, other) = process(2)
    leader.blocked = bit(10)
    send.send_group(group, 10, SigInfo(10))
    assert leader.work.load() == 0 and other.work.load() == WORK_SIGNAL
    assert group.pending.mask == bit(10)


def test_an_ignored_signal_is_dropped_unless_blocked() -> None:
    group, (task,) = process()
    send.send_group(group, Signal.SIGCHLD, SigInfo(17))
    assert group.pending.mask == 0
    task.blocked = bit(17)
    send.send_group(group, Signal.SIGCHLD, SigInfo(17))
    assert group.pending.mask == bit(17)


def test_standard_signals_are_kept_once_and_real_time_ones_each() -> None:
    group, (task,) = process()
    task.blocked = bit(10) | bit(34)
    for signo in (10, 10, 34, 34):
        send.send(task, signo, SigInfo(signo))
    assert task.pending.count == 3


def known_process(uid: int) -> Task:
    """One that is found by its number, and blocks signal 34."""
    _, (task,) = process()
    identity = pids.table.allocate()
    identity.task = task
    task.pid = task.tgid = identity.number
    task.credentials = Credentials()
    task.credentials.uid = uid
    task.blocked = bit(34)
    return task


def count_from_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """No process is known yet, and one processor counts."""
    monkeypatch.setattr(pids, "table", PidTable())
    areas = machine.percpu.Areas()
    areas.address[0] = symbol("kaa_boot_cpu")
    monkeypatch.setattr(machine.percpu, "areas", areas)


def test_signals_are_counted_for_all_processes_of_a_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """A full queue is told for queued signals only."""
    count_from_nothing(monkeypatch)
    one, same, other = (known_process(uid) for uid in (7, 7, 8))
    for task in (one, same, other):
        task.group.limits.soft[11] = 2
    assert send.send(one, 34, SigInfo(34, 0, -1)) and send.send(same, 34, SigInfo(34, 0, -1))
    assert not send.send(one, 34, SigInfo(34, 0, -1)) and not send.send_group(same.group, 34, SigInfo(34, 0, -1))
    assert send.send(one, 34, SigInfo(34, 0, 0)) and one.pending.count == 1
    assert send.send(other, 34, SigInfo(34, 0, -1)) and send.queued_for(7) == 2 and send.queued_for(8) == 1
    same.pending.discard(bit(34))
    assert send.send(one, 34, SigInfo(34, 0, -1))


def test_a_parents_death_queues_no_more_than_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """A real-time PR_SET_PDEATHSIG beyond it is pending all the same, without a siginfo of its own."""
    count_from_nothing(monkeypatch)
    task = known_process(7)
    task.group.limits.soft[11] = 1
    task.parent_death_signal = 34
    reparent._signal_parent_death(task.group)
    assert task.group.pending.count == 1
    task.parent_death_signal = 35
    reparent._signal_parent_death(task.group)
    assert task.group.pending.count == 1 and task.group.pending.mask == bit(34) | bit(35)


def test_process_1_gets_only_what_it_handles() -> None:
    group, (task,) = process()
    group.flags.fetch_or(UNKILLABLE)
    for signo in (Signal.SIGTERM, Signal.SIGKILL, Signal.SIGSTOP):
        send.send_group(group, signo, SigInfo(signo))
    assert group.pending.mask == 0
    group.handlers.set(15, SigAction(0x1000))
    send.send_group(group, 15, SigInfo(15))
    assert group.pending.mask == bit(15)


def test_stop_signals_and_sigcont_cancel_one_another() -> None:
    group, tasks = process(2)
    for task in tasks:
        task.blocked = bit(20) | bit(18)
    send.send_group(group, Signal.SIGTSTP, SigInfo(20))
    send.send_group(group, Signal.SIGCONT, SigInfo(18))
    assert group.pending.mask == bit(18)
    send.send(tasks[1], Signal.SIGTSTP, SigInfo(20))
    assert group.pending.mask == 0 and tasks[1].pending.mask == bit(20)


def test_a_stop_wants_every_thread_and_sigcont_calls_it_off() -> None:
    group, tasks = process(3)
    tasks[2].flags.fetch_or(EXITING)
    tasks[1].flags.fetch_or(STOP_TAKEN)
    stop.begin(group, tasks[1], 19)
    assert [bool(t.flags.load() & STOP_WANTED) for t in tasks] == [True, True, False]
    assert group.stop_pending == 2
    assert not stop.leave_pending(group) and stop.leave_pending(group) and group.stopped
    send.send_group(group, Signal.SIGCONT, SigInfo(18))
    assert not group.stopped and group.job_notify
    assert not any(t.flags.load() & STOP_WANTED for t in tasks)


def test_a_stop_that_sigcont_overtook_does_not_begin() -> None:
    group, tasks = process(2)
    tasks[0].flags.fetch_or(STOP_TAKEN)
    send.send_group(group, Signal.SIGCONT, SigInfo(18))
    stop.begin(group, tasks[0], 20)
    assert group.stop_pending == 0 and not any(t.flags.load() & STOP_WANTED for t in tasks)


def test_sigkill_ends_every_thread_at_once_and_calls_a_stop_off() -> None:
    group, tasks = process(3)
    tasks[0].flags.fetch_or(STOP_TAKEN)
    stop.begin(group, tasks[0], 19)
    for task in tasks:
        task.blocked = (1 << 64) - 1
    send.send_group(group, Signal.SIGKILL, SigInfo(9))
    assert group.group_exit and group.group_exit_status == 9 and group.stop_pending == 0
    assert all(t.flags.load() & (DYING | STOP_WANTED) == DYING and t.work.load() & WORK_SIGNAL for t in tasks)


def test_a_kernel_thread_takes_no_signal() -> None:
    group, (task,) = process()
    group.flags.store(KERNEL)
    assert send.send_group(group, Signal.SIGKILL, SigInfo(9)) and send.send(task, 10, SigInfo(10))
    assert task.work.load() == 0 and task.flags.load() == 0 and group.pending.mask == 0


def test_what_does_not_fit_the_limit_is_only_noted_when_kill_sends_it() -> None:
    group, (task,) = process()
    task.blocked = bit(34)
    group.limits.soft[11] = 0
    assert send.send(task, 34, SigInfo(34, 0, 0)) and task.pending.count == 0 and task.pending.mask == bit(34)


def test_a_fault_that_is_blocked_gets_the_default_action() -> None:
    group, (task,) = process()
    group.handlers.set(11, SigAction(0x1000))
    task.blocked = bit(11)
    info = SigInfo(11, 0, 1)
    info.word0 = 0xDEAD
    send.force(task, info)
    assert task.blocked == 0 and group.handlers.actions[10].handler == 0
    got = SigInfo()
    task.pending.take(11, got)
    assert got.word0 == 0xDEAD and got.code == 1
