# SPDX-License-Identifier: Apache-2.0
"""What the proofs found: refusals, and the places that opted out of one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import cast

from kaa.compiler.errors import CompileError
from kaa.compiler.program import Function, Program
from kaa.compiler.proofs.graph import Node


def trusted(fn: Function | None, proof: str) -> str | None:
    """Why a function opts out of a proof; None if it does not."""
    if fn is None:
        return None
    return cast("dict[str, str]", fn.marks.get("trusted", {})).get(proof)


PROOFS = ("context", "ends", "order", "protection", "stack", "user")
"""All proofs. The kernel has no refusal of any: a new one fails `./kaa check`."""


@dataclass(frozen=True)
class OptOut:
    """A function that a proof leaves alone, and why."""

    proof: str
    function: str
    reason: str


@dataclass
class Findings:
    """Refusals by proof, and opt-outs."""

    errors: dict[str, list[CompileError]] = field(default_factory=dict[str, list[CompileError]])
    opted_out: list[OptOut] = field(default_factory=list[OptOut])
    seconds: dict[str, float] = field(default_factory=dict[str, float])
    documents: dict[str, str] = field(default_factory=dict[str, str])
    """Texts that a proof writes, by the file's name below docs/."""
    stacks: list[str] = field(default_factory=list[str])
    """How deep each entry's stack gets."""

    def refuse(self, proof: str, node: Node | None, error: CompileError) -> None:
        """Notes a refusal, once for each place and sentence, unless the function opts out."""
        if node is not None and trusted(node.fn, proof) is not None:
            return
        known = self.errors.setdefault(proof, [])
        if all((e.filename, e.line, e.message) != (error.filename, error.line, error.message) for e in known):
            known.append(error)

    def refused(self, proofs: tuple[str, ...] = PROOFS) -> list[CompileError]:
        """The refusals of some proofs, by place."""
        found = [e for proof in proofs for e in self.errors.get(proof, ())]
        return sorted(found, key=lambda e: (e.filename, e.line))

    def summary(self) -> str:
        """One line: how many refusals of each proof, how many opt-outs."""
        numbers = ", ".join(f"{proof} {len(errors)}" for proof, errors in sorted(self.errors.items()) if errors)
        return f"proofs: {numbers or 'nothing refused'}; {len(self.opted_out)} places opt out"

    def note_opt_outs(self, program: Program) -> None:
        """Lists who opts out of what."""
        for fn in program.functions.values():
            for proof, reason in cast("dict[str, str]", fn.marks.get("trusted", {})).items():
                one = OptOut(proof, f"{fn.module.name}.{fn.name}", reason)
                if one not in self.opted_out:
                    self.opted_out.append(one)
        self.opted_out.sort(key=lambda o: (o.proof, o.function))
