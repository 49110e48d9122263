# SPDX-License-Identifier: Apache-2.0
"""What a processor does when nobody wants it: look whether another has too much to do, then halt.

Between the last look at the queue and HLT interrupts are off, and `sti; hlt` leaves no gap (Intel SDM 2, STI): a task
put on the queue after the look was followed by an interrupt, which ends the halt.
"""

from __future__ import annotations

from kaa.kernel.arch import machine
from kaa.kernel.sched import balance, core, cpu
from kaa.kernel.sched.run_queue import RunQueue


def _start(queue: RunQueue) -> None:
    """The idle task's time counts from now on."""
    flags = machine.irq.save()
    queue.lock.acquire()
    now = machine.clock.monotonic_ns()
    machine.percpu.current().started = now
    queue.before_ns = now
    queue.lock.release()
    machine.irq.restore(flags)


def loop() -> None:
    """The idle task's, for ever. The processor takes tasks from now on."""
    queue = machine.percpu.here().run_queue
    _start(queue)
    cpu.all.active.fetch_or(queue.bit)
    while True:
        cpu.all.idle.fetch_or(queue.bit)
        if queue.waiting.load_relaxed() == 0:
            balance.help_others(queue)
        machine.irq.disable()
        if queue.waiting.load_relaxed() == 0:
            machine.irq.halt()
        else:
            machine.irq.enable()
        core.schedule()
