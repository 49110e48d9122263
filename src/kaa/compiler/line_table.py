# SPDX-License-Identifier: Apache-2.0
"""The table of source lines that the kernel's tracebacks are made from (format: kaa/kernel/arch/traceback.py).

    python -m kaa.compiler.line_table ELF ADDRESS…     what a traceback would say of some addresses

Sites are the return addresses of all calls, `ud2` and the starts of functions (for faults anywhere: the kernel takes
the nearest site before). What was found of a unit is kept beside the ELF under the name of its object, which is a hash
of its content; so after a change of one file, one unit is decoded. A site that has the frames of the one before, within
the 64 bytes that the kernel looks back, is left out.
"""

from __future__ import annotations

import hashlib
import marshal
import os
import re
import sys
from bisect import bisect_right
from collections.abc import Iterator
from pathlib import Path

from kaa.compiler import dwarf, elf, line_format, python_lines, short_words
from kaa.compiler.elf import Elf, Symbol
from kaa.compiler.line_format import HEADER_WORDS, REACH, Frame
from kaa.compiler.python_lines import Sources

IMAGE_BASE = 0xFFFF_FFFF_8000_0000
LARGEST = 720_000
TEXT_LENGTH = 80
CALL, TRAP, RELEASE, START = range(4)
CALLS = re.compile(rb"(?=(\xe8|\x0f\x0b|\xff[\x10-\x17\x50-\x57\x90-\x97\xd0-\xd7]))")
RELEASES = ("kaa_object_free", "kaa_buffer_free", "kaa_drop_bytes")
GLUE = re.compile(r"k[dst]_")
ROOT = Path(__file__).resolve().parents[3]

Line = tuple[str, str, int]
"""Name, file, line of a frame. Line 0: that of the definition."""
Lines = tuple[Line, ...]
UNKNOWN: Lines = (("?", "?", 0),)
Site = tuple[int, int, Lines]
"""Address (or offset in a function), kind, frames innermost first."""
Found = dict[str, tuple[int, list[Site]]]
"""Of each function: its size, its sites."""


# ---- calls in machine code -------------------------------------------------------------------------------------------


def _indirect(code: bytes, at: int) -> int:
    """Where an indirect call (ff /2) ends."""
    modrm = code[at + 1] if at + 1 < len(code) else 0xD0
    mode, register = modrm >> 6, modrm & 7
    if mode == 3:
        return at + 2
    size = 2 + (register == 4) + (0, 1, 4)[mode]
    if mode == 0 and (register == 5 or register == 4 and at + 2 < len(code) and code[at + 2] & 7 == 5):
        size += 4
    return at + size


def _kind(called: str) -> int:
    if called in ("kaa_trap", "kaa_trap_text"):
        return TRAP
    return RELEASE if called.startswith("kd_") or called in RELEASES else CALL


def sites(code: bytes, address: int, starts: dict[int, str]) -> Iterator[tuple[int, int, int]]:
    """Of a function: offset of a site, its kind, offset of the byte whose row tells its line. Direct calls go to the
    start of a function, which tells them from other e8 bytes; a few indirect ones may be none: 8 bytes each."""
    for match in CALLS.finditer(code):
        at, first = match.start(), match[1][0]
        if first == 0xE8:
            called = starts.get(address + at + 5 + int.from_bytes(code[at + 1 : at + 5], "little", signed=True))
            if called is not None:
                yield at + 5, _kind(called), at + 4
        elif first == 0x0F:
            yield at, TRAP, at
        else:
            end = _indirect(code, at)
            yield end, CALL, end - 1


# ---- frames of a unit ------------------------------------------------------------------------------------------------


class UnitFrames:
    """Turns the chains of one compilation unit into frames of Python."""

    def __init__(self, elf: Elf, unit: dwarf.Unit, sources: Sources, text: str) -> None:
        self.unit, self.sources, self.text = unit, sources, text
        self.at = dwarf.places(elf, unit)
        self.functions = python_lines.c_functions(text)
        self.contexts: dict[str, dict[python_lines.Place, list[tuple[str, python_lines.Place]]]] = {}
        self.known: dict[Lines, Lines] = {}

    def frames(self, address: int, symbol: str) -> Lines:
        """The frames at an address of a function, innermost first."""
        chain = self.at(address)
        out: list[Line] = []
        for i, (scope, file, line) in enumerate(chain):
            out += self._scope(scope.name or symbol, file, line, last=i == len(chain) - 1, inner=bool(out))
        made = tuple(out)
        return self.known.setdefault(made, made)

    def _scope(self, name: str, file: str, line: int, last: bool, inner: bool) -> list[Line]:
        """The frames of one C function: itself, and what Kaa expanded into it."""
        if GLUE.match(name):
            return self._glue(name, inner)
        if name in self.functions:
            return self._python(name, file, line)
        head = self.sources.head(file, line) if file.endswith(".py") else None
        if head is not None:
            return [(head.qualname, file, line)]
        return [(name, _c_file(file), line)] if last and not inner else []

    def _glue(self, name: str, inner: bool) -> list[Line]:
        """The end of an object, or a trampoline (left out where the function itself is inlined into it)."""
        found = self.sources.definition(name[3:])
        if name.startswith("kd_"):
            return [(f"<drop {found[1].qualname}>", found[0], 0)] if found else [("<drop>", "?", 0)]
        if inner:
            return []
        return [(found[1].qualname, found[0], 0)] if found else [(name[3:], "?", 0)]

    def _python(self, name: str, file: str, line: int) -> list[Line]:
        function = self.functions[name]
        own = self.sources.head(function.file, function.line)
        qualname = own.qualname if own else name
        head = self.sources.head(file, line) if file.endswith(".py") else None
        if own is None or (head is own and file == function.file):
            return [(qualname, file, line)]
        if name not in self.contexts:
            self.contexts[name] = self.sources.contexts(function)
        callers = self.contexts[name].get((file, line))
        if head is None or callers is None:
            return [(qualname, function.file, function.line)]
        return [(head.qualname, file, line), *((caller, *place) for caller, place in callers)]

    def found(self, code: bytes, base: int, symbols: list[Symbol], starts: dict[int, str]) -> Found:
        """The sites of the unit's functions and of its functions in assembly."""
        naked = set(python_lines.NAKED.findall(self.text))
        out: Found = {}
        for symbol in symbols:
            inside = code[symbol.address - base : symbol.address - base + symbol.size]
            if symbol.name in naked:
                frames = self._naked(symbol.name)
                out[symbol.name] = (
                    symbol.size,
                    [(o, kind, frames) for o, kind, _ in ((0, START, 0), *sites(inside, symbol.address, starts))],
                )
            elif any(low <= symbol.address < high for low, high in self.unit.ranges):
                places = [(0, START, 0), *sites(inside, symbol.address, starts)]
                out[symbol.name] = (
                    symbol.size,
                    [(o, kind, self.frames(symbol.address + row, symbol.name)) for o, kind, row in places],
                )
        return out

    def _naked(self, symbol: str) -> Lines:
        file, head = self.sources.assembly.get(symbol, ("?", None))
        return ((head.qualname if head else symbol, file, 0),)


def _c_file(file: str) -> str:
    name = file.rsplit("/", 1)[-1]
    return "src/kaa/compiler/emit/kaa.h" if name == "kaa.h" else name


def unit_text(folder: Path, unit: dwarf.Unit) -> str:
    """The C text of a unit, empty if it is not there."""
    beside = folder / "c" / f"{unit.stem}.c"
    path = beside if beside.is_file() else Path(unit.name)
    return path.read_text() if path.is_file() else ""


# ---- what is known of units, by object -------------------------------------------------------------------------------


class Known:
    """What was found of units before: name of the object → its functions."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "line_table.cache"
        files = (__file__, elf.__file__, dwarf.__file__, python_lines.__file__, short_words.__file__)
        self.version = hashlib.sha256(b"".join(Path(f or "").read_bytes() for f in files)).hexdigest()
        objects = sorted((folder / "obj").glob("*.o")) if (folder / "obj").is_dir() else []
        self.objects = {p.stem.rpartition("-")[0]: p.stem for p in objects}
        self.units: dict[str, Found] = {}
        self.shorts: dict[str, bytes] = {}
        """Texts in short_words"""
        if self.path.is_file():
            self._load()
        self.changed = False

    def _load(self) -> None:
        try:
            version, units, shorts = marshal.loads(self.path.read_bytes())
        except (ValueError, EOFError, TypeError):
            return
        if version == self.version:
            current = set(self.objects.values())
            self.units = {k: v for k, v in units.items() if k in current}
            self.shorts = shorts

    def of(self, stem: str) -> Found | None:
        return self.units.get(self.objects.get(stem, ""))

    def add(self, stem: str, found: Found) -> None:
        """Keeps what was found, if the unit has an object; functions that this link left out stay known."""
        key = self.objects.get(stem, f"{stem}.c")
        self.units[key] = {**self.units.get(key, {}), **found}
        self.objects.setdefault(stem, key)
        self.changed = True

    def save(self) -> None:
        """Writes it down, whole."""
        if self.changed:
            fresh = self.path.with_suffix(f".{os.getpid()}.tmp")
            fresh.write_bytes(
                marshal.dumps(
                    (self.version, {k: v for k, v in self.units.items() if not k.endswith(".c")}, self.shorts)
                )
            )
            fresh.rename(self.path)


class Finder:
    """All sites of an ELF."""

    def __init__(self, path: Path, root: Path) -> None:
        self.folder = path.parent
        self.elf, self.sources, self.known = Elf(path), Sources(root), Known(path.parent)
        self.symbols = self.elf.functions()
        self.starts = {s.address: s.name for s in self.symbols}
        self.functions: Found = {}

    def sites(self) -> list[Site]:
        """Every site, by address."""
        self._look()
        missing = [s for s in self.symbols if self._have(s) is None]
        if missing:
            self._decode(missing)
            self._look()
        out: dict[int, Site] = {}
        for symbol in self.symbols:
            have = self._have(symbol) or (symbol.size, [(0, START, ((symbol.name, "?", 0),))])
            for offset, kind, frames in have[1]:
                address = symbol.address + offset
                if frames and (offset or address not in out):
                    out[address] = address, kind, frames
        return [site for _, site in sorted(out.items())]

    def _look(self) -> None:
        for stem in self.known.objects:
            self.functions.update(self.known.of(stem) or {})

    def _have(self, symbol: Symbol) -> tuple[int, list[Site]] | None:
        """What is known of a function; a local one by its unit, since names repeat."""
        functions = (self.known.of(symbol.unit.removesuffix(".c")) or {}) if symbol.unit else self.functions
        found = functions.get(symbol.name)
        return found if found is not None and found[0] == symbol.size else None

    def _decode(self, missing: list[Symbol]) -> None:
        """Decodes the units that functions are missing of. Assembly has no debug information: the C text names it."""
        code, base = self.elf.section(".text"), self.elf.address(".text")
        addresses = [s.address for s in missing]
        bare = set(addresses)
        units = dwarf.units(self.elf)
        wanted: list[dwarf.Unit] = []
        for unit in units:
            before = len(bare)
            for low, high in unit.ranges:
                bare.difference_update(addresses[bisect_right(addresses, low - 1) : bisect_right(addresses, high - 1)])
            if len(bare) < before or self.known.of(unit.stem) is None:
                wanted.append(unit)
        for unit in wanted:
            text = unit_text(self.folder, unit)
            have = UnitFrames(self.elf, unit, self.sources, text)
            mine = self._symbols_of(unit, set(python_lines.NAKED.findall(text)))
            self.known.add(unit.stem, have.found(code, base, mine, self.starts))

    def _symbols_of(self, unit: dwarf.Unit, naked: set[str]) -> list[Symbol]:
        starts = [s.address for s in self.symbols]
        out = [s for s in self.symbols if s.name in naked] if naked else []
        for low, high in unit.ranges:
            out += self.symbols[bisect_right(starts, low - 1) : bisect_right(starts, high - 1)]
        return out


# ---- the table -------------------------------------------------------------------------------------------------------


class Texts:
    """Frames as they are shown, each found once."""

    def __init__(self, sources: Sources) -> None:
        self.sources = sources
        self._known: dict[Line, Frame] = {}

    def frame(self, line: Line) -> Frame:
        """A frame with its source text, cut if it is long."""
        found = self._known.get(line)
        if found is None:
            found = self._known[line] = shown(line, self.sources, TEXT_LENGTH)
        return found


class Table:
    """The contents of .kaa_lines but for the source texts, which are chosen to fit."""

    def __init__(self, found: list[Site], texts: Texts, base: int) -> None:
        self.wanted = found
        self.found = list(_different(found))
        self.base = base
        self.strings: dict[str, int] = {"?": 0}
        self.functions: dict[tuple[str, str], int] = {}
        """Name and file."""
        self.frames: dict[Frame, int] = {}
        self.links: list[int] = []
        """Numbers of frames, twice; and 1: it was inlined into the next."""
        self.chains: dict[Lines, int] = {}
        self.texts: dict[str, int] = {}
        for frames in sorted(dict.fromkeys(frames for _, _, frames in self.found), key=len, reverse=True):
            self._add(frames, texts)
        for name, file in self.functions:
            self.strings.setdefault(file, len(self.strings))
            self.strings.setdefault(name, len(self.strings))
        self.size = self._most()

    def _add(self, frames: Lines, texts: Texts) -> None:
        """A chain; its ends are chains too, so that others can share them."""
        if frames in self.chains:
            return
        first = len(self.links)
        for i, line in enumerate(frames):
            self.chains.setdefault(frames[i:], first + i)
            frame = texts.frame(line)
            self.functions.setdefault((frame.name, frame.file), len(self.functions))
            number = self.frames.setdefault(frame, len(self.frames))
            self.links.append(number << 1 | (i + 1 < len(frames)))

    def _most(self) -> int:
        """As large as it may get without texts: if nothing gets shorter."""
        width = line_format.width
        last = self.found[-1][0] - self.base if self.found else 0
        site = width(last) + width(len(self.links))
        string = width(len(self.strings) + len(self.frames))
        frame = width(len(self.functions)) + string + width(max((frame.line for frame in self.frames), default=0))
        numbers = site * len(self.found) + width(2 * len(self.frames)) * len(self.links)
        numbers += frame * len(self.frames) + 2 * string * len(self.functions)
        return 4 * HEADER_WORDS + numbers + sum(len(s) + 2 for s in self.strings) + short_words.SIZE

    def fill(self, texts: Texts, room: int) -> bool:
        """Takes source texts as far as they fit: of traps first, then those of most sites. False if traps' do not."""
        order: dict[str, int] = {}
        for _, kind, frames in self.wanted:  # also those that are found through a site before, be it only a start
            for i, line in enumerate(frames if kind != START else ()):
                text = texts.frame(line).text
                order[text] = order.get(text, 0) + (1000 if kind == TRAP and i == 0 else 1)
        order.pop("", None)
        for text in sorted(order, key=lambda t: -order[t]):
            if text not in self.strings:
                room -= len(text) + 2
                if room < 0:
                    return order[text] < 1000
                self.strings[text] = len(self.strings)
            self.texts[text] = self.strings[text]
        return True

    def data(self, shorts: dict[str, bytes]) -> bytes:
        """The bytes of the section; `shorts` are texts in short words as far as they are known."""
        columns = (
            [address - self.base for address, _, _ in self.found],
            [self.chains[frames] for _, _, frames in self.found],
            self.links,
            [self.functions[frame.name, frame.file] for frame in self.frames],
            [self.texts.get(frame.text, 0) for frame in self.frames],
            [frame.line for frame in self.frames],
            [self.strings[name] for name, _ in self.functions],
            [self.strings[file] for _, file in self.functions],
        )
        return line_format.write(columns, short_words.shorten(self.strings, shorts))


def _different(found: list[Site]) -> Iterator[Site]:
    """Leaves out sites that the kernel finds through the one before."""
    last, before = -REACH - 1, ()
    for site in found:
        if site[2] != before or site[0] - last > REACH:
            last, before = site[0], site[2]
            yield site


def shown(frame: Line, sources: Sources, length: int = 1000) -> Frame:
    """A frame with its source text; a line of 0 becomes that of the definition."""
    name, file, line = frame
    if not file.endswith(".py"):
        return Frame(name, file, line, "")
    source = sources.source(file)
    if line == 0:
        wanted = name.removeprefix("<drop ").removesuffix(">")
        line = next((h.line for h in source.heads if h.qualname == wanted), 0)
    text = source.line(line)
    return Frame(name, file, line, text if len(text) <= length else text[: length - 3].rstrip() + "...")


def encode(
    found: list[Site], sources: Sources, base: int, largest: int = LARGEST, shorts: dict[str, bytes] | None = None
) -> bytes:
    """The table of some sites. If it gets too large, texts other than those of traps go first, then the sites of
    releases (the line of a call before is shown), then what functions' starts say ("?": faults before the first call),
    then texts of traps."""
    texts, shorts = Texts(sources), {} if shorts is None else shorts
    few = [site for site in found if site[1] != RELEASE]
    least = [(address, kind, UNKNOWN if kind == START else frames) for address, kind, frames in few]
    made = Table(found, texts, base)
    for fewer in (few, least):
        if made.fill(texts, largest - made.size):
            return made.data(shorts)
        made = Table(fewer, texts, base)
    made.fill(texts, largest - made.size)
    return made.data(shorts)


def table(bare: Path, root: Path) -> bytes:
    """The contents of .kaa_lines for a linked ELF."""
    finder = Finder(bare, root)
    base = finder.elf.symbol("kaa_image_base")
    known = finder.known
    made = encode(finder.sites(), finder.sources, IMAGE_BASE if base is None else base, shorts=known.shorts)
    known.save()
    return made


def c_source(bare: Path, root: Path) -> str:
    """C text that defines section .kaa_lines. The data are in a file beside the ELF, named by its hash: so the text
    changes when they do."""
    data = table(bare, root)
    name = f"kaa_lines-{hashlib.sha256(data).hexdigest()[:16]}.bin"
    path = bare.parent.resolve() / name
    for old in bare.parent.glob("kaa_lines-*.bin"):
        if old.name != name:
            old.unlink(missing_ok=True)
    if not path.is_file() or path.read_bytes() != data:
        path.write_bytes(data)
    quoted = str(path).replace("\\", "\\\\").replace('"', '\\"')
    section = '.pushsection .kaa_lines,\\"a\\",@progbits\\n.balign 16\\n'
    return (
        "/* The table of source lines: made by kaa.compiler.line_table. */\n"
        f'__asm__("{section}.globl kaa_line_table\\nkaa_line_table:\\n"\n'
        f'        ".incbin \\"{quoted}\\"\\n.popsection\\n");\n'
    )


# ---- reading ---------------------------------------------------------------------------------------------------------


def read(data: bytes, offset: int) -> list[Frame]:
    """What the kernel finds in a table for an address less kaa_image_base: frames, innermost first."""
    return list(line_format.Reader(data).frames(offset))


def lookup(elf: Path, address: int, root: Path = ROOT) -> list[Frame]:
    """The frames at an address, innermost first: by the debug information (an address right after a call is taken as a
    return address), or where there is none by the table in the file (which may have lost its sections)."""
    file = Elf(elf)
    unit = next((u for u in dwarf.units(file) if any(low <= address - 1 < high for low, high in u.ranges)), None)
    if unit is None:
        base = file.symbol("kaa_image_base") if ".symtab" in file.by_name else None
        data = file.section(".kaa_lines") or line_format.table_in(file.data)
        return read(data, address - (IMAGE_BASE if base is None else base))
    sources = Sources(root)
    symbols = file.functions()
    owner = symbols[bisect_right([s.address for s in symbols], address - 1) - 1]
    start = owner.address - file.address(".text")
    code = file.section(".text")[start : start + owner.size]
    rows = {offset: row for offset, _, row in sites(code, owner.address, {s.address: s.name for s in symbols})}
    row = rows.get(address - owner.address)
    frames = UnitFrames(file, unit, sources, unit_text(elf.parent, unit))
    return [shown(f, sources) for f in frames.frames(address if row is None else owner.address + row, owner.name)]


def main(arguments: list[str], root: Path = ROOT) -> int:
    """The command line."""
    if len(arguments) < 2:
        print(__doc__)
        return 2
    for word in arguments[1:]:
        frames = lookup(Path(arguments[0]), int(word, 16), root)
        print(f"{word}:", *reversed(frames), *([] if frames else ["  nothing is known of it"]), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
