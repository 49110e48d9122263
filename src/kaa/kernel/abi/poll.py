# SPDX-License-Identifier: Apache-2.0
"""Numbers and structures of poll(2), select(2)."""

from __future__ import annotations

from kaa.lang import i16, i32, struct

POLLIN = 0x001
POLLPRI = 0x002
POLLOUT = 0x004
POLLERR = 0x008
POLLHUP = 0x010
POLLNVAL = 0x020
POLLRDNORM = 0x040
POLLRDBAND = 0x080
POLLWRNORM = 0x100
POLLWRBAND = 0x200
POLLMSG = 0x400
POLLRDHUP = 0x2000

READABLE = POLLIN | POLLRDNORM
WRITABLE = POLLOUT | POLLWRNORM

# Which poll events put a descriptor into which of select(2)'s sets (POSIX, "select").
SELECT_IN = POLLRDNORM | POLLRDBAND | POLLIN | POLLHUP | POLLERR
SELECT_OUT = POLLWRNORM | POLLWRBAND | POLLOUT | POLLERR
SELECT_EXCEPT = POLLPRI


@struct
class PollFd:
    """struct pollfd, 8 bytes."""

    fd: i32 = 0
    events: i16 = 0
    revents: i16 = 0
