# SPDX-License-Identifier: Apache-2.0
"""`./kaa bench scaling`: what it reads out of the machines' text, and what it makes of that."""

from __future__ import annotations

import io

from rich.console import Console

from kaa.host import scaling

PRINTED = (
    "SeaBIOS\r\n\r\ngetppid 1 1000\r\nwaits getppid 1 0 900 -\r\ngetppid 2 1900\r\nwaits getppid 2 0 1710 -\r\n"
    "mmap 1 500\r\nwaits mmap 1 0 450 -\r\nmmap 2 400\r\nwaits mmap 2 720 360 address space\r\nSCALING-DONE\r\n"
)
LINUX = "getppid 1 100\ngetppid 2 150\nmmap 1 50\nmmap 2 60\nSCALING-DONE\n"


def test_rates_and_waits_are_read() -> None:
    assert scaling.rates_in(PRINTED) == {
        ("getppid", 1): [1000.0], ("getppid", 2): [1900.0], ("mmap", 1): [500.0], ("mmap", 2): [400.0],
    }  # fmt: skip
    assert scaling.waits_in(PRINTED, 2) == {"getppid": (0.0, "-"), "mmap": (2000.0, "address space")}
    assert scaling.waits_in(PRINTED, 4) == {} and scaling.waits_in(LINUX, 2) == {}


def test_the_median_of_the_rounds_counts() -> None:
    rates = scaling.together(scaling.rates_in("a 1 10\na 2 19\na 1 20\na 2 36\n"), scaling.rates_in("a 1 8\na 2 4\n"))
    assert rates == {("a", 1): [10.0, 20.0, 8.0], ("a", 2): [19.0, 36.0, 4.0]}
    up = scaling.speed_ups(rates, 2)["a"]
    assert up.median == 1.8 and str(up) == "1.80 ± 0.35"
    assert scaling.SpeedUp.of([2.0], [3.0]) == scaling.SpeedUp(1.5, 0.0)


def test_the_table_shows_speed_ups_beside_linux_and_waits() -> None:
    made = scaling.table(scaling.rates_in(PRINTED), scaling.rates_in(LINUX), scaling.waits_in(PRINTED, 2), 2)
    text = io.StringIO()
    Console(file=text, width=160).print(made)
    cells = {line.split("│")[1].strip(): [cell.strip() for cell in line.split("│")[2:-1]]
             for line in text.getvalue().splitlines() if line.startswith("│")}
    assert cells["getppid"] == ["1.90 ± 0.00", "1.50 ± 0.00", "1,000", "100", "10.00", "0.00 -"]
    assert cells["mmap"] == ["0.80 ± 0.00", "1.20 ± 0.00", "500", "50", "10.00", "2000.00 address space"]
