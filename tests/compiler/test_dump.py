# SPDX-License-Identifier: Apache-2.0
"""`./kaa compile --dump`: each pass prints, and what cannot be shown is told in one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from kaa.compiler import cli
from kaa.compiler.dump import PASSES, Unusable, dump

SOURCE = '''from __future__ import annotations
from kaa.lang import inline


@inline
def twice(n: int) -> int:
    return n * 2


def double(n: int) -> int:
    m = twice(n)
    return m
'''
SHOWN = {"ast": "m = twice(n)", "types": "m: i64", "ir": "mul!", "c": "KAA_ARITH(mul"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    out = tmp_path / "shown.py"
    out.write_text(SOURCE)
    return out


@pytest.mark.parametrize("what", PASSES)
def test_pass_is_printed(file: Path, what: str) -> None:
    assert SHOWN[what] in dump(what, f"{file}:double")


@pytest.mark.parametrize(
    ("what", "target", "message"),
    [
        ("ir", "{}:absent", "there is no function 'absent' in {}"),
        ("ir", "/absent.py:f", "there is no file /absent.py"),
        ("ir", "{}", "say which function: {}:FUNCTION (a method is CLASS.METHOD)"),
        ("cfg", "{}:double", "there is no pass 'cfg'; there are ast, types, ir, c"),
        ("ir", "{}:twice", "twice has no code of its own: it is expanded where it is called"),
    ],
)
def test_what_cannot_be_shown_is_one_sentence(file: Path, what: str, target: str, message: str) -> None:
    with pytest.raises(Unusable) as caught:
        dump(what, target.format(file))
    assert str(caught.value) == message.format(file)


def test_command_line_prints_no_traceback(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["dump", "ir", f"{file}:absent"]) == 2
    assert capsys.readouterr().err == f"kaa compile: there is no function 'absent' in {file}\n"


def test_file_that_does_not_parse_is_one_sentence(tmp_path: Path) -> None:
    bad = tmp_path / "bad.py"
    bad.write_text("def f(:\n")
    with pytest.raises(Unusable, match="cannot be imported"):
        dump("ast", f"{bad}:f")
