# SPDX-License-Identifier: Apache-2.0
"""From one place to another: the calls in between, for messages."""

from __future__ import annotations

from collections.abc import Callable

from kaa.compiler import ir
from kaa.compiler.errors import CompileError
from kaa.compiler.proofs.graph import Node, Site
from kaa.compiler.proofs.held import Held
from kaa.compiler.proofs.locks import bits
from kaa.compiler.proofs.summary import NOTHING, Summaries, sites_of


def where(site: Site) -> str:
    """ "kernel/fs/pipe.py:75"; of an expanded body its own place, and where it is expanded."""
    filename, line = site.place()
    text = f"{short(filename)}:{line}" if line else short(filename)
    if site.instr.site and site.node.fn is not None:
        text += f" (for {short(site.node.fn.filename)}:{site.instr.site})"
    return text


def short(filename: str) -> str:
    """A file's name without what is above the package."""
    for top in ("/src/kaa/", "/tests/"):
        if top in filename:
            return filename.rpartition(top)[2]
    return filename.rpartition("/")[2]


def error_at(message: str, site: Site, notes: list[str]) -> CompileError:
    """A refusal at a site; of an expanded body, at the line of the function that it is expanded in."""
    fn = site.node.fn
    filename, line = site.place()
    if site.instr.site and fn is not None:
        filename, line = fn.filename, site.instr.site
    error = CompileError(message, filename, line=line)
    error.notes += notes
    return error


class Paths:
    """Looks for examples, guided by the summaries."""

    def __init__(self, summaries: Summaries) -> None:
        self.summaries = summaries
        self.table = summaries.table

    # ---- to a sleep --------------------------------------------------------------------------------------------------

    def to_sleep(self, node: Node, held: int, last: bool = False) -> list[str]:
        """How a call of `node` sleeps with some of `held` still held; `last`: by the end of an object."""
        return self._sleep(node, held, last, set()) or [f"{node.name} may sleep"]

    def sleep_at(self, site: Site, held: int, last: bool = False) -> list[str]:
        """How a site sleeps."""
        if site.event is not None:
            return [f"{where(site)}: {self.deed(site)}"]
        for callee in site.callees:
            for inside in self.kinds_of_sleep(callee, last):
                given = self.sleeps(callee, inside)
                if given is not None and held & ~self.summaries.passed(given, site):
                    rest = self.to_sleep(callee, held, inside)
                    return [f"{where(site)}: {site.node.name} {called(site, callee)}", *rest]
        return []

    @staticmethod
    def kinds_of_sleep(callee: Node, last: bool) -> tuple[bool, ...]:
        """Which of a callee's sleeps (its own: False; by an object's end: True) are a caller's sleep of a kind."""
        if callee.fn is None:
            return (False, True) if last else ()
        return (last,)

    def sleeps(self, callee: Node, last: bool) -> int | None:
        """What a callee gives back before it sleeps, by an object's end or otherwise; None: it does not."""
        known = self.summaries.of.get(callee, NOTHING)
        return known.last if last else known.sleeps

    def _sleep(self, node: Node, held: int, last: bool, seen: set[tuple[Node, bool]]) -> list[str] | None:
        if (node, last) in seen:
            return None
        seen.add((node, last))
        for site, state in sites_of(node, self.summaries):
            left = held & ~state.minus
            plus = self.summaries.effective(state)
            if not left:
                continue
            if site.event is not None:
                if sleeps_itself(site) and not last and not plus & self.table.atomic:
                    return [f"{where(site)}: {node.name} {self.deed(site)}"]
                continue
            for callee in site.callees:
                for inside in self.kinds_of_sleep(callee, last):
                    sleeps = self.sleeps(callee, inside)
                    given = 0 if sleeps is None else self.summaries.passed(sleeps, site)
                    if sleeps is not None and left & ~given and not plus & ~given & self.table.atomic:
                        rest = self._sleep(callee, left, inside, seen)
                        if rest is not None:
                            return [f"{where(site)}: {node.name} {called(site, callee)}", *rest]
        return None

    def deed(self, site: Site) -> str:
        """What an event is, in words."""
        event, fn = site.event, site.node.fn
        assert event is not None and fn is not None
        match event.what[0]:
            case "acquire":
                bit = self.table.bit_of(fn, event.subject, event.what[1], event.what[3])
                return f"takes {self.table.show(bit)}"
            case "sleep":
                return "sleeps"
            case "fault":
                return "touches user memory, which may have to be brought in"
            case _:
                return str(event)

    # ---- to a lock ---------------------------------------------------------------------------------------------------

    def to_lock(self, node: Node, wanted: int, accept: Callable[[int], bool], contexts: int = 0) -> list[str]:
        """How a call of `node` in `contexts` takes one of `wanted` in contexts that `accept` likes."""
        return self._lock(node, wanted, accept, contexts, set()) or [f"{node.name} takes it"]

    def lock_at(self, site: Site, wanted: int, without: int = 0) -> list[str]:
        """How a site takes one of `wanted`, `without` not being given back before."""
        if site.event is not None:
            return [f"{where(site)}: {site.node.name} {self.deed(site)}"]
        for callee in site.callees:
            for given, _, mask in self.summaries.of.get(callee, NOTHING).takes.groups():
                inside = self._inside(mask, wanted, site)
                if inside and not self.summaries.passed(given, site) & without:
                    return [f"{where(site)}: {site.node.name} {called(site, callee)}",
                            *self.to_lock(callee, inside, lambda _: True)]  # fmt: skip
            for _, taken in self.summaries.of.get(callee, NOTHING).edges:
                inside = self._inside(taken, wanted, site)
                if inside:
                    return [f"{where(site)}: {site.node.name} {called(site, callee)}",
                            *self.to_lock(callee, inside, lambda _: True)]  # fmt: skip
        return [f"{where(site)}: {site.node.name}"]

    def _inside(self, mask: int, wanted: int, site: Site) -> int:
        """The bits of a callee's mask that are `wanted` in the caller's terms."""
        return sum(b for b in bits(mask) if self.summaries.passed(b, site) & wanted)

    def _lock(
        self, node: Node, wanted: int, accept: Callable[[int], bool], contexts: int, seen: set[tuple[Node, int, int]]
    ) -> list[str] | None:
        key = (node, wanted, contexts)
        if key in seen:
            return None
        seen.add(key)
        for site, state in sites_of(node, self.summaries):
            here = (contexts & ~state.minus) | (self.summaries.effective(state) & 15)
            if site.event is not None:
                if site.event.what[0] == "acquire" and accept(here):
                    assert node.fn is not None
                    _, kind, _, nested, _ = site.event.what
                    if self.table.bit_of(node.fn, site.event.subject, kind, nested) & wanted:
                        return [f"{where(site)}: {node.name} {self.deed(site)}"]
                continue
            for callee in site.callees:
                if callee.fn is None:
                    continue
                for given, made, mask in self.summaries.of.get(callee, NOTHING).takes.groups():
                    inside = self._inside(mask, wanted, site)
                    if inside and accept((here & ~given) | made):
                        rest = self._lock(callee, inside, accept, here, seen)
                        if rest is not None:
                            return [f"{where(site)}: {node.name} {called(site, callee)}", *rest]
        return None

    def taken(self, held: Held) -> str:
        """Where a lock that is held was taken."""
        name = self.table.show(held.bit)
        if held.site is None:
            return f"{name} is held by callers"
        return f"{where(held.site)}: {held.site.node.name} takes {name}"


def called(site: Site, callee: Node) -> str:
    """The verb for a call that may be an object's end or one of many."""
    if callee.fn is None:
        return f"may release the last reference: {callee.name}"
    if isinstance(site.instr, (ir.New, ir.RawRaising)):
        return f"allocates: {callee.name}"
    many = " (one of several)" if len(site.callees) > 1 else ""
    return f"calls {callee.name}{many}"


def sleeps_itself(site: Site) -> bool:
    """Is the event one that sleeps?"""
    assert site.event is not None
    what = site.event.what
    return what in (("sleep",), ("fault",)) or (what[0] == "acquire" and what[1] == "sleep" and not what[4])
