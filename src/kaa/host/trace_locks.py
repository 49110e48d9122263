# SPDX-License-Identifier: Apache-2.0
"""The counts of /proc/kaa/locks, as a table and as a picture: one HTML file that needs nothing else."""

from __future__ import annotations

import dataclasses
import html
import pathlib
import shlex

from rich.table import Table

from kaa.host import terminal
from kaa.host.errors import Refusal

HEADINGS = ("lock class", "acquired", "contended", "waited", "longest wait", "held", "longest hold")
MICROSECOND, MILLISECOND, SECOND = 1e-6, 1e-3, 1.0


@dataclasses.dataclass(frozen=True)
class LockClass:
    """One class of locks. Times in seconds."""

    name: str
    acquired: int
    contended: int
    waited: float
    longest_wait: float
    held: float
    longest_hold: float

    @property
    def share(self) -> float:
        """Of the acquisitions, those that had to wait."""
        return self.contended / self.acquired if self.acquired else 0.0


def parse(text: str) -> list[LockClass]:
    """The classes, those that were waited for longest first. Raises Refusal when this is not the kernel's text."""
    lines = text.splitlines()
    try:
        word, rate = lines[0].split()
        if word != "cycles_per_second":
            raise ValueError
        hertz = int(rate)
        found: list[LockClass] = []
        for line in lines[1:]:
            name, *cells = line.split("\t")
            acquired, contended, waited, longest_wait, held, longest_hold = map(int, cells)
            found.append(LockClass(name, acquired, contended, waited / hertz, longest_wait / hertz, held / hertz,
                                   longest_hold / hertz))
    except (ValueError, IndexError, ZeroDivisionError):
        raise Refusal("the kernel's lock counts cannot be read") from None
    return sorted(found, key=lambda c: (-c.waited, -c.acquired, c.name))


def duration(seconds: float) -> str:
    """With three digits and a fitting unit."""
    for unit, size in (("s", SECOND), ("ms", MILLISECOND), ("us", MICROSECOND)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e9:.0f} ns" if seconds else "-"


def cells(c: LockClass) -> tuple[str, ...]:
    """A row of the table."""
    contended = f"{c.contended:,} ({c.share:.1%})" if c.contended else "-"
    return (c.name, f"{c.acquired:,}", contended, duration(c.waited), duration(c.longest_wait), duration(c.held),
            duration(c.longest_hold))


def table(classes: list[LockClass]) -> Table:
    """For the terminal."""
    shown = Table(title="locks, by the time they were waited for")
    for index, heading in enumerate(HEADINGS):
        shown.add_column(heading, justify="right" if index else "left", no_wrap=not index)
    for c in classes:
        shown.add_row(*cells(c), style="bold" if c.share > 0.01 else None)
    return shown


STYLE = """
body{font:14px system-ui,sans-serif;margin:2em;color:#222;background:#fff}table{border-collapse:collapse}
td,th{padding:.25em .8em;text-align:right;border-bottom:1px solid #ddd;white-space:nowrap}
td:first-child,th:first-child{text-align:left}tr:hover{background:#f4f7ff}.bar{width:22em;text-align:left}
.bar i{display:inline-block;height:.9em;vertical-align:middle}.w{background:#d33}.h{background:#69c}
@media(prefers-color-scheme:dark){body{color:#ddd;background:#181818}td,th{border-color:#333}tr:hover{background:#242a35}}
"""


def page(classes: list[LockClass], command: str) -> str:
    """The picture: for each class a bar of the time waited (red) and the time held (blue)."""
    largest = max((max(c.waited, c.held) for c in classes), default=0.0) or 1.0
    rows: list[str] = []
    for c in classes:
        bars = "".join(f'<i class="{kind}" style="width:{max(value / largest * 100, 0.2 if value else 0):.2f}%" '
                       f'title="{title} {duration(value)}"></i><br>'
                       for kind, value, title in (("w", c.waited, "waited"), ("h", c.held, "held")))
        data = "".join(f"<td>{html.escape(cell)}</td>" for cell in cells(c))
        rows.append(f'<tr>{data}<td class="bar">{bars}</td></tr>')
    heads = "".join(f"<th>{html.escape(heading)}</th>" for heading in (*HEADINGS, "waited, held"))
    return (f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Kaa: locks of {html.escape(command)}</title>'
            f"<style>{STYLE}</style><h1>Locks</h1><p><code>{html.escape(command)}</code>. Red: the time that was "
            "waited for locks of the class, all processors together. Blue: the time they were held.</p>"
            f"<table><tr>{heads}</tr>{''.join(rows)}</table></html>\n")


def show(text: str, words: list[str], picture: pathlib.Path) -> None:
    """The table on standard error, the picture in a file. The command's own output stays what it is."""
    classes = parse(text)
    picture.write_text(page(classes, shlex.join(words)))
    console = terminal.console(120, stderr=True)
    console.print(table(classes))
    console.print(f"picture: {picture}", highlight=False)
