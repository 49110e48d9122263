# SPDX-License-Identifier: Apache-2.0
"""All proofs, in order."""

from __future__ import annotations

import time

from kaa.compiler.program import Program
from kaa.compiler.proofs.context import ContextProof
from kaa.compiler.proofs.findings import Findings
from kaa.compiler.proofs.graph import Graph
from kaa.compiler.proofs.locks import LockTable
from kaa.compiler.proofs.order import OrderProof
from kaa.compiler.proofs.summary import Summaries


def prove(program: Program) -> Findings:
    """Runs all proofs on a program with counts. Refusals are in the result; nothing is raised."""
    findings = Findings()
    began = time.perf_counter()
    graph = Graph(program)
    summaries = Summaries(graph, LockTable(program))
    findings.seconds["summaries"] = time.perf_counter() - began
    for name, proof in (("context", ContextProof(summaries, findings)), ("order", OrderProof(summaries, findings))):
        began = time.perf_counter()
        proof.run()
        findings.seconds[name] = time.perf_counter() - began
    findings.note_opt_outs(program)
    return findings
