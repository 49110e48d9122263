# SPDX-License-Identifier: Apache-2.0
"""Numbers and structures of epoll(7). The low event bits are poll(2)'s."""

from __future__ import annotations

from kaa.lang import struct, u32, u64

EPOLL_CLOEXEC = 0o2000000
EPOLL_CTL_ADD = 1
EPOLL_CTL_DEL = 2
EPOLL_CTL_MOD = 3

EPOLLEXCLUSIVE = 1 << 28
EPOLLWAKEUP = 1 << 29
EPOLLONESHOT = 1 << 30
EPOLLET = 1 << 31
PRIVATE_BITS = EPOLLEXCLUSIVE | EPOLLWAKEUP | EPOLLONESHOT | EPOLLET

EPOLL_MAX_EVENTS = 0x7FFFFFFF // 12


@struct(packed=True)
class EpollEvent:
    """struct epoll_event, packed to 12 bytes on x86-64."""

    events: u32 = 0
    data: u64 = 0
