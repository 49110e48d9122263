# SPDX-License-Identifier: Apache-2.0
"""Constants that took their width late: `n = 300` is an int until `n` meets a u8; then 300 must fit."""

from __future__ import annotations

from kaa.compiler import ir
from kaa.compiler.errors import CompileError
from kaa.compiler.ir import Const, Instr
from kaa.compiler.program import Function
from kaa.compiler.types import I64, IntType, IntVar


def check_constants(fn: Function) -> None:
    """CompileError for a constant that does not fit in its local's type; cuts the sign bits of masks (x & ~7)."""
    for block in fn.blocks:
        for instr in [*block.instrs, *([block.end] if block.end is not None else [])]:
            for value in instr.uses():
                if isinstance(value, Const) and isinstance(value.type, IntVar) and value.value is not None:
                    _check(fn, instr, value)


def _check(fn: Function, instr: Instr, value: Const) -> None:
    t = value.type.resolve() if isinstance(value.type, IntVar) else I64
    if not isinstance(t, IntType):
        t = I64
    if t.low <= value.value <= t.high:
        return
    if isinstance(instr, ir.Op) and instr.op == "and" and not t.signed and value.value < 0:
        value.value &= t.high
        return
    raise CompileError(f"{value.value} does not fit in {t}", instr.file or fn.filename, line=instr.line)
