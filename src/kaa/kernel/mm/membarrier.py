# SPDX-License-Identifier: Apache-2.0
"""membarrier(2): order memory accesses among threads, so that one side of a fast path needs no barrier of its own.

Each processor in question is interrupted, which is a full barrier for the thread it runs, and its return synchronises
instruction fetch (Intel SDM 3, 9.2 and 9.3). A thread that runs nowhere has passed a barrier when it was switched away
from, and will pass one. Expedited commands are for those who said so before (EPERM); that is kept with the memory, so
fork(2) copies it and execve(2) ends it.
"""

from __future__ import annotations

import errno
from enum import IntFlag
from typing import Final

from kaa.kernel.abi.syscall import syscall
from kaa.kernel.arch import machine
from kaa.kernel.process.task import WORK_RSEQ
from kaa.kernel.sched import cpu as cpus
from kaa.lang import i32, u32, u64


class Command(IntFlag):
    """Commands are bits, as QUERY tells them."""

    GLOBAL = 1
    GLOBAL_EXPEDITED = 2
    REGISTER_GLOBAL_EXPEDITED = 4
    PRIVATE_EXPEDITED = 8
    REGISTER_PRIVATE_EXPEDITED = 16
    PRIVATE_EXPEDITED_SYNC_CORE = 32
    REGISTER_PRIVATE_EXPEDITED_SYNC_CORE = 64
    PRIVATE_EXPEDITED_RSEQ = 128
    REGISTER_PRIVATE_EXPEDITED_RSEQ = 256
    GET_REGISTRATIONS = 512


SUPPORTED: Final = 1023
FLAG_CPU: Final = 1


@syscall(x86_64=324, arm64=283)
def membarrier(command: i32, flags: u32, cpu: i32) -> i32:
    """membarrier(2): order memory accesses among threads. The expedited commands reach all processors too."""
    if flags != 0 and (command != Command.PRIVATE_EXPEDITED_RSEQ or flags != FLAG_CPU):
        raise OSError(errno.EINVAL)
    space = machine.percpu.current().mm
    assert space is not None
    match command:
        case 0:
            return i32(SUPPORTED)
        case 1 | 2:
            _interrupt(machine.smp.online_mask())
        case 4 | 16 | 64 | 256:
            space.membarrier.fetch_or(u32(command))
        case 8 | 32:
            _require(space.membarrier.load(), u32(command) << 1)
            _interrupt(machine.smp.online_mask())
        case 128:
            _require(space.membarrier.load(), u32(command) << 1)
            _restart_sequences(cpu if flags != 0 else i32(-1))
        case 512:
            return i32(space.membarrier.load())
        case _:
            raise OSError(errno.EINVAL)
    return i32(0)


def _require(registered: u32, command: u32) -> None:
    if (registered & command) == 0:
        raise OSError(errno.EPERM)


def _interrupt(processors: u64) -> None:
    if processors != 1:
        machine.smp.interrupt(processors)


def _restart_sequences(number: i32) -> None:
    """Of one processor (one that is not there is as good as done), or of all: whoever is in a sequence starts it
    again."""
    chosen = machine.smp.online_mask()
    if number >= 0:
        chosen &= u64(1) << u64(number) if number < cpus.MAX_CPUS else u64(0)
    if chosen != 0:
        machine.smp.call(chosen, _restart_sequence, u64(0))


def _restart_sequence(unused: u64) -> None:
    task = machine.percpu.current()
    if task.rseq_area != 0:
        task.work.fetch_or(WORK_RSEQ)
