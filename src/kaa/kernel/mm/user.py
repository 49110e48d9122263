# SPDX-License-Identifier: Apache-2.0
"""User memory, as system calls see it: `UserBuf` (bytes), `UserPtr[T]` (one value or an array), `UserString` (a C
string).

They cannot be dereferenced, only copied from and to. The machine's copy routines check that the range lies below
USER_END and survive faults; a fault that cannot be resolved ends as OSError(EFAULT).

A UserBuf may stand for kernel memory too (`kernel_buffer`): `kernel` is then set, which no system call's argument can
do, since a call gets only the address from its caller.
"""

from __future__ import annotations

import errno
from typing import Final, Generic, TypeVar

from kaa.kernel.arch import machine
from kaa.kernel.mm import buddy, frame
from kaa.lang import Array, Bytes, Slice, inline, noinline, sizeof, struct, u8, u64, usize, wrapping_add
from kaa.lang.unsafe import Ptr, address_of, copy_bytes, zero

T = TypeVar("T")

PATH_MAX: Final = 4096
SHORT_PATH: Final = 256
WORD_MASK: Final = 0xFFFF_FFFF_FFFF_FFFC


@struct
class UserBuf:
    """A range of user memory; copying advances it: `address` grows, `size` shrinks."""

    address: u64 = 0
    size: usize = 0
    kernel: u64 = 0

    @inline
    def first(self, n: usize) -> UserBuf:
        """The first n bytes (a range that the call's caller gave with its own length argument)."""
        return UserBuf(self.address, n, self.kernel)

    @inline
    def part(self, n: usize) -> UserBuf:
        """The first n bytes, or all when there are fewer."""
        return UserBuf(self.address, min(n, self.size), self.kernel)

    @inline
    def skip(self, n: usize) -> None:
        """Step over n bytes, which were copied: the address cannot wrap."""
        self.address = wrapping_add(self.address, n)
        self.size -= n

    @inline
    def remaining(self) -> usize:
        """Bytes left."""
        return self.size

    def is_null(self) -> bool:
        """Whether the caller passed a null pointer."""
        return self.address == 0

    def copy_out(self, data: Bytes) -> None:
        """Kernel to user; advances by what was copied. Raises OSError(EFAULT)."""
        n = len(data)
        assert n <= self.size
        left = self._store(address_of(data), n)
        self.skip(n - left)
        if left != 0:
            raise OSError(errno.EFAULT)

    @inline
    def take_frames(self, pfn: u64, within: u64, n: usize) -> usize:
        """n bytes of frames in a row, from byte `within` of the first on, to the user; advances by what was copied and
        gives what was not. The caller, which cuts a file into pages, has seen to it that they fit into the buffer."""
        left = self._store(frame.address(pfn) + within, n)
        self.address = wrapping_add(self.address, n - left)
        self.size -= n - left
        return left

    @inline
    def touch(self, within: usize) -> None:
        """Have the page of one byte faulted in. Raises OSError(EFAULT)."""
        if self.kernel == 0 and machine.user.load_user(wrapping_add(self.address, within) & WORD_MASK) < 0:
            raise OSError(errno.EFAULT)

    def copy_in(self, into: Slice[u8]) -> None:
        """User to kernel; advances by what was copied. Raises OSError(EFAULT)."""
        n = len(into)
        assert n <= self.size
        left = self._load(address_of(into), n)
        self.skip(n - left)
        if left != 0:
            raise OSError(errno.EFAULT)

    def clear(self, n: usize) -> None:
        """Zero n bytes; advances. Raises OSError(EFAULT)."""
        assert n <= self.size
        left: usize = 0
        if self.kernel != 0:
            zero(self.address, n)
        else:
            left = machine.user.clear_user(self.address, n)
        self.skip(n - left)
        if left != 0:
            raise OSError(errno.EFAULT)

    @inline
    def _store(self, source: u64, n: usize) -> usize:
        """Bytes not copied."""
        if self.kernel != 0:
            copy_bytes(self.address, source, n)
            return usize(0)
        return machine.user.copy_to_user(self.address, source, n)

    @inline
    def _load(self, destination: u64, n: usize) -> usize:
        if self.kernel != 0:
            copy_bytes(destination, self.address, n)
            return usize(0)
        return machine.user.copy_from_user(destination, self.address, n)


def kernel_buffer(data: Slice[u8]) -> UserBuf:
    """Kernel memory as a buffer. The caller keeps the owner of `data` alive for as long."""
    return UserBuf(address_of(data), len(data), 1)


@struct
class UserPtr(Generic[T]):
    """The user address of a T, or of several in a row."""

    address: u64 = 0

    def read(self) -> T:
        """The value there. Raises OSError(EFAULT)."""
        cell = Array[T, 1]()
        if machine.user.copy_from_user(address_of(cell), self.address, sizeof(T)) != 0:
            raise OSError(errno.EFAULT)
        return cell[0]

    def write(self, value: T) -> None:
        """Store the value there. Raises OSError(EFAULT)."""
        cell = Array[T, 1]()
        cell[0] = value
        if machine.user.copy_to_user(self.address, address_of(cell), sizeof(T)) != 0:
            raise OSError(errno.EFAULT)

    @inline
    def read_into(self, place: T) -> None:
        """The value there, into a struct of the caller's, without a copy on the way. Raises OSError(EFAULT)."""
        if machine.user.copy_from_user(address_of(place), self.address, sizeof(T)) != 0:
            raise OSError(errno.EFAULT)

    @inline
    def write_from(self, place: T) -> None:
        """Store a struct there, without a copy on the way. Raises OSError(EFAULT)."""
        if machine.user.copy_to_user(self.address, address_of(place), sizeof(T)) != 0:
            raise OSError(errno.EFAULT)

    @inline
    def is_null(self) -> bool:
        """Whether the caller passed a null pointer."""
        return self.address == 0

    @inline
    def offset(self, n: u64) -> UserPtr[T]:
        """The n-th after this one. An address that wraps is not user memory, and faults when used."""
        return UserPtr[T](_element(self.address, n, sizeof(T)))


def _element(base: u64, n: u64, size: u64) -> u64:
    if n > (1 << 47) // size or base >= 1 << 63:
        return u64((1 << 64) - 1)
    return base + n * size


@struct
class UserString:
    """The user address of a NUL-terminated string."""

    address: u64 = 0

    @inline
    def is_null(self) -> bool:
        """Whether the caller passed a null pointer."""
        return self.address == 0

    def part_into(self, skipped: usize, into: Slice[u8]) -> usize:
        """Copy from byte `skipped` on, as much as there is room for. Gives the bytes copied before the NUL: as many as
        there is room for when the string goes on. Raises OSError(EFAULT)."""
        if self.address >= 1 << 63:
            raise OSError(errno.EFAULT)
        length = machine.user.copy_string_from_user(address_of(into), self.address + skipped, len(into))
        if length < 0:
            raise OSError(errno.EFAULT)
        return usize(length)

    def read_path(self) -> bytes:
        """A path name. Raises OSError(EFAULT), OSError(ENAMETOOLONG) at PATH_MAX bytes with the NUL, MemoryError.
        Nearly all are short: those pass through the stack, the others through a page."""
        buffer = Array[u8, SHORT_PATH]()
        length = machine.user.copy_string_from_user(address_of(buffer), self.address, SHORT_PATH)
        if length < 0:
            raise OSError(errno.EFAULT)
        if length == SHORT_PATH:
            return self._read_long(PATH_MAX, errno.ENAMETOOLONG)
        return bytes(buffer[0 : usize(length)])

    def read(self, maximum: usize) -> bytes:
        """A string of at most `maximum` bytes (not above a page) without its NUL. Raises OSError(EFAULT),
        OSError(ENAMETOOLONG) when it is longer, MemoryError."""
        return self._read_long(min(maximum + 1, PATH_MAX), errno.ENAMETOOLONG)

    @noinline
    def _read_long(self, maximum: usize, too_long: int) -> bytes:
        """Through a page; `maximum` counts the NUL."""
        pfn = buddy.allocate_page()
        try:
            length = machine.user.copy_string_from_user(frame.address(pfn), self.address, maximum)
            if length < 0:
                raise OSError(errno.EFAULT)
            if usize(length) == maximum:
                raise OSError(too_long)
            return bytes(Ptr[u8](frame.address(pfn)).slice(usize(length)))
        finally:
            frame.put_page(pfn)
