# SPDX-License-Identifier: Apache-2.0
"""DWARF, as much of it as source lines need, decoded fast.

`.debug_line` gives the rows (address → file and line), `.debug_info` only the functions and those that were inlined
into them; every other entry is skipped by sizes worked out once per abbreviation. Nesting need not be followed: an
inlined function's addresses lie within its caller's, so the chain at an address is what covers it, in the order of the
entries. DWARF 4 and 5 of clang and gcc, 64-bit little endian, 32-bit DWARF.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from kaa.compiler.elf import Elf, leb, number, signed_leb, text

SUBPROGRAM, INLINED, COMPILE_UNIT = 0x2E, 0x1D, 0x11
AT_NAME, AT_STMT_LIST, AT_LOW_PC, AT_HIGH_PC, AT_ORIGIN, AT_DECL_FILE, AT_DECL_LINE = (
    0x03,
    0x10,
    0x11,
    0x12,
    0x31,
    0x3A,
    0x3B,
)
AT_SPECIFICATION, AT_RANGES, AT_CALL_FILE, AT_CALL_LINE = 0x47, 0x55, 0x58, 0x59
AT_STR_OFFSETS_BASE, AT_ADDR_BASE, AT_RNGLISTS_BASE = 0x72, 0x73, 0x74
FORM_ADDR, FORM_STRING, FORM_STRP, FORM_SEC_OFFSET, FORM_LINE_STRP, FORM_IMPLICIT = 0x01, 0x08, 0x0E, 0x17, 0x1F, 0x21
FORM_STRX, FORM_ADDRX, FORM_RNGLISTX, FORM_SDATA = 0x1A, 0x1B, 0x23, 0x0D
FIXED = {
    0x01: 8, 0x0B: 1, 0x05: 2, 0x06: 4, 0x07: 8, 0x1E: 16, 0x0C: 1, 0x19: 0, 0x11: 1, 0x12: 2, 0x13: 4, 0x14: 8,
    0x0E: 4, 0x17: 4, 0x1F: 4, 0x25: 1, 0x26: 2, 0x27: 3, 0x28: 4, 0x29: 1, 0x2A: 2, 0x2B: 3, 0x2C: 4, 0x20: 8,
    0x21: 0, 0x10: 4, 0x1D: 4,
}  # fmt: skip
"""Bytes of each form that has a fixed size."""
LEB, BLOCK, BLOCK1, BLOCK2, BLOCK4, STRING = -1, -2, -3, -4, -5, -6
VARIABLE = {
    0x0F: LEB, 0x0D: LEB, 0x15: LEB, 0x1A: LEB, 0x1B: LEB, 0x22: LEB, 0x23: LEB, 0x09: BLOCK, 0x18: BLOCK, 0x0A: BLOCK1,
    0x03: BLOCK2, 0x04: BLOCK4, 0x08: STRING,
}  # fmt: skip
STRX = {0x1A, 0x25, 0x26, 0x27, 0x28}
ADDRX = {0x1B, 0x29, 0x2A, 0x2B, 0x2C}


@dataclass
class Scope:
    """A function of the C text: where its definition stands."""

    name: str
    file: str
    line: int


@dataclass
class Inlined:
    """A function that was inlined: where it was called from, and its addresses."""

    scope: Scope
    file: str
    line: int
    ranges: list[tuple[int, int]]


@dataclass
class Routine:
    """A function with code, and what was inlined into it, callers first."""

    scope: Scope
    ranges: list[tuple[int, int]]
    inlined: list[Inlined] = field(default_factory=list[Any])


@dataclass
class Rows:
    """Rows of consecutive addresses: from addresses[i] on, places[i] is file << 32 | line; last, the end."""

    addresses: list[int] = field(default_factory=list[Any])
    places: list[int] = field(default_factory=list[Any])


@dataclass
class Abbreviation:
    """The shape of an entry: its attributes and forms; how to skip it (a number of bytes, or steps)."""

    tag: int
    attributes: list[tuple[int, int, int]]
    skip: int | tuple[int, ...]


def _skipping(forms: list[int]) -> int | tuple[int, ...]:
    """How to skip attributes: bytes if positive, kinds of variable size if negative."""
    steps: list[int] = []
    for form in forms:
        if form in FIXED:
            if steps and steps[-1] >= 0:
                steps[-1] += FIXED[form]
            else:
                steps.append(FIXED[form])
        else:
            steps.append(VARIABLE[form])
    if not steps:
        return 0
    return steps[0] if len(steps) == 1 and steps[0] >= 0 else tuple(steps)


def _skip(data: bytes, at: int, steps: tuple[int, ...]) -> int:
    """Past attributes of variable size."""
    for step in steps:
        if step >= 0:
            at += step
        elif step == LEB:
            while data[at] >= 0x80:
                at += 1
            at += 1
        elif step == BLOCK:
            size, at = leb(data, at)
            at += size
        elif step == STRING:
            at = data.index(0, at) + 1
        else:
            width = {BLOCK1: 1, BLOCK2: 2, BLOCK4: 4}[step]
            at += width + number(data, at, width)
    return at


class Unit:
    """One compilation unit of .debug_info; only its first entry is read at first."""

    def __init__(self, elf: Elf, at: int) -> None:
        self.elf, self.start = elf, at
        self.info = info = elf.section(".debug_info")
        length, self.version = struct.unpack_from("<IH", info, at)
        self.end = at + 4 + length
        if self.version >= 5:
            abbreviations, self.first = number(info, at + 8, 4), at + 12 + (8 if info[at + 6] in (4, 5) else 0)
        else:
            abbreviations, self.first = number(info, at + 6, 4), at + 11
        self.abbreviations_at = abbreviations
        self.plans: dict[int, Abbreviation] = {}
        self.bases = {AT_STR_OFFSETS_BASE: 8, AT_ADDR_BASE: 8, AT_RNGLISTS_BASE: 12}
        self.base_address = 0
        code, at = leb(info, self.first)
        self.root, self.after_root = self._attributes(at, self._first_plan(code))
        self.bases.update({k: v for k, (_, v) in self.root.items() if k in self.bases})
        self.name = self._string(*self.root[AT_NAME]) if AT_NAME in self.root else ""
        self.ranges = self._ranges(self.root)
        if AT_LOW_PC in self.root:
            self.base_address = self._address(*self.root[AT_LOW_PC])

    @property
    def stem(self) -> str:
        """The name of the C file, without folders and .c."""
        return self.name.rsplit("/", 1)[-1].removesuffix(".c")

    # ---- attributes --------------------------------------------------------------------------------------------------

    def _first_plan(self, wanted: int) -> Abbreviation:
        for code, plan in self._read_plans():
            if code == wanted:
                return plan
        raise ValueError(f"no abbreviation {wanted}")

    def _read_plans(self) -> Iterator[tuple[int, Abbreviation]]:
        data, at = self.elf.section(".debug_abbrev"), self.abbreviations_at
        while True:
            code, at = leb(data, at)
            if code == 0:
                return
            tag, at = leb(data, at)
            at += 1
            attributes: list[tuple[int, int, int]] = []
            while True:
                name, at = leb(data, at)
                form, at = leb(data, at)
                constant = 0
                if form == FORM_IMPLICIT:
                    constant, at = signed_leb(data, at)
                if name == 0 and form == 0:
                    break
                attributes.append((name, form, constant))
            yield code, Abbreviation(tag, attributes, _skipping([f for _, f, _ in attributes]))

    def _attributes(self, at: int, plan: Abbreviation) -> tuple[dict[int, tuple[int, int]], int]:
        """Attribute → (form, raw value; of a string or a block: its offset)."""
        info = self.info
        out: dict[int, tuple[int, int]] = {}
        for name, form, constant in plan.attributes:
            size = FIXED.get(form)
            if form == FORM_IMPLICIT:
                out[name] = form, constant
            elif size is not None:
                out[name] = form, int.from_bytes(info[at : at + size], "little") if size else 1
                at += size
            elif VARIABLE[form] == LEB:
                value, at = signed_leb(info, at) if form == FORM_SDATA else leb(info, at)
                out[name] = form, value
            else:
                out[name] = form, at
                at = _skip(info, at, (VARIABLE[form],))
        return out, at

    def _string(self, form: int, value: int) -> str:
        if form in STRX:
            at = self.bases[AT_STR_OFFSETS_BASE] + 4 * value
            return text(self.elf.section(".debug_str"), number(self.elf.section(".debug_str_offsets"), at, 4))
        section = {FORM_STRING: ".debug_info", FORM_STRP: ".debug_str", FORM_LINE_STRP: ".debug_line_str"}[form]
        return text(self.elf.section(section), value)

    def _address(self, form: int, value: int) -> int:
        if form in ADDRX:
            return number(self.elf.section(".debug_addr"), self.bases[AT_ADDR_BASE] + 8 * value, 8)
        return value

    def _ranges(self, attributes: dict[int, tuple[int, int]]) -> list[tuple[int, int]]:
        """The addresses of an entry; none if the linker dropped it."""
        if AT_RANGES in attributes:
            form, value = attributes[AT_RANGES]
            if self.version < 5:
                return self._old_ranges(value)
            if form == FORM_RNGLISTX:
                base = self.bases[AT_RNGLISTS_BASE]
                value = base + number(self.elf.section(".debug_rnglists"), base + 4 * value, 4)
            return self._range_list(value)
        if AT_LOW_PC not in attributes or AT_HIGH_PC not in attributes:
            return []
        low = self._address(*attributes[AT_LOW_PC])
        form, high = attributes[AT_HIGH_PC]
        return [(low, self._address(form, high) if form == FORM_ADDR or form in ADDRX else low + high)] if low else []

    def _range_list(self, at: int) -> list[tuple[int, int]]:
        data, base = self.elf.section(".debug_rnglists"), self.base_address
        out: list[tuple[int, int]] = []
        while True:
            kind = data[at]
            at += 1
            if kind == 0:
                return [(a, b) for a, b in out if a and b > a]
            if kind in (1, 2, 3, 4):
                first, at = leb(data, at)
                second, at = leb(data, at) if kind != 1 else (0, at)
                low = self._address(FORM_ADDRX, first) if kind != 4 else base + first
                if kind == 1:
                    base = low
                elif kind == 2:
                    out.append((low, self._address(FORM_ADDRX, second)))
                elif kind == 3 or base:
                    out.append((low, (low if kind == 3 else base) + second))
            elif kind == 5:
                base, at = number(data, at, 8), at + 8
            else:
                low, at = number(data, at, 8), at + 8
                second, at = (number(data, at, 8), at + 8) if kind == 6 else leb(data, at)
                out.append((low, second if kind == 6 else low + second))

    def _old_ranges(self, at: int) -> list[tuple[int, int]]:
        base = self.base_address
        out: list[tuple[int, int]] = []
        for low, high in struct.iter_unpack("<QQ", self.elf.section(".debug_ranges")[at:]):
            if low == high == 0:
                break
            if low == 0xFFFF_FFFF_FFFF_FFFF:
                base = high
            elif base or low:
                out.append((base + low, base + high))
        return out

    # ---- functions ---------------------------------------------------------------------------------------------------

    def routines(self, files: list[str]) -> list[Routine]:
        """The unit's functions that have code, with what was inlined into them."""
        known: dict[int, dict[int, tuple[int, int]]] = {}
        scopes: dict[int, Scope] = {}

        def scope(at: int) -> Scope:
            if at not in scopes:
                have = known.get(at, {})
                found = have.get(AT_ORIGIN) or have.get(AT_SPECIFICATION)
                base = scope(found[1] + self.start) if found else Scope("?", "", 0)
                scopes[at] = Scope(
                    self._string(*have[AT_NAME]) if AT_NAME in have else base.name,
                    files[have[AT_DECL_FILE][1]] if AT_DECL_FILE in have else base.file,
                    have[AT_DECL_LINE][1] if AT_DECL_LINE in have else base.line,
                )
            return scopes[at]

        out: list[Routine] = []
        raw: list[tuple[int, int, dict[int, tuple[int, int]], list[tuple[int, int]]]] = []
        for at, tag, attributes in self._entries():
            ranges = self._ranges(attributes)
            if tag == SUBPROGRAM:
                known[at] = attributes
            if ranges:
                raw.append((at, tag, attributes, ranges))
        for at, tag, attributes, ranges in raw:
            if tag == SUBPROGRAM:
                out.append(Routine(scope(at), ranges))
            elif out and any(low <= ranges[0][0] < high for low, high in out[-1].ranges):
                file, line = attributes.get(AT_CALL_FILE, (0, 0))[1], attributes.get(AT_CALL_LINE, (0, 0))[1]
                origin = scope(attributes[AT_ORIGIN][1] + self.start)
                out[-1].inlined.append(Inlined(origin, files[file], line, ranges))
        return out

    def _entries(self) -> Iterator[tuple[int, int, dict[int, tuple[int, int]]]]:
        """Offset, tag and attributes of the functions and the inlined ones, in order; the rest is skipped."""
        plans = dict(self._read_plans())
        skips = {code: None if plan.tag in (SUBPROGRAM, INLINED) else plan.skip for code, plan in plans.items()}
        info, at, end = self.info, self.after_root, self.end
        while at < end:
            start = at
            code = info[at]
            at += 1
            if code == 0:
                continue
            if code >= 0x80:
                code, at = leb(info, start)
            skip = skips[code]
            if skip is None:
                attributes, at = self._attributes(at, plans[code])
                yield start, plans[code].tag, attributes
            else:
                at = at + skip if isinstance(skip, int) else _skip(info, at, skip)

    def lines(self) -> tuple[list[str], list[Rows]]:
        """The unit's files by number, and its rows."""
        return Program(self.elf, self.root[AT_STMT_LIST][1]).run() if AT_STMT_LIST in self.root else ([], [])


def units(elf: Elf) -> list[Unit]:
    """All compilation units."""
    size, at = len(elf.section(".debug_info")), 0
    out: list[Unit] = []
    while at < size:
        out.append(Unit(elf, at))
        at = out[-1].end
    return out


class Program:
    """A line-number program."""

    def __init__(self, elf: Elf, at: int) -> None:
        self.elf = elf
        self.data = data = elf.section(".debug_line")
        length, self.version = struct.unpack_from("<IH", data, at)
        self.end = at + 4 + length
        at += 6 + (2 if self.version >= 5 else 0)
        self.start = at + 4 + number(data, at, 4)
        self.least = data[at + 4]
        at += 5 + (1 if self.version >= 4 else 0)
        self.line_base, self.line_range, self.opcode_base = struct.unpack_from("<bBB", data, at + 1)
        self.lengths = [0, *data[at + 4 : at + 3 + self.opcode_base]]
        self.header = at + 3 + self.opcode_base

    def files(self) -> list[str]:
        """File names by number: relative where the debug information has them so."""
        if self.version < 5:
            return self._old_files()
        folders, at = self._table(self.header)
        names, _ = self._table(at)
        return [_joined([f for f, _ in folders], folder, name) for name, folder in names]

    def _table(self, at: int) -> tuple[list[tuple[str, int]], int]:
        """A table of names of version 5: (name, number of the folder)."""
        data = self.data
        formats: list[tuple[int, int]] = []
        out: list[tuple[str, int]] = []
        shapes = data[at]
        at += 1
        for _ in range(shapes):
            kind, at = leb(data, at)
            form, at = leb(data, at)
            formats.append((kind, form))
        count, at = leb(data, at)
        for _ in range(count):
            name, folder = "", 0
            for kind, form in formats:
                size = FIXED.get(form)
                value = at if size is None else number(data, at, size)
                if kind == 1:
                    section = {FORM_STRING: ".debug_line", FORM_LINE_STRP: ".debug_line_str", FORM_STRP: ".debug_str"}[
                        form
                    ]
                    name = text(self.elf.section(section), value)
                elif kind == 2:
                    folder = leb(data, at)[0] if size is None else value
                at = at + size if size is not None else _skip(data, at, (VARIABLE[form],))
            out.append((name, folder))
        return out, at

    def _old_files(self) -> list[str]:
        data, at, folders, out = self.data, self.header, [""], ["?"]
        while data[at]:
            folders.append(text(data, at))
            at = data.index(0, at) + 1
        at += 1
        while data[at]:
            name = text(data, at)
            folder, at = leb(data, data.index(0, at) + 1)
            at = _skip(data, at, (LEB, LEB))
            out.append(_joined(folders, folder, name))
        return out

    def run(self) -> tuple[list[str], list[Rows]]:
        """Files and rows; a row is kept where file or line change, rows of line 0 are not."""
        data, at, end, base = self.data, self.start, self.end, self.opcode_base
        moves = [divmod(op - base, self.line_range) if op >= base else (0, 0) for op in range(256)]
        ahead = [a * self.least for a, _ in moves]
        down = [b + self.line_base for _, b in moves]
        out: list[Rows] = []
        rows = Rows()
        address, place, last = 0, 1 << 32 | 1, -1
        while at < end:
            op = data[at]
            at += 1
            if op >= base:
                address += ahead[op]
                place += down[op]
            elif op == 2 or op == 3:
                value, at = leb(data, at) if op == 2 else signed_leb(data, at)
                if op == 2:
                    address += value * self.least
                else:
                    place += value
                continue
            elif op == 4:
                value, at = leb(data, at)
                place = value << 32 | place & 0xFFFF_FFFF
                continue
            elif op == 8:
                address += ahead[255]
                continue
            elif op == 0:
                size, at = leb(data, at)
                if data[at] == 2:
                    address = number(data, at + 1, size - 1)
                elif data[at] == 1:
                    rows.addresses.append(address)
                    out.append(rows)
                    rows, address, place, last = Rows(), 0, 1 << 32 | 1, -1
                at += size
                continue
            elif op != 1:
                at = at + 2 if op == 9 else _skip(data, at, (LEB,) * self.lengths[op])
                address += number(data, at - 2, 2) if op == 9 else 0
                continue
            if place != last and place & 0xFFFF_FFFF:
                rows.addresses.append(address)
                rows.places.append(place)
                last = place
        return self.files(), [r for r in out if r.places and r.addresses[0]]


def _joined(folders: list[str], folder: int, name: str) -> str:
    """A file's name with its folder, unless that is where the compiler ran."""
    if name.startswith("/") or not 0 < folder < len(folders):
        return name
    return f"{folders[folder]}/{name}"


Chain = list[tuple[Scope, str, int]]
"""Innermost first: in which function, at which file and line."""


def places(elf: Elf, unit: Unit) -> Callable[[int], Chain]:
    """A function that gives the chain at an address of the unit. With -g1, functions into which nothing was inlined
    have no entry: their scope has no name."""
    files, rows = unit.lines()
    rows.sort(key=lambda r: r.addresses[0])
    starts = [r.addresses[0] for r in rows]
    routines = sorted(((low, high, r) for r in unit.routines(files) for low, high in r.ranges), key=lambda t: t[0])
    lows = [low for low, _, _ in routines]

    def at(address: int) -> Chain:
        which = bisect_right(starts, address) - 1
        if which < 0 or address >= rows[which].addresses[-1]:
            return []
        owner = bisect_right(lows, address) - 1
        known = owner >= 0 and address < routines[owner][1]
        routine = routines[owner][2] if known else Routine(Scope("", "", 0), [])
        row = rows[which].places[bisect_right(rows[which].addresses, address) - 1]
        file, line = files[row >> 32], row & 0xFFFF_FFFF
        out: Chain = []
        covering = [i for i in routine.inlined if any(low <= address < high for low, high in i.ranges)]
        for inlined in reversed(covering):
            out.append((inlined.scope, file, line))
            file, line = inlined.file, inlined.line
        out.append((routine.scope, file, line))
        return out

    return at
