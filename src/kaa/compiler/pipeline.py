# SPDX-License-Identifier: Apache-2.0
"""All passes in order: entry points → C texts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from kaa.compiler.definite import check_assigned
from kaa.compiler.emit.module import Emitter
from kaa.compiler.errors import CompileError, refusals
from kaa.compiler.parallel import ALONE, Pair, together
from kaa.compiler.program import Program
from kaa.compiler.raises import infer_raises
from kaa.compiler.rcu_rows import check_rows
from kaa.compiler.remade import check_remade
from kaa.compiler.rewriting import Counts
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
    counts: Counts
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


def analyse(program: Program, pair: Pair = ALONE) -> Counts:
    """Definite assignment, places made anew, raises and ownership; what remains is to let the result `finish` each
    function. Raises Refused."""
    functions = [f for f in program.functions.values() if f.blocks]
    mine = pair.mine(functions)
    refused = [found for check in (check_assigned, check_remade, check_rows) for found in refusals(mine, check)]
    _refuse(pair.exchange(refused))
    infer_raises(program)
    counts = Counts(program, pair)
    counts.classify()
    _refuse([counts.errors])
    _refuse(pair.exchange(check_views(functions, mine, counts.effects)))
    _refuse([program.errors])
    return counts


def _refuse(found: list[list[CompileError]]) -> None:
    errors = [error for half in found for error in half]
    if errors:
        raise Refused(sorted(errors, key=lambda error: (error.filename, error.line)))


def compile_program(
    entries: Iterable[Callable[..., Any]],
    root: str,
    roots: tuple[str, ...] = (),
    thunks: Iterable[Callable[..., Any]] = (),
) -> Compiled:
    """Entry points → C texts. The counts are inserted in some functions only: `counts.finish_all`. Raises Refused."""
    seconds: dict[str, float] = {}
    began = time.perf_counter()
    program = lower(entries, roots, thunks)
    seconds["lower"] = time.perf_counter() - began

    found: list[Counts] = []

    def share(pair: Pair) -> dict[str, str]:
        began = time.perf_counter()
        counts = analyse(program, pair)
        found.append(counts)
        seconds["analyse"] = time.perf_counter() - began
        return Emitter(program, root, counts.finish).files(pair)

    began = time.perf_counter()
    files = together(share)
    seconds["emit"] = time.perf_counter() - began - seconds["analyse"]
    return Compiled(program, found[0], [Unit(n, files[n]) for n in sorted(files)], seconds)
