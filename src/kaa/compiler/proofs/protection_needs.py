# SPDX-License-Identifier: Apache-2.0
"""What an access asks of the place where it happens, and of those who call the function it is in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from kaa.compiler.classes import Field
from kaa.compiler.errors import CompileError
from kaa.compiler.ir import FieldPlace
from kaa.compiler.proofs.graph import Node, Site
from kaa.compiler.proofs.protection_paths import GLOBAL, Path

LOCK, FRESH, OWNER, PREEMPTION, READER = "lock", "new", "owner", "preemption", "reader"
EITHER = "either"
"""One of the need's `options`."""
NOWHERE = Path("", GLOBAL)


@dataclass(eq=False)
class Need:
    """Something that must hold at one place: at an access, or (`inner`) at a call of a function that needs it."""

    kind: str
    base: Path
    """The object that is accessed."""
    path: Path
    """The lock."""
    writes: bool
    place: FieldPlace | None
    what: str
    node: Node
    line: int
    filename: str
    mask: int = 0
    inner: Need | None = None
    said: str = ""
    """What the field says, or that it says nothing."""
    lock: str = ""
    """The lock as the field names it."""
    options: tuple[Need, ...] = ()
    """Of EITHER: what may still be met, here or by callers."""

    @property
    def field(self) -> Field | None:
        """The field that is accessed; None for what `@requires` says."""
        return self.place.field if self.place is not None else None

    @property
    def field_key(self) -> str:
        return self.place.key if self.place is not None else ""

    @property
    def rule(self) -> str:
        """Which rule it is about."""
        return self.said or "requires"

    @property
    def key(self) -> tuple[str, ...]:
        """What makes two needs of one function the same."""
        if self.kind == EITHER:
            return (self.kind, *(word for one in self.options for word in one.key))
        if self.kind == LOCK:
            return (self.kind, self.base.text, self.path.text, "w" if self.writes else "r")
        return (self.kind, self.base.text, self.field_key)

    def at(self, node: Node, site: Site, mapped: Callable[[Path], Path | None]) -> Need | None:
        """The same at a call; None if it is about something that the caller does not know."""
        filename, line = site.place()
        if self.kind == EITHER:
            options = tuple(o for one in self.options if (o := one.at(node, site, mapped)) is not None)
            return replace(self, node=node, line=line, filename=filename, inner=self, options=options)
        base = mapped(self.base)
        path = mapped(self.path) if self.kind == LOCK else NOWHERE
        if path is None or (base is None and self.kind in (FRESH, OWNER)):
            return None
        return replace(self, base=base or NOWHERE, path=path, node=node, line=line, filename=filename, inner=self)

    def origin(self) -> Need:
        """The access itself."""
        return self.inner.origin() if self.inner is not None else self

    def notes(self) -> list[str]:
        """The way from the function that was entered without it to the access."""
        out: list[str] = []
        need: Need | None = self
        while need is not None:
            does = f"calls {need.inner.node.name}" if need.inner is not None else need.what
            out.append(f'File "{need.filename}", line {need.line}, in {need.node.name}: {does}')
            need = need.inner
        return out

    def error(self, reason: str = "") -> CompileError:
        """The refusal, at the access."""
        origin = self.origin()
        error = CompileError(f"{origin.what} {self._missing()}{reason}", origin.filename, line=origin.line)
        error.notes = self.notes() if self.inner is not None else []
        return error

    def _missing(self) -> str:
        origin = self.origin()
        if self.kind == EITHER:
            return ", and ".join(one._missing() for one in origin.options)
        if self.kind == LOCK:
            name = f'"{origin.lock}"' if origin.lock else origin.path.shown()
            return f"without the lock {name}" + ("" if origin.mask else f" of {origin.base.shown()}")
        if self.kind == OWNER and origin.lock:
            return f"where {origin.base.shown()} is not known to be the running thread's"
        if self.said == "relaxed":
            return "by what it was, which others may change meanwhile: say which lock, or use Atomic's fetch_add"
        return {
            FRESH: "which is Final, after it was made",
            OWNER: f"which is Owned, of {origin.base.shown()}: not known to be the running thread's",
            PREEMPTION: "which is PerCpu, with preemption on",
            READER: "which is Rcu, " + ("without a lock" if self.writes else "outside rcu.read() and without a lock"),
        }[self.kind]


__all__ = ["EITHER", "FRESH", "LOCK", "NOWHERE", "OWNER", "PREEMPTION", "READER", "Need"]
