# SPDX-License-Identifier: Apache-2.0
"""Resource usage and the system's state: getrusage, times, sysinfo, uname."""

from __future__ import annotations

import errno
from typing import Final

from kaa.kernel.abi.process import UtsName
from kaa.kernel.abi.resource import RUSAGE_CHILDREN, RUSAGE_SELF, RUSAGE_THREAD, RUsage, SysInfo, Tms
from kaa.kernel.abi.syscall import syscall
from kaa.kernel.arch import machine
from kaa.kernel.locking.spinlock import SpinLock
from kaa.kernel.mm import buddy
from kaa.kernel.mm.user import UserBuf, UserPtr
from kaa.kernel.process import accounting, credentials
from kaa.kernel.process import pid as pids
from kaa.kernel.process.group import Usage
from kaa.kernel.sched import core, load
from kaa.lang import Array, Bytes, Guarded, Slice, i32, i64, u8, u16, u32, u64, usize

PAGE_SIZE: Final = 4096
NAME_LENGTH: Final = 64
RELEASE: Final = b"6.17.0-kaa"
VERSION: Final = b"#1 SMP PREEMPT Kaa"


class HostName:
    """sethostname(2) and setdomainname(2)."""

    lock: Final[SpinLock]
    host: Guarded[Array[u8, 65], "lock"]
    domain: Guarded[Array[u8, 65], "lock"]

    def __init__(self) -> None:
        self.lock = SpinLock("host name")
        self.host = Array[u8, 65]()
        self.domain = Array[u8, 65]()
        _store_text(self.host[:], b"kaa")
        _store_text(self.domain[:], b"(none)")


def _store_text(into: Slice[u8], text: Bytes) -> None:
    into.fill(0)
    into[0 : len(text)].copy_from(text)


host_name = HostName()


def fill(into: RUsage, own: Usage, children: Usage | None) -> None:
    """struct rusage of one or two counts."""
    user, system = own.user_ns, own.system_ns
    into.minor_faults = i64(own.minor_faults)
    into.major_faults = i64(own.major_faults)
    into.voluntary = i64(own.voluntary_switches)
    into.involuntary = i64(own.involuntary_switches)
    peak = own.peak_resident
    if children is not None:
        user += children.user_ns
        system += children.system_ns
        into.minor_faults += i64(children.minor_faults)
        into.major_faults += i64(children.major_faults)
        into.voluntary += i64(children.voluntary_switches)
        into.involuntary += i64(children.involuntary_switches)
        peak = max(peak, children.peak_resident)
    into.user_sec, into.user_usec = i64(user // 1_000_000_000), i64(user // 1000 % 1_000_000)
    into.system_sec, into.system_usec = i64(system // 1_000_000_000), i64(system // 1000 % 1_000_000)
    into.max_resident = i64(peak)


@syscall(x86_64=98, arm64=165)
def getrusage(who: i32, into: UserPtr[RUsage]) -> None:
    """getrusage(2): what the caller, its children or its thread have used."""
    task = machine.percpu.current()
    result = RUsage()
    if who == RUSAGE_SELF:
        fill(result, accounting.group_usage(task.group), None)
    elif who == RUSAGE_CHILDREN:
        fill(result, accounting.children_usage(task.group), None)
    elif who == RUSAGE_THREAD:
        total = Usage()
        accounting.add_task(total, task, core.run_time(task))
        fill(result, total, None)
    else:
        raise OSError(errno.EINVAL)
    into.write(result)


@syscall(x86_64=100, arm64=153)
def times(into: UserPtr[Tms]) -> i64:
    """times(2): processor times in ticks; gives ticks since boot."""
    if not into.is_null():
        group = machine.percpu.current().group
        own = accounting.group_usage(group)
        children = accounting.children_usage(group)
        result = Tms()
        result.user = i64(accounting.ticks(own.user_ns))
        result.system = i64(accounting.ticks(own.system_ns))
        result.children_user = i64(accounting.ticks(children.user_ns))
        result.children_system = i64(accounting.ticks(children.system_ns))
        into.write(result)
    return i64(accounting.ticks(machine.clock.monotonic_ns()))


@syscall(x86_64=99, arm64=179)
def sysinfo(into: UserPtr[SysInfo]) -> None:
    """sysinfo(2): uptime, load averages, memory, number of processes."""
    result = SysInfo()
    now = machine.clock.monotonic_ns()
    result.uptime = i64(now // 1_000_000_000)
    for index in range(3):
        result.loads[index] = load.average(u64(index), now)
    result.total_ram = buddy.total_pages() * PAGE_SIZE
    result.free_ram = buddy.free_pages_count() * PAGE_SIZE
    result.processes = u16(min(pids.table.count.load_relaxed(), 0xFFFF))
    result.unit = 1
    into.write(result)


@syscall(x86_64=63, arm64=160)
def uname(into: UserPtr[UtsName]) -> None:
    """uname(2): what this kernel says it is."""
    result = UtsName()
    _store_text(result.sysname[:], b"Linux")
    _store_text(result.release[:], RELEASE)
    _store_text(result.version[:], VERSION)
    _store_text(result.machine[:], machine.elf.PLATFORM)
    with host_name.lock:
        result.nodename[:].copy_from(host_name.host[:])
        result.domainname[:].copy_from(host_name.domain[:])
    into.write(result)


@syscall(x86_64=170, arm64=161)
def sethostname(name: u64, length: i32) -> None:
    """sethostname(2)."""
    credentials.require(u32(credentials.Capability.CAP_SYS_ADMIN))
    text = Array[u8, 65]()
    _read_name(text[:], name, length)
    with host_name.lock:
        host_name.host[:].copy_from(text[:])


@syscall(x86_64=171, arm64=162)
def setdomainname(name: u64, length: i32) -> None:
    """setdomainname(2)."""
    credentials.require(u32(credentials.Capability.CAP_SYS_ADMIN))
    text = Array[u8, 65]()
    _read_name(text[:], name, length)
    with host_name.lock:
        host_name.domain[:].copy_from(text[:])


def _read_name(into: Slice[u8], address: u64, length: i32) -> None:
    if length < 0 or length > NAME_LENGTH:
        raise OSError(errno.EINVAL)
    UserBuf(address, usize(length)).copy_in(into[0 : usize(length)])
