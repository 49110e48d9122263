# SPDX-License-Identifier: Apache-2.0
"""`./kaa bench`: the price of Python (`language`), and this kernel beside Linux (`linux`).

`linux` runs the yardstick in ../shared/bench (its README says what each row and column is) in its icount mode, where
the figures are counts of guest instructions and do not depend on the host, and compares with the better of Linux's two
recorded tables, row by row. Where the yardstick is not there, the figures kept in docs/figures are compared.
"""

from __future__ import annotations

import dataclasses
import pathlib
import runpy
import shlex
import subprocess
import sys

from kaa.host import build, paths
from kaa.host.errors import Refusal

LINUX_TABLES = ("linux-6.1.tsv", "linux-6.1-lean.tsv")
COLUMN = "icount"
GOAL = 0.6
FIGURES = paths.HOME / "docs" / "figures"
RECORDED = FIGURES / "kaa.tsv"
"""What the last recorded run of the yardstick gave; Linux's tables lie beside it."""
MORE_IS_BETTER = "MB/s"


def language(words: list[str]) -> int:
    """The price of Python: bench/language/run.py counts instructions of five functions in Kaa's Python and in C."""
    script = paths.HOME / "bench/language/run.py"
    if not script.is_file():
        raise Refusal("bench/language/run.py is not in this checkout")
    sys.argv = [str(script), *words]
    result = runpy.run_path(str(script))["main"]()
    return result if isinstance(result, int) else 0


@dataclasses.dataclass(frozen=True)
class Row:
    """One benchmark. `ratio` is ours to Linux's, turned so that less is better whatever the unit."""

    name: str
    unit: str
    linux: float
    ours: float | None
    note: str = ""

    @property
    def ratio(self) -> float | None:
        if self.ours is None or not self.ours or not self.linux:
            return None
        return self.linux / self.ours if self.unit == MORE_IS_BETTER else self.ours / self.linux


def read_table(path: pathlib.Path) -> dict[str, tuple[str, str]]:
    """{row: (unit, cell of COLUMN)} of one of the yardstick's tables."""
    rows: dict[str, tuple[str, str]] = {}
    columns: list[str] | None = None
    for line in path.read_text().splitlines():
        cells = line.split("\t")
        if line.startswith("#") or len(cells) < 3:
            continue
        if columns is None:
            columns = cells
        else:
            rows[cells[0]] = cells[1], cells[columns.index(COLUMN)]
    return rows


def _number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None


def compare(ours: pathlib.Path, linux: list[pathlib.Path]) -> list[Row]:
    """Our table beside the better figure of Linux's tables, in the order of Linux's."""
    tables = [read_table(path) for path in linux]
    mine = read_table(ours)
    rows: list[Row] = []
    for name, (unit, _) in tables[0].items():
        values = [value for table in tables if (value := _number(table.get(name, ("", "-"))[1])) is not None]
        if values and name in mine:
            best = max(values) if unit == MORE_IS_BETTER else min(values)
            cell = mine[name][1]
            rows.append(Row(name, unit, best, _number(cell), "" if _number(cell) is not None else cell))
    return rows


def markdown(rows: list[Row]) -> str:
    """The table for docs/performance.md."""
    lines = ["| row | unit | Linux 6.1 | Kaa | Kaa / Linux |", "| --- | --- | ---: | ---: | ---: |"]
    for row in rows:
        ratio = "-" if row.ratio is None else f"{row.ratio:.2f}"
        ours = row.note if row.ours is None else f"{row.ours:g}"
        lines.append(f"| {row.name} | {row.unit} | {row.linux:g} | {ours} | {ratio} |")
    return "\n".join(lines) + "\n"


def show(rows: list[Row]) -> None:
    from rich.console import Console
    from rich.table import Table
    table = Table(title=f"guest instructions, beside Linux 6.1 (the better of its two tables); goal {GOAL}")
    for heading in ("row", "unit", "Linux", "Kaa", "Kaa / Linux"):
        table.add_column(heading, justify="left" if heading in ("row", "unit") else "right")
    for row in rows:
        ratio = row.ratio
        colour = "red" if ratio is None or ratio > 1 else "green" if ratio <= GOAL else "yellow"
        table.add_row(row.name, row.unit, f"{row.linux:g}", row.note if row.ours is None else f"{row.ours:g}",
                      "-" if ratio is None else f"[{colour}]{ratio:.2f}[/]")
    Console().print(table)


def linux(words: list[str]) -> int:
    """Runs the yardstick on the kernel and prints the ratios. `words` go to linux_baseline.py (`--bench null_syscall
    …`, `--no-boot`). Without the yardstick: the recorded figures."""
    script = paths.YARDSTICK / "linux_baseline.py"
    table = paths.BUILD / "bench-kaa.tsv"
    if script.is_file():
        _measure(script, table, words)
    elif RECORDED.is_file() and not words:
        print(f"kaa: {script} is not there; the figures of {RECORDED.relative_to(paths.HOME)}:", file=sys.stderr)
        table = RECORDED
    else:
        raise Refusal(f"the yardstick {script} is not there")
    rows = compare(table, [FIGURES / name for name in LINUX_TABLES])
    show(rows)
    paths.BUILD.mkdir(exist_ok=True)
    (paths.BUILD / "bench-kaa.md").write_text(markdown(rows))
    return 0


def _measure(script: pathlib.Path, table: pathlib.Path, words: list[str]) -> None:
    """Boots the kernel under the yardstick; its figures go into `table`."""
    kernel = build.ensure()
    command = [sys.executable, str(script), "--kernel", str(kernel), "--label", "kaa", "--out", str(table),
               "--modes", COLUMN, "--append", "console=ttyS0 panic=-1", *words]
    print(f"kaa: {shlex.join(command)}", file=sys.stderr, flush=True)
    if subprocess.run(command).returncode:
        raise Refusal("the yardstick failed; its message is above")
