# SPDX-License-Identifier: Apache-2.0
"""Definite assignment: a local that may be read before it is set is refused (CPython would raise UnboundLocalError)."""

from __future__ import annotations

from kaa.compiler import ir
from kaa.compiler.errors import CompileError
from kaa.compiler.ir import Block, Var
from kaa.compiler.program import Function


def check_assigned(fn: Function) -> None:
    """Raises CompileError for the first local of `fn` that may be unset where it is used."""
    index: dict[Var, int] = {}
    for block in fn.blocks:
        for instr in block.instrs:
            for v in instr.defs():
                if not v.temp and v.name.startswith("v_"):
                    index.setdefault(v, len(index))
    if not index:
        return
    everything = (1 << len(index)) - 1
    at_start: dict[Block, int] = {fn.blocks[0]: 0}
    work = [fn.blocks[0]]
    while work:
        block = work.pop()
        known = at_start[block]
        for instr in block.instrs:
            if instr.handler is not None:
                _merge(at_start, work, instr.handler.block, known)
            known = _after(instr, known, index)
        for target in block.end.targets() if block.end else []:
            _merge(at_start, work, target, known)
    for block in fn.blocks:
        _check_block(fn, block, at_start.get(block, everything), index)


def _merge(at_start: dict[Block, int], work: list[Block], target: Block, known: int) -> None:
    before = at_start.get(target)
    after = known if before is None else before & known
    if after != before:
        at_start[target] = after
        work.append(target)


def _check_block(fn: Function, block: Block, known: int, index: dict[Var, int]) -> None:
    for instr in [*block.instrs, *([block.end] if block.end is not None else [])]:
        for u in instr.uses():
            if isinstance(u, Var) and u in index and not known >> index[u] & 1:
                name = u.name.removeprefix("v_")
                raise CompileError(f"'{name}' may be used before it is set", instr.file or fn.filename, line=instr.line)
        known = _after(instr, known, index)


def _after(instr: ir.Instr, known: int, index: dict[Var, int]) -> int:
    """What is set after an instruction: `del` unsets."""
    if isinstance(instr, ir.Drop) and instr.var in index:
        return known & ~(1 << index[instr.var])
    for v in instr.defs():
        if v in index:
            known |= 1 << index[v]
    return known
