# SPDX-License-Identifier: Apache-2.0
"""What recvmsg(2) and recvfrom(2) tell besides the bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kaa.kernel.net.unix.message import NOBODY
from kaa.lang import i32, u32

if TYPE_CHECKING:
    from kaa.kernel.fs.file import File
    from kaa.kernel.net.unix.identity import Identity
    from kaa.kernel.net.unix.message import Message


class Delivery:
    """Filled by the inbox."""

    files: list[File] | None
    pid: i32
    uid: u32
    gid: u32
    sender: Identity | None
    flags: u32
    """MSG_TRUNC, MSG_CTRUNC of msg_flags."""
    wants_credentials: bool

    def __init__(self, wants_credentials: bool) -> None:
        self.files = None
        self.pid = 0
        self.uid = NOBODY
        self.gid = NOBODY
        self.sender = None
        self.flags = 0
        self.wants_credentials = wants_credentials

    def note(self, message: Message, peek: bool) -> None:
        """Take over what a message brings. With `peek` it keeps its files too. Raises MemoryError (peek only)."""
        if message.signed:
            self.pid = message.pid
            self.uid = message.uid
            self.gid = message.gid
        self.sender = message.sender
        if message.files is None:
            return
        if peek:
            self.files = copy_list(message)
        else:
            self.files = message.take_files()


def copy_list(message: Message) -> list[File]:
    """The same files once more."""
    copy: list[File] = []
    files = message.files
    assert files is not None
    for file in files:
        copy.append(file)
    return copy
