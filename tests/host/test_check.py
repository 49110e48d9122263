# SPDX-License-Identifier: Apache-2.0
"""`./kaa check`: which tools run, what it says of them; what pyright is forgiven."""

from __future__ import annotations

import pathlib

import pytest

from kaa.host import check, strict_types

TOOLS = {
    "content": ["-c", "pass"],
    "picky": ["-c", "import sys; print('line 3: no'); sys.exit(1)"],
}


@pytest.fixture(autouse=True)
def tools(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "QUICK", {"content": TOOLS["content"]})
    monkeypatch.setattr(check, "SLOW", {"picky": TOOLS["picky"]})
    monkeypatch.setattr(check, "_proofs", lambda: ["-c", "print('proofs: nothing refused')"])


def test_the_quick_ones_alone_are_clean(capfd: pytest.CaptureFixture[str]) -> None:
    assert check.check(everything=False) == 0
    assert capfd.readouterr().out == "proofs: nothing refused\nclean\n"


def test_who_finds_something_is_shown_and_named(capfd: pytest.CaptureFixture[str]) -> None:
    assert check.check(everything=True) == 1
    assert capfd.readouterr().out == "proofs: nothing refused\nline 3: no\nnot clean: picky\n"


@pytest.mark.parametrize("line, message, forgiven", [
    ("words: Array[u64, N]", "Variable not allowed in type expression", True),
    ("words: Array[u64, 4]", 'Expected class but received "Literal[4]"', True),
    ("words: list[N]", "Variable not allowed in type expression", False),
    ("words: Array[u64, 4]", "Type of \"words\" is unknown", False),
])
def test_only_numbers_in_types_are_forgiven(line: str, message: str, forgiven: bool, tmp_path: pathlib.Path) -> None:
    file = tmp_path / "program.py"
    file.write_text(f"\n{line}\n")
    said = {"file": str(file), "message": message, "range": {"start": {"line": 1}}}
    assert strict_types.is_a_number_in_a_type(said) == forgiven
