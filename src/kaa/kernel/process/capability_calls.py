# SPDX-License-Identifier: Apache-2.0
"""capget(2) and capset(2)."""

from __future__ import annotations

import errno

from kaa.kernel.abi.process import (
    CAPABILITY_VERSION_1,
    CAPABILITY_VERSION_2,
    CAPABILITY_VERSION_3,
    CapabilityData,
    CapabilityHeader,
)
from kaa.kernel.abi.syscall import syscall
from kaa.kernel.arch import machine
from kaa.kernel.mm.user import UserPtr
from kaa.kernel.process import foreign, ids
from kaa.kernel.process.credentials import Capability, Credentials
from kaa.lang import u32, u64


def _words(header: UserPtr[CapabilityHeader], version: u32) -> u64:
    """How many 32-bit halves this version of the structure has. An unknown version is told ours (EINVAL)."""
    if version == CAPABILITY_VERSION_1:
        return u64(1)
    if version == CAPABILITY_VERSION_2 or version == CAPABILITY_VERSION_3:
        return u64(2)
    UserPtr[u32](header.address).write(u32(CAPABILITY_VERSION_3))
    raise OSError(errno.EINVAL)


@syscall(x86_64=125, arm64=90)
def capget(header: UserPtr[CapabilityHeader], data: UserPtr[CapabilityData]) -> None:
    """capget(2): a thread's capabilities."""
    asked = header.read()
    if data.is_null() and asked.version not in (CAPABILITY_VERSION_1, CAPABILITY_VERSION_2, CAPABILITY_VERSION_3):
        UserPtr[u32](header.address).write(u32(CAPABILITY_VERSION_3))
        return
    words = _words(header, asked.version)
    if asked.pid < 0:
        raise OSError(errno.EINVAL)
    who = machine.percpu.current().credentials
    if asked.pid != 0:
        task = ids.find_task(asked.pid)
        if task is None:
            raise ProcessLookupError
        who = foreign.credentials_of(task)
    for half in range(words):
        shift = half * 32
        part = CapabilityData(u32(who.effective >> shift), u32(who.permitted >> shift), u32(who.inheritable >> shift))
        data.offset(half).write(part)


@syscall(x86_64=126, arm64=91)
def capset(header: UserPtr[CapabilityHeader], data: UserPtr[CapabilityData]) -> None:
    """capset(2): change the caller's capabilities: never beyond the permitted set."""
    asked = header.read()
    words = _words(header, asked.version)
    task = machine.percpu.current()
    if asked.pid != 0 and asked.pid != task.pid:
        raise OSError(errno.EPERM)
    effective: u64 = 0
    permitted: u64 = 0
    inheritable: u64 = 0
    for half in range(words):
        part = data.offset(half).read()
        effective |= u64(part.effective) << (half * 32)
        permitted |= u64(part.permitted) << (half * 32)
        inheritable |= u64(part.inheritable) << (half * 32)
    old = task.credentials
    _check(old, effective, permitted, inheritable)
    new = old.copy()
    new.effective = effective & permitted
    new.permitted = permitted
    new.inheritable = inheritable
    new.ambient &= permitted & inheritable
    foreign.replace_credentials(task, new)


def _check(old: Credentials, effective: u64, permitted: u64, inheritable: u64) -> None:
    if (permitted & ~old.permitted) != 0 or (effective & ~permitted) != 0:
        raise OSError(errno.EPERM)
    allowed = old.inheritable | (old.bounding if old.capable(u32(Capability.CAP_SETPCAP)) else old.permitted)
    if (inheritable & ~allowed) != 0 or (inheritable & ~(old.inheritable | old.bounding)) != 0:
        raise OSError(errno.EPERM)
