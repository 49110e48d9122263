# SPDX-License-Identifier: Apache-2.0
"""Sizes of structures that programs share with the kernel, and the table of system calls."""

from __future__ import annotations

import pytest

from kaa.kernel.abi import elf, process, resource, sched, signal, syscall, time
from kaa.lang import sizeof


@pytest.mark.parametrize(
    ("kind", "size"),
    [
        (signal.SigInfo, 48),
        (signal.UserSigInfo, 128),
        (signal.SigAction, 32),
        (signal.StackT, 24),
        (signal.SignalfdSiginfo, 128),
        (resource.RUsage, 144),
        (resource.SysInfo, 112),
        (resource.Tms, 32),
        (process.UtsName, 390),
        (sched.SchedAttr, 56),
        (sched.CloneArgs, 88),
        (time.ITimerSpec, 32),
        (time.SigEvent, 64),
        (elf.ElfHeader, 64),
        (elf.ProgramHeader, 56),
    ],
)
def test_structures_have_the_size_programs_expect(kind: type, size: int) -> None:
    assert sizeof(kind) == size


def test_a_number_is_claimed_once() -> None:
    def twice() -> None:
        """twice"""

    syscall.syscall(x86_64=511)(twice)
    with pytest.raises(ValueError, match="claimed"):
        syscall.syscall(x86_64=511)(twice)


def test_every_slot_can_be_called() -> None:
    assert all(syscall.TABLE[number] is not None for number in range(syscall.TABLE_SIZE))
