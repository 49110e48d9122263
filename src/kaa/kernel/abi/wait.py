# SPDX-License-Identifier: Apache-2.0
"""wait(2): options, and what waitid(2) selects by."""

from __future__ import annotations

from enum import IntEnum, IntFlag


class WaitOption(IntFlag):
    """Options of wait4(2) and waitid(2)."""

    WNOHANG = 0x1
    WUNTRACED = 0x2
    WSTOPPED = 0x2
    WEXITED = 0x4
    WCONTINUED = 0x8
    WNOWAIT = 0x0100_0000
    WNOTHREAD = 0x2000_0000
    WALL = 0x4000_0000
    WCLONE = 0x8000_0000


class IdType(IntEnum):
    """idtype_t of waitid(2)."""

    P_ALL = 0
    P_PID = 1
    P_PGID = 2
    P_PIDFD = 3
