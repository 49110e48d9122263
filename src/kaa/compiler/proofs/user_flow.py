# SPDX-License-Identifier: Apache-2.0
"""What one function does with the user's numbers, given what it is called with: a forward flow over its blocks.

The proof (user_memory.py) asks for a Summary per function and context; what is refused on the way goes to it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from kaa.compiler import ir
from kaa.compiler.ir import Block, Instr, Value, Var
from kaa.compiler.program import Function
from kaa.compiler.proofs.user_arithmetic import computed, unsafe_check
from kaa.compiler.proofs.user_summary import Context, Known, Summary, joined, joined_fields
from kaa.compiler.proofs.user_threading import IDLE, TESTS, constant, is_work, threaded
from kaa.compiler.proofs.user_values import OPPOSITE, TRUSTED, Condition, Key, Number, Operand, State
from kaa.compiler.proofs.user_ways import PLACES
from kaa.compiler.types import BoolType, IntType, PtrType, StructType, strip

if TYPE_CHECKING:
    from kaa.compiler.proofs.user_memory import UserMemory


class Flow:
    """One function in one context."""

    def __init__(self, proof: UserMemory, fn: Function, context: Context) -> None:
        self.proof = proof
        self.fn = fn
        self.summary = Summary()
        self.counter = [0]
        self.made: dict[Instr, int] = {}
        self.entries: dict[int, tuple[int, str]] = {}
        """Values that are arguments: which."""
        self.starts: dict[Block, State] = {}
        self.rounds: dict[Block, int] = {}
        self.fresh: dict[Block, dict[object, int]] = {}
        self.renewed: dict[object, int] = {}
        self.returns: list[tuple[State, list[Value]]] = []
        self.final = False
        self.roots, self.prefixes, self.constants = proof.ways(fn)
        self._run(context)

    # ---- the flow ----------------------------------------------------------------------------------------------------

    def _run(self, context: Context) -> None:
        state = State()
        for index, (param, given) in enumerate(zip(self.fn.params, context, strict=False)):
            if given.number is not None:
                value = state.names[param] = self._new(state, given.number)
                self.entries[value] = (index, "")
            for name, number in given.fields:
                value = state.fields[param, name] = self._new(state, number)
                self.entries[value] = (index, name)
            if given.whole:
                state.places |= {param}
        first = self.fn.blocks[0]
        self.starts[first] = state
        order = {b: n for n, b in enumerate(self.fn.blocks)}
        work = {first}
        while work:
            block = min(work, key=order.__getitem__)
            work.discard(block)
            self._block(block, lambda target, out: self._into(target, out, work))
        self.final = True
        for block in list(self.starts):
            self._block(block, self._last)
        self._finish()

    def _last(self, target: Block, state: State) -> None:
        """A way out that ends in a block which does nothing but return: what is known of it is kept apart."""
        state = state.copy()
        target = threaded(target, state)
        if isinstance(target.end, ir.Return) and not is_work(target):
            self.returns.append((state, target.end.values))

    def _into(self, target: Block, state: State, work: set[Block]) -> None:
        target = threaded(target, state)
        if isinstance(target.end, ir.RaiseOut) and not is_work(target):
            return  # it only leaves
        known = self.starts.get(target)
        if known is None:
            self.starts[target] = state
            work.add(target)
            return
        rounds = self.rounds[target] = self.rounds.get(target, 0) + 1
        if known.merge(state, self.fresh.setdefault(target, {}), self.counter, rounds > 3) and rounds < 40:
            work.add(target)

    def _block(self, block: Block, into: Callable[[Block, State], None]) -> None:
        state = self.starts[block].copy()
        for instr in block.instrs:
            if instr.handler is not None:
                handler = instr.handler.block
                if not isinstance(handler.end, ir.RaiseOut) or is_work(handler):
                    into(handler, state.copy())
            self._step(instr, state)
        end = block.end
        if isinstance(end, ir.Branch):
            self._branch(end, state, into)
            return
        if isinstance(end, ir.Return) and self.final and (is_work(block) or block is self.fn.blocks[0]):
            self.returns.append((state, end.values))
        if isinstance(end, ir.Switch):
            operand = self.operand(end.value, state)
            for case, target in end.cases:
                out = state.copy()
                out.assume(Condition("==", operand, Operand(0, case)), True)
                into(target, out)
            into(end.default, state)
            return
        for target in end.targets() if end is not None else ():
            into(target, state)

    def _branch(self, end: ir.Branch, state: State, into: Callable[[Block, State], None]) -> None:
        condition = state.bools.get(end.cond) if isinstance(end.cond, Var) else None
        if isinstance(condition, int):
            into(end.yes if condition else end.no, state)
            return
        for target, truth in ((end.yes, True), (end.no, False)):
            if condition is not None and self.final and isinstance(target.end, ir.Trap) and not target.instrs:
                self._trap(target.end, condition, truth, state, end)
            out = state.copy() if truth else state
            if condition is not None:
                out.assume(condition, truth)
            if isinstance(end.cond, Var):
                out.bools[end.cond] = truth
            into(target, out)

    # ---- values ------------------------------------------------------------------------------------------------------

    def _new(self, state: State, number: Number) -> int:
        self.counter[0] += 1
        state.numbers[self.counter[0]] = number
        return self.counter[0]

    def define(self, state: State, instr: Instr, dst: Var, number: Number | None) -> int:
        """`dst` is a new value, or (None) nothing of the user's."""
        state.bools.pop(dst, None)
        if number is None:
            state.names.pop(dst, None)
            return 0
        value = self.made.get(instr)
        if value is None:
            self.counter[0] += 1
            value = self.made[instr] = self.counter[0]
        if value in state.numbers:
            self._forget(state, value)
        state.numbers[value] = number
        state.names[dst] = value
        return value

    @staticmethod
    def _forget(state: State, value: int) -> None:
        """The instruction runs again: what was known of its value was about the one before."""
        state.less = frozenset(p for p in state.less if value not in p)
        state.sums = frozenset(s for s in state.sums if value not in s[:2])
        state.rests = {v: r for v, r in state.rests.items() if v != value and r[1] != value}
        state.near = {v: n for v, n in state.near.items() if v != value and n[0] != value}
        state.known = {
            o: v
            for o, v in state.known.items()
            if v != value and not any(isinstance(p, Operand) and p.value == value for p in o)  # type: ignore[attr-defined]
        }
        for var in [v for v, known in state.names.items() if known == value]:
            del state.names[var]
        for key in [k for k, known in state.fields.items() if known == value]:
            del state.fields[key]
        state.fetched.pop(value, None)
        for var in [v for v, c in state.bools.items() if not isinstance(c, int) and _mentions(c, value)]:
            del state.bools[var]

    def operand(self, value: Value, state: State) -> Operand:
        """What an operand is."""
        if isinstance(value, Var):
            known = state.names.get(value)
            if known:
                return Operand(known)
            constant = self.constants.get(value)
            if constant is not None:
                return Operand(0, constant)
            t = strip(value.type)
            return Operand(high=1 << (t.bits - 2)) if isinstance(t, IntType) and t.bits < 64 else TRUSTED
        if isinstance(value, ir.Const) and isinstance(value.value, int):
            return Operand(0, int(value.value))
        return TRUSTED

    def root(self, value: Value) -> Var | None:
        """The place that a value leads into."""
        return self.roots.get(value, value) if isinstance(value, Var) else None

    def is_read(self, place: Var | None) -> bool:
        """Is anything done with what is in a place, as far as can be seen here? (Some reads only fault pages in.)"""
        if place is None or place.param:
            return True
        for block in self.fn.blocks:
            for instr in block.instrs:
                if isinstance(instr, ir.Load) and self.root(instr.place.base) is place:
                    return True
                if isinstance(instr, (ir.Call, ir.CallVirtual, ir.CallPointer, ir.CopyPlace)) and any(
                    self.root(u) is place and isinstance(strip(u.type), StructType) for u in instr.uses()
                ):
                    return True
            if isinstance(block.end, ir.Return) and any(self.root(v) is place for v in block.end.values):
                return True
        return False

    # ---- instructions ------------------------------------------------------------------------------------------------

    def _step(self, instr: Instr, state: State) -> None:
        kind = type(instr)
        if kind in IDLE:
            return
        if isinstance(instr, ir.Assign):
            self._assign(instr, instr.dst, instr.src, state)
        elif isinstance(instr, ir.Op):
            self._op(instr, state)
        elif isinstance(instr, ir.Load):
            self._load(instr, state)
        elif isinstance(instr, ir.Store):
            self._store(instr, state)
        elif isinstance(instr, ir.CopyPlace):
            self._copy(instr.dst, instr.src, state)
        elif isinstance(instr, ir.Check):
            self._check(instr, state)
        elif isinstance(instr, (ir.Raw, ir.RawRaising)):
            self._raw(instr, state)
        elif isinstance(instr, (ir.Call, ir.CallVirtual, ir.CallPointer)):
            self.proof.call(self, instr, state)
        elif isinstance(instr, ir.Fresh):
            self._empty(instr.dst, state)

    @staticmethod
    def _empty(place: Var, state: State) -> None:
        state.places -= {place}
        for key in [k for k in state.fields if k[0] is place]:
            del state.fields[key]

    def _assign(self, instr: Instr, dst: Var, src: Value, state: State) -> None:
        if isinstance(src, Var):
            known = state.names.get(src)
            condition = state.bools.get(src)
            state.bools.pop(dst, None)
            if known:
                state.names[dst] = known
            else:
                state.names.pop(dst, None)
            if condition is not None:
                state.bools[dst] = condition
            return
        self.define(state, instr, dst, None)
        if isinstance(src, ir.Const) and isinstance(src.value, int):
            state.bools[dst] = src.value

    def _op(self, instr: ir.Op, state: State) -> None:
        operands = [self.operand(a, state) for a in instr.args]
        if instr.op in TESTS:
            state.bools.pop(instr.dst, None)
            known = [constant(a, state.bools) for a in instr.args]
            if len(known) == 2 and known[0] is not None and known[1] is not None:
                state.bools[instr.dst] = TESTS[instr.op](known[0], known[1])
                return
            if any(o.value for o in operands) and len(operands) == 2:
                state.bools[instr.dst] = Condition(instr.op, operands[0], operands[1])
            return
        if instr.op == "not":
            condition = state.bools.get(instr.args[0]) if isinstance(instr.args[0], Var) else None
            state.bools.pop(instr.dst, None)
            if condition is not None:
                state.bools[instr.dst] = _negated(condition)
            return
        t = strip(instr.dst.type)
        if not any(o.value for o in operands):
            self.define(state, instr, instr.dst, None)
            return
        if isinstance(t, PtrType):
            self.refuse("pointer", instr, "a user's number becomes a pointer: user memory is only copied from and to")
            self.define(state, instr, instr.dst, None)
            return
        if not isinstance(t, IntType):
            self.define(state, instr, instr.dst, None)
            return
        done = (instr.op, *operands, t.bits, t.signed)
        before = state.known.get(done)
        if before is not None and before in state.numbers:
            state.bools.pop(instr.dst, None)
            state.names[instr.dst] = before
            return
        if instr.op == "cast" and not instr.checked and not _fits(state.numbers[operands[0].value], t):
            if state.numbers[operands[0].value].checked:
                self.define(state, instr, instr.dst, None)
                return
        number, bad = computed(instr, operands, t, state)
        if bad:
            self.refuse("overflow", instr, bad)
            number = Number(max(number.low, t.low), min(number.high, t.high), True)
        if instr.op == "cast" and number == state.numbers[operands[0].value]:
            state.bools.pop(instr.dst, None)
            state.names[instr.dst] = operands[0].value
            return
        value = self.define(state, instr, instr.dst, number)
        self._relate(instr.op, operands, value, t, state)
        state.known[done] = value

    @staticmethod
    def _relate(op: str, operands: list[Operand], value: int, t: IntType, state: State) -> None:
        """What is known of a result and its operands, beside its bounds."""
        this = Operand(value)
        if op == "add":
            for one, other in (operands, operands[::-1]):
                if state.number(other).low >= 0:
                    state.order(one, this)
        elif op == "sub":
            if state.number(operands[1]).low >= 0:
                state.order(this, operands[0])
            if operands[1].value:
                of = operands[0]
                high = of.constant if of.constant is not None else state.numbers[of.value].high if of.value else t.high
                state.rests[value] = (high, operands[1].value)
        of, other = operands[0].value, operands[1].constant if len(operands) == 2 else None
        if op == "cast" and of and not t.signed and state.numbers[of].high <= t.high >> 1:
            state.near[value] = (of, -1, t.bits)
        if of and other is not None and other >= 0:
            if op == "and" and (t.high ^ other) & ((t.high ^ other) + 1) == 0:
                state.near[value] = (of, 0, t.high ^ other)  # low bits were cut off
            elif op == "shr" and other < t.bits:
                state.near[value] = (of, other, (1 << other) - 1)
            elif op == "sub":
                state.near[value] = (of, 0, other)
        if op in ("and", "shr", "floordiv", "mod") and state.number(operands[0]).low >= 0:
            state.order(this, operands[0])

    def _load(self, instr: ir.Load, state: State) -> None:
        t = strip(instr.dst.type)
        if isinstance(t, BoolType):
            state.bools.pop(instr.dst, None)
        if not isinstance(t, IntType):
            state.names.pop(instr.dst, None)
            return
        base = self.root(instr.place.base)
        if base is None:
            self.define(state, instr, instr.dst, None)
            return
        key = self._key(base, instr.place)
        known = state.fields.get(key) if key is not None else None
        if known is not None:
            state.bools.pop(instr.dst, None)
            if known:
                state.names[instr.dst] = known
            else:
                state.names.pop(instr.dst, None)
        elif base in state.places:
            value = self.define(state, instr, instr.dst, Number(t.low, t.high))
            if key is not None:
                state.fields[key] = value
        else:
            self.define(state, instr, instr.dst, None)

    def _key(self, base: Var, place: ir.Place) -> Key | None:
        """What a part of a place is called, if that can be told."""
        prefix = self.prefixes.get(place.base, "") if isinstance(place.base, Var) else None
        if prefix is None:
            return None
        if isinstance(place, ir.FieldPlace):
            return (base, prefix + place.field.name)
        return (base, f"{prefix}[{place.index.value}]") if isinstance(place.index, ir.Const) else None

    def _store(self, instr: ir.Store, state: State) -> None:
        base = self.root(instr.place.base)
        key = self._key(base, instr.place) if base is not None else None
        if base is None or key is None or not isinstance(strip(instr.place.type), IntType):
            return
        state.fields[key] = self.operand(instr.src, state).value

    def _copy(self, dst: Value, src: Value, state: State) -> None:
        a, b = self.root(dst), self.root(src)
        if a is None or b is None or a is b:
            return
        self._empty(a, state)
        if b in state.places:
            state.places |= {a}
        for (base, name), value in list(state.fields.items()):
            if base is b:
                state.fields[a, name] = value

    def _raw(self, instr: ir.Raw | ir.RawRaising, state: State) -> None:
        dst = instr.dst
        operands = [self.operand(a, state) for a in instr.args]
        t = strip(dst.type) if dst is not None else None
        template = instr.template
        if "alloc" in template or template.startswith("kaa_bytes_new"):
            for operand in operands:
                if operand.value and not _sized(state.numbers[operand.value]):
                    self.refuse("size", instr, "a user's number is the size of an allocation, unchecked")
        if template == "!{0}" and dst is not None and isinstance(instr.args[0], Var):
            condition = state.bools.get(instr.args[0])
            state.bools.pop(dst, None)
            if condition is not None:
                state.bools[dst] = _negated(condition)
            return
        if dst is None:
            return
        number: Number | None = None
        if isinstance(t, IntType) and any(o.value for o in operands):
            numbers = [state.number(o) for o in operands]
            if template in _EXTREMES and len(numbers) == 2:
                number = _EXTREMES[template](*numbers)
            elif template.startswith(("kaa_ctz", "kaa_clz", "__builtin_popcount")):
                number = Number(0, 63 if numbers[0].low > 0 and template.startswith("kaa_ctz") else 64, True)
            elif template in ("(u64){0}", "{0}") and numbers[0].low >= t.low and numbers[0].high <= t.high:
                self._assign(instr, dst, instr.args[0], state)
                return
            else:
                number = Number(t.low, t.high)
        elif isinstance(t, BoolType) and template in ("{0} == 0", "{0} != 0") and operands[0].value:
            state.bools[dst] = Condition(template[4:6], operands[0], Operand(0, 0))
            return
        if isinstance(t, PtrType) and any(o.value and not state.numbers[o.value].checked for o in operands):
            self.refuse("pointer", instr, "a user's number becomes a pointer: user memory is only copied from and to")
        value = self.define(state, instr, dst, number)
        if value and template == _MIN:
            for operand in operands:
                state.order(Operand(value), operand)
        root = self.root(instr.args[0]) if instr.args else None
        if number is None and isinstance(t, IntType) and template.startswith("*") and root in state.places:
            self.define(state, instr, dst, Number(t.low, t.high))

    # ---- what is refused ---------------------------------------------------------------------------------------------

    def _check(self, instr: ir.Check, state: State) -> None:
        operands = [self.operand(a, state) for a in instr.args]
        if self.final and any(o.value for o in operands):
            bad = unsafe_check(instr, operands, state)
            if bad:
                self.refuse(instr.kind, instr, bad)
        for operand in operands:  # it was this, or the machine has stopped
            if operand.value:
                known = state.numbers[operand.value]
                low = max(known.low, 0) if instr.kind in ("index", "shift") else known.low
                state.numbers[operand.value] = Number(low, max(low, known.high), True)

    def _trap(self, trap: ir.Trap, condition: Condition, truth: bool, state: State, where: Instr) -> None:
        """A branch leads to a trap: refused if a user's unchecked number can lead there."""
        if trap.kind not in ("index", "assert", "shift", "divide", "overflow") or not condition.op:
            return
        wrong = condition.op if truth != condition.negated else OPPOSITE[condition.op]
        left, right = condition.left, condition.right
        if wrong in ("<", "<="):
            left, right, wrong = right, left, {"<": ">", "<=": ">="}[wrong]
        if wrong not in (">", ">=") or not left.value:
            return
        known, bound = state.numbers[left.value], state.number(right)
        if state.is_below(left.value, right.value):
            return
        if known.checked if right.constant is None else known.high <= bound.high - (wrong == ">="):
            return
        what = "is an index" if trap.kind == "index" else "decides about an assertion"
        self.refuse(trap.kind, where, f"a user's number {what}, unchecked")

    def refuse(self, rule: str, instr: Instr, message: str) -> None:
        """Tells the proof, once the flow is stable."""
        if self.final:
            self.proof.refuse(self.fn, rule, instr, message)

    # ---- the summary -------------------------------------------------------------------------------------------------

    def _finish(self) -> None:
        out = self.summary
        first = True
        for state, values in self.returns:
            value = values[0] if values else None
            after = self._arguments(state)
            yes, no = self._outcomes(value, state)
            out.after = after if first else joined(out.after, after)
            out.if_true = yes if out.if_true is None else out.if_true if yes is None else joined(out.if_true, yes)
            out.if_false = no if out.if_false is None else out.if_false if no is None else joined(out.if_false, no)
            first = False
            for one in values:
                known = state.names.get(one) if isinstance(one, Var) else None
                if known:
                    number = state.numbers[known]
                    out.result = number if out.result is None else out.result.join(number)
            if isinstance(value, Var) and isinstance(strip(value.type), PLACES):
                root = self.root(value)
                out.whole |= root in state.places
                fields = {n: state.numbers[v] for (b, n), v in state.fields.items() if b is root and v}
                out.fields = tuple(sorted(joined_fields(dict(out.fields), fields).items()))
            elif value is not None and isinstance(value, ir.Const) and out.result is not None:
                if isinstance(value.value, int) and not isinstance(value.value, bool):
                    out.result = out.result.join(Number(value.value, value.value, True))

    def _arguments(self, state: State) -> Known:
        """What is known of the arguments and their fields at the end."""
        out: Known = {where: state.numbers[v] for v, where in self.entries.items() if not where[1]}
        for (base, name), value in state.fields.items():
            if value and base.param and base in self.fn.params:
                out[self.fn.params.index(base), name] = state.numbers[value]
        return out

    def _outcomes(self, value: Value | None, state: State) -> tuple[Known | None, Known | None]:
        """What is known of the arguments where the result is true, and where it is false."""
        if not isinstance(strip(self.fn.result), BoolType):
            return {}, {}
        condition: Condition | int | None = None
        if isinstance(value, ir.Const):
            condition = bool(value.value)
        elif isinstance(value, Var):
            condition = state.bools.get(value)
        outs: list[Known | None] = []
        for truth in (True, False):
            if isinstance(condition, int) and bool(condition) is not truth:
                outs.append(None)
                continue
            known = state.copy()
            if isinstance(condition, Condition):
                known.assume(condition, truth)
            outs.append(self._arguments(known))
        return outs[0], outs[1]


_MIN, _MAX = "({1} < {0} ? {1} : {0})", "({1} > {0} ? {1} : {0})"
_EXTREMES: dict[str, Callable[[Number, Number], Number]] = {
    _MIN: lambda a, b: Number(min(a.low, b.low), min(a.high, b.high), a.checked or b.checked),
    _MAX: lambda a, b: Number(max(a.low, b.low), max(a.high, b.high), a.checked and b.checked),
}


def _fits(number: Number, t: IntType) -> bool:
    return t.low <= number.low and number.high <= t.high


def _mentions(condition: Condition, value: int) -> bool:
    return value in (condition.left.value, condition.right.value) or any(v == value for v, _, _ in condition.outcome)


def _negated(condition: Condition | int) -> Condition | int:
    return not condition if isinstance(condition, int) else condition._replace(negated=not condition.negated)


def _sized(number: Number) -> bool:
    return number.high < 1 << 31 or (number.checked and number.high <= 1 << 47)


__all__ = ["Flow"]
