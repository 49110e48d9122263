# SPDX-License-Identifier: Apache-2.0
"""The stack proof: recursion, and depths against the stacks of entries."""

from __future__ import annotations

from pathlib import Path

import pytest

from compiler.proofs_machine import told
from kaa.compiler.proofs.stack import ENDS, MARGIN, frame_sizes
from kaa.compiler.toolchain import compiler, linker, run

SYMLINKS = """
@noinline
def follow(depth: u64) -> u64:
    \"\"\"A symbolic link may lead to another: without a bound, user space says how deep.\"\"\"
    if cpu.work == depth:
        return depth
    return walk(wrapping_add(depth, u64(1)))


@noinline
def walk(depth: u64) -> u64:
    return follow(depth)

"""
MAIN = """
@entry_point("system call", stack=8192, frame=200)
@export("main")
def main() -> None:
"""


def test_recursion_without_a_bound_is_refused(tmp_path: Path) -> None:
    found = told(tmp_path, SYMLINKS + MAIN + "    cpu.work = walk(u64(0))\n", "stack")
    assert len(found) == 1
    assert "follow may call itself, and nothing says how often: follow → walk → follow" in found[0]
    assert found[0].count("calls") == 2


def test_recursion_with_a_bound_counts_as_often_as_it_says(tmp_path: Path) -> None:
    program = SYMLINKS.replace(
        "@noinline\ndef walk", '@recursive(40, "as path_resolution(7) says")\n@noinline\ndef walk'
    )
    program += MAIN + "    cpu.work = walk(u64(0))\n"
    sizes = {"program__follow": 40, "program__walk": 40, "main": 40}
    laps = 39 * 96
    room = 8192 - MARGIN - ENDS - 200 - 48 - 96 - laps
    assert room > 0
    assert told(tmp_path, program, "stack", sizes) == []
    (tmp_path / "big").mkdir()
    big = {"program__follow": 40, "program__walk": 40 + room // 40 + 8, "main": 40}
    found = told(tmp_path / "big", program, "stack", big)
    assert len(found) == 1
    assert "a stack of 8192 bytes may overflow" in found[0]


def test_the_deepest_path_is_told_frame_by_frame(tmp_path: Path) -> None:
    program = (
        """
@noinline
def small() -> None:
    cpu.work = u64(1)


@noinline
def large() -> None:
    cpu.work = u64(2)


"""
        + MAIN
        + "    small()\n    large()\n"
    )
    found = told(tmp_path, program, "stack", {"program__small": 100, "program__large": 6000, "main": 50})
    assert len(found) == 1
    assert "6008 bytes: large" in found[0]
    assert "58 bytes: main" in found[0]
    assert "small" not in found[0]


def test_an_interrupt_lies_on_top(tmp_path: Path) -> None:
    program = (
        """
@noinline
def handle() -> None:
    cpu.work = u64(1)


@entry_point("interrupt", interrupts=False, frame=300, nested=("program.handle",))
@export("interrupt")
def interrupt() -> None:
    handle()

"""
        + MAIN
        + "    cpu.work = u64(2)\n"
    )
    room = 8192 - MARGIN - ENDS - 200 - 300
    sizes = {"program__handle": 1000, "interrupt": 92}
    assert told(tmp_path, program, "stack", {**sizes, "main": room - 1108 - 8}) == []
    (tmp_path / "more").mkdir()
    assert len(told(tmp_path / "more", program, "stack", {**sizes, "main": room - 1108 + 8})) == 1


def test_sizes_are_the_c_compilers(tmp_path: Path) -> None:
    source = tmp_path / "a.c"
    source.write_text("void use(char *); void big(void) { char b[3000]; use(b); } void use(char *p) { *p = 1; }\n"
                      "void _start(void) { big(); }\n")  # fmt: skip
    target = ["--target=x86_64-unknown-none-elf", "-O0", "-ffreestanding", "-fstack-size-section"]
    run([*compiler("zig", False), *target, "-c", str(source), "-o", str(tmp_path / "a.o")])
    run([*linker(), "-static", "-nostdlib", "-o", str(tmp_path / "a.elf"), str(tmp_path / "a.o")])
    sizes = frame_sizes(tmp_path / "a.elf")
    assert 3000 < sizes["big"] < 3200
    assert sizes["use"] < 100


@pytest.mark.parametrize(("count", "refusals"), [(1, 0), (3, 0), (4, 1)])
def test_a_function_that_calls_itself_directly(tmp_path: Path, count: int, refusals: int) -> None:
    program = (
        f"""
@recursive({count}, "for the test")
@noinline
def again(n: u64) -> u64:
    return again(wrapping_sub(n, u64(1))) if n != 0 else n

"""
        + MAIN
        + "    cpu.work = again(u64(1))\n"
    )
    assert len(told(tmp_path, program, "stack", {"program__again": 1500, "main": 8})) == refusals
