# SPDX-License-Identifier: Apache-2.0
"""What processors did: ns in programs, in the kernel and idle, and switches. For /proc/stat and its like.

Idle time is exact (the idle task's run time); how the rest divides between programs and the kernel is sampled in ticks.
"""

from __future__ import annotations

from kaa.kernel.arch import machine
from kaa.kernel.sched import cpu
from kaa.kernel.sched.cpu import Cpu
from kaa.lang import struct, u32, u64


@struct
class Times:
    """ns of a processor's time since the machine started."""

    user: u64 = 0
    nice: u64 = 0
    system: u64 = 0
    idle: u64 = 0

    def add(self, other: Times) -> None:
        """Sum up."""
        self.user += other.user
        self.nice += other.nice
        self.system += other.system
        self.idle += other.idle


def idle_ns(of: Cpu, now: u64) -> u64:
    """ns a processor had nothing to do; before it started it had not."""
    queue = of.run_queue
    flags = machine.irq.save()
    queue.lock.acquire()
    idle = queue.idle
    spent = now
    if idle is not None:
        if queue.current is idle:
            queue.account(idle, now)
        spent = min(now, queue.before_ns + idle.run_time)
    queue.lock.release()
    machine.irq.restore(flags)
    return spent


def times(of: Cpu, now: u64) -> Times:
    """How a processor spent its time. The four add up to `now`."""
    result = Times()
    result.idle = idle_ns(of, now)
    busy = now - result.idle
    result.system = min(of.run_queue.system_ns, busy)
    result.nice = min(of.run_queue.nice_ns, busy - result.system)
    result.user = busy - result.system - result.nice
    return result


def is_active(number: u32) -> bool:
    """Whether a processor takes tasks."""
    return number < cpu.MAX_CPUS and ((cpu.all.active.load_relaxed() >> number) & 1) != 0


def all_times(now: u64) -> Times:
    """The sum over all active processors."""
    total = Times()
    for found in cpu.every():
        if is_active(found.number):
            total.add(times(found, now))
    return total


def switches() -> u64:
    """Switches from one task to another, on all processors."""
    total: u64 = u64(0)
    for found in cpu.every():
        total += found.run_queue.switches
    return total
