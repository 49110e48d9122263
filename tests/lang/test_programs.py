# SPDX-License-Identifier: Apache-2.0
"""Every test program, under CPython and as machine code: the same values, the traps it names, and no leak when memory
fails.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import program_files
import pytest

hostrun = pytest.importorskip("kaa.compiler.hostrun")

ALLOCATION_FAILED = 12
"""Exit status of a case that let MemoryError out."""
MOST_ALLOCATIONS = 400
"""Cases that allocate more are not run with each of them failing: the first ones tell."""


@cache
def native(file: Path) -> hostrun.Program:
    """The program as machine code, with sanitizers."""
    return hostrun.build(file, sanitize=True)


def name_of(value: object) -> str:
    return value.stem if isinstance(value, Path) else str(value)


@pytest.mark.parametrize(("file", "case"), program_files.all_of("case_"), ids=name_of)
def test_native_code_does_what_cpython_does(file: Path, case: str) -> None:
    result = native(file).run(case)
    assert result.trap is None
    assert result.status == 0
    assert result.emitted == program_files.run(file, case)
    assert result.leaked == 0 or keeps(file, case)


def keeps(file: Path, case: str) -> bool:
    """Does a case let frozen objects grow, which then keep their memory?"""
    return (getattr(program_files.load(file), case).__doc__ or "").startswith("keeps")


@pytest.mark.parametrize(("file", "trap"), program_files.all_of("trap_"), ids=name_of)
def test_bug_traps(file: Path, trap: str) -> None:
    doc = getattr(program_files.load(file), trap).__doc__
    expected = re.fullmatch(r"traps: ([a-z|]+)", doc.strip())
    assert expected is not None, "a trap says which: traps: overflow"
    result = native(file).run(trap)
    assert result.trap is not None, f"no trap; emitted {result.emitted}"
    assert re.match(rf"({expected[1]})\b", result.trap), result.trap


@pytest.mark.parametrize(("file", "case"), program_files.all_of("case_"), ids=name_of)
def test_no_leak_when_any_allocation_fails(file: Path, case: str) -> None:
    program = native(file)
    for allowed in range(MOST_ALLOCATIONS):
        result = program.run(case, fail_after=allowed)
        assert result.trap is None, f"allocation {allowed} failing: {result.trap}"
        assert result.leaked == 0 or keeps(file, case), f"allocation {allowed} failing leaks {result.leaked}"
        assert result.status in (0, ALLOCATION_FAILED)
        if result.status == 0 and result.emitted == program_files.run(file, case):
            return
