# SPDX-License-Identifier: Apache-2.0
"""Proof: no kernel stack overflows. The deepest path from each entry fits, with an interrupt on top, and a margin.

The sizes of frames are the C compiler's own (section .stack_sizes of the linked image, -fstack-size-section), so this
proof runs when the C is compiled; the calls are the program's. A function that the C compiler expanded into its caller
has no symbol, and no frame of its own.

Recursion is refused unless a function of each circle is `@recursive(bound, reason)`: the longest way around then counts
`bound` times. What an object's end leads to (releases of releases) is not followed: ENDS bytes are set aside for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import cast

from kaa.compiler.elf import Elf, leb, number
from kaa.compiler.errors import CompileError
from kaa.compiler.proofs.findings import Findings
from kaa.compiler.proofs.graph import Graph, Node
from kaa.compiler.proofs.paths import short
from kaa.lang.proofs import EntryPoint

PROOF = "stack"
MARGIN = 1024
"""Bytes that must be left on every stack."""
ENDS = 2048
"""Bytes set aside for the ends of objects."""
RETURN_ADDRESS = 8
OWN_STACK = "NMI"
"""The kind of an entry that has a stack of its own, and is not interrupted."""


def frame_sizes(image: Path) -> dict[str, int]:
    """Bytes of stack of each function of a linked image, by symbol; of functions of one name, the largest."""
    elf = Elf(image)
    names: dict[int, list[str]] = {}
    for symbol in elf.functions():
        names.setdefault(symbol.address, []).append(symbol.name)
    sizes: dict[str, int] = {}
    data = elf.section(".stack_sizes")
    at = 0
    while at + 8 < len(data):
        address = number(data, at, 8)
        size, at = leb(data, at + 8)
        for name in names.get(address, ()):
            plain = name.removesuffix("__inline")
            sizes[plain] = max(sizes.get(plain, 0), size)
    return sizes


@dataclass(frozen=True)
class Depth:
    """The deepest way down from a node: bytes, and the calls."""

    size: int
    path: tuple[Node, ...]


class StackProof:
    """Depths of all nodes, against the stacks of the entries."""

    def __init__(self, graph: Graph, sizes: dict[str, int], findings: Findings) -> None:
        self.graph = graph
        self.sizes = sizes
        self.findings = findings
        self.depths: dict[Node, Depth] = {}
        self.entries = [n for n in graph.nodes if isinstance(n.mark("entry"), EntryPoint)]
        self.report: list[str] = []
        """A line for each entry."""

    def run(self) -> None:
        for part in self.graph.components(ends=False):
            if len(part) > 1 or part[0] in part[0].plain_callees():
                self._circle(part)
            else:
                self.depths[part[0]] = self._deepest(part[0], None)
        self._entries()

    def frame(self, node: Node) -> int:
        """Bytes of a node's frame, with the thunk through which it may be called."""
        if node.fn is None:
            return 0
        name = node.fn.cname
        size = self.sizes.get(name, -RETURN_ADDRESS)
        thunk = max(self.sizes.get(f"kt_{name}", -RETURN_ADDRESS), self.sizes.get(f"ks_{name}", -RETURN_ADDRESS))
        return size + RETURN_ADDRESS + thunk + RETURN_ADDRESS

    def _deepest(self, node: Node, without: set[Node] | None) -> Depth:
        """The node's frame and the deepest of its callees (`without` some)."""
        best = Depth(0, ())
        for callee in node.plain_callees():
            found = self.depths.get(callee)
            if found is not None and found.size > best.size and (without is None or callee not in without):
                best = found
        extra = self._trap_frame() if node.fn is not None and node.fn.is_external and best.path else 0
        return Depth(self.frame(node) + extra + best.size, (node, *best.path))

    def _trap_frame(self) -> int:
        """What a page fault puts on the stack before its handler's own frame."""
        for node in self.entries:
            entry = cast(EntryPoint, node.mark("entry"))
            if entry.kind == "interrupt":
                return entry.frame + self.frame(node)
        return 0

    # ---- recursion ---------------------------------------------------------------------------------------------------

    def _circle(self, part: list[Node]) -> None:
        """Functions that call each other in a circle."""
        inside = set(part)
        heads = {n for n in part if n.mark("recursive") is not None}
        order = _callees_first(inside, heads)
        if order is None:
            self._refuse(inside - heads)
            order = part
        inner: dict[Node, int] = {}
        for node in order:
            self.depths[node] = self._deepest(node, heads - {node})
            below = [inner.get(c, 0) for c in node.plain_callees() if c in inside and c not in heads]
            inner[node] = self.frame(node) + max(below, default=0)
        laps = sum((cast("tuple[int, str]", n.mark("recursive"))[0] - 1) * inner[n] for n in heads)
        for node in part:
            self.depths[node] = Depth(self.depths[node].size + laps, self.depths[node].path)

    def _refuse(self, inside: set[Node]) -> None:
        circle = _circle_in(inside)
        first = circle[0]
        fn = first.fn
        assert fn is not None
        names = " → ".join(n.name for n in [*circle, first])
        error = CompileError(f"{first.name} may call itself, and nothing says how often: {names}", fn.filename, fn.node)
        for node, following in zip(circle, [*circle[1:], first], strict=True):
            filename, line = node.callees[following].place()
            error.notes.append(f"{short(filename)}:{line}: {node.name} calls {following.name}")
        self.findings.refuse(PROOF, first, error)

    # ---- entries -----------------------------------------------------------------------------------------------------

    def _entries(self) -> None:
        nested = self._nested()
        for node in self.entries:
            entry = cast(EntryPoint, node.mark("entry"))
            depth = self.depths[node]
            rest = 0 if entry.kind == OWN_STACK else nested + ENDS
            total = entry.frame + depth.size + rest
            self.report.append(f"{entry.kind}: {total} of {entry.stack} bytes ({node.name}; {rest} of them set aside)")
            if entry.stack and total + MARGIN > entry.stack:
                message = (
                    f"a stack of {entry.stack} bytes may overflow: {total} are used from {node.name} ({entry.kind}) "
                    f"down, and {MARGIN} must be left"
                )
                assert node.fn is not None
                error = CompileError(message, node.fn.filename, node.fn.node)
                error.notes += [f"{entry.frame} bytes: the entry", *self.lines(depth), f"{nested} bytes: an interrupt",
                                f"{ENDS} bytes: the ends of objects"]  # fmt: skip
                self.findings.refuse(PROOF, node, error)

    def _nested(self) -> int:
        """What an interrupt of kernel code puts on its stack: the entry's frame, and the deepest of what runs then."""
        most = 0
        for node in self.entries:
            entry = cast(EntryPoint, node.mark("entry"))
            below = [d.size for n, d in self.depths.items() if entry.nested and _qualified(n) in entry.nested]
            if below:
                most = max(most, entry.frame + self.frame(node) + max(below))
        return most

    def lines(self, depth: Depth) -> list[str]:
        """A path, with what each frame takes."""
        out: list[str] = []
        for node in depth.path:
            size = self.frame(node)
            if node.fn is not None and size:
                out.append(f"{size} bytes: {node.name} ({short(node.fn.filename)}:{node.fn.node.lineno})")
        return out


def _qualified(node: Node) -> str:
    return f"{node.fn.module.name.rpartition('.')[2]}.{node.fn.name}" if node.fn is not None else ""


def _callees_first(inside: set[Node], heads: set[Node]) -> list[Node] | None:
    """The nodes of a circle, callees first, calls of `heads` apart; None if there is still a circle."""
    done: list[Node] = []
    waiting = {n: {c for c in n.plain_callees() if c in inside and c not in heads} for n in inside}
    while waiting:
        ready = [n for n, callees in waiting.items() if not callees & waiting.keys()]
        if not ready:
            return None
        ready.sort(key=lambda n: n.name)
        done += ready
        for node in ready:
            del waiting[node]
    return done


def _circle_in(inside: set[Node]) -> list[Node]:
    """A shortest circle among some nodes of which there is one."""
    best: list[Node] = []
    for start in sorted(inside, key=lambda n: n.name):
        before: dict[Node, Node | None] = {start: None}
        queue = [start]
        for node in queue:
            if best and len(before) > 4000:
                break
            for callee in node.plain_callees():
                if callee is start:
                    way: list[Node] = [node]
                    while before[way[-1]] is not None:
                        way.append(cast(Node, before[way[-1]]))
                    if not best or len(way) < len(best):
                        best = way[::-1]
                elif callee in inside and callee not in before:
                    before[callee] = node
                    queue.append(callee)
        if len(best) == 1:
            break
    return best
