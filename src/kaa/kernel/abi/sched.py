# SPDX-License-Identifier: Apache-2.0
"""Scheduling policies and clone flags: sched(7), sched_setattr(2), clone(2)."""

from __future__ import annotations

from enum import IntEnum, IntFlag
from typing import Final

from kaa.lang import i32, struct, u32, u64


class Policy(IntEnum):
    """Scheduling policies."""

    SCHED_OTHER = 0
    SCHED_FIFO = 1
    SCHED_RR = 2
    SCHED_BATCH = 3
    SCHED_IDLE = 5
    SCHED_DEADLINE = 6


SCHED_RESET_ON_FORK: Final = 0x4000_0000


@struct
class SchedParam:
    """struct sched_param."""

    priority: i32 = 0


@struct
class SchedAttr:
    """struct sched_attr, version 1 (56 bytes); version 0 ends before util_min."""

    size: u32 = 0
    policy: u32 = 0
    flags: u64 = 0
    nice: i32 = 0
    priority: u32 = 0
    runtime: u64 = 0
    deadline: u64 = 0
    period: u64 = 0
    util_min: u32 = 0
    util_max: u32 = 0


class Clone(IntFlag):
    """Flags of clone(2); the low byte of clone's word is the exit signal."""

    CSIGNAL = 0xFF
    CLONE_NEWTIME = 0x80
    CLONE_VM = 0x100
    CLONE_FS = 0x200
    CLONE_FILES = 0x400
    CLONE_SIGHAND = 0x800
    CLONE_PIDFD = 0x1000
    CLONE_PTRACE = 0x2000
    CLONE_VFORK = 0x4000
    CLONE_PARENT = 0x8000
    CLONE_THREAD = 0x1_0000
    CLONE_NEWNS = 0x2_0000
    CLONE_SYSVSEM = 0x4_0000
    CLONE_SETTLS = 0x8_0000
    CLONE_PARENT_SETTID = 0x10_0000
    CLONE_CHILD_CLEARTID = 0x20_0000
    CLONE_DETACHED = 0x40_0000
    CLONE_UNTRACED = 0x80_0000
    CLONE_CHILD_SETTID = 0x100_0000
    CLONE_NEWCGROUP = 0x200_0000
    CLONE_NEWUTS = 0x400_0000
    CLONE_NEWIPC = 0x800_0000
    CLONE_NEWUSER = 0x1000_0000
    CLONE_NEWPID = 0x2000_0000
    CLONE_NEWNET = 0x4000_0000
    CLONE_IO = 0x8000_0000
    CLONE_CLEAR_SIGHAND = 0x1_0000_0000
    CLONE_INTO_CGROUP = 0x2_0000_0000


NAMESPACES: Final = 0x7E02_0080
"""Every CLONE_NEW…"""


@struct
class CloneArgs:
    """struct clone_args of clone3(2), 88 bytes; older callers pass the first 64 or 80."""

    flags: u64 = 0
    pidfd: u64 = 0
    child_tid: u64 = 0
    parent_tid: u64 = 0
    exit_signal: u64 = 0
    stack: u64 = 0
    stack_size: u64 = 0
    tls: u64 = 0
    set_tid: u64 = 0
    set_tid_size: u64 = 0
    cgroup: u64 = 0
