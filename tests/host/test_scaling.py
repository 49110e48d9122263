# SPDX-License-Identifier: Apache-2.0
"""`./kaa bench scaling`: what it reads out of the machines' text, and what it makes of that."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from kaa.host import scaling
from kaa.host.scaling import Round, SpeedUp

PRINTED = (
    "SeaBIOS\r\n\r\ngetppid 1 1000 500\r\nwaits getppid 1 0 900 -\r\ngetppid 2 1900 505\r\n"
    "waits getppid 2 0 1710 -\r\nmmap 1 500 500\r\nwaits mmap 1 0 450 -\r\nmmap 2 400 500\r\n"
    "waits mmap 2 720 360 address space\r\nSCALING-DONE\r\n"
)
LINUX = "getppid 1 100 500\ngetppid 2 150 500\nmmap 1 50 500\nmmap 2 60 900\nSCALING-DONE\n"


def test_rounds_and_waits_are_read() -> None:
    assert scaling.rounds_in(PRINTED) == {
        ("getppid", 1): [Round(1000, 500)], ("getppid", 2): [Round(1900, 505)],
        ("mmap", 1): [Round(500, 500)], ("mmap", 2): [Round(400, 500)],
    }  # fmt: skip
    assert scaling.waits_in(PRINTED, 2) == {"getppid": (0.0, "-"), "mmap": (2000.0, "address space")}
    assert scaling.waits_in(PRINTED, 4) == {} and scaling.waits_in(LINUX, 2) == {}


def test_pairs_that_the_host_disturbed_are_left_out() -> None:
    first = scaling.rounds_in("a 1 10 500\na 2 19 500\na 1 20 510\na 2 36 500\n")
    rounds = scaling.together(first, scaling.rounds_in("a 1 5 800\na 2 18 500\na 1 10 500\na 2 9 900\n"))
    assert scaling.undisturbed_ns(rounds) == 500 and scaling.undisturbed_ns({}) == 0
    assert scaling.undisturbed(rounds, 2, 500) == {"a": [(10, 19), (20, 36)]}
    assert scaling.undisturbed(rounds, 2, 800) == {"a": [(10, 19), (20, 36), (5, 18)]}


def test_one_lucky_arithmetic_does_not_make_all_others_disturbed() -> None:
    rounds = {("a", 2): [Round(1, 300), *[Round(1, 500)] * 99]}
    assert scaling.undisturbed_ns(rounds) == 500


def test_the_median_of_the_pairs_counts() -> None:
    up = scaling.SpeedUp.of([(10, 19), (20, 36), (10, 18), (10, 17), (10, 40)])
    assert up is not None and up.median == 1.8 and up.pairs == 5 and up.error > 0 and str(up).startswith("1.80 ± ")
    assert scaling.SpeedUp.of([(10, 19)] * (scaling.FEWEST - 1)) is None
    assert scaling.SpeedUp.of([(10, 19)] * scaling.FEWEST) == scaling.SpeedUp(1.9, 0.0, scaling.FEWEST)


@pytest.mark.parametrize(("ours", "theirs", "colour"), [
    (SpeedUp(1.9, 0.01, 9), SpeedUp(1.9, 0.01, 9), "green"), (SpeedUp(1.9, 0.01, 9), SpeedUp(1.92, 0.01, 9), "default"),
    (SpeedUp(1.9, 0.01, 9), SpeedUp(1.95, 0.01, 9), "red"), (None, SpeedUp(1.9, 0.01, 9), "default"),
    (SpeedUp(1.9, 0.01, 9), None, "default"),
])  # fmt: skip
def test_a_row_is_behind_when_chance_does_not_explain_it(
    ours: SpeedUp | None, theirs: SpeedUp | None, colour: str
) -> None:
    assert scaling.colour(ours, theirs) == colour


def test_the_table_shows_speed_ups_beside_linux_and_waits() -> None:
    kaa, linux = scaling.rounds_in(PRINTED * 4), scaling.rounds_in(LINUX * 4)
    text = io.StringIO()
    Console(file=text, width=160).print(scaling.table(kaa, linux, scaling.waits_in(PRINTED, 2), 2))
    assert "of 4 each" in text.getvalue()
    cells = {line.split("│")[1].strip(): [cell.strip() for cell in line.split("│")[2:-1]]
             for line in text.getvalue().splitlines() if line.startswith("│")}
    assert cells["getppid"] == ["1.90 ± 0.00", "1.50 ± 0.00", "4, 4", "1,000", "100", "10.00", "0.00 -"]
    assert cells["mmap"] == ["0.80 ± 0.00", "?", "4, 0", "500", "-", "-", "2000.00 address space"]
