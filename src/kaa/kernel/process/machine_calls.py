# SPDX-License-Identifier: Apache-2.0
"""Calls on the machine and what it runs as: getcpu, personality, reboot, and those that are refused: ptrace,
seccomp"""

from __future__ import annotations

import errno
from typing import Final

from kaa.kernel.abi.syscall import syscall
from kaa.kernel.arch import machine
from kaa.kernel.mm.user import UserPtr
from kaa.kernel.process import credentials
from kaa.lang import i32, i64, u32, u64

READ_PERSONALITY: Final = 0xFFFF_FFFF
MAGIC_1: Final = 0xFEE1_DEAD
MAGIC_2: Final = (0x2812_1969, 0x0512_1996, 0x1604_1998, 0x2011_2000)
RESTART: Final = 0x0123_4567
HALT: Final = 0xCDEF_0123
CAD_ON: Final = 0x89AB_CDEF
CAD_OFF: Final = 0
POWER_OFF: Final = 0x4321_FEDC
RESTART2: Final = 0xA1B2_C3D4


@syscall(x86_64=309, arm64=168)
def getcpu(cpu: UserPtr[u32], node: UserPtr[u32]) -> None:
    """getcpu(2): the processor the caller runs on."""
    if not cpu.is_null():
        cpu.write(machine.percpu.cpu_id())
    if not node.is_null():
        node.write(u32(0))


@syscall(x86_64=135, arm64=92)
def personality(persona: u32) -> u32:
    """personality(2): only ADDR_NO_RANDOMIZE changes anything; the others are remembered."""
    task = machine.percpu.current()
    before = task.personality
    if persona != READ_PERSONALITY:
        task.personality = persona
    return before


@syscall(x86_64=169, arm64=142)
def reboot(magic1: u32, magic2: u32, command: u32, argument: u64) -> None:
    """reboot(2): restart or switch the machine off."""
    credentials.require(u32(credentials.Capability.CAP_SYS_BOOT))
    if magic1 != MAGIC_1 or magic2 not in MAGIC_2:
        raise OSError(errno.EINVAL)
    if command in (RESTART, RESTART2):
        machine.power.reboot()
    if command in (POWER_OFF, HALT):
        machine.power.off(u32(0))
    if command not in (CAD_ON, CAD_OFF):
        raise OSError(errno.EINVAL)


@syscall(x86_64=101, arm64=117)
def ptrace(request: i64, pid: i32, address: u64, data: u64) -> None:
    """ptrace(2): not there; PTRACE_TRACEME and attaching are refused as where it is forbidden (EPERM)."""
    raise OSError(errno.EPERM)


@syscall(x86_64=317, arm64=277)
def seccomp(operation: u32, flags: u32, arguments: u64) -> None:
    """seccomp(2): not there (EINVAL, as with no operation known)."""
    raise OSError(errno.EINVAL)


@syscall(x86_64=272, arm64=97)
def unshare(flags: u64) -> None:
    """unshare(2): descriptors and directories; namespaces are refused (EINVAL, EPERM)."""
    from kaa.kernel.process import unsharing

    unsharing.unshare(flags)
