# SPDX-License-Identifier: Apache-2.0
"""Where counts are touched: inserts retains and releases, by what ownership.py found of each function's locals."""

from __future__ import annotations

from kaa.compiler import ir
from kaa.compiler.effects import Effects, unowned
from kaa.compiler.errors import CompileError
from kaa.compiler.ir import Block, Instr, Value, Var
from kaa.compiler.ownership import Ownership
from kaa.compiler.parallel import ALONE, Pair
from kaa.compiler.program import Function, Program
from kaa.compiler.types import OptionalType, is_counted, strip


class Rewriting(Ownership):
    """Rewriting of one function, once it is classified."""

    def rewrite(self) -> None:
        """Inserts retains and releases."""
        if not self.vars:
            self._plain_returns()
            return
        self.lives: dict[Block, list[int]] = {}
        self.temporaries = [v for v in self.vars if v in self.owned and v.temp and not v.keep]
        self.temporary = sum(1 << self.index[v] for v in self.temporaries)
        states = self._flow()
        for block in self.fn.blocks:
            if block in states:
                self._rewrite_block(block, dict(states[block]))
        self.fn.owned_vars = [v for v in self.vars if v in self.owned]

    def _plain_returns(self) -> None:
        """A function without counted locals may still return or store counted parameters and constants."""
        self.masks = {}
        for block in self.fn.blocks:
            out: list[Instr] = []
            for instr in block.instrs:
                if (
                    isinstance(instr, ir.Store)
                    and is_counted(instr.place.type)
                    and not unowned(instr.place)
                    and _needs_count(instr.src)
                ):
                    out.append(_at(ir.Retain(instr.src), instr))
                out.append(instr)
            if isinstance(block.end, ir.Return) and "borrowed" not in self.fn.marks:
                out += [
                    _at(ir.Retain(v), block.end) for v in block.end.values if is_counted(v.type) and _needs_count(v)
                ]
            block.instrs = out

    def _flow(self) -> dict[Block, dict[Var, str]]:
        """For each block, what each owned local holds at its start: N nothing, O a count, M maybe."""
        start = {v: "N" for v in self.owned}
        states: dict[Block, dict[Var, str]] = {self.fn.blocks[0]: start}
        work = [self.fn.blocks[0]]
        while work:
            block = work.pop()
            state = dict(states[block])
            for v in self.temporaries:
                if not self.live_in[block] >> self.index[v] & 1:
                    state[v] = "N"
            for instr, after in zip(block.instrs, self._lives(block), strict=True):
                if instr.handler is not None:
                    again = {v: "N" for v in instr.defs() if v in self.owned and state[v] != "N"}  # released before it
                    self._merge(states, work, instr.handler.block, {**state, **again} if again else state)
                self._step(instr, after, state)
                for v in self._ended_temporaries(instr, after, state):
                    state[v] = "N"
            for target in block.end.targets() if block.end else []:
                self._merge(states, work, target, state)
        return states

    def _lives(self, block: Block) -> list[int]:
        """What is live after each instruction (as it was before any was inserted)."""
        if block not in self.lives:
            live = self.live_out(block)
            lives = self.lives[block] = []
            for instr in reversed(block.instrs):
                lives.append(live)
                live = self.before(instr, live)
            lives.reverse()
        return self.lives[block]

    @staticmethod
    def _merge(states: dict[Block, dict[Var, str]], work: list[Block], target: Block, state: dict[Var, str]) -> None:
        if target not in states:
            states[target] = dict(state)
            work.append(target)
            return
        known = states[target]
        changed = False
        for v, s in state.items():
            if known[v] != s and known[v] != "M":
                known[v] = "M"
                changed = True
        if changed:
            work.append(target)

    def _moves(self, value: Value, after: int, state: dict[Var, str]) -> bool:
        """True if a consuming use of `value` may take its count: it owns one and is not needed afterwards."""
        return (
            isinstance(value, Var)
            and value in self.owned
            and state[value] != "N"
            and not after >> self.index[value] & 1
        )

    def _step(self, instr: Instr, after: int, state: dict[Var, str]) -> None:
        """The effect of one instruction on what owned locals hold."""
        if isinstance(instr, ir.Assign) and instr.dst in self.owned:
            src = instr.src
            if isinstance(src, ir.Const):
                state[instr.dst] = "N"
                return
            if isinstance(src, Var) and src is not instr.dst and self._moves(src, after, state):
                state[instr.dst] = state[src]
                state[src] = "N"
            else:
                state[instr.dst] = "O"
            return
        if (
            isinstance(instr, ir.Store)
            and is_counted(instr.place.type)
            and not unowned(instr.place)
            and self._moves(instr.src, after, state)
        ):
            assert isinstance(instr.src, Var)
            state[instr.src] = "N"
            return
        if isinstance(instr, ir.Drop):
            if instr.var in self.owned and not after >> self.index[instr.var] & 1:
                state[instr.var] = "N"
            return
        for v in instr.defs():
            if v in self.owned:
                state[v] = "O"

    def _rewrite_block(self, block: Block, state: dict[Var, str]) -> None:
        out: list[Instr] = []
        for v in self.temporaries:
            if state[v] != "N" and not self.live_in[block] >> self.index[v] & 1:
                self._end_temporary(v, state, block.instrs[0] if block.instrs else block.end, out)
        for instr, after in zip(block.instrs, self._lives(block), strict=True):
            self._rewrite_instr(instr, after, state, out)
            self._step(instr, after, state)
            if self.temporaries and not isinstance(instr, ir.Drop):
                for v in self._ended_temporaries(instr, after, state):
                    self._end_temporary(v, state, instr, out)
        self._rewrite_end(block, state, out)
        block.instrs = out

    def _ended_temporaries(self, instr: Instr, after: int, state: dict[Var, str]) -> list[Var]:
        """Temporaries whose last use (of themselves or of a view into them) this instruction is."""
        mask = (self.masks.get(instr, 0) | self.made.get(instr, 0)) & self.temporary & ~after
        return [v for v in self.temporaries if state[v] != "N" and mask >> self.index[v] & 1] if mask else []

    @staticmethod
    def _end_temporary(v: Var, state: dict[Var, str], where: Instr | None, out: list[Instr]) -> None:
        assert where is not None
        out.append(_release(v, state, where))
        out.append(_at(ir.Assign(v, ir.Const(v.type, None)), where))
        state[v] = "N"

    def _rewrite_instr(self, instr: Instr, after: int, state: dict[Var, str], out: list[Instr]) -> None:
        if isinstance(instr, ir.Drop):
            still = after >> self.index[instr.var] & 1 if instr.var in self.index else 0  # a view into it is used later
            if instr.var in self.owned and state[instr.var] != "N" and not still:
                out.append(_release(instr.var, state, instr))
                out.append(_at(ir.Assign(instr.var, ir.Const(instr.var.type, None)), instr))
            return
        if isinstance(instr, ir.Assign) and instr.dst in self.owned:
            self._rewrite_assign(instr, after, state, out)
            return
        if isinstance(instr, ir.Store) and is_counted(instr.place.type) and not unowned(instr.place):
            if self._moves(instr.src, after, state):
                out.append(instr)
                assert isinstance(instr.src, Var)
                out.append(_at(ir.Assign(instr.src, ir.Const(instr.src.type, None)), instr))
                return
            if _needs_count(instr.src):
                out.append(_at(ir.Retain(instr.src), instr))
            out.append(instr)
            return
        counted = [v for v in instr.defs() if v in self.owned]
        for v in counted:
            if state[v] != "N":
                out.append(_release(v, state, instr))
                if isinstance(instr, ir.RaisingInstr):
                    out.append(_at(ir.Assign(v, ir.Const(v.type, None)), instr))
        out.append(instr)
        if counted and not self.gives_count(instr):
            out += [_at(ir.Retain(v), instr) for v in counted]

    def _rewrite_assign(self, instr: ir.Assign, after: int, state: dict[Var, str], out: list[Instr]) -> None:
        src, dst = instr.src, instr.dst
        if src is dst:
            return
        moved = self._moves(src, after, state)
        if not moved and _needs_count(src):
            out.append(_at(ir.Retain(src), instr))
        if state[dst] != "N":
            out.append(_release(dst, state, instr))
        out.append(instr)
        if moved:
            assert isinstance(src, Var)
            out.append(_at(ir.Assign(src, ir.Const(src.type, None)), instr))

    def _rewrite_end(self, block: Block, state: dict[Var, str], out: list[Instr]) -> None:
        end = block.end
        if not isinstance(end, (ir.Return, ir.RaiseOut)):
            return
        moved: set[Var] = set()
        if isinstance(end, ir.Return) and end.values and self.fn.result_place is not None:
            first = end.values[0]
            if self.bases(first) & self.owned:
                out.append(_at(ir.CopyPlace(self.fn.result_place, first), end))  # before its owner is released
                end.values[0] = self.fn.result_place
        if isinstance(end, ir.Return) and "borrowed" not in self.fn.marks:
            for v in end.values:
                if not is_counted(v.type):
                    continue
                if isinstance(v, Var) and v in self.owned and state[v] != "N" and v not in moved:
                    moved.add(v)
                elif _needs_count(v):
                    out.append(_at(ir.Retain(v), end))
        for v in self.vars:
            if v in self.owned and state[v] != "N" and v not in moved:
                out.append(_release(v, state, end))


def _needs_count(value: Value) -> bool:
    """True if another holder of the value needs a count of its own (None has none)."""
    return not isinstance(value, ir.Const)


def _release(v: Var, state: dict[Var, str], where: Instr) -> Instr:
    return _at(ir.Release(v, sure=state[v] == "O" and (v.known or not isinstance(strip(v.type), OptionalType))), where)


def _at(instr: Instr, where: Instr) -> Instr:
    instr.line, instr.file = where.line, where.file
    return instr


class Counts:
    """The counts of a whole program: what is owned is found in two processes, each function rewritten when it is
    asked for."""

    def __init__(self, program: Program, pair: Pair = ALONE) -> None:
        self.program = program
        self.pair = pair
        self.effects = Effects(program)
        self.functions = [f for f in program.functions.values() if f.blocks]
        self.found: dict[Function, Rewriting] = {}
        self.finished: set[Function] = set()
        self.errors: list[CompileError] = []

    def classify(self) -> None:
        """Finds out which locals own, to a fixpoint with the effects; or the errors."""
        seen: dict[Function, tuple[int, ...]] = {}
        modules = set(self.pair.mine(list(self.program.by_module())))  # whose C texts this process writes
        mine = [(number, fn) for number, fn in enumerate(self.functions) if fn.py.__module__ in modules]
        grown = True
        while grown:
            self.effects.solve()
            news: list[tuple[int, list[int]]] = []
            for number, fn in mine:
                now = self.effects.seen_by(fn)
                if seen.get(fn) != (*now, len(self.effects.owned.get(fn, ()))):
                    try:
                        news += self._classify(number, fn)
                    except CompileError as error:
                        self.errors.append(error)
                    seen[fn] = (*now, len(self.effects.owned.get(fn, ())))
            grown = any([self._learn(part) for part in self.pair.exchange(news)])
        self.errors = [error for half in self.pair.exchange(self.errors) for error in half]

    def _classify(self, number: int, fn: Function) -> list[tuple[int, list[int]]]:
        """The function's number and owned locals, if these are more than was known."""
        rewriting = self.found[fn] = Rewriting(fn, self.effects)
        owned = rewriting.classify()
        if len(owned) == len(self.effects.owned.get(fn, ())):
            return []
        self.effects.owned[fn] = set(owned)
        return [(number, [rewriting.index[v] for v in owned])]

    def _learn(self, news: list[tuple[int, list[int]]]) -> bool:
        for number, owned in news:
            fn = self.functions[number]
            if fn not in self.found:
                variables = Ownership(fn, self.effects).vars
                self.effects.owned[fn] = {variables[i] for i in owned}
        return bool(news)

    def finish(self, fn: Function) -> None:
        """Inserts the function's retains and releases, once."""
        if fn in self.finished or not fn.blocks:
            return
        self.finished.add(fn)
        rewriting = self.found.get(fn)
        if rewriting is None:
            rewriting = Rewriting(fn, self.effects)
            rewriting.classify()
        rewriting.rewrite()

    def finish_all(self) -> None:
        """Inserts the retains and releases of all functions."""
        for fn in self.functions:
            self.finish(fn)
