# SPDX-License-Identifier: Apache-2.0
"""Definite assignment: a local that may be read before it is set is refused (CPython would raise UnboundLocalError)."""

from __future__ import annotations

from kaa.compiler import ir
from kaa.compiler.errors import CompileError
from kaa.compiler.ir import Block, Instr, Var
from kaa.compiler.program import Function


def check_assigned(fn: Function) -> None:
    """Raises CompileError for the first local of `fn` that may be unset where it is used."""
    locals_ = Locals(fn)
    if not locals_.index:
        return
    everything = (1 << len(locals_.index)) - 1
    at_start: dict[Block, int] = {fn.blocks[0]: 0}
    work = [fn.blocks[0]]
    while work:
        block = work.pop()
        known = at_start[block]
        for instr in block.instrs:
            if instr.handler is not None:
                _merge(at_start, work, instr.handler.block, known)
            known = locals_.after(instr, known)
        for target in block.end.targets() if block.end else []:
            _merge(at_start, work, target, known)
    for block in fn.blocks:
        _check_block(fn, block, at_start.get(block, everything), locals_)


class Locals:
    """The locals of a function as bits, and what each instruction sets and (`del`) unsets of them."""

    def __init__(self, fn: Function) -> None:
        self.index: dict[Var, int] = {}
        self.sets: dict[Instr, int] = {}
        drops: list[ir.Drop] = []
        for block in fn.blocks:
            for instr in block.instrs:
                for v in instr.defs():
                    if not v.temp and v.name.startswith("v_"):
                        bit = 1 << self.index.setdefault(v, len(self.index))
                        self.sets[instr] = self.sets.get(instr, 0) | bit
                if isinstance(instr, ir.Drop):
                    drops.append(instr)
        self.unsets: dict[Instr, int] = {d: 1 << self.index[d.var] for d in drops if d.var in self.index}

    def after(self, instr: Instr, known: int) -> int:
        """What is set after an instruction."""
        return (known | self.sets.get(instr, 0)) & ~self.unsets.get(instr, 0)


def _merge(at_start: dict[Block, int], work: list[Block], target: Block, known: int) -> None:
    before = at_start.get(target)
    after = known if before is None else before & known
    if after != before:
        at_start[target] = after
        work.append(target)


def _check_block(fn: Function, block: Block, known: int, locals_: Locals) -> None:
    index = locals_.index
    for instr in [*block.instrs, *([block.end] if block.end is not None else [])]:
        for u in instr.uses():
            if isinstance(u, Var) and u in index and not known >> index[u] & 1:
                name = u.name.removeprefix("v_")
                raise CompileError(f"'{name}' may be used before it is set", instr.file or fn.filename, line=instr.line)
        known = locals_.after(instr, known)
