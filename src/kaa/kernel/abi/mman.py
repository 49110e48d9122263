# SPDX-License-Identifier: Apache-2.0
"""Numbers of mmap(2), mremap(2), madvise(2), msync(2), mlock2(2), mlockall(2), mincore(2): Linux's, the same on both
machines (x86-64, arm64)."""

from __future__ import annotations

from enum import IntEnum, IntFlag


class Prot(IntFlag):
    """mmap(2), prot."""

    NONE = 0
    READ = 1
    WRITE = 2
    EXEC = 4
    SEM = 8
    GROWSDOWN = 0x0100_0000
    GROWSUP = 0x0200_0000


class MapFlag(IntFlag):
    """mmap(2), flags."""

    SHARED = 0x01
    PRIVATE = 0x02
    SHARED_VALIDATE = 0x03
    TYPE = 0x0F
    FIXED = 0x10
    ANONYMOUS = 0x20
    BIT32 = 0x40
    GROWSDOWN = 0x0100
    DENYWRITE = 0x0800
    EXECUTABLE = 0x1000
    LOCKED = 0x2000
    NORESERVE = 0x4000
    POPULATE = 0x8000
    NONBLOCK = 0x1_0000
    STACK = 0x2_0000
    HUGETLB = 0x4_0000
    SYNC = 0x8_0000
    FIXED_NOREPLACE = 0x10_0000
    UNINITIALIZED = 0x400_0000


class Mremap(IntFlag):
    """mremap(2), flags."""

    MAYMOVE = 1
    FIXED = 2
    DONTUNMAP = 4


class Madvise(IntEnum):
    """madvise(2), advice."""

    NORMAL = 0
    RANDOM = 1
    SEQUENTIAL = 2
    WILLNEED = 3
    DONTNEED = 4
    FREE = 8
    REMOVE = 9
    DONTFORK = 10
    DOFORK = 11
    MERGEABLE = 12
    UNMERGEABLE = 13
    HUGEPAGE = 14
    NOHUGEPAGE = 15
    DONTDUMP = 16
    DODUMP = 17
    WIPEONFORK = 18
    KEEPONFORK = 19
    COLD = 20
    PAGEOUT = 21
    POPULATE_READ = 22
    POPULATE_WRITE = 23
    COLLAPSE = 25
    HWPOISON = 100
    SOFT_OFFLINE = 101


class Msync(IntFlag):
    """msync(2), flags."""

    ASYNC = 1
    INVALIDATE = 2
    SYNC = 4


class Mlock(IntFlag):
    """mlock2(2), flags."""

    ONFAULT = 1


class Mlockall(IntFlag):
    """mlockall(2), flags."""

    CURRENT = 1
    FUTURE = 2
    ONFAULT = 4
