# SPDX-License-Identifier: Apache-2.0
"""Within one function: which locks are held before each instruction, and what was done to the context.

A forward flow over the blocks. What is held is relative to the function's start: `held` was taken here, `minus` was
held by callers and is given back here. At joins `held` is what any way holds (`must` says if all do), `minus` what all
ways gave back. A lock taken by a try is held on the branch where its result is true; on the branch where a `@sleepable`
test is true, nothing that forbids sleeping is held, here or by callers.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from kaa.compiler import ir
from kaa.compiler.ir import Block, Var
from kaa.compiler.proofs.graph import Node, Site
from kaa.compiler.proofs.locks import CONTEXTS, HANDLER, IRQ, PREEMPT, RCU, LockTable

if TYPE_CHECKING:
    from kaa.compiler.proofs.summary import Summaries


@dataclass(frozen=True, slots=True)
class Held:
    """A lock that is held: its class, which instance, since when."""

    bit: int
    path: str
    shared: bool = False
    must: bool = True
    site: Site | None = field(default=None, compare=False)
    given: bool = False
    """Callers hold it: `@requires`."""


@dataclass(slots=True)
class State:
    """What holds at one place of a function, relative to its start."""

    held: tuple[Held, ...] = ()
    minus: int = 0
    irq_off: bool = False
    preempt_off: int = 0
    rcu: int = 0
    handler: int = 0
    saved: dict[Var, tuple[bool, int]] = field(default_factory=dict[Var, tuple[bool, int]])
    tests: dict[Var, Held | None] = field(default_factory=dict[Var, Held | None])
    """Results not looked at yet: of a try (the lock), of a test whether sleeping is allowed (None)."""

    def copy(self) -> State:
        return State(
            self.held, self.minus, self.irq_off, self.preempt_off, self.rcu, self.handler,
            dict(self.saved) if self.saved else {}, dict(self.tests) if self.tests else {},
        )  # fmt: skip

    def contexts(self) -> int:
        """The bits of the contexts that were made here."""
        return (
            (IRQ if self.irq_off else 0)
            | (PREEMPT if self.preempt_off > 0 else 0)
            | (RCU if self.rcu > 0 else 0)
            | (HANDLER if self.handler > 0 else 0)
        )

    def plus(self) -> int:
        """The bits of all that was taken here: locks and contexts."""
        mask = self.contexts()
        for one in self.held:
            mask |= one.bit
        return mask

    def merge(self, other: State) -> bool:
        """Takes in another way here; True if that changed anything."""
        held = _merged(self.held, other.held)
        saved = {v: s for v, s in self.saved.items() if other.saved.get(v) == s}
        tests = {v: t for v, t in self.tests.items() if v in other.tests}
        new = State(
            held, self.minus & other.minus, self.irq_off or other.irq_off,
            max(self.preempt_off, other.preempt_off), max(self.rcu, other.rcu), max(self.handler, other.handler),
            saved, tests,
        )  # fmt: skip
        if new == self:
            return False
        self.held, self.minus, self.irq_off, self.preempt_off = new.held, new.minus, new.irq_off, new.preempt_off
        self.rcu, self.handler, self.saved, self.tests = new.rcu, new.handler, new.saved, new.tests
        return True


def _merged(mine: tuple[Held, ...], theirs: tuple[Held, ...]) -> tuple[Held, ...]:
    """What is held on one way or the other. A lock of the same class on both is held, if maybe not the same one."""
    if mine == theirs:
        return mine
    rest = list(theirs)
    out: list[Held] = []
    alone: list[Held] = []
    for one in mine:
        same = next((h for h in rest if h.bit == one.bit and h.path == one.path), None)
        if same is None:
            alone.append(one)
            continue
        rest.remove(same)
        must, shared = one.must and same.must, one.shared or same.shared
        changed = one.must != must or one.shared != shared
        out.append(replace(one, must=must, shared=shared) if changed else one)
    for one in alone:
        same = next((h for h in rest if h.bit == one.bit), None)
        if same is not None:
            rest.remove(same)
            out.append(replace(one, path="", must=one.must and same.must, shared=one.shared or same.shared))
        else:
            out.append(replace(one, must=False) if one.must else one)
    return (*out, *(replace(h, must=False) if h.must else h for h in rest))


class Flow:
    """The states of one function. `known` gives the summaries of what it calls."""

    def __init__(self, node: Node, table: LockTable, known: Summaries) -> None:
        assert node.fn is not None
        self.node = node
        self.fn = node.fn
        self.table = table
        self.known = known
        self.sites = {block: sites for block, sites in node.blocks if block is not None}
        self.starts: dict[Block, State] = {}
        self.returned: State | None = None
        self.raised: State | None = None
        self._run()

    def _run(self) -> None:
        first = self.fn.blocks[0]
        self.starts[first] = entry_state(self.node, self.table)
        work = [first]
        while work:
            block = work.pop()
            state = self.starts[block].copy()
            for site in self.sites.get(block, ()):
                instr = site.instr
                if instr.handler is not None:
                    thrown = state.copy()
                    if self.known.leave(site, thrown, raising=True):
                        self._into(instr.handler.block, thrown, work)
                if not self.step(site, state):
                    break
            else:
                self._end(block, state, work)

    def _end(self, block: Block, state: State, work: list[Block]) -> None:
        end = block.end
        if isinstance(end, ir.Branch) and state.tests:
            yes, no = state.copy(), state
            var, positive = self._tested(end.cond, state)
            if var is not None:
                self._assume(yes if positive else no, var)
                for one in (yes, no):
                    one.tests.pop(var, None)
            self._into(end.yes, yes, work)
            self._into(end.no, no, work)
            return
        if isinstance(end, ir.Return):
            self.returned = self._joined(self.returned, state)
        elif isinstance(end, ir.RaiseOut):
            self.raised = self._joined(self.raised, state)
        for target in end.targets() if end is not None else ():
            self._into(target, state, work)

    @staticmethod
    def _joined(known: State | None, state: State) -> State:
        if known is None:
            return state.copy()
        known.merge(state)
        return known

    def _into(self, target: Block, state: State, work: list[Block]) -> None:
        if target not in self.starts:
            self.starts[target] = state.copy()
            work.append(target)
        elif self.starts[target].merge(state):
            work.append(target)

    def _tested(self, cond: ir.Value, state: State, depth: int = 0) -> tuple[Var | None, bool]:
        """The test that a branch looks at, and whether its yes is the test's."""
        if not isinstance(cond, Var) or depth > 4:
            return None, True
        if cond in state.tests:
            return cond, True
        found = self.table.definitions(self.fn).get(cond, ())
        if len(found) == 1:
            instr = found[0]
            if isinstance(instr, ir.Assign):
                return self._tested(instr.src, state, depth + 1)
            if isinstance(instr, ir.Raw) and instr.template == "!{0}":
                var, positive = self._tested(instr.args[0], state, depth + 1)
                return var, not positive
        return None, True

    def _assume(self, state: State, var: Var) -> None:
        """The test is true."""
        lock = state.tests[var]
        if lock is not None:
            state.held = (*state.held, lock)
            return
        state.held = tuple(h for h in state.held if not h.bit & self.table.atomic)
        state.minus |= self.table.atomic
        state.irq_off, state.preempt_off, state.rcu, state.handler = False, 0, 0, 0

    # ---- one site ----------------------------------------------------------------------------------------------------

    def step(self, site: Site, state: State) -> bool:
        """What a site does to the state; False if control does not come back from it."""
        if site.event is None:
            return self.known.leave(site, state, raising=False)
        event = site.event
        match event.what[0]:
            case "acquire":
                self._acquire(event, site, state)
            case "release":
                self._release(event, state)
            case "interrupts":
                self._interrupts(event, state)
            case "preemption":
                state.preempt_off = _count(state, state.preempt_off, event.what[1] == "off", PREEMPT)
            case "rcu":
                state.rcu = _count(state, state.rcu, event.what[1] == "begin", RCU)
            case "handler":
                state.handler = _count(state, state.handler, event.what[1] == "begin", HANDLER)
            case "ask":
                if isinstance(event.result, Var):
                    state.tests[event.result] = None
            case _:
                pass
        return True

    def lock_of(self, site: Site) -> Held:
        """The lock that an acquire event is about."""
        event = site.event
        assert event is not None
        _, kind, shared, nested, _ = event.what
        bit = self.table.bit_of(self.fn, event.subject, kind, nested)
        return Held(bit, self.table.path_of(self.fn, event.subject), shared, True, site)

    def _acquire(self, event: ir.Event, site: Site, state: State) -> None:
        lock = self.lock_of(site)
        if not event.what[4]:
            state.held = (*state.held, lock)
        elif isinstance(event.result, Var):
            state.tests[event.result] = lock

    def _release(self, event: ir.Event, state: State) -> None:
        path = self.table.path_of(self.fn, event.subject)
        for exact in (True, False):
            for one in reversed(state.held):
                if one.path == path if exact else one.bit in self.table.of_value(self.fn, event.subject):
                    state.held = tuple(h for h in state.held if h is not one)
                    if one.given or not one.must:  # where it was not taken here, it is a caller's
                        state.minus |= one.bit
                    return
        for bit in self.table.of_value(self.fn, event.subject):
            state.minus |= bit

    def _interrupts(self, event: ir.Event, state: State) -> None:
        change = event.what[1]
        if change == "on":
            state.irq_off = False
            state.minus |= IRQ
        elif change == "restore":
            saved = self._saved(event.subject, state)
            if saved is not None:
                state.irq_off = saved[0]
                state.minus = state.minus & ~IRQ | saved[1]
            else:
                state.irq_off = False
        else:
            if change == "save" and isinstance(event.result, Var):
                state.saved[event.result] = (state.irq_off, state.minus & IRQ)
            state.irq_off = True

    def _saved(self, value: ir.Value | None, state: State) -> tuple[bool, int] | None:
        for _ in range(4):
            if not isinstance(value, Var):
                return None
            if value in state.saved:
                return state.saved[value]
            found = self.table.definitions(self.fn).get(value, ())
            value = found[0].src if len(found) == 1 and isinstance(found[0], ir.Assign) else None
        return None

    # ---- asking ------------------------------------------------------------------------------------------------------

    def points(self) -> list[tuple[Site, State]]:
        """Every site with the state before it."""
        out: list[tuple[Site, State]] = []
        for block, start in self.starts.items():
            state = start.copy()
            for site in self.sites.get(block, ()):
                out.append((site, state.copy()))
                if not self.step(site, state):
                    break
        return out

    def before(self, instr: ir.Instr) -> State | None:
        """The state before any instruction of the function; None if it is not reached."""
        for block, start in self.starts.items():
            if instr is not block.end and instr not in block.instrs:
                continue
            state = start.copy()
            rest = iter(self.sites.get(block, ()))
            site = next(rest, None)
            for one in block.instrs:
                if one is instr:
                    return state
                if site is not None and site.instr is one:
                    self.step(site, state)
                    site = next(rest, None)
            return state
        return None


def _count(state: State, have: int, more: bool, bit: int) -> int:
    if more:
        return min(have + 1, 8)
    if have == 0:
        state.minus |= bit
    return max(have - 1, 0)


def entry_state(node: Node, table: LockTable) -> State:
    """The state at a function's start: what `@requires` says that callers hold, as instances of its own parameters."""
    fn = node.fn
    names = fn.marks.get("requires", ()) if fn is not None else ()
    held: list[Held] = []
    for name in names:
        assert fn is not None
        bit, path = table.required(fn, name)
        held.append(Held(bit, path, given=True))
    return State(tuple(held))


__all__ = ["CONTEXTS", "Flow", "Held", "State", "entry_state"]
