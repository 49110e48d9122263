# SPDX-License-Identifier: Apache-2.0
"""All proofs, in order."""

from __future__ import annotations

import time
from collections.abc import Callable

from kaa.compiler.errors import CompileError
from kaa.compiler.program import Program
from kaa.compiler.proofs import lockdoc, protection, user_memory
from kaa.compiler.proofs.context import ContextProof
from kaa.compiler.proofs.findings import Findings
from kaa.compiler.proofs.graph import Graph, Node
from kaa.compiler.proofs.locks import LockTable
from kaa.compiler.proofs.order import OrderProof
from kaa.compiler.proofs.stack import StackProof
from kaa.compiler.proofs.summary import Summaries


class Prover:
    """The proofs of one program, whose counts are inserted. Refusals are in `findings`; nothing is raised."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.findings = Findings()
        self.graph: Graph | None = None

    def run(self) -> Findings:
        """All but the stacks."""
        began = time.perf_counter()
        self.graph = graph = Graph(self.program)
        table = LockTable(self.program)
        summaries = Summaries(graph, table)
        self.findings.seconds["summaries"] = time.perf_counter() - began
        order = OrderProof(summaries, self.findings)
        self._timed("context", ContextProof(summaries, self.findings).run)
        self._timed("order", order.run)
        self._timed("protection", lambda: self._take("protection", protection.prove(graph, table, summaries)))
        self._timed("user", lambda: self._take("user", user_memory.prove(graph)))
        self._timed("documents", lambda: self.findings.documents.update(lockdoc.documents(order)))
        self.findings.note_opt_outs(self.program)
        return self.findings

    def stacks(self, sizes: dict[str, int]) -> Findings:
        """The stacks, with the frames' sizes by symbol."""
        assert self.graph is not None
        proof = StackProof(self.graph, sizes, self.findings)
        self._timed("stack", proof.run)
        self.findings.stacks = proof.report
        return self.findings

    def _timed(self, name: str, proof: Callable[[], object]) -> None:
        began = time.perf_counter()
        proof()
        self.findings.seconds[name] = time.perf_counter() - began

    def _take(self, proof: str, found: list[tuple[str, Node, CompileError]]) -> None:
        for rule, node, error in found:
            error.rule = rule
            self.findings.refuse(proof, node, error)


def prove(program: Program, sizes: dict[str, int]) -> Findings:
    """Runs all proofs. Without the frames' sizes (by symbol) the stacks' finds recursion only."""
    prover = Prover(program)
    prover.run()
    return prover.stacks(sizes)
