# SPDX-License-Identifier: Apache-2.0
"""Arrays that are Rcu fields: their elements are read and written one by one, through the field.

An element is read by an acquiring load and replaced by an exchange, as an Rcu field is. A local name or a view of the
array, or a callee that gets it, would not know that: such a program is refused."""

from __future__ import annotations

from kaa.compiler import ir
from kaa.compiler.errors import CompileError
from kaa.compiler.ir import Instr, Value, Var
from kaa.compiler.program import Function


def check_rows(fn: Function) -> None:
    """Raises CompileError where an Rcu array is used as a whole, other than to be given its first value."""
    for block in fn.blocks:
        for instr in block.instrs:
            if any(isinstance(v, Var) and v.rcu for v in _whole(instr)):
                raise CompileError(
                    "an Rcu array is used element by element, through its field: readers look at it meanwhile",
                    instr.file or fn.filename, line=instr.line,
                )  # fmt: skip


def _whole(instr: Instr) -> list[Value]:
    """What an instruction uses other than as the row of an element."""
    if isinstance(instr, ir.Load):
        return []
    if isinstance(instr, ir.Store):
        return [instr.src]
    return [instr.src] if isinstance(instr, ir.CopyPlace) else instr.uses()
