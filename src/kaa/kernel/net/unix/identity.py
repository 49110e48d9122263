# SPDX-License-Identifier: Apache-2.0
"""Who a socket is to others: its name and the credentials of who connected or listened (SO_PEERCRED)."""

from __future__ import annotations

from kaa.kernel.arch import machine
from kaa.lang import Relaxed, i32, u32


class Identity:
    """Shared by a socket, its peers and the messages it sent; it refers to none of them."""

    name: bytes
    """sun_path as getsockname(2) tells it: empty when unnamed, leading NUL when abstract."""
    pid: Relaxed[i32]
    uid: Relaxed[u32]
    gid: Relaxed[u32]

    def __init__(self) -> None:
        self.name = b""
        self.pid = 0
        self.uid = 0xFFFFFFFF
        self.gid = 0xFFFFFFFF

    def sign(self) -> None:
        """The caller is who answers for the socket from now on."""
        task = machine.percpu.current()
        self.pid = task.tgid
        self.uid = task.credentials.euid
        self.gid = task.credentials.egid
