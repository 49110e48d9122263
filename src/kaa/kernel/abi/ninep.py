# SPDX-License-Identifier: Apache-2.0
"""Numbers of the 9P2000.L protocol.

Sources: the Plan 9 manual, section 5 (intro(5), version, attach, walk, read, clunk, flush) and the protocol
description of the diod project ("9P2000.L Protocol"), which adds the messages that fit POSIX files.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag

from kaa.lang import u32, width

NO_TAG = 0xFFFF
NO_FID = 0xFFFFFFFF
VERSION = b"9P2000.L"
HEADER = 7
"""size[4] type[1] tag[2]: what every message starts with."""
IO_HEADER = 24
"""What a Twrite or Rread may add to its data (P9_IOHDRSZ): msize less this is the most data in one message."""
READ_HEADER = 11
"""An Rread before its data: header and count[4]. An Rlerror has the same length."""
QID_SIZE = 13


class Message(IntEnum):
    """Types of requests; a reply's type is its request's plus one."""

    RLERROR = 7
    TSTATFS = 8
    TLOPEN = 12
    TLCREATE = 14
    TSYMLINK = 16
    TMKNOD = 18
    TRENAME = 20
    TREADLINK = 22
    TGETATTR = 24
    TSETATTR = 26
    TXATTRWALK = 30
    TXATTRCREATE = 32
    TREADDIR = 40
    TFSYNC = 50
    TLOCK = 52
    TGETLOCK = 54
    TLINK = 70
    TMKDIR = 72
    TRENAMEAT = 74
    TUNLINKAT = 76
    TVERSION = 100
    TATTACH = 104
    TFLUSH = 108
    TWALK = 110
    TREAD = 116
    TWRITE = 118
    TCLUNK = 120
    TREMOVE = 122


@width(u32)
class QidKind(IntFlag):
    """Type byte of a qid."""

    DIRECTORY = 0x80
    SYMLINK = 0x02
    FILE = 0x00


GETATTR_BASIC = 0x7FF
"""Request mask: all fields of stat(2)."""


@width(u32)
class Setattr(IntFlag):
    """Valid mask of Tsetattr."""

    MODE = 0x1
    UID = 0x2
    GID = 0x4
    SIZE = 0x8
    ATIME = 0x10
    MTIME = 0x20
    CTIME = 0x40
    ATIME_SET = 0x80
    MTIME_SET = 0x100


@width(u32)
class OpenFlag(IntFlag):
    """Flags of Tlopen and Tlcreate: the numbers of Linux's generic open(2) flags."""

    RDONLY = 0
    WRONLY = 1
    RDWR = 2
    CREAT = 0o100
    EXCL = 0o200
    TRUNC = 0o1000
    APPEND = 0o2000
    DIRECTORY = 0o200000
    NOFOLLOW = 0o400000


UNLINK_DIRECTORY = 0x200
"""Flag of Tunlinkat: remove a directory (AT_REMOVEDIR)."""


class LockKind(IntEnum):
    """Type of Tlock."""

    READ = 0
    WRITE = 1
    UNLOCK = 2


class LockStatus(IntEnum):
    """Result of Tlock."""

    SUCCESS = 0
    BLOCKED = 1
    ERROR = 2
    GRACE = 3
