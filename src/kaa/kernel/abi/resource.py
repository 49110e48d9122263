# SPDX-License-Identifier: Apache-2.0
"""Resource limits and usage: getrlimit(2), getrusage(2), times(2), sysinfo(2)."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from kaa.lang import ZERO, Array, i64, struct, u8, u16, u32, u64


class Resource(IntEnum):
    """What is limited."""

    RLIMIT_CPU = 0
    RLIMIT_FSIZE = 1
    RLIMIT_DATA = 2
    RLIMIT_STACK = 3
    RLIMIT_CORE = 4
    RLIMIT_RSS = 5
    RLIMIT_NPROC = 6
    RLIMIT_NOFILE = 7
    RLIMIT_MEMLOCK = 8
    RLIMIT_AS = 9
    RLIMIT_LOCKS = 10
    RLIMIT_SIGPENDING = 11
    RLIMIT_MSGQUEUE = 12
    RLIMIT_NICE = 13
    RLIMIT_RTPRIO = 14
    RLIMIT_RTTIME = 15


RESOURCES: Final = 16
INFINITY: Final = 0xFFFF_FFFF_FFFF_FFFF

RUSAGE_SELF: Final = 0
RUSAGE_CHILDREN: Final = -1
RUSAGE_THREAD: Final = 1


@struct
class RLimit:
    """struct rlimit."""

    soft: u64 = 0
    hard: u64 = 0


@struct
class RUsage:
    """struct rusage, 144 bytes. Fields Linux leaves at zero are left at zero."""

    user_sec: i64 = 0
    user_usec: i64 = 0
    system_sec: i64 = 0
    system_usec: i64 = 0
    max_resident: i64 = 0
    shared: i64 = 0
    data: i64 = 0
    stack: i64 = 0
    minor_faults: i64 = 0
    major_faults: i64 = 0
    swaps: i64 = 0
    blocks_in: i64 = 0
    blocks_out: i64 = 0
    messages_sent: i64 = 0
    messages_received: i64 = 0
    signals: i64 = 0
    voluntary: i64 = 0
    involuntary: i64 = 0


@struct
class Tms:
    """struct tms, in clock ticks (100 a second)."""

    user: i64 = 0
    system: i64 = 0
    children_user: i64 = 0
    children_system: i64 = 0


@struct
class SysInfo:
    """struct sysinfo of 64-bit machines, 112 bytes."""

    uptime: i64 = 0
    loads: Array[u64, 3] = ZERO
    total_ram: u64 = 0
    free_ram: u64 = 0
    shared_ram: u64 = 0
    buffer_ram: u64 = 0
    total_swap: u64 = 0
    free_swap: u64 = 0
    processes: u16 = 0
    pad: u16 = 0
    total_high: u64 = 0
    free_high: u64 = 0
    unit: u32 = 0
    end: Array[u8, 4] = ZERO
