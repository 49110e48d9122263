# SPDX-License-Identifier: Apache-2.0
"""What a call may do to locks: a summary for each node of the call graph, from its callees' summaries.

A summary is relative to the call: what it takes, having given back which of the caller's locks; whether it sleeps,
likewise; what is held after it that was not before. Masks of lock bits, a handful for each function.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from kaa.compiler import ir
from kaa.compiler.proofs.graph import Graph, Node, Site
from kaa.compiler.proofs.held import Flow, Held, State
from kaa.compiler.proofs.locks import HANDLER, IRQ, PARAMETER_BITS, LockTable, bits, parameter_of
from kaa.lang.proofs import EVENT

ALL = -1
TRIED = 16
"""Among the contexts of a taken lock: it was only tried, so nobody waited for it."""
Group = tuple[int, int, int]
"""(bits given back before, contexts made before: IRQ and HANDLER; locks taken then)."""


class Takes:
    """Locks that are taken: per contexts made before, those taken with all of the caller's held, and for each other
    lock what is certainly given back before."""

    __slots__ = ("plain", "after", "_groups")

    def __init__(self) -> None:
        self.plain: dict[int, int] = {}
        self.after: dict[int, dict[int, int]] = {}
        self._groups: list[Group] | None = None

    def add(self, given: int, contexts: int, mask: int) -> None:
        """Locks that are taken with `given` given back before."""
        have = self.plain.get(contexts, 0)
        if not mask & ~have:
            return
        self._groups = None
        after = self.after.setdefault(contexts, {})
        if given == 0:
            self.plain[contexts] = have | mask
            for bit in [b for b in after if b & mask]:
                del after[bit]
            return
        for bit in bits(mask & ~have):
            left = after.get(bit, ALL) & given
            if left:
                after[bit] = left
            else:
                after.pop(bit, None)
                self.plain[contexts] = self.plain.get(contexts, 0) | bit

    def groups(self) -> list[Group]:
        """All of it, by what was given back."""
        if self._groups is None:
            found: dict[tuple[int, int], int] = {}
            for contexts, mask in self.plain.items():
                found[0, contexts] = mask
            for contexts, after in self.after.items():
                for bit, given in after.items():
                    found[given, contexts] = found.get((given, contexts), 0) | bit
            self._groups = [(given, contexts, mask) for (given, contexts), mask in found.items()]
        return self._groups

    def all(self) -> int:
        """Every lock."""
        mask = 0
        for _, _, taken in self.groups():
            mask |= taken
        return mask


@dataclass(slots=True)
class Summary:
    """What a call of one node may do."""

    sleeps: int | None = None
    """None: never. Else the bits that are certainly given back before it sleeps: they may be held at the call."""
    last: int | None = None
    """The same for what only the release of an object's last reference leads to: its `__del__`, its fields' ends."""
    put_off: int | None = None
    """None: no object ends whose end may be put off. Else the bits that are certainly given back before."""
    takes: Takes = field(default_factory=Takes)
    """Not what only the last release of an object leads to, but for the allocator's."""
    edges: set[tuple[int, int]] = field(default_factory=set[tuple[int, int]])
    """Pairs (held, taken) of which one is a parameter: the caller knows which lock that is."""
    net: tuple[Held, ...] = ()
    """Held after it, and not before."""
    net_minus: int = 0
    raised_net: tuple[Held, ...] = ()
    raised_minus: int = 0
    irq_off: bool = False
    """Interrupts are off after it, whatever they were."""
    returns: bool = True
    raises: bool = True
    """False, before the node was looked at: nothing comes back from it yet (and so nothing that is not so)."""

    def shape(self) -> tuple[object, ...]:
        """Everything, to see whether it changed."""
        return (self.sleeps, self.last, self.put_off, tuple(sorted(self.takes.groups())), len(self.edges), self.net,
                self.net_minus, self.raised_net, self.raised_minus, self.irq_off, self.returns,
                self.raises)  # fmt: skip


NOTHING = Summary()
BOTTOM = Summary(returns=False, raises=False)


class Summaries:
    """The summaries of one program, and the edges of its lock order."""

    def __init__(self, graph: Graph, table: LockTable) -> None:
        self.graph = graph
        self.table = table
        self.of: dict[Node, Summary] = {}
        self.points: dict[Node, list[tuple[Site, State]]] = {}
        """Sites with states, of the functions that touch locks or contexts themselves."""
        self.edges: dict[tuple[int, int], tuple[Held, Site]] = {}
        """Lock order: (held, taken) → an example: the lock as it is held, and the site that takes the other."""
        self.freeing = NOTHING
        """What the end of every object does: give memory back."""
        self._allocate_bits()
        for component in graph.components():
            self._component(component)
        taken = 0
        for summary in self.of.values():
            taken |= summary.takes.all()
        table.taken = set(bits(taken & ~PARAMETER_BITS))

    def _allocate_bits(self) -> None:
        """Names all locks first, so that the masks of kinds are complete."""
        for node in self.graph.nodes:
            if node.has_events and node.fn is not None:
                for site in node.sites():
                    event = site.event
                    if event is not None and event.what[0] == "acquire":
                        self.table.bit_of(node.fn, event.subject, event.what[1], event.what[3])

    def _component(self, nodes: list[Node]) -> None:
        alone = len(nodes) == 1 and nodes[0] not in nodes[0].callees
        for node in nodes:
            self.of.setdefault(node, BOTTOM)
        for _ in range(1 if alone else 40):
            changed = False
            for node in nodes:
                made = self._summarise(node)
                changed |= made.shape() != self.of[node].shape()
                self.of[node] = made
            if not changed:
                break
        for node in nodes:
            if node is self.graph.by_symbol.get("kaa_object_free"):
                self.freeing = self.of[node]
        for node in nodes:
            self._record(node)

    # ---- one node ----------------------------------------------------------------------------------------------------

    def _summarise(self, node: Node) -> Summary:
        if node.mark("fatal"):
            return NOTHING
        if not self._needs_flow(node):
            return self._plain(node)
        flow = Flow(node, self.table, self)
        out = Summary(returns=flow.returned is not None, raises=flow.raised is not None)
        self.points[node] = flow.points()
        for site, state in self.points[node]:
            self._at(node, site, state, out)
        if flow.returned is not None:
            out.net = tuple(h for h in flow.returned.held if not h.given)
            out.net_minus = flow.returned.minus & ~IRQ if flow.returned.irq_off else flow.returned.minus
            out.irq_off = flow.returned.irq_off
        if flow.raised is not None:
            out.raised_net, out.raised_minus = flow.raised.held, flow.raised.minus
        return out

    def _needs_flow(self, node: Node) -> bool:
        """Does anything here change what is held?"""
        if node.has_events or node.mark("requires"):
            return True
        for callee in node.callees:
            known = self.of.get(callee, NOTHING)
            if known.net or known.net_minus or known.raised_net or known.raised_minus or known.irq_off:
                return node.fn is not None and bool(node.fn.blocks)
            if known.edges or known.takes.all() & PARAMETER_BITS:
                return node.fn is not None and bool(node.fn.blocks)
        return False

    def _plain(self, node: Node) -> Summary:
        """The union of the callees': nothing is held here."""
        free = self._needless(node.fn.marks.get(EVENT, ("",))) if node.fn is not None else self._put_off(node)
        sleeps: int | None = None
        last: int | None = None
        put_off: int | None = 0 if free and node.fn is None else None
        takes = Takes()
        for callee in node.callees:
            known = self.of.get(callee, NOTHING)
            last = _least(last, known.last)
            put_off = _least(put_off, known.put_off)
            if callee.fn is None:
                last = _least(last, known.sleeps)
                known = self.freeing
            sleeps = _least(sleeps, known.sleeps)
            for given, contexts, mask in known.takes.groups():
                takes.add(given | free, contexts, mask & ~PARAMETER_BITS)
        if free:
            given = ALL if node.fn is None else free  # locks that are named later among them
            sleeps = sleeps | given if sleeps is not None else None
            last = last | given if last is not None else None
        return Summary(sleeps, last, put_off, takes)

    def _needless(self, what: tuple[object, ...]) -> int:
        """What a fault need not find given back: nothing atomic is held where it happens at all."""
        return self.table.atomic if what == ("fault", "unless atomic") else 0

    def _put_off(self, node: Node) -> int:
        """The end of a LateEnd looks whether anything atomic is held, and is put off if so."""
        return self.table.atomic if node.info is not None and node.info.ends_late else 0

    def _at(self, node: Node, site: Site, state: State, out: Summary) -> None:
        """Adds what one site does."""
        plus = self.effective(state)
        if site.event is not None:
            what = site.event.what
            if what[0] in ("sleep", "fault"):
                out.sleeps = self._sleep(out.sleeps, plus, state, self._needless(what))
            elif what[0] == "acquire":
                bit = self._bit_at(node, site)
                if what[1] == "sleep" and not what[4]:
                    out.sleeps = self._sleep(out.sleeps, plus, state, 0)
                self._take(out, plus, state, bit, 0, TRIED if what[4] else 0)
                if not what[4]:
                    self._pairs(out, plus, bit)
            return
        for callee in site.callees:
            known = self.of.get(callee, NOTHING)
            out.last = self._sleep(out.last, plus, state, self._given(known.last, site))
            if known.put_off is not None:
                given = state.minus | (self.passed(known.put_off, site) & ~(plus & ~IRQ))
                out.put_off = _least(out.put_off, given)
            if callee.fn is None:
                out.last = self._sleep(out.last, plus, state, self._given(known.sleeps, site))
                known = self.freeing
            out.sleeps = self._sleep(out.sleeps, plus, state, self._given(known.sleeps, site))
            for before, made, mask in known.takes.groups():
                given, taken = self.passed(before, site), self.passed(mask, site)
                self._take(out, plus, state, taken, given, made)
                if not made & TRIED:
                    self._pairs(out, plus & ~given, taken)
            for held, taken in known.edges:
                for a in bits(self.passed(held, site)):
                    for b in bits(self.passed(taken, site)):
                        if (a | b) & PARAMETER_BITS:
                            out.edges.add((a, b))

    def _bit_at(self, node: Node, site: Site) -> int:
        assert node.fn is not None and site.event is not None
        _, kind, _, nested, _ = site.event.what
        return self.table.bit_of(node.fn, site.event.subject, kind, nested)

    def effective(self, state: State) -> int:
        """What is held here, with the interrupts that some locks keep off."""
        plus = state.plus()
        return plus | IRQ if plus & self.table.irq_locks else plus

    def compose(self, plus: int, state: State, given: int) -> int:
        """What of the caller's is given back before something in a callee that gives back `given` first."""
        if given & self.table.atomic == self.table.atomic:
            return state.minus | given
        return state.minus | (given & ~(plus & ~IRQ))

    def _given(self, sleeps: int | None, site: Site) -> int | None:
        return None if sleeps is None else self.passed(sleeps, site)

    def _sleep(self, known: int | None, plus: int, state: State, given: int | None) -> int | None:
        """What is given back before any sleep, with one more that gives back `given`."""
        if given is None or plus & ~given & self.table.atomic:
            return known  # no sleep, or one that the context proof refuses: callers need not hear of it again
        return _least(known, self.compose(plus, state, given))

    def _take(self, out: Summary, plus: int, state: State, mask: int, given: int, made: int) -> None:
        contexts = (plus & ~given & (IRQ | HANDLER)) | made
        out.takes.add(self.compose(plus, state, given), contexts, mask)

    @staticmethod
    def _pairs(out: Summary, held: int, taken: int) -> None:
        """Pairs with a parameter: only the caller knows what they are."""
        for a in bits(held & ~15):
            for b in bits(taken if a & PARAMETER_BITS else taken & PARAMETER_BITS):
                out.edges.add((a, b))

    # ---- calls -------------------------------------------------------------------------------------------------------

    def passed(self, mask: int, site: Site) -> int:
        """A callee's mask with its parameters replaced by what the call passes."""
        params = mask & PARAMETER_BITS
        if not params or mask & self.table.atomic == self.table.atomic:
            return mask
        out = mask & ~PARAMETER_BITS
        fn, instr = site.node.fn, site.instr
        args = instr.args if isinstance(instr, (ir.Call, ir.CallVirtual, ir.CallPointer)) else ()
        for bit in bits(params):
            index, kind, nested = parameter_of(bit)
            if fn is not None and index < len(args):
                out |= self.table.bit_of(fn, args[index], kind, nested)
        return out

    def leave(self, site: Site, state: State, raising: bool) -> bool:
        """A call's effect on what is held after it; False if it does not come back that way. What a primitive does
        inside, its event has told."""
        if site.instr.primitive:
            return True
        known = [(c, self.of.get(c, NOTHING)) for c in site.callees]
        back = [(c, k) for c, k in known if (k.raises if raising else k.returns)]
        changes = [(c, k) for c, k in back if self._changes(k, raising)]
        if not changes:
            return bool(back)
        before = state.copy() if len(changes) < len(back) or len(changes) > 1 else None
        self._leave_one(site, state, *changes[0], raising)
        for callee, one in changes[1:]:
            assert before is not None
            other = before.copy()
            self._leave_one(site, other, callee, one, raising)
            state.merge(other)
        if before is not None and len(changes) < len(back):
            state.merge(before)
        return True

    @staticmethod
    def _changes(known: Summary, raising: bool) -> bool:
        if raising:
            return bool(known.raised_net or known.raised_minus)
        return bool(known.net or known.net_minus or known.irq_off)

    def _leave_one(self, site: Site, state: State, callee: Node, known: Summary, raising: bool) -> None:
        net, minus = (known.raised_net, known.raised_minus) if raising else (known.net, known.net_minus)
        if minus:
            minus = self.passed(minus, site)
            left = minus & ~state.plus()
            state.held = tuple(h for h in state.held if not h.bit & minus)
            state.minus |= left
            if minus & IRQ:
                state.irq_off = False
        if known.irq_off and not raising:
            state.irq_off = True
        for one in net:
            path = self._path_passed(one.path, callee, site)
            have = {(h.bit, h.path) for h in state.held}
            for bit in bits(self.passed(one.bit, site)):
                if (bit, path) not in have:
                    state.held = (*state.held, Held(bit, path, one.shared, one.must, site))

    def _path_passed(self, path: str, callee: Node, site: Site) -> str:
        """A callee's path in the caller's terms."""
        root, _, rest = path.partition(".")
        fn = site.node.fn
        args = getattr(site.instr, "args", ())
        for index, param in enumerate(callee.fn.params if callee.fn is not None else ()):
            if param.name == root and fn is not None and index < len(args):
                return self.table.path_of(fn, args[index]) + ("." + rest if rest else "")
        return path

    # ---- the order of locks ------------------------------------------------------------------------------------------

    def _record(self, node: Node) -> None:
        """Notes the edges of the lock order that this node makes."""
        trusted = node.mark("trusted")
        if isinstance(trusted, dict) and "order" in trusted:
            return
        for site, state in self.points.get(node, ()):
            if site.event is not None:
                if site.event.what[0] == "acquire" and not site.event.what[4]:
                    self._note(state, 0, self._bit_at(node, site), site)
                continue
            for callee in site.callees:
                known = self.of[callee] if callee.fn is not None else self.freeing
                for given, made, mask in known.takes.groups():
                    if state.held and not made & TRIED:
                        self._note(state, self.passed(given, site), self.passed(mask, site), site)
                for held, taken in known.edges:
                    for a in bits(self.passed(held, site)):
                        self._note_pair(Held(a, "", site=site), self.passed(taken, site), site)

    def _note(self, state: State, given: int, taken: int, site: Site) -> None:
        for held in state.held:
            if not held.bit & given:
                self._note_pair(held, taken, site)

    def _note_pair(self, held: Held, taken: int, site: Site) -> None:
        if held.bit & PARAMETER_BITS:
            return
        for bit in bits(taken & ~PARAMETER_BITS):
            self.edges.setdefault((held.bit, bit), (held, site))


def _least(a: int | None, b: int | None) -> int | None:
    """What is given back before both of two sleeps; None is no sleep."""
    return b if a is None else a if b is None else a & b


def sites_of(node: Node, summaries: Summaries) -> list[tuple[Site, State]]:
    """Every site of a node with the state before it."""
    found = summaries.points.get(node)
    if found is not None:
        return found
    return [(site, State()) for site in node.sites()]


__all__ = ["ALL", "NOTHING", "Flow", "Summaries", "Summary", "ir", "sites_of"]
