# SPDX-License-Identifier: Apache-2.0
"""Locks and sleeping.

- `spinlock`: `SpinLock` (preemption off), `IrqSpinLock` (also interrupts off: for what interrupt handlers share).
- `mutex`: `Mutex`, one owner. `rwsem`: `RwSem`, readers or one writer.
- `wait_queue`: `WaitQueue` and `Waiter`: sleep until a condition holds, poll many queues.
- `completion`: until something has happened.
- `seqlock`: readers of numbers that look again. `rcu`: readers of objects, and grace periods.

Only spinlocks may be taken in interrupts. Nothing here allocates in order to sleep: a task brings its own `Waiter`s
(`Task.waiter` for wait queues, `Task.lock_waiter` for mutexes and semaphores), made with the task.

`Waiter.notify` may be overridden by a poller that wants to learn of events without being woken (epoll). `record` is
what the statistics build writes down; `spin_word` and `waiters` are what the locks are made of; `stress` hammers them.
"""

from __future__ import annotations

from kaa.kernel import arch as _arch  # noqa: F401  # pyright: ignore[reportUnusedImport]  (first: its modules have locks)
