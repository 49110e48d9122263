# SPDX-License-Identifier: Apache-2.0
"""The vDSO: a small ELF shared object in every program's memory, so that asking the time needs no system call.

The image is put together at import time from vdso_code.py: headers, a dynamic symbol table with SysV hash, version
LINUX_2.6 (vdso(7)), then the code, all in one page. Two pages are mapped side by side: data (read-only to the user),
then code."""

from __future__ import annotations

import struct as packing

from kaa.kernel.arch.x86_64 import clock, paging
from kaa.kernel.arch.x86_64.vdso_code import CODE, CODE_OFFSET, FUNCTIONS
from kaa.lang import u32, u64
from kaa.lang.unsafe import Ptr, address_of, compiler_barrier, copy_bytes

EXPORTED = ("clock_gettime", "gettimeofday", "time", "clock_getres", "getcpu")
SONAME = "linux-vdso.so.1"
VERSION = "LINUX_2.6"
EXECUTABLE_LOAD, DYNAMIC = 1, 2
HEADER_SIZE = 64 + 2 * 56


def elf_hash(name: str) -> int:
    """The hash of System V ABI, figure 5-12."""
    value = 0
    for byte in name.encode():
        value = (value << 4) + byte
        value = (value ^ (value & 0xF0000000) >> 24) & 0x0FFFFFFF
    return value


class Strings:
    """A string table under construction."""

    def __init__(self) -> None:
        self.data = b"\0"

    def add(self, text: str) -> int:
        """Append a string; its offset."""
        self.data += text.encode() + b"\0"
        return len(self.data) - len(text) - 1


def _symbols(strings: Strings) -> bytes:
    """The dynamic symbol table: the functions, then the version's name."""
    table = bytes(24)
    for name in EXPORTED:
        start = FUNCTIONS[name]
        later = [at for at in FUNCTIONS.values() if at > start]
        size = min(later, default=len(CODE)) - start
        table += packing.pack("<IBBHQQ", strings.add(f"__vdso_{name}"), 0x12, 0, 1, CODE_OFFSET + start, size)
    return table + packing.pack("<IBBHQQ", strings.add(VERSION), 0x11, 0, 0xFFF1, 0, 0)


def _hash_table() -> bytes:
    """One bucket would do; three keep the chains short."""
    names = ["", *(f"__vdso_{name}" for name in EXPORTED), VERSION]
    buckets, chains = [0] * 3, [0] * len(names)
    for index in range(1, len(names)):
        bucket = elf_hash(names[index]) % 3
        chains[index], buckets[bucket] = buckets[bucket], index
    return packing.pack(f"<{2 + 3 + len(chains)}I", 3, len(chains), *buckets, *chains)


def _versions(strings: Strings) -> bytes:
    """Version definitions: the object's own name, and LINUX_2.6."""
    out = b""
    for index, (name, flags) in enumerate(((SONAME, 1), (VERSION, 0)), start=1):
        more = 28 if index == 1 else 0
        out += packing.pack("<HHHHIII", 1, flags, index, 1, elf_hash(name), 20, more)
        out += packing.pack("<II", strings.add(name), 0)
    return out


def _build() -> bytes:
    """The page."""
    strings = Strings()
    symbols, hashes, versions = _symbols(strings), _hash_table(), _versions(strings)
    soname = strings.add(SONAME)
    symbol_versions = packing.pack(f"<{len(EXPORTED) + 2}H", 0, *([2] * (len(EXPORTED) + 1)))
    at, body = HEADER_SIZE, b""
    places: list[int] = []
    for part in (hashes, symbols, strings.data, symbol_versions, versions):
        padding = -(at + len(body)) % 8
        body += bytes(padding)
        places.append(at + len(body))
        body += part
    body += bytes(-(at + len(body)) % 8)
    tags = [(4, places[0]), (5, places[2]), (6, places[1]), (10, len(strings.data)), (11, 24), (14, soname),
            (0x6FFFFFF0, places[3]), (0x6FFFFFFC, places[4]), (0x6FFFFFFD, 2), (0, 0)]  # fmt: skip
    dynamic_at = at + len(body)
    body += b"".join(packing.pack("<QQ", tag, value) for tag, value in tags)
    head = b"\x7fELF\x02\x01\x01" + bytes(9)
    head += packing.pack("<HHIQQQIHHHHHH", 3, 62, 1, 0, 64, 0, 0, 64, 56, 2, 64, 0, 0)
    size = CODE_OFFSET + len(CODE)
    head += packing.pack("<IIQQQQQQ", EXECUTABLE_LOAD, 5, 0, 0, 0, size, size, 4096)
    dynamic_size = 16 * len(tags)
    head += packing.pack("<IIQQQQQQ", DYNAMIC, 4, dynamic_at, dynamic_at, dynamic_at, dynamic_size, dynamic_size, 8)
    image = head + body
    assert len(image) <= CODE_OFFSET
    image += bytes(CODE_OFFSET - len(image)) + CODE
    assert len(image) <= 4096
    return image


IMAGE: bytes = _build()


class Pages:
    """Frames of the data page and the code page; the kernel keeps a reference to both for ever."""

    data: u64
    code: u64

    def __init__(self) -> None:
        self.data = u64(0)
        self.code = u64(0)


pages = Pages()


def initialise() -> None:
    """Make both pages. Raises MemoryError."""
    from kaa.kernel.mm import buddy

    pages.data = buddy.allocate_zeroed()
    pages.code = buddy.allocate_zeroed()
    copy_bytes(paging.direct_map(pages.code << paging.PAGE_SHIFT), address_of(IMAGE), len(IMAGE))
    update()


def update() -> None:
    """Write the clock's factors into the data page, its sequence count being odd meanwhile. Under clock.writing, but
    at boot."""
    if pages.data == 0:
        return
    page = paging.direct_map(pages.data << paging.PAGE_SHIFT)
    sequence = Ptr[u32](page)
    words = Ptr[u64](page)
    sequence[0] = sequence[0] + 1
    compiler_barrier()
    words[1] = clock.state.base_tsc.load_relaxed()
    words[2] = clock.state.multiplier.load_relaxed()
    words[3] = u64(clock.state.offset_ns.load_relaxed())
    compiler_barrier()
    sequence[0] = sequence[0] + 1
