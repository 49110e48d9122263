# SPDX-License-Identifier: Apache-2.0
"""What `./kaa trace` makes of the kernel's text."""

from __future__ import annotations

import json
import pathlib
import xml.etree.ElementTree as ElementTree

import pytest

from kaa.host import cli, trace_locks, trace_sched, trace_sharing
from kaa.host.errors import Refusal

LOCKS = """cycles_per_second 1000000000
pipe\t100\t0\t0\t0\t5000\t70
<zone> & co\t1000\t250\t2000000\t3000\t4000000000\t10
"""
SCHED = (
    "0\t1000\tswitch\t0\t7\t0\tsh\n"
    "0\t3000\twake\t8\t1\t0\tsort\n"
    "1\t3500\tswitch\t0\t8\t0\tsort\n"
    "0\t5000\tswitch\t7\t0\t1\tidle\n"
    "1\t9000\tmove\t9\t0\t0\tx<y>\n"
)


def test_lock_classes_are_sorted_by_the_time_waited() -> None:
    zone, pipe = trace_locks.parse(LOCKS)
    assert (zone.name, pipe.name) == ("<zone> & co", "pipe")
    assert zone.share == 0.25 and zone.waited == 0.002 and zone.held == 4.0 and zone.longest_hold == 1e-8
    assert trace_locks.cells(zone) == ("<zone> & co", "1,000", "250 (25.0%)", "2 ms", "3 us", "4 s", "10 ns")
    assert trace_locks.cells(pipe)[2:5] == ("-", "-", "-")


@pytest.mark.parametrize("text", ["", "x\n", "cycles_per_second 0\npipe\t1\t1\t1\t1\t1\t1\n", LOCKS + "half\t1\n"])
def test_counts_that_make_no_sense_are_refused(text: str) -> None:
    with pytest.raises(Refusal, match="cannot be read"):
        trace_locks.parse(text)


def test_the_picture_of_locks_is_whole_and_escaped() -> None:
    page = trace_locks.page(trace_locks.parse(LOCKS), "sh -c '<b>'")
    assert "&lt;zone&gt; &amp; co" in page and "<zone>" not in page and "&lt;b&gt;" in page
    assert "http" not in page, "it needs nothing else"


def test_stints_are_between_switches_of_a_processor() -> None:
    first, second = trace_sched.stints(trace_sched.parse(SCHED))
    assert (first.cpu, first.start, first.end, first.task, first.name, first.why) == (0, 1000, 5000, 7, "sh", "asleep")
    assert (second.cpu, second.start, second.end, second.task) == (1, 3500, 9000, 8)
    assert "end of the trace" in second.why


def test_perfettos_file_has_rows_for_processors_and_boxes_for_stints() -> None:
    events = trace_sched.parse(SCHED)
    trace = json.loads(trace_sched.perfetto(events, trace_sched.stints(events)))["traceEvents"]
    assert [e["args"]["name"] for e in trace if e["ph"] == "M"] == ["Kaa", "CPU 0", "CPU 1"]
    boxes = [e for e in trace if e["ph"] == "X"]
    assert [(e["tid"], e["ts"], e["dur"], e["name"]) for e in boxes] == [(0, 1.0, 4.0, "sh 7"), (1, 3.5, 5.5, "sort 8")]
    assert [e["cat"] for e in trace if e["ph"] == "i"] == ["wake", "move"]


def test_the_timeline_is_well_formed() -> None:
    events = trace_sched.parse(SCHED)
    runs = trace_sched.stints(events)
    tree = ElementTree.fromstring(trace_sched.svg(runs, [0, 1], 1000, 9000))
    assert len(tree.findall("{http://www.w3.org/2000/svg}rect")) == 2
    assert "x&lt;y&gt;" not in trace_sched.page(events, runs, "sh") and "<y>" not in trace_sched.page(
        events, runs, "sh"
    )
    assert trace_sched.times(runs) == [("sort 8", 5500, 1, 1), ("sh 7", 4000, 1, 1)]


def test_a_line_that_is_no_event_is_refused() -> None:
    for text in ("0\t1\tjump\t1\t2\t0\tx\n", "0\t1\n", "a\t1\twake\t1\t2\t0\tx\n"):
        with pytest.raises(Refusal, match="cannot be read"):
            trace_sched.parse(text)


@pytest.mark.parametrize("words", [["trace", "true"], ["trace", "--locks", "--sched", "true"]])
def test_one_of_both_must_be_chosen(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(words) == 2
    assert capsys.readouterr().err == "kaa: trace: choose --locks, --sched or --sharing\n"


def test_a_folder_that_is_not_there_is_told(capsys: pytest.CaptureFixture[str], tmp_path: pathlib.Path) -> None:
    assert cli.main(["trace", "--sched", "-o", str(tmp_path / "no" / "x"), "true"]) == 2
    assert capsys.readouterr().err.startswith(f"kaa: --output {tmp_path}/no/x: there is no folder")


COUNTS = "ffffffff80000010 1 2 100\nffffffff80000014 5 0 100\nffffffff80000400 0 4 7\n"


def test_moved_lines_are_added_up_by_source_line() -> None:
    counted = trace_sharing.parse(COUNTS)
    assert [(hex(address), place.moved) for address, place in counted] == [
        ("0xffffffff80000014", 5), ("0xffffffff80000400", 4), ("0xffffffff80000010", 3),
    ]  # fmt: skip
    lines = trace_sharing.by_line(counted, lambda address: "a.py:1 f" if address < 0xFFFFFFFF80000100 else "b.py:2 g")
    assert lines == [trace_sharing.Place("a.py:1 f", 6, 2, 100), trace_sharing.Place("b.py:2 g", 0, 4, 7)]


@pytest.mark.parametrize("text", ["x\n", "10 1 2\n", "10 1 2 three\n"])
def test_counts_of_the_plugin_that_make_no_sense_are_refused(text: str) -> None:
    with pytest.raises(Refusal, match="cannot be read"):
        trace_sharing.parse(text)
