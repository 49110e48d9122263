# SPDX-License-Identifier: Apache-2.0
"""Arithmetic on users' numbers: what comes out, and whether a user can make it trap."""

from __future__ import annotations

from kaa.compiler import ir
from kaa.compiler.proofs.user_values import Number, Operand, State
from kaa.compiler.types import IntType, strip

SIGNS = {"add": "+", "sub": "-", "mul": "*", "shl": "<<", "cast": "conversion", "floordiv": "//", "mod": "%"}


def computed(instr: ir.Op, operands: list[Operand], t: IntType, state: State) -> tuple[Number, str]:
    """The result, cut to the type, and what is wrong ("": nothing can be)."""
    numbers = [state.number(o) for o in operands]
    checked = all(n.checked for n in numbers)
    op = instr.op
    if op == "cast":
        return _cast(instr, numbers[0], t)
    if op in _BITWISE:
        return _BITWISE[op](numbers, t), ""
    if len(numbers) != 2:
        return Number(t.low, t.high), ""
    a, b = numbers
    low, high = _range(op, a, b, t)
    if op == "sub" and state.is_below(operands[1].value, operands[0].value):
        low = max(low, 0)
    if op == "add":
        most = state.may_sum_to(operands[0].value, operands[1].value)
        high = high if most is None else min(high, most)
    if t.low <= low and high <= t.high:
        return Number(low, high, checked), ""
    cut = Number(max(low, t.low), min(high, t.high), checked)
    if cut.low > cut.high:
        cut = Number(t.low, t.high)
    if not instr.checked:
        return Number(t.low, t.high), ""
    if op == "sub" and low < t.low and high <= t.high:
        if operands[1].value == 0 and operands[1].constant is None:
            return cut, ""  # something of the kernel's from a user's number: known to be less in another way
        if operands[1].value and checked:
            return cut, ""  # both were compared with bounds: ends of a range
    if op == "add" and checked and operands[0].constant is None and operands[1].constant is None:
        return cut, ""  # each was compared with a bound
    if op == "shl" and checked and operands[1].value == 0 and operands[1].constant is None:
        return cut, ""
    which = next(n for n, o in zip(numbers, operands, strict=True) if o.value)
    sign = SIGNS.get(op, op)
    return cut, f"a user's number ({which}) in this {sign} may overflow {t}, which stops the machine: check it first"


def _range(op: str, a: Number, b: Number, t: IntType) -> tuple[int, int]:
    match op:
        case "add":
            return a.low + b.low, a.high + b.high
        case "sub":
            return a.low - b.high, a.high - b.low
        case "mul":
            corners = [x * y for x in (a.low, a.high) for y in (b.low, b.high)]
            return min(corners), max(corners)
        case "shl":
            by_low, by_high = max(0, min(b.low, 64)), max(0, min(b.high, 64))
            corners = [x << y for x in (a.low, a.high) for y in (by_low, by_high)]
            return min(corners), max(corners)
        case "shr":
            by = max(0, min(b.low, 64))
            return min(a.low >> by, a.low), max(0, a.high >> by)
        case "floordiv":
            by = max(1, b.low)
            return min(a.low // by, 0) if a.low < 0 else a.low // max(1, b.high), max(0, a.high // by)
        case "mod":
            return 0, max(0, min(b.high - 1, a.high if a.low >= 0 else b.high - 1))
        case _:
            return t.low, t.high


def _cast(instr: ir.Op, number: Number, t: IntType) -> tuple[Number, str]:
    if t.low <= number.low and number.high <= t.high:
        return number, ""
    if not instr.checked or number.checked:
        return Number(t.low, t.high, number.checked), ""
    cut = Number(max(number.low, t.low), min(number.high, t.high), number.checked)
    return cut, f"a user's number ({number}) may not fit into {t}, which stops the machine: check it first"


def _and(numbers: list[Number], t: IntType) -> Number:
    high = min((n.high for n in numbers if n.low >= 0), default=t.high)
    bounded = any(n.low >= 0 and n.high < t.high for n in numbers)
    return Number(0 if any(n.low >= 0 for n in numbers) else t.low, high, bounded)


def _or(numbers: list[Number], t: IntType) -> Number:
    if any(n.low < 0 for n in numbers):
        return Number(t.low, t.high)
    high = (1 << max(n.high for n in numbers).bit_length()) - 1
    return Number(0, min(high, t.high), all(n.checked for n in numbers))


_BITWISE = {"and": _and, "or": _or, "xor": _or}


def unsafe_check(check: ir.Check, operands: list[Operand], state: State) -> str:
    """What is wrong with a check that a user's number can fail; "" if it cannot."""
    numbers = [state.number(o) for o in operands]
    match check.kind:
        case "index":
            return _index(operands, numbers, state)
        case "shift":
            width = strip(check.args[1].type) if len(check.args) > 1 else None
            bits = width.bits if isinstance(width, IntType) else 64
            if operands[0].value and not (0 <= numbers[0].low and numbers[0].high < bits):
                return "a user's number is the count of a shift, unchecked"
        case "divide":
            if operands[0].value and numbers[0].low <= 0 <= numbers[0].high:
                return "a user's number is a divisor, and may be 0"
        case _:
            pass
    return ""


def _index(operands: list[Operand], numbers: list[Number], state: State) -> str:
    wrong = "a user's number is an index, unchecked"
    if len(operands) == 1:
        return wrong if numbers[0].low < 0 else ""
    *indexes, _ = numbers
    bound = operands[-1]
    for operand, number in zip(operands[:-1], indexes, strict=True):
        if not operand.value:
            continue
        limit = bound.constant
        within = number.high < limit + (len(indexes) == 2) if limit is not None else number.checked
        within = within or state.is_below(operand.value, bound.value)
        if number.low < 0 or not within:
            if (
                number.low >= 0
                and len(indexes) == 2
                and operand is operands[0]
                and state.is_below(operand.value, operands[1].value)
            ):
                continue
            return wrong
    if len(indexes) == 2 and operands[0].value and operands[1].value:
        ordered = state.is_below(operands[0].value, operands[1].value) or indexes[0].high <= indexes[1].low
        return "" if ordered else "two users' numbers cut a view, and the first may be above the second"
    return ""


__all__ = ["computed", "unsafe_check"]
