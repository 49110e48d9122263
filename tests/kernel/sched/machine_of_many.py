# SPDX-License-Identifier: Apache-2.0
"""Several processors under CPython: each step of the kernel runs on one, as the test says. A switch of stacks is
left out (it only moves the program counter), so that a task is where `RunQueue.current` says."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from kaa.kernel.arch import machine
from kaa.kernel.process.group import ThreadGroup
from kaa.kernel.process.pid import Pid
from kaa.kernel.process.task import Task
from kaa.kernel.sched import balance, core, cpu, moving, ticks
from kaa.kernel.sched.cpu import Cpu
from kaa.kernel.sched.run_queue import QUEUED
from kaa.kernel.signal.handlers import SignalHandlers
from kaa.lang import u32, u64


class Machine:
    """Processors with a common clock."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
        self.now = 1_000_000_000
        self.calls: list[int] = []
        self.needs: list[bool] = [False] * count
        self.here = 0
        self.number = 100
        self.cpus = [Cpu(u32(n)) for n in range(count)]
        self.idle = [self._task() for _ in range(count)]
        known = cpu.Cpus()
        for n, one in enumerate(self.cpus):
            known.table[n] = one
        known.active.store((1 << count) - 1)
        known.idle.store((1 << count) - 1)
        monkeypatch.setattr(cpu, "all", known)
        self._patch(monkeypatch)
        for one, idle in zip(self.cpus, self.idle, strict=True):
            one.run_queue.set_idle(idle)

    def _patch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(machine.clock, "monotonic_ns", lambda: u64(self.now))
        monkeypatch.setattr(machine.clock, "set_deadline", lambda ns: None)
        monkeypatch.setattr(machine.context, "switch", lambda previous, following: None)
        monkeypatch.setattr(machine.percpu, "prepared", lambda: u32(len(self.cpus)))
        monkeypatch.setattr(machine.percpu, "here", lambda: self.cpus[self.here])
        monkeypatch.setattr(machine.percpu, "current", lambda: self.cpus[self.here].run_queue.current)
        monkeypatch.setattr(machine.percpu, "set_current", lambda task: None)
        monkeypatch.setattr(machine.percpu, "preempt_count", lambda: u32(0))
        monkeypatch.setattr(machine.percpu, "set_need_resched", lambda: self._need(True))
        monkeypatch.setattr(machine.percpu, "clear_need_resched", lambda: self._need(False))
        monkeypatch.setattr(machine.percpu, "interrupted_user", lambda: True)
        monkeypatch.setattr(moving, "_wait_until_allowed", lambda task: self.settle())
        monkeypatch.setattr(machine.smp, "send_reschedule", lambda number: self.calls.append(int(number)))

    def _need(self, needs: bool) -> None:
        self.needs[self.here] = needs

    def _task(self) -> Task:
        self.number += 1
        return Task(ThreadGroup(self.number, SignalHandlers()), Pid(self.number))

    @contextmanager
    def on(self, number: int) -> Iterator[None]:
        """What follows runs on that processor."""
        before, self.here = self.here, number
        try:
            yield
        finally:
            self.here = before

    def start(self, on: int = 0) -> Task:
        """A new task, made on a processor."""
        with self.on(on):
            task = self._task()
            core.start(task)
        return task

    def running(self) -> list[Task]:
        """Who runs, by processor."""
        found = [one.run_queue.current for one in self.cpus]
        assert None not in found
        return [task for task in found if task is not None]

    def settle(self) -> None:
        """Deliver reschedule interrupts and switch where that is due, until nothing is."""
        while self.calls or any(self.needs):
            for number in set(self.calls):
                self.needs[number] = True
            self.calls.clear()
            for number in range(len(self.cpus)):
                if self.needs[number]:
                    with self.on(number):
                        core.preempt()

    def sleep(self, number: int) -> Task:
        """The running task of a processor sleeps."""
        with self.on(number):
            task = self.running()[number]
            core.set_state(task, u64(core.INTERRUPTIBLE))
            core.schedule()
        return task

    def run(self, ns: int, step: int = 500_000) -> None:
        """Time goes on: ticks come when they are due, idle processors help."""
        end = self.now + ns
        while self.now < end:
            self.now += step
            for number, one in enumerate(self.cpus):
                with self.on(number):
                    ticks.tick(u64(self.now))
                    if one.run_queue.current is one.run_queue.idle:
                        cpu.all.idle.fetch_or(one.run_queue.bit)
                        balance.help_others(one.run_queue)
            self.settle()

    def check(self, tasks: list[Task]) -> None:
        """Each runnable task is in exactly one place, and its processor is one that it may use."""
        for one in self.cpus:
            queue = one.run_queue
            assert not queue.lock.is_held()
            waiting = []
            node = queue.first()
            while node is not None:
                assert node.queue is queue
                waiting.append(node)
                node = queue.after(node)
            assert len(waiting) == queue.waiting.load()
            assert queue.current not in waiting
        for task in tasks:
            places = sum(task is one.run_queue.current for one in self.cpus)
            for one in self.cpus:
                node = one.run_queue.first()
                while node is not None:
                    places += node is task
                    node = one.run_queue.after(node)
            assert places == (1 if task.on_queue == QUEUED else 0)
            if places:
                assert task.queue is not None and task.allowed & task.queue.bit
