# SPDX-License-Identifier: Apache-2.0
"""The events of /proc/kaa/sched: who ran where when, as a timeline (one HTML file with an SVG) and as a file that
Perfetto (https://ui.perfetto.dev) and chrome://tracing open.

Source of the second format: "Trace Event Format", the Chromium project; complete events (X) and instants (i).
"""

from __future__ import annotations

import dataclasses
import html
import json
import pathlib
import shlex
import zlib
from collections import defaultdict

from rich.console import Console
from rich.table import Table

from kaa.host.errors import Refusal

STATES = {0: "ready", 1: "asleep", 2: "blocked", 4: "stopped", 8: "blocked", 64: "ended"}
WIDTH, ROW, LEFT = 1400, 26, 70
MOST_BOXES = 20_000
IDLE = 0


@dataclasses.dataclass(frozen=True)
class Event:
    """One line of the kernel's. `time` in ns."""

    cpu: int
    time: int
    kind: str
    task: int
    other: int
    state: int
    name: str


@dataclasses.dataclass(frozen=True)
class Stint:
    """A task on a processor, from `start` to `end` (ns); `why` it ended."""

    cpu: int
    start: int
    end: int
    task: int
    name: str
    why: str


def parse(text: str) -> list[Event]:
    """All events in order of time. Raises Refusal when this is not the kernel's text."""
    events: list[Event] = []
    try:
        for line in text.splitlines():
            cpu, time, kind, task, other, state, name = line.split("\t", 6)
            if kind not in ("switch", "wake", "move"):
                raise ValueError
            events.append(Event(int(cpu), int(time), kind, int(task), int(other), int(state), name))
    except ValueError:
        raise Refusal("the kernel's scheduler trace cannot be read") from None
    return sorted(events, key=lambda event: event.time)


def stints(events: list[Event]) -> list[Stint]:
    """Who ran where, without the idle tasks. What a processor did before its first event is not known."""
    running: dict[int, Event] = {}
    found: list[Stint] = []
    for event in events:
        if event.kind != "switch":
            continue
        before = running.get(event.cpu)
        if before is not None and before.other != IDLE:
            found.append(Stint(event.cpu, before.time, event.time, before.other, before.name,
                               STATES.get(event.state, "ready")))
        running[event.cpu] = event
    last = events[-1].time if events else 0
    found += [Stint(cpu, event.time, last, event.other, event.name, "at the end of the trace")
              for cpu, event in running.items() if event.other != IDLE]
    return sorted(found, key=lambda stint: stint.start)


KAA = 1
"""Perfetto takes process 0 for the idle task of a Linux."""


def perfetto(events: list[Event], runs: list[Stint]) -> str:
    """The trace-event file: one row for each processor, an arrow's worth of instants for wakes and moves."""
    cpus = sorted({event.cpu for event in events})
    out: list[dict[str, object]] = [{"ph": "M", "pid": KAA, "name": "process_name", "args": {"name": "Kaa"}}]
    for cpu in cpus:
        out.append({"ph": "M", "pid": KAA, "tid": cpu, "name": "thread_name", "args": {"name": f"CPU {cpu}"}})
    for run in runs:
        out.append({"ph": "X", "pid": KAA, "tid": run.cpu, "ts": run.start / 1000, "dur": (run.end - run.start) / 1000,
                    "name": f"{run.name} {run.task}", "cat": "sched", "args": {"task": run.task, "then": run.why}})
    for event in events:
        if event.kind != "switch":
            out.append({"ph": "i", "s": "t", "pid": KAA, "tid": event.cpu, "ts": event.time / 1000, "cat": event.kind,
                        "name": f"{event.kind} {event.name} {event.task}",
                        "args": {"task": event.task, "processor": event.other}})
    return json.dumps({"traceEvents": out, "displayTimeUnit": "ns"})


def colour(task: int, name: str) -> str:
    """The same for a name everywhere, a little different for each of its tasks."""
    hue = (zlib.crc32(name.encode()) + 7 * task) % 360
    return f"hsl({hue},55%,62%)"


def svg(runs: list[Stint], cpus: list[int], start: int, end: int) -> str:
    """The timeline."""
    scale = (WIDTH - LEFT) / max(end - start, 1)
    rows = {cpu: index for index, cpu in enumerate(cpus)}
    boxes: list[str] = []
    for run in sorted(runs, key=lambda r: r.end - r.start, reverse=True)[:MOST_BOXES]:
        x, width = LEFT + (run.start - start) * scale, max((run.end - run.start) * scale, 0.3)
        title = html.escape(f"{run.name} {run.task}: {(run.end - run.start) / 1000:.1f} us on CPU {run.cpu}, "
                            f"from {(run.start - start) / 1e6:.3f} ms; then {run.why}")
        boxes.append(f'<rect x="{x:.2f}" y="{rows[run.cpu] * ROW + 2}" width="{width:.2f}" height="{ROW - 6}" '
                     f'fill="{colour(run.task, run.name)}"><title>{title}</title></rect>')
        if width > 40:
            label = html.escape(run.name[: int(width / 8)])
            boxes.append(f'<text x="{x + 3:.2f}" y="{rows[run.cpu] * ROW + 15}" class="l">{label}</text>')
    heads = [f'<text x="4" y="{index * ROW + 16}">CPU {cpu}</text>' for cpu, index in rows.items()]
    height = ROW * len(cpus)
    marks: list[str] = []
    for tenth in range(11):
        x, ms = LEFT + (WIDTH - LEFT) * tenth / 10, (end - start) * tenth / 10 / 1e6
        marks.append(f'<line x1="{x:.0f}" x2="{x:.0f}" y1="0" y2="{height}" class="g"/>'
                     f'<text x="{x:.0f}" y="{height + 14}" text-anchor="middle" class="l">{ms:.3g} ms</text>')
    return (f'<svg viewBox="0 0 {WIDTH + 30} {height + 20}" width="100%" xmlns="http://www.w3.org/2000/svg">'
            f"{''.join(marks)}{''.join(boxes)}{''.join(heads)}</svg>")


STYLE = """
body{font:14px system-ui,sans-serif;margin:2em;color:#222;background:#fff}
svg text{font:12px system-ui;fill:currentColor}
svg .l{font-size:10px;pointer-events:none}svg rect+text.l{fill:#000}svg .g{stroke:#8884}
td,th{padding:.2em .8em;text-align:right}
td:first-child,th:first-child{text-align:left}@media(prefers-color-scheme:dark){body{color:#ddd;background:#181818}}
"""


def times(runs: list[Stint]) -> list[tuple[str, int, int, int]]:
    """(task, ns, stints, processors), those that ran longest first."""
    spent: dict[str, int] = defaultdict(int)
    count: dict[str, int] = defaultdict(int)
    where: dict[str, set[int]] = defaultdict(set)
    for run in runs:
        key = f"{run.name} {run.task}"
        spent[key] += run.end - run.start
        count[key] += 1
        where[key].add(run.cpu)
    return sorted(((key, spent[key], count[key], len(where[key])) for key in spent), key=lambda row: -row[1])


def page(events: list[Event], runs: list[Stint], command: str) -> str:
    """The picture, with a table of who ran how long below."""
    cpus = sorted({event.cpu for event in events})
    start, end = (events[0].time, events[-1].time) if events else (0, 1)
    rows = "".join(f"<tr><td>{html.escape(task)}</td><td>{ns / 1e6:.3f} ms</td><td>{n}</td><td>{places}</td></tr>"
                   for task, ns, n, places in times(runs))
    return (f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Kaa: who ran where in '
            f"{html.escape(command)}</title><style>{STYLE}</style><h1>Who ran where</h1><p><code>"
            f"{html.escape(command)}</code>: the last {(end - start) / 1e6:.3f} ms. Point at a box for its "
            f"task and why it stopped.</p>{svg(runs, cpus, start, end)}<table><tr><th>task</th><th>ran</th>"
            f"<th>times</th><th>processors</th></tr>{rows}</table></html>\n")


def show(text: str, words: list[str], picture: pathlib.Path, trace: pathlib.Path) -> None:
    """A table of who ran longest on standard error, the picture and Perfetto's file beside each other."""
    events = parse(text)
    if not events:
        raise Refusal("the kernel recorded no switch")
    runs = stints(events)
    picture.write_text(page(events, runs, shlex.join(words)))
    trace.write_text(perfetto(events, runs))
    table = Table(title=f"who ran in the last {(events[-1].time - events[0].time) / 1e6:.3f} ms")
    for index, heading in enumerate(("task", "ran", "times", "processors")):
        table.add_column(heading, justify="right" if index else "left")
    for task, ns, count, places in times(runs)[:20]:
        table.add_row(task, f"{ns / 1e6:.3f} ms", str(count), str(places))
    console = Console(stderr=True)
    console.print(table)
    console.print(f"picture: {picture}; for https://ui.perfetto.dev: {trace}", highlight=False)
