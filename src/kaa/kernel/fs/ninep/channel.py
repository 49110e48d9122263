# SPDX-License-Identifier: Apache-2.0
"""Where 9P messages travel: what a transport gives the client, and the list of those there are, by mount tag."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from kaa.kernel.locking.spinlock import SpinLock
from kaa.lang import Bytes, Guarded, u32

if TYPE_CHECKING:
    from kaa.kernel.fs.ninep.request import Request


class Channel:
    """A connection to one server."""

    tag: Final[bytes]
    """The mount tag: what mount(2) calls the source."""
    in_use: Guarded[bool, "Channels.lock"] = False

    def __init__(self, tag: bytes) -> None:
        self.tag = tag

    def submit(self, request: Request) -> None:
        """Send a sealed request; sleeps while the transport is full. It completes later (`Request.complete`)."""
        raise OSError(errno.EIO)

    def collect(self) -> Request | None:
        """A finished request that nobody waited for, or None."""
        return None

    def segment_limit(self) -> u32:
        """Most segments that one request may have."""
        return 2


class Channels:
    """All channels; `all` is written when devices are found, before other processors run."""

    lock: Final[SpinLock]
    all: list[Channel]

    def __init__(self) -> None:
        self.lock = SpinLock("9p channels")
        self.all = []

    def take(self, tag: Bytes) -> Channel:
        """The channel with this mount tag, which is in use now. Raises FileNotFoundError, OSError(EBUSY) when it was
        before."""
        with self.lock:
            for channel in self.all:
                if channel.tag == tag:
                    if channel.in_use:
                        raise OSError(errno.EBUSY)
                    channel.in_use = True
                    return channel
        raise FileNotFoundError

    def give_back(self, channel: Channel) -> None:
        """Another mount may use it."""
        with self.lock:
            channel.in_use = False


channels = Channels()
