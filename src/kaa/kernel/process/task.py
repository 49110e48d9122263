# SPDX-License-Identifier: Apache-2.0
"""A thread: what the processor runs, and what `current()` gives.

What a process's threads have in common is in `ThreadGroup`. A task is owned by its `Pid` from birth until it is reaped
(the leader) or gone (any other thread); the run queue owns it besides while it runs.

Each field says who may write it; they are grouped by what they are for. Its creator fills a task in, and calls
`finished` before others may find it. `state` is the task's own to change, but only a waker, under the lock of the run
queue that it belongs to (sched/run_queue.py), makes a sleeping task RUNNING.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from kaa.kernel.arch import machine
from kaa.kernel.locking.wait_queue import Waiter
from kaa.kernel.sched.fair import SLICE
from kaa.kernel.sched.links import TreeNode
from kaa.kernel.signal.pending import PendingSignals
from kaa.kernel.time.timer import WakeTimer
from kaa.lang import ZERO, Array, Atomic, Bytes, Guarded, Owned, Relaxed, i32, i64, struct, u8, u32, u64

if TYPE_CHECKING:
    from kaa.kernel.fs.context import FsContext
    from kaa.kernel.fs.descriptors import FileTable
    from kaa.kernel.mm.address_space import AddressSpace
    from kaa.kernel.process.credentials import Credentials
    from kaa.kernel.process.group import ThreadGroup
    from kaa.kernel.process.pid import Pid
    from kaa.kernel.sched.futex_pi_state import PiState
    from kaa.kernel.sched.futex_queue import FutexWaiter

# task.state
RUNNING: Final = 0
INTERRUPTIBLE: Final = 1
UNINTERRUPTIBLE: Final = 2
STOPPED: Final = 4
DEAD: Final = 64
# Woken also by SIGKILL only.
KILLABLE: Final = 8
SLEEPING: Final = INTERRUPTIBLE | UNINTERRUPTIBLE | KILLABLE

# task.work: looked at, as one word, before each return to user mode.
WORK_SIGNAL: Final = 1
WORK_RESCHEDULE: Final = 2
WORK_RESTORE_MASK: Final = 4
# CLONE_CHILD_SETTID: the child writes its id into its memory before it first returns.
WORK_CHILD_TID: Final = 8
# The task was preempted or moved, and has an area of rseq(2).
WORK_RSEQ: Final = 16
# Something was retired, and there is nobody yet to give it up (locking/rcu.py).
WORK_RETIRED: Final = 32

# task.flags
KERNEL_THREAD: Final = 1
EXITING: Final = 2
FORKED_NO_EXEC: Final = 4
VFORKED: Final = 8
# SIGKILL was taken by this task, or its group is going down: no more sleeping for user's sake.
DYING: Final = 16
# Chosen by the OOM killer: may use the memory reserve.
MEMORY_VICTIM: Final = 32
# To stop, for job control, at the next return to user mode (signal/stop.py).
STOP_WANTED: Final = 64
# Another task was made with CLONE_VM.
SHARES_MEMORY: Final = 128
# A stop signal was taken, and SIGCONT has not come since.
STOP_TAKEN: Final = 256
# Its credentials may be the object of the task that made it (fork._own_credentials).
LENT_CREDENTIALS: Final = 1024

COMM_LENGTH: Final = 16
EVERY_CPU: Final = 0xFFFF_FFFF_FFFF_FFFF

# task.restart_kind: what restart_syscall(2) goes on with.
RESTART_NOTHING: Final = 0
RESTART_NANOSLEEP: Final = 1
RESTART_FUTEX: Final = 2
RESTART_POLL: Final = 3


class Task(TreeNode):
    """One thread. The fields of TreeNode are the run queue's: `vruntime` is the weighted run time (ns at nice 0),
    `key` says when the present request for a slice is due, on the same clock."""

    # -- own: looked at on each entry or exit
    work: Atomic[u32]
    flags: Atomic[u32]
    state: Atomic[u64]
    pid: Guarded[Relaxed[i32], "tree.lock"]
    tgid: Guarded[Relaxed[i32], "tree.lock"]
    exit_code: Owned[Relaxed[i32]]
    group: Final[ThreadGroup]
    # Others read these four through process/foreign.py.
    mm: Guarded[AddressSpace | None, "current() & ThreadGroup.signal_lock"]
    files: Guarded[FileTable, "current() & ThreadGroup.signal_lock"]
    fs: Guarded[FsContext, "current() & ThreadGroup.signal_lock"]
    credentials: Guarded[Credentials, "current() & ThreadGroup.signal_lock"]
    context: Guarded[machine.context.Context, "RunQueue.lock | current()"]
    kernel_stack: Relaxed[u64]
    # The program's name, eight bytes in each, then zeros: read and written a word at a time (`program_name`).
    name_low: Relaxed[u64]
    name_high: Relaxed[u64]

    # -- queue (sched/run_queue.py)
    on_queue: Guarded[u32, "RunQueue.lock"]
    # The processors it may run on.
    allowed: Guarded[Relaxed[u64], "RunQueue.lock"]
    # What it goes by, which may be more than what it was given, for the sake of who waits for it.
    policy: Guarded[Relaxed[u32], "RunQueue.lock"]
    rt_priority: Guarded[Relaxed[u32], "RunQueue.lock"]
    own_policy: Guarded[Relaxed[u32], "RunQueue.lock"]
    own_priority: Guarded[Relaxed[u32], "RunQueue.lock"]
    nice: Guarded[Relaxed[i32], "RunQueue.lock"]
    reset_on_fork: Relaxed[bool]
    weight: Guarded[u64, "RunQueue.lock"]
    inverse_weight: Guarded[u64, "RunQueue.lock"]
    # How long a slice it asks for, ns and virtual ns.
    slice_ns: Guarded[Relaxed[u64], "RunQueue.lock"]
    virtual_slice: Guarded[u64, "RunQueue.lock"]
    # How far behind the queue's virtual time it was when it left.
    lag: Guarded[i64, "RunQueue.lock"]
    # ns of processor time had, and when the present stint began (monotonic ns).
    run_time: Guarded[u64, "RunQueue.lock"]
    started: Guarded[u64, "RunQueue.lock"]
    # ns it waited for a processor; while it waits, `started` says since when.
    waited_ns: Guarded[Relaxed[u64], "RunQueue.lock"]
    slice_end: Guarded[u64, "RunQueue.lock"]
    # run_time when a tick last told user time from system time.
    sampled: Guarded[u64, "RunQueue.lock"]
    voluntary_switches: Guarded[Relaxed[u64], "RunQueue.lock"]
    involuntary_switches: Guarded[Relaxed[u64], "RunQueue.lock"]
    migrations: Guarded[Relaxed[u64], "RunQueue.lock"]
    # ioprio_set(2): class << 13 | level; 0: none.
    io_priority: Relaxed[u32]

    # -- signals
    pending: Final[PendingSignals]
    blocked: Guarded[u64, "current() & ThreadGroup.signal_lock"]
    # The mask to go back to when WORK_RESTORE_MASK is set (sigsuspend, ppoll, pselect, epoll_pwait).
    saved_mask: Owned[u64]
    # What sigtimedwait(2) sleeps for, although it is blocked.
    waited_for: Guarded[u64, "current() & ThreadGroup.signal_lock"]
    alternate_sp: Owned[u64]
    alternate_size: Owned[u64]
    alternate_flags: Owned[u32]

    # -- tree
    identity: Guarded[Pid, "tree.lock"]
    next_thread: Guarded[Task | None, "ThreadGroup.signal_lock"]
    parent_death_signal: Owned[Relaxed[i32]]
    exit_signal: Guarded[Relaxed[i32], "tree.lock"]

    # -- own
    clear_child_tid: Owned[u64]
    set_child_tid: Owned[u64]
    robust_list: Owned[Relaxed[u64]]
    start_time: u64
    system_ns: Guarded[Relaxed[u64], "RunQueue.lock"]
    minor_faults: Owned[Relaxed[u64]]
    major_faults: Owned[Relaxed[u64]]
    # Where the next first touch of memory is expected (mm/faults.py).
    next_touch: Owned[u64]
    # The child that it forked last (0: none that wait4(2) finds by default), and its process's child_news then.
    last_child: Owned[i32]
    news_at_fork: Owned[u32]
    # Fault injection: the nth allocation from now fails (mm/slab.py); 0: none.
    fail_nth: Owned[u64]
    # rseq(2): the area (0: none), its length, the signature before abort addresses; the processor that it ran on last.
    rseq_area: Owned[Relaxed[u64]]
    rseq_length: Owned[u32]
    rseq_signature: Owned[u32]
    rseq_cpu: Guarded[u32, "RunQueue.lock"]
    timer_slack: Owned[u64]
    personality: Owned[Relaxed[u32]]
    no_new_privileges: Owned[Relaxed[bool]]
    restart_kind: Owned[u32]
    restart_address: Owned[u64]
    restart_value: Owned[u64]
    restart_bitset: Owned[u64]
    restart_flags: Owned[u64]
    restart_deadline: Owned[u64]
    # The timer of whatever sleep this task is in, and its places in wait queues and in sleeping locks' queues: made
    # with the task, so that sleeping needs no memory.
    timer: Final[WakeTimer]
    waiter: Final[Waiter]
    lock_waiter: Final[Waiter]
    futex_waiter: Owned[FutexWaiter | None]
    # Priority-inheritance locks (sched/futex_pi_state.py, under its lock): those that it has and others wait for, its
    # place in the line of the one that it waits for, the priority that it runs with for others' sake. `locks_closed`:
    # it is ending, and can get no more waiters.
    owned_locks: Guarded[PiState | None, "futex_pi_state.lock"]
    awaited_lock: Guarded[FutexWaiter | None, "futex_pi_state.lock"]
    pi_boost: Guarded[Relaxed[u32], "RunQueue.lock"]
    locks_closed: Atomic[bool]
    # vfork: the id of the task that waits for this one (VFORKED), and of the one that this one waits for.
    vfork_parent: i32
    vfork_child: Owned[Relaxed[i32]]
    # A kernel thread's first function.
    kernel_entry: Callable[[u64], None] | None
    kernel_argument: u64

    def __init__(self, group: ThreadGroup, identity: Pid) -> None:
        super().__init__()
        self.group = group
        self.identity = identity
        self.pid = identity.number
        self.tgid = identity.number
        self.context = machine.context.Context()
        self.name_low = 0
        self.name_high = 0
        self.pending = PendingSignals()
        self.timer = WakeTimer()
        self.waiter = Waiter()
        self.lock_waiter = Waiter()
        self._blank()

    def _blank(self) -> None:
        self.work = Atomic(0)
        self.flags = Atomic(0)
        self.state = Atomic(RUNNING)
        self.exit_code = 0
        self.mm = None
        self.kernel_stack = 0
        self._blank_queue()
        self._blank_signals()
        self._blank_accounts()

    def _blank_queue(self) -> None:
        self.queue = machine.percpu.here().run_queue
        self.on_queue = 0
        self.allowed = EVERY_CPU
        self.policy = 0
        self.rt_priority = 0
        self.own_policy = 0
        self.own_priority = 0
        self.nice = 0
        self.reset_on_fork = False
        self.weight = 1024
        self.inverse_weight = 1 << 22
        self.slice_ns = SLICE
        self.virtual_slice = SLICE
        self.lag = 0
        self.run_time = 0
        self.started = 0
        self.waited_ns = 0
        self.slice_end = 0
        self.sampled = 0
        self.voluntary_switches = 0
        self.involuntary_switches = 0
        self.migrations = 0
        self.io_priority = 0

    def _blank_signals(self) -> None:
        self.blocked = 0
        self.saved_mask = 0
        self.waited_for = 0
        self.alternate_sp = 0
        self.alternate_size = 0
        self.alternate_flags = 2
        self.restart_kind = 0
        self.restart_address = 0
        self.restart_value = 0
        self.restart_bitset = 0
        self.restart_flags = 0
        self.restart_deadline = 0
        self.next_thread = None
        self.parent_death_signal = 0
        self.exit_signal = 0

    def _blank_accounts(self) -> None:
        self.clear_child_tid = 0
        self.set_child_tid = 0
        self.robust_list = 0
        self.start_time = 0
        self.system_ns = 0
        self.minor_faults = 0
        self.next_touch = 0
        self.last_child = 0
        self.news_at_fork = 0
        self.major_faults = 0
        self.fail_nth = 0
        self.rseq_area = 0
        self.rseq_length = 0
        self.rseq_signature = 0
        self.rseq_cpu = 0
        self.timer_slack = 50_000
        self.personality = 0
        self.no_new_privileges = False
        self.futex_waiter = None
        self.owned_locks = None
        self.awaited_lock = None
        self.pi_boost = 0
        self.locks_closed = Atomic(False)
        self.vfork_parent = 0
        self.vfork_child = 0
        self.kernel_entry = None
        self.kernel_argument = 0

    def __del__(self) -> None:
        """A task that never ran still has its stack; one that did gave it up at its last switch."""
        if self.kernel_stack != 0:
            machine.context.free_stack(self.kernel_stack)

    def finished(self) -> None:
        """Nothing more is to be filled in by who made it: others may find it from now on."""
        self.timer.link.sleeper = self

    def is_kernel_thread(self) -> bool:
        """Whether it runs in the kernel only."""
        return (self.flags.load() & KERNEL_THREAD) != 0

    def is_leader(self) -> bool:
        """Whether it is the thread whose id is the process's."""
        return self.pid == self.tgid

    def set_name(self, name: Bytes) -> None:
        """Take up to 15 bytes of `name` as the program's name (prctl(2), PR_SET_NAME)."""
        low: u64 = u64(0)
        high: u64 = u64(0)
        for index in range(min(len(name), COMM_LENGTH - 1)):
            if index < 8:
                low |= u64(name[index]) << 8 * index
            else:
                high |= u64(name[index]) << 8 * (index - 8)
        self.name_low = low
        self.name_high = high


@struct
class ProgramName:
    """A program's name, padded with zeros."""

    padded: Array[u8, COMM_LENGTH] = ZERO

    def text(self) -> Bytes:
        """Without the padding."""
        length = 0
        while length < COMM_LENGTH - 1 and self.padded[length] != 0:
            length += 1
        return self.padded[0:length]


def program_name(task: Task) -> ProgramName:
    """What a task is called just now."""
    name = ProgramName()
    low, high = task.name_low, task.name_high
    for index in range(8):
        name.padded[index] = u8(low >> 8 * index & 0xFF)
        name.padded[index + 8] = u8(high >> 8 * index & 0xFF)
    return name
