# SPDX-License-Identifier: Apache-2.0
"""The proof of user memory: system calls that it accepts, and system calls that it refuses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from kaa.compiler.hostrun import load
from kaa.compiler.pipeline import analyse, lower
from kaa.compiler.proofs import user_memory
from kaa.compiler.proofs.graph import Graph

HEAD = """from __future__ import annotations
from kaa.lang import *
from kaa.lang.unsafe import Ptr, address_of

LIMIT = 64
END = 0x7FFF_FFFF_F000


@export("kaa_user_copy")
@naked("ret")
@may_fault
def copy_user(destination: u64, source: u64, size: u64) -> u64:
    return u64(0)


@struct
class Request:
    start: u64 = 0
    length: u64 = 0
    slot: u32 = 0


@struct
class UserRequest:
    address: u64 = 0

    def read(self) -> Request:
        out = Request()
        if self.address > END - 64 or copy_user(address_of(out), self.address, u64(24)) != 0:
            raise OSError(14)
        return out


@struct
class Buffer:
    address: u64 = 0
    size: u64 = 0

    def copy_in(self, into: Slice[u8]) -> None:
        n = len(into)
        assert n <= self.size
        if self.address > END or n > END - self.address:
            raise OSError(14)
        if copy_user(address_of(into), self.address, n) != 0:
            raise OSError(14)


class Table:
    words: Array[u64, 64]

    def __init__(self) -> None:
        self.words = Array[u64, 64]()


table = Table()


def checked(length: u64) -> None:
    if length > LIMIT:
        raise OSError(22)


def is_small(length: u64) -> bool:
    return length <= LIMIT


def twice(length: u64) -> u64:
    return length * 2


"""
TAIL = """

calls = Array[Trampoline, 1]()
calls[0] = Trampoline(call)


@export("start")
def start(number: u64) -> i64:
    return calls[0](number, number, number, number, number, number)
"""
Proof = Callable[[str], list[str]]


@pytest.fixture
def refused(tmp_path: Path) -> Proof:
    """What the proof refuses in a program whose one system call is `call`: "rule: note | note"."""

    def prove(text: str) -> list[str]:
        file = tmp_path / f"program{len(list(tmp_path.iterdir()))}.py"
        file.write_text(HEAD + text + TAIL)
        module = load(file)
        own = [f for f in vars(module).values() if getattr(f, "__module__", "") == module.__name__]
        program = lower([f for f in own if hasattr(f, "__code__")], ("kaaprog_",))
        analyse(program)
        found = user_memory.prove(Graph(program))
        return [
            " | ".join([f"{rule}: {e.message}", *(n.partition(", in ")[2] for n in e.notes)]) for rule, _, e in found
        ]

    return prove


@pytest.mark.parametrize(
    "body",
    [
        "if n > LIMIT:\n        return 0\n    return n + 1",
        "if n >= LIMIT:\n        return 0\n    return table.words[n]",
        "return table.words[n & 63]",
        "return table.words[n % 64]",
        "return table.words[min(n, u64(63))]",
        "checked(n)\n    return n * 8",
        "if not is_small(n):\n        return 0\n    return n * 8",
        "if is_small(n):\n        return twice(n)\n    return 0",
        "return wrapping_add(n, m)",
        "if n > END or m > END - n:\n        return 0\n    return n + m",
        "if n > 1 << 40 or m > 1 << 40:\n        return 0\n    return n + m",
        "return u64(1) << (n & 63)",
        "return (n >> 12) * 2",
        "if n < m:\n        return 0\n    return n - m",
        "total: u64 = 0\n    while n > total:\n        total += min(n - total, u64(4096))\n    return total",
        "bad = n > LIMIT or m > LIMIT\n    if bad:\n        return 0\n    return n + m",
        "start = n & ~u64(4095)\n    if start > END:\n        return 0\n    return n + 4096",
        "match n:\n        case 1 | 2:\n            return table.words[n]\n        case _:\n            return 0",
    ],
)
def test_checked_numbers_are_accepted(refused: Proof, body: str) -> None:
    assert refused(f"def call(n: u64, m: u64) -> u64:\n    {body}\n") == []


@pytest.mark.parametrize(
    ("body", "rule"),
    [
        ("return n + 1", "overflow"),
        ("return n * 8", "overflow"),
        ("return n - 1", "overflow"),
        ("return n + m", "overflow"),
        ("return table.words[n]", "index"),
        ("if n > LIMIT:\n        return 0\n    return table.words[n]", "index"),
        ("if m > LIMIT:\n        return 0\n    return n + 1", "overflow"),
        ("return u64(1) << n", "shift"),
        ("return 100 // n", "divide"),
        ("return twice(n)", "overflow"),
        ("if is_small(n):\n        return 0\n    return twice(n)", "overflow"),
        ("part = table.words[0:n]\n    return part[0]", "index"),
        ("p = Ptr[u64](n)\n    return p[0]", "pointer"),
        ("if n > END or m > END:\n        return 0\n    return n * m", "overflow"),
    ],
)
def test_unchecked_numbers_are_refused(refused: Proof, body: str, rule: str) -> None:
    text = f"def call(n: u64, m: u64) -> u64:\n    {body}\n"
    found = refused(text)
    assert any(f.startswith(f"{rule}: ") for f in found)


def test_signed_numbers_have_a_lower_end(refused: Proof) -> None:
    assert refused("def call(n: i32) -> i32:\n    if n > 63:\n        return 0\n    return i32(table.words[n])\n") != []
    assert (
        refused("def call(n: i32) -> i32:\n    if n < 0 or n > 63:\n        return 0\n    return i32(table.words[n])\n")
        == []
    )
    assert refused("def call(n: i32) -> i32:\n    return -n\n")[0].startswith("overflow: ")
    assert refused("def call(n: i32) -> i32:\n    if n == -(1 << 31):\n        return 0\n    return -n\n") == []


def test_numbers_read_from_user_memory(refused: Proof) -> None:
    text = """
def call(user: UserRequest) -> u64:
    request = user.read()
    {}
    return table.words[request.slot] + request.start + request.length
"""
    found = refused(text.format("pass"))
    assert {f.partition(":")[0] for f in found} == {"index", "overflow"}
    check = "if request.slot >= 63 or request.start > END or request.length > END - request.start:\n        return 0"
    assert refused(text.format(check)) == []


def test_struct_that_a_helper_checks(refused: Proof) -> None:
    text = """
def check(request: Request) -> None:
    if request.start >= END or request.length >= END - request.start:
        raise OSError(22)


def read_in(request: Request, address: u64) -> None:
    buffer = Buffer(address, 24)
    buffer.copy_in(as_bytes(request)[0:24])


def call(address: u64) -> u64:
    request = Request()
    read_in(request, address)
    check(request)
    return request.start + request.length
"""
    assert refused(text) == []
    assert refused(text.replace("    check(request)\n", ""))[0].startswith("overflow: ")


def test_error_shows_the_calls_from_the_system_call(refused: Proof) -> None:
    found = refused(
        "def inner(n: u64) -> u64:\n    return twice(n)\n\n\ndef call(n: u64) -> u64:\n    return inner(n)\n"
    )
    assert found == [
        "overflow: a user's number (0 … 2**64 - 1) in this * may overflow u64, which stops the machine: "
        "check it first | call: calls inner | inner: calls twice"
    ]


def test_length_that_is_used_before_it_is_checked(refused: Proof) -> None:
    """After CVE-2013-1763 (a family of sockets): a number from a message picks an entry of a table of handlers, and
    nothing compares it with the table's size."""
    text = """
def call(user: UserRequest) -> u64:
    request = user.read()
    {}handler = table.words[request.slot]
    return handler
"""
    found = refused(text.format(""))
    assert len(found) == 1 and found[0].startswith("index: a user's number is an index, unchecked")
    assert refused(text.format("if request.slot >= 64:\n        return 0\n    ")) == []


def test_user_word_that_is_read_twice(refused: Proof) -> None:
    """After CVE-2016-6516 (deduplication of file ranges): a count is read to know how much room is needed, then all is
    read again with another count in it."""
    text = """
def call(user: UserRequest) -> u64:
    first = user.read()
    if first.length > LIMIT:
        return 0
    {}
    return second.length + 1
"""
    found = refused(text.format("second = user.read()"))
    assert any(f.startswith("twice: ") for f in found) and any(f.startswith("overflow: ") for f in found)
    assert refused(text.format("second = first")) == []
