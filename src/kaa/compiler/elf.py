# SPDX-License-Identifier: Apache-2.0
"""ELF files: sections and functions; and the numbers and strings that tables in them are made of."""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

STT_FUNC, STT_FILE = 2, 4


def leb(data: bytes, at: int) -> tuple[int, int]:
    """An unsigned LEB128 number and where it ends."""
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def signed_leb(data: bytes, at: int) -> tuple[int, int]:
    """A signed LEB128 number and where it ends."""
    start = at
    value, at = leb(data, at)
    if data[at - 1] & 0x40:
        value -= 1 << (7 * (at - start))
    return value, at


def number(data: bytes, at: int, size: int) -> int:
    return int.from_bytes(data[at : at + size], "little")


def text(data: bytes, at: int) -> str:
    """A NUL-terminated string."""
    return data[at : data.index(0, at)].decode("utf-8", "replace")


@dataclass
class Symbol:
    """A function, or a label of assembly that no function contains. `unit`: the C file of a local symbol."""

    address: int
    size: int
    name: str
    unit: str


class Elf:
    """An ELF64 file: its sections, its functions."""

    def __init__(self, path: Path) -> None:
        self.data = data = path.read_bytes()
        if data[:6] != b"\x7fELF\x02\x01":
            raise ValueError(f"{path} is not a 64-bit little-endian ELF file")
        (start,) = struct.unpack_from("<Q", data, 0x28)
        size, count, names = struct.unpack_from("<HHH", data, 0x3A)
        headers = [struct.unpack_from("<IIQQQQIIQQ", data, start + i * size) for i in range(count)]
        strings = headers[names][4] if headers else 0
        self.headers = headers
        self.by_name = {text(data, strings + h[0]): i for i, h in enumerate(headers)}
        self._contents: dict[str, bytes] = {}

    def section(self, name: str) -> bytes:
        """A section's bytes, empty if there is no such section."""
        if name not in self._contents:
            header = self.headers[self.by_name[name]] if name in self.by_name else None
            present = header is not None and header[1] != 8
            self._contents[name] = self.data[header[4] : header[4] + header[5]] if header and present else b""
        return self._contents[name]

    def address(self, name: str) -> int:
        """Where a section is loaded."""
        return self.headers[self.by_name[name]][3] if name in self.by_name else 0

    def symbols(self) -> Iterator[tuple[int, int, int, int, int]]:
        """Name offset, info, section, value, size of every symbol."""
        for name, info, _, section, value, size in struct.iter_unpack("<IBBHQQ", self.section(".symtab")):
            yield name, info, section, value, size

    def symbol(self, wanted: str) -> int | None:
        """The value of one symbol."""
        strings = self.section(".strtab")
        at = strings.find(b"\0" + wanted.encode() + b"\0") + 1
        return next((value for name, _, _, value, _ in self.symbols() if name == at), None) if at else None

    def functions(self) -> list[Symbol]:
        """What has code in .text, by address."""
        strings, section = self.section(".strtab"), self.by_name.get(".text", -1)
        unit = ""
        found: list[Symbol] = []
        labels: list[Symbol] = []
        for name, info, where, value, size in self.symbols():
            if info == STT_FILE:
                unit = text(strings, name)
            elif where == section and info & 15 in (0, STT_FUNC):
                made = Symbol(value, size, text(strings, name), unit if info >> 4 == 0 else "")
                (found if info & 15 == STT_FUNC else labels).append(made)
        end = self.address(".text") + len(self.section(".text"))
        found.sort(key=lambda s: s.address)
        starts = [s.address for s in found]
        for label in labels:
            at = bisect_right(starts, label.address) - 1
            inside = at >= 0 and label.address <= starts[at] + found[at].size - (1 if found[at].size else 0)
            if label.address < end and not inside and label.name != "kaa_text_start":
                found.append(label)
        found.sort(key=lambda s: (s.address, -s.size))
        for symbol, after in zip(found, [*[s.address for s in found[1:]], end], strict=False):
            symbol.size = symbol.size or after - symbol.address
        return found
