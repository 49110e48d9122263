# SPDX-License-Identifier: Apache-2.0
"""The containers and text that compiled code uses, run under CPython on the simulated memory."""

from __future__ import annotations

import random
from collections import deque

import pytest

from kaa.lang.builtins.deque import Deque
from kaa.lang.builtins.deque import freeze as freeze_deque
from kaa.lang.builtins.dict import Dict
from kaa.lang.builtins.dict import freeze as freeze_dict
from kaa.lang.builtins.list import List
from kaa.lang.builtins.list import freeze as freeze_list
from kaa.lang.builtins.text import HEX, LEFT, PREFIX, RIGHT, SIGNED, UNSIGNED, ZERO_FILL, Piece, render, render_piece
from kaa.lang.memory import memory
from kaa.lang.sequences import Slice
from kaa.lang.unsafe import Ptr


def test_list_like_python_s() -> None:
    rng = random.Random(1)
    ours: List[int] = List()
    theirs: list[int] = []
    for _ in range(600):
        choice, at, value = rng.randrange(7), rng.randrange(len(theirs) + 1), rng.randrange(20)
        if choice <= 2:
            ours.append(value), theirs.append(value)
        elif choice == 3:
            ours.insert(at, value), theirs.insert(at, value)
        elif choice == 4 and at < len(theirs):
            assert ours.pop_at(at) == theirs.pop(at)
        elif choice == 5 and value in theirs:
            assert value in ours and ours.index(value) == theirs.index(value)
            ours.remove(value), theirs.remove(value)
        elif choice == 6 and at < len(theirs):
            ours[at] = value
            theirs[at] = value
        assert list(ours) == theirs
    assert list(ours.__reversed__()) == theirs[::-1]
    both: List[int] = List()
    both.extend(ours)
    both.extend(ours)
    assert list(both) == theirs * 2


def test_containers_give_their_memory_back() -> None:
    before = dict(memory.live)
    xs: List[int] = List()
    d: Dict[int, int] = Dict()
    q: Deque[int] = Deque()
    for n in range(50):
        xs.append(n)
        d[n] = n
        q.append(n)
    del xs, d, q
    assert memory.live == before


def test_dict_like_python_s() -> None:
    rng = random.Random(2)
    ours: Dict[bytes, int] = Dict()
    theirs: dict[bytes, int] = {}
    for _ in range(2000):
        key = b"some/longer/prefix" [: rng.randrange(3) * 8] + b"%d" % rng.randrange(40)
        choice = rng.randrange(6)
        if choice <= 1:
            value = rng.randrange(100)
            ours[key] = value
            theirs[key] = value
        elif choice == 2 and key in theirs:
            assert ours.pop(key) == theirs.pop(key)
        elif choice == 3:
            assert ours.get_default(Slice.of(key), -1) == theirs.get(key, -1)
        elif choice == 4:
            assert ours.setdefault(key, 5) == theirs.setdefault(key, 5)
        elif rng.randrange(60) == 0:
            ours.clear(), theirs.clear()
        assert len(ours) == len(theirs) and (key in ours) == (key in theirs)
        assert list(ours.items()) == list(theirs.items())
    with pytest.raises(KeyError):
        ours[b"absent"]


def test_deque_like_python_s() -> None:
    rng = random.Random(3)
    ours: Deque[int] = Deque()
    theirs: deque[int] = deque()
    for n in range(1000):
        choice = rng.randrange(4)
        if choice == 0:
            ours.append(n), theirs.append(n)
        elif choice == 1:
            ours.appendleft(n), theirs.appendleft(n)
        elif theirs and choice == 2:
            assert ours.pop() == theirs.pop()
        elif theirs:
            assert ours.popleft() == theirs.popleft()
        assert list(ours) == list(theirs)


def test_failed_allocation_leaves_containers_as_they_were() -> None:
    for allowed in range(4):
        d: Dict[int, int] = Dict()
        for n in range(6):
            d[n] = n
        before = dict(memory.live)
        memory.fail_after = allowed
        try:
            with pytest.raises(MemoryError):
                d[6] = 6
        finally:
            memory.fail_after = -1
        assert memory.live == before and list(d) == list(range(6))


def test_frozen_containers() -> None:
    keys = {b"name%d" % n: n for n in range(20)}
    fields = freeze_dict(keys)  # type: ignore[arg-type]
    assert fields["capacity"] == 20 and len(fields["index"]) == fields["mask"] + 1  # type: ignore[arg-type, operator]
    assert freeze_list([])["data"] is None and freeze_list([1, 2])["data"] == [1, 2]
    frozen = freeze_deque(deque([1, 2, 3]))
    assert (frozen["capacity"], frozen["data"]) == (4, [1, 2, 3, None])
    d: Dict[bytes, int] = Dict()
    for name, value in fields.items():
        if isinstance(value, list):
            pointer = type(getattr(d, name))(memory.allocate(len(value) * 8))
            for at, element in enumerate(value):
                pointer[at] = element
            setattr(d, name, pointer)
        else:
            setattr(d, name, value)
    assert all(d[key] == value for key, value in keys.items())
    d[b"new"] = 1
    assert len(d) == 21 and not d.frozen


def _rendered(kind: int, value: int, flags: int = 0, width: int = 0) -> bytes:
    runs: list[bytes] = []
    render_piece(Piece(kind, flags, width, 0, value), lambda run: runs.append(bytes(run)))
    return b"".join(runs)


def test_numbers_as_python_formats_them() -> None:
    for value in (0, 1, 9, 10, 255, 2**63, 2**64 - 1):
        assert _rendered(UNSIGNED, value) == b"%d" % value
        assert _rendered(UNSIGNED, value, 0, 8) == f"{value:8d}".encode()
        assert _rendered(UNSIGNED, value, LEFT, 8) == f"{value:<8d}".encode()
        assert _rendered(HEX, value, ZERO_FILL, 8) == f"{value:08x}".encode()
        assert _rendered(HEX, value, ZERO_FILL | PREFIX, 18) == f"{value:#018x}".encode()
    assert _rendered(SIGNED, 2**64 - 5, ZERO_FILL, 6) == f"{-5:06d}".encode()
    assert _rendered(SIGNED, 2**63) == b"%d" % -(2**63)
    assert _rendered(7, 1, RIGHT, 6) == b"  True"
    runs: list[bytes] = []
    render("hello", lambda run: runs.append(bytes(run)))
    assert runs == [b"hello"] and Ptr[int](1).address == 1
