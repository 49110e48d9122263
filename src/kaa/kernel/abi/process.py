# SPDX-License-Identifier: Apache-2.0
"""Structures of calls on the process and the system: uname(2), capget(2)."""

from __future__ import annotations

from typing import Final

from kaa.lang import ZERO, Array, i32, struct, u8, u32

CAPABILITY_VERSION_1: Final = 0x1998_0330
CAPABILITY_VERSION_2: Final = 0x2007_1026
CAPABILITY_VERSION_3: Final = 0x2008_0522


@struct
class UtsName:
    """struct utsname, 6 × 65 bytes."""

    sysname: Array[u8, 65] = ZERO
    nodename: Array[u8, 65] = ZERO
    release: Array[u8, 65] = ZERO
    version: Array[u8, 65] = ZERO
    machine: Array[u8, 65] = ZERO
    domainname: Array[u8, 65] = ZERO


@struct
class CapabilityHeader:
    """struct __user_cap_header_struct."""

    version: u32 = 0
    pid: i32 = 0


@struct
class CapabilityData:
    """struct __user_cap_data_struct: 32 capabilities."""

    effective: u32 = 0
    permitted: u32 = 0
    inheritable: u32 = 0
