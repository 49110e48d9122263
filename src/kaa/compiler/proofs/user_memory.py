# SPDX-License-Identifier: Apache-2.0
"""Proof: what comes from user space is only copied, and a number from there is checked before it can do harm.

Each system call is followed with its arguments, each function as often as it is called with other kinds of user's
numbers (intervals; `Argument`), in the order of the calls, so that the path to a refusal is the stack of calls. Users'
numbers are integer parameters of system calls, integers in structs and arrays that the user copies fill, and what is
computed from them. Refused: a number that may overflow in a checked `+ - * <<` or conversion (a trap, which the user
then causes), that is an index, the count of a shift, a divisor or the size of an allocation before it was compared
with a bound; that becomes a pointer; and the same user word read twice in one function (it may have changed).

Trusted: what was stored in a field of an object, in a container, or returned in a tuple; that the kernel's own
quantities are below 2**47.
"""

from __future__ import annotations

from kaa.compiler import ir
from kaa.compiler.errors import CompileError
from kaa.compiler.ir import Instr, Var
from kaa.compiler.program import Function
from kaa.compiler.proofs.graph import Graph, Node
from kaa.compiler.proofs.protection_accesses import Accesses
from kaa.compiler.proofs.user_flow import Flow
from kaa.compiler.proofs.user_summary import NOTHING, Argument, Context, Summary
from kaa.compiler.proofs.user_values import TRUST, TRUSTED, Condition, Key, Number, State
from kaa.compiler.proofs.user_ways import Ways, is_place, ways_of
from kaa.compiler.types import BoolType, IntType, StructType, strip

Finding = tuple[str, Node, CompileError]
MOST_CONTEXTS = 6
HARMLESS = Number(0, TRUST, True)
WHOLE = Number(-(1 << 63), (1 << 64) - 1)
SOURCES = frozenset({"kaa_user_copy", "kaa_user_copy_string", "kaa_user_compare_exchange", "kaa_user_load"})
DEEPEST = 60


def prove(graph: Graph) -> list[Finding]:
    """All refusals: (rule, node, error)."""
    proof = UserMemory(graph)
    proof.run()
    return list(proof.findings.values())


class UserMemory:
    """The summaries of all functions that users' numbers reach."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.findings: dict[tuple[object, ...], Finding] = {}
        self.accesses = Accesses()
        self._summaries: dict[tuple[Function, Context], Summary] = {}
        self._contexts: dict[Function, list[Context]] = {}
        self._ways: dict[Function, Ways] = {}
        self._bearing = self._find_bearing()
        self._stack: list[tuple[Function, Instr | None]] = []
        self._busy: set[tuple[Function, Context]] = set()

    def run(self) -> None:
        """Follows every system call."""
        for fn in self.graph.program.trampolines.values():
            context: list[Argument] = []
            for param in fn.params:
                t = strip(param.type)
                if isinstance(t, IntType):
                    context.append(Argument(Number(t.low, t.high)))
                elif isinstance(t, StructType):
                    context.append(self._first_field(t))
                else:
                    context.append(NOTHING)
            if fn.blocks:
                self.summary(fn, tuple(context), None)

    @staticmethod
    def _first_field(t: StructType) -> Argument:
        """A struct parameter of a system call gets the user's word as its first field."""
        for field in t.info.fields.values():
            word = strip(field.type)
            if isinstance(word, IntType):
                return Argument(fields=((field.name, Number(word.low, word.high)),))
            break
        return NOTHING

    # ---- summaries ---------------------------------------------------------------------------------------------------

    def summary(self, fn: Function, context: Context, site: Instr | None) -> Summary:
        """What a call of `fn` with such arguments does."""
        key = (fn, context)
        known = self._summaries.get(key)
        if known is not None:
            return known
        known_contexts = self._contexts.setdefault(fn, [])
        if len(known_contexts) >= MOST_CONTEXTS:
            context = _widest([*known_contexts, context])
            key = (fn, context)
            if key in self._summaries:
                return self._summaries[key]
        if key in self._busy or len(self._stack) > DEEPEST:
            return Summary()
        if all(a == NOTHING for a in context) and fn not in self._bearing:
            self._summaries[key] = Summary()
            return self._summaries[key]
        known_contexts.append(context)
        self._busy.add(key)
        self._stack.append((fn, site))
        flow = Flow(self, fn, context)
        self._stack.pop()
        self._busy.discard(key)
        self._summaries[key] = flow.summary
        return flow.summary

    def ways(self, fn: Function) -> Ways:
        """What variables of `fn` lead into, and what they are."""
        known = self._ways.get(fn)
        if known is None:
            known = self._ways[fn] = ways_of(fn)
        return known

    def _find_bearing(self) -> set[Function]:
        """The functions that may read user memory, themselves or in what they call."""
        callers: dict[Function, list[Function]] = {}
        work: list[Function] = []
        for node in self.graph.nodes:
            fn = node.fn
            if fn is None or not fn.blocks:
                continue
            for block in fn.blocks:
                for instr in block.instrs:
                    if isinstance(instr, ir.Call):
                        if instr.callee.cname in SOURCES:
                            work.append(fn)
                        callers.setdefault(instr.callee, []).append(fn)
                    elif isinstance(instr, ir.CallVirtual):
                        for impl in instr.slot.impls.values():
                            callers.setdefault(impl, []).append(fn)
        found = set(work)
        while work:
            for caller in callers.get(work.pop(), ()):
                if caller not in found:
                    found.add(caller)
                    work.append(caller)
        return found

    # ---- calls -------------------------------------------------------------------------------------------------------

    def call(self, flow: Flow, instr: ir.Call | ir.CallVirtual | ir.CallPointer, state: State) -> None:
        """A call: what it is given, and what it gives."""
        for dst in instr.defs():
            flow.define(state, instr, dst, None)
        if isinstance(instr, ir.Call):
            callees = [instr.callee]
        elif isinstance(instr, ir.CallVirtual):
            callees = list(instr.slot.impls.values())
        else:
            callees = self.graph.targets.of(instr.pointer)
        context = tuple(self._argument(flow, a, state) for a in instr.args)
        for callee in callees:
            if callee.is_external:
                self._external(flow, instr, callee, state)
            elif callee.blocks and "fatal" not in callee.marks:
                self._one(flow, instr, callee, context, state, len(callees) == 1)

    @staticmethod
    def _argument(flow: Flow, arg: ir.Value, state: State) -> Argument:
        if not isinstance(arg, Var):
            return NOTHING
        known = state.names.get(arg)
        if known:
            return Argument(state.numbers[known]) if _matters(state.numbers[known]) else NOTHING
        if is_place(arg.type):
            root = flow.root(arg)
            fields = [
                (n, state.numbers[v] if _matters(state.numbers[v]) else HARMLESS)
                for (b, n), v in state.fields.items()
                if b is root and v
            ]
            return Argument(fields=tuple(sorted(fields)), whole=root in state.places)
        return NOTHING

    def _external(self, flow: Flow, instr: Instr, callee: Function, state: State) -> None:
        """The user copies: what their first argument names is the user's from then on."""
        event = callee.marks.get("event")
        if not (event is not None and event[0] == "fault") and not callee.cname.startswith("kaa_user_"):
            return
        args = instr.uses()
        filled = flow.root(args[0]) if args else None
        if filled is not None and filled not in state.names:
            self._fill(flow, state, filled)
            if len(args) > 1 and "string" not in callee.cname:
                self._fetch(flow, state, flow.operand(args[1], state).value, instr)
        result = next(iter(instr.defs()), None)
        if result is not None and "copy" not in callee.cname and "clear" not in callee.cname:
            t = strip(result.type)
            if isinstance(t, IntType):
                flow.define(state, instr, result, Number(t.low, t.high))

    @staticmethod
    def _fill(flow: Flow, state: State, place: Var) -> None:
        state.places |= {place}
        for key in [k for k in state.fields if k[0] is place]:
            del state.fields[key]
        if place.param and place in flow.fn.params:
            flow.summary.fills.add(flow.fn.params.index(place))

    def _fetch(self, flow: Flow, state: State, address: int, instr: Instr) -> None:
        """The user word at `address` is read: by then it may not be what it was before."""
        if not address:
            return
        entry = flow.entries.get(address)
        if entry is not None:
            flow.summary.fetches.add(entry)
        line = instr.site or instr.line
        before = state.fetched.get(address)
        if before is not None and before != line:
            flow.refuse("twice", instr, f"the user's memory is read twice from one address (line {before} and here): "
                        "another thread may have changed it")  # fmt: skip
        state.fetched[address] = line

    def _one(
        self, flow: Flow, instr: ir.Call | ir.CallVirtual | ir.CallPointer, callee: Function, context: Context,
        state: State, only: bool,
    ) -> None:  # fmt: skip
        summary = self.summary(callee, context, instr)
        values = [state.names.get(a, 0) if isinstance(a, Var) else 0 for a in instr.args]
        fields = dict(state.fields)
        places = [flow.root(instr.args[i]) for i in summary.fills if i < len(instr.args)]
        for index, name in summary.fetches:
            if index < len(instr.args) and (not places or any(flow.is_read(p) for p in places)):
                self._fetch(flow, state, self._value(flow, instr.args, values, index, name, fields), instr)
        for index in summary.fills:
            root = flow.root(instr.args[index]) if index < len(instr.args) else None
            if root is not None:
                self._fill(flow, state, root)
        self._renew(flow, instr, callee, state)
        dst = next(iter(instr.defs()), None)
        given = summary.result is not None and not summary.result.checked
        if dst is not None and summary.result is not None and given and isinstance(strip(dst.type), IntType):
            known = state.names.get(dst)
            flow.define(state, instr, dst, summary.result.join(state.numbers[known]) if known else summary.result)
        place = instr.args[-1] if len(instr.args) > len(callee.params) else dst
        if isinstance(place, Var) and is_place(place.type) and (summary.whole or summary.fields):
            root = flow.root(place) or place
            if summary.whole:
                state.places |= {root}
            for name, number in summary.fields:
                flow.counter[0] += 1
                state.numbers[flow.counter[0]] = number
                state.fields[root, name] = flow.counter[0]
        if not only:
            return
        before: dict[tuple[int, str], int] = {}
        for index, name in {**summary.after, **(summary.if_true or {}), **(summary.if_false or {})}:
            value = self._value(flow, instr.args, values, index, name, state.fields)
            root = flow.root(instr.args[index]) if name and index < len(instr.args) else None
            if not value and root is not None and root in state.places and (root, name) not in state.fields:
                flow.counter[0] += 1
                value = state.fields[root, name] = flow.renewed.setdefault((instr, index, name), flow.counter[0])
                state.numbers[value] = summary.after.get((index, name), WHOLE)
            if value:
                before[index, name] = value
        for where, value in before.items():
            if where in summary.after:
                state.narrow(value, state.numbers[value].meet(summary.after[where]))
        if dst is not None and isinstance(strip(dst.type), BoolType):
            yes, no = summary.if_true or {}, summary.if_false or {}
            outcome = tuple(
                (value, yes.get(w, WHOLE), no.get(w, WHOLE)) for w, value in before.items() if w in yes or w in no
            )
            if outcome:
                state.bools[dst] = Condition("", TRUSTED, TRUSTED, outcome)

    @staticmethod
    def _value(
        flow: Flow, args: list[ir.Value], values: list[int], index: int, name: str, fields: dict[Key, int]
    ) -> int:
        """The user's value that an argument, or a field of it, was at the call."""
        if index >= len(args):
            return 0
        if not name:
            return values[index]
        root = flow.root(args[index])
        return fields.get((root, name), 0) if root is not None else 0

    def _renew(
        self, flow: Flow, instr: ir.Call | ir.CallVirtual | ir.CallPointer, callee: Function, state: State
    ) -> None:
        """Fields of places that the callee may have changed are other values now (an address that moved on)."""
        for index, arg in enumerate(instr.args):
            if isinstance(arg, Var) and is_place(arg.type) and self.accesses.changes(callee, index):
                root = flow.root(arg)
                for key, value in list(state.fields.items()):
                    if key[0] is root and value:
                        number = state.numbers[value]
                        name = (instr, key)
                        fresh = flow.renewed.setdefault(name, 0)
                        if not fresh:
                            flow.counter[0] += 1
                            fresh = flow.renewed[name] = flow.counter[0]
                        state.numbers[fresh] = number
                        state.fetched.pop(fresh, None)
                        state.fields[key] = fresh

    # ---- refusing ----------------------------------------------------------------------------------------------------

    def refuse(self, fn: Function, rule: str, instr: Instr, message: str) -> None:
        """Notes a refusal, once for each place."""
        filename, line = instr.file or fn.filename, instr.line
        if "/kaa/lang/" in filename and instr.site:
            filename, line = fn.filename, instr.site
        key = (rule, filename, line)
        if key in self.findings:
            return
        error = CompileError(message, filename, line=line)
        for (caller, _), (callee, site) in zip(self._stack, self._stack[1:], strict=False):
            if site is not None:
                where = f'File "{site.file or caller.filename}", line {site.line}'
                error.notes.append(f"{where}, in {caller.pretty}: calls {callee.pretty}")
        self.findings[key] = (rule, self.graph.of(fn), error)


def _matters(number: Number) -> bool:
    """Must callees be told? What was compared with a bound, and is a size that a kernel could have, is as good as the
    kernel's own."""
    return not (number.checked and 0 <= number.low and number.high <= TRUST)


def _widest(contexts: list[Context]) -> Context:
    """One context that covers all."""
    out: list[Argument] = []
    for args in zip(*contexts, strict=False):
        numbers = [a.number for a in args if a.number is not None]
        number = numbers[0] if numbers else None
        for one in numbers:
            number = number.join(one) if number is not None else one
        fields: dict[str, Number] = {}
        for arg in args:
            for name, one in arg.fields:
                fields[name] = fields[name].join(one) if name in fields else one
        out.append(Argument(number, tuple(sorted(fields.items())), any(a.whole for a in args)))
    return tuple(out)


__all__ = ["Finding", "UserMemory", "prove"]
