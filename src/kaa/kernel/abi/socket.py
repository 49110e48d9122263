# SPDX-License-Identifier: Apache-2.0
"""Numbers and structures of socket(2), send(2), recv(2), cmsg(3), unix(7); x86-64 values."""

from __future__ import annotations

from kaa.lang import ZERO, i32, i64, struct, u32, u64

AF_UNSPEC = 0
AF_UNIX = 1

SOCK_STREAM = 1
SOCK_DGRAM = 2
SOCK_SEQPACKET = 5
SOCK_TYPE_MASK = 0xF
SOCK_NONBLOCK = 0o4000
SOCK_CLOEXEC = 0o2000000

SHUT_RD = 0
SHUT_WR = 1
SHUT_RDWR = 2

MSG_OOB = 0x1
MSG_PEEK = 0x2
MSG_CTRUNC = 0x8
MSG_TRUNC = 0x20
MSG_DONTWAIT = 0x40
MSG_EOR = 0x80
MSG_WAITALL = 0x100
MSG_NOSIGNAL = 0x4000
MSG_WAITFORONE = 0x10000
MSG_CMSG_CLOEXEC = 0x40000000

SOL_SOCKET = 1
SO_DEBUG = 1
SO_REUSEADDR = 2
SO_TYPE = 3
SO_ERROR = 4
SO_DONTROUTE = 5
SO_BROADCAST = 6
SO_SNDBUF = 7
SO_RCVBUF = 8
SO_KEEPALIVE = 9
SO_OOBINLINE = 10
SO_PRIORITY = 12
SO_LINGER = 13
SO_REUSEPORT = 15
SO_PASSCRED = 16
SO_PEERCRED = 17
SO_RCVLOWAT = 18
SO_SNDLOWAT = 19
SO_RCVTIMEO = 20
SO_SNDTIMEO = 21
SO_ACCEPTCONN = 30
SO_SNDBUFFORCE = 32
SO_RCVBUFFORCE = 33
SO_PROTOCOL = 38
SO_DOMAIN = 39

SCM_RIGHTS = 1
SCM_CREDENTIALS = 2
SCM_MAX_FD = 253
"""Most descriptors in one message (unix(7))."""

SOMAXCONN = 4096
UIO_MAXIOV = 1024
SUN_PATH = 108
SUN_PATH_OFFSET = 2
SOCKADDR_MAX = 128

SIOCOUTQ = 0x5411


@struct
class MessageHeader:
    """struct msghdr, 56 bytes."""

    name: u64 = 0
    name_length: i32 = 0
    pad0: u32 = 0
    vector: u64 = 0
    vector_length: u64 = 0
    control: u64 = 0
    control_length: u64 = 0
    flags: u32 = 0
    pad1: u32 = 0


@struct
class ManyHeader:
    """struct mmsghdr, 64 bytes."""

    header: MessageHeader = ZERO
    length: u32 = 0
    pad0: u32 = 0


@struct
class ControlHeader:
    """struct cmsghdr, 16 bytes; its data follows."""

    length: u64 = 0
    level: i32 = 0
    type: i32 = 0


@struct
class PeerCredentials:
    """struct ucred."""

    pid: i32 = 0
    uid: u32 = 0
    gid: u32 = 0


@struct
class Linger:
    """struct linger."""

    on: i32 = 0
    seconds: i32 = 0


@struct
class TimeValue:
    """struct timeval."""

    seconds: i64 = 0
    microseconds: i64 = 0
