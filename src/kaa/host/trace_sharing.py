# SPDX-License-Identifier: Apache-2.0
"""Where cache lines move from processor to processor: what sharing_plugin.c counted, as a table of source lines.

A line that one processor wrote and another wants takes as long as a hundred instructions, on every machine with more
than one processor, and no lock statistics show it: reference counts, list neighbours, two objects in one line.
"""

from __future__ import annotations

import dataclasses
import pathlib
import shlex
from collections.abc import Callable

from rich.table import Table

from kaa.compiler import line_table
from kaa.host import c_programs, paths, terminal
from kaa.host.errors import Refusal

SOURCE = pathlib.Path(__file__).with_name("sharing_plugin.c")
PLUGIN = paths.BUILD / "sharing.so"
SHOWN = 30
CANDIDATES = 120
"""Instructions whose source lines are looked up: the next ones move too little to matter."""
CHAIN = 4
"""Functions that are named of those that were inlined into each other."""


@dataclasses.dataclass
class Place:
    """An instruction, or all of a source line. How often it read a line that another processor had written, wrote one
    that others had, and ran."""

    where: str
    read: int
    wrote: int
    ran: int

    @property
    def moved(self) -> int:
        """Lines that came from other processors."""
        return self.read + self.wrote


def plugin() -> pathlib.Path:
    """The plugin, compiled if need be. Raises Refusal."""
    return c_programs.built(SOURCE, PLUGIN, ["-O2", "-shared", "-fPIC", "-Wall", "-Werror"])


def parse(text: str) -> list[tuple[int, Place]]:
    """(address, counts) of each instruction, those that move most first. Raises Refusal."""
    found: list[tuple[int, Place]] = []
    try:
        for row in text.splitlines():
            address, read, wrote, ran = row.split()
            found.append((int(address, 16), Place("", int(read), int(wrote), int(ran))))
    except ValueError:
        raise Refusal("the plugin's counts cannot be read") from None
    return sorted(found, key=lambda item: (-item[1].moved, item[0]))


def by_line(counted: list[tuple[int, Place]], name: Callable[[int], str]) -> list[Place]:
    """The source lines that move most, by what `name` says of an address."""
    lines: dict[str, Place] = {}
    for address, place in counted[:CANDIDATES]:
        where = name(address)
        line = lines.setdefault(where, Place(where, 0, 0, 0))
        line.read += place.read
        line.wrote += place.wrote
        line.ran = max(line.ran, place.ran)
    return sorted(lines.values(), key=lambda line: -line.moved)


def namer(image: pathlib.Path) -> Callable[[int], str]:
    """Says of an address in a kernel: file:line, the functions (innermost first), the source."""
    def name(address: int) -> str:
        frames = line_table.lookup(image, address + 1)  # which takes it as a return address
        if not frames:
            return f"{address:#x}"
        functions = " ← ".join(frame.name for frame in frames[:CHAIN])
        inner = frames[0]
        return f"{inner.file.removeprefix('src/kaa/')}:{inner.line} {functions}\n    {inner.text}".rstrip()
    return name


def table(lines: list[Place], total: int, words: list[str]) -> Table:
    """What is shown."""
    made = Table(title=f"cache lines that moved between processors: {total:,} ({shlex.join(words)})")
    for heading in ("moved", "share", "read", "wrote", "ran", "where"):
        made.add_column(heading, justify="left" if heading == "where" else "right", overflow="fold")
    for line in lines[:SHOWN]:
        made.add_row(f"{line.moved:,}", f"{line.moved / max(total, 1):.1%}", f"{line.read:,}", f"{line.wrote:,}",
                     f"{line.ran:,}", line.where, style=None)
    return made


def show(text: str, words: list[str], image: pathlib.Path) -> None:
    """The table, on standard error. `image`: the kernel, with what it knows of its source lines."""
    counted = parse(text)
    total = sum(place.moved for _, place in counted)
    terminal.console(160, stderr=True, markup=False).print(
        table(by_line(counted, namer(image)), total, words))
