# SPDX-License-Identifier: Apache-2.0
"""Past blocks that only branch on what is known: `if not valid(address, n): return n` leaves a constant in a variable,
two ways meet, and the next block asks which way it was. The flow goes on where the answer leads."""

from __future__ import annotations

import operator
from collections.abc import Callable

from kaa.compiler import ir
from kaa.compiler.ir import Block, Value, Var
from kaa.compiler.proofs.user_values import Condition, State

IDLE = frozenset({ir.Drop, ir.Retain, ir.Release, ir.Effect, ir.Event, ir.AddressOf, ir.New})
"""Instructions that do nothing to numbers."""


def threaded(target: Block, state: State) -> Block:
    """Where control goes on: past blocks that only branch on what this way here has made known."""
    for _ in range(8):
        made: dict[Var, int] = {}
        if not _evaluate(target, state.bools, made):
            return target
        state.bools.update(made)
        end = target.end
        if isinstance(end, ir.Goto):
            target = end.block
            continue
        known = state.bools.get(end.cond) if isinstance(end, ir.Branch) and isinstance(end.cond, Var) else None
        if not isinstance(end, ir.Branch) or not isinstance(known, int):
            return target
        target = end.yes if known else end.no
    return target


def is_work(block: Block) -> bool:
    """Does a block do more than end?"""
    return any(type(i) not in IDLE for i in block.instrs)


def constant(value: Value, known: dict[Var, Condition | int]) -> int | None:
    if isinstance(value, ir.Const):
        return value.value if isinstance(value.value, int) else None
    found = known.get(value) if isinstance(value, Var) else None
    return found if isinstance(found, int) else None


def _evaluate(block: Block, known: dict[Var, Condition | int], made: dict[Var, int]) -> bool:
    """Is all that a block does known, given what is? Then `made` has it."""
    for instr in block.instrs:
        if type(instr) in IDLE:
            continue
        if isinstance(instr, ir.Op) and instr.op in TESTS:
            a, b = (made[v] if isinstance(v, Var) and v in made else constant(v, known) for v in instr.args)
            if a is None or b is None:
                return False
            made[instr.dst] = TESTS[instr.op](a, b)
        elif isinstance(instr, ir.Assign):
            value = constant(instr.src, known)
            if value is None:
                return False
            made[instr.dst] = value
        else:
            return False
    end = block.end
    if isinstance(end, ir.Branch) and isinstance(end.cond, Var):
        return end.cond in made or isinstance(known.get(end.cond), int)
    return isinstance(end, ir.Goto)


TESTS: dict[str, Callable[[int, int], bool]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "==": operator.eq, "!=": operator.ne,
}  # fmt: skip


__all__ = ["IDLE", "TESTS", "constant", "is_work", "threaded"]
