# SPDX-License-Identifier: Apache-2.0
"""The table of source lines in a linked image: from DWARF to section .kaa_lines (its format:
kaa/kernel/arch/traceback.py).

One site for every call's return address (DW_TAG_call_site, DWARF 5), so that a walk along the frame pointers can be
told as a Python traceback: the line, the functions that the C compiler inlined there, and, where this compiler itself
inlined Python functions (`@inline`, `with`, generators), the function that the code came from. Python names come from
the sources: the innermost `def` around a line. What a unit's debug information says, relative to its functions, is
kept beside its object, under the object's name.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import os
import pickle
import struct
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from elftools.dwarf.compileunit import CompileUnit
from elftools.dwarf.die import DIE
from elftools.dwarf.dwarfinfo import DWARFInfo
from elftools.elf.elffile import ELFFile

Place = tuple[str, int]
"""(source file, line)"""
Frame = tuple[str, int, str, str]
"""(source file, line, function, the line's text)"""
MAGIC = 0x314C414B
HEADER_WORDS = 8
IMAGE_BASE = "kaa_image_base"
NAMES_AT_MOST = 1 << 15
MORE = 1 << 31
VERSION = 2


@dataclass
class FunctionSites:
    """One C function: offsets of return addresses, and for each the frames from the innermost outwards."""

    sites: list[tuple[int, tuple[Frame, ...]]] = field(default_factory=list[Any])


@dataclass
class UnitSites:
    """One C file: its functions by their position in the unit's list of ranges."""

    functions: dict[int, FunctionSites] = field(default_factory=dict[int, FunctionSites])


class UnitReader:
    """Reads one compile unit's DWARF."""

    def __init__(self, dwarf: DWARFInfo, unit: CompileUnit, root: Path) -> None:
        self.dwarf = dwarf
        self.unit = unit
        self.root = root
        self.line_program: Any = dwarf.line_program_for_CU(unit)
        self.addresses: list[int] = []
        self.rows: list[tuple[int, int]] = []
        self._read_rows()

    def _read_rows(self) -> None:
        """The line table, sorted by address; a sequence's end is a row without a line."""
        rows: list[tuple[int, int, int]] = []
        for entry in self.line_program.get_entries():
            state = entry.state
            if state is not None:
                file, line = (0, 0) if state.end_sequence else (state.file, state.line)
                rows.append((state.address, file, line))
        rows.sort(key=lambda row: (row[0], row[1] != 0))
        self.addresses = [row[0] for row in rows]
        self.rows = [(row[1], row[2]) for row in rows]

    @functools.cached_property
    def files(self) -> list[str]:
        """The unit's files, relative to the sources' root where they lie in it."""
        header = self.line_program.header
        folders = [os.fsdecode(folder) for folder in header.include_directory]
        out: list[str] = []
        for entry in header.file_entry:
            path = os.path.join(self.root, folders[0], folders[entry.dir_index], os.fsdecode(entry.name))
            out.append(display_name(os.path.normpath(path), self.root))
        return out

    def place_of(self, address: int) -> Place | None:
        """The source of the instruction at an address."""
        at = bisect_right(self.addresses, address) - 1
        while at >= 0:
            file, line = self.rows[at]
            if line != 0:
                return self.files[file], line
            at -= 1
        return None

    def ranges(self, die: DIE) -> list[tuple[int, int]]:
        """The addresses of a function or of an inlined one."""
        attributes: dict[str, Any] = die.attributes
        if "DW_AT_ranges" in attributes:
            return range_list(self.dwarf, self.unit, attributes["DW_AT_ranges"].value)
        if "DW_AT_low_pc" in attributes and "DW_AT_high_pc" in attributes:
            low, high = attributes["DW_AT_low_pc"].value, attributes["DW_AT_high_pc"]
            return [(low, low + high.value if high.form.startswith("DW_FORM_data") else high.value)]
        return []

    def read(self, starts: list[int]) -> UnitSites:
        """All functions of the unit that the linker kept."""
        out = UnitSites()
        for die in self.unit.get_top_DIE().iter_children():
            if die.tag == "DW_TAG_subprogram":
                ranges = self.ranges(die)
                if ranges and ranges[0][0] in starts and ranges[0][0] != 0:
                    sites = self._function(die, ranges[0][0])
                    out.functions[starts.index(ranges[0][0])] = FunctionSites(sites)
        return out

    def _function(self, die: DIE, start: int) -> list[tuple[int, tuple[Frame, ...]]]:
        calls: list[int] = []
        inlined: list[tuple[int, int, int, Place | None, Place | None]] = []
        self._walk(die, 0, calls, inlined)
        outermost = self._declared(die)
        return [(address - start, self._chain(address - 1, inlined, outermost)) for address in sorted(set(calls))]

    def _walk(self, die: DIE, depth: int, calls: list[int],
              inlined: list[tuple[int, int, int, Place | None, Place | None]]) -> None:
        for child in die.iter_children():
            attributes: dict[str, Any] = child.attributes
            if child.tag == "DW_TAG_call_site":
                if "DW_AT_call_return_pc" in attributes:
                    calls.append(attributes["DW_AT_call_return_pc"].value)
            elif child.tag == "DW_TAG_inlined_subroutine":
                place = self._call_place(attributes)
                declared = self._declared(child)
                inlined.extend((low, high, depth, place, declared) for low, high in self.ranges(child))
                self._walk(child, depth + 1, calls, inlined)
            elif child.tag == "DW_TAG_lexical_block":
                self._walk(child, depth, calls, inlined)

    def _call_place(self, attributes: dict[str, Any]) -> Place | None:
        if "DW_AT_call_line" not in attributes or "DW_AT_call_file" not in attributes:
            return None
        return self.files[attributes["DW_AT_call_file"].value], attributes["DW_AT_call_line"].value

    def _declared(self, die: DIE) -> Place | None:
        """Where the function is defined."""
        while "DW_AT_abstract_origin" in die.attributes:
            die = die.get_DIE_from_attribute("DW_AT_abstract_origin")
        attributes: dict[str, Any] = die.attributes
        if "DW_AT_decl_line" not in attributes or "DW_AT_decl_file" not in attributes:
            return None
        return self.files[attributes["DW_AT_decl_file"].value], attributes["DW_AT_decl_line"].value

    def _chain(self, address: int, inlined: list[tuple[int, int, int, Place | None, Place | None]],
               outermost: Place | None) -> tuple[Frame, ...]:
        """The frames at an address, innermost first; each followed by its own function's where the code came from
        another."""
        around = sorted((entry for entry in inlined if entry[0] <= address < entry[1]), key=lambda entry: -entry[2])
        here = self.place_of(address)
        out: list[Place] = []
        for _, _, _, called_at, declared in around:
            _add(out, here, declared)
            here = called_at
        _add(out, here, outermost)
        return tuple((file, line, name_at(file, line), source_at(file, line)) for file, line in out)


def _add(out: list[Place], here: Place | None, declared: Place | None) -> None:
    """A frame; and, if this compiler inlined the code from another Python function, the function it was inlined
    into."""
    if here is not None and here[0].endswith(".py"):
        out.append(here)
        if declared is not None and declared[0].endswith(".py") and (
                declared[0] != here[0] or name_at(*declared) != name_at(*here)):
            out.append(declared)
    elif declared is not None and declared[0].endswith(".py"):
        out.append(declared)


class Sources:
    """The Python files that places are in. `root` is the folder that relative names start from."""

    root: Path = Path(".")


sources = Sources()


def display_name(path: str, root: Path) -> str:
    """`kaa/kernel/fs/pipe.py`: relative to src, or to the root, or as it is."""
    for base in (root / "src", root):
        if path.startswith(f"{base}/"):
            return path[len(str(base)) + 1:]
    return path


def _real(name: str) -> Path:
    inside = sources.root / "src" / name
    return inside if inside.exists() else sources.root / name


@functools.cache
def text_of(name: str) -> tuple[str, ...]:
    """A file's lines."""
    try:
        return tuple(_real(name).read_text().splitlines())
    except OSError:
        return ()


@functools.cache
def _definitions(name: str) -> list[tuple[int, int, str]]:
    """(first line, last line, name) of every function, outer before inner."""
    try:
        tree = ast.parse("\n".join(text_of(name)))
    except SyntaxError:
        return []
    found = [(min([node.lineno, *(d.lineno for d in node.decorator_list)]), node.end_lineno or node.lineno, node.name)
             for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
    return sorted(found, key=lambda entry: (entry[0], -entry[1]))


@functools.cache
def name_at(name: str, line: int) -> str:
    """The function around a line."""
    best = "<module>"
    for first, last, function in _definitions(name):
        if first > line:
            break
        if line <= last:
            best = function
    return best


@functools.cache
def source_at(name: str, line: int) -> str:
    """The text of a line."""
    lines = text_of(name)
    return lines[line - 1].strip() if 0 < line <= len(lines) else ""


def range_list(dwarf: DWARFInfo, unit: CompileUnit, offset: int) -> list[tuple[int, int]]:
    """The (low, high) pairs of a range list."""
    lists: Any = dwarf.range_lists()
    base, out = 0, list[tuple[int, int]]()
    for entry in lists.get_range_list_at_offset(offset, unit):
        if hasattr(entry, "base_address"):
            base = entry.base_address
        else:
            start = 0 if entry.is_absolute else base
            out.append((start + entry.begin_offset, start + entry.end_offset))
    return out


def unit_sites(dwarf: DWARFInfo, unit: CompileUnit, folder: Path, root: Path) -> Iterator[tuple[int, FunctionSites]]:
    """(address, sites) of a unit's functions, from what was kept of an equal object or from its DWARF."""
    top = unit.get_top_DIE()
    attributes: dict[str, Any] = top.attributes
    if "DW_AT_ranges" in attributes:
        starts = [low for low, _ in range_list(dwarf, unit, attributes["DW_AT_ranges"].value)]
    elif "DW_AT_low_pc" in attributes:
        starts = [attributes["DW_AT_low_pc"].value]
    else:
        return
    stem = Path(os.fsdecode(attributes["DW_AT_name"].value)).stem
    kept = _kept(folder, stem)
    known = _load(kept)
    if known is None or any(start != 0 and index not in known.functions for index, start in enumerate(starts)):
        known = UnitReader(dwarf, unit, root).read(starts)
        for index, start in enumerate(starts):
            if start != 0:
                known.functions.setdefault(index, FunctionSites())
        _keep(kept, known)
    for index, start in enumerate(starts):
        if start != 0:
            yield start, known.functions[index]


def _kept(folder: Path, stem: str) -> Path | None:
    """Where the sites of the unit's present object are kept."""
    objects = sorted((folder / "obj").glob(f"{stem}-*.o"), key=lambda path: path.stat().st_mtime)
    if not objects:
        return None
    return folder / "lines" / f"{objects[-1].stem}.{VERSION}"


def _load(path: Path | None) -> UnitSites | None:
    try:
        return pickle.loads(path.read_bytes()) if path is not None else None
    except (OSError, pickle.UnpicklingError, EOFError, AttributeError):
        return None


def _keep(path: Path | None, sites: UnitSites) -> None:
    if path is None:
        return
    path.parent.mkdir(exist_ok=True)
    for old in path.parent.glob(f"{path.name.rsplit('-', 1)[0]}-*"):
        old.unlink(missing_ok=True)
    fresh = path.with_suffix(f".{os.getpid()}")
    fresh.write_bytes(pickle.dumps(sites))
    fresh.rename(path)


class Strings:
    """Strings by number; 0 is "?"."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {"?": 0}

    def number(self, text: str, limit: int) -> int:
        """The string's number; 0 when there is no room below `limit`."""
        found = self.numbers.get(text)
        if found is None:
            found = len(self.numbers)
            if found >= limit:
                return 0
            self.numbers[text] = found
        return found if found < limit else 0

    def encode(self) -> tuple[bytes, bytes]:
        """(index, texts)"""
        index, texts = bytearray(), bytearray()
        for text in self.numbers:
            index += struct.pack("<I", len(texts))
            texts += text.encode() + b"\0"
        return bytes(index), bytes(texts)


def encode(sites: dict[int, tuple[Frame, ...]]) -> bytes:
    """The section's bytes; `sites` by address, relative to the image's base."""
    strings = Strings()
    frames = bytearray()
    starts: dict[tuple[Frame, ...], int] = {}
    ordered = sorted(sites.items())
    for name in sorted({frame[2] for _, chain in ordered for frame in chain}):
        strings.number(name, NAMES_AT_MOST)
    for file in sorted({frame[0] for _, chain in ordered for frame in chain}):
        strings.number(file, 1 << 16)
    for _, chain in ordered:
        if chain not in starts:
            starts[chain] = len(frames) // 8
            frames += _encode_chain(chain, strings)
    index, texts = strings.encode()
    body = b"".join(struct.pack("<I", address) for address, _ in ordered)
    body += b"".join(struct.pack("<I", starts[chain]) for _, chain in ordered)
    frames_at = 4 * HEADER_WORDS + len(body)
    header = struct.pack("<8I", MAGIC, len(ordered), len(frames) // 8, len(strings.numbers), frames_at,
                         frames_at + len(frames), 0, 0)
    return header + body + bytes(frames) + index + texts


def _encode_chain(chain: tuple[Frame, ...], strings: Strings) -> bytes:
    out = bytearray()
    for position, (file, line, function, text) in enumerate(chain):
        name, source = strings.number(function, NAMES_AT_MOST), strings.number(text, NAMES_AT_MOST)
        more = MORE if position + 1 < len(chain) else 0
        out += struct.pack("<II", name | source << 15 | more, min(line, 0xFFFF) | strings.number(file, 1 << 16) << 16)
    return bytes(out)


def table(image: Path, root: Path) -> bytes:
    """The section's bytes for a linked image."""
    sources.root = root
    for cached in (text_of, _definitions, name_at, source_at):
        cached.cache_clear()
    sites: dict[int, tuple[Frame, ...]] = {}
    with open(image, "rb") as file:
        elf = ELFFile(file)
        base = image_base(elf)
        dwarf: DWARFInfo = elf.get_dwarf_info()
        for unit in dwarf.iter_CUs():
            for start, function in unit_sites(dwarf, unit, image.parent, root):
                for offset, chain in function.sites:
                    if chain:
                        sites[start + offset - base] = chain
    return encode(sites)


def image_base(elf: ELFFile) -> int:
    """The address that sites are relative to."""
    symbols: Any = elf.get_section_by_name(".symtab")
    for symbol in symbols.get_symbol_by_name(IMAGE_BASE) or []:
        return symbol["st_value"]
    raise ValueError(f"the image has no symbol {IMAGE_BASE}")


def c_source(image: Path, root: Path) -> str:
    """A C file that puts the table into its section. The bytes lie beside the image; the text names their digest."""
    data = table(image, root)
    path = image.with_suffix(".lines")
    path.write_bytes(data)
    return (f"/* {len(data)} bytes, sha256 {hashlib.sha256(data).hexdigest()} */\n"
            f'__asm__(".section .kaa_lines,\\"a\\",@progbits\\n.incbin \\"{path.resolve()}\\"\\n.previous\\n");\n')


__all__ = ["c_source", "encode", "table"]
