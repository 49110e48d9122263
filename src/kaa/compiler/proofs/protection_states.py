# SPDX-License-Identifier: Apache-2.0
"""What is held before each instruction, asked for by the protection proof: the flows of `held`, by path."""

from __future__ import annotations

from kaa.compiler.ir import Block, Instr
from kaa.compiler.proofs.graph import Node
from kaa.compiler.proofs.held import Flow, Held, State
from kaa.compiler.proofs.locks import CONTEXTS, PARAMETER_BITS, LockTable, bits, is_class_named
from kaa.compiler.proofs.protection_needs import Need
from kaa.compiler.proofs.protection_paths import GLOBAL, Paths
from kaa.compiler.proofs.summary import Summaries

NOTHING = State()


class States:
    """The states of all functions, each found when first asked for."""

    def __init__(self, table: LockTable, summaries: Summaries, paths: Paths) -> None:
        self.table = table
        self.summaries = summaries
        self.paths = paths
        self._flows: dict[Node, Flow] = dict(getattr(summaries, "flows", {}))
        self._blocks: dict[Block, dict[Instr, State]] = {}

    def before(self, node: Node, block: Block | None, instr: Instr) -> State:
        """The state before an instruction."""
        if block is None or node not in self.summaries.points:
            return NOTHING
        if block not in self._blocks:
            self._blocks[block] = self._walk(node, block)
        return self._blocks[block].get(instr, NOTHING)

    def _walk(self, node: Node, block: Block) -> dict[Instr, State]:
        flow = self._flows.get(node)
        if flow is None:
            flow = self._flows[node] = Flow(node, self.table, self.summaries)
        out: dict[Instr, State] = {}
        start = flow.starts.get(block)
        if start is None:
            return out
        sites = {site.instr: site for site in flow.sites.get(block, ())}
        state = start
        for instr in block.instrs:
            out[instr] = state
            site = sites.get(instr)
            if site is not None:
                state = state.copy()
                flow.step(site, state)
        if block.end is not None:
            out[block.end] = state
        return out

    def path_of(self, node: Node, held: Held) -> str:
        """The instance of a held lock, as paths are spelled here."""
        site = held.site
        if site is not None and site.event is not None and site.node is node and node.fn is not None:
            return self.paths.of(node.fn, site.event.subject).text
        return held.path

    def holds(self, node: Node, state: State, need: Need) -> bool:
        """Is the lock of a need held, for writing if need be?"""
        for held in state.held:
            if not held.must or (need.writes and held.shared):
                continue
            if need.mask:
                if held.bit & need.mask or self._is_instance(held, need.lock):
                    return True
                continue
            text = self.path_of(node, held)
            if text == need.path.text or (need.path.kind == GLOBAL and text in need.path.text.split(",")):
                return True
        return False

    def _is_instance(self, held: Held, name: str) -> bool:
        """Is it a lock of the class that is named, which came as a parameter and so has no name yet?"""
        site = held.site
        if not held.bit & PARAMETER_BITS or site is None or site.event is None or site.node.fn is None:
            return False
        return any(is_class_named(c, name) for c in self.table.classes_of(site.node.fn, site.event.subject))

    def only_read(self, node: Node, state: State, need: Need) -> bool:
        """Is the lock held, but for reading, where the need writes?"""
        return any(h.shared and self.path_of(node, h) == need.path.text for h in state.held)

    def gave_back(self, state: State, need: Need) -> bool:
        """Was the lock of a need the callers', and given back here?"""
        lost = state.minus & ~CONTEXTS
        if not lost:
            return False
        if need.mask:
            return bool(lost & need.mask)
        if not need.path.fields:
            return any(need.path.text in self._symbols(self.table.names[b]) for b in bits(lost))
        last = need.path.fields[-1]
        ending = f".{last.field.name}"
        return any(self.table.names[b].removesuffix(" (nested)").endswith(ending) for b in bits(lost))

    def _symbols(self, name: str) -> list[str]:
        return [symbol for symbol, one in self.table.globals.items() if one == name]


__all__ = ["States"]
