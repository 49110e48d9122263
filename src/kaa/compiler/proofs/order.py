# SPDX-License-Identifier: Apache-2.0
"""Proof: locks are taken in one order. The graph "held when this is taken" over lock classes has no cycle.

A lock class may follow itself only where the inner one is taken as `nested` (a parent's and a child's inode, two run
queues by number): the program then has an order among the instances, which is declared and not proved."""

from __future__ import annotations

from collections import deque

from kaa.compiler.proofs.findings import Findings
from kaa.compiler.proofs.paths import Paths, error_at
from kaa.compiler.proofs.summary import Summaries

PROOF = "order"


class OrderProof:
    """Cycles in the order of locks."""

    def __init__(self, summaries: Summaries, findings: Findings) -> None:
        self.summaries = summaries
        self.table = summaries.table
        self.paths = Paths(summaries)
        self.findings = findings
        self.inner: dict[int, list[int]] = {}
        for held, taken in summaries.edges:
            self.inner.setdefault(held, []).append(taken)
        for taken in self.inner.values():
            taken.sort(key=self.table.show)

    def run(self) -> None:
        for held, taken in sorted(self.summaries.edges, key=lambda e: (self.table.show(e[0]), self.table.show(e[1]))):
            if held == taken and not self.table.is_nested(held):
                self._refuse_self(held)
        for cycle in self._cycles():
            self._refuse(cycle)

    def example(self, held: int, taken: int) -> list[str]:
        """How one lock comes to be taken under another."""
        lock, site = self.summaries.edges[held, taken]
        return [self.paths.taken(lock), *self.paths.lock_at(site, taken, held)]

    def _refuse_self(self, bit: int) -> None:
        _, site = self.summaries.edges[bit, bit]
        name = self.table.show(bit)
        message = f"{name} is taken while another {name} may be held: which comes first must be declared (nested)"
        self.findings.refuse(PROOF, site.node, error_at(message, site, self.example(bit, bit)))

    def _refuse(self, cycle: list[int]) -> None:
        names = [self.table.show(b) for b in [*cycle, cycle[0]]]
        _, site = self.summaries.edges[cycle[0], cycle[1 % len(cycle)]]
        notes: list[str] = []
        for held, taken in zip(cycle, [*cycle[1:], cycle[0]], strict=True):
            notes += [f"{self.table.show(taken)} inside {self.table.show(held)}:", *self.example(held, taken)]
        error = error_at("locks are taken in a circle: " + " → ".join(names), site, notes)
        self.findings.refuse(PROOF, site.node, error)

    def _cycles(self) -> list[list[int]]:
        """Short cycles, one through each edge that is on any, each reported once."""
        found: dict[frozenset[int], list[int]] = {}
        covered: set[tuple[int, int]] = set()
        for held in sorted(self.inner, key=self.table.show):
            for taken in self.inner[held]:
                if held != taken and (held, taken) not in covered:
                    way = self._way(taken, held)
                    if way is not None:
                        cycle = [held, *way[:-1]]
                        covered.update(zip(cycle, [*cycle[1:], cycle[0]], strict=True))
                        found.setdefault(frozenset(cycle), cycle)
        return list(found.values())

    def _way(self, start: int, goal: int) -> list[int] | None:
        """The shortest way from one lock to another in the graph."""
        before: dict[int, int] = {start: 0}
        queue = deque([start])
        while queue:
            at = queue.popleft()
            if at == goal:
                way = [at]
                while before[way[-1]]:
                    way.append(before[way[-1]])
                return way[::-1]
            for following in self.inner.get(at, ()):
                if following not in before and following != at:
                    before[following] = at
                    queue.append(following)
        return None
