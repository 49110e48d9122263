# SPDX-License-Identifier: Apache-2.0
"""Structures of time, and the random generator's core."""

from __future__ import annotations

import pytest

from kaa.kernel.abi.time import LONGEST, NEVER, Timespec, Timeval, timespec
from kaa.kernel.lib import chacha20
from kaa.kernel.lib.chacha20 import ChaChaState


def test_the_longest_times_do_not_overflow() -> None:
    assert Timespec(2**63 - 1, 999_999_999).total() == LONGEST
    assert Timespec(2**63 - 1, 0).deadline(10**18) == NEVER
    assert Timeval(2**63 - 1, 0).total() == LONGEST
    assert Timespec(1, 5).deadline(7) == 1_000_000_012


@pytest.mark.parametrize("bad", [Timespec(-1, 0), Timespec(0, -1), Timespec(0, 10**9)])
def test_malformed_times_are_einval(bad: Timespec) -> None:
    with pytest.raises(OSError) as caught:
        bad.total()
    assert caught.value.errno == 22


def test_nanoseconds_split_into_fields() -> None:
    split = timespec(3_000_000_004)
    assert (split.seconds, split.nanoseconds) == (3, 4)


def test_the_block_function_is_the_rfcs() -> None:
    """RFC 8439, 2.3.2."""
    state = ChaChaState()
    chacha20.initialise(state)
    key = bytes(range(32))
    for index in range(8):
        state.words[4 + index] = int.from_bytes(key[index * 4 : index * 4 + 4], "little")
    state.words[12] = 1
    for index, word in enumerate((0x09000000, 0x4A000000, 0)):
        state.words[13 + index] = word
    out = ChaChaState()
    chacha20.block(state, out)
    assert [out.words[i] for i in (0, 1, 15)] == [0xE4E7F110, 0x15593BD1, 0x4E3C50A2]
