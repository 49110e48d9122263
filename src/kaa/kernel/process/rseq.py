# SPDX-License-Identifier: Apache-2.0
"""Restartable sequences (rseq(2)): a thread may do a few instructions on data of its processor, and is sent to an abort
address instead of going on in the middle if it was preempted, moved to another processor, or got a signal.

WORK_RSEQ is raised when one of these may have happened: by the scheduler when it preempts a task that has an area or
runs it on another processor than before (sched/core.py), by signal delivery, by membarrier(2). Before the next return
to user mode the sequence that the area names is looked at, and the area told where the thread runs. The
area is the program's memory: what cannot be read or written, or makes no sense, is SIGSEGV.

The concurrency id is the processor's number: below the count of processors, and no two running threads share one.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from kaa.kernel.abi.rseq import (
    ALIGNMENT,
    FEATURE_SIZE,
    ORIGINAL_SIZE,
    RSEQ_FLAG_UNREGISTER,
    SEQUENCE_OFFSET,
    UNINITIALIZED,
    RseqNumbers,
    Sequence,
)
from kaa.kernel.abi.signal import Signal
from kaa.kernel.abi.syscall import syscall
from kaa.kernel.arch import machine
from kaa.kernel.mm.user import UserPtr
from kaa.kernel.process.task import WORK_RSEQ, Task
from kaa.lang import cold, i32, u32, u64, wrapping_add, wrapping_sub

if TYPE_CHECKING:
    from kaa.kernel.arch.x86_64.regs import Registers

NODE_OFFSET: Final = 20


@syscall(x86_64=334, arm64=293)
def rseq(area: u64, length: u32, flags: i32, signature: u32) -> None:
    """rseq(2): register the caller's area, or take it back."""
    task = machine.percpu.current()
    if (flags & RSEQ_FLAG_UNREGISTER) != 0:
        _unregister(task, area, length, flags, signature)
        return
    if flags != 0:
        raise OSError(errno.EINVAL)
    if task.rseq_area != 0:
        if task.rseq_area != area or task.rseq_length != length:
            raise OSError(errno.EINVAL)
        raise OSError(errno.EPERM if task.rseq_signature != signature else errno.EBUSY)
    if length < FEATURE_SIZE or (area % ALIGNMENT) != 0 or area == 0:
        raise OSError(errno.EINVAL)
    if length < ORIGINAL_SIZE:
        raise OSError(errno.EINVAL)
    if not machine.user.valid(area, length):
        raise OSError(errno.EFAULT)
    UserPtr[u64](area + SEQUENCE_OFFSET).write(u64(0))
    task.rseq_area = area
    task.rseq_length = length
    task.rseq_signature = signature
    task.work.fetch_or(WORK_RSEQ)


def _unregister(task: Task, area: u64, length: u32, flags: i32, signature: u32) -> None:
    if (flags & ~RSEQ_FLAG_UNREGISTER) != 0 or task.rseq_area == 0 or task.rseq_area != area:
        raise OSError(errno.EINVAL)
    if task.rseq_length != length:
        raise OSError(errno.EINVAL)
    if task.rseq_signature != signature:
        raise OSError(errno.EPERM)
    _tell(area, u32(0), u32(UNINITIALIZED), u32(0))
    forget(task)


def forget(task: Task) -> None:
    """execve(2), and clone(2) with the parent's memory: no area."""
    task.rseq_area = 0
    task.rseq_length = 0
    task.rseq_signature = 0


def inherit(child: Task, parent: Task) -> None:
    """fork(2): the child's copy of the area is the child's."""
    child.rseq_area = parent.rseq_area
    child.rseq_length = parent.rseq_length
    child.rseq_signature = parent.rseq_signature
    if child.rseq_area != 0:
        child.work.fetch_or(WORK_RSEQ)


def before_handler(task: Task, regs: Registers) -> None:
    """Before the frame of a handler: end a sequence that `regs` are in."""
    try:
        if UserPtr[u64](task.rseq_area + SEQUENCE_OFFSET).read() != 0:
            _end_sequence(task, regs)
    except OSError:
        _fault(task)


def before_user(task: Task, regs: Registers) -> None:
    """Before a return to user mode: the same, and say where the thread runs."""
    task.work.fetch_and(~u32(WORK_RSEQ))
    try:
        _end_sequence(task, regs)
        here = machine.percpu.cpu_id()
        _tell(task.rseq_area, here, here, here)
    except OSError:
        _fault(task)


@cold
def _fault(task: Task) -> None:
    from kaa.kernel.signal import send

    send.force_default(task, i32(Signal.SIGSEGV))


def _tell(area: u64, start: u32, cpu: u32, concurrency: u32) -> None:
    """Write the numbers. One who is moved in between comes by again. Raises OSError(EFAULT)."""
    UserPtr[RseqNumbers](area).write(RseqNumbers(start, cpu))
    UserPtr[RseqNumbers](area + NODE_OFFSET).write(RseqNumbers(u32(0), concurrency))


def _end_sequence(task: Task, regs: Registers) -> None:
    """Raises OSError(EFAULT, EINVAL)."""
    pointer = UserPtr[u64](task.rseq_area + SEQUENCE_OFFSET)
    address = pointer.read()
    if address == 0:
        return
    sequence = UserPtr[Sequence](address).read()
    _check(task, sequence)
    pointer.write(u64(0))
    if wrapping_sub(regs.program_counter(), sequence.start) < sequence.length:
        regs.set_program_counter(sequence.abort)


def _check(task: Task, sequence: Sequence) -> None:
    """A sequence must lie in user memory, without its abort address, before which the signature stands. Raises
    OSError(EFAULT, EINVAL)."""
    if sequence.version != 0 or sequence.flags != 0:
        raise OSError(errno.EINVAL)
    valid = machine.user.valid(sequence.start, sequence.length) and machine.user.valid(sequence.abort, 1)
    if not valid or wrapping_sub(sequence.abort, sequence.start) < sequence.length:
        raise OSError(errno.EINVAL)
    if UserPtr[u32](wrapping_add(sequence.abort, u64(0xFFFF_FFFF_FFFF_FFFC))).read() != task.rseq_signature:
        raise OSError(errno.EINVAL)
