# SPDX-License-Identifier: Apache-2.0
"""All passes in order: entry points → C texts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from kaa.compiler.emit.module import Emitter
from kaa.compiler.errors import CompileError
from kaa.compiler.program import Program
from kaa.compiler.raises import infer_raises
from kaa.compiler.rewriting import insert_counts
from kaa.compiler.toolchain import Unit
from kaa.compiler.views import check_views


class Refused(Exception):
    """The program has errors."""

    def __init__(self, errors: list[CompileError]) -> None:
        super().__init__("\n\n".join(map(str, errors)))
        self.errors = errors


@dataclass
class Compiled:
    """A compiled program: its C texts and what is known of it."""

    program: Program
    units: list[Unit]
    seconds: dict[str, float] = field(default_factory=dict[str, float])


def lower(
    entries: Iterable[Callable[..., Any]], roots: tuple[str, ...] = (), thunks: Iterable[Callable[..., Any]] = ()
) -> Program:
    """Collects and lowers everything the entries reach; raises Refused if the program has errors."""
    program = Program()
    program.roots = roots
    for entry in entries:
        program.function(entry)
    for fn in thunks:
        made = program.function(fn)
        program.thunks[f"kt_{made.cname}"] = made
    program.lower_all()
    if program.errors:
        raise Refused(program.errors)
    return program


def analyse(program: Program) -> None:
    """Raises and ownership."""
    infer_raises(program)
    try:
        insert_counts(program, check_views)
    except CompileError as error:
        raise Refused([error]) from None
    if program.errors:
        raise Refused(program.errors)


def compile_program(
    entries: Iterable[Callable[..., Any]],
    root: str,
    roots: tuple[str, ...] = (),
    thunks: Iterable[Callable[..., Any]] = (),
) -> Compiled:
    """Entry points → C texts. Raises Refused."""
    marks = [time.perf_counter()]
    program = lower(entries, roots, thunks)
    marks.append(time.perf_counter())
    analyse(program)
    marks.append(time.perf_counter())
    files = Emitter(program, root).files()
    marks.append(time.perf_counter())
    names = ("lower", "analyse", "emit")
    seconds = {n: b - a for n, a, b in zip(names, marks, marks[1:], strict=False)}
    return Compiled(program, [Unit(n, t) for n, t in files.items()], seconds)
