# SPDX-License-Identifier: Apache-2.0
"""The price of Python: how many instructions five kernel-like functions take in Kaa's Python and in hand-written C.

Both sides are compiled by the same C compiler with the same flags, those of a kernel (no vector registers). The
instructions between two markers are counted by count.c, which single-steps the program (ptrace(2)): exact, the same on
every run, nothing to install. Run it as `./kaa bench language [--cc zig|gcc|clang]`.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from subprocess import run as run_program

from rich.console import Console
from rich.table import Table

from kaa.compiler import hostrun
from kaa.compiler.pipeline import compile_program
from kaa.compiler.toolchain import DEFINED, Unit, compile_units, compiler
from kaa.compiler.toolchain import run as run_tool

HERE = Path(__file__).parent
BUILD = Path.home() / ".cache" / "kaa" / "price"
FLAGS = ["-O2", "-mgeneral-regs-only", "-fno-stack-protector"]
"""Those of the kernel's image, and what it takes to have the same instructions from a compiler for this machine."""
FLAGS_OF = {
    "zig": ["-mcpu=baseline", "-fno-vectorize", "-fno-slp-vectorize"],
    "clang": ["-march=x86-64", "-fno-vectorize", "-fno-slp-vectorize"],
    "gcc": ["-march=x86-64", "-fno-tree-vectorize"],
}
GOAL, GOAL_UNCHECKED = 1.10, 1.00
CASES = {
    "buddy": "buddy: 64 allocate, 64 free",
    "tree": "B-tree: 100 look-ups",
    "path": "path walk: hash, dictionary",
    "checksum_words": "Internet checksum: words, unsafe",
    "checksum": "Internet checksum: bytes, safe",
    "descriptors": "descriptors: 60 install, 80 close",
}


@dataclass
class Count:
    """One program's run: its instructions, and the number that it worked out."""

    instructions: int
    result: int


def build_c(cc: str) -> Path:
    """price.c as a program."""
    out = BUILD / cc / "price-c"
    out.parent.mkdir(parents=True, exist_ok=True)
    run_tool([*compiler(cc, True), *DEFINED, *FLAGS, *FLAGS_OF[cc], str(HERE / "price.c"), "-o", str(out)])
    return out


def build_counter(cc: str) -> Path:
    """count.c as a program."""
    out = BUILD / cc / "count"
    out.parent.mkdir(parents=True, exist_ok=True)
    run_tool([*compiler(cc, True), "-O1", str(HERE / "count.c"), "-o", str(out)])
    return out


def build_kaa(cc: str, unchecked: bool) -> Path:
    """price.py as a program, with the language's checks or without."""
    path = HERE / "price.py"
    functions = hostrun.entries(hostrun.load(path))
    compiled = compile_program([], str(HERE), ("kaaprog_",), functions)
    names = {f.__name__: f"kt_{compiled.program.function(f).cname}" for f in functions}
    declared = "".join(f"u32 {symbol}(void);\n" for symbol in names.values())
    table = ", ".join(f'{{"{name}", {symbol}}}' for name, symbol in names.items())
    entries = f'#include "kaa.h"\nstruct entry {{ const char *name; u32 (*run)(void); }};\n{declared}'
    entries += f"struct entry kaa_entries[] = {{{table}, {{0, 0}}}};\n"
    units = [*compiled.units, Unit("kaa_entries", entries), Unit("host_runtime", hostrun.RUNTIME.read_text())]
    flags = [*FLAGS, *FLAGS_OF[cc], *(["-DKAA_UNCHECKED"] if unchecked else [])]
    folder = BUILD / cc / ("unchecked" if unchecked else "checked")
    objects = compile_units(units, folder, cc, flags, host=True)
    run_tool([*compiler(cc, True), *map(str, objects), "-o", str(folder / "price")])
    return folder / "price"


def count(counter: Path, program: Path, case: str) -> Count:
    """Runs one case under the counter."""
    done = run_program([str(counter), str(program), case], capture_output=True, text=True, check=False)
    words = done.stdout.split()
    if done.returncode or len(words) < 2:
        sys.exit(f"{program} {case}: {done.stderr or done.stdout}")
    numbers = [int(word) for word in words if word.lstrip("-").isdigit()]
    return Count(numbers[-1], numbers[0])


def row(counter: Path, programs: list[Path], case: str) -> list[int]:
    """Instructions of C, Kaa, Kaa unchecked. The three must have worked out the same."""
    counts = [count(counter, programs[0], case)]
    counts += [count(counter, program, f"case_{case}") for program in programs[1:]]
    if len({each.result for each in counts}) != 1:
        sys.exit(f"{case}: C and Kaa disagree: {counts}")
    return [each.instructions for each in counts]


def table(rows: dict[str, list[int]], cc: str) -> Table:
    """The figures side by side."""
    made = Table(title=f"The price of Python: instructions, {cc} {' '.join(FLAGS)}")
    for heading in ("", "C", "Kaa", "ratio", "Kaa unchecked", "ratio"):
        made.add_column(heading, justify="left" if not heading else "right")
    for case, (c, kaa, unchecked) in rows.items():
        checked_cells = f"{kaa:,}", _ratio(kaa / c, GOAL)
        unchecked_cells = f"{unchecked:,}", _ratio(unchecked / c, GOAL_UNCHECKED)
        made.add_row(CASES[case], f"{c:,}", *checked_cells, *unchecked_cells)
    return made


def _ratio(ratio: float, goal: float) -> str:
    return f"[{'green' if ratio <= goal + 0.005 else 'red'}]{ratio:.2f}[/]"


def main() -> int:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cc", default="zig", choices=["zig", "gcc", "clang"])
    cc = parser.parse_args().cc
    counter = build_counter(cc)
    programs = [build_c(cc), build_kaa(cc, unchecked=False), build_kaa(cc, unchecked=True)]
    Console().print(table({case: row(counter, programs, case) for case in CASES}, cc))
    return 0


if __name__ == "__main__":
    sys.exit(main())
