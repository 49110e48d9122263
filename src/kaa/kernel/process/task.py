# SPDX-License-Identifier: Apache-2.0
"""A thread: what the processor runs, and what `current()` gives.

What a process's threads have in common is in `ThreadGroup`. A task is owned by its `Pid` from birth until it is reaped
(the leader) or gone (any other thread); the run queue owns it besides while it runs.

Fields are grouped by who may write them:
- "own": only the task itself, or its creator before it first runs. Others may read a single word.
- "queue": under the lock of the run queue that it belongs to (sched/run_queue.py). `state` is the task's own to change,
  but only a waker, under that lock, makes a sleeping task RUNNING.
- "signals": under `group.signal_lock`.
- "tree": under `process.tree.lock`.
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
from kaa.lang import Array, Atomic, Bytes, Guarded, i32, i64, u8, u32, u64

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
    pid: i32
    tgid: i32
    exit_code: i32
    group: Final[ThreadGroup]
    # Others read these four through process/foreign.py.
    mm: AddressSpace | None
    files: FileTable
    fs: FsContext
    credentials: Credentials
    context: machine.context.Context
    kernel_stack: u64
    comm: Array[u8, 16]

    # -- queue (sched/run_queue.py)
    on_queue: u32
    # The processors it may run on.
    allowed: u64
    # What it goes by, which may be more than what it was given, for the sake of who waits for it.
    policy: u32
    rt_priority: u32
    own_policy: u32
    own_priority: u32
    nice: i32
    reset_on_fork: bool
    weight: u64
    inverse_weight: u64
    # How long a slice it asks for, ns and virtual ns.
    slice_ns: u64
    virtual_slice: u64
    # How far behind the queue's virtual time it was when it left.
    lag: i64
    # ns of processor time had, and when the present stint began (monotonic ns).
    run_time: u64
    started: u64
    # ns it waited for a processor; while it waits, `started` says since when.
    waited_ns: u64
    slice_end: u64
    # run_time when a tick last told user time from system time.
    sampled: u64
    voluntary_switches: u64
    involuntary_switches: u64
    migrations: u64
    # ioprio_set(2): class << 13 | level; 0: none.
    io_priority: u32

    # -- signals
    pending: Final[PendingSignals]
    blocked: u64
    # The mask to go back to when WORK_RESTORE_MASK is set (sigsuspend, ppoll, pselect, epoll_pwait).
    saved_mask: u64
    # What sigtimedwait(2) sleeps for, although it is blocked.
    waited_for: u64
    alternate_sp: u64
    alternate_size: u64
    alternate_flags: u32

    # -- tree
    identity: Guarded[Pid, "tree.lock"]  # noqa: F821, UP037
    next_thread: Guarded[Task | None, "ThreadGroup.signal_lock"]  # noqa: F821, UP037
    parent_death_signal: i32
    exit_signal: i32

    # -- own
    clear_child_tid: u64
    set_child_tid: u64
    robust_list: u64
    start_time: u64
    user_ns: u64
    system_ns: u64
    minor_faults: u64
    major_faults: u64
    # Fault injection: the nth allocation from now fails (mm/slab.py); 0: none.
    fail_nth: u64
    # rseq(2): the area (0: none), its length, the signature before abort addresses; the processor that it ran on last.
    rseq_area: u64
    rseq_length: u32
    rseq_signature: u32
    rseq_cpu: u32
    timer_slack: u64
    personality: u32
    no_new_privileges: bool
    restart_kind: u32
    restart_address: u64
    restart_value: u64
    restart_bitset: u64
    restart_flags: u64
    restart_deadline: u64
    # The timer of whatever sleep this task is in, and its places in wait queues and in sleeping locks' queues: made
    # with the task, so that sleeping needs no memory.
    timer: Final[WakeTimer]
    waiter: Final[Waiter]
    lock_waiter: Final[Waiter]
    futex_waiter: FutexWaiter | None
    # Priority-inheritance locks (sched/futex_pi_state.py, under its lock): those that it has and others wait for, its
    # place in the line of the one that it waits for, the priority that it runs with for others' sake. `locks_closed`:
    # it is ending, and can get no more waiters.
    owned_locks: PiState | None
    awaited_lock: FutexWaiter | None
    pi_boost: u32
    locks_closed: bool
    # vfork: the id of the task that waits for this one (VFORKED), and of the one that this one waits for.
    vfork_parent: i32
    vfork_child: i32
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
        self.comm = Array[u8, 16]()
        self.pending = PendingSignals()
        self.timer = WakeTimer()
        self.timer.link.sleeper = self
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
        self.user_ns = 0
        self.system_ns = 0
        self.minor_faults = 0
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
        self.locks_closed = False
        self.vfork_parent = 0
        self.vfork_child = 0
        self.kernel_entry = None
        self.kernel_argument = 0

    def __del__(self) -> None:
        """A task that never ran still has its stack; one that did gave it up at its last switch."""
        if self.kernel_stack != 0:
            machine.context.free_stack(self.kernel_stack)

    def is_kernel_thread(self) -> bool:
        """Whether it runs in the kernel only."""
        return (self.flags.load() & KERNEL_THREAD) != 0

    def is_leader(self) -> bool:
        """Whether it is the thread whose id is the process's."""
        return self.pid == self.tgid

    def set_name(self, name: Bytes) -> None:
        """Take up to 15 bytes of `name` as the program's name (prctl(2), PR_SET_NAME)."""
        length = min(len(name), COMM_LENGTH - 1)
        for index in range(COMM_LENGTH):
            self.comm[index] = name[index] if index < length else 0


def program_name(task: Task) -> Bytes:
    """The name without its padding; valid as long as the task."""
    length = 0
    while length < COMM_LENGTH - 1 and task.comm[length] != 0:
        length += 1
    return task.comm[0:length]
