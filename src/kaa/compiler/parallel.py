# SPDX-License-Identifier: Apache-2.0
"""Work shared by two processes. A fork sees all that the passes know; both then run the same code, each on its half of
the functions (`Pair.mine`), tell each other what they found (`Pair.exchange`), and the child's texts travel back.

Where there is no second core, `together` runs the work alone and a Pair of one exchanges with nobody."""

from __future__ import annotations

import os
import pickle
import traceback
from collections.abc import Callable, Sequence
from typing import Any, BinaryIO, NoReturn, TypeVar

T = TypeVar("T")
LENGTH = 8


class Lost(Exception):
    """The other process has ended early; its own words, if it left any."""


class Pair:
    """One of two processes that do the same work on different halves."""

    def __init__(self, index: int = 0, pipes: tuple[BinaryIO, BinaryIO] | None = None) -> None:
        self.index = index
        self.pipes = pipes

    def mine(self, items: Sequence[T]) -> list[T]:
        """This process's half."""
        return list(items) if self.pipes is None else list(items[self.index :: 2])

    @property
    def has_least(self) -> bool:
        """Is this the process whose half ends first, when the items get smaller?"""
        return self.pipes is None or self.index == 1

    def exchange(self, found: T) -> list[T]:
        """What both processes found, in the order of their halves: [found] if there is but one. Raises Lost."""
        if self.pipes is None:
            return [found]
        if self.index == 0:  # one reads while the other writes: a full pipe stops nobody for good
            theirs = self.receive()
            self.send(found)
            return [found, theirs]
        self.send(found)
        return [self.receive(), found]

    def send(self, what: Any) -> None:
        """Give the other process a value. Raises Lost."""
        assert self.pipes is not None
        data = pickle.dumps(what, pickle.HIGHEST_PROTOCOL)
        try:
            self.pipes[1].write(len(data).to_bytes(LENGTH, "little") + data)
            self.pipes[1].flush()
        except BrokenPipeError:
            raise Lost from None

    def receive(self) -> Any:
        """Take the other process's next value. Raises Lost."""
        assert self.pipes is not None
        length = int.from_bytes(self.pipes[0].read(LENGTH), "little")
        data = self.pipes[0].read(length) if length else b""
        if not length or len(data) < length:
            raise Lost
        value: Any = pickle.loads(data)  # noqa: S301 - from our own child
        if isinstance(value, Lost):
            raise value
        return value


ALONE = Pair()


def together(work: Callable[[Pair], dict[str, str]]) -> dict[str, str]:
    """The texts of work(pair), done in two processes where there is a second core. An exception of the child's own is
    raised here as Lost, with its traceback."""
    if (os.cpu_count() or 1) < 2 or not hasattr(os, "fork"):
        return work(ALONE)
    to_parent, to_child = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        _child(_ends(to_child, to_parent), work)
    pair = Pair(0, _ends(to_parent, to_child))
    try:
        return {**work(pair), **pair.receive()}
    finally:
        for end in pair.pipes or ():
            try:
                end.close()
            except BrokenPipeError:
                pass
        os.waitpid(child, 0)


def _ends(inward: tuple[int, int], outward: tuple[int, int]) -> tuple[BinaryIO, BinaryIO]:
    os.close(inward[1])
    os.close(outward[0])
    return open(inward[0], "rb"), open(outward[1], "wb")


def _child(pipes: tuple[BinaryIO, BinaryIO], work: Callable[[Pair], dict[str, str]]) -> NoReturn:
    """Does its half and ends. What it cannot do it tells; where the parent has found the same error it is gone."""
    pair = Pair(1, pipes)
    try:
        pair.send(work(pair))
    except BaseException:
        try:
            pair.send(Lost(traceback.format_exc()))
        except Lost:
            pass
    finally:
        os._exit(0)
