# SPDX-License-Identifier: Apache-2.0
"""Work that is put off to a kernel thread: what interrupts must not do, what may sleep, what nobody should wait for.

    class Rehash(Work):
        def run(self) -> None: ...

    queue = WorkQueue("rehash", workers=2)      # at import, or later
    queue.start()                               # once there are threads
    queue.add(work)                             # from anywhere, also interrupts; needs no memory

A work is in its queue once: adding it again before it has begun changes nothing; while it runs it can be added anew,
and may then run in two workers at once if the queue has several. The queue keeps what is in it alive. `flush` waits for
all that was added before; `cancel` takes out what has not begun; `cancel_and_wait` also waits for what has. Neither of
the waiting ones may be called from a work of the same queue. `DelayedWork` is added when some time has passed.

Locks: WorkQueue.lock, with interrupts off, under any lock but a run queue's; the wait queues' inside.
"""

from __future__ import annotations

from typing import Final

from kaa.kernel import log
from kaa.kernel.arch import machine
from kaa.kernel.locking.spinlock import IrqSpinLock
from kaa.kernel.locking.wait_queue import WaitQueue
from kaa.kernel.sched import core
from kaa.kernel.time import timer
from kaa.kernel.time.timer import Timer
from kaa.lang import Array, Atomic, Guarded, u32, u64

MOST_WORKERS: Final = 8
MOST_QUEUES: Final = 128
NONE: Final = 0xFFFF_FFFF_FFFF_FFFF
"""The ticket of who has no work: later than all."""


class Work:
    """Something to do. `run` is called in a kernel thread; an error it lets out costs a line in the log."""

    next: Guarded[Work | None, "WorkQueue.lock"] = None
    """The queue's, under its lock."""
    ticket: Guarded[u64, "WorkQueue.lock"] = 0
    """Its number in the queue, under the queue's lock."""
    waits: Atomic[bool]
    """It is in a queue, and has not begun."""

    def __init__(self) -> None:
        self.waits = Atomic(False)

    def run(self) -> None:
        """To be overridden."""


class WorkQueue:
    """Works in order of arrival, and the threads that do them. A queue is for ever."""

    number: Final[u32]
    workers: Final[u32]
    lock: Final[IrqSpinLock]
    first: Guarded[Work | None, "lock"]
    last: Guarded[Work | None, "lock"]
    added: Guarded[u64, "lock"]
    running: Guarded[Array[Work | None, 8], "lock"]
    """What each worker does now, and its ticket, NONE if nothing: under the lock."""
    tickets: Guarded[Array[u64, 8], "lock"]
    length: Atomic[u64]
    arrived: Final[WaitQueue]
    finished: Final[WaitQueue]

    def __init__(self, name: str, workers: u32 = u32(1)) -> None:
        assert 0 < workers <= MOST_WORKERS, "a work queue has 1 to 8 workers"
        self.workers = workers
        self.lock = IrqSpinLock(name)
        self.first = None
        self.last = None
        self.added = 0
        self.running = Array[Work | None, 8]()
        self.tickets = Array[u64, 8]()
        for worker in range(MOST_WORKERS):
            self.tickets[worker] = NONE
        self.length = Atomic(0)
        self.arrived = WaitQueue("work arrives")
        self.finished = WaitQueue("work is done")
        self.number = registry.count.fetch_add(1)
        assert self.number < MOST_QUEUES, "too many work queues"
        registry.table[self.number] = self

    def start(self) -> None:
        """Start the threads. Raises MemoryError, OSError(EAGAIN)."""
        for worker in range(self.workers):
            core.spawn_kernel_thread(_work, u64(self.number) << 8 | u64(worker), b"worker")

    def add(self, work: Work) -> bool:
        """Let a worker do it soon; False if it was in a queue already. From anywhere."""
        if work.waits.exchange(True):
            return False
        with self.lock:
            self.added += 1
            work.ticket = self.added
            last = self.last
            if last is None:
                self.first = work
            else:
                last.next = work
            self.last = work
        self.length.fetch_add(1)
        self.arrived.wake_one()
        return True

    def cancel(self, work: Work) -> bool:
        """Take it out; False if it was not in the queue (any more)."""
        found = False
        with self.lock:
            before: Work | None = None
            at = self.first
            while at is not None and at is not work:
                before = at
                at = at.next
            if at is not None:
                found = True
                self._unlink(before, work)
        if found:
            self.finished.wake_all()  # who flushes need not wait for it any more
        return found

    def cancel_and_wait(self, work: Work) -> bool:
        """As cancel; when this returns no worker is doing it."""
        found = self.cancel(work)
        self.finished.wait_until(lambda: not self._is_running(work))
        return found

    def flush(self) -> None:
        """Wait for all that was added before."""
        with self.lock:
            until = self.added
        self.finished.wait_until(lambda: self._oldest() > until)

    def _unlink(self, before: Work | None, work: Work) -> None:
        following = work.next
        if before is None:
            self.first = following
        else:
            before.next = following
        if following is None:
            self.last = before
        work.next = None
        self.length.fetch_sub(1)
        work.waits.store(False)

    def _is_running(self, work: Work) -> bool:
        with self.lock:
            for worker in range(MOST_WORKERS):
                if self.running[worker] is work:
                    return True
        return False

    def _oldest(self) -> u64:
        """The lowest ticket that is not done."""
        oldest: u64 = u64(NONE)
        with self.lock:
            first = self.first
            if first is not None:
                oldest = first.ticket
            for worker in range(MOST_WORKERS):
                oldest = min(oldest, self.tickets[worker])
        return oldest

    def take(self, worker: u32) -> Work | None:
        """The next for a worker, which does it now; None if another was faster."""
        work: Work | None = None
        with self.lock:
            work = self.first
            if work is not None:
                self._unlink(None, work)
                self.running[worker] = work
                self.tickets[worker] = work.ticket
        return work

    def done(self, worker: u32) -> None:
        """A worker is through with what it took."""
        with self.lock:
            self.tickets[worker] = NONE
            self.running[worker] = None
        self.finished.wake_all()

    def serve(self, worker: u32) -> None:
        """One worker's life."""
        while True:
            self.arrived.wait_until(lambda: self.length.load() != 0)
            work = self.take(worker)
            if work is not None:
                _do(work)
                self.done(worker)


class Registry:
    """All queues, by number: a thread starts with a number only."""

    table: Array[WorkQueue | None, 128]
    count: Atomic[u32]

    def __init__(self) -> None:
        self.table = Array[WorkQueue | None, 128]()
        self.count = Atomic(0)


registry = Registry()


def _do(work: Work) -> None:
    try:
        work.run()
    except Exception:
        log.error("a work of a work queue ended by an error")


def _work(argument: u64) -> None:
    """Where each worker starts."""
    queue = registry.table[argument >> 8]
    assert queue is not None
    queue.serve(u32(argument & 0xFF))


class WorkTimer(Timer):
    """Adds a work when it expires. It keeps the work while it is armed."""

    lock: Final[IrqSpinLock]
    work: Guarded[Work | None, "lock"]
    queue: Guarded[WorkQueue | None, "lock"]

    def __init__(self) -> None:
        super().__init__()
        self.lock = IrqSpinLock("delayed work")
        self.work = None
        self.queue = None

    def set(self, work: Work | None, queue: WorkQueue | None) -> None:
        """What is to be added, and where."""
        before: Work | None = None
        with self.lock:
            before = self.work
            self.work = work
            self.queue = queue
        del before  # not under the lock

    def expired(self) -> None:
        """The time has come."""
        with self.lock:
            work = self.work
            queue = self.queue
            self.work = None
        if work is not None and queue is not None:
            queue.add(work)

    def target(self) -> WorkQueue | None:
        """Where the work was to be added, or was."""
        with self.lock:
            return self.queue


class DelayedWork(Work):
    """A work that can be added for later. Who uses it sees to it that `add_after` and `cancel_delayed` do not run at
    the same time."""

    timer: Final[WorkTimer]

    def __init__(self) -> None:
        super().__init__()
        self.timer = WorkTimer()

    def add_after(self, queue: WorkQueue, delay_ns: u64) -> None:
        """Add it to `queue` when so much time has passed; an earlier request is forgotten."""
        timer.cancel_sync(self.timer)
        self.timer.set(self, queue)
        timer.arm(self.timer, machine.clock.monotonic_ns() + delay_ns)

    def cancel_delayed(self) -> bool:
        """Forget the request, or take the work out, and wait until nobody does it. False if it had begun or was not
        asked for."""
        found = timer.cancel_sync(self.timer)
        queue = self.timer.target()
        self.timer.set(None, queue)
        if queue is not None and queue.cancel_and_wait(self):
            found = True
        return found
