# SPDX-License-Identifier: Apache-2.0
"""A process: the threads that share an id, and what wait(2), signals and limits know it by.

Fields are grouped by lock:
- "tree": `tree.lock` (parents, children, threads, process groups, sessions);
- "signals": `signal_lock`, which interrupts take too (timers send signals);
- the rest is said beside them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kaa.kernel.locking.spinlock import IrqSpinLock
from kaa.kernel.locking.wait_queue import WaitQueue
from kaa.kernel.process.limits import Limits
from kaa.kernel.signal.pending import PendingSignals
from kaa.lang import Array, Atomic, Guarded, Relaxed, i32, part, u32, u64

if TYPE_CHECKING:
    from kaa.kernel.drivers.tty.tty import Tty
    from kaa.kernel.process.pid import Pid
    from kaa.kernel.process.task import Task
    from kaa.kernel.signal.handlers import SignalHandlers
    from kaa.kernel.time.interval import IntervalTimer
    from kaa.kernel.time.posix_timer import PosixTimers

# group.state
ALIVE: Final = 0
ZOMBIE: Final = 1
# Taken by one waiter; nobody else may reap it.
REAPED: Final = 2

# group.flags
SUBREAPER: Final = 1
# pid 1: signals without a handler do not touch it.
UNKILLABLE: Final = 2
EXECED: Final = 4
# A thread of the kernel: no signal touches it.
KERNEL: Final = 8

# group.job: what waitid(2) may report.
JOB_STOPPED: Final = 1
JOB_STOP_REPORTED: Final = 2
JOB_CONTINUED: Final = 4


@part
class Usage:
    """What struct rusage counts; ns for times."""

    user_ns: u64
    system_ns: u64
    minor_faults: u64
    major_faults: u64
    voluntary_switches: u64
    involuntary_switches: u64
    # KiB
    peak_resident: u64

    def __init__(self) -> None:
        self.user_ns = 0
        self.system_ns = 0
        self.minor_faults = 0
        self.major_faults = 0
        self.voluntary_switches = 0
        self.involuntary_switches = 0
        self.peak_resident = 0

    def add(self, other: Usage) -> None:
        """Add another's counts to these."""
        self.user_ns += other.user_ns
        self.system_ns += other.system_ns
        self.minor_faults += other.minor_faults
        self.major_faults += other.major_faults
        self.voluntary_switches += other.voluntary_switches
        self.involuntary_switches += other.involuntary_switches
        self.peak_resident = max(self.peak_resident, other.peak_resident)


class ThreadGroup:
    """A process."""

    tgid: Final[i32]
    flags: Atomic[u32]

    # -- tree
    state: Guarded[Relaxed[u32], "tree.lock"]
    # Number of the parent (getppid(2)), of the process group, of the session; 0 for none.
    parent_id: Guarded[Relaxed[i32], "tree.lock"]
    group_id: Guarded[Relaxed[i32], "tree.lock"]
    session_id: Guarded[Relaxed[i32], "tree.lock"]
    thread_count: Guarded[Relaxed[u32], "tree.lock & signal_lock"]
    leader: Guarded[Task | None, "tree.lock"]
    # All threads that are not dead, through Task.next_thread, the leader first (and it stays when it is dead). Changed
    # under `tree.lock` too.
    first_thread: Guarded[Task | None, "signal_lock"]
    # Threads that have not begun to end.
    live_threads: Guarded[u32, "signal_lock"]
    # The leader has ended and waits for the other threads, to be a zombie.
    leader_done: Guarded[bool, "tree.lock"]
    parent: Guarded[ThreadGroup | None, "tree.lock"]
    # The thread that forked this process: __WNOTHREAD.
    parent_thread: Guarded[i32, "tree.lock"]
    first_child: Guarded[ThreadGroup | None, "tree.lock"]
    next_sibling: Guarded[ThreadGroup | None, "tree.lock"]
    previous_sibling: Guarded[ThreadGroup | None, "tree.lock"]
    process_group: Guarded[Pid | None, "tree.lock"]
    next_in_group: Guarded[ThreadGroup | None, "tree.lock"]
    previous_in_group: Guarded[ThreadGroup | None, "tree.lock"]
    session: Guarded[Pid | None, "tree.lock"]
    next_in_session: Guarded[ThreadGroup | None, "tree.lock"]
    previous_in_session: Guarded[ThreadGroup | None, "tree.lock"]
    tty: Guarded[Tty | None, "tree.lock"]
    exit_signal: Guarded[i32, "tree.lock"]
    # wait status once a zombie
    exit_status: Guarded[i32, "tree.lock"]
    child_waiters: Final[WaitQueue]

    # -- signals
    signal_lock: Final[IrqSpinLock]
    pending: Final[PendingSignals]
    # Shared with other processes only by CLONE_SIGHAND without CLONE_THREAD, until execve(2).
    handlers: Guarded[SignalHandlers, "current() & signal_lock"]
    # Someone called exit_group, or a fatal signal came: every thread leaves with this status.
    group_exit: Guarded[Atomic[bool], "signal_lock"]
    # Written before group_exit is.
    group_exit_status: Guarded[Relaxed[i32], "signal_lock"]
    # The thread that execs while the others die; and that there is one.
    exec_task: Guarded[Task | None, "tree.lock"]
    is_execing: Guarded[bool, "signal_lock"]
    job: Guarded[u32, "signal_lock"]
    stop_signal: Guarded[i32, "signal_lock"]
    # Threads that have still to stop before the parent is told.
    stop_pending: Guarded[u32, "signal_lock"]
    stopped: Guarded[Relaxed[bool], "signal_lock"]
    # The parent has still to be told of SIGCONT.
    job_notify: Guarded[Relaxed[bool], "signal_lock"]
    # Woken when a signal that signalfd may read arrives.
    signalfd_waiters: Final[WaitQueue]

    # -- limits and accounts
    limits: Final[Limits]
    # Of the threads that have ended, and of children that were waited for.
    usage: Guarded[Usage, "tree.lock & signal_lock"]
    children_usage: Guarded[Usage, "tree.lock"]
    # How often something happened to a child, or a child came from elsewhere, that wait calls may tell of.
    child_news: Guarded[Atomic[u32], "tree.lock"]
    # KiB of any memory that it had.
    peak_resident: Atomic[u64]
    start_time: u64
    # How many things count the process's processor time (time/cpu_timer.py).
    cpu_timers: Guarded[Atomic[u32], "signal_lock"]
    # It has ever set a timer.
    has_timers: Atomic[bool]
    # Made when first set, and as long as the process.
    real_timer: Guarded[IntervalTimer | None, "signal_lock"]
    posix_timers: Guarded[PosixTimers | None, "signal_lock"]
    # ITIMER_VIRTUAL and ITIMER_PROF (time/interval.py): ns of processor time; 0: not set.
    count_deadlines: Array[Atomic[u64], 2]
    count_intervals: Array[Atomic[u64], 2]
    oom_score_adjust: Relaxed[i32]

    def note_peak(self, resident: u64) -> None:
        """A thread gives memory up of which so many KiB are resident."""
        seen = self.peak_resident.load_relaxed()
        while resident > seen and not self.peak_resident.compare_exchange(seen, resident):
            seen = self.peak_resident.load_relaxed()

    def __init__(self, tgid: i32, handlers: SignalHandlers) -> None:
        self.handlers = handlers
        self.tgid = tgid
        self.flags = Atomic(0)
        self.signal_lock = IrqSpinLock("signals")
        self.pending = PendingSignals()
        self.child_waiters = WaitQueue()
        self.signalfd_waiters = WaitQueue()
        self.limits = Limits()
        self.usage = Usage()
        self.children_usage = Usage()
        self.child_news = Atomic(0)
        self._blank_tree()
        self._blank_signals()
        self._blank_timers()

    def _blank_tree(self) -> None:
        self.state = ALIVE
        self.leader = None
        self.first_thread = None
        self.thread_count = 0
        self.live_threads = 0
        self.leader_done = False
        self.parent = None
        self.parent_id = 0
        self.group_id = 0
        self.session_id = 0
        self.parent_thread = 0
        self.first_child = None
        self.next_sibling = None
        self.previous_sibling = None
        self.process_group = None
        self.next_in_group = None
        self.previous_in_group = None
        self.session = None
        self.next_in_session = None
        self.previous_in_session = None
        self.tty = None
        self.exit_signal = 0
        self.exit_status = 0

    def _blank_signals(self) -> None:
        self.group_exit = Atomic(False)
        self.group_exit_status = 0
        self.exec_task = None
        self.is_execing = False
        self.job = 0
        self.stop_signal = 0
        self.stop_pending = 0
        self.stopped = False
        self.job_notify = False

    def _blank_timers(self) -> None:
        self.start_time = 0
        self.peak_resident = Atomic(0)
        self.cpu_timers = Atomic(0)
        self.has_timers = Atomic(False)
        self.real_timer = None
        self.posix_timers = None
        self.count_deadlines = Array[Atomic[u64], 2]()
        self.count_intervals = Array[Atomic[u64], 2]()
        self.oom_score_adjust = 0
